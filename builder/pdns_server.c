/* PowerDNS's API: the server itself, and what is told of it. */
#include "builder/pdns_parts.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum api_next pdns_root(struct pdns *p, const struct api_work *w)
{
    (void)w;
    return pdns_reply(p, 200, json_pack("[{s:s,s:i}]", "url", "/api/v1", "version", 1));
}

enum api_next pdns_v1(struct pdns *p, const struct api_work *w)
{
    (void)w;
    return pdns_reply(p, 200, json_pack("[{s:[],s:s}]", "api_features", "server_url", "/api/v1/servers{/server}"));
}

static json_t *server_object(void)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "type", "Server", "id", "localhost", "url", PDNS_BASE,
                     "daemon_type", "authoritative", "version", PDNS_VERSION,
                     "config_url", PDNS_BASE "/config{/config_setting}", "zones_url", PDNS_BASE "/zones{/zone}",
                     "autoprimaries_url", PDNS_BASE "/autoprimaries{/autoprimary}");
}

enum api_next pdns_server(struct pdns *p, const struct api_work *w)
{
    (void)w;
    return pdns_reply(p, 200, server_object());
}

enum api_next pdns_servers(struct pdns *p, const struct api_work *w)
{
    (void)w;
    return pdns_reply(p, 200, json_pack("[o]", server_object()));
}

/* --- settings and figures --------------------------------------------------------------------------------------------- */

static void item_add(json_t *list, const char *type, const char *name, const char *value)
{
    (void)json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "name", name, "type", type, "value", value));
}

/* What PowerDNS's settings of these names would be for what this server does. */
enum api_next pdns_config(struct pdns *p, const struct api_work *w)
{
    static const char *const settings[][2] = {
        { "api", "yes" }, { "api-key", "***" }, { "default-api-rectify", "yes" }, { "default-ksk-algorithm", "" },
        { "default-soa-content", "a.misconfigured.dns.server.invalid hostmaster.@ 0 10800 3600 604800 3600" },
        { "default-soa-edit", "" }, { "default-ttl", "3600" }, { "disable-axfr", "no" }, { "dnsupdate", "yes" },
        { "primary", "yes" }, { "secondary", "yes" }, { "webserver", "yes" },
    };
    json_t *list = json_array();
    (void)w;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        item_add(list, "ConfigSetting", settings[i][0], settings[i][1]);
    return pdns_reply(p, 200, list);
}

static uint64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    uint64_t pages = 0;
    if (f == NULL)
        return 0;
    if (fscanf(f, "%*u %" SCNu64, &pages) != 1)
        pages = 0;
    (void)fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Seconds since this process began, by the kernel's own reckoning. */
static uint64_t uptime_s(void)
{
    FILE *f = fopen("/proc/self/stat", "re");
    uint64_t start = 0;
    struct timespec now = { 0, 0 };
    if (f == NULL || clock_gettime(CLOCK_BOOTTIME, &now) != 0
        || fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64, &start) != 1)
        start = (uint64_t)now.tv_sec * (uint64_t)sysconf(_SC_CLK_TCK);
    if (f != NULL)
        (void)fclose(f);
    start /= (uint64_t)sysconf(_SC_CLK_TCK);
    return (uint64_t)now.tv_sec > start ? (uint64_t)now.tv_sec - start : 0;
}

static uint64_t ms_of(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_usec / 1000;
}

enum api_next pdns_statistics(struct pdns *p, const struct api_work *w)
{
    const char *wanted = pdns_param(p, "statistic");
    struct source_figures f = { 0 };
    struct rusage used = { .ru_maxrss = 0 };
    json_t *list = json_array();
    enum err err = source_figures(w->source, &f);
    if (err != OK) {
        json_decref(list);
        return pdns_failed(p, err, NULL);
    }
    (void)getrusage(RUSAGE_SELF, &used);
    const struct { const char *name; uint64_t value; } items[] = {
        { "azoth-outbox-events", f.events }, { "azoth-records-bytes", f.used_bytes }, { "azoth-rrsets", f.rows },
        { "azoth-tsig-keys", f.keys }, { "azoth-zones", f.zones }, { "real-memory-usage", resident_bytes() },
        { "sys-msec", ms_of(&used.ru_stime) }, { "uptime", uptime_s() }, { "user-msec", ms_of(&used.ru_utime) },
    };
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        char number[24];
        (void)snprintf(number, sizeof number, "%" PRIu64, items[i].value);
        if (wanted == NULL || strcmp(wanted, items[i].name) == 0)
            item_add(list, "StatisticItem", items[i].name, number);
    }
    if (wanted != NULL && json_array_size(list) == 0) {
        json_decref(list);
        return pdns_refuse(p, "Unknown statistic name");
    }
    return pdns_reply(p, 200, list);
}

/* --- what there is nothing to do for ------------------------------------------------------------------------------------ */
/* No answer is kept beyond a change here, so all that is there to flush is told as flushed. */
enum api_next pdns_flush(struct pdns *p, const struct api_work *w)
{
    const char *domain = pdns_param(p, "domain");
    struct fault fault = { "" };
    struct name name;
    struct zone_row row;
    if (!pdns_name(p, domain != NULL ? domain : "", &name))
        return API_REPLY;
    struct source_txn *t = pdns_txn(p, w, &fault);
    bool there = t != NULL && source_zone(t, name_bytes(&name), &row) == OK;
    return pdns_reply(p, 200, json_pack("{s:i,s:s}", "count", (int)there, "result", "Flushed cache."));
}

enum api_next pdns_autoprimaries(struct pdns *p, const struct api_work *w)
{
    (void)w;
    return pdns_reply(p, 200, json_array());
}

enum api_next pdns_autoprimaries_refuse(struct pdns *p, const struct api_work *w)
{
    (void)w;
    return pdns_refuse(p, "This server takes no zones from autoprimaries");
}
