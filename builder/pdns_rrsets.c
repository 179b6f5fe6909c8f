/* PowerDNS's API: RRsets that a client sends, with PowerDNS's words for what is wrong with them. */
#include "builder/pdns_parts.h"

#include "builder/rdata.h"
#include "builder/zonefile.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#define TTL_MAX 0x7fffffff              /* RFC 2181 section 8 */
#define RECORDS_MAX 65535
#define STRING_MAX 255
#define CONTENT_MAX ((size_t)400000)    /* 64 KiB of RDATA, each byte as \DDD */

/* --- members ---------------------------------------------------------------------------------------------------------- */
static bool read_ttl(struct pdns *p, const json_t *o, uint32_t *out)
{
    const json_t *v = json_object_get(o, "ttl");
    const char *text = json_string_value(v);
    char *end = NULL;
    json_int_t ttl = json_is_integer(v) ? json_integer_value(v) : -1;
    if (text != NULL && text[0] >= '0' && text[0] <= '9') {
        errno = 0;
        ttl = strtoll(text, &end, 10);
        if (errno != 0 || *end != '\0')
            ttl = -1;
    }
    if (v == NULL || (!json_is_integer(v) && end == NULL))
        (void)pdns_refuse(p, "Key 'ttl' not an Integer or not present");
    else if (ttl < 0 || ttl > TTL_MAX)
        (void)pdns_refuse(p, "Key 'ttl' is not from 0 to %d", TTL_MAX);
    else
        return *out = (uint32_t)ttl, true;
    return false;
}

static bool read_what(struct pdns *p, const json_t *o, enum pdns_what *out)
{
    static const char *const words[] = { [PDNS_REPLACE] = "REPLACE", [PDNS_DELETE] = "DELETE", [PDNS_EXTEND] = "EXTEND",
                                         [PDNS_PRUNE] = "PRUNE" };
    const char *text = pdns_string(p, o, "changetype");
    for (size_t i = 0; text != NULL && i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(words[i], text) == 0)
            return *out = (enum pdns_what)i, true;
    if (text != NULL)
        (void)pdns_refuse(p, "Changetype not understood");
    return false;
}

/* name, type: whose RRset it is. */
static bool read_key(struct pdns *p, const json_t *o, struct pdns_edit *e)
{
    struct arena *a = &p->c->arena;
    const char *text = pdns_string(p, o, "name"), *type;
    struct name name;
    if (text == NULL || !pdns_name(p, text, &name) || !pdns_name_letters(p, &name) || (type = pdns_string(p, o, "type")) == NULL)
        return false;
    e->row.owner = arena_copy(a, name_bytes(&name));
    e->name = pdns_text_of(a, name_bytes(&name));
    e->type = arena_text(a, type);
    if (e->row.owner.ptr == NULL || e->name == NULL || e->type == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    if (rrtype_from_text(bytes_of_text(type), &e->row.type) != OK)
        return (void)pdns_refuse(p, "RRset %s IN %s: unknown type given", e->name, type), false;
    if (!name_under(name_bytes(&name), name_bytes(&p->zone.row.apex)))
        return (void)pdns_refuse(p, "RRset %s IN %s: Name is out of zone", e->name, type), false;
    return true;
}

/* --- content ----------------------------------------------------------------------------------------------------------- */
/* Types whose text is the same here and there, so that a content can be held against what it was understood as. */
static bool has_one_text(uint16_t type)
{
    static const uint16_t types[] = { TYPE_A, TYPE_NS, TYPE_CNAME, TYPE_PTR, TYPE_MX, TYPE_SRV, TYPE_DNAME, TYPE_TXT, TYPE_SPF, TYPE_SOA };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i] == type)
            return true;
    return false;
}

static bool is_quoted_type(uint16_t type) { return type == TYPE_TXT || type == TYPE_SPF; }

/* Text that a zone file would cut off, or spread over lines. */
static bool is_one_line(const char *text)
{
    bool quoted = false;
    for (; *text != '\0'; text++) {
        if (*text == '\n' || *text == '\r' || (*text == ';' && !quoted))
            return false;
        if (*text == '\\' && text[1] != '\0')
            text++;
        else if (*text == '"')
            quoted = !quoted;
    }
    return !quoted;
}

/* Quoted strings of over 255 bytes (RFC 1035 section 3.3.14) as several. */
static const char *cut_strings(struct arena *a, const char *text)
{
    char *out = arena_take(a, strlen(text) + 3 * (strlen(text) / STRING_MAX) + 1), *at = out;
    bool quoted = false;
    for (size_t n = 0; *text != '\0' && out != NULL;) {
        size_t len = *text != '\\' || text[1] == '\0' ? 1 : strspn(text + 1, "0123456789") >= 3 ? 4 : 2;
        if (*text == '"') {
            quoted = !quoted;
            n = 0;
        } else if (quoted && n++ == STRING_MAX) {
            at = stpcpy(at, "\" \"");
            n = 1;
        }
        memcpy(at, text, len);
        at += len;
        text += len;
    }
    if (out != NULL)
        *at = '\0';
    return out;
}

/* The content as it was understood, when that is not what was sent. Long strings are cut in pieces by PowerDNS too, and it takes any
 * spelling of a string's bytes: both are let pass for quoted text. */
static bool read_back(struct pdns *p, const struct pdns_edit *e, const char *text, struct bytes rdata)
{
    size_t cap = 5 * rdata.len + NAME_TEXT_MAX;
    char *again = malloc(cap);
    bool same = again != NULL && rrjson_content(e->row.type, rdata, again, cap) == OK
                && (strcasecmp(again, text) == 0 || (is_quoted_type(e->row.type) && text[0] == '"'));
    if (!same && again != NULL)
        (void)pdns_refuse(p, "Record %s/%s '%s': Not in expected format (parsed as '%s')", e->name, e->type, text, again);
    else if (again == NULL)
        (void)pdns_failed(p, ERR_NOMEM, NULL);
    free(again);
    return same;
}

/* A name in it without its final dot would be taken as relative to something. */
static bool is_absolute(uint16_t type, const char *text, struct bytes rdata)
{
    static const uint8_t other[] = "\x09invalid-x";
    uint8_t again[RDATA_MAX];           /* not the call's memory: there may be a hundred thousand of them */
    struct wr w = wr_over(again, sizeof again);
    return rdata_from_text(type, bytes_of_text(text), bytes_of(other, sizeof other), &w, NULL) == OK
           && bytes_equal(wr_done(&w), rdata);
}

static bool content_wrong(struct pdns *p, const struct pdns_edit *e, const char *text, const char *why)
{
    if (e->row.type == TYPE_AAAA)
        (void)pdns_refuse(p, "Record %s/%s '%s': Invalid IPv6 address", e->name, e->type, text);
    else
        (void)pdns_refuse(p, "Record %s/%s '%s': Parsing record content: %s", e->name, e->type, text, why);
    return false;
}

static bool read_content(struct pdns *p, const json_t *o, const struct pdns_edit *e, struct bytes *out)
{
    static const uint8_t root[1] = { 0 };
    uint8_t rdata[RDATA_MAX];
    struct wr w = wr_over(rdata, sizeof rdata);
    struct fault why = { "" };
    const char *text = pdns_string(p, o, "content");
    if (text == NULL)
        return false;
    if (strlen(text) > CONTENT_MAX || !is_one_line(text))
        return content_wrong(p, e, strlen(text) > CONTENT_MAX ? "..." : text,
                             strlen(text) > CONTENT_MAX ? "too long" : "a quote that does not end, a line end, or a ; outside of quotes");
    const char *cut = is_quoted_type(e->row.type) ? cut_strings(&p->c->arena, text) : text;
    if (cut == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    enum err err = rdata_from_text(e->row.type, bytes_of_text(cut), bytes_of(root, 1), &w, &why);
    if (err != OK)
        return content_wrong(p, e, text, fault_text(&why, err));
    if (has_one_text(e->row.type)) {
        if (!read_back(p, e, text, wr_done(&w)))
            return false;
    } else if (!is_absolute(e->row.type, text, wr_done(&w))) {
        return content_wrong(p, e, text, "a name has no final dot");
    }
    *out = arena_copy(&p->c->arena, wr_done(&w));
    if (out->ptr == NULL && w.len > 0)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    return true;
}

static bool read_record(struct pdns *p, const json_t *o, const struct pdns_edit *e, struct row_rr *out)
{
    const json_t *disabled = json_object_get(o, "disabled");
    if (!read_content(p, o, e, &out->rdata))
        return false;
    out->disabled = json_is_true(disabled);
    if (disabled == NULL || json_is_null(disabled) || json_is_boolean(disabled))
        return true;
    (void)pdns_refuse(p, "Key 'disabled' not present or not a Bool");
    return false;
}

static bool read_records(struct pdns *p, const json_t *o, struct pdns_edit *e)
{
    const json_t *list = json_object_get(o, "records");
    size_t n = json_array_size(list);
    struct row_rr *rr = arena_take(&p->c->arena, (n + 1) * sizeof *rr);
    if (rr == NULL || n > RECORDS_MAX)
        return (void)pdns_refuse(p, "RRset %s IN %s has too many records", e->name, e->type), false;
    for (size_t i = 0; i < n; i++)
        if (!read_record(p, json_array_get(list, i), e, &rr[i]))
            return false;
    e->row.rr = rr;
    e->row.n = n;
    if (e->row.type == TYPE_RRSIG && n > 0) {
        struct rd rd = rd_over(rr[0].rdata);
        e->row.covers = rd_u16(&rd);
    }
    return true;
}

/* --- comments ---------------------------------------------------------------------------------------------------------- */
static bool read_comment(struct pdns *p, const json_t *o, struct comment *out)
{
    const char *text = pdns_string(p, o, "content"), *account = text != NULL ? pdns_string(p, o, "account") : NULL;
    const json_t *modified = json_object_get(o, "modified_at");
    if (account == NULL)
        return false;
    *out = (struct comment){ .text = arena_copy(&p->c->arena, bytes_of_text(text)),
                             .account = arena_copy(&p->c->arena, bytes_of_text(account)) };
    if (json_is_integer(modified) && json_integer_value(modified) > 0)
        out->modified_s = (uint64_t)json_integer_value(modified);       /* 0: now, for whoever keeps it */
    return true;
}

static bool read_comments(struct pdns *p, const json_t *o, struct pdns_edit *e)
{
    const json_t *list = json_object_get(o, "comments");
    size_t n = json_array_size(list);
    struct comment *comments = arena_take(&p->c->arena, (n + 1) * sizeof *comments);
    if (comments == NULL || n > RECORDS_MAX)
        return (void)pdns_refuse(p, "RRset %s IN %s has too many comments", e->name, e->type), false;
    for (size_t i = 0; i < n; i++)
        if (!read_comment(p, json_array_get(list, i), &comments[i]))
            return false;
    e->row.comments = comments;
    e->row.comments_n = n;
    return true;
}

/* --- one RRset ---------------------------------------------------------------------------------------------------------- */
bool pdns_rrset_read(struct pdns *p, const json_t *o, bool create, struct pdns_edit *out)
{
    *out = (struct pdns_edit){ .what = PDNS_REPLACE };
    if ((!create && !read_what(p, o, &out->what)) || !read_key(p, o, out))
        return false;
    if (out->what == PDNS_DELETE)
        return true;
    out->records = json_is_array(json_object_get(o, "records"));
    out->comments = json_is_array(json_object_get(o, "comments"));
    if (!create && !out->records && !out->comments)
        return (void)pdns_refuse(p, "No change for RRset %s IN %s", out->name, out->type), false;
    if (out->records && (!read_ttl(p, o, &out->row.ttl) || !read_records(p, o, out)))
        return false;
    return !out->comments || read_comments(p, o, out);
}

static int by_rdata(const void *a, const void *b)
{
    return bytes_compare((*(const struct row_rr *const *)a)->rdata, (*(const struct row_rr *const *)b)->rdata);
}

static bool no_doubles(struct pdns *p, const struct pdns_edit *e)
{
    const struct row_rr **v = arena_take(&p->c->arena, (e->row.n + 1) * sizeof(const struct row_rr *));
    char text[NAME_TEXT_MAX];
    if (v == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    for (size_t i = 0; i < e->row.n; i++)
        v[i] = &e->row.rr[i];
    qsort(v, e->row.n, sizeof(const struct row_rr *), by_rdata);
    for (size_t i = 1; i < e->row.n; i++)
        if (bytes_equal(v[i]->rdata, v[i - 1]->rdata)) {
            if (rrjson_content(e->row.type, v[i]->rdata, text, sizeof text) != OK)
                text[0] = '\0';
            size_t len = strlen(text);
            if (len > 1 && text[len - 1] == '.')
                text[len - 1] = '\0';
            (void)pdns_refuse(p, "Duplicate record in RRset %s IN %s with content \"%s\"", e->name, e->type, text);
            return false;
        }
    return true;
}

bool pdns_rrset_check(struct pdns *p, const struct pdns_edit *e)
{
    uint16_t type = e->row.type;
    bool apex = name_equal(e->row.owner, name_bytes(&p->zone.row.apex));
    if (e->row.n > 1 && (type == TYPE_CNAME || type == TYPE_SOA || type == TYPE_DNAME))
        (void)pdns_refuse(p, "RRset %s IN %s has more than one record", e->name, e->type);
    else if (e->row.n > 0 && !apex && (type == TYPE_SOA || type == TYPE_DNSKEY))
        (void)pdns_refuse(p, "Record %s IN %s is only allowed at apex", e->name, e->type);
    else
        return no_doubles(p, e);
    return false;
}
