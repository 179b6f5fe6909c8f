/* Zone files: entries, directives, included files. Words come from the scanner, RDATA goes to rdata.c. */
#include "builder/zonefile.h"

#include "base/file.h"
#include "builder/rdata.h"
#include "builder/reader.h"
#include "builder/records.h"
#include "builder/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TTL_FALLBACK_S 3600
#define HEAD_BYTES 65536

void reader_complain(struct reader *r, const struct source *src, uint32_t line, const char *why)
{
    if (src->included_at != 0)
        complain_error(r->c, src->included_at, "in %s:%" PRIu32 ": %s", src->name, line, why);
    else
        complain_error(r->c, line, "%s", why);
}

static void complain_word(struct reader *r, const struct source *src, uint32_t line, const char *why,
                          const struct token *t)
{
    char text[128];
    (void)snprintf(text, sizeof text, "%s: '%.*s'", why, (int)(t->text.len < 40 ? t->text.len : 40),
                   (const char *)t->text.ptr);
    reader_complain(r, src, line, text);
}

static uint32_t record_line(const struct source *src, uint32_t line)
{
    return src->included_at != 0 ? src->included_at : line;
}

/* --- owner, TTL, class, type ---------------------------------------------------------------------------------- */
static enum err set_owner(struct reader *r, const struct source *src, const struct token *t, uint32_t line)
{
    struct name name;
    if (bytes_equal(t->text, r->owner_text) && !t->quoted && r->owner_origin == src->origin_serial)
        return OK;                              /* the same words as in the entry before: the same owner */
    const char *why = word_name(t, name_bytes(&src->origin), true, &name);
    if (why != NULL) {
        r->owner_text = (struct bytes){ 0 };    /* what inherits from here has no owner */
        r->owner = (struct bytes){ 0 };
        r->owner_failed = true;
        complain_word(r, src, line, why, t);
        return ERR_BAD;
    }
    r->owner_failed = false;
    r->owner_text = t->text;
    r->owner_origin = src->origin_serial;
    if (bytes_equal(name_bytes(&name), r->owner))
        return OK;
    r->owner = arena_copy(&r->z->arena, name_bytes(&name));
    return r->owner.ptr == NULL ? ERR_NOMEM : OK;
}

struct fields { uint32_t ttl; uint16_t class, type; bool has_ttl, has_class; };

/* [TTL] [class] type, TTL and class in either order. */
static enum err read_fields(struct reader *r, struct source *src, uint32_t line, struct fields *f)
{
    for (;;) {
        struct token t;
        enum scan_got got = scan_word(&src->scan, false, &t);
        if (got != SCAN_WORD) {
            reader_complain(r, src, line, got == SCAN_END ? "type and RDATA are missing" : src->scan.problem);
            return ERR_BAD;
        }
        if (!f->has_ttl && !t.quoted && t.text.ptr[0] >= '0' && t.text.ptr[0] <= '9') {
            const char *why = word_ttl(&t, &f->ttl);
            if (why != NULL) {
                complain_word(r, src, line, why, &t);
                return ERR_BAD;
            }
            f->has_ttl = true;
            continue;
        }
        if (!f->has_class && word_class(&t, &f->class)) {       /* no type is called so; and it is quicker to say no */
            f->has_class = true;
            continue;
        }
        const char *why = word_type(&t, &f->type);
        if (why == NULL)
            return OK;
        complain_word(r, src, line, why, &t);
        return ERR_BAD;
    }
}

/* RFC 2308 section 4: $TTL counts for all records without one; before any $TTL, the last TTL written (RFC 1035 section
 * 5.1); before that, the SOA's MINIMUM, as BIND does. */
static uint32_t ttl_of(struct reader *r, const struct fields *f, struct bytes rdata)
{
    uint32_t ttl = TTL_FALLBACK_S;
    if (f->has_ttl)
        ttl = f->ttl;
    else if (r->has_default)
        return r->ttl_default;
    else if (r->has_last)
        return r->ttl_last;
    else if (f->type == TYPE_SOA && rdata.len >= 4) {
        struct rd minimum = rd_over(bytes_of(rdata.ptr + rdata.len - 4, 4));
        ttl = rd_u32(&minimum);
        ttl = ttl > INT32_MAX ? 0 : ttl;
    }
    r->has_last = true;
    r->ttl_last = ttl;
    return ttl;
}

static enum err read_record(struct reader *r, struct source *src, uint32_t line)
{
    struct fields f = { .class = CLASS_IN };
    struct wr rdata = wr_over(r->rdata, sizeof r->rdata);
    enum err err = read_fields(r, src, line, &f);
    if (err != OK)
        return err;
    if (f.class != CLASS_IN) {
        reader_complain(r, src, line, "only class IN is served");
        return ERR_BAD;
    }
    if (r->owner.ptr == NULL) {
        if (!r->owner_failed)
            reader_complain(r, src, line, "no owner to inherit");
        return ERR_BAD;
    }
    if ((err = rdata_scan(&src->scan, f.type, name_bytes(&src->origin), &rdata, &r->why)) == ERR_BAD)
        reader_complain(r, src, line, r->why.text);
    if (err != OK)
        return err;
    return zone_put(r->z, r->owner, f.type, ttl_of(r, &f, wr_done(&rdata)), wr_done(&rdata), record_line(src, line));
}

/* --- directives ----------------------------------------------------------------------------------------------- */
static enum err need(struct reader *r, struct source *src, uint32_t line, const char *what, struct token *t)
{
    enum scan_got got = scan_word(&src->scan, false, t);
    if (got == SCAN_WORD)
        return OK;
    reader_complain(r, src, line, got == SCAN_END ? what : src->scan.problem);
    return ERR_BAD;
}

static enum err need_end(struct reader *r, struct source *src, uint32_t line)
{
    struct token t;
    switch (scan_word(&src->scan, false, &t)) {
    case SCAN_END:
        return OK;
    case SCAN_WORD:
        complain_word(r, src, line, "too many words", &t);
        return ERR_BAD;
    default:
        reader_complain(r, src, line, src->scan.problem);
        return ERR_BAD;
    }
}

static enum err directive_origin(struct reader *r, struct source *src, uint32_t line)
{
    struct token t;
    struct name origin;
    enum err err = need(r, src, line, "$ORIGIN needs a name", &t);
    if (err != OK)
        return err;
    const char *why = word_name(&t, name_bytes(&src->origin), true, &origin);
    if (why != NULL) {
        complain_word(r, src, line, why, &t);
        return ERR_BAD;
    }
    if ((err = need_end(r, src, line)) == OK) {
        src->origin = origin;
        src->origin_serial = ++r->origins;
    }
    return err;
}

static enum err directive_ttl(struct reader *r, struct source *src, uint32_t line)
{
    struct token t;
    uint32_t ttl;
    enum err err = need(r, src, line, "$TTL needs a time", &t);
    if (err != OK)
        return err;
    const char *why = word_ttl(&t, &ttl);
    if (why != NULL) {
        complain_word(r, src, line, why, &t);
        return ERR_BAD;
    }
    if ((err = need_end(r, src, line)) == OK) {
        r->has_default = true;
        r->ttl_default = ttl;
    }
    return err;
}

/* The path of an included file: relative ones start at the including file's folder. */
static const char *include_path(const struct source *src, const struct token *t, char *out, size_t cap)
{
    const uint8_t *p = t->text.ptr, *end = p + t->text.len;
    const char *slash = strrchr(src->name, '/');
    struct wr w = wr_over(out, cap);
    if (p < end && *p != '/' && slash != NULL)
        wr_put(&w, src->name, (size_t)(slash - src->name) + 1);
    for (bool literal; p < end;)
        wr_u8(&w, scan_char(&p, &literal));
    if (memchr(out, '\0', w.len) != NULL)
        return "not a file name";
    wr_u8(&w, '\0');
    return w.full || w.len <= 1 ? "not a file name" : NULL;
}

static enum err read_file(struct reader *r, struct source *src, bool included);

static enum err include(struct reader *r, struct source *src, uint32_t line, const char *path,
                        const struct name *origin)
{
    struct source inner = { .name = path, .origin = *origin, .nesting = src->nesting + 1,
                            .included_at = record_line(src, line) };
    struct bytes owner = r->owner;
    r->z->includes = true;
    inner.origin_serial = ++r->origins;
    enum err err = read_file(r, &inner, true);
    r->owner = owner;                           /* RFC 1035: the including file goes on as if nothing had been there */
    r->owner_text = (struct bytes){ 0 };
    if (err == ERR_NOTFOUND || err == ERR_IO || err == ERR_LIMIT) {
        char why[200];
        (void)snprintf(why, sizeof why, "$INCLUDE: %s", fault_text(&r->why, err));
        reader_complain(r, src, line, why);
        return ERR_BAD;
    }
    return err;
}

static enum err directive_include(struct reader *r, struct source *src, uint32_t line)
{
    struct token t, name;
    char path[4096];
    struct name origin = src->origin;
    enum err err = need(r, src, line, "$INCLUDE needs a file", &t);
    if (err != OK)
        return err;
    const char *why = src->nesting >= INCLUDE_MAX ? "$INCLUDE is nested over 10 deep"
                    : r->in_memory                ? "$INCLUDE is not possible here"
                                                  : include_path(src, &t, path, sizeof path);
    switch (why != NULL ? SCAN_END : scan_word(&src->scan, false, &name)) {
    case SCAN_WORD:
        why = word_name(&name, name_bytes(&src->origin), true, &origin);
        if (why == NULL && (err = need_end(r, src, line)) != OK)
            return err;
        break;
    case SCAN_ERROR:
        why = src->scan.problem;
        break;
    default:
        break;
    }
    if (why != NULL) {
        reader_complain(r, src, line, why);
        return ERR_BAD;
    }
    return include(r, src, line, path, &origin);
}

static enum err read_directive(struct reader *r, struct source *src, const struct token *t, uint32_t line)
{
    if (r->is_slice) {
        reader_complain(r, src, line, "a directive");       /* nobody is told: the text is read again as a whole */
        return ERR_BAD;
    }
    if (word_is(t, "$ORIGIN"))
        return directive_origin(r, src, line);
    if (word_is(t, "$TTL"))
        return directive_ttl(r, src, line);
    if (word_is(t, "$INCLUDE"))
        return directive_include(r, src, line);
    if (word_is(t, "$GENERATE"))
        return read_generate(r, src, line);
    complain_word(r, src, line, "unknown directive", t);
    return ERR_BAD;
}

/* --- entries -------------------------------------------------------------------------------------------------- */
enum err reader_entry(struct reader *r, struct source *src)
{
    struct token t;
    uint32_t line = src->scan.line;
    if (src->scan.blank) {
        struct scan ahead = src->scan;          /* a line of blanks and comments is no entry */
        enum scan_got got = scan_word(&ahead, false, &t);
        if (got == SCAN_END) {
            src->scan = ahead;
            return OK;
        }
        return read_record(r, src, line);
    }
    switch (scan_word(&src->scan, false, &t)) {
    case SCAN_END:
        return OK;
    case SCAN_ERROR:
        reader_complain(r, src, line, src->scan.problem);
        return ERR_BAD;
    default:
        break;
    }
    if (!t.quoted && t.text.ptr[0] == '$')
        return read_directive(r, src, &t, line);
    enum err err = set_owner(r, src, &t, line);
    return err != OK ? err : read_record(r, src, line);
}

/* A bad one was complained about; the next begins behind it. */
static enum err one_entry(struct reader *r, struct source *src)
{
    enum err err = reader_entry(r, src);
    if (err == ERR_BAD && !src->scan.ended)
        scan_skip(&src->scan);
    return err == ERR_BAD ? OK : err;
}

enum err reader_entries(struct reader *r, struct source *src)
{
    enum err err = OK;
    while (err == OK && r->c->errors_n < COMPLAINTS_MAX && scan_entry(&src->scan))
        err = one_entry(r, src);
    return err;
}

static const char *not_a_zone_file(struct bytes text)
{
    if (text.len >= 2 && text.ptr[0] == 0x1f && text.ptr[1] == 0x8b)
        return "the file is compressed (gzip); give it unpacked";
    if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
        return "the file begins with a byte order mark";
    return NULL;
}

/* The entries at the begin of a file, where directives are to be expected. */
static enum err read_head(struct reader *r, struct source *src)
{
    const uint8_t *from = src->scan.p;
    enum err err = OK;
    while (err == OK && src->scan.p - from < HEAD_BYTES && r->c->errors_n < COMPLAINTS_MAX && scan_entry(&src->scan))
        err = one_entry(r, src);
    return err;
}

static enum err read_text(struct reader *r, struct source *src, struct bytes text)
{
    const char *why = not_a_zone_file(text);
    scan_init(&src->scan, text, 1);
    if (why != NULL) {
        reader_complain(r, src, 1, why);
        return OK;
    }
    if (r->crew == NULL || src->nesting > 0)
        return reader_entries(r, src);
    unsigned before = r->c->errors_n + r->c->warnings_n;
    bool done = false;
    enum err err = read_head(r, src);
    if (err == OK && r->c->errors_n + r->c->warnings_n == before)
        err = read_slices(r, src, &done);
    return err != OK || done ? err : reader_entries(r, src);
}

static enum err read_file(struct reader *r, struct source *src, bool included)
{
    struct bytes text;
    enum err err = file_read(src->name, ZONEFILE_MAX, &text, &r->why);
    if (err != OK)
        return err;
    struct bytes outer = r->owner_text;
    err = read_text(r, src, text);
    r->owner_text = included ? outer : (struct bytes){ 0 };
    free((void *)(uintptr_t)text.ptr);
    return err;
}

struct reader *zone_reader_open(struct zone *z, struct complaints *c)
{
    struct reader *r = calloc(1, sizeof *r);    /* holds a buffer for the longest RDATA: not for the stack */
    if (r != NULL) {
        r->z = z;
        r->c = c;
        r->owner = (struct bytes){ 0 };
    }
    return r;
}

static enum err refused(const struct complaints *c, unsigned before, struct fault *fault)
{
    unsigned n = c->errors_n - before;
    if (n == 0)
        return OK;
    return fault_set(fault, ERR_REFUSED, "%s%u error%s, the first in line %" PRIu32 ": %s",
                     n >= COMPLAINTS_MAX ? "at least " : "", n, n == 1 ? "" : "s", c->errors[before].line,
                     c->errors[before].text);
}

enum err zonefile_read(const char *path, struct zone *z, struct complaints *c, struct fault *fault)
{
    return zonefile_read_with(path, NULL, z, c, fault);
}

enum err zonefile_read_with(const char *path, struct crew *crew, struct zone *z, struct complaints *c,
                            struct fault *fault)
{
    struct source src = { .name = path, .origin = z->apex };
    struct reader *r = zone_reader_open(z, c);
    unsigned before = c->errors_n;
    if (r == NULL)
        return ERR_NOMEM;
    r->crew = crew;
    enum err err = read_file(r, &src, false);
    if (err != OK && r->why.text[0] != '\0')
        err = fault_set(fault, err, "%s", r->why.text);
    free(r);
    return err != OK ? err : refused(c, before, fault);
}

enum err zonefile_read_text(struct bytes text, const char *name, struct zone *z, struct complaints *c,
                            struct fault *fault)
{
    struct source src = { .name = name, .origin = z->apex };
    struct reader *r = zone_reader_open(z, c);
    unsigned before = c->errors_n;
    if (r == NULL)
        return ERR_NOMEM;
    r->in_memory = true;
    enum err err = read_text(r, &src, text);
    free(r);
    return err != OK ? err : refused(c, before, fault);
}

enum err rdata_from_text(uint16_t type, struct bytes text, struct bytes origin, struct wr *out, struct fault *fault)
{
    struct scan s;
    size_t from = out->len;
    if (rrtype_is_meta(type))
        return fault_set(fault, ERR_BAD, "no zone may hold this type");
    scan_init(&s, text, 1);
    if (!scan_entry(&s))
        s.ended = true;
    enum err err = rdata_scan(&s, type, origin, out, fault);
    if (err == OK && s.p != s.end)
        err = fault_set(fault, ERR_BAD, "more than one line");
    if (err != OK && !out->full)
        out->len = from;
    return err;
}
