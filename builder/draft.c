#include "builder/draft.h"

#include "builder/rdata.h"

#include <stdlib.h>

#define SAME_MOST 256           /* records up to which doubles are sought by what they mean, not by their bytes alone */

static const struct bytes dns = { (const uint8_t *)"dns", 3 };

/* --- life --------------------------------------------------------------------------------------------------------- */
/* Is it in the store, and with data? */
static enum err look_at_store(struct draft *d, struct fault *fault)
{
    uint8_t buf[RRKEY_MAX];
    struct wr key = wr_over(buf, sizeof buf);
    struct zone_header h;
    struct bytes value;
    enum err err = rrkey_write(name_bytes(&d->apex), RRSLOT_ZONE, &key);
    if (err == OK)
        err = view_get(d->with.view, dns, wr_done(&key), &value);
    d->gone = err == ERR_NOTFOUND;
    if (d->gone)
        return OK;
    if (err == OK)
        err = zone_header_read(value, &h);
    if (err != OK)
        return fault_set(fault, err, "the zone's header cannot be read: azoth verify tells more");
    d->live = h.state == ZONE_LIVE;
    d->expired = h.state == ZONE_EXPIRED;
    return OK;
}

static enum err of_no_row(const struct draft *d, struct fault *fault)
{
    if (d->gone)
        return fault_set(fault, ERR_NOTFOUND, "no such zone");
    return fault_set(fault, ERR_NOTNOW, "the zone comes from a file (core.zones or azoth load): it is edited there");
}

static enum err read_settings(struct draft *d, struct fault *fault)
{
    enum err err = ERR_NOTNOW;
    if (d->with.kept != NULL)
        err = settings_kept_take(d->with.kept, d->row.settings, &d->settings, fault);
    d->borrows = err == OK;
    return err == ERR_NOTNOW ? settings_read(d->row.settings, &d->arena, &d->settings, fault) : err;
}

static enum err read_row(struct draft *d, struct fault *fault)
{
    enum err err = source_zone(d->with.txn, name_bytes(&d->apex), &d->row);
    if (err == ERR_NOTFOUND)
        return of_no_row(d, fault);
    struct bytes text = d->row.settings;        /* kept longer than the transaction: it may have to be put back */
    if (err == OK && (d->row.settings = arena_copy(&d->arena, text)).ptr == NULL && text.len > 0)
        err = ERR_NOMEM;
    if (err == OK)
        err = read_settings(d, fault);
    if (err != OK)
        return fault_set(fault, err, "the zone's settings cannot be read: %s", err_text(err));
    d->has_rows = d->settings.kind == ZONE_NATIVE;
    return d->settings.kind == ZONE_FILE ? of_no_row(d, fault) : OK;
}

static enum err read_serial(struct draft *d, struct fault *fault)
{
    struct row soa;
    if (!d->live)
        return OK;
    enum err err = draft_row(d, name_bytes(&d->apex), TYPE_SOA, 0, &soa, fault);
    if (err == ERR_NOTFOUND)
        return OK;
    for (size_t i = 0; err == OK && i < soa.n; i++)
        if (!soa.rr[i].disabled)
            return soa_serial(soa.rr[i].rdata, &d->serial) == OK ? OK : fault_set(fault, ERR_BAD, "the zone's SOA cannot be read");
    return err;
}

MUST_USE enum err draft_open(struct draft **out, struct bytes apex, const struct draft_with *with, struct fault *fault)
{
    struct draft *d = calloc(1, sizeof *d);
    if (d == NULL)
        return ERR_NOMEM;
    d->with = *with;
    arena_init(&d->arena);
    secret_hash_init(&d->secret);
    settings_init(&d->settings, ZONE_NATIVE);
    d->apex.len = (uint8_t)apex.len;
    memcpy(d->apex.wire, apex.ptr, apex.len);
    name_lower(d->apex.wire, apex.len);
    enum err err = look_at_store(d, fault);
    if (err == OK)
        err = read_row(d, fault);
    if (err == OK)
        err = read_serial(d, fault);
    if (err != OK) {
        draft_close(d);
        return err;
    }
    d->serial_after = d->serial;
    *out = d;
    return OK;
}

void draft_close(struct draft *d)
{
    if (d == NULL)
        return;
    patch_close(d->patch);
    settings_release(&d->settings);
    if (d->borrows)
        settings_kept_give(d->with.kept);
    free(d->set);
    free(d->bucket);
    free(d->set_bucket);
    arena_release(&d->arena);
    free(d);
}

struct bytes draft_apex(const struct draft *d) { return name_bytes(&d->apex); }
const struct zone_settings *draft_settings(const struct draft *d) { return &d->settings; }
uint32_t draft_serial(const struct draft *d) { return d->serial; }
uint64_t draft_now_s(const struct draft *d) { return d->with.now_s; }
struct arena *draft_arena(struct draft *d) { return &d->arena; }

/* --- what was set ---------------------------------------------------------------------------------------------------- */
static uint32_t hash_of(const struct draft *d, struct bytes owner) { return (uint32_t)secret_hash(&d->secret, owner); }

static size_t newest_of(const struct draft *d, uint32_t hash)
{
    return d->buckets == 0 ? DRAFT_NONE : d->bucket[hash & (d->buckets - 1)];
}

static bool is_of(const struct row *r, struct bytes owner, uint16_t type, uint16_t covers)
{
    return r->type == type && r->covers == covers && bytes_equal(r->owner, owner);
}

static uint32_t hash_of_set(const struct draft *d, struct bytes owner, uint16_t type, uint16_t covers)
{
    return secret_hash_rrset(&d->secret, owner, type, covers);
}

const struct draft_set *draft_find(const struct draft *d, struct bytes owner, uint16_t type, uint16_t covers)
{
    size_t at = d->buckets == 0 ? DRAFT_NONE : d->set_bucket[hash_of_set(d, owner, type, covers) & (d->buckets - 1)];
    while (at != DRAFT_NONE && !is_of(&d->set[at].after, owner, type, covers))
        at = d->set[at].next_set;
    return at == DRAFT_NONE ? NULL : &d->set[at];
}

bool draft_is_newest_of_owner(const struct draft *d, size_t i)
{
    size_t at = newest_of(d, d->set[i].hash);
    while (at != DRAFT_NONE && !bytes_equal(d->set[at].after.owner, d->set[i].after.owner))
        at = d->set[at].next;
    return at == i;
}

static void enter(struct draft *d, size_t i)
{
    size_t *bucket = &d->bucket[d->set[i].hash & (d->buckets - 1)];
    d->set[i].next = *bucket;
    *bucket = i;
    bucket = &d->set_bucket[d->set[i].set_hash & (d->buckets - 1)];
    d->set[i].next_set = *bucket;
    *bucket = i;
}

static bool grow(struct draft *d)
{
    if (d->n < d->cap)
        return true;
    size_t cap = d->cap == 0 ? 16 : d->cap * 2;
    struct draft_set *set = realloc(d->set, cap * sizeof *set);
    if (set == NULL)
        return false;
    d->set = set;
    size_t *bucket = realloc(d->bucket, cap * sizeof *bucket);
    if (bucket == NULL)
        return false;
    d->bucket = bucket;
    bucket = realloc(d->set_bucket, cap * sizeof *bucket);
    if (bucket == NULL)
        return false;
    d->set_bucket = bucket;
    d->buckets = d->cap = cap;
    for (size_t i = 0; i < cap; i++)
        d->bucket[i] = d->set_bucket[i] = DRAFT_NONE;
    for (size_t i = 0; i < d->n; i++)
        enter(d, i);
    return true;
}

static enum err add_set(struct draft *d, const struct row *before, const struct row *after)
{
    const struct draft_set *old = draft_find(d, after->owner, after->type, after->covers);
    size_t hides = old == NULL ? DRAFT_NONE : (size_t)(old - d->set);
    if (!grow(d))
        return ERR_NOMEM;
    d->set[d->n] = (struct draft_set){ .before = *before, .after = *after, .hash = hash_of(d, after->owner),
                                       .set_hash = hash_of_set(d, after->owner, after->type, after->covers), .hides = hides,
                                       .first = hides == DRAFT_NONE ? d->n : d->set[hides].first };
    enter(d, d->n++);
    return OK;
}

struct draft_mark draft_mark(const struct draft *d)
{
    return (struct draft_mark){ d->n, d->settings_text };
}

static enum err settings_take(struct draft *d, struct bytes text, struct fault *fault)
{
    struct zone_settings fresh;
    enum err err = settings_read(text, &d->arena, &fresh, fault);
    if (err != OK) {
        settings_release(&fresh);
        return err;
    }
    settings_release(&d->settings);
    d->settings = fresh;
    return OK;
}

MUST_USE enum err draft_undo(struct draft *d, struct draft_mark mark)
{
    while (d->n > mark.n) {
        const struct draft_set *s = &d->set[--d->n];
        d->bucket[s->hash & (d->buckets - 1)] = s->next;
        d->set_bucket[s->set_hash & (d->buckets - 1)] = s->next_set;
    }
    if (d->settings_text.ptr == mark.settings_text.ptr)
        return OK;
    d->settings_text = mark.settings_text;
    return settings_take(d, mark.settings_text.ptr != NULL ? mark.settings_text : d->row.settings, NULL);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */
static enum err lower(struct draft *d, struct bytes owner, struct bytes *out, struct fault *fault)
{
    if (owner.len == 0 || owner.len > NAME_MAX_LEN || !name_under(owner, name_bytes(&d->apex)))
        return fault_set(fault, ERR_REFUSED, "the name is not in the zone");
    *out = owner;
    if (name_is_lower(owner))
        return OK;
    if ((*out = arena_copy(&d->arena, owner)).ptr == NULL)
        return ERR_NOMEM;
    name_lower((uint8_t *)(uintptr_t)out->ptr, out->len);
    return OK;
}

static enum err need_patch(struct draft *d, struct fault *fault)
{
    return d->patch != NULL ? OK : patch_open(&d->patch, name_bytes(&d->apex), d->with.view, fault);
}

/* An RRset of a zone without rows, as a row. */
static enum err row_of(struct draft *d, struct bytes owner, const struct patch_rrset *s, struct row *out)
{
    struct row_rr *rr = arena_take(&d->arena, (s->n + 1) * sizeof *rr);
    if (rr == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n; i++)
        rr[i] = (struct row_rr){ s->rdata[i], false };
    *out = (struct row){ .owner = owner, .type = s->type, .covers = s->covers, .ttl = s->ttl, .rr = rr, .n = s->n };
    return OK;
}

static enum err stored_row(struct draft *d, struct bytes owner, uint16_t type, uint16_t covers, struct row *out,
                           struct fault *fault)
{
    struct patch_rrset s;
    if (d->has_rows)
        return source_row(d->with.txn, d->row.id, owner, type, covers, out);
    if (!d->live)
        return ERR_NOTFOUND;
    enum err err = need_patch(d, fault);
    if (err == OK)
        err = patch_get(d->patch, owner, type, covers, &s, fault);
    if (err == OK && s.n == 0)
        return ERR_NOTFOUND;
    return err != OK ? err : row_of(d, owner, &s, out);
}

static bool is_gone(const struct row *r) { return r->n == 0 && r->comments_n == 0; }

MUST_USE enum err draft_row(struct draft *d, struct bytes owner, uint16_t type, uint16_t covers, struct row *out,
                            struct fault *fault)
{
    struct bytes low;
    enum err err = lower(d, owner, &low, fault);
    if (err != OK)
        return err;
    const struct draft_set *s = draft_find(d, low, type, covers);
    if (s == NULL)
        return stored_row(d, low, type, covers, out, fault);
    if (is_gone(&s->after))
        return ERR_NOTFOUND;
    *out = s->after;
    return OK;
}

/* Rows of the owner, as stored. */
static enum err stored_owner(struct draft *d, struct bytes owner, const struct row **out, size_t *n, struct fault *fault)
{
    const struct patch_rrset *sets;
    struct row *rows;
    *n = 0;
    if (d->has_rows)
        return source_owner(d->with.txn, d->row.id, owner, out, n);
    if (!d->live)
        return OK;
    size_t sets_n = 0;
    enum err err = need_patch(d, fault);
    if (err == OK)
        err = patch_get_all(d->patch, owner, &sets, &sets_n, fault);
    if (err == OK && (rows = arena_take(&d->arena, (sets_n + 1) * sizeof *rows)) == NULL)
        err = ERR_NOMEM;
    for (size_t i = 0; err == OK && i < sets_n; i++)
        err = row_of(d, owner, &sets[i], &rows[i]);
    if (err == OK) {
        *out = rows;
        *n = sets_n;
    }
    return err;
}

static int by_type(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->type != y->type ? (x->type > y->type) - (x->type < y->type) : (x->covers > y->covers) - (x->covers < y->covers);
}

MUST_USE enum err draft_owner(struct draft *d, struct bytes owner, const struct row **out, size_t *n, struct fault *fault)
{
    const struct row *stored = NULL;
    size_t stored_n = 0, room, got = 0;
    struct bytes low;
    enum err err = lower(d, owner, &low, fault);
    if (err == OK)
        err = stored_owner(d, low, &stored, &stored_n, fault);
    if (err != OK)
        return err;
    room = stored_n;
    size_t newest = newest_of(d, hash_of(d, low));
    for (size_t at = newest; at != DRAFT_NONE; at = d->set[at].next)
        room++;
    struct row *rows = arena_take(&d->arena, (room + 1) * sizeof *rows);
    if (rows == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < stored_n; i++)
        if (draft_find(d, low, stored[i].type, stored[i].covers) == NULL)
            rows[got++] = stored[i];
    for (size_t at = newest; at != DRAFT_NONE; at = d->set[at].next) {
        const struct draft_set *s = &d->set[at];
        if (bytes_equal(s->after.owner, low) && !is_gone(&s->after) && draft_is_newest(d, s))
            rows[got++] = s->after;
    }
    if (got > 1)
        qsort(rows, got, sizeof *rows, by_type);
    *out = rows;
    *n = got;
    return OK;
}

/* --- setting ------------------------------------------------------------------------------------------------------- */
static bool same_comments(const struct row *a, const struct row *b)
{
    bool same = a->comments_n == b->comments_n;
    for (size_t i = 0; same && i < a->comments_n; i++)
        same = bytes_equal(a->comments[i].text, b->comments[i].text) && bytes_equal(a->comments[i].account, b->comments[i].account)
            && a->comments[i].modified_s == b->comments[i].modified_s;
    return same;
}

static bool same_row(const struct row *a, const struct row *b)
{
    bool same = a->ttl == b->ttl && a->n == b->n && same_comments(a, b);
    for (size_t i = 0; same && i < a->n; i++)
        same = a->rr[i].disabled == b->rr[i].disabled && bytes_equal(a->rr[i].rdata, b->rr[i].rdata);
    return same;
}

static int by_rdata(const void *a, const void *b)
{
    const struct row_rr *const *x = a, *const *y = b;
    int c = bytes_compare((*x)->rdata, (*y)->rdata);
    return c != 0 ? c : (*x > *y) - (*x < *y);
}

/* Of many records those with the same bytes; the first of them stays where it is, enabled when one of them is. The others are
 * marked by a NULL. */
static enum err mark_doubles(struct arena *a, struct row_rr *rr, size_t n)
{
    struct row_rr **sorted = arena_take(a, (n + 1) * sizeof *sorted), *kept = NULL;
    if (sorted == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &rr[i];
    qsort(sorted, n, sizeof *sorted, by_rdata);
    for (size_t i = 0; i < n; i++) {
        if (kept != NULL && bytes_equal(kept->rdata, sorted[i]->rdata)) {
            kept->disabled &= sorted[i]->disabled;
            sorted[i]->rdata.ptr = NULL;
        } else {
            kept = sorted[i];
        }
    }
    return OK;
}

static bool is_double(uint16_t type, struct row_rr *rr, size_t n, const struct row_rr *of)
{
    for (size_t i = 0; i < n; i++)
        if (rdata_same(type, rr[i].rdata, of->rdata)) {
            rr[i].disabled &= of->disabled;
            return true;
        }
    return false;
}

static enum err copy_records(struct draft *d, const struct row *from, struct row *to)
{
    struct row_rr *rr = arena_take(&d->arena, (from->n + 1) * sizeof *rr);
    size_t n = 0;
    if (rr == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < from->n; i++) {
        rr[i] = (struct row_rr){ arena_copy(&d->arena, from->rr[i].rdata), from->rr[i].disabled };
        if (rr[i].rdata.ptr == NULL && (rr[i].rdata.ptr = arena_take(&d->arena, 1)) == NULL)
            return ERR_NOMEM;
        d->bytes += rr[i].rdata.len + sizeof *rr;
    }
    enum err err = from->n > SAME_MOST ? mark_doubles(&d->arena, rr, from->n) : OK;
    for (size_t i = 0; err == OK && i < from->n; i++)
        if (rr[i].rdata.ptr != NULL && (from->n > SAME_MOST || !is_double(from->type, rr, n, &rr[i])))
            rr[n++] = rr[i];
    to->rr = rr;
    to->n = n;
    return err;
}

static enum err copy_comments(struct draft *d, const struct row *from, struct row *to)
{
    struct comment *c = arena_take(&d->arena, (from->comments_n + 1) * sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < from->comments_n; i++) {
        const struct comment *f = &from->comments[i];
        c[i] = (struct comment){ arena_copy(&d->arena, f->text), arena_copy(&d->arena, f->account), f->modified_s };
        if ((c[i].text.ptr == NULL && f->text.len > 0) || (c[i].account.ptr == NULL && f->account.len > 0))
            return ERR_NOMEM;
    }
    to->comments = c;
    return OK;
}

static enum err may_set(const struct draft *d, const struct row *row, struct fault *fault)
{
    if (!d->has_rows && d->with.via != VIA_TRANSFER)
        return fault_set(fault, ERR_NOTNOW, "the zone is a secondary: its records come from its primaries");
    if (d->has_rows && d->with.via == VIA_TRANSFER)
        return fault_set(fault, ERR_REFUSED, "the zone is no secondary any more: it was made anew, or native, while its transfer was under way");
    if (d->expired)
        return fault_set(fault, ERR_NOTNOW, "the zone has expired: its state is set to live first, or all of it is transferred");
    if (rrtype_is_meta(row->type))
        return fault_set(fault, ERR_REFUSED, "no zone holds records of type %u", row->type);
    if (row->n > 65535)
        return fault_set(fault, ERR_REFUSED, "an RRset of %zu records", row->n);
    for (size_t i = 0; i < row->n; i++) {
        struct rd r = rd_over(row->rr[i].rdata);
        if (row->rr[i].rdata.len > RDATA_MAX || (row->type == TYPE_RRSIG && rd_u16(&r) != row->covers))
            return fault_set(fault, ERR_REFUSED, "a record of type %u breaks its form", row->type);
    }
    return OK;
}

static enum err row_before(struct draft *d, struct bytes owner, const struct row *of, struct row *out, struct fault *fault)
{
    enum err err = draft_row(d, owner, of->type, of->covers, out, fault);
    if (err != ERR_NOTFOUND)
        return err;
    *out = (struct row){ .owner = owner, .type = of->type, .covers = of->covers };
    return OK;
}

/* It is borrowed from a transaction that may be over when it has to be put back. */
static enum err keep_row(struct draft *d, struct row *row)
{
    struct row kept = *row;
    enum err err = draft_find(d, row->owner, row->type, row->covers) != NULL ? OK : copy_records(d, row, &kept);
    if (err == OK && kept.rr != row->rr)
        err = copy_comments(d, row, &kept);
    if (err == OK && (kept.owner = arena_copy(&d->arena, row->owner)).ptr == NULL)
        err = ERR_NOMEM;
    if (err == OK)
        *row = kept;
    return err;
}

MUST_USE enum err draft_put(struct draft *d, const struct row *row, struct fault *fault)
{
    struct row after = *row, before;
    struct bytes low;
    enum err err = lower(d, row->owner, &low, fault);
    if (err != OK)
        return err;
    if ((after.owner = arena_copy(&d->arena, low)).ptr == NULL)
        return ERR_NOMEM;
    err = row_before(d, after.owner, row, &before, fault);
    if (err == OK)
        err = copy_records(d, row, &after);
    if (err == OK)
        err = copy_comments(d, row, &after);
    if (err != OK || (is_gone(&before) && is_gone(&after)) || (!is_gone(&before) && same_row(&before, &after)))
        return err;
    after.modified_s = d->with.now_s;
    if ((err = keep_row(d, &before)) != OK)
        return err;
    d->bytes += sizeof(struct draft_set) + after.owner.len;
    return add_set(d, &before, &after);
}

MUST_USE enum err draft_set(struct draft *d, const struct row *row, struct fault *fault)
{
    enum err err = may_set(d, row, fault);
    return err != OK ? err : draft_put(d, row, fault);
}

MUST_USE enum err draft_settings_set(struct draft *d, const struct zone_settings *s, struct fault *fault)
{
    struct zone_settings stamped = *s;
    struct bytes text;
    struct bytes now, wish;
    if (s->kind != d->settings.kind)
        return fault_set(fault, ERR_REFUSED, "the kind of a zone does not change, but that a secondary becomes native: remove it and create it anew");
    enum err err = settings_check(s, fault);
    if (err == OK)
        err = settings_check_edit(&d->settings, s, d->with.via == VIA_CATALOG, fault);
    if (err == OK)
        err = settings_text(&d->settings, &d->arena, &now);
    if (err == OK)
        err = settings_text(s, &d->arena, &wish);
    if (err != OK || bytes_equal(now, wish))
        return err;
    stamped.edited_s = d->with.now_s;
    err = settings_text(&stamped, &d->arena, &text);
    if (err == OK)
        err = settings_take(d, text, fault);
    if (err == OK)
        d->settings_text = text;
    return err;
}

MUST_USE enum err draft_published(struct draft *d, const struct row *row, struct patch_rrset *out)
{
    struct bytes *rdata = arena_take(&d->arena, (row->n + 1) * sizeof *rdata);
    if (rdata == NULL)
        return ERR_NOMEM;
    *out = (struct patch_rrset){ .type = row->type, .covers = row->covers, .ttl = row->ttl, .rdata = rdata };
    for (size_t i = 0; i < row->n; i++)
        if (!row->rr[i].disabled)
            rdata[out->n++] = row->rr[i].rdata;
    return OK;
}
