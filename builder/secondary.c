#include "builder/secondary_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "builder/queue.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TICK_US 250000
#define KEPT_TICKS 4
#define TIME_MS 3600000
#define FAR_TICKS 8
#define FAR_TICKS_MANY 80
#define MANY_ZONES 20000

static void pump(struct secondary *s);

/* --- what is kept ---------------------------------------------------------------------------------------------------------- */
struct kept_batch { struct source *source; struct secondary_kept *kept; size_t n; };

static void batch_drop(void *arg)
{
    struct kept_batch *b = arg;
    free(b->kept);
    free(b);
}

/* It went meanwhile, or is native by now: then there is nothing to remember. */
static enum err kept_write(struct source_txn *t, const struct secondary_kept *k, struct fault *fault)
{
    struct zone_row row;
    enum err err = source_zone(t, name_bytes(&k->apex), &row);
    if (err == OK && memmem(row.settings.ptr, row.settings.len, "secondary", 9) != NULL)
        err = source_secondary_put(t, name_bytes(&k->apex), &k->kept, fault);
    return err == ERR_NOTFOUND ? OK : err;
}

static void batch_write(void *arg)
{
    struct kept_batch *b = arg;
    struct source_txn *t = NULL;
    struct fault fault = { "" };
    char why[600];
    enum err err = source_begin(b->source, SOURCE_WRITE, &t, &fault);
    for (size_t i = 0; err == OK && i < b->n; i++)
        err = kept_write(t, &b->kept[i], &fault);
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
        batch_write(b);                         /* the core ends: the last ones are written here */
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
    uint64_t now_ms = clock_mono_ms(), now_s = clock_wall_ms() / 1000;
    enum board_turn turn = BOARD_SAME;
    secondary_count(s, j, outcome);
    board_hold(s->o.board);
    bool is_news = secondary_note(j, outcome, serial, why);
    bool known = refresh_told(s->refresh, &j->todo, outcome, serial, has ? &t : NULL, now_ms, now_s, &kept) == OK;
    if (known && (j->todo.what == REFRESH_SOA || j->todo.what == REFRESH_TRANSFER))
        turn = board_ended(s->o.board, name_bytes(&j->todo.apex), now_ms, now_s);
    board_let(s->o.board);
    secondary_tell(j, outcome, serial, why, is_news, turn);
    if (has)
        catalogs_changed(s->o.catalogs, name_bytes(&j->todo.apex));
    if (known)
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
        board_hold(s->o.board);
        enum err err = refresh_told(s->refresh, todo, REFRESH_FAILED, 0, NULL, clock_mono_ms(), clock_wall_ms() / 1000, &kept);
        board_let(s->o.board);
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

static bool next(struct secondary *s, struct refresh_todo *todo, uint64_t *wait_ms)
{
    board_hold(s->o.board);
    bool some = refresh_next(s->refresh, clock_mono_ms(), todo, wait_ms);
    if (some && (todo->what == REFRESH_SOA || todo->what == REFRESH_TRANSFER))
        board_begins(s->o.board, name_bytes(&todo->apex));
    board_let(s->o.board);
    return some;
}

static void pump(struct secondary *s)
{
    struct refresh_todo todo;
    uint64_t wait;
    if (s->stopping)
        return;
    while (next(s, &todo, &wait))
        job_start(s, &todo);
    wait = wait < 60000 ? wait : 60000;
    struct timeval tv = { (time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000) };
    (void)event_add(s->timer, &tv);
    secondary_look(s);
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
    if (s->ticks % (s->zones_n < MANY_ZONES ? FAR_TICKS : FAR_TICKS_MANY) == 1)
        secondary_look_far(s);
    if (view_is_stale(s->view) && view_begin(s->view) == OK)
        view_end(s->view);                      /* lets go of a generation that was compacted away */
    pump(s);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------ */
/* Zones that nobody has judged yet. */
static uint64_t memory_default(void)
{
    const uint64_t least = (uint64_t)256 << 20;
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t part = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 8 : 0;
    return part > least ? part : least;
}

static void limits_complete(struct secondary_limits *l)
{
    l->memory = l->memory != 0 ? l->memory : memory_default();
    l->time_ms = l->time_ms != 0 ? l->time_ms : TIME_MS;
    l->each.steps = l->each.steps != 0 ? l->each.steps : XFRIN_STEPS;
}

MUST_USE enum err secondary_open(struct secondary **out, const struct secondary_options *o, struct fault *fault)
{
    static const struct timeval every = { 0, TICK_US };
    struct secondary *s = calloc(1, sizeof *s);
    uint64_t seed;
    if (s == NULL)
        return ERR_NOMEM;
    s->o = *o;
    limits_complete(&s->o.transfers);
    (void)pthread_mutex_init(&s->lock, NULL);
    s->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enum err err = s->bell_fd < 0 || RAND_bytes((unsigned char *)&seed, sizeof seed) != 1 ? ERR_NOMEM : view_open(o->store, &s->view, fault);
    if (err == OK)
        err = refresh_open(&s->refresh, &o->limits, seed);
    if (err == OK) {
        board_hold(o->board);
        board_scheduler(o->board, s->refresh);
        board_let(o->board);
        err = policies_open(&s->policies, o->source);
    }
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
    kept_flush(s);
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
    board_hold(s->o.board);
    board_scheduler(s->o.board, NULL);
    board_let(s->o.board);
    secondary_drop_zones(s);
    refresh_close(s->refresh);
    policies_close(s->policies);
    view_close(s->view);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->kept);
    free(s);
}
