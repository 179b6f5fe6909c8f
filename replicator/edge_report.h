/* An edge's own receipts: when its position moves, and once a second, it says where it stands. In the loop's thread.
 *
 *     edge_report_look ─► due? ─► fill (the edge's figures) ─► signed ─► collect_push            a timer of its own for the pace */
#ifndef AZOTH_REPLICATOR_EDGE_REPORT_H
#define AZOTH_REPLICATOR_EDGE_REPORT_H

#include "replicator/collect.h"
#include "replicator/receipt.h"

struct event_base;
struct edge_report;
/* Fills in all that only the edge knows: cluster, parent, epoch, seq, digest, head_seq, head_time_ms, lag_ms, state. */
typedef void edge_report_fill_fn(void *arg, struct receipt *out);
struct edge_report_options {            /* all borrowed until edge_report_close */
    struct event_base *base;
    const struct node_key *key;
    const char *node, *cohort;
    const char *dns_http;               /* where azoth-dns on this host shows its metrics, ADDRESS@PORT; NULL: it does not */
    struct collect *collect;
    edge_report_fill_fn *fill;
    void *arg;
};
MUST_USE enum err edge_report_open(struct edge_report **out, const struct edge_report_options *o, struct fault *fault);
void edge_report_close(struct edge_report *r);                  /* NULL is fine */
/* The position may have moved; cheap when it has not. */
void edge_report_look(struct edge_report *r);
/* So many nodes are in the fleet, the core says. */
void edge_report_nodes(struct edge_report *r, uint64_t nodes);

#endif
