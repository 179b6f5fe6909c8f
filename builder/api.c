#include "builder/api_parts.h"
#include "builder/pdns.h"

#include "base/text.h"

#include <stdio.h>

/* --- percent-encoding ------------------------------------------------------------------------------------------------ */
static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The bytes that text[0..len) stands for, in the call's arena. */
static enum err percent_read(struct api_call *c, const char *text, size_t len, bool query, struct bytes *out)
{
    uint8_t *bytes = arena_take(&c->arena, len + 1);
    size_t n = 0;
    if (bytes == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < len; i++) {
        uint8_t ch = (uint8_t)text[i];
        if (ch == '%') {
            int high = i + 2 < len ? hex_digit(text[i + 1]) : -1, low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return ERR_BAD;
            ch = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (query && ch == '+') {
            ch = ' ';
        }
        bytes[n++] = ch;
    }
    bytes[n] = 0;                       /* so that numbers can be read as text */
    *out = bytes_of(bytes, n);
    return OK;
}

const char *api_text(struct bytes b)
{
    return (const char *)b.ptr;
}

bool api_path_read(struct api_call *c, const char **rest, struct bytes *out)
{
    const char *from = *rest + 1;
    size_t len = strcspn(from, "/");
    enum err err = percent_read(c, from, len, false, out);
    *rest = from + len;
    if (err != OK)
        (void)api_refuse(c, err == ERR_NOMEM ? 500 : 400, "%s",
                         err == ERR_NOMEM ? err_text(err) : "the path is not percent-encoded");
    return err == OK;
}

bool api_body_read(struct api_call *c, struct bytes body)
{
    json_error_t error;
    c->json = json_loadb(body.len > 0 ? (const char *)body.ptr : "", body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (c->json == NULL)
        (void)api_refuse(c, 400, "the body is no JSON: line %d, column %d: %s", error.line, error.column, error.text);
    else if (!json_is_object(c->json))
        (void)api_refuse(c, 400, "the body is no JSON object");
    else
        return true;
    return false;
}

/* --- the query ------------------------------------------------------------------------------------------------------- */
static struct bytes *parameter(const struct api_param *params, size_t n, struct bytes name)
{
    for (size_t i = 0; i < n; i++)
        if (bytes_equal(bytes_of_text(params[i].name), name))
            return params[i].value;
    return NULL;
}

bool api_query_read(struct api_call *c, const char *text, const struct api_param *params, size_t n)
{
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, "&"), name_len = strcspn(text, "=&");
        struct bytes name, value, *place;
        size_t value_at = name_len < len ? name_len + 1 : len;
        enum err err = percent_read(c, text, name_len, true, &name);
        if (err == OK)
            err = percent_read(c, text + value_at, len - value_at, true, &value);
        if (err != OK) {
            (void)api_refuse(c, err == ERR_NOMEM ? 500 : 400, "%s",
                             err == ERR_NOMEM ? err_text(err) : "the query is not percent-encoded");
            return false;
        }
        if (len > 0 && (place = parameter(params, n, name)) == NULL) {
            (void)api_refuse(c, 400, "unknown parameter '%.100s'", api_text(name));
            return false;
        }
        if (len > 0 && place->ptr != NULL) {
            (void)api_refuse(c, 400, "parameter %.100s is given twice", api_text(name));
            return false;
        }
        if (len > 0)
            *place = value;
        text += len + (text[len] == '&');
    }
    return true;
}

static bool flag_read(const char *text, bool *out)
{
    *out = text != NULL && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
    return text == NULL || *out || strcmp(text, "0") == 0 || strcmp(text, "false") == 0;
}

bool api_flag_read(struct bytes text, bool *out)
{
    return flag_read(text.ptr != NULL ? api_text(text) : NULL, out);
}

/* --- limits ---------------------------------------------------------------------------------------------------------- */
static const char *numbered(const struct api_call *c, size_t at, char out[32])
{
    out[0] = '\0';
    if (c->many)
        (void)snprintf(out, 32, "ops[%zu]: ", at);
    return out;
}

bool api_check_ns(struct api_call *c, struct bytes ns, size_t at)
{
    char number[32];
    (void)numbered(c, at, number);
    if (!ns_name_fits(ns))
        (void)api_refuse(c, 400, "%sa namespace is named by 1 to %d of a-z 0-9 _ . -", number, STORE_NS_MAX);
    else if (bytes_equal(ns, bytes_of_text(KV_NS_DNS)))
        (void)api_refuse(c, 403, "%snamespace " KV_NS_DNS " holds zones, no general entries", number);
    else
        return true;
    return false;
}

bool api_check_op(struct api_call *c, const struct op *op, size_t at)
{
    char number[32];
    (void)numbered(c, at, number);
    if (!api_check_ns(c, op->ns, at))
        return false;
    if (op->key.len == 0 || op->key.len > KV_KEY_MAX)
        (void)api_refuse(c, 400, "%sa key of %zu bytes: 1 to %d are allowed", number, op->key.len, KV_KEY_MAX);
    else if (op->value.len > KV_BYTES_MAX)
        (void)api_refuse(c, 413, "%sa value of %zu bytes: up to %zu are allowed", number, op->value.len, KV_BYTES_MAX);
    else
        return true;
    return false;
}

/* --- one entry ------------------------------------------------------------------------------------------------------- */
/* false: the reply says why. */
static bool cond_read(struct api_call *c, const char *version, const char *absent, struct kv_cond *out)
{
    bool if_absent;
    *out = (struct kv_cond){ .kind = KV_ANY };
    if (!flag_read(absent, &if_absent)) {
        (void)api_refuse(c, 400, "if_absent is 1 or 0");
        return false;
    }
    if (version != NULL && if_absent) {
        (void)api_refuse(c, 400, "if_version and if_absent exclude each other");
        return false;
    }
    if (version != NULL && kv_version_read(version, &out->version) != OK) {
        (void)api_refuse(c, 400, "if_version is not EPOCH.SEQ");
        return false;
    }
    out->kind = version != NULL ? KV_IF_VERSION : if_absent ? KV_IF_ABSENT : KV_ANY;
    return true;
}

struct query { struct bytes prefix, after, limit, json, if_version, if_absent, wait, timeout; };

static enum api_next write_entry(struct api_call *c, const struct api_request *r, const struct query *q)
{
    struct op *op = arena_take(&c->arena, sizeof *op);
    struct kv_cond *cond = arena_take(&c->arena, sizeof *cond);
    const char *version = q->if_version.ptr != NULL ? api_text(q->if_version) : r->if_version;
    const char *absent = q->if_absent.ptr != NULL ? api_text(q->if_absent) : r->if_absent;
    bool put = r->method == API_PUT;
    if (op == NULL || cond == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    if (q->prefix.ptr != NULL || q->after.ptr != NULL || q->limit.ptr != NULL || q->json.ptr != NULL)
        return api_refuse(c, 400, "a write takes if_version, if_absent, wait and timeout only");
    if (!api_wait_read(c, q->wait, q->timeout))
        return API_REPLY;
    *op = (struct op){ put ? OP_PUT : OP_DEL, c->ns, c->key, put ? r->body : bytes_of(NULL, 0) };
    if (!api_check_op(c, op, 0) || !cond_read(c, version, absent, cond))
        return API_REPLY;
    if (!put && cond->kind == KV_IF_ABSENT)
        return api_refuse(c, 400, "a delete takes no if_absent");
    if (!put && cond->kind == KV_ANY)
        cond->kind = KV_IF_PRESENT;
    c->txn = (struct kv_txn){ .ops = op, .conds = cond, .n = 1 };
    return API_WRITE;
}

static enum api_next read_entries(struct api_call *c, const struct query *q)
{
    if (!api_check_ns(c, c->ns, 0))
        return API_REPLY;
    if (q->if_version.ptr != NULL || q->if_absent.ptr != NULL)
        return api_refuse(c, 400, "a read has no conditions");
    if (q->wait.ptr != NULL || q->timeout.ptr != NULL)
        return api_refuse(c, 400, "wait and timeout are for writes");
    if (c->list ? q->json.ptr != NULL : q->prefix.ptr != NULL || q->after.ptr != NULL || q->limit.ptr != NULL)
        return api_refuse(c, 400, c->list ? "a list is JSON always" : "prefix, after and limit are for lists");
    if (!api_flag_read(q->json, &c->as_json))
        return api_refuse(c, 400, "json is 1 or 0");
    c->limit = API_LIST_DEFAULT;
    if (q->limit.ptr != NULL && (text_number(api_text(q->limit), API_LIST_MAX, &c->limit) != OK || c->limit == 0))
        return api_refuse(c, 400, "limit is a number from 1 to %d", API_LIST_MAX);
    c->prefix = q->prefix;
    c->after = q->after;
    if (c->prefix.len > KV_KEY_MAX || c->after.len > KV_KEY_MAX || c->key.len > KV_KEY_MAX || (!c->list && c->key.len == 0))
        return api_refuse(c, 400, "a key has 1 to %d bytes", KV_KEY_MAX);
    return API_READ;
}

/* --- the way in ------------------------------------------------------------------------------------------------------ */
enum api_next api_not_allowed(struct api_call *c, const char *allow)
{
    (void)api_refuse(c, 405, "allowed here: %s", allow);
    c->reply.allow = allow;
    return API_REPLY;
}

static enum api_next route_kv(struct api_call *c, const struct api_request *r, const char *rest)
{
    struct query q = { .prefix = { 0 } };
    const struct api_param params[] = {
        { "prefix", &q.prefix }, { "after", &q.after }, { "limit", &q.limit }, { "json", &q.json },
        { "if_version", &q.if_version }, { "if_absent", &q.if_absent }, { "wait", &q.wait }, { "timeout", &q.timeout },
    };
    enum { ALL = sizeof params / sizeof params[0], WAITING = 2 };       /* the last of them, which POST takes */
    bool many = *rest == '\0';
    if (many && r->method != API_POST)
        return api_not_allowed(c, "POST");
    if (!api_query_read(c, r->query, many ? &params[ALL - WAITING] : params, many ? WAITING : ALL))
        return API_REPLY;
    if (many)
        return api_wait_read(c, q.wait, q.timeout) ? api_ops_read(c, r->body) : API_REPLY;
    const char *ns = rest + 1, *slash = strchr(ns, '/');
    enum err err = percent_read(c, ns, slash != NULL ? (size_t)(slash - ns) : strlen(ns), false, &c->ns);
    if (err == OK && slash != NULL)
        err = percent_read(c, slash + 1, strlen(slash + 1), false, &c->key);
    if (err != OK)
        return api_refuse(c, err == ERR_NOMEM ? 500 : 400, "%s",
                          err == ERR_NOMEM ? err_text(err) : "the path is not percent-encoded");
    c->list = slash == NULL;
    if (r->method == API_GET)
        return read_entries(c, &q);
    if (c->list || (r->method != API_PUT && r->method != API_DELETE))
        return api_not_allowed(c, c->list ? "GET, HEAD" : "GET, HEAD, PUT, DELETE");
    return write_entry(c, r, &q);
}

static const struct { const char *path; api_route_fn *take; } routes[] = {
    { "/v1/kv", route_kv },
    { "/v1/fleet", api_route_fleet },
    { "/v1/changes", api_route_changes },
    { "/v1/cluster", api_route_cluster },
    { "/v1/zones", api_route_zones },
    { "/v1/tsig", api_route_tsig },
};

/* Nothing of it was read. */
static enum api_next body_refused(struct api_call *c, const struct api_request *r)
{
    if (r->refused < 0)
        return api_refuse(c, 503, "other imports take the %zu MiB that are kept for them; ask again later", API_IMPORTS_MAX >> 20);
    if ((size_t)r->refused >= API_IMPORT_MAX)
        return api_refuse(c, 413, "a zone file of more than %zu MiB; azoth load takes larger ones, while no daemon runs", API_IMPORT_MAX >> 20);
    return api_refuse(c, 413, "a body of more than %ld KiB; whole zones go to POST /v1/zones/NAME/import, up to %zu MiB",
                      r->refused >> 10, API_IMPORT_MAX >> 20);
}

enum api_next api_begin(struct api_call *c, const struct api_request *r, const struct api_keys *keys)
{
    *c = (struct api_call){ .reply = { .status = 500, .type = "application/json" } };
    arena_init(&c->arena);
    const struct api_key *who = api_keys_find(keys, r->key);
    bool pdns = strncmp(r->path, "/api", 4) == 0 && (r->path[4] == '\0' || r->path[4] == '/');     /* has errors of its own */
    if (who == NULL && pdns)
        return pdns_begin(c, r, NULL);
    if (who == NULL)
        return api_refuse(c, 401, r->key == NULL ? "header X-API-Key is missing" : "this key is not known");
    c->known = true;
    c->who = *who;
    c->author.via = VIA_API;
    (void)snprintf(c->author.name, sizeof c->author.name, "%s", who->name);
    (void)snprintf(c->author.address, sizeof c->author.address, "%s", r->client != NULL ? r->client : "");
    if (r->refused != 0 && !(who->read_only && r->method != API_GET))
        return body_refused(c, r);
    if (pdns)
        return pdns_begin(c, r, who);
    if (who->read_only && r->method != API_GET)
        return api_refuse(c, 403, "this key may read only");
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        size_t len = strlen(routes[i].path);
        if (strncmp(r->path, routes[i].path, len) == 0 && (r->path[len] == '\0' || r->path[len] == '/'))
            return routes[i].take(c, r, r->path + len);
    }
    return api_refuse(c, 404, "no such path");
}

void api_call_release(struct api_call *c)
{
    if (c->drop != NULL)
        c->drop(c);
    if (c->change != NULL)
        change_release(c->change);
    json_decref(c->json);
    arena_release(&c->arena);
    *c = (struct api_call){ .json = NULL };
}
