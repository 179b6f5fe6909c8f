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

static void put_opt(struct reply *r)
{
    wr_u8(&r->w, 0);                                            /* owner: the root */
    wr_u16(&r->w, TYPE_OPT);
    wr_u16(&r->w, ANSWER_UDP_MAX);                              /* what we take */
    wr_u8(&r->w, (uint8_t)(r->rcode >> 4));
    wr_u8(&r->w, EDNS_VERSION);
    wr_u16(&r->w, r->q.dnssec_ok ? EDNS_DO : 0);
    size_t len_at = r->w.len;
    wr_u16(&r->w, 0);
    options_put(r);
    wr_patch_u16(&r->w, len_at, (uint16_t)(r->w.len - len_at - 2));
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
    wr_patch_u16(&r->w, 0, r->q.id);
    wr_patch_u16(&r->w, 2, flags);
    wr_patch_u16(&r->w, 4, r->q.question_len > 0);
    wr_patch_u16(&r->w, 6, r->an);
    wr_patch_u16(&r->w, 8, r->ns);
    wr_patch_u16(&r->w, 10, r->ar);
    return r->w.full ? 0 : r->w.len;
}
