/* Snapshots. The first byte says what the rest is: 0 a whole stream, 1 a chunk's raw bytes (behind two bytes of count),
 * 2 a chunk's stored bytes, 3 a manifest. Hashes of 1 and 2 are made right, or nothing would ever get past them. What
 * passes is written again and must be the same bytes. */
#include "tests/fuzz/fuzz.h"

#include "base/msg.h"
#include "store/snapshot.h"

#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

static void stream(struct bytes in)
{
    struct snapshot_reader *r;
    const struct op *ops;
    size_t n;
    uint64_t entries = 0;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, in.ptr, in.len) != (ssize_t)in.len || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    if (snapshot_reader_open(&r, fd, NULL) == OK) {
        enum err err;
        while ((err = snapshot_reader_next(r, &ops, &n, NULL)) == OK)
            entries += n;
        if (err == ERR_NOTFOUND && entries != snapshot_reader_about(r)->head.keys)
            abort();
        snapshot_reader_close(r);
    }
    (void)close(fd);
}

/* The same entries make the same raw bytes. */
static void pack_again(const struct op *ops, size_t n, struct bytes raw)
{
    struct snapshot_pack *p;
    struct snapshot_chunk c;
    struct bytes stored;
    if (snapshot_pack_open(&p) != OK)
        abort();
    for (size_t i = 0; i < n; i++)
        if (!snapshot_pack_add(p, ops[i].ns, &(struct entry){ ops[i].key, ops[i].value }))
            abort();
    if (snapshot_pack_end(p, &c, &stored) != OK || c.raw != raw.len || c.entries != n)
        abort();
    uint8_t *again = malloc(c.raw);
    if (again == NULL || ZSTD_decompress(again, c.raw, stored.ptr, stored.len) != raw.len ||
        memcmp(again, raw.ptr, raw.len) != 0)
        abort();
    free(again);
    snapshot_pack_close(p);
}

static void chunk(uint32_t entries, uint32_t raw_len, struct bytes stored, const struct bytes *raw)
{
    struct head h = { .keys = UINT64_MAX, .bytes = UINT64_MAX };
    struct snapshot_chunk c = { entries, raw_len, (uint32_t)stored.len, { 0 } };
    struct snapshot_unpack *u;
    const struct op *ops;
    size_t n;
    (void)crypto_generichash(c.hash, sizeof c.hash, stored.ptr, stored.len, NULL, 0);
    if (snapshot_unpack_open(&u, &h) != OK)
        abort();
    if (snapshot_unpack_chunk(u, &c, stored, &ops, &n, NULL) == OK) {
        if (n != entries)
            abort();
        if (raw != NULL)
            pack_again(ops, n, *raw);
    }
    snapshot_unpack_close(u);
}

static void raw_chunk(struct bytes in)
{
    struct rd r = rd_over(in);
    uint32_t entries = rd_u16(&r);
    struct bytes raw = rd_take(&r, rd_left(&r));
    if (r.bad || raw.len > SNAPSHOT_RAW_MAX)
        return;
    size_t cap = ZSTD_compressBound(raw.len);
    uint8_t *stored = malloc(cap);
    size_t got = stored == NULL ? 0 : ZSTD_compress(stored, cap, raw.ptr, raw.len, 1);
    if (stored == NULL || ZSTD_isError(got))
        abort();
    chunk(entries, (uint32_t)raw.len, bytes_of(stored, got), &raw);
    free(stored);
}

static void stored_chunk(struct bytes in)
{
    unsigned long long size = ZSTD_getFrameContentSize(in.ptr, in.len);
    for (uint32_t entries = 1; entries < 4 && size <= UINT32_MAX; entries++)
        chunk(entries, (uint32_t)size, in, NULL);
}

static void manifest(struct bytes in)
{
    static struct snapshot_manifest m;
    if (snapshot_manifest_read(in, &m) != OK)
        return;
    size_t cap = snapshot_manifest_size(&m);
    uint8_t *buf = malloc(cap);
    struct wr w = wr_over(buf, cap);
    snapshot_manifest_put(&w, &m);
    if (buf == NULL || w.full || (in.ptr[0] == 0x99 && !bytes_equal(wr_done(&w), in)))
        abort();
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || sodium_init() < 0)
        return 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    switch (data[0]) {
    case 0: stream(in); break;
    case 1: raw_chunk(in); break;
    case 2: stored_chunk(in); break;
    case 3: manifest(in); break;
    default: break;
    }
    return 0;
}
