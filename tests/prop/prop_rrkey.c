/* Keys against ldns: they sort as ldns_dname_compare says; names come back; no prefix of a key passes for one.
 * AZOTH_SEED=n repeats a run. */
#include <ldns/ldns.h>

#include "tests/util.h"

#include "rrset/rrkey.h"

#define NAMES 120
#define ROUNDS 12

static uint64_t seed;

/* Labels of few, nasty bytes, so that prefixes, escapes and both cases meet. */
static struct name random_name(struct rnd *r, const struct name *near)
{
    static const uint8_t bytes[] = { 0, 1, 2, 0xff, 'a', 'A', 'b', 'B', 'z', 'Z', '@', '[', '`', '{', '*', '-' };
    static const uint8_t root[1] = { 0 };
    struct name n;
    uint8_t front[NAME_MAX_LEN];
    struct wr w = wr_over(front, sizeof front);
    struct bytes end = near != NULL ? name_bytes(near) : bytes_of(root, 1);
    unsigned up = rnd_below(r, 3), labels = rnd_below(r, 12) == 0 ? rnd_below(r, 127) : rnd_below(r, 4);
    for (unsigned i = 0; i < up; i++)
        end = name_parent(end);
    for (unsigned i = 0; i < labels; i++) {
        size_t len = rnd_below(r, 15) == 0 ? 1 + rnd_below(r, LABEL_MAX_LEN) : 1 + rnd_below(r, 3);
        if (w.len + 1 + len + end.len > NAME_MAX_LEN)
            break;
        wr_u8(&w, (uint8_t)len);
        for (size_t k = 0; k < len; k++)
            wr_u8(&w, rnd_below(r, 8) == 0 ? (uint8_t)rnd_u64(r) : bytes[rnd_below(r, ROWS(bytes))]);
    }
    assert_int_equal(name_join(wr_done(&w), end, &n), OK);
    return n;
}

static int sign(int c) { return (c > 0) - (c < 0); }

static struct bytes key_of(const struct name *n, uint16_t slot)
{
    uint8_t buf[RRKEY_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    assert_int_equal(rrkey_write(name_bytes(n), slot, &w), OK);
    return heap_copy(buf, w.len);
}

static void check_order(const struct name *a, const struct name *b)
{
    struct bytes ka = key_of(a, 16), kb = key_of(b, 16);
    ldns_rdf *da = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, a->len, a->wire);
    ldns_rdf *db = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, b->len, b->wire);
    int want = sign(ldns_dname_compare(da, db));
    char ta[NAME_TEXT_MAX], tb[NAME_TEXT_MAX];
    if (sign(bytes_compare(ka, kb)) != want || sign(name_compare(name_bytes(a), name_bytes(b))) != want ||
        name_equal(name_bytes(a), name_bytes(b)) != (want == 0))
        fail_msg("seed %llu: order of %s and %s is not %d", (unsigned long long)seed,
                 name_text(ta, sizeof ta, name_bytes(a)), name_text(tb, sizeof tb, name_bytes(b)), want);
    ldns_rdf_deep_free(da);
    ldns_rdf_deep_free(db);
    bytes_free(ka);
    bytes_free(kb);
}

/* Labels that two names share from the root, by walking up both. */
static unsigned common_by_names(struct bytes a, struct bytes b)
{
    while (name_labels(a) > name_labels(b))
        a = name_parent(a);
    while (name_labels(b) > name_labels(a))
        b = name_parent(b);
    while (!name_equal(a, b)) {
        a = name_parent(a);
        b = name_parent(b);
    }
    return name_labels(a);
}

static void check_common(const struct name *a, const struct name *b)
{
    struct rrkey k;
    struct bytes kb = key_of(b, 0);
    assert_int_equal(rrkey_of_name(name_bytes(a), &k), OK);
    unsigned got = rrkey_common(&k, kb), want = common_by_names(name_bytes(a), name_bytes(b));
    if (got != want)
        fail_msg("seed %llu: %u labels in common, not %u", (unsigned long long)seed, got, want);
    struct bytes labels = bytes_of(kb.ptr, kb.len - 3);         /* without end and slot */
    int order = rrkey_compare(&k, labels, &got), by_bytes = bytes_compare(bytes_of(k.buf, k.at[k.labels]), labels);
    if (got != want || (order < 0) != (by_bytes < 0) || (order > 0) != (by_bytes > 0))
        fail_msg("seed %llu: %u labels in common, not %u; order %d, not %d", (unsigned long long)seed, got, want, order, by_bytes);
    bytes_free(kb);
}

static void check_prefixes(struct bytes key)
{
    struct rrkey_parts parts;
    for (size_t len = 0; len < key.len; len++) {
        struct bytes part = heap_copy(key.ptr, len);
        if (rrkey_split(part, &parts) == OK)
            fail_msg("seed %llu: %zu of %zu bytes pass for a key", (unsigned long long)seed, len, key.len);
        bytes_free(part);
    }
}

static void check_back(const struct name *n)
{
    static const uint16_t slots[] = { 0, 2, 16, 46, 0x00c0, 0xffff };
    struct name lower = *n, back;
    struct rrkey k;
    name_lower(lower.wire, lower.len);
    assert_int_equal(rrkey_of_name(name_bytes(n), &k), OK);
    assert_int_equal(k.labels, name_labels(name_bytes(n)));
    for (size_t i = 0; i < ROWS(slots); i++) {
        struct rrkey_parts parts;
        uint16_t slot;
        uint8_t at[RRKEY_MAX];
        struct bytes key = key_of(n, slots[i]);
        assert_int_equal(rrkey_name(key, &back, &slot), OK);
        assert_int_equal(slot, slots[i]);
        assert_true(bytes_equal(name_bytes(&back), name_bytes(&lower)));
        assert_int_equal(rrkey_split(key, &parts), OK);
        assert_int_equal(parts.labels, k.labels);
        assert_int_equal(parts.owner.len, key.len - 2);
        assert_int_equal(rrkey_owner_len(key), key.len - 2);
        assert_true(bytes_equal(key, bytes_of(at, rrkey_at(&k, k.labels, slots[i], at))));
        if (i == 0)
            check_prefixes(key);
        bytes_free(key);
    }
    struct bytes up = name_bytes(n);
    for (unsigned depth = k.labels; depth-- > 0;) {
        struct name parent;
        uint8_t at[RRKEY_MAX];
        up = name_parent(up);
        assert_int_equal(name_join(bytes_of(NULL, 0), up, &parent), OK);
        struct bytes key = key_of(&parent, 6);
        assert_true(bytes_equal(key, bytes_of(at, rrkey_at(&k, depth, 6, at))));
        bytes_free(key);
    }
}

static void check_shadow(struct rnd *r, const struct name *n)
{
    struct bytes apex = name_bytes(n);
    unsigned up = 1 + rnd_below(r, 3);
    uint8_t buf[RRKEY_SHADOW_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    struct name back, lower = *n;
    uint16_t slot;
    for (unsigned i = 0; i < up; i++)
        apex = name_parent(apex);
    enum err err = rrkey_write_shadow(apex, name_bytes(n), 16, &w);
    assert_int_equal(err, n->len == 1 ? ERR_BAD : OK);
    if (err != OK)
        return;
    struct bytes key = heap_copy(buf, w.len);
    name_lower(lower.wire, lower.len);
    assert_int_equal(rrkey_name(key, &back, &slot), OK);
    assert_int_equal(slot, 16);
    assert_true(bytes_equal(name_bytes(&back), name_bytes(&lower)));
    check_prefixes(key);
    bytes_free(key);
}

static void names_as_keys(void **state)
{
    (void)state;
    static struct name n[NAMES];
    uint64_t first = seed_from_env(1), last = getenv("AZOTH_SEED") != NULL ? first : ROUNDS;
    for (seed = first; seed <= last; seed++) {
        struct rnd r = rnd_seed(seed);
        for (unsigned i = 0; i < NAMES; i++) {
            n[i] = random_name(&r, i == 0 || rnd_below(&r, 4) == 0 ? NULL : &n[rnd_below(&r, i)]);
            check_back(&n[i]);
            check_shadow(&r, &n[i]);
        }
        for (unsigned i = 0; i < NAMES; i++)
            for (unsigned k = 0; k < NAMES; k++) {
                check_order(&n[i], &n[k]);
                check_common(&n[i], &n[k]);
            }
    }
}

/* Anything that passes for a key is the key of what it decodes to. */
static void random_bytes_as_keys(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 0, 0, 0, 1, 1, 2, 'a', 'b', 'A', 50, 0xc3 };
    uint64_t first = seed_from_env(1), last = getenv("AZOTH_SEED") != NULL ? first : 60000;
    unsigned passed = 0;
    for (seed = first; seed <= last; seed++) {
        struct rnd r = rnd_seed(seed);
        uint8_t buf[24], again[RRKEY_SHADOW_MAX];
        size_t len = rnd_below(&r, sizeof buf + 1);
        for (size_t i = 0; i < len; i++)
            buf[i] = bytes[rnd_below(&r, ROWS(bytes))];
        if (len >= 4)
            buf[len - 3] = buf[len - 4] = 0;        /* end of the last label, end of the labels */
        struct bytes key = heap_copy(buf, len);
        struct rrkey_parts parts;
        struct name name;
        uint16_t slot;
        struct wr w = wr_over(again, sizeof again);
        (void)rrkey_owner_len(key);
        if (rrkey_split(key, &parts) == OK && parts.slot != TYPE_NSEC3 && parts.slot != RRSLOT_SHADOW) {
            passed++;
            assert_int_equal(rrkey_owner_len(key), parts.owner.len);
            assert_int_equal(rrkey_name(key, &name, &slot), OK);
            assert_int_equal(rrkey_write(name_bytes(&name), slot, &w), OK);
            if (!bytes_equal(wr_done(&w), key))
                fail_msg("seed %llu: a key that no name has", (unsigned long long)seed);
        }
        bytes_free(key);
    }
    assert_true(getenv("AZOTH_SEED") != NULL || passed > 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(names_as_keys), cmocka_unit_test(random_bytes_as_keys) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
