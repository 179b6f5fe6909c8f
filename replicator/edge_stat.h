/* What azoth-edge shows at /metrics and /readyz. */
#ifndef AZOTH_REPLICATOR_EDGE_STAT_H
#define AZOTH_REPLICATOR_EDGE_STAT_H

#include "base/stat.h"
#include "replicator/replica.h"

struct edge_stat {
    struct replica_figures replica;
    uint64_t transactions, ops, jobs, job_us, job_us_most;
    bool was_live;                  /* since the start */
    bool rotten;                    /* the scrub found bit rot */
};
void edge_stat_metrics(const struct edge_stat *s, struct stat_page *page);
/* NULL: ready. Else why not. Ready: was live since the start, goes on applying, and a newer head came in the last 10 s. */
const char *edge_stat_unready(const struct edge_stat *s);

#endif
