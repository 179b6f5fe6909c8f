/* Everything that whole zones need, for tests: a store, a source, a writing thread that can be held up, and who is told. */
#ifndef AZOTH_TESTS_FULL_BED_H
#define AZOTH_TESTS_FULL_BED_H

#include "base/stat.h"
#include "builder/full.h"
#include "builder/queue.h"
#include "builder/zonefile.h"
#include "tests/unit/builder_zone.h"
#include "tests/unit/source_bed.h"

#include <pthread.h>
#include <time.h>

#define BED_TOLD_MAX 64
struct bed {
    struct place p;
    struct source_bed s;
    struct queue *queue;
    struct changer_options with;
    struct full *full;
    const char *configured;         /* a zone that core.zones names; NULL: none */
    enum author_via via;            /* of what is asked for; 0: VIA_API */
    pthread_mutex_t lock;           /* of what follows */
    pthread_cond_t moved;
    struct change *told[BED_TOLD_MAX]; size_t told_n;       /* in order */
    size_t idle_n;
    bool held, hold;                /* the writing thread stands still */
};

static inline void bed_signal(struct bed *b, size_t *count)
{
    pthread_mutex_lock(&b->lock);
    ++*count;
    pthread_cond_broadcast(&b->moved);
    pthread_mutex_unlock(&b->lock);
}
static inline void bed_told(void *arg, struct change *c)
{
    struct bed *b = arg;
    assert_true(b->told_n < BED_TOLD_MAX);
    b->told[b->told_n] = c;
    bed_signal(b, &b->told_n);
}
static inline void bed_idle(void *arg, struct bytes apex)
{
    struct bed *b = arg;
    (void)apex;
    bed_signal(b, &b->idle_n);
}
static inline void bed_ended(void *arg) { (void)arg; }
static inline bool bed_is_configured(void *arg, struct bytes apex)
{
    const struct bed *b = arg;
    struct name n = name_of(b->configured != NULL ? b->configured : "nothing.invalid.");
    return name_equal(name_bytes(&n), apex);
}

/* Waits, as long as it takes, for a number to be reached. */
static inline void bed_wait(struct bed *b, const size_t *count, size_t want)
{
    pthread_mutex_lock(&b->lock);
    while (*count < want)
        pthread_cond_wait(&b->moved, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

/* --- the writing thread stands still --------------------------------------------------------------------------------- */
static inline void bed_hold_job(void *arg)
{
    struct bed *b = arg;
    pthread_mutex_lock(&b->lock);
    b->held = true;
    pthread_cond_broadcast(&b->moved);
    while (b->hold)
        pthread_cond_wait(&b->moved, &b->lock);
    b->held = false;
    pthread_mutex_unlock(&b->lock);
}
static inline void bed_hold(struct bed *b)
{
    b->hold = true;
    assert_int_equal(queue_push(b->queue, &(struct job){ bed_hold_job, NULL, b }, 0), OK);
    pthread_mutex_lock(&b->lock);
    while (!b->held)
        pthread_cond_wait(&b->moved, &b->lock);
    pthread_mutex_unlock(&b->lock);
}
static inline void bed_go_on(struct bed *b)
{
    pthread_mutex_lock(&b->lock);
    b->hold = false;
    pthread_cond_broadcast(&b->moved);
    pthread_mutex_unlock(&b->lock);
}
/* Jobs in the queue, waited for: what the builders have ready. */
static inline void bed_wait_jobs(struct bed *b, size_t n)
{
    while (queue_waiting(b->queue) < n)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

/* --- life --------------------------------------------------------------------------------------------------------------- */
static inline void bed_full_open(struct bed *b)
{
    struct fault fault = { "" };
    b->with = (struct changer_options){ .source = b->s.s, .store = b->p.store, .committer = b->p.committer, .queue = b->queue,
                                        .is_configured = bed_is_configured, .configured_arg = b };
    assert_ok(full_open(&b->full, &(struct full_options){ &b->with, bed_idle, b }, &fault), &fault);
}
static inline struct bed *bed_open_in(uint64_t records_map, uint64_t store_map)
{
    struct bed *b = calloc(1, sizeof *b);
    assert_non_null(b);
    place_open_in(&b->p, store_map);
    b->s.map_size = records_map;
    source_bed_open(&b->s);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->moved, NULL);
    assert_int_equal(queue_open(&b->queue, bed_ended, b), OK);
    bed_full_open(b);
    return b;
}
static inline struct bed *bed_open(void) { return bed_open_in(0, (uint64_t)64 << 20); }
static inline void bed_close(struct bed *b)
{
    full_stop(b->full);
    queue_close(b->queue);
    full_close(b->full);
    source_bed_close(&b->s);
    place_close(&b->p);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->moved);
    free(b);
}

/* --- changes ------------------------------------------------------------------------------------------------------------ */
/* A change with the records of a text (NULL: none), not put yet. */
struct asked { struct change c; struct zone zone; };
static inline void asked_init(struct bed *b, struct asked *a, enum change_kind kind, const char *apex, const char *settings,
                              const char *text)
{
    struct name name = name_of(apex);
    struct fault fault = { "" };
    struct complaints none = { 0 };
    zone_init(&a->zone, name_bytes(&name), "test");
    if (text != NULL && zonefile_read_text(bytes_of_text(text), "test", &a->zone, &none, &fault) != OK)
        fail_msg("%s: %s", apex, fault.text);
    change_init(&a->c, kind, name_bytes(&name));
    a->c.whole = text != NULL ? &a->zone : NULL;
    a->c.settings = settings != NULL ? bytes_of_text(settings) : (struct bytes){ 0 };
    a->c.author = (struct author){ .via = b->via != 0 ? b->via : VIA_API, .name = "test" };
    a->c.told = bed_told;
    a->c.told_arg = b;
}
static inline void asked_release(struct asked *a)
{
    change_release(&a->c);
    zone_release(&a->zone);
}
/* Put and waited for. */
static inline struct change_result *bed_do(struct bed *b, struct asked *a)
{
    size_t before = b->told_n;
    full_put(b->full, &a->c);
    bed_wait(b, &b->told_n, before + 1);
    return &a->c.result;
}
static inline struct change_result bed_change(struct bed *b, enum change_kind kind, const char *apex, const char *settings,
                                              const char *text)
{
    struct asked a;
    asked_init(b, &a, kind, apex, settings, text);
    struct change_result r = *bed_do(b, &a);
    difference_init(&r.difference);
    asked_release(&a);
    return r;
}

/* --- what is there ------------------------------------------------------------------------------------------------------- */
/* The zone in the store, one record a line; NULL: no such zone. malloc'ed. */
static inline char *bed_walk(struct bed *b, const char *apex)
{
    struct lines l = { 0 };
    struct name name = name_of(apex);
    struct fault fault = { "" };
    assert_int_equal(view_begin(b->p.view), OK);
    enum err err = zone_walk(name_bytes(&name), b->p.view, lines_add, &l, &fault);
    view_end(b->p.view);
    if (err == ERR_NOTFOUND)
        return NULL;
    assert_ok(err, &fault);
    return l.text != NULL ? l.text : strdup("");
}
static inline void bed_expect(struct bed *b, const char *why, const char *apex, const char *want)
{
    char *got = bed_walk(b, apex);
    if ((got == NULL) != (want == NULL) || (want != NULL && strcmp(got, want) != 0))
        fail_msg("%s: %s is\n%s\nwant\n%s", why, apex, got != NULL ? got : "none", want != NULL ? want : "none");
    free(got);
}
static inline enum zone_state bed_state(struct bed *b, const char *apex)
{
    struct zone_header h = { .state = 0 };
    struct name name = name_of(apex);
    assert_int_equal(view_begin(b->p.view), OK);
    enum err err = zone_header_get(name_bytes(&name), b->p.view, &h);
    view_end(b->p.view);
    assert_true(err == OK || err == ERR_NOTFOUND);
    return err == OK ? h.state : 0;
}
struct bed_rows { size_t n, disabled; uint64_t least_s, most_s; };
static inline bool bed_row(void *arg, const struct row *row)
{
    struct bed_rows *r = arg;
    r->n++;
    r->disabled += row->n > 0 && row->rr[0].disabled;
    r->least_s = r->n == 1 || row->modified_s < r->least_s ? row->modified_s : r->least_s;
    r->most_s = row->modified_s > r->most_s ? row->modified_s : r->most_s;
    return true;
}
/* The rows of a zone; n 0: it has no row of its own, or no records. */
static inline struct bed_rows bed_rows(struct bed *b, const char *apex)
{
    struct bed_rows r = { 0 };
    struct zone_row z;
    struct name name = name_of(apex);
    struct source_txn *t = txn_begin(b->s.s, SOURCE_READ);
    if (source_zone(t, name_bytes(&name), &z) == OK)
        assert_int_equal(source_rows(t, z.id, (struct bytes){ 0 }, bed_row, &r), OK);
    source_abort(t);
    return r;
}
static inline struct source_figures bed_figures(struct bed *b)
{
    struct source_figures f;
    assert_int_equal(source_figures(b->s.s, &f), OK);
    return f;
}

#endif
