/* The publisher: announces heads (PUB) and serves the log and snapshots (REP) to subscribers. The same code on a core and on a relay.
 *
 *     core    committing thread: commit_run ─► publisher_post ─┬─► PUB announce
 *                                                              │ many subscribers: queue, eventfd
 *             loop thread:       once a second: beat ──────────┴─► PUB announce        REP ◄─ requests: log reader
 *     relay   loop thread:       publisher_forward (the upstream's announcements), publisher_send, publisher_reached (our log has it)
 *
 * Threads: everything runs in the thread of `base`'s loop, except publisher_post, which any thread may call between
 * publisher_open and publisher_close, and `beat`, which is called in the loop's thread and so must be safe beside the
 * committing thread (commit_heartbeat is). So heartbeats and fetches go on while a commit takes seconds.
 *
 * What waits to be announced goes out as one message (replicator/lot.h). An announcement is only a hint: PUB drops silently
 * when a subscriber is slow, and under load queued announcements collapse into the newest head. What makes it lossless is the
 * head in every heartbeat and the fetch that follows.
 *
 *     struct publisher_options o = { base, store, "tcp://0.0.0.0:7400", "tcp://0.0.0.0:7401", name, beat, arg };
 *     publisher_open(&p, &o, &fault);
 *     commit_open(&c, store, &key, publisher_post, p, &fault);        beat: calls commit_heartbeat(c, out)
 *     ... event_base_dispatch ...
 *     commit_close(c); publisher_close(p); store_close(store); */
#ifndef AZOTH_REPLICATOR_PUBLISHER_H
#define AZOTH_REPLICATOR_PUBLISHER_H

#include "base/stat.h"
#include "replicator/keyring.h"
#include "replicator/nodes.h"

#define PUBLISHER_BEAT_MS 1000
#define PUBLISHER_QUEUE_MAX 256         /* announcements that wait for the loop; more collapse into the newest head */

struct event_base;
struct publisher;

/* The newest head, freshly signed. ERR_NOTFOUND: nothing to announce yet (also while there is no committer yet). */
typedef enum err publisher_beat_fn(void *arg, struct signed_head *out);

struct publisher_options {
    struct event_base *base;
    struct store *store;            /* opened by this process; outlives the publisher */
    const char *publish, *serve;    /* addresses to listen on: tcp://HOST:PORT or ipc://PATH; borrowed */
    const char *node;               /* our name, told in hello; borrowed */
    const struct node_key *key;     /* our node key; the public half is told in hello. Borrowed */
    struct nodes *nodes;            /* who is served; NULL: nobody. Borrowed until publisher_nodes */
    struct keyring *keys;           /* cluster keys to hand out; NULL: there are none. Borrowed */
    publisher_beat_fn *beat;        /* core; NULL on a relay, which forwards instead */
    void *beat_arg;
    uint64_t snapshot_rate;         /* bytes a second, of all snapshots that are copied from us; 0: as snapserve.h says */
    unsigned snapshot_leases;       /* nodes that may copy at once; 0: as snapserve.h says */
};
/* ERR_NET: an address is in use or wrong; the fault names it. */
MUST_USE enum err publisher_open(struct publisher **out, const struct publisher_options *o, struct fault *fault);
void publisher_close(struct publisher *p);                      /* NULL is fine */

/* A commit_told_fn: announce this head, and the record when it is not empty. Any thread; copies; never blocks on the
 * network. To a few subscribers it goes at once, from here: waking the loop takes longer. `publisher` is the struct publisher. */
void publisher_post(void *publisher, const struct signed_head *head, struct bytes record);

/* --- relay, loop thread only ------------------------------------------------------------------------------------ */
/* Sends the upstream's announcement on, its bytes as they are, with the next publisher_send: those that came together go
 * together. head: the verified head in it. */
void publisher_forward(struct publisher *p, struct bytes announcement, const struct signed_head *head);
void publisher_send(struct publisher *p);
/* The log is complete up to this head: it may be served; announced again when subscribers may wait for it.
 * NULL: nothing may be served (the log was emptied). */
void publisher_reached(struct publisher *p, const struct signed_head *head);

/* Nodes that copy a snapshot from us go on with the log from this seq on; 0: nobody does. Any thread. */
uint64_t publisher_needs(const struct publisher *p);

/* How many nodes the fleet has, told with each announcement of our own; 0: it is not. Loop thread. */
void publisher_fleet(struct publisher *p, uint64_t nodes);

/* The data is not what it should be (bit rot): no snapshot of it is handed out. Loop thread. */
void publisher_rotten(struct publisher *p, bool rotten);

/* The list was read anew. Loop thread; the old one is not looked at any more. */
void publisher_nodes(struct publisher *p, struct nodes *nodes);

/* Metrics of the loop thread: announcements, requests by type, bytes served, bad requests. */
void publisher_metrics(const struct publisher *p, struct stat_page *page);

#endif
