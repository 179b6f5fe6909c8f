#include "store/book.h"

#include "store/internal.h"

#include <stdlib.h>

struct book {
    struct env *env;
    MDB_dbi table[BOOK_TABLES_MAX];
    size_t tables_n;
};
struct book_txn { struct book *book; MDB_txn *txn; bool writing; };
struct book_cursor { MDB_cursor *mdb; };

/* --- life --------------------------------------------------------------------------------------------------------- */
static int tables_open(struct book *b, const struct book_options *o)
{
    MDB_txn *txn;
    int rc = env_write_begin(b->env, &txn);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < o->tables_n && rc == 0; i++)
        rc = mdb_dbi_open(txn, o->tables[i], MDB_CREATE, &b->table[i]);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    b->tables_n = o->tables_n;
    return env_write_commit(b->env, txn);
}

MUST_USE enum err book_open(struct book **out, const struct book_options *o, struct fault *fault)
{
    struct book *b = calloc(1, sizeof *b);
    if (b == NULL)
        return ERR_NOMEM;
    if (o->tables_n > BOOK_TABLES_MAX) {
        free(b);
        return ERR_LIMIT;
    }
    enum err err = folder_make(o->path, fault);
    if (err == OK)
        err = env_open(&b->env, o->path, o->volatile_data ? MDB_NOSYNC : 0, o->map_size != 0 ? o->map_size : MAP_DEFAULT, fault);
    if (err == OK)
        err = lmdb_err(fault, tables_open(b, o), "open tables of", o->path);
    if (err != OK) {
        book_close(b);
        return err;
    }
    *out = b;
    return OK;
}

void book_close(struct book *b)
{
    if (b == NULL)
        return;
    env_close(b->env);
    free(b);
}

/* --- transactions -------------------------------------------------------------------------------------------------- */
MUST_USE enum err book_begin(struct book *b, enum book_mode mode, struct book_txn **out, struct fault *fault)
{
    struct book_txn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->book = b;
    t->writing = mode == BOOK_WRITE;
    int rc = t->writing ? env_write_begin(b->env, &t->txn) : mdb_txn_begin(b->env->mdb, NULL, MDB_RDONLY, &t->txn);
    if (rc != 0) {
        free(t);
        return lmdb_err(fault, rc, mode == BOOK_WRITE ? "write to" : "read", env_path(b->env));
    }
    *out = t;
    return OK;
}

MUST_USE enum err book_commit(struct book_txn *t, struct fault *fault)
{
    struct env *e = t->book->env;
    MDB_txn *txn = t->txn;
    bool writing = t->writing;
    free(t);
    int rc = writing ? env_write_commit(e, txn) : mdb_txn_commit(txn);
    return rc == 0 ? OK : commit_err(fault, rc, e);
}

void book_abort(struct book_txn *t)
{
    if (t == NULL)
        return;
    mdb_txn_abort(t->txn);
    free(t);
}

/* --- entries ------------------------------------------------------------------------------------------------------- */
MUST_USE enum err book_get(struct book_txn *t, unsigned table, struct bytes key, struct bytes *out)
{
    MDB_val k = val_of(key), v;
    if (key.len == 0 || key.len > BOOK_KEY_MAX)
        return ERR_NOTFOUND;
    int rc = mdb_get(t->txn, t->book->table[table], &k, &v);
    if (rc == 0)
        *out = bytes_of_val(v);
    return lmdb_err(NULL, rc, "read", "");
}

MUST_USE enum err book_put(struct book_txn *t, unsigned table, struct bytes key, struct bytes value, struct fault *fault)
{
    MDB_val k = val_of(key), v = val_of(value);
    if (key.len == 0 || key.len > BOOK_KEY_MAX || value.len > BOOK_VALUE_MAX)
        return fault_set(fault, ERR_LIMIT, "a key of %zu bytes with a value of %zu is over a limit", key.len, value.len);
    return lmdb_err(fault, mdb_put(t->txn, t->book->table[table], &k, &v, 0), "write to", env_path(t->book->env));
}

MUST_USE enum err book_del(struct book_txn *t, unsigned table, struct bytes key, struct fault *fault)
{
    MDB_val k = val_of(key);
    if (key.len == 0 || key.len > BOOK_KEY_MAX)
        return ERR_NOTFOUND;
    int rc = mdb_del(t->txn, t->book->table[table], &k, NULL);
    return rc == MDB_NOTFOUND ? ERR_NOTFOUND : lmdb_err(fault, rc, "write to", env_path(t->book->env));
}

MUST_USE enum err book_count(struct book_txn *t, unsigned table, uint64_t *out)
{
    MDB_stat st;
    int rc = mdb_stat(t->txn, t->book->table[table], &st);
    if (rc == 0)
        *out = st.ms_entries;
    return lmdb_err(NULL, rc, "read", "");
}

/* --- cursors ------------------------------------------------------------------------------------------------------- */
MUST_USE enum err book_cursor_open(struct book_txn *t, unsigned table, struct book_cursor **out)
{
    struct book_cursor *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    int rc = mdb_cursor_open(t->txn, t->book->table[table], &c->mdb);
    if (rc != 0) {
        free(c);
        return lmdb_err(NULL, rc, "read", "");
    }
    *out = c;
    return OK;
}

void book_cursor_close(struct book_cursor *c)
{
    if (c == NULL)
        return;
    mdb_cursor_close(c->mdb);
    free(c);
}

static enum err move(struct book_cursor *c, struct bytes key, MDB_cursor_op op, struct entry *out)
{
    MDB_val k = val_of(key), v;
    int rc = mdb_cursor_get(c->mdb, &k, &v, op);
    if (rc == 0)
        *out = (struct entry){ bytes_of_val(k), bytes_of_val(v) };
    return lmdb_err(NULL, rc, "read", "");
}

MUST_USE enum err book_seek(struct book_cursor *c, struct bytes key, struct entry *out)
{
    if (key.len > BOOK_KEY_MAX)
        return ERR_NOTFOUND;
    return move(c, key, key.len == 0 ? MDB_FIRST : MDB_SET_RANGE, out);
}
MUST_USE enum err book_next(struct book_cursor *c, struct entry *out) { return move(c, bytes_of(NULL, 0), MDB_NEXT, out); }
MUST_USE enum err book_last(struct book_cursor *c, struct entry *out) { return move(c, bytes_of(NULL, 0), MDB_LAST, out); }

MUST_USE enum err book_figures(struct book *b, struct book_figures *out)
{
    MDB_envinfo info;
    if (mdb_env_info(b->env->mdb, &info) != 0)
        return ERR_STORE;
    *out = (struct book_figures){ info.me_mapsize, (info.me_last_pgno + 1) * b->env->page_size };
    return OK;
}
