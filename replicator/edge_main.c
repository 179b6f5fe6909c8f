/* azoth-edge: keeps a replica of the core's data, and hands the log on when it is a relay. The I/O shell around
 * replica.h (what to do), edge.h (the store), link.h (the upstream) and publisher.h (our own subscribers).
 *
 *     drain_sub, drain_req, on_timer ─► replica_* ─► todo ─► do_todo ─► links, job_run: edge_do ─► replica_stored */
#include "base/clock.h"
#include "base/daemon.h"
#include "base/http.h"
#include "base/log.h"
#include "config/config.h"
#include "replicator/edge_say.h"
#include "replicator/edge_stat.h"
#include "replicator/link.h"
#include "replicator/publisher.h"
#include "replicator/edge_thread.h"
#include "replicator/upkeep.h"
#include "replicator/watch.h"

#include <event2/event.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGES_PER_WAKE 64            /* then the other events run */
#define REQUEST_SOON_MS 10              /* a request waits for its connection */

struct app {
    const char *config_path;
    struct config *config;
    struct event_base *base;
    struct store *store;
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
    uint64_t job_since_us;
    struct edge_stat stat;
    struct edge_say say;
    struct upkeep *upkeep;
    struct watch watch;
    bool failed;
};

static void do_todo(struct app *a, struct todo *t);

/* --- links ---------------------------------------------------------------------------------------------------------------- */
static void arm(struct app *a)
{
    uint64_t ms = replica_wake_ms(a->replica, clock_mono_ms());
    if (a->req != NULL && link_is_soon(a->req) && ms > REQUEST_SOON_MS)
        ms = REQUEST_SOON_MS;
    struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
    event_add(a->on_timer, &tv);
}

static void drain_sub(struct app *a)
{
    struct bytes msg;
    struct todo t;
    for (int left = MESSAGES_PER_WAKE; left > 0 && a->sub != NULL && link_recv(a->sub, &msg) == OK; left--) {
        enum err err = replica_announce(a->replica, msg, clock_mono_ms(), &t);
        edge_say_bad(&a->say, err, "announce", a->stat.replica.upstream);
        do_todo(a, &t);
    }
}

static void drain_req(struct app *a)
{
    struct bytes msg;
    struct todo t;
    for (int left = MESSAGES_PER_WAKE; left > 0 && a->req != NULL && link_recv(a->req, &msg) == OK; left--) {
        enum err err = replica_reply(a->replica, msg, clock_mono_ms(), &t);
        edge_say_bad(&a->say, err, "reply", a->stat.replica.upstream);
        do_todo(a, &t);
    }
}

static void on_sub(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    drain_sub(arg);
    arm(arg);
}

static void on_req(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    drain_req(arg);
    arm(arg);
}

static void links_close(struct app *a)
{
    if (a->on_sub != NULL)
        event_free(a->on_sub);
    if (a->on_req != NULL)
        event_free(a->on_req);
    a->on_sub = a->on_req = NULL;
    link_close(a->sub);
    link_close(a->req);
    a->sub = a->req = NULL;
}

static void links_open(struct app *a, unsigned upstream)
{
    const struct config_links *u = &a->config->edge->upstreams[upstream];
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64];
    enum err err = link_open(&a->sub, LINK_SUB, u->publish, &fault);
    if (err == OK && (err = link_open(&a->req, LINK_REQ, u->serve, &fault)) == OK) {
        a->on_sub = event_new(a->base, link_fd(a->sub), EV_READ | EV_PERSIST, on_sub, a);
        a->on_req = event_new(a->base, link_fd(a->req), EV_READ | EV_PERSIST, on_req, a);
        if (a->on_sub == NULL || a->on_req == NULL || event_add(a->on_sub, NULL) != 0
            || event_add(a->on_req, NULL) != 0)
            err = fault_set(&fault, ERR_NOMEM, "no memory for an upstream's events");
    }
    if (err == OK)
        return;
    log_error("edge.upstream", "upstream=%u err=%s next=next-upstream", upstream,
              log_quote(words, sizeof words, fault_text(&fault, err)));
    links_close(a);                     /* silence brings us to the next one */
}

/* --- todos ------------------------------------------------------------------------------------------------------------------ */
/* Core time is what the newest head says. */
static struct upkeep_now upkeep_now(struct app *a)
{
    replica_figures(a->replica, clock_mono_ms(), &a->stat.replica);
    const struct replica_figures *r = &a->stat.replica;
    return (struct upkeep_now){ clock_mono_ms(), r->have_head ? r->newest.time_ms : 0, a->edge.applied.seq };
}

static void job_done(struct app *a, const struct job_result *result, const struct fault *fault, struct todo *next)
{
    uint64_t us = clock_mono_us() - a->job_since_us, now = clock_mono_ms();
    a->stat.jobs++;
    a->stat.job_us += us;
    if (us > a->stat.job_us_most)
        a->stat.job_us_most = us;
    a->stat.transactions = a->edge.transactions;
    a->stat.ops = a->edge.ops;
    if (a->publisher != NULL)
        publisher_reached(a->publisher, a->edge.served.len > 0 ? &a->edge.served : NULL);
    struct upkeep_now at = upkeep_now(a);
    if (!a->compacting)                 /* else the store is the worker's still */
        upkeep_retain(a->upkeep, &at);
    replica_stored(a->replica, result, now, next);
    for (unsigned i = 0; i < next->notes_n; i++)
        edge_say_note(&a->say, &next->notes[i], fault_text(fault, result->err), store_cluster(a->store));
    next->notes_n = 0;
}

/* false: in the worker's hands. */
static bool job_run(struct app *a, const struct job *job, struct todo *next)
{
    struct job_result result = { .err = ERR_NOMEM };
    struct fault fault = { .text = "" };
    a->job_since_us = clock_mono_us();
    if (a->compacting || edge_is_large(&a->edge, job)) {
        if (edge_thread_begin(a->worker, job) == OK) {
            a->busy = a->job_out = true;
            return false;
        }
        struct replica_start at;
        edge_start(&a->edge, &at);
        result.log = at.log;
        result.applied = at.applied;
        result.complete = at.complete;
    } else {
        edge_do(&a->edge, job, &result, &fault);
    }
    job_done(a, &result, &fault, next);
    return true;
}

static void do_join(struct app *a, const uint8_t cluster[CLUSTER_LEN])
{
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64];
    enum err err = store_join(a->store, cluster, &fault);
    if (err == OK)
        return;
    /* Data without a cluster would be refused at every later start: better to end here and be started again. */
    log_error("edge.join", "err=%s next=exit", log_quote(words, sizeof words, fault_text(&fault, err)));
    a->failed = true;
    event_base_loopbreak(a->base);
}

static void do_todo(struct app *a, struct todo *t)
{
    struct todo next;
    for (;;) {
        if (t->join)
            do_join(a, t->cluster);
        for (unsigned i = 0; i < t->notes_n; i++)
            edge_say_note(&a->say, &t->notes[i], "", store_cluster(a->store));
        if (t->heard && a->publisher != NULL)
            publisher_forward(a->publisher, t->forward, &t->head);
        if (t->change) {
            links_close(a);
            links_open(a, t->upstream);
        }
        if (t->ask.len > 0 && a->req != NULL && link_send(a->req, t->ask) != OK)
            log_debug("edge.ask", "err=\"%s\" next=timeout", err_text(ERR_NET));
        if (t->job.kind == JOB_NONE || a->failed || !job_run(a, &t->job, &next))
            return;
        *t = next;
    }
}

/* Between jobs, in the worker's thread: the loop goes on hearing and relaying. */
static void compact_begin(struct app *a)
{
    if (!a->compact_wanted || a->busy)
        return;
    a->compact_wanted = false;
    a->busy = a->compacting = true;
    edge_thread_compact(a->worker);
}

static void compact_end(struct app *a)
{
    struct edge_compacted c;
    char words[FAULT_TEXT_MAX + 64];
    if (!edge_thread_compacted(a->worker, &c))
        return;
    a->compacting = false;
    a->busy = a->job_out;
    if (c.err == OK)
        log_info("edge.compacted", "before=%" PRIu64 " after=%" PRIu64 " ms=%" PRIu64, c.before, c.after, c.ms);
    else
        log_warn("edge.compact", "err=%s next=\"as before\"", log_quote(words, sizeof words, fault_text(&c.fault, c.err)));
}

static void on_compact(void *arg)
{
    struct app *a = arg;
    a->compact_wanted = true;
    compact_begin(a);
}

static void on_worker(evutil_socket_t fd, short what, void *arg)
{
    struct app *a = arg;
    struct job_result result;
    struct fault fault;
    struct todo t;
    (void)fd, (void)what;
    compact_end(a);
    if (edge_thread_take(a->worker, &result, &fault) == OK) {
        a->job_out = false;
        a->busy = a->compacting;
        job_done(a, &result, &fault, &t);
        do_todo(a, &t);
        arm(a);
    }
    compact_begin(a);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct app *a = arg;
    struct todo t;
    (void)fd, (void)what;
    drain_sub(a);                       /* nanomsg may have missed to say so */
    drain_req(a);
    if (a->publisher != NULL && publisher_asked_before(a->publisher))
        replica_rebuild(a->replica);
    replica_tick(a->replica, clock_mono_ms(), &t);
    do_todo(a, &t);
    replica_figures(a->replica, clock_mono_ms(), &a->stat.replica);
    a->stat.was_live = a->stat.was_live || a->stat.replica.state == REPLICA_LIVE;
    if (a->stat.replica.stopped)
        edge_say_stopped(&a->say, a->stat.replica.applied.seq);
    arm(a);
}

/* --- housekeeping and pages -------------------------------------------------------------------------------------------------- */
/* Between jobs: the store is ours now. A rotten store is copied anew, if the upstream has the whole log. */
static void on_upkeep(evutil_socket_t fd, short what, void *arg)
{
    struct app *a = arg;
    (void)fd, (void)what;
    uint64_t ms = UPKEEP_STEP_MS;
    if (!a->busy) {
        struct upkeep_now now = upkeep_now(a);
        ms = upkeep_step(a->upkeep, &now);
    }
    bool rotten = upkeep_rotten(a->upkeep);
    if (rotten && !a->stat.rotten)
        replica_rotten(a->replica);
    a->stat.rotten = rotten;
    struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
    event_add(a->on_upkeep, &tv);
}

static void on_housekeeping(evutil_socket_t fd, short what, void *arg)
{
    struct app *a = arg;
    (void)fd, (void)what;
    if (a->busy)
        return;
    if (!watch_tick(&a->watch, a->store, clock_mono_ms())) {
        a->failed = true;
        event_base_loopexit(a->base, NULL);
    }
}

static int metrics_page(void *arg, struct stat_page *page)
{
    struct app *a = arg;
    replica_figures(a->replica, clock_mono_ms(), &a->stat.replica);
    if (!a->busy)                       /* else those of the last time: the store is the worker's */
        watch_look(&a->watch, a->store, clock_mono_ms());
    edge_stat_metrics(&a->stat, page);
    watch_metrics(&a->watch, page);
    upkeep_metrics(a->upkeep, page);
    if (a->publisher != NULL)
        publisher_metrics(a->publisher, page);
    return 200;
}

static int health_page(void *arg, struct stat_page *page)
{
    (void)arg;
    stat_print(page, "ok\n");
    return 200;
}

static int ready_page(void *arg, struct stat_page *page)
{
    struct app *a = arg;
    replica_figures(a->replica, clock_mono_ms(), &a->stat.replica);
    a->stat.was_live = a->stat.was_live || a->stat.replica.state == REPLICA_LIVE;
    const char *why = edge_stat_unready(&a->stat);
    stat_print(page, "%s\nstate %s\nepoch %" PRIu64 "\napplied %" PRIu64 "\n", why != NULL ? why : "ready",
               a->stat.replica.stopped ? "stopped" : replica_state_text(a->stat.replica.state),
               a->stat.replica.applied.epoch, a->stat.replica.applied.seq);
    return why != NULL ? 503 : 200;
}

/* --- life ---------------------------------------------------------------------------------------------------------------------- */
static void reload(void *arg)
{
    struct app *a = arg;
    struct config *c;
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64];
    enum err err = config_load(a->config_path, &c, &fault);
    if (err != OK) {
        log_error("edge.reload", "err=%s next=keep-old", log_quote(words, sizeof words, fault_text(&fault, err)));
        return;
    }
    log_setup(c->log.level, c->log.json);
    config_free(c);
    log_info("edge.reload", "took=log");
}

static void drain(void *arg)
{
    struct app *a = arg;
    log_info("edge.stop", "applied=%" PRIu64, a->stat.replica.applied.seq);
    event_base_loopexit(a->base, NULL);
}

static enum err store_start(struct app *a, struct fault *fault)
{
    const struct config *c = a->config;
    struct store_options so = { .dir = c->node.dir, .mode = STORE_CREATE, .role = STORE_EDGE,
                                .map_size = c->node.map_size };
    struct replica_options ro = { .cohort = c->edge->cohort, .node = c->node.name,
                                  .upstreams = (unsigned)c->edge->upstreams_n };
    struct replica_start at;
    char words[FAULT_TEXT_MAX + 64];
    enum err err = store_open(&a->store, &so, fault);
    if (err != OK || (err = edge_open(&a->edge, a->store, c->edge->core_key, fault)) != OK)
        return err;
    if (fault->text[0] != '\0')
        log_warn("edge.log", "info=%s", log_quote(words, sizeof words, fault->text));
    a->watch.readers_cleared += store_clear_readers(a->store);
    memcpy(ro.core_pub, c->edge->core_key, sizeof ro.core_pub);
    randombytes_buf(&ro.seed, sizeof ro.seed);
    edge_start(&a->edge, &at);
    err = replica_open(&a->replica, &ro, &at, clock_mono_ms());
    if (err != OK || (err = edge_thread_open(&a->worker, &a->edge)) != OK)
        return fault_set(fault, err, "no memory for the replica");
    struct upkeep_options uo = { .store = a->store, .keep = { RETAIN_AGE_MS, RETAIN_BYTES } };
    return upkeep_open(&a->upkeep, &uo, clock_mono_ms(), fault);
}

static enum err pages_start(struct app *a, struct fault *fault)
{
    const char *listen = a->config->edge->http.listen;
    enum err err;
    if (listen == NULL)
        return OK;
    if ((err = http_open(&a->http, a->base, listen, fault)) != OK)
        return err;
    if ((err = http_route(a->http, "/metrics", "text/plain; version=0.0.4", metrics_page, a)) == OK
        && (err = http_route(a->http, "/healthz", "text/plain", health_page, a)) == OK)
        err = http_route(a->http, "/readyz", "text/plain", ready_page, a);
    return err == OK ? OK : fault_set(fault, err, "no memory for the pages");
}

static enum err loop_start(struct app *a, struct fault *fault)
{
    static const struct timeval soon = { 0, 0 }, housekeeping = { WATCH_EVERY_S, 0 };
    const struct config_links *relay = a->config->edge->relay;
    enum err err;
    if (relay != NULL) {
        struct publisher_options po = { .base = a->base, .store = a->store, .publish = relay->publish,
                                        .serve = relay->serve, .node = a->config->node.name };
        if ((err = publisher_open(&a->publisher, &po, fault)) != OK)
            return err;
    }
    if ((err = pages_start(a, fault)) != OK)
        return err;
    a->on_timer = event_new(a->base, -1, 0, on_timer, a);
    a->on_worker = event_new(a->base, edge_thread_fd(a->worker), EV_READ | EV_PERSIST, on_worker, a);
    a->on_housekeeping = event_new(a->base, -1, EV_PERSIST, on_housekeeping, a);
    a->on_upkeep = event_new(a->base, -1, 0, on_upkeep, a);
    if (a->on_timer == NULL || a->on_worker == NULL || a->on_housekeeping == NULL || a->on_upkeep == NULL
        || event_add(a->on_upkeep, &soon) != 0 || event_add(a->on_timer, &soon) != 0
        || event_add(a->on_worker, NULL) != 0 || event_add(a->on_housekeeping, &housekeeping) != 0)
        return fault_set(fault, ERR_NOMEM, "no memory for the loop's events");
    links_open(a, 0);
    return OK;
}

static enum err start(struct app *a, struct fault *fault)
{
    struct daemon_hooks hooks = { .arg = a, .reload = reload, .drain = drain, .user1 = on_compact };
    enum err err;
    if (sodium_init() < 0 || (a->base = event_base_new()) == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for the loop");
    if ((err = daemon_signals_open(&a->signals, a->base, &hooks)) != OK)
        return fault_set(fault, err, "cannot take signals");
    if ((err = store_start(a, fault)) != OK)
        return err;
    return loop_start(a, fault);
}

static void stop(struct app *a)
{
    struct event *events[] = { a->on_timer, a->on_worker, a->on_housekeeping, a->on_upkeep };
    links_close(a);
    http_close(a->http);
    publisher_close(a->publisher);
    edge_thread_close(a->worker);       /* after the publisher: a large transaction may take a moment to end */
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    replica_close(a->replica);
    upkeep_close(a->upkeep);
    edge_close(&a->edge);
    store_close(a->store);
    daemon_signals_close(a->signals);
    if (a->base != NULL)
        event_base_free(a->base);
    config_free(a->config);
}

int main(int argc, char **argv)
{
    struct daemon_options o;
    struct app a = { .config = NULL };
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64];
    daemon_options(argc, argv, "azoth-edge", "Keeps a replica of the core's data, and relays the log.", &o);
    a.config_path = o.config_path;
    enum err err = config_load(o.config_path, &a.config, &fault);
    if (err == OK && a.config->edge == NULL)
        err = fault_set(&fault, ERR_CONFIG, "%s: has no part `edge`", o.config_path);
    if (err == OK && o.check) {
        config_free(a.config);
        return 0;
    }
    if (err == OK) {
        log_setup(a.config->log.level, a.config->log.json);
        err = start(&a, &fault);
    }
    if (err == OK) {
        log_info("edge.start", "node=%s epoch=%" PRIu64 " applied=%" PRIu64 " upstreams=%zu relay=%s", a.config->node.name,
                 a.edge.applied.epoch, a.edge.applied.seq, a.config->edge->upstreams_n, a.publisher != NULL ? "yes" : "no");
        daemon_notify("READY=1");
        event_base_dispatch(a.base);
        daemon_notify("STOPPING=1");
    } else {
        log_error("edge.start", "err=%s next=exit", log_quote(words, sizeof words, fault_text(&fault, err)));
    }
    stop(&a);
    return err == OK && !a.failed ? 0 : 1;
}
