#include "builder/notify.h"

#include "wire/query.h"
#include "wire/rrtype.h"

#define CLASS_INTERNET 1
#define APEX_POINTER 0xc00cu

/* --- theirs ----------------------------------------------------------------------------------------------------------- */
/* The serial of a SOA of the zone in the first answer (RFC 1996 section 3.7: it may stand there, and is not to be trusted). */
static void read_hint(struct bytes msg, const struct query *q, struct notify *out)
{
    struct rd r = rd_over(msg);
    struct name name;
    (void)rd_take(&r, 6);
    uint16_t answers = rd_u16(&r);
    (void)rd_take(&r, (size_t)4 + q->question_len);
    if (answers == 0 || name_unpack(&r, msg, &name) != OK || !name_equal(name_bytes(&name), name_bytes(&out->apex)))
        return;
    uint16_t type = rd_u16(&r), rrclass = rd_u16(&r);
    (void)rd_take(&r, 6);
    if (type != TYPE_SOA || rrclass != CLASS_INTERNET || name_unpack(&r, msg, &name) != OK || name_unpack(&r, msg, &name) != OK)
        return;
    out->serial = rd_u32(&r);
    out->has_serial = !r.bad;
}

enum err notify_read(struct bytes msg, struct notify *out)
{
    struct query q;
    if (query_read(msg, &q) == QUERY_DROP || q.opcode != OPCODE_NOTIFY)
        return ERR_NOTFOUND;
    *out = (struct notify){ .id = q.id };
    if (q.question_len == 0)
        return ERR_BAD;
    if (q.qtype != TYPE_SOA || q.qclass != CLASS_INTERNET)
        return ERR_NOTFOUND;
    out->apex.len = (uint8_t)q.qname.len;
    memcpy(out->apex.wire, q.qname.ptr, q.qname.len);
    name_lower(out->apex.wire, out->apex.len);
    read_hint(msg, &q, out);
    return OK;
}

size_t notify_answer(struct bytes msg, uint16_t rcode, uint8_t *out, size_t cap)
{
    struct wr w = wr_over(out, cap);
    struct query q;
    if (query_read(msg, &q) == QUERY_DROP)
        return 0;
    wr_u16(&w, q.id);
    wr_u16(&w, (uint16_t)(DNS_QR | DNS_AA | (q.flags & (DNS_OPCODE | DNS_RD)) | (rcode & DNS_RCODE)));
    wr_u16(&w, q.question_len > 0);
    wr_u32(&w, 0);
    wr_u16(&w, 0);
    wr_bytes(&w, bytes_of(msg.ptr + DNS_HEADER_LEN, q.question_len));
    return w.full ? 0 : w.len;
}

/* --- ours -------------------------------------------------------------------------------------------------------------- */
size_t notify_write(uint16_t id, struct bytes apex, struct bytes soa, uint32_t ttl, uint8_t *out, size_t cap)
{
    struct wr w = wr_over(out, cap);
    wr_u16(&w, id);
    wr_u16(&w, OPCODE_NOTIFY << DNS_OPCODE_SHIFT | DNS_AA);
    wr_u16(&w, 1);
    wr_u16(&w, soa.len > 0);
    wr_u32(&w, 0);
    wr_bytes(&w, apex);
    wr_u16(&w, TYPE_SOA);
    wr_u16(&w, CLASS_INTERNET);
    if (soa.len > 0) {
        wr_u16(&w, APEX_POINTER);
        wr_u16(&w, TYPE_SOA);
        wr_u16(&w, CLASS_INTERNET);
        wr_u32(&w, ttl);
        wr_u16(&w, (uint16_t)soa.len);
        wr_bytes(&w, soa);
    }
    return w.full ? 0 : w.len;
}

bool notify_answered(struct bytes msg, uint16_t id, struct bytes apex, uint16_t *rcode)
{
    struct rd r = rd_over(msg);
    struct name name;
    uint16_t got = rd_u16(&r), flags = rd_u16(&r), questions = rd_u16(&r);
    (void)rd_take(&r, 6);
    if (r.bad || got != id || (flags & DNS_QR) == 0 || (flags & DNS_OPCODE) >> DNS_OPCODE_SHIFT != OPCODE_NOTIFY || questions > 1)
        return false;
    *rcode = flags & DNS_RCODE;
    if (questions == 0)                 /* of an answer to what was not understood */
        return true;
    return name_unpack(&r, msg, &name) == OK && name_equal(name_bytes(&name), apex) && rd_u16(&r) == TYPE_SOA
           && rd_u16(&r) == CLASS_INTERNET && !r.bad;
}
