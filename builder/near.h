/* A small set of zone names with one question: is this name equal to, above or below one of them? It may say yes for
 * another name (names are kept as 64-bit numbers), never no for one of them. */
#ifndef AZOTH_BUILDER_NEAR_H
#define AZOTH_BUILDER_NEAR_H

#include "wire/name.h"

#define NEAR_SLOTS 8192u       /* 512 names with their ancestors fill a fraction of it; when half full it says yes */

struct near {
    struct { uint64_t number; uint32_t round; bool itself; } slot[NEAR_SLOTS];  /* itself: not only an ancestor of one */
    uint32_t round;             /* slots of older rounds are empty */
    unsigned used;
};
void near_clear(struct near *s);
void near_add(struct near *s, struct bytes name);
bool near_has(const struct near *s, struct bytes name);

#endif
