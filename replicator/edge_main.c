/* azoth-edge: keeps a replica of the core's data, and hands the log on when it is a relay. The I/O shell around
 * replica.h (what to do), edge.h (the store), link.h (the upstream) and publisher.h (our own subscribers).
 *
 *     drain_sub, drain_req, app_on_timer ─► replica_* ─► todo ─► app_do ─► links, job_run: edge_do ─► replica_stored */
#include "replicator/edge_app.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

/* --- signals -------------------------------------------------------------------------------------------------------- */
/* A bad folder leaves the old list. */
static enum err nodes_reload(struct app *a, const char *folder)
{
    struct nodes *now, *old = a->nodes;
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64], gone[400];
    enum err err = nodes_open(&now, folder, &fault);
    if (err != OK) {
        log_error("edge.nodes", "err=%s next=keep-old", log_quote(words, sizeof words, fault_text(&fault, err)));
        return err;
    }
    a->nodes = now;
    publisher_nodes(a->publisher, now);
    (void)nodes_gone(now, old, gone, sizeof gone);
    log_info("edge.nodes", "listed=%zu removed=%s", nodes_count(now), log_quote(words, sizeof words, gone));
    nodes_close(old);
    return OK;
}

static enum err reload(void *arg)
{
    struct app *a = arg;
    struct config *c;
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64];
    enum err err = config_load(a->config_path, &c, &fault);
    if (err != OK) {
        log_error("edge.reload", "err=%s next=keep-old", log_quote(words, sizeof words, fault_text(&fault, err)));
        return err;
    }
    log_setup(c->log.level, c->log.json);
    if (c->edge != NULL)
        upkeep_keep(a->upkeep, &(struct retain_limits){ c->edge->retention_ms, c->edge->retention_bytes });
    log_info("edge.reload", "took=log,edge.log_retention");
    if (a->publisher != NULL && c->edge != NULL && c->edge->relay != NULL)
        err = nodes_reload(a, c->edge->relay_nodes);
    config_free(c);
    return err;
}

static void drain(void *arg)
{
    struct app *a = arg;
    log_info("edge.stop", "applied=%" PRIu64, a->stat.replica.applied.seq);
    event_base_loopexit(a->base, NULL);
}

/* --- start ---------------------------------------------------------------------------------------------------------- */
/* Our own key, made at the first start: its public line is what the upstream's list takes. */
static enum err key_start(struct app *a, struct fault *fault)
{
    const char *dir = a->config->node.dir;
    char line[128];
    enum err err = node_key_load(dir, &a->key, fault);
    bool made = err == ERR_NOTFOUND;
    if (made) {
        fault->text[0] = '\0';
        err = node_key_make(dir, false, &a->key, fault);
    } else if (err == OK) {
        err = node_pub_keep(dir, &a->key, fault);
    }
    if (err == OK)
        err = keyring_open(&a->keyring, dir, fault);
    if (err == OK && session_open(&a->session, &a->key, a->config->node.name) != OK)
        err = fault_set(fault, ERR_NOMEM, "no memory for the session");
    if (err == OK)
        log_info("edge.key", "made=%s pub=%s%s", made ? "yes" : "no", node_pub_text(line, sizeof line, a->key.pub),
                 made ? " hint=\"put node.pub into the upstream's and the core's folder nodes as NAME.pub, then SIGHUP\"" : "");
    return err;
}

static enum err store_start(struct app *a, struct fault *fault)
{
    const struct config *c = a->config;
    struct store_options so = { .dir = c->node.dir, .mode = STORE_CREATE, .role = STORE_EDGE,
                                .map_size = c->node.map_size, .soft = true };
    struct replica_options ro = { .cohort = c->edge->cohort, .node = c->node.name,
                                  .upstreams = (unsigned)c->edge->upstreams_n };
    struct replica_start at;
    char words[FAULT_TEXT_MAX + 64];
    enum err err = store_open(&a->store, &so, fault);
    if (err != OK || (err = key_start(a, fault)) != OK
        || (err = edge_open(&a->edge, a->store, c->edge->core_key, fault)) != OK)
        return err;
    a->edge.replay.keys = a->keyring;
    a->say.dir = c->node.dir;
    a->say.node = c->node.name;
    a->say.upstreams = c->edge->upstreams;
    if (fault->text[0] != '\0')
        log_warn("edge.log", "info=%s", log_quote(words, sizeof words, fault->text));
    a->watch.readers_cleared += store_clear_readers(a->store);
    memcpy(ro.core_pub, c->edge->core_key, sizeof ro.core_pub);
    randombytes_buf(&ro.seed, sizeof ro.seed);
    edge_start(&a->edge, &at);
    err = replica_open(&a->replica, &ro, &at, clock_mono_ms());
    if (err != OK || (err = edge_thread_open(&a->worker, &a->edge)) != OK)
        return fault_set(fault, err, "no memory for the replica");
    struct upkeep_options uo = { .store = a->store, .keep = { c->edge->retention_ms, c->edge->retention_bytes } };
    return upkeep_open(&a->upkeep, &uo, clock_mono_ms(), fault);
}

static enum err loop_start(struct app *a, struct fault *fault)
{
    static const struct timeval soon = { 0, 0 }, housekeeping = { WATCH_EVERY_S, 0 };
    const struct config_links *relay = a->config->edge->relay;
    enum err err;
    if (relay != NULL) {
        struct publisher_options po = { .base = a->base, .store = a->store, .publish = relay->publish,
                                        .serve = relay->serve, .node = a->config->node.name, .key = &a->key,
                                        .keys = a->keyring,
                                        .snapshot_rate = a->config->edge->relay_snapshots.rate,
                                        .snapshot_leases = a->config->edge->relay_snapshots.at_once };
        if ((err = nodes_open(&a->nodes, a->config->edge->relay_nodes, fault)) != OK)
            return err;
        po.nodes = a->nodes;
        if ((err = publisher_open(&a->publisher, &po, fault)) != OK)
            return err;
    }
    struct collect_options co = { .base = a->base, .listen = relay != NULL ? relay->collect : NULL };
    struct edge_report_options ro = { .base = a->base, .key = &a->key, .node = a->config->node.name,
                                      .cohort = a->config->edge->cohort,
                                      .dns_http = a->config->dns != NULL ? a->config->dns->http.listen : NULL,
                                      .fill = app_fill_receipt, .arg = a };
    app_note_told(a, &a->edge.applied);
    if ((err = collect_open(&a->collect, &co, fault)) != OK)
        return err;
    ro.collect = a->collect;
    if ((err = edge_report_open(&a->report, &ro, fault)) != OK || (err = app_pages_start(a, fault)) != OK)
        return err;
    a->on_timer = event_new(a->base, -1, 0, app_on_timer, a);
    a->on_worker = event_new(a->base, edge_thread_fd(a->worker), EV_READ | EV_PERSIST, app_on_worker, a);
    a->on_housekeeping = event_new(a->base, -1, EV_PERSIST, app_on_housekeeping, a);
    a->on_upkeep = event_new(a->base, -1, 0, app_on_upkeep, a);
    if (a->on_timer == NULL || a->on_worker == NULL || a->on_housekeeping == NULL || a->on_upkeep == NULL
        || event_add(a->on_upkeep, &soon) != 0 || event_add(a->on_timer, &soon) != 0
        || event_add(a->on_worker, NULL) != 0 || event_add(a->on_housekeeping, &housekeeping) != 0)
        return fault_set(fault, ERR_NOMEM, "no memory for the loop's events");
    app_links_open(a, 0);
    return OK;
}

static enum err start(struct app *a, struct fault *fault)
{
    struct daemon_hooks hooks = { .arg = a, .reload = reload, .drain = drain, .user1 = app_on_compact };
    enum err err;
    if (sodium_init() < 0 || (a->base = event_base_new()) == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for the loop");
    if ((err = daemon_signals_open(&a->signals, a->base, &hooks)) != OK)
        return fault_set(fault, err, "cannot take signals");
    if ((err = store_start(a, fault)) != OK)
        return err;
    return loop_start(a, fault);
}

/* --- end ------------------------------------------------------------------------------------------------------------ */
static void stop(struct app *a)
{
    struct event *events[] = { a->on_timer, a->on_worker, a->on_housekeeping, a->on_upkeep };
    app_links_close(a);
    http_close(a->http);
    edge_report_close(a->report);
    collect_close(a->collect);
    publisher_close(a->publisher);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);      /* on_worker before its descriptor is closed */
    }
    edge_thread_close(a->worker);       /* after the publisher: a large transaction may take a moment to end */
    replica_close(a->replica);
    upkeep_close(a->upkeep);
    edge_close(&a->edge);
    store_close(a->store);
    session_close(a->session);
    nodes_close(a->nodes);
    keyring_close(a->keyring);
    sodium_memzero(&a->key, sizeof a->key);
    daemon_signals_close(a->signals);
    if (a->base != NULL)
        event_base_free(a->base);
    config_free(a->config);
}

/* What the file names is looked at as well. */
static int check_only(struct app *a)
{
    const struct config_edge *e = a->config->edge;
    struct nodes *nodes = NULL;
    struct fault fault = { .text = "" };
    enum err err = e->relay != NULL ? nodes_open(&nodes, e->relay_nodes, &fault) : OK;
    if (err != OK)
        (void)fprintf(stderr, "azoth-edge: %s: edge.relay.nodes: %s\n", a->config_path, fault_text(&fault, err));
    else
        (void)printf("%s: good\n", a->config_path);
    nodes_close(nodes);
    config_free(a->config);
    return err == OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct daemon_options o;
    struct app a = { .config = NULL };
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64];
    daemon_options(argc, argv, "azoth-edge", "Keeps a replica of the core's data, and relays the log.", &o);
    a.config_path = o.config_path;
    enum err err = config_load(o.config_path, &a.config, &fault);
    if (err == OK && a.config->edge == NULL)
        err = fault_set(&fault, ERR_CONFIG, "%s: has no part `edge`", o.config_path);
    if (err == OK && o.check)
        return check_only(&a);
    if (err == OK) {
        log_setup(a.config->log.level, a.config->log.json);
        err = start(&a, &fault);
    }
    if (err == OK) {
        log_info("edge.start", "node=%s epoch=%" PRIu64 " applied=%" PRIu64 " upstreams=%zu relay=%s", a.config->node.name,
                 a.edge.applied.epoch, a.edge.applied.seq, a.config->edge->upstreams_n, a.publisher != NULL ? "yes" : "no");
        daemon_notify("READY=1");
        event_base_dispatch(a.base);
        daemon_notify("STOPPING=1");
    } else {
        log_error("edge.start", "err=%s next=exit", log_quote(words, sizeof words, fault_text(&fault, err)));
    }
    stop(&a);
    return err == OK && !a.failed ? 0 : 1;
}
