#include "tests/util.h"

#include "replicator/commit.h"
#include "replicator/edge.h"
#include "replicator/edge_thread.h"
#include "tests/sim/model.h"
#include "tests/unit/replicator_dir.h"

/* An edge's real store, fed by a core in memory. */
struct bed {
    struct model_core core;
    struct rnd rnd;
    char dir[256];
    uint64_t map;
    const char *boot;
    struct store *store;
    struct edge edge;
    struct fault fault;
};

static void up(struct bed *b)
{
    struct store_options o = { .dir = b->dir, .mode = STORE_CREATE, .role = STORE_EDGE, .map_size = b->map,
                               .boot_id = b->boot, .volatile_data = true };
    b->fault.text[0] = '\0';
    if (store_open(&b->store, &o, &b->fault) != OK || store_join(b->store, b->core.cluster, &b->fault) != OK
        || edge_open(&b->edge, b->store, b->core.key.pub, &b->fault) != OK)
        fail_msg("%s", b->fault.text);
}
static void down(struct bed *b)
{
    edge_close(&b->edge);
    store_close(b->store);
}
static void bed_open(struct bed *b, uint64_t map)
{
    memset(b, 0, sizeof *b);
    model_open(&b->core, 21);
    b->rnd = rnd_seed(21);
    b->map = map;
    b->boot = "boot-1";
    dir_make(b->dir, sizeof b->dir, "edge");
    up(b);
}
static void bed_close(struct bed *b)
{
    down(b);
    dir_remove(b->dir);
    model_close(&b->core);
}

static enum err store(struct bed *b, uint64_t from, uint64_t to, uint64_t apply_to)
{
    struct job job = { JOB_STORE, &b->core.log[from], to + 1 - from, apply_to };
    struct job_result res;
    edge_do(&b->edge, &job, &res, &b->fault);
    return res.err;
}
static enum err simple(struct bed *b, enum job_kind kind)
{
    struct job job = { .kind = kind };
    struct job_result res;
    edge_do(&b->edge, &job, &res, &b->fault);
    return res.err;
}

/* The data that readers see is the core's behind seq; 0: empty. */
static void shows(struct bed *b, uint64_t seq)
{
    struct view *v;
    struct head h = { .seq = 0 };
    assert_int_equal(view_open(b->store, &v, &b->fault), OK);
    assert_int_equal(view_begin(v), OK);
    enum err err = view_head(v, &h, NULL);
    assert_int_equal(err, seq == 0 ? ERR_NOTFOUND : OK);
    assert_int_equal(h.seq, seq);
    for (int i = 0; i < MODEL_KEYS; i++) {
        char key[16], want[16];
        struct bytes got = { 0 };
        uint32_t value = b->core.state[seq].value[i];
        snprintf(key, sizeof key, "key-%02d", i);
        snprintf(want, sizeof want, "%u", value);
        err = view_get(v, bytes_of_text("kv"), bytes_of_text(key), &got);
        assert_int_equal(err, value == 0 ? ERR_NOTFOUND : OK);
        if (value != 0)
            assert_true(bytes_equal(got, bytes_of_text(want)));
    }
    view_end(v);
    view_close(v);
}
static void commits(struct bed *b, unsigned n, unsigned parts)
{
    for (unsigned i = 0; i < n; i++)
        model_commit(&b->core, &b->rnd, parts, false);
}

static void records_become_data(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0);
    shows(&b, 0);
    commits(&b, 5, 1);
    assert_int_equal(store(&b, 1, 1, 9), OK);
    shows(&b, 1);
    assert_int_equal(store(&b, 2, 5, 9), OK);
    shows(&b, 5);
    assert_int_equal(b.edge.transactions, 5);
    down(&b);
    up(&b);
    assert_int_equal(b.edge.applied.seq, 5);
    assert_int_equal(b.edge.log.seq, 5);
    shows(&b, 5);
    bed_close(&b);
}

static void parts_wait_for_the_last(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 1, 1);
    commits(&b, 1, 4);                          /* records 2 to 5 */
    assert_int_equal(store(&b, 1, 3, 9), OK);
    shows(&b, 1);
    assert_true(b.edge.log.more && b.edge.log.seq == 3 && b.edge.complete == 1);
    down(&b);
    up(&b);                                     /* an edge keeps the parts that it has */
    assert_true(b.edge.log.more && b.edge.log.seq == 3 && b.edge.log.part == 1);
    assert_int_equal(store(&b, 4, 5, 9), OK);
    shows(&b, 5);
    bed_close(&b);
}

static void held_back_by_release(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 3, 2);                          /* ends at 2, 4, 6 */
    assert_int_equal(store(&b, 1, 6, 5), OK);
    shows(&b, 4);
    assert_int_equal(store(&b, 7, 6, 5), OK);   /* no record, same limit */
    shows(&b, 4);
    assert_int_equal(store(&b, 7, 6, 6), OK);
    shows(&b, 6);
    bed_close(&b);
}

static void log_ahead_is_applied_at_start(void **state)
{
    struct bed b;
    struct log_txn *t;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 4, 1);
    assert_int_equal(store(&b, 1, 2, 9), OK);
    assert_int_equal(log_begin(b.store, &t, &b.fault), OK);     /* killed between the two commits */
    assert_int_equal(log_append(t, 3, b.core.log[3], &b.fault), OK);
    assert_int_equal(log_append(t, 4, b.core.log[4], &b.fault), OK);
    assert_int_equal(log_commit(t, &b.fault), OK);
    down(&b);
    up(&b);
    shows(&b, 4);
    bed_close(&b);
}

/* What the log may hold at start besides, and how much of it is kept. */
enum damage { EMPTIED, FLIPPED, FOREIGN_TAIL, STARTS_LATER, OTHER_HISTORY };
static const struct { const char *why; enum damage damage; uint64_t log, applied; } damages[] = {
    { "thrown away",                    EMPTIED,        3, 3 },
    { "a flipped bit behind the data",  FLIPPED,        3, 3 },
    { "signed by somebody else",        FOREIGN_TAIL,   3, 3 },
    { "a hole behind the data",         STARTS_LATER,   3, 3 },
    { "another history",                OTHER_HISTORY,  3, 3 },
};
static void damaged_log_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(damages); i++) {
        struct bed b;
        struct log_txn *t;
        static struct model_core other;
        uint64_t cut = 3;
        bed_open(&b, 0);
        commits(&b, 5, 1);
        assert_int_equal(store(&b, 1, 3, 9), OK);
        struct bytes tail = heap_copy(b.core.log[4].ptr, b.core.log[4].len);
        model_open(&other, 22);
        struct rnd rnd = rnd_seed(5);
        for (int k = 0; k < 5; k++)
            model_commit(&other, &rnd, 1, false);
        assert_int_equal(log_begin(b.store, &t, &b.fault), OK);
        switch (damages[i].damage) {
        case EMPTIED:       cut = 0; break;
        case FLIPPED:       ((uint8_t *)(uintptr_t)tail.ptr)[70] ^= 1; break;
        case FOREIGN_TAIL:  bytes_free(tail); tail = heap_copy(other.log[4].ptr, other.log[4].len); break;
        case STARTS_LATER:
        case OTHER_HISTORY: cut = 0; break;
        }
        assert_int_equal(log_cut(t, cut, &b.fault), OK);
        if (damages[i].damage == STARTS_LATER)
            assert_int_equal(log_append(t, 5, b.core.log[5], &b.fault), OK);
        else if (damages[i].damage == OTHER_HISTORY)
            for (uint64_t s = 1; s <= 5; s++)
                assert_int_equal(log_append(t, s, other.log[s], &b.fault), OK);
        else if (damages[i].damage != EMPTIED)
            assert_int_equal(log_append(t, 4, tail, &b.fault), OK);
        assert_int_equal(log_commit(t, &b.fault), OK);
        down(&b);
        up(&b);
        if (b.edge.log.seq != damages[i].log || b.edge.applied.seq != damages[i].applied)
            fail_msg("%s: log %llu, applied %llu", damages[i].why, (unsigned long long)b.edge.log.seq, (unsigned long long)b.edge.applied.seq);
        if (damages[i].damage != EMPTIED && b.fault.text[0] == '\0')
            fail_msg("%s: nothing is said", damages[i].why);
        if (store(&b, 4, 5, 9) != OK)
            fail_msg("%s: does not go on: %s", damages[i].why, b.fault.text);
        shows(&b, 5);
        bytes_free(tail);
        model_close(&other);
        bed_close(&b);
    }
}

static void machine_crash_throws_the_log_away(void **state)
{
    struct bed b;
    uint64_t first, last;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 4, 1);
    assert_int_equal(store(&b, 1, 3, 9), OK);
    /* no clean stop: the folder as a crash leaves it, and another boot */
    char copy[256], command[600];
    dir_make(copy, sizeof copy, "crash");
    snprintf(command, sizeof command, "cp -r %s/. %s/", b.dir, copy);
    assert_int_equal(system(command), 0);
    down(&b);
    dir_remove(b.dir);
    memcpy(b.dir, copy, sizeof b.dir);
    b.boot = "boot-2";
    up(&b);
    assert_int_equal(log_range(b.store, &first, &last), OK);
    assert_int_equal(last, 0);
    shows(&b, 3);
    assert_int_equal(store(&b, 4, 4, 9), OK);
    shows(&b, 4);
    bed_close(&b);
}

/* A copy fills beside the data; readers see the old one until the flip. */
static void copy_and_flip(void **state)
{
    struct bed b;
    struct model_data old;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 6, 1);
    assert_int_equal(store(&b, 1, 6, 9), OK);
    old = b.core.state[6];
    model_rewind(&b.core, 3, false);
    commits(&b, 2, 1);
    assert_int_equal(store(&b, 5, 5, 9), ERR_EXISTS);          /* the replica would not have asked for that */
    assert_int_equal(simple(&b, JOB_COPY), OK);
    assert_int_equal(b.edge.log.seq, 0);
    assert_int_equal(store(&b, 1, 2, 9), OK);
    b.core.state[6] = old;
    shows(&b, 6);
    assert_int_equal(simple(&b, JOB_COPY), OK);                 /* anew */
    assert_int_equal(store(&b, 1, 5, 9), OK);
    shows(&b, 6);
    assert_int_equal(simple(&b, JOB_FLIP), OK);
    shows(&b, 5);
    down(&b);
    up(&b);
    shows(&b, 5);
    assert_int_equal(b.edge.applied.epoch, 2);
    bed_close(&b);
}

static void killed_while_copying(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 6, 1);
    assert_int_equal(store(&b, 1, 6, 9), OK);
    assert_int_equal(simple(&b, JOB_COPY), OK);
    assert_int_equal(store(&b, 1, 4, 9), OK);
    down(&b);
    up(&b);
    shows(&b, 6);
    assert_true(b.edge.applied.seq == 6 && b.edge.log.seq == 6);
    commits(&b, 1, 1);
    assert_int_equal(store(&b, 7, 7, 9), OK);
    shows(&b, 7);
    bed_close(&b);
}

static void wrong_digest_changes_nothing(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 2, 1);
    assert_int_equal(store(&b, 1, 2, 9), OK);
    model_commit(&b.core, &b.rnd, 1, true);
    assert_int_equal(store(&b, 3, 3, 9), ERR_DIGEST);
    shows(&b, 2);
    assert_int_equal(simple(&b, JOB_COPY), OK);
    assert_int_equal(store(&b, 1, 3, 9), ERR_DIGEST);           /* while copying: the copy is given up */
    shows(&b, 2);
    assert_true(b.edge.applied.seq == 2 && b.edge.log.seq == 2 && !store_is_fresh(b.store));
    down(&b);
    up(&b);
    shows(&b, 2);
    bed_close(&b);
}

/* A core with real ops; its records go to an edge with a small map. */
static void full_edge(void **state)
{
    struct bed b;
    uint8_t *noise = malloc(32768);
    struct encoder *e;
    struct digest lanes = { .lane = { 0 } };
    struct position at = { 0 }, next;
    struct head h = { .epoch = 1, .cohorts_n = 1, .cohorts = { { "all", 0 } } };
    enum err err = OK;
    uint64_t good = 0;
    (void)state;
    bed_open(&b, 3 << 20);
    randombytes_buf(noise, 32768);
    memcpy(h.cluster, b.core.cluster, CLUSTER_LEN);
    assert_int_equal(encoder_open(&e, b.core.cluster, &b.core.key), OK);
    struct bytes last = { 0 };
    for (int i = 0; i < 300 && err == OK; i++) {
        char key[16];
        struct signed_head sh;
        struct bytes record;
        struct job_result res;
        snprintf(key, sizeof key, "key-%d", i);
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(noise, 32768) };
        digest_add(&lanes, op.ns, op.key, op.value);
        encoder_begin(e, &at, 1, 1, &op, 1);
        assert_int_equal(encoder_part(e, &next), OK);
        h.seq = next.seq;
        memcpy(h.chain, next.chain, CHAIN_LEN);
        digest_final(&lanes, h.digest);
        h.keys++;
        h.bytes += op.key.len + op.value.len;
        head_sign(&sh, &h, &b.core.key);
        assert_int_equal(encoder_record(e, &sh, &record, NULL), OK);
        struct job job = { JOB_STORE, &record, 1, UINT64_MAX };
        edge_do(&b.edge, &job, &res, &b.fault);
        err = res.err;
        at = next;
        if (err == OK)
            good = next.seq;
        bytes_free(last);
        last = heap_copy(record.ptr, record.len);
    }
    assert_int_equal(err, ERR_FULL);
    assert_true(good > 10 && b.edge.applied.seq == good);
    down(&b);
    b.map = 64 << 20;                                           /* there is room again */
    up(&b);
    struct job job = { JOB_STORE, &last, b.edge.log.seq == good ? 1 : 0, UINT64_MAX };     /* or the log had it already */
    struct job_result res;
    edge_do(&b.edge, &job, &res, &b.fault);
    assert_int_equal(res.err, OK);
    assert_int_equal(res.applied.seq, good + 1);
    encoder_close(e);
    bytes_free(last);
    free(noise);
    bed_close(&b);
}

static void worker_does_the_same(void **state)
{
    struct bed b;
    struct edge_thread *w;
    struct job_result res;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 4, 1);
    assert_int_equal(edge_thread_open(&w, &b.edge), OK);
    assert_int_equal(edge_thread_take(w, &res, &b.fault), ERR_AGAIN);
    for (uint64_t seq = 1; seq <= 4; seq += 2) {
        struct bytes records[2] = { heap_copy(b.core.log[seq].ptr, b.core.log[seq].len),
                                    heap_copy(b.core.log[seq + 1].ptr, b.core.log[seq + 1].len) };
        struct job job = { JOB_STORE, records, 2, 9 };
        enum err err;
        assert_int_equal(edge_thread_begin(w, &job), OK);
        bytes_free(records[0]);                 /* they were copied */
        bytes_free(records[1]);
        while ((err = edge_thread_take(w, &res, &b.fault)) == ERR_AGAIN)
            usleep(200);
        assert_int_equal(err, OK);
        assert_int_equal(res.err, OK);
        assert_int_equal(res.applied.seq, seq + 1);
    }
    edge_thread_close(w);
    shows(&b, 4);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_become_data), cmocka_unit_test(parts_wait_for_the_last), cmocka_unit_test(held_back_by_release),
        cmocka_unit_test(log_ahead_is_applied_at_start), cmocka_unit_test(damaged_log_rows),
        cmocka_unit_test(machine_crash_throws_the_log_away), cmocka_unit_test(copy_and_flip), cmocka_unit_test(killed_while_copying),
        cmocka_unit_test(wrong_digest_changes_nothing), cmocka_unit_test(full_edge), cmocka_unit_test(worker_does_the_same),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
