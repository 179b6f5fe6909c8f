/* $GENERATE START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE RDATA, as BIND has it: in OWNER and RDATA, $ is the number,
 * ${OFFSET[,WIDTH[,BASE]]} the number plus OFFSET, padded with zeros to WIDTH, in BASE d, o, x, X, n or N (nibbles from
 * the lowest up, with dots between), \$ and $$ a dollar sign. */
#include "builder/reader.h"
#include "builder/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define GENERATE_MOST (1u << 24)        /* records of one directive */
#define TEMPLATE_MAX ((size_t)2 * 65536)
#define EXPANDED_MAX (2 * TEMPLATE_MAX)
#define WIDTH_MAX 255

struct range { uint32_t start, stop, step; };
struct generate { struct range range; struct wr template; uint8_t buf[TEMPLATE_MAX], expanded[EXPANDED_MAX]; };

static bool part(struct bytes *rest, char until, uint32_t *out)
{
    const uint8_t *at = memchr(rest->ptr, until, rest->len);
    size_t n = at == NULL ? rest->len : (size_t)(at - rest->ptr);
    struct token digits = { bytes_of(rest->ptr, n), false, false };
    if (word_number(&digits, INT32_MAX, out) != NULL)
        return false;
    *rest = at == NULL ? (struct bytes){ 0 } : bytes_of(at + 1, rest->len - n - 1);
    return true;
}

static const char *read_range(const struct token *t, struct range *out)
{
    struct bytes rest = t->text;
    struct range r = { .step = 1 };
    if (t->quoted || !part(&rest, '-', &r.start) || rest.ptr == NULL || !part(&rest, '/', &r.stop) ||
        (rest.ptr != NULL && (!part(&rest, '\0', &r.step) || rest.ptr != NULL)))
        return "the range is not START-STOP or START-STOP/STEP";
    if (r.step == 0 || r.stop < r.start)
        return "the range is empty";
    if ((r.stop - r.start) / r.step >= GENERATE_MOST)
        return "the range makes over 16,777,216 records";
    *out = r;
    return NULL;
}

/* Takes the quotes off the word from `at` to the end; \" in it is a quote then, as BIND has it. */
static void unquote(struct generate *g, size_t at)
{
    size_t to = at, end = g->template.len - 1;
    g->buf[at] = ' ';
    for (size_t i = at + 1; i < end; i++) {
        if (g->buf[i] == '\\' && g->buf[i + 1] == '"')
            i++;
        else if (g->buf[i] == '\\')
            g->buf[++to] = g->buf[i++];
        g->buf[++to] = g->buf[i];
    }
    g->template.len = to + 1;
}

/* The words behind the range, one blank between them. RDATA given as one quoted word loses its quotes, unless the type
 * holds strings. */
static const char *read_template(struct source *src, struct generate *g)
{
    struct token t;
    enum scan_got got;
    uint16_t type = 0;
    unsigned words = 0, behind_type = 0;
    size_t quote_at = 0;
    while ((got = scan_word(&src->scan, type == TYPE_SVCB || type == TYPE_HTTPS, &t)) == SCAN_WORD) {
        if (words++ > 0)
            wr_u8(&g->template, ' ');
        behind_type += type != 0;
        if (behind_type == 1)
            quote_at = t.quoted ? g->template.len : 0;
        if (words > 1 && type == 0 && word_type(&t, &type) != NULL)
            type = 0;
        wr_put(&g->template, "\"", t.quoted ? 1 : 0);
        wr_bytes(&g->template, t.text);
        wr_put(&g->template, "\"", t.quoted ? 1 : 0);
    }
    if (got == SCAN_ERROR)
        return src->scan.problem;
    if (behind_type == 0)
        return "$GENERATE needs a range, an owner, a type and RDATA";
    if (g->template.full)
        return "$GENERATE is too long";
    if (behind_type == 1 && quote_at != 0 && type != TYPE_TXT && type != 99)
        unquote(g, quote_at);
    return NULL;
}

struct form { int64_t offset; uint32_t width; char base; };

/* Behind "${": OFFSET[,WIDTH[,BASE]]} */
static bool read_form(struct rd *r, struct form *f)
{
    char text[40];
    size_t n = 0;
    int used = 0;
    *f = (struct form){ .base = 'd' };
    while (n < sizeof text - 1 && (text[n] = (char)rd_u8(r)) != '}')
        n++;
    if (r->bad || text[n] != '}')
        return false;
    text[n] = '\0';
    int got = sscanf(text, "%" SCNd64 "%n,%" SCNu32 "%n,%c%n", &f->offset, &used, &f->width, &used, &f->base, &used);
    return got >= 1 && used == (int)n && f->width <= WIDTH_MAX && strchr("doxXnN", f->base) != NULL &&
           f->offset >= -INT32_MAX && f->offset <= INT32_MAX;
}

static void put_nibbles(struct wr *out, uint64_t v, const struct form *f)
{
    const char *digits = f->base == 'n' ? "0123456789abcdef" : "0123456789ABCDEF";
    uint32_t width = f->width;
    for (;;) {
        wr_u8(out, (uint8_t)digits[v & 15]);
        v >>= 4;
        width -= width > 0;
        if (v == 0 && width == 0)
            return;
        wr_u8(out, '.');
        width -= width > 0;
        if (v == 0 && width == 0)
            return;
    }
}

static bool put_value(struct wr *out, int64_t v, const struct form *f)
{
    char text[WIDTH_MAX + 24];
    int width = (int)f->width;
    if (f->base != 'd' && v < 0)
        return false;
    switch (f->base) {
    case 'd':
        (void)snprintf(text, sizeof text, "%0*" PRId64, width, v);
        break;
    case 'o':
        (void)snprintf(text, sizeof text, "%0*" PRIo64, width, (uint64_t)v);
        break;
    case 'x':
        (void)snprintf(text, sizeof text, "%0*" PRIx64, width, (uint64_t)v);
        break;
    case 'X':
        (void)snprintf(text, sizeof text, "%0*" PRIX64, width, (uint64_t)v);
        break;
    default:
        put_nibbles(out, (uint64_t)v, f);
        return true;
    }
    wr_put(out, text, strlen(text));
    return true;
}

static const char *expand(struct bytes template, uint32_t value, struct wr *out)
{
    struct rd r = rd_over(template);
    while (rd_left(&r) > 0) {
        uint8_t c = rd_u8(&r);
        struct form f = { .base = 'd' };
        if (c == '\\') {
            wr_u8(out, c);
            wr_u8(out, rd_u8(&r));
        } else if (c != '$') {
            wr_u8(out, c);
        } else if (rd_left(&r) > 0 && *r.p == '$') {
            wr_put(out, "\\$", 2);
            (void)rd_u8(&r);
        } else if (rd_left(&r) > 0 && *r.p == '{') {
            (void)rd_u8(&r);
            if (!read_form(&r, &f) || !put_value(out, value + f.offset, &f))
                return "$GENERATE: not ${OFFSET,WIDTH,BASE}, or negative";
        } else if (!put_value(out, value, &f)) {
            return "$GENERATE: negative";
        }
    }
    return out->full ? "$GENERATE makes too long a line" : NULL;
}

static enum err make_records(struct reader *r, struct source *src, uint32_t line, struct generate *g)
{
    struct source inner = *src;
    uint32_t n = (g->range.stop - g->range.start) / g->range.step;
    struct bytes owner = r->owner;              /* lines without an owner go on with the one before the directive */
    for (uint32_t i = 0; i <= n; i++) {
        struct wr text = wr_over(g->expanded, sizeof g->expanded);
        const char *why = expand(wr_done(&g->template), g->range.start + i * g->range.step, &text);
        if (why != NULL) {
            reader_complain(r, src, line, why);
            return ERR_BAD;
        }
        scan_init(&inner.scan, wr_done(&text), line);
        r->owner_text = (struct bytes){ 0 };    /* the text there is another now */
        enum err err = scan_entry(&inner.scan) ? reader_entry(r, &inner) : OK;
        r->owner_text = (struct bytes){ 0 };
        r->owner = owner;
        if (err != OK)
            return err;
    }
    return OK;
}

enum err read_generate(struct reader *r, struct source *src, uint32_t line)
{
    struct token t;
    struct generate *g;
    enum scan_got got = scan_word(&src->scan, false, &t);
    const char *why;
    enum err err = ERR_BAD;
    if ((g = malloc(sizeof *g)) == NULL)
        return ERR_NOMEM;
    g->template = wr_over(g->buf, sizeof g->buf);
    if (got != SCAN_WORD)
        why = got == SCAN_END ? "$GENERATE needs a range" : src->scan.problem;
    else if ((why = read_range(&t, &g->range)) == NULL)
        why = read_template(src, g);
    if (why == NULL)
        err = make_records(r, src, line, g);
    else
        reader_complain(r, src, line, why);
    free(g);
    return err;
}
