#include "dnsfront/find.h"

#define NEIGHBOURS_MAX 32           /* keys that one owner plausibly has; more neighbours are not looked at */

static bool same_owner(struct bytes key, struct bytes owner)
{
    return key.len >= owner.len + 2 && bytes_starts(key, owner);
}

/* The owner part (labels and terminator) of a key that was read already. */
static struct bytes key_owner(struct bytes key) { return bytes_of(key.ptr, rrkey_owner_len(key)); }
static uint16_t slot_of(struct bytes key) { return key_slot(key, (unsigned)rrkey_owner_len(key)); }

/* Steps through the neighbours of e at the same owner until slot `want`, forwards or backwards. ERR_NOTFOUND. */
static enum err neighbour(struct lookup *l, struct entry *e, uint16_t want)
{
    struct bytes owner = key_owner(e->key);
    for (int left = NEIGHBOURS_MAX; left > 0; left--) {
        uint16_t slot = key_slot(e->key, (unsigned)owner.len), next_slot;
        struct entry next;
        if (slot == want)
            return OK;
        enum err err = slot > want ? cursor_prev(l->cursor, &next) : cursor_next(l->cursor, &next);
        if (err != OK)
            return err;
        if (!same_owner(next.key, owner))
            return ERR_NOTFOUND;
        next_slot = key_slot(next.key, (unsigned)owner.len);
        if (slot > want ? next_slot < want : next_slot > want)
            return ERR_NOTFOUND;
        *e = next;
    }
    return ERR_NOTFOUND;
}

static enum err read_ds(struct bytes value, struct finding *f)
{
    enum err err = blob_read(value, &f->blob);
    if (err != OK)
        return err;
    f->has_ds = true;
    f->ds = f->blob.rr[0];
    return f->ds.type == TYPE_DS ? OK : ERR_BAD;
}

/* The delegation at the owner of *at, on which the cursor stands. Its slots are neighbours: 0, NS, DS, NSEC. */
MUST_USE enum err find_referral(struct lookup *l, const struct spot *at, bool want_ds, struct finding *f)
{
    struct bytes owner = key_owner(at->entry.key);
    struct entry e = at->entry;
    enum err err;
    f->what = FOUND_REFERRAL;
    f->owner = at->labels;
    f->zone = at->zone;
    for (int left = NEIGHBOURS_MAX; left > 0 && key_slot(e.key, (unsigned)owner.len) > TYPE_NS; left--) {
        if (want_ds && key_slot(e.key, (unsigned)owner.len) == TYPE_DS && (err = read_ds(e.value, f)) != OK)
            return err;
        if ((err = cursor_prev(l->cursor, &e)) != OK || !same_owner(e.key, owner))
            return err == OK || err == ERR_NOTFOUND ? ERR_BAD : err;
    }
    if ((err = neighbour(l, &e, TYPE_NS)) != OK)
        return err == ERR_NOTFOUND ? ERR_BAD : err;
    struct bytes delegation = e.value;
    if (want_ds && !f->has_ds && slot_of(at->entry.key) < TYPE_DS) {
        if ((err = neighbour(l, &e, TYPE_DS)) == OK)
            err = read_ds(e.value, f);
        if (err != OK && err != ERR_NOTFOUND)
            return err;
    }
    err = blob_read(delegation, &f->blob);
    return err == OK && f->blob.rr[0].type != TYPE_NS ? ERR_BAD : err;
}

/* The RRset of qtype inside a blob of the owner, or the CNAME in its place. */
static enum err pick(const struct spot *at, uint16_t qtype, struct finding *f)
{
    enum err err = blob_read(at->entry.value, &f->blob);
    if (err != OK)
        return err;
    f->what = FOUND_NODATA;
    for (unsigned i = 0; i < f->blob.n; i++) {
        const struct rrset *rr = &f->blob.rr[i];
        if ((qtype == TYPE_RRSIG && rr->sigs > 0) || rr->type == qtype || qtype == TYPE_ANY) {
            f->what = FOUND_RRSET;
            f->rr = *rr;
            break;
        }
        if (rr->type == TYPE_CNAME && qtype != TYPE_RRSIG) {
            f->what = FOUND_ALIAS;
            f->rr = *rr;
        }
    }
    if (f->what == FOUND_RRSET && qtype == TYPE_RRSIG && f->rr.type != TYPE_RRSIG)
        f->rr = (struct rrset){ TYPE_RRSIG, f->rr.sigs, 0, f->rr.sig_wire, { 0 } };
    return OK;
}

/* ANY and RRSIG: the first RRset of the owner that will do (RFC 8482). The cursor stands on *at, the owner's first key. */
static enum err pick_first(struct lookup *l, const struct spot *at, uint16_t qtype, struct finding *f)
{
    struct bytes owner = key_owner(at->entry.key);
    struct spot here = *at;
    f->what = FOUND_NODATA;
    for (int left = NEIGHBOURS_MAX; left > 0; left--) {
        uint16_t slot = key_slot(here.entry.key, (unsigned)owner.len);
        bool private = slot >= RRSLOT_ZONE && slot <= RRSLOT_PRIVATE_LAST;
        if (!private && here.entry.key.len == owner.len + 2) {
            enum err err = blob_read_flags(here.entry.value, &here.flags);
            if (err == OK && blob_depth(here.flags) == at->zone)
                err = pick(&here, qtype, f);
            if (err != OK || f->what == FOUND_RRSET)
                return err;
        }
        enum err err = cursor_next(l->cursor, &here.entry);
        if (err != OK || !same_owner(here.entry.key, owner))
            return err == ERR_NOTFOUND ? OK : err;
    }
    return OK;
}

/* The name exists: *at is a key of it, on which the cursor stands; exact: the very key looked for. */
static enum err find_at_owner(struct lookup *l, const struct rrkey *k, const struct spot *at, bool exact,
                              uint16_t qtype, bool want_ds, struct finding *f)
{
    bool cut = (at->flags & (BLOB_CUT | BLOB_APEX)) == BLOB_CUT && !f->wildcard;
    f->what = FOUND_NODATA;
    f->zone = at->zone;
    f->owner = at->labels;
    f->apex = (at->flags & BLOB_APEX) != 0;
    if (cut && qtype != TYPE_DS)
        return find_referral(l, at, want_ds, f);
    if (qtype == TYPE_ANY || qtype == TYPE_RRSIG)
        return pick_first(l, at, qtype, f);
    if (exact) {
        f->zone = blob_depth(at->flags);        /* the parent's at a DS */
        return f->zone <= k->labels ? pick(at, qtype, f) : ERR_BAD;
    }
    if ((at->flags & BLOB_ALIAS) != 0 && !rrtype_beside_cname(qtype)) {
        struct spot group = *at;
        enum err err = neighbour(l, &group.entry, RRSLOT_ADDRESS);
        if (err == OK)
            err = pick(&group, qtype, f);
        return err == ERR_NOTFOUND || (err == OK && f->what != FOUND_ALIAS) ? ERR_BAD : err;
    }
    return OK;
}

/* --- the descent ------------------------------------------------------------------------------------------------ */
/* Types that no zone holds and private slots must never turn into a slot: they are asked for as "something else". */
static uint16_t slot_for(uint16_t qtype)
{
    return rrtype_is_meta(qtype) || qtype == TYPE_RRSIG ? RRSLOT_ADDRESS : rrslot_of(qtype);
}

size_t find_key(const struct rrkey *k, uint16_t qtype, uint8_t *out) { return rrkey_at(k, k->labels, slot_for(qtype), out); }

MUST_USE enum err find_descend(struct lookup *l, const struct rrkey *k, uint16_t qtype, enum step step,
                               struct look *out)
{
    uint8_t buf[RRKEY_MAX];
    struct bytes key = { buf, find_key(k, qtype, buf) };
    *out = (struct look){ .where = ABSENT };
    stat_add(&l->counts->steps[step], 1);
    enum err err = lookup_seek(l, step, key, &out->s.entry);
    if (err == OK) {
        if ((err = spot_read(&out->s, k)) != OK)
            return err;
        if (spot_is_owner(&out->s, k->labels)) {
            out->at = &out->s;
            out->where = bytes_equal(out->s.entry.key, key) ? AT_KEY : AT_OWNER;
            return OK;
        }
    } else if (err != ERR_NOTFOUND) {
        return err;
    }
    if ((err = cursor_prev(l->cursor, &out->p.entry)) != OK)
        return err == ERR_NOTFOUND ? OK : err;
    if ((err = spot_read(&out->p, k)) != OK)
        return err;
    if (spot_is_owner(&out->p, k->labels)) {
        out->at = &out->p;
        out->where = AT_OWNER;
    }
    return OK;
}

/* --- names that are not there ----------------------------------------------------------------------------------- */
static enum err find_dname(struct lookup *l, const struct rrkey *k, unsigned depth, struct finding *f)
{
    uint8_t buf[RRKEY_MAX];
    struct bytes key = { buf, rrkey_at(k, depth, TYPE_DNAME, buf) };
    struct entry e;
    stat_add(&l->counts->steps[STEP_ALIAS], 1);
    enum err err = lookup_seek(l, STEP_ALIAS, key, &e);
    if (err != OK || !bytes_equal(e.key, key) || blob_read(e.value, &f->blob) != OK || f->blob.rr[0].type != TYPE_DNAME)
        return ERR_BAD;
    f->what = FOUND_DNAME;
    f->owner = depth;
    f->rr = f->blob.rr[0];
    return OK;
}

/* The key of the wildcard below the ancestor with `encloser` labels, of which k has more. */
static void wildcard_key(const struct rrkey *k, unsigned encloser, struct rrkey *out)
{
    size_t len = k->at[encloser];
    rrkey_copy(out, k, encloser);
    out->buf[len] = '*';
    out->buf[len + 1] = 0;
    out->at[encloser + 1] = (uint16_t)(len + 2);
    out->labels = (uint8_t)(encloser + 1);
}

/* The wildcard at the closest encloser, if there is one (RFC 4592 section 3.3). */
MUST_USE enum err find_wildcard(struct lookup *l, const struct subject *s, unsigned encloser, uint16_t qtype,
                              struct finding *f)
{
    struct rrkey k;
    struct look look;
    bool exists;
    unsigned zone = f->zone;
    f->wildcard = true;
    f->owner = encloser;
    if (zones_bare(l, &s->key, encloser))
        return OK;
    wildcard_key(&s->key, encloser, &k);
    enum err err = find_descend(l, &k, qtype, STEP_WILDCARD, &look);
    if (err != OK)
        return err;
    if (look.where != ABSENT && look.at->zone == zone) {
        err = find_at_owner(l, &k, look.at, look.where == AT_KEY, qtype, false, f);
    } else if (look.where == ABSENT && spot_is_below(&look.s, k.labels)) {
        err = nested_exists(l, &k, k.labels, zone, &exists);
        f->what = err == OK && exists ? FOUND_NODATA : FOUND_NXDOMAIN;
    } else if (look.where == ABSENT) {
        zones_note_bare(l, &k, encloser);
    }
    f->owner = encloser;
    f->zone = zone;
    f->apex = false;
    return err;
}

MUST_USE enum err find_absent(struct lookup *l, const struct subject *s, const struct look *look, uint16_t qtype,
                              bool want_ds, struct finding *f)
{
    const struct rrkey *k = &s->key;
    struct spot p = look->p;
    bool below = spot_is_below(&look->s, k->labels), exists;
    unsigned encloser;
    enum err err;
    f->what = FOUND_NODATA;
    f->zone = look->s.zone;
    if (below && look->s.zone <= k->labels)
        return OK;
    f->what = look->s.there || look->p.there ? FOUND_NOZONE : FOUND_EMPTY;
    if ((err = nested_walk(l, k, &p)) != OK || !p.there)
        return err;
    f->zone = p.zone;
    bool above = p.labels == p.common;          /* p's owner is an ancestor of the name */
    if (above && (p.flags & (BLOB_CUT | BLOB_APEX)) == BLOB_CUT)
        return find_referral(l, &p, want_ds, f);
    if (above && (p.flags & BLOB_DNAME) != 0)
        return find_dname(l, k, p.common, f);
    if ((f->header = zones_get(l, k, f->zone)) == NULL)
        return ERR_BAD;
    if ((f->header->flags & BLOB_DNAME) != 0)
        return find_dname(l, k, f->zone, f);
    if (below) {
        if ((err = nested_exists(l, k, k->labels, f->zone, &exists)) != OK)
            return err;
        f->what = exists ? FOUND_NODATA : FOUND_NXDOMAIN;
        if (exists)
            return OK;
    }
    f->what = FOUND_NXDOMAIN;
    bool wildcards = (f->header->bits & ZONE_HAS_WILDCARD) != 0;
    if (!wildcards && !(want_ds && f->header->soa.sigs > 0))
        return OK;
    if ((err = nested_encloser(l, k, &look->s, &look->p, &p, &encloser)) != OK)
        return err;
    f->owner = encloser;
    return wildcards ? find_wildcard(l, s, encloser, qtype, f) : OK;
}

/* --- DS at an apex ---------------------------------------------------------------------------------------------- */
/* No DS at an apex of ours: the zone above says so when it is ours too, as if the zone at hand were not. */
static enum err ds_from_above(struct lookup *l, const struct subject *s, bool want_ds, struct finding *f)
{
    const struct rrkey *k = &s->key;
    uint8_t key[RRKEY_SHADOW_MAX + 1];
    struct look look = { .where = ABSENT };
    struct entry e;
    bool held;
    size_t len = rrkey_at(k, k->labels, RRSLOT_PARENT_NS, key);
    stat_add(&l->counts->steps[STEP_ZONE], 1);
    enum err err = lookup_seek(l, STEP_ZONE, bytes_of(key, len), &e);
    if (err == OK && bytes_equal(e.key, bytes_of(key, len))) {
        uint32_t flags;
        if ((err = blob_read_flags(e.value, &flags)) == OK)
            f->zone = blob_depth(flags);
        return err == OK && f->zone >= k->labels ? ERR_BAD : err;
    }
    len = k->at[k->labels];
    memcpy(key, k->buf, len);
    key[len - 1] = 1;                           /* behind all that is at or below the name */
    if ((err = lookup_seek(l, STEP_ZONE, bytes_of(key, len), &look.s.entry)) == OK)
        err = spot_read(&look.s, k);
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    len = rrkey_at(k, k->labels, RRSLOT_ADDRESS, key);
    if ((err = lookup_seek(l, STEP_ZONE, bytes_of(key, len), &e)) != OK
        || (err = cursor_prev(l->cursor, &look.p.entry)) != OK)
        return err == ERR_NOTFOUND ? OK : err;
    if ((err = spot_read(&look.p, k)) != OK)
        return err;
    struct spot p = look.p;
    if ((err = nested_walk(l, k, &p)) != OK || !p.there)
        return err;
    if ((err = nested_held(l, k, k->labels, p.zone, &held)) != OK)
        return err;
    f->apex = false;
    if (held) {
        f->zone = p.zone;
        return OK;
    }
    if ((err = lookup_seek(l, STEP_ZONE, look.p.entry.key, &look.p.entry)) != OK)   /* the cursor back on it */
        return err == ERR_NOTFOUND ? ERR_BAD : err;
    return find_absent(l, s, &look, TYPE_DS, want_ds, f);
}

/* Not one key: no data has come yet, or all of it is of other namespaces. */
static void find_nothing(struct lookup *l, struct finding *f)
{
    struct head head;
    if (view_head(l->view, &head, NULL) == OK)
        f->what = FOUND_NOZONE;
}

void find(struct lookup *l, const struct subject *s, uint16_t qtype, enum step step, bool want_ds, struct finding *f)
{
    struct look look;
    *f = (struct finding){ .what = FOUND_BROKEN };
    l->budget = FIND_ZONE_SEEKS;
    enum err err = find_descend(l, &s->key, qtype, step, &look);
    if (err == OK && look.where != ABSENT)
        err = find_at_owner(l, &s->key, look.at, look.where == AT_KEY, qtype, want_ds, f);
    else if (err == OK)
        err = find_absent(l, s, &look, qtype, want_ds, f);
    if (look.where == ABSENT && look.p.there)
        f->before = look.p.entry;
    if (err == OK && f->apex && qtype == TYPE_DS && f->what == FOUND_NODATA && s->key.labels > 0)
        err = ds_from_above(l, s, want_ds, f);
    if (err == OK && f->what == FOUND_EMPTY)
        find_nothing(l, f);
    if (err == OK && (f->what == FOUND_NOZONE || f->what == FOUND_EMPTY))
        return;
    if (err == OK && f->header == NULL && (f->header = zones_get(l, &s->key, f->zone)) == NULL)
        err = ERR_BAD;
    if (err != OK)
        f->what = FOUND_BROKEN;
    else if (f->header->state != ZONE_LIVE)
        f->what = FOUND_DOWN;
}
