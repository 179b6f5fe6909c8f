/* One owner or RRset as it is now: in the store, or as it was set. What of the store lies in one region (patch_region.c) is read together,
 * and the last few regions are kept: however many RRsets of a large owner, or below a large cut, are asked for one by one. */
#include "builder/patch_parts.h"

#include <stdlib.h>

#define LARGE 65536             /* records; beside such a region no other is kept */

struct seen { struct region_load load; uint64_t looked; bool subtree; size_t len; uint8_t labels[]; };

/* --- regions ------------------------------------------------------------------------------------------------------------ */
static void seen_drop(struct seen **at)
{
    if (*at != NULL)
        region_load_release(&(*at)->load);
    free(*at);
    *at = NULL;
}

void patch_forget(struct patch *p)
{
    for (size_t i = 0; i < PATCH_SEEN; i++)
        seen_drop(&p->seen[i]);
}

static int compare_set(const struct zone_rr *x, struct bytes owner, uint16_t type, uint16_t covers)
{
    int c = bytes_compare(x->owner, owner);
    if (c != 0)
        return c;
    return x->type != type ? (x->type < type ? -1 : 1) : (patch_covers(x) > covers) - (patch_covers(x) < covers);
}

static int by_set(const void *a, const void *b)
{
    const struct zone_rr *x = a, *y = b;
    int c = compare_set(x, y->owner, y->type, patch_covers(y));
    return c != 0 ? c : bytes_compare(x->rdata, y->rdata);
}

static enum err seen_read(struct patch *p, const struct region *r, struct seen **out, struct fault *fault)
{
    struct seen *s = calloc(1, sizeof *s + r->labels.len);
    if (s == NULL)
        return ERR_NOMEM;
    s->subtree = r->subtree;
    s->len = r->labels.len;
    if (s->len > 0)
        memcpy(s->labels, r->labels.ptr, s->len);
    enum err err = region_load_init(&s->load, p);
    if (err == OK)
        err = region_read(p, r, &s->load, fault);
    if (err != OK) {
        seen_drop(&s);
        return err;
    }
    if (s->load.zone.n > 1)
        qsort(s->load.zone.rr, s->load.zone.n, sizeof *s->load.zone.rr, by_set);
    *out = s;
    return OK;
}

/* In the place of the one that nobody asked for the longest. */
static enum err seen_add(struct patch *p, const struct region *r, struct seen **out, struct fault *fault)
{
    size_t at = 0;
    struct seen *s = NULL;
    enum err err = seen_read(p, r, &s, fault);
    if (err != OK)
        return err;
    if (s->load.zone.n > LARGE)
        patch_forget(p);
    for (size_t i = 1; i < PATCH_SEEN && p->seen[at] != NULL; i++)
        if (p->seen[i] == NULL || p->seen[i]->looked < p->seen[at]->looked)
            at = i;
    seen_drop(&p->seen[at]);
    *out = p->seen[at] = s;
    return OK;
}

/* The region that the owner's records lie in, sorted by owner and RRset. */
static enum err look(struct patch *p, struct bytes owner, struct zone **out, struct fault *fault)
{
    struct rrkey k;
    struct region r;
    struct seen *s = NULL;
    if (rrkey_of_name(owner, &k) != OK || !name_under(owner, name_bytes(&p->apex)))
        return fault_set(fault, ERR_LIMIT, "not a name in the zone");
    enum err err = region_of(p, &k, &r);
    for (size_t i = 0; err == OK && i < PATCH_SEEN && s == NULL; i++)
        if (p->seen[i] != NULL && p->seen[i]->subtree == r.subtree && bytes_equal(bytes_of(p->seen[i]->labels, p->seen[i]->len), r.labels))
            s = p->seen[i];
    if (err == OK && s == NULL)
        err = seen_add(p, &r, &s, fault);
    if (err != OK)
        return err;
    s->looked = ++p->looks;
    *out = &s->load.zone;
    return OK;
}

/* Where the first record that is not before this RRset stands. */
static size_t find(const struct zone *z, struct bytes owner, uint16_t type, uint16_t covers)
{
    size_t lo = 0, hi = z->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (compare_set(&z->rr[mid], owner, type, covers) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* --- RRsets --------------------------------------------------------------------------------------------------------------- */
/* The RRset that begins at z->rr[at], as it is in the store; *at moves behind it. */
static enum err stored_set(struct patch *p, const struct zone *z, size_t *at, struct patch_rrset *out)
{
    const struct zone_rr *first = &z->rr[*at];
    struct patch_rrset set = { .type = first->type, .covers = patch_covers(first), .ttl = first->ttl };
    size_t end = *at;
    while (end < z->n && compare_set(&z->rr[end], first->owner, set.type, set.covers) == 0)
        end++;
    struct bytes *rdata = arena_take(&p->arena, (end - *at) * sizeof *rdata);
    if (rdata == NULL)
        return ERR_NOMEM;
    for (; *at < end; ++*at)
        if ((rdata[set.n++] = arena_copy(&p->arena, z->rr[*at].rdata)).ptr == NULL && z->rr[*at].rdata.len > 0)
            return ERR_NOMEM;
    set.rdata = rdata;
    *out = set;
    return OK;
}

/* Room for what is stored and for every change. */
static enum err merge(struct patch *p, const struct zone *z, struct bytes owner, struct patch_rrset **out, size_t *out_n)
{
    size_t at = find(z, owner, 0, 0), end = at;
    while (end < z->n && bytes_equal(z->rr[end].owner, owner))
        end++;
    struct patch_rrset *sets = arena_take(&p->arena, (end - at + p->n + 1) * sizeof *sets);
    if (sets == NULL)
        return ERR_NOMEM;
    *out_n = 0;
    while (at < end) {
        enum err err = stored_set(p, z, &at, &sets[*out_n]);
        if (err != OK)
            return err;
        *out_n += patch_find(p, owner, sets[*out_n].type, sets[*out_n].covers) == NULL;
    }
    for (size_t i = 0; i < p->n; i++)
        if (bytes_equal(p->change[i].owner, owner) && p->change[i].rrset.n > 0 && patch_is_newest(p, &p->change[i]))
            sets[(*out_n)++] = p->change[i].rrset;
    *out = sets;
    return OK;
}

static int by_type(const void *a, const void *b)
{
    const struct patch_rrset *x = a, *y = b;
    return x->type != y->type ? (x->type > y->type) - (x->type < y->type) : (x->covers > y->covers) - (x->covers < y->covers);
}

static struct bytes lowered(struct patch *p, struct bytes owner)
{
    struct bytes lower = arena_copy(&p->arena, owner);
    if (lower.ptr != NULL)
        name_lower((uint8_t *)(uintptr_t)lower.ptr, lower.len);
    return lower;
}

MUST_USE enum err patch_get_all(struct patch *p, struct bytes owner, const struct patch_rrset **out, size_t *n,
                                struct fault *fault)
{
    struct patch_rrset *sets = NULL;
    struct zone *z;
    struct bytes lower = lowered(p, owner);
    if (lower.ptr == NULL)
        return ERR_NOMEM;
    enum err err = look(p, lower, &z, fault);
    if (err == OK)
        err = merge(p, z, lower, &sets, n);
    if (err != OK)
        return err;
    qsort(sets, *n, sizeof *sets, by_type);
    *out = sets;
    return OK;
}

MUST_USE enum err patch_get(struct patch *p, struct bytes owner, uint16_t type, uint16_t covers, struct patch_rrset *out,
                            struct fault *fault)
{
    struct zone *z;
    struct bytes lower = lowered(p, owner);
    if (lower.ptr == NULL)
        return ERR_NOMEM;
    enum err err = look(p, lower, &z, fault);
    if (err != OK)
        return err;
    const struct patch_change *set = patch_find(p, lower, type, covers);
    size_t at = find(z, lower, type, covers);
    *out = set != NULL ? set->rrset : (struct patch_rrset){ .type = type, .covers = covers };
    if (set != NULL || at == z->n || compare_set(&z->rr[at], lower, type, covers) != 0)
        return OK;
    return stored_set(p, z, &at, out);
}
