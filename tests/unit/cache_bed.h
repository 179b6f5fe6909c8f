/* What the tests of the answer cache share: a store, an answerer with a cache in front of it, and a zone of many names. */
#ifndef AZOTH_TESTS_CACHE_BED_H
#define AZOTH_TESTS_CACHE_BED_H

#include "dnsfront/cache.h"
#include "tests/answer_bed.h"

#define NAMES 200

static const uint64_t secret[2] = { 0x5ca1ab1e0ddba11u, 0xdecafbadc0ffee11u };

struct front { struct bed bed; struct cache *cache; };

static inline void front_open(struct front *f, uint64_t bytes)
{
    struct bed *b = &f->bed;
    bed_open(b, NULL, NULL);
    BED(cache_open(&f->cache, bytes, 2, secret));
    answerer_share(b->answerer, f->cache, 0);
}

static inline void front_close(struct front *f)
{
    bed_close(&f->bed);                         /* the answerer first: it borrows the cache */
    cache_close(f->cache);
}

/* n names `n0`, n1...; `moving` has the address 192.0.2.(moving); the rest stands as it is. */
static inline void load(struct front *f, unsigned serial, unsigned moving, const char *more)
{
    static char text[NAMES * 32 + 1024];
    int n = snprintf(text, sizeof text, "$TTL 300\n@ SOA ns h %u 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nmoving A 192.0.2.%u\n%s\n",
                     serial, moving, more);
    for (unsigned i = 0; i < NAMES; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "n%u A 192.0.2.9\n", i);
    bed_load(&f->bed, "a.", text);
}

static inline void ask_name(struct front *f, const char *text, uint16_t type)
{
    struct name name;
    bed_name(text, &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = type, .qclass = CLASS_IN };
    bytes_free(bed_ask(&f->bed, &q));
}

static inline void ask_all(struct front *f)
{
    for (unsigned i = 0; i < NAMES; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "n%u.a.", i);
        ask_name(f, text, TYPE_A);
    }
}

static inline uint64_t hits(const struct front *f) { return stat_get(&f->bed.counts.cache_hits); }
static inline uint64_t misses(const struct front *f) { return stat_get(&f->bed.counts.cache_misses); }
static inline uint64_t drops(const struct front *f) { return stat_get(&f->bed.counts.cache_drops); }
static inline uint64_t zone_seeks(const struct front *f) { return stat_get(&f->bed.counts.descents[STEP_ZONE]); }

#endif
