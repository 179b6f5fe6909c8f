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
    static const struct { const char *text; enum err err; uint16_t port; uint8_t len; const char *key; } rows[] = {
        { "192.0.2.1", OK, 53, 4, NULL }, { "192.0.2.1@5353", OK, 5353, 4, NULL }, { "2001:db8::1@54", OK, 54, 16, NULL },
        { "192.0.2.1@0", ERR_BAD, 0, 0, NULL }, { "192.0.2.1@65536", ERR_BAD, 0, 0, NULL }, { "ns.example.com", ERR_BAD, 0, 0, NULL }, { "@53", ERR_BAD, 0, 0, NULL },
        { "192.0.2.1 key:K.example.", OK, 53, 4, "k.example." }, { "192.0.2.1@54 key:k", OK, 54, 4, "k." },
        { "192.0.2.1 key:", ERR_BAD, 0, 0, NULL }, { "192.0.2.1 key:.", ERR_BAD, 0, 0, NULL }, { "192.0.2.1 k", ERR_BAD, 0, 0, NULL },
        { "192.0.2.1 key:a@b", OK, 53, 4, "a@b." }, { "192.0.2.1@", ERR_BAD, 0, 0, NULL }, { "192.0.2.1@123456789", ERR_BAD, 0, 0, NULL },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct notify_target t = { .port = 0 };
        if (notify_target_parse(rows[i].text, &t) != rows[i].err || (rows[i].err == OK && (t.port != rows[i].port || t.address.len != rows[i].len)))
            fail_msg("%s", rows[i].text);
        if (rows[i].err != OK)
            continue;
        struct name key = { .len = 0 };
        if (rows[i].key != NULL)
            key = name_of(rows[i].key);
        if (!bytes_equal(name_bytes(&t.key), name_bytes(&key)))
            fail_msg("the key of %s", rows[i].text);
    }
}

static void on_silent(void *arg, struct bytes apex, const struct notify_target *to, uint64_t silent_ms)
{
    unsigned *n = arg;
    assert_true(apex.len > 0 && to->port > 0 && silent_ms >= NOTIFIER_SILENT_MS);
    *n += 1;
}

#define NOW_S 1700000000u

/* One target of one zone under changes. One row: what happens, a word for each millisecond that is named: c a change, a an answer,
 * and what must leave then: the serial, or nothing. */
static void steady(void **state)
{
    unsigned silent = 0;
    static const struct { const char *why; struct { uint64_t at; char what; unsigned sent; } steps[10]; unsigned forever; } rows[] = {
        { "the first change leaves at once", { { 0, 'c', 1 } }, 0 },
        { "the next one waits for the answer, and for a tenth of a second", { { 0, 'c', 1 }, { 5, 'c', 0 }, { 10, 'a', 0 }, { 99, ' ', 0 }, { 100, ' ', 2 } }, 0 },
        { "of many only the newest is told", { { 0, 'c', 1 }, { 5, 'c', 0 }, { 6, 'c', 0 }, { 10, 'a', 0 }, { 20, 'c', 0 }, { 100, ' ', 4 } }, 0 },
        { "a late answer: at once", { { 0, 'c', 1 }, { 5, 'c', 0 }, { 300, 'a', 2 } }, 0 },
        { "no answer: a second, and then the newest", { { 0, 'c', 1 }, { 5, 'c', 0 }, { 999, ' ', 0 }, { 1000, ' ', 2 }, { 1999, ' ', 0 }, { 2000, ' ', 2 } }, 0 },
        { "no answer for long, and a change: no more than one a second", { { 0, 'c', 1 }, { 1000, ' ', 1 }, { 3000, ' ', 1 }, { 3500, 'c', 0 }, { 4000, ' ', 2 }, { 4500, 'c', 0 }, { 5000, ' ', 3 } }, 0 },
        { "told, and changed soon", { { 0, 'c', 1 }, { 1, 'a', 0 }, { 2, 'c', 0 }, { 99, ' ', 0 }, { 100, ' ', 2 } }, 0 },
        { "told, and changed later", { { 0, 'c', 1 }, { 1, 'a', 0 }, { 150, 'c', 2 } }, 0 },
        { "told, forgotten, changed", { { 0, 'c', 1 }, { 1, 'a', 0 }, { 150, ' ', 0 }, { 151, 'c', 2 } }, 0 },
        { "changes all the time, and nobody there", { { 0, 'c', 1 } }, 1 },
    };
    struct name apex = name_of("example.com.");
    struct notify_target to, got;
    (void)state;
    assert_int_equal(notify_target_parse("192.0.2.1", &to), OK);
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint8_t soa[22] = { 0 }, msg[512], reply[512];
        struct notifier *n;
        size_t len = 0;
        assert_int_equal(notifier_open(&n, on_silent, &silent), OK);
        for (size_t k = 0; rows[i].steps[k].what != '\0'; k++) {
            uint64_t now = 5000000 + rows[i].steps[k].at;
            uint16_t rcode;
            struct notify heard = { .serial = 0 };
            soa[5] = (uint8_t)(soa[5] + (rows[i].steps[k].what == 'c'));
            if (rows[i].steps[k].what == 'c')
                assert_int_equal(notifier_changed(n, name_bytes(&apex), bytes_of(soa, sizeof soa), 300, &to, 1, now), OK);
            if (rows[i].steps[k].what == 'a')
                assert_int_equal(notifier_answered(n, bytes_of(to.address.addr, 4), 53, bytes_of(reply, len), now, NOW_S, &rcode), NOTIFIER_ANSWERED);
            size_t m = notifier_next(n, now, msg, sizeof msg, &got);
            if (m > 0) {
                assert_int_equal(notify_read(bytes_of(msg, m), &heard), OK);
                len = notify_answer(bytes_of(msg, m), RCODE_NOERROR, reply, sizeof reply);
            }
            if (heard.serial != rows[i].steps[k].sent)
                fail_msg("%s: %u at %u", rows[i].why, (unsigned)heard.serial, (unsigned)rows[i].steps[k].at);
            assert_int_equal(notifier_next(n, now, msg, sizeof msg, &got), 0);
            if (notifier_due_ms(n) <= now)
                fail_msg("%s: due in the past", rows[i].why);
        }
        for (uint64_t ms = 0; rows[i].forever && ms <= 40000; ms += 500) {      /* changes do not hide that nobody answers */
            assert_int_equal(notifier_changed(n, name_bytes(&apex), bytes_of(soa, sizeof soa), 300, &to, 1, 6000000 + ms), OK);
            while (notifier_next(n, 6000000 + ms, msg, sizeof msg, &got) > 0)
                ;
        }
        if (silent != rows[i].forever)
            fail_msg("%s: told %u times", rows[i].why, silent);
        silent = 0;
        notifier_close(n);
    }
}

/* What was signed is answered by nothing but a message that the same key signed. */
static void signed_ones(void **state)
{
    unsigned silent = 0;
    static const uint8_t secret[32] = { 7 };
    struct tsig_key key = { .name = name_of("k.example."), .hash = TSIG_SHA256, .secret = { secret, sizeof secret } };
    struct name apex = name_of("example.com.");
    uint8_t soa[22] = { 0 }, msg[1232], reply[1232];
    struct tsig_chain *ours, *theirs;
    struct notify_target to, got;
    struct notifier_figures f;
    struct notifier *n;
    uint16_t rcode;
    (void)state;
    assert_int_equal(notify_target_parse("192.0.2.1 key:K.example", &to), OK);
    struct bytes addr = bytes_of(to.address.addr, 4);
    assert_int_equal(notifier_open(&n, on_silent, &silent), OK);
    assert_int_equal(notifier_changed(n, name_bytes(&apex), bytes_of(soa, sizeof soa), 300, &to, 1, 1000), OK);
    struct wr w = { msg, notifier_next(n, 1000, msg, sizeof msg, &got), sizeof msg, false };
    size_t bare = notify_answer(wr_done(&w), RCODE_NOERROR, reply, sizeof reply);
    assert_int_equal(notifier_answered(n, addr, 53, bytes_of(reply, bare), 1001, NOW_S, &rcode), NOTIFIER_UNSIGNED);   /* before it was signed, too */
    size_t at = w.len;
    assert_int_equal(tsig_open(&ours, &key), OK);
    assert_int_equal(tsig_sign(ours, &w, NOW_S, 0, NULL), OK);
    notifier_signed(n, ours);
    assert_int_equal(notifier_answered(n, addr, 53, bytes_of(reply, bare), 1001, NOW_S, &rcode), NOTIFIER_UNSIGNED);
    for (int good = 1; good >= 0; good--) {
        struct tsig t;
        struct wr r = { reply, notify_answer(bytes_of(msg, at), RCODE_NOERROR, reply, sizeof reply), sizeof reply, false };
        assert_int_equal(tsig_open(&theirs, &key), OK);
        assert_int_equal(tsig_read(wr_done(&w), at, &t), OK);
        assert_int_equal(tsig_check(theirs, wr_done(&w), at, &t, NOW_S), TSIG_GOOD);
        assert_int_equal(tsig_sign(theirs, &r, NOW_S, 0, NULL), OK);
        tsig_close(theirs);
        if (good == 1) {                                /* a byte of its MAC is another one */
            reply[r.len - 10] ^= 1;
            assert_int_equal(notifier_answered(n, addr, 53, wr_done(&r), 1001, NOW_S, &rcode), NOTIFIER_UNSIGNED);
            w.len = notifier_next(n, 2000, msg, sizeof msg, &got);
            assert_int_equal(tsig_open(&ours, &key), OK);
            assert_int_equal(tsig_sign(ours, &w, NOW_S, 0, NULL), OK);
            notifier_signed(n, ours);
        } else {
            assert_int_equal(notifier_answered(n, addr, 53, wr_done(&r), 2001, NOW_S, &rcode), NOTIFIER_ANSWERED);
        }
    }
    notifier_figures(n, &f);
    assert_true(f.open == 0 && f.answered == 1 && f.sent == 2);
    assert_int_equal(tsig_open(&ours, &key), OK);
    notifier_signed(n, ours);                           /* nothing to sign: it is closed */
    notifier_close(n);
}

static void many(void **state)
{
    unsigned silent = 0;
    struct notify_target to, got;
    struct notifier_figures f;
    struct notifier *n;
    uint8_t soa[22] = { 0 }, msg[512];
    char text[32];
    (void)state;
    assert_int_equal(notify_target_parse("192.0.2.1", &to), OK);
    assert_int_equal(notifier_open(&n, on_silent, &silent), OK);
    for (unsigned i = 0; i < NOTIFIER_OPEN_MAX; i++) {
        (void)snprintf(text, sizeof text, "z%u.example.", i);
        struct name apex = name_of(text);
        assert_int_equal(notifier_changed(n, name_bytes(&apex), bytes_of(soa, sizeof soa), 1, &to, 1, 1000 + i % 2), OK);
    }
    struct name apex = name_of("one.more.example.");
    assert_int_equal(notifier_changed(n, name_bytes(&apex), bytes_of(soa, sizeof soa), 1, &to, 1, 1000), ERR_LIMIT);
    unsigned first = 0, second = 0;
    while (notifier_next(n, 1000, msg, sizeof msg, &got) > 0)
        first++;
    while (notifier_next(n, 1001, msg, sizeof msg, &got) > 0)
        second++;
    assert_int_equal(first, NOTIFIER_OPEN_MAX / 2);
    assert_int_equal(second, NOTIFIER_OPEN_MAX / 2);
    notifier_figures(n, &f);
    assert_true(f.open == NOTIFIER_OPEN_MAX && f.sent == NOTIFIER_OPEN_MAX);
    uint64_t now = 3001;                                /* each goes out once more, and is answered by that alone: many ids are those of several */
    uint16_t rcode;
    for (unsigned left = NOTIFIER_OPEN_MAX; left > 0; left--) {
        uint8_t reply[512];
        size_t len = notifier_next(n, now, msg, sizeof msg, &got);
        assert_true(len > 0);
        len = notify_answer(bytes_of(msg, len), RCODE_NOERROR, reply, sizeof reply);
        assert_int_equal(notifier_answered(n, bytes_of(to.address.addr, 4), 53, bytes_of(reply, len), now, NOW_S, &rcode), NOTIFIER_ANSWERED);
        assert_int_equal(notifier_answered(n, bytes_of(to.address.addr, 4), 53, bytes_of(reply, len), now, NOW_S, &rcode), NOTIFIER_NOT_OURS);
    }
    notifier_figures(n, &f);
    assert_true(f.open == 0 && f.answered == NOTIFIER_OPEN_MAX);
    notifier_close(n);
}

static void tries(void **state)
{
    unsigned silent = 0;
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
    assert_int_equal(notifier_open(&n, on_silent, &silent), OK);
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
    assert_false(notifier_answered(n, addr, (uint16_t)(got.port + 1), bytes_of(reply, answer), now, NOW_S, &rcode));
    assert_false(notifier_answered(n, bytes_of("\xc0\x00\x02\x09", 4), got.port, bytes_of(reply, answer), now, NOW_S, &rcode));
    assert_true(notifier_answered(n, addr, got.port, bytes_of(reply, answer), now, NOW_S, &rcode));
    assert_false(notifier_answered(n, addr, got.port, bytes_of(reply, answer), now, NOW_S, &rcode));        /* twice */
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
    assert_int_equal(silent, 2);                        /* once each, long before they were given up */

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
        cmocka_unit_test(steady), cmocka_unit_test(signed_ones), cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
