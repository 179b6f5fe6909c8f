/* Several zones out of the store, or into it without data, one transaction a zone; zones share syncs as in load.h. */
#ifndef AZOTH_BUILDER_WITHDRAW_H
#define AZOTH_BUILDER_WITHDRAW_H

#include "builder/zone.h"
#include "replicator/commit.h"

#include <stdatomic.h>

/* apexes[i] is not in the store any more. was: false when it was not there to begin with. In the caller's thread. */
typedef void withdraw_told_fn(void *arg, size_t i, bool was, uint64_t seq);
/* apexes: lower case. stop: set from outside, ends after the zone at hand; what is staged then still goes.
 * Any error: the store failed; zones that were not told of are still there. */
MUST_USE enum err withdraw_zones(struct committer *c, struct view *v, const struct name *apexes, size_t n,
                                 const atomic_bool *stop, withdraw_told_fn *told, void *arg, struct fault *fault);
/* The same for zones that are to stand in the store without data, as zones of kind file that are answered with SERVFAIL.
 * was: false when it is there already, in any state. */
MUST_USE enum err empty_zones(struct committer *c, struct view *v, const struct name *apexes, size_t n,
                              const atomic_bool *stop, withdraw_told_fn *told, void *arg, struct fault *fault);

#endif
