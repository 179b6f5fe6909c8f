/* The digest: values computed by an independent program (Python's hashlib and a ChaCha20 written from RFC 8439), and
 * the laws of a multiset hash. */
#include "store/digest.h"
#include "tests/util.h"

struct triple { const char *ns, *key; size_t len; };    /* value: len bytes, i modulo 251; len 2 is "v1" */

static struct bytes value_of(const struct triple *e, uint8_t *buf)
{
    if (e->len == 2)
        return bytes_of_text("v1");
    for (size_t i = 0; i < e->len; i++)
        buf[i] = (uint8_t)(i % 251);
    return bytes_of(buf, e->len);
}

static void add(struct digest *d, const struct triple *e)
{
    uint8_t buf[4096];
    digest_add(d, bytes_of_text(e->ns), bytes_of_text(e->key), value_of(e, buf));
}
static void sub(struct digest *d, const struct triple *e)
{
    uint8_t buf[4096];
    digest_sub(d, bytes_of_text(e->ns), bytes_of_text(e->key), value_of(e, buf));
}

static const struct triple entries[] = { { "dns", "com", 2 }, { "kv", "k", 0 }, { "kv", "long", 3000 } };

static void known_values(void **state)
{
    static const struct { const char *why; size_t n; const char *hex; } rows[] = {
        { "the empty set",              0, "200823e5158b3774c11b5c61850ada762f8264144a9bebec3ebac5a2adde67b8" },
        { "one entry",                  1, "44773ca264bda409fcc5106dfbb24f29a4868f949d2b7c34639688c202505ce1" },
        { "an empty value beside it",   2, "7cc3d3319f6ccddd646e91e97474ca5b8894572b4957c917cd37ba75e54bfa91" },
        { "a value hashed in pieces",   3, "8dbd0a7dfab496fa0b5019dcfac030aebda82dac0b25cfbb2537a7bc9cbddb00" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes want = heap_from_hex(rows[i].hex);
        struct digest d = { { 0 } };
        uint8_t got[DIGEST_LEN];
        for (size_t k = 0; k < rows[i].n; k++)
            add(&d, &entries[k]);
        digest_final(&d, got);
        if (memcmp(got, want.ptr, DIGEST_LEN) != 0)
            fail_msg("%s: another digest", rows[i].why);
        bytes_free(want);
    }
}

static void first_lanes(void **state)
{
    struct digest d = { { 0 } };
    uint8_t stored[2 * DIGEST_LANES];
    (void)state;
    add(&d, &entries[0]);
    assert_int_equal(d.lane[0], 0x1260);
    assert_int_equal(d.lane[1], 0x1e1f);
    digest_write(&d, stored);
    assert_int_equal(stored[0], 0x60);      /* little-endian */
    assert_int_equal(stored[1], 0x12);
}

static void laws(void **state)
{
    struct digest a = { { 0 } }, b = { { 0 } }, c = { { 0 } }, back;
    uint8_t stored[2 * DIGEST_LANES];
    (void)state;
    for (size_t i = 0; i < 3; i++)
        add(&a, &entries[i]);
    for (size_t i = 3; i-- > 0;)
        add(&b, &entries[i]);
    assert_memory_equal(&a, &b, sizeof a);              /* order does not matter */
    add(&c, &entries[0]);
    struct digest rest = { { 0 } };
    add(&rest, &entries[1]);
    add(&rest, &entries[2]);
    digest_merge(&c, &rest);
    assert_memory_equal(&a, &c, sizeof a);              /* parts sum up */
    digest_write(&a, stored);
    digest_read(&back, stored);
    assert_memory_equal(&a, &back, sizeof a);           /* stored and read */
    for (size_t i = 0; i < 3; i++)
        sub(&b, &entries[i]);
    assert_memory_equal(&b, &(struct digest){ { 0 } }, sizeof b);       /* nothing left */
    add(&b, &entries[0]);
    add(&b, &entries[0]);
    add(&c, &entries[0]);
    assert_memory_not_equal(&b, &c, sizeof b);          /* twice is not once: a multiset, not a XOR */
}

/* Bytes that move from one field into the next make another entry. */
static void borders_count(void **state)
{
    static const struct { const char *ns, *key, *value; } rows[] = {
        { "ab", "c", "d" }, { "a", "bc", "d" }, { "a", "b", "cd" }, { "abcd", "", "" }, { "abc", "d", "" },
    };
    uint8_t got[ROWS(rows)][DIGEST_LEN];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct digest d = { { 0 } };
        digest_add(&d, bytes_of_text(rows[i].ns), bytes_of_text(rows[i].key), bytes_of_text(rows[i].value));
        digest_final(&d, got[i]);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(got[i], got[k], DIGEST_LEN);
    }
}

/* Around the length at which the hash changes from one buffer to pieces: every length counts, in exact-size memory. */
static void lengths(void **state)
{
    uint8_t before[DIGEST_LEN] = { 0 }, now[DIGEST_LEN];
    (void)state;
    for (size_t n = 1000; n < 1040; n++) {
        uint8_t *value = calloc(1, n);
        struct digest d = { { 0 } };
        digest_add(&d, bytes_of_text("n"), bytes_of_text("k"), bytes_of(value, n));
        digest_final(&d, now);
        assert_memory_not_equal(now, before, DIGEST_LEN);
        memcpy(before, now, DIGEST_LEN);
        digest_sub(&d, bytes_of_text("n"), bytes_of_text("k"), bytes_of(value, n));
        assert_memory_equal(&d, &(struct digest){ { 0 } }, sizeof d);
        free(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values), cmocka_unit_test(first_lanes), cmocka_unit_test(laws),
        cmocka_unit_test(borders_count), cmocka_unit_test(lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
