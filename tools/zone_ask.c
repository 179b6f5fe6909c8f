/* azoth zone transfer, notify: what the core is asked to do soon. */
#include "tools/zone_parts.h"

#include <stdio.h>

/* rest: "/transfer" ... words: what is said behind the zone's name. */
static int ask(const struct options *o, const char *what, const char *rest, const char *words)
{
    char path[ZONE_PATH_MAX];
    struct client *c = NULL;
    json_t *reply = NULL;
    int code = tool_zone_path_of(what, o->args[1], rest, path);
    if (code == EXIT_FINE && (code = client_open(&c, o, CLIENT_TIMEOUT_MS)) == EXIT_FINE)
        code = client_json_call(c, what, CLIENT_POST, path, NULL, 0, &reply);
    const json_t *ticket = json_object_get(reply, "ticket");
    struct name zone;
    if (code == EXIT_FINE && o->wait != NULL && json_is_integer(ticket) && (code = tool_zone_name(what, o->args[1], &zone)) == EXIT_FINE)
        code = tool_secondary_wait(o, c, &zone, json_integer_value(ticket));
    else if (code == EXIT_FINE && o->json)
        code = client_json_print(reply);
    else if (code == EXIT_FINE)
        (void)printf("%s: %s\n", o->args[1], words);
    json_decref(reply);
    client_close(c);
    return code;
}

int cmd_zone_transfer(const struct options *o)
{
    static const char *const rest[2][2] = { { "/transfer", "/transfer?force=1" }, { "/transfer?axfr=1", "/transfer?axfr=1&force=1" } };
    int code = tool_secondary_may_wait(o);
    return code != EXIT_FINE ? code : ask(o, "zone transfer", rest[o->transfer_all][o->force], "its primaries are being asked");
}

int cmd_zone_notify(const struct options *o)
{
    return ask(o, "zone notify", "/notify", "its secondaries are being told");
}
