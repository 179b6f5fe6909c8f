#include "builder/kv_writer.h"

#include <pthread.h>
#include <stdlib.h>

struct kv_writer {
    struct committer *committer;
    struct queue *queue;
    kv_told_fn *told;
    void *arg;
    struct kv_writer_stats stats;
    pthread_mutex_t lock;               /* of what follows */
    struct kv_txn *first, **last;       /* waiting, in order of arrival */
    bool queued;                        /* a job of ours is in the queue, or running */
    bool stopped;
};

static size_t txn_bytes(const struct kv_txn *t)
{
    size_t bytes = 0;
    for (size_t i = 0; i < t->n; i++)
        bytes += op_size(&t->ops[i]);
    return bytes;
}

/* The oldest ones that wait, as many as go into one sync. */
static size_t take_group(struct kv_writer *w, struct kv_txn *group[KV_GROUP_TXNS])
{
    size_t n = 0, bytes = 0;
    (void)pthread_mutex_lock(&w->lock);
    while (w->first != NULL && n < KV_GROUP_TXNS) {
        bytes += txn_bytes(w->first);
        if (n > 0 && bytes > KV_GROUP_BYTES)
            break;
        group[n++] = w->first;
        w->first = w->first->next;
    }
    if (w->first == NULL)
        w->last = &w->first;
    w->queued = n > 0;
    (void)pthread_mutex_unlock(&w->lock);
    return n;
}

static void count(struct kv_writer *w, struct kv_txn *const *group, size_t n, unsigned syncs)
{
    size_t size = 0;
    while (((size_t)1 << size) < n)
        size++;
    stat_add(&w->stats.groups[size], 1);
    stat_add(&w->stats.syncs, syncs);
    for (size_t i = 0; i < n; i++) {
        const struct kv_result *r = &group[i]->result;
        stat_add(r->end == KV_DONE ? &w->stats.done : r->end == KV_REFUSED ? &w->stats.refused : &w->stats.failed, 1);
        stat_add(&w->stats.ops, r->end == KV_DONE ? group[i]->n : 0);
    }
}

static void fail_waiting(void *arg)
{
    struct kv_writer *w = arg;
    struct kv_txn *t;
    (void)pthread_mutex_lock(&w->lock);
    w->stopped = true;
    t = w->first;
    w->first = NULL;
    w->last = &w->first;
    w->queued = false;
    (void)pthread_mutex_unlock(&w->lock);
    while (t != NULL) {
        struct kv_txn *next = t->next;
        t->result = (struct kv_result){ .end = KV_FAILED, .err = ERR_NOTNOW };
        w->told(w->arg, t);
        t = next;
    }
}

static void run(void *arg);

/* Back into the queue after each group, so that other jobs get their turn. */
static void run_again(struct kv_writer *w)
{
    if (queue_push_on(w->queue, &(struct job){ run, fail_waiting, w }) != OK)
        fail_waiting(w);
}

static void run(void *arg)
{
    struct kv_writer *w = arg;
    struct kv_txn *group[KV_GROUP_TXNS];
    size_t n = take_group(w, group);
    if (n == 0)
        return;
    commit_may_hold(w->committer, true);
    count(w, group, n, kv_commit(w->committer, group, n));
    commit_may_hold(w->committer, false);
    for (size_t i = 0; i < n; i++)
        w->told(w->arg, group[i]);
    run_again(w);
}

void kv_writer_put(struct kv_writer *w, struct kv_txn *t)
{
    t->next = NULL;
    (void)pthread_mutex_lock(&w->lock);
    bool push = !w->queued;
    *w->last = t;
    w->last = &t->next;
    w->queued = true;
    bool stopped = w->stopped;
    (void)pthread_mutex_unlock(&w->lock);
    if (stopped)
        fail_waiting(w);
    else if (push)
        run_again(w);
}

MUST_USE enum err kv_writer_open(struct kv_writer **out, struct committer *c, struct queue *q, kv_told_fn *told,
                                 void *arg)
{
    struct kv_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    w->committer = c;
    w->queue = q;
    w->told = told;
    w->arg = arg;
    w->last = &w->first;
    (void)pthread_mutex_init(&w->lock, NULL);
    *out = w;
    return OK;
}

void kv_writer_stop(struct kv_writer *w)
{
    fail_waiting(w);
}

void kv_writer_close(struct kv_writer *w)
{
    if (w == NULL)
        return;
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

const struct kv_writer_stats *kv_writer_stats(const struct kv_writer *w)
{
    return &w->stats;
}
