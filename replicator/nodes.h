/* The nodes that a core or relay serves: a folder of files NAME.pub, each one line `ed25519:BASE64`. Read at start and on
 * SIGHUP; a folder with a bad file is refused as a whole and the old list stays. */
#ifndef AZOTH_REPLICATOR_NODES_H
#define AZOTH_REPLICATOR_NODES_H

#include "replicator/seal.h"

#define NODES_MAX 100000
struct node_entry { char name[NODE_NAME_MAX + 1]; uint8_t pub[32]; bool has_shared; struct seal_key shared; };
struct nodes;
/* ERR_IO, ERR_BAD: the fault names file and line. */
MUST_USE enum err nodes_open(struct nodes **out, const char *folder, struct fault *fault);
void nodes_close(struct nodes *n);                              /* NULL is fine */
/* NULL: not listed. Borrowed until nodes_close. */
struct node_entry *nodes_find(struct nodes *n, struct bytes name);
size_t nodes_count(const struct nodes *n);
/* In order of names; i < nodes_count. */
const struct node_entry *nodes_at(const struct nodes *n, size_t i);
/* The list as one file, written as a whole: lines `NAME ed25519:BASE64`. */
MUST_USE enum err nodes_save(const struct nodes *n, const char *path, struct fault *fault);
/* ERR_NOTFOUND: no such file. ERR_BAD: it is none of nodes_save. */
MUST_USE enum err nodes_load(struct nodes **out, const char *path, struct fault *fault);
/* Is everybody of old still here, with the same key? (After a removal an encrypting core changes the cluster key.) */
bool nodes_keep(const struct nodes *now, const struct nodes *old);
/* How many of old are not, and their names, `a,b and 3 more` when out is too small for all; `none`. */
size_t nodes_gone(const struct nodes *now, const struct nodes *old, char *out, size_t cap);

#endif
