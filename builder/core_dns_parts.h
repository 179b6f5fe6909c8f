/* The inside of core.dns: for core_dns.c and core_dns_tcp.c.
 *
 * A connection that waits for nothing is closed CORE_DNS_IDLE_MS after its last whole message or its last bytes taken; with all
 * places in use the one that has been idle the longest gives way. While a client does not take its replies, or has as many
 * updates in flight as it may, it is not read from. */
#ifndef AZOTH_BUILDER_CORE_DNS_PARTS_H
#define AZOTH_BUILDER_CORE_DNS_PARTS_H

#include "base/log.h"
#include "builder/core_desk.h"
#include "builder/core_dns.h"
#include "builder/core_notify.h"
#include "builder/secondary.h"
#include "wire/tcp.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

#define CORE_DNS_CONNS 512                      /* connections in all, and of one address */
#define CORE_DNS_CONNS_CLIENT 64
#define CORE_DNS_CONN_UPDATES 256               /* in flight for one connection */
#define CORE_DNS_PENDING_MAX ((size_t)64 * 1024)        /* bytes that a client may leave untaken */
#define CORE_DNS_AHEAD ((size_t)128 * 1024)             /* of a transfer's bytes, before the client takes some */
#define CORE_DNS_PER_WAKE 64                    /* messages before others have their turn */
#define CORE_DNS_IDLE_MS 30000

struct stream;
struct socket {
    struct core_dns *dns;
    struct listen_address address;
    int udp_fd, tcp_fd;
    struct event *datagrams, *connections;
};
struct core_dns {
    struct core_dns_options o;
    struct event_base *base;
    struct event *bell, *sweep, *wishes, *notifying;
    int bell_fd;
    struct desk *desk;
    struct core_notify *notify;
    struct secondary *secondary;
    struct socket *sockets; size_t sockets_n;
    struct stream *first, *last;                /* connections; the one that is idle the longest first */
    unsigned streams_n;
    stat_count accepted, refused, closed_idle, unsent, proxy_refused;
    struct log_brake brake, proxy_brake;
    atomic_bool stopping, changed;
    bool started;
    pthread_t thread;
    uint8_t in[ANSWER_MAX + 2048];              /* a datagram behind a PROXY header */
    uint8_t out[TCP_PREFIX + ANSWER_MAX];
};

void core_dns_unproxied(struct core_dns *d, struct bytes address);      /* counts, and tells */
void streams_accept(struct socket *s);          /* who waits at s->tcp_fd */
void streams_sweep(struct core_dns *d, uint64_t now_ms);
void streams_late(struct core_dns *d, uint64_t now_ms);         /* transfers that take too long */
void streams_close(struct core_dns *d);
/* A reply for the connection that stands in to->conn. */
void stream_reply(struct core_dns *d, const struct asker *to, struct bytes msg);
/* A transfer for it begins, or has more messages. */
void stream_transfer(struct core_dns *d, const struct asker *to, struct transfer *x);

#endif
