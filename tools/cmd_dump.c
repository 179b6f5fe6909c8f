/* azoth dump: what is stored, as zone files, JSON lines or keys. One view is held from the first line to the last, so a
 * dump is one state; beside a busy writer that keeps old pages from being reused for as long. */
#include "store/kvvalue.h"
#include "tools/dump.h"

#define OUT_BUFFER ((size_t)1 << 18)

const struct option_spec dump_options[] = {
    OPTION("ns", "NAME", OPTION_TEXT, ns, "only this namespace (default: all; as zone files: dns)"),
    OPTION("zone", "ZONE", OPTION_TEXT, zone, "only this zone of the namespace dns"),
    OPTION("format", "FORMAT", OPTION_TEXT, format, "zone (default), json (default of a namespace other than dns) or keys"),
    OPTION_END,
};

typedef int dump_fn(const struct dump_what *d);

static dump_fn *form_of(const struct options *o)
{
    bool general = o->ns != NULL && strcmp(o->ns, KV_NS_DNS) != 0 && o->zone == NULL;
    const char *format = o->format != NULL ? o->format : o->json || general ? "json" : "zone";
    return strcmp(format, "zone") == 0 ? dump_zone_files
         : strcmp(format, "json") == 0 ? dump_json
         : strcmp(format, "keys") == 0 ? dump_keys : NULL;
}

static bool ns_exists(const struct tool_store *t, const char *ns)
{
    static char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    size_t n = 0;
    if (view_namespaces(t->view, names, &n) != OK)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], ns) == 0)
            return true;
    return false;
}

int cmd_dump(const struct options *o)
{
    struct tool_store t = { 0 };
    struct dump_what d = { .t = &t, .ns = o->ns, .one_zone = o->zone != NULL };
    dump_fn *form = form_of(o);
    if (form == NULL)
        return tool_fail(EXIT_USAGE, "dump: --format is zone, json or keys, not '%s'", o->format);
    if (o->ns != NULL && strcmp(o->ns, "dns") != 0 && (form == dump_zone_files || o->zone != NULL))
        return tool_fail(EXIT_USAGE,
                         "dump: only the namespace dns holds zones; give --format json or keys, without --zone");
    if (o->zone != NULL && name_from_text(bytes_of_text(o->zone), bytes_of(NULL, 0), &d.zone) != OK)
        return tool_fail(EXIT_USAGE, "dump: '%s' is no domain name", o->zone);
    name_lower(d.zone.wire, d.zone.len);
    (void)setvbuf(stdout, NULL, _IOFBF, OUT_BUFFER);
    int code = tool_open(&t, o->dir);
    if (code == EXIT_FINE && o->ns != NULL && !ns_exists(&t, o->ns))
        code = tool_fail(EXIT_DATA, "there is no namespace %s in %s", o->ns, o->dir);
    if (code == EXIT_FINE && o->zone != NULL && !ns_exists(&t, "dns"))
        code = tool_fail(EXIT_DATA, "there is no zone in %s", o->dir);
    if (code == EXIT_FINE)
        code = form(&d);
    tool_close(&t);
    return tool_done(code);
}
