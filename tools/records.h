/* DIR/records of a core (builder/recordbook.h) for the commands: looked at beside a running azoth-core, copied, put back. */
#ifndef AZOTH_TOOLS_RECORDS_H
#define AZOTH_TOOLS_RECORDS_H

#include "builder/recordbook.h"
#include "store/snapshot.h"
#include "tools/tool.h"

/* *out NULL: the folder holds no records (an edge, or a core that never had a zone of its own). EXIT_FINE, or EXIT_USAGE after
 * telling why. */
int records_open(struct source **out, const char *dir);

/* A state of the records that fits the state of t's view: what one of the two has, the other has too, or an event of it. The
 * view moves on for that. EXIT_FINE, or the code after telling why. */
int records_begin(struct source_txn **out, struct source *s, struct tool_store *t);
/* All entries into fd, as a book (store/bookcopy.h); go as in snapshot_write. */
MUST_USE enum err records_copy(struct source_txn *t, int fd, bool (*go)(void *arg), void *arg, uint64_t *bytes,
                               struct fault *fault);

/* What a backup has of them, into a folder of its own beside DIR/records, and its place there; without a book there are none
 * afterwards. */
MUST_USE enum err records_take(const char *dir, struct snapshot_reader *r, int fd, uint64_t map_size, bool (*go)(void *arg),
                               void *arg, struct fault *fault);
MUST_USE enum err records_put_back(const char *dir, struct fault *fault);
void records_drop(const char *dir);         /* what records_take made */

/* Every entry is read; bad is called with words on each that does not. */
MUST_USE enum err records_check(struct source *s, void (*bad)(void *arg, const char *what), void *arg, uint64_t *entries);

#endif
