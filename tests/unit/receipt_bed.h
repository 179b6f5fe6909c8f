/* Nodes with keys, and their receipts, for tests of receipts and of the fleet. */
#ifndef AZOTH_TESTS_UNIT_RECEIPT_BED_H
#define AZOTH_TESTS_UNIT_RECEIPT_BED_H

#include "tests/util.h"

#include <sodium.h>

#include "replicator/receipt.h"

static const uint8_t bed_cluster[CLUSTER_LEN] = { 0xc1, 0xc1 };

/* A key that depends on nothing but the number. */
static inline struct node_key bed_key(unsigned number)
{
    uint8_t seed[crypto_sign_SEEDBYTES] = { (uint8_t)number, (uint8_t)(number >> 8), 7 };
    struct node_key key;
    (void)crypto_sign_seed_keypair(key.pub, key.secret, seed);
    return key;
}
static inline struct receipt bed_receipt(const char *node, uint64_t counter, uint64_t epoch, uint64_t seq)
{
    struct receipt r = {
        .node = bytes_of_text(node), .parent = bytes_of_text("core"), .cohort = bytes_of_text("all"),
        .version = bytes_of_text("1.0"), .boot = 0xb007, .counter = counter, .epoch = epoch, .seq = seq, .head_seq = seq,
        .head_time_ms = 1000 + counter, .uptime_s = 5, .qps = 9, .state = RECEIPT_LIVE,
    };
    memcpy(r.cluster, bed_cluster, CLUSTER_LEN);
    r.digest[0] = (uint8_t)seq;
    return r;
}
/* In exact memory; owned by the caller (bytes_free). */
static inline struct bytes bed_message(const struct receipt *r, const struct node_key *key)
{
    uint8_t buf[RECEIPT_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    receipt_put(&w, r, key);
    assert_false(w.full);
    return heap_copy(w.buf, w.len);
}

#endif
