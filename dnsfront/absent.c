/* Names that are not there, told by the filter of those that may be; and what denies them. */
#include "dnsfront/find.h"
#include "dnsfront/known.h"

/* The zone at the border has the say, and no DNAME in it answers for names that are not there. */
static bool settled(struct lookup *l, struct bytes name, size_t at, uint64_t hash, struct absence *out)
{
    const struct zone_entry *h = zones_by_name(l, bytes_of(name.ptr + at, name.len - at), hash);
    if (h == NULL || h->state != ZONE_LIVE || !h->has_soa || (h->flags & BLOB_DNAME) != 0)
        return false;
    out->ours = true;
    out->apex_at = at;
    out->header = h;
    for (; name.ptr[at] != 0; at += 1u + name.ptr[at])
        out->zone++;
    return true;
}

/* What is above the name, from its parent up to the deepest that may be a border. A wildcard below the deepest that may be
 * there answers; one below another only might, if that one is not there after all. */
static bool look_above(struct lookup *l, const struct known *n, struct bytes name, struct absence *out)
{
    const struct changes *c = l->watch.changes;
    bool starred_above = false;
    size_t at = 0;
    *out = (struct absence){ .ours = false };
    for (unsigned depth = 0; name.ptr[at] != 0; depth++) {
        at += 1u + name.ptr[at];
        uint64_t hash = hash_of_lower(c, bytes_of(name.ptr + at, name.len - at));
        if (depth == KNOWN_DEPTH_MAX)
            return false;
        if (!known_may(n, hash, KNOWN_NAME))
            continue;                           /* borders are names, and so is what is above a wildcard */
        bool starred = known_may(n, hash, KNOWN_STARRED);
        if (out->encloser_at == 0) {
            out->encloser_at = at;
            out->starred = starred;
        } else {
            starred_above |= starred;
        }
        if (!known_may(n, hash, KNOWN_BORDER))
            continue;
        if (!known_may(n, hash, KNOWN_APEX) || !settled(l, name, at, hash, out))
            return false;
        bool wildcards = (out->header->bits & ZONE_HAS_WILDCARD) != 0;
        out->starred &= wildcards;
        return out->starred || !(wildcards && starred_above);
    }
    return true;
}

const struct known *find_names(const struct lookup *l, uint64_t *round)
{
    const struct known *n = l->watch.changes != NULL && l->watch.tick > 0 ? l->watch.changes->known : NULL;
    return n != NULL && known_begin(n, l->watch.tick, l->watch.floor, round) ? n : NULL;
}

bool find_absence(struct lookup *l, struct bytes name, uint64_t hash, struct absence *out)
{
    uint64_t round;
    const struct known *n = name.len > 1 ? find_names(l, &round) : NULL;
    return n != NULL && !known_may(n, hash, KNOWN_NAME) && look_above(l, n, name, out) && known_end(n, round);
}

/* A key beside the name's place: how much of the name stands above it. false: more than is known, but it is of another zone. */
static bool shares(struct entry e, const struct rrkey *k, unsigned zone, unsigned *labels)
{
    struct spot at = { .entry = e };
    if (spot_read(&at, k) != OK)
        return false;
    if (at.common <= *labels)
        return true;
    *labels = at.common;
    return at.zone == zone;
}

/* The closest encloser is above the last key before the name's place or above the first behind it. */
bool find_denied(struct lookup *l, const struct subject *s, uint16_t qtype, struct finding *f)
{
    const struct absence *n = l->absence;
    const struct rrkey *k = &s->key;
    uint8_t buf[RRKEY_MAX];
    struct bytes key = { buf, find_key(k, qtype, buf) };
    struct entry before, behind;
    unsigned encloser = n->zone;
    stat_add(&l->counts->steps[STEP_EXACT], 1);
    enum err err = lookup_seek(l, STEP_EXACT, key, &behind);
    if (err != OK && err != ERR_NOTFOUND)
        return false;
    bool last = err == ERR_NOTFOUND;
    if (!last && !shares(behind, k, n->zone, &encloser))
        return false;
    if (cursor_prev(l->cursor, &before) != OK || !shares(before, k, n->zone, &encloser) || encloser >= k->labels)
        return false;
    *f = (struct finding){ .what = FOUND_NXDOMAIN, .zone = n->zone, .owner = encloser, .before = before, .header = n->header };
    l->edges = (struct gap_edges){ before.key, last ? (struct bytes){ 0 } : behind.key };
    return true;
}

/* A wildcard that is there proves its encloser, and nothing is deeper: that is the closest one. */
bool find_starred(struct lookup *l, const struct subject *s, uint16_t qtype, struct finding *f)
{
    const struct absence *n = l->absence;
    unsigned encloser = s->key.labels;
    for (size_t at = 0; at < n->encloser_at && encloser > 0; at += 1u + s->name.ptr[at])
        encloser--;
    *f = (struct finding){ .starred = true, .zone = n->zone, .header = n->header };
    l->budget = FIND_ZONE_SEEKS;
    return find_wildcard(l, s, encloser, qtype, f) == OK && (f->what == FOUND_RRSET || f->what == FOUND_ALIAS);
}
