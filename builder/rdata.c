/* RDATA of the common types, and of any type in the form of RFC 3597. */
#include "builder/rdata.h"

#include "builder/words.h"

#include <arpa/inet.h>

#define LOC_WORDS_MAX 12        /* 51 30 12.7 N 0 7 39.6 W 0m 1m 2m 3m */

/* One RDATA being read: the words still to come, and where it goes. */
struct text { struct scan *s; struct bytes origin; struct wr *out; struct fault *why; };

static enum err bad(struct text *t, const char *reason)
{
    return fault_set(t->why, ERR_BAD, "%s", reason);
}

static enum err next(struct text *t, struct token *word)
{
    switch (scan_word(t->s, false, word)) {
    case SCAN_WORD:
        return OK;
    case SCAN_ERROR:
        return bad(t, t->s->problem);
    default:
        return bad(t, "RDATA ends too early");
    }
}

static enum err finish(struct text *t)
{
    struct token word;
    switch (scan_word(t->s, false, &word)) {
    case SCAN_WORD:
        return fault_set(t->why, ERR_BAD, "too many words: '%.*s'", (int)(word.text.len < 40 ? word.text.len : 40),
                         (const char *)word.text.ptr);
    case SCAN_ERROR:
        return bad(t, t->s->problem);
    default:
        return t->out->full ? bad(t, "RDATA is too long") : OK;
    }
}

static enum err put_name(struct text *t, const struct token *word)
{
    struct name name;
    const char *why = word_name(word, t->origin, false, &name);
    if (why != NULL)
        return bad(t, why);
    wr_bytes(t->out, name_bytes(&name));
    return OK;
}

static enum err put_number(struct text *t, const struct token *word, size_t width)
{
    uint32_t v;
    const char *why = word_number(word, width == 1 ? UINT8_MAX : width == 2 ? UINT16_MAX : UINT32_MAX, &v);
    if (why != NULL)
        return bad(t, why);
    wr_be(t->out, v, width);
    return OK;
}

static enum err put_period(struct text *t)
{
    struct token word;
    uint32_t v;
    enum err err = next(t, &word);
    if (err != OK)
        return err;
    const char *why = word_period(&word, &v);
    if (why != NULL)
        return bad(t, why);
    wr_u32(t->out, v);
    return OK;
}

static enum err next_name(struct text *t)
{
    struct token word;
    enum err err = next(t, &word);
    return err != OK ? err : put_name(t, &word);
}

static enum err next_number(struct text *t, size_t width)
{
    struct token word;
    enum err err = next(t, &word);
    return err != OK ? err : put_number(t, &word, width);
}

static enum err read_name(struct text *t, const struct token *first)
{
    enum err err = put_name(t, first);
    return err != OK ? err : finish(t);
}

/* `numbers` numbers of 16 bits, then a name: MX and its like, SRV. */
static enum err read_numbers_name(struct text *t, const struct token *first, unsigned numbers)
{
    enum err err = put_number(t, first, 2);
    for (unsigned i = 1; i < numbers && err == OK; i++)
        err = next_number(t, 2);
    if (err == OK)
        err = next_name(t);
    return err != OK ? err : finish(t);
}

static enum err put_string(struct text *t, const struct token *word)
{
    const uint8_t *p = word->text.ptr, *end = p + word->text.len;
    size_t len = 0;
    uint8_t *at = wr_room(t->out, 1);
    if (!word->escaped) {
        len = word->text.len;
        if (len <= 255)
            wr_put(t->out, p, len);
    } else {
        for (bool literal; p < end && len <= 255; len++)
            wr_u8(t->out, scan_char(&p, &literal));
    }
    if (len > 255)
        return bad(t, "string is over 255 bytes long");
    if (at != NULL)
        *at = (uint8_t)len;
    return OK;
}

static enum err read_strings(struct text *t, const struct token *first)
{
    struct token word = *first;
    for (;;) {
        enum err err = put_string(t, &word);
        if (err != OK)
            return err;
        switch (scan_word(t->s, false, &word)) {
        case SCAN_WORD:
            break;
        case SCAN_ERROR:
            return bad(t, t->s->problem);
        default:
            return t->out->full ? bad(t, "RDATA is too long") : OK;
        }
    }
}

static enum err read_soa(struct text *t, const struct token *first)
{
    enum err err = put_name(t, first);
    if (err == OK)
        err = next_name(t);
    if (err == OK)
        err = next_number(t, 4);
    for (int i = 0; i < 4 && err == OK; i++)
        err = put_period(t);
    return err != OK ? err : finish(t);
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Hex digits over any number of words up to the entry's end; *count: bytes. */
static enum err read_hex(struct text *t, size_t *count)
{
    struct token word;
    enum scan_got got;
    int half = -1;
    *count = 0;
    while ((got = scan_word(t->s, false, &word)) == SCAN_WORD) {
        for (size_t i = 0; i < word.text.len; i++) {
            int v = word.quoted ? -1 : hex_digit(word.text.ptr[i]);
            if (v < 0)
                return bad(t, "not a hex digit");
            if (half >= 0) {
                wr_u8(t->out, (uint8_t)(half << 4 | v));
                ++*count;
                half = -1;
            } else {
                half = v;
            }
        }
    }
    if (got == SCAN_ERROR)
        return bad(t, t->s->problem);
    if (half >= 0)
        return bad(t, "odd number of hex digits");
    return t->out->full ? bad(t, "RDATA is too long") : OK;
}

/* RFC 3597 section 5: \# LENGTH HEX... */
static enum err read_generic(struct text *t, uint16_t type)
{
    struct token word;
    uint32_t len;
    size_t from = t->out->len, count;
    enum err err = next(t, &word);
    if (err != OK)
        return err;
    const char *why = word_number(&word, RDATA_MAX, &len);
    if (why != NULL)
        return bad(t, why);
    if ((err = read_hex(t, &count)) != OK)
        return err;
    if (count != len)
        return bad(t, "length behind \\# and number of bytes differ");
    return rdata_check(type, bytes_of(t->out->buf + from, len), t->why);
}

static int base64_digit(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52
         : c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 with padding over any number of words up to the entry's end; none at all is fine. */
static enum err read_base64(struct text *t)
{
    struct token word;
    enum scan_got got;
    uint32_t bits = 0;
    unsigned digits = 0, pads = 0;
    while ((got = scan_word(t->s, false, &word)) == SCAN_WORD) {
        for (size_t i = 0; i < word.text.len; i++) {
            int v = word.quoted ? -1 : word.text.ptr[i] == '=' ? 0 : base64_digit(word.text.ptr[i]);
            pads += word.text.ptr[i] == '=';
            if (v < 0 || (pads > 0 && word.text.ptr[i] != '=') || pads > 2)
                return bad(t, "not base64");
            bits = bits << 6 | (uint32_t)v;
            if (++digits % 4 == 0)
                wr_be(t->out, bits >> 8 * pads & 0xffffff >> 8 * pads, 3 - pads);
            if (digits % 4 == 0)
                bits = 0;
        }
    }
    if (got == SCAN_ERROR)
        return bad(t, t->s->problem);
    return digits % 4 != 0 ? bad(t, "not base64") : t->out->full ? bad(t, "RDATA is too long") : OK;
}

static enum err put_address(struct text *t, const struct token *word, int family)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t addr[16];
    if (!word->quoted && word->text.len < sizeof text) {
        memcpy(text, word->text.ptr, word->text.len);
        text[word->text.len] = '\0';
        if (inet_pton(family, text, addr) == 1) {
            wr_put(t->out, addr, family == AF_INET ? 4 : 16);
            return OK;
        }
    }
    return bad(t, family == AF_INET ? "not an IPv4 address" : "not an IPv6 address");
}

static enum err read_address(struct text *t, const struct token *first, int family)
{
    enum err err = put_address(t, first, family);
    return err != OK ? err : finish(t);
}

static enum err read_loc(struct text *t, const struct token *first)
{
    struct token words[LOC_WORDS_MAX + 1] = { *first };
    unsigned n = 1;
    enum scan_got got;
    while ((got = scan_word(t->s, false, &words[n])) == SCAN_WORD)
        if (++n > LOC_WORDS_MAX)
            return bad(t, "too many words");
    const char *why = got == SCAN_ERROR ? t->s->problem : loc_read(words, n, t->out);
    return why != NULL ? bad(t, why) : finish(t);
}

/* NSAP, RFC 1706: hex digits behind 0x, dots anywhere. */
static enum err read_nsap(struct text *t, const struct token *first)
{
    struct bytes text = first->text;
    int half = -1;
    if (first->quoted || text.len < 3 || text.ptr[0] != '0' || (text.ptr[1] | 0x20) != 'x')
        return bad(t, "not an NSAP address: 0x and hex digits");
    for (size_t i = 2; i < text.len; i++) {
        int v = hex_digit(text.ptr[i]);
        if (text.ptr[i] == '.')
            continue;
        if (v < 0)
            return bad(t, "not a hex digit");
        if (half >= 0)
            wr_u8(t->out, (uint8_t)(half << 4 | v));
        half = half >= 0 ? -1 : v;
    }
    return half >= 0 ? bad(t, "odd number of hex digits") : finish(t);
}

/* The last word of CAA and URI: a string without a length before it. */
static enum err put_long_string(struct text *t)
{
    struct token word;
    enum err err = next(t, &word);
    if (err != OK)
        return err;
    const uint8_t *p = word.text.ptr, *end = p + word.text.len;
    for (bool literal; p < end;)
        wr_u8(t->out, scan_char(&p, &literal));
    return finish(t);
}

/* CAA, RFC 8659: flags, tag of letters and digits, value. */
static enum err read_caa(struct text *t, const struct token *first)
{
    struct token tag;
    enum err err = put_number(t, first, 1);
    if (err != OK || (err = next(t, &tag)) != OK)
        return err;
    if (tag.quoted || tag.text.len > 255)
        return bad(t, "a tag stands without quotes and has up to 255 bytes");
    for (size_t i = 0; i < tag.text.len; i++) {
        uint8_t c = tag.text.ptr[i];
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')))
            return bad(t, "a tag has letters and digits only");
    }
    wr_u8(t->out, (uint8_t)tag.text.len);
    wr_bytes(t->out, tag.text);
    return put_long_string(t);
}

/* URI, RFC 7553: priority, weight, target. */
static enum err read_uri(struct text *t, const struct token *first)
{
    enum err err = put_number(t, first, 2);
    if (err == OK)
        err = next_number(t, 2);
    return err != OK ? err : put_long_string(t);
}

/* A gateway or relay of RFC 4025 and RFC 8777: none, an address or a name. */
static enum err next_gateway(struct text *t, unsigned kind)
{
    struct token word;
    enum err err = next(t, &word);
    if (err != OK)
        return err;
    switch (kind) {
    case 0:
        return bytes_equal(word.text, bytes_of_text(".")) ? OK : bad(t, "no gateway is written as .");
    case 1:
        return put_address(t, &word, AF_INET);
    case 2:
        return put_address(t, &word, AF_INET6);
    case 3:
        return put_name(t, &word);
    default:
        return bad(t, "unknown type of gateway");
    }
}

/* IPSECKEY, RFC 4025: precedence, type of the gateway, algorithm, gateway, key. */
static enum err read_ipseckey(struct text *t, const struct token *first)
{
    size_t from = t->out->len;
    enum err err = put_number(t, first, 1);
    if (err == OK)
        err = next_number(t, 1);
    if (err == OK)
        err = next_number(t, 1);
    if (err == OK && t->out->full)
        err = bad(t, "RDATA is too long");
    if (err == OK)
        err = next_gateway(t, t->out->buf[from + 1]);
    return err != OK ? err : read_base64(t);
}

/* AMTRELAY, RFC 8777: precedence, discovery optional (0 or 1), type of the relay, relay. */
static enum err read_amtrelay(struct text *t, const struct token *first)
{
    struct token word;
    uint32_t discovery, kind;
    enum err err = put_number(t, first, 1);
    if (err != OK || (err = next(t, &word)) != OK)
        return err;
    const char *why = word_number(&word, 1, &discovery);
    if (why == NULL && (err = next(t, &word)) != OK)
        return err;
    if (why == NULL)
        why = word_number(&word, 3, &kind);
    if (why != NULL)
        return bad(t, why);
    wr_u8(t->out, (uint8_t)(discovery << 7 | kind));
    err = next_gateway(t, kind);
    return err != OK ? err : finish(t);
}

static enum err read_type(struct text *t, uint16_t type, enum scan_got got, const struct token *first)
{
    switch (got == SCAN_WORD ? type : 0) {
    case TYPE_A:
        return read_address(t, first, AF_INET);
    case TYPE_AAAA:
        return read_address(t, first, AF_INET6);
    case TYPE_NS: case TYPE_CNAME: case TYPE_PTR: case TYPE_DNAME: case TYPE_MB: case TYPE_MG: case TYPE_MR:
    case TYPE_NSAP_PTR:
        return read_name(t, first);
    case TYPE_MX:
        return read_numbers_name(t, first, 1);
    case TYPE_SRV:
        return read_numbers_name(t, first, 3);
    case TYPE_TXT: case TYPE_SPF: case TYPE_NINFO: case TYPE_AVC: case TYPE_RESINFO: case TYPE_WALLET:
        return read_strings(t, first);
    case TYPE_SOA:
        return read_soa(t, first);
    case TYPE_LOC:
        return read_loc(t, first);
    case TYPE_NSAP:
        return read_nsap(t, first);
    case TYPE_CAA:
        return read_caa(t, first);
    case TYPE_URI:
        return read_uri(t, first);
    case TYPE_IPSECKEY:
        return read_ipseckey(t, first);
    case TYPE_AMTRELAY:
        return read_amtrelay(t, first);
    default:
        return rdata_scan_ldns(t->s, got, first, type, t->origin, t->out, t->why);
    }
}

enum err rdata_scan(struct scan *s, uint16_t type, struct bytes origin, struct wr *out, struct fault *why)
{
    struct text t = { s, origin, out, why };
    struct token first;
    enum scan_got got = scan_word(s, type == TYPE_SVCB || type == TYPE_HTTPS, &first);
    if (got == SCAN_ERROR)
        return bad(&t, s->problem);
    if (got == SCAN_WORD && !first.quoted && bytes_equal(first.text, bytes_of_text("\\#")))
        return read_generic(&t, type);
    return read_type(&t, type, got, &first);
}

bool rdata_same(uint16_t type, struct bytes a, struct bytes b)
{
    struct rdata_shape shape;
    if (a.len != b.len)
        return false;
    if (bytes_equal(a, b))
        return true;
    if (!rrtype_shape(type, &shape))
        return false;
    struct rd ra = rd_over(a), rb = rd_over(b);
    bool same = bytes_equal(rd_take(&ra, shape.skip), rd_take(&rb, shape.skip));
    for (unsigned i = 0; i < shape.strings && same; i++)
        same = bytes_equal(rd_take(&ra, rd_u8(&ra)), rd_take(&rb, rd_u8(&rb)));
    for (unsigned i = 0; i < shape.names && same; i++) {
        struct bytes na, nb;
        same = name_read(&ra, &na) == OK && name_read(&rb, &nb) == OK && name_equal(na, nb);
    }
    return same && !ra.bad && !rb.bad && bytes_equal(rd_take(&ra, rd_left(&ra)), rd_take(&rb, rd_left(&rb)));
}

void rdata_lower(uint16_t type, struct bytes rdata, struct wr *out)
{
    struct rdata_shape shape;
    size_t start = out->len;
    wr_bytes(out, rdata);
    if (out->full || !rrtype_shape(type, &shape))
        return;
    struct rd r = rd_over(rdata);
    (void)rd_take(&r, shape.skip);
    for (unsigned i = 0; i < shape.strings; i++)
        (void)rd_take(&r, rd_u8(&r));
    for (unsigned i = 0; i < shape.names && !r.bad; i++) {
        struct bytes name;
        size_t at = rdata.len - rd_left(&r);
        if (name_read(&r, &name) != OK)
            return;
        name_lower(out->buf + start + at, name.len);
    }
}
