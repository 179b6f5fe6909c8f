/* A new epoch: history goes on from here under a higher number. Its first record changes nothing; it names the record
 * before it by seq and chain hash like any other, so whoever stands exactly there goes on, and whoever went further on
 * the old history sees that it was left behind.
 *
 * A core begins one when an operator asks for it, behind a restored backup, and when its log is lost: it does not lead to
 * the data, or stops being readable. What the log held can then not be handed out again, and edges may hold more of it
 * than the data does. Data that is whole, and ours, is what goes on. */
#include "replicator/committer.h"

#include <inttypes.h>
#include <stdio.h>

enum err commit_raise_epoch(struct committer *c, uint64_t above, uint64_t *seq, struct fault *fault)
{
    uint64_t got = 0, epoch = commit_epoch(c);
    enum err err = commit_flush(c, fault);
    if (err == OK)
        err = commit_stage_epoch(c, (epoch > above ? epoch : above) + 1, &got, fault);
    if (err == OK)
        err = commit_flush(c, fault);
    if (err == OK)
        *seq = got;
    return err;
}

/* --- a log that is lost ------------------------------------------------------------------------------------------------- */
static enum err foreign(struct fault *fault, const char *what)
{
    return fault_set(fault, ERR_SIGNATURE, "%s signed by another key than DIR/node.key: put that key back", what);
}

static enum err entries_count(struct view *v, uint64_t *out)
{
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    struct ns_figures f;
    size_t n = 0;
    *out = 0;
    enum err err = view_namespaces(v, names, &n);
    for (size_t i = 0; i < n && err == OK; i++) {
        if ((err = view_ns_figures(v, bytes_of_text(names[i]), &f)) == OK)
            *out += f.entries;
    }
    return err;
}

/* As much as can be seen without reading every entry, beside what store_open has looked at: `azoth verify` does that. */
static enum err data_check(struct committer *c, struct fault *fault)
{
    struct view *v = NULL;
    struct head h;
    struct signed_head sh;
    uint64_t entries = 0;
    enum err err = view_open(c->store, &v, fault);
    if (err != OK)
        return err;
    if ((err = view_begin(v)) == OK) {
        if ((err = view_head(v, &h, &sh)) == OK)
            err = entries_count(v, &entries);
        view_end(v);
    }
    view_close(v);
    if (err != OK)
        return fault_set(fault, err, "cannot read the data: %s", err_text(err));
    if (head_verify(&sh, c->key.pub) != OK)
        return foreign(fault, "the data was");
    if (entries != h.keys)
        return fault_set(fault, ERR_DIGEST, "log and data do not join, and the data holds %" PRIu64 " entries where its head "
                         "says %" PRIu64 ": restore a backup", entries, h.keys);
    return OK;
}

/* The highest epoch that the log knows of: the new one must be above it. */
static enum err log_epoch(struct committer *c, uint64_t last, uint64_t *out, struct fault *fault)
{
    struct record rec;
    *out = 0;
    if (last == 0 || replay_record(&c->replay, last, &rec) != OK)
        return OK;                      /* damaged: whose it was cannot be said */
    if (memcmp(rec.cluster, store_cluster(c->store), CLUSTER_LEN) != 0 || record_verify(&rec, c->key.pub) != OK)
        return foreign(fault, "the log was");
    *out = rec.epoch;
    return OK;
}

enum err epoch_judge(struct committer *c, const struct replay_tail *t, struct fault *fault)
{
    uint64_t first = 0, last = 0;
    if (t->why == ERR_SIGNATURE || t->why == ERR_CLUSTER)
        return foreign(fault, "the log was");
    enum err err = log_range(c->store, &first, &last);
    if (err != OK)
        return fault_set(fault, err, "cannot read the log: %s", err_text(err));
    if ((err = log_epoch(c, last, &c->lost_epoch, fault)) != OK || (err = data_check(c, fault)) != OK)
        return err;
    c->lost = true;
    if (last == 0)
        (void)snprintf(c->began.why, sizeof c->began.why, "the log is empty, the data stands at seq %" PRIu64, t->applied.seq);
    else
        (void)snprintf(c->began.why, sizeof c->began.why, "the log holds seq %" PRIu64 " to %" PRIu64 ", the data stands at %"
                       PRIu64 ": %s", first, last, t->applied.seq, err_text(t->why));
    return OK;
}

/* In one commit of the log the old records go and the new epoch's first one comes: a crash leaves one or the other. */
static enum err begin_anew(struct committer *c, uint64_t *seq, struct fault *fault)
{
    uint64_t epoch = commit_epoch(c);
    enum err err = stage_begin(c, fault);       /* data before log, as everywhere: LMDB's locks are always taken in one order */
    if (err == OK)
        err = log_begin(c->store, &c->log, fault);
    if (err == OK)
        err = log_clear(c->log, fault);
    if (err != OK)
        return stage_failed(c, err);
    err = commit_stage_epoch(c, (epoch > c->lost_epoch ? epoch : c->lost_epoch) + 1, seq, fault);
    return err == OK ? commit_flush(c, fault) : err;
}

enum err epoch_begin(struct committer *c, struct fault *fault)
{
    struct commit_began *b = &c->began;
    uint64_t over = 0;
    bool loaded = store_is_loaded(c->store, &over);
    enum err err;
    if (!c->lost && !loaded)
        return OK;
    b->from = commit_epoch(c) > over ? commit_epoch(c) : over;
    if (over > c->lost_epoch)
        c->lost_epoch = over;
    if (c->lost) {
        err = begin_anew(c, &b->seq, fault);
    } else {
        (void)snprintf(b->why, sizeof b->why, "restored");
        err = commit_raise_epoch(c, over, &b->seq, fault);
    }
    b->to = commit_epoch(c);
    c->began_one = err == OK;
    c->lost = false;
    return err;
}

bool commit_began(const struct committer *c, struct commit_began *out)
{
    *out = c->began;
    return c->began_one;
}
