#include "base/text.h"

#include <sodium.h>
#include <stdio.h>

const char *text_hex(char *out, size_t cap, struct bytes b)
{
    if (cap < 2 * b.len + 1)
        return "";
    sodium_bin2hex(out, cap, b.ptr, b.len);
    return out;
}

MUST_USE enum err text_from_hex(const char *text, uint8_t *out, size_t want)
{
    size_t got = 0;
    const char *end = NULL;
    size_t len = strlen(text);
    if (len != 2 * want)
        return ERR_BAD;
    if (sodium_hex2bin(out, want, text, len, NULL, &got, &end) != 0 || got != want || *end != '\0')
        return ERR_BAD;
    return OK;
}

const char *text_base64(char *out, size_t cap, struct bytes b)
{
    if (cap < sodium_base64_encoded_len(b.len, sodium_base64_VARIANT_ORIGINAL))
        return "";
    sodium_bin2base64(out, cap, b.ptr, b.len, sodium_base64_VARIANT_ORIGINAL);
    return out;
}

MUST_USE enum err text_from_base64(const char *text, uint8_t *out, size_t want)
{
    size_t got = 0;
    const char *end = NULL;
    size_t len = strlen(text);
    if (sodium_base642bin(out, want, text, len, NULL, &got, &end, sodium_base64_VARIANT_ORIGINAL) != 0)
        return ERR_BAD;
    return got == want && *end == '\0' ? OK : ERR_BAD;
}

/* The digits at *text as a number; *text moves behind them. */
static enum err digits(const char **text, uint64_t max, uint64_t *out)
{
    const char *p = *text;
    uint64_t v = 0;
    if (*p < '0' || *p > '9')
        return ERR_BAD;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t d = (uint64_t)(*p - '0');
        if (v > (max - d) / 10)
            return ERR_BAD;
        v = v * 10 + d;
    }
    *text = p;
    *out = v;
    return OK;
}

MUST_USE enum err text_number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t v;
    enum err err = digits(&text, max, &v);
    if (err != OK || *text != '\0' || v > max)
        return ERR_BAD;
    *out = v;
    return OK;
}

struct unit { const char *word; uint64_t factor; };

static enum err with_unit(const char *text, const struct unit *units, uint64_t *out)
{
    uint64_t v;
    if (digits(&text, UINT64_MAX, &v) != OK)
        return ERR_BAD;
    for (const struct unit *u = units; u->word != NULL; u++) {
        if (strcmp(text, u->word) != 0)
            continue;
        if (v > UINT64_MAX / u->factor)
            return ERR_BAD;
        *out = v * u->factor;
        return OK;
    }
    return ERR_BAD;
}

MUST_USE enum err text_size(const char *text, uint64_t *out_bytes)
{
    static const struct unit units[] = {
        { "", 1 }, { "k", 1 << 10 }, { "K", 1 << 10 }, { "m", 1 << 20 }, { "M", 1 << 20 }, { "g", 1 << 30 }, { "G", 1 << 30 },
        { "t", (uint64_t)1 << 40 }, { "T", (uint64_t)1 << 40 }, { NULL, 0 },
    };
    return with_unit(text, units, out_bytes);
}

MUST_USE enum err text_duration(const char *text, uint64_t *out_ms)
{
    static const struct unit units[] = {
        { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 },
    };
    return with_unit(text, units, out_ms);
}

bool text_is_ascii(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        if (b.ptr[i] > 0x7f)
            return false;
    return true;
}

const char *text_of_size(char *out, size_t cap, uint64_t bytes)
{
    static const char *const words[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double v = (double)bytes;
    size_t i = 0;
    for (; v >= 1024 && i + 1 < sizeof words / sizeof words[0]; i++)
        v /= 1024;
    (void)snprintf(out, cap, i == 0 ? "%.0f %s" : "%.1f %s", v, words[i]);
    return out;
}
