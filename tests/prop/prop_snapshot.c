/* Random stores: a snapshot loaded elsewhere is the same store, and so is a compacted one. Random damage never passes,
 * or changes nothing that is read. AZOTH_SEED=N repeats. */
#include <sys/mman.h>

#include "store/snapshot.h"
#include "tests/util_store.h"

enum { ROUNDS = 5, STEPS = 12, OPS = 250, DAMAGES = 20 };

static void random_ops(struct rnd *r, struct op *ops, char (*text)[12], size_t n, const uint8_t *noise)
{
    static const char *const names[] = { "dns", "kv", "a", "zz-top", "kv2" };
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(text[i], sizeof text[i], "%u", rnd_below(r, 2000));
        size_t len = rnd_below(r, 40) == 0 ? rnd_below(r, 20000) : rnd_below(r, 90);
        ops[i] = rnd_below(r, 3) == 0 ? op_del(names[rnd_below(r, 5)], text[i])
               : (struct op){ OP_PUT, bytes_of_text(names[rnd_below(r, 5)]), bytes_of_text(text[i]),
                              bytes_of(noise + rnd_below(r, 1000), len) };
    }
}

static int snapshot_fd(struct tmp_store *t)
{
    struct snapshot_totals totals;
    struct view *v;
    struct fault fault = { "" };
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    assert_ok(view_open(t->s, &v, &fault), &fault);
    assert_ok(view_begin(v), NULL);
    assert_ok(snapshot_write(fd, v, STORE_CORE, NULL, 0, NULL, NULL, &totals, &fault), &fault);
    view_end(v);
    view_close(v);
    return fd;
}

static enum err load(struct store *s, int fd, struct fault *fault)
{
    struct snapshot_reader *r;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    enum err err = snapshot_reader_open(&r, fd, fault);
    if (err != OK)
        return err;
    err = snapshot_load(s, r, NULL, NULL, NULL, fault);
    snapshot_reader_close(r);
    return err;
}

/* Both stores, entry by entry. */
static void assert_same(struct store *a, struct store *b)
{
    char names[2][STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    struct view *v[2];
    size_t n[2];
    struct store *s[2] = { a, b };
    for (int i = 0; i < 2; i++) {
        assert_ok(view_open(s[i], &v[i], NULL), NULL);
        assert_ok(view_begin(v[i]), NULL);
        assert_ok(view_namespaces(v[i], names[i], &n[i]), NULL);
    }
    for (size_t i = 0; i < n[0]; i++) {
        struct cursor *c[2];
        struct entry e[2];
        assert_ok(cursor_open(v[0], bytes_of_text(names[0][i]), &c[0]), NULL);
        assert_ok(cursor_open(v[1], bytes_of_text(names[0][i]), &c[1]), NULL);
        enum err x = cursor_seek(c[0], bytes_of("", 0), &e[0]), y = cursor_seek(c[1], bytes_of("", 0), &e[1]);
        for (; x == OK && y == OK; x = cursor_next(c[0], &e[0]), y = cursor_next(c[1], &e[1]))
            assert_true(bytes_equal(e[0].key, e[1].key) && bytes_equal(e[0].value, e[1].value));
        assert_int_equal(x, y);
        cursor_close(c[0]);
        cursor_close(c[1]);
    }
    for (int i = 0; i < 2; i++) {
        view_end(v[i]);
        view_close(v[i]);
    }
}

static void damages(struct rnd *r, int fd, struct tmp_store *to)
{
    off_t len = lseek(fd, 0, SEEK_END);
    struct fault fault = { "" };
    for (int i = 0; i < DAMAGES; i++) {
        uint8_t was, is;
        off_t at = (off_t)(rnd_u64(r) % (uint64_t)len);
        assert_int_equal(pread(fd, &was, 1, at), 1);
        is = (uint8_t)(was ^ (1 + rnd_below(r, 255)));
        assert_int_equal(pwrite(fd, &is, 1, at), 1);
        uint64_t seq = seq_now(to->s);
        assert_int_not_equal(load(to->s, fd, &fault), OK);
        assert_int_equal(seq_now(to->s), seq);
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
    }
}

static void one_round(uint64_t seed)
{
    struct rnd r = rnd_seed(seed);
    struct tmp_store from, to;
    struct fault fault = { "" };
    static struct op ops[OPS];
    static char text[OPS][12];
    static uint8_t noise[21000];
    uint64_t before, after;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(rnd_below(&r, 2) ? rnd_u64(&r) : 'x');
    tmp_store_open(&from, STORE_CORE);
    tmp_store_open(&to, STORE_EDGE);
    for (int step = 0; step < STEPS; step++) {
        size_t n = 1 + rnd_below(&r, OPS);
        random_ops(&r, ops, text, n, noise);
        tmp_store_commit(&from, ops, n);
        if (rnd_below(&r, 4) == 0)
            assert_ok(store_compact(from.s, &before, &after, &fault), &fault);
        if (rnd_below(&r, 4) != 0)
            continue;
        int fd = snapshot_fd(&from);
        if (rnd_below(&r, 2) == 0)
            damages(&r, fd, &to);
        assert_ok(load(to.s, fd, &fault), &fault);
        if (rnd_below(&r, 2) == 0)
            assert_ok(store_compact(to.s, &before, &after, &fault), &fault);
        assert_same(from.s, to.s);
        assert_same(to.s, from.s);
        (void)close(fd);
    }
    tmp_store_close(&to);
    tmp_store_close(&from);
}

static void random_stores(void **state)
{
    (void)state;
    uint64_t seed = seed_from_env(1);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        (void)fprintf(stderr, "seed %llu\n", (unsigned long long)(seed + i));
        one_round(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_stores) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
