/* Tidying: sparse leaves become dense, and no entry changes. */
#include "store/tidy.h"
#include "store/internal.h"
#include "store/scrub.h"
#include "tests/util_store.h"

static struct tmp_store t;

static void fill(unsigned n, unsigned step, size_t len)
{
    static uint8_t value[8000];
    struct store_txn *x;
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    for (unsigned i = 0; i < n; i += step) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%07u", i);
        memset(value, (int)(i % 251), sizeof value);
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(value, i % 997 == 0 ? sizeof value : len) };
        assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
    }
    assert_ok(commit_at(t.s, x, seq_now(t.s) + 1, &t.fault), &t.fault);
}
/* Three of four go: leaves stay a quarter full. */
static void thin_out(unsigned n)
{
    struct store_txn *x;
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    for (unsigned i = 0; i < n; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%07u", i);
        struct op op = op_del("kv", key);
        if (i % 10 >= 4)
            assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
    }
    assert_ok(commit_at(t.s, x, seq_now(t.s) + 1, &t.fault), &t.fault);
}
static uint64_t leaves(void)
{
    struct ns_figures f;
    struct view *v;
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_ns_figures(v, bytes_of_text("kv"), &f), NULL);
    view_end(v);
    view_close(v);
    return f.leaf_pages;
}
static uint64_t tidy_pass(struct tidy *tidy)
{
    struct tidy_news news;
    uint64_t rewritten = 0;
    do {
        assert_ok(tidy_slice(tidy, 64, 3, &news, &t.fault), &t.fault);
        rewritten += news.rewritten;
    } while (news.more);
    return rewritten;
}
static void all_there(void)
{
    struct scrub_budget all = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
    struct scrub_options o = { .store = t.s };
    struct scrub_news news;
    struct scrub *s;
    assert_ok(scrub_open(&s, &o, &t.fault), &t.fault);
    assert_ok(scrub_slice(s, &all, &news, &t.fault), &t.fault);
    if (!news.ended || !news.good)
        fail_msg("%s", t.fault.text);
    scrub_close(s);
}

static void becomes_dense(void **state)
{
    struct tidy *tidy;
    struct bytes before, after;
    struct view *v;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    assert_ok(tidy_open(&tidy, t.s, &t.fault), &t.fault);
    assert_int_equal(tidy_pass(tidy), 0);                           /* empty */
    fill(60000, 1, 60);
    uint64_t dense = leaves();
    assert_int_equal(tidy_pass(tidy), 0);                           /* written in order: nothing to do */
    thin_out(60000);
    uint64_t sparse = leaves();
    uint64_t seq = seq_now(t.s);
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);                                 /* an old view goes on as it was */
    assert_ok(view_get(v, bytes_of_text("kv"), bytes_of_text("key0000013"), &before), NULL);
    uint8_t copy[64];
    memcpy(copy, before.ptr, before.len);
    assert_true(tidy_pass(tidy) > sparse / 2);
    assert_memory_equal(copy, before.ptr, before.len);
    view_end(v);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_get(v, bytes_of_text("kv"), bytes_of_text("key0000013"), &after), NULL);
    assert_memory_equal(copy, after.ptr, after.len);
    view_end(v);
    view_close(v);
    assert_int_equal(seq_now(t.s), seq);
    if (leaves() > dense / 2 || leaves() < dense * 2 / 5)
        fail_msg("leaves: %llu, thinned %llu, tidied %llu", (unsigned long long)dense, (unsigned long long)sparse,
                 (unsigned long long)leaves());
    all_there();
    assert_int_equal(tidy_pass(tidy), 0);                           /* nothing changed since */
    tidy_close(tidy);
    tmp_store_reopen(&t);
    all_there();
    tmp_store_close(&t);
}

/* A twenty-fifth, which is less than an eighth: in a store as small as this it is not worth a pass. */
static void a_little_waits_for_more(void **state)
{
    struct tidy *tidy;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    fill(60000, 1, 60);
    assert_ok(tidy_open(&tidy, t.s, &t.fault), &t.fault);
    assert_int_equal(tidy_pass(tidy), 0);
    thin_out(4000);
    assert_int_equal(tidy_pass(tidy), 0);
    thin_out(12000);
    assert_true(tidy_pass(tidy) > 0);
    tidy_close(tidy);
    tmp_store_close(&t);
}

/* With commits of all kinds between the slices, while the scrub walks. */
static void beside_commits(void **state)
{
    static const char *const spaces[] = { "dns", "kv", "zz" };
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    struct scrub_budget some = { 700, UINT64_MAX, UINT64_MAX };
    struct scrub_options o = { .store = NULL };
    struct scrub_news round;
    struct tidy_news news;
    struct tidy *tidy;
    struct scrub *scrub;
    uint64_t rewritten = 0;
    unsigned rounds = 0;
    tmp_store_open(&t, STORE_CORE);
    fill(20000, 1, 60);
    o.store = t.s;
    assert_ok(tidy_open(&tidy, t.s, &t.fault), &t.fault);
    assert_ok(scrub_open(&scrub, &o, &t.fault), &t.fault);
    for (unsigned i = 0; i < 400; i++) {
        struct store_txn *x;
        static uint8_t value[3000];
        assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
        assert_int_equal(tidy_slice(tidy, 10, 1, &news, &t.fault), ERR_NOTNOW);
        for (unsigned n = rnd_below(&r, 120); n > 0; n--) {
            char key[16];
            (void)snprintf(key, sizeof key, "key%07u", rnd_below(&r, 30000));
            memset(value, (int)rnd_below(&r, 256), sizeof value);
            struct op op = { OP_PUT, bytes_of_text(spaces[rnd_below(&r, 3)]), bytes_of_text(key),
                             bytes_of(value, rnd_below(&r, 400) == 0 ? sizeof value : rnd_below(&r, 120)) };
            if (rnd_below(&r, 2) == 0)
                op = (struct op){ OP_DEL, op.ns, op.key, { 0 } };
            assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
        }
        assert_ok(commit_at(t.s, x, seq_now(t.s) + 1, &t.fault), &t.fault);
        assert_ok(tidy_slice(tidy, 1 + rnd_below(&r, 200), 1 + rnd_below(&r, 4), &news, &t.fault), &t.fault);
        rewritten += news.rewritten;
        assert_ok(scrub_slice(scrub, &some, &round, &t.fault), &t.fault);
        if (round.ended && !round.good)
            fail_msg("commit %u: %s", i, t.fault.text);
        rounds += round.ended;
    }
    scrub_close(scrub);
    all_there();
    assert_true(rewritten > 0 && rounds > 3);
    tidy_close(tidy);
    tmp_store_close(&t);
}

int main(void)
{
    uint64_t seed = seed_from_env((uint64_t)getpid());
    (void)printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = { cmocka_unit_test(becomes_dense), cmocka_unit_test(a_little_waits_for_more),
                                        cmocka_unit_test_prestate(beside_commits, &seed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
