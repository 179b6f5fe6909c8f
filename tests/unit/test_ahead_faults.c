/* The file ahead of the log is torn, or cannot be written, or cannot even be emptied. */
#include "tests/unit/ahead_bed.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* Any byte of the file: all of the transaction, or nothing of it. */
static void torn_files(void **state)
{
    static const struct { const char *why; long at; long size; } rows[] = {
        { "the magic", 0, -1 }, { "the version", 7, -1 }, { "the number", 15, -1 }, { "the length", 23, -1 }, { "a huge length", 16, -1 },
        { "the hash", 40, -1 }, { "the first record", 70, -1 }, { "the note", 110, -1 }, { "a file that ends here", -1, 0 },
        { "half a head", -1, 30 }, { "half a body", -1, 90 },
    };
    char dir[PATH_MAX], file[PATH_MAX + 16];
    struct store_options o;
    struct store *s;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "");
    struct log_txn *l = begin(2, "two");
    long frame = (long)t.s->ahead.end;
    ahead(l, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tmp_folder(dir);
        copy_tree(t.dir, dir);
        snprintf(file, sizeof file, "%s/log/ahead", dir);
        int fd = open(file, O_RDWR | O_CLOEXEC);
        uint8_t byte;
        assert_true(fd >= 0);
        if (rows[i].size >= 0)
            assert_int_equal(ftruncate(fd, frame + rows[i].size), 0);
        if (rows[i].at >= 0) {
            assert_int_equal(pread(fd, &byte, 1, frame + rows[i].at), 1);
            byte ^= 0x40;
            assert_int_equal(pwrite(fd, &byte, 1, frame + rows[i].at), 1);
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
    assert_non_null(strstr(t.fault.text, "log/ahead"));
    log_abort(l);
    assert_ok(log_settle(t.s, &t.fault), &t.fault);
    add(2, "two", "");
    tmp_store_reopen(&t);
    assert_string_equal(listing(t.s), "1 one, 2 two +one +two");
    tmp_store_close(&t);
}

/* Neither written nor emptied: the disk may have it although it does not read. Nothing goes on before it is emptied; then another of
 * the same seq comes, and the machine stops: nothing of the first may be in the file. */
static void a_file_that_cannot_be_emptied(void **state)
{
    char path[PATH_MAX + 16], dir[PATH_MAX];
    struct log_txn *l;
    (void)state;
    for (unsigned reads = 0; reads < 2; reads++) {          /* reads: the kernel has it, and says that the disk has not */
        tmp_store_open(&t, STORE_CORE);
        add(1, "one", "x1");
        add(2, "two", "x2");
        snprintf(path, sizeof path, "%s/log/ahead", t.dir);
        int good = t.s->ahead.fd, bad = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(bad >= 0);
        if (reads == 1) {
            struct ahead before = t.s->ahead;
            l = begin(3, "lost");
            ahead(l, "x3");
            l->is_ahead = false;
            log_abort(l);
            t.s->ahead.n = before.n;
            t.s->ahead.end = before.end;
            t.s->ahead.number = before.number;
        }
        t.s->ahead.fd = bad;
        l = begin(3, "lost");
        enum err err = log_ahead(l, bytes_of_text("x3"), &t.fault);
        assert_true(err != OK && err != ERR_LIMIT && err != ERR_FULL);
        log_abort(l);
        assert_int_not_equal(log_settle(t.s, &t.fault), OK);        /* not before it is emptied */
        assert_string_equal(extras(t.s), "?");
        l = begin(3, "no");
        assert_int_equal(log_ahead(l, (struct bytes){ 0 }, &t.fault), ERR_STORE);
        log_abort(l);
        log_ahead_anew(t.s);                                /* nor is anything over */
        assert_false(t.s->ahead.done);
        t.s->ahead.fd = good;
        close(bad);
        assert_ok(log_settle(t.s, &t.fault), &t.fault);
        assert_string_equal(extras(t.s), "x1 x2");
        add(3, "three", "");
        struct store *s = after_a_crash(dir, NULL);
        assert_string_equal(listing(s), "1 one, 2 two, 3 three +one +two +three");
        gone(s, dir);
        tmp_store_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torn_files), cmocka_unit_test(a_file_that_fails), cmocka_unit_test(a_file_that_cannot_be_emptied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
