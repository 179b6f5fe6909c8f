/* Inside a build: records owner by owner, and the blobs that they become.
 *
 *     records ─► owners_make ─► guards_check ─► layout_run ─► blobs ─┐
 *     view ─► survey_run ─► what the store holds of the zone ────────┴► diff_run ─► ops
 *
 * Layout is a function of a zone's records and of the apexes of the zones hosted directly below it, nothing else: so
 * loading zones in any order gives the same store. A zone's records at or below a hosted child (its "region" there) can
 * be laid out again without the rest of the zone: that is what happens to the parent when a child arrives or goes. */
#ifndef AZOTH_BUILDER_BUILD_H
#define AZOTH_BUILDER_BUILD_H

#include "builder/records.h"

extern const struct bytes dns_namespace;

/* --- owners (owners.c) ---------------------------------------------------------------------------------------- */
enum {
    HAS_NS = 1, HAS_DNAME = 2, HAS_CNAME = 4, HAS_NSEC3 = 8, HAS_NSEC = 16, HAS_RRSIG = 32, HAS_SOA = 64, HAS_DS = 128
};
struct owner {
    struct bytes labels;        /* the owner's key without terminator and slot */
    struct bytes name;
    size_t first, n;            /* its records in the sorted zone */
    uint16_t has;
    bool hashed;                /* its NSEC3 goes under the apex; hash holds where */
    uint8_t hash[NSEC3_HASH_LEN];
};
struct owners { struct owner *v; size_t n; struct arena arena; };
/* Sorts z->rr by owner in canonical order, slot and type; equal records keep the file's order. ERR_NOMEM. ERR_REFUSED:
 * data outside of the zone (in c). Release in any case. */
MUST_USE enum err owners_make(struct zone *z, struct owners *out, struct complaints *c);
void owners_release(struct owners *o);
/* The records of one type at an owner are a run: its end, from its begin. */
size_t run_end(const struct zone *z, const struct owner *o, size_t from);
bool owner_has_type(const struct zone *z, const struct owner *o, uint16_t type);
static inline bool labels_under(struct bytes labels, struct bytes top) { return bytes_starts(labels, top); }

/* --- guards (guards.c) ---------------------------------------------------------------------------------------- */
/* What makes records a zone: one SOA, apex NS, no CNAME beside other data, ... Errors go to c. */
void guards_check(const struct zone *z, const struct owners *o, struct complaints *c);
/* What validators would not believe at that time, as far as it is cheap to see: a SOA whose signatures have all expired, an
 * NSEC that does not lead to the next one. Warnings. */
void guards_signatures(const struct zone *z, const struct owners *o, uint64_t now_s, struct complaints *c);

/* --- zones hosted around this one (survey.c) ------------------------------------------------------------------ */
struct hosted { struct bytes labels; unsigned bits; };      /* bits: flags of its apex */
struct hosteds { struct hosted *v; size_t n, cap; };
/* Warnings (targets.c): names in the zone that NS, CNAME, MX and SRV point to and that are not there, and what lies below zones
 * that are hosted here. */
void guards_targets(const struct zone *z, const struct owners *o, const struct hosteds *nested, struct complaints *c);
struct blobs { struct entry *v; size_t n, cap; };
struct survey {
    struct bytes apex;              /* labels of the zone at hand; depth of it */
    unsigned depth;
    bool is_hosted;                 /* it is in the store already */
    struct name parent;             /* nearest hosted zone above; len 0: none */
    struct bytes parent_labels;     /* in the arena */
    unsigned parent_depth, parent_bits;
    struct hosteds nested;          /* the topmost zones hosted below the apex, ascending; labels in the arena */
    struct blobs old;               /* own keys, the parent's in the region; ascending, borrowed */
    struct arena arena;
};
/* ERR_STORE and the like: the view failed. Release in any case. */
MUST_USE enum err survey_run(struct survey *s, const struct name *apex, struct view *v, struct fault *fault);
void survey_release(struct survey *s);
/* *e stands at the apex of a hosted zone, with those bits: it joins h (its labels in the arena), what the zone above it has
 * there (DS, NS, NSEC) joins out, and *e is the first entry behind it. ERR_NOTFOUND: there is none. */
MUST_USE enum err survey_pass(struct cursor *c, unsigned bits, struct hosteds *h, struct arena *a, struct blobs *out,
                              struct entry *e);
/* The zone depth that a blob belongs to. */
MUST_USE enum err entry_depth(const struct entry *e, unsigned *depth, struct fault *fault);

/* --- blobs (layout.c, below.c) -------------------------------------------------------------------------------- */
struct layout {
    const struct zone *z;
    const struct owners *owners;
    struct rrkey apex;
    unsigned depth, apex_bits, bits;            /* bits: of the zone header */
    bool part;                                  /* only some owners are here: nobody knows what is glue of none */
    const struct hosted *child; size_t child_n; /* directly hosted below, ascending */
    struct complaints *c;
    struct arena *arena;                        /* keys and values go here */
    struct arena scratch;
    struct blobs top, main;                     /* at the apex (hashed and shadow keys too); the others, ascending */
    struct bytes *rdata, *sigs; size_t rdata_cap, sigs_cap;
    uint8_t *buf;                               /* the value being written */
    struct bytes *stray; uint32_t *stray_line; size_t stray_n, stray_cap;   /* addresses below cuts that are not their glue */
};
enum place { IN_ZONE, AT_CHILD, SHADOWED };

MUST_USE enum err layout_init(struct layout *l, const struct zone *z, const struct owners *o, struct arena *arena,
                              struct complaints *c);
void layout_release(struct layout *l);
/* All blobs into *out, ascending by key. with_apex false: the records are a region, without header and apex.
 * crew: helps with large zones; may be NULL. ERR_REFUSED: an RRset or blob is too large and the like (in c). */
MUST_USE enum err layout_run(struct layout *l, enum zone_kind kind, bool with_apex, struct crew *crew,
                             struct blobs *out);
/* Owners [from, to), none of them below a cut or DNAME that stands before `from`, into l->top and l->main. */
MUST_USE enum err layout_owners(struct layout *l, size_t from, size_t to);
/* All owners, cut into shares for the crew (shares.c). */
MUST_USE enum err layout_shares(struct layout *l, struct crew *crew);
MUST_USE enum err blobs_add(struct blobs *b, struct bytes key, struct bytes value);
/* All of `more` before b's element `at`. */
MUST_USE enum err blobs_insert(struct blobs *b, size_t at, const struct blobs *more);
void blobs_sort(struct blobs *b);
void blobs_release(struct blobs *b);

/* An rrset element of the records [from, to) of o, with their signatures. */
MUST_USE enum err layout_rrset(struct layout *l, struct wr *w, const struct owner *o, size_t from, size_t to,
                               bool compress);
/* Signatures at o over types that are not there: [count, ...] as one RRset. false: there are none. */
bool layout_has_orphans(const struct layout *l, const struct owner *o);
MUST_USE enum err layout_orphans(struct layout *l, struct wr *w, const struct owner *o, bool compress);
/* Records that go elsewhere: NSEC3 of a hashed owner. */
bool layout_skips(const struct owner *o, uint16_t type);
/* nil and `below` for the cut or DNAME at owner i, whose subtree ends before j. ns: wire of the NS RRset; empty: DNAME. */
MUST_USE enum err below_write(struct layout *l, struct wr *w, size_t i, size_t j, struct bytes ns, unsigned count);
/* How many owners stand in `below`. */
unsigned below_count(const struct layout *l, size_t i, size_t j, bool cut);
/* Notes an address below a cut that is not that cut's glue, for below_warn. */
MUST_USE enum err layout_stray(struct layout *l, struct bytes name, uint32_t line);
/* Warns of addresses below cuts that are glue of no cut of this zone. */
MUST_USE enum err below_warn(struct layout *l);

/* Which NSEC3 chain answers are proven with (nsec3param.c): of the NSEC3PARAM that say SHA-1 and a whole chain the one of
 * the lowest RDATA, whatever the file's order. false: none. Iterations beyond all use are an error in c. */
bool nsec3_choose(const struct zone *z, const struct owner *apex, struct complaints *c, struct zone_nsec3 *out);

/* --- difference (diff.c) -------------------------------------------------------------------------------------- */
/* Ops that turn old into fresh, both ascending. DEL keys are copied into out's arena, PUTs borrow from fresh. */
MUST_USE enum err diff_run(const struct entry *old, size_t old_n, const struct entry *fresh, size_t fresh_n,
                           struct op_list *out);

/* --- records out of blobs (expand.c) -------------------------------------------------------------------------- */
struct expander { zone_visit_fn *visit; void *arg; bool stopped; uint8_t rdata[65535]; };
/* All records of an entry but those of `below`. apex: of the zone that the entry belongs to (hashed and shadow owners need
 * it). ERR_BAD: not a blob. */
MUST_USE enum err expand_entry(struct expander *x, const struct entry *e, struct bytes apex, struct fault *fault);
/* The same with `below`. */
MUST_USE enum err expand_whole(struct expander *x, const struct entry *e, struct bytes apex, struct fault *fault);
/* One entry of below. owner: of the cut or DNAME. */
MUST_USE enum err expand_below(struct expander *x, const struct below *b, struct bytes owner, struct fault *fault);
/* Owner of an entry's records. */
MUST_USE enum err expand_owner(const struct entry *e, struct bytes apex, struct name *out, struct fault *fault);

#endif
