/* RRsets into their stored wire form, and back out of it RR by RR. */
#include "rrset/rrwire.h"

#include <stdlib.h>

#define SEEN_MAX 64         /* RDATA names that later ones may point at; more would make huge RRsets quadratic */
#define SMALL_WIRE 1024     /* most RRsets are smaller and need no scratch memory */

static int by_bytes(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

size_t rrset_sort(struct bytes *rdata, size_t n)
{
    size_t kept = 0;
    if (n > 1)
        qsort(rdata, n, sizeof *rdata, by_bytes);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !bytes_equal(rdata[kept - 1], rdata[i]))
            rdata[kept++] = rdata[i];
    return kept;
}

/* Some total order of RDATA in which those that differ only in the case of names are equal. */
static int compare_names(struct bytes a, struct bytes b, const struct rdata_shape *shape)
{
    struct rd ra = rd_over(a), rb = rd_over(b);
    int c = bytes_compare(rd_take(&ra, shape->skip), rd_take(&rb, shape->skip));
    for (unsigned i = 0; c == 0 && i < shape->strings; i++) {
        struct bytes sa = rd_take(&ra, rd_u8(&ra)), sb = rd_take(&rb, rd_u8(&rb));
        c = bytes_compare(sa, sb);
    }
    for (unsigned i = 0; c == 0 && i < shape->names; i++) {
        struct bytes na, nb;
        if (name_read(&ra, &na) != OK || name_read(&rb, &nb) != OK)
            return bytes_compare(a, b);
        c = name_compare(na, nb);
    }
    return c != 0 ? c : bytes_compare(rd_take(&ra, rd_left(&ra)), rd_take(&rb, rd_left(&rb)));
}

static int by_names(const void *a, const void *b, void *shape)
{
    const struct bytes *x = a, *y = b;
    int c = compare_names(*x, *y, shape);
    return c != 0 ? c : bytes_compare(*x, *y);
}

size_t rrset_sort_names(uint16_t type, struct bytes *rdata, size_t n)
{
    struct rdata_shape shape;
    size_t kept = 0;
    if (n < 2 || !rrtype_shape(type, &shape))
        return rrset_sort(rdata, n);
    qsort_r(rdata, n, sizeof *rdata, by_names, &shape);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || compare_names(rdata[kept - 1], rdata[i], &shape) != 0)
            rdata[kept++] = rdata[i];
    return rrset_sort(rdata, kept);
}

/* --- compression -------------------------------------------------------------------------------------------------- */
struct seen { uint16_t at; struct bytes suffix; };      /* a name that ends in the wire, and the offset of that end */
struct press {
    struct bytes owner;
    bool starts[NAME_MAX_LEN];                          /* owner bytes at which a label begins that may be pointed at */
    unsigned seen_n;
    struct seen seen[SEEN_MAX];
};

/* A wildcard's own first label is no target: answers replace it. The final 0 is none either: it is shorter than a pointer. */
static void press_init(struct press *p, struct bytes owner)
{
    struct rd r = rd_over(owner);
    p->owner = owner;
    p->seen_n = 0;
    memset(p->starts, 0, sizeof p->starts);
    for (;;) {
        size_t at = owner.len - rd_left(&r);
        if (rd_take(&r, rd_u8(&r)).len == 0)
            return;
        p->starts[at] = at > 0 || !name_is_wildcard(owner);
    }
}

/* Where a name with exactly these bytes can be pointed at; 0: nowhere. The owner is lower case, so a name that equals
 * its end byte for byte is lower case too, and comes back as it was. */
static uint16_t press_find(const struct press *p, struct bytes suffix)
{
    if (suffix.len <= p->owner.len) {
        size_t at = p->owner.len - suffix.len;
        if (p->starts[at] && memcmp(p->owner.ptr + at, suffix.ptr, suffix.len) == 0)
            return (uint16_t)(WIRE_OWNER_AT + at);
    }
    for (unsigned i = 0; i < p->seen_n; i++)
        if (bytes_equal(p->seen[i].suffix, suffix))
            return p->seen[i].at;
    return 0;
}

static void press_name(struct wr *w, struct press *p, struct bytes name)
{
    while (name.len > 1) {
        uint16_t target = press_find(p, name);
        if (target != 0) {
            wr_u16(w, (uint16_t)(0xc000 | target));
            return;
        }
        size_t at = wire_base(p->owner.len) + w->len;
        if (at <= POINTER_MAX && p->seen_n < SEEN_MAX)
            p->seen[p->seen_n++] = (struct seen){ (uint16_t)at, name };
        struct rd r = rd_over(name);
        (void)rd_take(&r, rd_u8(&r));
        wr_put(w, name.ptr, name.len - rd_left(&r));
        name = rd_take(&r, rd_left(&r));
    }
    wr_u8(w, 0);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */
static void put_rr_head(struct wr *w, uint16_t type, uint32_t ttl)
{
    wr_u16(w, WIRE_OWNER_POINTER);
    wr_u16(w, type);
    wr_u16(w, CLASS_IN);
    wr_u32(w, ttl);
}

static enum err put_pressed(struct wr *w, struct press *p, struct bytes rdata, unsigned skip, unsigned names)
{
    struct rd r = rd_over(rdata);
    size_t len_at = w->len;
    wr_u16(w, 0);
    wr_bytes(w, rd_take(&r, skip));
    for (unsigned i = 0; i < names; i++) {
        struct bytes name;
        if (r.bad || name_read(&r, &name) != OK)
            return ERR_BAD;
        press_name(w, p, name);
    }
    wr_bytes(w, rd_take(&r, rd_left(&r)));
    wr_patch_u16(w, len_at, (uint16_t)(w->len - len_at - 2));
    return OK;
}

static enum err put_rrs(struct wr *w, struct bytes owner, uint16_t type, uint32_t ttl, const struct bytes *rdata, size_t n,
                        bool compress)
{
    unsigned skip, names;
    struct press p;
    if (!rrtype_compresses(type, &skip, &names))
        compress = false;
    if (compress)
        press_init(&p, owner);
    for (size_t i = 0; i < n && !w->full; i++) {
        put_rr_head(w, type, ttl);
        if (compress) {
            if (put_pressed(w, &p, rdata[i], skip, names) != OK)
                return ERR_BAD;
        } else {
            wr_u16(w, (uint16_t)rdata[i].len);          /* too long a one does not fit behind it */
            wr_bytes(w, rdata[i]);
        }
    }
    return w->full ? ERR_LIMIT : OK;
}

/* count and wire of an element, by way of scratch memory, since the length stands in front. */
static enum err put_part(struct wr *w, struct bytes owner, uint16_t type, uint32_t ttl, const struct bytes *rdata, size_t n,
                         bool compress, struct arena *scratch)
{
    uint8_t small[SMALL_WIRE];
    size_t limit = 65535 - wire_base(owner.len), need = 0;
    for (size_t i = 0; i < n && need <= limit; i++)
        need += RR_FIXED + rdata[i].len;
    if (need > limit)
        need = limit;                                   /* compressed it may fit yet */
    uint8_t *buf = need <= sizeof small ? small : arena_take(scratch, need);
    if (buf == NULL)
        return ERR_NOMEM;
    struct wr wire = wr_over(buf, need);
    enum err err = put_rrs(&wire, owner, type, ttl, rdata, n, compress);
    if (err != OK)
        return err;
    msg_put_uint(w, n);
    msg_put_bin(w, wr_done(&wire));
    return OK;
}

MUST_USE enum err rrset_write(struct wr *w, struct bytes owner, const struct rrset_in *in, bool compress, struct arena *scratch)
{
    enum err err;
    if (in->n == 0 || owner.len == 0 || owner.len > NAME_MAX_LEN)
        return ERR_BAD;
    msg_put_array(w, in->sigs_n > 0 ? 4 : 2);
    if ((err = put_part(w, owner, in->type, in->ttl, in->rdata, in->n, compress, scratch)) != OK)
        return err;
    if (in->sigs_n > 0 &&
        (err = put_part(w, owner, TYPE_RRSIG, in->sig_ttl, in->sigs, in->sigs_n, false, scratch)) != OK)
        return err;
    return w->full ? ERR_NOSPACE : OK;
}

/* --- taking apart ------------------------------------------------------------------------------------------------- */
/* The owner from its byte s on; false: no label begins there. */
static bool owner_from(struct bytes owner, size_t s, struct bytes *out)
{
    struct rd r = rd_over(owner);
    while (!r.bad && owner.len - rd_left(&r) < s)
        (void)rd_take(&r, rd_u8(&r));
    if (r.bad || owner.len - rd_left(&r) != s || rd_left(&r) == 0)
        return false;
    *out = rd_take(&r, rd_left(&r));
    return true;
}

static enum err end_in_owner(struct bytes owner, size_t target, struct name *out)
{
    struct bytes end;
    if (target < WIRE_OWNER_AT || !owner_from(owner, target - WIRE_OWNER_AT, &end) || out->len + end.len > NAME_MAX_LEN)
        return ERR_BAD;
    memcpy(out->wire + out->len, end.ptr, end.len);
    out->len = (uint8_t)(out->len + end.len);
    return OK;
}

MUST_USE enum err wire_name(struct rd *r, struct bytes owner, struct bytes wire, struct name *out)
{
    struct rd at = *r;                                  /* runs away from r with the first pointer */
    size_t below = (size_t)(r->p - wire.ptr), base = wire_base(owner.len);
    bool jumped = false;
    out->len = 0;
    for (;;) {
        size_t label = rd_u8(&at);
        if (at.bad)
            return ERR_BAD;
        if (label >= 0xc0) {
            size_t target = (label & 0x3f) << 8 | rd_u8(&at);
            if (!jumped)
                *r = at;
            jumped = true;
            if (at.bad || target < WIRE_OWNER_AT + owner.len)
                return at.bad ? ERR_BAD : end_in_owner(owner, target, out);
            if (target < base || target - base >= below)
                return ERR_BAD;
            below = target - base;
            at = rd_over(wire);
            (void)rd_take(&at, below);
            continue;
        }
        if (label > LABEL_MAX_LEN || out->len + 2 + label > NAME_MAX_LEN + (label == 0))
            return ERR_BAD;
        struct bytes text = rd_take(&at, label);
        if (at.bad)
            return ERR_BAD;
        out->wire[out->len++] = (uint8_t)label;
        if (label == 0) {
            if (!jumped)
                *r = at;
            return OK;
        }
        memcpy(out->wire + out->len, text.ptr, label);
        out->len = (uint8_t)(out->len + label);
    }
}

void rr_iter_init(struct rr_iter *it, struct bytes owner, struct bytes wire, unsigned count)
{
    *it = (struct rr_iter){ rd_over(wire), owner, wire, count };
}

static enum err expand(const struct rr_iter *it, struct bytes rdata, unsigned skip, unsigned names, struct wr *out)
{
    struct rd r = rd_over(rdata);
    wr_bytes(out, rd_take(&r, skip));
    for (unsigned i = 0; i < names; i++) {
        struct name name;
        if (r.bad || wire_name(&r, it->owner, it->wire, &name) != OK)
            return ERR_BAD;
        wr_bytes(out, name_bytes(&name));
    }
    wr_bytes(out, rd_take(&r, rd_left(&r)));
    return OK;
}

MUST_USE enum err rr_iter_next(struct rr_iter *it, uint8_t *buf, size_t cap, struct rr *out)
{
    struct wire_rr rr;
    struct wr w = wr_over(buf, cap);
    unsigned skip, names;
    if (it->left == 0)
        return rd_done(&it->r) ? ERR_NOTFOUND : ERR_BAD;
    if (!wire_rr_read(&it->r, &rr))
        return ERR_BAD;
    (void)rrtype_compresses(rr.type, &skip, &names);
    if (expand(it, rr.rdata, skip, names, &w) != OK)
        return ERR_BAD;
    if (w.full)
        return ERR_NOSPACE;
    it->left--;
    *out = (struct rr){ rr.type, rr.rrclass, rr.ttl, wr_done(&w) };
    return OK;
}

uint16_t rrset_ns_offset(struct bytes wire, struct bytes owner, struct bytes name)
{
    struct rd r = rd_over(wire);
    struct wire_rr rr;
    while (rd_left(&r) > 0 && wire_rr_read(&r, &rr)) {
        struct rd rdata = rd_over(rr.rdata);
        struct name target;
        if (rr.type == TYPE_NS && wire_name(&rdata, owner, wire, &target) == OK && name_equal(name_bytes(&target), name))
            return (uint16_t)(rr.rdata.ptr - wire.ptr);
    }
    return 0;
}
