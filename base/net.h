/* Addresses as bytes (4 or 16, network order), and networks of them: who is a proxy, who is never limited.
 *
 *     "192.0.2.0/24", "2001:db8::/32", "192.0.2.7"       an address alone is the network of that one */
#ifndef AZOTH_BASE_NET_H
#define AZOTH_BASE_NET_H

#include "base/err.h"

struct net { uint8_t addr[16], len, bits; };    /* len: 4 or 16 bytes of addr count; bits of them are the network's */

/* ADDRESS[/BITS]. An address inside ::ffff:0:0/96 is its IPv4 address. ERR_BAD: no address, too many bits, or bits set
 * behind the network's, which is a slip more often than a wish. */
MUST_USE enum err net_parse(const char *text, struct net *out);
bool net_has(const struct net *net, struct bytes addr);
/* Is addr in any of them? An empty addr is in none. */
bool nets_have(const struct net *nets, size_t n, struct bytes addr);
/* IPv4 in IPv6's clothes (::ffff:a.b.c.d) as its 4 bytes, anything else as it is. */
struct bytes net_plain(struct bytes addr);
/* "192.0.2.0/24", without "/BITS" when all bits count; cap >= NET_TEXT_MAX. Gives out. */
#define NET_TEXT_MAX 50
const char *net_text(const struct net *net, char *out, size_t cap);

#endif
