#include "replicator/encode.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <zstd.h>

#define COMPRESS_LEAST 512              /* bytes of ops; below that zstd costs more than it saves */
#define BODY_FRAME 160                  /* a body without its ops: 3 + 18 + 5 numbers of 9 + 2 + 34 + 1 + 5 + 34 */

static_assert(RECORD_OPS_MAX + RECORD_SECRET_EXTRA + 5 + BODY_FRAME + 5 + HEAD_MAX + 3 + 66 <= RECORD_MAX, "a full part is a record");
static_assert(STORE_VALUE_MAX + STORE_KEY_MAX + STORE_NS_MAX + 17 + RECORD_SECRET_EXTRA + BODY_FRAME + 5 + HEAD_MAX + 3 + 66 <= RECORD_MAX,
              "the largest op alone is a record");

struct encoder {
    struct node_key key;
    uint8_t cluster[CLUSTER_LEN];
    ZSTD_CCtx *zstd;
    uint8_t *plain, *packed, *secret, *body, *record;   /* RECORD_MAX each */
    uint64_t key_id;                    /* 0: not encrypted */
    uint8_t secret_key[RECORD_SECRET_KEY_LEN];
    struct bytes body_bytes;
    struct position at;
    uint64_t epoch, time_ms;
    bool has_witness;
    uint8_t witness[CHAIN_LEN];         /* for the first part */
    const struct op *ops;
    size_t n, next;
};

enum err encoder_open(struct encoder **out, const uint8_t cluster[CLUSTER_LEN], const struct node_key *key)
{
    struct encoder *e = calloc(1, sizeof *e);
    if (e == NULL)
        return ERR_NOMEM;
    e->key = *key;
    memcpy(e->cluster, cluster, CLUSTER_LEN);
    e->zstd = ZSTD_createCCtx();
    e->plain = malloc(5 * RECORD_MAX);
    if (e->zstd == NULL || e->plain == NULL) {
        encoder_close(e);
        return ERR_NOMEM;
    }
    e->packed = e->plain + RECORD_MAX;
    e->secret = e->packed + RECORD_MAX;
    e->body = e->secret + RECORD_MAX;
    e->record = e->body + RECORD_MAX;
    ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, 1);
    *out = e;
    return OK;
}

void encoder_close(struct encoder *e)
{
    if (e == NULL)
        return;
    ZSTD_freeCCtx(e->zstd);
    free(e->plain);
    sodium_memzero(e, sizeof *e);
    free(e);
}

void encoder_secret(struct encoder *e, uint64_t id, const uint8_t key[RECORD_SECRET_KEY_LEN])
{
    e->key_id = id;
    if (id != 0)
        memcpy(e->secret_key, key, sizeof e->secret_key);
    else
        sodium_memzero(e->secret_key, sizeof e->secret_key);
}

void encoder_begin(struct encoder *e, const struct position *at, uint64_t epoch, uint64_t time_ms,
                   const struct op *ops, size_t n)
{
    e->at = *at;
    e->at.more = false;
    e->epoch = epoch;
    e->time_ms = time_ms;
    e->has_witness = false;
    e->ops = ops;
    e->n = n;
    e->next = 0;
}

void encoder_witness(struct encoder *e, const uint8_t witness[CHAIN_LEN])
{
    memcpy(e->witness, witness, CHAIN_LEN);
    e->has_witness = true;
}

/* As many ops as a part holds, at least one. */
static struct bytes gather(struct encoder *e)
{
    struct wr w = wr_over(e->plain, RECORD_MAX);
    size_t filled = 0;
    for (; e->next < e->n && part_takes(&filled, &e->ops[e->next]); e->next++)
        op_put(&w, &e->ops[e->next]);
    assert(!w.full);
    return wr_done(&w);
}

/* Compressed when that saves an eighth. */
static struct bytes pack(struct encoder *e, struct bytes plain, uint64_t *codec)
{
    *codec = 0;
    if (plain.len < COMPRESS_LEAST)
        return plain;
    size_t got = ZSTD_compress2(e->zstd, e->packed, plain.len - plain.len / 8, plain.ptr, plain.len);
    if (ZSTD_isError(got))          /* does not fit: not worth it */
        return plain;
    *codec = 1;
    return bytes_of(e->packed, got);
}

static struct bytes hide(struct encoder *e, struct bytes ops)
{
    if (e->key_id == 0)
        return ops;
    assert(ops.len + RECORD_SECRET_EXTRA <= RECORD_MAX);
    record_encrypt(e->secret, ops, e->secret_key);
    return bytes_of(e->secret, ops.len + RECORD_SECRET_EXTRA);
}

enum err encoder_part(struct encoder *e, struct position *out)
{
    struct record_body b = { .epoch = e->epoch, .seq = e->at.seq + 1, .time_ms = e->time_ms, .key_id = e->key_id };
    memcpy(b.cluster, e->cluster, CLUSTER_LEN);
    memcpy(b.prev, e->at.chain, CHAIN_LEN);
    b.part = e->at.more ? e->at.part + 1 : 0;
    b.ops = hide(e, pack(e, gather(e), &b.codec));
    b.more = e->next < e->n;
    b.witness = e->has_witness && !e->at.more ? e->witness : NULL;
    struct wr w = wr_over(e->body, RECORD_MAX);
    record_body_put(&w, &b);
    if (w.full)
        return ERR_LIMIT;
    e->body_bytes = wr_done(&w);
    e->at = (struct position){ .epoch = b.epoch, .seq = b.seq, .more = b.more, .part = b.part };
    record_chain(e->body_bytes, e->at.chain);
    *out = e->at;
    return OK;
}

enum err encoder_record(struct encoder *e, const struct signed_head *head, struct bytes *out,
                        struct record_blanks *blanks)
{
    struct wr w = wr_over(e->record, RECORD_MAX);
    assert((head == NULL) == e->at.more);
    if (blanks != NULL)
        record_put_blank(&w, e->body_bytes, e->at.chain, head, blanks);
    else
        record_put(&w, e->body_bytes, e->at.chain, head, &e->key);
    if (w.full)
        return ERR_LIMIT;
    *out = wr_done(&w);
    return OK;
}
