/* The ring: for each of the newest RING_TXNS commits, and some before them, which keys it touched. Database "/ring":
 *
 *     key  seq u64               value  number u64 (1, 2, 3, ...) | reach u64
 *     key  seq u64 | namespace   value  01 (mark u8 | key length u16 | key)...    or    02: too many
 *
 * reach: the head's seq before that commit. */
#include "store/internal.h"

#include <assert.h>

#define KEYS_LISTED 1
#define KEYS_MANY 2
#define WAS 0x10        /* in struct touched, until touched_write: the key's presence before the transaction, and now */
#define IS 0x20
#define MARK_FRONT 3

static_assert(8 + 8 + STORE_NS_MAX + 1 + RING_BYTES < 2038, "an entry stays off overflow pages");
static_assert(RING_BYTES / (MARK_FRONT + 1) < TOUCHED_SLOTS / 2, "the hash table stays half empty");

/* --- collecting --------------------------------------------------------------------------------------------------- */
static uint32_t key_hash(struct bytes key)
{
    uint64_t h = bytes_fnv(BYTES_FNV_START, key);
    return (uint32_t)(h ^ h >> 32);
}

static bool mark_is(const uint8_t *mark, struct bytes key)
{
    return (size_t)(mark[1] << 8 | mark[2]) == key.len && memcmp(mark + MARK_FRONT, key.ptr, key.len) == 0;
}

void touched_mark(struct touched *t, struct bytes key, bool was, bool is)
{
    if (t->many)
        return;
    uint32_t at = key_hash(key) % TOUCHED_SLOTS;
    for (; t->slot[at] != 0; at = (at + 1) % TOUCHED_SLOTS) {
        uint8_t *mark = t->marks + t->slot[at] - 1;
        if (mark_is(mark, key)) {
            *mark = (uint8_t)((*mark & WAS) | (is ? IS : 0));
            return;
        }
    }
    if (MARK_FRONT + key.len > (size_t)(RING_BYTES - t->len)) {
        t->many = true;
        return;
    }
    struct wr w = wr_over(t->marks + t->len, (size_t)(RING_BYTES - t->len));
    wr_u8(&w, (uint8_t)((was ? WAS : 0) | (is ? IS : 0)));
    wr_u16(&w, (uint16_t)key.len);
    wr_bytes(&w, key);
    t->slot[at] = (uint16_t)(t->len + 1);
    t->len = (uint16_t)(t->len + w.len);
}

bool touched_write(const struct touched *t, struct wr *out)
{
    wr_u8(out, t->many ? KEYS_MANY : KEYS_LISTED);
    if (t->many)
        return true;
    struct rd r = rd_over(bytes_of(t->marks, t->len));
    while (rd_left(&r) > 0) {
        uint8_t flags = rd_u8(&r);
        struct bytes key = rd_take(&r, rd_u16(&r));
        if (flags == 0)
            continue;       /* came and went within the transaction */
        wr_u8(out, flags == (WAS | IS) ? RING_CHANGED : flags == IS ? RING_APPEARED : RING_VANISHED);
        wr_u16(out, (uint16_t)key.len);
        wr_bytes(out, key);
    }
    return out->len > 1;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */
static struct rd front_read(MDB_val v, uint64_t *number, uint64_t *reach)
{
    struct rd r = rd_over(bytes_of_val(v));
    *number = rd_u64(&r);
    *reach = rd_u64(&r);
    return r;
}

/* Number of the newest commit in the ring; 0: none. Namespace entries of a commit stand behind its front. */
static int newest_number(MDB_cursor *c, uint64_t *number)
{
    MDB_val k, v;
    uint64_t reach;
    int rc;
    *number = 0;
    for (MDB_cursor_op op = MDB_LAST; (rc = mdb_cursor_get(c, &k, &v, op)) == 0; op = MDB_PREV) {
        if (k.mv_size == 8) {
            struct rd r = front_read(v, number, &reach);
            return rd_done(&r) ? 0 : MDB_CORRUPTED;
        }
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Deletes from the oldest end until `number` minus the oldest is below RING_TXNS. Every RING_SLACK commits: the page of the oldest is
 * not that of the newest. */
static int drop_oldest(MDB_cursor *c, uint64_t number)
{
    MDB_val k, v;
    uint64_t oldest, reach;
    int rc;
    if (number % RING_SLACK != 0)
        return 0;
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_FIRST)) == 0) {
        if (k.mv_size == 8) {
            struct rd r = front_read(v, &oldest, &reach);
            if (!rd_done(&r))
                return MDB_CORRUPTED;
            if (oldest + RING_TXNS > number)
                return 0;
        }
        if ((rc = mdb_cursor_del(c, 0)) != 0)
            return rc;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

MUST_USE enum err ring_put_txn(MDB_txn *txn, MDB_dbi ring, uint64_t seq, uint64_t reach, struct fault *fault)
{
    uint8_t key[8], value[16];
    MDB_val k = { sizeof key, key }, v = { sizeof value, value };
    struct wr w = wr_over(key, sizeof key);
    MDB_cursor *c;
    uint64_t number = 0;
    wr_u64(&w, seq);
    int rc = mdb_cursor_open(txn, ring, &c);
    if (rc != 0)
        return lmdb_err(fault, rc, "write", "ring");
    if ((rc = newest_number(c, &number)) == 0) {
        w = wr_over(value, sizeof value);
        wr_u64(&w, number + 1);
        wr_u64(&w, reach);
        if ((rc = mdb_cursor_put(c, &k, &v, 0)) == 0)
            rc = drop_oldest(c, number + 1);
    }
    mdb_cursor_close(c);
    return lmdb_err(fault, rc, "write", "ring");
}

MUST_USE enum err ring_put_ns(MDB_txn *txn, MDB_dbi ring, uint64_t seq, struct bytes ns, struct bytes marks,
                              struct fault *fault)
{
    uint8_t key[8 + STORE_NS_MAX];
    struct wr w = wr_over(key, sizeof key);
    wr_u64(&w, seq);
    wr_bytes(&w, ns);
    MDB_val k = { w.len, key }, v = val_of(marks);
    return lmdb_err(fault, mdb_put(txn, ring, &k, &v, 0), "write", "ring");
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
static enum err marks_visit(struct bytes ns, struct bytes value, const struct ring_visit *visit)
{
    struct rd r = rd_over(value);
    uint8_t kind = rd_u8(&r);
    if (kind == KEYS_MANY && rd_done(&r)) {
        visit->many(visit->arg, ns);
        return OK;
    }
    if (kind != KEYS_LISTED)
        return ERR_BAD;
    while (rd_left(&r) > 0) {
        uint8_t mark = rd_u8(&r);
        struct bytes key = rd_take(&r, rd_u16(&r));
        if (r.bad || mark < RING_APPEARED || mark > RING_CHANGED)
            return ERR_BAD;
        visit->touched(visit->arg, ns, key, (enum ring_mark)mark);
    }
    return rd_done(&r) ? OK : ERR_BAD;
}

/* The front of the first commit behind seq, and whether it joins. */
static enum err ring_seek(MDB_cursor *c, uint64_t seq)
{
    uint8_t key[8];
    struct wr w = wr_over(key, sizeof key);
    MDB_val k = { sizeof key, key }, v;
    uint64_t number, reach;
    wr_u64(&w, seq + 1);
    int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    if (rc != 0)
        return rc == MDB_NOTFOUND ? ERR_GAP : lmdb_err(NULL, rc, "read", "ring");
    struct rd r = front_read(v, &number, &reach);
    if (k.mv_size != 8 || !rd_done(&r))
        return ERR_BAD;
    return reach <= seq ? OK : ERR_GAP;
}

static enum err ring_walk(MDB_cursor *c, const struct ring_visit *visit)
{
    MDB_val k, v;
    int rc;
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
        if (k.mv_size == 8)
            continue;       /* the next commit's front */
        struct rd r = rd_over(bytes_of_val(k));
        (void)rd_u64(&r);
        struct bytes ns = bytes_of(r.p, rd_left(&r));
        enum err err = r.bad ? ERR_BAD : marks_visit(ns, bytes_of_val(v), visit);
        if (err != OK)
            return err;
    }
    return rc == MDB_NOTFOUND ? OK : lmdb_err(NULL, rc, "read", "ring");
}

MUST_USE enum err view_ring(struct view *v, uint64_t seq, const struct ring_visit *visit)
{
    struct head h = { .seq = 0 };
    bool moved = v->ring_gen != 0 && v->ring_gen != v->gen->opened;
    v->ring_gen = v->gen->opened;
    enum err err = view_head(v, &h, NULL);
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    if (moved || seq > h.seq)
        return ERR_GAP;
    if (seq == h.seq)
        return OK;
    if ((err = view_ring_cursor(v)) != OK || (err = ring_seek(v->ring.mdb, seq)) != OK)
        return err;
    return ring_walk(v->ring.mdb, visit);
}
