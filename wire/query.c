#include "wire/query.h"

#include "wire/name.h"
#include "wire/rrtype.h"

/* Behind an owner name of a record that nobody will look at: where a pointer leads does not matter. */
static void skip_name(struct rd *r)
{
    for (;;) {
        uint8_t len = rd_u8(r);
        if (r->bad || len == 0)
            return;
        if (len >= 0xc0) {
            (void)rd_u8(r);
            return;
        }
        if (len > LABEL_MAX_LEN) {
            rd_fail(r);
            return;
        }
        (void)rd_take(r, len);
    }
}

static bool options_whole(struct bytes options)
{
    struct rd r = rd_over(options);
    while (rd_left(&r) > 0) {
        (void)rd_u16(&r);
        (void)rd_take(&r, rd_u16(&r));
    }
    return !r.bad;
}

/* OPT behind its type field (RFC 6891 section 6.1.2). */
static bool read_opt(struct rd *r, struct query *q)
{
    uint16_t size = rd_u16(r);
    (void)rd_u8(r);                             /* upper bits of the rcode: meaningless in a query */
    uint8_t version = rd_u8(r);
    uint16_t flags = rd_u16(r);
    struct bytes options = rd_take(r, rd_u16(r));
    if (r->bad || q->has_edns)
        return false;
    if (version <= EDNS_VERSION && !options_whole(options))
        return false;
    q->has_edns = true;
    q->udp_size = size < DNS_UDP_MIN ? DNS_UDP_MIN : size;
    q->edns_version = version;
    q->dnssec_ok = (flags & EDNS_DO) != 0;
    q->options = options;
    return true;
}

/* One record; additional: it stands in that section; last: it is the message's last. */
static bool read_record(struct rd *r, struct bytes msg, bool additional, bool last, struct query *q)
{
    const uint8_t *start = r->p;
    skip_name(r);
    bool root = !r->bad && r->p == start + 1;
    uint16_t type = rd_u16(r);
    if (r->bad)
        return false;
    if (type == TYPE_OPT)
        return additional && root && read_opt(r, q);
    (void)rd_take(r, 6);                        /* class, TTL */
    (void)rd_take(r, rd_u16(r));
    if (r->bad)
        return false;
    if (type == TYPE_TSIG) {
        if (!additional || !last)
            return false;
        q->has_tsig = true;
        q->tsig_at = (uint16_t)(start - msg.ptr);
    }
    return true;
}

static bool read_question(struct rd *r, struct query *q)
{
    struct bytes qname;
    if (name_read(r, &qname) != OK)
        return false;
    uint16_t qtype = rd_u16(r), qclass = rd_u16(r);
    if (r->bad)
        return false;
    q->qname = qname;
    q->qtype = qtype;
    q->qclass = qclass;
    q->question_len = (uint16_t)(qname.len + 4);
    return true;
}

static bool has_cookie(const struct query *q)
{
    struct bytes cookie;
    return q->has_edns && q->edns_version <= EDNS_VERSION && query_option(q, EDNS_OPTION_COOKIE, &cookie)
        && (cookie.len == 8 || (cookie.len >= 16 && cookie.len <= 40));     /* RFC 7873 section 4 */
}

enum query_verdict query_read(struct bytes msg, struct query *out)
{
    struct rd r = rd_over(msg);
    *out = (struct query){ .udp_size = DNS_UDP_MIN };
    uint16_t id = rd_u16(&r), flags = rd_u16(&r);
    uint16_t questions = rd_u16(&r), answers = rd_u16(&r), authority = rd_u16(&r), additional = rd_u16(&r);
    if (r.bad || (flags & DNS_QR) != 0)
        return QUERY_DROP;
    out->id = id;
    out->flags = flags;
    out->opcode = (uint8_t)((flags & DNS_OPCODE) >> DNS_OPCODE_SHIFT);
    bool question = questions == 1 && read_question(&r, out);
    if (out->opcode != OPCODE_QUERY)
        return QUERY_NOTIMP;
    if (questions > 1 || (questions == 1 && !question))
        return QUERY_FORMERR;
    uint32_t before = (uint32_t)answers + authority, all = before + additional;
    for (uint32_t i = 0; i < all; i++)
        if (!read_record(&r, msg, i >= before, i + 1 == all, out))
            return QUERY_FORMERR;
    if (out->has_edns && out->edns_version > EDNS_VERSION)
        return QUERY_BADVERS;
    if (questions == 0)
        return has_cookie(out) ? QUERY_EMPTY : QUERY_FORMERR;
    return QUERY_ANSWER;
}

bool query_option(const struct query *q, uint16_t code, struct bytes *out)
{
    struct rd r = rd_over(q->options);
    while (rd_left(&r) > 0) {
        uint16_t got = rd_u16(&r);
        struct bytes value = rd_take(&r, rd_u16(&r));
        if (r.bad)
            return false;
        if (got == code) {
            *out = value;
            return true;
        }
    }
    return false;
}
