/* Who may ask: every request to a serving node passes here first. What is cheap is looked at before what is dear, so that
 * strangers cost little: no signature is checked under a nonce that is not ours or for a node that is not listed.
 *
 *     shape ► hello? within its rate : nonce ours? ► node listed? ► signature ► the request inside
 *
 * A nonce is made at start and every hour; the one before is good for one more hour. Pure but for its log lines. */
#ifndef AZOTH_REPLICATOR_GATE_H
#define AZOTH_REPLICATOR_GATE_H

#include "base/stat.h"
#include "replicator/nodes.h"

#define GATE_NONCE_MS ((uint64_t)3600 * 1000)
#define GATE_HELLO_RATE 20000           /* a second, by names that are listed; twice as many at once */
#define GATE_STRANGER_RATE 200          /* the same, by others: they shall hear that they are not listed, and no more */

enum gate_verdict {
    GATE_DROP,          /* no answer at all */
    GATE_REFUSED,       /* the answer is written, in plain */
    GATE_HELLO,         /* to be answered in plain, with gate_nonce */
    GATE_PASSED,        /* the request inside is to be answered, and the answer sealed by gate_seal */
};
struct gate_asked {
    struct request q;                   /* hello, or what was signed; borrowed from the message */
    struct bytes node;
    struct seal_key key;                /* passed */
    uint8_t hash[SEAL_HASH_LEN];
};
struct gate;
/* nodes: borrowed, NULL: nobody is listed. */
MUST_USE enum err gate_open(struct gate **out, const struct node_key *key, struct nodes *nodes, uint64_t now_ms);
void gate_close(struct gate *g);                        /* NULL is fine */
/* The list was read anew; the old one is not looked at any more. */
void gate_nodes(struct gate *g, struct nodes *nodes);
enum gate_verdict gate_check(struct gate *g, struct bytes msg, uint64_t now_ms, struct gate_asked *out, struct wr *refusal);
const uint8_t *gate_nonce(struct gate *g, uint64_t now_ms);
/* ERR_NOSPACE. */
MUST_USE enum err gate_seal(const struct gate_asked *asked, struct bytes reply, struct wr *w);
void gate_metrics(const struct gate *g, struct stat_page *page);

#endif
