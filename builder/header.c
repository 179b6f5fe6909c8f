/* What stands in a zone's header. */
#include "builder/zone.h"

#include "builder/build.h"

#define SERIAL_END 20u          /* bytes of a SOA's RDATA from its serial on */

MUST_USE enum err zone_header_get(struct bytes apex, struct view *v, struct zone_header *out)
{
    uint8_t key[RRKEY_MAX];
    struct bytes value;
    struct wr w = wr_over(key, sizeof key);
    enum err err = rrkey_write(apex, RRSLOT_ZONE, &w);
    if (err == OK)
        err = view_get(v, dns_namespace, wr_done(&w), &value);
    return err != OK ? err : zone_header_read(value, out);
}

MUST_USE enum err zone_header_serial(const struct zone_header *h, uint32_t *out)
{
    if (!h->has_soa)
        return ERR_NOTFOUND;
    if (h->soa.wire.len < SERIAL_END)
        return ERR_BAD;
    struct rd r = rd_over(bytes_of(h->soa.wire.ptr + h->soa.wire.len - SERIAL_END, 4));    /* of the last RR, and there is one */
    *out = rd_u32(&r);
    return OK;
}
