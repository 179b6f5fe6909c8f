/* A full map, a full disk, and a map that a reader has outgrown: nothing is lost, and it goes on afterwards. */
#include "store/internal.h"
#include "tests/util_store.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct tmp_store t;

static int setup(void **state)
{
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    store_close(t.s);
    t.options.map_size = STORE_MAP_MIN;
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tmp_store_close(&t);
    return 0;
}

static enum err put_n(unsigned i, size_t len)
{
    static uint8_t value[STORE_VALUE_MAX];
    char key[16];
    (void)snprintf(key, sizeof key, "key%06u", (i * 7919) % 1000000);      /* not in order */
    struct op op = { OP_PUT, bytes_of_text("dns"), bytes_of_text(key), bytes_of(value, len) };
    return store_run(t.s, &op, 1, &t.fault);
}
static enum err del_n(unsigned i)
{
    char key[16];
    (void)snprintf(key, sizeof key, "key%06u", (i * 7919) % 1000000);
    struct op op = op_del("dns", key);
    return store_run(t.s, &op, 1, &t.fault);
}

static void full_map(void **state)
{
    static const size_t lens[] = { 20, 700, 1900, 5000, 60000 };
    (void)state;
    for (size_t l = 0; l < ROWS(lens); l++) {
        unsigned n = 0;
        enum err err;
        while ((err = put_n(n, lens[l])) == OK)
            n++;
        assert_int_equal(err, ERR_FULL);
        if (strstr(t.fault.text, "map_size") == NULL &&
            strstr(t.fault.text, "mapsize") == NULL)    /* ours or LMDB's words */
            fail_msg("values of %zu: '%s'", lens[l], t.fault.text);
        uint64_t seq = seq_now(t.s);
        assert_int_equal(put_n(n, lens[l]), ERR_FULL);
        assert_int_equal(seq_now(t.s), seq);
        store_check(t.s);
        tmp_store_reopen(&t);
        assert_int_equal(put_n(n, lens[l]), ERR_FULL);
        assert_true(n > 3);
        for (unsigned i = 0; i < n; i++)                    /* deletes work, one by one, to the last */
            if (del_n(i) != OK)
                fail_msg("values of %zu: delete %u of %u: %s", lens[l], i, n, t.fault.text);
        store_check(t.s);
        if ((err = put_n(n, lens[l])) != OK)                /* and what they freed can be used again */
            fail_msg("values of %zu: a put after the deletes: %s", lens[l], t.fault.text);
        assert_ok(del_n(n), &t.fault);
    }
}

/* One transaction that is too large: nothing of it stays, however far it came. */
static void full_in_one(void **state)
{
    static char keys[20000][12];
    static struct op ops[20000];
    (void)state;
    for (size_t i = 0; i < ROWS(ops); i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%08zu", i);
        ops[i] = (struct op){ OP_PUT, bytes_of_text("dns"), bytes_of_text(keys[i]), bytes_of(keys, 100) };
    }
    assert_ok(store_run(t.s, ops, 1000, &t.fault), &t.fault);
    for (int again = 0; again < 3; again++) {
        assert_int_equal(store_run(t.s, ops, ROWS(ops), &t.fault), ERR_FULL);
        store_check(t.s);
        assert_int_equal(seq_now(t.s), 1);
    }
    assert_ok(store_run(t.s, ops + 1000, 1000, &t.fault), &t.fault);
    store_check(t.s);
}

/* An old reader holds the pages that deletes freed: full stays full, until it moves. */
static void full_behind_reader(void **state)
{
    struct view *v;
    unsigned n = 0;
    (void)state;
    while (put_n(n, 1900) == OK)
        n++;
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    for (unsigned i = 0; i < 4; i++)
        assert_ok(del_n(i), &t.fault);
    assert_int_equal(put_n(0, 1900), ERR_FULL);
    view_end(v);
    for (unsigned i = 4; i < n - 20; i++) {      /* pages come free when neighbours merge, not one by one */
        assert_ok(del_n(i), &t.fault);
    }
    assert_ok(put_n(0, 1900), &t.fault);
    store_check(t.s);
    view_close(v);
}

/* Puts until the disk ends, which is before the map does. */
static unsigned fill_disk(enum err *err, enum err *again)
{
    unsigned n = 1;
    while ((*err = put_n(n, 2500)) == OK && n < 5000)
        n++;
    *again = put_n(n, 2500);
    return n;
}

/* A limit on the file's size: LMDB's writes are cut short (EIO) or refused (EFBIG). */
static void limited_file(void **state)
{
    struct rlimit before, tight;
    struct store_figures f;
    enum err err, again;
    (void)state;
    store_close(t.s);
    t.options.map_size = (uint64_t)1 << 30;
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    assert_ok(put_n(0, 100), &t.fault);
    assert_ok(store_figures(t.s, &f), NULL);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = f.used_bytes + 300000;
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    unsigned n = fill_disk(&err, &again);
    int restored = setrlimit(RLIMIT_FSIZE, &before);
    (void)signal(SIGXFSZ, old);
    assert_int_equal(restored, 0);
    assert_true(err == ERR_FULL || err == ERR_STORE);
    assert_true(again == ERR_FULL || again == ERR_STORE);
    assert_true(n > 20);
    store_check(t.s);
    assert_ok(put_n(n, 2500), &t.fault);        /* space is there again: it goes on, without a new opening */
    assert_ok(del_n(1), &t.fault);
    store_check(t.s);
    tmp_store_reopen(&t);
    store_check(t.s);
}

/* A file system of 3 MiB in a mount namespace of the child's own; where that is not allowed there is nothing to see. */
static void tiny_disk_child(void)
{
    enum err err, again;
    char ballast[PATH_MAX + 16];
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", t.dir, "tmpfs", 0, "size=3m") != 0)
        _exit(77);
    (void)snprintf(ballast, sizeof ballast, "%s/node.key", t.dir);
    FILE *f = fopen(ballast, "w");
    for (int i = 0; i < 500000 && f != NULL; i++)
        (void)fputc('x', f);
    if (f == NULL || fclose(f) != 0 || store_open(&t.s, &t.options, &t.fault) != OK || put_n(0, 100) != OK)
        _exit(1);
    unsigned n = fill_disk(&err, &again);
    if (err != ERR_FULL || again != ERR_FULL || n < 20)
        _exit(2);
    store_check(t.s);
    if (unlink(ballast) != 0 || put_n(n, 2500) != OK || del_n(1) != OK)
        _exit(3);
    store_check(t.s);
    store_close(t.s);
    if (store_open(&t.s, &t.options, &t.fault) != OK)
        _exit(4);
    store_check(t.s);
    store_close(t.s);
    _exit(0);
}

static void fill_to_the_brim(const char *path)
{
    static const uint8_t block[4096];
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    for (size_t n = sizeof block; fd >= 0 && n > 0; n /= 4096)
        while (write(fd, block, n) == (ssize_t)n)
            continue;
    (void)close(fd);
}

/* Closed in order, and then the disk fills up: it opens all the same, with a mark that counts as a crash. */
static void full_disk_child(void)
{
    char ballast[PATH_MAX + 16];
    struct stat st;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", t.dir, "tmpfs", 0, "size=3m") != 0)
        _exit(77);
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", t.dir);
    t.options.role = STORE_EDGE;
    t.options.boot_id = "one";
    if (store_open(&t.s, &t.options, &t.fault) != OK || put_n(0, 100) != OK)
        _exit(1);
    store_close(t.s);
    fill_to_the_brim(ballast);
    if (store_open(&t.s, &t.options, &t.fault) != OK)
        _exit(2);
    store_check(t.s);
    (void)snprintf(ballast, sizeof ballast, "%s/log/mark", t.dir);
    _exit(stat(ballast, &st) == 0 && st.st_size == 0 ? 0 : 3);
}

static void run_child(void (*child)(void))
{
    int status;
    store_close(t.s);
    t.s = NULL;
    t.options.map_size = (uint64_t)1 << 30;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with %x", (unsigned)status);
}

static void tiny_disk(void **state)
{
    (void)state;
    run_child(tiny_disk_child);
}
static void full_disk_at_start(void **state)
{
    (void)state;
    run_child(full_disk_child);
}

/* --- a reader's map that the file has outgrown -------------------------------------------------------------------- */
struct batches { struct env *env; atomic_bool stop; atomic_uint done, failed; };

static void *read_on(void *arg)
{
    struct batches *b = arg;
    struct reader r;
    if (reader_open(&r, b->env, NULL) != OK) {
        atomic_fetch_add(&b->failed, 1);
        return NULL;
    }
    while (!atomic_load(&b->stop)) {
        MDB_stat st;
        if (reader_begin(&r) != OK || mdb_stat(r.txn, MAIN_DBI, &st) != 0)
            atomic_fetch_add(&b->failed, 1);
        reader_end(&r);
        atomic_fetch_add(&b->done, 1);
    }
    reader_close(&r);
    return NULL;
}

static void outgrown(void **state)
{
    char path[PATH_MAX + 16];
    struct batches b = { .env = NULL };
    pthread_t thread;
    struct reader idle, late;
    int status;
    (void)state;
    assert_ok(put_n(0, 10), &t.fault);
    store_close(t.s);
    t.s = NULL;
    (void)snprintf(path, sizeof path, "%s/data.1", t.dir);
    assert_ok(env_open(&b.env, path, MDB_RDONLY, STORE_MAP_MIN, &t.fault), &t.fault);
    assert_ok(reader_open(&idle, b.env, &t.fault), &t.fault);
    assert_int_equal(pthread_create(&thread, NULL, read_on, &b), 0);
    pid_t pid = fork();
    if (pid == 0) {                             /* (only opens environments of its own) */
        struct store *s;
        t.options.map_size = (uint64_t)1 << 26;
        if (store_open(&s, &t.options, &t.fault) != OK)
            _exit(9);
        t.s = s;
        for (unsigned i = 1; i < 8; i++)
            if (put_n(i, STORE_VALUE_MAX) != OK)
                _exit(8);
        store_close(s);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_ok(reader_begin(&idle), NULL);       /* maps the rest */
    assert_true(atomic_load(&b.env->grown) >= 1);
    unsigned before = atomic_load(&b.done);
    while (atomic_load(&b.done) < before + 100 && atomic_load(&b.failed) == 0)
        (void)usleep(100);
    reader_end(&idle);
    assert_ok(reader_open(&late, b.env, &t.fault), &t.fault);
    reader_close(&late);
    atomic_store(&b.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&b.failed), 0);
    reader_close(&idle);
    env_close(b.env);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = { T(full_map), T(full_in_one), T(full_behind_reader), T(limited_file),
                                       T(tiny_disk), T(full_disk_at_start),
        T(outgrown) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
