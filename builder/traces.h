/* Traces: who changed a zone's settings or a TSIG key, and what moved. They stand in the records (source.h: history), in the
 * transaction of what they tell of, for the journal knows data alone.
 *
 *     zone      made: after;  removed: before, all of its settings;  settings: the members that moved, on both sides
 *     key       {"algorithm", "rights"} on both sides, and "secret": "another" behind one that moved; never a secret itself */
#ifndef AZOTH_BUILDER_TRACES_H
#define AZOTH_BUILDER_TRACES_H

#include "builder/journal.h"
#include "builder/source.h"

/* Settings as texts of rows (settings.h); ptr NULL: no zone. epoch, seq: where the log stands. *number: of the entry, 0: nothing moved. */
struct trace { struct bytes apex; const struct author *author; uint64_t epoch, seq; };
MUST_USE enum err trace_zone(struct source_txn *t, const struct trace *of, struct bytes before, struct bytes after, uint64_t *number,
                             struct fault *fault);
/* NULL: there was no such key, is none. A key under another name is two entries. */
MUST_USE enum err trace_key(struct source_txn *t, const struct author *author, const struct tsig_key_row *before,
                            const struct tsig_key_row *after, struct fault *fault);

#endif
