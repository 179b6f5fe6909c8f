/* Rows, in canonical order; those of ids that no zone points to are swept. */
#include "builder/recordbook_parts.h"

#include <stdlib.h>

/* --- rows ----------------------------------------------------------------------------------------------------------- */
/* key and value as a row; everything in a, or borrowed from a reading transaction. */
static enum err row_take(struct book_source_txn *t, struct arena *a, struct bytes key, struct bytes value, struct row *out)
{
    struct row_key_parts p;
    enum err err = row_key_read(key, &p);
    if (err == OK)
        err = rb_keep(t, a, &value);
    if (err == OK)
        err = row_read(value, a, out);
    if (err != OK)
        return err == ERR_NOMEM ? err : ERR_BAD;
    out->owner = arena_copy(a, name_bytes(&p.owner));
    out->type = p.type;
    out->covers = p.covers;
    return out->owner.ptr == NULL ? ERR_NOMEM : OK;
}

MUST_USE enum err rb_row(struct source_txn *st, uint64_t zone, struct bytes owner, uint16_t type, uint16_t covers,
                       struct row *out)
{
    struct book_source_txn *t = txn_of(st);
    uint8_t buf[ROW_KEY_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    struct bytes value;
    enum err err = row_key(&w, zone, owner, type, covers);
    if (err == OK)
        err = book_get(t->t, ROWS, wr_done(&w), &value);
    if (err != OK)
        return err == ERR_NOSPACE ? ERR_NOTFOUND : err;
    return row_take(t, &t->arena, wr_done(&w), value, out);
}

/* Entries of rows that begin with a prefix, from `from` on. */
typedef enum err entry_fn(void *arg, const struct entry *e);
static enum err each_row(struct book_source_txn *t, struct bytes prefix, struct bytes from, entry_fn *visit, void *arg)
{
    struct book_cursor *c;
    struct entry e;
    enum err err = book_cursor_open(t->t, ROWS, &c);
    if (err != OK)
        return err;
    for (err = book_seek(c, from, &e); err == OK && bytes_starts(e.key, prefix); err = book_next(c, &e))
        if ((err = visit(arg, &e)) != OK)
            break;
    book_cursor_close(c);
    return err == ERR_NOTFOUND ? OK : err;
}

struct owner_rows { struct book_source_txn *t; struct row *row; size_t n, cap; };

static enum err owner_visit(void *arg, const struct entry *e)
{
    struct owner_rows *o = arg;
    if (o->n == o->cap) {
        size_t cap = o->cap > 0 ? 2 * o->cap : 8;
        struct row *more = arena_take(&o->t->arena, cap * sizeof *more);
        if (more == NULL)
            return ERR_NOMEM;
        if (o->n > 0)
            memcpy(more, o->row, o->n * sizeof *more);
        o->row = more;
        o->cap = cap;
    }
    enum err err = row_take(o->t, &o->t->arena, e->key, e->value, &o->row[o->n]);
    o->n += err == OK;
    return err;
}

static int row_order(const void *x, const void *y)
{
    const struct row *a = x, *b = y;
    return a->type != b->type ? (a->type > b->type) - (a->type < b->type) : (a->covers > b->covers) - (a->covers < b->covers);
}

MUST_USE enum err rb_owner(struct source_txn *st, uint64_t zone, struct bytes owner, const struct row **out, size_t *n)
{
    struct owner_rows o = { .t = txn_of(st) };
    uint8_t buf[ROW_KEY_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    enum err err = row_key_owner(&w, zone, owner);
    if (err == OK)
        err = each_row(o.t, wr_done(&w), wr_done(&w), owner_visit, &o);
    if (err != OK)
        return err;
    if (o.n > 1)
        qsort(o.row, o.n, sizeof *o.row, row_order);       /* signatures stand behind in the file */
    *out = o.row;
    *n = o.n;
    return OK;
}

struct rows_walk { struct book_source_txn *t; struct arena arena; row_visit_fn *visit; void *arg; };

static enum err rows_visit(void *arg, const struct entry *e)
{
    struct rows_walk *w = arg;
    struct row row;
    arena_reset(&w->arena);
    enum err err = row_take(w->t, &w->arena, e->key, e->value, &row);
    return err != OK ? err : w->visit(w->arg, &row) ? OK : ERR_NOTFOUND;
}

MUST_USE enum err rb_rows(struct source_txn *st, uint64_t zone, struct bytes from, row_visit_fn *visit, void *arg)
{
    struct rows_walk walk = { .t = txn_of(st), .visit = visit, .arg = arg };
    uint8_t prefix[ROW_KEY_MAX], buf[ROW_KEY_MAX];
    struct wr p = wr_over(prefix, sizeof prefix), w = wr_over(buf, sizeof buf);
    row_key_zone(&p, zone);
    row_key_zone(&w, zone);
    enum err err = from.len == 0 ? OK : row_name_key(&w, from);
    if (err != OK)
        return err;
    arena_init(&walk.arena);
    err = each_row(walk.t, wr_done(&p), wr_done(&w), rows_visit, &walk);
    arena_release(&walk.arena);
    return err;
}

static enum err row_store(struct book_source_txn *t, struct bytes key, const struct row *row, struct fault *fault)
{
    size_t size = row_size(row);
    struct bytes before = { NULL, 0 };
    if (size > ROW_BYTES_MAX)
        return fault_set(fault, ERR_LIMIT, "an RRset of %zu bytes with its comments; at most %zu are kept", size, ROW_BYTES_MAX);
    struct wr w = wr_over(arena_take(&t->arena, size), size);
    if (w.buf == NULL)
        return ERR_NOMEM;
    row_write(&w, row);
    enum err err = book_get(t->t, ROWS, key, &before);
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    if (before.len >= w.len)        /* it shrinks: that is how a full book gets room */
        return book_put_reserved(t->t, ROWS, key, wr_done(&w), fault);
    return book_put(t->t, ROWS, key, wr_done(&w), fault);
}

MUST_USE enum err rb_row_put(struct source_txn *st, uint64_t zone, const struct row *row, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    uint8_t buf[ROW_KEY_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    enum err err = rb_may_write(t, fault);
    if (err == OK)
        err = row_key(&w, zone, row->owner, row->type, row->covers);
    if (err == ERR_NOSPACE)
        return fault_set(fault, ERR_LIMIT, "the name is too long for a type of that number");
    if (err != OK)
        return err;
    if (row->n > 0 || row->comments_n > 0)
        return row_store(t, wr_done(&w), row, fault);
    err = book_del(t->t, ROWS, wr_done(&w), fault);
    return err == ERR_NOTFOUND ? OK : err;
}

/* --- rows of ids that no zone points to ------------------------------------------------------------------------------- */
/* Deletes rows of an id; *most: how many still may go. *gone: none is left. */
static enum err rows_drop(struct book_source_txn *t, uint64_t id, unsigned *most, bool *gone, struct fault *fault)
{
    uint8_t prefix[ROW_KEY_MAX], buf[ROW_KEY_MAX];
    struct wr p = wr_over(prefix, sizeof prefix);
    struct book_cursor *c;
    struct entry e;
    enum err err = book_cursor_open(t->t, ROWS, &c);
    if (err != OK)
        return err;
    row_key_zone(&p, id);
    *gone = false;
    while ((err = book_seek(c, wr_done(&p), &e)) == OK && bytes_starts(e.key, wr_done(&p)) && *most > 0) {
        memcpy(buf, e.key.ptr, e.key.len);
        if ((err = book_del(t->t, ROWS, bytes_of(buf, e.key.len), fault)) != OK)
            break;
        --*most;
    }
    if (err == ERR_NOTFOUND || (err == OK && !bytes_starts(e.key, wr_done(&p)))) {
        *gone = true;
        err = OK;
    }
    book_cursor_close(c);
    return err;
}

/* The first loose id from *at on whose rows are to go. */
static enum err loose_next(struct book_source_txn *t, uint64_t *at)
{
    struct book_cursor *c;
    struct number from = number_of(*at);
    struct entry e;
    enum err err = book_cursor_open(t->t, LOOSE, &c);
    if (err != OK)
        return err;
    for (err = book_seek(c, number_bytes(&from), &e); err == OK; err = book_next(c, &e)) {
        if (number_read(e.key, at) != OK || e.value.len != 1) {
            err = ERR_BAD;
            break;
        }
        if (e.value.ptr[0] == LOOSE_DROPPED || *at < t->rb->first_id)
            break;
    }
    book_cursor_close(c);
    return err;
}

MUST_USE enum err rb_sweep(struct source_txn *st, unsigned most, bool *left, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    uint64_t id = 0;
    enum err err = rb_may_write(t, fault);
    if (err != OK)
        return err;
    *left = false;
    while ((err = loose_next(t, &id)) == OK) {
        bool gone = false;
        struct number n = number_of(id);
        if (most == 0) {
            *left = true;
            return OK;
        }
        if ((err = rows_drop(t, id, &most, &gone, fault)) != OK)
            return err;
        if (gone && (err = book_del(t->t, LOOSE, number_bytes(&n), fault)) != OK)
            return err;
    }
    return err == ERR_NOTFOUND ? OK : fault_set(fault, err, "the list of loose zone ids does not read");
}
