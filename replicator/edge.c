#include "replicator/edge.h"

#include <inttypes.h>

#define LARGE_BYTES ((size_t)256 * 1024)    /* some 5,000 small ops: about 10 ms */

static enum err load_applied(struct edge *e)
{
    return replay_applied(&e->replay, &e->applied, &e->head);
}

/* What could not be applied yet, for want of a key or of room, may be handed on all the same. */
static void served_load(struct edge *e)
{
    struct record rec;
    e->served = e->head;
    if (e->complete > e->applied.seq && replay_record(&e->replay, e->complete, &rec) == OK && rec.has_head)
        e->served = rec.signed_head;
}

enum err edge_open(struct edge *e, struct store *s, const uint8_t core_pub[32], struct fault *fault)
{
    struct replay_tail t;
    struct replay_done done;
    *e = (struct edge){ .store = s };
    fault->text[0] = '\0';
    enum err err = replay_open(&e->replay, s, core_pub, fault);
    if (err == OK && (err = replay_walk(&e->replay, &t, fault)) == OK && t.broken)
        err = replay_cut(&e->replay, t.cut_after, fault);
    if (err != OK) {
        edge_close(e);
        return err;
    }
    if (t.broken)
        fault_set(fault, OK, "log does not join the data at seq %" PRIu64 " (%s): cut after %" PRIu64, t.applied.seq,
                  err_text(t.why), t.cut_after);
    e->log = t.log;
    e->complete = t.complete;
    if (t.complete > t.applied.seq) {
        struct fault why = { .text = "" };
        err = replay_apply(&e->replay, t.complete, &done, &why);
        e->transactions = done.transactions;
        e->ops = done.ops;
        if (err == ERR_DIGEST || err == ERR_BAD) {      /* signed, and yet wrong here: fetched again, then copied */
            fault_set(fault, OK, "log cannot be applied (%s): emptied", fault_text(&why, err));
            err = replay_cut(&e->replay, 0, &why);
            e->log = done.applied;
            e->complete = done.applied.seq;
        } else if (err != OK) {
            fault_set(fault, OK, "log cannot be applied yet (%s)", fault_text(&why, err));
            err = OK;                                   /* full, say: the replica tries again */
        }
        if (err != OK) {
            fault_set(fault, err, "cannot empty the log: %s", fault_text(&why, err));
            edge_close(e);
            return err;
        }
    }
    if ((err = load_applied(e)) == OK)
        served_load(e);
    return err;
}

void edge_close(struct edge *e)
{
    edge_copy_drop(&e->copy);
    replay_close(&e->replay);
    *e = (struct edge){ 0 };
}

void edge_start(const struct edge *e, struct replica_start *out)
{
    *out = (struct replica_start){ .log = e->log, .applied = e->applied, .complete = e->complete, .head = e->head };
    memcpy(out->cluster, store_cluster(e->store), CLUSTER_LEN);
}

/* All records, or none. */
static enum err append(struct edge *e, const struct job *job, struct fault *fault)
{
    struct log_txn *txn = NULL;
    struct position at = e->log;
    uint64_t complete = e->complete;
    struct signed_head served = e->served;
    struct record rec;
    enum err err = OK;
    if (job->n > 0 && e->log_stale && (err = replay_cut(&e->replay, 0, fault)) == OK)
        e->log_stale = false;
    if (job->n > 0 && err == OK)
        err = log_begin(e->store, &txn, fault);
    for (size_t i = 0; i < job->n && err == OK; i++) {
        if ((err = record_read(job->records[i], &rec)) != OK || (err = record_joins(&at, &rec)) != OK)
            fault_set(fault, err, "record behind seq %" PRIu64 ": %s", at.seq, err_text(err));
        else
            err = log_append(txn, rec.seq, job->records[i], fault);
        if (err == OK) {
            position_move(&at, &rec);
            if (!rec.more) {
                complete = rec.seq;
                served = rec.signed_head;
            }
        }
    }
    if (err != OK) {
        log_abort(txn);
        return err == ERR_BAD || err == ERR_DIGEST ? ERR_STORE : err;      /* those two words are about the data */
    }
    if (txn != NULL && (err = log_commit(txn, fault)) != OK)
        return err;
    e->log = at;
    e->complete = complete;
    e->served = served;
    return OK;
}

static enum err apply(struct edge *e, uint64_t apply_to, struct fault *fault)
{
    struct replay_done done;
    uint64_t to = e->complete;
    enum err err = OK;
    if (apply_to < to)
        err = replay_end_before(&e->replay, e->applied.seq, apply_to, &to);
    if (err != OK)
        return fault_set(fault, ERR_STORE, "cannot read the log: %s", err_text(err));
    if (to <= e->applied.seq)
        return OK;
    err = replay_apply(&e->replay, to, &done, fault);
    if (done.applied.seq > e->applied.seq || done.transactions > 0) {
        e->applied = done.applied;
        e->head = done.head;
    }
    e->transactions += done.transactions;
    e->ops += done.ops;
    return err;
}

static unsigned generation(struct edge *e)
{
    struct store_figures f;
    return store_figures(e->store, &f) == OK ? f.generation : 0;
}

/* The log is empty behind it, or counts as empty: what could not be removed goes before the next record comes. */
static enum err flip(struct edge *e, struct fault *fault)
{
    unsigned before = generation(e);
    enum err err = edge_copy_flip(&e->copy, fault);
    if (err != OK && generation(e) == before)
        return err == ERR_SHORT ? ERR_BAD : err;
    e->log_stale = err != OK;
    if ((err = load_applied(e)) != OK)
        return fault_set(fault, ERR_STORE, "cannot read the copied head: %s", err_text(err));
    e->log = e->applied;
    e->complete = e->applied.seq;
    e->served = e->log_stale ? (struct signed_head){ .len = 0 } : e->head;
    return OK;
}

static enum err copy(struct edge *e, struct bytes manifest, struct fault *fault)
{
    enum err err = edge_copy_begin(&e->copy, e->store, manifest, fault);
    return err == ERR_SHORT || err == ERR_FORMAT ? ERR_BAD : err;
}

void edge_forget_copy(struct edge *e)
{
    edge_copy_drop(&e->copy);
}

void edge_do(struct edge *e, const struct job *job, struct job_result *out, struct fault *fault)
{
    enum err err = OK;
    fault->text[0] = '\0';
    switch (job->kind) {
    case JOB_NONE: break;
    case JOB_STORE:
        if ((err = append(e, job, fault)) == OK)
            err = apply(e, job->apply_to, fault);
        break;
    case JOB_COPY: err = copy(e, job->bytes, fault); break;
    case JOB_LOAD: err = edge_copy_chunk(&e->copy, job->index, job->bytes, fault); break;
    case JOB_FLIP: err = flip(e, fault); break;
    case JOB_DROP: edge_forget_copy(e); break;
    }
    *out = (struct job_result){ .err = err, .log = e->log, .complete = e->complete, .applied = e->applied };
}

bool edge_is_large(const struct edge *e, const struct job *job)
{
    size_t bytes = 0;
    for (size_t i = 0; i < job->n; i++)
        bytes += job->records[i].len;
    /* parts that waited in the log are applied with the last one */
    return job->kind != JOB_STORE || bytes > LARGE_BYTES || e->log.more || e->log.seq > e->applied.seq;
}
