#include "tools/edit.h"

#include "base/text.h"
#include "tools/progress.h"
#include "tools/rrdiff.h"
#include "tools/terminal.h"

#include <inttypes.h>

#define WHOLE_TIMEOUT_MS 600000     /* of a call that may move a zone of millions of records */
#define SHOWN_MAX 100               /* RRsets before a question */
#define BAR_FROM ((size_t)1 << 20)  /* bytes of a body that takes a while */

int edit_open(struct editor *ed, const char *what, const struct options *o)
{
    char option[64];
    uint64_t serial;
    *ed = (struct editor){ .o = o, .waits = o->wait != NULL };
    if (o->if_serial != NULL && text_number(o->if_serial, UINT32_MAX, &serial) != OK)
        return tool_fail(EXIT_USAGE, "%s: --if-serial: '%.100s' is no serial", what, o->if_serial);
    if (o->timeout != NULL && !ed->waits)
        return tool_fail(EXIT_USAGE, "%s: --timeout is that of --wait, which is missing", what);
    (void)snprintf(option, sizeof option, "%s: --wait", what);
    int code = fleet_wait_quorum(option, o->wait, &ed->wait.quorum);
    (void)snprintf(option, sizeof option, "%s: --timeout", what);
    if (code == EXIT_FINE)
        code = fleet_wait_timeout(option, o->timeout, &ed->wait.timeout_ms);
    return code == EXIT_FINE ? client_open(&ed->client, o, CLIENT_TIMEOUT_MS) : code;
}

void edit_close(struct editor *ed)
{
    client_close(ed->client);
    ed->client = NULL;
}

/* --- calls ----------------------------------------------------------------------------------------------------------- */
struct conditions { bool dry; const char *serial; };        /* serial NULL: any */

/* out: terminated text of which a query may grow. */
static void put_query(char *out, size_t cap, const char *name, const char *value)
{
    size_t n = strlen(out);
    (void)snprintf(out + n, cap - n, "%c%s=%s", strchr(out, '?') == NULL ? '?' : '&', name, value);
}

static int call(struct editor *ed, const struct edit *e, const struct conditions *when, json_t **out)
{
    char path[4096];
    struct client_reply r;
    struct progress *bar = NULL;
    (void)snprintf(path, sizeof path, "%s", e->path);
    if (when->dry)
        put_query(path, sizeof path, "dry_run", "1");
    if (ed->o->force)
        put_query(path, sizeof path, "force", "1");
    if (when->serial != NULL)
        put_query(path, sizeof path, "if_serial", when->serial);
    client_timeout(ed->client, e->whole ? WHOLE_TIMEOUT_MS : CLIENT_TIMEOUT_MS);
    if (e->body.len >= BAR_FROM)
        progress_open(&bar, when->dry ? "compare" : "send", "bytes", e->body.len);
    client_show(ed->client, bar);
    int code = client_call(ed->client, e->method, path, e->body, &r);
    client_show(ed->client, NULL);
    progress_close(bar);
    *out = NULL;
    if (code != EXIT_FINE)
        return code;
    if (client_json_code(r.status) == EXIT_FINE && (*out = client_json_body(&r)) != NULL)
        return EXIT_FINE;
    code = client_json_error(e->what, e->file, &r);
    if (e->hint != NULL && r.status == e->hint_status)
        (void)tool_fail(code, "%s: %s: %s", e->what, e->about, e->hint);
    return code;
}

static void tell_warnings(const struct editor *ed, const json_t *reply)
{
    const json_t *w;
    size_t i;
    json_array_foreach(json_object_get(reply, "warnings"), i, w) {
        const char *text = json_string_value(json_is_object(w) ? json_object_get(w, "text") : w);
        json_int_t line = json_integer_value(json_object_get(w, "line"));
        (void)fflush(stdout);
        if (ed->file != NULL && line > 0)
            (void)fprintf(stderr, "%s:%" JSON_INTEGER_FORMAT ": warning: ", ed->file, line);
        else
            (void)fputs("azoth: warning: ", stderr);
        terminal_text(stderr, text != NULL ? text : "?");
        (void)fputc('\n', stderr);
    }
}

/* --- looking ---------------------------------------------------------------------------------------------------------- */
static const char *sum(char *out, size_t cap, const struct rrdiff_count *c)
{
    (void)snprintf(out, cap, "%" PRIu64 " record%s %s, %" PRIu64 " %s", c->go, c->go == 1 ? "" : "s", c->go == 1 ? "goes" : "go",
                   c->come, c->come == 1 ? "comes" : "come");
    return out;
}

static int show_dry(struct editor *ed, const json_t *reply)
{
    char text[80];
    struct rrdiff_count c = rrdiff_count(reply);
    if (ed->o->json)
        return client_json_print(reply);
    rrdiff_print(stdout, reply, 0);
    (void)printf("; dry run: %s; nothing was changed\n", sum(text, sizeof text, &c));
    tell_warnings(ed, reply);
    return EXIT_FINE;
}

static bool needs_yes(const struct edit *e, const struct rrdiff_count *c)
{
    switch (e->ask) {
    case EDIT_ASK_NEVER: return false;
    case EDIT_ASK_MANY: return c->go > 1;
    case EDIT_ASK_LOSS: return c->go > 0;
    case EDIT_ASK_SHOW: return c->go > 0 || (c->come > 0 && terminal_is_there());
    case EDIT_ASK_ALWAYS: break;
    }
    return true;
}

/* Shows what would go and asks. serial: in, room for one; set to the one that was shown when the yes holds for that only. */
static int look(struct editor *ed, const struct edit *e, struct conditions *when, char serial[16])
{
    char text[80], question[400];
    json_t *reply = NULL;
    uint32_t seen;
    int code = call(ed, e, &(struct conditions){ true, when->serial }, &reply);
    if (code != EXIT_FINE)
        return code;
    struct rrdiff_count c = rrdiff_count(reply);
    if (needs_yes(e, &c) && !terminal_is_there()) {
        code = tool_fail(EXIT_USAGE, "%s: %s: %s: without a terminal to ask at, give --yes (--dry-run shows the difference); nothing was done",
                         e->what, e->about, sum(text, sizeof text, &c));
    } else if (needs_yes(e, &c)) {
        rrdiff_print(stderr, reply, SHOWN_MAX);
        tell_warnings(ed, reply);
        (void)snprintf(question, sizeof question, "%s: %s: %s. Go on?", e->what, e->about, sum(text, sizeof text, &c));
        if (!terminal_ask(question))
            code = tool_fail(EXIT_USAGE, "%s: nothing was done", e->what);
    }
    if (e->whole && when->serial == NULL && rrdiff_serial(reply, &seen)) {
        (void)snprintf(serial, 16, "%" PRIu32, seen);
        when->serial = serial;
    }
    json_decref(reply);
    return code;
}

int edit_make(struct editor *ed, const struct edit *e, json_t **reply)
{
    struct conditions when = { ed->o->dry_run, ed->o->if_serial };
    char serial[16];
    int code = EXIT_FINE;
    *reply = NULL;
    ed->file = e->file;
    if (!when.dry && !ed->o->yes && e->ask != EDIT_ASK_NEVER)
        code = look(ed, e, &when, serial);
    if (code == EXIT_FINE)
        code = call(ed, e, &when, reply);
    if (code == EXIT_FINE && when.dry) {
        code = show_dry(ed, *reply);
        json_decref(*reply);
        *reply = NULL;
    }
    return code;
}

/* --- telling --------------------------------------------------------------------------------------------------------- */
static int wait_for_it(struct editor *ed, uint64_t epoch, uint64_t seq)
{
    json_t *reply = NULL;
    ed->wait.epoch = epoch;
    ed->wait.seq = seq;
    int code = fleet_wait(ed->client, &ed->wait, &reply);
    if (code == EXIT_FINE && ed->o->json)
        code = fleet_wait_tell(&ed->wait, reply, true);
    else if (code == EXIT_FINE && !json_is_true(json_object_get(reply, "done")))
        code = fleet_wait_tell(&ed->wait, reply, false);
    json_decref(reply);
    return code;
}

int edit_tell(struct editor *ed, const char *what, const json_t *reply)
{
    json_int_t epoch = 0, seq = 0;
    int code = EXIT_FINE;
    if (json_unpack((json_t *)(uintptr_t)reply, "{s:I,s:I}", "epoch", &epoch, "seq", &seq) != 0)
        return tool_fail(EXIT_USAGE, "%s: the core's answer makes no sense", what);
    tell_warnings(ed, reply);
    if (ed->o->json)
        code = client_json_print(reply);
    else
        (void)printf("%" JSON_INTEGER_FORMAT ".%" JSON_INTEGER_FORMAT "\n", epoch, seq);
    if (!ed->o->json && json_is_false(json_object_get(reply, "changed"))) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "azoth: %s: it was so already\n", what);
    }
    return code == EXIT_FINE && ed->waits ? wait_for_it(ed, (uint64_t)epoch, (uint64_t)seq) : code;
}

int edit_run(const struct options *o, const struct edit *e)
{
    struct editor ed;
    json_t *reply = NULL;
    int code = edit_open(&ed, e->what, o);
    if (code == EXIT_FINE)
        code = edit_make(&ed, e, &reply);
    if (code == EXIT_FINE && reply != NULL)
        code = edit_tell(&ed, e->what, reply);
    json_decref(reply);
    edit_close(&ed);
    return code;
}
