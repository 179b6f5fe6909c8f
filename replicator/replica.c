#include "replicator/replica_parts.h"

#include <stdlib.h>

#define KEY_MS 1000                     /* a cluster key that is missing: applied again */
#define KEY_PATIENCE_MS 30000           /* a snapshot then: servers keep REPLY_KEYS_MAX keys, and the log may be older */

enum action { DO_NOTHING, DO_FETCH };

const char *replica_state_text(enum replica_state s)
{
    static const char *const text[REPLICA_STATES] = { "live", "catching-up", "copying" };
    return text[s];
}

void replica_note(struct todo *t, const struct note *n)
{
    if (t->notes_n < TODO_NOTES)
        t->notes[t->notes_n++] = *n;
}

uint64_t replica_jitter(struct replica *r, uint64_t n)
{
    r->random ^= r->random >> 12;       /* xorshift64* */
    r->random ^= r->random << 25;
    r->random ^= r->random >> 27;
    return n / 2 + ((r->random * 0x2545f4914f6cdd1du) >> 33) % (n / 2 + 1);
}

/* How far our cohort may apply. */
static uint64_t released(const struct replica *r)
{
    uint64_t all = UINT64_MAX;
    for (unsigned i = 0; r->have_head && i < r->newest.cohorts_n; i++) {
        const struct head_cohort *c = &r->newest.cohorts[i];
        if (strcmp(c->name, r->o.cohort) == 0)
            return c->released;
        if (strcmp(c->name, "all") == 0)
            all = c->released;
    }
    return all;
}

/* --- the table ------------------------------------------------------------------------------------------------------ */
static const struct { enum replica_state next; enum action action; } rules[REPLICA_STATES][EVENTS] = {
    [REPLICA_LIVE] = {
        [EV_BEHIND]   = { REPLICA_CATCHING_UP, DO_FETCH },
        [EV_REACHED]  = { REPLICA_LIVE,        DO_NOTHING },
        [EV_LOST]     = { REPLICA_COPYING,     DO_NOTHING },
        [EV_OVER]     = { REPLICA_LIVE,        DO_NOTHING },
    },
    [REPLICA_CATCHING_UP] = {
        [EV_BEHIND]   = { REPLICA_CATCHING_UP, DO_FETCH },
        [EV_REACHED]  = { REPLICA_LIVE,        DO_NOTHING },
        [EV_LOST]     = { REPLICA_COPYING,     DO_NOTHING },
        [EV_OVER]     = { REPLICA_CATCHING_UP, DO_NOTHING },
    },
    [REPLICA_COPYING] = {
        [EV_BEHIND]   = { REPLICA_COPYING,     DO_NOTHING },
        [EV_REACHED]  = { REPLICA_COPYING,     DO_NOTHING },
        [EV_LOST]     = { REPLICA_COPYING,     DO_NOTHING },
        [EV_OVER]     = { REPLICA_CATCHING_UP, DO_NOTHING },
    },
};

void replica_ask(struct replica *r, enum asked what, const struct request *q, uint64_t now, struct todo *t)
{
    struct wr w = wr_over(r->request, sizeof r->request);
    request_put(&w, q);
    t->ask = wr_done(&w);
    r->asked = what;
    r->asked_ms = now;
}

static void ask_records(struct replica *r, uint64_t now, struct todo *t)
{
    struct request q = { .type = MESSAGE_RECORDS, .epoch = r->log.epoch, .after = r->log.seq, .max_bytes = r->ask_bytes };
    replica_ask(r, ASKED_RECORDS, &q, now, t);
    r->count.fetches++;
}

static void ask_hello(struct replica *r, uint64_t now, struct todo *t)
{
    struct request q = { .type = MESSAGE_HELLO, .node = bytes_of_text(r->o.node) };
    replica_ask(r, ASKED_HELLO, &q, now, t);
    r->greeted = false;
}

void replica_ask_later(struct replica *r, uint64_t now)
{
    unsigned shift = r->empties < 10 ? r->empties : 10;
    uint64_t wait = (uint64_t)BACKOFF_FIRST_MS << shift;
    r->ask_at_ms = now + replica_jitter(r, wait < BACKOFF_LAST_MS ? wait : BACKOFF_LAST_MS);
    r->empties++;
}

void replica_give(struct replica *r, enum job_kind kind, size_t n, uint64_t now, struct todo *t)
{
    r->job = kind;
    t->job = (struct job){ .kind = kind };
    if (kind != JOB_STORE)
        return;
    r->job_end = r->log;
    t->job.records = r->batch;
    t->job.n = n;
    t->job.apply_to = r->held_at = now < r->key_at_ms ? r->applied.seq : released(r);
}

void replica_happen(struct replica *r, enum event ev, uint64_t now, struct todo *t)
{
    enum replica_state before = r->state;
    r->state = rules[before][ev].next;
    if (before != REPLICA_LIVE && r->state == REPLICA_LIVE)
        note(t, NOTE_LIVE, r->log.seq, 0);
    if (before == REPLICA_LIVE && r->state == REPLICA_CATCHING_UP)
        note(t, NOTE_BEHIND, r->log.seq, r->newest.seq);
    if (rules[before][ev].action == DO_FETCH)
        ask_records(r, now, t);
}

bool replica_fork_seen(const struct replica *r)
{
    if (r->forked)
        return true;
    if (!r->have_head || r->log.seq == 0)
        return false;
    if (r->newest.epoch == r->log.epoch && r->newest.seq == r->log.seq)
        return memcmp(r->newest.chain, r->log.chain, CHAIN_LEN) != 0;
    return r->newest.epoch > r->log.epoch && r->newest.seq <= r->log.seq;     /* it went on from before our end */
}

bool replica_behind(const struct replica *r)
{
    struct position newest = replica_head_position(&r->newest);
    return !r->have_head ? r->greeted : position_compare(&newest, &r->log) > 0;
}

/* --- what is due --------------------------------------------------------------------------------------------------------- */
static void due_wishes(struct replica *r, uint64_t now, struct todo *t)
{
    if (replica_fork_seen(r) && r->copy.why != COPY_FORK) {
        r->count.forks++;
        note(t, NOTE_FORK, r->log.seq, 0);
        copy_want(r, COPY_FORK, now, t);
    }
    if (r->rotten && r->have_head && r->copy.why == COPY_NOT) {
        note(t, NOTE_ROTTEN, r->applied.seq, 0);
        copy_want(r, COPY_ROTTEN, now, t);
        r->rotten = false;              /* else another wish is at hand: the flip ends both, or this one is next */
    }
}

/* What was announced while the store was busy, in one job. */
static bool due_held(struct replica *r, uint64_t now, struct todo *t)
{
    struct position end = r->held.end;
    size_t n = held_count(&r->held) > 0 && !replica_fork_seen(r) ? held_take(&r->held, &r->log, r->batch) : 0;
    if (n == 0)
        return false;
    replica_give(r, JOB_STORE, n, now, t);
    r->job_end = end;
    return true;
}

static void due_job(struct replica *r, uint64_t now, struct todo *t)
{
    if (r->copy.why != COPY_NOT)
        copy_jobs(r, now, t);
    if (r->job != JOB_NONE || copy_holds_log(r) || due_held(r, now, t))
        return;
    uint64_t limit = released(r), most = limit < r->complete ? limit : r->complete;
    if (most > r->applied.seq && now >= r->key_at_ms && (limit != r->held_at || r->full || r->failed))
        replica_give(r, JOB_STORE, 0, now, t);
    else if (r->ever_heard && !replica_behind(r) && r->state == REPLICA_CATCHING_UP)
        replica_happen(r, EV_REACHED, now, t);
}

static bool may_fetch(const struct replica *r)
{
    return r->job == JOB_NONE && !copy_holds_log(r) && replica_behind(r);
}

static void due_request(struct replica *r, uint64_t now, struct todo *t)
{
    if (now < r->refused_ms)
        return;
    if (!r->greeted) {
        if (now >= r->ask_at_ms)
            ask_hello(r, now, t);
        return;
    }
    copy_asks(r, now, t);
    if (r->asked == ASKED_NOTHING && may_fetch(r) && now >= r->store_at_ms && now >= r->ask_at_ms)
        replica_happen(r, EV_BEHIND, now, t);
}

void replica_step(struct replica *r, uint64_t now, struct todo *t)
{
    if (r->stopped)
        return;
    due_wishes(r, now, t);
    if (r->job == JOB_NONE && now >= r->store_at_ms)
        due_job(r, now, t);
    if (r->asked == ASKED_NOTHING)
        due_request(r, now, t);
}

static void sooner(uint64_t *wait, uint64_t now, uint64_t at)
{
    uint64_t left = at > now ? at - now : 0;
    if (left < *wait)
        *wait = left;
}

uint64_t replica_wake_ms(const struct replica *r, uint64_t now)
{
    uint64_t wait = REPLICA_TICK_MS;
    if (r->stopped)
        return wait;
    if (r->job == JOB_NONE && now < r->store_at_ms && (r->copy.manifest != NULL || r->copy.fresh))
        sooner(&wait, now, r->store_at_ms);
    if (r->asked == ASKED_NOTHING && !r->greeted)
        sooner(&wait, now, later(r->refused_ms, r->ask_at_ms));
    else if (r->asked == ASKED_NOTHING)
        sooner(&wait, now, later(r->refused_ms, copy_due_ms(r)));
    if (r->asked == ASKED_NOTHING && r->greeted && may_fetch(r))
        sooner(&wait, now, later(later(r->refused_ms, r->ask_at_ms), r->store_at_ms));
    return wait > 0 ? wait : 1;
}

/* --- time ------------------------------------------------------------------------------------------------------------------ */
static void links_anew(struct replica *r, uint64_t now, struct todo *t)
{
    copy_cut(r, r->asked);
    t->change = true;
    t->upstream = r->upstream;
    ask_hello(r, now, t);
}

/* The first of the list is left: one that had been good for long is soon tried again, one that was left a good place for in
 * vain later. Come to because the others failed as well, it is no worse than they: while the core is down, all take turns. */
static void home_left(struct replica *r, uint64_t now)
{
    if (r->home_ms == 0 || now - r->changed_ms >= REPLICA_HOME_MS)
        r->home_ms = REPLICA_HOME_MS;
    else if (r->home_tried)
        r->home_ms = r->home_ms < REPLICA_HOME_MOST_MS / 2 ? 2 * r->home_ms : REPLICA_HOME_MOST_MS;
}

static void go_to(struct replica *r, unsigned upstream, enum note_kind why, uint64_t now, struct todo *t)
{
    unsigned shift = r->silences < 6 ? r->silences : 6;
    if (r->upstream == 0)
        home_left(r, now);
    r->home_tried = why == NOTE_HOME;
    r->upstream = upstream;
    r->home_at_ms = upstream == 0 ? 0 : now + replica_jitter(r, r->home_ms);
    r->silences++;
    r->leave_at_ms = r->stall_at_ms = r->hollow_at_ms = r->refused_ms = 0;
    r->changed_ms = now;
    r->patience_ms = REPLICA_SILENCE_MS + replica_jitter(r, (uint64_t)500 << shift);
    r->count.changes++;
    note(t, why, now - r->heard_ms, r->upstream);
    r->asked = ASKED_NOTHING;
    links_anew(r, now, t);
}

static void change_upstream(struct replica *r, enum note_kind why, uint64_t now, struct todo *t)
{
    go_to(r, (r->upstream + 1) % r->o.upstreams, why, now, t);
}

/* Only from a place where all is well: nothing is under way that would be cut. */
static bool home_is_due(const struct replica *r, uint64_t now)
{
    return r->home_at_ms != 0 && now >= r->home_at_ms && r->state == REPLICA_LIVE && r->job == JOB_NONE && r->asked == ASKED_NOTHING
        && r->copy.why == COPY_NOT && !r->stopped;
}

void replica_leave(struct replica *r, enum note_kind why, uint64_t now, struct todo *t)
{
    if (r->o.upstreams > 1)
        change_upstream(r, why, now, t);
}

static void stalled(struct replica *r, uint64_t now, struct todo *t)
{
    note(t, NOTE_STALLED, r->log.seq, r->newest.seq);
    r->stall_at_ms = 0;
    replica_leave(r, NOTE_LEFT, now, t);
}

/* A connection whose framing broke, or that a box on the way forgot, is silent for ever: the next try needs a new one. Whoever
 * does not even answer hello over a new one, or two times withholds a chunk, may tell heads as it likes: another upstream has
 * what we need. */
static void timed_out(struct replica *r, uint64_t now, struct todo *t)
{
    bool again = r->asked == ASKED_HELLO || (r->asked == ASKED_CHUNK && r->copy.slow > 0);
    r->count.timeouts++;
    note(t, NOTE_TIMEOUT, now - r->asked_ms, 0);
    if (r->asked == ASKED_RECORDS && r->ask_bytes > REPLY_RECORDS_MIN)
        r->ask_bytes /= 2;
    if (r->asked == ASKED_MANIFEST)
        copy_follow(r, now, t);
    if (again && r->o.upstreams > 1) {
        copy_cut(r, r->asked);
        change_upstream(r, NOTE_LEFT, now, t);
    } else {
        links_anew(r, now, t);
    }
}

void replica_keyed(struct replica *r)
{
    r->key_at_ms = 0;
}

void replica_rotten(struct replica *r)
{
    r->rotten = true;
}

/* Is it the upstream that we wait for? Heads alone, errors, garbage and silence are no answer to what we ask. A chunk has a
 * patience of its own. */
static bool owes(const struct replica *r, uint64_t now)
{
    bool wants = replica_behind(r) || r->copy.why != COPY_NOT;
    return wants && r->job == JOB_NONE && r->asked != ASKED_CHUNK && now >= r->store_at_ms && (r->copy.why == COPY_NOT || now >= r->copy.at_ms);
}

void replica_tick(struct replica *r, uint64_t now, struct todo *t)
{
    *t = (struct todo){ .join = false };
    uint64_t since = later(later(r->heard_ms, r->changed_ms), r->copy.given_ms);
    if (!owes(r, now))
        r->stall_at_ms = 0;
    else if (r->stall_at_ms == 0)
        r->stall_at_ms = now + replica_jitter(r, REPLICA_STALL_MS);
    if (now - since >= r->patience_ms)
        change_upstream(r, NOTE_SILENT, now, t);
    else if (r->leave_at_ms != 0 && now >= r->leave_at_ms)
        replica_leave(r, NOTE_LEFT, now, t);
    else if (r->stall_at_ms != 0 && now >= r->stall_at_ms)
        stalled(r, now, t);
    else if (r->asked != ASKED_NOTHING
             && now - r->asked_ms >= (r->asked == ASKED_HELLO ? REPLICA_HELLO_MS : copy_patience_ms(r)))
        timed_out(r, now, t);
    else if (home_is_due(r, now))
        go_to(r, 0, NOTE_HOME, now, t);
    replica_step(r, now, t);
}

/* --- results --------------------------------------------------------------------------------------------------------------- */
static void mismatch(struct replica *r, uint64_t now, struct todo *t)
{
    r->count.mismatches++;
    note(t, NOTE_MISMATCH, r->applied.seq, 0);
    if (!r->suspect) {
        copy_want(r, COPY_MISMATCH, now, t);
        return;
    }
    r->stopped = true;
    r->suspect = false;
    r->stopped_epoch = r->newest.epoch;
    note(t, NOTE_STOPPED, r->applied.seq, 0);
}

static void stored_well(struct replica *r, enum job_kind job, uint64_t now, struct todo *t)
{
    if ((r->full || r->failed) && (job == JOB_STORE || job == JOB_FLIP)) {
        r->full = r->failed = false;
        note(t, NOTE_RESUMED, r->applied.seq, 0);
    }
    if (job != JOB_STORE)
        copy_stored_well(r, job, now, t);
}

/* Whoever owns us fetches the key, and says so by replica_keyed. */
static void key_missing(struct replica *r, uint64_t now, struct todo *t)
{
    r->key_at_ms = now + KEY_MS;
    r->held_at = 0;
    if (r->keyless_ms == 0)
        r->keyless_ms = now;
    else if (now - r->keyless_ms >= KEY_PATIENCE_MS && r->copy.why == COPY_NOT)
        copy_want(r, COPY_KEY, now, t);
}

static void stored_badly(struct replica *r, enum job_kind job, enum err err, uint64_t now, struct todo *t)
{
    bool bad = err == ERR_DIGEST || err == ERR_BAD || err == ERR_LIMIT;
    if (bad && job == JOB_STORE) {
        mismatch(r, now, t);
        return;
    }
    if (!bad) {
        r->full = err == ERR_FULL;
        r->failed = !r->full;
        r->store_at_ms = now + REPLICA_RETRY_MS;
        note(t, r->full ? NOTE_FULL : NOTE_STORE, r->applied.seq, 0);
    }
    if (job != JOB_STORE)
        copy_stored_badly(r, job, bad, now, t);
}

void replica_stored(struct replica *r, const struct job_result *res, uint64_t now, struct todo *t)
{
    enum job_kind job = r->job;
    *t = (struct todo){ .join = false };
    r->job = JOB_NONE;
    if (res->applied.seq != r->applied.seq) {
        r->suspect = false;
        r->keyless_ms = 0;
        copy_keyed(r);
    }
    r->log = res->log;
    r->complete = res->complete;
    r->applied = res->applied;
    if (res->err == OK) {
        stored_well(r, job, now, t);
    } else if (res->err == ERR_KEY) {
        key_missing(r, now, t);
    } else {
        stored_badly(r, job, res->err, now, t);
    }
    replica_step(r, now, t);
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */
enum err replica_open(struct replica **out, const struct replica_options *o, const struct replica_start *start, uint64_t now)
{
    static const uint8_t none[CLUSTER_LEN];
    struct replica *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NOMEM;
    r->o = *o;
    r->state = REPLICA_CATCHING_UP;
    memcpy(r->cluster, start->cluster, CLUSTER_LEN);
    r->joined = memcmp(r->cluster, none, CLUSTER_LEN) != 0;
    r->log = start->log;
    r->applied = start->applied;
    r->complete = start->complete;
    struct rd rd = rd_over(bytes_of(start->head.body, start->head.len));
    r->have_head = start->head.len > 0 && head_read(&rd, &r->newest) == OK;
    r->newest_signed = start->head;
    r->heard_ms = r->changed_ms = r->copied_ms = now;
    r->patience_ms = REPLICA_SILENCE_MS;
    r->ask_bytes = REPLY_RECORDS_MAX;
    r->random = o->seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
    if (r->random == 0)
        r->random = 1;
    *out = r;
    return OK;
}

void replica_close(struct replica *r)
{
    if (r != NULL) {
        copy_release(r);
        held_release(&r->held);
        gathered_release(&r->gathered);
    }
    free(r);
}

void replica_figures(const struct replica *r, uint64_t now, struct replica_figures *out)
{
    *out = r->count;
    out->state = r->state;
    out->stopped = r->stopped;
    out->full = r->full;
    out->have_head = r->have_head;
    out->ever_heard = r->ever_heard;
    out->newest = r->newest;
    out->age_ms = now - r->heard_ms;
    out->log = r->log;
    out->applied = r->applied;
    out->upstream = r->upstream;
    out->copy_done = r->copy.loaded;
    out->copy_chunks = r->copy.begun ? r->copy.m.chunks : 0;
}
