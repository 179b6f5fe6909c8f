/* A thread that does one large store job at a time, so that the loop goes on hearing and forwarding heads meanwhile. */
#ifndef AZOTH_REPLICATOR_EDGE_THREAD_H
#define AZOTH_REPLICATOR_EDGE_THREAD_H

#include "replicator/edge.h"

struct edge_thread;
MUST_USE enum err edge_thread_open(struct edge_thread **out, struct edge *e);
void edge_thread_close(struct edge_thread *w);            /* waits for the job at hand; NULL is fine */
/* Readable when a job or a compaction is done. */
int edge_thread_fd(const struct edge_thread *w);
/* Copies the job's records and bytes. ERR_NOMEM: not begun. Only when no other job is at hand; until edge_thread_take the store and
 * the struct edge belong to the worker. */
MUST_USE enum err edge_thread_begin(struct edge_thread *w, const struct job *job);
/* Compacts the store. Only when no job is at hand; one that begins meanwhile waits for the end. */
struct edge_compacted { enum err err; uint64_t before, after, ms; struct fault fault; };
void edge_thread_compact(struct edge_thread *w);
/* Once true, when the compaction is done; asked when edge_thread_fd is readable. */
bool edge_thread_compacted(struct edge_thread *w, struct edge_compacted *out);
/* ERR_AGAIN: not done yet. */
MUST_USE enum err edge_thread_take(struct edge_thread *w, struct job_result *out, struct fault *fault);

#endif
