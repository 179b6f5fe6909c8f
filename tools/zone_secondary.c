/* What a secondary zone is doing, for people: azoth zone show, azoth zone list --failing, azoth zone transfer --wait. */
#include "tools/zone_parts.h"

#include "base/clock.h"
#include "base/text.h"
#include "tools/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define POLL_MS 200
#define WAIT_MS 60000
#define WAIT_MAX_MS ((uint64_t)86400000)

/* --- spans of time ------------------------------------------------------------------------------------------------------- */
const char *tool_span(char out[TOOL_SPAN_MAX], json_int_t s)
{
    static const struct { json_int_t least, unit; const char *name; } rows[] = {
        { 2 * 86400, 86400, "d" }, { 2 * 3600, 3600, "h" }, { 120, 60, "min" }, { 0, 1, "s" },
    };
    size_t i = 0;
    s = s > 0 ? s : 0;
    while (s < rows[i].least)
        i++;
    (void)snprintf(out, TOOL_SPAN_MAX, "%" JSON_INTEGER_FORMAT " %s", s / rows[i].unit, rows[i].name);
    return out;
}

/* "12 s ago"; "never" */
static void put_ago(const json_t *secondary, const json_t *time)
{
    char span[TOOL_SPAN_MAX];
    if (json_is_integer(time))
        (void)printf("%s ago", tool_span(span, json_integer_value(json_object_get(secondary, "now")) - json_integer_value(time)));
    else
        (void)fputs("never", stdout);
}

static void put_until(const json_t *secondary, const char *member, const char *words)
{
    char span[TOOL_SPAN_MAX];
    const json_t *then = json_object_get(secondary, member);
    if (json_is_integer(then))
        (void)printf("; %s %s", words, tool_span(span, json_integer_value(then) - json_integer_value(json_object_get(secondary, "now"))));
}

/* --- show ------------------------------------------------------------------------------------------------------------------- */
static void put_checks(const json_t *s)
{
    (void)fputs("checked        ", stdout);
    put_ago(s, json_object_get(s, "checked"));
    if (json_is_true(json_object_get(s, "running")))
        (void)fputs("; a primary is being asked", stdout);
    else if (json_is_true(json_object_get(s, "waiting")))
        (void)fputs("; it waits for its turn at a primary", stdout);
    put_until(s, "next", "next in");
    if (json_is_true(json_object_get(s, "expired")))
        (void)fputs("; EXPIRED", stdout);
    else
        put_until(s, "expires", "expires in");
    (void)fputc('\n', stdout);
}

static void put_transfer(const json_t *s)
{
    const json_t *t = json_object_get(s, "transfer");
    (void)fputs("transferred    ", stdout);
    put_ago(s, json_object_get(s, "transferred"));
    if (json_is_object(t)) {
        (void)printf(" from ");
        terminal_text(stdout, tool_member(t, "primary"));
        (void)printf(": %s, %" JSON_INTEGER_FORMAT " records, %" JSON_INTEGER_FORMAT " bytes, %" JSON_INTEGER_FORMAT " ms",
                     json_is_true(json_object_get(t, "whole")) ? "all of it (AXFR)" : "what changed (IXFR)",
                     json_integer_value(json_object_get(t, "records")), json_integer_value(json_object_get(t, "bytes")),
                     json_integer_value(json_object_get(t, "ms")));
        if (json_is_integer(json_object_get(t, "from")))
            (void)printf(", from serial %" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(t, "from")));
    }
    (void)fputc('\n', stdout);
}

static void put_primary(const json_t *s, const json_t *p)
{
    const json_t *serial = json_object_get(p, "serial"), *error = json_object_get(p, "error");
    (void)fputs("primary        ", stdout);
    terminal_text(stdout, tool_member(p, "address"));
    if (json_string_length(json_object_get(p, "tsig")) > 0) {
        (void)fputc('/', stdout);
        terminal_text(stdout, tool_member(p, "tsig"));
    }
    if (json_is_integer(serial)) {
        (void)printf(": serial %" JSON_INTEGER_FORMAT ", ", json_integer_value(serial));
        put_ago(s, json_object_get(p, "heard"));
    } else {
        (void)printf(": %s", json_is_string(error) ? "no serial" : "not asked yet");
    }
    if (json_is_string(error)) {
        (void)fputs("; FAILED", stdout);
        if (json_is_integer(json_object_get(p, "failed"))) {
            (void)fputc(' ', stdout);
            put_ago(s, json_object_get(p, "failed"));
        }
        (void)fputs(": ", stdout);
        terminal_text(stdout, json_string_value(error));
    }
    (void)fputc('\n', stdout);
}

void tool_secondary_print(const json_t *zone)
{
    const json_t *s = json_object_get(zone, "secondary"), *p;
    size_t i;
    if (!json_is_object(s))
        return;
    put_checks(s);
    put_transfer(s);
    json_array_foreach(json_object_get(s, "primaries"), i, p)
        put_primary(s, p);
    if (json_is_true(json_object_get(zone, "failing")))
        (void)printf("failing        %" JSON_INTEGER_FORMAT " times in a row\n", json_integer_value(json_object_get(s, "failures")));
}

/* --- the list of those that fail --------------------------------------------------------------------------------------------- */
/* The primary that failed last, which is the one that ended the round. */
static const json_t *failed_last(const json_t *s)
{
    const json_t *p, *last = NULL;
    size_t i;
    json_array_foreach(json_object_get(s, "primaries"), i, p)
        if (json_is_string(json_object_get(p, "error"))
            && (last == NULL || json_integer_value(json_object_get(p, "failed")) >= json_integer_value(json_object_get(last, "failed"))))
            last = p;
    return last;
}

const char *tool_secondary_why(char *out, size_t cap, const json_t *zone)
{
    const json_t *p = failed_last(json_object_get(zone, "secondary"));
    (void)snprintf(out, cap, p != NULL ? "%s: %s" : "-", tool_member(p, "address"), tool_member(p, "error"));
    return out;
}

const char *tool_secondary_checked(char out[TOOL_SPAN_MAX], const json_t *zone)
{
    const json_t *s = json_object_get(zone, "secondary"), *checked = json_object_get(s, "checked");
    if (!json_is_integer(checked))
        return "never";
    return tool_span(out, json_integer_value(json_object_get(s, "now")) - json_integer_value(checked));
}

/* --- waiting for a transfer ------------------------------------------------------------------------------------------------------ */
static int wait_time(const struct options *o, uint64_t *out_ms)
{
    *out_ms = WAIT_MS;
    if (o->wait != NULL && strcmp(o->wait, TOOL_WAIT_ALL) != 0)
        return tool_fail(EXIT_USAGE, "zone transfer: --wait takes no share: it waits for the core alone");
    if (o->timeout != NULL && (text_duration(o->timeout, out_ms) != OK || *out_ms > WAIT_MAX_MS))
        return tool_fail(EXIT_USAGE, "zone transfer: --timeout: '%s' is not a time such as 500ms, 5s or 2m", o->timeout);
    return EXIT_FINE;
}

int tool_secondary_may_wait(const struct options *o)
{
    uint64_t ms;
    return wait_time(o, &ms);
}

static void rest(void)
{
    static const struct timespec pause = { 0, (long)POLL_MS * 1000000 };
    (void)nanosleep(&pause, NULL);
}

/* How the wish of this ticket, or a later one, ended; NULL: it has not. */
static const char *outcome_of(const json_t *zone, json_int_t ticket)
{
    const json_t *request = json_object_get(json_object_get(zone, "secondary"), "request");
    const char *outcome = json_string_value(json_object_get(request, "outcome"));
    return outcome != NULL && json_integer_value(json_object_get(request, "ticket")) >= ticket && strcmp(outcome, "pending") != 0 ? outcome : NULL;
}

static int poll_until(struct client *c, const char *path, json_int_t ticket, uint64_t timeout_ms, json_t **zone)
{
    uint64_t start_ms = clock_mono_ms();
    for (;;) {
        json_decref(*zone);
        *zone = NULL;
        int code = client_json_call(c, "zone transfer", CLIENT_GET, path, NULL, 0, zone);
        if (code != EXIT_FINE || outcome_of(*zone, ticket) != NULL)
            return code;
        if (clock_mono_ms() - start_ms >= timeout_ms)
            return tool_fail(EXIT_TIMEOUT, "zone transfer: it has not ended in time; azoth zone show tells how it stands");
        rest();
    }
}

static int tell(const struct options *o, const json_t *zone, json_int_t ticket)
{
    const char *outcome = outcome_of(zone, ticket);
    const json_t *s = json_object_get(zone, "secondary");
    char why[600];
    bool failed = strcmp(outcome, "failed") == 0;
    int code = o->json ? client_json_print(zone) : EXIT_FINE;
    if (failed)
        return tool_fail(EXIT_USAGE, "zone transfer: %s: no primary would do: %s", o->args[1], tool_secondary_why(why, sizeof why, zone));
    if (o->json)
        return code;
    (void)printf("%s: serial %" JSON_INTEGER_FORMAT "%s\n", o->args[1], json_integer_value(json_object_get(zone, "serial")),
                 strcmp(outcome, "current") == 0 ? ", as the primary has it" : "");
    if (strcmp(outcome, "transferred") == 0)
        put_transfer(s);
    return EXIT_FINE;
}

int tool_secondary_wait(const struct options *o, struct client *c, const struct name *zone, json_int_t ticket)
{
    char path[ZONE_PATH_MAX];
    json_t *reply = NULL;
    uint64_t timeout_ms;
    int code = wait_time(o, &timeout_ms);
    tool_zone_path(path, zone, "");
    if (code == EXIT_FINE)
        code = poll_until(c, path, ticket, timeout_ms, &reply);
    if (code == EXIT_FINE)
        code = tell(o, reply, ticket);
    json_decref(reply);
    return code;
}
