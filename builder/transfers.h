/* Transfers out at work: threads that make them (xfrout.h) out of views of their own, and the thread of core.dns, which takes the
 * messages, signs and sends them as the clients take them.
 *
 *     core.dns ─► transfers_put ─► [thread: view_begin, xfrout_make, view_end] ─► spool ─► bell ─► transfer_next ... transfer_end
 *
 * A view is open as long as a zone is read and written into its spool, whatever the client does: a million small records are
 * about half a second, and 25 MB of an unlinked file in the store's folder. The first messages leave while the last ones are made.
 * Those that wait are made client by client in turn (turns.h), whoever asked for how many. What finds no room for its spool fails:
 * with SERVFAIL, or with the end of the connection when messages of it were sent already. */
#ifndef AZOTH_BUILDER_TRANSFERS_H
#define AZOTH_BUILDER_TRANSFERS_H

#include "base/stat.h"
#include "builder/xfrout.h"
#include "dnsfront/peer.h"
#include "wire/tsig_sign.h"

#define TRANSFERS_MAX 256               /* at once: being made, waiting for that, being sent */
#define TRANSFERS_CLIENT_MAX 64         /* of them of one address */
#define TRANSFERS_UDP_MAX 128           /* of them asked for over UDP, where addresses may be forged: the rest is for connections */
#define TRANSFERS_SPOOL_MAX ((uint64_t)4 << 30)     /* bytes in the files of all spools together, and: */
#define TRANSFERS_SPOOL_SHARE 4         /* never more than a quarter of what would be free on the disk without them */
#define TRANSFER_MS_MAX ((uint64_t)2 * 3600 * 1000) /* for all of one */

/* What all spools together may take, when they have `spooled` bytes and the disk has `left` more. */
uint64_t transfers_allowance(uint64_t spooled, uint64_t left);

struct transfers;
struct transfer;
struct transfers_options {
    struct store *store;
    int bell_fd;                        /* rings for transfers_ready */
    unsigned threads;
    uint64_t (*left)(void *arg); void *left_arg;        /* bytes that are free on the store's disk; NULL: it is asked */
};
MUST_USE enum err transfers_open(struct transfers **out, const struct transfers_options *o, struct fault *fault);
/* Ends what is left too. NULL is fine. */
void transfers_close(struct transfers *t);

struct transfer_ask {
    struct xfrout_ask ask;
    uint16_t id, flags;
    bool has_edns;
    struct bytes question;              /* copied, as is what follows */
    size_t max;                         /* of a message */
    struct peer client; uint16_t port;
    size_t room;                        /* of its TSIGs */
};
/* chain: that checked the question; NULL: it was not signed. of: what the caller keeps with it, from malloc. Both are the transfer's
 * when it is OK. ERR_LIMIT: too many at once. ERR_NOMEM. */
MUST_USE enum err transfers_put(struct transfers *t, const struct transfer_ask *ask, struct tsig_chain *chain, void *of,
                                struct transfer **out);
/* Behind the bell: those whose transfer_next has not been asked yet or said ERR_AGAIN, and have more to say now. */
typedef void transfers_ready_fn(void *arg, struct transfer *x, void *of);
void transfers_ready(struct transfers *t, transfers_ready_fn *ready, void *arg);
/* The next message, signed, into out (XFRPACK_MAX). ERR_AGAIN: it is not made yet, transfers_ready will tell. ERR_NOTFOUND: that was
 * all. Anything else: it cannot be finished, the connection is to be closed. */
MUST_USE enum err transfer_next(struct transfer *x, uint8_t *out, size_t *len);
/* It takes too long. */
bool transfer_is_late(const struct transfer *x, uint64_t now_ms);
void transfer_end(struct transfer *x);
void transfers_metrics(const struct transfers *t, struct stat_page *p);

#endif
