#include "tests/util.h"

#include <event2/event.h>
#include <malloc.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/msg.h"
#include "replicator/commit.h"
#include "replicator/link.h"
#include "replicator/message.h"
#include "replicator/publisher.h"
#include "replicator/session.h"
#include "store/snapshot.h"
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
static void bed_close(struct bed *b)
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
/* Signed by the node that is listed, behind a hello; the reply opened. */
static struct reply ask(struct bed *b, const struct request *q)
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
    static const struct { const char *why, *hex; uint64_t code; } rows[] = {        /* code 0: no answer */
        { "an unknown type", "92 20 c0", REPLY_UNKNOWN }, { "records, unsigned", "94 02 01 00 01", REPLY_UNLISTED },
        { "keys, unsigned", "91 05", REPLY_UNLISTED }, { "no message", "ff", 0 }, { "too few elements", "93 02 01 05", 0 },
        { "empty", "", 0 },
    };
    struct bed b;
    struct bytes msg;
    struct reply r;
    (void)state;
    bed_open(&b);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes q = heap_from_hex(rows[i].hex);
        assert_int_equal(link_send(b.req, q), OK);
        bool answered = receive(&b, b.req, &msg, rows[i].code != 0 ? 5000 : 100);
        if (answered != (rows[i].code != 0))
            fail_msg("%s: %s", rows[i].why, answered ? "answered" : "not answered");
        if (answered) {
            assert_int_equal(reply_read(msg, &r), OK);
            if (r.type != MESSAGE_ERROR || r.code != rows[i].code)
                fail_msg("%s: type %d, code %d", rows[i].why, (int)r.type, (int)r.code);
        }
        bytes_free(q);
    }
    struct request hello = { .type = MESSAGE_HELLO, .node = bytes_of_text("edge-1") };
    assert_int_equal(ask(&b, &hello).type, MESSAGE_HELLO);      /* and it goes on */
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

/* --- snapshots ----------------------------------------------------------------------------------------------------------- */
static void put_much(struct bed *b, unsigned values)
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
static void log_empty(struct bed *b)
{
    struct log_txn *t;
    assert_int_equal(log_begin(b->store, &t, &b->fault), OK);
    assert_int_equal(log_cut(t, 0, &b->fault), OK);
    assert_int_equal(log_commit(t, &b->fault), OK);
}
/* The first reply that is not about the making. */
static struct reply manifest(struct bed *b, uint64_t epoch, uint64_t seq, uint64_t offset)
{
    struct request q = { .type = MESSAGE_MANIFEST, .epoch = epoch, .seq = seq, .offset = offset };
    for (unsigned i = 0; i < 60000; i++) {
        struct reply r = ask(b, &q);
        if (r.type != MESSAGE_ERROR || (!bytes_equal(r.text, bytes_of_text("a snapshot is being made")) &&
                                        !bytes_equal(r.text, bytes_of_text("a snapshot was made a moment ago"))))
            return r;
        assert_true(r.code == REPLY_LATER && r.wait_ms > 0);
        usleep(1000);
    }
    fail_msg("never made");
    return (struct reply){ .type = 0 };
}
/* All of a snapshot over the sockets; its entries are as many as the head says. */
static uint64_t copy(struct bed *b, uint64_t least)
{
    struct reply r = manifest(b, 1, least, 0);
    if (r.type != MESSAGE_MANIFEST)
        fail_msg("%.*s", (int)r.text.len, (const char *)r.text.ptr);
    assert_int_equal(head_verify(&r.head, b->key.pub), OK);
    assert_int_equal(r.bytes.len, r.total);
    struct bytes whole = heap_copy(r.bytes.ptr, r.bytes.len);
    struct snapshot_manifest m;
    struct snapshot_unpack *u;
    const struct op *ops;
    size_t n;
    assert_int_equal(snapshot_manifest_read(whole, &m), OK);
    assert_int_equal(snapshot_unpack_open(&u, &m.about.head), OK);
    for (size_t i = 0; i < m.chunks; i++) {
        struct snapshot_chunk c = snapshot_row(m.table, i);
        struct request q = { .type = MESSAGE_CHUNK, .epoch = m.about.head.epoch, .seq = m.about.head.seq, .offset = i };
        r = ask(b, &q);
        assert_int_equal(r.type, MESSAGE_CHUNK);
        assert_int_equal(snapshot_unpack_chunk(u, &c, r.bytes, &ops, &n, &b->fault), OK);
    }
    assert_int_equal(snapshot_unpack_end(u, &b->fault), OK);
    snapshot_unpack_close(u);
    bytes_free(whole);
    return m.about.head.seq;
}

static void serves_snapshots(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b);
    struct reply r = manifest(&b, 0, 0, 0);
    assert_true(r.type == MESSAGE_ERROR && r.code == REPLY_LATER);      /* nothing is stored yet */
    put_much(&b, 40);
    publisher_rotten(b.publisher, true);                /* what would be copied, nobody could use */
    r = manifest(&b, 0, 0, 0);
    assert_true(r.type == MESSAGE_ERROR && r.code == REPLY_LATER && bytes_equal(r.text, bytes_of_text("the data is damaged")));
    publisher_rotten(b.publisher, false);
    assert_int_equal(copy(&b, 0), 40);
    assert_int_equal(copy(&b, 40), 40);
    put(&b, 1);
    event_base_loop(b.base, EVLOOP_NONBLOCK);
    assert_int_equal(copy(&b, 40), 40);
    assert_int_equal(copy(&b, 41), 41);
    struct request gone = { .type = MESSAGE_CHUNK, .epoch = 1, .seq = 40 };
    r = ask(&b, &gone);
    assert_true(r.type == MESSAGE_ERROR && r.code == REPLY_GONE);
    bed_close(&b);
}

/* As on a relay that copied itself: it has the data and no record. Heads go on, records are asked for in vain, and it can be
 * copied; behind it the log grows again. */
static void serves_with_an_empty_log(void **state)
{
    struct bed b;
    struct head h;
    size_t record;
    (void)state;
    bed_open(&b);
    for (unsigned n = 1; n <= 3; n++)
        put(&b, n);
    event_base_loop(b.base, EVLOOP_NONBLOCK);
    log_empty(&b);
    h = heard(&b, 5000, &record);
    while (h.seq < 3)
        h = heard(&b, 5000, &record);
    struct request hello = { .type = MESSAGE_HELLO, .node = bytes_of_text("edge-1") };
    struct request records = { .type = MESSAGE_RECORDS, .after = 1, .max_bytes = REPLY_RECORDS_MAX };
    struct reply r = ask(&b, &hello);
    assert_true(r.first == 0 && r.last == 0);
    r = ask(&b, &records);
    assert_true(r.type == MESSAGE_RECORDS && r.first == 0 && r.last == 0 && r.left == 0 && r.has_head);
    assert_int_equal(copy(&b, 2), 3);
    put(&b, 4);                         /* the log is that record alone */
    event_base_loop(b.base, EVLOOP_NONBLOCK);
    records.after = 3;
    r = ask(&b, &records);
    assert_true(r.first == 4 && r.last == 4 && r.left == 1);
    assert_int_equal(copy(&b, 2), 3);   /* who loads it goes on with record 4 */
    log_empty(&b);
    assert_int_equal(copy(&b, 2), 4);   /* nobody could go on from 3 any more */
    bed_close(&b);
}

/* As on a relay that knows of a new epoch, and whose data is not there yet. */
static void hands_out_no_old_epoch(void **state)
{
    struct bed b;
    struct signed_head sh;
    struct head h;
    uint64_t seq;
    (void)state;
    bed_open(&b);
    put(&b, 1);
    event_base_loop(b.base, EVLOOP_NONBLOCK);
    assert_int_equal(copy(&b, 1), 1);
    assert_int_equal(store_head(b.store, &h, &sh), OK);
    h.epoch = 2;
    h.seq = 2;
    head_sign(&sh, &h, &b.key);
    publisher_forward(b.publisher, (struct bytes){ 0 }, &sh);
    struct reply r = manifest(&b, 1, 1, 0);
    assert_true(r.type == MESSAGE_ERROR && r.code == REPLY_LATER && r.wait_ms >= 100);
    struct request chunk = { .type = MESSAGE_CHUNK, .epoch = 1, .seq = 1 };
    r = ask(&b, &chunk);
    assert_true(r.type == MESSAGE_ERROR && r.code == REPLY_LATER);
    assert_int_equal(commit_raise_epoch(b.committer, 0, &seq, &b.fault), OK);
    assert_int_equal(store_head(b.store, &h, &sh), OK);
    publisher_reached(b.publisher, &sh);
    assert_int_equal(copy(&b, 1), 2);
    publisher_reached(b.publisher, NULL);       /* nothing may be served */
    r = manifest(&b, 1, 1, 0);
    assert_true(r.type == MESSAGE_ERROR && r.code == REPLY_LATER);
    bed_close(&b);
}

/* --- a peer that asks and never reads ------------------------------------------------------------------------------------ */
#define STUCK 4
#define STUCK_REQUESTS 150

static double metric(struct bed *b, const char *line)
{
    struct stat_page page;
    double v = -1;
    stat_page_init(&page);
    publisher_metrics(b->publisher, &page);
    const char *at = strstr(page.text, line);
    if (at == NULL || sscanf(at + strlen(line), " %lf", &v) != 1)
        fail_msg("no metric %s", line);
    stat_page_release(&page);
    return v;
}
/* Bytes that malloc has given out; a sanitizer's own malloc counts nothing. */
static uint64_t heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}
/* nanomsg's protocol by hand: a REQ socket over ipc. */
static int stuck_open(struct bed *b)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    static const uint8_t greeting[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(strlen(b->serve + strlen("ipc://")) < sizeof to.sun_path);
    strcpy(to.sun_path, b->serve + strlen("ipc://"));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(fd, greeting, sizeof greeting), sizeof greeting);
    return fd;
}
static void stuck_ask(struct bed *b, int fd, const uint8_t nonce[NONCE_LEN], uint64_t number, const struct request *q)
{
    uint8_t inner[256], msg[1024], frame[1100], hash[SEAL_HASH_LEN];
    struct wr iw = wr_over(inner, sizeof inner), mw = wr_over(msg, sizeof msg), fw = wr_over(frame, sizeof frame);
    request_put(&iw, q);
    seal_request(&mw, &b->edge_key, bytes_of_text("edge-1"), nonce, number, wr_done(&iw), hash);
    wr_u8(&fw, 1);
    wr_u64(&fw, 4 + mw.len);
    wr_u32(&fw, 0x80000000u | (uint32_t)number);
    wr_bytes(&fw, wr_done(&mw));
    assert_false(fw.full);
    assert_int_equal(write(fd, frame, fw.len), (ssize_t)fw.len);
}

/* It costs one reply in memory, and nobody else waits for it. */
static void peers_that_never_read(void **state)
{
    static const char served[] = "azoth_publish_requests_total{type=\"records\"}";
    struct bed b;
    int fd[STUCK];
    (void)state;
    bed_open(&b);
    put_much(&b, 40);
    struct request hello = { .type = MESSAGE_HELLO, .node = bytes_of_text("edge-1") };
    struct request records = { .type = MESSAGE_RECORDS, .max_bytes = REPLY_RECORDS_MAX };
    struct request last = { .type = MESSAGE_RECORDS, .after = 39, .max_bytes = REPLY_RECORDS_MAX };
    uint8_t nonce[NONCE_LEN];
    struct reply r = ask(&b, &hello);
    memcpy(nonce, r.nonce, NONCE_LEN);
    assert_int_equal(ask(&b, &records).type, MESSAGE_RECORDS);
    uint64_t before = heap_bytes();
    for (unsigned i = 0; i < STUCK; i++) {
        fd[i] = stuck_open(&b);
        for (unsigned n = 0; n < STUCK_REQUESTS; n++)
            stuck_ask(&b, fd[i], nonce, n, &records);
    }
    for (unsigned i = 0; i < 40; i++) {
        r = ask(&b, &last);
        assert_true(r.type == MESSAGE_RECORDS && r.left == 1);
    }
    double want = 1 + 40 + STUCK * STUCK_REQUESTS;
    for (uint64_t end = clock_mono_ms() + 60000; metric(&b, served) < want && clock_mono_ms() < end;)
        event_base_loop(b.base, EVLOOP_ONCE);
    if (metric(&b, served) < want)
        fail_msg("%d of %d requests", (int)metric(&b, served), (int)want);
    uint64_t after = heap_bytes();
    if (after > before + ((uint64_t)STUCK * 4 << 20))
        fail_msg("%u peers that do not read take %d KiB", STUCK, (int)((after - before) >> 10));
    assert_int_equal(ask(&b, &last).left, 1);
    for (unsigned i = 0; i < STUCK; i++)
        (void)close(fd[i]);
    assert_int_equal(ask(&b, &last).left, 1);
    bed_close(&b);
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

/* The seq that a subscriber hears of while the loop sleeps; 0: nothing in that time. */
static uint64_t heard_asleep(struct link *l, uint64_t wait_ms)
{
    uint64_t end = clock_mono_ms() + wait_ms;
    struct bytes msg;
    struct announce a;
    struct head h;
    while (link_recv(l, &msg) != OK) {
        if (clock_mono_ms() >= end)
            return 0;
        usleep(500);
    }
    assert_int_equal(announce_read(msg, &a), OK);
    struct rd rd = rd_over(bytes_of(a.head.body, a.head.len));
    assert_int_equal(head_read(&rd, &h), OK);
    return h.seq;
}
static void few_hear_it_from_who_commits(void **state)
{
    struct bed b;
    size_t record;
    uint64_t seq;
    (void)state;
    bed_open(&b);
    put(&b, 1);
    heard(&b, 5000, &record);                   /* connected */
    put(&b, 2);
    while ((seq = heard_asleep(b.sub, 5000)) == 1)
        continue;
    assert_int_equal(seq, 2);
    bed_close(&b);
}

/* Who commits does not send to hundreds: the loop does, all of it, in the order of the log, also what comes meanwhile. */
static void many_hear_it_from_the_loop(void **state)
{
    enum { MORE = 7 };
    struct bed b;
    struct link *more[MORE];
    struct bytes msg;
    size_t record;
    (void)state;
    bed_open(&b);
    put(&b, 1);
    heard(&b, 5000, &record);
    for (unsigned i = 0; i < MORE; i++)
        assert_int_equal(link_open(&more[i], LINK_SUB, b.publish, &b.fault), OK);
    for (unsigned i = 0; i < MORE; i++)
        assert_true(receive(&b, more[i], &msg, 10000));         /* a heartbeat: connected */
    while (link_recv(b.sub, &msg) == OK)
        continue;
    put(&b, 2);
    put(&b, 3);
    assert_int_equal(heard_asleep(b.sub, 50), 0);
    for (uint64_t want = 2; want <= 3;) {
        struct head h = heard(&b, 5000, &record);
        assert_true(record == 0 || h.seq == want);
        want += record > 0;
    }
    for (unsigned i = 0; i < MORE; i++)
        link_close(more[i]);
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
        cmocka_unit_test(serves_nothing_untold), cmocka_unit_test(serves_snapshots),
        cmocka_unit_test(serves_with_an_empty_log), cmocka_unit_test(hands_out_no_old_epoch), cmocka_unit_test(peers_that_never_read), cmocka_unit_test(posts_from_another_thread),
        cmocka_unit_test(beats_while_a_commit_is_busy),
        cmocka_unit_test(few_hear_it_from_who_commits), cmocka_unit_test(many_hear_it_from_the_loop),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
