/* The two ends of a message: header with question, OPT with header fields (RFC 1035 section 4.1.1, RFC 6891). */
#include "dnsfront/section.h"

#define OPT_LEN 11u

bool reply_begin(struct reply *r, const struct answer_from *from, struct bytes question, uint8_t *out, size_t cap)
{
    size_t limit = cap < from->max ? cap : from->max, base = DNS_HEADER_LEN + question.len;
    if (from->proto == ANSWER_UDP && limit > r->q.udp_size)
        limit = r->q.udp_size;
    r->limit = limit < ANSWER_MAX ? limit : ANSWER_MAX;
    if (r->q.has_edns) {
        if (base + OPT_LEN + r->options.len > r->limit)         /* only where a transport allows less than 512 bytes */
            r->options.len = 0;
        r->opt_len = OPT_LEN + r->options.len;
    }
    if (base + r->opt_len > r->limit)
        return false;
    r->w = wr_over(out, r->limit - r->opt_len);
    (void)wr_room(&r->w, DNS_HEADER_LEN);
    wr_bytes(&r->w, question);
    return true;
}

void reply_reset(struct reply *r, uint16_t rcode)
{
    r->w.len = DNS_HEADER_LEN + (size_t)r->q.question_len;
    r->w.full = false;
    r->rcode = rcode;
    r->an = r->ns = r->ar = 0;
    r->aa = r->tc = r->has_ede = r->has_version = false;
}

#define TWO(x) (uint8_t)((x) >> 8), (uint8_t)(x)

static void put_opt(struct reply *r)
{
    const uint8_t opt[OPT_LEN] = { 0, TWO(TYPE_OPT), TWO(ANSWER_UDP_MAX),       /* owner: the root; what we take */
                                   (uint8_t)(r->rcode >> 4), EDNS_VERSION, r->q.dnssec_ok ? EDNS_DO >> 8 : 0 };
    wr_put(&r->w, opt, sizeof opt);
    size_t end = r->w.len;
    options_put(r);
    if (r->w.len > end)
        wr_patch_u16(&r->w, end - 2, (uint16_t)(r->w.len - end));
    r->ar++;
}

static void put_tsig(struct reply *r, const struct tsig *tsig)
{
    size_t start = r->w.len;
    tsig_write_unsigned(&r->w, tsig, TSIG_BADKEY);
    if (r->w.full) {
        r->w.full = false;
        r->w.len = start;
        return;
    }
    r->ar++;
}

size_t reply_end(struct reply *r, const struct tsig *tsig)
{
    r->w.cap = r->limit;
    if (r->q.has_edns)
        put_opt(r);
    if (tsig != NULL)
        put_tsig(r, tsig);
    uint16_t flags = (uint16_t)(DNS_QR | (r->q.flags & (DNS_OPCODE | DNS_RD | DNS_CD)) | (r->aa ? DNS_AA : 0)
                                | (r->tc ? DNS_TC : 0) | (r->rcode & DNS_RCODE));
    const uint8_t header[DNS_HEADER_LEN] = { TWO(r->q.id), TWO(flags), 0, r->q.question_len > 0, TWO(r->an), TWO(r->ns), TWO(r->ar) };
    memcpy(r->w.buf, header, sizeof header);                    /* reply_begin took the room */
    return r->w.full ? 0 : r->w.len;
}
