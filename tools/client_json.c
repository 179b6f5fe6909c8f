#include "tools/client_json.h"

#include "tools/terminal.h"

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
    bool good = r.status >= 200 && r.status <= 202;
    if (good && json_is_object(v)) {
        *out = v;
        return EXIT_FINE;
    }
    code = good ? tool_fail(EXIT_USAGE, "%s: the core's answer makes no sense", what)
                : tool_fail(EXIT_USAGE, "%s: %s (status %d)", what, error != NULL ? error : "refused", r.status);
    json_decref(v);
    return code;
}

/* --- replies of the zones' API ------------------------------------------------------------------------------------------ */
int client_json_code(int status)
{
    static const int data_wrong[] = { 400, 404, 409, 410, 412, 413, 422 };
    for (size_t i = 0; i < sizeof data_wrong / sizeof data_wrong[0]; i++)
        if (status == data_wrong[i])
            return EXIT_DATA;
    return status >= 200 && status <= 202 ? EXIT_FINE : EXIT_USAGE;
}

json_t *client_json_body(const struct client_reply *r)
{
    json_t *v = json_loadb((const char *)r->body.ptr, r->body.len, 0, NULL);
    if (json_is_object(v))
        return v;
    json_decref(v);
    return NULL;
}

static void tell_lines(const char *file, const json_t *errors)
{
    const json_t *e;
    size_t i;
    if (json_array_size(errors) == 1
        && (file == NULL || json_integer_value(json_object_get(json_array_get(errors, 0), "line")) == 0))
        return;                         /* it is the error itself */
    json_array_foreach(errors, i, e) {
        const char *text = json_string_value(json_object_get(e, "text"));
        json_int_t line = json_integer_value(json_object_get(e, "line"));
        if (text == NULL)
            continue;
        if (file != NULL && line > 0)
            (void)fprintf(stderr, "%s:%" JSON_INTEGER_FORMAT ": ", file, line);
        else
            (void)fputs("azoth: ", stderr);
        terminal_text(stderr, text);
        (void)fputc('\n', stderr);
    }
}

/* Several lines at fault, of which the error is but the first? */
static bool is_first_of_many(const char *file, const json_t *errors, const char *error)
{
    const char *first = json_string_value(json_object_get(json_array_get(errors, 0), "text"));
    return file != NULL && error != NULL && json_array_size(errors) > 1 && first != NULL && strcmp(first, error) == 0;
}

int client_json_error(const char *what, const char *file, const struct client_reply *r)
{
    json_t *v = client_json_body(r);
    const char *error = json_string_value(json_object_get(v, "error"));
    char many[80];
    int code = client_json_code(r->status);
    (void)fflush(stdout);
    tell_lines(file, json_object_get(v, "errors"));
    (void)snprintf(many, sizeof many, "%zu errors: nothing was done", json_array_size(json_object_get(v, "errors")));
    if (is_first_of_many(file, json_object_get(v, "errors"), error))
        error = many;
    (void)fprintf(stderr, "azoth: %s: ", what);
    terminal_text(stderr, code == EXIT_FINE ? "the core's answer makes no sense" : error != NULL ? error : "the core refuses this");
    (void)fprintf(stderr, " (status %d)\n", r->status);
    json_decref(v);
    return code == EXIT_FINE ? EXIT_USAGE : code;
}

int client_json_call(struct client *c, const char *what, enum client_method method, const char *path, const json_t *body,
                     int quiet, json_t **out)
{
    struct client_reply r;
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    *out = NULL;
    if (body != NULL && text == NULL)
        return tool_fail(EXIT_USAGE, "out of memory");
    int code = client_call(c, method, path, bytes_of_text(text != NULL ? text : ""), &r);
    free(text);
    if (code != EXIT_FINE || r.status == quiet)
        return code;
    if (client_json_code(r.status) == EXIT_FINE && (*out = client_json_body(&r)) != NULL)
        return EXIT_FINE;
    return client_json_error(what, NULL, &r);
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
