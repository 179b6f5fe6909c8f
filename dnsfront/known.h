/* Which names may exist: a filter in front of the store, so that a name that does not exist costs no descent as a rule.
 *
 *     every owner, and every name above one      ─► "may be there"        each 6 bits of one 64-byte line,
 *     every apex, cut and DNAME                  ─► "may be a border"     by a hash of the name
 *     every apex                                 ─► "may be an apex"
 *     the name above every "*"                   ─► "may have a wildcard"
 *
 * It may say yes for a name that is not there, never no for one that is: names are only ever added, by whoever feeds the
 * table of changes (changes.h), until all of it is filled anew from the store, by one thread, a slice of keys in each of
 * its views. The table's tick and floor say for which states it holds: those from the end of the filling on, until nobody
 * can say any more what changed.
 *
 * Readers wait for nobody: they look at the round before and after, as it moves when the bits are taken away. */
#ifndef AZOTH_DNSFRONT_KNOWN_H
#define AZOTH_DNSFRONT_KNOWN_H

#include "base/err.h"

#include <stdatomic.h>

#define KNOWN_LINE 8u                   /* words */
#define KNOWN_BYTES_MIN (64u << 10)     /* less is not worth the trouble */
#define KNOWN_DEPTH_MAX 16u             /* names of more labels are looked up: hashing what is above them costs as much */

typedef _Atomic uint64_t known_word;
struct known {
    known_word *words;
    size_t bytes;                       /* of the mapping */
    _Atomic uint32_t mask;              /* lines in use less one: a power of two */
    _Atomic uint64_t round;             /* odd: being filled, nobody may ask */
    _Atomic uint64_t tick, floor;       /* of the table: it holds from that tick on, while the floor stays */
    _Atomic uint64_t added, room;       /* bits' worth of names since the filling, and how many there may be */
};

/* bytes: at most so many, rounded down to a power of two. *out NULL: too few to be of use. ERR_NOMEM. */
MUST_USE enum err known_open(struct known **out, uint64_t bytes);
void known_close(struct known *n);      /* NULL is fine */

/* What a name is asked, or noted, as. */
enum known_as { KNOWN_NAME, KNOWN_BORDER, KNOWN_APEX, KNOWN_STARRED };
static inline uint64_t known_hash(uint64_t hash, enum known_as as)
{
    static const uint64_t salt[] = { 0, 0x9e3779b97f4a7c15u, 0xc2b2ae3d27d4eb4fu, 0x165667b19e3779f9u };
    return as == KNOWN_NAME ? hash : (hash ^ hash >> 29 ^ salt[as]) * (salt[as] | 1);
}

/* Where its bits are: three in each of two words of a line. */
struct known_bits { known_word *word[2]; uint64_t bits[2]; };
static inline uint64_t known_three(uint64_t h)
{
    return UINT64_C(1) << (h & 63) | UINT64_C(1) << (h >> 6 & 63) | UINT64_C(1) << (h >> 12 & 63);
}
static inline struct known_bits known_bits(const struct known *n, uint64_t h)
{
    known_word *line = n->words + (size_t)((uint32_t)h & atomic_load_explicit(&n->mask, memory_order_relaxed)) * KNOWN_LINE;
    return (struct known_bits){ { line + (h >> 58 & 7), line + (h >> 61) }, { known_three(h >> 40), known_three(h >> 22) } };
}

/* --- asking: all of it between known_begin and known_end -------------------------------------------------------------- */
/* false: it says nothing about the state of this tick. */
static inline bool known_begin(const struct known *n, uint64_t tick, uint64_t floor, uint64_t *round)
{
    *round = atomic_load_explicit(&n->round, memory_order_acquire);
    return (*round & 1) == 0 && *round > 0 && tick >= atomic_load_explicit(&n->tick, memory_order_acquire)
        && floor == atomic_load_explicit(&n->floor, memory_order_acquire);
}
static inline bool known_end(const struct known *n, uint64_t round)
{
    return atomic_load_explicit(&n->round, memory_order_relaxed) == round;
}
static inline bool known_may(const struct known *n, uint64_t hash, enum known_as as)
{
    struct known_bits b = known_bits(n, known_hash(hash, as));
    return (~atomic_load_explicit(b.word[0], memory_order_acquire) & b.bits[0]) == 0
        && (~atomic_load_explicit(b.word[1], memory_order_acquire) & b.bits[1]) == 0;
}
/* Asks for the memory that known_may will look at. */
static inline void known_prefetch(const struct known *n, uint64_t hash, enum known_as as)
{
    __builtin_prefetch((const void *)known_bits(n, known_hash(hash, as)).word[0]);
}

/* --- adding: alone at the table of changes, or the thread that fills --------------------------------------------------- */
void known_add(struct known *n, uint64_t hash, enum known_as as);
/* This name and those above it but for the topmost `shared` labels and the root, all in lower case. */
struct changes;
void known_add_names(struct known *n, const struct changes *c, struct bytes name, unsigned shared);

/* --- filling: by one thread ---------------------------------------------------------------------------------------------- */
struct view;
/* Fills it from what v shows, in slices; v: opened, not begun. c: the table that it goes with. stop: gives up.
 * ERR_NOTNOW: stopped, or nobody could say what changed meanwhile, or there is no room for that many names: to be tried
 * again later. ERR_BAD: a key that is none. */
MUST_USE enum err known_fill(struct known *n, struct changes *c, struct view *v, const atomic_bool *stop);
/* v: not begun. Does it say nothing about the newest state, or has it become too full to say much? */
bool known_is_stale(const struct known *n, struct changes *c, struct view *v);

#endif
