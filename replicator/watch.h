/* What every daemon that writes keeps an eye on, once in 10 s: how full data and log are, readers that died, and a
 * reader that does not end (its view keeps the pages of all commits since from being used again: the file grows), and
 * whether somebody removed the directory: all goes on then, but for nobody, so /healthz says no and the log an error.
 * The same lines and metrics on a core and on an edge. */
#ifndef AZOTH_REPLICATOR_WATCH_H
#define AZOTH_REPLICATOR_WATCH_H

#include "base/stat.h"
#include "store/store.h"

#define WATCH_EVERY_S 10
#define WATCH_READER_MS 60000           /* an older view is told of, */
#define WATCH_READER_LAG 10             /* when so many commits came meanwhile */
#define WATCH_GONE "the store's files were removed, see the log"

struct watch {                          /* zeroed at the start */
    unsigned data_mark, log_mark;       /* the last ones that were logged: 0, 70, 85, 95 */
    uint64_t reader, reader_since_ms;   /* the oldest open view, and when it was first seen */
    uint64_t reader_said_ms, readers_cleared;
    uint64_t reader_age_ms;
    bool gone;                              /* store_is_gone, as of the last tick */
    struct store_figures figures;
};
/* Percent of the map in use (free pages are not): 0, 70, 85 or 95, what it has reached. */
unsigned watch_mark(uint64_t used_bytes, uint64_t free_bytes, uint64_t map_bytes);
/* Clears dead readers, looks, logs what changed. false: the store cannot be written any more (store_is_broken), which
 * was logged: the daemon has to end. One thread; any time that store_figures is allowed. */
bool watch_tick(struct watch *w, struct store *s, uint64_t now_ms);
/* Takes the figures anew, for the next watch_metrics; logs nothing. */
void watch_look(struct watch *w, struct store *s, uint64_t now_ms);
/* azoth_store_*, azoth_log_* as of the last look. */
void watch_metrics(const struct watch *w, struct stat_page *page);

#endif
