/* A restored core begins a new epoch: an edge that stands exactly there goes on, one that went further sees the fork.
 * And the edge's thread: a job that begins during a compaction waits for its end. */
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "replicator/commit.h"
#include "replicator/edge_thread.h"
#include "store/snapshot.h"
#include "tests/unit/replicator_dir.h"
#include "tests/util.h"

#define CHECK(call) check_at(call, &fault, __LINE__)
static void check_at(enum err err, const struct fault *fault, int line)
{
    if (err != OK)
        fail_msg("line %d: %s (%s)", line, fault_text(fault, err), err_text(err));
}

struct node { char dir[300]; struct store *store; struct committer *committer; };
static struct node_key key;
static struct fault fault;

static void node_open(struct node *n, const char *base, const char *name, enum store_role role, const uint8_t *cluster)
{
    (void)snprintf(n->dir, sizeof n->dir, "%s/%s", base, name);
    struct store_options o = { .dir = n->dir, .mode = STORE_CREATE, .role = role, .map_size = (uint64_t)1 << 28,
                               .boot_id = "boot", .volatile_data = true, .cluster = cluster };
    n->committer = NULL;
    CHECK(store_open(&n->store, &o, &fault));
}
static void node_close(struct node *n)
{
    commit_close(n->committer);
    store_close(n->store);
}
static void committer_open(struct node *n) { CHECK(commit_open(&n->committer, n->store, &key, NULL, NULL, &fault)); }

static void put(struct node *n, const char *name, const char *value)
{
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(name), bytes_of_text(value) };
    uint64_t seq;
    CHECK(commit_run(n->committer, &op, 1, &seq, &fault));
}

static int backup(struct node *n)
{
    struct snapshot_totals totals;
    struct view *v;
    int fd = memfd_create("backup", MFD_CLOEXEC);
    CHECK(view_open(n->store, &v, &fault));
    CHECK(view_begin(v));
    CHECK(snapshot_write(fd, v, store_role(n->store), NULL, 0, NULL, NULL, &totals, &fault));
    view_end(v);
    view_close(v);
    return fd;
}
static void restore(struct node *n, int fd)
{
    struct snapshot_reader *r;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    CHECK(snapshot_reader_open(&r, fd, &fault));
    CHECK(snapshot_load(n->store, r, NULL, NULL, NULL, &fault));
    snapshot_reader_close(r);
}
static struct head head_of(struct node *n)
{
    struct head h;
    CHECK(store_head(n->store, &h, NULL));
    return h;
}

/* What the core has behind the edge's position, as one job. */
static enum err edge_feed(struct edge *e, struct node *core)
{
    static uint8_t buf[8][RECORD_MAX];
    struct bytes records[8];
    struct log_reader *r;
    struct job_result res;
    uint64_t first, last;
    size_t n = 0, need;
    CHECK(log_reader_open(core->store, &r, &fault));
    CHECK(log_reader_begin(r));
    CHECK(log_reader_range(r, &first, &last));
    for (uint64_t seq = e->log.seq + 1 > first ? e->log.seq + 1 : first; seq <= last && n < 8; seq++, n++)
        CHECK(log_reader_get(r, seq, buf[n], RECORD_MAX, &records[n], &need));
    log_reader_end(r);
    log_reader_close(r);
    struct job job = { .kind = JOB_STORE, .records = records, .n = n, .apply_to = UINT64_MAX };
    edge_do(e, &job, &res, &fault);
    return res.err;
}

static void restored_core(void **state)
{
    (void)state;
    char base[256];
    struct node core, exact, ahead, again;
    struct edge e, f;
    dir_make(base, sizeof base, "epoch");
    CHECK(node_key_make(base, true, &key, &fault));
    node_open(&core, base, "core", STORE_CORE, NULL);
    committer_open(&core);
    put(&core, "a", "1");
    put(&core, "b", "2");
    uint8_t cluster[CLUSTER_LEN];
    memcpy(cluster, store_cluster(core.store), CLUSTER_LEN);
    node_open(&exact, base, "exact", STORE_EDGE, cluster);
    node_open(&ahead, base, "ahead", STORE_EDGE, cluster);
    CHECK(edge_open(&e, exact.store, key.pub, &fault));
    CHECK(edge_open(&f, ahead.store, key.pub, &fault));
    CHECK(edge_feed(&e, &core));
    int fd = backup(&core);
    put(&core, "c", "3");
    CHECK(edge_feed(&f, &core));
    assert_int_equal(e.applied.seq, 2);
    assert_int_equal(f.applied.seq, 3);

    /* into a new folder; a crash before the committer opens changes nothing about what it does then */
    node_open(&again, base, "again", STORE_CORE, cluster);
    restore(&again, fd);
    assert_int_equal(head_of(&again).epoch, 1);
    node_close(&again);
    node_open(&again, base, "again", STORE_CORE, NULL);
    committer_open(&again);
    struct head h = head_of(&again);
    assert_int_equal(h.epoch, 2);
    assert_int_equal(h.seq, 3);
    assert_memory_equal(h.digest, head_of(&exact).digest, DIGEST_LEN);
    /* only once */
    node_close(&again);
    node_open(&again, base, "again", STORE_CORE, NULL);
    committer_open(&again);
    assert_int_equal(head_of(&again).epoch, 2);
    put(&again, "d", "4");

    CHECK(edge_feed(&e, &again));
    assert_int_equal(e.applied.seq, 4);
    assert_int_equal(e.applied.epoch, 2);
    assert_memory_equal(head_of(&exact).digest, head_of(&again).digest, DIGEST_LEN);
    assert_int_not_equal(edge_feed(&f, &again), OK);        /* seq 4 of epoch 2 names another record 3 */
    assert_int_equal(f.applied.seq, 3);
    assert_int_equal(f.applied.epoch, 1);

    /* in place of what an epoch above the backup's wrote: above that, too */
    CHECK(commit_raise_epoch(again.committer, 8, &(uint64_t){ 0 }, &fault));
    assert_int_equal(head_of(&again).epoch, 9);
    put(&again, "e", "5");
    commit_close(again.committer);
    again.committer = NULL;
    restore(&again, fd);
    committer_open(&again);
    h = head_of(&again);
    assert_int_equal(h.epoch, 10);
    assert_int_equal(h.seq, 3);
    (void)close(fd);
    edge_close(&e);
    edge_close(&f);
    node_close(&again);
    node_close(&ahead);
    node_close(&exact);
    node_close(&core);
    dir_remove(base);
}

/* Raising is refused while something is staged by another way, and takes back what it began when it fails. */
static void raising(void **state)
{
    (void)state;
    char base[256];
    struct node core;
    uint64_t seq = 0;
    dir_make(base, sizeof base, "epoch");
    CHECK(node_key_make(base, true, &key, &fault));
    node_open(&core, base, "core", STORE_CORE, NULL);
    committer_open(&core);
    put(&core, "a", "1");
    assert_int_equal(commit_stage_epoch(core.committer, 1, &seq, &fault), ERR_NOTNOW);
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("b"), bytes_of_text("2") };
    CHECK(commit_stage(core.committer, &op, 1, &seq, &fault));
    assert_int_equal(commit_stage_epoch(core.committer, 2, &seq, &fault), ERR_NOTNOW);
    CHECK(commit_raise_epoch(core.committer, 0, &seq, &fault));     /* what was staged goes before it */
    assert_int_equal(seq, 3);
    assert_int_equal(head_of(&core).epoch, 2);
    assert_int_equal(head_of(&core).keys, 2);
    assert_int_equal(commit_epoch(core.committer), 2);
    node_close(&core);
    node_open(&core, base, "core", STORE_CORE, NULL);
    committer_open(&core);
    assert_int_equal(head_of(&core).seq, 3);
    put(&core, "c", "3");
    assert_int_equal(head_of(&core).epoch, 2);
    node_close(&core);
    dir_remove(base);
}

static void wait_for(struct edge_thread *w)
{
    struct pollfd p = { .fd = edge_thread_fd(w), .events = POLLIN };
    assert_int_equal(poll(&p, 1, 10000), 1);
}

static void compaction_and_jobs(void **state)
{
    (void)state;
    char base[256];
    struct node core, edge;
    struct edge e;
    struct edge_thread *w;
    struct edge_compacted c;
    struct job_result res;
    dir_make(base, sizeof base, "epoch");
    CHECK(node_key_make(base, true, &key, &fault));
    node_open(&core, base, "core", STORE_CORE, NULL);
    committer_open(&core);
    put(&core, "a", "1");
    node_open(&edge, base, "edge", STORE_EDGE, store_cluster(core.store));
    CHECK(edge_open(&e, edge.store, key.pub, &fault));
    CHECK(edge_feed(&e, &core));
    put(&core, "b", "2");
    static uint8_t buf[RECORD_MAX];
    struct bytes record;
    struct log_reader *r;
    size_t need;
    CHECK(log_reader_open(core.store, &r, &fault));
    CHECK(log_reader_begin(r));
    CHECK(log_reader_get(r, 2, buf, sizeof buf, &record, &need));
    log_reader_end(r);
    log_reader_close(r);
    CHECK(edge_thread_open(&w, &e));
    for (int round = 0; round < 2; round++) {
        struct job job = { .kind = JOB_STORE, .records = &record, .n = round == 0 ? 1 : 0, .apply_to = UINT64_MAX };
        bool compacted = false, done = false;
        edge_thread_compact(w);
        CHECK(edge_thread_begin(w, &job));
        while (!compacted || !done) {
            wait_for(w);
            bool now = edge_thread_compacted(w, &c);
            compacted = compacted || now;
            if (edge_thread_take(w, &res, &fault) == OK) {
                assert_true(compacted);
                done = true;
            }
        }
        CHECK(c.err);
        CHECK(res.err);
        assert_true(c.after > 0 && c.after <= c.before + 65536);
    }
    assert_int_equal(e.applied.seq, 2);
    assert_memory_equal(head_of(&edge).digest, head_of(&core).digest, DIGEST_LEN);
    CHECK(store_fresh_begin(edge.store, &fault));
    edge_thread_compact(w);
    wait_for(w);
    assert_true(edge_thread_compacted(w, &c));
    assert_int_equal(c.err, ERR_NOTNOW);
    store_fresh_drop(edge.store);
    edge_thread_close(w);
    edge_close(&e);
    node_close(&edge);
    node_close(&core);
    dir_remove(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restored_core),
        cmocka_unit_test(raising),
        cmocka_unit_test(compaction_and_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
