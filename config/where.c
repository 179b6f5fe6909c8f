/* On which line does a key stand? libcyaml keeps no lines, so libyaml's events are walked once more. */
#include "config/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define WHERE_DEPTH_MAX 16
#define WHERE_PATH_MAX WHERE_TEXT_MAX

struct level { bool mapping, want_value; unsigned index; size_t path_len; };
struct walk { char path[WHERE_PATH_MAX]; size_t len; struct level level[WHERE_DEPTH_MAX]; unsigned depth; };

static void path_set(struct walk *w, size_t keep, const char *word)
{
    int n = snprintf(w->path + keep, sizeof w->path - keep, "%s%s", keep > 0 ? "." : "", word);
    w->len = n < 0 ? keep : keep + (size_t)n < sizeof w->path ? keep + (size_t)n : sizeof w->path - 1;
}

/* A node (scalar or start of a collection) begins: true when it is a key of a mapping. Sets w->path to where we are. */
static bool node_begins(struct walk *w, const yaml_event_t *e)
{
    if (w->depth == 0)
        return false;
    struct level *l = &w->level[w->depth - 1];
    if (!l->mapping) {
        char number[16];
        (void)snprintf(number, sizeof number, "%u", ++l->index);
        path_set(w, l->path_len, number);
        return false;
    }
    l->want_value = !l->want_value;
    if (!l->want_value)
        return false;                   /* the value of the key just seen: the path is that key's */
    path_set(w, l->path_len, e->type == YAML_SCALAR_EVENT ? (const char *)e->data.scalar.value : "?");
    return true;
}

unsigned yaml_line_of(struct bytes text, const char *path)
{
    struct walk w = { .len = 0 };
    yaml_parser_t parser;
    yaml_event_t e;
    unsigned line = 0;
    bool more = true;
    if (!yaml_parser_initialize(&parser))
        return 0;
    yaml_parser_set_input_string(&parser, text.ptr, text.len);
    while (more && line == 0 && yaml_parser_parse(&parser, &e)) {
        bool start = e.type == YAML_MAPPING_START_EVENT || e.type == YAML_SEQUENCE_START_EVENT;
        if (start || e.type == YAML_SCALAR_EVENT) {
            bool key = node_begins(&w, &e);
            bool element = w.depth > 0 && !w.level[w.depth - 1].mapping;
            if ((key || element) && strcmp(w.path, path) == 0)
                line = (unsigned)e.start_mark.line + 1;
        }
        if (start && w.depth < WHERE_DEPTH_MAX)
            w.level[w.depth++] = (struct level){ e.type == YAML_MAPPING_START_EVENT, false, 0, w.len };
        else if (start)
            more = false;
        if ((e.type == YAML_MAPPING_END_EVENT || e.type == YAML_SEQUENCE_END_EVENT) && w.depth > 0) {
            w.depth--;
            w.len = w.level[w.depth].path_len;
        }
        more = more && e.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    return line;
}
