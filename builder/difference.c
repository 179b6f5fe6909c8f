/* Blobs before and after, taken apart into records; what the two sides have of each RRset is compared.
 *
 * A blob says to which zone it belongs (the depth of the apex in its flags): so of the keys that move because a zone comes or
 * goes above or below, each side counts only when it is this zone's. */
#include "builder/difference.h"

#include "builder/build.h"

#include <stdlib.h>

void difference_init(struct difference *d)
{
    *d = (struct difference){ 0 };
    arena_init(&d->arena);
}

void difference_release(struct difference *d)
{
    free(d->v);
    arena_release(&d->arena);
    difference_init(d);
}

/* --- one RRset ---------------------------------------------------------------------------------------------------- */
static void count_records(struct difference *d, const struct patch_rrset *b, const struct patch_rrset *a)
{
    size_t i = 0, j = 0;
    bool same_ttl = a->ttl == b->ttl;
    while (i < b->n || j < a->n) {
        int c = i == b->n ? 1 : j == a->n ? -1 : bytes_compare(b->rdata[i], a->rdata[j]);
        d->removed += c < 0 || (c == 0 && !same_ttl);
        d->added += c > 0 || (c == 0 && !same_ttl);
        i += c <= 0;
        j += c >= 0;
    }
}

static bool rrset_same(const struct patch_rrset *b, const struct patch_rrset *a)
{
    if (a->n != b->n || (a->n > 0 && a->ttl != b->ttl))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!bytes_equal(a->rdata[i], b->rdata[i]))
            return false;
    return true;
}

static enum err copy_rrset(struct arena *a, const struct patch_rrset *from, struct patch_rrset *to)
{
    struct bytes *rdata = arena_take(a, (from->n + 1) * sizeof *rdata);
    if (rdata == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < from->n; i++)
        if ((rdata[i] = arena_copy(a, from->rdata[i])).ptr == NULL && from->rdata[i].len > 0)
            return ERR_NOMEM;
    *to = *from;
    to->rdata = rdata;
    return OK;
}

static enum err change_room(struct difference *d)
{
    if (d->n < d->cap)
        return OK;
    size_t cap = d->cap == 0 ? 8 : d->cap * 2;
    struct rrset_change *more = realloc(d->v, cap * sizeof *more);
    if (more == NULL)
        return ERR_NOMEM;
    d->v = more;
    d->cap = cap;
    return OK;
}

MUST_USE enum err difference_add(struct difference *d, const struct rrset_change *c, size_t most)
{
    struct rrset_change own = *c;
    if (rrset_same(&c->before, &c->after))
        return OK;
    count_records(d, &c->before, &c->after);
    if (most > 0 && d->n >= most) {
        d->cut = true;
        return OK;
    }
    enum err err = change_room(d);
    if (err == OK && (own.owner = arena_copy(&d->arena, c->owner)).ptr == NULL)
        err = ERR_NOMEM;
    if (err == OK)
        err = copy_rrset(&d->arena, &c->before, &own.before);
    if (err == OK)
        err = copy_rrset(&d->arena, &c->after, &own.after);
    if (err == OK)
        d->v[d->n++] = own;
    return err;
}

/* --- records of both sides ---------------------------------------------------------------------------------------- */
struct owner_name { struct bytes labels, name; };
struct item { const struct owner_name *owner; struct bytes rdata; uint32_t ttl; uint16_t type, covers; bool after; };
struct sides {
    struct item *v; size_t n, cap;
    struct bytes *rdata; size_t rdata_cap;      /* of the RRset at hand, both sides */
    struct arena arena;
    const struct owner_name *last;
    struct rrkey apex;
    bool after;
    enum err err;
    struct expander x;
};

static enum err name_owner(struct sides *s, struct bytes name)
{
    struct rrkey k;
    if (s->last != NULL && bytes_equal(s->last->name, name))
        return OK;
    struct owner_name *o = arena_take(&s->arena, sizeof *o);
    enum err err = o == NULL ? ERR_NOMEM : rrkey_of_name(name, &k);
    if (err != OK)
        return err;
    o->labels = arena_copy(&s->arena, bytes_of(k.buf, k.at[k.labels]));
    o->name = arena_copy(&s->arena, name);
    if ((o->labels.ptr == NULL && k.labels > 0) || o->name.ptr == NULL)
        return ERR_NOMEM;
    s->last = o;
    return OK;
}

static enum err item_room(struct sides *s)
{
    if (s->n < s->cap)
        return OK;
    size_t cap = s->cap == 0 ? 64 : s->cap * 2;
    struct item *more = realloc(s->v, cap * sizeof *more);
    if (more == NULL)
        return ERR_NOMEM;
    s->v = more;
    s->cap = cap;
    return OK;
}

static bool on_record(void *arg, const struct zone_rr *rr)
{
    struct sides *s = arg;
    struct rd r = rd_over(rr->rdata);
    s->err = name_owner(s, rr->owner);
    if (s->err == OK)
        s->err = item_room(s);
    if (s->err != OK)
        return false;
    struct item *it = &s->v[s->n];
    *it = (struct item){ s->last, arena_copy(&s->arena, rr->rdata), rr->ttl, rr->type,
                         rr->type == TYPE_RRSIG ? rd_u16(&r) : 0, s->after };
    if (it->rdata.ptr == NULL && rr->rdata.len > 0)
        s->err = ERR_NOMEM;
    s->n += s->err == OK;
    return s->err == OK;
}

/* The value's records, when it is this zone's. */
static enum err take(struct sides *s, struct bytes apex, const struct entry *e, bool after, struct fault *fault)
{
    unsigned depth;
    if (e->value.len == 0)
        return OK;
    enum err err = entry_depth(e, &depth, fault);
    if (err != OK || depth != s->apex.labels)
        return err;
    s->after = after;
    s->x.visit = on_record;
    s->x.arg = s;
    s->x.stopped = false;
    err = expand_whole(&s->x, e, apex, fault);
    return err == OK ? s->err : err;
}

/* A header holds a copy of the SOA, no RRset of its own. */
static enum err take_key(struct sides *s, struct bytes apex, const struct key_change *k, struct fault *fault)
{
    struct rrkey_parts parts;
    if (rrkey_split(k->key, &parts) != OK)
        return fault_set(fault, ERR_BAD, "not a key of an RRset");
    if (parts.slot == RRSLOT_ZONE || bytes_equal(k->before, k->after))
        return OK;
    enum err err = take(s, apex, &(struct entry){ k->key, k->before }, false, fault);
    return err == OK ? take(s, apex, &(struct entry){ k->key, k->after }, true, fault) : err;
}

static int by_rrset(const struct item *x, const struct item *y)
{
    int c = x->owner == y->owner ? 0 : bytes_compare(x->owner->labels, y->owner->labels);
    if (c != 0)
        return c;
    return x->type != y->type ? (x->type > y->type) - (x->type < y->type) : (x->covers > y->covers) - (x->covers < y->covers);
}

static int by_side(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int c = by_rrset(x, y);
    if (c == 0)
        c = x->after - y->after;
    return c != 0 ? c : bytes_compare(x->rdata, y->rdata);
}

/* The records [from, to), one side of an RRset. */
static void one_side(const struct sides *s, size_t from, size_t to, struct bytes *room, struct patch_rrset *out)
{
    const struct item *first = &s->v[from];
    *out = (struct patch_rrset){ .type = first->type, .covers = first->covers, .ttl = from < to ? first->ttl : 0, .rdata = room };
    for (; from < to; from++)
        if (out->n == 0 || !bytes_equal(room[out->n - 1], s->v[from].rdata))
            room[out->n++] = s->v[from].rdata;
}

static enum err rdata_room(struct sides *s, size_t n)
{
    if (n <= s->rdata_cap)
        return OK;
    struct bytes *more = realloc(s->rdata, 2 * n * sizeof *more);
    if (more == NULL)
        return ERR_NOMEM;
    s->rdata = more;
    s->rdata_cap = 2 * n;
    return OK;
}

static enum err compare(struct sides *s, size_t most, struct difference *out)
{
    enum err err = OK;
    if (s->n > 1)
        qsort(s->v, s->n, sizeof *s->v, by_side);
    for (size_t at = 0, mid, end; at < s->n && err == OK; at = end) {
        const struct item *first = &s->v[at];
        struct rrset_change c = { .owner = first->owner->name, .type = first->type, .covers = first->covers };
        for (end = at; end < s->n && by_rrset(first, &s->v[end]) == 0; end++)
            ;
        for (mid = at; mid < end && !s->v[mid].after; mid++)
            ;
        if ((err = rdata_room(s, end - at)) != OK)
            break;
        one_side(s, at, mid, s->rdata, &c.before);
        one_side(s, mid < end ? mid : at, mid < end ? end : at, s->rdata + (mid - at), &c.after);
        err = difference_add(out, &c, most);
    }
    return err;
}

/* --- all ---------------------------------------------------------------------------------------------------------- */
static enum err sides_open(struct sides **out, struct bytes apex, struct fault *fault)
{
    struct sides *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    arena_init(&s->arena);
    enum err err = rrkey_of_name(apex, &s->apex);
    if (err != OK) {
        free(s);
        return fault_set(fault, err, "not a zone's name");
    }
    *out = s;
    return OK;
}

static void sides_close(struct sides *s)
{
    arena_release(&s->arena);
    free(s->v);
    free(s->rdata);
    free(s);
}

MUST_USE enum err difference_of_keys(struct bytes apex, const struct key_change *keys, size_t n, size_t most,
                                     struct difference *out, struct fault *fault)
{
    struct sides *s;
    enum err err = sides_open(&s, apex, fault);
    if (err != OK)
        return err;
    for (size_t i = 0; i < n && err == OK; i++)
        err = take_key(s, apex, &keys[i], fault);
    if (err == OK)
        err = compare(s, most, out);
    sides_close(s);
    return err;
}

MUST_USE enum err difference_of_ops(struct bytes apex, const struct op *ops, size_t n, struct view *v, size_t most,
                                    struct difference *out, struct fault *fault)
{
    struct sides *s;
    enum err err = sides_open(&s, apex, fault);
    if (err != OK)
        return err;
    for (size_t i = 0; i < n && err == OK; i++) {
        struct key_change k = { .key = ops[i].key, .after = ops[i].kind == OP_PUT ? ops[i].value : (struct bytes){ 0 } };
        err = view_get(v, dns_namespace, k.key, &k.before);
        if (err == ERR_NOTFOUND)
            err = OK;
        err = err != OK ? fault_set(fault, err, "cannot read the store") : take_key(s, apex, &k, fault);
    }
    if (err == OK)
        err = compare(s, most, out);
    sides_close(s);
    return err;
}
