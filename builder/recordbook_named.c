/* Zones and TSIG keys: what stands under a name. */
#include "builder/recordbook_parts.h"

/* --- zones ---------------------------------------------------------------------------------------------------------- */
static enum err name_key(uint8_t buf[RRKEY_MAX], struct bytes name, struct bytes *out)
{
    struct wr w = wr_over(buf, RRKEY_MAX);
    enum err err = row_name_key(&w, name);
    *out = wr_done(&w);
    return err;
}

static enum err zone_take(struct book_source_txn *t, struct bytes key, struct bytes value, struct zone_row *out)
{
    enum err err = row_name_read(key, &out->apex);
    if (err == OK)
        err = rb_keep(t, &t->arena, &value);
    if (err == OK)
        err = zone_value_read(value, out);
    return err == OK || err == ERR_NOMEM ? err : ERR_BAD;
}

MUST_USE enum err rb_zone(struct source_txn *st, struct bytes apex, struct zone_row *out)
{
    struct book_source_txn *t = txn_of(st);
    uint8_t buf[RRKEY_MAX];
    struct bytes key, value;
    enum err err = name_key(buf, apex, &key);
    if (err == OK)
        err = book_get(t->t, ZONES, key, &value);
    return err != OK ? err : zone_take(t, key, value, out);
}

/* The first entry of a table behind a name; an empty name: of all. */
static enum err behind(struct book_source_txn *t, unsigned table, struct bytes name, struct entry *out)
{
    struct book_cursor *c;
    uint8_t buf[RRKEY_MAX];
    struct bytes key = { NULL, 0 };
    enum err err = name.len == 0 ? OK : name_key(buf, name, &key);
    if (err != OK || (err = book_cursor_open(t->t, table, &c)) != OK)
        return err;
    err = book_seek(c, key, out);
    if (err == OK && key.len > 0 && bytes_equal(out->key, key))
        err = book_next(c, out);
    book_cursor_close(c);
    return err;
}

MUST_USE enum err rb_zone_next(struct source_txn *st, struct bytes after, struct zone_row *out)
{
    struct entry e;
    enum err err = behind(txn_of(st), ZONES, after, &e);
    return err != OK ? err : zone_take(txn_of(st), e.key, e.value, out);
}

static enum err loose_put(struct book_source_txn *t, uint64_t id, uint8_t what, struct fault *fault)
{
    struct number n = number_of(id);
    return book_put_reserved(t->t, LOOSE, number_bytes(&n), bytes_of(&what, 1), fault);
}

MUST_USE enum err rb_fresh_id(struct source_txn *st, uint64_t *out, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    enum err err = rb_may_write(t, fault);
    if (err != OK || (err = rb_counter_next(t->t, COUNTER_ID, out, fault)) != OK)
        return err;
    return *out > ROW_ID_MAX ? fault_set(fault, ERR_LIMIT, "zone ids are used up") : loose_put(t, *out, LOOSE_FILLING, fault);
}

MUST_USE enum err rb_drop_id(struct source_txn *st, uint64_t id, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    struct number n = number_of(id);
    struct bytes v;
    enum err err = rb_may_write(t, fault);
    if (err != OK || (err = book_get(t->t, LOOSE, number_bytes(&n), &v)) != OK)
        return err;
    return loose_put(t, id, LOOSE_DROPPED, fault);
}

static enum err zone_store(struct book_source_txn *t, struct bytes key, const struct zone_row *z, struct fault *fault)
{
    size_t size = z->settings.len + ZONE_VALUE_MAX - SETTINGS_ROW_MAX;
    struct wr w = wr_over(arena_take(&t->arena, size), size);
    if (w.buf == NULL)
        return ERR_NOMEM;
    zone_value_write(&w, z);
    t->moved = true;
    return book_put(t->t, ZONES, key, wr_done(&w), fault);
}

/* An id that this zone has not yet: it was fresh until now, and that of before is loose. */
static enum err id_take(struct book_source_txn *t, const struct zone_row *z, const struct zone_row *before,
                        struct fault *fault)
{
    struct number n = number_of(z->id);
    enum err err = book_del(t->t, LOOSE, number_bytes(&n), fault);
    if (err == ERR_NOTFOUND)
        return fault_set(fault, ERR_NOTNOW, "%llu is no fresh zone id", (unsigned long long)z->id);
    return err != OK || before == NULL ? err : loose_put(t, before->id, LOOSE_DROPPED, fault);
}

MUST_USE enum err rb_zone_put(struct source_txn *st, const struct zone_row *z, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    struct zone_row before;
    uint8_t buf[RRKEY_MAX];
    struct bytes key;
    enum err err = rb_may_write(t, fault);
    if (err != OK || (err = name_key(buf, name_bytes(&z->apex), &key)) != OK)
        return err;
    if (z->settings.len > SETTINGS_ROW_MAX)
        return fault_set(fault, ERR_LIMIT, "settings of %zu bytes; at most %d are kept", z->settings.len, SETTINGS_ROW_MAX);
    bool there = (err = rb_zone(st, name_bytes(&z->apex), &before)) == OK;
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    if (!there || before.id != z->id)
        err = id_take(t, z, there ? &before : NULL, fault);
    else
        err = OK;
    return err != OK ? err : zone_store(t, key, z, fault);
}

MUST_USE enum err rb_zone_del(struct source_txn *st, struct bytes apex, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    struct zone_row z;
    uint8_t buf[RRKEY_MAX];
    struct bytes key;
    enum err err = rb_may_write(t, fault);
    if (err != OK || (err = name_key(buf, apex, &key)) != OK || (err = rb_zone(st, apex, &z)) != OK)
        return err;
    if ((err = loose_put(t, z.id, LOOSE_DROPPED, fault)) != OK)
        return err;
    if ((err = book_del(t->t, SECONDARIES, key, fault)) != OK && err != ERR_NOTFOUND)
        return err;
    t->moved = true;
    return book_del(t->t, ZONES, key, fault);
}

MUST_USE enum err rb_zone_count(struct source_txn *st, uint64_t *out) { return book_count(txn_of(st)->t, ZONES, out); }

MUST_USE enum err rb_secondary(struct source_txn *st, struct bytes apex, struct refresh_kept *out)
{
    uint8_t buf[RRKEY_MAX];
    struct bytes key, value;
    enum err err = name_key(buf, apex, &key);
    if (err == OK)
        err = book_get(txn_of(st)->t, SECONDARIES, key, &value);
    return err != OK ? err : kept_read(value, out);
}

MUST_USE enum err rb_secondary_put(struct source_txn *st, struct bytes apex, const struct refresh_kept *k, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    uint8_t buf[RRKEY_MAX], kept[REFRESH_KEPT_BYTES];
    struct wr w = wr_over(kept, sizeof kept);
    struct bytes key, zone;
    enum err err = rb_may_write(t, fault);
    if (err != OK || (err = name_key(buf, apex, &key)) != OK || (err = book_get(t->t, ZONES, key, &zone)) != OK)
        return err;
    refresh_kept_write(&w, k);
    return book_put(t->t, SECONDARIES, key, wr_done(&w), fault);
}

MUST_USE enum err rb_secondary_del(struct source_txn *st, struct bytes apex, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    uint8_t buf[RRKEY_MAX];
    struct bytes key;
    enum err err = rb_may_write(t, fault);
    if (err == OK)
        err = name_key(buf, apex, &key);
    return err != OK ? err : book_del(t->t, SECONDARIES, key, fault);
}

/* --- TSIG keys ------------------------------------------------------------------------------------------------------ */
static enum err tsig_take(struct book_source_txn *t, struct bytes key, struct bytes value, struct tsig_key_row *out)
{
    enum err err = row_name_read(key, &out->name);
    if (err == OK)
        err = rb_keep(t, &t->arena, &value);
    if (err == OK)
        err = tsig_value_read(value, out);
    return err == OK || err == ERR_NOMEM ? err : ERR_BAD;
}

MUST_USE enum err rb_tsig(struct source_txn *st, struct bytes name, struct tsig_key_row *out)
{
    uint8_t buf[RRKEY_MAX];
    struct bytes key, value;
    enum err err = name_key(buf, name, &key);
    if (err == OK)
        err = book_get(txn_of(st)->t, KEYS, key, &value);
    return err != OK ? err : tsig_take(txn_of(st), key, value, out);
}

MUST_USE enum err rb_tsig_next(struct source_txn *st, struct bytes after, struct tsig_key_row *out)
{
    struct entry e;
    enum err err = behind(txn_of(st), KEYS, after, &e);
    return err != OK ? err : tsig_take(txn_of(st), e.key, e.value, out);
}

MUST_USE enum err rb_tsig_put(struct source_txn *st, const struct tsig_key_row *k, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    uint8_t buf[RRKEY_MAX];
    struct bytes key;
    enum err err = rb_may_write(t, fault);
    if (err != OK || (err = name_key(buf, name_bytes(&k->name), &key)) != OK)
        return err;
    if (k->algorithm.len > TSIG_ALGORITHM_MAX || k->secret.len > TSIG_SECRET_MAX || k->rights.len > TSIG_RIGHTS_MAX)
        return fault_set(fault, ERR_LIMIT, "a TSIG key has at most %d bytes of secret and %d of rights", TSIG_SECRET_MAX,
                         TSIG_RIGHTS_MAX);
    size_t size = TSIG_VALUE_MAX - TSIG_RIGHTS_MAX + k->rights.len;
    struct wr w = wr_over(arena_take(&t->arena, size), size);
    if (w.buf == NULL)
        return ERR_NOMEM;
    tsig_value_write(&w, k);
    t->moved = true;
    return book_put(t->t, KEYS, key, wr_done(&w), fault);
}

MUST_USE enum err rb_tsig_del(struct source_txn *st, struct bytes name, struct fault *fault)
{
    struct book_source_txn *t = txn_of(st);
    uint8_t buf[RRKEY_MAX];
    struct bytes key;
    enum err err = rb_may_write(t, fault);
    if (err != OK || (err = name_key(buf, name, &key)) != OK)
        return err;
    t->moved = true;
    return book_del(t->t, KEYS, key, fault);
}
