#include "store/digest.h"

#include "store/lanes.h"

#include <assert.h>
#include <endian.h>
#include <sodium.h>

#define SHORT_ENTRY 1024    /* up to here the entry is hashed from one buffer, without the streaming interface */

static_assert(DIGEST_LANES == LANES && DIGEST_LEN == crypto_generichash_BYTES, "BLAKE2b-256");

/* ns length (1 byte), ns, key length (2 bytes), key, value length (4 bytes); the value follows. */
static void put_front(struct wr *w, struct bytes ns, struct bytes key, size_t value_len)
{
    wr_u8(w, (uint8_t)ns.len);
    wr_bytes(w, ns);
    wr_u16(w, (uint16_t)key.len);
    wr_bytes(w, key);
    wr_u32(w, (uint32_t)value_len);
}

static void entry_hash(uint8_t out[32], struct bytes ns, struct bytes key, struct bytes value)
{
    uint8_t buf[SHORT_ENTRY];
    struct wr w = wr_over(buf, sizeof buf);
    assert(ns.len <= UINT8_MAX && key.len <= 512 && value.len <= UINT32_MAX);
    put_front(&w, ns, key, value.len);
    if (w.cap - w.len >= value.len) {
        wr_bytes(&w, value);
        (void)crypto_generichash(out, 32, buf, w.len, NULL, 0);
        return;
    }
    crypto_generichash_state st;
    (void)crypto_generichash_init(&st, NULL, 0, 32);
    (void)crypto_generichash_update(&st, buf, w.len);
    (void)crypto_generichash_update(&st, value.ptr, value.len);
    (void)crypto_generichash_final(&st, out, 32);
}

/* The 1024 numbers of an entry, into or out of the sum. The nonce is zero: the key is used for this one stream. */
static void sum_plain(uint16_t sum[DIGEST_LANES], const uint8_t hash[32], bool minus)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    uint16_t lane[DIGEST_LANES];
    (void)crypto_stream_chacha20((uint8_t *)lane, 2 * DIGEST_LANES, nonce, hash);
    for (size_t i = 0; i < DIGEST_LANES; i++) {
        uint16_t v = le16toh(lane[i]);
        sum[i] = (uint16_t)(minus ? sum[i] - v : sum[i] + v);
    }
}

static void sum(struct digest *d, struct bytes ns, struct bytes key, struct bytes value, bool minus)
{
    uint8_t hash[crypto_stream_chacha20_KEYBYTES];
    entry_hash(hash, ns, key, value);
    if (lanes_wide())
        lanes_sum(d->lane, hash, minus);
    else
        sum_plain(d->lane, hash, minus);
}

void digest_add(struct digest *d, struct bytes ns, struct bytes key, struct bytes value)
{
    sum(d, ns, key, value, false);
}

void digest_sub(struct digest *d, struct bytes ns, struct bytes key, struct bytes value)
{
    sum(d, ns, key, value, true);
}

void digest_merge(struct digest *d, const struct digest *other)
{
    for (size_t i = 0; i < DIGEST_LANES; i++)
        d->lane[i] = (uint16_t)(d->lane[i] + other->lane[i]);
}

void digest_final(const struct digest *d, uint8_t out[DIGEST_LEN])
{
    uint8_t stored[2 * DIGEST_LANES];
    digest_write(d, stored);
    (void)crypto_generichash(out, DIGEST_LEN, stored, sizeof stored, NULL, 0);
}

void digest_write(const struct digest *d, uint8_t out[2 * DIGEST_LANES])
{
    uint16_t le[DIGEST_LANES];
    for (size_t i = 0; i < DIGEST_LANES; i++)
        le[i] = htole16(d->lane[i]);
    memcpy(out, le, sizeof le);
}

void digest_read(struct digest *d, const uint8_t in[2 * DIGEST_LANES])
{
    memcpy(d->lane, in, sizeof d->lane);
    for (size_t i = 0; i < DIGEST_LANES; i++)
        d->lane[i] = le16toh(d->lane[i]);
}
