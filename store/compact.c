/* Compaction: the current generation copied entry by entry, in key order, into a new one whose pages are full and none
 * free; then the flip. (LMDB's own compacting copy would leave half-filled pages as they are.) The log stays. */
#include "store/internal.h"

#define COMMIT_BYTES ((size_t)32 << 20)     /* per transaction, which bounds the memory for its pages */

struct copy {
    struct gen *from, *to;
    struct reader reader;               /* of from */
    MDB_txn *txn;                       /* of to */
    size_t filled;                      /* bytes in txn */
    uint64_t keys, bytes;               /* in namespaces */
};

/* Databases are made in a transaction of their own: LMDB closes those of one that aborts. */
static int names_make(struct copy *c, MDB_dbi dbis[STORE_NAMESPACES_MAX])
{
    unsigned n = atomic_load(&c->from->names_n);
    int rc = env_write_begin(c->to->env, &c->txn);
    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = mdb_dbi_open(c->txn, c->from->names[i].name, MDB_CREATE, &dbis[i]);
    if (rc == 0)
        rc = env_write_commit(c->to->env, c->txn);
    else if (c->txn != NULL)
        mdb_txn_abort(c->txn);
    c->txn = NULL;
    for (unsigned i = 0; i < n && rc == 0; i++) {
        struct bytes ns = bytes_of(c->from->names[i].name, c->from->names[i].len);
        if (gen_ns(c->to, ns) != NULL)
            continue;
        gen_names_add(c->to, ns, dbis[i]);
        atomic_fetch_add(&c->to->names_seen, 1);
    }
    return rc;
}

/* Opens the transaction again when it holds much, and with it the cursor. */
static int step(struct copy *c, MDB_dbi dbi, MDB_cursor **cursor, size_t len)
{
    int rc = 0;
    if (c->filled >= COMMIT_BYTES) {
        if (*cursor != NULL)
            mdb_cursor_close(*cursor);
        *cursor = NULL;
        MDB_txn *full = c->txn;
        c->txn = NULL;
        c->filled = 0;
        if ((rc = env_write_commit(c->to->env, full)) == 0)
            rc = env_write_begin(c->to->env, &c->txn);
    }
    c->filled += len;
    return rc == 0 && *cursor == NULL ? mdb_cursor_open(c->txn, dbi, cursor) : rc;
}

static int db_copy(struct copy *c, MDB_dbi from, MDB_dbi to, bool counted)
{
    MDB_cursor *in = NULL, *out = NULL;
    MDB_val k, v;
    int rc = mdb_cursor_open(c->reader.txn, from, &in);
    for (MDB_cursor_op op = MDB_FIRST; rc == 0 && (rc = mdb_cursor_get(in, &k, &v, op)) == 0; op = MDB_NEXT) {
        if ((rc = step(c, to, &out, k.mv_size + v.mv_size)) != 0 ||
            (rc = mdb_cursor_put(out, &k, &v, MDB_APPEND)) != 0)
            break;
        if (counted) {
            c->keys++;
            c->bytes += k.mv_size + v.mv_size;
        }
    }
    if (in != NULL)
        mdb_cursor_close(in);
    if (out != NULL && c->txn != NULL)
        mdb_cursor_close(out);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* What stands in meta, over the format that is there already. */
static int meta_copy(struct copy *c)
{
    MDB_cursor *in;
    MDB_val k, v;
    int rc = mdb_cursor_open(c->reader.txn, c->from->meta, &in);
    if (rc != 0)
        return rc;
    for (MDB_cursor_op op = MDB_FIRST; (rc = mdb_cursor_get(in, &k, &v, op)) == 0; op = MDB_NEXT)
        if ((rc = mdb_put(c->txn, c->to->meta, &k, &v, 0)) != 0)
            break;
    mdb_cursor_close(in);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int copy_all(struct copy *c)
{
    MDB_dbi dbis[STORE_NAMESPACES_MAX];
    unsigned n = atomic_load(&c->from->names_n);
    int rc = names_make(c, dbis);
    if (rc == 0)
        rc = env_write_begin(c->to->env, &c->txn);
    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = db_copy(c, c->from->names[i].dbi, dbis[i], true);
    if (rc == 0)
        rc = db_copy(c, c->from->ring, c->to->ring, false);
    if (rc == 0)
        rc = meta_copy(c);
    if (c->txn != NULL && rc == 0)
        rc = env_write_commit(c->to->env, c->txn);
    else if (c->txn != NULL)
        mdb_txn_abort(c->txn);
    c->txn = NULL;
    return rc;
}

static void newest_take(struct gen *to, const struct gen *from)
{
    to->lanes = from->lanes;
    to->keys = from->keys;
    to->bytes = from->bytes;
    to->has_head = from->has_head;
    to->head = from->head;
    to->signed_head = from->signed_head;
    to->filled_fresh = from->filled_fresh;
    to->loaded = from->loaded;
    to->loaded_over = from->loaded_over;
}

static enum err copy_generation(struct gen *from, struct gen *to, struct fault *fault)
{
    struct copy c = { .from = from, .to = to };
    enum err err = reader_open(&c.reader, from->env, fault);
    if (err != OK)
        return err;
    if ((err = reader_begin(&c.reader)) == OK) {
        err = lmdb_err(fault, copy_all(&c), "write", env_path(to->env));
        reader_end(&c.reader);
    }
    reader_close(&c.reader);
    if (err == OK && (c.keys != from->keys || c.bytes != from->bytes))
        err = fault_set(fault, ERR_BAD, "%s: %llu entries of %llu bytes, its head says %llu of %llu",
                        env_path(from->env), (unsigned long long)c.keys, (unsigned long long)c.bytes, (unsigned long long)from->keys,
                        (unsigned long long)from->bytes);
    if (err == OK)
        newest_take(to, from);
    return err;
}

static uint64_t used(const struct gen *g)
{
    MDB_envinfo info;
    return mdb_env_info(g->env->mdb, &info) != 0 ? 0 : (info.me_last_pgno + 1) * g->env->page_size;
}

MUST_USE enum err store_compact(struct store *s, uint64_t *before, uint64_t *after, struct fault *fault)
{
    enum err err = fresh_make(s, fault);
    if (err != OK)
        return err;
    struct gen *from = store_gen_ref(s);
    *before = used(from);
    if ((err = copy_generation(from, s->fresh, fault)) == OK) {
        *after = used(s->fresh);
        err = store_fresh_flip(s, fault);
    }
    if (err != OK)
        store_fresh_drop(s);
    store_gen_unref(s, from);
    return err;
}
