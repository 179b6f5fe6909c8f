/* Which records of a core bear the witness of the one before. */
#include "tests/util.h"

#include <sodium.h>
#include <string.h>

#include "replicator/commit.h"
#include "replicator/replay.h"
#include "tests/unit/replicator_dir.h"

struct core {
    char dir[256];
    struct node_key key;
    struct store *store;
    struct committer *committer;
};

static void core_up(struct core *c)
{
    struct fault fault = { .text = "" };
    struct store_options o = { .dir = c->dir, .mode = STORE_CREATE, .role = STORE_CORE, .boot_id = "boot", .volatile_data = true };
    if (store_open(&c->store, &o, &fault) != OK || commit_open(&c->committer, c->store, &c->key, NULL, NULL, &fault) != OK)
        fail_msg("%s", fault.text);
}
static void core_down(struct core *c)
{
    commit_close(c->committer);
    store_close(c->store);
}
static void core_init(struct core *c)
{
    struct fault fault = { .text = "" };
    *c = (struct core){ .store = NULL };
    dir_make(c->dir, sizeof c->dir, "witness");
    assert_int_equal(node_key_make(c->dir, false, &c->key, &fault), OK);
    assert_true(strlen(c->dir) + sizeof "/store" <= sizeof c->dir);
    strcat(c->dir, "/store");
    core_up(c);
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
static uint64_t run_ok(struct core *c, const struct op *ops, size_t n)
{
    struct fault fault = { .text = "" };
    uint64_t seq = 0;
    if (commit_run(c->committer, ops, n, &seq, &fault) != OK)
        fail_msg("%s", fault.text);
    return seq;
}

/* Each record names the one before it, also in one flush, behind a restart and in a new epoch; not the first of all, nor a part
 * behind the first, nor what follows a transaction of parts in the same flush: that is not signed yet. */
static void witnesses(void **state)
{
    static uint8_t noise[2 * RECORD_OPS_MAX];
    static const bool names[] = { [2] = true, [3] = true, [4] = true, [5] = true, [6] = true, [10] = true };
    struct core c;
    struct fault fault = { .text = "" };
    struct op one = put("a", "1"), two = put("b", "1"), three = put("c", "1"), four = put("d", "1"), last = put("f", "1"), end = put("g", "1");
    struct op parts[3] = { put("x", ""), put("y", ""), put("z", "") };
    struct replay r;
    struct record rec;
    uint64_t seq;
    uint8_t before[CHAIN_LEN] = { 0 };
    (void)state;
    core_init(&c);
    randombytes_buf(noise, sizeof noise);
    for (size_t i = 0; i < ROWS(parts); i++)
        parts[i].value = bytes_of(noise + i, STORE_VALUE_MAX - 100);
    assert_int_equal(run_ok(&c, &one, 1), 1);
    assert_int_equal(commit_stage(c.committer, &two, 1, &seq, &fault), OK);
    assert_int_equal(commit_stage(c.committer, &three, 1, &seq, &fault), OK);
    assert_int_equal(commit_flush(c.committer, &fault), OK);
    core_down(&c);
    core_up(&c);
    assert_int_equal(run_ok(&c, &four, 1), 4);
    assert_int_equal(commit_raise_epoch(c.committer, 0, &seq, &fault), OK);
    assert_int_equal(commit_stage(c.committer, parts, ROWS(parts), &seq, &fault), OK);
    assert_int_equal(seq, 8);
    assert_int_equal(run_ok(&c, &last, 1), 9);
    assert_int_equal(run_ok(&c, &end, 1), 10);
    assert_int_equal(replay_open(&r, c.store, c.key.pub, &fault), OK);
    for (seq = 1; seq < ROWS(names); seq++) {
        assert_int_equal(replay_record(&r, seq, &rec), OK);
        if (rec.has_witness != names[seq] || (rec.has_witness && memcmp(rec.witness, before, CHAIN_LEN) != 0))
            fail_msg("record %llu: its witness is %s", (unsigned long long)seq, rec.has_witness ? "wrong, or unasked for" : "missing");
        if (rec.has_head)
            record_witness(rec.chain, &rec.signed_head, before);
    }
    replay_close(&r);
    core_end(&c);
}

/* Signed in turn, a large group would keep its writer waiting: the rest is signed together, and names nothing. */
static void witnesses_of_a_large_group(void **state)
{
    enum { N = 80, IN_TURN = 64 };
    struct core c;
    struct fault fault = { .text = "" };
    char keys[N][8];
    struct replay r;
    struct record rec;
    uint64_t seq;
    (void)state;
    core_init(&c);
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%u", i);
        struct op op = put(keys[i], "1");
        assert_int_equal(commit_stage(c.committer, &op, 1, &seq, &fault), OK);
    }
    assert_int_equal(commit_flush(c.committer, &fault), OK);
    assert_int_equal(replay_open(&r, c.store, c.key.pub, &fault), OK);
    for (seq = 1; seq <= N; seq++) {
        assert_int_equal(replay_record(&r, seq, &rec), OK);
        assert_int_equal(record_verify(&rec, c.key.pub), OK);
        assert_int_equal(rec.has_witness, seq > 1 && seq <= IN_TURN + 1);
    }
    replay_close(&r);
    core_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(witnesses), cmocka_unit_test(witnesses_of_a_large_group) };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
