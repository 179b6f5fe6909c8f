/* What a core tells its subscribers (replicator/publisher_tell.c), and what it answers them (publisher.c), over real sockets. */
#include "tests/unit/publisher_bed.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/msg.h"

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
/* While the loop sleeps nothing comes but what is on its way: heartbeats of what was there before. */
static void only_older(struct link *l, uint64_t seq)
{
    uint64_t got;
    while ((got = heard_asleep(l, 50)) != 0)
        assert_true(got <= seq);
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

/* More subscribers than who commits sends to itself. */
enum { MORE = 7 };
static void more_open(struct bed *b, struct link **more)
{
    struct bytes msg;
    for (unsigned i = 0; i < MORE; i++)
        assert_int_equal(link_open(&more[i], LINK_SUB, b->publish, &b->fault), OK);
    for (unsigned i = 0; i < MORE; i++)
        assert_true(receive(b, more[i], &msg, 10000));          /* a heartbeat: connected */
}

/* Who commits does not send to hundreds: the loop does, all of it, in the order of the log, also what comes meanwhile. */
static void many_hear_it_from_the_loop(void **state)
{
    struct bed b;
    struct link *more[MORE];
    size_t record;
    (void)state;
    bed_open(&b);
    put(&b, 1);
    heard(&b, 5000, &record);
    more_open(&b, more);
    b.list.left = 0;
    put(&b, 2);
    put(&b, 3);
    only_older(b.sub, 1);
    for (uint64_t want = 2; want <= 3;) {
        struct head h = heard(&b, 5000, &record);
        assert_true(record == 0 || h.seq == want);
        want += record > 0;
    }
    for (unsigned i = 0; i < MORE; i++)
        link_close(more[i]);
    bed_close(&b);
}

/* The announcements of the next message with so many in it, one behind the other; seq: of each. */
static void heard_together(struct bed *b, size_t n, uint64_t *seq)
{
    struct bytes msg;
    struct announce a;
    struct head h;
    do {
        assert_true(receive(b, b->sub, &msg, 5000));
    } while (!lot_read(msg, &b->list));
    assert_int_equal(b->list.left, n);
    for (size_t i = 0; lot_next(&b->list, &msg); i++) {
        assert_int_equal(announce_read(msg, &a), OK);
        struct rd rd = rd_over(bytes_of(a.head.body, a.head.len));
        assert_int_equal(head_read(&rd, &h), OK);
        assert_true(a.record.len > 0);
        seq[i] = h.seq;
    }
}

/* What waits for the loop is one message to each subscriber, and counted as what it is. */
static void what_waits_goes_out_together(void **state)
{
    enum { PUTS = 5 };
    static const char sent[] = "azoth_publish_announcements_total{result=\"sent\"}";
    struct bed b;
    struct link *more[MORE];
    size_t record;
    uint64_t seq[PUTS];
    (void)state;
    bed_open(&b);
    put(&b, 1);
    heard(&b, 5000, &record);
    more_open(&b, more);
    double before = metric(&b, sent);
    for (unsigned i = 0; i < PUTS; i++)
        put(&b, 2 + i);
    heard_together(&b, PUTS, seq);
    for (unsigned i = 0; i < PUTS; i++)
        assert_int_equal(seq[i], 2 + i);
    assert_true(metric(&b, sent) >= before + PUTS);
    for (unsigned i = 0; i < MORE; i++)
        link_close(more[i]);
    bed_close(&b);
}

/* A relay keeps what it forwards until it has heard all that came together: the same bytes, in one message. */
static void what_is_forwarded_goes_on_together(void **state)
{
    struct bed b;
    struct signed_head sh[2];
    uint8_t buf[2][HEAD_MAX + 200];
    struct bytes msg[2], got;
    size_t record;
    (void)state;
    bed_open(&b);
    put(&b, 1);
    struct head h = heard(&b, 5000, &record);
    for (unsigned i = 0; i < 2; i++) {
        struct wr w = wr_over(buf[i], sizeof buf[i]);
        h.seq++;
        head_sign(&sh[i], &h, &b.key);
        announce_put(&w, &sh[i], bytes_of_text("no record, but nobody looks here"));
        msg[i] = wr_done(&w);
        publisher_forward(b.publisher, msg[i], &sh[i]);
    }
    only_older(b.sub, h.seq - 2);
    publisher_send(b.publisher);
    do {
        assert_true(receive(&b, b.sub, &got, 5000));
    } while (!lot_read(got, &b.list));
    assert_int_equal(b.list.left, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_true(lot_next(&b.list, &got) && bytes_equal(got, msg[i]));
    publisher_send(b.publisher);                                /* nothing waits */
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
        cmocka_unit_test(serves_nothing_untold), cmocka_unit_test(peers_that_never_read), cmocka_unit_test(posts_from_another_thread),
        cmocka_unit_test(few_hear_it_from_who_commits), cmocka_unit_test(many_hear_it_from_the_loop), cmocka_unit_test(what_waits_goes_out_together),
        cmocka_unit_test(what_is_forwarded_goes_on_together),
        cmocka_unit_test(beats_while_a_commit_is_busy),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
