/* Random changes of zones hosted above and below each other, many at once, by several authors, with starts between them: behind
 * every step the rows are what a model of the changes says, and the store is what a build of the whole zone out of its rows
 * gives. The model takes changes in the order in which they were put, and those alone that were told done. */
#include "tests/unit/change_bed.h"

#define ZONES 3
#define NAMES 6
#define ROUNDS_N 60
#define AT_ONCE 12

static const char *const zones[ZONES] = { "example.com.", "sub.example.com.", "a.sub.example.com." };
static const char *const names[NAMES] = { "@", "a", "b", "sub", "x.sub", "*" };

/* --- the model: the RRsets of each zone, as text ------------------------------------------------------------------------------ */
struct set { int zone, name; uint16_t type; char text[200]; };        /* text: records as in a zone file */
struct model { struct set v[ZONES * NAMES * 4]; size_t n; };

static struct set *model_find(struct model *m, const struct set *s)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].zone == s->zone && m->v[i].name == s->name && m->v[i].type == s->type)
            return &m->v[i];
    return NULL;
}

static void model_put(struct model *m, const struct set *s)
{
    struct set *old = model_find(m, s);
    if (old == NULL)
        old = &m->v[m->n++];
    assert_true(m->n <= ROWS(m->v));
    *old = *s;
    if (s->text[0] == '\0')
        *old = m->v[--m->n];
}

/* --- random changes ------------------------------------------------------------------------------------------------------------- */
struct wish { struct set set[3]; size_t n; char text[700], del[300]; struct edit *e; };

static void random_set(struct rnd *r, int zone, struct set *s)
{
    static const struct { uint16_t type; const char *text; } kinds[4] = {
        { TYPE_A, "A" }, { TYPE_CNAME, "CNAME" }, { TYPE_TXT, "TXT" }, { TYPE_NS, "NS" } };
    const unsigned kind = rnd_below(r, 4);
    *s = (struct set){ .zone = zone, .name = (int)rnd_below(r, NAMES), .type = kinds[kind].type };
    size_t at = 0;
    for (unsigned n = rnd_below(r, 3); n > 0; n--) {
        const char *name = names[s->name];
        unsigned v = rnd_below(r, 4);
        if (kind == 0)
            at += (size_t)snprintf(s->text + at, sizeof s->text - at, "%s 60 A 192.0.2.%u\n", name, v);
        else if (kind == 2)
            at += (size_t)snprintf(s->text + at, sizeof s->text - at, "%s 60 TXT \"%u\"\n", name, v);
        else
            at += (size_t)snprintf(s->text + at, sizeof s->text - at, "%s 60 %s t%u\n", name, kinds[kind].text, v);
    }
}

static const char *type_name(uint16_t type)
{
    return type == TYPE_A ? "A" : type == TYPE_CNAME ? "CNAME" : type == TYPE_TXT ? "TXT" : "NS";
}

static void random_wish(struct rnd *r, struct wish *w)
{
    int zone = (int)rnd_below(r, ZONES);
    size_t del = 0, text = 0;
    *w = (struct wish){ .n = 0 };
    for (size_t n = 1 + rnd_below(r, 3); w->n < n; w->n++) {
        struct set *s = &w->set[w->n];
        bool twice = true;
        while (twice) {                 /* an RRset once in a change: the order within one is the plan's own */
            random_set(r, zone, s);
            twice = false;
            for (size_t i = 0; i < w->n; i++)
                twice |= w->set[i].name == s->name && w->set[i].type == s->type;
        }
        if (s->text[0] != '\0')
            text += (size_t)snprintf(w->text + text, sizeof w->text - text, "%s", s->text);
        else
            del += (size_t)snprintf(w->del + del, sizeof w->del - del, "%s%s%s%s %s", del > 0 ? ";" : "",
                                    s->name == 0 ? "" : names[s->name], s->name == 0 ? "" : ".", zones[zone], type_name(s->type));
    }
    w->e = edit_new(zones[zone], w->text, w->del);
    w->e->c.dry_run = rnd_below(r, 10) == 0;
    snprintf(w->e->c.author.name, sizeof w->e->c.author.name, "author %u", rnd_below(r, 8) / 7);
}

static void apply_done(struct model *m, const struct wish *w)
{
    if (w->e->c.result.end == CHANGE_DONE && !w->e->c.dry_run)
        for (size_t i = 0; i < w->n; i++)
            model_put(m, &w->set[i]);
}

/* --- what must hold ----------------------------------------------------------------------------------------------------------------- */
static bool on_row_count(void *arg, const struct row *row)
{
    *(size_t *)arg += row->type != TYPE_SOA;
    return true;
}

/* The rows of one set, as the model has them. */
static void check_set(struct source_txn *t, const struct zone_row *zr, const struct set *s, uint64_t seed)
{
    struct edit *e = edit_new(zones[s->zone], s->text, NULL);
    struct row row;
    size_t want = 0;
    if (source_row(t, zr->id, e->set.rr[0].owner, s->type, 0, &row) != OK)
        fail_msg("seed %lu: %s: no row for %s", (unsigned long)seed, zones[s->zone], s->text);
    for (size_t i = 0; i < e->set.n; i++) {
        bool twice = false, there = false;
        for (size_t k = 0; k < i; k++)
            twice |= bytes_equal(e->set.rr[k].rdata, e->set.rr[i].rdata);
        for (size_t k = 0; k < row.n; k++)
            there |= bytes_equal(row.rr[k].rdata, e->set.rr[i].rdata);
        want += !twice;
        if (!there)
            fail_msg("seed %lu: %s: lost: %s", (unsigned long)seed, zones[s->zone], s->text);
    }
    if (row.n != want)
        fail_msg("seed %lu: %s: %zu records for %s", (unsigned long)seed, zones[s->zone], row.n, s->text);
    edit_free(e);
}

static void check(struct bed *b, struct model *m, uint64_t seed)
{
    struct source_txn *t;
    struct zone_row zr;
    for (int z = 0; z < ZONES; z++) {
        struct name apex = name_of(zones[z]);
        size_t rows = 0, want = 0;
        (void)bed_check(b, zones[z]);
        assert_int_equal(source_begin(b->source, SOURCE_READ, &t, NULL), OK);
        assert_int_equal(source_zone(t, name_bytes(&apex), &zr), OK);
        for (size_t i = 0; i < m->n; i++) {
            if (m->v[i].zone != z)
                continue;
            want++;
            check_set(t, &zr, &m->v[i], seed);
        }
        assert_int_equal(source_rows(t, zr.id, bytes_of("", 0), on_row_count, &rows), OK);
        source_abort(t);
        if (rows != want)
            fail_msg("seed %lu: %s has %zu RRsets, the model %zu", (unsigned long)seed, zones[z], rows, want);
    }
}

static void create(struct bed *b, struct model *m)
{
    for (int z = 0; z < ZONES; z++) {
        bed_whole(b, CHANGE_CREATE, zones[z], "@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS t0\n", NULL);
        struct set s = { .zone = z, .name = 0, .type = TYPE_NS, .text = "@ 60 NS t0\n" };
        model_put(m, &s);
    }
}

static void one_round(struct bed *b, struct model *m, struct rnd *r, unsigned ends[4])
{
    struct wish w[AT_ONCE];
    size_t n = 1 + rnd_below(r, AT_ONCE);
    for (size_t i = 0; i < n; i++)
        random_wish(r, &w[i]);
    bed_stall(b);
    for (size_t i = 0; i < n; i++)
        bed_put(b, &w[i].e->c);
    bed_go(b);
    bed_wait(b);
    for (size_t i = 0; i < n; i++) {
        if (w[i].e->c.result.end > CHANGE_REFUSED)
            fail_msg("end %d: %s", w[i].e->c.result.end, w[i].e->c.result.fault.text);
        ends[w[i].e->c.result.end]++;
        apply_done(m, &w[i]);
    }
    for (size_t i = 0; i < n; i++)
        edit_free(w[i].e);
}

/* A rebuild finds nothing to do, whatever the edits around it. */
static void rebuild(struct bed *b, int zone)
{
    struct name apex = name_of(zones[zone]);
    struct change c;
    change_init(&c, CHANGE_REBUILD, name_bytes(&apex));
    bed_put(b, &c);
    bed_wait(b);
    if (c.result.end != CHANGE_DONE)
        fail_msg("rebuild: %s", fault_text(&c.result.fault, c.result.err));
    change_release(&c);
}

static void changes(void **state)
{
    uint64_t seed = seed_from_env(20261121);
    struct rnd r = rnd_seed(seed);
    struct model m = { .n = 0 };
    unsigned ends[4] = { 0 };
    struct bed b;
    (void)state;
    print_message("seed %lu\n", (unsigned long)seed);
    bed_open(&b);
    create(&b, &m);
    for (int round = 0; round < ROUNDS_N; round++) {
        one_round(&b, &m, &r, ends);
        check(&b, &m, seed);
        if (round % 20 == 7)
            rebuild(&b, round % ZONES);
        if (round % 20 == 13) {
            bed_end(&b);
            bed_start_store(&b, NULL);
            bed_start_changer(&b);
        }
    }
    print_message("done %u, refused %u\n", ends[CHANGE_DONE], ends[CHANGE_REFUSED]);
    bed_close(&b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = { cmocka_unit_test(changes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
