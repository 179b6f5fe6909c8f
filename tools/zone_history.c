/* azoth zone log, diff, rollback: what the core's journal knows of a zone. */
#include "tools/zone_parts.h"

#include "tools/rrdiff.h"
#include "tools/table.h"

#include <inttypes.h>
#include <stdlib.h>

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

struct log_range { uint64_t from, to, left; };       /* to 0: the newest */

static int log_page(struct client *c, const struct options *o, const struct name *zone, struct log_range *range, struct table *t)
{
    char path[ZONE_PATH_MAX], rest[200], to[48] = "";
    const json_t *e;
    json_t *reply = NULL;
    size_t i;
    if (range->to != 0)
        (void)snprintf(to, sizeof to, "&to=%" PRIu64, range->to);
    (void)snprintf(rest, sizeof rest, "/log?from=%" PRIu64 "%s&limit=%" PRIu64, range->from, to,
                   range->left < LOG_PAGE ? range->left : (uint64_t)LOG_PAGE);
    tool_zone_path(path, zone, rest);
    int code = client_json_call(c, "zone log", CLIENT_GET, path, NULL, 0, &reply);
    json_array_foreach(json_object_get(reply, "changes"), i, e) {
        if (code == EXIT_FINE && range->left > 0)
            code = o->json ? client_json_print(e) : add_row(t, e);
        range->left -= range->left > 0;
    }
    json_int_t next = json_integer_value(json_object_get(reply, "next"));
    bool on = next > 0 && (range->to == 0 || (uint64_t)next < range->to);     /* what does not go on must end */
    range->to = on ? (uint64_t)next : 0;
    range->left = on ? range->left : 0;
    json_decref(reply);
    return code;
}

int cmd_zone_log(const struct options *o)
{
    static const char *const heads[] = { "TIME", ">SEQ", ">SERIAL", "WHO", "ADDRESS", "VIA", "RECORDS", "" };
    struct log_range range = { .left = o->limit != 0 ? o->limit : LOG_LIMIT };
    struct client *client = NULL;
    struct table t = { 0 };
    struct name zone;
    int code = tool_zone_name("zone log", o->args[1], &zone);
    if (code == EXIT_FINE && o->from_seq != NULL)
        code = tool_seq("zone log", "from", o->from_seq, &range.from);
    if (code == EXIT_FINE && o->to_seq != NULL)
        code = tool_seq("zone log", "to", o->to_seq, &range.to);
    if (code == EXIT_FINE && table_init(&t, heads, sizeof heads / sizeof heads[0]) != OK)
        code = tool_fail(EXIT_USAGE, "out of memory");
    if (code == EXIT_FINE)
        code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    while (code == EXIT_FINE && range.left > 0)
        code = log_page(client, o, &zone, &range, &t);
    if (code == EXIT_FINE && !o->json)
        table_print(&t);
    table_release(&t);
    client_close(client);
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
    if (o->from_seq == NULL)
        return tool_fail(EXIT_USAGE, "zone diff: --from SEQ is missing (azoth zone log shows them)");
    int code = tool_zone_name("zone diff", o->args[1], &zone);
    if (code == EXIT_FINE)
        code = tool_seq("zone diff", "from", o->from_seq, &from);
    if (code == EXIT_FINE && o->to_seq != NULL)
        code = tool_seq("zone diff", "to", o->to_seq, &to);
    if (code == EXIT_FINE)
        code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    if (code == EXIT_FINE) {
        if (o->to_seq != NULL)
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
                                       .hint = "if it was removed, azoth zone diff NAME --from SEQ shows what it held (azoth help zone)" });
}
