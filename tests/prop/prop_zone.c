/* Zones nested in each other, loaded, replaced and withdrawn in random order: after each step the store holds exactly, key
 * by key and byte by byte, what loading the zones that remain into an empty store gives (in another order), every value
 * passes blob_check, every zone walks as the records that went in, and loading it again changes nothing. */
#include "tests/prop/random_zone.h"

#define STEPS 120

struct world {
    struct place a, b;              /* the store at hand; the one filled anew */
    struct zone *zone[ORIGINS];     /* NULL: not loaded */
    struct rnd rnd;
    uint64_t seed;
    struct complaints c;
    size_t refused, loaded;
};

/* --- what must hold ------------------------------------------------------------------------------------------------------- */
static int by_record(const void *a, const void *b)
{
    const struct zone_rr *x = a, *y = b;
    int c = bytes_compare(x->owner, y->owner);
    if (c == 0)
        c = (x->type > y->type) - (x->type < y->type);
    return c != 0 ? c : bytes_compare(x->rdata, y->rdata);
}

static uint16_t covers(const struct zone_rr *rr) { return (uint16_t)(rr->rdata.ptr[0] << 8 | rr->rdata.ptr[1]); }

static bool is_orphan(const struct zone *z, const struct zone_rr *rr)
{
    bool orphan = rr->type == TYPE_RRSIG;
    for (size_t i = 0; i < z->n && orphan; i++)
        orphan = !(bytes_equal(z->rr[i].owner, rr->owner) && z->rr[i].type == covers(rr));
    return orphan;
}

/* The TTL that a record has once loaded: the lowest of its RRset, a signature that of what it covers, those of nothing
 * the lowest among them. */
static uint32_t loaded_ttl(const struct zone *z, size_t at)
{
    const struct zone_rr *rr = &z->rr[at];
    bool orphan = is_orphan(z, rr);
    uint16_t type = rr->type == TYPE_RRSIG && !orphan ? covers(rr) : rr->type;
    uint32_t lowest_ttl = UINT32_MAX;
    for (size_t i = 0; i < z->n; i++) {
        const struct zone_rr *o = &z->rr[i];
        if (o->type == type && bytes_equal(o->owner, rr->owner) && (!orphan || is_orphan(z, o)))
            lowest_ttl = o->ttl < lowest_ttl ? o->ttl : lowest_ttl;
    }
    return lowest_ttl;
}

struct walked { struct zone z; struct world *w; };
static bool on_record(void *arg, const struct zone_rr *rr)
{
    struct walked *x = arg;
    if (x->z.n > 0) {
        struct bytes last = x->z.rr[x->z.n - 1].owner;
        if (name_compare(last, rr->owner) > 0)
            fail_msg("seed %lu: the walk is not in order", (unsigned long)x->w->seed);
    } else if (rr->type != TYPE_SOA) {
        fail_msg("seed %lu: the walk does not begin with the SOA", (unsigned long)x->w->seed);
    }
    assert_int_equal(zone_add(&x->z, rr->owner, rr->type, rr->ttl, rr->rdata, 0), OK);
    return true;
}

static void check_walk(struct world *w, const struct zone *z)
{
    struct walked got = { .w = w };
    struct fault fault = { .text = "" };
    struct zone want;
    size_t n = 0;
    copy_zone(&w->rnd, z, &want);
    zone_init(&got.z, name_bytes(&z->apex), "walk");
    assert_int_equal(view_begin(w->a.view), OK);
    if (zone_walk(name_bytes(&z->apex), w->a.view, on_record, &got, &fault) != OK)
        fail_msg("seed %lu: walk: %s", (unsigned long)w->seed, fault.text);
    view_end(w->a.view);
    uint32_t *ttl = malloc(want.n * sizeof *ttl);
    qsort(want.rr, want.n, sizeof *want.rr, by_record);
    qsort(got.z.rr, got.z.n, sizeof *got.z.rr, by_record);
    for (size_t i = 0; i < want.n; i++)
        ttl[i] = loaded_ttl(&want, i);
    for (size_t i = 0; i < want.n; i++) {
        if (i > 0 && by_record(&want.rr[i - 1], &want.rr[i]) == 0)
            continue;                           /* a duplicate */
        if (n == got.z.n || by_record(&want.rr[i], &got.z.rr[n]) != 0 || got.z.rr[n].ttl != ttl[i])
            fail_msg("seed %lu: the walk of a zone is not what went in (%zu of %zu records)", (unsigned long)w->seed, n, want.n);
        n++;
    }
    assert_int_equal(n, got.z.n);
    free(ttl);
    zone_release(&want);
    zone_release(&got.z);
}

static enum err load(struct world *w, struct place *p, const struct zone *z, size_t *ops)
{
    struct fault fault = { .text = "" };
    struct zone copy;
    copy_zone(&w->rnd, z, &copy);
    enum err err = place_build(p, &copy, true, &w->c, ops, &fault);
    zone_release(&copy);
    if (err != OK && err != ERR_REFUSED)
        fail_msg("seed %lu: %s", (unsigned long)w->seed, fault.text);
    return err;
}

static void wipe(struct place *p)
{
    struct dump d = place_dump(p);
    struct op_list ops;
    op_list_init(&ops);
    for (size_t i = 0; i < d.n; i++)
        assert_int_equal(op_list_add(&ops, &(struct op){ OP_DEL, bytes_of_text("dns"), d.v[i].key, { 0 } }), OK);
    place_commit(p, &ops);
    op_list_release(&ops);
    dump_release(&d);
}

/* All keys of an owner say the same about it: apex, cut, DNAME, alias. */
static void check_bits(struct world *w, const struct dump *d)
{
    uint32_t flags, before = 0;
    for (size_t i = 0; i < d->n; i++) {
        size_t len = rrkey_owner_len(d->v[i].key);
        assert_int_equal(blob_read_flags(d->v[i].value, &flags), OK);
        if (i > 0 && bytes_starts(d->v[i - 1].key, bytes_of(d->v[i].key.ptr, len)) && (flags & 15) != (before & 15))
            fail_msg("seed %lu: two keys of an owner differ in their flags", (unsigned long)w->seed);
        before = flags;
    }
}

static void check_store(struct world *w)
{
    size_t order[ORIGINS], ops;
    for (size_t i = 0; i < ORIGINS; i++)
        order[i] = i;
    for (size_t i = ORIGINS; i > 1; i--) {
        size_t k = rnd_below(&w->rnd, (uint32_t)i), t = order[i - 1];
        order[i - 1] = order[k];
        order[k] = t;
    }
    wipe(&w->b);
    for (size_t i = 0; i < ORIGINS; i++)
        if (w->zone[order[i]] != NULL)
            assert_int_equal(load(w, &w->b, w->zone[order[i]], &ops), OK);
    struct dump a = place_dump(&w->a), b = place_dump(&w->b);
    for (size_t i = 0; i < a.n || i < b.n; i++) {
        char hex[1100];
        if (i == a.n || i == b.n || !bytes_equal(a.v[i].key, b.v[i].key) || !bytes_equal(a.v[i].value, b.v[i].value)) {
            const struct entry *e = i < a.n ? &a.v[i] : &b.v[i];
            for (size_t k = 0; k < e->key.len; k++)
                snprintf(hex + 2 * k, 3, "%02x", e->key.ptr[k]);
            fail_msg("seed %lu: the stores differ at entry %zu of %zu and %zu: key %s", (unsigned long)w->seed, i, a.n, b.n, hex);
        }
    }
    check_bits(w, &a);
    dump_release(&a);
    dump_release(&b);
}

static void forget(struct world *w, size_t i)
{
    if (w->zone[i] != NULL) {
        zone_release(w->zone[i]);
        free(w->zone[i]);
        w->zone[i] = NULL;
    }
}

static void step(struct world *w)
{
    size_t i = rnd_below(&w->rnd, ORIGINS), ops;
    struct name apex = name_of(origins[i]);
    if (rnd_below(&w->rnd, 4) == 0) {
        assert_int_equal(place_withdraw(&w->a, name_bytes(&apex)), w->zone[i] == NULL ? ERR_NOTFOUND : OK);
        forget(w, i);
        return;
    }
    struct zone *z = random_zone(&w->rnd, origins[i]);
    if (load(w, &w->a, z, &ops) != OK) {
        w->refused++;
        zone_release(z);
        free(z);
        return;
    }
    w->loaded++;
    forget(w, i);
    w->zone[i] = z;
    assert_int_equal(load(w, &w->a, z, &ops), OK);
    if (ops != 0)
        fail_msg("seed %lu: loading %s again makes %zu ops", (unsigned long)w->seed, origins[i], ops);
}

static void order_never_shows(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    w->seed = seed_from_env(1);
    w->rnd = rnd_seed(w->seed);
    place_open(&w->a);
    place_open(&w->b);
    for (int n = 0; n < STEPS; n++) {
        step(w);
        check_store(w);
        for (size_t i = 0; i < ORIGINS; i++)
            if (w->zone[i] != NULL)
                check_walk(w, w->zone[i]);
    }
    assert_true(w->loaded > w->refused * 4);    /* else the test tests refusals */
    for (size_t i = 0; i < ORIGINS; i++)
        forget(w, i);
    place_close(&w->a);
    place_close(&w->b);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(order_never_shows) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
