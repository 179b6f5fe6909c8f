/* Snapshots to and from file descriptors. FORMAT.md section 9:
 *
 *     opening   "azoth-snapshot" | format u16 | length u32 | [role, head, head signature] | hash of all that
 *     chunk     entries u32 | raw u32 | stored u32 | hash | stored bytes                       ... each
 *     manifest  0 u32 | length u32 | manifest
 *     trailer   offset of the manifest's 0 u64 | hash of length and manifest | "azoth-snapshot-end"
 *     book      of a core's backup (bookcopy.h) */
#include "store/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/msg.h"
#include "store/bookcopy.h"
#include "store/internal.h"

#define MAGIC "azoth-snapshot"
#define MAGIC_LEN 14
#define FRONT (MAGIC_LEN + 2 + 4)
#define OPENING_MAX 1024            /* [role, head, signature] */
#define END SNAPSHOT_END
#define END_LEN SNAPSHOT_END_LEN
#define TRAILER SNAPSHOT_TRAILER
#define MANIFEST_MAX SNAPSHOT_MANIFEST_MAX
#define STEP ((size_t)1 << 20)

/* --- writing ------------------------------------------------------------------------------------------------------ */
struct out {
    int fd;
    uint64_t at;                    /* bytes written */
    struct snapshot_pack *pack;
    struct snapshot_manifest manifest;
    uint8_t *table;
    size_t table_len, table_cap;
    uint64_t entries, bytes;
    snapshot_go_fn *go;
    void *arg;
};

static enum err put(struct out *o, struct bytes b, struct fault *fault)
{
    for (size_t at = 0; at < b.len;) {
        ssize_t n = write(o->fd, b.ptr + at, b.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault_set(fault, errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO,
                             "cannot write: %s", strerror(errno));
        at += (size_t)n;
    }
    o->at += b.len;
    return OK;
}

static enum err put_opening(struct out *o, struct fault *fault)
{
    uint8_t body[OPENING_MAX], buf[FRONT + OPENING_MAX + SNAPSHOT_HASH_LEN];
    const struct snapshot_about *a = &o->manifest.about;
    struct wr in = wr_over(body, sizeof body), w = wr_over(buf, sizeof buf);
    msg_put_array(&in, 3);
    msg_put_uint(&in, (uint64_t)a->role);
    msg_put_bin(&in, bytes_of(a->signed_head.body, a->signed_head.len));
    msg_put_bin(&in, bytes_of(a->signed_head.sig, HEAD_SIG_LEN));
    wr_put(&w, MAGIC, MAGIC_LEN);
    wr_u16(&w, SNAPSHOT_FORMAT);
    wr_u32(&w, (uint32_t)in.len);
    wr_bytes(&w, wr_done(&in));
    size_t len = w.len;
    uint8_t *hash = wr_room(&w, SNAPSHOT_HASH_LEN);
    if (in.full || hash == NULL)
        return ERR_LIMIT;
    (void)crypto_generichash(hash, SNAPSHOT_HASH_LEN, buf, len, NULL, 0);
    return put(o, wr_done(&w), fault);
}

static enum err table_add(struct out *o, const struct snapshot_chunk *c)
{
    if (o->table_cap - o->table_len < SNAPSHOT_ROW) {
        size_t cap = o->table_cap == 0 ? 64 * SNAPSHOT_ROW : 2 * o->table_cap;
        uint8_t *more = realloc(o->table, cap);
        if (more == NULL)
            return ERR_NOMEM;
        o->table = more;
        o->table_cap = cap;
    }
    struct wr w = wr_over(o->table + o->table_len, SNAPSHOT_ROW);
    snapshot_row_put(&w, c);
    o->table_len += w.len;
    return OK;
}

static enum err put_chunk(struct out *o, struct fault *fault)
{
    struct snapshot_chunk c;
    struct bytes stored;
    if (snapshot_pack_entries(o->pack) == 0)
        return OK;
    enum err err = snapshot_pack_end(o->pack, &c, &stored);
    if (err != OK || (err = table_add(o, &c)) != OK)
        return err;
    if ((err = put(o, bytes_of(o->table + o->table_len - SNAPSHOT_ROW, SNAPSHOT_ROW), fault)) != OK ||
        (err = put(o, stored, fault)) != OK)
        return err;
    return o->go == NULL || o->go(o->arg, o->entries) ? OK : fault_set(fault, ERR_NOTNOW, "stopped");
}

static enum err put_namespace(struct out *o, struct view *v, struct bytes ns, struct fault *fault)
{
    struct cursor *c = NULL;
    struct entry e;
    enum err err = cursor_open(v, ns, &c);
    if (err == OK)
        err = cursor_seek(c, bytes_of("", 0), &e);
    for (; err == OK; err = cursor_next(c, &e)) {
        if (!snapshot_pack_add(o->pack, ns, &e)) {
            if ((err = put_chunk(o, fault)) != OK)
                break;
            (void)snapshot_pack_add(o->pack, ns, &e);
        }
        o->entries++;
        o->bytes += e.key.len + e.value.len;
    }
    cursor_close(c);
    return err == ERR_NOTFOUND ? OK : err;
}

static enum err put_entries(struct out *o, struct view *v, struct fault *fault)
{
    char (*names)[STORE_NS_MAX + 1] = malloc(STORE_NAMESPACES_MAX * sizeof *names);
    size_t n = 0;
    if (names == NULL)
        return ERR_NOMEM;
    enum err err = view_namespaces(v, names, &n);
    for (size_t i = 0; i < n && err == OK; i++)
        err = put_namespace(o, v, bytes_of_text(names[i]), fault);
    free(names);
    if (err == OK)
        err = put_chunk(o, fault);
    const struct head *h = &o->manifest.about.head;
    if (err == OK && (o->entries != h->keys || o->bytes != h->bytes))
        return fault_set(fault, ERR_DIGEST, "the store holds %llu entries of %llu bytes, its head says %llu of %llu",
                         (unsigned long long)o->entries, (unsigned long long)o->bytes, (unsigned long long)h->keys,
                         (unsigned long long)h->bytes);
    return err;
}

static enum err put_end(struct out *o, struct fault *fault)
{
    uint8_t trailer[TRAILER], hash[SNAPSHOT_HASH_LEN];
    uint64_t offset = o->at;
    o->manifest.table = bytes_of(o->table, o->table_len);
    size_t cap = 8 + snapshot_manifest_size(&o->manifest);
    struct wr w = wr_over(malloc(cap), cap), t = wr_over(trailer, sizeof trailer);
    if (w.buf == NULL)
        return ERR_NOMEM;
    wr_u32(&w, 0);
    wr_u32(&w, 0);
    snapshot_manifest_put(&w, &o->manifest);
    struct wr length = wr_over(w.buf + 4, 4);
    wr_u32(&length, (uint32_t)(w.len - 8));
    (void)crypto_generichash(hash, sizeof hash, w.buf + 4, w.len - 4, NULL, 0);
    wr_u64(&t, offset);
    wr_put(&t, hash, sizeof hash);
    wr_put(&t, END, END_LEN);
    enum err err = w.full || w.len > MANIFEST_MAX ? ERR_LIMIT : put(o, wr_done(&w), fault);
    if (err == OK)
        err = put(o, wr_done(&t), fault);
    free(w.buf);
    return err;
}

static enum err files_set(struct snapshot_manifest *m, const struct snapshot_file *files, size_t n, struct fault *fault)
{
    if (n > SNAPSHOT_FILES_MAX)
        return fault_set(fault, ERR_LIMIT, "more than %d files", SNAPSHOT_FILES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (files[i].bytes.len > SNAPSHOT_FILE_MAX)
            return fault_set(fault, ERR_LIMIT, "%s is longer than %zu bytes", files[i].name, SNAPSHOT_FILE_MAX);
        m->files[i] = files[i];
    }
    m->files_n = n;
    return OK;
}

MUST_USE enum err snapshot_write(int fd, struct view *v, enum store_role role, const struct snapshot_file *files,
                                 size_t n, snapshot_go_fn *go, void *arg, struct snapshot_totals *out,
                                 struct fault *fault)
{
    struct out *o = calloc(1, sizeof *o);
    if (o == NULL)
        return ERR_NOMEM;
    *o = (struct out){ .fd = fd, .go = go, .arg = arg };
    struct snapshot_about *a = &o->manifest.about;
    a->role = role;
    enum err err = view_head(v, &a->head, &a->signed_head);
    if (err == OK && (err = files_set(&o->manifest, files, n, fault)) == OK &&
        (err = snapshot_pack_open(&o->pack)) == OK && (err = put_opening(o, fault)) == OK &&
        (err = put_entries(o, v, fault)) == OK)
        err = put_end(o, fault);
    if (err == OK) {
        *out = (struct snapshot_totals){ .entries = o->entries, .bytes = o->at,
                                         .chunks = o->table_len / SNAPSHOT_ROW };
        for (size_t i = 0; i < out->chunks; i++) {
            struct snapshot_chunk c = snapshot_row(o->manifest.table, i);
            out->raw += c.raw;
            out->stored += c.stored;
        }
    }
    snapshot_pack_close(o->pack);
    free(o->table);
    free(o);
    return err;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
struct snapshot_reader {
    int fd;
    uint64_t at;                    /* bytes read */
    struct snapshot_about about;
    struct snapshot_unpack *unpack;
    uint8_t *stored;
    uint8_t *table;                 /* rows of the chunks that came */
    size_t table_len, table_cap;
    uint64_t raw_before;
    bool ended, has_book;
    uint8_t *end;                   /* length and manifest */
    struct snapshot_manifest manifest;
};

/* ERR_SHORT: fewer than n bytes are left. */
static enum err take(struct snapshot_reader *r, void *buf, size_t n, struct fault *fault)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = read(r->fd, (uint8_t *)buf + at, n - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_set(fault, ERR_IO, "cannot read: %s", strerror(errno));
        if (got == 0)
            return fault_set(fault, ERR_SHORT, "cut off after %llu bytes", (unsigned long long)(r->at + at));
        at += (size_t)got;
    }
    r->at += n;
    return OK;
}

static enum err wrong(struct fault *fault, const char *what)
{
    return fault_set(fault, ERR_BAD, "damaged: %s", what);
}

static enum err opening_parse(struct snapshot_reader *r, struct bytes body)
{
    struct rd rd = rd_over(body);
    uint32_t n = msg_array(&rd);
    uint64_t role = msg_uint(&rd);
    struct bytes head = msg_bin(&rd), sig = msg_bin(&rd);
    msg_skip_rest(&rd, n, 3);
    struct rd h = rd_over(head);
    struct snapshot_about *a = &r->about;
    if (n < 3 || !rd_done(&rd) || (role != STORE_CORE && role != STORE_EDGE) || sig.len != HEAD_SIG_LEN ||
        head.len > HEAD_MAX || head_read(&h, &a->head) != OK || !rd_done(&h))
        return ERR_BAD;
    a->role = (enum store_role)role;
    memcpy(a->signed_head.body, head.ptr, head.len);
    memcpy(a->signed_head.sig, sig.ptr, HEAD_SIG_LEN);
    a->signed_head.len = head.len;
    return OK;
}

static enum err opening_take(struct snapshot_reader *r, struct fault *fault)
{
    uint8_t buf[FRONT + OPENING_MAX + SNAPSHOT_HASH_LEN] = { 0 }, hash[SNAPSHOT_HASH_LEN];
    enum err err = take(r, buf, FRONT, fault);
    if (err == ERR_IO)
        return err;
    if (memcmp(buf, MAGIC, MAGIC_LEN) != 0 && (err == OK || r->at == 0))
        return fault_set(fault, err == OK ? ERR_BAD : err, "not a backup of an azoth store");
    if (err != OK)
        return err;
    struct rd front = rd_over(bytes_of(buf + MAGIC_LEN, FRONT - MAGIC_LEN));
    uint16_t format = rd_u16(&front);
    size_t len = rd_u32(&front);
    if (format > SNAPSHOT_FORMAT)
        return fault_set(fault, ERR_FORMAT, "backup format %u, this program knows format %d only", format,
                         SNAPSHOT_FORMAT);
    if (format == 0 || len > OPENING_MAX)
        return wrong(fault, "its opening");
    if ((err = take(r, buf + FRONT, len + SNAPSHOT_HASH_LEN, fault)) != OK)
        return err;
    (void)crypto_generichash(hash, sizeof hash, buf, FRONT + len, NULL, 0);
    if (memcmp(hash, buf + FRONT + len, sizeof hash) != 0 || opening_parse(r, bytes_of(buf + FRONT, len)) != OK)
        return wrong(fault, "its opening");
    return OK;
}

/* A file that was cut off lacks its end; told before anything is begun. */
static enum err end_look(const struct snapshot_reader *r, struct fault *fault)
{
    struct stat st;
    uint8_t end[END_LEN];
    static_assert(BOOKCOPY_END_LEN < END_LEN, "one look is enough");
    off_t here = lseek(r->fd, 0, SEEK_CUR);
    if (here < 0 || fstat(r->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return OK;                  /* a pipe: seen when it gets there */
    if (st.st_size - here < TRAILER || pread(r->fd, end, END_LEN, st.st_size - END_LEN) != END_LEN ||
        (memcmp(end, END, END_LEN) != 0
         && memcmp(end + END_LEN - BOOKCOPY_END_LEN, BOOKCOPY_END, BOOKCOPY_END_LEN) != 0))
        return fault_set(fault, ERR_SHORT, "cut off after %lld bytes, or something was appended to it",
                         (long long)st.st_size);
    return OK;
}

MUST_USE enum err snapshot_reader_open(struct snapshot_reader **out, int fd, struct fault *fault)
{
    struct snapshot_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NOMEM;
    r->fd = fd;
    enum err err = opening_take(r, fault);
    if (err == OK && (err = end_look(r, fault)) == OK && (r->stored = malloc(SNAPSHOT_STORED_MAX)) == NULL)
        err = ERR_NOMEM;
    if (err == OK)
        err = snapshot_unpack_open(&r->unpack, &r->about.head);
    if (err != OK) {
        snapshot_reader_close(r);
        return err;
    }
    *out = r;
    return OK;
}

void snapshot_reader_close(struct snapshot_reader *r)
{
    if (r == NULL)
        return;
    snapshot_unpack_close(r->unpack);
    free(r->stored);
    free(r->table);
    free(r->end);
    free(r);
}

const struct snapshot_about *snapshot_reader_about(const struct snapshot_reader *r) { return &r->about; }
const struct snapshot_manifest *snapshot_reader_manifest(const struct snapshot_reader *r) { return &r->manifest; }
bool snapshot_reader_has_book(const struct snapshot_reader *r) { return r->has_book; }

/* Two neighbours are longer than SNAPSHOT_CHUNK together, so the table stays small beside what was read. */
static enum err row_keep(struct snapshot_reader *r, const uint8_t row[SNAPSHOT_ROW], const struct snapshot_chunk *c,
                         struct fault *fault)
{
    if (c->raw > SNAPSHOT_RAW_MAX || c->stored > SNAPSHOT_STORED_MAX ||
        (r->table_len > 0 && r->raw_before + c->raw <= SNAPSHOT_CHUNK))
        return fault_set(fault, ERR_BAD, "chunk %zu is damaged: impossible sizes", r->table_len / SNAPSHOT_ROW + 1);
    if (r->table_cap - r->table_len < SNAPSHOT_ROW) {
        size_t cap = r->table_cap == 0 ? 64 * SNAPSHOT_ROW : 2 * r->table_cap;
        uint8_t *more = realloc(r->table, cap);
        if (more == NULL)
            return ERR_NOMEM;
        r->table = more;
        r->table_cap = cap;
    }
    memcpy(r->table + r->table_len, row, SNAPSHOT_ROW);
    r->table_len += SNAPSHOT_ROW;
    r->raw_before = c->raw;
    return OK;
}

/* n bytes behind `have` others, in memory that grows as they come. */
static enum err take_growing(struct snapshot_reader *r, uint8_t **buf, size_t have, size_t n, struct fault *fault)
{
    enum err err = OK;
    for (size_t at = 0; at < n && err == OK;) {
        size_t step = n - at < STEP + at ? n - at : STEP + at;
        uint8_t *more = realloc(*buf, have + at + step);
        if (more == NULL)
            return ERR_NOMEM;
        *buf = more;
        err = take(r, *buf + have + at, step, fault);
        at += step;
    }
    return err;
}

static bool same_about(const struct snapshot_about *a, const struct snapshot_about *b)
{
    return a->role == b->role && a->signed_head.len == b->signed_head.len &&
           memcmp(a->signed_head.body, b->signed_head.body, a->signed_head.len) == 0 &&
           memcmp(a->signed_head.sig, b->signed_head.sig, HEAD_SIG_LEN) == 0;
}

/* Behind the trailer: nothing, or a book. */
static enum err behind_look(struct snapshot_reader *r, struct fault *fault)
{
    uint8_t magic[BOOKCOPY_MAGIC_LEN];
    struct fault why = { "" };
    enum err err = take(r, magic, 1, &why);
    if (err == ERR_SHORT)
        return OK;
    if (err == OK && magic[0] == BOOKCOPY_MAGIC[0] && (err = take(r, magic + 1, sizeof magic - 1, &why)) == OK)
        r->has_book = memcmp(magic, BOOKCOPY_MAGIC, sizeof magic) == 0;
    if (err == ERR_IO)
        return fault_set(fault, err, "%s", why.text);
    return r->has_book ? OK : wrong(fault, "bytes behind its end");
}

static enum err trailer_check(struct snapshot_reader *r, uint64_t offset, size_t len, struct fault *fault)
{
    uint8_t have[TRAILER], want[TRAILER], hash[SNAPSHOT_HASH_LEN];
    struct wr w = wr_over(want, sizeof want);
    enum err err = take(r, have, TRAILER, fault);
    if (err != OK)
        return err;
    (void)crypto_generichash(hash, sizeof hash, r->end, len, NULL, 0);
    wr_u64(&w, offset);
    wr_put(&w, hash, sizeof hash);
    wr_put(&w, END, END_LEN);
    if (memcmp(have, want, TRAILER) != 0)
        return wrong(fault, "its manifest or trailer");
    return behind_look(r, fault);
}

/* Behind the manifest's 0, of which the next 8 bytes are read already. */
static enum err end_take(struct snapshot_reader *r, struct bytes read_already, struct fault *fault)
{
    uint64_t offset = r->at - 4 - read_already.len;
    struct rd rd = rd_over(read_already);
    size_t len = rd_u32(&rd), early = rd_left(&rd);
    if (len > MANIFEST_MAX || len < early)
        return wrong(fault, "its manifest's length");
    if ((r->end = malloc(read_already.len)) == NULL)
        return ERR_NOMEM;
    memcpy(r->end, read_already.ptr, read_already.len);
    enum err err = take_growing(r, &r->end, read_already.len, len - early, fault);
    if (err == OK)
        err = trailer_check(r, offset, 4 + len, fault);
    if (err != OK)
        return err;
    struct snapshot_manifest *m = &r->manifest;
    err = snapshot_manifest_read(bytes_of(r->end + 4, len), m);
    if (err == ERR_FORMAT)
        return fault_set(fault, err, "its manifest was made by a newer version");
    if (err != OK || !same_about(&m->about, &r->about) || !bytes_equal(m->table, bytes_of(r->table, r->table_len)))
        return wrong(fault, "its manifest does not fit what stands before it");
    if ((err = snapshot_unpack_end(r->unpack, fault)) == OK)
        r->ended = true;
    return err;
}

MUST_USE enum err snapshot_reader_next(struct snapshot_reader *r, const struct op **ops, size_t *n, struct fault *fault)
{
    uint8_t row[SNAPSHOT_ROW];
    struct snapshot_chunk c;
    if (r->ended)
        return ERR_NOTFOUND;
    enum err err = take(r, row, 12, fault);
    if (err != OK)
        return err;
    struct rd first = rd_over(bytes_of(row, 12));
    if (rd_u32(&first) == 0)
        return (err = end_take(r, bytes_of(row + 4, 8), fault)) == OK ? ERR_NOTFOUND : err;
    if ((err = take(r, row + 12, SNAPSHOT_ROW - 12, fault)) != OK)
        return err;
    c = snapshot_row(bytes_of(row, sizeof row), 0);
    if ((err = row_keep(r, row, &c, fault)) != OK || (err = take(r, r->stored, c.stored, fault)) != OK)
        return err;
    return snapshot_unpack_chunk(r->unpack, &c, bytes_of(r->stored, c.stored), ops, n, fault);
}
