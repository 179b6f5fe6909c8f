/* What azoth-core says to DNS messages on core.dns: the middle between its transports (core_dns.h) and those who know.
 *
 *     transport ─► desk_take ─┬─► QUERY ............ dnsfront's answer(), signed when the question was
 *         ▲                   ├─► NOTIFY ........... secondary.h
 *         │                   ├─► UPDATE ........... update.h ─► changer ─► [writing thread] ─► desk_done ─► o->reply
 *         │                   └─► all others ....... NOTIMP, by answer(); AXFR and IXFR are refused there
 *         └── o->reply ◄──────────────────────────────────────────────────────────────────────────────────┘
 *
 * One thread's, but for what changes call when they are told. A message that came over UDP while the same one from the same
 * client waits for its change is that client's second try: it gets the one reply. */
#ifndef AZOTH_BUILDER_CORE_DESK_H
#define AZOTH_BUILDER_CORE_DESK_H

#include "base/stat.h"
#include "builder/change.h"
#include "builder/secondary.h"
#include "dnsfront/answer.h"
#include "dnsfront/listen.h"
#include "dnsfront/peer.h"

#define DESK_UPDATES_MAX 2048                   /* in flight; more get SERVFAIL */
#define DESK_BYTES_MAX ((size_t)64 << 20)       /* of their memory */

/* Where a message came from and its reply goes to. */
struct asker {
    struct peer client;                 /* whose message it is; a proxy's client */
    uint16_t port;
    void *conn;                         /* of the transport; NULL: UDP, and then what follows counts */
    int fd;
    struct sockaddr_in6 addr; socklen_t addr_len;
    union listen_control control; socklen_t control_len; int flags;
};

/* Equal answers a second over UDP to one network (dnsfront/rrl.h); rate 0: no limit. */
struct desk_limit { uint32_t rate, slip; const struct net *allow; size_t allow_n; };

struct desk;
struct transfer;
struct desk_options {
    struct store *store;
    struct source *source;
    struct changer *changer;
    struct secondary *secondary;        /* hears of NOTIFY; the same thread's */
    struct desk_limit limit;
    int bell_fd;                        /* an eventfd: rings when there is something for desk_done */
    /* In desk_done; where the change of a datagram went well in the thread that told it, or everybody would wait for ours to wake. */
    void (*reply)(void *arg, const struct asker *to, struct bytes msg);
    /* x is for this connection, and has messages to be taken (transfers.h) and ended: in desk_take for the first time, in desk_done
     * when there are more. */
    void (*transfer)(void *arg, const struct asker *to, struct transfer *x);
    void *arg;
};
MUST_USE enum err desk_open(struct desk **out, const struct desk_options *o, struct fault *fault);
/* Behind the changer's last word: nothing is in flight any more. NULL is fine. */
void desk_close(struct desk *k);

/* Messages are taken between these two, some at a time. desk_begin puts away what was told and has its reply. */
void desk_begin(struct desk *k);
void desk_end(struct desk *k);
/* The reply's length; 0: none now. *taken: one comes later, through o->reply. out: room for ANSWER_MAX. */
size_t desk_take(struct desk *k, struct bytes msg, const struct asker *from, uint8_t *out, bool *taken);
/* Replies to all changes that were told; transfers that have more. */
void desk_done(struct desk *k);
/* The connection is gone: what is in flight for it gets no reply. */
void desk_forget(struct desk *k, const void *conn);
unsigned desk_in_flight(const struct desk *k);
void desk_metrics(const struct desk *k, struct stat_page *p);

#endif
