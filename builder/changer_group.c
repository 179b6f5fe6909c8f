/* A group of changes: planned, built and committed with one sync, ahead of the log; source, log and data follow.
 *
 *     source txn, view ─► each zone: draft ─► each change: plan, guards ─► patch ─► stage, journal, rows, events
 *            ├─► small: commit_ahead, with the source's bytes ─► (subscribers hear of it) ─► commit_flush ─► source_commit_later ─► told
 *            └─► large: source_commit ─► commit_flush ─► told
 *
 * What fails as a whole is tried again in halves, so that one change takes no other with it. Behind commit_ahead the change is true,
 * and changer_settle brings source and store there. Behind source_commit the log is all that can fail: when it certainly took
 * nothing, the rows are put back; else the event in the outbox makes it true. */
#include "builder/changer_parts.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

struct part {                       /* the changes to one zone */
    struct draft *draft;            /* NULL: none of them can be */
    struct change **v;
    size_t n, accepted;
    struct op_list ops;
    struct complaints complaints;
    uint64_t seq;                   /* 0: nothing is staged */
    bool apart;                     /* together they are refused: each half is looked at */
};
struct group {
    struct changer *ch;
    struct change **v;
    size_t n;
    struct part *part;
    size_t parts;
    size_t dropped;                 /* events that the transaction drops */
    struct source_txn *txn;
    struct fault *fault;
    bool viewing;
    bool stored, staged;            /* something is to be committed: in the source, in the log */
};

bool group_shares(const struct change *a, const struct change *b)
{
    return a->author.via == b->author.via && a->force == b->force && strcmp(a->author.name, b->author.name) == 0
        && strcmp(a->author.address, b->author.address) == 0 && !a->want_difference && !b->want_difference;
}

/* The machine failed, not what was asked. */
static bool of_the_machine(enum err err)
{
    return err == ERR_NOMEM || err == ERR_STORE || err == ERR_FULL || err == ERR_IO;
}

static void no(struct change *c, enum err err, const struct fault *fault)
{
    changer_end(c, of_the_machine(err) ? CHANGE_FAILED : CHANGE_REFUSED, err, fault);
}

static bool accepted(const struct change *c) { return c->result.end == CHANGE_DONE; }

/* --- plans ------------------------------------------------------------------------------------------------------------ */
static void result_begin(struct change *c)
{
    difference_release(&c->result.difference);
    c->result.end = CHANGE_DONE;
    c->result.err = OK;
    c->result.changed = false;
    c->result.fault.text[0] = '\0';
    c->result.epoch = c->result.seq = 0;
    c->result.serial = 0;
    c->result.complaints.errors_n = c->result.complaints.warnings_n = 0;
    difference_init(&c->result.difference);
}

/* When another change of the zone goes with it, the serial is on its way already. */
static enum err check_serial(const struct draft *d, const struct change *c, struct fault *fault)
{
    if (!c->has_if_serial || (c->if_serial == d->serial && d->live && d->n == 0))
        return OK;
    return d->n > 0 ? fault_set(fault, ERR_STALE, "the zone's serial has moved on from %u", (unsigned)d->serial)
                    : fault_set(fault, ERR_STALE, "the zone's serial is %u", (unsigned)d->serial);
}

static void plan_one(struct draft *d, struct change *c)
{
    struct fault *fault = &c->result.fault;
    struct draft_mark mark = draft_mark(d);
    enum err err = check_serial(d, c, fault), undone;
    if (err == OK)
        err = c->plan(c->arg, d, fault);
    if (err == OK)
        err = draft_guard(d, mark, &c->result.complaints, fault);
    if (err == OK) {
        c->result.changed = draft_moved(d, mark);
        return;
    }
    no(c, err, fault);
    undone = draft_undo(d, mark);
    if (undone != OK)
        c->result.err = undone;         /* out of memory: the draft cannot go on, see plan_part */
}

static enum err open_draft(struct changer *ch, struct source_txn *t, const struct change *c, struct draft **out, struct fault *fault)
{
    struct draft_with with = { .txn = t, .view = ch->view, .now_s = commit_time_ms(ch->o.committer) / 1000, .via = c->author.via,
                               .kept = &ch->settings };
    return draft_open(out, name_bytes(&c->apex), &with, fault);
}

/* The zone's changes, until the group is as large as it may be. */
static enum err plan_part(struct group *g, struct part *p, size_t *bytes)
{
    struct fault fault = { "" };
    enum err err = open_draft(g->ch, g->txn, p->v[0], &p->draft, &fault);
    for (size_t i = 0; i < p->n; i++) {
        result_begin(p->v[i]);
        if (err != OK)
            no(p->v[i], err, &fault);
    }
    size_t before = *bytes;
    for (size_t i = 0; err == OK && i < p->n; i++) {
        plan_one(p->draft, p->v[i]);
        p->accepted += accepted(p->v[i]);
        if (p->v[i]->result.err == ERR_NOMEM)
            return ERR_NOMEM;
        *bytes = before + p->draft->bytes;
        if (*bytes > GROUP_BYTES)
            p->n = i + 1;
    }
    return OK;
}

static enum err plan_all(struct group *g)
{
    size_t at = 0, bytes = 0;
    enum err err = OK;
    while (err == OK && at < g->n && bytes <= GROUP_BYTES) {
        struct part *p = &g->part[g->parts++];
        *p = (struct part){ .v = &g->v[at], .n = 1 };
        op_list_init(&p->ops);
        while (at + p->n < g->n && name_equal(name_bytes(&p->v[p->n]->apex), name_bytes(&p->v[0]->apex)))
            p->n++;
        err = plan_part(g, p, &bytes);
        at += p->n;
    }
    g->n = at;
    return err;
}

/* --- builds ----------------------------------------------------------------------------------------------------------- */
static void refuse_part(struct part *p, enum err err, const struct fault *fault)
{
    for (size_t i = 0; i < p->n; i++) {
        struct change *c = p->v[i];
        if (!accepted(c))
            continue;
        no(c, err, fault);
        complaints_join(&c->result.complaints, &p->complaints);
    }
    draft_close(p->draft);
    p->draft = NULL;
    p->ops.n = 0;
}

static enum err build_part(struct group *g, struct part *p)
{
    struct draft_build how = { p->v[0]->force, store_crew(g->ch->o.store) };
    struct fault fault = { "" };
    if (p->draft == NULL || !draft_moved(p->draft, (struct draft_mark){ 0 }))
        return OK;
    enum err err = draft_build(p->draft, &how, &p->complaints, &p->ops, &fault);
    if (err != OK && of_the_machine(err))
        return fault_set(g->fault, err, "%s", fault_text(&fault, err));
    p->apart = err != OK && p->accepted > 1;
    if (err != OK) {
        refuse_part(p, err, &fault);
        return OK;
    }
    for (size_t i = 0; i < p->n; i++)
        if (accepted(p->v[i]))
            complaints_join(&p->v[i]->result.complaints, &p->complaints);
    return OK;
}

static enum err tell_difference(struct group *g, const struct part *p)
{
    struct change *c = p->v[0];
    if (!c->want_difference || p->n > 1 || !accepted(c))
        return OK;
    return difference_of_ops(name_bytes(&p->draft->apex), p->ops.ops, p->ops.n, g->ch->view, CHANGE_DIFFERENCE_MOST,
                             &c->result.difference, g->fault);
}

/* --- into log and source ------------------------------------------------------------------------------------------------ */
static const struct change *first_accepted(const struct part *p)
{
    size_t i = 0;
    while (i + 1 < p->n && !accepted(p->v[i]))
        i++;
    return p->v[i];
}

static enum err stage_part(struct group *g, struct part *p)
{
    const struct change *c = first_accepted(p);
    struct committer *committer = g->ch->o.committer;
    struct bytes apex = name_bytes(&p->draft->apex);
    enum err err = OK;
    if (p->ops.n > 0) {
        err = commit_stage(committer, p->ops.ops, p->ops.n, &p->seq, g->fault);
        if (err == OK)
            err = journal_note(committer, g->ch->view, apex, p->ops.ops, p->ops.n, p->seq, &c->author, c->force, g->fault);
        g->staged = true;
    }
    if (err == OK)
        err = draft_store(p->draft, &c->author, c->force, g->fault);
    g->stored = true;
    return err;
}

/* Behind the new events: a table that empties and fills again costs a page more. */
static enum err drop_done(struct group *g)
{
    g->dropped = g->stored ? g->ch->done_n : 0;
    return g->stored ? changer_drop(g->ch, g->txn, g->fault) : OK;
}

static enum err build_all(struct group *g)
{
    enum err err = OK;
    for (size_t i = 0; i < g->parts && err == OK; i++)
        err = build_part(g, &g->part[i]);
    for (size_t i = 0; i < g->parts && err == OK; i++) {
        struct part *p = &g->part[i];
        if (p->draft == NULL || !draft_moved(p->draft, (struct draft_mark){ 0 }))
            continue;
        if ((err = tell_difference(g, p)) == OK)
            err = stage_part(g, p);
    }
    return err == OK ? drop_done(g) : err;
}

static void end_view(struct group *g)
{
    if (g->viewing)
        view_end(g->ch->view);
    g->viewing = false;
}

static uint64_t events_of(const struct group *g)
{
    uint64_t n = 0;
    for (size_t i = 0; i < g->parts; i++)
        n += g->part[i].draft != NULL ? g->part[i].draft->events : 0;
    return n;
}

static void source_done(struct group *g)
{
    struct changer_stats *s = &g->ch->stats;
    changer_dropped(g->ch, g->dropped);
    stat_set(&s->events, stat_get(&s->events) + events_of(g));
    if (stat_get(&s->oldest_ms) == 0 && stat_get(&s->events) > 0)
        stat_set(&s->oldest_ms, clock_mono_ms());
}

static enum err commit_source(struct group *g)
{
    struct source_txn *t = g->txn;
    g->txn = NULL;
    if (!g->stored) {
        source_abort(t);
        return OK;
    }
    enum err err = source_commit(t, g->fault);
    if (err == OK)
        source_done(g);
    return err;
}

/* The log took nothing: the source shall say so too. */
static enum err put_back(struct group *g)
{
    struct source_txn *t = NULL;
    enum err err = source_begin(g->ch->o.source, SOURCE_WRITE, &t, NULL);
    for (size_t i = 0; err == OK && i < g->parts; i++)
        if (g->part[i].draft != NULL)
            err = draft_put_back(g->part[i].draft, t, NULL);
    if (err != OK) {
        source_abort(t);
        return err;
    }
    if ((err = source_commit(t, NULL)) == OK) {
        struct changer_stats *s = &g->ch->stats;
        stat_set(&s->events, stat_get(&s->events) - events_of(g));
        if (stat_get(&s->events) == 0)
            stat_set(&s->oldest_ms, 0);
    }
    return err;
}

/* What of a part was to be committed has that end now. */
static void end_parts(struct group *g, enum change_end end, enum err err, const struct fault *fault)
{
    for (size_t i = 0; i < g->parts; i++)
        for (size_t k = 0; k < g->part[i].n; k++)
            if (accepted(g->part[i].v[k]) && g->part[i].v[k]->result.changed)
                changer_end(g->part[i].v[k], end, err, fault);
}

static void unknown(struct group *g, enum err err, const char *next)
{
    char why[FAULT_TEXT_MAX + 64];
    g->ch->unsettled = true;
    log_error("changes.unknown", "err=%s next=\"%s\"", log_quote(why, sizeof why, fault_text(g->fault, err)), next);
    changer_again_soon(g->ch);
    end_parts(g, CHANGE_UNKNOWN, err, g->fault);
    changer_hold_lost(g->ch);           /* before anybody hears of it: what was held was told */
}

/* ERR_FULL: nothing happened, all may be tried again in halves. */
static enum err commit_log(struct group *g)
{
    enum err err = g->staged ? commit_flush(g->ch->o.committer, g->fault) : OK;
    if (err == OK || (err == ERR_FULL && put_back(g) == OK))
        return err;
    unknown(g, err, "records are ahead of the store: built again from the outbox");
    return OK;
}

/* Both follow from what is ahead of the log. Until they have it nothing else is written there. */
static enum err end_ahead(struct group *g, enum err err)
{
    struct source *source = g->ch->o.source;
    struct source_txn *t = g->txn;
    if (err == OK)
        err = commit_flush(g->ch->o.committer, g->fault);
    if (err == ERR_FULL)
        return err;
    if (err == OK) {
        g->txn = NULL;
        if ((err = source_commit_later(t, g->fault)) == OK) {
            source_done(g);
            if (source_is_held(source))
                changer_held(g->ch);
            return OK;
        }
    }
    source_bar(source, true);
    source_abort(g->txn);
    g->txn = NULL;
    unknown(g, err, "the log may be ahead of records and store: they follow before the next change");
    return OK;
}

static bool notifies(const struct group *g)
{
    for (size_t i = 0; i < g->parts; i++)
        if (g->part[i].draft != NULL && draft_settings(g->part[i].draft)->notify.n > 0)
            return true;
    return false;
}

static enum err commit_both(struct group *g)
{
    struct bytes kept;
    if (g->staged && g->stored && source_kept(g->txn, &kept) == OK) {
        enum err err = commit_ahead(g->ch->o.committer, kept, g->fault);
        if (err != ERR_LIMIT)
            return end_ahead(g, err);
    }
    enum err err = commit_source(g);
    return err == OK ? commit_log(g) : err;
}

/* --- results ---------------------------------------------------------------------------------------------------------- */
static void part_done(struct group *g, struct part *p, uint64_t seq)
{
    struct changer *ch = g->ch;
    for (size_t i = 0; i < p->n && p->draft != NULL; i++) {
        struct change_result *r = &p->v[i]->result;
        if (r->end != CHANGE_DONE)
            continue;
        r->epoch = commit_epoch(ch->o.committer);
        r->seq = r->changed && p->seq > 0 ? p->seq : seq;
        r->serial = p->draft->serial_after;
    }
    if (p->draft == NULL || ch->unsettled || p->draft->events == 0)
        return;
    if (changer_done(ch, p->draft->event, p->draft->events) != OK)
        log_warn("changes.done", "err=\"out of memory\" next=\"built again at the next start\"");
}

static void group_done(struct group *g)
{
    struct source_mark place = changer_place(g->ch);
    if (!g->ch->unsettled && g->stored) {
        g->ch->mark = place;
        g->ch->mark_due = true;
    }
    for (size_t i = 0; i < g->parts; i++)
        part_done(g, &g->part[i], place.seq);
}

static void group_end(struct group *g)
{
    for (size_t i = 0; i < g->parts; i++) {
        draft_close(g->part[i].draft);
        op_list_release(&g->part[i].ops);
    }
    end_view(g);
    if (g->txn != NULL)
        source_abort(g->txn);
}

static void count_build(struct changer *ch, uint64_t us, size_t n)
{
    size_t step = 0, size = 0;
    while (step + 1 < BUILD_STEPS && us > (uint64_t)250 << step)
        step++;
    while (size + 1 < GROUP_SIZES && ((size_t)1 << size) < n)
        size++;
    stat_add(&ch->stats.builds[step], 1);
    stat_add(&ch->stats.builds_us, us);
    stat_add(&ch->stats.groups[size], 1);
    stat_add(&ch->stats.grouped, n);
}

/* --- the group -------------------------------------------------------------------------------------------------------- */
static enum err group_begin(struct group *g)
{
    struct changer *ch = g->ch;
    if ((g->part = calloc(g->n, sizeof *g->part)) == NULL)
        return fault_set(g->fault, ERR_NOMEM, "out of memory");
    enum err err = commit_settle(ch->o.committer, g->fault);
    if (err == OK || err == ERR_NOTNOW)
        err = source_begin(ch->o.source, SOURCE_WRITE_KEPT, &g->txn, g->fault);
    if (err != OK)
        return err;
    if ((err = view_begin(ch->view)) != OK)
        return fault_set(g->fault, err, "cannot read the store: %s", err_text(err));
    g->viewing = err == OK;
    return err;
}

/* Everything up to the results. Any error: nothing happened. Records that broke while they were written: the next start knows. */
static enum err group_work(struct group *g)
{
    uint64_t began_us = clock_mono_us();
    enum err err = group_begin(g);
    if (err == OK)
        err = plan_all(g);
    if (err == OK)
        err = build_all(g);
    end_view(g);
    count_build(g->ch, clock_mono_us() - began_us, g->n);
    bool built = err == OK;
    g->ch->quiet = built && !notifies(g);
    if (built)
        err = commit_both(g);
    g->ch->quiet = false;
    if (err == OK)
        return OK;
    commit_drop(g->ch->o.committer);
    if (!built || !source_is_broken(g->ch->o.source))
        return err;
    g->ch->unsettled = true;
    changer_again_soon(g->ch);
    end_parts(g, CHANGE_UNKNOWN, err, g->fault);
    return OK;
}

static void tell(struct changer *ch, struct change **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        changer_tell(ch, v[i]);
}

static void fail(struct changer *ch, struct change **v, size_t n, enum err err, const struct fault *fault)
{
    for (size_t i = 0; i < n; i++) {
        no(v[i], err, fault);
        changer_tell(ch, v[i]);
    }
}

static void run_halves(struct changer *ch, struct change **v, size_t n)
{
    group_run(ch, v, n / 2);
    group_run(ch, v + n / 2, n - n / 2);
}

/* Those that together were refused, each half by itself. */
static void run_apart(struct changer *ch, const struct part *part, size_t parts)
{
    for (size_t i = 0; i < parts; i++)
        if (part[i].apart)
            run_halves(ch, part[i].v, part[i].n);
}

/* How many of them it was: the others did not fit. */
static size_t run_some(struct changer *ch, struct change **v, size_t n)
{
    struct fault fault = { "" };
    struct group g = { .ch = ch, .v = v, .n = n, .fault = &fault };
    enum err err = group_work(&g);
    if (err == OK)
        group_done(&g);
    for (size_t i = 0; err == OK && i < g.parts; i++)
        if (!g.part[i].apart)
            tell(ch, g.part[i].v, g.part[i].n);
    group_end(&g);
    if (err != OK)
        changer_hold_lost(ch);
    if (err == OK)
        run_apart(ch, g.part, g.parts);
    free(g.part);
    if (err == OK)
        return g.n;
    if (n > 1 && (!of_the_machine(err) || err == ERR_FULL))
        run_halves(ch, v, n);
    else
        fail(ch, v, n, err, &fault);
    return n;
}

void group_run(struct changer *ch, struct change **v, size_t n)
{
    while (n > 0) {
        size_t took = run_some(ch, v, n);
        v += took;
        n -= took;
    }
}

/* --- dry runs ----------------------------------------------------------------------------------------------------------- */
static enum err dry_work(struct changer *ch, struct change *c, struct source_txn *t)
{
    struct part p = { .v = &c, .n = 1 };
    struct draft_build how = { c->force, store_crew(ch->o.store) };
    struct fault *fault = &c->result.fault;
    op_list_init(&p.ops);
    enum err err = open_draft(ch, t, c, &p.draft, fault);
    if (err == OK)
        plan_one(p.draft, c);
    if (err == OK && accepted(c) && (err = draft_build(p.draft, &how, &c->result.complaints, &p.ops, fault)) == OK) {
        c->result.serial = p.draft->serial_after;
        err = difference_of_ops(name_bytes(&p.draft->apex), p.ops.ops, p.ops.n, ch->view, CHANGE_DIFFERENCE_MOST,
                                &c->result.difference, fault);
    }
    draft_close(p.draft);
    op_list_release(&p.ops);
    return err;
}

/* Reads only: whoever writes the source meanwhile is not waited for. */
void group_dry(struct changer *ch, struct change *c)
{
    struct source_txn *t = NULL;
    struct fault *fault = &c->result.fault;
    result_begin(c);
    enum err err = source_begin(ch->o.source, SOURCE_READ, &t, fault);
    if (err == OK && (err = view_begin(ch->view)) == OK) {
        err = dry_work(ch, c, t);
        view_end(ch->view);
    }
    source_abort(t);
    if (err != OK)
        no(c, err, fault);
    struct source_mark place = changer_place(ch);
    c->result.epoch = place.epoch;
    c->result.seq = place.seq;
    changer_tell(ch, c);
}
