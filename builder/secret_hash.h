/* A hash for tables that strangers fill (names and data out of transfers, UPDATE, calls of the API): without its secret nobody
 * makes all of them fall into one bucket. SipHash-2-4. */
#ifndef AZOTH_BUILDER_SECRET_HASH_H
#define AZOTH_BUILDER_SECRET_HASH_H

#include "wire/name.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

struct secret_hash { uint8_t key[crypto_shorthash_KEYBYTES]; };
static inline void secret_hash_init(struct secret_hash *h) { randombytes_buf(h->key, sizeof h->key); }
static inline uint64_t secret_hash(const struct secret_hash *h, struct bytes b)
{
    uint64_t v;
    static_assert(sizeof v == crypto_shorthash_BYTES, "the whole hash");
    (void)crypto_shorthash((uint8_t *)&v, b.ptr, b.len, h->key);
    return v;
}
/* Of an RRset of a zone. */
static inline uint32_t secret_hash_rrset(const struct secret_hash *h, struct bytes owner, uint16_t type, uint16_t covers)
{
    uint8_t buf[4 + NAME_MAX_LEN];
    struct wr w = wr_over(buf, sizeof buf);
    wr_u16(&w, type);
    wr_u16(&w, covers);
    wr_bytes(&w, owner);
    return (uint32_t)secret_hash(h, wr_done(&w));
}

#endif
