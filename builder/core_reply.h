/* Replies on core.dns that answer no question: header, question, OPT, TSIG. Pure but for the clock that a TSIG asks for. */
#ifndef AZOTH_BUILDER_CORE_REPLY_H
#define AZOTH_BUILDER_CORE_REPLY_H

#include "builder/seal.h"
#include "builder/update.h"

#define SHORT_MAX 1024                 /* bytes: header, question, OPT, and a TSIG of two names and a MAC */

struct short_reply { uint16_t id, flags, rcode; struct bytes question; bool has_edns; };
/* Its length; 0: it cannot be signed. out: room for SHORT_MAX. */
size_t short_reply_put(const struct short_reply *r, struct seal *seal, uint8_t *out);
size_t update_reply_put(const struct update *u, uint16_t rcode, struct seal *seal, uint8_t *out);

#endif
