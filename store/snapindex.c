/* A snapshot file read at any place. The trailer says where the manifest begins, and the manifest how long every chunk
 * is; so the chunks are found from behind, and nothing in front of them has to be looked at. */
#include "store/snapshot.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENGTH 4

static enum err take(int fd, uint64_t at, uint8_t *buf, size_t len, struct fault *fault)
{
    for (size_t n = 0; n < len;) {
        ssize_t got = pread(fd, buf + n, len - n, (off_t)(at + n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_set(fault, ERR_IO, "cannot read: %s", strerror(errno));
        if (got == 0)
            return fault_set(fault, ERR_SHORT, "cut off after %llu bytes", (unsigned long long)(at + n));
        n += (size_t)got;
    }
    return OK;
}

static enum err wrong(struct fault *fault, const char *what)
{
    return fault_set(fault, ERR_BAD, "damaged: %s", what);
}

/* Length and manifest, as hashed by the trailer. *at: where its 0 stands. */
static enum err take_manifest(struct snapshot_index *x, int fd, uint64_t size, uint64_t *at, struct fault *fault)
{
    uint8_t trailer[SNAPSHOT_TRAILER], hash[SNAPSHOT_HASH_LEN];
    enum err err = take(fd, size - SNAPSHOT_TRAILER, trailer, sizeof trailer, fault);
    if (err != OK)
        return err;
    struct rd r = rd_over(bytes_of(trailer, sizeof trailer));
    uint64_t zero = rd_u64(&r), end = size - SNAPSHOT_TRAILER;
    struct bytes want = rd_take(&r, sizeof hash), name = rd_take(&r, SNAPSHOT_END_LEN);
    if (!bytes_equal(name, bytes_of_text(SNAPSHOT_END)) || zero > end || end - zero < 2 * LENGTH ||
        end - zero - LENGTH > SNAPSHOT_MANIFEST_MAX)
        return wrong(fault, "its trailer");
    x->len = (size_t)(end - zero - LENGTH);
    if ((x->buf = malloc(x->len)) == NULL)
        return ERR_NOMEM;
    if ((err = take(fd, zero + LENGTH, x->buf, x->len, fault)) != OK)
        return err;
    struct rd length = rd_over(bytes_of(x->buf, LENGTH));
    (void)crypto_generichash(hash, sizeof hash, x->buf, x->len, NULL, 0);
    if (rd_u32(&length) != x->len - LENGTH || !bytes_equal(want, bytes_of(hash, sizeof hash)))
        return wrong(fault, "its manifest");
    *at = zero;
    return OK;
}

MUST_USE enum err snapshot_index_load(struct snapshot_index *out, int fd, struct fault *fault)
{
    struct snapshot_index x = { .buf = NULL };
    struct stat st;
    uint64_t at = 0;
    if (fstat(fd, &st) != 0 || st.st_size < (off_t)SNAPSHOT_TRAILER)
        return fault_set(fault, ERR_SHORT, "too short");
    enum err err = take_manifest(&x, fd, (uint64_t)st.st_size, &at, fault);
    if (err == OK && (err = snapshot_manifest_read(snapshot_index_manifest(&x), &x.manifest)) != OK)
        fault_set(fault, err, "its manifest: %s", err_text(err));
    size_t n = x.manifest.chunks;
    if (err == OK && (x.offsets = malloc((n + 1) * sizeof *x.offsets)) == NULL)
        err = ERR_NOMEM;
    if (err == OK && at < x.manifest.stored + n * SNAPSHOT_ROW)
        err = wrong(fault, "its chunks do not fit before the manifest");
    if (err != OK) {
        snapshot_index_release(&x);
        return err;
    }
    at -= x.manifest.stored + n * SNAPSHOT_ROW;
    for (size_t i = 0; i < n; i++) {
        x.offsets[i] = at + SNAPSHOT_ROW;
        at += SNAPSHOT_ROW + snapshot_row(x.manifest.table, i).stored;
    }
    *out = x;
    return OK;
}

void snapshot_index_release(struct snapshot_index *x)
{
    free(x->buf);
    free(x->offsets);
    *x = (struct snapshot_index){ .buf = NULL };
}

struct bytes snapshot_index_manifest(const struct snapshot_index *x)
{
    return bytes_of(x->buf + LENGTH, x->len - LENGTH);
}
