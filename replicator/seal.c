#include "replicator/seal.h"

#include "base/msg.h"

#include <assert.h>
#include <sodium.h>

static const uint8_t request_purpose[] = "azoth request 1";     /* with the final 0 */

static_assert(sizeof request_purpose == 16, "FORMAT.md names 16 bytes");
static_assert(crypto_box_BEFORENMBYTES == sizeof(struct seal_key), "what libsodium agrees on");
static_assert(crypto_box_NONCEBYTES == SEAL_NONCE_LEN, "what a sealed reply carries");
static_assert(SEAL_HASH_LEN + crypto_box_MACBYTES + SEAL_NONCE_LEN + 16 <= SEAL_EXTRA, "hash, tag, nonce, framing");

#define SIGNED_MAX (sizeof request_purpose + NONCE_LEN + 8 + 1 + NODE_NAME_MAX + REQUEST_MAX)

/* --- the agreed key ------------------------------------------------------------------------------------------------- */
enum err seal_key_make(struct seal_key *out, const struct node_key *ours, const uint8_t theirs[32])
{
    uint8_t secret[crypto_box_SECRETKEYBYTES], pub[crypto_box_PUBLICKEYBYTES];
    enum err err = OK;
    if (crypto_sign_ed25519_pk_to_curve25519(pub, theirs) != 0)
        return ERR_BAD;
    if (crypto_sign_ed25519_sk_to_curve25519(secret, ours->secret) != 0
        || crypto_box_beforenm(out->shared, pub, secret) != 0)
        err = ERR_BAD;
    sodium_memzero(secret, sizeof secret);
    return err;
}

/* --- requests ------------------------------------------------------------------------------------------------------- */
/* What the signature covers: every part of fixed length, or with its length before it, but for the last. */
static struct bytes signed_text(uint8_t out[SIGNED_MAX], struct bytes node, const uint8_t nonce[NONCE_LEN], uint64_t number,
                                struct bytes request)
{
    struct wr w = wr_over(out, SIGNED_MAX);
    wr_put(&w, request_purpose, sizeof request_purpose);
    wr_put(&w, nonce, NONCE_LEN);
    wr_u64(&w, number);
    wr_u8(&w, (uint8_t)node.len);
    wr_bytes(&w, node);
    wr_bytes(&w, request);
    return w.full || node.len > NODE_NAME_MAX ? (struct bytes){ 0 } : wr_done(&w);
}

void seal_request(struct wr *w, const struct node_key *key, struct bytes node, const uint8_t nonce[NONCE_LEN], uint64_t number,
                  struct bytes request, uint8_t hash[SEAL_HASH_LEN])
{
    uint8_t buf[SIGNED_MAX];
    struct request q = { .type = MESSAGE_SIGNED, .node = node, .number = number, .inner = request };
    struct bytes text = signed_text(buf, node, nonce, number, request);
    size_t start = w->len;
    if (text.len == 0) {
        w->full = true;
        return;
    }
    memcpy(q.nonce, nonce, NONCE_LEN);
    crypto_sign_detached(q.sig, NULL, text.ptr, text.len, key->secret);
    request_put(w, &q);
    if (!w->full)
        seal_hash(bytes_of(w->buf + start, w->len - start), hash);
}

enum err seal_verify(const struct request *q, const uint8_t pub[32])
{
    uint8_t buf[SIGNED_MAX];
    struct bytes text = signed_text(buf, q->node, q->nonce, q->number, q->inner);
    return text.len > 0 && crypto_sign_verify_detached(q->sig, text.ptr, text.len, pub) == 0 ? OK : ERR_SIGNATURE;
}

void seal_hash(struct bytes msg, uint8_t hash[SEAL_HASH_LEN])
{
    crypto_generichash(hash, SEAL_HASH_LEN, msg.ptr, msg.len, NULL, 0);
}

/* --- replies -------------------------------------------------------------------------------------------------------- */
/* The box is made in place: what is sealed is moved to where it will stand, behind room for the tag. */
enum err seal_reply(struct wr *w, const struct seal_key *k, const uint8_t hash[SEAL_HASH_LEN], struct bytes reply)
{
    uint8_t nonce[SEAL_NONCE_LEN];
    size_t plain = SEAL_HASH_LEN + reply.len;
    if (reply.len > UINT32_MAX - SEAL_EXTRA)
        return ERR_NOSPACE;
    randombytes_buf(nonce, sizeof nonce);
    msg_put_array(w, 3);
    msg_put_uint(w, MESSAGE_SEALED);
    msg_put_bin(w, bytes_of(nonce, sizeof nonce));
    msg_put_bin_head(w, (uint32_t)(crypto_box_MACBYTES + plain));
    uint8_t *box = wr_room(w, crypto_box_MACBYTES + plain);
    if (box == NULL)
        return ERR_NOSPACE;
    uint8_t *at = box + crypto_box_MACBYTES;
    memcpy(at, hash, SEAL_HASH_LEN);
    if (reply.len > 0)
        memcpy(at + SEAL_HASH_LEN, reply.ptr, reply.len);
    return crypto_box_easy_afternm(box, at, plain, nonce, k->shared) == 0 ? OK : ERR_BAD;
}

enum err seal_open_reply(const struct reply *r, const struct seal_key *k, const uint8_t hash[SEAL_HASH_LEN],
                         uint8_t *out, size_t cap, struct bytes *plain)
{
    size_t least = crypto_box_MACBYTES + SEAL_HASH_LEN;
    if (r->bytes.len < least || r->bytes.len - crypto_box_MACBYTES > cap)
        return ERR_SIGNATURE;
    if (crypto_box_open_easy_afternm(out, r->bytes.ptr, r->bytes.len, r->seal_nonce, k->shared) != 0
        || sodium_memcmp(out, hash, SEAL_HASH_LEN) != 0)
        return ERR_SIGNATURE;
    *plain = bytes_of(out + SEAL_HASH_LEN, r->bytes.len - least);
    return OK;
}
