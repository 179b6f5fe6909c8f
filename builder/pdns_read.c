/* What a request to PowerDNS's API says: parameters, members, names; with PowerDNS's words where they are wrong. */
#include "builder/pdns_parts.h"

#include <ctype.h>
#include <stdio.h>

/* --- paths and queries ------------------------------------------------------------------------------------------------ */
static int hex_digit(char c, bool upper)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : !upper && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

const char *pdns_decode(struct arena *a, const char *text, size_t len, bool query)
{
    char *out = arena_take(a, len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len && out != NULL; i++) {
        int high = text[i] == '%' && i + 2 < len ? hex_digit(text[i + 1], false) : -1;
        int low = high >= 0 ? hex_digit(text[i + 2], false) : -1;
        if (low >= 0 && (high | low) != 0) {
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = query && text[i] == '+' ? ' ' : text[i];
        }
    }
    if (out != NULL)
        out[n] = '\0';
    return out;
}

const char *pdns_param(struct pdns *p, const char *name)
{
    size_t want = strlen(name);
    for (const char *at = p->query; *at != '\0';) {
        size_t len = strcspn(at, "&"), name_len = strcspn(at, "=&");
        if (name_len == want && memcmp(at, name, want) == 0)
            return name_len < len ? pdns_decode(&p->c->arena, at + want + 1, len - want - 1, true) : "";
        at += len + (at[len] == '&');
    }
    return NULL;
}

/* --- JSON ------------------------------------------------------------------------------------------------------------- */
bool pdns_body(struct pdns *p)
{
    p->c->json = json_loadb(p->body.len > 0 ? (const char *)p->body.ptr : "", p->body.len, JSON_DECODE_ANY, NULL);
    if (p->c->json == NULL)
        (void)pdns_status(p, 400);
    return p->c->json != NULL;
}

const char *pdns_string(struct pdns *p, const json_t *o, const char *member)
{
    const char *text = json_string_value(json_object_get(o, member));
    if (text == NULL)
        (void)pdns_refuse(p, "Key '%s' not present or not a String", member);
    return text;
}

const char *pdns_string_or(const json_t *o, const char *member, const char *other)
{
    const char *text = json_string_value(json_object_get(o, member));
    return text != NULL ? text : other;
}

bool pdns_bool_or(const json_t *o, const char *member, bool other)
{
    const json_t *v = json_object_get(o, member);
    return json_is_boolean(v) ? json_is_true(v) : other;
}

/* --- names ------------------------------------------------------------------------------------------------------------ */
bool pdns_name(struct pdns *p, const char *text, struct name *out)
{
    size_t len = strlen(text);
    if (len == 0 || text[len - 1] != '.')
        (void)pdns_refuse(p, "DNS Name '%s' is not canonical", text);
    else if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), out) != OK)
        (void)pdns_refuse(p, "Unable to parse DNS Name '%s'", text);
    else
        return name_lower(out->wire, out->len), true;
    return false;
}

/* As PowerDNS writes names: dots and backslashes in labels escaped, blanks and what is no ASCII as \DDD. */
static const char *written(char *out, size_t cap, struct bytes name)
{
    size_t n = 0;
    for (size_t i = 0; name.ptr[i] != 0; i += name.ptr[i] + 1u) {
        for (size_t k = 1; k <= name.ptr[i] && n + 6 < cap; k++) {
            uint8_t c = name.ptr[i + k];
            n += (size_t)snprintf(out + n, cap - n, c <= ' ' || c > '~' ? "\\%03u" : c == '.' || c == '\\' ? "\\%c" : "%c", c);
        }
        out[n++] = '.';
    }
    out[n] = '\0';
    return out;
}

bool pdns_name_letters(struct pdns *p, const struct name *name)
{
    char text[NAME_TEXT_MAX];
    struct bytes rest = name_bytes(name);
    if (name_is_wildcard(rest))
        rest = name_parent(rest);
    for (size_t i = 0; rest.ptr[i] != 0; i += rest.ptr[i] + 1u)
        for (size_t k = 1; k <= rest.ptr[i]; k++) {
            uint8_t c = rest.ptr[i + k];
            if (!(c < 0x80 && isalnum(c)) && c != '-' && c != '_' && c != '/') {
                (void)pdns_refuse(p, "Name '%s' contains unsupported characters", written(text, sizeof text, rest));
                return false;
            }
        }
    return true;
}

const char *pdns_text_of(struct arena *a, struct bytes name)
{
    char text[NAME_TEXT_MAX];
    return arena_text(a, name_text(text, sizeof text, name));
}

const char *pdns_id_of(struct arena *a, struct bytes name)
{
    char text[NAME_TEXT_MAX], id[3 * NAME_TEXT_MAX];
    size_t n = 0;
    (void)name_text(text, sizeof text, name);
    if (strcmp(text, ".") == 0)
        return "=2E";
    for (const char *at = text; *at != '\0'; at++) {
        if (isalnum((unsigned char)*at) || *at == '.' || *at == '-')
            id[n++] = *at;
        else
            n += (size_t)snprintf(id + n, sizeof id - n, "=%02X", (unsigned)(unsigned char)*at);
    }
    id[n] = '\0';
    return arena_text(a, id);
}

enum err pdns_id_read(struct arena *a, const char *id, const char **text, struct name *out)
{
    size_t n = 0;
    char *plain = arena_take(a, strlen(id) + 1);
    if (plain == NULL)
        return ERR_NOMEM;
    for (; *id != '\0'; id++) {
        int high = *id == '=' ? hex_digit(id[1], true) : -1, low = high >= 0 ? hex_digit(id[2], true) : -1;
        if (*id == '=' && low < 0)
            return ERR_BAD;
        plain[n++] = *id == '=' ? (char)(high << 4 | low) : *id;
        id += *id == '=' ? 2 : 0;
    }
    plain[n] = '\0';
    *text = plain;
    if (n == 0 || name_from_text(bytes_of(plain, strlen(plain)), bytes_of(NULL, 0), out) != OK)
        return ERR_LIMIT;
    name_lower(out->wire, out->len);
    return OK;
}
