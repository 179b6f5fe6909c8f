/* EDNS options of an answer: NSID (RFC 5001), cookies (RFC 7873), TCP keepalive (RFC 7828), padding (RFC 7830, 8467), EDE
 * (RFC 8914), ZONEVERSION (RFC 9660). Options that a query does not ask for are not sent, EDE apart. */
#include "dnsfront/section.h"

#define PADDING_BLOCK 468u          /* RFC 8467 section 4.1 */
#define VERSION_LEN 6u              /* labels, type, serial */
#define VERSION_SOA_SERIAL 0

static void put_head(struct wr *w, uint16_t code, size_t len)
{
    wr_u16(w, code);
    wr_u16(w, (uint16_t)len);
}

bool options_cookie(struct reply *r, const struct option_values *v, const struct answer_from *from)
{
    if (!query_asks(&r->q, EDNS_OPTION_COOKIE) || v->cookies == NULL || v->cookies->n == 0
        || (from->client.len != 4 && from->client.len != 16))
        return false;
    put_head(&r->options, EDNS_OPTION_COOKIE, COOKIE_LEN);
    uint8_t *at = wr_room(&r->options, COOKIE_LEN);
    return at != NULL && cookie_answer(v->cookies, r->q.cookie, from->client, from->now_s, at);
}

bool options_begin(struct reply *r, const struct option_values *v, const struct answer_from *from)
{
    if (r->q.asks == 0)
        return false;
    bool known = options_cookie(r, v, from);
    if (query_asks(&r->q, EDNS_OPTION_KEEPALIVE) && from->proto != ANSWER_UDP && from->idle_100ms > 0) {
        put_head(&r->options, EDNS_OPTION_KEEPALIVE, 2);
        wr_u16(&r->options, from->idle_100ms);
    }
    if (query_asks(&r->q, EDNS_OPTION_NSID) && v->nsid.len > 0) {
        put_head(&r->options, EDNS_OPTION_NSID, v->nsid.len);
        wr_bytes(&r->options, v->nsid);
    }
    r->pad = query_asks(&r->q, EDNS_OPTION_PADDING) && from->proto == ANSWER_TLS;
    return known;
}

static bool fits(const struct reply *r, size_t len) { return r->limit - r->w.len >= OPTION_HEAD + len; }

/* Up to the next multiple of the block, or as far as there is room. */
static void put_padding(struct reply *r)
{
    size_t len = PADDING_BLOCK - (r->w.len + OPTION_HEAD) % PADDING_BLOCK;
    len = len == PADDING_BLOCK ? 0 : len;
    if (!fits(r, len))
        len = r->limit - r->w.len - OPTION_HEAD;
    put_head(&r->w, EDNS_OPTION_PADDING, len);
    uint8_t *at = wr_room(&r->w, len);
    if (at != NULL)
        memset(at, 0, len);
}

void options_put(struct reply *r)
{
    wr_bytes(&r->w, wr_done(&r->options));
    if (r->has_ede && fits(r, 2)) {
        put_head(&r->w, EDNS_OPTION_EDE, 2);
        wr_u16(&r->w, r->ede);
    }
    if (r->has_version && fits(r, VERSION_LEN)) {
        put_head(&r->w, EDNS_OPTION_ZONEVERSION, VERSION_LEN);
        wr_u8(&r->w, r->version.labels);
        wr_u8(&r->w, VERSION_SOA_SERIAL);
        wr_u32(&r->w, r->version.serial);
    }
    if (r->pad && fits(r, 0))
        put_padding(r);
}
