/* Announced records that wait for the store: gathered while it is busy with those before, then taken all at once, so that
 * they share one commit. Bounded: what finds no room is fetched later, as if its announcement had been lost. Pure.
 *
 *     held_put, held_put ... ─► held_take ─► borrowed by the job;    meanwhile held_put ... ─► held_take ─► ... */
#ifndef AZOTH_REPLICATOR_HELD_H
#define AZOTH_REPLICATOR_HELD_H

#include "replicator/record.h"

#define HELD_RECORDS 1024
#define HELD_BYTES ((size_t)2 << 20)    /* of one half: some thirty announcements of the largest kind */

struct held_half { uint8_t *bytes; size_t used, cap, n, at[HELD_RECORDS], len[HELD_RECORDS]; };
struct held {                           /* zeroed: empty */
    struct held_half half[2];           /* one gathers, the other is what was taken last */
    unsigned gathering;
    struct position from, end;          /* of those gathered: they stand behind from, the last one is at end */
};

static inline size_t held_count(const struct held *h) { return h->half[h->gathering].n; }
/* Copies the record that stands behind `from` and ends at `end`; from is h->end when others are held. false: no room. */
bool held_put(struct held *h, struct bytes record, const struct position *from, const struct position *end);
/* All that was gathered, in order, when it stands behind `log`; else it is dropped and nothing given. out: HELD_RECORDS,
 * borrowed until the next held_take or held_release. */
size_t held_take(struct held *h, const struct position *log, struct bytes *out);
void held_release(struct held *h);

#endif
