/* What the tests of the publisher share: a core's store, committer and publisher, and an edge's sockets and key. */
#ifndef AZOTH_TESTS_PUBLISHER_BED_H
#define AZOTH_TESTS_PUBLISHER_BED_H

#include "tests/util.h"

#include <event2/event.h>
#include <sodium.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "replicator/commit.h"
#include "replicator/link.h"
#include "replicator/lot.h"
#include "replicator/message.h"
#include "replicator/publisher.h"
#include "replicator/session.h"
#include "tests/unit/replicator_dir.h"

/* A core's store, committer and publisher with a loop of their own in this thread, and a subscriber beside them. */
struct bed {
    char dir[256], publish[300], serve[300];
    struct node_key key, edge_key;
    struct nodes *nodes;
    struct session *session;
    struct event_base *base;
    struct store *store;
    struct committer *committer;
    struct publisher *publisher;
    struct link *sub, *req;
    struct lot_list list;               /* announcements of the message at hand that were not looked at yet */
    struct fault fault;
};

static inline enum err beat(void *arg, struct signed_head *out)
{
    struct bed *b = arg;
    return b->committer == NULL ? ERR_NOTFOUND : commit_heartbeat(b->committer, out);
}

static inline void bed_open(struct bed *b)
{
    char path[300];
    memset(b, 0, sizeof *b);
    dir_make(b->dir, sizeof b->dir, "pub");
    snprintf(path, sizeof path, "%s/store", b->dir);
    snprintf(b->publish, sizeof b->publish, "ipc://%s/p", b->dir);
    snprintf(b->serve, sizeof b->serve, "ipc://%s/s", b->dir);
    struct store_options so = { .dir = path, .mode = STORE_CREATE, .role = STORE_CORE, .boot_id = "boot", .volatile_data = true };
    b->base = event_base_new();
    assert_int_equal(node_key_make(b->dir, false, &b->key, &b->fault), OK);
    assert_int_equal(store_open(&b->store, &so, &b->fault), OK);
    snprintf(path, sizeof path, "%s/nodes.d/edge-1.pub", b->dir);
    *strrchr(path, '/') = '\0';
    assert_int_equal(mkdir(path, 0755), 0);
    path[strlen(path)] = '/';
    assert_int_equal(node_key_make(b->dir, true, &b->edge_key, &b->fault), OK);
    char line[80];
    assert_int_equal(file_replace(path, bytes_of_text(node_pub_text(line, sizeof line, b->edge_key.pub)), 0644, &b->fault), OK);
    *strrchr(path, '/') = '\0';
    assert_int_equal(nodes_open(&b->nodes, path, &b->fault), OK);
    assert_int_equal(session_open(&b->session, &b->edge_key, "edge-1"), OK);
    struct publisher_options po = { .base = b->base, .store = b->store, .publish = b->publish, .serve = b->serve,
                                    .node = "core-1", .key = &b->key, .nodes = b->nodes, .beat = beat, .beat_arg = b };
    if (publisher_open(&b->publisher, &po, &b->fault) != OK)
        fail_msg("%s", b->fault.text);
    assert_int_equal(commit_open(&b->committer, b->store, &b->key, publisher_post, b->publisher, &b->fault), OK);
    assert_int_equal(link_open(&b->sub, LINK_SUB, b->publish, &b->fault), OK);
    assert_int_equal(link_open(&b->req, LINK_REQ, b->serve, &b->fault), OK);
}
static inline void bed_close(struct bed *b)
{
    commit_close(b->committer);
    publisher_close(b->publisher);
    store_close(b->store);
    link_close(b->sub);
    link_close(b->req);
    session_close(b->session);
    nodes_close(b->nodes);
    event_base_free(b->base);
    dir_remove(b->dir);
}

static inline bool receive(struct bed *b, struct link *l, struct bytes *out, uint64_t wait_ms)
{
    uint64_t end = clock_mono_ms() + wait_ms;
    while (link_recv(l, out) != OK) {
        if (clock_mono_ms() >= end)
            return false;
        event_base_loop(b->base, EVLOOP_NONBLOCK);
        usleep(500);
    }
    return true;
}
static inline struct head heard(struct bed *b, uint64_t wait_ms, size_t *record)
{
    struct bytes msg;
    struct announce a;
    struct head h;
    if (!lot_next(&b->list, &msg)) {
        if (!receive(b, b->sub, &msg, wait_ms))
            fail_msg("nothing is announced");
        if (lot_read(msg, &b->list))
            assert_true(lot_next(&b->list, &msg));
        else
            b->list.left = 0;
    }
    assert_int_equal(announce_read(msg, &a), OK);
    assert_int_equal(head_verify(&a.head, b->key.pub), OK);
    struct rd rd = rd_over(bytes_of(a.head.body, a.head.len));
    assert_int_equal(head_read(&rd, &h), OK);
    *record = a.record.len;
    return h;
}
static inline uint64_t put(struct bed *b, unsigned n)
{
    char value[16];
    uint64_t seq = 0;
    int len = snprintf(value, sizeof value, "%u", n);
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("key"), bytes_of(value, (size_t)len) };
    assert_int_equal(commit_run(b->committer, &op, 1, &seq, &b->fault), OK);
    return seq;
}
/* Signed by the node that is listed, behind a hello; the reply opened. */
static inline struct reply ask(struct bed *b, const struct request *q)
{
    uint8_t buf[512];
    struct wr w = wr_over(buf, sizeof buf);
    struct bytes msg, send, plain = { 0 };
    struct reply r;
    request_put(&w, q);
    session_ask(b->session, wr_done(&w), 1, &send);
    while (plain.len == 0) {
        assert_true(send.len > 0);
        assert_int_equal(link_send(b->req, send), OK);
        assert_true(receive(b, b->req, &msg, 5000));
        assert_int_equal(session_reply(b->session, msg, 1, &plain, &send), OK);
    }
    assert_int_equal(reply_read(plain, &r), OK);
    return r;
}

static inline void put_much(struct bed *b, unsigned values)
{
    uint8_t *value = malloc(100000);
    char key[16];
    uint64_t seq;
    for (unsigned i = 0; i < values; i++) {
        randombytes_buf(value, 100000);
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of(key, (size_t)snprintf(key, sizeof key, "k%04u", i)),
                         bytes_of(value, 100000) };
        assert_int_equal(commit_run(b->committer, &op, 1, &seq, &b->fault), OK);
    }
    event_base_loop(b->base, EVLOOP_NONBLOCK);          /* takes the commits */
    free(value);
}

#endif
