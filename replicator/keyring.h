/* Cluster keys: what payloads of log records are encrypted with when core.encrypt is on, so that PUB traffic reveals
 * nothing. Made by the core, handed out to listed nodes (request `keys`), kept in DIR/cluster.keys (0600), the newest
 * first. A key's id is the first 63 bits of its BLAKE2b-256 as a number, so a wrong key cannot pass for another.
 * Threads: all functions may be called from any thread. */
#ifndef AZOTH_REPLICATOR_KEYRING_H
#define AZOTH_REPLICATOR_KEYRING_H

#include "base/err.h"
#include "replicator/message.h"

struct keyring;
/* No file: an empty ring. ERR_IO, ERR_BAD: the fault names the file. */
MUST_USE enum err keyring_open(struct keyring **out, const char *dir, struct fault *fault);
void keyring_close(struct keyring *k);                          /* NULL is fine */
/* A new key becomes the current one, on disk before it is used. More than REPLY_KEYS_MAX: the oldest is forgotten. */
MUST_USE enum err keyring_rotate(struct keyring *k, uint64_t *id, struct fault *fault);
/* Keys that an upstream handed out (n times CLUSTER_KEY_LEN, the newest first) are added to ours; *news: any was new. */
MUST_USE enum err keyring_take(struct keyring *k, const uint8_t *keys, size_t n, bool *news, struct fault *fault);
/* id 0: the current one. ERR_NOTFOUND. */
MUST_USE enum err keyring_find(struct keyring *k, uint64_t id, uint8_t key[CLUSTER_KEY_LEN], uint64_t *found_id);
/* All of them for a `keys` reply; at most REPLY_KEYS_MAX. */
size_t keyring_all(struct keyring *k, uint8_t keys[REPLY_KEYS_MAX * CLUSTER_KEY_LEN]);
uint64_t keyring_id(const uint8_t key[CLUSTER_KEY_LEN]);        /* never 0 */

#endif
