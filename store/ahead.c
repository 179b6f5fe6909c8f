/* A transaction of a core's log, safe with one flush: written ahead of the log into a file of its own, which is overwritten in
 * place. LMDB needs two flushes one behind the other (pages, then the page that points to them); with this they may come later,
 * and the log needs the first of them only.
 *
 *     log_ahead: DIR/log/ahead.N, synced ─► (subscribers may hear of it) ─► log_commit, its meta page not synced
 *     log_settle: what the files have and the log has not goes into the log, at an open and behind a failure
 *
 *     file    "AZAH" | version u32 | number u64 | length u64 | hash (32, of number, length and body) | 0 u64 | body | zeros
 *     body    { 1 | seq u64 | length u32 | record }  { 2 | group length u8 | group | epoch u64 | seq u64 | length u32 | note }
 *             { 3 | seq u64 }: the notes' reach      { 4 | length u32 | extra }
 *
 * Two files take turns: an unsynced meta page is on the disk when the next commit's pages are, so what is overwritten is in the log for
 * good. Transactions with an extra have two of their own: their reader's commits (records.h of the builder) are such that he needs
 * the newest two of them. A transaction stands in the log, or whole in a file, or nowhere. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define HEAD 64
#define HASH 32
#define BLOCK ((size_t)4096)
#define ROOM_AT_FIRST (16 * BLOCK)      /* made with zeros: an overwritten block needs no news from the file system */
#define FILE_MAX (AHEAD_MAX + BLOCK)
static const uint8_t magic[8] = { 'A', 'Z', 'A', 'H', 0, 0, 0, 1 };
enum { KEPT_RECORD = 1, KEPT_NOTE, KEPT_REACH, KEPT_EXTRA };

/* --- files -------------------------------------------------------------------------------------------------------- */
static enum err failed(struct fault *fault, const char *what, const struct store *s, unsigned file)
{
    int rc = errno;
    enum err err = rc == ENOSPC || rc == EDQUOT ? ERR_FULL : ERR_STORE;
    return fault_set(fault, err, "cannot %s %s/log/ahead.%u: %s", what, s->dir, file, strerror(rc));
}

static bool put_all(int fd, const uint8_t *p, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pwrite(fd, p + at, len - at, (off_t)at);
        if (n <= 0) {
            if (n < 0 && errno == EINTR)
                continue;
            errno = n == 0 ? EIO : errno;
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

static bool sync_one(const struct store *s, int fd) { return s->volatile_data || fdatasync(fd) == 0; }

static bool make_room(const struct store *s, int fd)
{
    static const uint8_t zeros[ROOM_AT_FIRST];
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    return st.st_size > 0 || (put_all(fd, zeros, sizeof zeros) && (s->volatile_data || fsync(fd) == 0));
}

static void hash_of(uint8_t out[HASH], const uint8_t *front, struct bytes body)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH);
    crypto_generichash_update(&state, front + 8, 16);
    crypto_generichash_update(&state, body.ptr, body.len);
    crypto_generichash_final(&state, out, HASH);
}

struct kept { uint8_t *file; uint64_t number; struct bytes body; };

/* number 0: there is nothing. */
static enum err file_load(const struct store *s, unsigned i, struct kept *out, struct fault *fault)
{
    char path[STORE_PATH_MAX], name[32];
    uint8_t hash[HASH];
    struct bytes file;
    *out = (struct kept){ 0 };
    (void)snprintf(name, sizeof name, "log/ahead.%u", i);
    enum err err = file_path(path, sizeof path, s->dir, name);
    if (err != OK || (err = file_read(path, FILE_MAX, &file, fault)) != OK)
        return err == ERR_NOTFOUND || err == ERR_LIMIT ? OK : err;
    struct rd r = rd_over(file);
    struct bytes front = rd_take(&r, HEAD);
    struct rd f = rd_over(front);
    bool ours = front.len == HEAD && memcmp(rd_take(&f, sizeof magic).ptr, magic, sizeof magic) == 0;
    uint64_t number = rd_u64(&f), len = rd_u64(&f);
    struct bytes said = rd_take(&f, HASH), body = { 0 };
    if (ours && len <= rd_left(&r)) {
        body = bytes_of(r.p, (size_t)len);
        hash_of(hash, front.ptr, body);
    }
    if (body.ptr == NULL || memcmp(hash, said.ptr, HASH) != 0) {
        free((void *)(uintptr_t)file.ptr);
        return OK;
    }
    *out = (struct kept){ (uint8_t *)(uintptr_t)file.ptr, number, body };
    return OK;
}

static void kept_free(struct kept *k, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(k[i].file);
}

static enum err void_one(struct store *s, unsigned i, struct fault *fault)
{
    static const uint8_t zeros[HEAD];
    if (pwrite(s->ahead.fd[i], zeros, HEAD, 0) != HEAD || !sync_one(s, s->ahead.fd[i]))
        return failed(fault, "empty", s, i);
    s->ahead.number[i] = 0;
    s->ahead.torn[i] = false;
    return OK;
}

MUST_USE enum err ahead_void(struct store *s, uint64_t seq, struct fault *fault)
{
    enum err err = OK;
    for (unsigned i = 0; i < AHEAD_FILES && s->ahead.open && err == OK; i++)
        if (s->ahead.number[i] != 0 && s->ahead.last[i] > seq)
            err = void_one(s, i, fault);
    return err;
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
static size_t seal(struct ahead *a, uint64_t number)
{
    struct bytes body = bytes_of(a->buf + HEAD, a->len - HEAD);
    struct wr w = wr_over(a->buf, HEAD);
    size_t whole = (a->len + BLOCK - 1) / BLOCK * BLOCK;
    uint8_t hash[HASH];
    wr_bytes(&w, bytes_of(magic, sizeof magic));
    wr_u64(&w, number);
    wr_u64(&w, body.len);
    hash_of(hash, a->buf, body);
    wr_bytes(&w, bytes_of(hash, sizeof hash));
    wr_u64(&w, 0);
    memset(a->buf + a->len, 0, whole - a->len);
    return whole;
}

static uint64_t newest(const struct ahead *a)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < AHEAD_FILES; i++)
        number = a->number[i] > number ? a->number[i] : number;
    return number;
}

MUST_USE enum err log_ahead(struct log_txn *t, struct bytes extra, struct fault *fault)
{
    struct ahead *a = &t->s->ahead;
    if (extra.len > 0)
        keep_extra(t, extra);
    if (!t->keeps || t->cuts)
        return ERR_LIMIT;
    unsigned file = (extra.len > 0 ? 2 : 0);
    file += a->number[file + 1] < a->number[file];
    uint64_t number = newest(a) + 1;
    size_t len = seal(a, number);
    a->number[file] = number;
    a->last[file] = t->last;
    if (put_all(a->fd[file], a->buf, len) && sync_one(t->s, a->fd[file])) {
        t->is_ahead = true;
        return OK;
    }
    enum err err = failed(fault, "write", t->s, file);
    if (void_one(t->s, file, NULL) == OK)
        return err == ERR_FULL ? ERR_LIMIT : err;       /* the log may have free pages where the disk has no block */
    a->doubt = a->torn[file] = true;    /* whoever reads it next decides */
    return err == ERR_FULL ? ERR_STORE : err;
}

/* --- back into the log ------------------------------------------------------------------------------------------------- */
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

/* *joins false: it is of another log, or of none. */
static enum err settle_one(struct store *s, const struct kept *k, bool *joins, struct fault *fault)
{
    struct log_txn *t;
    uint64_t first, last;
    *joins = span(k->body, &first, &last) == OK && first > 0;
    if (!*joins)
        return OK;
    enum err err = log_begin(s, &t, fault);
    if (err != OK)
        return err;
    bool has = !t->empty && last <= t->last;
    *joins = has || t->empty || first == t->last + 1;
    if (has || !*joins) {
        log_abort(t);
        return OK;
    }
    if ((err = put_items(t, k->body, fault)) != OK) {
        log_abort(t);
        return err;
    }
    return log_commit(t, fault);
}

static enum err load_all(struct store *s, struct kept k[AHEAD_FILES], struct fault *fault)
{
    enum err err = OK;
    for (unsigned i = 0; i < AHEAD_FILES && err == OK; i++) {
        uint64_t first;
        err = file_load(s, i, &k[i], fault);
        s->ahead.number[i] = k[i].number;
        if (err == OK && span(k[i].body, &first, &s->ahead.last[i]) != OK)
            s->ahead.last[i] = 0;
    }
    return err;
}

/* In the order in which they were made. */
MUST_USE enum err log_settle(struct store *s, struct fault *fault)
{
    struct kept k[AHEAD_FILES] = { 0 };
    if (!s->ahead.doubt)
        return OK;
    enum err err = load_all(s, k, fault);
    for (uint64_t done = 0; err == OK;) {
        unsigned next = AHEAD_FILES;
        bool joins;
        for (unsigned i = 0; i < AHEAD_FILES; i++)
            if (k[i].number > done && (next == AHEAD_FILES || k[i].number < k[next].number))
                next = i;
        if (next == AHEAD_FILES)
            break;
        done = k[next].number;
        if ((err = settle_one(s, &k[next], &joins, fault)) == OK && !joins && s->ahead.open)
            err = void_one(s, next, fault);
    }
    /* what does not read here may still read from the disk, behind a crash */
    for (unsigned i = 0; i < AHEAD_FILES && err == OK; i++)
        if (s->ahead.torn[i])
            err = void_one(s, i, fault);
    kept_free(k, AHEAD_FILES);
    s->ahead.doubt = err != OK;
    return err;
}

/* A reader beside the core: a file that is being written has nothing for him. */
MUST_USE enum err log_extra(struct store *s, bool newer, struct bytes *out, struct fault *fault)
{
    struct kept k[2] = { { 0 }, { 0 } };
    struct item item = { 0 };
    if (store_writable(s) ? !s->ahead.open : s->magic.role != STORE_CORE)
        return ERR_NOTFOUND;
    enum err err = s->ahead.doubt ? fault_set(fault, ERR_NOTNOW, "the log is not settled") : OK;
    for (unsigned i = 0; i < 2 && err == OK; i++)
        err = file_load(s, 2 + i, &k[i], fault);
    struct rd r = rd_over(k[(k[1].number > k[0].number) == newer].body);
    while (err == OK && rd_left(&r) > 0 && item.kind != KEPT_EXTRA)
        err = item_read(&r, &item);
    if (err == OK && item.kind != KEPT_EXTRA)
        err = ERR_NOTFOUND;
    if (err == OK) {
        uint8_t *copy = malloc(item.bytes.len + 1);
        err = copy == NULL ? ERR_NOMEM : OK;
        if (copy != NULL)
            *out = bytes_of(memcpy(copy, item.bytes.ptr, item.bytes.len), item.bytes.len);
    }
    kept_free(k, 2);
    return err;
}

/* --- life --------------------------------------------------------------------------------------------------------------- */
static enum err open_one(struct store *s, unsigned i, struct fault *fault)
{
    char path[STORE_PATH_MAX], name[32];
    (void)snprintf(name, sizeof name, "log/ahead.%u", i);
    s->ahead.fd[i] = -1;
    if (file_path(path, sizeof path, s->dir, name) != OK)
        return fault_set(fault, ERR_LIMIT, "%s: path is too long", s->dir);
    s->ahead.fd[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return s->ahead.fd[i] >= 0 && make_room(s, s->ahead.fd[i]) ? OK : failed(fault, "make", s, i);
}

/* Where a full disk has no room for the files all goes without them, for deletes have to go on. */
MUST_USE enum err ahead_open(struct store *s, struct fault *fault)
{
    char path[STORE_PATH_MAX];
    enum err err = OK;
    if (s->magic.role != STORE_CORE || !store_writable(s))
        return OK;
    s->ahead.tried = true;
    for (unsigned i = 0; i < AHEAD_FILES; i++) {
        enum err one = open_one(s, i, fault);
        err = one == OK || (one == ERR_FULL && err != OK) ? err : one;
    }
    if (err == OK && !s->volatile_data && (err = file_path(path, sizeof path, s->dir, "log/ahead.0")) == OK)
        err = file_sync_folder(path, fault);
    s->ahead.open = err == OK;
    s->ahead.doubt = err == OK || err == ERR_FULL;
    return s->ahead.doubt ? log_settle(s, fault) : err;
}

void ahead_close(struct store *s)
{
    for (unsigned i = 0; i < AHEAD_FILES && s->ahead.tried; i++)
        if (s->ahead.fd[i] >= 0)
            (void)close(s->ahead.fd[i]);
    free(s->ahead.buf);
    s->ahead = (struct ahead){ 0 };
}
