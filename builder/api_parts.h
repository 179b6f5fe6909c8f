/* What the files of the pure API share; for them only. */
#ifndef AZOTH_BUILDER_API_PARTS_H
#define AZOTH_BUILDER_API_PARTS_H

#include "builder/api.h"

/* The reply is this error: {"error": "..."}. Gives API_REPLY. */
enum api_next api_refuse(struct api_call *c, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The reply is this object, whose reference is taken; NULL: out of memory. */
enum api_next api_object(struct api_call *c, int status, json_t *object);
/* members "key" (when b is UTF-8) and "key64" of o; name "key" or "value". */
void api_put_bytes(struct api_call *c, json_t *o, const char *name, struct bytes b);

/* Limits of one op, the same for all ways in. false: the reply says why; at: its number, with c->many. */
bool api_check_ns(struct api_call *c, struct bytes ns, size_t at);
bool api_check_op(struct api_call *c, const struct op *op, size_t at);

/* POST's body into c->txn. */
enum api_next api_ops_read(struct api_call *c, struct bytes body);

/* Parameters of a query. value: where it goes, percent-decoded and ended by a 0; ptr stays NULL when it is not given. */
struct api_param { const char *name; struct bytes *value; };
/* false: the reply says why. */
bool api_query_read(struct api_call *c, const char *query, const struct api_param *params, size_t n);
/* "1", "true", "0", "false"; not given is false. false: something else. */
bool api_flag_read(struct bytes text, bool *out);
enum api_next api_not_allowed(struct api_call *c, const char *allow);

/* ?wait=SHARE &timeout=TIME of a write, into c->wait and c->changes. false: the reply says why. */
bool api_wait_read(struct api_call *c, struct bytes wait, struct bytes timeout);
const char *api_text(struct bytes b);       /* of api_query_read and api_path_read, which end it with a 0; NULL: not given */
/* One step of a path: rest is at a slash; what stands up to the next one is decoded into *out, and rest moves there.
 * false: the reply says why. */
bool api_path_read(struct api_call *c, const char **rest, struct bytes *out);
/* The body as JSON into c->json: an object. false: the reply says why. */
bool api_body_read(struct api_call *c, struct bytes body);

/* --- changes (api_change.c) -------------------------------------------------------------------------------------- */
/* Makes c->change of that kind, with its author and what each change takes in its query: ?dry_run= &force= &if_serial= &wait=
 * &timeout=. more: parameters of the route's own. c->finish is api_change_reply. false: the reply says why. */
bool api_change_begin(struct api_call *c, const struct api_request *r, enum change_kind kind, struct bytes apex,
                      const struct api_param *more, size_t n);
/* What a change that was told is answered with: {"epoch", "seq", "changed", "serial", "warnings"}, or the error. */
enum api_next api_change_reply(struct api_call *c);
/* The status of a change that was told: 200, 201, 4xx, 5xx. And the object of an error: {"error", "errors"}; NULL: out of memory. */
int api_change_status(const struct change *c);
json_t *api_change_error(const struct change *c);
/* The text with what is not printable ASCII as ?, and {"error": that}; NULL: out of memory. */
json_t *api_plain_text(const char *text);
json_t *api_error_object(const char *text);
/* The reply for something that could not be read: 404, 500, 507 ... */
enum api_next api_work_failed(struct api_call *c, enum err err, const struct fault *fault);

/* --- zones (api_zones.c) ------------------------------------------------------------------------------------------ */
/* Text of a zone's or owner's name, final dot optional. false: the reply says why. */
bool api_zone_name_read(struct api_call *c, struct bytes text, struct name *out);
/* A path below /v1/zones/NAME. rest: what follows: empty, or from a slash on. */
typedef enum api_next api_zone_fn(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest);
api_zone_fn api_zone_rrsets, api_zone_import, api_zone_export, api_zone_rebuild, api_zone_transfer, api_zone_notify;
api_zone_fn api_zone_log, api_zone_diff, api_zone_rollback;         /* api_history.c */

/* --- who changed settings and keys (api_traces.c) -------------------------------------------------------------------- */
json_t *api_when(uint64_t ms);              /* Unix time as text */
/* A page of it, newest first: of one zone or key (name empty: of all keys) from <= seq <= to, number below `before`. *next: for
 * before, 0: that was all. */
struct api_traces { enum history_subject subject; struct bytes name; uint64_t from, to, before, limit; };
MUST_USE enum err api_traces_read(const struct api_work *w, const struct api_traces *of, json_t **out, uint64_t *next, struct fault *fault);
bool api_before_read(struct api_call *c, struct bytes text, uint64_t *out);     /* ?before=; not given: all */
enum api_next api_tsig_log(struct api_call *c, const struct api_request *r);

/* rest: what follows the route's own part of the path: empty, or from a slash on. */
typedef enum api_next api_route_fn(struct api_call *c, const struct api_request *r, const char *rest);
api_route_fn api_route_fleet, api_route_changes, api_route_cluster, api_route_zones, api_route_tsig;
api_route_fn api_route_pdns;                /* api_pdns.c */

#endif
