/* Names as text and back (RFC 1035 section 5.1). */
#include "wire/name.h"

static void put_escaped(struct wr *w, uint8_t c)
{
    if (c < 0x21 || c > 0x7e) {
        const char digits[4] = { '\\', (char)('0' + c / 100), (char)('0' + c / 10 % 10), (char)('0' + c % 10) };
        wr_put(w, digits, sizeof digits);
        return;
    }
    if (strchr(".\\\";()@$", c) != NULL)
        wr_u8(w, '\\');
    wr_u8(w, c);
}

const char *name_text(char *out, size_t cap, struct bytes name)
{
    struct wr w = wr_over(out, cap);
    struct rd r = rd_over(name);
    size_t labels = 0;
    for (;;) {
        struct bytes label = rd_take(&r, rd_u8(&r));
        if (label.len == 0)
            break;
        for (size_t i = 0; i < label.len; i++)
            put_escaped(&w, label.ptr[i]);
        wr_u8(&w, '.');
        labels++;
    }
    if (labels == 0)
        wr_u8(&w, '.');
    wr_u8(&w, '\0');
    return w.full ? "" : out;
}

/* The byte that a backslash stands in front of: \DDD or \X. */
static uint8_t read_escape(struct rd *r)
{
    uint8_t c = rd_u8(r);
    if (r->bad || c < '0' || c > '9')
        return c;
    uint8_t d = rd_u8(r), e = rd_u8(r);
    unsigned v = (unsigned)(c - '0') * 100 + (unsigned)(d - '0') * 10 + (unsigned)(e - '0');
    if (r->bad || d < '0' || d > '9' || e < '0' || e > '9' || v > 255) {
        rd_fail(r);
        return 0;
    }
    return (uint8_t)v;
}

/* Labels into out until the text ends; *absolute: a final dot stood there. out->len: bytes without the final 0. */
static enum err read_labels(struct rd *r, struct name *out, bool *absolute)
{
    size_t at = 0, len = 1;                     /* where the open label's length byte is; bytes used */
    *absolute = false;
    while (rd_left(r) > 0) {
        uint8_t c = rd_u8(r);
        if (c == '.') {
            if (len == at + 1)
                return ERR_BAD;                 /* empty label */
            out->wire[at] = (uint8_t)(len - at - 1);
            at = len++;
            *absolute = rd_left(r) == 0;
        } else {
            if (c == '\\')
                c = read_escape(r);
            if (r->bad)
                return ERR_BAD;
            if (len - at > LABEL_MAX_LEN || len >= NAME_MAX_LEN - 1)
                return ERR_LIMIT;
            out->wire[len++] = c;
        }
        if (len > NAME_MAX_LEN)
            return ERR_LIMIT;
    }
    if (!*absolute) {
        out->wire[at] = (uint8_t)(len - at - 1);
        at = len;
    }
    out->len = (uint8_t)at;
    return OK;
}

MUST_USE enum err name_from_text(struct bytes text, struct bytes origin, struct name *out)
{
    static const uint8_t root[1] = { 0 };
    struct rd r = rd_over(text);
    struct name labels = { .len = 0 };
    bool absolute = true;
    if (text.len == 0)
        return ERR_BAD;
    if (text.len == 1 && text.ptr[0] == '@') {
        if (origin.len == 0)
            return ERR_BAD;
        return name_join(bytes_of(NULL, 0), origin, out);
    }
    if (text.len > 1 || text.ptr[0] != '.') {
        enum err err = read_labels(&r, &labels, &absolute);
        if (err != OK)
            return err;
    }
    struct bytes end = absolute || origin.len == 0 ? bytes_of(root, 1) : origin;
    return name_join(name_bytes(&labels), end, out);
}
