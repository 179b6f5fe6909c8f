/* Ahead of the log: what is safe there comes into the log, whole, whatever of log and file the crash of a machine left. */
#include "store/internal.h"
#include "tests/util_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static struct tmp_store t;

static struct log_txn *begin(uint64_t seq, const char *text)
{
    struct log_txn *l;
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, seq, bytes_of_text(text), &t.fault), &t.fault);
    assert_ok(lognote_reach_put(l, 1, true, &t.fault), &t.fault);
    assert_ok(lognote_put(l, bytes_of_text("group"), 1, seq, bytes_of_text(text), &t.fault), &t.fault);
    return l;
}
static void ahead(struct log_txn *l, const char *extra) { assert_ok(log_ahead(l, bytes_of_text(extra), &t.fault), &t.fault); }
static void add(uint64_t seq, const char *text, const char *extra)
{
    struct log_txn *l = begin(seq, text);
    ahead(l, extra);
    assert_ok(log_commit(l, &t.fault), &t.fault);
}

/* "seq text, ..." of records, "+" and the notes' texts. */
static const char *listing(struct store *s)
{
    static char text[4096];
    uint8_t buf[2000];
    struct log_reader *r;
    struct bytes got;
    struct lognote note = { .seq = 0 };
    uint64_t first, last;
    size_t at = 0;
    assert_ok(log_reader_open(s, &r, NULL), NULL);
    assert_ok(log_reader_begin(r), NULL);
    assert_ok(log_reader_range(r, &first, &last), NULL);
    text[0] = '\0';
    for (uint64_t seq = first; seq <= last && seq > 0; seq++) {
        assert_ok(log_reader_get(r, seq, buf, sizeof buf, &got, NULL), NULL);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d %.*s", at > 0 ? ", " : "", (int)seq, (int)got.len, (const char *)got.ptr);
    }
    for (uint64_t seq = 0; lognote_next(r, bytes_of_text("group"), seq, 0, &note) == OK; seq = note.seq + 1)
        at += (size_t)snprintf(text + at, sizeof text - at, " +%.*s", (int)note.front.len, (const char *)note.front.ptr);
    log_reader_end(r);
    log_reader_close(r);
    return text;
}
static const char *extra(struct store *s, bool newer)
{
    static char text[64];
    struct bytes got;
    enum err err = log_extra(s, newer, &got, NULL);
    if (err == ERR_NOTNOW)
        return "?";
    assert_true(err == OK || err == ERR_NOTFOUND);
    snprintf(text, sizeof text, "%.*s", err == OK ? (int)got.len : 1, err == OK ? (const char *)got.ptr : "-");
    if (err == OK)
        free((void *)(uintptr_t)got.ptr);
    return text;
}

/* The folder as a crash of the machine right now could leave it, where the log's own file is as it was at `older` (NULL: as it is). */
static struct store *after_a_crash(char dir[PATH_MAX], const char *older)
{
    char from[PATH_MAX + 16], to[PATH_MAX + 16];
    struct store_options o = t.options;
    struct store *s;
    tmp_folder(dir);
    copy_tree(t.dir, dir);
    if (older != NULL) {
        snprintf(from, sizeof from, "%s/log/data.mdb", older);
        snprintf(to, sizeof to, "%s/log/data.mdb", dir);
        copy_file(from, to);
    }
    o.dir = dir;
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    return s;
}
static void gone(struct store *s, const char *dir)
{
    store_close(s);
    remove_tree(dir);
}

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
    assert_string_equal(extra(s, true), "extra");
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

/* The log's file may be one commit behind what was written to it, and another one is ahead then. */
static void two_commits_behind(void **state)
{
    char older[PATH_MAX], dir[PATH_MAX];
    (void)state;
    for (unsigned kinds = 0; kinds < 16; kinds++) {         /* with and without an extra, in every order of four */
        tmp_store_open(&t, STORE_CORE);
        tmp_folder(older);
        for (uint64_t seq = 1; seq <= 4; seq++) {
            char text[8], with[8];
            snprintf(text, sizeof text, "r%d", (int)seq);
            snprintf(with, sizeof with, "x%d", (int)seq);
            if ((kinds >> (seq - 1) & 1) == 0)
                with[0] = '\0';
            if (seq == 3) {                                 /* before its own commit: behind this one the second's is on the disk */
                remove_tree(older);
                tmp_folder(older);
                copy_tree(t.dir, older);
            }
            struct log_txn *l = begin(seq, text);
            ahead(l, with);
            if (seq == 4) {
                char log[PATH_MAX + 8];
                snprintf(log, sizeof log, "%s", older);
                struct store *s = after_a_crash(dir, log);
                assert_string_equal(listing(s), "1 r1, 2 r2, 3 r3, 4 r4 +r1 +r2 +r3 +r4");
                for (uint64_t x = 4, newer = 1; x > 0 && newer < 2; x--)        /* the newest two extras, whatever came between */
                    if ((kinds >> (x - 1) & 1) != 0) {
                        char want[8];
                        snprintf(want, sizeof want, "x%d", (int)x);
                        assert_string_equal(extra(s, newer == 1), want);
                        newer = newer == 1 ? 0 : 2;
                    }
                gone(s, dir);
            }
            assert_ok(log_commit(l, &t.fault), &t.fault);
        }
        remove_tree(older);
        tmp_store_close(&t);
    }
}

/* Any byte of the file: all of the transaction, or nothing of it. */
static void torn_files(void **state)
{
    static const struct { const char *why; long at; long size; } rows[] = {
        { "the magic", 0, -1 }, { "the version", 7, -1 }, { "the number", 15, -1 }, { "the length", 23, -1 }, { "a huge length", 16, -1 },
        { "the hash", 40, -1 }, { "the first record", 70, -1 }, { "the note", 110, -1 }, { "an empty file", -1, 0 },
        { "half a head", -1, 30 }, { "half a body", -1, 90 },
    };
    char dir[PATH_MAX], file[PATH_MAX + 16];
    struct store_options o;
    struct store *s;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "");
    struct log_txn *l = begin(2, "two");
    ahead(l, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tmp_folder(dir);
        copy_tree(t.dir, dir);
        snprintf(file, sizeof file, "%s/log/ahead.1", dir);
        int fd = open(file, O_RDWR | O_CLOEXEC);
        uint8_t byte;
        assert_true(fd >= 0);
        if (rows[i].size >= 0)
            assert_int_equal(ftruncate(fd, rows[i].size), 0);
        if (rows[i].at >= 0) {
            assert_int_equal(pread(fd, &byte, 1, rows[i].at), 1);
            byte ^= 0x40;
            assert_int_equal(pwrite(fd, &byte, 1, rows[i].at), 1);
        }
        close(fd);
        o = t.options;
        o.dir = dir;
        assert_ok(store_open(&s, &o, &t.fault), &t.fault);
        if (strcmp(listing(s), "1 one +one") != 0)
            fail_msg("%s is damaged: %s", rows[i].why, listing(s));
        gone(s, dir);
    }
    log_abort(l);
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
    assert_string_equal(extra(s, true), "x2");              /* the cut was not about that one */
    assert_string_equal(extra(s, false), "-");
    gone(s, dir);
    add(3, "other", "x4");
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_clear(l, &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    s = after_a_crash(dir, NULL);
    assert_string_equal(extra(s, true), "-");
    assert_true(strstr(listing(s), "3 other") == NULL);
    gone(s, dir);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, 10, bytes_of_text("ten"), &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    l = begin(11, "eleven");
    ahead(l, "");
    char alone[PATH_MAX];
    tmp_folder(alone);
    copy_tree(t.dir, alone);
    log_abort(l);
    assert_ok(log_settle(t.s, &t.fault), &t.fault);         /* nobody said that it failed */
    store_close(t.s);
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    assert_true(strstr(listing(t.s), "11 eleven") != NULL);
    remove_tree(alone);
    tmp_store_close(&t);
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

/* The file cannot be written: nothing happened, and it goes on when it can. */
static void a_file_that_fails(void **state)
{
    struct rlimit old, small;
    static char large[200000];
    struct log_txn *l;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){ 100000, old.rlim_max };
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    memset(large, 'a', sizeof large - 1);
    assert_ok(log_append(l, 2, bytes_of_text(large), &t.fault), &t.fault);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err err = log_ahead(l, (struct bytes){ 0 }, &t.fault);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(err != OK && err != ERR_LIMIT);
    assert_non_null(strstr(t.fault.text, "ahead."));
    log_abort(l);
    assert_ok(log_settle(t.s, &t.fault), &t.fault);
    add(2, "two", "");
    tmp_store_reopen(&t);
    assert_string_equal(listing(t.s), "1 one, 2 two +one +two");
    tmp_store_close(&t);
}

/* Neither written nor emptied: the disk may have it although it does not read. Another of the same seq comes then, and the machine stops:
 * nothing of the first may be in the file. */
static void a_file_that_cannot_be_emptied(void **state)
{
    char path[PATH_MAX + 16], dir[PATH_MAX];
    struct log_txn *l;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "x1");
    add(2, "two", "x2");
    l = begin(3, "lost");
    ahead(l, "x3");                                         /* what reaches the disk, whatever the kernel says */
    log_abort(l);
    snprintf(path, sizeof path, "%s/log/ahead.2", t.dir);
    int good = t.s->ahead.fd[2], bad = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(bad >= 0);
    t.s->ahead.fd[2] = bad;
    t.s->ahead.number[2] = 1;                               /* its turn again */
    l = begin(3, "lost");
    enum err err = log_ahead(l, bytes_of_text("x3"), &t.fault);
    assert_true(err != OK && err != ERR_LIMIT && err != ERR_FULL);
    log_abort(l);
    assert_int_equal(truncate(path, 0), 0);                 /* as the page cache has it */
    assert_int_not_equal(log_settle(t.s, &t.fault), OK);    /* not before it is emptied */
    assert_string_equal(extra(t.s, true), "?");
    t.s->ahead.fd[2] = good;
    close(bad);
    assert_ok(log_settle(t.s, &t.fault), &t.fault);
    assert_string_equal(extra(t.s, true), "x2");
    add(3, "three", "");
    struct store *s = after_a_crash(dir, NULL);
    assert_string_equal(listing(s), "1 one, 2 two, 3 three +one +two +three");
    gone(s, dir);
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
    for (uint64_t seq = 2; seq <= 5; seq++)
        add(seq, "more", "");
    s = after_a_crash(dir, log);
    assert_string_equal(listing(s), "1 one +one");
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
    assert_string_equal(extra(s, true), "x3");
    assert_string_equal(extra(s, false), "x1");
    snprintf(path, sizeof path, "%s/log/ahead.2", dir);     /* the next is on its way there */
    assert_int_equal(truncate(path, 70), 0);
    assert_string_equal(extra(s, true), "x3");
    assert_string_equal(extra(s, false), "-");
    gone(s, dir);
    tmp_store_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_before_the_log_has_it), cmocka_unit_test(two_commits_behind), cmocka_unit_test(torn_files),
        cmocka_unit_test(what_is_gone_stays_gone), cmocka_unit_test(what_cannot_go_ahead), cmocka_unit_test(a_file_that_fails),
        cmocka_unit_test(a_file_that_cannot_be_emptied), cmocka_unit_test(extras_for_a_reader),
        cmocka_unit_test(first_and_foreign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
