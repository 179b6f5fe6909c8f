/* What moved in settings or in a key, as one line. */
#include "tools/zone_parts.h"

#include <stdlib.h>

static size_t put(char *out, size_t cap, size_t n, const char *text)
{
    int more = n < cap ? snprintf(out + n, cap - n, "%s", text) : 0;
    return n + (more > 0 ? (size_t)more : 0);
}

static size_t put_value(char *out, size_t cap, size_t n, const json_t *v)
{
    char *text = v != NULL ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    n = put(out, cap, n, text != NULL ? text : "-");
    free(text);
    return n;
}

static size_t put_member(char *out, size_t cap, size_t n, const char *member, const json_t *before, const json_t *after)
{
    n = put(out, cap, put(out, cap, put(out, cap, n, n > 0 ? "; " : ""), member), ": ");
    return put_value(out, cap, put(out, cap, put_value(out, cap, n, before), " -> "), after);
}

const char *tool_trace_text(char *out, size_t cap, const json_t *entry)
{
    const json_t *before = json_object_get(entry, "before"), *after = json_object_get(entry, "after");
    const char *member;
    json_t *v;
    size_t n = 0;
    out[0] = '\0';
    if (!json_is_object(before) || !json_is_object(after))
        return json_is_object(after) ? "made" : "removed";
    json_object_foreach((json_t *)(uintptr_t)before, member, v)
        if (!json_equal(v, json_object_get(after, member)))
            n = put_member(out, cap, n, member, v, json_object_get(after, member));
    json_object_foreach((json_t *)(uintptr_t)after, member, v)
        if (json_object_get(before, member) == NULL)
            n = put_member(out, cap, n, member, NULL, v);
    return out;
}
