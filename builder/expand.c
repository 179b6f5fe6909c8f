/* Blobs to records. */
#include "builder/build.h"

static enum err damaged(struct fault *fault)
{
    return fault_set(fault, ERR_BAD, "a stored value is damaged: azoth verify tells which");
}

enum err expand_owner(const struct entry *e, struct bytes apex, struct name *out, struct fault *fault)
{
    struct rrkey_parts p;
    uint16_t slot;
    if (rrkey_split(e->key, &p) != OK)
        return fault_set(fault, ERR_BAD, "a stored key is damaged: azoth verify tells which");
    if (p.slot == TYPE_NSEC3 && p.rest.len == NSEC3_HASH_LEN) {
        uint8_t label[NSEC3_LABEL_LEN];
        nsec3_label(p.rest.ptr, label);
        return name_join(bytes_of(label, sizeof label), apex, out) == OK ? OK : damaged(fault);
    }
    return rrkey_name(e->key, out, &slot) == OK ? OK : damaged(fault);
}

static enum err expand_wire(struct expander *x, struct bytes owner, struct bytes wire, unsigned count,
                            struct fault *fault)
{
    struct rr_iter it;
    struct rr rr;
    enum err err;
    rr_iter_init(&it, owner, wire, count);
    while (!x->stopped && (err = rr_iter_next(&it, x->rdata, sizeof x->rdata, &rr)) != ERR_NOTFOUND) {
        if (err != OK)
            return damaged(fault);
        struct zone_rr out = { owner, rr.rdata, rr.ttl, rr.type, 0 };
        x->stopped = !x->visit(x->arg, &out);
    }
    return OK;
}

static enum err expand_rrset(struct expander *x, struct bytes owner, const struct rrset *rr, struct fault *fault)
{
    enum err err = expand_wire(x, owner, rr->wire, rr->count, fault);
    if (err == OK && rr->sigs > 0)
        err = expand_wire(x, owner, rr->sig_wire, rr->sigs, fault);
    return err;
}

enum err expand_entry(struct expander *x, const struct entry *e, struct bytes apex, struct fault *fault)
{
    struct name owner;
    struct blob b;
    enum err err = expand_owner(e, apex, &owner, fault);
    if (err != OK)
        return err;
    if (blob_read(e->value, &b) != OK)
        return damaged(fault);
    for (unsigned i = 0; i < b.n && err == OK; i++)
        err = expand_rrset(x, name_bytes(&owner), &b.rr[i], fault);
    return err;
}

enum err expand_below(struct expander *x, const struct below *b, struct bytes owner, struct fault *fault)
{
    struct name name;
    struct rrset rr;
    enum err err = OK;
    if (name_join(b->relname, owner, &name) != OK)
        return damaged(fault);
    for (unsigned i = 0; i < b->n + b->more && err == OK; i++)
        err = below_rrset(b, i, &rr) == OK ? expand_rrset(x, name_bytes(&name), &rr, fault) : damaged(fault);
    return err;
}

enum err expand_whole(struct expander *x, const struct entry *e, struct bytes apex, struct fault *fault)
{
    struct name owner;
    struct blob b;
    enum err err = expand_entry(x, e, apex, fault);
    if (err == OK)
        err = expand_owner(e, apex, &owner, fault);
    if (err == OK && blob_read(e->value, &b) != OK)
        err = damaged(fault);
    struct rd r = rd_over(err == OK ? b.below : (struct bytes){ 0 });
    for (unsigned i = 0; err == OK && i < b.below_n; i++) {
        struct below entry;
        err = below_read(&r, &entry) == OK ? expand_below(x, &entry, name_bytes(&owner), fault) : damaged(fault);
    }
    return err;
}
