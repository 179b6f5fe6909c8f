/* Blobs as MessagePack: framing. Shapes in rrset.h. */
#include "rrset/rrset.h"

#include "rrset/rrwire.h"

static uint16_t small_uint(struct rd *r)
{
    uint64_t v = msg_uint(r);
    if (v > UINT16_MAX)
        rd_fail(r);
    return (uint16_t)v;
}

static uint32_t read_flags(struct rd *r)
{
    uint64_t v = msg_uint(r);
    if (v >> 4 > NAME_LABELS_MAX)
        rd_fail(r);
    return (uint32_t)v;
}

static void read_signatures(struct rd *r, uint32_t elements, struct rrset *out)
{
    out->sigs = small_uint(r);
    out->sig_wire = msg_bin(r);
    if ((out->sigs == 0) != (out->sig_wire.len == 0) || (out->sigs == 0 && elements == 4))
        rd_fail(r);
    msg_skip_rest(r, elements, 4);
}

MUST_USE enum err rrset_read(struct rd *r, struct rrset *out)
{
    struct rrset rr = { 0 };
    uint32_t elements = msg_array(r);
    rr.count = small_uint(r);
    rr.wire = msg_bin(r);
    if (r->bad)
        return rd_err(r);
    if (elements > 3)
        read_signatures(r, elements, &rr);
    if (elements < 2 || elements == 3 || rr.count == 0 || rr.wire.len < RR_FIXED)
        rd_fail(r);
    if (r->bad)
        return rd_err(r);
    rr.type = wire_type(rr.wire);
    *out = rr;
    return OK;
}

/* `below` is the last element today: nothing needs to look for its end then. */
static void read_below(struct rd *r, uint32_t elements, struct blob *b)
{
    if (msg_nil(r)) {
        if (elements == 4)
            rd_fail(r);
        msg_skip_rest(r, elements, 4);
        return;
    }
    b->below_n = msg_array(r);
    if (b->below_n == 0)
        rd_fail(r);
    const uint8_t *start = r->p;
    if (elements > 4)
        msg_skip_rest(r, b->below_n, 0);
    if (r->bad)
        return;
    b->below = elements > 4 ? bytes_of(start, (size_t)(r->p - start)) : rd_take(r, rd_left(r));
    msg_skip_rest(r, elements, 4);
}

MUST_USE enum err blob_read(struct bytes value, struct blob *out)
{
    struct rd r = rd_over(value);
    struct blob b = { .n = 1 };
    enum err err;
    uint32_t elements = msg_array(&r);
    b.flags = read_flags(&r);
    if (!r.bad && elements < 2)
        return ERR_BAD;
    if ((err = rrset_read(&r, &b.rr[0])) != OK)
        return err;
    if (elements > 2 && !(elements > 3 && msg_nil(&r))) {
        if ((err = rrset_read(&r, &b.rr[1])) != OK)
            return err;
        b.n = 2;
    }
    if (elements > 3)
        read_below(&r, elements, &b);
    if (r.bad)
        return rd_err(&r);
    if (!rd_done(&r))
        return ERR_BAD;
    *out = b;
    return OK;
}

MUST_USE enum err blob_read_flags(struct bytes value, uint32_t *flags)
{
    struct rd r = rd_over(value);
    (void)msg_array(&r);
    uint32_t got = read_flags(&r);
    if (r.bad)
        return rd_err(&r);
    *flags = got;
    return OK;
}

/* --- what lies below a cut or DNAME ------------------------------------------------------------------------------- */
MUST_USE enum err below_read(struct rd *r, struct below *out)
{
    struct below b = { 0 };
    uint32_t elements = msg_array(r);
    b.relname = msg_bin(r);
    b.ns_offset = small_uint(r);
    if (r->bad)
        return rd_err(r);
    if (elements < 3 || b.relname.len >= NAME_MAX_LEN) {
        rd_fail(r);
        return ERR_BAD;
    }
    for (; b.n < 2 && b.n < elements - 2; b.n++) {
        enum err err = rrset_read(r, &b.rr[b.n]);
        if (err != OK)
            return err;
    }
    b.more = elements - 2 - b.n;
    const uint8_t *start = r->p;
    msg_skip_rest(r, b.more, 0);
    if (r->bad)
        return rd_err(r);
    b.rest = bytes_of(start, (size_t)(r->p - start));
    *out = b;
    return OK;
}

MUST_USE enum err below_rrset(const struct below *b, unsigned i, struct rrset *out)
{
    struct rd r = rd_over(b->rest);
    if (i < b->n) {
        *out = b->rr[i];
        return OK;
    }
    if (i - b->n >= b->more)
        return ERR_NOTFOUND;
    msg_skip_rest(&r, i - b->n, 0);
    return rrset_read(&r, out);
}

/* --- zone header -------------------------------------------------------------------------------------------------- */
static void put_rrset(struct wr *w, const struct rrset *rr)
{
    msg_put_array(w, rr->sigs > 0 ? 4 : 2);
    msg_put_uint(w, rr->count);
    msg_put_bin(w, rr->wire);
    if (rr->sigs > 0) {
        msg_put_uint(w, rr->sigs);
        msg_put_bin(w, rr->sig_wire);
    }
}

void zone_header_write(struct wr *w, const struct zone_header *h)
{
    msg_put_array(w, 6);
    msg_put_uint(w, h->flags);
    msg_put_uint(w, h->kind);
    msg_put_uint(w, h->state);
    msg_put_uint(w, h->bits);
    if (h->has_soa)
        put_rrset(w, &h->soa);
    else
        msg_put_nil(w);
    if (!h->has_nsec3) {
        msg_put_nil(w);
        return;
    }
    msg_put_array(w, 4);
    msg_put_uint(w, h->nsec3.algorithm);
    msg_put_uint(w, h->nsec3.flags);
    msg_put_uint(w, h->nsec3.iterations);
    msg_put_bin(w, h->nsec3.salt);
}

static void read_nsec3(struct rd *r, struct zone_nsec3 *out)
{
    uint32_t elements = msg_array(r);
    uint64_t algorithm = msg_uint(r), flags = msg_uint(r);
    out->iterations = small_uint(r);
    out->salt = msg_bin(r);
    if (!r->bad && (elements < 4 || algorithm > UINT8_MAX || flags > UINT8_MAX || out->salt.len > UINT8_MAX))
        rd_fail(r);
    out->algorithm = (uint8_t)algorithm;
    out->flags = (uint8_t)flags;
    msg_skip_rest(r, elements, 4);
}

static unsigned read_among(struct rd *r, unsigned first, unsigned last)
{
    uint64_t v = msg_uint(r);
    if (!r->bad && (v < first || v > last))
        rd_fail(r);
    return r->bad ? first : (unsigned)v;
}

MUST_USE enum err zone_header_read(struct bytes value, struct zone_header *out)
{
    struct rd r = rd_over(value);
    struct zone_header h = { 0 };
    uint32_t elements = msg_array(&r);
    h.flags = read_flags(&r);
    h.kind = (enum zone_kind)read_among(&r, ZONE_FILE, ZONE_SECONDARY);
    h.state = (enum zone_state)read_among(&r, ZONE_LIVE, ZONE_EMPTY);
    uint64_t bits = msg_uint(&r);
    if (r.bad)
        return rd_err(&r);
    if (elements < 6 || bits > UINT32_MAX)
        return ERR_BAD;
    h.bits = (uint32_t)bits;
    if (!msg_nil(&r)) {
        enum err err = rrset_read(&r, &h.soa);
        if (err != OK)
            return err;
        h.has_soa = true;
    }
    if (!msg_nil(&r)) {
        read_nsec3(&r, &h.nsec3);
        h.has_nsec3 = true;
    }
    msg_skip_rest(&r, elements, 6);
    if (r.bad)
        return rd_err(&r);
    if (!rd_done(&r))
        return ERR_BAD;
    *out = h;
    return OK;
}
