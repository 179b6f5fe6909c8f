#include "dnsfront/zones.h"

#include "dnsfront/find.h"

#include <stdlib.h>

struct zones { struct zone_entry slot[ZONES_SLOTS], once; };    /* once: for what does not fit into a slot */

MUST_USE enum err zones_open(struct zones **out)
{
    struct zones *z = calloc(1, sizeof *z);
    if (z == NULL)
        return ERR_NOMEM;
    *out = z;
    return OK;
}

void zones_close(struct zones *z) { free(z); }

static uint32_t key_hash(struct bytes key)      /* FNV-1a */
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ key.ptr[i]) * 16777619u;
    return h ^ h >> 15;
}

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
    if (keep) {
        if (apex.len > 0)
            memcpy(slot->key, apex.ptr, apex.len);
        slot->key_len = (uint16_t)apex.len;
        slot->version = l->version;
    }
    return slot;
}

const struct zone_entry *zones_get(struct lookup *l, const struct rrkey *k, unsigned depth)
{
    struct bytes apex = bytes_of(k->buf, k->at[depth]);
    struct zone_entry *slot = &l->zones->slot[key_hash(apex) % ZONES_SLOTS];
    if (slot->version == l->version && slot->version != 0 && bytes_equal(apex, bytes_of(slot->key, slot->key_len)))
        return slot;
    return zones_fill(l, k, depth, slot);
}
