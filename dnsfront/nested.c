/* Zones hosted below the zone at hand: their keys stand between those of the outer zone and must be looked past. */
#include "dnsfront/find.h"

uint16_t key_slot(struct bytes key, unsigned owner_len)
{
    return (uint16_t)(key.ptr[owner_len] << 8 | key.ptr[owner_len + 1]);
}

size_t key_prefix(struct bytes key, unsigned depth)
{
    size_t at = 0;
    for (; depth > 0; at++)
        depth -= key.ptr[at] == 0;
    return at;
}

MUST_USE enum err spot_read(struct spot *s, const struct rrkey *k)
{
    struct bytes key = s->entry.key;
    s->there = true;
    s->labels = 0;
    size_t owner = rrkey_beside(k, key, &s->labels, &s->common);
    if (owner == 0)
        return ERR_BAD;
    if (key.len > owner + 2) {                  /* NSEC3 and shadow keys: always at an apex, whatever the value says */
        s->flags = blob_flags(s->labels, BLOB_APEX);
        s->zone = s->labels;
        return OK;
    }
    enum err err = blob_read_flags(s->entry.value, &s->flags);
    if (err != OK)
        return err;
    s->zone = (s->flags & BLOB_APEX) != 0 ? s->labels : blob_depth(s->flags);
    return s->zone <= s->labels ? OK : ERR_BAD;
}

/* The last entry at or before key. */
static enum err seek_last(struct lookup *l, struct bytes key, struct spot *p)
{
    enum err err = lookup_seek(l, STEP_ZONE, key, &p->entry);
    if (err == OK && bytes_equal(p->entry.key, key))
        return OK;
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    return cursor_prev(l->cursor, &p->entry);
}

MUST_USE enum err nested_walk(struct lookup *l, const struct rrkey *k, struct spot *p)
{
    uint8_t key[RRKEY_MAX];
    if (!p->there || p->zone <= p->common)
        return OK;
    stat_add(&l->counts->steps[STEP_ZONE], 1);
    while (p->there && p->zone > p->common) {   /* every round shares fewer labels, or ends at an ancestor */
        size_t len = rrkey_at(k, p->common, 0xffff, key);
        enum err err = seek_last(l, bytes_of(key, len), p);
        if (err == ERR_NOTFOUND)
            p->there = false;
        else if (err != OK || (err = spot_read(p, k)) != OK)
            return err;
    }
    return OK;
}

/* Does zone (labels of its apex) delegate to the zone whose apex has these labels, each with its end? */
static enum err nested_delegated(struct lookup *l, struct bytes apex, unsigned zone, bool *out)
{
    uint8_t buf[RRKEY_SHADOW_MAX + 3];
    struct wr w = wr_over(buf, sizeof buf);
    struct entry e;
    uint32_t flags;
    wr_bytes(&w, apex);
    wr_u8(&w, 0);
    wr_u16(&w, RRSLOT_PARENT_NS);
    *out = false;
    if (w.full)
        return ERR_BAD;
    enum err err = lookup_seek(l, STEP_ZONE, wr_done(&w), &e);
    if (err == ERR_NOTFOUND || (err == OK && !bytes_equal(e.key, wr_done(&w))))
        return OK;
    if (err != OK || (err = blob_read_flags(e.value, &flags)) != OK)
        return err;
    *out = blob_depth(flags) == zone;
    return OK;
}

MUST_USE enum err nested_held(struct lookup *l, const struct rrkey *k, unsigned depth, unsigned zone, bool *out)
{
    uint8_t key[RRKEY_SHADOW_MAX + 1];
    size_t len = rrkey_at(k, zone, RRSLOT_SHADOW, key), rest = (size_t)(k->at[depth] - k->at[zone]);
    struct entry e;
    *out = false;
    if (len + rest > sizeof key)
        return OK;                              /* no key is that long */
    memcpy(key + len, k->buf + k->at[zone], rest);
    enum err err = lookup_seek(l, STEP_ZONE, bytes_of(key, len + rest), &e);
    *out = err == OK && bytes_starts(e.key, bytes_of(key, len + rest));
    return err == ERR_NOTFOUND ? OK : err;
}

MUST_USE enum err nested_exists(struct lookup *l, const struct rrkey *k, unsigned depth, unsigned zone, bool *out)
{
    uint8_t key[RRKEY_SHADOW_MAX + 1];
    size_t len = rrkey_at(k, depth, 0, key);
    struct spot s = { 0 };
    *out = true;                                /* also when the budget is used up: the name is taken to exist */
    enum err err;
    stat_add(&l->counts->steps[STEP_ZONE], 1);
    for (; l->budget >= 2; l->budget -= 2) {
        err = lookup_seek(l, STEP_ZONE, bytes_of(key, len), &s.entry);
        if (err == OK)
            err = spot_read(&s, k);
        if (err == ERR_NOTFOUND || (err == OK && s.common < depth))
            return nested_held(l, k, depth, zone, out);
        if (err != OK || s.zone <= depth)       /* the name's own zone: nothing else contains the ancestor */
            return err;
        struct bytes apex = bytes_of(s.entry.key.ptr, key_prefix(s.entry.key, s.zone));
        if ((err = nested_delegated(l, apex, zone, out)) != OK || *out)
            return err;
        *out = true;
        memcpy(key, apex.ptr, apex.len);
        key[apex.len - 1] = 1;                  /* behind all that begins with this apex's labels */
        len = apex.len;
    }
    return OK;
}

MUST_USE enum err nested_encloser(struct lookup *l, const struct rrkey *k, const struct spot *s, const struct spot *p,
                                  const struct spot *walked, unsigned *out)
{
    unsigned zone = walked->zone, known = walked->common, top = known;
    if (s->there && s->common >= zone) {
        if (s->zone == zone)
            known = s->common > known ? s->common : known;
        else
            top = s->common > top ? s->common : top;
    }
    if (p->zone != zone || p->common < zone)
        top = p->common > top ? p->common : top;
    if (top >= k->labels)
        top = k->labels - 1u;                   /* the name itself was looked at already */
    for (; top > known; top--) {
        bool exists;
        enum err err = nested_exists(l, k, top, zone, &exists);
        if (err != OK)
            return err;
        if (exists)
            break;
    }
    *out = top > known ? top : known;
    return OK;
}
