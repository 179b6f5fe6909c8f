#include "tools/progress.h"

#include "base/clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DRAW_EVERY_MS 200
#define DRAW_AFTER_MS 500
#define BAR_WIDTH 30

struct progress {
    const char *what, *unit;
    uint64_t total, start_ms;
    stat_count done;
    pthread_t thread;
    pthread_mutex_t lock;       /* the screen line, `drawn` and `stop` */
    pthread_cond_t wake;
    bool drawn, stop;
};

static void erase(struct progress *p)
{
    if (p->drawn)
        (void)fputs("\r\033[K", stderr);
    p->drawn = false;
}

static void draw(struct progress *p)
{
    uint64_t done = stat_get(&p->done), ms = clock_mono_ms() - p->start_ms;
    double share = p->total > 0 ? (double)done / (double)p->total : 0;
    int full = (int)((share < 1 ? share : 1) * BAR_WIDTH);
    if (ms < DRAW_AFTER_MS)
        return;
    erase(p);
    if (p->total > 0)
        (void)fprintf(stderr, "%s [%.*s%.*s] %3.0f %%  %" PRIu64 " of %" PRIu64 " %s  %.1f s", p->what,
                      full, "##############################", BAR_WIDTH - full, "..............................",
                      (share < 1 ? share : 1) * 100, done, p->total, p->unit, (double)ms / 1000);
    else
        (void)fprintf(stderr, "%s %" PRIu64 " %s  %.1f s", p->what, done, p->unit, (double)ms / 1000);
    (void)fflush(stderr);
    p->drawn = true;
}

static void *drawing(void *arg)
{
    struct progress *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += DRAW_EVERY_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        if (pthread_cond_timedwait(&p->wake, &p->lock, &until) != 0 && !p->stop)
            draw(p);
    }
    erase(p);
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

void progress_open(struct progress **out, const char *what, const char *unit, uint64_t total)
{
    struct progress *p;
    *out = NULL;
    if (!isatty(STDERR_FILENO) || (p = calloc(1, sizeof *p)) == NULL)
        return;
    p->what = what;
    p->unit = unit;
    p->total = total;
    p->start_ms = clock_mono_ms();
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->wake, NULL);
    if (pthread_create(&p->thread, NULL, drawing, p) != 0) {
        free(p);        /* no bar is no reason to fail */
        return;
    }
    *out = p;
}

void progress_set(struct progress *p, uint64_t done)
{
    if (p != NULL)
        stat_set(&p->done, done);
}

void progress_hide(struct progress *p)
{
    if (p == NULL)
        return;
    (void)pthread_mutex_lock(&p->lock);
    erase(p);
    (void)fflush(stderr);
}

void progress_show(struct progress *p)
{
    if (p != NULL)
        (void)pthread_mutex_unlock(&p->lock);
}

void progress_close(struct progress *p)
{
    if (p == NULL)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->stop = true;
    (void)pthread_cond_signal(&p->wake);
    (void)pthread_mutex_unlock(&p->lock);
    (void)pthread_join(p->thread, NULL);
    (void)pthread_cond_destroy(&p->wake);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
