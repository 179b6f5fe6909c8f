#include "replicator/edge_stat.h"

#define READY_AGE_MS 10000

static void one(struct stat_page *p, const char *name, const char *type, const char *help, uint64_t value)
{
    stat_head(p, name, type, help);
    stat_value(p, name, NULL, value);
}

static void position_page(const struct replica_figures *r, struct stat_page *p)
{
    static const char state[] = "azoth_edge_state";
    uint64_t head = r->have_head ? r->newest.seq : 0;
    one(p, "azoth_edge_applied_epoch", "gauge", "epoch of the data", r->applied.epoch);
    one(p, "azoth_edge_applied_seq", "gauge", "seq of the data", r->applied.seq);
    one(p, "azoth_edge_log_seq", "gauge", "seq of the newest record in the log", r->log.seq);
    one(p, "azoth_edge_head_epoch", "gauge", "epoch of the newest signed head", r->have_head ? r->newest.epoch : 0);
    one(p, "azoth_edge_head_seq", "gauge", "seq of the newest signed head", head);
    one(p, "azoth_edge_lag", "gauge", "log records between the data and the newest head",
        head > r->applied.seq ? head - r->applied.seq : 0);
    stat_head(p, "azoth_edge_head_age_seconds", "gauge", "since a newer head came, by our own clock");
    stat_ratio(p, "azoth_edge_head_age_seconds", NULL, (double)r->age_ms / 1000);
    stat_head(p, state, "gauge", "1 for the state the replica is in");
    stat_value(p, state, "state=\"live\"", r->state == REPLICA_LIVE);
    stat_value(p, state, "state=\"catching-up\"", r->state == REPLICA_CATCHING_UP);
    stat_value(p, state, "state=\"copying\"", r->state == REPLICA_COPYING && !r->stopped);
    stat_value(p, state, "state=\"stopped\"", r->stopped);
    one(p, "azoth_edge_full", "gauge", "1 while the store is full and nothing is applied", r->full);
    one(p, "azoth_edge_upstream", "gauge", "upstream in use, by its place in the list", r->upstream);
}

static void message_page(const struct replica_figures *r, struct stat_page *p)
{
    static const char bad[] = "azoth_edge_messages_bad_total";
    one(p, "azoth_edge_heads_total", "counter", "newer heads heard", r->heads);
    one(p, "azoth_edge_heads_old_total", "counter", "heads that were old or came twice", r->duplicates);
    one(p, "azoth_edge_signatures_total", "counter", "signatures of the core's that were checked, on heads and records", r->signatures);
    one(p, "azoth_edge_fetches_total", "counter", "requests for records", r->fetches);
    one(p, "azoth_edge_timeouts_total", "counter", "requests without a reply in time", r->timeouts);
    one(p, "azoth_edge_upstream_changes_total", "counter", "changes to another upstream, or the same one anew, because it was silent or no good", r->changes);
    stat_head(p, bad, "counter", "messages and records refused, by reason");
    stat_value(p, bad, "reason=\"shape\"", r->bad_shape);
    stat_value(p, bad, "reason=\"signature\"", r->bad_signature);
    stat_value(p, bad, "reason=\"cluster\"", r->bad_cluster);
    stat_value(p, bad, "reason=\"epoch\"", r->bad_epoch);
    stat_value(p, bad, "reason=\"format\"", r->bad_format);
    stat_value(p, bad, "reason=\"gap\"", r->bad_gap);
    one(p, "azoth_edge_forks_total", "counter", "times the log was of another history", r->forks);
    one(p, "azoth_edge_mismatches_total", "counter", "times the digest was not the signed one", r->mismatches);
    one(p, "azoth_edge_copies_total", "counter", "copies of a snapshot begun", r->copies);
    one(p, "azoth_edge_copies_bad_total", "counter", "copies given up because a chunk or the digest did not fit", r->copies_bad);
    one(p, "azoth_edge_copies_resumed_total", "counter", "copies that went on after a cut where they stood", r->resumed);
    one(p, "azoth_edge_copy_chunks_total", "counter", "chunks of snapshots loaded", r->chunks);
    one(p, "azoth_edge_copy_chunks", "gauge", "chunks of the snapshot being copied; 0: none is", r->copy_chunks);
    one(p, "azoth_edge_copy_chunks_done", "gauge", "of these, loaded", r->copy_done);
}

void edge_stat_metrics(const struct edge_stat *s, struct stat_page *page)
{
    position_page(&s->replica, page);
    message_page(&s->replica, page);
    one(page, "azoth_edge_transactions_total", "counter", "transactions applied", s->transactions);
    one(page, "azoth_edge_ops_total", "counter", "puts and deletes applied", s->ops);
    one(page, "azoth_edge_jobs_total", "counter", "jobs done on the store", s->jobs);
    stat_head(page, "azoth_edge_job_seconds_total", "counter", "time in jobs on the store");
    stat_ratio(page, "azoth_edge_job_seconds_total", NULL, (double)s->job_us / 1e6);
    stat_head(page, "azoth_edge_job_seconds_max", "gauge", "longest job since the start");
    stat_ratio(page, "azoth_edge_job_seconds_max", NULL, (double)s->job_us_most / 1e6);
}

const char *edge_stat_unready(const struct edge_stat *s)
{
    if (s->replica.stopped)
        return "stopped: the digest differs from the signed one";
    if (s->replica.full)
        return "the store is full";
    if (s->rotten)
        return "bit rot: what is stored is not what the core signed";
    if (!s->was_live)
        return "has not caught up since the start";
    if (s->replica.age_ms > READY_AGE_MS)
        return "no newer head for 10 s";
    return NULL;
}
