/* Random zones, hosted above and below each other: for properties of builder/. */
#ifndef AZOTH_TESTS_PROP_RANDOM_ZONE_H
#define AZOTH_TESTS_PROP_RANDOM_ZONE_H

#include "tests/unit/builder_zone.h"

static const char *const origins[] = { ".", "a.", "b.a.", "c.b.a.", "d.c.b.a.", "d.a.", "c.d.a.", "x." };
#define ORIGINS ROWS(origins)

static inline struct name random_owner(struct rnd *rnd, const struct name *apex)
{
    static const char *const labels[] = { "a", "b", "c", "d", "*", "ns", "\\000", "\\001z", "x", "b-", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom" };
    struct name name = *apex, next;
    for (uint32_t depth = rnd_below(rnd, 5); depth > 0; depth--) {
        if (name_from_text(bytes_of_text(labels[rnd_below(rnd, ROWS(labels))]), name_bytes(&name), &next) != OK)
            fail_msg("label");
        name = next;
    }
    return name;
}

static inline void add(struct zone *z, const struct name *owner, uint16_t type, uint32_t ttl, const char *text)
{
    static uint8_t buf[65535];
    struct wr w = wr_over(buf, sizeof buf);
    struct fault fault = { .text = "" };
    if (rdata_from_text(type, bytes_of_text(text), name_bytes(&z->apex), &w, &fault) != OK)
        fail_msg("%s: %s", text, fault.text);
    assert_int_equal(zone_add(z, name_bytes(owner), type, ttl, wr_done(&w), 0), OK);
}

static inline bool has(const struct zone *z, const struct name *owner, bool (*which)(uint16_t))
{
    for (size_t i = 0; i < z->n; i++)
        if (bytes_equal(z->rr[i].owner, name_bytes(owner)) && which(z->rr[i].type))
            return true;
    return false;
}
static inline bool is_alias(uint16_t type) { return type == TYPE_CNAME; }
static inline bool is_dname(uint16_t type) { return type == TYPE_DNAME; }
static inline bool is_other(uint16_t type) { return type != TYPE_RRSIG && type != TYPE_NSEC; }

static inline void add_random(struct rnd *rnd, struct zone *z)
{
    static const struct { uint16_t type; const char *text[3]; } kinds[] = {
        { TYPE_A, { "192.0.2.1", "192.0.2.2", "192.0.2.3" } }, { TYPE_AAAA, { "::1", "::2", "::3" } },
        { TYPE_NS, { "ns", "a", "ns.b.a." } }, { TYPE_NS, { "ns.c", "b", "ns.d.a." } }, { TYPE_DS, { "1 8 2 ab", "2 8 2 ab", "3 8 2 cd" } },
        { TYPE_TXT, { "x", "y", "\"a b\"" } }, { TYPE_MX, { "10 a", "20 b.a.", "10 Mixed.Case." } },
        { TYPE_NSEC, { "a A", "b A NS", "a NS DS" } },
        { TYPE_RRSIG, { "A 8 3 300 20300101000000 20200101000000 1 @ AQAB", "NS 8 3 300 20300101000000 20200101000000 1 @ AQAC",
                        "TXT 8 3 300 20300101000000 20200101000000 1 @ AQAD" } },
        { TYPE_RRSIG, { "DS 8 3 300 20300101000000 20200101000000 1 @ AQAB", "NSEC 8 3 300 20300101000000 20200101000000 1 @ AQAC",
                        "NSEC3 8 3 300 20300101000000 20200101000000 1 @ AQAD" } },
        { TYPE_CNAME, { "a", "b", "c" } }, { TYPE_DNAME, { "q.", "r.", "s." } }, { 65280, { "\\# 1 ab", "\\# 0", "\\# 2 abcd" } },
        { 257, { "0 issue \"a\"", "0 issue \"b\"", "1 iodef \"c\"" } },
    };
    uint32_t k = rnd_below(rnd, ROWS(kinds));
    uint16_t type = kinds[k].type;
    struct name owner = random_owner(rnd, &z->apex);
    bool apex = owner.len == z->apex.len;
    if ((apex && (type == TYPE_DS || type == TYPE_CNAME)) || has(z, &owner, is_alias) ||
        (type == TYPE_CNAME && has(z, &owner, is_other)) || (type == TYPE_DNAME && has(z, &owner, is_dname)) ||
        (type == TYPE_DNAME && rnd_below(rnd, 3) != 0))
        return;
    add(z, &owner, type, 60 * (1 + rnd_below(rnd, 3)), kinds[k].text[rnd_below(rnd, 3)]);
}

static inline struct zone *random_zone(struct rnd *rnd, const char *origin)
{
    struct name apex = name_of(origin), hash;
    struct zone *z = malloc(sizeof *z);
    char soa[64];
    zone_init(z, name_bytes(&apex), "random");
    snprintf(soa, sizeof soa, "a b %u 2 3 4 30", rnd_below(rnd, 4));
    add(z, &apex, TYPE_SOA, 60, soa);
    add(z, &apex, TYPE_NS, 60, "ns");
    for (uint32_t n = rnd_below(rnd, 40); n > 0; n--)
        add_random(rnd, z);
    if (rnd_below(rnd, 3) == 0) {
        if (name_from_text(bytes_of_text("0P9MHAVEQVM6T7VBL5LOP2U3T2RP3TOM"), name_bytes(&apex), &hash) != OK)
            fail_msg("hash");
        add(z, &hash, TYPE_NSEC3, 60, "1 0 5 ab 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG");
        add(z, &apex, TYPE_NSEC3PARAM, 0, "1 0 5 ab");
    }
    return z;
}

/* A build sorts the records of its zone: give it a copy, its records in another order. */
static inline void copy_zone(struct rnd *rnd, const struct zone *from, struct zone *to)
{
    zone_init(to, name_bytes(&from->apex), "copy");
    for (size_t i = 0; i < from->n; i++)
        assert_int_equal(zone_add(to, from->rr[i].owner, from->rr[i].type, from->rr[i].ttl, from->rr[i].rdata, 0), OK);
    for (size_t i = to->n; i > 1; i--) {
        size_t k = rnd_below(rnd, (uint32_t)i);
        struct zone_rr t = to->rr[i - 1];
        to->rr[i - 1] = to->rr[k];
        to->rr[k] = t;
    }
}

#endif
