/* Small files: read whole within a bound, replaced whole or not at all. */
#ifndef AZOTH_BASE_FILE_H
#define AZOTH_BASE_FILE_H

#include "base/err.h"

#include <sys/types.h>

/* ERR_NOTFOUND, ERR_FULL; ERR_NOMEM: of memory or of file descriptors there is none now, so it says nothing about the file and may be
 * tried again soon; else ERR_IO. What the functions below give too. */
enum err file_errno(int number);
/* The whole file into memory owned by the caller (free(out->ptr)), with one 0 byte behind it that is not counted.
 * ERR_NOTFOUND: no such file. ERR_LIMIT: more than `most` bytes. */
MUST_USE enum err file_read(const char *path, size_t most, struct bytes *out, struct fault *fault);
/* Written beside, synced, renamed over path, folder synced: after a crash the old or the new contents stand there. */
MUST_USE enum err file_replace(const char *path, struct bytes contents, mode_t mode, struct fault *fault);
/* All of it at this place, not synced. false: errno says why. */
bool file_put_at(int fd, const uint8_t *p, size_t len, off_t at);
/* Syncs the folder that path stands in, so that a new or renamed file there survives a crash. */
MUST_USE enum err file_sync_folder(const char *path, struct fault *fault);
/* The folder path, made when it is not there (mode 0755); its parents must exist. */
MUST_USE enum err file_folder(const char *path, struct fault *fault);
/* DIR/NAME into out. ERR_LIMIT: does not fit. */
MUST_USE enum err file_path(char *out, size_t cap, const char *dir, const char *name);

#endif
