/* azoth rrset: RRsets of a zone, through the core's API. */
#include "base/text.h"
#include "builder/words.h"
#include "tools/terminal.h"
#include "tools/verbs.h"
#include "tools/zone_parts.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

const struct option_spec rrset_options[] = {
    OPTION("zone", "ZONE", OPTION_TEXT, zone, "the zone; then NAME may be relative to it, @ is its apex"),
    OPTION("comment", "TEXT", OPTION_TEXT, comment, "set, add: the RRset's comment"),
    EDIT_OPTION_ROWS,
    OPTION_END,
};

struct wanted {
    const char *what;
    struct name owner, zone;
    const char *ttl, *type;             /* NULL: not given */
    const char *const *rdata;
    size_t n;
};

/* --- arguments ------------------------------------------------------------------------------------------------------- */
/* NAME [TTL] [TYPE] [RDATA]...: what begins with a digit is no type. */
static void take_words(const struct options *o, bool with_ttl, struct wanted *w)
{
    size_t at = 2;
    if (with_ttl && at < o->args_n && isdigit((unsigned char)o->args[at][0]))
        w->ttl = o->args[at++];
    if (at < o->args_n)
        w->type = o->args[at++];
    w->rdata = o->args + at;
    w->n = o->args_n - at;
}

/* Under the zone of --zone a name without final dot that does not end in the zone's own is relative to it. */
static int take_owner(const struct options *o, struct wanted *w)
{
    const char *text = o->args[1];
    if (o->zone == NULL)
        return tool_zone_name(w->what, text, &w->owner);
    int code = tool_zone_name(w->what, o->zone, &w->zone);
    if (code == EXIT_FINE && strcmp(text, "@") != 0 && (code = tool_zone_name(w->what, text, &w->owner)) != EXIT_FINE)
        return code;
    if (code != EXIT_FINE || (strcmp(text, "@") != 0 && name_under(name_bytes(&w->owner), name_bytes(&w->zone))))
        return code;
    if (name_from_text(bytes_of_text(text), name_bytes(&w->zone), &w->owner) != OK)
        return tool_fail(EXIT_USAGE, "%s: '%.200s' is no domain name", w->what, text);
    name_lower(w->owner.wire, w->owner.len);
    return name_under(name_bytes(&w->owner), name_bytes(&w->zone)) ? EXIT_FINE
         : tool_fail(EXIT_USAGE, "%s: %.200s is not in the zone %.200s", w->what, text, o->zone);
}

/* Asks the core for the owner's ancestors until one is a zone. The DS of a zone stands in the one above. */
static int find_zone(struct client *c, const struct options *o, struct wanted *w)
{
    bool above = w->type != NULL && strcasecmp(w->type, "DS") == 0;
    char path[ZONE_PATH_MAX];
    if (o->zone != NULL)
        return EXIT_FINE;
    for (struct bytes at = above ? name_parent(name_bytes(&w->owner)) : name_bytes(&w->owner);; at = name_parent(at)) {
        json_t *reply = NULL;
        memcpy(w->zone.wire, at.ptr, at.len);
        w->zone.len = (uint8_t)at.len;
        tool_zone_path(path, &w->zone, "");
        int code = client_json_call(c, w->what, CLIENT_GET, path, NULL, 404, &reply);
        bool found = reply != NULL;
        json_decref(reply);
        if (code != EXIT_FINE || found)
            return code;
        if (at.len == 1)
            return tool_fail(EXIT_DATA, "%s: the core has no zone that %.200s is in", w->what, o->args[1]);
    }
}

/* --- records --------------------------------------------------------------------------------------------------------- */
static bool is_type(const char *type, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcasecmp(type, *names) == 0)
            return true;
    return false;
}

/* A TXT record that was given without quotes is its text: in pieces of 255 bytes, quoted. Owned by caller (free). */
static char *quoted(const char *text)
{
    size_t len = strlen(text), n = 0;
    char *out = malloc(4 * len + 3 * (len / 255 + 1) + 3);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < len || i == 0; i++) {
        unsigned char c = (unsigned char)text[i];
        if (i % 255 == 0) {
            memcpy(out + n, i > 0 ? "\" \"" : "\"", i > 0 ? 3 : 1);
            n += i > 0 ? 3 : 1;
        }
        if (i == len)                   /* an empty text is one empty piece */
            break;
        if (c == '"' || c == '\\')
            out[n++] = '\\';
        if (c >= ' ' && c < 0x7f)
            out[n++] = (char)c;
        else
            n += (size_t)sprintf(out + n, "\\%03u", c);
    }
    memcpy(out + n, "\"", 2);
    return out;
}

/* Records that end in a name. */
static int check_name(const struct wanted *w, const char *rdata)
{
    static const char *const types[] = { "NS", "CNAME", "DNAME", "PTR", "MX", "SRV", NULL };
    const char *last = strrchr(rdata, ' ');
    if (!is_type(w->type, types))
        return EXIT_FINE;
    if (!text_is_ascii(bytes_of_text(rdata)))
        return tool_fail(EXIT_USAGE, "%s: '%.200s' is not ASCII: give names as DNS has them (xn--...; idn2 shows it)", w->what, rdata);
    tool_note_relative(w->what, last != NULL ? last + 1 : rdata);
    return EXIT_FINE;
}

static int put_record(const struct wanted *w, const char *rdata, json_t *records)
{
    static const char *const texts[] = { "TXT", "SPF", NULL };
    static const char *const fields[] = { "MX", "SRV", "CAA", "DS", "TLSA", "SSHFP", "NAPTR", "SOA", "SVCB", "HTTPS", "URI", NULL };
    char *text = is_type(w->type, texts) && rdata[0] != '"' ? quoted(rdata) : strdup(rdata);
    if (text == NULL)
        return tool_fail(EXIT_USAGE, "out of memory");
    json_t *content = json_string(text);
    int code = EXIT_FINE;
    if (is_type(w->type, fields) && strpbrk(rdata, " \t") == NULL)
        code = tool_fail(EXIT_USAGE, "%s: '%.100s' is no whole %s record: each record is one argument, quoted for the shell "
                         "(see azoth help rrset)", w->what, rdata, w->type);
    else if (content == NULL)
        code = tool_fail(EXIT_USAGE, "%s: a record is not UTF-8", w->what);
    else
        (void)json_array_append_new(records, json_pack("{s:O}", "content", content));
    if (code == EXIT_FINE)
        code = check_name(w, text);
    json_decref(content);
    free(text);
    return code;
}

static int put_ttl(const struct wanted *w, json_t *rrset)
{
    struct token word = { .text = bytes_of_text(w->ttl != NULL ? w->ttl : "") };
    uint32_t ttl;
    if (w->ttl == NULL)
        return EXIT_FINE;
    if (word_period(&word, &ttl) != NULL || ttl > INT32_MAX)        /* a zone file's TTL of more would be 0 */
        return tool_fail(EXIT_USAGE, "%s: '%.100s' is no TTL such as 300 or 1h30m", w->what, w->ttl);
    (void)json_object_set_new(rrset, "ttl", json_integer(ttl));
    return EXIT_FINE;
}

/* {"rrsets": [one]} as text, owned by caller (free). */
static int make_body(const struct options *o, const struct wanted *w, const char *change, char **out)
{
    char owner[NAME_TEXT_MAX], type[32];
    size_t n = 0;
    for (; w->type[n] != '\0' && n < sizeof type - 1; n++)
        type[n] = (char)toupper((unsigned char)w->type[n]);
    type[n] = '\0';
    json_t *records = json_array();
    json_t *rrset = json_pack("{s:s,s:s,s:s}", "name", name_text(owner, sizeof owner, name_bytes(&w->owner)), "type", type, "change",
                              change);
    int code = rrset == NULL ? tool_fail(EXIT_USAGE, "%s: '%.30s' is no type", w->what, w->type) : put_ttl(w, rrset);
    for (size_t i = 0; i < w->n && code == EXIT_FINE; i++)
        code = put_record(w, w->rdata[i], records);
    if (code == EXIT_FINE && w->n > 0)
        (void)json_object_set(rrset, "records", records);
    if (code == EXIT_FINE && o->comment != NULL) {
        json_t *comment = json_pack("[{s:s,s:s}]", "content", o->comment, "account", "");
        code = comment == NULL ? tool_fail(EXIT_USAGE, "%s: --comment is not UTF-8", w->what) : EXIT_FINE;
        (void)json_object_set_new(rrset, "comments", comment);
    }
    json_t *body = code == EXIT_FINE ? json_pack("{s:[O]}", "rrsets", rrset) : NULL;
    *out = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    json_decref(rrset);
    json_decref(records);
    return code == EXIT_FINE && *out == NULL ? tool_fail(EXIT_USAGE, "out of memory") : code;
}

/* --- changes --------------------------------------------------------------------------------------------------------- */
static int send_change(struct editor *ed, struct wanted *w, const char *change, enum edit_ask ask)
{
    char path[ZONE_PATH_MAX], about[NAME_TEXT_MAX + 40], owner[NAME_TEXT_MAX], *body = NULL;
    json_t *reply = NULL;
    int code = make_body(ed->o, w, change, &body);
    if (code == EXIT_FINE)
        code = find_zone(ed->client, ed->o, w);
    if (code == EXIT_FINE) {
        tool_zone_path(path, &w->zone, "/rrsets");
        (void)snprintf(about, sizeof about, "%s %.30s", name_text(owner, sizeof owner, name_bytes(&w->owner)), w->type);
        code = edit_make(ed, &(struct edit){ .what = w->what, .about = about, .method = CLIENT_PATCH, .path = path,
                                             .body = bytes_of_text(body), .ask = ask }, &reply);
    }
    bool gone_before = strcmp(w->what, "rrset delete") == 0 && json_is_false(json_object_get(reply, "changed"));
    if (code == EXIT_FINE && gone_before)
        code = tool_fail(EXIT_DATA, "%s: %s: there is no such %s", w->what, about, w->n > 0 ? "record" : "RRset");
    else if (code == EXIT_FINE && reply != NULL)
        code = edit_tell(ed, w->what, reply);
    json_decref(reply);
    free(body);
    return code;
}

static int change(const struct options *o, struct wanted *w, const char *kind, enum edit_ask ask)
{
    struct editor ed = { 0 };
    int code = take_owner(o, w);
    if (code == EXIT_FINE)
        code = edit_open(&ed, w->what, o);
    if (code == EXIT_FINE)
        code = send_change(&ed, w, kind, ask);
    edit_close(&ed);
    return code;
}

static int needs_records(const struct wanted *w)
{
    return w->type != NULL && w->n > 0 ? EXIT_FINE
         : tool_fail(EXIT_USAGE, "%s: an argument is missing: azoth %s NAME [TTL] TYPE RDATA... (see azoth help rrset)", w->what, w->what);
}

static int rrset_set(const struct options *o)
{
    struct wanted w = { .what = "rrset set" };
    take_words(o, true, &w);
    int code = needs_records(&w);
    return code == EXIT_FINE ? change(o, &w, "replace", EDIT_ASK_LOSS) : code;
}

static int rrset_add(const struct options *o)
{
    struct wanted w = { .what = "rrset add" };
    take_words(o, true, &w);
    int code = needs_records(&w);
    return code == EXIT_FINE ? change(o, &w, "add", EDIT_ASK_NEVER) : code;
}

static int rrset_delete(const struct options *o)
{
    struct wanted w = { .what = "rrset delete" };
    take_words(o, false, &w);
    return change(o, &w, w.n > 0 ? "remove" : "delete", EDIT_ASK_MANY);
}

/* --- get ------------------------------------------------------------------------------------------------------------- */
static void print_rrset(const json_t *rrset)
{
    const json_t *r;
    size_t i;
    json_array_foreach(json_object_get(rrset, "comments"), i, r) {
        (void)fputs("; ", stdout);
        terminal_text(stdout, tool_member(r, "content"));
        (void)fputc('\n', stdout);
    }
    json_array_foreach(json_object_get(rrset, "records"), i, r) {
        if (json_is_true(json_object_get(r, "disabled")))
            (void)fputs("; disabled: ", stdout);
        terminal_text(stdout, tool_member(rrset, "name"));
        (void)printf(" %" JSON_INTEGER_FORMAT " IN ", json_integer_value(json_object_get(rrset, "ttl")));
        terminal_text(stdout, tool_member(rrset, "type"));
        (void)fputc(' ', stdout);
        terminal_text(stdout, tool_member(r, "content"));
        (void)fputc('\n', stdout);
    }
}

static int print_rrsets(const struct options *o, const struct wanted *w, const json_t *reply)
{
    const json_t *list = json_object_get(reply, "rrsets"), *rrset;
    int code = EXIT_FINE;
    size_t i;
    if (json_array_size(list) == 0)
        return tool_fail(EXIT_DATA, "%s: there is no such RRset: %.200s%s%.30s", w->what, o->args[1], w->type != NULL ? " " : "",
                         w->type != NULL ? w->type : "");
    json_array_foreach(list, i, rrset) {
        if (o->json && code == EXIT_FINE)
            code = client_json_print(rrset);
        else if (!o->json)
            print_rrset(rrset);
    }
    return code;
}

static int get_from(struct client *c, const struct options *o, struct wanted *w)
{
    char path[ZONE_PATH_MAX + 3 * NAME_TEXT_MAX + 200], owner[NAME_TEXT_MAX], encoded[3 * NAME_TEXT_MAX + 1], type[100] = "";
    json_t *reply = NULL;
    int code = find_zone(c, o, w);
    if (code != EXIT_FINE)
        return code;
    if (w->type != NULL && strlen(w->type) > 30)
        return tool_fail(EXIT_USAGE, "%s: '%.30s' is no type", w->what, w->type);
    if (w->type != NULL)
        client_percent(type, bytes_of_text(w->type));
    client_percent(encoded, bytes_of_text(name_text(owner, sizeof owner, name_bytes(&w->owner))));
    tool_zone_path(path, &w->zone, "/rrsets?name=");
    size_t n = strlen(path);
    (void)snprintf(path + n, sizeof path - n, "%s%s%s", encoded, type[0] != '\0' ? "&type=" : "", type);
    if ((code = client_json_call(c, w->what, CLIENT_GET, path, NULL, 0, &reply)) == EXIT_FINE)
        code = print_rrsets(o, w, reply);
    json_decref(reply);
    return code;
}

static int rrset_get(const struct options *o)
{
    struct wanted w = { .what = "rrset get" };
    struct client *client = NULL;
    take_words(o, false, &w);
    int code = take_owner(o, &w);
    if (code == EXIT_FINE)
        code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    if (code == EXIT_FINE)
        code = get_from(client, o, &w);
    client_close(client);
    return code;
}

/* --- which one ------------------------------------------------------------------------------------------------------- */
const struct verb rrset_verbs[] = {
    { "set", "NAME [TTL] TYPE RDATA...", 3, SIZE_MAX, EDIT_OPTIONS "zone comment ", rrset_set },
    { "add", "NAME [TTL] TYPE RDATA...", 3, SIZE_MAX, EDIT_OPTIONS "zone comment ", rrset_add },
    { "delete", "NAME TYPE [RDATA]...", 3, SIZE_MAX, EDIT_OPTIONS "zone ", rrset_delete },
    { "get", "NAME [TYPE]", 2, 3, " zone ", rrset_get },
    { NULL, NULL, 0, 0, NULL, NULL },
};

int cmd_rrset(const struct options *o)
{
    return verbs_run("rrset", rrset_options, rrset_verbs, o);
}
