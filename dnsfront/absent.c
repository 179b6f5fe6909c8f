/* Names that are not there, told by the filter of those that may be. */
#include "dnsfront/find.h"
#include "dnsfront/known.h"

/* What the filter says of a name: the deepest name above it that may be there, the deepest that may be a border. */
struct above { unsigned encloser, border; bool bordered, apex; };

/* false: the name itself may be there. */
static bool look_up(const struct known *n, const struct changes *c, const struct rrkey *k, struct above *out)
{
    *out = (struct above){ .encloser = 0 };
    if (known_may(n, hash_of_ancestor(c, k, k->labels), KNOWN_NAME))
        return false;
    for (unsigned depth = k->labels; depth-- > 0 && !out->bordered;) {
        uint64_t hash = hash_of_ancestor(c, k, depth);
        if (!known_may(n, hash, KNOWN_NAME))
            continue;                           /* borders are names */
        out->encloser = depth > out->encloser ? depth : out->encloser;
        out->bordered = known_may(n, hash, KNOWN_BORDER);
        out->border = depth;
        out->apex = out->bordered && known_may(n, hash, KNOWN_APEX);
    }
    return true;
}

/* The zone at the border has the say, and there is nothing in it that answers for names that are not there. */
static bool settled(struct lookup *l, const struct rrkey *k, const struct above *a, bool want_ds, struct finding *f)
{
    const struct zone_entry *h = a->apex ? zones_get(l, k, a->border) : NULL;
    if (h == NULL || h->state != ZONE_LIVE || (h->flags & BLOB_DNAME) != 0 || (want_ds && h->soa.sigs > 0))
        return false;
    bool wildcards = (h->bits & ZONE_HAS_WILDCARD) != 0;
    if (wildcards && (a->encloser != a->border || !zones_bare(l, k, a->border)))
        return false;
    *f = (struct finding){ .what = FOUND_NXDOMAIN, .zone = a->border, .owner = wildcards ? a->border : 0, .wildcard = wildcards,
                           .header = h };
    return true;
}

bool find_known_absent(struct lookup *l, const struct subject *s, bool want_ds, struct finding *f)
{
    const struct changes *c = l->watch.changes;
    const struct rrkey *k = &s->key;
    struct above above;
    uint64_t round;
    if (c == NULL || c->known == NULL || l->watch.tick == 0 || k->labels == 0 || k->labels > KNOWN_DEPTH_MAX
        || !known_begin(c->known, l->watch.tick, l->watch.floor, &round) || !look_up(c->known, c, k, &above))
        return false;
    if (above.bordered && !settled(l, k, &above, want_ds, f))
        return false;
    if (!above.bordered)
        *f = (struct finding){ .what = FOUND_NOZONE };
    return known_end(c->known, round);
}
