/* Lists of keys and values. */
#include "builder/build.h"

#include <stdlib.h>

enum err blobs_add(struct blobs *b, struct bytes key, struct bytes value)
{
    if (b->n == b->cap) {
        size_t cap = b->cap == 0 ? 64 : b->cap * 2;
        struct entry *v = realloc(b->v, cap * sizeof *v);
        if (v == NULL)
            return ERR_NOMEM;
        b->v = v;
        b->cap = cap;
    }
    b->v[b->n++] = (struct entry){ key, value };
    return OK;
}

static enum err reserve(struct blobs *b, size_t n)
{
    struct entry *v = n <= b->cap ? b->v : realloc(b->v, n * sizeof *v);
    if (v == NULL && n > 0)
        return ERR_NOMEM;
    b->v = v;
    b->cap = n <= b->cap ? b->cap : n;
    return OK;
}

enum err blobs_insert(struct blobs *b, size_t at, const struct blobs *more)
{
    enum err err = reserve(b, b->n + more->n);
    if (err != OK || more->n == 0)
        return err;
    memmove(b->v + at + more->n, b->v + at, (b->n - at) * sizeof *b->v);
    memcpy(b->v + at, more->v, more->n * sizeof *b->v);
    b->n += more->n;
    return OK;
}

static int by_key(const void *a, const void *b)
{
    return bytes_compare(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

void blobs_sort(struct blobs *b)
{
    for (size_t i = 1; i < b->n; i++) {
        if (by_key(&b->v[i - 1], &b->v[i]) > 0) {
            qsort(b->v, b->n, sizeof *b->v, by_key);
            return;
        }
    }
}

void blobs_release(struct blobs *b)
{
    free(b->v);
    *b = (struct blobs){ 0 };
}
