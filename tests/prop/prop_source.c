/* The embedded source against a model in memory: random changes in transactions that are committed or aborted, openings in
 * between, sweeps in small pieces; the whole state is compared after each transaction. */
#include "tests/unit/source_bed.h"

#include "builder/rows.h"

#define ZONES_N 5
#define OWNERS_N 9
#define TYPES_N 5
#define EVENTS_MAX 24
#define STEPS 1200

static const char *const apexes[ZONES_N] = { ".", "example.com.", "a.example.com.", "\\000.example.com.", "z." };
static const char *const labels[OWNERS_N] = { "", "a.", "*.", "b.a.", "\\001\\000.", "A-b.", "zz.", "\\255.", "b." };
static const struct { uint16_t type, covers; } types[TYPES_N] = { { 1, 0 }, { 46, 1 }, { 46, 0x7f01 }, { 257, 0 }, { 65280, 0 } };

struct rows { uint32_t at[OWNERS_N][TYPES_N]; };        /* what a row says; 0: there is none */
struct model {
    bool zone[ZONES_N];
    uint64_t id[ZONES_N];
    uint32_t settings[ZONES_N];
    struct rows rows[ZONES_N];
    uint32_t key[ZONES_N];                              /* under the zones' names */
    struct { uint64_t number; uint32_t says; } event[EVENTS_MAX];
    unsigned events;
    uint64_t last_event;
};
static struct source_bed bed;
static struct rnd rnd;
static uint32_t says;                                   /* one more for each thing said */

static struct name owner_of(unsigned zone, unsigned owner)
{
    char text[NAME_TEXT_MAX];
    (void)snprintf(text, sizeof text, "%s%s", labels[owner], owner > 0 && zone == 0 ? "" : apexes[zone]);
    return name_of_text(text);
}

/* A row that is made of one number: its records' count, lengths and bytes, TTL and comments follow from it. */
static struct row row_of(struct arena *a, uint32_t n, struct bytes owner, unsigned type)
{
    struct row_rr *rr = arena_take(a, 4 * sizeof *rr);
    struct comment *c = arena_take(a, sizeof *c);
    size_t len = n % 13 == 0 ? 5000 : n % 7;
    uint8_t *data = arena_take(a, len + 1);
    memset(data, (int)(n & 0xff), len + 1);
    for (unsigned i = 0; i < 4; i++)
        rr[i] = (struct row_rr){ bytes_of(data, len + (i == 0)), (n >> i & 1) != 0 };
    *c = (struct comment){ bytes_of("why it is so", n % 5), bytes_of_text("ops"), n };
    return (struct row){ .owner = owner, .type = types[type].type, .covers = types[type].covers, .ttl = n, .modified_s = (uint64_t)n << 20,
                         .rr = rr, .n = n % 4 + 1, .comments = c, .comments_n = n % 3 == 0 };
}

static void row_equal(const struct row *a, const struct row *b)
{
    assert_true(name_equal(a->owner, b->owner) && name_is_lower(a->owner));
    assert_true(a->type == b->type && a->covers == b->covers && a->ttl == b->ttl && a->modified_s == b->modified_s);
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++)
        assert_true(bytes_equal(a->rr[i].rdata, b->rr[i].rdata) && a->rr[i].disabled == b->rr[i].disabled);
    assert_int_equal(a->comments_n, b->comments_n);
    for (size_t i = 0; i < a->comments_n; i++)
        assert_true(bytes_equal(a->comments[i].text, b->comments[i].text) && a->comments[i].modified_s == b->comments[i].modified_s);
}

static struct zone_row zone_of(const struct model *m, unsigned zone, char text[32])
{
    (void)snprintf(text, 32, "{\"created\":%u}", m->settings[zone]);
    return (struct zone_row){ .apex = name_of_text(apexes[zone]), .id = m->id[zone], .settings = bytes_of_text(text) };
}

/* --- changes ---------------------------------------------------------------------------------------------------------- */
static void put_row(struct source_txn *t, struct model *m, unsigned zone, uint64_t id, bool gone)
{
    unsigned owner = rnd_below(&rnd, OWNERS_N), type = rnd_below(&rnd, TYPES_N);
    struct name name = owner_of(zone, owner);
    struct arena a;
    arena_init(&a);
    uint32_t n = ++says;
    struct row row = row_of(&a, n, name_bytes(&name), type);
    if (gone)
        row.n = row.comments_n = 0;
    assert_int_equal(source_row_put(t, id, &row, NULL), OK);
    m->rows[zone].at[owner][type] = gone ? 0 : n;
    arena_release(&a);
}

static void put_zone(struct source_txn *t, struct model *m, unsigned zone, bool fresh)
{
    char text[32];
    m->settings[zone] = ++says;
    if (fresh || !m->zone[zone]) {
        assert_int_equal(source_fresh_id(t, &m->id[zone], NULL), OK);
        memset(&m->rows[zone], 0, sizeof m->rows[zone]);
        for (unsigned i = rnd_below(&rnd, 12); i > 0; i--)
            put_row(t, m, zone, m->id[zone], false);
    }
    struct zone_row z = zone_of(m, zone, text);
    assert_int_equal(source_zone_put(t, &z, NULL), OK);
    m->zone[zone] = true;
}

static void put_event(struct source_txn *t, struct model *m)
{
    uint8_t text[4];
    struct wr w = wr_over(text, sizeof text);
    if (m->events == EVENTS_MAX)
        return;
    wr_u32(&w, ++says);
    struct name apex = name_of_text(apexes[rnd_below(&rnd, ZONES_N)]);
    struct event e = { .kind = EVENT_ROW, .apex = apex, .owner = name_bytes(&apex), .type = 1, .before = wr_done(&w), .author = wr_done(&w) };
    assert_int_equal(source_event_add(t, &e, NULL), OK);
    assert_true(e.number > m->last_event);
    m->last_event = e.number;
    m->event[m->events].number = e.number;
    m->event[m->events++].says = says;
}

static void end_event(struct source_txn *t, struct model *m)
{
    unsigned i = rnd_below(&rnd, m->events);
    if (m->events == 0)
        return;
    assert_int_equal(source_event_done(t, m->event[i].number, NULL), OK);
    m->events--;
    memmove(&m->event[i], &m->event[i + 1], (m->events - i) * sizeof m->event[0]);
}

static void put_key(struct source_txn *t, struct model *m, unsigned i)
{
    struct tsig_key_row k = { .name = name_of_text(apexes[i]), .algorithm = bytes_of_text("hmac-sha256") };
    uint32_t n = ++says;
    if (m->key[i] != 0 && rnd_below(&rnd, 2) == 0) {
        assert_int_equal(source_tsig_del(t, name_bytes(&k.name), NULL), OK);
        m->key[i] = 0;
        return;
    }
    k.secret = bytes_of(&n, sizeof n);
    assert_int_equal(source_tsig_put(t, &k, NULL), OK);
    m->key[i] = n;
}

static void sweep(struct source_txn *t)
{
    bool left;
    assert_int_equal(source_sweep(t, rnd_below(&rnd, 6), &left, NULL), OK);
}

static void change(struct source_txn *t, struct model *m)
{
    unsigned zone = rnd_below(&rnd, ZONES_N);
    uint64_t id;
    switch (rnd_below(&rnd, 12)) {
    case 0: put_zone(t, m, zone, true); break;
    case 1: put_zone(t, m, zone, false); break;
    case 2:
        if (m->zone[zone])
            assert_int_equal(source_zone_del(t, name_bytes(&(struct name){ 0 }), NULL), ERR_SHORT);
        if (m->zone[zone] && rnd_below(&rnd, 2) == 0) {
            struct name apex = name_of_text(apexes[zone]);
            assert_int_equal(source_zone_del(t, name_bytes(&apex), NULL), OK);
            m->zone[zone] = false;
            memset(&m->rows[zone], 0, sizeof m->rows[zone]);
        }
        break;
    case 3: put_event(t, m); break;
    case 4: end_event(t, m); break;
    case 5: put_key(t, m, zone); break;
    case 6: sweep(t); break;
    case 7:                                     /* an import that comes to nothing */
        assert_int_equal(source_fresh_id(t, &id, NULL), OK);
        struct model no = *m;
        put_row(t, &no, zone, id, false);
        if (rnd_below(&rnd, 2) == 0)
            assert_int_equal(source_drop_id(t, id, NULL), OK);
        break;
    default:
        if (m->zone[zone])
            put_row(t, m, zone, m->id[zone], rnd_below(&rnd, 3) == 0);
    }
}

/* --- the whole state ---------------------------------------------------------------------------------------------------- */
struct walk { const struct model *m; unsigned zone, n; struct name before; };

static bool on_row(void *arg, const struct row *row)
{
    struct walk *w = arg;
    struct arena a;
    bool found = false;
    arena_init(&a);
    assert_true(w->n == 0 || name_compare(name_bytes(&w->before), row->owner) <= 0);
    w->before.len = (uint8_t)row->owner.len;
    memcpy(w->before.wire, row->owner.ptr, row->owner.len);
    for (unsigned o = 0; o < OWNERS_N; o++) {
        struct name name = owner_of(w->zone, o);
        for (unsigned k = 0; k < TYPES_N; k++) {
            uint32_t n = w->m->rows[w->zone].at[o][k];
            if (n == 0 || !name_equal(name_bytes(&name), row->owner) || types[k].type != row->type || types[k].covers != row->covers)
                continue;
            struct row want = row_of(&a, n, name_bytes(&name), k);
            row_equal(row, &want);
            found = true;
        }
    }
    assert_true(found);
    w->n++;
    arena_release(&a);
    return true;
}

static void compare_zone(struct source_txn *t, const struct model *m, unsigned zone)
{
    struct name apex = name_of_text(apexes[zone]);
    struct zone_row got;
    char text[32];
    enum err err = source_zone(t, name_bytes(&apex), &got);
    if (!m->zone[zone]) {
        assert_int_equal(err, ERR_NOTFOUND);
        return;
    }
    assert_int_equal(err, OK);
    struct zone_row want = zone_of(m, zone, text);
    assert_int_equal(got.id, want.id);
    assert_true(bytes_equal(got.settings, want.settings));
    struct walk w = { .m = m, .zone = zone };
    unsigned n = 0;
    for (unsigned o = 0; o < OWNERS_N; o++) {
        struct name name = owner_of(zone, o);
        const struct row *rows;
        size_t here = 0, found;
        for (unsigned k = 0; k < TYPES_N; k++)
            here += m->rows[zone].at[o][k] != 0;
        assert_int_equal(source_owner(t, m->id[zone], name_bytes(&name), &rows, &found), OK);
        assert_int_equal(found, here);
        for (size_t i = 1; i < found; i++)
            assert_true(rows[i - 1].type < rows[i].type || (rows[i - 1].type == rows[i].type && rows[i - 1].covers < rows[i].covers));
        n += (unsigned)here;
    }
    assert_int_equal(source_rows(t, m->id[zone], bytes_of(NULL, 0), on_row, &w), OK);
    assert_int_equal(w.n, n);
}

struct seen { const struct model *m; unsigned n; };
static bool on_event(void *arg, const struct event *e)
{
    struct seen *s = arg;
    struct rd r = rd_over(e->before);
    assert_true(s->n < s->m->events);
    assert_int_equal(e->number, s->m->event[s->n].number);
    assert_int_equal(rd_u32(&r), s->m->event[s->n].says);
    s->n++;
    return true;
}

static void compare(const struct model *m)
{
    struct source_txn *t = txn_begin(bed.s, SOURCE_READ);
    struct seen s = { m, 0 };
    for (unsigned zone = 0; zone < ZONES_N; zone++) {
        struct tsig_key_row k;
        struct name name = name_of_text(apexes[zone]);
        compare_zone(t, m, zone);
        enum err err = source_tsig(t, name_bytes(&name), &k);
        assert_int_equal(err, m->key[zone] == 0 ? ERR_NOTFOUND : OK);
        assert_true(err != OK || (k.secret.len == 4 && memcmp(k.secret.ptr, &m->key[zone], 4) == 0));
    }
    assert_int_equal(source_events(t, 0, on_event, &s), OK);
    assert_int_equal(s.n, m->events);
    source_abort(t);
}

/* Opened anew and swept, nothing is there but what zones point to. */
static void compare_swept(const struct model *m)
{
    struct source_figures f;
    uint64_t n = 0;
    bool left = true;
    source_bed_again(&bed);
    while (left) {
        struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
        assert_int_equal(source_sweep(t, 50, &left, NULL), OK);
        txn_commit(t);
    }
    for (unsigned z = 0; z < ZONES_N; z++)
        for (unsigned i = 0; i < OWNERS_N * TYPES_N; i++)
            n += m->rows[z].at[i / TYPES_N][i % TYPES_N] != 0;
    assert_int_equal(source_figures(bed.s, &f), OK);
    assert_int_equal(f.rows, n);
    assert_int_equal(f.events, m->events);
    compare(m);
}

static void random_changes(void **state)
{
    static struct model m, next;
    rnd = rnd_seed(*(uint64_t *)*state);
    source_bed_open(&bed);
    for (unsigned step = 0; step < STEPS; step++) {
        struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
        next = m;
        for (unsigned n = 1 + rnd_below(&rnd, 12); n > 0; n--)
            change(t, &next);
        if (rnd_below(&rnd, 4) == 0) {
            source_abort(t);
        } else {
            txn_commit(t);
            m = next;
        }
        if (rnd_below(&rnd, 20) == 0)
            source_bed_again(&bed);
        compare(&m);
        if (step % 200 == 199)
            compare_swept(&m);
    }
    source_bed_close(&bed);
}

int main(void)
{
    uint64_t seed = seed_from_env((uint64_t)getpid());
    (void)printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = { cmocka_unit_test_prestate(random_changes, &seed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
