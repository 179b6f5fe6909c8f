#include "wire/proxy.h"

static const uint8_t signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };        /* with the version, 2 */
enum { FAMILY_NONE, FAMILY_IPV4, FAMILY_IPV6, FAMILY_UNIX, FAMILIES };
enum { TRANSPORT_NONE, TRANSPORT_STREAM, TRANSPORT_DATAGRAM, TRANSPORTS };

static void addresses_read(struct rd *r, size_t len, struct proxy *p)
{
    p->source = rd_take(r, len);
    p->dest = rd_take(r, len);
    p->source_port = rd_u16(r);
    p->dest_port = rd_u16(r);
}

MUST_USE enum err proxy_read(struct bytes in, struct proxy *out, size_t *need)
{
    struct rd r = rd_over(in);
    size_t start = in.len < sizeof signature ? in.len : sizeof signature;
    if (start > 0 && memcmp(in.ptr, signature, start) != 0)
        return ERR_BAD;
    (void)rd_take(&r, sizeof signature);
    uint8_t command = rd_u8(&r), family = rd_u8(&r);
    size_t len = rd_u16(&r);
    if (r.bad) {
        *need = PROXY_HEAD;
        return ERR_SHORT;
    }
    bool known = family >> 4 < FAMILIES && (family & 15) < TRANSPORTS;
    if ((command != COMMAND_LOCAL && !(command == COMMAND_PROXY && known)) || PROXY_HEAD + len > PROXY_MAX)
        return ERR_BAD;
    *need = PROXY_HEAD + len;
    struct bytes rest = rd_take(&r, len);
    if (r.bad)
        return ERR_SHORT;
    struct proxy p = { .len = PROXY_HEAD + len };
    struct rd a = rd_over(rest);
    if (command == COMMAND_PROXY && family >> 4 == FAMILY_IPV4)
        addresses_read(&a, 4, &p);
    else if (command == COMMAND_PROXY && family >> 4 == FAMILY_IPV6)
        addresses_read(&a, 16, &p);
    if (a.bad)                      /* all of it is there, so it will not get better */
        return ERR_BAD;
    *out = p;
    return OK;
}
