#include "dnsfront/rrl.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#define WAYS 8                      /* words of 8 bytes in a cache line */
#define SECOND_US 1000000u
#define TAG_BITS 25
#define TRIES 4                     /* exchanges lost to other threads before the answer is let go */

/* A bucket in one word:    tag (25) │ held (7) │ full_us (32)
 * full_us is when the bucket will be full again; it is empty when that is a second away. Once that time has come the word
 * says no more than one that was never used. Times wrap after 71 minutes: what is two seconds ahead is past. (Nothing is
 * ever more than one ahead, but the workers' clocks are read a little apart.) */
struct bucket { uint32_t tag, held, full_us; };

struct rrl {
    struct rrl_options o;
    uint32_t cost_us;               /* of one answer */
    unsigned sets;
    void *memory;
    _Atomic uint64_t (*set)[WAYS];  /* in it, at a cache line */
};

static struct bucket bucket_of(uint64_t word)
{
    return (struct bucket){ (uint32_t)(word >> 39), (uint32_t)(word >> 32) & 0x7f, (uint32_t)word };
}

static uint64_t word_of(struct bucket b)
{
    return (uint64_t)b.tag << 39 | (uint64_t)b.held << 32 | b.full_us;
}

/* How far it is from full; 0: full, and the word is worth nothing. */
static uint32_t missing_us(struct bucket b, uint32_t now_us)
{
    uint32_t ahead = b.full_us - now_us;
    return ahead <= 2 * SECOND_US ? ahead : 0;
}

struct net rrl_network(struct bytes client)
{
    struct net n = { .len = (uint8_t)client.len, .bits = client.len == 4 ? RRL_IPV4_BITS : RRL_IPV6_BITS };
    memcpy(n.addr, client.ptr, n.bits / 8);
    return n;
}

/* Who gets what: the key's hash says the set (its low bits) and the tag (its high ones). */
static uint64_t hash_of(const struct rrl *r, struct bytes client, const struct answer_said *said)
{
    struct { uint8_t kind; struct net net; uint8_t name[255]; } key = { .kind = (uint8_t)said->kind };
    static_assert(sizeof key == 1 + sizeof(struct net) + 255, "no holes are hashed");
    uint64_t hash;
    size_t n = said->name.len < sizeof key.name ? said->name.len : sizeof key.name;
    key.net = rrl_network(client);
    for (size_t i = 0; i < n; i++) {            /* lengths of labels are below 'A' */
        uint8_t c = said->name.ptr[i];
        key.name[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
    }
    (void)crypto_shorthash((uint8_t *)&hash, (const uint8_t *)&key, offsetof(__typeof__(key), name) + n, r->o.key);
    return hash;
}

/* The bucket of that tag, else the one to give up for it: the fullest, since it holds the least against anybody. */
static _Atomic uint64_t *pick(_Atomic uint64_t *set, uint32_t tag, uint32_t now_us, uint64_t *word)
{
    _Atomic uint64_t *fullest = NULL;
    uint32_t least = UINT32_MAX;
    for (unsigned i = 0; i < WAYS; i++) {
        uint64_t w = atomic_load_explicit(&set[i], memory_order_relaxed);
        struct bucket b = bucket_of(w);
        uint32_t missing = missing_us(b, now_us);
        if (b.tag == tag && missing > 0) {
            *word = w;
            return &set[i];
        }
        if (missing < least) {
            least = missing;
            fullest = &set[i];
            *word = w;
        }
    }
    return fullest;
}

static enum rrl_verdict take(const struct rrl *r, struct bucket *b, uint32_t tag, uint32_t now_us)
{
    uint32_t missing = b->tag == tag ? missing_us(*b, now_us) : 0;
    if (missing + r->cost_us <= SECOND_US) {
        b->held = b->tag == tag ? b->held : 0;
        b->tag = tag;
        b->full_us = now_us + missing + r->cost_us;
        return RRL_SEND;
    }
    b->held = (b->held + 1) % (r->o.slip > 0 ? r->o.slip : 1);
    return r->o.slip > 0 && b->held == 0 ? RRL_SLIP : RRL_DROP;
}

enum rrl_verdict rrl_check(struct rrl *r, struct bytes client, const struct answer_said *said, uint32_t now_us)
{
    if (said->known || (client.len != 4 && client.len != 16) || nets_have(r->o.allow, r->o.allow_n, client))
        return RRL_SEND;
    uint64_t hash = hash_of(r, client, said);
    uint32_t tag = (uint32_t)(hash >> (64 - TAG_BITS));
    _Atomic uint64_t *set = r->set[hash & (r->sets - 1)];
    for (int left = TRIES; left > 0; left--) {
        uint64_t word;
        _Atomic uint64_t *at = pick(set, tag, now_us, &word);
        struct bucket b = bucket_of(word);
        enum rrl_verdict verdict = take(r, &b, tag, now_us);
        if (atomic_compare_exchange_strong_explicit(at, &word, word_of(b), memory_order_relaxed, memory_order_relaxed))
            return verdict;
    }
    return RRL_DROP;                /* so many threads want this bucket at once that it is no client */
}

MUST_USE enum err rrl_open(struct rrl **out, const struct rrl_options *o)
{
    struct rrl *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NOMEM;
    r->o = *o;
    r->cost_us = SECOND_US / (o->rate < RRL_RATE_MAX ? o->rate : RRL_RATE_MAX);
    r->sets = o->sets > 0 ? o->sets : RRL_SETS;
    r->memory = calloc(r->sets + 1, sizeof *r->set);    /* pages come as they are used */
    if (r->memory == NULL) {
        free(r);
        return ERR_NOMEM;
    }
    r->set = (void *)(((uintptr_t)r->memory + sizeof *r->set - 1) / sizeof *r->set * sizeof *r->set);
    *out = r;
    return OK;
}

void rrl_close(struct rrl *r)
{
    if (r == NULL)
        return;
    free(r->memory);
    free(r);
}
