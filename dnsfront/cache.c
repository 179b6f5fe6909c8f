#include "dnsfront/cache.h"

#include "dnsfront/gaps.h"
#include "dnsfront/known.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define LINE 64u
#define WAYS 8u                     /* slots of a bucket: one line */
#define PLACE_BITS 40
#define PLACE_MASK ((1ull << PLACE_BITS) - 1)
#define RING_BITS 10
#define RING_NONE ((1ull << RING_BITS) - 1)     /* a slot of that ring has no entry: its name was asked for once */
#define HEAD_WORDS 4u
#define SAID_NOTHING 255u
#define SAID_KINDS 16u
#define ENTRY_WORDS_MAX (HEAD_WORDS + TRACE_MAX / 2 + NAME_MAX_LEN / 8 + 1 + CACHE_BODY_MAX / 8 + 1)

enum { FLAG_DO = 1, FLAG_AA = 2, FLAG_TC = 4, FLAG_ROOM = 8, FLAG_LOWER = 16, FLAG_PLAIN = 32 };

static_assert(ANSWER_KINDS <= SAID_KINDS && ENTRY_WORDS_MAX < CACHE_RING_WORDS_MIN / 4, "entries fit their fields and rings");

typedef _Atomic uint64_t word;

/* Words go round in it. A place counts them: laps << bits | offset, so that of two places the newer is the higher one and
 * what lies more than 1 << bits behind the head was written over. head: behind what is written or being written. */
struct ring { _Alignas(LINE) word head; word *words; uint32_t size; unsigned bits; };

struct cache {
    uint64_t secret;
    struct changes *changes;
    struct known *known;            /* changes has it too, but leak checkers do not look there */
    void *memory;                   /* slots and words, one mapping */
    size_t memory_bytes;
    word *slots;
    uint64_t bucket_mask;
    struct gaps **gaps;             /* of each worker */
    unsigned gaps_n;
    unsigned rings_n;               /* 0: no answers are kept */
    struct ring *rings;             /* of worker i: 2 i for answers with records, 2 i + 1 for others */
};

/* --- life ----------------------------------------------------------------------------------------------------------- */
static unsigned bits_for(uint32_t size)
{
    unsigned bits = 1;
    while (1ull << bits < size)
        bits++;
    return bits;
}

/* Of a worker's share three quarters are for answers with records. */
static bool rings_lay(struct cache *c, word *words, uint64_t n, unsigned workers)
{
    uint64_t share = n / workers < UINT32_MAX ? n / workers : UINT32_MAX;
    uint32_t small = (uint32_t)(share / 4), large = (uint32_t)share - small;
    if (small < CACHE_RING_WORDS_MIN)
        return false;
    for (unsigned i = 0; i < 2 * workers; i++) {
        struct ring *r = &c->rings[i];
        r->words = words;
        r->size = i % 2 == 0 ? large : small;
        r->bits = bits_for(r->size);
        atomic_init(&r->head, 1ull << r->bits); /* lap 1: place 0 is no place */
        words += r->size;
    }
    c->rings_n = 2 * workers;
    return true;
}

/* An entry of an address takes some 80 bytes, most others 100 to 200: one slot per 64 bytes or more keeps buckets from
 * running over. */
static enum err memory_open(struct cache *c, uint64_t bytes, unsigned workers)
{
    uint64_t buckets = 1;
    while (buckets * 2 * LINE <= bytes / 8)
        buckets *= 2;
    if (bytes < buckets * LINE + (uint64_t)workers * 4 * CACHE_RING_WORDS_MIN * sizeof(word))
        return OK;
    c->memory_bytes = (size_t)(bytes & ~(uint64_t)4095);
    c->memory = mmap(NULL, c->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->memory == MAP_FAILED) {
        c->memory = NULL;
        return ERR_NOMEM;
    }
    (void)madvise(c->memory, c->memory_bytes, MADV_HUGEPAGE);   /* else each hit misses the TLB too */
    c->slots = c->memory;
    c->bucket_mask = buckets - 1;
    word *words = c->slots + buckets * WAYS;
    if (!rings_lay(c, words, c->memory_bytes / sizeof(word) - buckets * WAYS, workers))
        c->rings_n = 0;
    return OK;
}

/* *taken: what that came to. */
static enum err gaps_lay(struct cache *c, uint64_t bytes, unsigned workers, uint64_t *taken)
{
    enum err err = OK;
    if ((c->gaps = calloc(workers, sizeof *c->gaps)) == NULL)
        return ERR_NOMEM;
    for (; err == OK && c->gaps_n < workers; c->gaps_n++) {
        err = gaps_open(&c->gaps[c->gaps_n], bytes / workers);
        *taken += gaps_bytes(c->gaps[c->gaps_n]);
    }
    return err;
}

MUST_USE enum err cache_open(struct cache **out, uint64_t bytes, unsigned workers, const uint64_t secret[2])
{
    struct cache *c = calloc(1, sizeof *c);
    uint64_t gaps = 0;
    uint64_t stamps = bytes / 32;               /* of 8 bytes each: a 32nd of names can change before two share a place */
    enum err err = c == NULL ? ERR_NOMEM : changes_open(&c->changes, stamps / sizeof(word), secret[0]);
    if (err == OK && (c->rings = aligned_alloc(LINE, 2 * workers * sizeof *c->rings)) == NULL)
        err = ERR_NOMEM;
    if (err == OK)
        err = known_open(&c->known, bytes / 16);
    if (err == OK)
        err = gaps_lay(c, c->known != NULL ? bytes / 16 : 0, workers, &gaps);        /* only the filter's names ask for them */
    if (err == OK) {
        uint64_t names = c->known != NULL ? c->known->bytes : 0;
        c->changes->known = c->known;
        c->secret = secret[1];
        err = memory_open(c, bytes - stamps - names - gaps, workers);
    }
    if (err != OK) {
        cache_close(c);
        return err;
    }
    *out = c;
    return OK;
}

void cache_close(struct cache *c)
{
    if (c == NULL)
        return;
    changes_close(c->changes);
    known_close(c->known);
    for (unsigned i = 0; i < c->gaps_n; i++)
        gaps_close(c->gaps[i]);
    free(c->gaps);
    if (c->memory != NULL)
        (void)munmap(c->memory, c->memory_bytes);
    free(c->rings);
    free(c);
}

struct changes *cache_changes(struct cache *c) { return c->changes; }
struct known *cache_known(struct cache *c) { return c->known; }
struct gaps *cache_gaps(struct cache *c, unsigned worker) { return c->gaps[worker]; }
bool cache_keeps(const struct cache *c) { return c->rings_n > 0; }

/* --- keys ----------------------------------------------------------------------------------------------------------- */
void cache_key(const struct cache *c, struct bytes qname, uint16_t type, struct cache_key *k)
{
    struct bytes name = bytes_of(qname.ptr, qname.len - 1);
    size_t whole = qname.len / 8, n = 0;
    uint64_t mixed = 0, x;
    for (; n < name.len / 8; n++) {
        x = load8(name.ptr + 8 * n);
        mixed |= x ^ (k->name[n] = name_lower8(x));
    }
    x = load_tail(name);
    mixed |= x ^ (k->name[n] = name_lower8(x));
    k->name[n + 1] = 0;
    k->hash = hash_words(c->changes->secret, k->name, whole, qname.len);
    k->slot = mix(k->hash ^ type, c->secret | 1);
    k->seen = 0;
    k->looked = k->there = k->dnssec_ok = k->plain = false;
    k->mixed = mixed != 0;
    k->name_len = (uint8_t)(qname.len - 1);
    k->type = type;
}

static word *bucket_of(const struct cache *c, const struct cache_key *k)
{
    return c->slots + (k->slot & c->bucket_mask) * WAYS;
}
/* The lowest bit of a tag is DO: both kinds of an answer stand in the same bucket. */
static uint64_t tag_of(const struct cache_key *k) { return k->slot >> (PLACE_BITS + RING_BITS + 1) << 1 | k->dnssec_ok; }
static bool tag_is(uint64_t slot, uint64_t tag) { return slot >> (PLACE_BITS + RING_BITS) == tag; }
static bool tag_is_either(uint64_t slot, uint64_t tag) { return (slot >> (PLACE_BITS + RING_BITS) | 1) == (tag | 1); }
static unsigned ring_of(uint64_t slot) { return (unsigned)(slot >> PLACE_BITS) & ((1u << RING_BITS) - 1); }

/* How far the slot's entry begins behind its ring's head. */
static uint64_t age_of(uint64_t slot, uint64_t head) { return (head - slot) & PLACE_MASK; }
static uint64_t load(const word *w) { return atomic_load_explicit((word *)(uintptr_t)w, memory_order_acquire); }

/* Where a slot leads. */
struct spot_at { const struct ring *ring; uint64_t place; const word *words; };

/* The slot's entry, if it was not written over. */
static bool entry_of(const struct cache *c, uint64_t slot, struct spot_at *out)
{
    if (ring_of(slot) >= c->rings_n)
        return false;
    const struct ring *r = &c->rings[ring_of(slot)];
    uint64_t head = load(&r->head), age = age_of(slot, head);
    uint64_t at = (head - age) & ((1ull << r->bits) - 1);
    if (slot == 0 || age == 0 || age > 1ull << r->bits || at + HEAD_WORDS > r->size)
        return false;
    *out = (struct spot_at){ r, head - age, r->words + at };
    return true;
}

void cache_prefetch_bucket(const struct cache *c, const struct cache_key *k)
{
    __builtin_prefetch(bucket_of(c, k));
    if (c->known != NULL)
        known_prefetch(c->known, k->hash, KNOWN_NAME);
}

/* A name that is in the bucket with and without DO has the second one fetched when it is wanted. */
void cache_prefetch_entry(const struct cache *c, struct cache_key *k)
{
    const word *bucket = bucket_of(c, k);
    uint64_t tag = tag_of(k);
    struct spot_at at;
    k->looked = true;
    for (unsigned i = 0; i < WAYS; i++) {
        uint64_t slot = load(&bucket[i]);
        if (!tag_is_either(slot, tag))
            continue;
        k->seen = slot;
        if (!entry_of(c, slot, &at))
            continue;
        k->there |= tag_is(slot, tag);
        __builtin_prefetch(&c->changes->stamp[place_of_owner(c->changes, k->hash)]);
        __builtin_prefetch(at.words);
        __builtin_prefetch(at.words + LINE / sizeof(word));
    }
}

/* --- entries ---------------------------------------------------------------------------------------------------------- */
/* The first words: check, tick, then these two. */
#define FRONT_A(type, name_len, flags) ((uint64_t)(type) << 48 | (uint64_t)(name_len) << 40 | (uint64_t)(flags) << 32)

struct front {
    uint64_t tick;
    uint16_t type, body_len, room;
    uint8_t name_len, flags, rcode, kind, said, places, an, ns, ar;
};

static void front_write(const struct front *f, uint64_t out[2])
{
    out[0] = FRONT_A(f->type, f->name_len, f->flags) | (uint64_t)f->rcode << 28 | (uint64_t)f->kind << 24
        | (uint64_t)f->said << 16 | (uint64_t)f->places << 8 | f->an;
    out[1] = (uint64_t)f->ns << 56 | (uint64_t)f->ar << 48 | (uint64_t)f->body_len << 32 | (uint64_t)f->room << 16;
}

static size_t words_for(size_t bytes) { return (bytes + 7) / 8; }

static bool name_is(const word *e, const struct cache_key *k)
{
    uint64_t differs = 0;
    for (size_t i = 0, n = words_for(k->name_len); i < n; i++)
        differs |= k->name[i] ^ load(e + i);
    return differs == 0;
}

static bool place_holds(const struct watch *w, uint64_t tick, uint32_t place)
{
    return place <= place_of_world(w->changes) && watch_holds(w, tick, place);
}

/* Two places to a word; an odd one stands there twice. */
static bool places_hold(const word *e, unsigned n, uint64_t tick, const struct watch *w)
{
    for (unsigned i = 0; i < n; i += 2, e++) {
        uint64_t two = load(e);
        if (!place_holds(w, tick, (uint32_t)two) || !place_holds(w, tick, (uint32_t)(two >> 32)))
            return false;
    }
    return true;
}

/* --- finding ---------------------------------------------------------------------------------------------------------- */
/* What a reader takes out of an entry while its owner may be writing over it: nothing is believed before the end, only kept
 * inside the ring. */
struct taken { uint64_t a, b, tick; const word *places, *name, *body; size_t body_len; };

static bool entry_take(const struct cache *c, const struct spot_at *at, const struct cache_key *k, struct taken *t)
{
    const word *e = at->words;
    size_t left = (size_t)(at->ring->words + at->ring->size - e);
    if (load(e) != (at->place ^ c->secret))
        return false;
    t->tick = load(e + 1);
    t->a = load(e + 2);
    t->b = load(e + 3);
    uint64_t same = t->a ^ FRONT_A(k->type, k->name_len, k->dnssec_ok ? FLAG_DO : 0);
    if ((same & FRONT_A(0xffff, 0xff, FLAG_DO)) != 0 || (k->mixed && (t->a & FRONT_A(0, 0, FLAG_LOWER)) != 0)
        || (k->plain && (t->a & FRONT_A(0, 0, FLAG_PLAIN)) == 0))
        return false;
    t->places = e + HEAD_WORDS;
    t->name = t->places + ((t->a >> 8 & 0xff) + 1) / 2;
    t->body = t->name + words_for(k->name_len);
    t->body_len = t->b >> 32 & 0xffff;
    return t->body_len <= CACHE_BODY_MAX && (size_t)(t->body - e) + words_for(t->body_len) <= left;
}

static bool room_fits(const struct taken *t, const struct reply *r)
{
    size_t room = r->w.cap - body_at(r);
    return (t->a & FRONT_A(0, 0, FLAG_ROOM)) != 0 ? (t->b >> 16 & 0xffff) == room : t->body_len <= room;
}

static void body_copy(const word *from, uint8_t *to, size_t len)
{
    uint64_t x;
    for (; len >= 8; len -= 8, to += 8) {
        x = load(from++);
        memcpy(to, &x, 8);
    }
    if (len > 0) {
        x = load(from);
        memcpy(to, &x, len);
    }
}

static void reply_fill(struct reply *r, const struct taken *t, struct answer_said *said)
{
    size_t skip = t->a >> 16 & 0xff;
    r->w.len = body_at(r) + t->body_len;
    r->rcode = t->a >> 28 & 15;
    r->an = t->a & 0xff;
    r->ns = (uint16_t)(t->b >> 56);
    r->ar = t->b >> 48 & 0xff;
    r->aa = (t->a & FRONT_A(0, 0, FLAG_AA)) != 0;
    r->tc = (t->a & FRONT_A(0, 0, FLAG_TC)) != 0;
    said->kind = (enum answer_kind)(t->a >> 24 & 15);
    said->name = skip == SAID_NOTHING ? (struct bytes){ 0 } : bytes_of(r->q.qname.ptr + skip, r->q.qname.len - skip);
}

static bool slot_take(const struct cache *c, const struct watch *w, const struct cache_key *k, uint64_t slot, struct spot_at *at,
                      struct taken *t)
{
    return entry_of(c, slot, at) && entry_take(c, at, k, t) && name_is(t->name, k)
        && places_hold(t->places, t->a >> 8 & 0xff, t->tick, w);
}

/* Not written over while it was copied. */
static bool is_whole(const struct spot_at *at) { return load(&at->ring->head) - at->place <= 1ull << at->ring->bits; }

static bool slot_find(struct cache *c, const struct watch *w, const struct cache_key *k, uint64_t slot, struct reply *r,
                      struct answer_said *said)
{
    struct spot_at at;
    struct taken t;
    if (!slot_take(c, w, k, slot, &at, &t) || !room_fits(&t, r))
        return false;
    body_copy(t.body, r->w.buf + body_at(r), t.body_len);
    if (!is_whole(&at))
        return false;                           /* the answer goes over what was copied */
    reply_fill(r, &t, said);
    return true;
}

bool cache_find(struct cache *c, const struct watch *w, struct cache_key *k, struct reply *r, struct answer_said *said)
{
    const word *bucket = bucket_of(c, k);
    uint64_t tag = tag_of(k), seen = k->looked ? k->seen : 0;
    if (w->tick == 0 || (k->looked && k->seen == 0))
        return false;
    if (seen != 0 && tag_is(seen, tag) && slot_find(c, w, k, seen, r, said))
        return true;
    k->seen = 0;
    for (unsigned i = 0; i < WAYS; i++) {
        uint64_t slot = load(&bucket[i]);
        if (!tag_is(slot, tag) || slot == 0)
            continue;
        if (slot != seen && slot_find(c, w, k, slot, r, said))
            return true;
        k->seen = slot;
    }
    return false;
}

size_t cache_find_header(const struct cache *c, const struct watch *w, struct cache_key *k, uint8_t *out, size_t cap)
{
    const word *bucket = bucket_of(c, k);
    uint64_t tag = tag_of(k);
    struct spot_at at;
    struct taken t;
    for (unsigned i = 0; i < WAYS && w->tick > 0; i++) {
        uint64_t slot = load(&bucket[i]);
        if (!tag_is(slot, tag) || slot == 0)
            continue;
        k->seen = slot;
        if (!slot_take(c, w, k, slot, &at, &t) || t.body_len > cap)
            continue;
        body_copy(t.body, out, t.body_len);
        if (is_whole(&at))
            return t.body_len;
    }
    return 0;
}

/* --- keeping ---------------------------------------------------------------------------------------------------------- */
static void put(word *w, uint64_t x) { atomic_store_explicit(w, x, memory_order_release); }

/* Room for n words at the head of the ring, announced before anything is written into it. */
static word *ring_room(struct ring *r, size_t n, uint64_t *place)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint64_t at = head & ((1ull << r->bits) - 1);
    if (at + n > r->size)                       /* an entry is never in two pieces: the next lap begins */
        head += (1ull << r->bits) - at;
    *place = head;
    put(&r->head, head + n);
    return r->words + (head & ((1ull << r->bits) - 1));
}

static void put_bytes(word *to, struct bytes b)
{
    for (size_t i = 0; i < b.len / 8; i++)
        put(to++, load8(b.ptr + 8 * i));
    if (b.len % 8 > 0)
        put(to, load_tail(b));
}

static void entry_write(word *e, uint64_t check, const struct front *f, const struct cache_key *k, const struct trace *t,
                        struct bytes body)
{
    uint64_t two[2];
    front_write(f, two);
    put(e++, check);
    put(e++, f->tick);
    put(e++, two[0]);
    put(e++, two[1]);
    for (unsigned i = 0; i < t->n; i += 2)
        put(e++, (uint64_t)t->place[i + 1 < t->n ? i + 1 : i] << 32 | t->place[i]);
    for (size_t i = 0, n = words_for(k->name_len); i < n; i++)
        put(e++, k->name[i]);
    put_bytes(e, body);
}

/* The slot to write: that of the same name, else an empty one, else one without an entry, else any. */
static word *slot_for_key(const struct cache *c, const struct cache_key *k, uint64_t spin, uint64_t *was)
{
    word *bucket = bucket_of(c, k), *best = &bucket[spin % WAYS];
    uint64_t tag = tag_of(k);
    struct spot_at at;
    int fit = 0;
    *was = load(best);
    for (unsigned i = 0; i < WAYS && fit < 3; i++) {
        uint64_t slot = load(&bucket[i]);
        int better = slot == 0 ? 2 : tag_is(slot, tag) ? 3 : fit > 0 || entry_of(c, slot, &at) ? 0 : 1;
        if (better <= fit)
            continue;
        fit = better;
        best = &bucket[i];
        *was = slot;
    }
    return best;
}

/* Made from a newer state than ours? Then it stays. */
static bool is_newer(const struct cache *c, uint64_t slot, const struct watch *w)
{
    struct spot_at at;
    return entry_of(c, slot, &at) && load(at.words) == (at.place ^ c->secret) && load(at.words + 1) > w->tick;
}

/* The name was asked for, and is not there: the second time its answer will be kept. */
static void slot_note(const struct cache *c, const struct cache_key *k)
{
    uint64_t was = 0, now = tag_of(k) << (PLACE_BITS + RING_BITS) | RING_NONE << PLACE_BITS;
    word *slot = slot_for_key(c, k, k->hash, &was);
    struct spot_at at;
    if (entry_of(c, was, &at))
        return;                                 /* no room but that of an answer */
    (void)atomic_compare_exchange_strong_explicit(slot, &was, now, memory_order_release, memory_order_relaxed);
}

static bool front_fill(struct front *f, const struct watch *w, const struct cache_key *k, const struct trace *t,
                       const struct reply *r, const struct answer_said *said)
{
    size_t body = r->w.len - body_at(r), room = r->w.cap - body_at(r), skip = r->q.qname.len - said->name.len;
    if (t->off || w->tick == 0 || t->changes == NULL || body > CACHE_BODY_MAX || r->w.full || r->has_ede || r->rcode > 15
        || (k->plain && (!t->plain || r->tc || r->bound || r->ns > 0 || r->ar > 0))
        || r->rcode == RCODE_SERVFAIL || r->an > 255 || r->ns > 255 || r->ar > 255 || (t->cased && k->mixed))
        return false;
    if (said->name.len > 0 && (said->name.ptr + said->name.len != r->q.qname.ptr + r->q.qname.len || skip >= SAID_NOTHING))
        return false;
    unsigned flags = (k->dnssec_ok ? FLAG_DO : 0) | (r->aa ? FLAG_AA : 0) | (r->tc ? FLAG_TC : 0)
        | (r->bound || r->tc ? FLAG_ROOM : 0) | (t->cased ? FLAG_LOWER : 0) | (k->plain ? FLAG_PLAIN : 0);
    *f = (struct front){ .tick = w->tick, .type = k->type, .body_len = (uint16_t)body, .room = (uint16_t)room,
                         .name_len = k->name_len, .flags = (uint8_t)flags, .rcode = (uint8_t)r->rcode,
                         .kind = (uint8_t)said->kind, .said = said->name.len > 0 ? (uint8_t)skip : SAID_NOTHING,
                         .places = (uint8_t)t->n, .an = (uint8_t)r->an, .ns = (uint8_t)r->ns, .ar = (uint8_t)r->ar };
    return true;
}

/* Whose turn it is moves with what is kept, so a name that is asked for again is not always the one left out. */
static bool turn(const struct ring *r, const struct cache_key *k)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    return head >> r->bits < 2 || ((head >> 3) + k->slot) % 8 == 0;
}

bool cache_wants(struct cache *c, unsigned worker, const struct cache_key *k)
{
    return k->seen != 0 || turn(&c->rings[2 * worker], k) || turn(&c->rings[2 * worker + 1], k);
}

static bool entry_keep(struct cache *c, unsigned number, const struct watch *w, const struct cache_key *k, const struct trace *t,
                       const struct front *f, struct bytes body)
{
    struct ring *ring = &c->rings[number];
    uint64_t was = 0, place;
    word *slot = slot_for_key(c, k, atomic_load_explicit(&ring->head, memory_order_relaxed) / HEAD_WORDS, &was);
    if (is_newer(c, was, w))
        return false;
    size_t n = HEAD_WORDS + (t->n + 1) / 2 + words_for(k->name_len) + words_for(body.len);
    word *e = ring_room(ring, n, &place);
    entry_write(e, place ^ c->secret, f, k, t, body);
    uint64_t now = tag_of(k) << (PLACE_BITS + RING_BITS) | (uint64_t)number << PLACE_BITS | (place & PLACE_MASK);
    return atomic_compare_exchange_strong_explicit(slot, &was, now, memory_order_release, memory_order_relaxed);
}

void cache_keep_header(struct cache *c, unsigned worker, const struct watch *w, const struct cache_key *k, uint32_t place,
                       struct bytes header)
{
    unsigned number = 2 * worker + 1;
    struct front f = { .tick = w->tick, .type = k->type, .body_len = (uint16_t)header.len, .name_len = k->name_len,
                       .said = SAID_NOTHING, .places = 1 };
    struct trace t = { .n = 1, .place = { place } };
    if (w->tick > 0 && header.len <= CACHE_BODY_MAX && (k->seen != 0 || turn(&c->rings[number], k)))
        (void)entry_keep(c, number, w, k, &t, &f, header);
}

bool cache_keep(struct cache *c, unsigned worker, const struct watch *w, const struct cache_key *k,
                const struct trace *t, const struct reply *r, const struct answer_said *said)
{
    struct front f;
    bool absent = r->rcode != RCODE_NOERROR, first = k->seen == 0;
    unsigned number = 2 * worker + absent;
    if (absent && first) {
        slot_note(c, k);
        return false;
    }
    if ((first && !turn(&c->rings[number], k)) || !front_fill(&f, w, k, t, r, said))
        return false;
    return entry_keep(c, number, w, k, t, &f, bytes_of(r->w.buf + body_at(r), f.body_len));
}
