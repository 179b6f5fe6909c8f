#include "base/thread.h"

#include "base/clock.h"

#include <signal.h>
#include <time.h>

bool thread_start(pthread_t *out, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(out, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

void cond_open(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(c, &attr);
    (void)pthread_condattr_destroy(&attr);
}

bool cond_rest(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t ms)
{
    uint64_t until = clock_mono_ms() + ms;
    const struct timespec at = { (time_t)(until / 1000), (long)(until % 1000) * 1000000 };
    return pthread_cond_timedwait(c, lock, &at) == 0;
}
