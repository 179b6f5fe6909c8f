/* Keys: the examples of FORMAT.md section 2, and what is no key. */
#include "tests/util.h"

#include "rrset/rrkey.h"

static struct name from(const char *text)
{
    struct name n;
    assert_int_equal(name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &n), OK);
    return n;
}

/* apex: for shadow keys; hash: for NSEC3. FORMAT.md shows these rows. */
static const struct { const char *name; uint16_t slot; const char *apex, *hash, *hex; } keys[] = {
    { ".",                 TYPE_SOA,       NULL, NULL, "00 0006" },
    { ".",                 RRSLOT_ZONE,    NULL, NULL, "00 00c0" },
    { "com.",              TYPE_NS,        NULL, NULL, "636f6d 00 00 0002" },
    { "www.Example.COM.",  RRSLOT_ADDRESS, NULL, NULL, "636f6d 00 6578616d706c65 00 777777 00 00 0000" },
    { "*.example.com.",    TYPE_MX,        NULL, NULL, "636f6d 00 6578616d706c65 00 2a 00 00 000f" },
    { "a\\000b.\\001\\002.", TYPE_TXT,     NULL, NULL, "0102 02 00 61 0101 62 00 00 0010" },
    { "\\255.x.",          65535,          NULL, NULL, "78 00 ff 00 00 ffff" },
    { "example.",          TYPE_NSEC3,     NULL, "0b0102030405060708090a0b0c0d0e0f10111213",
      "6578616d706c65 00 00 0032 0b0102030405060708090a0b0c0d0e0f10111213" },
    { "www.example.com.",  TYPE_TXT,       "com.", NULL, "636f6d 00 00 00c3 6578616d706c65 00 777777 00 00 0010" },
    { "a.b.",              RRSLOT_ADDRESS, ".",    NULL, "00 00c3 62 00 61 00 00 0000" },
};

static void examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(keys); i++) {
        struct bytes want = heap_from_hex(keys[i].hex), hash = heap_from_hex(keys[i].hash != NULL ? keys[i].hash : "");
        uint8_t *buf = malloc(want.len);                /* exactly the room it takes */
        struct name name = from(keys[i].name), back;
        uint16_t slot;
        for (size_t cap = 0; cap <= want.len; cap++) {
            struct wr w = wr_over(buf, cap);
            enum err err;
            if (keys[i].apex != NULL) {
                struct name apex = from(keys[i].apex);
                err = rrkey_write_shadow(name_bytes(&apex), name_bytes(&name), keys[i].slot, &w);
            } else if (keys[i].hash != NULL) {
                err = rrkey_write_nsec3(name_bytes(&name), hash.ptr, &w);
            } else {
                err = rrkey_write(name_bytes(&name), keys[i].slot, &w);
            }
            assert_int_equal(err, cap < want.len ? ERR_NOSPACE : OK);
            if (err == OK && !bytes_equal(wr_done(&w), want))
                fail_msg("%s %u: other bytes", keys[i].name, keys[i].slot);
        }
        assert_int_equal(rrkey_name(want, &back, &slot), OK);
        uint8_t labels[NAME_MAX_LEN];
        if (slot == keys[i].slot && keys[i].apex == NULL) {     /* the owner's labels, taken straight from the key */
            size_t len = rrkey_owner_name(bytes_of(want.ptr, rrkey_owner_len(want)), 0, labels);
            assert_int_equal(len, back.len - 1);
            assert_memory_equal(labels, back.wire, len);
        }
        name_lower(name.wire, name.len);
        assert_true(bytes_equal(name_bytes(&name), name_bytes(&back)));
        assert_int_equal(slot, keys[i].slot);
        free(buf);
        bytes_free(want);
        bytes_free(hash);
    }
}

static void broken_keys(void **state)
{
    static const struct { const char *why, *hex; enum err want; } rows[] = {
        { "nothing",                        "",                        ERR_SHORT },
        { "no slot",                        "61 00 00",                ERR_SHORT },
        { "half a slot",                    "61 00 00 00",             ERR_SHORT },
        { "ends in a label",                "61 62",                   ERR_SHORT },
        { "ends in an escape",              "61 01",                   ERR_SHORT },
        { "no terminator",                  "61 00 62",                ERR_SHORT },
        { "upper case",                     "41 00 00 0001",           ERR_BAD },
        { "escape of what needs none",      "01 03 00 00 0001",        ERR_BAD },
        { "escape of zero",                 "01 00 00 00 0001",        ERR_BAD },
        { "bytes behind the slot",          "61 00 00 0010 00",        ERR_BAD },
        { "NSEC3 without hash",             "61 00 00 0032",           ERR_SHORT },
        { "NSEC3 with 19 bytes of hash",    "61 00 00 0032 00112233445566778899001122334455667788", ERR_SHORT },
        { "NSEC3 with 21 bytes of hash",    "61 00 00 0032 001122334455667788990011223344556677889911", ERR_BAD },
        { "shadow without inner key",       "61 00 00 00c3",           ERR_SHORT },
        { "shadow of the apex itself",      "61 00 00 00c3 00 0010",   ERR_BAD },
        { "shadow without inner slot",      "61 00 00 00c3 62 00 00",  ERR_SHORT },
        { "shadow with bytes behind",       "61 00 00 00c3 62 00 00 0010 00", ERR_BAD },
        { "upper case inside a shadow key", "61 00 00 00c3 42 00 00 0010", ERR_BAD },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes key = heap_from_hex(rows[i].hex);
        struct rrkey_parts parts;
        struct name name;
        uint16_t slot;
        enum err got = rrkey_split(key, &parts);
        if (got != rows[i].want || rrkey_name(key, &name, &slot) != got)
            fail_msg("%s: got '%s'", rows[i].why, err_text(got));
        bytes_free(key);
    }
}

/* A name of len bytes in all, made of 00 bytes (or of `letter`), labels as long as may be. */
static struct name longest(size_t len, uint8_t letter)
{
    struct name n = { .len = (uint8_t)len };
    memset(n.wire, letter, sizeof n.wire);
    for (size_t at = 0; at + 1 < len; at += 64)
        n.wire[at] = (uint8_t)(len - 1 - at >= 64 ? 63 : len - 2 - at);
    n.wire[len - 1] = 0;
    return n;
}

static void longest_keys(void **state)
{
    uint8_t buf[RRKEY_SHADOW_MAX];
    static const uint8_t root[1] = { 0 };
    struct name name = longest(255, 0), back;
    struct wr w = wr_over(buf, RRKEY_MAX);
    uint16_t slot;
    (void)state;
    assert_int_equal(rrkey_write(name_bytes(&name), TYPE_TXT, &w), OK);
    assert_int_equal(w.len, RRKEY_MAX);
    assert_int_equal(rrkey_name(wr_done(&w), &back, &slot), OK);
    assert_true(bytes_equal(name_bytes(&back), name_bytes(&name)));
    assert_int_equal(rrkey_owner_len(wr_done(&w)), RRKEY_MAX - 2);
    w = wr_over(buf, sizeof buf);
    assert_int_equal(rrkey_write_shadow(bytes_of(root, 1), name_bytes(&name), TYPE_TXT, &w), OK);
    assert_int_equal(w.len, RRKEY_SHADOW_MAX);
    assert_int_equal(rrkey_name(wr_done(&w), &back, &slot), OK);
    assert_true(bytes_equal(name_bytes(&back), name_bytes(&name)));
}

/* Labels of a key that make a name of more than 255 bytes, or a label of more than 63, are no key. */
static void too_long_keys(void **state)
{
    (void)state;
    uint8_t buf[600];
    struct rrkey_parts parts;
    for (size_t labels = 1; labels < 140; labels++) {
        struct wr w = wr_over(buf, sizeof buf);
        for (size_t i = 0; i < labels; i++)
            wr_put(&w, "a", 2);
        wr_put(&w, "\0\0\020", 3);
        assert_int_equal(rrkey_split(wr_done(&w), &parts), labels <= 127 ? OK : ERR_BAD);
    }
    for (size_t len = 1; len < 80; len++) {
        struct wr w = wr_over(buf, sizeof buf);
        memset(wr_room(&w, len), 'a', len);
        wr_put(&w, "\0\0\0\020", 4);
        assert_int_equal(rrkey_split(wr_done(&w), &parts), len <= 63 ? OK : ERR_BAD);
    }
    struct name apex = longest(250, 'a'), name;
    uint8_t shadow[700];
    for (uint8_t c = 0; c < 2; c++) {           /* relative "b" fits behind 250 bytes, "bbbbb" does not */
        struct wr w = wr_over(shadow, sizeof shadow);
        assert_int_equal(rrkey_write(name_bytes(&apex), RRSLOT_SHADOW, &w), OK);
        wr_put(&w, "bbbbb", c == 0 ? 1 : 5);
        wr_put(&w, "\0\0\0\020", 4);
        uint16_t slot;
        assert_int_equal(rrkey_name(wr_done(&w), &name, &slot), c == 0 ? OK : ERR_BAD);
    }
}

/* A hash behind a name whose key leaves no room for it. */
static void hashes_under_long_apexes(void **state)
{
    static const uint8_t hash[NSEC3_HASH_LEN] = { 7 };
    uint8_t buf[600];
    struct rrkey_parts parts;
    (void)state;
    for (size_t len = 200; len <= 255; len++) {
        struct name apex = longest(len, 0);
        struct wr w = wr_over(buf, sizeof buf);
        enum err err = rrkey_write_nsec3(name_bytes(&apex), hash, &w);
        assert_int_equal(err, w.len <= RRKEY_SHADOW_MAX ? OK : ERR_NOSPACE);
        assert_int_equal(rrkey_split(wr_done(&w), &parts), w.len <= RRKEY_SHADOW_MAX ? OK : ERR_BAD);
    }
}

/* The most labels that a name can have, and more. */
static void many_labels(void **state)
{
    uint8_t buf[300];
    struct rrkey k;
    (void)state;
    for (size_t labels = 120; labels < 140; labels++) {
        struct wr w = wr_over(buf, sizeof buf);
        for (size_t i = 0; i < labels; i++)
            wr_put(&w, "\1a", 2);
        wr_u8(&w, 0);
        struct bytes name = heap_copy(buf, w.len);
        assert_int_equal(rrkey_of_name(name, &k), labels <= NAME_LABELS_MAX ? OK : ERR_BAD);
        if (labels <= NAME_LABELS_MAX)
            assert_int_equal(k.labels, labels);
        bytes_free(name);
    }
}

static void malformed_names(void **state)
{
    static const struct { const char *hex; enum err want; } rows[] = {
        { "", ERR_SHORT }, { "01 61", ERR_SHORT }, { "01 61 c000", ERR_BAD }, { "01 61 00 00", ERR_BAD }, { "40 61 00", ERR_BAD },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes name = heap_from_hex(rows[i].hex);
        struct rrkey k;
        uint8_t buf[RRKEY_MAX];
        struct wr w = wr_over(buf, sizeof buf);
        assert_int_equal(rrkey_of_name(name, &k), rows[i].want);
        assert_int_equal(rrkey_write(name, 1, &w), rows[i].want);
        bytes_free(name);
    }
    struct name apex = from("example.com."), other = from("example.org."), child = from("xexample.com.");
    uint8_t buf[RRKEY_SHADOW_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    assert_int_equal(rrkey_write_shadow(name_bytes(&apex), name_bytes(&other), 1, &w), ERR_BAD);
    assert_int_equal(rrkey_write_shadow(name_bytes(&apex), name_bytes(&child), 1, &w), ERR_BAD);
    assert_int_equal(rrkey_write_shadow(name_bytes(&apex), name_bytes(&apex), 1, &w), ERR_BAD);
}

static void common_labels(void **state)
{
    static const struct { const char *a, *hex; unsigned want; } rows[] = {
        { "www.example.com.", "636f6d 00 6578616d706c65 00 777777 00 00 0000", 3 },
        { "www.example.com.", "636f6d 00 6578616d706c65 00 00 0006", 2 },
        { "www.example.com.", "636f6d 00 6578616d706c65 00 777778 00 00 0000", 2 },
        { "www.example.com.", "636f6d 00 6578616d706c65 00 77777777 00 00 0000", 2 },
        { "www.example.com.", "636f6d65 00 00 0006", 0 },
        { "ww.example.com.",  "636f6d 00 6578616d706c65 00 777777 00 00 0000", 2 },
        { "com.",             "636f6d 00 6578616d706c65 00 777777 00 00 0000", 1 },
        { ".",                "636f6d 00 00 0006", 0 },
        { "a.com.",           "00 0006", 0 },
        { "a.com.",           "", 0 },
        { "a.com.",           "636f", 0 },
        { "a.com.",           "636f6d 00", 1 },
        { "\\000.com.",       "636f6d 00 00 0000", 1 },      /* the slot does not pass for the label */
        { "\\001.\\000.",     "0101 00 0102 00 00 0010", 2 },
        { "\\001.\\000.",     "0101 00 0101 00 00 0010", 1 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes key = heap_from_hex(rows[i].hex);
        struct name n = from(rows[i].a);
        struct rrkey k;
        assert_int_equal(rrkey_of_name(name_bytes(&n), &k), OK);
        unsigned got = rrkey_common(&k, key);
        if (got != rows[i].want)
            fail_msg("%s and %s: %u", rows[i].a, rows[i].hex, got);
        unsigned labels = 0, common;
        if (rrkey_beside(&k, key, &labels, &common) != rrkey_owner_len(key) || common != got || labels < common * (labels > 0))
            fail_msg("%s beside %s: %u of %u", rows[i].a, rows[i].hex, common, labels);
        bytes_free(key);
    }
}

static void owner_lengths(void **state)
{
    static const struct { const char *hex; size_t want; } rows[] = {
        { "00 0006", 1 }, { "61 00 00 0006", 3 }, { "61 00 00 0000", 3 }, { "61 00 00 00c3 62 00 00 0010", 3 }, { "61 00 00 00", 0 },
        { "61 00 00", 0 }, { "61 00", 0 }, { "61", 0 }, { "", 0 }, { "00", 0 }, { "00 00", 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes key = heap_from_hex(rows[i].hex);
        assert_int_equal(rrkey_owner_len(key), rows[i].want);
        bytes_free(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples), cmocka_unit_test(broken_keys), cmocka_unit_test(longest_keys), cmocka_unit_test(too_long_keys),
        cmocka_unit_test(hashes_under_long_apexes), cmocka_unit_test(many_labels),
        cmocka_unit_test(malformed_names), cmocka_unit_test(common_labels), cmocka_unit_test(owner_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
