/* azoth-core's parts, for its own files only.
 *
 *     DNS thread       core.dns: questions, UPDATE (core_dns.h)
 *     loop thread      signals, publisher (PUB, REP, heartbeat), HTTP, API, a tick every 10 s
 *     writing thread   queue ─► jobs: zones, changes, API writes, upkeep ... (the committer is theirs)                              */
#ifndef AZOTH_BUILDER_CORE_H
#define AZOTH_BUILDER_CORE_H

#include "base/daemon.h"
#include "base/http.h"
#include "builder/api_http.h"
#include "builder/catalogs.h"
#include "builder/change.h"
#include "builder/core_dns.h"
#include "builder/core_records.h"
#include "builder/core_zones.h"
#include "replicator/keyring.h"
#include "replicator/nodes.h"
#include "replicator/publisher.h"
#include "replicator/upkeep.h"
#include "replicator/watch.h"

#include <stdatomic.h>

#define CORE_TICK_S WATCH_EVERY_S

struct core_stats { stat_count commits, last_commit_ms, applied, epoch, journal_entries, journal_bytes; };     /* of the committing thread */
struct core {
    const char *config_path;
    struct config *config;          /* as at start, but for zones and the log level */
    struct node_key key;
    struct nodes *nodes;            /* core.nodes: who is served; the loop's */
    struct keyring *keyring;        /* DIR/cluster.keys */
    bool known_stale;               /* DIR/cluster.nodes is to be written when the keys are changed */
    atomic_uint rotations;          /* of the cluster key, since nodes were removed: those that are not done */
    atomic_uint rotations_failed;   /* of those; one more try does for all of them */
    struct store *store;
    struct event_base *base;
    struct daemon_signals *signals;
    struct publisher *publisher;
    struct committer *committer;
    struct queue *queue;
    struct source *source;          /* DIR/records */
    struct changer *changer;
    struct catalogs *catalogs;
    struct wishes *wishes;          /* of the API, to core.dns's thread */
    struct board *board;            /* what secondaries are doing: of that thread, for all */
    struct core_dns *_Atomic dns;           /* core.dns; NULL: not configured */
    struct zones *zones;
    struct core_fleet *fleet;       /* who has what; core_fleet.h */
    struct http *http;
    struct api_http *api;           /* NULL: not configured */
    struct core_stats stats;
    struct head told;               /* the newest that was announced; the writing thread's */
    atomic_bool stop;               /* ends the job at hand */
    bool broken;                    /* the store; the process ends with code 1 */
    int ended_fd;                   /* eventfd: the writing thread has ended */
    struct upkeep *upkeep;          /* the writing thread's */
    uint64_t journal_ms;            /* then it looks at the journal's size and age */
    struct { _Atomic uint64_t age_ms, bytes; } journal_keep;
    uint64_t settle_ms;             /* then it looks whether the data lacks what the log has */
    struct watch watch;             /* the loop's */
    struct records_watch records;   /* the loop's */
};

/* DIR/node.key; made, and its public line logged, when DIR is absent or empty. */
MUST_USE enum err core_key(struct core *c, struct fault *fault);
/* core.nodes and DIR/cluster.keys; the first cluster key is made when core.encrypt is on. Behind the store. */
MUST_USE enum err core_nodes_open(struct core *c, struct fault *fault);
void core_nodes_close(struct core *c);
/* SIGHUP: the folder is read anew; a bad one leaves the old list. Who was removed is served no more, and an encrypting core
 * takes a new cluster key. */
MUST_USE enum err core_nodes_reload(struct core *c, const char *folder, struct fault *fault);
/* Now and then: what could not be done at once. */
void core_nodes_tick(struct core *c);
/* /metrics, /healthz, /readyz at core.http; nothing when not configured. */
MUST_USE enum err core_http_open(struct core *c, struct fault *fault);
/* watch.h. false: the store cannot be written any more, the process has to end. */
bool core_tick(struct core *c);
/* Begins the upkeep: a job that comes back. After the committer and the queue. */
MUST_USE enum err core_upkeep_open(struct core *c, struct fault *fault);
/* What a new configuration says of the journal's limits. Any thread. */
void core_upkeep_keep(struct core *c, const struct config_core *f);
/* In the writing thread, behind a commit: the log may have grown over its limit. */
void core_upkeep_committed(struct core *c);

#endif
