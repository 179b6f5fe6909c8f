/* Node keys from small numbers, so that tests are the same each time. */
#ifndef AZOTH_TESTS_SEAL_KEYS_H
#define AZOTH_TESTS_SEAL_KEYS_H

#include <sodium.h>

#include "replicator/record.h"

static inline struct node_key key_of(uint8_t fill)
{
    struct node_key key;
    uint8_t seed[crypto_sign_SEEDBYTES];
    memset(seed, fill, sizeof seed);
    crypto_sign_seed_keypair(key.pub, key.secret, seed);
    return key;
}

#endif
