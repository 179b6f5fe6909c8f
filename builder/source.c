#include "builder/source_calls.h"

void source_close(struct source *s)
{
    if (s != NULL)
        s->calls->close(s);
}
MUST_USE enum err source_begin(struct source *s, enum source_mode mode, struct source_txn **out, struct fault *fault)
{
    return s->calls->begin(s, mode, out, fault);
}
MUST_USE enum err source_commit(struct source_txn *t, struct fault *fault) { return t->calls->commit(t, fault); }
MUST_USE enum err source_kept(struct source_txn *t, struct bytes *out) { return t->calls->kept(t, out); }
MUST_USE enum err source_commit_soft(struct source_txn *t, struct fault *fault) { return t->calls->commit_soft(t, fault); }
MUST_USE enum err source_again(struct source *s, struct bytes kept, struct fault *fault) { return s->calls->again(s, kept, fault); }
MUST_USE enum err source_settle(struct source *s, struct fault *fault) { return s->calls->settle(s, fault); }
void source_bar(struct source *s, bool on) { s->calls->bar(s, on); }
void source_abort(struct source_txn *t)
{
    if (t != NULL)
        t->calls->abort(t);
}
MUST_USE enum err source_commit_later(struct source_txn *t, struct fault *fault) { return t->calls->commit_later(t, fault); }
void source_on_hold(struct source *s, void (*want)(void *arg), void *arg) { s->calls->on_hold(s, want, arg); }
MUST_USE enum err source_let_go(struct source *s, struct fault *fault) { return s->calls->let_go(s, fault); }
bool source_is_held(struct source *s) { return s->calls->is_held(s); }
bool source_is_barred(struct source *s) { return s->calls->is_barred(s); }
bool source_is_broken(struct source *s)
{
    struct source_figures f = { .broken = true };
    return source_figures(s, &f) != OK || f.broken;
}
uint64_t source_version(const struct source *s) { return s->calls->version(s); }
MUST_USE enum err source_figures(struct source *s, struct source_figures *out) { return s->calls->figures(s, out); }

/* --- zones --------------------------------------------------------------------------------------------------------- */
MUST_USE enum err source_zone(struct source_txn *t, struct bytes apex, struct zone_row *out)
{
    return t->calls->zone(t, apex, out);
}
MUST_USE enum err source_zone_next(struct source_txn *t, struct bytes after, struct zone_row *out)
{
    return t->calls->zone_next(t, after, out);
}
MUST_USE enum err source_fresh_id(struct source_txn *t, uint64_t *out, struct fault *fault)
{
    return t->calls->fresh_id(t, out, fault);
}
MUST_USE enum err source_drop_id(struct source_txn *t, uint64_t id, struct fault *fault)
{
    return t->calls->drop_id(t, id, fault);
}
MUST_USE enum err source_zone_put(struct source_txn *t, const struct zone_row *z, struct fault *fault)
{
    return t->calls->zone_put(t, z, fault);
}
MUST_USE enum err source_zone_del(struct source_txn *t, struct bytes apex, struct fault *fault)
{
    return t->calls->zone_del(t, apex, fault);
}
MUST_USE enum err source_zone_count(struct source_txn *t, uint64_t *out) { return t->calls->zone_count(t, out); }
MUST_USE enum err source_secondary(struct source_txn *t, struct bytes apex, struct refresh_kept *out)
{
    return t->calls->secondary(t, apex, out);
}
MUST_USE enum err source_secondary_put(struct source_txn *t, struct bytes apex, const struct refresh_kept *k, struct fault *fault)
{
    return t->calls->secondary_put(t, apex, k, fault);
}
MUST_USE enum err source_secondary_del(struct source_txn *t, struct bytes apex, struct fault *fault)
{
    return t->calls->secondary_del(t, apex, fault);
}

/* --- rows ---------------------------------------------------------------------------------------------------------- */
MUST_USE enum err source_row(struct source_txn *t, uint64_t zone, struct bytes owner, uint16_t type, uint16_t covers,
                             struct row *out)
{
    return t->calls->row(t, zone, owner, type, covers, out);
}
MUST_USE enum err source_owner(struct source_txn *t, uint64_t zone, struct bytes owner, const struct row **out, size_t *n)
{
    return t->calls->owner(t, zone, owner, out, n);
}
MUST_USE enum err source_rows(struct source_txn *t, uint64_t zone, struct bytes from, row_visit_fn *visit, void *arg)
{
    return t->calls->rows(t, zone, from, visit, arg);
}
MUST_USE enum err source_row_put(struct source_txn *t, uint64_t zone, const struct row *row, struct fault *fault)
{
    return t->calls->row_put(t, zone, row, fault);
}
MUST_USE enum err source_sweep(struct source_txn *t, unsigned most, bool *left, struct fault *fault)
{
    return t->calls->sweep(t, most, left, fault);
}

/* --- outbox -------------------------------------------------------------------------------------------------------- */
MUST_USE enum err source_event_add(struct source_txn *t, struct event *e, struct fault *fault)
{
    return t->calls->event_add(t, e, fault);
}
MUST_USE enum err source_events(struct source_txn *t, uint64_t from, event_visit_fn *visit, void *arg)
{
    return t->calls->events(t, from, visit, arg);
}
MUST_USE enum err source_event_done(struct source_txn *t, uint64_t number, struct fault *fault)
{
    return t->calls->event_done(t, number, fault);
}
MUST_USE enum err source_mark(struct source_txn *t, struct source_mark *out) { return t->calls->mark(t, out); }
MUST_USE enum err source_mark_put(struct source_txn *t, const struct source_mark *m, struct fault *fault)
{
    return t->calls->mark_put(t, m, fault);
}

/* --- history ------------------------------------------------------------------------------------------------------- */
MUST_USE enum err source_history_add(struct source_txn *t, struct history_row *h, struct fault *fault)
{
    return t->calls->history_add(t, h, fault);
}
MUST_USE enum err source_history_del(struct source_txn *t, uint64_t number, struct fault *fault)
{
    return t->calls->history_del(t, number, fault);
}
MUST_USE enum err source_history(struct source_txn *t, enum history_subject subject, struct bytes name, uint64_t before,
                                 history_visit_fn *visit, void *arg)
{
    return t->calls->history(t, subject, name, before, visit, arg);
}

/* --- TSIG keys ----------------------------------------------------------------------------------------------------- */
MUST_USE enum err source_tsig(struct source_txn *t, struct bytes name, struct tsig_key_row *out)
{
    return t->calls->tsig(t, name, out);
}
MUST_USE enum err source_tsig_next(struct source_txn *t, struct bytes after, struct tsig_key_row *out)
{
    return t->calls->tsig_next(t, after, out);
}
MUST_USE enum err source_tsig_put(struct source_txn *t, const struct tsig_key_row *k, struct fault *fault)
{
    return t->calls->tsig_put(t, k, fault);
}
MUST_USE enum err source_tsig_del(struct source_txn *t, struct bytes name, struct fault *fault)
{
    return t->calls->tsig_del(t, name, fault);
}
