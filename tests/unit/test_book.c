/* A book: what is committed stays, what is aborted never was, limits are told, order is that of bytes. */
#include "tests/util.h"
#include "tests/util_store.h"

#include "store/book.h"

static const char *const tables[] = { "one", "two" };
static char dir[PATH_MAX], path[PATH_MAX + 16];

static struct book *open_book(uint64_t map)
{
    struct book *b;
    struct fault fault = { "" };
    struct book_options o = { .path = path, .tables = tables, .tables_n = ROWS(tables), .map_size = map, .volatile_data = true };
    assert_ok(book_open(&b, &o, &fault), &fault);
    return b;
}

static struct book_txn *begin(struct book *b, enum book_mode mode)
{
    struct book_txn *t;
    struct fault fault = { "" };
    assert_ok(book_begin(b, mode, &t, &fault), &fault);
    return t;
}

static void put(struct book_txn *t, unsigned table, const char *key, const char *value)
{
    struct fault fault = { "" };
    assert_ok(book_put(t, table, bytes_of_text(key), bytes_of_text(value), &fault), &fault);
}

static void commit(struct book_txn *t)
{
    struct fault fault = { "" };
    assert_ok(book_commit(t, &fault), &fault);
}

static void expect(struct book *b, unsigned table, const char *key, const char *want)
{
    struct book_txn *t = begin(b, BOOK_READ);
    struct bytes got;
    enum err err = book_get(t, table, bytes_of_text(key), &got);
    if (want == NULL)
        assert_int_equal(err, ERR_NOTFOUND);
    else if (err != OK || !bytes_equal(got, bytes_of_text(want)))
        fail_msg("%s is not %s", key, want);
    book_abort(t);
}

static void committed_stays_aborted_never_was(void **state)
{
    struct book *b = open_book(0);
    struct book_txn *t = begin(b, BOOK_WRITE);
    (void)state;
    put(t, 0, "a", "1");
    put(t, 1, "a", "2");
    commit(t);
    t = begin(b, BOOK_WRITE);
    put(t, 0, "a", "other");
    put(t, 0, "b", "new");
    assert_int_equal(book_del(t, 1, bytes_of_text("a"), NULL), OK);
    book_abort(t);
    book_close(b);
    b = open_book(0);
    expect(b, 0, "a", "1");
    expect(b, 0, "b", NULL);
    expect(b, 1, "a", "2");
    t = begin(b, BOOK_WRITE);
    assert_int_equal(book_del(t, 1, bytes_of_text("a"), NULL), OK);
    assert_int_equal(book_del(t, 1, bytes_of_text("a"), NULL), ERR_NOTFOUND);
    commit(t);
    expect(b, 1, "a", NULL);
    book_close(b);
}

static void readers_see_one_state(void **state)
{
    struct book *b = open_book(0);
    struct book_txn *w = begin(b, BOOK_WRITE), *r;
    struct bytes got;
    (void)state;
    put(w, 0, "k", "before");
    commit(w);
    r = begin(b, BOOK_READ);
    w = begin(b, BOOK_WRITE);
    put(w, 0, "k", "after");
    assert_int_equal(book_get(r, 0, bytes_of_text("k"), &got), OK);
    assert_true(bytes_equal(got, bytes_of_text("before")));
    commit(w);
    assert_int_equal(book_get(r, 0, bytes_of_text("k"), &got), OK);
    assert_true(bytes_equal(got, bytes_of_text("before")));
    book_abort(r);
    expect(b, 0, "k", "after");
    book_close(b);
}

static void cursors_go_in_order(void **state)
{
    struct book *b = open_book(0);
    struct book_txn *t = begin(b, BOOK_WRITE);
    struct book_cursor *c;
    struct entry e;
    uint64_t n;
    (void)state;
    assert_int_equal(book_cursor_open(t, 1, &c), OK);
    assert_int_equal(book_seek(c, bytes_of_text(""), &e), ERR_NOTFOUND);
    assert_int_equal(book_last(c, &e), ERR_NOTFOUND);
    book_cursor_close(c);
    put(t, 1, "b", "2");
    put(t, 1, "aa", "1");
    put(t, 1, "c", "3");
    assert_int_equal(book_count(t, 1, &n), OK);
    assert_int_equal(n, 3);
    assert_int_equal(book_cursor_open(t, 1, &c), OK);
    assert_int_equal(book_seek(c, bytes_of_text(""), &e), OK);
    assert_true(bytes_equal(e.key, bytes_of_text("aa")) && bytes_equal(e.value, bytes_of_text("1")));
    assert_int_equal(book_seek(c, bytes_of_text("ab"), &e), OK);
    assert_true(bytes_equal(e.key, bytes_of_text("b")));
    assert_int_equal(book_next(c, &e), OK);
    assert_true(bytes_equal(e.key, bytes_of_text("c")));
    assert_int_equal(book_next(c, &e), ERR_NOTFOUND);
    assert_int_equal(book_last(c, &e), OK);
    assert_true(bytes_equal(e.key, bytes_of_text("c")));
    assert_int_equal(book_seek(c, bytes_of_text("d"), &e), ERR_NOTFOUND);
    book_cursor_close(c);
    commit(t);
    book_close(b);
}

static void limits_are_told(void **state)
{
    static uint8_t long_key[BOOK_KEY_MAX + 1];
    struct book *b = open_book(0), *other;
    struct book_txn *t = begin(b, BOOK_WRITE);
    struct fault fault = { "" };
    struct bytes got;
    (void)state;
    memset(long_key, 'x', sizeof long_key);
    assert_int_equal(book_put(t, 0, bytes_of(long_key, BOOK_KEY_MAX), bytes_of_text("v"), &fault), OK);
    assert_int_equal(book_put(t, 0, bytes_of(long_key, BOOK_KEY_MAX + 1), bytes_of_text("v"), &fault), ERR_LIMIT);
    assert_int_equal(book_put(t, 0, bytes_of_text(""), bytes_of_text("v"), &fault), ERR_LIMIT);
    assert_int_equal(book_get(t, 0, bytes_of(long_key, BOOK_KEY_MAX + 1), &got), ERR_NOTFOUND);
    commit(t);
    struct book_options o = { .path = path, .tables = tables, .tables_n = ROWS(tables) };
    assert_int_equal(book_open(&other, &o, &fault), ERR_LOCKED);
    book_close(b);
}

static void full_changes_nothing(void **state)
{
    static uint8_t value[100000];
    struct book *b = open_book((uint64_t)1 << 20);
    struct book_txn *t = begin(b, BOOK_WRITE);
    struct fault fault = { "" };
    enum err err = OK;
    (void)state;
    put(t, 0, "kept", "1");
    commit(t);
    t = begin(b, BOOK_WRITE);
    for (uint8_t i = 1; err == OK && i < 30; i++)
        err = book_put(t, 0, bytes_of(&i, 1), bytes_of(value, sizeof value), &fault);
    assert_int_equal(err, ERR_FULL);
    assert_non_null(strstr(fault.text, path));
    book_abort(t);
    expect(b, 0, "kept", "1");
    expect(b, 0, "\1", NULL);
    t = begin(b, BOOK_WRITE);
    put(t, 0, "kept", "2");
    commit(t);
    expect(b, 0, "kept", "2");
    book_close(b);
}

static int fresh(void **state)
{
    (void)state;
    tmp_folder(dir);
    snprintf(path, sizeof path, "%s/records", dir);
    return 0;
}
static int gone(void **state)
{
    (void)state;
    remove_tree(dir);
    return 0;
}

int main(void)
{
#define BOOK_TEST(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        BOOK_TEST(committed_stays_aborted_never_was), BOOK_TEST(readers_see_one_state), BOOK_TEST(cursors_go_in_order), BOOK_TEST(limits_are_told),
        BOOK_TEST(full_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
