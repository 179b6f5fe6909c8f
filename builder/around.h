/* What a build of a zone hangs on beside the zone's own records: which zones are hosted above and below it, and what the
 * zone above has at and below its apex.
 *
 *     build on a view ─► around_take ─► ... other zones go on changing ... ─► around_same on a later view: the ops still hold
 *
 * Whoever builds apart from the writing thread asks this before the ops are committed. The zone's own keys are not looked
 * at: nobody but its builder changes them meanwhile. */
#ifndef AZOTH_BUILDER_AROUND_H
#define AZOTH_BUILDER_AROUND_H

#include "wire/name.h"
#include "store/store.h"

struct around {
    uint64_t epoch, seq;            /* of the state that was looked at */
    bool hosted;                    /* the zone was there */
    uint8_t digest[16];
};
/* Walks over the zone's keys. v: begun; always the same view for one struct around. */
MUST_USE enum err around_take(struct around *a, struct bytes apex, struct view *v, struct fault *fault);
/* Is all of it as it was? Cheap where the ring tells what the commits since then touched; else it walks again. When it is,
 * the newer state counts from now on. */
MUST_USE enum err around_same(struct around *a, struct bytes apex, struct view *v, bool *same, struct fault *fault);

#endif
