#include "store/space.h"
#include "store/internal.h"

#include <unistd.h>

#define HEADER_PAGES 2          /* LMDB's meta pages */
#define TRY_US 1000
#define RECORD_LENGTH 4         /* what the first piece of a record begins with */

/* --- pages -------------------------------------------------------------------------------------------------------- */
static int tree_take(MDB_txn *txn, MDB_dbi dbi, struct space_tree *t)
{
    MDB_cursor *c;
    MDB_stat st;
    int rc = mdb_cursor_open(txn, dbi, &c);     /* mdb_stat alone does not see a stale database record */
    if (rc != 0)
        return rc;
    mdb_cursor_close(c);
    if ((rc = mdb_stat(txn, dbi, &st)) != 0)
        return rc;
    t->entries = st.ms_entries;
    t->branch_pages = st.ms_branch_pages;
    t->leaf_pages = st.ms_leaf_pages;
    t->overflow_pages = st.ms_overflow_pages;
    return 0;
}

static int tree_join(MDB_txn *txn, MDB_dbi dbi, enum space_kind kind, const char *name, struct space *s)
{
    struct space_tree *t = &s->trees[s->trees_n++];
    t->kind = kind;
    (void)memcpy(t->name, name, strlen(name) + 1);
    return tree_take(txn, dbi, t);
}

/* The file as txn sees it; its own trees are in s already. Files only grow, so a newer end is never too low. */
static enum err file_take(struct env *e, MDB_txn *txn, struct space *s)
{
    MDB_envinfo info;
    int rc = tree_join(txn, MAIN_DBI, SPACE_DATABASES, "", s);
    if (rc == 0)
        rc = tree_join(txn, FREE_DBI, SPACE_FREE_LIST, "", s);
    if (rc == 0)
        rc = free_pages_in(txn, UINT64_MAX, &s->free_pages);
    (void)pthread_mutex_lock(&e->lock);         /* the map stays where it is */
    if (rc == 0)
        rc = mdb_env_info(e->mdb, &info);
    (void)pthread_mutex_unlock(&e->lock);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", env_path(e));
    s->exact = info.me_last_txnid == mdb_txn_id(txn);
    uint64_t known = HEADER_PAGES + s->free_pages;
    for (size_t i = 0; i < s->trees_n; i++)
        known += space_tree_pages(&s->trees[i]);
    s->page_size = e->page_size;
    s->map_bytes = info.me_mapsize;
    s->header_pages = HEADER_PAGES;
    s->file_pages = info.me_last_pgno + 1;
    if (known > s->file_pages)
        return ERR_BAD;
    s->newer_pages = s->file_pages - known;
    return OK;
}

MUST_USE enum err view_space(struct view *v, struct space *out)
{
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    struct gen *g = v->gen;
    size_t n = 0;
    int rc = 0;
    *out = (struct space){ .trees_n = 0 };
    enum err err = view_namespaces(v, names, &n);
    if (err != OK)
        return err;
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct ns_slot *slot = gen_ns(g, bytes_of_text(names[i]));
        rc = slot == NULL ? MDB_NOTFOUND : tree_join(v->reader.txn, slot->dbi, SPACE_NAMESPACE, names[i], out);
    }
    if (rc == 0)
        rc = tree_join(v->reader.txn, g->meta, SPACE_META, "", out);
    if (rc == 0)
        rc = tree_join(v->reader.txn, g->ring, SPACE_RING, "", out);
    return rc != 0 ? lmdb_err(NULL, rc, "read", env_path(g->env)) : file_take(g->env, v->reader.txn, out);
}

/* --- entries ------------------------------------------------------------------------------------------------------ */
static enum err tree_walk(MDB_txn *txn, MDB_dbi dbi, uint64_t page_size, struct space_tree *t, space_seen_fn *seen,
                          void *arg)
{
    MDB_cursor *c;
    MDB_val k, v, before = { 0, NULL };
    enum err err = OK;
    int rc = mdb_cursor_open(txn, dbi, &c);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", t->name);
    pack_init(&t->pack, page_size);
    for (MDB_cursor_op op = MDB_FIRST; err == OK && (rc = mdb_cursor_get(c, &k, &v, op)) == 0; op = MDB_NEXT) {
        if (before.mv_data != NULL && bytes_compare(bytes_of_val(before), bytes_of_val(k)) >= 0)
            err = ERR_BAD;
        before = k;
        pack_add(&t->pack, k.mv_size, v.mv_size);
        if (seen != NULL)
            seen(arg, t, bytes_of_val(k), bytes_of_val(v));
    }
    mdb_cursor_close(c);
    if (err == OK && rc != 0 && rc != MDB_NOTFOUND)
        return lmdb_err(NULL, rc, "read", t->name);
    return err == OK && t->pack.entries != t->entries ? ERR_BAD : err;
}

MUST_USE enum err view_space_walk(struct view *v, struct space *s, space_seen_fn *seen, void *arg)
{
    enum err err = OK;
    for (size_t i = 0; i < s->trees_n && err == OK; i++) {
        struct space_tree *t = &s->trees[i];
        const struct ns_slot *slot = t->kind == SPACE_NAMESPACE ? gen_ns(v->gen, bytes_of_text(t->name)) : NULL;
        if (t->kind == SPACE_NAMESPACE && slot == NULL)
            err = ERR_NOTFOUND;
        else if (slot != NULL || t->kind == SPACE_META || t->kind == SPACE_RING)
            err = tree_walk(v->reader.txn, slot != NULL ? slot->dbi : t->kind == SPACE_META ? v->gen->meta : v->gen->ring,
                            s->page_size, t, seen, arg);
    }
    return err;
}

uint64_t space_compacted_pages(const struct space *s)
{
    uint64_t pages = s->header_pages;
    for (size_t i = 0; i < s->trees_n; i++) {
        const struct space_tree *t = &s->trees[i];
        if (t->kind == SPACE_DATABASES)
            pages += space_tree_pages(t);
        else if (t->kind != SPACE_FREE_LIST)
            pages += t->pack.branch_pages + t->pack.leaf_pages + t->pack.overflow_pages;
    }
    return pages < s->file_pages ? pages : s->file_pages;
}

/* --- the log ------------------------------------------------------------------------------------------------------ */
static enum err log_end(MDB_txn *txn, MDB_dbi dbi, MDB_cursor_op op, uint64_t *seq)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(txn, dbi, &c);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "log");
    rc = mdb_cursor_get(c, &k, &v, op);
    mdb_cursor_close(c);
    *seq = 0;
    if (rc != 0)
        return rc == MDB_NOTFOUND ? OK : lmdb_err(NULL, rc, "read", "log");
    struct rd r = rd_over(bytes_of_val(k));
    *seq = rd_u64(&r);
    return r.bad ? ERR_BAD : OK;
}

static enum err log_take(struct store *s, MDB_txn *txn, struct log_space *out)
{
    *out = (struct log_space){ .first = 0 };
    int rc = tree_join(txn, s->log_dbi, SPACE_LOG, "", &out->space);
    enum err err = rc != 0 ? lmdb_err(NULL, rc, "read", "log") : file_take(s->log, txn, &out->space);
    if (err == OK)
        err = log_end(txn, s->log_dbi, MDB_FIRST, &out->first);
    return err != OK ? err : log_end(txn, s->log_dbi, MDB_LAST, &out->last);
}

MUST_USE enum err store_log_space(struct store *s, bool walk, struct log_space *out, space_seen_fn *seen, void *arg,
                                  struct fault *fault)
{
    struct reader reader;
    enum err err = log_ready(s, fault);
    if (err != OK || (err = reader_open(&reader, s->log, fault)) != OK)
        return err;
    bool more = true;
    for (unsigned i = 0; more && (err = reader_begin(&reader)) == OK; i++) {
        err = log_take(s, reader.txn, out);
        more = err == OK && !out->space.exact && i < SPACE_TRIES;
        if (err == OK && walk && !more)
            err = tree_walk(reader.txn, s->log_dbi, out->space.page_size, &out->space.trees[0], seen, arg);
        reader_end(&reader);
        if (more)
            (void)usleep(TRY_US);
    }
    reader_close(&reader);
    if (err == OK && walk && out->last > 0)
        out->record_bytes = out->space.trees[0].pack.value_bytes - RECORD_LENGTH * (out->last - out->first + 1);
    return err;
}
