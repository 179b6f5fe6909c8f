/* Snapshot chunks: entries to compressed bytes and back.
 *
 *     raw    entry entry ...     entry:  namespace length u8 (0: as the entry before) | namespace | key length u16 | key |
 *                                        value length u32 | value
 *     stored one zstd frame of raw that says its content's size */
#include "store/snapshot.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <zstd.h>

#include "store/internal.h"

#define LEVEL 1                     /* 400 MB/s; higher levels save little on what is compact already */
#define ENTRY_LEAST 8               /* bytes of an entry with a key of 1 and no value, namespace as before */

static_assert(1 + STORE_NS_MAX + 2 + STORE_KEY_MAX + 4 + STORE_VALUE_MAX <= SNAPSHOT_RAW_MAX, "any entry fits a chunk");
static_assert(ZSTD_COMPRESSBOUND(SNAPSHOT_RAW_MAX) <= SNAPSHOT_STORED_MAX, "any chunk can be stored");

/* The namespace that the entry before had. */
struct ns_at { char name[STORE_NS_MAX]; size_t len; };

static bool ns_same(const struct ns_at *at, struct bytes ns)
{
    return at->len == ns.len && memcmp(at->name, ns.ptr, ns.len) == 0;
}

static void ns_set(struct ns_at *at, struct bytes ns)
{
    memcpy(at->name, ns.ptr, ns.len);
    at->len = ns.len;
}

static size_t entry_size(const struct ns_at *at, struct bytes ns, struct bytes key, struct bytes value)
{
    return 1 + (ns_same(at, ns) ? 0 : ns.len) + 2 + key.len + 4 + value.len;
}

/* --- packing ------------------------------------------------------------------------------------------------------ */
struct snapshot_pack {
    struct wr raw;
    uint32_t entries;
    struct ns_at ns;
    ZSTD_CCtx *zstd;
    uint8_t *stored;
};

MUST_USE enum err snapshot_pack_open(struct snapshot_pack **out)
{
    struct snapshot_pack *p = calloc(1, sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    p->zstd = ZSTD_createCCtx();
    p->stored = malloc(SNAPSHOT_STORED_MAX);
    p->raw = wr_over(malloc(SNAPSHOT_RAW_MAX), SNAPSHOT_RAW_MAX);
    if (p->zstd == NULL || p->stored == NULL || p->raw.buf == NULL) {
        snapshot_pack_close(p);
        return ERR_NOMEM;
    }
    (void)ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, LEVEL);
    *out = p;
    return OK;
}

void snapshot_pack_close(struct snapshot_pack *p)
{
    if (p == NULL)
        return;
    (void)ZSTD_freeCCtx(p->zstd);
    free(p->stored);
    free(p->raw.buf);
    free(p);
}

bool snapshot_pack_add(struct snapshot_pack *p, struct bytes ns, const struct entry *e)
{
    if (p->entries > 0 && p->raw.len + entry_size(&p->ns, ns, e->key, e->value) > SNAPSHOT_CHUNK)
        return false;
    bool same = ns_same(&p->ns, ns);
    wr_u8(&p->raw, same ? 0 : (uint8_t)ns.len);
    if (!same) {
        wr_bytes(&p->raw, ns);
        ns_set(&p->ns, ns);
    }
    wr_u16(&p->raw, (uint16_t)e->key.len);
    wr_bytes(&p->raw, e->key);
    wr_u32(&p->raw, (uint32_t)e->value.len);
    wr_bytes(&p->raw, e->value);
    p->entries++;
    return true;
}

uint32_t snapshot_pack_entries(const struct snapshot_pack *p) { return p->entries; }

MUST_USE enum err snapshot_pack_end(struct snapshot_pack *p, struct snapshot_chunk *out, struct bytes *stored)
{
    if (p->raw.full)
        return ERR_LIMIT;
    size_t got = ZSTD_compress2(p->zstd, p->stored, SNAPSHOT_STORED_MAX, p->raw.buf, p->raw.len);
    if (ZSTD_isError(got))
        return ERR_NOMEM;           /* the only reason left: the bound is kept */
    *out = (struct snapshot_chunk){ .entries = p->entries, .raw = (uint32_t)p->raw.len, .stored = (uint32_t)got };
    (void)crypto_generichash(out->hash, SNAPSHOT_HASH_LEN, p->stored, got, NULL, 0);
    *stored = bytes_of(p->stored, got);
    p->raw.len = 0;
    p->entries = 0;
    p->ns.len = 0;
    return OK;
}

/* --- unpacking ---------------------------------------------------------------------------------------------------- */
struct snapshot_unpack {
    uint64_t left_entries, left_bytes;      /* what the head still allows */
    uint64_t chunk;                         /* number of the one at hand, from 1 */
    size_t before;                          /* raw bytes of the chunk before; 0: none */
    struct ns_at ns;                        /* of the newest entry */
    uint8_t key[STORE_KEY_MAX];
    size_t key_len;                         /* 0: no entry yet */
    ZSTD_DCtx *zstd;
    uint8_t *raw;
    struct op *ops;
    size_t ops_cap;
};

MUST_USE enum err snapshot_unpack_open(struct snapshot_unpack **out, const struct head *head)
{
    struct snapshot_unpack *u = calloc(1, sizeof *u);
    if (u == NULL)
        return ERR_NOMEM;
    u->left_entries = head->keys;
    u->left_bytes = head->bytes;
    u->zstd = ZSTD_createDCtx();
    u->raw = malloc(SNAPSHOT_RAW_MAX);
    if (u->zstd == NULL || u->raw == NULL) {
        snapshot_unpack_close(u);
        return ERR_NOMEM;
    }
    *out = u;
    return OK;
}

void snapshot_unpack_close(struct snapshot_unpack *u)
{
    if (u == NULL)
        return;
    (void)ZSTD_freeDCtx(u->zstd);
    free(u->raw);
    free(u->ops);
    free(u);
}

static enum err bad(const struct snapshot_unpack *u, enum err err, const char *what, struct fault *fault)
{
    return fault_set(fault, err, "chunk %llu is damaged: %s", (unsigned long long)u->chunk, what);
}

static enum err sizes_check(const struct snapshot_unpack *u, const struct snapshot_chunk *c, struct bytes stored,
                            struct fault *fault)
{
    uint8_t hash[SNAPSHOT_HASH_LEN];
    if (c->raw > SNAPSHOT_RAW_MAX || c->stored > SNAPSHOT_STORED_MAX || c->stored != stored.len || c->entries == 0 ||
        c->entries > c->raw / ENTRY_LEAST)
        return bad(u, ERR_BAD, "impossible sizes", fault);
    if (c->entries > u->left_entries)
        return fault_set(fault, ERR_LIMIT, "chunk %llu: more entries than the signed head says",
                         (unsigned long long)u->chunk);
    (void)crypto_generichash(hash, sizeof hash, stored.ptr, stored.len, NULL, 0);
    return memcmp(hash, c->hash, sizeof hash) == 0 ? OK : bad(u, ERR_BAD, "its hash is not that of its bytes", fault);
}

/* One frame, exactly, of exactly the size that was told. */
static enum err expand(struct snapshot_unpack *u, const struct snapshot_chunk *c, struct bytes stored,
                       struct fault *fault)
{
    if (ZSTD_getFrameContentSize(stored.ptr, stored.len) != c->raw ||
        ZSTD_findFrameCompressedSize(stored.ptr, stored.len) != stored.len)
        return bad(u, ERR_BAD, "not one compressed frame of that size", fault);
    size_t got = ZSTD_decompressDCtx(u->zstd, u->raw, c->raw, stored.ptr, stored.len);
    return got == c->raw ? OK : bad(u, ERR_BAD, "it does not decompress", fault);
}

static enum err ops_room(struct snapshot_unpack *u, size_t n)
{
    if (n <= u->ops_cap)
        return OK;
    free(u->ops);
    u->ops = malloc(n * sizeof *u->ops);
    u->ops_cap = u->ops != NULL ? n : 0;
    return u->ops != NULL ? OK : ERR_NOMEM;
}

/* Where entries of this namespace and key may stand. */
static enum err place_check(const struct snapshot_unpack *u, bool named, bool first, const struct op *op,
                            struct fault *fault)
{
    struct bytes before = bytes_of(u->ns.name, u->ns.len);
    int order = u->key_len == 0 ? 1 : bytes_compare(op->ns, before);
    if (named && !ns_name_fits(op->ns))
        return bad(u, ERR_BAD, "a namespace has no name that is allowed", fault);
    if (named && order == 0 && !first)
        return bad(u, ERR_BAD, "a namespace is named twice", fault);
    if (op->key.len == 0 || op->key.len > STORE_KEY_MAX || op->value.len > STORE_VALUE_MAX)
        return bad(u, ERR_BAD, "a key or value over its limit", fault);
    if (order == 0)
        order = bytes_compare(op->key, bytes_of(u->key, u->key_len));
    return order > 0 ? OK : bad(u, ERR_BAD, "entries do not ascend", fault);
}

static enum err entry_take(struct snapshot_unpack *u, struct rd *r, bool first, struct op *op, struct fault *fault)
{
    size_t ns_len = rd_u8(r);
    if (ns_len == 0 && first)
        return bad(u, ERR_BAD, "its first entry names no namespace", fault);
    op->kind = OP_PUT;
    op->ns = ns_len > 0 ? rd_take(r, ns_len) : op[first ? 0 : -1].ns;
    op->key = rd_take(r, rd_u16(r));
    op->value = rd_take(r, rd_u32(r));
    if (r->bad)
        return bad(u, ERR_BAD, "it ends inside an entry", fault);
    enum err err = place_check(u, ns_len > 0, first, op, fault);
    if (err != OK)
        return err;
    size_t bytes = op->key.len + op->value.len;
    if (u->left_entries == 0 || bytes > u->left_bytes)
        return fault_set(fault, ERR_LIMIT, "chunk %llu: more entries or bytes than the signed head says",
                         (unsigned long long)u->chunk);
    if (first && u->before > 0 && u->before + entry_size(&u->ns, op->ns, op->key, op->value) <= SNAPSHOT_CHUNK)
        return bad(u, ERR_BAD, "its first entry belongs into the chunk before", fault);
    u->left_entries--;
    u->left_bytes -= bytes;
    if (ns_len > 0)
        ns_set(&u->ns, op->ns);
    memcpy(u->key, op->key.ptr, op->key.len);
    u->key_len = op->key.len;
    return OK;
}

MUST_USE enum err snapshot_unpack_chunk(struct snapshot_unpack *u, const struct snapshot_chunk *c, struct bytes stored,
                                        const struct op **ops, size_t *n, struct fault *fault)
{
    u->chunk++;
    enum err err = sizes_check(u, c, stored, fault);
    if (err == OK)
        err = expand(u, c, stored, fault);
    if (err == OK)
        err = ops_room(u, c->entries);
    if (err != OK)
        return err;
    struct rd r = rd_over(bytes_of(u->raw, c->raw));
    size_t shared = 0;      /* raw bytes before the last entry: more than one may only share SNAPSHOT_CHUNK */
    for (uint32_t i = 0; i < c->entries; i++) {
        shared = (size_t)(r.p - u->raw);
        if ((err = entry_take(u, &r, i == 0, &u->ops[i], fault)) != OK)
            return err;
    }
    if (!rd_done(&r) || (shared > 0 && c->raw > SNAPSHOT_CHUNK))
        return bad(u, ERR_BAD, "it does not hold the entries that it should", fault);
    u->before = c->raw;
    *ops = u->ops;
    *n = c->entries;
    return OK;
}

MUST_USE enum err snapshot_unpack_end(const struct snapshot_unpack *u, struct fault *fault)
{
    if (u->left_entries == 0 && u->left_bytes == 0)
        return OK;
    return fault_set(fault, ERR_BAD, "%llu entries and %llu bytes that the signed head says are missing",
                     (unsigned long long)u->left_entries, (unsigned long long)u->left_bytes);
}
