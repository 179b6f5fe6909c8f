/* Threads that leave signals to the loop, and conditions that no change of the clock holds up. */
#ifndef AZOTH_BASE_THREAD_H
#define AZOTH_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* With all signals blocked. false: there is no room for one more. */
bool thread_start(pthread_t *out, void *(*run)(void *arg), void *arg);
/* For cond_rest: it counts in monotonic time. */
void cond_open(pthread_cond_t *c);
/* Waits, at most so long. true: it was signalled, or woke for nothing; false: the time is over. lock: held. */
bool cond_rest(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t ms);

#endif
