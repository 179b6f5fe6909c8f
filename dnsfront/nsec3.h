/* NSEC3 (RFC 5155): the hash of a name, and the records of a zone's chain by hash.
 *
 *     hash = H(H(...H(name | salt) | salt ...) | salt)     H: SHA-1; `iterations` rounds besides the first
 *
 *     key: apex | 00 | 0032 | hash ─► the record that matches the hash, else the one before it covers it (the last one of
 *                                     the zone before the first: the chain is a ring) */
#ifndef AZOTH_DNSFRONT_NSEC3_H
#define AZOTH_DNSFRONT_NSEC3_H

#include "dnsfront/find.h"

/* SHA-1 rounds that one question may cost, about 2 ms; what would cost more is SERVFAIL. With 150 iterations these are 132
 * hashes, and a chain of 17 names made from wildcards takes 20. */
#define NSEC3_ROUNDS_MAX 20000u

struct nsec3_hash { uint8_t b[NSEC3_HASH_LEN]; };
/* name: uncompressed, lower case. Takes no memory. */
struct nsec3_hash nsec3_hash(const struct zone_nsec3 *param, struct bytes name);


struct nsec3_record {
    struct nsec3_hash owner;
    struct rrset rr;                /* borrowed from the view */
    bool matches;                   /* its owner is the hash; else it covers it */
};
/* The record for the hash, in the zone whose apex is the ancestor of k with `zone` labels. Step "proof".
 * ERR_NOTFOUND: the zone's chain has none. */
MUST_USE enum err nsec3_find(struct lookup *l, const struct rrkey *k, unsigned zone, const struct zone_nsec3 *param,
                             const struct nsec3_hash *h, struct nsec3_record *out);

#endif
