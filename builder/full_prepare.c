/* What a build is to do: looked up, judged, turned into ops. */
#include "builder/full_parts.h"

#include "base/clock.h"
#include "builder/build.h"
#include "builder/records.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

static enum err store_failed(struct build *b, enum err err, const char *what)
{
    struct fault fault = { "" };
    (void)fault_set(&fault, err, "cannot read the %s: %s", what, err_text(err));
    return build_fail(b, err, &fault);
}

/* --- what is there -------------------------------------------------------------------------------------------------- */
static enum err read_row(struct build *b, struct source_txn *t, struct fault *fault)
{
    struct zone_row row;
    enum err err = source_zone(t, name_bytes(&b->apex), &row);
    if (err == ERR_NOTFOUND)
        return OK;
    if (err != OK)
        return err;
    b->has_row = true;
    b->old_id = row.id;
    b->old_settings = arena_copy(&b->arena, row.settings);
    if (b->old_settings.ptr == NULL && row.settings.len > 0)
        return ERR_NOMEM;
    return settings_read(b->old_settings, &b->arena, &b->settings, fault);
}

static enum err read_header(struct build *b)
{
    enum err err = zone_header_get(name_bytes(&b->apex), b->view, &b->header);
    b->has_serial = err == OK && zone_header_serial(&b->header, &b->serial_before) == OK;
    b->serial = b->serial_before;
    b->header.soa = (struct rrset){ 0 };
    b->header.nsec3.salt = (struct bytes){ 0 };
    return err == ERR_NOTFOUND ? OK : err;
}

static bool is_stored(const struct build *b) { return b->header.state != 0; }

/* --- may it be ------------------------------------------------------------------------------------------------------ */
static enum err judge_create(struct build *b)
{
    const struct change *c = build_change(b);
    struct fault fault = { "" };
    if (b->has_row && b->settings.kind == ZONE_SECONDARY)
        return build_refuse(b, ERR_EXISTS, "the zone is there already, as a secondary: with kind set to native (azoth zone set NAME kind=native) "
                            "it is edited here, with the records it has");
    if (b->has_row)
        return build_refuse(b, ERR_EXISTS, "the zone is there already");
    if (is_stored(b))
        return build_refuse(b, ERR_EXISTS, "the zone is there already: it was loaded from a file");
    enum err err = settings_read(c->settings, &b->arena, &b->settings, &fault);
    if (err != OK)
        return build_fail(b, err, &fault);
    if (b->settings.kind == ZONE_FILE)
        return build_refuse(b, ERR_REFUSED, "zones of kind file come from core.zones and azoth load");
    if (b->settings.member_catalog[0] != '\0' && c->author.via != VIA_CATALOG)     /* a roll-back has the settings of then */
        return build_refuse(b, ERR_REFUSED, "the zone was a member of the catalog zone %s, which alone makes it: list it there",
                            b->settings.member_catalog);
    b->kind = b->settings.kind;
    err = settings_check(&b->settings, &fault);
    return err == OK ? OK : build_fail(b, err, &fault);
}

/* Of this catalog zone, in the records. */
static enum err count_members(const struct build *b, struct source_txn *t, size_t *n)
{
    char catalog[NAME_TEXT_MAX];
    struct zone_row row;
    struct zone_settings s;
    struct name after = { .len = 0 };
    struct arena a;
    enum err err;
    *n = 0;
    (void)name_text(catalog, sizeof catalog, name_bytes(&b->apex));
    arena_init(&a);
    while ((err = source_zone_next(t, name_bytes(&after), &row)) == OK) {
        after = row.apex;
        if (memmem(row.settings.ptr, row.settings.len, "\"member_of\"", 11) == NULL)
            continue;
        arena_reset(&a);
        *n += settings_read(row.settings, &a, &s, NULL) == OK && strcmp(s.member_catalog, catalog) == 0;
        settings_release(&s);
    }
    arena_release(&a);
    return err == ERR_NOTFOUND ? OK : err;
}

static enum err judge_removal(struct build *b, struct source_txn *t)
{
    const struct change *c = build_change(b);
    size_t n = 0;
    if (b->settings.member_catalog[0] != '\0' && c->author.via != VIA_CATALOG)
        return build_refuse(b, ERR_NOTNOW, "the zone is a member of the catalog zone %s: take it out there", b->settings.member_catalog);
    if (b->settings.catalog == NULL || c->force)
        return OK;
    enum err err = count_members(b, t, &n);
    if (err != OK)
        return store_failed(b, err, "records");
    return n == 0 ? OK : build_refuse(b, ERR_REFUSED, "the catalog zone has %zu members, which go with it: force it, or set catalog to "
                                      "null before, and they stay as ordinary secondaries", n);
}

/* The settings as they are to be, behind what the change says of them. */
static enum err settle(struct build *b, struct zone_settings *s, struct fault *fault)
{
    const struct change *c = build_change(b);
    enum err err = OK;
    s->kind = ZONE_NATIVE;
    if (b->promotes) {
        s->primaries = NULL;
        s->primaries_n = 0;
    }
    if (c->settle != NULL)
        err = c->settle(c->arg, s, &b->arena, fault);
    if (err == OK && s->kind != ZONE_NATIVE)
        err = fault_set(fault, ERR_REFUSED, "the zone is to be native, and of another kind");
    if (err == OK)
        err = settings_check(s, fault);
    return err != OK ? err : settings_check_edit(&b->settings, s, c->author.via == VIA_CATALOG, fault);
}

/* Their text for the row, when they are others than before. */
static enum err settle_text(struct build *b, struct zone_settings *s)
{
    struct bytes now, wish;
    enum err err = settings_text(&b->settings, &b->arena, &now);
    if (err == OK)
        err = settings_text(s, &b->arena, &wish);
    if (err != OK || bytes_equal(now, wish))
        return err;
    s->edited_s = clock_wall_ms() / 1000;
    return settings_text(s, &b->arena, &b->new_settings);
}

static enum err take_settings(struct build *b)
{
    struct fault fault = { "" };
    struct zone_settings s = b->settings;
    settings_hold(&s);
    enum err err = settle(b, &s, &fault);
    if (err == OK)
        err = settle_text(b, &s);
    if (err != OK) {
        settings_release(&s);
        return build_fail(b, err, &fault);
    }
    settings_release(&b->settings);
    b->settings = s;
    return OK;
}

/* A secondary keeps nothing but what the store has: without data there would be no zone. */
static enum err judge_native(struct build *b)
{
    const struct zone_settings *s = &b->settings;
    if (b->kind == ZONE_FILE)
        return build_refuse(b, ERR_NOTNOW, "the zone is of kind file: it is edited there");
    if (b->kind == ZONE_NATIVE)
        return take_settings(b);
    if (s->member_catalog[0] != '\0')
        return build_refuse(b, ERR_NOTNOW, "the zone is a member of the catalog zone %s, which makes it a secondary: set catalog of that zone "
                            "to null, and its members stay as ordinary secondaries", s->member_catalog);
    if (s->catalog != NULL)
        return build_refuse(b, ERR_NOTNOW, "the zone is a catalog zone, which is taken from its primaries: set catalog to null before");
    if (!is_stored(b) || b->header.state == ZONE_EMPTY)
        return build_refuse(b, ERR_NOTNOW, "the zone has no data, as nothing was transferred yet: remove it and create it anew");
    b->kind = ZONE_NATIVE;
    b->promotes = true;
    return take_settings(b);
}

static enum err judge_kind(struct build *b, struct source_txn *t)
{
    const struct change *c = build_change(b);
    if (!b->has_row && !is_stored(b))
        return build_refuse(b, ERR_NOTFOUND, "no such zone");
    b->kind = b->has_row ? b->settings.kind : b->header.kind;
    if (c->kind == CHANGE_NATIVE)
        return judge_native(b);
    if (c->kind == CHANGE_REBUILD && b->kind == ZONE_SECONDARY && b->header.state == ZONE_EXPIRED)
        return build_refuse(b, ERR_NOTNOW, "the zone has expired: it comes back with the next transfer from its primaries");
    if (c->kind == CHANGE_WHOLE && (!b->has_row || b->kind == ZONE_FILE))
        return build_refuse(b, ERR_NOTNOW, "the zone is of kind file: its records come from its file");
    if (c->kind == CHANGE_WHOLE && b->kind == ZONE_SECONDARY && c->author.via != VIA_TRANSFER)
        return build_refuse(b, ERR_NOTNOW, "the zone is a secondary: its records come from its primaries");
    if (c->author.via == VIA_TRANSFER && b->kind != ZONE_SECONDARY)
        return build_refuse(b, ERR_REFUSED, "the zone is no secondary any more: it was made anew, or native, while its transfer was under way");
    return c->kind == CHANGE_REMOVE && b->has_row ? judge_removal(b, t) : OK;
}

static enum err judge(struct build *b, struct source_txn *t)
{
    const struct change *c = build_change(b);
    const struct changer_options *with = b->full->with;
    bool asks = c->kind == CHANGE_CREATE || (!b->has_row && (c->kind == CHANGE_WHOLE || c->kind == CHANGE_REMOVE));
    if (asks && with->is_configured != NULL && with->is_configured(with->configured_arg, name_bytes(&b->apex)))
        return c->kind == CHANGE_CREATE ? build_refuse(b, ERR_EXISTS, "core.zones names this zone: it comes from its file")
             : build_refuse(b, ERR_NOTNOW, "core.zones names this zone: %s", c->kind == CHANGE_REMOVE
                            ? "take it out there, then send azoth-core a SIGHUP" : "its records come from its file");
    if (c->whole != NULL && !name_equal(name_bytes(&c->whole->apex), name_bytes(&b->apex)))
        return build_refuse(b, ERR_REFUSED, "the records are those of another zone");
    enum err err = c->kind == CHANGE_CREATE ? judge_create(b) : judge_kind(b, t);
    if (err == OK && c->has_if_serial && b->serial_before != c->if_serial)
        return build_refuse(b, ERR_STALE, "the zone's serial is %" PRIu32 ", not %" PRIu32, b->serial_before, c->if_serial);
    return err;
}

/* --- the records ---------------------------------------------------------------------------------------------------- */
struct take_over { struct zone *zone; enum err err; };

static bool take_record(void *arg, const struct zone_rr *rr)
{
    struct take_over *t = arg;
    t->err = zone_add(t->zone, rr->owner, rr->type, rr->ttl, rr->rdata, 0);
    return t->err == OK;
}

static enum err records_of_store(struct build *b, struct fault *fault)
{
    struct take_over t = { &b->own, OK };
    enum err err = zone_walk(name_bytes(&b->apex), b->view, take_record, &t, fault);
    return err != OK ? err : t.err;
}

/* Without any the zone has no data yet: zone stays NULL. */
static enum err find_records(struct build *b, struct source_txn *t, struct fault *fault)
{
    const struct change *c = build_change(b);
    enum err err = OK;
    if (c->kind == CHANGE_REMOVE || (c->kind == CHANGE_NATIVE && !b->promotes))
        return OK;
    if (c->kind == CHANGE_CREATE || c->kind == CHANGE_WHOLE) {
        b->zone = c->whole;
        return OK;
    }
    if (b->promotes)
        err = records_of_store(b, fault);
    else if (b->kind == ZONE_NATIVE && b->has_row)
        err = rows_read(t, b->old_id, &b->own, fault);
    else if (is_stored(b))
        err = records_of_store(b, fault);
    b->zone = b->own.n > 0 ? &b->own : NULL;
    return err;
}

/* --- the serial ----------------------------------------------------------------------------------------------------- */
static bool at_apex(const struct zone *z, const struct zone_rr *rr) { return rr->owner.len == z->apex.len; }

static const struct zone_rr *soa_of(const struct zone *z)
{
    for (size_t i = 0; i < z->n; i++)
        if (z->rr[i].type == TYPE_SOA && at_apex(z, &z->rr[i]))
            return &z->rr[i];
    return NULL;
}

/* Another serial would break the signature. */
static bool soa_is_signed(const struct zone *z)
{
    for (size_t i = 0; i < z->n; i++) {
        struct rd r = rd_over(z->rr[i].rdata);
        if (z->rr[i].type == TYPE_RRSIG && at_apex(z, &z->rr[i]) && rd_u16(&r) == TYPE_SOA)
            return true;
    }
    return false;
}

static enum err put_serial(struct zone *z, uint32_t serial)
{
    for (size_t i = 0; i < z->n; i++) {
        if (z->rr[i].type != TYPE_SOA || !at_apex(z, &z->rr[i]))
            continue;
        struct bytes copy = arena_copy(&z->arena, z->rr[i].rdata);
        if (copy.ptr == NULL)
            return ERR_NOMEM;
        enum err err = soa_serial_put((uint8_t *)(uintptr_t)copy.ptr, copy.len, serial);
        if (err != OK)
            return err;
        z->rr[i].rdata = copy;
    }
    return OK;
}

/* The serial that a whole zone comes with is not later than the live one, so the zone's policy says which it gets. A SOA that
 * is missing or does not read is left to the guards. */
static bool serial_is_ours(struct build *b)
{
    const struct zone_rr *soa = soa_of(b->zone);
    if (soa == NULL || soa_serial(soa->rdata, &b->serial) != OK)
        return false;
    return build_change(b)->kind == CHANGE_WHOLE && b->kind == ZONE_NATIVE && b->has_serial && b->settings.serial != SERIAL_KEEP
        && !serial_later(b->serial, b->serial_before) && !soa_is_signed(b->zone);
}

static enum err take_serial(struct build *b, uint32_t serial)
{
    b->serial = serial;
    return put_serial(b->zone, serial);
}

/* --- ops ------------------------------------------------------------------------------------------------------------ */
static enum err difference(struct build *b, struct fault *fault)
{
    const struct change *c = build_change(b);
    if (!c->want_difference && !c->dry_run)
        return OK;
    struct difference *d = &build_result(b)->difference;
    difference_release(d);
    difference_init(d);
    return difference_of_ops(name_bytes(&b->apex), b->ops.ops, b->ops.n, b->view, CHANGE_DIFFERENCE_MOST, d, fault);
}

static enum err build_zone(struct build *b, struct fault *fault)
{
    const struct zone_build_options o = { .kind = b->kind, .force = build_change(b)->force,
                                          .crew = store_crew(b->full->with->store), .strict = b->settings.strict,
                                          .now_s = clock_wall_ms() / 1000 };
    struct complaints *c = &build_result(b)->complaints;
    *c = (struct complaints){ 0 };
    op_list_restart(&b->ops);
    return zone_build(b->zone, b->view, &o, c, &b->ops, fault);
}

/* With the live serial first: a zone that is the same but for that does not get a new one. */
static enum err build_whole(struct build *b, struct fault *fault)
{
    bool ours = serial_is_ours(b);
    enum err err = ours ? take_serial(b, b->serial_before) : OK;
    if (err == OK)
        err = build_zone(b, fault);
    if (err != OK || !ours || b->ops.n == 0)
        return err;
    err = take_serial(b, serial_next(b->settings.serial, b->serial_before, clock_wall_ms() / 1000));
    return err != OK ? err : build_zone(b, fault);
}

MUST_USE enum err build_header_hash(const struct build *b, uint8_t out[32], struct fault *fault)
{
    uint8_t buf[RRKEY_MAX];
    struct wr key = wr_over(buf, sizeof buf);
    struct bytes value = { 0 };
    enum err err = rrkey_write(name_bytes(&b->apex), RRSLOT_ZONE, &key);
    if (err == OK && (err = view_get(b->view, dns_namespace, wr_done(&key), &value)) == ERR_NOTFOUND)
        err = OK;
    if (err != OK)
        return fault_set(fault, err, "cannot read the zone's header");
    (void)crypto_generichash(out, 32, value.ptr, value.len, NULL, 0);
    return OK;
}

static enum err make_ops(struct build *b, struct fault *fault)
{
    enum err err = around_take(&b->around, name_bytes(&b->apex), b->view, fault);
    if (err == OK)
        err = build_header_hash(b, b->header_hash, fault);
    if (err != OK)
        return err;
    op_list_restart(&b->ops);
    if (build_change(b)->kind == CHANGE_REMOVE) {
        err = zone_withdraw(name_bytes(&b->apex), b->view, &b->ops, fault);
        return err == ERR_NOTFOUND ? OK : err;          /* its records are there, its data never came */
    }
    if (build_change(b)->kind == CHANGE_NATIVE && !b->promotes)
        return OK;                                      /* its settings alone */
    if (b->zone == NULL)
        return zone_build_empty(name_bytes(&b->apex), b->kind, b->view, &b->ops, fault);
    if ((err = build_whole(b, fault)) == OK && b->promotes && b->header.state == ZONE_EXPIRED)
        complain_warning(&build_result(b)->complaints, 0, "the zone had expired: it is answered again, as it was last transferred (serial %" PRIu32
                         ")", b->serial_before);
    return err;
}

/* Is anything to be written, even if no op is? */
static enum err find_changed(struct build *b, bool *changed, struct fault *fault)
{
    enum change_kind kind = build_change(b)->kind;
    *changed = b->ops.n > 0 || kind == CHANGE_CREATE || (kind == CHANGE_REMOVE && b->has_row) || b->new_settings.ptr != NULL;
    return *changed || kind != CHANGE_WHOLE || b->kind != ZONE_NATIVE ? OK : rows_have_extras(b, changed, fault);
}

MUST_USE enum err build_ops(struct build *b)
{
    struct fault fault = { "" };
    struct change_result *r = build_result(b);
    struct head head = { .seq = 0 };
    bool changed = false;
    enum err err = make_ops(b, &fault);
    if (err == OK)
        err = difference(b, &fault);
    if (err == OK)
        err = find_changed(b, &changed, &fault);
    if (err != OK)
        return build_fail(b, err, &fault);
    if ((err = view_head(b->view, &head, NULL)) != OK && err != ERR_NOTFOUND)
        return store_failed(b, err, "store");
    r->end = CHANGE_DONE;
    r->epoch = head.epoch;
    r->seq = head.seq;
    r->serial = build_change(b)->kind == CHANGE_REMOVE ? 0 : b->serial;
    r->changed = changed;
    return OK;
}

bool build_is_idle(const struct build *b) { return build_change(b)->dry_run || !build_result(b)->changed; }

MUST_USE enum err build_prepare(struct build *b)
{
    struct source_txn *t = NULL;
    struct fault fault = { "" };
    enum err err = source_begin(b->full->with->source, SOURCE_READ, &t, &fault);
    if (err == OK)
        err = read_row(b, t, &fault);
    if (err != OK) {
        source_abort(t);
        return build_fail(b, err, &fault);
    }
    if ((err = read_header(b)) != OK)
        err = store_failed(b, err, "store");
    else if ((err = judge(b, t)) == OK && (err = find_records(b, t, &fault)) != OK)
        err = build_fail(b, err, &fault);
    source_abort(t);
    return err;
}
