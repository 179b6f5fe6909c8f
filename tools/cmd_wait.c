/* azoth wait: until a change has reached the fleet. Asks the core, which answers when it has (a long poll). */
#include "base/clock.h"
#include "base/text.h"
#include "builder/api.h"
#include "tools/client_json.h"

#include <inttypes.h>
#include <time.h>

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

struct asking { uint64_t epoch, seq, quorum, timeout_ms, end_ms; bool all; };

/* --- arguments ------------------------------------------------------------------------------------------------------- */
/* SEQ, or EPOCH.SEQ as azoth kv prints it. */
static int take_seq(const struct options *o, struct asking *a)
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

static int take_quorum(const struct options *o, struct asking *a)
{
    char digits[8];
    size_t len = o->quorum != NULL ? strlen(o->quorum) : 0;
    a->quorum = 100;
    if (len > 0 && o->quorum[len - 1] == '%')
        len--;
    if (len >= sizeof digits)
        return tool_fail(EXIT_USAGE, "wait: --quorum: '%.100s' is no share from 0%% to 100%%", o->quorum);
    (void)snprintf(digits, sizeof digits, "%.*s", (int)len, o->quorum != NULL ? o->quorum : "");
    if (o->quorum != NULL && text_number(digits, 100, &a->quorum) != OK)
        return tool_fail(EXIT_USAGE, "wait: --quorum: '%.100s' is no share from 0%% to 100%%", o->quorum);
    return EXIT_FINE;
}

static int take_arguments(const struct options *o, struct asking *a)
{
    *a = (struct asking){ .timeout_ms = TIMEOUT_MS, .all = o->all };
    if (o->timeout != NULL && (text_duration(o->timeout, &a->timeout_ms) != OK || a->timeout_ms > TIMEOUT_MAX_MS))
        return tool_fail(EXIT_USAGE, "wait: --timeout: '%s' is not a time such as 500ms, 5s or 2m", o->timeout);
    a->end_ms = clock_mono_ms() + a->timeout_ms;
    int code = take_seq(o, a);
    return code == EXIT_FINE ? take_quorum(o, a) : code;
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */
static void rest_ms(uint64_t ms)
{
    const struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
    (void)nanosleep(&t, NULL);
}

/* One poll. *out NULL: the core is busy. */
static int poll_once(struct client *c, const struct asking *a, uint64_t wait_ms, json_t **out)
{
    char path[200], epoch[32] = "";
    if (a->epoch != 0)
        (void)snprintf(epoch, sizeof epoch, "&epoch=%" PRIu64, a->epoch);
    (void)snprintf(path, sizeof path, "/v1/changes/%" PRIu64 "?wait=%" PRIu64 "ms&quorum=%" PRIu64 "%s%s", a->seq, wait_ms,
                   a->quorum, a->all ? "&all=1" : "", epoch);
    return client_json(c, "wait", CLIENT_GET, path, 503, out);
}

/* *out: the last answer. */
static int poll_until(struct client *c, struct asking *a, json_t **out)
{
    bool busy = false;
    for (;;) {
        json_t *reply = NULL;
        uint64_t now = clock_mono_ms(), left = a->end_ms > now ? a->end_ms - now : 0;
        int code = poll_once(c, a, busy ? 0 : left < API_WAIT_MAX_MS ? left : API_WAIT_MAX_MS, &reply);
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
        if (json_is_true(json_object_get(reply, "done")) || left == 0)
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

static int tell(const struct options *o, const struct asking *a, const json_t *reply)
{
    char missing[600], absent[200];
    json_int_t nodes = 0, have = 0;
    bool done = json_is_true(json_object_get(reply, "done"));
    const char *unknown = json_is_false(json_object_get(reply, "known")) ? "; the core knows no such change" : "";
    if (json_unpack((json_t *)(uintptr_t)reply, "{s:I,s:I}", "nodes", &nodes, "have", &have) != 0)
        return tool_fail(EXIT_USAGE, "wait: the core's answer makes no sense");
    if (o->json) {
        int code = client_json_print(reply);
        return code != EXIT_FINE || done ? code : EXIT_TIMEOUT;
    }
    (void)names(missing, sizeof missing, "; not: ", json_object_get(reply, "missing"));
    (void)names(absent, sizeof absent, "; away: ", json_object_get(reply, "absent"));
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
    struct asking a;
    json_t *reply = NULL;
    int code = take_arguments(o, &a);
    if (code == EXIT_FINE)
        code = client_open(&client, o, (a.timeout_ms < API_WAIT_MAX_MS ? a.timeout_ms : API_WAIT_MAX_MS) + SLACK_MS);
    if (code == EXIT_FINE)
        code = poll_until(client, &a, &reply);
    if (code == EXIT_FINE)
        code = tell(o, &a, reply);
    json_decref(reply);
    client_close(client);
    return tool_done(code);
}
