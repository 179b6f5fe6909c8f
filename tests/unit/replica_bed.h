/* A replica under test, with a core in memory that made some records, and snapshots of a size of our choice. */
#ifndef AZOTH_TESTS_REPLICA_BED_H
#define AZOTH_TESTS_REPLICA_BED_H

#include "replicator/replica.h"
#include "store/snapshot.h"
#include "tests/sim/model.h"

/* A replica with a core that made a few records; jobs are done in the head: the log and the data just follow. */
struct bed {
    struct model_core core;
    struct replica *r;
    struct position log, applied;
    uint64_t complete, now;
    struct todo t;
    struct position copied;                     /* of the snapshot that the next flip shows */
    uint8_t msg[16384];
};

static inline void bed_open(struct bed *b, unsigned upstreams)
{
    struct replica_options o = { .cohort = "all", .node = "unit", .upstreams = upstreams, .seed = 5 };
    struct replica_start at = { .complete = 0 };
    memset(b, 0, sizeof *b);
    model_open(&b->core, 11);
    memcpy(o.core_pub, b->core.key.pub, 32);
    b->now = 1000;
    assert_int_equal(replica_open(&b->r, &o, &at, b->now), OK);
}
static inline void tick(struct bed *b)
{
    replica_tick(b->r, b->now, &b->t);
}
static inline void bed_close(struct bed *b)
{
    replica_close(b->r);
    model_close(&b->core);
}
static inline struct replica_figures figures(struct bed *b)
{
    struct replica_figures f;
    replica_figures(b->r, b->now, &f);
    return f;
}
static inline bool noted(const struct todo *t, enum note_kind kind)
{
    for (unsigned i = 0; i < t->notes_n; i++)
        if (t->notes[i].kind == kind)
            return true;
    return false;
}

/* Does the job of b->t, with that result. */
static inline void job(struct bed *b, enum err err)
{
    struct job_result res = { .err = err };
    struct record rec;
    enum job_kind kind = b->t.job.kind;
    assert_int_not_equal(kind, JOB_NONE);
    for (size_t i = 0; i < b->t.job.n && err != ERR_FULL; i++) {
        assert_int_equal(record_read(b->t.job.records[i], &rec), OK);
        assert_int_equal(record_joins(&b->log, &rec), OK);
        position_move(&b->log, &rec);
        if (!rec.more) {
            b->complete = rec.seq;
            if (err == OK)
                b->applied = b->log;
        }
    }
    if (kind == JOB_STORE && err == OK && b->complete == b->log.seq)
        b->applied = b->log;
    if (kind == JOB_FLIP && err == OK) {
        b->log = b->applied = b->copied;
        b->complete = b->copied.seq;
    }
    res.log = b->log;
    res.applied = b->applied;
    res.complete = b->complete;
    replica_stored(b->r, &res, b->now, &b->t);
}

static inline enum err hear(struct bed *b, const struct signed_head *sh, struct bytes record)
{
    struct wr w = wr_over(b->msg, sizeof b->msg);
    announce_put(&w, sh, record);
    return replica_announce(b->r, wr_done(&w), b->now, &b->t);
}
static inline struct signed_head head_at(struct bed *b, uint64_t seq)
{
    struct record rec;
    assert_int_equal(record_read(b->core.log[seq], &rec), OK);
    return rec.signed_head;
}
static inline enum err hear_seq(struct bed *b, uint64_t seq)
{
    struct signed_head sh = head_at(b, seq);
    return hear(b, &sh, b->core.log[seq]);
}

static inline enum err reply(struct bed *b, uint64_t first, uint64_t last, uint64_t after, uint64_t n, bool head)
{
    struct wr w = wr_over(b->msg, sizeof b->msg);
    reply_records_put(&w, after, first, last, head ? &b->core.signed_head : NULL, (uint32_t)n);
    for (uint64_t i = 1; i <= n; i++)
        msg_put_bin(&w, b->core.log[after + i]);
    return replica_reply(b->r, wr_done(&w), b->now, &b->t);
}
/* first, last: of the log that the upstream tells of. */
static inline enum err greet_log(struct bed *b, uint64_t first, uint64_t last)
{
    uint8_t nonce[NONCE_LEN] = { 0 };
    struct wr w = wr_over(b->msg, sizeof b->msg);
    reply_hello_put(&w, nonce, b->core.cluster, first, last, "core", b->core.key.pub);
    return replica_reply(b->r, wr_done(&w), b->now, &b->t);
}
static inline enum err greet(struct bed *b)
{
    return greet_log(b, 0, 0);
}
static inline enum err refuse(struct bed *b, enum reply_error code, uint64_t wait_ms)
{
    struct wr w = wr_over(b->msg, sizeof b->msg);
    reply_error_put(&w, code, "no", wait_ms);
    return replica_reply(b->r, wr_done(&w), b->now, &b->t);
}
static inline struct request asked(const struct bed *b)
{
    struct request q;
    assert_true(b->t.ask.len > 0);
    assert_int_equal(request_read(b->t.ask, &q), OK);
    return q;
}

/* Up to seq in the log and the data, live and greeted. */
static inline void bring_to(struct bed *b, uint64_t seq)
{
    tick(b);
    if (b->t.ask.len > 0 && asked(b).type == MESSAGE_HELLO) {
        assert_int_equal(greet(b), OK);
        assert_int_equal(reply(b, 0, 0, 0, 0, false), OK);
    }
    for (uint64_t i = b->log.seq + 1; i <= seq; i++) {
        assert_int_equal(hear_seq(b, i), OK);
        assert_int_equal(b->t.job.n, 1);
        job(b, OK);
    }
    assert_int_equal(figures(b).state, REPLICA_LIVE);
    assert_int_equal(figures(b).applied.seq, seq);
}

static inline void commits(struct bed *b, unsigned n)
{
    struct rnd rnd = rnd_seed(3);
    for (unsigned i = 0; i < n; i++)
        model_commit(&b->core, &rnd, 1, false);
}

/* --- snapshots ---------------------------------------------------------------------------------------------------------- */
/* A manifest that fits its head; the chunks are what its table says in length only: whoever looks inside is not here. */
#define SNAP_RAW 900000
#define SNAP_STORED 100
struct snap {
    struct head head;
    struct signed_head sh;
    uint8_t manifest[4096];
    size_t len, chunks;
    uint8_t salt;
};
static inline void snap_bytes(uint8_t bytes[SNAP_STORED], size_t index, uint8_t salt)
{
    memset(bytes, salt, SNAP_STORED);
    bytes[0] = (uint8_t)index;
}
/* Of the core's record at seq, with so many chunks; salt: two with different ones differ in a hash. */
static inline void snap_make(struct bed *b, struct snap *s, uint64_t seq, size_t chunks, uint8_t salt)
{
    uint8_t rows[64 * SNAPSHOT_ROW];
    struct record rec;
    struct wr w = wr_over(rows, sizeof rows);
    assert_int_equal(record_read(b->core.log[seq], &rec), OK);
    *s = (struct snap){ .head = rec.head, .chunks = chunks, .salt = salt };
    for (size_t i = 0; i < chunks; i++) {
        struct snapshot_chunk c = { .entries = 10, .raw = SNAP_RAW, .stored = SNAP_STORED };
        uint8_t bytes[SNAP_STORED];
        snap_bytes(bytes, i, salt);
        (void)crypto_generichash(c.hash, sizeof c.hash, bytes, sizeof bytes, NULL, 0);
        snapshot_row_put(&w, &c);
    }
    s->head.keys = 10 * chunks;
    s->head.bytes = chunks * SNAP_RAW - 7 * s->head.keys;
    head_sign(&s->sh, &s->head, &b->core.key);
    struct snapshot_manifest m = { .about = { STORE_CORE, s->head, s->sh }, .table = wr_done(&w) };
    struct wr out = wr_over(s->manifest, sizeof s->manifest);
    snapshot_manifest_put(&out, &m);
    assert_false(out.full);
    s->len = out.len;
}
/* The piece at offset as it is, with any total. */
static inline enum err piece(struct bed *b, const struct snap *s, uint64_t total, size_t offset, size_t len)
{
    struct wr w = wr_over(b->msg, sizeof b->msg);
    reply_manifest_put(&w, &s->sh, total, offset, bytes_of(s->manifest + offset, len));
    b->copied = (struct position){ .epoch = s->head.epoch, .seq = s->head.seq };
    memcpy(b->copied.chain, s->head.chain, CHAIN_LEN);
    return replica_reply(b->r, wr_done(&w), b->now, &b->t);
}
static inline enum err manifest(struct bed *b, const struct snap *s)
{
    return piece(b, s, s->len, 0, s->len);
}
static inline enum err chunk_of(struct bed *b, const struct snap *s, size_t index, size_t len)
{
    uint8_t bytes[2 * SNAP_STORED] = { 0 };
    snap_bytes(bytes, index, s->salt);
    struct wr w = wr_over(b->msg, sizeof b->msg);
    reply_chunk_put(&w, s->head.epoch, s->head.seq, index, bytes_of(bytes, len));
    return replica_reply(b->r, wr_done(&w), b->now, &b->t);
}
static inline enum err chunk(struct bed *b, const struct snap *s, size_t index)
{
    return chunk_of(b, s, index, SNAP_STORED);
}
/* Ticks until something is asked for, heads coming all the while so that nobody is silent. */
static inline void until_asked(struct bed *b, uint64_t most_ms)
{
    for (uint64_t end = b->now + most_ms; b->t.ask.len == 0 && b->now < end; b->now += 50) {
        struct todo t;
        struct wr w = wr_over(b->msg, sizeof b->msg);
        model_sign(&b->core);
        announce_put(&w, &b->core.signed_head, (struct bytes){ 0 });
        assert_int_equal(replica_announce(b->r, wr_done(&w), b->now, &t), OK);
        b->t = t;
        if (b->t.ask.len == 0 && b->t.job.kind == JOB_NONE)
            tick(b);
        if (b->t.job.kind == JOB_DROP && b->t.ask.len == 0)
            job(b, OK);
    }
    assert_true(b->t.ask.len > 0);
}
/* Answers hello, and that the log begins late, and goes on to the manifest's request. */
static inline void asks_manifest(struct bed *b)
{
    until_asked(b, 200000);
    for (int i = 0; i < 6 && asked(b).type != MESSAGE_MANIFEST; i++) {
        if (asked(b).type == MESSAGE_HELLO)
            assert_int_equal(greet_log(b, 1, b->core.at.seq), OK);
        else
            assert_int_equal(reply(b, b->core.at.seq, b->core.at.seq, b->log.seq, 0, true), OK);
        until_asked(b, 200000);
    }
    assert_int_equal(asked(b).type, MESSAGE_MANIFEST);
}
/* All of it, from the manifest's request on, to the flip's result. */
static inline void copies(struct bed *b, const struct snap *s)
{
    asks_manifest(b);
    assert_int_equal(manifest(b, s), OK);
    assert_int_equal(b->t.job.kind, JOB_COPY);
    if (s->chunks > 0)
        assert_true(asked(b).type == MESSAGE_CHUNK && asked(b).offset == 0 && asked(b).seq == s->head.seq);
    assert_int_equal(figures(b).state, REPLICA_COPYING);
    job(b, OK);
    for (size_t i = 0; i < s->chunks; i++) {
        assert_int_equal(chunk(b, s, i), OK);
        assert_true(b->t.job.kind == JOB_LOAD && b->t.job.index == i && b->t.job.bytes.len == SNAP_STORED);
        if (i + 1 < s->chunks)
            assert_true(asked(b).type == MESSAGE_CHUNK && asked(b).offset == i + 1);
        job(b, OK);
    }
    assert_int_equal(b->t.job.kind, JOB_FLIP);
    job(b, OK);
    assert_true(noted(&b->t, NOTE_COPIED));
    assert_int_not_equal(figures(b).state, REPLICA_COPYING);
    assert_int_equal(figures(b).applied.seq, s->head.seq);
}

#endif
