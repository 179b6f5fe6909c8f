/* From log to data: reads records of the local log and applies its complete transactions. Core and edge share it: at
 * start, after a failure between the two commits, and on an edge for every transaction that arrives.
 * For the store's writing thread (or whoever stands in for it). */
#ifndef AZOTH_REPLICATOR_REPLAY_H
#define AZOTH_REPLICATOR_REPLAY_H

#include "replicator/keyring.h"
#include "replicator/record.h"

#define REPLAY_GROUP_BYTES ((size_t)4 << 20)    /* small transactions share a commit up to this many bytes of records */

struct replay {
    struct store *store;
    uint8_t pub[32];                /* key that signed everything */
    struct log_reader *reader;
    uint8_t *buf;                   /* RECORD_MAX */
    struct arena arena;
    struct ZSTD_DCtx_s *zstd;
    struct keyring *keys;           /* borrowed, may be set at any time; NULL: encrypted records cannot be applied */
    uint64_t key_wanted;            /* of the last ERR_KEY */
};
MUST_USE enum err replay_open(struct replay *r, struct store *s, const uint8_t pub[32], struct fault *fault);
void replay_close(struct replay *r);

/* The data's position and head; zeroed for an empty store. */
MUST_USE enum err replay_applied(struct replay *r, struct position *out, struct signed_head *out_head);
/* The record at seq, decoded; borrowed until the next call. ERR_NOTFOUND; else the log is damaged. */
MUST_USE enum err replay_record(struct replay *r, uint64_t seq, struct record *out);

/* What the log holds beyond the data. */
struct replay_tail {
    struct position applied;        /* the data */
    struct position log;            /* the last record that joins; the data's position when there is none */
    uint64_t complete;              /* seq that ends the last complete transaction */
    bool broken;                    /* records behind `cut_after` do not join (0: none does) */
    uint64_t cut_after;
    enum err why;                   /* of broken */
};
/* Walks from the data's position to the log's end: chain, seq, parts, signatures. */
MUST_USE enum err replay_walk(struct replay *r, struct replay_tail *out, struct fault *fault);

/* Applies the log's records behind the data up to `to`, which must end a transaction. Whatever was committed before an
 * error stays; done->applied is where the data stands in every case. ERR_DIGEST, ERR_BAD: the data would differ from
 * what the core signed. ERR_KEY: r->key_wanted is not in the ring; whole transactions before it are applied. */
struct replay_done { struct position applied; struct signed_head head; uint64_t transactions, ops; };
MUST_USE enum err replay_apply(struct replay *r, uint64_t to, struct replay_done *done, struct fault *fault);

/* The last seq in from < seq <= to that ends a transaction; `from` when there is none. */
MUST_USE enum err replay_end_before(struct replay *r, uint64_t from, uint64_t to, uint64_t *out);
/* Removes what lies behind seq; 0 empties the log. */
MUST_USE enum err replay_cut(struct replay *r, uint64_t seq, struct fault *fault);

#endif
