/* Listening sockets of azoth-dns: one UDP and one TCP socket per address and worker, all of an address sharing its port
 * (SO_REUSEPORT), so that the kernel spreads the clients over the workers. */
#ifndef AZOTH_DNSFRONT_LISTEN_H
#define AZOTH_DNSFRONT_LISTEN_H

#include "base/err.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct listen_address {
    union { struct sockaddr sa; struct sockaddr_in v4; struct sockaddr_in6 v6; } addr;
    socklen_t len;
    bool wildcard;              /* any local address: replies must name theirs */
};
/* "ADDRESS@PORT", a literal address. ERR_CONFIG. */
MUST_USE enum err listen_parse(const char *text, struct listen_address *out, struct fault *fault);
/* Is the address free for UDP and TCP? Sharing a port would hide a second server from its operator, so this asks without
 * sharing. Port 0 becomes a free one, kept in *a. ERR_NET: in use, no such address, no rights. */
MUST_USE enum err listen_probe(struct listen_address *a, struct fault *fault);
/* A bound, non-blocking socket; type SOCK_DGRAM, or SOCK_STREAM which listens. Owned by caller. ERR_NET. */
MUST_USE enum err listen_socket(const struct listen_address *a, int type, int *out_fd, struct fault *fault);
/* "127.0.0.1@53" */
const char *listen_text(const struct listen_address *a, char *out, size_t cap);

#endif
