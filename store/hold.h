/* A writing transaction that stays open behind its end, so that the next one goes on in it and their pages are written once. Who reads
 * in another thread sees the state before it: so he asks for its end first, and waits for that.
 *
 *     holder: hold_take ─► (goes on, hold_take) ... ─► committed ─► hold_drop          reader: hold_wait ─► reads
 *                                                   └► lost ─► hold_lose ─► done again ─► hold_drop */
#ifndef AZOTH_STORE_HOLD_H
#define AZOTH_STORE_HOLD_H

#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define HOLD_MOST 32            /* transactions in one */

struct hold {
    pthread_mutex_t lock;
    pthread_cond_t dropped;
    atomic_bool on;
    atomic_uint guests;         /* who writes next: nothing is held over them */
    pthread_t by;               /* what follows: under the lock */
    bool wanted, lost;
    uint64_t lost_ms;           /* when (monotonic) */
    uint64_t round;             /* one more with each drop */
    void (*want)(void *arg);    /* makes the holder end it, soon; NULL: nothing is ever held */
    void *arg;
    unsigned n;                 /* the holder's: transactions in it */
};

void hold_open(struct hold *h);
void hold_close(struct hold *h);        /* zeroed is not fine */
/* want: called in any thread; it must not wait for the holder. NULL: nothing is taken any more, and nobody is asked. */
void hold_allow(struct hold *h, void (*want)(void *arg), void *arg);
bool hold_is_mine(struct hold *h);
/* false: nothing may be held (any longer), commit now. */
bool hold_take(struct hold *h);
/* Somebody else is about to write; and does, or gave up. */
void hold_guest(struct hold *h, bool comes);
void hold_drop(struct hold *h);         /* nothing to do when nothing is held */
/* What was held is gone, and has to be done again before anybody may read: until hold_drop all wait, and nothing is held. */
void hold_lose(struct hold *h);
bool hold_is_lost(struct hold *h);
/* Until what is held now is committed; at once when nothing is, or the caller holds it. ERR_NOTNOW: that took too long. */
MUST_USE enum err hold_wait(struct hold *h);
/* Asks for the end of what is held, as hold_wait does, and does not wait. */
void hold_ask(struct hold *h);

#endif
