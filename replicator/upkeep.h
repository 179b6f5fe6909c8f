/* The background work of a daemon that writes: slices of the scrub (store/scrub.h), of the tidying of sparse leaves
 * (store/tidy.h) and of the log's retention (retain.h). All are for the store's writing thread: a core calls upkeep_step
 * from its queue of jobs, an edge from its loop while no job has the store. A step takes some milliseconds. */
#ifndef AZOTH_REPLICATOR_UPKEEP_H
#define AZOTH_REPLICATOR_UPKEEP_H

#include "base/stat.h"
#include "replicator/retain.h"
#include "store/scrub.h"
#include "store/tidy.h"

#define UPKEEP_STEP_MS 100              /* between steps, while there is something to do */
#define UPKEEP_MORE_MS 5                /* while the log is over its limit, or leaves are sparse */
#define UPKEEP_SLICE_US 2000
#define UPKEEP_ENTRIES_S 5000           /* the scrub's pace: a million entries in 200 s, at less than 1 % of a processor */
#define UPKEEP_BYTES_S ((uint64_t)16 << 20)
#define UPKEEP_REST_MS 60000            /* between rounds */
#define UPKEEP_DOUBT_MS 5000            /* behind a bad one: it may have been repaired */
#define UPKEEP_RETAIN_MS 10000          /* between looks at the log's age; its size is looked at in each step */

struct upkeep_options {
    struct store *store;
    struct retain_limits keep;
    scrub_check_fn *check;              /* NULL: the digest alone; called in the writing thread */
    void *check_arg;
    /* Names a bad key for the log line; NULL: as hex. */
    const char *(*key_text)(char *out, size_t cap, struct bytes ns, struct bytes key);
};
struct upkeep;
MUST_USE enum err upkeep_open(struct upkeep **out, const struct upkeep_options *o, uint64_t now_ms, struct fault *fault);
void upkeep_close(struct upkeep *u);                /* before the store; NULL is fine */

struct upkeep_now { uint64_t mono_ms, core_ms, applied; };      /* core time; seq of the data */
/* In how many ms the next step is due. */
uint64_t upkeep_step(struct upkeep *u, const struct upkeep_now *now);
/* The retention's part alone, for who is about to write much in one go. */
void upkeep_retain(struct upkeep *u, const struct upkeep_now *now);
/* Any thread: */
void upkeep_keep(struct upkeep *u, const struct retain_limits *keep);      /* what a new configuration says */
/* Log records from this seq on will be asked for by nodes that copy from us: they stay while the log is not twice as large
 * as it may be. 0: none. */
void upkeep_hold(struct upkeep *u, uint64_t seq);
bool upkeep_rotten(const struct upkeep *u);         /* the last finished round, or the one at hand, found bit rot in this data */
void upkeep_metrics(const struct upkeep *u, struct stat_page *page);

#endif
