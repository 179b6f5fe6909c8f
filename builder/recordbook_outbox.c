/* Events, ascending by number, and the mark. */
#include "builder/recordbook_parts.h"

/* --- outbox --------------------------------------------------------------------------------------------------------- */
/* An event of something that goes or shrinks must find room in a full book. */
static bool makes_room(const struct event *e)
{
    return e->kind == EVENT_GONE || (e->kind == EVENT_ROW && e->after.len <= e->before.len);
}

MUST_USE enum err rb_event_add(struct source_txn *st, struct event *e, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    size_t size = event_size(e);
    enum err err = rb_may_write(t, fault);
    struct wr w = wr_over(arena_take(&t->arena, size), size);
    if (w.buf == NULL)
        return ERR_NOMEM;
    if (err == OK)
        err = rb_counter_next(t->t, COUNTER_EVENT, &e->number, fault);
    if (err != OK)
        return err;
    struct number n = number_of(e->number);
    event_write(&w, e);
    return makes_room(e) ? book_put_reserved(t->t, OUTBOX, number_bytes(&n), wr_done(&w), fault)
                         : book_put(t->t, OUTBOX, number_bytes(&n), wr_done(&w), fault);
}

static enum err event_take(struct book_source_txn *t, struct arena *a, const struct entry *e, struct event *out)
{
    struct bytes value = e->value;
    enum err err = number_read(e->key, &out->number);
    if (err == OK)
        err = rb_keep(t, a, &value);
    if (err == OK)
        err = event_read(value, out);
    return err == OK || err == ERR_NOMEM ? err : ERR_BAD;
}

MUST_USE enum err rb_events(struct source_txn *st, uint64_t from, event_visit_fn *visit, void *arg)
{
    struct book_source_txn *t = txn_of(st);
    struct number n = number_of(from);
    struct book_cursor *c;
    struct arena arena;
    struct entry e;
    struct event event;
    enum err err = book_cursor_open(t->t, OUTBOX, &c);
    if (err != OK)
        return err;
    arena_init(&arena);
    for (err = book_seek(c, number_bytes(&n), &e); err == OK; err = book_next(c, &e)) {
        arena_reset(&arena);
        if ((err = event_take(t, &arena, &e, &event)) != OK || !visit(arg, &event))
            break;
    }
    arena_release(&arena);
    book_cursor_close(c);
    return err == ERR_NOTFOUND ? OK : err;
}

MUST_USE enum err rb_event_done(struct source_txn *st, uint64_t number, struct fault *fault)
{
    struct number n = number_of(number);
    enum err err = rb_may_write(txn_of(st), fault);
    return err != OK ? err : book_del(txn_of(st)->t, OUTBOX, number_bytes(&n), fault);
}

MUST_USE enum err rb_mark(struct source_txn *st, struct source_mark *out)
{
    struct bytes v;
    enum err err = book_get(txn_of(st)->t, COUNTERS, bytes_of_text(MARK), &v);
    return err != OK ? err : mark_read(v, out);
}

MUST_USE enum err rb_mark_put(struct source_txn *st, const struct source_mark *m, struct fault *fault)
{
    uint8_t buf[2 * NUMBER_LEN];
    struct wr w = wr_over(buf, sizeof buf);
    enum err err = rb_may_write(txn_of(st), fault);
    wr_u64(&w, m->epoch);
    wr_u64(&w, m->seq);
    return err != OK ? err : book_put_reserved(txn_of(st)->t, COUNTERS, bytes_of_text(MARK), wr_done(&w), fault);
}
