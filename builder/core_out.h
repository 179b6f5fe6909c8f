/* AXFR and IXFR as core.dns takes them: who may, and how the messages of a transfer find their way to the client.
 *
 *     core_desk.c ─► out_begin ─► transfers.h ─► bell ─► out_ready ─┬─► o->transfer: its connection takes the messages (core_dns_tcp.c)
 *                                                                  └─► o->reply: the one datagram */
#ifndef AZOTH_BUILDER_CORE_OUT_H
#define AZOTH_BUILDER_CORE_OUT_H

#include "builder/core_desk.h"
#include "builder/seal.h"
#include "builder/transfers.h"
#include "wire/query.h"

struct out_desk {
    struct policies *policies;
    struct transfers *transfers;
    const struct desk_options *o;
    stat_count refused;
};
/* Is the question one of ours? */
bool out_is(const struct query *q, const struct asker *from);
/* Begins the transfer that the message asks for. v: NULL, or begun. The seal's chain goes over to it. Gives the rcode of the refusal,
 * *why in words; NOERROR: it is under way, and everything is sent without the caller. */
MUST_USE uint16_t out_begin(struct out_desk *d, struct view *v, struct bytes msg, const struct query *q, const struct asker *from,
                            struct seal *seal, const char **why);
/* Behind the bell. buf: ANSWER_MAX. */
void out_ready(struct out_desk *d, uint8_t *buf);

#endif
