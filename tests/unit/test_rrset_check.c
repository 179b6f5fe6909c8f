/* What blob_check refuses: values that look right and are not. Each row says which complaint it must meet. */
#include "tests/unit/rrset_sample.h"

#define A1 "c00c 0001 0001 0000012c 0004 c0000201"
#define A2 "c00c 0001 0001 0000012c 0004 c0000202"
#define SET_A "92 01 c4 10 " A1
#define AAAA1 "c00c 001c 0001 0000012c 0010 20010db8000000000000000000000001"
#define SET_AAAA "92 01 c4 1c " AAAA1
#define SET_CNAME "92 01 c4 12 c00c 0005 0001 0000003c 0006 03 777777 c010"     /* www + the last two labels of the owner */
#define NS1 "c00c 0002 0001 00015180 0006 03 6e7331 c00c"
#define SET_NS "92 01 c4 12 " NS1
#define SIG "c00c 002e 0001 0000012c 0017 0001 08 03 0000012c 6553f100 65000000 1234 01 78 00 aa bb"
#define SIG_OF_TXT "c00c 002e 0001 0000012c 0017 0010 08 03 0000012c 6553f100 65000000 1234 01 78 00 aa bb"
#define GLUE(relname, offset) "93 " relname " " offset " " SET_A " "
#define TXT1 "92 01 c4 0e c00c 0010 0001 00000009 0002 0178"

#define WWW "www.example.com."
#define SUB "sub.example.com."

static const struct { const char *why, *owner; uint16_t slot; const char *apex, *hex; enum err want; const char *complaint; } rows[] = {
    /* framing */
    { "good",                              WWW, 0, NULL, "92 20 " SET_A, OK, "" },
    { "elements of a newer version",       WWW, 0, NULL, "95 20 " SET_A " c0 c0 a178", OK, "" },
    { "the same behind two RRsets",        WWW, 0, NULL, "95 20 " SET_A SET_AAAA " c0 81 01 02", OK, "" },
    { "more elements in an RRset",         WWW, 0, NULL, "92 20 95 01 c4 10 " A1 " 00 c4 00 07", OK, "" },
    { "nil that announces nothing",        WWW, 0, NULL, "93 20 " SET_A " c0", ERR_BAD, "" },
    { "two of them",                       WWW, 0, NULL, "94 20 " SET_A " c0 c0", ERR_BAD, "" },
    { "no signatures, but their place",    WWW, 0, NULL, "92 20 94 01 c4 10 " A1 " 00 c4 00", ERR_BAD, "" },
    { "half of the signatures' place",     WWW, 0, NULL, "92 20 93 01 c4 10 " A1 " 00", ERR_BAD, "" },
    { "signatures that are not there",     WWW, 0, NULL, "92 20 94 01 c4 10 " A1 " 01 c4 00", ERR_BAD, "" },
    { "an RRset of nothing",               WWW, 0, NULL, "92 20 92 00 c4 00", ERR_BAD, "" },
    { "only flags",                        WWW, 0, NULL, "91 20", ERR_BAD, "" },
    { "only flags, an RRset behind",       WWW, 0, NULL, "91 20 " SET_A, ERR_BAD, "" },
    { "flags in a longer form",            WWW, 0, NULL, "92 cc20 " SET_A, ERR_BAD, "" },
    { "wire in a longer form",             WWW, 0, NULL, "92 20 92 01 c5 0010 " A1, ERR_BAD, "" },
    { "wire as text",                      WWW, 0, NULL, "92 20 92 01 b0 " A1, ERR_BAD, "" },
    { "array in a longer form",            WWW, 0, NULL, "dc 0002 20 " SET_A, ERR_BAD, "" },
    { "a map",                             WWW, 0, NULL, "81 20 " SET_A, ERR_BAD, "" },
    { "a zone header in another slot",     WWW, 0, NULL, "96 21 03 03 00 c0 c0", ERR_BAD, "" },
    { "a malformed key",                   NULL, 0, NULL, "92 20 " SET_A, ERR_SHORT, "key" },
    /* types and slots */
    { "TXT in the address group",          WWW, 0, NULL, "92 20 " TXT1, ERR_BAD, "slot" },
    { "AAAA before A",                     WWW, 0, NULL, "93 20 " SET_AAAA SET_A, ERR_BAD, "slot" },
    { "A twice",                           WWW, 0, NULL, "93 20 " SET_A SET_A, ERR_BAD, "slot" },
    { "CNAME beside A",                    WWW, 0, NULL, "93 28 " SET_CNAME SET_A, ERR_BAD, "slot" },
    { "AAAA alone",                        WWW, 0, NULL, "92 20 " SET_AAAA, OK, "" },
    { "A in a slot of its own",            WWW, 1, NULL, "92 20 " SET_A, ERR_BAD, "slot" },
    { "A in the slot of TXT",              WWW, 16, NULL, "92 20 " SET_A, ERR_BAD, "slot" },
    { "two RRsets in a slot of one",       WWW, 16, NULL, "93 20 " TXT1 TXT1, ERR_BAD, "slot" },
    { "type 41",                           WWW, 41, NULL, "92 20 92 01 c4 0c c00c 0029 0001 00000000 0000", ERR_BAD, "slot" },
    { "type 128",                          WWW, 128, NULL, "92 20 92 01 c4 0c c00c 0080 0001 00000000 0000", ERR_BAD, "slot" },
    { "type 255",                          WWW, 255, NULL, "92 20 92 01 c4 0c c00c 00ff 0001 00000000 0000", ERR_BAD, "slot" },
    { "type 256",                          WWW, 256, NULL, "92 20 92 01 c4 0c c00c 0100 0001 00000000 0000", OK, "" },
    { "a private slot without meaning",    WWW, 0xc4, NULL, "92 20 92 01 c4 0c c00c 00c4 0001 00000000 0000", ERR_BAD, "slot" },
    { "a private slot in a shadow key",    SUB, RRSLOT_PARENT_NS, "example.com.", "92 20 " SET_NS, ERR_BAD, "slot" },
    { "TXT in the slot for a parent's NS", SUB, RRSLOT_PARENT_NS, NULL, "92 21 " TXT1, ERR_BAD, "slot" },
    /* RRs */
    { "count above what is there",         WWW, 0, NULL, "92 20 92 02 c4 10 " A1, ERR_BAD, "count" },
    { "count below what is there",         WWW, 0, NULL, "92 20 92 01 c4 20 " A1 A2, ERR_BAD, "count" },
    { "an RR that is cut off",             WWW, 0, NULL, "92 20 92 01 c4 0f c00c 0001 0001 0000012c 0004 c00002", ERR_BAD, "count" },
    { "another owner",                     WWW, 0, NULL, "92 20 92 01 c4 10 c010 0001 0001 0000012c 0004 c0000201", ERR_BAD, "count" },
    { "class CH",                          WWW, 0, NULL, "92 20 92 01 c4 10 c00c 0001 0003 0000012c 0004 c0000201", ERR_BAD, "form" },
    { "two TTLs",                          WWW, 0, NULL, "92 20 92 02 c4 20 " A1 "c00c 0001 0001 0000012d 0004 c0000202", ERR_BAD, "form" },
    { "two types",                         WWW, 0, NULL, "92 20 92 02 c4 1e " A1 "c00c 0010 0001 0000012c 0002 0178", ERR_BAD, "another type" },
    { "wrong order",                       WWW, 0, NULL, "92 20 92 02 c4 20 " A2 A1, ERR_BAD, "order" },
    { "one twice",                         WWW, 0, NULL, "92 20 92 02 c4 20 " A1 A1, ERR_BAD, "order" },
    { "A of 5 bytes",                      WWW, 0, NULL, "92 20 92 01 c4 11 c00c 0001 0001 0000012c 0005 c000020100", ERR_BAD, "RDATA" },
    { "AAAA of 4 bytes",                   WWW, 0, NULL, "92 20 92 01 c4 10 c00c 001c 0001 0000012c 0004 c0000201", ERR_BAD, "RDATA" },
    { "MX without name",                   WWW, 15, NULL, "92 20 92 01 c4 0e c00c 000f 0001 00000001 0002 000a", ERR_BAD, "" },
    { "MX with bytes behind",              WWW, 15, NULL, "92 20 92 01 c4 10 c00c 000f 0001 00000001 0004 000a 00 00", ERR_BAD, "RDATA" },
    { "SRV with half a name",              WWW, 33, NULL, "92 20 92 01 c4 14 c00c 0021 0001 00000001 0008 0001 0002 0003 01 61", ERR_BAD, "RDATA" },
    { "SRV with a pointer",                WWW, 33, NULL, "92 20 92 01 c4 14 c00c 0021 0001 00000001 0008 0001 0002 0003 c00c", ERR_BAD, "RDATA" },
    /* pointers */
    { "a name that could be shorter",      WWW, 12, NULL, "92 20 92 01 c4 1d c00c 000c 0001 00000001 0011 03 777777 07 6578616d706c65 03 636f6d 00", ERR_BAD, "form" },
    { "a pointer at the root",             WWW, 12, NULL, "92 20 92 01 c4 10 c00c 000c 0001 00000001 0004 01 61 c01c", ERR_BAD, "form" },
    { "a pointer into a label",            WWW, 12, NULL, "92 20 92 01 c4 10 c00c 000c 0001 00000001 0004 01 61 c00d", ERR_BAD, "count" },
    { "a pointer into the header",         WWW, 12, NULL, "92 20 92 01 c4 10 c00c 000c 0001 00000001 0004 01 61 c00b", ERR_BAD, "count" },
    { "a pointer between owner and RRs",   WWW, 12, NULL, "92 20 92 01 c4 10 c00c 000c 0001 00000001 0004 01 61 c01e", ERR_BAD, "count" },
    { "a pointer at itself",               WWW, 12, NULL, "92 20 92 01 c4 10 c00c 000c 0001 00000001 0004 01 61 c02f", ERR_BAD, "count" },
    { "a pointer ahead",                   WWW, 12, NULL, "92 20 92 01 c4 10 c00c 000c 0001 00000001 0004 01 61 ffff", ERR_BAD, "count" },
    { "a wildcard's first byte",           "*.x.", 12, NULL, "92 10 92 01 c4 0e c00c 000c 0001 00000001 0002 c00c", ERR_BAD, "form" },
    /* counts of one, signatures */
    { "two CNAME",                         WWW, 0, NULL, "92 28 92 02 c4 20 c00c 0005 0001 0000003c 0004 01 61 c010 c00c 0005 0001 0000003c 0004 01 62 c010", ERR_BAD, "one" },
    { "a signature",                       WWW, 0, NULL, "92 20 94 01 c4 10 " A1 " 01 c4 23 " SIG, OK, "" },
    { "a signature of another type",       WWW, 0, NULL, "92 20 94 01 c4 10 " A1 " 01 c4 23 " SIG_OF_TXT, ERR_BAD, "covers" },
    { "no signature, but an A",            WWW, 0, NULL, "92 20 94 01 c4 10 " A1 " 01 c4 10 " A1, ERR_BAD, "another type" },
    { "a signature without its end",       WWW, 0, NULL, "92 20 94 01 c4 10 " A1 " 01 c4 21 c00c 002e 0001 0000012c 0015 0001 08 03 0000012c 6553f100 65000000 1234 01 78 00", ERR_BAD, "RDATA" },
    /* flags */
    { "alias without CNAME",               WWW, 0, NULL, "92 28 " SET_A, ERR_BAD, "alias" },
    { "CNAME without the flag",            WWW, 0, NULL, "92 20 " SET_CNAME, ERR_BAD, "alias" },
    { "a zone deeper than its owner",      WWW, 0, NULL, "92 40 " SET_A, ERR_BAD, "depth" },
    { "as deep as its apex, but none",     WWW, 0, NULL, "92 30 " SET_A, ERR_BAD, "depth" },
    { "an apex",                           WWW, 0, NULL, "92 31 " SET_A, OK, "" },
    { "an apex that is not as deep",       WWW, 0, NULL, "92 21 " SET_A, ERR_BAD, "apex" },
    { "a depth above all names",           WWW, 0, NULL, "92 cd 0800 " SET_A, ERR_BAD, "" },
    { "NS neither at an apex nor a cut",   SUB, 2, NULL, "92 20 " SET_NS, ERR_BAD, "NS without" },
    { "NS at an apex",                     SUB, 2, NULL, "92 31 " SET_NS, OK, "" },
    { "NS at a cut",                       SUB, 2, NULL, "92 22 " SET_NS, OK, "" },
    { "a parent's NS at no apex",          SUB, RRSLOT_PARENT_NS, NULL, "92 22 " SET_NS, ERR_BAD, "parent" },
    { "a parent's NS, as deep as the child", SUB, RRSLOT_PARENT_NS, NULL, "92 31 " SET_NS, ERR_BAD, "parent" },
    { "DNAME without its flag",            SUB, 39, NULL, "92 20 92 01 c4 0f c00c 0027 0001 00000005 0003 01 61 00", ERR_BAD, "DNAME" },
    { "NSEC3 at no apex",                  SUB, 50, NULL, "92 20 92 01 c4 13 c00c 0032 0001 00000009 0007 01 00 0000 00 01 ff", ERR_BAD, "NSEC3" },
    { "shadowed data of another depth",    SUB, 16, "example.com.", "92 30 " TXT1, ERR_BAD, "depth" },
    { "shadowed NSEC3",                    SUB, 50, "example.com.", "92 20 92 01 c4 13 c00c 0032 0001 00000009 0007 01 00 0000 00 01 ff", ERR_BAD, "slot" },
    /* below */
    { "a cut with glue",                   SUB, 2, NULL, "94 22 " SET_NS " c0 91 " GLUE("c4 04 03 6e7331", "0c"), OK, "" },
    { "the cut itself and two names",      SUB, 2, NULL, "94 22 " SET_NS " c0 93 " GLUE("c4 00", "00") GLUE("c4 02 01 61", "00") GLUE("c4 04 03 6e7331", "0c"), OK, "" },
    { "shadowed cut with glue",            SUB, 2, "example.com.", "94 20 " SET_NS " c0 91 " GLUE("c4 04 03 6e7331", "0c"), OK, "" },
    { "a newer element behind",            SUB, 2, NULL, "95 22 " SET_NS " c0 91 " GLUE("c4 04 03 6e7331", "0c") "c3", OK, "" },
    { "nothing below",                     SUB, 2, NULL, "94 22 " SET_NS " c0 90", ERR_BAD, "" },
    { "more entries than there are",       SUB, 2, NULL, "94 22 " SET_NS " c0 92 " GLUE("c4 04 03 6e7331", "0c"), ERR_SHORT, "" },
    { "fewer entries than there are",      SUB, 2, NULL, "94 22 " SET_NS " c0 91 " GLUE("c4 02 01 61", "00") GLUE("c4 04 03 6e7331", "0c"), ERR_BAD, "" },
    { "below an apex",                     SUB, 2, NULL, "94 31 " SET_NS " c0 91 " GLUE("c4 04 03 6e7331", "0c"), ERR_BAD, "below" },
    { "below TXT",                         SUB, 16, NULL, "94 20 " TXT1 " c0 91 " GLUE("c4 02 01 61", "00"), ERR_BAD, "below" },
    { "wrong offset",                      SUB, 2, NULL, "94 22 " SET_NS " c0 91 " GLUE("c4 04 03 6e7331", "0d"), ERR_BAD, "offset" },
    { "no offset where there is one",      SUB, 2, NULL, "94 22 " SET_NS " c0 91 " GLUE("c4 04 03 6e7331", "00"), ERR_BAD, "offset" },
    { "names out of order",                SUB, 2, NULL, "94 22 " SET_NS " c0 92 " GLUE("c4 02 01 62", "00") GLUE("c4 02 01 61", "00"), ERR_BAD, "order" },
    { "one name twice",                    SUB, 2, NULL, "94 22 " SET_NS " c0 92 " GLUE("c4 02 01 61", "00") GLUE("c4 02 01 61", "00"), ERR_BAD, "order" },
    { "upper case",                        SUB, 2, NULL, "94 22 " SET_NS " c0 91 " GLUE("c4 02 01 41", "00"), ERR_BAD, "malformed" },
    { "a final 0",                         SUB, 2, NULL, "94 22 " SET_NS " c0 91 " GLUE("c4 03 01 61 00", "00"), ERR_BAD, "malformed" },
    { "half a label",                      SUB, 2, NULL, "94 22 " SET_NS " c0 91 " GLUE("c4 02 02 61", "00"), ERR_BAD, "malformed" },
    { "types out of order",                SUB, 2, NULL, "94 22 " SET_NS " c0 91 94 c4 02 01 61 00 " TXT1 SET_A, ERR_BAD, "types below" },
    { "NS of the cut itself",              SUB, 2, NULL, "94 22 " SET_NS " c0 91 93 c4 00 00 92 01 c4 0f c00c 0002 0001 00000001 0003 01 61 00", ERR_BAD, "types below" },
    { "an entry without RRsets",           SUB, 2, NULL, "94 22 " SET_NS " c0 91 92 c4 02 01 61 00", ERR_BAD, "" },
    { "names compressed below",            SUB, 2, NULL, "94 22 " SET_NS " c0 91 93 c4 02 01 61 00 92 01 c4 0e c00c 000c 0001 00000001 0002 c00c", ERR_BAD, "form" },
    { "the owner below its own DNAME",     SUB, 39, NULL, "94 24 92 01 c4 0f c00c 0027 0001 00000005 0003 01 61 00 c0 91 " GLUE("c4 00", "00"), ERR_BAD, "DNAME" },
};

static void complaints(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes value = heap_from_hex(rows[i].hex), key;
        struct fault fault = { "" };
        if (rows[i].owner == NULL)
            key = heap_from_hex("777777 00 00 00");
        else
            key = sample_key(rows[i].owner, rows[i].slot, rows[i].apex);
        enum err got = blob_check(key, value, &fault);
        if (got != rows[i].want)
            fail_msg("%s: got '%s' (%s)", rows[i].why, err_text(got), fault.text);
        if (strstr(fault.text, rows[i].complaint) == NULL)
            fail_msg("%s: complains '%s'", rows[i].why, fault.text);
        assert_int_equal(blob_check(key, value, NULL), got);
        bytes_free(key);
        bytes_free(value);
    }
}

/* The RRset that just fits a message passes; names make the difference between the two. */
static void largest(void **state)
{
    (void)state;
    static uint8_t text[65535], buf[70000];
    static const char *const owners[] = { "a.", "aa." };
    for (size_t i = 0; i < ROWS(owners); i++) {
        struct name a = name_from("a.");
        struct bytes rdata[1] = { bytes_of(text, 65535 - 16 - 3 - 12) }, key = sample_key(owners[i], TYPE_TXT, NULL);
        struct rrset_in in = { .type = TYPE_TXT, .ttl = 1, .rdata = rdata, .n = 1 };
        struct wr w = wr_over(buf, sizeof buf);
        struct arena arena;
        arena_init(&arena);
        msg_put_array(&w, 2);
        msg_put_uint(&w, blob_flags(1, BLOB_APEX));
        assert_int_equal(rrset_write(&w, name_bytes(&a), &in, true, &arena), OK);
        assert_int_equal(blob_check(key, wr_done(&w), NULL), i == 0 ? OK : ERR_BAD);
        arena_release(&arena);
        bytes_free(key);
    }
}

/* A relative name that its owner makes longer than 255 bytes; with one byte less it passes. */
static void long_names_below(void **state)
{
    (void)state;
    static const uint8_t address[4] = { 192, 0, 2, 1 };
    for (size_t last = 45; last <= 46; last++) {                /* 17 bytes of owner, three labels of 63, one of `last` */
        uint8_t relname[4 * 64], buf[600];
        struct bytes rdata[1] = { bytes_of(address, 4) }, ns = heap_from_hex(SET_NS), key = sample_key(SUB, TYPE_NS, NULL);
        struct rrset_in in = { .type = TYPE_A, .ttl = 1, .rdata = rdata, .n = 1 };
        struct name sub = name_from(SUB);
        struct wr w = wr_over(buf, sizeof buf);
        struct fault fault;
        size_t len = 3 * 64 + 1 + last;
        memset(relname, 'a', sizeof relname);
        relname[0] = relname[64] = relname[128] = 63;
        relname[192] = (uint8_t)last;
        msg_put_array(&w, 4);
        msg_put_uint(&w, blob_flags(2, BLOB_CUT));
        wr_bytes(&w, ns);
        msg_put_nil(&w);
        msg_put_array(&w, 1);
        msg_put_array(&w, 3);
        msg_put_bin(&w, bytes_of(relname, len));
        msg_put_uint(&w, 0);
        assert_int_equal(rrset_write(&w, name_bytes(&sub), &in, false, NULL), OK);
        enum err err = blob_check(key, wr_done(&w), &fault);
        assert_int_equal(err, len + sub.len <= NAME_MAX_LEN ? OK : ERR_BAD);
        if (err != OK)
            assert_non_null(strstr(fault.text, "too long"));
        assert_int_equal(err == OK, last == 45);
        bytes_free(ns);
        bytes_free(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(complaints), cmocka_unit_test(largest), cmocka_unit_test(long_names_below) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
