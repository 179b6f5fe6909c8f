/* Compaction: the same entries, head, ring and log in fewer pages; readers follow; nothing changes when it fails. */
#include "tests/util_store.h"

enum { N = 20000 };

static void digest_of(struct store *s, uint8_t out[DIGEST_LEN])
{
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    struct digest sum = { { 0 } };
    struct view *v;
    struct cursor *c;
    struct entry e;
    size_t n;
    assert_ok(view_open(s, &v, NULL), NULL);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_namespaces(v, names, &n), NULL);
    for (size_t i = 0; i < n; i++) {
        assert_ok(cursor_open(v, bytes_of_text(names[i]), &c), NULL);
        for (enum err err = cursor_seek(c, bytes_of("", 0), &e); err == OK; err = cursor_next(c, &e))
            digest_add(&sum, bytes_of_text(names[i]), e.key, e.value);
        cursor_close(c);
    }
    view_end(v);
    view_close(v);
    digest_final(&sum, out);
}

/* Random keys, of which two thirds go again: half-empty and free pages. */
static void fill(struct tmp_store *t)
{
    struct rnd r = rnd_seed(3);
    static struct op ops[N];
    static char text[N][16];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            (void)snprintf(text[i], sizeof text[i], "%u", rnd_below(&r, 1000000));
            ops[i] = op_put(round == 1 ? "dns" : "kv", text[i], text[N - 1 - i]);
        }
        tmp_store_commit(t, ops, N);
        for (int i = 0; i < N * 2 / 3; i++)
            ops[i] = op_del(round == 1 ? "dns" : "kv", text[i]);
        tmp_store_commit(t, ops, N * 2 / 3);
    }
}

static void count_touched(void *arg, struct bytes ns, struct bytes key, enum ring_mark mark)
{
    (void)ns, (void)key, (void)mark;
    ++*(int *)arg;
}
static void count_many(void *arg, struct bytes ns)
{
    (void)ns;
    *(int *)arg += 1000;
}

static void log_put(struct store *s, uint64_t seq)
{
    struct log_txn *t;
    assert_ok(log_begin(s, &t, NULL), NULL);
    assert_ok(log_append(t, seq, bytes_of_text("record"), NULL), NULL);
    assert_ok(log_commit(t, NULL), NULL);
}

static void same_state_in_fewer_pages(void **state)
{
    (void)state;
    struct tmp_store t;
    struct head h, got;
    uint8_t digest[DIGEST_LEN];
    uint64_t before = 0, after = 0, first, last, again = 0;
    struct fault fault = { "" };
    struct view *old, *v;
    struct bytes value;
    int touched = 0;
    tmp_store_open(&t, STORE_CORE);
    fill(&t);
    struct op put = op_put("kv", "known", "value");
    tmp_store_commit(&t, &put, 1);
    log_put(t.s, 7);
    assert_ok(view_open(t.s, &old, NULL), NULL);
    assert_ok(view_begin(old), NULL);
    unsigned generation = view_generation(old);
    assert_ok(store_head(t.s, &h, NULL), NULL);
    assert_ok(store_compact(t.s, &before, &after, &fault), &fault);
    assert_true(after < before * 2 / 3);
    assert_ok(view_get(old, bytes_of_text("kv"), bytes_of_text("known"), &value), NULL);   /* an open batch goes on */
    view_end(old);
    for (int round = 0; round < 2; round++) {
        assert_ok(store_head(t.s, &got, NULL), NULL);
        assert_memory_equal(&h, &got, sizeof h);
        digest_of(t.s, digest);
        assert_memory_equal(digest, h.digest, DIGEST_LEN);
        assert_ok(log_range(t.s, &first, &last), NULL);
        assert_int_equal(first, 7);
        assert_int_equal(last, 7);
        if (round == 0) {
            assert_ok(view_begin(old), NULL);
            assert_int_equal(view_generation(old), generation + 1);
            assert_false(view_superseded(old));
            view_end(old);
            view_close(old);
            tmp_store_reopen(&t);
        }
    }
    const struct ring_visit visit = { &touched, count_touched, count_many };
    assert_ok(view_open(t.s, &v, NULL), NULL);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_ring(v, h.seq - 1, &visit), NULL);
    assert_int_equal(touched, 1);
    view_end(v);
    view_close(v);
    /* it goes on: changes, new namespaces, and again */
    struct op more[] = { op_put("kv", "known", "other"), op_put("brand-new", "a", "b"), op_del("dns", "0") };
    tmp_store_commit(&t, more, 3);
    assert_ok(store_compact(t.s, &again, &after, &fault), &fault);
    struct op last_put = op_put("newer-still", "a", "b");
    tmp_store_commit(&t, &last_put, 1);
    assert_ok(store_head(t.s, &h, NULL), NULL);
    digest_of(t.s, digest);
    assert_memory_equal(digest, h.digest, DIGEST_LEN);
    tmp_store_close(&t);
}

static void empty_and_small_stores(void **state)
{
    (void)state;
    struct tmp_store t;
    uint64_t before, after;
    struct fault fault = { "" };
    tmp_store_open(&t, STORE_EDGE);
    assert_ok(store_compact(t.s, &before, &after, &fault), &fault);
    struct op put = op_put("kv", "k", "v");
    tmp_store_commit(&t, &put, 1);
    assert_ok(store_compact(t.s, &before, &after, &fault), &fault);
    tmp_store_reopen(&t);
    assert_int_equal(seq_now(t.s), 1);
    tmp_store_close(&t);
}

static void not_now(void **state)
{
    (void)state;
    struct tmp_store t;
    uint64_t before, after;
    struct store_txn *txn;
    struct fault fault = { "" };
    struct op put = op_put("kv", "k", "v");
    tmp_store_open(&t, STORE_EDGE);
    assert_ok(store_begin(t.s, &txn, NULL), NULL);
    assert_int_equal(store_compact(t.s, &before, &after, &fault), ERR_NOTNOW);
    assert_ok(store_apply(txn, &put, 1, NULL), NULL);
    assert_ok(commit_at(t.s, txn, 1, NULL), NULL);
    assert_ok(store_fresh_begin(t.s, NULL), NULL);
    assert_int_equal(store_compact(t.s, &before, &after, &fault), ERR_NOTNOW);
    assert_true(store_is_fresh(t.s));
    store_fresh_drop(t.s);
    assert_ok(store_compact(t.s, &before, &after, &fault), &fault);
    tmp_store_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_state_in_fewer_pages),
        cmocka_unit_test(empty_and_small_stores),
        cmocka_unit_test(not_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
