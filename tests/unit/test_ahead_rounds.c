/* Rounds of the file ahead of the log: it fills, is settled and begun anew, with cuts, kills and large transactions in between. */
#include "tests/unit/ahead_bed.h"

#include <unistd.h>

/* What the log must have: for each seq, who made it; and the extras since the newest checkpoint. */
struct model { uint64_t id[4000], last, next_id; char extras[4096]; };
struct older { char path[PATH_MAX + 32]; } older[300];
static size_t older_n;                  /* states that the log's file may go back to: since the newest synced one */

static void older_add(void)
{
    char from[PATH_MAX + 16];
    assert_true(older_n < ROWS(older));
    snprintf(from, sizeof from, "%s/log/data.mdb", t.dir);
    snprintf(older[older_n].path, sizeof older[0].path, "%s-old.%zu", t.dir, older_n);
    copy_file(from, older[older_n++].path);
}
static void older_drop(void)
{
    for (size_t i = 0; i < older_n; i++)
        assert_int_equal(unlink(older[i].path), 0);
    older_n = 0;
}

static void want(void *arg) { (void)arg; }          /* this thread reads, too: nobody waits */
static struct log_txn *append_to(struct model *m, struct rnd *r, size_t most, bool join)
{
    static uint8_t record[200000];
    struct log_txn *l;
    size_t len = 8 + rnd_below(r, (uint32_t)most);
    struct wr w = wr_over(record, 8);
    wr_u64(&w, ++m->next_id);
    memset(record + 8, (int)m->next_id, len - 8);
    m->id[++m->last] = m->next_id;
    assert_ok(join ? log_join(t.s, &l, &t.fault) : log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, m->last, bytes_of(record, len), &t.fault), &t.fault);
    return l;
}
static struct log_txn *append(struct model *m, struct rnd *r, size_t most) { return append_to(m, r, most, false); }
static void checkpoint(struct model *m)
{
    assert_ok(store_settle(t.s, &t.fault), &t.fault);
    log_ahead_anew(t.s);
    m->extras[0] = '\0';
    older_drop();
}
static void step_ahead(struct model *m, struct rnd *r)
{
    char with[24] = "";
    struct log_txn *l = append_to(m, r, rnd_below(r, 3) == 0 ? 190000 : 9000, rnd_below(r, 8) > 0);
    if (rnd_below(r, 3) > 0)
        snprintf(with, sizeof with, "x%d", (int)m->next_id);
    older_add();
    enum err err = log_ahead(l, bytes_of_text(with), &t.fault);
    assert_true(err == OK || err == ERR_LIMIT);
    assert_ok(rnd_below(r, 3) > 0 ? log_hold(l, &t.fault) : log_commit(l, &t.fault), &t.fault);
    if (err == ERR_LIMIT)
        older_drop();
    else
        snprintf(m->extras + strlen(m->extras), sizeof m->extras - strlen(m->extras), "%s%s", m->extras[0] != '\0' && with[0] != '\0' ? " " : "", with);
}
static void step_cut(struct model *m, struct rnd *r)
{
    struct log_txn *l = append(m, r, 5000);
    char with[24];
    snprintf(with, sizeof with, "x%d", (int)m->next_id);
    bool is_ahead = rnd_below(r, 2) == 0 && log_ahead(l, bytes_of_text(with), &t.fault) == OK;
    (void)is_ahead;
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_cut(l, --m->last, &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    older_drop();
}
/* One that comes to nothing; what it went on in was true. */
static void step_abort(struct model *m, struct rnd *r)
{
    bool held = log_is_held(t.s);
    log_abort(append_to(m, r, 9000, true));
    m->last--;
    assert_int_equal(log_is_behind(t.s), held);
    assert_ok(log_settle(t.s, &t.fault), &t.fault);
    if (held)
        older_drop();
}
static void step(struct model *m, struct rnd *r)
{
    switch (rnd_below(r, 16)) {
    case 0: assert_ok(log_commit(append(m, r, 20000), &t.fault), &t.fault); older_drop(); break;
    case 1: step_cut(m, r); break;
    case 2: tmp_store_reopen(&t); log_on_hold(t.s, want, NULL); break;      /* as behind a kill: the kernel has all */
    case 4: step_abort(m, r); break;
    case 3: checkpoint(m); break;
    default: step_ahead(m, r);
    }
    if (log_ahead_filled(t.s) && rnd_below(r, 2) == 0)
        checkpoint(m);
}
static void has_all(struct store *s, const struct model *m, uint64_t seed, unsigned at)
{
    static uint8_t buf[200000];
    struct log_reader *r;
    struct bytes got;
    uint64_t first, last;
    size_t want = strlen(m->extras);
    const char *is = extras(s);
    if (strlen(is) < want || strcmp(is + strlen(is) - want, m->extras) != 0)
        fail_msg("seed %d, step %u: extras are '%s', want '%s'", (int)seed, at, is, m->extras);
    assert_ok(log_reader_open(s, &r, NULL), NULL);
    assert_ok(log_reader_begin(r), NULL);
    assert_ok(log_reader_range(r, &first, &last), NULL);
    if (last != m->last)
        fail_msg("seed %d, step %u: the log ends at %d, not at %d", (int)seed, at, (int)last, (int)m->last);
    for (uint64_t seq = 1; seq <= last; seq++) {
        assert_ok(log_reader_get(r, seq, buf, sizeof buf, &got, NULL), NULL);
        struct rd in = rd_over(got);
        if (rd_u64(&in) != m->id[seq])
            fail_msg("seed %d, step %u: %d is another record", (int)seed, at, (int)seq);
    }
    log_reader_end(r);
    log_reader_close(r);
}

static void rounds(void **state)
{
    static struct model m;
    struct older now;
    char dir[PATH_MAX], to[PATH_MAX + 16];
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rnd r = rnd_seed(seed);
        m = (struct model){ .last = 0 };
        tmp_store_open(&t, STORE_CORE);
        log_on_hold(t.s, want, NULL);
        for (unsigned at = 0; at < 100; at++) {
            step(&m, &r);
            if (rnd_below(&r, 4) > 0)
                continue;
            older_add();                /* as it is */
            now = older[rnd_below(&r, (uint32_t)older_n)];
            tmp_folder(dir);
            copy_tree(t.dir, dir);
            snprintf(to, sizeof to, "%s/log/data.mdb", dir);
            copy_file(now.path, to);
            struct store_options o = t.options;
            struct store *s;
            o.dir = dir;
            assert_ok(store_open(&s, &o, &t.fault), &t.fault);
            has_all(s, &m, seed, at);
            gone(s, dir);
        }
        older_drop();
        tmp_store_close(&t);
    }
}

/* It is full: one says so in time, all goes on without it, and then with it again. */
static void a_full_file(void **state)
{
    struct rnd r = rnd_seed(7);
    static struct model m;
    struct log_txn *l;
    unsigned told = 0, went = 0;
    (void)state;
    m = (struct model){ .last = 0 };
    tmp_store_open(&t, STORE_CORE);
    assert_false(log_ahead_filled(t.s));
    for (;; went++) {
        told += log_ahead_filled(t.s);
        l = append(&m, &r, 190000);
        enum err err = log_ahead(l, (struct bytes){ 0 }, &t.fault);
        assert_ok(log_commit(l, &t.fault), &t.fault);
        if (err == ERR_LIMIT)
            break;
        assert_int_equal(err, OK);
    }
    assert_true(told > 3 && told < went);
    checkpoint(&m);
    assert_false(log_ahead_filled(t.s));
    l = append(&m, &r, 190000);
    assert_ok(log_ahead(l, bytes_of_text("new"), &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_string_equal(extras(t.s), "new");
    tmp_store_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds), cmocka_unit_test(a_full_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
