/* Cursors: reading past the end is sticky, writing past it too; order of bytes. Also arenas and error texts. */
#include "tests/util.h"

#include "base/arena.h"

static void reading(void **state)
{
    (void)state;
    struct bytes in = heap_from_hex("01 0203 04050607 08090a0b0c0d0e0f 10");
    struct rd r = rd_over(in);
    assert_int_equal(rd_u8(&r), 1);
    assert_int_equal(rd_u16(&r), 0x0203);
    assert_int_equal(rd_u32(&r), 0x04050607);
    assert_true(rd_u64(&r) == 0x08090a0b0c0d0e0fu);
    assert_int_equal(rd_left(&r), 1);
    assert_false(rd_done(&r));
    assert_int_equal(rd_take(&r, 0).len, 0);
    assert_int_equal(rd_u8(&r), 0x10);
    assert_true(rd_done(&r));
    assert_int_equal(rd_err(&r), OK);
    bytes_free(in);
}

/* Every width at every distance from the end; what fails consumes nothing and stays failed. */
static void reading_past_the_end(void **state)
{
    (void)state;
    for (size_t have = 0; have < 12; have++)
        for (size_t want = 1; want <= 8; want++) {
            struct bytes in = heap_copy("\377\377\377\377\377\377\377\377\377\377\377\377", have);
            struct rd r = rd_over(in);
            uint64_t v = rd_be(&r, want);
            assert_true((v != 0) == (want <= have));
            assert_int_equal(rd_err(&r), want <= have ? OK : ERR_SHORT);
            if (want > have) {
                assert_int_equal(rd_left(&r), 0);
                assert_int_equal(rd_u8(&r), 0);
                assert_null(rd_take(&r, 0).ptr);
                assert_false(rd_done(&r));
                rd_fail(&r);
                assert_int_equal(rd_err(&r), ERR_SHORT);    /* the first reason stays */
            }
            bytes_free(in);
        }
    struct rd none = rd_over(bytes_of(NULL, 0));
    assert_true(rd_done(&none));
    assert_int_equal(rd_take(&none, 0).len, 0);
    assert_int_equal(rd_take(&none, SIZE_MAX).len, 0);
    assert_int_equal(rd_err(&none), ERR_SHORT);
    struct rd wrong = rd_over(bytes_of("a", 1));
    rd_fail(&wrong);
    (void)rd_take(&wrong, 5);
    assert_int_equal(rd_err(&wrong), ERR_BAD);
}

static void writing(void **state)
{
    (void)state;
    uint8_t *buf = malloc(15);
    struct wr w = wr_over(buf, 15);
    wr_u8(&w, 1);
    wr_u16(&w, 0x0203);
    wr_u32(&w, 0x04050607);
    wr_u64(&w, 0x08090a0b0c0d0e0fu);
    assert_memory_equal(wr_done(&w).ptr, "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 15);
    wr_patch_u16(&w, 1, 0xfffe);
    assert_memory_equal(buf, "\1\377\376\4", 4);
    wr_put(&w, NULL, 0);
    assert_false(w.full);
    wr_u8(&w, 1);
    assert_true(w.full);
    assert_int_equal(w.len, 15);
    assert_null(wr_room(&w, 0));                /* full is sticky */
    wr_patch_u16(&w, 0, 0);
    assert_int_equal(buf[0], 1);
    free(buf);
}

static void partial_writes(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 8; cap++) {
        uint8_t *buf = malloc(cap + 1);
        struct wr w = wr_over(buf, cap);
        wr_bytes(&w, bytes_of("abcd", 4));
        assert_int_equal(w.len, cap < 4 ? 0 : 4);
        assert_int_equal(w.full, cap < 4);
        assert_null(wr_room(&w, SIZE_MAX));
        free(buf);
    }
}

static void comparing(void **state)
{
    static const struct { const char *a, *b; int order; bool starts; } rows[] = {
        { "", "", 0, true }, { "a", "", 1, true }, { "", "a", -1, false }, { "ab", "a", 1, true }, { "ab", "b", -1, false },
        { "a\377", "ab", 1, false }, { "abc", "abc", 0, true },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes a = bytes_of_text(rows[i].a), b = bytes_of_text(rows[i].b);
        int c = bytes_compare(a, b);
        assert_int_equal((c > 0) - (c < 0), rows[i].order);
        assert_int_equal(bytes_equal(a, b), rows[i].order == 0);
        assert_int_equal(bytes_starts(a, b), rows[i].starts);
    }
    assert_int_equal(bytes_compare(bytes_of(NULL, 0), bytes_of(NULL, 0)), 0);
    assert_true(bytes_equal(bytes_of(NULL, 0), bytes_of("a", 0)));
}

/* Pieces do not overlap, are aligned, and survive each other; small, large and larger than a block. */
static void arenas(void **state)
{
    enum { PIECES = 400 };
    static uint8_t *piece[PIECES];
    static size_t len[PIECES];
    struct rnd r = rnd_seed(seed_from_env(1));
    struct arena a;
    (void)state;
    arena_init(&a);
    for (unsigned round = 0; round < 3; round++) {
        size_t sum = 0;
        for (unsigned i = 0; i < PIECES; i++) {
            len[i] = i % 50 == 0 ? 300000 : rnd_below(&r, 3000);
            piece[i] = arena_take(&a, len[i]);
            assert_non_null(piece[i]);
            assert_int_equal((uintptr_t)piece[i] % 8, 0);
            memset(piece[i], (int)(i & 0xff), len[i]);
            sum += (len[i] + 7) & ~(size_t)7;
            assert_int_equal(a.used, sum);
        }
        for (unsigned i = 0; i < PIECES; i++)
            for (size_t k = 0; k < len[i]; k += 97)
                assert_int_equal(piece[i][k], i & 0xff);
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    assert_null(arena_take(&a, SIZE_MAX));
    struct bytes copy = arena_copy(&a, bytes_of("abc", 3));
    assert_memory_equal(copy.ptr, "abc", 3);
    assert_string_equal(arena_text(&a, "text"), "text");
    assert_non_null(arena_copy(&a, bytes_of(NULL, 0)).ptr);
    arena_release(&a);
    arena_release(&a);
}

static void faults(void **state)
{
    (void)state;
    struct fault f = { "" };
    assert_string_equal(fault_text(&f, ERR_BAD), err_text(ERR_BAD));
    assert_string_equal(fault_text(NULL, ERR_FULL), err_text(ERR_FULL));
    assert_int_equal(fault_set(&f, ERR_IO, "a\nb\t%d", 7), ERR_IO);
    assert_string_equal(fault_text(&f, ERR_IO), "a b 7");
    assert_int_equal(fault_set(NULL, ERR_IO, "x"), ERR_IO);
    fault_set(&f, ERR_IO, "%1000d", 1);
    assert_int_equal(strlen(f.text), FAULT_TEXT_MAX - 1);
#define X(name, num, text) assert_int_equal(ERR_##name, num); assert_string_equal(err_text(ERR_##name), text);
    ERR_MAP(X)
#undef X
    assert_string_equal(err_text(OK), "ok");
    assert_string_equal(err_text((enum err)-9999), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading), cmocka_unit_test(reading_past_the_end), cmocka_unit_test(writing), cmocka_unit_test(partial_writes),
        cmocka_unit_test(comparing), cmocka_unit_test(arenas), cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
