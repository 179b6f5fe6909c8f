/* Messages between the thread that makes a transfer and the one that sends it: a little in memory, the rest in an unlinked file, so
 * that a slow client holds neither memory nor a view of the store. One puts, one takes, neither waits for the other. */
#ifndef AZOTH_BUILDER_SPOOL_H
#define AZOTH_BUILDER_SPOOL_H

#include "base/err.h"

#include <stdatomic.h>

#define SPOOL_MEMORY ((size_t)128 << 10)
#define SPOOL_MESSAGE_MAX 65535

struct spool {
    uint8_t *mem;                       /* SPOOL_MEMORY bytes, of which the first `kept` count */
    _Atomic uint64_t kept;
    int fd;                             /* what is behind those; -1: none */
    _Atomic uint64_t written;
    uint64_t read;
};
void spool_init(struct spool *s);
void spool_release(struct spool *s);
/* dir: for the file. ERR_IO: also a full disk. ERR_NOMEM. */
MUST_USE enum err spool_put(struct spool *s, const char *dir, struct bytes msg, struct fault *fault);
/* What spool_put of this message adds to the file. The putting thread's. */
uint64_t spool_file_bytes(const struct spool *s, struct bytes msg);
/* The next message, into out (SPOOL_MESSAGE_MAX). ERR_AGAIN: none is there. ERR_IO. */
MUST_USE enum err spool_next(struct spool *s, uint8_t *out, size_t *len);

#endif
