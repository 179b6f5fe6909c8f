/* What a transfer makes of a secondary zone, through the real changer: steps and whole zones, what does not fit, and 30 versions of
 * the real root zone where that data is at hand. */
#include "tests/unit/change_bed.h"

#include "builder/xfrin_apply.h"
#include "tests/unit/xfr_stream.h"

#include <inttypes.h>

#define NOW 1700000000u
#define SECONDARY "{\"kind\":\"secondary\",\"primaries\":[{\"address\":\"192.0.2.1\"}]}"

/* --- transfers from text ----------------------------------------------------------------------------------------------- */
/* The zone in the store as a primary's stream: "SOA n" and records of a zone file, by ';', in the stream's order. */
struct stream { struct zone z; };

static void stream_line(struct stream *s, const char *line)
{
    struct complaints c = { .errors_n = 0 };
    struct fault fault = { "" };
    char text[700];
    unsigned serial;
    struct zone one;
    if (sscanf(line, " SOA %u", &serial) == 1)
        (void)snprintf(text, sizeof text, "@ 300 IN SOA ns1 hostmaster %u 7200 900 1209600 300", serial);
    else
        (void)snprintf(text, sizeof text, "%s", line + strspn(line, " "));
    zone_init(&one, name_bytes(&s->z.apex), "line");
    if (zonefile_read_text(bytes_of_text(text), "line", &one, &c, &fault) != OK || one.n != 1)
        fail_msg("%s: %s", text, fault.text);
    assert_int_equal(zone_add(&s->z, one.rr[0].owner, one.rr[0].type, one.rr[0].ttl, one.rr[0].rdata, 0), OK);
    zone_release(&one);
}

static void stream_read(struct stream *s, const char *zone, const char *text)
{
    struct name apex = name_of(zone);
    zone_init(&s->z, name_bytes(&apex), "stream");
    while (*text != '\0') {
        char line[600];
        size_t len = strcspn(text, ";");
        (void)snprintf(line, sizeof line, "%.*s", (int)len, text);
        stream_line(s, line);
        text += len + (text[len] == ';');
    }
}

/* Taken as an answer to this kind of question, with that serial of ours. Owned by caller. */
static struct xfrin *transfer(const struct zone *z, enum xfrin_kind kind, uint32_t ours)
{
    struct rnd r = rnd_seed(ours + z->n);
    uint8_t soa[22] = { 0 };
    struct fault fault = { "" };
    struct xfrin *x;
    assert_int_equal(soa_serial_put(soa, sizeof soa, ours), OK);
    struct xfrin_ask ask = { .apex = z->apex, .kind = kind, .have = kind == XFRIN_IXFR, .soa = bytes_of(soa, sizeof soa) };
    assert_int_equal(xfrin_begin(&x, &ask, XFR_ID, NOW), OK);
    if (xfr_feed(x, &r, NULL, name_bytes(&z->apex), kind == XFRIN_IXFR ? TYPE_IXFR : TYPE_AXFR, z->rr, z->n, NOW, &fault) != XFRIN_DONE)
        fail_msg("the stream is no transfer: %s", fault.text);
    return x;
}

static void apply(struct bed *b, struct xfrin *x, const struct name *apex, struct change *c)
{
    xfrin_change(c, x, name_bytes(apex), "192.0.2.1");
    bed_put(b, c);
    bed_wait(b);
}

static void apply_text(struct bed *b, const char *text, enum xfrin_kind kind, uint32_t ours, struct change *c)
{
    struct stream s;
    stream_read(&s, "example.com.", text);
    struct xfrin *x = transfer(&s.z, kind, ours);
    apply(b, x, &s.z.apex, c);
    xfrin_end(x);
    zone_release(&s.z);
}

static void expect(struct bed *b, const char *why, const char *want)
{
    struct xfr_set got = { 0 }, wanted = { 0 };
    struct stream s;
    stream_read(&s, "example.com.", want);
    for (size_t i = 0; i < s.z.n; i++)
        xfr_set_add(&wanted, &s.z.rr[i]);
    assert_int_equal(view_begin(b->view), OK);
    assert_int_equal(zone_walk(name_bytes(&s.z.apex), b->view, xfr_set_visit, &got, NULL), OK);
    view_end(b->view);
    xfr_set_sort(&got);
    xfr_set_sort(&wanted);
    if (!xfr_set_equal(&got, &wanted)) {
        char *text = bed_text(b, "example.com.");
        fail_msg("%s: the zone is\n%s", why, text);
    }
    xfr_set_release(&got);
    xfr_set_release(&wanted);
    zone_release(&s.z);
}

/* --- rows ------------------------------------------------------------------------------------------------------------------ */
#define NS "@ 300 NS ns1; ns1 300 A 192.0.2.1"
#define START "SOA 4; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail"
static const struct { const char *why; enum xfrin_kind kind; uint32_t ours; const char *stream; enum err err; const char *want; } rows[] = {
    { "one record comes", XFRIN_IXFR, 4, "SOA 5; SOA 4; SOA 5; new 60 TXT x; SOA 5", OK,
      "SOA 5; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail; new 60 TXT x" },
    { "one record of two goes", XFRIN_IXFR, 4, "SOA 5; SOA 4; www 300 A 192.0.2.10; SOA 5; SOA 5", OK,
      "SOA 5; " NS "; www 300 A 192.0.2.11; m 300 MX 10 Mail" },
    { "an RRset goes", XFRIN_IXFR, 4, "SOA 5; SOA 4; www 300 A 192.0.2.10; www 300 A 192.0.2.11; SOA 5; SOA 5", OK,
      "SOA 5; " NS "; m 300 MX 10 Mail" },
    { "another TTL: all go and come again", XFRIN_IXFR, 4, "SOA 5; SOA 4; www 300 A 192.0.2.10; www 300 A 192.0.2.11; SOA 5; www 60 A 192.0.2.10; "
      "www 60 A 192.0.2.11; SOA 5", OK, "SOA 5; " NS "; www 60 A 192.0.2.10; www 60 A 192.0.2.11; m 300 MX 10 Mail" },
    { "the TTL of what comes is that of all", XFRIN_IXFR, 4, "SOA 5; SOA 4; SOA 5; www 60 A 192.0.2.12; SOA 5", OK,
      "SOA 5; " NS "; www 60 A 192.0.2.10; www 60 A 192.0.2.11; www 60 A 192.0.2.12; m 300 MX 10 Mail" },
    { "the TTL of what goes does not matter", XFRIN_IXFR, 4, "SOA 5; SOA 4; www 7 A 192.0.2.10; SOA 5; SOA 5", OK,
      "SOA 5; " NS "; www 300 A 192.0.2.11; m 300 MX 10 Mail" },
    { "the case of names does not either, and comes as it comes", XFRIN_IXFR, 4, "SOA 5; SOA 4; M 300 MX 10 mAIL; SOA 5; m 300 MX 10 MAIL; SOA 5", OK,
      "SOA 5; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 MAIL" },
    { "what is there already comes again", XFRIN_IXFR, 4, "SOA 5; SOA 4; SOA 5; www 300 A 192.0.2.10; SOA 5", OK,
      "SOA 5; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail" },
    { "what is there already comes again in another case", XFRIN_IXFR, 4, "SOA 5; SOA 4; SOA 5; m 300 MX 10 MAIL; SOA 5", OK,
      "SOA 5; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 MAIL" },
    { "two steps: what the first brings the second takes", XFRIN_IXFR, 4, "SOA 6; SOA 4; www 300 A 192.0.2.10; SOA 5; x 60 TXT a; x 60 TXT b; "
      "SOA 5; x 60 TXT a; SOA 6; www 300 A 192.0.2.10; SOA 6", OK, "SOA 6; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail; x 60 TXT b" },
    { "names in the data go whatever their case", XFRIN_IXFR, 4, "SOA 6; SOA 4; SOA 5; n 60 NAPTR 1 1 \"u\" \"E2U\" \"\" Sip; SOA 5; "
      "N 60 NAPTR 1 1 \"u\" \"E2U\" \"\" sIP.Example.com.; SOA 6; SOA 6", OK,
      "SOA 6; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail" },
    { "strings beside them do not", XFRIN_IXFR, 4, "SOA 6; SOA 4; SOA 5; n 60 NAPTR 1 1 \"u\" \"E2U\" \"\" sip; SOA 5; "
      "n 60 NAPTR 1 1 \"U\" \"E2U\" \"\" sip; SOA 6; SOA 6", ERR_STALE, START },
    { "nor strings alone: two that differ in case are two records", XFRIN_IXFR, 4, "SOA 6; SOA 4; SOA 5; t 60 TXT aa; t 60 TXT aA; SOA 5; t 60 TXT aa; "
      "SOA 6; SOA 6", OK, "SOA 6; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail; t 60 TXT aA" },
    { "a wildcard, names with bytes that are no letters, and labels that look like two", XFRIN_IXFR, 4, "SOA 6; SOA 4; SOA 5; *.w 60 A 192.0.2.1; "
      "a\\.b 60 A 192.0.2.1; \\000\\255 60 A 192.0.2.1; *.W 60 A 192.0.2.2; SOA 5; *.w 60 A 192.0.2.1; A\\.B 60 A 192.0.2.1; SOA 6; b.a 60 A 192.0.2.1; SOA 6",
      OK, "SOA 6; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail; *.w 60 A 192.0.2.2; \\000\\255 60 A 192.0.2.1; b.a 60 A 192.0.2.1" },
    { "a wildcard does not stand for what it covers", XFRIN_IXFR, 4, "SOA 6; SOA 4; SOA 5; *.w 60 A 192.0.2.1; SOA 5; x.w 60 A 192.0.2.1; SOA 6; SOA 6",
      ERR_STALE, START },
    { "the last step empty", XFRIN_IXFR, 4, "SOA 6; SOA 4; www 300 A 192.0.2.10; SOA 5; SOA 5; SOA 6; SOA 6", OK,
      "SOA 6; " NS "; www 300 A 192.0.2.11; m 300 MX 10 Mail" },
    { "what a step takes and brings stays", XFRIN_IXFR, 4, "SOA 5; SOA 4; www 300 A 192.0.2.10; SOA 5; WWW 300 A 192.0.2.10; SOA 5", OK,
      "SOA 5; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail" },
    { "a record that goes and comes again and again is one, with the last TTL", XFRIN_IXFR, 4, "SOA 7; SOA 4; www 300 A 192.0.2.10; SOA 5; www 60 A 192.0.2.10; "
      "SOA 5; www 60 A 192.0.2.10; SOA 6; WWW 70 A 192.0.2.10; SOA 6; www 70 A 192.0.2.10; SOA 7; www 80 A 192.0.2.10; SOA 7", OK,
      "SOA 7; " NS "; www 80 A 192.0.2.10; www 80 A 192.0.2.11; m 300 MX 10 Mail" },
    { "and may be gone at the end", XFRIN_IXFR, 4, "SOA 6; SOA 4; www 300 A 192.0.2.10; SOA 5; www 300 A 192.0.2.10; SOA 5; www 300 A 192.0.2.10; SOA 6; SOA 6", OK,
      "SOA 6; " NS "; www 300 A 192.0.2.11; m 300 MX 10 Mail" },
    { "two of one record come: one is there, and goes once", XFRIN_IXFR, 4, "SOA 6; SOA 4; SOA 5; y 60 A 192.0.2.1; Y 60 A 192.0.2.1; SOA 5; y 60 A 192.0.2.1; "
      "SOA 6; SOA 6", OK, "SOA 6; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail" },
    { "a CNAME in the place of addresses", XFRIN_IXFR, 4, "SOA 5; SOA 4; www 300 A 192.0.2.10; www 300 A 192.0.2.11; SOA 5; www 60 CNAME m; SOA 5", OK,
      "SOA 5; " NS "; www 60 CNAME m; m 300 MX 10 Mail" },
    { "CNAME and addresses on the way, not at the end", XFRIN_IXFR, 4, "SOA 6; SOA 4; SOA 5; www 60 CNAME m; SOA 5; www 300 A 192.0.2.10; "
      "www 300 A 192.0.2.11; SOA 6; SOA 6", OK, "SOA 6; " NS "; www 60 CNAME m; m 300 MX 10 Mail" },
    { "names below a cut, and the cut", XFRIN_IXFR, 4, "SOA 6; SOA 4; SOA 5; a.s 60 A 192.0.2.1; s 60 NS a.s; SOA 5; s 60 NS a.s; SOA 6; SOA 6", OK,
      "SOA 6; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail; a.s 60 A 192.0.2.1" },
    { "types that nobody knows, by their bytes", XFRIN_IXFR, 4, "SOA 6; SOA 4; SOA 5; u 60 TYPE65280 \\# 2 6161; u 60 TYPE65280 \\# 2 6141; SOA 5; "
      "u 60 TYPE65280 \\# 2 6161; SOA 6; SOA 6", OK, "SOA 6; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail; u 60 TYPE65280 \\# 2 6141" },
    { "of an RRset with several TTLs all of it, with the least", XFRIN_AXFR, 0, "SOA 7; " NS "; a 60 TXT x; a 300 TXT y; SOA 7", OK,
      "SOA 7; " NS "; a 60 TXT x; a 60 TXT y" },
    { "a record that comes twice, in another case too, is one", XFRIN_AXFR, 0, "SOA 7; " NS "; m 60 MX 5 a; M 60 MX 5 A; m 60 MX 5 a; SOA 7", OK,
      "SOA 7; " NS "; m 60 MX 5 A" },
    { "the serial alone", XFRIN_IXFR, 4, "SOA 9; SOA 4; SOA 9; SOA 9", OK,
      "SOA 9; " NS "; www 300 A 192.0.2.10; www 300 A 192.0.2.11; m 300 MX 10 Mail" },
    { "a record that is not there cannot go", XFRIN_IXFR, 4, "SOA 5; SOA 4; www 300 A 192.0.2.99; SOA 5; y 60 A 192.0.2.1; SOA 5", ERR_STALE, START },
    { "nor at a name that is not there", XFRIN_IXFR, 4, "SOA 5; SOA 4; no 300 A 192.0.2.99; SOA 5; SOA 5", ERR_STALE, START },
    { "nor twice", XFRIN_IXFR, 4, "SOA 5; SOA 4; www 300 A 192.0.2.10; www 300 A 192.0.2.10; SOA 5; SOA 5", ERR_STALE, START },
    { "nor in the second step when the first is good: neither is made", XFRIN_IXFR, 4, "SOA 6; SOA 4; www 300 A 192.0.2.10; SOA 5; SOA 5; "
      "www 300 A 192.0.2.10; SOA 6; SOA 6", ERR_STALE, START },
    { "the zone moved on meanwhile", XFRIN_IXFR, 3, "SOA 5; SOA 3; SOA 5; y 60 A 192.0.2.1; SOA 5", ERR_STALE, START },
    { "a guard: CNAME beside other data", XFRIN_IXFR, 4, "SOA 5; SOA 4; SOA 5; www 300 CNAME m; SOA 5", ERR_REFUSED, START },
    { "a guard: no NS any more", XFRIN_IXFR, 4, "SOA 5; SOA 4; @ 300 NS ns1; SOA 5; SOA 5", ERR_REFUSED, START },
    { "all of it", XFRIN_AXFR, 0, "SOA 7; " NS "; a 60 TXT all; SOA 7", OK, "SOA 7; " NS "; a 60 TXT all" },
    { "all of it in place of differences", XFRIN_IXFR, 4, "SOA 7; " NS "; a 60 TXT all; SOA 7", OK, "SOA 7; " NS "; a 60 TXT all" },
    { "all of it with an older serial, when that was asked for", XFRIN_AXFR, 0, "SOA 2; " NS "; SOA 2", OK, "SOA 2; " NS },
    { "all of it, and a guard", XFRIN_AXFR, 0, "SOA 7; SOA 7", ERR_REFUSED, START },
};

static void steps_and_wholes(void **state)
{
    static struct bed b;
    struct change c;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, "example.com.", NULL, SECONDARY);
    for (size_t i = 0; i < ROWS(rows); i++) {
        apply_text(&b, START "; SOA 4", XFRIN_AXFR, 0, &c);
        if (c.result.end != CHANGE_DONE)
            fail_msg("%s: the zone before: %s", rows[i].why, fault_text(&c.result.fault, c.result.err));
        change_release(&c);
        apply_text(&b, rows[i].stream, rows[i].kind, rows[i].ours, &c);
        if (c.result.end != (rows[i].err == OK ? CHANGE_DONE : CHANGE_REFUSED) || c.result.err != rows[i].err)
            fail_msg("%s: %d, %s", rows[i].why, c.result.end, fault_text(&c.result.fault, c.result.err));
        assert_int_equal(c.author.via, VIA_TRANSFER);
        assert_string_equal(c.author.name, "192.0.2.1");
        change_release(&c);
        expect(&b, rows[i].why, rows[i].want);
    }
    bed_close(&b);
}

/* The zone was removed and made anew, as a native one, while its transfer was on its way: what somebody edits here stays as it is. */
static void no_secondary_any_more(void **state)
{
    static const struct { const char *why; enum xfrin_kind kind; const char *stream; } late[] = {
        { "all of it", XFRIN_AXFR, "SOA 7; " NS "; a 60 TXT all; SOA 7" },
        { "steps that would fit", XFRIN_IXFR, "SOA 5; SOA 4; www 300 A 192.0.2.10; SOA 5; new 60 TXT x; SOA 5" },
    };
    static struct bed b;
    struct change c;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, "example.com.", "@ 300 IN SOA ns1 hostmaster 4 7200 900 1209600 300\n@ 300 NS ns1\nns1 300 A 192.0.2.1\n"
              "www 300 A 192.0.2.10\n", NULL);
    for (size_t i = 0; i < ROWS(late); i++) {
        apply_text(&b, late[i].stream, late[i].kind, 4, &c);
        if (c.result.end != CHANGE_REFUSED || c.result.err != ERR_REFUSED)
            fail_msg("%s: %d, %s", late[i].why, c.result.end, fault_text(&c.result.fault, c.result.err));
        change_release(&c);
        expect(&b, late[i].why, "SOA 4; " NS "; www 300 A 192.0.2.10");
    }
    bed_close(&b);
}

/* The plan is run again when its group is taken apart: it leaves nothing behind in the transfer. */
static void planned_twice(void **state)
{
    static struct bed b;
    struct change c[2];
    struct xfrin *x[2];
    struct stream s[2];
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, "example.com.", NULL, SECONDARY);
    apply_text(&b, START "; SOA 4", XFRIN_AXFR, 0, &c[0]);
    change_release(&c[0]);
    stream_read(&s[0], "example.com.", "SOA 5; SOA 4; SOA 5; www 300 CNAME m; SOA 5");
    stream_read(&s[1], "example.com.", "SOA 6; SOA 4; www 300 A 192.0.2.10; SOA 6; y 60 TXT y; SOA 6");
    bed_stall(&b);
    for (size_t i = 0; i < 2; i++) {
        x[i] = transfer(&s[i].z, XFRIN_IXFR, 4);
        xfrin_change(&c[i], x[i], name_bytes(&s[i].z.apex), "192.0.2.1");
        bed_put(&b, &c[i]);
    }
    bed_go(&b);
    bed_wait(&b);
    assert_int_equal(c[0].result.end, CHANGE_REFUSED);
    assert_int_equal(c[1].result.end, CHANGE_DONE);
    expect(&b, "the second of two", "SOA 6; " NS "; www 300 A 192.0.2.11; m 300 MX 10 Mail; y 60 TXT y");
    for (size_t i = 0; i < 2; i++) {
        change_release(&c[i]);
        xfrin_end(x[i]);
        zone_release(&s[i].z);
    }
    bed_close(&b);
}

/* An RRset of 3,000 records, each of which goes and comes with other data: its records are found by their hash. */
static void large_rrset(void **state)
{
    static struct bed b;
    static char text[3000 * 40];
    struct change c;
    struct stream s;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, "example.com.", NULL, SECONDARY);
    size_t len = (size_t)snprintf(text, sizeof text, "SOA 1; " NS);
    for (unsigned i = 0; i < 3000; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "; big 60 A 10.0.%u.%u", i / 250, i % 250);
    (void)snprintf(text + len, sizeof text - len, "; SOA 1");
    apply_text(&b, text, XFRIN_AXFR, 0, &c);
    assert_int_equal(c.result.end, CHANGE_DONE);
    change_release(&c);
    stream_read(&s, "example.com.", text);
    struct stream ixfr;
    stream_read(&ixfr, "example.com.", "SOA 2; SOA 1");
    for (unsigned half = 0; half < 2; half++) {
        for (size_t i = 3; i < 3003; i++) {
            uint8_t rdata[4] = { (uint8_t)(10 + half), s.z.rr[i].rdata.ptr[1], s.z.rr[i].rdata.ptr[2], s.z.rr[i].rdata.ptr[3] };
            assert_int_equal(zone_add(&ixfr.z, s.z.rr[i].owner, TYPE_A, 60, bytes_of(rdata, 4), 0), OK);
        }
        stream_line(&ixfr, "SOA 2");
    }
    struct xfrin *x = transfer(&ixfr.z, XFRIN_IXFR, 1);
    apply(&b, x, &ixfr.z.apex, &c);
    assert_int_equal(c.result.end, CHANGE_DONE);
    assert_true(bed_has(&b, "example.com.", "big.example.com. 60 IN A 11.0.11.249"));
    assert_false(bed_has(&b, "example.com.", "big.example.com. 60 IN A 10."));
    change_release(&c);
    xfrin_end(x);
    zone_release(&s.z);
    zone_release(&ixfr.z);
    bed_close(&b);
}

/* Thousands of types at one name, and of names below each of ten cuts: an RRset of them costs no more than one elsewhere. This would take
 * minutes if each read all the others. */
#define MANY 6000u
#define CUTS 10u

static void add_many(struct stream *s, unsigned from, unsigned by, uint8_t value)
{
    for (unsigned k = 0; k < MANY; k += by) {
        unsigned i = (from + k * 7) % MANY;             /* in no order; 7 and 6000 have no common divisor */
        char text[60];
        uint8_t rdata[4] = { 192, value, (uint8_t)(i >> 8), (uint8_t)i };
        struct name big = name_of("big.example.com.");
        (void)snprintf(text, sizeof text, "n%u.s%u.example.com.", i, i % CUTS);
        struct name below = name_of(text);
        assert_int_equal(zone_add(&s->z, name_bytes(&big), (uint16_t)(1000 + i), 60, bytes_of(rdata, 4), 0), OK);
        assert_int_equal(zone_add(&s->z, name_bytes(&below), TYPE_A, 60, bytes_of(rdata, 4), 0), OK);
    }
}

static void many_of_one_owner(void **state)
{
    static struct bed b;
    char text[400] = "SOA 1; " NS;
    struct xfr_set got = { 0 }, want = { 0 };
    struct stream s, wanted;
    struct change c;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, "example.com.", NULL, SECONDARY);
    for (unsigned i = 0; i < CUTS; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "; s%u 60 NS ns1", i);
    stream_read(&wanted, "example.com.", text);
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "; SOA 1");
    apply_text(&b, text, XFRIN_AXFR, 0, &c);
    change_release(&c);
    stream_read(&s, "example.com.", "SOA 2; SOA 1; SOA 2");
    add_many(&s, 0, 1, 1);
    stream_line(&s, "SOA 2");
    for (uint32_t serial = 1; serial <= 2; serial++) {
        struct xfrin *x = transfer(&s.z, XFRIN_IXFR, serial);
        apply(&b, x, &s.z.apex, &c);
        if (c.result.end != CHANGE_DONE)
            fail_msg("to %u: %s", serial + 1, fault_text(&c.result.fault, c.result.err));
        change_release(&c);
        xfrin_end(x);
        zone_release(&s.z);
        stream_read(&s, "example.com.", "SOA 3; SOA 2");        /* every other one goes, and comes otherwise */
        add_many(&s, 0, 2, 1);
        stream_line(&s, "SOA 3");
        add_many(&s, 0, 2, 2);
        stream_line(&s, "SOA 3");
    }
    zone_release(&s.z);
    add_many(&wanted, 7, 2, 1);
    add_many(&wanted, 0, 2, 2);
    for (size_t i = 1; i < wanted.z.n; i++)
        xfr_set_add(&want, &wanted.z.rr[i]);
    assert_int_equal(view_begin(b.view), OK);
    assert_int_equal(zone_walk(name_bytes(&wanted.z.apex), b.view, xfr_set_visit, &got, NULL), OK);
    view_end(b.view);
    xfr_set_sort(&got);
    xfr_set_sort(&want);
    assert_int_equal(got.n, want.n + 1);                        /* the SOA */
    stream_read(&s, "example.com.", "SOA 3");
    xfr_set_add(&want, &s.z.rr[0]);
    xfr_set_sort(&want);
    assert_true(xfr_set_equal(&got, &want));
    xfr_set_release(&got);
    xfr_set_release(&want);
    zone_release(&s.z);
    zone_release(&wanted.z);
    bed_close(&b);
}

/* --- the root zone, version by version --------------------------------------------------------------------------------------- */
#define ROOT_STEPS 30

static FILE *root_open(const char *name)
{
    char path[500], command[600];
    const char *data = getenv("AZOTH_TEST_DATA"), *src = getenv("srcdir");
    if (data != NULL)
        (void)snprintf(path, sizeof path, "%s/root/%s", data, name);
    else
        (void)snprintf(path, sizeof path, "%s/../shared/data/root/%s", src != NULL ? src : ".", name);
    if (access(path, R_OK) != 0)
        return NULL;
    (void)snprintf(command, sizeof command, "exec gzip -dc '%s'", path);
    return popen(command, "r");
}

static struct zone *root_base(FILE *f)
{
    static const uint8_t root[1] = { 0 };
    struct complaints c = { .errors_n = 0 };
    struct fault fault = { "" };
    size_t cap = (size_t)16 << 20, len;
    char *text = malloc(cap);
    struct zone *z = malloc(sizeof *z);
    len = fread(text, 1, cap, f);
    zone_init(z, bytes_of(root, 1), "root");
    if (zonefile_read_text(bytes_of(text, len), "root", z, &c, &fault) != OK)
        fail_msg("the root zone: %s", fault.text);
    free(text);
    return z;
}

static void drop_from(struct zone *z, const struct zone_rr *rr)
{
    for (size_t i = 0; i < z->n; i++) {
        if (z->rr[i].type == rr->type && bytes_equal(z->rr[i].owner, rr->owner) && bytes_equal(z->rr[i].rdata, rr->rdata)) {
            z->rr[i] = z->rr[--z->n];
            return;
        }
    }
    fail_msg("the data takes away what is not there");
}

/* One version: its two SOAs, what goes, what comes. The model goes along. false: no more versions. */
struct version { struct stream gone, come; };
static bool version_read(FILE *f, struct version *v, struct zone *model)
{
    static char line[4096];
    unsigned gone, come, serial;
    if (fgets(line, sizeof line, f) == NULL || sscanf(line, "serial %u %u %u", &serial, &gone, &come) != 3)
        return false;
    stream_read(&v->gone, ".", "");
    stream_read(&v->come, ".", "");
    for (unsigned i = 0; i < gone + come; i++) {
        struct stream one, *to = i < gone ? &v->gone : &v->come;
        struct complaints c = { .errors_n = 0 };
        struct fault fault = { "" };
        assert_non_null(fgets(line, sizeof line, f));
        stream_read(&one, ".", "");
        if (zonefile_read_text(bytes_of_text(line + 2), "root", &one.z, &c, &fault) != OK || one.z.n != 1)
            fail_msg("%s: %s", line, fault.text);
        const struct zone_rr *rr = &one.z.rr[0];
        if (i < gone)
            drop_from(model, rr);
        else
            assert_int_equal(zone_add(model, rr->owner, rr->type, rr->ttl, rr->rdata, 0), OK);
        assert_int_equal(zone_add(&to->z, rr->owner, rr->type, rr->ttl, rr->rdata, 0), OK);
        zone_release(&one.z);
    }
    return true;
}

static void put_part(struct zone *to, const struct zone *part, struct zone_rr *soa)
{
    for (size_t i = 0; i < part->n; i++)
        if (part->rr[i].type == TYPE_SOA) {
            *soa = part->rr[i];
            assert_int_equal(zone_add(to, soa->owner, soa->type, soa->ttl, soa->rdata, 0), OK);
        }
    for (size_t i = 0; i < part->n; i++)
        if (part->rr[i].type != TYPE_SOA)
            assert_int_equal(zone_add(to, part->rr[i].owner, part->rr[i].type, part->rr[i].ttl, part->rr[i].rdata, 0), OK);
}

static const struct zone_rr *soa_of(const struct zone *z)
{
    for (size_t i = 0; i < z->n; i++)
        if (z->rr[i].type == TYPE_SOA)
            return &z->rr[i];
    fail_msg("no SOA");
    return NULL;
}

static void run_root(struct bed *b, const struct zone *stream, enum xfrin_kind kind, uint32_t ours)
{
    struct change c;
    struct xfrin *x = transfer(stream, kind, ours);
    apply(b, x, &stream->apex, &c);
    if (c.result.end != CHANGE_DONE)
        fail_msg("the root zone behind serial %" PRIu32 ": %s", ours, fault_text(&c.result.fault, c.result.err));
    change_release(&c);
    xfrin_end(x);
}

static void stream_end(struct zone *z, const struct zone_rr *soa)
{
    assert_int_equal(zone_add(z, soa->owner, soa->type, soa->ttl, soa->rdata, 0), OK);
}

static void root_versions(void **state)
{
    static struct bed b;
    FILE *base = root_open("base.zone.gz"), *changes = root_open("changes.txt.gz");
    struct xfr_set got = { 0 }, want = { 0 };
    (void)state;
    if (base == NULL || changes == NULL)
        skip();
    bed_open_sized(&b, (uint64_t)256 << 20, (uint64_t)64 << 20, NULL);
    bed_whole(&b, CHANGE_CREATE, ".", NULL, SECONDARY);
    struct zone *model = root_base(base), stream;
    zone_init(&stream, name_bytes(&model->apex), "stream");
    stream_end(&stream, soa_of(model));
    for (size_t i = 0; i < model->n; i++)
        if (model->rr[i].type != TYPE_SOA)
            stream_end(&stream, &model->rr[i]);
    stream_end(&stream, soa_of(model));
    run_root(&b, &stream, XFRIN_AXFR, 0);
    zone_release(&stream);
    for (unsigned step = 0, most = 1; step < ROOT_STEPS; most++) {
        struct version v[ROOT_STEPS];
        unsigned n = 0;
        uint32_t ours;
        struct zone_rr soa;
        assert_int_equal(soa_serial(soa_of(model)->rdata, &ours), OK);
        while (n < most && step < ROOT_STEPS && version_read(changes, &v[n], model)) {
            n++;
            step++;
        }
        assert_true(n > 0);
        zone_init(&stream, name_bytes(&model->apex), "stream");
        stream_end(&stream, soa_of(model));
        for (unsigned i = 0; i < n; i++) {
            put_part(&stream, &v[i].gone.z, &soa);
            put_part(&stream, &v[i].come.z, &soa);
        }
        stream_end(&stream, &soa);
        run_root(&b, &stream, XFRIN_IXFR, ours);
        for (unsigned i = 0; i < n; i++) {
            zone_release(&v[i].gone.z);
            zone_release(&v[i].come.z);
        }
        zone_release(&stream);
    }
    for (size_t i = 0; i < model->n; i++)
        xfr_set_add(&want, &model->rr[i]);
    assert_int_equal(view_begin(b.view), OK);
    assert_int_equal(zone_walk(name_bytes(&model->apex), b.view, xfr_set_visit, &got, NULL), OK);
    view_end(b.view);
    xfr_set_sort(&got);
    xfr_set_sort(&want);
    assert_true(want.n > 20000);
    assert_int_equal(got.n, want.n);
    assert_true(xfr_set_equal(&got, &want));
    xfr_set_release(&got);
    xfr_set_release(&want);
    zone_release(model);
    free(model);
    (void)pclose(base);
    (void)pclose(changes);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_and_wholes),
        cmocka_unit_test(no_secondary_any_more),
        cmocka_unit_test(planned_twice),
        cmocka_unit_test(large_rrset),
        cmocka_unit_test(many_of_one_owner),
        cmocka_unit_test(root_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
