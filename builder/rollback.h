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

#define ROLLBACK_ZONE_MOST 1000000                  /* RRsets of a zone that is made again: beside the writing thread */
#define ROLLBACK_MOST CHANGE_DIFFERENCE_MOST        /* RRsets: all of them are set in one go of the writing thread */

struct rollback {
    struct difference d;                /* from the state behind `to` to now */
    uint32_t serial;                    /* the live one */
    struct zone zone; struct arena arena;           /* of one that was removed: what it held; settings lie in arena */
    struct bytes settings;
};
void rollback_init(struct rollback *r);         /* nothing is in it; rollback_release may come */
/* v: begun. Release in any case. ERR_NOTFOUND: no such zone. ERR_GAP: the journal does not reach back to there, or the zone was made
 * anew since. ERR_LIMIT: more RRsets than ROLLBACK_MOST. */
MUST_USE enum err rollback_read(struct rollback *r, struct journal *j, struct view *v, struct bytes apex, uint64_t to,
                                struct fault *fault);
/* The same for a zone that is not there any more: settings and zone are what CHANGE_CREATE takes, zone.n 0 where a primary has
 * the data. Settings are those that it had when it was next removed. ERR_NOTFOUND: it was not there then. ERR_LIMIT: more
 * than ROLLBACK_ZONE_MOST RRsets. */
MUST_USE enum err rollback_removed(struct rollback *r, struct journal *j, struct source_txn *t, struct bytes apex, uint64_t to,
                                   uint64_t now_s, struct fault *fault);
void rollback_release(struct rollback *r);
/* arg: a struct rollback. ERR_STALE: the zone has moved since rollback_read; it is to be read again. */
change_plan_fn rollback_plan;

#endif
