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

static void put_one(struct gathered *g, struct bytes announcement)
{
    if (!room(g, announcement.len))
        return;
    if (announcement.len > 0)
        memcpy(g->bytes + g->used, announcement.ptr, announcement.len);
    g->at[g->n] = g->used;
    g->len[g->n] = announcement.len;
    g->proof[g->n++] = PROOF_OWN;
    g->used += announcement.len;
}

bool gathered_put(struct gathered *g, struct bytes msg)
{
    struct lot_list l;
    struct bytes one;
    if (!lot_read(msg, &l))
        put_one(g, msg);                /* announce_read tells what is wrong with it, if something is */
    else
        while (lot_next(&l, &one))
            put_one(g, one);
    return GATHERED_MAX - g->n >= LOT_MOST && GATHERED_BYTES - g->used >= ANNOUNCE_MAX;
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
