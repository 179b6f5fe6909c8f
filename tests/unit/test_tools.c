/* The azoth command's parts that need no store: options, texts, zone lists, the checker. */
#include "tests/util.h"

#include "base/file.h"
#include "builder/zonefile.h"
#include "rrset/rrset.h"
#include "tools/checker.h"
#include "tools/loadlist.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <sodium.h>

/* --- options ----------------------------------------------------------------------------------------------------- */
#define WORDS_MAX 20
struct argv { char *words[WORDS_MAX + 1]; int n; char text[256]; };

/* "load --dir X" as main gets it; '|' stands for a word that is empty. */
static void argv_split(struct argv *a, const char *line)
{
    a->n = 0;
    (void)snprintf(a->text, sizeof a->text, "%s", line);
    for (char *w = strtok(a->text, " "); w != NULL && a->n < WORDS_MAX; w = strtok(NULL, " "))
        a->words[a->n++] = strcmp(w, "|") == 0 ? w + 1 : w;
    a->words[a->n] = NULL;
}

static const struct option_spec every[] = {
    OPTION("list", "FILE", OPTION_TEXT, list, ""),
    OPTION("strict", NULL, OPTION_FLAG, strict, ""),
    OPTION("map-size", "SIZE", OPTION_SIZE, map_size, ""),
    OPTION("from", "SEQ", OPTION_NUMBER, from, ""),
    OPTION_END,
};

static void options_rows(void **state)
{
    static const struct { const char *why, *line; enum err want; const char *fault; } rows[] = {
        { "nothing",                        "",                         OK,      "" },
        { "value behind a space",           "--list f",                 OK,      "" },
        { "value behind =",                 "--list=f",                 OK,      "" },
        { "value with =",                   "--list=a=b",               OK,      "" },
        { "value that looks like an option", "--list --strict",         OK,      "" },
        { "size",                           "--map-size 64G",           OK,      "" },
        { "size without number",            "--map-size G",             ERR_BAD, "--map-size" },
        { "size too large",                 "--map-size 99999999999G",  ERR_BAD, "--map-size" },
        { "number",                         "--from 18446744073709551615", OK,   "" },
        { "number too large",               "--from 18446744073709551616", ERR_BAD, "--from" },
        { "negative number",                "--from -1",                ERR_BAD, "--from" },
        { "number with letters",            "--from=1x",                ERR_BAD, "'1x'" },
        { "flag",                           "--strict",                 OK,      "" },
        { "flag with value",                "--strict=1",               ERR_BAD, "takes no value" },
        { "value is missing",               "x --list",                 ERR_BAD, "--list needs a value" },
        { "value is empty",                 "--list=",                  ERR_BAD, "not empty" },
        { "value is an empty word",         "--list |",                 ERR_BAD, "not empty" },
        { "unknown option",                 "--lists f",                ERR_BAD, "unknown option --lists" },
        { "unknown option with value",      "--lists=f",                ERR_BAD, "unknown option --lists" },
        { "a prefix is not the option",     "--lis f",                  ERR_BAD, "unknown option --lis" },
        { "short option",                   "-x",                       ERR_BAD, "unknown option -x" },
        { "two dashes and =",               "--=x",                     ERR_BAD, "unknown option --" },
        { "global options too",             "--dir d --json",           OK,      "" },
        { "short help",                     "-h",                       OK,      "" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct argv a;
        struct options o = { 0 };
        struct fault fault = { "" };
        int at = 0;
        argv_split(&a, rows[i].line);
        enum err got = options_read(a.n, a.words, &at, every, false, &o, &fault);
        if (got != rows[i].want || strstr(fault.text, rows[i].fault) == NULL)
            fail_msg("%s: got '%s' with '%s'", rows[i].why, err_text(got), fault.text);
    }
}

static void options_fill(void **state)
{
    struct argv a;
    struct options o = { 0 };
    int at = 0;
    (void)state;
    argv_split(&a, "--json --dir d load one --list=f two --strict --from 7 --map-size 2k -- --three");
    assert_int_equal(options_read(a.n, a.words, &at, NULL, true, &o, NULL), OK);
    assert_int_equal(at, 3);
    assert_string_equal(a.words[at++], "load");
    assert_int_equal(options_read(a.n, a.words, &at, every, false, &o, NULL), OK);
    assert_true(o.json && o.strict && !o.help);
    assert_string_equal(o.dir, "d");
    assert_string_equal(o.list, "f");
    assert_int_equal(o.from, 7);
    assert_int_equal(o.map_size, 2048);
    assert_int_equal(o.args_n, 3);
    assert_string_equal(o.args[0], "one");
    assert_string_equal(o.args[1], "two");
    assert_string_equal(o.args[2], "--three");
}

static void options_of_a_command_stay_there(void **state)
{
    struct argv a;
    struct options o = { 0 };
    struct fault fault = { "" };
    int at = 0;
    (void)state;
    argv_split(&a, "--list f load");
    assert_int_equal(options_read(a.n, a.words, &at, NULL, true, &o, &fault), ERR_BAD);
    assert_string_equal(fault.text, "unknown option --list");
}

/* --- texts ------------------------------------------------------------------------------------------------------- */
static struct name name_of(const char *text)
{
    struct name n;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &n) != OK)
        fail_msg("%s is no name", text);
    return n;
}

static void rr_lines(void **state)
{
    static const struct { const char *why; uint16_t type; const char *hex, *want; } rows[] = {
        { "A",              TYPE_A,     "c0000201", "192.0.2.1" },
        { "A of zeros",     TYPE_A,     "00000000", "0.0.0.0" },
        { "AAAA",           TYPE_AAAA,  "20010db8000000000000000000000001", "2001:db8::1" },
        { "NS",             TYPE_NS,    "026e73 07 6578616d706c65 00", "ns.example." },
        { "NS to the root", TYPE_NS,    "00", "." },
        { "name keeps its case, dot in a label", TYPE_CNAME, "03412e42 00", "A\\.B." },
        { "MX",             TYPE_MX,    "000a 026d78 00", "10 mx." },
        { "SRV",            TYPE_SRV,   "0001 0002 0035 0161 00", "1 2 53 a." },
        { "SOA",            TYPE_SOA,   "0161 00 0162 00 ffffffff 00000e10 00000001 00000002 00000003",
          "a. b. 4294967295 3600 1 2 3" },
        { "TXT of two",     TYPE_TXT,   "03616263 00", "\"abc\" \"\"" },
        { "TXT escapes",    TYPE_TXT,   "05 22 5c 00 ff 20", "\"\\\"\\\\\\000\\255 \"" },
        { "unknown type",   65280,      "0102", "\\# 2 0102" },
        { "DS by ldns",     TYPE_DS,    "1234 08 02 0000000000000000000000000000000000000000000000000000000000000001",
          "4660 8 2 0000000000000000000000000000000000000000000000000000000000000001" },
    };
    struct rr_text t = { .owner_len = 0 };
    struct name owner = name_of("www.example.");
    static char line[RR_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes rdata = heap_from_hex(rows[i].hex);
        struct zone_rr rr = { .owner = name_bytes(&owner), .rdata = rdata, .ttl = 300, .type = rows[i].type };
        char type[TYPE_TEXT_MAX], want[512];
        const char *only = NULL;
        size_t len = 0;
        (void)snprintf(want, sizeof want, "www.example. 300 IN %s %s", type_text(type, rows[i].type), rows[i].want);
        enum err err = rr_text_line(&t, &rr, line, sizeof line, &len, NULL);
        for (char *c = line; *c != '\0'; c++)
            *c = *c == '\t' ? ' ' : *c;
        if (err != OK || strcasecmp(line, want) != 0 || len != strlen(line))
            fail_msg("%s: '%s', %s", rows[i].why, line, err_text(err));
        if (rr_text_rdata(&t, &rr, line, sizeof line, &only, NULL) != OK || strcasecmp(only, rows[i].want) != 0)
            fail_msg("%s: rdata '%s'", rows[i].why, only != NULL ? only : "-");
        bytes_free(rdata);
    }
}

/* RDATA of any bytes never overruns, and what is printed as this type's own form reads back to the same bytes;
 * malformed RDATA (which no store holds) gives the form of RFC 3597. */
static void rr_lines_of_noise(void **state)
{
    static const uint16_t types[] = { TYPE_A, TYPE_AAAA, TYPE_NS, TYPE_MX, TYPE_SOA, TYPE_SRV, TYPE_TXT, TYPE_DNAME };
    uint64_t seed = seed_from_env(7);
    struct rnd rnd = rnd_seed(seed);
    struct name owner = name_of("a.example.");
    struct rr_text t = { .owner_len = 0 };
    char *line = malloc(RR_TEXT_MAX);
    unsigned plain = 0;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint8_t noise[40], again[512];
        size_t n = rnd_below(&rnd, sizeof noise + 1), len = 0;
        uint32_t most = rnd_below(&rnd, 2) == 0 ? 3 : 256;      /* small ones make names and strings that fit */
        n = most == 3 ? 1 + n % 16 : n;
        for (size_t i = 0; i < n; i++)
            noise[i] = (uint8_t)rnd_below(&rnd, most);
        struct bytes rdata = heap_copy(noise, n);
        struct zone_rr rr = { .owner = name_bytes(&owner), .rdata = rdata, .ttl = 1,
                              .type = types[rnd_below(&rnd, ROWS(types))] };
        struct wr w = wr_over(again, sizeof again);
        const char *only = NULL;
        if (rr_text_line(&t, &rr, line, RR_TEXT_MAX, &len, NULL) == OK
            && rr_text_rdata(&t, &rr, line, RR_TEXT_MAX, &only, NULL) == OK
            && strncmp(only, "\\# ", 3) != 0 && ++plain > 0
            && (rdata_from_text(rr.type, bytes_of_text(only), bytes_of("", 1), &w, NULL) != OK
                || !bytes_equal(wr_done(&w), rdata)))
            fail_msg("seed %llu round %d type %u: '%s' does not read back", (unsigned long long)seed, round, rr.type,
                     only);
        bytes_free(rdata);
    }
    free(line);
    assert_in_range(plain, 100, 3000);
}

static void type_names(void **state)
{
    static const struct { const char *text; int type; } rows[] = {
        { "A", TYPE_A }, { "aaaa", TYPE_AAAA }, { "TYPE1", TYPE_A }, { "type65280", 65280 }, { "NSEC3PARAM", 51 },
        { "", -1 }, { "TYPE", -1 }, { "TYPE65536", -1 }, { "NOSUCH", -1 }, { "A ", -1 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint16_t type = 0;
        enum err err = type_from_text(rows[i].text, &type);
        if ((err == OK) != (rows[i].type >= 0) || (err == OK && type != rows[i].type))
            fail_msg("'%s' gives %u, %s", rows[i].text, type, err_text(err));
    }
}

static void key_texts(void **state)
{
    static const struct { const char *ns, *hex, *want; } rows[] = {
        { "dns", "636f6d00 6578616d706c6500 77777700 00 0000", "www.example.com./address" },
        { "dns", "00 0006", "./SOA" },
        { "dns", "636f6d00 00 00c0", "com./zone-header" },
        { "dns", "636f6d00 00 ff00", "com./TYPE65280" },
        { "dns", "636f6d00 00 0032 0102030405060708090a0b0c0d0e0f1011121314",
          "com./NSEC3/0102030405060708090a0b0c0d0e0f1011121314" },
        { "dns", "434f4d", "\"COM\"" },
        { "dns", "00", "0x00" },
        { "kv", "6b6579", "\"key\"" },
        { "kv", "6b20", "0x6b20" },
    };
    char out[KEY_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes key = heap_from_hex(rows[i].hex);
        assert_string_equal(key_text(out, sizeof out, bytes_of_text(rows[i].ns), key), rows[i].want);
        bytes_free(key);
    }
    struct name apex = name_of("example."), name = name_of("www.sub.example.");
    uint8_t buf[RRKEY_SHADOW_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    assert_int_equal(rrkey_write_shadow(name_bytes(&apex), name_bytes(&name), TYPE_MX, &w), OK);
    assert_string_equal(key_text(out, sizeof out, bytes_of_text("dns"), wr_done(&w)),
                        "example./shadow/www.sub.example./MX");
}

static void times(void **state)
{
    char out[TIME_TEXT_MAX];
    (void)state;
    assert_string_equal(time_text(out, 0), "1970-01-01T00:00:00.000Z");
    assert_string_equal(time_text(out, 1795197600123u), "2026-11-20T18:00:00.123Z");
    assert_string_equal(time_text(out, UINT64_MAX), "18446744073709551615ms");
}

static void json_words_are_utf8(void **state)
{
    json_t *good = json_words("z\xc3\xbc"), *bad = json_words("a\xff");
    (void)state;
    assert_string_equal(json_string_value(good), "z\xc3\xbc");
    assert_string_equal(json_string_value(bad), "a?");
    json_decref(good);
    json_decref(bad);
}

/* --- lists of zones ---------------------------------------------------------------------------------------------- */
static void load_arguments(void **state)
{
    static const struct { const char *text, *origin, *file; } rows[] = {
        { "example.com=f", "example.com", "f" },
        { ".=root.zone", ".", "root.zone" },
        { "a=b=c", "a", "b=c" },
        { "example.com", NULL, "ORIGIN=FILE" },
        { "=f", NULL, "origin is missing" },
        { "a=", NULL, "file is missing" },
        { "a..b=f", NULL, "no domain name" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct loadlist l;
        struct fault fault = { "" };
        loadlist_init(&l);
        enum err err = loadlist_argument(&l, rows[i].text, &fault);
        if ((err == OK) != (rows[i].origin != NULL))
            fail_msg("%s: %s", rows[i].text, err_text(err));
        if (err == OK) {
            assert_string_equal(l.zones[0].origin, rows[i].origin);
            assert_string_equal(l.zones[0].file, rows[i].file);
        } else if (strstr(fault.text, rows[i].file) == NULL) {
            fail_msg("%s: '%s'", rows[i].text, fault.text);
        }
        loadlist_release(&l);
    }
}

static enum err list_of(const char *text, struct loadlist *l, struct fault *fault)
{
    char path[] = "/tmp/azoth-list-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    enum err err = loadlist_file(l, path, fault);
    (void)unlink(path);
    return err;
}

static void load_lists(void **state)
{
    struct loadlist l;
    struct fault fault = { "" };
    (void)state;
    loadlist_init(&l);
    assert_int_equal(list_of("# zones\n\na.example. dir/a zone\r\n\tB.example\tb  \nc.example c", &l, &fault), OK);
    assert_int_equal(l.n, 3);
    assert_string_equal(l.zones[0].file, "dir/a zone");
    assert_string_equal(l.zones[1].origin, "B.example");
    assert_string_equal(l.zones[1].file, "b");
    assert_string_equal(l.zones[2].file, "c");
    assert_int_equal(loadlist_check(&l, &fault), OK);
    assert_int_equal(loadlist_argument(&l, "b.EXAMPLE.=x", &fault), OK);
    assert_int_equal(loadlist_check(&l, &fault), ERR_EXISTS);
    assert_non_null(strstr(fault.text, "b.example."));
    assert_int_equal(list_of("ok f\nonly-a-name\n", &l, &fault), ERR_BAD);
    assert_non_null(strstr(fault.text, ":2: the file is missing"));
    assert_int_equal(loadlist_file(&l, "/nonexistent/list", &fault), ERR_NOTFOUND);
    loadlist_release(&l);
}

/* --- the checker ------------------------------------------------------------------------------------------------- */
static void count_bad(void *arg, struct bytes ns, struct bytes key, const char *why)
{
    unsigned *n = arg;
    (void)ns, (void)key;
    assert_true(why[0] != '\0');
    *n += 1;
}

/* Any number of threads gives the digest that one loop gives, and finds the same bad entries. */
static void checker_adds_up(void **state)
{
    enum { ENTRIES = 2000 };
    static uint8_t keys[ENTRIES][4], values[ENTRIES][6];
    static struct digest one;
    uint8_t want[DIGEST_LEN], got[DIGEST_LEN];
    struct bytes ns = bytes_of_text("kv");
    (void)state;
    for (unsigned i = 0; i < ENTRIES; i++) {
        struct wr k = wr_over(keys[i], 4), v = wr_over(values[i], 6);
        wr_u32(&k, i);
        msg_put_array(&v, i % 100 == 7 ? 1 : 2);        /* 20 of them break the form */
        msg_put_uint(&v, 1 + i % 100);                  /* 20 are newer than the head */
        msg_put_bin(&v, bytes_of(keys[i], 1));
        digest_add(&one, ns, wr_done(&k), wr_done(&v));
    }
    digest_final(&one, want);
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct checker *c;
        struct checker_result sum;
        unsigned bad = 0;
        assert_int_equal(checker_open(&c, threads, 99, count_bad, &bad), OK);
        for (unsigned i = 0; i < ENTRIES; i++) {
            struct entry e = { bytes_of(keys[i], 4), bytes_of(values[i], 5) };
            checker_feed(c, ns, &e);
        }
        checker_finish(c, &sum);
        digest_final(&sum.lanes, got);
        assert_memory_equal(want, got, DIGEST_LEN);
        assert_int_equal(sum.entries, ENTRIES);
        assert_int_equal(sum.bytes, ENTRIES * 9);
        assert_int_equal(sum.bad, 40);
        assert_int_equal(bad, 40);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_rows), cmocka_unit_test(options_fill),
        cmocka_unit_test(options_of_a_command_stay_there),
        cmocka_unit_test(rr_lines), cmocka_unit_test(rr_lines_of_noise), cmocka_unit_test(type_names),
        cmocka_unit_test(key_texts), cmocka_unit_test(times), cmocka_unit_test(json_words_are_utf8),
        cmocka_unit_test(load_arguments), cmocka_unit_test(load_lists), cmocka_unit_test(checker_adds_up),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
