/* azoth zone: zones of the core, through its API. What each verb does stands in zone_write.c, zone_read.c, zone_history.c. */
#include "builder/kv.h"
#include "tools/verbs.h"
#include "tools/zone_parts.h"

#include "base/text.h"
#include "tools/terminal.h"

#include <stdio.h>

const struct option_spec zone_options[] = {
    OPTION("ns", "NAME", OPTION_LIST, nameservers, "add: a name server of the zone (again for each)"),
    OPTION("kind", "KIND", OPTION_TEXT, kind, "add: native (default) or secondary; list: only native, secondary or file"),
    OPTION("primary", "ADDRESS[@PORT][/KEY]", OPTION_LIST, primaries, "add: where a secondary comes from (again for each)"),
    OPTION("tsig", "KEY", OPTION_TEXT, tsig, "add: TSIG key for the primaries that name none"),
    OPTION("catalog", NULL, OPTION_FLAG, catalog, "add: the secondary is a catalog zone: its members are zones here"),
    OPTION("serial", "POLICY", OPTION_TEXT, serial, "add: increment, unixtime, date or keep"),
    OPTION("file", "FILE", OPTION_TEXT, file, "add: the zone's records are in this zone file"),
    OPTION("from", "SEQ", OPTION_TEXT, from_seq, "log, diff: from this change on, or since it"),
    OPTION("to", "SEQ", OPTION_TEXT, to_seq, "log, diff: up to this change; rollback: as it was behind it"),
    OPTION("axfr", NULL, OPTION_FLAG, transfer_all, "transfer: all of the zone, whatever its serial"),
    OPTION("limit", "COUNT", OPTION_NUMBER, limit, "log: at most so many (default 100)"),
    OPTION("records", NULL, OPTION_FLAG, records, "log: with what each change did, record by record"),
    OPTION("failing", NULL, OPTION_FLAG, failing, "list: secondaries whose primaries would not do, and why"),
    OPTION("counts", NULL, OPTION_FLAG, counts, "show: count its RRsets and records too"),
    EDIT_OPTION_ROWS,
    OPTION_END,
};

/* --- names ----------------------------------------------------------------------------------------------------------- */
int tool_zone_name(const char *what, const char *text, struct name *out)
{
    static const uint8_t root[1] = { 0 };
    if (strcmp(text, "@") == 0)
        return tool_fail(EXIT_USAGE, "%s: '@' is the apex of a zone that is not given (of an RRset's: --zone ZONE)", what);
    if (!text_is_ascii(bytes_of_text(text)))
        return tool_fail(EXIT_USAGE, "%s: '%.200s' is not ASCII: give the name as DNS has it (xn--...; idn2 shows it)", what, text);
    if (name_from_text(bytes_of_text(text), bytes_of(root, 1), out) != OK)
        return tool_fail(EXIT_USAGE, "%s: '%.200s' is no domain name", what, text);
    name_lower(out->wire, out->len);
    return EXIT_FINE;
}

void tool_note_relative(const char *what, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || name[len - 1] == '.' || strchr(name, '.') == NULL)
        return;
    (void)fprintf(stderr, "azoth: %s: note: ", what);
    terminal_text(stderr, name);
    (void)fputs(" has no final dot, so it is relative to the zone\n", stderr);
}

void tool_zone_path(char *out, const struct name *zone, const char *rest)
{
    char text[NAME_TEXT_MAX], encoded[3 * NAME_TEXT_MAX + 1];
    client_percent(encoded, bytes_of_text(name_text(text, sizeof text, name_bytes(zone))));
    (void)snprintf(out, ZONE_PATH_MAX, "/v1/zones/%s%s", encoded, rest);
}

int tool_zone_path_of(const char *what, const char *text, const char *rest, char *out)
{
    struct name zone;
    int code = tool_zone_name(what, text, &zone);
    if (code == EXIT_FINE)
        tool_zone_path(out, &zone, rest);
    return code;
}

int tool_seq(const char *what, const char *option, const char *text, uint64_t *out)
{
    struct kv_version v = { 0 };
    if (strchr(text, '.') == NULL ? text_number(text, INT64_MAX, &v.seq) != OK : kv_version_read(text, &v) != OK)
        return tool_fail(EXIT_USAGE, "%s: --%s: '%.100s' is neither SEQ nor EPOCH.SEQ", what, option, text);
    *out = v.seq;
    return EXIT_FINE;
}

const char *tool_member(const json_t *o, const char *member)
{
    const char *text = json_string_value(json_object_get(o, member));
    return text != NULL && text[0] != '\0' ? text : "-";
}

/* --- which one ------------------------------------------------------------------------------------------------------- */
const struct verb zone_verbs[] = {
    { "add", "NAME --ns NAME...", 2, 2, EDIT_OPTIONS "ns kind primary tsig catalog serial file ", cmd_zone_add },
    { "import", "NAME FILE|-", 3, 3, EDIT_OPTIONS, cmd_zone_import },
    { "export", "NAME [FILE]", 2, 3, "", cmd_zone_export },
    { "list", "[--kind KIND] [--failing]", 1, 1, " kind failing ", cmd_zone_list },
    { "show", "NAME", 2, 2, " counts ", cmd_zone_show },
    { "remove", "NAME", 2, 2, EDIT_OPTIONS, cmd_zone_remove },
    { "set", "NAME SETTING=VALUE...", 3, SIZE_MAX, EDIT_OPTIONS, cmd_zone_set },
    { "rebuild", "NAME", 2, 2, EDIT_OPTIONS, cmd_zone_rebuild },
    { "transfer", "NAME [--axfr] [--wait]", 2, 2, " axfr force wait timeout ", cmd_zone_transfer },
    { "notify", "NAME", 2, 2, "", cmd_zone_notify },
    { "log", "NAME [--records]", 2, 2, " from to limit records ", cmd_zone_log },
    { "diff", "NAME SEQ | --from SEQ", 2, 3, " from to ", cmd_zone_diff },
    { "rollback", "NAME --to SEQ", 2, 2, EDIT_OPTIONS "to ", cmd_zone_rollback },
    { NULL, NULL, 0, 0, NULL, NULL },
};

int cmd_zone(const struct options *o)
{
    return verbs_run("zone", zone_options, zone_verbs, o);
}
