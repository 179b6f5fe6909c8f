#include "dnsfront/server.h"

#include "base/clock.h"
#include "dnsfront/rrl.h"
#include "wire/rrtype.h"

#include <config.h>
#include <stdio.h>

#define METRICS_TYPE "text/plain; version=0.0.4"

/* A counter of all workers together: `at` is where it is in struct worker_counters. */
static uint64_t sum(const struct server *s, size_t at)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < s->workers_n; i++)
        n += stat_get((const stat_count *)((const uint8_t *)&s->workers[i].counters + at));
    return n;
}
#define SUM(s, member) sum(s, offsetof(struct worker_counters, member))

MUST_USE enum err server_head(struct server *s, struct head *out)
{
    if (s->view == NULL)
        return ERR_NOTFOUND;
    enum err err = view_begin(s->view);
    if (err != OK)
        return err;
    err = view_head(s->view, out, NULL);
    view_end(s->view);
    return err;
}

static const char *rcode_text(unsigned rcode)
{
    static const char *const names[ANSWER_RCODES] = {
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", [RCODE_NOTAUTH] = "NOTAUTH",
        [RCODE_BADVERS] = "BADVERS", [RCODE_BADCOOKIE] = "BADCOOKIE",
    };
    return names[rcode];
}

static void page_questions(const struct server *s, struct stat_page *p)
{
    char label[64];
    stat_head(p, "azoth_dns_queries_total", "counter", "queries received");
    stat_value(p, "azoth_dns_queries_total", "proto=\"udp\"", SUM(s, answers.queries[ANSWER_UDP]));
    stat_value(p, "azoth_dns_queries_total", "proto=\"tcp\"", SUM(s, answers.queries[ANSWER_TCP]));
    stat_value(p, "azoth_dns_queries_total", "proto=\"tls\"", SUM(s, answers.queries[ANSWER_TLS]));
    stat_head(p, "azoth_dns_responses_total", "counter", "responses by rcode");
    for (unsigned i = 0; i < ANSWER_RCODES; i++) {
        if (rcode_text(i) == NULL)
            continue;
        (void)snprintf(label, sizeof label, "rcode=\"%s\"", rcode_text(i));
        stat_value(p, "azoth_dns_responses_total", label,
                   sum(s, offsetof(struct worker_counters, answers.responses) + i * sizeof(stat_count)));
    }
    stat_head(p, "azoth_dns_dropped_total", "counter",
              "messages that got no response: too short or long, from port 0, from a proxy without a good header, or responses");
    stat_value(p, "azoth_dns_dropped_total", NULL, SUM(s, answers.dropped));
    stat_head(p, "azoth_dns_truncated_total", "counter", "responses with TC set because they did not fit");
    stat_value(p, "azoth_dns_truncated_total", NULL, SUM(s, answers.truncated));
    stat_head(p, "azoth_dns_broken_total", "counter", "stored values that did not read (SERVFAIL); run azoth verify");
    stat_value(p, "azoth_dns_broken_total", NULL, SUM(s, answers.broken));
}

/* How the kernel spreads clients over the workers. */
static void page_workers(const struct server *s, struct stat_page *p)
{
    static const struct { unsigned from; const char *proto; } rows[] = {
        { ANSWER_UDP, "udp" }, { ANSWER_TCP, "tcp" }, { ANSWER_TLS, "tls" },
    };
    char label[64];
    stat_head(p, "azoth_dns_worker_queries_total", "counter", "queries received by each worker");
    for (unsigned i = 0; i < s->workers_n; i++) {
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            (void)snprintf(label, sizeof label, "worker=\"%u\",proto=\"%s\"", i + 1, rows[k].proto);
            stat_value(p, "azoth_dns_worker_queries_total", label, stat_get(&s->workers[i].counters.answers.queries[rows[k].from]));
        }
    }
}

static void page_steps(const struct server *s, struct stat_page *p)
{
    char label[32];
    stat_head(p, "azoth_dns_descents_total", "counter", "B-tree descents by step of the look-up");
    for (unsigned i = 0; i < STEP_N; i++) {
        (void)snprintf(label, sizeof label, "step=\"%s\"", step_names[i]);
        stat_value(p, "azoth_dns_descents_total", label,
                   sum(s, offsetof(struct worker_counters, answers.descents) + i * sizeof(stat_count)));
    }
    stat_head(p, "azoth_dns_steps_total", "counter",
              "look-ups by step; one positive answer or referral is one exact step");
    for (unsigned i = 0; i < STEP_N; i++) {
        (void)snprintf(label, sizeof label, "step=\"%s\"", step_names[i]);
        stat_value(p, "azoth_dns_steps_total", label,
                   sum(s, offsetof(struct worker_counters, answers.steps) + i * sizeof(stat_count)));
    }
}

static void page_cache(const struct server *s, struct stat_page *p)
{
    stat_head(p, "azoth_dns_cache_hits_total", "counter", "answers taken from the cache");
    stat_value(p, "azoth_dns_cache_hits_total", NULL, SUM(s, answers.cache_hits));
    stat_head(p, "azoth_dns_cache_misses_total", "counter", "answers built from the store while there was a cache");
    stat_value(p, "azoth_dns_cache_misses_total", NULL, SUM(s, answers.cache_misses));
    stat_head(p, "azoth_dns_cache_stores_total", "counter", "answers put into the cache");
    stat_value(p, "azoth_dns_cache_stores_total", NULL, SUM(s, answers.cache_stores));
    stat_head(p, "azoth_dns_cache_drops_total", "counter",
              "times the whole cache was dropped: a commit too large to follow, or other data");
    stat_value(p, "azoth_dns_cache_drops_total", NULL, SUM(s, answers.cache_drops));
    stat_head(p, "azoth_dns_absent_total", "counter", "names told not to be there without a descent, by the filter of known names");
    stat_value(p, "azoth_dns_absent_total", NULL, SUM(s, answers.absent));
    stat_head(p, "azoth_dns_gaps_total", "counter", "names told not to be there with the proof that was sent for another name");
    stat_value(p, "azoth_dns_gaps_total", NULL, SUM(s, answers.gaps));
    stat_head(p, "azoth_dns_names_fills_total", "counter", "times that the filter of known names was filled from the store");
    stat_value(p, "azoth_dns_names_fills_total", NULL, s->filler != NULL ? stat_get(&filler_stats(s->filler)->fills) : 0);
}

static void page_sockets(const struct server *s, struct stat_page *p)
{
    uint64_t closed = SUM(s, tcp_closed), accepted = SUM(s, tcp_accepted);      /* in this order: never below zero */
    stat_head(p, "azoth_dns_udp_unsent_total", "counter", "replies that the kernel did not take");
    stat_value(p, "azoth_dns_udp_unsent_total", NULL, SUM(s, udp_unsent));
    stat_head(p, "azoth_dns_tcp_connections_total", "counter", "TCP connections accepted, those of TLS among them");
    stat_value(p, "azoth_dns_tcp_connections_total", NULL, accepted);
    stat_head(p, "azoth_dns_tcp_connections", "gauge", "TCP connections open");
    stat_value(p, "azoth_dns_tcp_connections", NULL, accepted - closed);
    stat_head(p, "azoth_dns_tcp_refused_total", "counter",
              "TCP connections not taken: all places in use, as many as this client may have, no descriptors");
    stat_value(p, "azoth_dns_tcp_refused_total", "reason=\"connections\"", SUM(s, tcp_refused));
    stat_value(p, "azoth_dns_tcp_refused_total", "reason=\"per_client\"", SUM(s, tcp_refused_client));
    stat_value(p, "azoth_dns_tcp_refused_total", "reason=\"descriptors\"", SUM(s, tcp_refused_files));
    stat_head(p, "azoth_dns_tcp_gave_way_total", "counter", "TCP connections, slow or idle, closed to make room for new ones");
    stat_value(p, "azoth_dns_tcp_gave_way_total", NULL, SUM(s, tcp_gave_way));
    stat_head(p, "azoth_dns_tcp_timeouts_total", "counter", "TCP connections closed because they were idle, slow or stuck");
    stat_value(p, "azoth_dns_tcp_timeouts_total", NULL, SUM(s, tcp_timeouts));
    stat_head(p, "azoth_dns_tcp_broken_total", "counter", "TCP connections closed because of broken framing");
    stat_value(p, "azoth_dns_tcp_broken_total", NULL, SUM(s, tcp_broken));
}

static void page_limits(const struct server *s, struct stat_page *p)
{
    stat_head(p, "azoth_dns_tls_failed_total", "counter", "TLS handshakes that failed");
    stat_value(p, "azoth_dns_tls_failed_total", NULL, SUM(s, tls_failed));
    stat_head(p, "azoth_dns_proxy_refused_total", "counter", "messages and connections of proxies without a good PROXY header");
    stat_value(p, "azoth_dns_proxy_refused_total", NULL, SUM(s, proxy_refused));
    stat_head(p, "azoth_dns_rrl_total", "counter",
              "responses, counted above, that rate limiting held back: dropped, or sent truncated instead");
    stat_value(p, "azoth_dns_rrl_total", "result=\"dropped\"", SUM(s, rrl_dropped));
    stat_value(p, "azoth_dns_rrl_total", "result=\"slipped\"", SUM(s, rrl_slipped));
}

/* The network that the first worker which has one held back last. */
static struct net limited_network(const struct server *s)
{
    struct net n = { .len = 4, .bits = RRL_IPV4_BITS };
    uint64_t word = 0;
    for (unsigned i = 0; i < s->workers_n && word == 0; i++)
        word = stat_get(&s->workers[i].counters.rrl_network);
    if (word >> RRL_IPV6_BITS != 0)
        n = (struct net){ .len = 16, .bits = RRL_IPV6_BITS };
    for (unsigned i = n.bits / 8; i-- > 0; word >>= 8)
        n.addr[i] = (uint8_t)word;
    return n;
}

static void tell_proxies(struct server *s)
{
    uint64_t refused = SUM(s, proxy_refused);
    unsigned held;
    if (refused == s->proxy_refused || !log_brake_pass_in(&s->proxy_brake, clock_mono_ms(), LOG_SLOW_MS, 1, &held))
        return;
    log_warn("dns.proxy", "refused=%llu err=\"no good PROXY header (version 2) from an address in dns.proxies\" next=drop",
             (unsigned long long)(refused - s->proxy_refused));
    s->proxy_refused = refused;
}

static void tell_limited(struct server *s)
{
    uint64_t limited = SUM(s, rrl_dropped) + SUM(s, rrl_slipped);
    struct net n = limited_network(s);
    char text[NET_TEXT_MAX];
    unsigned held;
    if (limited == s->limited || !log_brake_pass_in(&s->limited_brake, clock_mono_ms(), LOG_SLOW_MS, 1, &held))
        return;
    log_warn("dns.rrl", "limited=%llu network=%s next=\"hold back equal answers\"",
             (unsigned long long)(limited - s->limited), net_text(&n, text, sizeof text));
    s->limited = limited;
    for (unsigned i = 0; i < s->workers_n; i++)
        stat_set(&s->workers[i].counters.rrl_network, 0);       /* the next line is to name one of its own time */
}

void server_tell_limits(struct server *s)
{
    tell_limited(s);
    tell_proxies(s);
}

static void page_store(struct server *s, struct stat_page *p)
{
    struct head head = { .seq = 0 };
    struct store_figures figures = { .generation = 0 };
    bool have = server_head(s, &head) == OK;
    uint64_t now = clock_wall_ms(), age = have && now > head.time_ms ? now - head.time_ms : 0;
    if (s->store != NULL && store_figures(s->store, &figures) != OK)
        figures = (struct store_figures){ .generation = 0 };
    stat_head(p, "azoth_dns_info", "gauge", "version");
    stat_value(p, "azoth_dns_info", "version=\"" PACKAGE_VERSION "\"", 1);
    stat_head(p, "azoth_dns_ready", "gauge", "1: there is data to answer from");
    stat_value(p, "azoth_dns_ready", NULL, have);
    stat_head(p, "azoth_dns_applied_epoch", "gauge", "epoch of the data served");
    stat_value(p, "azoth_dns_applied_epoch", NULL, head.epoch);
    stat_head(p, "azoth_dns_applied_seq", "gauge", "sequence number of the data served");
    stat_value(p, "azoth_dns_applied_seq", NULL, head.seq);
    stat_head(p, "azoth_dns_data_age_seconds", "gauge",
              "since the core made the newest commit that is served, by this machine's clock; it grows while nothing changes");
    stat_ratio(p, "azoth_dns_data_age_seconds", NULL, (double)age / 1000.0);
    stat_head(p, "azoth_dns_generation", "gauge", "number of the store's generation; 0: no store yet");
    stat_value(p, "azoth_dns_generation", NULL, figures.generation);
    stat_head(p, "azoth_dns_view_failed_total", "counter",
              "batches answered with SERVFAIL because the store gave no view");
    stat_value(p, "azoth_dns_view_failed_total", NULL, SUM(s, view_failed));
}

static int metrics_page(void *arg, struct stat_page *p)
{
    struct server *s = arg;
    page_questions(s, p);
    page_workers(s, p);
    page_steps(s, p);
    page_cache(s, p);
    page_sockets(s, p);
    page_limits(s, p);
    page_store(s, p);
    stat_head(p, "azoth_dns_uptime_seconds", "gauge", "since this process started");
    stat_value(p, "azoth_dns_uptime_seconds", NULL, (clock_mono_ms() - s->started_ms) / 1000);
    return 200;
}

static int health_page(void *arg, struct stat_page *p)
{
    (void)arg;
    stat_print(p, "ok\n");
    return 200;
}

static int ready_page(void *arg, struct stat_page *p)
{
    struct server *s = arg;
    struct head head;
    bool serving = true;
    if (server_head(s, &head) != OK) {
        stat_print(p, s->store == NULL ? "not ready: no store yet\n" : "not ready: the store is empty\n");
        return 503;
    }
    for (unsigned i = 0; i < s->workers_n; i++)
        serving = serving && atomic_load(&s->workers[i].serving);
    stat_print(p, serving ? "ready\n" : "not ready: workers are opening the store\n");
    return serving ? 200 : 503;
}

MUST_USE enum err metrics_open(struct server *s, struct fault *fault)
{
    const char *listen = s->config->dns->http.listen;
    enum err err;
    if (listen == NULL)
        return OK;
    if ((err = http_open(&s->http, s->base, listen, fault)) != OK)
        return err;
    if ((err = http_route(s->http, "/metrics", METRICS_TYPE, metrics_page, s)) != OK)
        return err;
    if ((err = http_route(s->http, "/healthz", "text/plain", health_page, s)) != OK)
        return err;
    return http_route(s->http, "/readyz", "text/plain", ready_page, s);
}
