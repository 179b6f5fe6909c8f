/* What is remembered of a secondary over restarts, as bytes (FORMAT.md section 10, `secondaries`). */
#include "builder/refresh.h"

void refresh_kept_write(struct wr *w, const struct refresh_kept *k)
{
    wr_u64(w, k->checked_s);
    wr_u64(w, k->transferred_s);
    wr_u64(w, k->next_s);
    wr_u64(w, k->expires_s);
    wr_u32(w, k->serial);
    wr_u8(w, k->expired);
}

MUST_USE enum err refresh_kept_read(struct rd *r, struct refresh_kept *out)
{
    out->checked_s = rd_u64(r);
    out->transferred_s = rd_u64(r);
    out->next_s = rd_u64(r);
    out->expires_s = rd_u64(r);
    out->serial = rd_u32(r);
    uint8_t expired = rd_u8(r);
    if (expired > 1)
        rd_fail(r);
    out->expired = expired == 1;
    return rd_err(r);
}
