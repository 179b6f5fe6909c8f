/* DNS over TCP (RFC 7766) and TLS (RFC 7858): several queries per connection, answered in order as they come.
 *
 *     bytes in ─► whole messages ─► answers behind their lengths ─► bytes out
 *
 * A client that does not read its answers is not read from while more than TCP_PENDING_MAX wait for it. One that ends its
 * side gets the answers to what it sent. Broken framing closes. What closes besides:
 *
 *     tcp.idle without a whole message                     TCP_WHOLE_MS for a message that has begun, if that is less
 *     TCP_OPENING_MS for PROXY header and TLS handshake    tcp.idle without TCP_TAKE_MIN bytes taken of what waits
 *
 * With all of tcp.connections in use somebody gives way: who sends in dribs, does not finish opening or does not read, else
 * the longest idle one. With more than TCP_HELD_MAX in buffers those give way that have been slow the longest. Work is done in slices,
 * and UDP is looked at between two (worker_slice). */
#ifndef AZOTH_DNSFRONT_TCP_H
#define AZOTH_DNSFRONT_TCP_H

#include "dnsfront/worker.h"

#define TCP_PENDING_MAX ((size_t)64 * 1024)
#define TCP_HELD_MAX ((size_t)16 * 1024 * 1024)         /* of all connections of a worker; of memory it is up to twice that */
#define TCP_OPENING_MS 5000
#define TCP_WHOLE_MS 5000
#define TCP_TAKE_MIN ((size_t)16 * 1024)

/* Listens on `listens`, and for TLS on those of w->shared. */
MUST_USE enum err tcp_open(struct tcp **out, struct worker *w, const struct listen_address *listens, size_t n,
                           struct fault *fault);
/* Accepts no more, answers what has come; how many connections still have bytes to take. */
unsigned tcp_drain(struct tcp *t);
void tcp_close(struct tcp *t);      /* NULL is fine */

#endif
