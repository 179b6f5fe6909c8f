/* The API's keys: a file of lines `KEY [ro] [NAME]`; blank lines and those that begin with # are skipped.
 *
 *     k7Jq...Zw  ops            may read and write
 *     Xc2v...9A  ro  grafana    may read
 *
 * Kept are hashes under a key drawn at load; a look-up compares with all of them, in the same time whoever asks. */
#ifndef AZOTH_BUILDER_API_KEYS_H
#define AZOTH_BUILDER_API_KEYS_H

#include "base/err.h"

#define API_KEYS_MAX 1024
#define API_KEY_LEAST 8                 /* characters; 32 random ones are what a key should have */
#define API_KEY_MOST 256
#define API_KEY_NAME_MAX 64

struct api_keys;
struct api_key { char name[API_KEY_NAME_MAX + 1]; bool read_only; };       /* name "": none was given */

/* ERR_IO, ERR_NOTFOUND, ERR_LIMIT: the file. ERR_CONFIG: a line is wrong, *fault names file and line, never the key. */
MUST_USE enum err api_keys_load(struct api_keys **out, const char *path, struct fault *fault);
MUST_USE enum err api_keys_parse(struct api_keys **out, const char *name, struct bytes text, struct fault *fault);
void api_keys_free(struct api_keys *k);             /* NULL is fine */
size_t api_keys_count(const struct api_keys *k);
/* The key that was sent (NULL: none) as one of ours; NULL: it is not. */
const struct api_key *api_keys_find(const struct api_keys *k, const char *sent);
/* The file's mode lets every user of the machine read it. */
bool api_keys_file_is_open(const char *path);

#endif
