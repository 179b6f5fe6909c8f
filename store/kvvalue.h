/* Values of the general key-value namespaces (every namespace but `dns`): MessagePack [seq, bytes], where seq is that of
 * the log part that wrote the entry. (epoch, seq) is the entry's version, for compare-and-set. FORMAT.md section 8.
 *
 *     92 | seq as uint | bytes as bin        elements behind these two are skipped by readers */
#ifndef AZOTH_STORE_KVVALUE_H
#define AZOTH_STORE_KVVALUE_H

#include <assert.h>

#include "store/store.h"

#define KV_NS_DNS "dns"                                     /* the one namespace whose values are not these */
#define KV_KEY_MAX 500                                      /* what users may write; below the store's own limit */
#define KV_BYTES_MAX ((size_t)1 << 20)                      /* of a user; wrapped it fits STORE_VALUE_MAX */
#define KV_WRAP_MAX 16                                      /* bytes that wrapping adds at most */
static_assert(KV_BYTES_MAX + KV_WRAP_MAX <= STORE_VALUE_MAX, "a wrapped value fits");

struct kvvalue { uint64_t seq; struct bytes bytes; };       /* bytes borrowed from the value */

void kvvalue_write(struct wr *w, const struct kvvalue *v);
/* ERR_SHORT, ERR_BAD: not such a value. */
MUST_USE enum err kvvalue_read(struct bytes value, struct kvvalue *out);

#endif
