#include "replicator/keyring.h"

#include "base/file.h"
#include "base/text.h"

#include <limits.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* The file: a line of base64 for each key. */
#define LINE_LEN ((size_t)45)           /* 44 letters and the line's end */
#define FILE_MAX (REPLY_KEYS_MAX * LINE_LEN)

struct ring { uint8_t key[REPLY_KEYS_MAX][CLUSTER_KEY_LEN]; size_t n; };        /* the newest first */

struct keyring {
    pthread_mutex_t lock;
    struct ring ring;
    char path[PATH_MAX];
};

uint64_t keyring_id(const uint8_t key[CLUSTER_KEY_LEN])
{
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash(hash, sizeof hash, key, CLUSTER_KEY_LEN, NULL, 0);
    struct rd r = rd_over(bytes_of(hash, sizeof hash));
    uint64_t id = rd_u64(&r) >> 1;              /* JSON's numbers are signed */
    return id != 0 ? id : 1;            /* 0 says: not encrypted */
}

/* --- the file ------------------------------------------------------------------------------------------------------- */
static enum err ring_parse(struct bytes file, struct ring *out)
{
    struct rd r = rd_over(file);
    struct ring ring = { .n = 0 };
    char line[LINE_LEN];
    enum err err = OK;
    while (err == OK && rd_left(&r) > 0) {
        struct bytes text = rd_take(&r, LINE_LEN);
        if (r.bad || ring.n == REPLY_KEYS_MAX || text.ptr[LINE_LEN - 1] != '\n') {
            err = ERR_BAD;
            break;
        }
        memcpy(line, text.ptr, LINE_LEN);
        line[LINE_LEN - 1] = '\0';
        err = text_from_base64(line, ring.key[ring.n++], CLUSTER_KEY_LEN);
    }
    if (err == OK)
        *out = ring;
    sodium_memzero(line, sizeof line);
    sodium_memzero(&ring, sizeof ring);
    return err;
}

static enum err ring_keep(const struct keyring *k, const struct ring *ring, struct fault *fault)
{
    char text[FILE_MAX + 1];
    for (size_t i = 0; i < ring->n; i++) {
        text_base64(text + i * LINE_LEN, LINE_LEN, bytes_of(ring->key[i], CLUSTER_KEY_LEN));
        text[i * LINE_LEN + LINE_LEN - 1] = '\n';
    }
    enum err err = file_replace(k->path, bytes_of(text, ring->n * LINE_LEN), 0600, fault);
    sodium_memzero(text, sizeof text);
    return err;
}

static enum err ring_load(struct keyring *k, struct fault *fault)
{
    struct bytes file;
    enum err err = file_read(k->path, FILE_MAX, &file, fault);
    if (err == ERR_NOTFOUND)
        return OK;
    if (err != OK)
        return err == ERR_LIMIT ? fault_set(fault, ERR_BAD, "%s: more than %d keys", k->path, REPLY_KEYS_MAX) : err;
    if ((err = ring_parse(file, &k->ring)) != OK)
        fault_set(fault, err, "%s: not lines of cluster keys", k->path);
    sodium_memzero((void *)(uintptr_t)file.ptr, file.len);
    free((void *)(uintptr_t)file.ptr);
    return err;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */
enum err keyring_open(struct keyring **out, const char *dir, struct fault *fault)
{
    struct keyring *k = calloc(1, sizeof *k);
    if (k == NULL || sodium_init() < 0) {
        free(k);
        return fault_set(fault, ERR_NOMEM, "no memory for the cluster keys");
    }
    pthread_mutex_init(&k->lock, NULL);
    enum err err = file_path(k->path, sizeof k->path, dir, "cluster.keys");
    if (err != OK)
        err = fault_set(fault, ERR_IO, "%s: path is too long", dir);
    if (err == OK)
        err = ring_load(k, fault);
    if (err != OK) {
        keyring_close(k);
        return err;
    }
    *out = k;
    return OK;
}

void keyring_close(struct keyring *k)
{
    if (k == NULL)
        return;
    pthread_mutex_destroy(&k->lock);
    sodium_memzero(k, sizeof *k);
    free(k);
}

/* --- keys ----------------------------------------------------------------------------------------------------------- */
static bool ring_has(const struct ring *r, const uint8_t key[CLUSTER_KEY_LEN])
{
    for (size_t i = 0; i < r->n; i++) {
        if (sodium_memcmp(r->key[i], key, CLUSTER_KEY_LEN) == 0)
            return true;
    }
    return false;
}

static void ring_put_first(struct ring *r, const uint8_t key[CLUSTER_KEY_LEN])
{
    if (r->n < REPLY_KEYS_MAX)
        r->n++;
    memmove(r->key[1], r->key[0], (r->n - 1) * CLUSTER_KEY_LEN);
    memcpy(r->key[0], key, CLUSTER_KEY_LEN);
}

/* On disk first: a key that encrypted a record must outlive a crash. */
static enum err ring_become(struct keyring *k, struct ring *next, struct fault *fault)
{
    enum err err = ring_keep(k, next, fault);
    if (err == OK)
        k->ring = *next;
    return err;
}

enum err keyring_rotate(struct keyring *k, uint64_t *id, struct fault *fault)
{
    uint8_t key[CLUSTER_KEY_LEN];
    randombytes_buf(key, sizeof key);
    pthread_mutex_lock(&k->lock);
    struct ring next = k->ring;
    ring_put_first(&next, key);
    enum err err = ring_become(k, &next, fault);
    pthread_mutex_unlock(&k->lock);
    if (err == OK)
        *id = keyring_id(key);
    sodium_memzero(&next, sizeof next);
    sodium_memzero(key, sizeof key);
    return err;
}

enum err keyring_take(struct keyring *k, const uint8_t *keys, size_t n, bool *news, struct fault *fault)
{
    enum err err = OK;
    bool any = false;
    pthread_mutex_lock(&k->lock);
    struct ring next = k->ring;
    for (size_t i = n; i-- > 0; ) {             /* the newest goes in last, and so stands first */
        if (!ring_has(&next, keys + i * CLUSTER_KEY_LEN)) {
            ring_put_first(&next, keys + i * CLUSTER_KEY_LEN);
            any = true;
        }
    }
    if (any)
        err = ring_become(k, &next, fault);
    pthread_mutex_unlock(&k->lock);
    sodium_memzero(&next, sizeof next);
    if (err == OK)
        *news = any;
    return err;
}

enum err keyring_find(struct keyring *k, uint64_t id, uint8_t key[CLUSTER_KEY_LEN], uint64_t *found_id)
{
    enum err err = ERR_NOTFOUND;
    pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < k->ring.n && err != OK; i++) {
        uint64_t have = keyring_id(k->ring.key[i]);
        if (id == 0 || id == have) {
            memcpy(key, k->ring.key[i], CLUSTER_KEY_LEN);
            *found_id = have;
            err = OK;
        }
    }
    pthread_mutex_unlock(&k->lock);
    return err;
}

size_t keyring_all(struct keyring *k, uint8_t keys[REPLY_KEYS_MAX * CLUSTER_KEY_LEN])
{
    pthread_mutex_lock(&k->lock);
    size_t n = k->ring.n;
    memcpy(keys, k->ring.key, n * CLUSTER_KEY_LEN);
    pthread_mutex_unlock(&k->lock);
    return n;
}
