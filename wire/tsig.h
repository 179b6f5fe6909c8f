/* TSIG as a server without keys meets it (RFC 8945): the record is read to be able to say that its key is not known.
 *
 *     │ key name │ 00fa │ 00ff │ TTL │ length │ algorithm │ time (6) │ fudge (2) │ MAC, its length before it │ original id │ error │ other data
 */
#ifndef AZOTH_WIRE_TSIG_H
#define AZOTH_WIRE_TSIG_H

#include "wire/name.h"

#define TSIG_BADKEY 17

struct tsig {
    struct name key;
    struct bytes algorithm;         /* uncompressed; borrowed from the message, as the next */
    struct bytes signed_at;         /* time and fudge, as they stand there */
    uint16_t original_id;
};

/* The TSIG that stands at `at` in msg (struct query: tsig_at). ERR_BAD: its class is not ANY or its data is not as above. */
MUST_USE enum err tsig_read(struct bytes msg, size_t at, struct tsig *out);
/* The record of an answer to a message whose key is not known: BADKEY, no MAC (RFC 8945 sections 5.2.1 and 5.3.2). */
void tsig_write_badkey(struct wr *w, const struct tsig *t);

#endif
