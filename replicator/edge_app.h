/* azoth-edge's parts, for its own files only.
 *
 *     edge_links.c   the upstream: announcements, replies, our requests, cluster keys, and the timer of all this
 *     edge_jobs.c    what the replica wants done: to-dos, jobs on the store, the worker, compaction, upkeep
 *     edge_pages.c   what the node says of itself: /metrics, /healthz, /readyz, receipts
 *     edge_main.c    start, SIGHUP, end                                                                                           */
#ifndef AZOTH_REPLICATOR_EDGE_APP_H
#define AZOTH_REPLICATOR_EDGE_APP_H

#include "base/daemon.h"
#include "base/http.h"
#include "config/config.h"
#include "replicator/collect.h"
#include "replicator/edge_report.h"
#include "replicator/edge_say.h"
#include "replicator/edge_stat.h"
#include "replicator/edge_thread.h"
#include "replicator/keyring.h"
#include "replicator/link.h"
#include "replicator/nodes.h"
#include "replicator/publisher.h"
#include "replicator/session.h"
#include "replicator/upkeep.h"
#include "replicator/watch.h"

#include <event2/event.h>

struct app {
    const char *config_path;
    struct config *config;
    struct event_base *base;
    struct store *store;
    struct node_key key;
    struct keyring *keyring;            /* cluster keys, as our upstreams hand them out */
    struct nodes *nodes;                /* whom a relay serves; NULL: no relay */
    struct session *session;
    struct edge edge;
    struct replica *replica;
    struct edge_thread *worker;         /* does the large jobs */
    struct publisher *publisher;        /* NULL: no relay */
    struct http *http;
    struct daemon_signals *signals;
    struct link *sub, *req;
    struct event *on_sub, *on_req, *on_timer, *on_worker, *on_housekeeping, *on_upkeep;
    bool busy;                          /* the worker has the store: a job, or a compaction */
    bool job_out, compacting, compact_wanted;
    uint64_t timer_ms;                  /* on_timer is due then; 0: it is not waiting */
    uint64_t settle_ms;                 /* when the store's commits that are not synced will be; 0: there were none */
    bool missed_upkeep, missed_watch;   /* their turn came while the worker had the store */
    uint64_t job_since_us, job_end_us;
    struct edge_stat stat;
    struct edge_say say;
    struct upkeep *upkeep;
    struct collect *collect;            /* receipts: ours, and those of who is behind us */
    struct edge_report *report;
    struct head told;                   /* what our receipts tell: the data that is served */
    struct watch watch;
    bool failed;
};

/* --- edge_links.c --- */
/* The upstream's two links and the one for receipts; what fails is logged, and silence brings the next upstream. */
void app_links_open(struct app *a, unsigned upstream);
void app_links_close(struct app *a);
/* Nothing for an empty one, or without an upstream. */
void app_send(struct app *a, struct bytes request);
/* app_on_timer at the time that the replica waits for. */
void app_arm(struct app *a);
void app_on_timer(evutil_socket_t fd, short what, void *arg);

/* --- edge_jobs.c --- */
/* All that is in *t, and the jobs that follow from it, until the store has none or the worker has one. */
void app_do(struct app *a, struct todo *t);
/* The same of one of several that were heard together: what is to be sent on goes with app_send_on, or before a job. */
void app_hear(struct app *a, struct todo *t);
void app_send_on(struct app *a);
/* Position and digest that belong together. Between jobs: a fresh generation is none of it until it is served. */
void app_note_told(struct app *a, const struct position *applied);
void app_on_worker(evutil_socket_t fd, short what, void *arg);
void app_on_upkeep(evutil_socket_t fd, short what, void *arg);
void app_on_housekeeping(evutil_socket_t fd, short what, void *arg);
void app_on_compact(void *arg);         /* SIGUSR1 */

/* --- edge_pages.c --- */
void app_fill_receipt(void *arg, struct receipt *out);
MUST_USE enum err app_pages_start(struct app *a, struct fault *fault);

#endif
