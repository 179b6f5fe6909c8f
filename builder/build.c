/* A zone as a difference: its records laid out anew, and its parent's at and below its apex, against the store. */
#include "builder/build.h"
#include "builder/serial.h"

#include <inttypes.h>
#include <stdlib.h>

#define GUARD_RRSETS 100        /* zones of more RRsets than this do not lose more than half of them by accident */

/* --- the parent's region -------------------------------------------------------------------------------------- */
/* The parent's records at and below the apex at hand, out of its keys there. */
struct region { struct zone zone; enum err err; };

static bool add_record(void *arg, const struct zone_rr *rr)
{
    struct region *r = arg;
    r->err = zone_add(&r->zone, rr->owner, rr->type, rr->ttl, rr->rdata, 0);
    return r->err == OK;
}

static enum err read_region(const struct survey *s, struct region *r, struct fault *fault)
{
    struct expander *x = malloc(sizeof *x);
    enum err err = OK;
    if (x == NULL)
        return ERR_NOMEM;
    x->visit = add_record;
    x->arg = r;
    x->stopped = false;
    for (size_t i = 0; i < s->old.n && err == OK; i++) {
        const struct entry *e = &s->old.v[i];
        unsigned depth;
        if ((err = entry_depth(e, &depth, fault)) == OK && depth != s->depth)
            err = expand_whole(x, e, name_bytes(&s->parent), fault);
    }
    free(x);
    return err != OK ? err : r->err;
}

/* Lays the parent's region out for these children. */
static enum err lay_region(const struct survey *s, struct region *r, const struct hosted *child, size_t n,
                           struct arena *arena, struct complaints *c, struct blobs *out, struct fault *fault)
{
    struct owners owners;
    struct layout l = { 0 };
    enum err err;
    if ((err = owners_make(&r->zone, &owners, c)) == OK && (err = layout_init(&l, &r->zone, &owners, arena, c)) == OK) {
        l.apex_bits = s->parent_bits;
        l.child = child;
        l.child_n = n;
        err = layout_run(&l, ZONE_FILE, false, NULL, out);
    }
    layout_release(&l);
    owners_release(&owners);
    if (err == ERR_REFUSED)
        (void)fault_set(fault, err, "the data of the zone above cannot be moved aside: %s", c->errors[0].text);
    return err;
}

static enum err build_region(const struct survey *s, const struct hosted *child, size_t n, struct arena *arena,
                             struct blobs *out, struct fault *fault)
{
    struct region r = { .err = OK };
    struct complaints *c = calloc(1, sizeof *c);
    if (s->parent.len == 0) {
        free(c);
        return OK;
    }
    if (c == NULL)
        return ERR_NOMEM;
    zone_init(&r.zone, name_bytes(&s->parent), "the zone above");
    enum err err = read_region(s, &r, fault);
    if (err == OK)
        err = lay_region(s, &r, child, n, arena, c, out, fault);
    zone_release(&r.zone);
    free(c);
    return err;
}

/* --- how much would go ---------------------------------------------------------------------------------------- */
static bool is_own(const struct survey *s, const struct entry *e)
{
    unsigned depth;
    return entry_depth(e, &depth, NULL) == OK && depth == s->depth;
}

/* Owner and type as one number, to look RRsets up; two with the same number do no more than loosen a guard. */
static uint64_t rrset_number(struct bytes owner, uint16_t type)
{
    return bytes_fnv(BYTES_FNV_START ^ type, owner);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct numbers { uint64_t *v; size_t n; };

static enum err number_records(const struct zone *z, struct numbers *out)
{
    out->n = 0;
    if ((out->v = malloc((z->n + 1) * sizeof *out->v)) == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < z->n; i++)
        out->v[out->n++] = rrset_number(z->rr[i].owner, z->rr[i].type);
    qsort(out->v, out->n, sizeof *out->v, by_number);
    return OK;
}

static bool gone(const struct numbers *fresh, struct bytes owner, uint16_t type)
{
    uint64_t h = rrset_number(owner, type);
    return bsearch(&h, fresh->v, fresh->n, sizeof *fresh->v, by_number) == NULL;
}

/* What signers make of the rest, and make anew under other names when the salt changes: no loss. */
static bool is_made(uint16_t type) { return type == TYPE_NSEC || type == TYPE_NSEC3; }

static bool is_made_key(struct bytes key)
{
    struct rrkey_parts p;
    return rrkey_split(key, &p) == OK && (is_made(p.slot) || p.slot == RRSLOT_PARENT_NSEC);
}

/* RRsets in an entry; of those, how many the new records lack (fresh NULL: not counted). */
static void count_rrsets(const struct entry *e, struct bytes apex, const struct numbers *fresh, uint64_t *total,
                         uint64_t *lost)
{
    struct blob b;
    struct name owner, name;
    struct below entry;
    if (blob_read(e->value, &b) != OK || expand_owner(e, apex, &owner, NULL) != OK)
        return;                                 /* the zone header */
    if (is_made(b.rr[0].type))
        return;
    *total += b.n;
    for (unsigned i = 0; i < b.n && fresh != NULL; i++)
        *lost += gone(fresh, name_bytes(&owner), b.rr[i].type);
    struct rd r = rd_over(b.below);
    for (unsigned k = 0; k < b.below_n && below_read(&r, &entry) == OK; k++) {
        *total += entry.n + entry.more;
        if (fresh == NULL || name_join(entry.relname, name_bytes(&owner), &name) != OK)
            continue;
        for (unsigned i = 0; i < entry.n + entry.more; i++) {
            struct rrset rr;
            *lost += below_rrset(&entry, i, &rr) == OK && gone(fresh, name_bytes(&name), rr.type);
        }
    }
}

static uint64_t count_all(const struct survey *s, const struct zone *z, const struct numbers *fresh, uint64_t *lost)
{
    uint64_t total = 0;
    for (size_t i = 0; i < s->old.n; i++)
        if (is_own(s, &s->old.v[i]))
            count_rrsets(&s->old.v[i], name_bytes(&z->apex), fresh, &total, lost);
    return total;
}

static int by_key(const void *a, const void *b)
{
    return bytes_compare(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

/* What goes, stood in keys that the ops touch: when those hold too little, nothing needs to be counted in full. */
static bool touches_little(const struct survey *s, const struct op_list *ops, struct bytes apex)
{
    uint64_t touched = 0, own = 0;
    for (size_t i = 0; i < s->old.n; i++)
        own += is_own(s, &s->old.v[i]) && !is_made_key(s->old.v[i].key);
    for (size_t i = 0; i < ops->n; i++) {
        const struct entry wanted = { .key = ops->ops[i].key };
        const struct entry *e = s->old.n > 0 ? bsearch(&wanted, s->old.v, s->old.n, sizeof *e, by_key) : NULL;
        if (e != NULL)
            count_rrsets(e, apex, NULL, &touched, NULL);
    }
    return touched * 2 < own;
}

/* A build that takes away more than half of the zone is taken for an accident. */
static enum err guard_shrink(const struct survey *s, const struct zone *z, const struct op_list *ops,
                             const struct zone_build_options *o, struct complaints *c)
{
    struct numbers fresh;
    uint64_t lost = 0;
    if (ops->n == 0 || !s->is_hosted || o->force || touches_little(s, ops, name_bytes(&z->apex)))
        return OK;
    if (count_all(s, z, NULL, &lost) <= GUARD_RRSETS)
        return OK;
    enum err err = number_records(z, &fresh);
    if (err != OK)
        return err;
    uint64_t total = count_all(s, z, &fresh, &lost);
    free(fresh.v);
    if (lost * 2 <= total)
        return OK;
    if (o->kind == ZONE_SECONDARY && !o->strict) {
        complain_warning(c, 0, "%" PRIu64 " of %" PRIu64 " RRsets go", lost, total);
        return OK;
    }
    complain_error(c, 0, "%" PRIu64 " of %" PRIu64 " RRsets would go, more than half of the zone: force it if that is meant",
                   lost, total);
    return ERR_REFUSED;
}

static bool moves_records(const struct op_list *ops)
{
    struct rrkey_parts p;
    for (size_t i = 0; i < ops->n; i++)
        if (rrkey_split(ops->ops[i].key, &p) != OK || p.slot != RRSLOT_ZONE)
            return true;
    return false;
}

/* Secondaries do not fetch a zone whose serial went back or stayed (RFC 1982). It is published all the same. */
static void warn_of_serial(const struct name *apex, struct view *v, const struct blobs *fresh, bool of_a_file, struct complaints *c)
{
    struct zone_header before, after;
    uint32_t a, b;
    size_t i = 0;
    struct rrkey_parts p;
    while (i < fresh->n && (rrkey_split(fresh->v[i].key, &p) != OK || p.slot != RRSLOT_ZONE))
        i++;
    if (i == fresh->n || zone_header_get(name_bytes(apex), v, &before) != OK || zone_header_read(fresh->v[i].value, &after) != OK
        || zone_header_serial(&before, &a) != OK || zone_header_serial(&after, &b) != OK)
        return;
    if (a == b && of_a_file && before.state == ZONE_LIVE) {
        complain_warning(c, 0, "other records than before, and the same serial %" PRIu32 ": secondaries will not fetch the zone", a);
        c->same_serial = true;
    }
    if (serial_later(a, b))
        complain_warning(c, 0, "the serial goes back from %" PRIu32 " to %" PRIu32 ": secondaries will not fetch the zone", a, b);
}

/* --- building ------------------------------------------------------------------------------------------------- */
/* Two ascending lists into the first. */
static enum err merge(struct blobs *a, struct blobs *b)
{
    struct blobs both = { 0 };
    size_t i = 0, j = 0;
    enum err err = OK;
    if (b->n == 0)
        return OK;
    while ((i < a->n || j < b->n) && err == OK) {
        bool first = j == b->n || (i < a->n && bytes_compare(a->v[i].key, b->v[j].key) < 0);
        const struct entry *e = first ? &a->v[i++] : &b->v[j++];
        err = blobs_add(&both, e->key, e->value);
    }
    blobs_release(a);
    *a = both;
    return err;
}

static enum err refused(const struct complaints *c, struct fault *fault)
{
    return fault_set(fault, ERR_REFUSED, "%u error%s: %s", c->errors_n, c->errors_n == 1 ? "" : "s", c->errors[0].text);
}

/* The zone's own blobs and its parent's region, together and ascending. */
static enum err lay_all(struct zone *z, const struct survey *s, const struct zone_build_options *o, struct complaints *c,
                        struct arena *arena, struct blobs *fresh, struct fault *fault)
{
    struct owners owners;
    struct layout l = { 0 };
    struct blobs parents = { 0 };
    enum err err = owners_make(z, &owners, c);
    if (err == OK) {
        guards_check(z, &owners, c);
        if (o->now_s > 0)
            guards_signatures(z, &owners, o->now_s, c);
        if (o->now_s > 0 && o->kind != ZONE_SECONDARY)
            guards_targets(z, &owners, &s->nested, c);
        err = c->errors_n > 0 ? ERR_REFUSED : layout_init(&l, z, &owners, arena, c);
    }
    if (err == OK) {
        l.child = s->nested.v;
        l.child_n = s->nested.n;
        err = layout_run(&l, o->kind, true, o->crew, fresh);
    }
    if (err == OK) {
        struct hosted self = { s->apex, l.apex_bits };
        err = build_region(s, &self, 1, arena, &parents, fault);
    }
    if (err == OK)
        err = merge(fresh, &parents);
    blobs_release(&parents);
    layout_release(&l);
    owners_release(&owners);
    return err;
}

enum err zone_build(struct zone *z, struct view *v, const struct zone_build_options *o, struct complaints *c,
                    struct op_list *out, struct fault *fault)
{
    struct survey s;
    struct blobs fresh = { 0 };
    out->n = 0;
    enum err err = survey_run(&s, &z->apex, v, fault);
    if (err == OK)
        err = lay_all(z, &s, o, c, &out->arena, &fresh, fault);
    if (err == OK)
        err = diff_run(s.old.v, s.old.n, fresh.v, fresh.n, out);
    if (err == OK)
        err = guard_shrink(&s, z, out, o, c);
    if (err == OK && out->n > 0 && s.is_hosted)
        warn_of_serial(&z->apex, v, &fresh, o->kind == ZONE_FILE && o->now_s > 0 && moves_records(out), c);
    if (err == ERR_REFUSED && c->errors_n > 0)
        err = refused(c, fault);
    if (err != OK)
        out->n = 0;
    blobs_release(&fresh);
    survey_release(&s);
    return err;
}

static struct name lower_name(struct bytes apex)
{
    struct name name = { .len = (uint8_t)apex.len };
    memcpy(name.wire, apex.ptr, apex.len);
    name_lower(name.wire, name.len);
    return name;
}

/* --- a zone without data -------------------------------------------------------------------------------------- */
static enum err lay_empty(const struct survey *s, const struct name *apex, enum zone_kind kind, struct arena *arena,
                          struct blobs *fresh, struct fault *fault)
{
    uint8_t value[32], key[RRKEY_MAX];
    struct wr w = wr_over(value, sizeof value), k = wr_over(key, sizeof key);
    struct hosted self = { s->apex, BLOB_APEX };
    struct blobs parents = { 0 };
    struct entry header;
    zone_header_write(&w, &(struct zone_header){ .flags = blob_flags(s->depth, BLOB_APEX), .kind = kind, .state = ZONE_EMPTY });
    enum err err = rrkey_write(name_bytes(apex), RRSLOT_ZONE, &k);
    if (err != OK)
        return err;
    header = (struct entry){ arena_copy(arena, wr_done(&k)), arena_copy(arena, wr_done(&w)) };
    if (header.key.ptr == NULL || header.value.ptr == NULL)
        return ERR_NOMEM;
    if ((err = blobs_add(fresh, header.key, header.value)) == OK)
        err = build_region(s, &self, 1, arena, &parents, fault);
    if (err == OK)
        err = merge(fresh, &parents);
    blobs_release(&parents);
    return err;
}

MUST_USE enum err zone_build_empty(struct bytes apex, enum zone_kind kind, struct view *v, struct op_list *out,
                                   struct fault *fault)
{
    struct survey s;
    struct zone_header h;
    struct blobs fresh = { 0 };
    struct name name = lower_name(apex);
    out->n = 0;
    if (zone_header_get(name_bytes(&name), v, &h) == OK)
        return OK;                  /* without a walk over all that it holds */
    enum err err = survey_run(&s, &name, v, fault);
    if (err == OK && !s.is_hosted)
        err = lay_empty(&s, &name, kind, &out->arena, &fresh, fault);
    if (err == OK && !s.is_hosted)
        err = diff_run(s.old.v, s.old.n, fresh.v, fresh.n, out);
    if (err != OK)
        out->n = 0;
    blobs_release(&fresh);
    survey_release(&s);
    return err;
}

enum err zone_withdraw(struct bytes apex, struct view *v, struct op_list *out, struct fault *fault)
{
    struct survey s;
    struct blobs fresh = { 0 };
    struct name name = lower_name(apex);
    out->n = 0;
    enum err err = survey_run(&s, &name, v, fault);
    if (err == OK && !s.is_hosted)
        err = fault_set(fault, ERR_NOTFOUND, "no such zone");
    if (err == OK)
        err = build_region(&s, s.nested.v, s.nested.n, &out->arena, &fresh, fault);
    if (err == OK)
        err = diff_run(s.old.v, s.old.n, fresh.v, fresh.n, out);
    if (err != OK)
        out->n = 0;
    blobs_release(&fresh);
    survey_release(&s);
    return err;
}
