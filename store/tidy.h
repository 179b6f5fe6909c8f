/* Keeps the trees dense. LMDB merges leaves only when they are less than a quarter full, so random changes leave them half
 * empty in the end, and the file twice as large as it had to be. The tidying looks at the leaves, some in each slice, and
 * writes runs of sparse ones anew. It changes no entry: head, digest, ring and log stay as they are.
 *
 *     leaves   ▇▇▇▇ ▃▂▃▄▂▃▄▂ ▇▇▆▇        a run of TIDY_RUN leaves, less than TIDY_BELOW percent full
 *              ▇▇▇▇ ▆▆▆▂     ▇▇▆▇        is written in order, with some room left for what comes
 *
 * It is idle until as many entries changed as make a fortieth of the store (an eighth of a small one, which is soon changed as a whole
 * and has less to win), then makes one pass. Full leaves would be split by the next entry that comes: hence the room. Measured with random puts and deletes over a million entries: without
 * it leaves end half full and the file takes twice its compacted size; with it they are 82 % full. Each change costs it
 * about six moved entries, so where random changes come as fast as the disk takes them, they come half as fast. */
#ifndef AZOTH_STORE_TIDY_H
#define AZOTH_STORE_TIDY_H

#include "store/store.h"

#define TIDY_RUN 16             /* leaves */
#define TIDY_BELOW 74           /* percent */
#define TIDY_LEAVES 512         /* looked at in one slice, and rewritten runs: what the daemons do every few */
#define TIDY_RUNS 8             /* milliseconds while a pass is under way */

struct tidy;
/* All calls in the writing thread. */
MUST_USE enum err tidy_open(struct tidy **out, struct store *s, struct fault *fault);
void tidy_close(struct tidy *t);                    /* before its store; NULL is fine */

struct tidy_news {
    bool more;                          /* the pass is not over: call again soon */
    unsigned looked, rewritten;         /* leaves, in this slice */
    uint64_t moved;                     /* entries, in this slice */
};
/* Looks at up to `leaves` leaves and rewrites what is sparse, at most `runs` runs (about a millisecond each), in one
 * LMDB transaction. ERR_NOTNOW: a transaction is open. ERR_FULL: no room for it now. Nothing is changed then. */
MUST_USE enum err tidy_slice(struct tidy *t, unsigned leaves, unsigned runs, struct tidy_news *news, struct fault *fault);

#endif
