/* A copy on its way into the store: a snapshot's manifest first, then its chunks in order, then the flip. Trusts nothing
 * but the manifest's head, whose signature the replica has verified: chunks are measured against the table, entries against
 * the head. Whatever fails gives the fresh generation up.
 * All by one thread: the transaction is open from the begin to the flip. */
#ifndef AZOTH_REPLICATOR_EDGE_COPY_H
#define AZOTH_REPLICATOR_EDGE_COPY_H

#include "store/snapshot.h"

struct edge_copy {                  /* zeroed: none */
    struct snapshot_load *load;
    struct snapshot_unpack *unpack;
    struct signed_head head;
    uint8_t *table;
    size_t chunks, next;
};
/* ERR_BAD, ERR_SHORT, ERR_FORMAT: not a manifest. Else as store_load_begin. */
MUST_USE enum err edge_copy_begin(struct edge_copy *c, struct store *s, struct bytes manifest, struct fault *fault);
/* ERR_NOTNOW: no copy is under way, or this is not the next chunk of it. ERR_BAD, ERR_LIMIT: it is not what the manifest
 * or the head says. ERR_FULL: no room. */
MUST_USE enum err edge_copy_chunk(struct edge_copy *c, size_t index, struct bytes stored, struct fault *fault);
/* ERR_DIGEST: the entries are not what the head says. An error behind the flip leaves the store with the new data and the
 * old log; store_head says so. */
MUST_USE enum err edge_copy_flip(struct edge_copy *c, struct fault *fault);
void edge_copy_drop(struct edge_copy *c);

#endif
