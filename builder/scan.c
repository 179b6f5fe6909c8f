#include "builder/scan.h"

enum class { PLAIN, SPACE, NEWLINE, RETURN, QUOTE, COMMENT, OPEN, CLOSE, ESCAPE, CONTROL };

static enum class class_of(uint8_t c)
{
    static const uint8_t table[256] = {
        [0 ... 8] = CONTROL, [11 ... 12] = CONTROL, [14 ... 31] = CONTROL, [127] = CONTROL, [' '] = SPACE,
        ['\t'] = SPACE, ['\n'] = NEWLINE, ['\r'] = RETURN,
        ['"'] = QUOTE, [';'] = COMMENT, ['('] = OPEN, [')'] = CLOSE, ['\\'] = ESCAPE,
    };
    return (enum class)table[c];
}

void scan_init(struct scan *s, struct bytes text, uint32_t first_line)
{
    *s = (struct scan){ .p = text.ptr, .end = text.ptr == NULL ? NULL : text.ptr + text.len, .entry = text.ptr,
                        .line = first_line, .ended = true };
}

static enum scan_got problem(struct scan *s, const char *text)
{
    s->problem = text;
    return SCAN_ERROR;
}

static enum scan_got hopeless(struct scan *s, const char *text)
{
    s->hopeless = s->ended = true;
    return problem(s, text);
}

bool scan_entry(struct scan *s)
{
    if (s->hopeless || s->p == s->end)
        return false;
    s->entry = s->p;
    s->blank = class_of(*s->p) == SPACE;
    s->ended = false;
    return true;
}

static bool digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Behind a backslash: NULL when it is no escape, else where the text goes on. */
static const uint8_t *escape_end(const uint8_t *p, const uint8_t *end)
{
    if (p == end || class_of(*p) == NEWLINE || class_of(*p) == RETURN || class_of(*p) == CONTROL)
        return NULL;
    if (!digit(*p))
        return p + 1;
    if (end - p < 3 || !digit(p[1]) || !digit(p[2]) || (p[0] - '0') * 100 + (p[1] - '0') * 10 + p[2] - '0' > 255)
        return NULL;
    return p + 3;
}

uint8_t scan_char(const uint8_t **p, bool *literal)
{
    const uint8_t *at = *p;
    *literal = *at == '\\';
    if (!*literal) {
        *p = at + 1;
        return *at;
    }
    if (!digit(at[1])) {
        *p = at + 2;
        return at[1];
    }
    *p = at + 4;
    return (uint8_t)((at[1] - '0') * 100 + (at[2] - '0') * 10 + at[3] - '0');
}

/* The rest of a quoted string, s->p behind its opening quote; leaves s->p behind the closing one. A line end belongs to
 * it inside parentheses only: elsewhere it means that the closing quote was forgotten. */
static const char *quoted_rest(struct scan *s, bool *escaped)
{
    for (; s->p < s->end; s->p++) {
        switch (class_of(*s->p)) {
        case QUOTE:
            s->p++;
            return NULL;
        case ESCAPE: {
            const uint8_t *next = escape_end(s->p + 1, s->end);
            if (next == NULL) {
                s->p++;
                return "not an escape: \\DDD up to \\255, or \\ and a character";
            }
            *escaped = true;
            s->p = next - 1;
            break;
        }
        case NEWLINE:
            if (s->depth == 0)
                return "quote is not closed";
            s->line++;
            break;
        case RETURN:
            if (s->depth == 0 && s->p + 1 < s->end && s->p[1] == '\n')
                return "quote is not closed";
            /* fall through */
        case CONTROL:
            s->p++;
            return "control character in a string (write it as \\DDD)";
        default:
            break;
        }
    }
    return "quote is not closed";
}

static enum scan_got quoted(struct scan *s, struct token *out)
{
    const uint8_t *from = ++s->p;
    bool escaped = false;
    const char *why = quoted_rest(s, &escaped);
    if (why != NULL)
        return s->p == s->end && s->depth > 0 ? hopeless(s, why) : problem(s, why);
    *out = (struct token){ bytes_of(from, (size_t)(s->p - 1 - from)), true, escaped };
    return SCAN_WORD;
}

static enum scan_got word(struct scan *s, bool pairs, struct token *out)
{
    const uint8_t *from = s->p;
    bool escaped = false;
    for (;; s->p++) {
        while (s->p < s->end && class_of(*s->p) == PLAIN)
            s->p++;
        if (s->p == s->end)
            break;
        enum class c = class_of(*s->p);
        if (c == ESCAPE) {
            const uint8_t *next = escape_end(s->p + 1, s->end);
            if (next == NULL) {
                s->p++;
                return problem(s, "not an escape: \\DDD up to \\255, or \\ and a character");
            }
            escaped = true;
            s->p = next - 1;
        } else if (c == QUOTE && pairs && s->p > from && s->p[-1] == '=') {
            s->p++;
            const char *why = quoted_rest(s, &escaped);
            if (why != NULL)
                return problem(s, why);
            s->p--;
        } else {
            break;
        }
    }
    *out = (struct token){ bytes_of(from, (size_t)(s->p - from)), false, escaped };
    return SCAN_WORD;
}

static void skip_comment(struct scan *s)
{
    const uint8_t *nl = memchr(s->p, '\n', (size_t)(s->end - s->p));
    s->p = nl == NULL ? s->end : nl;
}

static enum scan_got line_end(struct scan *s)
{
    s->p++;
    s->line++;
    s->ended = true;
    return SCAN_END;
}

enum scan_got scan_word(struct scan *s, bool pairs, struct token *out)
{
    while (!s->ended && s->p < s->end) {
        if ((size_t)(s->p - s->entry) > SCAN_ENTRY_MAX)
            return hopeless(s, s->depth > 0 ? "entry is over 1 MiB long: parenthesis is not closed"
                                            : "entry is over 1 MiB long");
        switch (class_of(*s->p)) {
        case SPACE:
            s->p++;
            break;
        case RETURN:
            s->p++;
            if (s->p < s->end && *s->p != '\n')
                return problem(s, "carriage return inside a line");
            break;
        case NEWLINE:
            if (s->depth == 0)
                return line_end(s);
            s->p++;
            s->line++;
            break;
        case COMMENT:
            skip_comment(s);
            break;
        case OPEN:
            s->depth++;
            s->p++;
            break;
        case CLOSE:
            s->p++;
            if (s->depth == 0)
                return problem(s, "closing parenthesis without an opening one");
            s->depth--;
            break;
        case QUOTE:
            return quoted(s, out);
        case CONTROL:
            s->p++;
            return problem(s, "control character (not a text file?)");
        default:
            return word(s, pairs, out);
        }
    }
    if (!s->ended && s->depth > 0)
        return hopeless(s, "parenthesis is not closed");
    s->ended = true;
    return SCAN_END;
}

void scan_skip(struct scan *s)
{
    struct token t;
    const char *first = s->problem;
    while (!s->ended)
        if (scan_word(s, false, &t) == SCAN_END)
            break;
    s->depth = 0;
    s->problem = first;
}
