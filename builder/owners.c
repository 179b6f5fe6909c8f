/* Records in canonical order. Keys are made once per run of records with one owner; what is sorted are the first eight
 * bytes behind the apex, by radix, so that a million owners take some tens of milliseconds; ties compare whole keys. */
#include "builder/build.h"

#include <stdlib.h>

#define RADIX_FROM 4096         /* below that qsort is as good */
#define AHEAD 16                /* sorted order jumps about in memory: what comes next is fetched meanwhile */

struct run { struct bytes labels, name; size_t first, n; };
struct item { uint64_t head; size_t run; };

static uint64_t head_of(struct bytes labels, size_t skip)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++)
        v = v << 8 | (skip + i < labels.len ? labels.ptr[skip + i] : 0);
    return v;
}

/* --- runs ----------------------------------------------------------------------------------------------------- */
static bool same_owner(const struct zone_rr *a, const struct zone_rr *b)
{
    return a->owner.ptr == b->owner.ptr || bytes_equal(a->owner, b->owner);
}

static enum err make_runs(const struct zone *z, struct arena *arena, struct run **out, size_t *out_n)
{
    size_t n = 0;
    struct rrkey k;
    for (size_t i = 0; i < z->n; i++)
        n += i == 0 || !same_owner(&z->rr[i - 1], &z->rr[i]);
    struct run *runs = malloc((n + 1) * sizeof *runs);
    *out = runs;
    *out_n = 0;
    if (runs == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < z->n; i++) {
        if (i > 0 && same_owner(&z->rr[i - 1], &z->rr[i])) {
            runs[*out_n - 1].n++;
            continue;
        }
        enum err err = rrkey_of_name(z->rr[i].owner, &k);
        if (err != OK)
            return err;
        struct bytes labels = k.labels > 0 ? arena_copy(arena, bytes_of(k.buf, k.at[k.labels])) : bytes_of("", 0);
        struct run run = { labels, z->rr[i].owner, i, 1 };
        if (labels.ptr == NULL)
            return ERR_NOMEM;
        runs[(*out_n)++] = run;
    }
    return OK;
}

/* --- sorting -------------------------------------------------------------------------------------------------- */
static int by_key(const void *a, const void *b, void *arg)
{
    const struct item *x = a, *y = b;
    const struct run *runs = arg;
    if (x->head != y->head)
        return x->head < y->head ? -1 : 1;
    int c = bytes_compare(runs[x->run].labels, runs[y->run].labels);
    return c != 0 ? c : (x->run > y->run) - (x->run < y->run);
}

/* Stable, by 16 bits of the head a pass, lowest first; passes in which all are equal are left out. */
static bool radix(struct item *items, size_t n)
{
    struct item *other = malloc(n * sizeof *other), *from = items, *to = other;
    size_t *count = malloc(65536 * sizeof *count);
    bool ok = other != NULL && count != NULL;
    for (unsigned shift = 0; shift < 64 && ok; shift += 16) {
        size_t sum = 0;
        memset(count, 0, 65536 * sizeof *count);
        for (size_t i = 0; i < n; i++)
            count[from[i].head >> shift & 0xffff]++;
        if (count[from[0].head >> shift & 0xffff] == n)
            continue;
        for (size_t i = 0; i < 65536; i++) {
            size_t c = count[i];
            count[i] = sum;
            sum += c;
        }
        for (size_t i = 0; i < n; i++)
            to[count[from[i].head >> shift & 0xffff]++] = from[i];
        struct item *t = from;
        from = to;
        to = t;
    }
    if (ok && from != items)
        memcpy(items, from, n * sizeof *items);
    free(other);
    free(count);
    return ok;
}

static void sort_items(struct item *items, size_t n, struct run *runs)
{
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++)
        sorted = by_key(&items[i - 1], &items[i], runs) <= 0;
    if (sorted)
        return;
    if (n < RADIX_FROM || !radix(items, n)) {
        qsort_r(items, n, sizeof *items, by_key, runs);
        return;
    }
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && items[j].head == items[i].head; j++)
            ;
        if (j - i > 1)
            qsort_r(items + i, j - i, sizeof *items, by_key, runs);
    }
}

/* --- records of one owner ------------------------------------------------------------------------------------- */
static uint32_t order_of(const struct zone_rr *rr) { return (uint32_t)rrslot_of(rr->type) << 16 | rr->type; }

static int by_type(const void *a, const void *b)
{
    const struct zone_rr *x = a, *y = b;
    uint32_t ox = order_of(x), oy = order_of(y);
    return ox != oy ? (ox < oy ? -1 : 1) : (x->line > y->line) - (x->line < y->line);
}

static void sort_owner(struct zone_rr *rr, size_t n)
{
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++)
        sorted = order_of(&rr[i - 1]) <= order_of(&rr[i]);
    if (!sorted)
        qsort(rr, n, sizeof *rr, by_type);
}

static uint16_t has_of(uint16_t type)
{
    switch (type) {
    case TYPE_NS: return HAS_NS;
    case TYPE_DNAME: return HAS_DNAME;
    case TYPE_CNAME: return HAS_CNAME;
    case TYPE_NSEC3: return HAS_NSEC3;
    case TYPE_NSEC: return HAS_NSEC;
    case TYPE_RRSIG: return HAS_RRSIG;
    case TYPE_SOA: return HAS_SOA;
    case TYPE_DS: return HAS_DS;
    default: return 0;
    }
}

static void describe(struct owner *o, const struct zone *z)
{
    for (size_t i = o->first; i < o->first + o->n; i++)
        o->has |= has_of(z->rr[i].type);
    if ((o->has & HAS_NSEC3) != 0 && o->name.len == z->apex.len + 33u)
        o->hashed = nsec3_label_read(bytes_of(o->name.ptr + 1, o->name.ptr[0]), o->hash);
}

static enum err gather(struct zone *z, const struct item *items, const struct run *runs, size_t n, struct owners *out)
{
    struct zone_rr *rr = malloc((z->n + 1) * sizeof *rr);
    size_t at = 0;
    out->v = malloc((n + 1) * sizeof *out->v);
    if (rr == NULL || out->v == NULL) {
        free(rr);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        const struct run *run = &runs[items[i].run];
        if (i + AHEAD < n)
            __builtin_prefetch(&runs[items[i + AHEAD].run]);
        if (i + AHEAD / 2 < n) {
            const struct run *soon = &runs[items[i + AHEAD / 2].run];
            __builtin_prefetch(&z->rr[soon->first]);
            __builtin_prefetch(soon->labels.ptr);
        }
        struct owner *o = out->n > 0 ? &out->v[out->n - 1] : NULL;
        if (o == NULL || !bytes_equal(o->labels, run->labels)) {
            o = &out->v[out->n++];
            *o = (struct owner){ .labels = run->labels, .name = run->name, .first = at };
        }
        memcpy(rr + at, z->rr + run->first, run->n * sizeof *rr);
        o->n += run->n;
        at += run->n;
    }
    free(z->rr);
    z->rr = rr;
    z->cap = z->n + 1;
    for (size_t i = 0; i < out->n; i++) {
        sort_owner(rr + out->v[i].first, out->v[i].n);
        describe(&out->v[i], z);
    }
    return OK;
}

static bool all_inside(const struct zone *z, const struct run *runs, size_t n, struct bytes apex, struct complaints *c)
{
    bool inside = true;
    char text[NAME_TEXT_MAX];
    for (size_t i = 0; i < n; i++) {
        if (labels_under(runs[i].labels, apex))
            continue;
        inside = false;
        if (c != NULL)
            complain_error(c, z->rr[runs[i].first].line, "%s lies outside of the zone",
                           name_text(text, sizeof text, runs[i].name));
    }
    return inside;
}

enum err owners_make(struct zone *z, struct owners *out, struct complaints *c)
{
    struct run *runs = NULL;
    struct item *items = NULL;
    struct rrkey apex;
    size_t n = 0;
    enum err err;
    *out = (struct owners){ 0 };
    arena_init(&out->arena);
    if ((err = rrkey_of_name(name_bytes(&z->apex), &apex)) != OK || (err = make_runs(z, &out->arena, &runs, &n)) != OK)
        goto out;
    if (!all_inside(z, runs, n, bytes_of(apex.buf, apex.at[apex.labels]), c)) {
        err = ERR_REFUSED;
        goto out;
    }
    if ((items = malloc((n + 1) * sizeof *items)) == NULL) {
        err = ERR_NOMEM;
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        items[i] = (struct item){ head_of(runs[i].labels, apex.at[apex.labels]), i };
    sort_items(items, n, runs);
    err = gather(z, items, runs, n, out);
out:
    free(items);
    free(runs);
    return err;
}

void owners_release(struct owners *o)
{
    free(o->v);
    arena_release(&o->arena);
    o->v = NULL;
    o->n = 0;
}

bool owner_has_type(const struct zone *z, const struct owner *o, uint16_t type)
{
    const struct zone_rr wanted = { .type = type };
    size_t from = o->first, to = o->first + o->n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (order_of(&z->rr[mid]) < order_of(&wanted))
            from = mid + 1;
        else
            to = mid;
    }
    return from < o->first + o->n && z->rr[from].type == type;
}

size_t run_end(const struct zone *z, const struct owner *o, size_t from)
{
    size_t to = from + 1, end = o->first + o->n;
    while (to < end && z->rr[to].type == z->rr[from].type)
        to++;
    return to;
}
