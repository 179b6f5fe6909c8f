/* Announcements, requests and replies from anywhere, and a replica that is told them. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "replicator/replica.h"

static void try_request(struct bytes in)
{
    uint8_t buf[REQUEST_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    struct request q, again;
    if (in.len > REQUEST_MAX || request_read(in, &q) != OK)
        return;
    request_put(&w, &q);
    if (w.full || request_read(wr_done(&w), &again) != OK || again.type != q.type || again.after != q.after
        || again.epoch != q.epoch || again.max_bytes != q.max_bytes || !bytes_equal(again.node, q.node))
        abort();
}

static void try_reply(struct bytes in)
{
    struct reply r;
    struct bytes one;
    size_t n = 0;
    if (reply_read(in, &r) != OK)
        return;
    while (reply_next(&r, &one)) {
        n += one.len;
        if (one.len == 0 || n > in.len)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct replica_options o = { .cohort = "all", .node = "fuzz", .upstreams = 2, .seed = 1 };
    struct replica_start at = { .complete = 0 };
    struct replica *r;
    struct todo t;
    struct bytes in = bytes_of(data, size);
    struct announce a;
    if (announce_read(in, &a) == OK && a.record.len > RECORD_INLINE_MAX)
        abort();
    try_request(in);
    try_reply(in);
    if (replica_open(&r, &o, &at, 1) != OK)
        return 0;
    replica_tick(r, 2, &t);
    if (replica_reply(r, in, 3, &t) == OK && t.job.kind != JOB_NONE)
        abort();                        /* nobody signed that */
    if (replica_announce(r, in, 4, &t) == OK && (t.heard || t.job.kind != JOB_NONE))
        abort();
    replica_close(r);
    return 0;
}
