#include "dnsfront/zones.h"

#include "dnsfront/find.h"

#include <stdlib.h>

struct bare { uint64_t version, tick; uint32_t place; uint16_t key_len; uint8_t key[ZONES_KEY_MAX]; };
struct zones { struct zone_entry slot[ZONES_SLOTS], once; struct bare bare[ZONES_BARE]; };      /* once: for what does not fit into a slot */

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

static const struct zone_entry *zones_fill(struct lookup *l, const struct rrkey *k, unsigned depth,
                                           struct zone_entry *slot)
{
    uint8_t key[RRKEY_MAX];
    struct entry e;
    struct zone_header h;
    size_t len = rrkey_at(k, depth, RRSLOT_ZONE, key);
    stat_add(&l->counts->steps[STEP_ZONE], 1);
    if (lookup_seek(l, STEP_ZONE, bytes_of(key, len), &e) != OK || !bytes_equal(e.key, bytes_of(key, len)))
        return NULL;
    struct bytes value = e.value;
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
    slot->has_nsec3 = h.has_nsec3;
    slot->nsec3 = h.nsec3;
    if (keep) {
        if (apex.len > 0)
            memcpy(slot->key, apex.ptr, apex.len);
        slot->key_len = (uint16_t)apex.len;
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

const struct zone_entry *zones_get(struct lookup *l, const struct rrkey *k, unsigned depth)
{
    struct bytes apex = bytes_of(k->buf, k->at[depth]);
    struct zone_entry *slot = &l->zones->slot[key_hash(apex) % ZONES_SLOTS];
    if (still_true(l, slot->version, slot->tick, slot->place) && bytes_equal(apex, bytes_of(slot->key, slot->key_len)))
        return slot;
    return zones_fill(l, k, depth, slot);
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
