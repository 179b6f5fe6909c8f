/* Announced records that wait for the store: the buffer, and what a replica does with it. */
#include "tests/util.h"

#include "base/msg.h"
#include "replicator/held.h"
#include "tests/unit/replica_bed.h"

static struct position place(uint64_t seq)
{
    struct position p = { .epoch = 1, .seq = seq };
    memset(p.chain, (int)seq, sizeof p.chain);
    return p;
}

static bool put(struct held *h, uint64_t seq, size_t len)
{
    struct position from = held_count(h) > 0 ? h->end : place(seq - 1), end = place(seq);
    uint8_t *bytes = malloc(len);
    memset(bytes, (int)seq, len);
    bool held = held_put(h, bytes_of(bytes, len), &from, &end);
    free(bytes);
    return held;
}

static void all_at_once(void **state)
{
    static struct bytes out[HELD_RECORDS];
    struct held h = { .gathering = 0 };
    struct position log = place(4), later = place(7);
    (void)state;
    assert_int_equal(held_take(&h, &log, out), 0);
    for (uint64_t seq = 5; seq <= 7; seq++)
        assert_true(put(&h, seq, 10 * seq));
    assert_true(held_count(&h) == 3 && h.end.seq == 7);
    assert_int_equal(held_take(&h, &log, out), 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(out[i].len == 10 * (5 + i) && out[i].ptr[0] == 5 + i && out[i].ptr[out[i].len - 1] == 5 + i);
    assert_int_equal(held_count(&h), 0);
    assert_true(put(&h, 8, 100000));            /* while those are borrowed */
    assert_true(out[2].ptr[0] == 7 && out[2].ptr[69] == 7);
    assert_int_equal(held_take(&h, &later, out), 1);
    assert_true(out[0].len == 100000 && out[0].ptr[99999] == 8);
    held_release(&h);
}

static void what_does_not_join_is_dropped(void **state)
{
    static struct bytes out[HELD_RECORDS];
    const struct { const char *why; uint64_t seq; uint8_t chain; uint64_t epoch; size_t want; } rows[] = {
        { "right behind the log", 4, 4, 1, 2 },
        { "the log did not move", 3, 3, 1, 0 },
        { "the log moved past",   5, 5, 1, 0 },
        { "another history",      4, 9, 1, 0 },
        { "another epoch",        4, 4, 2, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct held h = { .gathering = 0 };
        struct position log = { .epoch = rows[i].epoch, .seq = rows[i].seq };
        memset(log.chain, rows[i].chain, sizeof log.chain);
        assert_true(put(&h, 5, 10) && put(&h, 6, 10));
        size_t n = held_take(&h, &log, out);
        if (n != rows[i].want || held_count(&h) != 0)
            fail_msg("%s: %zu taken, %zu left", rows[i].why, n, held_count(&h));
        held_release(&h);
    }
}

static void bounds(void **state)
{
    static struct bytes out[HELD_RECORDS];
    struct held h = { .gathering = 0 };
    struct position log = place(0);
    (void)state;
    for (uint64_t seq = 1; seq <= HELD_RECORDS; seq++)
        assert_true(put(&h, seq, 1));
    assert_false(put(&h, HELD_RECORDS + 1, 1));
    assert_int_equal(held_take(&h, &log, out), HELD_RECORDS);
    assert_true(put(&h, 1, HELD_BYTES));
    assert_false(put(&h, 2, 1));
    assert_int_equal(held_take(&h, &log, out), 1);
    assert_false(put(&h, 1, HELD_BYTES + 1));
    assert_int_equal(held_count(&h), 0);
    held_release(&h);
}

/* --- in a replica --------------------------------------------------------------------------------------------------------- */
static enum err only_hear(struct bed *b, uint64_t seq)
{
    struct signed_head sh = head_at(b, seq);
    struct wr w = wr_over(b->msg, sizeof b->msg);
    announce_put(&w, &sh, b->core.log[seq]);
    enum err err = ERR_AGAIN;
    assert_true(replica_gather(b->r, wr_done(&w)) && replica_hear(b->r, b->now, &err, &b->t));
    assert_true(b->t.job.kind == JOB_NONE && b->t.ask.len == 0);
    return err;
}

static void job_is(const struct bed *b, uint64_t first, size_t n)
{
    assert_int_equal(b->t.job.kind, JOB_STORE);
    assert_int_equal(b->t.job.n, n);
    for (size_t i = 0; i < n; i++)
        assert_true(bytes_equal(b->t.job.records[i], b->core.log[first + i]));
}

static void live_at_one(struct bed *b, unsigned commits_n)
{
    bed_open(b, 1);
    commits(b, commits_n);
    bring_to(b, 1);
}

static void what_waits_is_one_job(void **state)
{
    struct bed b;
    (void)state;
    live_at_one(&b, 5);
    for (uint64_t seq = 2; seq <= 4; seq++) {
        assert_int_equal(only_hear(&b, seq), OK);
        assert_true(b.t.heard && b.t.forward.len > 0);          /* each is forwarded before any is stored */
    }
    replica_go(b.r, b.now, &b.t);
    job_is(&b, 2, 3);
    assert_int_equal(b.t.ask.len, 0);
    job(&b, OK);
    assert_true(figures(&b).applied.seq == 4 && figures(&b).state == REPLICA_LIVE && b.t.job.kind == JOB_NONE);
    replica_go(b.r, b.now, &b.t);
    assert_true(b.t.job.kind == JOB_NONE && b.t.ask.len == 0);
    bed_close(&b);
}

static void what_comes_during_a_job_is_the_next(void **state)
{
    struct bed b;
    struct todo first;
    (void)state;
    live_at_one(&b, 5);
    assert_int_equal(hear_seq(&b, 2), OK);
    first = b.t;
    assert_int_equal(hear_seq(&b, 3), OK);
    assert_int_equal(b.t.job.kind, JOB_NONE);
    assert_int_equal(hear_seq(&b, 3), OK);                      /* twice */
    assert_int_equal(hear_seq(&b, 4), OK);
    assert_true(bytes_equal(first.job.records[0], b.core.log[2]));      /* still what it was */
    b.t = first;
    job(&b, OK);
    job_is(&b, 3, 2);
    job(&b, OK);
    assert_true(figures(&b).applied.seq == 4 && figures(&b).state == REPLICA_LIVE && figures(&b).fetches == 1);
    bed_close(&b);
}

static void a_gap_is_not_held(void **state)
{
    struct bed b;
    struct todo first;
    (void)state;
    live_at_one(&b, 6);
    assert_int_equal(hear_seq(&b, 2), OK);
    first = b.t;
    assert_int_equal(hear_seq(&b, 3), OK);
    assert_int_equal(hear_seq(&b, 5), OK);                      /* 4 was lost */
    b.t = first;
    job(&b, OK);
    job_is(&b, 3, 1);
    job(&b, OK);
    assert_int_equal(asked(&b).after, 3);
    assert_int_equal(reply(&b, 1, 5, 3, 2, true), OK);
    job_is(&b, 4, 2);
    job(&b, OK);
    assert_int_equal(figures(&b).applied.seq, 5);
    bed_close(&b);
}

/* The store refused what they stand behind: they join no more, or still do when it was tried again. */
static void behind_a_job_that_failed(void **state)
{
    struct bed b;
    struct todo first;
    (void)state;
    live_at_one(&b, 5);
    assert_int_equal(hear_seq(&b, 2), OK);
    first = b.t;
    assert_int_equal(hear_seq(&b, 3), OK);
    b.t = first;
    job(&b, ERR_FULL);
    assert_int_equal(b.t.job.kind, JOB_NONE);
    for (int i = 0; i < 200 && b.t.ask.len == 0; i++, b.now += 50) {
        model_sign(&b.core);
        assert_int_equal(hear(&b, &b.core.signed_head, (struct bytes){ 0 }), OK);
        assert_int_equal(b.t.job.kind, JOB_NONE);               /* 3 does not join at 1 */
    }
    assert_int_equal(asked(&b).after, 1);
    assert_int_equal(reply(&b, 1, 5, 1, 4, true), OK);
    job_is(&b, 2, 4);
    job(&b, OK);
    assert_int_equal(figures(&b).applied.seq, 5);
    bed_close(&b);
}

/* A reply that comes while a job is done was asked for from before it: asked for again, without waiting. */
static void a_reply_beside_a_job(void **state)
{
    struct bed b;
    (void)state;
    live_at_one(&b, 6);
    assert_int_equal(hear_seq(&b, 4), OK);
    assert_int_equal(asked(&b).after, 1);
    assert_int_equal(hear_seq(&b, 2), OK);
    job_is(&b, 2, 1);
    struct todo first = b.t;
    assert_int_equal(reply(&b, 1, 4, 1, 3, false), OK);
    assert_int_equal(b.t.job.kind, JOB_NONE);
    b.t = first;
    job(&b, OK);
    assert_int_equal(asked(&b).after, 2);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_at_once), cmocka_unit_test(what_does_not_join_is_dropped), cmocka_unit_test(bounds),
        cmocka_unit_test(what_waits_is_one_job), cmocka_unit_test(what_comes_during_a_job_is_the_next),
        cmocka_unit_test(a_gap_is_not_held), cmocka_unit_test(behind_a_job_that_failed), cmocka_unit_test(a_reply_beside_a_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
