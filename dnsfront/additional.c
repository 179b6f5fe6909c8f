/* Addresses for the names in NS, MX, SRV, SVCB and HTTPS RRsets: glue, and what else the zone knows. */
#include "dnsfront/section.h"

#define LOOKUPS_MAX 64          /* for one answer; an RRset of more names fills no useful message */
#define RR_MIN 16u              /* the smallest address record */

/* --- names in an RRset that stands in the message ----------------------------------------------------------------- */
struct targets { struct rd r; unsigned left, skip; };   /* skip: bytes of RDATA before the name */

static bool is_svcb(uint16_t type) { return type == TYPE_SVCB || type == TYPE_HTTPS; }

bool additional_wanted(uint16_t type)
{
    return type == TYPE_NS || type == TYPE_MX || type == TYPE_SRV || is_svcb(type);
}

static struct targets targets_of(const struct reply *r, size_t start, const struct rrset *rr)
{
    struct targets t = { rd_over(wr_done(&r->w)), rr->count, 0 };
    t.skip = rr->type == TYPE_SRV ? 6 : rr->type == TYPE_NS ? 0 : 2;
    (void)rd_take(&t.r, start);
    return t;
}

/* The next name, unpacked, and where it stands. *first: two bytes of the RDATA, when there are any before the name.
 * ERR_NOTFOUND at the end. */
static enum err targets_next(struct targets *t, const struct reply *r, struct name *out, size_t *at, unsigned *first)
{
    struct name owner;
    if (t->left == 0)
        return ERR_NOTFOUND;
    t->left--;
    enum err err = name_unpack(&t->r, wr_done(&r->w), &owner);
    (void)rd_take(&t->r, 8);                    /* type, class, TTL */
    struct bytes rdata = rd_take(&t->r, rd_u16(&t->r));
    if (err != OK || t->r.bad)
        return ERR_BAD;
    struct rd in = rd_over(bytes_of(r->w.buf, (size_t)(rdata.ptr - r->w.buf) + rdata.len));
    (void)rd_take(&in, (size_t)(rdata.ptr - r->w.buf));
    struct rd number = in;
    *first = t->skip > 0 ? rd_u16(&number) : 0;
    (void)rd_take(&in, t->skip);
    *at = (size_t)(in.p - r->w.buf);
    return in.bad ? ERR_BAD : name_unpack(&in, wr_done(&r->w), out);
}

/* --- glue ------------------------------------------------------------------------------------------------------- */
/* Where the entry's name stands as a target of the NS RRset at `start`. */
static enum err glue_place(const struct reply *r, const struct rrset *ns, size_t start, const struct below *b,
                           const struct name *name, size_t *at)
{
    if (start + ns->wire.len <= POINTER_MAX) {  /* it stands there as it is stored, name for name */
        *at = start + b->ns_offset;
        return OK;
    }
    struct targets t = targets_of(r, start, ns);
    struct name target;
    unsigned none;
    enum err err;
    while ((err = targets_next(&t, r, &target, at, &none)) == OK)
        if (name_equal(name_bytes(&target), name_bytes(name)))
            return OK;
    return ERR_BAD;
}

static enum err put_glue_entry(struct reply *r, const struct below *b, const struct rr_place *place)
{
    for (unsigned i = 0; i < b->n + b->more; i++) {
        struct rrset rr;
        enum err err = below_rrset(b, i, &rr);
        if (err == OK && (rr.type == TYPE_A || rr.type == TYPE_AAAA))
            err = section_put(r, SECTION_ADDITIONAL, &rr, place);
        if (err != OK)
            return err;
    }
    return OK;
}

MUST_USE enum err put_glue(struct reply *r, const struct subject *s, const struct finding *f, size_t start, unsigned *names)
{
    *names = 0;
    struct rd below = rd_over(f->blob.below);
    struct bytes cut = section_place(r, s, f->owner).owner_name;
    for (unsigned i = 0; i < f->blob.below_n; i++) {
        struct below b;
        struct name name;
        size_t at;
        enum err err = below_read(&below, &b);
        if (err != OK)
            return err;
        if (b.ns_offset == 0)
            continue;
        (*names)++;
        if ((err = name_join(b.relname, cut, &name)) != OK)
            return ERR_BAD;
        if ((err = glue_place(r, &f->blob.rr[0], start, &b, &name, &at)) != OK)
            return err;
        struct rr_place place = { name_bytes(&name), (uint16_t)at, 0 };
        if ((err = put_glue_entry(r, &b, &place)) != OK) {
            r->tc |= err == ERR_NOSPACE;
            return err;
        }
    }
    return OK;
}

/* --- other addresses -------------------------------------------------------------------------------------------- */
/* The entry of the kept cut's blob for s, as addresses. Looks from where the last one was found, then from the start. */
static enum err addresses_below(const struct subject *s, unsigned depth, struct addresses *a)
{
    struct name name = { .len = (uint8_t)s->name.len };
    memcpy(name.wire, s->name.ptr, s->name.len);
    name_lower(name.wire, name.len);
    struct bytes cut = name_bytes(&name);
    for (unsigned i = depth; i < s->key.labels; i++)
        cut = name_parent(cut);
    struct bytes relname = { name.wire, name.len - cut.len };
    for (unsigned left = a->blob.below_n; left > 0; left--) {
        struct below b;
        if (rd_done(&a->at))
            a->at = rd_over(a->blob.below);
        enum err err = below_read(&a->at, &b);
        if (err != OK)
            return err;
        if (!bytes_equal(b.relname, relname))
            continue;
        for (unsigned i = 0; i < b.n + b.more && a->n < 2; i++) {
            if ((err = below_rrset(&b, i, &a->rr[a->n])) != OK)
                return err;
            a->n += a->rr[a->n].type == TYPE_A || a->rr[a->n].type == TYPE_AAAA;
        }
        return OK;
    }
    return OK;
}

/* Labels of the kept cut when s lies at or below it; NO_CUT: it does not. */
static unsigned kept_cut(const struct subject *s, const struct addresses *a)
{
    for (unsigned depth = 0; depth <= s->key.labels && a->cut.len > 0; depth++)
        if ((size_t)s->key.at[depth] + 1 == a->cut.len && memcmp(s->key.buf, a->cut.ptr, s->key.at[depth]) == 0)
            return depth;
    return NO_CUT;
}

/* Keeps the delegation blob: its addresses are those of names at and below the owner part `cut` of a key. */
static enum err keep_cut(const struct subject *s, struct bytes cut, unsigned depth, const struct blob *blob,
                         struct addresses *a)
{
    a->cut = cut;
    a->blob = *blob;
    a->at = rd_over(blob->below);
    return addresses_below(s, depth, a);
}

/* The name lies in a hosted zone, whose apex has `inner` labels, below the zone at hand: what counts is the delegation
 * that this zone has there, not what the other one says. */
static enum err addresses_nested(struct lookup *l, const struct subject *s, unsigned zone, unsigned inner,
                                 struct addresses *a)
{
    uint8_t buf[RRKEY_MAX];
    struct entry e;
    struct blob blob;
    while (inner > zone) {
        struct bytes key = { buf, rrkey_at(&s->key, inner, RRSLOT_PARENT_NS, buf) };
        stat_add(&l->counts->steps[STEP_ADDITIONAL], 1);
        enum err err = lookup_seek(l, STEP_ADDITIONAL, key, &e);
        if (err == ERR_NOTFOUND || (err == OK && !bytes_equal(e.key, key)))
            return OK;                          /* a zone that nobody delegates to */
        if (err != OK || (err = blob_read(e.value, &blob)) != OK)
            return err;
        unsigned outer = blob_depth(blob.flags);
        if (outer >= inner)
            return ERR_BAD;
        if (outer == zone)
            return keep_cut(s, bytes_of(e.key.ptr, e.key.len - 2), inner, &blob, a);
        inner = outer;
    }
    return OK;
}

static void keep_addresses(const struct blob *blob, struct addresses *a)
{
    for (unsigned i = 0; i < blob->n; i++)
        if (blob->rr[i].type == TYPE_A || blob->rr[i].type == TYPE_AAAA)
            a->rr[a->n++] = blob->rr[i];
}

/* What the name has of its own; where: a key of it, or of the owner before it. */
static enum err addresses_at(struct lookup *l, const struct look *look, const struct spot *at, const struct subject *s,
                             struct addresses *a)
{
    struct finding f = { 0 };
    enum err err;
    if ((at->flags & (BLOB_CUT | BLOB_APEX)) == BLOB_CUT) {
        if ((err = find_referral(l, at, false, &f)) != OK)
            return err;
        return keep_cut(s, bytes_of(at->entry.key.ptr, rrkey_owner_len(at->entry.key)), at->labels, &f.blob, a);
    }
    if (look->where != AT_KEY || (at->flags & BLOB_ALIAS) != 0)
        return OK;
    if ((err = blob_read(at->entry.value, &f.blob)) != OK)
        return err;
    keep_addresses(&f.blob, a);
    return OK;
}

/* What the addresses hang on: their owner; where a cut gives them, all that is below it; where nothing does, the zone. */
static void trace_addresses(struct lookup *l, const struct subject *s, unsigned zone, const struct look *look,
                            const struct spot *at)
{
    bool ours = at->there && at->zone == zone && at->labels == at->common;
    if (ours && (at->flags & (BLOB_CUT | BLOB_APEX)) == BLOB_CUT)
        trace_subtree(&l->trace, &s->key, at->labels);
    else if (ours && look->where != ABSENT)
        trace_one_of(&l->trace, &s->key, s->name, zone);
    else
        trace_subtree(&l->trace, &s->key, zone);
}

/* The name is not there: what a wildcard has for it. look: as the descent found it. */
static enum err addresses_wild(struct lookup *l, const struct subject *s, unsigned zone, const struct look *look,
                               struct addresses *a)
{
    struct finding f = { 0 };
    enum err err = find_absent(l, s, look, TYPE_A, false, &f);
    if (err == OK && f.wildcard && f.zone == zone)
        keep_addresses(&f.blob, a);
    return err;
}

MUST_USE enum err find_addresses(struct lookup *l, const struct subject *s, unsigned zone, struct addresses *a)
{
    struct look look;
    unsigned depth = kept_cut(s, a);
    a->n = 0;
    if (depth != NO_CUT)
        return addresses_below(s, depth, a);
    enum err err = find_descend(l, &s->key, TYPE_A, STEP_ADDITIONAL, &look);
    struct spot p = look.p;
    if (err == OK && look.where == ABSENT)
        err = nested_walk(l, &s->key, &p);
    if (err != OK)
        return err;
    const struct spot *at = look.where != ABSENT ? look.at : &p;
    trace_addresses(l, s, zone, &look, at);
    if (!at->there || at->zone < zone)
        return OK;
    if (at->zone > zone)
        return addresses_nested(l, s, zone, at->zone, a);
    if (look.where != ABSENT || (at->labels == at->common && (at->flags & (BLOB_CUT | BLOB_APEX)) == BLOB_CUT))
        return addresses_at(l, &look, at, s, a);
    return addresses_wild(l, s, zone, &look, a);
}

static enum err put_addresses(struct reply *r, const struct subject *s, const struct addresses *a)
{
    struct rr_place place = { s->name, (uint16_t)s->at, 0 };
    for (unsigned i = 0; i < a->n; i++) {
        enum err err = section_put(r, SECTION_ADDITIONAL, &a->rr[i], &place);
        if (err != OK && err != ERR_NOSPACE)    /* what does not fit is left out; the next may */
            return err;
    }
    return OK;
}

/* The SVCB or HTTPS records that an AliasMode target has itself (RFC 9460 section 4.1). */
static enum err put_service(struct reply *r, struct lookup *l, const struct subject *s, unsigned zone, uint16_t type)
{
    struct rr_place place = { s->name, (uint16_t)s->at, 0 };
    struct look look;
    struct blob blob;
    enum err err = find_descend(l, &s->key, type, STEP_ADDITIONAL, &look);
    if (err != OK || look.where != AT_KEY || look.at->zone != zone || (look.at->flags & (BLOB_CUT | BLOB_APEX)) == BLOB_CUT)
        return err;
    if ((err = blob_read(look.at->entry.value, &blob)) == OK)
        err = section_put(r, SECTION_ADDITIONAL, &blob.rr[0], &place);
    return err == ERR_NOSPACE ? OK : err;
}

/* What is wanted: names of the zone at hand, each once. */
struct wanted {
    struct bytes apex, below;       /* below: the cut whose own names have their glue; empty: none */
    uint64_t seen[LOOKUPS_MAX];
    unsigned seen_n;
};

static bool is_wanted(struct wanted *w, struct subject *target)
{
    if (!name_under(target->name, w->apex) || (w->below.len > 0 && name_under(target->name, w->below)))
        return false;
    if (rrkey_of_name(target->name, &target->key) != OK)
        return false;
    /* names that collide are taken for one, so one goes without */
    uint64_t h = bytes_fnv(BYTES_FNV_START, bytes_of(target->key.buf, target->key.at[target->key.labels]));
    for (unsigned i = 0; i < w->seen_n; i++)
        if (w->seen[i] == h)
            return false;
    w->seen[w->seen_n++] = h;
    return true;
}

MUST_USE enum err put_additional(struct reply *r, struct lookup *l, const struct subject *s, const struct finding *f,
                                 size_t start, unsigned cut)
{
    const struct rrset *rr = f->what == FOUND_REFERRAL ? &f->blob.rr[0] : &f->rr;
    struct wanted wanted = { .apex = section_place(r, s, f->zone).owner_name };
    struct targets t = targets_of(r, start, rr);
    struct addresses a = { 0 };
    struct subject target;
    struct name name;
    unsigned first;
    enum err err;
    if (cut != NO_CUT)
        wanted.below = section_place(r, s, cut).owner_name;
    l->budget = FIND_ZONE_SEEKS;                /* for all of them: what comes behind it has no addresses from a wildcard */
    for (int left = LOOKUPS_MAX; left > 0 && r->w.cap - r->w.len >= RR_MIN; left--) {
        if ((err = targets_next(&t, r, &name, &target.at, &first)) != OK)
            return err == ERR_NOTFOUND ? OK : err;
        target.name = name_bytes(&name);
        if (is_svcb(rr->type) && first > 0 && name.len == 1) {  /* ServiceMode: "." is the owner (RFC 9460 section 2.5.2) */
            target.name = s->name;
            target.at = s->at;
        }
        if (!is_wanted(&wanted, &target))
            continue;
        if ((err = find_addresses(l, &target, f->zone, &a)) != OK || (err = put_addresses(r, &target, &a)) != OK)
            return err;
        if (is_svcb(rr->type) && first == 0 && (err = put_service(r, l, &target, f->zone, rr->type)) != OK)
            return err;
    }
    r->bound |= r->w.cap - r->w.len < RR_MIN;
    return OK;
}
