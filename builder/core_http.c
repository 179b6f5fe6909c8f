/* azoth-core's pages and its tick: everything that only looks. */
#include "builder/core.h"

#include "base/clock.h"
#include "base/log.h"
#include "builder/core_fleet.h"

#include <config.h>
#include <inttypes.h>
#include <stdio.h>

static void gauge(struct stat_page *p, const char *name, const char *help, uint64_t v)
{
    stat_head(p, name, "gauge", help);
    stat_value(p, name, NULL, v);
}

static void counter(struct stat_page *p, const char *name, const char *help, uint64_t v)
{
    stat_head(p, name, "counter", help);
    stat_value(p, name, NULL, v);
}

static void zone_metrics(const struct core *c, struct stat_page *p)
{
    const struct zones_stats *z = zones_stats(c->zones);
    gauge(p, "azoth_core_zones", "zones in the store", stat_get(&z->stored));
    gauge(p, "azoth_core_zones_configured", "lines of core.zones", stat_get(&z->configured));
    gauge(p, "azoth_core_zones_refused", "configured zones whose file was refused", stat_get(&z->refused));
    counter(p, "azoth_core_zone_loads_total", "zone files whose contents changed the store", stat_get(&z->loads));
    counter(p, "azoth_core_zone_same_serial_total", "zone files with other records and the serial of before: secondaries do not fetch them", stat_get(&z->same_serial));
    counter(p, "azoth_core_zone_withdrawals_total", "zones withdrawn with their line", stat_get(&z->withdrawals));
    counter(p, "azoth_core_zone_passes_total", "times that all zone files were looked at", stat_get(&z->passes));
    counter(p, "azoth_core_store_failures_total", "passes that the store failed", stat_get(&z->failures));
    gauge(p, "azoth_core_store_failing", "1: the last pass failed and is being retried", atomic_load(&z->failing));
    gauge(p, "azoth_core_journal_entries", "changes of zones that the journal holds", stat_get(&c->stats.journal_entries));
    gauge(p, "azoth_core_journal_bytes", "bytes of the log file in pages of the journal", stat_get(&c->stats.journal_bytes));
    gauge(p, "azoth_core_jobs_waiting", "jobs that wait for the writing thread", queue_waiting(c->queue));
}

static int metrics_page(void *arg, struct stat_page *p)
{
    struct core *c = arg;
    stat_head(p, "azoth_core_info", "gauge", "version");
    stat_value(p, "azoth_core_info", "version=\"" PACKAGE_VERSION "\"", 1);
    gauge(p, "azoth_core_epoch", "epoch of the newest commit", stat_get(&c->stats.epoch));
    gauge(p, "azoth_core_applied_seq", "seq of the newest commit", stat_get(&c->stats.applied));
    counter(p, "azoth_core_commits_total", "commits since start", stat_get(&c->stats.commits));
    stat_head(p, "azoth_core_last_commit_timestamp_seconds", "gauge", "core time of the newest commit");
    stat_ratio(p, "azoth_core_last_commit_timestamp_seconds", NULL, (double)stat_get(&c->stats.last_commit_ms) / 1000);
    zone_metrics(c, p);
    watch_look(&c->watch, c->store, clock_mono_ms());
    watch_metrics(&c->watch, p);
    records_watch_metrics(&c->records, c->source, p);
    upkeep_metrics(c->upkeep, p);
    publisher_metrics(c->publisher, p);
    core_fleet_metrics(c->fleet, p);
    changer_metrics(c->changer, p);
    catalogs_metrics(c->catalogs, p);
    if (c->dns != NULL)
        core_dns_metrics(c->dns, p);
    if (c->api != NULL)
        api_http_metrics(c->api, p);
    return 200;
}

/* The loop turns, and its store is one that others find. Whether it does its job says /readyz: a restart would not make a
 * full disk larger. */
static int health_page(void *arg, struct stat_page *p)
{
    const struct core *c = arg;
    stat_print(p, "%s\n", c->watch.gone ? WATCH_GONE : "ok");
    return c->watch.gone ? 503 : 200;
}

static int ready_page(void *arg, struct stat_page *p)
{
    const struct core *c = arg;
    const struct zones_stats *z = zones_stats(c->zones);
    if (stat_get(&z->passes) == 0) {
        stat_print(p, "zones are being loaded\n");
        return 503;
    }
    if (atomic_load(&z->failing)) {
        stat_print(p, "the store fails, see the log; what it holds is served\n");
        return 503;
    }
    if (upkeep_rotten(c->upkeep)) {
        stat_print(p, "bit rot: what is stored is not what was written, see the log; `azoth verify` names it\n");
        return 503;
    }
    stat_print(p, "ok\n");
    return 200;
}

MUST_USE enum err core_http_open(struct core *c, struct fault *fault)
{
    const char *listen = c->config->core->http.listen;
    enum err err;
    if (listen == NULL)
        return OK;
    if ((err = http_open(&c->http, c->base, listen, fault)) != OK)
        return err;
    if ((err = http_route(c->http, "/metrics", "text/plain; version=0.0.4", metrics_page, c)) != OK
        || (err = http_route(c->http, "/healthz", "text/plain", health_page, c)) != OK
        || (err = http_route(c->http, "/readyz", "text/plain", ready_page, c)) != OK)
        return err;
    return OK;
}

bool core_tick(struct core *c)
{
    core_fleet_tick(c->fleet);
    c->broken = !watch_tick(&c->watch, c->store, clock_mono_ms()) || !records_watch_tick(&c->records, c->source);
    return !c->broken;
}
