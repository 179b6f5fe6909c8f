/* What new servers get wrong with answers: a row per statement. An answer is written as RCODE, flags, and its records, each with
 * its section in front: "NOERROR aa | an www.a. 60 A 192.0.2.1 | ns a. 30 SOA". Of an SOA and an RRSIG only the type is told (and
 * what an RRSIG covers), OPT as "opt". */
#include <ldns/ldns.h>
#include "tests/answer_bed.h"

#define L10 "aaaaaaaaaa"
#define L50 L10 L10 L10 L10 L10
#define L63 L50 L10 "aaa"
#define WIDE "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww"

static const char *const zones[][2] = {
    { "a.",
      "$TTL 60\n@ 3600 SOA ns h 1 2 3 4 30\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\nwww AAAA 2001:db8::2\nmail MX 1 www\n"
      "x.ent A 192.0.2.3\n*.ent A 192.0.2.4\ndeep.x.ent A 192.0.2.5\n* TXT \"any\"\n"
      "*.w A 192.0.2.6\nb.c.w A 192.0.2.7\nsub.*.w A 192.0.2.8\n\\*.lit A 192.0.2.9\n\\\\*.lit A 192.0.2.10\n"
      "al1 CNAME al2\nal2 300 CNAME www\nto-b CNAME www.b.\nto-none CNAME no.b.\nto-other CNAME www.else.test.\nto-nodata CNAME www\n"
      "*.wc CNAME www\nl1 CNAME l2\nl2 CNAME l3\nl3 CNAME l2\nself CNAME self\n"
      "old 120 DNAME www.new\nold TXT \"beside\"\nhost.old A 192.0.2.66\nh.www.new A 192.0.2.11\n"
      "one DNAME two\ntwo 240 DNAME three\nh.three A 192.0.2.12\ntodn CNAME h.one\nwide DNAME " WIDE "." WIDE "." WIDE ".w\n"
      "cut NS ns.cut\ncut NS ns.far\ncut DS 1 13 2 0102030405060708091011121314151617181920212223242526272829303132\n"
      "ns.cut A 192.0.2.20\ndeep.cut NS ns.test.\nhidden.cut A 192.0.2.21\nfar NS ns.test.\nns.far A 192.0.2.22\n"
      "*.wcut TXT \"w\"\ncut.wcut NS ns.test.\ntocut CNAME x.cut\n"
      "MiXed A 192.0.2.30\nsp\\032ace A 192.0.2.31\ndot\\.ted A 192.0.2.32\nnul\\000 A 192.0.2.33\n" L63 " A 192.0.2.34\n"
      "\\200\\255 A 192.0.2.36\nttl 300 A 192.0.2.37\nttl 100 A 192.0.2.38\n"
      "signed 50 A 192.0.2.39\nsigned 70 RRSIG A 13 2 60 20300101000000 20200101000000 1 a. AQIDBA==\n" },
    { "b.", "$TTL 60\n@ 20 SOA ns h 1 2 3 4 500\n@ NS ns\nns A 192.0.2.50\nwww A 192.0.2.51\nback CNAME www.a.\n" },
    { "child.a.", "$TTL 60\n@ SOA ns h 1 2 3 4 30\n@ NS ns\nns A 192.0.2.60\n" },
};

enum { DO = 1, EDNS = 2 };
static const struct { const char *why, *name; uint16_t type; unsigned how; const char *want; } rows[] = {
    /* names that are there without data, and wildcards */
    { "an empty non-terminal is no data", "ent.a.", TYPE_A, 0, "NOERROR aa | ns a. 30 SOA" },
    { "and it stops the wildcard above it", "ent.a.", TYPE_TXT, 0, "NOERROR aa | ns a. 30 SOA" },
    { "an asterisk does not answer for a name that is there", "x.ent.a.", TYPE_AAAA, 0, "NOERROR aa | ns a. 30 SOA" },
    { "nor for names below it: they have another closest encloser", "y.x.ent.a.", TYPE_A, 0, "NXDOMAIN aa | ns a. 30 SOA" },
    { "it answers directly below the closest encloser", "q.ent.a.", TYPE_A, 0, "NOERROR aa | an q.ent.a. 60 A 192.0.2.4" },
    { "and for names of several labels there", "r.q.w.a.", TYPE_A, 0, "NOERROR aa | an r.q.w.a. 60 A 192.0.2.6" },
    { "an empty non-terminal below the wildcard's owner is none of its names", "c.w.a.", TYPE_A, 0, "NOERROR aa | ns a. 30 SOA" },
    { "what stands below it neither", "z.c.w.a.", TYPE_A, 0, "NXDOMAIN aa | ns a. 30 SOA" },
    { "the wildcard of the zone is not for names below another encloser", "z.www.a.", TYPE_TXT, 0, "NXDOMAIN aa | ns a. 30 SOA" },
    { "a wildcard without the type: no data", "q.w.a.", TYPE_MX, 0, "NOERROR aa | ns a. 30 SOA" },
    { "an asterisk asked for by name is a label", "*.w.a.", TYPE_A, 0, "NOERROR aa | an *.w.a. 60 A 192.0.2.6" },
    { "so is one in the middle", "sub.*.w.a.", TYPE_A, 0, "NOERROR aa | an sub.*.w.a. 60 A 192.0.2.8" },
    { "from which nothing is made", "other.*.w.a.", TYPE_A, 0, "NXDOMAIN aa | ns a. 30 SOA" },
    { "an escaped asterisk is the same byte: a wildcard", "q.lit.a.", TYPE_A, 0, "NOERROR aa | an q.lit.a. 60 A 192.0.2.9" },
    { "a backslash and an asterisk are two bytes: none", "\\\\*.lit.a.", TYPE_A, 0, "NOERROR aa | an \\\\*.lit.a. 60 A 192.0.2.10" },
    /* aliases */
    { "an alias comes before its target", "al1.a.", TYPE_A, 0,
      "NOERROR aa | an al1.a. 60 CNAME al2.a. | an al2.a. 300 CNAME www.a. | an www.a. 60 A 192.0.2.2" },
    { "it is followed into another zone of ours", "to-b.a.", TYPE_A, 0, "NOERROR aa | an to-b.a. 60 CNAME www.b. | an www.b. 60 A 192.0.2.51" },
    { "rcode and SOA are those of the last name, also the SOA's TTL", "to-none.a.", TYPE_A, 0,
      "NXDOMAIN aa | an to-none.a. 60 CNAME no.b. | ns b. 20 SOA" },
    { "no data at the end of a chain", "to-nodata.a.", TYPE_MX, 0, "NOERROR aa | an to-nodata.a. 60 CNAME www.a. | ns a. 30 SOA" },
    { "a chain that leaves our zones ends there", "to-other.a.", TYPE_A, 0, "NOERROR aa | an to-other.a. 60 CNAME www.else.test." },
    { "CNAME asked for is not followed", "al1.a.", TYPE_CNAME, 0, "NOERROR aa | an al1.a. 60 CNAME al2.a." },
    { "a wildcard can be an alias", "q.wc.a.", TYPE_A, 0, "NOERROR aa | an q.wc.a. 60 CNAME www.a. | an www.a. 60 A 192.0.2.2" },
    { "a loop ends with what was found, nothing twice", "l1.a.", TYPE_A, 0,
      "NOERROR aa | an l1.a. 60 CNAME l2.a. | an l2.a. 60 CNAME l3.a. | an l3.a. 60 CNAME l2.a." },
    { "the shortest loop", "self.a.", TYPE_A, 0, "NOERROR aa | an self.a. 60 CNAME self.a." },
    { "AA is for the first owner: an alias into a delegation is ours", "tocut.a.", TYPE_A, 0,
      "NOERROR aa | an tocut.a. 60 CNAME x.cut.a. | ns cut.a. 60 NS ns.cut.a. | ns cut.a. 60 NS ns.far.a. | ar ns.cut.a. 60 A 192.0.2.20 | ar ns.far.a. 60 A 192.0.2.22" },
    /* DNAME */
    { "the owner of a DNAME has its other data", "old.a.", TYPE_TXT, 0, "NOERROR aa | an old.a. 60 TXT \"beside\"" },
    { "nothing below it is served but what it makes; the CNAME has its TTL", "host.old.a.", TYPE_A, 0,
      "NXDOMAIN aa | an old.a. 120 DNAME www.new.a. | an host.old.a. 120 CNAME host.www.new.a. | ns a. 30 SOA" },
    { "its target", "h.old.a.", TYPE_A, 0,
      "NOERROR aa | an old.a. 120 DNAME www.new.a. | an h.old.a. 120 CNAME h.www.new.a. | an h.www.new.a. 60 A 192.0.2.11" },
    { "a made CNAME is not followed when it is asked for", "h.one.a.", TYPE_CNAME, 0, "NOERROR aa | an one.a. 60 DNAME two.a. | an h.one.a. 60 CNAME h.two.a." },
    { "DNAME upon DNAME, behind an alias", "todn.a.", TYPE_A, 0,
      "NOERROR aa | an todn.a. 60 CNAME h.one.a. | an one.a. 60 DNAME two.a. | an h.one.a. 60 CNAME h.two.a. | an two.a. 240 DNAME three.a. | "
      "an h.two.a. 240 CNAME h.three.a. | an h.three.a. 60 A 192.0.2.12" },
    { "a name that becomes too long", L63 ".wide.a.", TYPE_A, 0, "YXDOMAIN aa | an wide.a. 60 DNAME " WIDE "." WIDE "." WIDE ".w.a." },
    /* delegations */
    { "a referral is not ours; glue of the cut, of a sibling", "x.cut.a.", TYPE_A, 0,
      "NOERROR | ns cut.a. 60 NS ns.cut.a. | ns cut.a. 60 NS ns.far.a. | ar ns.cut.a. 60 A 192.0.2.20 | ar ns.far.a. 60 A 192.0.2.22" },
    { "the topmost cut counts", "x.deep.cut.a.", TYPE_A, 0,
      "NOERROR | ns cut.a. 60 NS ns.cut.a. | ns cut.a. 60 NS ns.far.a. | ar ns.cut.a. 60 A 192.0.2.20 | ar ns.far.a. 60 A 192.0.2.22" },
    { "what stands below a cut is not served", "hidden.cut.a.", TYPE_A, 0,
      "NOERROR | ns cut.a. 60 NS ns.cut.a. | ns cut.a. 60 NS ns.far.a. | ar ns.cut.a. 60 A 192.0.2.20 | ar ns.far.a. 60 A 192.0.2.22" },
    { "glue asked for is a referral too", "ns.cut.a.", TYPE_A, 0,
      "NOERROR | ns cut.a. 60 NS ns.cut.a. | ns cut.a. 60 NS ns.far.a. | ar ns.cut.a. 60 A 192.0.2.20 | ar ns.far.a. 60 A 192.0.2.22" },
    { "DS at a cut is the parent's own", "cut.a.", TYPE_DS, 0,
      "NOERROR aa | an cut.a. 60 DS 1 13 2 0102030405060708091011121314151617181920212223242526272829303132" },
    { "no DS at a cut: no data, the parent says", "far.a.", TYPE_DS, 0, "NOERROR aa | ns a. 30 SOA" },
    { "DS at a child that is here, though not delegated: as the parent sees it, here by its wildcard", "child.a.", TYPE_DS, 0, "NOERROR aa | ns a. 30 SOA" },
    { "what else is asked there the child answers", "child.a.", TYPE_MX, 0, "NOERROR aa | ns child.a. 30 SOA" },
    { "a cut below a wildcard's owner is no name of it", "x.cut.wcut.a.", TYPE_TXT, 0, "NOERROR | ns cut.wcut.a. 60 NS ns.test." },
    /* negative answers, refusals */
    { "no such name: SOA with the lower of its TTL and MINIMUM: MINIMUM", "no.www.a.", TYPE_A, 0, "NXDOMAIN aa | ns a. 30 SOA" },
    { "the TTL", "no.b.", TYPE_A, 0, "NXDOMAIN aa | ns b. 20 SOA" },
    { "the SOA asked for has its own", "a.", TYPE_SOA, 0, "NOERROR aa | an a. 3600 SOA" },
    { "a name that is not ours: REFUSED, with OPT when there was one", "www.c.", TYPE_A, EDNS, "REFUSED | opt" },
    { "none when there was none", "www.c.", TYPE_A, 0, "REFUSED" },
    /* names */
    { "the case of the question comes back, and in its owner", "mIxEd.A.", TYPE_A, 0, "NOERROR aa | an mIxEd.A. 60 A 192.0.2.30" },
    { "a space in a label", "sp\\032ace.a.", TYPE_A, 0, "NOERROR aa | an sp\\032ace.a. 60 A 192.0.2.31" },
    { "a dot", "dot\\.ted.a.", TYPE_A, 0, "NOERROR aa | an dot\\.ted.a. 60 A 192.0.2.32" },
    { "which is not the dot between labels", "ted.dot.a.", TYPE_TXT, 0, "NOERROR aa | an ted.dot.a. 60 TXT \"any\"" },
    { "a zero byte", "nul\\000.a.", TYPE_A, 0, "NOERROR aa | an nul\\000.a. 60 A 192.0.2.33" },
    { "bytes above 127", "\\200\\255.a.", TYPE_A, 0, "NOERROR aa | an \\200\\255.a. 60 A 192.0.2.36" },
    { "a label of 63", L63 ".a.", TYPE_A, 0, "NOERROR aa | an " L63 ".a. 60 A 192.0.2.34" },
    /* TTLs */
    { "TTLs that differ within an RRset: the lowest is for all", "ttl.a.", TYPE_A, 0, "NOERROR aa | an ttl.a. 100 A 192.0.2.37 | an ttl.a. 100 A 192.0.2.38" },
    { "an RRSIG has the TTL of what it covers, whatever the file says", "signed.a.", TYPE_A, DO,
      "NOERROR aa | an signed.a. 50 A 192.0.2.39 | an signed.a. 50 RRSIG A | opt" },
    { "and comes only to those who want it", "signed.a.", TYPE_A, EDNS, "NOERROR aa | an signed.a. 50 A 192.0.2.39 | opt" },
    { "ANY gets one RRset (RFC 8482)", "www.a.", TYPE_ANY, 0, "NOERROR aa | an www.a. 60 A 192.0.2.2" },
    { "an exchanger's addresses come along", "mail.a.", TYPE_MX, 0,
      "NOERROR aa | an mail.a. 60 MX 1 www.a. | ar www.a. 60 A 192.0.2.2 | ar www.a. 60 AAAA 2001:db8::2" },
};

/* --- answers as text ---------------------------------------------------------------------------------------------- */
static void add(char *out, size_t cap, const char *text)
{
    size_t len = strlen(out);
    (void)snprintf(out + len, cap - len, "%s", text);
}

static void add_record(char *out, size_t cap, const char *section, const ldns_rr *rr)
{
    char head[400], *owner = ldns_rdf2str(ldns_rr_owner(rr)), *type = ldns_rr_type2str(ldns_rr_get_type(rr));
    (void)snprintf(head, sizeof head, " | %s %s %u %s", section, owner, ldns_rr_ttl(rr), type);
    add(out, cap, head);
    free(owner);
    free(type);
    if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA)
        return;
    size_t shown = ldns_rr_get_type(rr) == LDNS_RR_TYPE_RRSIG ? 1 : ldns_rr_rd_count(rr);
    for (size_t i = 0; i < shown; i++) {
        char *text = ldns_rdf2str(ldns_rr_rdf(rr, i));
        add(out, cap, " ");
        add(out, cap, text);
        free(text);
    }
}

static void add_section(char *out, size_t cap, const char *section, const ldns_rr_list *list)
{
    for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++)
        add_record(out, cap, section, ldns_rr_list_rr(list, i));
}

static void describe(struct bytes reply, char *out, size_t cap)
{
    ldns_pkt *pkt = NULL;
    out[0] = '\0';
    assert_int_equal(ldns_wire2pkt(&pkt, reply.ptr, reply.len), LDNS_STATUS_OK);
    char *rcode = ldns_pkt_rcode2str(ldns_pkt_get_rcode(pkt));
    add(out, cap, rcode);
    add(out, cap, ldns_pkt_aa(pkt) ? " aa" : "");
    add(out, cap, ldns_pkt_tc(pkt) ? " tc" : "");
    add_section(out, cap, "an", ldns_pkt_answer(pkt));
    add_section(out, cap, "ns", ldns_pkt_authority(pkt));
    add_section(out, cap, "ar", ldns_pkt_additional(pkt));
    add(out, cap, ldns_pkt_edns(pkt) ? " | opt" : "");
    free(rcode);
    ldns_pkt_free(pkt);
}

static void statements(void **state)
{
    struct bed bed, *b = &bed;
    (void)state;
    bed_open(b, NULL, NULL);
    for (size_t i = 0; i < ROWS(zones); i++)
        bed_load(b, zones[i][0], zones[i][1]);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct name name;
        char got[8192];
        bed_name(rows[i].name, &name);
        struct ask q = { .qname = name_bytes(&name), .qtype = rows[i].type, .qclass = CLASS_IN, .tcp = true,
                         .udp_size = rows[i].how != 0 ? 1232 : 0, .dnssec_ok = rows[i].how == DO };
        struct bytes reply = bed_ask(b, &q);
        describe(reply, got, sizeof got);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: %s\ngot  %s\nwant %s", rows[i].why, rows[i].name, got, rows[i].want);
        assert_memory_equal(reply.ptr + DNS_HEADER_LEN, name.wire, name.len);   /* echoed byte for byte */
        bytes_free(reply);
    }
    assert_int_equal(stat_get(&b->counts.broken), 0);
    bed_close(b);
}

/* --- sizes ---------------------------------------------------------------------------------------------------------- */
/* All glue below the cut, or TC (RFC 9471): a byte less than that takes, and the answer says so. */
static void glue_or_tc(void **state)
{
    struct bed bed, *b = &bed;
    struct name name;
    (void)state;
    bed_open(b, NULL, NULL);
    bed_load(b, "a.", "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.test.\ncut NS ns1.cut\ncut NS ns2.cut\ncut NS other\n"
             "ns1.cut A 192.0.2.1\nns1.cut AAAA 2001:db8::1\nns2.cut A 192.0.2.2\nother A 192.0.2.3\n");
    bed_name("www.cut.a.", &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN, .tcp = true };
    struct bytes whole = bed_ask(b, &q);
    assert_int_equal(whole.ptr[11], 4);         /* three are glue, one is courtesy */
    size_t needed = whole.len - 16;
    for (size_t max = needed - 30; max <= whole.len; max++) {
        q.max = max;
        struct bytes reply = bed_ask(b, &q);
        bool tc = (reply.ptr[2] & 2) != 0;
        assert_true(reply.len <= max);
        assert_int_equal(tc, max < needed);
        if (!tc)
            assert_int_equal(reply.ptr[11], max < whole.len ? 3 : 4);
        bytes_free(reply);
    }
    bytes_free(whole);
    bed_close(b);
}

/* Names as long and as deep as names can be: 255 bytes, 127 labels; in the root zone too. */
static void longest_names(void **state)
{
    struct bed bed, *b = &bed;
    (void)state;
    bed_open(b, NULL, NULL);
    bed_load(b, ".", "$TTL 60\n@ SOA ns. h. 1 2 3 4 5\n@ NS ns.\nns. A 192.0.2.1\n*.a. A 192.0.2.2\n");
    for (unsigned label = 1; label <= 63; label++) {
        struct name name = { .len = 0 };
        for (unsigned left = 252; left > 0;) {  /* before "a." */
            unsigned n = left > label ? label : left - 1;
            n -= left - n - 1 == 1;             /* of one byte that stays no label could be made */
            name.wire[name.len++] = (uint8_t)n;
            memset(name.wire + name.len, 'x', n);
            name.len = (uint8_t)(name.len + n);
            left -= n + 1;
        }
        memcpy(name.wire + name.len, "\1a", 3);
        name.len = (uint8_t)(name.len + 3);
        assert_int_equal(name.len, 255);
        struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN };
        struct bytes reply = bed_ask(b, &q);
        if ((reply.ptr[3] & 15) != RCODE_NOERROR || reply.ptr[7] != 1 || reply.len != 12 + name.len + 4u + 16)
            fail_msg("labels of %u bytes, name of %u: rcode %u", label, name.len, reply.ptr[3] & 15);
        bytes_free(reply);
    }
    bed_close(b);
}

/* RRsets of 1 to 4,000 records: whole over TCP, whole or TC and nothing over UDP, never a part. */
static void large_rrsets(void **state)
{
    static const unsigned sizes[] = { 1, 2, 28, 29, 30, 100, 500, 1023, 2000, 4000 };
    struct bed bed, *b = &bed;
    (void)state;
    bed_open(b, NULL, NULL);
    for (size_t i = 0; i < ROWS(sizes); i++) {
        char *zone = malloc(200 + sizes[i] * (size_t)32), *at = zone;
        struct name name;
        at += sprintf(at, "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.test.\n");
        for (unsigned k = 0; k < sizes[i]; k++)
            at += sprintf(at, "many A 10.0.%u.%u\n", k / 256, k % 256);
        bed_load(b, "a.", zone);
        bed_name("many.a.", &name);
        for (int tcp = 0; tcp < 2; tcp++) {
            struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN, .tcp = tcp == 1 };
            struct bytes reply = bed_ask(b, &q);
            unsigned answers = reply.ptr[6] * 256u + reply.ptr[7];
            bool fits = tcp == 1 || 12 + name.len + 4u + sizes[i] * 16 <= 512;
            if (answers != (fits ? sizes[i] : 0) || ((reply.ptr[2] & 2) != 0) == fits)
                fail_msg("%u records, %s: %u answers, flags %02x", sizes[i], tcp ? "TCP" : "UDP", answers, reply.ptr[2]);
            bytes_free(reply);
        }
        free(zone);
    }
    bed_close(b);
}

/* A chain is followed for ANSWER_LINKS_MAX links, and then ends with what was found: no error. */
static void long_chains(void **state)
{
    struct bed bed, *b = &bed;
    char zone[4096], *at = zone;
    struct name name;
    (void)state;
    bed_open(b, NULL, NULL);
    at += sprintf(at, "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.test.\nc0 A 192.0.2.1\n");
    for (unsigned i = 1; i < 40; i++)
        at += sprintf(at, "c%u CNAME c%u\n", i, i - 1);
    bed_load(b, "a.", zone);
    for (unsigned i = 1; i < 40; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "c%u.a.", i);
        bed_name(text, &name);
        struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN, .tcp = true };
        struct bytes reply = bed_ask(b, &q);
        assert_int_equal(reply.ptr[3] & 15, RCODE_NOERROR);
        assert_int_equal(reply.ptr[7], i <= ANSWER_LINKS_MAX ? i + 1 : ANSWER_LINKS_MAX + 1);
        bytes_free(reply);
    }
    bed_close(b);
}

/* A zone that is configured but has no data yet is SERVFAIL (a name that is not ours is REFUSED): tests/unit/test_answer.c
 * (zones_not_live). Occluded data is kept, not served, and told of when it is loaded. */
static void occluded_data_is_told_of(void **state)
{
    static const char zone[] = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.test.\nd DNAME x\nbelow.d A 192.0.2.1\ncut NS ns.cut\n"
                               "ns.cut A 192.0.2.2\nns.cut TXT \"x\"\nlost.cut A 192.0.2.3\n";
    static const char *const want[] = { "below.d.a. lies below a DNAME", "ns.cut.a. lies below a delegation",
                                        "lost.cut.a. lies below a delegation" };
    struct bed bed, *b = &bed;
    struct complaints *c = calloc(1, sizeof *c);
    struct zone_build_options o = { .kind = ZONE_FILE, .force = true };
    struct op_list ops;
    struct name apex;
    struct zone z;
    (void)state;
    bed_open(b, NULL, NULL);
    bed_name("a.", &apex);
    zone_init(&z, name_bytes(&apex), "a.");
    BED(zonefile_read_text(bytes_of_text(zone), "a.", &z, c, &b->fault));
    op_list_init(&ops);
    BED(view_begin(b->build_view));
    BED(zone_build(&z, b->build_view, &o, c, &ops, &b->fault));
    view_end(b->build_view);
    assert_int_equal(c->errors_n, 0);
    assert_int_equal(c->warnings_n, ROWS(want));
    for (size_t i = 0; i < ROWS(want); i++) {
        bool found = false;
        for (unsigned k = 0; k < c->warnings_n; k++)
            found |= strstr(c->warnings[k].text, want[i]) != NULL;
        if (!found)
            fail_msg("no warning that %s", want[i]);
    }
    op_list_release(&ops);
    zone_release(&z);
    free(c);
    bed_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements),   cmocka_unit_test(glue_or_tc),  cmocka_unit_test(longest_names),
        cmocka_unit_test(large_rrsets), cmocka_unit_test(long_chains), cmocka_unit_test(occluded_data_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
