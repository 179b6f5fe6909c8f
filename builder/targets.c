/* Warnings about names that records point to: in the zone, but not there, so often a final dot that was forgotten; name servers
 * without an address; and records below another zone of ours, which answers there. Nothing of that is refused: the rest may come
 * with the next change. */
#include "builder/build.h"
#include "builder/targets.h"
#include "builder/zonefile.h"
#include "rrset/rrkey.h"

#include <stdio.h>

bool target_of(uint16_t type, struct bytes rdata, struct bytes *out)
{
    size_t skip = type == TYPE_MX ? 2 : type == TYPE_SRV ? 6 : 0;
    if ((type != TYPE_NS && type != TYPE_CNAME && type != TYPE_MX && type != TYPE_SRV) || rdata.len <= skip)
        return false;
    *out = bytes_of(rdata.ptr + skip, rdata.len - skip);
    return true;
}

/* A name in the zone that has two labels or more below the apex may have been meant whole. */
static const char *meant(char *out, size_t cap, struct bytes apex, struct bytes target)
{
    char text[NAME_TEXT_MAX];
    unsigned more = name_labels(target) - name_labels(apex);
    uint8_t wire[NAME_MAX_LEN];
    size_t len = target.len - apex.len;
    out[0] = '\0';
    if (more < 2)
        return out;
    memcpy(wire, target.ptr, len);
    wire[len] = 0;
    (void)snprintf(out, cap, "; was %.100s meant, with its final dot?", name_text(text, sizeof text, bytes_of(wire, len + 1)));
    return out;
}

void target_warn(const struct target *t, struct bytes apex, struct complaints *c)
{
    char owner[NAME_TEXT_MAX], target[NAME_TEXT_MAX], type[RRTYPE_TEXT_MAX], hint[160];
    complain_warning(c, t->line, "%s of %.80s: %.80s %s%s", rrtype_text(type, t->type), name_text(owner, sizeof owner, t->owner),
                     name_text(target, sizeof target, t->name),
                     t->type == TYPE_NS ? "has no address in the zone" : "is not there in the zone",
                     meant(hint, sizeof hint, apex, t->name));
}

/* --- a whole zone --------------------------------------------------------------------------------------------------- */
static const struct owner *owner_at(const struct owners *o, struct bytes name)
{
    struct rrkey k;
    size_t lo = 0, hi = o->n;
    if (rrkey_of_name(name, &k) != OK)
        return NULL;
    struct bytes labels = bytes_of(k.buf, k.at[k.labels]);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (bytes_compare(o->v[mid].labels, labels) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < o->n && bytes_equal(o->v[lo].labels, labels) ? &o->v[lo] : NULL;
}

static bool has_address(const struct zone *z, const struct owner *o)
{
    for (size_t i = o->first; i < o->first + o->n; i++)
        if (z->rr[i].type == TYPE_A || z->rr[i].type == TYPE_AAAA)
            return true;
    return false;
}

/* Something other than data of its own answers for the name: a delegation or DNAME above it, or a wildcard. cut: the owner whose
 * delegation does not count. */
static bool is_elsewhere(const struct owners *o, struct bytes apex, struct bytes name, struct bytes cut)
{
    uint8_t wild[NAME_MAX_LEN + 2];
    for (struct bytes up = name; up.len > apex.len; up = name_parent(up)) {
        const struct owner *at = owner_at(o, up);
        struct bytes above = name_parent(up);
        if (at != NULL && (at->has & HAS_NS) != 0 && !name_equal(up, cut))
            return true;
        if (at != NULL && (at->has & HAS_DNAME) != 0 && up.len < name.len)
            return true;
        wild[0] = 1;
        wild[1] = '*';
        memcpy(wild + 2, above.ptr, above.len);
        if (above.len + 2 <= NAME_MAX_LEN && owner_at(o, bytes_of(wild, above.len + 2)) != NULL)
            return true;
    }
    return false;
}

/* The zone hosted here that has this name (as labels of a key); NULL: none. They are ascending, none below another. */
static const struct hosted *hosted_above(const struct hosteds *h, struct bytes labels)
{
    size_t lo = 0, hi = h->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (bytes_compare(h->v[mid].labels, labels) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && labels_under(labels, h->v[lo - 1].labels) ? &h->v[lo - 1] : NULL;
}

static bool is_hosted_elsewhere(const struct hosteds *h, struct bytes name)
{
    uint8_t buf[RRKEY_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    return h->n > 0 && rrkey_write(name, TYPE_NS, &w) == OK && hosted_above(h, wr_done(&w)) != NULL;
}

static void look_at(const struct zone *z, const struct owners *o, const struct hosteds *nested, const struct zone_rr *rr,
                    struct complaints *c)
{
    struct bytes apex = name_bytes(&z->apex);
    struct target t = { .type = rr->type, .owner = rr->owner, .line = rr->line };
    if (!target_of(rr->type, rr->rdata, &t.name) || !name_under(t.name, apex) || is_hosted_elsewhere(nested, t.name))
        return;
    const struct owner *at = owner_at(o, t.name);
    bool fine = rr->type == TYPE_NS ? at != NULL && (has_address(z, at) || (at->has & HAS_CNAME) != 0) : at != NULL;
    if (!fine && !is_elsewhere(o, apex, t.name, rr->type == TYPE_NS ? rr->owner : apex))
        target_warn(&t, apex, c);
}

/* What stands below a zone that is hosted here is answered by that one. At its apex a delegation may stand. */
static void look_above(const struct zone *z, const struct owner *o, const struct hosteds *nested, struct complaints *c)
{
    char text[NAME_TEXT_MAX];
    const struct hosted *h = hosted_above(nested, o->labels);
    if (h != NULL && h->labels.len < o->labels.len && !has_address(z, o))
        complain_warning(c, z->rr[o->first].line, OCCLUDED, name_text(text, sizeof text, o->name));
}

void guards_targets(const struct zone *z, const struct owners *o, const struct hosteds *nested, struct complaints *c)
{
    for (size_t i = 0; i < o->n; i++) {
        if (nested->n > 0)
            look_above(z, &o->v[i], nested, c);
        for (size_t k = o->v[i].first; k < o->v[i].first + o->v[i].n; k++)
            look_at(z, o, nested, &z->rr[k], c);
    }
}
