/* Orders about the whole cluster that an operator gives through the API. Each is a job of the writing thread, in turn with
 * its other jobs:
 *
 *     loop thread: core_cluster_raise_epoch ─► queue ─► writing thread: commit_raise_epoch ─► log line ─► told */
#ifndef AZOTH_BUILDER_CORE_CLUSTER_H
#define AZOTH_BUILDER_CORE_CLUSTER_H

#include "base/err.h"

struct core;
struct core_cluster_result {
    enum err err;
    struct fault fault;                 /* the words of err */
    uint64_t epoch, seq;                /* raise_epoch, OK: the epoch that began, and the seq of its first record */
    uint64_t key_id;                    /* rotate_key, OK: of the new key */
};
/* The result is there; borrowed for the call. In the writing thread; when the core is ending (ERR_NOTNOW) or out of memory,
 * in the caller's or in that of queue_close. */
typedef void core_cluster_told_fn(void *arg, const struct core_cluster_result *result);

/* Begins a new epoch: durable when told. Versions (epoch, seq) told before are stale behind it; edges go on without a copy.
 * Loop thread; told exactly once. */
void core_cluster_raise_epoch(struct core *c, core_cluster_told_fn *told, void *arg);
/* A new cluster key: kept on disk when told, and the next transaction is encrypted with it. Edges fetch it with the first
 * record that names it. ERR_NOTNOW also: core.encrypt is off. why: for the log line; a literal. */
void core_cluster_rotate_key(struct core *c, const char *why, core_cluster_told_fn *told, void *arg);

#endif
