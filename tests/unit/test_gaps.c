/* Gaps: which names share the answer of another one that is not there, and that they are told what they would be told without. */
#include "tests/signed_zones.h"
#include "tests/unit/gaps_bed.h"

#define OWNERS 64

static const char chain[] =
    "$TTL 300\n@ SOA ns h %u 2 3 4 5\n@ RRSIG SOA 13 1 300 20300101000000 20200101000000 1 k. AAAA\n@ NS ns\n"
    "@ NSEC b NS SOA RRSIG NSEC\n@ RRSIG NSEC 13 1 300 20300101000000 20200101000000 1 k. AAAA\n"
    "b A 192.0.2.1\nb NSEC x.f A RRSIG NSEC\nb RRSIG NSEC 13 2 300 20300101000000 20200101000000 1 k. AAAA\n"
    "x.f A 192.0.2.1\nx.f NSEC m A RRSIG NSEC\nm NS ns.m\nns.m A 192.0.2.2\nm NSEC ns NS RRSIG NSEC\nns A 192.0.2.1\nns NSEC x.*.w A RRSIG NSEC\n"
    "x.*.w A 192.0.2.3\nx.*.w NSEC @ A RRSIG NSEC\n";

static void load_chain(struct twins *t, unsigned serial)
{
    char text[sizeof chain + 16];
    (void)snprintf(text, sizeof text, chain, serial);
    bed_load(&t->front.bed, "k.", text);
}

/* One question after the other. */
static void names_of_a_gap(void **state)
{
    static const struct { const char *why; struct asked asked; bool gap; const char *load; } rows[] = {
        { "the first name of a gap is looked up", { .name = "d.k." }, false, NULL },
        { "another one", { .name = "e.k." }, true, NULL },
        { "a longer one", { .name = "dddddddddddddddddddddddddddddddddddddddddddd.k." }, true, NULL },
        { "a shorter one, in letters of any case", { .name = "C.K." }, true, NULL },
        { "of another type", { .name = "c.k.", .type = TYPE_DS }, true, NULL },
        { "several labels deep: the closest encloser is the same", { .name = "q.r.d.k." }, true, NULL },
        { "with bytes that keys escape", { .name = "d\\000\\001.k." }, true, NULL },
        { "without DO nothing is proven", { .name = "dd.k.", .no_dnssec = true }, false, NULL },
        { "below the owner before the gap: its encloser is deeper", { .name = "q.b.k." }, false, NULL },
        { "again", { .name = "r.b.k." }, true, NULL },
        { "and those that are not below it still have theirs", { .name = "de.k." }, true, NULL },
        { "below an empty non-terminal, before the owner behind the gap", { .name = "q.f.k." }, false, NULL },
        { "again", { .name = "r.s.f.k." }, true, NULL },
        { "the empty non-terminal itself is there", { .name = "f.k." }, false, NULL },
        { "on the other side of an owner", { .name = "a.k." }, false, NULL },
        { "an owner", { .name = "b.k.", .type = TYPE_TXT }, false, NULL },
        { "between an owner and a cut", { .name = "h.k." }, false, NULL },
        { "again", { .name = "i.k." }, true, NULL },
        { "below the cut: a referral", { .name = "q.m.k." }, false, NULL },
        { "behind the cut", { .name = "n.k." }, false, NULL },
        { "again", { .name = "na.k." }, true, NULL },
        { "behind the last owner, with another zone behind it", { .name = "z.k." }, false, NULL },
        { "again", { .name = "zz.k." }, true, NULL },
        { "a name that does not fit: cut short by the look-up", { .name = "e.k.", .max = 120 }, false, NULL },
        { "over TCP, with an option", { .name = "e.k.", .tcp = true }, true, NULL },
        { "and with room again", { .name = "e.k." }, true, NULL },
        { "a commit to another zone", { .name = "e.k." }, true, "other." },
        { "a commit to the zone: looked up", { .name = "ee.k." }, false, "k." },
        { "and kept again", { .name = "dd.k." }, true, NULL },
        { "names of another zone are in none of its gaps", { .name = "e.z." }, false, NULL },
        { "a zone with NSEC3, where names lie in the order of their hashes", { .name = "no.t." }, false, NULL },
        { "again", { .name = "np.t." }, false, NULL },
        { "a zone inside the gap: its names are not the gap's", { .name = "e.d.k." }, false, "d.k." },
    };
    struct twins t;
    (void)state;
    twins_open(&t, 4 << 20);
    load_chain(&t, 1);
    bed_load(&t.front.bed, "other.", "@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns.k.\n");
    bed_load(&t.front.bed, "t.", signed_t);
    (void)ask_one(&t, "ns.k.");
    names_fill(&t);
    for (size_t i = 0; i < ROWS(rows); i++) {
        if (rows[i].load != NULL && strcmp(rows[i].load, "k.") == 0)
            load_chain(&t, 2);
        else if (rows[i].load != NULL)
            bed_load(&t.front.bed, rows[i].load, "@ 300 SOA ns h 2 2 3 4 5\n@ 300 NS ns.k.\n");
        if (ask_twins(&t, &rows[i].asked) != rows[i].gap)
            fail_msg("%s: %s", rows[i].why, rows[i].asked.name);
    }
    twins_close(&t);
}

/* OWNERS names, each with its NSEC: as many gaps, and one more. */
static void load_owners(struct twins *t)
{
    static char text[OWNERS * 96 + 512];
    size_t n = (size_t)snprintf(text, sizeof text, "$TTL 300\n@ SOA ns.o. h 1 2 3 4 5\n@ RRSIG SOA 13 1 300 20300101000000 20200101000000 1 g. AAAA\n"
                                                   "@ NS ns.o.\n@ NSEC n00 NS SOA RRSIG NSEC\n");
    for (unsigned i = 0; i < OWNERS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "n%02u A 192.0.2.1\nn%02u NSEC n%02u A RRSIG NSEC\n", i, i, (i + 1) % OWNERS);
    bed_load(&t->front.bed, "g.", text);
}

static bool ask_gap(struct twins *t, unsigned gap, unsigned name)
{
    char text[32];
    (void)snprintf(text, sizeof text, "n%02ux%u.g.", gap, name);
    return ask_one(t, text);
}

/* More gaps than there is room for: those that are asked for stay, others give way in time, and every answer is right. */
static void gaps_give_way(void **state)
{
    struct twins t;
    unsigned name = 0, kept = 0, moved = 0;
    (void)state;
    twins_open(&t, 1 << 20);                    /* room for some twenty */
    load_owners(&t);
    (void)ask_one(&t, "n00.g.");
    names_fill(&t);
    assert_true(gaps_bytes(cache_gaps(t.front.cache, 0)) >= GAPS_MIN * 1024 && gaps_bytes(cache_gaps(t.front.cache, 0)) < OWNERS * 1024);
    for (unsigned gap = 0; gap < 4; gap++)
        assert_true(!ask_gap(&t, gap, name++) && ask_gap(&t, gap, name++));
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned gap = 8; gap < OWNERS; gap++)
            (void)ask_gap(&t, gap, name++);
        for (unsigned gap = 0; gap < 4; gap++)  /* these more often than the others */
            for (unsigned i = 0; i < 4; i++)
                kept += ask_gap(&t, gap, name++);
    }
    assert_int_equal(kept, 100 * 4 * 4);
    for (unsigned round = 0; round < 1000; round++)
        for (unsigned gap = OWNERS - 8; gap < OWNERS; gap++)        /* no place was free when they were asked for first */
            (void)ask_gap(&t, gap, name++);
    for (unsigned gap = OWNERS - 8; gap < OWNERS; gap++)
        moved += ask_gap(&t, gap, name++);
    assert_int_equal(moved, 8);
    twins_close(&t);
}

/* Nothing at all is behind the last owner. */
static void alone_in_the_store(void **state)
{
    struct twins t;
    (void)state;
    twins_open(&t, 4 << 20);
    load_chain(&t, 1);
    (void)ask_one(&t, "ns.k.");
    names_fill(&t);
    assert_true(!ask_one(&t, "z.k.") && ask_one(&t, "zz.k."));
    twins_close(&t);
}

/* The root as a zone: no label is above its names. */
static void root_zone(void **state)
{
    struct twins t;
    (void)state;
    twins_open(&t, 4 << 20);
    bed_load(&t.front.bed, ".", "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ RRSIG SOA 13 0 300 20300101000000 20200101000000 1 . AAAA\n@ NS ns.net.\n"
                                "@ NSEC com NS SOA RRSIG NSEC\ncom NS ns.com\nns.com A 192.0.2.1\ncom NSEC net NS\nnet NS ns.net\nns.net A 192.0.2.1\nnet NSEC @ NS\n");
    (void)ask_one(&t, ".");
    names_fill(&t);
    assert_true(!ask_one(&t, "dev.") && ask_one(&t, "local.") && ask_one(&t, "a.b.c.local."));
    assert_true(!ask_one(&t, "zone.") && ask_one(&t, "zonez."));
    assert_true(!ask_one(&t, "a.com.") && !ask_one(&t, "b.com."));
    twins_close(&t);
}

/* Zone g., of more lines. */
static void load_g(struct twins *t, unsigned serial, const char *more)
{
    static char text[8192];
    (void)snprintf(text, sizeof text, "$TTL 300\n@ SOA ns.o. h %u 2 3 4 5\n@ RRSIG SOA 13 1 300 20300101000000 20200101000000 1 g. AAAA\n"
                                      "@ NS ns.o.\n@ NSEC b NS SOA RRSIG NSEC\nb A 192.0.2.1\nb NSEC x A RRSIG NSEC\n%s", serial, more);
    bed_load(&t->front.bed, "g.", text);
    bed_load(&t->front.bed, "t.", signed_t);
    if (serial == 1) {
        (void)ask_one(t, "b.g.");
        names_fill(t);
    }
}

/* Owners go: gaps that began at them stand in nobody's way, in a table with room and in a full one. */
static void owners_go(void **state)
{
    static const struct { unsigned bytes, owners; } tables[] = { { 4 << 20, 3 }, { 4 << 20, 60 }, { 1 << 20, 60 } };
    for (size_t i = 0; i < ROWS(tables); i++) {
        static char text[8192];
        struct twins t;
        char name[32];
        size_t n = 0;
        (void)state;
        text[0] = '\0';
        twins_open(&t, tables[i].bytes);
        for (unsigned k = 0; k < tables[i].owners; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "d%02u A 192.0.2.1\nd%02u NSEC x A RRSIG NSEC\n", k, k);
        load_g(&t, 1, text);
        for (unsigned k = 0; k < 2 * tables[i].owners; k++) {
            (void)snprintf(name, sizeof name, "d%02ux%u.g.", k / 2, k);
            (void)ask_one(&t, name);
        }
        load_g(&t, 2, "");
        assert_false(ask_one(&t, "e.g."));
        for (unsigned k = 0; k < 100; k++) {
            (void)snprintf(name, sizeof name, "f%u.g.", k);
            assert_true(ask_one(&t, name));
        }
        twins_close(&t);
    }
}

/* An owner that is not below the apex alone goes: what was kept beside it says nothing any more, and hides nothing. */
static void a_deep_owner_goes(void **state)
{
    static const char *const deep[] = { "_acme.foo A 192.0.2.1\n_acme.foo NSEC x A RRSIG NSEC\nx A 192.0.2.1\nx NSEC @ A RRSIG NSEC\n",
                                        "x A 192.0.2.1\nx NSEC @ A RRSIG NSEC\n" };
    struct twins t;
    char name[32];
    (void)state;
    twins_open(&t, 4 << 20);
    load_g(&t, 1, deep[0]);
    assert_true(!ask_one(&t, "ca.g.") && !ask_one(&t, "0.foo.g."));
    load_g(&t, 2, deep[1]);
    assert_false(ask_one(&t, "ga.g."));
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof name, "g%u.g.", i);
        assert_true(ask_one(&t, name));
    }
    twins_close(&t);
}

/* More closest enclosers beside one gap than it has answers: the first ones keep theirs as long as they are asked for, else others
 * get them in time. */
static void many_enclosers(void **state)
{
    static const char *const below[] = { "x.a.b.c.g.", "a.b.c.g.", "b.c.g.", "c.g.", "g." };
    struct twins t;
    unsigned hits[ROWS(below)] = { 0 }, late = 0;
    char name[64];
    (void)state;
    twins_open(&t, 4 << 20);
    load_g(&t, 1, "x.a.b.c A 192.0.2.1\nx.a.b.c NSEC @ A RRSIG NSEC\n");
    for (unsigned i = 0; i < 300; i++)
        for (size_t k = 0; k < ROWS(below); k++) {
            (void)snprintf(name, sizeof name, "y%u.%s", i, below[k]);
            hits[k] += ask_one(&t, name);
        }
    assert_true(hits[0] == 299 && hits[1] == 299 && hits[2] == 299);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "z%u.g.", i);
        late += ask_one(&t, name);
    }
    assert_true(late > 300);
    twins_close(&t);
}

/* While keys are rolled over there are several signatures. */
static void signatures(void **state)
{
    static const char *const owners[] = { "@ RRSIG SOA", "@ RRSIG NSEC", "b RRSIG NSEC" };
    char text[2048];
    struct twins t;
    size_t n = 0;
    (void)state;
    for (unsigned i = 0; i < ROWS(owners); i++)
        for (unsigned tag = 2; tag < 4 + (i > 0); tag++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s 13 1 300 20300101000000 20200101000000 %u g. AAAA\n", owners[i], tag);
    twins_open(&t, 4 << 20);
    load_g(&t, 1, text);
    assert_true(!ask_one(&t, "d.g.") && ask_one(&t, "dd.g."));
    twins_close(&t);
}

/* Too little memory for gaps is none. */
static void little_memory(void **state)
{
    struct gaps *g;
    (void)state;
    assert_int_equal(gaps_open(&g, 1000), OK);
    assert_null(g);
    assert_int_equal(gaps_bytes(g), 0);
    gaps_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_a_gap), cmocka_unit_test(gaps_give_way), cmocka_unit_test(alone_in_the_store), cmocka_unit_test(root_zone),
        cmocka_unit_test(owners_go), cmocka_unit_test(a_deep_owner_goes), cmocka_unit_test(many_enclosers), cmocka_unit_test(signatures), cmocka_unit_test(little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
