/* azoth tsig: the keys of UPDATE and transfers, through the core's API. */
#include "tools/table.h"
#include "tools/verbs.h"
#include "tools/zone_parts.h"

#include <inttypes.h>
#include <stdlib.h>

#define LOG_LIMIT 100
#define LOG_PAGE 1000

const struct option_spec tsig_options[] = {
    OPTION("algorithm", "NAME", OPTION_TEXT, algorithm, "add: hmac-sha256 (default), hmac-sha512, ..."),
    OPTION("secret", "BASE64", OPTION_TEXT, secret, "add: the secret; made when it is not given"),
    OPTION("update", "ZONE[:TYPE,...]", OPTION_LIST, update, "add: may change the zone, or these types in it (again for each)"),
    OPTION("transfer", "ZONE", OPTION_LIST, transfer, "add: may take the zone (again for each)"),
    OPTION("format", "FORMAT", OPTION_TEXT, format, "add: print the key for bind (default), knot, nsd, powerdns or nsupdate"),
    OPTION("limit", "COUNT", OPTION_NUMBER, limit, "log: at most so many (default 100)"),
    OPTION("secrets", NULL, OPTION_FLAG, secrets, "list: with the secrets"),
    OPTION_END,
};

/* --- add ------------------------------------------------------------------------------------------------------------- */
/* ZONE[:TYPE,...] */
static int add_right(const char *text, json_t *list)
{
    const char *colon = strchr(text, ':');
    char *zone = strndup(text, colon != NULL ? (size_t)(colon - text) : strlen(text));
    json_t *right = zone != NULL ? json_pack("{s:s}", "zone", zone) : NULL, *types = json_array();
    free(zone);
    if (right == NULL) {
        json_decref(types);
        return tool_fail(EXIT_USAGE, "tsig add: --update: '%.200s' is not UTF-8", text);
    }
    for (const char *at = colon != NULL ? colon + 1 : ""; *at != '\0';) {
        size_t len = strcspn(at, ",");
        if (len > 0)
            (void)json_array_append_new(types, json_stringn(at, len));
        at += len + (at[len] == ',');
    }
    if (colon != NULL)
        (void)json_object_set(right, "types", types);
    json_decref(types);
    (void)json_array_append_new(list, right);
    return EXIT_FINE;
}

static int make_body(const struct options *o, json_t **out)
{
    json_t *update = json_array(), *transfer = json_array();
    int code = EXIT_FINE;
    for (size_t i = 0; i < o->update.n && code == EXIT_FINE; i++)
        code = add_right(o->update.v[i], update);
    for (size_t i = 0; i < o->transfer.n && code == EXIT_FINE; i++)
        if (json_array_append_new(transfer, json_string(o->transfer.v[i])) != 0)
            code = tool_fail(EXIT_USAGE, "tsig add: --transfer: '%.200s' is not UTF-8", o->transfer.v[i]);
    *out = code != EXIT_FINE ? NULL : json_pack("{s:s,s:s*,s:s*,s:{s:O,s:O}}", "name", o->args[1], "algorithm", o->algorithm, "secret",
                                                o->secret, "rights", "update", update, "transfer", transfer);
    if (code == EXIT_FINE && *out == NULL)
        code = tool_fail(EXIT_USAGE, "tsig add: an argument is not UTF-8");
    json_decref(update);
    json_decref(transfer);
    return code;
}

/* In the words of whoever is to use it; name without its final dot. */
static void print_key(const char *format, const char *name, const char *algorithm, const char *secret)
{
    if (strcmp(format, "knot") == 0)
        (void)printf("key:\n  - id: %s\n    algorithm: %s\n    secret: %s\n", name, algorithm, secret);
    else if (strcmp(format, "nsd") == 0)
        (void)printf("key:\n    name: \"%s\"\n    algorithm: %s\n    secret: \"%s\"\n", name, algorithm, secret);
    else if (strcmp(format, "powerdns") == 0)
        (void)printf("pdnsutil import-tsig-key %s %s '%s'\n", name, algorithm, secret);
    else if (strcmp(format, "nsupdate") == 0)
        (void)printf("%s:%s:%s\n", algorithm, name, secret);
    else
        (void)printf("key \"%s\" {\n    algorithm %s;\n    secret \"%s\";\n};\n", name, algorithm, secret);
}

static bool is_format(const char *text)
{
    static const char *const all[] = { "bind", "knot", "nsd", "powerdns", "nsupdate" };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(all[i], text) == 0)
            return true;
    return false;
}

static int tsig_add(const struct options *o)
{
    const char *format = o->format != NULL ? o->format : "bind";
    char name[NAME_TEXT_MAX];
    struct client *client = NULL;
    struct name key;
    json_t *body = NULL, *reply = NULL;
    if (!is_format(format))
        return tool_fail(EXIT_USAGE, "tsig add: --format is bind, knot, nsd, powerdns or nsupdate");
    int code = tool_zone_name("tsig add", o->args[1], &key);
    if (code == EXIT_FINE)
        code = make_body(o, &body);
    if (code == EXIT_FINE)
        code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    if (code == EXIT_FINE)
        code = client_json_call(client, "tsig add", CLIENT_POST, "/v1/tsig", body, 0, &reply);
    if (code == EXIT_FINE && o->json) {
        code = client_json_print(reply);
    } else if (code == EXIT_FINE) {
        (void)name_text(name, sizeof name, name_bytes(&key));
        if (key.len > 1)
            name[strlen(name) - 1] = '\0';
        print_key(format, name, tool_member(reply, "algorithm"), tool_member(reply, "secret"));
    }
    json_decref(body);
    json_decref(reply);
    client_close(client);
    return code;
}

/* --- list, remove ---------------------------------------------------------------------------------------------------- */
static size_t put(char *out, size_t cap, size_t n, const char *text)
{
    int more = n < cap ? snprintf(out + n, cap - n, "%s", text) : 0;
    return n + (more > 0 ? (size_t)more : 0);
}

/* "update example.com.:A,AAAA, transfer example.com." */
static const char *rights_text(char *out, size_t cap, const json_t *rights)
{
    const json_t *r, *type;
    size_t i, j, n = 0;
    out[0] = '\0';
    json_array_foreach(json_object_get(rights, "update"), i, r) {
        n = put(out, cap, n, n > 0 ? ", update " : "update ");
        n = put(out, cap, n, json_is_string(r) ? json_string_value(r) : tool_member(r, "zone"));
        json_array_foreach(json_object_get(r, "types"), j, type)
            n = put(out, cap, put(out, cap, n, j > 0 ? "," : ":"), json_is_string(type) ? json_string_value(type) : "?");
    }
    json_array_foreach(json_object_get(rights, "transfer"), i, r) {
        n = put(out, cap, n, n > 0 ? ", transfer " : "transfer ");
        n = put(out, cap, n, json_is_string(r) ? json_string_value(r) : tool_member(r, "zone"));
    }
    return n > 0 ? out : "-";
}

static void key_path(char *out, const struct name *key)
{
    char name[NAME_TEXT_MAX], encoded[3 * NAME_TEXT_MAX + 1];
    client_percent(encoded, bytes_of_text(name_text(name, sizeof name, name_bytes(key))));
    (void)snprintf(out, ZONE_PATH_MAX, "/v1/tsig/%s", encoded);
}

/* The list has no secrets: each is asked for, and put into its object. */
static int fetch_secret(struct client *c, json_t *key)
{
    char path[ZONE_PATH_MAX];
    struct name name;
    json_t *reply = NULL;
    int code = tool_zone_name("tsig list", tool_member(key, "name"), &name);
    if (code != EXIT_FINE)
        return code;
    key_path(path, &name);
    if ((code = client_json_call(c, "tsig list", CLIENT_GET, path, NULL, 404, &reply)) == EXIT_FINE && reply != NULL)
        (void)json_object_set(key, "secret", json_object_get(reply, "secret"));
    json_decref(reply);
    return code;
}

static int list_key(struct client *c, const struct options *o, struct table *t, json_t *key)
{
    char rights[1000];
    int code = o->secrets ? fetch_secret(c, key) : EXIT_FINE;
    if (code != EXIT_FINE)
        return code;
    if (!o->secrets)
        (void)json_object_del(key, "secret");
    if (o->json)
        return client_json_print(key);
    const char *cells[] = { tool_member(key, "name"), tool_member(key, "algorithm"),
                            rights_text(rights, sizeof rights, json_object_get(key, "rights")),
                            o->secrets ? tool_member(key, "secret") : "" };
    return table_add(t, cells) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
}

/* One page behind `after`, which becomes the next one's; "" ends. */
static int list_page(struct client *c, const struct options *o, struct table *t, char after[NAME_TEXT_MAX])
{
    char path[ZONE_PATH_MAX], encoded[3 * NAME_TEXT_MAX + 1];
    json_t *reply = NULL, *key;
    size_t i;
    client_percent(encoded, bytes_of_text(after));
    (void)snprintf(path, sizeof path, "/v1/tsig%s%s", after[0] != '\0' ? "?after=" : "", encoded);
    int code = client_json_call(c, "tsig list", CLIENT_GET, path, NULL, 0, &reply);
    json_array_foreach(json_object_get(reply, "keys"), i, key)
        if (code == EXIT_FINE)
            code = list_key(c, o, t, key);
    const char *next = json_string_value(json_object_get(reply, "next"));
    (void)snprintf(after, NAME_TEXT_MAX, "%s", next != NULL ? next : "");
    json_decref(reply);
    return code;
}

static int tsig_list(const struct options *o)
{
    const char *const heads[] = { "KEY", "ALGORITHM", "RIGHTS", o->secrets ? "SECRET" : "" };
    char after[NAME_TEXT_MAX] = "";
    struct client *client = NULL;
    struct table t;
    if (table_init(&t, heads, sizeof heads / sizeof heads[0]) != OK)
        return tool_fail(EXIT_USAGE, "out of memory");
    int code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    if (code == EXIT_FINE)
        do
            code = list_page(client, o, &t, after);
        while (code == EXIT_FINE && after[0] != '\0');
    if (code == EXIT_FINE && !o->json)
        table_print(&t);
    table_release(&t);
    client_close(client);
    return code;
}

static int tsig_remove(const struct options *o)
{
    char path[ZONE_PATH_MAX];
    struct client *client = NULL;
    struct name key;
    json_t *reply = NULL;
    int code = tool_zone_name("tsig remove", o->args[1], &key);
    if (code != EXIT_FINE || (code = client_open(&client, o, CLIENT_TIMEOUT_MS)) != EXIT_FINE)
        return code;
    key_path(path, &key);
    code = client_json_call(client, "tsig remove", CLIENT_DELETE, path, NULL, 0, &reply);
    if (code == EXIT_FINE && o->json)
        code = client_json_print(reply);
    json_decref(reply);
    client_close(client);
    return code;
}

/* --- log ------------------------------------------------------------------------------------------------------------- */
static int log_row(const struct options *o, struct table *t, const json_t *e)
{
    char note[1200];
    if (o->json)
        return client_json_print(e);
    const char *cells[] = { tool_member(e, "time"), tool_member(e, "key"), tool_member(e, "name"), tool_member(e, "address"),
                            tool_member(e, "via"), tool_trace_text(note, sizeof note, e) };
    return table_add(t, cells) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
}

/* One page; *before: where the next one goes on, 0 ends. */
static int log_page(struct client *c, const struct options *o, const char *name, struct table *t, uint64_t *left, uint64_t *before)
{
    char path[ZONE_PATH_MAX], at[40] = "";
    json_t *reply = NULL, *e;
    size_t i;
    if (*before > 0)
        (void)snprintf(at, sizeof at, "&before=%" PRIu64, *before);
    (void)snprintf(path, sizeof path, "/v1/tsig/log?limit=%" PRIu64 "%s%s", *left < LOG_PAGE ? *left : (uint64_t)LOG_PAGE, name, at);
    int code = client_json_call(c, "tsig log", CLIENT_GET, path, NULL, 0, &reply);
    json_array_foreach(json_object_get(reply, "changes"), i, e)
        if (code == EXIT_FINE && *left > 0) {
            code = log_row(o, t, e);
            (*left)--;
        }
    uint64_t next = (uint64_t)json_integer_value(json_object_get(reply, "next"));
    *before = *before == 0 || next < *before ? next : 0;        /* what does not go on must end */
    json_decref(reply);
    return code;
}

static int tsig_log(const struct options *o)
{
    static const char *const heads[] = { "TIME", "KEY", "WHO", "ADDRESS", "VIA", "" };
    char text[NAME_TEXT_MAX], encoded[3 * NAME_TEXT_MAX + 1], name[3 * NAME_TEXT_MAX + 10] = "";
    uint64_t left = o->limit != 0 ? o->limit : LOG_LIMIT, before = 0;
    struct client *client = NULL;
    struct table t = { 0 };
    struct name key;
    int code = o->args_n > 1 ? tool_zone_name("tsig log", o->args[1], &key) : EXIT_FINE;
    if (code == EXIT_FINE && o->args_n > 1) {
        client_percent(encoded, bytes_of_text(name_text(text, sizeof text, name_bytes(&key))));
        (void)snprintf(name, sizeof name, "&name=%s", encoded);
    }
    if (code == EXIT_FINE && table_init(&t, heads, sizeof heads / sizeof heads[0]) != OK)
        code = tool_fail(EXIT_USAGE, "out of memory");
    if (code == EXIT_FINE)
        code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    if (code == EXIT_FINE)
        do
            code = log_page(client, o, name, &t, &left, &before);
        while (code == EXIT_FINE && left > 0 && before > 0);
    if (code == EXIT_FINE && !o->json)
        table_print(&t);
    table_release(&t);
    client_close(client);
    return code;
}

/* --- which one ------------------------------------------------------------------------------------------------------- */
const struct verb tsig_verbs[] = {
    { "add", "NAME", 2, 2, " algorithm secret update transfer format ", tsig_add },
    { "log", "[NAME]", 1, 2, " limit ", tsig_log },
    { "list", "[--secrets]", 1, 1, " secrets ", tsig_list },
    { "remove", "NAME", 2, 2, "", tsig_remove },
    { NULL, NULL, 0, 0, NULL, NULL },
};

int cmd_tsig(const struct options *o)
{
    return verbs_run("tsig", tsig_options, tsig_verbs, o);
}
