/* Announcements that came together, until they are heard: copied, in their order. Bounded; what finds no memory is lost as
 * any announcement may be. Pure. */
#ifndef AZOTH_REPLICATOR_GATHERED_H
#define AZOTH_REPLICATOR_GATHERED_H

#include "replicator/lot.h"

#define GATHERED_MAX (2 * LOT_MOST)
#define GATHERED_BYTES ((size_t)512 * 1024)

/* What is known of one before it is heard. */
enum proof { PROOF_OWN /* its own signature will tell */, PROOF_GOOD, PROOF_BAD };

struct gathered {                       /* zeroed: empty */
    uint8_t *bytes;
    size_t cap, used, n, heard;         /* heard: so many were given back */
    size_t at[GATHERED_MAX], len[GATHERED_MAX];
    enum proof proof[GATHERED_MAX];
    struct position newest;             /* of those that are PROOF_GOOD; seq 0: none is */
};

/* msg: one announcement, or a lot of them. false: there may be no room for another message. */
bool gathered_put(struct gathered *g, struct bytes msg);
static inline struct bytes gathered_at(const struct gathered *g, size_t i) { return bytes_of(g->bytes + g->at[i], g->len[i]); }
void gathered_clear(struct gathered *g);                /* the memory is kept */
void gathered_release(struct gathered *g);

#endif
