/* Notes beside the log, in its environment: appended like records, so that retiring the oldest is cheap; found by group
 * through an index of small keys.
 *
 *     notes       seq u64 | n u16 | piece u16  ─►  piece 0: length u32 | epoch u64 | group length u8 | group | first bytes
 *                                                  further: the next bytes; at most PIECE_MAX each
 *     notes.of    length u8 | group | seq u64 | n u16  ─►  nothing
 *
 * Key 0 of `notes`, which no record has, holds the seq from which on nothing is missing. */
#include "store/internal.h"

#define NOTES_DB "notes"
#define NOTES_OF_DB "notes.of"
#define PIECE_MAX ((size_t)1900)
#define NOTE_KEY 12
#define OF_KEY (1 + NOTE_GROUP_MAX + 10)
#define FRONT_MAX (4 + 8 + 1 + NOTE_GROUP_MAX)

struct place { uint64_t seq; uint16_t n, piece; };

static void key_write(uint8_t out[NOTE_KEY], const struct place *p)
{
    struct wr w = wr_over(out, NOTE_KEY);
    wr_u64(&w, p->seq);
    wr_u16(&w, p->n);
    wr_u16(&w, p->piece);
}

static enum err key_read(MDB_val k, struct place *out)
{
    struct rd r = rd_over(bytes_of_val(k));
    out->seq = rd_u64(&r);
    out->n = rd_u16(&r);
    out->piece = rd_u16(&r);
    return rd_done(&r) ? OK : ERR_BAD;
}

static struct bytes of_write(uint8_t out[OF_KEY], struct bytes group, uint64_t seq, uint16_t n)
{
    struct wr w = wr_over(out, OF_KEY);
    wr_u8(&w, (uint8_t)group.len);
    wr_bytes(&w, group);
    wr_u64(&w, seq);
    wr_u16(&w, n);
    return wr_done(&w);
}

/* --- databases ---------------------------------------------------------------------------------------------------- */
int notes_open(struct store *s, MDB_txn *txn, bool make, bool *there)
{
    unsigned flags = make && s->magic.role == STORE_CORE ? MDB_CREATE : 0;
    int rc = mdb_dbi_open(txn, NOTES_DB, flags, &s->notes_dbi);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NOTES_OF_DB, flags, &s->notes_of_dbi);
    *there = rc == 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static enum err db_pages(MDB_txn *txn, MDB_dbi dbi, uint64_t *pages, uint64_t *entries)
{
    MDB_stat st;
    int rc = mdb_stat(txn, dbi, &st);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "log");
    *pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
    *entries = st.ms_entries;
    return OK;
}

uint64_t notes_pages(const struct log_txn *t)
{
    uint64_t pages = 0, entries;
    if (!t->s->has_notes)
        return 0;
    bool known = db_pages(t->txn, t->s->notes_dbi, &pages, &entries) == OK &&
                 db_pages(t->txn, t->s->notes_of_dbi, &pages, &entries) == OK;
    return known ? pages : UINT64_MAX;
}

/* --- finding ------------------------------------------------------------------------------------------------------ */
/* The first note's piece at or behind p; before: the last one in front of it. */
static enum err place_find(MDB_txn *txn, MDB_dbi dbi, const struct place *p, bool before, struct place *out, MDB_val *value)
{
    uint8_t buf[NOTE_KEY];
    MDB_val k = { NOTE_KEY, buf };
    MDB_cursor *c;
    key_write(buf, p);
    int rc = mdb_cursor_open(txn, dbi, &c);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "log");
    rc = mdb_cursor_get(c, &k, value, MDB_SET_RANGE);
    if (before && (rc == 0 || rc == MDB_NOTFOUND))
        rc = mdb_cursor_get(c, &k, value, rc == 0 ? MDB_PREV : MDB_LAST);
    enum err err = rc != 0 ? lmdb_err(NULL, rc, "read", "log") : key_read(k, out);
    mdb_cursor_close(c);
    return err == OK && out->seq == 0 ? ERR_NOTFOUND : err;         /* the reach is no note */
}

static enum err front_read(struct bytes piece, struct lognote *out)
{
    struct rd r = rd_over(piece);
    out->whole = rd_u32(&r);
    out->epoch = rd_u64(&r);
    out->group = rd_take(&r, rd_u8(&r));
    out->front = bytes_of(r.p, rd_left(&r));
    return r.bad || out->front.len > out->whole || out->whole > NOTE_MAX || out->group.len == 0 ||
           out->group.len > NOTE_GROUP_MAX ? ERR_BAD : OK;
}

static enum err note_at(MDB_txn *txn, MDB_dbi dbi, uint64_t seq, uint16_t n, struct lognote *out)
{
    uint8_t buf[NOTE_KEY];
    MDB_val k = { NOTE_KEY, buf }, v;
    key_write(buf, &(struct place){ seq, n, 0 });
    int rc = mdb_get(txn, dbi, &k, &v);
    if (rc != 0)
        return rc == MDB_NOTFOUND ? ERR_BAD : lmdb_err(NULL, rc, "read", "log");
    out->seq = seq;
    out->n = n;
    return front_read(bytes_of_val(v), out);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */
static enum err put(struct log_txn *t, MDB_dbi dbi, struct bytes key, struct bytes value, bool last, struct fault *fault)
{
    MDB_val k = val_of(key), v = val_of(value);
    int rc = mdb_put(t->txn, dbi, &k, &v, last ? MDB_APPEND : 0);
    return rc == 0 ? OK : lmdb_err(fault, rc, "write to", env_path(t->s->log));
}

static enum err put_pieces(struct log_txn *t, struct place at, bool last, struct bytes front, struct bytes note,
                           struct fault *fault)
{
    uint8_t key[NOTE_KEY], first[PIECE_MAX];
    struct wr w = wr_over(first, sizeof first);
    struct rd r = rd_over(note);
    wr_bytes(&w, front);
    size_t n = rd_left(&r) < PIECE_MAX - w.len ? rd_left(&r) : PIECE_MAX - w.len;
    wr_bytes(&w, rd_take(&r, n));
    struct bytes piece = wr_done(&w);
    for (;;) {
        key_write(key, &at);
        enum err err = put(t, t->s->notes_dbi, bytes_of(key, sizeof key), piece, last, fault);
        if (err != OK || rd_left(&r) == 0)
            return err;
        piece = rd_take(&r, rd_left(&r) < PIECE_MAX ? rd_left(&r) : PIECE_MAX);
        at.piece++;
    }
}

MUST_USE enum err lognote_put(struct log_txn *t, struct bytes group, uint64_t epoch, uint64_t seq, struct bytes note,
                              struct fault *fault)
{
    uint8_t front[FRONT_MAX], of[OF_KEY];
    struct place at = { seq, 0, 0 }, found;
    MDB_val v;
    if (!t->s->has_notes)
        return fault_set(fault, ERR_NOTNOW, "%s: only a core's log has notes", env_path(t->s->log));
    if (group.len == 0 || group.len > NOTE_GROUP_MAX || note.len > NOTE_MAX || seq == 0)
        return fault_set(fault, ERR_LIMIT, "note of %zu bytes in a group of %zu", note.len, group.len);
    enum err err = log_room(t, note.len + sizeof front, fault);
    if (err != OK)
        return err;
    err = place_find(t->txn, t->s->notes_dbi, &(struct place){ seq + 1, 0, 0 }, true, &found, &v);
    if (err == OK && found.seq == seq)
        at.n = (uint16_t)(found.n + 1);
    if (err != OK && err != ERR_NOTFOUND)
        return fault_set(fault, err, "cannot read the notes of %s: %s", env_path(t->s->log), err_text(err));
    if (at.n == UINT16_MAX)
        return fault_set(fault, ERR_LIMIT, "too many notes of one record");
    bool last = place_find(t->txn, t->s->notes_dbi, &at, false, &found, &v) == ERR_NOTFOUND;
    struct wr w = wr_over(front, sizeof front);
    wr_u32(&w, (uint32_t)note.len);
    wr_u64(&w, epoch);
    wr_u8(&w, (uint8_t)group.len);
    wr_bytes(&w, group);
    if ((err = put_pieces(t, at, last, wr_done(&w), note, fault)) != OK)
        return err;
    ahead_note(t, group, epoch, seq, note);
    return put(t, t->s->notes_of_dbi, of_write(of, group, seq, at.n), bytes_of("", 0), false, fault);
}

MUST_USE enum err lognote_reach_put(struct log_txn *t, uint64_t seq, bool first, struct fault *fault)
{
    uint8_t key[NOTE_KEY], value[8];
    struct wr w = wr_over(value, sizeof value);
    MDB_val k = { NOTE_KEY, key }, v = { sizeof value, value };
    if (!t->s->has_notes)
        return OK;
    key_write(key, &(struct place){ 0 });
    wr_u64(&w, seq);
    ahead_reach(t, seq, first);
    int rc = mdb_put(t->txn, t->s->notes_dbi, &k, &v, first ? MDB_NOOVERWRITE : 0);
    return rc == 0 || rc == MDB_KEYEXIST ? OK : lmdb_err(fault, rc, "write to", env_path(t->s->log));
}

/* --- taking away -------------------------------------------------------------------------------------------------- */
static enum err del(struct log_txn *t, MDB_dbi dbi, struct bytes key)
{
    MDB_val k = val_of(key);
    int rc = mdb_del(t->txn, dbi, &k, NULL);
    return rc == 0 || rc == MDB_NOTFOUND ? OK : lmdb_err(NULL, rc, "cut", "log");
}

/* One note with all its pieces; their number is added to *pieces. A front that cannot be read leaves its index behind, which
 * then points to nothing. */
static enum err note_del(struct log_txn *t, struct place at, unsigned *pieces)
{
    uint8_t key[NOTE_KEY], of[OF_KEY];
    struct lognote note;
    struct place found;
    MDB_val v;
    enum err err = note_at(t->txn, t->s->notes_dbi, at.seq, at.n, &note);
    if (err == OK)
        err = del(t, t->s->notes_of_dbi, of_write(of, note.group, at.seq, at.n));
    if (err == ERR_BAD)
        err = OK;
    for (at.piece = 0; err == OK; ++*pieces) {
        err = place_find(t->txn, t->s->notes_dbi, &at, false, &found, &v);
        if (err == ERR_NOTFOUND || (err == OK && (found.seq != at.seq || found.n != at.n)))
            return OK;
        if (err != OK)
            return err;
        key_write(key, &found);
        err = del(t, t->s->notes_dbi, bytes_of(key, sizeof key));
    }
    return err;
}

static enum err cut_one(struct log_txn *t, uint64_t epoch, uint64_t seq)
{
    struct place last;
    struct lognote note;
    unsigned pieces = 0;
    MDB_val v;
    enum err err = place_find(t->txn, t->s->notes_dbi, &(struct place){ UINT64_MAX, UINT16_MAX, UINT16_MAX }, true, &last, &v);
    if (err == OK && last.seq <= seq && (note_at(t->txn, t->s->notes_dbi, last.seq, last.n, &note) != OK || note.epoch <= epoch))
        return ERR_NOTFOUND;
    return err == OK ? note_del(t, last, &pieces) : err;
}

MUST_USE enum err lognote_cut(struct log_txn *t, uint64_t epoch, uint64_t seq, struct fault *fault)
{
    enum err err = t->s->has_notes ? OK : ERR_NOTFOUND;
    t->keeps = false;
    while (err == OK)
        err = cut_one(t, epoch, seq);
    if (err == ERR_NOTFOUND)
        return OK;
    return fault_set(fault, err, "cannot cut the notes of %s: %s", env_path(t->s->log), err_text(err));
}

MUST_USE enum err lognote_trim(struct log_txn *t, uint64_t before, unsigned chunks, bool *more, struct fault *fault)
{
    struct place first;
    MDB_val v;
    unsigned pieces = 0;
    uint64_t reach = 0;
    enum err err = OK;
    t->keeps = false;
    *more = false;
    while (err == OK && t->s->has_notes) {
        err = place_find(t->txn, t->s->notes_dbi, &(struct place){ 1, 0, 0 }, false, &first, &v);
        if (err != OK || first.seq >= before)
            break;
        *more = pieces >= chunks && first.seq >= reach;     /* all of a seq or nothing */
        if (*more)
            break;
        reach = first.seq + 1;
        err = note_del(t, first, &pieces);
    }
    if (err == ERR_NOTFOUND)
        err = OK;
    if (err == OK && reach > 0)
        err = lognote_reach_put(t, reach, false, fault);
    return err == OK ? OK : fault_set(fault, err, "cannot trim the notes of %s: %s", env_path(t->s->log), err_text(err));
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
MUST_USE enum err lognote_reach(struct log_reader *r, uint64_t *seq)
{
    uint8_t key[NOTE_KEY];
    MDB_val k = { NOTE_KEY, key }, v;
    *seq = 0;
    if (!r->s->has_notes)
        return OK;
    key_write(key, &(struct place){ 0 });
    int rc = mdb_get(r->reader.txn, r->s->notes_dbi, &k, &v);
    if (rc == MDB_NOTFOUND)
        return OK;
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "log");
    struct rd in = rd_over(bytes_of_val(v));
    *seq = rd_u64(&in);
    return rd_done(&in) ? OK : ERR_BAD;
}

/* The index entry at or behind (before: in front of) group | seq | n, of the same group. */
static enum err of_find(struct log_reader *r, struct bytes group, struct place *at, bool before)
{
    uint8_t buf[OF_KEY];
    MDB_val k = val_of(of_write(buf, group, at->seq, at->n)), v;
    MDB_cursor *c;
    int rc = mdb_cursor_open(r->reader.txn, r->s->notes_of_dbi, &c);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "log");
    rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    if (before && (rc == 0 || rc == MDB_NOTFOUND))
        rc = mdb_cursor_get(c, &k, &v, rc == 0 ? MDB_PREV : MDB_LAST);
    struct rd in = rd_over(rc == 0 ? bytes_of_val(k) : (struct bytes){ 0 });
    mdb_cursor_close(c);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "log");
    if (rd_u8(&in) != group.len || !bytes_equal(rd_take(&in, group.len), group))
        return ERR_NOTFOUND;
    at->seq = rd_u64(&in);
    at->n = rd_u16(&in);
    return rd_done(&in) ? OK : ERR_BAD;
}

static enum err find(struct log_reader *r, struct bytes group, uint64_t seq, uint16_t n, bool before, struct lognote *out)
{
    struct place at = { seq > 0 ? seq : 1, seq > 0 ? n : 0, 0 }, found;
    MDB_val v;
    enum err err;
    if (!r->s->has_notes || group.len > NOTE_GROUP_MAX)
        return ERR_NOTFOUND;
    if (group.len > 0)
        err = of_find(r, group, &at, before);
    else if ((err = place_find(r->reader.txn, r->s->notes_dbi, &at, before, &found, &v)) == OK)
        at = found;
    return err == OK ? note_at(r->reader.txn, r->s->notes_dbi, at.seq, at.n, out) : err;
}

MUST_USE enum err lognote_next(struct log_reader *r, struct bytes group, uint64_t seq, uint16_t n, struct lognote *out)
{
    return find(r, group, seq, n, false, out);
}

MUST_USE enum err lognote_prev(struct log_reader *r, struct bytes group, uint64_t seq, uint16_t n, struct lognote *out)
{
    return find(r, group, seq, n, true, out);
}

MUST_USE enum err lognote_read(struct log_reader *r, const struct lognote *at, uint8_t *buf)
{
    struct wr w = wr_over(buf, at->whole);
    uint8_t key[NOTE_KEY];
    wr_bytes(&w, at->front);
    for (uint16_t piece = 1; w.len < at->whole && !w.full && piece != 0; piece++) {
        MDB_val k = { NOTE_KEY, key }, v;
        key_write(key, &(struct place){ at->seq, at->n, piece });
        int rc = mdb_get(r->reader.txn, r->s->notes_dbi, &k, &v);
        if (rc != 0)
            return rc == MDB_NOTFOUND ? ERR_BAD : lmdb_err(NULL, rc, "read", "log");
        wr_bytes(&w, bytes_of_val(v));
    }
    return w.full || w.len != at->whole ? ERR_BAD : OK;
}

MUST_USE enum err lognote_size(struct log_reader *r, uint64_t *notes, uint64_t *bytes)
{
    uint64_t pages = 0, entries = 0;
    enum err err = OK;
    if (r->s->has_notes)
        err = db_pages(r->reader.txn, r->s->notes_dbi, &pages, &entries);
    if (err == OK && r->s->has_notes)
        err = db_pages(r->reader.txn, r->s->notes_of_dbi, &pages, &entries);
    *notes = entries;
    *bytes = pages * r->s->log->page_size;
    return err;
}
