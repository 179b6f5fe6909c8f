/* Proofs of what is not there, for clients that set DO, from signed zones (RFC 4035 section 3.1.3, RFC 5155 section 7.2).
 *
 *     what is answered           NSEC                              NSEC3 (m: the record that matches, c: that covers)
 *     no data                    of the name, or covering it       m name; else as "no DS"
 *     no data, of a wildcard     of the wildcard; covering name    m encloser, c next closer, m wildcard
 *     no such name               covering name; covering wildcard  m encloser, c next closer, c wildcard
 *     an answer of a wildcard    covering name                     c next closer
 *     referral without DS        of the cut                        m cut; else m encloser, c next closer (opt-out)
 *
 * A zone proves when its SOA is signed and it has NSEC, or NSEC3PARAM. Each record costs one or two descents (step "proof");
 * the NSEC behind which the name's own look-up stopped costs none, nor does
 * the one that denies a wildcard when it was sent lately (zones.h). No record goes into a message twice, however many names
 * of a chain it serves. All of them are needed: what does not fit makes TC. */
#ifndef AZOTH_DNSFRONT_PROOF_H
#define AZOTH_DNSFRONT_PROOF_H

#include "dnsfront/nsec3.h"
#include "dnsfront/section.h"

#define PROOF_RECORDS 64            /* remembered; the longest chain needs 17 records and a few */

/* An answer that was made from a wildcard: the name is not there itself. */
struct proof_note { struct bytes name; size_t at; unsigned zone, encloser; struct entry before; };
struct proofs {                     /* of the message under construction */
    struct bytes record[PROOF_RECORDS];         /* wires that are in it: no two of a zone are alike, as they tell the next name */
    unsigned records, rounds, notes;
    struct proof_note note[ANSWER_LINKS_MAX + 1];
};
void proof_begin(struct proofs *p, struct reply *r);

/* f, which was put into the answer section, may come from a wildcard: its proof goes into the authority section, once all
 * answers stand. s->name stays where it is until then. */
void proof_note(struct reply *r, const struct subject *s, const struct finding *f);
/* What was noted. */
MUST_USE enum err proof_put_noted(struct reply *r, struct lookup *l);
/* For f, which says no data, no such name, or is a referral without DS. ERR_NOSPACE sets TC. ERR_LIMIT: too dear. */
MUST_USE enum err proof_put(struct reply *r, struct lookup *l, const struct subject *s, const struct finding *f);

/* The NSEC of the name that is the ancestor of k with `depth` labels, else the one that covers it, in the zone whose apex
 * has `zone` labels. before: the key before the name's place when that is known (finding.before), or NULL. key: of the owner
 * found. ERR_NOTFOUND: there is none. */
struct nsec_record { struct rrset rr; size_t owner_len; uint8_t key[RRKEY_MAX]; };      /* owner_len: its labels and terminator */
MUST_USE enum err nsec_find(struct lookup *l, const struct rrkey *k, unsigned depth, unsigned zone,
                            const struct entry *before, struct nsec_record *out);

#endif
