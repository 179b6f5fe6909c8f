/* PowerDNS's API: which path and method leads where, who may, and how replies look. */
#include "builder/pdns_parts.h"

#include "builder/api_zones.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* --- replies --------------------------------------------------------------------------------------------------------- */
static const struct { int status; const char *words; } statuses[] = {
    { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
    { 409, "Conflict" }, { 500, "Internal Server Error" },
};

enum api_next pdns_status(struct pdns *p, int status)
{
    const char *words = "";
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].status == status)
            words = statuses[i].words;
    p->c->reply.status = status;
    p->c->reply.type = words[0] != '\0' ? "text/plain; charset=utf-8" : NULL;
    p->c->reply.body = bytes_of_text(words);
    return API_REPLY;
}

/* Members in the order of their names, a space behind commas and colons: byte for byte what PowerDNS's server writes. */
enum api_next pdns_reply(struct pdns *p, int status, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_SORT_KEYS) : NULL;
    struct bytes body = text != NULL ? arena_copy(&p->c->arena, bytes_of_text(text)) : bytes_of(NULL, 0);
    free(text);
    json_decref(object);
    if (body.ptr == NULL)
        return pdns_status(p, 500);
    p->c->reply.status = status;
    p->c->reply.type = "application/json";
    p->c->reply.body = body;
    return API_REPLY;
}

bool pdns_text_add(struct pdns_text *t, const char *text, size_t len)
{
    if (t->cap - t->len <= len) {
        size_t cap = 2 * t->cap + len + 4096;
        char *more = realloc(t->at, cap);
        if (more == NULL)
            return false;
        t->at = more;
        t->cap = cap;
    }
    memcpy(t->at + t->len, text, len);
    t->len += len;
    t->at[t->len] = '\0';
    return true;
}

bool pdns_text_json(struct pdns_text *t, const json_t *v)
{
    char *text = v != NULL ? json_dumps(v, JSON_SORT_KEYS) : NULL;
    bool fits = text != NULL && (t->len == 0 || t->at[t->len - 1] == '[' || pdns_text_add(t, ", ", 2))
                && pdns_text_add(t, text, strlen(text));
    free(text);
    return fits;
}

enum api_next pdns_reply_text(struct pdns *p, int status, const char *type)
{
    p->c->reply.status = status;
    p->c->reply.type = type;
    p->c->reply.body = bytes_of(p->out.at, p->out.len);
    return API_REPLY;
}

static enum api_next error_reply(struct pdns *p, int status, const char *text)
{
    json_t *v = json_string(text);                      /* NULL: it quotes what is no UTF-8 */
    return pdns_reply(p, status, json_pack("{s:o}", "error", v != NULL ? v : api_plain_text(text)));
}

enum api_next pdns_refuse(struct pdns *p, const char *format, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return error_reply(p, 422, text);
}

enum api_next pdns_failed(struct pdns *p, enum err err, const struct fault *fault)
{
    return error_reply(p, err == ERR_FULL ? 507 : err == ERR_NOTNOW ? 503 : 500, fault_text(fault, err));
}

void pdns_header(struct pdns *p, const char *name, const char *value)
{
    struct api_reply *r = &p->c->reply;
    if (r->headers_n < API_HEADERS_MAX && value != NULL)
        r->headers[r->headers_n++] = (struct api_header){ name, value };
}

/* --- steps ----------------------------------------------------------------------------------------------------------- */
void pdns_zone_release(struct pdns_zone *z)
{
    settings_release(&z->settings);
    *z = (struct pdns_zone){ .is_file = false };
}

static void drop(struct api_call *c)
{
    struct pdns *p = c->own;
    source_abort(p->txn);
    pdns_zone_release(&p->zone);
    json_decref(p->extra);
    free(p->out.at);
    if (p->whole != NULL)
        zone_release(p->whole);
    p->txn = NULL;
    p->extra = NULL;
    p->out.at = NULL;
    p->whole = NULL;
}

static enum api_next on_work(struct api_call *c, const struct api_work *w)
{
    struct pdns *p = c->own;
    enum api_next next = p->work(p, w);
    source_abort(p->txn);                               /* none is held while something else is waited for */
    p->txn = NULL;
    return next;
}

enum api_next pdns_then(struct pdns *p, pdns_fn *work)
{
    p->work = work;
    p->c->work = on_work;
    return API_WORK;
}

struct source_txn *pdns_txn(struct pdns *p, const struct api_work *w, struct fault *fault)
{
    enum source_mode mode = w->journal == NULL ? SOURCE_READ_NAMED : SOURCE_READ;       /* brief work reads no rows, and must not wait */
    if (p->txn == NULL && source_begin(w->source, mode, &p->txn, fault) != OK)
        p->txn = NULL;
    return p->txn;
}

/* A change that was refused, or failed. */
static enum api_next not_made(struct pdns *p, const struct change_result *r)
{
    const char *why = fault_text(&r->fault, r->err);
    if (r->fault.text[0] == '\0' && r->complaints.errors_n > 0)
        why = r->complaints.errors[0].text;
    if (r->end == CHANGE_UNKNOWN)
        return error_reply(p, 500, "the store failed, and it is not known whether this was made");
    if (r->end == CHANGE_FAILED)
        return error_reply(p, r->err == ERR_FULL ? 507 : r->err == ERR_NOTNOW ? 503 : 500, why);
    if (r->err == ERR_NOTFOUND || r->err == ERR_EXISTS)
        return pdns_status(p, r->err == ERR_EXISTS ? 409 : 404);
    return error_reply(p, 422, why);
}

static enum api_next on_finish(struct api_call *c)
{
    struct pdns *p = c->own;
    if (c->change->result.end != CHANGE_DONE)
        return not_made(p, &c->change->result);
    return p->finish(p, NULL);
}

enum api_next pdns_change(struct pdns *p, enum change_kind kind, change_plan_fn *plan, pdns_fn *told)
{
    struct change *c = arena_take(&p->c->arena, sizeof *c);
    const char *force = pdns_param(p, "force");
    if (c == NULL)
        return pdns_failed(p, ERR_NOMEM, NULL);
    if (p->c->change != NULL)
        change_release(p->c->change);               /* one that was made before */
    change_init(c, kind, name_bytes(&p->zone.row.apex));
    c->author = p->c->author;
    c->author.via = VIA_PDNS;
    c->force = force != NULL && (strcmp(force, "1") == 0 || strcmp(force, "true") == 0);
    c->plan = plan;
    c->arg = p;
    c->settings = p->settings;
    c->whole = kind == CHANGE_CREATE ? p->whole : NULL;
    p->c->change = c;
    p->c->finish = on_finish;
    p->finish = told;
    return API_CHANGE;
}

/* --- routes ---------------------------------------------------------------------------------------------------------- */
enum { NOW = 1, SLOW = 2, BRIEF = 4 };           /* BRIEF: with a small body; a journal is not there */
struct route { const char *path; enum api_method method; pdns_fn *take; unsigned how; };

#define SERVER "/v1/servers/localhost"
#define ZONES SERVER "/zones"
#define ZONE ZONES "/*"
static const struct route routes[] = {
    { "", API_GET, pdns_root, NOW },
    { "/v1", API_GET, pdns_v1, NOW },
    { "/v1/servers", API_GET, pdns_servers, NOW },
    { SERVER, API_GET, pdns_server, NOW },
    { SERVER "/config", API_GET, pdns_config, NOW },
    { SERVER "/statistics", API_GET, pdns_statistics, 0 },
    { SERVER "/search-data", API_GET, pdns_search, SLOW },
    { SERVER "/cache/flush", API_PUT, pdns_flush, 0 },
    { SERVER "/autoprimaries", API_GET, pdns_autoprimaries, NOW },
    { SERVER "/autoprimaries", API_POST, pdns_autoprimaries_refuse, NOW },
    { SERVER "/autoprimaries/*/*", API_DELETE, pdns_autoprimaries_refuse, NOW },
    { SERVER "/tsigkeys", API_GET, pdns_tsigs, 0 },
    { SERVER "/tsigkeys", API_POST, pdns_tsigs_post, 0 },
    { SERVER "/tsigkeys/*", API_GET, pdns_tsig, 0 },
    { SERVER "/tsigkeys/*", API_PUT, pdns_tsig_put, 0 },
    { SERVER "/tsigkeys/*", API_DELETE, pdns_tsig_delete, 0 },
    { ZONES, API_GET, pdns_zones, SLOW },
    { ZONES, API_POST, pdns_zones_post, SLOW },
    { ZONE, API_GET, pdns_zone_get, SLOW },
    { ZONE, API_PUT, pdns_zone_put, 0 },
    { ZONE, API_PATCH, pdns_zone_patch, BRIEF },
    { ZONE, API_DELETE, pdns_zone_delete, 0 },
    { ZONE "/export", API_GET, pdns_zone_export, SLOW },
    { ZONE "/notify", API_PUT, pdns_zone_notify, 0 },
    { ZONE "/axfr-retrieve", API_PUT, pdns_zone_retrieve, 0 },
    { ZONE "/rectify", API_PUT, pdns_zone_rectify, 0 },
    { ZONE "/metadata", API_GET, pdns_metadata, 0 },
    { ZONE "/metadata", API_POST, pdns_metadata_post, 0 },
    { ZONE "/metadata/*", API_GET, pdns_metadata_one, 0 },
    { ZONE "/metadata/*", API_PUT, pdns_metadata_put, 0 },
    { ZONE "/metadata/*", API_DELETE, pdns_metadata_delete, 0 },
    { ZONE "/cryptokeys", API_GET, pdns_keys, 0 },
    { ZONE "/cryptokeys", API_POST, pdns_keys_refuse, 0 },
    { ZONE "/cryptokeys/*", API_GET, pdns_key, 0 },
    { ZONE "/cryptokeys/*", API_PUT, pdns_key, 0 },
    { ZONE "/cryptokeys/*", API_DELETE, pdns_key, 0 },
};

struct part { const char *at; size_t len; };

/* path is that of the pattern, each * standing for one step that is not empty. */
static bool matches(const char *pattern, const char *path, struct part parts[2])
{
    size_t n = 0;
    while (*pattern != '\0') {
        size_t len = 1 + strcspn(pattern + 1, "/"), has = path[0] == '/' ? 1 + strcspn(path + 1, "/") : 0;
        if (pattern[1] == '*' && has > 1 && n < 2)
            parts[n++] = (struct part){ path + 1, has - 1 };
        else if (len != has || memcmp(pattern, path, len) != 0)
            return false;
        pattern += len;
        path += has;
    }
    return *path == '\0';
}

static const char *part_text(struct pdns *p, struct part part)
{
    return part.len > 0 ? pdns_decode(&p->c->arena, part.at, part.len, false) : "";
}

/* Browsers' clients ask from pages of other hosts; the key keeps strangers out. */
static enum api_next options(struct pdns *p)
{
    pdns_header(p, "Access-Control-Allow-Headers", "Content-Type, X-API-Key");
    pdns_header(p, "Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS");
    pdns_header(p, "Access-Control-Max-Age", "3600");
    return pdns_status(p, 200);
}

static enum api_next take(struct pdns *p, const struct route *r, const struct part parts[2], const struct api_request *request)
{
    const char *first = part_text(p, parts[0]), *second = part_text(p, parts[1]);
    if (first == NULL || second == NULL || (p->query = arena_text(&p->c->arena, request->query != NULL ? request->query : "")) == NULL)
        return pdns_status(p, 500);
    p->id = first;
    p->arg = second;
    if ((r->how & NOW) != 0)
        return r->take(p, NULL);
    p->c->slow = (r->how & SLOW) != 0;
    p->c->brief = (r->how & BRIEF) != 0 && p->body.len <= API_INLINE_MAX;
    return pdns_then(p, r->take);
}

enum api_next pdns_begin(struct api_call *c, const struct api_request *r, const struct api_key *who)
{
    struct pdns *p = arena_take(&c->arena, sizeof *p);
    struct part parts[2] = { { NULL, 0 } };
    bool known = false;
    if (p == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    *p = (struct pdns){ .c = c, .method = r->method, .body = r->body, .query = "", .id = "", .arg = "" };
    p->text = r->accept == NULL || strstr(r->accept, "json") == NULL;
    c->own = p;
    c->drop = drop;
    c->author.via = VIA_PDNS;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!matches(routes[i].path, r->path + strlen("/api"), parts))
            continue;
        known = true;
        if (who != NULL && routes[i].method == r->method && !r->head && (!who->read_only || r->method == API_GET)) {
            pdns_header(p, "Access-Control-Allow-Origin", "*");
            return take(p, &routes[i], parts, r);
        }
    }
    if (known && r->method == API_OPTIONS) {
        pdns_header(p, "Access-Control-Allow-Origin", "*");
        return options(p);
    }
    if (known && who == NULL)
        return pdns_status(p, 401);
    return pdns_status(p, !known ? 404 : who->read_only && r->method != API_GET ? 403 : 405);
}
