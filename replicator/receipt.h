/* A receipt: what a node says of itself, signed with its node key, carried unchanged by relays to the core (PUSH/PULL).
 *
 *     [1, body, sig]     body = [cluster, node, parent, cohort, boot, counter, epoch, seq, digest, head seq, head time,
 *                                held us, lag ms, state, version, uptime s, queries per second]
 *
 * The signature covers "azoth receipt 1" 00 body. Which of two receipts of a node is the newer one: of one boot the one with
 * the higher counter; of different boots the one with the later head time, which is core time under the core's own
 * signature, so neither a recorded receipt nor a wrong clock can undo a newer one. FORMAT.md section 7. */
#ifndef AZOTH_REPLICATOR_RECEIPT_H
#define AZOTH_REPLICATOR_RECEIPT_H

#include "replicator/message.h"

#define RECEIPT_MAX ((size_t)2048)
#define RECEIPT_VERSION_MAX 32
#define RECEIPT_BURST_MS 50             /* between two receipts while the position moves, at least */
#define RECEIPT_IDLE_MS 1000            /* and while it does not */
#define RECEIPT_AT_ONCE 10              /* nodes: in so small a fleet the first receipt of a burst waits for nothing */
#define RECEIPT_RATE 40                 /* more in a second from one node are dropped, by relays and by the core */

enum receipt_state { RECEIPT_LIVE, RECEIPT_CATCHING_UP, RECEIPT_COPYING, RECEIPT_STOPPED, RECEIPT_ROTTEN };
#define RECEIPT_STATES 5
const char *receipt_state_text(enum receipt_state s);

struct receipt {
    uint8_t cluster[CLUSTER_LEN];
    struct bytes node, parent, cohort, version;     /* borrowed; parent: the name of the upstream's node, empty before hello */
    uint64_t boot, counter;             /* boot: random at each start; counter: +1 with each receipt of a boot */
    uint64_t epoch, seq;                /* applied */
    uint8_t digest[HEAD_DIGEST_LEN];    /* of the data at that seq */
    uint64_t head_seq, head_time_ms;    /* of the newest head heard of since the start; both 0: none yet */
    uint64_t held_us;                   /* how long ago that seq was applied: what the receipt's own pace added */
    uint64_t lag_ms;                    /* age of the newest head, by the node's own clock */
    enum receipt_state state;
    uint64_t uptime_s, qps;
};
/* w is full when it does not fit RECEIPT_MAX. */
void receipt_put(struct wr *w, const struct receipt *r, const struct node_key *key);
/* Shape only; names are printable ASCII without spaces, numbers fit an int64_t (boot apart). body: what the signature
 * covers, for receipt_verify. ERR_SHORT, ERR_BAD, ERR_FORMAT. */
MUST_USE enum err receipt_read(struct bytes in, struct receipt *out, struct bytes *body, uint8_t sig[64]);
/* ERR_SIGNATURE. */
MUST_USE enum err receipt_verify(struct bytes body, const uint8_t sig[64], const uint8_t pub[32]);

/* When to send: when the position moved after rest, then at most every 50 ms, and once a second. In a fleet of more than
 * RECEIPT_AT_ONCE nodes the core would get them all at the same moment, while the last nodes are still busy with the change:
 * so each waits a while of its own, and what a receipt costs the core (60 us and more) keeps its share of a second:
 *
 *     nodes        spread ms = a ms a node, behind 1,000 a quarter      a second at most
 *     10           0: at once                                           200
 *     100          100                                                  1,000
 *     10,000       3,250                                                3,077
 *
 * The first one goes spread/2 to spread behind the move, further ones not before spread is over. Pure. */
struct receipt_pace {
    uint64_t sent_ms, sent_epoch, sent_seq;
    bool ever;
    uint64_t nodes;                     /* of the fleet, as the core says; 0: not known, counts as few */
    uint64_t random;                    /* seed at first */
    bool moved;                         /* since moved_ms it has been elsewhere than the last receipt said */
    uint64_t moved_ms;
};
bool receipt_is_due(struct receipt_pace *p, uint64_t epoch, uint64_t seq, uint64_t now_ms);
/* In how many ms it is due; remembers when the position moved. */
uint64_t receipt_wake_ms(struct receipt_pace *p, uint64_t epoch, uint64_t seq, uint64_t now_ms);
void receipt_sent(struct receipt_pace *p, uint64_t epoch, uint64_t seq, uint64_t now_ms);
uint64_t receipt_spread_ms(uint64_t nodes);

/* At most per_second a second, as many at once. *due_us: 0 at first. false: too many, nothing changed. */
bool receipt_rate_pass(uint64_t *due_us, uint64_t per_second, uint64_t now_us);

#endif
