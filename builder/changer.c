#include "builder/changer_parts.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

#define TIDY_MS 1000            /* behind the newest change: an idle core has an empty outbox */
#define SETTLE_AGAIN_MS 5000

/* --- results ---------------------------------------------------------------------------------------------------------- */
void changer_end(struct change *c, enum change_end end, enum err err, const struct fault *fault)
{
    c->result.end = end;
    c->result.err = err;
    c->result.changed = false;
    if (fault != NULL)
        c->result.fault = *fault;
    if (c->result.fault.text[0] == '\0' && err != OK)
        (void)fault_set(&c->result.fault, err, "%s", err_text(err));
}

static void count(struct changer_stats *s, const struct change *c)
{
    const struct change_result *r = &c->result;
    (void)atomic_fetch_add(&s->dry, c->dry_run);            /* not the writing thread alone tells: it is ending then */
    (void)atomic_fetch_add(r->end == CHANGE_DONE ? (r->changed ? &s->done : &s->unchanged)
                           : r->end == CHANGE_REFUSED ? &s->refused : r->end == CHANGE_FAILED ? &s->failed : &s->unknown, 1);
}

void changer_tell(struct changer *ch, struct change *c)
{
    count(&ch->stats, c);
    c->told(c->told_arg, c);
}

struct source_mark changer_place(struct changer *ch)
{
    struct head h = { .seq = 0 };
    uint64_t seq = store_head(ch->o.store, &h, NULL) == OK ? h.seq : 0;
    return (struct source_mark){ commit_epoch(ch->o.committer), seq };
}

/* --- lanes ------------------------------------------------------------------------------------------------------------ */
static struct lane **bucket_of(struct changer *ch, struct bytes apex)
{
    return &ch->lane[bytes_fnv(BYTES_FNV_START, apex) % LANES];
}

static struct lane *lane_find(struct changer *ch, const struct name *lower)
{
    struct lane *l = *bucket_of(ch, name_bytes(lower));
    while (l != NULL && !bytes_equal(name_bytes(&l->apex), name_bytes(lower)))
        l = l->next;
    return l;
}

static struct lane *lane_of(struct changer *ch, struct bytes apex)
{
    struct name lower = { .len = (uint8_t)apex.len };
    memcpy(lower.wire, apex.ptr, apex.len);
    name_lower(lower.wire, lower.len);
    struct lane *l = lane_find(ch, &lower);
    if (l != NULL || (l = calloc(1, sizeof *l)) == NULL)
        return l;
    struct lane **bucket = bucket_of(ch, name_bytes(&lower));
    l->apex = lower;
    l->last = &l->first;
    l->next = *bucket;
    *bucket = l;
    return l;
}

/* It has nothing to do any more. */
static void lane_free(struct changer *ch, struct lane *l)
{
    struct lane **at = bucket_of(ch, name_bytes(&l->apex));
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    free(l);
}

static void make_ready(struct changer *ch, struct lane *l)
{
    if (l->ready)
        return;
    l->ready = true;
    l->ready_next = NULL;
    *ch->ready_last = l;
    ch->ready_last = &l->ready_next;
}

void changer_line_up(struct changer *ch, struct change *c, bool first)
{
    struct lane *l = lane_of(ch, name_bytes(&c->apex));
    if (l == NULL) {
        changer_end(c, CHANGE_FAILED, ERR_NOMEM, NULL);
        changer_tell(ch, c);
        return;
    }
    if (!first && l->failed != OK)
        changer_again(ch, name_bytes(&l->apex));
    struct change **at = first ? &l->first : l->last;
    c->next = *at;
    *at = c;
    if (c->next == NULL)
        l->last = &c->next;
    make_ready(ch, l);
}

static bool is_idle(const struct lane *l) { return l->first == NULL && !l->held && l->failed == OK; }

static struct change *lane_take(struct lane *l)
{
    struct change *c = l->first;
    l->first = c->next;
    if (l->first == NULL)
        l->last = &l->first;
    return c;
}

static void hold(struct changer *ch, struct lane *l, bool held)
{
    ch->held += held && !l->held;
    ch->held -= !held && l->held;
    l->held = held;
}

/* --- whole zones ------------------------------------------------------------------------------------------------------ */
static bool is_whole(const struct change *c) { return c->kind != CHANGE_EDIT && c->kind != CHANGE_STATE; }

/* How it ended is for us, too: what nobody knows has to be built from the outbox. */
struct passing { struct changer *ch; change_told_fn *told; void *arg; };

/* Is the store what the zone's rows say? Only a rebuild of ours that failed says no. In the writing thread, or ending: then no edit
 * comes any more. */
static void note_failed(struct changer *ch, const struct change *c)
{
    const struct change_result *r = &c->result;
    bool fails = c->kind == CHANGE_REBUILD && c->author.via == VIA_START && (r->end == CHANGE_FAILED || r->end == CHANGE_UNKNOWN);
    if (r->err == ERR_NOTNOW || (!fails && (r->end != CHANGE_DONE || c->dry_run)))
        return;
    (void)pthread_mutex_lock(&ch->work);
    struct lane *l = lane_of(ch, name_bytes(&c->apex));
    if (l != NULL)
        l->failed = fails ? r->err : OK;
    (void)pthread_mutex_unlock(&ch->work);
}

static void on_whole_told(void *arg, struct change *c)
{
    struct passing *p = arg;
    if (c->result.end == CHANGE_UNKNOWN)
        atomic_store(&p->ch->whole_unknown, true);
    note_failed(p->ch, c);
    c->told = p->told;
    c->told_arg = p->arg;
    free(p);
    c->told(c->told_arg, c);
}

static void pass_to_full(struct changer *ch, struct lane *l, struct change *c)
{
    struct passing *p = malloc(sizeof *p);
    if (p == NULL) {
        changer_end(c, CHANGE_FAILED, ERR_NOMEM, NULL);
        note_failed(ch, c);
        changer_tell(ch, c);
        return;
    }
    *p = (struct passing){ ch, c->told, c->told_arg };
    c->told = on_whole_told;
    c->told_arg = p;
    full_put(ch->full, c);
    hold(ch, l, full_is_busy(ch->full, name_bytes(&l->apex)));
}

/* --- a round ---------------------------------------------------------------------------------------------------------- */
struct round { struct change *v[GROUP_CHANGES]; size_t n; };

/* What of the lane goes now. Whole zones, dry runs and what may not share a build wait until the lane's changes before them
 * are in the store. */
static void take_from(struct changer *ch, struct lane *l, struct round *r)
{
    size_t first = r->n;
    while (l->first != NULL && r->n < GROUP_CHANGES) {
        struct change *c = l->first;
        bool alone = c->kind != CHANGE_EDIT || c->dry_run;
        if ((l->held && !is_whole(c)) || (alone && r->n > first) || (r->n > first && !group_shares(r->v[r->n - 1], c)))
            break;
        (void)lane_take(l);
        if (l->failed != OK && !is_whole(c)) {
            changer_end(c, CHANGE_FAILED, l->failed, NULL);
            changer_tell(ch, c);
        } else if (is_whole(c)) {
            pass_to_full(ch, l, c);
        } else if (c->kind == CHANGE_STATE) {
            changer_state(ch, c);
        } else if (c->dry_run) {
            group_dry(ch, c);
        } else {
            r->v[r->n++] = c;
        }
    }
    if (r->n > first)
        near_add(&ch->near, name_bytes(&l->apex));
}

static bool may_go(const struct lane *l)
{
    return l->first != NULL && (!l->held || is_whole(l->first));
}

static void gather(struct changer *ch, struct round *r)
{
    struct lane *l = ch->ready, *next;
    r->n = 0;
    ch->ready = NULL;
    ch->ready_last = &ch->ready;
    near_clear(&ch->near);
    for (; l != NULL; l = next) {
        next = l->ready_next;
        l->ready = false;
        if (r->n == 0 || (r->n < GROUP_CHANGES && !near_has(&ch->near, name_bytes(&l->apex))))
            take_from(ch, l, r);
        if (may_go(l))
            make_ready(ch, l);
        else if (is_idle(l))
            lane_free(ch, l);
    }
}

/* --- the job ---------------------------------------------------------------------------------------------------------- */
static void run(void *arg);
static void run_settle(void *arg);

static void fail_list(struct changer *ch, struct change *c, enum err err, const struct fault *fault)
{
    while (c != NULL) {
        struct change *next = c->next;
        changer_end(c, CHANGE_FAILED, err, fault);
        changer_tell(ch, c);
        c = next;
    }
}

/* Those that nobody has looked at yet. Any thread. */
static void fail_waiting(struct changer *ch, enum err err)
{
    (void)pthread_mutex_lock(&ch->lock);
    struct change *c = ch->first;
    ch->first = NULL;
    ch->last = &ch->first;
    ch->queued = false;
    (void)pthread_mutex_unlock(&ch->lock);
    fail_list(ch, c, err, NULL);
}

static void fail_lanes(struct changer *ch, enum err err, const struct fault *fault)
{
    ch->ready = NULL;
    ch->ready_last = &ch->ready;
    for (size_t i = 0; i < LANES; i++) {
        struct lane *next;
        for (struct lane *l = ch->lane[i]; l != NULL; l = next) {
            struct change *c = l->first;
            next = l->next;
            l->first = NULL;
            l->last = &l->first;
            l->ready = false;
            fail_list(ch, c, err, fault);
            if (is_idle(l))
                lane_free(ch, l);
        }
    }
}

/* Unless the writing thread is in here: then it does it when it is done. */
static void drop(void *arg)
{
    struct changer *ch = arg;
    fail_waiting(ch, ERR_NOTNOW);
    if (pthread_mutex_trylock(&ch->work) != 0)
        return;
    fail_lanes(ch, ERR_NOTNOW, NULL);
    (void)pthread_mutex_unlock(&ch->work);
}

static void run_again(struct changer *ch)
{
    if (queue_push_on(ch->o.queue, &(struct job){ run, drop, ch }) != OK)
        fail_waiting(ch, ERR_NOTNOW);
}

void changer_wake(struct changer *ch)
{
    (void)pthread_mutex_lock(&ch->lock);
    bool push = !ch->queued;
    ch->queued = true;
    (void)pthread_mutex_unlock(&ch->lock);
    if (push)
        run_again(ch);
}

static void take_waiting(struct changer *ch)
{
    (void)pthread_mutex_lock(&ch->lock);
    struct change *c = ch->first;
    ch->first = NULL;
    ch->last = &ch->first;
    (void)pthread_mutex_unlock(&ch->lock);
    while (c != NULL) {
        struct change *next = c->next;
        changer_line_up(ch, c, false);
        c = next;
    }
}

/* true: something is left, and a job comes. */
static bool go_on(struct changer *ch)
{
    (void)pthread_mutex_lock(&ch->lock);
    ch->queued = ch->first != NULL || ch->ready != NULL;
    bool more = ch->queued, stopped = ch->stopped;
    (void)pthread_mutex_unlock(&ch->lock);
    if (stopped)
        fail_lanes(ch, ERR_NOTNOW, NULL);
    if (more)
        run_again(ch);
    return more;
}

/* What the outbox asks for comes before any other change; when that cannot be, no change can. */
static bool settled(struct changer *ch, struct fault *fault)
{
    char why[FAULT_TEXT_MAX + 64];
    enum err err = commit_settle(ch->o.committer, fault);       /* what another left there: no view may be older */
    ch->unsettled |= atomic_exchange(&ch->whole_unknown, false) || source_is_barred(ch->o.source);
    if ((err == OK || err == ERR_NOTNOW) && ch->started && !ch->unsettled)
        return true;
    if (err == OK || err == ERR_NOTNOW)
        err = ch->started ? changer_settle(ch, fault) : changer_start(ch, fault);
    if (err == OK) {
        changer_again(ch, (struct bytes){ 0 });
        return true;
    }
    log_warn("changes.unsettled", "err=%s next=\"records are ahead of the store; tried again\"",
             log_quote(why, sizeof why, fault_text(fault, err)));
    fail_lanes(ch, err, fault);
    changer_again_soon(ch);
    return false;
}

void changer_again_soon(struct changer *ch)
{
    if (!ch->again_waits)
        ch->again_waits = queue_push(ch->o.queue, &(struct job){ run_settle, NULL, ch }, SETTLE_AGAIN_MS) == OK;
}

static void run(void *arg)
{
    struct changer *ch = arg;
    struct fault fault = { "" };
    struct round r;
    (void)pthread_mutex_lock(&ch->work);
    take_waiting(ch);
    commit_may_hold(ch->o.committer, true);
    if (settled(ch, &fault)) {
        gather(ch, &r);
        if (r.n > 0)
            group_run(ch, r.v, r.n);
    }
    commit_may_hold(ch->o.committer, false);
    if (!go_on(ch))
        changer_tidy_soon(ch, TIDY_MS);
    (void)pthread_mutex_unlock(&ch->work);
}

static void run_settle(void *arg)
{
    struct changer *ch = arg;
    ch->again_waits = false;
    (void)pthread_mutex_lock(&ch->work);
    bool again = ch->unsettled || !ch->started || ch->again != NULL;
    if (ch->started && !ch->unsettled)
        changer_again(ch, (struct bytes){ 0 });
    (void)pthread_mutex_unlock(&ch->work);
    if (again)
        changer_wake(ch);
}

/* A whole zone is built: its edits may go on. */
static void zone_idle(struct changer *ch, struct bytes apex)
{
    struct lane *l = lane_of(ch, apex);
    if (l == NULL)
        return;
    hold(ch, l, full_is_busy(ch->full, apex));
    ch->sweep = true;
    ch->mark = changer_place(ch);
    ch->mark_due = true;
    if (may_go(l) || atomic_load(&ch->whole_unknown))
        changer_wake(ch);
    if (may_go(l)) {
        make_ready(ch, l);
    } else if (is_idle(l) && !l->ready) {
        lane_free(ch, l);
    }
    changer_tidy_soon(ch, TIDY_MS);
}

static void on_idle(void *arg, struct bytes apex)
{
    struct changer *ch = arg;
    (void)pthread_mutex_lock(&ch->work);
    zone_idle(ch, apex);
    (void)pthread_mutex_unlock(&ch->work);
}

/* --- life ------------------------------------------------------------------------------------------------------------- */
MUST_USE enum err changer_open(struct changer **out, const struct changer_options *o, struct fault *fault)
{
    struct changer *ch = calloc(1, sizeof *ch);
    struct fault late = { "" };
    char why[FAULT_TEXT_MAX + 64];
    pthread_mutexattr_t recursive;
    if (ch == NULL)
        return ERR_NOMEM;
    ch->o = *o;
    ch->last = &ch->first;
    ch->ready_last = &ch->ready;
    ch->sweep = true;
    settings_kept_init(&ch->settings);
    (void)pthread_mutex_init(&ch->lock, NULL);
    (void)pthread_mutexattr_init(&recursive);
    (void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&ch->work, &recursive);
    (void)pthread_mutexattr_destroy(&recursive);
    ch->full_options = (struct full_options){ &ch->o, on_idle, ch };
    enum err err = view_open(o->store, &ch->view, fault);
    if (err == OK)
        err = full_open(&ch->full, &ch->full_options, fault);
    if (err != OK) {
        changer_close(ch);
        return err;
    }
    if (changer_catch_up(o, &late) != OK)
        log_warn("changes.unsettled", "err=%s next=\"tried again\"", log_quote(why, sizeof why, late.text));
    commit_on_filled(o->committer, changer_checkpoint_soon, ch);
    changer_hold_open(ch);
    *out = ch;
    changer_wake(ch);
    return OK;
}

void changer_upkeep(struct changer *ch)
{
    if (view_is_stale(ch->view) && view_begin(ch->view) == OK)
        view_end(ch->view);
}

bool changer_is_quiet(const struct changer *ch) { return ch != NULL && ch->quiet; }

void changer_put(struct changer *ch, struct change *c)
{
    c->next = NULL;
    (void)pthread_mutex_lock(&ch->lock);
    bool stopped = ch->stopped, push = !stopped && !ch->queued;
    if (!stopped) {
        *ch->last = c;
        ch->last = &c->next;
        ch->queued = true;
    }
    (void)pthread_mutex_unlock(&ch->lock);
    if (stopped)
        fail_list(ch, c, ERR_NOTNOW, NULL);
    else if (push)
        run_again(ch);
}

void changer_stop(struct changer *ch)
{
    (void)pthread_mutex_lock(&ch->lock);
    ch->stopped = true;
    (void)pthread_mutex_unlock(&ch->lock);
    changer_hold_stop(ch);
    full_stop(ch->full);
    drop(ch);
}

void changer_close(struct changer *ch)
{
    if (ch == NULL)
        return;
    if (ch->full != NULL)
        changer_stop(ch);
    commit_on_filled(ch->o.committer, NULL, NULL);
    changer_hold_close(ch);
    full_close(ch->full);
    changer_again_drop(ch);
    for (size_t i = 0; i < LANES; i++)
        while (ch->lane[i] != NULL)
            lane_free(ch, ch->lane[i]);
    view_close(ch->view);
    settings_kept_release(&ch->settings);
    free(ch->done);
    (void)pthread_mutex_destroy(&ch->work);
    (void)pthread_mutex_destroy(&ch->lock);
    free(ch);
}
