/* Numbers of types, classes, opcodes and rcodes (IANA), and which RDATA holds domain names where. */
#ifndef AZOTH_WIRE_RRTYPE_H
#define AZOTH_WIRE_RRTYPE_H

#include "base/err.h"

enum {
    TYPE_A = 1, TYPE_NS = 2, TYPE_MD = 3, TYPE_MF = 4, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_MB = 7, TYPE_MG = 8, TYPE_MR = 9,
    TYPE_PTR = 12, TYPE_MINFO = 14, TYPE_MX = 15, TYPE_TXT = 16, TYPE_AAAA = 28, TYPE_SRV = 33, TYPE_NAPTR = 35,
    TYPE_DNAME = 39, TYPE_OPT = 41, TYPE_DS = 43, TYPE_RRSIG = 46, TYPE_NSEC = 47, TYPE_DNSKEY = 48, TYPE_NSEC3 = 50,
    TYPE_NSEC3PARAM = 51, TYPE_SVCB = 64, TYPE_HTTPS = 65, TYPE_NXNAME = 128, TYPE_TKEY = 249, TYPE_TSIG = 250, TYPE_IXFR = 251,
    TYPE_AXFR = 252, TYPE_MAILB = 253, TYPE_MAILA = 254, TYPE_ANY = 255,
    CLASS_IN = 1, CLASS_CH = 3, CLASS_NONE = 254, CLASS_ANY = 255,
    OPCODE_QUERY = 0, OPCODE_NOTIFY = 4, OPCODE_UPDATE = 5,
    RCODE_NOERROR = 0, RCODE_FORMERR = 1, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, RCODE_NOTIMP = 4, RCODE_REFUSED = 5,
    RCODE_YXDOMAIN = 6, RCODE_YXRRSET = 7, RCODE_NXRRSET = 8, RCODE_NOTAUTH = 9, RCODE_NOTZONE = 10, RCODE_BADVERS = 16, RCODE_BADCOOKIE = 23,
};

/* Types of RFC 1035 whose RDATA names may be compressed: `skip` bytes, then `names` names, then the rest.
 * false: no such type; its RDATA is never compressed (RFC 3597 section 4). */
bool rrtype_compresses(uint16_t type, unsigned *skip, unsigned *names);
/* All types with names in their RDATA whose case does not count (RFC 4034 section 6.2, RFC 6840 section 5.1): `skip` bytes,
 * `strings` character strings, `names` names, then the rest. false: no such type. */
struct rdata_shape { uint8_t skip, strings, names; };
bool rrtype_shape(uint16_t type, struct rdata_shape *out);
/* Types that may stand beside a CNAME (RFC 4034 sections 3, 4; RFC 2535 section 2.3.5), so that it stands in for none of them. */
static inline bool rrtype_beside_cname(uint16_t type)
{
    enum { SIG = 24, KEY = 25, NXT = 30 };
    return type == TYPE_RRSIG || type == TYPE_NSEC || type == SIG || type == KEY || type == NXT;
}
/* Types that no zone may hold (RFC 6895 section 3.1: 0, 41, 128..255). */
static inline bool rrtype_is_meta(uint16_t type) { return type == 0 || type == TYPE_OPT || (type >= 128 && type <= 255); }

#endif
