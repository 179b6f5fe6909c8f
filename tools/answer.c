/* A DNS message as records whose names are written out and lower case, so that bytes can be compared. */
#include "tools/compare.h"
#include "wire/rrtype.h"

#include <stdio.h>

#define RR_LEAST 11             /* the root, type, class, TTL, length */
#define NAMES_MOST 2            /* names in one RDATA */
#define SOA_NUMBERS 20          /* serial, refresh, retry, expire, minimum */

const char *answer_kind_text(enum answer_kind kind)
{
    static const char *const texts[] = { "answer", "nodata", "nxdomain", "referral", "empty", "error" };
    return texts[kind];
}

const char *rcode_text(char out[RCODE_TEXT_MAX], unsigned rcode)
{
    static const char *const texts[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
                                         "NXRRSET", "NOTAUTH", "NOTZONE" };
    if (rcode < sizeof texts / sizeof texts[0])
        (void)snprintf(out, RCODE_TEXT_MAX, "%s", texts[rcode]);
    else
        (void)snprintf(out, RCODE_TEXT_MAX, "RCODE%u", rcode);
    return out;
}

bool answer_soa_serial(struct bytes rdata, uint32_t *out)
{
    if (rdata.len < SOA_NUMBERS)
        return false;
    struct rd r = rd_over(bytes_of(rdata.ptr + rdata.len - SOA_NUMBERS, 4));
    *out = rd_u32(&r);
    return true;
}

static bool write_name(struct rd *r, struct bytes msg, struct wr *w)
{
    struct name n;
    if (name_unpack(r, msg, &n) != OK)
        return false;
    name_lower(n.wire, n.len);
    wr_bytes(w, name_bytes(&n));
    return true;
}

/* RDATA with its names written out, into the arena. What lies behind the names is taken as it is. */
static enum err read_rdata(struct bytes msg, struct bytes rdata, uint16_t type, struct arena *a, struct bytes *out)
{
    struct rdata_shape shape;
    bool shaped = rrtype_shape(type, &shape);
    size_t cap = rdata.len + (shaped ? NAMES_MOST * NAME_MAX_LEN : 0);
    uint8_t *room = arena_take(a, cap > 0 ? cap : 1);
    if (room == NULL)
        return ERR_NOMEM;
    struct wr w = wr_over(room, cap);
    struct rd r = rd_over(bytes_of(msg.ptr, (size_t)(rdata.ptr - msg.ptr) + rdata.len));
    (void)rd_take(&r, (size_t)(rdata.ptr - msg.ptr));
    if (shaped) {
        wr_bytes(&w, rd_take(&r, shape.skip));
        for (unsigned i = 0; i < shape.strings; i++) {
            uint8_t len = rd_u8(&r);
            wr_u8(&w, len);
            wr_bytes(&w, rd_take(&r, len));
        }
        for (unsigned i = 0; i < shape.names; i++)
            if (!write_name(&r, msg, &w))
                return ERR_BAD;
    }
    wr_bytes(&w, rd_take(&r, rd_left(&r)));
    *out = wr_done(&w);
    return r.bad || w.full ? ERR_BAD : OK;
}

static enum err read_rr(struct rd *r, struct bytes msg, struct arena *a, struct answer_rr *out)
{
    struct name owner;
    if (name_unpack(r, msg, &owner) != OK)
        return rd_err(r);
    name_lower(owner.wire, owner.len);
    out->type = rd_u16(r);
    out->rrclass = rd_u16(r);
    out->ttl = rd_u32(r);
    struct bytes rdata = rd_take(r, rd_u16(r));
    if (r->bad)
        return rd_err(r);
    if ((out->owner = arena_copy(a, name_bytes(&owner))).ptr == NULL)
        return ERR_NOMEM;
    return read_rdata(msg, rdata, out->type, a, &out->rdata);
}

static enum err read_section(struct rd *r, struct bytes msg, unsigned count, struct arena *a, struct answer *answer,
                             struct answer_rrs *out)
{
    if (count > rd_left(r) / RR_LEAST)
        return ERR_SHORT;
    if ((out->v = arena_take(a, (count + 1) * sizeof *out->v)) == NULL)
        return ERR_NOMEM;
    out->n = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t at = (size_t)(r->p - msg.ptr);
        struct answer_rr *rr = &out->v[out->n];
        enum err err = read_rr(r, msg, a, rr);
        if (err != OK)
            return err;
        if (rr->type == TYPE_OPT)
            answer->rcode = (uint16_t)(answer->rcode | (rr->ttl >> 24) << 4);
        else
            out->n++;
        answer->tsig_at = rr->type == TYPE_TSIG ? at : 0;
    }
    return OK;
}

static bool section_has(const struct answer_rrs *s, uint16_t type)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].type == type)
            return true;
    return false;
}

static enum answer_kind kind_of(const struct answer *a)
{
    const struct answer_rrs *authority = &a->section[SECTION_AUTHORITY];
    if (a->rcode != RCODE_NOERROR)
        return a->rcode == RCODE_NXDOMAIN ? KIND_NXDOMAIN : KIND_ERROR;
    if (section_has(authority, TYPE_SOA))
        return KIND_NODATA;
    if (a->section[SECTION_ANSWER].n > 0)
        return KIND_ANSWER;
    return section_has(authority, TYPE_NS) ? KIND_REFERRAL : KIND_EMPTY;
}

MUST_USE enum err answer_read(struct bytes msg, struct arena *a, struct answer *out)
{
    struct rd r = rd_over(msg);
    struct name skipped;
    unsigned count[SECTIONS];
    *out = (struct answer){ .id = rd_u16(&r), .flags = rd_u16(&r) };
    out->rcode = out->flags & DNS_RCODE;
    unsigned questions = rd_u16(&r);
    for (unsigned i = 0; i < SECTIONS; i++)
        count[i] = rd_u16(&r);
    if (r.bad || (out->flags & DNS_QR) == 0)
        return r.bad ? ERR_SHORT : ERR_BAD;
    for (unsigned i = 0; i < questions; i++) {
        if (name_unpack(&r, msg, &skipped) != OK)
            return rd_err(&r);
        (void)rd_u32(&r);
    }
    for (unsigned i = 0; i < SECTIONS; i++) {
        enum err err = r.bad ? ERR_SHORT : read_section(&r, msg, count[i], a, out, &out->section[i]);
        if (err != OK)
            return err;
    }
    out->kind = kind_of(out);
    return OK;
}
