/* azoth zone list, show, export. */
#include "tools/zone_parts.h"

#include "base/file.h"
#include "tools/table.h"
#include "tools/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 1000
#define EXPORT_TIMEOUT_MS 600000

static void number_text(char out[24], const json_t *o, const char *member)
{
    const json_t *v = json_object_get(o, member);
    (void)snprintf(out, 24, json_is_integer(v) ? "%" JSON_INTEGER_FORMAT : "-", json_integer_value(v));
}

/* --- list ------------------------------------------------------------------------------------------------------------ */
static int list_page(const struct options *o, struct table *t, const json_t *zones)
{
    const json_t *z;
    size_t i;
    int code = EXIT_FINE;
    json_array_foreach(zones, i, z) {
        char serial[24];
        number_text(serial, z, strcmp(tool_member(z, "state"), "empty") != 0 ? "serial" : "");    /* nothing there: no SOA */
        char checked[TOOL_SPAN_MAX], why[600];
        const char *cells[] = { tool_member(z, "name"), o->failing ? tool_member(z, "state") : tool_member(z, "kind"),
                                o->failing ? serial : tool_member(z, "state"), o->failing ? tool_secondary_checked(checked, z) : serial,
                                o->failing ? tool_secondary_why(why, sizeof why, z) : tool_member(z, "account") };
        if (code != EXIT_FINE)
            break;
        if (o->json)
            code = client_json_print(z);
        else if (table_add(t, cells) != OK)
            code = tool_fail(EXIT_USAGE, "out of memory");
    }
    return code;
}

/* The next page's path; false: this was the last. */
static bool next_page(char *path, size_t cap, const struct options *o, const json_t *reply)
{
    const char *next = json_string_value(json_object_get(reply, "next"));
    char after[3 * NAME_TEXT_MAX + 1] = "", kind[100] = "";
    if (reply != NULL && (next == NULL || strlen(next) >= NAME_TEXT_MAX))
        return false;
    if (next != NULL)
        client_percent(after, bytes_of_text(next));
    if (o->kind != NULL && strlen(o->kind) < 32)
        client_percent(kind, bytes_of_text(o->kind));
    (void)snprintf(path, cap, "/v1/zones?limit=%d%s%s%s%s%s", PAGE, o->failing ? "&failing=1" : "", kind[0] != '\0' ? "&kind=" : "", kind,
                   after[0] != '\0' ? "&after=" : "", after);
    return true;
}

int cmd_zone_list(const struct options *o)
{
    static const char *const plain[] = { "ZONE", "KIND", "STATE", ">SERIAL", "ACCOUNT" };
    static const char *const failing[] = { "ZONE", "STATE", ">SERIAL", ">CHECKED", "WHY NOT" };
    char path[ZONE_PATH_MAX];
    struct client *client = NULL;
    struct table t;
    json_t *reply = NULL;
    if (table_init(&t, o->failing ? failing : plain, sizeof plain / sizeof plain[0]) != OK)
        return tool_fail(EXIT_USAGE, "out of memory");
    int code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    while (code == EXIT_FINE && next_page(path, sizeof path, o, reply)) {
        json_decref(reply);
        if ((code = client_json_call(client, "zone list", CLIENT_GET, path, NULL, 0, &reply)) == EXIT_FINE)
            code = list_page(o, &t, json_object_get(reply, "zones"));
    }
    if (code == EXIT_FINE && !o->json)
        table_print(&t);
    table_release(&t);
    json_decref(reply);
    client_close(client);
    return code;
}

/* --- show ------------------------------------------------------------------------------------------------------------ */
/* A setting as it may be given to `zone set`. */
static void put_value(const json_t *v)
{
    const json_t *e;
    size_t i;
    char *text;
    if (json_is_string(v)) {
        terminal_text(stdout, json_string_value(v));
    } else if (json_is_array(v)) {
        json_array_foreach(v, i, e) {
            (void)fputs(i > 0 ? "," : "", stdout);
            put_value(e);
        }
    } else if (json_is_string(json_object_get(v, "address"))) {
        const char *key = json_string_value(json_object_get(v, "tsig"));
        terminal_text(stdout, json_string_value(json_object_get(v, "address")));
        if (key != NULL && key[0] != '\0') {
            (void)fputc('/', stdout);
            terminal_text(stdout, key);
        }
    } else if ((text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT)) != NULL) {
        terminal_text(stdout, text);
        free(text);
    }
}

static bool empty(const json_t *v)
{
    return json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0) || (json_is_array(v) && json_array_size(v) == 0)
        || (json_is_object(v) && json_object_size(v) == 0);
}

static bool is_time(const char *name, const json_t *v)
{
    return json_is_integer(v) && (strcmp(name, "created") == 0 || strcmp(name, "edited") == 0);
}

static void put_time(json_int_t unix_s)
{
    char text[40] = "?";
    time_t s = (time_t)unix_s;
    struct tm tm;
    if (unix_s == 0)                    /* of a zone file nobody knows when it was made or edited */
        (void)snprintf(text, sizeof text, "-");
    else if (gmtime_r(&s, &tm) != NULL)
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)fputs(text, stdout);
}

static void put_line(const char *name, const json_t *v)
{
    terminal_text(stdout, name);
    for (size_t n = strlen(name); n < 14; n++)
        (void)fputc(' ', stdout);
    (void)fputc(' ', stdout);
    if (is_time(name, v))
        put_time(json_integer_value(v));
    else
        put_value(v);
    (void)fputc('\n', stdout);
}

/* The newest change that the journal knows; nothing when it knows none. */
static void show_last(struct client *c, const struct name *zone)
{
    char path[ZONE_PATH_MAX];
    json_t *reply = NULL;
    struct client_reply r;
    tool_zone_path(path, zone, "/log?limit=1");
    if (client_call(c, CLIENT_GET, path, (struct bytes){ 0 }, &r) != EXIT_FINE || r.status != 200
        || (reply = client_json_body(&r)) == NULL)
        return;
    const json_t *e = json_array_get(json_object_get(reply, "changes"), 0);
    if (e != NULL) {
        (void)printf("last change    %" JSON_INTEGER_FORMAT ".%" JSON_INTEGER_FORMAT " ", json_integer_value(json_object_get(e, "epoch")),
                     json_integer_value(json_object_get(e, "seq")));
        terminal_text(stdout, tool_member(e, "time"));
        (void)fputs(" by ", stdout);
        terminal_text(stdout, tool_member(e, "name"));
        (void)fputs(" via ", stdout);
        terminal_text(stdout, tool_member(e, "via"));
        (void)fputc('\n', stdout);
    }
    json_decref(reply);
}

static void show(const json_t *zone)
{
    static const char *const first[] = { "name", "kind", "state", "serial" };
    const char *name;
    json_t *v;
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
        if ((v = json_object_get(zone, first[i])) != NULL)
            put_line(first[i], v);
    tool_secondary_print(zone);
    tool_catalog_print(zone);
    json_object_foreach((json_t *)(uintptr_t)zone, name, v) {
        bool told = empty(v) || strcmp(name, "secondary") == 0 || strcmp(name, "failing") == 0
            || strcmp(name, "catalog_state") == 0 || strcmp(name, "member_of") == 0;
        for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
            told = told || strcmp(first[i], name) == 0;
        if (!told)
            put_line(name, v);
    }
}

int cmd_zone_show(const struct options *o)
{
    char path[ZONE_PATH_MAX];
    struct client *client = NULL;
    struct name zone;
    json_t *reply = NULL;
    int code = tool_zone_name("zone show", o->args[1], &zone);
    if (code == EXIT_FINE)
        code = client_open(&client, o, CLIENT_TIMEOUT_MS);
    if (code == EXIT_FINE) {
        tool_zone_path(path, &zone, o->counts ? "?counts=1" : "");
        client_timeout(client, o->counts ? EXPORT_TIMEOUT_MS : CLIENT_TIMEOUT_MS);
        code = client_json_call(client, "zone show", CLIENT_GET, path, NULL, 0, &reply);
    }
    if (code == EXIT_FINE && o->json) {
        code = client_json_print(reply);
    } else if (code == EXIT_FINE) {
        show(reply);
        show_last(client, &zone);
    }
    json_decref(reply);
    client_close(client);
    return code;
}

/* --- export ---------------------------------------------------------------------------------------------------------- */
struct target { const char *name; char beside[PATH_MAX]; FILE *to; };

static int target_open(struct target *t, const char *name)
{
    struct stat st;
    *t = (struct target){ .name = name, .to = stdout };
    if (name == NULL || strcmp(name, "-") == 0)
        return EXIT_FINE;
    bool beside = stat(name, &st) != 0 || S_ISREG(st.st_mode);      /* a pipe or device is written to as it is */
    int n = snprintf(t->beside, sizeof t->beside, beside ? "%s.new" : "%s", name);
    if (n < 0 || (size_t)n >= sizeof t->beside)
        return tool_fail(EXIT_USAGE, "%s: path is too long", name);
    if ((t->to = fopen(t->beside, "we")) == NULL)
        n = tool_fail(EXIT_USAGE, "cannot write %s: %s", t->beside, strerror(errno));
    if (!beside || t->to == NULL)
        t->beside[0] = '\0';
    return t->to != NULL ? EXIT_FINE : n;
}

/* Whole, or as it was. */
static int target_close(struct target *t, int code)
{
    struct fault fault = { "" };
    if (t->to == NULL || t->to == stdout)
        return code;
    bool fine = fflush(t->to) == 0 && (t->beside[0] == '\0' || fsync(fileno(t->to)) == 0);
    fine = fclose(t->to) == 0 && fine;
    if (code == EXIT_FINE && !fine)
        code = tool_fail(EXIT_USAGE, "cannot write %s: %s", t->name, strerror(errno));
    if (t->beside[0] == '\0')
        return code;
    if (code == EXIT_FINE && rename(t->beside, t->name) != 0)
        code = tool_fail(EXIT_USAGE, "cannot rename %s to %s: %s", t->beside, t->name, strerror(errno));
    if (code != EXIT_FINE)
        (void)unlink(t->beside);
    else if (file_sync_folder(t->name, &fault) != OK)
        code = tool_fail(EXIT_USAGE, "%s", fault.text);
    return code;
}

static bool take(void *arg, struct bytes piece)
{
    struct target *t = arg;
    if (fwrite(piece.ptr, 1, piece.len, t->to) == piece.len)
        return true;
    (void)tool_fail(EXIT_USAGE, "cannot write %s: %s", t->name != NULL ? t->name : "the output", strerror(errno));
    return false;
}

int cmd_zone_export(const struct options *o)
{
    char path[ZONE_PATH_MAX];
    struct client *client = NULL;
    struct client_reply r = { 0 };
    struct target t = { 0 };
    int code = tool_zone_path_of("zone export", o->args[1], "/export", path);
    if (code == EXIT_FINE)
        code = client_open(&client, o, EXPORT_TIMEOUT_MS);
    if (code == EXIT_FINE)
        code = target_open(&t, o->args_n > 2 ? o->args[2] : NULL);
    if (code == EXIT_FINE) {
        code = client_fetch(client, path, take, &t, &r);
        if (code == EXIT_FINE && r.status != 200)
            code = client_json_error("zone export", NULL, &r);
        code = target_close(&t, code);
    }
    client_close(client);
    return code;
}
