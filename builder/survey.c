/* What the store holds of a zone and around it: its own keys, zones hosted below it, the hosted zone above it and what
 * that one has at or below this apex. */
#include "builder/build.h"

#include <stdlib.h>

const struct bytes dns_namespace = { (const uint8_t *)"dns", 3 };

enum err entry_depth(const struct entry *e, unsigned *depth, struct fault *fault)
{
    uint32_t flags;
    enum err err = blob_read_flags(e->value, &flags);
    if (err != OK)
        return fault_set(fault, ERR_BAD, "a stored value is damaged: azoth verify tells which");
    *depth = blob_depth(flags);
    return OK;
}

static enum err hosteds_add(struct hosteds *h, struct arena *a, struct bytes labels, unsigned bits)
{
    if (h->n == h->cap) {
        size_t cap = h->cap == 0 ? 16 : h->cap * 2;
        struct hosted *v = realloc(h->v, cap * sizeof *v);
        if (v == NULL)
            return ERR_NOMEM;
        h->v = v;
        h->cap = cap;
    }
    struct bytes kept = arena_copy(a, labels);
    if (kept.ptr == NULL)
        return ERR_NOMEM;
    h->v[h->n++] = (struct hosted){ kept, bits };
    return OK;
}

/* --- the zone above ------------------------------------------------------------------------------------------- */
static enum err find_parent(struct survey *s, const struct rrkey *k, struct bytes name, struct view *v)
{
    uint8_t key[RRKEY_MAX];
    struct bytes value;
    uint32_t flags;
    for (unsigned depth = k->labels; depth-- > 0;) {
        name = name_parent(name);
        enum err err = view_get(v, dns_namespace, bytes_of(key, rrkey_at(k, depth, RRSLOT_ZONE, key)), &value);
        if (err == ERR_NOTFOUND)
            continue;
        if (err != OK)
            return err;
        if ((err = blob_read_flags(value, &flags)) != OK)
            return err;
        s->parent.len = (uint8_t)name.len;
        memcpy(s->parent.wire, name.ptr, name.len);
        s->parent_labels = bytes_of(s->apex.ptr, k->at[depth]);
        s->parent_depth = depth;
        s->parent_bits = flags & 15;
        return OK;
    }
    return OK;
}

/* Keys that begin with `prefix`, all of them. */
static enum err add_prefix(struct survey *s, struct cursor *c, struct bytes prefix)
{
    struct entry e;
    enum err err = cursor_seek(c, prefix, &e);
    for (; err == OK && bytes_starts(e.key, prefix); err = cursor_next(c, &e)) {
        enum err add = blobs_add(&s->old, e.key, e.value);
        if (add != OK)
            return add;
    }
    return err == ERR_NOTFOUND ? OK : err;
}

/* What the zone above keeps under shadow keys of names at or below this apex. */
static enum err add_shadows(struct survey *s, struct cursor *c)
{
    uint8_t prefix[RRKEY_SHADOW_MAX];
    struct wr w = wr_over(prefix, sizeof prefix);
    wr_bytes(&w, s->parent_labels);
    wr_u8(&w, 0);
    wr_u16(&w, RRSLOT_SHADOW);
    wr_put(&w, s->apex.ptr + s->parent_labels.len, s->apex.len - s->parent_labels.len);
    return add_prefix(s, c, wr_done(&w));
}

/* --- at and below the apex ------------------------------------------------------------------------------------ */
static unsigned labels_in(struct bytes labels)
{
    unsigned n = 0;
    for (size_t i = 0; i < labels.len; i++)
        n += labels.ptr[i] == 0;                /* bytes 00 inside labels are escaped */
    return n;
}

/* Seeks the first key behind everything at or below labels: the 00 that ends the last label becomes 01. */
static enum err seek_behind(struct cursor *c, struct bytes labels, struct entry *e)
{
    uint8_t key[RRKEY_MAX];
    memcpy(key, labels.ptr, labels.len);
    key[labels.len - 1] = 1;
    return cursor_seek(c, bytes_of(key, labels.len), e);
}

/* What the zone above has at the apex of a hosted one. */
static enum err take_parents(struct cursor *c, struct bytes labels, struct blobs *out)
{
    static const uint16_t slots[] = { TYPE_DS, RRSLOT_PARENT_NS, RRSLOT_PARENT_NSEC };
    uint8_t key[RRKEY_MAX];
    unsigned depth = 0, own = labels_in(labels);
    struct entry e;
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        struct wr w = wr_over(key, sizeof key);
        wr_bytes(&w, labels);
        wr_u8(&w, 0);
        wr_u16(&w, slots[i]);
        enum err err = cursor_seek(c, wr_done(&w), &e);
        if (err == ERR_NOTFOUND || (err == OK && !bytes_equal(e.key, wr_done(&w))))
            continue;
        if (err == OK)
            err = entry_depth(&e, &depth, NULL);
        if (err == OK && depth < own)
            err = blobs_add(out, e.key, e.value);
        if (err != OK)
            return err;
    }
    return OK;
}

enum err survey_pass(struct cursor *c, unsigned bits, struct hosteds *h, struct arena *a, struct blobs *out, struct entry *e)
{
    enum err err = hosteds_add(h, a, bytes_of(e->key.ptr, rrkey_owner_len(e->key) - 1), bits);
    if (err != OK)
        return err;
    struct bytes labels = h->v[h->n - 1].labels;
    return (err = take_parents(c, labels, out)) != OK ? err : seek_behind(c, labels, e);
}

static enum err walk_below(struct survey *s, struct cursor *c, struct fault *fault)
{
    struct entry e;
    uint32_t flags;
    struct bytes from = s->apex.len > 0 ? s->apex : bytes_of("", 1);    /* LMDB knows no empty key */
    enum err err = cursor_seek(c, from, &e), step;
    while (err == OK && bytes_starts(e.key, s->apex)) {
        size_t owner = rrkey_owner_len(e.key);
        if (owner == 0 || blob_read_flags(e.value, &flags) != OK)
            return fault_set(fault, ERR_BAD, "a stored key or value is damaged: azoth verify tells which");
        struct bytes labels = bytes_of(e.key.ptr, owner - 1);
        if (labels.len > s->apex.len && (flags & BLOB_APEX) != 0) {
            err = survey_pass(c, flags & 15, &s->nested, &s->arena, &s->old, &e);
            continue;
        }
        if (labels.len == s->apex.len && blob_depth(flags) == s->depth)
            s->is_hosted = true;
        if ((step = blobs_add(&s->old, e.key, e.value)) != OK)
            return step;
        err = cursor_next(c, &e);
    }
    return err == ERR_NOTFOUND ? OK : err;
}

enum err survey_run(struct survey *s, const struct name *apex, struct view *v, struct fault *fault)
{
    struct rrkey k;
    struct cursor *c = NULL;
    enum err err = rrkey_of_name(name_bytes(apex), &k);
    *s = (struct survey){ .depth = 0 };
    arena_init(&s->arena);
    if (err != OK)
        return fault_set(fault, err, "not a zone name");
    s->depth = k.labels;
    s->apex = k.labels > 0 ? arena_copy(&s->arena, bytes_of(k.buf, k.at[k.labels])) : bytes_of("", 0);
    if (s->apex.ptr == NULL)
        return ERR_NOMEM;
    if ((err = cursor_open(v, dns_namespace, &c)) != OK)
        return fault_set(fault, err, "cannot read the store");
    err = find_parent(s, &k, name_bytes(apex), v);
    if (err == OK && s->parent.len > 0)
        err = add_shadows(s, c);
    if (err == OK)
        err = walk_below(s, c, fault);
    cursor_close(c);
    if (err != OK && fault != NULL && fault->text[0] == '\0')
        (void)fault_set(fault, err, "cannot read the store: %s", err_text(err));
    return err;
}

void survey_release(struct survey *s)
{
    free(s->nested.v);
    blobs_release(&s->old);
    arena_release(&s->arena);
}
