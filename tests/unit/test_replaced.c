/* A reading process whose store is replaced under it: the folder is emptied, another store is made there, with the same
 * generation number and the same transaction numbers. And what one number of a version stands for, under a busy writer. */
#include "store/store.h"

#include "base/file.h"
#include "tests/util_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static const uint8_t ours[CLUSTER_LEN] = { 1 }, others[CLUSTER_LEN] = { 2 };
static struct tmp_store t;

/* A store in t.dir with one commit at (epoch, seq), or with none when seq is 0: k = value. */
static void fill(const uint8_t *cluster, uint64_t epoch, uint64_t seq, const char *value)
{
    struct store_options o = t.options;
    struct store_txn *x;
    struct store *s;
    struct head h;
    struct signed_head sh;
    struct op op = op_put("dns", "k", value);
    o.cluster = cluster;
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    if (seq > 0) {
        assert_ok(store_begin(s, &x, &t.fault), &t.fault);
        assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
        head_make(s, x, epoch, seq, &h, &sh);
        assert_ok(store_commit(x, &h, &sh, &t.fault), &t.fault);
    }
    store_close(s);
}

static void empty_folder(void)
{
    remove_tree(t.dir);
    assert_int_equal(mkdir(t.dir, 0750), 0);
}

static int setup(void **state)
{
    (void)state;
    tmp_store_open(&t, STORE_EDGE);
    store_close(t.s);
    t.s = NULL;
    empty_folder();
    fill(ours, 5, 70, "old");
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tmp_store_close(&t);
    return 0;
}

static void reading_open(struct store **s, struct view **v, bool forward_only)
{
    struct store_options o = t.options;
    o.mode = STORE_READ;
    o.forward_only = forward_only;
    assert_ok(store_open(s, &o, &t.fault), &t.fault);
    assert_ok(view_open(*s, v, &t.fault), &t.fault);
}

/* The value of k, and the view's version. */
static uint64_t look(struct view *v, char out[16])
{
    struct bytes b;
    assert_ok(view_begin(v), NULL);
    uint64_t version = view_version(v);
    assert_ok(view_get(v, bytes_of_text("dns"), bytes_of_text("k"), &b), NULL);
    assert_true(b.len < 16);
    memcpy(out, b.ptr, b.len);
    out[b.len] = '\0';
    view_end(v);
    return version;
}

static void ring_touched(void *arg, struct bytes ns, struct bytes key, enum ring_mark mark)
{
    (void)arg, (void)ns, (void)key, (void)mark;
}
static void ring_many(void *arg, struct bytes ns) { (void)arg, (void)ns; }

static void same_numbers_other_data(void **state)
{
    const struct ring_visit visit = { NULL, ring_touched, ring_many };
    struct store *s;
    struct view *v;
    char text[16];
    (void)state;
    reading_open(&s, &v, false);
    uint64_t version = look(v, text);
    assert_string_equal(text, "old");
    assert_ok(view_begin(v), NULL);
    assert_ok(view_ring(v, 70, &visit), NULL);
    view_end(v);
    empty_folder();
    assert_int_equal(store_follow(s, &t.fault), ERR_NOTFOUND);
    assert_int_equal(look(v, text), version);           /* what was open is read on */
    fill(others, 5, 70, "new");
    assert_ok(store_follow(s, &t.fault), &t.fault);
    assert_int_not_equal(look(v, text), version);
    assert_string_equal(text, "new");
    assert_ok(view_begin(v), NULL);
    assert_int_equal(view_ring(v, 70, &visit), ERR_GAP);        /* nothing that was kept of the old one holds */
    view_end(v);
    version = look(v, text);
    assert_ok(store_follow(s, &t.fault), &t.fault);
    assert_int_equal(look(v, text), version);
    view_close(v);
    store_close(s);
}

static void forward_only(void **state)
{
    static const struct {
        const char *why;
        bool forward;
        const uint8_t *cluster;
        uint64_t epoch, seq;
        enum err want;
    } rows[] = {
        { "an edge that begins anew has nothing yet",                 true,  ours,   0, 0,  ERR_NOTNOW },
        { "it copied a snapshot that is older than what it had",      true,  ours,   5, 69, ERR_NOTNOW },
        { "a backup of an epoch before",                              true,  ours,   4, 99, ERR_NOTNOW },
        { "it has caught up",                                         true,  ours,   5, 70, OK },
        { "it has more",                                              true,  ours,   5, 71, OK },
        { "the core went back, which a new epoch says",               true,  ours,   6, 1,  OK },
        { "another cluster: its numbers say nothing about ours",      true,  others, 1, 1,  OK },
        { "another cluster that has nothing yet",                     true,  others, 0, 0,  ERR_NOTNOW },
        { "a reader that wants whatever stands there: older",         false, ours,   5, 69, OK },
    };
    struct store *s;
    struct view *v;
    char text[16];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        empty_folder();
        fill(ours, 5, 70, "old");
        reading_open(&s, &v, rows[i].forward);
        empty_folder();
        fill(rows[i].cluster, rows[i].epoch, rows[i].seq, "new");
        enum err got = store_follow(s, &t.fault);
        (void)look(v, text);
        if (got != rows[i].want || strcmp(text, got == OK ? "new" : "old") != 0)
            fail_msg("%s: %s, and the value is '%s'", rows[i].why, err_text(got), text);
        view_close(v);
        store_close(s);
    }
}

/* What stands there now cannot be read: the data at hand stays, the error says what is wrong. */
static void of_another_version(void **state)
{
    struct store *s;
    struct view *v;
    char text[16], path[PATH_MAX + 16];
    (void)state;
    reading_open(&s, &v, true);
    empty_folder();
    fill(ours, 6, 1, "new");
    (void)snprintf(path, sizeof path, "%s/magic", t.dir);
    assert_ok(file_replace(path, bytes_of_text("azoth-store 99\nlmdb 0.9\n"), 0640, &t.fault), &t.fault);
    assert_int_equal(store_follow(s, &t.fault), ERR_FORMAT);
    assert_non_null(strstr(t.fault.text, "store format 99"));
    (void)look(v, text);
    assert_string_equal(text, "old");
    view_close(v);
    store_close(s);
}

/* --- one number, one state ---------------------------------------------------------------------------------------- */
#define COMMITS 3000
/* A writer may stand between its meta page, which is written by itself, and the number that tells of it. */
static atomic_bool stands;
ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    ssize_t done = syscall(SYS_pwrite64, fd, buf, n, at);
    if (n < 512 && at < 2 * 4096 && atomic_load(&stands))
        (void)usleep(200);
    return done;
}

static atomic_bool stop;
static atomic_uint wrong;

static void *watch(void *arg)
{
    struct view *v = arg;
    uint64_t version = 0, seq = 0;
    while (!atomic_load(&stop)) {
        struct head h;
        if (view_begin(v) != OK || view_head(v, &h, NULL) != OK || (view_version(v) == version) != (h.seq == seq) || h.seq < seq)
            atomic_fetch_add(&wrong, 1);
        version = view_version(v);
        seq = h.seq;
        view_end(v);
    }
    return NULL;
}

/* LMDB begins a read transaction in steps between which a busy writer may commit twice. */
static void watch_commits(void)
{
    pthread_t threads[3];
    struct view *views[3];
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    atomic_store(&stop, false);
    atomic_store(&wrong, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_ok(view_open(t.s, &views[i], &t.fault), &t.fault);
        assert_int_equal(pthread_create(&threads[i], NULL, watch, views[i]), 0);
    }
    for (unsigned i = 0; i < COMMITS; i++) {
        struct store_txn *x;
        struct head h;
        struct signed_head sh;
        struct op op = op_put("dns", "k", i % 2 == 0 ? "even" : "odd");
        assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
        assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
        head_make(t.s, x, 5, 71 + i, &h, &sh);
        assert_ok(store_commit(x, &h, &sh, &t.fault), &t.fault);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        view_close(views[i]);
    }
    assert_int_equal(atomic_load(&wrong), 0);
}

static void one_version_one_state(void **state) { (void)state; watch_commits(); }

static void while_the_writer_stands(void **state)
{
    (void)state;
    atomic_store(&stands, true);
    watch_commits();
    atomic_store(&stands, false);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = { T(same_numbers_other_data), T(forward_only), T(of_another_version), T(one_version_one_state), T(while_the_writer_stands) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
