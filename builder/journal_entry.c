/* Authors and entries of the journal as bytes (FORMAT.md section 11). */
#include "builder/journal_parts.h"

#include "base/msg.h"

#include <sodium.h>

#define ENTRY_FIELDS 8
#define ENTRY_VERSION 1
#define KEY_LEAST 5                     /* bytes of a key that changes */
#define KEY_COST 16                     /* heads of three elements and their array */

const char *const author_via_names[10] = { "", "api", "pdns", "update", "transfer", "file", "offline", "start", "rollback", "catalog" };

/* --- authors ------------------------------------------------------------------------------------------------------ */
void author_write(struct wr *w, const struct author *a)
{
    msg_put_array(w, 3);
    msg_put_uint(w, a->via);
    msg_put_text(w, bytes_of_text(a->name));
    msg_put_text(w, bytes_of_text(a->address));
}

static void text_read(struct rd *r, char *out, size_t cap)
{
    struct bytes t = msg_text(r);
    if (t.len >= cap || (t.len > 0 && memchr(t.ptr, 0, t.len) != NULL)) {
        rd_fail(r);
        return;
    }
    if (t.len > 0)
        memcpy(out, t.ptr, t.len);
    out[t.len] = '\0';
}

static void author_read_at(struct rd *r, struct author *out)
{
    struct author a = { .name = "" };
    uint32_t n = msg_array(r);
    uint64_t via = msg_uint(r);
    if (!r->bad && (n < 3 || via == 0 || via > VIA_CATALOG))
        rd_fail(r);
    a.via = (enum author_via)via;
    text_read(r, a.name, sizeof a.name);
    text_read(r, a.address, sizeof a.address);
    msg_skip_rest(r, n, 3);
    if (!r->bad)
        *out = a;
}

MUST_USE enum err author_read(struct bytes in, struct author *out)
{
    struct rd r = rd_over(in);
    struct author a;
    author_read_at(&r, &a);
    if (!r.bad && !rd_done(&r))
        rd_fail(&r);
    if (!r.bad)
        *out = a;
    return rd_err(&r);
}

/* --- entries ------------------------------------------------------------------------------------------------------ */
void journal_group(struct bytes apex, uint8_t out[JOURNAL_GROUP_LEN])
{
    uint8_t lower[NAME_MAX_LEN];
    size_t len = apex.len < sizeof lower ? apex.len : sizeof lower;
    memcpy(lower, apex.ptr, len);
    name_lower(lower, len);
    (void)crypto_generichash(out, JOURNAL_GROUP_LEN, lower, len, NULL, 0);
}

size_t entry_room(const struct journal_entry *e)
{
    size_t room = NAME_MAX_LEN + AUTHOR_BYTES_MAX + 64;
    for (size_t i = 0; i < e->n && !e->whole; i++)
        room += e->keys[i].key.len + e->keys[i].before.len + e->keys[i].after.len + KEY_COST;
    return room;
}

static void value_write(struct wr *w, struct bytes value)
{
    if (value.len == 0)
        msg_put_nil(w);
    else
        msg_put_bin(w, value);
}

void entry_write(struct wr *w, struct bytes apex, const struct journal_entry *e)
{
    msg_put_array(w, ENTRY_FIELDS);
    msg_put_uint(w, ENTRY_VERSION);
    msg_put_bin(w, apex);
    msg_put_uint(w, e->time_ms);
    msg_put_uint(w, e->serial_before);
    msg_put_uint(w, e->serial_after);
    author_write(w, &e->author);
    msg_put_bool(w, e->forced);
    if (e->whole) {
        msg_put_nil(w);
        return;
    }
    msg_put_array(w, (uint32_t)e->n);
    for (size_t i = 0; i < e->n; i++) {
        msg_put_array(w, 3);
        msg_put_bin(w, e->keys[i].key);
        value_write(w, e->keys[i].before);
        value_write(w, e->keys[i].after);
    }
}

static uint32_t serial_read(struct rd *r)
{
    uint64_t v = msg_uint(r);
    if (v > UINT32_MAX)
        rd_fail(r);
    return (uint32_t)v;
}

MUST_USE enum err entry_read_front(struct rd *r, struct bytes *apex, struct journal_entry *out)
{
    struct journal_entry e = *out;
    uint32_t n = msg_array(r);
    if (msg_uint(r) != ENTRY_VERSION || n != ENTRY_FIELDS)
        rd_fail(r);
    *apex = msg_bin(r);
    e.time_ms = msg_uint(r);
    e.serial_before = serial_read(r);
    e.serial_after = serial_read(r);
    author_read_at(r, &e.author);
    e.forced = msg_bool(r);
    e.whole = msg_peek(r) == MSG_NIL;
    if (!r->bad)
        *out = e;
    return rd_err(r);
}

static struct bytes value_read(struct rd *r)
{
    if (msg_nil(r))
        return (struct bytes){ 0 };
    struct bytes value = msg_bin(r);
    if (value.len == 0)
        rd_fail(r);
    return value;
}

static enum err keys_read(struct rd *r, struct arena *a, struct journal_entry *e)
{
    uint32_t n = msg_array(r);
    if (n > rd_left(r) / KEY_LEAST)
        (void)rd_take(r, rd_left(r) + 1);       /* more must follow */
    if (r->bad)
        return rd_err(r);
    struct key_change *keys = arena_take(a, (n + 1) * sizeof *keys);
    if (keys == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        if (msg_array(r) != 3)
            rd_fail(r);
        keys[i].key = msg_bin(r);
        keys[i].before = value_read(r);
        keys[i].after = value_read(r);
    }
    e->keys = keys;
    e->n = n;
    return rd_err(r);
}

MUST_USE enum err entry_read(struct bytes in, struct arena *a, struct bytes *apex, struct journal_entry *out)
{
    struct rd r = rd_over(in);
    struct journal_entry e = *out;
    enum err err = entry_read_front(&r, apex, &e);
    e.keys = NULL;
    e.n = 0;
    if (err == OK && e.whole)
        (void)msg_nil(&r);
    else if (err == OK)
        err = keys_read(&r, a, &e);
    if (err == OK && !rd_done(&r))
        err = ERR_BAD;
    if (err == OK)
        *out = e;
    return err;
}
