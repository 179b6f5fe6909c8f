/* Who builds what when. */
#include "builder/full_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/stat.h"
#include "base/thread.h"
#include "builder/queue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* --- results -------------------------------------------------------------------------------------------------------- */
enum err build_refuse(struct build *b, enum err err, const char *format, ...)
{
    struct change_result *r = build_result(b);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->fault.text, sizeof r->fault.text, format, args);
    va_end(args);
    r->end = CHANGE_REFUSED;
    r->changed = false;
    return r->err = err;
}

/* Errors of the change itself; all others are the machine's. */
static bool of_the_change(enum err err)
{
    return err == ERR_REFUSED || err == ERR_LIMIT || err == ERR_BAD || err == ERR_NOTFOUND || err == ERR_STALE || err == ERR_EXISTS;
}

enum err build_fail(struct build *b, enum err err, const struct fault *fault)
{
    struct change_result *r = build_result(b);
    if (r->err != OK)
        return r->err;
    r->end = of_the_change(err) ? CHANGE_REFUSED : CHANGE_FAILED;
    r->changed = false;
    r->fault = *fault;
    (void)fault_set(&r->fault, err, "%s", fault_text(fault, err));
    return r->err = err;
}

static void tell(struct change *c)
{
    if (c->told != NULL)
        c->told(c->told_arg, c);
}

/* A joined change gets what the first one got: none of them wants a difference. */
static void tell_all(struct build *b)
{
    struct change *c = b->first;
    while (c != NULL) {
        struct change *next = c->next;          /* whoever is told may free it */
        if (next != NULL) {
            next->result.end = c->result.end;
            next->result.err = c->result.err;
            next->result.fault = c->result.fault;
            next->result.changed = c->result.changed;
            next->result.epoch = c->result.epoch;
            next->result.seq = c->result.seq;
            next->result.serial = c->result.serial;
            next->result.complaints = c->result.complaints;
        }
        tell(c);
        c = next;
    }
    b->first = NULL;
}

static void tell_ending(struct build *b)
{
    struct change_result *r = build_result(b);
    r->end = CHANGE_FAILED;
    r->changed = false;
    r->err = fault_set(&r->fault, ERR_NOTNOW, "azoth-core is ending");
    tell_all(b);
}

/* --- builds and places ---------------------------------------------------------------------------------------------- */
static struct build *build_new(struct full *f, struct change *c)
{
    struct build *b = calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    b->full = f;
    b->first = c;
    c->next = NULL;
    b->last = &c->next;
    b->apex = c->apex;
    name_lower(b->apex.wire, b->apex.len);
    arena_init(&b->arena);
    op_list_init(&b->ops);
    settings_init(&b->settings, ZONE_NATIVE);
    zone_init(&b->own, name_bytes(&b->apex), "records");
    return b;
}

static void build_free(struct build *b)
{
    view_close(b->view);
    op_list_release(&b->ops);
    settings_release(&b->settings);
    zone_release(&b->own);
    arena_release(&b->arena);
    free(b);
}

static struct full_place **place_of(struct full *f, struct bytes apex)
{
    struct name lower = { .len = (uint8_t)apex.len };
    memcpy(lower.wire, apex.ptr, apex.len);
    name_lower(lower.wire, lower.len);
    struct full_place **at = &f->slot[bytes_fnv(BYTES_FNV_START, name_bytes(&lower)) % FULL_PLACES];
    while (*at != NULL && !bytes_equal(name_bytes(&(*at)->apex), name_bytes(&lower)))
        at = &(*at)->next;
    return at;
}

static void make_ready(struct full *f, struct full_place *p)
{
    p->ready_next = NULL;
    *f->ready_last = p;
    f->ready_last = &p->ready_next;
    (void)pthread_cond_signal(&f->wake);
}

/* Rebuilds that ask for the same: all make the store say what the rows say by then. */
static bool joins(const struct full_place *p, const struct change *c)
{
    if (p->first == NULL || (p->at_work && p->first->next == NULL))
        return false;
    const struct build *last = p->first;
    while (last->next != NULL)
        last = last->next;
    const struct change *w = last->first;
    return w->kind == CHANGE_REBUILD && c->kind == CHANGE_REBUILD && w->force == c->force && !w->dry_run && !c->dry_run
        && !w->want_difference && !c->want_difference && !w->has_if_serial && !c->has_if_serial;
}

static void join(struct full *f, struct full_place *p, struct change *c)
{
    struct build *last = p->first;
    while (last->next != NULL)
        last = last->next;
    c->next = NULL;
    *last->last = c;
    last->last = &c->next;
    f->stats.joined++;
}

static struct full_place *place_new(struct full *f, const struct build *b)
{
    struct full_place *p = calloc(1, sizeof *p), **at = place_of(f, name_bytes(&b->apex));
    if (p == NULL)
        return NULL;
    p->apex = b->apex;
    p->last = &p->first;
    *at = p;
    return p;
}

/* false: it is refused, with err. */
static bool put(struct full *f, struct change *c, enum err *err)
{
    struct full_place *p = *place_of(f, name_bytes(&c->apex));
    *err = ERR_NOTNOW;
    if (f->stopped)
        return false;
    if (p != NULL && joins(p, c)) {
        join(f, p, c);
        return true;
    }
    struct build *b = build_new(f, c);
    *err = ERR_NOMEM;
    if (b == NULL || (p == NULL && (p = place_new(f, b)) == NULL)) {
        if (b != NULL)
            build_free(b);
        return false;
    }
    bool first = p->first == NULL;
    *p->last = b;
    p->last = &b->next;
    f->waiting++;
    if (first)
        make_ready(f, p);
    return true;
}

void full_put(struct full *f, struct change *c)
{
    enum err err;
    (void)pthread_mutex_lock(&f->lock);
    bool taken = put(f, c, &err);
    (void)pthread_mutex_unlock(&f->lock);
    if (taken)
        return;
    c->result.end = CHANGE_FAILED;
    c->result.err = fault_set(&c->result.fault, err, "%s", err == ERR_NOTNOW ? "azoth-core is ending" : err_text(err));
    tell(c);
}

bool full_is_busy(struct full *f, struct bytes apex)
{
    (void)pthread_mutex_lock(&f->lock);
    bool busy = *place_of(f, apex) != NULL;
    (void)pthread_mutex_unlock(&f->lock);
    return busy;
}

/* --- the end of a build --------------------------------------------------------------------------------------------- */
static void place_remove(struct full *f, struct full_place *p)
{
    struct full_place **at = place_of(f, name_bytes(&p->apex));
    *at = p->next;
    free(p);
}

static void count(struct full *f, const struct build *b)
{
    enum change_end end = build_result(b)->end;
    stat_add(end == CHANGE_DONE ? &f->stats.done : end == CHANGE_REFUSED ? &f->stats.refused : &f->stats.failed, 1);
}

/* Takes b out of its zone's place. true: the zone has no other. */
static bool leave(struct full *f, struct build *b)
{
    (void)pthread_mutex_lock(&f->lock);
    struct full_place *p = *place_of(f, name_bytes(&b->apex));
    p->first = b->next;
    if (p->first == NULL)
        p->last = &p->first;
    p->at_work = false;
    f->at_work--;
    (void)pthread_cond_signal(&f->wake);
    count(f, b);
    bool idle = p->first == NULL;
    if (idle)
        place_remove(f, p);
    else
        make_ready(f, p);
    (void)pthread_mutex_unlock(&f->lock);
    return idle;
}

void full_end(struct full *f, struct build *b)
{
    struct name apex = b->apex;
    build_drop_rows(b);
    bool idle = leave(f, b);
    tell_all(b);
    build_free(b);
    if (idle && f->idle != NULL)
        f->idle(f->arg, name_bytes(&apex));
}

/* The queue ends before the last job of this build, or the build was given up. */
static void give_up(void *arg)
{
    struct build *b = arg;
    struct full *f = b->full;
    (void)leave(f, b);
    tell_ending(b);
    build_free(b);
}

static void run_job(void *arg)
{
    struct build *b = arg;
    if (build_result(b)->err == OK && !build_is_idle(b))
        build_commit(b);
    else
        full_end(b->full, b);
}

/* Under lock, so that no job comes behind full_stop: the queue may be gone then. */
static void push_job(struct full *f, struct build *b)
{
    (void)pthread_mutex_lock(&f->lock);
    enum err err = f->stopped ? ERR_NOTNOW : queue_push(f->with->queue, &(struct job){ run_job, give_up, b }, 0);
    (void)pthread_mutex_unlock(&f->lock);
    if (err != OK)
        give_up(b);
}

void full_again(struct full *f, struct build *b)
{
    (void)pthread_mutex_lock(&f->lock);
    struct full_place *p = *place_of(f, name_bytes(&b->apex));
    bool stopped = f->stopped;
    if (!stopped) {
        p->at_work = false;
        f->at_work--;
        f->waiting++;
        f->stats.again++;
        make_ready(f, p);
    }
    (void)pthread_mutex_unlock(&f->lock);
    if (stopped)
        give_up(b);
}

/* --- the builders --------------------------------------------------------------------------------------------------- */
static void work(struct build *b)
{
    struct fault fault = { "" };
    uint64_t began_ms = clock_mono_ms();
    enum err err = b->view != NULL ? OK : view_open(b->full->with->store, &b->view, &fault);
    if (err == OK)
        err = view_begin(b->view);
    if (err != OK) {
        (void)build_fail(b, err, &fault);
        return;
    }
    err = b->prepared ? OK : build_prepare(b);
    if (err == OK)
        err = build_ops(b);
    view_end(b->view);
    b->prepared = true;
    if (err == OK && !build_is_idle(b) && build_has_rows(b) && (err = rows_write_ahead(b, &fault)) != OK)
        (void)build_fail(b, err, &fault);
    stat_set(&b->full->stats.last_ms, clock_mono_ms() - began_ms);
}

/* The next build, now at work; NULL: the end. Under lock. */
static struct build *take(struct full *f)
{
    while ((f->ready == NULL || f->at_work >= FULL_AT_WORK) && !f->stopped)
        (void)pthread_cond_wait(&f->wake, &f->lock);
    if (f->stopped)
        return NULL;
    struct full_place *p = f->ready;
    if ((f->ready = p->ready_next) == NULL)
        f->ready_last = &f->ready;
    p->at_work = true;
    f->waiting--;
    f->at_work++;
    return p->first;
}

static void *working(void *arg)
{
    struct full *f = arg;
    struct build *b;
    (void)pthread_mutex_lock(&f->lock);
    while ((b = take(f)) != NULL) {
        (void)pthread_mutex_unlock(&f->lock);
        work(b);
        push_job(f, b);
        (void)pthread_mutex_lock(&f->lock);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */
static enum err start_threads(struct full *f)
{
    while (f->threads < FULL_THREADS && thread_start(&f->thread[f->threads], working, f))
        f->threads++;
    return f->threads > 0 ? OK : ERR_NOMEM;
}

MUST_USE enum err full_open(struct full **out, const struct full_options *o, struct fault *fault)
{
    struct full *f = calloc(1, sizeof *f);
    if (f == NULL)
        return ERR_NOMEM;
    f->with = o->with;
    f->idle = o->idle;
    f->arg = o->arg;
    f->ready_last = &f->ready;
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_cond_init(&f->wake, NULL);
    enum err err = start_threads(f);
    if (err != OK) {
        full_close(f);
        return fault_set(fault, err, "cannot start a thread");
    }
    *out = f;
    return OK;
}

/* All builds that nobody has begun, as one list. Under lock. */
static struct build *take_waiting(struct full *f)
{
    struct build *all = NULL, **last = &all;
    for (size_t i = 0; i < FULL_PLACES; i++) {
        struct full_place **at = &f->slot[i];
        while (*at != NULL) {
            struct full_place *p = *at;
            struct build **from = p->at_work ? &p->first->next : &p->first;
            if (*from != NULL) {
                *last = *from;
                last = p->last;
                *from = NULL;
                p->last = from;
            }
            if (p->first != NULL) {
                at = &p->next;
                continue;
            }
            *at = p->next;
            free(p);
        }
    }
    f->ready = NULL;
    f->ready_last = &f->ready;
    f->waiting = 0;
    return all;
}

void full_stop(struct full *f)
{
    (void)pthread_mutex_lock(&f->lock);
    f->stopped = true;
    f->stop = true;
    struct build *b = take_waiting(f);
    (void)pthread_cond_broadcast(&f->wake);
    (void)pthread_mutex_unlock(&f->lock);
    while (b != NULL) {
        struct build *next = b->next;
        tell_ending(b);
        build_free(b);
        b = next;
    }
}

void full_close(struct full *f)
{
    if (f == NULL)
        return;
    full_stop(f);
    for (unsigned i = 0; i < f->threads; i++)
        (void)pthread_join(f->thread[i], NULL);
    free(f->done);
    (void)pthread_cond_destroy(&f->wake);
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
}

void full_metrics(const struct full *f, struct stat_page *p)
{
    struct full *open = (struct full *)(uintptr_t)f;
    (void)pthread_mutex_lock(&open->lock);
    size_t waiting = f->waiting, at_work = f->at_work;
    (void)pthread_mutex_unlock(&open->lock);
    const struct full_stats *s = &f->stats;
    stat_head(p, "azoth_core_builds_total", "counter", "whole zones built, by how it ended");
    stat_value(p, "azoth_core_builds_total", "end=\"done\"", stat_get(&s->done));
    stat_value(p, "azoth_core_builds_total", "end=\"refused\"", stat_get(&s->refused));
    stat_value(p, "azoth_core_builds_total", "end=\"failed\"", stat_get(&s->failed));
    stat_head(p, "azoth_core_builds_joined_total", "counter", "rebuilds that joined one that waited");
    stat_value(p, "azoth_core_builds_joined_total", NULL, stat_get(&s->joined));
    stat_head(p, "azoth_core_builds_again_total", "counter", "builds made again because a zone above or below moved");
    stat_value(p, "azoth_core_builds_again_total", NULL, stat_get(&s->again));
    stat_head(p, "azoth_core_builds", "gauge", "whole zones at work or waiting");
    stat_value(p, "azoth_core_builds", "state=\"at_work\"", at_work);
    stat_value(p, "azoth_core_builds", "state=\"waiting\"", waiting);
    stat_head(p, "azoth_core_build_last_ms", "gauge", "milliseconds that the last preparation of a whole zone took");
    stat_value(p, "azoth_core_build_last_ms", NULL, stat_get(&s->last_ms));
}
