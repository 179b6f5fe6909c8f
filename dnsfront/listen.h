/* Listening sockets of azoth-dns: one UDP and one TCP socket per address and worker, all of an address sharing its port
 * (SO_REUSEPORT), so that the kernel spreads the clients over the workers. azoth-core has one of each for core.dns. */
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
/* "ADDRESS@PORT", a literal address; key: of the configuration, for the fault. ERR_CONFIG. */
MUST_USE enum err listen_parse(const char *key, const char *text, struct listen_address *out, struct fault *fault);
/* Is the address free for TCP, and UDP too unless for a stream only? Sharing a port would hide a second server from its
 * operator, so this asks without sharing. Port 0 becomes a free one, kept in *a. ERR_NET: in use, no such address, no
 * rights. */
enum listen_for { LISTEN_BOTH, LISTEN_STREAM };
MUST_USE enum err listen_probe(struct listen_address *a, enum listen_for what, struct fault *fault);
/* Is it none of the others? All of them probed. Sockets share ports, so the kernel would give each of two a part of the
 * clients, plain and TLS alike. ERR_CONFIG. */
MUST_USE enum err listen_once(const char *key, const struct listen_address *a, const struct listen_address *others, size_t n,
                              struct fault *fault);
/* A bound, non-blocking socket; type SOCK_DGRAM, or SOCK_STREAM which listens. Owned by caller. ERR_NET. */
MUST_USE enum err listen_socket(const struct listen_address *a, int type, int *out_fd, struct fault *fault);
/* Room for what the kernel says with a datagram: one in_pktinfo or in6_pktinfo. */
union listen_control { size_t align; uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))]; };
/* m: as recvmsg filled it in, its control included: made the head of a reply, which leaves from the address that the query
 * came to. */
void listen_reply_from(struct msghdr *m);
/* "127.0.0.1@53" */
const char *listen_text(const struct listen_address *a, char *out, size_t cap);

#endif
