/* What comes in: heads and records, checked against the core's key, our cluster and what we have; replies, by what was
 * asked for. */
#include "replicator/replica_parts.h"

struct position replica_head_position(const struct head *h)
{
    struct position p = { .epoch = h->epoch, .seq = h->seq };
    memcpy(p.chain, h->chain, CHAIN_LEN);
    return p;
}

/* --- heads ------------------------------------------------------------------------------------------------------------ */
bool replica_same_signed(const struct signed_head *a, const struct signed_head *b)
{
    return a->len == b->len && memcmp(a->body, b->body, a->len) == 0 && memcmp(a->sig, b->sig, HEAD_SIG_LEN) == 0;
}

enum err replica_head_verify(struct replica *r, const struct signed_head *sh)
{
    r->count.signatures++;
    return head_verify(sh, r->o.core_pub);
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

enum err replica_take_head(struct replica *r, const struct signed_head *sh, bool verified, uint64_t now, struct todo *t)
{
    struct head h;
    enum err err;
    if (r->have_head && replica_same_signed(sh, &r->newest_signed)) {
        r->count.duplicates++;
        return OK;
    }
    struct rd rd = rd_over(bytes_of(sh->body, sh->len));
    if ((err = head_read(&rd, &h)) != OK || !rd_done(&rd) || h.seq == 0 || h.epoch == 0)
        return ERR_BAD;
    if (cluster_check(r, h.cluster) != OK)      /* whose is it? costs a signature, and is rare */
        return verified || (err = replica_head_verify(r, sh)) == OK ? ERR_CLUSTER : err;
    if (r->have_head && h.epoch < r->newest.epoch)
        return ERR_EPOCH;
    struct position have = replica_head_position(&r->newest), got = replica_head_position(&h);
    int order = r->have_head ? position_compare(&got, &have) : 1;
    if (order < 0 || (order == 0 && h.time_ms <= r->newest.time_ms)) {
        r->count.duplicates++;
        return OK;
    }
    if (!verified && (err = replica_head_verify(r, sh)) != OK)
        return err;
    if (order == 0 && (memcmp(h.chain, r->newest.chain, CHAIN_LEN) != 0
                       || memcmp(h.digest, r->newest.digest, HEAD_DIGEST_LEN) != 0))
        r->forked = r->forked || (r->log.epoch == h.epoch && r->log.seq >= h.seq);
    newer_head(r, sh, &h, now, t);
    return OK;
}

/* --- records ------------------------------------------------------------------------------------------------------------ */
static enum err verify(struct replica *r, const struct record *rec, bool verified)
{
    if (verified)
        return record_agrees(rec);
    r->count.signatures++;
    return record_verify(rec, r->o.core_pub);
}

/* One record behind *at: OK when it is good and moved *at; ERR_EXISTS: ours already. May see a fork. */
static enum err take_record(struct replica *r, struct bytes bytes, bool verified, struct position *at, uint64_t now, struct todo *t)
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
    bool head_known = rec.has_head && r->have_head && replica_same_signed(&rec.signed_head, &r->newest_signed);
    if ((err = verify(r, &rec, verified || head_known)) != OK)
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
        err = replica_take_head(r, &rec.signed_head, true, now, t);     /* an older one, even of an older epoch, is fine here */
    return OK;
}

static bool may_store(const struct replica *r, uint64_t now)
{
    return r->joined && r->job == JOB_NONE && !r->stopped && now >= r->store_at_ms && !copy_holds_log(r)
        && !replica_fork_seen(r);
}

/* Held until the store is free: it must join behind what the store is given now, and what is held already. */
static enum err take_announced(struct replica *r, struct bytes record, bool verified, uint64_t now, struct todo *t)
{
    if (!r->joined || r->stopped || copy_holds_log(r) || replica_fork_seen(r))
        return OK;
    struct position from = held_count(&r->held) > 0 ? r->held.end : r->job == JOB_STORE ? r->job_end : r->log, at = from;
    enum err err = take_record(r, record, verified, &at, now, t);
    if (err == OK)
        (void)held_put(&r->held, record, &from, &at);           /* no room: fetched later */
    return err == ERR_EXISTS || err == ERR_GAP || err == ERR_FORK || err == ERR_EPOCH ? OK : err;   /* the fetch fills a gap */
}

/* Its log begins behind our place: another upstream may reach back, once; else a snapshot. */
static void unreached(struct replica *r, uint64_t first, uint64_t now, struct todo *t)
{
    note(t, NOTE_SERVER_LOG, r->log.seq + 1, first);
    r->empties++;
    if (r->log.seq == 0) {
        copy_want(r, COPY_EMPTY, now, t);
    } else if (r->o.upstreams > 1 && !r->left_short) {
        r->left_short = true;
        replica_leave(r, NOTE_LEFT, now, t);
    } else {
        copy_want(r, COPY_LOG, now, t);
    }
}

/* Nothing came that we could store. */
static void take_none(struct replica *r, const struct reply *reply, uint64_t now, struct todo *t)
{
    bool hollow = reply->first == 0 && r->have_head && replica_behind(r);
    if (reply->first > r->log.seq + 1) {
        unreached(r, reply->first, now, t);
        return;
    }
    if (!hollow)
        r->hollow_at_ms = 0;
    else if (r->hollow_at_ms == 0)          /* a relay may have thrown its log away and be about to fetch */
        r->hollow_at_ms = r->log.seq == 0 ? now : now + replica_jitter(r, REPLICA_RETRY_MS);
    if (hollow && now >= r->hollow_at_ms) {
        r->hollow_at_ms = 0;
        unreached(r, 0, now, t);
        return;
    }
    replica_ask_later(r, now);
}

static enum err take_records(struct replica *r, struct reply *reply, uint64_t now, struct todo *t)
{
    struct position at = r->log;
    struct bytes one;
    size_t n = 0;
    enum err err = OK;
    if (reply->has_head)
        err = replica_take_head(r, &reply->head, false, now, t);
    bool may = may_store(r, now) && err != ERR_CLUSTER;
    while (may && n < REPLICA_BATCH && reply_next(reply, &one)) {
        enum err got = take_record(r, one, false, &at, now, t);
        if (got == OK)
            r->batch[n++] = one;
        else if (got != ERR_EXISTS) {
            err = got == ERR_FORK ? OK : got;
            break;
        }
    }
    if (n > 0) {
        r->empties = 0;
        r->stall_at_ms = r->hollow_at_ms = 0;
        r->left_short = false;
        r->ask_at_ms = now;
        replica_give(r, JOB_STORE, n, now, t);
        r->job_end = at;
    } else if (r->job != JOB_NONE && err == OK) {
        r->ask_at_ms = now;                     /* what was announced went first: again behind it */
    } else if (may && err == OK && !r->forked) {
        take_none(r, reply, now, t);
    } else {
        replica_ask_later(r, now);
    }
    return err;
}

/* --- messages ------------------------------------------------------------------------------------------------------------ */
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

/* A head alone, which this lot has a newer one of: nothing follows from it. */
static bool is_overtaken(struct replica *r, const struct announce *a)
{
    struct head h;
    struct rd rd = rd_over(bytes_of(a->head.body, a->head.len));
    if (r->gathered.newest.seq == 0 || a->record.len > 0 || head_read(&rd, &h) != OK)
        return false;
    struct position at = replica_head_position(&h);
    return position_compare(&at, &r->gathered.newest) < 0;
}

static enum err take_announce(struct replica *r, struct bytes msg, enum proof proof, uint64_t now, struct todo *t)
{
    struct announce a;
    bool verified = proof == PROOF_GOOD;
    *t = (struct todo){ .join = false };
    enum err err = proof == PROOF_BAD ? ERR_SIGNATURE : announce_read(msg, &a);
    if (err == OK && is_overtaken(r, &a)) {
        r->count.duplicates++;
        return OK;
    }
    if (err == OK)
        err = replica_take_head(r, &a.head, verified, now, t);
    if (t->heard) {
        t->forward = msg;
        t->nodes = a.nodes;
    }
    if (err == OK && a.record.len > 0)
        err = take_announced(r, a.record, verified, now, t);
    if (err == OK && !t->heard && r->empties > 0)
        r->ask_at_ms = now;                     /* a relay repeats a head when it has its records */
    return counted(r, err);
}

bool replica_gather(struct replica *r, struct bytes msg)
{
    return gathered_put(&r->gathered, msg);
}

bool replica_hear(struct replica *r, uint64_t now, enum err *err, struct todo *t)
{
    struct gathered *g = &r->gathered;
    if (g->heard == 0)
        replica_prove(r);
    if (g->heard == g->n) {
        gathered_clear(g);
        return false;
    }
    size_t i = g->heard++;
    *err = take_announce(r, gathered_at(g, i), g->proof[i], now, t);
    return true;
}

void replica_go(struct replica *r, uint64_t now, struct todo *t)
{
    *t = (struct todo){ .join = false };
    replica_step(r, now, t);
}

enum err replica_announce(struct replica *r, struct bytes msg, uint64_t now, struct todo *t)
{
    enum err err = take_announce(r, msg, PROOF_OWN, now, t);
    replica_step(r, now, t);
    return err;
}

/* The pace: replies that take long are asked for smaller, so that a slow line does not run into the timeout. */
static void pace(struct replica *r, uint64_t took_ms)
{
    if (took_ms > 700 && r->ask_bytes > REPLY_RECORDS_MIN)
        r->ask_bytes /= 2;
    else if (took_ms < 200 && r->ask_bytes < REPLY_RECORDS_MAX)
        r->ask_bytes = 2 * r->ask_bytes < REPLY_RECORDS_MAX ? 2 * r->ask_bytes : REPLY_RECORDS_MAX;
}

static enum err take_hello(struct replica *r, const struct reply *reply, uint64_t now, struct todo *t)
{
    bool few = reply->first <= 1 && reply->last <= REPLICA_LOG_SHORT;
    note(t, NOTE_HELLO, reply->first, reply->last);
    r->greeted = true;
    r->ask_at_ms = now;
    r->empties = 0;
    if (r->log.seq == 0 && !few && !r->log_will_do && r->copy.why == COPY_NOT)
        copy_want(r, COPY_EMPTY, now, t);
    return OK;
}

static void take_error(struct replica *r, const struct reply *reply, enum asked asked, uint64_t now, struct todo *t)
{
    if (reply->code == REPLY_NONCE) {               /* the server is another than the one that we greeted */
        r->greeted = false;
        replica_ask_later(r, now);
        if (asked == ASKED_CHUNK)
            copy_in_vain(r, now, t);
    } else if (reply->code == REPLY_UNLISTED) {
        note(t, NOTE_REFUSED, reply->code, 0);
        r->greeted = false;
        r->refused_ms = now + replica_jitter(r, REPLICA_RETRY_MS);
        if (r->o.upstreams > 1) {
            r->leave_at_ms = r->refused_ms;
            r->refused_ms += REPLICA_TICK_MS;       /* the tick is first */
        }
    } else if (asked == ASKED_MANIFEST || asked == ASKED_CHUNK) {
        copy_refused(r, reply, asked, now, t);
    } else {
        if (reply->code != REPLY_LATER)
            note(t, NOTE_REFUSED, reply->code, 0);
        r->refused_ms = now + replica_jitter(r, reply->code == REPLY_LATER ? BACKOFF_LAST_MS : 2 * BACKOFF_LAST_MS);
    }
}

enum err replica_reply(struct replica *r, struct bytes msg, uint64_t now, struct todo *t)
{
    static const uint64_t types[] = { [ASKED_HELLO] = MESSAGE_HELLO, [ASKED_RECORDS] = MESSAGE_RECORDS,
                                      [ASKED_MANIFEST] = MESSAGE_MANIFEST, [ASKED_CHUNK] = MESSAGE_CHUNK };
    struct reply reply;
    enum asked asked = r->asked;
    *t = (struct todo){ .join = false };
    enum err err = reply_read(msg, &reply);
    if (asked == ASKED_NOTHING)                 /* nobody waits for it any more */
        return counted(r, err);
    r->asked = ASKED_NOTHING;
    if (err == OK && reply.type == MESSAGE_ERROR) {
        take_error(r, &reply, asked, now, t);
    } else if (err != OK || reply.type != types[asked] || (asked == ASKED_RECORDS && reply.after > r->log.seq)) {
        r->refused_ms = now + replica_jitter(r, BACKOFF_FIRST_MS);
        replica_ask_later(r, now);
        if (asked == ASKED_MANIFEST || asked == ASKED_CHUNK)
            copy_garbled(r, now, t);
    } else if (asked == ASKED_HELLO) {
        err = take_hello(r, &reply, now, t);
    } else if (asked == ASKED_RECORDS) {
        pace(r, now - r->asked_ms);
        err = take_records(r, &reply, now, t);
    } else if (asked == ASKED_MANIFEST) {
        err = copy_take_manifest(r, &reply, now, t);
    } else {
        err = copy_take_chunk(r, &reply, now, t);
    }
    replica_step(r, now, t);
    return counted(r, err);
}
