#include "store/hold.h"

#include "base/clock.h"
#include "base/thread.h"

#define WAIT_MOST_MS 10000      /* the holder waits for one flush of a disk at most */
#define LOST_MOST_MS 3000       /* behind the loss: a disk that has no room may keep it from being done again for long */
#define LOOK_MS 100

void hold_open(struct hold *h)
{
    *h = (struct hold){ .wanted = false };
    (void)pthread_mutex_init(&h->lock, NULL);
    cond_open(&h->dropped);
}

void hold_close(struct hold *h)
{
    (void)pthread_cond_destroy(&h->dropped);
    (void)pthread_mutex_destroy(&h->lock);
}

void hold_allow(struct hold *h, void (*want)(void *arg), void *arg)
{
    (void)pthread_mutex_lock(&h->lock);
    h->want = want;
    h->arg = arg;
    (void)pthread_mutex_unlock(&h->lock);
}

bool hold_is_mine(struct hold *h)
{
    if (!atomic_load(&h->on))
        return false;
    (void)pthread_mutex_lock(&h->lock);
    bool mine = atomic_load(&h->on) && pthread_equal(h->by, pthread_self());
    (void)pthread_mutex_unlock(&h->lock);
    return mine;
}

bool hold_take(struct hold *h)
{
    (void)pthread_mutex_lock(&h->lock);
    bool may = h->want != NULL && !h->wanted && !h->lost && h->n + 1 < HOLD_MOST && atomic_load(&h->guests) == 0;
    if (may) {
        h->by = pthread_self();
        h->n++;
        atomic_store(&h->on, true);
    }
    (void)pthread_mutex_unlock(&h->lock);
    return may;
}

void hold_guest(struct hold *h, bool comes)
{
    if (comes)
        (void)atomic_fetch_add(&h->guests, 1);
    else
        (void)atomic_fetch_sub(&h->guests, 1);
}

void hold_drop(struct hold *h)
{
    if (!atomic_load(&h->on))
        return;
    (void)pthread_mutex_lock(&h->lock);
    atomic_store(&h->on, false);
    h->wanted = h->lost = false;
    h->n = 0;
    h->round++;
    (void)pthread_cond_broadcast(&h->dropped);
    (void)pthread_mutex_unlock(&h->lock);
}

void hold_lose(struct hold *h)
{
    (void)pthread_mutex_lock(&h->lock);
    h->lost = atomic_load(&h->on);
    h->lost_ms = clock_mono_ms();
    h->n = 0;
    (void)pthread_mutex_unlock(&h->lock);
}

bool hold_is_lost(struct hold *h)
{
    (void)pthread_mutex_lock(&h->lock);
    bool lost = h->lost;
    (void)pthread_mutex_unlock(&h->lock);
    return lost;
}

/* Under the lock. */
static void ask(struct hold *h)
{
    bool asks = atomic_load(&h->on) && !h->wanted && !pthread_equal(h->by, pthread_self());
    h->wanted |= asks;
    if (asks && h->want != NULL)
        h->want(h->arg);
}

void hold_ask(struct hold *h)
{
    if (!atomic_load(&h->on))
        return;
    (void)pthread_mutex_lock(&h->lock);
    ask(h);
    (void)pthread_mutex_unlock(&h->lock);
}

static bool is_worth_it(const struct hold *h, uint64_t from_ms)
{
    uint64_t now_ms = clock_mono_ms();
    return h->lost ? now_ms < h->lost_ms + LOST_MOST_MS : now_ms < from_ms + WAIT_MOST_MS;
}

MUST_USE enum err hold_wait(struct hold *h)
{
    uint64_t from_ms = clock_mono_ms();
    if (!atomic_load(&h->on))
        return OK;
    (void)pthread_mutex_lock(&h->lock);
    uint64_t round = h->round;
    bool mine = pthread_equal(h->by, pthread_self());
    ask(h);
    while (atomic_load(&h->on) && !mine && h->round == round && is_worth_it(h, from_ms))
        (void)cond_rest(&h->dropped, &h->lock, LOOK_MS);
    bool over = !atomic_load(&h->on) || mine || h->round != round;
    (void)pthread_mutex_unlock(&h->lock);
    return over ? OK : ERR_NOTNOW;
}
