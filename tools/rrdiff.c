#include "tools/rrdiff.h"

#include "tools/terminal.h"

#include <inttypes.h>
#include <string.h>

#define RED "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

static const char *text_of(const json_t *o, const char *member)
{
    const char *text = json_string_value(json_object_get(o, member));
    return text != NULL ? text : "?";
}

static bool is_soa(const json_t *change)
{
    return strcmp(text_of(change, "type"), "SOA") == 0;
}

/* Is this record in the RRset (an object with "records", or null)? */
static bool has_record(const json_t *rrset, const char *text)
{
    const json_t *r;
    size_t i;
    json_array_foreach(json_object_get(rrset, "records"), i, r) {
        const char *other = json_string_value(r);
        if (other != NULL && strcmp(other, text) == 0)
            return true;
    }
    return false;
}

static bool same_ttl(const json_t *a, const json_t *b)
{
    return json_integer_value(json_object_get(a, "ttl")) == json_integer_value(json_object_get(b, "ttl"));
}

/* --- printing -------------------------------------------------------------------------------------------------------- */
/* The records of one side that the other one lacks. */
static void print_side(FILE *to, char sign, const char *colour, const json_t *change, const json_t *side, const json_t *other)
{
    const json_t *r;
    size_t i;
    json_array_foreach(json_object_get(side, "records"), i, r) {
        const char *text = json_string_value(r);
        if (text == NULL || (same_ttl(side, other) && has_record(other, text)))
            continue;
        (void)fprintf(to, "%s%c ", colour, sign);
        terminal_text(to, text_of(change, "name"));
        (void)fprintf(to, " %" JSON_INTEGER_FORMAT " IN ", json_integer_value(json_object_get(side, "ttl")));
        terminal_text(to, text_of(change, "type"));
        (void)fputc(' ', to);
        terminal_text(to, text);
        (void)fprintf(to, "%s\n", colour[0] != '\0' ? PLAIN : "");
    }
}

void rrdiff_print(FILE *to, const json_t *reply, size_t most)
{
    const json_t *list = json_object_get(reply, "differences"), *change;
    bool colours = terminal_colours(to);
    size_t i, n = json_array_size(list);
    json_array_foreach(list, i, change) {
        const json_t *before = json_object_get(change, "before"), *after = json_object_get(change, "after");
        if (most > 0 && i == most)
            break;
        print_side(to, '-', colours ? RED : "", change, before, after);
        print_side(to, '+', colours ? GREEN : "", change, after, before);
    }
    if (json_is_true(json_object_get(reply, "cut")))
        (void)fprintf(to, "; more RRsets than can be shown: %" JSON_INTEGER_FORMAT " records go, %" JSON_INTEGER_FORMAT " come in all\n",
                      json_integer_value(json_object_get(reply, "removed")), json_integer_value(json_object_get(reply, "added")));
    else if (most > 0 && n > most)
        (void)fprintf(to, "; and %zu more RRsets (--dry-run shows all)\n", n - most);
}

/* --- counting -------------------------------------------------------------------------------------------------------- */
static uint64_t lacking(const json_t *side, const json_t *other)
{
    const json_t *r;
    size_t i;
    uint64_t n = 0;
    json_array_foreach(json_object_get(side, "records"), i, r) {
        const char *text = json_string_value(r);
        n += text != NULL && !has_record(other, text);
    }
    return n;
}

static uint64_t at_least(const json_t *reply, const char *member, uint64_t n)
{
    json_int_t told = json_integer_value(json_object_get(reply, member));
    return json_is_true(json_object_get(reply, "cut")) && told > 0 && (uint64_t)told > n ? (uint64_t)told : n;
}

struct rrdiff_count rrdiff_count(const json_t *reply)
{
    struct rrdiff_count c = { 0, 0 };
    const json_t *change;
    size_t i;
    json_array_foreach(json_object_get(reply, "differences"), i, change) {
        const json_t *before = json_object_get(change, "before"), *after = json_object_get(change, "after");
        if (is_soa(change) && json_is_object(before) && json_is_object(after))
            continue;
        c.go += lacking(before, after);
        c.come += lacking(after, before);
    }
    return (struct rrdiff_count){ at_least(reply, "removed", c.go), at_least(reply, "added", c.come) };
}

bool rrdiff_serial(const json_t *reply, uint32_t *out)
{
    const json_t *change;
    size_t i;
    json_array_foreach(json_object_get(reply, "differences"), i, change) {
        const char *text = json_string_value(json_array_get(json_object_get(json_object_get(change, "before"), "records"), 0));
        if (is_soa(change) && text != NULL && sscanf(text, "%*s %*s %" SCNu32, out) == 1)
            return true;
    }
    return false;
}
