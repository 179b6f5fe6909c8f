#include "tests/util.h"

#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "replicator/commit.h"
#include "replicator/encode.h"
#include "replicator/replay.h"
#include "tests/unit/replicator_dir.h"

/* A core's store with a committer, and what it told. */
struct core {
    char dir[256];
    struct node_key key;
    struct store *store;
    struct committer *committer;
    unsigned told_n;
    struct head told;               /* the last one */
    uint64_t data_seq;              /* where the data stood then */
    size_t told_record;
    uint64_t map;
};

static void on_told(void *arg, const struct signed_head *sh, struct bytes record)
{
    struct core *c = arg;
    struct rd rd = rd_over(bytes_of(sh->body, sh->len));
    assert_int_equal(head_read(&rd, &c->told), OK);
    assert_int_equal(head_verify(sh, c->key.pub), OK);
    struct head data = { .seq = 0 };
    enum err err = store_head(c->store, &data, NULL);
    assert_true(err == OK || err == ERR_NOTFOUND);
    c->data_seq = data.seq;
    c->told_n++;
    c->told_record = record.len;
}

static enum err core_up(struct core *c, struct fault *fault)
{
    struct store_options o = { .dir = c->dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = c->map,
                               .boot_id = "boot", .volatile_data = true };
    enum err err = store_open(&c->store, &o, fault);
    c->committer = NULL;
    return err != OK ? err : commit_open(&c->committer, c->store, &c->key, on_told, c, fault);
}
static void core_down(struct core *c)
{
    commit_close(c->committer);
    store_close(c->store);
    c->committer = NULL;
    c->store = NULL;
}
static void core_init(struct core *c, uint64_t map)
{
    struct fault fault = { .text = "" };
    *c = (struct core){ .map = map };
    dir_make(c->dir, sizeof c->dir, "commit");
    assert_int_equal(node_key_make(c->dir, false, &c->key, &fault), OK);
    assert_true(strlen(c->dir) + sizeof "/store" <= sizeof c->dir);
    strcat(c->dir, "/store");
    if (core_up(c, &fault) != OK)
        fail_msg("%s", fault.text);
}
static void core_end(struct core *c)
{
    core_down(c);
    *strrchr(c->dir, '/') = '\0';
    dir_remove(c->dir);
}

static struct op put(const char *key, const char *value)
{
    return (struct op){ OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of_text(value) };
}
static struct op del(const char *key)
{
    return (struct op){ OP_DEL, bytes_of_text("kv"), bytes_of_text(key), { 0 } };
}
static uint64_t run_ok(struct core *c, const struct op *ops, size_t n)
{
    struct fault fault = { .text = "" };
    uint64_t seq = 0;
    if (commit_run(c->committer, ops, n, &seq, &fault) != OK)
        fail_msg("%s", fault.text);
    return seq;
}
static void log_is(struct core *c, uint64_t want_first, uint64_t want_last)
{
    uint64_t first, last;
    assert_int_equal(log_range(c->store, &first, &last), OK);
    assert_int_equal(first, want_first);
    assert_int_equal(last, want_last);
}

static void one_change(void **state)
{
    struct core c;
    struct op ops[] = { put("a", "1"), put("b", "2") };
    struct signed_head sh;
    (void)state;
    core_init(&c, 0);
    assert_int_equal(commit_heartbeat(c.committer, &sh), ERR_NOTFOUND);
    assert_int_equal(run_ok(&c, ops, 2), 1);
    assert_int_equal(c.told_n, 1);
    assert_true(c.told.seq == 1 && c.told.epoch == 1 && c.told.keys == 2 && c.told.bytes == 4 && c.told_record > 0);
    assert_true(c.told.cohorts_n == 1 && c.told.cohorts[0].released == 1);
    assert_memory_equal(c.told.cluster, store_cluster(c.store), CLUSTER_LEN);
    assert_int_equal(run_ok(&c, ops, 2), 1);            /* nothing changes: no transaction */
    assert_int_equal(c.told_n, 1);
    log_is(&c, 1, 1);
    struct op one = del("a");
    assert_int_equal(run_ok(&c, &one, 1), 2);
    assert_true(c.told.keys == 1 && c.told.seq == 2);
    core_end(&c);
}

/* Every record joins the one before and its head is the data's. */
static void log_is_a_chain(void **state)
{
    uint64_t seed = seed_from_env(77);
    struct rnd rnd = rnd_seed(seed);
    struct core c;
    struct replay r;
    struct position at = { 0 };
    struct fault fault = { .text = "" };
    (void)state;
    core_init(&c, 0);
    for (int i = 0; i < 60; i++) {
        char keys[40][8], values[40][16];
        struct op ops[40];
        size_t n = 1 + rnd_below(&rnd, 40);
        for (size_t k = 0; k < n; k++) {
            snprintf(keys[k], sizeof keys[k], "k%u", rnd_below(&rnd, 50));
            snprintf(values[k], sizeof values[k], "%u", rnd_below(&rnd, 9));
            ops[k] = rnd_below(&rnd, 3) == 0 ? del(keys[k]) : put(keys[k], values[k]);
        }
        run_ok(&c, ops, n);
        if (rnd_below(&rnd, 10) == 0) {
            core_down(&c);
            assert_int_equal(core_up(&c, &fault), OK);
        }
    }
    uint64_t first, last;
    assert_int_equal(log_range(c.store, &first, &last), OK);
    assert_int_equal(replay_open(&r, c.store, c.key.pub, &fault), OK);
    for (uint64_t seq = 1; seq <= last; seq++) {
        struct record rec;
        assert_int_equal(replay_record(&r, seq, &rec), OK);
        assert_int_equal(record_joins(&at, &rec), OK);
        assert_int_equal(record_verify(&rec, c.key.pub), OK);
        position_move(&at, &rec);
        if (seq == last)
            assert_memory_equal(rec.head.digest, c.told.digest, DIGEST_LEN);
    }
    replay_close(&r);
    core_end(&c);
}

/* A transaction of several parts is one head, told without its record. */
static void many_parts(void **state)
{
    enum { N = 30000 };
    struct core c;
    struct op *ops = calloc(N, sizeof *ops);
    uint8_t *noise = malloc(N + 200);
    char (*keys)[16] = calloc(N, sizeof *keys);
    struct replay r;
    struct record rec;
    struct fault fault;
    (void)state;
    core_init(&c, 0);
    randombytes_buf(noise, N + 200);
    for (size_t i = 0; i < N; i++) {
        snprintf(keys[i], sizeof keys[i], "key-%06zu", i);
        ops[i] = (struct op){ OP_PUT, bytes_of_text("kv"), bytes_of_text(keys[i]), bytes_of(noise + i, 100) };
    }
    uint64_t seq = run_ok(&c, ops, N);
    assert_true(seq > 2);
    assert_true(c.told_n == 1 && c.told.seq == seq && c.told.keys == N && c.told_record == 0);
    assert_int_equal(replay_open(&r, c.store, c.key.pub, &fault), OK);
    for (uint64_t s = 1; s <= seq; s++) {
        assert_int_equal(replay_record(&r, s, &rec), OK);
        assert_true(rec.more == (s < seq) && rec.part == s - 1);
    }
    replay_close(&r);
    core_end(&c);
    free(ops);
    free(noise);
    free(keys);
}

static void groups(void **state)
{
    struct core c;
    struct fault fault = { .text = "" };
    uint64_t seq;
    struct signed_head sh;
    struct view *v;
    struct bytes got;
    (void)state;
    core_init(&c, 0);
    struct op a = put("a", "1"), b = put("b", "2"), same = put("a", "1"), bad = put("", "x");
    assert_int_equal(commit_stage(c.committer, &a, 1, &seq, &fault), OK);
    assert_int_equal(seq, 1);
    assert_int_equal(commit_stage(c.committer, &same, 1, &seq, &fault), OK);
    assert_int_equal(seq, 1);
    assert_int_equal(commit_stage(c.committer, &bad, 1, &seq, &fault), ERR_LIMIT);
    assert_int_equal(commit_stage(c.committer, &b, 1, &seq, &fault), OK);
    assert_int_equal(seq, 2);
    assert_true(commit_staged_bytes(c.committer) > 0);
    assert_int_equal(c.told_n, 0);
    assert_int_equal(commit_heartbeat(c.committer, &sh), ERR_NOTFOUND);
    assert_int_equal(view_open(c.store, &v, &fault), OK);
    assert_int_equal(view_begin(v), OK);
    assert_int_equal(view_get(v, bytes_of_text("kv"), bytes_of_text("a"), &got), ERR_NOTFOUND);
    view_end(v);
    assert_int_equal(commit_flush(c.committer, &fault), OK);
    assert_int_equal(c.told_n, 2);
    assert_int_equal(c.told.seq, 2);
    assert_int_equal(commit_staged_bytes(c.committer), 0);
    assert_int_equal(view_begin(v), OK);
    assert_int_equal(view_get(v, bytes_of_text("kv"), bytes_of_text("a"), &got), OK);
    view_end(v);
    view_close(v);
    assert_int_equal(commit_flush(c.committer, &fault), OK);
    assert_int_equal(c.told_n, 2);
    core_end(&c);
}

static void limits(void **state)
{
    struct core c;
    struct fault fault = { .text = "" };
    uint64_t seq = 99;
    char name[16], long_key[512];
    (void)state;
    core_init(&c, 0);
    memset(long_key, 'k', 511);
    long_key[511] = '\0';
    struct op key = put(long_key, "1"), capital = { OP_PUT, bytes_of_text("KV"), bytes_of_text("a"), { 0 } };
    assert_int_equal(commit_run(c.committer, &key, 1, &seq, &fault), ERR_LIMIT);
    assert_int_equal(commit_run(c.committer, &capital, 1, &seq, &fault), ERR_LIMIT);
    for (int i = 0; i < STORE_NAMESPACES_MAX + 8; i++) {
        snprintf(name, sizeof name, "n%d", i);
        struct op op = { OP_PUT, bytes_of_text(name), bytes_of_text("a"), bytes_of_text("b") };
        enum err err = commit_run(c.committer, &op, 1, &seq, &fault);
        if (err == ERR_LIMIT) {
            assert_in_range(i, STORE_NAMESPACES_MAX - 2, STORE_NAMESPACES_MAX);     /* "dns" may stand there already */
            break;
        }
        assert_int_equal(err, OK);
    }
    assert_int_equal(commit_run(c.committer, &capital, 1, &seq, &fault), ERR_LIMIT);
    core_end(&c);
}

/* The log was committed, the data not: the next open applies it. And so does the next commit. */
static void log_ahead_of_data(void **state)
{
    struct core c;
    struct fault fault = { .text = "" };
    struct encoder *e;
    struct position at = { 0 }, next;
    struct log_txn *log;
    struct store_txn *txn;
    struct store_state st;
    struct bytes record;
    struct head h;
    struct signed_head sh;
    (void)state;
    core_init(&c, 0);
    struct op a = put("a", "1"), b = put("b", "2");
    run_ok(&c, &a, 1);
    assert_int_equal(store_head(c.store, &h, &sh), OK);
    at.epoch = 1;
    at.seq = 1;
    memcpy(at.chain, h.chain, CHAIN_LEN);
    /* what the crash left: record 2 in the log, and a part of a transaction that never ended */
    assert_int_equal(store_begin(c.store, &txn, &fault), OK);
    assert_int_equal(store_apply(txn, &b, 1, &fault), OK);
    store_state(txn, &st);
    store_abort(txn);
    assert_int_equal(encoder_open(&e, store_cluster(c.store), &c.key), OK);
    uint64_t time_ms = commit_time_ms(c.committer);
    encoder_begin(e, &at, 1, time_ms, &b, 1);
    assert_int_equal(encoder_part(e, &next), OK);
    h.seq = 2;
    h.time_ms = time_ms;
    memcpy(h.chain, next.chain, CHAIN_LEN);
    memcpy(h.digest, st.digest, DIGEST_LEN);
    h.keys = st.keys;
    h.bytes = st.bytes;
    head_sign(&sh, &h, &c.key);
    assert_int_equal(encoder_record(e, &sh, &record, NULL), OK);
    assert_int_equal(log_begin(c.store, &log, &fault), OK);
    assert_int_equal(log_append(log, 2, record, &fault), OK);
    uint8_t ops[64], body[512], part[1024];
    struct wr ow = wr_over(ops, sizeof ops), bw = wr_over(body, sizeof body), pw = wr_over(part, sizeof part);
    op_put(&ow, &a);
    struct record_body rb = { .epoch = 1, .seq = 3, .more = true, .ops = wr_done(&ow) };
    memcpy(rb.cluster, store_cluster(c.store), CLUSTER_LEN);
    memcpy(rb.prev, next.chain, CHAIN_LEN);
    record_body_put(&bw, &rb);
    record_chain(wr_done(&bw), next.chain);
    record_put(&pw, wr_done(&bw), next.chain, NULL, &c.key);
    assert_int_equal(log_append(log, 3, wr_done(&pw), &fault), OK);
    assert_int_equal(log_commit(log, &fault), OK);
    encoder_close(e);
    core_down(&c);
    if (core_up(&c, &fault) != OK)
        fail_msg("%s", fault.text);
    log_is(&c, 1, 2);
    assert_int_equal(store_head(c.store, &h, NULL), OK);
    assert_int_equal(h.seq, 2);
    struct op again = put("c", "3");
    assert_int_equal(run_ok(&c, &again, 1), 3);
    assert_int_equal(c.told.keys, 3);
    core_end(&c);
}

/* --- a log that is lost ------------------------------------------------------------------------------------------------ */
static void log_change(struct core *c, bool empty, uint64_t cut, uint64_t seq, struct bytes record)
{
    struct fault fault = { .text = "" };
    struct log_txn *log;
    assert_int_equal(log_begin(c->store, &log, &fault), OK);
    if (empty || cut > 0)
        assert_int_equal(log_cut(log, empty ? 0 : cut, &fault), OK);
    if (record.len > 0 && log_append(log, seq, record, &fault) != OK)
        fail_msg("%s", fault.text);
    assert_int_equal(log_commit(log, &fault), OK);
}
/* A record of one transaction that nobody applied, signed by key; owned by caller. */
static struct bytes record_at(struct core *c, const struct node_key *key, uint64_t epoch, uint64_t seq, uint8_t prev)
{
    uint8_t ops[512], body[1024], record[2048], chain[CHAIN_LEN];
    struct wr ow = wr_over(ops, sizeof ops), bw = wr_over(body, sizeof body), rw = wr_over(record, sizeof record);
    struct op a = put("other", "history");
    struct head h = c->told;
    struct signed_head sh;
    op_put(&ow, &a);
    struct record_body rb = { .epoch = epoch, .seq = seq, .time_ms = h.time_ms, .ops = wr_done(&ow) };
    memcpy(rb.cluster, store_cluster(c->store), CLUSTER_LEN);
    memset(rb.prev, prev, CHAIN_LEN);
    record_body_put(&bw, &rb);
    record_chain(wr_done(&bw), chain);
    h.epoch = epoch;
    h.seq = seq;
    memcpy(h.chain, chain, CHAIN_LEN);
    head_sign(&sh, &h, key);
    record_put(&rw, wr_done(&bw), chain, &sh, key);
    assert_false(rw.full);
    return heap_copy(rw.buf, rw.len);
}

/* The data goes on, in an epoch above all that the log knew; its first record is the log. */
static void lost_logs(void **state)
{
    static const struct {
        const char *why;
        bool empty; uint64_t cut, seq, epoch; bool ours, garbage; enum err want; uint64_t to;
    } rows[] = {
        { "as it was",                                  false, 0, 0, 0, true,  false, OK, 1 },
        { "the log is empty",                           true,  0, 0, 0, true,  false, OK, 2 },
        { "it lost its tail",                           false, 2, 0, 0, true,  false, OK, 2 },
        { "all but the first",                          false, 1, 0, 0, true,  false, OK, 2 },
        { "the record at the data is another one",      false, 3, 4, 1, true,  false, OK, 2 },
        { "the same, of a later epoch",                 false, 3, 4, 5, true,  false, OK, 6 },
        { "the same, unreadable",                       false, 3, 4, 0, true,  true,  OK, 2 },
        { "the record behind the data does not follow", false, 0, 5, 1, true,  false, OK, 2 },
        { "the same, unreadable",                       false, 0, 5, 0, true,  true,  OK, 2 },
        { "the log begins beyond the data",             true,  0, 9, 3, true,  false, OK, 4 },
        { "the same, unreadable",                       true,  0, 9, 3, true,  true,  OK, 2 },
        { "another key's record at the data",           false, 3, 4, 1, false, false, ERR_SIGNATURE, 0 },
        { "another key's record behind the data",       false, 0, 5, 1, false, false, ERR_SIGNATURE, 0 },
        { "another key's record beyond the data",       true,  0, 9, 1, false, false, ERR_SIGNATURE, 0 },
        { "another key's record before the data",       true,  0, 2, 1, false, false, ERR_SIGNATURE, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct core c;
        struct fault fault = { .text = "" };
        struct commit_began began;
        struct node_key other;
        uint64_t first, last;
        struct head before, h;
        core_init(&c, 0);
        for (unsigned n = 0; n < 4; n++) {
            struct op op = put("a", n % 2 == 0 ? "1" : "2");
            run_ok(&c, &op, 1);
        }
        assert_false(commit_began(c.committer, &began));
        assert_int_equal(store_head(c.store, &before, NULL), OK);
        crypto_sign_keypair(other.pub, other.secret);
        struct bytes record = { 0 };
        if (rows[i].garbage)
            record = heap_copy("\x92\xc4\x03not a record", 15);
        else if (rows[i].seq > 0)
            record = record_at(&c, rows[i].ours ? &c.key : &other, rows[i].epoch, rows[i].seq, 0xee);
        log_change(&c, rows[i].empty, rows[i].cut, rows[i].seq, record);
        if (record.len > 0)
            bytes_free(record);
        uint64_t first_before, last_before;
        assert_int_equal(log_range(c.store, &first_before, &last_before), OK);
        core_down(&c);
        enum err err = core_up(&c, &fault);
        if (err != rows[i].want)
            fail_msg("%s: %s (%s)", rows[i].why, err_text(err), fault.text);
        assert_int_equal(log_range(c.store, &first, &last), OK);
        assert_int_equal(store_head(c.store, &h, NULL), OK);
        assert_memory_equal(h.digest, before.digest, DIGEST_LEN);
        if (err != OK) {
            assert_true(first == first_before && last == last_before && h.seq == 4 && h.epoch == 1);
            core_end(&c);
            continue;
        }
        bool raised = commit_began(c.committer, &began);
        if (raised != (rows[i].to > 1) || h.epoch != rows[i].to || h.seq != (raised ? 5u : 4u))
            fail_msg("%s: epoch %d at seq %d (%s)", rows[i].why, (int)h.epoch, (int)h.seq, began.why);
        if (raised && (began.from != 1 || began.to != h.epoch || began.seq != 5 || began.why[0] == '\0' || first != 5 ||
                       last != 5))
            fail_msg("%s: from %d to %d, log %d to %d", rows[i].why, (int)began.from, (int)began.to, (int)first, (int)last);
        core_down(&c);
        assert_int_equal(core_up(&c, &fault), OK);              /* once only */
        assert_false(commit_began(c.committer, &began));
        struct op op = put("b", "3");
        assert_int_equal(run_ok(&c, &op, 1), h.seq + 1);
        assert_int_equal(c.told.epoch, rows[i].to);
        core_end(&c);
    }
}

/* Whose log and data these are. And: what the log has complete behind the data is not lost with its damaged end. */
static void foreign_data(void **state)
{
    struct core c;
    struct fault fault = { .text = "" };
    struct head h;
    (void)state;
    core_init(&c, 0);
    struct op a = put("a", "1");
    run_ok(&c, &a, 1);
    core_down(&c);
    struct node_key right = c.key;
    crypto_sign_keypair(c.key.pub, c.key.secret);
    assert_int_equal(core_up(&c, &fault), ERR_SIGNATURE);
    log_change(&c, true, 0, 0, (struct bytes){ 0 });
    core_down(&c);
    assert_int_equal(core_up(&c, &fault), ERR_SIGNATURE);      /* an empty log does not make the data ours */
    log_is(&c, 0, 0);
    core_down(&c);
    c.key = right;
    assert_int_equal(core_up(&c, &fault), OK);
    assert_int_equal(store_head(c.store, &h, NULL), OK);
    assert_int_equal(h.epoch, 2);
    core_end(&c);
}

static struct bytes data_file(const struct core *c, char path[400])
{
    struct fault fault = { .text = "" };
    struct bytes file;
    (void)snprintf(path, 400, "%s/data.1/data.mdb", c->dir);
    if (access(path, F_OK) != 0)
        (void)snprintf(path, 400, "%s/data.0/data.mdb", c->dir);
    if (file_read(path, (size_t)64 << 20, &file, &fault) != OK)
        fail_msg("%s", fault.text);
    return file;
}

/* A crash between the two commits that begin the new epoch: the log has it, so the data gets it, and no further one. */
static void crash_while_an_epoch_begins(void **state)
{
    struct core c;
    struct fault fault = { .text = "" };
    struct commit_began began;
    struct head h;
    char path[400];
    (void)state;
    core_init(&c, 0);
    struct op a = put("a", "1"), b = put("b", "2");
    run_ok(&c, &a, 1);
    run_ok(&c, &b, 1);
    log_change(&c, false, 1, 0, (struct bytes){ 0 });
    core_down(&c);
    struct bytes before = data_file(&c, path);
    assert_int_equal(core_up(&c, &fault), OK);
    assert_true(commit_began(c.committer, &began));
    core_down(&c);
    assert_int_equal(file_replace(path, before, 0644, &fault), OK);
    assert_int_equal(core_up(&c, &fault), OK);
    assert_false(commit_began(c.committer, &began));
    assert_int_equal(store_head(c.store, &h, NULL), OK);
    assert_true(h.epoch == 2 && h.seq == 3 && h.keys == 2);
    log_is(&c, 3, 3);
    /* data that lost its newest commits, a log whose end is damaged: all that is left is applied before it goes */
    run_ok(&c, &(struct op){ OP_PUT, bytes_of_text("kv"), bytes_of_text("c"), bytes_of_text("3") }, 1);
    core_down(&c);
    assert_int_equal(file_replace(path, before, 0644, &fault), OK);
    struct store_options o = { .dir = c.dir, .mode = STORE_WRITE, .role = STORE_CORE, .boot_id = "boot", .volatile_data = true };
    assert_int_equal(store_open(&c.store, &o, &fault), OK);
    log_change(&c, false, 0, 5, bytes_of_text("no record"));
    store_close(c.store);
    bytes_free(before);
    if (core_up(&c, &fault) != OK)
        fail_msg("%s", fault.text);
    assert_true(commit_began(c.committer, &began));
    assert_int_equal(store_head(c.store, &h, NULL), OK);
    assert_true(h.epoch == 3 && h.seq == 5 && h.keys == 3);
    log_is(&c, 5, 5);
    core_end(&c);
}

/* The log is full to the brim when it is found to be lost. */
static void lost_and_full_at(uint64_t map)
{
    struct core c;
    struct fault fault = { .text = "" };
    uint8_t *value = malloc(16384);
    uint64_t seq = 0, first, last;
    struct commit_began began;
    struct head h;
    enum err err = OK;
    core_init(&c, map);
    for (size_t len = 16384; len > 0; len /= 1024) {    /* the data stays small, the log grows until not even 16 bytes fit */
        err = OK;
        for (int i = 0; i < 10000 && err == OK; i++) {
            randombytes_buf(value, len);
            struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("key"), bytes_of(value, len) };
            err = commit_run(c.committer, &op, 1, &seq, &fault);
        }
    }
    free(value);
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(log_range(c.store, &first, &last), OK);
    assert_true(last > 50 && last == seq);
    log_change(&c, false, last - 1, 0, (struct bytes){ 0 });
    core_down(&c);
    if (core_up(&c, &fault) != OK)
        fail_msg("%s", fault.text);
    assert_true(commit_began(c.committer, &began));
    assert_int_equal(store_head(c.store, &h, NULL), OK);
    assert_true(h.epoch == 2 && h.seq == seq + 1 && h.keys == 1);
    log_is(&c, seq + 1, seq + 1);
    struct op op = put("more", "room");
    assert_int_equal(run_ok(&c, &op, 1), seq + 2);
    core_end(&c);
}

static void lost_and_full(void **state)
{
    (void)state;
    for (uint64_t pages = 512; pages < 524; pages++)    /* whatever number of pages is left in the end */
        lost_and_full_at(pages * 4096);
}

/* Full: nothing changes, what is there is served, deletes go on, and then there is room again. */
static void full_store(void **state)
{
    struct core c;
    struct fault fault = { .text = "" };
    char keys[400][16];
    uint8_t *value = malloc(16384);
    uint64_t seq = 0, good = 0;
    enum err err = OK;
    int i;
    (void)state;
    core_init(&c, 4 << 20);
    randombytes_buf(value, 16384);
    for (i = 0; i < 400 && err == OK; i++) {
        snprintf(keys[i], sizeof keys[i], "key-%d", i);
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(keys[i]), bytes_of(value, 16384) };
        err = commit_run(c.committer, &op, 1, &seq, &fault);
        if (err == OK)
            good = seq;
    }
    assert_int_equal(err, ERR_FULL);
    assert_true(good > 20);
    log_is(&c, 1, good);
    assert_int_equal(c.told.seq, good);
    core_down(&c);
    c.map = 64 << 20;                           /* the operator gave it more */
    if (core_up(&c, &fault) != OK)
        fail_msg("%s", fault.text);
    struct op op = put("more", "room");
    assert_int_equal(run_ok(&c, &op, 1), good + 1);
    core_end(&c);
    free(value);
}

/* A disk that takes the log's commit and not the data's, and perhaps not what takes the log back either. "Full" promises
 * that nothing was changed; where that cannot be kept, it must be another word. What was told comes true in any case, and
 * heartbeats go on telling it. zeros: of the value; little in the log, which is compressed, and much in the data. */
struct between { unsigned promised, told; };
static void full_between_at(size_t zeros, struct between *n)
{
    struct rlimit before, tight;
    uint8_t *value = calloc(1, zeros);
    assert_non_null(value);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (unsigned row = 0; row < 18; row++) {        /* whatever pages the log has free */
        struct core c;
        struct fault fault = { .text = "" };
        struct stat st;
        char path[300];
        uint64_t seq = 0, keys = 10 + row / 6;
        core_init(&c, 0);
        for (unsigned i = 0; i < keys; i++) {
            char key[16];
            snprintf(key, sizeof key, "key-%u", i);
            struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(value, zeros) };
            run_ok(&c, &op, 1);
        }
        snprintf(path, sizeof path, "%s/log/data.mdb", c.dir);
        assert_int_equal(stat(path, &st), 0);
        tight = before;
        tight.rlim_cur = (rlim_t)st.st_size + 4096 * (row % 6);
        struct op late = { OP_PUT, bytes_of_text("kv"), bytes_of_text("late"), bytes_of(value, zeros) };
        unsigned told_before = c.told_n;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        enum err err = commit_run(c.committer, &late, 1, &seq, &fault);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_not_equal(err, OK);
        bool told = c.told_n > told_before;
        struct head promise = c.told, h;
        struct signed_head beat;
        assert_int_equal(commit_heartbeat(c.committer, &beat), OK);
        struct rd rd = rd_over(bytes_of(beat.body, beat.len));
        assert_int_equal(head_read(&rd, &h), OK);
        assert_int_equal(h.seq, promise.seq);
        if (told && row % 2 == 1) {             /* it comes true without a further change, too */
            assert_int_equal(commit_settle(c.committer, &fault), OK);
            assert_int_equal(store_head(c.store, &h, NULL), OK);
            assert_int_equal(h.seq, promise.seq);
            assert_int_equal(commit_settle(c.committer, &fault), ERR_NOTNOW);
        }
        struct op more = put("more", "room");
        seq = run_ok(&c, &more, 1);
        assert_int_equal(store_head(c.store, &h, NULL), OK);
        if (err == ERR_FULL && (told || h.keys != keys + 1))
            fail_msg("row %u: \"full\", and yet it was told or changed something", row);
        if (told && (h.keys != keys + 2 || seq != promise.seq + 1))
            fail_msg("row %u: seq %llu was told, and did not come true", row, (unsigned long long)promise.seq);
        n->promised += err == ERR_FULL;
        n->told += told;
        core_end(&c);
    }
    free(value);
}

static void full_between(void **state)
{
    struct between small = { 0 }, large = { 0 };
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    (void)state;
    full_between_at(200000, &small);
    full_between_at(400000, &large);
    (void)signal(SIGXFSZ, old);
    print_message("small: full %u times, told %u; large: full %u, told %u\n", small.promised, small.told, large.promised, large.told);
    assert_int_equal(large.told, 0);
}

/* What a full disk could undo, or a restore overlook, is told when the data has it. */
static void when_it_is_told(void **state)
{
    static const struct { const char *why; size_t bytes; bool early; } rows[] = {
        { "small: while the data is on its way",                100,    true },
        { "large: its data may not fit, then it never was",     400000, false },
        { "a new epoch: restores look for it in the data",      0,      false },
        { "small, in the new epoch",                            100,    true },
    };
    uint8_t *value = calloc(1, 400000);
    struct core c;
    (void)state;
    assert_non_null(value);
    core_init(&c, 0);
    for (unsigned i = 0; i < ROWS(rows); i++) {
        struct fault fault = { .text = "" };
        char key[16];
        uint64_t seq;
        snprintf(key, sizeof key, "key-%u", i);
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(value, rows[i].bytes) };
        if (rows[i].bytes > 0)
            seq = run_ok(&c, &op, 1);
        else
            assert_int_equal(commit_raise_epoch(c.committer, 0, &seq, &fault), OK);
        if (c.told.seq != seq || c.data_seq != seq - rows[i].early)
            fail_msg("%s: seq %llu was told with the data at %llu", rows[i].why, (unsigned long long)seq, (unsigned long long)c.data_seq);
    }
    core_end(&c);
    free(value);
}

static void time_never_runs_back(void **state)
{
    struct core c;
    struct fault fault = { .text = "" };
    struct signed_head one, two;
    struct head h1, h2;
    char path[300], text[32];
    (void)state;
    core_init(&c, 0);
    struct op a = put("a", "1");
    run_ok(&c, &a, 1);
    assert_int_equal(commit_heartbeat(c.committer, &one), OK);
    assert_int_equal(commit_heartbeat(c.committer, &two), OK);
    struct rd r1 = rd_over(bytes_of(one.body, one.len)), r2 = rd_over(bytes_of(two.body, two.len));
    assert_int_equal(head_read(&r1, &h1), OK);
    assert_int_equal(head_read(&r2, &h2), OK);
    assert_true(h2.time_ms > h1.time_ms);
    core_down(&c);
    /* the clock was two hours ahead of itself before the restart */
    uint64_t ahead = clock_wall_ms() + 7200000;
    snprintf(path, sizeof path, "%s/core.time", c.dir);
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)ahead);
    assert_int_equal(file_replace(path, bytes_of_text(text), 0644, &fault), OK);
    assert_int_equal(core_up(&c, &fault), OK);
    assert_true(commit_time_ms(c.committer) >= ahead);
    assert_int_equal(commit_heartbeat(c.committer, &one), OK);
    r1 = rd_over(bytes_of(one.body, one.len));
    assert_int_equal(head_read(&r1, &h1), OK);
    assert_true(h1.time_ms > ahead);
    core_end(&c);
}

/* What a crash leaves in core.time is a bound, not a time: one that follows another must not add to it. */
static void time_after_crashes(void **state)
{
    struct core c;
    struct fault fault = { .text = "" };
    char path[300];
    struct bytes left;
    (void)state;
    core_init(&c, 0);
    snprintf(path, sizeof path, "%s/core.time", c.dir);
    uint64_t first = commit_time_ms(c.committer);
    for (int crash = 0; crash < 20; crash++) {
        assert_int_equal(file_read(path, 64, &left, &fault), OK);
        core_down(&c);              /* writes the time that was told last: put back what a crash would have left */
        assert_int_equal(file_replace(path, left, 0644, &fault), OK);
        free((void *)(uintptr_t)left.ptr);
        assert_int_equal(core_up(&c, &fault), OK);
        assert_true(commit_time_ms(c.committer) >= first);
    }
    assert_true(commit_time_ms(c.committer) < clock_wall_ms() + 30000 + 21 * 1000);
    core_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_change), cmocka_unit_test(log_is_a_chain), cmocka_unit_test(many_parts), cmocka_unit_test(groups),
        cmocka_unit_test(limits), cmocka_unit_test(log_ahead_of_data), cmocka_unit_test(lost_logs), cmocka_unit_test(foreign_data),
        cmocka_unit_test(crash_while_an_epoch_begins), cmocka_unit_test(lost_and_full),
        cmocka_unit_test(full_store), cmocka_unit_test(full_between), cmocka_unit_test(when_it_is_told), cmocka_unit_test(time_never_runs_back),
        cmocka_unit_test(time_after_crashes),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
