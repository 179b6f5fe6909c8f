#include "builder/queue.h"

#include "base/clock.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdlib.h>

struct waiting { struct waiting *next; struct job job; bool goes_on; uint64_t due_ms; };
struct queue {
    pthread_t thread;
    pthread_mutex_t lock;           /* everything below */
    pthread_cond_t wake;            /* on the monotonic clock */
    struct waiting *first;          /* by due_ms, equal ones by arrival */
    size_t n;
    bool stop;
    void (*before)(void *arg);
    void *before_arg;
    void (*ended)(void *arg);
    void *arg;
};

static void wait_for_work(struct queue *q, uint64_t now_ms)
{
    if (q->first == NULL) {
        (void)pthread_cond_wait(&q->wake, &q->lock);
        return;
    }
    (void)cond_rest(&q->wake, &q->lock, q->first->due_ms > now_ms ? q->first->due_ms - now_ms : 0);
}

/* Under the lock, which it gives up. */
static void end_held(struct queue *q)
{
    void (*before)(void *arg) = q->before;
    void *arg = q->before_arg;
    (void)pthread_mutex_unlock(&q->lock);
    if (before != NULL)
        before(arg);
}

static void *working(void *arg)
{
    struct queue *q = arg;
    (void)pthread_mutex_lock(&q->lock);
    while (!q->stop) {
        uint64_t now_ms = clock_mono_ms();
        struct waiting *w = q->first;
        if (w == NULL || w->due_ms > now_ms) {
            wait_for_work(q, now_ms);
            continue;
        }
        q->first = w->next;
        q->n--;
        if (w->goes_on)
            (void)pthread_mutex_unlock(&q->lock);
        else
            end_held(q);
        w->job.run(w->job.arg);
        free(w);
        (void)pthread_mutex_lock(&q->lock);
    }
    end_held(q);
    q->ended(q->arg);
    return NULL;
}

MUST_USE enum err queue_open(struct queue **out, void (*ended)(void *arg), void *arg)
{
    struct queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return ERR_NOMEM;
    q->ended = ended;
    q->arg = arg;
    (void)pthread_mutex_init(&q->lock, NULL);
    cond_open(&q->wake);
    if (!thread_start(&q->thread, working, q)) {
        free(q);
        return ERR_NOMEM;
    }
    *out = q;
    return OK;
}

void queue_before(struct queue *q, void (*fn)(void *arg), void *arg)
{
    (void)pthread_mutex_lock(&q->lock);
    q->before = fn;
    q->before_arg = arg;
    (void)pthread_mutex_unlock(&q->lock);
}

static enum err push(struct queue *q, const struct job *job, bool goes_on, uint64_t delay_ms)
{
    struct waiting *w = malloc(sizeof *w);
    enum err err = OK;
    if (w == NULL)
        return ERR_NOMEM;
    *w = (struct waiting){ NULL, *job, goes_on, clock_mono_ms() + delay_ms };
    (void)pthread_mutex_lock(&q->lock);
    if (q->stop) {
        err = ERR_NOTNOW;
    } else {
        struct waiting **at = &q->first;
        while (*at != NULL && (*at)->due_ms <= w->due_ms)
            at = &(*at)->next;
        w->next = *at;
        *at = w;
        q->n++;
    }
    (void)pthread_mutex_unlock(&q->lock);
    if (err != OK)
        free(w);
    else                            /* behind the unlock: else who wakes meets the lock at once */
        (void)pthread_cond_signal(&q->wake);
    return err;
}

MUST_USE enum err queue_push(struct queue *q, const struct job *job, uint64_t delay_ms) { return push(q, job, false, delay_ms); }
MUST_USE enum err queue_push_on(struct queue *q, const struct job *job) { return push(q, job, true, 0); }

size_t queue_waiting(struct queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    size_t n = q->n;
    (void)pthread_mutex_unlock(&q->lock);
    return n;
}

void queue_stop(struct queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    q->stop = true;
    (void)pthread_cond_signal(&q->wake);
    (void)pthread_mutex_unlock(&q->lock);
}

void queue_close(struct queue *q)
{
    if (q == NULL)
        return;
    queue_stop(q);
    (void)pthread_join(q->thread, NULL);
    while (q->first != NULL) {
        struct waiting *w = q->first;
        q->first = w->next;
        if (w->job.drop != NULL)
            w->job.drop(w->job.arg);
        free(w);
    }
    (void)pthread_cond_destroy(&q->wake);
    (void)pthread_mutex_destroy(&q->lock);
    free(q);
}
