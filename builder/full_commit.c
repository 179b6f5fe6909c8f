/* The last job of a build: records, log and store, in this order. */
#include "builder/full_parts.h"

#include "base/clock.h"
#include "builder/traces.h"
#include "replicator/commit.h"

#include <stdlib.h>

/* --- events that are done ------------------------------------------------------------------------------------------- */
static enum err done_add(struct full *f, uint64_t number)
{
    if (f->done_n == f->done_cap) {
        size_t cap = f->done_cap == 0 ? 64 : f->done_cap * 2;
        uint64_t *more = realloc(f->done, cap * sizeof *more);
        if (more == NULL)
            return ERR_NOMEM;
        f->done = more;
        f->done_cap = cap;
    }
    f->done[f->done_n++] = number;
    return OK;
}

MUST_USE enum err full_drop_events(struct full *f, struct source_txn *t, struct fault *fault)
{
    for (size_t i = 0; i < f->done_n; i++) {
        enum err err = source_event_done(t, f->done[i], fault);
        if (err != OK && err != ERR_NOTFOUND)
            return err;
    }
    return OK;
}

/* The zone is in the store: its event goes now, in a transaction of its own. One that cannot be dropped stays, and costs no
 * more than a build at the next start. The source's mark is the changer's: it knows whether all zones are level. */
static void event_done(struct full *f, uint64_t number)
{
    struct source_txn *t = NULL;
    struct fault fault = { "" };
    if (done_add(f, number) != OK || source_begin(f->with->source, SOURCE_WRITE, &t, &fault) != OK)
        return;
    enum err err = full_drop_events(f, t, &fault);
    if (err != OK)
        source_abort(t);
    else
        err = source_commit(t, &fault);
    if (err == OK)
        f->done_n = 0;
}

void build_drop_rows(struct build *b)
{
    struct source_txn *t = NULL;
    struct fault fault = { "" };
    if (b->fresh_id == 0 || source_begin(b->full->with->source, SOURCE_WRITE, &t, &fault) != OK)
        return;
    enum err err = source_drop_id(t, b->fresh_id, &fault);
    if (err != OK)
        source_abort(t);
    else
        err = source_commit(t, &fault);
    b->fresh_id = 0;                /* else the next start finds them */
}

/* --- records -------------------------------------------------------------------------------------------------------- */
/* Does this build change what the source says? */
static bool writes_source(const struct build *b)
{
    switch (build_change(b)->kind) {
    case CHANGE_CREATE:
    case CHANGE_NATIVE:
        return true;
    case CHANGE_WHOLE:
        return b->kind == ZONE_NATIVE;
    case CHANGE_REMOVE:
        return b->has_row;
    default:
        return false;
    }
}

/* The zone's row is what it was when the build began: its edits waited, so nobody changed it. */
static enum err row_is_same(const struct build *b, struct source_txn *t, struct fault *fault)
{
    struct zone_row row;
    enum err err = source_zone(t, name_bytes(&b->apex), &row);
    if (err != OK && err != ERR_NOTFOUND)
        return fault_set(fault, err, "cannot read the zone's row: %s", err_text(err));
    if ((err == OK) != b->has_row || (err == OK && row.id != b->old_id))
        return fault_set(fault, ERR_STALE, "the zone was made anew meanwhile");
    return OK;
}

static struct bytes settings_of(const struct build *b)
{
    const struct change *c = build_change(b);
    return c->kind == CHANGE_CREATE ? c->settings : b->new_settings.ptr != NULL ? b->new_settings : b->old_settings;
}

/* Nobody asks for it any more: what a scheduler knew of it goes. */
static enum err drop_kept(struct build *b, struct source_txn *t, struct fault *fault)
{
    enum err err = source_secondary(t, name_bytes(&b->apex), &b->kept);
    b->has_kept = err == OK;
    if (err == OK || err == ERR_BAD)
        err = source_secondary_del(t, name_bytes(&b->apex), fault);
    return err == ERR_NOTFOUND ? OK : err;
}

static enum err put_zone(struct build *b, struct source_txn *t, struct fault *fault)
{
    const struct change *c = build_change(b);
    struct zone_row row = { .apex = b->apex, .id = b->old_id, .settings = settings_of(b) };
    enum err err;
    if (c->kind == CHANGE_REMOVE)
        return source_zone_del(t, name_bytes(&b->apex), fault);
    if (c->kind == CHANGE_NATIVE && !b->promotes)
        return source_zone_put(t, &row, fault);
    if (b->promotes && (err = drop_kept(b, t, fault)) != OK)
        return err;
    if (build_has_rows(b) && !b->rows_written && (err = rows_write(b, t, UINT64_MAX, fault)) != OK)
        return err;
    if (b->fresh_id == 0 && (err = source_fresh_id(t, &b->fresh_id, fault)) != OK)
        return err;
    row.id = b->fresh_id;
    return source_zone_put(t, &row, fault);
}

/* That the zone was made, removed or made native, by whom, and its settings. */
static enum err trace(struct build *b, struct source_txn *t, struct fault *fault)
{
    const struct change *c = build_change(b);
    struct head h = { .seq = 0 };
    struct bytes none = { 0 }, braces = bytes_of_text("{}"), was = b->old_settings.len > 0 ? b->old_settings : braces, is = settings_of(b);
    b->trace = 0;
    if (c->kind != CHANGE_CREATE && c->kind != CHANGE_REMOVE && c->kind != CHANGE_NATIVE)
        return OK;
    enum err err = view_head(b->view, &h, NULL);
    if (err != OK && err != ERR_NOTFOUND)
        return fault_set(fault, err, "cannot read the store: %s", err_text(err));
    struct trace of = { name_bytes(&b->apex), &c->author, h.epoch, h.seq };
    return trace_zone(t, &of, c->kind == CHANGE_CREATE ? none : was, c->kind == CHANGE_REMOVE ? none : is.len > 0 ? is : braces, &b->trace, fault);
}

static enum err write_source(struct build *b, struct source_txn *t, uint64_t *event, struct fault *fault)
{
    const struct change *c = build_change(b);
    uint8_t author[AUTHOR_BYTES_MAX];
    struct wr w = wr_over(author, sizeof author);
    author_write(&w, &c->author);
    struct event e = { .kind = c->kind == CHANGE_REMOVE ? EVENT_GONE : EVENT_WHOLE, .apex = b->apex, .force = c->force,
                       .author = wr_done(&w) };
    enum err err = row_is_same(b, t, fault);
    if (err == OK)
        err = full_drop_events(b->full, t, fault);
    if (err == OK)
        err = put_zone(b, t, fault);
    if (err == OK)
        err = trace(b, t, fault);
    if (err == OK)
        err = source_event_add(t, &e, fault);
    *event = e.number;
    return err;
}

/* The store has no room for what the records say already: they say again what they said. */
static bool put_back(struct build *b, uint64_t event)
{
    struct source_txn *t = NULL;
    struct fault fault = { "" };
    struct zone_row row = { .apex = b->apex, .id = b->old_id, .settings = b->old_settings };
    enum err err = source_begin(b->full->with->source, SOURCE_WRITE, &t, &fault);
    if (err != OK)
        return false;
    err = b->has_row ? source_zone_put(t, &row, &fault) : source_zone_del(t, name_bytes(&b->apex), &fault);
    if (err == OK && b->has_kept)
        err = source_secondary_put(t, name_bytes(&b->apex), &b->kept, &fault);
    if (err == OK)
        err = source_event_done(t, event, &fault);
    if (err == OK && b->trace > 0)
        err = source_history_del(t, b->trace, &fault);
    if (err == OK)
        return source_commit(t, &fault) == OK;
    source_abort(t);
    return false;
}

/* --- log and store -------------------------------------------------------------------------------------------------- */
static enum err stage(struct build *b, uint64_t *seq, struct fault *fault)
{
    const struct change *c = build_change(b);
    struct committer *committer = b->full->with->committer;
    if (b->ops.n == 0)
        return OK;
    enum err err = commit_stage(committer, b->ops.ops, b->ops.n, seq, fault);
    if (err == OK)
        err = journal_note(committer, b->view, name_bytes(&b->apex), b->ops.ops, b->ops.n, *seq, &c->author, c->force, fault);
    return err;
}

/* true: what is staged is in the log. */
static bool flush(struct build *b, bool wrote, uint64_t event, struct fault *fault)
{
    struct change_result *r = build_result(b);
    enum err err = b->ops.n > 0 ? commit_flush(b->full->with->committer, fault) : OK;
    if (err == OK)
        return true;
    (void)build_fail(b, err, fault);
    r->end = err == ERR_FULL && (!wrote || put_back(b, event)) ? CHANGE_FAILED : CHANGE_UNKNOWN;
    return false;
}

static void commit(struct build *b)
{
    struct full *f = b->full;
    struct change_result *r = build_result(b);
    struct source_txn *t = NULL;
    struct fault fault = { "" };
    uint64_t event = 0, seq = r->seq, id = b->fresh_id;
    bool writes = writes_source(b), unknown = false;
    enum err err = writes ? source_begin(f->with->source, SOURCE_WRITE, &t, &fault) : OK;
    if (err == OK && writes)
        err = write_source(b, t, &event, &fault);
    if (err == OK)
        err = stage(b, &seq, &fault);
    if (err == OK && writes) {
        err = source_commit(t, &fault);
        t = NULL;
        f->done_n = err == OK ? 0 : f->done_n;
        unknown = err != OK && source_is_broken(f->with->source);
    }
    if (err != OK) {
        source_abort(t);
        commit_drop(f->with->committer);
        b->fresh_id = id;
        (void)build_fail(b, err, &fault);
        r->end = unknown ? CHANGE_UNKNOWN : r->end;
        return;
    }
    b->fresh_id = 0;                /* the zone points there */
    if (!flush(b, writes, event, &fault))
        return;
    r->end = CHANGE_DONE;
    r->seq = seq;
    r->epoch = commit_epoch(f->with->committer);
    if (writes)
        event_done(f, event);
}

/* --- the job -------------------------------------------------------------------------------------------------------- */
/* core.zones may name it since: that job and this one run in the same thread, so one of them sees the other. */
static enum err still_free(struct build *b)
{
    const struct changer_options *with = b->full->with;
    if (build_change(b)->kind != CHANGE_CREATE || with->is_configured == NULL
        || !with->is_configured(with->configured_arg, name_bytes(&b->apex)))
        return OK;
    return build_refuse(b, ERR_EXISTS, "core.zones names this zone: it comes from its file");
}

/* The ops hold for the state as it is now. *again: they do not, and another thread is to make new ones. */
static enum err make_sure(struct build *b, bool *again)
{
    struct fault fault = { "" };
    uint8_t header[sizeof b->header_hash];
    bool same = false;
    *again = false;
    enum err err = build_header_hash(b, header, &fault);
    if (err == OK)
        err = around_same(&b->around, name_bytes(&b->apex), b->view, &same, &fault);
    if (err != OK)
        return build_fail(b, err, &fault);
    bool itself = memcmp(header, b->header_hash, sizeof header) != 0;
    same = same && !itself;
    if (same)
        return OK;
    if (itself && b->promotes)          /* its records were read already */
        return build_refuse(b, ERR_NOTNOW, "the zone changed meanwhile: ask again");
    if (++b->tries < FULL_TRIES) {
        *again = true;
        return OK;
    }
    stat_add(&b->full->stats.in_writer, 1);
    return build_ops(b);
}

void build_commit(struct build *b)
{
    struct full *f = b->full;
    struct fault fault = { "" };
    bool again = false;
    enum err err = commit_settle(f->with->committer, &fault);   /* else it came with commit_stage, behind the view */
    if (err == OK || err == ERR_NOTNOW)
        err = view_begin(b->view);
    if (err != OK) {
        (void)build_fail(b, err, &fault);
        full_end(f, b);
        return;
    }
    if ((err = still_free(b)) == OK)
        err = make_sure(b, &again);
    if (err == OK && !again)
        commit(b);
    view_end(b->view);
    if (again)
        full_again(f, b);
    else
        full_end(f, b);
}
