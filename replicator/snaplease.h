/* Who may copy now, and how fast: a few leases, a queue of those who wait for one, and a rate that all leases share. Pure:
 * names and a clock in. Nothing grows with what is asked: of those who wait SNAPLEASE_WAITING have a place, the others are
 * sent away for longer.
 *
 *     ask ─► has a lease, or one is free and nobody waits longer ─► served
 *        └─► a place in the queue, and when to come back; who does not come back by then loses it
 *
 * A lease is renewed by getting on, not by asking: who asks for the same again and again does not keep it. */
#ifndef AZOTH_REPLICATOR_SNAPLEASE_H
#define AZOTH_REPLICATOR_SNAPLEASE_H

#include "replicator/message.h"

#define SNAPLEASE_MAX 64                /* leases at once */
#define SNAPLEASE_WAITING 256
#define SNAPLEASE_BACK_MS 200           /* the first in the queue comes back so often */
#define SNAPLEASE_BACK_MAX_MS 2000
#define SNAPLEASE_SLACK_MS 2000         /* later than told by so much: the place is lost */
#define SNAPLEASE_AWAY_MS 5000          /* for those who found no place in the queue */

struct snapholder {
    uint8_t name[NODE_NAME_MAX];
    size_t len;
    uint64_t since_ms;                  /* waiting: since */
    uint64_t until_ms;                  /* then the lease or the place is lost */
    uint64_t file;                      /* leases: which file is being copied; 0: none yet */
    uint64_t newest, step;              /* leases: the newest file so far, and how far in it or older ones */
};
struct snapleases {
    unsigned most, n, waiting_n;
    uint64_t lease_ms;
    struct snapholder lease[SNAPLEASE_MAX], waiting[SNAPLEASE_WAITING];     /* waiting: in order of arrival */
};
/* most: 1 .. SNAPLEASE_MAX. */
void snapleases_init(struct snapleases *l, unsigned most, uint64_t lease_ms);
/* Drops who was silent for too long. */
void snapleases_expire(struct snapleases *l, uint64_t now_ms);
/* NULL: not now, come back in *wait_ms. Else the node's lease; borrowed until the next call. */
struct snapholder *snapleases_ask(struct snapleases *l, struct bytes node, uint64_t now_ms, uint64_t *wait_ms);
/* It asks for step `step` (they ascend, from 1) of that file (newer ones have higher numbers). given: and gets it; else it
 * has to wait for our sake. */
void snapleases_step(const struct snapleases *l, struct snapholder *lease, uint64_t file, uint64_t step, bool given,
                     uint64_t now_ms);
/* It waits for us. */
void snapleases_renew(const struct snapleases *l, struct snapholder *lease, uint64_t now_ms);
void snapleases_end(struct snapleases *l, struct bytes node);
/* How many copy that file. */
unsigned snapleases_hold(const struct snapleases *l, uint64_t file);

/* A rate with room for a burst: what is taken may go below zero once, then it has to fill up again. */
struct snaprate { uint64_t rate, burst, at_ms; int64_t level; };
void snaprate_init(struct snaprate *r, uint64_t rate, uint64_t burst, uint64_t now_ms);
/* 0: now. Else in so many ms. */
uint64_t snaprate_wait_ms(struct snaprate *r, uint64_t now_ms);
void snaprate_take(struct snaprate *r, size_t bytes);

#endif
