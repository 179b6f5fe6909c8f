/* Announcements, requests and replies from anywhere, and a replica that is told them. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <stdlib.h>

#include "replicator/lot.h"
#include "replicator/replica.h"
#include "replicator/session.h"

static void try_request(struct bytes in)
{
    struct node_key nobody = { .pub = { 9 } };
    uint8_t buf[REQUEST_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    struct request q, again;
    if (in.len > REQUEST_MAX || request_read(in, &q) != OK)
        return;
    request_put(&w, &q);
    if (w.full || request_read(wr_done(&w), &again) != OK || again.type != q.type || again.after != q.after
        || again.epoch != q.epoch || again.max_bytes != q.max_bytes || again.seq != q.seq || again.offset != q.offset
        || again.number != q.number || !bytes_equal(again.inner, q.inner) || !bytes_equal(again.node, q.node))
        abort();
    if (q.type == MESSAGE_SIGNED && seal_verify(&q, nobody.pub) == OK)
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
    if (r.bytes.len > in.len || (r.type == MESSAGE_MANIFEST && r.offset + r.bytes.len > r.total))
        abort();
    static uint8_t plain[REPLY_MAX];
    struct seal_key k = { { 1 } };
    uint8_t hash[SEAL_HASH_LEN] = { 2 };
    struct bytes opened;
    if (r.type == MESSAGE_SEALED && in.len <= REPLY_MAX && seal_open_reply(&r, &k, hash, plain, sizeof plain, &opened) == OK)
        abort();                        /* nobody sealed that */
}

/* A session that is told anything in the middle of its work: nothing that is not sealed reaches the replica. */
static void try_session(struct bytes in)
{
    struct node_key key;
    struct session *s;
    struct bytes plain, send;
    uint8_t seed[crypto_sign_SEEDBYTES] = { 3 };
    struct reply r;
    uint8_t hello[400], ask[] = { 0x94, MESSAGE_RECORDS, 1, 0, 9 };
    struct wr w = wr_over(hello, sizeof hello);
    crypto_sign_seed_keypair(key.pub, key.secret, seed);
    reply_hello_put(&w, seed, seed, 1, 2, "core", key.pub);
    if (session_open(&s, &key, "fuzz") != OK)
        return;
    session_ask(s, bytes_of(ask, sizeof ask), 1, &send);
    if (session_reply(s, wr_done(&w), 2, &plain, &send) != OK || send.len == 0)
        abort();
    for (int i = 0; i < 3; i++) {
        if (session_reply(s, in, 3, &plain, &send) == OK && plain.len > 0
            && (reply_read(plain, &r) != OK || (r.type != MESSAGE_ERROR && r.type != MESSAGE_HELLO)))
            abort();
    }
    session_close(s);
}

/* A replica that is empty and has asked for a manifest. */
static void try_copying(struct bytes in)
{
    struct replica_options o = { .cohort = "all", .node = "fuzz", .upstreams = 1, .seed = 1 };
    struct replica_start at = { .complete = 0 };
    struct replica *r;
    struct todo t;
    struct request q;
    struct reply reply;
    uint8_t hello[400], zero[32] = { 0 };
    struct wr w = wr_over(hello, sizeof hello);
    reply_hello_put(&w, zero, zero, 7, 9, "core", zero);
    if (replica_open(&r, &o, &at, 1) != OK)
        return;
    replica_tick(r, 2, &t);
    if (replica_reply(r, wr_done(&w), 3, &t) != OK || request_read(t.ask, &q) != OK || q.type != MESSAGE_MANIFEST)
        abort();
    bool manifest = reply_read(in, &reply) == OK && reply.type == MESSAGE_MANIFEST;
    if ((replica_reply(r, in, 4, &t) == OK && manifest) || t.heard || t.join || t.job.kind != JOB_NONE)
        abort();                        /* nobody signed that */
    replica_close(r);
}

/* Nobody signed what is in it; and it is as many as were said, and written again the same. */
static void try_lot(struct bytes in)
{
    struct replica_options o = { .cohort = "all", .node = "fuzz", .upstreams = 2, .seed = 1 };
    struct replica_start at = { .complete = 0 };
    static struct lot lot;
    struct lot_list l;
    struct replica *r;
    struct bytes one;
    struct todo t;
    enum err err;
    uint32_t heard = 0;
    if (!lot_read(in, &l) || in.len > ANNOUNCE_MAX - 16 - LOT_FRONT)
        return;
    uint32_t n = l.left;
    const uint8_t *list = l.rest.p;             /* what stands before it may be longer than ours, and more behind it */
    while (lot_next(&l, &one)) {
        if (one.len == 0 || !lot_put(&lot, one))
            abort();
    }
    struct bytes again = lot_done(&lot);
    size_t len = (size_t)(l.rest.p - list);
    if (n > 1 && (again.len < len || memcmp(list, again.ptr + again.len - len, len) != 0 || !lot_read(again, &l) || l.left != n))
        abort();
    if (replica_open(&r, &o, &at, 1) != OK)
        return;
    (void)replica_gather(r, in);
    for (; replica_hear(r, 2, &err, &t); heard++) {
        if (t.heard || t.job.kind != JOB_NONE)
            abort();
    }
    if (heard != n)
        abort();
    replica_close(r);
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
    try_lot(in);
    try_request(in);
    try_reply(in);
    try_session(in);
    try_copying(in);
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
