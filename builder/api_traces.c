/* Lists of traces: who changed a zone's settings, and /v1/tsig/log: who changed which key. */
#include "builder/api_zones.h"

#include "base/text.h"
#include "builder/traces.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

json_t *api_when(uint64_t ms)
{
    char date[24], text[40];
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    if (gmtime_r(&s, &tm) == NULL || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return json_null();
    (void)snprintf(text, sizeof text, "%s.%03uZ", date, (unsigned)(ms % 1000));
    return json_string(text);
}

/* --- entries -------------------------------------------------------------------------------------------------------- */
static json_t *side(struct bytes text)
{
    json_t *o = text.ptr != NULL ? json_loadb((const char *)text.ptr, text.len, JSON_DECODE_ANY, NULL) : NULL;
    return o != NULL ? o : json_null();
}

static json_t *entry_object(const struct history_row *h)
{
    struct author by = { .name = "" };
    char name[NAME_TEXT_MAX];
    bool reads = author_read(h->author, &by) == OK;
    json_t *o = json_pack("{s:I,s:o,s:s,s:o,s:o,s:o,s:o}", "number", (json_int_t)h->number, "time", api_when(h->time_ms), "via",
                          reads ? author_via_names[by.via] : "", "name", api_plain_text(by.name), "address",
                          api_plain_text(by.address), "before", side(h->before), "after", side(h->after));
    if (o != NULL && h->subject == HISTORY_KEY)
        (void)json_object_set_new(o, "key", json_string(name_text(name, sizeof name, name_bytes(&h->name))));
    if (o != NULL && h->subject == HISTORY_ZONE) {
        (void)json_object_set_new(o, "epoch", json_integer((json_int_t)h->epoch));
        (void)json_object_set_new(o, "seq", json_integer((json_int_t)h->seq));
    }
    return o;
}

struct listing { const struct api_traces *of; const struct api_work *w; json_t *list; uint64_t last; bool more; enum err err; };

static bool on_entry(void *arg, const struct history_row *h)
{
    struct listing *l = arg;
    if (h->seq > l->of->to)
        return true;
    if (h->seq < l->of->from || *l->w->stop)
        return false;
    l->more = json_array_size(l->list) == l->of->limit;
    if (l->more)
        return false;
    l->last = h->number;
    if (json_array_append_new(l->list, entry_object(h)) != 0)
        l->err = ERR_NOMEM;
    return l->err == OK;
}

MUST_USE enum err api_traces_read(const struct api_work *w, const struct api_traces *of, json_t **out, uint64_t *next, struct fault *fault)
{
    struct listing l = { .of = of, .w = w, .list = json_array() };
    struct source_txn *t = NULL;
    enum err err = l.list == NULL ? ERR_NOMEM : source_begin(w->source, SOURCE_READ, &t, fault);
    if (err == OK)
        err = source_history(t, of->subject, of->name, of->before, on_entry, &l);
    if (err == OK)
        err = l.err;
    source_abort(t);
    *next = l.more ? l.last : 0;
    if (err == OK) {
        *out = l.list;
        return OK;
    }
    json_decref(l.list);
    return fault_set(fault, err, "cannot read the history of settings and keys: %s", err_text(err));
}

bool api_before_read(struct api_call *c, struct bytes text, uint64_t *out)
{
    *out = UINT64_MAX;
    if (text.ptr == NULL || text_number(api_text(text), INT64_MAX, out) == OK)
        return true;
    (void)api_refuse(c, 400, "before is the number of an entry");
    return false;
}

/* --- /v1/tsig/log --------------------------------------------------------------------------------------------------- */
struct keys_log { struct name name; uint64_t limit, before; };

static enum api_next log_work(struct api_call *c, const struct api_work *w)
{
    const struct keys_log *q = c->own;
    const struct api_traces of = { HISTORY_KEY, name_bytes(&q->name), 0, UINT64_MAX, q->before, q->limit };
    struct fault fault = { "" };
    json_t *list;
    uint64_t next;
    enum err err = api_traces_read(w, &of, &list, &next, &fault);
    if (err != OK)
        return api_work_failed(c, err, &fault);
    json_t *o = json_pack("{s:o}", "changes", list);
    if (o != NULL && next > 0)
        (void)json_object_set_new(o, "next", json_integer((json_int_t)next));
    return api_object(c, 200, o);
}

enum api_next api_tsig_log(struct api_call *c, const struct api_request *r)
{
    struct bytes name = { 0 }, before = { 0 }, limit = { 0 };
    const struct api_param params[] = { { "name", &name }, { "before", &before }, { "limit", &limit } };
    struct keys_log *q = arena_take(&c->arena, sizeof *q);
    if (q == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    *q = (struct keys_log){ .limit = 0 };
    if (r->method != API_GET)
        return api_not_allowed(c, "GET, HEAD");
    if (!api_query_read(c, r->query, params, sizeof params / sizeof params[0]) || !api_limit_read(c, limit, &q->limit)
        || !api_before_read(c, before, &q->before) || (name.ptr != NULL && !api_zone_name_read(c, name, &q->name)))
        return API_REPLY;
    name_lower(q->name.wire, q->name.len);
    c->own = q;
    c->slow = true;                     /* all keys share one list */
    c->work = log_work;
    return API_WORK;
}
