/* How large the body of a request may be, before any of it is waited for: the key decides, and for zone files the path. */
#include "builder/api_shell.h"

#include <sodium.h>
#include <strings.h>

/* The value of a header in a head as it came; empty: it is not there. A look ahead: evhttp's own reading decides later. */
static struct bytes head_value(struct bytes head, const char *name)
{
    size_t len = strlen(name);
    for (size_t at = 0; at + len < head.len; ) {
        const uint8_t *line = head.ptr + at, *end = memchr(line, '\n', head.len - at);
        size_t line_len = end != NULL ? (size_t)(end - line) : head.len - at;
        if (line_len > len && line[len] == ':' && strncasecmp((const char *)line, name, len) == 0) {
            const uint8_t *from = line + len + 1, *to = line + line_len;
            while (from < to && (*from == ' ' || *from == '\t'))
                from++;
            while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r'))
                to--;
            return bytes_of(from, (size_t)(to - from));
        }
        at += line_len + 1;
    }
    return bytes_of(NULL, 0);
}

/* Of a Content-Length; what is none, or too large, counts as the largest. */
static size_t length_of(struct bytes text)
{
    size_t v = text.len > 0 ? 0 : API_IMPORT_MAX;
    for (size_t i = 0; i < text.len && v < API_IMPORT_MAX; i++)
        v = text.ptr[i] >= '0' && text.ptr[i] <= '9' ? 10 * v + (size_t)(text.ptr[i] - '0') : API_IMPORT_MAX;
    return v < API_IMPORT_MAX ? v : API_IMPORT_MAX;
}

static bool is_import(struct bytes head)
{
    static const char what[] = "/import";
    size_t line = 0;
    while (line < head.len && head.ptr[line] != '\n' && head.ptr[line] != '?')
        line++;
    for (size_t i = 0; i + sizeof what - 1 <= line; i++)
        if (memcmp(head.ptr + i, what, sizeof what - 1) == 0)
            return bytes_starts(head, bytes_of_text("POST /v1/zones/"));
    return false;
}

/* Zone files are read whole into memory. All that come at once share what is kept for them. */
long api_room(void *arg, struct bytes head, size_t coming)
{
    const struct api_http *a = arg;
    struct bytes sent = head_value(head, "X-API-Key");
    char key[API_KEY_MOST + 2];
    size_t len = sent.len < sizeof key ? sent.len : sizeof key - 1;     /* too long a key is no key cut off either */
    if (len > 0)
        memcpy(key, sent.ptr, len);
    key[len] = '\0';
    const struct api_key *who = api_keys_find(a->keys, key);
    sodium_memzero(key, sizeof key);
    if (who == NULL || who->read_only)
        return (long)API_STRANGER_MAX;
    if (!is_import(head))
        return (long)API_BODY_MAX;
    size_t length = length_of(head_value(head, "Content-Length"));
    return length <= API_STRANGER_MAX || coming + a->bodies + length <= API_IMPORTS_MAX ? (long)API_IMPORT_MAX : HTTP_ROOM_BUSY;
}
