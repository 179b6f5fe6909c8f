/* azoth cluster: orders about the whole cluster, through the core's API. */
#include "tools/client_json.h"

static int raise_epoch(const struct options *o, const json_t *reply)
{
    json_int_t epoch = 0, seq = 0;
    if (json_unpack((json_t *)(uintptr_t)reply, "{s:I,s:I}", "epoch", &epoch, "seq", &seq) != 0)
        return tool_fail(EXIT_USAGE, "cluster: the core's answer makes no sense");
    if (o->json)
        return client_json_print(reply);
    (void)printf("%" JSON_INTEGER_FORMAT ".%" JSON_INTEGER_FORMAT "\n", epoch, seq);
    return EXIT_FINE;
}

static int rotate_key(const struct options *o, const json_t *reply)
{
    const char *id = json_string_value(json_object_get(reply, "key_id"));
    if (id == NULL)
        return tool_fail(EXIT_USAGE, "cluster: the core's answer makes no sense");
    if (o->json)
        return client_json_print(reply);
    (void)printf("%s\n", id);
    return EXIT_FINE;
}

static const struct { const char *name, *path; int (*show)(const struct options *o, const json_t *reply); } verbs[] = {
    { "raise-epoch", "/v1/cluster/raise-epoch", raise_epoch },
    { "rotate-key", "/v1/cluster/rotate-key", rotate_key },
};

int cmd_cluster(const struct options *o)
{
    json_t *reply = NULL;
    size_t i = 0;
    while (i < sizeof verbs / sizeof verbs[0] && strcmp(verbs[i].name, o->args[0]) != 0)
        i++;
    if (i == sizeof verbs / sizeof verbs[0])
        return tool_fail(EXIT_USAGE, "cluster: '%s' is neither raise-epoch nor rotate-key (see azoth help cluster)", o->args[0]);
    int code = client_json_once(o, "cluster", CLIENT_POST, verbs[i].path, &reply);
    if (code == EXIT_FINE)
        code = verbs[i].show(o, reply);
    json_decref(reply);
    return tool_done(code);
}
