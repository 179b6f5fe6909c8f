/* The fleet: what the core knows of every node from receipts, and who has which change. Pure: receipts and a clock in,
 * answers out; no socket, no JSON. Times are the caller's monotonic microseconds unless they say core time.
 *
 *     PULL ─► fleet_take (verified, newer than the last) ─► table ─► status, wait, propagation histogram
 *     commit ─► fleet_committed (seq, when) ─► a ring of recent commits, which receipts are measured against
 *
 * Propagation is the time from a commit to the arrival of the receipt of a node that has it, less what the receipt's own
 * pace added. Measured once per receipt that brings a new seq; a node's first one measures nothing, since it may have had
 * that seq before. Nothing is kept over a restart: receipts come every second. */
#ifndef AZOTH_REPLICATOR_FLEET_H
#define AZOTH_REPLICATOR_FLEET_H

#include "base/stat.h"
#include "replicator/nodes.h"
#include "replicator/receipt.h"

#define FLEET_HEARD_MS 30000            /* who was not heard for so long is away: not counted by wait unless asked for */
#define FLEET_SETTLE_MS 10000           /* so long after the start who was never heard counts too: it may be about to be */
#define FLEET_RING 65536                /* commits that receipts can be measured against */
#define FLEET_BUCKETS 16                /* of the propagation histogram: <= 0.5 1 2 5 10 20 50 100 200 500 ms 1 2 5 10 30 s, more */
#define FLEET_NEW_RATE 1000             /* receipts a second of nodes, or boots of nodes, that are new: a signature costs 0.1 ms */
#define FLEET_HISTOGRAMS 1000           /* more nodes: no histogram of each on the metrics page */

struct fleet;
struct fleet_node {
    const char *name, *parent, *cohort, *version;       /* borrowed until the next fleet_take or fleet_list */
    bool ever;                          /* false: listed, and not heard since the start */
    bool away;                          /* not heard for FLEET_HEARD_MS, or never */
    bool counted;                       /* by fleet_has without `all` */
    uint64_t heard_ms;                  /* how long ago */
    uint64_t heard_core_ms;             /* core time of that */
    uint64_t epoch, seq, head_seq;
    uint64_t lag_records;               /* between its data and the core's */
    uint64_t lag_ms;                    /* since the first commit that it lacks, at least; 0: it lacks none */
    uint64_t head_age_ms;               /* of the newest head it knows, when it sent the receipt */
    bool digest_known, digest_ok;       /* known: the core remembers that seq's digest */
    enum receipt_state state;
    uint64_t uptime_s, qps, boot;
    uint64_t receipts;
    const uint64_t *propagation;        /* FLEET_BUCKETS, each by itself; borrowed as above */
    uint64_t propagation_sum_us, propagation_us;        /* of all; the last one */
};
MUST_USE enum err fleet_open(struct fleet **out, const uint8_t cluster[CLUSTER_LEN], uint64_t now_us);
void fleet_close(struct fleet *f);                      /* NULL is fine */
/* Who is listed: nodes that are gone, or have another key, are forgotten, new ones stand there as never heard. nodes:
 * borrowed until the next; NULL: nobody. ERR_NOMEM: as before. */
MUST_USE enum err fleet_list(struct fleet *f, const struct nodes *nodes);
/* A commit became visible at the core; seq ends a transaction. now_us 0: some time ago (the state at the start). */
void fleet_committed(struct fleet *f, const struct head *head, uint64_t now_us);
/* A message from the collect socket. ERR_SHORT, ERR_BAD, ERR_FORMAT, ERR_SIGNATURE, ERR_CLUSTER, ERR_NOTFOUND (not listed),
 * ERR_EXISTS (older than the last), ERR_LIMIT (more than RECEIPT_RATE a second from one node, or too many new ones),
 * ERR_NOMEM: counted, nothing changed. */
MUST_USE enum err fleet_take(struct fleet *f, struct bytes msg, uint64_t now_us, uint64_t core_time_ms);
/* Did any node's position move since the last call? */
bool fleet_moved(struct fleet *f);

size_t fleet_count(const struct fleet *f);
void fleet_node(const struct fleet *f, size_t i, uint64_t now_us, struct fleet_node *out);      /* in order of names */
/* Did node i go away, or come back, since this was asked last? Each is told once; that it is heard for the first time is
 * no news. */
enum fleet_turn { FLEET_SAME, FLEET_WENT, FLEET_CAME };
enum fleet_turn fleet_turn(struct fleet *f, size_t i, uint64_t now_us);
/* The newest commit; false: none yet. */
bool fleet_newest(const struct fleet *f, uint64_t *epoch, uint64_t *seq);
/* Who has (epoch, seq)? all: every listed node counts. */
struct fleet_has { size_t nodes, have; bool known; };   /* known: this seq was committed, and not too long ago */
void fleet_has(const struct fleet *f, uint64_t epoch, uint64_t seq, bool all, uint64_t now_us, struct fleet_has *out);
bool fleet_node_has(const struct fleet_node *n, uint64_t epoch, uint64_t seq);
/* How many of `nodes` are `percent` of them: rounded up, and at least one unless percent is 0, so that nobody's having it
 * is never taken for everybody's. */
size_t fleet_quorum(size_t nodes, unsigned percent);
/* "away", "never" or the state of its receipt. */
const char *fleet_node_state(const struct fleet_node *n);
void fleet_metrics(const struct fleet *f, uint64_t now_us, struct stat_page *page);

#endif
