/* Cookies: the examples of RFC 9018 appendix A, ages, secrets that roll over. */
#include "tests/util.h"

#include "base/text.h"
#include "dnsfront/cookies.h"

#define ONE "e5e973e5a6b2a43f48e7dc849e37bfcf"
#define OLD "dd3bdf9344b678b185a6f5cb60fca715"
#define NEW "445536bcd2513298075a5d379663c962"
#define V4 "c6336464"                                   /* 198.51.100.100 */
#define V4B "cb0071cb"                                  /* 203.0.113.203 */
#define V6 "20010db802200001 59ded0f4876982b8"
#define MADE "010000005cf79f11 1f8130c3eee29480"        /* at 1559731985, for 2464c4abcf10c957 from V4 */
#define AT 1559731985u

static const struct { const char *why, *first, *second, *client, *sent; uint32_t now_s; bool good; const char *back; } rows[] = {
    { "RFC 9018 A.1: a client that knows no server cookie", ONE, NULL, V4, "2464c4abcf10c957", AT, false,
      "2464c4abcf10c957" MADE },
    { "RFC 9018 A.2: the same client 40 minutes later: its cookie is good, and renewed", ONE, NULL, V4,
      "2464c4abcf10c957" MADE, 1559734385, true, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77" },
    { "RFC 9018 A.3: reserved bytes that are not zero are hashed as they came", ONE, NULL, V4B,
      "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559727985, true, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5" },
    { "RFC 9018 A.3: two hours old, answered with a new one", ONE, NULL, V4B,
      "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559734700, false, "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e" },
    { "RFC 9018 A.4: made with the old secret, answered with the new one", NEW, OLD, V6,
      "22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741961, true, "22681ab97d52c298010000005cf7c609a6bb79d16625507a" },
    { "the old secret is gone", NEW, NULL, V6, "22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741961, false,
      "22681ab97d52c298010000005cf7c609a6bb79d16625507a" },
    { "a cookie of now comes back as it is", ONE, NULL, V4, "2464c4abcf10c957" MADE, AT, true, "2464c4abcf10c957" MADE },
    { "half an hour old: still as it is", ONE, NULL, V4, "2464c4abcf10c957" MADE, AT + 1800, true, "2464c4abcf10c957" MADE },
    { "an hour old: good, but renewed", ONE, NULL, V4, "2464c4abcf10c957" MADE, AT + 3600, true, NULL },
    { "a second more: no good any longer", ONE, NULL, V4, "2464c4abcf10c957" MADE, AT + 3601, false, NULL },
    { "five minutes ahead: another server's clock", ONE, NULL, V4, "2464c4abcf10c957" MADE, AT - 300, true,
      "2464c4abcf10c957" MADE },
    { "a second more: not believed", ONE, NULL, V4, "2464c4abcf10c957" MADE, AT - 301, false, NULL },
    { "half of all time away", ONE, NULL, V4, "2464c4abcf10c957" MADE, AT + 0x80000000u, false, NULL },
    { "from another address", ONE, NULL, "c6336465", "2464c4abcf10c957" MADE, AT, false, NULL },
    { "another client cookie", ONE, NULL, V4, "2464c4abcf10c958" MADE, AT, false, NULL },
    { "one bit of the hash differs", ONE, NULL, V4, "2464c4abcf10c957 010000005cf79f11 1f8130c3eee29481", AT, false, NULL },
    { "version 2", ONE, NULL, V4, "2464c4abcf10c957 020000005cf79f11 1f8130c3eee29480", AT, false, NULL },
    { "server cookie of 8 bytes", ONE, NULL, V4, "2464c4abcf10c957 010000005cf79f11", AT, false, "2464c4abcf10c957" MADE },
    { "server cookie of 32 bytes that begins well", ONE, NULL, V4, "2464c4abcf10c957" MADE MADE, AT, false,
      "2464c4abcf10c957" MADE },
    { "the second secret checks, the first makes", OLD, ONE, V4, "2464c4abcf10c957" MADE, AT, true, NULL },
    { "time before and behind the wrap of 2106", ONE, NULL, V4, "2464c4abcf10c957", 0xfffffff0u, false, NULL },
};

static void examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct cookie_secrets s = { .n = rows[i].second != NULL ? 2 : 1 };
        struct bytes client = heap_from_hex(rows[i].client), sent = heap_from_hex(rows[i].sent);
        uint8_t out[COOKIE_LEN];
        char text[2 * COOKIE_LEN + 1];
        assert_int_equal(text_from_hex(rows[i].first, s.secret[0], COOKIE_SECRET_LEN), OK);
        if (rows[i].second != NULL)
            assert_int_equal(text_from_hex(rows[i].second, s.secret[1], COOKIE_SECRET_LEN), OK);
        if (cookie_answer(&s, sent, client, rows[i].now_s, out) != rows[i].good)
            fail_msg("%s: wanted %s", rows[i].why, rows[i].good ? "good" : "not good");
        if (rows[i].back != NULL) {
            struct bytes want = heap_from_hex(rows[i].back);
            if (!bytes_equal(want, bytes_of(out, sizeof out)))
                fail_msg("%s: got %s", rows[i].why, text_hex(text, sizeof text, bytes_of(out, sizeof out)));
            bytes_free(want);
        }
        /* whatever it was: what we give out is good here and now, for nobody else */
        assert_memory_equal(out, sent.ptr, COOKIE_CLIENT_LEN);
        if (!bytes_equal(sent, bytes_of(out, sizeof out)))
            assert_int_equal((uint32_t)out[12] << 24 | (uint32_t)out[13] << 16 | (uint32_t)out[14] << 8 | out[15], rows[i].now_s);
        uint8_t again[COOKIE_LEN];
        assert_true(cookie_answer(&s, bytes_of(out, sizeof out), client, rows[i].now_s, again));
        assert_memory_equal(out, again, sizeof again);
        assert_true(cookie_answer(&s, bytes_of(out, sizeof out), client, rows[i].now_s + 60, again));
        bytes_free(client);
        bytes_free(sent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(examples) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
