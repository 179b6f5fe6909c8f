/* What a core or relay hands out for copying: snapshots, over real sockets, whatever its log and epoch are meanwhile. */
#include "store/snapshot.h"
#include "tests/unit/publisher_bed.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_snapshots), cmocka_unit_test(serves_with_an_empty_log), cmocka_unit_test(hands_out_no_old_epoch),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
