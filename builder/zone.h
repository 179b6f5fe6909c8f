/* A zone as records, and what becomes of it: RRset blobs as a difference against the store. Pure but for the view it
 * reads: no LMDB handles, no sockets, no files (zonefile.h reads those).
 *
 *     zonefile_read ─► struct zone (records) ─► zone_check (guards) ─► zone_build ─► ops (puts and deletes) ─► commit_run
 */
#ifndef AZOTH_BUILDER_ZONE_H
#define AZOTH_BUILDER_ZONE_H

#include "base/arena.h"
#include "rrset/rrkey.h"
#include "rrset/rrset.h"
#include "store/store.h"

/* One record. owner: uncompressed, lower case; rdata: uncompressed wire form, its case kept. Both live in the zone's arena. */
struct zone_rr { struct bytes owner, rdata; uint32_t ttl; uint16_t type; uint32_t line; };
struct zone {
    struct arena arena;
    struct name apex;               /* lower case */
    struct zone_rr *rr;
    size_t n, cap;
    const char *source;             /* file name for messages, or "transfer"; borrowed */
    bool includes;                  /* the text had an $INCLUDE: it is more than that file */
};
void zone_init(struct zone *z, struct bytes apex, const char *source);
void zone_release(struct zone *z);
/* Copies owner (lower-cased) and rdata into the arena. ERR_NOMEM. */
MUST_USE enum err zone_add(struct zone *z, struct bytes owner, uint16_t type, uint32_t ttl, struct bytes rdata, uint32_t line);

/* Messages of one build: errors refuse the zone, warnings are told. The first 20 of each are kept, in order; errors_n and
 * warnings_n count all of them. Reading a file stops at 20 errors. line: in the zone file itself, 0 when no line is to blame;
 * for what stands in an included file the line of the $INCLUDE, and the text says "in FILE:LINE: ...". */
#define COMPLAINTS_MAX 20
struct complaint { uint32_t line; char text[256]; };
/* same_serial: of a zone file, other records than before under the same serial. */
struct complaints { unsigned errors_n, warnings_n; bool same_serial; struct complaint errors[COMPLAINTS_MAX], warnings[COMPLAINTS_MAX]; };
void complain_error(struct complaints *c, uint32_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Those of `later` behind those of c. */
void complaints_join(struct complaints *c, const struct complaints *later);
void complain_warning(struct complaints *c, uint32_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* force: more than half may go; no other guard gives way to it, since no server could serve what they refuse. strict: a
 * secondary's loss of more than half is refused too, not only told. crew: helps; may be NULL. now_s: Unix time, for signatures that have
 * expired; 0: nobody looks. */
struct zone_build_options { enum zone_kind kind; bool force; struct crew *crew; bool strict; uint64_t now_s; };
/* The difference between z and what the view holds of this zone (and what must move in the keys of a parent or child zone
 * hosted beside it), as ops in ascending key order inside `out`. n 0: nothing to do. Sorts z->rr.
 * The view must be begun; values of ops live in out's arena, so they outlive it. For zones of kind ZONE_SECONDARY the loss
 * of more than half is a warning unless o->strict.
 * ERR_REFUSED: a guard refused (c->errors says why); c->warnings filled in any case. ERR_BAD: a stored value is damaged. */
struct op_list { struct op *ops; size_t n, cap; struct arena arena; };
void op_list_init(struct op_list *l);
void op_list_release(struct op_list *l);
MUST_USE enum err op_list_add(struct op_list *l, const struct op *op);     /* copies key and value into the arena */
MUST_USE enum err zone_build(struct zone *z, struct view *v, const struct zone_build_options *o,
                             struct complaints *c, struct op_list *out, struct fault *fault);
/* Ops that make a zone of this kind stand in the store without data, so that it is answered with SERVFAIL: its header with
 * state ZONE_EMPTY. Nothing when it is there in any state. */
MUST_USE enum err zone_build_empty(struct bytes apex, enum zone_kind kind, struct view *v, struct op_list *out,
                                   struct fault *fault);
/* Ops that take the whole zone away. ERR_NOTFOUND: no such zone. */
MUST_USE enum err zone_withdraw(struct bytes apex, struct view *v, struct op_list *out, struct fault *fault);

/* All records of a zone in the store, in canonical order (SOA first), rdata uncompressed, incl. what lies below cuts and
 * DNAMEs, in a parent's private slots and shadow keys. visit gives false to stop; what it is shown is borrowed for the call.
 * ERR_NOTFOUND: no such zone. */
typedef bool zone_visit_fn(void *arg, const struct zone_rr *rr);
MUST_USE enum err zone_walk(struct bytes apex, struct view *v, zone_visit_fn *visit, void *arg, struct fault *fault);
/* The header of a zone; borrowed from the view. ERR_NOTFOUND: no such zone. ERR_BAD: it does not read. */
MUST_USE enum err zone_header_get(struct bytes apex, struct view *v, struct zone_header *out);
/* The serial of its SOA. ERR_NOTFOUND: it has none. */
MUST_USE enum err zone_header_serial(const struct zone_header *h, uint32_t *out);
/* Apexes of all zones in the store, ascending. */
typedef bool zone_name_fn(void *arg, struct bytes apex, const struct zone_header *header);
MUST_USE enum err zone_list(struct view *v, zone_name_fn *visit, void *arg, struct fault *fault);
/* Those behind `after` (empty: all). */
MUST_USE enum err zone_list_from(struct bytes after, struct view *v, zone_name_fn *visit, void *arg, struct fault *fault);

#endif
