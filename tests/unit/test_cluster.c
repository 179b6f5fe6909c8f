/* Orders about the whole cluster, given to the writing thread. */
#include <sodium.h>
#include <stdatomic.h>

#include "builder/core.h"
#include "builder/core_cluster.h"
#include "config/config.h"
#include "tests/unit/kv_bed.h"

struct bed {
    struct kv_bed kv;
    struct core core;
    struct config config;
    struct config_core config_core;
    struct core_cluster_result last;
    atomic_uint told;
    atomic_bool hold, ended;
};

static void on_ended(void *arg) { ((struct bed *)arg)->ended = true; }
static void on_told(void *arg, const struct core_cluster_result *r)
{
    struct bed *b = arg;
    b->last = *r;
    b->told++;
}
static void wait_told(struct bed *b, unsigned n)
{
    for (unsigned i = 0; b->told < n; i++) {
        if (i > 60000)
            fail_msg("told %u times, not %u", b->told, n);
        usleep(1000);
    }
}
static void wait_here(void *arg)
{
    struct bed *b = arg;
    while (b->hold)
        usleep(500);
}

static void bed_open(struct bed *b)
{
    memset(b, 0, sizeof *b);
    kv_bed_open(&b->kv, (uint64_t)64 << 20);
    b->config.core = &b->config_core;
    b->core.config = &b->config;
    b->core.committer = b->kv.committer;
    b->core.store = b->kv.store;
    assert_int_equal(keyring_open(&b->core.keyring, b->kv.dir, NULL), OK);
    assert_int_equal(queue_open(&b->core.queue, on_ended, b), OK);
}
static void bed_close(struct bed *b)
{
    queue_close(b->core.queue);
    keyring_close(b->core.keyring);
    kv_bed_close(&b->kv);
}

static void raises(void **state)
{
    struct bed b;
    struct head h;
    (void)state;
    bed_open(&b);
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text("a"), bytes_of_text("1") };
    uint64_t seq;
    assert_int_equal(commit_run(b.kv.committer, &op, 1, &seq, NULL), OK);
    b.hold = true;
    assert_int_equal(queue_push(b.core.queue, &(struct job){ wait_here, NULL, &b }, 0), OK);
    core_cluster_raise_epoch(&b.core, on_told, &b);
    core_cluster_raise_epoch(&b.core, on_told, &b);
    assert_int_equal(b.told, 0);                /* in turn */
    b.hold = false;
    wait_told(&b, 2);
    assert_true(b.last.err == OK && b.last.epoch == 3 && b.last.seq == 3);
    assert_int_equal(store_head(b.kv.store, &h, NULL), OK);
    assert_true(h.epoch == 3 && h.seq == 3 && h.keys == 1);
    assert_int_equal(b.kv.told, 3);             /* announced like any other change */
    bed_close(&b);
}

static void rotates(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b);
    core_cluster_rotate_key(&b.core, "test", on_told, &b);
    wait_told(&b, 1);
    assert_int_equal(b.last.err, ERR_NOTNOW);
    b.config_core.encrypt = true;
    core_cluster_rotate_key(&b.core, "test", on_told, &b);
    wait_told(&b, 2);
    assert_true(b.last.err == OK && b.last.key_id != 0);
    bed_close(&b);
}

static void while_ending(void **state)
{
    struct bed b;
    struct head h;
    (void)state;
    bed_open(&b);
    b.hold = true;
    assert_int_equal(queue_push(b.core.queue, &(struct job){ wait_here, NULL, &b }, 0), OK);
    core_cluster_raise_epoch(&b.core, on_told, &b);
    queue_stop(b.core.queue);
    core_cluster_raise_epoch(&b.core, on_told, &b);     /* comes too late */
    assert_int_equal(b.told, 1);
    assert_int_equal(b.last.err, ERR_NOTNOW);
    b.hold = false;
    queue_close(b.core.queue);                          /* waited in vain */
    b.core.queue = NULL;
    assert_int_equal(b.told, 2);
    assert_int_equal(b.last.err, ERR_NOTNOW);
    assert_int_equal(store_head(b.kv.store, &h, NULL), ERR_NOTFOUND);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(raises), cmocka_unit_test(rotates), cmocka_unit_test(while_ending) };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
