/* Changes of zones by the API: what a request says for each of them, and what is answered. */
#include "builder/api_parts.h"

#include "base/text.h"
#include "builder/rrjson.h"

#include <stdio.h>

struct asked { struct bytes dry_run, force, if_serial, wait, timeout; };

static bool read_conditions(struct api_call *c, const struct asked *q)
{
    struct change *change = c->change;
    uint64_t serial = 0;
    change->has_if_serial = q->if_serial.ptr != NULL;
    if (!api_flag_read(q->dry_run, &change->dry_run))
        (void)api_refuse(c, 400, "dry_run is 1 or 0");
    else if (!api_flag_read(q->force, &change->force))
        (void)api_refuse(c, 400, "force is 1 or 0");
    else if (change->has_if_serial && text_number(api_text(q->if_serial), UINT32_MAX, &serial) != OK)
        (void)api_refuse(c, 400, "if_serial is the serial of the zone's SOA");
    else if (api_wait_read(c, q->wait, q->timeout)) {
        change->if_serial = (uint32_t)serial;
        change->want_difference = change->dry_run;
        c->wait = c->wait && !change->dry_run;
        return true;
    }
    return false;
}

bool api_change_begin(struct api_call *c, const struct api_request *r, enum change_kind kind, struct bytes apex,
                      const struct api_param *more, size_t n)
{
    struct asked q = { .dry_run = { 0 } };
    struct api_param params[12] = {
        { "dry_run", &q.dry_run }, { "force", &q.force }, { "if_serial", &q.if_serial }, { "wait", &q.wait },
        { "timeout", &q.timeout },
    };
    enum { OURS = 5, ROOM = sizeof params / sizeof params[0] };
    for (size_t i = 0; i < n && i < ROOM - OURS; i++)
        params[OURS + i] = more[i];
    if (!api_query_read(c, r->query, params, OURS + (n < ROOM - OURS ? n : ROOM - OURS)))
        return false;
    if ((c->change = arena_take(&c->arena, sizeof *c->change)) == NULL) {
        (void)api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
        return false;
    }
    change_init(c->change, kind, apex);
    c->change->author = c->author;
    c->finish = api_change_reply;
    return read_conditions(c, &q);
}

/* --- replies --------------------------------------------------------------------------------------------------------- */
int api_change_status(const struct change *c)
{
    const struct change_result *r = &c->result;
    if (r->end == CHANGE_DONE)
        return c->kind == CHANGE_CREATE && !c->dry_run ? 201 : 200;
    if (r->end == CHANGE_REFUSED)
        switch (r->err) {
        case ERR_NOTFOUND: return 404;
        case ERR_EXISTS:
        case ERR_NOTNOW: return 409;
        case ERR_STALE: return 412;
        case ERR_LIMIT: return 413;
        default: return 422;
        }
    return r->end == CHANGE_UNKNOWN ? 500 : r->err == ERR_FULL ? 507 : r->err == ERR_NOTNOW ? 503 : 500;
}

/* Those that were kept, as [{"line", "text"}]. */
static json_t *complaint_list(const struct complaint *v, unsigned n)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < n && i < COMPLAINTS_MAX; i++)
        (void)json_array_append_new(list, json_pack("{s:I,s:o}", "line", (json_int_t)v[i].line, "text", api_plain_text(v[i].text)));
    return list;
}

json_t *api_change_error(const struct change *c)
{
    const struct change_result *r = &c->result;
    char text[FAULT_TEXT_MAX + 100];
    const char *why = fault_text(&r->fault, r->err);
    if (r->end == CHANGE_REFUSED && r->fault.text[0] == '\0' && r->complaints.errors_n > 0)
        why = r->complaints.errors[0].text;
    (void)snprintf(text, sizeof text, "%s%s", r->end == CHANGE_UNKNOWN
                   ? "the store failed, and it is not known whether this was made: " : "", why);
    json_t *o = api_error_object(text);
    if (o != NULL && r->end == CHANGE_REFUSED && r->complaints.errors_n > 0)
        (void)json_object_set_new(o, "errors", complaint_list(r->complaints.errors, r->complaints.errors_n));
    return o;
}

static void put_difference(json_t *o, const struct difference *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->n; i++)
        (void)json_array_append_new(list, rrjson_change(&d->v[i]));
    (void)json_object_set_new(o, "dry_run", json_true());
    (void)json_object_set_new(o, "differences", list);
    (void)json_object_set_new(o, "added", json_integer((json_int_t)d->added));
    (void)json_object_set_new(o, "removed", json_integer((json_int_t)d->removed));
    (void)json_object_set_new(o, "cut", json_boolean(d->cut));
}

enum api_next api_change_reply(struct api_call *c)
{
    const struct change_result *r = &c->change->result;
    int status = api_change_status(c->change);
    if (r->end != CHANGE_DONE)
        return api_object(c, status, api_change_error(c->change));
    json_t *o = json_pack("{s:I,s:I,s:b,s:I,s:o}", "epoch", (json_int_t)r->epoch, "seq", (json_int_t)r->seq, "changed",
                          (int)r->changed, "serial", (json_int_t)r->serial, "warnings",
                          complaint_list(r->complaints.warnings, r->complaints.warnings_n));
    if (o != NULL && c->change->dry_run)
        put_difference(o, &r->difference);
    (void)api_object(c, status, o);
    c->reply.versioned = true;
    c->reply.version = (struct kv_version){ r->epoch, r->seq };
    return API_REPLY;
}
