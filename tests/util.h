/* Small helpers for test programs. Memory is exact-size, so that the sanitizers see byte n+1. */
#ifndef AZOTH_TESTS_UTIL_H
#define AZOTH_TESTS_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

#define ROWS(rows) (sizeof (rows) / sizeof (rows)[0])

/* Bytes in a heap block of exactly their size; owned by caller (bytes_free). Spaces in hex are skipped. */
static inline struct bytes heap_from_hex(const char *hex)
{
    uint8_t *buf = malloc(strlen(hex) / 2 + 1), *exact;
    size_t n = 0;
    int half = -1;
    for (; *hex != '\0'; hex++) {
        int v = *hex >= '0' && *hex <= '9' ? *hex - '0' : *hex >= 'a' && *hex <= 'f' ? *hex - 'a' + 10
              : *hex >= 'A' && *hex <= 'F' ? *hex - 'A' + 10 : -1;
        if (v < 0)
            continue;
        if (half < 0) {
            half = v;
        } else {
            buf[n++] = (uint8_t)(half << 4 | v);
            half = -1;
        }
    }
    exact = malloc(n > 0 ? n : 1);
    memcpy(exact, buf, n);
    free(buf);
    return bytes_of(exact, n);
}
static inline struct bytes heap_copy(const void *ptr, size_t len)
{
    uint8_t *exact = malloc(len > 0 ? len : 1);
    if (len > 0)
        memcpy(exact, ptr, len);
    return bytes_of(exact, len);
}
static inline void bytes_free(struct bytes b) { free((void *)(uintptr_t)b.ptr); }

/* A seeded generator for property tests: xorshift64*, good enough to spread and exactly repeatable. */
struct rnd { uint64_t s; };
static inline struct rnd rnd_seed(uint64_t seed) { return (struct rnd){ seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du }; }
static inline uint64_t rnd_u64(struct rnd *r)
{
    r->s ^= r->s >> 12;
    r->s ^= r->s << 25;
    r->s ^= r->s >> 27;
    return r->s * 0x2545f4914f6cdd1du;
}
static inline uint32_t rnd_below(struct rnd *r, uint32_t n) { return n == 0 ? 0 : (uint32_t)((rnd_u64(r) >> 32) % n); }

/* The seed of a property test: $AZOTH_SEED or `fallback`; print it on failure. */
static inline uint64_t seed_from_env(uint64_t fallback)
{
    const char *text = getenv("AZOTH_SEED");
    return text != NULL ? strtoull(text, NULL, 10) : fallback;
}

#endif
