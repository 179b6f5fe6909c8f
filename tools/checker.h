/* Recomputes the digest of a set of entries and checks each entry strictly, on several threads.
 *
 *     feeding thread: walks the view ─► batches of entries (borrowed from the map) ─► a crew: digest_add, entry_check
 *
 * The bytes handed in must stay valid until checker_finish: the caller keeps its view open. */
#ifndef AZOTH_TOOLS_CHECKER_H
#define AZOTH_TOOLS_CHECKER_H

#include "store/store.h"

struct checker;
struct checker_result { struct digest lanes; uint64_t entries, bytes, bad; };
/* Called for each bad entry, by one thread at a time. */
typedef void checker_bad_fn(void *arg, struct bytes ns, struct bytes key, const char *why);

/* threads, the feeding one among them: as for crew_open. head_seq: no general entry may be newer. ERR_NOMEM. */
MUST_USE enum err checker_open(struct checker **out, unsigned threads, uint64_t head_seq, checker_bad_fn *told, void *arg);
/* ns is borrowed until checker_finish. */
void checker_feed(struct checker *c, struct bytes ns, const struct entry *e);
/* Waits for all of it and frees c. */
void checker_finish(struct checker *c, struct checker_result *out);

/* One entry: dns by blob_check, other namespaces by their lengths, [seq, bytes], and a seq from 1 to the head's. OK, or
 * the fault says what is wrong. */
MUST_USE enum err entry_check(struct bytes ns, const struct entry *e, uint64_t head_seq, struct fault *fault);

#endif
