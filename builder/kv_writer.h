/* Group commit: transactions that arrive while the writing thread is at work wait together and share one sync, and as a
 * rule one transaction of the log (replicator/joint.c).
 *
 *     loop thread: kv_writer_put ─► waiting list ─► one job of the queue ─► kv_commit ─► told, once per transaction */
#ifndef AZOTH_BUILDER_KV_WRITER_H
#define AZOTH_BUILDER_KV_WRITER_H

#include "base/stat.h"
#include "builder/kv.h"
#include "builder/queue.h"

#define KV_GROUP_TXNS 256                           /* in one sync; the rest goes with the next */
#define KV_GROUP_BYTES ((size_t)16 << 20)           /* as much, unless the first alone is larger */
#define KV_GROUP_SIZES 9                            /* groups of 1, 2, 3-4, 5-8 ... 129-256 transactions */

struct kv_writer_stats {        /* written by the writing thread */
    stat_count done, refused, failed;               /* transactions, by how they ended */
    stat_count ops, syncs;                          /* ops of those that are done; flushes */
    stat_count groups[KV_GROUP_SIZES];
};

/* The result is there. Called in the writing thread, or in that of kv_writer_stop and queue_close. */
typedef void kv_told_fn(void *arg, struct kv_txn *t);

struct kv_writer;
MUST_USE enum err kv_writer_open(struct kv_writer **out, struct committer *c, struct queue *q, kv_told_fn *told,
                                 void *arg);
/* Taken until told, which always comes. Any thread. */
void kv_writer_put(struct kv_writer *w, struct kv_txn *t);
/* Those that wait are told KV_FAILED with ERR_NOTNOW, and so are all that come later. */
void kv_writer_stop(struct kv_writer *w);
void kv_writer_close(struct kv_writer *w);          /* after queue_close; NULL is fine */
const struct kv_writer_stats *kv_writer_stats(const struct kv_writer *w);

#endif
