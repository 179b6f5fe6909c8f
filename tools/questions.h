/* The questions that show what a server makes of a zone, one after the other. Pure.
 *
 *     owner with records   its types, types that it does not have, a name below it, a name beside it
 *     *.x                  the same, and a name that the wildcard stands for, with all those types
 *     empty name           NODATA; a name below, a name beside
 *
 * Names below cuts lead to referrals, those below DNAMEs elsewhere, the others to NXDOMAIN or to a wildcard: the same question
 * shows each of them. Owners come in canonical order. */
#ifndef AZOTH_TOOLS_QUESTIONS_H
#define AZOTH_TOOLS_QUESTIONS_H

#include "builder/zone.h"

enum question_why { WHY_THERE, WHY_NODATA, WHY_EMPTY, WHY_WILDCARD, WHY_BELOW, WHY_BESIDE };
struct question { struct name name; uint16_t type; bool dnssec; enum question_why why; };
const char *question_why_text(enum question_why why);

#define QUESTION_TYPES_MAX 64
struct question_options {
    uint16_t types[QUESTION_TYPES_MAX];     /* ask for these alone; types_n 0: those that are there, and some that are not */
    size_t types_n;
    bool dnssec;                            /* each question twice: without DO and with it */
};
struct questions;
/* Sorts z->rr; z must live on. ERR_REFUSED: z holds names outside of itself (*fault). ERR_NOMEM. */
MUST_USE enum err questions_open(struct questions **out, struct zone *z, const struct question_options *o, struct fault *fault);
void questions_close(struct questions *q);                  /* NULL is fine */
/* false: there are no more. */
bool questions_next(struct questions *q, struct question *out);
void questions_restart(struct questions *q);
/* How many there are; restarts. */
uint64_t questions_count(struct questions *q);

#endif
