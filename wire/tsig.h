/* TSIG, the record that signs a whole message with a shared secret (RFC 8945): its format. Keys and MACs: tsig_sign.h.
 *
 *     │ key name │ 00fa │ 00ff │ TTL │ length │ algorithm │ time (6) │ fudge (2) │ MAC, its length before it │ original id │ error │ other data
 */
#ifndef AZOTH_WIRE_TSIG_H
#define AZOTH_WIRE_TSIG_H

#include "wire/name.h"

enum { TSIG_BADSIG = 16, TSIG_BADKEY = 17, TSIG_BADTIME = 18, TSIG_BADTRUNC = 22 };     /* in the record's own error field */
#define TSIG_FUDGE_S 300                /* what signers say that clocks may differ by (RFC 8945 section 10) */

struct tsig {
    struct name key;
    struct bytes algorithm;         /* uncompressed; borrowed from the message, as are all that follow */
    struct bytes signed_at;         /* time and fudge, as they stand there */
    uint64_t time_s;                /* Unix time, 48 bits */
    uint16_t fudge_s;
    struct bytes mac;
    uint16_t original_id, error;
    struct bytes other;
};

/* The TSIG that stands at `at` in msg (struct query: tsig_at). ERR_BAD: its class is not ANY or its data is not as above. */
MUST_USE enum err tsig_read(struct bytes msg, size_t at, struct tsig *out);
/* The record; key, algorithm, signed_at, mac, original_id, error and other count. The caller bumps ARCOUNT. */
void tsig_write(struct wr *w, const struct tsig *t);
/* The record of an answer to a message that did not verify (RFC 8945 sections 5.2.1, 5.2.2 and 5.3.2): no MAC. */
void tsig_write_unsigned(struct wr *w, const struct tsig *t, uint16_t error);

#endif
