/* Whose message is this? An address as cookies, rate limits and counts of connections take it. */
#ifndef AZOTH_DNSFRONT_PEER_H
#define AZOTH_DNSFRONT_PEER_H

#include "base/net.h"

#include <netinet/in.h>

struct peer { uint8_t addr[16], len; };     /* 4 or 16 bytes, IPv4 never in IPv6's clothes; 0: not known */

static inline struct peer peer_of_bytes(struct bytes addr)
{
    struct peer p = { .len = 0 };
    addr = net_plain(addr);
    if (addr.len == 4 || addr.len == 16) {
        memcpy(p.addr, addr.ptr, addr.len);
        p.len = (uint8_t)addr.len;
    }
    return p;
}
/* sa: what recvmsg or accept filled in. */
static inline struct peer peer_of(const void *sa)
{
    const struct sockaddr_in *v4 = sa;
    const struct sockaddr_in6 *v6 = sa;
    if (v4->sin_family == AF_INET)
        return peer_of_bytes(bytes_of(&v4->sin_addr, 4));
    return v6->sin6_family == AF_INET6 ? peer_of_bytes(bytes_of(&v6->sin6_addr, 16)) : (struct peer){ .len = 0 };
}
static inline struct bytes peer_bytes(const struct peer *p) { return bytes_of(p->addr, p->len); }

#endif
