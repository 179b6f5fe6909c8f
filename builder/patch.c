/* Which RRsets are to change: kept beside the store until the difference is built. */
#include "builder/patch_parts.h"

#include <assert.h>
#include <stdlib.h>

uint16_t patch_covers(const struct zone_rr *rr)
{
    struct rd r = rd_over(rr->rdata);
    return rr->type == TYPE_RRSIG ? rd_u16(&r) : 0;
}

/* --- life --------------------------------------------------------------------------------------------------------- */
static enum err read_header(struct patch *p, const struct rrkey *k, struct fault *fault)
{
    uint8_t buf[RRKEY_MAX];
    struct zone_header h;
    struct bytes key = bytes_of(buf, rrkey_at(k, k->labels, RRSLOT_ZONE, buf));
    enum err err = cursor_seek(p->cursor, key, &p->header);
    if (err == ERR_NOTFOUND || (err == OK && !bytes_equal(p->header.key, key)))
        return fault_set(fault, ERR_NOTFOUND, "no such zone");
    if (err == OK)
        err = zone_header_read(p->header.value, &h);
    if (err != OK)
        return fault_set(fault, err, "the zone's header cannot be read: azoth verify tells more");
    if (h.state != ZONE_LIVE)
        return fault_set(fault, ERR_NOTNOW, "the zone is not live");
    p->kind = h.kind;
    p->apex_bits = h.flags & 15;
    p->zone_bits = h.bits;
    return OK;
}

MUST_USE enum err patch_open(struct patch **out, struct bytes apex, struct view *v, struct fault *fault)
{
    struct patch *p = calloc(1, sizeof *p);
    struct rrkey k;
    if (p == NULL)
        return ERR_NOMEM;
    arena_init(&p->arena);
    p->view = v;
    enum err err = rrkey_of_name(apex, &k);
    if (err == OK) {
        p->apex.len = (uint8_t)apex.len;
        memcpy(p->apex.wire, apex.ptr, apex.len);
        name_lower(p->apex.wire, apex.len);
        p->depth = k.labels;
        p->labels = k.labels > 0 ? arena_copy(&p->arena, bytes_of(k.buf, k.at[k.labels])) : bytes_of("", 0);
        err = p->labels.ptr == NULL ? ERR_NOMEM : cursor_open(v, dns_namespace, &p->cursor);
    }
    if (err == OK)
        err = read_header(p, &k, fault);
    if (err != OK) {
        patch_close(p);
        return err;
    }
    *out = p;
    return OK;
}

void patch_close(struct patch *p)
{
    if (p == NULL)
        return;
    cursor_close(p->cursor);
    free(p->change);
    free(p->slot);
    arena_release(&p->arena);
    free(p);
}

enum zone_kind patch_kind(const struct patch *p) { return p->kind; }

/* --- the newest change of each RRset ------------------------------------------------------------------------------- */
static uint32_t hash_of(struct bytes owner, uint16_t type, uint16_t covers)
{
    uint64_t h = bytes_fnv(BYTES_FNV_START ^ ((uint64_t)type << 16 | covers), owner);
    return (uint32_t)(h ^ h >> 32);
}

static bool is_of(const struct patch_change *c, struct bytes owner, uint16_t type, uint16_t covers)
{
    return c->rrset.type == type && c->rrset.covers == covers && bytes_equal(c->owner, owner);
}

/* The slot that names the RRset's newest change, or the free one where it would stand. */
static size_t *slot_of(const struct patch *p, uint32_t hash, struct bytes owner, uint16_t type, uint16_t covers)
{
    size_t at = hash & (p->slots - 1);
    while (p->slot[at] != NO_SET && !is_of(&p->change[p->slot[at]], owner, type, covers))
        at = (at + 1) & (p->slots - 1);
    return &p->slot[at];
}

const struct patch_change *patch_find(const struct patch *p, struct bytes owner, uint16_t type, uint16_t covers)
{
    if (p->slots == 0)
        return NULL;
    size_t at = *slot_of(p, hash_of(owner, type, covers), owner, type, covers);
    return at == NO_SET ? NULL : &p->change[at];
}

/* Twice as many slots; the changes that are newest take theirs, in order. */
static bool slots_grow(struct patch *p)
{
    size_t slots = p->slots == 0 ? 64 : p->slots * 2;
    size_t *slot = malloc(slots * sizeof *slot);
    if (slot == NULL)
        return false;
    free(p->slot);
    p->slot = slot;
    p->slots = slots;
    for (size_t i = 0; i < slots; i++)
        slot[i] = NO_SET;
    for (size_t i = 0; i < p->n; i++) {
        const struct patch_change *c = &p->change[i];
        *slot_of(p, c->hash, c->owner, c->rrset.type, c->rrset.covers) = i;
    }
    return true;
}

static bool change_room(struct patch *p)
{
    if (p->n < p->cap)
        return true;
    size_t cap = p->cap == 0 ? 16 : p->cap * 2;
    struct patch_change *more = realloc(p->change, cap * sizeof *more);
    if (more == NULL)
        return false;
    p->change = more;
    p->cap = cap;
    return true;
}

static enum err copy_rdata(struct arena *a, const struct patch_rrset *from, struct patch_rrset *to)
{
    struct bytes *rdata = arena_take(a, (from->n + 1) * sizeof *rdata);
    if (rdata == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < from->n; i++) {
        rdata[i] = arena_copy(a, from->rdata[i]);
        if (rdata[i].ptr == NULL && from->rdata[i].len > 0)
            return ERR_NOMEM;
    }
    *to = *from;
    to->rdata = rdata;
    return OK;
}

MUST_USE enum err patch_set(struct patch *p, struct bytes owner, const struct patch_rrset *rrset)
{
    struct rrkey k;
    if (rrset->n > 65535 || rrkey_of_name(owner, &k) != OK || !name_under(owner, name_bytes(&p->apex)))
        return ERR_LIMIT;
    if (((p->n + 1) * 2 > p->slots && !slots_grow(p)) || !change_room(p))
        return ERR_NOMEM;
    struct patch_change c = { .owner = arena_copy(&p->arena, owner) };
    if (c.owner.ptr == NULL || copy_rdata(&p->arena, rrset, &c.rrset) != OK)
        return ERR_NOMEM;
    name_lower((uint8_t *)(uintptr_t)c.owner.ptr, c.owner.len);
    c.hash = hash_of(c.owner, rrset->type, rrset->covers);
    size_t *slot = slot_of(p, c.hash, c.owner, rrset->type, rrset->covers);
    c.before = *slot;
    *slot = p->n;
    p->change[p->n++] = c;
    return OK;
}

size_t patch_mark(const struct patch *p) { return p->n; }

/* The change at `at` is the newest of all: its slot is free afterwards, or that of the change which it hid. What stands
 * behind a free slot is put in again, since it may stand there only because this one was taken. */
static void undo_one(struct patch *p, size_t at)
{
    const struct patch_change *c = &p->change[at];
    size_t *slot = slot_of(p, c->hash, c->owner, c->rrset.type, c->rrset.covers);
    assert(*slot == at);
    *slot = c->before;
    if (c->before != NO_SET)
        return;
    for (size_t i = ((size_t)(slot - p->slot) + 1) & (p->slots - 1); p->slot[i] != NO_SET; i = (i + 1) & (p->slots - 1)) {
        size_t moved = p->slot[i];
        const struct patch_change *m = &p->change[moved];
        p->slot[i] = NO_SET;
        *slot_of(p, m->hash, m->owner, m->rrset.type, m->rrset.covers) = moved;
    }
}

void patch_undo(struct patch *p, size_t mark)
{
    while (p->n > mark) {
        undo_one(p, p->n - 1);
        p->n--;
    }
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
static int by_set(const void *a, const void *b)
{
    const struct zone_rr *x = a, *y = b;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    uint16_t cx = patch_covers(x), cy = patch_covers(y);
    return cx != cy ? (cx < cy ? -1 : 1) : bytes_compare(x->rdata, y->rdata);
}

/* The owner's records to the front of the zone, by RRset; how many. */
static size_t only_owner(struct zone *z, struct bytes owner)
{
    size_t n = 0;
    for (size_t i = 0; i < z->n; i++)
        if (bytes_equal(z->rr[i].owner, owner))
            z->rr[n++] = z->rr[i];
    if (n > 1)
        qsort(z->rr, n, sizeof *z->rr, by_set);
    return n;
}

/* The RRset that begins at z->rr[at] of n, as it is in the store; *at moves behind it. */
static enum err stored_set(struct patch *p, const struct zone *z, size_t n, size_t *at, struct patch_rrset *out)
{
    const struct zone_rr *first = &z->rr[*at];
    struct patch_rrset set = { .type = first->type, .covers = patch_covers(first), .ttl = first->ttl };
    size_t end = *at;
    while (end < n && z->rr[end].type == set.type && patch_covers(&z->rr[end]) == set.covers)
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
static enum err merge(struct patch *p, const struct zone *z, size_t n, struct bytes owner, struct patch_rrset **out,
                      size_t *out_n)
{
    struct patch_rrset *sets = arena_take(&p->arena, (n + p->n + 1) * sizeof *sets);
    if (sets == NULL)
        return ERR_NOMEM;
    *out_n = 0;
    for (size_t at = 0; at < n;) {
        enum err err = stored_set(p, z, n, &at, &sets[*out_n]);
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

MUST_USE enum err patch_get_all(struct patch *p, struct bytes owner, const struct patch_rrset **out, size_t *n,
                                struct fault *fault)
{
    struct region_load l;
    struct region r;
    struct rrkey k;
    struct patch_rrset *sets;
    struct bytes lower = arena_copy(&p->arena, owner);
    if (lower.ptr == NULL)
        return ERR_NOMEM;
    name_lower((uint8_t *)(uintptr_t)lower.ptr, lower.len);
    if (rrkey_of_name(lower, &k) != OK || !name_under(lower, name_bytes(&p->apex)))
        return fault_set(fault, ERR_LIMIT, "not a name in the zone");
    enum err err = region_load_init(&l, p);
    if (err == OK)
        err = region_of(p, &k, &r);
    if (err == OK)
        err = region_read(p, &r, &l, fault);
    if (err == OK)
        err = merge(p, &l.zone, only_owner(&l.zone, lower), lower, &sets, n);
    if (err == OK) {
        qsort(sets, *n, sizeof *sets, by_type);
        *out = sets;
    }
    region_load_release(&l);
    return err;
}

MUST_USE enum err patch_get(struct patch *p, struct bytes owner, uint16_t type, uint16_t covers, struct patch_rrset *out,
                            struct fault *fault)
{
    const struct patch_rrset *all;
    size_t n;
    enum err err = patch_get_all(p, owner, &all, &n, fault);
    if (err != OK)
        return err;
    *out = (struct patch_rrset){ .type = type, .covers = covers };
    for (size_t i = 0; i < n; i++)
        if (all[i].type == type && all[i].covers == covers)
            *out = all[i];
    return OK;
}
