/* A hash for tables that strangers fill (names and data out of transfers, UPDATE, calls of the API): without its secret nobody
 * makes all of them fall into one bucket. SipHash-2-4. */
#ifndef AZOTH_BUILDER_SECRET_HASH_H
#define AZOTH_BUILDER_SECRET_HASH_H

#include "base/bytes.h"

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

#endif
