/* Connections counted by client. */
#include "tests/util.h"

#include "dnsfront/clients.h"

static const uint8_t key[16] = "a fixed key";

static struct peer peer(const char *hex)
{
    struct bytes b = heap_from_hex(hex);
    struct peer p = peer_of_bytes(b);
    bytes_free(b);
    return p;
}

static void who_is_one_client(void **state)
{
    static const struct { const char *why, *a, *b; bool one; } rows[] = {
        { "an address", "c0000201", "c0000201", true },
        { "its neighbour", "c0000201", "c0000202", false },
        { "IPv4 in IPv6's clothes", "c0000201", "00000000000000000000ffffc0000201", true },
        { "hosts of an IPv6 network", "20010db8000000010000000000000001", "20010db800000001ffffffffffffffff", true },
        { "IPv6 networks", "20010db8000000010000000000000001", "20010db8000000020000000000000001", false },
        { "an IPv6 network that begins as an IPv4 address", "c0000201", "c0000201000000000000000000000000", false },
        { "nobody knows who", "", "", false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct clients *c;
        struct peer a = peer(rows[i].a), b = peer(rows[i].b);
        assert_int_equal(clients_open(&c, 10, 1, key), OK);
        assert_true(clients_take(c, &a));
        if (clients_take(c, &b) == rows[i].one)
            fail_msg("%s", rows[i].why);
        clients_give(c, &a);
        if (rows[i].one && !clients_take(c, &b))
            fail_msg("%s: the place did not come back", rows[i].why);
        clients_close(c);
    }
}

static void places(void **state)
{
    struct clients *c;
    (void)state;
    assert_int_equal(clients_open(&c, 3, 0, key), OK);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            assert_true(clients_enter(c));
        assert_false(clients_enter(c));
        assert_false(clients_enter(c));
        for (int i = 0; i < 3; i++)
            clients_leave(c);
    }
    clients_close(c);
}

/* Random comings and goings against plain counts: the table loses nobody and invents nobody. */
static void as_plain_counts_say(void **state)
{
    enum { MOST = 64, WHO = 40, EACH = 3 };
    uint64_t seed = seed_from_env(1);
    struct rnd r = rnd_seed(seed);
    struct clients *c;
    unsigned count[WHO] = { 0 }, all = 0;
    (void)state;
    assert_int_equal(clients_open(&c, MOST, EACH, key), OK);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t who = rnd_below(&r, WHO);
        uint8_t addr[4] = { 10, 0, 0, (uint8_t)who };
        struct peer p = peer_of_bytes(bytes_of(addr, 4));
        if (rnd_below(&r, 2) == 0 && count[who] > 0) {
            clients_give(c, &p);
            count[who]--;
            all--;
        } else if (all < MOST) {
            bool good = clients_take(c, &p);
            if (good != (count[who] < EACH))
                fail_msg("seed %llu, step %u: client %u has %u, and %s", (unsigned long long)seed, i, who, count[who],
                         good ? "got one more" : "was refused");
            count[who] += good;
            all += good;
        }
    }
    clients_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_one_client),
        cmocka_unit_test(places),
        cmocka_unit_test(as_plain_counts_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
