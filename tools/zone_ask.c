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
    if (code == EXIT_FINE && o->json)
        code = client_json_print(reply);
    else if (code == EXIT_FINE)
        (void)printf("%s: %s\n", o->args[1], words);
    json_decref(reply);
    client_close(c);
    return code;
}

int cmd_zone_transfer(const struct options *o)
{
    return ask(o, "zone transfer", o->transfer_all ? "/transfer?axfr=1" : "/transfer", "its primaries are being asked");
}

int cmd_zone_notify(const struct options *o)
{
    return ask(o, "zone notify", "/notify", "its secondaries are being told");
}
