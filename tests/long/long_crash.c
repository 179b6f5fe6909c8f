/* kill -9 at random moments of a core's writing: commits of one and of many parts, several in one sync, the log's
 * retention, tidying. After each the store is opened as at a start and must be whole: every entry is what the signed
 * head says, the log joins it and has no hole, and nothing that was told as committed is missing.
 *
 *     long_crash [--rounds N] [--seed N]       default 20 rounds         long_crash --full       200 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#include <sodium.h>

#include "replicator/commit.h"
#include "replicator/retain.h"
#include "store/scrub.h"
#include "store/tidy.h"
#include "tests/unit/replicator_dir.h"
#include "tests/util.h"

#define KEYS 3000
#define LOG_LIMIT ((uint64_t)3 << 20)

static char dir[256];
static struct node_key node;
static struct fault fault;
static struct { struct store *s; struct committer *c; struct log_reader *reader; struct tidy *tidy; } up;

static void must(enum err err, const char *what)
{
    if (err == OK)
        return;
    (void)fprintf(stderr, "%s: %s (%s)\n", what, fault.text, err_text(err));
    exit(1);
}
static void start(void)
{
    struct store_options so = { .dir = dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = (uint64_t)1 << 30 };
    must(store_open(&up.s, &so, &fault), "open");
    must(commit_open(&up.c, up.s, &node, NULL, NULL, &fault), "committer");
    must(log_reader_open(up.s, &up.reader, &fault), "log");
    must(tidy_open(&up.tidy, up.s, &fault), "tidy");
}
static void stop(void)
{
    tidy_close(up.tidy);
    log_reader_close(up.reader);
    commit_close(up.c);
    store_close(up.s);
}

/* --- the writing process ------------------------------------------------------------------------------------------------ */
static uint64_t change(struct rnd *r)
{
    static uint8_t value[1 << 20];
    static char keys[400][16];
    static struct op ops[400];
    bool large = rnd_below(r, 40) == 0;             /* of several parts */
    size_t n = large ? 3 : 1 + rnd_below(r, 400);
    uint64_t seq;
    for (size_t i = 0; i < 4096; i += 8) {
        uint64_t x = rnd_u64(r);
        memcpy(value + i, &x, 8);
    }
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key%05u", rnd_below(r, KEYS));
        ops[i] = (struct op){ OP_PUT, bytes_of_text(rnd_below(r, 2) == 0 ? "dns" : "kv"), bytes_of_text(keys[i]),
                              bytes_of(value, large ? 700000 : 8 + rnd_below(r, 120)) };
        if (!large && rnd_below(r, 2) == 0)
            ops[i] = (struct op){ OP_DEL, ops[i].ns, ops[i].key, { 0 } };
    }
    must(commit_stage(up.c, ops, n, &seq, &fault), "stage");
    return seq;
}
static int write_on(uint64_t seed, int told)
{
    struct retain_limits limits = { 3600000, LOG_LIMIT };
    struct rnd r = rnd_seed(seed);
    start();
    for (;;) {
        struct tidy_news news;
        uint64_t seq = 0, trimmed = 0;
        bool more;
        for (unsigned n = 1 + rnd_below(&r, 4); n > 0; n--)
            seq = change(&r);
        must(commit_flush(up.c, &fault), "flush");
        if (write(told, &seq, sizeof seq) != (ssize_t)sizeof seq)
            return 1;
        must(retain_run(up.s, up.reader, &limits, commit_time_ms(up.c), seq, &trimmed, &more, &fault), "retention");
        must(tidy_slice(up.tidy, TIDY_LEAVES, TIDY_RUNS, &news, &fault), "tidy");
    }
}

/* --- what is found ------------------------------------------------------------------------------------------------------ */
static uint64_t verify(uint64_t told)
{
    static uint8_t buf[RECORD_MAX];
    struct scrub_budget all = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
    struct scrub_options o = { .store = up.s };
    struct scrub_news news;
    struct scrub *scrub;
    struct head h = { .seq = 0 };
    struct record rec;
    struct position at = { 0 };
    struct bytes bytes;
    uint64_t first, last;
    size_t need;
    must(scrub_open(&scrub, &o, &fault), "scrub");
    must(scrub_slice(scrub, &all, &news, &fault), "scrub");
    scrub_close(scrub);
    enum err err = store_head(up.s, &h, NULL);
    if (!news.ended || !news.good || (err != OK && err != ERR_NOTFOUND) || h.seq < told) {
        (void)fprintf(stderr, "entries %" PRIu64 ", head %" PRIu64 ", told %" PRIu64 ": %s\n", news.entries, h.seq, told, fault.text);
        exit(1);
    }
    must(log_reader_begin(up.reader), "log");
    must(log_reader_range(up.reader, &first, &last), "log");
    for (uint64_t seq = first; seq <= last && seq > 0; seq++) {
        must(log_reader_get(up.reader, seq, buf, sizeof buf, &bytes, &need), "log record");
        must(record_read(bytes, &rec), "log record");
        must(record_verify(&rec, node.pub), "log record's signature");
        if (seq > first)
            must(record_joins(&at, &rec), "log record");
        position_move(&at, &rec);
    }
    log_reader_end(up.reader);
    if (last != h.seq || (h.seq > 0 && memcmp(at.chain, h.chain, CHAIN_LEN) != 0)) {
        (void)fprintf(stderr, "the log %" PRIu64 "..%" PRIu64 " does not end with the head %" PRIu64 "\n", first, last, h.seq);
        exit(1);
    }
    return h.seq;
}

static uint64_t round_of(struct rnd *r, uint64_t had)
{
    uint64_t told = had, seq, seed = rnd_u64(r);
    int pipes[2], status;
    if (pipe(pipes) != 0)
        exit(1);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(pipes[0]);
        _exit(write_on(seed, pipes[1]));
    }
    (void)close(pipes[1]);
    if (rnd_below(r, 5) != 0 && read(pipes[0], &seq, sizeof seq) == (ssize_t)sizeof seq)    /* else maybe while it starts */
        told = seq;
    (void)usleep(rnd_below(r, 60000));
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    while (read(pipes[0], &seq, sizeof seq) == (ssize_t)sizeof seq)
        told = seq;
    (void)close(pipes[0]);
    if (!WIFSIGNALED(status)) {
        (void)fprintf(stderr, "the writing process ended by itself: %x\n", (unsigned)status);
        exit(1);
    }
    start();
    seq = verify(told);
    stop();
    return seq;
}

int main(int argc, char **argv)
{
    static const struct option names[] = { { "rounds", 1, NULL, 'r' }, { "seed", 1, NULL, 's' }, { "full", 0, NULL, 'f' },
                                           { NULL, 0, NULL, 0 } };
    uint64_t rounds = 20, seed = seed_from_env((uint64_t)getpid()), seq = 0;
    for (int got; (got = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (got) {
        case 'r': rounds = strtoull(optarg, NULL, 10); break;
        case 's': seed = strtoull(optarg, NULL, 10); break;
        case 'f': rounds = 200; break;
        default: return 2;
        }
    }
    (void)printf("seed %" PRIu64 "\n", seed);
    struct rnd r = rnd_seed(seed);
    (void)dir_make(dir, sizeof dir, "crash");
    if (sodium_init() < 0)
        return 1;
    must(node_key_make(dir, false, &node, &fault), "key");
    for (uint64_t i = 0; i < rounds; i++)
        seq = round_of(&r, seq);
    dir_remove(dir);
    (void)printf("good: killed %" PRIu64 " times, whole each time; %" PRIu64 " log records\n", rounds, seq);
    return 0;
}
