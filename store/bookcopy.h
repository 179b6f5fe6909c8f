/* A book's entries as a stream, for backups: FORMAT.md section 9, "book". It stands behind a snapshot; written and read from
 * front to end.
 *
 *     "azoth-book" | format | name ► block ► block ► ... ► 0 | entries | hash of the blocks' hashes | "azoth-book-end"
 *
 * A block is about 1 MiB of entries (one that is longer stands alone), compressed, with a hash of its own. */
#ifndef AZOTH_STORE_BOOKCOPY_H
#define AZOTH_STORE_BOOKCOPY_H

#include "store/book.h"

#define BOOKCOPY_FORMAT 1
#define BOOKCOPY_MAGIC "azoth-book"
#define BOOKCOPY_MAGIC_LEN 10
#define BOOKCOPY_END "azoth-book-end"
#define BOOKCOPY_END_LEN 14
#define BOOKCOPY_HASH_LEN 32
#define BOOKCOPY_TRAILER (4 + 8 + BOOKCOPY_HASH_LEN + BOOKCOPY_END_LEN)
#define BOOKCOPY_NAME_MAX 32
#define BOOKCOPY_BLOCK ((size_t)1 << 20)        /* raw bytes that entries share */
#define BOOKCOPY_RAW_MAX (BOOK_VALUE_MAX + BOOK_KEY_MAX + 16)

struct bookcopy_entry { unsigned table; struct bytes key, value; };
struct bookcopy_totals { uint64_t entries, bytes; };        /* bytes: of the stream */

struct bookcopy_writer;
/* Writes the opening. ERR_FULL, ERR_IO: fd takes no more, here and below. */
MUST_USE enum err bookcopy_writer_open(struct bookcopy_writer **out, int fd, const char *name, struct fault *fault);
/* Ascending by table, then by key. */
MUST_USE enum err bookcopy_put(struct bookcopy_writer *w, const struct bookcopy_entry *e, struct fault *fault);
MUST_USE enum err bookcopy_end(struct bookcopy_writer *w, struct bookcopy_totals *out, struct fault *fault);
void bookcopy_writer_close(struct bookcopy_writer *w);      /* NULL is fine; fd stays open */

struct bookcopy_reader;
/* fd stands behind the opening's first BOOKCOPY_MAGIC_LEN bytes, which the caller has seen. ERR_FORMAT: of a newer version.
 * ERR_SHORT: cut off. ERR_BAD: damaged. The same below. */
MUST_USE enum err bookcopy_reader_open(struct bookcopy_reader **out, int fd, struct fault *fault);
const char *bookcopy_name(const struct bookcopy_reader *r);
/* Borrowed until the next call. ERR_NOTFOUND: that was all, and all was as it was written; nothing follows. */
MUST_USE enum err bookcopy_next(struct bookcopy_reader *r, struct bookcopy_entry *out, struct fault *fault);
void bookcopy_reader_close(struct bookcopy_reader *r);      /* NULL is fine; fd stays open */

#endif
