/* Placing into messages, byte by byte: where pointers go, what is written out, what is refused. The message before is given
 * in hex; `fill` bytes of 00 stand between it and the RRs. */
#include "tests/unit/rrset_sample.h"

#define HEADER "0000 8400 0001 0000 0000 0000 "
#define EXAMPLE "07 6578616d706c65 03 636f6d 00 "                    /* example.com. */
#define IN_NS "0002 0001 "
/* example.com. NS ns1.example.com., NS ns2.example.com.; the second by way of a made-up pointer at the first's end */
#define WIRE "c00c 0002 0001 00000001 0006 03 6e7331 c00c c00c 0002 0001 00000001 0006 03 6e7332 c02d "
#define AS_SENT(owner, first, second) owner " 0002 0001 00000001 0006 03 6e7331 " first " " owner " 0002 0001 00000001 0006 03 6e7332 " second " "
#define AAAA_WIRE "c00c 001c 0001 00000001 0010 20010db8000000000000000000000001 "

static const struct { const char *why, *owner, *before; size_t fill; unsigned at, skew; const char *wire; unsigned count; const char *want; } rows[] = {
    { "owner is the question: as it is", "example.com.", HEADER EXAMPLE IN_NS, 0, 12, 0, WIRE, 2, WIRE },
    { "question one label longer: all moved by 4", "example.com.", HEADER "03 777777 " EXAMPLE IN_NS, 0, 16, 0, WIRE, 2, AS_SENT("c010", "c010", "c031") },
    { "behind other RRs: only pointers at itself move", "example.com.", HEADER EXAMPLE IN_NS, 100, 12, 0, WIRE, 2, AS_SENT("c00c", "c00c", "c091") },
    { "owner in RDATA, in one piece", "example.com.", HEADER "01 78 00" IN_NS EXAMPLE, 0, 19, 0, WIRE, 2, AS_SENT("c013", "c013", "c030") },
    { "owner in two pieces", "example.com.", HEADER "03 636f6d 00" IN_NS "07 6578616d706c65 c00c", 0, 21, 0,
      "c00c 0002 0001 00000001 0006 03 6e7331 c00c c00c 0002 0001 00000001 0006 03 6e7332 c014", 2, AS_SENT("c015", "c015", "c00c") },
    { "where the owner should be is a pointer at it", "example.com.", HEADER EXAMPLE IN_NS "c00c", 0, 29, 0, WIRE, 2, AS_SENT("c00c", "c00c", "c02f") },
    { "wildcard: the owner is the question", "*.com.", HEADER "03 777777 03 636f6d 00" IN_NS, 0, 12, 2,
      "c00c 0002 0001 00000001 0004 01 61 c00e", 1, "c00c 0002 0001 00000001 0004 01 61 c010" },
    { "wildcard of several labels", "*.com.", HEADER "01 61 01 62 03 636f6d 00" IN_NS, 0, 12, 2,
      "c00c 0002 0001 00000001 0004 01 61 c00e", 1, "c00c 0002 0001 00000001 0004 01 61 c010" },
    { "no names: owner is the question", "com.", HEADER "03 636f6d 00" IN_NS, 5, 12, 0, AAAA_WIRE, 1, AAAA_WIRE },
    { "no names: owner elsewhere", "com.", HEADER "01 61 03 636f6d 00" IN_NS, 5, 14, 0, AAAA_WIRE, 1,
      "c00e 001c 0001 00000001 0010 20010db8000000000000000000000001" },
    { "beyond 16,383: names at itself are written out", "example.com.", HEADER EXAMPLE IN_NS, 16384 - 40, 12, 0, WIRE, 2,
      "c00c 0002 0001 00000001 0006 03 6e7331 c00c c00c 0002 0001 00000001 0011 03 6e7332 " EXAMPLE },
    { "beyond 16,383: owner and all", "com.", HEADER "01 78 00" IN_NS, 16384 - 19, 16384, 0,
      "c00c 0002 0001 00000001 0004 01 61 c00c", 1, "03 636f6d 00 0002 0001 00000001 0007 01 61 03 636f6d 00" },
    { "beyond 16,383: no names, but the owner", "com.", HEADER "01 78 00" IN_NS, 16384 - 19, 16384, 0,
      "c00c 0001 0001 00000001 0004 01020304", 1, "03 636f6d 00 0001 0001 00000001 0004 01020304" },
    { "root owner", ".", HEADER "00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0003 01 61 00 c00c 0002 0001 00000001 0004 01 62 c01d", 2,
      "c00c 0002 0001 00000001 0003 01 61 00 c00c 0002 0001 00000001 0004 01 62 c01e" },
};

static struct wr message(const char *before, size_t fill, size_t at, const struct name *owner)
{
    struct bytes head = heap_from_hex(before);
    struct wr w = wr_over(malloc(70000), 70000);
    wr_bytes(&w, head);
    uint8_t *room = wr_room(&w, fill);
    memset(room, 0, fill);
    if (at >= head.len) {                       /* the owner stands at the end of what is filled */
        assert_int_equal(at, w.len);
        wr_bytes(&w, name_bytes(owner));
    }
    bytes_free(head);
    return w;
}

/* As rrset_place; where the owner stands in one piece by a plan, which must do the same. */
static enum err place(struct wr *w, struct bytes wire, unsigned count, const struct rr_place *where)
{
    struct bytes owner = where->owner_name;
    struct rr_plan plan;
    if (where->skew > 0 || where->owner_at + owner.len > w->len || memcmp(w->buf + where->owner_at, owner.ptr, owner.len) != 0)
        return rrset_place(w, wire, count, where);
    rrset_plan(wire, count, owner.len, &plan);
    struct wr plain = { malloc(w->cap + 1), w->len, w->cap, false };
    memcpy(plain.buf, w->buf, w->len);
    enum err err = rrset_place_planned(w, wire, count, &plan, where);
    assert_int_equal(rrset_place(&plain, wire, count, where), err);
    assert_int_equal(plain.len, w->len);
    assert_memory_equal(plain.buf, w->buf, w->len);
    free(plain.buf);
    return err;
}

static void places(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct name owner = name_from(rows[i].owner);
        struct bytes wire = heap_from_hex(rows[i].wire), want = heap_from_hex(rows[i].want);
        struct rr_place where = { name_bytes(&owner), (uint16_t)rows[i].at, (uint16_t)rows[i].skew };
        struct wr w = message(rows[i].before, rows[i].fill, rows[i].at, &owner);
        size_t start = w.len;
        char text[512];
        for (size_t room = 0; room <= want.len; room++) {       /* every size but the last is too small */
            w.cap = start + room;
            enum err err = place(&w, wire, rows[i].count, &where);
            if (err != (room < want.len ? ERR_NOSPACE : OK))
                fail_msg("%s: '%s' with %zu bytes of room", rows[i].why, err_text(err), room);
            assert_false(w.full);
            assert_int_equal(w.len, err == OK ? start + want.len : start);
        }
        if (!bytes_equal(bytes_of(w.buf + start, w.len - start), want))
            fail_msg("%s: got %s", rows[i].why, hex_of(text, sizeof text, bytes_of(w.buf + start, w.len - start)));
        free(w.buf);
        bytes_free(wire);
        bytes_free(want);
    }
}

static const struct { const char *why, *owner, *before; size_t fill; unsigned at, skew; const char *wire; unsigned count; } broken[] = {
    { "RR without its owner",       "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c010 0002 0001 00000001 0003 01 61 00", 1 },
    { "RR cut off",                 "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0004 01 61 00", 1 },
    { "more RRs than counted",      "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0001 00 c00c 0002 0001 00000001 0003 01 61 00", 1 },
    { "fewer RRs than counted",     "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0001 00", 2 },
    { "two types",                  "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0001 00 c00c 0001 0001 00000001 0004 01020304", 2 },
    { "a name that runs out",       "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0002 01 61", 1 },
    { "a label of no meaning",      "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0002 40 00", 1 },
    { "MX without preference",      "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 000f 0001 00000001 0001 00", 1 },
    { "a pointer into the header",  "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0002 c00b", 1 },
    { "a pointer at type and class", "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0002 c011", 1 },
    { "a pointer at itself",        "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0002 c021", 1 },
    { "a pointer ahead",            "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0002 ffff", 1 },
    { "half a pointer",             "com.", HEADER "03 636f6d 00" IN_NS, 1, 12, 0, "c00c 0002 0001 00000001 0001 c0", 1 },
    { "beyond 16,383: a pointer at itself", "com.", HEADER "03 636f6d 00" IN_NS, 16384, 12, 0, "c00c 0002 0001 00000001 0002 c021", 1 },
    { "beyond 16,383: a pointer into the header", "com.", HEADER "03 636f6d 00" IN_NS, 16384, 12, 0, "c00c 0002 0001 00000001 0002 c00b", 1 },
    { "beyond 16,383: a pointer into a label", "com.", HEADER "03 636f6d 00" IN_NS, 16384, 12, 0, "c00c 0002 0001 00000001 0002 c00d", 1 },
    { "beyond 16,383: two that point at each other", "com.", HEADER "03 636f6d 00" IN_NS, 16384, 12, 0,
      "c00c 0006 0001 00000001 0004 c023 c021", 1 },
    { "beyond 16,383: a name over 255 bytes", "com.", HEADER "03 636f6d 00" IN_NS, 16384, 12, 0,
      "c00c 0006 0001 00000001 0104 3f 616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
      "3f 616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
      "3f 616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
      "3f 616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
      "c00c c021", 1 },
    { "an alias whose wildcard's first byte is pointed at", "*.com.", HEADER "03 777777 03 636f6d 00" IN_NS, 0, 12, 2, "c00c 0002 0001 00000001 0002 c00c", 1 },
    { "the same beyond 16,383",     "*.com.", HEADER "03 777777 03 636f6d 00" IN_NS, 16384, 12, 2, "c00c 0002 0001 00000001 0002 c00c", 1 },
    { "the message: no name at the owner's place", "com.", HEADER "ff ff ff" IN_NS, 1, 13, 0, "c00c 0001 0001 00000001 0004 01020304", 1 },
    { "the message: a pointer ahead there", "com.", HEADER "00" IN_NS "c0ff 00", 0, 17, 0, "c00c 0001 0001 00000001 0004 01020304", 1 },
    { "the message: a pointer at itself there", "com.", HEADER "00" IN_NS "c011 00", 0, 17, 0, "c00c 0001 0001 00000001 0004 01020304", 1 },
    { "the message: the name there is shorter", "example.com.", HEADER "00" IN_NS "01 61 00", 0, 17, 0,
      "c00c 0002 0001 00000001 0002 c014", 1 },
    { "the message: a pointer into the header", "com.", HEADER "00" IN_NS "c004 00", 0, 17, 0, "c00c 0001 0001 00000001 0004 01020304", 1 },
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(broken); i++) {
        struct name owner = name_from(broken[i].owner);
        struct bytes wire = heap_from_hex(broken[i].wire);
        struct rr_place where = { name_bytes(&owner), (uint16_t)broken[i].at, (uint16_t)broken[i].skew };
        struct wr w = message(broken[i].before, broken[i].fill, broken[i].at, &owner);
        size_t start = w.len;
        enum err err = place(&w, wire, broken[i].count, &where);
        if (err != ERR_BAD)
            fail_msg("%s: '%s'", broken[i].why, err_text(err));
        assert_int_equal(w.len, start);
        assert_false(w.full);
        free(w.buf);
        bytes_free(wire);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(places), cmocka_unit_test(refuses) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
