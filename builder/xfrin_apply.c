/* The plan of an IXFR: the RRsets that steps touch are taken out of the draft, edited in memory step by step, and
 * those touched are set at the end. One table finds RRsets, another their records, so that a record costs the same in a
 * large RRset as in a small one. */
#include "builder/xfrin_apply.h"

#include "builder/rdata.h"
#include "builder/secret_hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HASHED_MAX (sizeof(void *) + RDATA_MAX)

struct link { struct link *next; uint64_t hash; };
struct table { struct link **bucket; size_t buckets, n; };

struct set {                            /* an RRset at hand */
    struct link link;                   /* by owner and type */
    struct bytes owner;
    uint16_t type, covers;
    uint32_t ttl;
    struct rec *first, **last;        /* its records, in order */
    size_t n;                           /* that are there */
    struct set *next;                   /* of all */
};
struct rec {                          /* a record */
    struct link link;                   /* by RRset and data */
    const struct set *set;
    struct bytes rdata;
    struct rec *next;
    bool gone;
};
struct plan {
    struct draft *d;
    struct arena *a;
    struct table sets, recs;
    struct set *all, *at;               /* at: the last one asked for */
    struct secret_hash secret;
    uint8_t *room;                      /* for what is hashed: HASHED_MAX bytes */
};

/* --- tables ------------------------------------------------------------------------------------------------------------ */
static uint64_t hash_of_set(const struct plan *p, struct bytes owner, uint16_t type, uint16_t covers)
{
    struct wr w = wr_over(p->room, HASHED_MAX);
    wr_u16(&w, type);
    wr_u16(&w, covers);
    wr_bytes(&w, owner);
    return secret_hash(&p->secret, wr_done(&w));
}

/* The same for all that rdata_same calls equal, and for nothing else. */
static uint64_t hash_of_rec(const struct plan *p, const struct set *s, struct bytes rdata)
{
    struct wr w = wr_over(p->room, HASHED_MAX);
    wr_bytes(&w, bytes_of(&s, sizeof s));
    rdata_lower(s->type, rdata, &w);
    return secret_hash(&p->secret, wr_done(&w));
}

static struct link *table_first(const struct table *t, uint64_t hash)
{
    return t->buckets == 0 ? NULL : t->bucket[hash & (t->buckets - 1)];
}

static bool table_grow(struct table *t, struct arena *a)
{
    size_t buckets = t->buckets == 0 ? 16 : 4 * t->buckets;
    struct link **bucket = arena_take(a, buckets * sizeof *bucket);
    if (bucket == NULL)
        return false;
    for (size_t i = 0; i < buckets; i++)
        bucket[i] = NULL;
    for (size_t i = 0; i < t->buckets; i++) {
        for (struct link *l = t->bucket[i], *next; l != NULL; l = next) {
            next = l->next;
            l->next = bucket[l->hash & (buckets - 1)];
            bucket[l->hash & (buckets - 1)] = l;
        }
    }
    t->bucket = bucket;
    t->buckets = buckets;
    return true;
}

static bool table_put(struct table *t, struct arena *a, struct link *l, uint64_t hash)
{
    if (t->n >= t->buckets && !table_grow(t, a))
        return false;
    struct link **at = &t->bucket[hash & (t->buckets - 1)];
    *l = (struct link){ *at, hash };
    *at = l;
    t->n++;
    return true;
}

/* --- RRsets at hand --------------------------------------------------------------------------------------------------- */
static bool add_rec(struct plan *p, struct set *s, struct bytes rdata)
{
    struct rec *e = arena_take(p->a, sizeof *e);
    if (e == NULL)
        return false;
    *e = (struct rec){ .set = s, .rdata = rdata };
    *s->last = e;
    s->last = &e->next;
    s->n++;
    return table_put(&p->recs, p->a, &e->link, hash_of_rec(p, s, rdata));
}

static struct rec *find_rec(const struct plan *p, const struct set *s, struct bytes rdata, bool gone)
{
    uint64_t hash = hash_of_rec(p, s, rdata);
    for (struct link *l = table_first(&p->recs, hash); l != NULL; l = l->next) {
        struct rec *e = (struct rec *)l;
        if (l->hash == hash && e->set == s && e->gone == gone && rdata_same(s->type, e->rdata, rdata))
            return e;
    }
    return NULL;
}

static bool is_of(const struct set *s, const struct zone_rr *rr, uint16_t covers)
{
    return s->type == rr->type && s->covers == covers && bytes_equal(s->owner, rr->owner);
}

static enum err open_set(struct plan *p, const struct zone_rr *rr, uint16_t covers, uint64_t hash, struct set **out, struct fault *fault)
{
    struct row row = { .n = 0 };
    enum err err = draft_row(p->d, rr->owner, rr->type, covers, &row, fault);
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    struct set *s = arena_take(p->a, sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    *s = (struct set){ .owner = rr->owner, .type = rr->type, .covers = covers, .ttl = row.ttl, .next = p->all };
    s->last = &s->first;
    p->all = s;
    for (size_t i = 0; err == OK && i < row.n; i++)
        if (!add_rec(p, s, row.rr[i].rdata))
            return ERR_NOMEM;
    *out = s;
    return table_put(&p->sets, p->a, &s->link, hash) ? OK : ERR_NOMEM;
}

static enum err set_of(struct plan *p, const struct zone_rr *rr, struct fault *fault)
{
    struct rd r = rd_over(rr->rdata);
    uint16_t covers = rr->type == TYPE_RRSIG ? rd_u16(&r) : 0;
    if (p->at != NULL && is_of(p->at, rr, covers))
        return OK;
    uint64_t hash = hash_of_set(p, rr->owner, rr->type, covers);
    for (struct link *l = table_first(&p->sets, hash); l != NULL; l = l->next) {
        struct set *s = (struct set *)l;
        if (l->hash == hash && is_of(s, rr, covers)) {
            p->at = s;
            return OK;
        }
    }
    return open_set(p, rr, covers, hash, &p->at, fault);
}

/* --- steps --------------------------------------------------------------------------------------------------------------- */
static enum err drop(struct plan *p, const struct xfrin_step *step, const struct zone_rr *rr, struct fault *fault)
{
    char name[NAME_TEXT_MAX];
    enum err err = set_of(p, rr, fault);
    struct rec *e = err == OK ? find_rec(p, p->at, rr->rdata, false) : NULL;
    if (err == OK && e == NULL)
        return fault_set(fault, ERR_STALE, "the step from serial %" PRIu32 " takes away a record of %.300s, type %u, that is not here",
                         step->from, name_text(name, sizeof name, rr->owner), rr->type);
    if (err == OK) {
        e->gone = true;
        p->at->n--;
    }
    return err;
}

/* The RRset has one TTL, that of the newest record (RFC 2181 section 5.2). One that is there is written as it comes now, and one that went
 * comes back: a record that goes and comes in thousands of steps is one in the table, not thousands. */
static enum err add(struct plan *p, const struct zone_rr *rr, struct fault *fault)
{
    enum err err = set_of(p, rr, fault);
    struct rec *e = err == OK ? find_rec(p, p->at, rr->rdata, false) : NULL;
    if (err != OK)
        return err;
    if (e == NULL && (e = find_rec(p, p->at, rr->rdata, true)) != NULL) {
        e->gone = false;
        p->at->n++;
    }
    p->at->ttl = rr->ttl;
    if (e != NULL)
        e->rdata = rr->rdata;
    return e != NULL || add_rec(p, p->at, rr->rdata) ? OK : ERR_NOMEM;
}

static enum err apply(struct plan *p, const struct xfrin_step *step, const struct zone_rr *rr, struct fault *fault)
{
    enum err err = OK;
    for (size_t i = 0; err == OK && i < step->gone_n; i++)
        err = drop(p, step, &rr[step->gone + i], fault);
    for (size_t i = 0; err == OK && i < step->come_n; i++)
        err = add(p, &rr[step->come + i], fault);
    return err;
}

static int by_owner(const void *a, const void *b)
{
    const struct zone_rr *const *x = a, *const *y = b;
    return name_compare((*x)->owner, (*y)->owner);
}

/* All that will be touched, in the zone's order: what lies together in the store is read together (patch_read.c). */
static enum err open_all(struct plan *p, const struct xfrin_step *steps, size_t n, const struct zone_rr *rr, struct fault *fault)
{
    size_t all = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        all += steps[i].gone_n + steps[i].come_n;
    const struct zone_rr **sorted = arena_take(p->a, (all + 1) * sizeof *sorted);
    enum err err = sorted == NULL ? ERR_NOMEM : OK;
    for (size_t i = 0; err == OK && i < n; i++) {
        for (size_t k = 0; k < steps[i].gone_n; k++)
            sorted[at++] = &rr[steps[i].gone + k];
        for (size_t k = 0; k < steps[i].come_n; k++)
            sorted[at++] = &rr[steps[i].come + k];
    }
    if (err == OK && all > 1)
        qsort(sorted, all, sizeof *sorted, by_owner);
    for (size_t i = 0; err == OK && i < all; i++)
        err = set_of(p, sorted[i], fault);
    return err;
}

static enum err flush(struct plan *p, const struct set *s, struct fault *fault)
{
    struct row_rr *rr = arena_take(p->a, (s->n + 1) * sizeof *rr);
    size_t n = 0;
    if (rr == NULL)
        return ERR_NOMEM;
    for (const struct rec *e = s->first; e != NULL; e = e->next)
        if (!e->gone)
            rr[n++] = (struct row_rr){ e->rdata, false };
    struct row row = { .owner = s->owner, .type = s->type, .covers = s->covers, .ttl = s->ttl, .rr = rr, .n = n };
    return draft_set(p->d, &row, fault);
}

/* The primary counts: the SOA comes with its serial, which is later than ours and stays as it is. */
static enum err set_soa(struct plan *p, const struct xfrin_step *last, struct fault *fault)
{
    struct row_rr rr = { last->soa, false };
    struct row row = { .owner = draft_apex(p->d), .type = TYPE_SOA, .ttl = last->soa_ttl, .rr = &rr, .n = 1 };
    return draft_set(p->d, &row, fault);
}

static enum err plan_steps(void *arg, struct draft *d, struct fault *fault)
{
    const struct xfrin *x = arg;
    size_t n;
    const struct xfrin_step *steps = xfrin_steps(x, &n);
    const struct zone_rr *rr = xfrin_records(x);
    struct plan p = { .d = d, .a = draft_arena(d), .room = arena_take(draft_arena(d), HASHED_MAX) };
    enum err err = OK;
    if (p.room == NULL)
        return ERR_NOMEM;
    secret_hash_init(&p.secret);
    if (n == 0 || draft_serial(d) != steps[0].from)
        return fault_set(fault, ERR_STALE, "the zone is at serial %" PRIu32 ", the differences begin at %" PRIu32, draft_serial(d),
                         n == 0 ? 0 : steps[0].from);
    err = open_all(&p, steps, n, rr, fault);
    for (size_t i = 0; err == OK && i < n; i++)
        err = apply(&p, &steps[i], rr, fault);
    for (const struct set *s = p.all; err == OK && s != NULL; s = s->next)
        err = flush(&p, s, fault);
    return err == OK ? set_soa(&p, &steps[n - 1], fault) : err;
}

void xfrin_change(struct change *c, struct xfrin *x, struct bytes apex, const char *from)
{
    bool whole = xfrin_is_whole(x);
    change_init(c, whole ? CHANGE_WHOLE : CHANGE_EDIT, apex);
    c->author.via = VIA_TRANSFER;
    (void)snprintf(c->author.name, sizeof c->author.name, "%s", from);
    if (whole) {
        c->whole = xfrin_zone(x);
    } else {
        c->plan = plan_steps;
        c->arg = x;
    }
}
