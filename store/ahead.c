/* Transactions of a core's log, safe with one flush each: written ahead of the log into a file of its own, in place. What LMDB needs
 * (two flushes one behind the other, in log, data and records each) may come much later, for many of them at once.
 *
 *     log_ahead: a frame behind the last, synced ─► (subscribers may hear of it) ─► log_commit, not synced
 *     log_ahead_anew: log, data and records are on the disk: the next frame stands at the file's begin
 *     log_settle: what the frames have and the log has not goes into the log, at an open and behind a failure
 *
 *     file    frame | frame | ... | what is left of an older round        RING bytes, made with zeros: an overwritten block needs no
 *                                                                         news from the file system
 *     frame   "AZAH" | version u32 | number u64 | length u64 | hash (32) | 0 u64 | body | zeros, up to a whole BLOCK
 *     hash    of the frame's hash before it (the first: of zeros), number, length and body
 *     body    { 1 | seq u64 | length u32 | record }  { 2 | group length u8 | group | epoch u64 | seq u64 | length u32 | note }
 *             { 3 | seq u64 }: the notes' reach      { 4 | length u32 | extra }
 *
 * Reading ends at the first frame whose number or hash does not follow: what stands behind is of an older round, or was being written.
 * A transaction stands in the log, or whole in a frame, or nowhere. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"

#define HEAD 64
#define HASH AHEAD_HASH
#define BLOCK ((size_t)4096)
#define RING (4 * AHEAD_MAX)
#define FRAMES_MOST (RING / BLOCK)
#define FRAMES_FILLED 384               /* before the environments settle by themselves (envwrite.c), with somebody waiting; so few of a
                                         * hundred changes that their 99th percentile does not know of it */
static const uint8_t magic[8] = { 'A', 'Z', 'A', 'H', 0, 0, 0, 1 };
enum { KEPT_RECORD = 1, KEPT_NOTE, KEPT_REACH, KEPT_EXTRA };

/* --- the file --------------------------------------------------------------------------------------------------------- */
static enum err failed(struct fault *fault, const char *what, const struct store *s)
{
    int rc = errno;
    enum err err = rc == ENOSPC || rc == EDQUOT ? ERR_FULL : ERR_STORE;
    return fault_set(fault, err, "cannot %s %s/log/ahead: %s", what, s->dir, strerror(rc));
}

static bool sync_it(const struct store *s) { return s->volatile_data || fdatasync(s->ahead.fd) == 0; }

/* With as much again left behind it: what follows it in a new store needs some, lock files too, which a disk without a block ends the
 * process over. */
static bool has_room(int fd)
{
    struct statvfs vfs;
    if (fstatvfs(fd, &vfs) != 0 || (uint64_t)vfs.f_bavail * vfs.f_frsize >= 2 * RING)
        return true;
    errno = ENOSPC;
    return false;
}

static bool put_zeros(int fd, size_t at)
{
    static const uint8_t zeros[16 * BLOCK];
    for (size_t n; at < RING; at += n) {
        n = RING - at < sizeof zeros ? RING - at : sizeof zeros;
        if (!file_put_at(fd, zeros, n, (off_t)at))
            return false;
    }
    return true;
}

static bool make_room(const struct store *s)
{
    int fd = s->ahead.fd;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    if ((size_t)st.st_size >= RING)
        return true;
    if (has_room(fd) && put_zeros(fd, (size_t)st.st_size) && (s->volatile_data || fsync(fd) == 0))
        return true;
    int rc = errno;
    errno = ftruncate(fd, st.st_size) == 0 ? rc : errno;       /* others need what there is */
    return false;
}

static size_t blocks(size_t len) { return (len + BLOCK - 1) / BLOCK * BLOCK; }

/* front: the frame's head, as far as its length. */
static void hash_of(uint8_t out[HASH], const uint8_t before[HASH], const uint8_t *front, struct bytes body)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH);
    crypto_generichash_update(&state, before, HASH);
    crypto_generichash_update(&state, front + 8, 16);
    crypto_generichash_update(&state, body.ptr, body.len);
    crypto_generichash_final(&state, out, HASH);
}

/* --- reading frames ----------------------------------------------------------------------------------------------------- */
struct frames { struct bytes file; size_t at; uint64_t number; uint8_t hash[HASH]; struct bytes body; };    /* at: behind the newest that was read */

static enum err frames_open(struct frames *f, const struct store *s, struct fault *fault)
{
    char path[STORE_PATH_MAX];
    *f = (struct frames){ .at = 0 };
    enum err err = file_path(path, sizeof path, s->dir, "log/ahead");
    if (err == OK)
        err = file_read(path, RING, &f->file, fault);
    return err == ERR_NOTFOUND || err == ERR_LIMIT ? OK : err;
}

static void frames_close(struct frames *f) { free((void *)(uintptr_t)f->file.ptr); }

static bool frames_next(struct frames *f)
{
    if (f->at >= f->file.len)           /* no file at all has no bytes to point at */
        return false;
    struct rd r = rd_over(bytes_of(f->file.ptr + f->at, f->file.len - f->at));
    uint8_t hash[HASH];
    struct bytes front = rd_take(&r, HEAD);
    struct rd h = rd_over(front);
    struct bytes is = rd_take(&h, sizeof magic);
    uint64_t number = rd_u64(&h), len = rd_u64(&h);
    struct bytes said = rd_take(&h, HASH);
    if (h.bad || memcmp(is.ptr, magic, sizeof magic) != 0 || len > rd_left(&r) || number == 0
        || (f->at > 0 && number != f->number + 1))
        return false;
    struct bytes body = rd_take(&r, (size_t)len);
    hash_of(hash, f->hash, front.ptr, body);
    if (memcmp(hash, said.ptr, HASH) != 0)
        return false;
    f->body = body;
    f->number = number;
    f->at += blocks(HEAD + body.len);
    f->at = f->at < f->file.len ? f->at : f->file.len;
    memcpy(f->hash, hash, HASH);
    return true;
}

struct item { unsigned kind; uint64_t seq, epoch; struct bytes group, bytes; };

static enum err item_read(struct rd *r, struct item *out)
{
    *out = (struct item){ .kind = rd_u8(r) };
    if (out->kind == KEPT_NOTE) {
        out->group = rd_take(r, rd_u8(r));
        out->epoch = rd_u64(r);
    }
    if (out->kind != KEPT_EXTRA)
        out->seq = rd_u64(r);
    if (out->kind != KEPT_REACH)
        out->bytes = rd_take(r, rd_u32(r));
    return r->bad || out->kind < KEPT_RECORD || out->kind > KEPT_EXTRA ? ERR_BAD : OK;
}

/* The seqs of its records; 0: it has none. */
static enum err span(struct bytes body, uint64_t *first, uint64_t *last)
{
    struct rd r = rd_over(body);
    struct item item;
    *first = *last = 0;
    while (rd_left(&r) > 0) {
        if (item_read(&r, &item) != OK)
            return ERR_BAD;
        if (item.kind != KEPT_RECORD)
            continue;
        *first = *first == 0 ? item.seq : *first;
        *last = item.seq;
    }
    return OK;
}

/* --- the frames that there are ------------------------------------------------------------------------------------------ */
static void frame_push(struct ahead *a, const struct ahead_frame *f)
{
    a->frame[a->n++] = *f;
    a->end = f->at + f->len;
    a->number = f->number;
}

/* What stands in the file counts, whatever was thought of it. */
static enum err frames_load(struct store *s, struct fault *fault)
{
    struct ahead *a = &s->ahead;
    struct frames f;
    enum err err = frames_open(&f, s, fault);
    if (err != OK)
        return err;
    a->n = a->end = 0;
    for (size_t at = 0; a->n < FRAMES_MOST && frames_next(&f); at = f.at) {
        struct ahead_frame frame = { .at = at, .len = f.at - at, .number = f.number };
        if (span(f.body, &frame.first, &frame.last) != OK)
            frame.first = frame.last = 0;
        memcpy(frame.hash, f.hash, HASH);
        frame_push(a, &frame);
    }
    frames_close(&f);
    return OK;
}

/* Those from i on are no more: of none of them the head is left, so that none follows a new one either. */
static enum err void_from(struct store *s, size_t i, struct fault *fault)
{
    static const uint8_t zeros[HEAD];
    struct ahead *a = &s->ahead;
    if (i >= a->n)
        return OK;
    bool gone = true;
    for (size_t k = i; k < a->n && gone; k++)
        gone = file_put_at(a->fd, zeros, HEAD, (off_t)a->frame[k].at);
    if (!gone || !sync_it(s)) {
        a->doubt = true;
        a->torn = a->torn < i ? a->torn : i;
        return failed(fault, "empty", s);
    }
    a->end = a->frame[i].at;
    a->n = i;
    a->torn = SIZE_MAX;
    return OK;
}

MUST_USE enum err ahead_void(struct store *s, uint64_t seq, struct fault *fault)
{
    size_t i = 0;
    while (i < s->ahead.n && s->ahead.frame[i].last <= seq)
        i++;
    int rc = i + 1 < s->ahead.n ? env_settle(s->log) : 0;       /* a crash could keep some of them, and the log none */
    return rc != 0 ? lmdb_err(fault, rc, "sync", env_path(s->log)) : void_from(s, i, fault);
}

/* --- what a transaction does, kept beside it ------------------------------------------------------------------------- */
static uint8_t *more(struct log_txn *t, size_t len)
{
    struct ahead *a = &t->s->ahead;
    if (!t->keeps || a->len + len > AHEAD_MAX) {
        t->keeps = false;
        return NULL;
    }
    if (a->cap < a->len + len + BLOCK) {
        size_t cap = 2 * (a->len + len) + 4 * BLOCK;
        uint8_t *p = realloc(a->buf, cap);
        if (p == NULL) {
            t->keeps = false;
            return NULL;
        }
        a->buf = p;
        a->cap = cap;
    }
    a->len += len;
    return a->buf + a->len - len;
}

void ahead_begin(struct log_txn *t)
{
    t->keeps = t->s->ahead.open;
    t->s->ahead.len = 0;
    t->s->ahead.first = 0;
    (void)more(t, HEAD);
}

void ahead_record(struct log_txn *t, uint64_t seq, struct bytes record)
{
    size_t len = 1 + 8 + 4 + record.len;
    uint8_t *p = more(t, len);
    if (p == NULL)
        return;
    struct wr w = wr_over(p, len);
    wr_u8(&w, KEPT_RECORD);
    wr_u64(&w, seq);
    wr_u32(&w, (uint32_t)record.len);
    wr_bytes(&w, record);
    if (t->s->ahead.first == 0)
        t->s->ahead.first = seq;
}

void ahead_note(struct log_txn *t, struct bytes group, uint64_t epoch, uint64_t seq, struct bytes note)
{
    size_t len = 2 + group.len + 8 + 8 + 4 + note.len;
    uint8_t *p = more(t, len);
    if (p == NULL)
        return;
    struct wr w = wr_over(p, len);
    wr_u8(&w, KEPT_NOTE);
    wr_u8(&w, (uint8_t)group.len);
    wr_bytes(&w, group);
    wr_u64(&w, epoch);
    wr_u64(&w, seq);
    wr_u32(&w, (uint32_t)note.len);
    wr_bytes(&w, note);
}

/* first: where there is none yet. Any other reach comes with what is taken away, and that is not kept. */
void ahead_reach(struct log_txn *t, uint64_t seq, bool first)
{
    uint8_t *p = first ? more(t, 1 + 8) : NULL;
    t->keeps &= first;
    if (p == NULL)
        return;
    struct wr w = wr_over(p, 1 + 8);
    wr_u8(&w, KEPT_REACH);
    wr_u64(&w, seq);
}

static void keep_extra(struct log_txn *t, struct bytes extra)
{
    size_t len = 1 + 4 + extra.len;
    uint8_t *p = more(t, len);
    if (p == NULL)
        return;
    struct wr w = wr_over(p, len);
    wr_u8(&w, KEPT_EXTRA);
    wr_u32(&w, (uint32_t)extra.len);
    wr_bytes(&w, extra);
}

/* --- ahead of the log -------------------------------------------------------------------------------------------------- */
static void seal(struct ahead *a, struct ahead_frame *f)
{
    static const uint8_t none[HASH];
    struct bytes body = bytes_of(a->buf + HEAD, a->len - HEAD);
    struct wr w = wr_over(a->buf, HEAD);
    wr_bytes(&w, bytes_of(magic, sizeof magic));
    wr_u64(&w, f->number);
    wr_u64(&w, body.len);
    hash_of(f->hash, a->n > 0 ? a->frame[a->n - 1].hash : none, a->buf, body);
    wr_bytes(&w, bytes_of(f->hash, HASH));
    wr_u64(&w, 0);
    memset(a->buf + a->len, 0, f->len - a->len);
}

MUST_USE enum err log_ahead(struct log_txn *t, struct bytes extra, struct fault *fault)
{
    struct store *s = t->s;
    struct ahead *a = &s->ahead;
    if (extra.len > 0)
        keep_extra(t, extra);
    if (!t->keeps || t->cuts || a->first == 0)
        return ERR_LIMIT;
    if (a->doubt)
        return fault_set(fault, ERR_STORE, "%s/log/ahead: not settled", s->dir);
    struct ahead_frame f = { .at = a->done ? 0 : a->end, .len = blocks(a->len), .first = a->first, .last = t->last };
    if (f.at + f.len > RING || (!a->done && a->n == FRAMES_MOST))
        return ERR_LIMIT;
    if (a->done)
        a->n = 0;
    a->done = false;
    f.number = (a->n > 0 ? a->frame[a->n - 1].number : a->number) + 1;
    seal(a, &f);
    frame_push(a, &f);
    if (file_put_at(a->fd, a->buf, f.len, (off_t)f.at) && sync_it(s)) {
        t->is_ahead = true;
        return OK;
    }
    enum err err = failed(fault, "write", s);
    if (void_from(s, a->n - 1, NULL) == OK)
        return err == ERR_FULL ? ERR_LIMIT : err;       /* the log may have free pages where the disk has no block */
    return err == ERR_FULL ? ERR_STORE : err;           /* the disk may have it: log_settle empties it before anything else */
}

bool log_ahead_filled(const struct store *s)
{
    const struct ahead *a = &s->ahead;
    return a->open && !a->done && (a->end > RING - AHEAD_MAX || a->n >= FRAMES_FILLED);
}

void log_ahead_anew(struct store *s) { s->ahead.done = !s->ahead.doubt; }

/* --- back into the log ------------------------------------------------------------------------------------------------- */
static enum err put_items(struct log_txn *t, struct bytes body, struct fault *fault)
{
    struct rd r = rd_over(body);
    struct item item;
    enum err err = OK;
    while (err == OK && rd_left(&r) > 0) {
        if ((err = item_read(&r, &item)) != OK)
            return fault_set(fault, err, "does not read");
        if (item.kind == KEPT_RECORD)
            err = log_append(t, item.seq, item.bytes, fault);
        else if (item.kind == KEPT_NOTE)
            err = lognote_put(t, item.group, item.epoch, item.seq, item.bytes, fault);
        else if (item.kind == KEPT_REACH)
            err = lognote_reach_put(t, item.seq, true, fault);
    }
    return err;
}

/* *joined: so many frames are of this log; those behind are of another, or of none. */
static enum err put_frames(struct log_txn *t, struct frames *f, size_t *joined, bool *put, struct fault *fault)
{
    enum err err = OK;
    *put = false;
    for (*joined = 0; err == OK && frames_next(f); ++*joined) {
        uint64_t first, last;
        bool reads = span(f->body, &first, &last) == OK && first > 0;
        if (reads && !t->empty && last <= t->last)
            continue;
        if (!reads || (!t->empty && first != t->last + 1))
            break;
        *put = true;
        err = put_items(t, f->body, fault);
    }
    return err;
}

static enum err settle(struct store *s, size_t *joined, struct fault *fault)
{
    struct log_txn *t = NULL;
    struct frames f;
    bool put = false;
    enum err err = frames_open(&f, s, fault);
    if (err != OK)
        return err;
    if ((err = log_begin(s, &t, fault)) == OK)
        err = put_frames(t, &f, joined, &put, fault);
    frames_close(&f);
    if (err == OK && put)
        return log_commit(t, fault);
    log_abort(t);
    return err;
}

MUST_USE enum err log_settle(struct store *s, struct fault *fault)
{
    struct ahead *a = &s->ahead;
    size_t joined = 0;
    if (!a->doubt)
        return OK;
    enum err err = a->torn < a->n ? void_from(s, a->torn, fault) : OK;
    if (err == OK)
        err = frames_load(s, fault);
    if (err == OK && (err = settle(s, &joined, fault)) == OK)
        err = void_from(s, joined, fault);
    a->doubt = err != OK;
    if (err == OK && hold_is_lost(&s->hold))
        hold_drop(&s->hold);
    return err;
}

static enum err give_extra(struct bytes body, log_extra_fn *fn, void *arg, struct fault *fault)
{
    struct rd r = rd_over(body);
    struct item item;
    enum err err = OK;
    while (err == OK && rd_left(&r) > 0)
        if ((err = item_read(&r, &item)) == OK && item.kind == KEPT_EXTRA)
            err = fn(arg, item.bytes, fault);
    return err;
}

/* A reader beside the core: a frame that is being written has nothing for him. */
MUST_USE enum err log_extras(struct store *s, log_extra_fn *fn, void *arg, struct fault *fault)
{
    struct frames f;
    if (s->magic.role != STORE_CORE)
        return OK;
    if (s->ahead.doubt)
        return fault_set(fault, ERR_NOTNOW, "the log is not settled");
    enum err err = frames_open(&f, s, fault);
    if (err != OK)
        return err;
    while (err == OK && frames_next(&f))
        err = give_extra(f.body, fn, arg, fault);
    frames_close(&f);
    return err;
}

MUST_USE enum err ahead_newest(struct store *s, uint64_t *last, struct fault *fault)
{
    uint64_t first, begin, end;
    struct frames f;
    enum err err = log_range(s, &first, last);
    if (err != OK || (err = frames_open(&f, s, fault)) != OK)
        return err;
    while (frames_next(&f) && span(f.body, &begin, &end) == OK && begin > 0 && (end <= *last || begin == *last + 1 || *last == 0))
        *last = end > *last ? end : *last;
    frames_close(&f);
    return OK;
}

/* --- life --------------------------------------------------------------------------------------------------------------- */
static enum err file_open(struct store *s, struct fault *fault)
{
    char path[STORE_PATH_MAX];
    if (file_path(path, sizeof path, s->dir, "log/ahead") != OK)
        return fault_set(fault, ERR_LIMIT, "%s: path is too long", s->dir);
    s->ahead.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->ahead.fd < 0 || !make_room(s))
        return failed(fault, "make", s);
    return s->volatile_data ? OK : file_sync_folder(path, fault);
}

/* Where a full disk has no room for the file all goes without it, for deletes have to go on. */
MUST_USE enum err ahead_open(struct store *s, struct fault *fault)
{
    struct ahead *a = &s->ahead;
    if (s->magic.role != STORE_CORE || !store_writable(s))
        return OK;
    *a = (struct ahead){ .tried = true, .fd = -1, .torn = SIZE_MAX };
    if ((a->frame = calloc(FRAMES_MOST, sizeof *a->frame)) == NULL)
        return ERR_NOMEM;
    enum err err = file_open(s, fault);
    a->open = err == OK;
    a->doubt = a->fd >= 0 && (err == OK || err == ERR_FULL);
    return a->doubt ? log_settle(s, fault) : err == ERR_FULL ? OK : err;
}

void ahead_close(struct store *s)
{
    struct ahead *a = &s->ahead;
    if (a->tried && a->fd >= 0)
        (void)close(a->fd);
    free(a->frame);
    free(a->buf);
    *a = (struct ahead){ 0 };
}
