/* No allocation between view_begin and view_end: every kind of answer, with every allocation of the process counted. */
#include "dnsfront/answer_parts.h"
#include "tests/answer_bed.h"
#include "tests/signed_zones.h"

static volatile bool armed;         /* volatile: the compiler knows what malloc reads and writes, and ours reads this */
static volatile unsigned counted;
static void note(void)
{
    if (armed)
        counted = counted + 1;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#ifdef SANITIZED
/* of sanitizer/allocator_interface.h, which gcc does not bring along */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
static void on_malloc(const volatile void *p, size_t n)
{
    (void)p, (void)n;
    note();
}
static void on_free(const volatile void *p) { (void)p; }
static void count_allocations(void) { assert_true(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0); }
#else
/* The C library's own, behind ours: so that the calls of shared libraries (LMDB) are counted too. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    note();
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    note();
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    note();
    return __libc_realloc(p, n);
}
static void count_allocations(void) { }
#endif

static const char zone[] = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n@ NS ns.cut\nns A 192.0.2.1\nns AAAA "
                           "2001:db8::1\nwww A 192.0.2.2\n*.w A 192.0.2.3\n*.wc CNAME www\n"
                           "alias CNAME alias2\nalias2 CNAME www\nold DNAME new\nx.new A 192.0.2.4\ncut NS ns.cut\ncut "
                           "NS ns.cut2\nns.cut A 192.0.2.5\n"
                           "cut2 NS ns.cut2\nns.cut2 A 192.0.2.6\na.b.ent TXT \"x\"\n@ TXT \"t\"\n";
static const char child[] = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.7\n";
static const char *const names[] = { "a.",       "www.a.",   "x.w.a.", "x.wc.a.", "alias.a.", "x.old.a.",
                                     "n.old.a.", "x.cut.a.", "cut.a.", "ent.a.",  "no.a.",    "no.www.a.",
                                     "k.a.",     "l.a.",     "x.k.a.", "other.",  "k0.a.",    "version.bind.",
                                     "x.w.s.", "x.cut.s.", "no.s.", "ent.s.", "no.ent.t.", "x.w.t.", "x.cut.t.", "ent.t." };

static void answers_do_not_allocate(void **state)
{
    static const uint16_t types[] = { TYPE_A, TYPE_TXT, TYPE_NS, TYPE_DS, TYPE_ANY, TYPE_RRSIG, TYPE_CNAME };
    struct bed bed, *b = &bed;
    static uint8_t out[ANSWER_MAX];
    (void)state;
    bed_open(b, "id", "v");
    bed_load(b, "a.", zone);
    bed_load(b, "k.a.", child);
    bed_load(b, "s.", signed_s);
    bed_load(b, "t.", signed_t);
    b->cookies.n = 1;
    count_allocations();
    armed = true;
    void *volatile proof = malloc(10);          /* the counter counts; volatile, or the compiler leaves it out */
    armed = false;
    free(proof);
    assert_int_equal(counted, 1);
    counted = 0;
    for (size_t i = 0; i < ROWS(names) * ROWS(types) * 4; i++) {
        struct name name;
        uint8_t query[512];
        struct answer_from from = { .proto = i & 1 ? ANSWER_TLS : ANSWER_UDP, .max = i & 1 ? ANSWER_MAX : ANSWER_UDP_MAX,
                                    .client = bytes_of("\300\0\2\1", 4), .now_s = 1700000000, .idle_100ms = 100 };
        bed_name(names[i / 4 % ROWS(names)], &name);
        struct ask q = { .qname = name_bytes(&name),
                         .qtype = types[i / 4 / ROWS(names)],
                         .qclass = i / 4 % ROWS(names) == 17 ? CLASS_CH : CLASS_IN,
                         .udp_size = i & 2 ? 1232 : 0,
                         .dnssec_ok = true,
                         .options = true };
        size_t len = ask_write(&q, query, sizeof query);
        assert_int_equal(view_begin(b->view), OK);
        armed = true;
        len = answer(b->answerer, bytes_of(query, len), &from, out, sizeof out);
        armed = false;
        view_end(b->view);
        assert_true(len > DNS_HEADER_LEN);
        if (counted > 0)
            fail_msg("%u allocations for %s TYPE%u", counted, names[i / 4 % ROWS(names)], q.qtype);
    }
    assert_true(stat_get(&b->counts.descents[STEP_WILDCARD]) > 0 && stat_get(&b->counts.descents[STEP_ADDITIONAL]) > 0);
    assert_true(stat_get(&b->counts.descents[STEP_PROOF]) > 0);
    assert_int_equal(stat_get(&b->counts.broken), 0);
    bed_close(b);
}

/* From the cache, into it, and what follows a commit. */
static void cache_does_not_allocate(void **state)
{
    static const uint64_t secret[2] = { 1, 2 };
    struct bed bed, *b = &bed;
    struct cache *cache;
    static uint8_t out[ANSWER_UDP_MAX];
    (void)state;
    bed_open(b, "id", "v");
    BED(cache_open(&cache, 1 << 20, 1, secret));
    answerer_share(b->answerer, cache, 0);
    b->answerer->foresee_leaves = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct answer_from from = { .proto = ANSWER_UDP, .max = sizeof out };
        char text[sizeof zone + 32];
        struct name name;
        uint8_t buf[512];
        (void)snprintf(text, sizeof text, "%smoving A 192.0.2.%u\n", zone, i / 40);
        bed_load(b, "a.", text);
        bed_name(names[i % 17], &name);
        struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN };
        struct bytes query = bytes_of(buf, ask_write(&q, buf, sizeof buf));
        struct bytes batch[4] = { query, query, query, query };         /* so many are foreseen */
        assert_int_equal(view_begin(b->view), OK);
        counted = 0;
        armed = true;
        answer_prepare(b->answerer, batch, ROWS(batch));
        size_t len = answer(b->answerer, query, &from, out, sizeof out);
        armed = false;
        view_end(b->view);
        assert_true(len > DNS_HEADER_LEN);
        assert_int_equal(counted, 0);
    }
    assert_true(stat_get(&b->counts.cache_hits) > 0 && stat_get(&b->counts.cache_stores) > 0);
    bed_close(b);
    cache_close(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(answers_do_not_allocate), cmocka_unit_test(cache_does_not_allocate) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
