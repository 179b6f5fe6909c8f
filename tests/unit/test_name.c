/* Names: wire form, compression, text. */
#include "tests/util.h"

#include "wire/name.h"
#include "wire/rrtype.h"

#define LABEL63 "3f 616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
#define LABEL61 "3d 61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
#define LABEL62 "3e 6161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"

static void reads_plain_names(void **state)
{
    static const struct { const char *why, *hex; enum err want; size_t len; } rows[] = {
        { "the root",                        "00",                       OK,        1 },
        { "two labels, more behind",         "01 61 02 6263 00 ffff",    OK,        6 },
        { "nothing",                         "",                         ERR_SHORT, 0 },
        { "ends before its root",            "01 61",                    ERR_SHORT, 0 },
        { "ends inside a label",             "03 6162",                  ERR_SHORT, 0 },
        { "a pointer",                       "01 61 c000",               ERR_BAD,   0 },
        { "label type 01",                   "40 00",                    ERR_BAD,   0 },
        { "label type 10",                   "80 00",                    ERR_BAD,   0 },
        { "255 bytes",                       LABEL63 LABEL63 LABEL63 LABEL61 "00", OK, 255 },
        { "256 bytes",                       LABEL63 LABEL63 LABEL63 LABEL62 "00", ERR_BAD, 0 },
        { "too long, whatever would follow", LABEL63 LABEL63 LABEL63 "3f", ERR_BAD, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex), name = { 0 };
        struct rd r = rd_over(in);
        enum err got = name_read(&r, &name);
        if (got != rows[i].want || name.len != rows[i].len)
            fail_msg("%s: got '%s', %zu bytes", rows[i].why, err_text(got), name.len);
        assert_int_equal(rd_err(&r), got);
        bytes_free(in);
    }
}

static void unpacks_compressed_names(void **state)
{
    static const struct { const char *why, *hex; size_t at; enum err want; const char *name; size_t behind; } rows[] = {
        { "no pointer",                      "01 61 00",                       0, OK, "01 61 00", 3 },
        { "a pointer back",                  "01 61 00 01 62 c000",            3, OK, "01 62 01 61 00", 7 },
        { "a pointer to a pointer",          "01 61 00 c000 01 62 c003",       5, OK, "01 62 01 61 00", 9 },
        { "only a pointer, bytes behind",    "00 c000 ff",                     1, OK, "00", 3 },
        { "a pointer to itself",             "c000",                           0, ERR_BAD, "", 0 },
        { "a pointer forward",               "c002 00",                        0, ERR_BAD, "", 0 },
        { "a pointer into its own labels",   "01 61 c000",                     0, ERR_BAD, "", 0 },
        { "two that point at each other",    "01 61 c005 00 01 62 c000",       5, ERR_BAD, "", 0 },
        { "back, then through itself again", "01 61 01 62 c000",               2, ERR_BAD, "", 0 },
        { "a cut pointer",                   "00 c0",                          1, ERR_SHORT, "", 0 },
        { "a cut name",                      "01 61 02 62",                    0, ERR_SHORT, "", 0 },
        { "a label type of no meaning",      "00 01 61 80",                    1, ERR_BAD, "", 0 },
        { "255 bytes with the pointer's",    LABEL63 LABEL63 "00" LABEL63 LABEL61 "c000", 129, OK,
          LABEL63 LABEL61 LABEL63 LABEL63 "00", 257 },
        { "256 bytes with the pointer's",    LABEL63 LABEL63 "00" LABEL63 LABEL62 "c000", 129, ERR_BAD, "", 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex), want = heap_from_hex(rows[i].name);
        struct rd r = rd_over(in);
        struct name name;
        (void)rd_take(&r, rows[i].at);
        enum err got = name_unpack(&r, in, &name);
        if (got != rows[i].want || (got == OK && !bytes_equal(name_bytes(&name), want)))
            fail_msg("%s: got '%s'", rows[i].why, err_text(got));
        if (got == OK)
            assert_int_equal(r.p - in.ptr, rows[i].behind);
        assert_int_equal(rd_err(&r), got);
        bytes_free(in);
        bytes_free(want);
    }
}

static void text_and_back(void **state)
{
    static const struct { const char *text, *origin, *hex, *back; enum err want; } rows[] = {
        { ".",               "",        "00",                          ".",               OK },
        { "a.",              "",        "01 61 00",                    "a.",              OK },
        { "a",               "",        "01 61 00",                    "a.",              OK },
        { "a",               "01 62 00", "01 61 01 62 00",             "a.b.",            OK },
        { "a.",              "01 62 00", "01 61 00",                   "a.",              OK },
        { "@",               "01 62 00", "01 62 00",                   "b.",              OK },
        { "\\@",             "01 62 00", "01 40 01 62 00",             "\\@.b.",          OK },
        { "A.b",             "",        "01 41 01 62 00",              "A.b.",            OK },
        { "a\\.b.c.",        "",        "03 612e62 01 63 00",          "a\\.b.c.",        OK },
        { "\\000\\255\\032.", "",       "03 00ff20 00",                "\\000\\255\\032.", OK },
        { "\\\"\\;\\(\\)\\$\\\\.", "",  "06 223b2829245c 00",          "\\\"\\;\\(\\)\\$\\\\.", OK },
        { "*.x.",            "",        "01 2a 01 78 00",              "*.x.",            OK },
        { "",                "01 62 00", "",                           "",                ERR_BAD },
        { "@",               "",        "",                            "",                ERR_BAD },
        { "..",              "",        "",                            "",                ERR_BAD },
        { ".a",              "",        "",                            "",                ERR_BAD },
        { "a..b",            "",        "",                            "",                ERR_BAD },
        { "a\\",             "",        "",                            "",                ERR_BAD },
        { "a\\25",           "",        "",                            "",                ERR_BAD },
        { "a\\256",          "",        "",                            "",                ERR_BAD },
        { "a\\2x5",          "",        "",                            "",                ERR_BAD },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes want = heap_from_hex(rows[i].hex), origin = heap_from_hex(rows[i].origin);
        struct bytes text = heap_copy(rows[i].text, strlen(rows[i].text));
        struct name name;
        char back[NAME_TEXT_MAX];
        enum err got = name_from_text(text, origin, &name);
        if (got != rows[i].want || (got == OK && !bytes_equal(name_bytes(&name), want)))
            fail_msg("'%s': got '%s'", rows[i].text, err_text(got));
        if (got == OK)
            assert_string_equal(name_text(back, sizeof back, want), rows[i].back);
        bytes_free(want);
        bytes_free(origin);
        bytes_free(text);
    }
}

static void text_limits(void **state)
{
    char text[600];
    struct name name;
    static const uint8_t org[] = { 3, 'o', 'r', 'g', 0 };
    (void)state;
    memset(text, 'a', sizeof text);
    assert_int_equal(name_from_text(bytes_of(text, 63), bytes_of(NULL, 0), &name), OK);
    assert_int_equal(name.len, 65);
    assert_int_equal(name_from_text(bytes_of(text, 64), bytes_of(NULL, 0), &name), ERR_LIMIT);
    for (size_t i = 63; i < sizeof text; i += 64)
        text[i] = '.';
    assert_int_equal(name_from_text(bytes_of(text, 253), bytes_of(NULL, 0), &name), OK);
    assert_int_equal(name.len, 255);
    assert_int_equal(name_from_text(bytes_of(text, 254), bytes_of(NULL, 0), &name), ERR_LIMIT);
    assert_int_equal(name_from_text(bytes_of(text, 249), bytes_of(org, sizeof org), &name), OK);
    assert_int_equal(name.len, 255);
    assert_int_equal(name_from_text(bytes_of(text, 250), bytes_of(org, sizeof org), &name), ERR_LIMIT);
    for (size_t i = 1; i < sizeof text; i += 2)
        text[i] = '.';
    text[0] = text[2] = 'b';
    assert_int_equal(name_from_text(bytes_of(text, 126), bytes_of(NULL, 0), &name), OK);    /* ends in a dot: 63 labels */
    assert_int_equal(name_labels(name_bytes(&name)), 63);
}

/* The longest text: every byte as \DDD. */
static void text_of_the_longest_name(void **state)
{
    uint8_t wire[NAME_MAX_LEN];
    char text[NAME_TEXT_MAX], small[20];
    struct name back;
    (void)state;
    for (size_t at = 0; at < 254; at += 64)
        for (size_t i = 0; i < 64 && at + i < 254; i++)
            wire[at + i] = i == 0 ? (uint8_t)(at + 64 <= 254 ? 63 : 254 - at - 1) : (uint8_t)(200 + i % 50);
    wire[254] = 0;
    assert_true(strlen(name_text(text, sizeof text, bytes_of(wire, 255))) > 1000);
    assert_int_equal(name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &back), OK);
    assert_true(bytes_equal(name_bytes(&back), bytes_of(wire, 255)));
    assert_string_equal(name_text(small, sizeof small, bytes_of(wire, 255)), "");
}

static struct name from(const char *text)
{
    struct name n;
    assert_int_equal(name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &n), OK);
    return n;
}

/* RFC 4034 section 6.1's own example, with neighbours. */
static void sorts_canonically(void **state)
{
    static const char *const order[] = { ".", "example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.",
                                         "z.example.", "\\001.z.example.", "*.z.example.", "\\200.z.example.", "example0." };
    (void)state;
    for (size_t i = 0; i < ROWS(order); i++)
        for (size_t k = 0; k < ROWS(order); k++) {
            struct name a = from(order[i]), b = from(order[k]);
            int c = name_compare(name_bytes(&a), name_bytes(&b));
            if ((c > 0) - (c < 0) != (i > k) - (i < k))
                fail_msg("%s and %s: %d", order[i], order[k], c);
        }
}

static void relations(void **state)
{
    static const struct { const char *name, *ancestor; bool under, equal; } rows[] = {
        { "a.b.c.", "b.c.", true, false }, { "a.b.c.", "B.C.", true, false }, { "A.b.c.", "a.B.C.", true, true },
        { "a.b.c.", ".", true, false }, { ".", ".", true, true }, { ".", "c.", false, false }, { "ab.c.", "b.c.", false, false },
        { "b.c.", "a.b.c.", false, false }, { "a\\003.b.", "b.", true, false }, { "x\\001b.", "b.", false, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct name n = from(rows[i].name), a = from(rows[i].ancestor);
        if (name_under(name_bytes(&n), name_bytes(&a)) != rows[i].under || name_equal(name_bytes(&n), name_bytes(&a)) != rows[i].equal)
            fail_msg("%s under %s", rows[i].name, rows[i].ancestor);
    }
    struct name n = from("A.b."), star = from("*.b."), near = from("\\*x.b."), root = from(".");
    assert_int_equal(name_labels(name_bytes(&n)), 2);
    assert_int_equal(name_labels(name_bytes(&root)), 0);
    assert_int_equal(name_parent(name_bytes(&n)).len, 3);
    assert_int_equal(name_parent(name_bytes(&root)).len, 1);
    assert_true(name_is_wildcard(name_bytes(&star)));
    assert_false(name_is_wildcard(name_bytes(&near)));
    assert_false(name_is_wildcard(name_bytes(&root)));
    assert_false(name_is_lower(name_bytes(&n)));
    name_lower(n.wire, n.len);
    assert_true(name_is_lower(name_bytes(&n)));
    assert_memory_equal(n.wire, "\001a\001b", 5);
}

static void joins(void **state)
{
    uint8_t front[250];
    static const uint8_t end[] = { 3, 'c', 'o', 'm', 0 };
    struct name n;
    (void)state;
    memset(front, 1, sizeof front);
    assert_int_equal(name_join(bytes_of(front, 250), bytes_of(end, 5), &n), OK);
    assert_int_equal(n.len, 255);
    assert_int_equal(name_join(bytes_of(front, 250), bytes_of("\004arpa", 6), &n), ERR_LIMIT);
}

static void shapes_of_rdata(void **state)
{
    static const struct { uint16_t type; bool presses; unsigned skip, names; bool shaped; } rows[] = {
        { TYPE_NS, true, 0, 1, true }, { TYPE_SOA, true, 0, 2, true }, { TYPE_MX, true, 2, 1, true }, { TYPE_MINFO, true, 0, 2, true },
        { TYPE_SRV, false, 0, 0, true }, { TYPE_DNAME, false, 0, 0, true }, { TYPE_NSEC, false, 0, 0, false }, { TYPE_A, false, 0, 0, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        unsigned skip, names;
        struct rdata_shape shape;
        assert_int_equal(rrtype_compresses(rows[i].type, &skip, &names), rows[i].presses);
        assert_int_equal(skip, rows[i].skip);
        assert_int_equal(names, rows[i].names);
        assert_int_equal(rrtype_shape(rows[i].type, &shape), rows[i].shaped);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_plain_names), cmocka_unit_test(unpacks_compressed_names), cmocka_unit_test(text_and_back),
        cmocka_unit_test(text_limits), cmocka_unit_test(text_of_the_longest_name), cmocka_unit_test(sorts_canonically),
        cmocka_unit_test(relations), cmocka_unit_test(joins), cmocka_unit_test(shapes_of_rdata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
