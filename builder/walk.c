/* All records of a zone in canonical order, and the list of zones. A zone's records stand in up to three runs of keys:
 * its own in their places, the hashed ones (NSEC3) and the shadowed ones under its apex; and in the `below` of cuts and
 * DNAMEs. Each is in order by itself, so the walk is a merge. */
#include "builder/build.h"

#include <stdlib.h>

/* What lies below the cut or DNAME that a run passed last. */
struct below_run { struct rd r; unsigned left; struct below at; struct name owner; struct rrkey key; };

enum run_kind { OWN, HASHED, SHADOW };
struct run {
    enum run_kind kind;
    struct cursor *c;
    struct bytes prefix;
    struct entry at, queue[3];          /* queue: our entries at a hosted child's apex; then `at` is behind the child */
    unsigned queued, taken;
    bool ended;
    struct bytes labels;                /* of the owner of the entry at hand */
    uint8_t labels_buf[RRKEY_SHADOW_MAX];
    struct below_run below;
};
struct walk {
    struct expander x;
    struct name apex;
    struct bytes labels;
    unsigned depth;
    struct run run[3];
    struct rrkey key;
};

static const struct entry *entry_of(const struct run *r) { return r->taken < r->queued ? &r->queue[r->taken] : &r->at; }

static enum err damaged(struct fault *fault)
{
    return fault_set(fault, ERR_BAD, "a stored key or value is damaged: azoth verify tells which");
}

/* --- own keys ------------------------------------------------------------------------------------------------- */
static uint16_t slot_of(struct bytes key, size_t owner_len)
{
    struct rd r = rd_over(bytes_of(key.ptr + owner_len, key.len - owner_len));
    return rd_u16(&r);
}

/* At a hosted child's apex: queues what is ours there and seeks behind the child. */
static enum err pass_child(struct walk *w, struct run *r, struct bytes labels)
{
    static const uint16_t slots[] = { TYPE_DS, RRSLOT_PARENT_NS, RRSLOT_PARENT_NSEC };
    uint8_t key[RRKEY_MAX];
    unsigned depth;
    struct wr all = wr_over(key, sizeof key);
    wr_bytes(&all, labels);                     /* the entry's bytes stay where they are, but labels is reused below */
    size_t len = all.len;
    r->queued = r->taken = 0;
    for (size_t i = 0; i < 3; i++) {
        struct entry e;
        all.len = len;
        wr_u8(&all, 0);
        wr_u16(&all, slots[i]);
        enum err err = cursor_seek(r->c, wr_done(&all), &e);
        if (err == OK && bytes_equal(e.key, wr_done(&all)) && (err = entry_depth(&e, &depth, NULL)) == OK &&
            depth == w->depth)
            r->queue[r->queued++] = e;
        if (err != OK && err != ERR_NOTFOUND)
            return err;
    }
    key[len - 1] = 1;                           /* the 00 that ends the last label: the first key behind the child */
    return cursor_seek(r->c, bytes_of(key, len), &r->at);
}

/* From r->at on to the next entry that is this zone's; ERR_NOTFOUND: no more. */
static enum err settle_own(struct walk *w, struct run *r)
{
    enum err err = OK;
    uint32_t flags;
    while (err == OK && bytes_starts(r->at.key, r->prefix)) {
        size_t owner = rrkey_owner_len(r->at.key);
        if (owner == 0 || blob_read_flags(r->at.value, &flags) != OK)
            return ERR_BAD;
        bool at_apex = owner - 1 == w->labels.len;
        if (!at_apex && (flags & BLOB_APEX) != 0) {
            err = pass_child(w, r, bytes_of(r->at.key.ptr, owner - 1));
            r->ended = err == ERR_NOTFOUND;
            if (r->queued > 0 && (err == OK || r->ended)) {
                r->labels = bytes_of(r->queue[0].key.ptr, owner - 1);
                return OK;
            }
            continue;
        }
        uint16_t slot = slot_of(r->at.key, owner);
        bool skip = at_apex && (slot == TYPE_SOA || slot == TYPE_NSEC3 || slot == RRSLOT_ZONE || slot == RRSLOT_SHADOW);
        if (!skip && blob_depth(flags) == w->depth) {
            r->labels = bytes_of(r->at.key.ptr, owner - 1);
            return OK;
        }
        err = cursor_next(r->c, &r->at);
    }
    return err == OK ? ERR_NOTFOUND : err;
}

/* --- keys under the apex -------------------------------------------------------------------------------------- */
static enum err settle_special(struct walk *w, struct run *r, struct fault *fault)
{
    struct name owner;
    if (!bytes_starts(r->at.key, r->prefix))
        return ERR_NOTFOUND;
    enum err err = expand_owner(&r->at, name_bytes(&w->apex), &owner, fault);
    if (err != OK)
        return err;
    if (rrkey_of_name(name_bytes(&owner), &w->key) != OK)
        return damaged(fault);
    r->labels = bytes_of(r->labels_buf, w->key.at[w->key.labels]);
    memcpy(r->labels_buf, w->key.buf, r->labels.len);
    return OK;
}

static enum err settle(struct walk *w, struct run *r, enum err err, struct fault *fault)
{
    if (err == OK)
        err = r->kind == OWN ? settle_own(w, r) : settle_special(w, r, fault);
    if (err == ERR_NOTFOUND) {
        r->ended = true;
        return OK;
    }
    return err == ERR_BAD ? damaged(fault) : err;
}

static enum err run_begin(struct walk *w, struct run *r, struct view *v, struct bytes prefix, enum run_kind kind,
                          struct fault *fault)
{
    r->kind = kind;
    r->prefix = prefix;
    enum err err = cursor_open(v, dns_namespace, &r->c);
    if (err != OK)
        return err;
    return settle(w, r, cursor_seek(r->c, prefix.len > 0 ? prefix : bytes_of("", 1), &r->at), fault);
}

static enum err run_next(struct walk *w, struct run *r, struct fault *fault)
{
    if (r->taken < r->queued && ++r->taken < r->queued)
        return OK;
    if (r->queued > 0) {
        r->queued = r->taken = 0;
        return r->ended ? OK : settle(w, r, OK, fault);
    }
    return settle(w, r, cursor_next(r->c, &r->at), fault);
}

static bool run_live(const struct run *r) { return r->taken < r->queued || !r->ended; }

/* --- below ---------------------------------------------------------------------------------------------------- */
static enum err below_next(struct below_run *b, struct fault *fault)
{
    struct name name;
    if (b->left == 0)
        return OK;
    if (below_read(&b->r, &b->at) != OK || name_join(b->at.relname, name_bytes(&b->owner), &name) != OK ||
        rrkey_of_name(name_bytes(&name), &b->key) != OK)
        return damaged(fault);
    return OK;
}

static enum err below_begin(struct walk *w, struct run *r, struct fault *fault)
{
    struct blob b;
    const struct entry *e = entry_of(r);
    if (blob_read(e->value, &b) != OK)
        return damaged(fault);
    if (b.below_n == 0)
        return OK;
    r->below.r = rd_over(b.below);
    r->below.left = b.below_n;
    enum err err = expand_owner(e, name_bytes(&w->apex), &r->below.owner, fault);
    return err != OK ? err : below_next(&r->below, fault);
}

/* --- the merge ------------------------------------------------------------------------------------------------ */
struct next { struct run *run; bool below; struct bytes labels; };

static void consider(struct next *best, struct run *r, bool below, struct bytes labels)
{
    if (best->run == NULL || bytes_compare(labels, best->labels) < 0)
        *best = (struct next){ r, below, labels };
}

static enum err step(struct walk *w, const struct next *next, struct fault *fault)
{
    struct run *r = next->run;
    enum err err;
    if (next->below) {
        if ((err = expand_below(&w->x, &r->below.at, name_bytes(&r->below.owner), fault)) != OK)
            return err;
        r->below.left--;
        return below_next(&r->below, fault);
    }
    if ((err = expand_entry(&w->x, entry_of(r), name_bytes(&w->apex), fault)) != OK ||
        (err = below_begin(w, r, fault)) != OK)
        return err;
    return run_next(w, r, fault);
}

static enum err merge(struct walk *w, struct fault *fault)
{
    enum err err = OK;
    while (err == OK && !w->x.stopped) {
        struct next best = { 0 };
        for (size_t i = 0; i < 3; i++) {
            struct run *r = &w->run[i];
            if (run_live(r))
                consider(&best, r, false, r->labels);
            if (r->below.left > 0)
                consider(&best, r, true, bytes_of(r->below.key.buf, r->below.key.at[r->below.key.labels]));
        }
        if (best.run == NULL)
            return OK;
        err = step(w, &best, fault);
    }
    return err;
}

static enum err walk_soa(struct walk *w, struct view *v, struct fault *fault)
{
    uint8_t key[RRKEY_MAX];
    struct wr k = wr_over(key, sizeof key);
    struct entry e;
    if (rrkey_write(name_bytes(&w->apex), TYPE_SOA, &k) != OK)
        return damaged(fault);
    e.key = wr_done(&k);
    enum err err = view_get(v, dns_namespace, e.key, &e.value);
    if (err != OK)
        return err == ERR_NOTFOUND ? OK : err;
    return expand_entry(&w->x, &e, name_bytes(&w->apex), fault);
}

static enum err walk_all(struct walk *w, struct view *v, const struct rrkey *apex, struct fault *fault)
{
    uint8_t hashed[RRKEY_MAX], shadow[RRKEY_MAX];
    enum err err;
    w->labels = bytes_of(apex->buf, apex->at[apex->labels]);
    w->depth = apex->labels;
    if ((err = walk_soa(w, v, fault)) != OK)
        return err;
    struct bytes prefixes[3] = { w->labels, bytes_of(hashed, rrkey_at(apex, apex->labels, TYPE_NSEC3, hashed)),
                                 bytes_of(shadow, rrkey_at(apex, apex->labels, RRSLOT_SHADOW, shadow)) };
    for (size_t i = 0; i < 3 && err == OK; i++)
        err = run_begin(w, &w->run[i], v, prefixes[i], (enum run_kind)i, fault);
    if (err == OK)
        err = merge(w, fault);
    for (size_t i = 0; i < 3; i++)
        cursor_close(w->run[i].c);
    return err;
}

enum err zone_walk(struct bytes apex, struct view *v, zone_visit_fn *visit, void *arg, struct fault *fault)
{
    struct rrkey k;
    uint8_t key[RRKEY_MAX];
    struct bytes header;
    enum err err = rrkey_of_name(apex, &k);
    if (err != OK)
        return fault_set(fault, err, "not a zone name");
    err = view_get(v, dns_namespace, bytes_of(key, rrkey_at(&k, k.labels, RRSLOT_ZONE, key)), &header);
    if (err != OK)
        return fault_set(fault, err, err == ERR_NOTFOUND ? "no such zone" : "cannot read the store");
    struct walk *w = calloc(1, sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    w->x.visit = visit;
    w->x.arg = arg;
    w->apex.len = (uint8_t)apex.len;
    memcpy(w->apex.wire, apex.ptr, apex.len);
    name_lower(w->apex.wire, w->apex.len);
    err = walk_all(w, v, &k, fault);
    free(w);
    return err;
}

enum err zone_list(struct view *v, zone_name_fn *visit, void *arg, struct fault *fault)
{
    return zone_list_from(bytes_of(NULL, 0), v, visit, arg, fault);
}

enum err zone_list_from(struct bytes after, struct view *v, zone_name_fn *visit, void *arg, struct fault *fault)
{
    struct cursor *c = NULL;
    struct entry e;
    uint8_t key[RRKEY_MAX];
    struct wr from = wr_over(key, sizeof key);
    enum err err = cursor_open(v, dns_namespace, &c);
    if (after.len == 0)
        wr_u8(&from, 0);
    else if (err == OK)
        err = rrkey_write(after, RRSLOT_ZONE + 1, &from);
    if (err == OK)
        err = cursor_seek(c, wr_done(&from), &e);
    for (; err == OK; err = cursor_next(c, &e)) {
        struct zone_header h;
        struct name apex;
        uint16_t slot;
        size_t owner = rrkey_owner_len(e.key);
        if (owner == 0 || slot_of(e.key, owner) != RRSLOT_ZONE)
            continue;
        if (rrkey_name(e.key, &apex, &slot) != OK || zone_header_read(e.value, &h) != OK) {
            err = damaged(fault);
            break;
        }
        if (!visit(arg, name_bytes(&apex), &h))
            break;
    }
    cursor_close(c);
    return err == ERR_NOTFOUND ? OK : err;
}
