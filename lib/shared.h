/* What all struct azoth of a process share: one open store per folder, since LMDB would lose its locks if a process
 * opened one twice. A child process starts with nothing: what its parent opened stays the parent's. */
#ifndef AZOTH_LIB_SHARED_H
#define AZOTH_LIB_SHARED_H

#include "store/store.h"

struct shared;

/* dir: absolute. Errors as store_open's; ERR_IO also when the folder cannot be looked at. */
MUST_USE enum err shared_open(const char *dir, struct shared **out, struct fault *fault);
void shared_close(struct shared *s);            /* its views must be closed */
struct store *shared_store(const struct shared *s);
/* Follows `current`, and sees whether dir still leads to this folder, and that to these data; when not, *replaced:
 * close, and open anew. generation: of the view with which the caller read last. For once a second: costs some file
 * look-ups. */
MUST_USE enum err shared_look(struct shared *s, const char *dir, unsigned generation, bool *replaced,
                              struct fault *fault);
/* Counts the forks between the first process that used the library and this one. */
unsigned shared_forks(void);

#endif
