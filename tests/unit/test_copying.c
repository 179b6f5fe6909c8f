#include "tests/util.h"

#include "base/msg.h"
#include "tests/unit/replica_bed.h"

/* A replica at 3 of 6 whose place its upstream's log does not reach back to: it asks for a manifest. */
static void lost_open(struct bed *b, unsigned upstreams)
{
    bed_open(b, upstreams);
    b->core.epoch = 2;
    commits(b, 6);
    bring_to(b, 3);
    assert_int_equal(hear_seq(b, 6), OK);
    for (int i = 0; i < 4 && asked(b).type != MESSAGE_MANIFEST; i++) {
        if (asked(b).type == MESSAGE_RECORDS)
            assert_int_equal(reply(b, 5, 6, 3, 0, true), OK);
        else
            assert_int_equal(greet(b), OK);
        until_asked(b, 10000);
    }
    assert_int_equal(asked(b).type, MESSAGE_MANIFEST);
}
/* The same with a snapshot of so many chunks, of which `loaded` are in and the next has been asked for. */
static void half_open(struct bed *b, struct snap *s, unsigned upstreams, size_t chunks, size_t loaded)
{
    lost_open(b, upstreams);
    snap_make(b, s, 6, chunks, 0);
    assert_int_equal(manifest(b, s), OK);
    job(b, OK);
    for (size_t i = 0; i < loaded; i++) {
        assert_int_equal(chunk(b, s, i), OK);
        job(b, OK);
    }
    b->t.ask.len = 0;
}

/* --- when ------------------------------------------------------------------------------------------------------------------ */
static const struct { const char *why; uint64_t first, last; enum message_type asks; } empty_rows[] = {
    { "an empty log: its head is not known",    0, 0, MESSAGE_RECORDS },
    { "a short log, whole",                     1, REPLICA_LOG_SHORT, MESSAGE_RECORDS },
    { "a log of one record",                    1, 1, MESSAGE_RECORDS },
    { "a long log, though whole",               1, REPLICA_LOG_SHORT + 1, MESSAGE_MANIFEST },
    { "a short log that begins late",           2, 5, MESSAGE_MANIFEST },
};
static void empty_replica_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(empty_rows); i++) {
        struct bed b;
        struct snap snap;
        bed_open(&b, 2);
        commits(&b, 6);
        tick(&b);
        assert_int_equal(greet_log(&b, empty_rows[i].first, empty_rows[i].last), OK);
        if (asked(&b).type != empty_rows[i].asks)
            fail_msg("%s: asks %d", empty_rows[i].why, (int)asked(&b).type);
        if (empty_rows[i].asks == MESSAGE_RECORDS && empty_rows[i].first == 0) {
            assert_int_equal(reply(&b, 0, 0, 0, 0, true), OK);      /* a relay that copied: it has a head and no log */
            assert_int_equal(asked(&b).type, MESSAGE_MANIFEST);
        }
        if (asked(&b).type == MESSAGE_MANIFEST) {
            snap_make(&b, &snap, 6, 1, 0);
            copies(&b, &snap);
            tick(&b);
            assert_int_equal(figures(&b).state, REPLICA_LIVE);
        }
        bed_close(&b);
    }
}

/* The manifest's head is the first that it hears: cluster and head are taken from it. */
static void manifest_joins(void **state)
{
    struct bed b;
    struct snap snap;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 6);
    tick(&b);
    assert_int_equal(greet_log(&b, 3, 6), OK);
    assert_true(asked(&b).epoch == 0 && asked(&b).seq == 0);
    snap_make(&b, &snap, 6, 0, 0);              /* everything was deleted */
    assert_int_equal(manifest(&b, &snap), OK);
    assert_true(b.t.join && b.t.heard && b.t.job.kind == JOB_COPY && b.t.ask.len == 0);
    assert_memory_equal(b.t.cluster, b.core.cluster, CLUSTER_LEN);
    job(&b, OK);
    assert_int_equal(b.t.job.kind, JOB_FLIP);
    job(&b, OK);
    assert_int_equal(figures(&b).applied.seq, 6);
    bed_close(&b);
}

/* No snapshot is to be had: a long log that is whole will do, after every upstream was asked. */
static void log_will_do(void **state)
{
    struct bed b;
    unsigned manifests = 0;
    (void)state;
    bed_open(&b, 2);
    commits(&b, 6);
    tick(&b);
    for (int i = 0; i < 10 && asked(&b).type != MESSAGE_RECORDS; i++) {
        manifests += asked(&b).type == MESSAGE_MANIFEST;
        if (asked(&b).type == MESSAGE_HELLO)
            assert_int_equal(greet_log(&b, 1, 1000), OK);
        else
            assert_int_equal(refuse(&b, manifests == 1 ? REPLY_STORE : REPLY_UNKNOWN, 0), OK);
        until_asked(&b, 10000);
    }
    assert_true(asked(&b).type == MESSAGE_RECORDS && asked(&b).after == 0);
    assert_int_equal(manifests, 2);
    assert_int_equal(reply(&b, 1, 6, 0, 6, true), OK);
    job(&b, OK);
    assert_int_equal(figures(&b).state, REPLICA_LIVE);
    bed_close(&b);
}

/* Rotten data is followed until a snapshot is there, which then must not be older than what was applied meanwhile. */
static void rotten_goes_on(void **state)
{
    struct bed b;
    struct snap snap;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 3);
    bring_to(&b, 3);
    replica_rotten(b.r);
    tick(&b);
    assert_true(noted(&b.t, NOTE_ROTTEN) && asked(&b).type == MESSAGE_MANIFEST && asked(&b).seq == 3);
    assert_int_equal(refuse(&b, REPLY_LATER, 1000), OK);
    commits(&b, 1);
    assert_int_equal(hear_seq(&b, 4), OK);
    assert_int_equal(b.t.job.n, 1);
    job(&b, OK);
    assert_true(figures(&b).applied.seq == 4 && figures(&b).state == REPLICA_LIVE);
    until_asked(&b, 3000);
    assert_int_equal(asked(&b).seq, 4);
    commits(&b, 1);
    assert_int_equal(hear_seq(&b, 5), OK);      /* its job is done while the manifest comes */
    snap_make(&b, &snap, 4, 1, 0);
    assert_int_equal(manifest(&b, &snap), OK);
    assert_int_equal(b.t.job.kind, JOB_NONE);
    b.t.job = (struct job){ .kind = JOB_STORE, .records = &b.core.log[5], .n = 1 };
    job(&b, OK);
    assert_int_equal(figures(&b).applied.seq, 5);
    assert_int_equal(b.t.job.kind, JOB_NONE);   /* too old by now */
    until_asked(&b, 3000);
    assert_int_equal(asked(&b).seq, 5);
    snap_make(&b, &snap, 5, 2, 0);
    copies(&b, &snap);
    bed_close(&b);
}

/* A live replica that gets record 4 of 3, and the key of it never: until it asks for a snapshot. Gives the time that took. */
static uint64_t keyless(struct bed *b)
{
    bed_open(b, 1);
    commits(b, 3);
    bring_to(b, 3);
    commits(b, 1);
    uint64_t since = b->now;
    assert_int_equal(hear_seq(b, 4), OK);
    while (b->t.ask.len == 0 && b->now < since + 200000) {
        if (b->t.job.kind != JOB_NONE)
            job(b, ERR_KEY);
        if (b->t.ask.len > 0)
            break;
        b->now += 100;
        model_sign(&b->core);
        assert_int_equal(hear(b, &b->core.signed_head, (struct bytes){ 0 }), OK);
        if (b->t.job.kind == JOB_NONE && b->t.ask.len == 0)
            tick(b);
    }
    assert_true(asked(b).type == MESSAGE_MANIFEST && asked(b).seq == 4 && figures(b).state == REPLICA_LIVE);
    return b->now - since;
}

/* Servers keep some keys only. A log that is older than them is of no use; a snapshot needs none. */
static void a_key_that_nobody_has(void **state)
{
    struct bed b;
    struct snap snap;
    (void)state;
    assert_in_range(keyless(&b), 29000, 32000);
    commits(&b, 1);
    assert_int_equal(hear_seq(&b, 5), OK);      /* the log is followed meanwhile */
    assert_int_equal(b.t.job.n, 1);
    job(&b, ERR_KEY);
    assert_true(figures(&b).log.seq == 5 && figures(&b).applied.seq == 3);
    assert_int_equal(refuse(&b, REPLY_LATER, 100), OK);
    if (b.t.job.kind != JOB_NONE)
        job(&b, ERR_KEY);
    snap_make(&b, &snap, 5, 2, 0);
    copies(&b, &snap);
    assert_true(figures(&b).applied.seq == 5 && figures(&b).state == REPLICA_LIVE);
    bed_close(&b);
}

/* The key comes before the snapshot: no copy. */
static void a_key_that_comes_late(void **state)
{
    struct bed b;
    (void)state;
    (void)keyless(&b);
    assert_int_equal(refuse(&b, REPLY_LATER, 2000), OK);
    replica_keyed(b.r);
    if (b.t.job.kind == JOB_NONE)
        tick(&b);
    assert_int_equal(b.t.job.kind, JOB_STORE);
    job(&b, OK);
    assert_true(figures(&b).applied.seq == 4 && figures(&b).copies == 0);
    for (uint64_t end = b.now + 60000; b.now < end; b.now += 500) {
        model_sign(&b.core);
        assert_int_equal(hear(&b, &b.core.signed_head, (struct bytes){ 0 }), OK);
        tick(&b);
        assert_true(b.t.ask.len == 0 && b.t.job.kind == JOB_NONE);
    }
    bed_close(&b);
}

/* --- the manifest ---------------------------------------------------------------------------------------------------------- */
enum wrong { FLIPPED_SIG, OTHER_KEY, OTHER_CLUSTER, OLD_EPOCH, DEAD_END, TOO_OLD, TOO_LONG, NO_LENGTH, BEYOND, NOTHING, INNER_HEAD, TORN, LATE_PIECE };
static const struct { const char *why; enum wrong wrong; enum err want; } wrong_rows[] = {
    { "a signature with a flipped bit",         FLIPPED_SIG,    ERR_SIGNATURE },
    { "signed by another core",                 OTHER_KEY,      ERR_SIGNATURE },
    { "of another cluster, signed by our core", OTHER_CLUSTER,  ERR_CLUSTER },
    { "of an older epoch",                      OLD_EPOCH,      ERR_EPOCH },
    { "of an older epoch, but far ahead",       DEAD_END,       ERR_EPOCH },
    { "older than what is shown",               TOO_OLD,        ERR_BAD },
    { "longer than its head can need",          TOO_LONG,       ERR_LIMIT },
    { "of no length",                           NO_LENGTH,      ERR_BAD },
    { "a piece beyond its end",                 BEYOND,         ERR_BAD },
    { "an empty piece",                         NOTHING,        ERR_BAD },
    { "with another head inside",               INNER_HEAD,     ERR_BAD },
    { "with a damaged table",                   TORN,           ERR_BAD },
    { "a later piece first",                    LATE_PIECE,     ERR_BAD },
};

static enum err wrong_manifest(struct bed *b, struct snap *s, enum wrong wrong)
{
    static struct model_core other;
    struct head h = s->head;
    size_t len = s->len, total = s->len, offset = 0;
    switch (wrong) {
    case FLIPPED_SIG: s->sh.sig[5] ^= 1; break;
    case OTHER_KEY:
        model_open(&other, 12);
        head_sign(&s->sh, &h, &other.key);
        model_close(&other);
        break;
    case OTHER_CLUSTER: h.cluster[0] ^= 1; break;
    case OLD_EPOCH:     h.epoch = 1; h.seq = 5; break;
    case DEAD_END:      h.epoch = 1; h.seq = 1000; break;
    case TOO_OLD:       h.seq = 3; break;
    case TOO_LONG:      total = snapshot_manifest_most(&h) + 1; break;
    case NO_LENGTH:     total = len = 0; break;
    case BEYOND:        total = len - 1; break;
    case NOTHING:       len = 0; break;
    case INNER_HEAD:    h.time_ms++; break;
    case TORN:          s->manifest[s->len - 100] ^= 1; s->manifest[s->len - 96] ^= 1; memset(s->manifest + 300, 0, 40); break;
    case LATE_PIECE:    offset = len = len / 2; break;
    }
    if (wrong == OTHER_CLUSTER || wrong == OLD_EPOCH || wrong == DEAD_END || wrong == TOO_OLD || wrong == INNER_HEAD)
        head_sign(&s->sh, &h, &b->core.key);
    return piece(b, s, total, offset, len);
}

static void wrong_manifest_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(wrong_rows); i++) {
        struct bed b;
        struct snap snap;
        lost_open(&b, 2);
        unsigned upstream = figures(&b).upstream;
        snap_make(&b, &snap, 6, 4, 0);
        enum err got = wrong_manifest(&b, &snap, wrong_rows[i].wrong);
        if (got != wrong_rows[i].want)
            fail_msg("%s: got '%s', want '%s'", wrong_rows[i].why, err_text(got), err_text(wrong_rows[i].want));
        if (b.t.job.kind != JOB_NONE || figures(&b).state == REPLICA_COPYING)
            fail_msg("%s: is copied", wrong_rows[i].why);
        if (figures(&b).upstream == upstream || !b.t.change || asked(&b).type != MESSAGE_HELLO)
            fail_msg("%s: the next upstream is not asked", wrong_rows[i].why);
        snap_make(&b, &snap, 6, 2, 0);
        asks_manifest(&b);
        copies(&b, &snap);
        bed_close(&b);
    }
}

/* Comes in pieces; a newer head in between, or a piece that is not the next, begins anew. */
static void pieces(void **state)
{
    struct bed b;
    struct snap snap, newer;
    (void)state;
    lost_open(&b, 1);
    snap_make(&b, &snap, 6, 8, 0);
    snap_make(&b, &newer, 6, 8, 1);
    newer.head.time_ms++;
    assert_int_equal(piece(&b, &snap, snap.len, 0, 200), OK);
    assert_true(asked(&b).type == MESSAGE_MANIFEST && asked(&b).offset == 200);
    assert_int_equal(piece(&b, &snap, snap.len, 200, 100), OK);
    assert_int_equal(asked(&b).offset, 300);
    assert_int_equal(piece(&b, &snap, snap.len, 200, 100), ERR_BAD);        /* once more */
    asks_manifest(&b);
    assert_int_equal(asked(&b).offset, 0);
    assert_int_equal(piece(&b, &snap, snap.len, 0, 200), OK);
    assert_int_equal(piece(&b, &snap, snap.len + 1, 200, 10), ERR_BAD);     /* not as long as it was */
    asks_manifest(&b);
    assert_int_equal(piece(&b, &snap, snap.len, 0, 200), OK);
    struct head h = snap.head;
    h.time_ms += 1000;
    head_sign(&newer.sh, &h, &b.core.key);
    assert_int_equal(piece(&b, &newer, newer.len, 200, 100), OK);
    asks_manifest(&b);
    assert_int_equal(asked(&b).offset, 0);
    assert_int_equal(piece(&b, &snap, snap.len, 0, 200), OK);
    assert_int_equal(refuse(&b, REPLY_GONE, 0), OK);
    until_asked(&b, 10000);
    assert_int_equal(asked(&b).offset, 0);
    assert_int_equal(piece(&b, &snap, snap.len, 0, 200), OK);
    assert_int_equal(piece(&b, &snap, snap.len, 200, snap.len - 200), OK);
    assert_true(b.t.job.kind == JOB_COPY && bytes_equal(b.t.job.bytes, bytes_of(snap.manifest, snap.len)));
    bed_close(&b);
}

/* --- chunks ----------------------------------------------------------------------------------------------------------------- */
/* While one is loaded the next is on its way; one waits at most. */
static void one_waits(void **state)
{
    struct bed b;
    struct snap snap;
    (void)state;
    lost_open(&b, 1);
    snap_make(&b, &snap, 6, 4, 0);
    assert_int_equal(manifest(&b, &snap), OK);
    assert_true(b.t.job.kind == JOB_COPY && asked(&b).type == MESSAGE_CHUNK && asked(&b).offset == 0 && asked(&b).epoch == 2);
    struct todo copying = b.t;
    assert_int_equal(chunk(&b, &snap, 0), OK);
    assert_true(b.t.job.kind == JOB_NONE && b.t.ask.len == 0);     /* it waits */
    b.t = copying;
    job(&b, OK);
    assert_true(b.t.job.kind == JOB_LOAD && b.t.job.index == 0 && b.t.job.bytes.ptr[0] == 0 && asked(&b).offset == 1);
    struct todo loading = b.t;
    assert_int_equal(chunk(&b, &snap, 1), OK);
    assert_true(b.t.job.kind == JOB_NONE && b.t.ask.len == 0);
    assert_int_equal(chunk(&b, &snap, 2), OK);                      /* nobody asked */
    b.t = loading;
    job(&b, OK);
    assert_true(b.t.job.kind == JOB_LOAD && b.t.job.index == 1 && b.t.job.bytes.ptr[0] == 1 && asked(&b).offset == 2);
    job(&b, OK);
    assert_true(b.t.job.kind == JOB_NONE && b.t.ask.len == 0);
    assert_int_equal(replica_wake_ms(b.r, b.now), REPLICA_TICK_MS);
    assert_true(figures(&b).copy_done == 2 && figures(&b).copy_chunks == 4 && figures(&b).chunks == 2);
    assert_int_equal(chunk(&b, &snap, 2), OK);
    assert_true(b.t.job.index == 2 && asked(&b).offset == 3);
    loading = b.t;
    assert_int_equal(chunk(&b, &snap, 3), OK);
    assert_int_equal(b.t.ask.len, 0);
    b.t = loading;
    job(&b, OK);
    assert_int_equal(b.t.job.index, 3);
    job(&b, OK);
    assert_int_equal(b.t.job.kind, JOB_FLIP);
    job(&b, OK);
    assert_true(noted(&b.t, NOTE_COPIED) && figures(&b).applied.seq == 6 && figures(&b).copy_chunks == 0);
    bed_close(&b);
}

/* Heads are taken and sent on all the while, records are not. */
static void heads_go_on(void **state)
{
    struct bed b;
    struct snap snap;
    (void)state;
    half_open(&b, &snap, 1, 3, 1);
    commits(&b, 1);
    assert_int_equal(hear_seq(&b, 7), OK);
    assert_true(b.t.heard && b.t.forward.len > 0 && b.t.job.kind == JOB_NONE && b.t.ask.len == 0);
    assert_true(figures(&b).applied.seq == 3 && figures(&b).newest.seq == 7);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(chunk(&b, &snap, i), OK);
        job(&b, OK);
    }
    job(&b, OK);
    assert_true(asked(&b).type == MESSAGE_RECORDS && asked(&b).after == 6);
    bed_close(&b);
}

static const struct { const char *why; enum reply_error code; uint64_t wait_ms; enum message_type then; uint64_t from, to; } chunk_refusals[] = {
    { "a little later",         REPLY_LATER,    200,        MESSAGE_CHUNK,      200, 350 },
    { "at once later",          REPLY_LATER,    0,          MESSAGE_CHUNK,      1, 100 },
    { "in a year",              REPLY_LATER,    31536000000, MESSAGE_CHUNK,     30000, 45100 },
    { "not kept any more",      REPLY_GONE,     0,          MESSAGE_MANIFEST,   0, 100 },
    { "who are you?",           REPLY_NONCE,    0,          MESSAGE_HELLO,      0, 100 },
    { "you are not listed",     REPLY_UNLISTED, 0,          MESSAGE_HELLO,      REPLICA_RETRY_MS / 2, REPLICA_RETRY_MS + 100 },
    { "cannot read it",         REPLY_STORE,    0,          MESSAGE_MANIFEST,   500, 1100 },
};
static void chunk_refusal_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(chunk_refusals); i++) {
        struct bed b;
        struct snap snap;
        half_open(&b, &snap, 1, 3, 1);
        assert_int_equal(refuse(&b, chunk_refusals[i].code, chunk_refusals[i].wait_ms), OK);
        uint64_t since = b.now;
        if (b.t.job.kind == JOB_DROP)
            job(&b, OK);
        until_asked(&b, 100000);
        if (asked(&b).type != chunk_refusals[i].then || b.now - since < chunk_refusals[i].from || b.now - since > chunk_refusals[i].to)
            fail_msg("%s: asks %d after %llu ms", chunk_refusals[i].why, (int)asked(&b).type, (unsigned long long)(b.now - since));
        if (asked(&b).type == MESSAGE_CHUNK)
            assert_int_equal(asked(&b).offset, 1);
        bed_close(&b);
    }
}

/* "Later" for a minute: the next upstream. */
static void later_is_not_for_ever(void **state)
{
    struct bed b;
    bool left = false;
    (void)state;
    lost_open(&b, 2);
    uint64_t since = b.now;
    while (!left && b.now < since + 200000) {
        assert_int_equal(asked(&b).type, MESSAGE_MANIFEST);
        assert_int_equal(refuse(&b, REPLY_LATER, 5000), OK);
        left = b.t.change;
        until_asked(&b, 20000);
    }
    assert_true(left);
    assert_in_range(b.now - since, REPLICA_COPY_PATIENCE_MS, REPLICA_COPY_PATIENCE_MS + 10000);
    bed_close(&b);
}

/* --- cuts --------------------------------------------------------------------------------------------------------------------- */
/* A chunk does not come: a new connection, the manifest again, and on at the same chunk when it is the same. */
static void cut_goes_on(void **state)
{
    struct bed b;
    struct snap snap, other;
    (void)state;
    half_open(&b, &snap, 1, 5, 2);
    until_asked(&b, 30000);
    assert_true(b.t.change && asked(&b).type == MESSAGE_HELLO);
    assert_int_equal(greet(&b), OK);
    assert_true(asked(&b).type == MESSAGE_MANIFEST && asked(&b).offset == 0);
    other = snap;
    other.head.time_ms += 5;                    /* signed anew meanwhile, the entries are the same */
    head_sign(&other.sh, &other.head, &b.core.key);
    struct bytes table = bytes_of(snap.manifest + snap.len - 1 - 5 * SNAPSHOT_ROW, 5 * SNAPSHOT_ROW);
    struct snapshot_manifest m = { .about = { STORE_EDGE, other.head, other.sh }, .table = table };
    struct wr w = wr_over(other.manifest, sizeof other.manifest);
    snapshot_manifest_put(&w, &m);
    other.len = w.len;
    assert_int_equal(manifest(&b, &other), OK);
    assert_true(noted(&b.t, NOTE_COPY_SAME) && b.t.job.kind == JOB_NONE && figures(&b).resumed == 1);
    for (size_t i = 2; i < 5; i++) {
        assert_int_equal(chunk(&b, &other, i), OK);
        assert_int_equal(b.t.job.index, i);
        job(&b, OK);
    }
    assert_int_equal(b.t.job.kind, JOB_FLIP);
    bed_close(&b);
}

/* An upstream that gives all but the chunk is left at the second time; each time is longer, for slow lines. */
static void withheld_chunk(void **state)
{
    static const uint64_t waits[] = { 1, 2, 4, 8, 8 };
    struct bed b;
    struct snap snap;
    (void)state;
    half_open(&b, &snap, 2, 5, 2);
    for (size_t i = 0; i < ROWS(waits); i++) {
        unsigned before = figures(&b).upstream;
        uint64_t since = b.now;
        b.t.ask.len = 0;
        until_asked(&b, 100000);
        assert_true(b.t.change && asked(&b).type == MESSAGE_HELLO);
        assert_in_range(b.now - since, waits[i] * REPLICA_FETCH_MS, waits[i] * REPLICA_FETCH_MS + 200);
        assert_int_equal(figures(&b).upstream != before, i > 0);
        assert_int_equal(greet(&b), OK);
        assert_int_equal(manifest(&b, &snap), OK);
        assert_true(asked(&b).type == MESSAGE_CHUNK && asked(&b).offset == 2);
    }
    assert_int_equal(chunk(&b, &snap, 2), OK);
    assert_int_equal(b.t.job.kind, JOB_LOAD);
    bed_close(&b);
}

/* The next upstream has another snapshot: from the beginning. */
static void other_snapshot_begins_anew(void **state)
{
    struct bed b;
    struct snap snap, other;
    (void)state;
    half_open(&b, &snap, 2, 5, 2);
    for (uint64_t end = b.now + 20000; b.now < end && !b.t.change; b.now += 100)
        tick(&b);
    assert_true(b.t.change && asked(&b).type == MESSAGE_HELLO);
    assert_int_equal(greet(&b), OK);
    snap_make(&b, &other, 6, 3, 9);
    copies(&b, &other);
    assert_int_equal(figures(&b).copies, 2);
    bed_close(&b);
}

/* It changes while a chunk of the old one is being loaded: that one's result does not count. */
static void stale_job_does_not_count(void **state)
{
    struct bed b;
    struct snap snap, other;
    (void)state;
    half_open(&b, &snap, 1, 5, 1);
    assert_int_equal(chunk(&b, &snap, 1), OK);
    struct todo loading = b.t;
    assert_int_equal(refuse(&b, REPLY_GONE, 0), OK);        /* of chunk 2 */
    until_asked(&b, 1000);
    snap_make(&b, &other, 6, 3, 9);
    assert_int_equal(manifest(&b, &other), OK);
    assert_true(b.t.job.kind == JOB_NONE && b.t.ask.len == 0);
    b.t = loading;
    job(&b, OK);
    assert_int_equal(b.t.job.kind, JOB_COPY);
    assert_int_equal(asked(&b).offset, 0);
    job(&b, OK);
    assert_int_equal(figures(&b).copy_done, 0);
    bed_close(&b);
}

/* A new epoch from before the snapshot, while it is copied: what is begun is dropped. */
static void fork_while_copying(void **state)
{
    struct bed b;
    struct snap snap;
    (void)state;
    half_open(&b, &snap, 1, 5, 2);
    model_rewind(&b.core, 2, false);
    commits(&b, 1);
    assert_int_equal(hear_seq(&b, 3), OK);
    assert_true(noted(&b.t, NOTE_FORK) && b.t.job.kind == JOB_DROP);
    job(&b, OK);
    assert_int_equal(chunk(&b, &snap, 2), OK);              /* that was on its way */
    until_asked(&b, 5000);
    assert_true(asked(&b).type == MESSAGE_MANIFEST && asked(&b).epoch == 3);
    assert_int_equal(manifest(&b, &snap), ERR_EPOCH);
    snap_make(&b, &snap, 3, 2, 0);
    asks_manifest(&b);
    copies(&b, &snap);
    assert_int_equal(figures(&b).applied.epoch, 3);
    bed_close(&b);
}

/* --- what does not fit --------------------------------------------------------------------------------------------------------- */
static const struct { const char *why; enum job_kind at; enum err err; } unfit_rows[] = {
    { "a manifest that the store cannot read",  JOB_COPY, ERR_BAD },
    { "a damaged chunk",                        JOB_LOAD, ERR_BAD },
    { "more entries than the head says",        JOB_LOAD, ERR_LIMIT },
    { "entries missing at the end",             JOB_FLIP, ERR_BAD },
    { "another digest",                         JOB_FLIP, ERR_DIGEST },
};
static void unfit_rows_go_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(unfit_rows); i++) {
        struct bed b;
        struct snap snap;
        uint64_t before = 0, waits[4];
        lost_open(&b, 2);
        snap_make(&b, &snap, 6, 2, 0);
        for (int round = 0; round < 4; round++) {           /* a hostile upstream, again and again */
            unsigned upstream = figures(&b).upstream;
            asks_manifest(&b);
            waits[round] = b.now - before;
            assert_int_equal(manifest(&b, &snap), OK);
            job(&b, unfit_rows[i].at == JOB_COPY ? unfit_rows[i].err : OK);
            for (size_t k = 0; k < 2 && unfit_rows[i].at != JOB_COPY; k++) {
                assert_int_equal(chunk(&b, &snap, k), OK);
                assert_int_equal(b.t.job.kind, JOB_LOAD);
                bool now = unfit_rows[i].at == JOB_LOAD && k == 1;
                job(&b, now ? unfit_rows[i].err : OK);
            }
            if (unfit_rows[i].at == JOB_FLIP)
                job(&b, unfit_rows[i].err);
            if (!noted(&b.t, NOTE_COPY_BAD) || !b.t.change || figures(&b).upstream == upstream)
                fail_msg("%s: not left for another", unfit_rows[i].why);
            assert_true(b.t.job.kind == JOB_NONE && figures(&b).applied.seq == 3 && !figures(&b).stopped);
            before = b.now;
        }
        assert_true(waits[3] > waits[1] && waits[3] < 20000);
        assert_int_equal(figures(&b).copies_bad, 4);
        copies(&b, &snap);
        bed_close(&b);
    }
}

/* Damaged on its way, cut short, another one: what is loaded stays, the next upstream gives that chunk. */
static void damaged_on_its_way(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct bed b;
        struct snap snap, other;
        half_open(&b, &snap, 2, 3, 1);
        unsigned upstream = figures(&b).upstream;
        other = snap;
        other.salt++;
        assert_int_equal(i == 0 ? chunk_of(&b, &snap, 1, SNAP_STORED + 1) : i == 1 ? chunk(&b, &other, 1) : chunk(&b, &snap, 2), ERR_BAD);
        assert_true(b.t.change && figures(&b).upstream != upstream && b.t.job.kind == JOB_NONE);
        asks_manifest(&b);
        assert_int_equal(manifest(&b, &snap), OK);
        assert_true(noted(&b.t, NOTE_COPY_SAME) && asked(&b).type == MESSAGE_CHUNK && asked(&b).offset == 1);
        for (size_t k = 1; k < 3; k++) {
            assert_int_equal(chunk(&b, &snap, k), OK);
            job(&b, OK);
        }
        assert_int_equal(b.t.job.kind, JOB_FLIP);
        bed_close(&b);
    }
}

/* Time passes, with heads, until something is to be done. */
static void until_due(struct bed *b)
{
    for (uint64_t end = b->now + 200000; b->t.ask.len == 0 && b->t.job.kind == JOB_NONE && b->now < end; b->now += 50) {
        model_sign(&b->core);
        assert_int_equal(hear(b, &b->core.signed_head, (struct bytes){ 0 }), OK);
        if (b->t.ask.len == 0 && b->t.job.kind == JOB_NONE)
            tick(b);
    }
}
/* The request for it may have been sent before the store was full, or be sent now. */
static void until_chunk(struct bed *b, const struct snap *s)
{
    if (b->t.ask.len == 0)
        return;
    if (asked(b).type == MESSAGE_HELLO)
        assert_int_equal(greet(b), OK);
    if (asked(b).type == MESSAGE_MANIFEST)
        assert_int_equal(manifest(b, s), OK);
    assert_int_equal(asked(b).type, MESSAGE_CHUNK);
}

/* A full disk: data serves on, the copy begins anew, later and later. */
static void full_store(void **state)
{
    static const enum job_kind at[] = { JOB_COPY, JOB_LOAD, JOB_FLIP };
    (void)state;
    for (size_t i = 0; i < ROWS(at); i++) {
        struct bed b;
        struct snap snap;
        lost_open(&b, 1);
        snap_make(&b, &snap, 6, 1, 0);
        assert_int_equal(manifest(&b, &snap), OK);
        job(&b, at[i] == JOB_COPY ? ERR_FULL : OK);
        for (int round = 0; round < 3; round++) {
            if (b.t.job.kind == JOB_COPY)
                job(&b, at[i] == JOB_COPY ? ERR_FULL : OK);
            if (at[i] != JOB_COPY) {
                until_chunk(&b, &snap);
                assert_int_equal(chunk(&b, &snap, 0), OK);
                job(&b, at[i] == JOB_LOAD ? ERR_FULL : OK);
            }
            if (at[i] == JOB_FLIP)
                job(&b, ERR_FULL);
            assert_true(noted(&b.t, NOTE_FULL) && figures(&b).full && b.t.job.kind == JOB_NONE && figures(&b).applied.seq == 3);
            uint64_t since = b.now;
            b.t.ask.len = 0;
            while (b.t.job.kind == JOB_NONE && b.now < since + 200000) {
                until_due(&b);
                if (b.t.job.kind == JOB_NONE && asked(&b).type == MESSAGE_HELLO)    /* chunk 0 timed out meanwhile */
                    assert_int_equal(greet(&b), OK);
                if (b.t.ask.len > 0 && asked(&b).type == MESSAGE_MANIFEST)
                    assert_int_equal(manifest(&b, &snap), OK);
            }
            assert_int_equal(b.t.job.kind, JOB_COPY);
            assert_true(b.now - since >= REPLICA_RETRY_MS / 2);
        }
        job(&b, OK);
        until_chunk(&b, &snap);
        assert_int_equal(chunk(&b, &snap, 0), OK);
        job(&b, OK);
        job(&b, OK);
        assert_true(!figures(&b).full && figures(&b).applied.seq == 6);
        bed_close(&b);
    }
}

/* "Later" is no reason to give up what is loaded: with one upstream it is asked on, with others one of them may have it. */
static void later_keeps_what_is_loaded(void **state)
{
    (void)state;
    for (unsigned upstreams = 1; upstreams <= 2; upstreams++) {
        struct bed b;
        struct snap snap;
        half_open(&b, &snap, upstreams, 5, 2);
        bool left = false;
        for (uint64_t since = b.now; !left && b.now < since + 200000; until_asked(&b, 20000)) {
            if (b.t.ask.len > 0)
                assert_int_equal(asked(&b).type, MESSAGE_CHUNK);
            assert_int_equal(refuse(&b, REPLY_LATER, 5000), OK);
            assert_int_equal(b.t.job.kind, JOB_NONE);
            left = b.t.change;
        }
        assert_int_equal(left, upstreams > 1);
        if (left) {
            assert_int_equal(greet(&b), OK);
            asks_manifest(&b);
            assert_int_equal(manifest(&b, &snap), OK);
            assert_true(noted(&b.t, NOTE_COPY_SAME));
        }
        assert_true(asked(&b).type == MESSAGE_CHUNK && asked(&b).offset == 2 && figures(&b).copy_done == 2);
        bed_close(&b);
    }
}

/* A manifest each time, and never a chunk of it: the next upstream. */
static void chunks_in_vain(void **state)
{
    static const enum reply_error codes[] = { REPLY_GONE, REPLY_NONCE };
    (void)state;
    for (size_t i = 0; i < ROWS(codes); i++) {
        struct bed b;
        struct snap snap;
        half_open(&b, &snap, 2, 3, 1);
        unsigned upstream = figures(&b).upstream, vain = 1;
        for (assert_int_equal(refuse(&b, codes[i], 0), OK); !b.t.change && vain < 50; vain++) {
            until_asked(&b, 2000);
            if (asked(&b).type == MESSAGE_HELLO)
                assert_int_equal(greet(&b), OK);
            if (b.t.ask.len > 0 && asked(&b).type == MESSAGE_MANIFEST)
                assert_int_equal(manifest(&b, &snap), OK);
            until_asked(&b, 2000);
            assert_int_equal(asked(&b).type, MESSAGE_CHUNK);
            assert_int_equal(refuse(&b, codes[i], 0), OK);
        }
        assert_int_equal(figures(&b).upstream, 1 - upstream);
        assert_in_range(vain, 3, 8);
        assert_int_equal(greet(&b), OK);
        asks_manifest(&b);
        assert_int_equal(manifest(&b, &snap), OK);
        assert_true(asked(&b).type == MESSAGE_CHUNK && asked(&b).offset == 1);
        bed_close(&b);
    }
}

/* No room for a copy of rotten data: the data is followed on meanwhile. */
static void rotten_and_full(void **state)
{
    static const enum job_kind at[] = { JOB_COPY, JOB_LOAD, JOB_FLIP };
    (void)state;
    for (size_t i = 0; i < ROWS(at); i++) {
        struct bed b;
        struct snap snap;
        bed_open(&b, 1);
        commits(&b, 3);
        bring_to(&b, 3);
        replica_rotten(b.r);
        tick(&b);
        snap_make(&b, &snap, 3, 1, 0);
        assert_int_equal(manifest(&b, &snap), OK);
        assert_int_equal(b.t.job.kind, JOB_COPY);
        job(&b, at[i] == JOB_COPY ? ERR_FULL : OK);
        if (at[i] != JOB_COPY) {
            assert_int_equal(chunk(&b, &snap, 0), OK);
            job(&b, at[i] == JOB_LOAD ? ERR_FULL : OK);
        }
        if (at[i] == JOB_FLIP)
            job(&b, ERR_FULL);
        assert_true(noted(&b.t, NOTE_FULL) && figures(&b).full);
        b.now += REPLICA_RETRY_MS;
        tick(&b);
        commits(&b, 1);
        assert_int_equal(hear_seq(&b, 4), OK);
        assert_int_equal(b.t.job.kind, JOB_STORE);
        job(&b, OK);
        assert_true(figures(&b).applied.seq == 4 && !figures(&b).full);
        snap_make(&b, &snap, 4, 1, 0);
        asks_manifest(&b);
        copies(&b, &snap);
        bed_close(&b);
    }
}

/* What could not be dropped is dropped later: until then the store takes no records. */
static void drop_is_tried_again(void **state)
{
    struct bed b;
    struct snap snap;
    (void)state;
    half_open(&b, &snap, 1, 5, 2);
    model_rewind(&b.core, 2, false);
    commits(&b, 1);
    assert_int_equal(hear_seq(&b, 3), OK);
    assert_int_equal(b.t.job.kind, JOB_DROP);
    job(&b, ERR_NOMEM);
    assert_int_equal(b.t.job.kind, JOB_NONE);
    for (uint64_t end = b.now + 2 * REPLICA_RETRY_MS; b.t.job.kind == JOB_NONE && b.now < end; b.now += 50)
        tick(&b);
    assert_int_equal(b.t.job.kind, JOB_DROP);
    bed_close(&b);
}

/* Rot that is found while a snapshot is wanted for another reason is not forgotten when the log will do after all. */
static void rot_is_remembered(void **state)
{
    struct bed b;
    (void)state;
    lost_open(&b, 1);
    replica_rotten(b.r);
    tick(&b);
    assert_false(noted(&b.t, NOTE_ROTTEN));
    assert_int_equal(refuse(&b, REPLY_STORE, 0), OK);      /* no snapshot to be had: the log it is */
    assert_true(noted(&b.t, NOTE_ROTTEN));
    until_asked(&b, 10000);
    assert_int_equal(asked(&b).type, MESSAGE_RECORDS);
    bed_close(&b);
}

/* Does the jobs at hand; the request that came with them is still to be answered. */
static void stores(struct bed *b)
{
    while (b->t.job.kind == JOB_STORE) {
        struct bytes ask = b->t.ask;
        job(b, OK);
        if (b->t.ask.len == 0)
            b->t.ask = ask;
    }
}

/* Rotten data that changes all the time, and an upstream that makes its snapshot on request, in eight seconds: one that is as
 * new as our data must be had all the same. */
static void rotten_and_busy(void **state)
{
    (void)state;
    for (unsigned upstreams = 1; upstreams <= 2; upstreams++) {
        struct bed b;
        struct snap snap;
        uint64_t made_ms = 0, made_seq = 0, most_behind = 0;
        bed_open(&b, upstreams);
        commits(&b, 3);
        bring_to(&b, 3);
        replica_rotten(b.r);
        tick(&b);
        for (uint64_t end = b.now + 60000; b.now < end && figures(&b).copies == 0; b.now += 500) {
            if (b.t.ask.len > 0 && asked(&b).type == MESSAGE_HELLO)
                assert_int_equal(greet(&b), OK);
            if (b.t.ask.len > 0 && asked(&b).type == MESSAGE_RECORDS)
                assert_int_equal(reply(&b, 1, b.core.at.seq, b.log.seq, b.core.at.seq - b.log.seq, true), OK);
            if (b.t.ask.len > 0 && asked(&b).type == MESSAGE_MANIFEST) {
                uint64_t least = asked(&b).seq;
                bool made = made_ms != 0 && b.now >= made_ms;
                if (made && made_seq >= least) {
                    snap_make(&b, &snap, made_seq, 1, 0);
                    assert_int_equal(manifest(&b, &snap), OK);
                    break;
                }
                if (made_ms == 0 || made) {
                    made_ms = b.now + 8000;
                    made_seq = b.core.at.seq;
                }
                assert_int_equal(refuse(&b, REPLY_LATER, 1000), OK);
            }
            stores(&b);
            if (b.t.ask.len == 0) {
                commits(&b, 1);
                assert_int_equal(hear_seq(&b, b.core.at.seq), OK);
                stores(&b);
            }
            if (b.t.ask.len == 0)
                tick(&b);
            stores(&b);
            most_behind = b.core.at.seq - figures(&b).applied.seq > most_behind ? b.core.at.seq - figures(&b).applied.seq : most_behind;
        }
        assert_int_equal(b.t.job.kind, JOB_COPY);
        assert_int_equal(figures(&b).state, REPLICA_COPYING);
        assert_in_range(most_behind, 1, 60);
        bed_close(&b);
    }
}

/* It is not to be had, the data is followed again: when no reply comes, and when it is refused. */
static void rotten_follows_again(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct bed b;
        bed_open(&b, 1);
        commits(&b, 3);
        bring_to(&b, 3);
        replica_rotten(b.r);
        tick(&b);
        for (uint64_t since = b.now; figures(&b).state != REPLICA_COPYING && b.now < since + 20000;) {
            assert_int_equal(asked(&b).type, MESSAGE_MANIFEST);
            assert_int_equal(refuse(&b, REPLY_LATER, 1000), OK);
            until_asked(&b, 5000);
        }
        assert_int_equal(figures(&b).state, REPLICA_COPYING);
        commits(&b, 1);
        assert_int_equal(hear_seq(&b, 4), OK);
        assert_true(b.t.job.kind == JOB_NONE && figures(&b).applied.seq == 3);
        if (i == 0) {
            b.t.ask.len = 0;
            until_asked(&b, 20000);
            assert_int_equal(greet(&b), OK);
        } else if (i == 1) {
            assert_int_equal(refuse(&b, REPLY_STORE, 0), OK);
        } else {
            for (uint64_t since = b.now; figures(&b).state == REPLICA_COPYING && b.now < since + 1000000;) {
                assert_int_equal(refuse(&b, REPLY_LATER, 5000), OK);
                if (figures(&b).state == REPLICA_COPYING)
                    until_asked(&b, 10000);
            }
        }
        assert_int_not_equal(figures(&b).state, REPLICA_COPYING);
        commits(&b, 1);
        for (int k = 0; k < 40 && figures(&b).applied.seq < 5; k++) {
            until_asked(&b, 40000);
            if (asked(&b).type == MESSAGE_HELLO)
                assert_int_equal(greet(&b), OK);
            else if (asked(&b).type == MESSAGE_MANIFEST)
                assert_int_equal(refuse(&b, REPLY_STORE, 20000), OK);
            if (b.t.ask.len > 0 && asked(&b).type == MESSAGE_RECORDS)
                assert_int_equal(reply(&b, 1, 5, 3, 2, true), OK);
            stores(&b);
        }
        assert_int_equal(figures(&b).applied.seq, 5);
        bed_close(&b);
    }
}

/* A manifest that is too old when it is there, since a job was being done: rotten data is fetched on, not only heard. */
static void rotten_and_outrun(void **state)
{
    struct bed b;
    struct snap snap;
    (void)state;
    bed_open(&b, 1);
    commits(&b, 3);
    bring_to(&b, 3);
    replica_rotten(b.r);
    tick(&b);
    assert_int_equal(asked(&b).type, MESSAGE_MANIFEST);
    commits(&b, 1);
    assert_int_equal(hear_seq(&b, 4), OK);
    struct todo storing = b.t;
    snap_make(&b, &snap, 3, 1, 0);
    assert_int_equal(manifest(&b, &snap), OK);
    b.t = storing;
    job(&b, OK);
    assert_true(figures(&b).applied.seq == 4 && b.t.job.kind == JOB_NONE);
    assert_int_not_equal(figures(&b).state, REPLICA_COPYING);
    commits(&b, 2);
    for (int i = 0; i < 5 && (b.t.ask.len == 0 || asked(&b).type != MESSAGE_RECORDS); i++) {
        if (b.t.ask.len > 0)
            assert_int_equal(refuse(&b, REPLY_LATER, 2000), OK);
        until_asked(&b, 5000);
    }
    assert_true(asked(&b).type == MESSAGE_RECORDS && asked(&b).after == 4);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_replica_rows), cmocka_unit_test(manifest_joins), cmocka_unit_test(log_will_do), cmocka_unit_test(rotten_goes_on),
        cmocka_unit_test(a_key_that_nobody_has), cmocka_unit_test(a_key_that_comes_late),
        cmocka_unit_test(wrong_manifest_rows), cmocka_unit_test(pieces), cmocka_unit_test(one_waits), cmocka_unit_test(heads_go_on),
        cmocka_unit_test(chunk_refusal_rows), cmocka_unit_test(later_is_not_for_ever), cmocka_unit_test(cut_goes_on), cmocka_unit_test(withheld_chunk),
        cmocka_unit_test(other_snapshot_begins_anew), cmocka_unit_test(stale_job_does_not_count), cmocka_unit_test(fork_while_copying),
        cmocka_unit_test(unfit_rows_go_on), cmocka_unit_test(damaged_on_its_way), cmocka_unit_test(full_store),
        cmocka_unit_test(later_keeps_what_is_loaded), cmocka_unit_test(chunks_in_vain), cmocka_unit_test(rotten_and_full),
        cmocka_unit_test(drop_is_tried_again), cmocka_unit_test(rot_is_remembered), cmocka_unit_test(rotten_and_busy), cmocka_unit_test(rotten_and_outrun),
        cmocka_unit_test(rotten_follows_again),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
