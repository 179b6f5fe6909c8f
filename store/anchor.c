#include "store/anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"

#define PLACE 512
#define PLACE_AT 4096
#define HASH 32
#define MARK (8 + 8 + 1 + ANCHOR_BOOT + 4 + 8 + ANCHOR_META)
#define PATH_MOST 4096
#define COPY_STEP ((size_t)1 << 20)
/* Of LMDB's meta page, in the machine's own order of bytes: number of the page, magic, last page, transaction. */
#define META_PAGE_AT 0
#define META_MAGIC_AT 16
#define META_LAST_AT 136
#define META_TXN_AT 144
#define META_MAGIC 0xBEEFC0DEu

static const uint8_t magic[8] = { 'A', 'Z', 'A', 'N', 0, 0, 0, 1 };

struct mark { uint64_t number; enum anchor_state state; char boot[ANCHOR_BOOT]; struct anchor_place place; };

static enum err failed(struct fault *fault, const char *what, const char *path, const char *name)
{
    int rc = errno;
    return fault_set(fault, file_errno(rc), "cannot %s %s/%s: %s", what, path, name, strerror(rc));
}

static int open_in(const char *path, const char *name, int flags, mode_t mode)
{
    char file[PATH_MOST];
    if (file_path(file, sizeof file, path, name) != OK) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(file, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

/* --- one place ------------------------------------------------------------------------------------------------------- */
static void mark_write(uint8_t out[PLACE], const struct mark *m)
{
    struct wr w = wr_over(out, PLACE);
    memset(out, 0, PLACE);
    wr_bytes(&w, bytes_of(magic, sizeof magic));
    wr_u64(&w, m->number);
    wr_u8(&w, (uint8_t)m->state);
    wr_bytes(&w, bytes_of(m->boot, ANCHOR_BOOT));
    wr_u32(&w, m->place.page_size);
    wr_u64(&w, m->place.txn);
    wr_bytes(&w, bytes_of(m->place.meta, ANCHOR_META));
    (void)crypto_generichash(out + MARK, HASH, out, MARK, NULL, 0);
}

static bool mark_read(struct bytes place, struct mark *out)
{
    struct rd r = rd_over(place);
    uint8_t hash[HASH];
    struct bytes front = rd_take(&r, MARK), said = rd_take(&r, HASH);
    if (r.bad)
        return false;
    (void)crypto_generichash(hash, sizeof hash, front.ptr, front.len, NULL, 0);
    r = rd_over(front);
    if (memcmp(hash, said.ptr, HASH) != 0 || memcmp(rd_take(&r, sizeof magic).ptr, magic, sizeof magic) != 0)
        return false;
    out->number = rd_u64(&r);
    out->state = rd_u8(&r);
    memcpy(out->boot, rd_take(&r, ANCHOR_BOOT).ptr, ANCHOR_BOOT);
    out->place.page_size = rd_u32(&r);
    out->place.txn = rd_u64(&r);
    memcpy(out->place.meta, rd_take(&r, ANCHOR_META).ptr, ANCHOR_META);
    return out->boot[ANCHOR_BOOT - 1] == '\0' && out->state <= ANCHOR_DOUBT;
}

/* The newest; none: number 0. A place that is torn was being written: the other one still holds. */
static enum err marks_read(int fd, struct mark *out)
{
    uint8_t buf[PLACE];
    *out = (struct mark){ .state = ANCHOR_NONE };
    for (unsigned i = 0; i < 2; i++) {
        struct mark m;
        ssize_t n = pread(fd, buf, sizeof buf, (off_t)i * PLACE_AT);
        if (n < 0)
            return ERR_IO;
        if (mark_read(bytes_of(buf, (size_t)n), &m) && m.number > out->number)
            *out = m;
    }
    return OK;
}

static enum err newest_read(const char *path, struct mark *out, struct fault *fault)
{
    *out = (struct mark){ .state = ANCHOR_NONE };
    int fd = open_in(path, "anchor", O_RDONLY, 0);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? OK : failed(fault, "open", path, "anchor");
    enum err err = marks_read(fd, out);
    if (err != OK)
        (void)failed(fault, "read", path, "anchor");
    (void)close(fd);
    return err;
}

static enum anchor_state state_in(const struct mark *m, const char *boot)
{
    if (m->state == ANCHOR_NONE)
        return ANCHOR_NONE;
    if (strcmp(m->boot, boot) != 0)
        return ANCHOR_LOST;
    return m->state == ANCHOR_HELD ? ANCHOR_HELD : ANCHOR_DOUBT;
}

MUST_USE enum err anchor_look(const char *path, const char *boot, enum anchor_state *out, struct fault *fault)
{
    struct mark m;
    enum err err = newest_read(path, &m, fault);
    *out = state_in(&m, boot);
    return err;
}

/* --- writing ------------------------------------------------------------------------------------------------------------ */
/* Both places with zeros: overwriting them later needs no block and no news from the file system. */
static bool make_room(int fd, const char *path)
{
    static const uint8_t zeros[PLACE_AT + PLACE];
    struct stat st, data;
    char file[PATH_MOST];
    if (fstat(fd, &st) != 0)
        return false;
    if (st.st_size >= (off_t)sizeof zeros)
        return true;
    if (file_path(file, sizeof file, path, "data.mdb") == OK && stat(file, &data) == 0)
        (void)fchmod(fd, data.st_mode & 0777);      /* who reads the one has to read the other */
    return file_put_at(fd, zeros, sizeof zeros, 0) && fsync(fd) == 0
        && file_path(file, sizeof file, path, "anchor") == OK && file_sync_folder(file, NULL) == OK;
}

int anchor_open(struct anchor *a, const char *path)
{
    struct mark m;
    *a = (struct anchor){ .fd = open_in(path, "anchor", O_RDWR | O_CREAT, 0640) };
    if (a->fd < 0)
        return errno;
    errno = 0;
    if (!make_room(a->fd, path) || marks_read(a->fd, &m) != OK) {
        int rc = errno != 0 ? errno : EIO;
        anchor_close(a);
        return rc;
    }
    a->number = m.number;
    return 0;
}

void anchor_close(struct anchor *a)
{
    if (a->fd >= 0)
        (void)close(a->fd);
    a->fd = -1;
}

int anchor_write(struct anchor *a, enum anchor_state state, const char *boot, const struct anchor_place *place)
{
    struct mark m = { .number = a->number + 1, .state = state, .place = *place };
    uint8_t buf[PLACE];
    (void)snprintf(m.boot, sizeof m.boot, "%s", boot);
    mark_write(buf, &m);
    if (!file_put_at(a->fd, buf, sizeof buf, (off_t)(m.number & 1) * PLACE_AT) || fdatasync(a->fd) != 0)
        return errno;
    a->number = m.number;
    return 0;
}

/* --- LMDB's meta pages --------------------------------------------------------------------------------------------------- */
static uint64_t word_at(const uint8_t *meta, size_t at)
{
    uint64_t v;
    memcpy(&v, meta + at, sizeof v);
    return v;
}

static bool is_meta(const struct anchor_place *p)
{
    uint32_t v;
    memcpy(&v, p->meta + META_MAGIC_AT, sizeof v);
    return v == META_MAGIC && word_at(p->meta, META_TXN_AT) == p->txn && p->page_size >= 512 && p->page_size <= 65536;
}

int anchor_place_read(int data_fd, uint32_t page_size, uint64_t txn, struct anchor_place *out)
{
    *out = (struct anchor_place){ .txn = txn, .page_size = page_size };
    ssize_t n = pread(data_fd, out->meta, ANCHOR_META, (off_t)(txn & 1) * page_size);
    if (n != ANCHOR_META)
        return n < 0 ? errno : EIO;
    return is_meta(out) ? 0 : MDB_CORRUPTED;
}

/* The place that the anchored state had is on the disk since before the anchor was: it holds that state, or a later one took it. */
static bool belongs(int fd, const struct anchor_place *p)
{
    uint8_t meta[ANCHOR_META];
    if (pread(fd, meta, sizeof meta, (off_t)(p->txn & 1) * p->page_size) != ANCHOR_META)
        return false;
    uint64_t txn = word_at(meta, META_TXN_AT);
    return txn > p->txn || (txn == p->txn && memcmp(meta, p->meta, ANCHOR_META) == 0);
}

/* In both places: LMDB takes the one with the higher number, and the next commit overwrites one of them. */
static bool metas_put(int fd, const struct anchor_place *p)
{
    uint8_t meta[ANCHOR_META];
    memcpy(meta, p->meta, sizeof meta);
    for (uint64_t page = 0; page < 2; page++) {
        memcpy(meta + META_PAGE_AT, &page, sizeof page);
        if (!file_put_at(fd, meta, sizeof meta, (off_t)(page * p->page_size)))
            return false;
    }
    return fdatasync(fd) == 0;
}

/* --- behind a stop -------------------------------------------------------------------------------------------------------- */
static enum err data_mend(const char *path, const struct mark *m, enum anchor_state state, struct fault *fault)
{
    int fd = open_in(path, "data.mdb", O_RDWR, 0);
    if (fd < 0)
        return errno == ENOENT ? OK : failed(fault, "open", path, "data.mdb");
    enum err err = OK;
    if (state != ANCHOR_HELD && !belongs(fd, &m->place))
        err = fault_set(fault, ERR_BAD, "%s/anchor: was not written beside this data.mdb", path);
    else if (state == ANCHOR_HELD ? fdatasync(fd) != 0 : !metas_put(fd, &m->place))
        err = failed(fault, "sync", path, "data.mdb");
    (void)close(fd);
    return err;
}

MUST_USE enum err anchor_mend(const char *path, const char *boot, struct fault *fault)
{
    struct anchor a;
    struct mark m;
    enum err err = newest_read(path, &m, fault);
    enum anchor_state state = state_in(&m, boot);
    if (err != OK || state == ANCHOR_NONE)
        return err;
    if (state != ANCHOR_HELD && !is_meta(&m.place))
        return fault_set(fault, ERR_BAD, "%s/anchor: does not say which state is on the disk", path);
    if ((errno = anchor_open(&a, path)) != 0)
        return failed(fault, "open", path, "anchor");
    err = data_mend(path, &m, state, fault);
    if (err != OK && state == ANCHOR_HELD && err != ERR_NOTFOUND)
        (void)anchor_write(&a, ANCHOR_DOUBT, boot, &m.place);
    if (err == OK && (errno = anchor_write(&a, ANCHOR_NONE, boot, &m.place)) != 0)
        err = failed(fault, "write", path, "anchor");
    anchor_close(&a);
    return err;
}

static bool copy_bytes(int from, int to, uint64_t len)
{
    uint8_t *buf = malloc(COPY_STEP);
    bool done = buf != NULL;
    errno = done ? errno : ENOMEM;
    for (uint64_t at = 0; done && at < len;) {
        ssize_t n = pread(from, buf, len - at < COPY_STEP ? (size_t)(len - at) : COPY_STEP, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            break;      /* LMDB makes the file as long as what was written */
        done = n > 0 && file_put_at(to, buf, (size_t)n, (off_t)at);
        at += n > 0 ? (uint64_t)n : 0;
    }
    free(buf);
    return done;
}

MUST_USE enum err anchor_copy(const char *path, const char *to, struct fault *fault)
{
    struct mark m;
    enum err err = newest_read(path, &m, fault);
    if (err != OK)
        return err;
    if (!is_meta(&m.place))
        return fault_set(fault, ERR_BAD, "%s/anchor: does not say which state is on the disk", path);
    uint64_t len = (word_at(m.place.meta, META_LAST_AT) + 1) * m.place.page_size;
    int in = open_in(path, "data.mdb", O_RDONLY, 0), out = in < 0 ? -1 : open_in(to, "data.mdb", O_RDWR | O_CREAT | O_EXCL, 0640);
    if (in < 0)
        return failed(fault, "open", path, "data.mdb");
    if (out < 0)
        err = failed(fault, "make", to, "data.mdb");
    else if (!copy_bytes(in, out, len) || !metas_put(out, &m.place) || fsync(out) != 0)
        err = failed(fault, "write", to, "data.mdb");
    (void)close(in);
    if (out >= 0)
        (void)close(out);
    return err;
}
