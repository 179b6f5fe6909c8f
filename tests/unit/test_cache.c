/* The answer cache under change: what a commit leaves in it, by the counters; and many threads on one cache. */
#include "dnsfront/known.h"
#include "tests/unit/cache_bed.h"

#include <pthread.h>

#define COMMITS 50

static void other_names_stay(void **state)
{
    struct front f;
    (void)state;
    front_open(&f, 16 << 20);
    load(&f, 1, 1, "");
    ask_all(&f);
    assert_int_equal(misses(&f), NAMES);
    for (unsigned i = 0; i < COMMITS; i++) {
        load(&f, 2 + i, 2 + i, "");
        ask_all(&f);
    }
    assert_int_equal(misses(&f), NAMES);
    assert_int_equal(hits(&f), (uint64_t)NAMES * COMMITS);
    assert_int_equal(drops(&f), 0);
    front_close(&f);
}

/* Rows: what is committed, the question asked before and after, and whether its answer stays kept. */
static const struct { const char *why, *before, *after, *name; uint16_t type; bool stays; } rows[] = {
    { "another name of the zone changed", "x A 192.0.2.2", "x A 192.0.2.3", "n1.a.", TYPE_A, true },
    { "the name itself changed", "x A 192.0.2.2", "x A 192.0.2.3", "x.a.", TYPE_A, false },
    { "another type of the name changed: an owner is one thing", "x A 192.0.2.2", "x A 192.0.2.2\nx TXT y", "x.a.", TYPE_A, false },
    { "NXDOMAIN says the serial", "", "x A 192.0.2.3", "no.a.", TYPE_A, false },
    { "NODATA says the serial", "", "x A 192.0.2.3", "n1.a.", TYPE_TXT, false },
    { "the target of an alias changed", "x CNAME y\ny A 192.0.2.2", "x CNAME y\ny A 192.0.2.3", "x.a.", TYPE_A, false },
    { "an alias beside it changed", "x CNAME n1\ny CNAME n1", "x CNAME n1\ny CNAME n2", "x.a.", TYPE_A, true },
    { "another referral changed", "x NS ns.b.\ny NS ns.b.", "x NS ns.b.\ny NS ns.c.", "q.x.a.", TYPE_A, true },
    { "the referral changed", "x NS ns.b.", "x NS ns.c.", "q.x.a.", TYPE_A, false },
    { "glue of the referral changed", "x NS ns.x\nns.x A 192.0.2.2", "x NS ns.x\nns.x A 192.0.2.3", "q.x.a.", TYPE_A, false },
    { "glue of a cut beside it changed", "x NS ns.y\ny NS ns.y\nns.y A 192.0.2.2", "x NS ns.y\ny NS ns.y\nns.y A 192.0.2.3", "q.x.a.",
      TYPE_A, false },
    { "a name server's address in the zone changed", "x NS s\ns A 192.0.2.2", "x NS s\ns A 192.0.2.3", "q.x.a.", TYPE_A, false },
    { "a name server's address in the zone appeared", "x NS s", "x NS s\ns A 192.0.2.3", "q.x.a.", TYPE_A, false },
    { "a wildcard beside it changed", "*.x A 192.0.2.2\n*.y A 192.0.2.2", "*.x A 192.0.2.2\n*.y A 192.0.2.3", "q.x.a.", TYPE_A, true },
    { "a name came where the wildcard answered", "*.x A 192.0.2.2", "*.x A 192.0.2.2\nq.x A 192.0.2.3", "q.x.a.", TYPE_A, false },
    { "the DNAME changed", "x DNAME y\n", "x DNAME z\n", "q.x.a.", TYPE_A, false },
    { "a cut came above the name", "q.x A 192.0.2.2", "x NS q.x\nq.x A 192.0.2.2", "q.x.a.", TYPE_A, false },
    { "a name that is not ours", "", "x A 192.0.2.3", "far.away.", TYPE_A, true },
    { "an alias that leads away", "x CNAME far.away.", "x CNAME far.away.\ny A 192.0.2.2", "x.a.", TYPE_A, true },
};

static void commits_drop_what_they_change(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct front f;
        front_open(&f, 16 << 20);
        load(&f, 1, 1, rows[i].before);
        for (unsigned k = 0; k < 3; k++)        /* what is not there is kept the second time, and so a hit the third */
            ask_name(&f, rows[i].name, rows[i].type);
        if (hits(&f) == 0)
            fail_msg("%s: the same question again is no hit", rows[i].why);
        uint64_t before = misses(&f);
        load(&f, 2, 1, rows[i].after);
        ask_name(&f, rows[i].name, rows[i].type);
        if ((misses(&f) == before) != rows[i].stays)
            fail_msg("%s: the answer %s", rows[i].why, rows[i].stays ? "was built anew" : "is the old one");
        front_close(&f);
    }
}

/* With DO a referral hangs on whether its zone is signed, not on each serial of a zone that is not. */
static void referrals_with_do(void **state)
{
    static const char sig[] = "x NS ns.b.\n@ RRSIG SOA 8 1 300 20300101000000 20200101000000 1 a. AAAA\nx DS 1 8 2 "
                              "0000000000000000000000000000000000000000000000000000000000000001";
    static const char plain[] = "x NS ns.b.\nx DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001";
    struct front f;
    struct name name;
    (void)state;
    front_open(&f, 16 << 20);
    bed_name("q.x.a.", &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN, .udp_size = 1232, .dnssec_ok = true };
    load(&f, 1, 1, plain);
    for (unsigned i = 0; i < 5; i++) {
        struct bytes reply = bed_ask(&f.bed, &q);
        bytes_free(reply);
        load(&f, 2 + i, 2 + i, plain);
    }
    assert_int_equal(hits(&f), 4);
    struct bytes before = bed_ask(&f.bed, &q);
    load(&f, 8, 8, sig);
    struct bytes after = bed_ask(&f.bed, &q);
    assert_int_equal(misses(&f), 2);
    assert_true(after.len > before.len);        /* the DS is in now */
    bytes_free(before);
    bytes_free(after);
    front_close(&f);
}

/* --- what an answer hangs on that is not its own name ------------------------------------------------------------- */
#define TEXT_ZONE "$TTL 300\n@ SOA ns.a. h 1 2 3 4 5\n@ NS ns.a.\n"
#define SIGNED_ZONE "$TTL 300\n@ SOA ns.a. h 1 2 3 4 5\n@ RRSIG SOA 13 1 300 20300101000000 20200101000000 1 a. AAAA\n@ NS ns.a.\n"
struct text_of { const char *origin, *text; };
static const struct { const char *why; struct text_of before[3], after; const char *name; uint16_t type; } hangs[] = {
    { "shadowed data makes the closest encloser exist, the wildcard above it answers no more",
      { { "a.", TEXT_ZONE "*.b TXT w\n" }, { "h.e.b.a.", TEXT_ZONE } },
      { "a.", TEXT_ZONE "*.b TXT w\nd.h.e.b TXT x\n" }, "q.e.b.a.", TYPE_TXT },
    { "the zone is signed with NSEC3: referrals get a proof, though no key of the cut changed",
      { { "a.", TEXT_ZONE "cut NS ns.c.\n" } },
      { "a.", SIGNED_ZONE "cut NS ns.c.\n@ NSEC3PARAM 1 0 0 -\n"
              "qj2k5gbslc63lg0qour6j95c8s2b6ueh NSEC3 1 1 0 - qj2k5gbslc63lg0qour6j95c8s2b6ueh NS\n" }, "q.cut.a.", TYPE_A },
    { "the SOA is signed: a DS without signature is sent from then on",
      { { "a.", TEXT_ZONE "cut NS ns.c.\ncut DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001\n" } },
      { "a.", SIGNED_ZONE "cut NS ns.c.\ncut DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000001\n" },
      "q.cut.a.", TYPE_A },
};

static void ask_with_do(struct front *f, struct answerer *a, size_t row, struct bytes *out)
{
    static uint8_t got[2][ANSWER_UDP_MAX];
    uint8_t buf[512], *to = got[a == f->bed.answerer];
    struct answer_from from = { .proto = ANSWER_UDP, .max = ANSWER_UDP_MAX };
    struct name name;
    bed_name(hangs[row].name, &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = hangs[row].type, .qclass = CLASS_IN, .udp_size = 1232, .dnssec_ok = true };
    struct bytes query = bytes_of(buf, ask_write(&q, buf, sizeof buf));
    assert_int_equal(view_begin(f->bed.view), OK);
    *out = bytes_of(to, answer(a, query, &from, to, ANSWER_UDP_MAX));
    view_end(f->bed.view);
}

static void commits_change_what_they_must(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(hangs); i++) {
        struct answer_counters counts = { 0 };
        struct answer_options o = { .counts = &counts };
        struct bytes got, want, before;
        struct answerer *plain;
        struct front f;
        struct bed *b = &f.bed;
        front_open(&f, 16 << 20);
        BED(answerer_open(&plain, f.bed.view, &o));
        for (size_t k = 0; k < ROWS(hangs[i].before) && hangs[i].before[k].origin != NULL; k++)
            bed_load(&f.bed, hangs[i].before[k].origin, hangs[i].before[k].text);
        ask_with_do(&f, f.bed.answerer, i, &got);
        before = heap_copy(got.ptr, got.len);
        ask_with_do(&f, f.bed.answerer, i, &got);
        if (hits(&f) != 1)
            fail_msg("%s: the same question again is no hit", hangs[i].why);
        bed_load(&f.bed, hangs[i].after.origin, hangs[i].after.text);
        ask_with_do(&f, f.bed.answerer, i, &got);
        ask_with_do(&f, plain, i, &want);
        if (!bytes_equal(got, want))
            fail_msg("%s: the answer is still the one before", hangs[i].why);
        if (bytes_equal(before, want))
            fail_msg("%s: the row changes nothing", hangs[i].why);
        bytes_free(before);
        answerer_close(plain);
        front_close(&f);
    }
}

/* A zone comes: the alias that led away from us leads to it. */
static void new_zone_is_seen(void **state)
{
    struct front f;
    (void)state;
    front_open(&f, 16 << 20);
    load(&f, 1, 1, "x CNAME w.b.");
    ask_name(&f, "x.a.", TYPE_A);
    bed_load(&f.bed, "b.", "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nw A 192.0.2.4\n");
    ask_name(&f, "x.a.", TYPE_A);
    assert_int_equal(misses(&f), 2);
    ask_name(&f, "x.a.", TYPE_A);
    assert_int_equal(hits(&f), 1);
    front_close(&f);
}

/* Headers of zones outlive commits to other zones; without memory for answers too. */
static void headers_stay(void **state)
{
    struct front f;
    (void)state;
    front_open(&f, 0);
    assert_false(cache_keeps(f.cache));
    load(&f, 1, 1, "");
    bed_load(&f.bed, "b.", "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nw A 192.0.2.4\n");
    ask_name(&f, "w.b.", TYPE_A);
    uint64_t before = zone_seeks(&f);
    for (unsigned i = 0; i < 10; i++) {
        load(&f, 2 + i, 2 + i, "");
        ask_name(&f, "w.b.", TYPE_A);
    }
    assert_int_equal(zone_seeks(&f), before);
    ask_name(&f, "n1.a.", TYPE_A);
    assert_int_equal(zone_seeks(&f), before + 1);
    assert_int_equal(hits(&f) + misses(&f), 0);
    front_close(&f);
}

/* What a limit of equal answers goes by is the same from the cache. */
static void said_is_kept(void **state)
{
    static const struct { const char *name, *says; enum answer_kind kind; } said[] = {
        { "n1.a.", "n1.a.", ANSWER_POSITIVE }, { "no.no.a.", "a.", ANSWER_NXDOMAIN }, { "q.x.a.", "x.a.", ANSWER_REFERRAL },
        { "q.w.a.", "w.a.", ANSWER_POSITIVE },
    };
    struct front f;
    (void)state;
    front_open(&f, 16 << 20);
    load(&f, 1, 1, "x NS ns.b.\n*.w A 192.0.2.2");
    for (size_t i = 0; i < 3 * ROWS(said); i++) {
        uint8_t buf[512], out[ANSWER_UDP_MAX];
        struct answer_from from = { .proto = ANSWER_UDP, .max = sizeof out };
        struct name name, says;
        bed_name(said[i / 3].name, &name);
        bed_name(said[i / 3].says, &says);
        struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN };
        struct bytes query = bytes_of(buf, ask_write(&q, buf, sizeof buf));
        assert_int_equal(view_begin(f.bed.view), OK);
        assert_true(answer(f.bed.answerer, query, &from, out, sizeof out) > 0);
        view_end(f.bed.view);
        struct answer_said got = answer_said(f.bed.answerer);
        assert_int_equal(got.kind, said[i / 3].kind);
        assert_true(name_equal(got.name, name_bytes(&says)));
    }
    assert_int_equal(hits(&f), 2 * ROWS(said) - 1);      /* NXDOMAIN is kept the second time */
    front_close(&f);
}

/* An answer that was cut short, or without what did not fit, is one for that room alone: every room there is, twice. */
static void room_counts(void **state)
{
    static const char *const names[] = { "a.", "q.x.a.", "q.y.a.", "alias.a." };
    struct answer_counters counts = { 0 };
    struct answer_options o = { .counts = &counts };
    struct front f;
    struct bed *b = &f.bed;
    struct answerer *plain;
    (void)state;
    front_open(&f, 16 << 20);
    load(&f, 1, 1, "@ NS s\ns AAAA 2001:db8::1\nx NS s\nx NS ns\ny NS ns.y\nns.y A 192.0.2.2\nns.y AAAA 2001:db8::2\nalias CNAME n1");
    BED(answerer_open(&plain, b->view, &o));
    for (size_t i = 0; i < ROWS(names) * 2; i++) {
        for (size_t room = 20; room < 220; room++) {
            uint8_t buf[512], want[ANSWER_UDP_MAX], got[ANSWER_UDP_MAX];
            struct answer_from from = { .proto = ANSWER_TCP, .max = room };
            struct name name;
            bed_name(names[i % ROWS(names)], &name);
            struct ask q = { .qname = name_bytes(&name), .qtype = i % ROWS(names) == 0 ? TYPE_NS : TYPE_A, .qclass = CLASS_IN };
            struct bytes query = bytes_of(buf, ask_write(&q, buf, sizeof buf));
            assert_int_equal(view_begin(b->view), OK);
            size_t n = answer(plain, query, &from, want, sizeof want), m = answer(b->answerer, query, &from, got, sizeof got);
            view_end(b->view);
            if (n != m || memcmp(want, got, n) != 0)
                fail_msg("%s in %zu bytes: %zu, want %zu", names[i % ROWS(names)], room, m, n);
        }
    }
    assert_true(hits(&f) > 0);
    answerer_close(plain);
    front_close(&f);
}

static void names_that_are_not_there_wait(void **state)
{
    struct front f;
    (void)state;
    front_open(&f, 16 << 20);
    load(&f, 1, 1, "");
    for (unsigned i = 0; i < 3 * 500; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "no%u.a.", i % 500);
        ask_name(&f, text, TYPE_A);
        if (i == 499)
            assert_int_equal(stat_get(&f.bed.counts.cache_stores), 0);
    }
    assert_int_equal(stat_get(&f.bed.counts.cache_stores), 500);
    assert_int_equal(hits(&f), 500);
    assert_true(stat_get(&f.bed.counts.descents[STEP_WILDCARD]) == 0);         /* the zone has none at all */
    front_close(&f);
}

/* That there is no wildcard at an encloser is remembered, until there is one. */
static void bare_enclosers_are_known(void **state)
{
    struct front f;
    const stat_count *looks;
    (void)state;
    front_open(&f, 16 << 20);
    looks = &f.bed.counts.descents[STEP_WILDCARD];
    load(&f, 1, 1, "*.w A 192.0.2.1\nx.e A 192.0.2.1");
    ask_name(&f, "no1.a.", TYPE_A);
    ask_name(&f, "no2.a.", TYPE_A);
    assert_int_equal(stat_get(looks), 1);
    load(&f, 2, 2, "*.w A 192.0.2.1\nx.e A 192.0.2.1");
    ask_name(&f, "no3.a.", TYPE_A);
    assert_int_equal(stat_get(looks), 1);
    ask_name(&f, "no1.e.a.", TYPE_A);
    ask_name(&f, "no2.e.a.", TYPE_A);
    assert_int_equal(stat_get(looks), 2);
    load(&f, 3, 2, "*.w A 192.0.2.1\n*.e A 192.0.2.1\nx.e A 192.0.2.1");
    uint64_t denied = stat_get(&f.bed.counts.responses[RCODE_NXDOMAIN]);
    ask_name(&f, "no3.e.a.", TYPE_A);
    assert_int_equal(stat_get(looks), 3);
    assert_int_equal(stat_get(&f.bed.counts.responses[RCODE_NXDOMAIN]), denied);
    ask_name(&f, "no4.a.", TYPE_A);
    assert_int_equal(stat_get(looks), 3);
    front_close(&f);
}

/* More names than fit: what is asked for again and again stays or comes back. */
static void full_cache_keeps_answering(void **state)
{
    struct front f;
    (void)state;
    front_open(&f, 300 << 10);
    load(&f, 1, 1, "");
    for (unsigned i = 0; i < 20000; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "no%u.a.", i);
        ask_name(&f, text, TYPE_A);             /* a flood of names that do not exist */
        if (i % 100 == 0)
            ask_name(&f, "n7.a.", TYPE_A);
    }
    assert_int_equal(hits(&f), 199);            /* positive answers have memory of their own */
    front_close(&f);
}

/* --- threads -------------------------------------------------------------------------------------------------------- */
#define THREADS 3
#define PASSES 300
struct asker { struct front *f; struct view *view; struct answerer *plain, *cached; struct answer_counters counts[2]; unsigned number, wrong; };

static void ask_once(struct asker *a, struct rnd *r)
{
    uint8_t buf[512], want[ANSWER_UDP_MAX], got[ANSWER_UDP_MAX];
    struct answer_from from = { .proto = ANSWER_UDP, .max = sizeof want };
    char text[32];
    struct name name;
    (void)snprintf(text, sizeof text, rnd_below(r, 4) == 0 ? "moving.a." : rnd_below(r, 4) == 0 ? "no%u.a." : "n%u.a.",
                   rnd_below(r, NAMES));
    bed_name(text, &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN };
    struct bytes query = bytes_of(buf, ask_write(&q, buf, sizeof buf));
    size_t n = answer(a->plain, query, &from, want, sizeof want);
    answer_prepare(a->cached, &query, 1);
    size_t m = answer(a->cached, query, &from, got, sizeof got);
    a->wrong += n != m || memcmp(want, got, n) != 0;
}

static void *asker_run(void *arg)
{
    struct asker *a = arg;
    struct rnd r = rnd_seed(a->number + 1);
    for (unsigned i = 0; i < PASSES; i++) {
        if (view_begin(a->view) != OK)
            abort();
        for (unsigned k = 0; k < 20; k++)
            ask_once(a, &r);
        view_end(a->view);
    }
    return NULL;
}

struct filling { struct front *f; struct view *view; atomic_bool stop; unsigned done; };

static void *fill_run(void *arg)
{
    struct filling *t = arg;
    struct cache *c = t->f->cache;
    while (!atomic_load(&t->stop))
        t->done += known_fill(cache_known(c), cache_changes(c), t->view, &t->stop) == OK;
    return NULL;
}

static void threads_share(void **state)
{
    struct front f;
    struct filling filling = { .f = &f };
    pthread_t filler;
    struct bed *b = &f.bed;
    struct asker asker[THREADS] = { { 0 } };
    pthread_t thread[THREADS];
    (void)state;
    bed_open(b, NULL, NULL);
    BED(cache_open(&f.cache, 1 << 20, THREADS, secret));        /* small: entries are written over under the readers */
    load(&f, 1, 1, "");
    BED(view_open(b->store, &filling.view, &b->fault));
    assert_int_equal(pthread_create(&filler, NULL, fill_run, &filling), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        struct asker *a = &asker[i];
        struct answer_options plain = { .counts = &a->counts[0] }, cached = { .counts = &a->counts[1] };
        a->f = &f;
        a->number = i;
        BED(view_open(b->store, &a->view, &b->fault));
        BED(answerer_open(&a->plain, a->view, &plain));
        BED(answerer_open(&a->cached, a->view, &cached));
        answerer_share(a->cached, f.cache, i);
        assert_int_equal(pthread_create(&thread[i], NULL, asker_run, a), 0);
    }
    for (unsigned i = 0; i < COMMITS; i++)
        load(&f, 2 + i, 2 + i, "");
    uint64_t all_hits = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        struct asker *a = &asker[i];
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(a->wrong, 0);
        all_hits += stat_get(&a->counts[1].cache_hits);
        answerer_close(a->plain);
        answerer_close(a->cached);
        view_close(a->view);
    }
    atomic_store(&filling.stop, true);
    assert_int_equal(pthread_join(filler, NULL), 0);
    view_close(filling.view);
    assert_true(all_hits > 0 && filling.done > 0);
    front_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_names_stay), cmocka_unit_test(commits_drop_what_they_change), cmocka_unit_test(referrals_with_do),
        cmocka_unit_test(commits_change_what_they_must), cmocka_unit_test(new_zone_is_seen), cmocka_unit_test(headers_stay),
        cmocka_unit_test(said_is_kept), cmocka_unit_test(room_counts), cmocka_unit_test(names_that_are_not_there_wait),
        cmocka_unit_test(bare_enclosers_are_known), cmocka_unit_test(full_cache_keeps_answering), cmocka_unit_test(threads_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
