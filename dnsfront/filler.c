#include "dnsfront/filler.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "dnsfront/known.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_MS 1000
#define REST 9                      /* times as long as a filling took */
#define NICE 10                     /* answers come first */

struct filler {
    struct cache *cache;
    struct view *view;
    struct filler_stats stats;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;            /* on the monotonic clock */
    atomic_bool stop;
};

static void rest(struct filler *f, uint64_t ms)
{
    uint64_t until = clock_mono_ms() + ms, now;
    (void)pthread_mutex_lock(&f->lock);
    while (!atomic_load(&f->stop) && (now = clock_mono_ms()) < until)
        (void)cond_rest(&f->wake, &f->lock, until - now);
    (void)pthread_mutex_unlock(&f->lock);
}

/* How long to wait until the next look. */
static uint64_t look(struct filler *f)
{
    struct known *known = cache_known(f->cache);
    struct changes *changes = cache_changes(f->cache);
    if (!known_is_stale(known, changes, f->view))
        return LOOK_MS;
    uint64_t began_us = clock_mono_us();
    enum err err = known_fill(known, changes, f->view, &f->stop);
    uint64_t us = clock_mono_us() - began_us;
    stat_add(err == OK ? &f->stats.fills : &f->stats.failures, 1);
    stat_set(&f->stats.last_us, us);
    log_debug("dns.names", "err=%s us=%llu", err == OK ? "none" : err_text(err), (unsigned long long)us);
    return LOOK_MS + REST * us / 1000;
}

static void *working(void *arg)
{
    struct filler *f = arg;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);   /* of this thread alone, on Linux */
    while (!atomic_load(&f->stop))
        rest(f, look(f));
    return NULL;
}

MUST_USE enum err filler_open(struct filler **out, struct cache *c, struct store *s, struct fault *fault)
{
    *out = NULL;
    if (cache_known(c) == NULL)
        return OK;
    struct filler *f = calloc(1, sizeof *f);
    if (f == NULL)
        return ERR_NOMEM;
    f->cache = c;
    enum err err = view_open(s, &f->view, fault);
    if (err != OK) {
        free(f);
        return err;
    }
    (void)pthread_mutex_init(&f->lock, NULL);
    cond_open(&f->wake);
    if (!thread_start(&f->thread, working, f)) {
        view_close(f->view);
        free(f);
        return fault_set(fault, ERR_NOMEM, "cannot start a thread");
    }
    *out = f;
    return OK;
}

void filler_close(struct filler *f)
{
    if (f == NULL)
        return;
    (void)pthread_mutex_lock(&f->lock);
    atomic_store(&f->stop, true);
    (void)pthread_cond_signal(&f->wake);
    (void)pthread_mutex_unlock(&f->lock);
    (void)pthread_join(f->thread, NULL);
    view_close(f->view);
    (void)pthread_cond_destroy(&f->wake);
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
}

const struct filler_stats *filler_stats(const struct filler *f) { return &f->stats; }
