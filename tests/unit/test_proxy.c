/* PROXY protocol v2: what is a header and what is not. */
#include "tests/util.h"

#include "base/text.h"
#include "wire/proxy.h"

#define SIG "0d0a0d0a 000d0a51 5549540a "
#define V4 "c0000201 c6336402 d903 0035 "                    /* 192.0.2.1, 198.51.100.2, 55555, 53 */
#define V6 "20010db8000000000000000000000001 20010db8000000000000000000000002 d903 0035 "

static const struct { const char *why, *hex; enum err want; const char *source; unsigned port; size_t len; } rows[] = {
    { "IPv4 over UDP", SIG "21 12 000c " V4, OK, "c0000201", 55555, 28 },
    { "IPv4 over TCP", SIG "21 11 000c " V4, OK, "c0000201", 55555, 28 },
    { "IPv6 over UDP", SIG "21 22 0024 " V6, OK, "20010db8000000000000000000000001", 55555, 52 },
    { "IPv6 over TCP", SIG "21 21 0024 " V6, OK, "20010db8000000000000000000000001", 55555, 52 },
    { "the query behind it is not its own", SIG "21 12 000c " V4 "1234 0100", OK, "c0000201", 55555, 28 },
    { "a TLV is skipped", SIG "21 12 0010 " V4 "04 0001 00", OK, "c0000201", 55555, 32 },
    { "so is one that breaks off: they are none of our business", SIG "21 12 000e " V4 "04 ff", OK, "c0000201", 55555, 30 },
    { "LOCAL: the proxy speaks for itself", SIG "20 00 0000", OK, "", 0, 16 },
    { "LOCAL with addresses, which do not count", SIG "20 12 000c " V4, OK, "", 0, 28 },
    { "LOCAL for a family that does not exist: it does not count", SIG "20 f7 0000", OK, "", 0, 16 },
    { "LOCAL with a TLV", SIG "20 00 0003 04 0000", OK, "", 0, 19 },
    { "PROXY for a family that is not said", SIG "21 00 0000", OK, "", 0, 16 },
    { "PROXY for a family that is not said, with bytes", SIG "21 00 0002 0000", OK, "", 0, 18 },
    { "a transport that is not said", SIG "21 10 000c " V4, OK, "c0000201", 55555, 28 },
    { "a Unix socket has no address of ours", SIG "21 31 0002 0000", OK, "", 0, 18 },
    { "too short for IPv4", SIG "21 12 000b c0000201 c6336402 d903 00", ERR_BAD, NULL, 0, 0 },
    { "IPv6 with an IPv4 length", SIG "21 22 000c " V4, ERR_BAD, NULL, 0, 0 },
    { "version 1 of this form", SIG "11 12 000c " V4, ERR_BAD, NULL, 0, 0 },
    { "version 3", SIG "31 12 000c " V4, ERR_BAD, NULL, 0, 0 },
    { "a command that does not exist", SIG "22 12 000c " V4, ERR_BAD, NULL, 0, 0 },
    { "a family that does not exist", SIG "21 41 000c " V4, ERR_BAD, NULL, 0, 0 },
    { "a transport that does not exist", SIG "21 13 000c " V4, ERR_BAD, NULL, 0, 0 },
    { "longer than anybody needs", SIG "21 12 07f1 " V4, ERR_BAD, NULL, 0, 0 },
    { "a query without a header", "1234 0100 0001 0000 0000 0000 03777777 00 0001 0001", ERR_BAD, NULL, 0, 0 },
    { "the text form, version 1", "50524f58592054435034203139322e302e322e31", ERR_BAD, NULL, 0, 0 },
    { "the last byte of the signature differs", "0d0a0d0a 000d0a51 5549540b 21 12 000c " V4, ERR_BAD, NULL, 0, 0 },
    { "the first byte differs, and there is no more", "0a", ERR_BAD, NULL, 0, 0 },
};

static void reading(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex);
        struct proxy p;
        size_t need = 0;
        char text[33];
        enum err err = proxy_read(in, &p, &need);
        if (err != rows[i].want)
            fail_msg("%s: %s", rows[i].why, err_text(err));
        if (err == OK && (p.len != rows[i].len || need != p.len || p.source_port != rows[i].port || p.dest.len != p.source.len
                          || strcmp(text_hex(text, sizeof text, p.source), rows[i].source) != 0))
            fail_msg("%s: source %s port %u len %zu", rows[i].why, text_hex(text, sizeof text, p.source), p.source_port, p.len);
        bytes_free(in);
    }
}

/* A stream that delivers byte by byte, read as far as `need` says: never a byte behind the header. */
static void in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        if (rows[i].want != OK)
            continue;
        struct bytes in = heap_from_hex(rows[i].hex);
        for (size_t n = 0; n < rows[i].len; n++) {
            struct bytes part = heap_copy(in.ptr, n);
            struct proxy p;
            size_t need = 0;
            enum err err = proxy_read(part, &p, &need);
            if (err != ERR_SHORT || need <= n || need > rows[i].len)
                fail_msg("%s: %zu of %zu bytes: %s, need %zu", rows[i].why, n, rows[i].len, err_text(err), need);
            bytes_free(part);
        }
        bytes_free(in);
    }
}

static void longest(void **state)
{
    static uint8_t buf[PROXY_MAX];
    struct bytes head = heap_from_hex(SIG "21 12 07f0 " V4);
    struct proxy p;
    size_t need;
    (void)state;
    memcpy(buf, head.ptr, head.len);
    assert_int_equal(proxy_read(bytes_of(buf, sizeof buf), &p, &need), OK);
    assert_int_equal(p.len, PROXY_MAX);
    bytes_free(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading),
        cmocka_unit_test(in_pieces),
        cmocka_unit_test(longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
