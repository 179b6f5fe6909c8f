#include "store/book.h"

#include "base/file.h"
#include "store/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_TABLE ((MDB_dbi)UINT32_MAX)      /* the writer's version does not know it */

struct book {
    struct env *env;
    MDB_dbi table[BOOK_TABLES_MAX];
    size_t tables_n;
    pthread_mutex_t writer;             /* held by the writing transaction: what env keeps about writing is its */
    unsigned begins;                    /* of writing ones; under writer */
    atomic_bool barred;                 /* something has to be done again first */
    struct hold hold;                   /* of held */
    struct book_txn *held;              /* open behind its end, and not at work; the holder's */
};
struct book_txn {
    struct book *book;
    MDB_txn *txn;
    bool writing;
    bool owes;                          /* it goes on in what was held */
    bool moved;                         /* it put or deleted something since it began, or joined */
    struct room room;
    struct { bool on, lost; uint8_t *buf; size_t len, cap; } keep;
};
struct book_cursor { MDB_cursor *mdb; };

/* --- life --------------------------------------------------------------------------------------------------------- */
static int tables_make(struct book *b, const struct book_options *o)
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
    return env_write_commit(b->env, txn);
}

static int tables_find(struct book *b, const struct book_options *o)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(b->env->mdb, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < o->tables_n && rc == 0; i++) {
        rc = mdb_dbi_open(txn, o->tables[i], 0, &b->table[i]);
        if (rc == MDB_NOTFOUND) {
            b->table[i] = NO_TABLE;
            rc = 0;
        }
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);         /* keeps what it opened */
}

/* Before and behind LMDB's own making of the files, which takes modes that readers of other users need. */
static enum err keep_secret(const char *path, struct fault *fault)
{
    static const char *const names[] = { "data.mdb", "lock.mdb", "anchor" };
    char file[STORE_PATH_MAX];
    if (chmod(path, 0700) != 0)
        return fault_set(fault, ERR_IO, "cannot close %s to others: %s", path, strerror(errno));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (file_path(file, sizeof file, path, names[i]) == OK && chmod(file, 0600) != 0 && errno != ENOENT)
            return fault_set(fault, ERR_IO, "cannot close %s to others: %s", file, strerror(errno));
    return OK;
}

static enum err boot_of(const struct book_options *o, char out[ANCHOR_BOOT], struct fault *fault)
{
    if (o->boot_id == NULL)
        return boot_id_read(out, fault);
    return snprintf(out, ANCHOR_BOOT, "%s", o->boot_id) < ANCHOR_BOOT ? OK : fault_set(fault, ERR_LIMIT, "boot id is too long");
}

/* What a stop of the machine left goes before anybody reads it. */
static enum err soft_prepare(const struct book_options *o, char boot[ANCHOR_BOOT], struct fault *fault)
{
    enum err err = o->volatile_data ? OK : boot_of(o, boot, fault);
    return err != OK || o->volatile_data ? err : anchor_mend(o->path, boot, fault);
}

/* As the readers of a store do it (env_mend). */
static enum err mend_unwritten(const struct book_options *o, const char *boot)
{
    int lock;
    enum err err = o->writer_dir == NULL ? ERR_NOTNOW : writer_lock(o->writer_dir, &lock, NULL);
    if (err != OK)
        return err;
    err = anchor_mend(o->path, boot, NULL);
    (void)close(lock);
    return err;
}

static enum err check_whole(const struct book_options *o, struct fault *fault)
{
    char boot[ANCHOR_BOOT];
    enum anchor_state state;
    enum err err = boot_of(o, boot, fault);
    if (err != OK || (err = anchor_look(o->path, boot, &state, fault)) != OK || state != ANCHOR_LOST || mend_unwritten(o, boot) == OK)
        return err;
    return fault_set(fault, ERR_NOTNOW, "%s: the machine stopped while it was written; who writes it puts it right when it starts", o->path);
}

static enum err writing_open(struct book *b, const struct book_options *o, struct fault *fault)
{
    uint64_t map = o->map_size != 0 ? o->map_size : MAP_DEFAULT;
    char boot[ANCHOR_BOOT];
    enum err err = folder_make(o->path, fault);
    if (err == OK && o->secret)
        err = keep_secret(o->path, fault);
    if (err == OK)
        err = soft_prepare(o, boot, fault);
    if (err == OK)
        err = env_open(&b->env, o->path, o->volatile_data ? MDB_NOSYNC : 0, map, fault);
    if (err == OK && !o->volatile_data)
        env_allow_soft(b->env, boot);
    if (err == OK && o->secret)
        err = keep_secret(o->path, fault);
    return err != OK ? err : lmdb_err(fault, tables_make(b, o), "open tables of", o->path);
}

static enum err reading_open(struct book *b, const struct book_options *o, struct fault *fault)
{
    char file[STORE_PATH_MAX];
    struct stat st;
    if (file_path(file, sizeof file, o->path, "data.mdb") != OK)
        return ERR_LIMIT;
    if (stat(file, &st) != 0)
        return errno == ENOENT ? ERR_NOTFOUND
                               : fault_set(fault, ERR_IO, "cannot look at %s: %s", file, strerror(errno));
    enum err err = check_whole(o, fault);
    if (err != OK || (err = env_open(&b->env, o->path, MDB_RDONLY, o->map_size, fault)) != OK)      /* 0: as the file says */
        return err;
    if (!env_has_slots(b->env))
        return fault_set(fault, ERR_IO, "%s: lock.mdb cannot be written, so nobody would know of this reader", o->path);
    return lmdb_err(fault, tables_find(b, o), "open tables of", o->path);
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
    (void)pthread_mutex_init(&b->writer, NULL);
    hold_open(&b->hold);
    b->tables_n = o->tables_n;
    enum err err = o->read_only ? reading_open(b, o, fault) : writing_open(b, o, fault);
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
    enum err err = book_let_go(b, NULL);
    (void)err;                          /* not written: whoever has what was kept does it again */
    env_close(b->env);
    hold_close(&b->hold);
    (void)pthread_mutex_destroy(&b->writer);
    free(b);
}

/* --- transactions -------------------------------------------------------------------------------------------------- */
/* In the middle of its transaction the holder reads what was there before all that is held. */
static enum err see_held(struct book *b, struct fault *fault)
{
    if (hold_is_mine(&b->hold))
        return book_let_go(b, fault);
    return hold_wait(&b->hold) == OK ? OK : fault_set(fault, ERR_STORE, "%s waits for a change that the log has: it is tried again soon", env_path(b->env));
}

static enum err lock_writer(struct book *b, struct fault *fault)
{
    hold_guest(&b->hold, true);
    enum err err = see_held(b, fault);
    if (err == OK)
        (void)pthread_mutex_lock(&b->writer);
    hold_guest(&b->hold, false);
    return err;
}

static enum err read_begin(struct book_txn *t, bool past, struct fault *fault)
{
    enum err err = past ? OK : see_held(t->book, fault);
    if (err != OK)
        return err;
    return lmdb_err(fault, mdb_txn_begin(t->book->env->mdb, NULL, MDB_RDONLY, &t->txn), "read", env_path(t->book->env));
}

static enum err write_begin(struct book_txn *t, bool again, struct fault *fault)
{
    struct book *b = t->book;
    enum err err = lock_writer(b, fault);
    if (err != OK)
        return err;
    if (!again && atomic_load(&b->barred)) {
        (void)pthread_mutex_unlock(&b->writer);
        if (hold_is_lost(&b->hold) && !hold_is_mine(&b->hold))
            return write_begin(t, again, fault);        /* lost while the lock was waited for: until it is back, or for long enough */
        return fault_set(fault, ERR_STORE, "%s waits for a change that the log has: it is tried again soon", env_path(b->env));
    }
    /* a reader that was killed keeps what commits free until it is noticed */
    if (b->begins++ % READERS_EVERY == 0)
        (void)mdb_reader_check(b->env->mdb, NULL);
    err = room_begin(&t->room, b->env, fault);
    if (err == OK)
        err = lmdb_err(fault, env_write_begin(b->env, &t->txn), "write to", env_path(b->env));
    if (err != OK)
        (void)pthread_mutex_unlock(&b->writer);
    return err;
}

static struct book_txn *join(struct book *b)
{
    struct book_txn *t = hold_is_mine(&b->hold) ? b->held : NULL;
    if (t == NULL || room_is_worn(&t->room) || atomic_load(&b->barred))
        return NULL;
    b->held = NULL;
    t->moved = false;
    t->keep.on = t->keep.lost = false;
    t->keep.len = 0;
    return t;
}

MUST_USE enum err book_begin(struct book *b, enum book_mode mode, struct book_txn **out, struct fault *fault)
{
    bool writing = mode != BOOK_READ && mode != BOOK_PAST;
    if (writing && b->env->read_only)
        return fault_set(fault, ERR_NOTNOW, "%s is open for reading", env_path(b->env));
    if (mode == BOOK_JOIN && (*out = join(b)) != NULL)
        return OK;
    struct book_txn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->book = b;
    t->writing = writing;
    enum err err = writing ? write_begin(t, mode == BOOK_AGAIN, fault) : read_begin(t, mode == BOOK_PAST, fault);
    if (err != OK) {
        free(t);
        return err;
    }
    *out = t;
    return OK;
}

static void txn_free(struct book_txn *t, bool committed)
{
    if (t->owes && committed)
        hold_drop(&t->book->hold);
    if (t->owes && !committed) {
        book_bar(t->book, true);
        hold_lose(&t->book->hold);
    }
    if (t->writing)
        (void)pthread_mutex_unlock(&t->book->writer);
    free(t->keep.buf);
    free(t);
}

MUST_USE enum err book_commit(struct book_txn *t, struct fault *fault)
{
    struct env *e = t->book->env;
    int rc = t->writing ? env_write_commit(e, t->txn) : mdb_txn_commit(t->txn);
    txn_free(t, rc == 0);
    return rc == 0 ? OK : commit_err(fault, rc, e);
}

MUST_USE enum err book_commit_soft(struct book_txn *t, struct fault *fault)
{
    struct env *e = t->book->env;
    int rc = env_write_commit_soft(e, t->txn);
    if (rc != 0)
        book_bar(t->book, true);
    txn_free(t, rc == 0);
    return rc == 0 ? OK : commit_err(fault, rc, e);
}

MUST_USE enum err book_hold(struct book_txn *t, struct fault *fault)
{
    if (!hold_take(&t->book->hold))
        return book_commit_soft(t, fault);
    t->book->env->softs += t->owes && t->book->env->anchored;      /* its commit counts the first */
    t->owes = true;
    t->book->held = t;
    return OK;
}

void book_on_hold(struct book *b, void (*want)(void *arg), void *arg) { hold_allow(&b->hold, want, arg); }

MUST_USE enum err book_let_go(struct book *b, struct fault *fault)
{
    struct book_txn *t = b->held;
    if (t == NULL)
        return OK;
    b->held = NULL;
    return book_commit_soft(t, fault);
}

bool book_is_held(const struct book *b) { return b->held != NULL; }
bool book_is_barred(const struct book *b) { return atomic_load(&b->barred); }

MUST_USE enum err book_settle(struct book *b, struct fault *fault)
{
    enum err err = see_held(b, fault);
    if (err != OK)
        return err;
    (void)pthread_mutex_lock(&b->writer);
    int rc = env_settle(b->env);
    (void)pthread_mutex_unlock(&b->writer);
    return rc == 0 ? OK : commit_err(fault, rc, b->env);
}

void book_bar(struct book *b, bool on)
{
    atomic_store(&b->barred, on);
    if (!on && hold_is_lost(&b->hold))
        hold_drop(&b->hold);
}

void book_abort(struct book_txn *t)
{
    if (t == NULL)
        return;
    if (t->owes && !t->moved) {         /* nothing of it is to go */
        t->book->held = t;
        return;
    }
    mdb_txn_abort(t->txn);
    txn_free(t, false);
}

uint64_t book_txn_number(const struct book_txn *t)
{
    return mdb_txn_id(t->txn) - t->writing;         /* LMDB numbers a writing one by what it will make */
}

uint64_t book_newest(const struct book *b)
{
    MDB_envinfo info;
    return mdb_env_info(b->env->mdb, &info) == 0 ? info.me_last_txnid : 0;
}

/* --- doing it again ------------------------------------------------------------------------------------------------ */
/*     table u8 | key length u16 | key | 1 u8 | value length u32 | value        a put
 *     table u8 | key length u16 | key | 0 u8                                  a delete */
void book_keep(struct book_txn *t) { t->keep.on = t->writing; }

static void keep(struct book_txn *t, unsigned table, struct bytes key, const struct bytes *value)
{
    size_t len = 4 + key.len + (value != NULL ? 4 + value->len : 0);
    if (!t->keep.on || t->keep.lost)
        return;
    if (t->keep.cap - t->keep.len < len) {
        size_t cap = 2 * (t->keep.len + len) + 1024;
        uint8_t *more = realloc(t->keep.buf, cap);
        t->keep.lost = more == NULL;
        if (more == NULL)
            return;
        t->keep.buf = more;
        t->keep.cap = cap;
    }
    struct wr w = wr_over(t->keep.buf + t->keep.len, len);
    wr_u8(&w, (uint8_t)table);
    wr_u16(&w, (uint16_t)key.len);
    wr_bytes(&w, key);
    wr_u8(&w, value != NULL);
    if (value != NULL) {
        wr_u32(&w, (uint32_t)value->len);
        wr_bytes(&w, *value);
    }
    t->keep.len += len;
}

MUST_USE enum err book_kept(const struct book_txn *t, struct bytes *out)
{
    *out = bytes_of(t->keep.buf, t->keep.len);
    return t->keep.on && !t->keep.lost ? OK : ERR_NOMEM;
}

MUST_USE enum err book_redo(struct book_txn *t, struct bytes kept, struct fault *fault)
{
    struct rd r = rd_over(kept);
    enum err err = OK;
    while (err == OK && rd_left(&r) > 0) {
        unsigned table = rd_u8(&r);
        struct bytes key = rd_take(&r, rd_u16(&r)), value = { 0 };
        bool put = rd_u8(&r) == 1;
        if (put)
            value = rd_take(&r, rd_u32(&r));
        if (r.bad || table >= t->book->tables_n)
            return fault_set(fault, ERR_BAD, "what is to be done again in %s does not read", env_path(t->book->env));
        err = put ? book_put_reserved(t, table, key, value, fault) : book_del(t, table, key, fault);
        if (!put && err == ERR_NOTFOUND)
            err = OK;
    }
    return err;
}

/* --- entries ------------------------------------------------------------------------------------------------------- */
static MDB_dbi table_of(const struct book_txn *t, unsigned table)
{
    assert(table < t->book->tables_n);
    return t->book->table[table];
}

MUST_USE enum err book_get(struct book_txn *t, unsigned table, struct bytes key, struct bytes *out)
{
    MDB_val k = val_of(key), v;
    if (key.len == 0 || key.len > BOOK_KEY_MAX || table_of(t, table) == NO_TABLE)
        return ERR_NOTFOUND;
    int rc = mdb_get(t->txn, table_of(t, table), &k, &v);
    if (rc == 0)
        *out = bytes_of_val(v);
    return lmdb_err(NULL, rc, "read", "");
}

MUST_USE enum err book_put_reserved(struct book_txn *t, unsigned table, struct bytes key, struct bytes value,
                                    struct fault *fault)
{
    MDB_val k = val_of(key), v = val_of(value);
    if (key.len == 0 || key.len > BOOK_KEY_MAX || value.len > BOOK_VALUE_MAX)
        return fault_set(fault, ERR_LIMIT, "a key of %zu bytes with a value of %zu is over a limit", key.len, value.len);
    keep(t, table, key, &value);
    t->moved = true;
    return lmdb_err(fault, mdb_put(t->txn, table_of(t, table), &k, &v, 0), "write to", env_path(t->book->env));
}

static uint64_t pages_of_tables(void *arg)
{
    struct book_txn *t = arg;
    uint64_t pages = 0;
    for (size_t i = 0; i < t->book->tables_n; i++) {
        MDB_stat st;
        if (mdb_stat(t->txn, t->book->table[i], &st) == 0)
            pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
    }
    return pages;
}

MUST_USE enum err book_put(struct book_txn *t, unsigned table, struct bytes key, struct bytes value, struct fault *fault)
{
    enum err err = room_for_put(&t->room, value.len, pages_of_tables, t, fault);
    return err != OK ? err : book_put_reserved(t, table, key, value, fault);
}

MUST_USE enum err book_del(struct book_txn *t, unsigned table, struct bytes key, struct fault *fault)
{
    MDB_val k = val_of(key);
    if (key.len == 0 || key.len > BOOK_KEY_MAX)
        return ERR_NOTFOUND;
    keep(t, table, key, NULL);
    t->moved = true;
    int rc = mdb_del(t->txn, table_of(t, table), &k, NULL);
    return rc == MDB_NOTFOUND ? ERR_NOTFOUND : lmdb_err(fault, rc, "write to", env_path(t->book->env));
}

MUST_USE enum err book_count(struct book_txn *t, unsigned table, uint64_t *out)
{
    MDB_stat st = { .ms_entries = 0 };
    int rc = table_of(t, table) == NO_TABLE ? 0 : mdb_stat(t->txn, table_of(t, table), &st);
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
    int rc = table_of(t, table) == NO_TABLE ? 0 : mdb_cursor_open(t->txn, table_of(t, table), &c->mdb);
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
    if (c->mdb != NULL)
        mdb_cursor_close(c->mdb);
    free(c);
}

static enum err move(struct book_cursor *c, struct bytes key, MDB_cursor_op op, struct entry *out)
{
    MDB_val k = val_of(key), v;
    if (c->mdb == NULL)
        return ERR_NOTFOUND;
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
    uint64_t pages;
    enum err err = env_free_pages(b->env, false, &pages, NULL);
    if (err != OK)
        return err;
    if (mdb_env_info(b->env->mdb, &info) != 0)
        return ERR_STORE;
    *out = (struct book_figures){ info.me_mapsize, (info.me_last_pgno + 1) * b->env->page_size, pages * b->env->page_size };
    return OK;
}

bool book_is_broken(const struct book *b) { return atomic_load(&b->env->dead); }
