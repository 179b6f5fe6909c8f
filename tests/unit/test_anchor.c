/* Soft commits: the machine stops at any write, and of what was not synced any pages have reached the disk; syncs fail; the process is
 * killed. What is found then is a state that the store had, whole, and not older than the last one that was settled. */
#include "store/internal.h"
#include "tests/unit/faulty_disk.h"

#include <fcntl.h>
#include <sys/file.h>

static uint64_t settled;            /* seq of the newest state that has to be on the disk */

static void open_soft(enum store_role role, uint64_t map)
{
    tmp_store_open(&t, role);
    store_close(t.s);
    t.options.volatile_data = false;
    t.options.soft = true;
    t.options.map_size = map;
    t.options.boot_id = "one";
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
}

/* The anchor moves by itself as well. */
static void note_settled(void)
{
    if (store_is_settled(t.s))
        settled = seq_now(t.s);
}
static void settle_now(void)
{
    assert_ok(store_settle(t.s, &t.fault), &t.fault);
    note_settled();
}

static enum err step(struct rnd *r)
{
    enum err err = change(r);
    if (err == OK)
        note_settled();
    if (err == OK && rnd_below(r, 12) == 0 && (err = store_settle(t.s, &t.fault)) == OK)
        note_settled();
    return err;
}

static char names[2][64];
static void disk_follow(void)
{
    struct store_figures f;
    assert_ok(store_figures(t.s, &f), NULL);
    snprintf(names[0], sizeof names[0], "data.%u/data.mdb", f.generation);
    snprintf(names[1], sizeof names[1], "data.%u/anchor", f.generation);
    disk_names[0] = names[0];
    disk_names[1] = names[1];
    disk_names[2] = store_role(t.s) == STORE_CORE ? "log/data.mdb" : NULL;
    disk_begin();
}

static uint64_t log_end(struct store *s)
{
    uint64_t first, last;
    assert_ok(log_range(s, &first, &last), NULL);
    return last;
}

/* What the next start, and a reader before it, find. */
static void found(const char *dir, const char *boot, uint64_t least, uint64_t most, bool reader_first, uint64_t seed)
{
    struct store_options o = t.options;
    struct store *s;
    o.dir = dir;
    o.boot_id = boot;
    if (reader_first) {
        o.mode = STORE_READ;
        if (store_open(&s, &o, &t.fault) != OK)
            fail_msg("seed %llu: a reader: %s", (unsigned long long)seed, t.fault.text);
        store_check(s);
        store_close(s);
        o.mode = STORE_WRITE;
    }
    if (store_open(&s, &o, &t.fault) != OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, t.fault.text);
    if (seq_now(s) < least || seq_now(s) > most)
        fail_msg("seed %llu: %llu is there, not %llu to %llu", (unsigned long long)seed, (unsigned long long)seq_now(s), (unsigned long long)least,
                 (unsigned long long)most);
    store_check(s);
    struct store *was = t.s;
    struct rnd r = rnd_seed(seed);
    t.s = s;
    for (unsigned i = 0; i < 3; i++)            /* it goes on, and keeps that */
        assert_ok(store_role(s) == STORE_CORE && log_end(s) > seq_now(s) ? OK : change(&r), &t.fault);
    uint64_t seq = seq_now(s);
    t.s = was;
    store_close(s);
    o.boot_id = "three";
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    assert_int_equal(seq_now(s), seq);
    store_check(s);
    store_close(s);
}

static void the_machine_stops_anywhere(void **state)
{
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    unsigned taken_back = 0;
    for (unsigned run = 0; run < 150; run++) {
        uint64_t seed = rnd_u64(&r), least = 0, told = 0;
        struct rnd own = rnd_seed(seed);
        char dir[PATH_MAX];
        disk_rnd = rnd_seed(seed + 1);
        open_soft(run % 2 == 0 ? STORE_EDGE : STORE_CORE, run % 3 == 0 ? (uint64_t)2 << 20 : (uint64_t)1 << 26);
        for (unsigned i = 4 + rnd_below(&own, 4); i > 0; i--)
            assert_ok(change(&own), &t.fault);
        settle_now();
        disk_follow();
        cut_in = 1 + rnd_below(&own, 400);
        for (unsigned i = 0; i < 60 && cut[0].bytes == NULL; i++) {
            least = settled;
            told = seq_now(t.s);
            assert_ok(step(&own), &t.fault);
        }
        if (cut[0].bytes == NULL) {
            least = settled;
            told = seq_now(t.s);
            power_goes();
        }
        after_power_loss(dir);
        struct store_options look = t.options;
        struct store *s;
        look.dir = dir;
        look.boot_id = "two";
        assert_ok(store_open(&s, &look, &t.fault), &t.fault);
        taken_back += seq_now(s) < told;
        if (store_role(s) == STORE_CORE && log_end(s) < told)
            fail_msg("seed %llu: the log ends before what was told", (unsigned long long)seed);
        if (store_role(s) == STORE_EDGE)
            assert_int_equal(log_end(s), 0);
        store_close(s);
        remove_tree(dir);
        after_power_loss(dir);
        found(dir, "two", least, told + 1, run % 4 < 2, seed);
        remove_tree(dir);
        disk_end();
        tmp_store_close(&t);
    }
    assert_true(taken_back > 10);       /* else nothing of this was looked at */
}

static void a_sync_fails(void **state)
{
    struct rnd r = rnd_seed(*(uint64_t *)*state + 7);
    unsigned anew = 0, failures = 0;
    for (unsigned run = 0; run < 100; run++) {
        uint64_t seed = rnd_u64(&r);
        struct rnd own = rnd_seed(seed);
        char dir[PATH_MAX];
        disk_rnd = rnd_seed(seed + 1);
        open_soft(STORE_EDGE, (uint64_t)1 << 26);
        for (unsigned i = 4; i > 0; i--)
            assert_ok(change(&own), &t.fault);
        settle_now();
        disk_follow();
        calls = 0;
        fail_with = rnd_below(&own, 2) == 0 ? EIO : ENOSPC;
        fail_sync_only = rnd_below(&own, 2) == 0;
        fail_at = 1 + rnd_below(&own, fail_sync_only ? 4 : 60);
        enum err err = OK;
        for (unsigned i = 0; i < 60 && err == OK; i++)
            err = step(&own);
        uint64_t least = settled, most = seq_now(t.s) + 1;
        failures += err != OK;
        if (err != OK && change(&own) == OK) {          /* the next one shows what LMDB thinks of itself */
            store_check(t.s);                /* a write that failed: nothing happened */
            most++;
        } else if (err != OK) {
            struct store_figures after;
            assert_true(store_is_broken(t.s));
            store_close(t.s);
            assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
            assert_ok(store_figures(t.s, &after), NULL);
            anew += after.generation > 1;       /* else LMDB could not write: what it wrote before is not in doubt */
            if (seq_now(t.s) < least || seq_now(t.s) > most || (after.generation == 1 && seq_now(t.s) + 1 < most))
                fail_msg("seed %llu: generation %u has %llu, not %llu to %llu", (unsigned long long)seed, after.generation,
                         (unsigned long long)seq_now(t.s), (unsigned long long)least, (unsigned long long)most);
            store_check(t.s);
            disk_end();
            settled = least = seq_now(t.s);     /* the new generation is on the disk */
            assert_ok(change(&own), &t.fault);
            settle_now();
            disk_follow();
            assert_ok(change(&own), &t.fault);
            least = settled;
            most = seq_now(t.s);
        }
        power_goes();
        after_power_loss(dir);
        found(dir, "two", least, most, false, seed);
        remove_tree(dir);
        disk_end();
        tmp_store_close(&t);
    }
    assert_true(anew > 5 && failures > anew);
}

static void a_process_ends(void **state)
{
    static const struct { const char *why; bool orderly; const char *boot; bool all; } rows[] = {
        { "closed: all is on the disk", true, "two", true },
        { "killed: the kernel has what it wrote", false, "one", true },
        { "killed, then the machine stopped: what was settled", false, "two", false },
    };
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    for (size_t i = 0; i < ROWS(rows); i++) {
        char dir[PATH_MAX];
        disk_rnd = rnd_seed(i);
        open_soft(STORE_EDGE, (uint64_t)1 << 26);
        for (unsigned k = 0; k < 9 || store_is_settled(t.s); k++) {     /* one that makes the namespace is synced */
            assert_ok(change(&r), &t.fault);
            note_settled();
        }
        uint64_t all = seq_now(t.s);
        if (rows[i].orderly)
            tmp_store_reopen(&t);
        tmp_folder(dir);
        copy_tree(t.dir, dir);
        found(dir, rows[i].boot, rows[i].all ? all : settled, rows[i].all ? all : settled, true, i);
        remove_tree(dir);
        tmp_store_close(&t);
    }
}

/* It has to be told of, not answered from. */
static void a_reader_waits_for_the_writer(void **state)
{
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    struct store_options o;
    struct store *s;
    char dir[PATH_MAX], lock[PATH_MAX];
    open_soft(STORE_EDGE, (uint64_t)1 << 26);
    for (unsigned k = 0; k < 5; k++)
        assert_ok(change(&r), &t.fault);
    tmp_folder(dir);
    copy_tree(t.dir, dir);
    o = t.options;
    o.dir = dir;
    o.mode = STORE_READ;
    o.boot_id = "two";
    path_of(lock, dir, "writer.lock");
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
    assert_int_equal(store_open(&s, &o, &t.fault), ERR_NOTNOW);
    assert_non_null(strstr(t.fault.text, "the machine stopped while it was written"));
    (void)close(fd);
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    store_check(s);
    store_close(s);
    remove_tree(dir);
    tmp_store_close(&t);
}

/* Soft commits keep pages from being used again: that must not make a map full, nor a file large. */
static void files_stay_small(void **state)
{
    static const struct { uint64_t map, most; } rows[] = { { (uint64_t)1 << 20, (uint64_t)1 << 20 }, { (uint64_t)1 << 26, (uint64_t)24 << 20 } };
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct store_figures f;
        open_soft(STORE_EDGE, rows[i].map);
        for (unsigned k = 0; k < 3000; k++) {
            char key[8], value[100];
            (void)snprintf(key, sizeof key, "%u", rnd_below(&r, 100));
            memset(value, (int)rnd_below(&r, 256), sizeof value);
            struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(value, sizeof value) };
            tmp_store_commit(&t, &op, 1);
        }
        assert_ok(store_figures(t.s, &f), NULL);
        if (f.used_bytes > rows[i].most)
            fail_msg("map of %llu: the file has %llu bytes", (unsigned long long)rows[i].map, (unsigned long long)f.used_bytes);
        assert_int_equal(f.readers, 0);         /* the pin is none */
        assert_int_equal(f.oldest_reader, 0);
        store_check(t.s);
        tmp_store_close(&t);
    }
}

/* The core's newest epoch is looked for in the data, and a data file may never be without it. */
static void an_epoch_is_on_the_disk(void **state)
{
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    struct store_txn *x;
    struct head h;
    struct signed_head sh;
    struct op op = op_put("kv", "epoch", "2");
    open_soft(STORE_CORE, (uint64_t)1 << 26);
    for (unsigned k = 0; k < 5; k++)
        assert_ok(change(&r), &t.fault);
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
    head_make(t.s, x, 2, seq_now(t.s) + 1, &h, &sh);
    assert_false(store_is_settled(t.s));
    assert_ok(store_commit(x, &h, &sh, &t.fault), &t.fault);
    assert_true(store_is_settled(t.s));
    tmp_store_close(&t);
}

int main(void)
{
    uint64_t seed = seed_from_env((uint64_t)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(the_machine_stops_anywhere, &seed), cmocka_unit_test_prestate(a_sync_fails, &seed),
        cmocka_unit_test_prestate(a_process_ends, &seed), cmocka_unit_test_prestate(a_reader_waits_for_the_writer, &seed),
        cmocka_unit_test_prestate(files_stay_small, &seed), cmocka_unit_test_prestate(an_epoch_is_on_the_disk, &seed),
    };
    (void)printf("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests_name("anchor", tests, NULL, NULL);
}
