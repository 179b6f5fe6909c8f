#include "builder/rows.h"

#include "base/msg.h"

#include <assert.h>

#define ROW_VALUES 3            /* elements that every row has; comments stand behind them when there are any */
#define EVENT_VALUES 9
#define MSG_HEAD_MAX 9          /* of any one value */
#define RECORD_DISABLED 1
#define EVENT_FORCED 1

/* --- zone ids ------------------------------------------------------------------------------------------------------- */
/* The highest three bits count the bytes behind the first one. The fewest that hold it: so ids sort as numbers do. */
void row_key_zone(struct wr *w, uint64_t zone)
{
    unsigned more = 0;
    assert(zone <= ROW_ID_MAX);
    while (more < 7 && zone >> (5 + 8 * more) != 0)
        more++;
    wr_be(w, zone | (uint64_t)more << (5 + 8 * more), 1 + more);
}

static uint64_t zone_read(struct rd *r)
{
    uint8_t first = rd_u8(r);
    unsigned more = first >> 5;
    uint64_t id = (uint64_t)(first & 0x1f) << (8 * more) | rd_be(r, more);
    if (!r->bad && more > 0 && id >> (5 + 8 * (more - 1)) == 0)
        rd_fail(r);
    return r->bad ? 0 : id;
}

/* --- marks: type and covers ------------------------------------------------------------------------------------------ */
#define MARK_FAR 0x7f00         /* types from here on take a byte more */

static void mark_write(struct wr *w, uint16_t type, uint16_t covers)
{
    bool signature = type == TYPE_RRSIG;
    uint16_t of = signature ? covers : type;
    if (of < MARK_FAR) {
        wr_u16(w, (uint16_t)(signature ? MARK_FAR + of : of));
    } else {
        wr_u8(w, signature ? 0xff : 0xfe);
        wr_u16(w, of);
    }
}

static void mark_read(struct rd *r, struct row_key_parts *out)
{
    uint16_t mark = rd_u16(r);
    bool far = mark >= 2 * MARK_FAR, signature = far ? mark >> 8 == 0xff : mark >= MARK_FAR;
    uint16_t of = far ? (uint16_t)((mark & 0xff) << 8 | rd_u8(r)) : (uint16_t)(mark % MARK_FAR);
    if (r->bad)
        return;
    if ((far && of < MARK_FAR) || (!signature && of == TYPE_RRSIG))
        rd_fail(r);
    out->type = signature ? TYPE_RRSIG : of;
    out->covers = signature ? of : 0;
}

/* --- keys ----------------------------------------------------------------------------------------------------------- */
MUST_USE enum err row_name_key(struct wr *w, struct bytes name)
{
    struct rrkey k;
    enum err err = rrkey_of_name(name, &k);
    if (err != OK)
        return err;
    wr_put(w, k.buf, k.at[k.labels]);
    wr_u8(w, 0);
    return w->full ? ERR_NOSPACE : OK;
}

/* rrkey.h reads whole keys: this one gets a slot behind it. */
MUST_USE enum err row_name_read(struct bytes key, struct name *out)
{
    uint8_t whole[RRKEY_MAX];
    struct wr w = wr_over(whole, sizeof whole);
    uint16_t slot;
    wr_bytes(&w, key);
    wr_u16(&w, TYPE_A);
    return w.full ? ERR_BAD : rrkey_name(wr_done(&w), out, &slot);
}

MUST_USE enum err row_key_owner(struct wr *w, uint64_t zone, struct bytes owner)
{
    row_key_zone(w, zone);
    return row_name_key(w, owner);
}

MUST_USE enum err row_key(struct wr *w, uint64_t zone, struct bytes owner, uint16_t type, uint16_t covers)
{
    enum err err = row_key_owner(w, zone, owner);
    if (err != OK)
        return err;
    mark_write(w, type, covers);
    return w->full ? ERR_NOSPACE : OK;
}

MUST_USE enum err row_key_read(struct bytes key, struct row_key_parts *out)
{
    struct rd r = rd_over(key);
    out->zone = zone_read(&r);
    if (r.bad)
        return rd_err(&r);
    size_t owner = rrkey_owner_len(bytes_of(r.p, rd_left(&r)));
    if (owner == 0)
        return ERR_SHORT;
    enum err err = row_name_read(rd_take(&r, owner), &out->owner);
    if (err != OK)
        return err;
    mark_read(&r, out);
    return r.bad ? rd_err(&r) : rd_done(&r) ? OK : ERR_BAD;
}

/* --- rows ----------------------------------------------------------------------------------------------------------- */
size_t row_size(const struct row *row)
{
    size_t size = 5 * MSG_HEAD_MAX;
    for (size_t i = 0; i < row->n; i++)
        size += row->rr[i].rdata.len + 3 * MSG_HEAD_MAX;
    for (size_t i = 0; i < row->comments_n; i++)
        size += row->comments[i].text.len + row->comments[i].account.len + 4 * MSG_HEAD_MAX;
    return size;
}

void row_write(struct wr *w, const struct row *row)
{
    msg_put_array(w, ROW_VALUES + (row->comments_n > 0));
    msg_put_uint(w, row->ttl);
    msg_put_uint(w, row->modified_s);
    msg_put_array(w, (uint32_t)row->n);
    for (size_t i = 0; i < row->n; i++) {
        if (row->rr[i].disabled)
            msg_put_array(w, 2);
        msg_put_bin(w, row->rr[i].rdata);
        if (row->rr[i].disabled)
            msg_put_uint(w, RECORD_DISABLED);
    }
    if (row->comments_n == 0)
        return;
    msg_put_array(w, (uint32_t)row->comments_n);
    for (size_t i = 0; i < row->comments_n; i++) {
        msg_put_array(w, 3);
        msg_put_text(w, row->comments[i].text);
        msg_put_text(w, row->comments[i].account);
        msg_put_uint(w, row->comments[i].modified_s);
    }
}

static void record_read(struct rd *r, struct row_rr *out)
{
    bool plain = msg_peek(r) == MSG_BIN;
    uint32_t n = plain ? 1 : msg_array(r);
    out->rdata = msg_bin(r);
    uint64_t flags = plain ? 0 : msg_uint(r);
    if (!r->bad && (out->rdata.len > UINT16_MAX || (!plain && (n != 2 || flags != RECORD_DISABLED))))
        rd_fail(r);
    out->disabled = flags == RECORD_DISABLED;
}

static void comment_read(struct rd *r, struct comment *out)
{
    uint32_t n = msg_array(r);
    if (!r->bad && n < 3)
        rd_fail(r);
    out->text = msg_text(r);
    out->account = msg_text(r);
    out->modified_s = msg_uint(r);
    msg_skip_rest(r, n, 3);
}

/* A list of *n elements in a, each of which takes at least a byte of the input; NULL: none, bad or out of memory. */
static void *list_take(struct rd *r, struct arena *a, size_t each, size_t *n, bool *memory)
{
    *n = msg_array(r);
    void *list = r->bad || *n == 0 ? NULL : arena_take(a, *n * each);
    *memory = r->bad || *n == 0 || list != NULL;
    if (list == NULL)
        *n = 0;
    return list;
}

MUST_USE enum err row_read(struct bytes in, struct arena *a, struct row *out)
{
    struct rd r = rd_over(in);
    uint32_t n = msg_array(&r);
    bool memory;
    if (!r.bad && n < ROW_VALUES)
        rd_fail(&r);
    uint64_t ttl = msg_uint(&r);
    out->modified_s = msg_uint(&r);
    out->ttl = (uint32_t)ttl;
    if (!r.bad && ttl > UINT32_MAX)
        rd_fail(&r);
    struct row_rr *rr = list_take(&r, a, sizeof *rr, &out->n, &memory);
    if (!memory)
        return ERR_NOMEM;
    for (size_t i = 0; i < out->n && !r.bad; i++)
        record_read(&r, &rr[i]);
    struct comment *comments = NULL;
    out->comments_n = 0;
    if (n > ROW_VALUES && !r.bad) {
        comments = list_take(&r, a, sizeof *comments, &out->comments_n, &memory);
        if (!memory)
            return ERR_NOMEM;
        for (size_t i = 0; i < out->comments_n && !r.bad; i++)
            comment_read(&r, &comments[i]);
    }
    if (!r.bad && ((n == ROW_VALUES + 1 && out->comments_n == 0) || (out->n == 0 && out->comments_n == 0)))
        rd_fail(&r);
    msg_skip_rest(&r, n, ROW_VALUES + 1);
    if (!r.bad && !rd_done(&r))
        rd_fail(&r);
    out->rr = rr;
    out->comments = comments;
    return rd_err(&r);
}

/* --- events --------------------------------------------------------------------------------------------------------- */
size_t event_size(const struct event *e)
{
    return (EVENT_VALUES + 1) * MSG_HEAD_MAX + e->apex.len + e->author.len + e->owner.len + e->before.len + e->after.len;
}

void event_write(struct wr *w, const struct event *e)
{
    bool row = e->kind == EVENT_ROW;
    msg_put_array(w, row ? EVENT_VALUES : 4);
    msg_put_uint(w, e->kind);
    msg_put_bin(w, name_bytes(&e->apex));
    msg_put_uint(w, e->force ? EVENT_FORCED : 0);
    msg_put_bin(w, e->author);
    if (!row)
        return;
    msg_put_bin(w, e->owner);
    msg_put_uint(w, e->type);
    msg_put_uint(w, e->covers);
    msg_put_bin(w, e->before);
    msg_put_bin(w, e->after);
}

static struct bytes name_of(struct rd *r)
{
    struct bytes b = msg_bin(r), name = { NULL, 0 };
    struct rd in = rd_over(b);
    if (!r->bad && (name_read(&in, &name) != OK || !rd_done(&in) || !name_is_lower(name)))
        rd_fail(r);
    return name;
}

static uint16_t type_of(struct rd *r)
{
    uint64_t v = msg_uint(r);
    if (!r->bad && v > UINT16_MAX)
        rd_fail(r);
    return (uint16_t)v;
}

static void event_row_read(struct rd *r, struct event *e)
{
    e->owner = name_of(r);
    e->type = type_of(r);
    e->covers = type_of(r);
    e->before = msg_bin(r);
    e->after = msg_bin(r);
    if (!r->bad && !name_under(e->owner, name_bytes(&e->apex)))
        rd_fail(r);
}

MUST_USE enum err event_read(struct bytes in, struct event *out)
{
    struct rd r = rd_over(in);
    struct event e = { .number = out->number };
    uint32_t n = msg_array(&r), known = 4;
    uint64_t kind = msg_uint(&r);
    struct bytes apex = name_of(&r);
    uint64_t flags = msg_uint(&r);
    e.author = msg_bin(&r);
    if (r.bad)
        return rd_err(&r);
    if (kind < EVENT_ROW || kind > EVENT_GONE || flags > EVENT_FORCED || n < known)
        return ERR_BAD;
    e.kind = (enum event_kind)kind;
    e.force = flags == EVENT_FORCED;
    e.apex.len = (uint8_t)apex.len;
    memcpy(e.apex.wire, apex.ptr, apex.len);
    if (e.kind == EVENT_ROW) {
        known = EVENT_VALUES;
        if (n < known)
            return ERR_BAD;
        event_row_read(&r, &e);
    }
    msg_skip_rest(&r, n, known);
    if (!r.bad && !rd_done(&r))
        rd_fail(&r);
    if (!r.bad)
        *out = e;
    return rd_err(&r);
}

/* --- zones and keys -------------------------------------------------------------------------------------------------- */
void zone_value_write(struct wr *w, const struct zone_row *z)
{
    msg_put_array(w, 2);
    msg_put_uint(w, z->id);
    msg_put_bin(w, z->settings);
}

MUST_USE enum err zone_value_read(struct bytes in, struct zone_row *out)
{
    struct rd r = rd_over(in);
    uint32_t n = msg_array(&r);
    out->id = msg_uint(&r);
    out->settings = msg_bin(&r);
    if (!r.bad && (n < 2 || out->id > ROW_ID_MAX || out->settings.len > SETTINGS_ROW_MAX))
        rd_fail(&r);
    msg_skip_rest(&r, n, 2);
    return r.bad ? rd_err(&r) : rd_done(&r) ? OK : ERR_BAD;
}

void tsig_value_write(struct wr *w, const struct tsig_key_row *k)
{
    msg_put_array(w, 3);
    msg_put_text(w, k->algorithm);
    msg_put_bin(w, k->secret);
    msg_put_bin(w, k->rights);
}

MUST_USE enum err tsig_value_read(struct bytes in, struct tsig_key_row *out)
{
    struct rd r = rd_over(in);
    uint32_t n = msg_array(&r);
    out->algorithm = msg_text(&r);
    out->secret = msg_bin(&r);
    out->rights = msg_bin(&r);
    if (!r.bad && (n < 3 || out->algorithm.len > TSIG_ALGORITHM_MAX || out->secret.len > TSIG_SECRET_MAX
                   || out->rights.len > TSIG_RIGHTS_MAX))
        rd_fail(&r);
    msg_skip_rest(&r, n, 3);
    return r.bad ? rd_err(&r) : rd_done(&r) ? OK : ERR_BAD;
}
