/* What a draft becomes: ops for the store, rows and events for the source. */
#include "builder/draft.h"

#include "builder/records.h"
#include "builder/rows.h"
#include "builder/traces.h"

#include <stdlib.h>

/* --- what is published of a change ---------------------------------------------------------------------------------- */
static int by_bytes(const void *a, const void *b) { return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b); }

static bool has(const struct patch_rrset *s, struct bytes rdata)
{
    for (size_t i = 0; i < s->n; i++)
        if (bytes_equal(s->rdata[i], rdata))
            return true;
    return false;
}

/* Many of them: sorted copies, side by side. */
static bool same_sorted(const struct patch_rrset *a, const struct patch_rrset *b)
{
    struct bytes *x = malloc(a->n * sizeof *x), *y = malloc(b->n * sizeof *y);
    bool same = x != NULL && y != NULL;
    if (same) {
        memcpy(x, a->rdata, a->n * sizeof *x);
        memcpy(y, b->rdata, b->n * sizeof *y);
        qsort(x, a->n, sizeof *x, by_bytes);
        qsort(y, b->n, sizeof *y, by_bytes);
    }
    for (size_t i = 0; same && i < a->n; i++)
        same = bytes_equal(x[i], y[i]);
    free(x);
    free(y);
    return same;
}

bool patch_rrset_same(const struct patch_rrset *a, const struct patch_rrset *b)
{
    if (a->n != b->n || (a->n > 0 && a->ttl != b->ttl))
        return false;
    if (a->n > 32)
        return same_sorted(a, b);
    for (size_t i = 0; i < a->n; i++)
        if (!has(b, a->rdata[i]) || !has(a, b->rdata[i]))
            return false;
    return true;
}

/* Of the newest set of an RRset: is another RRset published than before the group? */
static enum err moves(struct draft *d, const struct draft_set *s, struct patch_rrset *after, bool *out)
{
    struct patch_rrset before;
    enum err err = draft_published(d, &d->set[s->first].before, &before);
    if (err == OK)
        err = draft_published(d, &s->after, after);
    if (err == OK)
        *out = !patch_rrset_same(&before, after);
    return err;
}

static enum err any_moves(struct draft *d, bool *out)
{
    struct patch_rrset after;
    enum err err = OK;
    *out = false;
    for (size_t i = 0; err == OK && i < d->n && !*out; i++)
        if (draft_is_newest(d, &d->set[i]))
            err = moves(d, &d->set[i], &after, out);
    return err;
}

/* --- the serial ---------------------------------------------------------------------------------------------------- */
static struct row_rr *first_enabled(struct row_rr *rr, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!rr[i].disabled)
            return &rr[i];
    return NULL;
}

/* A change that says a later serial keeps it; and so do all where nobody but the changes counts. */
static enum err move_serial(struct draft *d, struct fault *fault)
{
    struct row soa;
    uint32_t says;
    enum err err = draft_row(d, name_bytes(&d->apex), TYPE_SOA, 0, &soa, fault);
    if (err != OK)
        return err == ERR_NOTFOUND ? OK : err;          /* the guards will say so */
    struct row_rr *rr = arena_take(&d->arena, (soa.n + 1) * sizeof *rr), *live;
    if (rr == NULL)
        return ERR_NOMEM;
    memcpy(rr, soa.rr, soa.n * sizeof *rr);
    if ((live = first_enabled(rr, soa.n)) == NULL)
        return OK;
    if (soa_serial(live->rdata, &says) != OK)
        return fault_set(fault, ERR_REFUSED, "the SOA breaks its form");
    d->serial_after = says;
    enum serial_policy policy = d->settings.serial;
    if (policy == SERIAL_KEEP && d->with.via == VIA_UPDATE)      /* RFC 2136 section 3.6: it moves unless the update says how */
        policy = SERIAL_INCREMENT;
    if (!d->live || policy == SERIAL_KEEP || serial_later(says, d->serial))
        return OK;
    d->serial_after = serial_next(policy, d->serial, d->with.now_s);
    live->rdata = arena_copy(&d->arena, live->rdata);
    if (live->rdata.ptr == NULL || soa_serial_put((uint8_t *)(uintptr_t)live->rdata.ptr, live->rdata.len, d->serial_after) != OK)
        return ERR_NOMEM;
    soa.rr = rr;
    return draft_put(d, &soa, fault);
}

/* --- ops ----------------------------------------------------------------------------------------------------------- */
static enum err build_patch(struct draft *d, const struct draft_build *how, struct complaints *c, struct op_list *out,
                            struct fault *fault)
{
    struct patch_rrset after;
    bool moved;
    enum err err = OK;
    patch_close(d->patch);                  /* another may have been built from it */
    d->patch = NULL;
    err = patch_open(&d->patch, name_bytes(&d->apex), d->with.view, fault);
    for (size_t i = 0; err == OK && i < d->n; i++) {
        if (!draft_is_newest(d, &d->set[i]))
            continue;
        err = moves(d, &d->set[i], &after, &moved);
        if (err == OK && moved)
            err = patch_set(d->patch, d->set[i].after.owner, &after);
    }
    struct patch_options o = { .force = how->force, .crew = how->crew, .strict = d->settings.strict };
    return err != OK ? err : patch_build(d->patch, &o, c, out, fault);
}

/* All rows of a zone that has no data yet, with what was set in place of what is stored. */
struct whole { struct draft *d; struct zone *zone; enum err err; };

static void add_row(struct whole *w, const struct row *row)
{
    for (size_t i = 0; w->err == OK && i < row->n; i++)
        if (!row->rr[i].disabled)
            w->err = zone_add(w->zone, row->owner, row->type, row->ttl, row->rr[i].rdata, 0);
}

static bool on_row(void *arg, const struct row *row)
{
    struct whole *w = arg;
    if (draft_find(w->d, row->owner, row->type, row->covers) == NULL)
        add_row(w, row);
    return w->err == OK;
}

static enum err build_whole(struct draft *d, const struct draft_build *how, struct complaints *c, struct op_list *out,
                            struct fault *fault)
{
    struct zone_build_options o = { .kind = d->settings.kind, .force = how->force, .crew = how->crew,
                                    .strict = d->settings.strict, .now_s = d->with.now_s };
    struct zone zone;
    zone_init(&zone, name_bytes(&d->apex), "records");
    struct whole w = { d, &zone, OK };
    enum err err = d->has_rows ? source_rows(d->with.txn, d->row.id, bytes_of("", 0), on_row, &w) : OK;
    for (size_t i = 0; i < d->n && w.err == OK; i++)
        if (draft_is_newest(d, &d->set[i]))
            add_row(&w, &d->set[i].after);
    if (err == OK)
        err = w.err;
    if (err == OK)
        err = zone_build(&zone, d->with.view, &o, c, out, fault);
    zone_release(&zone);
    return err;
}

MUST_USE enum err draft_build(struct draft *d, const struct draft_build *how, struct complaints *c, struct op_list *out,
                              struct fault *fault)
{
    bool moved;
    out->n = 0;
    enum err err = any_moves(d, &moved);
    if (err != OK || !moved)
        return err;
    if ((err = move_serial(d, fault)) != OK)
        return err;
    return d->live ? build_patch(d, how, c, out, fault) : build_whole(d, how, c, out, fault);
}

/* --- rows and events ------------------------------------------------------------------------------------------------ */
static enum err row_bytes(struct draft *d, const struct row *row, struct bytes *out)
{
    *out = bytes_of("", 0);
    if (row->n == 0 && row->comments_n == 0)
        return OK;
    size_t cap = row_size(row);
    struct wr w = wr_over(arena_take(&d->arena, cap), cap);
    if (w.buf == NULL)
        return ERR_NOMEM;
    row_write(&w, row);
    *out = wr_done(&w);
    return w.full ? ERR_LIMIT : OK;
}

static enum err add_event(struct draft *d, struct event *e, const struct draft_set *s, struct fault *fault)
{
    enum err err = row_bytes(d, &d->set[s->first].before, &e->before);
    if (err == OK)
        err = row_bytes(d, &s->after, &e->after);
    e->owner = s->after.owner;
    e->type = s->after.type;
    e->covers = s->after.covers;
    if (err == OK)
        err = source_event_add(d->with.txn, e, fault);
    if (err == OK)
        d->event[d->events++] = e->number;
    return err;
}

static enum err store_set(struct draft *d, struct event *e, const struct draft_set *s, struct fault *fault)
{
    struct patch_rrset after;
    bool moved;
    enum err err = source_row_put(d->with.txn, d->row.id, &s->after, fault);
    if (err == OK)
        err = moves(d, s, &after, &moved);
    return err != OK || !moved ? err : add_event(d, e, s, fault);
}

static enum err put_settings(struct draft *d, struct source_txn *txn, struct bytes text, struct fault *fault)
{
    struct zone_row row = d->row;
    row.settings = text;
    return d->settings_text.ptr == NULL ? OK : source_zone_put(txn, &row, fault);
}

/* Who did it stands beside them: no data shows it. */
static enum err trace_settings(struct draft *d, const struct author *author, struct fault *fault)
{
    struct head h = { .seq = 0 };
    struct bytes before = d->row.settings.len > 0 ? d->row.settings : bytes_of_text("{}");
    d->trace = 0;
    if (d->settings_text.ptr == NULL)
        return OK;
    enum err err = view_head(d->with.view, &h, NULL);
    if (err != OK && err != ERR_NOTFOUND)
        return fault_set(fault, err, "cannot read the store: %s", err_text(err));
    struct trace of = { name_bytes(&d->apex), author, h.epoch, h.seq };
    return trace_zone(d->with.txn, &of, before, d->settings_text, &d->trace, fault);
}

MUST_USE enum err draft_store(struct draft *d, const struct author *author, bool force, struct fault *fault)
{
    uint8_t by[AUTHOR_BYTES_MAX];
    struct wr w = wr_over(by, sizeof by);
    author_write(&w, author);
    struct event e = { .kind = EVENT_ROW, .apex = d->apex, .force = force, .author = wr_done(&w) };
    enum err err = put_settings(d, d->with.txn, d->settings_text, fault);
    if (err == OK)
        err = trace_settings(d, author, fault);
    d->events = 0;
    if (err == OK && (d->event = arena_take(&d->arena, (d->n + 1) * sizeof *d->event)) == NULL)
        err = ERR_NOMEM;
    for (size_t i = 0; err == OK && d->has_rows && i < d->n; i++)
        if (draft_is_newest(d, &d->set[i]))
            err = store_set(d, &e, &d->set[i], fault);
    return err;
}

MUST_USE enum err draft_put_back(struct draft *d, struct source_txn *txn, struct fault *fault)
{
    enum err err = put_settings(d, txn, d->row.settings, fault);
    for (size_t i = 0; err == OK && d->has_rows && i < d->n; i++)
        if (d->set[i].hides == DRAFT_NONE)          /* the oldest of its RRset */
            err = source_row_put(txn, d->row.id, &d->set[i].before, fault);
    if (err == OK && d->trace > 0)
        err = source_history_del(txn, d->trace, fault);
    for (size_t i = 0; err == OK && i < d->events; i++)
        err = source_event_done(txn, d->event[i], fault);
    return err;
}
