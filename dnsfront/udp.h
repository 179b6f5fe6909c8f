/* DNS over UDP: queries come in batches, one view of the store answers a batch, replies leave in one call. */
#ifndef AZOTH_DNSFRONT_UDP_H
#define AZOTH_DNSFRONT_UDP_H

#include "dnsfront/worker.h"

#define UDP_BATCH 64
#define UDP_QUERY_MAX 4096          /* longer ones are no queries */
#define UDP_ROUNDS 8                /* batches of one socket before other events get their turn */
#define UDP_MANY 16                 /* in one batch: the socket is looked at until there is nothing, not waited for */

MUST_USE enum err udp_open(struct udp **out, struct worker *w, const struct listen_address *listens, size_t n,
                           struct fault *fault);
/* One batch of each socket, if something has arrived. */
void udp_look(struct udp *u);
/* Answers what has arrived, then listens no more. */
void udp_drain(struct udp *u);
void udp_close(struct udp *u);      /* NULL is fine */

#endif
