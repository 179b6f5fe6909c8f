#include "store/kvvalue.h"

#include "base/msg.h"

void kvvalue_write(struct wr *w, const struct kvvalue *v)
{
    msg_put_array(w, 2);
    msg_put_uint(w, v->seq);
    msg_put_bin(w, v->bytes);
}

MUST_USE enum err kvvalue_read(struct bytes value, struct kvvalue *out)
{
    struct rd r = rd_over(value);
    struct kvvalue v = { 0 };
    uint32_t n = msg_array(&r);
    if (!r.bad && n < 2)
        rd_fail(&r);
    v.seq = msg_uint(&r);
    v.bytes = msg_bin(&r);
    msg_skip_rest(&r, n, 2);
    if (!r.bad && r.p != r.end)
        rd_fail(&r);
    enum err err = rd_err(&r);
    if (err == OK)
        *out = v;
    return err;
}
