/* The head's encoding: refuses what head_write would not produce, skips what a newer version adds. */
#include "store/head.h"
#include "tests/util.h"

#define C16 "c410 000102030405060708090a0b0c0d0e0f"
#define H32 "c420 00000000000000000000000000000000 00000000000000000000000000000000"
#define D32 "c420 200823e5158b3774c11b5c61850ada76 2f8264144a9bebec3ebac5a2adde67b8"
#define ALL "a3616c6c"

static const struct { const char *why, *hex; enum err want; } rows[] = {
    { "smallest head",              "99" C16 "00 00" H32 D32 "00 00 00 81" ALL "00", OK },
    { "large numbers",
     "99" C16 "01 cf0000000100000000" H32 D32 "cd0100 ce00010000 cf0000018bcfe56800 81" ALL "07", OK },
    { "two cohorts, ascending",     "99" C16 "01 01" H32 D32 "00 00 00 82" ALL "01 a3626e65 01", OK },
    { "an element of a newer version", "9a" C16 "01 01" H32 D32 "00 00 00 81" ALL "01 92c0a178", OK },
    { "not an array",               "81" C16, ERR_BAD },
    { "an array too short",         "98" C16 "01 01" H32 D32 "00 00 00", ERR_BAD },
    { "a cluster of 15 bytes",      "99 c40f 000102030405060708090a0b0c0d0e 01 01" H32 D32 "00 00 00 81" ALL "01",
     ERR_BAD },
    { "a digest of 16 bytes",       "99" C16 "01 01" H32 C16 "00 00 00 81" ALL "01", ERR_BAD },
    { "a number not in its smallest form", "99" C16 "01 cc01" H32 D32 "00 00 00 81" ALL "01", ERR_BAD },
    { "a negative number",          "99" C16 "01 ff" H32 D32 "00 00 00 81" ALL "01", ERR_BAD },
    { "no cohort",                  "99" C16 "01 01" H32 D32 "00 00 00 80", ERR_BAD },
    { "no cohort all",              "99" C16 "01 01" H32 D32 "00 00 00 81 a3626e65 01", ERR_BAD },
    { "cohorts descending",         "99" C16 "01 01" H32 D32 "00 00 00 82 a3626e65 01" ALL "01", ERR_BAD },
    { "a cohort twice",             "99" C16 "01 01" H32 D32 "00 00 00 82" ALL "01" ALL "01", ERR_BAD },
    { "a cohort without a name",    "99" C16 "01 01" H32 D32 "00 00 00 82 a0 01" ALL "01", ERR_BAD },
    { "a cohort name with a space", "99" C16 "01 01" H32 D32 "00 00 00 82" ALL "01 a3622065 01", ERR_BAD },
    { "a cohort name of 33 bytes",  "99" C16 "01 01" H32 D32 "00 00 00 82" ALL
                                    "01 d921 62626262626262626262626262626262 6262626262626262626262626262626262 01",
      ERR_BAD },
    { "nine cohorts",
     "99" C16 "01 01" H32 D32 "00 00 00 89 a161 01 a3616c6c 01 a162 01 a163 01 a164 01 a165 01 "
                                    "a166 01 a167 01 a168 01", ERR_BAD },
    { "more cohorts than bytes",    "99" C16 "01 01" H32 D32 "00 00 00 df7fffffff" ALL "01", ERR_SHORT },
    { "nothing at all",             "", ERR_SHORT },
};

static void read_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex);
        struct rd r = rd_over(in);
        struct head h;
        enum err got = head_read(&r, &h);
        if (got != rows[i].want)
            fail_msg("%s: got '%s', want '%s'", rows[i].why, err_text(got), err_text(rows[i].want));
        if (got == OK && !rd_done(&r))
            fail_msg("%s: bytes are left", rows[i].why);
        bytes_free(in);
    }
}

static void prefixes_are_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex);
        for (size_t n = 0; rows[i].want == OK && n < in.len; n++) {
            struct bytes cut = heap_copy(in.ptr, n);
            struct rd r = rd_over(cut);
            struct head h;
            if (head_read(&r, &h) != ERR_SHORT)
                fail_msg("%s: the first %zu bytes are not 'short'", rows[i].why, n);
            bytes_free(cut);
        }
        bytes_free(in);
    }
}

static void largest(struct head *h)
{
    *h = (struct head){ .epoch = UINT64_MAX, .seq = UINT64_MAX, .keys = UINT64_MAX, .bytes = UINT64_MAX,
                        .time_ms = UINT64_MAX,
                        .cohorts_n = HEAD_COHORTS_MAX };
    memset(h->cluster, 0xff, sizeof h->cluster);
    memset(h->chain, 0xff, sizeof h->chain);
    memset(h->digest, 0xff, sizeof h->digest);
    memcpy(h->cohorts[0].name, "all", 4);
    h->cohorts[0].released = UINT64_MAX;
    for (unsigned i = 1; i < HEAD_COHORTS_MAX; i++) {
        memset(h->cohorts[i].name, 'b', COHORT_NAME_MAX);
        h->cohorts[i].name[0] = (char)('b' + i);
        h->cohorts[i].released = UINT64_MAX - i;
    }
}

static void written_and_read(void **state)
{
    struct head h, back;
    uint8_t *buf = malloc(HEAD_MAX);
    struct wr w = wr_over(buf, HEAD_MAX);
    (void)state;
    largest(&h);
    head_write(&w, &h);
    assert_false(w.full);
    struct bytes exact = heap_copy(buf, w.len);
    struct rd r = rd_over(exact);
    assert_int_equal(head_read(&r, &back), OK);
    assert_true(rd_done(&r));
    assert_memory_equal(&h, &back, sizeof h);
    bytes_free(exact);
    free(buf);
}

/* What is read and written again is the same bytes, where no newer element was skipped. */
static void one_encoding(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex);
        struct rd r = rd_over(in);
        struct head h;
        uint8_t again[HEAD_MAX];
        struct wr w = wr_over(again, sizeof again);
        if (head_read(&r, &h) == OK && in.ptr[0] == 0x99) {
            head_write(&w, &h);
            if (!bytes_equal(wr_done(&w), in))
                fail_msg("%s: written differently", rows[i].why);
        }
        bytes_free(in);
    }
}

static void order(void **state)
{
    static const struct { uint64_t e1, s1, e2, s2; int want; } pairs[] = {
        { 1, 5, 1, 5, 0 }, { 1, 5, 1, 6, -1 }, { 1, 7, 1, 6, 1 }, { 2, 1, 1, 9, 1 }, { 1, 9, 2, 1, -1 },
        { 0, 0, 0, UINT64_MAX, -1 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(pairs); i++) {
        struct head a = { .epoch = pairs[i].e1, .seq = pairs[i].s1 }, b = { .epoch = pairs[i].e2, .seq = pairs[i].s2 };
        int c = head_compare(&a, &b);
        assert_int_equal((c > 0) - (c < 0), pairs[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_rows), cmocka_unit_test(prefixes_are_short), cmocka_unit_test(written_and_read),
        cmocka_unit_test(one_encoding), cmocka_unit_test(order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
