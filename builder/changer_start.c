/* What the outbox still has is built again, from the rows as they are now: at the start, and where the log failed behind the
 * source. An event says where to look, not what to do, so doing it twice is doing it once. */
#include "builder/changer_parts.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>

#define REBUILDS 64                     /* zones that stand in their lanes at once: each has its result with it */

struct replay {
    struct changer *ch;
    struct source_txn *txn;             /* reads */
    struct event *v; size_t n, cap;     /* bytes in the arena */
    struct arena arena;
    enum err err;
    struct fault *fault;
};

/* --- the outbox ---------------------------------------------------------------------------------------------------------- */
static bool on_event(void *arg, const struct event *e)
{
    struct replay *r = arg;
    if (r->n == r->cap) {
        size_t cap = r->cap * 2 + 64;
        struct event *more = realloc(r->v, cap * sizeof *more);
        if (more == NULL) {
            r->err = ERR_NOMEM;
            return false;
        }
        r->v = more;
        r->cap = cap;
    }
    struct event *to = &r->v[r->n++];
    *to = *e;
    to->author = arena_copy(&r->arena, e->author);
    to->owner = arena_copy(&r->arena, e->owner);
    to->before = to->after = bytes_of("", 0);
    if ((to->author.ptr == NULL && e->author.len > 0) || (to->owner.ptr == NULL && e->owner.len > 0))
        r->err = ERR_NOMEM;
    return r->err == OK;
}

static int by_zone(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    int c = bytes_compare(name_bytes(&x->apex), name_bytes(&y->apex));
    return c != 0 ? c : (x->number > y->number) - (x->number < y->number);
}

/* --- zones built anew ------------------------------------------------------------------------------------------------------ */
struct rebuild { struct change change; struct changer *ch; bool of_start; size_t n; uint64_t event[]; };

static void rebuild_free(void *arg)
{
    struct rebuild *r = arg;
    change_release(&r->change);
    free(r);
}

/* Not what was asked, but the machine: it may have room later. */
static bool may_come(const struct change_result *r)
{
    return (r->end == CHANGE_FAILED || r->end == CHANGE_UNKNOWN) && r->err != ERR_NOTNOW;
}

static void log_rebuild(const struct rebuild *r)
{
    char zone[NAME_TEXT_MAX], quoted[NAME_TEXT_MAX + 16], why[FAULT_TEXT_MAX + 64];
    const struct change_result *res = &r->change.result;
    log_quote(quoted, sizeof quoted, name_text(zone, sizeof zone, name_bytes(&r->change.apex)));
    if (res->end == CHANGE_DONE && !res->changed)
        log_debug("zone.rebuilt", "zone=%s changed=no seq=%" PRIu64, quoted, res->seq);      /* there may be 100,000 of them */
    else if (res->end == CHANGE_DONE)
        log_info("zone.rebuilt", "zone=%s changed=yes seq=%" PRIu64, quoted, res->seq);
    else
        log_warn("zone.rebuild", "zone=%s err=%s next=\"the store keeps what it has; %s\"", quoted,
                 log_quote(why, sizeof why, fault_text(&res->fault, res->err)),
                 may_come(res) ? "tried again, and no edit is built on it" : "again at the next start");
}

static enum err rebuild_some(struct changer *ch, struct fault *fault);

/* One of all zones is through. */
static void one_less(struct changer *ch, bool done)
{
    struct fault fault = { "" };
    char why[FAULT_TEXT_MAX + 64];
    ch->rebuild.failed |= !done;
    if (--ch->rebuild.waiting > 0)
        return;
    enum err err = ch->rebuild.more ? rebuild_some(ch, &fault) : OK;
    if (err != OK) {
        ch->rebuild.failed = true;
        log_warn("changes.rebuild", "err=%s next=\"the other zones at the next start\"",
                 log_quote(why, sizeof why, fault_text(&fault, err)));
    }
    if (ch->rebuild.waiting == 0 && !ch->rebuild.more)
        log_info("changes.rebuilt", "failed=%s", ch->rebuild.failed ? "some" : "none");
    changer_wake(ch);
}

static void rebuilt(void *arg)
{
    struct rebuild *r = arg;
    struct changer *ch = r->ch;
    log_rebuild(r);
    bool done = r->change.result.end == CHANGE_DONE || (r->change.result.end == CHANGE_REFUSED && r->change.result.err == ERR_NOTFOUND);
    (void)pthread_mutex_lock(&ch->work);
    done = done && changer_done(ch, r->event, r->n) == OK;
    if (r->of_start)
        one_less(ch, done);
    changer_tidy_soon(ch, 0);
    (void)pthread_mutex_unlock(&ch->work);
    rebuild_free(r);
}

static void one_failed(void *arg)
{
    struct changer *ch = arg;
    (void)pthread_mutex_lock(&ch->work);
    one_less(ch, true);
    (void)pthread_mutex_unlock(&ch->work);
}

/* In the writing thread; at once, so that it stands in its lane again before any edit that comes. */
static void keep(struct rebuild *r)
{
    struct changer *ch = r->ch;
    log_rebuild(r);
    (void)pthread_mutex_lock(&ch->work);
    r->change.next = ch->again;
    ch->again = &r->change;
    if (r->of_start && queue_push(ch->o.queue, &(struct job){ one_failed, NULL, ch }, 0) != OK)
        log_debug("changes.rebuild", "next=\"the other zones at the next start\"");
    changer_again_soon(ch);
    (void)pthread_mutex_unlock(&ch->work);
}

/* In whatever thread. */
static void on_told(void *arg, struct change *c)
{
    struct rebuild *r = arg;
    if (may_come(&c->result))
        keep(r);
    else if (queue_push(r->ch->o.queue, &(struct job){ rebuilt, rebuild_free, r }, 0) != OK)
        rebuild_free(r);
}

static void ask(struct rebuild *r)
{
    r->change.author.via = VIA_START;
    r->change.force = true;                 /* what it says was judged when it was made */
    r->change.told = on_told;
    r->change.told_arg = r;
}

static void try_again(struct changer *ch, struct rebuild *r)
{
    struct name apex = r->change.apex;
    change_release(&r->change);
    change_init(&r->change, CHANGE_REBUILD, name_bytes(&apex));
    ask(r);
    ch->rebuild.waiting += r->of_start;
    changer_line_up(ch, &r->change, true);
}

void changer_again(struct changer *ch, struct bytes apex)
{
    struct change *all = ch->again, *c;         /* those that fail at once come into a new list */
    ch->again = NULL;
    while ((c = all) != NULL) {
        all = c->next;
        if (apex.len == 0 || name_equal(name_bytes(&c->apex), apex)) {
            try_again(ch, c->told_arg);
        } else {
            c->next = ch->again;
            ch->again = c;
        }
    }
}

void changer_again_drop(struct changer *ch)
{
    struct change *c;
    while ((c = ch->again) != NULL) {
        ch->again = c->next;
        rebuild_free(c->told_arg);
    }
}

/* The zone's rows decide; these events are done then. */
static enum err line_up_rebuild(struct changer *ch, struct bytes apex, const struct event *e, size_t n, bool of_start)
{
    struct rebuild *r = calloc(1, sizeof *r + n * sizeof r->event[0]);
    if (r == NULL)
        return ERR_NOMEM;
    change_init(&r->change, CHANGE_REBUILD, apex);
    ask(r);
    r->ch = ch;
    r->of_start = of_start;
    r->n = n;
    for (size_t i = 0; i < n; i++)
        r->event[i] = e[i].number;
    ch->rebuild.waiting += of_start;
    stat_add(&ch->stats.rebuilds, 1);
    changer_line_up(ch, &r->change, true);     /* what waits builds on it */
    return OK;
}

/* The outbox still has the events of these: it is asked anew. */
static void drop_replayed(struct changer *ch)
{
    struct change **at = &ch->again, *c;
    while ((c = *at) != NULL) {
        const struct rebuild *r = c->told_arg;
        if (r->of_start) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        rebuild_free(c->told_arg);
    }
}

/* --- one zone's events ------------------------------------------------------------------------------------------------------ */
static enum err commit_ops(struct replay *r, struct bytes apex, const struct op_list *ops, const struct event *newest)
{
    struct changer *ch = r->ch;
    struct author author = { .via = VIA_START };
    uint64_t seq;
    if (ops->n == 0)
        return OK;
    if (newest->author.len > 0 && author_read(newest->author, &author) != OK)
        author = (struct author){ .via = VIA_START };
    enum err err = commit_stage(ch->o.committer, ops->ops, ops->n, &seq, r->fault);
    if (err == OK)
        err = journal_note(ch->o.committer, ch->view, apex, ops->ops, ops->n, seq, &author, newest->force, r->fault);
    if (err != OK)
        commit_drop(ch->o.committer);
    return err;
}

static enum err set_row(struct replay *r, struct draft *d, struct patch *p, struct bytes owner, uint16_t type, uint16_t covers)
{
    struct row row = { .owner = owner, .type = type, .covers = covers };
    struct patch_rrset s;
    enum err err = source_row(r->txn, d->row.id, owner, type, covers, &row);
    if (err == OK || err == ERR_NOTFOUND)
        err = draft_published(d, &row, &s);
    return err != OK ? err : patch_set(p, owner, &s);
}

/* Its rows, as they are now, where the events say; and always the SOA, whose serial moved with them. */
static enum err build_rows(struct replay *r, struct draft *d, const struct event *e, size_t n, struct op_list *ops)
{
    struct patch_options how = { .force = true, .crew = store_crew(r->ch->o.store) };
    struct complaints c = { 0 };
    struct patch *p = NULL;
    enum err err = patch_open(&p, name_bytes(&d->apex), r->ch->view, r->fault);
    for (size_t i = 0; err == OK && i < n; i++)
        err = set_row(r, d, p, e[i].owner, e[i].type, e[i].covers);
    if (err == OK)
        err = set_row(r, d, p, name_bytes(&d->apex), TYPE_SOA, 0);
    if (err == OK)
        err = patch_build(p, &how, &c, ops, r->fault);
    patch_close(p);
    return err;
}

static bool are_rows(const struct event *e, size_t n)
{
    bool rows = true;
    for (size_t i = 0; i < n && rows; i++)
        rows = e[i].kind == EVENT_ROW;
    return rows;
}

/* *later: a build of the whole zone will do it. */
static enum err build_zone(struct replay *r, const struct event *e, size_t n, struct op_list *ops, bool *later)
{
    struct draft_with with = { .txn = r->txn, .view = r->ch->view, .via = VIA_START };
    struct bytes apex = name_bytes(&e->apex);
    struct zone_header h = { .state = 0 };
    struct zone_row row;
    struct draft *d = NULL;
    enum err err = source_zone(r->txn, apex, &row);
    *later = err == OK && !are_rows(e, n);
    if (err == ERR_NOTFOUND) {
        if (e[n - 1].kind != EVENT_GONE || (err = zone_header_get(apex, r->ch->view, &h)) == ERR_NOTFOUND)
            return OK;
        if (err == OK && h.kind == ZONE_FILE)           /* it came behind that */
            return OK;
        return zone_withdraw(apex, r->ch->view, ops, r->fault);
    }
    if (err != OK || *later || (err = draft_open(&d, apex, &with, r->fault)) != OK)
        return err == ERR_NOTNOW ? OK : err;            /* a file's, by now */
    *later = d->has_rows && !d->live;
    if (d->has_rows && d->live)
        err = build_rows(r, d, e, n, ops);
    draft_close(d);
    return err;
}

static enum err all_done(struct changer *ch, const struct event *e, size_t n)
{
    enum err err = OK;
    for (size_t i = 0; i < n && err == OK; i++)
        err = changer_done(ch, &e[i].number, 1);
    return err;
}

static enum err replay_zone(struct replay *r, const struct event *e, size_t n)
{
    struct op_list ops;
    bool later = false;
    op_list_init(&ops);
    enum err err = view_begin(r->ch->view);
    if (err == OK) {
        err = build_zone(r, e, n, &ops, &later);
        if (err == OK && !later)
            err = commit_ops(r, name_bytes(&e->apex), &ops, &e[n - 1]);
        view_end(r->ch->view);
    }
    if (err == OK && !later && ops.n > 0)
        err = commit_flush(r->ch->o.committer, r->fault);
    op_list_release(&ops);
    stat_add(&r->ch->stats.replays, n);
    if (later || err == ERR_REFUSED || err == ERR_LIMIT || err == ERR_BAD)      /* a patch cannot: then the whole zone */
        return line_up_rebuild(r->ch, name_bytes(&e->apex), e, n, false);
    return err != OK ? err : all_done(r->ch, e, n);
}

/* --- all of it --------------------------------------------------------------------------------------------------------------- */
static enum err replay_events(struct replay *r)
{
    enum err err = source_events(r->txn, 0, on_event, r);
    size_t end;
    if (err == OK)
        err = r->err;
    if (err != OK)
        return fault_set(r->fault, err, "cannot read the outbox: %s", err_text(err));
    stat_set(&r->ch->stats.events, r->n);
    if (r->n > 1)
        qsort(r->v, r->n, sizeof *r->v, by_zone);
    for (size_t i = 0; i < r->n && err == OK; i = end) {
        for (end = i + 1; end < r->n && bytes_equal(name_bytes(&r->v[end].apex), name_bytes(&r->v[i].apex));)
            end++;
        err = replay_zone(r, &r->v[i], end - i);
    }
    if (r->n > 0)
        log_info("changes.replayed", "events=%zu err=%s", r->n, err == OK ? "none" : "\"see the next line\"");
    return err;
}

MUST_USE enum err changer_settle(struct changer *ch, struct fault *fault)
{
    struct replay r = { .ch = ch, .fault = fault };
    bool left;
    enum err err = commit_settle(ch->o.committer, fault);
    if (err == OK || err == ERR_NOTNOW)
        err = changer_catch_up(&ch->o, fault);
    if (err == OK)
        err = ch->done_n > 0 ? changer_tidy(ch, &left, fault) : OK;
    arena_init(&r.arena);
    drop_replayed(ch);
    if (err == OK)
        err = source_begin(ch->o.source, SOURCE_READ, &r.txn, fault);
    if (err == OK)
        err = replay_events(&r);
    source_abort(r.txn);
    arena_release(&r.arena);
    free(r.v);
    ch->unsettled = err != OK;
    if (err == OK) {
        ch->mark = changer_place(ch);
        ch->mark_due = true;
    }
    return err;
}

/* --- the start ---------------------------------------------------------------------------------------------------------------- */
/* Is the store that which the source was built into? Its epoch is another one behind a restore and a lost log. */
static enum err is_behind(struct changer *ch, bool *behind)
{
    struct source_mark at = changer_place(ch), mark;
    struct source_txn *t = NULL;
    enum err err = source_begin(ch->o.source, SOURCE_READ, &t, NULL);
    if (err == OK)
        err = source_mark(t, &mark);
    source_abort(t);
    *behind = err == ERR_NOTFOUND || (err == OK && (mark.epoch != at.epoch || mark.seq > at.seq));
    return err == ERR_NOTFOUND ? OK : err;
}

/* Should we end before all is rebuilt, the next start begins again. */
static enum err mark_behind(struct changer *ch, struct fault *fault)
{
    struct source_txn *t = NULL;
    enum err err = source_begin(ch->o.source, SOURCE_WRITE, &t, fault);
    if (err != OK)
        return err;
    if ((err = source_mark_put(t, &(struct source_mark){ UINT64_MAX, 0 }, fault)) == OK)
        return source_commit(t, fault);
    source_abort(t);
    return err;
}

static void log_skipped(const struct zone_row *row, const char *text)
{
    char zone[NAME_TEXT_MAX], quoted[NAME_TEXT_MAX + 16], why[FAULT_TEXT_MAX + 64];
    log_error("zone.rebuild", "zone=%s err=%s next=\"the store keeps what it has\"",
              log_quote(quoted, sizeof quoted, name_text(zone, sizeof zone, name_bytes(&row->apex))), log_quote(why, sizeof why, text));
}

/* The next zones with rows. */
static enum err rebuild_some(struct changer *ch, struct fault *fault)
{
    struct source_txn *t = NULL;
    struct zone_row row;
    struct zone_settings settings;
    struct arena arena;
    enum err err = source_begin(ch->o.source, SOURCE_READ, &t, fault);
    arena_init(&arena);
    while (err == OK && ch->rebuild.waiting < REBUILDS
           && (err = source_zone_next(t, name_bytes(&ch->rebuild.last), &row)) == OK) {
        ch->rebuild.last = row.apex;
        settings_init(&settings, ZONE_NATIVE);
        err = settings_read(row.settings, &arena, &settings, fault);
        if (err == OK && settings.kind == ZONE_NATIVE)
            err = line_up_rebuild(ch, name_bytes(&row.apex), NULL, 0, true);
        if (err != OK && err != ERR_NOMEM) {            /* the others need not wait for this one */
            log_skipped(&row, fault_text(fault, err));
            ch->rebuild.failed = true;
            err = OK;
        }
        settings_release(&settings);
        arena_reset(&arena);
    }
    arena_release(&arena);
    source_abort(t);
    ch->rebuild.more = err == OK;
    return err == ERR_NOTFOUND ? OK : err;
}

MUST_USE enum err changer_start(struct changer *ch, struct fault *fault)
{
    bool behind = false;
    enum err err = is_behind(ch, &behind);
    if (err == OK && behind) {
        ch->rebuild.more = true;            /* not level, should something be tidied up now */
        err = mark_behind(ch, fault);
    }
    if (err == OK)
        err = changer_settle(ch, fault);
    if (err == OK && behind)
        err = rebuild_some(ch, fault);
    if (err != OK)
        return err;
    if (ch->rebuild.waiting > 0)
        log_warn("changes.rebuild", "zones=%s why=\"the store is not the one that the records were built into\"",
                 ch->rebuild.more ? "all" : "few");
    ch->started = true;
    return OK;
}
