/* The zone files of core.zones, kept in step with the store by the writing thread.
 *
 *     zones_want (loop thread: start, SIGHUP) ─► job ─► which files changed? ─► load_zones
 *                                                   ─► withdraw what is no longer wanted ─► DIR/zones.list
 *
 * A file is built at start, and again when its size, times or inode moved and its contents hash differently from the
 * last build; one that includes others at every SIGHUP. A refused zone keeps its old state and is tried again at the next SIGHUP; one
 * that was never loaded stands in the store without data, so that every edge answers SERVFAIL for it. When the store fails (full,
 * say) the whole job is tried again after 5, 10, 20 ... 60 s. A zone with a row in the source of records is never touched: its
 * line is refused. DIR/zones.list names the zones that came from core.zones, so that a
 * line that vanishes is noticed across restarts too; zones that came another way are not touched. */
#ifndef AZOTH_BUILDER_CORE_ZONES_H
#define AZOTH_BUILDER_CORE_ZONES_H

#include "base/stat.h"
#include "builder/load.h"
#include "builder/queue.h"
#include "builder/source.h"
#include "config/config.h"

#include <stdatomic.h>

struct zones;
struct zones_stats {        /* written by the writing thread */
    stat_count configured, refused, stored;     /* lines of core.zones; of those refused; zones in the store */
    stat_count loads, withdrawals, failures;    /* zones committed, zones withdrawn, jobs that the store failed */
    stat_count same_serial;                     /* of those committed: with other records and the serial of before */
    stat_count passes;                          /* jobs that ran to their end */
    _Atomic bool failing;                       /* the store failed in the last job */
};

struct zones_options {
    const char *dir;                /* of the store; borrowed */
    struct store *store;
    struct committer *committer;    /* used in the writing thread only */
    struct queue *queue;
    const atomic_bool *stop;      /* set before queue_stop: ends a job after the zone at hand */
    struct source *source;          /* zones with rows are not ours; NULL: there is none */
};
MUST_USE enum err zones_open(struct zones **out, const struct zones_options *o, struct fault *fault);
void zones_close(struct zones *z);              /* after queue_close; NULL is fine */
/* This is what core.zones says now; copied. A list that waits still is replaced, so bursts collapse. Loop thread. */
MUST_USE enum err zones_want(struct zones *z, const struct config_zone *list, size_t n);
/* Does core.zones, as it was wanted last, name this zone? z NULL: no. Any thread. */
bool zones_names(struct zones *z, struct bytes apex);
const struct zones_stats *zones_stats(const struct zones *z);

#endif
