/* The NSEC of a name, or the one that covers it: the last NSEC of the zone at or before the name's place.
 *
 *     ... b.z 0002 │ b.z 002f │ <place of d.z> │ f.z 0000 ...       one step back, mostly onto the NSEC itself: slot 47 is
 *                      ▲                                            behind those of most data
 *
 * Zones hosted below the zone at hand stand between: of these the parent's NSEC at the child's apex is what counts. */
#include "dnsfront/proof.h"

#define NESTED_MAX 32               /* hosted zones that are stepped over */
#define BESIDE_MAX 4                /* keys of an owner behind its NSEC: mostly an apex, with DNSKEY and zone header */

static enum err nsec_read(const struct entry *e, unsigned zone, struct nsec_record *out)
{
    struct blob blob;
    enum err err = blob_read(e->value, &blob);
    if (err != OK || e->key.len > sizeof out->key || e->key.len < 3)
        return ERR_BAD;
    if (blob.rr[0].type != TYPE_NSEC || blob_depth(blob.flags) != zone)
        return ERR_NOTFOUND;
    out->rr = blob.rr[0];
    out->owner_len = e->key.len - 2;             /* the slot ends it */
    memcpy(out->key, e->key.ptr, e->key.len);
    return OK;
}

/* At the owner with those labels (each with its end) and a slot. ERR_NOTFOUND: none, or it is of another zone. */
static enum err nsec_at(struct lookup *l, struct bytes labels, uint16_t slot, unsigned zone, struct nsec_record *out)
{
    uint8_t key[RRKEY_MAX];
    struct wr w = wr_over(key, sizeof key);
    struct entry e;
    wr_bytes(&w, labels);
    wr_u8(&w, 0);
    wr_u16(&w, slot);
    if (w.full)
        return ERR_BAD;
    enum err err = lookup_seek(l, STEP_PROOF, wr_done(&w), &e);
    if (err != OK)
        return err;
    return bytes_equal(e.key, wr_done(&w)) ? nsec_read(&e, zone, out) : ERR_NOTFOUND;
}

static bool is_nsec(struct bytes key, size_t owner)
{
    return key.len == owner + 2 && key_slot(key, (unsigned)owner) == TYPE_NSEC;
}

/* Back from *e, on which the cursor stands, through the keys of its owner. */
static enum err nsec_beside(struct lookup *l, const struct entry *e, size_t owner, unsigned zone, struct nsec_record *out)
{
    struct bytes own = bytes_of(e->key.ptr, owner);
    struct entry at = *e;
    for (int left = BESIDE_MAX; left > 0; left--) {
        if (is_nsec(at.key, owner))
            return nsec_read(&at, zone, out);
        if (key_slot(at.key, (unsigned)owner) < TYPE_NSEC)
            return ERR_NOTFOUND;
        enum err err = cursor_prev(l->cursor, &at);
        if (err != OK)
            return err;
        if (at.key.len < owner + 2 || !bytes_starts(at.key, own))
            return ERR_NOTFOUND;
    }
    return nsec_at(l, bytes_of(own.ptr, owner - 1), TYPE_NSEC, zone, out);
}

/* The last key before everything at or below those labels. */
static enum err before(struct lookup *l, struct bytes labels, struct entry *e)
{
    enum err err = lookup_seek(l, STEP_PROOF, labels, e);
    return err == OK || err == ERR_NOTFOUND ? cursor_prev(l->cursor, e) : err;
}

/* The NSEC of the owner of *e. ERR_AGAIN: its zone is one that the zone at hand does not delegate to; now *e is the last
 * key before that zone. */
static enum err nsec_of_owner(struct lookup *l, const struct rrkey *k, struct entry *e, unsigned zone,
                              struct nsec_record *out)
{
    struct spot at = { .entry = *e };
    enum err err = spot_read(&at, k);
    if (err != OK)
        return err;
    size_t owner = rrkey_owner_len(e->key);
    if (at.zone == zone)
        return nsec_beside(l, e, owner, zone, out);
    if (at.zone < zone)
        return ERR_NOTFOUND;
    struct bytes apex = bytes_of(e->key.ptr, key_prefix(e->key, at.zone));
    err = nsec_at(l, apex, RRSLOT_PARENT_NSEC, zone, out);
    if (err != ERR_NOTFOUND)
        return err;
    err = before(l, apex, e);
    return err == OK ? ERR_AGAIN : err;
}

MUST_USE enum err nsec_find(struct lookup *l, const struct rrkey *k, unsigned depth, unsigned zone,
                            const struct entry *before, struct nsec_record *out)
{
    uint8_t buf[RRKEY_MAX];
    struct entry e;
    stat_add(&l->counts->steps[STEP_PROOF], 1);
    if (before != NULL && before->key.len > 0 && is_nsec(before->key, rrkey_owner_len(before->key))
        && nsec_read(before, zone, out) == OK)
        return OK;
    struct bytes key = { buf, rrkey_at(k, depth, TYPE_NSEC, buf) };
    enum err err = lookup_seek(l, STEP_PROOF, key, &e);
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    if (err == ERR_NOTFOUND || !bytes_equal(e.key, key))
        err = cursor_prev(l->cursor, &e);
    for (int left = NESTED_MAX; left > 0 && err == OK; left--) {
        if ((err = nsec_of_owner(l, k, &e, zone, out)) != ERR_AGAIN)
            return err;
        err = OK;
    }
    return err == OK ? ERR_NOTFOUND : err;
}
