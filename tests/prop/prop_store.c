/* Random transactions against a plain sorted array: entries, digest, counts, ring and cursors agree after each commit,
 * abort, re-opening and change of generation. AZOTH_SEED repeats a run, AZOTH_ROUNDS makes it longer. */
#include "tests/util_store.h"

#define KEYS 300            /* few, so that puts meet keys that are there */
#define SPACES 3
#define OPS_MAX 120

static const char *const spaces[SPACES] = { "dns", "a.b-c_d", "zz" };

struct item { bool there; size_t len; uint8_t fill; };
struct model { struct item item[SPACES][KEYS]; };
struct change { size_t ns, key; };

static struct tmp_store t;
static struct model now, before;        /* as committed last; as it was one commit earlier */
static bool touched[SPACES][KEYS];

/* Key k of a namespace: lengths from 1 to 510, ascending with k. */
static struct bytes key_of(size_t k, uint8_t buf[STORE_KEY_MAX])
{
    size_t len = 2 + (k * 37) % 25 + (k % 50 == 7 ? 480 : 0);
    memset(buf, 'k', len);
    buf[0] = (uint8_t)(1 + k / 200);
    buf[1] = (uint8_t)(k % 200);
    return bytes_of(buf, len > STORE_KEY_MAX ? STORE_KEY_MAX : len);
}

static struct bytes value_of(const struct item *i, uint8_t *buf)
{
    memset(buf, i->fill, i->len);
    return bytes_of(buf, i->len);
}

static size_t length_drawn(struct rnd *r)
{
    uint32_t kind = rnd_below(r, 100);
    return kind < 85 ? rnd_below(r, 60) : kind < 97 ? rnd_below(r, 2500) : rnd_below(r, 30000);
}

/* A random op on the model, and the same as an op. */
static struct op op_drawn(struct rnd *r, struct model *m, size_t ns, size_t k, uint8_t *keybuf, uint8_t *valbuf)
{
    struct item *i = &m->item[ns][k];
    struct op op = { OP_DEL, bytes_of_text(spaces[ns]), key_of(k, keybuf), { 0 } };
    touched[ns][k] = true;
    if (rnd_below(r, 3) == 0) {
        i->there = false;
        return op;
    }
    if (!i->there || rnd_below(r, 4) != 0)              /* else: the same again */
        *i = (struct item){ true, length_drawn(r), (uint8_t)rnd_below(r, 4) };
    op.kind = OP_PUT;
    op.value = value_of(i, valbuf);
    return op;
}

static void apply_some(struct rnd *r, struct store_txn *x, struct model *m)
{
    static uint8_t keys[OPS_MAX][STORE_KEY_MAX], values[OPS_MAX][30000];
    struct op ops[OPS_MAX];
    size_t n = rnd_below(r, 5) == 0 ? OPS_MAX : 1 + rnd_below(r, 12), ns = rnd_below(r, SPACES), k = rnd_below(r, KEYS);
    bool ascending = rnd_below(r, 3) == 0;
    for (size_t i = 0; i < n; i++) {
        if (rnd_below(r, 10) == 0)
            ns = rnd_below(r, SPACES);
        k = ascending ? (k + 1) % KEYS : rnd_below(r, KEYS);
        ops[i] = op_drawn(r, m, ns, k, keys[i], values[i]);
    }
    assert_ok(store_apply(x, ops, n, &t.fault), &t.fault);
    if (rnd_below(r, 4) == 0) {                         /* twice equals once, where nothing came after */
        struct store_state one, two;
        store_state(x, &one);
        assert_ok(store_apply(x, &ops[n - 1], 1, &t.fault), &t.fault);
        store_state(x, &two);
        assert_memory_equal(&one, &two, sizeof one);
    }
}

/* --- checks ------------------------------------------------------------------------------------------------------- */
static void check_entries(struct view *v, const struct model *m, struct rnd *r)
{
    static uint8_t kb[STORE_KEY_MAX], vb[30000];
    struct digest d = { { 0 } }, lanes;
    uint64_t keys = 0, bytes = 0;
    struct head h;
    for (size_t ns = 0; ns < SPACES; ns++) {
        struct cursor *c;
        struct entry e = { { 0 }, { 0 } };
        enum err err;
        assert_ok(cursor_open(v, bytes_of_text(spaces[ns]), &c), NULL);
        err = cursor_seek(c, bytes_of_text(""), &e);
        for (size_t k = 0; k < KEYS; k++) {
            struct bytes got, key = key_of(k, kb), want = value_of(&m->item[ns][k], vb);
            bool one = rnd_below(r, 20) == 0;
            if (one)
                assert_int_equal(view_get(v, bytes_of_text(spaces[ns]), key, &got),
                                 m->item[ns][k].there ? OK : ERR_NOTFOUND);
            if (!m->item[ns][k].there)
                continue;
            assert_int_equal(err, OK);
            assert_true(bytes_equal(e.key, key) && bytes_equal(e.value, want));
            assert_true(!one || bytes_equal(got, want));
            digest_add(&d, bytes_of_text(spaces[ns]), key, want);
            keys++;
            bytes += key.len + want.len;
            err = cursor_next(c, &e);
        }
        assert_int_equal(err, ERR_NOTFOUND);
        cursor_close(c);
    }
    assert_ok(view_digest(v, &lanes), NULL);
    assert_memory_equal(&lanes, &d, sizeof d);
    assert_ok(view_head(v, &h, NULL), NULL);
    assert_int_equal(h.keys, keys);
    assert_int_equal(h.bytes, bytes);
}

/* A seek lands on the first key not below, and its neighbours are the model's. */
static void check_seeks(struct view *v, const struct model *m, struct rnd *r)
{
    static uint8_t kb[STORE_KEY_MAX], pb[STORE_KEY_MAX];
    for (int n = 0; n < 10; n++) {
        size_t ns = rnd_below(r, SPACES), k = rnd_below(r, KEYS), at = k, back = k;
        struct cursor *c;
        struct entry e;
        while (at < KEYS && !m->item[ns][at].there)
            at++;
        while (back > 0 && !m->item[ns][back - 1].there)
            back--;
        assert_ok(cursor_open(v, bytes_of_text(spaces[ns]), &c), NULL);
        enum err err = cursor_seek(c, key_of(k, kb), &e);
        assert_int_equal(err, at < KEYS ? OK : ERR_NOTFOUND);
        assert_true(err != OK || bytes_equal(e.key, key_of(at, pb)));
        err = cursor_prev(c, &e);
        assert_int_equal(err, back > 0 ? OK : ERR_NOTFOUND);
        assert_true(err != OK || bytes_equal(e.key, key_of(back - 1, pb)));
        cursor_close(c);
    }
}

struct ring_seen { bool many[SPACES]; uint8_t mark[SPACES][KEYS]; };

static size_t space_of(struct bytes ns)
{
    size_t i = 0;
    while (!bytes_equal(ns, bytes_of_text(spaces[i])))
        if (++i == SPACES)
            fail_msg("a namespace that nobody wrote");
    return i;
}
static void on_touched(void *arg, struct bytes ns, struct bytes key, enum ring_mark mark)
{
    struct ring_seen *s = arg;
    assert_true(key.len >= 2);
    s->mark[space_of(ns)][(size_t)(key.ptr[0] - 1) * 200 + key.ptr[1]] = (uint8_t)mark;
}
static void on_many(void *arg, struct bytes ns)
{
    struct ring_seen *s = arg;
    s->many[space_of(ns)] = true;
}

/* Every difference between the last two states is in the ring with its mark; nothing untouched is. */
static void check_ring(struct view *v, uint64_t seq)
{
    static struct ring_seen s;
    struct ring_visit visit = { &s, on_touched, on_many };
    memset(&s, 0, sizeof s);
    assert_ok(view_ring(v, seq - 1, &visit), NULL);
    for (size_t ns = 0; ns < SPACES; ns++) {
        for (size_t k = 0; k < KEYS && !s.many[ns]; k++) {
            const struct item *a = &before.item[ns][k], *b = &now.item[ns][k];
            bool same = a->there == b->there && (!a->there ||
                                                 (a->len == b->len && (a->len == 0 || a->fill == b->fill)));
            uint8_t want = !a->there ? (b->there ? RING_APPEARED : 0) : b->there ? RING_CHANGED : RING_VANISHED;
            if (!same ? s.mark[ns][k] != want : (s.mark[ns][k] != 0 && (!touched[ns][k] || s.mark[ns][k] != want)))
                fail_msg("seq %llu, %s key %zu: mark %u, want %u", (unsigned long long)seq, spaces[ns], k,
                         s.mark[ns][k], want);
        }
    }
}

static void check(struct rnd *r, bool ring)
{
    struct view *v;
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    check_entries(v, &now, r);
    check_seeks(v, &now, r);
    if (ring)
        check_ring(v, seq_now(t.s));
    view_end(v);
    view_close(v);
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */
static void round_of_changes(struct rnd *r)
{
    struct model next = now;
    struct store_txn *x;
    memset(touched, 0, sizeof touched);
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    for (uint32_t n = rnd_below(r, 4); n-- > 0;)
        apply_some(r, x, &next);
    if (rnd_below(r, 6) == 0) {
        store_abort(x);
        if (seq_now(t.s) > 0)
            check(r, false);
        return;
    }
    assert_ok(commit_at(t.s, x, seq_now(t.s) + 1, &t.fault), &t.fault);
    before = now;
    now = next;
    check(r, true);
}

/* The whole content into a fresh generation, in order: same digest. */
static void round_of_copying(struct rnd *r)
{
    static uint8_t kb[STORE_KEY_MAX], vb[30000];
    uint64_t seq = seq_now(t.s);
    struct store_state was, is;
    struct store_txn *x;
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    store_state(x, &was);
    store_abort(x);
    assert_ok(store_fresh_begin(t.s, &t.fault), &t.fault);
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    for (size_t ns = 0; ns < SPACES; ns++) {
        for (size_t k = 0; k < KEYS; k++) {
            const struct item *i = &now.item[ns][k];
            struct op op = { OP_PUT, bytes_of_text(spaces[ns]), key_of(k, kb), value_of(i, vb) };
            if (i->there)
                assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
        }
    }
    store_state(x, &is);
    assert_memory_equal(&was, &is, sizeof was);
    assert_ok(commit_at(t.s, x, seq, &t.fault), &t.fault);
    assert_ok(store_fresh_flip(t.s, &t.fault), &t.fault);
    check(r, false);
}

static void random_changes(void **state)
{
    struct rnd r = rnd_seed(*(uint64_t *)*state);
    const char *text = getenv("AZOTH_ROUNDS");
    unsigned long rounds = text != NULL ? strtoul(text, NULL, 10) : 200;
    tmp_store_open(&t, STORE_CORE);
    for (unsigned long i = 0; i < rounds; i++) {
        uint32_t kind = rnd_below(&r, 30);
        if (kind == 0)
            tmp_store_reopen(&t);
        if (kind == 1 && seq_now(t.s) > 0)
            round_of_copying(&r);
        else
            round_of_changes(&r);
    }
    tmp_store_close(&t);
}

int main(void)
{
    uint64_t seed = seed_from_env((uint64_t)getpid());
    (void)printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = { cmocka_unit_test_prestate(random_changes, &seed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
