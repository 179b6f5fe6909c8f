/* SOA serials: RFC 1982 order, every policy, clocks that lie. */
#include "tests/util.h"

#include "builder/serial.h"

static void order_rows(void **state)
{
    static const struct { const char *why; uint32_t a, b; bool later; } rows[] = {
        { "the next one", 2, 1, true },
        { "equal ones", 7, 7, false },
        { "the one before", 1, 2, false },
        { "past the end of the numbers", 0, 0xffffffffu, true },
        { "half the circle less one", 0x7fffffffu, 0, true },
        { "half the circle: neither is later", 0x80000000u, 0, false },
        { "and from the other side", 0, 0x80000000u, false },
        { "more than half the circle ahead is behind", 0x80000001u, 0, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        if (serial_later(rows[i].a, rows[i].b) != rows[i].later)
            fail_msg("%s", rows[i].why);
}

#define NOON 1795262400u        /* 2026-11-21 12:00:00 UTC */
static void next_rows(void **state)
{
    static const struct { const char *why; enum serial_policy policy; uint32_t now; uint64_t unix_s; uint32_t want; } rows[] = {
        { "one more", SERIAL_INCREMENT, 41, NOON, 42 },
        { "0 is left out", SERIAL_INCREMENT, 0xffffffffu, NOON, 1 },
        { "a first one", SERIAL_INCREMENT, 0, NOON, 1 },
        { "the time", SERIAL_UNIXTIME, 41, NOON, NOON },
        { "twice in a second", SERIAL_UNIXTIME, NOON, NOON, NOON + 1 },
        { "a clock set back", SERIAL_UNIXTIME, NOON + 500, NOON, NOON + 501 },
        { "a serial so far ahead that the time is later again", SERIAL_UNIXTIME, 0xf0000000u, NOON, NOON },
        { "no clock", SERIAL_UNIXTIME, 5, 0, 6 },
        { "time past 32 bits", SERIAL_UNIXTIME, 0xfffffff0u, 0x100000005u, 5 },
        { "the first of a day", SERIAL_DATE, 2026112007u, NOON, 2026112100u },
        { "a later one of the day", SERIAL_DATE, 2026112100u, NOON, 2026112101u },
        { "the hundredth runs into the next day", SERIAL_DATE, 2026112199u, NOON, 2026112200u },
        { "from small numbers to dates", SERIAL_DATE, 3, NOON, 2026112100u },
        { "a clock set back by a day", SERIAL_DATE, 2026112300u, NOON, 2026112301u },
        { "a clock beyond all dates that fit", SERIAL_DATE, 2026112300u, UINT64_MAX, 2026112301u },
        { "kept", SERIAL_KEEP, 41, NOON, 41 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint32_t got = serial_next(rows[i].policy, rows[i].now, rows[i].unix_s);
        if (got != rows[i].want)
            fail_msg("%s: got %u, want %u", rows[i].why, got, rows[i].want);
        if (rows[i].policy != SERIAL_KEEP && !serial_later(got, rows[i].now))
            fail_msg("%s: not later", rows[i].why);
    }
}

static void soa_rows(void **state)
{
    static const struct { const char *why, *hex; enum err want; uint32_t serial; } rows[] = {
        { "a SOA", "01 61 00 01 62 00 00 00 01 02 00 00 00 03 00 00 00 04 00 00 00 05 00 00 00 06", OK, 258 },
        { "root names", "00 00 ff ff ff ff 00 00 00 03 00 00 00 04 00 00 00 05 00 00 00 06", OK, 0xffffffffu },
        { "ends inside the numbers", "00 00 00 00 01 02 00 00 00 03 00 00 00 04 00 00 00 05 00 00 00", ERR_BAD, 0 },
        { "a byte too many", "00 00 00 00 01 02 00 00 00 03 00 00 00 04 00 00 00 05 00 00 00 06 07", ERR_BAD, 0 },
        { "a compressed name", "c0 0c 00 00 00 01 02 00 00 00 03 00 00 00 04 00 00 00 05 00 00 00 06", ERR_BAD, 0 },
        { "ends inside a name", "05 61", ERR_BAD, 0 },
        { "empty", "", ERR_BAD, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex);
        uint32_t serial = 0;
        if (soa_serial(in, &serial) != rows[i].want || serial != rows[i].serial)
            fail_msg("%s: serial %u", rows[i].why, serial);
        if (soa_serial_put((uint8_t *)(uintptr_t)in.ptr, in.len, 99) != rows[i].want)
            fail_msg("%s: put", rows[i].why);
        if (rows[i].want == OK && (soa_serial(in, &serial) != OK || serial != 99))
            fail_msg("%s: what was put does not read", rows[i].why);
        bytes_free(in);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_rows), cmocka_unit_test(next_rows), cmocka_unit_test(soa_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
