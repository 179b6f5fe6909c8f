/* PowerDNS's HTTP API (/api/v1/servers/localhost/...), so that its clients work here unchanged: the same paths, fields, status
 * codes and error bodies. azoth-core(8) lists what differs. Pure, on the plumbing of api.h:
 *
 *     pdns_begin ─► route, key ─► API_WORK: what is asked for ─► reply
 *                                     └─► API_CHANGE: a plan ─► told ─► reply, or API_WORK: the zone as it is now ─► reply
 */
#ifndef AZOTH_BUILDER_PDNS_H
#define AZOTH_BUILDER_PDNS_H

#include "builder/api.h"

/* A request whose path is /api or below it; who: NULL: its key is not known. */
enum api_next pdns_begin(struct api_call *c, const struct api_request *r, const struct api_key *who);

#endif
