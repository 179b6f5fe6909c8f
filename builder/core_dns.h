/* core.dns: azoth-core's own DNS sockets, UDP and TCP, for UPDATE and the questions around it. A thread of its own, so that
 * neither the API nor the publisher waits for DNS clients, nor they for them. What is said: core_desk.h.
 *
 *     core_dns.c       thread, listeners, datagrams          core_dns_tcp.c   connections */
#ifndef AZOTH_BUILDER_CORE_DNS_H
#define AZOTH_BUILDER_CORE_DNS_H

#include "base/net.h"
#include "builder/change.h"
#include "builder/core_desk.h"
#include "builder/secondary.h"
#include "builder/wishes.h"

struct core_dns_options {
    const char *const *listen; size_t listens;          /* ADDRESS@PORT */
    const struct net *proxies; size_t proxies_n;        /* whose PROXY header is believed */
    struct desk_limit limit;                            /* of answers over UDP */
    struct store *store;
    struct source *source;
    struct wishes *wishes;                              /* NULL: none come */
    struct catalogs *catalogs;                          /* told of zones that were transferred */
    struct changer *changer;
    struct queue *queue;
    struct board *board;                                /* secondary_board.h */
    struct refresh_limits refresh;                      /* of the zones that are taken from primaries */
    struct secondary_limits transfers;
};
struct core_dns;
/* Everything in o is borrowed until core_dns_close. ERR_CONFIG, ERR_NET: a socket cannot be opened. */
MUST_USE enum err core_dns_open(struct core_dns **out, const struct core_dns_options *o, struct fault *fault);
/* Ends the thread: nothing more is put into the changer. Before changer_close; NULL is fine. */
void core_dns_stop(struct core_dns *d);
/* Behind changer_close, when all changes were told: their replies are sent. NULL is fine. */
void core_dns_close(struct core_dns *d);
/* Any thread: something was committed that secondaries may be notified of. */
void core_dns_changed(struct core_dns *d);
void core_dns_metrics(const struct core_dns *d, struct stat_page *p);

#endif
