/* Queries as clients send them, and as nobody should. */
#include "tests/util.h"

#include "wire/query.h"
#include "wire/rrtype.h"
#include "wire/tcp.h"

#define HEAD(flags, qd, an, ns, ar) "1234 " flags " " qd " " an " " ns " " ar " "
#define ONE HEAD("0100", "0001", "0000", "0000", "0000")
#define WITH(ar) HEAD("0100", "0001", "0000", "0000", ar)
#define QUESTION "01 61 02 4262 00 0001 0001 "              /* a.Bb. A IN */
#define OPT(size, version, flags) "00 0029 " size " 00 " version " " flags " 0000 "
#define OPT_WITH(len, options) "00 0029 04d0 00 00 0000 " len " " options
#define TSIG "01 6b 00 00fa 00ff 00000000 0000 "
#define A_RR "c00c 0001 0001 00000000 0004 01020304 "

static const struct { const char *why, *hex; enum query_verdict want; } rows[] = {
    { "nothing",                                "",                                                     QUERY_DROP },
    { "11 bytes",                               "1234 0100 0001 0000 0000 00",                          QUERY_DROP },
    { "a response",                             HEAD("8100", "0001", "0000", "0000", "0000") QUESTION,  QUERY_DROP },
    { "a response of another opcode",           HEAD("a800", "0000", "0000", "0000", "0000"),           QUERY_DROP },
    { "a plain question",                       ONE QUESTION,                                           QUERY_ANSWER },
    { "bytes behind the message",               ONE QUESTION "ffff",                                    QUERY_ANSWER },
    { "all flags that a query may carry",       HEAD("07ff", "0001", "0000", "0000", "0000") QUESTION,  QUERY_ANSWER },
    { "header only",                            ONE,                                                    QUERY_FORMERR },
    { "no question",                            HEAD("0100", "0000", "0000", "0000", "0000"),           QUERY_FORMERR },
    { "two questions",                          HEAD("0100", "0002", "0000", "0000", "0000") QUESTION QUESTION, QUERY_FORMERR },
    { "question without its class",             ONE "01 61 00 0001 00",                                 QUERY_FORMERR },
    { "question whose name is cut off",         ONE "05 6161",                                          QUERY_FORMERR },
    { "a pointer in the question",              ONE "01 61 c00c 0001 0001",                             QUERY_FORMERR },
    { "a label type of no meaning",             ONE "41 61 00 0001 0001",                               QUERY_FORMERR },
    { "opcode STATUS, with a question",         HEAD("1000", "0001", "0000", "0000", "0000") QUESTION,  QUERY_NOTIMP },
    { "opcode 15, nothing else",                HEAD("7800", "0000", "0000", "0000", "0000"),           QUERY_NOTIMP },
    { "opcode UPDATE, counts of anything",      HEAD("2800", "ffff", "ffff", "ffff", "ffff"),           QUERY_NOTIMP },
    { "opcode NOTIFY, broken question",         HEAD("2000", "0001", "0000", "0000", "0000") "41",      QUERY_NOTIMP },
    { "an answer record that is not there",     HEAD("0100", "0001", "0001", "0000", "0000") QUESTION,  QUERY_FORMERR },
    { "additional count above what is there",   WITH("0002") QUESTION OPT("04d0", "00", "0000"),        QUERY_FORMERR },
    { "a record in the authority section",      HEAD("0100", "0001", "0000", "0001", "0000") QUESTION A_RR, QUERY_ANSWER },
    { "EDNS",                                   WITH("0001") QUESTION OPT("04d0", "00", "0000"),        QUERY_ANSWER },
    { "EDNS behind another record",             WITH("0002") QUESTION A_RR OPT("04d0", "00", "0000"),   QUERY_ANSWER },
    { "two OPT",                                WITH("0002") QUESTION OPT("04d0", "00", "0000") OPT("04d0", "00", "0000"), QUERY_FORMERR },
    { "OPT with an owner",                      WITH("0001") QUESTION "01 61 " OPT("04d0", "00", "0000"), QUERY_FORMERR },
    { "OPT whose owner is a pointer to root",   WITH("0001") QUESTION "c011 0029 04d0 00 00 0000 0000", QUERY_FORMERR },
    { "OPT in the answer section",              HEAD("0100", "0001", "0001", "0000", "0000") QUESTION OPT("04d0", "00", "0000"), QUERY_FORMERR },
    { "OPT cut off",                            WITH("0001") QUESTION "00 0029 04d0 00 00 00",          QUERY_FORMERR },
    { "an option",                              WITH("0001") QUESTION OPT_WITH("0004", "0003 0000"),    QUERY_ANSWER },
    { "an option over the end of OPT",          WITH("0001") QUESTION OPT_WITH("0005", "0003 0002 61 62"), QUERY_FORMERR },
    { "an option cut inside its head",          WITH("0001") QUESTION OPT_WITH("0003", "0003 00"),      QUERY_FORMERR },
    { "opcode STATUS with EDNS version 1",      HEAD("1000", "0001", "0000", "0000", "0001") QUESTION OPT("04d0", "01", "0000"), QUERY_BADVERS },
    { "a cookie of 9 bytes",                    WITH("0001") QUESTION OPT_WITH("000d", "000a 0009 010203040506070809"), QUERY_FORMERR },
    { "two cookies, the second of 9 bytes",     WITH("0001") QUESTION OPT_WITH("0019", "000a 0008 0102030405060708 000a 0009 010203040506070809"),
                                                QUERY_ANSWER },
    { "ZONEVERSION",                            WITH("0001") QUESTION OPT_WITH("0004", "0013 0000"),    QUERY_ANSWER },
    { "ZONEVERSION with contents",              WITH("0001") QUESTION OPT_WITH("0005", "0013 0001 00"), QUERY_FORMERR },
    { "EDNS version 1",                         WITH("0001") QUESTION OPT("04d0", "01", "0000"),        QUERY_BADVERS },
    { "EDNS version 1, options of its own",     WITH("0001") QUESTION "00 0029 04d0 00 01 0000 0001 ff", QUERY_BADVERS },
    { "TSIG as the last record",                WITH("0002") QUESTION OPT("04d0", "00", "0000") TSIG,   QUERY_ANSWER },
    { "TSIG before the last record",            WITH("0002") QUESTION TSIG OPT("04d0", "00", "0000"),   QUERY_FORMERR },
    { "TSIG in the authority section",          HEAD("0100", "0001", "0000", "0001", "0000") QUESTION TSIG, QUERY_FORMERR },
    { "no question, a client cookie",           HEAD("0000", "0000", "0000", "0000", "0001") OPT_WITH("000c", "000a 0008 0102030405060708"), QUERY_EMPTY },
    { "no question, both cookies",              HEAD("0000", "0000", "0000", "0000", "0001")
                                                OPT_WITH("0014", "000a 0010 0102030405060708 0102030405060708"), QUERY_EMPTY },
    { "no question, a cookie of 9 bytes",       HEAD("0000", "0000", "0000", "0000", "0001") OPT_WITH("000d", "000a 0009 010203040506070809"), QUERY_FORMERR },
    { "no question, no cookie",                 HEAD("0000", "0000", "0000", "0000", "0001") OPT("04d0", "00", "0000"), QUERY_FORMERR },
};

static void verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex);
        struct query q;
        enum query_verdict got = query_read(in, &q);
        if (got != rows[i].want)
            fail_msg("%s: verdict %d, want %d", rows[i].why, got, rows[i].want);
        if (got != QUERY_DROP)
            assert_int_equal(q.id, 0x1234);
        assert_true(q.udp_size >= DNS_UDP_MIN);
        bytes_free(in);
    }
}

/* A query that is cut anywhere is no query. */
static void prefixes(void **state)
{
    (void)state;
    struct bytes whole = heap_from_hex(WITH("0002") QUESTION OPT_WITH("0004", "0003 0000") TSIG);
    struct query q;
    for (size_t len = 0; len < whole.len; len++) {
        struct bytes part = heap_copy(whole.ptr, len);
        assert_int_equal(query_read(part, &q), len < 12 ? QUERY_DROP : QUERY_FORMERR);
        bytes_free(part);
    }
    assert_int_equal(query_read(whole, &q), QUERY_ANSWER);
    bytes_free(whole);
}

static void fields(void **state)
{
    (void)state;
    struct bytes in = heap_from_hex(WITH("0002") QUESTION
                                    "00 0029 0fa0 00 00 8000 0014 0003 0000 000a 0008 0102030405060708 000c 0000" TSIG), option;
    struct query q;
    assert_int_equal(query_read(in, &q), QUERY_ANSWER);
    assert_int_equal(q.flags, DNS_RD);
    assert_int_equal(q.opcode, OPCODE_QUERY);
    assert_true(q.qname.ptr == in.ptr + DNS_HEADER_LEN);
    assert_memory_equal(q.qname.ptr, "\001a\002Bb", 6);     /* the client's case */
    assert_int_equal(q.qname.len, 6);
    assert_int_equal(q.qtype, TYPE_A);
    assert_int_equal(q.qclass, CLASS_IN);
    assert_int_equal(q.question_len, 10);
    assert_true(q.has_edns && q.dnssec_ok && q.has_tsig);
    assert_int_equal(q.udp_size, 4000);
    assert_int_equal(q.edns_version, 0);
    assert_int_equal(q.options.len, 20);
    assert_int_equal(q.tsig_at, in.len - 13);
    assert_true(query_asks(&q, EDNS_OPTION_NSID) && query_asks(&q, EDNS_OPTION_COOKIE) && !query_asks(&q, EDNS_OPTION_KEEPALIVE));
    assert_int_equal(q.cookie.len, 8);
    assert_true(query_option(&q, EDNS_OPTION_COOKIE, &option));
    assert_int_equal(option.len, 8);
    assert_int_equal(option.ptr[0], 1);
    assert_true(query_option(&q, EDNS_OPTION_PADDING, &option));
    assert_int_equal(option.len, 0);
    assert_false(query_option(&q, 8, &option));
    bytes_free(in);
}

static void sizes_and_what_is_kept(void **state)
{
    static const struct { const char *why, *hex; uint16_t udp, question_len; uint8_t opcode; bool edns; } kept[] = {
        { "no EDNS",                          ONE QUESTION, 512, 10, 0, false },
        { "size 0",                           WITH("0001") QUESTION OPT("0000", "00", "0000"), 512, 10, 0, true },
        { "size 511",                         WITH("0001") QUESTION OPT("01ff", "00", "0000"), 512, 10, 0, true },
        { "size 513",                         WITH("0001") QUESTION OPT("0201", "00", "0000"), 513, 10, 0, true },
        { "size 65535",                       WITH("0001") QUESTION OPT("ffff", "00", "0000"), 65535, 10, 0, true },
        { "BADVERS keeps question and OPT",   WITH("0001") QUESTION OPT("0400", "07", "0000"), 1024, 10, 0, true },
        { "NOTIMP keeps opcode and question", HEAD("1000", "0001", "0000", "0000", "0000") QUESTION, 512, 10, 2, false },
        { "NOTIMP without question",          HEAD("3000", "0000", "0000", "0000", "0000"), 512, 0, 6, false },
        { "FORMERR of a good question",       WITH("0001") QUESTION, 512, 10, 0, false },
        { "FORMERR of a broken question",     ONE "41", 512, 0, 0, false },
        { "two OPT: none",                    WITH("0002") QUESTION OPT("0400", "00", "0000") OPT("0500", "00", "0000"), 512, 10, 0, false },
        { "NOTIMP keeps OPT",                 HEAD("1000", "0001", "0000", "0000", "0001") QUESTION OPT("0400", "00", "0000"), 1024, 10, 2, true },
        { "NOTIMP with half an OPT: none",    HEAD("1000", "0001", "0000", "0000", "0001") QUESTION "00 0029 0400", 512, 10, 2, false },
        { "a bad cookie keeps OPT",           WITH("0001") QUESTION OPT_WITH("0005", "000a 0001 00"), 1232, 10, 0, true },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(kept); i++) {
        struct bytes in = heap_from_hex(kept[i].hex);
        struct query q;
        (void)query_read(in, &q);
        if (q.udp_size != kept[i].udp || q.question_len != kept[i].question_len || q.opcode != kept[i].opcode || q.has_edns != kept[i].edns)
            fail_msg("%s: udp %u, question %u, opcode %u, EDNS %d", kept[i].why, q.udp_size, q.question_len, q.opcode, q.has_edns);
        assert_int_equal(q.qname.len, q.question_len > 0 ? q.question_len - 4 : 0);
        bytes_free(in);
    }
}

static void framing(void **state)
{
    static const struct { const char *why, *hex; enum err want; size_t len, need; } frames[] = {
        { "nothing yet",             "",               ERR_SHORT, 0, 2 },
        { "half a length",           "00",             ERR_SHORT, 0, 2 },
        { "a length",                "0003",           ERR_SHORT, 0, 5 },
        { "part of a message",       "0003 6162",      ERR_SHORT, 0, 5 },
        { "a message",               "0003 616263",    OK,        3, 5 },
        { "a message and a half",    "0001 61 0002",   OK,        1, 3 },
        { "the longest still coming", "ffff 61",       ERR_SHORT, 0, 65537 },
        { "length 0",                "0000 61",        ERR_BAD,   0, 99 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(frames); i++) {
        struct bytes in = heap_from_hex(frames[i].hex), msg = { 0 };
        size_t need = 99;
        enum err got = tcp_next(in, &msg, &need);
        if (got != frames[i].want || msg.len != frames[i].len || need != frames[i].need)
            fail_msg("%s: '%s', %zu bytes, need %zu", frames[i].why, err_text(got), msg.len, need);
        bytes_free(in);
    }
    uint8_t prefix[TCP_PREFIX];
    tcp_put_prefix(prefix, 0x1234);
    assert_memory_equal(prefix, "\x12\x34", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts), cmocka_unit_test(prefixes), cmocka_unit_test(fields),
        cmocka_unit_test(sizes_and_what_is_kept), cmocka_unit_test(framing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
