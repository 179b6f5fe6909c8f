#include "replicator/lot.h"

#include "base/msg.h"

bool lot_put(struct lot *l, struct bytes announcement)
{
    if (l->n == 0)
        l->used = LOT_FRONT;
    if (l->n == LOT_MOST)
        return false;
    struct wr w = wr_over(l->bytes + l->used, sizeof l->bytes - l->used);
    msg_put_bin(&w, announcement);
    if (w.full)
        return false;
    l->used += w.len;
    l->n++;
    return true;
}

struct bytes lot_done(struct lot *l)
{
    uint8_t front[LOT_FRONT];
    struct wr w = wr_over(front, sizeof front);
    struct bytes all = bytes_of(l->bytes + LOT_FRONT, l->n > 0 ? l->used - LOT_FRONT : 0);
    size_t n = l->n;
    l->n = 0;
    if (n == 0)
        return (struct bytes){ 0 };
    if (n == 1) {
        struct rd r = rd_over(all);
        return msg_bin(&r);
    }
    msg_put_array(&w, 2);
    msg_put_uint(&w, MESSAGE_LOT);
    msg_put_array(&w, (uint32_t)n);
    uint8_t *at = l->bytes + LOT_FRONT - w.len;
    memcpy(at, front, w.len);
    return bytes_of(at, w.len + all.len);
}

bool lot_read(struct bytes msg, struct lot_list *out)
{
    struct rd r = rd_over(msg);
    uint32_t elements = msg_array(&r);
    if (msg_uint(&r) != MESSAGE_LOT || r.bad || elements < 2)
        return false;
    uint32_t n = msg_array(&r);
    *out = (struct lot_list){ .left = n, .rest = r };
    if (r.bad || n == 0 || n > LOT_MOST)
        return false;
    for (uint32_t i = 0; i < n && !r.bad; i++) {
        if (msg_bin(&r).len == 0)
            rd_fail(&r);
    }
    msg_skip_rest(&r, elements, 2);
    return rd_done(&r);
}

bool lot_next(struct lot_list *l, struct bytes *announcement)
{
    if (l->left == 0)
        return false;
    l->left--;
    *announcement = msg_bin(&l->rest);
    return true;
}
