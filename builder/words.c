#include "builder/words.h"

#include <ldns/ldns.h>
#include "builder/rdata.h"

#include <strings.h>

bool word_is(const struct token *t, const char *upper)
{
    return !t->quoted && t->text.len == strlen(upper) &&
           strncasecmp((const char *)t->text.ptr, upper, t->text.len) == 0;
}

/* Labels of text behind each other into out; *absolute: the text ends with a dot. */
static const char *labels(struct bytes text, bool lower, struct name *out, bool *absolute)
{
    const uint8_t *p = text.ptr, *end = p + text.len;
    size_t at = 0, len = 1;                     /* the open label's length byte; bytes used */
    *absolute = false;
    while (p < end) {
        bool literal = false;
        uint8_t c = *p == '\\' ? scan_char(&p, &literal) : *p++;
        if (c == '.' && !literal) {
            if (len == at + 1)
                return "empty label in a name";
            out->wire[at] = (uint8_t)(len - at - 1);
            at = len++;
            *absolute = p == end;
        } else {
            if (len - at > LABEL_MAX_LEN)
                return "label is over 63 bytes long";
            out->wire[len++] = lower ? name_lower_byte(c) : c;
        }
        if (len >= NAME_MAX_LEN + (size_t)(p == end && *absolute))
            return "name is over 255 bytes long";
    }
    if (!*absolute) {
        out->wire[at] = (uint8_t)(len - at - 1);
        at = len;
    }
    out->len = (uint8_t)at;
    return NULL;
}

const char *word_name(const struct token *t, struct bytes origin, bool lower, struct name *out)
{
    bool absolute;
    if (t->quoted || t->text.len == 0)
        return "a name stands without quotes";
    if (t->text.len == 1 && (t->text.ptr[0] == '.' || t->text.ptr[0] == '@')) {
        out->len = 0;
        absolute = t->text.ptr[0] == '.';
    } else {
        const char *why = labels(t->text, lower, out, &absolute);
        if (why != NULL)
            return why;
    }
    if (absolute) {
        out->wire[out->len++] = 0;
        return NULL;
    }
    if (out->len + origin.len > NAME_MAX_LEN)
        return "name is over 255 bytes long";
    memcpy(out->wire + out->len, origin.ptr, origin.len);
    if (lower)
        name_lower(out->wire + out->len, origin.len);
    out->len = (uint8_t)(out->len + origin.len);
    return NULL;
}

const char *word_number(const struct token *t, uint32_t max, uint32_t *out)
{
    uint64_t v = 0;
    if (t->quoted || t->text.len == 0)
        return "not a number";
    for (size_t i = 0; i < t->text.len; i++) {
        uint8_t c = t->text.ptr[i];
        if (c < '0' || c > '9')
            return "not a number";
        v = v * 10 + (uint64_t)(c - '0');
        if (v > max)
            return "number is too large";
    }
    *out = (uint32_t)v;
    return NULL;
}

static uint64_t unit_s(uint8_t c)
{
    switch (c | 0x20) {
    case 's': return 1;
    case 'm': return 60;
    case 'h': return 3600;
    case 'd': return 86400;
    case 'w': return 604800;
    default: return 0;
    }
}

const char *word_period(const struct token *t, uint32_t *out)
{
    uint64_t sum = 0, v = 0;
    bool digits = false, units = false;
    if (t->quoted || t->text.len == 0 || t->text.ptr[0] < '0' || t->text.ptr[0] > '9')
        return "not a time";
    for (size_t i = 0; i < t->text.len; i++) {
        uint8_t c = t->text.ptr[i];
        if (c >= '0' && c <= '9') {
            v = v * 10 + (uint64_t)(c - '0');
            digits = true;
        } else {
            if (!digits || unit_s(c) == 0)
                return "not a time";
            sum += v * unit_s(c);
            v = 0;
            digits = false;
            units = true;
        }
        if (sum > UINT32_MAX || v > UINT32_MAX)
            return "time is too large";
    }
    if (units && digits)
        return "not a time";                    /* 1h30: 30 what? */
    if (sum + v > UINT32_MAX)
        return "time is too large";
    *out = (uint32_t)(sum + v);
    return NULL;
}

const char *word_ttl(const struct token *t, uint32_t *out)
{
    const char *why = word_period(t, out);
    if (why == NULL && *out > INT32_MAX)
        *out = 0;
    return why;
}

/* NAMEnnn, e.g. TYPE65280: the number. */
static bool numbered(const struct token *t, const char *name, uint16_t *out)
{
    size_t n = strlen(name);
    uint32_t v;
    if (t->quoted || t->text.len <= n || strncasecmp((const char *)t->text.ptr, name, n) != 0)
        return false;
    struct token digits = { bytes_of(t->text.ptr + n, t->text.len - n), false, false };
    if (word_number(&digits, 65535, &v) != NULL)
        return false;
    *out = (uint16_t)v;
    return true;
}

static bool common_type(const struct token *t, uint16_t *out)
{
    static const struct { const char *name; uint16_t type; } list[] = {
        { "A", TYPE_A }, { "AAAA", TYPE_AAAA }, { "NS", TYPE_NS }, { "CNAME", TYPE_CNAME }, { "MX", TYPE_MX },
        { "TXT", TYPE_TXT }, { "SRV", TYPE_SRV }, { "DS", TYPE_DS }, { "RRSIG", TYPE_RRSIG }, { "NSEC", TYPE_NSEC },
        { "PTR", TYPE_PTR }, { "SOA", TYPE_SOA }, { "AMTRELAY", TYPE_AMTRELAY },
        { "NINFO", TYPE_NINFO }, { "AVC", TYPE_AVC }, { "RESINFO", TYPE_RESINFO }, { "WALLET", TYPE_WALLET },   /* unknown to ldns */
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if ((t->text.ptr[0] & 0xdf) == list[i].name[0] && word_is(t, list[i].name)) {
            *out = list[i].type;
            return true;
        }
    }
    return false;
}

const char *word_type(const struct token *t, uint16_t *out)
{
    char name[32];
    if (t->quoted || t->escaped || t->text.len == 0 || t->text.len >= sizeof name)
        return "not a type";
    if (common_type(t, out))
        return NULL;
    if (!numbered(t, "TYPE", out)) {
        memcpy(name, t->text.ptr, t->text.len);
        name[t->text.len] = '\0';
        if (strncasecmp(name, "TYPE", 4) == 0)
            return "not a type";
        *out = (uint16_t)ldns_get_rr_type_by_name(name);
        if (*out == 0)
            return "unknown type";
    }
    return rrtype_is_meta(*out) ? "no zone may hold this type" : NULL;
}

bool word_class(const struct token *t, uint16_t *out)
{
    static const struct { const char *name; uint16_t number; } list[] = {
        { "IN", CLASS_IN }, { "CH", CLASS_CH }, { "HS", 4 }, { "CS", 2 },
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (word_is(t, list[i].name)) {
            *out = list[i].number;
            return true;
        }
    }
    return numbered(t, "CLASS", out);
}
