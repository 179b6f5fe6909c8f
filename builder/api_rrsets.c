/* /v1/zones/NAME/rrsets: what a zone holds, and changes of it, all or nothing. */
#include "builder/api_zones.h"

#include "base/text.h"
#include "builder/patch.h"
#include "builder/rdata.h"
#include "builder/rrjson.h"
#include "builder/zonefile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_TTL 3600

/* --- changes: edits, and the plan that makes them -------------------------------------------------------------------- */
enum verb { REPLACE, DELETE, ADD, REMOVE };
struct edit { enum verb verb; struct row row; bool has_ttl, has_records, has_comments; };
struct edits {
    struct bytes body;
    struct name apex, owner;        /* owner, type: of one RRset that is replaced */
    uint16_t type;
    struct edit *v; size_t n;
    bool must_be_there;             /* DELETE of one RRset: 404 when there is none */
};

static bool is_there(const struct row *row)
{
    return row->n > 0 || row->comments_n > 0;
}

/* Is this RDATA among them? */
static bool among(uint16_t type, const struct row_rr *rr, size_t n, struct bytes rdata)
{
    for (size_t i = 0; i < n; i++)
        if (rdata_same(type, rr[i].rdata, rdata))
            return true;
    return false;
}

/* Those of `all` that are not in `less`, behind them those of `more`. */
static enum err join(struct arena *a, uint16_t type, const struct row *all, const struct row *less, const struct row *more,
                     struct row *out)
{
    size_t n = 0, more_n = more != NULL ? more->n : 0;
    struct row_rr *rr = arena_take(a, (all->n + more_n + 1) * sizeof *rr);
    if (rr == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < all->n; i++)
        if (!among(type, less->rr, less->n, all->rr[i].rdata))
            rr[n++] = all->rr[i];
    for (size_t i = 0; i < more_n; i++)
        rr[n++] = more->rr[i];
    out->rr = rr;
    out->n = n;
    return OK;
}

/* All signatures of an owner, whatever they cover. */
static enum err delete_signatures(struct draft *d, const struct edit *e, bool *any, struct fault *fault)
{
    const struct row *rows;
    size_t n;
    enum err err = draft_owner(d, e->row.owner, &rows, &n, fault);
    for (size_t i = 0; err == OK && i < n; i++) {
        const struct row none = { .owner = e->row.owner, .type = rows[i].type, .covers = rows[i].covers };
        if (rows[i].type != TYPE_RRSIG)
            continue;
        *any = true;
        err = draft_set(d, &none, fault);
    }
    return err;
}

/* Comments that do not say when they were made were made now. */
static enum err date_comments(struct draft *d, struct row *row)
{
    struct comment *dated = arena_take(draft_arena(d), (row->comments_n + 1) * sizeof *dated);
    if (dated == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < row->comments_n; i++) {
        dated[i] = row->comments[i];
        if (dated[i].modified_s == 0)
            dated[i].modified_s = draft_now_s(d);
    }
    row->comments = dated;
    return OK;
}

static enum err plan_edit(struct draft *d, const struct edit *e, bool *any, struct fault *fault)
{
    struct row was = { .n = 0 }, row = e->row;
    enum err err;
    if (e->verb == DELETE && row.type == TYPE_RRSIG)
        return delete_signatures(d, e, any, fault);
    err = draft_row(d, row.owner, row.type, row.covers, &was, fault);
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    *any = *any || is_there(&was);
    if (!e->has_ttl && is_there(&was))
        row.ttl = was.ttl;
    if (!e->has_comments && e->verb != DELETE) {
        row.comments = was.comments;
        row.comments_n = was.comments_n;
    } else if ((err = date_comments(d, &row)) != OK) {
        return err;
    }
    if (e->verb == REPLACE && !e->has_records) {
        row.rr = was.rr;
        row.n = was.n;
    }
    if (e->verb == ADD || e->verb == REMOVE) {
        if ((err = join(draft_arena(d), row.type, &was, &e->row, e->verb == ADD ? &e->row : NULL, &row)) != OK)
            return err;
        if (row.n == 0 && !e->has_comments)         /* the last record takes the comments with it */
            row.comments_n = 0;
    }
    return draft_set(d, &row, fault);
}

static enum err plan(void *arg, struct draft *d, struct fault *fault)
{
    const struct edits *edits = arg;
    bool any = false;
    enum err err = OK;
    for (size_t i = 0; err == OK && i < edits->n; i++)
        err = plan_edit(d, &edits->v[i], &any, fault);
    if (err == OK && edits->must_be_there && !any)
        err = fault_set(fault, ERR_NOTFOUND, "there is no such RRset");
    return err;
}

/* --- edits from JSON ------------------------------------------------------------------------------------------------- */
static bool read_verb(const json_t *v, enum verb *out)
{
    static const char *const words[] = { "replace", "delete", "add", "remove" };
    *out = REPLACE;
    for (int i = 0; v != NULL && i < 4; i++)
        if (json_is_string(v) && strcmp(json_string_value(v), words[i]) == 0) {
            *out = (enum verb)i;
            return true;
        }
    return v == NULL;
}

/* What is wrong with one RRset, and the status that this has. */
struct wrong { int status; char text[256]; };

static bool no(struct wrong *w, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool no(struct wrong *w, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->text, sizeof w->text, format, args);
    va_end(args);
    w->status = status;
    return false;
}

static bool only_known(const json_t *o, struct wrong *w)
{
    static const char *const names[] = { "name", "type", "ttl", "records", "comments", "change" };
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o, name, v) {
        bool known = false;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            known = known || strcmp(name, names[i]) == 0;
        if (!known)
            return no(w, 400, "unknown member '%.100s' of an RRset", name);
    }
    return true;
}

static bool read_edit(struct api_call *c, const struct edits *edits, const json_t *o, struct edit *out, struct wrong *w)
{
    const struct rrjson_options how = { .apex = name_bytes(&edits->apex), .default_ttl = DEFAULT_TTL };
    struct fault fault = { "" };
    if (!json_is_object(o))
        return no(w, 400, "an RRset is an object {\"name\": ..., \"type\": ..., ...}");
    if (!only_known(o, w))
        return false;
    *out = (struct edit){ .has_ttl = json_object_get(o, "ttl") != NULL };
    enum err err = rrjson_read(o, &how, &c->arena, &out->row, &out->has_records, &out->has_comments, &fault);
    if (err != OK)
        return no(w, err == ERR_NOMEM ? 500 : 422, "%s", fault_text(&fault, err));
    if (!read_verb(json_object_get(o, "change"), &out->verb))
        return no(w, 400, "change is \"replace\", \"delete\", \"add\" or \"remove\"");
    if (out->verb == DELETE && (out->has_records || out->has_comments))
        return no(w, 400, "a delete has no records and comments");
    if (out->verb != DELETE && !out->has_records && !(out->verb == REPLACE && out->has_comments))
        return no(w, 400, "records are missing");
    return true;
}

/* Of many RRsets each that is wrong is told, up to COMPLAINTS_MAX of them; error and status are those of the first. */
static enum api_next refuse_all(struct api_call *c, const struct wrong *first, json_t *errors)
{
    json_t *o = api_error_object(first->text);
    if (o == NULL || json_object_set(o, "errors", errors) != 0) {
        json_decref(o);
        o = NULL;
    }
    json_decref(errors);
    return api_object(c, first->status, o);
}

static enum api_next put_edits(struct api_call *c, struct edits *edits)
{
    c->change->plan = plan;
    c->change->arg = edits;
    return API_CHANGE;
}

static enum api_next read_edits(struct api_call *c)
{
    struct edits *edits = c->own;
    if (!api_body_read(c, edits->body))
        return API_REPLY;
    const json_t *list = json_object_get(c->json, "rrsets");
    if (!json_is_array(list) || json_object_size(c->json) != 1)
        return api_refuse(c, 400, "the body is {\"rrsets\": [{\"name\": ..., \"type\": ..., ...}, ...]}");
    edits->n = json_array_size(list);
    if (edits->n == 0)
        return api_refuse(c, 400, "no RRset is given");
    if ((edits->v = arena_take(&c->arena, edits->n * sizeof *edits->v)) == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    struct wrong wrong, first = { 0 };
    json_t *errors = json_array();
    for (size_t i = 0; i < edits->n && first.status != 500 && json_array_size(errors) < COMPLAINTS_MAX; i++) {
        if (read_edit(c, edits, json_array_get(list, i), &edits->v[i], &wrong))
            continue;
        first = first.status == 0 || wrong.status == 500 ? wrong : first;
        (void)json_array_append_new(errors, json_pack("{s:I,s:o}", "line", (json_int_t)i + 1, "text", api_plain_text(wrong.text)));
    }
    if (first.status != 0)
        return refuse_all(c, &first, errors);
    json_decref(errors);
    return put_edits(c, edits);
}

static enum api_next read_edits_work(struct api_call *c, const struct api_work *w)
{
    (void)w;
    return read_edits(c);
}

/* c->change and an empty list of edits. NULL: the reply says why. */
static struct edits *edits_begin(struct api_call *c, const struct api_request *r, const struct name *apex)
{
    struct edits *edits = arena_take(&c->arena, sizeof *edits);
    if (!api_change_begin(c, r, CHANGE_EDIT, name_bytes(apex), NULL, 0))
        return NULL;
    if (edits == NULL) {
        (void)api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
        return NULL;
    }
    *edits = (struct edits){ .body = r->body, .apex = *apex };
    c->own = edits;
    return edits;
}

static enum api_next change_many(struct api_call *c, const struct api_request *r, const struct name *apex)
{
    if (edits_begin(c, r, apex) == NULL)
        return API_REPLY;
    c->work = read_edits_work;
    return r->body.len > API_INLINE_MAX ? API_WORK : read_edits(c);
}

/* --- one RRset ------------------------------------------------------------------------------------------------------- */
struct one { struct name apex, owner; uint16_t type; };

/* /OWNER/TYPE: owner relative to the zone when it has no final dot. */
static bool read_one(struct api_call *c, const struct name *apex, const char *rest, struct one *out)
{
    struct bytes owner, type;
    if (!api_path_read(c, &rest, &owner))
        return false;
    if (*rest != '/') {
        (void)api_refuse(c, 404, "the path is /v1/zones/ZONE/rrsets/OWNER/TYPE");
        return false;
    }
    if (!api_path_read(c, &rest, &type))
        return false;
    out->apex = *apex;
    if (*rest != '\0')
        (void)api_refuse(c, 404, "no such path");
    else if (!text_is_ascii(owner))
        (void)api_refuse(c, 400, "'%.100s' is not ASCII: names are wanted as DNS has them (xn--...)", api_text(owner));
    else if (owner.len == 0 || name_from_text(owner, name_bytes(apex), &out->owner) != OK)
        (void)api_refuse(c, 400, "'%.100s' is no domain name: labels have 1 to 63 bytes, the whole 255 at most", api_text(owner));
    else if (!name_under(name_bytes(&out->owner), name_bytes(apex)))
        (void)api_refuse(c, 404, "%.100s is not in the zone", api_text(owner));
    else if (rrtype_from_text(type, &out->type) != OK)
        (void)api_refuse(c, 400, "type '%.40s' is not known, or no zone may hold it", api_text(type));
    else if (out->type == TYPE_RRSIG)
        (void)api_refuse(c, 400, "signatures are several RRsets: ask ?name= for them, and PATCH");
    else {
        name_lower(out->owner.wire, out->owner.len);
        return true;
    }
    return false;
}

static enum api_next read_one_edit(struct api_call *c)
{
    char name[NAME_TEXT_MAX], type[RRTYPE_TEXT_MAX];
    struct edits *edits = c->own;
    if (!api_body_read(c, edits->body))
        return API_REPLY;
    if (json_object_get(c->json, "name") != NULL || json_object_get(c->json, "type") != NULL
        || json_object_get(c->json, "change") != NULL)
        return api_refuse(c, 400, "name and type stand in the path: the body has ttl, records and comments");
    (void)json_object_set_new(c->json, "name", json_string(name_text(name, sizeof name, name_bytes(&edits->owner))));
    (void)json_object_set_new(c->json, "type", json_string(rrtype_text(type, edits->type)));
    edits->n = 1;
    if ((edits->v = arena_take(&c->arena, sizeof *edits->v)) == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    struct wrong wrong;
    return read_edit(c, edits, c->json, edits->v, &wrong) ? put_edits(c, edits) : api_refuse(c, wrong.status, "%s", wrong.text);
}

static enum api_next read_one_edit_work(struct api_call *c, const struct api_work *w)
{
    (void)w;
    return read_one_edit(c);
}

static enum api_next replace_one(struct api_call *c, const struct api_request *r, const struct one *one)
{
    struct edits *edits = edits_begin(c, r, &one->apex);
    if (edits == NULL)
        return API_REPLY;
    edits->owner = one->owner;
    edits->type = one->type;
    c->work = read_one_edit_work;
    return r->body.len > API_INLINE_MAX ? API_WORK : read_one_edit(c);
}

static enum api_next delete_one(struct api_call *c, const struct api_request *r, const struct one *one)
{
    struct edits *edits = edits_begin(c, r, &one->apex);
    if (edits == NULL)
        return API_REPLY;
    edits->n = 1;
    edits->must_be_there = true;
    if ((edits->v = arena_take(&c->arena, sizeof *edits->v)) == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    *edits->v = (struct edit){ .verb = DELETE, .row.owner = arena_copy(&c->arena, name_bytes(&one->owner)), .row.type = one->type };
    return put_edits(c, edits);
}

enum api_next api_zone_rrsets(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest)
{
    struct one one;
    if (*rest == '\0')
        return r->method == API_GET ? api_rrsets_list(c, r, apex) : r->method == API_PATCH ? change_many(c, r, apex)
               : api_not_allowed(c, "GET, HEAD, PATCH");
    if (!read_one(c, apex, rest, &one))
        return API_REPLY;
    switch (r->method) {
    case API_GET: return api_rrsets_one(c, r, apex, name_bytes(&one.owner), one.type);
    case API_PUT: return replace_one(c, r, &one);
    case API_DELETE: return delete_one(c, r, &one);
    default: return api_not_allowed(c, "GET, HEAD, PUT, DELETE");
    }
}
