/* What happened to settings and keys, ascending by number; and a list of each zone, newest first, as all numbers in it are
 * turned over. */
#include "builder/recordbook_parts.h"

#include "base/msg.h"

#include <sodium.h>

#define GROUP_LEN 16
#define OF_LEN (GROUP_LEN + NUMBER_LEN)
#define FIELDS 8
#define VALUE_ROOM 64                   /* heads and numbers of a value */

/* A zone has its list; all TSIG keys share one, which is filtered. */
static void group_write(struct wr *w, enum history_subject subject, struct bytes name)
{
    uint8_t in[1 + NAME_MAX_LEN], out[GROUP_LEN];
    struct wr of = wr_over(in, sizeof in);
    wr_u8(&of, (uint8_t)subject);
    if (subject == HISTORY_ZONE)
        wr_bytes(&of, name);
    name_lower(in + 1, of.len - 1);
    (void)crypto_generichash(out, sizeof out, in, of.len, NULL, 0);
    wr_bytes(w, bytes_of(out, sizeof out));
}

static struct bytes of_key(uint8_t buf[OF_LEN], enum history_subject subject, struct bytes name, uint64_t number)
{
    struct wr w = wr_over(buf, OF_LEN);
    group_write(&w, subject, name);
    wr_u64(&w, ~number);
    return wr_done(&w);
}

/* --- values --------------------------------------------------------------------------------------------------------- */
static void text_write(struct wr *w, struct bytes text)
{
    if (text.ptr == NULL)
        msg_put_nil(w);
    else
        msg_put_bin(w, text);
}

static struct bytes text_take(struct rd *r) { return msg_nil(r) ? (struct bytes){ 0 } : msg_bin(r); }

static void value_write(struct wr *w, const struct history_row *h)
{
    msg_put_array(w, FIELDS);
    msg_put_uint(w, h->subject);
    msg_put_bin(w, name_bytes(&h->name));
    msg_put_uint(w, h->time_ms);
    msg_put_uint(w, h->epoch);
    msg_put_uint(w, h->seq);
    msg_put_bin(w, h->author);
    text_write(w, h->before);
    text_write(w, h->after);
}

static enum err value_read(struct bytes in, struct history_row *out)
{
    struct rd r = rd_over(in);
    struct history_row h = { .number = out->number };
    uint32_t n = msg_array(&r);
    uint64_t subject = msg_uint(&r);
    struct rd of = rd_over(msg_bin(&r));
    struct bytes name;
    if (r.bad || n < FIELDS || subject < HISTORY_ZONE || subject > HISTORY_KEY || name_read(&of, &name) != OK || !rd_done(&of))
        return ERR_BAD;
    h.name.len = (uint8_t)name.len;
    memcpy(h.name.wire, name.ptr, name.len);
    h.subject = (enum history_subject)subject;
    h.time_ms = msg_uint(&r);
    h.epoch = msg_uint(&r);
    h.seq = msg_uint(&r);
    h.author = msg_bin(&r);
    h.before = text_take(&r);
    h.after = text_take(&r);
    msg_skip_rest(&r, n, FIELDS);
    if (!rd_done(&r) || (h.before.ptr == NULL && h.after.ptr == NULL))
        return ERR_BAD;
    *out = h;
    return OK;
}

MUST_USE enum err rb_history_check(struct bytes key, struct bytes value)
{
    struct history_row h;
    enum err err = number_read(key, &h.number);
    return err != OK ? err : value_read(value, &h);
}

MUST_USE enum err rb_history_of_check(struct bytes key, struct bytes value)
{
    return key.len == OF_LEN && value.len == 1 && value.ptr[0] == 0 ? OK : ERR_BAD;
}

/* --- writing -------------------------------------------------------------------------------------------------------- */
static enum err entry_del(struct book_source_txn *t, uint64_t number, struct fault *fault)
{
    struct number n = number_of(number);
    struct history_row h = { .number = number };
    uint8_t buf[OF_LEN];
    struct bytes value;
    enum err err = book_get(t->t, HISTORY, number_bytes(&n), &value);
    if (err == OK && value_read(value, &h) == OK) {     /* one that does not read goes by itself */
        err = book_del(t->t, HISTORY_OF, of_key(buf, h.subject, name_bytes(&h.name), number), fault);
        err = err == ERR_NOTFOUND ? OK : err;
    }
    return err == OK ? book_del(t->t, HISTORY, number_bytes(&n), fault) : err;
}

/* Oldest first, two for each that comes, until there are as many as may be. */
static enum err trim(struct book_source_txn *t, struct fault *fault)
{
    uint64_t n = 0, number = 0;
    enum err err = book_count(t->t, HISTORY, &n);
    for (unsigned i = 0; i < 2 && err == OK && n > HISTORY_MOST; i++, n--) {
        struct book_cursor *c;
        struct entry e;
        if ((err = book_cursor_open(t->t, HISTORY, &c)) != OK)
            break;
        err = book_seek(c, bytes_of(NULL, 0), &e);
        if (err == OK)
            err = number_read(e.key, &number);
        book_cursor_close(c);
        if (err == OK)
            err = entry_del(t, number, fault);
    }
    return err;
}

/* Reserved, so that what goes can be told of in a full book, too. */
MUST_USE enum err rb_history_add(struct source_txn *st, struct history_row *h, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    static const uint8_t nothing = 0;
    size_t size = VALUE_ROOM + NAME_MAX_LEN + h->author.len + h->before.len + h->after.len;
    uint8_t buf[OF_LEN];
    enum err err = rb_may_write(t, fault);
    struct wr w = wr_over(arena_take(&t->arena, size), size);
    if (w.buf == NULL)
        return ERR_NOMEM;
    if (err == OK)
        err = rb_counter_next(t->t, COUNTER_HISTORY, &h->number, fault);
    if (err != OK)
        return err;
    struct number n = number_of(h->number);
    value_write(&w, h);
    err = book_put_reserved(t->t, HISTORY, number_bytes(&n), wr_done(&w), fault);
    if (err == OK)
        err = book_put_reserved(t->t, HISTORY_OF, of_key(buf, h->subject, name_bytes(&h->name), h->number), bytes_of(&nothing, 1), fault);
    return err == OK ? trim(t, fault) : err;
}

MUST_USE enum err rb_history_del(struct source_txn *st, uint64_t number, struct fault *fault)
{
    enum err err = rb_may_write(txn_of(st), fault);
    return err != OK ? err : entry_del(txn_of(st), number, fault);
}

/* --- reading -------------------------------------------------------------------------------------------------------- */
/* The newest entry of the list whose number is below `before`. */
static enum err newest_below(struct book_source_txn *t, enum history_subject subject, struct bytes name, uint64_t before, uint64_t *out)
{
    uint8_t buf[OF_LEN];
    struct bytes key = of_key(buf, subject, name, before - 1);
    struct book_cursor *c;
    struct entry e;
    uint64_t turned = 0;
    enum err err = before == 0 ? ERR_NOTFOUND : book_cursor_open(t->t, HISTORY_OF, &c);
    if (err != OK)
        return err;
    err = book_seek(c, key, &e);
    if (err == OK && (e.key.len != OF_LEN || memcmp(e.key.ptr, key.ptr, GROUP_LEN) != 0))
        err = ERR_NOTFOUND;
    if (err == OK)
        err = number_read(bytes_of(e.key.ptr + GROUP_LEN, NUMBER_LEN), &turned);
    book_cursor_close(c);
    *out = ~turned;
    return err;
}

static enum err entry_at(struct book_source_txn *t, uint64_t number, struct arena *a, struct history_row *out)
{
    struct number n = number_of(number);
    struct bytes value;
    enum err err = book_get(t->t, HISTORY, number_bytes(&n), &value);
    if (err == OK)
        err = rb_keep(t, a, &value);
    out->number = number;
    if (err == OK)
        err = value_read(value, out);
    return err == ERR_NOTFOUND ? ERR_BAD : err;
}

MUST_USE enum err rb_history(struct source_txn *st, enum history_subject subject, struct bytes name, uint64_t before,
                             history_visit_fn *visit, void *arg)
{
    struct book_source_txn *t = txn_of(st);
    struct history_row h;
    struct arena a;
    bool on = true;
    uint64_t at = before;
    enum err err = OK;
    arena_init(&a);
    while (on && (err = newest_below(t, subject, name, at, &at)) == OK) {
        arena_reset(&a);
        if ((err = entry_at(t, at, &a, &h)) != OK)
            break;
        on = name.len > 0 && !name_equal(name_bytes(&h.name), name) ? true : visit(arg, &h);
    }
    arena_release(&a);
    return err == ERR_NOTFOUND ? OK : err;
}
