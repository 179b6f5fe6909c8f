/* What a change does to a zone, RRset by RRset: for people (dry runs, `azoth zone diff`), for journals and IXFR.
 *
 *     ops + the values that the store has at their keys ─► difference_of_ops ─► [owner, type, before, after] ...
 *
 * In canonical order of owners, by type and covers. The SOA counts like any other RRset. */
#ifndef AZOTH_BUILDER_DIFFERENCE_H
#define AZOTH_BUILDER_DIFFERENCE_H

#include "builder/patch.h"

/* before or after with n 0: there was none, is none. Equal sets of records with the same TTL never stand here. */
struct rrset_change { struct bytes owner; uint16_t type, covers; struct patch_rrset before, after; };
struct difference {
    struct rrset_change *v; size_t n, cap;
    uint64_t added, removed;            /* records */
    bool cut;                           /* there were more than most: they are counted, not kept */
    struct arena arena;                 /* everything here */
};
void difference_init(struct difference *d);
void difference_release(struct difference *d);
/* One more RRset, behind those that are there; copied. records of each side: ascending, none twice. Nothing when the two sides
 * are equal. most: as below. ERR_NOMEM. */
MUST_USE enum err difference_add(struct difference *d, const struct rrset_change *c, size_t most);
/* One key of the store that changes: before, after: values; empty: none. */
struct key_change { struct bytes key, before, after; };
/* What these keys' change does to the zone's RRsets; no key twice. Those of a zone above or below (which move when the
 * zone comes or goes) do not count. most: RRsets kept at most; 0: all. ERR_BAD: a value that is no blob. */
MUST_USE enum err difference_of_keys(struct bytes apex, const struct key_change *keys, size_t n, size_t most,
                                     struct difference *out, struct fault *fault);
/* The same for ops that are to be applied to what v holds. v: begun. */
MUST_USE enum err difference_of_ops(struct bytes apex, const struct op *ops, size_t n, struct view *v, size_t most,
                                    struct difference *out, struct fault *fault);

#endif
