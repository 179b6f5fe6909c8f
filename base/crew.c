#include "base/crew.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct hand { struct crew *crew; pthread_t thread; unsigned who; };
struct crew {
    unsigned size, started;         /* threads wanted, the caller among them; of the others, those that run */
    bool tried;
    pthread_mutex_t lock;           /* of what follows, and of the tasks */
    pthread_cond_t work, done;
    struct task *first, **last;     /* tasks with pieces that nobody has begun */
    unsigned idle;
    bool ended;
    struct hand hand[CREW_MAX - 1];
};

/* The next piece of t, the lock held. A task whose pieces have all been begun leaves the list. */
static size_t take(struct crew *c, struct task *t)
{
    size_t piece = t->begun++;
    if (t->begun < t->pieces)
        return piece;
    for (struct task **at = &c->first; *at != NULL; at = &(*at)->next) {
        if (*at != t)
            continue;
        *at = t->next;
        if (c->last == &t->next)
            c->last = at;
        break;
    }
    return piece;
}

/* One piece, the lock held before and after. */
static void do_one(struct crew *c, struct task *t, unsigned who)
{
    size_t piece = take(c, t);
    (void)pthread_mutex_unlock(&c->lock);
    t->run(t->arg, piece, who);
    (void)pthread_mutex_lock(&c->lock);
    if (++t->done == t->pieces && who > 0)
        (void)pthread_cond_broadcast(&c->done);
}

static void *lend_a_hand(void *arg)
{
    const struct hand *h = arg;
    struct crew *c = h->crew;
    (void)pthread_mutex_lock(&c->lock);
    while (!c->ended) {
        if (c->first != NULL) {
            do_one(c, c->first, h->who);
            continue;
        }
        c->idle++;
        (void)pthread_cond_wait(&c->work, &c->lock);
        c->idle--;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

enum err crew_open(struct crew **out, unsigned size)
{
    struct crew *c = calloc(1, sizeof *c);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (c == NULL)
        return ERR_NOMEM;
    c->size = size > 0 ? size : cpus > 1 ? (unsigned)(cpus < CREW_MAX ? cpus : CREW_MAX) : 1;
    if (c->size > CREW_MAX)
        c->size = CREW_MAX;
    c->last = &c->first;
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->work, NULL);
    (void)pthread_cond_init(&c->done, NULL);
    *out = c;
    return OK;
}

void crew_close(struct crew *c)
{
    if (c == NULL)
        return;
    (void)pthread_mutex_lock(&c->lock);
    c->ended = true;
    (void)pthread_cond_broadcast(&c->work);
    (void)pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->started; i++)
        (void)pthread_join(c->hand[i].thread, NULL);
    (void)pthread_cond_destroy(&c->work);
    (void)pthread_cond_destroy(&c->done);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

unsigned crew_size(const struct crew *c) { return c->size; }

/* Signals go to the process's other threads, which know what to do with them. */
static void start(struct crew *c)
{
    sigset_t all, before;
    c->tried = true;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (c->started < c->size - 1) {
        struct hand *h = &c->hand[c->started];
        *h = (struct hand){ .crew = c, .who = c->started + 1 };
        if (pthread_create(&h->thread, NULL, lend_a_hand, h) != 0)
            break;
        c->started++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void crew_begin(struct crew *c, struct task *t)
{
    t->begun = t->done = 0;
    t->next = NULL;
    if (c == NULL || t->pieces == 0)
        return;
    (void)pthread_mutex_lock(&c->lock);
    if (!c->tried)
        start(c);
    *c->last = t;
    c->last = &t->next;
    for (unsigned i = 0; i < c->idle && i < t->pieces; i++)
        (void)pthread_cond_signal(&c->work);
    (void)pthread_mutex_unlock(&c->lock);
}

void crew_end(struct crew *c, struct task *t)
{
    if (c == NULL) {
        for (; t->done < t->pieces; t->done++)
            t->run(t->arg, t->done, 0);
        return;
    }
    (void)pthread_mutex_lock(&c->lock);
    while (t->begun < t->pieces)
        do_one(c, t, 0);
    while (t->done < t->pieces)
        (void)pthread_cond_wait(&c->done, &c->lock);
    (void)pthread_mutex_unlock(&c->lock);
}

void crew_run(struct crew *c, struct task *t)
{
    crew_begin(c, t);
    crew_end(c, t);
}
