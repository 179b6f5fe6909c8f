/* Announcements that came together: what is believed of them, and how many signatures that takes. */
#include "tests/util.h"

#include "base/msg.h"
#include "replicator/gathered.h"
#include "tests/unit/replica_bed.h"

#define HAVE 1                          /* the replica has records up to here */
#define MADE 9                          /* the core has made these */
#define LOT 12                          /* announcements at most in a row */

enum what {
    END,
    RECORD,         /* a head and its record */
    BARE,           /* the head alone */
    BEAT,           /* a later head of the same place, alone */
    FLIPPED,        /* head and record under a signature with a flipped bit */
    FALSE_DIGEST,   /* another digest in the head, also in the record's; the body is true, the signature the old one */
    OTHER_KEY,      /* the same, signed by somebody else */
    FALSE_BODY,     /* a record with other ops under the true head */
    FALSE_WITNESS,  /* a body that names the one before it with a FALSE_DIGEST, under a head of another key */
    OTHER_CLUSTER,  /* by our core's key, for another cluster */
    NOISE,
    WHATS
};
struct told { enum what what; uint64_t seq; };

/* --- the announcements ---------------------------------------------------------------------------------------------------- */
/* The record around another body, or under another head. */
static void put(struct wr *w, const struct record *rec, struct bytes body, const struct signed_head *sh)
{
    uint8_t buf[2048];
    struct wr rw = wr_over(buf, sizeof buf);
    record_put(&rw, body, rec->chain, sh, NULL);
    announce_put(w, sh, wr_done(&rw));
}

static struct signed_head false_digest(const struct record *rec)
{
    struct signed_head sh;
    struct head h = rec->head;
    h.digest[3] ^= 1;
    head_put(&sh, &h);
    memcpy(sh.sig, rec->signed_head.sig, HEAD_SIG_LEN);
    return sh;
}

static void false_witness(struct bed *b, const struct record *rec, uint8_t out[CHAIN_LEN])
{
    struct record before;
    assert_int_equal(record_read(b->core.log[rec->seq - 1], &before), OK);
    struct signed_head sh = false_digest(&before);
    record_witness(before.chain, &sh, out);
}

static void put_forged(struct bed *b, struct wr *w, enum what what, const struct record *rec)
{
    struct node_key other = { .pub = { 0 } };
    uint8_t seed[crypto_sign_SEEDBYTES] = { 99 }, body[512];
    struct signed_head sh = rec->signed_head;
    struct head h = rec->head;
    crypto_sign_seed_keypair(other.pub, other.secret, seed);
    memcpy(body, rec->body.ptr, rec->body.len);
    switch (what) {
    case FLIPPED:
        sh.sig[20] ^= 1;
        break;
    case FALSE_DIGEST:
        sh = false_digest(rec);
        break;
    case OTHER_KEY:
        h.digest[3] ^= 1;
        head_sign(&sh, &h, &other);
        break;
    case FALSE_BODY:
        body[rec->body.len - CHAIN_LEN - 4] ^= 1;
        break;
    case FALSE_WITNESS:
        false_witness(b, rec, body + rec->body.len - CHAIN_LEN);
        record_chain(bytes_of(body, rec->body.len), h.chain);
        head_sign(&sh, &h, &other);
        break;
    case OTHER_CLUSTER:
        h.cluster[0] ^= 1;
        body[3] ^= 1;                   /* behind the array and the bin */
        record_chain(bytes_of(body, rec->body.len), h.chain);
        head_sign(&sh, &h, &b->core.key);
        break;
    default: break;
    }
    put(w, rec, bytes_of(body, rec->body.len), &sh);
}

static struct bytes message(struct bed *b, const struct told *told)
{
    struct wr w = wr_over(b->msg, sizeof b->msg);
    struct record rec;
    struct signed_head sh;
    assert_int_equal(record_read(b->core.log[told->seq], &rec), OK);
    struct head h = rec.head;
    switch (told->what) {
    case RECORD: announce_put(&w, &rec.signed_head, b->core.log[told->seq]); break;
    case BARE:   announce_put(&w, &rec.signed_head, (struct bytes){ 0 }); break;
    case BEAT:
        h.time_ms += 1;
        head_sign(&sh, &h, &b->core.key);
        announce_put(&w, &sh, (struct bytes){ 0 });
        break;
    case NOISE:
        for (int i = 0; i < 40; i++)
            wr_u8(&w, 0xf1);
        break;
    default: put_forged(b, &w, told->what, &rec);
    }
    assert_false(w.full);
    return wr_done(&w);
}

/* --- what becomes of them --------------------------------------------------------------------------------------------------- */
struct became { uint64_t signatures, heard, refused, newest; size_t stored; };

static bool is_made(struct bed *b, const struct signed_head *sh)
{
    struct record rec;
    for (uint64_t seq = 1; seq <= b->core.at.seq; seq++) {
        assert_int_equal(record_read(b->core.log[seq], &rec), OK);
        bool same = memcmp(rec.signed_head.sig, sh->sig, HEAD_SIG_LEN) == 0;
        if (same && (rec.signed_head.len != sh->len || memcmp(rec.signed_head.body, sh->body, sh->len) != 0))
            return false;
    }
    return head_verify(sh, b->core.key.pub) == OK;
}

/* Hears all that was gathered, and goes; *out adds up. What is heard, forwarded or stored is the core's, whatever came. */
static void hear_all(struct bed *b, const char *why, struct became *out)
{
    enum err err;
    struct announce a;
    struct record rec;
    while (replica_hear(b->r, b->now, &err, &b->t)) {
        out->refused += err != OK;
        out->heard += b->t.heard;
        if (b->t.job.kind != JOB_NONE || b->t.ask.len > 0)
            fail_msg("%s: a job, or a request, before all is heard", why);
        if (!b->t.heard)
            continue;
        assert_int_equal(announce_read(b->t.forward, &a), OK);
        if (!is_made(b, &b->t.head) || memcmp(a.head.sig, b->t.head.sig, HEAD_SIG_LEN) != 0)
            fail_msg("%s: a head is told that the core did not sign", why);
    }
    replica_go(b->r, b->now, &b->t);
    for (size_t i = 0; i < b->t.job.n; i++) {
        assert_int_equal(record_read(b->t.job.records[i], &rec), OK);
        if (!bytes_equal(b->t.job.records[i], b->core.log[rec.seq]))
            fail_msg("%s: record %llu is stored, and not as the core made it", why, (unsigned long long)rec.seq);
    }
    out->stored += b->t.job.n;
    out->newest = figures(b).newest.seq;
}

static void bed_make(struct bed *b, uint64_t epoch_from, bool silent)
{
    bed_open(b, 1);
    b->core.silent = silent;
    for (uint64_t seq = 1; seq <= MADE; seq++) {
        if (seq == epoch_from)
            b->core.epoch++;
        model_commit(&b->core, &(struct rnd){ seq }, 1, false);
    }
    bring_to(b, HAVE);
}

/* --- rows ------------------------------------------------------------------------------------------------------------------- */
static const struct {
    const char *why;
    struct told told[LOT];
    struct became want;                 /* signatures, heard, refused, newest, stored */
    uint64_t epoch_from;                /* a new one begins with this record */
    bool silent;
} rows[] = {
    { "one alone is looked at alone", { { RECORD, 2 } }, { 1, 1, 0, 2, 1 }, 0, false },
    { "of those that follow each other, the last proves all", { { RECORD, 2 }, { RECORD, 3 }, { RECORD, 4 }, { RECORD, 5 } }, { 1, 4, 0, 5, 4 }, 0, false },
    { "also over a change of epoch", { { RECORD, 2 }, { RECORD, 3 }, { RECORD, 4 }, { RECORD, 5 } }, { 1, 4, 0, 5, 4 }, 4, false },
    { "those of a core that names none before are looked at one by one", { { RECORD, 2 }, { RECORD, 3 }, { RECORD, 4 } }, { 3, 3, 0, 4, 3 }, 0, true },
    { "what comes twice costs nothing", { { RECORD, 2 }, { RECORD, 2 }, { RECORD, 3 }, { RECORD, 3 } }, { 1, 2, 0, 3, 2 }, 0, false },
    { "nor does what is there already", { { RECORD, 1 }, { RECORD, 2 }, { RECORD, 1 }, { RECORD, 3 } }, { 1, 2, 0, 3, 2 }, 0, false },
    { "nothing is looked at when nothing is new", { { RECORD, 1 }, { RECORD, 1 }, { BARE, 1 } }, { 0, 0, 0, 1, 0 }, 0, false },
    { "heartbeats between them are overtaken", { { BEAT, 1 }, { RECORD, 2 }, { BEAT, 2 }, { RECORD, 3 }, { BEAT, 2 }, { RECORD, 4 } }, { 1, 3, 0, 4, 3 }, 0, false },
    { "one behind them is not, and needs its own", { { RECORD, 2 }, { RECORD, 3 }, { BEAT, 3 } }, { 2, 3, 0, 3, 2 }, 0, false },
    { "heads alone prove no record", { { BARE, 2 }, { BARE, 3 }, { BARE, 4 } }, { 3, 3, 0, 4, 0 }, 0, false },
    { "behind a gap a chain of its own begins", { { RECORD, 2 }, { RECORD, 3 }, { RECORD, 5 }, { RECORD, 6 } }, { 2, 4, 0, 6, 2 }, 0, false },
    { "a record that is fetched is a gap", { { RECORD, 2 }, { BARE, 3 }, { RECORD, 4 } }, { 2, 2, 0, 4, 1 }, 0, false },
    { "past each other they are looked at one by one", { { RECORD, 3 }, { RECORD, 2 }, { RECORD, 4 } }, { 3, 2, 0, 4, 1 }, 0, false },
    { "also when each comes twice", { { RECORD, 3 }, { RECORD, 2 }, { RECORD, 3 }, { RECORD, 2 } }, { 2, 1, 0, 3, 2 }, 0, false },
    { "noise between them changes nothing", { { NOISE, 1 }, { RECORD, 2 }, { NOISE, 1 }, { RECORD, 3 }, { NOISE, 1 } }, { 1, 2, 3, 3, 2 }, 0, false },
    { "a forged last one costs its own signature", { { RECORD, 2 }, { RECORD, 3 }, { RECORD, 4 }, { FLIPPED, 5 } }, { 2, 3, 1, 4, 3 }, 0, false },
    { "one signed by another key likewise", { { RECORD, 2 }, { RECORD, 3 }, { OTHER_KEY, 4 } }, { 2, 2, 1, 3, 2 }, 0, false },
    { "a forged one beside the true one takes nothing with it", { { RECORD, 2 }, { FLIPPED, 3 }, { RECORD, 3 }, { RECORD, 4 } }, { 2, 3, 1, 4, 3 }, 0, false },
    { "a false digest around a true body is not what the next one names", { { RECORD, 2 }, { FALSE_DIGEST, 3 }, { RECORD, 4 } }, { 3, 2, 1, 4, 1 }, 0, false },
    { "nor is a signature with a flipped bit", { { RECORD, 2 }, { FLIPPED, 3 }, { RECORD, 4 } }, { 3, 2, 1, 4, 1 }, 0, false },
    { "the first of the lot as well", { { FALSE_DIGEST, 2 }, { RECORD, 3 }, { RECORD, 4 } }, { 2, 2, 1, 4, 0 }, 0, false },
    { "a false record under a true head: the head is news, the record is not", { { RECORD, 2 }, { FALSE_BODY, 3 }, { RECORD, 4 } }, { 3, 3, 1, 4, 1 }, 0, false },
    { "who is no core names in vain", { { RECORD, 2 }, { FALSE_DIGEST, 3 }, { FALSE_WITNESS, 4 } }, { 3, 1, 2, 2, 1 }, 0, false },
    { "another cluster's head is no proof", { { RECORD, 2 }, { OTHER_CLUSTER, 3 }, { RECORD, 3 } }, { 2, 2, 1, 3, 2 }, 0, false },
    { "nor does it overtake a heartbeat", { { RECORD, 2 }, { BEAT, 2 }, { OTHER_CLUSTER, 3 } }, { 3, 2, 1, 2, 1 }, 0, false },
    { "all forged: each is looked at once", { { FLIPPED, 2 }, { FLIPPED, 3 }, { FLIPPED, 4 }, { OTHER_KEY, 5 }, { FLIPPED, 6 } }, { 5, 0, 5, 1, 0 }, 0, false },
};

static void lot_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bed b;
        struct became got = { .stored = 0 }, want = rows[i].want;
        bed_make(&b, rows[i].epoch_from, rows[i].silent);
        uint64_t before = figures(&b).signatures;
        b.now += 100;
        for (size_t k = 0; k < LOT && rows[i].told[k].what != END; k++)
            assert_true(replica_gather(b.r, message(&b, &rows[i].told[k])));
        assert_int_equal(figures(&b).newest.seq, HAVE);             /* what is not heard yet moves nothing */
        hear_all(&b, rows[i].why, &got);
        got.signatures = figures(&b).signatures - before;
        if (memcmp(&got, &want, sizeof got) != 0)
            fail_msg("%s: %llu signatures %llu heard %llu refused, newest %llu, %zu stored", rows[i].why, (unsigned long long)got.signatures,
                     (unsigned long long)got.heard, (unsigned long long)got.refused, (unsigned long long)got.newest, got.stored);
        assert_int_equal(figures(&b).age_ms, want.heard > 0 ? 0 : 100);
        bed_close(&b);
    }
}

/* --- together as one by one ------------------------------------------------------------------------------------------------- */
/* The same is known then; and as much is stored, or more, where a head alone that went ahead of its epoch's first record is passed over. */
static void any_lot(uint64_t seed)
{
    static struct lot lot;
    struct rnd rnd = rnd_seed(seed);
    struct bed together, alone;
    struct became a = { .stored = 0 }, b = { .stored = 0 };
    char why[40];
    (void)snprintf(why, sizeof why, "seed %llu", (unsigned long long)seed);
    uint64_t epoch_from = rnd_below(&rnd, 2 * MADE), at = HAVE + 1;
    bool silent = rnd_below(&rnd, 8) == 0;
    bed_make(&together, epoch_from, silent);
    bed_make(&alone, epoch_from, silent);
    unsigned lies = rnd_below(&rnd, 40);
    for (unsigned k = 0, n = 1 + rnd_below(&rnd, LOT); k < n; k++) {
        bool lie = rnd_below(&rnd, 100) < lies;
        struct told told = { lie ? (enum what)(1 + rnd_below(&rnd, WHATS - 1)) : RECORD, at };
        if (lie && rnd_below(&rnd, 2) == 0)
            told.seq = 2 + rnd_below(&rnd, MADE - 1);
        else if (at < MADE)
            at++;
        if (silent && told.what == FALSE_BODY)      /* it is made for one with a witness */
            told.what = FLIPPED;
        struct bytes msg = message(&together, &told);
        if (rnd_below(&rnd, 2) == 0) {              /* it comes with the next one */
            assert_true(lot_put(&lot, msg));
        } else if (lot.n > 0) {
            assert_true(lot_put(&lot, msg) && replica_gather(together.r, lot_done(&lot)));
        } else {
            assert_true(replica_gather(together.r, msg));
        }
        (void)replica_gather(alone.r, message(&alone, &told));
        enum err err;
        struct todo t;
        while (replica_hear(alone.r, alone.now, &err, &t))
            continue;
    }
    if (lot.n > 0)
        assert_true(replica_gather(together.r, lot_done(&lot)));
    hear_all(&together, why, &a);
    hear_all(&alone, why, &b);
    if (a.stored < b.stored || a.newest != b.newest)
        fail_msg("%s: together %zu stored, newest %llu; one by one %zu, %llu", why, a.stored, (unsigned long long)a.newest, b.stored,
                 (unsigned long long)b.newest);
    bed_close(&together);
    bed_close(&alone);
}

static void together_is_as_one_by_one(void **state)
{
    uint64_t first = seed_from_env(1);
    (void)state;
    for (uint64_t seed = first; seed < first + 300; seed++)
        any_lot(seed);
}

/* --- bounds ------------------------------------------------------------------------------------------------------------------ */
static void a_lot_is_bounded(void **state)
{
    struct gathered g = { .n = 0 };
    static uint8_t large[ANNOUNCE_MAX];
    static struct lot lot;
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < GATHERED_MAX - LOT_MOST; i++)
        assert_true(gathered_put(&g, bytes_of_text("x")));
    for (size_t i = 0; i < LOT_MOST; i++)
        assert_true(lot_put(&lot, bytes_of_text(i < LOT_MOST - 1 ? "y" : "z")));
    assert_false(gathered_put(&g, lot_done(&lot)));                 /* the last that there is room for */
    assert_int_equal(g.n, GATHERED_MAX);
    assert_true(bytes_equal(gathered_at(&g, GATHERED_MAX - 2), bytes_of_text("y")));
    assert_true(bytes_equal(gathered_at(&g, GATHERED_MAX - 1), bytes_of_text("z")));
    assert_false(gathered_put(&g, bytes_of_text("more")));
    assert_int_equal(g.n, GATHERED_MAX);
    gathered_clear(&g);
    while (gathered_put(&g, bytes_of(large, sizeof large)))
        n++;
    assert_true(g.n == n + 1 && g.used <= GATHERED_BYTES);           /* all found room, and another of that size would not */
    assert_true(GATHERED_BYTES - g.used < ANNOUNCE_MAX);
    gathered_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lot_rows), cmocka_unit_test(together_is_as_one_by_one), cmocka_unit_test(a_lot_is_bounded),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
