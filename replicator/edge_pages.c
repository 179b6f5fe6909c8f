/* azoth-edge: what the node says of itself. */
#include "replicator/edge_app.h"

#include "base/clock.h"

#include <inttypes.h>

/* For our receipts. */
void app_fill_receipt(void *arg, struct receipt *out)
{
    struct app *a = arg;
    const struct replica_figures *r = &a->stat.replica;
    replica_figures(a->replica, clock_mono_ms(), &a->stat.replica);
    memcpy(out->cluster, store_cluster(a->store), CLUSTER_LEN);
    out->parent = bytes_of_text(session_upstream(a->session));
    out->epoch = a->told.epoch;
    out->seq = a->told.seq;
    memcpy(out->digest, a->told.digest, HEAD_DIGEST_LEN);
    out->head_seq = r->ever_heard ? r->newest.seq : 0;
    out->head_time_ms = r->ever_heard ? r->newest.time_ms : 0;
    out->lag_ms = r->age_ms;
    out->state = r->stopped ? RECEIPT_STOPPED : a->stat.rotten ? RECEIPT_ROTTEN
               : r->state == REPLICA_COPYING ? RECEIPT_COPYING
               : r->state == REPLICA_CATCHING_UP ? RECEIPT_CATCHING_UP : RECEIPT_LIVE;
}

static int metrics_page(void *arg, struct stat_page *page)
{
    struct app *a = arg;
    replica_figures(a->replica, clock_mono_ms(), &a->stat.replica);
    if (!a->busy)                       /* else those of the last time: the store is the worker's */
        watch_look(&a->watch, a->store, clock_mono_ms());
    edge_stat_metrics(&a->stat, page);
    watch_metrics(&a->watch, page);
    upkeep_metrics(a->upkeep, page);
    collect_metrics(a->collect, page);
    if (a->publisher != NULL)
        publisher_metrics(a->publisher, page);
    return 200;
}

static int health_page(void *arg, struct stat_page *page)
{
    const struct app *a = arg;
    stat_print(page, "%s\n", a->watch.gone ? WATCH_GONE : "ok");
    return a->watch.gone ? 503 : 200;
}

static int ready_page(void *arg, struct stat_page *page)
{
    struct app *a = arg;
    replica_figures(a->replica, clock_mono_ms(), &a->stat.replica);
    a->stat.was_live = a->stat.was_live || a->stat.replica.state == REPLICA_LIVE;
    const char *why = edge_stat_unready(&a->stat);
    stat_print(page, "%s\nstate %s\nepoch %" PRIu64 "\napplied %" PRIu64 "\n", why != NULL ? why : "ready",
               a->stat.replica.stopped ? "stopped" : replica_state_text(a->stat.replica.state),
               a->stat.replica.applied.epoch, a->stat.replica.applied.seq);
    return why != NULL ? 503 : 200;
}

enum err app_pages_start(struct app *a, struct fault *fault)
{
    const char *listen = a->config->edge->http.listen;
    enum err err;
    if (listen == NULL)
        return OK;
    if ((err = http_open(&a->http, a->base, listen, fault)) != OK)
        return err;
    if ((err = http_route(a->http, "/metrics", "text/plain; version=0.0.4", metrics_page, a)) == OK
        && (err = http_route(a->http, "/healthz", "text/plain", health_page, a)) == OK)
        err = http_route(a->http, "/readyz", "text/plain", ready_page, a);
    return err == OK ? OK : fault_set(fault, err, "no memory for the pages");
}
