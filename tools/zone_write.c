/* azoth zone add, import, remove, set, rebuild. */
#include "tools/zone_parts.h"

#include "tools/kv_parts.h"

#include <stdlib.h>

/* --- settings -------------------------------------------------------------------------------------------------------- */
/* ADDRESS[@PORT][/KEY] */
static json_t *primary_json(const char *text, const char *key)
{
    const char *slash = strchr(text, '/');
    json_t *p = json_object();
    (void)json_object_set_new(p, "address", json_stringn(text, slash != NULL ? (size_t)(slash - text) : strlen(text)));
    if (slash != NULL || key != NULL)
        (void)json_object_set_new(p, "tsig", json_string(slash != NULL ? slash + 1 : key));
    return p;
}

/* ADDRESS[@PORT][/KEY], as the API has it: "ADDRESS key:NAME". */
static json_t *target_json(const char *text)
{
    const char *slash = strchr(text, '/');
    return slash == NULL ? json_string(text) : json_sprintf("%.*s key:%s", (int)(slash - text), text, slash + 1);
}

/* The words between commas. */
static json_t *list_json(const char *text, json_t *(*element)(const char *text))
{
    json_t *list = json_array();
    for (size_t len; *text != '\0'; text += len + (text[len] == ',')) {
        len = strcspn(text, ",");
        char *word = strndup(text, len);
        if (word != NULL && len > 0)
            (void)json_array_append_new(list, element(word));
        free(word);
    }
    return list;
}

static json_t *primary_alone(const char *text) { return primary_json(text, NULL); }

static const struct { const char *setting; json_t *(*element)(const char *text); } lists[] = {
    { "update_acl", json_string }, { "transfer_acl", json_string }, { "notify", target_json }, { "primaries", primary_alone },
};

static json_t *value_json(const char *setting, const char *value)
{
    if (value[0] == '\0')
        return json_null();
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (strcmp(setting, lists[i].setting) == 0)
            return list_json(value, lists[i].element);
    json_t *object = strcmp(setting, "catalog") == 0 ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    return object != NULL ? object : json_string(value);
}

/* SETTING=VALUE into body; an empty value puts the default back. Which settings there are is the core's to know. */
static int take_setting(json_t *body, const char *word)
{
    const char *equals = strchr(word, '=');
    if (equals == NULL || equals == word)
        return tool_fail(EXIT_USAGE, "zone set: '%.100s' is not SETTING=VALUE", word);
    char *name = strndup(word, (size_t)(equals - word));
    if (name == NULL)
        return tool_fail(EXIT_USAGE, "out of memory");
    const char *value = equals + 1;
    json_t *v = value_json(name, value);
    int code = EXIT_FINE;
    if (json_object_get(body, name) != NULL)
        code = tool_fail(EXIT_USAGE, "zone set: %.100s is given twice", name);
    else if (v == NULL)
        code = tool_fail(EXIT_USAGE, "zone set: the value of %.100s is not UTF-8", name);
    else
        (void)json_object_set(body, name, v);
    json_decref(v);
    free(name);
    return code;
}

/* The body as text, owned by caller (free); body is taken. */
static int body_text(json_t *body, char **out)
{
    *out = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return *out != NULL ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
}

int cmd_zone_set(const struct options *o)
{
    char path[ZONE_PATH_MAX], *text = NULL;
    json_t *body = json_object();
    int code = tool_zone_path_of("zone set", o->args[1], "", path);
    for (size_t i = 2; i < o->args_n && code == EXIT_FINE; i++)
        code = take_setting(body, o->args[i]);
    if (code != EXIT_FINE) {
        json_decref(body);
        return code;
    }
    if ((code = body_text(body, &text)) == EXIT_FINE)
        code = edit_run(o, &(struct edit){ .what = "zone set", .about = o->args[1], .method = CLIENT_PATCH, .path = path,
                                           .body = bytes_of_text(text), .ask = EDIT_ASK_NEVER });
    free(text);
    return code;
}

/* --- whole zones ----------------------------------------------------------------------------------------------------- */
/* rest: what stands behind /import. */
static int send_file(const struct options *o, const char *what, const char *file, const char *rest, enum edit_ask ask, int hint_status,
                     const char *hint)
{
    char path[ZONE_PATH_MAX];
    struct bytes text = { 0 };
    int code = tool_zone_path_of(what, o->args[1], rest, path);
    if (code == EXIT_FINE)
        code = kv_read_all(file, ZONE_FILE_MAX, &text);
    if (code == EXIT_FINE)
        code = edit_run(o, &(struct edit){ .what = what, .about = o->args[1], .method = CLIENT_POST, .path = path, .body = text,
                                           .file = strcmp(file, "-") == 0 ? "stdin" : file, .ask = ask, .whole = true,
                                           .hint_status = hint_status, .hint = hint });
    free((void *)(uintptr_t)text.ptr);
    return code;
}

int cmd_zone_import(const struct options *o)
{
    return send_file(o, "zone import", o->args[2], "/import", EDIT_ASK_SHOW, 404, "a new zone is made by: azoth zone add NAME --file FILE");
}

static int plain(const struct options *o, const char *what, enum client_method method, const char *rest, enum edit_ask ask)
{
    char path[ZONE_PATH_MAX];
    int code = tool_zone_path_of(what, o->args[1], rest, path);
    return code != EXIT_FINE ? code : edit_run(o, &(struct edit){ .what = what, .about = o->args[1], .method = method,
                                                                  .path = path, .ask = ask, .whole = true });
}

int cmd_zone_remove(const struct options *o)
{
    return plain(o, "zone remove", CLIENT_DELETE, "", EDIT_ASK_ALWAYS);
}

int cmd_zone_rebuild(const struct options *o)
{
    return plain(o, "zone rebuild", CLIENT_POST, "/rebuild", EDIT_ASK_NEVER);
}

/* --- a new zone ------------------------------------------------------------------------------------------------------ */
static int check_add(const struct options *o)
{
    bool secondary = o->kind != NULL && strcmp(o->kind, "secondary") == 0;
    if (o->kind != NULL && !secondary && strcmp(o->kind, "native") != 0)
        return tool_fail(EXIT_USAGE, "zone add: --kind is native or secondary");
    if (secondary && o->primaries.n == 0)
        return tool_fail(EXIT_USAGE, "zone add: a secondary zone needs --primary ADDRESS[@PORT]");
    if (secondary && (o->nameservers.n > 0 || o->file != NULL))
        return tool_fail(EXIT_USAGE, "zone add: the records of a secondary zone come from its primary: no --ns, no --file");
    if (!secondary && (o->primaries.n > 0 || o->tsig != NULL || o->catalog))
        return tool_fail(EXIT_USAGE, "zone add: --primary, --tsig and --catalog are for --kind secondary");
    if (!secondary && (o->nameservers.n == 0) == (o->file == NULL))
        return tool_fail(EXIT_USAGE, "zone add: give --ns NAME, once or more, or --file FILE");
    return EXIT_FINE;
}

static json_t *add_body(const struct options *o, const char *name)
{
    json_t *body = json_pack("{s:s,s:s}", "name", name, "kind", o->kind != NULL ? o->kind : "native");
    json_t *servers = json_array(), *primaries = json_array();
    for (size_t i = 0; i < o->nameservers.n; i++) {
        tool_note_relative("zone add", o->nameservers.v[i]);
        (void)json_array_append_new(servers, json_string(o->nameservers.v[i]));
    }
    for (size_t i = 0; i < o->primaries.n; i++)
        (void)json_array_append_new(primaries, primary_json(o->primaries.v[i], o->tsig));
    if (json_array_size(servers) > 0)
        (void)json_object_set(body, "nameservers", servers);
    if (json_array_size(primaries) > 0)
        (void)json_object_set(body, "primaries", primaries);
    if (o->catalog)
        (void)json_object_set_new(body, "catalog", json_true());
    if (o->serial != NULL)
        (void)json_object_set_new(body, "serial_policy", json_string(o->serial));
    json_decref(servers);
    json_decref(primaries);
    return body;
}

static int add_file(const struct options *o)
{
    char rest[200], policy[120] = "";
    if (o->serial != NULL && strlen(o->serial) < 32)
        client_percent(policy, bytes_of_text(o->serial));
    (void)snprintf(rest, sizeof rest, "/import?create=1%s%s", o->serial != NULL ? "&serial_policy=" : "", policy);
    return send_file(o, "zone add", o->file, rest, EDIT_ASK_NEVER, 409, "its records are replaced by: azoth zone import NAME FILE");
}

int cmd_zone_add(const struct options *o)
{
    char name[NAME_TEXT_MAX], *text = NULL;
    struct name zone;
    int code = check_add(o);
    if (code == EXIT_FINE)
        code = tool_zone_name("zone add", o->args[1], &zone);
    if (code == EXIT_FINE && o->file != NULL)
        return add_file(o);
    if (code == EXIT_FINE)
        code = body_text(add_body(o, name_text(name, sizeof name, name_bytes(&zone))), &text);
    if (code == EXIT_FINE)
        code = edit_run(o, &(struct edit){ .what = "zone add", .about = o->args[1], .method = CLIENT_POST, .path = "/v1/zones",
                                           .body = bytes_of_text(text), .ask = EDIT_ASK_NEVER });
    free(text);
    return code;
}
