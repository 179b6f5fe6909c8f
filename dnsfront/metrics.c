#include "dnsfront/server.h"

#include "base/clock.h"
#include "wire/rrtype.h"

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
    stat_head(p, "azoth_dns_responses_total", "counter", "responses by rcode");
    for (unsigned i = 0; i < ANSWER_RCODES; i++) {
        if (rcode_text(i) == NULL)
            continue;
        (void)snprintf(label, sizeof label, "rcode=\"%s\"", rcode_text(i));
        stat_value(p, "azoth_dns_responses_total", label,
                   sum(s, offsetof(struct worker_counters, answers.responses) + i * sizeof(stat_count)));
    }
    stat_head(p, "azoth_dns_dropped_total", "counter",
              "messages that got no response: too short, or responses themselves");
    stat_value(p, "azoth_dns_dropped_total", NULL, SUM(s, answers.dropped));
    stat_head(p, "azoth_dns_truncated_total", "counter", "responses with TC set");
    stat_value(p, "azoth_dns_truncated_total", NULL, SUM(s, answers.truncated));
    stat_head(p, "azoth_dns_broken_total", "counter", "stored values that did not read (SERVFAIL); run azoth verify");
    stat_value(p, "azoth_dns_broken_total", NULL, SUM(s, answers.broken));
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

static void page_sockets(const struct server *s, struct stat_page *p)
{
    uint64_t closed = SUM(s, tcp_closed), accepted = SUM(s, tcp_accepted);      /* in this order: never below zero */
    stat_head(p, "azoth_dns_udp_unsent_total", "counter", "replies that the kernel did not take");
    stat_value(p, "azoth_dns_udp_unsent_total", NULL, SUM(s, udp_unsent));
    stat_head(p, "azoth_dns_tcp_connections_total", "counter", "TCP connections accepted");
    stat_value(p, "azoth_dns_tcp_connections_total", NULL, accepted);
    stat_head(p, "azoth_dns_tcp_connections", "gauge", "TCP connections open");
    stat_value(p, "azoth_dns_tcp_connections", NULL, accepted - closed);
    stat_head(p, "azoth_dns_tcp_refused_total", "counter",
              "TCP connections closed at once: limit reached or no descriptors");
    stat_value(p, "azoth_dns_tcp_refused_total", NULL, SUM(s, tcp_refused));
    stat_head(p, "azoth_dns_tcp_timeouts_total", "counter", "TCP connections closed because they were idle or stuck");
    stat_value(p, "azoth_dns_tcp_timeouts_total", NULL, SUM(s, tcp_timeouts));
    stat_head(p, "azoth_dns_tcp_broken_total", "counter", "TCP connections closed because of broken framing");
    stat_value(p, "azoth_dns_tcp_broken_total", NULL, SUM(s, tcp_broken));
}

static void page_store(struct server *s, struct stat_page *p)
{
    struct head head = { .seq = 0 };
    struct store_figures figures = { .generation = 0 };
    bool have = server_head(s, &head) == OK;
    uint64_t now = clock_wall_ms(), age = have && now > head.time_ms ? now - head.time_ms : 0;
    if (s->store != NULL && store_figures(s->store, &figures) != OK)
        figures = (struct store_figures){ .generation = 0 };
    stat_head(p, "azoth_dns_ready", "gauge", "1: there is data to answer from");
    stat_value(p, "azoth_dns_ready", NULL, have);
    stat_head(p, "azoth_dns_applied_epoch", "gauge", "epoch of the data served");
    stat_value(p, "azoth_dns_applied_epoch", NULL, head.epoch);
    stat_head(p, "azoth_dns_applied_seq", "gauge", "sequence number of the data served");
    stat_value(p, "azoth_dns_applied_seq", NULL, head.seq);
    stat_head(p, "azoth_dns_head_age_seconds", "gauge", "since the core made the data served, by this machine's clock");
    stat_ratio(p, "azoth_dns_head_age_seconds", NULL, (double)age / 1000.0);
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
    page_steps(s, p);
    page_sockets(s, p);
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
