/* What a reader is told of a core's folder that a crash left: how new its data is, and how new it will be. */
#include "store/book.h"
#include "tests/unit/ahead_bed.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define FRAME ((long)4096)

/* seq in the data, in the log, and ahead of it, each at most the next; as at a core that runs, where the last may be on its way. */
static struct log_txn *make(uint64_t data, uint64_t in_log, uint64_t safe)
{
    struct log_txn *l = NULL;
    tmp_store_open(&t, STORE_CORE);
    for (uint64_t seq = 1; seq <= safe; seq++) {
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("key"), bytes_of_text("v") };
        ahead(l = begin(seq, "record"), "");
        if (seq <= in_log)
            assert_ok(log_commit(l, &t.fault), &t.fault);
        if (seq <= data)
            tmp_store_commit(&t, &op, 1);
    }
    return safe > in_log ? l : NULL;
}

static void told(const char *why, const char *dir, uint64_t want_seq, uint64_t want_last)
{
    struct store_options o = { .dir = dir, .mode = STORE_READ };
    struct fault fault = { "" };
    struct store *s;
    uint64_t seq = 99, last = 99;
    assert_ok(store_open(&s, &o, &fault), &fault);
    assert_ok(store_waiting(s, &seq, &last, &fault), &fault);
    if (seq != want_seq || last != want_last)
        fail_msg("%s: at %d, will be at %d; want %d and %d", why, (int)seq, (int)last, (int)want_seq, (int)want_last);
    store_close(s);
}

static void what_a_crash_left(void **state)
{
    static const struct { const char *why; uint64_t data, in_log, safe, last; } rows[] = {
        { "nothing was ever done", 0, 0, 0, 0 },
        { "all is where it belongs: the frames are in the log", 3, 3, 3, 3 },
        { "one went ahead and no further", 3, 3, 4, 4 },
        { "the very first", 0, 0, 1, 1 },
        { "the log has what the data has not", 1, 5, 5, 5 },
        { "the log has some, the file one more", 1, 5, 6, 6 },
    };
    char dir[PATH_MAX];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct log_txn *l = make(rows[i].data, rows[i].in_log, rows[i].safe);
        tmp_folder(dir);
        copy_tree(t.dir, dir);
        told(rows[i].why, dir, rows[i].data, rows[i].last);
        told("a second time", dir, rows[i].data, rows[i].last);     /* to look changes nothing */
        remove_tree(dir);
        log_abort(l);
        tmp_store_close(&t);
    }
}

/* The log is what it was at the newest checkpoint, as the machine's stop leaves it, and the file has many more. */
static void many_behind_a_checkpoint(void **state)
{
    char dir[PATH_MAX], older[PATH_MAX], from[PATH_MAX + 16], to[PATH_MAX + 16];
    (void)state;
    (void)make(2, 2, 2);
    tmp_folder(older);
    copy_tree(t.dir, older);
    for (uint64_t seq = 3; seq <= 42; seq++)
        add(seq, "more", "");
    tmp_folder(dir);
    copy_tree(t.dir, dir);
    snprintf(from, sizeof from, "%s/log/data.mdb", older);
    snprintf(to, sizeof to, "%s/log/data.mdb", dir);
    copy_file(from, to);
    told("forty of them", dir, 2, 42);
    snprintf(from, sizeof from, "%s/log/ahead", dir);       /* the last is torn, and so was never safe */
    assert_int_equal(truncate(from, 41 * FRAME + 70), 0);
    told("one that is torn", dir, 2, 41);
    assert_int_equal(truncate(from, 0), 0);
    told("a file of nothing", dir, 2, 2);
    assert_int_equal(unlink(from), 0);
    told("no file", dir, 2, 2);
    remove_tree(dir);
    remove_tree(older);
    tmp_store_close(&t);
}

/* A core at work is always in the middle of something: no word of it, nor of a log that is another's. */
static void no_false_alarm(void **state)
{
    char dir[PATH_MAX], from[PATH_MAX + 16], file[PATH_MAX + 16];
    uint64_t seq, last;
    struct store *s;
    (void)state;
    struct log_txn *l = make(1, 1, 2);
    struct store_options o = { .dir = dir, .mode = STORE_READ };
    tmp_folder(dir);
    copy_tree(t.dir, dir);
    snprintf(file, sizeof file, "%s/writer.lock", dir);
    int lock = open(file, O_RDWR | O_CLOEXEC);
    assert_true(lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0);
    told("somebody writes there", dir, 0, 0);
    close(lock);
    told("nobody does", dir, 1, 2);
    lock = open(file, O_RDWR | O_CLOEXEC);
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    assert_ok(store_waiting(s, &seq, &last, &t.fault), &t.fault);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);    /* who looks keeps no writer out */
    close(lock);
    store_close(s);
    log_abort(l);
    tmp_store_close(&t);
    (void)make(5, 5, 5);
    assert_ok(store_settle(t.s, &t.fault), &t.fault);
    log_ahead_anew(t.s);
    add(6, "six", "");
    snprintf(from, sizeof from, "%s/log/ahead", t.dir);
    snprintf(file, sizeof file, "%s/log/ahead", dir);
    copy_file(from, file);
    told("of another log: it begins behind a hole", dir, 1, 1);
    remove_tree(dir);
    tmp_store_close(&t);
    tmp_store_open(&t, STORE_EDGE);                         /* its log is ahead of its data, and soon it is not */
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, 1, bytes_of_text("one"), &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    copy_tree(t.dir, dir);
    told("an edge", dir, 0, 0);
    remove_tree(dir);
    tmp_store_close(&t);
}

/* Records beside the store: who reads them puts them right when nobody writes, as he does with the store. */
static void book_with(struct book *b, const char *key, enum err (*commit)(struct book_txn *x, struct fault *fault))
{
    struct book_txn *x;
    assert_ok(book_begin(b, BOOK_WRITE, &x, &t.fault), &t.fault);
    assert_ok(book_put(x, 0, bytes_of_text(key), bytes_of_text("v"), &t.fault), &t.fault);
    assert_ok(commit(x, &t.fault), &t.fault);
}

static bool book_has(struct book *b, const char *key)
{
    struct book_txn *x;
    struct bytes value;
    assert_ok(book_begin(b, BOOK_READ, &x, &t.fault), &t.fault);
    enum err err = book_get(x, 0, bytes_of_text(key), &value);
    book_abort(x);
    assert_true(err == OK || err == ERR_NOTFOUND);
    return err == OK;
}

static void a_book_is_put_right(void **state)
{
    static const char *const tables[] = { "rows" };
    char dir[PATH_MAX], there[PATH_MAX], path[PATH_MAX + 16];
    struct book_options o = { .path = path, .tables = tables, .tables_n = 1, .map_size = (uint64_t)1 << 24, .boot_id = "one" };
    struct book *b, *r;
    (void)state;
    tmp_folder(dir);
    tmp_folder(there);
    snprintf(path, sizeof path, "%s/records", dir);
    assert_ok(book_open(&b, &o, &t.fault), &t.fault);
    book_with(b, "safe", book_commit);
    book_with(b, "soft", book_commit_soft);
    copy_tree(dir, there);
    book_close(b);
    snprintf(path, sizeof path, "%s/records", there);
    o.read_only = true;
    o.boot_id = "two";
    assert_int_equal(book_open(&r, &o, &t.fault), ERR_NOTNOW);      /* nothing says who writes it */
    assert_non_null(strstr(t.fault.text, "the machine stopped while it was written"));
    o.writer_dir = there;
    int lock;
    assert_ok(writer_lock(there, &lock, &t.fault), &t.fault);
    assert_int_equal(book_open(&r, &o, &t.fault), ERR_NOTNOW);
    close(lock);
    assert_ok(book_open(&r, &o, &t.fault), &t.fault);
    assert_true(book_has(r, "safe") && !book_has(r, "soft"));
    book_close(r);
    remove_tree(dir);
    remove_tree(there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_crash_left), cmocka_unit_test(many_behind_a_checkpoint), cmocka_unit_test(no_false_alarm),
        cmocka_unit_test(a_book_is_put_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
