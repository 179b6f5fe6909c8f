/* A zone on its way in (RFC 5936 AXFR, RFC 1995 IXFR, RFC 8945 TSIG over streams): messages in, a verdict after each. Pure.
 *
 *     xfrin_begin ─► xfrin_query (bytes for the primary) ─► { xfrin_take (a message of the primary) ─► MORE } ... ─► the end:
 *
 *         DONE      whole: the zone's records; or steps: from -> to, what went, what came, in order of the serials
 *         CURRENT   the primary has our serial, or an older one
 *         TRY_AXFR  IXFR is not to be had from here (refused, malformed, does not fit our serial): ask again for all
 *         TRY_TCP   the reply does not fit into a datagram, or the primary does not know EDNS: the same question over TCP
 *         FAILED    this primary will not do now
 *
 *     *fault says why behind the last three. A serial is judged for SOA and IXFR alone: whoever asks for all (AXFR) gets it, however old.
 *
 * Nothing is believed before the last message is there and its MAC is good: until then the caller has nothing. */
#ifndef AZOTH_BUILDER_XFRIN_H
#define AZOTH_BUILDER_XFRIN_H

#include "builder/zone.h"
#include "wire/tsig_sign.h"

enum xfrin_kind { XFRIN_SOA, XFRIN_IXFR, XFRIN_AXFR };              /* XFRIN_SOA: the primary's serial, nothing else */
enum xfrin_verdict { XFRIN_MORE, XFRIN_DONE, XFRIN_CURRENT, XFRIN_TRY_AXFR, XFRIN_TRY_TCP, XFRIN_FAILED };
/* Of one transfer; 0: the defaults, 4 GiB, 50 M, 10 M, 100,000. bytes: of its messages; what is kept of them may be four times that. steps: the
 * records of an IXFR's differences: with more of them TRY_AXFR, since they are applied in the writing thread, and a zone beside it. */
#define XFRIN_STEPS 100000
struct xfrin_limits { uint64_t bytes, records, messages, steps; };
struct xfrin_ask {
    struct name apex;
    enum xfrin_kind kind;
    bool udp;                           /* the reply is one datagram: IXFR that does not fit gives XFRIN_TRY_TCP */
    bool have; struct bytes soa;        /* ours: RDATA, for IXFR; have false: no data yet */
    const struct tsig_key *key;         /* NULL: unsigned; then signed replies are an error, and the other way round */
    struct xfrin_limits limits;
};
/* One step of an IXFR: the records that go and come, SOAs apart. rr: first..first+n of xfrin_records. */
struct xfrin_step { uint32_t from, to; size_t gone, gone_n, come, come_n; struct bytes soa; uint32_t soa_ttl; };
struct xfrin;
/* ask: copied. ERR_BAD: an IXFR without data, a SOA that does not read, a key without a secret. ERR_NOMEM. */
MUST_USE enum err xfrin_begin(struct xfrin **out, const struct xfrin_ask *ask, uint16_t id, uint64_t now_s);
void xfrin_end(struct xfrin *x);                            /* NULL is fine */
/* The question as it goes to the primary; borrowed until xfrin_end. Over TCP the prefix is the caller's. */
struct bytes xfrin_query(const struct xfrin *x);
/* A whole message, without its TCP prefix; nothing is borrowed. Over UDP MORE means that it was not the reply to our question (another
 * id, another question, a query: anybody can send one), so that the right one is still to come. Behind the end: FAILED. */
enum xfrin_verdict xfrin_take(struct xfrin *x, struct bytes msg, uint64_t now_s, struct fault *fault);
/* The stream ended, or no more of it came: FAILED unless it was done. TRY_AXFR when an IXFR was answered with a later SOA and nothing else, as if
 * over UDP: it would be so the next time too. */
enum xfrin_verdict xfrin_closed(struct xfrin *x, struct fault *fault);

/* Behind XFRIN_DONE and XFRIN_CURRENT. */
uint32_t xfrin_serial(const struct xfrin *x);               /* the primary's */
bool xfrin_is_whole(const struct xfrin *x);                 /* AXFR, or an IXFR that was answered with all */
struct zone *xfrin_zone(struct xfrin *x);                   /* of a whole one; borrowed until xfrin_end */
const struct xfrin_step *xfrin_steps(const struct xfrin *x, size_t *n);
const struct zone_rr *xfrin_records(const struct xfrin *x);
uint64_t xfrin_bytes(const struct xfrin *x);                /* of its messages, at any time */
uint64_t xfrin_memory(const struct xfrin *x);               /* what is kept of them, at any time */
uint64_t xfrin_messages(const struct xfrin *x);

#endif
