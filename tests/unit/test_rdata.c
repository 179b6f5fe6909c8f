/* RDATA of single records: what our own paths and the path through ldns make of a text, against ldns itself. */
#include <ldns/ldns.h>
#include "builder/rdata.h"
#include "tests/unit/builder_zone.h"

/* Types with the numbers that tests/ and ldns agree on; text as in a zone file, names absolute. */
static const struct { const char *type, *text; } rows[] = {
    { "A", "192.0.2.255" }, { "AAAA", "2001:db8::1" }, { "AAAA", "::ffff:192.0.2.1" }, { "NS", "Ns1.Example.COM." }, { "NS", "." },
    { "CNAME", "a\\.b.c." }, { "PTR", "x.y.z." }, { "DNAME", "x." }, { "MX", "0 ." }, { "MX", "65535 mail.example." },
    { "SRV", "1 2 65535 Target.example." }, { "SOA", "a. b\\.c.d. 4294967295 1 2 3 4" }, { "TXT", "\"a b\" \"\" c" },
    { "TXT", "\"\\000\\255\\\"\"" }, { "SPF", "\"v=spf1 -all\"" }, { "MB", "a." }, { "MG", "a." }, { "MR", "a." }, { "MINFO", "a. b." },
    { "HINFO", "\"PC\" \"Linux x\"" }, { "RP", "a. b." }, { "AFSDB", "1 a." }, { "X25", "\"31105\"" }, { "ISDN", "\"1\" \"2\"" },
    { "RT", "10 a." }, { "PX", "10 a. b." }, { "GPOS", "\"-32.6\" \"116.8\" \"10.0\"" }, { "LOC", "42 21 54.000 N 71 06 18.000 W -24m 30m" },
    { "NAPTR", "100 50 \"s\" \"http+I2L\" \"\" _http._tcp.gov." }, { "KX", "1 a." }, { "CERT", "1 2 8 AQIDBA==" },
    { "DS", "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118" }, { "SSHFP", "2 1 123456789abcdef67890123456789abcdef67890" },
    { "IPSECKEY", "10 1 2 192.0.2.38 AQNRU3mG" }, { "DNSKEY", "256 3 5 AQPSKmynfzW4kyBv015MUG2D" },
    { "RRSIG", "A 5 3 86400 20300322173103 20200220173103 2642 example.com. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip" },
    { "NSEC", "host.example.com. A MX RRSIG NSEC TYPE1234" }, { "NSEC3", "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX NS" },
    { "NSEC3PARAM", "1 0 12 aabbccdd" }, { "TLSA", "3 1 1 d2abde240d7cd3ee6b4b28c54df034b9" }, { "CDS", "1 8 2 abcd" },
    { "CDNSKEY", "257 3 8 AQAB" }, { "OPENPGPKEY", "AQIDBA==" }, { "CSYNC", "66 3 A NS AAAA" }, { "URI", "10 1 \"ftp://ftp.example/x\"" },
    { "CAA", "0 issue \"ca.example.net; policy=ev\"" }, { "EUI48", "00-00-5e-00-53-2a" }, { "EUI64", "00-00-5e-ef-10-00-00-2a" },
    { "NID", "10 0014:4fff:ff20:ee64" }, { "L32", "10 10.1.2.0" }, { "L64", "10 2001:0DB8:1140:1000" }, { "LP", "10 l64.example." },
    { "SVCB", "1 foo.example. alpn=h2 port=53" }, { "HTTPS", "0 svc.example." }, { "ZONEMD", "2018031500 1 1 abcdef" },
    { "DHCID", "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=" }, { "APL", "1:192.168.32.0/21 !1:192.168.38.0/28" },
    { "NSAP", "0x47000580" }, { "SMIMEA", "3 0 1 abcd" }, { "KEY", "256 3 5 AQPSKmyn" }, { "DLV", "1 8 2 abcd" },
};

static ldns_rr *by_ldns(const char *type, const char *text)
{
    char line[1000];
    ldns_rr *rr = NULL;
    snprintf(line, sizeof line, "o.example. 5 IN %s %s", type, text);
    if (ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL) != LDNS_STATUS_OK)
        fail_msg("%s", line);
    return rr;
}

static void same_as_ldns(void **state)
{
    (void)state;
    static const uint8_t root[1] = { 0 };
    for (size_t i = 0; i < ROWS(rows); i++) {
        ldns_rr *rr = by_ldns(rows[i].type, rows[i].text);
        uint16_t type = (uint16_t)ldns_rr_get_type(rr);
        ldns_buffer *want = ldns_buffer_new(512);
        uint8_t got[2000];
        struct wr w = wr_over(got, sizeof got);
        struct fault fault = { .text = "" };
        struct bytes text = heap_copy(rows[i].text, strlen(rows[i].text));
        assert_int_equal(ldns_rr_rdata2buffer_wire(want, rr), LDNS_STATUS_OK);
        if (rdata_from_text(type, text, bytes_of(root, 1), &w, &fault) != OK)
            fail_msg("%s %s: %s", rows[i].type, rows[i].text, fault.text);
        if (!bytes_equal(wr_done(&w), bytes_of(ldns_buffer_begin(want), ldns_buffer_position(want))))
            fail_msg("%s %s: ldns makes other bytes of it", rows[i].type, rows[i].text);
        bytes_free(text);
        ldns_buffer_free(want);
        ldns_rr_free(rr);
    }
}

/* To text and back; as \# LENGTH HEX too; each proper prefix of the bytes is either refused or other RDATA of that type. */
static void there_and_back(void **state)
{
    (void)state;
    static const uint8_t root[1] = { 0 };
    static char line[300000];
    for (size_t i = 0; i < ROWS(rows); i++) {
        ldns_rr *rr = by_ldns(rows[i].type, rows[i].text);
        uint16_t type = (uint16_t)ldns_rr_get_type(rr);
        uint8_t first[2000], again[2000], owner[] = { 1, 'o', 0 };
        char generic[5000];
        struct wr w = wr_over(first, sizeof first), v = wr_over(again, sizeof again), g = wr_over(again, sizeof again);
        struct fault fault = { .text = "" };
        ldns_rr_free(rr);
        assert_int_equal(rdata_from_text(type, bytes_of_text(rows[i].text), bytes_of(root, 1), &w, &fault), OK);
        struct zone_rr out = { bytes_of(owner, sizeof owner), wr_done(&w), 5, type, 0 };
        assert_int_equal(rr_to_text(&out, line, sizeof line, &fault), OK);
        const char *rdata = strchr(strchr(strchr(strchr(line, '\t') + 1, '\t') + 1, '\t') + 1, '\t') + 1;
        if (rdata_from_text(type, bytes_of_text(rdata), bytes_of(root, 1), &v, &fault) != OK || !bytes_equal(wr_done(&v), wr_done(&w)))
            fail_msg("%s: '%s' reads as something else: %s", rows[i].type, rdata, fault.text);
        int n = snprintf(generic, sizeof generic, "\\# %zu ", w.len);
        for (size_t k = 0; k < w.len; k++)
            n += snprintf(generic + n, sizeof generic - (size_t)n, "%02X", first[k]);
        if (rdata_from_text(type, bytes_of_text(generic), bytes_of(root, 1), &g, &fault) != OK || !bytes_equal(wr_done(&g), wr_done(&w)))
            fail_msg("%s: %s: %s", rows[i].type, generic, fault.text);
        for (size_t k = 0; k < w.len; k++) {
            struct bytes part = heap_copy(first, k);
            enum err err = rdata_check(type, part, NULL);
            if (err != OK && err != ERR_BAD)
                fail_msg("%s cut at %zu: %s", rows[i].type, k, err_text(err));
            bytes_free(part);
        }
    }
}

static void checks_wire(void **state)
{
    (void)state;
    static const struct { const char *why; uint16_t type; const char *hex; enum err want; } wires[] = {
        { "A", TYPE_A, "c0000201", OK }, { "A too short", TYPE_A, "c00002", ERR_BAD }, { "A too long", TYPE_A, "c000020101", ERR_BAD },
        { "A without RDATA", TYPE_A, "", ERR_BAD }, { "MX", TYPE_MX, "000a 0161 00", OK }, { "MX, name cut off", TYPE_MX, "000a 0161", ERR_BAD },
        { "MX, pointer", TYPE_MX, "000a c000", ERR_BAD }, { "TXT", TYPE_TXT, "0161 00", OK }, { "TXT cut off", TYPE_TXT, "0261", ERR_BAD },
        { "AAAA", TYPE_AAAA, "20010db8 00000000 00000000 00000001", OK }, { "AAAA too short", TYPE_AAAA, "20010db8", ERR_BAD },
        { "NS", TYPE_NS, "0161 00", OK }, { "NS, bytes behind", TYPE_NS, "0161 00 00", ERR_BAD }, { "NS without RDATA", TYPE_NS, "", ERR_BAD },
        { "SRV", TYPE_SRV, "000100020003 0161 00", OK }, { "SRV without a name", TYPE_SRV, "000100020003", ERR_BAD },
        { "TXT without a string", TYPE_TXT, "", ERR_BAD }, { "SOA", TYPE_SOA, "0000 00000001 00000002 00000003 00000004 00000005", OK },
        { "RRSIG", TYPE_RRSIG, "0001 08 02 0000012c 70000000 60000000 0001 00 ab", OK }, { "RRSIG without a signer", TYPE_RRSIG, "0001 08 02 0000012c 70000000 60000000 0001", ERR_BAD },
        { "SOA without numbers", TYPE_SOA, "0000", ERR_BAD }, { "unknown type", 65280, "0102", OK }, { "unknown type, empty", 65280, "", OK },
    };
    for (size_t i = 0; i < ROWS(wires); i++) {
        struct bytes in = heap_from_hex(wires[i].hex);
        enum err got = rdata_check(wires[i].type, in, NULL);
        if (got != wires[i].want)
            fail_msg("%s: %s", wires[i].why, err_text(got));
        bytes_free(in);
    }
}

static void compares_names_without_case(void **state)
{
    (void)state;
    static const struct { const char *why; uint16_t type; const char *a, *b; bool same; } pairs[] = {
        { "NS", TYPE_NS, "024141 00", "026161 00", true }, { "NS, other name", TYPE_NS, "024142 00", "026161 00", false },
        { "MX preference is no letter", TYPE_MX, "0041 016100", "0061 016100", false }, { "MX", TYPE_MX, "0041 014100", "0041 016100", true },
        { "TXT keeps case", TYPE_TXT, "0141", "0161", false }, { "SRV", TYPE_SRV, "000100020003 014100", "000100020003 016100", true },
        { "NAPTR", TYPE_NAPTR, "00010002 0141 00 00 014100", "00010002 0141 00 00 016100", true },
        { "NAPTR's strings", TYPE_NAPTR, "00010002 0141 00 00 00", "00010002 0161 00 00 00", false },
        { "SOA", TYPE_SOA, "014100 014200 0000000100000002000000030000000400000005",
          "016100 016200 0000000100000002000000030000000400000005", true },
        { "SOA's numbers", TYPE_SOA, "014100 014200 0000004100000002000000030000000400000005",
          "014100 014200 0000006100000002000000030000000400000005", false },
        { "unknown type", 65280, "41", "61", false },
    };
    for (size_t i = 0; i < ROWS(pairs); i++) {
        struct bytes a = heap_from_hex(pairs[i].a), b = heap_from_hex(pairs[i].b);
        if (rdata_same(pairs[i].type, a, b) != pairs[i].same || rdata_same(pairs[i].type, b, a) != pairs[i].same)
            fail_msg("%s", pairs[i].why);
        bytes_free(a);
        bytes_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_ldns), cmocka_unit_test(there_and_back), cmocka_unit_test(checks_wire),
        cmocka_unit_test(compares_names_without_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
