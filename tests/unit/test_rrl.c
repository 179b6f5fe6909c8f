/* Response rate limiting: which answers count together, and what becomes of those that are too many. */
#include "tests/util.h"

#include "dnsfront/rrl.h"

#include <pthread.h>

#define S 1000000u
static const uint8_t www[] = "\3www\1a", WWW[] = "\3WwW\1A", other[] = "\5other\1a", apex[] = "\1a";

static struct answer_said said(enum answer_kind kind, const uint8_t *name, bool known)
{
    return (struct answer_said){ kind, bytes_of(name, name != NULL ? strlen((const char *)name) + 1 : 0), known };
}

static struct rrl *limits(uint32_t rate, uint32_t slip, const struct net *allow, size_t n)
{
    struct rrl_options o = { .rate = rate, .slip = slip, .allow = allow, .allow_n = n, .key = "a fixed key", .sets = 1024 };
    struct rrl *r;
    assert_int_equal(rrl_open(&r, &o), OK);
    return r;
}

static struct bytes v4(uint32_t addr)
{
    static uint8_t out[4];
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(addr >> (24 - 8 * i));
    return bytes_of(out, 4);
}

/* How many of n equal answers at one moment are sent. */
static unsigned sent(struct rrl *r, struct bytes client, struct answer_said s, uint32_t now_us, unsigned n)
{
    unsigned got = 0;
    for (unsigned i = 0; i < n; i++)
        got += rrl_check(r, client, &s, now_us) == RRL_SEND;
    return got;
}

#define VICTIM 0xc0000201

/* The bucket of (192.0.2.1, positive, www.a.) is empty: which other answers does that hold back? */
static void what_counts_together(void **state)
{
    static const struct { const char *why; uint32_t client; enum answer_kind kind; const uint8_t *name; bool known, held; } rows[] = {
        { "the same", VICTIM, ANSWER_POSITIVE, www, false, true },
        { "the same in other letters", VICTIM, ANSWER_POSITIVE, WWW, false, true },
        { "another host of the network", VICTIM + 0xfe - 1, ANSWER_POSITIVE, www, false, true },
        { "the next network", VICTIM + 0x100, ANSWER_POSITIVE, www, false, false },
        { "another name", VICTIM, ANSWER_POSITIVE, other, false, false },
        { "no such data at that name", VICTIM, ANSWER_NODATA, www, false, false },
        { "an error, which has no name", VICTIM, ANSWER_ERROR, NULL, false, false },
        { "a client that showed a cookie of ours is not forged", VICTIM, ANSWER_POSITIVE, www, true, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct rrl *r = limits(10, 0, NULL, 0);
        assert_int_equal(sent(r, v4(VICTIM), said(ANSWER_POSITIVE, www, false), S, 50), 10);
        unsigned n = sent(r, v4(rows[i].client), said(rows[i].kind, rows[i].name, rows[i].known), S, 5);
        if (n != (rows[i].held ? 0 : 5))
            fail_msg("%s: %u of 5 sent", rows[i].why, n);
        rrl_close(r);
    }
}

static void networks_of_ipv6(void **state)
{
    uint8_t a[16] = { 0x20, 1, 0xd, 0xb8, 1, 2, 3, 4 }, same[16], next[16];
    struct rrl *r = limits(3, 0, NULL, 0);
    (void)state;
    memcpy(same, a, 16);
    memcpy(next, a, 16);
    same[7] = 0xff;                 /* bit 57 and on: one customer */
    next[6] = 4;
    assert_int_equal(sent(r, bytes_of(a, 16), said(ANSWER_NXDOMAIN, apex, false), S, 9), 3);
    assert_int_equal(sent(r, bytes_of(same, 16), said(ANSWER_NXDOMAIN, apex, false), S, 9), 0);
    assert_int_equal(sent(r, bytes_of(next, 16), said(ANSWER_NXDOMAIN, apex, false), S, 9), 3);
    rrl_close(r);
}

static void time_refills(void **state)
{
    static const struct { const char *why; uint32_t after_us; unsigned want; } rows[] = {
        { "at once", 0, 0 }, { "before one answer's worth", 99999, 0 }, { "one answer's worth", 100000, 1 },
        { "half a second", 500000, 5 }, { "a second: all of it", 1000000, 10 }, { "a minute: no more than a second's", 60 * S, 10 },
        { "an hour", 3600 * S, 10 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        for (unsigned wrap = 0; wrap < 2; wrap++) {     /* also where the clock's 32 bits begin anew */
            uint32_t now = wrap ? 0u - 50000u : 7 * S;
            struct rrl *r = limits(10, 0, NULL, 0);
            assert_int_equal(sent(r, v4(VICTIM), said(ANSWER_POSITIVE, www, false), now, 100), 10);
            unsigned n = sent(r, v4(VICTIM), said(ANSWER_POSITIVE, www, false), now + rows[i].after_us, 100);
            if (n != rows[i].want)
                fail_msg("%s: %u sent, not %u", rows[i].why, n, rows[i].want);
            rrl_close(r);
        }
    }
}

/* A steady flood gets `rate` answers a second; a client below the rate gets all. */
static void rates(void **state)
{
    static const struct { uint32_t rate, asked_each_s, seconds; unsigned least, most; } rows[] = {
        { 10, 1000, 10, 110, 110 }, { 10, 10, 10, 100, 100 }, { 10, 5, 10, 50, 50 }, { 1, 1000, 5, 6, 6 },
        { 1000, 10000, 2, 2999, 3001 }, { RRL_RATE_MAX, 1000, 2, 2000, 2000 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct rrl *r = limits(rows[i].rate, 0, NULL, 0);
        unsigned n = 0, all = rows[i].asked_each_s * rows[i].seconds;
        for (unsigned k = 0; k <= all; k++)
            n += sent(r, v4(VICTIM), said(ANSWER_REFERRAL, www, false), S + (uint32_t)((uint64_t)k * S / rows[i].asked_each_s), 1);
        if (n < rows[i].least || n > rows[i].most + 1)
            fail_msg("rate %u, asked %u: %u sent", rows[i].rate, rows[i].asked_each_s, n);
        rrl_close(r);
    }
}

static void slipping(void **state)
{
    static const struct { const char *why; uint32_t slip; unsigned want_of_12; } rows[] = {
        { "never", 0, 0 }, { "each: TC is all that a limited client gets", 1, 12 }, { "every second", 2, 6 },
        { "every third", 3, 4 }, { "every hundredth", 100, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct rrl *r = limits(5, rows[i].slip, NULL, 0);
        struct answer_said s = said(ANSWER_POSITIVE, www, false);
        unsigned n = 0;
        (void)sent(r, v4(VICTIM), s, S, 5);
        for (unsigned k = 0; k < 12; k++) {
            enum rrl_verdict v = rrl_check(r, v4(VICTIM), &s, S);
            assert_int_not_equal(v, RRL_SEND);
            n += v == RRL_SLIP;
        }
        if (n != rows[i].want_of_12)
            fail_msg("%s: %u of 12", rows[i].why, n);
        rrl_close(r);
    }
}

static void allowed_networks(void **state)
{
    struct net allow[2];
    uint8_t v6[16] = { 0x20, 1, 0xd, 0xb8 };
    (void)state;
    assert_int_equal(net_parse("192.0.2.0/25", &allow[0]), OK);
    assert_int_equal(net_parse("2001:db8::/32", &allow[1]), OK);
    struct rrl *r = limits(5, 0, allow, 2);
    assert_int_equal(sent(r, v4(VICTIM), said(ANSWER_POSITIVE, www, false), S, 100), 100);
    assert_int_equal(sent(r, v4(VICTIM + 0x80), said(ANSWER_POSITIVE, www, false), S, 100), 5);
    assert_int_equal(sent(r, bytes_of(v6, 16), said(ANSWER_POSITIVE, www, false), S, 100), 100);
    assert_int_equal(sent(r, bytes_of(v6, 0), said(ANSWER_POSITIVE, www, false), S, 100), 100);     /* not known who */
    rrl_close(r);
}

/* Workers read the clock a little apart, and one's past must not look like a full bucket. */
static void clocks_apart(void **state)
{
    struct rrl *r = limits(10, 0, NULL, 0);
    (void)state;
    assert_int_equal(sent(r, v4(VICTIM), said(ANSWER_POSITIVE, www, false), S + 900, 100), 10);
    assert_int_equal(sent(r, v4(VICTIM), said(ANSWER_POSITIVE, www, false), S, 100), 0);
    rrl_close(r);
}

/* Many networks at once, eight times what the table holds: nobody is held back for others, and a flood that goes on all
 * the while stays limited, since of a full set the fullest bucket goes. */
static void a_full_table(void **state)
{
    struct rrl *r = limits(10, 0, NULL, 0);
    struct answer_said s = said(ANSWER_POSITIVE, www, false);
    unsigned flood = 0, others = 0;
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint32_t now = S + i * 10;                      /* 0.66 s for all of it */
        flood += sent(r, v4(VICTIM), s, now, 2);
        others += sent(r, v4(0x0a000000 + (i << 8)), s, now, 1);
    }
    assert_int_equal(others, 65536);
    if (flood < 10 || flood > 20)
        fail_msg("the flood got %u", flood);
    rrl_close(r);
}

#define THREADS 4
struct flood { struct rrl *r; unsigned sent; };

static void *flood_run(void *arg)
{
    struct flood *f = arg;
    static const uint8_t client[4] = { 192, 0, 2, 1 };
    struct answer_said s = said(ANSWER_POSITIVE, www, false);
    for (unsigned i = 0; i < 20000; i++)
        f->sent += rrl_check(f->r, bytes_of(client, 4), &s, S) == RRL_SEND;
    return NULL;
}

/* All workers together give what one would. */
static void threads(void **state)
{
    struct flood f[THREADS];
    pthread_t t[THREADS];
    unsigned n = 0;
    struct rrl *r = limits(1000, 2, NULL, 0);
    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        f[i] = (struct flood){ r, 0 };
        assert_int_equal(pthread_create(&t[i], NULL, flood_run, &f[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        n += f[i].sent;
    }
    assert_int_equal(n, 1000);
    rrl_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts_together),
        cmocka_unit_test(networks_of_ipv6),
        cmocka_unit_test(time_refills),
        cmocka_unit_test(rates),
        cmocka_unit_test(slipping),
        cmocka_unit_test(allowed_networks),
        cmocka_unit_test(clocks_apart),
        cmocka_unit_test(a_full_table),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
