#include "replicator/fleet_parts.h"

#include <stdio.h>

#define STATES (RECEIPT_STATES + 2)

/* A name as a label's value: backslash and quote escaped. */
static const char *label_of(char *out, size_t cap, const char *name)
{
    size_t n = (size_t)snprintf(out, cap, "node=\"");
    for (; *name != '\0' && n + 4 < cap; name++) {
        if (*name == '"' || *name == '\\')
            out[n++] = '\\';
        out[n++] = *name;
    }
    (void)snprintf(out + n, cap - n, "\"");
    return out;
}

static void count_states(const struct fleet *f, uint64_t now_us, struct stat_page *page)
{
    static const char *const names[STATES] = { "live", "catching-up", "copying", "stopped", "rotten", "away", "never" };
    uint64_t count[STATES] = { 0 }, wrong = 0;
    struct fleet_node n;
    char label[64];
    for (size_t i = 0; i < fleet_count(f); i++) {
        fleet_node(f, i, now_us, &n);
        count[!n.ever ? STATES - 1 : n.away ? STATES - 2 : (size_t)n.state]++;
        wrong += n.digest_known && !n.digest_ok;
    }
    stat_head(page, "azoth_fleet_nodes", "gauge", "listed nodes, by state");
    for (size_t i = 0; i < STATES; i++) {
        (void)snprintf(label, sizeof label, "state=\"%s\"", names[i]);
        stat_value(page, "azoth_fleet_nodes", label, count[i]);
    }
    stat_head(page, "azoth_fleet_digest_wrong", "gauge", "nodes whose data is not what the core had at that seq");
    stat_value(page, "azoth_fleet_digest_wrong", NULL, wrong);
}

static void receipts(const struct fleet *f, struct stat_page *page)
{
    static const char name[] = "azoth_fleet_receipts_total";
    const struct fleet_counts *n = fleet_counts(f);
    stat_head(page, name, "counter", "receipts of nodes, by what became of them");
    stat_value(page, name, "result=\"taken\"", n->taken);
    stat_value(page, name, "result=\"malformed\"", n->shape);
    stat_value(page, name, "result=\"forged\"", n->signature);
    stat_value(page, name, "result=\"other-cluster\"", n->cluster);
    stat_value(page, name, "result=\"unlisted\"", n->unlisted);
    stat_value(page, name, "result=\"old\"", n->old);
    stat_value(page, name, "result=\"too-fast\"", n->fast);
    stat_value(page, name, "result=\"failed\"", n->failed);
}

enum column { SEQ, LAG, LAG_S, HEARD_S };
static void column(const struct fleet *f, uint64_t now_us, const char *name, const char *help, enum column what,
                   struct stat_page *page)
{
    struct fleet_node n;
    char label[2 * NODE_NAME_MAX + 16];
    stat_head(page, name, "gauge", help);
    for (size_t i = 0; i < fleet_count(f); i++) {
        fleet_node(f, i, now_us, &n);
        if (!n.ever)
            continue;
        (void)label_of(label, sizeof label, n.name);
        switch (what) {
        case SEQ: stat_value(page, name, label, n.seq); break;
        case LAG: stat_value(page, name, label, n.lag_records); break;
        case LAG_S: stat_ratio(page, name, label, (double)n.lag_ms / 1000); break;
        case HEARD_S: stat_ratio(page, name, label, (double)n.heard_ms / 1000); break;
        }
    }
}

/* node: its label, or "". */
static void histogram(const char *name, const char *node, const uint64_t *bucket, uint64_t sum_us, struct stat_page *page)
{
    char label[2 * NODE_NAME_MAX + 48], full[64];
    const char *comma = node[0] != '\0' ? "," : "";
    uint64_t sum = 0;
    (void)snprintf(full, sizeof full, "%s_bucket", name);
    for (size_t i = 0; i < FLEET_BUCKETS; i++) {
        sum += bucket[i];
        if (i < FLEET_BUCKETS - 1)
            (void)snprintf(label, sizeof label, "%s%sle=\"%g\"", node, comma, (double)histogram_us[i] / 1e6);
        else
            (void)snprintf(label, sizeof label, "%s%sle=\"+Inf\"", node, comma);
        stat_value(page, full, label, sum);
    }
    (void)snprintf(full, sizeof full, "%s_sum", name);
    stat_ratio(page, full, node[0] != '\0' ? node : NULL, (double)sum_us / 1e6);
    (void)snprintf(full, sizeof full, "%s_count", name);
    stat_value(page, full, node[0] != '\0' ? node : NULL, sum);
}

static void propagation(const struct fleet *f, uint64_t now_us, struct stat_page *page)
{
    static const char all[] = "azoth_propagation_seconds", each[] = "azoth_node_propagation_seconds";
    const struct histogram *h = fleet_histogram(f);
    struct fleet_node n;
    char label[2 * NODE_NAME_MAX + 16];
    stat_head(page, all, "histogram", "from a commit to a node's having it, all nodes together");
    histogram(all, "", h->bucket, h->sum_us, page);
    if (fleet_count(f) > FLEET_HISTOGRAMS)
        return;
    stat_head(page, each, "histogram", "from a commit to the node's having it");
    for (size_t i = 0; i < fleet_count(f); i++) {
        fleet_node(f, i, now_us, &n);
        histogram(each, label_of(label, sizeof label, n.name), n.propagation, n.propagation_sum_us, page);
    }
}

void fleet_metrics(const struct fleet *f, uint64_t now_us, struct stat_page *page)
{
    count_states(f, now_us, page);
    receipts(f, page);
    propagation(f, now_us, page);
    column(f, now_us, "azoth_node_seq", "seq of the node's data", SEQ, page);
    column(f, now_us, "azoth_node_lag_records", "log records between the node's data and the core's", LAG, page);
    column(f, now_us, "azoth_node_lag_seconds", "since the first commit that the node lacks", LAG_S, page);
    column(f, now_us, "azoth_node_heard_seconds", "since the node's last receipt", HEARD_S, page);
}
