/* Several zone files into one store, one transaction a zone; each zone is all or nothing. What `azoth load` and
 * azoth-core's start and SIGHUP call. Reading the next zones, hashing and signing run beside it, on
 * the store's crew. */
#ifndef AZOTH_BUILDER_LOAD_H
#define AZOTH_BUILDER_LOAD_H

#include "builder/journal.h"
#include "builder/zonefile.h"
#include "replicator/commit.h"

#include <stdatomic.h>

struct load_zone { const char *origin, *file; };    /* text, as in configuration or arguments; borrowed */
struct load_report {                /* told once per zone, in the order of the zones, in the caller's thread */
    const struct load_zone *zone;
    enum err err;                   /* OK: committed or unchanged */
    const struct complaints *complaints;
    const char *fault;              /* "" when OK */
    bool changed;
    bool includes;                  /* the file has an $INCLUDE: a change may stand elsewhere */
    uint64_t seq, records, puts, deletes;
};
typedef void load_told_fn(void *arg, const struct load_report *r);
struct load_options {
    bool strict;                    /* all or none: nothing is committed unless every zone builds. Files are read twice; if one
                                     * changed in between nothing is committed either */
    bool force;
    enum zone_kind kind;
    enum author_via via;            /* whom the journal names; 0: VIA_FILE */
    const atomic_bool *stop;      /* set from outside: end after the zone at hand; may be NULL */
};
/* OK: all zones are in. ERR_REFUSED: some were refused (each reported; a zone that stands in the list twice is refused the
 * second time). ERR_NOTNOW: stopped. Anything else: the store failed, and the zones reported as OK so far are in.
 * Small zones share a sync (at most 4,096 zones, some 16 MiB), so a report may come that much later than its build. */
MUST_USE enum err load_zones(struct committer *c, struct store *s, const struct load_zone *zones, size_t n,
                             const struct load_options *o, load_told_fn *told, void *arg, struct fault *fault);

#endif
