/* azoth zone log, diff, rollback: what the core's journal knows of a zone. */
#include "tools/zone_parts.h"

#include "tools/rrdiff.h"
#include "tools/table.h"

#include <inttypes.h>
#include <string.h>

#define LOG_LIMIT 100
#define LOG_PAGE 1000

/* --- log ------------------------------------------------------------------------------------------------------------- */
static int add_row(struct table *t, const json_t *e)
{
    char seq[48], serial[32], count[64];
    const json_t *added = json_object_get(e, "added");
    (void)snprintf(seq, sizeof seq, "%" JSON_INTEGER_FORMAT ".%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(e, "epoch")),
                   json_integer_value(json_object_get(e, "seq")));
    (void)snprintf(serial, sizeof serial, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(e, "serial_after")));
    (void)snprintf(count, sizeof count, "+%" JSON_INTEGER_FORMAT " -%" JSON_INTEGER_FORMAT, json_integer_value(added),
                   json_integer_value(json_object_get(e, "removed")));
    bool gone = json_is_integer(added) && json_integer_value(added) == 0 && json_integer_value(json_object_get(e, "serial_after")) == 0;
    bool forced = json_is_true(json_object_get(e, "forced"));
    const char *cells[] = { tool_member(e, "time"), seq, gone ? "-" : serial, tool_member(e, "name"), tool_member(e, "address"), tool_member(e, "via"),
                            json_is_integer(added) ? count : "whole", gone ? forced ? "removed, forced" : "removed" : forced ? "forced" : "" };
    return table_add(t, cells) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
}

static int add_settings(struct table *t, const json_t *e)
{
    char seq[48], note[600];
    (void)snprintf(seq, sizeof seq, "%" JSON_INTEGER_FORMAT ".%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(e, "epoch")),
                   json_integer_value(json_object_get(e, "seq")));
    const char *cells[] = { tool_member(e, "time"), seq, "-", tool_member(e, "name"), tool_member(e, "address"), tool_member(e, "via"),
                            "settings", tool_trace_text(note, sizeof note, e) };
    return table_add(t, cells) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
}

/* What is asked for page by page: records and settings are lists of their own. */
struct log_want { struct client *client; const struct name *zone; uint64_t from, to, limit; json_t *changes, *settings; };

/* Entries of one list into `out`, until there are `limit`. cursor: the parameter that goes on, and the member that says where. */
static int log_list(const struct log_want *w, const char *list, const char *cursor, const char *next, json_t *out)
{
    char path[ZONE_PATH_MAX], rest[260], at[60] = "", to[60] = "";
    uint64_t last = 0;
    int code = EXIT_FINE;
    if (w->to != 0)
        (void)snprintf(to, sizeof to, "&to=%" PRIu64, w->to);
    while (code == EXIT_FINE && json_array_size(out) < w->limit) {
        uint64_t left = w->limit - json_array_size(out);
        json_t *reply = NULL;
        const char *until = at[0] != '\0' && strcmp(cursor, "to") == 0 ? "" : to;
        (void)snprintf(rest, sizeof rest, "/log?from=%" PRIu64 "%s%s&limit=%" PRIu64, w->from, until, at,
                       left < LOG_PAGE ? left : (uint64_t)LOG_PAGE);
        tool_zone_path(path, w->zone, rest);
        code = client_json_call(w->client, "zone log", CLIENT_GET, path, NULL, 0, &reply);
        if (code == EXIT_FINE && json_object_get(reply, list) != NULL)
            (void)json_array_extend(out, json_object_get(reply, list));
        uint64_t on = (uint64_t)json_integer_value(json_object_get(reply, next));
        json_decref(reply);
        if (on == 0 || (last != 0 && on >= last))       /* what does not go on must end */
            break;
        last = on;
        (void)snprintf(at, sizeof at, "&%s=%" PRIu64, cursor, on);
    }
    return code;
}

/* What one change did. NULL: the journal does not know. */
static int records_of(const struct log_want *w, const json_t *e, json_t **reply)
{
    char path[ZONE_PATH_MAX], rest[120];
    json_int_t seq = json_integer_value(json_object_get(e, "seq"));
    *reply = NULL;
    if (json_is_true(json_object_get(e, "whole")))
        return EXIT_FINE;
    (void)snprintf(rest, sizeof rest, "/diff?from=%" JSON_INTEGER_FORMAT "&to=%" JSON_INTEGER_FORMAT, seq - 1, seq);
    tool_zone_path(path, w->zone, rest);
    return client_json_call(w->client, "zone log", CLIENT_GET, path, NULL, 0, reply);
}

static int print_records(const struct log_want *w, const json_t *e)
{
    json_t *reply;
    int code = records_of(w, e, &reply);
    if (code == EXIT_FINE && reply != NULL)
        rrdiff_print(stdout, reply, 0);
    else if (code == EXIT_FINE)
        (void)puts("  the zone was made anew, or too much changed: the journal has no records of it");
    json_decref(reply);
    return code;
}

static int print_json(const struct log_want *w, const json_t *e)
{
    json_t *reply, *with = json_copy((json_t *)(uintptr_t)e);
    int code = records_of(w, e, &reply);
    if (code == EXIT_FINE && reply != NULL)
        (void)json_object_set(with, "differences", json_object_get(reply, "differences"));
    if (code == EXIT_FINE)
        code = client_json_print(with);
    json_decref(with);
    json_decref(reply);
    return code;
}

static int print_entry(const struct options *o, const struct log_want *w, const json_t *e, bool settings, struct table *t)
{
    static const char *const heads[] = { "", ">", ">", "", "", "", "", "" };
    struct table one = { 0 };
    if (o->json && !settings && o->records)
        return print_json(w, e);
    if (o->json)
        return client_json_print(e);
    if (!o->records)
        return settings ? add_settings(t, e) : add_row(t, e);
    if (table_init(&one, heads, sizeof heads / sizeof heads[0]) != OK)
        return tool_fail(EXIT_USAGE, "out of memory");
    int code = settings ? add_settings(&one, e) : add_row(&one, e);
    if (code == EXIT_FINE)
        table_print_rows(&one);
    table_release(&one);
    return code != EXIT_FINE || settings ? code : print_records(w, e);
}

/* Newest first. Settings that moved behind a change of records stand before it. */
static int print_log(const struct options *o, const struct log_want *w, struct table *t)
{
    size_t i = 0, k = 0;
    int code = EXIT_FINE;
    for (uint64_t n = 0; n < w->limit && code == EXIT_FINE; n++) {
        const json_t *c = json_array_get(w->changes, i), *s = json_array_get(w->settings, k);
        if (c == NULL && s == NULL)
            break;
        bool settings = c == NULL || (s != NULL && json_integer_value(json_object_get(s, "seq")) >= json_integer_value(json_object_get(c, "seq")));
        code = print_entry(o, w, settings ? s : c, settings, t);
        k += settings;
        i += !settings;
    }
    return code;
}

int cmd_zone_log(const struct options *o)
{
    static const char *const heads[] = { "TIME", ">SEQ", ">SERIAL", "WHO", "ADDRESS", "VIA", "RECORDS", "" };
    struct log_want w = { .limit = o->limit != 0 ? o->limit : LOG_LIMIT, .changes = json_array(), .settings = json_array() };
    struct table t = { 0 };
    struct name zone;
    int code = tool_zone_name("zone log", o->args[1], &zone);
    w.zone = &zone;
    if (code == EXIT_FINE && o->from_seq != NULL)
        code = tool_seq("zone log", "from", o->from_seq, &w.from);
    if (code == EXIT_FINE && o->to_seq != NULL)
        code = tool_seq("zone log", "to", o->to_seq, &w.to);
    if (code == EXIT_FINE && table_init(&t, heads, sizeof heads / sizeof heads[0]) != OK)
        code = tool_fail(EXIT_USAGE, "out of memory");
    if (code == EXIT_FINE)
        code = client_open(&w.client, o, CLIENT_TIMEOUT_MS);
    if (code == EXIT_FINE)
        code = log_list(&w, "changes", "to", "next", w.changes);
    if (code == EXIT_FINE)
        code = log_list(&w, "settings", "before", "settings_next", w.settings);
    if (code == EXIT_FINE)
        code = print_log(o, &w, &t);
    if (code == EXIT_FINE && !o->json && !o->records)
        table_print(&t);
    table_release(&t);
    json_decref(w.changes);
    json_decref(w.settings);
    client_close(w.client);
    return code;
}

/* --- diff ------------------------------------------------------------------------------------------------------------ */
int cmd_zone_diff(const struct options *o)
{
    char path[ZONE_PATH_MAX], rest[120], until[48] = "";
    uint64_t from = 0, to = 0;
    struct client *client = NULL;
    struct name zone;
    json_t *reply = NULL;
    bool one = o->args_n > 2;           /* what that change did */
    if (one == (o->from_seq != NULL) || (one && o->to_seq != NULL))
        return tool_fail(EXIT_USAGE, "zone diff: NAME SEQ shows one change, NAME --from SEQ [--to SEQ] what happened since (azoth zone log shows them)");
    int code = tool_zone_name("zone diff", o->args[1], &zone);
    if (code == EXIT_FINE)
        code = tool_seq("zone diff", one ? "seq" : "from", one ? o->args[2] : o->from_seq, &from);
    if (code == EXIT_FINE && one && from == 0)
        code = tool_fail(EXIT_USAGE, "zone diff: 0 is no change: their numbers begin with 1");
    if (code == EXIT_FINE && one)
        to = from--;
    if (code == EXIT_FINE && o->to_seq != NULL)
        code = tool_seq("zone diff", "to", o->to_seq, &to);
    if (code == EXIT_FINE)
        code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    if (code == EXIT_FINE) {
        if (one || o->to_seq != NULL)
            (void)snprintf(until, sizeof until, "&to=%" PRIu64, to);
        (void)snprintf(rest, sizeof rest, "/diff?from=%" PRIu64 "%s", from, until);
        tool_zone_path(path, &zone, rest);
        code = client_json_call(client, "zone diff", CLIENT_GET, path, NULL, 0, &reply);
    }
    if (code == EXIT_FINE && o->json)
        code = client_json_print(reply);
    else if (code == EXIT_FINE)
        rrdiff_print(stdout, reply, 0);
    json_decref(reply);
    client_close(client);
    return code;
}

/* --- rollback -------------------------------------------------------------------------------------------------------- */
int cmd_zone_rollback(const struct options *o)
{
    char path[ZONE_PATH_MAX], body[64];
    uint64_t to = 0;
    if (o->to_seq == NULL)
        return tool_fail(EXIT_USAGE, "zone rollback: --to SEQ is missing (azoth zone log shows them)");
    int code = tool_seq("zone rollback", "to", o->to_seq, &to);
    if (code == EXIT_FINE)
        code = tool_zone_path_of("zone rollback", o->args[1], "/rollback", path);
    if (code != EXIT_FINE)
        return code;
    (void)snprintf(body, sizeof body, "{\"to\":%" PRIu64 "}", to);
    return edit_run(o, &(struct edit){ .what = "zone rollback", .about = o->args[1], .method = CLIENT_POST, .path = path,
                                       .body = bytes_of_text(body), .ask = EDIT_ASK_SHOW, .whole = true, .hint_status = 404,
                                       .hint = "azoth zone log NAME shows the changes of a zone, also of one that was removed" });
}
