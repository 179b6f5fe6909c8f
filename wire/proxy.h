/* The PROXY protocol's header, version 2 (haproxy's proxy-protocol.txt, section 2.2): a proxy says in front of what it
 * passes on for whom it speaks. Pure.
 *
 *     │ signature (12) │ version, command │ family, transport │ length u16 │ addresses │ TLVs │  what is passed on
 *      0d0a0d0a 000d0a51  2x: LOCAL 0, PROXY 1   1x IPv4: 12 bytes, 2x IPv6: 36    ◄───── length ─────►
 *      5549540a */
#ifndef AZOTH_WIRE_PROXY_H
#define AZOTH_WIRE_PROXY_H

#include "base/err.h"

#define PROXY_HEAD 16               /* up to the length */
#define PROXY_MAX 2048              /* longer ones are refused: addresses take 36 bytes, the rest are TLVs, which we skip */

struct proxy {
    struct bytes source, dest;      /* 4 or 16 bytes each; empty: LOCAL, or a family without addresses that we know */
    uint16_t source_port, dest_port;
    size_t len;                     /* of the whole header */
};

/* The header at the start of `in`; addresses are borrowed from there. On a stream it stands there once, on UDP in front of
 * each datagram. *need (OK and ERR_SHORT): how many bytes `in` must hold to get on, never more than the header itself.
 * ERR_SHORT: not complete yet.   ERR_BAD: this is no such header, or one longer than PROXY_MAX. */
MUST_USE enum err proxy_read(struct bytes in, struct proxy *out, size_t *need);

#endif
