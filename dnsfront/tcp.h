/* DNS over TCP (RFC 7766): several queries per connection, answered in order as they come.
 *
 *     bytes in ─► whole messages ─► answers behind their lengths ─► bytes out
 *
 * A client that does not read its answers is not read from while more than TCP_PENDING_MAX wait for it. A client that
 * ends its side gets the answers to what it sent. Broken framing closes. A connection is closed after tcp.idle without
 * a whole message, and the longest idle one gives way when all of tcp.connections are in use. */
#ifndef AZOTH_DNSFRONT_TCP_H
#define AZOTH_DNSFRONT_TCP_H

#include "dnsfront/worker.h"

#define TCP_PENDING_MAX ((size_t)256 * 1024)

MUST_USE enum err tcp_open(struct tcp **out, struct worker *w, const struct listen_address *listens, size_t n,
                           struct fault *fault);
/* Accepts no more, answers what has come; how many connections still have bytes to take. */
unsigned tcp_drain(struct tcp *t);
void tcp_close(struct tcp *t);      /* NULL is fine */

#endif
