/* The log: records cut into chunks, because values over about 2,000 bytes would take overflow pages of LMDB, which
 * fragment a file that is written at one end and cut at the other.
 *
 *     key    seq u64 | chunk u16
 *     value  chunk 0: length of the record u32 | first bytes;  further: the next bytes; at most CHUNK_MAX each */
#include "store/internal.h"

#include <stdlib.h>

#include "base/file.h"

#define LOG_DB "log"
#define CHUNK_MAX ((size_t)1900)
#define LOG_KEY 10
#define LOG_RECORD_MAX (CHUNK_MAX * 65536 - 4)

static void key_write(uint8_t out[LOG_KEY], uint64_t seq, uint16_t chunk)
{
    struct wr w = wr_over(out, LOG_KEY);
    wr_u64(&w, seq);
    wr_u16(&w, chunk);
}

static enum err key_read(MDB_val k, uint64_t *seq, uint16_t *chunk)
{
    struct rd r = rd_over(bytes_of_val(k));
    *seq = rd_u64(&r);
    *chunk = rd_u16(&r);
    return rd_done(&r) ? OK : ERR_BAD;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */
/* An edge does not sync its log, so after a crash of the machine any page of it may be old: it must not even be
 * opened. The mark says which boot wrote it; a core's log is synced and stays. */
static bool torn(const struct store *s, const struct log_mark *m)
{
    return s->magic.role == STORE_EDGE && !m->clean && strcmp(m->boot, s->boot) != 0;
}

static enum err log_dbi_open(struct store *s, struct fault *fault)
{
    MDB_txn *txn;
    int rc;
    if (store_writable(s)) {
        if ((rc = mdb_txn_begin(s->log->mdb, NULL, 0, &txn)) != 0)
            return lmdb_err(fault, rc, "write", "log");
        rc = mdb_dbi_open(txn, LOG_DB, MDB_CREATE, &s->log_dbi);
        if (rc == 0)
            rc = notes_open(s, txn, true, &s->has_notes);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
        return lmdb_err(fault, rc, "open", env_path(s->log));
    }
    enum err err = env_read_begin(s->log, &txn, fault);
    if (err != OK)
        return err;
    rc = mdb_dbi_open(txn, LOG_DB, 0, &s->log_dbi);
    if (rc == 0)
        rc = notes_open(s, txn, false, &s->has_notes);
    env_read_end(s->log, txn);
    return lmdb_err(fault, rc, "open", env_path(s->log));
}

static unsigned log_flags(const struct store *s)
{
    if (!store_writable(s))
        return MDB_RDONLY;
    return s->volatile_data || s->magic.role == STORE_EDGE ? MDB_NOSYNC : 0;
}

static enum err mark(const struct store *s, bool clean, struct fault *fault)
{
    struct log_mark m = { .clean = clean };
    memcpy(m.boot, s->boot, sizeof m.boot);
    return log_mark_write(s->dir, &m, s->volatile_data, fault);
}

/* The full disk that keeps a new mark out must not keep the deletes out that would help: an empty mark needs no room,
 * and counts as a crash. */
static enum err mark_open(const struct store *s, struct fault *fault)
{
    enum err err = mark(s, false, fault);
    return err == ERR_FULL ? log_mark_empty(s->dir, fault) : err;
}

/* What has to happen before the environment is touched. A mark that cannot be read counts as a crash. */
static enum err log_prepare(struct store *s, const char *path, struct fault *fault)
{
    struct log_mark m = { .clean = false };
    enum err err;
    if (store_writable(s) && (err = folder_make(path, fault)) != OK)
        return err;
    if (s->boot[0] == '\0' && (err = boot_id_read(s->boot, fault)) != OK)
        return err;
    if (s->magic.role == STORE_CORE && (err = env_mend(path, s, fault)) != OK)
        return err;
    if (log_mark_read(s->dir, &m) != OK)
        m = (struct log_mark){ .clean = false };
    if (!store_writable(s))
        return torn(s, &m) ? fault_set(fault, ERR_NOTNOW,
                                       "%s: not closed before the machine stopped; the next writer drops it", path)
                           : OK;
    if (torn(s, &m))
        env_files_remove(path, false);
    return !m.clean && strcmp(m.boot, s->boot) == 0 ? OK : mark_open(s, fault);
}

MUST_USE enum err log_open(struct store *s, struct fault *fault)
{
    char path[STORE_PATH_MAX];
    enum err err = file_path(path, sizeof path, s->dir, "log");
    if (err != OK || (err = log_prepare(s, path, fault)) != OK)
        return err;
    if ((err = env_open(&s->log, path, log_flags(s), s->map, fault)) != OK)
        return err;
    if (store_writable(s) && s->magic.role == STORE_CORE && !s->volatile_data)
        env_allow_soft(s->log, s->boot);
    if ((err = log_dbi_open(s, fault)) != OK) {
        env_close(s->log);
        s->log = NULL;
        return err;
    }
    if (store_writable(s)) {
        int dead;
        (void)mdb_reader_check(s->log->mdb, &dead);
    }
    return OK;
}

void log_close(struct store *s)
{
    bool safe = true;
    if (s->log == NULL)
        return;
    if (store_writable(s) && !s->volatile_data)
        safe = mdb_env_sync(s->log->mdb, 1) == 0;
    env_close(s->log);
    s->log = NULL;
    if (store_writable(s) && safe)
        (void)mark(s, true, NULL);      /* not written: the next open after a crash of the machine is careful */
}

MUST_USE enum err log_ready(struct store *s, struct fault *fault)
{
    enum err err = OK;
    (void)pthread_mutex_lock(&s->mutex);
    if (s->log == NULL)
        err = log_open(s, fault);
    (void)pthread_mutex_unlock(&s->mutex);
    return err;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */
/* The seq that the cursor's entry `op` belongs to; 0: none there. */
static enum err seq_at(MDB_cursor *c, MDB_cursor_op op, uint64_t *seq)
{
    MDB_val k, v;
    uint16_t chunk;
    int rc = mdb_cursor_get(c, &k, &v, op);
    *seq = 0;
    if (rc == MDB_NOTFOUND)
        return OK;
    return rc != 0 ? lmdb_err(NULL, rc, "read", "log") : key_read(k, seq, &chunk);
}

MUST_USE enum err log_begin(struct store *s, struct log_txn **out, struct fault *fault)
{
    enum err err = log_let_go(s, fault);
    if (err != OK)
        return err;
    if (!store_writable(s) || s->log_writing)
        return fault_set(fault, ERR_NOTNOW, "%s: the log cannot be written now", s->dir);
    struct log_txn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->s = s;
    s->log_writing = true;
    err = room_begin(&t->room, s->log, fault);
    int rc = err != OK ? 0 : env_write_begin(s->log, &t->txn);
    if (err == OK && rc == 0)
        rc = mdb_cursor_open(t->txn, s->log_dbi, &t->cursor);
    if (err == OK)
        err = rc != 0 ? lmdb_err(fault, rc, "write", env_path(s->log)) : seq_at(t->cursor, MDB_LAST, &t->last);
    if (err != OK) {
        log_abort(t);
        return err;
    }
    t->empty = t->last == 0;
    ahead_begin(t);
    *out = t;
    return OK;
}

static enum err append_chunk(struct log_txn *t, uint64_t seq, uint16_t chunk, struct bytes part,
                             const uint32_t *whole, struct fault *fault)
{
    uint8_t key[LOG_KEY];
    MDB_val k = { LOG_KEY, key }, v = { part.len + (whole != NULL ? 4 : 0), NULL };
    key_write(key, seq, chunk);
    int rc = mdb_cursor_put(t->cursor, &k, &v, MDB_APPEND | MDB_RESERVE);
    if (rc != 0)
        return lmdb_err(fault, rc, "append to", env_path(t->s->log));
    struct wr w = wr_over(v.mv_data, v.mv_size);
    if (whole != NULL)
        wr_u32(&w, *whole);
    wr_bytes(&w, part);
    return OK;
}

static uint64_t pages_touched(void *arg)
{
    const struct log_txn *t = arg;
    MDB_stat st;
    uint64_t notes = notes_pages(t);
    if (notes == UINT64_MAX || mdb_stat(t->txn, t->s->log_dbi, &st) != 0)
        return UINT64_MAX;
    return st.ms_branch_pages + st.ms_leaf_pages + notes;
}

MUST_USE enum err log_room(struct log_txn *t, size_t len, struct fault *fault)
{
    return room_for_put(&t->room, 2 * len, pages_touched, t, fault);        /* two chunks fill a page */
}

MUST_USE enum err log_append(struct log_txn *t, uint64_t seq, struct bytes record, struct fault *fault)
{
    uint32_t whole = (uint32_t)record.len;
    enum err err = OK;
    if (seq == 0 || (!t->empty && seq != t->last + 1))
        return fault_set(fault, ERR_GAP, "log record %llu does not follow %llu", (unsigned long long)seq,
                         (unsigned long long)t->last);
    if (record.len > LOG_RECORD_MAX)
        return fault_set(fault, ERR_LIMIT, "log record of %zu bytes is too long", record.len);
    if ((err = log_room(t, record.len, fault)) != OK)
        return err;
    size_t at = 0, room = CHUNK_MAX - 4;
    for (uint16_t chunk = 0; err == OK && (chunk == 0 || at < record.len); chunk++, room = CHUNK_MAX) {
        size_t n = record.len - at < room ? record.len - at : room;
        err = append_chunk(t, seq, chunk, bytes_of(record.ptr + at, n), chunk == 0 ? &whole : NULL, fault);
        at += n;
    }
    if (err == OK) {
        t->last = seq;
        t->empty = false;
        ahead_record(t, seq, record);
    }
    return err;
}

/* A cursor that has deleted is not asked for the end again: LMDB before 0.9.25 may answer from the page it had. */
static int cursor_anew(struct log_txn *t)
{
    mdb_cursor_close(t->cursor);
    t->cursor = NULL;
    return mdb_cursor_open(t->txn, t->s->log_dbi, &t->cursor);
}

static enum err cut_tail(struct log_txn *t, uint64_t seq)
{
    uint64_t last;
    int rc = 0;
    for (;;) {
        enum err err = seq_at(t->cursor, MDB_LAST, &last);
        if (err != OK || last <= seq)
            return err;
        if ((rc = mdb_cursor_del(t->cursor, 0)) != 0 || (rc = cursor_anew(t)) != 0)
            return lmdb_err(NULL, rc, "cut", "log");
    }
}

static enum err drop_records(struct log_txn *t)
{
    int rc = mdb_drop(t->txn, t->s->log_dbi, 0);
    return lmdb_err(NULL, rc != 0 ? rc : cursor_anew(t), "empty", "log");
}

MUST_USE enum err log_clear(struct log_txn *t, struct fault *fault)
{
    enum err err = drop_records(t);
    t->last = 0;
    t->empty = true;
    t->cuts = true;
    t->cut_to = 0;
    return err == OK ? OK : fault_set(fault, err, "cannot empty %s: %s", env_path(t->s->log), err_text(err));
}

MUST_USE enum err log_cut(struct log_txn *t, uint64_t seq, struct fault *fault)
{
    enum err err;
    uint64_t first = 0;
    t->cut_to = t->cuts && t->cut_to < seq ? t->cut_to : seq;
    t->cuts = true;
    if ((err = seq_at(t->cursor, MDB_FIRST, &first)) == OK)
        err = first > seq ? drop_records(t) : cut_tail(t, seq);
    if (err == OK)
        err = lognote_cut(t, UINT64_MAX, seq, NULL);
    if (err == OK)
        err = seq_at(t->cursor, MDB_LAST, &t->last);
    t->empty = t->last == 0;
    return err == OK ? OK : fault_set(fault, err, "cannot cut %s: %s", env_path(t->s->log), err_text(err));
}

MUST_USE enum err log_trim(struct log_txn *t, uint64_t before, unsigned chunks, bool *more, struct fault *fault)
{
    uint64_t seq, trimmed = 0;
    MDB_val k, v;
    uint16_t chunk;
    int rc = 0;
    enum err err = OK;
    t->keeps = false;
    t->trims = true;
    before = before < t->last ? before : t->last;           /* the last record stays: it says where the log ends */
    *more = false;
    for (unsigned n = 0; err == OK; n++) {
        if ((rc = mdb_cursor_get(t->cursor, &k, &v, MDB_FIRST)) != 0 || (err = key_read(k, &seq, &chunk)) != OK)
            break;
        *more = seq < before;
        if (!*more || (n >= chunks && seq != trimmed))      /* a record goes whole */
            break;
        trimmed = seq;
        if ((rc = mdb_cursor_del(t->cursor, 0)) != 0)
            break;
    }
    if (rc == MDB_NOTFOUND)
        rc = 0;
    if (err == OK)
        err = lmdb_err(NULL, rc != 0 ? rc : cursor_anew(t), "trim", "log");
    return err == OK ? OK : fault_set(fault, err, "cannot trim %s: %s", env_path(t->s->log), err_text(err));
}

/* Behind the end of t, as log_commit or log_abort has it: whether what it owes is in the log now. */
static void end_hold(struct log_txn *t, bool committed)
{
    t->s->log_writing = false;
    t->s->ahead.doubt |= (t->is_ahead || t->owes) && !committed;
    if (t->owes && committed)
        hold_drop(&t->s->hold);
    else if (t->owes)
        hold_lose(&t->s->hold);
    free(t);
}

MUST_USE enum err log_commit(struct log_txn *t, struct fault *fault)
{
    struct store *s = t->s;
    enum err err = t->cuts ? ahead_void(s, t->cut_to, fault) : OK;
    if (err != OK) {
        log_abort(t);
        return err;
    }
    bool is_ahead = t->is_ahead;
    mdb_cursor_close(t->cursor);
    /* what goes may be what the data, taken back by a crash of the machine, would need */
    int rc = t->trims && s->soft ? env_settle(atomic_load(&s->gen)->env) : 0;
    if (rc != 0) {
        t->cursor = NULL;
        log_abort(t);
        return lmdb_err(fault, rc, "sync", s->dir);
    }
    rc = is_ahead ? env_write_commit_soft(s->log, t->txn) : env_write_commit(s->log, t->txn);
    end_hold(t, rc == 0);
    err = commit_err(fault, rc, s->log);
    return is_ahead && err == ERR_FULL ? ERR_STORE : err;
}

void log_abort(struct log_txn *t)
{
    if (t == NULL)
        return;
    if (t->cursor != NULL)
        mdb_cursor_close(t->cursor);
    if (t->txn != NULL)
        mdb_txn_abort(t->txn);
    end_hold(t, false);
}

/* --- held open ---------------------------------------------------------------------------------------------------- */
void log_on_hold(struct store *s, void (*want)(void *arg), void *arg) { hold_allow(&s->hold, want, arg); }

bool log_is_held(const struct store *s) { return s->held != NULL; }

MUST_USE enum err log_join(struct store *s, struct log_txn **out, struct fault *fault)
{
    struct log_txn *t = s->held;
    if (t == NULL || room_is_worn(&t->room))
        return log_begin(s, out, fault);
    s->held = NULL;
    t->is_ahead = false;
    ahead_begin(t);
    *out = t;
    return OK;
}

MUST_USE enum err log_hold(struct log_txn *t, struct fault *fault)
{
    if (!t->is_ahead || t->trims || t->cuts || !hold_take(&t->s->hold))
        return log_commit(t, fault);
    t->s->log->softs += t->owes && t->s->log->anchored;     /* its commit counts the first */
    t->owes = true;
    t->s->held = t;
    return OK;
}

MUST_USE enum err log_let_go(struct store *s, struct fault *fault)
{
    struct log_txn *t = s->held;
    if (t == NULL)
        return OK;
    s->held = NULL;
    return log_commit(t, fault);        /* t->is_ahead still says so */
}

void log_want(struct store *s) { hold_ask(&s->hold); }

bool log_is_behind(const struct store *s) { return s->ahead.doubt; }

/* For readers. In the middle of a transaction the writing thread sees what was there before all that is held. */
static enum err see_held(struct store *s)
{
    if (!store_writable(s))
        return OK;
    return hold_is_mine(&s->hold) ? log_let_go(s, NULL) : hold_wait(&s->hold);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
static enum err range(MDB_cursor *c, uint64_t *first, uint64_t *last)
{
    enum err err = seq_at(c, MDB_FIRST, first);
    return err != OK ? err : seq_at(c, MDB_LAST, last);
}

MUST_USE enum err log_range_past(struct store *s, uint64_t *first, uint64_t *last)
{
    MDB_txn *txn;
    MDB_cursor *c;
    enum err err = log_ready(s, NULL);
    if (err != OK || (err = env_read_begin(s->log, &txn, NULL)) != OK)
        return err;
    int rc = mdb_cursor_open(txn, s->log_dbi, &c);
    if (rc == 0) {
        err = range(c, first, last);
        mdb_cursor_close(c);
    }
    env_read_end(s->log, txn);
    return rc != 0 ? lmdb_err(NULL, rc, "read", "log") : err;
}

MUST_USE enum err log_range(struct store *s, uint64_t *first, uint64_t *last)
{
    enum err err = see_held(s);
    return err == OK ? log_range_past(s, first, last) : err;
}

MUST_USE enum err log_reader_open(struct store *s, struct log_reader **out, struct fault *fault)
{
    enum err err = log_ready(s, fault);
    if (err != OK)
        return err;
    struct log_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NOMEM;
    r->s = s;
    if ((err = reader_open(&r->reader, s->log, fault)) != OK) {
        free(r);
        return err;
    }
    *out = r;
    return OK;
}

MUST_USE enum err log_reader_begin(struct log_reader *r)
{
    enum err err = see_held(r->s);
    return err == OK ? log_reader_begin_past(r) : err;
}

MUST_USE enum err log_reader_begin_past(struct log_reader *r)
{
    enum err err = reader_begin(&r->reader);
    if (err != OK)
        return err;
    int rc = r->cursor == NULL ? mdb_cursor_open(r->reader.txn, r->s->log_dbi, &r->cursor)
                               : mdb_cursor_renew(r->reader.txn, r->cursor);
    if (rc != 0)
        reader_end(&r->reader);
    return lmdb_err(NULL, rc, "read", "log");
}

void log_reader_end(struct log_reader *r) { reader_end(&r->reader); }

void log_reader_close(struct log_reader *r)
{
    if (r == NULL)
        return;
    if (r->cursor != NULL)
        mdb_cursor_close(r->cursor);
    reader_close(&r->reader);
    free(r);
}

MUST_USE enum err log_reader_range(struct log_reader *r, uint64_t *first, uint64_t *last)
{
    return range(r->cursor, first, last);
}

MUST_USE enum err log_reader_size(struct log_reader *r, uint64_t *bytes)
{
    MDB_stat st;
    int rc = mdb_stat(r->reader.txn, r->s->log_dbi, &st);
    if (rc == 0)
        *bytes = (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) * (uint64_t)st.ms_psize;
    return lmdb_err(NULL, rc, "read", "log");
}

MUST_USE enum err log_reader_peek(struct log_reader *r, uint64_t seq, struct bytes *front, size_t *whole)
{
    uint8_t key[LOG_KEY];
    MDB_val k = { LOG_KEY, key }, v;
    key_write(key, seq, 0);
    int rc = mdb_cursor_get(r->cursor, &k, &v, MDB_SET_KEY);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "log");
    struct rd in = rd_over(bytes_of_val(v));
    *whole = rd_u32(&in);
    *front = bytes_of(in.p, rd_left(&in));
    return in.bad || front->len > *whole ? ERR_BAD : OK;
}

/* Chunks 1.. behind the cursor, until `whole` bytes are there. */
static enum err rest_read(MDB_cursor *c, uint64_t seq, struct wr *w, size_t whole)
{
    MDB_val k, v;
    for (uint16_t want = 1; w->len < whole; want++) {
        uint64_t at;
        uint16_t chunk;
        int rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
        if (rc != 0)
            return rc == MDB_NOTFOUND ? ERR_BAD : lmdb_err(NULL, rc, "read", "log");
        if (key_read(k, &at, &chunk) != OK || at != seq || chunk != want || v.mv_size == 0 || v.mv_size > CHUNK_MAX)
            return ERR_BAD;
        wr_bytes(w, bytes_of_val(v));
        if (w->full)
            return ERR_BAD;     /* more than chunk 0 said */
    }
    return OK;
}

MUST_USE enum err log_reader_get(struct log_reader *r, uint64_t seq, uint8_t *buf, size_t cap, struct bytes *out,
                                 size_t *need)
{
    uint8_t key[LOG_KEY];
    MDB_val k = { LOG_KEY, key }, v;
    key_write(key, seq, 0);
    int rc = mdb_cursor_get(r->cursor, &k, &v, MDB_SET_KEY);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "log");
    struct rd in = rd_over(bytes_of_val(v));
    uint32_t whole = rd_u32(&in);
    if (in.bad || whole > LOG_RECORD_MAX || rd_left(&in) > whole || v.mv_size > CHUNK_MAX)
        return ERR_BAD;
    if (need != NULL)
        *need = whole;
    if (whole > cap)
        return ERR_NOSPACE;
    struct wr w = wr_over(buf, whole);
    wr_bytes(&w, rd_take(&in, rd_left(&in)));
    enum err err = rest_read(r->cursor, seq, &w, whole);
    if (err == OK)
        *out = wr_done(&w);
    return err;
}
