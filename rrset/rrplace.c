/* RRsets into a message: the query path. No allocation, every read and write inside bounds.
 *
 * The stored wire (picture in rrset.h) becomes part of a message in which both of its pieces stand elsewhere: the owner
 * name at owner_at instead of 12, the RRs at `start` instead of 16+L. A pointer into either piece moves with it.
 *
 * A pointer that would lead above 16,383 is written out as the name it stands for, so what follows it moves up. That
 * never disturbs a pointer which stays one: its target is at most 16,383, while everything written out stands behind the
 * place that it could not name, so above 16,383, and only what is behind that moves. */
#include "rrset/rrwire.h"

struct place {
    struct wr *out;
    struct bytes wire;
    const struct rr_place *where;
    size_t base, start;             /* first RR in the stored form, in the message */
    size_t owner_at;                /* of the RRs, pointers followed */
};

/* Where byte s of the name at `at` stands in the message, pointers followed; 0: no label of that name begins there. */
static size_t walk(struct bytes msg, size_t at, size_t s)
{
    for (;;) {
        struct rd r = rd_over(msg);
        (void)rd_take(&r, at);
        size_t label = rd_u8(&r);
        if (label >= 0xc0) {
            size_t target = (label & 0x3f) << 8 | rd_u8(&r);
            if (r.bad || target >= at)
                return 0;
            at = target;
            continue;
        }
        if (r.bad || label > LABEL_MAX_LEN)
            return 0;
        if (s == 0)
            return at;
        if (label == 0 || s <= label)
            return 0;
        at += label + 1;
        s -= label + 1;
    }
}

/* The owner name stands in the message in one piece, where pointers reach all of it. */
static bool in_one_piece(const struct place *p)
{
    struct bytes msg = bytes_of(p->out->buf, p->start);
    size_t len = p->where->owner_name.len - 1 + p->where->skew, at = p->owner_at;
    return at + len <= POINTER_MAX && walk(msg, at, len) == at + len;
}

/* --- no room is gained or lost: copy, then change pointers where they stand --------------------------------------- */
static bool patch_name(const struct place *p, struct rd *r)
{
    const struct rr_place *where = p->where;
    size_t name_at = (size_t)(r->p - p->out->buf);
    for (;;) {
        size_t at = (size_t)(r->p - p->out->buf), label = rd_u8(r);
        if (label < 0xc0) {
            (void)rd_take(r, label);
            if (r->bad || label > LABEL_MAX_LEN)
                return false;
            if (label == 0)
                return true;
            continue;
        }
        size_t target = (label & 0x3f) << 8 | rd_u8(r);
        if (r->bad || target < WIRE_OWNER_AT + (where->skew > 0))
            return false;
        if (target < WIRE_OWNER_AT + where->owner_name.len)
            target += p->owner_at + where->skew - WIRE_OWNER_AT;
        else if (target >= p->base && target - p->base + p->start < name_at)
            target += p->start - p->base;
        else
            return false;
        wr_patch_u16(p->out, at, (uint16_t)(0xc000 | target));
        return true;
    }
}

static enum err place_patched(const struct place *p, unsigned count, unsigned skip, unsigned names)
{
    uint16_t type = wire_type(p->wire);
    wr_bytes(p->out, p->wire);
    struct rd r = rd_over(bytes_of(p->out->buf + p->start, p->wire.len));
    for (unsigned i = 0; i < count; i++) {
        size_t at = (size_t)(r.p - p->out->buf);
        struct wire_rr rr;
        if (!wire_rr_read(&r, &rr) || rr.type != type)
            return ERR_BAD;
        wr_patch_u16(p->out, at, (uint16_t)(0xc000 | p->owner_at));
        struct rd rdata = rd_over(rr.rdata);
        (void)rd_take(&rdata, skip);
        for (unsigned k = 0; k < names; k++)
            if (!patch_name(p, &rdata))
                return ERR_BAD;
    }
    return rd_done(&r) ? OK : ERR_BAD;
}

/* --- the owner in pieces, or offsets above 16,383: written anew --------------------------------------------------- */
/* The pointer at `from` (its own bytes are still to be read there) as what it becomes in the message. */
static enum err rewrite_pointer(const struct place *p, struct rd from, size_t target, size_t name_at)
{
    const struct rr_place *where = p->where;
    size_t moved;
    if (target >= p->base) {
        if (target - p->base >= name_at)
            return ERR_BAD;
        moved = target - p->base + p->start;
    } else {
        if (target < WIRE_OWNER_AT + (where->skew > 0))
            return ERR_BAD;
        moved = walk(bytes_of(p->out->buf, p->start), p->owner_at, target - WIRE_OWNER_AT + where->skew);
        if (moved == 0)
            return ERR_BAD;
    }
    if (moved <= POINTER_MAX) {
        wr_u16(p->out, (uint16_t)(0xc000 | moved));
        return OK;
    }
    struct name whole;
    enum err err = wire_name(&from, where->owner_name, p->wire, &whole);
    if (err == OK)
        wr_bytes(p->out, name_bytes(&whole));
    return err;
}

static enum err rewrite_name(const struct place *p, struct rd *r)
{
    size_t name_at = (size_t)(r->p - p->wire.ptr);
    for (;;) {
        struct rd from = *r;
        size_t label = rd_u8(r);
        if (label >= 0xc0) {
            size_t target = (label & 0x3f) << 8 | rd_u8(r);
            return r->bad ? ERR_BAD : rewrite_pointer(p, from, target, name_at);
        }
        struct bytes text = rd_take(r, label);
        if (r->bad || label > LABEL_MAX_LEN)
            return ERR_BAD;
        wr_u8(p->out, (uint8_t)label);
        wr_bytes(p->out, text);
        if (label == 0)
            return OK;
    }
}

static enum err rewrite_rr(const struct place *p, const struct wire_rr *rr, unsigned skip, unsigned names)
{
    struct rd rdata = rd_over(rr->rdata);
    if (p->owner_at <= POINTER_MAX)
        wr_u16(p->out, (uint16_t)(0xc000 | p->owner_at));
    else
        wr_bytes(p->out, p->where->owner_name);
    wr_u16(p->out, rr->type);
    wr_u16(p->out, rr->rrclass);
    wr_u32(p->out, rr->ttl);
    size_t len_at = p->out->len;
    wr_u16(p->out, 0);
    wr_bytes(p->out, rd_take(&rdata, skip));
    for (unsigned i = 0; i < names; i++) {
        enum err err = rdata.bad ? ERR_BAD : rewrite_name(p, &rdata);
        if (err != OK)
            return err;
    }
    wr_bytes(p->out, rd_take(&rdata, rd_left(&rdata)));
    if (p->out->full || p->out->len - len_at - 2 > UINT16_MAX)
        return ERR_NOSPACE;
    wr_patch_u16(p->out, len_at, (uint16_t)(p->out->len - len_at - 2));
    return OK;
}

static enum err place_rewritten(const struct place *p, unsigned count, unsigned skip, unsigned names)
{
    struct rd r = rd_over(p->wire);
    uint16_t type = wire_type(p->wire);
    for (unsigned i = 0; i < count; i++) {
        struct wire_rr rr;
        if (!wire_rr_read(&r, &rr) || rr.type != type)
            return ERR_BAD;
        enum err err = rewrite_rr(p, &rr, skip, names);
        if (err != OK)
            return err;
    }
    return rd_done(&r) ? OK : ERR_BAD;
}

/* One RR without names in it, as most signatures and NSEC are: only its owner moves. */
static bool is_single(struct bytes wire, unsigned count)
{
    return count == 1 && wire.len >= RR_FIXED && wire.ptr[0] == WIRE_OWNER_POINTER >> 8 && wire.ptr[1] == (WIRE_OWNER_POINTER & 0xff)
        && (size_t)(wire.ptr[10] << 8 | wire.ptr[11]) == wire.len - RR_FIXED;
}

static enum err place_moved(const struct place *p, unsigned count)
{
    unsigned skip, names;
    bool named = rrtype_compresses(wire_type(p->wire), &skip, &names);
    if (!named && p->owner_at == WIRE_OWNER_AT) {
        wr_bytes(p->out, p->wire);
        return OK;
    }
    if (!named && p->owner_at <= POINTER_MAX && is_single(p->wire, count)) {
        wr_bytes(p->out, p->wire);
        wr_patch_u16(p->out, p->start, (uint16_t)(0xc000 | p->owner_at));
        return OK;
    }
    if (p->owner_at <= POINTER_MAX && (!named || (in_one_piece(p) && p->start + p->wire.len <= POINTER_MAX + 1u)))
        return place_patched(p, count, skip, names);
    return place_rewritten(p, count, skip, names);
}

MUST_USE enum err rrset_place(struct wr *out, struct bytes wire, unsigned count, const struct rr_place *where)
{
    struct place p = { out, wire, where, wire_base(where->owner_name.len), out->len, where->owner_at };
    if (out->cap - out->len < wire.len)         /* it never becomes shorter */
        return ERR_NOSPACE;
    if (where->owner_at == WIRE_OWNER_AT && where->skew == 0 && p.start == p.base) {
        wr_bytes(out, wire);
        return OK;
    }
    if (where->owner_at > WIRE_OWNER_AT)
        p.owner_at = walk(bytes_of(out->buf, out->len), where->owner_at, 0);
    enum err err = p.owner_at < WIRE_OWNER_AT ? ERR_BAD : place_moved(&p, count);
    if (err == OK && out->full)
        err = ERR_NOSPACE;
    if (err != OK) {
        out->len = p.start;
        out->full = false;
    }
    return err;
}

/* --- by a plan ------------------------------------------------------------------------------------------------------ */
static bool plan_pointer(struct rr_plan *plan, size_t at, size_t target)
{
    if (plan->n == RR_PLAN_MAX || at > UINT16_MAX)
        return false;
    plan->at[plan->n] = (uint16_t)at;
    plan->target[plan->n++] = (uint16_t)target;
    return true;
}

static bool plan_name(struct rr_plan *plan, struct bytes wire, struct rd *r)
{
    size_t name_at = (size_t)(r->p - wire.ptr);
    for (;;) {
        size_t at = (size_t)(r->p - wire.ptr), label = rd_u8(r);
        if (label >= 0xc0) {
            size_t target = (label & 0x3f) << 8 | rd_u8(r);
            bool own = target >= plan->base;
            return !r->bad && target >= WIRE_OWNER_AT && (own ? target - plan->base < name_at : target < plan->base - 4u)
                && plan_pointer(plan, at, target);
        }
        (void)rd_take(r, label);
        if (r->bad || label > LABEL_MAX_LEN)
            return false;
        if (label == 0)
            return true;
    }
}

static bool plan_rrs(struct rr_plan *plan, struct bytes wire, unsigned count)
{
    struct rd r = rd_over(wire);
    unsigned skip, names;
    uint16_t type = wire_type(wire);
    bool named = rrtype_compresses(type, &skip, &names);
    for (unsigned i = 0; i < count; i++) {
        size_t at = (size_t)(r.p - wire.ptr);
        struct wire_rr rr;
        if (!wire_rr_read(&r, &rr) || rr.type != type || !plan_pointer(plan, at, WIRE_OWNER_AT))
            return false;
        struct rd rdata = rd_over(rr.rdata);
        (void)rd_take(&rdata, named ? skip : 0);
        for (unsigned k = 0; named && k < names; k++)
            if (!plan_name(plan, wire, &rdata))
                return false;
    }
    return rd_done(&r);
}

void rrset_plan(struct bytes wire, unsigned count, size_t owner_len, struct rr_plan *out)
{
    *out = (struct rr_plan){ .base = (uint16_t)wire_base(owner_len) };
    if (!plan_rrs(out, wire, count))
        out->n = 0;
}

MUST_USE enum err rrset_place_planned(struct wr *out, struct bytes wire, unsigned count, const struct rr_plan *plan,
                                      const struct rr_place *where)
{
    size_t start = out->len;
    if (plan->n == 0 || start + wire.len > POINTER_MAX || where->owner_at + where->owner_name.len > start)
        return rrset_place(out, wire, count, where);
    if (out->cap - start < wire.len)
        return ERR_NOSPACE;
    wr_bytes(out, wire);
    for (unsigned i = 0; i < plan->n; i++) {
        size_t target = plan->target[i];
        target = target < plan->base ? target - WIRE_OWNER_AT + where->owner_at : target - plan->base + start;
        wr_patch_u16(out, start + plan->at[i], (uint16_t)(0xc000 | target));
    }
    return OK;
}
