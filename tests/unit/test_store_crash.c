/* kill -9 at a random moment: what is found afterwards is the state after some commit, whole, and the log joins it. */
#include "tests/util_store.h"

#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 20

static struct tmp_store t;

/* One round of the caller's order: fill the data, commit the log, commit the data. */
static void change(struct rnd *r)
{
    static uint8_t value[6000];
    static const char *const spaces[] = { "dns", "kv", "other" };
    struct store_txn *x;
    struct log_txn *l;
    uint64_t first, last, seq = seq_now(t.s) + 1;
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    for (unsigned n = 1 + rnd_below(r, 40); n > 0; n--) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%03u", rnd_below(r, 400));
        memset(value, (int)rnd_below(r, 256), sizeof value);
        struct op op = { OP_PUT, bytes_of_text(spaces[rnd_below(r, 3)]), bytes_of_text(key),
                        bytes_of(value, rnd_below(r, 20) == 0 ? 6000 : rnd_below(r, 80)) };
        if (rnd_below(r, 4) == 0)
            op = (struct op){ OP_DEL, op.ns, op.key, { 0 } };
        assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
    }
    assert_ok(log_range(t.s, &first, &last), NULL);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    if (last >= seq)                            /* left by a crash between the two commits */
        assert_ok(log_cut(l, seq - 1, &t.fault), &t.fault);
    assert_ok(log_append(l, seq, bytes_of(value, 3000), &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_ok(commit_at(t.s, x, seq, &t.fault), &t.fault);
}

static void killed(void **state)
{
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    uint64_t seq = 0;
    tmp_store_open(&t, STORE_EDGE);
    t.options.volatile_data = false;            /* as it really runs */
    store_close(t.s);
    for (unsigned round = 0; round < ROUNDS; round++) {
        int status;
        uint64_t seed = rnd_u64(&r), first, last;
        bool wait = round % 4 != 0;             /* for its first commit; else it may be killed while it opens */
        int told[2];
        char byte;
        assert_int_equal(pipe(told), 0);
        (void)fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            struct rnd own = rnd_seed(seed);
            if (store_open(&t.s, &t.options, &t.fault) != OK)
                _exit(9);
            for (;;) {
                change(&own);
                if (write(told[1], "c", 1) != 1)
                    _exit(8);
            }
        }
        assert_true(!wait || read(told[0], &byte, 1) == 1);
        (void)usleep(rnd_below(&r, 30000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status))
            fail_msg("round %u: the child ended by itself: %x", round, (unsigned)status);
        assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
        store_check(t.s);
        uint64_t now = seq_now(t.s);
        assert_true(now >= seq + wait);         /* nothing committed is lost: the machine did not crash */
        seq = now;
        (void)close(told[0]);
        (void)close(told[1]);
        assert_ok(log_range(t.s, &first, &last), NULL);
        if (last != seq && last != seq + 1)     /* the log commits first, so it is ahead by one at most, never behind */
            fail_msg("round %u: log %llu..%llu, data %llu", round, (unsigned long long)first, (unsigned long long)last,
                     (unsigned long long)seq);
        assert_int_equal(first, last == 0 ? 0 : 1);
        change(&r);                             /* and it goes on */
        seq = seq_now(t.s);
        store_check(t.s);
        store_close(t.s);
    }
    remove_tree(t.dir);
}

int main(void)
{
    uint64_t seed = seed_from_env((uint64_t)getpid());
    (void)printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = { cmocka_unit_test_prestate(killed, &seed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
