#include "replicator/held.h"

#include <stdlib.h>

#define ROOM_LEAST ((size_t)64 * 1024)

static bool room(struct held_half *h, size_t n)
{
    size_t cap = h->cap == 0 ? ROOM_LEAST : h->cap;
    if (n > HELD_BYTES || h->used > HELD_BYTES - n || h->n == HELD_RECORDS)
        return false;
    while (cap < h->used + n)
        cap *= 2;
    if (cap == h->cap)
        return true;
    uint8_t *more = realloc(h->bytes, cap);
    if (more == NULL)
        return false;
    h->bytes = more;
    h->cap = cap;
    return true;
}

bool held_put(struct held *h, struct bytes record, const struct position *from, const struct position *end)
{
    struct held_half *half = &h->half[h->gathering];
    if (!room(half, record.len))
        return false;
    if (half->n == 0)
        h->from = *from;
    memcpy(half->bytes + half->used, record.ptr, record.len);
    half->at[half->n] = half->used;
    half->len[half->n++] = record.len;
    half->used += record.len;
    h->end = *end;
    return true;
}

size_t held_take(struct held *h, const struct position *log, struct bytes *out)
{
    struct held_half *half = &h->half[h->gathering];
    bool joins = h->from.epoch == log->epoch && h->from.seq == log->seq && memcmp(h->from.chain, log->chain, CHAIN_LEN) == 0;
    size_t n = joins ? half->n : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = bytes_of(half->bytes + half->at[i], half->len[i]);
    if (n > 0) {
        h->gathering ^= 1;
        half = &h->half[h->gathering];
    }
    half->n = half->used = 0;
    return n;
}

void held_release(struct held *h)
{
    free(h->half[0].bytes);
    free(h->half[1].bytes);
    *h = (struct held){ .gathering = 0 };
}
