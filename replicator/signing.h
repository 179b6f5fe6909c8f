/* Records on their way into the log. A signature takes longer than all the rest of a small transaction, so records are
 * collected and signed by the crew, a batch at a time, while the next ones are made; what is signed is given out in the
 * order in which it was added, in the thread that adds. */
#ifndef AZOTH_REPLICATOR_SIGNING_H
#define AZOTH_REPLICATOR_SIGNING_H

#include "base/crew.h"
#include "replicator/record.h"

struct signing;
/* record: signed, borrowed for the call. An error ends the call that led here, and is its error. */
typedef enum err signing_out_fn(void *arg, uint64_t seq, struct bytes record, struct fault *fault);

/* crew: may be NULL; key: copied. ERR_NOMEM. */
MUST_USE enum err signing_open(struct signing **out, struct crew *crew, const struct node_key *key, signing_out_fn *fn,
                               void *arg);
void signing_close(struct signing *s);          /* NULL is fine */
/* record: blank where blanks says; copied. Earlier ones may be given out. */
MUST_USE enum err signing_add(struct signing *s, uint64_t seq, struct bytes record, const struct record_blanks *blanks,
                              struct fault *fault);
/* Gives out all that is left. */
MUST_USE enum err signing_end(struct signing *s, struct fault *fault);
/* Forgets what was not given out; needed after an error. */
void signing_drop(struct signing *s);

#endif
