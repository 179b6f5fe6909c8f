/* kill -9 at a random moment of a writer: what is found afterwards is the state behind some commit, whole; rows, events and
 * counters are of the same one, and nothing that was told is lost. */
#include "tests/unit/source_bed.h"

#include "builder/rows.h"

#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 16
#define LARGE 60000         /* on pages of its own */

static struct source_bed bed = { .synced = true };

/* The n-th change: two rows and the event of one of them say n; the events of before go. */
static bool drop_event(void *arg, const struct event *e)
{
    uint64_t *number = arg;
    *number = e->number;
    return false;
}

static enum err change(struct source *s, uint64_t id, uint32_t n)
{
    static uint8_t large[LARGE];
    struct name a = name_of_text("a.x."), b = name_of_text("b.x."), apex = name_of_text("x.");
    struct row_rr rr = { .rdata = bytes_of(large, n % 5 == 0 ? LARGE : 4) };
    struct row row = { .owner = name_bytes(&a), .type = 16, .ttl = n, .rr = &rr, .n = 1 };
    uint8_t text[LARGE + 100];
    struct wr w = wr_over(text, sizeof text);
    struct event e = { .kind = EVENT_ROW, .apex = apex, .owner = name_bytes(&a), .type = 16 };
    struct source_txn *t;
    uint64_t done = 0;
    enum err err = source_begin(s, SOURCE_WRITE, &t, NULL);
    if (err != OK)
        return err;
    memset(large, (int)(n & 0xff), sizeof large);
    row_write(&w, &row);
    e.after = wr_done(&w);
    if ((err = source_events(t, 0, drop_event, &done)) == OK && done > 0)
        err = source_event_done(t, done, NULL);
    if (err == OK && (err = source_row_put(t, id, &row, NULL)) == OK) {
        row.owner = name_bytes(&b);
        err = source_row_put(t, id, &row, NULL);
    }
    if (err == OK)
        err = source_event_add(t, &e, NULL);
    if (err == OK)
        return source_commit(t, NULL);
    source_abort(t);
    return err;
}

struct found { struct arena arena; uint32_t ttl; size_t len; unsigned n; };
static bool on_event(void *arg, const struct event *e)
{
    struct found *f = arg;
    struct row row;
    f->n++;
    if (row_read(e->after, &f->arena, &row) != OK || row.n != 1)
        fail_msg("the event's row does not read");
    f->ttl = row.ttl;
    f->len = row.rr[0].rdata.len;
    return true;
}

/* The change that the state is behind; 0: none. */
static uint32_t state_of(uint64_t id)
{
    struct source_txn *t = txn_begin(bed.s, SOURCE_READ);
    struct found f = { .ttl = 0 };
    struct row a, b;
    struct name an = name_of_text("a.x."), bn = name_of_text("b.x.");
    uint32_t n = 0;
    arena_init(&f.arena);
    assert_int_equal(source_events(t, 0, on_event, &f), OK);
    if (source_row(t, id, name_bytes(&an), 16, 0, &a) == OK) {
        assert_int_equal(source_row(t, id, name_bytes(&bn), 16, 0, &b), OK);
        assert_int_equal(a.ttl, b.ttl);
        assert_int_equal(f.n, 1);
        assert_int_equal(f.ttl, a.ttl);
        assert_true(f.len == a.rr[0].rdata.len && bytes_equal(a.rr[0].rdata, b.rr[0].rdata));
        assert_int_equal(a.rr[0].rdata.ptr[f.len - 1], a.ttl & 0xff);
        n = a.ttl;
    }
    arena_release(&f.arena);
    source_abort(t);
    return n;
}

static void child(uint64_t id, uint32_t n, int told)
{
    struct recordbook_options o = { .dir = bed.dir };
    struct source *s;
    if (recordbook_open(&s, &o, NULL) != OK)
        _exit(9);
    for (;; n++)
        if (change(s, id, n) != OK || write(told, &n, sizeof n) != sizeof n)
            _exit(8);
}

static void killed(void **state)
{
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    source_bed_open(&bed);
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    uint64_t id = zone_make(t, "x.", "{}");
    uint32_t at = 0;
    txn_commit(t);
    source_close(bed.s);
    for (unsigned round = 0; round < ROUNDS; round++) {
        int told[2], status;
        uint32_t last = at, n;
        bool wait = round % 4 != 0;             /* for its first commit; else it may be killed while it opens */
        assert_int_equal(pipe(told), 0);
        (void)fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
            child(id, at + 1, told[1]);
        (void)close(told[1]);
        assert_true(!wait || read(told[0], &last, sizeof last) == sizeof last);
        (void)usleep(rnd_below(&r, 20000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status))
            fail_msg("round %u: the child ended by itself: %x", round, (unsigned)status);
        while (read(told[0], &n, sizeof n) == sizeof n)
            last = n;
        (void)close(told[0]);
        source_bed_open(&bed);
        at = state_of(id);
        if (at != last && at != last + 1)
            fail_msg("round %u: told %u, found %u", round, last, at);
        assert_int_equal(change(bed.s, id, ++at), OK);          /* and it goes on */
        assert_int_equal(state_of(id), at);
        source_close(bed.s);
    }
    remove_tree(bed.dir);
}

int main(void)
{
    uint64_t seed = seed_from_env((uint64_t)getpid());
    (void)printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = { cmocka_unit_test_prestate(killed, &seed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
