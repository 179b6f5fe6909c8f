/* A core in memory, for tests of the replica: real records, real signatures, no store. Its data is a small table, so that
 * every state it ever had can be kept and compared. */
#ifndef AZOTH_TESTS_SIM_MODEL_H
#define AZOTH_TESTS_SIM_MODEL_H

#include <assert.h>
#include <sodium.h>

#include "replicator/encode.h"
#include "replicator/message.h"
#include "tests/util.h"

#define MODEL_KEYS 24
#define MODEL_LOG 512

struct model_data { uint32_t value[MODEL_KEYS]; };      /* 0: no such key */
struct model_core {
    struct node_key key;
    uint8_t cluster[CLUSTER_LEN];
    struct encoder *encoder;
    uint64_t epoch, time_ms;
    struct position at;
    struct model_data data;
    struct bytes log[MODEL_LOG + 1];        /* by seq; owned */
    struct model_data state[MODEL_LOG + 1]; /* by seq: the data behind it, where it ends a transaction */
    bool ends[MODEL_LOG + 1];
    struct head head;
    struct signed_head signed_head;         /* len 0: nothing committed */
    uint64_t hold;                          /* records behind it are not released yet; 0: all are */
    bool silent;                            /* records bear no witness, as an earlier version's */
};

static inline void model_digest(const struct model_data *d, struct head *h)
{
    struct digest lanes = { .lane = { 0 } };
    char key[16], value[16];
    h->keys = h->bytes = 0;
    for (int i = 0; i < MODEL_KEYS; i++) {
        if (d->value[i] == 0)
            continue;
        int kn = snprintf(key, sizeof key, "key-%02d", i), vn = snprintf(value, sizeof value, "%u", d->value[i]);
        digest_add(&lanes, bytes_of_text("kv"), bytes_of(key, (size_t)kn), bytes_of(value, (size_t)vn));
        h->keys++;
        h->bytes += (uint64_t)(kn + vn);
    }
    digest_final(&lanes, h->digest);
}

/* Applies decoded ops; false: an op that no model core makes. */
static inline bool model_apply(struct model_data *d, const struct op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char key[8] = { 0 }, value[16] = { 0 };
        if (ops[i].key.len != 6 || ops[i].value.len >= sizeof value)
            return false;
        memcpy(key, ops[i].key.ptr, 6);
        if (ops[i].value.len > 0)
            memcpy(value, ops[i].value.ptr, ops[i].value.len);
        int at = atoi(key + 4);
        if (strncmp(key, "key-", 4) != 0 || at < 0 || at >= MODEL_KEYS)
            return false;
        d->value[at] = ops[i].kind == OP_DEL ? 0 : (uint32_t)atoi(value);
    }
    return true;
}

static inline void model_open(struct model_core *c, uint64_t seed)
{
    uint8_t bytes[crypto_sign_SEEDBYTES] = { 0 };
    assert(sodium_init() >= 0);
    memset(c, 0, sizeof *c);
    memcpy(bytes, &seed, sizeof seed);
    crypto_sign_seed_keypair(c->key.pub, c->key.secret, bytes);
    memset(c->cluster, 0xc1, CLUSTER_LEN);
    c->epoch = 1;
    c->time_ms = 1000;
    if (encoder_open(&c->encoder, c->cluster, &c->key) != OK)
        abort();
}

static inline void model_cut(struct model_core *c, uint64_t seq)
{
    for (uint64_t i = seq + 1; i <= MODEL_LOG; i++) {
        bytes_free(c->log[i]);
        c->log[i] = (struct bytes){ 0 };
        c->ends[i] = false;
    }
}

static inline void model_close(struct model_core *c)
{
    model_cut(c, 0);
    encoder_close(c->encoder);
}

static inline void model_sign(struct model_core *c)
{
    c->head.time_ms = ++c->time_ms;
    head_sign(&c->signed_head, &c->head, &c->key);
}

/* Of the record before; false: there is none. */
static inline bool model_witness(const struct model_core *c, uint8_t out[CHAIN_LEN])
{
    struct record rec;
    if (c->silent || c->at.seq == 0 || record_read(c->log[c->at.seq], &rec) != OK || !rec.has_head)
        return false;
    record_witness(rec.chain, &rec.signed_head, out);
    return true;
}

/* One transaction of `parts` log records, each with one put or delete; wrong: with a digest that is not its data's. */
static inline void model_commit(struct model_core *c, struct rnd *rnd, unsigned parts, bool wrong)
{
    struct bytes record;
    assert(c->at.seq + parts <= MODEL_LOG);
    for (unsigned i = 0; i < parts; i++) {
        char key[16], value[16];
        unsigned k = rnd_below(rnd, MODEL_KEYS);
        bool del = rnd_below(rnd, 4) == 0;
        int kn = snprintf(key, sizeof key, "key-%02u", k), vn = snprintf(value, sizeof value, "%u", 1 + rnd_below(rnd, 1000000));
        struct op op = { del ? OP_DEL : OP_PUT, bytes_of_text("kv"), bytes_of(key, (size_t)kn), bytes_of(value, del ? 0 : (size_t)vn) };
        if (!model_apply(&c->data, &op, 1))
            abort();
        /* the encoder makes parts by size; small ones are made here */
        uint8_t plain[64], body[512], out[2048], witness[CHAIN_LEN];
        struct wr ow = wr_over(plain, sizeof plain), bw = wr_over(body, sizeof body), rw = wr_over(out, sizeof out);
        op_put(&ow, &op);
        struct record_body b = { .epoch = c->epoch, .seq = c->at.seq + 1, .part = i, .more = i + 1 < parts,
                                 .time_ms = c->time_ms + 1, .ops = wr_done(&ow) };     /* model_sign's */
        memcpy(b.cluster, c->cluster, CLUSTER_LEN);
        memcpy(b.prev, c->at.chain, CHAIN_LEN);
        b.witness = model_witness(c, witness) ? witness : NULL;
        record_body_put(&bw, &b);
        c->at = (struct position){ .epoch = b.epoch, .seq = b.seq, .more = b.more, .part = i };
        record_chain(wr_done(&bw), c->at.chain);
        if (!b.more) {
            struct head *h = &c->head;
            memset(h, 0, sizeof *h);
            memcpy(h->cluster, c->cluster, CLUSTER_LEN);
            memcpy(h->chain, c->at.chain, CHAIN_LEN);
            h->epoch = c->epoch;
            h->seq = b.seq;
            model_digest(&c->data, h);
            if (wrong)
                h->digest[0] ^= 1;
            h->cohorts_n = 1;
            h->cohorts[0] = (struct head_cohort){ .name = "all", .released = c->hold != 0 ? c->hold : b.seq };
            model_sign(c);
            c->state[b.seq] = c->data;
            c->ends[b.seq] = true;
        }
        record_put(&rw, wr_done(&bw), c->at.chain, b.more ? NULL : &c->signed_head, &c->key);
        assert(!rw.full);
        record = wr_done(&rw);
        c->log[b.seq] = heap_copy(record.ptr, record.len);
    }
}

/* Back to the state behind seq (which ends a transaction), as a core restored from a backup; a new epoch unless `same`. */
static inline void model_rewind(struct model_core *c, uint64_t seq, bool same)
{
    struct record rec;
    model_cut(c, seq);
    if (!same)
        c->epoch++;
    c->at = (struct position){ 0 };
    c->data = (struct model_data){ { 0 } };
    c->signed_head.len = 0;
    memset(&c->head, 0, sizeof c->head);
    if (seq == 0)
        return;
    if (record_read(c->log[seq], &rec) != OK)
        abort();
    position_move(&c->at, &rec);
    c->data = c->state[seq];
    c->head = rec.head;
    c->signed_head = rec.signed_head;
}

#endif
