/* Gaps in the order of names: between two owners that follow each other there is no name, and what proves that of one name
 * proves it of all. So in zones that prove by NSEC the whole answer is kept: a flood of random names finds it without a
 * descent, and copies it.
 *
 *     owners       ...   b.z   │   c.z     dc.z     e.z   │   f.z   ...
 *                        low   └─── one gap, one answer ──┘   high        SOA, NSEC of b.z, NSEC that denies *.z, signatures
 *
 * The bodies of two such names differ in nothing but where their names end in the question: every pointer of a body moves by
 * the same distance. They do differ when a name shares more labels with an owner beside it than another does (its closest
 * encloser is deeper), so such names have answers of their own.
 *
 * One table for each worker, sorted; good until anything at or below the zone's apex changes (changes.h). When it is full a
 * new gap takes the place of one that nobody asked for lately, once in GAPS_TURN times: over more gaps than there is room
 * for, most names would only push each other out. Over very many more most names are not even looked for. */
#ifndef AZOTH_DNSFRONT_GAPS_H
#define AZOTH_DNSFRONT_GAPS_H

#include "dnsfront/changes.h"
#include "dnsfront/section.h"

#define GAPS_MIN 16u                /* of which there is room: fewer are not worth the trouble */
#define GAPS_MAX 8192u              /* a new one moves up to all behind it, 16 bytes each */
#define GAPS_TURN 64u

struct gaps;
/* bytes: at most so many, touched as they fill. *out NULL: too few to be of use. ERR_NOMEM. */
MUST_USE enum err gaps_open(struct gaps **out, uint64_t bytes);
void gaps_close(struct gaps *g);    /* NULL is fine */
uint64_t gaps_bytes(const struct gaps *g);      /* that it may take; NULL: 0 */

/* k: a name that is not there, in the zone whose apex has `zone` labels. r: begun, nothing in it yet. true: it is answered. */
bool gaps_find(struct gaps *g, const struct watch *w, const struct rrkey *k, unsigned zone, struct reply *r);
/* The answer of the name that gaps_find was asked for last was built. What only this name's answer may say (no room, an error)
 * is not kept, nor is every name's answer wanted. */
void gaps_keep(struct gaps *g, const struct watch *w, const struct rrkey *k, unsigned zone, struct gap_edges edges,
               const struct reply *r);

#endif
