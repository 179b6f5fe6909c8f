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

/* Which options there are; of COOKIE the first counts (RFC 7873 section 5.2). false: they do not fill OPT evenly. */
static bool read_options(struct bytes options, struct query *q)
{
    struct rd r = rd_over(options);
    while (rd_left(&r) > 0) {
        uint16_t code = rd_u16(&r);
        struct bytes value = rd_take(&r, rd_u16(&r));
        if (code >= 32)
            continue;
        if (code == EDNS_OPTION_COOKIE && !query_asks(q, code))
            q->cookie = value;
        q->asks |= UINT32_C(1) << code;
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
    if (version <= EDNS_VERSION && !read_options(options, q))
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

struct counts { uint16_t questions, answers, authority, additional; };

/* All records behind the question. false: they are not what the counts say, and what was seen of EDNS is forgotten. */
static bool read_records(struct rd *r, struct bytes msg, const struct counts *c, struct query *q)
{
    uint32_t before = (uint32_t)c->answers + c->authority, all = before + c->additional;
    for (uint32_t i = 0; i < all; i++)
        if (!read_record(r, msg, i >= before, i + 1 == all, q)) {
            q->has_edns = q->dnssec_ok = q->has_tsig = false;
            q->udp_size = DNS_UDP_MIN;
            q->asks = 0;
            return false;
        }
    return true;
}

static bool options_good(const struct query *q)
{
    struct bytes version;
    if (query_asks(q, EDNS_OPTION_COOKIE) && q->cookie.len != 8 && (q->cookie.len < 16 || q->cookie.len > 40))
        return false;
    return !query_asks(q, EDNS_OPTION_ZONEVERSION)
        || (query_option(q, EDNS_OPTION_ZONEVERSION, &version) && version.len == 0);
}

static enum query_verdict verdict(struct rd *r, struct bytes msg, const struct counts *c, struct query *q)
{
    enum query_verdict broken = q->opcode == OPCODE_QUERY ? QUERY_FORMERR : QUERY_NOTIMP;
    bool question = c->questions == 0 || (c->questions == 1 && read_question(r, q));
    if (!question || !read_records(r, msg, c, q))
        return broken;
    if (q->has_edns && q->edns_version > EDNS_VERSION)
        return QUERY_BADVERS;
    if (!options_good(q)) {
        q->asks = 0;
        return broken;
    }
    if (q->opcode != OPCODE_QUERY)
        return QUERY_NOTIMP;
    if (c->questions == 1)
        return QUERY_ANSWER;
    return query_asks(q, EDNS_OPTION_COOKIE) ? QUERY_EMPTY : QUERY_FORMERR;
}

enum query_verdict query_read(struct bytes msg, struct query *out)
{
    struct rd r = rd_over(msg);
    *out = (struct query){ .udp_size = DNS_UDP_MIN };
    uint16_t id = rd_u16(&r), flags = rd_u16(&r);
    struct counts counts;
    counts.questions = rd_u16(&r);
    counts.answers = rd_u16(&r);
    counts.authority = rd_u16(&r);
    counts.additional = rd_u16(&r);
    if (r.bad || (flags & DNS_QR) != 0)
        return QUERY_DROP;
    out->id = id;
    out->flags = flags;
    out->opcode = (uint8_t)((flags & DNS_OPCODE) >> DNS_OPCODE_SHIFT);
    enum query_verdict found = verdict(&r, msg, &counts, out);
    if (found != QUERY_ANSWER && found != QUERY_EMPTY && found != QUERY_NOTIMP)
        out->asks = 0;
    if (!query_asks(out, EDNS_OPTION_COOKIE))
        out->cookie = (struct bytes){ 0 };
    return found;
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
