/* Encrypted records from a core's store to an edge's: who has the key, who has not, who gets it later. */
#include "tests/util.h"

#include <sodium.h>

#include "base/msg.h"
#include "replicator/commit.h"
#include "replicator/edge.h"
#include "tests/unit/replica_bed.h"
#include "tests/unit/replicator_dir.h"

struct pair {
    char dir[256], core_dir[300], edge_dir[300];
    struct node_key key;
    struct keyring *keys;           /* the core's */
    struct store *core, *edge_store;
    struct committer *committer;
    struct edge edge;
    uint8_t *buf;
    struct bytes log[16];           /* by seq; owned */
    struct fault fault;
};

static void ok(struct pair *p, enum err err)
{
    if (err != OK)
        fail_msg("%s: %s", err_text(err), p->fault.text);
}

static void core_up(struct pair *p, bool encrypt)
{
    struct store_options o = { .dir = p->core_dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = 64 << 20, .volatile_data = true };
    ok(p, store_open(&p->core, &o, &p->fault));
    ok(p, keyring_open(&p->keys, p->core_dir, &p->fault));
    ok(p, commit_open_keys(&p->committer, p->core, &p->key, p->keys, NULL, NULL, &p->fault));
    commit_encrypt(p->committer, encrypt);
}
static void core_down(struct pair *p)
{
    commit_close(p->committer);
    store_close(p->core);
    keyring_close(p->keys);
}
static void pair_open(struct pair *p)
{
    memset(p, 0, sizeof *p);
    dir_make(p->dir, sizeof p->dir, "secret");
    snprintf(p->core_dir, sizeof p->core_dir, "%s/core", p->dir);
    snprintf(p->edge_dir, sizeof p->edge_dir, "%s/edge", p->dir);
    ok(p, node_key_make(p->dir, false, &p->key, &p->fault));
    p->buf = malloc(RECORD_MAX);
    core_up(p, true);
    struct store_options o = { .dir = p->edge_dir, .mode = STORE_CREATE, .role = STORE_EDGE, .map_size = 64 << 20, .boot_id = "boot",
                               .volatile_data = true };
    ok(p, store_open(&p->edge_store, &o, &p->fault));
    ok(p, store_join(p->edge_store, store_cluster(p->core), &p->fault));
    ok(p, edge_open(&p->edge, p->edge_store, p->key.pub, &p->fault));
}
static void pair_close(struct pair *p)
{
    edge_close(&p->edge);
    store_close(p->edge_store);
    core_down(p);
    for (size_t i = 0; i < ROWS(p->log); i++)
        bytes_free(p->log[i]);
    free(p->buf);
    dir_remove(p->dir);
}

static uint64_t put(struct pair *p, const char *value)
{
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("key"), bytes_of_text(value) };
    uint64_t seq = 0;
    size_t need;
    struct bytes got;
    ok(p, commit_run(p->committer, &op, 1, &seq, &p->fault));
    struct log_reader *reader;
    ok(p, log_reader_open(p->core, &reader, &p->fault));
    ok(p, log_reader_begin(reader));
    ok(p, log_reader_get(reader, seq, p->buf, RECORD_MAX, &got, &need));
    log_reader_end(reader);
    log_reader_close(reader);
    assert_true(seq < ROWS(p->log));
    p->log[seq] = heap_copy(got.ptr, got.len);
    return seq;
}
static struct job_result store(struct pair *p, uint64_t from, uint64_t to)
{
    struct job job = { .kind = JOB_STORE, .records = &p->log[from], .n = to + 1 - from, .apply_to = UINT64_MAX };
    struct job_result res;
    edge_do(&p->edge, &job, &res, &p->fault);
    return res;
}
static uint64_t rotate(struct pair *p)
{
    uint64_t id;
    ok(p, keyring_rotate(p->keys, &id, &p->fault));
    return id;
}

static void waits_for_the_key_and_goes_on(void **state)
{
    struct pair p;
    struct job_result res;
    struct keyring *ours;
    struct record rec;
    uint8_t all[REPLY_KEYS_MAX * CLUSTER_KEY_LEN];
    bool news;
    (void)state;
    pair_open(&p);
    uint64_t one = rotate(&p);
    put(&p, "a");
    put(&p, "b");
    uint64_t two = rotate(&p);
    put(&p, "c");
    commit_encrypt(p.committer, false);
    put(&p, "d");
    assert_int_equal(record_read(p.log[2], &rec), OK);
    assert_int_equal(rec.key_id, one);
    assert_int_equal(record_read(p.log[3], &rec), OK);
    assert_int_equal(rec.key_id, two);
    assert_int_equal(record_read(p.log[4], &rec), OK);
    assert_int_equal(rec.key_id, 0);

    res = store(&p, 1, 4);                      /* no ring at all: the log has them, the data waits */
    assert_true(res.err == ERR_KEY && res.log.seq == 4 && res.complete == 4 && res.applied.seq == 0);
    assert_int_equal(p.edge.replay.key_wanted, one);
    assert_true(p.edge.served.len > 0);         /* and a relay hands them on */
    ok(&p, keyring_open(&ours, p.edge_dir, &p.fault));
    p.edge.replay.keys = ours;
    assert_int_equal(store(&p, 5, 4).err, ERR_KEY);
    assert_int_equal(keyring_all(p.keys, all), 2);
    ok(&p, keyring_take(ours, all + CLUSTER_KEY_LEN, 1, &news, &p.fault));      /* the older one */
    res = store(&p, 5, 4);
    assert_true(res.err == ERR_KEY && res.applied.seq == 2);                    /* as far as it goes */
    assert_int_equal(p.edge.replay.key_wanted, two);
    ok(&p, keyring_take(ours, all, 1, &news, &p.fault));
    res = store(&p, 5, 4);
    assert_true(res.err == OK && res.applied.seq == 4);

    rotate(&p);                                 /* a new one, and the edge is restarted before it has it */
    commit_encrypt(p.committer, true);
    put(&p, "e");
    assert_int_equal(store(&p, 5, 5).err, ERR_KEY);
    edge_close(&p.edge);
    ok(&p, edge_open(&p.edge, p.edge_store, p.key.pub, &p.fault));
    assert_true(p.edge.log.seq == 5 && p.edge.applied.seq == 4);
    p.edge.replay.keys = ours;
    assert_int_equal(keyring_all(p.keys, all), 3);
    ok(&p, keyring_take(ours, all, 1, &news, &p.fault));
    res = store(&p, 6, 5);
    assert_true(res.err == OK && res.applied.seq == 5);
    keyring_close(ours);
    p.edge.replay.keys = NULL;
    pair_close(&p);
}

/* A core that was killed between its two commits reads its own records again, with the keys of its directory. */
static void a_core_reads_its_own_log(void **state)
{
    struct pair p;
    struct committer *c = NULL;
    struct log_txn *log;
    (void)state;
    pair_open(&p);
    rotate(&p);
    put(&p, "a");
    put(&p, "b");
    /* a store that has only the first transaction, and the log of both */
    char dir[300];
    snprintf(dir, sizeof dir, "%s/again", p.dir);
    struct store *again;
    struct store_options o = { .dir = dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = 64 << 20, .volatile_data = true,
                               .cluster = store_cluster(p.core) };
    ok(&p, store_open(&again, &o, &p.fault));
    ok(&p, log_begin(again, &log, &p.fault));
    ok(&p, log_append(log, 1, p.log[1], &p.fault));
    ok(&p, log_append(log, 2, p.log[2], &p.fault));
    ok(&p, log_commit(log, &p.fault));
    assert_int_equal(commit_open(&c, again, &p.key, NULL, NULL, &p.fault), ERR_KEY);
    ok(&p, commit_open_keys(&c, again, &p.key, p.keys, NULL, NULL, &p.fault));
    struct head h;
    ok(&p, store_head(again, &h, &(struct signed_head){ 0 }));
    assert_int_equal(h.seq, 2);
    commit_close(c);
    store_close(again);
    pair_close(&p);
}

static void nothing_is_written_in_plain_for_want_of_a_key(void **state)
{
    struct pair p;
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("key"), bytes_of_text("v") };
    uint64_t seq = 0;
    (void)state;
    pair_open(&p);                              /* encrypts, and its ring is empty */
    assert_int_equal(commit_run(p.committer, &op, 1, &seq, &p.fault), ERR_KEY);
    rotate(&p);
    assert_int_equal(put(&p, "v"), 1);
    pair_close(&p);
}

/* The replica: records without a key are stored on and on, and applied when the key is there. */
static void a_replica_stores_on(void **state)
{
    static struct bed b;
    struct rnd rnd = rnd_seed(3);
    (void)state;
    bed_open(&b, 1);
    for (int i = 0; i < 3; i++)
        model_commit(&b.core, &rnd, 1, false);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct record rec;
        struct wr w = wr_over(b.msg, sizeof b.msg);
        assert_int_equal(record_read(b.core.log[seq], &rec), OK);
        announce_put(&w, &rec.signed_head, b.core.log[seq]);
        assert_int_equal(replica_announce(b.r, wr_done(&w), b.now, &b.t), OK);
        assert_int_equal(b.t.job.kind, JOB_STORE);
        assert_int_equal(b.t.job.n, 1);
        assert_int_equal(b.t.job.apply_to, seq == 1 ? 1 : 0);   /* later ones are not tried all the time */
        position_move(&b.log, &rec);
        struct job_result res = { seq == 1 ? ERR_KEY : OK, b.log, seq, b.applied };
        replica_stored(b.r, &res, b.now, &b.t);
        assert_int_equal(b.t.job.kind, JOB_NONE);
        assert_int_equal(figures(&b).log.seq, seq);
        b.now += 10;
    }
    assert_true(figures(&b).mismatches == 0 && figures(&b).copies == 0);
    replica_keyed(b.r);
    tick(&b);
    assert_int_equal(b.t.job.kind, JOB_STORE);
    assert_true(b.t.job.n == 0 && b.t.job.apply_to == 3);
    struct job_result lacking = { ERR_KEY, b.log, 3, b.applied };      /* of another key */
    replica_stored(b.r, &lacking, b.now, &b.t);
    assert_int_equal(b.t.job.kind, JOB_NONE);
    b.now += 5000;                              /* nobody said anything: tried again all the same */
    tick(&b);
    assert_int_equal(b.t.job.kind, JOB_STORE);
    b.applied = b.log;
    struct job_result done = { OK, b.log, 3, b.applied };
    replica_stored(b.r, &done, b.now, &b.t);
    assert_int_equal(figures(&b).applied.seq, 3);
    bed_close(&b);
}

/* A core's clock that is an hour off, either way: seq decides, and ages are the edge's own. */
static void a_clock_off_by_an_hour(void **state)
{
    static const struct { const char *why; int64_t jump_ms; } rows[] = { { "an hour ahead", 3600000 }, { "an hour back", -3600000 }, { "right", 0 } };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        static struct bed b;
        struct rnd rnd = rnd_seed(4);
        bed_open(&b, 1);
        b.core.time_ms = 7200000;
        for (uint64_t seq = 1; seq <= 4; seq++) {
            struct record rec;
            struct wr w = wr_over(b.msg, sizeof b.msg);
            if (seq == 3)
                b.core.time_ms = (uint64_t)((int64_t)b.core.time_ms + rows[i].jump_ms);
            model_commit(&b.core, &rnd, 1, false);
            assert_int_equal(record_read(b.core.log[seq], &rec), OK);
            announce_put(&w, &rec.signed_head, b.core.log[seq]);
            enum err err = replica_announce(b.r, wr_done(&w), b.now, &b.t);
            if (err != OK || b.t.job.kind != JOB_STORE || !b.t.heard)
                fail_msg("%s, seq %d: %s", rows[i].why, (int)seq, err_text(err));
            position_move(&b.log, &rec);
            b.applied = b.log;
            struct job_result res = { OK, b.log, seq, b.applied };
            replica_stored(b.r, &res, b.now, &b.t);
            assert_int_equal(figures(&b).age_ms, 0);
            b.now += 100;
        }
        assert_true(figures(&b).applied.seq == 4 && figures(&b).changes == 0 && figures(&b).forks == 0);
        b.now += 1000;
        assert_int_equal(figures(&b).age_ms, 1100);
        bed_close(&b);
    }
}

/* Killed while records wait for their key: behind the start a relay goes on handing them on. */
static void what_waits_is_served(void **state)
{
    struct pair p;
    struct signed_head before;
    (void)state;
    pair_open(&p);
    rotate(&p);
    put(&p, "a");
    put(&p, "b");
    assert_int_equal(store(&p, 1, 2).err, ERR_KEY);
    before = p.edge.served;
    assert_true(before.len > 0);
    edge_close(&p.edge);
    store_close(p.edge_store);
    struct store_options o = { .dir = p.edge_dir, .mode = STORE_CREATE, .role = STORE_EDGE, .map_size = 64 << 20, .boot_id = "boot",
                               .volatile_data = true };
    ok(&p, store_open(&p.edge_store, &o, &p.fault));
    ok(&p, edge_open(&p.edge, p.edge_store, p.key.pub, &p.fault));
    assert_true(p.edge.complete == 2 && p.edge.applied.seq == 0);
    assert_int_equal(p.edge.served.len, before.len);
    assert_memory_equal(p.edge.served.body, before.body, before.len);
    p.edge.replay.keys = p.keys;                /* the key came: nothing is new in the log */
    assert_int_equal(store(&p, 3, 2).err, OK);
    assert_true(p.edge.applied.seq == 2 && p.edge.served.len == before.len);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_the_key_and_goes_on), cmocka_unit_test(a_core_reads_its_own_log),
        cmocka_unit_test(nothing_is_written_in_plain_for_want_of_a_key), cmocka_unit_test(a_replica_stores_on),
        cmocka_unit_test(a_clock_off_by_an_hour), cmocka_unit_test(what_waits_is_served),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
