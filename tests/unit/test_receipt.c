/* Receipts: bytes, signature, pace; and the queue in which they wait for the link up. */
#include "tests/unit/receipt_bed.h"

#include "base/msg.h"
#include "replicator/fleet.h"
#include "replicator/receipt_queue.h"

#define S 1000000u

/* --- bytes ------------------------------------------------------------------------------------------------------- */
static enum err read_back(struct bytes in, struct receipt *out, struct bytes *body, uint8_t sig[64])
{
    struct bytes copy = heap_copy(in.ptr, in.len);      /* exact memory, but the result borrows from `in` */
    struct bytes unused;
    struct receipt r;
    uint8_t s[64];
    enum err err = receipt_read(copy, &r, &unused, s);
    bytes_free(copy);
    assert_int_equal(receipt_read(in, out, body, sig), err);
    return err;
}

static void round_trip(void **state)
{
    struct node_key key = bed_key(1);
    struct receipt r = bed_receipt("edge-1", 7, 3, 41), got;
    struct bytes body;
    uint8_t sig[64];
    (void)state;
    r.held_us = 1234;
    r.lag_ms = 99;
    r.state = RECEIPT_ROTTEN;
    r.boot = UINT64_MAX;
    r.parent = bytes_of_text("");
    struct bytes msg = bed_message(&r, &key);
    assert_int_equal(read_back(msg, &got, &body, sig), OK);
    assert_int_equal(receipt_verify(body, sig, key.pub), OK);
    assert_true(bytes_equal(got.node, r.node) && bytes_equal(got.parent, r.parent) && bytes_equal(got.cohort, r.cohort)
                && bytes_equal(got.version, r.version) && memcmp(got.cluster, r.cluster, CLUSTER_LEN) == 0
                && memcmp(got.digest, r.digest, HEAD_DIGEST_LEN) == 0);
    assert_true(got.boot == r.boot && got.counter == 7 && got.epoch == 3 && got.seq == 41 && got.head_seq == 41
                && got.head_time_ms == 1007 && got.held_us == 1234 && got.lag_ms == 99 && got.state == RECEIPT_ROTTEN
                && got.uptime_s == 5 && got.qps == 9);
    bytes_free(msg);
}

/* The example of FORMAT.md section 7. */
static void format_example(void **state)
{
    struct node_key key = bed_key(1);
    struct receipt r = bed_receipt("edge-1", 7, 3, 41);
    struct bytes msg = bed_message(&r, &key), want = heap_from_hex(
        "93 01 c45a dc0011 c410 c1c10000000000000000000000000000 a6656467652d31 a4636f7265 a3616c6c cdb007 07 03 29"
        "c420 2900000000000000000000000000000000000000000000000000000000000000 29 cd03ef 00 00 00 a3312e30 05 09"
        "c440 7f4519152c91f57e8a7e893f30b7165d729ef73ffe3aa02659e0b8e2d5b26a5d"
        "5749bafc4902d46a2fd5f74dcedfde4e19a17b879d7f5bf4f00f3dc712c65208");
    (void)state;
    assert_true(bytes_equal(msg, want));
    bytes_free(msg);
    bytes_free(want);
}

static void longest_fits(void **state)
{
    char name[NODE_NAME_MAX + 1], word[COHORT_NAME_MAX + 1];
    struct node_key key = bed_key(1);
    struct receipt r = bed_receipt("x", INT64_MAX, INT64_MAX, INT64_MAX), got;
    struct bytes body;
    uint8_t sig[64];
    (void)state;
    memset(name, 'n', sizeof name - 1);
    memset(word, 'w', sizeof word - 1);
    name[sizeof name - 1] = word[sizeof word - 1] = '\0';
    r.node = r.parent = bytes_of_text(name);
    r.cohort = r.version = bytes_of_text(word);
    r.head_time_ms = r.held_us = r.lag_ms = r.uptime_s = r.qps = INT64_MAX;
    struct bytes msg = bed_message(&r, &key);
    assert_int_equal(read_back(msg, &got, &body, sig), OK);
    bytes_free(msg);
}

/* Nobody can change a receipt on its way, nor pass one signed for another purpose. */
static void every_byte_is_signed(void **state)
{
    struct node_key key = bed_key(1);
    struct receipt r = bed_receipt("edge-1", 7, 3, 41), got;
    struct bytes msg = bed_message(&r, &key), body;
    uint8_t sig[64];
    (void)state;
    for (size_t i = 0; i < msg.len; i++) {
        struct bytes copy = heap_copy(msg.ptr, msg.len);
        ((uint8_t *)(uintptr_t)copy.ptr)[i] ^= 0x01;
        if (receipt_read(copy, &got, &body, sig) == OK && receipt_verify(body, sig, key.pub) == OK)
            fail_msg("byte %zu may be changed", i);
        bytes_free(copy);
    }
    for (size_t n = 0; n < msg.len; n++) {
        struct bytes cut = heap_copy(msg.ptr, n);
        enum err err = receipt_read(cut, &got, &body, sig);
        if (err != ERR_SHORT)
            fail_msg("cut at %zu: '%s'", n, err_text(err));
        bytes_free(cut);
    }
    assert_int_equal(receipt_read(msg, &got, &body, sig), OK);
    struct node_key other = bed_key(2);
    assert_int_equal(receipt_verify(body, sig, other.pub), ERR_SIGNATURE);
    crypto_sign_detached(sig, NULL, body.ptr, body.len, key.secret);        /* without the words in front */
    assert_int_equal(receipt_verify(body, sig, key.pub), ERR_SIGNATURE);
    bytes_free(msg);
}

/* Signed well, and yet not taken. */
static const struct { const char *why, *node, *parent, *cohort, *version; uint64_t seq; unsigned state; enum err want; } rows[] = {
    { "all is well",            "n",      "p",   "c",   "v",   1, 0, OK },
    { "empty where it may be",  "n",      "",    "",    "",    0, 4, OK },
    { "no name",                "",       "p",   "c",   "v",   1, 0, ERR_BAD },
    { "a control byte",         "n\x1b[", "p",   "c",   "v",   1, 0, ERR_BAD },
    { "a space",                "n n",    "p",   "c",   "v",   1, 0, ERR_BAD },
    { "not ASCII",              "n",      "\xc3\xa4", "c", "v", 1, 0, ERR_BAD },
    { "a cohort too long",      "n",      "p",   "ccccccccccccccccccccccccccccccccc", "v", 1, 0, ERR_BAD },
    { "a version too long",     "n",      "p",   "c",   "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv", 1, 0, ERR_BAD },
    { "a seq beyond JSON's",    "n",      "p",   "c",   "v",   (uint64_t)INT64_MAX + 1, 0, ERR_BAD },
    { "an unknown state",       "n",      "p",   "c",   "v",   1, 5, ERR_BAD },
};
static void shapes(void **state)
{
    struct node_key key = bed_key(1);
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct receipt r = bed_receipt(rows[i].node, 1, 1, rows[i].seq), got;
        struct bytes body;
        uint8_t sig[64];
        r.parent = bytes_of_text(rows[i].parent);
        r.cohort = bytes_of_text(rows[i].cohort);
        r.version = bytes_of_text(rows[i].version);
        r.state = (enum receipt_state)rows[i].state;
        struct bytes msg = bed_message(&r, &key);
        enum err err = receipt_read(msg, &got, &body, sig);
        if (err != rows[i].want)
            fail_msg("%s: '%s'", rows[i].why, err_text(err));
        bytes_free(msg);
    }
}

/* [type, body, sig, more]: a newer version may add elements, another type is none of ours. */
static void versions(void **state)
{
    struct node_key key = bed_key(1);
    struct receipt r = bed_receipt("edge-1", 7, 3, 41), got;
    struct bytes msg = bed_message(&r, &key), body;
    uint8_t sig[64], buf[RECEIPT_MAX];
    (void)state;
    assert_int_equal(receipt_read(msg, &got, &body, sig), OK);
    for (unsigned type = 1; type <= 2; type++) {
        struct wr w = wr_over(buf, sizeof buf);
        msg_put_array(&w, 4);
        msg_put_uint(&w, type);
        msg_put_bin(&w, body);
        msg_put_bin(&w, bytes_of(sig, sizeof sig));
        msg_put_text(&w, bytes_of_text("new"));
        struct bytes again;
        uint8_t s[64];
        assert_int_equal(receipt_read(wr_done(&w), &got, &again, s), type == 1 ? OK : ERR_FORMAT);
    }
    static uint8_t big[RECEIPT_MAX + 1] = { 0x93, 0x01 };
    assert_int_equal(receipt_read(bytes_of(big, sizeof big), &got, &body, sig), ERR_BAD);
    bytes_free(msg);
}

/* --- pace -------------------------------------------------------------------------------------------------------- */
static const struct { const char *why; uint64_t seq, now_ms, wake_ms; } paces[] = {
    { "just sent, nothing moved",       10, 5000, 1000 },
    { "half a second later",            10, 5500, 500 },
    { "a second later",                 10, 6000, 0 },
    { "long ago",                       10, 99000, 0 },
    { "moved at once",                  11, 5000, 50 },
    { "moved, 49 ms later",             11, 5049, 1 },
    { "moved, 50 ms later",             11, 5050, 0 },
    { "the first of a burst",           11, 5700, 0 },
    { "moved back (a copy)",            2,  5050, 0 },
};
static void pace(void **state)
{
    (void)state;
    struct receipt_pace p = { .ever = false };
    assert_true(receipt_is_due(&p, 0, 0, 0));
    for (size_t i = 0; i < ROWS(paces); i++) {
        receipt_sent(&p, 1, 10, 5000);
        uint64_t wake = receipt_wake_ms(&p, 1, paces[i].seq, paces[i].now_ms);
        if (wake != paces[i].wake_ms || receipt_is_due(&p, 1, paces[i].seq, paces[i].now_ms) != (wake == 0))
            fail_msg("%s: wakes in %lu ms", paces[i].why, (unsigned long)wake);
    }
    receipt_sent(&p, 1, 10, 5000);
    assert_int_equal(receipt_wake_ms(&p, 2, 10, 5000), 50);     /* the epoch moves too */
}

/* The larger the fleet, the later and the rarer. */
static void pace_of_fleets(void **state)
{
    static const struct { const char *why; uint64_t nodes, spread_ms; } fleets[] = {
        { "nothing is known of it",                         0,              0 },
        { "few: all at once",                               10,             0 },
        { "a few more",                                     11,             11 },
        { "a hundred: one each 100 ms, 1,000 a second",     100,            100 },
        { "a thousand",                                     1000,           1000 },
        { "ten thousand: 3,077 a second",                   10000,          3250 },
        { "more than there are: nobody seems away",         UINT64_MAX,     13250 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(fleets); i++) {
        struct receipt_pace p = { .nodes = fleets[i].nodes, .random = 7 };
        uint64_t spread = fleets[i].spread_ms, rest = spread > RECEIPT_IDLE_MS ? spread : RECEIPT_IDLE_MS;
        if (receipt_spread_ms(fleets[i].nodes) != spread)
            fail_msg("%s: %lu ms", fleets[i].why, (unsigned long)receipt_spread_ms(fleets[i].nodes));
        assert_true(receipt_is_due(&p, 1, 1, 1000));           /* the first one of all waits for nothing */
        receipt_sent(&p, 1, 1, 1000);
        uint64_t now = 900000, wait = receipt_wake_ms(&p, 1, 2, now);
        assert_in_range(wait, spread / 2, spread);
        assert_int_equal(receipt_is_due(&p, 1, 2, now), spread == 0);
        assert_int_equal(receipt_wake_ms(&p, 1, 3, now + 1), wait > 0 ? wait - 1 : 0);      /* a further move does not put it off */
        receipt_sent(&p, 1, 3, now + wait);
        assert_int_equal(receipt_wake_ms(&p, 1, 3, now + wait), rest);
        assert_in_range(receipt_wake_ms(&p, 1, 4, now + wait), RECEIPT_BURST_MS, rest);
        /* a move right before the receipt that is due at rest puts it off: by so little that the node is not away */
        uint64_t sent = now + wait, last = sent + rest - 1;
        assert_true(last + receipt_wake_ms(&(struct receipt_pace){ .nodes = fleets[i].nodes, .random = UINT64_MAX, .ever = true,
                                           .sent_ms = sent, .sent_epoch = 1, .sent_seq = 3 }, 1, 4, last) - sent
                    < FLEET_HEARD_MS - 2000);
        /* two nodes do not wait the same while */
        struct receipt_pace other = { .nodes = fleets[i].nodes, .random = UINT64_MAX, .ever = true };
        assert_true(spread < 50 || receipt_wake_ms(&other, 1, 9, now) != wait);
    }
}

/* A burst of changes each ms for 3 s: 60 receipts and no more; then one a second. */
static void a_burst(void **state)
{
    struct receipt_pace p = { .ever = false };
    unsigned sent = 0, idle = 0;
    (void)state;
    for (uint64_t ms = 0; ms < 6000; ms++) {
        uint64_t seq = ms < 3000 ? ms + 1 : 3000;
        if (!receipt_is_due(&p, 1, seq, ms))
            continue;
        receipt_sent(&p, 1, seq, ms);
        if (ms < 3000)
            sent++;
        else
            idle++;
    }
    assert_int_equal(sent, 60);
    assert_in_range(idle, 3, 4);
    assert_int_equal(p.sent_seq, 3000);
}

static void rate(void **state)
{
    uint64_t due = 0;
    unsigned n = 0;
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        n += receipt_rate_pass(&due, 40, 5 * S);
    assert_int_equal(n, 40);
    for (n = 0; n < 40 && receipt_rate_pass(&due, 40, 5 * S + 250000); n++)
        continue;
    assert_int_equal(n, 10);
    for (n = 0; n < 100 && receipt_rate_pass(&due, 40, 60 * S); n++)      /* rest saves up no more than a second's */
        continue;
    assert_int_equal(n, 40);
}

/* --- the queue --------------------------------------------------------------------------------------------------- */
static enum err give(struct receipt_queue *q, const char *node, uint64_t boot, uint64_t counter, bool ours, uint64_t now_us)
{
    static struct node_key key;
    if (key.pub[0] == 0)
        key = bed_key(1);
    struct receipt r = bed_receipt(node, counter, 1, counter);
    r.boot = boot;
    struct bytes msg = bed_message(&r, &key);
    enum err err = receipt_queue_take(q, msg, ours, now_us);
    bytes_free(msg);
    return err;
}

static void first_is(struct receipt_queue *q, const char *node, uint64_t counter)
{
    struct bytes msg, body;
    struct receipt r;
    uint8_t sig[64];
    assert_true(receipt_queue_first(q, &msg));
    assert_int_equal(receipt_read(msg, &r, &body, sig), OK);
    if (!bytes_equal(r.node, bytes_of_text(node)) || r.counter != counter)
        fail_msg("%.*s %lu stands first, not %s %lu", (int)r.node.len, (const char *)r.node.ptr, (unsigned long)r.counter, node,
                 (unsigned long)counter);
    receipt_queue_drop(q);
}

static void newest_wins(void **state)
{
    struct receipt_queue *q;
    struct bytes msg;
    (void)state;
    assert_int_equal(receipt_queue_open(&q), OK);
    assert_false(receipt_queue_first(q, &msg));
    receipt_queue_drop(q);
    assert_int_equal(give(q, "a", 1, 1, false, S), OK);
    assert_int_equal(give(q, "b", 1, 1, false, S), OK);
    assert_int_equal(give(q, "a", 1, 2, false, S), OK);
    assert_int_equal(give(q, "a", 1, 2, false, S), ERR_EXISTS);
    assert_int_equal(give(q, "a", 1, 1, false, S), ERR_EXISTS);
    assert_int_equal(give(q, "a", 2, 1, false, S), OK);         /* started anew */
    assert_int_equal(give(q, "b", 1, 5, false, S), OK);
    assert_int_equal(receipt_queue_waiting(q), 3);
    first_is(q, "a", 2);
    first_is(q, "b", 5);
    assert_int_equal(give(q, "b", 1, 6, false, S), OK);         /* behind those that waited before */
    first_is(q, "a", 1);
    first_is(q, "b", 6);
    assert_int_equal(receipt_queue_waiting(q), 0);
    assert_int_equal(give(q, "b", 1, 6, false, S), ERR_EXISTS); /* also when it went out already */
    assert_int_equal(receipt_queue_take(q, bytes_of_text("x"), false, S), ERR_BAD);
    receipt_queue_close(q);
}

/* Somebody who heard a node's boot number sends a receipt with a counter far ahead: the node is not silent for ever. */
static void a_counter_far_ahead(void **state)
{
    struct receipt_queue *q;
    const uint64_t far = (uint64_t)1 << 40, rest = (uint64_t)RECEIPT_QUEUE_REST_MS * 1000;
    (void)state;
    assert_int_equal(receipt_queue_open(&q), OK);
    assert_int_equal(give(q, "a", 1, 1, false, S), OK);
    assert_int_equal(give(q, "a", 1, far, false, S), OK);
    assert_int_equal(give(q, "a", 1, 2, false, S + rest - 1), ERR_EXISTS);
    assert_int_equal(give(q, "a", 1, 3, false, S + rest), OK);
    assert_int_equal(give(q, "a", 1, 3, false, S + rest), ERR_EXISTS);
    assert_int_equal(give(q, "us", 1, far, false, S + rest), OK);
    assert_int_equal(give(q, "us", 1, 2, true, S + rest), OK);
    first_is(q, "a", 3);
    first_is(q, "us", 2);
    receipt_queue_close(q);
}

/* One node at full speed does not hold back another, nor ours. */
static void rates_of_the_queue(void **state)
{
    struct receipt_queue *q;
    unsigned taken = 0;
    (void)state;
    assert_int_equal(receipt_queue_open(&q), OK);
    for (unsigned i = 1; i <= 200; i++) {
        enum err err = give(q, "loud", 1, i, false, S);
        assert_true(err == OK || err == ERR_LIMIT);
        taken += err == OK;
    }
    assert_int_equal(taken, RECEIPT_RATE + 1);
    assert_int_equal(give(q, "calm", 1, 1, false, S), OK);
    for (unsigned i = 1; i <= 200; i++)
        assert_int_equal(give(q, "us", 1, i, true, S), OK);
    /* who invents boots of another node uses up what is for new ones only */
    unsigned fresh = 0;
    for (unsigned i = 0; i < RECEIPT_QUEUE_NEW + 50; i++)
        fresh += give(q, "calm", 100 + i, 1, false, S) == OK;
    assert_in_range(fresh, RECEIPT_QUEUE_NEW - 2, RECEIPT_QUEUE_NEW);
    assert_int_equal(give(q, "calm", 1, 2, false, S), OK);
    receipt_queue_close(q);
}

/* Places are limited; those who fell silent make room, those who wait do not. */
static void places(void **state)
{
    struct receipt_queue *q;
    uint64_t now = S;
    (void)state;
    assert_int_equal(receipt_queue_open(&q), OK);
    for (unsigned i = 0; i < RECEIPT_QUEUE_NODES; i++, now += 1001)
        assert_int_equal(give(q, "n", 1000 + i, 1, false, now), OK);
    assert_int_equal(receipt_queue_waiting(q), RECEIPT_QUEUE_NODES);
    assert_int_equal(give(q, "late", 1, 1, false, now), ERR_LIMIT);
    now += (uint64_t)RECEIPT_QUEUE_REST_MS * 1000 * 2;
    assert_int_equal(give(q, "late", 1, 1, false, now), ERR_LIMIT);     /* all still wait */
    for (unsigned i = 0; i < 100; i++)
        receipt_queue_drop(q);
    now += (uint64_t)RECEIPT_QUEUE_REST_MS * 1000;
    assert_int_equal(give(q, "late", 1, 1, false, now), OK);
    assert_int_equal(give(q, "n", 1000 + 200, 2, false, now), OK);      /* found where it was */
    assert_int_equal(receipt_queue_waiting(q), RECEIPT_QUEUE_NODES - 100 + 1);
    for (unsigned i = 1; i < 100; i++)
        assert_int_equal(give(q, "other", i, 1, false, now), OK);
    assert_int_equal(give(q, "one too many", 1, 1, false, now), ERR_BAD);
    assert_int_equal(give(q, "onetoomany", 1, 1, false, now), ERR_LIMIT);
    while (receipt_queue_waiting(q) > 0)
        receipt_queue_drop(q);
    receipt_queue_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(format_example), cmocka_unit_test(longest_fits), cmocka_unit_test(every_byte_is_signed),
        cmocka_unit_test(shapes), cmocka_unit_test(versions), cmocka_unit_test(pace), cmocka_unit_test(pace_of_fleets), cmocka_unit_test(a_burst),
        cmocka_unit_test(rate), cmocka_unit_test(newest_wins), cmocka_unit_test(a_counter_far_ahead), cmocka_unit_test(rates_of_the_queue), cmocka_unit_test(places),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
