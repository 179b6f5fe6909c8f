/* How much of the log is kept: the oldest transactions go, whole ones, when they are too old or the log is too large.
 *
 *     log  [t1][t2 t2 t2][t3][t4][t5 t5 ...            t4: the newest that is applied; t5: not applied, or not complete
 *          └─ may go ────────┘└─ stays ─┘
 *
 * The newest applied transaction stays in any case: it is what the data is compared with at the next start. So a log
 * may be larger than its limit by that one, and by what waits behind it.
 *
 * retain_wants and retain_take are pure: they decide from figures and from the fronts of records. retain_run does it. */
#ifndef AZOTH_REPLICATOR_RETAIN_H
#define AZOTH_REPLICATOR_RETAIN_H

#include "replicator/record.h"

#define RETAIN_AGE_MS ((uint64_t)7 * 86400000)      /* defaults, as those of core.log_retention */
#define RETAIN_BYTES ((uint64_t)4 << 30)
#define RETAIN_SLACK 16                             /* when over the limit, that part of it more is trimmed */

struct retain_limits { uint64_t age_ms, bytes; };

struct retain {
    uint64_t need;                  /* bytes to be freed */
    uint64_t old_ms;                /* transactions before this core time go */
    uint64_t keep;                  /* seq of the newest applied transaction */
    uint64_t before;                /* records with a lower seq go; 0: none */
    uint64_t freed, bytes;          /* by what goes; of the transaction at hand */
    bool first, rest;               /* rest: what is left of one that began to go */
};
/* log_bytes: in the log now. oldest_ms: core time of its first record. now_ms: core time. keep: seq that is applied.
 * false: nothing has to go. */
bool retain_wants(struct retain *r, const struct retain_limits *l, uint64_t log_bytes, uint64_t oldest_ms,
                  uint64_t now_ms, uint64_t keep);
/* The log's records from its first on, with their length; false: enough is known. */
bool retain_take(struct retain *r, const struct record_front *f, size_t len);

/* Trims a bounded piece (some milliseconds). *more: call again soon. For the store's writing thread, while no
 * transaction is open; reader: of that thread. Trimmed records are added to *trimmed. */
MUST_USE enum err retain_run(struct store *s, struct log_reader *reader, const struct retain_limits *l, uint64_t now_ms,
                             uint64_t applied, uint64_t *trimmed, bool *more, struct fault *fault);

#endif
