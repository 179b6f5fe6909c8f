#include "wire/tsig.h"

#include "wire/rrtype.h"

#define SIGNED_AT_LEN 8

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
    (void)rd_take(&data, rd_u16(&data));        /* MAC */
    out->original_id = rd_u16(&data);
    (void)rd_u16(&data);                        /* error */
    (void)rd_take(&data, rd_u16(&data));        /* other data */
    return rd_done(&data) ? OK : ERR_BAD;
}

void tsig_write_badkey(struct wr *w, const struct tsig *t)
{
    wr_bytes(w, name_bytes(&t->key));
    wr_u16(w, TYPE_TSIG);
    wr_u16(w, CLASS_ANY);
    wr_u32(w, 0);
    wr_u16(w, (uint16_t)(t->algorithm.len + SIGNED_AT_LEN + 8));
    wr_bytes(w, t->algorithm);
    wr_bytes(w, t->signed_at);
    wr_u16(w, 0);                               /* no MAC */
    wr_u16(w, t->original_id);
    wr_u16(w, TSIG_BADKEY);
    wr_u16(w, 0);                               /* no other data */
}
