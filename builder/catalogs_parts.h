/* Inside catalogs*.c only. */
#ifndef AZOTH_BUILDER_CATALOGS_PARTS_H
#define AZOTH_BUILDER_CATALOGS_PARTS_H

#include "builder/catalogs.h"

#include <pthread.h>

#define CATALOGS_BATCH 64               /* changes at once: what others make waits behind no more than these */
#define CATALOGS_TURN_MS 2000           /* then others have their turn, and it is looked again: a catalog may go while a million zones are made of it */

struct catalogs_one {                   /* a catalog zone */
    struct name apex;
    uint64_t settings;                  /* hash of its settings */
    bool due, moved, force;             /* moved: its data is new; under lock */
    uint64_t after_ms;                  /* not looked at before */
    uint64_t version;                   /* of the source at the last look */
    struct catalog_report report;       /* under lock */
};
struct catalogs {
    struct catalogs_options o;
    struct view *view;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool started, stopping, putting;
    size_t untold;                      /* changes of the batch; under lock */
    struct catalogs_one *v; size_t n;   /* ascending; replaced under lock */
    bool was_read;
    bool orphans, orphans_failed;       /* orphans: members may be without a catalog; some could not be let go */
    struct name orphans_at;             /* those behind it are still to be looked at; len 0: all */
    uint64_t orphans_ms;                /* not before */
    uint64_t version, read_ms;
    stat_count looks, made, changed, removed, failed;
};

/* --- catalogs_apply.c ---------------------------------------------------------------------------------------------------- */
/* The steps of a look, until one of the batches is behind and go_on says no. failed: those that could not be made; clashes: zones
 * that were there when it came to it (one that core.zones names is, before it was loaded). */
struct catalogs_outcome { size_t failed, clashes; struct name clash; };
struct catalogs_outcome catalogs_apply(struct catalogs *cs, const struct catalog_look *l, bool (*go_on)(struct catalogs *cs, void *arg),
                                       void *arg);
/* Members of catalogs that are none, from cs->orphans_at on for a turn: without a zone of that name they go, else they are let go. */
MUST_USE enum err catalogs_orphans(struct catalogs *cs, size_t *failed, struct fault *fault);
/* --- catalogs.c ------------------------------------------------------------------------------------------------------------ */
struct catalogs_one *catalogs_find(struct catalogs *cs, struct bytes apex);        /* by its thread, or under lock */

#endif
