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

/* rest: what follows the route's own part of the path: empty, or from a slash on. */
typedef enum api_next api_route_fn(struct api_call *c, const struct api_request *r, const char *rest);
api_route_fn api_route_fleet, api_route_changes, api_route_cluster;

#endif
