/* Long life of the data file: millions of random changes over a store of RRset-like entries, with readers that come, go,
 * stay for long and are killed. The file must stay within 1.5 times what the same entries take when they are written in
 * order into a new store.
 *
 *     long_churn [--changes N] [--entries N] [--every N] [--seed N] [--dir DIR]       defaults: a run of some seconds
 *     long_churn --full                                                               10 million changes, 1 million entries */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/arena.h"
#include "store/tidy.h"
#include "tests/util_store.h"

#define VIEWS 6
#define BATCH_MAX 1000
#define VALUE_MAX 20000
#define RATIO_MAX 1.5           /* of a million entries; what commits and views at hand keep free weighs more in a small store: */
#define RATIO_MAX_SMALL 1.75
#define TIDY_EVERY 4            /* commits */

static struct {
    uint64_t changes, entries, every, seed;
    const char *dir, *self;
} o = { 80000, 50000, 40000, 1, NULL, NULL };
static struct store *s;
static struct fault fault;
static struct view *views[VIEWS];
static uint64_t view_ends[VIEWS];       /* number of the commit behind which it ends; 0: it is not open */
static uint64_t commits, done, moved, rewritten;
static struct tidy *tidy;

static void must(enum err err, const char *what)
{
    if (err == OK)
        return;
    (void)fprintf(stderr, "%s: %s (%s)\n", what, fault.text, err_text(err));
    exit(1);
}
static double seconds(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}
static struct store *store_at(const char *dir, uint64_t map)
{
    struct store *got;
    struct store_options so = { .dir = dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = map, .volatile_data = true };
    must(store_open(&got, &so, &fault), "open");
    return got;
}

/* --- entries ------------------------------------------------------------------------------------------------------------ */
/* Keys as those of names in a zone, in no order; some 24 bytes. */
static struct bytes key_of(uint64_t n, uint8_t out[64])
{
    static const char zone[] = "com\0example";
    uint64_t h = n * 0x9e3779b97f4a7c15u;
    memcpy(out, zone, sizeof zone);
    int len = snprintf((char *)out + sizeof zone, 40, "h%" PRIx64, h >> 28);
    return bytes_of(out, sizeof zone + (size_t)len + 4);        /* terminators and slot 0 */
}
/* Most RRsets are small; some hold many records, few a whole delegation or a key set. */
static struct bytes value_of(struct rnd *r, uint8_t out[VALUE_MAX])
{
    uint32_t kind = rnd_below(r, 10000);
    size_t len = kind < 2 ? 2500 + rnd_below(r, VALUE_MAX - 2500) : kind < 200 ? 200 + rnd_below(r, 1500) : 22 + rnd_below(r, 60);
    memset(out, (int)rnd_below(r, 256), len);
    return bytes_of(out, len);
}

static void commit(const struct op *ops, size_t n)
{
    must(store_run(s, ops, n, &fault), "commit");
    commits++;
}
static int by_key(const void *a, const void *b)
{
    return bytes_compare(((const struct op *)a)->key, ((const struct op *)b)->key);
}
/* As a zone file comes in: one transaction, in order. */
static void load(struct rnd *r)
{
    struct op *ops = calloc(o.entries, sizeof *ops);
    struct arena arena;
    arena_init(&arena);
    for (uint64_t i = 0; i < o.entries && ops != NULL; i++) {
        uint8_t key[64] = { 0 }, value[VALUE_MAX];
        struct bytes k = key_of(i, key), v = value_of(r, value);
        ops[i] = (struct op){ OP_PUT, bytes_of_text("dns"), arena_copy(&arena, k), arena_copy(&arena, v) };
        if (ops[i].key.ptr == NULL || ops[i].value.ptr == NULL)
            exit(1);
    }
    if (ops == NULL)
        exit(1);
    qsort(ops, o.entries, sizeof *ops, by_key);
    commit(ops, o.entries);
    arena_release(&arena);
    free(ops);
}
/* Half as many names again as there are entries: some are there, some are not. */
static void change(struct rnd *r)
{
    static uint8_t key[BATCH_MAX][64], value[BATCH_MAX][VALUE_MAX];
    static struct op ops[BATCH_MAX];
    uint32_t most = (uint32_t)(o.entries / (rnd_below(r, 8) == 0 ? 1000 : 10000)) + 1;     /* seldom a thousandth of all */
    most = most < BATCH_MAX ? most : BATCH_MAX;
    size_t n = 1 + rnd_below(r, most);
    for (size_t i = 0; i < n; i++) {
        memset(key[i], 0, sizeof key[i]);
        ops[i] = (struct op){ OP_PUT, bytes_of_text("dns"), key_of(rnd_u64(r) % (o.entries + o.entries / 2), key[i]), { 0 } };
        if (rnd_below(r, 3) == 0)
            ops[i].kind = OP_DEL;
        else
            ops[i].value = value_of(r, value[i]);
    }
    commit(ops, n);
    done += n;
}

/* --- readers ------------------------------------------------------------------------------------------------------------ */
static void readers(struct rnd *r)
{
    for (size_t i = 0; i < VIEWS; i++) {
        if (view_ends[i] != 0 && commits >= view_ends[i]) {
            view_end(views[i]);
            view_ends[i] = 0;
        } else if (view_ends[i] == 0 && rnd_below(r, 20) == 0) {
            must(view_begin(views[i]), "view");
            view_ends[i] = commits + 1 + rnd_below(r, rnd_below(r, 50) == 0 ? 10 : 3);       /* a batch; seldom a long one */
        }
    }
}
/* A process that reads, and is killed while its view is open. */
static int read_and_wait(const char *dir)
{
    struct store_options so = { .dir = dir, .mode = STORE_READ };
    struct view *v;
    must(store_open(&s, &so, &fault), "open");
    must(view_open(s, &v, &fault), "view");
    must(view_begin(v), "view");
    if (write(STDOUT_FILENO, "r", 1) != 1)
        return 1;
    for (;;)
        (void)pause();
}
static void killed_reader(void)
{
    char byte, *argv[] = { (char *)(uintptr_t)o.self, (char *)(uintptr_t)"--reader", (char *)(uintptr_t)o.dir, NULL };
    int told[2], status;
    if (pipe2(told, O_CLOEXEC) != 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(told[1], STDOUT_FILENO);
        (void)execv(o.self, argv);
        _exit(127);
    }
    (void)close(told[1]);
    if (read(told[0], &byte, 1) != 1) {
        (void)fprintf(stderr, "the reading process ended by itself\n");
        exit(1);
    }
    (void)close(told[0]);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
}

/* What the daemons' upkeep does between commits. */
static void tidy_up(void)
{
    struct tidy_news news;
    must(tidy_slice(tidy, TIDY_LEAVES, TIDY_RUNS, &news, &fault), "tidy");
    moved += news.moved;
    rewritten += news.rewritten;
}

/* --- sizes -------------------------------------------------------------------------------------------------------------- */
static uint64_t file_size(const char *dir)
{
    char path[PATH_MAX];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/data.1/data.mdb", dir) >= (int)sizeof path)
        return 0;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}
/* The same entries, written in order into a new store. Checks the digest on the way. */
static uint64_t compacted(void)
{
    static struct op ops[BATCH_MAX];
    char dir[PATH_MAX];
    struct store_txn *x;
    struct store_state was, is;
    struct cursor *c;
    struct entry e;
    struct view *v;
    struct head h;
    size_t n = 0;
    tmp_folder(dir);
    struct store *to = store_at(dir, (uint64_t)16 << 30);
    must(view_open(s, &v, &fault), "view");
    must(view_begin(v), "view");
    must(cursor_open(v, bytes_of_text("dns"), &c), "cursor");
    must(store_begin(to, &x, &fault), "begin");
    for (enum err err = cursor_seek(c, bytes_of("", 0), &e); err == OK; err = cursor_next(c, &e)) {
        ops[n++] = (struct op){ OP_PUT, bytes_of_text("dns"), e.key, e.value };
        if (n == BATCH_MAX) {
            must(store_apply(x, ops, n, &fault), "apply");
            n = 0;
        }
    }
    must(store_apply(x, ops, n, &fault), "apply");
    store_state(x, &is);
    must(view_head(v, &h, NULL), "head");
    memcpy(was.digest, h.digest, DIGEST_LEN);
    if (memcmp(was.digest, is.digest, DIGEST_LEN) != 0 || is.keys != h.keys) {
        (void)fprintf(stderr, "the entries are not what the head says\n");
        exit(1);
    }
    must(commit_at(to, x, 1, &fault), "commit");
    cursor_close(c);
    view_end(v);
    view_close(v);
    uint64_t size = file_size(dir);
    store_close(to);
    remove_tree(dir);
    return size;
}
static double report(double since)
{
    struct store_figures f;
    struct ns_figures nf = { 0 };
    struct head h;
    struct view *v;
    must(store_figures(s, &f), "figures");
    must(store_head(s, &h, NULL), "head");
    must(view_open(s, &v, &fault), "view");
    must(view_begin(v), "view");
    must(view_ns_figures(v, bytes_of_text("dns"), &nf), "figures");
    view_end(v);
    view_close(v);
    uint64_t small = compacted(), size = file_size(o.dir);
    double ratio = (double)size / (double)small;
    (void)printf("changes %9" PRIu64 "  entries %8" PRIu64 "  file %7.1f MB  free %6.1f MB  leaves %6" PRIu64 " overflow %6" PRIu64
                 "  compacted %7.1f MB  ratio %.3f  rewritten %" PRIu64 "  %.1f us/change\n", done, h.keys, (double)size / 1e6, (double)f.free_bytes / 1e6,
                 nf.leaf_pages, nf.overflow_pages, (double)small / 1e6, ratio, rewritten, done > 0 ? since / (double)done * 1e6 : 0.0);
    (void)fflush(stdout);
    return ratio;
}

static double run(void)
{
    struct rnd r = rnd_seed(o.seed);
    uint64_t next = o.every, kill_next = o.every / 2;
    double ratio, spent = 0;
    load(&r);
    must(tidy_open(&tidy, s, &fault), "tidy");
    for (size_t i = 0; i < VIEWS; i++)
        must(view_open(s, &views[i], &fault), "view");
    ratio = report(0);
    while (done < o.changes) {
        double since = seconds();
        change(&r);
        readers(&r);
        if (commits % TIDY_EVERY == 0)
            tidy_up();
        spent += seconds() - since;
        if (done >= kill_next) {
            killed_reader();
            kill_next += o.every;
        }
        if (done >= next || done >= o.changes) {
            ratio = report(spent);
            next += o.every;
        }
    }
    tidy_close(tidy);
    for (size_t i = 0; i < VIEWS; i++) {
        if (view_ends[i] != 0)
            view_end(views[i]);
        view_close(views[i]);
    }
    return ratio;
}

static void options(int argc, char **argv)
{
    static const struct option names[] = { { "changes", 1, NULL, 'c' }, { "entries", 1, NULL, 'e' }, { "every", 1, NULL, 'v' },
        { "seed", 1, NULL, 's' }, { "dir", 1, NULL, 'd' }, { "full", 0, NULL, 'f' }, { "reader", 1, NULL, 'r' }, { NULL, 0, NULL, 0 } };
    for (int got; (got = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (got) {
        case 'c': o.changes = strtoull(optarg, NULL, 10); break;
        case 'e': o.entries = strtoull(optarg, NULL, 10); break;
        case 'v': o.every = strtoull(optarg, NULL, 10); break;
        case 's': o.seed = strtoull(optarg, NULL, 10); break;
        case 'd': o.dir = optarg; break;
        case 'f': o.changes = 10000000, o.entries = 1000000, o.every = 500000; break;
        case 'r': exit(read_and_wait(optarg));
        default: exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    static char self[PATH_MAX], dir[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return 1;
    o.self = self;
    options(argc, argv);
    bool own = o.dir == NULL;
    if (own) {
        tmp_folder(dir);
        o.dir = dir;
    }
    s = store_at(o.dir, (uint64_t)16 << 30);
    (void)printf("%" PRIu64 " changes over %" PRIu64 " entries, seed %" PRIu64 "\n", o.changes, o.entries, o.seed);
    double ratio = run(), most = o.entries < 1000000 ? RATIO_MAX_SMALL : RATIO_MAX;
    store_close(s);
    if (own)
        remove_tree(dir);
    (void)printf("%s: the file is %.3f times its compacted size, %.2f allowed\n", ratio <= most ? "good" : "FAILED", ratio,
                 most);
    return ratio <= most ? 0 : 1;
}
