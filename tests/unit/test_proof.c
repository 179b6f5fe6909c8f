/* NSEC3 hashes, which records a proof takes and what it costs. Whole answers stand in tests/golden/answers/rfc4035.txt and
 * rfc5155.txt, whose zones are used here too. */
#include "dnsfront/nsec3.h"
#include "tests/answer_bed.h"
#include "tests/signed_zones.h"

/* --- hashes ----------------------------------------------------------------------------------------------------- */
static const struct { const char *name, *salt; unsigned iterations; const char *hash; } hash_rows[] = {
    /* RFC 5155 appendix A */
    { "example.", "aabbccdd", 12, "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom" },
    { "a.example.", "aabbccdd", 12, "35mthgpgcu1qg68fab165klnsnk3dpvl" },
    { "ai.example.", "aabbccdd", 12, "gjeqe526plbf1g8mklp59enfd789njgi" },
    { "ns1.example.", "aabbccdd", 12, "2t7b4g4vsa5smi47k61mv5bv1a22bojr" },
    { "ns2.example.", "aabbccdd", 12, "q04jkcevqvmu85r014c7dkba38o0ji5r" },
    { "w.example.", "aabbccdd", 12, "k8udemvp1j2f7eg6jebps17vp3n8i58h" },
    { "*.w.example.", "aabbccdd", 12, "r53bq7cc2uvmubfu5ocmm6pers9tk9en" },
    { "x.w.example.", "aabbccdd", 12, "b4um86eghhds6nea196smvmlo4ors995" },
    { "y.w.example.", "aabbccdd", 12, "ji6neoaepv8b5o6k4ev33abha8ht9fgc" },
    { "x.y.w.example.", "aabbccdd", 12, "2vptu5timamqttgl4luu9kg21e0aor3s" },
    { "xx.example.", "aabbccdd", 12, "t644ebqk9bibcna874givr6joj62mlhv" },
    { "2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.", "aabbccdd", 12, "kohar7mbb8dc2ce8a9qvl8hon4k53uhi" },
    /* as knsec3hash computes them */
    { "example.", "", 0, "3msev9usmd4br9s97v51r2tdvmr9iqo1" },
    { "ns1.example.", "", 0, "m1o89lfdo9rrf2f8r8ss42d81d09v48m" },
    { "ns1.example.", "ff", 150, "vjbs1c584j2r6qipdvuma0ouu9aqr3lh" },
};

static void hashes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(hash_rows); i++) {
        struct name name;
        uint8_t salt[8], label[NSEC3_LABEL_LEN];
        bed_name(hash_rows[i].name, &name);
        struct bytes hex = heap_from_hex(hash_rows[i].salt);
        memcpy(salt, hex.ptr, hex.len);
        const struct zone_nsec3 param = { 1, 0, (uint16_t)hash_rows[i].iterations, { salt, hex.len } };
        struct nsec3_hash h = nsec3_hash(&param, name_bytes(&name));
        nsec3_label(h.b, label);
        bytes_free(hex);
        if (label[0] != 32 || memcmp(label + 1, hash_rows[i].hash, 32) != 0)
            fail_msg("%s: got %.32s", hash_rows[i].name, (const char *)label + 1);
    }
}

/* --- what stands in the authority section ------------------------------------------------------------------------- */
static const char *type_text(uint16_t type)
{
    static const struct { uint16_t type; const char *text; } names[] = {
        { TYPE_SOA, "SOA" }, { TYPE_NS, "NS" }, { TYPE_DS, "DS" }, { TYPE_NSEC, "NSEC" }, { TYPE_NSEC3, "NSEC3" },
    };
    for (size_t i = 0; i < ROWS(names); i++)
        if (names[i].type == type)
            return names[i].text;
    return "?";
}

/* "SOA NSEC b.example. NSEC example.": the records of the authority section but signatures; owners of NSEC, of NSEC3 the
 * first four digits of the hash. */
static void authority_text(struct bytes reply, char *out, size_t cap)
{
    struct rd r = rd_over(reply);
    struct name owner, last = { 0 };
    char text[NAME_TEXT_MAX];
    size_t at = 0;
    (void)rd_take(&r, 6);
    unsigned an = rd_u16(&r), ns = rd_u16(&r);
    (void)rd_u16(&r);
    assert_int_equal(name_unpack(&r, reply, &owner), OK);
    (void)rd_take(&r, 4);
    out[0] = '\0';
    for (unsigned i = 0; i < an + ns; i++) {
        assert_int_equal(name_unpack(&r, reply, &owner), OK);
        uint16_t type = rd_u16(&r);
        (void)rd_take(&r, 6);
        (void)rd_take(&r, rd_u16(&r));
        if (i > an && type == TYPE_RRSIG && !name_equal(name_bytes(&owner), name_bytes(&last)))
            fail_msg("a signature at %s", name_text(text, sizeof text, name_bytes(&owner)));
        last = owner;
        if (i < an || type == TYPE_RRSIG)
            continue;
        name_text(text, sizeof text, name_bytes(&owner));
        if (type == TYPE_NSEC3)
            text[4] = '\0';
        at += (size_t)snprintf(out + at, cap - at, "%s%s%s%s", at > 0 ? " " : "", type_text(type),
                               type == TYPE_NSEC || type == TYPE_NSEC3 ? " " : "",
                               type == TYPE_NSEC || type == TYPE_NSEC3 ? text : "");
        assert_true(at < cap);
    }
    assert_false(r.bad);
}

static void ask_text(struct bed *b, const char *qname, uint16_t type, char *out, size_t cap)
{
    struct name name;
    bed_name(qname, &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = type, .qclass = CLASS_IN, .udp_size = 4096, .dnssec_ok = true,
                     .tcp = true };
    struct bytes reply = bed_ask(b, &q);
    authority_text(reply, out, cap);
    bytes_free(reply);
}

/* The zone of a golden file. */
static void load_golden(struct bed *b, const char *file)
{
    char path[1024], line[1024];
    static char text[16384];
    const char *root = getenv("srcdir");
    (void)snprintf(path, sizeof path, "%s/tests/golden/answers/%s", root != NULL ? root : ".", file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[0] = '\0';
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "| ", 2) == 0 && strlen(text) + strlen(line) < sizeof text)
            strcat(text, line + 2);
    assert_int_equal(fclose(f), 0);
    bed_load(b, "example.", text);
}

/* --- the price --------------------------------------------------------------------------------------------------- */
static const struct { const char *why, *file, *name; uint16_t type; unsigned steps, descents; } price_rows[] = {
    { "an answer needs no proof",                    "rfc4035.txt", "x.w.example.",    TYPE_MX, 0, 0 },
    { "a referral with DS needs none",               "rfc4035.txt", "mc.a.example.",   TYPE_MX, 0, 0 },
    { "NSEC: no data is one look-up",                "rfc4035.txt", "ns1.example.",    TYPE_MX, 1, 1 },
    { "NSEC: a cut without DS too",                  "rfc4035.txt", "mc.b.example.",   TYPE_MX, 1, 1 },
    { "NSEC: what the look-up stopped behind is free", "rfc4035.txt", "y.w.example.",  TYPE_MX, 1, 0 },
    { "NSEC: an answer of a wildcard too",           "rfc4035.txt", "a.z.w.example.",  TYPE_MX, 1, 0 },
    { "NSEC: no name: one for the wildcard",         "rfc4035.txt", "ml.example.",     TYPE_MX, 2, 1 },
    { "NSEC: behind the apex, whose last key is no NSEC: one more", "rfc4035.txt", "0.example.", TYPE_MX, 2, 2 },
    { "NSEC: no data at a wildcard: one for the wildcard", "rfc4035.txt", "a.z.w.example.",  TYPE_A, 2, 1 },
    { "NSEC3: no data is one look-up",               "rfc5155.txt", "ns1.example.",    TYPE_MX, 1, 1 },
    { "NSEC3: an answer of a wildcard too",          "rfc5155.txt", "a.z.w.example.",  TYPE_MX, 1, 1 },
    { "NSEC3: no name: three",                       "rfc5155.txt", "a.c.x.w.example.", TYPE_A, 3, 3 },
    { "NSEC3: no data at a wildcard: three",         "rfc5155.txt", "a.z.w.example.",  TYPE_A, 3, 3 },
    { "NSEC3: opt-out: cut, encloser, next closer",  "rfc5155.txt", "mc.c.example.",   TYPE_A, 3, 3 },
    { "NSEC3: before the first hash: round the ring", "rfc5155.txt", "x38.example.",   TYPE_A, 3, 4 },
};

static void prices(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(price_rows); i++) {
        struct bed bed;
        char text[512];
        bed_open(&bed, NULL, NULL);
        load_golden(&bed, price_rows[i].file);
        ask_text(&bed, price_rows[i].name, price_rows[i].type, text, sizeof text);
        uint64_t steps = stat_get(&bed.counts.steps[STEP_PROOF]), descents = stat_get(&bed.counts.descents[STEP_PROOF]);
        if (steps != price_rows[i].steps || descents != price_rows[i].descents)
            fail_msg("%s: %lu steps, %lu descents, for %s", price_rows[i].why, (unsigned long)steps, (unsigned long)descents,
                     text);
        bed_close(&bed);
    }
}

/* --- the choice -------------------------------------------------------------------------------------------------- */
#define SOA_ "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns.other.\n"
#define SIG(type) " RRSIG " type " 13 1 300 20300101000000 20200101000000 1 z. AAAA\n"
#define SIGNED_SOA SOA_ "@" SIG("SOA")
static const char outer[] = SIGNED_SOA "@ NSEC b NS SOA RRSIG NSEC\nb NS ns.other.\nb NSEC e NS RRSIG NSEC\ne A 192.0.2.1\n"
                                       "e NSEC m A RRSIG NSEC\nm NS ns.other.\nm NSEC @ NS RRSIG NSEC\n";
static const char inner[] = SOA_ "x A 192.0.2.2\nx.y.z A 192.0.2.3\n";
static const char signed_inner[] = SIGNED_SOA "@ NSEC v NS SOA RRSIG NSEC\nv A 192.0.2.1\nv NSEC @ A RRSIG NSEC\n";

struct loaded { const char *origin, *text; };
static const struct { const char *why; struct loaded zone[4]; const char *name; uint16_t type; const char *want; } choice_rows[] = {
    { "a zone whose SOA is not signed proves nothing", { { "z.", SOA_ "@ NSEC @ NS SOA NSEC\n" } }, "x.z.", TYPE_A, "SOA" },
    { "a signed one without NSEC cannot", { { "z.", SIGNED_SOA } }, "x.z.", TYPE_A, "SOA" },
    { "one NSEC may prove all", { { "z.", SIGNED_SOA "@ NSEC @ NS SOA RRSIG NSEC\n" } }, "x.z.", TYPE_A, "SOA NSEC z." },
    { "an owner that the signer forgot: nothing in its place",
      { { "z.", SIGNED_SOA "@ NSEC @ NS SOA RRSIG NSEC\nx A 192.0.2.1\n" } }, "x.z.", TYPE_MX, "SOA" },
    { "NSEC3PARAM without NSEC3", { { "z.", SIGNED_SOA "@ NSEC3PARAM 1 0 0 -\n" } }, "x.z.", TYPE_A, "SOA" },
    { "a chain under construction does not count",
      { { "z.", SIGNED_SOA "@ NSEC3PARAM 1 1 0 -\n@ NSEC @ NS SOA RRSIG NSEC NSEC3PARAM\n" } }, "x.z.", TYPE_A, "SOA NSEC z." },
    { "a hash that we cannot compute does not count",
      { { "z.", SIGNED_SOA "@ NSEC3PARAM 2 0 0 -\n@ NSEC @ NS SOA RRSIG NSEC NSEC3PARAM\n" } }, "x.z.", TYPE_A, "SOA NSEC z." },
    { "a name behind a hosted child: the parent's NSEC at its apex", { { "z.", outer }, { "b.z.", inner } }, "c.z.", TYPE_A,
      "SOA NSEC b.z. NSEC z." },
    { "and behind a child that hosts one more", { { "z.", outer }, { "b.z.", inner }, { "q.b.z.", inner } }, "c.z.", TYPE_A,
      "SOA NSEC b.z. NSEC z." },
    { "and behind a zone below that the parent does not delegate to",
      { { "z.", outer }, { "b.z.", inner }, { "a.c.z.", inner }, { "q.a.c.z.", inner } }, "d.z.", TYPE_A, "SOA NSEC b.z. NSEC z." },
    { "the last name of the zone is a hosted child", { { "z.", outer }, { "m.z.", inner } }, "n.z.", TYPE_A,
      "SOA NSEC m.z. NSEC z." },
    { "no DS at a hosted child: the parent's word", { { "z.", outer }, { "b.z.", signed_inner } }, "b.z.", TYPE_DS,
      "SOA NSEC b.z." },
    { "no data at its apex: the child's", { { "z.", outer }, { "b.z.", signed_inner } }, "b.z.", TYPE_MX, "SOA NSEC b.z." },
    { "an unsigned child proves nothing", { { "z.", outer }, { "b.z.", inner } }, "b.z.", TYPE_MX, "SOA" },
    { "no DS at an apex whose parent is elsewhere", { { "b.z.", signed_inner } }, "b.z.", TYPE_DS, "SOA NSEC b.z." },
    { "the root", { { ".", SIGNED_SOA "@ NSEC c NS SOA RRSIG NSEC\nc NS ns.other.\nc NSEC @ NS RRSIG NSEC\n" } }, "d.", TYPE_A,
      "SOA NSEC c. NSEC ." },
    { "the root around a hosted zone",
      { { ".", SIGNED_SOA "@ NSEC c NS SOA RRSIG NSEC\nc NS ns.other.\nc NSEC @ NS RRSIG NSEC\n" }, { "c.", inner } }, "x.d.",
      TYPE_A, "SOA NSEC c. NSEC ." },
};

static void choices(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(choice_rows); i++) {
        struct bed bed;
        char text[512];
        bed_open(&bed, NULL, NULL);
        for (size_t k = 0; k < ROWS(choice_rows[i].zone) && choice_rows[i].zone[k].origin != NULL; k++)
            bed_load(&bed, choice_rows[i].zone[k].origin, choice_rows[i].zone[k].text);
        ask_text(&bed, choice_rows[i].name, choice_rows[i].type, text, sizeof text);
        if (strcmp(text, choice_rows[i].want) != 0)
            fail_msg("%s: got '%s'", choice_rows[i].why, text);
        assert_int_equal(stat_get(&bed.counts.broken), 0);
        bed_close(&bed);
    }
}

/* --- NSEC3 chains made here --------------------------------------------------------------------------------------- */
struct text { char at[65536]; size_t len; };
static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->len += (size_t)vsnprintf(t->at + t->len, sizeof t->at - t->len, format, args);
    va_end(args);
    assert_true(t->len < sizeof t->at);
}

static int by_hash(const void *a, const void *b) { return memcmp(a, b, sizeof(struct nsec3_hash)); }

/* NSEC3 of those names of zone z., as a ring. salt: one byte. */
static void put_chain(struct text *t, const char *const *names, size_t n, uint8_t salt, unsigned iterations)
{
    struct nsec3_hash h[64];
    const struct zone_nsec3 param = { 1, 0, (uint16_t)iterations, { &salt, 1 } };
    assert_true(n <= ROWS(h));
    for (size_t i = 0; i < n; i++) {
        struct name name;
        bed_name(names[i], &name);
        h[i] = nsec3_hash(&param, name_bytes(&name));
    }
    qsort(h, n, sizeof h[0], by_hash);
    for (size_t i = 0; i < n; i++) {
        uint8_t label[NSEC3_LABEL_LEN], next[NSEC3_LABEL_LEN];
        nsec3_label(h[i].b, label);
        nsec3_label(h[(i + 1) % n].b, next);
        put(t, "%.32s NSEC3 1 0 %u %02x %.32s A RRSIG\n", (const char *)label + 1, iterations, salt, (const char *)next + 1);
    }
}

/* Two chains in one zone, as while the salt is changed: only records of the one whose NSEC3PARAM sorts first come. */
static void two_chains(void **state)
{
    static const char *const names[] = { "z.",  "a.z.", "b.z.", "c.z.", "d.z.", "e.z.", "f.z.", "g.z.",
                                         "h.z.", "i.z.", "j.z.", "k.z.", "l.z.", "m.z.", "n.z.", "o.z." };
    static struct text zone;
    struct bed bed, *b = &bed;
    struct zone_nsec3 param = { 1, 0, 3, { (const uint8_t *)"\x11", 1 } };
    (void)state;
    zone.len = 0;
    put(&zone, SIGNED_SOA "@ NSEC3PARAM 1 0 3 22\n@ NSEC3PARAM 1 0 3 11\n");
    for (size_t i = 1; i < ROWS(names); i++)
        put(&zone, "%s A 192.0.2.1\n", names[i]);
    put_chain(&zone, names, ROWS(names), 0x22, 3);
    put_chain(&zone, names, ROWS(names), 0x11, 3);
    bed_open(b, NULL, NULL);
    bed_load(b, "z.", zone.at);
    for (unsigned i = 0; i < 200; i++) {
        char qname[32], text[512], first[8];
        uint8_t label[NSEC3_LABEL_LEN];
        (void)snprintf(qname, sizeof qname, "x%u.z.", i);
        ask_text(b, qname, TYPE_A, text, sizeof text);
        for (const char *at = text; (at = strstr(at, "NSEC3 ")) != NULL; at++) {
            bool ours = false;
            memcpy(first, at + 6, 4);
            for (size_t k = 0; k < ROWS(names) && !ours; k++) {
                struct name name;
                bed_name(names[k], &name);
                struct nsec3_hash h = nsec3_hash(&param, name_bytes(&name));
                nsec3_label(h.b, label);
                ours = memcmp(label + 1, first, 4) == 0;
            }
            if (!ours)
                fail_msg("%s: %s", qname, text);
        }
        assert_true(strstr(text, "NSEC3") != NULL);
    }
    bed_close(b);
}

/* --- the whole chain of aliases proves itself, once each, within a bound ------------------------------------------- */
static void put_alias_chain(struct text *t, unsigned links, unsigned iterations)
{
    static char owner[20][16];
    const char *names[64];
    size_t n = 0;
    names[n++] = "z.";
    put(t, SIGNED_SOA "@ NSEC3PARAM 1 0 %u 11\n", iterations);
    for (unsigned i = 0; i < links; i++) {
        (void)snprintf(owner[i], sizeof owner[i], "w%u.z.", i);
        names[n++] = owner[i];
        put(t, "*.w%u CNAME x.w%u\n", i, i + 1);
    }
    put(t, "*.w%u A 192.0.2.1\n", links);
    put_chain(t, names, n, 0x11, iterations);
}

static void long_chains(void **state)
{
    static const struct { unsigned links, iterations; bool dear; } rows[] = {
        { 5, 0, false }, { 16, 0, false }, { 16, 150, false }, { 5, 2500, false }, { 16, 2500, true },
    };
    static struct text zone;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bed bed, *b = &bed;
        struct name name;
        zone.len = 0;
        put_alias_chain(&zone, rows[i].links, rows[i].iterations);
        bed_open(b, NULL, NULL);
        bed_load(b, "z.", zone.at);
        bed_name("x.w0.z.", &name);
        struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN, .udp_size = 4096, .dnssec_ok = true,
                         .tcp = true };
        struct bytes reply = bed_ask(b, &q);
        struct rd r = rd_over(bytes_of(reply.ptr + 2, reply.len - 2));
        unsigned rcode = rd_u16(&r) & DNS_RCODE, an, ns;
        (void)rd_u16(&r);
        an = rd_u16(&r);
        ns = rd_u16(&r);
        assert_int_equal(rcode, rows[i].dear ? RCODE_SERVFAIL : RCODE_NOERROR);
        if (!rows[i].dear) {
            assert_int_equal(an, rows[i].links + 1);
            assert_in_range(ns, 1, rows[i].links + 1);      /* a record may cover several names, and stands there once */
            assert_int_equal(stat_get(&b->counts.steps[STEP_PROOF]), rows[i].links + 1);
        }
        bytes_free(reply);
        bed_close(b);
    }
}

/* A proof that stands where no pointer reaches (behind 16,383). */
static void beyond_pointers(void **state)
{
    static struct text zone;
    struct bed bed, *b = &bed;
    char text[512];
    (void)state;
    zone.len = 0;
    put(&zone, SIGNED_SOA "@ NSEC b NS SOA RRSIG NSEC\n@" SIG("NSEC") "b A 192.0.2.1\nb NSEC *.big A RRSIG NSEC\nb" SIG("NSEC"));
    for (unsigned i = 0; i < 90; i++)
        put(&zone, "*.big TXT %0250u\n", i);
    put(&zone, "*.big" SIG("TXT") "*.big NSEC n.big TXT RRSIG NSEC\nn.big A 192.0.2.2\nn.big NSEC @ A RRSIG NSEC\nn.big" SIG("NSEC"));
    bed_open(b, NULL, NULL);
    bed_load(b, "z.", zone.at);
    ask_text(b, "q.big.z.", TYPE_TXT, text, sizeof text);
    assert_string_equal(text, "NSEC n.big.z.");
    bed_close(b);
}

/* Damaged records: SERVFAIL or another answer, but always one, and never a byte read that is not there (ASan). */
static void damaged_records(void **state)
{
    static const struct { const char *name; uint16_t type; } asks[] = {
        { "x.w.s.", TYPE_A }, { "no.s.", TYPE_A }, { "x.cut.s.", TYPE_A }, { "ent.s.", TYPE_A }, { "x.w.t.", TYPE_A },
        { "no.ent.t.", TYPE_A }, { "x.cut.t.", TYPE_A }, { "t.", TYPE_MX },
    };
    struct { struct bytes key, value; } all[64];
    struct bed bed, *b = &bed;
    struct cursor *c;
    struct entry e;
    size_t n = 0;
    (void)state;
    bed_open(b, NULL, NULL);
    bed_load(b, "s.", signed_s);
    bed_load(b, "t.", signed_t);
    assert_int_equal(view_begin(b->build_view), OK);
    assert_int_equal(cursor_open(b->build_view, bytes_of_text("dns"), &c), OK);
    for (enum err err = cursor_seek(c, (struct bytes){ 0 }, &e); err == OK && n < ROWS(all); err = cursor_next(c, &e)) {
        all[n].key = heap_copy(e.key.ptr, e.key.len);
        all[n++].value = heap_copy(e.value.ptr, e.value.len);
    }
    cursor_close(c);
    view_end(b->build_view);
    struct rnd r = rnd_seed(seed_from_env(9));
    for (unsigned round = 0; round < 1000; round++) {
        size_t i = rnd_below(&r, (uint32_t)n);
        struct bytes bad = heap_copy(all[i].value.ptr, all[i].value.len);
        uint8_t *at = (uint8_t *)(uintptr_t)bad.ptr + rnd_below(&r, (uint32_t)bad.len);
        *at = (uint8_t)(*at ^ (1 + rnd_below(&r, 255)));
        struct op op = { OP_PUT, bytes_of_text("dns"), all[i].key, bytes_of(bad.ptr, bad.len - (rnd_below(&r, 8) == 0)) };
        bed_apply(b, &op, 1);
        for (size_t k = 0; k < ROWS(asks); k++) {
            struct name name;
            bed_name(asks[k].name, &name);
            struct ask q = { .qname = name_bytes(&name), .qtype = asks[k].type, .qclass = CLASS_IN, .udp_size = 4096,
                             .dnssec_ok = true, .tcp = k % 2 == 0 };
            struct bytes reply = bed_ask(b, &q);
            assert_true(reply.len >= DNS_HEADER_LEN + name.len + 4u);
            bytes_free(reply);
        }
        op.value = all[i].value;
        bed_apply(b, &op, 1);
        bytes_free(bad);
    }
    assert_true(stat_get(&b->counts.broken) > 0);
    for (size_t i = 0; i < n; i++) {
        bytes_free(all[i].key);
        bytes_free(all[i].value);
    }
    bed_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes),     cmocka_unit_test(prices),      cmocka_unit_test(choices),
        cmocka_unit_test(two_chains), cmocka_unit_test(long_chains), cmocka_unit_test(beyond_pointers),
        cmocka_unit_test(damaged_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
