/* The edge's hands: does the replica's jobs on the store. Blocking; one thread at a time (edge_jobs.c runs large jobs in
 * a thread of their own). No socket, no clock.
 *
 *     JOB_STORE   records ─► log (one commit) ─► complete transactions ─► data, each group with its signed digest
 *     JOB_COPY    an empty generation beside the data, JOB_LOAD its next entries, JOB_FLIP it becomes the data: edge_copy.h
 *
 * At edge_open: a log that does not join the data is emptied, what it has complete and the data has not is applied. */
#ifndef AZOTH_REPLICATOR_EDGE_H
#define AZOTH_REPLICATOR_EDGE_H

#include "replicator/edge_copy.h"
#include "replicator/replica.h"
#include "replicator/replay.h"

struct edge {
    struct store *store;
    struct replay replay;
    struct position log, applied;
    uint64_t complete;              /* seq of the last complete transaction in the log */
    struct signed_head head;        /* of the data */
    struct signed_head served;      /* of the last complete transaction in the log, or of the data; len 0: none */
    struct edge_copy copy;
    bool log_stale;                 /* a flip could not empty the log: it belongs to the data before */
    uint64_t transactions, ops;
};

/* s: an edge's store, open for writing. *fault also says, on OK, what was done about the log ("" when nothing). */
MUST_USE enum err edge_open(struct edge *e, struct store *s, const uint8_t core_pub[32], struct fault *fault);
void edge_close(struct edge *e);
void edge_start(const struct edge *e, struct replica_start *out);
/* The fault is for the log line; *out for replica_stored. */
void edge_do(struct edge *e, const struct job *job, struct job_result *out, struct fault *fault);
/* Gives up what a copy has so far. By the thread that did its jobs. */
void edge_forget_copy(struct edge *e);
/* Is it so much that a loop should not wait for it? A copy's jobs always are, so that one thread does them all. */
bool edge_is_large(const struct edge *e, const struct job *job);

#endif
