#include "replicator/replica.h"

#include <stdlib.h>

#define BACKOFF_FIRST_MS 10             /* an upstream that has nothing yet is asked again after 10, 20, 40 ... */
#define BACKOFF_LAST_MS 1000
#define PROBE_MS 10000
#define COPY_CALM_MS 60000              /* copies further apart than this do not hold each other up */

enum event { EV_BEHIND, EV_REACHED, EV_FORK, EV_MISMATCH, EV_FLIPPED };
enum action { DO_NOTHING, DO_FETCH, DO_COPY, DO_FLIP, DO_STOP };
enum asked { ASKED_NOTHING, ASKED_HELLO, ASKED_RECORDS };

struct replica {
    struct replica_options o;
    enum replica_state state;
    bool joined;
    uint8_t cluster[CLUSTER_LEN];
    struct position log, applied;
    uint64_t complete;
    bool have_head, ever_heard;
    struct head newest;
    struct signed_head newest_signed;
    uint64_t heard_ms, changed_ms;      /* newest head came; links were opened */
    unsigned silences;                  /* changes of upstream without a newer head */
    uint64_t patience_ms;
    uint64_t leave_at_ms;               /* this upstream's log does not reach back to ours: try another; 0: no such wish */
    uint64_t stall_at_ms;               /* then the upstream has told of records for long and had none; 0: it has */
    bool rotten;                        /* why rebuild */
    bool rebuild, upstream_whole;       /* our log is to be made whole; the upstream's is */
    uint64_t probe_at_ms;               /* when to look again whether it is */
    enum job_kind job;                  /* being done; JOB_NONE: none */
    uint64_t store_at_ms;               /* not before: the store refused */
    bool full, failed;
    uint64_t held_at;                   /* apply_to that made no progress: nothing ends there yet */
    enum asked asked;
    uint64_t asked_ms, ask_at_ms, ask_bytes;
    unsigned empties;                   /* replies in a row that brought nothing */
    bool greeted;                       /* the first fetch behind hello needs no head */
    bool copy_wanted, stopped, forked;
    uint64_t copy_at_ms, copied_ms, stopped_epoch;
    unsigned copies_near;
    struct position target;             /* of a copy */
    unsigned upstream;
    uint64_t random;
    struct replica_figures count;
    struct bytes batch[REPLICA_BATCH];
    uint8_t request[64 + NODE_NAME_MAX];
};

const char *replica_state_text(enum replica_state s)
{
    static const char *const text[REPLICA_STATES] = { "live", "catching-up", "copying" };
    return text[s];
}

static void note(struct todo *t, enum note_kind kind, uint64_t a, uint64_t b)
{
    if (t->notes_n < TODO_NOTES)
        t->notes[t->notes_n++] = (struct note){ kind, a, b };
}

/* between n/2 and n */
static uint64_t jitter(struct replica *r, uint64_t n)
{
    r->random ^= r->random >> 12;       /* xorshift64* */
    r->random ^= r->random << 25;
    r->random ^= r->random >> 27;
    return n / 2 + ((r->random * 0x2545f4914f6cdd1du) >> 33) % (n / 2 + 1);
}

static struct position head_position(const struct head *h)
{
    struct position p = { .epoch = h->epoch, .seq = h->seq };
    memcpy(p.chain, h->chain, CHAIN_LEN);
    return p;
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
static const struct { enum replica_state next; enum action action; } rules[REPLICA_STATES][5] = {
    [REPLICA_LIVE] = {
        [EV_BEHIND]   = { REPLICA_CATCHING_UP, DO_FETCH },
        [EV_REACHED]  = { REPLICA_LIVE,        DO_NOTHING },
        [EV_FORK]     = { REPLICA_COPYING,     DO_COPY },
        [EV_MISMATCH] = { REPLICA_COPYING,     DO_COPY },
        [EV_FLIPPED]  = { REPLICA_LIVE,        DO_NOTHING },
    },
    [REPLICA_CATCHING_UP] = {
        [EV_BEHIND]   = { REPLICA_CATCHING_UP, DO_FETCH },
        [EV_REACHED]  = { REPLICA_LIVE,        DO_NOTHING },
        [EV_FORK]     = { REPLICA_COPYING,     DO_COPY },
        [EV_MISMATCH] = { REPLICA_COPYING,     DO_COPY },
        [EV_FLIPPED]  = { REPLICA_CATCHING_UP, DO_NOTHING },
    },
    [REPLICA_COPYING] = {
        [EV_BEHIND]   = { REPLICA_COPYING,     DO_FETCH },
        [EV_REACHED]  = { REPLICA_COPYING,     DO_FLIP },
        [EV_FORK]     = { REPLICA_COPYING,     DO_COPY },
        [EV_MISMATCH] = { REPLICA_COPYING,     DO_STOP },
        [EV_FLIPPED]  = { REPLICA_LIVE,        DO_NOTHING },
    },
};

static void ask_after(struct replica *r, const struct position *at, uint64_t bytes, uint64_t now, struct todo *t)
{
    struct request q = { .type = MESSAGE_RECORDS, .epoch = at->epoch, .after = at->seq, .max_bytes = bytes };
    struct wr w = wr_over(r->request, sizeof r->request);
    request_put(&w, &q);
    t->ask = wr_done(&w);
    r->asked = ASKED_RECORDS;
    r->asked_ms = now;
    r->count.fetches++;
}

static void ask_records(struct replica *r, uint64_t now, struct todo *t)
{
    ask_after(r, &r->log, r->ask_bytes, now, t);
}

/* The very first record: where does the upstream's log begin? If late and it is a relay, it hears that it is wanted. */
static void ask_first(struct replica *r, uint64_t now, struct todo *t)
{
    static const struct position begin;
    ask_after(r, &begin, 1, now, t);
    r->probe_at_ms = now + jitter(r, PROBE_MS);
}

static void ask_hello(struct replica *r, uint64_t now, struct todo *t)
{
    struct request q = { .type = MESSAGE_HELLO, .node = bytes_of_text(r->o.node) };
    struct wr w = wr_over(r->request, sizeof r->request);
    request_put(&w, &q);
    t->ask = wr_done(&w);
    r->asked = ASKED_HELLO;
    r->asked_ms = now;
    r->greeted = false;
}

static void give_job(struct replica *r, enum job_kind kind, size_t n, struct todo *t)
{
    r->job = kind;
    t->job = (struct job){ .kind = kind, .records = r->batch, .n = n, .apply_to = released(r) };
    r->held_at = t->job.apply_to;
}

static void want_copy(struct replica *r, uint64_t now, struct todo *t)
{
    if (now - r->copied_ms > COPY_CALM_MS)
        r->copies_near = 0;
    unsigned n = r->copies_near < 6 ? r->copies_near : 6;
    r->copy_at_ms = n == 0 ? now : now + jitter(r, (uint64_t)1000 << n);
    r->copies_near++;
    r->copy_wanted = true;
    r->forked = r->rebuild = r->rotten = false;             /* a copy has the whole log */
    r->target = head_position(&r->newest);
    r->count.copies++;
    note(t, NOTE_COPY, r->target.seq, 0);
}

static void happen(struct replica *r, enum event ev, uint64_t now, struct todo *t)
{
    enum replica_state before = r->state;
    enum action action = rules[before][ev].action;
    r->state = rules[before][ev].next;
    if (before != REPLICA_LIVE && r->state == REPLICA_LIVE)
        note(t, NOTE_LIVE, r->log.seq, 0);
    if (before == REPLICA_LIVE && r->state == REPLICA_CATCHING_UP)
        note(t, NOTE_BEHIND, r->log.seq, r->newest.seq);
    switch (action) {
    case DO_NOTHING: break;
    case DO_FETCH:   ask_records(r, now, t); break;
    case DO_COPY:    want_copy(r, now, t); break;
    case DO_FLIP:    give_job(r, JOB_FLIP, 0, t); break;
    case DO_STOP:
        r->stopped = true;
        r->stopped_epoch = r->newest.epoch;
        note(t, NOTE_STOPPED, r->applied.seq, 0);
        break;
    }
}

/* Does the newest head belong to another history than our log? */
static bool fork_seen(const struct replica *r)
{
    if (r->forked)
        return true;
    if (!r->have_head || r->log.seq == 0)
        return false;
    if (r->newest.epoch == r->log.epoch && r->newest.seq == r->log.seq)
        return memcmp(r->newest.chain, r->log.chain, CHAIN_LEN) != 0;
    return r->newest.epoch > r->log.epoch && r->newest.seq <= r->log.seq;     /* it went on from before our end */
}

static bool behind(const struct replica *r)
{
    struct position newest = head_position(&r->newest);
    return !r->have_head ? r->greeted : position_compare(&newest, &r->log) > 0;
}

/* Whatever is due now. */
static void step(struct replica *r, uint64_t now, struct todo *t)
{
    if (r->stopped || r->job != JOB_NONE)
        return;
    if (!r->copy_wanted && fork_seen(r)) {
        r->count.forks++;
        note(t, NOTE_FORK, r->log.seq, 0);
        happen(r, EV_FORK, now, t);
    }
    if (!r->copy_wanted && r->rebuild && r->upstream_whole && r->have_head && r->state != REPLICA_COPYING) {
        note(t, r->rotten ? NOTE_ROTTEN : NOTE_LOG_SHORT, r->log.seq, 0);
        happen(r, EV_FORK, now, t);             /* of the same history, but the remedy is the same */
    }
    if (r->copy_wanted) {
        if (now >= r->copy_at_ms && now >= r->store_at_ms)
            give_job(r, JOB_COPY, 0, t);
        return;
    }
    if (now < r->store_at_ms)
        return;
    uint64_t limit = released(r), most = limit < r->complete ? limit : r->complete;
    if (most > r->applied.seq && (limit != r->held_at || r->full || r->failed)) {
        give_job(r, JOB_STORE, 0, t);
        return;
    }
    if (r->state == REPLICA_COPYING && r->log.seq > 0 && position_compare(&r->applied, &r->target) >= 0)
        happen(r, EV_REACHED, now, t);
    else if (r->asked == ASKED_NOTHING && behind(r) && now >= r->ask_at_ms)
        happen(r, EV_BEHIND, now, t);
    else if (r->ever_heard && !behind(r) && r->state == REPLICA_CATCHING_UP)
        happen(r, EV_REACHED, now, t);
}

/* --- heads ------------------------------------------------------------------------------------------------------------ */
static bool same_signed(const struct signed_head *a, const struct signed_head *b)
{
    return a->len == b->len && memcmp(a->body, b->body, a->len) == 0 && memcmp(a->sig, b->sig, HEAD_SIG_LEN) == 0;
}

static void newer_head(struct replica *r, const struct signed_head *sh, const struct head *h, uint64_t now, struct todo *t)
{
    if (!r->joined) {
        r->joined = t->join = true;
        memcpy(r->cluster, h->cluster, CLUSTER_LEN);
        memcpy(t->cluster, h->cluster, CLUSTER_LEN);
        note(t, NOTE_JOINED, 0, 0);
    }
    if (r->stopped && h->epoch > r->stopped_epoch) {
        r->stopped = false;
        r->forked = true;               /* a new epoch is what repairs wrong data: copy again */
    }
    if (!r->have_head || h->epoch != r->newest.epoch || h->seq != r->newest.seq) {
        r->ask_at_ms = now;
        r->empties = 0;
    }
    r->newest = *h;
    r->newest_signed = *sh;
    r->have_head = r->ever_heard = true;
    r->heard_ms = now;
    r->silences = 0;
    r->patience_ms = REPLICA_SILENCE_MS;
    r->count.heads++;
    t->heard = true;
    t->head = *sh;
}

static enum err cluster_check(struct replica *r, const uint8_t cluster[CLUSTER_LEN])
{
    return r->joined && memcmp(cluster, r->cluster, CLUSTER_LEN) != 0 ? ERR_CLUSTER : OK;
}

/* verified: its signature was checked with the record that carries it. */
static enum err take_head(struct replica *r, const struct signed_head *sh, bool verified, uint64_t now, struct todo *t)
{
    struct head h;
    enum err err;
    if (r->have_head && same_signed(sh, &r->newest_signed)) {
        r->count.duplicates++;
        return OK;
    }
    struct rd rd = rd_over(bytes_of(sh->body, sh->len));
    if ((err = head_read(&rd, &h)) != OK || !rd_done(&rd) || h.seq == 0 || h.epoch == 0)
        return ERR_BAD;
    if (!verified && cluster_check(r, h.cluster) != OK)         /* whose is it? costs a signature, and is rare */
        return (err = head_verify(sh, r->o.core_pub)) == OK ? ERR_CLUSTER : err;
    if (r->have_head && h.epoch < r->newest.epoch)
        return ERR_EPOCH;
    struct position have = head_position(&r->newest), got = head_position(&h);
    int order = r->have_head ? position_compare(&got, &have) : 1;
    if (order < 0 || (order == 0 && h.time_ms <= r->newest.time_ms)) {
        r->count.duplicates++;
        return OK;
    }
    if (!verified && (err = head_verify(sh, r->o.core_pub)) != OK)
        return err;
    if (order == 0 && (memcmp(h.chain, r->newest.chain, CHAIN_LEN) != 0
                       || memcmp(h.digest, r->newest.digest, HEAD_DIGEST_LEN) != 0))
        r->forked = r->forked || (r->log.epoch == h.epoch && r->log.seq >= h.seq);
    newer_head(r, sh, &h, now, t);
    return OK;
}

static enum err counted(struct replica *r, enum err err)
{
    switch (err) {
    case OK: break;
    case ERR_SIGNATURE: r->count.bad_signature++; break;
    case ERR_CLUSTER:   r->count.bad_cluster++; break;
    case ERR_EPOCH:     r->count.bad_epoch++; break;
    case ERR_FORMAT:    r->count.bad_format++; break;
    case ERR_GAP:       r->count.bad_gap++; break;
    default:            r->count.bad_shape++; break;
    }
    return err;
}

/* --- records ------------------------------------------------------------------------------------------------------------ */
/* One record behind *at: OK when it is good and moved *at; ERR_EXISTS: ours already. May see a fork. */
static enum err take_record(struct replica *r, struct bytes bytes, struct position *at, uint64_t now, struct todo *t)
{
    struct record rec;
    enum err err = record_read(bytes, &rec), join;
    if (err != OK)
        return err;
    join = record_joins(at, &rec);
    if (join == ERR_EXISTS && (rec.epoch != at->epoch || rec.seq != at->seq || memcmp(rec.chain, at->chain, CHAIN_LEN) == 0))
        return join;
    if (join == ERR_GAP || join == ERR_EPOCH)
        return join;
    bool head_known = rec.has_head && r->have_head && same_signed(&rec.signed_head, &r->newest_signed);
    if ((err = head_known ? record_verify_part(&rec, r->o.core_pub) : record_verify(&rec, r->o.core_pub)) != OK)
        return err;
    if ((err = cluster_check(r, rec.cluster)) != OK)
        return err;
    if (join == ERR_FORK || join == ERR_EXISTS) {       /* really signed by the core, and not what we have */
        r->forked = true;
        return ERR_FORK;
    }
    if (join != OK)
        return join;
    position_move(at, &rec);
    if (rec.has_head && !head_known)
        err = take_head(r, &rec.signed_head, true, now, t);     /* an older one, even of an older epoch, is fine here */
    return OK;
}

static bool may_store(const struct replica *r, uint64_t now)
{
    return r->joined && r->job == JOB_NONE && !r->stopped && !r->copy_wanted && now >= r->store_at_ms && !fork_seen(r);
}

enum err replica_announce(struct replica *r, struct bytes msg, uint64_t now, struct todo *t)
{
    struct announce a;
    *t = (struct todo){ .join = false };
    enum err err = announce_read(msg, &a);
    if (err == OK)
        err = take_head(r, &a.head, false, now, t);
    if (t->heard)
        t->forward = msg;
    if (err == OK && a.record.len > 0 && may_store(r, now)) {
        struct position at = r->log;
        enum err got = take_record(r, a.record, &at, now, t);
        if (got == OK) {
            r->batch[0] = a.record;
            give_job(r, JOB_STORE, 1, t);
        } else if (got != ERR_EXISTS && got != ERR_GAP && got != ERR_FORK && got != ERR_EPOCH) {
            err = got;                          /* a gap is no fault: the fetch fills it */
        }
    }
    if (err == OK && !t->heard && r->empties > 0)
        r->ask_at_ms = now;                     /* a relay repeats a head when it has its records */
    step(r, now, t);
    return counted(r, err);
}

/* The pace: replies that take long are asked for smaller, so that a slow line does not run into the timeout. */
static void pace(struct replica *r, uint64_t took_ms)
{
    if (took_ms > 700 && r->ask_bytes > REPLY_RECORDS_MIN)
        r->ask_bytes /= 2;
    else if (took_ms < 200 && r->ask_bytes < REPLY_RECORDS_MAX)
        r->ask_bytes = 2 * r->ask_bytes < REPLY_RECORDS_MAX ? 2 * r->ask_bytes : REPLY_RECORDS_MAX;
}

static void ask_later(struct replica *r, uint64_t now)
{
    unsigned shift = r->empties < 10 ? r->empties : 10;
    uint64_t wait = (uint64_t)BACKOFF_FIRST_MS << shift;
    r->ask_at_ms = now + jitter(r, wait < BACKOFF_LAST_MS ? wait : BACKOFF_LAST_MS);
    r->empties++;
}

static enum err take_records(struct replica *r, struct reply *reply, uint64_t now, struct todo *t)
{
    struct position at = r->log;
    struct bytes one;
    size_t n = 0;
    enum err err = OK;
    if (reply->has_head)
        err = take_head(r, &reply->head, false, now, t);
    bool may = may_store(r, now) && err != ERR_CLUSTER;
    while (may && n < REPLICA_BATCH && reply_next(reply, &one)) {
        enum err got = take_record(r, one, &at, now, t);
        if (got == OK)
            r->batch[n++] = one;
        else if (got != ERR_EXISTS) {
            err = got == ERR_FORK ? OK : got;
            break;
        }
    }
    if (n > 0) {
        r->empties = 0;
        r->leave_at_ms = r->stall_at_ms = 0;
        r->ask_at_ms = now;
        give_job(r, JOB_STORE, n, t);
    } else if (may && reply->first > r->log.seq + 1) {
        note(t, NOTE_SERVER_LOG, r->log.seq + 1, reply->first);
        r->ask_at_ms = now + jitter(r, REPLICA_RETRY_MS);
        if (r->leave_at_ms == 0 && r->o.upstreams > 1)
            r->leave_at_ms = r->ask_at_ms;
        r->empties++;
    } else {
        if (may && r->stall_at_ms == 0 && r->have_head && behind(r))
            r->stall_at_ms = now + jitter(r, REPLICA_STALL_MS);
        ask_later(r, now);
    }
    return err;
}

enum err replica_reply(struct replica *r, struct bytes msg, uint64_t now, struct todo *t)
{
    struct reply reply;
    enum asked asked = r->asked;
    *t = (struct todo){ .join = false };
    enum err err = reply_read(msg, &reply);
    if (asked == ASKED_NOTHING)                 /* nobody waits for it any more */
        return counted(r, err);
    r->asked = ASKED_NOTHING;
    if (err != OK) {
        ask_later(r, now);
    } else if (reply.type == MESSAGE_ERROR) {
        note(t, NOTE_REFUSED, reply.code, 0);
        r->ask_at_ms = now + jitter(r, 2 * BACKOFF_LAST_MS);
        r->empties++;
    } else if (reply.type == MESSAGE_HELLO && asked == ASKED_HELLO) {
        note(t, NOTE_HELLO, reply.first, reply.last);
        r->greeted = true;
        r->ask_at_ms = now;
        r->empties = 0;
    } else if (reply.type == MESSAGE_RECORDS && asked == ASKED_RECORDS && reply.after <= r->log.seq) {
        pace(r, now - r->asked_ms);
        r->upstream_whole = reply.first == 1;
        err = take_records(r, &reply, now, t);
    } else {
        ask_later(r, now);
    }
    step(r, now, t);
    return counted(r, err);
}

/* --- time ------------------------------------------------------------------------------------------------------------------ */
static void change_upstream(struct replica *r, enum note_kind why, uint64_t now, struct todo *t)
{
    unsigned shift = r->silences < 6 ? r->silences : 6;
    r->upstream = (r->upstream + 1) % r->o.upstreams;
    r->silences++;
    r->leave_at_ms = r->stall_at_ms = r->probe_at_ms = 0;
    r->upstream_whole = false;
    r->changed_ms = now;
    r->patience_ms = REPLICA_SILENCE_MS + jitter(r, (uint64_t)500 << shift);
    r->count.changes++;
    t->change = true;
    t->upstream = r->upstream;
    note(t, why, now - r->heard_ms, r->upstream);
    ask_hello(r, now, t);
}

static void stalled(struct replica *r, uint64_t now, struct todo *t)
{
    note(t, NOTE_STALLED, r->log.seq, r->newest.seq);
    r->stall_at_ms = 0;
    if (r->o.upstreams > 1)
        change_upstream(r, NOTE_LEFT, now, t);
}

void replica_rebuild(struct replica *r)
{
    r->rebuild = r->rebuild || (!r->stopped && !r->copy_wanted && r->state != REPLICA_COPYING);
}

void replica_rotten(struct replica *r)
{
    replica_rebuild(r);
    r->rotten = r->rebuild;
}

void replica_tick(struct replica *r, uint64_t now, struct todo *t)
{
    *t = (struct todo){ .join = false };
    uint64_t since = r->heard_ms > r->changed_ms ? r->heard_ms : r->changed_ms;
    if (!behind(r))
        r->stall_at_ms = 0;
    if (now - since >= r->patience_ms) {
        change_upstream(r, NOTE_SILENT, now, t);
    } else if (r->leave_at_ms != 0 && now >= r->leave_at_ms) {
        change_upstream(r, NOTE_LEFT, now, t);
    } else if (r->stall_at_ms != 0 && now >= r->stall_at_ms) {
        stalled(r, now, t);
    } else if (r->asked != ASKED_NOTHING
               && now - r->asked_ms >= (r->asked == ASKED_HELLO ? REPLICA_HELLO_MS : REPLICA_FETCH_MS)) {
        r->count.timeouts++;
        note(t, NOTE_TIMEOUT, now - r->asked_ms, 0);
        if (r->asked == ASKED_RECORDS && r->ask_bytes > REPLY_RECORDS_MIN)
            r->ask_bytes /= 2;
        ask_hello(r, now, t);
    } else if (r->asked == ASKED_NOTHING && !r->greeted && now >= r->ask_at_ms) {
        ask_hello(r, now, t);
    } else if (r->rebuild && r->asked == ASKED_NOTHING && now >= r->probe_at_ms) {
        ask_first(r, now, t);
    }
    step(r, now, t);
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
    if (r->job != JOB_NONE || r->stopped)
        return wait;
    if (r->copy_wanted)
        sooner(&wait, now, r->copy_at_ms > r->store_at_ms ? r->copy_at_ms : r->store_at_ms);
    else if (r->asked == ASKED_NOTHING && behind(r))
        sooner(&wait, now, r->ask_at_ms > r->store_at_ms ? r->ask_at_ms : r->store_at_ms);
    return wait > 0 ? wait : 1;
}

/* --- results --------------------------------------------------------------------------------------------------------------- */
static void stored_well(struct replica *r, enum job_kind job, uint64_t now, struct todo *t)
{
    if (r->full || r->failed) {
        r->full = r->failed = false;
        note(t, NOTE_RESUMED, r->applied.seq, 0);
    }
    if (job == JOB_COPY) {
        r->copy_wanted = false;
        r->copied_ms = now;
        r->ask_at_ms = now;
        r->empties = 0;
        r->held_at = 0;
        r->asked = ASKED_NOTHING;               /* a reply on its way is for the old log */
    } else if (job == JOB_FLIP) {
        note(t, NOTE_COPIED, r->applied.seq, 0);
        happen(r, EV_FLIPPED, now, t);
    }
}

void replica_stored(struct replica *r, const struct job_result *res, uint64_t now, struct todo *t)
{
    enum job_kind job = r->job;
    *t = (struct todo){ .join = false };
    r->job = JOB_NONE;
    r->log = res->log;
    r->complete = res->complete;
    r->applied = res->applied;
    if (res->err == OK) {
        stored_well(r, job, now, t);
    } else if (job == JOB_STORE && (res->err == ERR_DIGEST || res->err == ERR_BAD)) {
        r->count.mismatches++;
        note(t, NOTE_MISMATCH, r->applied.seq, 0);
        happen(r, EV_MISMATCH, now, t);
    } else {
        r->full = res->err == ERR_FULL;
        r->failed = !r->full;
        r->store_at_ms = now + REPLICA_RETRY_MS;
        note(t, r->full ? NOTE_FULL : NOTE_STORE, r->applied.seq, 0);
    }
    step(r, now, t);
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
}
