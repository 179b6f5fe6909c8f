#include "dnsfront/zones.h"

#include "dnsfront/cache.h"

#include <stdlib.h>

struct bare { uint64_t version, tick; uint32_t place; uint16_t key_len; uint8_t key[ZONES_KEY_MAX]; };
struct zones {
    struct zone_entry slot[ZONES_SLOTS], once;      /* once: for what does not fit into a slot */
    uint16_t by_name[ZONES_SLOTS];  /* by the hash of a name: the slot where it was last */
    struct bare bare[ZONES_BARE];
    struct denial denial[ZONES_DENIALS];
};

MUST_USE enum err zone_table_open(struct zones **out)
{
    struct zones *z = calloc(1, sizeof *z);
    if (z == NULL)
        return ERR_NOMEM;
    *out = z;
    return OK;
}

void zone_table_close(struct zones *z) { free(z); }

/* No secret: nobody outside chooses where our zones are. */
static uint32_t key_hash(struct bytes key) { return (uint32_t)hash_folded(0x2545f4914f6cdd1du, key); }

static bool header_seek(struct lookup *l, const struct rrkey *k, unsigned depth, struct bytes *value)
{
    uint8_t key[RRKEY_MAX];
    struct entry e;
    size_t len = rrkey_at(k, depth, RRSLOT_ZONE, key);
    stat_add(&l->counts->steps[STEP_ZONE], 1);
    if (lookup_seek(l, STEP_ZONE, bytes_of(key, len), &e) != OK || !bytes_equal(e.key, bytes_of(key, len)))
        return false;
    *value = e.value;
    return true;
}

static const struct zone_entry *zones_put(struct lookup *l, const struct rrkey *k, unsigned depth, struct bytes value,
                                          struct zone_entry *slot)
{
    struct zone_header h;
    struct bytes apex = bytes_of(k->buf, k->at[depth]);
    bool keep = value.len <= ZONES_HEADER_MAX && apex.len <= ZONES_KEY_MAX;
    if (!keep)
        slot = &l->zones->once;
    slot->version = 0;
    if (keep) {
        memcpy(slot->header, value.ptr, value.len);
        value = bytes_of(slot->header, value.len);
    }
    if (zone_header_read(value, &h) != OK)
        return NULL;
    slot->flags = h.flags;
    slot->bits = h.bits;
    slot->state = h.state;
    slot->has_soa = h.has_soa;
    slot->soa = h.soa;
    if (h.has_soa) {
        size_t apex_len = (size_t)k->at[depth] + 1u;        /* as a name; with escapes in it there is no plan */
        bool plain = memchr(k->buf, 1, k->at[depth]) == NULL;
        rrset_plan(h.soa.wire, plain ? h.soa.count : 0, apex_len, &slot->soa_plan);
        rrset_plan(h.soa.sig_wire, plain ? h.soa.sigs : 0, apex_len, &slot->sig_plan);
    }
    slot->has_nsec3 = h.has_nsec3;
    slot->nsec3 = h.nsec3;
    if (keep) {
        if (apex.len > 0)
            memcpy(slot->key, apex.ptr, apex.len);
        slot->key_len = (uint16_t)apex.len;
        slot->name_len = 0;
        slot->version = l->version;
        slot->tick = l->watch.tick;
        if (slot->tick > 0)
            slot->place = place_of_header(l->watch.changes, hash_of_ancestor(l->watch.changes, k, depth));
    }
    return slot;
}

/* What was read under `version` of the view, at `tick` of the table of changes. */
static bool still_true(const struct lookup *l, uint64_t version, uint64_t tick, uint32_t place)
{
    if (version == 0)
        return false;
    return version == l->version || (tick > 0 && l->watch.tick > 0 && watch_holds(&l->watch, tick, place));
}

static struct zone_entry *slot_of(const struct lookup *l, struct bytes key) { return &l->zones->slot[key_hash(key) % ZONES_SLOTS]; }

static bool slot_has(const struct lookup *l, const struct zone_entry *slot, struct bytes key)
{
    return still_true(l, slot->version, slot->tick, slot->place) && bytes_equal(key, bytes_of(slot->key, slot->key_len));
}

const struct zone_entry *zones_get(struct lookup *l, const struct rrkey *k, unsigned depth)
{
    struct bytes key = bytes_of(k->buf, k->at[depth]), value;
    struct zone_entry *slot = slot_of(l, key);
    if (slot_has(l, slot, key))
        return slot;
    return header_seek(l, k, depth, &value) ? zones_put(l, k, depth, value, slot) : NULL;
}

/* k: of the apex. What is not in the table is mostly in the cache, once for all workers. */
static const struct zone_entry *get_shared(struct lookup *l, const struct rrkey *k, struct bytes apex)
{
    struct bytes key = bytes_of(k->buf, k->at[k->labels]), value;
    struct zone_entry *slot = slot_of(l, key);
    uint8_t kept[ZONES_HEADER_MAX];
    struct cache_key shared;
    if (l->headers == NULL || slot_has(l, slot, key))
        return zones_get(l, k, k->labels);
    cache_key(l->headers, apex, CACHE_HEADER, &shared);
    size_t len = cache_find_header(l->headers, &l->watch, &shared, kept, sizeof kept);
    if (len > 0)
        return zones_put(l, k, k->labels, bytes_of(kept, len), slot);
    const struct zone_entry *got = header_seek(l, k, k->labels, &value) ? zones_put(l, k, k->labels, value, slot) : NULL;
    if (got == slot && slot->tick > 0)          /* it fits, and it is known what it hangs on */
        cache_keep_header(l->headers, l->worker, &l->watch, &shared, slot->place, value);
    return got;
}

const struct zone_entry *zones_by_name(struct lookup *l, struct bytes apex, uint64_t hash)
{
    struct zones *z = l->zones;
    uint16_t *at = &z->by_name[hash % ZONES_SLOTS];
    struct zone_entry *slot = &z->slot[*at];
    struct rrkey k;
    if (slot->name_len == apex.len && still_true(l, slot->version, slot->tick, slot->place)
        && memcmp(slot->name, apex.ptr, apex.len) == 0)
        return slot;
    if (rrkey_of_name(apex, &k) != OK)
        return NULL;
    const struct zone_entry *got = get_shared(l, &k, apex);
    if (got == NULL || got == &z->once || apex.len > sizeof slot->name)
        return got;
    *at = (uint16_t)(got - z->slot);
    slot = &z->slot[*at];
    memcpy(slot->name, apex.ptr, apex.len);
    slot->name_len = (uint16_t)apex.len;
    return got;
}

/* --- names without a wildcard below them -------------------------------------------------------------------------- */
bool zones_bare(const struct lookup *l, const struct rrkey *k, unsigned encloser)
{
    struct bytes key = bytes_of(k->buf, k->at[encloser]);
    const struct bare *b = &l->zones->bare[key_hash(key) % ZONES_BARE];
    return bytes_equal(key, bytes_of(b->key, b->key_len)) && still_true(l, b->version, b->tick, b->place);
}

void zones_note_bare(struct lookup *l, const struct rrkey *wildcard, unsigned encloser)
{
    struct bytes key = bytes_of(wildcard->buf, wildcard->at[encloser]);
    struct bare *b = &l->zones->bare[key_hash(key) % ZONES_BARE];
    if (key.len > sizeof b->key)
        return;
    *b = (struct bare){ .version = l->version, .tick = l->watch.tick, .key_len = (uint16_t)key.len };
    if (b->tick > 0)
        b->place = place_of_subtree(l->watch.changes, hash_of_ancestor(l->watch.changes, wildcard, wildcard->labels));
    if (key.len > 0)
        memcpy(b->key, key.ptr, key.len);
}

/* --- what denies wildcards ------------------------------------------------------------------------------------------ */
const struct denial *zones_denial(const struct lookup *l, const struct rrkey *k, unsigned zone, unsigned encloser)
{
    struct bytes key = bytes_of(k->buf, k->at[encloser]);
    const struct denial *d = &l->zones->denial[key_hash(key) % ZONES_DENIALS];
    bool same = d->zone == zone && bytes_equal(key, bytes_of(d->encloser, d->encloser_len));
    return same && still_true(l, d->version, d->tick, d->place) ? d : NULL;
}

static struct bytes keep_bytes(uint8_t *to, struct bytes b)
{
    if (b.len > 0)
        memcpy(to, b.ptr, b.len);
    return bytes_of(to, b.len);
}

void zones_note_denial(struct lookup *l, const struct rrkey *k, unsigned zone, unsigned encloser, struct bytes labels,
                       unsigned shared, const struct rrset *rr)
{
    struct bytes key = bytes_of(k->buf, k->at[encloser]);
    struct denial *d = &l->zones->denial[key_hash(key) % ZONES_DENIALS];
    if (key.len > sizeof d->encloser || labels.len > sizeof d->labels || rr->wire.len + rr->sig_wire.len > sizeof d->wire)
        return;
    d->version = l->version;
    d->tick = l->watch.tick;
    if (d->tick > 0)
        d->place = place_of_subtree(l->watch.changes, hash_of_ancestor(l->watch.changes, k, zone));
    d->zone = zone;
    d->encloser_len = (uint16_t)keep_bytes(d->encloser, key).len;
    d->labels_len = (uint16_t)keep_bytes(d->labels, labels).len;
    d->shared = shared;
    d->rr = *rr;
    d->rr.wire = keep_bytes(d->wire, rr->wire);
    d->rr.sig_wire = keep_bytes(d->wire + rr->wire.len, rr->sig_wire);
}
