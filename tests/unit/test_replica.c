#include "tests/util.h"

#include "base/msg.h"
#include "tests/unit/replica_bed.h"

/* --- the ordinary way --------------------------------------------------------------------------------------------------- */
static void first_contact(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 3);
    replica_tick(b.r, b.now, &b.t);
    assert_int_equal(asked(&b).type, MESSAGE_HELLO);
    assert_int_equal(greet(&b), OK);
    struct request q = asked(&b);               /* needs no head: the reply brings it */
    assert_true(q.type == MESSAGE_RECORDS && q.after == 0 && q.max_bytes == REPLY_RECORDS_MAX);
    assert_int_equal(reply(&b, 1, 3, 0, 3, true), OK);
    assert_true(b.t.join && b.t.heard && b.t.job.kind == JOB_STORE && b.t.job.n == 3 && b.t.job.apply_to == 3);
    assert_memory_equal(b.t.cluster, b.core.cluster, CLUSTER_LEN);
    job(&b, OK);
    assert_int_equal(figures(&b).state, REPLICA_LIVE);
    assert_true(noted(&b.t, NOTE_LIVE));
    bed_close(&b);
}

static void inline_record_is_stored_and_forwarded(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 2);
    bring_to(&b, 1);
    assert_int_equal(hear_seq(&b, 2), OK);
    assert_true(b.t.heard && b.t.forward.len > 0 && b.t.job.n == 1 && bytes_equal(b.t.job.records[0], b.core.log[2]));
    assert_int_equal(b.t.ask.len, 0);
    job(&b, OK);
    assert_int_equal(figures(&b).state, REPLICA_LIVE);
    bed_close(&b);
}

static void gap_is_fetched(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 5);
    bring_to(&b, 1);
    assert_int_equal(hear_seq(&b, 4), OK);
    assert_int_equal(b.t.job.kind, JOB_NONE);
    assert_true(asked(&b).after == 1 && asked(&b).epoch == 1);
    assert_int_equal(figures(&b).state, REPLICA_CATCHING_UP);
    assert_int_equal(reply(&b, 1, 5, 1, 4, true), OK);
    assert_int_equal(b.t.job.n, 4);
    job(&b, OK);
    assert_int_equal(figures(&b).state, REPLICA_LIVE);
    bed_close(&b);
}

/* An unfinished transaction is stored, and the fetch goes on. */
static void parts_are_kept(void **state)
{
    struct bed b;
    struct rnd rnd = rnd_seed(4);
    (void)state;
    bed_open(&b, 1);
    commits(&b, 1);
    bring_to(&b, 1);
    model_commit(&b.core, &rnd, 3, false);
    assert_int_equal(hear(&b, &b.core.signed_head, (struct bytes){ 0 }), OK);
    assert_int_equal(reply(&b, 1, 4, 1, 2, true), OK);
    assert_int_equal(b.t.job.n, 2);
    job(&b, OK);
    assert_int_equal(figures(&b).applied.seq, 1);
    assert_int_equal(asked(&b).after, 3);
    assert_int_equal(reply(&b, 1, 4, 3, 1, true), OK);
    job(&b, OK);
    assert_int_equal(figures(&b).applied.seq, 4);
    assert_int_equal(figures(&b).state, REPLICA_LIVE);
    bed_close(&b);
}

/* --- bad input -------------------------------------------------------------------------------------------------------------- */
/* What comes at a live replica that holds records 1 to 3 of 5, and what becomes of it. */
enum bad { FLIPPED_BODY, FLIPPED_RECORD, LATER_HEAD, FLIPPED_HEAD, OTHER_CLUSTER, OTHER_KEY, OLD_EPOCH, TWICE, OLD_RECORD, WRONG_ORDER, CUT_SHORT, EMPTY, NOISE, UNKNOWN_TYPE };
static const struct { const char *why; enum bad bad; enum err want; bool asks; } bad_rows[] = {
    { "ops that the head knows nothing of", FLIPPED_BODY,   ERR_BAD,        true },
    { "signature with a flipped bit",       FLIPPED_RECORD, ERR_SIGNATURE,  true },
    { "record under a heartbeat's head",    LATER_HEAD,     ERR_BAD,        true },
    { "head with a flipped bit",            FLIPPED_HEAD,   ERR_SIGNATURE,  false },
    { "from another cluster, our key",      OTHER_CLUSTER,  ERR_CLUSTER,    false },
    { "signed by another core",             OTHER_KEY,      ERR_SIGNATURE,  false },
    { "of an old epoch",                    OLD_EPOCH,      ERR_EPOCH,      false },
    { "the newest one, sent twice",         TWICE,          OK,             false },
    { "one that we have",                   OLD_RECORD,     OK,             false },
    { "in the wrong order",                 WRONG_ORDER,    OK,             true },
    { "cut short",                          CUT_SHORT,      ERR_SHORT,      false },
    { "nothing",                            EMPTY,          ERR_SHORT,      false },
    { "noise",                              NOISE,          ERR_BAD,        false },
    { "of a type that comes later",         UNKNOWN_TYPE,   ERR_FORMAT,     false },
};

static struct bytes bad_message(struct bed *b, enum bad bad)
{
    static struct model_core other;
    struct rnd rnd = rnd_seed(9);
    struct wr w = wr_over(b->msg, sizeof b->msg);
    struct signed_head sh = head_at(b, 4);
    struct bytes record = b->core.log[4];
    switch (bad) {
    case FLIPPED_BODY:
        announce_put(&w, &sh, record);
        w.buf[w.len - record.len + 86] ^= 4;        /* in the ops: another chain hash than the head's, which is good */
        break;
    case FLIPPED_RECORD:
        announce_put(&w, &sh, record);
        w.buf[w.len - 10] ^= 4;
        break;
    case LATER_HEAD: {                              /* which the core has signed, for the same place */
        uint8_t again[1024];
        struct wr aw = wr_over(again, sizeof again);
        struct record rec;
        struct head h;
        assert_int_equal(record_read(record, &rec), OK);
        h = rec.head;
        h.time_ms += 1000;
        head_sign(&sh, &h, &b->core.key);
        record_put(&aw, rec.body, rec.chain, &sh, &b->core.key);
        announce_put(&w, &sh, wr_done(&aw));
        break;
    }
    case FLIPPED_HEAD:
        sh.sig[10] ^= 1;
        announce_put(&w, &sh, record);
        break;
    case OTHER_CLUSTER:
    case OTHER_KEY:
        model_open(&other, bad == OTHER_KEY ? 12 : 11);
        other.epoch = 2;
        memset(other.cluster, bad == OTHER_KEY ? 0xc1 : 0xc2, CLUSTER_LEN);
        encoder_close(other.encoder);
        assert_int_equal(encoder_open(&other.encoder, other.cluster, &other.key), OK);
        for (int i = 0; i < 4; i++)
            model_commit(&other, &rnd, 1, false);
        announce_put(&w, &other.signed_head, other.log[4]);
        model_close(&other);
        break;
    case OLD_EPOCH: {                               /* behind our epoch, though far ahead in seq */
        struct head h = b->core.head;
        h.epoch = 1;
        h.seq = 100;
        head_sign(&sh, &h, &b->core.key);
        announce_put(&w, &sh, (struct bytes){ 0 });
        break;
    }
    case TWICE:
        sh = head_at(b, 3);
        announce_put(&w, &sh, b->core.log[3]);
        break;
    case OLD_RECORD:
        sh = head_at(b, 2);
        announce_put(&w, &sh, b->core.log[2]);
        break;
    case WRONG_ORDER:
        sh = head_at(b, 5);
        announce_put(&w, &sh, b->core.log[5]);
        break;
    case CUT_SHORT:
        announce_put(&w, &sh, record);
        w.len -= 7;
        break;
    case EMPTY: break;
    case NOISE:
        for (int i = 0; i < 60; i++)
            wr_u8(&w, 0xff);
        break;
    case UNKNOWN_TYPE:
        msg_put_array(&w, 2);
        msg_put_uint(&w, 77);
        msg_put_nil(&w);
        break;
    }
    return heap_copy(w.buf, w.len);
}

static void bad_input_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(bad_rows); i++) {
        struct bed b;
        bed_open(&b, 1);
        b.core.epoch = 2;
        commits(&b, 5);
        bring_to(&b, 3);
        struct bytes msg = bad_message(&b, bad_rows[i].bad);
        struct replica_figures before = figures(&b);
        enum err got = replica_announce(b.r, msg, b.now, &b.t);
        if (got != bad_rows[i].want)
            fail_msg("%s: got '%s', want '%s'", bad_rows[i].why, err_text(got), err_text(bad_rows[i].want));
        if (b.t.job.kind != JOB_NONE)
            fail_msg("%s: something is stored", bad_rows[i].why);
        if ((b.t.ask.len > 0) != bad_rows[i].asks)
            fail_msg("%s: %s", bad_rows[i].why, bad_rows[i].asks ? "does not fetch" : "fetches");
        struct replica_figures after = figures(&b);
        uint64_t counted = after.bad_shape + after.bad_signature + after.bad_cluster + after.bad_epoch + after.bad_format
            - before.bad_shape - before.bad_signature - before.bad_cluster - before.bad_epoch - before.bad_format;
        if (counted != (bad_rows[i].want != OK))
            fail_msg("%s: counted %llu times", bad_rows[i].why, (unsigned long long)counted);
        /* and then the right one comes, or is fetched */
        enum err later = after.state == REPLICA_LIVE ? hear_seq(&b, 4) : reply(&b, 1, 5, 3, 1, true);
        if (later != OK || b.t.job.n != 1)
            fail_msg("%s: the right record behind it is not taken", bad_rows[i].why);
        bytes_free(msg);
        bed_close(&b);
    }
}

/* The same in a reply: what stands before the bad record is kept. */
static void bad_record_in_a_reply(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 5);
    bring_to(&b, 1);
    assert_int_equal(hear_seq(&b, 5), OK);
    ((uint8_t *)(uintptr_t)b.core.log[4].ptr)[60] ^= 1;
    enum err err = reply(&b, 1, 5, 1, 4, true);
    assert_true(err == ERR_SIGNATURE || err == ERR_BAD);
    assert_int_equal(b.t.job.n, 2);
    job(&b, OK);
    assert_int_equal(asked(&b).after, 3);
    bed_close(&b);
}

/* --- forks and digests --------------------------------------------------------------------------------------------------------- */
/* From the todo that lost the place. */
static void copies_all(struct bed *b, uint64_t to)
{
    struct snap snap;
    assert_int_equal(figures(b).state, REPLICA_COPYING);
    assert_int_equal(b->t.job.kind, JOB_NONE);
    snap_make(b, &snap, to, 2, 0);
    copies(b, &snap);
    assert_int_equal(figures(b).applied.seq, to);
    tick(b);
    assert_int_equal(figures(b).state, REPLICA_LIVE);
}

/* A new epoch that goes on from our very head is just the next record. */
static void new_epoch_that_joins(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 3);
    bring_to(&b, 3);
    b.core.epoch = 2;
    commits(&b, 1);
    assert_int_equal(hear_seq(&b, 4), OK);
    assert_int_equal(b.t.job.n, 1);
    job(&b, OK);
    assert_true(figures(&b).applied.epoch == 2 && figures(&b).applied.seq == 4 && figures(&b).state == REPLICA_LIVE);
    bed_close(&b);
}

/* A new epoch from before our head: by its head alone, when it is not longer than our log ... */
static void new_epoch_behind_us(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 5);
    bring_to(&b, 5);
    model_rewind(&b.core, 2, false);
    commits(&b, 1);
    assert_int_equal(hear_seq(&b, 3), OK);
    assert_true(noted(&b.t, NOTE_FORK));
    copies_all(&b, 3);
    assert_int_equal(figures(&b).applied.epoch, 2);
    bed_close(&b);
}
/* ... and by the record that does not join, when it is. */
static void new_epoch_that_does_not_join(void **state)
{
    struct bed b;
    struct rnd rnd = rnd_seed(77);
    (void)state;
    bed_open(&b, 1);
    commits(&b, 5);
    bring_to(&b, 5);
    model_rewind(&b.core, 2, false);
    for (int i = 0; i < 5; i++)
        model_commit(&b.core, &rnd, 1, false);
    assert_int_equal(hear(&b, &b.core.signed_head, (struct bytes){ 0 }), OK);
    assert_int_equal(asked(&b).after, 5);
    assert_int_equal(reply(&b, 1, 7, 5, 2, true), OK);
    assert_true(noted(&b.t, NOTE_FORK));
    copies_all(&b, 7);
    bed_close(&b);
}
/* The same epoch and seq with another chain: a core that forgot. */
static void same_seq_other_chain(void **state)
{
    struct bed b;
    struct rnd rnd = rnd_seed(78);
    (void)state;
    bed_open(&b, 1);
    commits(&b, 3);
    bring_to(&b, 3);
    model_rewind(&b.core, 2, true);
    b.core.time_ms += 50;
    model_commit(&b.core, &rnd, 1, false);
    assert_int_equal(hear_seq(&b, 3), OK);
    assert_true(noted(&b.t, NOTE_FORK));
    copies_all(&b, 3);
    bed_close(&b);
}

static void wrong_digest_copies_once_then_stops(void **state)
{
    struct bed b;
    struct snap snap;
    struct rnd rnd = rnd_seed(79);
    (void)state;
    bed_open(&b, 1);
    commits(&b, 3);
    bring_to(&b, 3);
    model_commit(&b.core, &rnd, 1, true);
    assert_int_equal(hear_seq(&b, 4), OK);
    job(&b, ERR_DIGEST);
    assert_true(noted(&b.t, NOTE_MISMATCH) && figures(&b).state == REPLICA_COPYING);
    struct request q = asked(&b);               /* the records are good: the snapshot must be behind them */
    assert_true(q.type == MESSAGE_MANIFEST && q.epoch == 1 && q.seq == 4 && q.offset == 0);
    snap_make(&b, &snap, 4, 1, 0);
    copies(&b, &snap);
    model_commit(&b.core, &rnd, 1, true);
    assert_int_equal(hear_seq(&b, 5), OK);
    job(&b, ERR_DIGEST);
    assert_true(noted(&b.t, NOTE_STOPPED) && figures(&b).stopped && b.t.job.kind == JOB_NONE && b.t.ask.len == 0);
    b.now += 100;
    model_sign(&b.core);                        /* heads are still heard and sent on, nothing is applied */
    assert_int_equal(hear(&b, &b.core.signed_head, (struct bytes){ 0 }), OK);
    assert_true(b.t.heard && b.t.job.kind == JOB_NONE && b.t.ask.len == 0);
    b.core.epoch = 2;                           /* until a new epoch repairs it */
    b.now += 120000;
    model_commit(&b.core, &rnd, 1, false);
    assert_int_equal(hear_seq(&b, 6), OK);
    assert_false(figures(&b).stopped);
    q = asked(&b);
    assert_true(q.type == MESSAGE_MANIFEST && q.epoch == 2 && q.seq == 0);
    bed_close(&b);
}

/* What fits behind a copy clears it of suspicion: the next mismatch copies again. */
static void wrong_digest_later_copies_again(void **state)
{
    struct bed b;
    struct snap snap;
    struct rnd rnd = rnd_seed(80);
    (void)state;
    bed_open(&b, 1);
    commits(&b, 3);
    bring_to(&b, 3);
    for (uint64_t seq = 4; seq <= 6; seq += 2) {
        model_commit(&b.core, &rnd, 1, true);
        assert_int_equal(hear_seq(&b, seq), OK);
        job(&b, ERR_DIGEST);
        assert_true(!figures(&b).stopped && figures(&b).state == REPLICA_COPYING);
        snap_make(&b, &snap, seq, 1, 0);
        copies(&b, &snap);
        model_commit(&b.core, &rnd, 1, false);
        assert_int_equal(hear_seq(&b, seq + 1), OK);
        job(&b, OK);
    }
    bed_close(&b);
}

/* --- trouble --------------------------------------------------------------------------------------------------------------------- */
static void full_store_waits_and_resumes(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 3);
    bring_to(&b, 1);
    assert_int_equal(hear_seq(&b, 2), OK);
    job(&b, ERR_FULL);
    assert_true(noted(&b.t, NOTE_FULL) && figures(&b).full && b.t.ask.len == 0);
    assert_int_equal(hear_seq(&b, 3), OK);
    assert_true(b.t.heard && b.t.job.kind == JOB_NONE && b.t.ask.len == 0);     /* heard and relayed, not stored */
    b.now += REPLICA_RETRY_MS;
    model_sign(&b.core);
    assert_int_equal(hear(&b, &b.core.signed_head, (struct bytes){ 0 }), OK);
    assert_int_equal(asked(&b).after, 1);
    assert_int_equal(reply(&b, 1, 3, 1, 2, true), OK);
    job(&b, OK);
    assert_true(noted(&b.t, NOTE_RESUMED) && !figures(&b).full && figures(&b).applied.seq == 3);
    bed_close(&b);
}

static void silence_changes_the_upstream(void **state)
{
    struct bed b;
    uint64_t changed = 0;
    (void)state;
    bed_open(&b, 3);
    commits(&b, 1);
    bring_to(&b, 1);
    for (uint64_t end = b.now + 2 * REPLICA_SILENCE_MS; b.now < end && changed == 0; b.now += 100) {
        struct signed_head old = head_at(&b, 1);
        assert_int_equal(hear(&b, &old, (struct bytes){ 0 }), OK);      /* the same head again is no sign of life */
        replica_tick(b.r, b.now, &b.t);
        changed = b.t.change ? b.now : 0;
    }
    assert_in_range(changed, 1000 + REPLICA_SILENCE_MS, 1000 + REPLICA_SILENCE_MS + 100);
    assert_int_equal(b.t.upstream, 1);
    assert_int_equal(asked(&b).type, MESSAGE_HELLO);
    assert_int_equal(greet(&b), OK);
    b.now += 500;
    model_sign(&b.core);                        /* the same seq at a later time is */
    assert_int_equal(hear(&b, &b.core.signed_head, (struct bytes){ 0 }), OK);
    assert_int_equal(figures(&b).age_ms, 0);
    replica_tick(b.r, b.now + REPLICA_SILENCE_MS - 1, &b.t);
    assert_false(b.t.change);
    bed_close(&b);
}

/* Hears heads for at most so long; how long it was until another upstream was chosen, 0: none was. */
static uint64_t stays(struct bed *b, uint64_t most)
{
    for (uint64_t since = b->now; b->now - since < most;) {
        b->now += 2500;
        model_sign(&b->core);
        assert_int_equal(hear(b, &b->core.signed_head, (struct bytes){ 0 }), OK);
        tick(b);
        if (b->t.change)
            return b->now - since;
    }
    return 0;
}
static void falls_silent(struct bed *b, unsigned next)
{
    for (uint64_t end = b->now + 20 * REPLICA_SILENCE_MS; b->now < end; b->now += 100) {
        tick(b);
        if (b->t.change) {
            assert_true(noted(&b->t, NOTE_SILENT) && b->t.upstream == next);
            assert_int_equal(greet(b), OK);
            return;
        }
    }
    fail_msg("silence changed nothing");
}

/* The first of the list is tried again from a place where all is well; later and later while that is in vain. */
static void back_to_the_first(void **state)
{
    struct bed b;
    uint64_t pause = REPLICA_HOME_MS;
    (void)state;
    bed_open(&b, 2);
    commits(&b, 1);
    bring_to(&b, 1);
    falls_silent(&b, 1);
    for (unsigned i = 0; i < 6; i++) {
        assert_in_range(stays(&b, 2 * REPLICA_HOME_MOST_MS), pause / 2, pause + 2500);
        assert_true(noted(&b.t, NOTE_HOME) && b.t.upstream == 0);
        assert_int_equal(greet(&b), OK);
        if (i < 5)
            falls_silent(&b, 1);
        pause = 2 * pause < REPLICA_HOME_MOST_MS ? 2 * pause : REPLICA_HOME_MOST_MS;
    }
    assert_int_equal(stays(&b, REPLICA_HOME_MS), 0);                /* it is well there: and stays */
    falls_silent(&b, 1);
    model_commit(&b.core, &(struct rnd){ 3 }, 1, false);
    assert_int_equal(hear(&b, &b.core.signed_head, (struct bytes){ 0 }), OK);
    assert_int_equal(stays(&b, REPLICA_FETCH_MS - 2500), 0);        /* behind, and asking: no moment to leave */
    bed_close(&b);
    bed_open(&b, 2);
    commits(&b, 1);
    bring_to(&b, 1);
    for (unsigned i = 0; i < 8; i++) {                              /* the core is down: no upstream is better than the other */
        falls_silent(&b, 1);
        falls_silent(&b, 0);
    }
    falls_silent(&b, 1);
    assert_in_range(stays(&b, 2 * REPLICA_HOME_MOST_MS), REPLICA_HOME_MS / 2, REPLICA_HOME_MS + 2500);
    bed_close(&b);
    bed_open(&b, 1);                                                /* where there is no other, there is no way back */
    commits(&b, 1);
    bring_to(&b, 1);
    falls_silent(&b, 0);
    assert_int_equal(stays(&b, REPLICA_HOME_MS + 5000), 0);
    bed_close(&b);
}

/* first > our place: another upstream may reach back, once; then a snapshot. Emptied logs may be filling up again. */
static const struct { const char *why; unsigned upstreams; uint64_t first, last, wait_ms; } short_rows[] = {
    { "begins behind us, one upstream",     1, 4, 6, 0 },
    { "begins behind us, two upstreams",    2, 4, 6, 0 },
    { "empty while the head is ahead",      1, 0, 0, REPLICA_RETRY_MS },
    { "empty while the head is ahead, two", 2, 0, 0, REPLICA_RETRY_MS },
};
static void short_log_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(short_rows); i++) {
        struct bed b;
        struct snap snap;
        unsigned changes = 0;
        bed_open(&b, short_rows[i].upstreams);
        commits(&b, 6);
        bring_to(&b, 1);
        assert_int_equal(hear_seq(&b, 6), OK);
        uint64_t since = b.now;
        while (asked(&b).type != MESSAGE_MANIFEST && b.now < since + 60000) {
            if (asked(&b).type == MESSAGE_RECORDS)
                assert_int_equal(reply(&b, short_rows[i].first, short_rows[i].last, 1, 0, true), OK);
            else
                assert_int_equal(greet(&b), OK);
            changes += b.t.change;
            until_asked(&b, 60000);
        }
        assert_int_equal(asked(&b).type, MESSAGE_MANIFEST);
        if (changes != short_rows[i].upstreams - 1 || b.now < since + short_rows[i].wait_ms / 2)
            fail_msg("%s: %u changes, after %llu ms", short_rows[i].why, changes, (unsigned long long)(b.now - since));
        assert_true(asked(&b).seq == 2 && asked(&b).epoch == 1);
        assert_int_equal(figures(&b).state, REPLICA_CATCHING_UP);   /* until there is a snapshot */
        snap_make(&b, &snap, 5, 1, 0);
        copies(&b, &snap);
        assert_int_equal(asked(&b).after, 5);                       /* and on behind it */
        assert_int_equal(reply(&b, 5, 6, 5, 1, true), OK);
        job(&b, OK);
        assert_int_equal(figures(&b).state, REPLICA_LIVE);
        bed_close(&b);
    }
}

/* Its heads come, its log has nothing for us: a relay that is full, say. upstreams: in the list. */
static void heads_without_records(void **state)
{
    static const struct { unsigned upstreams; bool gives; bool says, leaves; } rows[] = {
        { 1, false, true, false },
        { 2, false, true, true },
        { 2, true, false, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bed b;
        bool said = false, left = false;
        uint64_t given = 0;
        bed_open(&b, rows[i].upstreams);
        commits(&b, 40);
        bring_to(&b, 1);
        for (uint64_t end = b.now + REPLICA_STALL_MS + 2000; b.now < end && !left; b.now += 500) {
            model_sign(&b.core);
            assert_int_equal(hear(&b, &b.core.signed_head, (struct bytes){ 0 }), OK);
            if (b.t.ask.len == 0)
                replica_tick(b.r, b.now, &b.t);
            said = said || noted(&b.t, NOTE_STALLED);
            left = b.t.change;
            while (b.t.ask.len > 0 && !left) {
                bool gives = rows[i].gives && b.now >= given + 5000;
                if (asked(&b).type == MESSAGE_HELLO) {
                    assert_int_equal(greet(&b), OK);
                } else {
                    assert_int_equal(reply(&b, 1, b.log.seq + gives, b.log.seq, gives, true), OK);
                    given = gives ? b.now : given;
                }
                if (b.t.job.kind != JOB_NONE)
                    job(&b, OK);
            }
        }
        if (said != rows[i].says || left != rows[i].leaves)
            fail_msg("row %zu: said %d left %d", i, said, left);
        bed_close(&b);
    }
}

/* At the first timeout, on a new connection: a broken one is silent for ever. */
static void lost_reply_is_asked_for_again(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 2);
    commits(&b, 3);
    bring_to(&b, 1);
    assert_int_equal(hear_seq(&b, 3), OK);
    assert_int_equal(asked(&b).after, 1);
    uint64_t since = b.now;
    b.t.ask.len = 0;
    until_asked(&b, 30000);
    assert_true(b.t.change && b.t.upstream == 0 && asked(&b).type == MESSAGE_HELLO);
    assert_in_range(b.now - since, REPLICA_FETCH_MS, REPLICA_FETCH_MS + 100);
    since = b.now;
    b.t.ask.len = 0;                            /* hello too, over the new one: the next upstream */
    until_asked(&b, 30000);
    assert_true(b.t.change && b.t.upstream == 1 && asked(&b).type == MESSAGE_HELLO);
    assert_in_range(b.now - since, REPLICA_HELLO_MS, REPLICA_HELLO_MS + 100);
    assert_int_equal(figures(&b).timeouts, 2);
    assert_int_equal(greet(&b), OK);
    assert_true(asked(&b).after == 1 && asked(&b).max_bytes == REPLY_RECORDS_MAX / 2);
    bed_close(&b);
}

/* What a refused request for records leads to, and how soon. */
static const struct { enum reply_error code; uint64_t wait_ms; enum message_type then; bool change; uint64_t from, to; } refusals[] = {
    { REPLY_STORE,      0,      MESSAGE_RECORDS,    false, 1000, 2100 },
    { REPLY_LATER,      500,    MESSAGE_RECORDS,    false, 500, 1100 },
    { REPLY_NONCE,      0,      MESSAGE_HELLO,      false, 0, 100 },
    { REPLY_UNLISTED,   0,      MESSAGE_HELLO,      true, REPLICA_RETRY_MS / 2, REPLICA_RETRY_MS + 100 },
};
static void refusal_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(refusals); i++) {
        struct bed b;
        bed_open(&b, 2);
        commits(&b, 3);
        bring_to(&b, 1);
        assert_int_equal(hear_seq(&b, 3), OK);
        assert_int_equal(refuse(&b, refusals[i].code, refusals[i].wait_ms), OK);
        assert_int_equal(b.t.ask.len, 0);
        assert_int_equal(reply(&b, 1, 3, 1, 2, true), OK);      /* nobody asked */
        assert_int_equal(b.t.job.kind, JOB_NONE);
        uint64_t since = b.now;
        until_asked(&b, 30000);
        if (asked(&b).type != refusals[i].then || b.t.change != refusals[i].change || b.now - since < refusals[i].from
            || b.now - since > refusals[i].to)
            fail_msg("code %d: asks %d after %llu ms", (int)refusals[i].code, (int)asked(&b).type, (unsigned long long)(b.now - since));
        bed_close(&b);
    }
}

/* Only as far as the head releases to our cohort. */
static void cohort_holds_back(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 3);
    bring_to(&b, 1);
    struct head h = b.core.head;
    struct signed_head sh;
    h.time_ms += 10;
    h.cohorts[0].released = 2;
    head_sign(&sh, &h, &b.core.key);
    assert_int_equal(hear(&b, &sh, (struct bytes){ 0 }), OK);
    assert_int_equal(reply(&b, 1, 3, 1, 2, false), OK);
    assert_true(b.t.job.n == 2 && b.t.job.apply_to == 2);
    struct job_result res = { .err = OK, .complete = 3 };
    struct record rec;
    assert_int_equal(record_read(b.core.log[2], &rec), OK);
    position_move(&res.applied, &rec);
    assert_int_equal(record_read(b.core.log[3], &rec), OK);
    res.log = res.applied;
    position_move(&res.log, &rec);
    replica_stored(b.r, &res, b.now, &b.t);
    assert_int_equal(b.t.job.kind, JOB_NONE);
    h.time_ms += 10;
    h.cohorts[0].released = 3;
    head_sign(&sh, &h, &b.core.key);
    assert_int_equal(hear(&b, &sh, (struct bytes){ 0 }), OK);
    assert_true(b.t.job.kind == JOB_STORE && b.t.job.n == 0 && b.t.job.apply_to == 3);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_contact), cmocka_unit_test(inline_record_is_stored_and_forwarded), cmocka_unit_test(gap_is_fetched),
        cmocka_unit_test(parts_are_kept), cmocka_unit_test(bad_input_rows), cmocka_unit_test(bad_record_in_a_reply),
        cmocka_unit_test(new_epoch_that_joins), cmocka_unit_test(new_epoch_behind_us),
        cmocka_unit_test(new_epoch_that_does_not_join), cmocka_unit_test(same_seq_other_chain),
        cmocka_unit_test(wrong_digest_copies_once_then_stops), cmocka_unit_test(wrong_digest_later_copies_again),
        cmocka_unit_test(full_store_waits_and_resumes),
        cmocka_unit_test(silence_changes_the_upstream), cmocka_unit_test(back_to_the_first), cmocka_unit_test(short_log_rows),
        cmocka_unit_test(heads_without_records),
        cmocka_unit_test(lost_reply_is_asked_for_again), cmocka_unit_test(refusal_rows), cmocka_unit_test(cohort_holds_back),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
