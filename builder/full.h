/* Builds of whole zones, in a thread beside the writing one: at most one at work and one waiting per zone; what arrives
 * for a zone while one waits joins that one when both only rebuild.
 *
 *     full_put ─► the zone's place ─► [zone is quiet: its edits wait] ─► records ─► zone_build on a view ─► rows under a fresh id
 *              ─► job of the writing thread: source txn (zone points there, event), stage, journal, flush, event done ─► told
 *              ─► the zone's edits go on
 *
 * The order of a zone's changes is that of arrival, edits and whole builds together: full_put is called by the changer, which
 * holds back a zone's later edits until full_is_busy says no. */
#ifndef AZOTH_BUILDER_FULL_H
#define AZOTH_BUILDER_FULL_H

#include "builder/change.h"

struct full;
struct full_options {
    const struct changer_options *with;         /* borrowed until full_close */
    /* In the writing thread: this zone's builds are all done, its edits may go on. */
    void (*idle)(void *arg, struct bytes apex);
    void *arg;
};
MUST_USE enum err full_open(struct full **out, const struct full_options *o, struct fault *fault);
/* kinds other than CHANGE_EDIT and CHANGE_STATE. Writing thread, or any as long as the zone's order is kept by the caller. */
void full_put(struct full *f, struct change *c);
bool full_is_busy(struct full *f, struct bytes apex);
/* As changer_stop; the build at hand is given up. */
void full_stop(struct full *f);
void full_close(struct full *f);                    /* after queue_close; NULL is fine */
void full_metrics(const struct full *f, struct stat_page *p);

#endif
