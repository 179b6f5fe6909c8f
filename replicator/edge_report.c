#include "replicator/edge_report.h"

#include "base/clock.h"
#include "base/log.h"
#include "replicator/edge_qps.h"

#include <config.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdlib.h>

struct edge_report {
    struct edge_report_options o;
    struct event *timer;
    struct edge_qps *qps;
    struct receipt_pace pace;
    uint64_t boot, counter, started_ms;
    uint64_t epoch, seq, moved_us;      /* the position that was seen last, and since when */
    bool unfit_said;
};

static void arm(struct edge_report *r, uint64_t now_ms)
{
    uint64_t ms = receipt_wake_ms(&r->pace, r->epoch, r->seq, now_ms);
    struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
    (void)event_add(r->timer, &tv);
}

/* A name that the core would not read, say: the node would just not be seen there. */
static void tell_unfit(struct edge_report *r)
{
    char text[400];
    if (!r->unfit_said)
        log_warn("edge.receipt", "node=%s err=\"this name, or that of the cohort, does not fit a receipt: up to %d printable "
                 "ASCII letters without space\" next=\"the core does not see this node\"",
                 log_quote(text, sizeof text, r->o.node), NODE_NAME_MAX);
    r->unfit_said = true;
}

static void send_receipt(struct edge_report *r, struct receipt *say, uint64_t now_us)
{
    uint8_t buf[RECEIPT_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    struct receipt again;
    struct bytes body;
    uint8_t sig[64];
    say->node = bytes_of_text(r->o.node);
    say->cohort = bytes_of_text(r->o.cohort);
    say->version = bytes_of_text(PACKAGE_VERSION);
    say->boot = r->boot;
    say->counter = ++r->counter;
    say->held_us = now_us - r->moved_us;
    say->uptime_s = (now_us / 1000 - r->started_ms) / 1000;
    say->qps = edge_qps_now(r->qps);
    receipt_put(&w, say, r->o.key);
    if (w.full || receipt_read(wr_done(&w), &again, &body, sig) != OK)
        tell_unfit(r);
    else
        collect_push(r->o.collect, wr_done(&w));
}

void edge_report_look(struct edge_report *r)
{
    struct receipt say = { .boot = 0 };
    uint64_t now_us = clock_mono_us(), now_ms = now_us / 1000;
    r->o.fill(r->o.arg, &say);
    if (say.epoch != r->epoch || say.seq != r->seq) {
        r->epoch = say.epoch;
        r->seq = say.seq;
        r->moved_us = now_us;
    }
    if (receipt_is_due(&r->pace, r->epoch, r->seq, now_ms)) {
        receipt_sent(&r->pace, r->epoch, r->seq, now_ms);
        bool joined = sodium_is_zero(say.cluster, CLUSTER_LEN) == 0;    /* else nobody would take it for one of theirs */
        if (joined && collect_connected(r->o.collect))
            send_receipt(r, &say, now_us);
    }
    arm(r, now_ms);
}

void edge_report_nodes(struct edge_report *r, uint64_t nodes)
{
    r->pace.nodes = nodes;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    edge_report_look(arg);
}

enum err edge_report_open(struct edge_report **out, const struct edge_report_options *o, struct fault *fault)
{
    struct edge_report *r = calloc(1, sizeof *r);
    if (r == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for receipts");
    r->o = *o;
    r->started_ms = clock_mono_ms();
    r->moved_us = clock_mono_us();
    randombytes_buf(&r->boot, sizeof r->boot);
    r->pace.random = r->boot;
    r->timer = event_new(o->base, -1, 0, on_timer, r);
    if (r->timer == NULL || edge_qps_open(&r->qps, o->base, o->dns_http) != OK) {
        edge_report_close(r);
        return fault_set(fault, ERR_NOMEM, "no memory for receipts");
    }
    arm(r, r->started_ms);
    *out = r;
    return OK;
}

void edge_report_close(struct edge_report *r)
{
    if (r == NULL)
        return;
    if (r->timer != NULL)
        event_free(r->timer);
    edge_qps_close(r->qps);
    free(r);
}
