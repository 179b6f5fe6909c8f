/* Links: the only place that knows nanomsg. A link is one socket with one endpoint; replacing an upstream closes a link
 * and opens another. nanomsg's own thread moves the bytes, so a link never blocks.
 *
 *     LINK_PUB, LINK_REP   listen      tcp://HOST:PORT (0.0.0.0 and [::]: every address of both families), ipc://PATH
 *     LINK_SUB, LINK_REQ   connect     the same; reconnects by itself for ever
 *
 * Messages over a link's size (link.c) are dropped by the receiver together with their connection, which is made anew.
 * A request is sent again when its connection was made anew, by the next link_recv; and sent only then when there was no
 * connection yet (link_is_soon).
 * link_fd is readable while messages wait. nanomsg may miss to say so: drain until ERR_AGAIN and also look on a timer
 * (LINK_LOOK_MS). A process that has opened a link must not fork. */
#ifndef AZOTH_REPLICATOR_LINK_H
#define AZOTH_REPLICATOR_LINK_H

#include "base/err.h"

#define LINK_LOOK_MS 250

enum link_kind { LINK_PUB, LINK_SUB, LINK_REQ, LINK_REP };
struct link;

/* ERR_NET: the address is wrong, in use or not ours; the fault names it and says why. A connecting link is open before
 * its peer is there. */
MUST_USE enum err link_open(struct link **out, enum link_kind kind, const char *address, struct fault *fault);
void link_close(struct link *l);                        /* NULL is fine */
int link_fd(const struct link *l);                      /* -1 for LINK_PUB */

/* Copies. A LINK_REQ's new request replaces one that is still waiting for its reply; a LINK_REP answers the request
 * received last. ERR_AGAIN: dropped (nobody there, or the receiver is slow). ERR_NET. */
MUST_USE enum err link_send(struct link *l, struct bytes msg);
/* A LINK_REQ's request waits for a connection that may be there any moment: link_recv within some 10 ms. */
bool link_is_soon(const struct link *l);
/* ERR_AGAIN: nothing waits. *out is borrowed until the next link_recv or link_close. */
MUST_USE enum err link_recv(struct link *l, struct bytes *out);

#endif
