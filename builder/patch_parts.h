/* What the files of patch.h share. */
#ifndef AZOTH_BUILDER_PATCH_PARTS_H
#define AZOTH_BUILDER_PATCH_PARTS_H

#include "builder/build.h"
#include "builder/patch.h"
#include "builder/secret_hash.h"

#define NO_SET SIZE_MAX
#define PATCH_SEEN 8u

struct patch_change {
    struct bytes owner;             /* lower case */
    struct patch_rrset rrset;
    uint32_t hash;
    size_t before;                  /* the change of the same RRset that this one hides; NO_SET: none */
};
struct patch {
    struct view *view;
    struct cursor *cursor;
    struct name apex;
    struct bytes labels;            /* of the apex; in the arena */
    unsigned depth;
    struct entry header;            /* in the store */
    enum zone_kind kind;
    uint32_t apex_bits, zone_bits;  /* flags of the apex, bits of the header */
    struct arena arena;
    struct patch_change *change;
    size_t n, cap;
    size_t *slot;                   /* hash table: the newest change of each RRset; NO_SET: free */
    size_t slots;                   /* a power of two, 0 at first */
    struct secret_hash secret;
    struct seen *seen[PATCH_SEEN];  /* patch_read.c; NULL: free */
    uint64_t looks;
};
/* The newest change of an RRset; NULL: none. */
const struct patch_change *patch_find(const struct patch *p, struct bytes owner, uint16_t type, uint16_t covers);
static inline bool patch_is_newest(const struct patch *p, const struct patch_change *c)
{
    return patch_find(p, c->owner, c->rrset.type, c->rrset.covers) == c;
}
uint16_t patch_covers(const struct zone_rr *rr);        /* 0 when it is no signature */

/* --- patch_read.c ------------------------------------------------------------------------------------------------- */
void patch_forget(struct patch *p);                     /* what was read of the store */

/* --- patch_region.c: what lies in the store --------------------------------------------------------------------- */
/* An owner alone, or everything at and below it. */
struct region { struct bytes labels; bool subtree; };
struct region_load {                /* of any number of regions, in ascending order */
    struct zone zone;               /* their records */
    struct blobs old;               /* their keys; borrowed from the view; by region, not ascending */
    struct hosteds children;        /* zones hosted in them; labels in the arena */
    struct arena arena;
    struct expander *expander;
    enum err err;
};
MUST_USE enum err region_load_init(struct region_load *l, const struct patch *p);
void region_load_release(struct region_load *l);
/* Where the records of an owner are kept: by itself, or with all below the topmost cut, DNAME or hosted child at or above
 * it. labels are borrowed from k. */
MUST_USE enum err region_of(struct patch *p, const struct rrkey *k, struct region *out);
/* Of the whole zone (the apex and all below it) the records alone, without keys and children. */
MUST_USE enum err region_read(struct patch *p, const struct region *r, struct region_load *out, struct fault *fault);

#endif
