/* Inside recordbook*.c only. recordbook.c: life and transactions; _named.c: zones and keys; _rows.c: rows, and those that no zone
 * points to; _outbox.c: events; _history.c: what happened to settings and keys; _check.c: does an entry read? */
#ifndef AZOTH_BUILDER_RECORDBOOK_PARTS_H
#define AZOTH_BUILDER_RECORDBOOK_PARTS_H

#include "builder/recordbook.h"
#include "builder/rows.h"
#include "builder/source_calls.h"
#include "store/book.h"

#include <stdatomic.h>

/* Counters: format, next zone id, next event, and the mark. Loose: ids that no zone points to; their value says since when.
 * A table's place here is its number in backups: later ones go behind. */
enum { ZONES, ROWS, LOOSE, OUTBOX, KEYS, COUNTERS, SECONDARIES, HISTORY, HISTORY_OF };
#define FORMAT 1
#define LOOSE_FILLING 0         /* given to somebody who writes rows under it */
#define LOOSE_DROPPED 1         /* its rows are to go */
#define NUMBER_LEN 8
#define COUNTER_FORMAT "format"
#define COUNTER_ID "zone"
#define COUNTER_EVENT "event"
#define COUNTER_HISTORY "history"
#define COUNTER_KEPT "kept"     /* transactions that were kept as bytes: the last one's number */
#define MARK "mark"             /* epoch and seq, 8 bytes each */

struct number { uint8_t be[NUMBER_LEN]; };
static inline struct number number_of(uint64_t v)
{
    struct number n;
    struct wr w = wr_over(n.be, sizeof n.be);
    wr_u64(&w, v);
    return n;
}
static inline struct bytes number_bytes(const struct number *n) { return bytes_of(n->be, sizeof n->be); }
static inline enum err number_read(struct bytes in, uint64_t *out)
{
    struct rd r = rd_over(in);
    *out = rd_u64(&r);
    return rd_done(&r) ? OK : ERR_BAD;
}
static inline enum err kept_read(struct bytes in, struct refresh_kept *out)
{
    struct rd r = rd_over(in);
    enum err err = refresh_kept_read(&r, out);
    return err == OK && rd_done(&r) ? OK : ERR_BAD;
}
static inline enum err mark_read(struct bytes in, struct source_mark *out)
{
    struct rd r = rd_over(in);
    out->epoch = rd_u64(&r);
    out->seq = rd_u64(&r);
    return rd_done(&r) ? OK : ERR_BAD;
}

struct recordbook {
    struct source base;
    struct book *book;
    atomic_uint_fast64_t version;
    uint64_t first_id;          /* of this run: ids below that are still being filled were cut off */
};
struct book_source_txn {
    struct source_txn base;
    struct recordbook *rb;
    struct book_txn *t;
    struct arena arena;         /* what the transaction gave; values of a writing one, which LMDB may move */
    bool writing, moved;        /* moved: zones or keys */
};
static inline struct recordbook *book_of(struct source *s) { return (struct recordbook *)(void *)s; }
static inline struct book_source_txn *txn_of(struct source_txn *t) { return (struct book_source_txn *)(void *)t; }

/* A value that stays as long as a (the transaction's own arena, or a shorter one); of a reading transaction it does anyway. */
MUST_USE enum err rb_keep(struct book_source_txn *t, struct arena *a, struct bytes *v);
MUST_USE enum err rb_may_write(const struct book_source_txn *t, struct fault *fault);
/* The next number of a counter, from 1. */
MUST_USE enum err rb_counter_next(struct book_txn *t, const char *name, uint64_t *out, struct fault *fault);

/* The calls (source_calls.h). */
MUST_USE enum err rb_zone(struct source_txn *st, struct bytes apex, struct zone_row *out);
MUST_USE enum err rb_zone_next(struct source_txn *st, struct bytes after, struct zone_row *out);
MUST_USE enum err rb_fresh_id(struct source_txn *st, uint64_t *out, struct fault *fault);
MUST_USE enum err rb_drop_id(struct source_txn *st, uint64_t id, struct fault *fault);
MUST_USE enum err rb_zone_put(struct source_txn *st, const struct zone_row *z, struct fault *fault);
MUST_USE enum err rb_zone_del(struct source_txn *st, struct bytes apex, struct fault *fault);
MUST_USE enum err rb_zone_count(struct source_txn *st, uint64_t *out);
MUST_USE enum err rb_secondary(struct source_txn *st, struct bytes apex, struct refresh_kept *out);
MUST_USE enum err rb_secondary_put(struct source_txn *st, struct bytes apex, const struct refresh_kept *k, struct fault *fault);
MUST_USE enum err rb_secondary_del(struct source_txn *st, struct bytes apex, struct fault *fault);
MUST_USE enum err rb_row(struct source_txn *st, uint64_t zone, struct bytes owner, uint16_t type, uint16_t covers,
    struct row *out);
MUST_USE enum err rb_owner(struct source_txn *st, uint64_t zone, struct bytes owner, const struct row **out, size_t *n);
MUST_USE enum err rb_rows(struct source_txn *st, uint64_t zone, struct bytes from, row_visit_fn *visit, void *arg);
MUST_USE enum err rb_row_put(struct source_txn *st, uint64_t zone, const struct row *row, struct fault *fault);
MUST_USE enum err rb_sweep(struct source_txn *st, unsigned most, bool *left, struct fault *fault);
MUST_USE enum err rb_event_add(struct source_txn *st, struct event *e, struct fault *fault);
MUST_USE enum err rb_events(struct source_txn *st, uint64_t from, event_visit_fn *visit, void *arg);
MUST_USE enum err rb_event_done(struct source_txn *st, uint64_t number, struct fault *fault);
MUST_USE enum err rb_mark(struct source_txn *st, struct source_mark *out);
MUST_USE enum err rb_mark_put(struct source_txn *st, const struct source_mark *m, struct fault *fault);
MUST_USE enum err rb_history_add(struct source_txn *st, struct history_row *h, struct fault *fault);
MUST_USE enum err rb_history_del(struct source_txn *st, uint64_t number, struct fault *fault);
MUST_USE enum err rb_history(struct source_txn *st, enum history_subject subject, struct bytes name, uint64_t before,
                             history_visit_fn *visit, void *arg);
MUST_USE enum err rb_history_check(struct bytes key, struct bytes value);
MUST_USE enum err rb_history_of_check(struct bytes key, struct bytes value);
MUST_USE enum err rb_tsig(struct source_txn *st, struct bytes name, struct tsig_key_row *out);
MUST_USE enum err rb_tsig_next(struct source_txn *st, struct bytes after, struct tsig_key_row *out);
MUST_USE enum err rb_tsig_put(struct source_txn *st, const struct tsig_key_row *k, struct fault *fault);
MUST_USE enum err rb_tsig_del(struct source_txn *st, struct bytes name, struct fault *fault);

#endif
