/* The committer: the only way data changes on a core. Takes a set of ops, makes them one transaction of the store and
 * the log, signed, and tells the publisher.
 *
 *     commit_run:  ops ─► store_apply (digest) ─► records (parts, chain, signature) ─► ahead of the log ─► told ─► log commit ─► data commit
 *
 * Lives in one thread (the store's writing thread). commit_open replays what the log has complete and the data has not,
 * and cuts an unfinished transaction off the log's tail; so does commit_run after a failure between the two commits.
 *
 * What the log has on the disk, or what is safe ahead of it (store.h: log_ahead), is true, and the rest follows, at the next start if
 * need be. So a small transaction is told when that one flush is done; log and data have it at once, but may reach the disk much later
 * (commit_checkpoint). A large one is told behind the data: it may fill the disk, and then the log takes it back, which it cannot once
 * subscribers have it. A new epoch waits as well: a restore looks for the highest one in the data. */
#ifndef AZOTH_REPLICATOR_COMMIT_H
#define AZOTH_REPLICATOR_COMMIT_H

#include "replicator/record.h"

struct committer;

/* What the publisher needs to announce: bytes are borrowed for the call. record: the last part when it is the only part
 * and at most RECORD_INLINE_MAX, else empty. Called in the committing thread when it is safe, maybe before log and data have it. */
typedef void commit_told_fn(void *arg, const struct signed_head *head, struct bytes record);

/* s: a core's store, open for writing; key: copied. told may be NULL (offline load).
 * Where the log is lost (it does not lead to the data, or cannot be read), a new epoch begins; what it has complete behind
 * the data is applied before. ERR_SIGNATURE: log or data were signed by another key. ERR_DIGEST: the log is lost, and the
 * data is not what its head says. */
MUST_USE enum err commit_open(struct committer **out, struct store *s, const struct node_key *key,
                              commit_told_fn *told, void *told_arg, struct fault *fault);
/* The same with the cluster keys (borrowed): without any, encrypted records that the data still lacks cannot be applied. */
struct keyring;
MUST_USE enum err commit_open_keys(struct committer **out, struct store *s, const struct node_key *key, struct keyring *keys,
                                   commit_told_fn *told, void *told_arg, struct fault *fault);
/* From the next transaction on: are ops encrypted in the log, with the newest cluster key? Needs keys. */
void commit_encrypt(struct committer *c, bool on);
/* Called in the committing thread behind each commit of the data. */
void commit_on_data(struct committer *c, void (*fn)(void *arg), void *arg);
/* Called in the committing thread behind a flush when commit_checkpoint is due. NULL: never any more. */
void commit_on_filled(struct committer *c, void (*fn)(void *arg), void *arg);
/* From now on the log may keep transactions open behind a flush (log_hold), for who says commit_may_hold. held: called in the committing
 * thread behind a flush that left one so; want: in any thread, when somebody waits to read the log. Both ask for a commit_let_go: soon, and
 * now. NULL: never any more; only when nothing is held. */
void commit_on_hold(struct committer *c, void (*held)(void *arg), void (*want)(void *arg), void *arg);
/* The next flushes, until it says that they may not. */
void commit_may_hold(struct committer *c, bool may);
/* What is held is committed. An error: commit_settle does it. */
MUST_USE enum err commit_let_go(struct committer *c, struct fault *fault);
/* Log and data are on the disk, all of them, and the room of what went ahead of the log is free again. Only when all extras are on
 * the disk where they belong. ERR_NOTNOW: something is staged, or has to be settled first. */
MUST_USE enum err commit_checkpoint(struct committer *c, struct fault *fault);
void commit_close(struct committer *c);
/* After a failure between the two commits the next change begins with what the log is ahead; when none comes, this does it.
 * OK: the data has it now. ERR_NOTNOW: there was nothing to do. Else it is to be called again. */
MUST_USE enum err commit_settle(struct committer *c, struct fault *fault);
/* The epoch that commit_open began, and why; false: it began none. */
struct commit_began { uint64_t from, to, seq; char why[200]; };
bool commit_began(const struct committer *c, struct commit_began *out);

/* n ops, applied in order, as one transaction; all or nothing. *seq: the transaction's seq; unchanged data makes no
 * transaction and gives the current seq. ERR_FULL, ERR_LIMIT: nothing changed, nothing announced. Any other error of a
 * flush: nothing announced, and the change may still come true, with the next one.
 * The same as commit_stage and commit_flush. */
MUST_USE enum err commit_run(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, struct fault *fault);
/* Group commit: several transactions, each with its own records and seq, that share one sync. Readers and subscribers
 * see none of them before commit_flush, then all. Ops that were made out of a view want commit_settle before view_begin: else what
 * the log is ahead comes into the data here, behind that view. Ops are borrowed for the call. ERR_LIMIT: this transaction is refused,
 * those staged before stay. Any other error: all staged are gone, nothing changed. */
MUST_USE enum err commit_stage(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, struct fault *fault);
/* The same for general namespaces: values are the users' bytes, stored as kvvalue.h says with the seq of the part that
 * they fall into. What is staged one behind the other is joined into one transaction of the log while that is small and no
 * key is written twice: then several have the same *seq. seqs (may be NULL): n numbers, the seq that each op got. A put
 * always makes a new version, and so a transaction. Ops are borrowed until the flush. Errors as commit_stage; ERR_LIMIT
 * also: key over KV_KEY_MAX, value over KV_BYTES_MAX, namespace `dns`. */
MUST_USE enum err commit_stage_kv(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, uint64_t *seqs,
                                  struct fault *fault);
/* The value, as stored, that a key has behind all that is staged; borrowed until the next call. ERR_NOTFOUND; any other
 * error: all staged are gone. Opens the store's transaction: a commit_flush must follow, also when nothing is staged. */
MUST_USE enum err commit_peek(struct committer *c, struct bytes ns, struct bytes key, struct bytes *out,
                              struct fault *fault);
/* Something to remember of a staged transaction (seq, as commit_stage gave it), in the log's commit that holds its records:
 * there is one with the other, or neither (store.h: notes). Copied. Nothing when what was staged changed nothing. Errors as
 * commit_stage's. */
MUST_USE enum err commit_note(struct committer *c, struct bytes group, uint64_t seq, struct bytes note, struct fault *fault);
/* Nothing is staged any more, nothing changed. */
void commit_drop(struct committer *c);
MUST_USE enum err commit_flush(struct committer *c, struct fault *fault);
/* What is staged is durable, with extra (store.h: log_extras), and is told if it can be; commit_flush must follow. ERR_LIMIT: it cannot
 * be ahead of the log, all is staged as before. Other errors as commit_flush's. */
MUST_USE enum err commit_ahead(struct committer *c, struct bytes extra, struct fault *fault);
/* A transaction without ops that begins a new epoch; epoch: above commit_epoch. Nothing else may be staged. For
 * epoch.c; errors as commit_stage. */
MUST_USE enum err commit_stage_epoch(struct committer *c, uint64_t epoch, uint64_t *seq, struct fault *fault);
/* Commits that transaction, with the lowest epoch that is above this one and above `above`; what is staged goes before
 * it. commit_open does it itself for data whose log is lost or that was loaded (a restored backup): until then edges may
 * hold records that the data does not know, of the same epoch. */
MUST_USE enum err commit_raise_epoch(struct committer *c, uint64_t above, uint64_t *seq, struct fault *fault);
/* Epoch of the next transaction. */
uint64_t commit_epoch(const struct committer *c);
/* Bytes of staged ops and notes, for whoever decides when to flush. */
size_t commit_staged_bytes(const struct committer *c);
/* Now, as core time: never below what any head said, also over restarts. */
uint64_t commit_time_ms(struct committer *c);
/* The head that was told last (before any: that of the data) with a new time, signed: the heartbeat. ERR_NOTFOUND: nothing committed yet. Any thread. */
MUST_USE enum err commit_heartbeat(struct committer *c, struct signed_head *out);

#endif
