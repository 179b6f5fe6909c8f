/* Response rate limiting: so many equal UDP answers a second to one network, not more. Who forges the source address of
 * its questions to have a victim flooded is held back; an honest client in that network hears TC now and then and comes
 * again over TCP, which is never limited.
 *
 *     network (/24 or /56), kind of answer, name ─► keyed hash ─► one bucket: `rate` answers a second, a second's worth
 *     at once
 *
 * Equal is what answer_said calls equal: all NXDOMAINs of one zone are, and so are all answers from one wildcard, whatever
 * was asked. One table for all workers, since the kernel spreads one client's ports over them; a bucket is one word that
 * is exchanged whole, so there is no lock. Pure: the time is given. */
#ifndef AZOTH_DNSFRONT_RRL_H
#define AZOTH_DNSFRONT_RRL_H

#include "base/net.h"
#include "dnsfront/answer.h"

#define RRL_RATE_MAX 1000000        /* a bucket counts in microseconds */
#define RRL_SETS 65536              /* 8 buckets each, in one cache line: 4 MiB */
#define RRL_IPV4_BITS 24
#define RRL_IPV6_BITS 56
#define RRL_KEY 16

struct rrl_options {
    uint32_t rate;                  /* 1..RRL_RATE_MAX */
    uint32_t slip;                  /* every so many-th held answer is sent truncated; 0: none, 1: each */
    const struct net *allow; size_t allow_n;        /* never limited; borrowed until rrl_close */
    uint8_t key[RRL_KEY];           /* random: nobody outside knows which buckets share a set */
    unsigned sets;                  /* 0: RRL_SETS; else a power of two up to that */
};
enum rrl_verdict { RRL_SEND, RRL_SLIP, RRL_DROP };      /* SLIP: answer_limited instead */

struct rrl;
MUST_USE enum err rrl_open(struct rrl **out, const struct rrl_options *o);
void rrl_close(struct rrl *r);      /* NULL is fine */

/* May this answer leave? client: 4 or 16 bytes, not in IPv6's clothes. now_us: monotonic, its low 32 bits are enough.
 * Any thread. */
enum rrl_verdict rrl_check(struct rrl *r, struct bytes client, const struct answer_said *said, uint32_t now_us);
/* The network whose answers count together with this client's. */
struct net rrl_network(struct bytes client);

#endif
