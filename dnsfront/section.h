/* The answer under construction: header and question first, then whole RRsets section by section, OPT and the header's
 * fields last. An RRset that does not fit leaves the message as it was.
 *
 *     │ header │ question │ answer │ authority │ additional │ ...free... │ reserved for OPT │
 *              ◄────────────────────── w.len ──────────────►             ▲ w.cap            ▲ limit
 *
 * Options that the client must get (cookie, keepalive, NSID) are made first and reserved for; those that only help (EDE,
 * ZONEVERSION, padding) take what room is left at the end, and never cost a record. */
#ifndef AZOTH_DNSFRONT_SECTION_H
#define AZOTH_DNSFRONT_SECTION_H

#include "dnsfront/cookies.h"
#include "dnsfront/find.h"
#include "wire/query.h"
#include "wire/tsig.h"

#define NSID_MAX 128
#define OPTION_HEAD 4u
#define OPTIONS_MAX (OPTION_HEAD + COOKIE_LEN + OPTION_HEAD + 2 + OPTION_HEAD + NSID_MAX)

enum { EDE_OTHER = 0, EDE_NOT_READY = 14, EDE_NOT_AUTHORITATIVE = 20, EDE_NOT_SUPPORTED = 21, EDE_INVALID_DATA = 24,
       EDE_INVALID_QUERY_TYPE = 30 };       /* RFC 8914, RFC 9824 */

struct reply {
    struct query q;
    struct wr w;
    size_t limit;                   /* bytes that the message may have with OPT */
    size_t opt_len;                 /* of these, reserved */
    struct wr options;              /* those that the client must get; empty: none */
    uint16_t rcode;                 /* 12 bits: the upper ones go into OPT */
    uint16_t an, ns, ar;
    bool aa, tc;
    bool bound;                     /* something was left out, or not looked for, for want of room */
    bool pad;                       /* to a multiple of PADDING_BLOCK */
    bool has_ede;                   /* ede: why (RFC 8914) */
    bool has_version;               /* version: what ZONEVERSION says, when it is asked for (RFC 9660) */
    uint16_t ede;
    struct { uint8_t labels; uint32_t serial; } version;
    struct proofs *proofs;          /* of this message (proof.h); set for questions of class IN */
};
/* Where the body begins in the message. */
static inline size_t body_at(const struct reply *r) { return DNS_HEADER_LEN + (size_t)r->q.question_len; }
enum section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL };

/* --- options.c ---------------------------------------------------------------------------------------------------- */
/* What r->q asks for goes into r->options, which is empty. true: the client sent a good server cookie. */
struct option_values { struct bytes nsid; const struct cookie_secrets *cookies; };  /* cookies NULL: off */
bool options_begin(struct reply *r, const struct option_values *v, const struct answer_from *from);
/* The cookie alone. */
bool options_cookie(struct reply *r, const struct option_values *v, const struct answer_from *from);
/* All options into the message, up to r->limit. */
void options_put(struct reply *r);

/* --- edns.c: both ends of a message ------------------------------------------------------------------------------- */
/* r->q and r->options are set. false: not even header and question fit; send nothing. */
bool reply_begin(struct reply *r, const struct answer_from *from, struct bytes question, uint8_t *out, size_t cap);
/* Back to header and question. */
void reply_reset(struct reply *r, uint16_t rcode);
static inline void reply_explain(struct reply *r, uint16_t ede)
{
    r->has_ede = true;
    r->ede = ede;
}
/* OPT and header; the message's length. tsig: goes behind OPT if it fits; NULL: none. */
size_t reply_end(struct reply *r, const struct tsig *tsig);

/* --- section.c -------------------------------------------------------------------------------------------------- */
/* The ancestor of s with `depth` labels, as the owner of an RRset. */
struct rr_place section_place(const struct reply *r, const struct subject *s, unsigned depth);
/* OK: rr and, for DO, its signatures are in. ERR_NOSPACE: neither. ERR_BAD: stored bytes are broken. */
MUST_USE enum err section_put(struct reply *r, enum section section, const struct rrset *rr,
                              const struct rr_place *place);

/* The finding's own RRset (or CNAME), from a wildcard where it is one. *start: where it stands. ERR_NOSPACE sets TC. */
MUST_USE enum err put_answer(struct reply *r, const struct subject *s, const struct finding *f, size_t *start);
/* DNAME and the CNAME made from it (RFC 6672). *stands: where the DNAME's target stands in the answer; 0: the DNAME is not
 * there yet, and comes. *target: the new name, standing at *target_at; inward: it lies below the DNAME's owner again.
 * ERR_LIMIT: it would be too long (YXDOMAIN). */
MUST_USE enum err put_dname(struct reply *r, const struct subject *s, const struct finding *f, size_t *stands,
                            struct name *target, size_t *target_at, bool *inward);
/* SOA of a negative answer. */
MUST_USE enum err put_authority_soa(struct reply *r, const struct subject *s, const struct finding *f);
/* The same where it is known where the zone's name stands. */
MUST_USE enum err put_soa(struct reply *r, const struct zone_entry *zone, const struct rr_place *apex);
/* A referral: NS, DS, glue. */
MUST_USE enum err put_authority_referral(struct reply *r, struct lookup *l, const struct subject *s,
                                         const struct finding *f);

/* --- additional.c ----------------------------------------------------------------------------------------------- */
/* Addresses below the cut of names in the NS RRset that stands at `start`: all or TC (RFC 9471). *names: of how many. */
MUST_USE enum err put_glue(struct reply *r, const struct subject *s, const struct finding *f, size_t start, unsigned *names);
/* Types whose names get addresses in the additional section. */
bool additional_wanted(uint16_t type);
/* Addresses of the zone for names in the RRset of such a type at `start`, as far as there is room. cut: labels of the cut that
 * was answered, whose own names have their glue; or 0 labels more than any name (NO_CUT). */
#define NO_CUT 0xffu
MUST_USE enum err put_additional(struct reply *r, struct lookup *l, const struct subject *s, const struct finding *f,
                                 size_t start, unsigned cut);

#endif
