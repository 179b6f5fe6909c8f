/* A zone back to what it was: the plan of a change (change.h), made from the journal.
 *
 *     reading thread: rollback_read ─► what changed since ─► changer_put ─► writing thread: rollback_plan ─► rows set
 *
 * The change is one like any other: guards look at it, the serial moves on, it stands in the history and can itself be taken
 * back. Of the SOA all but the serial comes back. Disabled records and comments were never published, so they stay as they
 * are; a disabled record that was published then is enabled. */
#ifndef AZOTH_BUILDER_ROLLBACK_H
#define AZOTH_BUILDER_ROLLBACK_H

#include "builder/change.h"

#define ROLLBACK_MOST CHANGE_DIFFERENCE_MOST        /* RRsets: all of them are set in one go of the writing thread */

struct rollback { struct difference d; uint32_t serial; };      /* from the state behind `to` to now; the live serial */
/* v: begun. Release in any case. ERR_NOTFOUND: no such zone. ERR_GAP: the journal does not reach back to there, or the zone was made
 * anew since. ERR_LIMIT: more RRsets than ROLLBACK_MOST. */
MUST_USE enum err rollback_read(struct rollback *r, struct journal *j, struct view *v, struct bytes apex, uint64_t to,
                                struct fault *fault);
void rollback_release(struct rollback *r);
/* arg: a struct rollback. ERR_STALE: the zone has moved since rollback_read; it is to be read again. */
change_plan_fn rollback_plan;

#endif
