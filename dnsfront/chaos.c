#include "dnsfront/chaos.h"

#define CH(text) { (const uint8_t *)(text), sizeof (text) }     /* the literal's own 0 ends the name */

static bool is_one_of(struct bytes name, const struct bytes *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (name_equal(name, names[i]))
            return true;
    return false;
}

static void put_txt(struct reply *r, struct bytes text)
{
    size_t len = text.len < 255 ? text.len : 255;
    wr_u16(&r->w, 0xc000 | DNS_HEADER_LEN);
    wr_u16(&r->w, TYPE_TXT);
    wr_u16(&r->w, CLASS_CH);
    wr_u32(&r->w, 0);
    wr_u16(&r->w, (uint16_t)(len + 1));
    wr_u8(&r->w, (uint8_t)len);
    wr_put(&r->w, text.ptr, len);
    if (r->w.full) {
        reply_reset(r, RCODE_NOERROR);
        r->tc = true;
        return;
    }
    r->an = 1;
}

void chaos_answer(struct reply *r, struct bytes nsid, struct bytes version)
{
    static const struct bytes versions[] = { CH("\7version\4bind"), CH("\7version\6server") };
    static const struct bytes ids[] = { CH("\2id\6server"), CH("\10hostname\4bind") };
    struct bytes text = is_one_of(r->q.qname, versions, 2) ? version
                      : is_one_of(r->q.qname, ids, 2) ? nsid : (struct bytes){ 0 };
    if (text.len == 0 || (r->q.qtype != TYPE_TXT && r->q.qtype != TYPE_ANY)) {
        reply_reset(r, RCODE_REFUSED);
        return;
    }
    put_txt(r, text);
    r->aa = true;
}
