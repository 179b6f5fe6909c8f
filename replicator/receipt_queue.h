/* Receipts on their way up: the newest of each node, waiting for the link to the upstream. What a relay keeps, and what an
 * edge keeps of its own. Pure: bytes and a clock in, bytes out.
 *
 *     receipt_queue_take ─► [node and boot: its newest receipt] ─► receipt_queue_first ... receipt_queue_drop     in order of arrival
 *
 * A relay knows the keys of its own subscribers only, not of those behind other relays, so it checks shape, counter and
 * rate, and leaves the signature to the core. What it remembers hangs on the node's boot number, which only who hears its
 * receipts can know: others cannot silence a node in its name; who hears them can, for a while, with a counter far ahead: one
 * that nothing follows for RECEIPT_QUEUE_REST_MS counts no more, and our own receipts always go. Memory is bounded: RECEIPT_QUEUE_NODES places, one receipt
 * each; while all are taken, a new one gets that of one not heard for RECEIPT_QUEUE_REST_MS, or none. */
#ifndef AZOTH_REPLICATOR_RECEIPT_QUEUE_H
#define AZOTH_REPLICATOR_RECEIPT_QUEUE_H

#include "replicator/receipt.h"

#define RECEIPT_QUEUE_NODES 16384
#define RECEIPT_QUEUE_RATE 20000        /* of all nodes together in a second */
#define RECEIPT_QUEUE_NEW 1000          /* of those heard for the first time */
#define RECEIPT_QUEUE_REST_MS 60000

struct receipt_queue;
MUST_USE enum err receipt_queue_open(struct receipt_queue **out);
void receipt_queue_close(struct receipt_queue *q);              /* NULL is fine */

/* ours: our own, which no rate holds back. Copies. ERR_SHORT, ERR_BAD, ERR_FORMAT: shape. ERR_EXISTS: the counter is not
 * above the one before. ERR_LIMIT: too many from this node, or altogether, or no place for it. ERR_NOMEM. */
MUST_USE enum err receipt_queue_take(struct receipt_queue *q, struct bytes msg, bool ours, uint64_t now_us);
/* The one that waits longest; borrowed until the next call. false: none. */
bool receipt_queue_first(const struct receipt_queue *q, struct bytes *msg);
void receipt_queue_drop(struct receipt_queue *q);               /* that one: sent */
size_t receipt_queue_waiting(const struct receipt_queue *q);

#endif
