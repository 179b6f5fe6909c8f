/* A full map and a full disk: what was refused left nothing behind, and what goes or shrinks is still taken. */
#include "tests/unit/source_bed.h"

#include "builder/rows.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MAP ((uint64_t)4 << 20)

static struct source_bed bed;
static uint64_t id;

static void setup(uint64_t map, bool synced)
{
    bed = (struct source_bed){ .map_size = map, .synced = synced };
    source_bed_open(&bed);
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    id = zone_make(t, "x.", "{}");
    txn_commit(t);
}

static enum err large_row(struct source_txn *t, unsigned number, size_t len, struct fault *fault)
{
    static uint8_t data[60000];
    char text[32];
    (void)snprintf(text, sizeof text, "n%u.x.", number);
    struct name n = name_of_text(text);
    struct row_rr rr = { .rdata = bytes_of(data, len) };
    struct row row = { .owner = name_bytes(&n), .type = 16, .ttl = 1, .rr = &rr, .n = len > 0 };
    struct event e = { .kind = EVENT_ROW, .apex = name_of_text("x."), .owner = row.owner, .type = 16, .before = bytes_of(data, 1) };
    enum err err = source_row_put(t, id, &row, fault);
    if (err == OK && len == 0)
        err = source_event_add(t, &e, fault);
    return err;
}

static uint64_t rows_n(void)
{
    struct source_figures f;
    assert_int_equal(source_figures(bed.s, &f), OK);
    return f.rows;
}

/* Rows until one is refused; gives how many are there. */
static unsigned fill(void)
{
    struct fault fault = { "" };
    for (unsigned n = 0;; n++) {
        struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
        enum err err = large_row(t, n, 20000, &fault);
        if (err == OK)
            err = source_commit(t, &fault);
        else
            source_abort(t);
        if (err == OK)
            continue;
        assert_int_equal(err, ERR_FULL);
        assert_non_null(strstr(fault.text, "records"));
        return n;
    }
}

static void a_full_map_can_be_emptied(void **state)
{
    struct fault fault = { "" };
    (void)state;
    setup(MAP, false);
    unsigned n = fill();
    assert_true(n > 100 && rows_n() == n);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < n; i++) {              /* one by one: each with its event, in a transaction of its own */
            struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
            assert_ok(large_row(t, i, i % 2 == 0 ? 10000 : 0, &fault), &fault);
            txn_commit(t);
        }
        assert_int_equal(rows_n(), (n + 1) / 2);
        for (unsigned i = 0; i < n; i += 2) {
            struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
            assert_ok(large_row(t, i, 0, &fault), &fault);
            txn_commit(t);
        }
        assert_int_equal(rows_n(), 0);
        unsigned again = fill();
        if (again + 20 < n)
            fail_msg("%u rows fit at first, %u in round %u", n, again, round);
        n = again;
    }
    source_bed_close(&bed);
}

static void a_transaction_that_does_not_fit_leaves_nothing(void **state)
{
    struct fault fault = { "" };
    struct source_txn *t;
    enum err err = OK;
    (void)state;
    setup(MAP, false);
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_ok(large_row(t, 0, 100, &fault), &fault);
    txn_commit(t);
    t = txn_begin(bed.s, SOURCE_WRITE);
    for (unsigned i = 0; err == OK; i++)
        err = large_row(t, i, 50000, &fault);
    assert_int_equal(err, ERR_FULL);
    source_abort(t);
    assert_int_equal(rows_n(), 1);
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_ok(large_row(t, 1, 100, &fault), &fault);
    txn_commit(t);
    source_bed_again(&bed);
    assert_int_equal(rows_n(), 2);
    source_bed_close(&bed);
}

/* The file may not grow: as on a disk without room, a commit fails behind writes that were made. */
static void a_full_disk_changes_nothing(void **state)
{
    struct fault fault = { "" };
    struct rlimit before, tight;
    struct stat st;
    char path[PATH_MAX + 32];
    struct source_txn *t;
    (void)state;
    setup(0, true);
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_ok(large_row(t, 0, 100, &fault), &fault);
    txn_commit(t);
    (void)snprintf(path, sizeof path, "%s/records/data.mdb", bed.dir);
    assert_int_equal(stat(path, &st), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = (struct rlimit){ (rlim_t)st.st_size + 65536, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    t = txn_begin(bed.s, SOURCE_WRITE);
    enum err put = OK;
    for (unsigned i = 0; i < 10 && put == OK; i++)
        put = large_row(t, i, 50000, &fault);
    enum err err = put == OK ? source_commit(t, &fault) : put;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(put, OK);
    if (err != ERR_FULL && err != ERR_STORE)           /* a write cut short is EIO to LMDB; the disk itself has room here */
        fail_msg("the commit gave '%s' (%s)", err_text(err), fault.text);
    assert_int_equal(rows_n(), 1);
    t = txn_begin(bed.s, SOURCE_WRITE);
    for (unsigned i = 0; i < 10; i++)
        assert_ok(large_row(t, i, 50000, &fault), &fault);
    txn_commit(t);
    source_bed_again(&bed);
    assert_int_equal(rows_n(), 10);
    source_bed_close(&bed);
}

/* --- who waits for whom ----------------------------------------------------------------------------------------------- */
enum { WRITERS = 3, EACH = 60 };
static void *writer(void *arg)
{
    unsigned number = *(unsigned *)arg;
    for (unsigned i = 0; i < EACH; i++) {
        struct source_txn *t;
        uint64_t fresh;
        if (source_begin(bed.s, SOURCE_WRITE, &t, NULL) != OK || source_fresh_id(t, &fresh, NULL) != OK
            || large_row(t, number * EACH + i, 500, NULL) != OK || source_commit(t, NULL) != OK)
            return arg;
    }
    return NULL;
}

static bool count_row(void *arg, const struct row *row)
{
    (void)row;
    ++*(uint64_t *)arg;
    return true;
}

static void writers_wait_readers_do_not(void **state)
{
    pthread_t threads[WRITERS];
    unsigned numbers[WRITERS];
    struct source_txn *old;
    uint64_t seen = 0, most = 0;
    (void)state;
    setup(0, false);
    old = txn_begin(bed.s, SOURCE_READ);
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, writer, &numbers[i]), 0);
    }
    while (most < WRITERS * EACH) {
        struct source_txn *t = txn_begin(bed.s, SOURCE_READ);
        seen = 0;
        assert_int_equal(source_rows(t, id, bytes_of(NULL, 0), count_row, &seen), OK);
        assert_true(seen >= most);
        most = seen;
        source_abort(t);
        (void)usleep(500);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    seen = 0;
    assert_int_equal(source_rows(old, id, bytes_of(NULL, 0), count_row, &seen), OK);
    assert_int_equal(seen, 0);                  /* its own state to the end */
    source_abort(old);
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    uint64_t fresh;
    assert_int_equal(source_fresh_id(t, &fresh, NULL), OK);
    assert_int_equal(fresh, id + WRITERS * EACH + 1);
    source_abort(t);
    source_bed_close(&bed);
}

/* Another process reads beside the writer, and is seen as a reader; it cannot write. */
static void another_process_reads(void **state)
{
    struct fault fault = { "" };
    int status;
    (void)state;
    setup(0, false);
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    assert_ok(large_row(t, 0, 100, &fault), &fault);
    txn_commit(t);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct recordbook_options o = { .dir = bed.dir, .read_only = true };
        struct source *s;
        struct source_txn *r, *w;
        uint64_t n = 0;
        bool good = recordbook_open(&s, &o, NULL) == OK && source_begin(s, SOURCE_WRITE, &w, NULL) == ERR_NOTNOW
            && source_begin(s, SOURCE_READ, &r, NULL) == OK && source_rows(r, id, bytes_of(NULL, 0), count_row, &n) == OK && n == 1;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    source_bed_close(&bed);
    struct recordbook_options none = { .dir = "/nonexistent", .read_only = true };
    assert_int_equal(recordbook_open(&bed.s, &none, NULL), ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_map_can_be_emptied), cmocka_unit_test(a_transaction_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(a_full_disk_changes_nothing), cmocka_unit_test(writers_wait_readers_do_not),
        cmocka_unit_test(another_process_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
