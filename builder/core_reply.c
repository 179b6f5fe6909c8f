#include "builder/core_reply.h"

#include "base/clock.h"
#include "dnsfront/answer.h"
#include "wire/query.h"

size_t short_reply_put(const struct short_reply *r, struct seal *seal, uint8_t *out)
{
    struct wr w = wr_over(out, SHORT_MAX);
    wr_u16(&w, r->id);
    wr_u16(&w, (uint16_t)(DNS_QR | (r->flags & (DNS_OPCODE | DNS_RD | DNS_CD)) | (r->rcode & DNS_RCODE)));
    wr_u16(&w, r->question.len > 0);
    wr_u32(&w, 0);
    wr_u16(&w, r->has_edns);
    wr_bytes(&w, r->question);
    if (r->has_edns) {
        wr_u8(&w, 0);
        wr_u16(&w, TYPE_OPT);
        wr_u16(&w, ANSWER_UDP_MAX);
        wr_u8(&w, (uint8_t)(r->rcode >> 4));
        wr_u8(&w, EDNS_VERSION);
        wr_u16(&w, 0);
        wr_u16(&w, 0);
    }
    return seal_sign(seal, &w, clock_wall_ms() / 1000) == OK ? w.len : 0;
}

size_t update_reply_put(const struct update *u, uint16_t rcode, struct seal *seal, uint8_t *out)
{
    return short_reply_put(&(struct short_reply){ u->id, u->flags, rcode, u->question, u->has_edns }, seal, out);
}
