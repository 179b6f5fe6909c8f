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

#endif
