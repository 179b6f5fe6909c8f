/* The answer under construction: header and question first, then whole RRsets section by section, OPT and the header's
 * fields last. An RRset that does not fit leaves the message as it was.
 *
 *     │ header │ question │ answer │ authority │ additional │ ...free... │ reserved for OPT │
 *              ◄────────────────────── w.len ──────────────►             ▲ w.cap            ▲ limit */
#ifndef AZOTH_DNSFRONT_SECTION_H
#define AZOTH_DNSFRONT_SECTION_H

#include "dnsfront/find.h"
#include "wire/query.h"

#define NSID_MAX 128

struct reply {
    struct query q;
    struct wr w;
    size_t limit;                   /* bytes that the message may have with OPT */
    size_t opt_len;                 /* of these, reserved */
    struct bytes nsid;              /* to be put into OPT; empty: not asked for, or none */
    uint16_t rcode;                 /* 12 bits: the upper ones go into OPT */
    uint16_t an, ns, ar;
    bool aa, tc;
};
enum section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL };

/* --- edns.c: both ends of a message ------------------------------------------------------------------------------- */
/* r->q is set. false: not even header and question fit; send nothing. */
bool reply_begin(struct reply *r, const struct answer_from *from, struct bytes nsid, struct bytes question,
                 uint8_t *out, size_t cap);
/* Back to header and question. */
void reply_reset(struct reply *r, uint16_t rcode);
/* OPT and header; the message's length. */
size_t reply_end(struct reply *r);

/* --- section.c -------------------------------------------------------------------------------------------------- */
/* The ancestor of s with `depth` labels, as the owner of an RRset. */
struct rr_place section_place(const struct reply *r, const struct subject *s, unsigned depth);
/* OK: rr and, for DO, its signatures are in. ERR_NOSPACE: neither. ERR_BAD: stored bytes are broken. */
MUST_USE enum err section_put(struct reply *r, enum section section, const struct rrset *rr,
                              const struct rr_place *place);

/* The finding's own RRset (or CNAME), from a wildcard where it is one. *start: where it stands. ERR_NOSPACE sets TC. */
MUST_USE enum err put_answer(struct reply *r, const struct subject *s, const struct finding *f, size_t *start);
/* DNAME and the CNAME made from it (RFC 6672). *target: the new name, standing at *target_at.
 * ERR_LIMIT: it would be too long (YXDOMAIN). seen: the DNAME is in the answer already. */
MUST_USE enum err put_dname(struct reply *r, const struct subject *s, const struct finding *f, bool seen,
                            struct name *target, size_t *target_at);
/* SOA of a negative answer. */
MUST_USE enum err put_authority_soa(struct reply *r, const struct subject *s, const struct finding *f);
/* A referral: NS, DS, glue. */
MUST_USE enum err put_authority_referral(struct reply *r, struct lookup *l, const struct subject *s,
                                         const struct finding *f);

/* --- additional.c ----------------------------------------------------------------------------------------------- */
/* Addresses below the cut of names in the NS RRset that stands at `start`: all or TC (RFC 9471). */
MUST_USE enum err put_glue(struct reply *r, const struct subject *s, const struct finding *f, size_t start);
/* Other addresses of the zone for names in the NS RRset at `start`, as far as there is room. cut: labels of the cut that
 * was answered, whose own names have their glue; or 0 labels more than any name (NO_CUT) for NS of an apex. */
#define NO_CUT 0xffu
MUST_USE enum err put_additional(struct reply *r, struct lookup *l, const struct subject *s, const struct finding *f,
                                 size_t start, unsigned cut);

#endif
