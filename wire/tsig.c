#include "wire/tsig.h"

#include "wire/rrtype.h"

#define SIGNED_AT_LEN 8

static void read_signed_at(struct tsig *t)
{
    struct rd r = rd_over(t->signed_at);
    t->time_s = rd_be(&r, 6);
    t->fudge_s = rd_u16(&r);
}

MUST_USE enum err tsig_read(struct bytes msg, size_t at, struct tsig *out)
{
    struct rd r = rd_over(msg);
    (void)rd_take(&r, at);
    if (name_unpack(&r, msg, &out->key) != OK)
        return ERR_BAD;
    uint16_t type = rd_u16(&r), class = rd_u16(&r);
    (void)rd_u32(&r);                           /* TTL: says nothing */
    struct rd data = rd_over(rd_take(&r, rd_u16(&r)));
    if (r.bad || type != TYPE_TSIG || class != CLASS_ANY || name_read(&data, &out->algorithm) != OK)
        return ERR_BAD;
    out->signed_at = rd_take(&data, SIGNED_AT_LEN);
    out->mac = rd_take(&data, rd_u16(&data));
    out->original_id = rd_u16(&data);
    out->error = rd_u16(&data);
    out->other = rd_take(&data, rd_u16(&data));
    read_signed_at(out);
    return rd_done(&data) ? OK : ERR_BAD;
}

void tsig_write(struct wr *w, const struct tsig *t)
{
    wr_bytes(w, name_bytes(&t->key));
    wr_u16(w, TYPE_TSIG);
    wr_u16(w, CLASS_ANY);
    wr_u32(w, 0);
    wr_u16(w, (uint16_t)(t->algorithm.len + SIGNED_AT_LEN + 8 + t->mac.len + t->other.len));
    wr_bytes(w, t->algorithm);
    wr_bytes(w, t->signed_at);
    wr_u16(w, (uint16_t)t->mac.len);
    wr_bytes(w, t->mac);
    wr_u16(w, t->original_id);
    wr_u16(w, t->error);
    wr_u16(w, (uint16_t)t->other.len);
    wr_bytes(w, t->other);
}

void tsig_write_unsigned(struct wr *w, const struct tsig *t, uint16_t error)
{
    struct tsig answer = *t;
    answer.mac = answer.other = (struct bytes){ 0 };
    answer.error = error;
    tsig_write(w, &answer);
}
