/* What changed, and when: the basis on which answers and zone headers are kept across commits. One table shared by all
 * workers, fed from the store's ring.
 *
 *     commit ─► ring ─► watch_follow ─► stamp[hash(owner)], stamp[hash(ancestor)]... = tick
 *
 *     kept at tick 7, hangs on stamps 3 and 81:   good for a worker at tick 9 when 7 <= 9, stamp[3] <= 7, stamp[81] <= 7
 *
 * A tick is a step of the table: each new state of the store that a worker brings makes one. A worker's tick is that of its
 * own view, so it never takes what was made from a newer one. When nobody can say what changed (the ring does not reach
 * back, "many", another generation or epoch), the floor rises to the new tick: nothing kept below it counts any more, and
 * no memory is cleared.
 *
 * No lock is waited for: while one worker feeds the table, the others do without it. */
#ifndef AZOTH_DNSFRONT_CHANGES_H
#define AZOTH_DNSFRONT_CHANGES_H

#include "base/stat.h"
#include "rrset/rrkey.h"
#include "store/store.h"
#include "wire/name.h"

#define CHANGES_MIN 4096u
#define CHANGES_MAX (1u << 21)      /* three places are cut out of one 64-bit hash */
#define CHANGES_KEYS_MAX 8192       /* keys taken from the ring at a time, some 2 ms; more counts as "many" */

struct known;
struct changes {
    struct known *known;            /* names that are touched go in there too; NULL: nobody wants to know them */
    uint64_t secret;                /* nobody outside can choose names that collide */
    uint32_t mask;
    atomic_flag busy;               /* whoever sets it may use what follows */
    uint64_t tick, floor;
    uint64_t version, epoch, seq;   /* of the state that it was fed up to */
    _Atomic uint64_t stamp[];       /* mask + 1, and one behind for the world */
};

/* slots: rounded down to a power of two inside CHANGES_MIN .. CHANGES_MAX. secret: random. ERR_NOMEM. */
MUST_USE enum err changes_open(struct changes **out, size_t slots, uint64_t secret);
void changes_close(struct changes *c);                      /* NULL is fine */

/* --- a worker's place in it --------------------------------------------------------------------------------------- */
struct watch {
    struct changes *changes;        /* NULL: none */
    stat_count *drops;              /* counts what made the floor rise */
    uint64_t version;               /* of the view that was looked at last */
    uint64_t tick, floor;           /* tick 0: out of step, nothing kept may be used or made */
};
void watch_update(struct watch *w, struct view *v);
/* Between view_begin and view_end, before anything kept is used. Cheap when the view shows the same state as before. */
static inline void watch_follow(struct watch *w, struct view *v)
{
    if (w->changes != NULL && view_version(v) != w->version)
        watch_update(w, v);
}
static inline bool watch_holds(const struct watch *w, uint64_t tick, uint32_t place)
{
    return tick <= w->tick && tick >= w->floor
        && atomic_load_explicit(&w->changes->stamp[place], memory_order_relaxed) <= tick;
}

/* --- places --------------------------------------------------------------------------------------------------------- */
static inline uint64_t load8(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}
/* Of a word's bytes in memory, without a branch: the first n (0..7), zeros behind them; the last n (1..7) moved to the front. */
enum { LOW_BYTE_FIRST = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ };
static inline uint64_t first_bytes(uint64_t x, size_t n)
{
    return LOW_BYTE_FIRST ? x & ~(~UINT64_C(0) << 8 * n) : x & ~(~UINT64_C(0) >> 8 * n);
}
static inline uint64_t last_bytes(uint64_t x, size_t n)
{
    return LOW_BYTE_FIRST ? x >> (64 - 8 * n) : x << (64 - 8 * n);
}
/* The 0..7 bytes behind the last whole word of b, at the front of a word. */
static inline uint64_t load_tail(struct bytes b)
{
    size_t n = b.len & 7;
    uint64_t x = 0;
    if (n > 0 && b.len >= 8)
        return last_bytes(load8(b.ptr + b.len - 8), n);
    if (n > 0)
        memcpy(&x, b.ptr + b.len - n, n);
    return x;
}
static inline uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}
/* words: folded, `whole` of them full and one more; len in bytes. */
static inline uint64_t hash_words(uint64_t secret, const uint64_t *words, size_t whole, size_t len)
{
    uint64_t h = secret ^ len;
    for (size_t i = 0; i < whole; i++)
        h = mix(h ^ words[i], secret | 1);
    return mix(h ^ words[whole], 0x9e3779b97f4a7c15u ^ secret);
}
static inline uint64_t hash_folded(uint64_t secret, struct bytes b)
{
    uint64_t h = secret ^ b.len;
    for (size_t i = 0; i + 8 <= b.len; i += 8)
        h = mix(h ^ name_lower8(load8(b.ptr + i)), secret | 1);
    return mix(h ^ name_lower8(load_tail(b)), 0x9e3779b97f4a7c15u ^ secret);
}

/* hash_folded of what is in lower case already, with eight bytes behind it that may be read. */
static inline uint64_t hash_padded(uint64_t secret, struct bytes b)
{
    uint64_t h = secret ^ b.len;
    size_t i = 0;
    for (; i + 8 <= b.len; i += 8)
        h = mix(h ^ load8(b.ptr + i), secret | 1);
    return mix(h ^ first_bytes(load8(b.ptr + i), b.len & 7), 0x9e3779b97f4a7c15u ^ secret);
}

/* Any key of this owner. name: uncompressed, any case. */
static inline uint32_t place_of_owner(const struct changes *c, uint64_t hash) { return (uint32_t)(hash >> 40) & c->mask; }
static inline uint64_t hash_of_name(const struct changes *c, struct bytes name) { return hash_folded(c->secret, name); }
static inline uint64_t hash_of_lower(const struct changes *c, struct bytes name) { return hash_padded(c->secret, name); }
/* The label part of a key. */
static inline uint64_t hash_of_labels(const struct changes *c, struct bytes labels) { return hash_folded(~c->secret, labels); }
/* The ancestor with `depth` labels of a key, for what follows. */
static inline uint64_t hash_of_ancestor(const struct changes *c, const struct rrkey *k, unsigned depth)
{
    return hash_of_labels(c, bytes_of(k->buf, k->at[depth]));
}
/* Any key at it or below it. */
static inline uint32_t place_of_subtree(const struct changes *c, uint64_t hash) { return (uint32_t)hash & c->mask; }
/* Its zone header, but for one live zone changed into another. */
static inline uint32_t place_of_shape(const struct changes *c, uint64_t hash) { return (uint32_t)(hash >> 21) & c->mask; }
/* Its zone header, any byte of it. */
static inline uint32_t place_of_header(const struct changes *c, uint64_t hash) { return (uint32_t)(hash >> 42) & c->mask; }
/* Its zone header, when it is changed into that of a signed zone. */
static inline uint32_t place_of_signed(const struct changes *c, uint64_t hash) { return (uint32_t)mix(hash, c->secret | 1) & c->mask; }
/* The set of zones. */
static inline uint32_t place_of_world(const struct changes *c) { return c->mask + 1; }

/* --- what one answer hangs on --------------------------------------------------------------------------------------- */
#define TRACE_MAX 8
struct trace {
    const struct changes *changes;  /* NULL: nobody wants to know */
    bool off;                       /* it must not be kept */
    bool again;                     /* it was asked for before: NXDOMAIN is kept too */
    bool cased;                     /* letters of the question stand in its body */
    bool plain;                     /* one RRset of a wildcard without a name in it: the same for every name */
    unsigned n;
    uint32_t place[TRACE_MAX];
};
void trace_place(struct trace *t, uint32_t place);
static inline void trace_owner(struct trace *t, struct bytes name)
{
    if (t->changes != NULL)
        trace_place(t, place_of_owner(t->changes, hash_of_name(t->changes, name)));
}
static inline void trace_subtree(struct trace *t, const struct rrkey *k, unsigned depth)
{
    if (t->changes != NULL)
        trace_place(t, place_of_subtree(t->changes, hash_of_ancestor(t->changes, k, depth)));
}
static inline void trace_shape(struct trace *t, const struct rrkey *k, unsigned depth)
{
    if (t->changes != NULL)
        trace_place(t, place_of_shape(t->changes, hash_of_ancestor(t->changes, k, depth)));
}
static inline void trace_header(struct trace *t, const struct rrkey *k, unsigned depth)
{
    if (t->changes != NULL)
        trace_place(t, place_of_header(t->changes, hash_of_ancestor(t->changes, k, depth)));
}
static inline void trace_signed(struct trace *t, const struct rrkey *k, unsigned depth)
{
    if (t->changes != NULL)
        trace_place(t, place_of_signed(t->changes, hash_of_ancestor(t->changes, k, depth)));
}
static inline void trace_world(struct trace *t)
{
    if (t->changes != NULL)
        trace_place(t, place_of_world(t->changes));
}
/* One name among many of a zone: when there is little room left, its whole zone. */
static inline void trace_one_of(struct trace *t, const struct rrkey *k, struct bytes name, unsigned zone)
{
    if (t->n < TRACE_MAX - 2)
        trace_owner(t, name);
    else
        trace_subtree(t, k, zone);
}

#endif
