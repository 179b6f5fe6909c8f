/* What azoth-edge logs about its replica: one line per failure, bursts held back, what stays wrong said again. */
#ifndef AZOTH_REPLICATOR_EDGE_SAY_H
#define AZOTH_REPLICATOR_EDGE_SAY_H

#include "base/log.h"
#include "config/config.h"
#include "replicator/replica.h"

#define SAY_AGAIN_MS 60000

struct edge_say {               /* zeroed at the start */
    const char *dir, *node;     /* ours, for what the operator is to do */
    const struct config_links *upstreams;
    struct log_brake bad[8], live, behind_log, store, later, links;
    struct log_brake silent, left, stalled, timeout, refused;
    bool full_said, stopped_said, silent_said;
    uint64_t full_ms, stopped_ms;
};
/* fault: the store's words about the job behind it, "" when there are none. */
void edge_say_note(struct edge_say *s, const struct note *n, const char *fault, const uint8_t cluster[CLUSTER_LEN]);
/* A refused message; nothing for OK. */
void edge_say_bad(struct edge_say *s, enum err err, const char *from, unsigned upstream);
/* Called now and then: says that heads come again, after edge.silent. */
void edge_say_heard(struct edge_say *s, uint64_t age_ms, unsigned upstream);
/* Called as long as the replica is stopped. */
void edge_say_stopped(struct edge_say *s, uint64_t applied);

#endif
