/* RRset blobs: the examples of FORMAT.md section 3 made anew, read back, checked; zone headers; order of RDATA. */
#include "tests/unit/rrset_sample.h"

#define NAME_NS1 "03 6e7331 07 6578616d706c65 03 636f6d 00"         /* ns1.example.com. */
#define NAME_NS2 "03 4e5332 07 6578616d706c65 03 636f6d 00"         /* NS2.example.com. */
#define NAME_ORG "03 6e7331 03 6f7267 00"                           /* ns1.org. */
#define SIG_A "0001 08 03 0000012c 6553f100 65000000 1234 07 6578616d706c65 03 636f6d 00 aabbcc"

static const struct sample samples[] = {
    { .why = "A and AAAA of a name, in one blob", .owner = "www.example.com.", .slot = RRSLOT_ADDRESS, .flags = 0x20,
      .rr = { { TYPE_A, 300, { "c0000202", "c0000201" }, { 0 } }, { TYPE_AAAA, 300, { "20010db8000000000000000000000001" }, { 0 } } },
      .hex = "93 20 92 02 c4 20 c00c 0001 0001 0000012c 0004 c0000201 c00c 0001 0001 0000012c 0004 c0000202"
             " 92 01 c4 1c c00c 001c 0001 0000012c 0010 20010db8000000000000000000000001" },
    { .why = "an alias", .owner = "a.example.com.", .slot = RRSLOT_ADDRESS, .flags = 0x28,
      .rr = { { TYPE_CNAME, 60, { "03 777777 07 6578616d706c65 03 636f6d 00" }, { 0 } } },
      .hex = "92 28 92 01 c4 12 c00c 0005 0001 0000003c 0006 03 777777 c00e" },
    { .why = "a signed RRset", .owner = "www.example.com.", .slot = RRSLOT_ADDRESS, .flags = 0x20,
      .rr = { { TYPE_A, 300, { "c0000201" }, { SIG_A } } },
      .hex = "92 20 94 01 c4 10 c00c 0001 0001 0000012c 0004 c0000201"
             " 01 c4 2e c00c 002e 0001 0000012c 0022 0001 08 03 0000012c 6553f100 65000000 1234 07 6578616d706c65 03 636f6d 00 aabbcc" },
    { .why = "RDATA names that point at the owner and at each other", .owner = "example.com.", .slot = TYPE_MX, .flags = 0x21,
      .rr = { { TYPE_MX, 3600, { "000a" NAME_ORG, "0014" NAME_ORG, "001e" NAME_NS1, "0028 00", "0032 07 6578616d706c65 03 636f6d 00" }, { 0 } } },
      .hex = "92 21 92 05 c4 5a c00c 000f 0001 00000e10 000b 000a 03 6e7331 03 6f7267 00"
             " c00c 000f 0001 00000e10 0004 0014 c02b"
             " c00c 000f 0001 00000e10 0008 001e 03 6e7331 c00c"
             " c00c 000f 0001 00000e10 0003 0028 00"
             " c00c 000f 0001 00000e10 0004 0032 c00c" },
    { .why = "other case than the owner's is written out", .owner = "example.com.", .slot = TYPE_PTR, .flags = 0x21,
      .rr = { { TYPE_PTR, 1, { "01 61 07 4578616d706c65 03 636f6d 00", "01 62 07 4578616d706c65 03 636f6d 00" }, { 0 } } },
      .hex = "92 21 92 02 c4 28 c00c 000c 0001 00000001 000c 01 61 07 4578616d706c65 c014"
             " c00c 000c 0001 00000001 0004 01 62 c02b" },
    { .why = "a wildcard's own label is no target", .owner = "*.example.com.", .slot = TYPE_PTR, .flags = 0x20,
      .rr = { { TYPE_PTR, 1, { "01 2a 07 6578616d706c65 03 636f6d 00" }, { 0 } } },
      .hex = "92 20 92 01 c4 10 c00c 000c 0001 00000001 0004 01 2a c00e" },
    { .why = "a delegation with glue", .owner = "sub.example.com.", .slot = TYPE_NS, .flags = 0x22,
      .rr = { { TYPE_NS, 86400, { "03 6e7331 03 737562 07 6578616d706c65 03 636f6d 00", NAME_ORG }, { 0 } } },
      .below = { { "sub.example.com.", { { TYPE_A, 60, { "c0000203" }, { 0 } } } },
                 { "ns1.sub.example.com.", { { TYPE_A, 60, { "c0000201" }, { 0 } }, { TYPE_TXT, 60, { "0178" }, { 0 } },
                                             { TYPE_AAAA, 60, { "20010db8000000000000000000000001" }, { 0 } } } },
                 { "ns2.sub.example.com.", { { TYPE_A, 60, { "c0000202" }, { 0 } } } } },
      .hex = "94 22 92 02 c4 27 c00c 0002 0001 00015180 0009 03 6e7331 03 6f7267 00 c00c 0002 0001 00015180 0006 03 6e7331 c00c"
             " c0 93"
             " 93 c4 00 00 92 01 c4 10 c00c 0001 0001 0000003c 0004 c0000203"
             " 95 c4 04 03 6e7331 21 92 01 c4 10 c00c 0001 0001 0000003c 0004 c0000201"
             "  92 01 c4 0e c00c 0010 0001 0000003c 0002 0178"
             "  92 01 c4 1c c00c 001c 0001 0000003c 0010 20010db8000000000000000000000001"
             " 93 c4 04 03 6e7332 00 92 01 c4 10 c00c 0001 0001 0000003c 0004 c0000202" },
    { .why = "a DNAME with data below it", .owner = "old.example.com.", .slot = TYPE_DNAME, .flags = 0x24,
      .rr = { { TYPE_DNAME, 5, { "03 6f7267 00" }, { 0 } } },
      .below = { { "x.old.example.com.", { { TYPE_A, 60, { "c0000203" }, { 0 } } } } },
      .hex = "94 24 92 01 c4 11 c00c 0027 0001 00000005 0005 03 6f7267 00 c0 91"
             " 93 c4 02 01 78 00 92 01 c4 10 c00c 0001 0001 0000003c 0004 c0000203" },
    { .why = "SOA of the root", .owner = ".", .slot = TYPE_SOA, .flags = 0x01,
      .rr = { { TYPE_SOA, 86400, { "01 61 00 01 62 01 61 00 00000001 00000002 00000003 00000004 00000005" }, { 0 } } },
      .hex = "92 01 92 01 c4 27 c00c 0006 0001 00015180 001b 01 61 00 01 62 c01d 00000001 00000002 00000003 00000004 00000005" },
    { .why = "an unknown type", .owner = "example.com.", .slot = 65280, .flags = 0x21,
      .rr = { { 65280, 0, { "", "00" }, { 0 } } },
      .hex = "92 21 92 02 c4 19 c00c ff00 0001 00000000 0000 c00c ff00 0001 00000000 0001 00" },
    { .why = "a child's DS at its apex, when both zones are here", .owner = "sub.example.com.", .slot = TYPE_DS, .flags = 0x21,
      .rr = { { TYPE_DS, 9, { "1234 08 02 aa" }, { 0 } } },
      .hex = "92 21 92 01 c4 11 c00c 002b 0001 00000009 0005 1234 08 02 aa" },
    { .why = "a parent's NS at a child's apex", .owner = "sub.example.com.", .slot = RRSLOT_PARENT_NS, .flags = 0x21,
      .rr = { { TYPE_NS, 9, { NAME_NS1 }, { 0 } } },
      .hex = "92 21 92 01 c4 12 c00c 0002 0001 00000009 0006 03 6e7331 c010" },
    { .why = "a parent's other data at a child's apex", .owner = "sub.example.com.", .apex = "example.com.", .slot = TYPE_TXT, .flags = 0x20,
      .rr = { { TYPE_TXT, 9, { "0178" }, { 0 } } },
      .hex = "92 20 92 01 c4 0e c00c 0010 0001 00000009 0002 0178" },
    { .why = "NSEC3", .owner = "example.com.", .slot = TYPE_NSEC3, .flags = 0x21,
      .rr = { { TYPE_NSEC3, 9, { "01 00 0000 00 01 ff" }, { 0 } } },
      .hex = "92 21 92 01 c4 13 c00c 0032 0001 00000009 0007 01 00 0000 00 01 ff" },
};

/* A wrong sample prints what was made. */
static void examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(samples); i++) {
        struct bytes want = heap_from_hex(samples[i].hex), got = sample_value(&samples[i]);
        struct bytes key = sample_key(samples[i].owner, samples[i].slot, samples[i].apex);
        struct fault fault;
        char text[2048];
        if (!bytes_equal(want, got))
            fail_msg("%s: made %s", samples[i].why, hex_of(text, sizeof text, got));
        enum err err = blob_check(key, want, &fault);
        if (err != OK)
            fail_msg("%s: %s", samples[i].why, fault_text(&fault, err));
        bytes_free(want);
        bytes_free(got);
        bytes_free(key);
    }
}

static void check_reading(const struct sample *s, struct bytes value)
{
    struct blob b;
    uint32_t flags = 0;
    if (blob_read(value, &b) != OK || blob_read_flags(value, &flags) != OK)
        fail_msg("%s: not read", s->why);
    assert_int_equal(b.flags, s->flags);
    assert_int_equal(flags, s->flags);
    assert_int_equal(b.n, s->rr[1].type != 0 ? 2 : 1);
    for (unsigned i = 0; i < b.n; i++) {
        unsigned n = 0;
        while (n < SAMPLE_RDATA && s->rr[i].rdata[n] != NULL)
            n++;
        assert_int_equal(b.rr[i].type, s->rr[i].type);
        assert_int_equal(b.rr[i].count, n);
        assert_int_equal(b.rr[i].sigs, s->rr[i].sigs[0] != NULL);
    }
    struct rd r = rd_over(b.below);
    struct name owner = name_from(s->owner);
    for (unsigned i = 0; i < b.below_n; i++) {
        struct below entry;
        struct rrset rr;
        struct name name, want = name_from(s->below[i].name);
        assert_int_equal(below_read(&r, &entry), OK);
        assert_int_equal(name_join(entry.relname, name_bytes(&owner), &name), OK);
        assert_true(bytes_equal(name_bytes(&name), name_bytes(&want)));
        unsigned k = 0;
        for (; below_rrset(&entry, k, &rr) == OK; k++)
            assert_int_equal(rr.type, s->below[i].rr[k].type);
        assert_true(k == 3 || s->below[i].rr[k].type == 0);
    }
    assert_true(b.below_n == 0 || rd_done(&r));
}

/* What was made is read; no prefix passes; bytes behind the value do not. */
static void reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(samples); i++) {
        struct bytes value = heap_from_hex(samples[i].hex), key = sample_key(samples[i].owner, samples[i].slot, samples[i].apex);
        check_reading(&samples[i], value);
        for (size_t len = 0; len < value.len; len++) {
            struct bytes part = heap_copy(value.ptr, len);
            struct blob b;
            enum err err = blob_check(key, part, NULL);
            if (err != ERR_SHORT)
                fail_msg("%s: %zu of %zu bytes: '%s'", samples[i].why, len, value.len, err_text(err));
            if (samples[i].below[0].name == NULL)
                assert_int_equal(blob_read(part, &b), ERR_SHORT);
            bytes_free(part);
        }
        uint8_t *more = malloc(value.len + 1);
        struct blob b;
        memcpy(more, value.ptr, value.len);
        more[value.len] = 0xc0;
        assert_int_not_equal(blob_check(key, bytes_of(more, value.len + 1), NULL), OK);
        if (samples[i].below[0].name == NULL)
            assert_int_equal(blob_read(bytes_of(more, value.len + 1), &b), ERR_BAD);
        free(more);
        bytes_free(key);
        bytes_free(value);
    }
}

/* --- zone headers ------------------------------------------------------------------------------------------------------ */
#define SOA_ELEMENT "92 01 c4 33 c00c 0006 0001 00000005 0027 03 6e7331 c00c 0a 686f73746d6173746572 c00c" \
                    " 00000001 00000002 00000003 00000004 00000005"

static const struct { const char *why, *hex; bool soa, nsec3; enum zone_kind kind; enum zone_state state; uint32_t bits; enum err read, check; } headers[] = {
    { "a zone from a file",     "96 21 01 01 01 " SOA_ELEMENT " c0", true, false, ZONE_FILE, ZONE_LIVE, 1, OK, OK },
    { "with NSEC3",             "96 21 03 02 00 " SOA_ELEMENT " 94 01 00 0a c4 02 abcd", true, true, ZONE_SECONDARY, ZONE_EXPIRED, 0, OK, OK },
    { "an empty zone",          "96 21 03 03 00 c0 c0", false, false, ZONE_SECONDARY, ZONE_EMPTY, 0, OK, OK },
    { "elements of a newer version", "98 21 03 03 00 c0 c0 a1 78 92 01 02", false, false, ZONE_SECONDARY, ZONE_EMPTY, 0, OK, OK },
    { "kind 0",                 "96 21 00 03 00 c0 c0", false, false, 0, 0, 0, ERR_BAD, ERR_BAD },
    { "kind 4",                 "96 21 04 03 00 c0 c0", false, false, 0, 0, 0, ERR_BAD, ERR_BAD },
    { "state 4",                "96 21 01 04 00 c0 c0", false, false, 0, 0, 0, ERR_BAD, ERR_BAD },
    { "five elements",          "95 21 03 03 00 c0", false, false, 0, 0, 0, ERR_BAD, ERR_BAD },
    { "bytes behind",           "96 21 03 03 00 c0 c0 c0", false, false, 0, 0, 0, ERR_BAD, ERR_BAD },
    { "a long form of the kind", "96 21 cc03 03 00 c0 c0", false, false, 0, 0, 0, ERR_BAD, ERR_BAD },
    { "live without SOA",       "96 21 01 01 00 c0 c0", false, false, ZONE_FILE, ZONE_LIVE, 0, OK, ERR_BAD },
    { "empty with SOA",         "96 21 01 03 00 " SOA_ELEMENT " c0", true, false, ZONE_FILE, ZONE_EMPTY, 0, OK, ERR_BAD },
    { "unknown bit",            "96 21 03 03 08 c0 c0", false, false, ZONE_SECONDARY, ZONE_EMPTY, 8, OK, ERR_BAD },
    { "another depth",          "96 11 03 03 00 c0 c0", false, false, ZONE_SECONDARY, ZONE_EMPTY, 0, OK, ERR_BAD },
    { "no apex",                "96 20 03 03 00 c0 c0", false, false, ZONE_SECONDARY, ZONE_EMPTY, 0, OK, ERR_BAD },
    { "another type as SOA",    "96 21 01 01 00 92 01 c4 10 c00c 0001 0001 00000001 0004 01020304 c0", true, false, ZONE_FILE, ZONE_LIVE, 0, OK, ERR_BAD },
    { "SOA with a TTL above MINIMUM", "96 21 01 01 00 92 01 c4 33 c00c 0006 0001 00000006 0027 03 6e7331 c00c 0a 686f73746d6173746572 c00c"
      " 00000001 00000002 00000003 00000004 00000005 c0", true, false, ZONE_FILE, ZONE_LIVE, 0, OK, ERR_BAD },
    { "NSEC3 with three elements", "96 21 03 03 00 c0 93 01 00 0a", false, false, 0, 0, 0, ERR_SHORT, ERR_SHORT },
};

static void zone_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(headers); i++) {
        struct bytes value = heap_from_hex(headers[i].hex), key = sample_key("example.com.", RRSLOT_ZONE, NULL);
        struct zone_header h;
        uint8_t again[256];
        struct wr w = wr_over(again, sizeof again);
        enum err read = zone_header_read(value, &h), check = blob_check(key, value, NULL);
        if (read != headers[i].read || check != headers[i].check)
            fail_msg("%s: read '%s', check '%s'", headers[i].why, err_text(read), err_text(check));
        if (read == OK) {
            assert_int_equal(h.has_soa, headers[i].soa);
            assert_int_equal(h.has_nsec3, headers[i].nsec3);
            assert_int_equal(h.kind, headers[i].kind);
            assert_int_equal(h.state, headers[i].state);
            assert_int_equal(h.bits, headers[i].bits);
            zone_header_write(&w, &h);
            if (value.ptr[0] == 0x96)
                assert_true(bytes_equal(wr_done(&w), value));
        }
        for (size_t len = 0; check == OK && value.ptr[0] == 0x96 && len < value.len; len++) {
            struct bytes part = heap_copy(value.ptr, len);
            assert_int_equal(zone_header_read(part, &h), ERR_SHORT);
            assert_int_equal(blob_check(key, part, NULL), ERR_SHORT);
            bytes_free(part);
        }
        bytes_free(key);
        bytes_free(value);
    }
}

/* --- order and limits -------------------------------------------------------------------------------------------------- */
static size_t sorted(uint16_t type, const char *const *hex, size_t n, struct bytes *out, struct arena *a)
{
    for (size_t i = 0; i < n; i++) {
        struct bytes b = heap_from_hex(hex[i]);
        out[i] = arena_copy(a, b);
        bytes_free(b);
    }
    return rrset_sort_names(type, out, n);
}

static void sorts_and_drops_twins(void **state)
{
    static const char *const names[] = { "000a 01 62 00", "000a 01 41 00", "000a 01 61 00", "0005 01 7a 00", "000a 01 42 00", "000a 01 62 00" };
    static const char *const texts[] = { "01 62", "01 42", "01 62", "" };
    static const char *const naptr[] = { "0001 0001 01 55 00 00 01 61 00", "0001 0001 01 75 00 00 01 41 00", "0001 0001 01 55 00 00 01 41 00" };
    static const char *const broken[] = { "0001 ff", "0001 ff", "0001" };
    struct bytes out[6];
    struct arena a;
    (void)state;
    arena_init(&a);
    assert_int_equal(sorted(TYPE_MX, names, 6, out, &a), 3);        /* z; A or a; B or b: the upper case comes first */
    assert_memory_equal(out[0].ptr, "\0\005\001z\0", 5);
    assert_memory_equal(out[1].ptr, "\0\012\001A\0", 5);
    assert_memory_equal(out[2].ptr, "\0\012\001B\0", 5);
    assert_int_equal(sorted(TYPE_TXT, texts, 4, out, &a), 3);
    assert_int_equal(out[0].len, 0);
    assert_memory_equal(out[1].ptr, "\001B", 2);
    assert_int_equal(sorted(TYPE_NAPTR, naptr, 3, out, &a), 2);     /* its strings are no names */
    assert_int_equal(sorted(TYPE_MX, broken, 3, out, &a), 2);
    assert_int_equal(rrset_sort(out, 0), 0);
    arena_release(&a);
}

/* Reads the one element that w holds and how many RDATA bytes its last RR has. */
static size_t last_rdata(const struct wr *w)
{
    struct rd r = rd_over(wr_done(w));
    struct rrset rr;
    size_t len = 0;
    assert_int_equal(rrset_read(&r, &rr), OK);
    r = rd_over(rr.wire);
    for (unsigned i = 0; i < rr.count; i++) {
        (void)rd_take(&r, 10);
        len = rd_u16(&r);
        (void)rd_take(&r, len);
    }
    assert_true(rd_done(&r));
    return len;
}

/* Names first met above offset 16,383 are no targets. */
static void targets_end_at_16383(void **state)
{
    static uint8_t prefs[1200][12], buf[70000];
    static struct bytes rdata[1200];
    struct name owner = name_from("example.com.");
    struct arena a;
    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < ROWS(prefs); i++) {
        bool late = i >= 1198;
        struct wr w = wr_over(prefs[i], sizeof prefs[i]);
        wr_u16(&w, (uint16_t)i);
        wr_put(&w, late ? "\003new\003org" : "\003old\003org", 9);
        rdata[i] = wr_done(&w);
    }
    for (size_t n = 1198; n <= 1200; n++) {
        struct rrset_in in = { .type = TYPE_MX, .ttl = 1, .rdata = rdata, .n = n };
        struct wr w = wr_over(buf, sizeof buf);
        assert_int_equal(rrset_write(&w, name_bytes(&owner), &in, true, &a), OK);
        /* old.org: a pointer; new.org: its label and a pointer at org, both times */
        assert_int_equal(last_rdata(&w), n == 1198 ? 4 : 8);
    }
    arena_release(&a);
}

static void limits(void **state)
{
    static uint8_t big[65535], buf[70000];
    struct name owner = name_from("example.com.");
    struct bytes rdata[1] = { bytes_of(big, 65535 - 16 - 13 - 12) }, broken[1] = { bytes_of("\003ab", 3) };
    struct rrset_in in = { .type = TYPE_TXT, .ttl = 1, .rdata = rdata, .n = 1 }, bad = { .type = TYPE_NS, .ttl = 1, .rdata = broken, .n = 1 };
    struct rrset_in none = { .type = TYPE_NS, .ttl = 1, .rdata = broken, .n = 0 };
    struct arena a;
    struct wr w = wr_over(buf, sizeof buf);
    (void)state;
    arena_init(&a);
    assert_int_equal(rrset_write(&w, name_bytes(&owner), &in, true, &a), OK);
    w = wr_over(buf, w.len - 1);
    assert_int_equal(rrset_write(&w, name_bytes(&owner), &in, true, &a), ERR_NOSPACE);
    rdata[0].len++;
    w = wr_over(buf, sizeof buf);
    assert_int_equal(rrset_write(&w, name_bytes(&owner), &in, true, &a), ERR_LIMIT);
    rdata[0].len = 65535;
    assert_int_equal(rrset_write(&w, name_bytes(&owner), &in, true, &a), ERR_LIMIT);
    w = wr_over(buf, sizeof buf);
    assert_int_equal(rrset_write(&w, name_bytes(&owner), &bad, true, &a), ERR_BAD);
    assert_int_equal(rrset_write(&w, name_bytes(&owner), &none, true, &a), ERR_BAD);
    arena_release(&a);
}

static void ns_offsets(void **state)
{
    (void)state;
    struct bytes value = heap_from_hex(samples[6].hex);
    struct blob b;
    struct name owner = name_from("sub.example.com."), target = name_from("NS1.sub.example.com."), other = name_from("ns2.sub.example.com.");
    struct name org = name_from("ns1.org.");
    assert_int_equal(blob_read(value, &b), OK);
    assert_int_equal(rrset_ns_offset(b.rr[0].wire, name_bytes(&owner), name_bytes(&org)), 12);
    assert_int_equal(rrset_ns_offset(b.rr[0].wire, name_bytes(&owner), name_bytes(&target)), 33);
    assert_int_equal(rrset_ns_offset(b.rr[0].wire, name_bytes(&owner), name_bytes(&other)), 0);
    bytes_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples), cmocka_unit_test(reads_back), cmocka_unit_test(zone_headers), cmocka_unit_test(sorts_and_drops_twins),
        cmocka_unit_test(targets_end_at_16383), cmocka_unit_test(limits), cmocka_unit_test(ns_offsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
