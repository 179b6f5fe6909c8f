/* NOTIFY as bytes, and who is told when: a clock in, datagrams out. */
#include "tests/util.h"

#include "builder/notifier.h"
#include "wire/query.h"
#include "wire/rrtype.h"

static struct name name_of(const char *text)
{
    struct name n;
    assert_int_equal(name_from_text(bytes_of_text(text), (struct bytes){ 0 }, &n), OK);
    return n;
}

#define QUESTION "07 6578616d706c65 03 636f6d 00 0006 0001 "
#define SOA_DATA "0016 00 00 0000002a 00000001 00000001 00000001 00000001"
static void reads(void **state)
{
    static const struct { const char *why, *hex; enum err err; bool has_serial; } rows[] = {
        { "with a SOA", "1234 2400 0001 0001 0000 0000 " QUESTION "c00c 0006 0001 00000000 " SOA_DATA, OK, true },
        { "without", "1234 2400 0001 0000 0000 0000 " QUESTION, OK, false },
        { "the SOA of another name is no hint", "1234 2400 0001 0001 0000 0000 " QUESTION "00 0006 0001 00000000 " SOA_DATA, OK, false },
        { "nor is another type", "1234 2400 0001 0001 0000 0000 " QUESTION "c00c 0001 0001 00000000 0004 c0000201", OK, false },
        { "a query", "1234 0000 0001 0000 0000 0000 " QUESTION, ERR_NOTFOUND, false },
        { "an answer", "1234 a400 0001 0000 0000 0000 " QUESTION, ERR_NOTFOUND, false },
        { "of an address, whatever that may mean", "1234 2400 0001 0000 0000 0000 07 6578616d706c65 03 636f6d 00 0001 0001", ERR_NOTFOUND, false },
        { "without a question", "1234 2400 0000 0000 0000 0000", ERR_BAD, false },
        { "shorter than a header", "1234 2400 0000", ERR_NOTFOUND, false },
    };
    struct name apex = name_of("example.com.");
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes msg = heap_from_hex(rows[i].hex);
        struct notify n;
        enum err err = notify_read(msg, &n);
        if (err != rows[i].err || (err == OK && (n.has_serial != rows[i].has_serial || n.id != 0x1234
                                                 || !name_equal(name_bytes(&n.apex), name_bytes(&apex)))))
            fail_msg("%s: %s", rows[i].why, err_text(err));
        if (err == OK && n.has_serial)
            assert_int_equal(n.serial, 42);
        bytes_free(msg);
    }
}

static void both_ways(void **state)
{
    struct name apex = name_of("example.com."), other = name_of("example.net.");
    struct bytes soa = heap_from_hex("00 00 0000002a 00000001 00000001 00000001 00000001");
    uint8_t msg[512], reply[512];
    struct notify n;
    uint16_t rcode;
    (void)state;
    size_t len = notify_write(7, name_bytes(&apex), soa, 300, msg, sizeof msg);
    assert_true(len > 0 && notify_write(7, name_bytes(&apex), soa, 300, msg, len - 1) == 0);
    len = notify_write(7, name_bytes(&apex), soa, 300, msg, sizeof msg);
    assert_int_equal(notify_read(bytes_of(msg, len), &n), OK);
    assert_true(n.id == 7 && n.has_serial && n.serial == 42);
    size_t got = notify_answer(bytes_of(msg, len), RCODE_REFUSED, reply, sizeof reply);
    assert_true(notify_answered(bytes_of(reply, got), 7, name_bytes(&apex), &rcode) && rcode == RCODE_REFUSED);
    assert_false(notify_answered(bytes_of(reply, got), 8, name_bytes(&apex), &rcode));
    assert_false(notify_answered(bytes_of(reply, got), 7, name_bytes(&other), &rcode));
    assert_false(notify_answered(bytes_of(msg, len), 7, name_bytes(&apex), &rcode));        /* our own question */
    assert_false(notify_answered(bytes_of(reply, 11), 7, name_bytes(&apex), &rcode));
    assert_int_equal(notify_answer(bytes_of(msg, len), 0, reply, 20), 0);
    bytes_free(soa);
}

static void targets(void **state)
{
    static const struct { const char *text; enum err err; uint16_t port; uint8_t len; } rows[] = {
        { "192.0.2.1", OK, 53, 4 }, { "192.0.2.1@5353", OK, 5353, 4 }, { "2001:db8::1@54", OK, 54, 16 },
        { "192.0.2.1@0", ERR_BAD, 0, 0 }, { "192.0.2.1@65536", ERR_BAD, 0, 0 }, { "ns.example.com", ERR_BAD, 0, 0 }, { "@53", ERR_BAD, 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct notify_target t = { .port = 0 };
        if (notify_target_parse(rows[i].text, &t) != rows[i].err || (rows[i].err == OK && (t.port != rows[i].port || t.address.len != rows[i].len)))
            fail_msg("%s", rows[i].text);
    }
}

static void tries(void **state)
{
    static const uint64_t due[] = { 1000, 2000, 4000, 8000, 16000, 32000 };      /* and the times between add up */
    struct bytes soa = heap_from_hex("00 00 0000002a 00000001 00000001 00000001 00000001");
    struct name apex = name_of("example.com."), other = name_of("example.net.");
    struct notify_target to[2], got;
    struct notifier_figures f;
    struct notifier *n;
    uint8_t msg[512], reply[512];
    uint64_t now = 5000000;
    uint16_t rcode;
    (void)state;
    assert_int_equal(notifier_open(&n, 1), OK);
    assert_int_equal(notify_target_parse("192.0.2.1@53", &to[0]), OK);
    assert_int_equal(notify_target_parse("192.0.2.2@54", &to[1]), OK);
    assert_int_equal(notifier_next(n, now, msg, sizeof msg, &got), 0);

    assert_int_equal(notifier_changed(n, name_bytes(&apex), soa, 300, to, 2, now), OK);
    assert_int_equal(notifier_changed(n, name_bytes(&other), soa, 300, to, 1, now), OK);
    assert_int_equal(notifier_changed(n, name_bytes(&apex), soa, 300, to, 2, now), OK);        /* newest only */
    for (int i = 0; i < 3; i++)
        assert_true(notifier_next(n, now, msg, sizeof msg, &got) > 0);
    assert_int_equal(notifier_next(n, now, msg, sizeof msg, &got), 0);
    notifier_figures(n, &f);
    assert_true(f.open == 3 && f.sent == 3);

    now += 1000;                                        /* one answers at its second try, from where it was asked alone */
    size_t len = notifier_next(n, now, msg, sizeof msg, &got);
    struct bytes addr = bytes_of(got.address.addr, got.address.len);
    size_t answer = notify_answer(bytes_of(msg, len), RCODE_NOERROR, reply, sizeof reply);
    assert_false(notifier_answered(n, addr, (uint16_t)(got.port + 1), bytes_of(reply, answer), &rcode));
    assert_false(notifier_answered(n, bytes_of("\xc0\x00\x02\x09", 4), got.port, bytes_of(reply, answer), &rcode));
    assert_true(notifier_answered(n, addr, got.port, bytes_of(reply, answer), &rcode));
    assert_false(notifier_answered(n, addr, got.port, bytes_of(reply, answer), &rcode));        /* twice */
    notifier_figures(n, &f);
    assert_true(f.open == 2 && f.answered == 1);

    while (notifier_next(n, now, msg, sizeof msg, &got) > 0)
        ;
    for (size_t i = 1; i < ROWS(due); i++) {            /* the others never do */
        assert_int_equal(notifier_next(n, now + due[i] - 1, msg, sizeof msg, &got), 0);
        now += due[i];
        unsigned sent = 0;
        while (notifier_next(n, now, msg, sizeof msg, &got) > 0)
            sent++;
        assert_int_equal(sent, i < ROWS(due) - 1 ? 2 : 0);
    }
    notifier_figures(n, &f);
    assert_true(f.open == 0 && f.given_up == 2);

    assert_int_equal(notifier_changed(n, name_bytes(&apex), soa, 300, to, 2, now), OK);
    assert_int_equal(notifier_changed(n, name_bytes(&apex), soa, 300, NULL, 0, now), OK);       /* nobody is to be told any more */
    assert_int_equal(notifier_next(n, now, msg, sizeof msg, &got), 0);
    notifier_close(n);
    bytes_free(soa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads), cmocka_unit_test(both_ways), cmocka_unit_test(targets), cmocka_unit_test(tries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
