/* The scrub: its sum is right whatever is committed between slices, and bits that changed on the disk are found. */
#include "store/scrub.h"
#include "store/internal.h"
#include "tests/util_store.h"

#include <fcntl.h>

static struct tmp_store t;
struct bad { unsigned n; char ns[STORE_NS_MAX + 1], key[64], why[256]; };

static void on_bad(void *arg, struct bytes ns, struct bytes key, const char *why)
{
    struct bad *b = arg;
    b->n++;
    (void)snprintf(b->ns, sizeof b->ns, "%.*s", (int)ns.len, (const char *)ns.ptr);
    (void)snprintf(b->key, sizeof b->key, "%.*s", (int)key.len, (const char *)key.ptr);
    (void)snprintf(b->why, sizeof b->why, "%s", why);
}

/* Values of these tests begin with a letter. */
static enum err check(void *arg, struct bytes ns, const struct entry *e, struct fault *fault)
{
    (void)arg, (void)ns;
    return e->value.len > 0 && e->value.ptr[0] >= 'a' && e->value.ptr[0] <= 'z'
         ? OK : fault_set(fault, ERR_BAD, "does not begin with a letter");
}

static const struct scrub_budget all = { UINT64_MAX, UINT64_MAX, UINT64_MAX };

static struct scrub *open_scrub(struct bad *b)
{
    struct scrub *s;
    struct scrub_options o = { .store = t.s, .check = check, .bad = on_bad, .arg = b };
    *b = (struct bad){ 0 };
    assert_ok(scrub_open(&s, &o, &t.fault), &t.fault);
    return s;
}
static struct scrub_news slice(struct scrub *s, const struct scrub_budget *b)
{
    struct scrub_news n;
    assert_ok(scrub_slice(s, b, &n, &t.fault), &t.fault);
    return n;
}
/* Slices to the end of a round. */
static struct scrub_news round_of(struct scrub *s, uint64_t entries)
{
    struct scrub_budget b = { entries, UINT64_MAX, UINT64_MAX };
    struct scrub_news n;
    unsigned slices = 0;
    while (!(n = slice(s, &b)).ended)
        if (++slices > 100000)
            fail_msg("no end");
    return n;
}

/* --- commits between the slices -------------------------------------------------------------------------------------- */
static struct op random_op(struct rnd *r, char key[16], char value[64])
{
    static const char *const spaces[] = { "dns", "a", "kv", "zz" };
    (void)snprintf(key, 16, "k%03u", rnd_below(r, 300));
    size_t len = 1 + rnd_below(r, 60);
    memset(value, 'a' + (int)rnd_below(r, 26), len);
    struct op op = { OP_PUT, bytes_of_text(spaces[rnd_below(r, 4)]), bytes_of_text(key), bytes_of(value, len) };
    if (rnd_below(r, 3) == 0)
        op = (struct op){ OP_DEL, op.ns, op.key, { 0 } };
    return op;
}
static void random_commit(struct rnd *r, bool abort_it)
{
    char key[40][16], value[40][64];
    struct op ops[40];
    struct store_txn *x;
    size_t n = 1 + rnd_below(r, 40);
    for (size_t i = 0; i < n; i++)
        ops[i] = random_op(r, key[i], value[i]);
    if (!abort_it) {
        tmp_store_commit(&t, ops, n);
        return;
    }
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    assert_ok(store_apply(x, ops, n, &t.fault), &t.fault);
    store_abort(x);
}
/* Rounds of tiny slices with commits and aborts between them: every one of them ends, and is good. */
static void beside_commits(void **state)
{
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    struct bad b;
    tmp_store_open(&t, STORE_CORE);
    struct scrub *s = open_scrub(&b);
    assert_true(slice(s, &all).good);                   /* empty */
    for (unsigned rounds = 0, slices = 0; rounds < 30;) {
        struct scrub_budget tiny = { 1 + rnd_below(&r, 60), UINT64_MAX, UINT64_MAX };
        struct scrub_news n = slice(s, &tiny);
        assert_true(n.slice_entries <= tiny.entries);
        if (n.ended) {
            if (!n.good)
                fail_msg("round %u, slice %u: %s", rounds, slices, t.fault.text);
            rounds++;
        }
        slices++;
        if (rnd_below(&r, 4) != 0)
            random_commit(&r, rnd_below(&r, 5) == 0);
    }
    assert_int_equal(b.n, 0);
    scrub_close(s);
    tmp_store_close(&t);
}

/* Large ops on this store go through the crew that hashes beside the writing: the scrub hears of them all the same. */
static void beside_large_commits(void **state)
{
    static char keys[6000][12];
    static struct op ops[6000];
    struct bad b;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    for (size_t i = 0; i < ROWS(ops); i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%08zu", i);
        ops[i] = (struct op){ OP_PUT, bytes_of_text("kv"), bytes_of_text(keys[i]), bytes_of_text("value") };
    }
    struct scrub *s = open_scrub(&b);
    tmp_store_commit(&t, ops, ROWS(ops));
    struct scrub_budget half = { 3000, UINT64_MAX, UINT64_MAX };
    assert_false(slice(s, &half).ended);
    for (size_t i = 0; i < ROWS(ops); i++)
        ops[i].value = bytes_of_text(i % 3 == 0 ? "value" : "another");         /* some are there already */
    tmp_store_commit(&t, ops, ROWS(ops));
    struct scrub_news n = round_of(s, 1000);
    assert_true(n.good);
    assert_int_equal(n.entries, 6000);
    scrub_close(s);
    tmp_store_close(&t);
}

/* A transaction that changes very much behind the place voids the round; not for ever. */
static void void_rounds(void **state)
{
    static char keys[SCRUB_NOTES_MAX + 10][8];
    static struct op ops[SCRUB_NOTES_MAX + 10];
    struct scrub_budget most = { ROWS(ops) - 1, UINT64_MAX, UINT64_MAX };
    struct scrub_news n;
    struct bad b;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    for (size_t i = 0; i < ROWS(ops); i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%06zu", i);
        ops[i] = (struct op){ OP_PUT, bytes_of_text("kv"), bytes_of_text(keys[i]), bytes_of_text("a") };
    }
    tmp_store_commit(&t, ops, ROWS(ops));
    struct scrub *s = open_scrub(&b);
    for (unsigned i = 0; i < SCRUB_VOIDS_MAX; i++) {
        assert_false(slice(s, &most).ended);
        for (size_t k = 0; k < ROWS(ops); k++)
            ops[k].value = bytes_of_text(i % 2 == 0 ? "b" : "c");
        tmp_store_commit(&t, ops, ROWS(ops));
        struct scrub_budget one = { 1, UINT64_MAX, UINT64_MAX };
        n = slice(s, &one);
        assert_int_equal(n.entries, 1);         /* begun again */
    }
    assert_false(slice(s, &most).ended && n.good);
    for (size_t k = 0; k < ROWS(ops); k++)
        ops[k].value = bytes_of_text("d");
    tmp_store_commit(&t, ops, ROWS(ops));
    n = round_of(s, 1000);
    assert_true(n.good);
    assert_int_equal(n.entries, ROWS(ops));
    scrub_close(s);
    tmp_store_close(&t);
}

/* --- rules -------------------------------------------------------------------------------------------------------------- */
static void rules(void **state)
{
    struct scrub_budget tiny = { 1, UINT64_MAX, UINT64_MAX };
    struct scrub_options o = { .store = NULL };
    struct scrub_news n;
    struct scrub *second;
    struct store_txn *x;
    struct bad b;
    (void)state;
    tmp_store_open(&t, STORE_EDGE);
    struct op two[] = { op_put("kv", "a", "x"), op_put("kv", "b", "y") };
    tmp_store_commit(&t, two, 2);
    struct scrub *s = open_scrub(&b);
    o.store = t.s;
    assert_int_equal(scrub_open(&second, &o, &t.fault), ERR_NOTNOW);
    assert_int_equal(slice(s, &tiny).entries, 1);
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    assert_int_equal(scrub_slice(s, &tiny, &n, &t.fault), ERR_NOTNOW);      /* not beside an open transaction */
    store_abort(x);
    assert_ok(store_fresh_begin(t.s, &t.fault), &t.fault);      /* a fresh generation is not what is walked */
    struct op other = op_put("kv", "a", "fresh");
    tmp_store_commit(&t, &other, 1);
    n = round_of(s, 1);
    assert_true(n.good);
    assert_int_equal(n.entries, 2);
    assert_int_equal(slice(s, &tiny).entries, 1);
    assert_ok(store_fresh_flip(t.s, &t.fault), &t.fault);
    n = round_of(s, 1);                                         /* begun again, over the new one */
    assert_true(n.good);
    assert_int_equal(n.entries, 1);
    assert_int_equal(b.n, 0);
    scrub_close(s);
    tmp_store_close(&t);
}

/* --- bit rot ------------------------------------------------------------------------------------------------------------ */
/* Overwrites the first `old` in the data file behind the store's back. */
static void flip(const char *old, const char *new)
{
    char path[PATH_MAX + 32], *file;
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/data.1/data.mdb", t.dir);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    file = malloc((size_t)st.st_size);
    assert_int_equal(pread(fd, file, (size_t)st.st_size, 0), st.st_size);
    unsigned found = 0;
    for (char *p = file; (p = memmem(p, (size_t)(file + st.st_size - p), old, strlen(old))) != NULL; p++) {
        assert_int_equal(pwrite(fd, new, strlen(new), p - file), (ssize_t)strlen(new));
        found++;
    }
    assert_true(found > 0);
    free(file);
    (void)close(fd);
}

static const struct { const char *why, *old, *new, *ns, *key, *words; unsigned bad; } rots[] = {
    { "a value, still well-formed",     "value-of-b", "vblue-of-b", "", "", "the digest over all", 1 },
    { "a value that breaks its form",   "value-of-b", "Value-of-b", "kv", "b-key", "begin with a letter", 2 },
    { "a key",                          "b-key", "b-kez", "", "", "the digest over all", 1 },
    { "a key out of order",             "b-key", "z-key", "kv", "z-key", "does not sort", 1 },
};
static void bit_rot(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rots); i++) {
        struct bad b;
        tmp_store_open(&t, STORE_CORE);
        struct op ops[] = { op_put("kv", "a-key", "value-of-a"), op_put("kv", "b-key", "value-of-b"),
                            op_put("kv", "c-key", "value-of-c") };
        tmp_store_commit(&t, ops, 3);
        assert_int_equal(mdb_env_sync(atomic_load(&t.s->gen)->env->mdb, 1), 0);
        struct scrub *s = open_scrub(&b);
        assert_true(round_of(s, 1).good);
        flip(rots[i].old, rots[i].new);
        struct scrub_news n = round_of(s, 1);
        if (n.good || n.bad != rots[i].bad || b.n != rots[i].bad)
            fail_msg("%s: %u bad, last %s %s '%s'", rots[i].why, b.n, b.ns, b.key, b.why);
        assert_non_null(strstr(rots[i].bad > 1 ? rots[i].words : b.why, rots[i].words));
        if (rots[i].bad == 1 && strcmp(b.key, rots[i].key) != 0)
            fail_msg("%s: key '%s'", rots[i].why, b.key);
        flip(rots[i].new, rots[i].old);
        assert_true(round_of(s, 1).good);                       /* whole again, and said so */
        scrub_close(s);
        tmp_store_close(&t);
    }
}

/* Of an entry that was walked already, and is then overwritten or deleted: the next round knows. */
static void rot_behind_the_place(void **state)
{
    struct scrub_budget one = { 1, UINT64_MAX, UINT64_MAX };
    struct bad b;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    struct op ops[] = { op_put("kv", "a-key", "value-of-a"), op_put("kv", "b-key", "value-of-b") };
    tmp_store_commit(&t, ops, 2);
    struct scrub *s = open_scrub(&b);
    (void)slice(s, &one);
    flip("value-of-a", "value-of-x");
    struct op del = op_del("kv", "a-key");      /* takes out what is there now: the lanes are wrong from here on */
    tmp_store_commit(&t, &del, 1);
    struct scrub_news n = round_of(s, 1);
    n = round_of(s, 1);
    assert_false(n.good);
    scrub_close(s);
    tmp_store_close(&t);
}

/* A slice ends in time, and goes on where it was. */
static void bounded(void **state)
{
    static uint8_t value[1 << 20];
    struct bad b;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    memset(value, 'a', sizeof value);
    for (unsigned i = 0; i < 40; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%03u", i);
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(value, sizeof value) };
        tmp_store_commit(&t, &op, 1);
    }
    struct scrub *s = open_scrub(&b);
    struct scrub_budget by_time = { UINT64_MAX, UINT64_MAX, 1 }, by_bytes = { UINT64_MAX, 3 << 20, UINT64_MAX };
    assert_int_equal(slice(s, &by_time).slice_entries, 1);
    assert_int_equal(slice(s, &by_bytes).slice_entries, 3);
    assert_int_equal(slice(s, &by_bytes).entries, 7);
    struct scrub_news n = round_of(s, 5);
    assert_true(n.good);
    assert_int_equal(n.entries, 40);
    scrub_close(s);
    tmp_store_close(&t);
}

int main(void)
{
    uint64_t seed = seed_from_env((uint64_t)getpid());
    (void)printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(beside_commits, &seed), cmocka_unit_test(beside_large_commits),
        cmocka_unit_test(void_rounds), cmocka_unit_test(rules), cmocka_unit_test(bit_rot),
        cmocka_unit_test(rot_behind_the_place), cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
