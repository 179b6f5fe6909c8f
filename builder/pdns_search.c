/* PowerDNS's API: search: zones, records and comments whose name or content fits a pattern of * and ?. */
#include "builder/pdns_parts.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

#define DEFAULT_MOST 100
#define MOST_MAX 100000

enum { ZONES = 1, RECORDS = 2, COMMENTS = 4, ALL = 7 };
struct search {
    struct pdns *p;
    const struct api_work *w;
    struct source_txn *t;
    const char *pattern;
    unsigned what;
    uint64_t left;
    json_t *list;
    const char *zone, *id;              /* at hand */
    unsigned pass;                      /* records first, then comments */
};

/* Case does not count. Linear in the text for each *, without going back over more than the last one. */
static bool fits(const char *pattern, const char *text)
{
    const char *star = NULL, *again = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            again = text;
        } else if (*pattern == '?' || (*pattern != '\0' && tolower((unsigned char)*pattern) == tolower((unsigned char)*text))) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* A name fits with its final dot and without it. */
static bool name_fits(const struct search *s, const char *text)
{
    char plain[NAME_TEXT_MAX];
    size_t len = strlen(text);
    if (fits(s->pattern, text))
        return true;
    if (len < 2 || len >= sizeof plain || text[len - 1] != '.')
        return false;
    memcpy(plain, text, len - 1);
    plain[len - 1] = '\0';
    return fits(s->pattern, plain);
}

static bool put(struct search *s, json_t *o)
{
    if (s->left == 0 || o == NULL) {
        json_decref(o);
        return false;
    }
    s->left--;
    return json_array_append_new(s->list, o) == 0;
}

static bool more(const struct search *s)
{
    return s->left > 0 && !atomic_load(s->w->stop);
}

/* --- in one zone ------------------------------------------------------------------------------------------------------------ */
static json_t *found(const struct search *s, const char *kind, const json_t *rrset, const json_t *content)
{
    return json_pack("{s:s,s:O,s:O,s:O,s:s,s:s}", "object_type", kind, "name", json_object_get(rrset, "name"), "type",
                     json_object_get(rrset, "type"), "content", (json_t *)(uintptr_t)content, "zone", s->zone, "zone_id", s->id);
}

static bool search_records(struct search *s, const json_t *rrset, bool by_name)
{
    json_t *records = json_object_get(rrset, "records");
    for (size_t i = 0; i < json_array_size(records) && more(s); i++) {
        const json_t *r = json_array_get(records, i), *content = json_object_get(r, "content");
        const char *text = json_string_value(content);
        if (!by_name && (text == NULL || !name_fits(s, text)))
            continue;
        json_t *o = found(s, "record", rrset, content);
        (void)json_object_set(o, "disabled", json_object_get(r, "disabled"));
        (void)json_object_set(o, "ttl", json_object_get(rrset, "ttl"));
        (void)put(s, o);
    }
    return more(s);
}

static bool search_comments(struct search *s, const json_t *rrset, bool by_name)
{
    json_t *comments = json_object_get(rrset, "comments");
    for (size_t i = 0; i < json_array_size(comments) && more(s); i++) {
        const json_t *content = json_object_get(json_array_get(comments, i), "content");
        const char *text = json_string_value(content);
        if (by_name || (text != NULL && fits(s->pattern, text)))
            (void)put(s, found(s, "comment", rrset, content));
    }
    return more(s);
}

static bool on_row(void *arg, const struct row *row)
{
    struct search *s = arg;
    char name[NAME_TEXT_MAX];
    if (s->pass == COMMENTS && row->comments_n == 0)
        return more(s);
    bool by_name = name_fits(s, name_text(name, sizeof name, row->owner));
    json_t *rrset = rrjson_object(row);
    if (rrset == NULL)
        return false;
    bool on = s->pass == RECORDS ? search_records(s, rrset, by_name) : search_comments(s, rrset, by_name);
    json_decref(rrset);
    return on;
}

static enum err search_zone(struct search *s, const struct pdns_zone *z, struct fault *fault)
{
    struct arena *a = &s->p->c->arena;
    s->zone = pdns_text_of(a, name_bytes(&z->row.apex));
    s->id = pdns_id_of(a, name_bytes(&z->row.apex));
    if (s->zone == NULL || s->id == NULL)
        return ERR_NOMEM;
    if (s->pass != ZONES)
        return pdns_rows(z, s->t, s->w->view, bytes_of(NULL, 0), on_row, s, fault);
    if (name_fits(s, s->zone))
        (void)put(s, json_pack("{s:s,s:s,s:s}", "object_type", "zone", "name", s->zone, "zone_id", s->id));
    return OK;
}

/* --- in all ------------------------------------------------------------------------------------------------------------------ */
static bool on_zone(void *arg, const struct pdns_zone *z, enum err *err, struct fault *fault)
{
    struct search *s = arg;
    *err = search_zone(s, z, fault);
    return *err == OK && more(s);
}

static enum err search_all(struct search *s, struct fault *fault)
{
    enum err err = OK;
    for (s->pass = ZONES; s->pass <= COMMENTS && err == OK && more(s); s->pass <<= 1)
        if ((s->what & s->pass) != 0)
            err = pdns_each_zone(s->p, s->w, on_zone, s, fault);
    return err;
}

static bool read_what(struct pdns *p, unsigned *out)
{
    static const struct { const char *word; unsigned what; } words[] = {
        { "all", ALL }, { "zone", ZONES }, { "record", RECORDS }, { "comment", COMMENTS },
    };
    const char *text = pdns_param(p, "object_type");
    *out = ALL;
    if (text == NULL || text[0] == '\0')
        return true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].word, text) == 0)
            return *out = words[i].what, true;
    (void)pdns_refuse(p, "object_type must be one of the following options: all, zone, record, comment");
    return false;
}

enum api_next pdns_search(struct pdns *p, const struct api_work *w)
{
    struct search s = { .p = p, .w = w, .pattern = pdns_param(p, "q"), .left = DEFAULT_MOST };
    const char *most = pdns_param(p, "max");
    struct fault fault = { "" };
    if (s.pattern == NULL || s.pattern[0] == '\0')
        return pdns_refuse(p, "Query q can't be blank");
    if (most != NULL && most[0] != '\0' && text_number(most, MOST_MAX, &s.left) != OK)
        return pdns_refuse(p, "Maximum entries must be a number up to %d", MOST_MAX);
    if (s.left == 0)
        return pdns_refuse(p, "Maximum entries must be larger than 0");
    if (!read_what(p, &s.what))
        return API_REPLY;
    if ((s.t = pdns_txn(p, w, &fault)) == NULL)
        return pdns_failed(p, ERR_STORE, &fault);
    s.list = json_array();
    enum err err = search_all(&s, &fault);
    if (err == OK)
        return pdns_reply(p, 200, s.list);
    json_decref(s.list);
    return pdns_failed(p, err, &fault);
}
