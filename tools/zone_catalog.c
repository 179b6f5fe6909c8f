/* azoth zone show: a catalog zone and how it stands, and whose member a zone is. */
#include "tools/terminal.h"
#include "tools/zone_parts.h"

#include <inttypes.h>
#include <stdio.h>

static json_int_t number(const json_t *o, const char *member) { return json_integer_value(json_object_get(o, member)); }

static void print_state(const json_t *zone, const json_t *s)
{
    (void)printf("catalog        %s, %" JSON_INTEGER_FORMAT " members\n", tool_member(s, "state"), number(s, "members"));
    if (json_is_string(json_object_get(s, "why"))) {
        (void)fputs("broken         ", stdout);
        terminal_text(stdout, tool_member(s, "why"));
        (void)fputs(": its members stay as they are\n", stdout);
    }
    if (number(s, "clashes") > 0) {
        (void)printf("clashes        %" JSON_INTEGER_FORMAT " members are zones here that are not the catalog's: ", number(s, "clashes"));
        terminal_text(stdout, tool_member(s, "clash"));
        (void)fputs(number(s, "clashes") > 1 ? " ...\n" : "\n", stdout);
    }
    if (number(s, "held") > 0) {
        (void)printf("held back      %" JSON_INTEGER_FORMAT " members would go, too many at once: azoth zone transfer ", number(s, "held"));
        terminal_text(stdout, tool_member(zone, "name"));
        (void)fputs(" --force\n", stdout);
    }
    if (number(s, "failed") > 0)
        (void)printf("failed         %" JSON_INTEGER_FORMAT " changes of members, tried again: the core's log says why\n", number(s, "failed"));
}

void tool_catalog_print(const json_t *zone)
{
    const json_t *state = json_object_get(zone, "catalog_state"), *of = json_object_get(zone, "member_of");
    if (json_is_object(state))
        print_state(zone, state);
    if (!json_is_object(of))
        return;
    (void)fputs("member of      ", stdout);
    terminal_text(stdout, tool_member(of, "catalog"));
    (void)fputs(" as ", stdout);
    terminal_text(stdout, tool_member(of, "id"));
    (void)fputc('\n', stdout);
}
