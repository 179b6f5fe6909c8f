/* RDATA of one record: words of a zone file to wire form, and wire form checked. */
#ifndef AZOTH_BUILDER_RDATA_H
#define AZOTH_BUILDER_RDATA_H

#include "builder/scan.h"
#include "wire/name.h"
#include "wire/rrtype.h"

#define RDATA_MAX 65535u

enum {                                          /* types that only the reading of RDATA knows by name */
    TYPE_X25 = 19, TYPE_NSAP = 22, TYPE_NSAP_PTR = 23, TYPE_LOC = 29, TYPE_APL = 42, TYPE_IPSECKEY = 45, TYPE_NINFO = 56,
    TYPE_CSYNC = 62, TYPE_SPF = 99, TYPE_URI = 256, TYPE_CAA = 257, TYPE_AVC = 258, TYPE_AMTRELAY = 260, TYPE_RESINFO = 261,
    TYPE_WALLET = 262,
};

/* Reads the rest of the entry under s as RDATA of this type; names relative to origin. Appends to out.
 * ERR_BAD: *why says what is wrong; the rest of the entry may be unread (scan_skip). */
MUST_USE enum err rdata_scan(struct scan *s, uint16_t type, struct bytes origin, struct wr *out, struct fault *why);
/* The same by ldns, for the types without a path of our own: first is the first word (SCAN_END: there is none). */
MUST_USE enum err rdata_scan_ldns(struct scan *s, enum scan_got got, const struct token *first, uint16_t type,
                                  struct bytes origin, struct wr *out, struct fault *why);
/* LOC from its words. NULL, or what is wrong. */
const char *loc_read(const struct token *words, unsigned n, struct wr *out);
/* RDATA as it stands in a message, appended to out with its names uncompressed: in the types of RFC 1035 they may be compressed,
 * in some others old senders do (RFC 3597 section 4). rdata: borrowed from msg. ERR_BAD: not RDATA of this type, or longer than
 * RDATA_MAX. A buffer of RDATA_UNPACKED_MAX bytes always does. */
#define RDATA_UNPACKED_MAX (RDATA_MAX + 2 * NAME_MAX_LEN)
MUST_USE enum err rdata_unpack(uint16_t type, struct bytes rdata, struct bytes msg, struct wr *out);
/* What can be said about RDATA in wire form without ldns; UNSURE: ask ldns too. */
enum rdata_verdict { RDATA_UNSURE, RDATA_RIGHT, RDATA_WRONG };
enum rdata_verdict rdata_wire(uint16_t type, struct bytes rdata);
/* Whether these bytes are RDATA of this type. Unknown types: always. ERR_BAD. */
MUST_USE enum err rdata_check(uint16_t type, struct bytes rdata, struct fault *why);
/* Equal RDATA in the sense of RFC 4034 section 6.2: names ignoring case. */
bool rdata_same(uint16_t type, struct bytes a, struct bytes b);
/* Appended to out with its names in lower case: the same bytes for all that is equal in that sense. RDATA that rdata_check let pass. */
void rdata_lower(uint16_t type, struct bytes rdata, struct wr *out);

#endif
