/* The scrub: walks all entries of the current generation in small slices, over and over, and recomputes the digest, so
 * that bits that rot on the disk are found by a daemon that only ever looks at what changes.
 *
 *     round   begin ── slice ── commit ── slice ── slice ── commit ── commit ── slice ── end: sum == lanes of the head?
 *                      a view                                                            good, or bit rot
 *
 * Why this is right although commits go on all the time: the sum is kept true, not frozen. Between two transactions
 *
 *     sum  =  digest over all entries, of the newest commit, at or before the place       place: (namespace, key)
 *
 * holds always. A slice takes a view of the newest commit and moves the place forward: it adds what it walks over. A
 * transaction of this process, the only one that writes, tells the scrub what it takes out and puts in at or before the
 * place (what lies behind it is walked later, as it is then); when it commits, that is added to the sum, when it
 * aborts, forgotten. No transaction is open while a slice runs: both are for the writing thread. So at the end the place is
 * behind the last entry and the sum must be the head's lanes, exactly, whatever was committed meanwhile. What the walk
 * itself read came from the map, what the lanes in memory say came from the changes: rot shows as a difference.
 *
 * Alternatives that were weighed: one view held for the round pins every page that commits free meanwhile (minutes of
 * growth); a round that counts only when nothing was committed never ends on a busy store; the ring names touched
 * keys, but not the values that they had.
 *
 * What it costs: a second hash of the entries that a transaction changes before the place, about 1 us each. A
 * transaction that changes more than SCRUB_NOTES_MAX of them makes the round void instead (it begins again), but after
 * SCRUB_VOIDS_MAX void rounds in a row every change is taken along, so that each store gets its round. */
#ifndef AZOTH_STORE_SCRUB_H
#define AZOTH_STORE_SCRUB_H

#include "store/store.h"

#define SCRUB_NOTES_MAX 20000
#define SCRUB_VOIDS_MAX 8

/* Strict decoding of one entry; what entries mean is known above the store. ERR_BAD with the fault: it is broken. */
typedef enum err scrub_check_fn(void *arg, struct bytes ns, const struct entry *e, struct fault *fault);
/* A bad entry was found. key: empty when the damage hides it. */
typedef void scrub_bad_fn(void *arg, struct bytes ns, struct bytes key, const char *why);
struct scrub_options {
    struct store *store;            /* open for writing */
    scrub_check_fn *check;          /* NULL: the digest alone */
    scrub_bad_fn *bad;              /* NULL: only counted */
    void *arg;
};

struct scrub;
/* All calls in the writing thread. One scrub per store; a second one: ERR_NOTNOW. */
MUST_USE enum err scrub_open(struct scrub **out, const struct scrub_options *o, struct fault *fault);
void scrub_close(struct scrub *s);                  /* before its store; NULL is fine */

struct scrub_budget { uint64_t entries, bytes, us; };       /* a slice ends at whichever comes first */
struct scrub_news {
    bool ended;                     /* this slice was the round's last */
    bool good;                      /* of the ended round: nothing was wrong */
    uint64_t entries, bytes, bad;   /* of the round so far; bad: entries, unreadable places, a wrong digest */
    uint64_t slice_entries, slice_bytes;
};
/* Its view keeps the files of an old generation alive; the next slice moves on. */
bool scrub_is_stale(const struct scrub *s);
/* One slice. *fault: of an ended round that is not good, the last thing that was wrong.
 * ERR_NOTNOW: a transaction is open, nothing was done. Other errors: no view could be had; try again later. */
MUST_USE enum err scrub_slice(struct scrub *s, const struct scrub_budget *budget, struct scrub_news *news,
                              struct fault *fault);

#endif
