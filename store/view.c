#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>

/* --- a batch ------------------------------------------------------------------------------------------------------ */
static const struct ns_slot *seen_ns(const struct view *v, struct bytes ns)
{
    for (unsigned i = 0; i < v->names_n; i++)
        if (v->gen->names[i].len == ns.len && memcmp(v->gen->names[i].name, ns.ptr, ns.len) == 0)
            return &v->gen->names[i];
    return NULL;
}

static void cursor_open_mdb(struct cursor *c)
{
    struct view *v = c->view;
    const struct ns_slot *slot = c->ring ? NULL : seen_ns(v, bytes_of(c->name, c->len));
    if (c->mdb != NULL || (slot == NULL && !c->ring))
        return;
    if (mdb_cursor_open(v->reader.txn, c->ring ? v->gen->ring : slot->dbi, &c->mdb) != 0)
        c->mdb = NULL;
    c->batch = v->batch;
    c->at = AT_NOWHERE;
}

/* Now, so that no look-up of the batch has to allocate. */
static void cursors_open_mdb(struct view *v)
{
    cursor_open_mdb(&v->ring);
    for (struct cursor *c = v->cursors; c != NULL; c = c->next)
        cursor_open_mdb(c);
    v->cursors_for = v->names_n;
}

static void cursor_close_mdb(struct cursor *c)
{
    if (c->mdb != NULL)
        mdb_cursor_close(c->mdb);
    c->mdb = NULL;
}

/* Lets go of the generation and everything that hangs on it. */
static void leave(struct view *v)
{
    cursor_close_mdb(&v->ring);
    for (struct cursor *c = v->cursors; c != NULL; c = c->next)
        cursor_close_mdb(c);
    v->cursors_for = 0;
    reader_close(&v->reader);
    if (v->gen != NULL)
        store_gen_unref(v->store, v->gen);
    v->gen = NULL;
}

static enum err enter(struct view *v, struct fault *fault)
{
    v->gen = store_gen_ref(v->store);
    enum err err = reader_open(&v->reader, v->gen->env, fault);
    if (err != OK)
        leave(v);
    return err;
}

/* The snapshot has namespaces that this process has not opened: made by the writer. In the writing process it is the
 * commit at hand that made them, and it tells before it lets go of the lock. */
static enum err names_catch_up(struct view *v)
{
    if (!v->gen->env->read_only) {
        (void)pthread_mutex_lock(&v->gen->env->lock);
        (void)pthread_mutex_unlock(&v->gen->env->lock);
        return OK;
    }
    return gen_names_load(v->gen, NULL);
}

MUST_USE enum err view_begin(struct view *v)
{
    enum err err;
    MDB_stat st;
    if (atomic_load_explicit(&v->store->gen, memory_order_acquire) != v->gen) {
        leave(v);
        if ((err = enter(v, NULL)) != OK)
            return err;
    }
    for (unsigned round = 0; round < 8; round++) {
        size_t seen = atomic_load_explicit(&v->gen->names_seen, memory_order_acquire);
        v->names_n = atomic_load_explicit(&v->gen->names_n, memory_order_acquire);
        if ((err = reader_begin(&v->reader)) != OK)
            return err;
        int rc = mdb_stat(v->reader.txn, MAIN_DBI, &st);
        if (rc == 0 && st.ms_entries <= seen) {
            v->batch++;
            if (v->cursors_for != v->names_n)
                cursors_open_mdb(v);
            return OK;
        }
        reader_end(&v->reader);
        if (rc != 0 || (err = names_catch_up(v)) != OK)
            return rc != 0 ? ERR_STORE : err;
    }
    return ERR_STORE;
}

void view_end(struct view *v) { reader_end(&v->reader); }

MUST_USE enum err view_open(struct store *s, struct view **out, struct fault *fault)
{
    struct view *v = calloc(1, sizeof *v);
    if (v == NULL)
        return ERR_NOMEM;
    v->store = s;
    v->ring.view = v;
    v->ring.ring = true;
    enum err err = enter(v, fault);
    if (err != OK) {
        free(v);
        return err;
    }
    *out = v;
    return OK;
}

void view_close(struct view *v)
{
    if (v == NULL)
        return;
    leave(v);
    free(v);
}

/* --- what it says about itself ------------------------------------------------------------------------------------ */
uint64_t view_version(const struct view *v)
{
    return (uint64_t)v->gen->opened << VIEW_TXN_BITS | mdb_txn_id(v->reader.txn);
}

unsigned view_generation(const struct view *v) { return v->gen->number; }

bool view_is_stale(const struct view *v)
{
    return atomic_load_explicit(&v->store->gen, memory_order_acquire) != v->gen;
}

bool view_superseded(struct view *v)
{
    if (v->superseded_at != view_version(v)) {
        v->superseded_at = view_version(v);
        v->superseded = meta_superseded(v->reader.txn, v->gen->meta);
    }
    return v->superseded;
}

MUST_USE enum err view_head(struct view *v, struct head *out, struct signed_head *out_signed)
{
    return meta_head(v->reader.txn, v->gen->meta, out, out_signed);
}

MUST_USE enum err view_digest(struct view *v, struct digest *out)
{
    enum err err = meta_lanes(v->reader.txn, v->gen->meta, out);
    if (err != ERR_NOTFOUND)
        return err;
    *out = (struct digest){ { 0 } };
    return OK;
}

MUST_USE enum err view_get(struct view *v, struct bytes ns, struct bytes key, struct bytes *out)
{
    const struct ns_slot *slot = seen_ns(v, ns);
    MDB_val k = val_of(key), val;
    if (slot == NULL || key.len == 0)
        return ERR_NOTFOUND;
    int rc = mdb_get(v->reader.txn, slot->dbi, &k, &val);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", slot->name);
    *out = bytes_of_val(val);
    return OK;
}

MUST_USE enum err view_namespaces(struct view *v, char names[][STORE_NS_MAX + 1], size_t *count)
{
    MDB_cursor *c;
    MDB_val k;
    size_t n = 0;
    int rc = mdb_cursor_open(v->reader.txn, MAIN_DBI, &c);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "names");
    MDB_cursor_op op = MDB_FIRST;
    for (; n < STORE_NAMESPACES_MAX && (rc = mdb_cursor_get(c, &k, NULL, op)) == 0; op = MDB_NEXT) {
        if (!ns_name_fits(bytes_of_val(k)))
            continue;
        memcpy(names[n], k.mv_data, k.mv_size);
        names[n++][k.mv_size] = '\0';
    }
    mdb_cursor_close(c);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return lmdb_err(NULL, rc, "read", "names");
    *count = n;
    return OK;
}

MUST_USE enum err view_ns_figures(struct view *v, struct bytes ns, struct ns_figures *out)
{
    const struct ns_slot *slot = seen_ns(v, ns);
    MDB_cursor *c;
    MDB_stat st;
    if (slot == NULL)
        return ERR_NOTFOUND;
    /* mdb_stat alone does not see a stale database record */
    int rc = mdb_cursor_open(v->reader.txn, slot->dbi, &c);
    if (rc == 0) {
        mdb_cursor_close(c);
        rc = mdb_stat(v->reader.txn, slot->dbi, &st);
    }
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", slot->name);
    *out = (struct ns_figures){ st.ms_entries, st.ms_branch_pages, st.ms_leaf_pages, st.ms_overflow_pages,
                                st.ms_psize };
    return OK;
}

/* --- cursors ------------------------------------------------------------------------------------------------------ */
MUST_USE enum err cursor_open(struct view *v, struct bytes ns, struct cursor **out)
{
    if (!ns_name_fits(ns))
        return ERR_LIMIT;
    struct cursor *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    c->view = v;
    memcpy(c->name, ns.ptr, ns.len);
    c->len = ns.len;
    c->next = v->cursors;
    v->cursors = c;
    v->cursors_for = 0;         /* opened in LMDB by the next view_begin, or by its first use in this batch */
    *out = c;
    return OK;
}

void cursor_close(struct cursor *c)
{
    if (c == NULL)
        return;
    for (struct cursor **at = &c->view->cursors; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    cursor_close_mdb(c);
    free(c);
}

/* Makes the cursor fit for this batch. */
static enum err ready(struct cursor *c)
{
    struct view *v = c->view;
    if (c->mdb == NULL)
        cursor_open_mdb(c);
    if (c->mdb == NULL)
        return ERR_NOTFOUND;
    if (c->batch == v->batch)
        return OK;
    c->batch = v->batch;
    c->at = AT_NOWHERE;
    return lmdb_err(NULL, mdb_cursor_renew(v->reader.txn, c->mdb), "renew", c->name);
}

MUST_USE enum err view_ring_cursor(struct view *v) { return ready(&v->ring); }

static enum err go(struct cursor *c, MDB_val *k, MDB_cursor_op op, enum cursor_at else_at, struct entry *out)
{
    MDB_val v;
    int rc = mdb_cursor_get(c->mdb, k, &v, op);
    if (rc != 0) {
        c->at = rc == MDB_NOTFOUND ? else_at : AT_NOWHERE;
        return rc == MDB_NOTFOUND ? ERR_NOTFOUND : lmdb_err(NULL, rc, "read", c->name);
    }
    c->at = AT_ENTRY;
    out->key = bytes_of_val(*k);
    out->value = bytes_of_val(v);
    return OK;
}

MUST_USE enum err cursor_seek(struct cursor *c, struct bytes key, struct entry *out)
{
    MDB_val k = val_of(key);
    enum err err = ready(c);
    if (err != OK)
        return err;
    return go(c, &k, key.len == 0 ? MDB_FIRST : MDB_SET_RANGE, BEHIND_LAST, out);
}

/* The node i of the page at hand. */
static bool at_node(struct cursor *c, const uint8_t *page, unsigned i, struct entry *out)
{
    if (i >= tree_nodes(&c->tree, page) || !tree_entry(&c->tree, page, i, out))
        return false;
    c->page = page;
    c->node = i;
    c->at = AT_NODE;
    return true;
}

static bool tree_ready(struct cursor *c)
{
    if (ready(c) != OK)
        return false;
    if (c->tree_batch != c->view->batch)
        c->tree_there = tree_find(c->view, bytes_of(c->name, c->len), &c->tree);
    c->tree_batch = c->view->batch;
    return c->tree_there;
}

uint64_t cursor_leaves(struct cursor *c) { return tree_ready(c) ? c->tree.leaves : 0; }

void cursor_foresee(struct cursor *c, struct foreseen *of, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        of[i].batch = c->view->batch;
        of[i].page = NULL;
    }
    if (tree_ready(c))
        tree_foresee(&c->tree, of, n);
}

MUST_USE enum err cursor_seek_foreseen(struct cursor *c, const struct foreseen *f, struct entry *out)
{
    bool found = f->page != NULL && f->batch == c->view->batch && at_node(c, f->page, f->low, out);
    return found ? OK : cursor_seek(c, f->key, out);
}

/* LMDB's cursor comes to where ours is, at the edge of a page. */
static enum err settle(struct cursor *c)
{
    struct entry e;
    if (c->at != AT_NODE)
        return OK;
    if (!tree_entry(&c->tree, c->page, c->node, &e))
        return ERR_STORE;
    return cursor_seek(c, e.key, &e);
}

MUST_USE enum err cursor_next(struct cursor *c, struct entry *out)
{
    MDB_val k;
    enum err err = ready(c);
    if (err == OK && c->at == AT_NODE && at_node(c, c->page, c->node + 1, out))
        return OK;
    if (err == OK)
        err = settle(c);
    if (err != OK || c->at == BEHIND_LAST)
        return err != OK ? err : ERR_NOTFOUND;
    return go(c, &k, c->at == AT_ENTRY ? MDB_NEXT : MDB_FIRST, BEHIND_LAST, out);
}

MUST_USE enum err cursor_prev(struct cursor *c, struct entry *out)
{
    MDB_val k;
    enum err err = ready(c);
    if (err == OK && c->at == AT_NODE && c->node > 0 && at_node(c, c->page, c->node - 1, out))
        return OK;
    if (err == OK)
        err = settle(c);
    if (err != OK || c->at == BEFORE_FIRST)
        return err != OK ? err : ERR_NOTFOUND;
    return go(c, &k, c->at == AT_ENTRY ? MDB_PREV : MDB_LAST, BEFORE_FIRST, out);
}
