#include "tests/util.h"

#include <event2/event.h>
#include <pthread.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/msg.h"
#include "replicator/commit.h"
#include "replicator/link.h"
#include "replicator/message.h"
#include "replicator/publisher.h"
#include "tests/unit/replicator_dir.h"

/* A core's store, committer and publisher with a loop of their own in this thread, and a subscriber beside them. */
struct bed {
    char dir[256], publish[300], serve[300];
    struct node_key key;
    struct event_base *base;
    struct store *store;
    struct committer *committer;
    struct publisher *publisher;
    struct link *sub, *req;
    struct fault fault;
};

static enum err beat(void *arg, struct signed_head *out)
{
    struct bed *b = arg;
    return b->committer == NULL ? ERR_NOTFOUND : commit_heartbeat(b->committer, out);
}

static void bed_open(struct bed *b)
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
    struct publisher_options po = { b->base, b->store, b->publish, b->serve, "core-1", beat, b };
    if (publisher_open(&b->publisher, &po, &b->fault) != OK)
        fail_msg("%s", b->fault.text);
    assert_int_equal(commit_open(&b->committer, b->store, &b->key, publisher_post, b->publisher, &b->fault), OK);
    assert_int_equal(link_open(&b->sub, LINK_SUB, b->publish, &b->fault), OK);
    assert_int_equal(link_open(&b->req, LINK_REQ, b->serve, &b->fault), OK);
}
static void bed_close(struct bed *b)
{
    commit_close(b->committer);
    publisher_close(b->publisher);
    store_close(b->store);
    link_close(b->sub);
    link_close(b->req);
    event_base_free(b->base);
    dir_remove(b->dir);
}

static bool receive(struct bed *b, struct link *l, struct bytes *out, uint64_t wait_ms)
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
static struct head heard(struct bed *b, uint64_t wait_ms, size_t *record)
{
    struct bytes msg;
    struct announce a;
    struct head h;
    if (!receive(b, b->sub, &msg, wait_ms))
        fail_msg("nothing is announced");
    assert_int_equal(announce_read(msg, &a), OK);
    assert_int_equal(head_verify(&a.head, b->key.pub), OK);
    struct rd rd = rd_over(bytes_of(a.head.body, a.head.len));
    assert_int_equal(head_read(&rd, &h), OK);
    *record = a.record.len;
    return h;
}
static uint64_t put(struct bed *b, unsigned n)
{
    char value[16];
    uint64_t seq = 0;
    int len = snprintf(value, sizeof value, "%u", n);
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("key"), bytes_of(value, (size_t)len) };
    assert_int_equal(commit_run(b->committer, &op, 1, &seq, &b->fault), OK);
    return seq;
}
static struct reply ask(struct bed *b, const struct request *q)
{
    uint8_t buf[512];
    struct wr w = wr_over(buf, sizeof buf);
    struct bytes msg;
    struct reply r;
    request_put(&w, q);
    assert_int_equal(link_send(b->req, wr_done(&w)), OK);
    assert_true(receive(b, b->req, &msg, 5000));
    assert_int_equal(reply_read(msg, &r), OK);
    return r;
}

static void announces_commits_and_beats(void **state)
{
    struct bed b;
    size_t record;
    struct head h;
    (void)state;
    bed_open(&b);
    put(&b, 1);
    h = heard(&b, 5000, &record);               /* the commit, or a heartbeat when the link was slower */
    assert_int_equal(h.seq, 1);
    uint64_t time = h.time_ms;
    h = heard(&b, 3000, &record);               /* nothing changed: signed anew */
    assert_true(h.seq == 1 && h.time_ms > time && record == 0);
    put(&b, 2);
    while ((h = heard(&b, 3000, &record)).seq == 1)
        continue;
    assert_true(h.seq == 2 && record > 0);
    bed_close(&b);
}

static void serves_the_log(void **state)
{
    struct bed b;
    struct bytes one;
    struct record rec;
    (void)state;
    bed_open(&b);
    struct request hello = { .type = MESSAGE_HELLO, .node = bytes_of_text("edge-1") };
    struct request records = { .type = MESSAGE_RECORDS, .after = 0, .max_bytes = REPLY_RECORDS_MAX };
    struct reply r = ask(&b, &records);
    assert_true(r.type == MESSAGE_RECORDS && r.left == 0 && r.first == 0 && !r.has_head);
    for (unsigned i = 1; i <= 20; i++)
        put(&b, i);
    r = ask(&b, &hello);
    assert_true(r.type == MESSAGE_HELLO && r.first == 1 && r.last == 20 && bytes_equal(r.text, bytes_of_text("core-1")));
    assert_memory_equal(r.cluster, store_cluster(b.store), CLUSTER_LEN);
    records.after = 5;
    r = ask(&b, &records);
    assert_true(r.type == MESSAGE_RECORDS && r.after == 5 && r.left == 15 && r.has_head);
    for (uint64_t seq = 6; seq <= 20; seq++) {
        assert_true(reply_next(&r, &one));
        assert_int_equal(record_read(one, &rec), OK);
        assert_int_equal(rec.seq, seq);
    }
    records.max_bytes = 1;                      /* at least one, however small the wish */
    assert_int_equal(ask(&b, &records).left, 1);
    records.max_bytes = 2 * one.len + 40;
    r = ask(&b, &records);
    assert_in_range(r.left, 1, 3);
    records.after = 20;
    assert_int_equal(ask(&b, &records).left, 0);
    records.after = UINT64_MAX;
    assert_int_equal(ask(&b, &records).left, 0);
    bed_close(&b);
}

static void unknown_and_broken_requests(void **state)
{
    static const struct { const char *hex; uint64_t code; } rows[] = {
        { "92 10 c0", REPLY_UNKNOWN }, { "91 03", REPLY_UNKNOWN }, { "ff", REPLY_MALFORMED }, { "93 02 01 05", REPLY_MALFORMED },
        { "", REPLY_MALFORMED },
    };
    struct bed b;
    struct bytes msg;
    struct reply r;
    (void)state;
    bed_open(&b);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes q = heap_from_hex(rows[i].hex);
        assert_int_equal(link_send(b.req, q), OK);
        assert_true(receive(&b, b.req, &msg, 5000));
        assert_int_equal(reply_read(msg, &r), OK);
        if (r.type != MESSAGE_ERROR || r.code != rows[i].code)
            fail_msg("'%s': type %d, code %d", rows[i].hex, (int)r.type, (int)r.code);
        bytes_free(q);
    }
    bed_close(&b);
}

/* What was never told is never served: a record that stands in the log, but not in the data. */
static void serves_nothing_untold(void **state)
{
    struct bed b;
    struct log_reader *reader;
    uint8_t *buf = malloc(RECORD_MAX);
    struct bytes record;
    size_t need;
    struct log_txn *t;
    (void)state;
    bed_open(&b);
    put(&b, 1);
    assert_int_equal(log_reader_open(b.store, &reader, &b.fault), OK);
    assert_int_equal(log_reader_begin(reader), OK);
    assert_int_equal(log_reader_get(reader, 1, buf, RECORD_MAX, &record, &need), OK);
    log_reader_end(reader);
    log_reader_close(reader);
    assert_int_equal(log_begin(b.store, &t, &b.fault), OK);
    assert_int_equal(log_append(t, 2, record, &b.fault), OK);
    assert_int_equal(log_commit(t, &b.fault), OK);
    struct request records = { .type = MESSAGE_RECORDS, .max_bytes = REPLY_RECORDS_MAX };
    struct reply r = ask(&b, &records);
    assert_true(r.last == 1 && r.left == 1);
    free(buf);
    bed_close(&b);
}

/* As on a relay whose log was thrown away: it knows what it applied, and has none of the records, or the later ones. */
static void hears_who_needs_what_is_gone(void **state)
{
    static const struct { uint64_t log_first, after; bool before; } rows[] = {
        { 1, 0, false }, { 1, 2, false }, { 0, 0, true }, { 0, 2, true }, { 0, 3, false },
        { 3, 0, true }, { 3, 1, true }, { 3, 2, false }, { 3, 3, false }, { 3, 9, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bed b;
        struct log_txn *t;
        bed_open(&b);
        for (unsigned n = 1; n <= 3; n++)
            put(&b, n);
        assert_int_equal(log_begin(b.store, &t, &b.fault), OK);
        if (rows[i].log_first != 1)
            assert_int_equal(log_cut(t, 0, &b.fault), OK);
        if (rows[i].log_first == 3)
            assert_int_equal(log_append(t, 3, bytes_of_text("3"), &b.fault), OK);
        assert_int_equal(log_commit(t, &b.fault), OK);
        event_base_loop(b.base, EVLOOP_NONBLOCK);           /* takes the commits */
        struct request records = { .type = MESSAGE_RECORDS, .after = rows[i].after, .max_bytes = REPLY_RECORDS_MAX };
        (void)ask(&b, &records);
        bool before = publisher_asked_before(b.publisher);
        if (before != rows[i].before || publisher_asked_before(b.publisher))
            fail_msg("row %zu: %d", i, before);
        bed_close(&b);
    }
}

/* Many commits from another thread while the loop sleeps: the queue collapses, the newest head and its record are told. */
static void *commit_many(void *arg)
{
    for (unsigned i = 1; i <= 3 * PUBLISHER_QUEUE_MAX; i++)
        put(arg, i);
    return NULL;
}
static void posts_from_another_thread(void **state)
{
    struct bed b;
    struct head h;
    size_t record;
    pthread_t thread;
    (void)state;
    bed_open(&b);
    put(&b, 0);
    h = heard(&b, 5000, &record);
    assert_int_equal(pthread_create(&thread, NULL, commit_many, &b), 0);
    pthread_join(thread, NULL);
    uint64_t last = 0;
    for (uint64_t end = clock_mono_ms() + 5000; last <= 3 * PUBLISHER_QUEUE_MAX && clock_mono_ms() < end;) {
        h = heard(&b, 3000, &record);
        assert_true(h.seq >= last);
        last = h.seq;
    }
    assert_int_equal(last, 3 * PUBLISHER_QUEUE_MAX + 1);
    bed_close(&b);
}

/* A heartbeat comes although the committing thread is in the middle of a transaction. */
static void *hold_open(void *arg)
{
    struct bed *b = arg;
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("slow"), bytes_of_text("1") };
    uint64_t seq;
    assert_int_equal(commit_stage(b->committer, &op, 1, &seq, &b->fault), OK);
    usleep(2500000);
    assert_int_equal(commit_flush(b->committer, &b->fault), OK);
    return NULL;
}
static void beats_while_a_commit_is_busy(void **state)
{
    struct bed b;
    struct head h;
    size_t record;
    unsigned beats = 0;
    pthread_t thread;
    (void)state;
    bed_open(&b);
    put(&b, 1);
    heard(&b, 5000, &record);
    assert_int_equal(pthread_create(&thread, NULL, hold_open, &b), 0);
    while ((h = heard(&b, 4000, &record)).seq == 1)
        beats++;
    assert_true(beats >= 2);
    assert_int_equal(h.seq, 2);
    pthread_join(thread, NULL);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(announces_commits_and_beats), cmocka_unit_test(serves_the_log), cmocka_unit_test(unknown_and_broken_requests),
        cmocka_unit_test(serves_nothing_untold), cmocka_unit_test(hears_who_needs_what_is_gone), cmocka_unit_test(posts_from_another_thread),
        cmocka_unit_test(beats_while_a_commit_is_busy),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
