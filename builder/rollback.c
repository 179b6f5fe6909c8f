#include "builder/rollback.h"

#include "builder/serial.h"
#include "builder/settings.h"

#include <inttypes.h>

void rollback_init(struct rollback *r)
{
    *r = (struct rollback){ .serial = 0 };
    difference_init(&r->d);
    arena_init(&r->arena);
    zone_init(&r->zone, bytes_of("", 1), "journal");
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
MUST_USE enum err rollback_read(struct rollback *r, struct journal *j, struct view *v, struct bytes apex, uint64_t to,
                                struct fault *fault)
{
    struct zone_header h;
    rollback_init(r);
    enum err err = zone_header_get(apex, v, &h);
    if (err != OK)
        return fault_set(fault, err, err == ERR_NOTFOUND ? "no such zone" : "the zone's header cannot be read");
    if (zone_header_serial(&h, &r->serial) != OK)
        r->serial = 0;
    err = journal_difference(j, apex, to, 0, ROLLBACK_MOST, &r->d, fault);
    if (err == OK && r->d.cut)
        return fault_set(fault, ERR_LIMIT, "more than %d RRsets changed since seq %" PRIu64 ": import the zone as it was",
                         ROLLBACK_MOST, to);
    return err;
}

void rollback_release(struct rollback *r)
{
    difference_release(&r->d);
    zone_release(&r->zone);
    arena_release(&r->arena);
}

/* --- a zone that was removed -------------------------------------------------------------------------------------- */
struct removal { struct arena *a; uint64_t to; struct bytes settings; bool there; enum err err; };

/* Newest first: the last removal that is seen is the first one behind `to`. */
static bool on_trace(void *arg, const struct history_row *h)
{
    struct removal *m = arg;
    if (h->seq < m->to)
        return false;
    if (h->after.ptr != NULL)
        return true;
    m->settings = arena_copy(m->a, h->before);
    m->there = true;
    m->err = m->settings.ptr == NULL ? ERR_NOMEM : OK;
    return m->err == OK;
}

/* A zone of before there was a history of settings gets the defaults. */
static enum err settings_then(struct rollback *r, struct source_txn *t, struct bytes apex, uint64_t to, struct zone_settings *out,
                              bool *there, struct fault *fault)
{
    struct removal m = { .a = &r->arena, .to = to, .settings = bytes_of_text("{\"kind\":\"native\"}") };
    enum err err = source_history(t, HISTORY_ZONE, apex, UINT64_MAX, on_trace, &m);
    settings_init(out, ZONE_NATIVE);
    if (err == OK)
        err = m.err;
    if (err != OK)
        return fault_set(fault, err, "cannot read the history of settings: %s", err_text(err));
    r->settings = m.settings;
    *there = m.there;
    return settings_read(m.settings, &r->arena, out, fault);
}

static bool on_last(void *arg, const struct journal_entry *e)
{
    *(uint32_t *)arg = e->serial_before;
    return false;
}

static enum err add_rrset(struct zone *z, const struct rrset_change *c)
{
    enum err err = OK;
    for (size_t i = 0; i < c->before.n && err == OK; i++)
        err = zone_add(z, c->owner, c->type, c->before.ttl, c->before.rdata[i], 0);
    return err;
}

/* Behind all serials that secondaries may have seen. */
static enum err move_serial(struct rollback *r, struct journal *j, enum serial_policy policy, uint64_t now_s, struct fault *fault)
{
    uint32_t last = 0;
    enum err err = journal_walk_back(j, name_bytes(&r->zone.apex), 0, UINT64_MAX, on_last, &last, fault);
    for (size_t i = 0; i < r->zone.n && err == OK && policy != SERIAL_KEEP; i++)
        if (r->zone.rr[i].type == TYPE_SOA)
            err = soa_serial_put((uint8_t *)(uintptr_t)r->zone.rr[i].rdata.ptr, r->zone.rr[i].rdata.len, serial_next(policy, last, now_s));
    return err;
}

static enum err records_then(struct rollback *r, struct journal *j, struct bytes apex, uint64_t to, struct fault *fault)
{
    bool soa = false;
    enum err err = journal_difference(j, apex, to, 0, ROLLBACK_ZONE_MOST, &r->d, fault);
    if (err != OK)
        return err;
    if (r->d.cut)
        return fault_set(fault, ERR_LIMIT, "the zone had more than %d RRsets then", ROLLBACK_ZONE_MOST);
    for (size_t i = 0; i < r->d.n && err == OK; i++) {
        soa |= r->d.v[i].type == TYPE_SOA && r->d.v[i].before.n > 0;
        err = add_rrset(&r->zone, &r->d.v[i]);
    }
    return err != OK || soa ? err : fault_set(fault, ERR_NOTFOUND, "no such zone, and none that was removed behind seq %" PRIu64, to);
}

MUST_USE enum err rollback_removed(struct rollback *r, struct journal *j, struct source_txn *t, struct bytes apex, uint64_t to,
                                   uint64_t now_s, struct fault *fault)
{
    struct zone_settings s;
    bool there = false;
    rollback_init(r);
    zone_release(&r->zone);
    zone_init(&r->zone, apex, "journal");
    enum err err = settings_then(r, t, apex, to, &s, &there, fault);
    bool elsewhere = err == OK && there && s.kind == ZONE_SECONDARY;       /* its primary has the data */
    if (err == OK && !elsewhere)
        err = records_then(r, j, apex, to, fault);
    if (err == OK && !elsewhere)
        err = move_serial(r, j, s.serial, now_s, fault);
    settings_release(&s);
    return err;
}

/* --- the plan ----------------------------------------------------------------------------------------------------- */
static bool among(const struct bytes *v, size_t n, struct bytes rdata)
{
    for (size_t i = 0; i < n; i++)
        if (bytes_equal(v[i], rdata))
            return true;
    return false;
}

static enum err moved(const struct rrset_change *c, struct fault *fault)
{
    char text[NAME_TEXT_MAX];
    return fault_set(fault, ERR_STALE, "%.300s changed while the roll-back was being made", name_text(text, sizeof text, c->owner));
}

/* Does the row publish what the journal says was published last? */
static enum err still(struct draft *d, const struct rrset_change *c, const struct row *row, struct fault *fault)
{
    struct bytes *rdata = arena_take(draft_arena(d), (row->n + 1) * sizeof *rdata);
    size_t n = 0;
    if (rdata == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < row->n; i++)
        if (!row->rr[i].disabled)
            rdata[n++] = row->rr[i].rdata;
    n = c->type == TYPE_RRSIG ? rrset_sort(rdata, n) : rrset_sort_names(c->type, rdata, n);
    if (n != c->after.n || (n > 0 && row->ttl != c->after.ttl))
        return moved(c, fault);
    for (size_t i = 0; i < n; i++)
        if (!among(c->after.rdata, c->after.n, rdata[i]))
            return moved(c, fault);
    return OK;
}

/* What was published then, and what is disabled now. */
static enum err old_records(struct draft *d, const struct rrset_change *c, struct row *row)
{
    struct row_rr *rr = arena_take(draft_arena(d), (c->before.n + row->n + 1) * sizeof *rr);
    size_t n = 0;
    if (rr == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->before.n; i++)
        rr[n++] = (struct row_rr){ c->before.rdata[i], false };
    for (size_t i = 0; i < row->n; i++)
        if (row->rr[i].disabled && !among(c->before.rdata, c->before.n, row->rr[i].rdata))
            rr[n++] = row->rr[i];
    row->ttl = c->before.n > 0 ? c->before.ttl : row->ttl;
    row->rr = rr;
    row->n = n;
    return OK;
}

/* All of the old SOA but the serial, which moves on. Nothing when only that had changed. */
static enum err old_soa(struct draft *d, const struct rrset_change *c, uint32_t serial, struct row *row, bool *set,
                        struct fault *fault)
{
    *set = false;
    if (c->before.n != 1 || c->after.n != 1)
        return fault_set(fault, ERR_GAP, "the zone had no SOA then");
    struct bytes old = arena_copy(draft_arena(d), c->before.rdata[0]), now = arena_copy(draft_arena(d), c->after.rdata[0]);
    struct row_rr *rr = arena_take(draft_arena(d), sizeof *rr);
    if (old.ptr == NULL || now.ptr == NULL || rr == NULL)
        return ERR_NOMEM;
    if (soa_serial_put((uint8_t *)(uintptr_t)old.ptr, old.len, serial) != OK ||
        soa_serial_put((uint8_t *)(uintptr_t)now.ptr, now.len, serial) != OK)
        return fault_set(fault, ERR_BAD, "a SOA in the journal cannot be read");
    *set = c->before.ttl != c->after.ttl || !bytes_equal(old, now);
    *rr = (struct row_rr){ old, false };
    row->ttl = c->before.ttl;
    row->rr = rr;
    row->n = 1;
    return OK;
}

static enum err set_back(struct draft *d, const struct rrset_change *c, uint32_t serial, struct fault *fault)
{
    struct row row;
    bool set = true;
    enum err err = draft_row(d, c->owner, c->type, c->covers, &row, fault);
    if (err == ERR_NOTFOUND) {
        row = (struct row){ .owner = c->owner, .type = c->type, .covers = c->covers };
        err = OK;
    }
    if (err == OK && c->type == TYPE_SOA)
        err = old_soa(d, c, serial, &row, &set, fault);
    else if (err == OK && (err = still(d, c, &row, fault)) == OK)
        err = old_records(d, c, &row);
    return err == OK && set ? draft_set(d, &row, fault) : err;
}

MUST_USE enum err rollback_plan(void *arg, struct draft *d, struct fault *fault)
{
    const struct rollback *r = arg;
    enum err err = OK;
    if (draft_serial(d) != r->serial)
        return fault_set(fault, ERR_STALE, "the zone moved from serial %" PRIu32 " to %" PRIu32 " while the roll-back was being made",
                         r->serial, draft_serial(d));
    for (size_t i = 0; i < r->d.n && err == OK; i++)
        err = set_back(d, &r->d.v[i], r->serial, fault);
    return err;
}
