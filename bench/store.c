/* The store against plain LMDB calls, in one run: the same keys, values, flags and file system, taking turns.
 *
 *     bench-store DIR [--names N] [--rounds R]
 *
 * DIR: an empty folder for two data sets, ours and a bare LMDB environment, filled alike. Prints one line per measurement,
 * `what  bare-us  ours-us  ratio`, medians over the rounds; bench/run makes the table of them. */
#include <inttypes.h>
#include <limits.h>
#include <lmdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/store.h"

#define KEY_LEN 26          /* about what the keys of a large zone have */
#define VALUE_LEN 22        /* the blob of one address record */
#define ROUNDS_MAX 64
#define GETS 400000
#define TXN_OPS 1000

struct bench {
    size_t names;
    unsigned rounds;
    uint8_t (*keys)[KEY_LEN];
    MDB_env *env;
    MDB_dbi dbi;
    struct store *store;
    struct view *view;
    uint64_t seq, random;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-store: %s: %s\n", what, why);
    exit(1);
}
static void must(int rc, const char *what)
{
    if (rc != 0)
        die(what, mdb_strerror(rc));
}
static void must_ok(enum err err, const struct fault *fault, const char *what)
{
    if (err != OK)
        die(what, fault_text(fault, err));
}

static uint64_t next_random(struct bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, KEY_LEN); }

static void keys_make(struct bench *b)
{
    if ((b->keys = malloc(b->names * KEY_LEN)) == NULL)
        die("keys", "out of memory");
    for (size_t i = 0; i < b->names; i++) {
        char text[KEY_LEN + 1];
        (void)snprintf(text, sizeof text, "example.bench.%012" PRIx64, next_random(b) & 0xffffffffffff);
        memcpy(b->keys[i], text, KEY_LEN);
    }
    qsort(b->keys, b->names, KEY_LEN, by_bytes);
}

static void value_make(struct bench *b, uint8_t value[VALUE_LEN])
{
    for (size_t i = 0; i < VALUE_LEN; i += 2) {
        uint64_t r = next_random(b);
        memcpy(value + i, &r, 2);
    }
}

/* --- both sets, filled alike ---------------------------------------------------------------------------------------- */
static void commit(struct bench *b, struct store_txn *t, struct fault *fault)
{
    struct store_state state;
    struct signed_head sh = { .len = 0 };
    store_state(t, &state);
    struct head h = { .epoch = 1, .seq = ++b->seq, .keys = state.keys, .bytes = state.bytes, .time_ms = b->seq, .cohorts_n = 1 };
    memcpy(h.cluster, store_cluster(b->store), CLUSTER_LEN);
    memcpy(h.digest, state.digest, DIGEST_LEN);
    h.chain[0] = 1;
    h.cohorts[0] = (struct head_cohort){ .name = "all", .released = b->seq };
    struct wr w = wr_over(sh.body, sizeof sh.body);
    head_write(&w, &h);
    sh.len = w.len;
    must_ok(store_commit(t, &h, &sh, fault), fault, "store_commit");
}

static void bare_fill(struct bench *b, const char *dir)
{
    MDB_txn *txn;
    uint8_t value[VALUE_LEN];
    if (mkdir(dir, 0700) != 0)
        die(dir, "cannot make the folder");
    must(mdb_env_create(&b->env), "mdb_env_create");
    must(mdb_env_set_mapsize(b->env, (size_t)8 << 30), "mapsize");
    must(mdb_env_set_maxdbs(b->env, 4), "maxdbs");
    must(mdb_env_open(b->env, dir, MDB_NOTLS | MDB_NOMETASYNC, 0600), "mdb_env_open");
    must(mdb_txn_begin(b->env, NULL, 0, &txn), "begin");
    must(mdb_dbi_open(txn, "dns", MDB_CREATE, &b->dbi), "dbi");
    for (size_t i = 0; i < b->names; i++) {
        MDB_val k = { KEY_LEN, b->keys[i] }, v = { VALUE_LEN, value };
        value_make(b, value);
        int rc = mdb_put(txn, b->dbi, &k, &v, MDB_APPEND);
        if (rc != MDB_KEYEXIST)         /* two equal keys: the first stays */
            must(rc, "put");
    }
    must(mdb_txn_commit(txn), "commit");
}

static void ours_fill(struct bench *b, const char *dir)
{
    static struct op ops[65536];
    static uint8_t values[65536][VALUE_LEN];
    struct fault fault = { "" };
    struct store_txn *t = NULL;
    struct store_options o = { .dir = dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = (uint64_t)8 << 30 };
    must_ok(store_open(&b->store, &o, &fault), &fault, "store_open");
    must_ok(store_begin(b->store, &t, &fault), &fault, "store_begin");
    for (size_t i = 0; i < b->names;) {
        size_t n = 0;
        for (; n < 65536 && i < b->names; i++, n++) {
            value_make(b, values[n]);
            ops[n] = (struct op){ OP_PUT, bytes_of_text("dns"), bytes_of(b->keys[i], KEY_LEN), bytes_of(values[n], VALUE_LEN) };
        }
        must_ok(store_apply(t, ops, n, &fault), &fault, "store_apply");
    }
    commit(b, t, &fault);
    must_ok(view_open(b->store, &b->view, &fault), &fault, "view_open");
}

/* --- measurements: microseconds per operation ------------------------------------------------------------------------ */
static double us_since(uint64_t since, size_t n) { return (double)(clock_mono_us() - since) / (double)n; }

static double bare_get(struct bench *b)
{
    MDB_txn *txn;
    uint64_t sum = 0, since;
    must(mdb_txn_begin(b->env, NULL, MDB_RDONLY, &txn), "begin");
    since = clock_mono_us();
    for (size_t i = 0; i < GETS; i++) {
        MDB_val k = { KEY_LEN, b->keys[next_random(b) % b->names] }, v;
        must(mdb_get(txn, b->dbi, &k, &v), "get");
        sum += *(const uint8_t *)v.mv_data;
    }
    double us = us_since(since, GETS);
    mdb_txn_abort(txn);
    return sum == 0 ? 0 : us;
}

static double ours_get(struct bench *b)
{
    uint64_t sum = 0, since;
    struct bytes v;
    if (view_begin(b->view) != OK)
        die("view", "begin");
    since = clock_mono_us();
    for (size_t i = 0; i < GETS; i++) {
        if (view_get(b->view, bytes_of_text("dns"), bytes_of(b->keys[next_random(b) % b->names], KEY_LEN), &v) != OK)
            die("view_get", "not found");
        sum += v.ptr[0];
    }
    double us = us_since(since, GETS);
    view_end(b->view);
    return sum == 0 ? 0 : us;
}

static double bare_seek(struct bench *b)
{
    MDB_txn *txn;
    MDB_cursor *c;
    must(mdb_txn_begin(b->env, NULL, MDB_RDONLY, &txn), "begin");
    must(mdb_cursor_open(txn, b->dbi, &c), "cursor");
    uint64_t since = clock_mono_us();
    for (size_t i = 0; i < GETS; i++) {
        MDB_val k = { KEY_LEN, b->keys[next_random(b) % b->names] }, v;
        must(mdb_cursor_get(c, &k, &v, MDB_SET_RANGE), "seek");
    }
    double us = us_since(since, GETS);
    mdb_cursor_close(c);
    mdb_txn_abort(txn);
    return us;
}

static double ours_seek(struct bench *b)
{
    struct cursor *c;
    struct entry e;
    if (cursor_open(b->view, bytes_of_text("dns"), &c) != OK || view_begin(b->view) != OK)
        die("cursor", "open");
    uint64_t since = clock_mono_us();
    for (size_t i = 0; i < GETS; i++)
        if (cursor_seek(c, bytes_of(b->keys[next_random(b) % b->names], KEY_LEN), &e) != OK)
            die("cursor_seek", "not found");
    double us = us_since(since, GETS);
    view_end(b->view);
    cursor_close(c);
    return us;
}

/* txns transactions of n puts of random keys each. */
static double bare_apply(struct bench *b, size_t txns, size_t n)
{
    uint8_t value[VALUE_LEN];
    uint64_t since = clock_mono_us();
    for (size_t i = 0; i < txns; i++) {
        MDB_txn *txn;
        must(mdb_txn_begin(b->env, NULL, 0, &txn), "begin");
        for (size_t k = 0; k < n; k++) {
            MDB_val key = { KEY_LEN, b->keys[next_random(b) % b->names] }, v = { VALUE_LEN, value };
            value_make(b, value);
            must(mdb_put(txn, b->dbi, &key, &v, 0), "put");
        }
        must(mdb_txn_commit(txn), "commit");
    }
    return us_since(since, txns * n);
}

static double ours_apply(struct bench *b, size_t txns, size_t n)
{
    static struct op ops[TXN_OPS];
    static uint8_t values[TXN_OPS][VALUE_LEN];
    struct fault fault = { "" };
    uint64_t since = clock_mono_us();
    for (size_t i = 0; i < txns; i++) {
        struct store_txn *t = NULL;
        for (size_t k = 0; k < n; k++) {
            value_make(b, values[k]);
            ops[k] = (struct op){ OP_PUT, bytes_of_text("dns"), bytes_of(b->keys[next_random(b) % b->names], KEY_LEN),
                                  bytes_of(values[k], VALUE_LEN) };
        }
        must_ok(store_begin(b->store, &t, &fault), &fault, "store_begin");
        must_ok(store_apply(t, ops, n, &fault), &fault, "store_apply");
        commit(b, t, &fault);
    }
    return us_since(since, txns * n);
}
static double bare_apply_many(struct bench *b) { return bare_apply(b, 20, TXN_OPS); }
static double ours_apply_many(struct bench *b) { return ours_apply(b, 20, TXN_OPS); }
static double bare_apply_one(struct bench *b) { return bare_apply(b, 200, 1); }
static double ours_apply_one(struct bench *b) { return ours_apply(b, 200, 1); }

/* --- in turns -------------------------------------------------------------------------------------------------------- */
typedef double measure_fn(struct bench *b);

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void compare(struct bench *b, const char *what, measure_fn *bare, measure_fn *ours)
{
    double us[2][ROUNDS_MAX], ratio[ROUNDS_MAX];
    for (unsigned i = 0; i < b->rounds; i++) {
        us[0][i] = bare(b);
        us[1][i] = ours(b);
        ratio[i] = us[1][i] / us[0][i];
    }
    for (unsigned i = 0; i < 2; i++)
        qsort(us[i], b->rounds, sizeof us[i][0], by_value);
    qsort(ratio, b->rounds, sizeof ratio[0], by_value);
    unsigned mid = b->rounds / 2;
    printf("%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\n", what, us[0][mid], us[1][mid], ratio[mid], ratio[0], ratio[b->rounds - 1]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bench b = { .names = 1000000, .rounds = 9, .random = 88172645463325252u };
    char dir[PATH_MAX];
    if (argc < 2)
        die("usage", "bench-store DIR [--names N] [--rounds R]");
    for (int i = 2; i + 1 < argc; i += 2) {
        uint64_t n = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--names") == 0 && n >= 1000 && n <= 100000000)
            b.names = (size_t)n;
        else if (strcmp(argv[i], "--rounds") == 0 && n >= 1 && n <= ROUNDS_MAX)
            b.rounds = (unsigned)n;
        else
            die(argv[i], "no such option, or out of range");
    }
    if (sodium_init() < 0)
        die("sodium", "cannot start");
    keys_make(&b);
    (void)snprintf(dir, sizeof dir, "%s/bare", argv[1]);
    bare_fill(&b, dir);
    (void)snprintf(dir, sizeof dir, "%s/ours", argv[1]);
    ours_fill(&b, dir);
    compare(&b, "point get, keys uniform", bare_get, ours_get);
    compare(&b, "cursor seek, keys uniform", bare_seek, ours_seek);
    compare(&b, "put, 1,000 a transaction, synced", bare_apply_many, ours_apply_many);
    compare(&b, "put, one a transaction, synced", bare_apply_one, ours_apply_one);
    view_close(b.view);
    store_close(b.store);
    mdb_env_close(b.env);
    free(b.keys);
    return 0;
}
