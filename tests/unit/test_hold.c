/* Transactions that stay open behind their end, in the log and in a book: what is held is seen by nobody who does not wait for it, by all who
 * do, and lost to nobody. */
#include "tests/unit/ahead_bed.h"

#include "store/book.h"

#include <pthread.h>

static const char *const tables[] = { "one", "two" };
static atomic_uint wanted;
static void want(void *arg) { (void)arg; (void)atomic_fetch_add(&wanted, 1); }
static void until_wanted(unsigned n)
{
    while (atomic_load(&wanted) < n)
        (void)usleep(1000);
}

/* --- a book ------------------------------------------------------------------------------------------------------------- */
static char dir[PATH_MAX];
static struct book *open_book(void)
{
    struct fault fault = { "" };
    struct book_options o = { .path = dir, .tables = tables, .tables_n = ROWS(tables), .map_size = 16 << 20 };
    struct book *b;
    assert_ok(book_open(&b, &o, &fault), &fault);
    return b;
}
static struct book *new_book(void)
{
    tmp_folder(dir);
    struct book *b = open_book();
    atomic_store(&wanted, 0);
    book_on_hold(b, want, NULL);
    return b;
}
static void end_book(struct book *b)
{
    book_close(b);
    remove_tree(dir);
}
static struct book_txn *txn(struct book *b, enum book_mode mode)
{
    struct fault fault = { "" };
    struct book_txn *x;
    assert_ok(book_begin(b, mode, &x, &fault), &fault);
    return x;
}
static void put(struct book_txn *x, const char *key)
{
    struct fault fault = { "" };
    assert_ok(book_put(x, 0, bytes_of_text(key), bytes_of_text("v"), &fault), &fault);
}
static bool has(struct book_txn *x, const char *key)
{
    struct bytes v;
    return book_get(x, 0, bytes_of_text(key), &v) == OK;
}
static bool shows(struct book *b, enum book_mode mode, const char *key)
{
    struct book_txn *x = txn(b, mode);
    bool is = has(x, key);
    book_abort(x);
    return is;
}
static void hold(struct book *b, const char *key)
{
    struct book_txn *x = txn(b, BOOK_JOIN);
    put(x, key);
    assert_int_equal(book_hold(x, NULL), OK);
}

static void the_next_goes_on(void **state)
{
    struct book *b = new_book();
    struct bytes kept;
    (void)state;
    hold(b, "a");
    uint64_t before = book_newest(b);
    assert_false(shows(b, BOOK_PAST, "a"));
    struct book_txn *x = txn(b, BOOK_JOIN);
    assert_true(has(x, "a"));
    book_keep(x);
    put(x, "b");
    assert_int_equal(book_kept(x, &kept), OK);
    assert_int_equal(kept.len, 1 + 2 + 1 + 1 + 4 + 1);      /* of this one only */
    assert_int_equal(book_hold(x, NULL), OK);
    assert_true(book_is_held(b));
    assert_int_equal(book_newest(b), before);
    assert_true(shows(b, BOOK_READ, "a"));                  /* its own reader ends it */
    assert_false(book_is_held(b));
    assert_int_equal(book_newest(b), before + 1);
    assert_true(shows(b, BOOK_PAST, "b"));
    assert_int_equal(atomic_load(&wanted), 0);
    end_book(b);
}

/* Whatever else begins, settles or closes commits it first. */
static void what_else_begins(void **state)
{
    struct book *b = new_book();
    struct fault fault = { "" };
    struct book_txn *x;
    (void)state;
    hold(b, "a");
    x = txn(b, BOOK_WRITE);
    assert_true(has(x, "a") && !book_is_held(b));
    book_abort(x);
    assert_true(shows(b, BOOK_PAST, "a"));
    hold(b, "b");
    assert_ok(book_settle(b, &fault), &fault);
    assert_true(shows(b, BOOK_PAST, "b"));
    hold(b, "c");
    x = txn(b, BOOK_JOIN);
    put(x, "d");
    assert_ok(book_commit(x, &fault), &fault);              /* one that is on the disk takes along what was held */
    assert_true(!book_is_held(b) && shows(b, BOOK_PAST, "c") && shows(b, BOOK_PAST, "d"));
    hold(b, "e");
    book_close(b);
    b = open_book();
    assert_true(shows(b, BOOK_READ, "e"));
    end_book(b);
}

static void nothing_is_held_for_ever(void **state)
{
    struct book *b = new_book();
    char key[8];
    unsigned n = 0;
    (void)state;
    do {
        snprintf(key, sizeof key, "k%u", n++);
        hold(b, key);
    } while (book_is_held(b));
    assert_int_equal(n, HOLD_MOST);
    assert_true(shows(b, BOOK_PAST, "k0") && shows(b, BOOK_PAST, key));
    book_on_hold(b, NULL, NULL);                            /* nobody would end it */
    hold(b, "z");
    assert_true(!book_is_held(b) && shows(b, BOOK_PAST, "z"));
    end_book(b);
}

static void an_aborted_one(void **state)
{
    struct book *b = new_book();
    struct fault fault = { "" };
    struct book_txn *x;
    struct bytes kept;
    uint8_t again[64];
    (void)state;
    x = txn(b, BOOK_JOIN);
    book_keep(x);
    put(x, "a");
    assert_int_equal(book_kept(x, &kept), OK);
    memcpy(again, kept.ptr, kept.len);
    size_t len = kept.len;
    assert_int_equal(book_hold(x, NULL), OK);
    book_abort(txn(b, BOOK_JOIN));                          /* it did nothing: what is held stays */
    assert_true(book_is_held(b) && !book_is_barred(b));
    x = txn(b, BOOK_JOIN);
    put(x, "b");
    book_abort(x);                                          /* it did: all is gone, and that is known */
    assert_true(!book_is_held(b) && book_is_barred(b));
    assert_false(shows(b, BOOK_READ, "a"));
    assert_int_equal(book_begin(b, BOOK_JOIN, &x, &fault), ERR_STORE);
    x = txn(b, BOOK_AGAIN);
    assert_ok(book_redo(x, bytes_of(again, len), &fault), &fault);
    assert_ok(book_commit_soft(x, &fault), &fault);
    book_bar(b, false);
    assert_true(shows(b, BOOK_READ, "a") && !shows(b, BOOK_READ, "b"));
    end_book(b);
}

struct guest { struct book *b; enum book_mode mode; bool saw; };
static void *guest(void *arg)
{
    struct guest *g = arg;
    struct book_txn *x;
    while (book_begin(g->b, g->mode, &x, NULL) == ERR_STORE)       /* on a machine that is slow enough */
        (void)usleep(1000);
    g->saw = has(x, "a");
    book_abort(x);
    return NULL;
}

/* Whoever comes while what was held is lost, or waits already, reads and writes when it is back. */
static void others_wait_for_what_was_lost(void **state)
{
    static const enum book_mode modes[] = { BOOK_READ, BOOK_WRITE };
    (void)state;
    for (size_t i = 0; i < ROWS(modes); i++) {
        struct book *b = new_book();
        struct guest g[2] = { { .b = b, .mode = modes[i] }, { .b = b, .mode = modes[i] } };
        pthread_t thread[2];
        hold(b, "a");
        assert_int_equal(pthread_create(&thread[0], NULL, guest, &g[0]), 0);
        until_wanted(1);
        struct book_txn *x = txn(b, BOOK_JOIN);
        put(x, "b");
        book_abort(x);
        assert_int_equal(pthread_create(&thread[1], NULL, guest, &g[1]), 0);
        (void)usleep(20000);
        x = txn(b, BOOK_AGAIN);
        put(x, "a");
        assert_int_equal(book_commit_soft(x, NULL), OK);
        book_bar(b, false);
        for (size_t k = 0; k < ROWS(g); k++) {
            assert_int_equal(pthread_join(thread[k], NULL), 0);
            assert_true(g[k].saw);
        }
        hold(b, "c");
        assert_true(book_is_held(b));                       /* as before */
        end_book(b);
    }
}

/* But not for ever: a disk may have no room for it. */
static void *in_vain(void *arg)
{
    struct guest *g = arg;
    struct book_txn *x = NULL;
    g->saw = book_begin(g->b, g->mode, &x, NULL) != ERR_STORE;      /* as what is barred; not as an end of the process */
    book_abort(x);
    return NULL;
}
static void what_does_not_come_back(void **state)
{
    struct book *b = new_book();
    struct guest g = { .b = b, .mode = BOOK_READ, .saw = true };
    pthread_t thread;
    (void)state;
    hold(b, "a");
    struct book_txn *x = txn(b, BOOK_JOIN);
    put(x, "b");
    book_abort(x);
    assert_int_equal(pthread_create(&thread, NULL, in_vain, &g), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(g.saw);
    end_book(b);
}

/* A bar that comes from elsewhere: what is held is committed, and nothing goes on in it. */
static void barred_meanwhile(void **state)
{
    struct book *b = new_book();
    struct book_txn *x;
    (void)state;
    hold(b, "a");
    book_bar(b, true);
    assert_int_equal(book_begin(b, BOOK_JOIN, &x, NULL), ERR_STORE);
    assert_true(shows(b, BOOK_PAST, "a"));
    end_book(b);
}

static void other_threads_wait(void **state)
{
    static const enum book_mode modes[] = { BOOK_READ, BOOK_WRITE };
    (void)state;
    for (size_t i = 0; i < ROWS(modes); i++) {
        struct book *b = new_book();
        struct guest g[3];
        pthread_t thread[3];
        hold(b, "a");
        for (size_t k = 0; k < ROWS(g); k++) {
            g[k] = (struct guest){ .b = b, .mode = modes[i] };
            assert_int_equal(pthread_create(&thread[k], NULL, guest, &g[k]), 0);
        }
        until_wanted(1);
        struct book_txn *x = txn(b, BOOK_JOIN);             /* one that is at work is waited for */
        put(x, "b");
        assert_int_equal(book_hold(x, NULL), OK);
        assert_false(book_is_held(b));                      /* it was wanted */
        for (size_t k = 0; k < ROWS(g); k++) {
            assert_int_equal(pthread_join(thread[k], NULL), 0);
            assert_true(g[k].saw);
        }
        assert_int_equal(atomic_load(&wanted), 1);          /* asked for once */
        end_book(b);
    }
}

/* --- the log ------------------------------------------------------------------------------------------------------------ */
static void open_log(void)
{
    tmp_store_open(&t, STORE_CORE);
    atomic_store(&wanted, 0);
    log_on_hold(t.s, want, NULL);
}
static struct log_txn *join(uint64_t seq, const char *text)
{
    struct log_txn *l;
    assert_ok(log_join(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, seq, bytes_of_text(text), &t.fault), &t.fault);
    return l;
}
static void hold_record(uint64_t seq, const char *text, const char *extra)
{
    struct log_txn *l = join(seq, text);
    ahead(l, extra);
    assert_ok(log_hold(l, &t.fault), &t.fault);
}
static uint64_t newest_past(void)
{
    struct log_reader *r;
    uint64_t first = 0, last = 0;
    assert_ok(log_reader_open(t.s, &r, NULL), NULL);
    assert_ok(log_reader_begin_past(r), NULL);
    assert_ok(log_reader_range(r, &first, &last), NULL);
    log_reader_end(r);
    log_reader_close(r);
    return last;
}

static void records_are_held(void **state)
{
    char crash[PATH_MAX];
    struct log_txn *l;
    (void)state;
    open_log();
    add(1, "one", "x1");
    hold_record(2, "two", "x2");
    hold_record(3, "three", "");
    assert_true(log_is_held(t.s) && newest_past() == 1);
    struct store *s = after_a_crash(crash, NULL);           /* of the process, too: LMDB has none of them */
    assert_string_equal(listing(s), "1 one, 2 two, 3 three +one");
    assert_string_equal(extras(s), "x1 x2");
    gone(s, crash);
    assert_string_equal(listing(t.s), "1 one, 2 two, 3 three +one");
    assert_false(log_is_held(t.s));
    hold_record(4, "four", "x4");
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);      /* what is no part of it */
    assert_false(log_is_held(t.s));
    log_abort(l);
    assert_false(log_is_behind(t.s));
    hold_record(5, "five", "");
    assert_ok(store_settle(t.s, &t.fault), &t.fault);
    log_ahead_anew(t.s);
    assert_int_equal(newest_past(), 5);
    l = join(6, "six");
    assert_ok(log_hold(l, &t.fault), &t.fault);             /* not safe yet: a commit of its own */
    assert_true(!log_is_held(t.s) && newest_past() == 6);
    hold_record(7, "seven", "");
    tmp_store_reopen(&t);
    assert_int_equal(newest_past(), 7);
    tmp_store_close(&t);
}

static void an_aborted_one_takes_them_along(void **state)
{
    struct log_txn *l;
    (void)state;
    open_log();
    hold_record(1, "one", "x1");
    hold_record(2, "two", "x2");
    log_abort(join(3, "three"));
    assert_true(log_is_behind(t.s) && !log_is_held(t.s) && newest_past() == 0);
    assert_ok(log_settle(t.s, &t.fault), &t.fault);
    assert_string_equal(listing(t.s), "1 one, 2 two");
    assert_string_equal(extras(t.s), "x1 x2");
    hold_record(3, "other", "x3");
    l = join(4, "four");
    ahead(l, "x4");
    log_abort(l);                                           /* that one is true as well */
    assert_ok(log_settle(t.s, &t.fault), &t.fault);
    assert_string_equal(listing(t.s), "1 one, 2 two, 3 other, 4 four");
    tmp_store_close(&t);
}

static void *log_guest(void *arg)
{
    uint64_t first, *last = arg;
    while (log_range(t.s, &first, last) == ERR_NOTNOW)
        (void)usleep(1000);
    return NULL;
}

static void readers_of_the_log_wait(void **state)
{
    (void)state;
    for (unsigned lost = 0; lost < 2; lost++) {
        uint64_t last = 0;
        pthread_t thread;
        open_log();
        hold_record(1, "one", "");
        hold_record(2, "two", "");
        assert_int_equal(pthread_create(&thread, NULL, log_guest, &last), 0);
        until_wanted(1);
        assert_int_equal(newest_past(), 0);
        if (lost == 1) {
            log_abort(join(3, "three"));
            (void)usleep(20000);
            assert_ok(log_settle(t.s, &t.fault), &t.fault);
        } else {
            assert_ok(log_let_go(t.s, &t.fault), &t.fault);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(last, 2);
        tmp_store_close(&t);
    }
}

/* Who cannot wait asks. */
static void *asker(void *arg)
{
    (void)arg;
    log_want(t.s);
    log_want(t.s);
    return NULL;
}
static void asked_without_waiting(void **state)
{
    pthread_t thread;
    (void)state;
    open_log();
    hold_record(1, "one", "");
    log_want(t.s);                                          /* who holds it needs not ask */
    assert_int_equal(atomic_load(&wanted), 0);
    assert_int_equal(pthread_create(&thread, NULL, asker, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&wanted), 1);
    hold_record(2, "two", "");                              /* it is wanted: not held any longer */
    assert_true(!log_is_held(t.s) && newest_past() == 2);
    tmp_store_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_goes_on), cmocka_unit_test(what_else_begins), cmocka_unit_test(nothing_is_held_for_ever),
        cmocka_unit_test(an_aborted_one), cmocka_unit_test(others_wait_for_what_was_lost), cmocka_unit_test(what_does_not_come_back), cmocka_unit_test(barred_meanwhile), cmocka_unit_test(other_threads_wait),
        cmocka_unit_test(records_are_held), cmocka_unit_test(an_aborted_one_takes_them_along), cmocka_unit_test(readers_of_the_log_wait),
        cmocka_unit_test(asked_without_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
