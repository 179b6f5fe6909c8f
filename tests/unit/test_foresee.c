/* Seeks foreseen against seeks by LMDB: the same entry, and the same steps from there. */
#include "tests/util_store.h"

#define KEYS 64                     /* of one batch */
#define STEPS 6

struct bed {
    struct tmp_store t;
    struct view *view;
    struct cursor *plain, *seeing;
    uint8_t buf[KEYS][STORE_KEY_MAX + 8];
    struct foreseen of[KEYS];
};

static void bed_open(struct bed *b)
{
    *b = (struct bed){ .view = NULL };
    tmp_store_open(&b->t, STORE_CORE);
    assert_ok(view_open(b->t.s, &b->view, NULL), NULL);
    assert_ok(cursor_open(b->view, bytes_of_text("dns"), &b->plain), NULL);
    assert_ok(cursor_open(b->view, bytes_of_text("dns"), &b->seeing), NULL);
}

static void bed_close(struct bed *b)
{
    cursor_close(b->plain);
    cursor_close(b->seeing);
    view_close(b->view);
    tmp_store_close(&b->t);
}

/* Keys in few families, so that they share their beginnings; some are as long as keys may be. */
static struct bytes key_drawn(struct rnd *r, uint8_t *buf)
{
    size_t family = rnd_below(r, 5), len = 6 * family;
    memset(buf, (int)('a' + family), len);
    for (size_t more = 1 + rnd_below(r, 4); more > 0; more--)
        buf[len++] = (uint8_t)rnd_below(r, 256);
    if (rnd_below(r, 40) == 0) {
        memset(buf + len, 'z', STORE_KEY_MAX - len);
        len = STORE_KEY_MAX - rnd_below(r, 9);
    }
    return bytes_of(buf, len);
}

static void put_some(struct bed *b, struct rnd *r, unsigned n)
{
    enum { AT_A_TIME = 100 };
    static uint8_t keys[AT_A_TIME][STORE_KEY_MAX], value[20000];
    struct op ops[AT_A_TIME];
    while (n > 0) {
        unsigned now = n < AT_A_TIME ? n : AT_A_TIME;
        for (unsigned i = 0; i < now; i++) {
            unsigned kind = rnd_below(r, 20);
            size_t len = kind < 17 ? rnd_below(r, 200) : kind < 19 ? rnd_below(r, 2500) : rnd_below(r, sizeof value);
            ops[i] = (struct op){ OP_PUT, bytes_of_text("dns"), key_drawn(r, keys[i]), bytes_of(value, len) };
            if (rnd_below(r, 4) == 0) {
                ops[i].kind = OP_DEL;
                ops[i].value = (struct bytes){ 0 };
            }
        }
        memset(value, (int)n, sizeof value);
        tmp_store_commit(&b->t, ops, now);
        n -= now;
    }
}

static bool entries_equal(struct entry a, struct entry b)
{
    return a.key.ptr == b.key.ptr && a.key.len == b.key.len && a.value.ptr == b.value.ptr && a.value.len == b.value.len;
}

/* One key of the batch, and where steps from it lead. Other seeks by the same cursor come between. */
static void compare_one(struct bed *b, struct rnd *r, unsigned i, const char *why)
{
    struct entry want = { { 0 }, { 0 } }, got = want;
    enum err err = cursor_seek(b->plain, b->of[i].key, &want), mine = cursor_seek_foreseen(b->seeing, &b->of[i], &got);
    for (unsigned step = rnd_below(r, STEPS + 1);; step--) {
        if (err != mine || (err == OK && !entries_equal(want, got)))
            fail_msg("%s: key %u, %u steps left: %s, want %s", why, i, step, err_text(mine), err_text(err));
        if (step == 0)
            return;
        if (rnd_below(r, 2) == 0) {
            err = cursor_next(b->plain, &want);
            mine = cursor_next(b->seeing, &got);
        } else {
            err = cursor_prev(b->plain, &want);
            mine = cursor_prev(b->seeing, &got);
        }
    }
}

/* How many of the batch were found without LMDB. */
static unsigned compare(struct bed *b, struct rnd *r, unsigned n, const char *why)
{
    unsigned found = 0;
    for (unsigned i = 0; i < n; i++) {
        b->of[i].key = i > 0 && rnd_below(r, 10) == 0 ? b->of[i - 1].key : key_drawn(r, b->buf[i]);
        if (rnd_below(r, 30) == 0)
            b->of[i].key.len = 1;
    }
    if (n > 4) {
        b->of[0].key = bytes_of(memset(b->buf[0], 0, 1), 1);                                        /* before all */
        b->of[1].key = bytes_of(memset(b->buf[1], 0xff, STORE_KEY_MAX), STORE_KEY_MAX);            /* behind all */
    }
    cursor_foresee(b->seeing, b->of, n);
    for (unsigned k = 0; k < n; k++) {
        found += b->of[k].page != NULL;
        compare_one(b, r, rnd_below(r, 4) == 0 ? rnd_below(r, n) : k, why);
    }
    return found;
}

static void sizes(void **state)
{
    static const struct { const char *why; unsigned puts; bool tree; } rows[] = {
        { "no entry at all",                 0,    false },
        { "one entry",                       1,    true },
        { "one leaf",                        20,   true },
        { "a branch above the leaves",       400,  true },
        { "two branches one above another",  6000, true },
    };
    struct bed *b = malloc(sizeof *b);
    (void)state;
    assert_non_null(b);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct rnd r = rnd_seed(i + 1);
        bed_open(b);
        if (rows[i].puts == 1)
            tmp_store_commit(&b->t, &(struct op){ OP_PUT, bytes_of_text("dns"), bytes_of_text("k"), bytes_of_text("v") }, 1);
        else
            put_some(b, &r, rows[i].puts);
        for (unsigned round = 0; round < 40; round++) {
            assert_ok(view_begin(b->view), NULL);
            if (compare(b, &r, KEYS, rows[i].why) != (rows[i].tree ? KEYS : 0))
                fail_msg("%s: not all of the keys were foreseen", rows[i].why);
            assert_int_equal(cursor_leaves(b->seeing) > 0, rows[i].tree);
            (void)compare(b, &r, 1 + round % 3, rows[i].why);
            view_end(b->view);
        }
        bed_close(b);
    }
    free(b);
}

/* Between batches pages are given to others: what was foreseen in one says nothing in the next. */
static void one_batch_only(void **state)
{
    struct bed *b = malloc(sizeof *b);
    struct rnd r = rnd_seed(7);
    (void)state;
    assert_non_null(b);
    bed_open(b);
    put_some(b, &r, 300);
    for (unsigned round = 0; round < 30; round++) {
        assert_ok(view_begin(b->view), NULL);
        assert_int_equal(compare(b, &r, KEYS, "this batch"), KEYS);
        view_end(b->view);
        put_some(b, &r, 30);
        assert_ok(view_begin(b->view), NULL);
        for (unsigned i = 0; i < KEYS; i++)
            compare_one(b, &r, i, "the batch before");
        assert_int_equal(compare(b, &r, KEYS, "the next one"), KEYS);
        view_end(b->view);
    }
    bed_close(b);
    free(b);
}

/* A namespace that is not there, and a key's steps over both ends. */
static void ends(void **state)
{
    struct bed *b = malloc(sizeof *b);
    struct cursor *none;
    struct entry e;
    (void)state;
    assert_non_null(b);
    bed_open(b);
    tmp_store_commit(&b->t, (struct op[]){ op_put("dns", "b", "1"), op_put("dns", "d", "2") }, 2);
    for (unsigned i = 0; i < 4; i++)
        b->of[i].key = bytes_of(memcpy(b->buf[i], &"abde"[i], 1), 1);
    assert_ok(cursor_open(b->view, bytes_of_text("nobody"), &none), NULL);
    assert_ok(view_begin(b->view), NULL);
    assert_int_equal(cursor_leaves(none), 0);
    cursor_foresee(none, b->of, 4);
    assert_int_equal(cursor_seek_foreseen(none, &b->of[0], &e), ERR_NOTFOUND);
    cursor_foresee(b->seeing, b->of, 4);
    assert_int_equal(cursor_seek_foreseen(b->seeing, &b->of[0], &e), OK);
    assert_memory_equal(e.key.ptr, "b", 1);
    assert_int_equal(cursor_prev(b->seeing, &e), ERR_NOTFOUND);
    assert_int_equal(cursor_next(b->seeing, &e), OK);
    assert_memory_equal(e.key.ptr, "b", 1);
    assert_int_equal(cursor_seek_foreseen(b->seeing, &b->of[2], &e), OK);
    assert_memory_equal(e.key.ptr, "d", 1);
    assert_int_equal(cursor_next(b->seeing, &e), ERR_NOTFOUND);
    assert_int_equal(cursor_seek_foreseen(b->seeing, &b->of[3], &e), ERR_NOTFOUND);
    assert_int_equal(cursor_prev(b->seeing, &e), OK);
    assert_memory_equal(e.value.ptr, "2", 1);
    view_end(b->view);
    cursor_close(none);
    bed_close(b);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes), cmocka_unit_test(one_batch_only), cmocka_unit_test(ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
