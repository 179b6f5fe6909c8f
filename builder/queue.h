/* Jobs for the one writing thread: whatever changes the store goes through here, one at a time, in order of arrival.
 *
 *     any thread: queue_push ─► [job, job, job] ─► writing thread: run(arg)        a delayed job waits for its time */
#ifndef AZOTH_BUILDER_QUEUE_H
#define AZOTH_BUILDER_QUEUE_H

#include "base/err.h"

struct queue;
/* Exactly one of run and drop is called for each job that queue_push took; drop (may be NULL) when the queue ends
 * before its turn. run is called in the writing thread, drop there or in queue_close. */
struct job { void (*run)(void *arg); void (*drop)(void *arg); void *arg; };

/* Starts the thread, with all signals blocked. ended: called in it as its last act, for whoever waits in an event
 * loop. */
MUST_USE enum err queue_open(struct queue **out, void (*ended)(void *arg), void *arg);
/* Runs after every job pushed before it whose time has come. ERR_NOTNOW: the queue is ending; the job was not taken. */
MUST_USE enum err queue_push(struct queue *q, const struct job *job, uint64_t delay_ms);
/* The same, now, for a job that goes on in transactions which the one before it left open (changer_hold.c). */
MUST_USE enum err queue_push_on(struct queue *q, const struct job *job);
/* fn: called in the writing thread before each job that does not, and when the thread ends, before ended. Only one. */
void queue_before(struct queue *q, void (*fn)(void *arg), void *arg);
size_t queue_waiting(struct queue *q);          /* delayed ones count */
/* The job at hand ends, no other begins. Returns at once; any thread. */
void queue_stop(struct queue *q);
/* queue_stop, waits for the thread, drops what is left. NULL is fine. */
void queue_close(struct queue *q);

#endif
