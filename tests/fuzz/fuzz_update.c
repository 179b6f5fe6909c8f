/* UPDATE messages against a small zone: a verdict, the same one twice, and a zone that is still one afterwards. */
#include "tests/fuzz/fuzz.h"

#include "builder/rdata.h"
#include "builder/update.h"
#include "tests/unit/draft_model.h"

#define MUST(what) do { if (!(what)) abort(); } while (0)

static void put(struct draft *d, const char *owner, uint16_t type, const void *rdata, size_t len, bool disabled)
{
    struct name n;
    struct row_rr rr = { bytes_of(rdata, len), disabled };
    MUST(name_from_text(bytes_of_text(owner), name_bytes(&d->apex), &n) == OK);
    struct row row = { .owner = name_bytes(&n), .type = type, .ttl = 300, .rr = &rr, .n = 1 };
    MUST(draft_set(d, &row, NULL) == OK);
}

static struct draft *zone(void)
{
    struct draft *d = model_new("z.");
    put(d, "@", TYPE_SOA, "\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1", 22, false);
    put(d, "@", TYPE_NS, "\1n\1z", 5, false);
    put(d, "n", TYPE_A, "\300\0\2\1", 4, false);
    put(d, "c", TYPE_CNAME, "\1n\1z", 5, false);
    put(d, "n", TYPE_TXT, "\1x", 2, true);
    return d;
}

static bool live(const struct row *row)
{
    for (size_t i = 0; i < row->n; i++)
        if (!row->rr[i].disabled)
            return true;
    return false;
}

static void check_zone(const struct draft *d)
{
    unsigned soa = 0, ns = 0;
    for (size_t i = 0; i < d->n; i++) {
        const struct row *r = &d->rows[i];
        MUST(r->n > 0 && name_under(r->owner, name_bytes(&d->apex)) && !rrtype_is_meta(r->type));
        bool apex = name_equal(r->owner, name_bytes(&d->apex));
        soa += r->type == TYPE_SOA ? (unsigned)r->n : 0;
        ns += apex && r->type == TYPE_NS ? (unsigned)r->n : 0;
        MUST(r->type != TYPE_SOA || apex);
        MUST((r->type != TYPE_CNAME && r->type != TYPE_DNAME) || r->n == 1);
        for (size_t a = 0; a < r->n; a++)
            for (size_t b = 0; b < a; b++)
                MUST(!rdata_same(r->type, r->rr[a].rdata, r->rr[b].rdata));
        for (size_t k = 0; r->type == TYPE_CNAME && k < d->n; k++)
            MUST(k == i || !name_equal(d->rows[k].owner, r->owner) || rrtype_beside_cname(d->rows[k].type) || !live(&d->rows[k]));
    }
    MUST(soa == 1 && ns >= 1);
}

static void same(const struct draft *a, const struct draft *b)
{
    MUST(a->n == b->n && a->sets == b->sets);
    for (size_t i = 0; i < a->n; i++) {
        MUST(a->rows[i].type == b->rows[i].type && a->rows[i].ttl == b->rows[i].ttl && a->rows[i].n == b->rows[i].n);
        MUST(bytes_equal(a->rows[i].owner, b->rows[i].owner));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct update u;
    struct fault fault;
    arena_init(&a);
    if (size <= 65535 && update_read(bytes_of(data, size), &a, &u) == RCODE_NOERROR
        && name_equal(name_bytes(&u.zone), bytes_of("\1z", 3)) && update_prescan(&u, &a) == RCODE_NOERROR) {
        struct draft *one = zone(), *two = zone();
        enum err err = update_plan(&u, one, &fault);
        uint16_t rcode = u.rcode;
        MUST(update_plan(&u, two, &fault) == err && u.rcode == rcode);
        MUST((err == ERR_REFUSED) == (rcode != RCODE_NOERROR));
        if (err == OK || err == ERR_REFUSED)
            check_zone(one);
        same(one, two);
        model_free(one);
        model_free(two);
    }
    arena_release(&a);
    return 0;
}
