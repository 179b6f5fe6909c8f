/* Hex, base64, numbers, sizes, durations. */
#include "tests/util.h"

#include "base/text.h"

static void hex_and_base64(void **state)
{
    uint8_t in[40], back[40];
    char text[100];
    struct rnd r = rnd_seed(1);
    (void)state;
    for (size_t len = 0; len <= sizeof in; len++) {
        for (size_t i = 0; i < len; i++)
            in[i] = (uint8_t)rnd_u64(&r);
        text_hex(text, sizeof text, bytes_of(in, len));
        assert_int_equal(strlen(text), 2 * len);
        assert_int_equal(text_from_hex(text, back, len), OK);
        assert_memory_equal(in, back, len);
        assert_int_equal(text_from_hex(text, back, len + 1), ERR_BAD);
        text_base64(text, sizeof text, bytes_of(in, len));
        assert_int_equal(strlen(text), 4 * ((len + 2) / 3));
        assert_int_equal(text_from_base64(text, back, len), OK);
        assert_memory_equal(in, back, len);
        assert_int_equal(text_from_base64(text, back, len + 1), ERR_BAD);
        if (len > 0) {
            assert_int_equal(text_from_base64(text, back, len - 1), ERR_BAD);
            assert_int_equal(text_from_hex(text, back, len - 1), ERR_BAD);
        }
    }
    assert_string_equal(text_hex(text, sizeof text, bytes_of("\001\253", 2)), "01ab");
    assert_string_equal(text_hex(text, 4, bytes_of("\001\253", 2)), "");
    assert_string_equal(text_base64(text, sizeof text, bytes_of("azoth", 5)), "YXpvdGg=");
    assert_string_equal(text_base64(text, 8, bytes_of("azoth", 5)), "");
}

static void what_is_no_hex_or_base64(void **state)
{
    static const char *const no_hex[] = { "0", "0g", "gg", "0 ", " 00", "00 ", "0x", "000" };
    static const char *const no_base64[] = { "YXpvdGg", "YXpvdGg==", "YXpvdGg=\n", " YXpvdGg=", "YXpv*Gg=", "YXpvdGh=" };
    uint8_t back[8];
    (void)state;
    for (size_t i = 0; i < ROWS(no_hex); i++)
        if (text_from_hex(no_hex[i], back, 1) != ERR_BAD)
            fail_msg("'%s' passes for hex", no_hex[i]);
    for (size_t i = 0; i < ROWS(no_base64); i++)
        if (text_from_base64(no_base64[i], back, 5) != ERR_BAD)
            fail_msg("'%s' passes for base64", no_base64[i]);
    assert_int_equal(text_from_hex("AB", back, 1), OK);     /* upper case is hex too */
    assert_int_equal(back[0], 0xab);
}

static void ascii(void **state)
{
    (void)state;
    assert_true(text_is_ascii(bytes_of("", 0)));
    assert_true(text_is_ascii(bytes_of_text("xn--bcher-kva.\\195\\188\177")));
    assert_false(text_is_ascii(bytes_of_text("b\303\274cher")));
    assert_false(text_is_ascii(bytes_of_text("a\200")));
}

static void numbers(void **state)
{
    static const struct { const char *text; uint64_t max; enum err want; uint64_t v; } rows[] = {
        { "0", 10, OK, 0 }, { "10", 10, OK, 10 }, { "11", 10, ERR_BAD, 0 }, { "007", 10, OK, 7 },
        { "18446744073709551615", UINT64_MAX, OK, UINT64_MAX }, { "18446744073709551616", UINT64_MAX, ERR_BAD, 0 },
        { "184467440737095516150", UINT64_MAX, ERR_BAD, 0 }, { "", 10, ERR_BAD, 0 }, { "-1", 10, ERR_BAD, 0 }, { "+1", 10, ERR_BAD, 0 },
        { " 1", 10, ERR_BAD, 0 }, { "1 ", 10, ERR_BAD, 0 }, { "1k", 10, ERR_BAD, 0 }, { "0x1", 10, ERR_BAD, 0 }, { "9", 8, ERR_BAD, 0 },
        { "1", 0, ERR_BAD, 0 }, { "0", 0, OK, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint64_t v = 0;
        enum err got = text_number(rows[i].text, rows[i].max, &v);
        if (got != rows[i].want || v != rows[i].v)
            fail_msg("'%s': '%s', %llu", rows[i].text, err_text(got), (unsigned long long)v);
    }
}

typedef enum err parse_fn(const char *text, uint64_t *out);
static enum err parse_size(const char *text, uint64_t *out) { return text_size(text, out); }
static enum err parse_duration(const char *text, uint64_t *out) { return text_duration(text, out); }

static void sizes_and_durations(void **state)
{
    static const struct { parse_fn *parse; const char *text; enum err want; uint64_t v; } rows[] = {
        { parse_size, "0", OK, 0 }, { parse_size, "100", OK, 100 }, { parse_size, "4k", OK, 4096 }, { parse_size, "4K", OK, 4096 },
        { parse_size, "512M", OK, 512u << 20 }, { parse_size, "64G", OK, (uint64_t)64 << 30 }, { parse_size, "1T", OK, (uint64_t)1 << 40 },
        { parse_size, "16777215T", OK, (uint64_t)16777215 << 40 }, { parse_size, "16777216T", ERR_BAD, 0 },
        { parse_size, "", ERR_BAD, 0 }, { parse_size, "G", ERR_BAD, 0 }, { parse_size, "4 k", ERR_BAD, 0 }, { parse_size, "4kb", ERR_BAD, 0 },
        { parse_size, "4x", ERR_BAD, 0 }, { parse_size, "-4k", ERR_BAD, 0 }, { parse_size, "1.5G", ERR_BAD, 0 },
        { parse_duration, "5", OK, 5000 }, { parse_duration, "50ms", OK, 50 }, { parse_duration, "5s", OK, 5000 },
        { parse_duration, "10m", OK, 600000 }, { parse_duration, "2h", OK, 7200000 }, { parse_duration, "7d", OK, 604800000 },
        { parse_duration, "0s", OK, 0 }, { parse_duration, "", ERR_BAD, 0 }, { parse_duration, "s", ERR_BAD, 0 },
        { parse_duration, "5w", ERR_BAD, 0 }, { parse_duration, "5S", ERR_BAD, 0 }, { parse_duration, "99999999999999999d", ERR_BAD, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint64_t v = 0;
        enum err got = rows[i].parse(rows[i].text, &v);
        if (got != rows[i].want || v != rows[i].v)
            fail_msg("'%s': '%s', %llu", rows[i].text, err_text(got), (unsigned long long)v);
    }
}

static void sizes_for_people(void **state)
{
    static const struct { uint64_t v; const char *want; } rows[] = {
        { 0, "0 B" }, { 1023, "1023 B" }, { 1024, "1.0 KiB" }, { 1536, "1.5 KiB" }, { 1 << 20, "1.0 MiB" },
        { (uint64_t)64 << 30, "64.0 GiB" }, { (uint64_t)5000 << 40, "5000.0 TiB" },
    };
    char text[40];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        assert_string_equal(text_of_size(text, sizeof text, rows[i].v), rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_and_base64), cmocka_unit_test(what_is_no_hex_or_base64), cmocka_unit_test(ascii), cmocka_unit_test(numbers),
        cmocka_unit_test(sizes_and_durations), cmocka_unit_test(sizes_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
