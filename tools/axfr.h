/* A whole zone from a DNS server (RFC 5936): the socket around builder/xfrin.h. */
#ifndef AZOTH_TOOLS_AXFR_H
#define AZOTH_TOOLS_AXFR_H

#include "builder/xfrin.h"
#include "tools/asker.h"

#define AXFR_RECORDS_MAX ((uint64_t)50000000)

/* NAME:ALGORITHM:SECRET, the secret in base64; it lands in room. ERR_BAD: *fault says what is wrong. */
MUST_USE enum err axfr_key_parse(const char *text, uint8_t *room, size_t cap, struct tsig_key *out, struct fault *fault);
/* key: NULL for an unsigned request. timeout_ms: for the connection, and then from one piece to the next. *out: the zone is
 * xfrin_zone(*out); xfrin_end frees it. ERR_NET: no answer; ERR_REFUSED: not the zone (*fault). ERR_NOMEM. */
MUST_USE enum err axfr_fetch(const struct server *from, struct bytes apex, const struct tsig_key *key, uint64_t timeout_ms,
                             struct xfrin **out, struct fault *fault);

#endif
