/* The making of a snapshot file: from one view, at full speed, in a thread of its own. The file stands in the store's
 * folder and has no name there, so a crash leaves nothing behind; where a file system knows no such files it has one for a
 * moment, and snapmaker_open removes what a crash left of it.
 *
 *     snapmaker_begin ─► thread: view, snapshot_write, manifest read back ─► snapmaker_take */
#ifndef AZOTH_REPLICATOR_SNAPMAKE_H
#define AZOTH_REPLICATOR_SNAPMAKE_H

#include "store/snapshot.h"

/* Has the file system room enough to go on? Asked before the first byte and behind each chunk; any thread. */
typedef bool snapmake_room_fn(void *arg, const char *dir);
#define SNAPMAKE_FULL_PERCENT 85        /* of the file system: a snapshot is not begun, or is given up */
bool snapmake_has_room(void *arg, const char *dir);     /* the one that is used unless tests bring their own; arg: NULL */

struct snapmade {
    int fd;
    struct snapshot_index index;
    struct head head;
    unsigned generation;                /* of the data that it was made from */
    uint64_t bytes, ms;
};
void snapmade_release(struct snapmade *f);              /* of one that was taken */

struct snapmaker_options { struct store *store; enum store_role role; snapmake_room_fn *room; void *arg; };
struct snapmaker;
MUST_USE enum err snapmaker_open(struct snapmaker **out, const struct snapmaker_options *o);
void snapmaker_close(struct snapmaker *m);              /* ends the making; NULL is fine */
/* ERR_NOTNOW: one is being made, or was made and not taken. ERR_NOMEM. */
MUST_USE enum err snapmaker_begin(struct snapmaker *m);
bool snapmaker_is_busy(const struct snapmaker *m);
/* In how many ms it may be done, by what is done already. */
uint64_t snapmaker_wait_ms(const struct snapmaker *m);
/* ERR_AGAIN: nothing is done. Else how it ended; *out is the caller's when OK. ERR_FULL: no room. */
MUST_USE enum err snapmaker_take(struct snapmaker *m, struct snapmade *out, struct fault *fault);

#endif
