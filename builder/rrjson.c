#include "builder/rrjson.h"

#include "base/text.h"
#include "builder/rdata.h"
#include "builder/zonefile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTENT_MAX ((size_t)400000)        /* 64 KiB of RDATA, each byte as \DDD, with quotes */
#define COMMENT_TEXT_MAX 65535
#define ACCOUNT_MAX 255
#define RECORDS_MAX 65535
#define COMMENTS_MAX 1000
#define TTL_MAX 0x7fffffff                  /* RFC 2181 section 8 */

/* One RRset that is being read; its name for messages. */
struct reading {
    const struct rrjson_options *how;
    struct arena *a;
    struct row *row;
    struct fault *fault;
    char label[NAME_TEXT_MAX + RRTYPE_TEXT_MAX];
};

static enum err wrong(const struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum err wrong(const struct reading *r, const char *format, ...)
{
    char text[FAULT_TEXT_MAX];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return fault_set(r->fault, ERR_BAD, "%.200s: %s", r->label, text);
}

/* --- names and types ------------------------------------------------------------------------------------------------- */
static enum err read_name(struct reading *r, const json_t *v)
{
    struct bytes text = bytes_of(json_string_value(v), json_string_length(v));
    struct name name;
    (void)snprintf(r->label, sizeof r->label, "RRset");
    if (!json_is_string(v) || text.len == 0)
        return wrong(r, "name is missing, or no string");
    (void)snprintf(r->label, sizeof r->label, "%.*s", (int)(text.len < 255 ? text.len : 255), (const char *)text.ptr);
    if (r->how->absolute && text.ptr[text.len - 1] != '.')
        return wrong(r, "name has no final dot");
    if (!text_is_ascii(text))
        return wrong(r, "not ASCII: names are wanted as DNS has them (xn--...)");
    if (name_from_text(text, r->how->apex, &name) != OK)
        return wrong(r, "not a domain name: labels have 1 to 63 bytes, the whole 255 at most");
    name_lower(name.wire, name.len);
    if (!name_under(name_bytes(&name), r->how->apex))
        return wrong(r, "not in the zone");
    r->row->owner = arena_copy(r->a, name_bytes(&name));
    return r->row->owner.ptr != NULL ? OK : ERR_NOMEM;
}

static enum err read_type(struct reading *r, const json_t *v)
{
    size_t at = strlen(r->label);
    if (!json_is_string(v) || json_string_length(v) == 0)
        return wrong(r, "type is missing, or no string");
    if (rrtype_from_text(bytes_of(json_string_value(v), json_string_length(v)), &r->row->type) != OK)
        return wrong(r, "type '%.40s' is not known, or no zone may hold it", json_string_value(v));
    (void)snprintf(r->label + at, sizeof r->label - at, " %.20s", json_string_value(v));
    return OK;
}

static enum err read_ttl(struct reading *r, const json_t *v)
{
    json_int_t ttl = v != NULL ? json_integer_value(v) : r->how->default_ttl;
    if ((v != NULL && !json_is_integer(v)) || ttl < 0 || ttl > TTL_MAX)
        return wrong(r, "ttl is a number from 0 to %d", TTL_MAX);
    r->row->ttl = (uint32_t)ttl;
    return OK;
}

/* --- records --------------------------------------------------------------------------------------------------------- */
/* What a zone file may say and the content of one record may not: it would be cut off silently. NULL: nothing. */
static const char *cut_off(struct bytes text)
{
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '\n' || c == '\r' || c == '\0')
            return "a line end or a zero byte; write it as \\DDD";
        if (c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == ';' && !quoted)
            return "a ; outside of quotes would begin a comment; put the text into quotes";
    }
    return quoted ? "a quote that does not end" : NULL;
}

/* The same RDATA whatever the origin: no name in it is relative. */
static bool is_absolute(const struct reading *r, struct bytes text, struct bytes rdata)
{
    static const uint8_t other[] = "\x09invalid-x";       /* with its final 0 a name */
    uint8_t again[RDATA_MAX];
    struct wr w = wr_over(again, sizeof again);
    return rdata_from_text(r->row->type, text, bytes_of(other, sizeof other), &w, NULL) == OK
           && bytes_equal(wr_done(&w), rdata);
}

static enum err read_content(struct reading *r, const json_t *v, struct bytes *out)
{
    uint8_t rdata[RDATA_MAX];
    struct wr w = wr_over(rdata, sizeof rdata);
    struct bytes text = bytes_of(json_string_value(v), json_string_length(v));
    struct fault why = { "" };
    const char *cut;
    if (!json_is_string(v))
        return wrong(r, "content is missing, or no string");
    if (text.len > CONTENT_MAX)
        return wrong(r, "content of %zu bytes: up to %zu are allowed", text.len, CONTENT_MAX);
    if ((cut = cut_off(text)) != NULL)
        return wrong(r, "content \"%.100s\": %s", json_string_value(v), cut);
    enum err err = rdata_from_text(r->row->type, text, r->how->apex, &w, &why);
    if (err != OK)
        return err == ERR_NOMEM ? err : wrong(r, "content \"%.100s\": %s", json_string_value(v), fault_text(&why, err));
    if (r->how->absolute && !is_absolute(r, text, wr_done(&w)))
        return wrong(r, "content \"%.100s\": a name has no final dot", json_string_value(v));
    *out = arena_copy(r->a, wr_done(&w));
    return out->len == w.len ? OK : ERR_NOMEM;
}

/* Members that are none of ours: PowerDNS's clients send some that mean nothing any more. */
static enum err only(const struct reading *r, const json_t *o, const char *const *names, const char *what)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o, name, v) {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], name) != 0)
            i++;
        if (names[i] == NULL && !r->how->absolute)
            return wrong(r, "unknown member '%.40s' of a %s", name, what);
    }
    return OK;
}

static enum err read_record(struct reading *r, const json_t *o, struct row_rr *out)
{
    static const char *const names[] = { "content", "disabled", NULL };
    const json_t *disabled = json_object_get(o, "disabled");
    enum err err;
    if (!json_is_object(o))
        return wrong(r, "a record is an object {\"content\": ..., \"disabled\": ...}");
    if ((err = only(r, o, names, "record")) != OK)
        return err;
    if (disabled != NULL && !json_is_boolean(disabled))
        return wrong(r, "disabled is true or false");
    *out = (struct row_rr){ .disabled = json_is_true(disabled) };
    return read_content(r, json_object_get(o, "content"), &out->rdata);
}

/* Signatures are one RRset per type that they cover. */
static enum err read_covers(struct reading *r, const struct row_rr *rr, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct rd rd = rd_over(rr[i].rdata);
        uint16_t covers = rd_u16(&rd);
        if (i > 0 && covers != r->row->covers)
            return wrong(r, "signatures over different types are different RRsets");
        r->row->covers = covers;
    }
    return OK;
}

static enum err read_records(struct reading *r, const json_t *list)
{
    size_t n = json_array_size(list);
    struct row_rr *rr = arena_take(r->a, (n + 1) * sizeof *rr);
    if (!json_is_array(list))
        return wrong(r, "records is a list");
    if (n > RECORDS_MAX)
        return wrong(r, "%zu records: an RRset has %d at most", n, RECORDS_MAX);
    if (rr == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        enum err err = read_record(r, json_array_get(list, i), &rr[i]);
        if (err != OK)
            return err;
    }
    r->row->rr = rr;
    r->row->n = n;
    return r->row->type == TYPE_RRSIG ? read_covers(r, rr, n) : OK;
}

/* --- comments -------------------------------------------------------------------------------------------------------- */
static enum err read_text(struct reading *r, const json_t *v, const char *name, size_t most, struct bytes *out)
{
    *out = bytes_of(NULL, 0);
    if (v == NULL)
        return OK;
    if (!json_is_string(v) || json_string_length(v) > most)
        return wrong(r, "%s of a comment is a string of up to %zu bytes", name, most);
    *out = arena_copy(r->a, bytes_of(json_string_value(v), json_string_length(v)));
    return out->ptr != NULL || out->len == 0 ? OK : ERR_NOMEM;
}

static enum err read_comment(struct reading *r, const json_t *o, struct comment *out)
{
    static const char *const names[] = { "content", "account", "modified_at", NULL };
    const json_t *modified = json_object_get(o, "modified_at");
    enum err err;
    if (!json_is_object(o) || json_object_get(o, "content") == NULL)
        return wrong(r, "a comment is an object {\"content\": ..., \"account\": ..., \"modified_at\": ...}");
    if (modified != NULL && (!json_is_integer(modified) || json_integer_value(modified) < 0))
        return wrong(r, "modified_at of a comment is a time in Unix seconds");
    out->modified_s = (uint64_t)json_integer_value(modified);       /* 0: now, for whoever keeps it */
    if ((err = only(r, o, names, "comment")) != OK
        || (err = read_text(r, json_object_get(o, "content"), "content", COMMENT_TEXT_MAX, &out->text)) != OK)
        return err;
    return read_text(r, json_object_get(o, "account"), "account", ACCOUNT_MAX, &out->account);
}

static enum err read_comments(struct reading *r, const json_t *list)
{
    size_t n = json_array_size(list);
    struct comment *comments = arena_take(r->a, (n + 1) * sizeof *comments);
    if (!json_is_array(list) || n > COMMENTS_MAX)
        return wrong(r, "comments is a list of up to %d", COMMENTS_MAX);
    if (comments == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        enum err err = read_comment(r, json_array_get(list, i), &comments[i]);
        if (err != OK)
            return err;
    }
    r->row->comments = comments;
    r->row->comments_n = n;
    return OK;
}

enum err rrjson_read(const json_t *o, const struct rrjson_options *how, struct arena *a, struct row *out, bool *has_records,
                     bool *has_comments, struct fault *fault)
{
    struct row row = { .n = 0 };
    struct reading r = { .how = how, .a = a, .row = &row, .fault = fault };
    const json_t *records = json_object_get(o, "records"), *comments = json_object_get(o, "comments");
    enum err err;
    if (!json_is_object(o))
        return fault_set(fault, ERR_BAD, "an RRset is an object {\"name\": ..., \"type\": ..., ...}");
    if ((err = read_name(&r, json_object_get(o, "name"))) != OK || (err = read_type(&r, json_object_get(o, "type"))) != OK
        || (err = read_ttl(&r, json_object_get(o, "ttl"))) != OK
        || (records != NULL && (err = read_records(&r, records)) != OK)
        || (comments != NULL && (err = read_comments(&r, comments)) != OK))
        return err;
    *has_records = records != NULL;
    *has_comments = comments != NULL;
    *out = row;
    return OK;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */
/* Strings in quotes, with no more escapes than must be: clients compare such texts with what they sent. */
static enum err txt_content(struct bytes rdata, char *out, size_t cap)
{
    struct rd r = rd_over(rdata);
    size_t n = 0;
    while (!rd_done(&r) && !r.bad) {
        struct bytes s = rd_take(&r, rd_u8(&r));
        if (r.bad || cap - n < 4 * s.len + 4)
            return r.bad ? ERR_BAD : ERR_NOSPACE;
        n += (size_t)snprintf(out + n, cap - n, n > 0 ? " \"" : "\"");
        for (size_t i = 0; i < s.len; i++)
            n += (size_t)snprintf(out + n, cap - n, s.ptr[i] == '"' || s.ptr[i] == '\\' ? "\\%c"
                                  : s.ptr[i] < ' ' || s.ptr[i] > '~' ? "\\%03u" : "%c", s.ptr[i]);
        out[n++] = '"';
        out[n] = '\0';
    }
    return r.bad || n == 0 ? ERR_BAD : OK;
}

static uint64_t loc_cm(uint8_t size)                    /* RFC 1876 section 2: mantissa and power of ten */
{
    uint64_t cm = size >> 4;
    for (unsigned i = 0; i < (size & 15u); i++)
        cm *= 10;
    return cm;
}

static size_t loc_angle(char *out, size_t cap, uint32_t value, const char *way)
{
    int64_t ms = (int64_t)value - ((int64_t)1 << 31);
    uint64_t n = (uint64_t)(ms < 0 ? -ms : ms);
    return (size_t)snprintf(out, cap, "%u %u %u.%03u %c ", (unsigned)(n / 3600000), (unsigned)(n / 60000 % 60), (unsigned)(n / 1000 % 60),
                            (unsigned)(n % 1000), ms < 0 ? way[1] : way[0]);
}

/* A place with all its numbers, in centimetres: RFC 1876 lets them be left out, most servers do not. */
static enum err loc_content(struct bytes rdata, char *out, size_t cap)
{
    struct rd r = rd_over(rdata);
    uint8_t version = rd_u8(&r), size = rd_u8(&r), horizontal = rd_u8(&r), vertical = rd_u8(&r);
    uint32_t latitude = rd_u32(&r), longitude = rd_u32(&r);
    int64_t height = (int64_t)rd_u32(&r) - 10000000, metres = (height < 0 ? -height : height) / 100;
    size_t n = 0;
    if (!rd_done(&r) || version != 0 || cap < 160)
        return ERR_BAD;
    n += loc_angle(out, cap, latitude, "NS");
    n += loc_angle(out + n, cap - n, longitude, "EW");
    n += (size_t)snprintf(out + n, cap - n, "%s%d.%02dm", height < 0 ? "-" : "", (int)metres, (int)((height < 0 ? -height : height) % 100));
    const uint8_t sizes[] = { size, horizontal, vertical };
    for (size_t i = 0; i < 3; i++)
        n += (size_t)snprintf(out + n, cap - n, " %u.%02um", (unsigned)(loc_cm(sizes[i]) / 100), (unsigned)(loc_cm(sizes[i]) % 100));
    return OK;
}

enum err rrjson_content(uint16_t type, struct bytes rdata, char *out, size_t cap)
{
    if (type == TYPE_LOC && loc_content(rdata, out, cap) == OK)
        return OK;
    if (type == TYPE_TXT || type == TYPE_SPF)
        return txt_content(rdata, out, cap);
    static const uint8_t root[1] = { 0 };
    const struct zone_rr rr = { .owner = bytes_of(root, 1), .rdata = rdata, .type = type };
    enum err err = rr_to_text(&rr, out, cap, NULL);
    const char *from = out;
    for (int i = 0; i < 4 && err == OK; i++)            /* owner, TTL, class, type */
        err = (from = strchr(from, '\t')) != NULL ? (from++, OK) : ERR_BAD;
    if (err == OK)
        memmove(out, from, strlen(from) + 1);
    return err;
}

/* The content as a JSON string; what no text can say (it would be a fault of ours) as null. */
static json_t *content_json(uint16_t type, struct bytes rdata)
{
    size_t cap = 64 + 5 * rdata.len + NAME_TEXT_MAX;
    char *text = malloc(cap);
    json_t *v = text != NULL && rrjson_content(type, rdata, text, cap) == OK ? json_string(text) : NULL;
    free(text);
    return v != NULL ? v : json_null();
}

static json_t *name_json(struct bytes name)
{
    char text[NAME_TEXT_MAX];
    return json_string(name_text(text, sizeof text, name));
}

static json_t *type_json(uint16_t type)
{
    char text[RRTYPE_TEXT_MAX];
    return json_string(rrtype_text(text, type));
}

/* Text that a client gave, UTF-8 or not. */
static json_t *text_json(struct bytes text)
{
    json_t *v = json_stringn(text.len > 0 ? (const char *)text.ptr : "", text.len);
    return v != NULL ? v : json_string("?");
}

json_t *rrjson_object(const struct row *row)
{
    json_t *records = json_array(), *comments = json_array();
    for (size_t i = 0; i < row->n; i++)
        (void)json_array_append_new(records, json_pack("{s:o,s:b}", "content", content_json(row->type, row->rr[i].rdata),
                                                       "disabled", (int)row->rr[i].disabled));
    for (size_t i = 0; i < row->comments_n; i++)
        (void)json_array_append_new(comments, json_pack("{s:o,s:o,s:I}", "content", text_json(row->comments[i].text), "account",
                                                        text_json(row->comments[i].account), "modified_at",
                                                        (json_int_t)row->comments[i].modified_s));
    return json_pack("{s:o,s:o,s:I,s:o,s:o}", "name", name_json(row->owner), "type", type_json(row->type), "ttl",
                     (json_int_t)row->ttl, "records", records, "comments", comments);
}

static json_t *side_json(uint16_t type, const struct patch_rrset *side)
{
    json_t *records = json_array();
    if (side->n == 0) {
        json_decref(records);
        return json_null();
    }
    for (size_t i = 0; i < side->n; i++)
        (void)json_array_append_new(records, content_json(type, side->rdata[i]));
    return json_pack("{s:I,s:o}", "ttl", (json_int_t)side->ttl, "records", records);
}

json_t *rrjson_change(const struct rrset_change *c)
{
    return json_pack("{s:o,s:o,s:o,s:o}", "name", name_json(c->owner), "type", type_json(c->type), "before",
                     side_json(c->type, &c->before), "after", side_json(c->type, &c->after));
}
