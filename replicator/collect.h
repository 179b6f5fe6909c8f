/* Receipts over the network. The I/O shell around receipt_queue.h: what came in goes up, unchanged; on a core it ends here.
 *
 *     core     PULL ─► take (fleet_take)
 *     relay    PULL ─► queue ─┐
 *     edge     our own ───────┴─► PUSH to the upstream's collect address
 *
 * The link up never blocks and piles up nothing: what it does not take waits in the queue, where a newer receipt of the
 * same node takes the place of the older one. Everything runs in the loop's thread. */
#ifndef AZOTH_REPLICATOR_COLLECT_H
#define AZOTH_REPLICATOR_COLLECT_H

#include "base/stat.h"

#define COLLECT_PER_WAKE 64             /* messages; then the other events run */

struct event_base;
struct collect;
/* A message came. */
typedef void collect_take_fn(void *arg, struct bytes msg, uint64_t now_us);
struct collect_options {
    struct event_base *base;
    const char *listen;                 /* NULL: nobody sends us any; borrowed for the call */
    collect_take_fn *take;              /* core; NULL: they go up */
    void *arg;
};
/* ERR_NET: the address is in use or wrong; the fault names it. */
MUST_USE enum err collect_open(struct collect **out, const struct collect_options *o, struct fault *fault);
void collect_close(struct collect *c);                          /* NULL is fine */
/* Where receipts go from now on; NULL: nowhere. ERR_NET: as above, and nowhere. */
MUST_USE enum err collect_connect(struct collect *c, const char *address, struct fault *fault);
bool collect_connected(const struct collect *c);                /* there is an address; who listens there is another question */
void collect_push(struct collect *c, struct bytes own);
void collect_metrics(const struct collect *c, struct stat_page *page);

#endif
