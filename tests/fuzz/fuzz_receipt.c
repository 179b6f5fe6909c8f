/* Receipts from anywhere: read, queued by a relay, given to a fleet in which nobody signed them; and metrics pages. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <stdlib.h>

#include "replicator/fleet.h"
#include "replicator/receipt_queue.h"

static void round_trip(struct bytes in)
{
    static const struct node_key key;
    uint8_t buf[RECEIPT_MAX], sig[64];
    struct wr w = wr_over(buf, sizeof buf);
    struct receipt r, again;
    struct bytes body, body2;
    if (receipt_read(in, &r, &body, sig) != OK)
        return;
    if (r.node.len == 0 || r.node.len > NODE_NAME_MAX || r.state >= RECEIPT_STATES || r.seq > INT64_MAX)
        abort();
    receipt_put(&w, &r, &key);
    if (w.full || receipt_read(wr_done(&w), &again, &body2, sig) != OK || again.counter != r.counter || again.boot != r.boot
        || again.seq != r.seq || !bytes_equal(again.node, r.node) || !bytes_equal(again.parent, r.parent)
        || body2.len > body.len)        /* what a newer version added is gone */
        abort();
}

static void queue(struct bytes in)
{
    struct receipt_queue *q;
    struct bytes first;
    if (receipt_queue_open(&q) != OK)
        return;
    bool took = receipt_queue_take(q, in, false, 1000000) == OK;
    if (took != receipt_queue_first(q, &first) || (took && !bytes_equal(first, in)))
        abort();
    if (took && receipt_queue_take(q, in, false, 1000000) != ERR_EXISTS)
        abort();
    receipt_queue_close(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t cluster[CLUSTER_LEN] = { 0xc1, 0xc1 };
    struct bytes in = bytes_of(data, size);
    struct fleet *f;
    if (sodium_init() < 0)
        abort();
    round_trip(in);
    queue(in);
    if (fleet_open(&f, cluster, 1) != OK)
        return 0;
    if (fleet_take(f, in, 2, 2) == OK || fleet_count(f) != 0)
        abort();                        /* nobody is listed */
    fleet_close(f);
    return 0;
}
