/* Some RRsets of a zone that is in the store, changed: what it costs depends on what changes, not on the zone's size.
 *
 *     patch_open ─► patch_get, patch_set ... ─► patch_build ─► ops          the same ops as zone_build of the whole
 *                       ▲ a mark, and back to it                            changed zone would give (one hint apart)
 *
 * An RRset is named by owner and type, signatures also by the type that they cover: those of one type are one set.
 *
 * What is read and laid out anew is each owner that is touched; where a cut, DNAME or hosted child is, comes or goes at or
 * above it, all that lies below that (it shares blobs with it); and always the apex, for the SOA. The zone header's bits
 * (has wildcards, NSEC, DNAME) are only ever added here: a build of the whole zone takes them away again. */
#ifndef AZOTH_BUILDER_PATCH_H
#define AZOTH_BUILDER_PATCH_H

#include "builder/zone.h"

struct patch;
struct patch_rrset {
    uint16_t type, covers;          /* covers: for TYPE_RRSIG, else 0 */
    uint32_t ttl;
    const struct bytes *rdata;      /* uncompressed wire form; empty set: there is no such RRset */
    size_t n;
};

/* v: begun until patch_close. ERR_NOTFOUND: no such zone. ERR_NOTNOW: it is not live. */
MUST_USE enum err patch_open(struct patch **out, struct bytes apex, struct view *v, struct fault *fault);
void patch_close(struct patch *p);                          /* NULL is fine */
enum zone_kind patch_kind(const struct patch *p);

/* The RRset as it is behind all that was set; borrowed until patch_close. n 0: none. owner: any case, in the zone. */
MUST_USE enum err patch_get(struct patch *p, struct bytes owner, uint16_t type, uint16_t covers, struct patch_rrset *out,
                            struct fault *fault);
/* All RRsets of the owner, by type; borrowed until patch_close. */
MUST_USE enum err patch_get_all(struct patch *p, struct bytes owner, const struct patch_rrset **out, size_t *n,
                                struct fault *fault);
/* From now on the RRset is this one; n 0: it is gone. Copied. ERR_LIMIT: owner is no name in the zone, or n is over 65,535. */
MUST_USE enum err patch_set(struct patch *p, struct bytes owner, const struct patch_rrset *rrset);
/* How many sets there were; back to as many. */
size_t patch_mark(const struct patch *p);
void patch_undo(struct patch *p, size_t mark);

struct patch_options { bool force; struct crew *crew; bool strict; };      /* as for zone_build */
/* The difference to the store; n 0: nothing changes. Guards, complaints and errors as for zone_build; a patch that takes
 * away many RRsets is built as a whole zone, so that the guard can tell. values of ops live in out's arena. */
MUST_USE enum err patch_build(struct patch *p, const struct patch_options *o, struct complaints *c, struct op_list *out,
                              struct fault *fault);

#endif
