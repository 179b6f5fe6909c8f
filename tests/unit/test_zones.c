/* Headers of many zones: read once, then from a worker's own table or, for all workers, from the cache; never an old one. */
#include "dnsfront/cache.h"
#include "dnsfront/known.h"
#include "tests/answer_bed.h"

#define ZONES 400                   /* enough for some of them to share a place in a worker's table */
#define SERIAL_FROM_END 20          /* of an SOA, which ends the answer */

struct worker_of { struct view *view; struct answerer *answerer; struct answer_counters counts; };
struct many { struct bed bed; struct cache *cache; struct worker_of worker[2]; unsigned serial[ZONES]; };

static void zone_load(struct many *m, unsigned i, unsigned serial)
{
    char origin[16], text[128];
    m->serial[i] = serial;
    (void)snprintf(origin, sizeof origin, "z%u.", i);
    (void)snprintf(text, sizeof text, "@ 300 SOA ns h %u 2 3 4 5\n@ 300 NS ns\nns 300 A 192.0.2.1\n", serial);
    bed_load(&m->bed, origin, text);
}

static size_t ask(struct worker_of *w, const char *text, uint8_t *out, size_t cap)
{
    struct name name;
    uint8_t query[300];
    struct answer_from from = { .proto = ANSWER_UDP, .max = cap };
    bed_name(text, &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN };
    size_t len = ask_write(&q, query, sizeof query);
    assert_int_equal(view_begin(w->view), OK);
    len = answer(w->answerer, bytes_of(query, len), &from, out, cap);
    view_end(w->view);
    return len;
}

static void worker_open(struct many *m, unsigned number)
{
    static const uint64_t secret[2] = { 0x5ca1ab1e0ddba11u, 0xdecafbadc0ffee11u };
    struct worker_of *w = &m->worker[number];
    struct answer_options o = { .counts = &w->counts };
    struct bed *b = &m->bed;
    if (m->cache == NULL)
        BED(cache_open(&m->cache, 16 << 20, 2, secret));
    BED(view_open(b->store, &w->view, &b->fault));
    BED(answerer_open(&w->answerer, w->view, &o));
    answerer_share(w->answerer, m->cache, number);
}

static void names_fill(struct many *m)
{
    static const atomic_bool never;
    struct bed *b = &m->bed;
    uint8_t out[512];
    struct view *v;
    (void)ask(&m->worker[0], "far.away.", out, sizeof out);     /* the table of changes learns of the state */
    BED(view_open(b->store, &v, &b->fault));
    BED(known_fill(cache_known(m->cache), cache_changes(m->cache), v, &never));
    view_close(v);
}

/* A name that is not there in each of the zones; how many descents to headers that took. */
static unsigned ask_each(struct many *m, struct worker_of *w)
{
    uint64_t seeks = stat_get(&w->counts.descents[STEP_ZONE]), absent = stat_get(&w->counts.absent);
    uint8_t out[512];
    char text[32];
    for (unsigned i = 0; i < ZONES; i++) {
        (void)snprintf(text, sizeof text, "no.z%u.", i);
        size_t len = ask(w, text, out, sizeof out);
        assert_true(len > SERIAL_FROM_END && (out[3] & 15) == 3);
        struct rd serial = rd_over(bytes_of(out + len - SERIAL_FROM_END, 4));
        assert_int_equal(rd_u32(&serial), m->serial[i]);
    }
    assert_int_equal(stat_get(&w->counts.absent) - absent, ZONES);
    return (unsigned)(stat_get(&w->counts.descents[STEP_ZONE]) - seeks);
}

static void headers_are_read_once(void **state)
{
    static const struct { const char *why; unsigned worker, commits, seeks; } turns[] = {
        { "at first each header is read", 0, 0, ZONES },
        { "then none, also of zones that share a place in the table", 0, 0, 0 },
        { "another worker takes what the first one read", 1, 0, 0 },
        { "a zone that changed is read anew, and no other", 1, 1, 1 },
        { "once for all workers", 0, 0, 0 },
        { "and the other way round", 0, 5, 5 },
        { "the one that read the older state sees the newer one", 1, 0, 0 },
    };
    static struct many m;
    unsigned serial = 2;
    (void)state;
    bed_open(&m.bed, NULL, NULL);
    for (unsigned i = 0; i < ZONES; i++)
        zone_load(&m, i, 1);
    worker_open(&m, 0);
    worker_open(&m, 1);
    names_fill(&m);
    for (size_t i = 0; i < ROWS(turns); i++) {
        for (unsigned k = 0; k < turns[i].commits; k++)
            zone_load(&m, 7 * k + 3, serial++);
        unsigned seeks = ask_each(&m, &m.worker[turns[i].worker]);
        if (seeks != turns[i].seeks)
            fail_msg("%s: %u descents", turns[i].why, seeks);
    }
    for (unsigned i = 0; i < ROWS(m.worker); i++) {
        answerer_close(m.worker[i].answerer);
        view_close(m.worker[i].view);
    }
    bed_close(&m.bed);
    cache_close(m.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
