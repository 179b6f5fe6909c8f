/* The answer cache: bodies of answers as they were built, in front of the store. Shared by all workers; nobody waits.
 *
 *     name, type ─► hash ─► bucket: one cache line of 8 slots [tag 14 | ring 10 | place 40]
 *                                        │
 *     ring of one worker ...│ entry │ entry │ entry │ ...   ◄── its owner writes at the head, over the oldest
 *                             [check, tick, key and counts, places, name, body]
 *
 * Each worker writes rings of its own (one for answers with records, a smaller one for NXDOMAIN and the like, so that a
 * flood of names that do not exist pushes out nothing else; their answers are kept from the second time on) and reads all. A reader copies first and looks then whether
 * the head came past meanwhile. What an entry hangs on is told by changes.h.
 *
 * The body is the message behind the question: its names point into the question or into itself, so it is the same for any
 * case of the question's letters (an answer through a DNAME is not, it is kept for lower case only), for any id, flags and
 * options. An answer to which nothing was denied for lack of room is good wherever it fits; any other for exactly the same
 * room.
 *
 * Answers from a wildcard are kept once for all names that it answers, under its own name. */
#ifndef AZOTH_DNSFRONT_CACHE_H
#define AZOTH_DNSFRONT_CACHE_H

#include "dnsfront/changes.h"
#include "dnsfront/section.h"

#define CACHE_BODY_MAX 1232         /* longer answers cost their copying, not their look-up */
#define CACHE_RING_WORDS_MIN 4096u  /* 32 KiB: less per ring is no cache */

struct cache;
struct gaps;
/* bytes: for everything, its changes table, the filter of known names (known.h) and the workers' gaps (gaps.h) included; less
 * than is of use: only that table, for zone headers. Half of the memory is touched only when it fills. workers: 1..256.
 * secret: random, so that nobody outside can choose names that fall into one bucket. ERR_NOMEM. */
MUST_USE enum err cache_open(struct cache **out, uint64_t bytes, unsigned workers, const uint64_t secret[2]);
void cache_close(struct cache *c);                          /* NULL is fine */
struct changes *cache_changes(struct cache *c);
struct known *cache_known(struct cache *c);                 /* NULL: too small for it */
struct gaps *cache_gaps(struct cache *c, unsigned worker);  /* of worker 0..; NULL: the same */
bool cache_keeps(const struct cache *c);                    /* false: too small for answers */

struct cache_key {
    uint64_t hash;                  /* of the name */
    uint64_t slot;                  /* of name and type */
    uint64_t seen;                  /* what stands in the bucket; 0: nothing of that name */
    bool looked;                    /* cache_prefetch_entry set it */
    bool there;                     /* and found an entry under it */
    bool mixed;                     /* some letters are upper case */
    bool dnssec_ok;                 /* set by the caller */
    bool plain;                     /* set by the caller: another name asks, answered by this wildcard; only what is the same for
                                     * every name is found and kept (trace.plain). What was said is up to the caller then */
    uint8_t name_len;               /* without the final 0 */
    uint16_t type;
    uint64_t name[NAME_MAX_LEN / 8 + 2];        /* lower case, zeros behind it */
};
void cache_key(const struct cache *c, struct bytes qname, uint16_t type, struct cache_key *k);
/* Asks for the memory that cache_find will look at: first all queries of a batch here, then all there. */
void cache_prefetch_bucket(const struct cache *c, const struct cache_key *k);
void cache_prefetch_entry(const struct cache *c, struct cache_key *k);

/* r: begun, nothing in it yet. true: body, counts, rcode, AA and TC are in r, and *said is what the answer was. */
bool cache_find(struct cache *c, const struct watch *w, struct cache_key *k, struct reply *r, struct answer_said *said);
/* Is the answer that will be built wanted? When memory is full, of names that were not kept before only one in eight is: so
 * what is asked for often comes in, and a walk through more names than fit does not push out all of them. */
bool cache_wants(struct cache *c, unsigned worker, const struct cache_key *k);
/* r: built, before its OPT. worker: 0.., whose rings are written; one thread each. true: it was kept. */
bool cache_keep(struct cache *c, unsigned worker, const struct watch *w, const struct cache_key *k,
                const struct trace *t, const struct reply *r, const struct answer_said *said);

/* Headers of zones stand there too, as the store has them, in the smaller rings: for a server of more zones than a worker's
 * own table holds (zones.h). k: cache_key of the apex with CACHE_HEADER. place: what the header hangs on. */
#define CACHE_HEADER TYPE_OPT       /* no answer of that type is ever kept */
size_t cache_find_header(const struct cache *c, const struct watch *w, struct cache_key *k, uint8_t *out, size_t cap);  /* its length; 0: none */
void cache_keep_header(struct cache *c, unsigned worker, const struct watch *w, const struct cache_key *k, uint32_t place,
                       struct bytes header);

#endif
