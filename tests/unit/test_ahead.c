/* Ahead of the log: what is safe there comes into the log, whole, whatever of log and file the crash of a machine left. */
#include "tests/unit/ahead_bed.h"

#include <unistd.h>

static void safe_before_the_log_has_it(void **state)
{
    char dir[PATH_MAX];
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "");
    struct log_txn *l = begin(2, "two");
    ahead(l, "extra");
    struct store *s = after_a_crash(dir, NULL);
    assert_string_equal(listing(s), "1 one, 2 two +one +two");
    assert_string_equal(extras(s), "extra");
    gone(s, dir);
    s = after_a_crash(dir, NULL);           /* the same again: it changes nothing that it comes twice */
    store_close(s);
    struct store_options o = t.options;
    o.dir = dir;
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    assert_string_equal(listing(s), "1 one, 2 two +one +two");
    gone(s, dir);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_string_equal(listing(t.s), "1 one, 2 two +one +two");
    tmp_store_close(&t);
}

/* The log's file may be what it was at any commit before: all that went ahead comes back, and all extras are there, in order. */
static void any_number_of_commits_behind(void **state)
{
    enum { STEPS = 6 };
    char older[STEPS][PATH_MAX], dir[PATH_MAX];
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    for (uint64_t seq = 1; seq <= STEPS; seq++) {
        char text[8], with[8];
        tmp_folder(older[seq - 1]);
        copy_tree(t.dir, older[seq - 1]);
        snprintf(text, sizeof text, "r%d", (int)seq);
        snprintf(with, sizeof with, "x%d", (int)seq);
        add(seq, text, seq % 3 == 0 ? "" : with);
    }
    for (size_t i = 0; i < STEPS; i++) {
        struct store *s = after_a_crash(dir, older[i]);
        assert_string_equal(listing(s), "1 r1, 2 r2, 3 r3, 4 r4, 5 r5, 6 r6 +r1 +r2 +r3 +r4 +r5 +r6");
        assert_string_equal(extras(s), "x1 x2 x4 x5");
        gone(s, dir);
        remove_tree(older[i]);
    }
    tmp_store_close(&t);
}

/* What the log took back, or what is another log's, does not come again. */
static void what_is_gone_stays_gone(void **state)
{
    char dir[PATH_MAX];
    struct log_txn *l;
    struct store *s;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "x1");
    add(2, "two", "x2");
    add(3, "three", "x3");
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_cut(l, 2, &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    s = after_a_crash(dir, NULL);
    assert_string_equal(listing(s), "1 one, 2 two +one +two");
    assert_string_equal(extras(s), "x1 x2");                /* the cut was not about those */
    gone(s, dir);
    add(3, "other", "x4");
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_clear(l, &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    s = after_a_crash(dir, NULL);
    assert_string_equal(extras(s), "");
    assert_true(strstr(listing(s), "3 other") == NULL);
    gone(s, dir);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, 10, bytes_of_text("ten"), &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    l = begin(11, "eleven");
    ahead(l, "");
    log_abort(l);                                           /* it is true, whatever becomes of the transaction */
    assert_int_equal(log_extras(t.s, take_extra, dir, NULL), ERR_NOTNOW);
    assert_ok(log_settle(t.s, &t.fault), &t.fault);
    assert_non_null(strstr(listing(t.s), "11 eleven"));
    tmp_store_close(&t);
}

/* A frame is taken back, and another stands in its place that ends where it ended: what stood behind it does not come back. */
static void nothing_behind_a_new_frame(void **state)
{
    char dir[PATH_MAX];
    struct log_txn *l;
    (void)state;
    for (unsigned anew = 0; anew < 2; anew++) {
        tmp_store_open(&t, STORE_CORE);
        add(1, "a", "x1");
        add(2, "b", "x2");
        add(3, "c", "x3");
        if (anew == 1) {
            assert_ok(store_settle(t.s, &t.fault), &t.fault);
            log_ahead_anew(t.s);
        } else {
            assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
            assert_ok(log_cut(l, 0, &t.fault), &t.fault);
            assert_ok(log_commit(l, &t.fault), &t.fault);
        }
        add(anew == 1 ? 4 : 1, "a", "x1");                  /* the very same as before, but for its number */
        struct store *s = after_a_crash(dir, NULL);
        assert_string_equal(extras(s), "x1");
        gone(s, dir);
        tmp_store_close(&t);
    }
}

static void what_cannot_go_ahead(void **state)
{
    static uint8_t large[3 << 20];
    struct log_txn *l;
    bool left;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "");
    add(2, "two", "");
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);      /* too large: as ever */
    assert_ok(log_append(l, 3, bytes_of(large, sizeof large), &t.fault), &t.fault);
    assert_int_equal(log_ahead(l, (struct bytes){ 0 }, &t.fault), ERR_LIMIT);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);      /* its extra is */
    assert_ok(log_append(l, 4, bytes_of_text("four"), &t.fault), &t.fault);
    assert_int_equal(log_ahead(l, bytes_of(large, sizeof large), &t.fault), ERR_LIMIT);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);      /* takes something away */
    assert_ok(log_append(l, 5, bytes_of_text("five"), &t.fault), &t.fault);
    assert_ok(log_trim(l, 2, 10, &left, &t.fault), &t.fault);
    assert_int_equal(log_ahead(l, (struct bytes){ 0 }, &t.fault), ERR_LIMIT);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    tmp_store_close(&t);
    tmp_store_open(&t, STORE_EDGE);                         /* an edge's log is not worth it */
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, 1, bytes_of_text("one"), &t.fault), &t.fault);
    assert_int_equal(log_ahead(l, (struct bytes){ 0 }, &t.fault), ERR_LIMIT);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    tmp_store_close(&t);
}

static uint64_t reach(struct store *s)
{
    struct log_reader *r;
    uint64_t seq = 0;
    assert_ok(log_reader_open(s, &r, NULL), NULL);
    assert_ok(log_reader_begin(r), NULL);
    assert_ok(lognote_reach(r, &seq), NULL);
    log_reader_end(r);
    log_reader_close(r);
    return seq;
}

/* The first of all takes the notes' reach with it; one behind a hole is of another log, and the store opens without it. */
static void first_and_foreign(void **state)
{
    char dir[PATH_MAX], log[PATH_MAX];
    struct log_txn *l;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    tmp_folder(log);
    l = begin(1, "one");
    ahead(l, "");
    struct store *s = after_a_crash(dir, NULL);
    assert_string_equal(listing(s), "1 one +one");
    assert_int_equal(reach(s), 1);
    gone(s, dir);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    copy_tree(t.dir, log);                                  /* another log: it ends where files of this one do not begin */
    for (uint64_t seq = 2; seq <= 5; seq++) {
        add(seq, "more", "");
        if (seq == 3) {
            assert_ok(store_settle(t.s, &t.fault), &t.fault);
            log_ahead_anew(t.s);
        }
    }
    s = after_a_crash(dir, log);
    assert_string_equal(listing(s), "1 one +one");
    assert_int_equal(s->ahead.n, 0);
    gone(s, dir);
    remove_tree(log);
    tmp_store_close(&t);
}

/* Somebody who reads beside has the same extras, also while one is being written. */
static void extras_for_a_reader(void **state)
{
    struct store_options o;
    struct store *s;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "x1");
    add(2, "two", "");
    add(3, "three", "x3");
    char dir[PATH_MAX], path[PATH_MAX + 16];
    tmp_folder(dir);
    copy_tree(t.dir, dir);
    o = (struct store_options){ .dir = dir, .mode = STORE_READ };
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    assert_string_equal(extras(s), "x1 x3");
    snprintf(path, sizeof path, "%s/log/ahead", dir);       /* the next is on its way there */
    assert_int_equal(truncate(path, 2 * 4096 + 70), 0);
    assert_string_equal(extras(s), "x1");
    gone(s, dir);
    tmp_store_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_before_the_log_has_it), cmocka_unit_test(any_number_of_commits_behind),
        cmocka_unit_test(what_is_gone_stays_gone), cmocka_unit_test(nothing_behind_a_new_frame), cmocka_unit_test(what_cannot_go_ahead),
        cmocka_unit_test(extras_for_a_reader), cmocka_unit_test(first_and_foreign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
