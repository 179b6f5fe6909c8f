/* Transactions on general namespaces: puts and deletes with preconditions, all or nothing, several of them in one sync.
 *
 *     kv_commit:  for each transaction: judge its conditions, stage it ─► one flush ─► each has its result
 *
 * Used in the writing thread. An entry's version is (epoch, seq): the epoch that the core is in, the seq of the entry's
 * last write. Raising the epoch makes all versions told before it stale: whoever compares must read again. */
#ifndef AZOTH_BUILDER_KV_H
#define AZOTH_BUILDER_KV_H

#include "replicator/commit.h"
#include "store/kvvalue.h"

struct kv_version { uint64_t epoch, seq; };

enum kv_if { KV_ANY, KV_IF_ABSENT, KV_IF_PRESENT, KV_IF_VERSION };
/* Judged against the state before the transaction, whatever its other ops do. version: for KV_IF_VERSION. */
struct kv_cond { enum kv_if kind; struct kv_version version; };

enum kv_end {
    KV_DONE,            /* durable; version is the transaction's */
    KV_REFUSED,         /* condition of op `at` does not hold; nothing done. present, version: the entry as it is */
    KV_FAILED,          /* err and fault say why; nothing done */
    KV_UNKNOWN,         /* the store failed between log and data: done or not, which the next start or write decides */
};
struct kv_result {
    enum kv_end end;
    enum err err;
    struct fault fault;
    size_t at;
    bool present;
    struct kv_version version;
};

struct kv_txn {
    const struct op *ops;           /* values: the users' bytes; borrowed until the result is there */
    const struct kv_cond *conds;    /* n of them; NULL: no conditions */
    uint64_t *seqs;                 /* room for n: the seq that each op got; NULL: not wanted */
    size_t n;
    struct kv_result result;
    struct kv_txn *next;            /* for lists of whoever holds it */
};

/* Runs the transactions in order, in one sync where that is possible, and where they are small and write different keys
 * as one transaction of the log: then all are told the same version. One that the store has no room for does not take the
 * others with it. Fills each one's result. Gives the number of syncs. */
unsigned kv_commit(struct committer *c, struct kv_txn *const *txns, size_t n);

/* "EPOCH.SEQ" both ways. ERR_BAD. */
#define KV_VERSION_TEXT_MAX 44
MUST_USE enum err kv_version_read(const char *text, struct kv_version *out);
const char *kv_version_text(char out[KV_VERSION_TEXT_MAX], struct kv_version v);

/* A key or value for people: what is printable ASCII as it is, a backslash twice, all else as \xNN; cut at cap.
 * Gives out. */
#define KV_KEY_TEXT_MAX (4 * STORE_KEY_MAX + 1)
const char *kv_text(char *out, size_t cap, struct bytes b);

#endif
