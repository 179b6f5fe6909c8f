/* Writes and syncs that fail, and the loss of power behind them; folders that may not be written; a reader that does not
 * end. What LMDB writes goes through the calls below, which keep an image of what a disk would have: a write reaches it
 * with the next sync that works; a sync that fails loses what it should have written, and, as on Linux, a later one
 * does not bring it back. */
#include "store/internal.h"
#include "tests/unit/faulty_disk.h"

#include <grp.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* --- a disk that fails ---------------------------------------------------------------------------------------------------- */
static unsigned new_starts;
static void reopen_as_a_daemon(void)
{
    new_starts++;
    store_close(t.s);
    t.s = NULL;
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
}

/* After a failure: the state before, whole, at once or after a new start, and no error of more than a line. */
static void consistent(enum err err)
{
    assert_true(err == ERR_STORE || err == ERR_FULL || err == ERR_IO);
    assert_null(strchr(t.fault.text, '\n'));
    assert_true(t.fault.text[0] != '\0');
    if (change(&disk_rnd) == OK)                /* the next one shows what LMDB thinks of itself */
        acked++;
    if (store_is_broken(t.s))
        reopen_as_a_daemon();
    assert_int_equal(seq_now(t.s), acked);
    store_check(t.s);
}

static void power_loss(void)
{
    char dir[PATH_MAX];
    struct store_options o = t.options;
    struct store *s;
    uint64_t first, last, seq;
    if (cut[0].bytes == NULL)
        power_goes();
    after_power_loss(dir);
    o.dir = dir;
    enum err err = store_open(&s, &o, &t.fault);
    if (err != OK)
        fail_msg("after the power came back: %s", t.fault.text);
    seq = seq_now(s);
    if (seq + 1 < acked_at_cut)
        fail_msg("%llu was committed, %llu is there", (unsigned long long)acked_at_cut, (unsigned long long)seq);
    store_check(s);
    assert_ok(log_range(s, &first, &last), NULL);
    if (last < acked_at_cut)
        fail_msg("%llu was committed, the log ends at %llu", (unsigned long long)acked_at_cut, (unsigned long long)last);
    store_close(s);
    remove_tree(dir);
}

/* One run in twenty or so fails where LMDB wants a new start; runs are added until one did, so that no seed leaves that out. */
#define RUNS 80
#define RUNS_MAX (20 * RUNS)
static void failing_disk(void **state)
{
    static const int errors[] = { EIO, EIO, ENOSPC, EROFS };
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    unsigned failures = 0, run = 0;
    disk_names[0] = "data.1/data.mdb";
    disk_names[1] = "log/data.mdb";
    for (; run < RUNS || (new_starts == 0 && run < RUNS_MAX); run++) {
        disk_rnd = rnd_seed(rnd_u64(&r));
        tmp_store_open(&t, STORE_CORE);
        t.options.volatile_data = false;
        t.options.map_size = (uint64_t)1 << 26;
        tmp_store_reopen(&t);
        for (unsigned i = rnd_below(&r, 5); i > 0; i--)
            assert_ok(change(&r), &t.fault);
        tmp_store_reopen(&t);
        acked = seq_now(t.s);
        disk_begin();
        calls = 0;
        fail_with = errors[rnd_below(&r, ROWS(errors))];
        fail_sync_only = rnd_below(&r, 2) == 0;
        fail_at = 1 + rnd_below(&r, fail_sync_only ? 30 : 120);
        for (unsigned i = 5 + rnd_below(&r, 20); i > 0; i--) {
            enum err err = change(&r);
            if (err == OK) {
                acked++;
                continue;
            }
            failures++;
            consistent(err);
            if (rnd_below(&r, 3) == 0) {
                calls = 0;
                fail_at = 1 + rnd_below(&r, 10);
            }
        }
        power_loss();
        disk_end();
        tmp_store_close(&t);
    }
    (void)printf("%u runs, %u failures, %u of them needed a new start\n", run, failures, new_starts);
    assert_true(failures > RUNS / 4 && new_starts > 0);
}

/* --- folders that may not be written ---------------------------------------------------------------------------------- */
/* Names, sizes and times of a folder and what is in it, as one number. */
static uint64_t shape_of(const char *path)
{
    uint64_t sum = 1469598103934665603u;
    char below[PATH_MAX];
    DIR *d = opendir(path);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        struct stat st;
        if (strcmp(e->d_name, "..") == 0 || snprintf(below, sizeof below, "%s/%s", path, e->d_name) >= (int)sizeof below
            || lstat(below, &st) != 0)
            continue;
        uint64_t one = (uint64_t)st.st_size * 31 + (uint64_t)st.st_mtim.tv_nsec * 17 + (uint64_t)st.st_mode + st.st_uid;
        for (const char *c = e->d_name; *c != '\0'; c++)
            one = one * 1099511628211u + (uint8_t)*c;
        if (S_ISDIR(st.st_mode) && strcmp(e->d_name, ".") != 0)
            one += shape_of(below);
        sum += one;                     /* in whatever order they are told */
    }
    if (d != NULL)
        (void)closedir(d);
    return sum;
}

enum place { OWNED_BY_ROOT, FOREIGN_PARENT, FOREIGN_STORE };
static const struct { const char *why; enum place place; enum store_mode mode; } refusals[] = {
    { "a folder that is not ours, to make a store in",      OWNED_BY_ROOT,  STORE_CREATE },
    { "a folder that cannot be made",                       FOREIGN_PARENT, STORE_CREATE },
    { "a store that is not ours, to write",                 FOREIGN_STORE,  STORE_WRITE },
    { "a store that is not ours, to read",                  FOREIGN_STORE,  STORE_READ },
};
static void as_nobody(size_t row, const char *dir)
{
    struct store_options o = { .dir = dir, .mode = refusals[row].mode, .role = STORE_CORE };
    struct store *s;
    if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
        _exit(77);
    enum err err = store_open(&s, &o, &t.fault);
    if (err != ERR_IO || t.fault.text[0] == '\0' || strchr(t.fault.text, '\n') != NULL
        || strstr(t.fault.text, "ermission") == NULL) {
        (void)fprintf(stderr, "%s: %s '%s'\n", refusals[row].why, err_text(err), t.fault.text);
        _exit(1);
    }
    _exit(0);
}
static void without_rights(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ROWS(refusals); i++) {
        char dir[PATH_MAX];
        int status;
        tmp_store_open(&t, STORE_CORE);
        tmp_store_commit(&t, &(struct op){ OP_PUT, bytes_of_text("kv"), bytes_of_text("a"), bytes_of_text("b") }, 1);
        store_close(t.s);
        t.s = NULL;
        tmp_folder(dir);
        char want[PATH_MAX];
        path_of(want, dir, refusals[i].place == FOREIGN_PARENT ? "below" : ".");
        assert_int_equal(chmod(dir, 0755), 0);
        assert_int_equal(chmod(t.dir, 0755), 0);
        const char *which = refusals[i].place == FOREIGN_STORE ? t.dir : refusals[i].place == FOREIGN_PARENT ? want : dir;
        uint64_t before = shape_of(t.dir) ^ shape_of(dir);
        (void)fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
            as_nobody(i, which);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            skip();
        if (status != 0)
            fail_msg("%s: the child ended with %x", refusals[i].why, (unsigned)status);
        if ((shape_of(t.dir) ^ shape_of(dir)) != before)
            fail_msg("%s: something was touched", refusals[i].why);
        remove_tree(dir);
        remove_tree(t.dir);
    }
}

/* A file system that is read-only: a writer is refused, a reader reads. */
static void read_only_child(void)
{
    struct store *s;
    struct view *v;
    struct bytes got;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
        || mount(t.dir, t.dir, NULL, MS_BIND, NULL) != 0
        || mount(t.dir, t.dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) != 0)
        _exit(77);
    enum err err = store_open(&s, &t.options, &t.fault);
    if (err != ERR_IO || strstr(t.fault.text, "ead-only") == NULL || strchr(t.fault.text, '\n') != NULL) {
        (void)fprintf(stderr, "%s '%s'\n", err_text(err), t.fault.text);
        _exit(1);
    }
    t.options.mode = STORE_READ;
    if ((err = store_open(&s, &t.options, &t.fault)) != OK || view_open(s, &v, &t.fault) != OK || view_begin(v) != OK
        || view_get(v, bytes_of_text("kv"), bytes_of_text("a"), &got) != OK || got.len != 1) {
        (void)fprintf(stderr, "reading: %s '%s'\n", err_text(err), t.fault.text);
        _exit(2);
    }
    view_end(v);
    view_close(v);
    struct store_figures f;
    if (store_figures(s, &f) != OK || store_clear_readers(s) != 0)
        _exit(3);
    store_close(s);
    _exit(0);
}
static void read_only_disk(void **state)
{
    int status;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    tmp_store_commit(&t, &(struct op){ OP_PUT, bytes_of_text("kv"), bytes_of_text("a"), bytes_of_text("b") }, 1);
    store_close(t.s);
    t.s = NULL;
    uint64_t before = shape_of(t.dir);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        read_only_child();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    uint64_t after = shape_of(t.dir);
    remove_tree(t.dir);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    if (status != 0)
        fail_msg("the child ended with %x", (unsigned)status);
    assert_int_equal(before, after);
}

/* --- a reader that does not end ---------------------------------------------------------------------------------------- */
/* It keeps every page that commits free: the file grows, up to the map and no further; deletes still go; when it ends all
 * that is there again. */
static void endless_reader(void **state)
{
    struct store_figures f;
    struct rnd r = rnd_seed(7);
    struct view *v;
    enum err err = OK;
    unsigned n = 0;
    char key[16];
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    t.options.map_size = (uint64_t)8 << 20;
    tmp_store_reopen(&t);
    assert_ok(change(&r), &t.fault);
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    uint64_t seq = seq_now(t.s);
    for (; err == OK && n < 20000; n++) {
        (void)snprintf(key, sizeof key, "k%03u", rnd_below(&r, 200));
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(&n, sizeof n) };
        if ((err = store_run(t.s, &op, 1, &t.fault)) == OK)
            seq++;
    }
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(seq_now(t.s), seq);
    assert_ok(store_figures(t.s, &f), NULL);
    assert_int_equal(f.oldest_reader_lag, n - 1);
    assert_int_equal(f.oldest_reader_pid, getpid());
    assert_true(f.used_bytes <= f.map_bytes);
    struct head h;
    assert_ok(view_head(v, &h, NULL), NULL);
    assert_int_equal(h.seq, 1);                             /* and it sees what it saw */
    view_end(v);
    view_close(v);
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "k%03u", rnd_below(&r, 200));
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(&i, sizeof i) };
        assert_ok(store_run(t.s, &op, 1, &t.fault), &t.fault);
    }
    uint64_t before = f.used_bytes;
    assert_ok(store_figures(t.s, &f), NULL);
    assert_int_equal(f.used_bytes, before);
    store_check(t.s);
    tmp_store_close(&t);
}

/* A generation that was filled without syncs and became the data: behind a failed commit its next one syncs all, as any other's. */
static void doubt_behind_a_flip(void **state)
{
    struct store_txn *x;
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("a"), bytes_of_text("b") };
    uint64_t before, after;
    unsigned flags;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    t.options.volatile_data = false;
    tmp_store_reopen(&t);
    tmp_store_commit(&t, &op, 1);
    assert_ok(store_compact(t.s, &before, &after, &t.fault), &t.fault);
    struct env *e = atomic_load(&t.s->gen)->env;
    e->doubt = true;
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    assert_int_equal(mdb_env_get_flags(e->mdb, &flags), 0);
    assert_int_equal(flags & (MDB_NOSYNC | MDB_NOMETASYNC), 0);
    op.value = bytes_of_text("c");
    assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
    assert_ok(commit_at(t.s, x, seq_now(t.s) + 1, &t.fault), &t.fault);
    assert_int_equal(mdb_env_get_flags(e->mdb, &flags), 0);
    assert_true(!e->doubt && (flags & (MDB_NOSYNC | MDB_NOMETASYNC)) == MDB_NOMETASYNC);
    tmp_store_close(&t);
}

int main(void)
{
    uint64_t seed = seed_from_env((uint64_t)getpid());
    (void)printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(failing_disk, &seed), cmocka_unit_test(without_rights), cmocka_unit_test(read_only_disk),
        cmocka_unit_test(endless_reader), cmocka_unit_test(doubt_behind_a_flip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
