/* Transfers rule by rule (RFC 5936, RFC 1995, RFC 8945 section 5.3): a stream of messages, the verdict, and what then is there. */
#include "tests/unit/xfr_stream.h"

#include "builder/serial.h"

#include <inttypes.h>

#define NOW 1700000000u

/* --- streams from text ----------------------------------------------------------------------------------------------- */
/* Messages, by '|': "[FLAG ...] RECORD; RECORD ...". RECORD: "SOA n", "SOA n OTHER-MNAME" or "OWNER TYPE RDATA", "OWNER TTL TYPE RDATA",
 * "OWNER CH TYPE RDATA". FLAG: see set_flag. */
struct flags {
    bool id, query, opcode, tc, no_aa, no_question, two_questions, other_name, other_class, trail, cut, authority, opt, opt_rcode;
    bool unpacked, skip, forge, late, other_key, tsig_first;
    unsigned rcode, qtype, tsig_error;
};
struct bench {
    struct name apex;
    uint16_t qtype;
    const struct tsig_key *key;         /* the primary's; NULL: it does not sign */
    struct tsig_chain *chain, *alone;
    struct xfr_message m;
    unsigned sent;
};

static void set_flag(struct flags *f, const char *word)
{
    const struct { const char *name; bool *flag; } flags[] = {
        { "id", &f->id }, { "query", &f->query }, { "opcode", &f->opcode }, { "tc", &f->tc }, { "no-aa", &f->no_aa },
        { "no-question", &f->no_question }, { "two-questions", &f->two_questions }, { "other-name", &f->other_name },
        { "other-class", &f->other_class }, { "trail", &f->trail }, { "cut", &f->cut }, { "authority", &f->authority },
        { "opt", &f->opt }, { "opt-rcode", &f->opt_rcode }, { "unpacked", &f->unpacked }, { "skip", &f->skip }, { "forge", &f->forge },
        { "late", &f->late }, { "other-key", &f->other_key }, { "tsig-first", &f->tsig_first },
    };
    for (size_t i = 0; i < ROWS(flags); i++) {
        if (strcmp(flags[i].name, word) == 0) {
            *flags[i].flag = true;
            return;
        }
    }
    if (sscanf(word, "rcode=%u", &f->rcode) != 1 && sscanf(word, "qtype=%u", &f->qtype) != 1
        && sscanf(word, "tsig=%u", &f->tsig_error) != 1)
        fail_msg("no such flag: %s", word);
}

static struct bytes soa_rdata(const struct name *apex, const char *mname, uint32_t serial)
{
    static uint8_t buf[600];
    char text[200];
    struct fault fault = { "" };
    struct wr w = wr_over(buf, sizeof buf);
    (void)snprintf(text, sizeof text, "%s hostmaster %" PRIu32 " 7200 900 1209600 300", mname, serial);
    if (rdata_from_text(TYPE_SOA, bytes_of_text(text), name_bytes(apex), &w, &fault) != OK)
        fail_msg("%s: %s", text, fault.text);
    return wr_done(&w);
}

static void put_record(struct bench *b, const char *text)
{
    static uint8_t buf[65535];
    char owner[80], second[24], type[24], rdata[300] = "", mname[32] = "ns1";
    unsigned ttl = 300, class = CLASS_IN, serial;
    struct fault fault = { "" };
    if (sscanf(text, " SOA %u %31s", &serial, mname) >= 1) {
        xfr_put(&b->m, name_bytes(&b->apex), TYPE_SOA, CLASS_IN, 300, soa_rdata(&b->apex, mname, serial));
        return;
    }
    if (sscanf(text, " %79s %23s", owner, second) != 2)
        fail_msg("not a record: '%s'", text);
    bool more = strcmp(second, "CH") == 0 || sscanf(second, "%u", &ttl) == 1;
    class = strcmp(second, "CH") == 0 ? CLASS_CH : CLASS_IN;
    if (sscanf(text, more ? " %*s %*s %23s %299[^\n]" : " %*s %23s %299[^\n]", type, rdata) < 1)
        fail_msg("not a record: '%s'", text);
    struct name name = xfr_name(owner, name_bytes(&b->apex));
    struct wr w = wr_over(buf, sizeof buf);
    uint16_t number = 0;
    if (sscanf(type, "TYPE%hu", &number) != 1)
        assert_int_equal(rrtype_from_text(bytes_of_text(type), &number), OK);
    if (strncmp(rdata, "hex", 3) == 0) {
        struct bytes raw = heap_from_hex(rdata + 3);
        wr_bytes(&w, raw);
        bytes_free(raw);
        xfr_put_name(&b->m, name_bytes(&name));             /* as it is, pointers and all */
        wr_u16(&b->m.w, number);
        wr_u16(&b->m.w, (uint16_t)class);
        wr_u32(&b->m.w, ttl);
        wr_u16(&b->m.w, (uint16_t)w.len);
        wr_bytes(&b->m.w, wr_done(&w));
        wr_patch_u16(&b->m.w, 6, (uint16_t)++b->m.answers);
        return;
    }
    if (rdata_from_text(number, bytes_of_text(rdata), name_bytes(&b->apex), &w, &fault) != OK)
        fail_msg("%s: %s", text, fault.text);
    xfr_put(&b->m, name_bytes(&name), number, (uint16_t)class, ttl, wr_done(&w));
}

static void patch_flags(struct bench *b, const struct flags *f)
{
    unsigned flags = (f->query ? 0u : DNS_QR) | (f->opcode ? OPCODE_NOTIFY << DNS_OPCODE_SHIFT : 0u) | (f->no_aa ? 0u : DNS_AA)
        | (f->tc ? DNS_TC : 0u) | f->rcode;
    wr_patch_u16(&b->m.w, 2, (uint16_t)flags);
    if (f->id)
        wr_patch_u16(&b->m.w, 0, XFR_ID + 1);
    if (f->two_questions)
        wr_patch_u16(&b->m.w, 4, 2);
    if (f->other_class)
        wr_patch_u16(&b->m.w, DNS_HEADER_LEN + b->apex.len + 2u, CLASS_CH);
}

static void put_rest(struct bench *b, const struct flags *f)
{
    unsigned additional = 0;
    if (f->authority) {
        unsigned answers = b->m.answers;
        put_record(b, "@ NS elsewhere.example.org.");
        wr_patch_u16(&b->m.w, 6, (uint16_t)(b->m.answers = answers));
        wr_patch_u16(&b->m.w, 8, 1);
    }
    if (f->opt || f->opt_rcode) {
        static const uint8_t opt[] = { 0, 0, TYPE_OPT, 4, 208, 0, 0, 0, 0, 0, 0 };
        wr_put(&b->m.w, opt, sizeof opt);
        b->m.w.buf[b->m.w.len - 6] = f->opt_rcode;
        wr_patch_u16(&b->m.w, 10, (uint16_t)++additional);
    }
}

/* Other TSIGs than the right one. */
static void put_tsig_error(struct bench *b, const struct flags *f)
{
    static const uint8_t signed_at[8] = { 0, 0, 0x65, 0x53, 0xf1, 0, 1, 44 };
    struct tsig t = { .key = b->key->name, .algorithm = tsig_hash_name(b->key->hash), .signed_at = bytes_of(signed_at, 8),
                      .original_id = XFR_ID };
    tsig_write_unsigned(&b->m.w, &t, (uint16_t)f->tsig_error);
    wr_patch_u16(&b->m.w, 10, (uint16_t)(b->m.w.buf[11] + 1));
}

static void sign(struct bench *b, const struct flags *f)
{
    struct tsig_key other = { .name = xfr_name("other.", (struct bytes){ 0 }), .hash = TSIG_SHA256, .secret = bytes_of("x", 1) };
    if (f->skip) {
        assert_int_equal(tsig_skip(b->chain, wr_done(&b->m.w)), OK);
    } else if (f->tsig_error != 0 && f->tsig_error != TSIG_BADTIME) {
        put_tsig_error(b, f);
    } else if (f->other_key) {
        struct tsig_chain *c;
        assert_int_equal(tsig_open(&c, &other), OK);
        assert_int_equal(tsig_sign(c, &b->m.w, NOW, 0, NULL), OK);
        tsig_close(c);
    } else if (b->chain != NULL) {
        static const uint8_t at[8] = { 0, 0, 0x65, 0x53, 0xed, 0x18, 1, 44 };       /* NOW - 1000 and 300 */
        struct rd r = rd_over(bytes_of(at, 8));
        struct tsig asked = { .time_s = rd_be(&r, 6), .fudge_s = 300 };
        assert_int_equal(tsig_sign(b->chain, &b->m.w, f->late ? NOW - 1000 : f->tsig_error != 0 ? NOW + 1000 : NOW,
                                   (uint16_t)f->tsig_error, f->tsig_error != 0 ? &asked : NULL), OK);
        b->m.w.buf[b->m.w.len - 20] ^= f->forge;
    }
}

/* The next message of *text; moves behind it. */
static struct bytes next_message(struct bench *b, const char **text)
{
    struct flags f = { 0 };
    char one[2000], *at = one, *save = NULL;
    size_t len = strcspn(*text, "|");
    assert_true(len < sizeof one);
    (void)snprintf(one, sizeof one, "%.*s", (int)len, *text);
    *text += len + ((*text)[len] == '|');
    while (*at == ' ')
        at++;
    if (*at == '[') {
        char *end = strchr(at, ']');
        *end = '\0';
        for (char *w = strtok_r(at + 1, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
            set_flag(&f, w);
        at = end + 1;
    }
    struct name other = xfr_name("other.example.com.", (struct bytes){ 0 });
    uint16_t qtype = f.no_question ? 0 : f.qtype != 0 ? (uint16_t)f.qtype : b->qtype;
    xfr_start(&b->m, 0, f.other_name ? name_bytes(&other) : name_bytes(&b->apex), qtype, !f.unpacked);
    for (char *r = strtok_r(at, ";", &save); r != NULL; r = strtok_r(NULL, ";", &save))
        if (strspn(r, " ") != strlen(r))
            put_record(b, r);
    put_rest(b, &f);
    patch_flags(b, &f);
    sign(b, &f);
    if (f.tsig_first) {
        static const uint8_t opt[] = { 0, 0, TYPE_OPT, 4, 208, 0, 0, 0, 0, 0, 0 };
        wr_put(&b->m.w, opt, sizeof opt);
        wr_patch_u16(&b->m.w, 10, 2);
    }
    if (f.trail)
        wr_u8(&b->m.w, 0);
    b->m.w.len -= f.cut;
    b->sent++;
    return wr_done(&b->m.w);
}

/* --- rows ------------------------------------------------------------------------------------------------------------------ */
/* how: A AXFR, I IXFR, S SOA; u over UDP; k signed by both; q only our question is signed; n we have no data. have: our serial. want: what
 * the verdict came with: "whole SERIAL RECORDS", "FROM>TO -GONE +COME ...", or a part of the reason. */
struct row { const char *why, *how; uint32_t have; const char *stream; enum xfrin_verdict verdict; const char *want; };
#include "tests/unit/xfrin_rows.h"

static char *describe(struct xfrin *x, char *buf, size_t cap)
{
    size_t n, len = 0;
    const struct xfrin_step *s = xfrin_steps(x, &n);
    if (xfrin_is_whole(x)) {
        (void)snprintf(buf, cap, "whole %" PRIu32 " %zu", xfrin_serial(x), xfrin_zone(x)->n);
        return buf;
    }
    (void)snprintf(buf, cap, "serial %" PRIu32, xfrin_serial(x));
    for (size_t i = 0; i < n; i++) {
        uint32_t soa = 0;
        assert_int_equal(soa_serial(s[i].soa, &soa), OK);
        assert_int_equal(soa, s[i].to);
        assert_int_equal(s[i].gone + s[i].gone_n, s[i].come);
        assert_int_equal(s[i].soa_ttl, 300);
        len += (size_t)snprintf(buf + len, cap - len, "%s%" PRIu32 ">%" PRIu32 " -%zu +%zu", i > 0 ? " " : "", s[i].from, s[i].to,
                                s[i].gone_n, s[i].come_n);
    }
    return buf;
}

static struct tsig_key key_of(void)
{
    return (struct tsig_key){ .name = xfr_name("transfer.example.com.", (struct bytes){ 0 }), .hash = TSIG_SHA256,
                              .secret = bytes_of_text("0123456789abcdef0123456789abcdef") };
}

static void run_row(const struct row *row)
{
    static struct bench b;
    struct tsig_key key = key_of();
    struct xfrin *x;
    struct fault fault = { "" };
    char buf[2000];
    b = (struct bench){ .apex = xfr_name("example.com.", (struct bytes){ 0 }), .key = &key };
    bool ours = strpbrk(row->how, "kq") != NULL;
    struct xfrin_ask ask = { .apex = b.apex, .kind = row->how[0] == 'A' ? XFRIN_AXFR : row->how[0] == 'I' ? XFRIN_IXFR : XFRIN_SOA,
                             .udp = strchr(row->how, 'u') != NULL, .have = strchr(row->how, 'n') == NULL,
                             .soa = soa_rdata(&b.apex, "ns1", row->have), .key = ours ? &key : NULL,
                             .limits = { .bytes = 4000, .records = 20, .messages = 120 } };
    b.qtype = ask.kind == XFRIN_AXFR ? TYPE_AXFR : ask.kind == XFRIN_IXFR ? TYPE_IXFR : TYPE_SOA;
    if (xfrin_begin(&x, &ask, XFR_ID, NOW) != OK)
        fail_msg("%s: does not begin", row->why);
    if (strchr(row->how, 'k') != NULL)
        b.chain = xfr_server(&key, xfrin_query(x), NOW);
    enum xfrin_verdict v = XFRIN_MORE;
    const char *text = row->stream;
    while (v == XFRIN_MORE && *text != '\0')
        v = xfr_give(x, next_message(&b, &text), NOW, &fault);
    if (v != row->verdict || *text != '\0')
        fail_msg("%s: verdict %d, wanted %d behind %u messages%s: %s", row->why, v, row->verdict, b.sent, *text != '\0' ? " (too early)" : "",
                 fault.text);
    if (v == XFRIN_DONE || v == XFRIN_CURRENT) {
        if (strcmp(describe(x, buf, sizeof buf), row->want) != 0)
            fail_msg("%s: got '%s'", row->why, buf);
        assert_true(xfrin_messages(x) == b.sent || ask.udp);
    } else if (strstr(fault.text, row->want) == NULL) {
        fail_msg("%s: the reason is '%s'", row->why, fault.text);
    }
    if (v == XFRIN_MORE)
        assert_true(xfrin_closed(x, &fault) != XFRIN_MORE);                     /* which one: ends_early */
    else
        assert_int_equal(xfrin_take(x, bytes_of("", 0), NOW, &fault), XFRIN_FAILED);
    tsig_close(b.chain);
    xfrin_end(x);
}

static void streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        run_row(&rows[i]);
}

/* --- what no row says ------------------------------------------------------------------------------------------------------ */
/* A stream of two messages, or one, of which every byte is cut off in turn: never DONE, never a fault without words. */
static void every_prefix(void **state)
{
    static struct bench b;
    struct fault fault;
    struct xfrin *x;
    (void)state;
    b = (struct bench){ .apex = xfr_name("example.com.", (struct bytes){ 0 }), .qtype = TYPE_IXFR };
    struct bytes soa = soa_rdata(&b.apex, "ns1", 1), ours = heap_copy(soa.ptr, soa.len);
    struct xfrin_ask ask = { .apex = b.apex, .kind = XFRIN_IXFR, .have = true, .soa = ours };
    const char *text = "[authority opt] SOA 2; SOA 1; www A 192.0.2.1; @ MX 10 mail; SOA 2; www A 192.0.2.2; @ MX 20 mail; SOA 2";
    struct bytes whole = next_message(&b, &text);
    for (size_t len = 0; len <= whole.len; len++) {
        fault.text[0] = '\0';
        assert_int_equal(xfrin_begin(&x, &ask, XFR_ID, NOW), OK);
        enum xfrin_verdict v = xfr_give(x, bytes_of(whole.ptr, len), NOW, &fault);
        assert_int_equal(v == XFRIN_DONE, len == whole.len);
        assert_true(v == XFRIN_DONE || v == XFRIN_TRY_AXFR || v == XFRIN_FAILED);
        assert_true(v == XFRIN_DONE || fault.text[0] != '\0');
        xfrin_end(x);
    }
    bytes_free(ours);
}

/* What goes to the primary, byte by byte. */
static void questions(void **state)
{
    static const struct { const char *why; enum xfrin_kind kind; bool udp; const char *hex; } asked[] = {
        { "SOA, without EDNS", XFRIN_SOA, true, "4711 0000 0001 0000 0000 0000 016100 0006 0001" },
        { "AXFR", XFRIN_AXFR, false, "4711 0000 0001 0000 0000 0000 016100 00fc 0001" },
        { "IXFR has our SOA in the authority section", XFRIN_IXFR, false, "4711 0000 0001 0000 0001 0000 016100 00fb 0001"
          "c00c 0006 0001 00000000 0016 00 00 00000007 00000001 00000002 00000003 00000004" },
        { "over UDP it says how much fits", XFRIN_IXFR, true, "4711 0000 0001 0000 0001 0001 016100 00fb 0001"
          "c00c 0006 0001 00000000 0016 00 00 00000007 00000001 00000002 00000003 00000004 00 0029 04d0 00000000 0000" },
    };
    struct bytes soa = heap_from_hex("00 00 00000007 00000001 00000002 00000003 00000004");
    (void)state;
    for (size_t i = 0; i < ROWS(asked); i++) {
        struct xfrin_ask ask = { .apex = xfr_name("A.", (struct bytes){ 0 }), .kind = asked[i].kind, .udp = asked[i].udp, .have = true, .soa = soa };
        struct bytes want = heap_from_hex(asked[i].hex);
        struct xfrin *x;
        assert_int_equal(xfrin_begin(&x, &ask, 0x4711, NOW), OK);
        if (!bytes_equal(xfrin_query(x), want))
            fail_msg("%s: another question", asked[i].why);
        bytes_free(want);
        xfrin_end(x);
    }
    bytes_free(soa);
}

static void beginnings(void **state)
{
    struct name longest = xfr_name("example.", (struct bytes){ 0 }), more;
    struct tsig_key key = key_of();
    struct xfrin *x = NULL;
    (void)state;
    while (name_join(bytes_of("\7" "aaaaaaa", 8), name_bytes(&longest), &more) == OK)
        longest = more;
    uint8_t soa[2 * NAME_MAX_LEN + 20] = { 0 };
    struct wr w = wr_over(soa, sizeof soa);
    wr_bytes(&w, name_bytes(&longest));
    wr_bytes(&w, name_bytes(&longest));
    struct xfrin_ask ask = { .apex = longest, .kind = XFRIN_IXFR, .udp = true };
    assert_int_equal(xfrin_begin(&x, &ask, 1, NOW), ERR_BAD);                   /* differences to what? */
    ask.have = true;
    assert_int_equal(xfrin_begin(&x, &ask, 1, NOW), ERR_BAD);                   /* no SOA */
    ask.soa = bytes_of(soa, w.len + 20);
    key.name = longest;
    key.hash = TSIG_SHA512;
    ask.key = &key;
    assert_int_equal(xfrin_begin(&x, &ask, 1, NOW), OK);                        /* the longest question fits */
    xfrin_end(x);
    key.secret.len = 0;
    assert_int_equal(xfrin_begin(&x, &ask, 1, NOW), ERR_BAD);
    xfrin_end(NULL);
}

/* Messages for ever: ended by each limit alone. */
static void limits(void **state)
{
    static const struct { const char *why; struct xfrin_limits l; const char *want; } ends[] = {
        { "records", { .records = 5000 }, "more than 5000 records" },
        { "messages", { .messages = 300 }, "more than 300 messages" },
        { "bytes", { .bytes = 20000 }, "more than 20000 bytes" },
    };
    static struct bench b;
    (void)state;
    for (size_t i = 0; i < ROWS(ends); i++) {
        struct fault fault = { "" };
        struct xfrin *x;
        b = (struct bench){ .apex = xfr_name("example.com.", (struct bytes){ 0 }), .qtype = TYPE_AXFR };
        struct xfrin_ask ask = { .apex = b.apex, .kind = XFRIN_AXFR, .limits = ends[i].l };
        assert_int_equal(xfrin_begin(&x, &ask, XFR_ID, NOW), OK);
        enum xfrin_verdict v = XFRIN_MORE;
        for (unsigned n = 0; v == XFRIN_MORE && n < 6000; n++) {
            const char *text = n == 0 ? "SOA 1" : "x A 192.0.2.1; y A 192.0.2.2";
            v = xfr_give(x, next_message(&b, &text), NOW, &fault);
        }
        if (v != XFRIN_FAILED || strcmp(fault.text, ends[i].want) != 0)
            fail_msg("%s: %d, '%s'", ends[i].why, v, fault.text);
        xfrin_end(x);
    }
}

/* What a stream that ends says of the next question. */
static void ends_early(void **state)
{
    static const struct { const char *why, *stream; enum xfrin_kind kind; enum xfrin_verdict want; } rows_of[] = {
        { "nothing at all", "", XFRIN_IXFR, XFRIN_FAILED },
        { "a later SOA and nothing else: that is all there will ever be", "SOA 5", XFRIN_IXFR, XFRIN_TRY_AXFR },
        { "in the middle of a step", "SOA 5; SOA 4; x A 192.0.2.1", XFRIN_IXFR, XFRIN_FAILED },
        { "in the middle of all", "SOA 5; @ NS ns1", XFRIN_IXFR, XFRIN_FAILED },
        { "behind the SOA of all", "SOA 5", XFRIN_AXFR, XFRIN_FAILED },
    };
    static struct bench b;
    (void)state;
    for (size_t i = 0; i < ROWS(rows_of); i++) {
        uint8_t soa[22] = { 0 };
        struct fault fault = { "" };
        struct xfrin *x;
        const char *text = rows_of[i].stream;
        b = (struct bench){ .apex = xfr_name("example.com.", (struct bytes){ 0 }), .qtype = rows_of[i].kind == XFRIN_IXFR ? TYPE_IXFR : TYPE_AXFR };
        assert_int_equal(soa_serial_put(soa, sizeof soa, 4), OK);
        struct xfrin_ask ask = { .apex = b.apex, .kind = rows_of[i].kind, .have = true, .soa = bytes_of(soa, sizeof soa) };
        assert_int_equal(xfrin_begin(&x, &ask, XFR_ID, NOW), OK);
        if (*text != '\0')
            assert_int_equal(xfr_give(x, next_message(&b, &text), NOW, &fault), XFRIN_MORE);
        enum xfrin_verdict v = xfrin_closed(x, &fault);
        if (v != rows_of[i].want || xfrin_closed(x, &fault) != v)
            fail_msg("%s: %d, '%s'", rows_of[i].why, v, fault.text);
        xfrin_end(x);
    }
}

/* Differences are applied in the writing thread: from so many records on all of the zone is the better way. An answer with all of it has no such bound. */
static void limit_of_steps(void **state)
{
    static const struct { const char *why, *stream; unsigned most; enum xfrin_verdict want; } rows_of[] = {
        { "as many as may be: SOAs count", "SOA 5; SOA 4; x A 192.0.2.1; SOA 5; x A 192.0.2.2; SOA 5", 6, XFRIN_DONE },
        { "one more", "SOA 5; SOA 4; x A 192.0.2.1; SOA 5; x A 192.0.2.2; SOA 5", 5, XFRIN_TRY_AXFR },
        { "steps without records, for ever", "SOA 9; SOA 4; SOA 5; SOA 5; SOA 6; SOA 6; SOA 7; SOA 7; SOA 8; SOA 8; SOA 9; SOA 9", 9, XFRIN_TRY_AXFR },
        { "all of the zone", "SOA 5; @ NS ns1; ns1 A 192.0.2.1; x A 192.0.2.1; y A 192.0.2.1; SOA 5", 3, XFRIN_DONE },
    };
    static struct bench b;
    (void)state;
    for (size_t i = 0; i < ROWS(rows_of); i++) {
        uint8_t soa[22] = { 0 };
        struct fault fault = { "" };
        struct xfrin *x;
        const char *text = rows_of[i].stream;
        b = (struct bench){ .apex = xfr_name("example.com.", (struct bytes){ 0 }), .qtype = TYPE_IXFR };
        assert_int_equal(soa_serial_put(soa, sizeof soa, 4), OK);
        struct xfrin_ask ask = { .apex = b.apex, .kind = XFRIN_IXFR, .have = true, .soa = bytes_of(soa, sizeof soa), .limits.steps = rows_of[i].most };
        assert_int_equal(xfrin_begin(&x, &ask, XFR_ID, NOW), OK);
        enum xfrin_verdict v = xfr_give(x, next_message(&b, &text), NOW, &fault);
        if (v != rows_of[i].want)
            fail_msg("%s: %d, '%s'", rows_of[i].why, v, fault.text);
        xfrin_end(x);
    }
}

/* Small messages that unpack to much: two bytes of a pointer are a name of 255. */
static void unpacked_bytes_count(void **state)
{
    struct name longest = xfr_name("example.com.", (struct bytes){ 0 }), more;
    static struct xfr_message m;
    struct fault fault = { "" };
    struct xfrin *x;
    (void)state;
    struct xfrin_ask ask = { .apex = longest, .kind = XFRIN_AXFR, .limits = { .bytes = 200000 } };
    while (name_join(bytes_of("\7" "aaaaaaa", 8), name_bytes(&longest), &more) == OK)
        longest = more;
    assert_int_equal(xfrin_begin(&x, &ask, XFR_ID, NOW), OK);
    enum xfrin_verdict v = XFRIN_MORE;
    while (v == XFRIN_MORE && xfrin_bytes(x) < 150000) {
        struct bytes rdata = heap_copy(longest.wire, longest.len);
        xfr_start(&m, DNS_QR, name_bytes(&ask.apex), TYPE_AXFR, true);
        if (xfrin_messages(x) == 0)
            xfr_put(&m, name_bytes(&ask.apex), TYPE_SOA, CLASS_IN, 1, soa_rdata(&ask.apex, "ns1", 1));
        for (unsigned i = 0; i < 1000; i++)
            xfr_put(&m, name_bytes(&longest), TYPE_NS, CLASS_IN, 1, rdata);
        bytes_free(rdata);
        v = xfr_give(x, wr_done(&m.w), NOW, &fault);
    }
    assert_int_equal(v, XFRIN_FAILED);
    assert_string_equal(fault.text, "more than 200000 bytes");
    xfrin_end(x);
}

/* Any number of signed and unsigned messages, up to what the RFC allows in a row. */
static void gaps(void **state)
{
    static struct bench b;
    struct tsig_key key = key_of();
    (void)state;
    for (unsigned gap = 98; gap <= 100; gap++) {
        struct fault fault = { "" };
        struct xfrin *x;
        b = (struct bench){ .apex = xfr_name("example.com.", (struct bytes){ 0 }), .qtype = TYPE_AXFR, .key = &key };
        struct xfrin_ask ask = { .apex = b.apex, .kind = XFRIN_AXFR, .key = &key };
        assert_int_equal(xfrin_begin(&x, &ask, XFR_ID, NOW), OK);
        struct tsig_chain *chain = xfr_server(&key, xfrin_query(x), NOW);
        enum xfrin_verdict v = XFRIN_MORE;
        for (unsigned n = 0; v == XFRIN_MORE && n <= gap + 1; n++) {
            const char *text = n == 0 ? "SOA 1" : n <= gap ? "[no-question] a A 192.0.2.1" : "[no-question] SOA 1";
            bool signs = n == 0 || n > gap;
            b.chain = signs ? chain : NULL;
            struct bytes msg = next_message(&b, &text);
            if (!signs && n <= TSIG_UNSIGNED_MAX)
                assert_int_equal(tsig_skip(chain, msg), OK);
            v = xfr_give(x, msg, NOW, &fault);
        }
        assert_int_equal(v, gap <= TSIG_UNSIGNED_MAX ? XFRIN_DONE : XFRIN_FAILED);
        tsig_close(chain);
        xfrin_end(x);
    }
}

/* --- what real primaries sent ---------------------------------------------------------------------------------------------- */
/* Recorded from Knot 3.2, BIND 9.18 (one record per message) and NSD 4.6: one byte says what was asked (kind, 4 over UDP, 16 signed), then
 * the time, our serial, and the messages, each behind its length. The same zone from all three. */
static const struct { const char *file; enum xfrin_verdict verdict; const char *want; } recorded_rows[] = {
    { "knot-axfr-tsig", XFRIN_DONE, "whole 3 23" },
    { "bind-axfr-tsig", XFRIN_DONE, "whole 3 23" },
    { "nsd-axfr-tsig", XFRIN_DONE, "whole 3 23" },
    { "nsd-ixfr-udp", XFRIN_DONE, "whole 3 23" },
    { "knot-ixfr-tsig", XFRIN_DONE, "1>2 -1 +1 2>3 -2 +2" },
    { "bind-ixfr-tsig", XFRIN_DONE, "1>2 -1 +1 2>3 -2 +2" },
    { "bind-ixfr-udp", XFRIN_TRY_TCP, "does not fit" },
    { "knot-ixfr-current", XFRIN_CURRENT, "serial 3" },
};

static struct bytes recorded_read(const char *name, uint8_t *buf, size_t cap)
{
    char path[300];
    const char *src = getenv("srcdir");
    (void)snprintf(path, sizeof path, "%s/tests/golden/transfers/%s", src != NULL ? src : ".", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("cannot open %s", path);
    size_t n = fread(buf, 1, cap, f);
    (void)fclose(f);
    return bytes_of(buf, n);
}

static void recorded_one(size_t i, struct xfr_set *all)
{
    static uint8_t buf[65536];
    uint8_t soa[22] = { 0 };
    struct rd r = rd_over(recorded_read(recorded_rows[i].file, buf, sizeof buf));
    uint8_t how = rd_u8(&r);
    uint64_t now_s = rd_u64(&r);
    char text[200];
    struct fault fault = { "" };
    struct tsig_key key = key_of();
    struct xfrin *x;
    assert_int_equal(soa_serial_put(soa, sizeof soa, rd_u32(&r)), OK);
    struct xfrin_ask ask = { .apex = xfr_name("example.com.", (struct bytes){ 0 }), .kind = (enum xfrin_kind)(how & 3), .udp = (how & 4) != 0,
                             .have = (how & 3) == XFRIN_IXFR, .soa = bytes_of(soa, sizeof soa), .key = (how & 16) != 0 ? &key : NULL };
    assert_int_equal(xfrin_begin(&x, &ask, XFR_ID, now_s), OK);
    enum xfrin_verdict v = XFRIN_MORE;
    while (v == XFRIN_MORE && rd_left(&r) > 0)
        v = xfr_give(x, rd_take(&r, rd_u16(&r)), now_s, &fault);
    if (v != recorded_rows[i].verdict || !rd_done(&r))
        fail_msg("%s: %d, %s", recorded_rows[i].file, v, fault.text);
    const char *got = v == XFRIN_TRY_TCP ? fault.text : describe(x, text, sizeof text);
    if (strstr(got, recorded_rows[i].want) == NULL)
        fail_msg("%s: %s", recorded_rows[i].file, got);
    for (size_t k = 0; v == XFRIN_DONE && xfrin_is_whole(x) && k < xfrin_zone(x)->n; k++)
        xfr_set_add(all, &xfrin_records(x)[k]);
    xfrin_end(x);
}

static void recorded(void **state)
{
    struct xfr_set first = { 0 };
    (void)state;
    for (size_t i = 0; i < ROWS(recorded_rows); i++) {
        struct xfr_set all = { 0 };
        recorded_one(i, &all);
        for (size_t k = 0; k < all.n; k++)          /* Knot sends names in data in lower case */
            name_lower((uint8_t *)(uintptr_t)all.v[k].ptr, all.v[k].len);
        xfr_set_sort(&all);
        if (i == 0) {
            first = all;
            continue;
        }
        if (all.n > 0 && !xfr_set_equal(&first, &all))
            fail_msg("%s has other records than %s", recorded_rows[i].file, recorded_rows[0].file);
        xfr_set_release(&all);
    }
    xfr_set_release(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions),
        cmocka_unit_test(beginnings),
        cmocka_unit_test(streams),
        cmocka_unit_test(every_prefix),
        cmocka_unit_test(limits),
        cmocka_unit_test(limit_of_steps),
        cmocka_unit_test(ends_early),
        cmocka_unit_test(unpacked_bytes_count),
        cmocka_unit_test(gaps),
        cmocka_unit_test(recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
