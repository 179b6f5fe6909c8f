/* azoth-edge: to-dos and jobs. The store belongs to one job at a time; large ones, and compaction, are the worker's.
 *
 *     app_do ─► job_run ─► edge_do, or edge_thread_begin ... app_on_worker ─► job_done ─► replica_stored ─► the next to-do */
#include "replicator/edge_app.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <sodium.h>

#define PRESSED_US 3000                 /* jobs closer together than this are done beside the loop */
#define SETTLE_MS 5000                  /* what is applied is on the disk after this long at most, */
#define SETTLE_SOON_MS 1000             /* and not before: edges of one disk, which apply the same at the same moment, take turns */

/* Core time is what the newest head says. */
static struct upkeep_now upkeep_now(struct app *a)
{
    replica_figures(a->replica, clock_mono_ms(), &a->stat.replica);
    const struct replica_figures *r = &a->stat.replica;
    if (a->publisher != NULL)
        upkeep_hold(a->upkeep, publisher_needs(a->publisher));
    return (struct upkeep_now){ clock_mono_ms(), r->have_head ? r->newest.time_ms : 0, a->edge.applied.seq };
}

void app_note_told(struct app *a, const struct position *applied)
{
    struct head h;
    struct rd r = rd_over(bytes_of(a->edge.head.body, a->edge.head.len));
    if (a->edge.head.len > 0 && head_read(&r, &h) == OK && h.epoch == applied->epoch && h.seq == applied->seq)
        a->told = h;
}

static void job_done(struct app *a, const struct job_result *result, const struct fault *fault, struct todo *next)
{
    a->job_end_us = clock_mono_us();
    uint64_t us = a->job_end_us - a->job_since_us, now = clock_mono_ms();
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
    if (result->err == ERR_KEY || result->applied.seq != a->told.seq) {     /* none, when a copy made it needless */
        struct bytes send;
        session_want_key(a->session, result->err == ERR_KEY ? a->edge.replay.key_wanted : 0, now, &send);
        app_send(a, send);
    }
    app_note_told(a, &result->applied);
    replica_stored(a->replica, result, now, next);
    edge_report_look(a->report);
    for (unsigned i = 0; i < next->notes_n; i++)
        edge_say_note(&a->say, &next->notes[i], fault_text(fault, result->err), store_cluster(a->store));
    next->notes_n = 0;
}

/* One job behind the other: the loop should hear and forward what comes meanwhile. Where it forwards to nobody, and nothing waits yet,
 * a record is stored sooner than a thread wakes for it. */
static bool is_pressed(const struct app *a, const struct job *job)
{
    return (a->publisher != NULL || job->n > 1) && clock_mono_us() - a->job_end_us < PRESSED_US;
}

/* false: in the worker's hands. */
static bool job_run(struct app *a, const struct job *job, struct todo *next)
{
    struct job_result result = { .err = ERR_NOMEM };
    struct fault fault = { .text = "" };
    a->job_since_us = clock_mono_us();
    if (a->compacting || edge_is_large(&a->edge, job) || is_pressed(a, job)) {
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

void app_send_on(struct app *a)
{
    if (a->publisher != NULL)
        publisher_send(a->publisher);
}

void app_hear(struct app *a, struct todo *t)
{
    struct todo next;
    for (;;) {
        if (t->join)
            do_join(a, t->cluster);
        for (unsigned i = 0; i < t->notes_n; i++)
            edge_say_note(&a->say, &t->notes[i], "", store_cluster(a->store));
        if (t->nodes > 0)
            edge_report_nodes(a->report, t->nodes);
        if (t->heard && a->publisher != NULL)
            publisher_forward(a->publisher, t->forward, &t->head);
        if (t->change) {
            app_links_close(a);
            app_links_open(a, t->upstream);
        }
        if (t->ask.len > 0) {
            struct bytes send;
            session_ask(a->session, t->ask, clock_mono_ms(), &send);
            app_send(a, send);
        }
        if (t->job.kind == JOB_NONE || a->failed)
            return;
        app_send_on(a);                 /* before it is stored, which takes longer */
        if (!job_run(a, &t->job, &next))
            return;
        *t = next;
    }
}

void app_do(struct app *a, struct todo *t)
{
    app_hear(a, t);
    app_send_on(a);
}

/* --- the worker ----------------------------------------------------------------------------------------------------- */
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

void app_on_compact(void *arg)
{
    struct app *a = arg;
    if (sodium_is_zero(store_cluster(a->store), CLUSTER_LEN) == 1) {
        log_info("edge.compact", "info=\"no data yet\" next=ignore");     /* and joining writes to the store from the loop */
        return;
    }
    a->compact_wanted = true;
    compact_begin(a);
}

/* A rotten store is copied anew; what was copied may rot as well. */
static void rot_look(struct app *a)
{
    bool rotten = upkeep_rotten(a->upkeep);
    if (rotten && !a->stat.rotten)
        replica_rotten(a->replica);
    a->stat.rotten = rotten;
    if (a->publisher != NULL)
        publisher_rotten(a->publisher, rotten);
}

/* Else a worker that is never idle would leave them none. */
static void missed_turns(struct app *a)
{
    struct upkeep_now now = upkeep_now(a);
    if (a->busy)
        return;
    if (a->missed_upkeep)
        (void)upkeep_step(a->upkeep, &now);
    rot_look(a);
    if (a->missed_watch)
        app_on_housekeeping(-1, 0, a);
    a->missed_upkeep = a->missed_watch = false;
}

void app_on_worker(evutil_socket_t fd, short what, void *arg)
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
        missed_turns(a);
        compact_begin(a);               /* before the next job, which waits: jobs may follow each other for hours */
        app_do(a, &t);
        app_arm(a);
    }
    compact_begin(a);                   /* asked for during the last compaction */
}

/* --- upkeep --------------------------------------------------------------------------------------------------------- */
/* What a crash of the machine takes back comes again from upstream, which may be down by then: so it should be little. */
static void settle_look(struct app *a)
{
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64];
    uint64_t now = clock_mono_ms();
    if (store_is_settled(a->store)) {
        a->settle_ms = 0;
        return;
    }
    if (a->settle_ms == 0)
        a->settle_ms = now + SETTLE_SOON_MS + randombytes_uniform(SETTLE_MS - SETTLE_SOON_MS);
    if (now < a->settle_ms || store_is_fresh(a->store) || store_is_broken(a->store))
        return;
    a->settle_ms = 0;
    enum err err = store_settle(a->store, &fault);
    if (err != OK)
        log_error("edge.settle", "err=%s next=\"what came since the last one comes again\"",
                  log_quote(words, sizeof words, fault_text(&fault, err)));
}

/* Between jobs: the store is ours now, unless a copy fills it. */
void app_on_upkeep(evutil_socket_t fd, short what, void *arg)
{
    struct app *a = arg;
    (void)fd, (void)what;
    uint64_t ms = UPKEEP_STEP_MS;
    a->missed_upkeep = a->busy;
    if (!a->busy) {
        struct upkeep_now now = upkeep_now(a);
        ms = upkeep_step(a->upkeep, &now);
        settle_look(a);
    }
    rot_look(a);
    struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
    event_add(a->on_upkeep, &tv);
}

void app_on_housekeeping(evutil_socket_t fd, short what, void *arg)
{
    struct app *a = arg;
    (void)fd, (void)what;
    a->missed_watch = a->busy;
    if (a->busy)
        return;
    if (!watch_tick(&a->watch, a->store, clock_mono_ms())) {
        a->failed = true;
        event_base_loopexit(a->base, NULL);
    }
}
