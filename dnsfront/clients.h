/* How many stream connections there are, in all and of each client: one count for all workers, since the kernel spreads
 * one client's connections over them. A client is an IPv4 address or an IPv6 /64. Any thread; never on the way of an
 * answer, only where connections come and go. */
#ifndef AZOTH_DNSFRONT_CLIENTS_H
#define AZOTH_DNSFRONT_CLIENTS_H

#include "dnsfront/peer.h"

struct clients;
/* per_client 0: no limit of that kind. key: random, so that nobody can make addresses that collide. */
MUST_USE enum err clients_open(struct clients **out, unsigned most, unsigned per_client, const uint8_t key[16]);
void clients_close(struct clients *c);              /* NULL is fine */

/* A place for one more connection; false: all are taken. */
bool clients_enter(struct clients *c);
void clients_leave(struct clients *c);
/* One more of that client; false: it has as many as it may. One that is not known is not counted. */
bool clients_take(struct clients *c, const struct peer *p);
void clients_give(struct clients *c, const struct peer *p);

#endif
