/* Copying a snapshot:
 *
 *     manifest, in pieces ─► COPY ─► chunk 0 ─► LOAD 0 ─► LOAD 1 ... ─► FLIP
 *                                      chunk 1 ─┘ comes while 0 is loaded
 *
 * Nothing is believed but a head with the core's signature, and no memory taken but what such a head can need. */
#include "replicator/replica_parts.h"

#include <sodium.h>
#include <stdlib.h>

#define LATER_FIRST_MS 10
#define LATER_LAST_MS 30000
#define FAIL_MS 1000                    /* an upstream that was no good: the next after 1, 2, 4 ... s */
#define FAIL_DOUBLES 6
#define SLOW_DOUBLES 3                  /* a chunk may take 80 s at most */
#define VAIN_MOST 4
#define FOLLOW_MS 5000                  /* a snapshot that is not there by then takes so long that it would be too old */
#define HALT_MS 600000                  /* so long at most rotten data waits for one; then it is followed again for a while */
#define CALM_MS 60000                   /* copies further apart than this do not hold each other up */

static bool hard(enum copy_why why)
{
    return why == COPY_FORK || why == COPY_MISMATCH;
}

bool copy_holds_log(const struct replica *r)
{
    const struct copy *c = &r->copy;
    return c->why != COPY_NOT && ((c->why != COPY_ROTTEN && c->why != COPY_KEY) || c->manifest != NULL || c->fresh || c->halted);
}

static uint64_t doubled(uint64_t first, unsigned times, unsigned most)
{
    return first << (times < most ? times : most);
}

/* --- what is at hand ------------------------------------------------------------------------------------------------------ */
static void coming_forget(struct copy *c)
{
    free(c->coming.bytes);
    c->coming = (struct copy_manifest){ .bytes = NULL };
}

/* What is in the fresh generation goes with a job. */
static void manifest_forget(struct replica *r)
{
    struct copy *c = &r->copy;
    free(c->manifest);
    c->manifest = NULL;
    c->manifest_len = 0;
    c->sure = c->begun = false;
    c->loaded = c->next = c->waiting_len = 0;
    c->stale = r->job == JOB_COPY || r->job == JOB_LOAD;
}

void copy_release(struct replica *r)
{
    struct copy *c = &r->copy;
    coming_forget(c);
    manifest_forget(r);
    free(c->waiting);
    c->waiting = NULL;
}

/* The least position that helps: what is shown never goes back within an epoch. */
static struct position least(const struct replica *r)
{
    const struct copy *c = &r->copy;
    struct position p = { .epoch = r->applied.epoch, .seq = r->applied.seq };
    if ((c->why == COPY_FORK || r->applied.seq == 0) && r->have_head && r->newest.epoch != p.epoch)
        return (struct position){ .epoch = r->newest.epoch };
    if (c->why == COPY_LOG || c->why == COPY_KEY)
        p.seq++;
    if (c->why == COPY_MISMATCH && c->least_seq > p.seq)
        p.seq = c->least_seq;
    return p;
}

/* Its history ended before it: a newer epoch went on from a place that it is beyond. */
static bool dead_end(const struct replica *r, const struct head *h)
{
    return r->have_head && h->epoch < r->newest.epoch && h->seq >= r->newest.seq;
}

static bool outdated(const struct replica *r)
{
    struct position have = replica_head_position(&r->copy.m.about.head), want = least(r);
    return position_compare(&have, &want) < 0 || dead_end(r, &r->copy.m.about.head);
}

/* --- wishes ---------------------------------------------------------------------------------------------------------------- */
void copy_want(struct replica *r, enum copy_why why, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    if (c->why != COPY_NOT && (hard(c->why) || !hard(why)) && why != COPY_FORK)
        return;
    if (c->why == COPY_NOT) {
        if (now - r->copied_ms > CALM_MS)
            r->copies_near = 0;
        uint64_t at = r->copies_near == 0 ? now : now + replica_jitter(r, doubled(FAIL_MS, r->copies_near, FAIL_DOUBLES));
        c->at_ms = at > c->at_ms ? at : c->at_ms;
        c->given_ms = now;
        c->later_ms = c->follow_ms = 0;
        c->halted = false;
    }
    c->why = why;
    c->least_seq = r->complete;
    if (hard(why))
        replica_happen(r, EV_LOST, now, t);
}

void copy_keyed(struct replica *r)
{
    if (r->copy.why != COPY_KEY || copy_holds_log(r))
        return;
    r->copy.why = COPY_NOT;
    coming_forget(&r->copy);
}

/* Of a copy that is not begun: the log may do after all. */
static void unwant(struct replica *r, uint64_t now)
{
    r->log_will_do = true;
    r->copy.why = COPY_NOT;
    r->ask_at_ms = now;
    coming_forget(&r->copy);
}

/* What came was not what was asked for, or damaged on its way: the next upstream, and not too soon. What is loaded already
 * may go on there. */
static void doubt(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    c->at_ms = now + replica_jitter(r, doubled(FAIL_MS, c->fails, FAIL_DOUBLES));
    c->fails++;
    c->later_ms = 0;
    c->vain = 0;
    c->sure = false;
    coming_forget(c);
    replica_leave(r, NOTE_LEFT, now, t);
}

void copy_follow(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    bool halted = c->halted;
    c->halted = false;
    c->follow_ms = 0;
    if (halted && c->why == COPY_ROTTEN && r->state == REPLICA_COPYING)
        replica_happen(r, EV_OVER, now, t);
}

/* A snapshot that is made while we go on is older than our data when it is there, and never any good where much changes. */
static void halt_or_follow(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    if (c->why != COPY_ROTTEN || c->manifest != NULL)
        return;
    if (c->follow_ms == 0)
        c->follow_ms = now;
    if (now - c->follow_ms >= HALT_MS) {
        copy_follow(r, now, t);
    } else if (now - c->follow_ms >= FOLLOW_MS && !c->halted) {
        c->halted = true;
        replica_happen(r, EV_LOST, now, t);
    }
}

/* This upstream's snapshot is no good, or it has none. What can be followed is followed meanwhile. */
static void no_good(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    manifest_forget(r);
    copy_follow(r, now, t);
    doubt(r, now, t);
    if (!hard(c->why) && r->state == REPLICA_COPYING)
        replica_happen(r, EV_OVER, now, t);
    if ((c->why == COPY_LOG || c->why == COPY_EMPTY) && !c->fresh && c->fails % r->o.upstreams == 0)
        unwant(r, now);
}

void copy_garbled(struct replica *r, uint64_t now, struct todo *t)
{
    if (r->copy.why != COPY_NOT)
        doubt(r, now, t);
}

/* --- asking ---------------------------------------------------------------------------------------------------------------- */
static void ask_manifest(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    if (c->coming.got == 0)
        c->asked = least(r);
    struct request q = { .type = MESSAGE_MANIFEST, .epoch = c->asked.epoch, .seq = c->asked.seq, .offset = c->coming.got };
    replica_ask(r, ASKED_MANIFEST, &q, now, t);
}

static void ask_chunk(struct replica *r, uint64_t now, struct todo *t)
{
    const struct head *h = &r->copy.m.about.head;
    struct request q = { .type = MESSAGE_CHUNK, .epoch = h->epoch, .seq = h->seq, .offset = r->copy.next };
    replica_ask(r, ASKED_CHUNK, &q, now, t);
}

static bool wants_manifest(const struct replica *r)
{
    const struct copy *c = &r->copy;
    return c->manifest == NULL || (!c->sure && c->next < c->m.chunks);
}

static bool wants_chunk(const struct replica *r)
{
    const struct copy *c = &r->copy;
    return c->manifest != NULL && c->sure && c->next < c->m.chunks && c->waiting_len == 0
        && (c->begun || r->job == JOB_COPY);
}

void copy_asks(struct replica *r, uint64_t now, struct todo *t)
{
    if (r->copy.why == COPY_NOT || now < r->copy.at_ms)
        return;
    if (wants_manifest(r))
        ask_manifest(r, now, t);
    else if (wants_chunk(r))
        ask_chunk(r, now, t);
}

uint64_t copy_due_ms(const struct replica *r)
{
    bool wants = r->copy.why != COPY_NOT && (wants_manifest(r) || wants_chunk(r));
    return wants ? r->copy.at_ms : UINT64_MAX;
}

uint64_t copy_patience_ms(const struct replica *r)
{
    return r->asked == ASKED_CHUNK ? doubled(REPLICA_FETCH_MS, r->copy.slow, SLOW_DOUBLES) : REPLICA_FETCH_MS;
}

void copy_cut(struct replica *r, enum asked asked)
{
    struct copy *c = &r->copy;
    c->sure = false;
    c->later_ms = 0;
    coming_forget(c);
    if (asked == ASKED_CHUNK)
        c->slow++;
}

/* --- the manifest ------------------------------------------------------------------------------------------------------------ */
/* The first piece: is its head one that we may copy? Only then memory is taken. */
static enum err manifest_begin(struct replica *r, const struct reply *reply, uint64_t now, struct todo *t)
{
    struct copy_manifest *in = &r->copy.coming;
    struct head h;
    struct rd rd = rd_over(bytes_of(reply->head.body, reply->head.len));
    enum err err = head_read(&rd, &h);
    if (err != OK || !rd_done(&rd) || h.seq == 0 || h.epoch == 0)
        return ERR_BAD;
    if ((err = replica_head_verify(r, &reply->head)) != OK)
        return err;
    if (r->joined && memcmp(h.cluster, r->cluster, CLUSTER_LEN) != 0)
        return ERR_CLUSTER;
    struct position at = replica_head_position(&h);
    if (position_compare(&at, &r->copy.asked) < 0 || dead_end(r, &h))
        return h.epoch < r->copy.asked.epoch || dead_end(r, &h) ? ERR_EPOCH : ERR_BAD;
    if (reply->total == 0 || reply->total > snapshot_manifest_most(&h))
        return ERR_LIMIT;
    if ((err = replica_take_head(r, &reply->head, true, now, t)) != OK && err != ERR_EPOCH)
        return err;                     /* an older one is fine: the log goes on from it */
    if ((in->bytes = malloc(reply->total)) == NULL)
        return ERR_NOMEM;
    in->head = h;
    in->signed_head = reply->head;
    in->total = reply->total;
    in->got = 0;
    return OK;
}

static bool same_entries(const struct snapshot_manifest *a, const struct snapshot_manifest *b)
{
    const struct head *x = &a->about.head, *y = &b->about.head;
    return x->epoch == y->epoch && x->seq == y->seq && memcmp(x->digest, y->digest, HEAD_DIGEST_LEN) == 0
        && bytes_equal(a->table, b->table);
}

static enum err manifest_whole(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    struct snapshot_manifest m;
    enum err err = snapshot_manifest_read(bytes_of(c->coming.bytes, c->coming.total), &m);
    if (err != OK || !replica_same_signed(&m.about.signed_head, &c->coming.signed_head))
        return err != OK ? err : ERR_BAD;
    if (c->manifest != NULL && same_entries(&c->m, &m)) {
        coming_forget(c);
        if (c->begun) {
            r->count.resumed++;
            note(t, NOTE_COPY_SAME, c->next, r->upstream);
        }
    } else {
        manifest_forget(r);             /* what was begun for another is dropped by the job */
        c->manifest = c->coming.bytes;
        c->manifest_len = c->coming.total;
        c->m = m;
        c->coming.bytes = NULL;
        coming_forget(c);
    }
    c->sure = true;
    if (r->state != REPLICA_COPYING)
        replica_happen(r, EV_LOST, now, t);
    return OK;
}

static enum err manifest_piece(struct replica *r, const struct reply *reply, uint64_t now, struct todo *t)
{
    struct copy_manifest *in = &r->copy.coming;
    enum err err = in->bytes == NULL ? manifest_begin(r, reply, now, t) : OK;
    if (err != OK)
        return err;
    if (reply->total != in->total || reply->bytes.len == 0 || reply->bytes.len > in->total - in->got)
        return ERR_BAD;
    memcpy(in->bytes + in->got, reply->bytes.ptr, reply->bytes.len);
    in->got += reply->bytes.len;
    r->stall_at_ms = 0;
    return in->got == in->total ? manifest_whole(r, now, t) : OK;
}

enum err copy_take_manifest(struct replica *r, const struct reply *reply, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    if (c->why == COPY_NOT)
        return OK;
    c->given_ms = now;
    c->later_ms = 0;
    if (reply->offset == c->coming.got && c->coming.bytes != NULL
        && !replica_same_signed(&reply->head, &c->coming.signed_head)) {
        coming_forget(c);               /* it is a newer one by now: begin with its first piece */
        c->at_ms = now + replica_jitter(r, BACKOFF_FIRST_MS);
        return OK;
    }
    enum err err = reply->offset == c->coming.got ? manifest_piece(r, reply, now, t) : ERR_BAD;
    if (err != OK)
        no_good(r, now, t);
    return err;
}

/* --- chunks ------------------------------------------------------------------------------------------------------------------- */
static void give_chunk(struct replica *r, struct bytes chunk, size_t index, uint64_t now, struct todo *t)
{
    replica_give(r, JOB_LOAD, 0, now, t);
    t->job.bytes = chunk;
    t->job.index = index;
}

static bool chunk_fits(const struct snapshot_chunk *row, struct bytes chunk)
{
    uint8_t hash[SNAPSHOT_HASH_LEN];
    if (chunk.len != row->stored)
        return false;
    (void)crypto_generichash(hash, sizeof hash, chunk.ptr, chunk.len, NULL, 0);
    return memcmp(hash, row->hash, sizeof hash) == 0;
}

static bool chunk_keep(struct copy *c, struct bytes chunk)
{
    if (c->waiting == NULL && (c->waiting = malloc(SNAPSHOT_STORED_MAX)) == NULL)
        return false;
    memcpy(c->waiting, chunk.ptr, chunk.len);
    c->waiting_len = chunk.len;
    return true;
}

enum err copy_take_chunk(struct replica *r, const struct reply *reply, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    const struct head *h = &c->m.about.head;
    if (c->why == COPY_NOT || !wants_chunk(r))
        return OK;
    c->given_ms = now;
    c->later_ms = 0;
    c->slow = c->vain = 0;
    struct snapshot_chunk row = snapshot_row(c->m.table, c->next);
    if (reply->epoch != h->epoch || reply->seq != h->seq || reply->offset != c->next || !chunk_fits(&row, reply->bytes)) {
        doubt(r, now, t);
        return ERR_BAD;
    }
    if (r->job == JOB_NONE && now >= r->store_at_ms)
        give_chunk(r, reply->bytes, c->next, now, t);
    else if (!chunk_keep(c, reply->bytes)) {
        c->at_ms = now + BACKOFF_LAST_MS;
        return OK;
    }
    c->next++;
    r->stall_at_ms = 0;
    return OK;
}

void copy_in_vain(struct replica *r, uint64_t now, struct todo *t)
{
    if (r->copy.why != COPY_NOT && ++r->copy.vain >= VAIN_MOST)
        doubt(r, now, t);
}

/* "Later", for so long: what is loaded may go on elsewhere. */
static void waited_enough(struct replica *r, uint64_t now, struct todo *t)
{
    if (r->o.upstreams == 1)
        return;
    if (r->copy.begun || r->copy.halted)
        doubt(r, now, t);
    else
        no_good(r, now, t);
}

void copy_refused(struct replica *r, const struct reply *reply, enum asked asked, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    uint64_t wait = reply->wait_ms < LATER_FIRST_MS ? LATER_FIRST_MS : reply->wait_ms < LATER_LAST_MS ? reply->wait_ms
                                                                                                    : LATER_LAST_MS;
    c->given_ms = now;
    switch (reply->code) {
    case REPLY_LATER:
        c->at_ms = now + wait + replica_jitter(r, wait / 2);
        if (c->later_ms == 0)
            c->later_ms = now;
        note(t, NOTE_LATER, wait, 0);
        halt_or_follow(r, now, t);
        if (now - c->later_ms >= REPLICA_COPY_PATIENCE_MS)
            waited_enough(r, now, t);
        break;
    case REPLY_GONE:
        c->sure = false;
        coming_forget(c);
        c->at_ms = now + replica_jitter(r, asked == ASKED_CHUNK ? BACKOFF_FIRST_MS : BACKOFF_LAST_MS);
        if (asked == ASKED_CHUNK)
            copy_in_vain(r, now, t);
        break;
    default:
        note(t, NOTE_REFUSED, reply->code, 0);
        no_good(r, now, t);
        c->at_ms = later(c->at_ms, reply->wait_ms > 0 ? now + wait : 0);
    }
}

/* --- jobs --------------------------------------------------------------------------------------------------------------------- */
static void begin(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    c->loaded = c->next = c->waiting_len = 0;
    c->fresh = true;
    c->begun_ms = now;
    r->count.copies++;
    replica_note(t, &(struct note){ NOTE_COPY, c->m.about.head.seq, c->why, r->upstream, c->m.chunks, c->m.stored });
    replica_give(r, JOB_COPY, 0, now, t);
    t->job.bytes = bytes_of(c->manifest, c->manifest_len);
}

void copy_jobs(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    if (c->manifest != NULL && outdated(r)) {
        manifest_forget(r);
        c->at_ms = now + replica_jitter(r, BACKOFF_FIRST_MS);
    }
    if (c->manifest == NULL) {
        if (c->fresh)
            replica_give(r, JOB_DROP, 0, now, t);
        else if (r->state == REPLICA_COPYING && !copy_holds_log(r))
            replica_happen(r, EV_OVER, now, t);     /* the log is fetched on until there is another */
    } else if (!c->begun) {
        begin(r, now, t);
    } else if (c->waiting_len > 0) {
        give_chunk(r, bytes_of(c->waiting, c->waiting_len), c->next - 1, now, t);
        c->waiting_len = 0;
    } else if (c->loaded == c->m.chunks) {
        replica_give(r, JOB_FLIP, 0, now, t);
    }
}

static void flipped(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    replica_note(t, &(struct note){ .kind = NOTE_COPIED, .a = r->applied.seq, .b = now - c->begun_ms, .c = c->m.entries });
    r->suspect = c->why == COPY_MISMATCH;
    r->forked = r->rotten = r->left_short = r->log_will_do = false;
    r->copied_ms = r->ask_at_ms = now;
    r->copies_near++;
    r->empties = 0;
    r->held_at = 0;
    r->stall_at_ms = r->hollow_at_ms = 0;
    if (r->asked == ASKED_MANIFEST || r->asked == ASKED_CHUNK)
        r->asked = ASKED_NOTHING;
    copy_release(r);
    *c = (struct copy){ .why = COPY_NOT };
    replica_happen(r, EV_OVER, now, t);
}

void copy_stored_well(struct replica *r, enum job_kind job, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    bool stale = c->stale;
    c->stale = false;
    switch (job) {
    case JOB_COPY: c->begun = !stale; break;
    case JOB_LOAD:
        r->count.chunks++;
        c->loaded += !stale;
        break;
    case JOB_FLIP: flipped(r, now, t); break;
    default: c->fresh = false;
    }
}

/* The store cannot take it now. Rotten data is followed on until the next try; all else waits for it. */
static void put_off(struct replica *r, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    uint64_t at = now + replica_jitter(r, doubled(REPLICA_RETRY_MS, c->fulls, FAIL_DOUBLES));
    c->fulls++;
    c->loaded = c->next = c->waiting_len = 0;
    if (c->why != COPY_ROTTEN) {
        r->store_at_ms = at;
        return;
    }
    manifest_forget(r);
    copy_follow(r, now, t);
    c->at_ms = at;
    if (r->state == REPLICA_COPYING)
        replica_happen(r, EV_OVER, now, t);
}

void copy_stored_badly(struct replica *r, enum job_kind job, bool bad, uint64_t now, struct todo *t)
{
    struct copy *c = &r->copy;
    bool stale = c->stale;
    size_t number = job == JOB_FLIP ? c->m.chunks + 1 : job == JOB_LOAD ? c->loaded + 1 : 0;
    c->stale = c->begun = false;
    c->fresh = job == JOB_DROP;         /* not even begun, for want of memory: again */
    if (bad && !stale && job != JOB_DROP) {
        r->count.copies_bad++;
        note(t, NOTE_COPY_BAD, number, c->m.chunks);
        no_good(r, now, t);
    } else if (!bad) {
        put_off(r, now, t);
    }
}
