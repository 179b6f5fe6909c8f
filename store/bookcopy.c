#include "store/bookcopy.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#define LEVEL 3
#define BLOCK_HEAD (4 + 4 + BOOKCOPY_HASH_LEN)      /* raw, stored, hash */
#define ENTRY_HEAD (1 + 2 + 4)                      /* table, key's and value's length */

static struct bytes hash_of(uint8_t out[BOOKCOPY_HASH_LEN], struct bytes b)
{
    (void)crypto_generichash(out, BOOKCOPY_HASH_LEN, b.ptr, b.len, NULL, 0);
    return bytes_of(out, BOOKCOPY_HASH_LEN);
}

/* Memory of at least n bytes, its contents lost. */
static bool room(uint8_t **buf, size_t *cap, size_t n)
{
    if (n <= *cap)
        return true;
    free(*buf);
    *buf = malloc(n);
    *cap = *buf != NULL ? n : 0;
    return *buf != NULL;
}

/* --- writing -------------------------------------------------------------------------------------------------------- */
struct bookcopy_writer {
    int fd;
    uint64_t bytes, entries;
    struct wr raw;                      /* the block at hand */
    uint8_t *stored;
    size_t stored_cap;
    crypto_generichash_state chain;     /* over the blocks' hashes */
};

static enum err put_all(struct bookcopy_writer *w, struct bytes b, struct fault *fault)
{
    for (size_t at = 0; at < b.len;) {
        ssize_t n = write(w->fd, b.ptr + at, b.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault_set(fault, errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO,
                             "cannot write: %s", strerror(errno));
        at += (size_t)n;
    }
    w->bytes += b.len;
    return OK;
}

MUST_USE enum err bookcopy_writer_open(struct bookcopy_writer **out, int fd, const char *name, struct fault *fault)
{
    uint8_t buf[BOOKCOPY_MAGIC_LEN + 2 + 1 + BOOKCOPY_NAME_MAX];
    struct wr front = wr_over(buf, sizeof buf);
    if (strlen(name) > BOOKCOPY_NAME_MAX)
        return ERR_LIMIT;
    struct bookcopy_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    w->fd = fd;
    (void)crypto_generichash_init(&w->chain, NULL, 0, BOOKCOPY_HASH_LEN);
    w->raw = wr_over(malloc(BOOKCOPY_BLOCK), BOOKCOPY_BLOCK);
    wr_put(&front, BOOKCOPY_MAGIC, BOOKCOPY_MAGIC_LEN);
    wr_u16(&front, BOOKCOPY_FORMAT);
    wr_u8(&front, (uint8_t)strlen(name));
    wr_bytes(&front, bytes_of_text(name));
    enum err err = w->raw.buf == NULL ? ERR_NOMEM : put_all(w, wr_done(&front), fault);
    if (err != OK) {
        bookcopy_writer_close(w);
        return err;
    }
    *out = w;
    return OK;
}

void bookcopy_writer_close(struct bookcopy_writer *w)
{
    if (w == NULL)
        return;
    free(w->raw.buf);
    free(w->stored);
    free(w);
}

static enum err put_block(struct bookcopy_writer *w, struct fault *fault)
{
    uint8_t head[BLOCK_HEAD], hash[BOOKCOPY_HASH_LEN];
    struct wr h = wr_over(head, sizeof head);
    if (w->raw.len == 0)
        return OK;
    if (!room(&w->stored, &w->stored_cap, ZSTD_compressBound(w->raw.len)))
        return ERR_NOMEM;
    size_t got = ZSTD_compress(w->stored, w->stored_cap, w->raw.buf, w->raw.len, LEVEL);
    if (ZSTD_isError(got))
        return fault_set(fault, ERR_NOMEM, "cannot compress: %s", ZSTD_getErrorName(got));
    wr_u32(&h, (uint32_t)w->raw.len);
    wr_u32(&h, (uint32_t)got);
    wr_bytes(&h, hash_of(hash, bytes_of(w->stored, got)));
    (void)crypto_generichash_update(&w->chain, hash, sizeof hash);
    w->raw.len = 0;
    enum err err = put_all(w, wr_done(&h), fault);
    return err != OK ? err : put_all(w, bytes_of(w->stored, got), fault);
}

MUST_USE enum err bookcopy_put(struct bookcopy_writer *w, const struct bookcopy_entry *e, struct fault *fault)
{
    size_t size = ENTRY_HEAD + e->key.len + e->value.len;
    enum err err = OK;
    if (e->key.len == 0 || e->key.len > BOOK_KEY_MAX || e->value.len > BOOK_VALUE_MAX || e->table >= BOOK_TABLES_MAX)
        return ERR_LIMIT;
    if (w->raw.len + size > BOOKCOPY_BLOCK && (err = put_block(w, fault)) != OK)
        return err;
    if (size > w->raw.cap) {
        uint8_t *more = realloc(w->raw.buf, size);
        if (more == NULL)
            return ERR_NOMEM;
        w->raw = wr_over(more, size);
    }
    wr_u8(&w->raw, (uint8_t)e->table);
    wr_u16(&w->raw, (uint16_t)e->key.len);
    wr_bytes(&w->raw, e->key);
    wr_u32(&w->raw, (uint32_t)e->value.len);
    wr_bytes(&w->raw, e->value);
    w->entries++;
    return OK;
}

MUST_USE enum err bookcopy_end(struct bookcopy_writer *w, struct bookcopy_totals *out, struct fault *fault)
{
    uint8_t trailer[BOOKCOPY_TRAILER], hash[BOOKCOPY_HASH_LEN];
    struct wr t = wr_over(trailer, sizeof trailer);
    enum err err = put_block(w, fault);
    (void)crypto_generichash_final(&w->chain, hash, sizeof hash);
    wr_u32(&t, 0);
    wr_u64(&t, w->entries);
    wr_put(&t, hash, sizeof hash);
    wr_put(&t, BOOKCOPY_END, BOOKCOPY_END_LEN);
    if (err == OK)
        err = put_all(w, wr_done(&t), fault);
    if (err == OK)
        *out = (struct bookcopy_totals){ w->entries, w->bytes };
    return err;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */
struct bookcopy_reader {
    int fd;
    char name[BOOKCOPY_NAME_MAX + 1];
    uint64_t entries;
    uint8_t *stored, *raw;
    size_t stored_cap, raw_cap;
    struct rd at;                       /* in the block at hand */
    crypto_generichash_state chain;
    bool any, ended;
    unsigned table;                     /* of the entry before; its key follows */
    size_t key_len;
    uint8_t key[BOOK_KEY_MAX];
};

static enum err take(struct bookcopy_reader *r, void *buf, size_t n, struct fault *fault)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = read(r->fd, (uint8_t *)buf + at, n - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_set(fault, ERR_IO, "cannot read: %s", strerror(errno));
        if (got == 0)
            return fault_set(fault, ERR_SHORT, "cut off inside the records");
        at += (size_t)got;
    }
    return OK;
}

static enum err wrong(struct fault *fault, const char *what)
{
    return fault_set(fault, ERR_BAD, "damaged: %s", what);
}

MUST_USE enum err bookcopy_reader_open(struct bookcopy_reader **out, int fd, struct fault *fault)
{
    uint8_t front[3];
    struct bookcopy_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NOMEM;
    r->fd = fd;
    (void)crypto_generichash_init(&r->chain, NULL, 0, BOOKCOPY_HASH_LEN);
    enum err err = take(r, front, sizeof front, fault);
    unsigned format = (unsigned)front[0] << 8 | front[1];
    if (err == OK && format != BOOKCOPY_FORMAT)
        err = fault_set(fault, format == 0 ? ERR_BAD : ERR_FORMAT, "records of format %u, this program knows format %d only",
                        format, BOOKCOPY_FORMAT);
    if (err == OK && (front[2] == 0 || front[2] > BOOKCOPY_NAME_MAX))
        err = wrong(fault, "the name of its records");
    if (err == OK)
        err = take(r, r->name, front[2], fault);
    if (err != OK) {
        bookcopy_reader_close(r);
        return err;
    }
    *out = r;
    return OK;
}

const char *bookcopy_name(const struct bookcopy_reader *r) { return r->name; }

void bookcopy_reader_close(struct bookcopy_reader *r)
{
    if (r == NULL)
        return;
    free(r->stored);
    free(r->raw);
    free(r);
}

/* Behind the 0. */
static enum err end_take(struct bookcopy_reader *r, struct fault *fault)
{
    uint8_t have[BOOKCOPY_TRAILER - 4], want[BOOKCOPY_TRAILER - 4], hash[BOOKCOPY_HASH_LEN], more;
    struct wr w = wr_over(want, sizeof want);
    enum err err = take(r, have, sizeof have, fault);
    if (err != OK)
        return err;
    (void)crypto_generichash_final(&r->chain, hash, sizeof hash);
    wr_u64(&w, r->entries);
    wr_put(&w, hash, sizeof hash);
    wr_put(&w, BOOKCOPY_END, BOOKCOPY_END_LEN);
    if (memcmp(have, want, sizeof have) != 0)
        return wrong(fault, "the end of its records");
    if ((err = take(r, &more, 1, NULL)) != ERR_SHORT)
        return err == OK ? wrong(fault, "bytes behind its end") : fault_set(fault, err, "cannot read: %s", strerror(errno));
    r->ended = true;
    return ERR_NOTFOUND;
}

/* Stored bytes are believed only as they come: the memory grows with them. */
static enum err take_stored(struct bookcopy_reader *r, size_t stored, struct fault *fault)
{
    enum err err = OK;
    for (size_t at = 0; at < stored && err == OK;) {
        size_t step = stored - at < BOOKCOPY_BLOCK ? stored - at : BOOKCOPY_BLOCK;
        if (r->stored_cap < at + step) {
            uint8_t *bigger = realloc(r->stored, at + step);
            if (bigger == NULL)
                return ERR_NOMEM;
            r->stored = bigger;
            r->stored_cap = at + step;
        }
        err = take(r, r->stored + at, step, fault);
        at += step;
    }
    return err;
}

static enum err block_take(struct bookcopy_reader *r, size_t raw, struct fault *fault)
{
    uint8_t head[BLOCK_HEAD - 4], hash[BOOKCOPY_HASH_LEN];
    enum err err = take(r, head, sizeof head, fault);
    struct rd h = rd_over(bytes_of(head, sizeof head));
    size_t stored = rd_u32(&h);
    if (err != OK)
        return err;
    if (raw > BOOKCOPY_RAW_MAX || stored > ZSTD_compressBound(raw))
        return wrong(fault, "impossible sizes in its records");
    if ((err = take_stored(r, stored, fault)) != OK)
        return err;
    if (memcmp(hash_of(hash, bytes_of(r->stored, stored)).ptr, head + 4, sizeof hash) != 0)
        return wrong(fault, "a block of its records");
    (void)crypto_generichash_update(&r->chain, hash, sizeof hash);
    if (ZSTD_getFrameContentSize(r->stored, stored) != raw || ZSTD_findFrameCompressedSize(r->stored, stored) != stored)
        return wrong(fault, "a block of its records");
    if (!room(&r->raw, &r->raw_cap, raw))
        return ERR_NOMEM;
    if (ZSTD_decompress(r->raw, raw, r->stored, stored) != raw)
        return wrong(fault, "a block of its records");
    r->at = rd_over(bytes_of(r->raw, raw));
    return OK;
}

static bool in_order(const struct bookcopy_reader *r, const struct bookcopy_entry *e)
{
    return !r->any || e->table > r->table
        || (e->table == r->table && bytes_compare(bytes_of(r->key, r->key_len), e->key) < 0);
}

MUST_USE enum err bookcopy_next(struct bookcopy_reader *r, struct bookcopy_entry *out, struct fault *fault)
{
    struct bookcopy_entry e;
    uint8_t raw[4];
    enum err err;
    if (r->ended)
        return ERR_NOTFOUND;
    if (rd_left(&r->at) == 0) {
        if ((err = take(r, raw, sizeof raw, fault)) != OK)
            return err;
        struct rd n = rd_over(bytes_of(raw, sizeof raw));
        size_t len = rd_u32(&n);
        if ((err = len == 0 ? end_take(r, fault) : block_take(r, len, fault)) != OK)
            return err;
    }
    e.table = rd_u8(&r->at);
    e.key = rd_take(&r->at, rd_u16(&r->at));
    e.value = rd_take(&r->at, rd_u32(&r->at));
    if (r->at.bad || e.key.len == 0 || e.key.len > BOOK_KEY_MAX || e.table >= BOOK_TABLES_MAX || !in_order(r, &e))
        return wrong(fault, "an entry of its records");
    r->any = true;
    r->table = e.table;
    r->key_len = e.key.len;
    memcpy(r->key, e.key.ptr, e.key.len);
    r->entries++;
    *out = e;
    return OK;
}
