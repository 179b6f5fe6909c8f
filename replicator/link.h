/* Links: the only place that knows nanomsg. A link is one socket with one endpoint; replacing an upstream closes a link
 * and opens another. nanomsg's own thread moves the bytes, so a link never blocks.
 *
 *     LINK_PUB, LINK_REP, LINK_PULL    listen      tcp://HOST:PORT (0.0.0.0 and [::]: every address of both families), ipc://PATH
 *     LINK_SUB, LINK_REQ, LINK_PUSH    connect     the same; reconnects by itself for ever
 *
 * LINK_PUB and LINK_SUB are BUS sockets on the wire (link.c says why).
 *
 * Messages over a link's size (link.c) are dropped by the receiver together with their connection. A listening link's peer
 * then connects anew; a connecting link stays without a connection for ever, which only silence tells: open another.
 * A request is sent again when its connection was made anew, by the next link_recv; and sent only then when there was no
 * connection yet (link_is_soon).
 * link_fd is readable while messages wait. nanomsg may miss to say so: drain until ERR_AGAIN and also look on a timer
 * (LINK_LOOK_MS). A process that has opened a link must not fork. */
#ifndef AZOTH_REPLICATOR_LINK_H
#define AZOTH_REPLICATOR_LINK_H

#include "base/err.h"

#define LINK_LOOK_MS 250

enum link_kind { LINK_PUB, LINK_SUB, LINK_REQ, LINK_REP, LINK_PUSH, LINK_PULL };
struct link;

/* ERR_NET: the address is wrong, in use, not ours, or a name that nobody resolves; the fault names it and says why. A
 * connecting link is open before its peer is there. A name is resolved here, once, and the caller waits for it: some seconds
 * when no resolver answers. */
MUST_USE enum err link_open(struct link **out, enum link_kind kind, const char *address, struct fault *fault);
void link_close(struct link *l);                        /* NULL is fine */
int link_fd(const struct link *l);                      /* -1 for LINK_PUB and LINK_PUSH */

/* Copies. A LINK_REQ's new request replaces one that is still waiting for its reply; a LINK_REP answers the request
 * received last. ERR_AGAIN: dropped (nobody there, or the receiver is slow); a LINK_PUSH then keeps nothing either, and what
 * it handed to a connection that ends is lost with it. ERR_NET. */
MUST_USE enum err link_send(struct link *l, struct bytes msg);      /* LINK_PUB: any thread */
/* How many are connected now. Any thread. */
uint64_t link_peers(const struct link *l);
/* A LINK_REQ's request waits for a connection that may be there any moment: link_recv within some 10 ms. */
bool link_is_soon(const struct link *l);
/* ERR_AGAIN: nothing waits. *out is borrowed until the next link_recv or link_close. */
MUST_USE enum err link_recv(struct link *l, struct bytes *out);

#endif
