#include "replicator/gathered.h"

#include <stdlib.h>

#define ROOM_LEAST ((size_t)16 * 1024)

static bool room(struct gathered *g, size_t n)
{
    size_t cap = g->cap == 0 ? ROOM_LEAST : g->cap;
    if (n > GATHERED_BYTES - g->used || g->n == GATHERED_MAX)
        return false;
    while (cap < g->used + n)
        cap *= 2;
    if (cap == g->cap)
        return true;
    uint8_t *more = realloc(g->bytes, cap);
    if (more == NULL)
        return false;
    g->bytes = more;
    g->cap = cap;
    return true;
}

bool gathered_put(struct gathered *g, struct bytes msg)
{
    if (room(g, msg.len)) {
        if (msg.len > 0)
            memcpy(g->bytes + g->used, msg.ptr, msg.len);
        g->at[g->n] = g->used;
        g->len[g->n] = msg.len;
        g->proof[g->n++] = PROOF_OWN;
        g->used += msg.len;
    }
    return g->n < GATHERED_MAX && GATHERED_BYTES - g->used >= ANNOUNCE_MAX;
}

void gathered_clear(struct gathered *g)
{
    g->n = g->heard = g->used = 0;
    g->newest.seq = 0;
}

void gathered_release(struct gathered *g)
{
    free(g->bytes);
    *g = (struct gathered){ .n = 0 };
}
