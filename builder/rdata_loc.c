/* LOC, RFC 1876 section 3: degrees [minutes [seconds]] N|S, the same E|W, altitude [size [horizontal [vertical precision]]].
 * ldns takes numbers out of range, leaves out the altitude and drops words. */
#include "builder/rdata.h"

#include "builder/words.h"

#define EQUATOR ((int64_t)1 << 31)
#define ALTITUDE_BASE_CM 10000000       /* 100 km below the reference spheroid */

struct words { const struct token *t; unsigned n; };

/* [-]DIGITS[.DIGITS], with at most `places` digits behind the dot, times 10^places. false: no such number, or too large. */
static bool decimal(struct bytes text, unsigned places, int64_t *out)
{
    bool minus = text.len > 0 && text.ptr[0] == '-', dot = false;
    unsigned digits = 0, behind = 0;
    int64_t v = 0;
    for (size_t i = minus; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '.' && !dot && places > 0) {
            dot = true;
            continue;
        }
        if (c < '0' || c > '9' || (behind += dot) > places || v > 100000000000)
            return false;
        v = v * 10 + (c - '0');
        digits++;
    }
    for (; behind < places; behind++)
        v *= 10;
    *out = minus ? -v : v;
    return digits > 0;
}

/* Thousandths of a second of arc from the equator or prime meridian. */
static const char *angle(struct words *w, unsigned most, const char *directions, uint32_t *out)
{
    static const int64_t unit[] = { 3600000, 60000, 1 };
    int64_t sum = 0, v;
    for (unsigned i = 0; w->n > 0; i++, w->t++, w->n--) {
        struct bytes text = w->t->text;
        if (w->t->quoted || w->t->escaped)
            return "not an angle";
        if (i > 0 && text.len == 1 && (text.ptr[0] & 0xdf) >= 'A') {
            uint8_t c = text.ptr[0] & 0xdf;
            if ((c != directions[0] && c != directions[1]) || sum > most * unit[0])
                break;
            *out = (uint32_t)(c == directions[0] ? EQUATOR + sum : EQUATOR - sum);
            w->t++;
            w->n--;
            return NULL;
        }
        if (i > 2 || !decimal(text, i == 2 ? 3 : 0, &v) || v < 0 || v >= (i == 0 ? most + 1 : i == 1 ? 60 : 60000))
            break;
        sum += v * unit[i];
    }
    return "not an angle: DEGREES [MINUTES [SECONDS]] and a direction";
}

/* A length in centimetres, with or without its unit "m". */
static bool metres(const struct token *t, int64_t *out)
{
    struct bytes text = t->text;
    if (t->quoted || t->escaped)
        return false;
    if (text.len > 0 && (text.ptr[text.len - 1] | 0x20) == 'm')
        text.len--;
    return decimal(text, 2, out);
}

/* Mantissa and exponent of ten, a digit each; what does not fit is cut off. */
static uint8_t size_byte(int64_t cm)
{
    uint8_t exponent = 0;
    for (; cm > 9; cm /= 10)
        exponent++;
    return (uint8_t)(cm << 4 | exponent);
}

const char *loc_read(const struct token *words, unsigned n, struct wr *out)
{
    struct words w = { words, n };
    uint8_t sizes[3] = { 0x12, 0x16, 0x13 };    /* 1 m, 10 km, 10 m */
    uint32_t latitude, longitude;
    int64_t altitude, cm;
    const char *why = angle(&w, 90, "NS", &latitude);
    if (why == NULL)
        why = angle(&w, 180, "EW", &longitude);
    if (why != NULL)
        return why;
    if (w.n == 0 || !metres(w.t, &altitude) || altitude < -ALTITUDE_BASE_CM || altitude > UINT32_MAX - ALTITUDE_BASE_CM)
        return "not an altitude from -100000.00m to 42849672.95m";
    if (w.n > 4)
        return "too many words";
    for (unsigned i = 1; i < w.n; i++) {
        if (!metres(&w.t[i], &cm) || cm < 0 || cm > 9000000000)
            return "not a size or precision up to 90000000.00m";
        sizes[i - 1] = size_byte(cm);
    }
    wr_u8(out, 0);                              /* version */
    wr_put(out, sizes, sizeof sizes);
    wr_u32(out, latitude);
    wr_u32(out, longitude);
    wr_u32(out, (uint32_t)(altitude + ALTITUDE_BASE_CM));
    return NULL;
}
