/* The parts of a zone in the store that a patch has to look at. */
#include "builder/patch_parts.h"

#include <stdlib.h>

static enum err damaged(struct fault *fault)
{
    return fault_set(fault, ERR_BAD, "a stored key or value is damaged: azoth verify tells which");
}

MUST_USE enum err region_load_init(struct region_load *l, const struct patch *p)
{
    *l = (struct region_load){ .err = OK };
    arena_init(&l->arena);
    zone_init(&l->zone, name_bytes(&p->apex), "the store");
    return (l->expander = malloc(sizeof *l->expander)) == NULL ? ERR_NOMEM : OK;
}

void region_load_release(struct region_load *l)
{
    zone_release(&l->zone);
    arena_release(&l->arena);
    blobs_release(&l->old);
    free(l->children.v);
    free(l->expander);
}

/* --- which region ------------------------------------------------------------------------------------------------- */
static struct bytes with_zero(struct bytes labels, uint8_t buf[RRKEY_SHADOW_MAX])
{
    if (labels.len > 0)
        memcpy(buf, labels.ptr, labels.len);
    buf[labels.len] = 0;
    return bytes_of(buf, labels.len + 1);
}

/* Flags of an owner; 0: it has no keys. */
static enum err owner_flags(struct patch *p, struct bytes labels, uint32_t *flags)
{
    uint8_t buf[RRKEY_SHADOW_MAX];
    struct bytes owner = with_zero(labels, buf);
    struct entry e;
    *flags = 0;
    enum err err = cursor_seek(p->cursor, owner, &e);
    if (err != OK || !bytes_starts(e.key, owner))
        return err == ERR_NOTFOUND ? OK : err;
    return blob_read_flags(e.value, flags);
}

MUST_USE enum err region_of(struct patch *p, const struct rrkey *k, struct region *out)
{
    uint32_t flags;
    *out = (struct region){ bytes_of(k->buf, k->at[k->labels]), false };
    if ((p->apex_bits & BLOB_DNAME) != 0 && k->labels > p->depth)
        *out = (struct region){ p->labels, true };
    if (out->subtree)
        return OK;
    for (unsigned depth = p->depth + 1; depth <= k->labels; depth++) {
        struct bytes labels = bytes_of(k->buf, k->at[depth]);
        enum err err = owner_flags(p, labels, &flags);
        if (err != OK)
            return err;
        if ((flags & (BLOB_CUT | BLOB_DNAME | BLOB_APEX)) != 0) {
            *out = (struct region){ labels, true };
            return OK;
        }
    }
    return OK;
}

/* --- entries ------------------------------------------------------------------------------------------------------ */
static bool add_record(void *arg, const struct zone_rr *rr)
{
    struct region_load *l = arg;
    l->err = zone_add(&l->zone, rr->owner, rr->type, rr->ttl, rr->rdata, 0);
    return l->err == OK;
}

/* An entry of this zone; those of zones above and below are passed over. */
static enum err take_own(struct patch *p, struct region_load *l, const struct entry *e, struct fault *fault)
{
    unsigned depth;
    enum err err = entry_depth(e, &depth, fault);
    return err != OK || depth != p->depth ? err : blobs_add(&l->old, e->key, e->value);
}

static enum err take_key(struct patch *p, struct region_load *l, struct bytes key, struct fault *fault)
{
    struct entry e = { .key = key };
    enum err err = cursor_seek(p->cursor, key, &e);
    if (err != OK || !bytes_equal(e.key, key))
        return err == ERR_NOTFOUND ? OK : err;
    return take_own(p, l, &e, fault);
}

static uint16_t slot_in(struct bytes key, size_t at)
{
    struct rd r = rd_over(bytes_of(key.ptr + at, key.len - at));
    return rd_u16(&r);
}

static bool is_private(uint16_t slot) { return slot >= RRSLOT_ZONE && slot <= RRSLOT_PRIVATE_LAST; }

/* Keys of the owner itself: of the apex not the header, nor what stands under it for others (hashes, shadows). */
static enum err read_owner(struct patch *p, struct bytes labels, struct region_load *l, struct fault *fault)
{
    uint8_t buf[RRKEY_SHADOW_MAX];
    struct bytes owner = with_zero(labels, buf);
    struct entry e;
    enum err err = cursor_seek(p->cursor, owner, &e), take;
    while (err == OK && bytes_starts(e.key, owner) && e.key.len >= owner.len + 2) {
        uint16_t slot = slot_in(e.key, owner.len);
        if (e.key.len > owner.len + 2) {        /* one of many: on behind them all */
            uint8_t next[RRKEY_SHADOW_MAX + 2];
            struct wr w = wr_over(next, sizeof next);
            wr_bytes(&w, owner);
            wr_u16(&w, (uint16_t)(slot + 1));
            err = cursor_seek(p->cursor, wr_done(&w), &e);
            continue;
        }
        if (!is_private(slot) && (take = take_own(p, l, &e, fault)) != OK)
            return take;
        err = cursor_next(p->cursor, &e);
    }
    return err == ERR_NOTFOUND ? OK : err;
}

/* --- subtrees ----------------------------------------------------------------------------------------------------- */
static enum err read_below(struct patch *p, struct bytes labels, struct region_load *l, struct fault *fault)
{
    struct entry e;
    uint32_t flags;
    enum err err = cursor_seek(p->cursor, labels, &e), take;
    while (err == OK && bytes_starts(e.key, labels)) {
        size_t owner = rrkey_owner_len(e.key);
        if (owner == 0 || blob_read_flags(e.value, &flags) != OK)
            return damaged(fault);
        if ((flags & BLOB_APEX) != 0) {
            err = survey_pass(p->cursor, flags & 15, &l->children, &l->arena, &l->old, &e);
            continue;
        }
        if ((take = take_own(p, l, &e, fault)) != OK)
            return take;
        err = cursor_next(p->cursor, &e);
    }
    return err == ERR_NOTFOUND ? OK : err;
}

/* What is kept under shadow keys, because a hosted zone has the names. */
static enum err read_shadows(struct patch *p, struct bytes labels, struct region_load *l, struct fault *fault)
{
    uint8_t prefix[RRKEY_SHADOW_MAX + 4];
    struct wr w = wr_over(prefix, sizeof prefix);
    struct entry e;
    enum err take;
    wr_bytes(&w, p->labels);
    wr_u8(&w, 0);
    wr_u16(&w, RRSLOT_SHADOW);
    wr_put(&w, labels.ptr + p->labels.len, labels.len - p->labels.len);
    enum err err = cursor_seek(p->cursor, wr_done(&w), &e);
    for (; err == OK && bytes_starts(e.key, wr_done(&w)); err = cursor_next(p->cursor, &e))
        if ((take = take_own(p, l, &e, fault)) != OK)
            return take;
    return err == ERR_NOTFOUND ? OK : err;
}

/* An owner whose name is a hash may have an NSEC3 record, which is kept under the apex. */
static enum err read_hashed(struct patch *p, struct bytes labels, struct region_load *l, struct fault *fault)
{
    uint8_t hash[NSEC3_HASH_LEN], key[RRKEY_SHADOW_MAX];
    struct wr w = wr_over(key, sizeof key);
    if (labels.len != p->labels.len + NSEC3_LABEL_LEN || !nsec3_label_read(bytes_of(labels.ptr + p->labels.len, NSEC3_LABEL_LEN - 1), hash))
        return OK;
    enum err err = rrkey_write_nsec3(name_bytes(&p->apex), hash, &w);
    return err != OK ? OK : take_key(p, l, wr_done(&w), fault);         /* no such key can be: nor is there one */
}

/* Records of the entries from `from` on. */
static enum err expand(struct region_load *l, size_t from, struct fault *fault)
{
    enum err err = OK;
    l->expander->visit = add_record;
    l->expander->arg = l;
    l->expander->stopped = false;
    for (size_t i = from; err == OK && i < l->old.n; i++)
        err = expand_whole(l->expander, &l->old.v[i], name_bytes(&l->zone.apex), fault);
    return err != OK ? err : l->err;
}

MUST_USE enum err region_read(struct patch *p, const struct region *r, struct region_load *out, struct fault *fault)
{
    size_t before = out->old.n;
    if (r->subtree && r->labels.len == p->labels.len) {
        enum err all = zone_walk(name_bytes(&p->apex), p->view, add_record, out, fault);
        return all != OK ? all : out->err;
    }
    enum err err = r->subtree ? read_below(p, r->labels, out, fault) : read_owner(p, r->labels, out, fault);
    if (err == OK && r->subtree)
        err = read_shadows(p, r->labels, out, fault);
    if (err == OK)
        err = read_hashed(p, r->labels, out, fault);
    return err != OK ? err : expand(out, before, fault);
}
