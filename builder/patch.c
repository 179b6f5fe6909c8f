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
    secret_hash_init(&p->secret);
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
    patch_forget(p);
    cursor_close(p->cursor);
    free(p->change);
    free(p->slot);
    arena_release(&p->arena);
    free(p);
}

enum zone_kind patch_kind(const struct patch *p) { return p->kind; }

/* --- the newest change of each RRset ------------------------------------------------------------------------------- */
static uint32_t hash_of(const struct patch *p, struct bytes owner, uint16_t type, uint16_t covers)
{
    return secret_hash_rrset(&p->secret, owner, type, covers);
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
    size_t at = *slot_of(p, hash_of(p, owner, type, covers), owner, type, covers);
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
    c.hash = hash_of(p, c.owner, rrset->type, rrset->covers);
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
