/* Several announcements in one message: what is written is read, and nothing else is. */
#include "tests/util.h"

#include "replicator/lot.h"

static struct lot lot;

/* --- written and read ------------------------------------------------------------------------------------------------------- */
static void put_sized(size_t i, size_t len, uint8_t *buf)
{
    memset(buf, (int)('a' + i % 26), len);
}

static void as_many_as_were_put(void **state)
{
    static uint8_t buf[70000];
    static const struct { const char *why; size_t n, len; } rows[] = {
        { "two short ones", 2, 1 },
        { "fifteen: the array's short form", 15, 40 },
        { "sixteen: its long one", 16, 40 },
        { "bins of all three forms", 3, 255 },
        { "the second form", 3, 256 },
        { "as many as a lot takes", LOT_MOST, 600 },
        { "the largest that there are", 1, 66000 },
    };
    (void)state;
    for (size_t r = 0; r < ROWS(rows); r++) {
        struct lot_list l = { .left = 0 };
        struct bytes one, msg;
        for (size_t i = 0; i < rows[r].n; i++) {
            put_sized(i, rows[r].len, buf);
            if (!lot_put(&lot, bytes_of(buf, rows[r].len)))
                fail_msg("%s: no room for %zu", rows[r].why, i);
        }
        msg = lot_done(&lot);
        assert_int_equal(lot.n, 0);
        if (rows[r].n == 1) {                   /* nobody needs a lot around one */
            assert_true(bytes_equal(msg, bytes_of(buf, rows[r].len)) && !lot_read(msg, &l));
            continue;
        }
        if (!lot_read(msg, &l) || l.left != rows[r].n)
            fail_msg("%s: read back %u", rows[r].why, l.left);
        for (size_t i = 0; i < rows[r].n; i++) {
            put_sized(i, rows[r].len, buf);
            assert_true(lot_next(&l, &one) && bytes_equal(one, bytes_of(buf, rows[r].len)));
        }
        assert_false(lot_next(&l, &one));
        struct announce a;
        assert_int_equal(announce_read(msg, &a), ERR_BAD);              /* it is none itself */
    }
    assert_int_equal(lot_done(&lot).len, 0);
}

/* A subscriber takes ANNOUNCE_MAX, with what nanomsg puts before the message. */
static void bounded(void **state)
{
    static uint8_t buf[40000];
    struct bytes part = bytes_of(buf, sizeof buf);
    size_t n = 0;
    (void)state;
    while (lot_put(&lot, part))
        n++;
    assert_int_equal(n, (ANNOUNCE_MAX - 16) / sizeof buf);
    assert_true(lot_put(&lot, bytes_of_text("a short one still fits")));
    struct bytes msg = lot_done(&lot);
    assert_true(msg.len <= ANNOUNCE_MAX - 16 && msg.len > n * sizeof buf);
    for (size_t i = 0; i < LOT_MOST; i++)
        assert_true(lot_put(&lot, bytes_of_text("x")));
    assert_false(lot_put(&lot, bytes_of_text("x")));
    assert_true(lot_done(&lot).len > 0 && lot_put(&lot, part));         /* and begins anew */
    (void)lot_done(&lot);
}

/* --- what is none ------------------------------------------------------------------------------------------------------------ */
static void malformed_rows(void **state)
{
    static const struct { const char *why, *hex; bool good; } rows[] = {
        { "two of one byte", "920292c40178c40179", true },
        { "with an element of a later version behind", "930292c40178c40179c0", true },
        { "one alone, which nobody writes", "920291c40178", true },
        { "nothing", "", false },
        { "an announcement", "9301c401ffc401ff", false },
        { "another type", "920392c40178c40179", false },
        { "no list", "9102", false },
        { "an empty list", "920290", false },
        { "a list that ends early", "920292c40178", false },
        { "the last one cut", "920292c40178c40279", false },
        { "an empty one", "920292c40178c400", false },
        { "one that is no bin", "920292c40178a179", false },
        { "a number", "920292c4017801", false },
        { "bytes behind it", "920292c40178c4017900", false },
        { "an element that is missing", "930292c40178c40179", false },
        { "not the shortest form", "9202dc0002c40178c40179", false },
        { "more than there are bytes", "9202ddffffffffc40178", false },
        { "a list that is a number", "920205", false },
    };
    (void)state;
    for (size_t r = 0; r < ROWS(rows); r++) {
        struct lot_list l;
        struct bytes msg = heap_from_hex(rows[r].hex);
        if (lot_read(msg, &l) != rows[r].good)
            fail_msg("%s", rows[r].why);
        bytes_free(msg);
    }
}

static void one_too_many(void **state)
{
    static uint8_t buf[4 * LOT_MOST];
    (void)state;
    for (size_t n = LOT_MOST; n <= LOT_MOST + 1; n++) {
        struct lot_list l;
        struct wr w = wr_over(buf, sizeof buf);
        wr_put(&w, "\x92\x02\xdc\x00", 4);
        wr_u8(&w, (uint8_t)n);
        for (size_t i = 0; i < n; i++)
            wr_put(&w, "\xc4\x01x", 3);
        assert_true(!w.full && lot_read(wr_done(&w), &l) == (n == LOT_MOST));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_were_put), cmocka_unit_test(bounded), cmocka_unit_test(malformed_rows), cmocka_unit_test(one_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
