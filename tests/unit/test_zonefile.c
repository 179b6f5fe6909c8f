#include "tests/unit/builder_zone.h"

#include <sys/stat.h>

#define SOA "@ 60 SOA a b 1 2 3 4 5\n"
#define SOA_OUT "example. 60 IN SOA a.example. b.example. 1 2 3 4 5\n"
#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

/* --- what is accepted, and as what ------------------------------------------------------------------------------------ */
static const struct { const char *why, *text, *want; } good[] = {
    { "plain", SOA "www 5 IN A 192.0.2.1\n", SOA_OUT "www.example. 5 IN A 192.0.2.1\n" },
    { "no newline at the end", "www 5 A 192.0.2.1", "www.example. 5 IN A 192.0.2.1\n" },
    { "CRLF", "www 5 A 192.0.2.1\r\n\r\nw2 5 A 192.0.2.2\r\n", "www.example. 5 IN A 192.0.2.1\nw2.example. 5 IN A 192.0.2.2\n" },
    { "class before TTL", "www IN 5 A 192.0.2.1\n", "www.example. 5 IN A 192.0.2.1\n" },
    { "CLASS1 and lower case", "WWW class1 5 a 192.0.2.1\n", "www.example. 5 IN A 192.0.2.1\n" },
    { "inherited owner", "www 5 A 192.0.2.1\n\tAAAA ::1\n  ; nothing\n 7 TXT x\n",
      "www.example. 5 IN A 192.0.2.1\nwww.example. 5 IN AAAA ::1\nwww.example. 7 IN TXT \"x\"\n" },
    { "units of time", "w 1W2D3H4M5S TXT x\n", "w.example. 788645 IN TXT \"x\"\n" },
    { "TTL over 2^31-1 is 0", "w 2147483648 TXT x\nv 2147483647 TXT x\n", "w.example. 0 IN TXT \"x\"\nv.example. 2147483647 IN TXT \"x\"\n" },
    { "$TTL beats the TTL before", "a 9 TXT x\n$TTL 1h\nb TXT x\nc 7 TXT x\nd TXT x\n",
      "a.example. 9 IN TXT \"x\"\nb.example. 3600 IN TXT \"x\"\nc.example. 7 IN TXT \"x\"\nd.example. 3600 IN TXT \"x\"\n" },
    { "TTL before, when there is no $TTL", "a 9 TXT x\nb TXT x\n", "a.example. 9 IN TXT \"x\"\nb.example. 9 IN TXT \"x\"\n" },
    { "SOA's minimum, when there is no TTL", "@ SOA a b 1 2 3 4 77\nb TXT x\n",
      "example. 77 IN SOA a.example. b.example. 1 2 3 4 77\nb.example. 77 IN TXT \"x\"\n" },
    { "no TTL at all", "b TXT x\n", "b.example. 3600 IN TXT \"x\"\n" },
    { "parentheses", "@ 1 SOA a b ( 1 ; serial\n 2\n3 4\n5 )\nx( 5 A 192.0.2.1 )\n(y 5\nA 192.0.2.2)\n",
      "example. 1 IN SOA a.example. b.example. 1 2 3 4 5\nx.example. 5 IN A 192.0.2.1\ny.example. 5 IN A 192.0.2.2\n" },
    { "nested parentheses", "a ( 5 ( TXT ) x )\n", "a.example. 5 IN TXT \"x\"\n" },
    { "strings", "a 5 TXT \"a b\" c\\\"d \"\\101;(\" \"quo\"\"te\" \"\"\n",
      "a.example. 5 IN TXT \"a b\" \"c\\\"d\" \"e;(\" \"quo\" \"te\" \"\"\n" },
    { "string over lines inside parentheses", "a 5 TXT ( \"x\ny\" )\n", "a.example. 5 IN TXT \"x\\010y\"\n" },
    { "escapes in names", "a\\.b\\046c\\;d 5 TXT x\n", "a\\.b\\.c\\;d.example. 5 IN TXT \"x\"\n" },
    { "bytes over 127", "\xc3\xa4 5 TXT \xc3\xa4\n", "\\195\\164.example. 5 IN TXT \"\\195\\164\"\n" },
    { "wildcard and root", "* 5 MX 0 .\n", "*.example. 5 IN MX 0 .\n" },
    { "RDATA keeps its case", "a 5 NS Ns.Example.COM.\n", "a.example. 5 IN NS Ns.Example.COM.\n" },
    { "relative and absolute $ORIGIN", "$ORIGIN sub\na 5 NS @\n$ORIGIN b.example.\n@ 5 NS c\n$origin .\nd.example 5 NS d\n",
      "a.sub.example. 5 IN NS sub.example.\nb.example. 5 IN NS c.b.example.\nd.example. 5 IN NS d.\n" },
    { "same words, other origin", "a 5 TXT x\n$ORIGIN sub\na 5 TXT y\n", "a.example. 5 IN TXT \"x\"\na.sub.example. 5 IN TXT \"y\"\n" },
    { "unknown type", "a 5 TYPE65280 \\# 3 ab CD ( ef )\n", "a.example. 5 IN TYPE65280 \\# 3 abcdef\n" },
    { "unknown type, empty", "a 5 TYPE65280 \\# 0\n", "a.example. 5 IN TYPE65280 \\# 0\n" },
    { "known type as unknown", "a 5 TYPE1 \\# 4 C0000201\na 5 MX \\# 3 000a00\n", "a.example. 5 IN A 192.0.2.1\na.example. 5 IN MX 10 .\n" },
    { "string that looks like \\#", "a 5 HINFO \"\\#\" \"\\# 1\"\n", "a.example. 5 IN HINFO \"#\" \"# 1\"\n" },
    { "SVCB parameters", "a 5 SVCB 1 . alpn=\"h2,h3\" port=53\nb 5 HTTPS 1 svc key65333=\"a b\\\"c\"\n",
      "a.example. 5 IN SVCB 1 . alpn=h2,h3 port=53\nb.example. 5 IN HTTPS 1 svc.example. key65333=\"a b\\\"c\"\n" },
    { "relative names inside of ldns' types", "a 5 NAPTR 1 2 \"u;\" \"\" \"\" x\na 5 IPSECKEY 10 3 2 gw AQ==\na 5 RP m t\n",
      "a.example. 5 IN NAPTR 1 2 \"u;\" \"\" \"\" x.example.\na.example. 5 IN IPSECKEY 10 3 2 gw.example. AQ==\n"
      "a.example. 5 IN RP m.example. t.example.\n" },
    { "DNSSEC types", "a 5 DS 1 8 2 ( ab cd\nef01 )\na 5 NSEC x A TYPE1234 MX\na 5 NSEC3PARAM 1 0 5 abcd\n",
      "a.example. 5 IN DS 1 8 2 abcdef01\na.example. 5 IN NSEC x.example. A MX TYPE1234\na.example. 5 IN NSEC3PARAM 1 0 5 abcd\n" },
    { "longest label and string of 255", L63 " 5 TXT x\n", L63 ".example. 5 IN TXT \"x\"\n" },
    { "$GENERATE", "$GENERATE 1-3/2 h$ 5 A 192.0.2.$\n", "h1.example. 5 IN A 192.0.2.1\nh3.example. 5 IN A 192.0.2.3\n" },
    { "$GENERATE with forms", "$GENERATE 9-10 ${1,3,x} 5 CNAME g-${-9,2,o}-\\$-$$.ex.\n",
      "00a.example. 5 IN CNAME g-00-$-$.ex.\n00b.example. 5 IN CNAME g-01-$-$.ex.\n" },
    { "$GENERATE of several words", "$GENERATE 1-1 m 5 MX \"$ x$\"\n$GENERATE 2-2 t 5 TXT \"a $\" b$\n",
      "m.example. 5 IN MX 1 x1.example.\nt.example. 5 IN TXT \"a 2\" \"b2\"\n" },
    { "$GENERATE of nibbles", "$GENERATE 16-17 ${0,3,n} 5 PTR x$\n", "0.1.example. 5 IN PTR x16.example.\n1.1.example. 5 IN PTR x17.example.\n" },
    { "$GENERATE with quotes in its quotes", "$GENERATE 1-1 n 5 NAPTR \"1 1 \\\"u\\\" \\\"x$\\\" \\\"\\\" .\"\n",
      "n.example. 5 IN NAPTR 1 1 \"u\" \"x1\" \"\" .\n" },
    { "$GENERATE leaves the owner to inherit", "a 5 TXT x\n$GENERATE 1-1 h$ 5 A 192.0.2.$\n 5 TXT y\n",
      "a.example. 5 IN TXT \"x\"\nh1.example. 5 IN A 192.0.2.1\na.example. 5 IN TXT \"y\"\n" },
    { "LOC from the shortest to the longest", "a 5 LOC 51 N 0 W 0\na 5 LOC 90 N 180 E -100000m\n"
      "a 5 LOC 51 30 12.748 N 0 7 39.611 W 0.00m 0.00m 20.00m 300.00m\na 5 LOC 0 S 0 59 59.999 e 42849672.95m 90000000m\n",
      "a.example. 5 IN LOC 51 00 0.000 N 00 00 0.000 W 0m 1m 10000m 10m\na.example. 5 IN LOC 90 00 0.000 N 180 00 0.000 E -100000m 1m 10000m 10m\n"
      "a.example. 5 IN LOC 51 30 12.748 N 00 07 39.611 W 0m 0.00m 20m 300m\na.example. 5 IN LOC 00 00 0.000 S 00 59 59.999 E 42849672.95m 90000000m 10000m 10m\n" },
    { "values that may be empty", "a 5 CAA 0 issue \"\"\na 5 URI 10 1 \"\"\na 5 CSYNC \\# 6 000000010003\na 5 CSYNC 1 3\n",
      "a.example. 5 IN TYPE257 \\# 7 00056973737565\na.example. 5 IN TYPE256 \\# 4 000a0001\na.example. 5 IN CSYNC 1 3\na.example. 5 IN CSYNC 1 3\n" },
    { "names that begin with an escaped @ are no origin", "a 5 RP \\@.x \\@\nb 5 HTTPS 0 \\@.\nc 5 SVCB 1 @\n",
      "a.example. 5 IN RP @.x.example. @.example.\nb.example. 5 IN HTTPS 0 @.\nc.example. 5 IN SVCB 1 example.\n" },
    { "NSAP with dots, NSAP-PTR is a name", "a 5 NSAP 0x47.0005.80\na 5 NSAP-PTR b\n",
      "a.example. 5 IN NSAP 0x47000580\na.example. 5 IN TYPE23 \\# 11 0162076578616d706c6500\n" },
    { "texts of types that ldns does not know", "a 5 NINFO x\na 5 RESINFO qnamemin \"a b\"\n",
      "a.example. 5 IN TYPE56 \\# 2 0178\na.example. 5 IN TYPE261 \\# 13 08716e616d656d696e03612062\n" },
    { "SVCB with all that is known", "a 5 SVCB 1 . mandatory=alpn,port alpn=h2 no-default-alpn port=65535 ipv4hint=192.0.2.1 ipv6hint=::1 dohpath=/q{?dns}\n",
      "a.example. 5 IN SVCB 1 . mandatory=alpn,port alpn=h2 no-default-alpn port=65535 ipv4hint=192.0.2.1 ipv6hint=::1 dohpath=/q{?dns}\n" },
    { "comment right behind a word", "a 5 TXT x;y\n", "a.example. 5 IN TXT \"x\"\n" },
    { "only comments", "; a\n\n   \n(;\n)\n", "" },
};

static void accepts(void **state)
{
    (void)state;
    struct name apex = name_of("Example.");
    struct complaints *c = calloc(1, sizeof *c);
    for (size_t i = 0; i < ROWS(good); i++) {
        struct bytes in = heap_copy(good[i].text, strlen(good[i].text));
        struct lines got = { 0 };
        struct fault fault = { .text = "" };
        struct zone z;
        zone_init(&z, name_bytes(&apex), "test");
        enum err err = zonefile_read_text(in, "test", &z, c, &fault);
        bytes_free(in);                         /* nothing of the text is needed any more */
        if (err != OK)
            fail_msg("%s: %s", good[i].why, fault.text);
        for (size_t k = 0; k < z.n; k++)
            lines_add(&got, &z.rr[k]);
        if (strcmp(got.text == NULL ? "" : got.text, good[i].want) != 0)
            fail_msg("%s: got\n%swant\n%s", good[i].why, got.text == NULL ? "" : got.text, good[i].want);
        free(got.text);
        zone_release(&z);
    }
    free(c);
}

/* --- what is refused, in which line and why --------------------------------------------------------------------------- */
static const struct { const char *why, *text; uint32_t line; const char *says; } bad[] = {
    { "escape over 255", SOA "a\\300 5 A 192.0.2.1\n", 2, "escape" },
    { "escape cut off by the line end", "a 5 TXT x\\\n", 1, "escape" },
    { "escape of two digits", "a 5 TXT \\12\n", 1, "escape" },
    { "label of 64", "\n\n" L63 "x 5 TXT x\n", 3, "63 bytes" },
    { "name over 255", L63 "." L63 "." L63 "." L63 " 5 TXT x\n", 1, "255 bytes" },
    { "empty label", "a..b 5 TXT x\n", 1, "empty label" },
    { "name of dots", "a 5 NS ..\n", 1, "empty label" },
    { "quote not closed", "a 5 TXT \"x\nb 5 TXT y\n", 1, "quote" },
    { "quote not closed at the end", "a 5 TXT \"x", 1, "quote" },
    { "quote not closed inside parentheses", "a 5 TXT ( \"x\n\n", 1, "quote" },
    { "parenthesis not closed", SOA "a 5 TXT ( x\n\n", 2, "parenthesis" },
    { "closing parenthesis alone", "a 5 TXT x )\n", 1, "parenthesis" },
    { "words too many", "a 5 A 192.0.2.1 192.0.2.2\n", 1, "too many words" },
    { "words too many for ldns' types", "a 5 RP m t u\n", 1, "too many words" },
    { "words too few", "a 5 MX 10\n", 1, "too early" },
    { "words too few for ldns' types", "a 5 RP m\n", 1, "too early" },
    { "RDATA missing", "a 5 TXT\n", 1, "too early" },
    { "type missing", "a 5\n", 1, "missing" },
    { "unknown type", "a 5 FOO x\n", 1, "unknown type" },
    { "meta types", "a 5 AXFR x\n", 1, "no zone may hold" },
    { "meta type by number", "a 5 TYPE255 \\# 0\n", 1, "no zone may hold" },
    { "OPT", "a 5 OPT \\# 0\n", 1, "no zone may hold" },
    { "class CH", "a CH 5 TXT x\n", 1, "class IN" },
    { "number too large", "a 5 MX 65536 x\n", 1, "too large" },
    { "number too large in ldns' types", "a 5 KX 65536 x\n", 1, "too large" },
    { "address cut short", "a 5 A 192.0.2\n", 1, "IPv4" },
    { "address with leading zero", "a 5 AAAA 1:2:3:4:5:6:7\n", 1, "IPv6" },
    { "odd hex", "a 5 DS 1 8 2 abc\n", 1, "odd number" },
    { "no hex", "a 5 TYPE65280 \\# 1 xy\n", 1, "hex" },
    { "RFC 3597 length", "a 5 TYPE65280 \\# 2 ab\n", 1, "differ" },
    { "known type as unknown, malformed", "a 5 TYPE1 \\# 3 010203\n", 1, "not RDATA" },
    { "known type as unknown, bytes left", "a 5 MX \\# 4 000a0001\n", 1, "not RDATA" },
    { "unknown type in text", "a 5 TYPE65280 abc\n", 1, "\\#" },
    { "no such type in a bit map", "a 5 NSEC x A NOPE\n", 1, "not a type" },
    { "no owner yet", "  5 A 192.0.2.1\n", 1, "no owner" },
    { "unknown directive", "$FOO x\n", 1, "directive" },
    { "$TTL without a time", "$TTL x\n", 1, "time" },
    { "$TTL with a rest", "$TTL 1h x\n", 1, "too many" },
    { "$ORIGIN without a name", "$ORIGIN ; x\n", 1, "needs a name" },
    { "$INCLUDE in memory", "$INCLUDE x\n", 1, "not possible" },
    { "LOC beyond the pole", "a LOC 91 N 0 E 0m\n", 1, "angle" },
    { "LOC just beyond the pole", "a LOC 90 0 0.001 N 0 E 0m\n", 1, "angle" },
    { "LOC of 60 minutes", "a LOC 51 60 N 0 E 0m\n", 1, "angle" },
    { "LOC of 60 seconds", "a LOC 51 0 60 N 0 E 0m\n", 1, "angle" },
    { "LOC of too many decimals", "a LOC 51 30 12.7481 N 0 E 0m\n", 1, "angle" },
    { "LOC the wrong way round", "a LOC 51 E 0 N 0m\n", 1, "angle" },
    { "LOC without altitude", "a LOC 51 N 0 E\n", 1, "altitude" },
    { "LOC too deep", "a LOC 51 N 0 E -100001m\n", 1, "altitude" },
    { "LOC too high", "a LOC 51 N 0 E 42849672.96m\n", 1, "altitude" },
    { "LOC too large", "a LOC 51 N 0 E 0m 90000001m\n", 1, "size" },
    { "LOC with a word too many", "a LOC 51 N 0 E 0m 1 2 3 4\n", 1, "too many" },
    { "LOC with many words too many", "a LOC 51 30 12.7 N 0 0 0 E 0m 1 2 3 4 5\n", 1, "too many" },
    { "APL prefix", "a APL 1:192.0.2.0/33\n", 1, "RDATA" },
    { "X25 of letters", "a X25 abcd\n", 1, "RDATA" },
    { "X25 too short", "a X25 123\n", 1, "RDATA" },
    { "NSAP with half a byte", "a NSAP 0x475\n", 1, "odd" },
    { "CAA without value", "a CAA 0 issue\n", 1, "too early" },
    { "CAA with a tag of other characters", "a CAA 0 is-sue \"x\"\n", 1, "letters" },
    { "SVCB port", "a SVCB 1 . port=65536\n", 1, "too large" },
    { "SVCB port in quotes", "a SVCB 1 . port=\"65536\"\n", 1, "too large" },
    { "SVCB port without value", "a SVCB 1 . port\n", 1, "RDATA" },
    { "SVCB alpn without value", "a SVCB 1 . alpn\n", 1, "RDATA" },
    { "SVCB hint without value", "a SVCB 1 . ipv4hint\n", 1, "RDATA" },
    { "SVCB key twice", "a SVCB 1 . alpn=h2 alpn=h3\n", 1, "RDATA" },
    { "SVCB own key twice", "a HTTPS 1 . key667=a key667=b\n", 1, "RDATA" },
    { "SVCB mandatory key that is not there", "a SVCB 1 . mandatory=port alpn=h2\n", 1, "RDATA" },
    { "SVCB mandatory mandatory", "a SVCB 1 . mandatory=mandatory\n", 1, "RDATA" },
    { "SVCB dohpath without variable", "a SVCB 1 . dohpath=x\n", 1, "RDATA" },
    { "SVCB in bytes, hint cut off", "a SVCB \\# 10 000100 0004 0003 010203\n", 1, "RDATA" },
    { "$GENERATE backwards", "$GENERATE 3-1 h$ A 192.0.2.$\n", 1, "range" },
    { "$GENERATE without step", "$GENERATE 1-3/0 h$ A 192.0.2.$\n", 1, "range" },
    { "$GENERATE too much", "$GENERATE 0-2147483647 h$ A 192.0.2.1\n", 1, "16,777,216" },
    { "$GENERATE makes no record", "\n$GENERATE 250-256 h$ A 192.0.2.$\n", 2, "IPv4" },
    { "$GENERATE with a wrong form", "$GENERATE 1-2 h${1,2,y} A 192.0.2.$\n", 1, "OFFSET" },
    { "gzip", "\x1f\x8b\x08", 1, "gzip" },
    { "byte order mark", "\xef\xbb\xbf" SOA, 1, "byte order mark" },
    { "binary", "\x7f" "ELF\x02\x01\n", 1, "control character" },
    { "carriage return inside a line", "a 5 TXT x\ry\n", 1, "carriage return" },
    { "quoted owner", "\"a\" 5 TXT x\n", 1, "without quotes" },
    { "quoted name in RDATA", "a 5 NS \"x\"\n", 1, "without quotes" },
    { "TTL of half a unit", "a 1h30 TXT x\n", 1, "time" },
    { "TTL too large", "a 4294967296 TXT x\n", 1, "too large" },
};

static void refuses(void **state)
{
    (void)state;
    struct name apex = name_of("example.");
    struct complaints *c = calloc(1, sizeof *c);
    for (size_t i = 0; i < ROWS(bad); i++) {
        struct bytes in = heap_copy(bad[i].text, strlen(bad[i].text));
        struct fault fault = { .text = "" };
        struct zone z;
        zone_init(&z, name_bytes(&apex), "test");
        c->errors_n = 0;
        enum err err = zonefile_read_text(in, "test", &z, c, &fault);
        if (err != ERR_REFUSED || c->errors_n == 0)
            fail_msg("%s: accepted", bad[i].why);
        if (c->errors[0].line != bad[i].line || strstr(c->errors[0].text, bad[i].says) == NULL)
            fail_msg("%s: line %u: %s", bad[i].why, c->errors[0].line, c->errors[0].text);
        zone_release(&z);
        bytes_free(in);
    }
    free(c);
}

static void counts_errors_up_to_twenty(void **state)
{
    (void)state;
    struct name apex = name_of("example.");
    struct complaints *c = calloc(1, sizeof *c);
    char text[4000] = "";
    struct zone z;
    for (int i = 0; i < 100; i++)
        strcat(text, i % 3 == 1 ? "a 5 A x\n" : "b 5 A 192.0.2.1\n");
    zone_init(&z, name_bytes(&apex), "test");
    assert_int_equal(zonefile_read_text(bytes_of_text(text), "test", &z, c, NULL), ERR_REFUSED);
    assert_int_equal(c->errors_n, COMPLAINTS_MAX);
    assert_int_equal(c->errors[0].line, 2);
    assert_int_equal(c->errors[19].line, 59);
    assert_int_equal(z.n, 39);                  /* nothing behind the twentieth is read */
    zone_release(&z);
    free(c);
}

static void long_strings(void **state)
{
    (void)state;
    struct name apex = name_of("example.");
    struct complaints *c = calloc(1, sizeof *c);
    char text[600];
    for (int n = 255; n <= 256; n++) {
        struct zone z;
        zone_init(&z, name_bytes(&apex), "test");
        snprintf(text, sizeof text, "a 5 TXT %0*d\n", n, 0);
        assert_int_equal(zonefile_read_text(bytes_of_text(text), "test", &z, c, NULL), n == 255 ? OK : ERR_REFUSED);
        snprintf(text, sizeof text, "a 5 HINFO x %0*d\n", n, 0);
        assert_int_equal(zonefile_read_text(bytes_of_text(text), "test", &z, c, NULL), n == 255 ? OK : ERR_REFUSED);
        zone_release(&z);
    }
    free(c);
}

/* --- files --------------------------------------------------------------------------------------------------------------- */
static void write_file(const char *dir, const char *name, const char *text)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static enum err read_files(const char *path, struct lines *out, struct complaints *c, struct fault *fault)
{
    struct name apex = name_of("example.");
    struct zone z;
    zone_init(&z, name_bytes(&apex), path);
    c->errors_n = 0;
    enum err err = zonefile_read(path, &z, c, fault);
    out->len = 0;
    for (size_t k = 0; k < z.n && err == OK; k++)
        lines_add(out, &z.rr[k]);
    zone_release(&z);
    return err;
}

static void includes(void **state)
{
    (void)state;
    char dir[200], path[300], sub[300];
    struct complaints *c = calloc(1, sizeof *c);
    struct fault fault = { .text = "" };
    struct lines got = { 0 };
    dir_make(dir, sizeof dir, "include");
    snprintf(sub, sizeof sub, "%s/sub", dir);
    assert_int_equal(mkdir(sub, 0755), 0);
    snprintf(path, sizeof path, "%s/main", dir);
    write_file(dir, "main", "o 5 TXT x\n$INCLUDE sub/one inner\n TXT y\n$INCLUDE \"sub/one\"\nr TXT z\n");
    write_file(sub, "one", "a 6 TXT a\n$INCLUDE two ; beside the including file\n$ORIGIN elsewhere.\n");
    write_file(sub, "two", "b 7 TXT b\n");
    assert_int_equal(read_files(path, &got, c, &fault), OK);
    assert_string_equal(got.text, "o.example. 5 IN TXT \"x\"\na.inner.example. 6 IN TXT \"a\"\nb.inner.example. 7 IN TXT \"b\"\n"
                                  "o.example. 7 IN TXT \"y\"\na.example. 6 IN TXT \"a\"\nb.example. 7 IN TXT \"b\"\n"
                                  "r.example. 7 IN TXT \"z\"\n");
    write_file(sub, "two", "\nb 7 A x\n");
    assert_int_equal(read_files(path, &got, c, &fault), ERR_REFUSED);
    assert_int_equal(c->errors[0].line, 2);     /* the $INCLUDE; the text names the file and its line */
    assert_non_null(strstr(c->errors[0].text, "sub/two:2: not an IPv4"));
    write_file(sub, "two", "$INCLUDE two\n");
    assert_int_equal(read_files(path, &got, c, &fault), ERR_REFUSED);
    assert_non_null(strstr(c->errors[0].text, "nested"));
    write_file(sub, "two", "$INCLUDE three\n");
    assert_int_equal(read_files(path, &got, c, &fault), ERR_REFUSED);
    assert_non_null(strstr(c->errors[0].text, "sub/three"));
    assert_int_equal(read_files("/nonexistent/zone", &got, c, &fault), ERR_NOTFOUND);
    assert_non_null(strstr(fault.text, "/nonexistent/zone"));
    free(got.text);
    free(c);
    dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts), cmocka_unit_test(refuses), cmocka_unit_test(counts_errors_up_to_twenty),
        cmocka_unit_test(long_strings), cmocka_unit_test(includes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
