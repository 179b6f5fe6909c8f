/* The head: which state of the data this is. The core signs it (replicator/record.h); the store keeps it in the same
 * transaction as the data that it describes. Layout in FORMAT.md section 4. */
#ifndef AZOTH_STORE_HEAD_H
#define AZOTH_STORE_HEAD_H

#include "base/err.h"

#define CLUSTER_LEN 16
#define CHAIN_LEN 32
#define HEAD_DIGEST_LEN 32
#define HEAD_SIG_LEN 64
#define HEAD_MAX 512            /* encoded, without signature; FORMAT.md section 4 adds up to less */
#define HEAD_COHORTS_MAX 8
#define COHORT_NAME_MAX 32

struct head_cohort { char name[COHORT_NAME_MAX + 1]; uint64_t released; };
struct head {
    uint8_t cluster[CLUSTER_LEN];
    uint64_t epoch, seq;            /* seq of the last part of the newest transaction; 0: empty store */
    uint8_t chain[CHAIN_LEN];       /* hash of that part's body; zero when seq is 0 */
    uint8_t digest[HEAD_DIGEST_LEN];
    uint64_t keys, bytes;           /* entries in all namespaces; sum of their key and value lengths */
    uint64_t time_ms;               /* core time, never runs backwards */
    unsigned cohorts_n;
    struct head_cohort cohorts[HEAD_COHORTS_MAX];   /* at least one, "all"; ascending by name */
};

/* The encoded head and its signature, as they travel and are stored. */
struct signed_head { uint8_t body[HEAD_MAX]; size_t len; uint8_t sig[HEAD_SIG_LEN]; };

void head_write(struct wr *w, const struct head *h);
/* ERR_SHORT, ERR_BAD: not a head. Elements that a newer version adds are skipped. */
MUST_USE enum err head_read(struct rd *r, struct head *out);
/* Compares (epoch, seq): <0, 0, >0. */
int head_compare(const struct head *a, const struct head *b);

#endif
