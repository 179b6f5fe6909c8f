/* azoth compare without its sockets: the questions that a zone gives, two answers held against each other, what passes for an
 * answer. */
#include "tests/util.h"

#include "builder/zonefile.h"
#include "tools/asker.h"
#include "tools/axfr.h"
#include "tools/compare.h"

#include <stdlib.h>

static struct name name_of(const char *text)
{
    struct name n;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &n) != OK)
        fail_msg("%s is no name", text);
    return n;
}

/* --- answers from text ------------------------------------------------------------------------------------------------ */
/* "RCODE [aa] [tc] [ra] / answer; answer / authority / additional", a record as OWNER TTL TYPE RDATA. */
static unsigned put_records(struct wr *w, const char *text, struct bytes qname)
{
    unsigned n = 0;
    for (const char *at = text; at != NULL && *at != '\0'; at = strchr(at, ';'), at = at != NULL ? at + 1 : NULL) {
        char owner[300], type[40], line[1000];
        unsigned ttl;
        int used = 0;
        size_t len = strcspn(at, ";");
        uint16_t number = 0;
        struct fault fault = { "" };
        assert_true(len < sizeof line);
        memcpy(line, at, len);
        line[len] = '\0';
        if (line[strspn(line, " ")] == '\0')
            continue;
        if (sscanf(line, " %299s %u %39s %n", owner, &ttl, type, &used) != 3 || rrtype_from_text(bytes_of_text(type), &number) != OK)
            fail_msg("%s is no record", line);
        struct name name = name_of(owner);
        if (name_equal(name_bytes(&name), qname))
            wr_u16(w, 0xc00c);
        else
            wr_bytes(w, name_bytes(&name));
        wr_u16(w, number);
        wr_u16(w, CLASS_IN);
        wr_u32(w, ttl);
        size_t length_at = w->len;
        wr_u16(w, 0);
        struct bytes rdata = heap_copy(line + used, strlen(line + used));
        if (rdata_from_text(number, rdata, bytes_of("", 1), w, &fault) != OK)
            fail_msg("%s: %s", line, fault.text);
        bytes_free(rdata);
        wr_patch_u16(w, length_at, (uint16_t)(w->len - length_at - 2));
        n++;
    }
    return n;
}

static struct bytes message(const char *text, const struct question *q, uint16_t id)
{
    static const struct { const char *word; unsigned bits; } words[] = {
        { "NXDOMAIN", 3 }, { "REFUSED", 5 }, { "SERVFAIL", 2 }, { " aa", DNS_AA }, { " tc", DNS_TC }, { " ra", DNS_RA },
    };
    uint8_t buf[4096];
    char part[4][2000] = { "", "", "", "" };
    unsigned flags = DNS_QR;
    struct wr w = wr_over(buf, sizeof buf);
    if (text == NULL)
        return bytes_of(NULL, 0);
    for (unsigned i = 0; i < 4 && text != NULL; i++) {
        size_t len = i < 3 ? strcspn(text, "/") : strlen(text);
        assert_true(len < sizeof part[i]);
        memcpy(part[i], text, len);
        text = text[len] == '/' ? text + len + 1 : NULL;
    }
    for (size_t i = 0; i < ROWS(words); i++)
        flags |= strstr(part[0], words[i].word) != NULL ? words[i].bits : 0;
    wr_u16(&w, id);
    wr_u16(&w, (uint16_t)flags);
    wr_u16(&w, 1);
    wr_put(&w, "\0\0\0\0\0\0", 6);
    wr_bytes(&w, name_bytes(&q->name));
    wr_u16(&w, q->type);
    wr_u16(&w, CLASS_IN);
    for (unsigned i = 1; i < 4; i++)
        wr_patch_u16(&w, 4 + 2 * i, (uint16_t)put_records(&w, part[i], name_bytes(&q->name)));
    assert_false(w.full);
    return heap_copy(buf, w.len);
}

/* --- two answers -------------------------------------------------------------------------------------------------------- */
#define SOA(ttl, serial) "z. " ttl " SOA ns.z. h.z. " serial " 1 2 3 60"
#define SIG(name, type, rest) name " 60 RRSIG " type " 13 2 60 20300101000000 20200101000000 " rest
#define CUT "s.z. 60 NS ns.s.z.; s.z. 60 NS ns.o."
enum { STRICT = 1, NO_TTL = 2, NO_SIG = 4 };
static const struct { const char *why, *name, *type, *a, *b; unsigned rules, want; } pairs[] = {
    { "the same bytes", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1", "NOERROR aa/w.z. 60 A 192.0.2.1", 0, 0 },
    { "another order is the same", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1; w.z. 60 A 192.0.2.2", "NOERROR aa/w.z. 60 A 192.0.2.2; w.z. 60 A 192.0.2.1",
      STRICT, 0 },
    { "names of any case are the same", "w.z.", "MX", "NOERROR aa/w.z. 60 MX 1 A.z.", "NOERROR aa/W.Z. 60 MX 1 a.Z.", STRICT, 0 },
    { "texts are not", "w.z.", "TXT", "NOERROR aa/w.z. 60 TXT A", "NOERROR aa/w.z. 60 TXT a", 0, DIFF_ANSWER },
    { "another record", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1", "NOERROR aa/w.z. 60 A 192.0.2.2", 0, DIFF_ANSWER },
    { "one record fewer", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1; w.z. 60 A 192.0.2.2", "NOERROR aa/w.z. 60 A 192.0.2.2", 0, DIFF_ANSWER },
    { "a record twice is one too many", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1; w.z. 60 A 192.0.2.1", "NOERROR aa/w.z. 60 A 192.0.2.1", 0, DIFF_ANSWER },
    { "another TTL", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1", "NOERROR aa/w.z. 61 A 192.0.2.1", 0, DIFF_TTL },
    { "another TTL, which may be", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1", "NOERROR aa/w.z. 61 A 192.0.2.1", NO_TTL, 0 },
    { "AA", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1", "NOERROR/w.z. 60 A 192.0.2.1", 0, DIFF_AA },
    { "RA is no matter", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1", "NOERROR aa ra/w.z. 60 A 192.0.2.1", 0, 0 },
    { "but when strict", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1", "NOERROR aa ra/w.z. 60 A 192.0.2.1", STRICT, DIFF_FLAGS },
    { "servers beside an answer are courtesy", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1/z. 60 NS n.z./n.z. 60 A 192.0.2.9", "NOERROR aa/w.z. 60 A 192.0.2.1", 0, 0 },
    { "which strict counts", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1/z. 60 NS n.z./n.z. 60 A 192.0.2.9", "NOERROR aa/w.z. 60 A 192.0.2.1", STRICT,
      DIFF_AUTHORITY | DIFF_ADDITIONAL },
    { "one does not know the name", "w.z.", "A", "NOERROR aa//" SOA("60", "1"), "NXDOMAIN aa//" SOA("60", "1"), 0, DIFF_RCODE },
    { "one has it", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1", "NXDOMAIN aa//" SOA("60", "1"), 0, DIFF_RCODE | DIFF_ANSWER },
    { "one has it and the other nothing", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1", "NOERROR aa//" SOA("60", "1"), 0, DIFF_AUTHORITY | DIFF_ANSWER },
    { "a negative answer without SOA", "w.z.", "A", "NOERROR aa//" SOA("60", "1"), "NOERROR aa", 0, DIFF_AUTHORITY },
    { "a SOA with other numbers", "w.z.", "A", "NXDOMAIN aa//z. 60 SOA ns.z. h.z. 1 1 2 3 60", "NXDOMAIN aa//z. 60 SOA ns.z. h.z. 1 1 2 4 60", 0, DIFF_AUTHORITY },
    { "a SOA of another zone", "w.s.z.", "A", "NXDOMAIN aa//" SOA("60", "1"), "NXDOMAIN aa//s.z. 60 SOA ns.z. h.z. 1 1 2 3 60", 0, DIFF_AUTHORITY },
    { "negative TTLs count", "w.z.", "A", "NXDOMAIN aa//" SOA("60", "1"), "NXDOMAIN aa//" SOA("600", "1"), 0, DIFF_TTL },
    { "another serial is told apart", "w.z.", "A", "NXDOMAIN aa//" SOA("60", "1"), "NXDOMAIN aa//" SOA("60", "2"), 0, DIFF_SERIAL },
    { "also with its signature", "z.", "SOA", "NOERROR aa/" SOA("60", "1") ";" SIG("z.", "SOA", "1 z. AAAA"), "NOERROR aa/" SOA("60", "2") ";" SIG("z.", "SOA", "1 z. BBBB"), 0,
      DIFF_SERIAL },
    { "the serial of another zone is no serial", "o.", "SOA", "NOERROR aa/o. 60 SOA a. b. 1 1 1 1 1", "NOERROR aa/o. 60 SOA a. b. 2 1 1 1 1", 0, DIFF_ANSWER },
    { "one signature is another", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1;" SIG("w.z.", "A", "1 z. AAAA"), "NOERROR aa/w.z. 60 A 192.0.2.1;" SIG("w.z.", "A", "1 z. BBBB"), 0,
      DIFF_ANSWER },
    { "which may be, also when there are two", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1;" SIG("w.z.", "A", "1 z. AAAA"),
      "NOERROR aa/w.z. 60 A 192.0.2.1;" SIG("w.z.", "A", "2 z. BBBB") ";" SIG("w.z.", "A", "3 z. CCCC"), NO_SIG, 0 },
    { "but not be missing", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1;" SIG("w.z.", "A", "1 z. AAAA"), "NOERROR aa/w.z. 60 A 192.0.2.1", NO_SIG, DIFF_ANSWER },
    { "other NSEC are a proof too", "w.z.", "A", "NXDOMAIN aa//" SOA("60", "1") ";a.z. 60 NSEC x.z. A", "NXDOMAIN aa//" SOA("60", "1") ";z. 60 NSEC a.z. NS;a.z. 60 NSEC x.z. A", 0, 0 },
    { "none are none", "w.z.", "A", "NXDOMAIN aa//" SOA("60", "1") ";a.z. 60 NSEC x.z. A", "NXDOMAIN aa//" SOA("60", "1"), 0, DIFF_AUTHORITY },
    { "a wildcard without its proof", "w.z.", "A", "NOERROR aa/w.z. 60 A 192.0.2.1/a.z. 60 NSEC x.z. A", "NOERROR aa/w.z. 60 A 192.0.2.1", 0, DIFF_AUTHORITY },
    { "a referral in another order", "w.s.z.", "A", "NOERROR//" CUT "/ns.s.z. 60 A 192.0.2.1", "NOERROR//s.z. 60 NS ns.o.; s.z. 60 NS ns.s.z./ns.s.z. 60 A 192.0.2.1; ns.o. 60 A 192.0.2.2",
      0, 0 },
    { "one server more", "w.s.z.", "A", "NOERROR//s.z. 60 NS ns.o.", "NOERROR//s.z. 60 NS ns.o.; s.z. 60 NS ns.p.", 0, DIFF_AUTHORITY },
    { "no glue", "w.s.z.", "A", "NOERROR//" CUT "/ns.s.z. 60 A 192.0.2.1", "NOERROR//" CUT, 0, DIFF_GLUE },
    { "other glue", "w.s.z.", "A", "NOERROR//" CUT "/ns.s.z. 60 A 192.0.2.1", "NOERROR//" CUT "/ns.s.z. 60 A 192.0.2.2", 0, DIFF_GLUE },
    { "a referral without DS", "w.s.z.", "A", "NOERROR//s.z. 60 NS ns.o.; s.z. 60 DS 1 8 2 " "00112233", "NOERROR//s.z. 60 NS ns.o.", 0, DIFF_AUTHORITY },
    { "a referral is no answer", "s.z.", "A", "NOERROR//s.z. 60 NS ns.o.", "NOERROR aa/s.z. 60 A 192.0.2.1", 0, DIFF_AA | DIFF_AUTHORITY | DIFF_ANSWER },
    { "an alias out of the zone, followed by one alone", "w.z.", "A", "NOERROR aa/w.z. 60 CNAME a.o.", "NXDOMAIN aa/w.z. 60 CNAME a.o.; a.o. 60 CNAME b.o./o. 60 SOA a. b. 1 1 1 1 1", 0, 0 },
    { "an alias within it", "w.z.", "A", "NOERROR aa/w.z. 60 CNAME a.z.; a.z. 60 A 192.0.2.1", "NOERROR aa/w.z. 60 CNAME a.z.", 0, DIFF_ANSWER },
    { "aliases in a circle", "w.z.", "A", "NOERROR aa/w.z. 60 CNAME a.z.; a.z. 60 CNAME w.z.", "NOERROR aa/a.z. 60 CNAME w.z.; w.z. 60 CNAME a.z.", 0, 0 },
    { "an alias asked for", "w.z.", "CNAME", "NOERROR aa/w.z. 60 CNAME a.o.", "NOERROR aa/w.z. 60 CNAME b.o.", 0, DIFF_ANSWER },
    { "refused and failed", "w.z.", "A", "REFUSED", "SERVFAIL", 0, DIFF_RCODE },
    { "refused with and without AA", "w.z.", "A", "REFUSED", "REFUSED aa", 0, DIFF_AA },
    { "one did not answer", "w.z.", "A", "REFUSED", NULL, 0, DIFF_UNANSWERED },
    { "neither did", "w.z.", "A", NULL, NULL, 0, DIFF_UNANSWERED },
};

static void nothing(void *arg, int side, const struct answer_rr *rr)
{
    (void)rr;
    ((unsigned *)arg)[side]++;
}

static void pair_rows(void **state)
{
    struct name apex = name_of("z.");
    (void)state;
    for (size_t i = 0; i < ROWS(pairs); i++) {
        struct question q = { .name = name_of(pairs[i].name) };
        struct compare_rules rules = { name_bytes(&apex), (pairs[i].rules & STRICT) != 0, (pairs[i].rules & NO_TTL) != 0, (pairs[i].rules & NO_SIG) != 0 };
        assert_int_equal(rrtype_from_text(bytes_of_text(pairs[i].type), &q.type), OK);
        struct bytes msg[2] = { message(pairs[i].a, &q, 7), message(pairs[i].b, &q, 8) }, turned[2] = { msg[1], msg[0] };
        struct arena a;
        struct compared c, d;
        unsigned apart[2] = { 0, 0 };
        arena_init(&a);
        assert_int_equal(compare_answers(&rules, &q, msg, &a, &c), OK);
        assert_int_equal(compare_answers(&rules, &q, turned, &a, &d), OK);
        if (c.bits != pairs[i].want || d.bits != c.bits)
            fail_msg("%s: got %#x, the other way round %#x, want %#x", pairs[i].why, c.bits, d.bits, pairs[i].want);
        for (unsigned s = 0; s < SECTIONS && (c.bits & (DIFF_ANSWER | DIFF_TTL | DIFF_GLUE)) != 0; s++)
            compare_apart(&rules, c.part[s], nothing, apart);
        if ((c.bits & (DIFF_ANSWER | DIFF_TTL | DIFF_GLUE)) != 0 && apart[0] + apart[1] == 0)
            fail_msg("%s: no record is shown", pairs[i].why);
        arena_release(&a);
        bytes_free(msg[0]);
        bytes_free(msg[1]);
    }
}

/* A message that breaks off anywhere is none; one with bytes behind it is. */
static void each_prefix(void **state)
{
    struct question q = { .name = name_of("w.z."), .type = TYPE_MX };
    struct bytes whole = message("NOERROR aa/w.z. 60 MX 1 a.z.; w.z. 60 NAPTR 1 1 \"s\" \"x\" \"\" b.z./" SOA("60", "1") "/a.z. 60 A 192.0.2.1", &q, 1);
    struct arena a;
    (void)state;
    arena_init(&a);
    for (size_t n = 0; n <= whole.len; n++) {
        struct bytes part = heap_copy(whole.ptr, n);
        struct answer answer;
        enum err err = answer_read(part, &a, &answer);
        if ((err == OK) != (n == whole.len))
            fail_msg("%zu of %zu bytes: %s", n, whole.len, err_text(err));
        bytes_free(part);
    }
    arena_release(&a);
    bytes_free(whole);
}

static const struct { const char *why, *hex; enum err want; } broken[] = {
    { "a question is no answer", "0001 0000 0000 0000 0000 0000", ERR_BAD },
    { "an empty answer", "0001 8000 0000 0000 0000 0000", OK },
    { "more records counted than bytes could hold", "0001 8000 0000 ffff 0000 0000 00", ERR_SHORT },
    { "a name that points at itself", "0001 8000 0000 0001 0000 0000 c00c 0001 0001 00000000 0000", ERR_BAD },
    { "RDATA that ends within its name", "0001 8000 0000 0001 0000 0000 00 0002 0001 00000000 0002 0161", ERR_BAD },
    { "a name in RDATA that reaches over its end", "0001 8000 0000 0002 0000 0000 00 0002 0001 00000000 0002 0161 00 0001 0001 00000000 0000", ERR_BAD },
};
static void broken_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(broken); i++) {
        struct bytes in = heap_from_hex(broken[i].hex);
        struct arena a;
        struct answer answer;
        arena_init(&a);
        enum err got = answer_read(in, &a, &answer);
        if (got != broken[i].want)
            fail_msg("%s: got '%s'", broken[i].why, err_text(got));
        arena_release(&a);
        bytes_free(in);
    }
}

/* --- questions ------------------------------------------------------------------------------------------------------------ */
static const struct { const char *why, *zone; uint16_t types[2]; bool dnssec; const char *want; } lists[] = {
    { "an apex: no name beside it", "@ 60 SOA a b 1 1 1 1 1\n", { 0 }, false,
      "z. SOA there\nz. A nodata\nz. AAAA nodata\nz. MX nodata\nz. TXT nodata\nazoth-compare.z. A below\n" },
    { "types that are wished, there or not", "@ 60 SOA a b 1 1 1 1 1\n", { TYPE_A, TYPE_SOA }, false, "z. A nodata\nz. SOA there\nazoth-compare.z. A below\n" },
    { "each twice", "@ 60 SOA a b 1 1 1 1 1\n", { TYPE_SOA }, true, "z. SOA there\nz. SOA there DO\nazoth-compare.z. SOA below\nazoth-compare.z. SOA below DO\n" },
    { "an empty name, before what is below it", "@ 60 SOA a b 1 1 1 1 1\na.b.c 60 A 192.0.2.1\na.d.c 60 A 192.0.2.1\n", { TYPE_A }, false,
      "z. A nodata\nazoth-compare.z. A below\nc.z. A empty\nazoth-compare.c.z. A below\nc0.z. A beside\nb.c.z. A empty\nazoth-compare.b.c.z. A below\n"
      "b0.c.z. A beside\na.b.c.z. A there\nazoth-compare.a.b.c.z. A below\na0.b.c.z. A beside\nd.c.z. A empty\nazoth-compare.d.c.z. A below\n"
      "d0.c.z. A beside\na.d.c.z. A there\nazoth-compare.a.d.c.z. A below\na0.d.c.z. A beside\n" },
    { "a wildcard: itself, and a name that it stands for", "*.x 60 TXT t\n", { 0 }, false,
      "x.z. A empty\nx.z. AAAA empty\nx.z. MX empty\nx.z. TXT empty\nazoth-compare.x.z. A below\nx0.z. A beside\n"
      "*.x.z. TXT there\n*.x.z. A nodata\n*.x.z. AAAA nodata\n*.x.z. MX nodata\n"
      "azoth-compare.x.z. TXT wildcard\nazoth-compare.x.z. A wildcard\nazoth-compare.x.z. AAAA wildcard\nazoth-compare.x.z. MX wildcard\n"
      "azoth-compare.*.x.z. A below\n*0.x.z. A beside\n" },
    { "a cut is asked for its DS", "s 60 NS ns\n", { 0 }, false,
      "s.z. NS there\ns.z. A nodata\ns.z. AAAA nodata\ns.z. MX nodata\ns.z. TXT nodata\ns.z. DS nodata\nazoth-compare.s.z. A below\ns0.z. A beside\n" },
    { "signatures are no types, hashes no names", "@ 60 NSEC3PARAM 1 0 0 -\n0p9mhaveqvm6t7vbl5lop2u3t2rp3tom 60 NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n"
      "w 60 RRSIG A 13 2 60 20300101000000 20200101000000 1 z. AAAA\n", { TYPE_A }, false,
      "z. A nodata\nazoth-compare.z. A below\nw.z. A nodata\nazoth-compare.w.z. A below\nw0.z. A beside\n" },
    { "a dot and a 0 byte in a label", "a\\.b\\000 60 A 192.0.2.1\n", { TYPE_A }, false,
      "a\\.b\\000.z. A there\nazoth-compare.a\\.b\\000.z. A below\na\\.b\\0000.z. A beside\n" },
    { "the longest label gets another end", "lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll 60 A 192.0.2.1\n", { TYPE_A }, false,
      "lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll.z. A there\n"
      "azoth-compare.lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll.z. A below\n"
      "llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll0.z. A beside\n" },
};

static void zone_from(struct zone *z, const char *text)
{
    struct name apex = name_of("z.");
    struct complaints complaints = { 0 };
    struct fault fault = { "" };
    zone_init(z, name_bytes(&apex), "text");
    if (zonefile_read_text(bytes_of_text(text), "text", z, &complaints, &fault) != OK)
        fail_msg("%s: %s %s", text, complaints.errors[0].text, fault.text);
}

static void list_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(lists); i++) {
        struct zone z;
        struct questions *q = NULL;
        struct question one;
        struct question_options o = { .dnssec = lists[i].dnssec };
        struct fault fault = { "" };
        char *got = NULL, name[NAME_TEXT_MAX], type[RRTYPE_TEXT_MAX];
        size_t len = 0;
        uint64_t n = 0;
        for (; o.types_n < 2 && lists[i].types[o.types_n] != 0; o.types_n++)
            o.types[o.types_n] = lists[i].types[o.types_n];
        zone_from(&z, lists[i].zone);
        assert_int_equal(questions_open(&q, &z, &o, &fault), OK);
        uint64_t count = questions_count(q);
        FILE *to = open_memstream(&got, &len);
        for (; questions_next(q, &one); n++)
            fprintf(to, "%s %s %s%s\n", name_text(name, sizeof name, name_bytes(&one.name)), rrtype_text(type, one.type), question_why_text(one.why),
                    one.dnssec ? " DO" : "");
        assert_int_equal(fclose(to), 0);
        if (strcmp(got, lists[i].want) != 0 || count != n)
            fail_msg("%s: counted %u, got %u:\n%s", lists[i].why, (unsigned)count, (unsigned)n, got);
        free(got);
        questions_close(q);
        zone_release(&z);
    }
}

/* 127 labels, 255 bytes: nothing fits below, and beside is the same length. */
static void the_longest_name(void **state)
{
    char text[400] = "";
    struct zone z;
    struct questions *q = NULL;
    struct question one;
    struct question_options o = { .types = { TYPE_A }, .types_n = 1 };
    struct fault fault = { "" };
    unsigned longest = 0, below = 0;
    (void)state;
    for (unsigned i = 0; i < 126; i++)
        strcat(text, "a.");
    text[251] = '\0';
    strcat(text, " 60 A 192.0.2.1\n");
    zone_from(&z, text);
    assert_int_equal(questions_open(&q, &z, &o, &fault), OK);
    while (questions_next(q, &one)) {
        struct bytes name = name_bytes(&one.name), read;
        struct rd r = rd_over(name);
        assert_int_equal(name_read(&r, &read), OK);
        longest += name.len == 255 && one.why == WHY_THERE;
        below += one.why == WHY_BELOW;
    }
    assert_int_equal(longest, 1);
    assert_int_equal(below, 125);           /* all of the empty names, not the last */
    questions_close(q);
    zone_release(&z);
}

static void names_outside(void **state)
{
    struct zone z;
    struct questions *q = NULL;
    struct question_options o = { .dnssec = false };
    struct fault fault = { "" };
    (void)state;
    zone_from(&z, "www.example.com. 60 A 192.0.2.1\n");
    assert_int_equal(questions_open(&q, &z, &o, &fault), ERR_REFUSED);
    assert_non_null(strstr(fault.text, "www.example.com."));
    zone_release(&z);
}

/* --- what passes for an answer ------------------------------------------------------------------------------------------------ */
static const struct { const char *why, *hex; bool want; } taken[] = {
    { "an answer", "0105 8400 0001 0000 0000 0000 0161 017a 00 0001 0001", true },
    { "in another case", "0105 8400 0001 0000 0000 0000 0141 015a 00 0001 0001", true },
    { "another id", "0106 8400 0001 0000 0000 0000 0161 017a 00 0001 0001", false },
    { "a question", "0105 0400 0001 0000 0000 0000 0161 017a 00 0001 0001", false },
    { "a NOTIFY", "0105 a400 0001 0000 0000 0000 0161 017a 00 0001 0001", false },
    { "another name", "0105 8400 0001 0000 0000 0000 0162 017a 00 0001 0001", false },
    { "another type", "0105 8400 0001 0000 0000 0000 0161 017a 00 0002 0001", false },
    { "another class", "0105 8400 0001 0000 0000 0000 0161 017a 00 0001 0003", false },
    { "two questions", "0105 8400 0002 0000 0000 0000 0161 017a 00 0001 0001 0161 017a 00 0001 0001", false },
    { "no question, though all is well", "0105 8400 0000 0000 0000 0000", false },
    { "no question, and an error", "0105 8001 0000 0000 0000 0000", true },
    { "it ends within the question", "0105 8400 0001 0000 0000 0000 0161 017a 00 0001 00", false },
    { "it ends within the header", "0105 8400 0001", false },
    { "nothing", "", false },
};
static void taken_rows(void **state)
{
    uint8_t buf[300];
    struct wr w = wr_over(buf, sizeof buf);
    struct question q = { .name = name_of("a.z."), .type = TYPE_A, .dnssec = true };
    (void)state;
    question_write(&w, &q, 0x0105);
    struct query read;
    assert_int_equal(query_read(wr_done(&w), &read), QUERY_ANSWER);
    assert_true(read.dnssec_ok && read.udp_size == 1232 && (read.flags & DNS_RD) == 0);
    for (size_t i = 0; i < ROWS(taken); i++) {
        struct bytes in = heap_from_hex(taken[i].hex);
        if (question_answers(wr_done(&w), in) != taken[i].want)
            fail_msg("%s", taken[i].why);
        bytes_free(in);
    }
}

/* --- arguments ------------------------------------------------------------------------------------------------------------------ */
static const struct { const char *why, *text, *want; } servers[] = {
    { "an address alone", "192.0.2.1", "192.0.2.1@53" }, { "with its port", "192.0.2.1@5353", "192.0.2.1@5353" },
    { "IPv6", "2001:db8::1", "2001:db8::1@53" }, { "IPv6 with its port", "::1@65535", "::1@65535" },
    { "a name", "localhost", NULL }, { "no address", "@53", NULL }, { "no port", "192.0.2.1@", NULL }, { "port 0", "192.0.2.1@0", NULL },
    { "a port too high", "192.0.2.1@65536", NULL }, { "another sign", "192.0.2.1:53", NULL }, { "nothing", "", NULL },
};
static const struct { const char *why, *text; enum err want; } keys[] = {
    { "a key", "k.example:hmac-sha256:c2VjcmV0", OK }, { "padding", "k:HMAC-SHA512.:c2VjcmU=", OK }, { "no secret", "k:hmac-sha256:", ERR_BAD },
    { "no name", ":hmac-sha256:c2VjcmV0", ERR_BAD }, { "no algorithm", "k:c2VjcmV0", ERR_BAD }, { "one that is not done", "k:hmac-md5:c2VjcmV0", ERR_BAD },
    { "no base64", "k:hmac-sha256:c2VjcmV", ERR_BAD }, { "padding alone", "k:hmac-sha256:====", ERR_BAD }, { "a secret too long", "k:hmac-sha256:c2VjcmV0c2VjcmV0", ERR_BAD },
    { "nothing", "", ERR_BAD }, { "signs alone", "::", ERR_BAD },
};
static void argument_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(servers); i++) {
        struct server s;
        enum err got = server_parse(servers[i].text, &s);
        if ((got == OK) != (servers[i].want != NULL) || (got == OK && strcmp(s.text, servers[i].want) != 0))
            fail_msg("%s: %s", servers[i].why, got == OK ? s.text : err_text(got));
    }
    for (size_t i = 0; i < ROWS(keys); i++) {
        uint8_t room[8];
        struct tsig_key key;
        struct fault fault = { "" };
        if (axfr_key_parse(keys[i].text, room, sizeof room, &key, &fault) != keys[i].want || (keys[i].want == OK) != (fault.text[0] == '\0'))
            fail_msg("%s: %s", keys[i].why, fault.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pair_rows), cmocka_unit_test(each_prefix), cmocka_unit_test(broken_rows), cmocka_unit_test(list_rows),
        cmocka_unit_test(the_longest_name), cmocka_unit_test(names_outside), cmocka_unit_test(taken_rows), cmocka_unit_test(argument_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
