/* Both ends of an answer: what its options hold, and that no option ever costs a record or breaks the limit. */
#include "tests/answer_bed.h"
#include "tests/packet.h"

#include "rrset/rrkey.h"

#define NOW 1700000000u

/* A question with options; codes without contents but for COOKIE, which gets `cookie`. */
struct asked { const char *name; uint16_t type, size; bool dnssec_ok; uint16_t codes[6]; unsigned n; struct bytes cookie; };

static struct bytes write_query(const struct asked *q)
{
    uint8_t buf[600];
    struct wr w = wr_over(buf, sizeof buf);
    struct name name;
    bed_name(q->name, &name);
    for (unsigned i = 0; i < 6; i++)
        wr_u16(&w, i == 0 ? 0x1234 : i == 2 || i == 5);
    wr_bytes(&w, name_bytes(&name));
    wr_u16(&w, q->type);
    wr_u16(&w, CLASS_IN);
    wr_u8(&w, 0);
    wr_u16(&w, TYPE_OPT);
    wr_u16(&w, q->size);
    wr_u32(&w, q->dnssec_ok ? EDNS_DO : 0);
    size_t at = w.len;
    wr_u16(&w, 0);
    for (unsigned i = 0; i < q->n; i++) {
        wr_u16(&w, q->codes[i]);
        wr_u16(&w, q->codes[i] == EDNS_OPTION_COOKIE ? (uint16_t)q->cookie.len : 0);
        if (q->codes[i] == EDNS_OPTION_COOKIE)
            wr_bytes(&w, q->cookie);
    }
    wr_patch_u16(&w, at, (uint16_t)(w.len - at - 2));
    return heap_copy(buf, w.len);
}

static bool option_of(struct bytes options, uint16_t code, struct bytes *out)
{
    struct query q = { .options = options };
    return query_option(&q, code, out);
}

/* The reply taken apart; its bytes live until the next call. */
static struct packet ask(struct bed *b, const struct asked *q, enum answer_proto proto, size_t max, struct bytes *reply)
{
    struct bytes query = write_query(q);
    struct packet p;
    b->from.proto = proto;
    bytes_free(*reply);
    *reply = bed_send(b, query, proto != ANSWER_UDP, max);
    const char *wrong = packet_walk(query, *reply, &p);
    if (wrong != NULL)
        fail_msg("%s: %s", q->name, wrong);
    if (proto == ANSWER_UDP)
        assert_true(reply->len <= (q->size < 512 ? 512u : q->size));
    bytes_free(query);
    return p;
}

static void expect(struct bytes options, uint16_t code, const char *hex)
{
    struct bytes want = heap_from_hex(hex), got = { 0 };
    if (!option_of(options, code, &got) || !bytes_equal(got, want))
        fail_msg("option %u is not %s", code, hex);
    bytes_free(want);
}

static const char zone[] =
    "$TTL 300\n@ SOA ns h 2026112101 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nw A 192.0.2.2\nal CNAME x.b.\ncut NS ns.cut\n"
    "ns.cut A 192.0.2.3\nd DNAME b.\n@ MX 1 w\n@ MX 2 ns\n";
static const uint8_t client4[4] = { 198, 51, 100, 100 };

static void open_bed(struct bed *b, const char *nsid)
{
    bed_open(b, nsid, "v");
    bed_load(b, "a.", zone);
    bed_load(b, "b.", "$TTL 300\n@ SOA ns.a. h 7 2 3 4 5\n@ NS ns.a.\nx A 192.0.2.4\n");
    bed_load(b, "c.b.a.", "$TTL 300\n@ SOA ns.a. h 4294967295 2 3 4 5\n@ NS ns.a.\n");
    b->cookies.n = 1;
    b->from = (struct answer_from){ .client = bytes_of(client4, 4), .now_s = NOW, .idle_100ms = 0x1234 };
}

static void contents(void **state)
{
    struct bed bed, *b = &bed;
    struct bytes reply = { 0 }, option;
    (void)state;
    open_bed(b, "site-1");
    struct asked q = { "w.a.", TYPE_A, 1232, false, { 3, 11, 19 }, 3, { 0 } };
    struct packet p = ask(b, &q, ANSWER_TCP, 0, &reply);
    expect(p.options, EDNS_OPTION_NSID, "736974652d31");
    expect(p.options, EDNS_OPTION_KEEPALIVE, "1234");
    expect(p.options, EDNS_OPTION_ZONEVERSION, "01 00 78c40465");       /* 1 label, SOA-SERIAL, 2026112101 */
    p = ask(b, &q, ANSWER_UDP, 0, &reply);
    assert_false(option_of(p.options, EDNS_OPTION_KEEPALIVE, &option));
    b->from.idle_100ms = 0;
    p = ask(b, &q, ANSWER_TCP, 0, &reply);
    assert_false(option_of(p.options, EDNS_OPTION_KEEPALIVE, &option));
    bytes_free(reply);
    bed_close(b);
}

/* RFC 9660: the zone that the question's name is in. */
static void versions(void **state)
{
    static const struct { const char *why, *name; uint16_t type; const char *want; } rows[] = {
        { "an answer",                                  "w.a.",     TYPE_A,    "01 00 78c40465" },
        { "no data",                                    "w.a.",     TYPE_MX,   "01 00 78c40465" },
        { "no such name",                               "no.a.",    TYPE_A,    "01 00 78c40465" },
        { "a referral: the parent's",                   "x.cut.a.", TYPE_A,    "01 00 78c40465" },
        { "an alias into another zone: the first one",  "al.a.",    TYPE_A,    "01 00 78c40465" },
        { "a DNAME into another zone: the first one",   "x.d.a.",   TYPE_A,    "01 00 78c40465" },
        { "a zone below one of ours",                   "c.b.a.",   TYPE_SOA,  "03 00 ffffffff" },
        { "a name that is not ours",                    "other.",   TYPE_A,    NULL },
    };
    struct bed bed, *b = &bed;
    struct bytes reply = { 0 }, option;
    (void)state;
    open_bed(b, NULL);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct asked q = { rows[i].name, rows[i].type, 1232, false, { EDNS_OPTION_ZONEVERSION }, 1, { 0 } };
        struct packet p = ask(b, &q, ANSWER_UDP, 0, &reply);
        if (rows[i].want == NULL ? option_of(p.options, EDNS_OPTION_ZONEVERSION, &option) : p.options.len != 10)
            fail_msg("%s: options of %zu bytes", rows[i].why, p.options.len);
        if (rows[i].want != NULL)
            expect(p.options, EDNS_OPTION_ZONEVERSION, rows[i].want);
    }
    bytes_free(reply);
    bed_close(b);
}

static void padding(void **state)
{
    struct bed bed, *b = &bed;
    struct bytes reply = { 0 }, option;
    (void)state;
    open_bed(b, "site-1");
    struct asked q = { "w.a.", TYPE_A, 1232, false, { 12, 3, 19 }, 3, { 0 } };
    struct packet p = ask(b, &q, ANSWER_TLS, 0, &reply);
    assert_int_equal(reply.len, 468);
    assert_true(option_of(p.options, EDNS_OPTION_PADDING, &option));
    for (size_t i = 0; i < option.len; i++)
        assert_int_equal(option.ptr[i], 0);
    assert_true(option.ptr + option.len == reply.ptr + reply.len);       /* behind all other options */
    for (size_t max = 120; max <= 480; max++) {                          /* as far as there is room */
        p = ask(b, &q, ANSWER_TLS, max, &reply);
        assert_true(reply.len == (max < 468 ? max : 468) || !option_of(p.options, EDNS_OPTION_PADDING, &option));
    }
    p = ask(b, &q, ANSWER_TCP, 0, &reply);
    assert_false(option_of(p.options, EDNS_OPTION_PADDING, &option));
    q.codes[0] = 3;
    p = ask(b, &q, ANSWER_TLS, 0, &reply);                               /* not asked for */
    assert_false(option_of(p.options, EDNS_OPTION_PADDING, &option));
    bytes_free(reply);
    bed_close(b);
}

/* Names of all lengths, so that the answer ends anywhere before the limit: what only helps gives way, records do not. */
static void nothing_optional_costs_a_record(void **state)
{
    static const enum answer_proto protos[] = { ANSWER_UDP, ANSWER_TCP, ANSWER_TLS };
    struct bed bed, *b = &bed;
    struct bytes reply = { 0 };
    unsigned with = 0, without = 0;
    (void)state;
    open_bed(b, NULL);
    for (size_t n = 0; n < ROWS(protos); n++)
        for (size_t max = 40; max < 200; max++) {
            struct asked bare = { "a.", TYPE_MX, 4096, false, { 0 }, 0, { 0 } }, full = bare;
            full.n = 2;
            full.codes[0] = EDNS_OPTION_ZONEVERSION;
            full.codes[1] = EDNS_OPTION_PADDING;
            struct packet p = ask(b, &bare, protos[n], max, &reply);
            bool tc = (p.flags & DNS_TC) != 0;
            uint16_t an = p.an, ar = p.ar;
            p = ask(b, &full, protos[n], max, &reply);
            assert_true(reply.len <= max);
            assert_int_equal(((p.flags & DNS_TC) != 0), tc);
            assert_int_equal(p.an, an);
            assert_int_equal(p.ar, ar);
            *(p.options.len > 0 ? &with : &without) += 1;
        }
    assert_true(with > 0 && without > 0);
    bytes_free(reply);
    bed_close(b);
}

/* What the client must get has its room before any record: whatever the limit, it is there and the answer is whole. */
static void what_is_asked_for_is_there(void **state)
{
    struct bed bed, *b = &bed;
    struct bytes reply = { 0 }, option;
    struct asked q = { "a.", TYPE_MX, 4096, false, { EDNS_OPTION_COOKIE, EDNS_OPTION_NSID }, 2, bytes_of("12345678", 8) };
    size_t least = DNS_HEADER_LEN + 7 + 11 + 28 + 10;                    /* question, OPT, the two options */
    unsigned cut = 0, whole = 0;
    (void)state;
    open_bed(b, "site-1");
    for (size_t max = least; max < least + 120; max++) {
        struct packet p = ask(b, &q, ANSWER_UDP, max, &reply);
        assert_true(reply.len <= max);
        assert_true(option_of(p.options, EDNS_OPTION_COOKIE, &option) && option_of(p.options, EDNS_OPTION_NSID, &option));
        *((p.flags & DNS_TC) != 0 ? &cut : &whole) += 1;
    }
    assert_true(cut > 0 && whole > 0);
    struct packet p = ask(b, &q, ANSWER_UDP, least - 1, &reply);         /* a transport below 512 bytes: OPT without them */
    assert_true(p.has_opt && p.options.len == 0);
    bytes_free(reply);
    bed_close(b);
}

/* EDE: why there is no answer, only with EDNS, only where it fits. */
static void explanations(void **state)
{
    static struct answer_counters counts;
    struct answer_options o = { .counts = &counts };
    struct answer_from from = { .proto = ANSWER_UDP, .max = ANSWER_UDP_MAX };
    struct asked q = { "w.a.", TYPE_A, 1232, false, { 0 }, 0, { 0 } };
    struct bytes query = write_query(&q), plain = heap_from_hex("1234 0000 0001 0000 0000 0000 0177 0161 00 0001 0001");
    struct answerer *a;
    struct packet p;
    uint8_t out[512];
    (void)state;
    assert_int_equal(answerer_open(&a, NULL, &o), OK);
    size_t len = answer(a, query, &from, out, sizeof out);
    assert_null(packet_walk(query, bytes_of(out, len), &p));
    assert_int_equal(p.rcode, RCODE_SERVFAIL);
    expect(p.options, EDNS_OPTION_EDE, "000e");                          /* not ready */
    for (size_t cap = query.len; cap < query.len + 6; cap++) {           /* no room for it */
        len = answer(a, query, &from, out, cap);
        assert_int_equal(len, query.len);
    }
    assert_int_equal(answer(a, query, &from, out, query.len + 6), query.len + 6);
    assert_int_equal(answer(a, plain, &from, out, sizeof out), plain.len);
    answerer_close(a);
    bytes_free(query);
    bytes_free(plain);
}

/* A stored value that does not read: SERVFAIL, and the client is told that it is not its fault. */
static void broken_data(void **state)
{
    struct bed bed, *b = &bed;
    struct bytes reply = { 0 };
    struct asked q = { "w.a.", TYPE_A, 1232, false, { EDNS_OPTION_ZONEVERSION }, 1, { 0 } };
    uint8_t buf[RRKEY_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    struct name name;
    (void)state;
    open_bed(b, NULL);
    bed_name("w.a.", &name);
    assert_int_equal(rrkey_write(name_bytes(&name), RRSLOT_ADDRESS, &w), OK);
    struct op op = { OP_PUT, bytes_of_text("dns"), wr_done(&w), bytes_of_text("?") };
    bed_apply(b, &op, 1);
    struct packet p = ask(b, &q, ANSWER_UDP, 0, &reply);
    assert_int_equal(p.rcode, RCODE_SERVFAIL);
    assert_int_equal(p.options.len, 6);                                  /* no version of what is broken */
    expect(p.options, EDNS_OPTION_EDE, "0000");
    assert_true(answer_said(b->answerer).kind == ANSWER_ERROR);
    assert_true(stat_get(&b->counts.broken) > 0);
    bytes_free(reply);
    bed_close(b);
}

static void cookies(void **state)
{
    struct bed bed, *b = &bed;
    struct bytes reply = { 0 }, option;
    uint8_t mine[COOKIE_LEN];
    (void)state;
    open_bed(b, NULL);
    struct asked q = { "w.a.", TYPE_A, 1232, false, { EDNS_OPTION_COOKIE }, 1, bytes_of("12345678", 8) };
    struct packet p = ask(b, &q, ANSWER_UDP, 0, &reply);
    assert_false(answer_said(b->answerer).known);
    assert_true(option_of(p.options, EDNS_OPTION_COOKIE, &option));
    assert_int_equal(option.len, COOKIE_LEN);
    assert_memory_equal(option.ptr, "12345678", 8);
    memcpy(mine, option.ptr, sizeof mine);
    q.cookie = bytes_of(mine, sizeof mine);
    p = ask(b, &q, ANSWER_UDP, 0, &reply);
    assert_true(answer_said(b->answerer).known);
    q.name = "other.";                                                   /* known, whatever is asked */
    p = ask(b, &q, ANSWER_UDP, 0, &reply);
    assert_int_equal(p.rcode, RCODE_REFUSED);
    assert_true(answer_said(b->answerer).known && answer_said(b->answerer).kind == ANSWER_ERROR);
    b->from.client = (struct bytes){ 0 };                                /* a transport that knows no address */
    p = ask(b, &q, ANSWER_UDP, 0, &reply);
    assert_false(option_of(p.options, EDNS_OPTION_COOKIE, &option));
    assert_false(answer_said(b->answerer).known);
    b->from.client = bytes_of(client4, 4);
    b->cookies.n = 0;                                                    /* off */
    p = ask(b, &q, ANSWER_UDP, 0, &reply);
    assert_false(option_of(p.options, EDNS_OPTION_COOKIE, &option));
    bytes_free(reply);
    bed_close(b);
}

/* What a rate limit answers. */
static void limited(void **state)
{
    struct bed bed, *b = &bed;
    struct bytes reply = { 0 }, option;
    struct packet p;
    uint8_t out[512];
    (void)state;
    open_bed(b, "site-1");
    struct asked q = { "w.a.", TYPE_A, 1232, true, { EDNS_OPTION_NSID, EDNS_OPTION_COOKIE }, 1, bytes_of("12345678", 8) };
    struct answer_from from = b->from;
    from.max = ANSWER_UDP_MAX;
    struct bytes query = write_query(&q);
    size_t len = answer_limited(b->answerer, query, &from, out, sizeof out);
    assert_null(packet_walk(query, bytes_of(out, len), &p));             /* no cookie: come over TCP */
    assert_true(p.rcode == RCODE_NOERROR && (p.flags & DNS_TC) != 0 && p.an + p.ns + p.ar == 0 && p.options.len == 0);
    assert_int_equal(p.edns_flags, EDNS_DO);
    bytes_free(query);
    q.n = 2;
    query = write_query(&q);
    len = answer_limited(b->answerer, query, &from, out, sizeof out);
    assert_null(packet_walk(query, bytes_of(out, len), &p));             /* a client cookie: come again with ours */
    assert_true(p.rcode == RCODE_BADCOOKIE && (p.flags & DNS_TC) == 0 && p.an + p.ns + p.ar == 0);
    assert_true(option_of(p.options, EDNS_OPTION_COOKIE, &option) && option.len == COOKIE_LEN);
    assert_int_equal(stat_get(&b->counts.responses[RCODE_BADCOOKIE]), 1);        /* nothing else tells who looks on of it */
    uint8_t mine[COOKIE_LEN];
    memcpy(mine, option.ptr, sizeof mine);
    bytes_free(query);
    q.cookie = bytes_of(mine, sizeof mine);
    query = write_query(&q);
    len = answer_limited(b->answerer, query, &from, out, sizeof out);
    assert_null(packet_walk(query, bytes_of(out, len), &p));             /* ours: known, should nevertheless be slowed down */
    assert_true(p.rcode == RCODE_NOERROR && (p.flags & DNS_TC) != 0);
    bytes_free(query);
    static const char *const nothing[] = { "1234 8000 0001 0000 0000 0000 00 0001 0001", "1234 0000 0002 0000 0000 0000 00 0001 0001",
                                           "1234 2000 0001 0000 0000 0000 00 0001 0001", "12" };
    for (size_t i = 0; i < ROWS(nothing); i++) {
        query = heap_from_hex(nothing[i]);
        assert_int_equal(answer_limited(b->answerer, query, &from, out, sizeof out), 0);
        bytes_free(query);
    }
    bytes_free(reply);
    bed_close(b);
}

/* What a limit of equal answers goes by. */
static void said(void **state)
{
    static const struct { const char *why, *name; uint16_t type; enum answer_kind kind; const char *want; } rows[] = {
        { "an answer",                      "w.a.",       TYPE_A,   ANSWER_POSITIVE, "w.a." },
        { "no data",                        "w.a.",       TYPE_MX,  ANSWER_NODATA,   "w.a." },
        { "no such name: the zone",         "x.y.no.a.",  TYPE_A,   ANSWER_NXDOMAIN, "a." },
        { "the same below an existing name", "x.w.a.",     TYPE_A,   ANSWER_NXDOMAIN, "a." },
        { "a wildcard: its encloser",       "x.y.s.a.",   TYPE_TXT, ANSWER_POSITIVE, "s.a." },
        { "a wildcard without the type",    "x.y.s.a.",   TYPE_A,   ANSWER_NODATA,   "s.a." },
        { "a referral: the cut",            "x.y.cut.a.", TYPE_A,   ANSWER_REFERRAL, "cut.a." },
        { "a DNAME: its owner",             "x.y.d.a.",   TYPE_A,   ANSWER_POSITIVE, "d.a." },
        { "an alias, wherever it leads",    "al.a.",      TYPE_MX,  ANSWER_POSITIVE, "al.a." },
        { "not ours",                       "other.",     TYPE_A,   ANSWER_ERROR,    NULL },
        { "not answered",                   "a.",         TYPE_AXFR, ANSWER_ERROR,   NULL },
    };
    struct bed bed, *b = &bed;
    (void)state;
    bed_open(b, NULL, NULL);
    bed_load(b, "a.", "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nw A 192.0.2.2\nal CNAME no\n*.s TXT \"s\"\n"
                      "cut NS ns\nd DNAME w\n");
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct asked q = { rows[i].name, rows[i].type, 1232, false, { 0 }, 0, { 0 } };
        struct bytes query = write_query(&q), reply = bed_send(b, query, false, 0);
        struct answer_said got = answer_said(b->answerer);
        struct name want = { 0 };
        if (rows[i].want != NULL)
            bed_name(rows[i].want, &want);
        if (got.kind != rows[i].kind || !bytes_equal(got.name, name_bytes(&want)) || got.known)
            fail_msg("%s: kind %d, name of %zu bytes", rows[i].why, got.kind, got.name.len);
        bytes_free(query);
        bytes_free(reply);
    }
    bed_close(b);
}

/* TSIG and the longest names: the answer holds its TSIG where it fits, and is whole where it does not. */
static void tsig_that_does_not_fit(void **state)
{
    struct bed bed, *b = &bed;
    unsigned with = 0, without = 0;
    (void)state;
    open_bed(b, NULL);
    for (unsigned labels = 1; labels <= 60; labels++) {
        uint8_t buf[1024];
        struct wr w = wr_over(buf, sizeof buf);
        struct packet p;
        for (unsigned i = 0; i < 6; i++)
            wr_u16(&w, i == 0 ? 0x1234 : i == 2 || i == 5);
        for (unsigned round = 0; round < 3; round++) {                  /* question, key, algorithm */
            if (round == 2) {
                wr_u16(&w, TYPE_TSIG);
                wr_u16(&w, CLASS_ANY);
                wr_u32(&w, 0);
                wr_u16(&w, (uint16_t)(4 * labels + 1 + 16));
            }
            for (unsigned i = 0; i < labels; i++)
                wr_u32(&w, 0x03616263);
            wr_u8(&w, 0);
            if (round == 0)
                wr_u32(&w, TYPE_A << 16 | CLASS_IN);
        }
        for (unsigned i = 0; i < 4; i++)
            wr_u32(&w, 0);                                               /* time, fudge, no MAC, id, error, no other data */
        struct bytes query = heap_copy(buf, w.len), reply = bed_send(b, query, false, 0);
        assert_null(packet_walk(query, reply, &p));
        assert_int_equal(p.rcode, RCODE_NOTAUTH);
        assert_true(reply.len <= 512);
        *(p.has_tsig ? &with : &without) += 1;
        bytes_free(query);
        bytes_free(reply);
    }
    assert_true(with > 0 && without > 0);
    bed_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents), cmocka_unit_test(versions), cmocka_unit_test(padding),
        cmocka_unit_test(nothing_optional_costs_a_record), cmocka_unit_test(what_is_asked_for_is_there),
        cmocka_unit_test(explanations), cmocka_unit_test(broken_data),
        cmocka_unit_test(cookies),
        cmocka_unit_test(limited), cmocka_unit_test(said), cmocka_unit_test(tsig_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
