/* azoth wait: until a change has reached the fleet. Asks the core, which answers when it has (a long poll). */
#include "base/clock.h"
#include "base/text.h"
#include "builder/api.h"
#include "tools/fleet_wait.h"

#include <inttypes.h>
#include <time.h>

#define QUORUM_ALL 100
#define TIMEOUT_MS 5000
#define TIMEOUT_MAX_MS ((uint64_t)86400000)
#define SLACK_MS 10000          /* for the answer of a poll to come, besides what it waits */
#define BUSY_MS 250             /* the core has no place for another poll: asked again behind that */

const struct option_spec wait_options[] = {
    OPTION("quorum", "SHARE", OPTION_TEXT, quorum, "how many of the nodes, such as 75% (default 100%)"),
    OPTION("all", NULL, OPTION_FLAG, all, "of all listed nodes, also those that are away"),
    OPTION("epoch", "EPOCH", OPTION_NUMBER, epoch, "epoch of SEQ (default: the core's)"),
    OPTION("timeout", "TIME", OPTION_TEXT, timeout, "how long to wait (default 5s)"),
    OPTION_END,
};

/* --- arguments ------------------------------------------------------------------------------------------------------- */
/* SEQ, or EPOCH.SEQ as azoth kv prints it. */
static int take_seq(const struct options *o, struct fleet_wait *a)
{
    struct kv_version v = { .epoch = o->epoch };
    const char *text = o->args[0];
    if (strchr(text, '.') == NULL ? text_number(text, INT64_MAX, &v.seq) != OK : kv_version_read(text, &v) != OK)
        return tool_fail(EXIT_USAGE, "wait: '%.100s' is neither SEQ nor EPOCH.SEQ", text);
    if (o->epoch != 0 && v.epoch != o->epoch)
        return tool_fail(EXIT_USAGE, "wait: --epoch %" PRIu64 " and %.100s contradict each other", o->epoch, text);
    a->epoch = v.epoch;
    a->seq = v.seq;
    return EXIT_FINE;
}

int fleet_wait_quorum(const char *option, const char *text, uint64_t *out)
{
    char digits[8];
    size_t len = text != NULL ? strlen(text) : 0;
    *out = QUORUM_ALL;
    if (text == NULL)
        return EXIT_FINE;
    if (len > 0 && text[len - 1] == '%')
        len--;
    (void)snprintf(digits, sizeof digits, "%.*s", (int)len, text);
    if (len >= sizeof digits || text_number(digits, QUORUM_ALL, out) != OK)
        return tool_fail(EXIT_USAGE, "%s: '%.100s' is no share from 0%% to 100%%", option, text);
    return EXIT_FINE;
}

int fleet_wait_timeout(const char *option, const char *text, uint64_t *out_ms)
{
    *out_ms = TIMEOUT_MS;
    if (text != NULL && (text_duration(text, out_ms) != OK || *out_ms > TIMEOUT_MAX_MS))
        return tool_fail(EXIT_USAGE, "%s: '%s' is not a time such as 500ms, 5s or 2m", option, text);
    return EXIT_FINE;
}

static int take_arguments(const struct options *o, struct fleet_wait *a)
{
    *a = (struct fleet_wait){ .all = o->all };
    int code = fleet_wait_timeout("wait: --timeout", o->timeout, &a->timeout_ms);
    if (code == EXIT_FINE)
        code = take_seq(o, a);
    return code == EXIT_FINE ? fleet_wait_quorum("wait: --quorum", o->quorum, &a->quorum) : code;
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */
static void rest_ms(uint64_t ms)
{
    const struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
    (void)nanosleep(&t, NULL);
}

/* One poll. *out NULL: the core is busy. */
static int poll_once(struct client *c, const struct fleet_wait *a, uint64_t wait_ms, json_t **out)
{
    char path[200], epoch[32] = "";
    if (a->epoch != 0)
        (void)snprintf(epoch, sizeof epoch, "&epoch=%" PRIu64, a->epoch);
    (void)snprintf(path, sizeof path, "/v1/changes/%" PRIu64 "?wait=%" PRIu64 "ms&quorum=%" PRIu64 "%s%s", a->seq, wait_ms,
                   a->quorum, a->all ? "&all=1" : "", epoch);
    return client_json(c, "wait", CLIENT_GET, path, 503, out);
}

/* Nobody counts: no node is listed, or none was heard lately. That is no thing to wait for. */
static bool nobody(const json_t *reply)
{
    return json_integer_value(json_object_get(reply, "nodes")) == 0;
}

/* The first poll only asks, so that it is known whether there is anybody to wait for. */
int fleet_wait(struct client *c, struct fleet_wait *a, json_t **out)
{
    uint64_t start_ms = clock_mono_ms();
    bool busy = false;
    client_timeout(c, (a->timeout_ms < API_WAIT_MAX_MS ? a->timeout_ms : API_WAIT_MAX_MS) + SLACK_MS);
    for (;;) {
        json_t *reply = NULL;
        uint64_t passed = clock_mono_ms() - start_ms, left = a->timeout_ms > passed ? a->timeout_ms - passed : 0;
        int code = poll_once(c, a, busy || *out == NULL ? 0 : left < API_WAIT_MAX_MS ? left : API_WAIT_MAX_MS, &reply);
        if (code != EXIT_FINE)
            return code;
        if (busy || reply == NULL)
            rest_ms(left < BUSY_MS ? left : BUSY_MS);
        if (reply == NULL && left == 0)
            return tool_fail(EXIT_TIMEOUT, "wait: the core has too much to do");
        busy = reply == NULL;
        if (reply == NULL)
            continue;
        json_decref(*out);
        *out = reply;
        a->epoch = (uint64_t)json_integer_value(json_object_get(reply, "epoch"));
        if (json_is_true(json_object_get(reply, "done")) || left == 0 || nobody(reply))
            return EXIT_FINE;
    }
}

/* --- telling --------------------------------------------------------------------------------------------------------- */
static const char *names(char *out, size_t cap, const char *before, const json_t *list)
{
    size_t n = 0, i;
    const json_t *v;
    out[0] = '\0';
    json_array_foreach(list, i, v) {
        const char *name = json_string_value(v);
        if (name == NULL || n + strlen(name) + strlen(before) + 8 > cap) {
            (void)snprintf(out + n, cap - n, " ...");
            break;
        }
        n += (size_t)snprintf(out + n, cap - n, "%s%s", i == 0 ? before : ", ", name);
    }
    return out;
}

int fleet_wait_tell(const struct fleet_wait *a, const json_t *reply, bool json)
{
    char missing[600], absent[200];
    json_int_t nodes = 0, have = 0;
    bool done = json_is_true(json_object_get(reply, "done"));
    const char *unknown = json_is_false(json_object_get(reply, "known")) ? "; the core knows no such change" : "";
    if (json_unpack((json_t *)(uintptr_t)reply, "{s:I,s:I}", "nodes", &nodes, "have", &have) != 0)
        return tool_fail(EXIT_USAGE, "wait: the core's answer makes no sense");
    if (json) {
        int code = client_json_print(reply);
        return code != EXIT_FINE || done ? code : EXIT_TIMEOUT;
    }
    (void)names(missing, sizeof missing, "; not: ", json_object_get(reply, "missing"));
    (void)names(absent, sizeof absent, "; away: ", json_object_get(reply, "absent"));
    if (!done && nodes == 0)
        return tool_fail(EXIT_TIMEOUT, "%" PRIu64 ".%" PRIu64 ": 0 of 0 nodes have it: nobody to wait for, no node is listed "
                         "or none was heard in the last 30 s%s%s", a->epoch, a->seq, unknown, absent);
    if (!done)
        return tool_fail(EXIT_TIMEOUT, "%" PRIu64 ".%" PRIu64 ": %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
                         " nodes have it%s%s%s", a->epoch, a->seq, have, nodes, unknown, missing, absent);
    (void)printf("%" PRIu64 ".%" PRIu64 ": %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " nodes have it%s%s\n", a->epoch,
                 a->seq, have, nodes, missing, absent);
    return EXIT_FINE;
}

int cmd_wait(const struct options *o)
{
    struct client *client = NULL;
    struct fleet_wait a;
    json_t *reply = NULL;
    int code = take_arguments(o, &a);
    if (code == EXIT_FINE)
        code = client_open(&client, o, SLACK_MS);
    if (code == EXIT_FINE)
        code = fleet_wait(client, &a, &reply);
    if (code == EXIT_FINE)
        code = fleet_wait_tell(&a, reply, o->json);
    json_decref(reply);
    client_close(client);
    return tool_done(code);
}
