/* The filter of known names: what it says by itself, what it leaves to the look-up, and what is kept of names that are not there. */
#include "dnsfront/answer_parts.h"
#include "dnsfront/known.h"
#include "tests/unit/cache_bed.h"

static enum err fill_now(struct front *f)
{
    static const atomic_bool never;
    struct bed *b = &f->bed;
    struct view *v;
    BED(view_open(b->store, &v, &b->fault));
    enum err err = known_fill(cache_known(f->cache), cache_changes(f->cache), v, &never);
    bool stale = known_is_stale(cache_known(f->cache), cache_changes(f->cache), v);
    view_close(v);
    assert_int_equal(stale, err != OK);
    return err;
}

/* What the filter may say by itself, and what it must leave to the look-up. */
static void known_names(void **state)
{
    static const struct { const char *why, *name; uint16_t type; bool absent; } asked[] = {
        { "a name below the apex that is not there", "no.k.", TYPE_A, true },
        { "of whatever type", "no.k.", TYPE_DS, true },
        { "in letters of any case", "NO.K.", TYPE_A, true },
        { "below a name that is there: nothing stands above it but names", "no.www.k.", TYPE_A, true },
        { "in none of our zones", "far.away.", TYPE_A, true },
        { "a name that is there", "www.k.", TYPE_A, false },
        { "of another type", "www.k.", TYPE_MX, false },
        { "an empty non-terminal exists", "ent.k.", TYPE_A, false },
        { "below an empty non-terminal", "no.ent.k.", TYPE_A, true },
        { "below a cut: the referral", "no.cut.k.", TYPE_A, false },
        { "below a DNAME: another name", "x.dname.k.", TYPE_A, false },
        { "more labels than are looked at", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.k.", TYPE_A, false },
        { "the root is no name of ours, but above all", ".", TYPE_NS, false },
    };
    struct front f;
    (void)state;
    front_open(&f, 4 << 20);
    bed_load(&f.bed, "k.", "@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns\nwww 300 A 192.0.2.1\na.ent 300 A 192.0.2.1\n"
                                "cut 300 NS ns.cut\nns.cut 300 A 192.0.2.2\ndname 300 DNAME www\nx.www 300 A 192.0.2.3\n");
    ask_name(&f, "www.k.", TYPE_A);
    assert_int_equal(fill_now(&f), OK);
    for (size_t i = 0; i < ROWS(asked); i++) {
        uint64_t before = stat_get(&f.bed.counts.absent);
        ask_name(&f, asked[i].name, asked[i].type);
        if ((stat_get(&f.bed.counts.absent) > before) != asked[i].absent)
            fail_msg("%s: %s", asked[i].why, asked[i].name);
    }
    front_close(&f);
}

/* Names that come are known at once; more than there is room for are no filter. */
static void known_names_grow(void **state)
{
    struct front f;
    char *text = malloc(200000 * 32);
    size_t n = 0;
    (void)state;
    assert_non_null(text);
    front_open(&f, 1 << 20);
    bed_load(&f.bed, "k.", "@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns\n");
    ask_name(&f, "no.k.", TYPE_A);
    assert_int_equal(fill_now(&f), OK);
    ask_name(&f, "new.k.", TYPE_A);
    assert_int_equal(stat_get(&f.bed.counts.absent), 1);
    bed_load(&f.bed, "k.", "@ 300 SOA ns h 2 2 3 4 5\n@ 300 NS ns\nnew 300 A 192.0.2.1\n");
    ask_name(&f, "new.k.", TYPE_A);
    assert_int_equal(stat_get(&f.bed.counts.absent), 1);
    for (unsigned i = 0; i < 150000; i++)
        n += (size_t)snprintf(text + n, 32, "n%u 300 A 192.0.2.1\n", i);
    bed_load(&f.bed, "big.", "@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns\n");
    assert_int_equal(fill_now(&f), OK);
    char *whole = malloc(n + 100);
    assert_non_null(whole);
    (void)snprintf(whole, n + 100, "@ 300 SOA ns h 2 2 3 4 5\n@ 300 NS ns\n%s", text);
    bed_load(&f.bed, "big.", whole);
    ask_name(&f, "no.k.", TYPE_A);              /* the table learns that it knows nothing */
    uint64_t absent = stat_get(&f.bed.counts.absent);
    assert_int_equal(fill_now(&f), ERR_NOTNOW);
    ask_name(&f, "no2.k.", TYPE_A);
    assert_int_equal(stat_get(&f.bed.counts.absent), absent);
    free(whole);
    free(text);
    front_close(&f);
}

/* Names that are not there, again and again: nothing of them is kept. Names that a wildcard answers share one answer. */
static void absent_names(void **state)
{
    static const struct { const char *why, *below; uint16_t type; unsigned absent, hits, stores; } floods[] = {
        { "not there: told by the filter, the second time as well", "k.", TYPE_A, 40, 0, 0 },
        { "a wildcard: one answer for all names, from the second question on", "w.k.", TYPE_A, 0, 39, 1 },
        { "of each type", "w.k.", TYPE_TXT, 0, 39, 1 },
        { "several labels deep too", "a.b.w.k.", TYPE_A, 0, 40, 0 },
        { "a name in it follows the question's: each has its own", "mx.k.", TYPE_MX, 0, 20, 20 },
        { "an alias leads on: each has its own", "alias.k.", TYPE_A, 0, 20, 20 },
        { "no such type there: kept for each name", "w.k.", TYPE_AAAA, 0, 20, 20 },
    };
    struct front f;
    (void)state;
    front_open(&f, 4 << 20);
    bed_load(&f.bed, "k.", "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nwww A 192.0.2.1\n*.w A 192.0.2.2\n*.w TXT t\n*.mx MX 1 mail.k.\n"
                           "mail A 192.0.2.3\n*.alias CNAME www\n");
    ask_name(&f, "www.k.", TYPE_A);
    assert_int_equal(fill_now(&f), OK);
    for (size_t i = 0; i < ROWS(floods); i++) {
        struct answer_counters *n = &f.bed.counts;
        uint64_t absent = stat_get(&n->absent), found = hits(&f), stores = stat_get(&n->cache_stores);
        for (unsigned k = 0; k < 40; k++) {
            char text[32];
            (void)snprintf(text, sizeof text, "n%u.%s", k % 20, floods[i].below);
            ask_name(&f, text, floods[i].type);
        }
        absent = stat_get(&n->absent) - absent;
        stores = stat_get(&n->cache_stores) - stores;
        if (absent != floods[i].absent || hits(&f) - found != floods[i].hits || stores != floods[i].stores)
            fail_msg("%s: %llu absent, %llu hits, %llu stores", floods[i].why, (unsigned long long)absent,
                     (unsigned long long)(hits(&f) - found), (unsigned long long)stores);
    }
    front_close(&f);
}

static void ask_signed(struct front *f, const char *text)
{
    struct name name;
    bed_name(text, &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN, .udp_size = 1232, .dnssec_ok = true };
    bytes_free(bed_ask(&f->bed, &q));
}

/* A proof of NXDOMAIN: one descent for the name itself, none where a name beside it was denied (gaps.h), none for the wildcard
 * once its NSEC was sent, until the zone changes. */
static void proofs_of_absent_names(void **state)
{
    static const char zone[] = "$TTL 300\n@ SOA ns h %u 2 3 4 5\n@ RRSIG SOA 13 1 300 20300101000000 20200101000000 1 k. AAAA\n"
                               "@ NS ns\n@ NSEC ns NS SOA RRSIG NSEC\nns A 192.0.2.1\nns NSEC @ A RRSIG NSEC\n*.x A 192.0.2.4\n";
    static const struct { const char *why, *name; bool commit; unsigned exact, proof; } prices[] = {
        { "the first name: the wildcard's NSEC is looked for", "nz.k.", false, 1, 1 },
        { "a name elsewhere", "na.k.", false, 1, 1 },
        { "beside the first: it is in the same gap", "ny.k.", false, 0, 0 },
        { "after a commit to the zone", "nx.k.", true, 1, 1 },
        { "elsewhere", "nb.k.", false, 1, 1 },
        { "and then", "nw.k.", false, 0, 0 },
    };
    struct front f;
    char text[sizeof zone + 16];
    (void)state;
    front_open(&f, 4 << 20);
    (void)snprintf(text, sizeof text, zone, 1u);
    bed_load(&f.bed, "k.", text);
    ask_name(&f, "ns.k.", TYPE_A);
    assert_int_equal(fill_now(&f), OK);
    for (size_t i = 0; i < ROWS(prices); i++) {
        const struct answer_counters *n = &f.bed.counts;
        (void)snprintf(text, sizeof text, zone, 2 + (unsigned)i);
        if (prices[i].commit)
            bed_load(&f.bed, "k.", text);
        uint64_t exact = stat_get(&n->descents[STEP_EXACT]), proof = stat_get(&n->descents[STEP_PROOF]);
        ask_signed(&f, prices[i].name);
        exact = stat_get(&n->descents[STEP_EXACT]) - exact;
        proof = stat_get(&n->descents[STEP_PROOF]) - proof;
        if (exact != prices[i].exact || proof != prices[i].proof)
            fail_msg("%s: %llu exact, %llu proof", prices[i].why, (unsigned long long)exact, (unsigned long long)proof);
    }
    front_close(&f);
}

/* Which queries of a batch have their descent made together with the others': those that will take one. */
static void descents_foreseen(void **state)
{
    enum { BATCH = 4 };
    static const struct { const char *why, *names[BATCH]; bool dnssec_ok; const char *foreseen; } rows[] = {
        { "all of them are there",                       { "a.k.", "b.k.", "c.k.", "d.k." },  false, "yyyy" },
        { "two have been answered before",               { "a.k.", "e.k.", "b.k.", "f.k." },  false, "nyny" },
        { "with DO they are other answers",              { "a.k.", "e.k.", "b.k.", "f.k." },  true,  "yyyy" },
        { "two are not there",                           { "x.k.", "ns.k.", "y.k.", "g.k." }, false, "nyny" },
        { "with DO that takes a proof, as was not known", { "x.k.", "aa.k.", "bb.k.", "cc.k." },  true,  "nnnn" },
        { "now it is",                                   { "t.k.", "v.k.", "dd.k.", "ee.k." },  true,  "yyyy" },
        { "but not without DO",                          { "t.k.", "v.k.", "y.k.", "w.k." },  false, "nnnn" },
        { "these lie in gaps, as was not known",         { "t.k.", "v.k.", "ab.k.", "bc.k." },  true,  "yyyy" },
        { "now it is",                                   { "t.k.", "v.k.", "ab.k.", "bc.k." },  true,  "nnnn" },
    };
    struct answerer *a;
    struct front f;
    (void)state;
    front_open(&f, 4 << 20);
    a = f.bed.answerer;
    a->foresee_leaves = 0;
    bed_load(&f.bed, "k.", "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ RRSIG SOA 13 1 300 20300101000000 20200101000000 1 k. AAAA\n"
                           "@ NS ns\n@ NSEC ns NS SOA RRSIG NSEC\nns A 192.0.2.1\nns NSEC @ A RRSIG NSEC\na A 192.0.2.4\n"
                           "b A 192.0.2.4\nc A 192.0.2.4\nd A 192.0.2.4\ne A 192.0.2.4\nf A 192.0.2.4\ng A 192.0.2.4\n");
    assert_int_equal(fill_now(&f), OK);
    for (size_t i = 0; i < ROWS(rows); i++) {
        static uint8_t buf[BATCH][512], out[ANSWER_UDP_MAX];
        struct answer_from from = { .proto = ANSWER_UDP, .max = sizeof out };
        struct bytes queries[BATCH];
        for (unsigned k = 0; k < BATCH; k++) {
            struct name name;
            bed_name(rows[i].names[k], &name);
            struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN,
                             .udp_size = rows[i].dnssec_ok ? 1232 : 0, .dnssec_ok = rows[i].dnssec_ok };
            queries[k] = bytes_of(buf[k], ask_write(&q, buf[k], sizeof buf[k]));
        }
        assert_int_equal(view_begin(f.bed.view), OK);
        answer_prepare(a, queries, BATCH);
        for (unsigned k = 0; k < BATCH; k++) {
            if ((a->prepared[k].foretold != NULL) != (rows[i].foreseen[k] == 'y'))
                fail_msg("%s: %s", rows[i].why, rows[i].names[k]);
            assert_true(answer(a, queries[k], &from, out, sizeof out) > 0);
        }
        view_end(f.bed.view);
    }
    front_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_names), cmocka_unit_test(known_names_grow), cmocka_unit_test(absent_names),
        cmocka_unit_test(proofs_of_absent_names),
        cmocka_unit_test(descents_foreseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
