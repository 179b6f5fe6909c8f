/* What the files of `azoth kv` share; for them only. */
#ifndef AZOTH_TOOLS_KV_PARTS_H
#define AZOTH_TOOLS_KV_PARTS_H

#include "tools/client.h"

#include <jansson.h>

/* stdin when path is "-": all of it, owned by the caller (free(out->ptr)). EXIT_FINE or told why. */
int kv_read_all(const char *path, size_t most, struct bytes *out);
/* --timeout, or what is usual. */
int kv_timeout(const struct options *o, uint64_t *ms);
/* One write; prints its version, or with --json the reply. name_op: for the error of an op, its number made clear; NULL:
 * as it comes. */
typedef int kv_op_error_fn(void *arg, size_t op, const char *error, int code);
int kv_send(const struct options *o, enum client_method method, const char *path, struct bytes body,
            kv_op_error_fn *op_error, void *arg);

int kv_apply(const struct options *o);

#endif
