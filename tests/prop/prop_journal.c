/* What a change does to a zone, RRset by RRset, is what a comparison of all its records before and after says; and what the
 * journal tells between any two states of it as well. Random zones hosted above and below each other, built, patched and
 * withdrawn: what moves in the keys of one because another comes or goes is no difference. */
#include "tests/prop/random_zone.h"

#include "builder/journal.h"
#include "builder/patch.h"

#define STEPS 500
#define KEPT 8

struct state { uint64_t seq; struct zone z; };
struct world {
    struct place place;
    struct journal *journal;
    struct rnd rnd;
    uint64_t seed;
    struct complaints c;
    bool loaded[ORIGINS];
    struct state past[ORIGINS][KEPT];       /* the newest last; all since the zone was made */
    unsigned past_n[ORIGINS];
    size_t steps, spans;
};

/* --- the model: all records of a zone, and what differs ------------------------------------------------------------ */
static bool on_record(void *arg, const struct zone_rr *rr)
{
    struct zone *z = arg;
    assert_int_equal(zone_add(z, rr->owner, rr->type, rr->ttl, rr->rdata, 0), OK);
    return true;
}

static uint16_t covers(const struct zone_rr *rr)
{
    return rr->type == TYPE_RRSIG ? (uint16_t)(rr->rdata.ptr[0] << 8 | rr->rdata.ptr[1]) : 0;
}

static int by_rrset(const struct zone_rr *x, const struct zone_rr *y)
{
    int c = name_compare(x->owner, y->owner);
    c = c != 0 ? c : (x->type > y->type) - (x->type < y->type);
    return c != 0 ? c : (covers(x) > covers(y)) - (covers(x) < covers(y));
}

static int by_record(const void *a, const void *b)
{
    int c = by_rrset(a, b);
    return c != 0 ? c : bytes_compare(((const struct zone_rr *)a)->rdata, ((const struct zone_rr *)b)->rdata);
}

static void take_zone(struct world *w, size_t i, struct zone *out)
{
    struct name apex = name_of(origins[i]);
    struct fault fault = { .text = "" };
    zone_init(out, name_bytes(&apex), "model");
    enum err err = zone_walk(name_bytes(&apex), w->place.view, on_record, out, &fault);
    if (err != OK && err != ERR_NOTFOUND)
        fail_msg("seed %lu: walk: %s", (unsigned long)w->seed, fault.text);
    if (out->n > 1)
        qsort(out->rr, out->n, sizeof *out->rr, by_record);
}

static size_t end_of(const struct zone *z, size_t at)
{
    size_t end = at;
    while (end < z->n && by_rrset(&z->rr[at], &z->rr[end]) == 0)
        end++;
    return end;
}

static bool side_is(const struct patch_rrset *s, const struct zone *z, size_t at, size_t end)
{
    if (s->n != end - at || (s->n > 0 && s->ttl != z->rr[at].ttl))
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (!bytes_equal(s->rdata[i], z->rr[at + i].rdata))
            return false;
    return true;
}

static bool same(const struct zone *b, size_t i, size_t ie, const struct zone *a, size_t j, size_t je)
{
    if (ie - i != je - j || b->rr[i].ttl != a->rr[j].ttl)
        return false;
    for (size_t k = 0; k < ie - i; k++)
        if (!bytes_equal(b->rr[i + k].rdata, a->rr[j + k].rdata))
            return false;
    return true;
}

static void wrong(struct world *w, const char *what, const struct rrset_change *c, const struct zone_rr *rr)
{
    char one[NAME_TEXT_MAX], two[NAME_TEXT_MAX];
    fail_msg("seed %lu: %s: the difference says %s type %u, the records %s type %u", (unsigned long)w->seed, what,
             c != NULL ? name_text(one, sizeof one, c->owner) : "nothing", c != NULL ? c->type : 0,
             rr != NULL ? name_text(two, sizeof two, rr->owner) : "nothing", rr != NULL ? rr->type : 0);
}

static void compare(struct world *w, const char *what, const struct zone *before, const struct zone *after,
                    const struct difference *d)
{
    size_t i = 0, j = 0, n = 0;
    while (i < before->n || j < after->n) {
        int c = i == before->n ? 1 : j == after->n ? -1 : by_rrset(&before->rr[i], &after->rr[j]);
        const struct zone_rr *rr = c <= 0 ? &before->rr[i] : &after->rr[j];
        size_t ie = c <= 0 ? end_of(before, i) : i, je = c >= 0 ? end_of(after, j) : j;
        if (c != 0 || !same(before, i, ie, after, j, je)) {
            const struct rrset_change *got = n < d->n ? &d->v[n] : NULL;
            if (got == NULL || !bytes_equal(got->owner, rr->owner) || got->type != rr->type || got->covers != covers(rr)
                || !side_is(&got->before, before, i, ie) || !side_is(&got->after, after, j, je))
                wrong(w, what, got, rr);
            n++;
        }
        i = ie;
        j = je;
    }
    if (n < d->n)
        wrong(w, what, &d->v[n], NULL);
    assert_false(d->cut);
}

/* --- steps ---------------------------------------------------------------------------------------------------------- */
static void forget(struct world *w, size_t i)
{
    for (unsigned k = 0; k < w->past_n[i]; k++)
        zone_release(&w->past[i][k].z);
    w->past_n[i] = 0;
}

/* z is the newest state of zone i, and stays. */
static void remember(struct world *w, size_t i, uint64_t seq, const struct zone *z)
{
    if (w->past_n[i] == KEPT) {
        zone_release(&w->past[i][0].z);
        memmove(&w->past[i][0], &w->past[i][1], (KEPT - 1) * sizeof w->past[i][0]);
        w->past_n[i]--;
    }
    w->past[i][w->past_n[i]++] = (struct state){ seq, *z };
}

/* Ops of zone i are committed and noted; the view is begun. */
static void commit(struct world *w, size_t i, const struct op_list *ops, const struct zone *before)
{
    static const struct author by = { .via = VIA_API, .name = "key", .address = "192.0.2.7" };
    struct name apex = name_of(origins[i]);
    struct fault fault = { .text = "" };
    struct difference d;
    struct zone after;
    uint64_t seq = 0;
    difference_init(&d);
    if (difference_of_ops(name_bytes(&apex), ops->ops, ops->n, w->place.view, 0, &d, &fault) != OK
        || commit_stage(w->place.committer, ops->ops, ops->n, &seq, &fault) != OK
        || journal_note(w->place.committer, w->place.view, name_bytes(&apex), ops->ops, ops->n, seq, &by, false, &fault) != OK)
        fail_msg("seed %lu: %s", (unsigned long)w->seed, fault.text);
    view_end(w->place.view);
    if (commit_flush(w->place.committer, &fault) != OK)
        fail_msg("seed %lu: %s", (unsigned long)w->seed, fault.text);
    assert_int_equal(view_begin(w->place.view), OK);
    take_zone(w, i, &after);
    compare(w, "ops", before, &after, &d);
    difference_release(&d);
    if (before->n == 0)
        forget(w, i);               /* from nothing there is no step */
    remember(w, i, seq, &after);
    w->loaded[i] = after.n > 0;
    w->steps++;
}

static void build(struct world *w, size_t i, struct op_list *ops)
{
    struct name apex = name_of(origins[i]);
    struct fault fault = { .text = "" };
    if (w->loaded[i] && rnd_below(&w->rnd, 3) == 0) {
        assert_int_equal(zone_withdraw(name_bytes(&apex), w->place.view, ops, &fault), OK);
        return;
    }
    struct zone *z = random_zone(&w->rnd, origins[i]);
    w->c.errors_n = w->c.warnings_n = 0;
    if (zone_build(z, w->place.view, &(struct zone_build_options){ .kind = ZONE_FILE, .force = true }, &w->c, ops, &fault) != OK)
        ops->n = 0;
    zone_release(z);
    free(z);
}

/* Some RRsets, as another random zone has them or gone. */
static void patch(struct world *w, size_t i, const struct zone *before, struct op_list *ops)
{
    struct name apex = name_of(origins[i]);
    struct fault fault = { .text = "" };
    struct zone *other = random_zone(&w->rnd, origins[i]);
    struct patch *p;
    assert_int_equal(patch_open(&p, name_bytes(&apex), w->place.view, &fault), OK);
    for (uint32_t n = 1 + rnd_below(&w->rnd, 5); n > 0; n--) {
        const struct zone *from = rnd_below(&w->rnd, 2) == 0 ? before : other;
        const struct zone_rr *rr = &from->rr[rnd_below(&w->rnd, (uint32_t)from->n)];
        struct patch_rrset s = { .type = rr->type, .covers = covers(rr), .ttl = 60 * (1 + rnd_below(&w->rnd, 2)), .rdata = &rr->rdata,
                                 .n = rnd_below(&w->rnd, 3) != 0 };
        assert_int_equal(patch_set(p, rr->owner, &s), OK);
    }
    w->c.errors_n = w->c.warnings_n = 0;
    if (patch_build(p, &(struct patch_options){ .force = true }, &w->c, ops, &fault) != OK)
        ops->n = 0;
    patch_close(p);
    zone_release(other);
    free(other);
}

/* Between two states that are remembered. */
static void check_span(struct world *w, size_t i)
{
    struct name apex = name_of(origins[i]);
    struct fault fault = { .text = "" };
    struct difference d;
    if (w->past_n[i] < 2)
        return;
    unsigned from = rnd_below(&w->rnd, w->past_n[i] - 1), to = from + 1 + rnd_below(&w->rnd, w->past_n[i] - 1 - from);
    const struct state *a = &w->past[i][from], *b = &w->past[i][to];
    bool now = to == w->past_n[i] - 1 && rnd_below(&w->rnd, 2) == 0;
    difference_init(&d);
    if (journal_difference(w->journal, name_bytes(&apex), a->seq, now ? 0 : b->seq, 0, &d, &fault) != OK)
        fail_msg("seed %lu: %s", (unsigned long)w->seed, fault.text);
    compare(w, "the journal", &a->z, &b->z, &d);
    difference_release(&d);
    w->spans++;
}

static void step(struct world *w)
{
    size_t i = rnd_below(&w->rnd, ORIGINS);
    struct op_list ops;
    struct zone before;
    op_list_init(&ops);
    assert_int_equal(view_begin(w->place.view), OK);
    take_zone(w, i, &before);
    if (!w->loaded[i] || rnd_below(&w->rnd, 8) == 0)
        build(w, i, &ops);
    else
        patch(w, i, &before, &ops);
    if (ops.n > 0)
        commit(w, i, &ops, &before);
    view_end(w->place.view);
    zone_release(&before);
    op_list_release(&ops);
    check_span(w, rnd_below(&w->rnd, ORIGINS));
}

static void difference_is_the_records(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    struct fault fault = { .text = "" };
    w->seed = seed_from_env(1);
    w->rnd = rnd_seed(w->seed);
    place_open(&w->place);
    assert_int_equal(journal_open(&w->journal, w->place.store, &fault), OK);
    for (int n = 0; n < STEPS; n++)
        step(w);
    print_message("seed %lu: %zu changes, %zu spans\n", (unsigned long)w->seed, w->steps, w->spans);
    for (size_t i = 0; i < ORIGINS; i++)
        forget(w, i);
    journal_close(w->journal);
    place_close(&w->place);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(difference_is_the_records) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
