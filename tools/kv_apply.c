/* azoth kv apply: a file of operations, one JSON object per line, as one transaction. */
#include "builder/api.h"
#include "tools/kv_parts.h"

#include <stdlib.h>

struct apply {
    const char *file;
    size_t *lines, n, cap;          /* of each op, the line on which it stands */
    uint8_t *body;                  /* {"ops":[line,line]} */
    size_t len;
};

static bool note_line(struct apply *a, size_t line)
{
    if (a->n == a->cap) {
        size_t cap = a->cap == 0 ? 64 : a->cap * 2;
        size_t *more = realloc(a->lines, cap * sizeof *more);
        if (more == NULL)
            return false;
        a->lines = more;
        a->cap = cap;
    }
    a->lines[a->n++] = line;
    return true;
}

static bool blank(struct bytes line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t' && line.ptr[i] != '\r')
            return false;
    return true;
}

static void add(struct apply *a, const void *ptr, size_t len)
{
    memcpy(a->body + a->len, ptr, len);
    a->len += len;
}

/* Only that each line is an object of its own is looked at here; what it says is the core's to judge. */
static int take_line(struct apply *a, struct bytes line, size_t number)
{
    json_error_t error;
    if (blank(line))
        return EXIT_FINE;
    json_t *v = json_loadb((const char *)line.ptr, line.len, JSON_ALLOW_NUL, &error);
    bool object = json_is_object(v);
    bool parsed = v != NULL;
    json_decref(v);
    if (!object)
        return tool_fail(EXIT_USAGE, "%s:%zu: %s", a->file, number, parsed ? "not a JSON object" : error.text);
    if (!note_line(a, number))
        return tool_fail(EXIT_USAGE, "out of memory");
    if (a->n > 1)
        add(a, ",", 1);
    add(a, line.ptr, line.len);
    return EXIT_FINE;
}

static int take_lines(struct apply *a, struct bytes text)
{
    int code = EXIT_FINE;
    add(a, "{\"ops\":[", 8);
    for (size_t number = 1; text.len > 0 && code == EXIT_FINE; number++) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len, step = len + (end != NULL);
        code = take_line(a, bytes_of(text.ptr, len), number);
        text = bytes_of(text.ptr + step, text.len - step);
    }
    add(a, "]}", 2);
    if (code == EXIT_FINE && a->n == 0)
        code = tool_fail(EXIT_USAGE, "%s holds no operation", a->file);
    if (code == EXIT_FINE && a->len > API_BODY_MAX)
        code = tool_fail(EXIT_USAGE, "%s: more than %zu bytes cannot be one transaction", a->file, API_BODY_MAX);
    return code;
}

static int op_failed(void *arg, size_t op, const char *error, int code)
{
    const struct apply *a = arg;
    if (op < a->n)
        return tool_fail(code, "%s:%zu: %s; nothing was done", a->file, a->lines[op], error);
    return tool_fail(code, "%s: %s; nothing was done", a->file, error);
}

int kv_apply(const struct options *o)
{
    struct apply a = { .file = strcmp(o->args[1], "-") == 0 ? "stdin" : o->args[1] };
    struct bytes text = { 0 };
    int code = kv_read_all(o->args[1], API_BODY_MAX, &text);
    if (code != EXIT_FINE)
        return code;
    a.body = malloc(2 * text.len + 64);         /* each line is followed by a comma at most */
    code = a.body == NULL ? tool_fail(EXIT_USAGE, "out of memory") : take_lines(&a, text);
    if (code == EXIT_FINE)
        code = kv_send(o, CLIENT_POST, "/v1/kv", bytes_of(a.body, a.len), op_failed, &a);
    free(a.body);
    free(a.lines);
    free((void *)(uintptr_t)text.ptr);
    return code;
}
