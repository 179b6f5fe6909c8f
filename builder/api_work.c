/* The threads that read rows, zones and history for the API, so that the loop never waits: one for what is short, one for
 * whole zones. */
#include "builder/api_shell.h"

#include "base/clock.h"
#include "base/thread.h"
#include "builder/journal.h"

#include <stdlib.h>

enum { LANES = 2 };

struct lane {
    struct api_lanes *all;
    struct view *view;
    struct journal *journal;
    pthread_t thread;
    bool started;
    pthread_cond_t come;
    struct asked *first, **end;     /* under the lock */
};
struct api_lanes {
    struct api_lanes_options o;
    pthread_mutex_t lock;
    atomic_bool stop;               /* set under the lock */
    struct lane lanes[LANES];       /* short work, whole zones */
};

/* --- a thread -------------------------------------------------------------------------------------------------------- */
static enum api_next run(struct api_lanes *all, struct view *v, struct journal *journal, struct api_call *c)
{
    const struct api_work w = { .source = all->o.source, .store = all->o.store, .view = v, .journal = journal, .wishes = all->o.wishes,
                                .board = all->o.board, .catalogs = all->o.catalogs, .now_s = clock_wall_s(), .stop = &all->stop };
    enum err err = view_begin(v);
    if (err != OK) {
        api_fail(c, 500, "the store cannot be read");
        return API_REPLY;
    }
    enum api_next next = c->work(c, &w);
    view_end(v);
    return next;
}

enum api_next api_lanes_now(struct api_lanes *l, struct view *v, struct api_call *c)
{
    c->brief = false;
    return run(l, v, NULL, c);
}

/* Waits, under the lock. A view that is idle holds the generation that it saw last: so it looks again once a second. */
static void rest(struct lane *l)
{
    if (cond_rest(&l->come, &l->all->lock, 1000) || l->first != NULL)
        return;
    (void)pthread_mutex_unlock(&l->all->lock);
    if (view_begin(l->view) == OK)
        view_end(l->view);
    (void)pthread_mutex_lock(&l->all->lock);
}

/* NULL: the end. */
static struct asked *take(struct lane *l)
{
    struct asked *q = NULL;
    (void)pthread_mutex_lock(&l->all->lock);
    while (l->first == NULL && !l->all->stop)
        rest(l);
    if (!l->all->stop) {
        q = l->first;
        if ((l->first = q->next) == NULL)
            l->end = &l->first;
    }
    (void)pthread_mutex_unlock(&l->all->lock);
    return q;
}

static void *thread(void *arg)
{
    struct lane *l = arg;
    struct asked *q;
    while ((q = take(l)) != NULL) {
        q->worked = run(l->all, l->view, l->journal, &q->call);
        l->all->o.done(q);
    }
    return NULL;
}

/* --- from outside ---------------------------------------------------------------------------------------------------- */
static void refuse(struct api_lanes *l, struct asked *q)
{
    api_fail(&q->call, 503, "the core is ending");
    q->worked = API_REPLY;
    l->o.done(q);
}

void api_lanes_put(struct api_lanes *l, struct asked *q)
{
    struct lane *lane = &l->lanes[q->call.slow];
    q->next = NULL;
    (void)pthread_mutex_lock(&l->lock);
    bool stop = l->stop;
    if (!stop) {
        *lane->end = q;
        lane->end = &q->next;
        (void)pthread_cond_signal(&lane->come);
    }
    (void)pthread_mutex_unlock(&l->lock);
    if (stop)
        refuse(l, q);
}

static enum err lane_start(struct lane *l, struct fault *fault)
{
    enum err err = view_open(l->all->o.store, &l->view, fault);
    if (err == OK)
        err = journal_open(&l->journal, l->all->o.store, fault);
    if (err != OK)
        return err;
    l->started = thread_start(&l->thread, thread, l);
    return l->started ? OK : ERR_NOMEM;
}

MUST_USE enum err api_lanes_open(struct api_lanes **out, const struct api_lanes_options *o, struct fault *fault)
{
    struct api_lanes *l = calloc(1, sizeof *l);
    enum err err = OK;
    if (l == NULL)
        return ERR_NOMEM;
    l->o = *o;
    (void)pthread_mutex_init(&l->lock, NULL);
    for (unsigned i = 0; i < LANES; i++) {
        l->lanes[i].all = l;
        l->lanes[i].end = &l->lanes[i].first;
        cond_open(&l->lanes[i].come);
    }
    for (unsigned i = 0; i < LANES && err == OK; i++)
        err = lane_start(&l->lanes[i], fault);
    if (err != OK) {
        api_lanes_close(l);
        return err;
    }
    *out = l;
    return OK;
}

void api_lanes_stop(struct api_lanes *l)
{
    (void)pthread_mutex_lock(&l->lock);
    l->stop = true;
    for (unsigned i = 0; i < LANES; i++)
        (void)pthread_cond_signal(&l->lanes[i].come);
    (void)pthread_mutex_unlock(&l->lock);
    for (unsigned i = 0; i < LANES; i++) {
        struct lane *lane = &l->lanes[i];
        if (lane->started)
            (void)pthread_join(lane->thread, NULL);
        lane->started = false;
        while (lane->first != NULL) {
            struct asked *q = lane->first;
            lane->first = q->next;
            refuse(l, q);
        }
        lane->end = &lane->first;
    }
}

void api_lanes_close(struct api_lanes *l)
{
    if (l == NULL)
        return;
    api_lanes_stop(l);
    for (unsigned i = 0; i < LANES; i++) {
        view_close(l->lanes[i].view);
        journal_close(l->lanes[i].journal);
        (void)pthread_cond_destroy(&l->lanes[i].come);
    }
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}
