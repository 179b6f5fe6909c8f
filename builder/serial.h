/* The serial of a zone's SOA (RFC 1035 section 3.3.13) and how it moves (RFC 1982 arithmetic). */
#ifndef AZOTH_BUILDER_SERIAL_H
#define AZOTH_BUILDER_SERIAL_H

#include "base/err.h"
#include "base/bytes.h"

enum serial_policy {
    SERIAL_INCREMENT,           /* one more; 0 is left out */
    SERIAL_UNIXTIME,            /* the time, or one more when that is not later */
    SERIAL_DATE,                /* YYYYMMDDnn in UTC, or one more when that is not later */
    SERIAL_KEEP,                /* as the change says: for those who count elsewhere; UPDATE counts on (RFC 2136 section 3.6) */
};
extern const char *const serial_policy_names[4];        /* increment, unixtime, date, keep */

/* Does serial a come behind b? (RFC 1982: false for equal ones and for those exactly 2^31 apart.) */
bool serial_later(uint32_t a, uint32_t b);
/* The serial behind `now` at that time; always later than now but for SERIAL_KEEP. */
uint32_t serial_next(enum serial_policy policy, uint32_t now, uint64_t unix_s);
/* The serial in the RDATA of a SOA (uncompressed names). ERR_BAD. And put there in place. */
MUST_USE enum err soa_serial(struct bytes rdata, uint32_t *out);
MUST_USE enum err soa_serial_put(uint8_t *rdata, size_t len, uint32_t serial);

#endif
