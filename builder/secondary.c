#include "builder/secondary_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "builder/queue.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TICK_US 250000
#define KEPT_TICKS 4

static void pump(struct secondary *s);

/* --- what is kept ---------------------------------------------------------------------------------------------------------- */
struct kept_batch { struct source *source; struct secondary_kept *kept; size_t n; };

static void batch_drop(void *arg)
{
    struct kept_batch *b = arg;
    free(b->kept);
    free(b);
}

static void batch_write(void *arg)
{
    struct kept_batch *b = arg;
    struct source_txn *t = NULL;
    struct fault fault = { "" };
    char why[600];
    enum err err = source_begin(b->source, SOURCE_WRITE, &t, &fault);
    for (size_t i = 0; err == OK && i < b->n; i++)
        if ((err = source_secondary_put(t, name_bytes(&b->kept[i].apex), &b->kept[i].kept, &fault)) == ERR_NOTFOUND)
            err = OK;                           /* it went meanwhile */
    if (err == OK)
        err = source_commit(t, &fault);
    else
        source_abort(t);
    if (err != OK)
        log_warn("secondary.kept", "zones=%zu err=%s next=\"a restart asks for them sooner\"", b->n,
                 log_quote(why, sizeof why, fault_text(&fault, err)));
    batch_drop(b);
}

static void kept_flush(struct secondary *s)
{
    struct kept_batch *b = s->kept_n == 0 ? NULL : calloc(1, sizeof *b);
    if (b == NULL)
        return;
    *b = (struct kept_batch){ s->o.source, s->kept, s->kept_n };
    s->kept = NULL;
    s->kept_n = s->kept_cap = 0;
    if (queue_push(s->o.queue, &(struct job){ batch_write, batch_drop, b }, 0) != OK)
        batch_drop(b);
}

static void kept_note(struct secondary *s, const struct name *apex, const struct refresh_kept *k)
{
    if (s->kept_n == s->kept_cap) {
        size_t cap = s->kept_cap == 0 ? 16 : 2 * s->kept_cap;
        struct secondary_kept *grown = realloc(s->kept, cap * sizeof *grown);
        if (grown == NULL)
            return;                             /* asked for sooner behind a restart */
        s->kept = grown;
        s->kept_cap = cap;
    }
    s->kept[s->kept_n++] = (struct secondary_kept){ *apex, *k };
}

/* --- changes ------------------------------------------------------------------------------------------------------------------ */
/* In the writing thread, that of full builds, or whoever ends the changer. */
static void on_told(void *arg, struct change *c)
{
    struct secondary_job *j = arg;
    struct secondary *s = j->s;
    uint64_t one = 1;
    (void)c;
    (void)pthread_mutex_lock(&s->lock);
    j->told = s->told;
    s->told = j;
    (void)pthread_mutex_unlock(&s->lock);
    if (write(s->bell_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_error("secondary", "err=\"cannot wake the thread\"");
}

void secondary_put(struct secondary_job *j)
{
    j->putting = true;
    j->change.told = on_told;
    j->change.told_arg = j;
    changer_put(j->s->o.changer, &j->change);
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    struct secondary *s = arg;
    uint64_t rings;
    ssize_t n = read(fd, &rings, sizeof rings);
    (void)n, (void)what;
    (void)pthread_mutex_lock(&s->lock);
    struct secondary_job *j = s->told;
    s->told = NULL;
    (void)pthread_mutex_unlock(&s->lock);
    for (struct secondary_job *next; j != NULL; j = next) {
        next = j->told;
        j->putting = false;
        if (j->todo.what == REFRESH_TRANSFER)
            secondary_change_told(j);
        else
            secondary_end(j, j->change.result.end == CHANGE_DONE ? REFRESH_DONE : REFRESH_FAILED, 0,
                          j->change.result.end == CHANGE_DONE ? NULL : fault_text(&j->change.result.fault, j->change.result.err));
    }
    pump(s);
}

/* --- ends ----------------------------------------------------------------------------------------------------------------------- */
static void count(struct secondary *s, const struct secondary_job *j, enum refresh_outcome outcome)
{
    stat_count *c = outcome == REFRESH_SILENT ? &s->silent : j->todo.what == REFRESH_SOA ? outcome == REFRESH_FAILED ? &s->answers_bad : NULL
                  : j->todo.what == REFRESH_EXPIRE ? outcome == REFRESH_DONE ? &s->expired : NULL
                  : j->todo.what == REFRESH_REVIVE ? outcome == REFRESH_DONE ? &s->revived : NULL
                  : outcome == REFRESH_FAILED ? &s->failed : outcome == REFRESH_CURRENT ? &s->current
                  : xfrin_is_whole(j->x) ? &s->whole : &s->steps;
    if (c != NULL)
        stat_add(c, 1);
}

static void tell(const struct secondary_job *j, enum refresh_outcome outcome, uint32_t serial, const char *why)
{
    static const char *const what[] = { [REFRESH_SOA] = "soa", [REFRESH_TRANSFER] = "transfer", [REFRESH_EXPIRE] = "expire", [REFRESH_REVIVE] = "revive" };
    char name[NAME_TEXT_MAX], quoted[700];
    const char *zone = name_text(name, sizeof name, name_bytes(&j->todo.apex));
    bool asks = j->todo.what == REFRESH_SOA || j->todo.what == REFRESH_TRANSFER;
    const char *primary = asks ? j->s->primaries[j->todo.primary].text : "-";
    if (why != NULL)
        log_warn("secondary.failed", "zone=%s what=%s primary=%s err=%s", zone, what[j->todo.what], primary, log_quote(quoted, sizeof quoted, why));
    else if (j->todo.what == REFRESH_TRANSFER && outcome == REFRESH_DONE)
        log_info("secondary.transfer", "zone=%s primary=%s from=%" PRIu32 " to=%" PRIu32 " kind=%s messages=%" PRIu64 " bytes=%" PRIu64 " seq=%" PRIu64 " ms=%" PRIu64,
                 zone, primary, j->has_soa ? j->from : 0, serial, xfrin_is_whole(j->x) ? "whole" : "steps", xfrin_messages(j->x), xfrin_bytes(j->x),
                 j->change.result.seq, clock_mono_ms() - j->begun_ms);
    else if (j->todo.what == REFRESH_EXPIRE)
        log_warn("secondary.expired", "zone=%s next=\"SERVFAIL until a primary is heard\"", zone);
    else if (j->todo.what == REFRESH_REVIVE)
        log_info("secondary.revived", "zone=%s", zone);
}

static void job_free(struct secondary_job *j)
{
    struct secondary *s = j->s;
    *(j->prev != NULL ? &j->prev->next : &s->jobs) = j->next;
    if (j->next != NULL)
        j->next->prev = j->prev;
    secondary_ask_close(j);
    change_release(&j->change);
    free(j);
}

void secondary_end(struct secondary_job *j, enum refresh_outcome outcome, uint32_t serial, const char *why)
{
    struct secondary *s = j->s;
    struct refresh_timers t;
    struct refresh_kept kept;
    uint8_t rdata[1024];
    size_t len;
    uint32_t live;
    bool has = outcome == REFRESH_DONE && j->todo.what == REFRESH_TRANSFER
               && secondary_soa(s, name_bytes(&j->todo.apex), rdata, sizeof rdata, &len, &live, &t);
    count(s, j, outcome);
    tell(j, outcome, serial, why);
    if (refresh_told(s->refresh, &j->todo, outcome, serial, has ? &t : NULL, clock_mono_ms(), clock_wall_ms() / 1000, &kept) == OK)
        kept_note(s, &j->todo.apex, &kept);
    job_free(j);
    if (!s->stopping)
        event_active(s->timer, EV_TIMEOUT, 0);
}

/* --- to-dos -------------------------------------------------------------------------------------------------------------------- */
static void job_start(struct secondary *s, const struct refresh_todo *todo)
{
    struct secondary_job *j = calloc(1, sizeof *j);
    struct refresh_kept kept;
    if (j == NULL) {                            /* tried again when its time comes */
        enum err err = refresh_told(s->refresh, todo, REFRESH_FAILED, 0, NULL, clock_mono_ms(), clock_wall_ms() / 1000, &kept);
        log_error("secondary", "err=\"%s\"", err_text(err == OK ? ERR_NOMEM : err));
        return;
    }
    j->s = s;
    j->todo = *todo;
    j->fd = -1;
    j->begun_ms = clock_mono_ms();
    j->next = s->jobs;
    if (j->next != NULL)
        j->next->prev = j;
    s->jobs = j;
    bool state = todo->what == REFRESH_EXPIRE || todo->what == REFRESH_REVIVE;
    change_init(&j->change, state ? CHANGE_STATE : CHANGE_EDIT, name_bytes(&todo->apex));
    if (!state) {
        stat_add(&s->questions, todo->what == REFRESH_SOA);
        secondary_ask(j);
        return;
    }
    j->change.author.via = VIA_TRANSFER;
    j->change.state = todo->what == REFRESH_EXPIRE ? ZONE_EXPIRED : ZONE_LIVE;
    secondary_put(j);
}

static void pump(struct secondary *s)
{
    struct refresh_todo todo;
    struct refresh_figures f;
    uint64_t wait;
    if (s->stopping)
        return;
    while (refresh_next(s->refresh, clock_mono_ms(), &todo, &wait))
        job_start(s, &todo);
    wait = wait < 60000 ? wait : 60000;
    struct timeval tv = { (time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000) };
    (void)event_add(s->timer, &tv);
    refresh_figures(s->refresh, &f);
    stat_set(&s->zones_now, f.zones);
    stat_set(&s->waiting_now, f.waiting);
    stat_set(&s->transfers_now, f.transfers);
    stat_set(&s->expired_now, f.expired);
    stat_set(&s->bytes_now, f.bytes);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    pump(arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct secondary *s = arg;
    (void)fd, (void)what;
    if (s->stopping)
        return;
    secondary_read_zones(s);
    if (++s->ticks % KEPT_TICKS == 0)
        kept_flush(s);
    if (view_is_stale(s->view) && view_begin(s->view) == OK)
        view_end(s->view);                      /* lets go of a generation that was compacted away */
    pump(s);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------ */
/* An eighth of the machine's memory goes into zones that nobody has judged yet, at most. */
static uint64_t bytes_max(void)
{
    const uint64_t least = (uint64_t)64 << 20;
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t part = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 32 : 0;
    return part > least ? part : least;
}

MUST_USE enum err secondary_open(struct secondary **out, const struct secondary_options *o, struct fault *fault)
{
    static const struct timeval every = { 0, TICK_US };
    struct secondary *s = calloc(1, sizeof *s);
    uint64_t seed;
    if (s == NULL)
        return ERR_NOMEM;
    s->o = *o;
    s->bytes_max = bytes_max();
    (void)pthread_mutex_init(&s->lock, NULL);
    s->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enum err err = s->bell_fd < 0 || RAND_bytes((unsigned char *)&seed, sizeof seed) != 1 ? ERR_NOMEM : view_open(o->store, &s->view, fault);
    if (err == OK)
        err = refresh_open(&s->refresh, &o->limits, seed);
    if (err == OK)
        err = policies_open(&s->policies, o->source);
    if (err == OK && ((s->timer = evtimer_new(o->base, on_timer, s)) == NULL
                      || (s->bell = event_new(o->base, s->bell_fd, EV_READ | EV_PERSIST, on_bell, s)) == NULL
                      || (s->tick = event_new(o->base, -1, EV_PERSIST, on_tick, s)) == NULL || event_add(s->bell, NULL) != 0
                      || event_add(s->tick, &every) != 0))
        err = ERR_NOMEM;
    if (err != OK) {
        secondary_close(s);
        return err;
    }
    secondary_read_zones(s);
    event_active(s->timer, EV_TIMEOUT, 0);
    *out = s;
    return OK;
}

void secondary_stop(struct secondary *s)
{
    if (s == NULL)
        return;
    s->stopping = true;
    for (struct secondary_job *j = s->jobs, *next; j != NULL; j = next) {
        next = j->next;
        if (!j->putting)
            job_free(j);
    }
}

static void event_drop(struct event *e)
{
    if (e != NULL)
        event_free(e);
}

void secondary_close(struct secondary *s)
{
    if (s == NULL)
        return;
    s->stopping = true;
    while (s->jobs != NULL)
        job_free(s->jobs);
    event_drop(s->timer);
    event_drop(s->tick);
    event_drop(s->bell);
    if (s->bell_fd >= 0)
        (void)close(s->bell_fd);
    secondary_drop_zones(s);
    refresh_close(s->refresh);
    policies_close(s->policies);
    view_close(s->view);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->kept);
    free(s);
}

void secondary_metrics(const struct secondary *s, struct stat_page *p)
{
    static const char transfers[] = "azoth_core_secondary_transfers_total";
    const struct { const char *name, *kind, *help; const stat_count *v; } rows[] = {
        { "azoth_core_secondary_questions_total", "counter", "SOA questions to primaries", &s->questions },
        { "azoth_core_secondary_bad_answers_total", "counter", "SOA questions with an answer that would not do", &s->answers_bad },
        { "azoth_core_secondary_silent_total", "counter", "questions and transfers that had no answer", &s->silent },
        { "azoth_core_secondary_expired_total", "counter", "zones that expired", &s->expired },
        { "azoth_core_secondary_revived_total", "counter", "expired zones that came back", &s->revived },
        { "azoth_core_secondary_zones", "gauge", "secondary zones", &s->zones_now },
        { "azoth_core_secondary_zones_waiting", "gauge", "secondary zones that wait for their turn at a primary", &s->waiting_now },
        { "azoth_core_secondary_zones_expired", "gauge", "secondary zones that are expired", &s->expired_now },
        { "azoth_core_secondary_transfers_running", "gauge", "transfers under way", &s->transfers_now },
        { "azoth_core_secondary_scheduler_bytes", "gauge", "memory of the scheduler", &s->bytes_now },
    };
    stat_head(p, transfers, "counter", "transfers of zones by outcome");
    stat_value(p, transfers, "outcome=\"whole\"", stat_get(&s->whole));
    stat_value(p, transfers, "outcome=\"steps\"", stat_get(&s->steps));
    stat_value(p, transfers, "outcome=\"current\"", stat_get(&s->current));
    stat_value(p, transfers, "outcome=\"failed\"", stat_get(&s->failed));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        stat_head(p, rows[i].name, rows[i].kind, rows[i].help);
        stat_value(p, rows[i].name, NULL, stat_get(rows[i].v));
    }
}
