/* Networks: what is read, who is in them. */
#include "tests/util.h"

#include "base/net.h"

static void parsing(void **state)
{
    static const struct { const char *why, *text, *again; enum err want; } rows[] = {
        { "a network", "192.0.2.0/24", "192.0.2.0/24", OK },
        { "one address", "192.0.2.7", "192.0.2.7", OK },
        { "the same, with its bits", "192.0.2.7/32", "192.0.2.7", OK },
        { "bits inside a byte", "10.32.0.0/11", "10.32.0.0/11", OK },
        { "everybody", "0.0.0.0/0", "0.0.0.0/0", OK },
        { "IPv6", "2001:db8::/32", "2001:db8::/32", OK },
        { "an IPv6 address", "::1", "::1", OK },
        { "everybody in IPv6", "::/0", "::/0", OK },
        { "IPv4 in IPv6's clothes is IPv4", "::ffff:192.0.2.0/120", "192.0.2.0/24", OK },
        { "all of them", "::ffff:0:0/96", "0.0.0.0/0", OK },
        { "a mapped address and less than its prefix", "::ffff:192.0.2.0/90", NULL, ERR_BAD },
        { "a bit behind the network", "192.0.2.1/24", NULL, ERR_BAD },
        { "the lowest bit behind the network", "10.32.0.1/31", NULL, ERR_BAD },
        { "too many bits", "192.0.2.0/33", NULL, ERR_BAD },
        { "too many bits", "2001:db8::/129", NULL, ERR_BAD },
        { "no bits", "192.0.2.0/", NULL, ERR_BAD },
        { "bits that are none", "192.0.2.0/2x", NULL, ERR_BAD },
        { "a mask", "192.0.2.0/255.255.255.0", NULL, ERR_BAD },
        { "a name", "localhost", NULL, ERR_BAD },
        { "nothing", "", NULL, ERR_BAD },
        { "nothing before the bits", "/24", NULL, ERR_BAD },
        { "a list", "192.0.2.0/24,192.0.3.0/24", NULL, ERR_BAD },
        { "longer than any address", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/1", NULL, ERR_BAD },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct net n;
        char text[NET_TEXT_MAX];
        enum err err = net_parse(rows[i].text, &n);
        if (err != rows[i].want || (err == OK && strcmp(net_text(&n, text, sizeof text), rows[i].again) != 0))
            fail_msg("%s: %s", rows[i].why, rows[i].text);
    }
}

static void membership(void **state)
{
    static const struct { const char *why, *net, *addr; bool want; } rows[] = {
        { "inside", "192.0.2.0/24", "c00002ff", true },
        { "beside", "192.0.2.0/24", "c0000300", false },
        { "the last bit that counts differs", "10.32.0.0/11", "0a400000", false },
        { "the first that does not count differs", "10.32.0.0/11", "0a3fffff", true },
        { "itself", "192.0.2.7", "c0000207", true },
        { "its neighbour", "192.0.2.7", "c0000206", false },
        { "everybody", "0.0.0.0/0", "ffffffff", true },
        { "everybody of the other family is not meant", "0.0.0.0/0", "20010db8000000000000000000000001", false },
        { "IPv6 inside", "2001:db8::/32", "20010db8ffff00000000000000000001", true },
        { "IPv6 beside", "2001:db8::/32", "20010db9000000000000000000000001", false },
        { "IPv4 in IPv6's clothes", "192.0.2.0/24", "00000000000000000000ffffc0000207", true },
        { "which is not IPv6", "::/0", "00000000000000000000ffffc0000207", false },
        { "an address that is not known", "0.0.0.0/0", "", false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct net nets[2];
        struct bytes addr = heap_from_hex(rows[i].addr);
        assert_int_equal(net_parse("203.0.113.9", &nets[0]), OK);
        assert_int_equal(net_parse(rows[i].net, &nets[1]), OK);
        if (nets_have(nets, 2, addr) != rows[i].want)
            fail_msg("%s: %s in %s", rows[i].why, rows[i].addr, rows[i].net);
        assert_false(nets_have(nets, 0, addr));
        bytes_free(addr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing),
        cmocka_unit_test(membership),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
