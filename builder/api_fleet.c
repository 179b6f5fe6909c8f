/* What the API tells of the fleet, and the orders about the whole cluster. */
#include "builder/api_parts.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define QUORUM_ALL 100

/* --- requests -------------------------------------------------------------------------------------------------------- */
enum api_next api_route_fleet(struct api_call *c, const struct api_request *r, const char *rest)
{
    if (*rest != '\0')
        return api_refuse(c, 404, "no such path");
    if (r->method != API_GET)
        return api_not_allowed(c, "GET, HEAD");
    return api_query_read(c, r->query, NULL, 0) ? API_FLEET : API_REPLY;
}

/* "100" or "100%": the latter is written 100%25 in a query. Not given: 100. */
static bool quorum_read(struct bytes text, unsigned *out)
{
    char digits[8];
    uint64_t n = QUORUM_ALL;
    size_t len = text.len > 0 && text.ptr[text.len - 1] == '%' ? text.len - 1 : text.len;
    if (text.ptr != NULL) {
        if (len >= sizeof digits)
            return false;
        memcpy(digits, text.ptr, len);
        digits[len] = '\0';
        if (text_number(digits, QUORUM_ALL, &n) != OK)
            return false;
    }
    *out = (unsigned)n;
    return true;
}

bool api_wait_read(struct api_call *c, struct bytes wait, struct bytes timeout)
{
    struct api_changes *q = &c->changes;
    q->wait_ms = API_WAIT_DEFAULT_MS;
    c->wait = wait.ptr != NULL;
    if (!c->wait && timeout.ptr != NULL)
        (void)api_refuse(c, 400, "timeout goes with wait");
    else if (!quorum_read(wait, &q->quorum))
        (void)api_refuse(c, 400, "wait is a share of the nodes from 0 to 100 per cent, such as 100%%");
    else if (timeout.ptr != NULL && (text_duration(api_text(timeout), &q->wait_ms) != OK || q->wait_ms > API_WAIT_MAX_MS))
        (void)api_refuse(c, 400, "timeout is a time up to %d s, such as 5s or 500ms", API_WAIT_MAX_MS / 1000);
    else
        return true;
    return false;
}

enum api_next api_route_changes(struct api_call *c, const struct api_request *r, const char *rest)
{
    struct bytes wait = { 0 }, quorum = { 0 }, all = { 0 }, epoch = { 0 };
    const struct api_param params[] = { { "wait", &wait }, { "quorum", &quorum }, { "all", &all }, { "epoch", &epoch } };
    struct api_changes *q = &c->changes;
    if (*rest != '/')
        return api_refuse(c, 404, "no such path");
    if (r->method != API_GET)
        return api_not_allowed(c, "GET, HEAD");
    if (!api_query_read(c, r->query, params, sizeof params / sizeof params[0]))
        return API_REPLY;
    if (text_number(rest + 1, INT64_MAX, &q->seq) != OK)
        return api_refuse(c, 400, "the path is /v1/changes/SEQ");
    if (epoch.ptr != NULL && (text_number(api_text(epoch), INT64_MAX, &q->epoch) != OK || q->epoch == 0))
        return api_refuse(c, 400, "epoch is a number from 1 on");
    if (wait.ptr != NULL && (text_duration(api_text(wait), &q->wait_ms) != OK || q->wait_ms > API_WAIT_MAX_MS))
        return api_refuse(c, 400, "wait is a time up to %d s, such as 5s or 500ms", API_WAIT_MAX_MS / 1000);
    if (!quorum_read(quorum, &q->quorum))
        return api_refuse(c, 400, "quorum is a share from 0 to 100 per cent");
    if (!api_flag_read(all, &q->all))
        return api_refuse(c, 400, "all is 1 or 0");
    return API_CHANGES;
}

enum api_next api_route_cluster(struct api_call *c, const struct api_request *r, const char *rest)
{
    struct bytes wait = { 0 }, timeout = { 0 };
    const struct api_param params[] = { { "wait", &wait }, { "timeout", &timeout } };
    bool raise = strcmp(rest, "/raise-epoch") == 0;
    if (!raise && strcmp(rest, "/rotate-key") != 0)
        return api_refuse(c, 404, "no such path");
    if (r->method != API_POST)
        return api_not_allowed(c, "POST");
    if (!api_query_read(c, r->query, params, raise ? 2 : 0) || !api_wait_read(c, wait, timeout))
        return API_REPLY;
    if (r->body.len > 0)
        return api_refuse(c, 400, "this path takes no body");
    c->order = raise ? API_RAISE_EPOCH : API_ROTATE_KEY;
    return API_ORDER;
}

/* --- replies --------------------------------------------------------------------------------------------------------- */
/* A fleet has up to 100,000 nodes: its JSON is printed rather than made of objects. */
static void page_reply(struct api_call *c, struct stat_page *page)
{
    struct bytes body = { 0 };
    if (!page->failed)
        body = arena_copy(&c->arena, bytes_of(page->text, page->len));
    stat_page_release(page);
    if (body.ptr == NULL) {
        (void)api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
        return;
    }
    c->reply.status = c->change != NULL ? c->reply.status : 200;        /* 201 stays */
    c->reply.type = "application/json";
    c->reply.body = body;
}

/* text: printable ASCII. */
static const char *quoted(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    out[n++] = '"';
    for (; *text != '\0' && n + 3 < cap; text++) {
        if (*text == '"' || *text == '\\')
            out[n++] = '\\';
        out[n++] = *text < ' ' || *text > '~' ? '?' : *text;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}
#define QUOTED_MAX (2 * NODE_NAME_MAX + 4)

/* Milliseconds since 1970 as ISO 8601, in quotes. */
static const char *time_text(char out[40], uint64_t ms)
{
    char date[24] = "";
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    if (gmtime_r(&s, &tm) == NULL || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return "null";
    (void)snprintf(out, 40, "\"%s.%03uZ\"", date, (unsigned)(ms % 1000));
    return out;
}

static void put_node(struct stat_page *page, const struct fleet_node *n)
{
    char name[QUOTED_MAX], parent[QUOTED_MAX], cohort[QUOTED_MAX], version[QUOTED_MAX], heard[40];
    stat_print(page, "{\"node\":%s,\"parent\":%s,\"cohort\":%s,\"state\":\"%s\",\"away\":%s,",
               quoted(name, sizeof name, n->name), quoted(parent, sizeof parent, n->parent),
               quoted(cohort, sizeof cohort, n->cohort), fleet_node_state(n), n->away ? "true" : "false");
    stat_print(page, "\"epoch\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"lag_records\":%" PRIu64 ",\"lag_ms\":%" PRIu64
               ",\"digest_ok\":%s,", n->epoch, n->seq, n->lag_records, n->lag_ms,
               !n->digest_known ? "null" : n->digest_ok ? "true" : "false");
    stat_print(page, "\"head_seq\":%" PRIu64 ",\"head_age_ms\":%" PRIu64 ",\"propagation_us\":%" PRIu64 ",", n->head_seq,
               n->head_age_ms, n->propagation_us);
    stat_print(page, "\"version\":%s,\"uptime_s\":%" PRIu64 ",\"qps\":%" PRIu64 ",",
               quoted(version, sizeof version, n->version), n->uptime_s, n->qps);
    if (n->ever)
        stat_print(page, "\"heard_ms_ago\":%" PRIu64 ",\"last_heard\":%s}", n->heard_ms, time_text(heard, n->heard_core_ms));
    else
        stat_print(page, "\"heard_ms_ago\":null,\"last_heard\":null}");
}

void api_fleet(struct api_call *c, const struct fleet *f, uint64_t now_us)
{
    struct stat_page page;
    struct fleet_node n;
    uint64_t epoch = 0, seq = 0;
    stat_page_init(&page);
    (void)fleet_newest(f, &epoch, &seq);
    stat_print(&page, "{\"epoch\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"nodes\":[", epoch, seq);
    for (size_t i = 0; i < fleet_count(f); i++) {
        if (i > 0)
            stat_print(&page, ",");
        fleet_node(f, i, now_us, &n);
        put_node(&page, &n);
    }
    stat_print(&page, "]}");
    page_reply(c, &page);
}

/* Names of the nodes that lack the change: those that count, or those that do not. */
static void put_names(struct stat_page *page, const struct api_changes *q, const struct fleet *f, uint64_t now_us, bool counted)
{
    char name[QUOTED_MAX];
    struct fleet_node n;
    unsigned put = 0;
    for (size_t i = 0; i < fleet_count(f) && put < API_NAMES_MAX; i++) {
        fleet_node(f, i, now_us, &n);
        if ((n.counted || q->all) == counted && !fleet_node_has(&n, q->epoch, q->seq))
            stat_print(page, "%s%s", put++ > 0 ? "," : "", quoted(name, sizeof name, n.name));
    }
}

bool api_changes(struct api_call *c, const struct fleet *f, uint64_t now_us, bool last)
{
    struct api_changes *q = &c->changes;
    struct fleet_has has;
    struct stat_page page;
    uint64_t epoch = 1, seq = 0;
    (void)fleet_newest(f, &epoch, &seq);
    if (q->epoch == 0)
        q->epoch = epoch;               /* and so it stays for this request */
    fleet_has(f, q->epoch, q->seq, q->all, now_us, &has);
    size_t need = fleet_quorum(has.nodes, q->quorum);
    bool done = has.have >= need;
    if (!done && !last)
        return false;
    stat_page_init(&page);
    if (c->wait)
        stat_print(&page, "%.*s,", (int)c->reply.body.len - 1, (const char *)c->reply.body.ptr);    /* api_will_wait has looked at it */
    else
        stat_print(&page, "{\"epoch\":%" PRIu64 ",\"seq\":%" PRIu64 ",", q->epoch, q->seq);
    stat_print(&page, "\"known\":%s,\"nodes\":%zu,\"have\":%zu,\"need\":%zu,\"missing\":[", has.known ? "true" : "false",
               has.nodes, has.have, need);
    put_names(&page, q, f, now_us, true);
    stat_print(&page, "],\"absent\":[");
    put_names(&page, q, f, now_us, false);
    stat_print(&page, "],\"done\":%s}", done ? "true" : "false");
    page_reply(c, &page);
    return true;
}

bool api_will_wait(struct api_call *c)
{
    const struct api_reply *r = &c->reply;
    if (!c->wait || !r->versioned || r->status >= 300 || r->body.len < 3 || r->body.ptr[r->body.len - 1] != '}')
        return false;
    c->changes.epoch = r->version.epoch;
    c->changes.seq = r->version.seq;
    return true;
}

void api_ordered(struct api_call *c, const struct api_ordered *o)
{
    char id[24];
    if (o->err == ERR_NOTNOW)
        (void)api_refuse(c, 503, "%s", o->why);
    else if (o->err == ERR_FULL)
        (void)api_refuse(c, 507, "%s", o->why);
    else if (o->err == ERR_REFUSED)
        (void)api_refuse(c, 409, "%s", o->why);
    else if (o->err != OK)
        (void)api_refuse(c, 500, "%s", o->why);
    if (o->err != OK)
        return;
    (void)snprintf(id, sizeof id, "%016" PRIx64, o->key_id);
    c->reply.versioned = c->order == API_RAISE_EPOCH;
    c->reply.version = (struct kv_version){ o->epoch, o->seq };
    (void)api_object(c, 200, c->order == API_ROTATE_KEY
                     ? json_pack("{s:s}", "key_id", id)
                     : json_pack("{s:I,s:I}", "epoch", (json_int_t)o->epoch, "seq", (json_int_t)o->seq));
}

void api_fail(struct api_call *c, int status, const char *why)
{
    (void)api_refuse(c, status, "%s", why);
}
