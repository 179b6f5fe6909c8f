/* The TSIG of a message that came in, and of the reply that goes out. */
#ifndef AZOTH_BUILDER_SEAL_H
#define AZOTH_BUILDER_SEAL_H

#include "builder/policies.h"

struct seal {
    bool present;                       /* the message was signed, by whomever */
    struct tsig tsig;                   /* as it came; borrowed from the message */
    enum tsig_verdict verdict;
    struct policy_key *key;              /* of ours, unless UNKNOWN or MALFORMED */
    struct tsig_chain *chain;
};
/* Looks at the TSIG at `at` of msg. Gives the rcode that the message has earned: NOERROR: it is good; FORMERR, NOTAUTH, SERVFAIL
 * (*fault says why). seal_release in any case. */
MUST_USE uint16_t seal_open(struct seal *s, struct policies *k, struct bytes msg, size_t at, uint64_t now_s, struct fault *fault);
void seal_release(struct seal *s);
const char *seal_text(const struct seal *s);        /* why its TSIG is not good, for the log */
/* What seal_sign appends at most. */
size_t seal_room(const struct seal *s);
/* Appends the reply's TSIG, signed or not as the verdict asks. ERR_NOSPACE, ERR_NOMEM. */
MUST_USE enum err seal_sign(struct seal *s, struct wr *w, uint64_t now_s);

#endif
