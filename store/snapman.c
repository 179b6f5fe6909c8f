/* A snapshot's manifest: [format, role, head, head signature, entries, raw, stored, table, [[name, bytes], ...]] */
#include "store/snapshot.h"

#include <stdlib.h>

#include "base/msg.h"

#define ELEMENTS 9
#define ENTRY_FRAME 7               /* of an entry in a chunk, without a namespace's name */
#define MANIFEST_FRAME (1024 + HEAD_MAX + HEAD_SIG_LEN)     /* what is not table, with room for what newer versions add */

void snapshot_row_put(struct wr *w, const struct snapshot_chunk *c)
{
    wr_u32(w, c->entries);
    wr_u32(w, c->raw);
    wr_u32(w, c->stored);
    wr_put(w, c->hash, SNAPSHOT_HASH_LEN);
}

static void row_take(struct rd *r, struct snapshot_chunk *out)
{
    out->entries = rd_u32(r);
    out->raw = rd_u32(r);
    out->stored = rd_u32(r);
    struct bytes hash = rd_take(r, SNAPSHOT_HASH_LEN);
    if (hash.len == SNAPSHOT_HASH_LEN)
        memcpy(out->hash, hash.ptr, SNAPSHOT_HASH_LEN);
}

struct snapshot_chunk snapshot_row(struct bytes table, size_t i)
{
    struct snapshot_chunk c = { 0 };
    struct rd r = rd_over(bytes_of(table.ptr + i * SNAPSHOT_ROW, SNAPSHOT_ROW));
    row_take(&r, &c);
    return c;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */
size_t snapshot_manifest_size(const struct snapshot_manifest *m)
{
    size_t n = 256 + HEAD_MAX + HEAD_SIG_LEN + m->table.len;
    for (size_t i = 0; i < m->files_n; i++)
        n += 16 + SNAPSHOT_NAME_MAX + m->files[i].bytes.len;
    return n;
}

static void sums_take(struct snapshot_manifest *m)
{
    m->chunks = m->table.len / SNAPSHOT_ROW;
    m->entries = m->raw = m->stored = 0;
    for (size_t i = 0; i < m->chunks; i++) {
        struct snapshot_chunk c = snapshot_row(m->table, i);
        m->entries += c.entries;
        m->raw += c.raw;
        m->stored += c.stored;
    }
}

void snapshot_manifest_put(struct wr *w, const struct snapshot_manifest *manifest)
{
    struct snapshot_manifest m = *manifest;
    sums_take(&m);
    msg_put_array(w, ELEMENTS);
    msg_put_uint(w, SNAPSHOT_FORMAT);
    msg_put_uint(w, (uint64_t)m.about.role);
    msg_put_bin(w, bytes_of(m.about.signed_head.body, m.about.signed_head.len));
    msg_put_bin(w, bytes_of(m.about.signed_head.sig, HEAD_SIG_LEN));
    msg_put_uint(w, m.entries);
    msg_put_uint(w, m.raw);
    msg_put_uint(w, m.stored);
    msg_put_bin(w, m.table);
    msg_put_array(w, (uint32_t)m.files_n);
    for (size_t i = 0; i < m.files_n; i++) {
        msg_put_array(w, 2);
        msg_put_text(w, bytes_of_text(m.files[i].name));
        msg_put_bin(w, m.files[i].bytes);
    }
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
static bool file_name_fits(struct bytes name)
{
    if (name.len == 0 || name.len > SNAPSHOT_NAME_MAX || name.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
            return false;
    }
    return true;
}

static void files_take(struct rd *r, struct snapshot_manifest *m)
{
    uint32_t n = msg_array(r);
    if (!r->bad && n > SNAPSHOT_FILES_MAX)
        rd_fail(r);
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        uint32_t parts = msg_array(r);
        struct bytes name = msg_text(r), bytes = msg_bin(r);
        if (!r->bad && (parts != 2 || !file_name_fits(name) || bytes.len > SNAPSHOT_FILE_MAX ||
                        (i > 0 && bytes_compare(name, bytes_of_text(m->files[i - 1].name)) <= 0)))
            rd_fail(r);
        if (r->bad)
            return;
        memcpy(m->files[i].name, name.ptr, name.len);
        m->files[i].name[name.len] = '\0';
        m->files[i].bytes = bytes;
        m->files_n = i + 1;
    }
}

static void about_take(struct rd *r, struct snapshot_about *a)
{
    uint64_t role = msg_uint(r);
    struct bytes head = msg_bin(r), sig = msg_bin(r);
    struct rd h = rd_over(head);
    if (r->bad)
        return;
    if ((role != STORE_CORE && role != STORE_EDGE) || head.len > HEAD_MAX || sig.len != HEAD_SIG_LEN ||
        head_read(&h, &a->head) != OK || !rd_done(&h)) {
        rd_fail(r);
        return;
    }
    a->role = (enum store_role)role;
    memcpy(a->signed_head.body, head.ptr, head.len);
    a->signed_head.len = head.len;
    memcpy(a->signed_head.sig, sig.ptr, HEAD_SIG_LEN);
}

/* Each row possible, borders where a writer puts them, and sums that the head can have. */
static bool table_fits(const struct snapshot_manifest *m)
{
    const struct head *h = &m->about.head;
    uint64_t before = 0, most;
    for (size_t i = 0; i < m->chunks; i++) {
        struct snapshot_chunk c = snapshot_row(m->table, i);
        if (c.entries == 0 || c.raw > SNAPSHOT_RAW_MAX || c.stored > SNAPSHOT_STORED_MAX || c.stored == 0 ||
            (i > 0 && before + c.raw <= SNAPSHOT_CHUNK))
            return false;
        before = c.raw;
    }
    if (m->entries != h->keys || h->keys > UINT64_MAX / 16 || h->bytes > UINT64_MAX / 4)
        return false;
    most = h->bytes + ENTRY_FRAME * h->keys;
    return m->raw >= most && m->raw - most <= (m->chunks + STORE_NAMESPACES_MAX) * STORE_NS_MAX;
}

uint64_t snapshot_manifest_most(const struct head *h)
{
    if (h->keys > UINT64_MAX / 64 || h->bytes > UINT64_MAX / 64)
        return 0;
    /* two neighbours are longer than SNAPSHOT_CHUNK together */
    uint64_t raw = h->bytes + ENTRY_FRAME * h->keys + STORE_NAMESPACES_MAX * STORE_NS_MAX;
    uint64_t chunks = 2 * raw / (SNAPSHOT_CHUNK - 2 * STORE_NS_MAX) + 2;
    return MANIFEST_FRAME + SNAPSHOT_ROW * (chunks < h->keys ? chunks : h->keys);
}

MUST_USE enum err snapshot_manifest_read(struct bytes in, struct snapshot_manifest *out)
{
    struct rd r = rd_over(in);
    uint32_t n = msg_array(&r);
    uint64_t format = msg_uint(&r);
    memset(out, 0, sizeof *out);
    if (!r.bad && format > SNAPSHOT_FORMAT)
        return ERR_FORMAT;
    if (!r.bad && (n < ELEMENTS || format != SNAPSHOT_FORMAT))
        rd_fail(&r);
    about_take(&r, &out->about);
    uint64_t entries = msg_uint(&r), raw = msg_uint(&r), stored = msg_uint(&r);
    out->table = msg_bin(&r);
    files_take(&r, out);
    msg_skip_rest(&r, n, ELEMENTS);
    if (!r.bad && (!rd_done(&r) || out->table.len % SNAPSHOT_ROW != 0))
        rd_fail(&r);
    if (r.bad)
        return rd_err(&r);
    sums_take(out);
    return entries == out->entries && raw == out->raw && stored == out->stored && table_fits(out) ? OK : ERR_BAD;
}
