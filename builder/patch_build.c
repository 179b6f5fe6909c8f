/* The difference that a patch makes. */
#include "builder/patch_parts.h"

#include <stdlib.h>

#define WHOLE_FROM 50           /* RRsets that go, from which on the whole zone is looked at: the guard's 100, and half of it */

/* --- what has to be read ------------------------------------------------------------------------------------------ */
struct regions { struct region *v; size_t n; bool whole; };

static int by_labels(const void *a, const void *b)
{
    const struct region *x = a, *y = b;
    int c = bytes_compare(x->labels, y->labels);
    return c != 0 ? c : y->subtree - x->subtree;        /* the larger one first */
}

/* Each region once, none inside another. */
static void unite(struct regions *r)
{
    size_t n = 0;
    qsort(r->v, r->n, sizeof *r->v, by_labels);
    for (size_t i = 0; i < r->n; i++) {
        const struct region *last = n > 0 ? &r->v[n - 1] : NULL;
        bool inside = last != NULL && (last->subtree ? labels_under(r->v[i].labels, last->labels)
                                                     : bytes_equal(r->v[i].labels, last->labels));
        if (!inside)
            r->v[n++] = r->v[i];
    }
    r->n = n;
}

static bool makes_cover(const struct patch_rrset *s)
{
    return s->n > 0 && (s->type == TYPE_NS || s->type == TYPE_DNAME);
}

static enum err find_regions(struct patch *p, struct regions *out, struct arena *arena)
{
    struct rrkey k;
    *out = (struct regions){ .v = arena_take(arena, (p->n + 1) * sizeof *out->v) };
    if (out->v == NULL)
        return ERR_NOMEM;
    out->whole = (p->apex_bits & BLOB_DNAME) != 0;      /* everything lies below it */
    out->v[out->n++] = (struct region){ p->labels, false };
    for (size_t i = 0; i < p->n; i++) {
        const struct patch_change *c = &p->change[i];
        struct region *r = &out->v[out->n];
        if (!patch_is_newest(p, c))
            continue;
        enum err err = rrkey_of_name(c->owner, &k);
        if (err == OK)
            err = region_of(p, &k, r);
        if (err != OK)
            return err;
        bool apex = k.labels == p->depth;
        out->whole |= apex && c->rrset.type == TYPE_DNAME;
        if (apex)
            continue;
        r->subtree |= makes_cover(&c->rrset);
        if ((r->labels = arena_copy(arena, r->labels)).ptr == NULL)
            return ERR_NOMEM;
        out->n++;
    }
    unite(out);
    return OK;
}

/* --- records as they are to be ------------------------------------------------------------------------------------ */
/* The zone's records with the changes in place of what they change. *lost: RRsets that go, about. */
static enum err apply(const struct patch *p, struct zone *z, size_t *lost)
{
    size_t n = 0;
    for (size_t i = 0; i < z->n; i++) {
        const struct patch_change *c = patch_find(p, z->rr[i].owner, z->rr[i].type, patch_covers(&z->rr[i]));
        if (c == NULL)
            z->rr[n++] = z->rr[i];
        else
            *lost += c->rrset.n == 0;
    }
    z->n = n;
    for (size_t i = 0; i < p->n; i++) {
        const struct patch_change *c = &p->change[i];
        if (!patch_is_newest(p, c))
            continue;
        for (size_t k = 0; k < c->rrset.n; k++) {
            enum err err = zone_put(z, c->owner, c->rrset.type, c->rrset.ttl, c->rrset.rdata[k], 0);
            if (err != OK)
                return err;
        }
    }
    return OK;
}

/* --- the whole zone ----------------------------------------------------------------------------------------------- */
static enum err build_whole(struct patch *p, const struct patch_options *o, struct complaints *c, struct op_list *out,
                            struct fault *fault)
{
    const struct zone_build_options zo = { .kind = p->kind, .force = o->force, .crew = o->crew, .strict = o->strict };
    struct region_load l;
    size_t lost = 0;
    enum err err = region_load_init(&l, p);
    if (err == OK)
        err = region_read(p, &(struct region){ p->labels, true }, &l, fault);
    if (err == OK)
        err = apply(p, &l.zone, &lost);
    if (err == OK)
        err = zone_build(&l.zone, p->view, &zo, c, out, fault);
    region_load_release(&l);
    return err;
}

/* --- the regions alone -------------------------------------------------------------------------------------------- */
static enum err lay(const struct patch *p, struct region_load *l, const struct patch_options *o, struct complaints *c,
                    struct arena *arena, struct blobs *fresh)
{
    struct owners owners;
    struct layout lay = { 0 };
    enum err err = owners_make(&l->zone, &owners, c);
    if (err == OK) {
        guards_check(&l->zone, &owners, c);
        err = c->errors_n > 0 ? ERR_REFUSED : layout_init(&lay, &l->zone, &owners, arena, c);
    }
    if (err == OK) {
        lay.child = l->children.v;
        lay.child_n = l->children.n;
        lay.bits = p->zone_bits;
        lay.part = true;
        err = layout_run(&lay, p->kind, true, o->crew, fresh);
    }
    layout_release(&lay);
    owners_release(&owners);
    return err;
}

static enum err read_all(struct patch *p, const struct regions *r, struct region_load *l, struct fault *fault)
{
    enum err err = region_load_init(l, p);
    for (size_t i = 0; err == OK && i < r->n; i++)
        err = region_read(p, &r->v[i], l, fault);
    return err;
}

static enum err difference(struct patch *p, struct blobs *old, const struct blobs *fresh, struct op_list *out)
{
    enum err err = blobs_add(old, p->header.key, p->header.value);
    if (err != OK)
        return err;
    blobs_sort(old);
    return diff_run(old->v, old->n, fresh->v, fresh->n, out);
}

static enum err build_part(struct patch *p, const struct regions *r, const struct patch_options *o, struct complaints *c,
                           struct op_list *out, bool *whole, struct fault *fault)
{
    struct region_load l;
    struct blobs fresh = { 0 };
    size_t lost = 0;
    enum err err = read_all(p, r, &l, fault);
    if (err == OK)
        err = apply(p, &l.zone, &lost);
    *whole = lost > WHOLE_FROM && !o->force && (p->kind != ZONE_SECONDARY || o->strict);
    if (err == OK && !*whole) {
        err = lay(p, &l, o, c, &out->arena, &fresh);
        if (err == OK)
            err = difference(p, &l.old, &fresh, out);
    }
    blobs_release(&fresh);
    region_load_release(&l);
    return err;
}

MUST_USE enum err patch_build(struct patch *p, const struct patch_options *o, struct complaints *c, struct op_list *out,
                              struct fault *fault)
{
    struct regions r;
    struct arena arena;
    bool whole = false;
    arena_init(&arena);
    out->n = 0;
    enum err err = find_regions(p, &r, &arena);
    if (err == OK && !(whole = r.whole))
        err = build_part(p, &r, o, c, out, &whole, fault);
    if (err == OK && whole)
        err = build_whole(p, o, c, out, fault);
    if (err == ERR_REFUSED && c->errors_n > 0)
        err = fault_set(fault, ERR_REFUSED, "%u error%s: %s", c->errors_n, c->errors_n == 1 ? "" : "s", c->errors[0].text);
    if (err != OK)
        out->n = 0;
    arena_release(&arena);
    return err;
}
