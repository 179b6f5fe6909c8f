/* A patch makes the ops that a build of the whole changed zone makes, key by key and byte by byte, but for the header's bits,
 * which it never takes away; refuses what that refuses; and shows before it is built what the zone then holds. Zones hosted
 * above and below each other, random changes of random RRsets. */
#include "tests/prop/random_zone.h"

#include "builder/patch.h"

#define STEPS 400

struct world {
    struct place place;
    bool loaded[ORIGINS];
    struct rnd rnd;
    uint64_t seed;
    struct complaints c;
    size_t patched, refused;
};

/* --- the model: all records of a zone ------------------------------------------------------------------------------- */
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

static bool is_set(const struct zone_rr *rr, struct bytes owner, uint16_t type, uint16_t cover)
{
    return bytes_equal(rr->owner, owner) && rr->type == type && covers(rr) == cover;
}

static void model_set(struct zone *z, struct bytes owner, const struct patch_rrset *s)
{
    size_t n = 0;
    for (size_t i = 0; i < z->n; i++)
        if (!is_set(&z->rr[i], owner, s->type, s->covers))
            z->rr[n++] = z->rr[i];
    z->n = n;
    for (size_t i = 0; i < s->n; i++)
        assert_int_equal(zone_add(z, owner, s->type, s->ttl, s->rdata[i], 0), OK);
}

static size_t model_count(const struct zone *z, struct bytes owner, uint16_t type, uint16_t cover)
{
    size_t n = 0;
    for (size_t i = 0; i < z->n; i++)
        n += is_set(&z->rr[i], owner, type, cover);
    return n;
}

/* --- changes -------------------------------------------------------------------------------------------------------- */
static void set_both(struct world *w, struct patch *p, struct zone *model, struct bytes owner, const struct patch_rrset *s)
{
    if (patch_set(p, owner, s) != OK)
        fail_msg("seed %lu: patch_set", (unsigned long)w->seed);
    if (model != NULL)
        model_set(model, owner, s);
}

/* An RRset out of `from`, taken over as it is there; or gone. */
static void change_one(struct world *w, struct patch *p, struct zone *model, const struct zone *from, bool gone)
{
    struct bytes rdata[64];
    if (from->n == 0)
        return;
    const struct zone_rr *rr = &from->rr[rnd_below(&w->rnd, (uint32_t)from->n)];
    struct bytes owner = heap_copy(rr->owner.ptr, rr->owner.len);
    struct patch_rrset s = { .type = rr->type, .covers = covers(rr), .ttl = rr->ttl, .rdata = rdata };
    for (size_t i = 0; i < from->n && s.n < ROWS(rdata) && !gone; i++)
        if (is_set(&from->rr[i], owner, s.type, s.covers))
            rdata[s.n++] = heap_copy(from->rr[i].rdata.ptr, from->rr[i].rdata.len);
    set_both(w, p, model, owner, &s);
    for (size_t i = 0; i < s.n; i++)
        bytes_free(rdata[i]);
    bytes_free(owner);
}

static void change(struct world *w, struct patch *p, struct zone *model, const struct zone *before, const char *origin)
{
    struct zone *fresh = random_zone(&w->rnd, origin);
    for (uint32_t n = 1 + rnd_below(&w->rnd, 5); n > 0; n--) {
        bool gone = rnd_below(&w->rnd, 2) == 0;
        change_one(w, p, model, gone ? before : fresh, gone);
    }
    zone_release(fresh);
    free(fresh);
}

static void load_model(struct world *w, const char *origin, struct zone *out)
{
    struct name apex = name_of(origin);
    struct fault fault = { .text = "" };
    zone_init(out, name_bytes(&apex), "model");
    if (zone_walk(name_bytes(&apex), w->place.view, on_record, out, &fault) != OK)
        fail_msg("seed %lu: walk: %s", (unsigned long)w->seed, fault.text);
}

/* --- what must hold ------------------------------------------------------------------------------------------------- */
/* What the patch tells of an owner is what the model has there. */
static void check_owner(struct world *w, struct patch *p, const struct zone *model, struct bytes owner)
{
    const struct patch_rrset *sets;
    struct fault fault = { .text = "" };
    size_t n, records = 0;
    if (patch_get_all(p, owner, &sets, &n, &fault) != OK)
        fail_msg("seed %lu: patch_get_all: %s", (unsigned long)w->seed, fault.text);
    for (size_t i = 0; i < n; i++) {
        assert_true(sets[i].n > 0);
        assert_int_equal(sets[i].n, model_count(model, owner, sets[i].type, sets[i].covers));
        records += sets[i].n;
        for (size_t k = 0; k < sets[i].n; k++) {
            bool there = false;
            for (size_t m = 0; m < model->n && !there; m++)
                there = is_set(&model->rr[m], owner, sets[i].type, sets[i].covers) && model->rr[m].ttl == sets[i].ttl
                    && bytes_equal(model->rr[m].rdata, sets[i].rdata[k]);
            if (!there)
                fail_msg("seed %lu: a patch shows a record of type %u that is not there", (unsigned long)w->seed, sets[i].type);
        }
    }
    for (size_t m = 0; m < model->n; m++)
        records -= bytes_equal(model->rr[m].owner, owner);
    if (records != 0) {
        char text[NAME_TEXT_MAX];
        for (size_t m = 0; m < model->n; m++)
            if (bytes_equal(model->rr[m].owner, owner))
                print_message("there: type %u covers %u\n", model->rr[m].type, covers(&model->rr[m]));
        for (size_t i = 0; i < n; i++)
            print_message("shown: type %u covers %u\n", sets[i].type, sets[i].covers);
        fail_msg("seed %lu: at %s a patch shows %zu records less or more", (unsigned long)w->seed, name_text(text, sizeof text, owner), records);
    }
}

static void check_owners(struct world *w, struct patch *p, const struct zone *model)
{
    for (int i = 0; i < 3 && model->n > 0; i++)
        check_owner(w, p, model, model->rr[rnd_below(&w->rnd, (uint32_t)model->n)].owner);
    struct name name = random_owner(&w->rnd, &model->apex);
    check_owner(w, p, model, name_bytes(&name));
}

static bool is_header(const struct op *op)
{
    struct rrkey_parts parts;
    return rrkey_split(op->key, &parts) == OK && parts.slot == RRSLOT_ZONE;
}

static const struct op *next_op(const struct op_list *l, size_t *at)
{
    while (*at < l->n && is_header(&l->ops[*at]))
        ++*at;
    return *at < l->n ? &l->ops[(*at)++] : NULL;
}

static void check_ops(struct world *w, const struct op_list *patch, const struct op_list *whole)
{
    const struct op *a, *b;
    size_t i = 0, j = 0;
    for (;;) {
        a = next_op(patch, &i);
        b = next_op(whole, &j);
        if (a == NULL && b == NULL)
            return;
        if (a == NULL || b == NULL || a->kind != b->kind || !bytes_equal(a->key, b->key) || !bytes_equal(a->value, b->value)) {
            char hex[1100];
            const struct op *op = a == NULL ? b : b == NULL ? a : bytes_compare(a->key, b->key) < 0 ? a : b;
            for (size_t k = 0; k < op->key.len; k++)
                snprintf(hex + 2 * k, 3, "%02x", op->key.ptr[k]);
            fail_msg("seed %lu: patch and build differ (%zu and %zu ops): key %s", (unsigned long)w->seed, patch->n, whole->n, hex);
        }
    }
}

static void header_of(struct world *w, const struct op_list *l, const struct name *apex, struct zone_header *out)
{
    uint8_t buf[RRKEY_MAX];
    struct wr key = wr_over(buf, sizeof buf);
    struct bytes value;
    assert_int_equal(rrkey_write(name_bytes(apex), RRSLOT_ZONE, &key), OK);
    assert_int_equal(view_get(w->place.view, bytes_of_text("dns"), wr_done(&key), &value), OK);
    for (size_t i = 0; i < l->n; i++)
        if (bytes_equal(l->ops[i].key, wr_done(&key)))
            value = l->ops[i].value;
    assert_int_equal(zone_header_read(value, out), OK);
}

static void check_headers(struct world *w, const struct op_list *patch, const struct op_list *whole, const struct name *apex)
{
    struct zone_header a, b;
    header_of(w, patch, apex, &a);
    header_of(w, whole, apex, &b);
    assert_int_equal(a.bits & b.bits, b.bits);
    assert_int_equal(a.flags, b.flags);
    assert_int_equal(a.kind, b.kind);
    assert_true(a.has_soa && b.has_soa && bytes_equal(a.soa.wire, b.soa.wire));
    assert_int_equal(a.soa.sigs, b.soa.sigs);
    assert_int_equal(a.has_nsec3, b.has_nsec3);
}

/* --- steps ---------------------------------------------------------------------------------------------------------- */
static void patch_step(struct world *w, const char *origin)
{
    struct name apex = name_of(origin);
    struct fault fault = { .text = "" }, other = { .text = "" };
    struct complaints *c = calloc(1, sizeof *c);
    struct zone before, model;
    struct patch *p;
    struct op_list ops, whole;
    const bool force = rnd_below(&w->rnd, 4) != 0;
    op_list_init(&ops);
    op_list_init(&whole);
    assert_int_equal(view_begin(w->place.view), OK);
    load_model(w, origin, &before);
    load_model(w, origin, &model);
    assert_int_equal(patch_open(&p, name_bytes(&apex), w->place.view, &fault), OK);
    if (rnd_below(&w->rnd, 3) == 0) {                   /* what is taken back never was */
        change(w, p, NULL, &before, origin);
        patch_undo(p, 0);
    }
    change(w, p, &model, &before, origin);
    size_t mark = patch_mark(p);
    change(w, p, NULL, &before, origin);
    patch_undo(p, mark);
    check_owners(w, p, &model);
    enum err err = patch_build(p, &(struct patch_options){ .force = force }, c, &ops, &fault);
    w->c.errors_n = w->c.warnings_n = 0;
    enum err want = zone_build(&model, w->place.view, &(struct zone_build_options){ .kind = ZONE_FILE, .force = force }, &w->c, &whole, &other);
    if (err != want)
        fail_msg("seed %lu: the patch says '%s' (%s), the build '%s' (%s)", (unsigned long)w->seed, err_text(err), fault.text,
                 err_text(want), other.text);
    if (err == OK) {
        check_ops(w, &ops, &whole);
        check_headers(w, &ops, &whole, &apex);
    }
    view_end(w->place.view);
    patch_close(p);
    if (err == OK)
        place_commit(&w->place, &ops);
    w->patched += err == OK;
    w->refused += err != OK;
    zone_release(&before);
    zone_release(&model);
    op_list_release(&ops);
    op_list_release(&whole);
    free(c);
}

/* A zone comes, is replaced or goes. */
static void zone_step(struct world *w, size_t i)
{
    struct name apex = name_of(origins[i]);
    struct fault fault = { .text = "" };
    size_t ops;
    if (w->loaded[i] && rnd_below(&w->rnd, 3) == 0) {
        assert_int_equal(place_withdraw(&w->place, name_bytes(&apex)), OK);
        w->loaded[i] = false;
        return;
    }
    struct zone *z = random_zone(&w->rnd, origins[i]);
    w->loaded[i] |= place_build(&w->place, z, true, &w->c, &ops, &fault) == OK;
    zone_release(z);
    free(z);
}

static void patch_is_build(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    w->seed = seed_from_env(1);
    w->rnd = rnd_seed(w->seed);
    place_open(&w->place);
    for (int n = 0; n < STEPS; n++) {
        size_t i = rnd_below(&w->rnd, ORIGINS);
        if (!w->loaded[i] || rnd_below(&w->rnd, 12) == 0)
            zone_step(w, i);
        else
            patch_step(w, origins[i]);
    }
    print_message("seed %lu: %zu patches, %zu refused\n", (unsigned long)w->seed, w->patched, w->refused);
    place_close(&w->place);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(patch_is_build) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
