/* A reply taken apart: a walk over every byte of it, for the packet tables and the fuzzer. */
#ifndef AZOTH_TESTS_PACKET_H
#define AZOTH_TESTS_PACKET_H

#include "wire/name.h"
#include "wire/query.h"
#include "wire/rrtype.h"

struct packet {
    uint16_t flags, rcode, qd, an, ns, ar;      /* rcode with its upper bits; ar without OPT and TSIG */
    bool has_opt, has_tsig;
    uint8_t edns_version;
    uint16_t edns_flags, edns_size, tsig_mac, tsig_error;
    struct bytes options;
};

static inline bool packet_opt(struct packet *p, struct bytes owner, struct rd *fixed, struct bytes data)
{
    if (p->has_opt || owner.len != 1)
        return false;
    p->has_opt = true;
    p->edns_size = rd_u16(fixed);
    p->rcode = (uint16_t)(p->rcode | rd_u8(fixed) << 4);
    p->edns_version = rd_u8(fixed);
    p->edns_flags = rd_u16(fixed);
    p->options = data;
    struct rd r = rd_over(data);
    while (rd_left(&r) > 0) {
        (void)rd_u16(&r);
        (void)rd_take(&r, rd_u16(&r));
    }
    return !r.bad;
}

static inline bool packet_tsig(struct packet *p, struct bytes data)
{
    struct rd r = rd_over(data);
    struct bytes algorithm;
    p->has_tsig = true;
    if (name_read(&r, &algorithm) != OK)
        return false;
    (void)rd_take(&r, 8);
    p->tsig_mac = rd_u16(&r);
    (void)rd_take(&r, p->tsig_mac);
    (void)rd_u16(&r);
    p->tsig_error = rd_u16(&r);
    (void)rd_take(&r, rd_u16(&r));
    return rd_done(&r);
}

/* One record. additional, last: where it stands. */
static inline bool packet_record(struct rd *r, struct bytes reply, bool additional, bool last, struct packet *p)
{
    struct name owner;
    if (name_unpack(r, reply, &owner) != OK)
        return false;
    uint16_t type = rd_u16(r);
    struct rd fixed = rd_over(rd_take(r, 6));
    struct bytes data = rd_take(r, rd_u16(r));
    if (r->bad || ((type == TYPE_OPT || type == TYPE_TSIG) && !additional))
        return false;
    if (type == TYPE_OPT)
        return packet_opt(p, name_bytes(&owner), &fixed, data);
    if (type == TYPE_TSIG)
        return last && packet_tsig(p, data);
    p->ar = (uint16_t)(p->ar + additional);
    return !p->has_opt;                         /* OPT stands behind all other records */
}

/* NULL, or what is wrong with the reply to that query. */
static inline const char *packet_walk(struct bytes query, struct bytes reply, struct packet *p)
{
    struct rd r = rd_over(reply), q = rd_over(query);
    *p = (struct packet){ 0 };
    uint16_t id = rd_u16(&r);
    p->flags = rd_u16(&r);
    p->rcode = p->flags & DNS_RCODE;
    p->qd = rd_u16(&r);
    p->an = rd_u16(&r);
    p->ns = rd_u16(&r);
    uint16_t additional = rd_u16(&r);
    uint32_t before = (uint32_t)p->an + p->ns, all = before + additional;
    if (r.bad || id != rd_u16(&q))
        return "the id is another one";
    uint16_t asked = rd_u16(&q);
    if ((p->flags & DNS_QR) == 0 || (p->flags & (DNS_OPCODE | DNS_RD | DNS_CD)) != (asked & (DNS_OPCODE | DNS_RD | DNS_CD)))
        return "QR, opcode, RD or CD is wrong";
    if ((p->flags & (DNS_RA | DNS_AD | 0x0040)) != 0)
        return "RA, AD or Z is set";
    if (p->qd > 1)
        return "more than one question";
    if (p->qd == 1) {
        struct bytes name;
        const uint8_t *start = r.p;
        (void)rd_take(&q, 8);
        if (name_read(&r, &name) != OK || rd_take(&r, 4).len != 4
            || !bytes_equal(rd_take(&q, (size_t)(r.p - start)), bytes_of(start, (size_t)(r.p - start))))
            return "the question is another one";
    }
    for (uint32_t i = 0; i < all; i++)
        if (!packet_record(&r, reply, i >= before, i + 1 == all, p))
            return "a record is broken";
    return rd_done(&r) ? NULL : "bytes behind the message";
}

#endif
