/* NOTIFY (RFC 1996), both ways, as bytes. */
#ifndef AZOTH_BUILDER_NOTIFY_H
#define AZOTH_BUILDER_NOTIFY_H

#include "base/err.h"
#include "wire/name.h"

struct notify { uint16_t id; struct name apex; bool has_serial; uint32_t serial; };
/* A request that is a NOTIFY of type SOA, class IN; the SOA in its answer section is a hint. ERR_BAD: FORMERR. ERR_NOTFOUND: it is none. */
MUST_USE enum err notify_read(struct bytes msg, struct notify *out);
/* The answer: the opcode and question of msg, AA, this rcode, no records. 0: no room. */
size_t notify_answer(struct bytes msg, uint16_t rcode, uint8_t *out, size_t cap);
/* A NOTIFY of ours. soa: RDATA; empty: none. 0: no room. */
size_t notify_write(uint16_t id, struct bytes apex, struct bytes soa, uint32_t ttl, uint8_t *out, size_t cap);
/* Is msg the answer to ours with this id? *rcode. */
bool notify_answered(struct bytes msg, uint16_t id, struct bytes apex, uint16_t *rcode);

#endif
