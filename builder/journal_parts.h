/* What the files of journal.h share: how an entry is written. */
#ifndef AZOTH_BUILDER_JOURNAL_PARTS_H
#define AZOTH_BUILDER_JOURNAL_PARTS_H

#include "builder/journal.h"

#define JOURNAL_GROUP_LEN 16

/* The group of a zone's notes: BLAKE2b-128 of its apex, lower case. */
void journal_group(struct bytes apex, uint8_t out[JOURNAL_GROUP_LEN]);
/* One entry; seq and epoch of e are the note's own. w: entry_room(e) bytes fit. */
size_t entry_room(const struct journal_entry *e);
void entry_write(struct wr *w, struct bytes apex, const struct journal_entry *e);
/* What stands before the keys; r stays behind it. ERR_SHORT: in lies in front of more. ERR_BAD. */
MUST_USE enum err entry_read_front(struct rd *r, struct bytes *apex, struct journal_entry *out);
/* All; keys in a, what they hold borrowed from in. */
MUST_USE enum err entry_read(struct bytes in, struct arena *a, struct bytes *apex, struct journal_entry *out);

#endif
