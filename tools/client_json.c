#include "tools/client_json.h"

#include <stdlib.h>

int client_json(struct client *c, const char *what, enum client_method method, const char *path, int quiet, json_t **out)
{
    struct client_reply r;
    int code = client_call(c, method, path, (struct bytes){ 0 }, &r);
    *out = NULL;
    if (code != EXIT_FINE || r.status == quiet)
        return code;
    json_t *v = json_loadb((const char *)r.body.ptr, r.body.len, 0, NULL);
    const char *error = json_string_value(json_object_get(v, "error"));
    if (r.status == 200 && json_is_object(v)) {
        *out = v;
        return EXIT_FINE;
    }
    code = r.status == 200 ? tool_fail(EXIT_USAGE, "%s: the core's answer makes no sense", what)
                           : tool_fail(EXIT_USAGE, "%s: %s (status %d)", what, error != NULL ? error : "refused", r.status);
    json_decref(v);
    return code;
}

int client_json_once(const struct options *o, const char *what, enum client_method method, const char *path, json_t **out)
{
    struct client *client = NULL;
    int code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    if (code == EXIT_FINE)
        code = client_json(client, what, method, path, 0, out);
    client_close(client);
    return code;
}

int client_json_print(const json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT);
    if (text == NULL)
        return tool_fail(EXIT_USAGE, "out of memory");
    (void)puts(text);
    free(text);
    return EXIT_FINE;
}
