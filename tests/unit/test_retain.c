/* How much of the log stays: what goes is decided by age and size, in whole transactions, and never what is needed. */
#include "base/file.h"
#include "replicator/commit.h"
#include "replicator/retain.h"
#include "replicator/upkeep.h"
#include "replicator/watch.h"
#include "tests/unit/replicator_dir.h"
#include "tests/util.h"

#include <limits.h>
#include <sodium.h>

/* --- the decision ------------------------------------------------------------------------------------------------------ */
/* A log as text: one letter per record, a capital ends a transaction; its place in the alphabet is its time in hours.
 * Records are 1,000 bytes, the time now is 100 h. */
static const struct { const char *why, *log; uint64_t keep, age_h, over; uint64_t before; } rows[] = {
    { "young and small",                    "AABB",     4, 200, 0,    0 },
    { "one too old",                        "ACD",      3, 98,  0,    2 },
    { "all too old, the last applied stays", "ABC",     3, 10,  0,    3 },
    { "nothing beyond what is applied",     "ABCD",     2, 10,  0,    2 },
    { "whole transactions",                 "aaABbB",   6, 98,  0,    4 },
    { "an unfinished one stays",            "aaa",      0, 10,  0,    0 },
    { "an unfinished one behind stays",     "ABbb",     2, 10,  0,    2 },
    { "too large by a little",              "ABCD",     4, 200, 1,    2 },
    { "too large by two records",           "ABCD",     4, 200, 2000, 3 },
    { "too large by more than may go",      "ABCD",     4, 200, 9000, 4 },
    { "too large, of many parts",           "aaaaABC",  7, 200, 1,    6 },
    { "the applied one has many parts",     "aaaaA",    5, 10,  9000, 0 },
    { "old by time, behind a young one",    "DAC",      3, 98,  0,    0 },
};
static void decision_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        const uint64_t hour = 3600000;
        struct retain_limits l = { rows[i].age_h * hour, 100000 };
        struct retain r;
        const char *log = rows[i].log;
        uint64_t first = (uint64_t)((log[0] | 0x20) - 'a' + 1) * hour;
        uint64_t bytes = rows[i].over > 0 ? l.bytes + rows[i].over : 0;
        bool wants = retain_wants(&r, &l, bytes, first, 100 * hour, rows[i].keep);
        r.need = rows[i].over;                      /* without the slack */
        for (size_t k = 0; wants && log[k] != '\0'; k++) {
            struct record_front f = { .seq = k + 1, .more = log[k] >= 'a', .time_ms = (uint64_t)((log[k] | 0x20) - 'a' + 1) * hour };
            if (!retain_take(&r, &f, 1000))
                break;
        }
        if (r.before != rows[i].before)
            fail_msg("%s: before %llu, want %llu", rows[i].why, (unsigned long long)r.before, (unsigned long long)rows[i].before);
    }
}

/* What a stop in the middle left of a transaction goes first, whatever the limits say. */
static void the_rest_goes(void **state)
{
    struct retain_limits l = { 1000, 100000 };
    struct record_front f = { .seq = 5, .part = 3, .more = true, .time_ms = 100 };
    struct retain r;
    (void)state;
    assert_true(retain_wants(&r, &l, 0, 100, 2000, 9));
    assert_true(retain_take(&r, &f, 10));
    f = (struct record_front){ .seq = 6, .part = 4, .time_ms = 1900 };
    assert_true(retain_take(&r, &f, 10));
    f = (struct record_front){ .seq = 7, .time_ms = 1900 };
    assert_false(retain_take(&r, &f, 10));
    assert_int_equal(r.before, 7);
}

/* --- on a real log ------------------------------------------------------------------------------------------------------ */
struct bed {
    char dir[256];
    struct store_options so;
    struct store *store;
    struct node_key key;
    struct committer *c;
    struct log_reader *reader;
    struct fault fault;
    uint64_t applied;
};
static void ok(struct bed *b, enum err err)
{
    if (err != OK)
        fail_msg("%s: %s", err_text(err), b->fault.text);
}
static void up(struct bed *b)
{
    ok(b, store_open(&b->store, &b->so, &b->fault));
    ok(b, commit_open(&b->c, b->store, &b->key, NULL, NULL, &b->fault));
    ok(b, log_reader_open(b->store, &b->reader, &b->fault));
}
static void down(struct bed *b)
{
    log_reader_close(b->reader);
    commit_close(b->c);
    store_close(b->store);
}
static void bed_open(struct bed *b)
{
    memset(b, 0, sizeof *b);
    assert_true(sodium_init() >= 0);
    dir_make(b->dir, sizeof b->dir, "retain");
    ok(b, node_key_make(b->dir, false, &b->key, &b->fault));
    b->so = (struct store_options){ .dir = b->dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = (uint64_t)1 << 30,
                                    .volatile_data = true };
    up(b);
}
static void bed_close(struct bed *b)
{
    down(b);
    dir_remove(b->dir);
}
static void put(struct bed *b, unsigned key, size_t len, struct rnd *r)
{
    static uint8_t value[1 << 20];
    char text[16];
    for (size_t i = 0; i < len; i += 8) {
        uint64_t n = rnd_u64(r);
        memcpy(value + i, &n, len - i < 8 ? len - i : 8);
    }
    (void)snprintf(text, sizeof text, "%06u", key);
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(text), bytes_of(value, len) };
    ok(b, commit_run(b->c, &op, 1, &b->applied, &b->fault));
}
static uint64_t trim_all(struct bed *b, uint64_t age_ms, uint64_t bytes)
{
    struct retain_limits l = { age_ms, bytes };
    uint64_t trimmed = 0;
    bool more = true;
    for (unsigned n = 0; more; n++) {
        ok(b, retain_run(b->store, b->reader, &l, commit_time_ms(b->c), b->applied, &trimmed, &more, &b->fault));
        if (n > 1000)
            fail_msg("no end");
    }
    return trimmed;
}
static void log_holds(struct bed *b, uint64_t first, uint64_t last)
{
    uint64_t have_first, have_last;
    ok(b, log_range(b->store, &have_first, &have_last));
    assert_int_equal(have_first, first);
    assert_int_equal(have_last, last);
}
/* The log's bytes in use; checks that each record that should be there is. */
static uint64_t log_size(struct bed *b)
{
    static uint8_t buf[RECORD_MAX];
    uint64_t first, last, bytes;
    struct bytes out;
    size_t need;
    ok(b, log_reader_begin(b->reader));
    ok(b, log_reader_range(b->reader, &first, &last));
    ok(b, log_reader_size(b->reader, &bytes));
    for (uint64_t seq = first; seq <= last; seq++)
        ok(b, log_reader_get(b->reader, seq, buf, sizeof buf, &out, &need));
    log_reader_end(b->reader);
    return bytes;
}

static void by_age(void **state)
{
    struct bed b;
    struct rnd r = rnd_seed(3);
    (void)state;
    bed_open(&b);
    for (unsigned i = 0; i < 10; i++)
        put(&b, i, 50, &r);
    assert_int_equal(trim_all(&b, 3600000, 1 << 20), 0);
    (void)usleep(5000);
    assert_int_equal(trim_all(&b, 0, 1 << 20), 9);
    log_holds(&b, 10, 10);                          /* what the data stands on stays */
    assert_int_equal(trim_all(&b, 0, 0), 0);
    down(&b);
    up(&b);                                         /* and a core starts with it */
    put(&b, 1, 50, &r);
    log_holds(&b, 10, 11);
    bed_close(&b);
}

/* Much is written for long: log and file stay within the limit, and the file does not grow from round to round. */
static void file_stays(void **state)
{
    static const size_t lens[] = { 60, 700, 1850, 5000, 100000 };
    const uint64_t limit = 4 << 20;
    (void)state;
    for (size_t l = 0; l < ROWS(lens); l++) {
        struct bed b;
        struct rnd r = rnd_seed(l + 1);
        struct store_figures f;
        uint64_t rounds[6] = { 0 }, before = 0;
        size_t record = lens[l] + 500;              /* head, signatures */
        unsigned per_round = (unsigned)(limit / record);
        bed_open(&b);
        for (size_t round = 0; round < ROWS(rounds); round++) {
            for (unsigned i = 0; i < per_round; i++) {
                put(&b, i % 20, lens[l], &r);
                (void)trim_all(&b, 3600000, limit);
            }
            ok(&b, store_figures(b.store, &f));
            rounds[round] = f.log_used_bytes;
            if (round > 0 && log_size(&b) > limit)
                fail_msg("values of %zu: %llu bytes in the log", lens[l], (unsigned long long)log_size(&b));
            if (log_size(&b) < limit / 2 && round > 1)
                fail_msg("values of %zu: only %llu bytes are left", lens[l], (unsigned long long)log_size(&b));
            before = f.log_last;
        }
        (void)before;
        if (rounds[5] > limit + limit / 10 || rounds[5] > rounds[2] + rounds[2] / 50)
            fail_msg("values of %zu: the file has %llu, then %llu bytes", lens[l], (unsigned long long)rounds[2],
                     (unsigned long long)rounds[5]);
        bed_close(&b);
    }
}

/* A transaction of many parts goes in pieces, and as a whole in the end; in between the log is sound. */
static void large_transaction(void **state)
{
    static uint8_t value[1 << 20];
    static struct op ops[24];
    static char keys[24][8];
    struct retain_limits l = { 0, (uint64_t)1 << 40 };
    struct bed b;
    struct rnd r = rnd_seed(9);
    uint64_t trimmed = 0, first, last, seq;
    bool more;
    unsigned pieces = 0;
    (void)state;
    bed_open(&b);
    for (size_t i = 0; i < sizeof value; i += 8) {
        uint64_t n = rnd_u64(&r);
        memcpy(value + i, &n, 8);
    }
    for (size_t i = 0; i < ROWS(ops); i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%03zu", i);
        ops[i] = (struct op){ OP_PUT, bytes_of_text("kv"), bytes_of_text(keys[i]), bytes_of(value, sizeof value) };
    }
    ok(&b, commit_run(b.c, ops, ROWS(ops), &seq, &b.fault));
    assert_int_equal(seq, ROWS(ops));
    put(&b, 1, 10, &r);
    (void)usleep(3000);
    do {
        ok(&b, retain_run(b.store, b.reader, &l, commit_time_ms(b.c), b.applied, &trimmed, &more, &b.fault));
        ok(&b, log_range(b.store, &first, &last));
        (void)log_size(&b);
        pieces++;
    } while (more);
    assert_true(pieces > 3);
    log_holds(&b, seq + 1, seq + 1);
    assert_int_equal(trimmed, ROWS(ops));
    bed_close(&b);
}

/* Records that nodes copying from us will ask for stay, until the log is twice as large as it may be. */
static void held(void **state)
{
    struct bed b;
    struct upkeep *u;
    struct rnd r = rnd_seed(5);
    uint64_t first, last;
    (void)state;
    bed_open(&b);
    struct upkeep_options o = { .store = b.store, .keep = { UINT64_MAX, 1 << 20 } };
    ok(&b, upkeep_open(&u, &o, 1000, &b.fault));
    upkeep_hold(u, 5);
    for (unsigned i = 1; i <= 150; i++) {
        put(&b, i % 7, 10000, &r);
        struct upkeep_now now = { 1000 + i * 20000, commit_time_ms(b.c), b.applied };
        upkeep_retain(u, &now);
        ok(&b, log_range(b.store, &first, &last));
        if (i == 130)
            assert_int_equal(first, 5);                 /* and those before it went */
    }
    ok(&b, log_range(b.store, &first, &last));
    if (first < 5)
        fail_msg("nothing is trimmed: %d to %d", (int)first, (int)last);
    for (unsigned i = 0; i < 150; i++) {
        put(&b, i % 7, 10000, &r);
        struct upkeep_now now = { 4000000 + i * 20000, commit_time_ms(b.c), b.applied };
        upkeep_retain(u, &now);
    }
    ok(&b, log_range(b.store, &first, &last));
    assert_true(first > 50 && last == 300);             /* over twice the limit: as ever */
    upkeep_hold(u, 0);
    struct upkeep_now now = { 9000000, commit_time_ms(b.c), b.applied };
    upkeep_retain(u, &now);
    ok(&b, log_range(b.store, &first, &last));
    assert_true(first > 180);
    upkeep_close(u);
    bed_close(&b);
}

/* --- the daemon's part -------------------------------------------------------------------------------------------------- */
static double metric(struct stat_page *p, const char *name)
{
    char line[128];
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(p->text, line);
    if (at == NULL)
        fail_msg("no metric %s in\n%s", name, p->text);
    return strtod(at + strlen(line), NULL);
}
static void upkeep(void **state)
{
    struct bed b;
    struct rnd r = rnd_seed(5);
    struct upkeep *u;
    struct upkeep_now now = { .mono_ms = 1000 };
    struct stat_page page;
    (void)state;
    bed_open(&b);
    struct upkeep_options o = { .store = b.store, .keep = { 3600000, 1 << 20 } };
    ok(&b, upkeep_open(&u, &o, now.mono_ms, &b.fault));
    for (unsigned i = 0; i < 300; i++) {
        put(&b, i, 10000, &r);
        now = (struct upkeep_now){ now.mono_ms + 20, commit_time_ms(b.c), b.applied };
        upkeep_retain(u, &now);
        (void)upkeep_step(u, &now);
    }
    for (unsigned i = 0; i < 200; i++) {        /* slices are bounded in time: a slow build needs more of them */
        now.mono_ms += UPKEEP_REST_MS;
        (void)upkeep_step(u, &now);
    }
    assert_false(upkeep_rotten(u));
    assert_true(log_size(&b) <= 1 << 20);
    stat_page_init(&page);
    upkeep_metrics(u, &page);
    assert_true(metric(&page, "azoth_log_trimmed_total") > 100);
    assert_true(metric(&page, "azoth_scrub_rounds_total") >= 2);
    assert_true(metric(&page, "azoth_scrub_last_good_time") > 1e9);
    assert_true(metric(&page, "azoth_scrub_errors_total") == 0);
    stat_page_release(&page);
    upkeep_close(u);
    bed_close(&b);
}

/* Rot is told of the data at hand: other data is not rotten until it is found to be, and then that is news again. */
static enum err judge(void *arg, struct bytes ns, const struct entry *e, struct fault *fault)
{
    const bool *bad = arg;
    (void)ns, (void)e;
    return *bad ? fault_set(fault, ERR_BAD, "so it is") : OK;
}
static unsigned rot_after(struct upkeep *u, struct upkeep_now *now, bool rotten)
{
    unsigned steps = 0;
    for (; steps < 1000 && upkeep_rotten(u) != rotten; steps++) {
        now->mono_ms += UPKEEP_REST_MS;
        (void)upkeep_step(u, now);
    }
    assert_true(steps < 1000);
    return steps;
}
static void rot_of_other_data(void **state)
{
    struct bed b;
    struct rnd r = rnd_seed(5);
    struct upkeep *u;
    struct upkeep_now now = { .mono_ms = 1000 };
    bool bad = true;
    uint64_t before, after;
    (void)state;
    bed_open(&b);
    struct upkeep_options o = { .store = b.store, .keep = { 3600000, 1 << 20 }, .check = judge, .check_arg = &bad };
    put(&b, 1, 100, &r);
    now.applied = b.applied;
    ok(&b, upkeep_open(&u, &o, now.mono_ms, &b.fault));
    (void)rot_after(u, &now, true);
    for (int i = 0; i < 3; i++) {
        ok(&b, store_compact(b.store, &before, &after, &b.fault));
        assert_int_equal(rot_after(u, &now, false), 1);
        (void)rot_after(u, &now, true);
    }
    bad = false;
    (void)rot_after(u, &now, false);
    upkeep_close(u);
    bed_close(&b);
}

static const struct { uint64_t used, free, map; unsigned want; } marks[] = {
    { 0, 0, 0, 0 }, { 699, 0, 1000000, 0 }, { 690000, 0, 1000000, 0 }, { 710000, 0, 1000000, 70 }, { 900000, 200000, 1000000, 0 },
    { 860000, 0, 1000000, 85 }, { 955000, 0, 1000000, 95 }, { 1000000, 0, 1000000, 95 }, { 10, 20, 1000, 0 },
    { UINT64_MAX, 0, UINT64_MAX, 95 }, { 5, 10, 0, 0 },
};
static void watermarks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(marks); i++)
        assert_int_equal(watch_mark(marks[i].used, marks[i].free, marks[i].map), marks[i].want);
}

/* A view that stays open: its age and lag grow, and are gone with it. */
static void old_reader(void **state)
{
    struct bed b;
    struct watch w = { 0 };
    struct rnd r = rnd_seed(5);
    struct view *v;
    struct stat_page page;
    (void)state;
    bed_open(&b);
    put(&b, 0, 10, &r);
    ok(&b, view_open(b.store, &v, &b.fault));
    ok(&b, view_begin(v));
    assert_true(watch_tick(&w, b.store, 1000));
    assert_int_equal(w.reader_age_ms, 0);
    for (unsigned i = 0; i < 20; i++)
        put(&b, i, 10, &r);
    assert_true(watch_tick(&w, b.store, 2000));
    assert_true(watch_tick(&w, b.store, 72000));
    assert_int_equal(w.reader_age_ms, 70000);
    assert_int_equal(w.figures.oldest_reader_lag, 20);
    assert_int_equal(w.figures.oldest_reader_pid, getpid());
    assert_true(w.reader_said_ms != 0);
    stat_page_init(&page);
    watch_metrics(&w, &page);
    assert_true(metric(&page, "azoth_store_oldest_reader_age_seconds") == 70);
    assert_true(metric(&page, "azoth_store_oldest_reader_lag") == 20);
    stat_page_release(&page);
    view_end(v);
    assert_true(watch_tick(&w, b.store, 82000));
    assert_int_equal(w.reader_age_ms, 0);
    assert_true(w.reader_said_ms == 0);
    view_close(v);
    bed_close(&b);
}

/* The folder is emptied under a daemon: it notices, and goes on. */
static void removed_files(void **state)
{
    struct bed b;
    struct watch w = { 0 };
    struct rnd r = rnd_seed(6);
    char path[PATH_MAX], moved[PATH_MAX];
    (void)state;
    bed_open(&b);
    put(&b, 0, 10, &r);
    assert_true(watch_tick(&w, b.store, 1000) && !w.gone);
    assert_int_equal(file_path(path, sizeof path, b.dir, "log/data.mdb"), OK);
    assert_int_equal(file_path(moved, sizeof moved, b.dir, "moved"), OK);
    assert_int_equal(rename(path, moved), 0);
    assert_true(watch_tick(&w, b.store, 2000) && !w.gone);      /* it has a name still and can be put back */
    assert_int_equal(unlink(moved), 0);
    assert_true(watch_tick(&w, b.store, 3000) && w.gone);
    put(&b, 1, 10, &r);
    assert_true(watch_tick(&w, b.store, 4000) && w.gone);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decision_rows), cmocka_unit_test(the_rest_goes), cmocka_unit_test(by_age), cmocka_unit_test(file_stays),
        cmocka_unit_test(large_transaction), cmocka_unit_test(held), cmocka_unit_test(upkeep), cmocka_unit_test(rot_of_other_data), cmocka_unit_test(watermarks), cmocka_unit_test(old_reader),
        cmocka_unit_test(removed_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
