/* Values of general namespaces, transactions with conditions, and their grouping. */
#include "tests/unit/kv_bed.h"

#include <pthread.h>
#include <sodium.h>

#include "base/clock.h"
#include "builder/kv_writer.h"
#include "replicator/committer.h"
#include "replicator/replay.h"

/* --- the codec -------------------------------------------------------------------------------------------------- */
static const struct { const char *why, *hex; enum err want; uint64_t seq; size_t len; } values[] = {
    { "the example of FORMAT.md",    "92 07 c4 02 68 69",            OK, 7, 2 },
    { "an empty value",              "92 01 c4 00",                  OK, 1, 0 },
    { "a large seq",                 "92 cf 0000000100000000 c4 00", OK, (uint64_t)1 << 32, 0 },
    { "elements of a newer version", "93 07 c4 02 68 69 c3",         OK, 7, 2 },
    { "bytes behind it",             "92 07 c4 02 68 69 00",         ERR_BAD, 0, 0 },
    { "no bytes",                    "91 07",                        ERR_BAD, 0, 0 },
    { "text in place of bytes",      "92 07 a2 68 69",               ERR_BAD, 0, 0 },
    { "seq in a longer form",        "92 cc 07 c4 02 68 69",         ERR_BAD, 0, 0 },
    { "length in a longer form",     "92 07 c5 0002 68 69",          ERR_BAD, 0, 0 },
    { "a negative seq",              "92 ff c4 00",                  ERR_BAD, 0, 0 },
    { "cut off in the bytes",        "92 07 c4 02 68",               ERR_SHORT, 0, 0 },
    { "nothing",                     "",                             ERR_SHORT, 0, 0 },
};
static void value_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(values); i++) {
        struct bytes in = heap_from_hex(values[i].hex);
        struct kvvalue v = { 99, { 0 } };
        enum err got = kvvalue_read(in, &v);
        if (got != values[i].want || (got == OK && (v.seq != values[i].seq || v.bytes.len != values[i].len))
            || (got != OK && v.seq != 99))
            fail_msg("%s: got '%s'", values[i].why, err_text(got));
        bytes_free(in);
    }
}

static void value_sizes(void **state)
{
    static uint8_t bytes[KV_BYTES_MAX], buf[KV_BYTES_MAX + KV_WRAP_MAX];
    const size_t lens[] = { 0, 1, 255, 256, 65535, 65536, KV_BYTES_MAX };
    const uint64_t seqs[] = { 0, 1, 127, 128, 65536, UINT64_MAX };
    (void)state;
    for (size_t i = 0; i < ROWS(lens); i++)
        for (size_t k = 0; k < ROWS(seqs); k++) {
            struct wr w = wr_over(buf, lens[i] + KV_WRAP_MAX);
            struct kvvalue v;
            kvvalue_write(&w, &(struct kvvalue){ seqs[k], bytes_of(bytes, lens[i]) });
            assert_false(w.full);
            assert_int_equal(kvvalue_read(wr_done(&w), &v), OK);
            assert_true(v.seq == seqs[k] && v.bytes.len == lens[i]);
        }
}

static void version_texts(void **state)
{
    const struct { const char *text; enum err want; } rows[] = {
        { "1.7", OK }, { "0.0", OK }, { "18446744073709551615.18446744073709551615", OK }, { "7", ERR_BAD },
        { "1.", ERR_BAD }, { ".7", ERR_BAD }, { "1.7.8", ERR_BAD }, { "1.-7", ERR_BAD }, { " 1.7", ERR_BAD },
        { "1.18446744073709551616", ERR_BAD }, { "", ERR_BAD }, { "1111111111111111111111111111111.7", ERR_BAD },
    };
    char text[KV_VERSION_TEXT_MAX];
    struct kv_version v;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        if (kv_version_read(rows[i].text, &v) != rows[i].want)
            fail_msg("'%s'", rows[i].text);
        if (rows[i].want == OK)
            assert_string_equal(kv_version_text(text, v), rows[i].text);
    }
    char key[32];
    assert_string_equal(kv_text(key, sizeof key, bytes_of("a\\ \0\xff", 5)), "a\\\\ \\x00\\xff");
    assert_string_equal(kv_text(key, 8, bytes_of("abcdefghij", 10)), "abcd");
}

/* --- one transaction -------------------------------------------------------------------------------------------- */
static void entry_is(struct kv_bed *b, const char *ns, const char *key, uint64_t want_seq, const char *want)
{
    struct bytes value;
    uint64_t seq = 0;
    bool there = kv_bed_get(b, ns, bytes_of_text(key), &seq, &value);
    if (there != (want != NULL))
        fail_msg("%s/%s is %sthere", ns, key, there ? "" : "not ");
    if (!there)
        return;
    if (seq != want_seq || !bytes_equal(value, bytes_of_text(want)))
        fail_msg("%s/%s: seq %llu, '%.*s'", ns, key, (unsigned long long)seq, (int)value.len, (const char *)value.ptr);
    bytes_free(value);
}
static void done_with(struct kv_result r, uint64_t seq)
{
    if (r.end != KV_DONE || r.version.seq != seq || r.version.epoch != 1)
        fail_msg("end %d, version %llu.%llu, not %llu: %s", r.end, (unsigned long long)r.version.epoch,
                 (unsigned long long)r.version.seq, (unsigned long long)seq, fault_text(&r.fault, r.err));
}

static void versions(void **state)
{
    struct kv_bed b;
    struct op put = kv_put("a", "k", "v"), del = kv_del("a", "k");
    (void)state;
    kv_bed_open(&b, 0);
    done_with(kv_bed_run(&b, &put, NULL, 1), 1);
    entry_is(&b, "a", "k", 1, "v");
    done_with(kv_bed_run(&b, &put, NULL, 1), 2);        /* the same bytes: a new version all the same */
    entry_is(&b, "a", "k", 2, "v");
    done_with(kv_bed_run(&b, &del, NULL, 1), 3);
    entry_is(&b, "a", "k", 0, NULL);
    done_with(kv_bed_run(&b, &del, NULL, 1), 3);        /* nothing to delete: no transaction */
    struct op both[] = { put, del };
    done_with(kv_bed_run(&b, both, NULL, 2), 3);        /* nothing left of it */
    struct op twice[] = { kv_put("a", "k", "1"), kv_put("b", "k", "2"), kv_put("a", "k", "3") };
    done_with(kv_bed_run(&b, twice, NULL, 3), 4);       /* the last one counts */
    entry_is(&b, "a", "k", 4, "3");
    entry_is(&b, "b", "k", 4, "2");
    assert_int_equal(b.told, 4);
    kv_bed_close(&b);
}

static void conditions(void **state)
{
    struct kv_bed b;
    struct op put = kv_put("a", "k", "v"), del = kv_del("a", "k"), first = kv_put("a", "first", "1");
    const struct { const char *why; struct kv_cond cond; bool there, holds; } rows[] = {
        { "any, not there",             { KV_ANY, { 0 } },                  false, true },
        { "absent, not there",          { KV_IF_ABSENT, { 0 } },            false, true },
        { "present, not there",         { KV_IF_PRESENT, { 0 } },           false, false },
        { "version, not there",         { KV_IF_VERSION, { 1, 1 } },        false, false },
        { "version 0, not there",       { KV_IF_VERSION, { 1, 0 } },        false, false },
        { "any, there",                 { KV_ANY, { 0 } },                  true, true },
        { "absent, there",              { KV_IF_ABSENT, { 0 } },            true, false },
        { "present, there",             { KV_IF_PRESENT, { 0 } },           true, true },
        { "its version",                { KV_IF_VERSION, { 1, 0 } },        true, true },       /* seq is filled in */
        { "another epoch's",            { KV_IF_VERSION, { 2, 0 } },        true, false },
    };
    (void)state;
    kv_bed_open(&b, 0);
    done_with(kv_bed_run(&b, &first, NULL, 1), 1);
    for (size_t i = 0; i < ROWS(rows); i++) {
        (void)kv_bed_run(&b, rows[i].there ? &put : &del, NULL, 1);
        struct bytes value;
        uint64_t seq = 0;
        if (kv_bed_get(&b, "a", bytes_of_text("k"), &seq, &value))
            bytes_free(value);
        struct kv_cond conds[] = { { .kind = KV_ANY }, rows[i].cond };
        if (rows[i].there && conds[1].kind == KV_IF_VERSION)
            conds[1].version.seq = seq;
        unsigned told = b.told;
        struct op ops[] = { kv_put("a", "beside", "x"), kv_put("a", "k", "new") };
        struct kv_result r = kv_bed_run(&b, ops, conds, 2);
        if ((r.end == KV_DONE) != rows[i].holds || (r.end != KV_DONE && r.end != KV_REFUSED))
            fail_msg("%s: end %d", rows[i].why, r.end);
        if (rows[i].holds)
            continue;
        assert_true(r.at == 1 && r.present == rows[i].there && b.told == told);
        assert_true(r.version.epoch == 1 && r.version.seq == seq);
        entry_is(&b, "a", "k", seq, rows[i].there ? "v" : NULL);
    }
    struct kv_cond stale[] = { { KV_IF_VERSION, { 1, 1 } } };
    assert_int_equal(kv_bed_run(&b, &put, stale, 1).end, KV_REFUSED);
    kv_bed_close(&b);
}

/* Conditions look at what was before the transaction, not at its own ops. */
static void conditions_look_back(void **state)
{
    struct kv_bed b;
    struct op ops[] = { kv_put("a", "k", "1"), kv_put("a", "k", "2"), kv_del("a", "other") };
    const struct kv_cond absent[] = { { .kind = KV_IF_ABSENT }, { .kind = KV_IF_ABSENT }, { .kind = KV_ANY } };
    (void)state;
    kv_bed_open(&b, 0);
    done_with(kv_bed_run(&b, ops, absent, 3), 1);
    entry_is(&b, "a", "k", 1, "2");
    assert_int_equal(kv_bed_run(&b, ops, absent, 3).at, 0);
    kv_bed_close(&b);
}

static void limits(void **state)
{
    static uint8_t big[KV_BYTES_MAX + 1];
    struct kv_bed b;
    struct bytes ns = bytes_of_text("a"), key = bytes_of(big, KV_KEY_MAX), value = bytes_of(big, KV_BYTES_MAX);
    const struct { const char *why; struct op op; } rows[] = {
        { "key too long", { OP_PUT, ns, bytes_of(big, KV_KEY_MAX + 1), value } },
        { "key empty", { OP_PUT, ns, bytes_of(big, 0), value } },
        { "value too long", { OP_PUT, ns, key, bytes_of(big, KV_BYTES_MAX + 1) } },
        { "dns", { OP_PUT, bytes_of_text("dns"), key, value } },
        { "dns, delete", { OP_DEL, bytes_of_text("dns"), key, { 0 } } },
        { "no namespace", { OP_PUT, bytes_of_text("A"), key, value } },
        { "namespace too long", { OP_PUT, bytes_of_text("abcdefghijklmnopqrstuvwxyz0123456"), key, value } },
    };
    (void)state;
    kv_bed_open(&b, 0);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct op ops[] = { kv_put("a", "k", "v"), rows[i].op };
        struct kv_result r = kv_bed_run(&b, ops, NULL, 2);
        if (r.end != KV_FAILED || r.err != ERR_LIMIT || b.told != 0 || r.fault.text[0] == '\0')
            fail_msg("%s: end %d, %s", rows[i].why, r.end, err_text(r.err));
    }
    struct op fits = { OP_PUT, ns, key, value };
    done_with(kv_bed_run(&b, &fits, NULL, 1), 1);
    for (unsigned i = 1; i < STORE_NAMESPACES_MAX - 1; i++) {       /* a and dns are there */
        char name[16];
        (void)snprintf(name, sizeof name, "n%u", i);
        struct op op = kv_put(name, "k", "v");
        done_with(kv_bed_run(&b, &op, NULL, 1), 1 + i);
    }
    struct op more = kv_put("one-more", "k", "v");
    assert_int_equal(kv_bed_run(&b, &more, NULL, 1).err, ERR_LIMIT);
    kv_bed_close(&b);
}

/* A transaction of several parts: each value carries the seq of its part, and the log says the same when replayed. */
static void parts(void **state)
{
    enum { N = 12 };
    static uint8_t big[KV_BYTES_MAX];
    const size_t lens[N] = { 10, KV_BYTES_MAX, 10, KV_BYTES_MAX / 2, KV_BYTES_MAX / 2 - 100, 10, 10, KV_BYTES_MAX,
                             KV_BYTES_MAX - 40, 0, 1, 500000 };
    struct kv_bed b;
    struct op ops[N], *decoded = NULL;
    uint64_t seqs[N], first = 0, last = 0;
    char keys[N][4];
    struct kv_txn t = { .ops = ops, .n = N, .seqs = seqs }, *list[] = { &t };
    struct fault fault = { "" };
    struct log_reader *reader = NULL;
    struct arena arena;
    uint8_t *buf = malloc(RECORD_MAX);
    size_t n = 0, need, seen = 0;
    (void)state;
    randombytes_buf(big, sizeof big);           /* so that it does not compress */
    kv_bed_open(&b, 0);
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%02u", (unsigned)i);
        ops[i] = (struct op){ OP_PUT, bytes_of_text("a"), bytes_of_text(keys[i]), bytes_of(big, lens[i]) };
    }
    for (unsigned i = 0; i < 125; i++) {        /* seq 126 and on: their length changes inside the transaction */
        struct op small = kv_put("a", "small", "x");
        done_with(kv_bed_run(&b, &small, NULL, 1), 1 + i);
    }
    assert_int_equal(kv_commit(b.committer, list, 1), 1);
    assert_int_equal(t.result.end, KV_DONE);
    assert_true(t.result.version.seq == seqs[N - 1] && seqs[0] == 126 && seqs[N - 1] > 129);
    for (size_t i = 0; i < N; i++) {
        struct bytes value;
        uint64_t seq = 0;
        assert_true(kv_bed_get(&b, "a", bytes_of_text(keys[i]), &seq, &value));
        assert_true(seq == seqs[i] && value.len == lens[i]);
        bytes_free(value);
    }
    arena_init(&arena);
    assert_int_equal(log_range(b.store, &first, &last), OK);
    assert_int_equal(last, seqs[N - 1]);
    assert_int_equal(log_reader_open(b.store, &reader, &fault), OK);
    assert_int_equal(log_reader_begin(reader), OK);
    for (uint64_t seq = 126; seq <= last; seq++) {
        struct bytes record;
        struct record r;
        assert_int_equal(log_reader_get(reader, seq, buf, RECORD_MAX, &record, &need), OK);
        assert_int_equal(record_read(record, &r), OK);
        assert_int_equal(record_ops(&r, NULL, &arena, &decoded, &n), OK);
        for (size_t i = 0; i < n; i++, seen++) {
            struct kvvalue v;
            assert_int_equal(kvvalue_read(decoded[i].value, &v), OK);
            assert_true(v.seq == seq && seqs[seen] == seq);
        }
    }
    assert_int_equal(seen, N);
    log_reader_end(reader);
    log_reader_close(reader);
    arena_release(&arena);
    free(buf);
    kv_bed_close(&b);
}

/* --- groups ------------------------------------------------------------------------------------------------------ */
static void a_group_shares_a_sync(void **state)
{
    struct kv_bed b;
    struct op ops[] = { kv_put("a", "1", "x"), kv_put("a", "1", "y"), kv_put("a", "2", "z"), kv_put("dns", "3", "no"),
                        kv_put("a", "1", "w"), kv_del("a", "2") };
    const struct kv_cond conds[] = { { .kind = KV_IF_ABSENT }, { .kind = KV_IF_ABSENT }, { .kind = KV_ANY }, { .kind = KV_ANY },
                                     { .kind = KV_IF_VERSION, .version = { 1, 1 } }, { .kind = KV_IF_PRESENT } };
    struct kv_txn t[6], *list[6];
    (void)state;
    kv_bed_open(&b, 0);
    for (size_t i = 0; i < 6; i++) {
        t[i] = (struct kv_txn){ .ops = &ops[i], .conds = &conds[i], .n = 1 };
        list[i] = &t[i];
    }
    assert_int_equal(kv_commit(b.committer, list, 6), 1);
    done_with(t[0].result, 1);
    assert_int_equal(t[1].result.end, KV_REFUSED);      /* what stands before it in the group counts */
    assert_int_equal(t[1].result.version.seq, 1);
    done_with(t[2].result, 1);
    assert_int_equal(t[3].result.err, ERR_LIMIT);
    done_with(t[4].result, 2);                          /* writes a/1 anew: its version must be another */
    done_with(t[5].result, 2);
    entry_is(&b, "a", "1", 2, "w");
    entry_is(&b, "a", "2", 0, NULL);
    assert_int_equal(b.told, 2);
    assert_int_equal(kv_commit(b.committer, &list[1], 1), 0);       /* refused again: nothing is synced */
    kv_bed_close(&b);
}

/* Who is told a version may replace exactly what he wrote: no two writes of a key have the same. */
static void a_version_names_one_write(void **state)
{
    struct kv_bed b;
    struct op ops[] = { kv_put("a", "k", "1"), kv_put("a", "k", "2"), kv_del("a", "k"), kv_put("a", "k", "3"),
                        kv_put("b", "k", "4") };
    struct kv_txn t[5], *list[5];
    (void)state;
    kv_bed_open(&b, 0);
    for (size_t i = 0; i < 5; i++) {
        t[i] = (struct kv_txn){ .ops = &ops[i], .n = 1 };
        list[i] = &t[i];
    }
    assert_int_equal(kv_commit(b.committer, list, 5), 1);
    for (size_t i = 0; i < 4; i++)
        done_with(t[i].result, i + 1);
    done_with(t[4].result, 4);              /* the same key of another namespace is another key */
    entry_is(&b, "a", "k", 4, "3");
    entry_is(&b, "b", "k", 4, "4");
    kv_bed_close(&b);
}

/* What changes nothing has the version of what stands before it, and joins nothing. */
static void what_changes_nothing(void **state)
{
    struct kv_bed b;
    struct op del = kv_del("a", "none"), puts[] = { kv_put("a", "1", "x"), kv_put("a", "2", "y") };
    struct op both[] = { kv_put("a", "none", "z"), kv_del("a", "none") };
    struct kv_txn t[] = { { .ops = &del, .n = 1 }, { .ops = &puts[0], .n = 1 }, { .ops = both, .n = 2 },
                          { .ops = &puts[1], .n = 1 } };
    struct kv_txn *list[] = { &t[0], &t[1], &t[2], &t[3] };
    (void)state;
    kv_bed_open(&b, 0);
    assert_int_equal(kv_commit(b.committer, list, 4), 1);
    done_with(t[0].result, 0);
    for (size_t i = 1; i < 4; i++)
        done_with(t[i].result, 1);
    entry_is(&b, "a", "2", 1, "y");
    entry_is(&b, "a", "none", 0, NULL);
    assert_int_equal(b.told, 1);
    assert_int_equal(kv_commit(b.committer, list, 1), 1);       /* alone, too */
    done_with(t[0].result, 1);
    assert_int_equal(b.told, 1);
    kv_bed_close(&b);
}

/* Joined as long as the record goes out with its head; then the next transaction of the log begins, in the same sync. */
static void small_ones_are_joined(void **state)
{
    enum { N = 3000, LARGE = 1700 };
    static struct op ops[N], many[2 * JOINT_OPS];
    static struct kv_txn t[N], *list[N];
    static char keys[N][8], more[2 * JOINT_OPS][8];
    static uint8_t noise[N + 100000];
    struct kv_bed b;
    uint64_t seqs[2 * JOINT_OPS], last = 0;
    (void)state;
    randombytes_buf_deterministic(noise, sizeof noise, (const uint8_t[randombytes_SEEDBYTES]){ 7 });
    kv_bed_open(&b, 0);
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%zu", i);
        ops[i] = (struct op){ OP_PUT, bytes_of_text("a"), bytes_of_text(keys[i]), bytes_of(noise + i, i == LARGE ? 100000 : 90) };
        t[i] = (struct kv_txn){ .ops = &ops[i], .n = 1 };
        list[i] = &t[i];
    }
    for (size_t i = 0; i < ROWS(many); i++) {
        (void)snprintf(more[i], sizeof more[i], "m%zu", i);
        many[i] = (struct op){ OP_PUT, bytes_of_text("a"), bytes_of_text(more[i]), bytes_of_text("v") };
    }
    t[10].ops = many;                       /* so many that nothing stands beside it */
    t[10].n = ROWS(many);
    t[10].seqs = seqs;
    assert_int_equal(kv_commit(b.committer, list, N), 1);
    for (size_t i = 0; i < N; i++) {
        struct bytes value;
        uint64_t told = t[i].result.version.seq, seq = 0;
        assert_int_equal(t[i].result.end, KV_DONE);
        assert_true(kv_bed_get(&b, "a", t[i].ops[0].key, &seq, &value));
        bytes_free(value);
        if (seq != told || told < last || told > last + 1 || (told == last && i > 0 && (i == 10 || i == 11 || i == LARGE || i == LARGE + 1)))
            fail_msg("transaction %zu: told %llu, stored %llu, before it %llu", i, (unsigned long long)told,
                     (unsigned long long)seq, (unsigned long long)last);
        last = told;
    }
    for (size_t i = 0; i < ROWS(many); i++)
        assert_true(seqs[i] == t[10].result.version.seq);
    assert_true(b.told == last && last > 5 && last < 20);       /* some 540 changes fit */
    assert_int_equal(b.inlined, last - 1);                      /* all but the large one's */
    kv_bed_close(&b);
}

/* A transaction of another kind ends what was joined; all of it is one sync. */
static void other_transactions_between(void **state)
{
    struct kv_bed b;
    struct op one = kv_put("a", "1", "x"), two = kv_put("a", "2", "y"), raw = kv_put("raw", "k", "v");
    struct fault fault = { "" };
    uint64_t seq[4], epoch_seq;
    (void)state;
    kv_bed_open(&b, 0);
    assert_int_equal(commit_stage_kv(b.committer, &one, 1, &seq[0], NULL, &fault), OK);
    assert_int_equal(commit_stage(b.committer, &raw, 1, &seq[1], &fault), OK);
    assert_int_equal(commit_stage(b.committer, &raw, 1, &seq[2], &fault), OK);
    assert_int_equal(commit_stage_kv(b.committer, &two, 1, &seq[3], NULL, &fault), OK);
    assert_true(seq[0] == 1 && seq[1] == 2 && seq[2] == 2 && seq[3] == 3 && b.told == 0);
    assert_int_equal(commit_stage_epoch(b.committer, 2, &epoch_seq, &fault), ERR_NOTNOW);
    assert_int_equal(commit_flush(b.committer, &fault), OK);
    assert_int_equal(b.told, 3);
    entry_is(&b, "a", "1", 1, "x");
    entry_is(&b, "a", "2", 3, "y");
    assert_int_equal(commit_stage_kv(b.committer, &one, 1, &seq[0], NULL, &fault), OK);
    commit_close(b.committer);              /* joined, never flushed: nothing of it is there */
    assert_int_equal(commit_open(&b.committer, b.store, &b.key, kv_bed_told, &b, &fault), OK);
    entry_is(&b, "a", "1", 1, "x");
    kv_bed_close(&b);
}

/* One that the store has no room for does not take its neighbours with it, and they keep their order. */
static void a_group_around_one_too_large(void **state)
{
    static uint8_t big[KV_BYTES_MAX];
    struct kv_bed b;
    struct op small[] = { kv_put("a", "1", "x"), kv_put("a", "1", "y") }, large[3];
    struct kv_txn t[3], *list[] = { &t[0], &t[1], &t[2] };
    (void)state;
    randombytes_buf(big, sizeof big);
    kv_bed_open(&b, (uint64_t)2 << 20);
    for (size_t i = 0; i < 3; i++)
        large[i] = (struct op){ OP_PUT, bytes_of_text("a"), bytes_of(&big[i], 8), bytes_of(big, sizeof big) };
    t[0] = (struct kv_txn){ .ops = &small[0], .n = 1 };
    t[1] = (struct kv_txn){ .ops = large, .n = 3 };
    t[2] = (struct kv_txn){ .ops = &small[1], .n = 1 };
    assert_int_equal(kv_commit(b.committer, list, 3), 2);
    done_with(t[0].result, 1);
    assert_true(t[1].result.end == KV_FAILED && t[1].result.err == ERR_FULL);
    done_with(t[2].result, 2);
    entry_is(&b, "a", "1", 2, "y");
    kv_bed_close(&b);
}

/* An entry that is not [seq, bytes] fails a condition on it, and nothing else. */
static void a_broken_entry(void **state)
{
    struct kv_bed b;
    struct op raw = kv_put("a", "k", "raw"), new = kv_put("a", "k", "new");
    const struct kv_cond present[] = { { .kind = KV_IF_PRESENT } };
    struct fault fault = { "" };
    uint64_t seq;
    (void)state;
    kv_bed_open(&b, 0);
    assert_int_equal(commit_run(b.committer, &raw, 1, &seq, &fault), OK);
    struct kv_result r = kv_bed_run(&b, &new, present, 1);
    assert_true(r.end == KV_FAILED && r.err == ERR_BAD);
    done_with(kv_bed_run(&b, &new, NULL, 1), 2);
    entry_is(&b, "a", "k", 2, "new");
    kv_bed_close(&b);
}

/* --- the writer -------------------------------------------------------------------------------------------------- */
struct waiter { pthread_mutex_t lock; pthread_cond_t wake; unsigned told; };
static void on_told(void *arg, struct kv_txn *t)
{
    struct waiter *w = arg;
    (void)t;
    pthread_mutex_lock(&w->lock);
    w->told++;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}
static void wait_for(struct waiter *w, unsigned n)
{
    pthread_mutex_lock(&w->lock);
    while (w->told < n)
        pthread_cond_wait(&w->wake, &w->lock);
    pthread_mutex_unlock(&w->lock);
}
static void on_ended(void *arg)
{
    (void)arg;
}
struct gate { pthread_mutex_t lock; };
static void wait_at_gate(void *arg)
{
    struct gate *g = arg;
    pthread_mutex_lock(&g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void what_waits_goes_together(void **state)
{
    enum { N = 40 };
    struct kv_bed b;
    struct waiter w = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };
    struct gate gate = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct queue *q = NULL;
    struct kv_writer *writer = NULL;
    struct op ops[N];
    struct kv_txn t[N];
    char keys[N][8];
    (void)state;
    kv_bed_open(&b, 0);
    assert_int_equal(queue_open(&q, on_ended, NULL), OK);
    assert_int_equal(kv_writer_open(&writer, b.committer, q, on_told, &w), OK);
    pthread_mutex_lock(&gate.lock);
    assert_int_equal(queue_push(q, &(struct job){ wait_at_gate, NULL, &gate }, 0), OK);
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%zu", i);
        ops[i] = kv_put("a", keys[i], "v");
        t[i] = (struct kv_txn){ .ops = &ops[i], .n = 1 };
        kv_writer_put(writer, &t[i]);
    }
    pthread_mutex_unlock(&gate.lock);
    wait_for(&w, N);
    for (size_t i = 0; i < N; i++)
        done_with(t[i].result, 1);
    const struct kv_writer_stats *s = kv_writer_stats(writer);
    assert_true(stat_get(&s->done) == N && stat_get(&s->ops) == N && stat_get(&s->syncs) == 1);
    assert_int_equal(stat_get(&s->groups[6]), 1);       /* 33 to 64 */
    queue_close(q);
    kv_writer_stop(writer);
    kv_writer_close(writer);
    kv_bed_close(&b);
}

/* At the end everybody is told exactly once, done or not, and later ones at once. */
static void the_end_tells_everybody(void **state)
{
    enum { N = 10 };
    struct kv_bed b;
    struct waiter w = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };
    struct gate gate = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct queue *q = NULL;
    struct kv_writer *writer = NULL;
    struct op op = kv_put("a", "k", "v");
    struct kv_txn t[N + 1];
    (void)state;
    kv_bed_open(&b, 0);
    assert_int_equal(queue_open(&q, on_ended, NULL), OK);
    assert_int_equal(kv_writer_open(&writer, b.committer, q, on_told, &w), OK);
    pthread_mutex_lock(&gate.lock);
    assert_int_equal(queue_push(q, &(struct job){ wait_at_gate, NULL, &gate }, 0), OK);
    for (size_t i = 0; i < N; i++) {
        t[i] = (struct kv_txn){ .ops = &op, .n = 1 };
        kv_writer_put(writer, &t[i]);
    }
    queue_stop(q);
    pthread_mutex_unlock(&gate.lock);
    queue_close(q);
    assert_int_equal(w.told, N);
    t[N] = (struct kv_txn){ .ops = &op, .n = 1 };
    kv_writer_put(writer, &t[N]);
    assert_int_equal(w.told, N + 1);
    for (size_t i = 0; i <= N; i++)
        assert_true(t[i].result.end == KV_FAILED && t[i].result.err == ERR_NOTNOW);
    entry_is(&b, "a", "k", 0, NULL);
    kv_writer_close(writer);
    kv_bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_rows), cmocka_unit_test(value_sizes), cmocka_unit_test(version_texts),
        cmocka_unit_test(versions), cmocka_unit_test(conditions), cmocka_unit_test(conditions_look_back),
        cmocka_unit_test(limits), cmocka_unit_test(parts), cmocka_unit_test(a_group_shares_a_sync),
        cmocka_unit_test(a_version_names_one_write), cmocka_unit_test(what_changes_nothing),
        cmocka_unit_test(small_ones_are_joined), cmocka_unit_test(other_transactions_between),
        cmocka_unit_test(a_group_around_one_too_large), cmocka_unit_test(a_broken_entry),
        cmocka_unit_test(what_waits_goes_together), cmocka_unit_test(the_end_tells_everybody),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
