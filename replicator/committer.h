/* The inside of the committer, for its three files:
 *
 *     commit.c     start, repair, core time, flush        stage.c     ops to data transaction and log records
 *     joint.c      transactions of general namespaces, several of them as one */
#ifndef AZOTH_REPLICATOR_COMMITTER_H
#define AZOTH_REPLICATOR_COMMITTER_H

#include <pthread.h>

#include "replicator/commit.h"
#include "replicator/encode.h"
#include "replicator/replay.h"
#include "replicator/signing.h"

/* A staged transaction: its head, without signature until its record is signed; the record when it can go with it. */
struct told { struct signed_head head; uint64_t seq; bool alone; uint8_t *record; size_t len; };
struct base { struct head head; struct signed_head signed_head; struct position at; };     /* one state of the data */

/* Transactions of general namespaces that will be one of the log. */
#define JOINT_BYTES (RECORD_INLINE_MAX - 4096)          /* of ops: so much is still announced with its head */
#define JOINT_OPS 1024
#define JOINT_SLOTS 4096                                /* the hash table stays mostly empty */
struct joint {
    struct op *ops;                     /* values in the arena, keys borrowed until the flush */
    size_t n, cap, bytes;
    struct arena values;
    uint64_t written[JOINT_SLOTS];      /* hashes of the keys in ops; 0: free */
};

struct committer {
    struct store *store;
    struct node_key key;
    commit_told_fn *told;
    void *told_arg;
    void (*on_data)(void *arg);         /* NULL: nobody asks */
    void *on_data_arg;
    void (*on_filled)(void *arg);       /* likewise */
    void *on_filled_arg;
    void (*on_held)(void *arg);         /* NULL: the log holds nothing */
    void *on_held_arg;
    bool holds;                         /* for who commits now it may */
    struct replay replay;
    struct encoder *encoder;
    struct signing *signing;
    uint64_t epoch;
    struct base base, staged;           /* committed; with what is staged on top */
    struct store_txn *txn;              /* open while something is staged */
    struct log_txn *log;
    bool encrypt;                       /* with the newest key of replay.keys */
    bool ahead;                         /* what is staged is safe (log_ahead); was_told: and was told */
    bool was_told;
    bool dirty;                         /* a failure between the two commits: replay first */
    bool open;                          /* commit_open is done */
    bool lost;                          /* the log: a new epoch begins, above this one */
    uint64_t lost_epoch;
    struct commit_began began;
    bool began_one;
    struct told *list;
    size_t list_n, list_cap, list_bytes, staged_bytes, note_bytes;
    size_t signed_n;                    /* of list, those whose record is signed */
    struct joint joint;
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];     /* namespaces that exist or are staged */
    size_t names_n, names_base;
    pthread_mutex_t lock;               /* of what follows: the heartbeat runs in another thread */
    struct head shown;
    uint64_t time_ms, time_bound_ms;
    char time_path[4096];
};


/* epoch.c, for commit_open */
/* Log and data do not join: can the data go on without its log? OK: epoch_begin will see to it. ERR_SIGNATURE: one of them
 * is another core's. ERR_DIGEST: the data is damaged as well. */
MUST_USE enum err epoch_judge(struct committer *c, const struct replay_tail *t, struct fault *fault);
/* Begins the new epoch that a lost log or a restored backup needs, if any. */
MUST_USE enum err epoch_begin(struct committer *c, struct fault *fault);

/* commit.c */
MUST_USE enum err commit_recover(struct committer *c, struct fault *fault);
void commit_drop_staged(struct committer *c);           /* nothing staged any more, nothing changed */

/* stage.c. An error of any of these but stage_limits must be followed by stage_failed. */
MUST_USE enum err stage_limits(struct committer *c, const struct op *ops, size_t n, struct fault *fault);
MUST_USE enum err stage_begin(struct committer *c, struct fault *fault);
/* Ops that are within their limits, behind stage_begin, into the data. */
MUST_USE enum err stage_data(struct committer *c, const struct op *ops, size_t n, struct fault *fault);
/* The records of ops that the data has. */
MUST_USE enum err stage_records(struct committer *c, const struct op *ops, size_t n, const struct store_state *state,
                                struct fault *fault);
/* All that was staged is gone. ERR_LIMIT promises that it is not, and becomes another error. */
enum err stage_failed(struct committer *c, enum err err);
/* A signing_out_fn. */
enum err stage_signed(void *committer, uint64_t seq, struct bytes record, struct fault *fault);

/* joint.c */
/* What was joined becomes a transaction with records. Nothing to do when there is nothing. Errors as in stage.c. */
MUST_USE enum err joint_end(struct committer *c, struct fault *fault);
void joint_drop(struct joint *j);
void joint_release(struct joint *j);

#endif
