#include "replicator/edge.h"

#include <inttypes.h>

#define LARGE_BYTES ((size_t)256 * 1024)    /* some 5,000 small ops: about 10 ms */

static void forget_log(struct edge *e)
{
    e->log = e->applied;
    e->complete = e->applied.seq;
    e->served = (struct signed_head){ .len = 0 };
}

static enum err load_applied(struct edge *e)
{
    return replay_applied(&e->replay, &e->applied, &e->head);
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
        e->served = e->head;
    return err;
}

void edge_close(struct edge *e)
{
    if (e->store != NULL && store_is_fresh(e->store))
        store_fresh_drop(e->store);
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
    enum err err = job->n > 0 ? log_begin(e->store, &txn, fault) : OK;
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

/* What was filled is wrong, or cannot be used: back to the data that readers see. The log belonged to it. */
static enum err give_up_copy(struct edge *e, struct fault *fault)
{
    store_fresh_drop(e->store);
    enum err err = replay_cut(&e->replay, 0, fault);
    if (err == OK && (err = load_applied(e)) == OK)
        forget_log(e);
    return err;
}

static enum err copy(struct edge *e, struct fault *fault)
{
    enum err err = store_is_fresh(e->store) ? give_up_copy(e, fault) : OK;
    if (err == OK)
        err = store_fresh_begin(e->store, fault);
    if (err == OK) {
        e->applied = (struct position){ 0 };
        e->head = (struct signed_head){ .len = 0 };
        forget_log(e);
    }
    return err;
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
        if ((err == ERR_DIGEST || err == ERR_BAD) && store_is_fresh(e->store) && give_up_copy(e, NULL) != OK)
            forget_log(e);          /* the next copy empties it */
        break;
    case JOB_COPY: err = copy(e, fault); break;
    case JOB_FLIP: err = store_fresh_flip(e->store, fault); break;
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
