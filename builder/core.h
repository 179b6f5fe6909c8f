/* azoth-core's parts, for its own files only.
 *
 *     loop thread      signals, publisher (PUB, REP, heartbeat), HTTP, API, a tick every 10 s
 *     writing thread   queue ─► jobs: zones, API writes, upkeep ... (the committer is theirs)                                      */
#ifndef AZOTH_BUILDER_CORE_H
#define AZOTH_BUILDER_CORE_H

#include "base/http.h"
#include "builder/api_http.h"
#include "builder/core_zones.h"
#include "replicator/publisher.h"
#include "replicator/upkeep.h"
#include "replicator/watch.h"

#include <stdatomic.h>

#define CORE_TICK_S WATCH_EVERY_S

struct core_stats { stat_count commits, last_commit_ms, applied, epoch; };      /* of the committing thread */
struct core {
    const char *config_path;
    struct config *config;          /* as at start, but for zones and the log level */
    struct node_key key;
    struct store *store;
    struct event_base *base;
    struct publisher *publisher;
    struct committer *committer;
    struct queue *queue;
    struct zones *zones;
    struct http *http;
    struct api_http *api;           /* NULL: not configured */
    struct core_stats stats;
    atomic_bool stop;               /* ends the job at hand */
    bool broken;                    /* the store; the process ends with code 1 */
    int ended_fd;                   /* eventfd: the writing thread has ended */
    struct upkeep *upkeep;          /* the writing thread's */
    struct watch watch;             /* the loop's */
};

/* DIR/node.key; made, and its public line logged, when DIR is absent or empty. */
MUST_USE enum err core_key(struct core *c, struct fault *fault);
/* /metrics, /healthz, /readyz at core.http; nothing when not configured. */
MUST_USE enum err core_http_open(struct core *c, struct fault *fault);
/* watch.h. false: the store cannot be written any more, the process has to end. */
bool core_tick(struct core *c);
/* Begins the upkeep: a job that comes back. After the committer and the queue. */
MUST_USE enum err core_upkeep_open(struct core *c, struct fault *fault);
/* In the writing thread, behind a commit: the log may have grown over its limit. */
void core_upkeep_committed(struct core *c);

#endif
