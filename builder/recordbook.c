#include "builder/recordbook_parts.h"

#include "base/file.h"
#include "store/store.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static const struct source_calls calls;

/* --- numbers -------------------------------------------------------------------------------------------------------- */
static enum err counter_get(struct book_txn *t, const char *name, uint64_t *out)
{
    struct bytes v;
    enum err err = book_get(t, COUNTERS, bytes_of_text(name), &v);
    if (err != OK) {
        *out = 1;
        return err == ERR_NOTFOUND ? OK : err;
    }
    return number_read(v, out);
}

static enum err counter_put(struct book_txn *t, const char *name, uint64_t v, struct fault *fault)
{
    struct number n = number_of(v);
    return book_put_reserved(t, COUNTERS, bytes_of_text(name), number_bytes(&n), fault);
}

MUST_USE enum err rb_counter_next(struct book_txn *t, const char *name, uint64_t *out, struct fault *fault)
{
    enum err err = counter_get(t, name, out);
    return err != OK ? fault_set(fault, err, "the counter '%s' of the records does not read", name)
                     : counter_put(t, name, *out + 1, fault);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */
static void rb_close(struct source *s)
{
    struct recordbook *rb = book_of(s);
    book_close(rb->book);
    free(rb);
}

static enum err format_check(struct recordbook *rb, bool writing, struct fault *fault)
{
    struct book_txn *t;
    uint64_t format;
    enum err err = book_begin(rb->book, writing ? BOOK_WRITE : BOOK_READ, &t, fault);
    if (err != OK)
        return err;
    err = counter_get(t, COUNTER_FORMAT, &format);
    if (err == OK)
        err = counter_get(t, COUNTER_ID, &rb->first_id);
    if (err != OK)
        (void)fault_set(fault, err, "the counters of the records do not read");
    else if (format != FORMAT)
        err = fault_set(fault, ERR_FORMAT, "records of format %llu, this version reads %d", (unsigned long long)format, FORMAT);
    if (err == OK && writing && (err = counter_put(t, COUNTER_FORMAT, FORMAT, fault)) == OK)
        return book_commit(t, fault);
    book_abort(t);
    return err;
}

/* Data and records may be of two states then. */
static enum err restored_check(const struct recordbook_options *o, struct fault *fault)
{
    char path[PATH_MAX];
    if (o->read_only || o->folder != NULL || file_path(path, sizeof path, o->dir, RECORDBOOK_NEXT) != OK || access(path, F_OK) != 0)
        return OK;
    return fault_set(fault, ERR_NOTNOW, "%s: a restore was cut off in the middle; restore again with --replace", path);
}

MUST_USE enum err recordbook_open(struct source **out, const struct recordbook_options *o, struct fault *fault)
{
    char path[PATH_MAX];
    if (file_path(path, sizeof path, o->dir, o->folder != NULL ? o->folder : RECORDBOOK_FOLDER) != OK)
        return fault_set(fault, ERR_LIMIT, "%s: path is too long", o->dir);
    enum err err = restored_check(o, fault);
    if (err != OK)
        return err;
    struct recordbook *rb = calloc(1, sizeof *rb);
    if (rb == NULL)
        return ERR_NOMEM;
    struct book_options bo = { .path = path, .tables = recordbook_tables, .tables_n = RECORDBOOK_TABLES, .map_size = o->map_size,
                               .volatile_data = o->volatile_data, .boot_id = o->boot_id, .secret = true, .read_only = o->read_only,
                               .writer_dir = o->dir };
    rb->base.calls = &calls;
    err = book_open(&rb->book, &bo, fault);
    if (err == OK)
        err = format_check(rb, !o->read_only, fault);
    if (err != OK) {
        rb_close(&rb->base);
        return err;
    }
    *out = &rb->base;
    return OK;
}

static const enum book_mode modes[] = {
    [SOURCE_READ] = BOOK_READ, [SOURCE_READ_NAMED] = BOOK_PAST, [SOURCE_WRITE] = BOOK_WRITE, [SOURCE_WRITE_KEPT] = BOOK_JOIN,
};

static enum err rb_begin(struct source *s, enum source_mode mode, struct source_txn **out, struct fault *fault)
{
    struct book_source_txn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->base.calls = &calls;
    t->rb = book_of(s);
    t->writing = mode == SOURCE_WRITE || mode == SOURCE_WRITE_KEPT;
    arena_init(&t->arena);
    enum err err = book_begin(t->rb->book, modes[mode], &t->t, fault);
    if (err != OK) {
        free(t);
        return err;
    }
    if (mode == SOURCE_WRITE_KEPT)
        book_keep(t->t);
    *out = &t->base;
    return OK;
}

static void txn_free(struct book_source_txn *t)
{
    arena_release(&t->arena);
    free(t);
}

static enum err commit(struct book_source_txn *t, enum err (*how)(struct book_txn *t, struct fault *fault), struct fault *fault)
{
    enum err err = how(t->t, fault);
    if (err == OK && t->moved)
        atomic_fetch_add(&t->rb->version, 1);
    txn_free(t);
    return err;
}

static enum err rb_commit(struct source_txn *st, struct fault *fault) { return commit(txn_of(st), book_commit, fault); }
static enum err rb_commit_soft(struct source_txn *st, struct fault *fault) { return commit(txn_of(st), book_commit_soft, fault); }

static enum err rb_commit_later(struct source_txn *st, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    return commit(t, t->moved ? book_commit_soft : book_hold, fault);
}

static void rb_on_hold(struct source *s, void (*want)(void *arg), void *arg) { book_on_hold(book_of(s)->book, want, arg); }
static enum err rb_let_go(struct source *s, struct fault *fault) { return book_let_go(book_of(s)->book, fault); }
static bool rb_is_held(struct source *s) { return book_is_held(book_of(s)->book); }

static void rb_abort(struct source_txn *st)
{
    struct book_source_txn *t = txn_of(st);
    book_abort(t->t);
    txn_free(t);
}

/* --- kept as bytes: number u64 | what the book kept, the counter with that number in it ------------------------------- */
static enum err rb_kept(struct source_txn *st, struct bytes *out)
{
    struct book_source_txn *t = txn_of(st);
    struct bytes kept;
    uint64_t last;
    enum err err = counter_get(t->t, COUNTER_KEPT, &last);
    if (err == OK)
        err = counter_put(t->t, COUNTER_KEPT, last + 1, NULL);
    if (err == OK)
        err = book_kept(t->t, &kept);
    if (err != OK)
        return err;
    uint8_t *p = arena_take(&t->arena, NUMBER_LEN + kept.len);
    if (p == NULL)
        return ERR_NOMEM;
    struct wr w = wr_over(p, NUMBER_LEN + kept.len);
    wr_u64(&w, last + 1);
    wr_bytes(&w, kept);
    *out = wr_done(&w);
    return OK;
}

static enum err rb_again(struct source *s, struct bytes kept, struct fault *fault)
{
    struct recordbook *rb = book_of(s);
    struct book_txn *t;
    struct rd r = rd_over(kept);
    uint64_t number = rd_u64(&r), last = 0;
    enum err err = book_begin(rb->book, BOOK_AGAIN, &t, fault);
    if (err != OK)
        return err;
    if (r.bad || (err = counter_get(t, COUNTER_KEPT, &last)) != OK)
        err = fault_set(fault, ERR_BAD, "the records' counter '" COUNTER_KEPT "' does not read");
    else if (number > last + 1)
        err = fault_set(fault, ERR_GAP, "the log has change %llu of records that had %llu", (unsigned long long)number,
                        (unsigned long long)last);
    else if (number == last + 1 && (err = book_redo(t, bytes_of(r.p, rd_left(&r)), fault)) == OK) {
        atomic_fetch_add(&rb->version, 1);
        return book_commit_soft(t, fault);
    }
    book_abort(t);
    return err;
}

static enum err rb_settle(struct source *s, struct fault *fault) { return book_settle(book_of(s)->book, fault); }
static void rb_bar(struct source *s, bool on) { book_bar(book_of(s)->book, on); }
static bool rb_is_barred(struct source *s) { return book_is_barred(book_of(s)->book); }

static uint64_t rb_version(const struct source *s)
{
    return atomic_load(&((const struct recordbook *)(const void *)s)->version);
}

static enum err rb_figures(struct source *s, struct source_figures *out)
{
    struct recordbook *rb = book_of(s);
    struct book_figures f;
    struct book_txn *t;
    *out = (struct source_figures){ .broken = book_is_broken(rb->book) };
    if (out->broken)
        return OK;
    enum err err = book_figures(rb->book, &f);
    if (err != OK || (err = book_begin(rb->book, BOOK_PAST, &t, NULL)) != OK)
        return err;
    if ((err = book_count(t, ZONES, &out->zones)) == OK && (err = book_count(t, ROWS, &out->rows)) == OK
        && (err = book_count(t, OUTBOX, &out->events)) == OK)
        err = book_count(t, KEYS, &out->keys);
    book_abort(t);
    out->used_bytes = f.used_bytes;
    out->free_bytes = f.free_bytes;
    out->map_bytes = f.map_bytes;
    return err;
}

MUST_USE enum err rb_keep(struct book_source_txn *t, struct arena *a, struct bytes *v)
{
    if (!t->writing)
        return OK;
    *v = arena_copy(a, *v);
    return v->ptr == NULL && v->len > 0 ? ERR_NOMEM : OK;
}

MUST_USE enum err rb_may_write(const struct book_source_txn *t, struct fault *fault)
{
    return t->writing ? OK : fault_set(fault, ERR_NOTNOW, "a reading transaction writes nothing");
}

static const struct source_calls calls = {
    .close = rb_close, .begin = rb_begin, .commit = rb_commit, .abort = rb_abort, .kept = rb_kept, .commit_soft = rb_commit_soft,
    .commit_later = rb_commit_later, .on_hold = rb_on_hold, .let_go = rb_let_go, .is_held = rb_is_held,
    .again = rb_again, .settle = rb_settle, .bar = rb_bar, .is_barred = rb_is_barred, .version = rb_version, .figures = rb_figures,
    .zone = rb_zone, .zone_next = rb_zone_next, .fresh_id = rb_fresh_id, .drop_id = rb_drop_id, .zone_put = rb_zone_put,
    .zone_del = rb_zone_del, .zone_count = rb_zone_count,
    .secondary = rb_secondary, .secondary_put = rb_secondary_put, .secondary_del = rb_secondary_del,
    .row = rb_row, .owner = rb_owner, .rows = rb_rows, .row_put = rb_row_put, .sweep = rb_sweep,
    .event_add = rb_event_add, .events = rb_events, .event_done = rb_event_done,
    .mark = rb_mark, .mark_put = rb_mark_put,
    .history_add = rb_history_add, .history_del = rb_history_del, .history = rb_history,
    .tsig = rb_tsig, .tsig_next = rb_tsig_next, .tsig_put = rb_tsig_put, .tsig_del = rb_tsig_del,
};

/* --- whole, as bytes ------------------------------------------------------------------------------------------------- */
MUST_USE enum err recordbook_entries(struct source_txn *t, unsigned table, recordbook_visit_fn *visit, void *arg)
{
    struct book_cursor *c;
    struct entry e;
    enum err err = book_cursor_open(txn_of(t)->t, table, &c);
    if (err != OK)
        return err;
    for (err = book_seek(c, bytes_of(NULL, 0), &e); err == OK; err = book_next(c, &e))
        if (!visit(arg, table, e.key, e.value))
            break;
    book_cursor_close(c);
    return err == ERR_NOTFOUND ? OK : err;
}

MUST_USE enum err recordbook_entry_put(struct source_txn *t, unsigned table, struct bytes key, struct bytes value,
                                       struct fault *fault)
{
    struct arena a;
    arena_init(&a);
    enum err err = recordbook_entry_check(table, key, value, &a, fault);
    arena_release(&a);
    return err != OK ? err : book_put(txn_of(t)->t, table, key, value, fault);
}

uint64_t recordbook_state(const struct source_txn *t)
{
    return book_txn_number(((const struct book_source_txn *)(const void *)t)->t);
}

struct lags { uint64_t last; bool found; };
static enum err is_next(void *arg, struct bytes kept, struct fault *fault)
{
    struct lags *l = arg;
    struct rd r = rd_over(kept);
    (void)fault;
    l->found |= rd_u64(&r) == l->last + 1 && !r.bad;
    return OK;
}

MUST_USE enum err recordbook_lags(struct source_txn *t, struct store *log, bool *lags, struct fault *fault)
{
    struct lags l = { .found = false };
    enum err err = counter_get(txn_of(t)->t, COUNTER_KEPT, &l.last);
    if (err == OK)
        err = log_extras(log, is_next, &l, fault);
    *lags = l.found;
    return err;
}

uint64_t recordbook_newest(const struct source *s)
{
    return book_newest(((const struct recordbook *)(const void *)s)->book);
}
