/* An arena: memory that is given out piece by piece and taken back all at once.
 * One per batch or command; no free per object. Pieces are aligned to 8 bytes and not zeroed.
 *
 *     block ─► [piece piece piece   room]     new blocks are chained in front; reset keeps the newest
 */
#ifndef AZOTH_BASE_ARENA_H
#define AZOTH_BASE_ARENA_H

#include "base/err.h"

struct arena_block;
struct arena { struct arena_block *head; uint8_t *at; size_t left; size_t used; };  /* used: bytes given out */

void arena_init(struct arena *a);               /* allocates nothing yet */
void arena_reset(struct arena *a);              /* all pieces are gone; the newest block is kept for the next round */
void arena_release(struct arena *a);
/* n bytes, owned by the arena until reset or release; NULL when out of memory. */
void *arena_take(struct arena *a, size_t n);
/* A copy of b inside the arena; {NULL, 0} when out of memory and b is not empty. */
struct bytes arena_copy(struct arena *a, struct bytes b);
/* All pieces of b become a's; b is empty then. */
void arena_join(struct arena *a, struct arena *b);
char *arena_text(struct arena *a, const char *text);

#endif
