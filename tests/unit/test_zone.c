#include "tests/unit/builder_zone.h"

#define SOA "@ 60 SOA a b 1 2 3 4 30\n"
#define APEX SOA "@ 60 NS ns\n"

/* --- guards ------------------------------------------------------------------------------------------------------------ */
static const struct { const char *why, *text; uint32_t line; const char *says; } refused[] = {
    { "empty file", "", 0, "no SOA" },
    { "no SOA", "@ NS ns\n", 0, "no SOA" },
    { "two SOAs", APEX "@ SOA a b 2 2 3 4 5\n", 3, "more than one SOA" },
    { "SOA below the apex", APEX "x SOA a b 1 2 3 4 5\n", 3, "not the apex" },
    { "no NS at the apex", SOA "x NS ns\n", 0, "no NS" },
    { "data outside of the zone", APEX "example.com. A 192.0.2.1\n", 3, "outside" },
    { "data at the parent", APEX "org. A 192.0.2.1\n", 3, "outside" },
    { "data in a zone that ends alike", APEX "x.yexample.org. A 192.0.2.1\n", 3, "outside" },
    { "CNAME beside other data", APEX "x CNAME y\nx A 192.0.2.1\n", 4, "CNAME beside" },
    { "CNAME beside other data, the other way round", APEX "x TXT y\nx CNAME y\n", 3, "CNAME beside" },
    { "CNAME at the apex", APEX "@ CNAME y\n", 2, "CNAME beside" },
    { "CNAME at a cut", APEX "x CNAME y\nx NS y\n", 4, "CNAME beside" },
    { "two CNAMEs", APEX "x CNAME y\nx CNAME z\n", 4, "more than one CNAME" },
    { "two DNAMEs", APEX "x DNAME y\nx DNAME z\n", 4, "more than one DNAME" },
    { "CNAME and DNAME", APEX "x CNAME y\nx DNAME z\n", 4, "CNAME beside" },
    { "DS at the apex", APEX "@ DS 1 8 2 ab\n", 3, "parent zone" },
    { "NSEC3 with iterations beyond all keys", APEX "@ NSEC3PARAM 1 0 2501 -\n", 3, "at most 2500" },
    { "NSEC3 at no hash", APEX "x NSEC3 1 0 5 ab 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n", 3, "not a hash" },
    { "NSEC3 too deep", APEX "2t7b4g4vsa5smi47k61mv5bv1a22bojr.x NSEC3 1 0 5 ab 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n", 3, "not a hash" },
};

static void refuses(void **state)
{
    (void)state;
    struct complaints *c = calloc(1, sizeof *c);
    struct place p;
    size_t n;
    place_open(&p);
    for (size_t i = 0; i < ROWS(refused); i++) {
        if (place_load(&p, "example.org.", refused[i].text, false, c, &n) != ERR_REFUSED)
            fail_msg("%s: accepted", refused[i].why);
        if (c->errors_n == 0 || c->errors[0].line != refused[i].line || strstr(c->errors[0].text, refused[i].says) == NULL)
            fail_msg("%s: line %u: %s", refused[i].why, c->errors[0].line, c->errors[0].text);
        assert_int_equal(n, 0);
    }
    struct dump d = place_dump(&p);
    assert_int_equal(d.n, 0);
    dump_release(&d);
    place_close(&p);
    free(c);
}

/* --- warnings ---------------------------------------------------------------------------------------------------------- */
static const struct { const char *why, *text; unsigned n; const char *says; } warned[] = {
    { "glue of the cut itself", APEX "x NS ns.x\nns.x A 192.0.2.1\n", 0, NULL },
    { "glue at the cut", APEX "x NS x\nx A 192.0.2.1\n", 0, NULL },
    { "glue of a sibling", APEX "x NS ns.y\ny NS ns.y\nns.y A 192.0.2.1\nz NS q\nq.z A 192.0.2.1\nw NS q.z\n", 0, NULL },
    { "duplicates", APEX "x A 192.0.2.1\nx A 192.0.2.1\ny NS NS\ny NS ns\n", 0, NULL },
    { "wildcards", APEX "* NS ns\n*.y MX 0 .\n", 0, NULL },
    { "CNAME with its signatures", APEX "x CNAME y\nx NSEC y CNAME\nx RRSIG CNAME 8 3 300 20300101000000 20200101000000 1 @ AQAB\n", 0, NULL },
    { "address below a cut, glue of none", APEX "x NS ns\nw.x A 192.0.2.1\n", 1, "glue of none" },
    { "address at a cut, glue of none", APEX "x NS ns\nx AAAA ::1\n", 1, "glue of none" },
    { "other data below a cut", APEX "x NS ns\nw.x TXT y\n", 1, "below a delegation" },
    { "a cut below a cut", APEX "x NS ns\nw.x NS ns\n", 1, "below a delegation" },
    { "data below a DNAME", APEX "x DNAME y\nw.x A 192.0.2.1\n", 1, "below a DNAME" },
    { "TTLs that differ", APEX "x 5 A 192.0.2.1\nx 6 A 192.0.2.2\nx 7 AAAA ::1\n", 1, "TTLs differ" },
};

static void warns(void **state)
{
    (void)state;
    struct complaints *c = calloc(1, sizeof *c);
    struct place p;
    size_t n;
    place_open(&p);
    for (size_t i = 0; i < ROWS(warned); i++) {
        if (place_load(&p, "example.org.", warned[i].text, true, c, &n) != OK)
            fail_msg("%s: refused: %s", warned[i].why, c->errors[0].text);
        if (c->warnings_n != warned[i].n || (warned[i].n > 0 && strstr(c->warnings[0].text, warned[i].says) == NULL))
            fail_msg("%s: %u warnings: %s", warned[i].why, c->warnings_n, c->warnings[0].text);
    }
    place_close(&p);
    free(c);
}

/* --- layout: which keys with which flags ---------------------------------------------------------------------------------- */
static void put_entry(char *out, size_t cap, const struct entry *e)
{
    static const char *const names[] = { "apex ", "cut ", "dname ", "alias " };
    char text[NAME_TEXT_MAX];
    struct rrkey_parts p;
    struct name name;
    struct blob b;
    uint32_t flags;
    uint16_t slot;
    size_t at = strlen(out);
    assert_int_equal(rrkey_split(e->key, &p), OK);
    assert_int_equal(rrkey_name(e->key, &name, &slot), OK);
    assert_int_equal(blob_read_flags(e->value, &flags), OK);
    at += (size_t)snprintf(out + at, cap - at, "%s%s %u: %u ", p.slot == RRSLOT_SHADOW ? "shadow " : p.rest.len > 0 ? "hash " : "",
                           name_text(text, sizeof text, name_bytes(&name)), slot, blob_depth(flags));
    for (unsigned i = 0; i < 4; i++)
        at += (size_t)snprintf(out + at, cap - at, "%s", (flags & 1u << i) != 0 ? names[i] : "");
    if (blob_read(e->value, &b) == OK) {
        for (unsigned i = 0; i < b.n; i++)
            at += (size_t)snprintf(out + at, cap - at, "%u*%u%s ", b.rr[i].type, b.rr[i].count, b.rr[i].sigs > 0 ? "+sig" : "");
        if (b.below_n > 0)
            at += (size_t)snprintf(out + at, cap - at, "below %u ", b.below_n);
    }
    out[at - 1] = '\n';
    out[at] = '\0';
}

static void expect(struct place *p, const char *why, const char *want)
{
    static char got[65536];
    struct dump d = place_dump(p);
    got[0] = '\0';
    for (size_t i = 0; i < d.n; i++)
        put_entry(got, sizeof got, &d.v[i]);
    dump_release(&d);
    if (strcmp(got, want) != 0)
        fail_msg("%s: got\n%swant\n%s", why, got, want);
}

#define SIG(type) " RRSIG " type " 8 3 300 20300101000000 20200101000000 1 @ AQAB\n"
#define Z "z. 2: 1 apex 2*1\nz. 6: 1 apex 6*1\nz. 192: 1 apex\n"

static const struct { const char *why, *text, *want; } laid[] = {
    { "apex alone", APEX, Z },
    { "address group", APEX "x A 192.0.2.1\nx A 192.0.2.2\nx AAAA ::1\nx MX 0 .\ny AAAA ::1\n",
      Z "x.z. 0: 1 1*2 28*1\nx.z. 15: 1 15*1\ny.z. 0: 1 28*1\n" },
    { "alias", APEX "x CNAME y\nx NSEC y CNAME\n", Z "x.z. 0: 1 alias 5*1\nx.z. 47: 1 alias 47*1\n" },
    { "cut", APEX "x NS ns.x\nx DS 1 8 2 ab\nx NSEC y NS\nx A 192.0.2.1\nns.x A 192.0.2.2\nns.x AAAA ::1\na.b.x TXT y\n",
      Z "x.z. 2: 1 cut 2*1 below 3\nx.z. 43: 1 cut 43*1\nx.z. 47: 1 cut 47*1\n" },
    { "cut below a cut", APEX "x NS y\na.x NS y\na.x DS 1 8 2 ab\nxa NS y\n", Z "x.z. 2: 1 cut 2*1 below 1\nxa.z. 2: 1 cut 2*1\n" },
    { "DNAME", APEX "x DNAME y\nx A 192.0.2.1\na.x A 192.0.2.2\n", Z "x.z. 0: 1 dname 1*1\nx.z. 39: 1 dname 39*1 below 1\n" },
    { "DNAME at a cut is below it", APEX "x DNAME y\nx NS y\n", Z "x.z. 2: 1 cut 2*1 below 1\n" },
    { "DNAME at the apex", APEX "@ DNAME y.\nx A 192.0.2.2\n",
      "z. 2: 1 apex dname 2*1\nz. 6: 1 apex dname 6*1\nz. 39: 1 apex dname 39*1 below 1\nz. 192: 1 apex dname\n" },
    { "signatures go with what they cover", APEX "x A 192.0.2.1\n" SIG("A") SIG("AAAA") SIG("TXT") "x TXT y\n",
      Z "x.z. 0: 1 1*1+sig\nx.z. 16: 1 16*1+sig\nx.z. 46: 1 46*1\n" },
    { "signatures at a cut", APEX "x NS y\nx DS 1 8 2 ab\n" SIG("DS") SIG("A"),
      Z "x.z. 2: 1 cut 2*1 below 1\nx.z. 43: 1 cut 43*1+sig\n" },
    { "NSEC3", APEX "2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 0 5 ab 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A\n" SIG("NSEC3")
               "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 0 5 ab 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n@ NSEC3PARAM 1 0 5 ab\nx A 192.0.2.1\n",
      "z. 2: 1 apex 2*1\nz. 6: 1 apex 6*1\nhash z. 50: 1 apex 50*1\nhash z. 50: 1 apex 50*1+sig\nz. 51: 1 apex 51*1\nz. 192: 1 apex\n"
      "x.z. 0: 1 1*1\n" },
    { "wildcards are owners", APEX "* A 192.0.2.1\n*.x MX 0 .\n", Z "*.z. 0: 1 1*1\n*.x.z. 15: 1 15*1\n" },
    { "duplicates in another case", APEX "x NS Y\nx NS y\nx NS a\n", Z "x.z. 2: 1 cut 2*2\n" },
};

static void lays_out(void **state)
{
    (void)state;
    struct complaints *c = calloc(1, sizeof *c);
    struct name apex = name_of("z.");
    for (size_t i = 0; i < ROWS(laid); i++) {
        struct place p;
        size_t n;
        place_open(&p);
        if (place_load(&p, "Z", laid[i].text, false, c, &n) != OK)
            fail_msg("%s: %s", laid[i].why, c->errors[0].text);
        expect(&p, laid[i].why, laid[i].want);
        assert_int_equal(place_withdraw(&p, name_bytes(&apex)), OK);
        expect(&p, laid[i].why, "");
        assert_int_equal(place_withdraw(&p, name_bytes(&apex)), ERR_NOTFOUND);
        place_close(&p);
    }
    free(c);
}

/* --- parent and child ----------------------------------------------------------------------------------------------------- */
#define PARENT "z. 2: 1 apex 2*1\nz. 6: 1 apex 6*1\nz. 192: 1 apex\n"

static void parent_and_child(void **state)
{
    (void)state;
    const char *parent = APEX "c NS ns.c\nc DS 1 8 2 ab\nc NSEC d NS\nns.c A 192.0.2.1\nd TXT x\nw.d A 192.0.2.2\n";
    const char *delegated = PARENT "c.z. 2: 1 cut 2*1 below 1\nc.z. 43: 1 cut 43*1\nc.z. 47: 1 cut 47*1\nd.z. 16: 1 16*1\nw.d.z. 0: 1 1*1\n";
    struct name c_name = name_of("c.z."), d_name = name_of("d.z.");
    struct complaints *c = calloc(1, sizeof *c);
    struct place p;
    size_t n;
    place_open(&p);
    assert_int_equal(place_load(&p, "z.", parent, false, c, &n), OK);
    expect(&p, "parent alone", delegated);
    assert_int_equal(place_load(&p, "c.z.", APEX "ns A 192.0.2.9\n", false, c, &n), OK);
    expect(&p, "with the delegated child",
           PARENT "c.z. 2: 2 apex 2*1\nc.z. 6: 2 apex 6*1\nc.z. 43: 1 apex 43*1\nc.z. 192: 2 apex\nc.z. 193: 1 apex 2*1 below 1\n"
                  "c.z. 194: 1 apex 47*1\nns.c.z. 0: 2 1*1\nd.z. 16: 1 16*1\nw.d.z. 0: 1 1*1\n");
    assert_int_equal(place_load(&p, "d.z.", APEX, false, c, &n), OK);
    expect(&p, "with a child that is not delegated",
           "z. 2: 1 apex 2*1\nz. 6: 1 apex 6*1\nz. 192: 1 apex\nshadow d.z. 16: 1 apex 16*1\nshadow w.d.z. 0: 1 apex 1*1\n"
           "c.z. 2: 2 apex 2*1\nc.z. 6: 2 apex 6*1\nc.z. 43: 1 apex 43*1\nc.z. 192: 2 apex\nc.z. 193: 1 apex 2*1 below 1\n"
           "c.z. 194: 1 apex 47*1\nns.c.z. 0: 2 1*1\nd.z. 2: 2 apex 2*1\nd.z. 6: 2 apex 6*1\nd.z. 192: 2 apex\n");
    assert_int_equal(place_load(&p, "z.", parent, false, c, &n), OK);
    assert_int_equal(n, 0);                     /* the parent's file says the same as before */
    assert_int_equal(place_withdraw(&p, name_bytes(&d_name)), OK);
    assert_int_equal(place_withdraw(&p, name_bytes(&c_name)), OK);
    expect(&p, "children gone", delegated);
    place_close(&p);
    free(c);
}

/* --- difference -------------------------------------------------------------------------------------------------------------- */
static void only_what_differs(void **state)
{
    (void)state;
    struct complaints *c = calloc(1, sizeof *c);
    struct place p;
    size_t n;
    place_open(&p);
    assert_int_equal(place_load(&p, "z.", APEX "a A 192.0.2.1\nb A 192.0.2.1\nd TXT x\n", false, c, &n), OK);
    assert_int_equal(n, 6);
    assert_int_equal(place_load(&p, "z.", "d TXT x\nb 60 A 192.0.2.1\na A 192.0.2.1\n" APEX, false, c, &n), OK);
    assert_int_equal(n, 1);                     /* d has no TTL stated before it now, hence 3600 */
    assert_int_equal(place_load(&p, "z.", APEX "a A 192.0.2.1\nb A 192.0.2.1\nd TXT x\n", false, c, &n), OK);
    assert_int_equal(place_load(&p, "z.", APEX "d TXT x\nb A 192.0.2.1\na A 192.0.2.1\n", false, c, &n), OK);
    assert_int_equal(n, 0);
    assert_int_equal(place_load(&p, "z.", APEX "a A 192.0.2.2\nb A 192.0.2.1\ne TXT x\n", false, c, &n), OK);
    assert_int_equal(n, 3);                     /* a changed, d gone, e new */
    place_close(&p);
    free(c);
}

static char *many(unsigned n, const char *form)
{
    char *text = malloc(200 + n * 240);
    size_t at = (size_t)sprintf(text, APEX);
    for (unsigned i = 0; i < n; i++)
        at += (size_t)sprintf(text + at, form, i, i % 250, i / 250);
    return text;
}

static void half_of_a_zone(void **state)
{
    (void)state;
    static const struct { const char *why; unsigned had, left; bool force; enum err want; } rows[] = {
        { "small zones may lose all", 90, 0, false, OK },
        { "half of it", 198, 98, false, OK },
        { "more than half", 198, 97, false, ERR_REFUSED },
        { "more than half, forced", 198, 97, true, OK },
    };
    struct complaints *c = calloc(1, sizeof *c);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct place p;
        size_t n;
        char *had = many(rows[i].had, "h%u A 192.0.%3$u.%2$u\n"), *left = many(rows[i].left, "h%u A 192.0.%3$u.%2$u\n");
        place_open(&p);
        assert_int_equal(place_load(&p, "z.", had, false, c, &n), OK);
        if (place_load(&p, "z.", left, rows[i].force, c, &n) != rows[i].want)
            fail_msg("%s: %s", rows[i].why, c->errors_n > 0 ? c->errors[0].text : "accepted");
        if (rows[i].want != OK)
            assert_non_null(strstr(c->errors[0].text, "101 of 200"));
        place_close(&p);
        free(had);
        free(left);
    }
    free(c);
}

#define H "00000000000000000000000000000000"

/* A new salt, or NSEC in place of NSEC3, gives a zone other proofs under other names: more than half of its RRsets. */
static void new_salt_is_no_loss(void **state)
{
    (void)state;
    struct complaints *c = calloc(1, sizeof *c);
    struct place p;
    size_t n;
    char *had = many(150, "h%1$u A 192.0.%3$u.%2$u\n"
                          "%1$032u NSEC3 1 0 0 - " H "\n%1$031ua NSEC3 1 0 0 - " H "\n");
    char *salted = many(150, "h%1$u A 192.0.%3$u.%2$u\n"
                             "%1$031uv NSEC3 1 0 0 ff " H "\n%1$031ub NSEC3 1 0 0 ff " H "\n");
    char *plain = many(150, "h%1$u A 192.0.%3$u.%2$u\nh%1$u NSEC @ A NSEC\n"), *less = many(60, "h%u A 192.0.%3$u.%2$u\n");
    place_open(&p);
    const struct { const char *why, *text; enum err want; } rows[] = {
        { "the first", had, OK }, { "a new salt", salted, OK }, { "NSEC", plain, OK }, { "NSEC3 again", had, OK },
        { "what it is all about goes", less, ERR_REFUSED },
    };
    for (size_t i = 0; i < ROWS(rows); i++)
        if (place_load(&p, "z.", rows[i].text, false, c, &n) != rows[i].want)
            fail_msg("%s: %s", rows[i].why, c->errors_n > 0 ? c->errors[0].text : "accepted");
    place_close(&p);
    free(had);
    free(salted);
    free(plain);
    free(less);
    free(c);
}

/* RRsets that a new delegation swallows are still there. */
static void moved_is_not_gone(void **state)
{
    (void)state;
    struct complaints *c = calloc(1, sizeof *c);
    struct place p;
    size_t n;
    char *had = many(150, "h%u.x A 192.0.2.%2$u\n"), *left = malloc(20000);
    place_open(&p);
    assert_int_equal(place_load(&p, "z.", had, false, c, &n), OK);
    sprintf(left, "%sx NS ns\n", had);
    assert_int_equal(place_load(&p, "z.", left, false, c, &n), OK);
    assert_int_equal(n, 151);
    place_close(&p);
    free(had);
    free(left);
    free(c);
}

static void too_large(void **state)
{
    (void)state;
    struct complaints *c = calloc(1, sizeof *c);
    struct place p;
    size_t n;
    char *text = many(4094, "x A 10.0.%3$u.%2$u ; %1$u\n");
    place_open(&p);
    assert_int_equal(place_load(&p, "z.", text, false, c, &n), OK);     /* 12 + 5 + 4 + 4094 * 16 <= 65,535 */
    free(text);
    text = many(4095, "x A 10.0.%3$u.%2$u ; %1$u\n");
    assert_int_equal(place_load(&p, "z.", text, false, c, &n), ERR_REFUSED);
    assert_non_null(strstr(c->errors[0].text, "no message"));
    free(text);
    text = many(45000, "h%1$u.x A 10.0.0.1\n");
    strcat(text, "x NS ns\n");
    assert_int_equal(place_load(&p, "z.", text, true, c, &n), ERR_REFUSED);
    assert_non_null(strstr(c->errors[0].text, "over 1 MiB"));
    free(text);
    place_close(&p);
    free(c);
}

/* --- zone headers ------------------------------------------------------------------------------------------------------------- */
struct listed { char text[400]; struct zone_header last; };
static bool on_zone(void *arg, struct bytes apex, const struct zone_header *h)
{
    struct listed *l = arg;
    char text[NAME_TEXT_MAX];
    snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s kind %d state %d bits %u soa %d nsec3 %d\n",
             name_text(text, sizeof text, apex), h->kind, h->state, h->bits, h->has_soa, h->has_nsec3);
    l->last = *h;
    return true;
}

static void lists_zones(void **state)
{
    (void)state;
    struct complaints *c = calloc(1, sizeof *c);
    struct listed l = { .text = "" };
    struct place p;
    size_t n;
    place_open(&p);
    assert_int_equal(place_load(&p, ".", APEX "x.* TXT y\n", false, c, &n), OK);
    assert_int_equal(place_load(&p, "a.", APEX "x NSEC y A\nx.y DNAME .\nw.x*y TXT z\n", false, c, &n), OK);
    assert_int_equal(place_load(&p, "c.a.", APEX "@ NSEC3PARAM 1 0 5 abcd\n", false, c, &n), OK);
    assert_int_equal(place_load(&p, "b.", "@ 20 SOA a b 1 2 3 4 30\n@ NS x\n", false, c, &n), OK);
    assert_int_equal(view_begin(p.view), OK);
    assert_int_equal(zone_list(p.view, on_zone, &l, NULL), OK);
    assert_string_equal(l.text, ". kind 1 state 1 bits 1 soa 1 nsec3 0\na. kind 1 state 1 bits 6 soa 1 nsec3 0\n"
                                "c.a. kind 1 state 1 bits 0 soa 1 nsec3 1\nb. kind 1 state 1 bits 0 soa 1 nsec3 0\n");
    assert_memory_equal(l.last.soa.wire.ptr + 6, "\0\0\0\x14", 4);  /* TTL 20 is below MINIMUM 30 */
    view_end(p.view);
    place_close(&p);
    free(c);
}

static void walks_in_order(void **state)
{
    (void)state;
    struct complaints *c = calloc(1, sizeof *c);
    struct name apex = name_of("z.");
    struct lines got = { 0 };
    struct place p;
    size_t n;
    place_open(&p);
    assert_int_equal(place_load(&p, "z.", APEX "@ A 192.0.2.1\nc NS ns.c\nc DS 1 8 2 ab\nb.c A 192.0.2.3\nc A 192.0.2.2\nd.e TXT x\na TXT y\n",
                                false, c, &n), OK);
    assert_int_equal(place_load(&p, "e.z.", APEX, false, c, &n), OK);
    assert_int_equal(view_begin(p.view), OK);
    assert_int_equal(zone_walk(name_bytes(&apex), p.view, lines_add, &got, NULL), OK);
    assert_string_equal(got.text, "z. 60 IN SOA a.z. b.z. 1 2 3 4 30\nz. 60 IN A 192.0.2.1\nz. 60 IN NS ns.z.\na.z. 60 IN TXT \"y\"\n"
                                  "c.z. 60 IN NS ns.c.z.\nc.z. 60 IN DS 1 8 2 ab\nc.z. 60 IN A 192.0.2.2\nb.c.z. 60 IN A 192.0.2.3\n"
                                  "d.e.z. 60 IN TXT \"x\"\n");
    view_end(p.view);
    apex = name_of("nope.");
    assert_int_equal(view_begin(p.view), OK);
    assert_int_equal(zone_walk(name_bytes(&apex), p.view, lines_add, &got, NULL), ERR_NOTFOUND);
    view_end(p.view);
    free(got.text);
    place_close(&p);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses), cmocka_unit_test(warns), cmocka_unit_test(lays_out), cmocka_unit_test(parent_and_child),
        cmocka_unit_test(only_what_differs), cmocka_unit_test(half_of_a_zone), cmocka_unit_test(new_salt_is_no_loss),
        cmocka_unit_test(moved_is_not_gone),
        cmocka_unit_test(too_large), cmocka_unit_test(lists_zones), cmocka_unit_test(walks_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
