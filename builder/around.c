#include "builder/around.h"

#include "builder/build.h"

#include <sodium.h>

/* --- all of it in one number ------------------------------------------------------------------------------------ */
static void hash_bytes(crypto_generichash_state *h, struct bytes b)
{
    uint8_t len[4];
    struct wr w = wr_over(len, sizeof len);
    wr_u32(&w, (uint32_t)b.len);
    (void)crypto_generichash_update(h, len, sizeof len);
    (void)crypto_generichash_update(h, b.ptr, b.len);
}

static void hash_zone(crypto_generichash_state *h, struct bytes name, unsigned bits)
{
    uint8_t flags = (uint8_t)bits;
    hash_bytes(h, name);
    hash_bytes(h, bytes_of(&flags, 1));
}

/* Keys of the zone above; those of the zone itself do not count. */
static enum err hash_region(crypto_generichash_state *h, const struct survey *s, struct fault *fault)
{
    for (size_t i = 0; i < s->old.n; i++) {
        const struct entry *e = &s->old.v[i];
        unsigned depth;
        enum err err = entry_depth(e, &depth, fault);
        if (err != OK)
            return err;
        if (depth == s->depth)
            continue;
        hash_bytes(h, e->key);
        hash_bytes(h, e->value);
    }
    return OK;
}

MUST_USE enum err around_take(struct around *a, struct bytes apex, struct view *v, struct fault *fault)
{
    crypto_generichash_state h;
    struct survey s;
    struct head head = { .seq = 0 };
    struct ring_visit none = { 0 };
    struct name name = { .len = (uint8_t)apex.len };
    memcpy(name.wire, apex.ptr, apex.len);
    name_lower(name.wire, name.len);
    enum err err = view_head(v, &head, NULL);
    if (err == ERR_NOTFOUND)
        err = OK;
    if (err != OK)
        return fault_set(fault, err, "cannot read the store");
    enum err settled = view_ring(v, head.seq, &none);           /* a view tells once that its generation changed */
    (void)settled;
    if ((err = survey_run(&s, &name, v, fault)) == OK) {
        (void)crypto_generichash_init(&h, NULL, 0, sizeof a->digest);
        hash_zone(&h, name_bytes(&s.parent), s.parent_bits);
        for (size_t i = 0; i < s.nested.n; i++)
            hash_zone(&h, s.nested.v[i].labels, s.nested.v[i].bits);
        hash_zone(&h, (struct bytes){ 0 }, s.is_hosted);
        err = hash_region(&h, &s, fault);
        (void)crypto_generichash_final(&h, a->digest, sizeof a->digest);
        a->hosted = s.is_hosted;
        a->epoch = head.epoch;
        a->seq = head.seq;
    }
    survey_release(&s);
    return err;
}

/* --- what commits touched --------------------------------------------------------------------------------------- */
struct touch { struct rrkey apex; struct bytes labels; bool hosted, matters; };

/* Slots that tell of zones that come or go, and of what a zone has at the apex of another. */
static bool is_shape(uint16_t slot, enum ring_mark mark)
{
    if (slot == RRSLOT_ZONE || slot == TYPE_DNAME)
        return mark != RING_CHANGED;
    return slot == RRSLOT_PARENT_NS || slot == RRSLOT_PARENT_NSEC || slot == RRSLOT_SHADOW || slot == TYPE_DS;
}

static void on_touched(void *arg, struct bytes ns, struct bytes key, enum ring_mark mark)
{
    struct touch *t = arg;
    size_t owner = rrkey_owner_len(key);
    if (!bytes_equal(ns, dns_namespace) || t->matters)
        return;
    if (owner == 0 || key.len < owner + 2) {
        t->matters = true;
        return;
    }
    uint16_t slot = (uint16_t)(key.ptr[owner] << 8 | key.ptr[owner + 1]);
    struct bytes labels = bytes_of(key.ptr, owner - 1);
    bool under = labels_under(labels, t->labels), above = labels_under(t->labels, labels);
    t->matters = (under && !t->hosted) || ((under || above) && is_shape(slot, mark));
}

static void on_many(void *arg, struct bytes ns)
{
    struct touch *t = arg;
    t->matters |= bytes_equal(ns, dns_namespace);
}

/* true: nothing that was committed since then can have moved it. */
static bool untouched(const struct around *a, struct bytes apex, struct view *v, const struct head *head)
{
    struct touch t = { .hosted = a->hosted };
    struct ring_visit visit = { &t, on_touched, on_many };
    if (head->epoch == a->epoch && head->seq == a->seq)
        return true;
    if (rrkey_of_name(apex, &t.apex) != OK)
        return false;
    t.labels = bytes_of(t.apex.buf, t.apex.labels > 0 ? t.apex.at[t.apex.labels] : 0);
    return view_ring(v, a->seq, &visit) == OK && !t.matters;
}

MUST_USE enum err around_same(struct around *a, struct bytes apex, struct view *v, bool *same, struct fault *fault)
{
    struct around now;
    struct head head = { .seq = 0 };
    enum err err = view_head(v, &head, NULL);
    if (err != OK && err != ERR_NOTFOUND)
        return fault_set(fault, err, "cannot read the store");
    *same = true;
    if (untouched(a, apex, v, &head)) {
        a->epoch = head.epoch;
        a->seq = head.seq;
        return OK;
    }
    if ((err = around_take(&now, apex, v, fault)) != OK)
        return err;
    *same = now.hosted == a->hosted && memcmp(now.digest, a->digest, sizeof now.digest) == 0;
    if (*same)
        *a = now;
    return OK;
}
