/* Two catalogs that change at random, broken now and then, with zones that are nobody's: what is here ends as the last good catalogs
 * say. Steps are made some at a time, as if the core ended in between, and looks are repeated until nothing is left to do. */
#include "tests/unit/catalog_bed.h"

#include <inttypes.h>
#include <time.h>

#define NAMES 24
#define CATALOGS 2
#define ROUNDS 400

static const char *const catalogs[CATALOGS] = { "a.example.", "b.example." };

struct listed { bool is; unsigned id, coo; };           /* coo: 0 none, else the number of a catalog and one */
struct said { struct listed v[NAMES]; };
struct here { bool is, foreign; unsigned owner, id; uint64_t made; };   /* owner: of a member; made: which of its name it is */
struct world {
    uint64_t random, clock;
    struct said said[CATALOGS];         /* the last good ones */
    struct catalog read[CATALOGS];
    struct here zone[NAMES];
    struct zone_settings settings;
    struct arena arena;
};

static unsigned below(struct world *w, unsigned n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (unsigned)(w->random >> 11) % n;
}

static const char *name_no(unsigned i)
{
    static char text[16];
    (void)snprintf(text, sizeof text, "z%02u.", i);
    return text;
}

static unsigned number_of(struct bytes apex) { return (unsigned)(apex.ptr[2] - '0') * 10 + (unsigned)(apex.ptr[3] - '0'); }

/* --- the catalogs ------------------------------------------------------------------------------------------------------------ */
static void write_catalog(const struct said *s, char *text, size_t cap)
{
    (void)snprintf(text, cap, "version TXT \"2\"\n");
    for (unsigned i = 0; i < NAMES; i++) {
        size_t at = strlen(text);
        if (!s->v[i].is)
            continue;
        (void)snprintf(text + at, cap - at, "n%uid%u.zones PTR %s\n", i, s->v[i].id, name_no(i));
        at = strlen(text);
        if (s->v[i].coo > 0)
            (void)snprintf(text + at, cap - at, "coo.n%uid%u.zones PTR %s\n", i, s->v[i].id, catalogs[s->v[i].coo - 1]);
    }
}

static void change_catalog(struct world *w)
{
    static const char *const breaks[] = { "version TXT \"3\"\n", "x.zones PTR p.\nx.zones PTR q.\n", "y.zones PTR r.\nx.zones PTR r.\n" };
    unsigned c = below(w, CATALOGS);
    struct said next = w->said[c];
    char text[NAMES * 100];
    bool bad = below(w, 8) == 0;
    for (unsigned n = 1 + below(w, 6); n > 0; n--) {
        struct listed *l = &next.v[below(w, NAMES)];
        l->is = below(w, 3) > 0;
        l->id = below(w, 3);
        l->coo = below(w, 2) == 0 ? 0 : 1 + (1 - c);
    }
    write_catalog(&next, text, sizeof text);
    struct catalog fresh;
    if (bad)
        (void)strncat(text, breaks[below(w, ROWS(breaks))], sizeof text - strlen(text) - 1);
    assert_int_equal(bed_catalog(catalogs[c], text, &fresh), OK);
    assert_int_equal(fresh.broken, bad);
    if (bad) {
        catalog_release(&fresh);        /* nothing of it is looked at */
        return;
    }
    catalog_release(&w->read[c]);
    w->read[c] = fresh;
    w->said[c] = next;
}

/* --- looks --------------------------------------------------------------------------------------------------------------------- */
static bool gives(void *arg, const char *other, struct bytes apex)
{
    const struct world *w = arg;
    unsigned c = strcmp(other, catalogs[0]) == 0 ? 0 : 1;
    const struct catalog_member *m = catalog_find(&w->read[c], apex);
    struct name to;
    assert_int_equal(name_from_text(bytes_of_text(catalogs[1 - c]), bytes_of(NULL, 0), &to), OK);
    return m != NULL && m->coo.len > 0 && name_equal(m->coo, name_bytes(&to));
}

static void show_zones(struct world *w, struct catalog_look *l)
{
    struct fault fault = { "" };
    for (unsigned i = 0; i < NAMES; i++) {
        const struct here *z = &w->zone[i];
        struct name apex;
        char text[400] = "{\"kind\":\"native\"}";
        if (!z->is)
            continue;
        if (!z->foreign)
            (void)snprintf(text, sizeof text, "{\"kind\":\"secondary\",\"primaries\":[{\"address\":\"192.0.2.1\"}],\"member_of\":{\"catalog\":\"%s\",\"id\":\"n%uid%u\"}}",
                           catalogs[z->owner], i, z->id);
        assert_int_equal(name_from_text(bytes_of_text(name_no(i)), bytes_of(NULL, 0), &apex), OK);
        assert_int_equal(catalog_look_zone(l, name_bytes(&apex), bytes_of_text(text), &fault), OK);
    }
}

static void apply(struct world *w, unsigned c, const struct catalog_step *s)
{
    unsigned i = number_of(s->apex);
    struct here *z = &w->zone[i];
    if (s->what == CATALOG_MAKE ? z->is : !z->is || z->foreign)
        fail_msg("%s: step %d does not fit what is there", name_no(i), (int)s->what);
    if (s->what == CATALOG_REMOVE) {
        *z = (struct here){ .is = false };
        return;
    }
    uint64_t made = s->what == CATALOG_SET ? z->made : ++w->clock;
    *z = (struct here){ .is = true, .owner = c, .id = w->said[c].v[i].id, .made = made };
}

/* Some of the steps, or all. Gives how many there were. */
static size_t look(struct world *w, unsigned c, bool force, bool all)
{
    struct catalog_look l;
    size_t before = 0, going = 0;
    catalog_look_init(&l);
    l.catalog = &w->read[c];
    l.settings = &w->settings;
    l.force = force;
    l.gives = gives;
    l.arg = w;
    show_zones(w, &l);
    assert_int_equal(catalog_look_end(&l), OK);
    for (unsigned i = 0; i < NAMES; i++)
        before += w->zone[i].is && !w->zone[i].foreign && w->zone[i].owner == c;
    assert_int_equal(l.members, before);
    for (size_t i = 0; i < l.n; i++)
        going += l.v[i].guarded;
    assert_int_equal(l.going, going);
    if (!force && going > CATALOG_GUARDED && 2 * going > before)
        fail_msg("%zu of %zu members go, and nobody forced it", going, before);
    size_t n = l.n, make = all || n == 0 ? n : below(w, (unsigned)n + 1);
    for (size_t i = 0; i < make; i++)
        apply(w, c, &l.v[i]);
    catalog_look_release(&l);
    return n;
}

/* --- what must be ---------------------------------------------------------------------------------------------------------------- */
static void check(const struct world *w)
{
    for (unsigned i = 0; i < NAMES; i++) {
        const struct here *z = &w->zone[i];
        const struct listed *own = z->is && !z->foreign ? &w->said[z->owner].v[i] : NULL;
        if (own != NULL && (!own->is || own->id != z->id))
            fail_msg("%s is here as a member of %s, which does not list it so", name_no(i), catalogs[z->owner]);
        for (unsigned c = 0; c < CATALOGS; c++) {
            const struct listed *l = &w->said[c].v[i];
            if (l->is && !z->is)
                fail_msg("%s is listed by %s, and is not here", name_no(i), catalogs[c]);
            if (l->is && own != NULL && z->owner != c && own->coo == c + 1 && l->coo != z->owner + 1)
                fail_msg("%s was given to %s, and is not there", name_no(i), catalogs[c]);
        }
    }
}

static void settle(struct world *w)
{
    unsigned looks = 0;
    size_t left;
    do {
        left = look(w, 0, true, true) + look(w, 1, true, true);
    } while (left > 0 && ++looks < 8);
    assert_int_equal(left, 0);
}

static void ends_as_said(void **state)
{
    const char *given = getenv("AZOTH_SEED");
    struct world w = { .random = given != NULL ? strtoull(given, NULL, 10) | 1 : (uint64_t)time(NULL) | 1 };
    struct fault fault = { "" };
    (void)state;
    print_message("seed %" PRIu64 " (AZOTH_SEED)\n", w.random);
    arena_init(&w.arena);
    assert_int_equal(settings_read(bytes_of_text("{\"kind\":\"secondary\",\"primaries\":[{\"address\":\"192.0.2.1\"}],\"catalog\":{}}"), &w.arena, &w.settings, &fault), OK);
    for (unsigned c = 0; c < CATALOGS; c++)
        assert_int_equal(bed_catalog(catalogs[c], "version TXT \"2\"\n", &w.read[c]), OK);
    for (unsigned i = 0; i < NAMES; i += 7)
        w.zone[i] = (struct here){ .is = true, .foreign = true };
    for (unsigned round = 0; round < ROUNDS; round++) {
        change_catalog(&w);
        for (unsigned n = below(&w, 4); n > 0; n--)
            (void)look(&w, below(&w, CATALOGS), false, below(&w, 2) == 0);
        if (below(&w, 10) == 0) {
            settle(&w);
            check(&w);
        }
        for (unsigned i = 0; i < NAMES; i += 7)
            assert_true(w.zone[i].is && w.zone[i].foreign);
    }
    settle(&w);
    check(&w);
    for (unsigned c = 0; c < CATALOGS; c++)
        catalog_release(&w.read[c]);
    settings_release(&w.settings);
    arena_release(&w.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ends_as_said) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
