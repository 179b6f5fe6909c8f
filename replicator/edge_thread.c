#include "replicator/edge_thread.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct edge_thread {
    struct edge *edge;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int fd;
    bool ending, waiting, done;     /* waiting: a job is there; done: its result is */
    bool compact, compacted;        /* the same for a compaction, which goes before the job */
    struct edge_compacted compaction;
    struct job job;
    struct bytes *records;
    uint8_t *bytes;                 /* of the records, or the job's own */
    struct job_result result;
    struct fault fault;
};

static void compact(struct edge_thread *w)
{
    struct edge_compacted c = { .fault = { "" } };
    uint64_t start_ms = clock_mono_ms();
    c.err = store_compact(w->edge->store, &c.before, &c.after, &c.fault);
    c.ms = clock_mono_ms() - start_ms;
    w->compaction = c;
}

static void tell(struct edge_thread *w)
{
    uint64_t one = 1;
    while (write(w->fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void *work(void *arg)
{
    struct edge_thread *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->waiting && !w->compact && !w->ending)
            pthread_cond_wait(&w->changed, &w->lock);
        bool first = w->compact && !w->ending;
        if (!first && !w->waiting)
            break;
        pthread_mutex_unlock(&w->lock);
        if (first)
            compact(w);
        else
            edge_do(w->edge, &w->job, &w->result, &w->fault);
        pthread_mutex_lock(&w->lock);
        if (first) {
            w->compact = false;
            w->compacted = true;
        } else {
            w->waiting = false;
            w->done = true;
        }
        tell(w);
    }
    pthread_mutex_unlock(&w->lock);
    edge_forget_copy(w->edge);      /* its transaction is this thread's */
    return NULL;
}

enum err edge_thread_open(struct edge_thread **out, struct edge *e)
{
    struct edge_thread *w = calloc(1, sizeof *w);
    sigset_t all, before;
    if (w == NULL)
        return ERR_NOMEM;
    w->edge = e;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sigfillset(&all);                   /* signals are the loop's */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    w->started = w->fd >= 0 && pthread_create(&w->thread, NULL, work, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!w->started) {
        edge_thread_close(w);
        return ERR_NOMEM;
    }
    *out = w;
    return OK;
}

static void forget(struct edge_thread *w)
{
    free(w->records);
    free(w->bytes);
    w->records = NULL;
    w->bytes = NULL;
}

void edge_thread_close(struct edge_thread *w)
{
    if (w == NULL)
        return;
    if (w->started) {
        pthread_mutex_lock(&w->lock);
        w->ending = true;
        pthread_cond_signal(&w->changed);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    if (w->fd >= 0)
        close(w->fd);
    forget(w);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int edge_thread_fd(const struct edge_thread *w)
{
    return w->fd;
}

enum err edge_thread_begin(struct edge_thread *w, const struct job *job)
{
    size_t total = job->bytes.len, at = job->bytes.len;
    for (size_t i = 0; i < job->n; i++)
        total += job->records[i].len;
    w->records = malloc((job->n + 1) * sizeof *w->records);
    w->bytes = malloc(total + 1);
    if (w->records == NULL || w->bytes == NULL) {
        forget(w);
        return ERR_NOMEM;
    }
    if (job->bytes.len > 0)
        memcpy(w->bytes, job->bytes.ptr, job->bytes.len);
    for (size_t i = 0; i < job->n; i++) {
        memcpy(w->bytes + at, job->records[i].ptr, job->records[i].len);
        w->records[i] = bytes_of(w->bytes + at, job->records[i].len);
        at += job->records[i].len;
    }
    pthread_mutex_lock(&w->lock);
    w->job = *job;
    w->job.records = w->records;
    w->job.bytes = bytes_of(w->bytes, job->bytes.len);
    w->waiting = true;
    pthread_mutex_unlock(&w->lock);
    pthread_cond_signal(&w->changed);   /* behind the unlock: else who wakes meets the lock at once */
    return OK;
}

enum err edge_thread_take(struct edge_thread *w, struct job_result *out, struct fault *fault)
{
    uint64_t count;
    if (read(w->fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return ERR_IO;
    pthread_mutex_lock(&w->lock);
    bool done = w->done;
    w->done = false;
    pthread_mutex_unlock(&w->lock);
    if (!done)
        return ERR_AGAIN;
    *out = w->result;
    *fault = w->fault;
    forget(w);
    return OK;
}

void edge_thread_compact(struct edge_thread *w)
{
    pthread_mutex_lock(&w->lock);
    w->compact = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

bool edge_thread_compacted(struct edge_thread *w, struct edge_compacted *out)
{
    pthread_mutex_lock(&w->lock);
    bool compacted = w->compacted;
    w->compacted = false;
    pthread_mutex_unlock(&w->lock);
    if (compacted)
        *out = w->compaction;
    return compacted;
}
