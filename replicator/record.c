#include "replicator/record.h"

#include "base/msg.h"

#include <assert.h>

#include <sodium.h>
#include <zstd.h>

/* What each signature is over begins with its purpose, so that no signature can stand for another thing. */
static const uint8_t part_purpose[] = "azoth part 1";       /* with the final 0 */
static const uint8_t head_purpose[] = "azoth head 1";

static_assert(sizeof part_purpose == 13 && sizeof head_purpose == 13, "FORMAT.md names 13 bytes");
static_assert(crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES == RECORD_SECRET_EXTRA, "record.h");
static_assert(crypto_secretbox_KEYBYTES == RECORD_SECRET_KEY_LEN, "record.h");

/* --- ops --------------------------------------------------------------------------------------------------------- */
void op_put(struct wr *w, const struct op *op)
{
    msg_put_array(w, op->kind == OP_PUT ? 4 : 3);
    msg_put_uint(w, (uint64_t)op->kind);
    msg_put_text(w, op->ns);
    msg_put_bin(w, op->key);
    if (op->kind == OP_PUT)
        msg_put_bin(w, op->value);
}

size_t op_size(const struct op *op)
{
    return 1 + 1 + 5 + op->ns.len + 5 + op->key.len + (op->kind == OP_PUT ? 5 + op->value.len : 0);
}

bool part_takes(size_t *filled, const struct op *op)
{
    size_t size = op_size(op);
    if (*filled > 0 && *filled + size > RECORD_OPS_MAX)
        return false;
    *filled += size;
    return true;
}

static void op_take(struct rd *r, struct op *out)
{
    uint32_t n = msg_array(r);
    uint64_t kind = msg_uint(r);
    if (!r->bad && ((kind != OP_PUT && kind != OP_DEL) || n < (kind == OP_PUT ? 4u : 3u)))
        rd_fail(r);
    out->kind = (enum op_kind)kind;
    out->ns = msg_text(r);
    out->key = msg_bin(r);
    out->value = kind == OP_PUT ? msg_bin(r) : (struct bytes){ 0 };
    msg_skip_rest(r, n, kind == OP_PUT ? 4 : 3);
    if (!r->bad && (!ns_name_fits(out->ns) || out->key.len == 0 || out->key.len > STORE_KEY_MAX
                    || out->value.len > STORE_VALUE_MAX))
        rd_fail(r);
}

static enum err plain_ops(const struct record *r, ZSTD_DCtx *zstd, struct arena *a, struct bytes *out)
{
    if (r->codec == 0) {
        *out = r->ops;
        return OK;
    }
    unsigned long long size = ZSTD_getFrameContentSize(r->ops.ptr, r->ops.len);
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN)
        return ERR_BAD;
    if (size > RECORD_MAX)
        return ERR_LIMIT;
    uint8_t *buf = arena_take(a, (size_t)size);
    if (buf == NULL)
        return ERR_NOMEM;
    size_t got = zstd != NULL ? ZSTD_decompressDCtx(zstd, buf, (size_t)size, r->ops.ptr, r->ops.len)
                              : ZSTD_decompress(buf, (size_t)size, r->ops.ptr, r->ops.len);
    if (ZSTD_isError(got) || got != size)
        return ERR_BAD;
    *out = bytes_of(buf, got);
    return OK;
}

void record_encrypt(uint8_t *out, struct bytes ops, const uint8_t key[RECORD_SECRET_KEY_LEN])
{
    randombytes_buf(out, crypto_secretbox_NONCEBYTES);
    crypto_secretbox_easy(out + crypto_secretbox_NONCEBYTES, ops.ptr, ops.len, out, key);
}

enum err record_decrypt(struct record *r, const uint8_t key[RECORD_SECRET_KEY_LEN], struct arena *a)
{
    if (r->key_id == 0)
        return OK;
    struct rd rd = rd_over(r->ops);
    struct bytes nonce = rd_take(&rd, crypto_secretbox_NONCEBYTES), box = rd_take(&rd, rd_left(&rd));
    if (rd.bad || box.len < crypto_secretbox_MACBYTES)
        return ERR_BAD;
    size_t len = box.len - crypto_secretbox_MACBYTES;
    uint8_t *plain = arena_take(a, len + 1);
    if (plain == NULL)
        return ERR_NOMEM;
    if (crypto_secretbox_open_easy(plain, box.ptr, box.len, nonce.ptr, key) != 0)
        return ERR_BAD;
    r->ops = bytes_of(plain, len);
    r->key_id = 0;
    return OK;
}

enum err record_ops(const struct record *r, ZSTD_DCtx *zstd, struct arena *a, struct op **ops, size_t *n)
{
    struct bytes plain;
    struct op op;
    size_t count = 0;
    enum err err = r->key_id != 0 ? ERR_KEY : plain_ops(r, zstd, a, &plain);
    if (err != OK)
        return err;
    struct rd rd = rd_over(plain);
    while (!rd.bad && !rd_done(&rd)) {          /* counted first, so that no count is believed */
        op_take(&rd, &op);
        count++;
    }
    if (rd.bad)
        return ERR_BAD;
    struct op *list = arena_take(a, (count + 1) * sizeof *list);    /* a record may hold no op at all */
    if (list == NULL)
        return ERR_NOMEM;
    rd = rd_over(plain);
    for (size_t i = 0; i < count; i++)
        op_take(&rd, &list[i]);
    *ops = list;
    *n = count;
    return OK;
}

/* --- encoding ----------------------------------------------------------------------------------------------------- */
void record_body_put(struct wr *w, const struct record_body *b)
{
    msg_put_array(w, b->witness != NULL ? 11 : 10);
    msg_put_bin(w, bytes_of(b->cluster, CLUSTER_LEN));
    msg_put_uint(w, b->epoch);
    msg_put_uint(w, b->seq);
    msg_put_uint(w, b->part);
    msg_put_bool(w, b->more);
    msg_put_bin(w, bytes_of(b->prev, CHAIN_LEN));
    msg_put_uint(w, b->time_ms);
    msg_put_uint(w, b->codec);
    msg_put_uint(w, b->key_id);
    msg_put_bin(w, b->ops);
    if (b->witness != NULL)
        msg_put_bin(w, bytes_of(b->witness, CHAIN_LEN));
}

void record_chain(struct bytes body, uint8_t out[CHAIN_LEN])
{
    crypto_generichash(out, CHAIN_LEN, body.ptr, body.len, NULL, 0);
}

void record_witness(const uint8_t chain[CHAIN_LEN], const struct signed_head *sh, uint8_t out[CHAIN_LEN])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, CHAIN_LEN);
    crypto_generichash_update(&state, chain, CHAIN_LEN);
    crypto_generichash_update(&state, sh->body, sh->len);
    crypto_generichash_update(&state, sh->sig, HEAD_SIG_LEN);
    crypto_generichash_final(&state, out, CHAIN_LEN);
}

static size_t part_signed(uint8_t out[sizeof part_purpose + CHAIN_LEN], const uint8_t chain[CHAIN_LEN])
{
    memcpy(out, part_purpose, sizeof part_purpose);
    memcpy(out + sizeof part_purpose, chain, CHAIN_LEN);
    return sizeof part_purpose + CHAIN_LEN;
}

static size_t head_signed(uint8_t out[sizeof head_purpose + HEAD_MAX], struct bytes head)
{
    memcpy(out, head_purpose, sizeof head_purpose);
    memcpy(out + sizeof head_purpose, head.ptr, head.len);
    return sizeof head_purpose + head.len;
}

/* Puts the signature of a head where it belongs. */
static void sign_head(uint8_t *sig, struct bytes head, const struct node_key *key)
{
    uint8_t text[sizeof head_purpose + HEAD_MAX];
    size_t len = head_signed(text, head);
    crypto_sign_detached(sig, NULL, text, len, key->secret);
}

static void sign_part(uint8_t *sig, const uint8_t chain[CHAIN_LEN], const struct node_key *key)
{
    uint8_t text[sizeof part_purpose + CHAIN_LEN];
    size_t len = part_signed(text, chain);
    crypto_sign_detached(sig, NULL, text, len, key->secret);
}

void record_put_blank(struct wr *w, struct bytes body, const uint8_t chain[CHAIN_LEN], const struct signed_head *sh,
                      struct record_blanks *out)
{
    static const uint8_t blank[crypto_sign_BYTES];
    *out = (struct record_blanks){ .head_len = sh != NULL ? sh->len : 0 };
    memcpy(out->chain, chain, CHAIN_LEN);
    msg_put_array(w, sh != NULL ? 3 : 2);
    msg_put_bin(w, body);
    if (sh != NULL)
        msg_put_bin(w, bytes_of(sh->body, sh->len));
    out->head = w->len - out->head_len;
    msg_put_bin(w, sh != NULL ? bytes_of(sh->sig, HEAD_SIG_LEN) : bytes_of(blank, sizeof blank));
    out->sig = w->len - sizeof blank;
}

void record_sign(uint8_t *record, const struct record_blanks *b, const struct node_key *key)
{
    if (b->head_len > 0)
        sign_head(record + b->sig, bytes_of(record + b->head, b->head_len), key);
    else
        sign_part(record + b->sig, b->chain, key);
}

void record_put(struct wr *w, struct bytes body, const uint8_t chain[CHAIN_LEN], const struct signed_head *sh,
                const struct node_key *key)
{
    struct record_blanks b;
    record_put_blank(w, body, chain, sh, &b);
    if (!w->full && sh == NULL)
        sign_part(w->buf + b.sig, chain, key);
}

void head_put(struct signed_head *out, const struct head *h)
{
    struct wr w = wr_over(out->body, sizeof out->body);
    head_write(&w, h);              /* HEAD_MAX holds every head */
    out->len = w.len;
    memset(out->sig, 0, sizeof out->sig);
}

void head_sign(struct signed_head *out, const struct head *h, const struct node_key *key)
{
    head_put(out, h);
    sign_head(out->sig, bytes_of(out->body, out->len), key);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */
static enum err body_read(struct record *out)
{
    struct rd r = rd_over(out->body);
    uint32_t n = msg_array(&r);
    if (!r.bad && n < 10)
        rd_fail(&r);
    msg_fixed(&r, out->cluster, CLUSTER_LEN);
    out->epoch = msg_uint(&r);
    out->seq = msg_uint(&r);
    out->part = msg_uint(&r);
    out->more = msg_bool(&r);
    msg_fixed(&r, out->prev, CHAIN_LEN);
    out->time_ms = msg_uint(&r);
    out->codec = msg_uint(&r);
    out->key_id = msg_uint(&r);
    out->ops = msg_bin(&r);
    if ((out->has_witness = n > 10))
        msg_fixed(&r, out->witness, CHAIN_LEN);
    msg_skip_rest(&r, n, n > 10 ? 11 : 10);
    if (r.bad || !rd_done(&r) || out->epoch == 0 || out->seq == 0)
        return ERR_BAD;             /* the body's length is known, so an early end is a broken format too */
    if (out->key_id != 0 && out->ops.len < RECORD_SECRET_EXTRA)
        return ERR_BAD;
    return out->codec > 1 ? ERR_FORMAT : OK;
}

static enum err head_take(struct bytes body, struct bytes sig, struct record *out)
{
    struct rd r = rd_over(body);
    if (body.len > HEAD_MAX || sig.len != HEAD_SIG_LEN || head_read(&r, &out->head) != OK || !rd_done(&r))
        return ERR_BAD;
    memcpy(out->signed_head.body, body.ptr, body.len);
    out->signed_head.len = body.len;
    memcpy(out->signed_head.sig, sig.ptr, HEAD_SIG_LEN);
    out->has_head = true;
    return OK;
}

enum err record_read(struct bytes in, struct record *out)
{
    struct rd r = rd_over(in);
    struct bytes head = { 0 }, head_sig = { 0 };
    if (in.len > RECORD_MAX)
        return ERR_BAD;
    memset(out, 0, sizeof *out);
    uint32_t n = msg_array(&r);
    if (!r.bad && n != 2 && n != 3)             /* what no signature covers must not grow */
        rd_fail(&r);
    out->body = msg_bin(&r);
    if (n == 3) {
        head = msg_bin(&r);
        head_sig = msg_bin(&r);
    } else {
        msg_fixed(&r, out->part_sig, sizeof out->part_sig);
    }
    if (r.bad)
        return rd_err(&r);
    if (!rd_done(&r))
        return ERR_BAD;
    enum err err = body_read(out);
    if (err == OK && out->more != (n == 2))
        err = ERR_BAD;
    if (err == OK && n == 3)
        err = head_take(head, head_sig, out);
    if (err == OK)
        record_chain(out->body, out->chain);
    return err;
}

enum err record_front_read(struct bytes front, struct record_front *out)
{
    struct rd r = rd_over(front);
    struct record_front f;
    (void)msg_array(&r);
    uint8_t form = rd_u8(&r);                   /* the body, as bin: its length, then what it holds */
    if (form < 0xc4 || form > 0xc6)
        rd_fail(&r);
    (void)rd_be(&r, form == 0xc4 ? 1 : form == 0xc5 ? 2 : 4);
    (void)msg_array(&r);
    (void)msg_bin(&r);
    f.epoch = msg_uint(&r);
    f.seq = msg_uint(&r);
    f.part = msg_uint(&r);
    f.more = msg_bool(&r);
    (void)msg_bin(&r);
    f.time_ms = msg_uint(&r);
    if (!r.bad)
        *out = f;
    return rd_err(&r);
}

static bool sig_fits(const uint8_t sig[64], const uint8_t *text, size_t len, const uint8_t pub[32])
{
    return crypto_sign_verify_detached(sig, text, len, pub) == 0;
}

enum err head_verify(const struct signed_head *sh, const uint8_t core_pub[32])
{
    uint8_t text[sizeof head_purpose + HEAD_MAX];
    if (sh->len > HEAD_MAX)
        return ERR_BAD;
    size_t len = head_signed(text, bytes_of(sh->body, sh->len));
    return sig_fits(sh->sig, text, len, core_pub) ? OK : ERR_SIGNATURE;
}

enum err record_agrees(const struct record *r)
{
    const struct head *h = &r->head;
    return !r->has_head || (h->epoch == r->epoch && h->seq == r->seq && h->time_ms == r->time_ms
                            && memcmp(h->cluster, r->cluster, CLUSTER_LEN) == 0 && memcmp(h->chain, r->chain, CHAIN_LEN) == 0)
         ? OK : ERR_BAD;
}

enum err record_verify(const struct record *r, const uint8_t core_pub[32])
{
    uint8_t text[sizeof part_purpose + CHAIN_LEN];
    enum err err = record_agrees(r);
    if (err != OK || r->has_head)
        return err != OK ? err : head_verify(&r->signed_head, core_pub);
    return sig_fits(r->part_sig, text, part_signed(text, r->chain), core_pub) ? OK : ERR_SIGNATURE;
}

enum err record_joins(const struct position *at, const struct record *r)
{
    if (r->epoch < at->epoch)
        return ERR_EPOCH;
    if (r->seq <= at->seq)
        return ERR_EXISTS;
    if (r->seq != at->seq + 1)
        return ERR_GAP;
    if (memcmp(r->prev, at->chain, CHAIN_LEN) != 0)
        return ERR_FORK;
    if (r->part != (at->more ? at->part + 1 : 0) || (at->more && r->epoch != at->epoch))
        return ERR_BAD;
    return OK;
}

void position_move(struct position *at, const struct record *r)
{
    at->epoch = r->epoch;
    at->seq = r->seq;
    memcpy(at->chain, r->chain, CHAIN_LEN);
    at->more = r->more;
    at->part = r->part;
}
