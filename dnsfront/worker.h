/* A worker of azoth-dns: one thread with an event loop of its own, its own sockets, view and answerer. Shared with
 * others are the store, the answer cache, what shared.h holds, and counters that others only read.
 *
 *     main ── worker_start ──► thread: loop { UDP batches, TCP connections, the bell }
 *          ── worker_serve ──► rings: there is a store now
 *          ── worker_stop ───► rings: finish what came in, then end;  worker_close joins it */
#ifndef AZOTH_DNSFRONT_WORKER_H
#define AZOTH_DNSFRONT_WORKER_H

#include "base/log.h"
#include "config/config.h"
#include "dnsfront/answer.h"
#include "dnsfront/cookies.h"
#include "dnsfront/listen.h"

#include <pthread.h>

#define DRAIN_MS 2000               /* for TCP clients to take what is pending, after SIGTERM */

struct event;
struct event_base;
struct shared;
struct udp;
struct tcp;

struct worker_counters {
    struct answer_counters answers;
    stat_count view_failed;         /* batches answered with SERVFAIL because no view could be had */
    stat_count udp_unsent;          /* replies that the kernel did not take */
    stat_count tcp_accepted, tcp_closed;                    /* over TLS too; open = accepted - closed */
    stat_count tcp_refused, tcp_refused_client, tcp_refused_files;      /* no place, none for this client, no descriptor */
    stat_count tcp_gave_way;        /* closed to make room for another */
    stat_count tcp_timeouts, tcp_broken;
    stat_count tls_failed;          /* handshakes */
    stat_count proxy_refused;       /* datagrams and connections of a proxy without a good header */
    stat_count rrl_dropped, rrl_slipped;
    stat_count rrl_network;         /* whom rrl held back last: the bytes of an IPv4 /24, or of an IPv6 /56 behind a 1; main sets it to 0 */
};
struct worker {
    const struct config_dns *config;
    struct shared *shared;
    struct cookie_secrets cookies;  /* those of shared, as of the last bell */
    unsigned number, workers;
    struct cache *cache;            /* shared by all workers; borrowed until worker_close */
    int superseded_fd;              /* eventfd of the main thread: a view said that its generation is old */
    struct worker_counters counters;

    pthread_t thread;
    bool started;
    struct event_base *base;
    int bell_fd;                    /* eventfd: look at store_given and stopping */
    struct event *bell;
    _Atomic(struct store *) store_given;
    atomic_bool stopping;

    atomic_bool serving;            /* has a view and an answerer */

    struct view *view;              /* the thread's own from here on */
    bool viewing;                   /* between view_begin and view_end */
    struct answerer *blank, *answerer;      /* blank: without a store */
    uint64_t version;               /* of the last batch's view */
    struct log_brake brake;
    struct udp *udp;
    struct tcp *tcp;
    uint64_t sliced_us;             /* when worker_slice looked at UDP */
};

/* Opens sockets and loop; the thread is started apart, when everything that can fail has been tried. */
MUST_USE enum err worker_open(struct worker *w, const struct listen_address *listens, size_t n, struct fault *fault);
MUST_USE enum err worker_start(struct worker *w, struct fault *fault);
/* There is a store now; s outlives the worker. Called again every second: an idle worker looks at its view then. */
void worker_serve(struct worker *w, struct store *s);
void worker_stop(struct worker *w);
void worker_close(struct worker *w);                    /* joins the thread; fine on a half-open worker */

/* --- for udp.c and tcp.c, in the worker's thread ---------------------------------------------------------------- */
/* A view for one batch; gives the answerer to use until worker_view_end. Never fails: without a view it is the blank one. */
struct answerer *worker_view_begin(struct worker *w);
void worker_view_end(struct worker *w);
/* Behind each piece of work for a stream: has it been long, UDP has a turn. So a UDP query waits for SLICE_US and the one
 * piece of work, however many connections have something to do. Without a view only. */
#define SLICE_US 500
void worker_slice(struct worker *w);

#endif
