/* Zones on their way out: AXFR from the store (RFC 5936), IXFR from the journal (RFC 1995), as messages that are still to be
 * signed. Pure but for the view and the journal it reads; called where nobody waits for it (transfers.h).
 *
 *     query ─► xfrout_read ─► who may? (core_desk.c) ─► xfrout_make ─► messages
 *
 *     AXFR        all of the zone, in one view: never two states of it in one transfer
 *     IXFR        the client is as new as we are ... the SOA alone
 *                 the journal knows all steps ...... the net difference in one step, up to XFROUT_JOIN_KEYS keys of the store
 *                                                    that changed; beyond that each step as it was made
 *                 it does not, or they are more
 *                 records than the zone has ........ all of the zone, as AXFR
 *     over UDP    what does not fit into one message, or is far back, is the SOA alone: the client comes again over TCP */
#ifndef AZOTH_BUILDER_XFROUT_H
#define AZOTH_BUILDER_XFROUT_H

#include "builder/journal.h"
#include "builder/xfrpack.h"
#include "wire/query.h"

#define XFROUT_JOIN_KEYS 50000u
#define XFROUT_JOIN_BYTES ((size_t)16 << 20)
#define XFROUT_UDP_KEYS 1000u           /* of steps that are looked at for an answer over UDP; with more: the SOA alone, so over TCP */
#define XFROUT_SMALL 256u               /* records: a difference up to this is sent as one, however small the zone is */

struct xfrout_ask {
    struct name apex;                   /* lower case */
    bool ixfr, udp;
    uint32_t serial;                    /* IXFR: what the client holds */
};
/* A question for AXFR or IXFR; q: read from msg, QUERY_ANSWER. Gives the rcode: NOERROR; FORMERR: an IXFR without its one SOA in
 * the authority section. */
MUST_USE uint16_t xfrout_read(struct bytes msg, const struct query *q, bool udp, struct xfrout_ask *out);

enum xfrout_form { XFROUT_NONE, XFROUT_SOA, XFROUT_AXFR, XFROUT_IXFR, XFROUT_AXFR_STYLE, XFROUT_FORMS };
extern const char *const xfrout_form_names[XFROUT_FORMS];       /* none, soa, axfr, ixfr, axfr-style */
struct xfrout_made { enum xfrout_form form; uint32_t serial; uint64_t messages, records, bytes; };
/* v: begun. put: messages; over UDP never more than one. *made: also of what was made before an error. ERR_NOTFOUND: no such
 * zone. ERR_NOTNOW: it is not live. ERR_NOSPACE: a record that leaves no room for a TSIG. ERR_BAD: damaged. Else what put gave. */
MUST_USE enum err xfrout_make(const struct xfrout_ask *ask, const struct xfr_question *q, struct view *v, struct journal *j,
                              xfrpack_put_fn *put, void *arg, struct xfrout_made *made, struct fault *fault);

#endif
