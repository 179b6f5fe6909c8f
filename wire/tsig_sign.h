/* Keys and MACs of TSIG (RFC 8945): messages verified and signed, one by one or as a stream, by server and client alike.
 *
 *     server   tsig_open ─► tsig_check (request) ─► tsig_sign (reply) [─► tsig_skip or tsig_sign (further ones) ...]  ─► tsig_close
 *     client   tsig_open ─► tsig_sign (request) ─► tsig_check (reply) [─► tsig_skip or tsig_check (further ones) ...] ─► tsig_close
 *
 * Each MAC is taken over the MAC before it, the unsigned messages since, and the message; from the third on (the second of
 * the replies) over the timers alone in place of all variables (RFC 8945 section 5.3.1). The two directions are the same
 * chain seen from its two ends. */
#ifndef AZOTH_WIRE_TSIG_SIGN_H
#define AZOTH_WIRE_TSIG_SIGN_H

#include "wire/tsig.h"

#define TSIG_MAC_MAX 64
#define TSIG_UNSIGNED_MAX 99            /* messages in a row of a stream without a MAC (RFC 8945 section 5.3.1) */

enum tsig_hash { TSIG_SHA1, TSIG_SHA224, TSIG_SHA256, TSIG_SHA384, TSIG_SHA512, TSIG_HASHES };
/* "hmac-sha256", any case, with or without a final dot. ERR_NOTFOUND: none that we do; so is hmac-md5, on purpose. */
MUST_USE enum err tsig_hash_of_text(struct bytes text, enum tsig_hash *out);
MUST_USE enum err tsig_hash_of_name(struct bytes name, enum tsig_hash *out);    /* wire name */
struct bytes tsig_hash_name(enum tsig_hash hash);                               /* wire name, lower case */
const char *tsig_hash_text(enum tsig_hash hash);
unsigned tsig_hash_len(enum tsig_hash hash);                                    /* of its whole MAC */

struct tsig_key {
    struct name name;
    enum tsig_hash hash;
    struct bytes secret;                /* 1 byte or more */
    uint8_t mac_min;                    /* shorter MACs are TSIG_SHORT_MAC; 0: as short as the RFC allows */
};

size_t tsig_room(const struct tsig_key *key);               /* what tsig_sign appends at most */

enum tsig_verdict {
    TSIG_GOOD,
    TSIG_MALFORMED,     /* FORMERR without TSIG: the MAC's length is not allowed (RFC 8945 section 5.2.2.1) */
    TSIG_UNKNOWN,       /* NOTAUTH, BADKEY, unsigned: another key's name or algorithm, or there is none */
    TSIG_FORGED,        /* NOTAUTH, BADSIG, unsigned */
    TSIG_LATE,          /* NOTAUTH, BADTIME, signed, with the request's time and ours in other data */
    TSIG_SHORT_MAC,     /* NOTAUTH, BADTRUNC, signed */
};
uint16_t tsig_error(enum tsig_verdict v);                   /* what the record's error field says of it; 0 none */

struct tsig_chain;
/* key: copied. ERR_BAD: an empty secret. ERR_NOMEM. */
MUST_USE enum err tsig_open(struct tsig_chain **out, const struct tsig_key *key);
void tsig_close(struct tsig_chain *c);                      /* NULL is fine */

/* msg ends with the TSIG t, read at `at`. now_s: Unix time. Behind TSIG_GOOD, _LATE and _SHORT_MAC the chain goes on from
 * here; behind all others it is of no use. */
MUST_USE enum tsig_verdict tsig_check(struct tsig_chain *c, struct bytes msg, size_t at, const struct tsig *t, uint64_t now_s);
/* Appends the record to the whole message in w and bumps its ARCOUNT; w has room for tsig_room more, or is full then.
 * to: NULL, or the request's record that is answered with an error: BADTIME gives its time back and says now_s (RFC 8945
 * section 5.2.3). ERR_NOSPACE. ERR_NOMEM: the library failed. */
MUST_USE enum err tsig_sign(struct tsig_chain *c, struct wr *w, uint64_t now_s, uint16_t error, const struct tsig *to);
/* A message of a stream that carries no TSIG, on either side. ERR_LIMIT: one too many in a row. */
MUST_USE enum err tsig_skip(struct tsig_chain *c, struct bytes msg);
/* Messages since the last MAC: a stream must not end with any. */
unsigned tsig_skipped(const struct tsig_chain *c);

#endif
