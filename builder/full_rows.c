/* Rows out of a zone's records, and records out of rows. */
#include "builder/full_parts.h"

#include "base/clock.h"
#include "builder/records.h"

#include <stdlib.h>
#include <time.h>

#define PIECE_US 10000          /* that a piece keeps other writers of the source waiting; then they get their turn */
#define PAUSE_NS 500000
#define FEW 500                 /* records that the last job writes itself */
#define LOOK_EVERY 32           /* rows between two looks at the clock */

bool build_has_rows(const struct build *b)
{
    enum change_kind kind = b->first->kind;
    return (kind == CHANGE_CREATE || kind == CHANGE_WHOLE || b->promotes) && b->kind == ZONE_NATIVE && b->zone != NULL;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */
struct reading { struct zone *zone; enum err err; };

static bool take_row(void *arg, const struct row *row)
{
    struct reading *r = arg;
    for (size_t i = 0; i < row->n && r->err == OK; i++)
        if (!row->rr[i].disabled)
            r->err = zone_add(r->zone, row->owner, row->type, row->ttl, row->rr[i].rdata, 0);
    return r->err == OK;
}

MUST_USE enum err rows_read(struct source_txn *t, uint64_t id, struct zone *out, struct fault *fault)
{
    struct reading r = { out, OK };
    enum err err = source_rows(t, id, (struct bytes){ 0 }, take_row, &r);
    if (err == OK)
        err = r.err;
    return err == OK ? OK : fault_set(fault, err, "cannot read the zone's records: %s", err_text(err));
}

static bool look_for_extras(void *arg, const struct row *row)
{
    bool *found = arg;
    *found = row->comments_n > 0;
    for (size_t i = 0; i < row->n && !*found; i++)
        *found = row->rr[i].disabled;
    return !*found;
}

MUST_USE enum err rows_have_extras(struct build *b, bool *out, struct fault *fault)
{
    struct source_txn *t = NULL;
    enum err err = source_begin(b->full->with->source, SOURCE_READ, &t, fault);
    *out = false;
    if (err == OK)
        err = source_rows(t, b->old_id, (struct bytes){ 0 }, look_for_extras, out);
    source_abort(t);
    return err;
}

/* --- one row -------------------------------------------------------------------------------------------------------- */
static uint16_t covers_of(const struct zone_rr *rr)
{
    struct rd r = rd_over(rr->rdata);
    return rr->type == TYPE_RRSIG ? rd_u16(&r) : 0;
}

struct covered { const struct zone_rr *rr; uint16_t covers; };
struct set { struct row row; struct row_rr *rr; struct bytes *rdata; struct covered *by; };     /* arrays: with room for all records of a run */

static int by_covers(const void *a, const void *b)
{
    const struct covered *x = a, *y = b;
    int c = (x->covers > y->covers) - (x->covers < y->covers);
    return c != 0 ? c : (x->rr > y->rr) - (x->rr < y->rr);
}

/* s->by [from, to), all of one RRset, in order and without doubles, with the least TTL. */
static void collect(struct set *s, size_t from, size_t to)
{
    const struct zone_rr *first = s->by[from].rr;
    size_t n = 0;
    s->row = (struct row){ .owner = first->owner, .type = first->type, .covers = s->by[from].covers, .ttl = UINT32_MAX, .rr = s->rr };
    for (size_t i = from; i < to; i++) {
        s->rdata[n++] = s->by[i].rr->rdata;
        s->row.ttl = s->by[i].rr->ttl < s->row.ttl ? s->by[i].rr->ttl : s->row.ttl;
    }
    s->row.n = rrset_sort_names(s->row.type, s->rdata, n);
    for (size_t i = 0; i < s->row.n; i++)
        s->rr[i] = (struct row_rr){ s->rdata[i], false };
}

static bool has_record(const struct row *row, struct bytes rdata)
{
    for (size_t i = 0; i < row->n; i++)
        if (!row->rr[i].disabled && bytes_equal(row->rr[i].rdata, rdata))
            return true;
    return false;
}

static bool row_same(const struct row *a, const struct row *b)
{
    bool same = a->ttl == b->ttl && a->n == b->n && a->comments_n + b->comments_n == 0;
    for (size_t i = 0; i < a->n && same; i++)
        same = bytes_equal(a->rr[i].rdata, b->rr[i].rdata) ? !b->rr[i].disabled : has_record(b, a->rr[i].rdata);
    return same;
}

/* What did not change keeps the time of its last change. */
static enum err put_row(struct build *b, struct source_txn *t, struct row *row, struct fault *fault)
{
    struct row before;
    row->modified_s = clock_wall_ms() / 1000;
    enum err err = b->has_row ? source_row(t, b->old_id, row->owner, row->type, row->covers, &before) : ERR_NOTFOUND;
    if (err == OK && row_same(row, &before))
        row->modified_s = before.modified_s;
    if (err != OK && err != ERR_NOTFOUND)
        return fault_set(fault, err, "cannot read the zone's records: %s", err_text(err));
    return source_row_put(t, b->fresh_id, row, fault);
}

/* The rows of records [from, to), all of one owner and type: signatures by what they cover. */
static enum err put_run(struct build *b, struct source_txn *t, size_t from, size_t to, struct fault *fault)
{
    const struct zone *z = b->zone;
    size_t n = to - from;
    struct set s = { .rr = calloc(n, sizeof *s.rr), .rdata = calloc(n, sizeof *s.rdata), .by = calloc(n, sizeof *s.by) };
    enum err err = s.rr != NULL && s.rdata != NULL && s.by != NULL ? OK : ERR_NOMEM;
    for (size_t i = 0; i < n && err == OK; i++)
        s.by[i] = (struct covered){ &z->rr[from + i], covers_of(&z->rr[from + i]) };
    if (err == OK && z->rr[from].type == TYPE_RRSIG)
        qsort(s.by, n, sizeof *s.by, by_covers);
    for (size_t i = 0, end; i < n && err == OK; i = end) {
        for (end = i + 1; end < n && s.by[end].covers == s.by[i].covers; end++)
            ;
        collect(&s, i, end);
        err = put_row(b, t, &s.row, fault);
    }
    free(s.by);
    free(s.rr);
    free(s.rdata);
    return err;
}

/* --- many ----------------------------------------------------------------------------------------------------------- */
/* The records stand in the order of the build: by owner, then type. */
static size_t run_behind(const struct zone *z, size_t from)
{
    size_t to = from + 1;
    while (to < z->n && z->rr[to].type == z->rr[from].type && bytes_equal(z->rr[to].owner, z->rr[from].owner))
        to++;
    return to;
}

MUST_USE enum err rows_write(struct build *b, struct source_txn *t, uint64_t until_us, struct fault *fault)
{
    enum err err = b->fresh_id == 0 ? source_fresh_id(t, &b->fresh_id, fault) : OK;
    for (unsigned n = 1; err == OK && b->rows_at < b->zone->n; n++) {
        size_t to = run_behind(b->zone, b->rows_at);
        if ((err = put_run(b, t, b->rows_at, to, fault)) != OK)
            break;
        b->rows_at = to;
        if (n % LOOK_EVERY == 0 && clock_mono_us() >= until_us)
            break;
    }
    b->rows_written = err == OK && b->rows_at == b->zone->n;
    return err;
}

static enum err write_piece(struct build *b, struct fault *fault)
{
    struct source_txn *t = NULL;
    uint64_t id = b->fresh_id;
    enum err err = source_begin(b->full->with->source, SOURCE_WRITE, &t, fault);
    if (err != OK)
        return err;
    if ((err = rows_write(b, t, clock_mono_us() + PIECE_US, fault)) != OK)
        source_abort(t);
    else
        err = source_commit(t, fault);
    if (err != OK)
        b->fresh_id = id;           /* that of a transaction which was not is anybody's */
    return err;
}

MUST_USE enum err rows_write_ahead(struct build *b, struct fault *fault)
{
    static const struct timespec pause = { 0, PAUSE_NS };       /* else the lock might never be another's */
    enum err err = OK;
    if (b->zone->n <= FEW)
        return OK;
    while (err == OK && !b->rows_written && !b->full->stop) {
        err = write_piece(b, fault);
        (void)nanosleep(&pause, NULL);
    }
    return err;
}
