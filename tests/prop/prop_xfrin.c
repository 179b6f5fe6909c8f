/* Random versions of a zone, sent as AXFR and as IXFR of any form (each step, or condensed), cut into messages at random places,
 * signed or not: behind each transfer the store holds the version that was sent. */
#include "tests/unit/change_bed.h"

#include "builder/xfrin_apply.h"
#include "tests/unit/xfr_stream.h"

#include <inttypes.h>

#define NOW 1700000000u
#define ROUNDS_N 12
#define VERSIONS 8
#define TRANSFERS 12

/* --- versions ---------------------------------------------------------------------------------------------------------- */
/* An RRset is a set of the records that its type may have, and a TTL. */
static const char *const owners[] = { "@", "a", "b.a", "*.w", "sub", "ns.sub", "x.y.z" };
static const struct { uint16_t type; const char *data[4]; } kinds[] = {
    { TYPE_A, { "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4" } },
    { TYPE_TXT, { "x", "\"Two words\"", "A", "\"\"" } },
    { TYPE_MX, { "10 Mail", "20 mail", "10 a.example.org.", "0 ." } },
    { TYPE_SRV, { "1 2 3 Host", "1 2 4 b.a", "0 0 0 .", "1 2 3 other.example.org." } },
    { TYPE_RRSIG, { "A 8 3 300 20300101000000 20200101000000 1 @ AQAB", "TXT 8 3 300 20300101000000 20200101000000 1 @ AQAC",
                    "A 8 3 300 20300101000000 20200101000000 2 @ AQAD", "MX 8 3 300 20300101000000 20200101000000 2 @ AQAE" } },
    { 65280, { "\\# 1 ab", "\\# 0", "\\# 2 c00c", "\\# 3 010203" } },
};
enum { OWNERS = ROWS(owners), KINDS = ROWS(kinds) };
struct version { uint32_t serial; uint8_t mask[OWNERS][KINDS], ttl[OWNERS][KINDS]; };

static void random_step(struct rnd *r, const struct version *from, struct version *to)
{
    static const uint32_t most[] = { 1, 2, 1000, 1u << 24 };
    *to = *from;
    to->serial += 1 + rnd_below(r, most[rnd_below(r, 4)]);
    for (unsigned n = rnd_below(r, 8); n > 0; n--) {
        unsigned o = rnd_below(r, OWNERS), k = rnd_below(r, KINDS);
        to->mask[o][k] = (uint8_t)rnd_below(r, 16);
        to->ttl[o][k] = (uint8_t)(rnd_below(r, 4) == 0 ? rnd_below(r, 3) : to->ttl[o][k]);
    }
}

static void put_text(struct zone *z, const char *owner, uint16_t type, uint32_t ttl, const char *text)
{
    uint8_t buf[600];
    struct wr w = wr_over(buf, sizeof buf);
    struct fault fault = { "" };
    struct name name = xfr_name(owner, name_bytes(&z->apex));
    if (rdata_from_text(type, bytes_of_text(text), name_bytes(&z->apex), &w, &fault) != OK)
        fail_msg("%s: %s", text, fault.text);
    assert_int_equal(zone_add(z, name_bytes(&name), type, ttl, wr_done(&w), 0), OK);
}

static void put_soa(struct zone *z, uint32_t serial)
{
    char text[100];
    (void)snprintf(text, sizeof text, "ns1 hostmaster %" PRIu32 " 7200 900 1209600 300", serial);
    put_text(z, "@", TYPE_SOA, 300, text);
}

/* The records of `of` that `without` does not have; an RRset with another TTL has none in common. NULL: all. */
static void put_records(struct zone *z, const struct version *of, const struct version *without)
{
    for (unsigned o = 0; o < OWNERS; o++) {
        for (unsigned k = 0; k < KINDS; k++) {
            bool other = without == NULL || of->ttl[o][k] != without->ttl[o][k];
            unsigned mask = of->mask[o][k] & ~(other ? 0u : without->mask[o][k]);
            for (unsigned i = 0; i < 4; i++)
                if ((mask >> i & 1) != 0)
                    put_text(z, owners[o], kinds[k].type, 60u * (1u + of->ttl[o][k]), kinds[k].data[i]);
        }
    }
}

static void put_whole(struct zone *z, const struct version *v)
{
    put_soa(z, v->serial);
    put_text(z, "@", TYPE_NS, 300, "ns1");
    put_text(z, "ns1", TYPE_A, 300, "192.0.2.53");
    put_records(z, v, NULL);
}

static void shuffle(struct rnd *r, struct zone *z, size_t from)
{
    for (size_t i = z->n; i > from + 1; i--) {
        size_t k = from + rnd_below(r, (uint32_t)(i - from));
        struct zone_rr t = z->rr[i - 1];
        z->rr[i - 1] = z->rr[k];
        z->rr[k] = t;
    }
}

/* --- transfers ------------------------------------------------------------------------------------------------------------ */
static void stream_of(struct rnd *r, struct zone *z, const struct version *v, size_t have, size_t want, bool whole)
{
    if (whole) {
        put_whole(z, &v[want]);
        shuffle(r, z, 1);
    } else {
        put_soa(z, v[want].serial);
        for (size_t at = have, to; at < want; at = to) {
            to = at + 1 + (rnd_below(r, 2) == 0 ? 0 : rnd_below(r, (uint32_t)(want - at)));
            put_soa(z, v[at].serial);
            size_t from = z->n;
            put_records(z, &v[at], &v[to]);
            shuffle(r, z, from);
            put_soa(z, v[to].serial);
            from = z->n;
            put_records(z, &v[to], &v[at]);
            shuffle(r, z, from);
        }
    }
    put_soa(z, v[want].serial);
}

static void check(struct bed *b, const struct name *apex, const struct version *v)
{
    struct xfr_set got = { 0 }, want = { 0 };
    struct zone z;
    zone_init(&z, name_bytes(apex), "model");
    put_whole(&z, v);
    for (size_t i = 0; i < z.n; i++)
        xfr_set_add(&want, &z.rr[i]);
    assert_int_equal(view_begin(b->view), OK);
    assert_int_equal(zone_walk(name_bytes(apex), b->view, xfr_set_visit, &got, NULL), OK);
    view_end(b->view);
    xfr_set_sort(&got);
    xfr_set_sort(&want);
    if (!xfr_set_equal(&got, &want))
        fail_msg("serial %" PRIu32 ": %zu records instead of %zu, or others:\n%s", v->serial, got.n, want.n, bed_text(b, "example.com."));
    xfr_set_release(&got);
    xfr_set_release(&want);
    zone_release(&z);
}

/* From version `have` (VERSIONS: none) to `want`. */
static void transfer(struct bed *b, struct rnd *r, const struct version *v, size_t have, size_t want)
{
    struct tsig_key key = { .name = xfr_name("k.", (struct bytes){ 0 }), .hash = (enum tsig_hash)rnd_below(r, TSIG_HASHES),
                            .secret = bytes_of_text("a secret") };
    bool axfr = have == VERSIONS || want <= have || rnd_below(r, 4) == 0, whole = axfr || rnd_below(r, 4) == 0, sign = rnd_below(r, 2) == 0;
    struct name apex = name_of("example.com.");
    struct fault fault = { "" };
    struct zone stream, soa;
    struct xfrin *x;
    struct change c;
    zone_init(&stream, name_bytes(&apex), "stream");
    zone_init(&soa, name_bytes(&apex), "soa");
    put_soa(&soa, have == VERSIONS ? 0 : v[have].serial);
    stream_of(r, &stream, v, have, want, whole);
    struct xfrin_ask ask = { .apex = apex, .kind = axfr ? XFRIN_AXFR : XFRIN_IXFR, .have = have != VERSIONS, .soa = soa.rr[0].rdata,
                             .key = sign ? &key : NULL };
    assert_int_equal(xfrin_begin(&x, &ask, XFR_ID, NOW), OK);
    struct tsig_chain *chain = sign ? xfr_server(&key, xfrin_query(x), NOW) : NULL;
    if (xfr_feed(x, r, chain, name_bytes(&apex), axfr ? TYPE_AXFR : TYPE_IXFR, stream.rr, stream.n, NOW, &fault) != XFRIN_DONE)
        fail_msg("%zu to %zu: %s", have, want, fault.text);
    assert_int_equal(xfrin_is_whole(x), whole);
    assert_int_equal(xfrin_serial(x), v[want].serial);
    xfrin_change(&c, x, name_bytes(&apex), "192.0.2.1@53");
    c.force = true;
    bed_put(b, &c);
    bed_wait(b);
    if (c.result.end != CHANGE_DONE)
        fail_msg("%zu to %zu: %s", have, want, fault_text(&c.result.fault, c.result.err));
    change_release(&c);
    check(b, &apex, &v[want]);
    tsig_close(chain);
    xfrin_end(x);
    zone_release(&stream);
    zone_release(&soa);
}

static void versions(void **state)
{
    static struct bed b;
    uint64_t seed = seed_from_env(1);
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, "example.com.", NULL, "{\"kind\":\"secondary\",\"primaries\":[{\"address\":\"192.0.2.1\"}]}");
    print_message("seed %" PRIu64 "\n", seed);
    for (uint64_t round = 0; round < ROUNDS_N; round++) {
        struct rnd r = rnd_seed(seed * 1000 + round);
        struct version v[VERSIONS] = { { .serial = rnd_below(&r, 3) == 0 ? UINT32_MAX - rnd_below(&r, 5) : rnd_below(&r, UINT32_MAX) } };
        for (unsigned n = 0; n < 20; n++)
            v[0].mask[rnd_below(&r, OWNERS)][rnd_below(&r, KINDS)] = (uint8_t)rnd_below(&r, 16);
        for (size_t i = 1; i < VERSIONS; i++)
            random_step(&r, &v[i - 1], &v[i]);
        size_t have = VERSIONS;
        for (unsigned n = 0; n < TRANSFERS; n++) {
            size_t want = rnd_below(&r, 6) == 0 || have >= VERSIONS - 1 ? rnd_below(&r, VERSIONS)
                : have + 1 + rnd_below(&r, (uint32_t)(VERSIONS - 1 - have));
            transfer(&b, &r, v, have, want);
            have = want;
        }
    }
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(versions) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
