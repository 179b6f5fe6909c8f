/* RDATA of the types that are read without ldns, from random texts: ldns makes the same bytes of them. Of texts with random
 * faults, whatever both accept is the same. AZOTH_SEED repeats a run, AZOTH_ROUNDS makes it longer. */
#include <ldns/ldns.h>
#include "builder/rdata.h"
#include "tests/unit/builder_zone.h"

#include <arpa/inet.h>

static uint64_t seed;
struct text { char p[4000]; size_t len; };

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->len += (size_t)vsnprintf(t->p + t->len, sizeof t->p - t->len, format, args);
    va_end(args);
    assert_true(t->len < sizeof t->p);
}

static void put_char(struct text *t, struct rnd *r, bool in_quotes)
{
    static const char plain[] = "abcxyzABCXYZ0123456789-_*/+";
    uint8_t c = (uint8_t)rnd_u64(r);
    switch (rnd_below(r, 8)) {
    case 0:
        put(t, "\\%03u", c == '@' ? 0 : c);          /* ldns takes \064 and \@ for @ */
        break;
    case 1:
        put(t, "\\%c", ".;()\"\\$"[rnd_below(r, 7)]);
        break;
    case 2:
        put(t, "%c", in_quotes ? " ;()@"[rnd_below(r, 5)] : 'q');
        break;
    default:
        put(t, "%c", plain[rnd_below(r, sizeof plain - 1)]);
    }
}

static void put_name(struct text *t, struct rnd *r)
{
    unsigned labels = rnd_below(r, 10) == 0 ? 0 : 1 + rnd_below(r, 5);
    put(t, labels == 0 ? ". " : "");
    for (unsigned i = 0; i < labels; i++) {
        for (unsigned n = 1 + rnd_below(r, rnd_below(r, 8) == 0 ? 50 : 8); n > 0; n--)
            put_char(t, r, false);
        put(t, i + 1 == labels ? ". " : ".");
    }
}

static void put_strings(struct text *t, struct rnd *r)
{
    for (unsigned n = 1 + rnd_below(r, 4); n > 0; n--) {
        bool quotes = rnd_below(r, 2) == 0;
        put(t, quotes ? "\"" : "");
        for (unsigned k = (quotes ? 0 : 1) + rnd_below(r, rnd_below(r, 5) == 0 ? 254 : 20); k > 0; k--)
            put_char(t, r, quotes);
        put(t, quotes ? "\" " : " ");
    }
}

static void put_address(struct text *t, struct rnd *r, int family)
{
    uint8_t a[16];
    char text[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < sizeof a; i++)
        a[i] = rnd_below(r, 3) == 0 ? 0 : (uint8_t)rnd_u64(r);
    put(t, "%s ", inet_ntop(family, a, text, sizeof text));
}

static void put_numbers(struct text *t, struct rnd *r, unsigned n)
{
    for (; n > 0; n--)
        put(t, "%u ", rnd_below(r, 4) == 0 ? rnd_below(r, 2) * 65535 : rnd_below(r, 65536));
}

static uint16_t draw(struct text *t, struct rnd *r)
{
    static const uint16_t names[] = { TYPE_NS, TYPE_CNAME, TYPE_PTR, TYPE_DNAME, 7, 8, 9 };
    t->len = 0;
    switch (rnd_below(r, 7)) {      /* not IPSECKEY: ldns leaks it */
    case 0:
        put_address(t, r, AF_INET);
        return TYPE_A;
    case 1:
        put_address(t, r, AF_INET6);
        return TYPE_AAAA;
    case 2:
        put_numbers(t, r, 1);
        put_name(t, r);
        return TYPE_MX;
    case 3:
        put_numbers(t, r, 3);
        put_name(t, r);
        return TYPE_SRV;
    case 4:
        put_strings(t, r);
        return TYPE_TXT;
    case 5:
        put_name(t, r);
        put_name(t, r);
        put(t, "%u %u 1W2D3H4M5S %uh %u", (unsigned)rnd_u64(r), rnd_below(r, 1000000), rnd_below(r, 1000), rnd_below(r, 100));
        return TYPE_SOA;
    default:
        put_name(t, r);
        return names[rnd_below(r, ROWS(names))];
    }
}

/* A few characters are changed, doubled or gone. */
static void spoil(struct text *t, struct rnd *r)
{
    static const char bad[] = "\\ \".0x9";
    for (unsigned n = 1 + rnd_below(r, 3); n > 0 && t->len > 1; n--) {
        size_t at = rnd_below(r, (uint32_t)t->len);
        if (rnd_below(r, 3) == 0) {
            memmove(t->p + at, t->p + at + 1, t->len - at);
            t->len--;
        } else {
            t->p[at] = bad[rnd_below(r, sizeof bad - 1)];
        }
    }
}

static bool by_ldns(uint16_t type, const char *text, const ldns_rdf *root, ldns_buffer *out)
{
    char line[4200], name[20];
    ldns_rr *rr = NULL;
    snprintf(name, sizeof name, "TYPE%u", type);
    ldns_rr_descriptor const *d = ldns_rr_descript(type);
    snprintf(line, sizeof line, "o.example. 5 IN %s %s", d->_name != NULL ? d->_name : name, text);
    ldns_buffer_clear(out);
    if (ldns_rr_new_frm_str(&rr, line, 0, root, NULL) != LDNS_STATUS_OK)
        return false;
    bool fine = ldns_rr_rdata2buffer_wire(out, rr) == LDNS_STATUS_OK;
    ldns_rr_free(rr);
    return fine;
}

static void print_hex(const char *who, struct bytes b)
{
    fprintf(stderr, "%s ", who);
    for (size_t i = 0; i < b.len; i++)
        fprintf(stderr, "%02x", b.ptr[i]);
    fprintf(stderr, "\n");
}

static void same_as_ldns(void **state)
{
    static const uint8_t root[1] = { 0 };
    struct rnd r = rnd_seed(seed = seed_from_env(9));
    const char *more = getenv("AZOTH_ROUNDS");
    unsigned rounds = more != NULL ? (unsigned)strtoul(more, NULL, 10) : 20000, both = 0;
    ldns_buffer *want = ldns_buffer_new(65536);
    ldns_rdf *origin = ldns_dname_new_frm_str(".");
    struct text *t = calloc(1, sizeof *t);
    (void)state;
    for (unsigned i = 0; i < rounds; i++) {
        uint8_t got[8000];
        struct wr w = wr_over(got, sizeof got);
        struct fault fault = { .text = "" };
        uint16_t type = draw(t, &r);
        bool spoilt = rnd_below(&r, 3) == 0;
        if (spoilt)
            spoil(t, &r);
        struct bytes in = heap_copy(t->p, t->len);
        bool ours = rdata_from_text(type, in, bytes_of(root, 1), &w, &fault) == OK;
        bytes_free(in);
        t->p[t->len] = '\0';
        bool theirs = by_ldns(type, t->p, origin, want);
        if (!spoilt && (!ours || !theirs))
            fail_msg("seed %llu: type %u '%s': %s", (unsigned long long)seed, type, t->p, ours ? "ldns refuses" : fault.text);
        if (!ours || !theirs || (spoilt && strpbrk(t->p, "();\"") != NULL))    /* ldns reads on over them in words */
            continue;
        both += spoilt ? 1 : 0;
        struct bytes theirs_are = bytes_of(ldns_buffer_begin(want), ldns_buffer_position(want));
        if (bytes_equal(wr_done(&w), theirs_are))
            continue;
        print_hex("ours", wr_done(&w));
        print_hex("ldns", theirs_are);
        fail_msg("seed %llu: type %u '%s': ldns makes other bytes of it", (unsigned long long)seed, type, t->p);
    }
    assert_true(both > rounds / 50);
    ldns_buffer_free(want);
    ldns_rdf_deep_free(origin);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_ldns) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
