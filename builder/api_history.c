/* A zone's history: who changed it when, what was different, and back to what it was. */
#include "builder/api_parts.h"

#include "base/text.h"
#include "builder/rollback.h"
#include "builder/rrjson.h"

#include <inttypes.h>

#define LOG_DEFAULT 100
#define LOG_MAX 1000
#define DIFF_MOST CHANGE_DIFFERENCE_MOST
#define ROLLBACK_TRIES 3                /* a zone that moves meanwhile is read again so often */

struct history {
    struct name apex;
    uint64_t from, to, limit, before;   /* before: number of an entry of settings */
    struct rollback back;               /* of a roll-back */
    unsigned tries;
};

static struct history *own(struct api_call *c, const struct name *apex)
{
    struct history *h = arena_take(&c->arena, sizeof *h);
    if (h == NULL) {
        (void)api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
        return NULL;
    }
    *h = (struct history){ .apex = *apex };
    c->own = h;
    c->slow = true;                     /* an entry may be as large as a zone */
    return h;
}

static bool seq_read(struct api_call *c, struct bytes text, const char *name, uint64_t absent, uint64_t *out)
{
    *out = absent;
    if (text.ptr == NULL || text_number(api_text(text), INT64_MAX, out) == OK)
        return true;
    (void)api_refuse(c, 400, "%s is the seq of a change", name);
    return false;
}

/* The newest seq that can be asked for. */
static bool newest(struct api_call *c, const struct api_work *w, uint64_t *seq)
{
    struct head h;
    enum err err = view_head(w->view, &h, NULL);
    *seq = err == OK ? h.seq : 0;
    if (err != OK && err != ERR_NOTFOUND)
        (void)api_refuse(c, 500, "the store cannot be read");
    return err == OK || err == ERR_NOTFOUND;
}

static enum api_next failed(struct api_call *c, enum err err, const struct fault *fault)
{
    if (err == ERR_GAP)
        return api_refuse(c, 410, "%s", fault_text(fault, err));
    if (err == ERR_LIMIT)
        return api_refuse(c, 413, "%s", fault_text(fault, err));
    return api_work_failed(c, err, fault);
}

/* --- log ------------------------------------------------------------------------------------------------------------- */
struct listing { json_t *list; uint64_t limit, next; const struct history *h; const struct api_work *w; enum err err; struct fault fault; };

static json_t *entry_object(struct listing *l, const struct journal_entry *e)
{
    struct difference d;
    json_t *o = json_pack("{s:I,s:I,s:o,s:I,s:I,s:s,s:o,s:o,s:b,s:b}", "epoch", (json_int_t)e->epoch, "seq", (json_int_t)e->seq,
                          "time", api_when(e->time_ms), "serial_before", (json_int_t)e->serial_before, "serial_after",
                          (json_int_t)e->serial_after, "via", author_via_names[e->author.via], "name",
                          api_plain_text(e->author.name), "address", api_plain_text(e->author.address), "forced",
                          (int)e->forced, "whole", (int)e->whole);
    if (o == NULL || e->whole)
        return o;
    difference_init(&d);
    l->err = difference_of_keys(name_bytes(&l->h->apex), e->keys, e->n, 1, &d, &l->fault);
    (void)json_object_set_new(o, "added", json_integer((json_int_t)d.added));
    (void)json_object_set_new(o, "removed", json_integer((json_int_t)d.removed));
    difference_release(&d);
    return o;
}

static bool on_entry(void *arg, const struct journal_entry *e)
{
    struct listing *l = arg;
    if (json_array_size(l->list) == l->limit) {
        l->next = e->seq;
        return false;
    }
    if (*l->w->stop)
        l->err = fault_set(&l->fault, ERR_NOTNOW, "the core is ending");
    if (l->err == OK && json_array_append_new(l->list, entry_object(l, e)) != 0)
        l->err = ERR_NOMEM;
    return l->err == OK;
}

static bool is_zone(const struct api_work *w, const struct name *apex)
{
    struct zone_header h;
    return zone_header_get(name_bytes(apex), w->view, &h) != ERR_NOTFOUND;
}

static enum api_next log_work(struct api_call *c, const struct api_work *w)
{
    const struct history *h = c->own;
    struct listing l = { .list = json_array(), .limit = h->limit, .h = h, .w = w };
    uint64_t reach = 0;
    enum err err = l.list == NULL ? ERR_NOMEM : journal_reach(w->journal, &reach, &l.fault);
    if (err == OK)
        err = journal_walk_back(w->journal, name_bytes(&h->apex), h->from, h->to, on_entry, &l, &l.fault);
    if (err == OK)
        err = l.err;
    const struct api_traces of = { HISTORY_ZONE, name_bytes(&h->apex), h->from, h->to, h->before, h->limit };
    uint64_t next = 0;
    json_t *settings = NULL;
    if (err == OK)
        err = api_traces_read(w, &of, &settings, &next, &l.fault);
    bool any = json_array_size(l.list) > 0 || json_array_size(settings) > 0;
    if (err != OK || (!any && !is_zone(w, &h->apex))) {
        json_decref(l.list);
        json_decref(settings);
        return err != OK ? failed(c, err, &l.fault) : api_refuse(c, 404, "no such zone");
    }
    json_t *o = json_pack("{s:o,s:o}", "changes", l.list, "settings", settings);
    if (o != NULL && next > 0)
        (void)json_object_set_new(o, "settings_next", json_integer((json_int_t)next));
    if (o != NULL && l.next > 0)
        (void)json_object_set_new(o, "next", json_integer((json_int_t)l.next));
    if (o != NULL && reach > 0)
        (void)json_object_set_new(o, "complete_from", json_integer((json_int_t)reach));
    return api_object(c, 200, o);
}

enum api_next api_zone_log(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest)
{
    struct bytes from = { 0 }, to = { 0 }, limit = { 0 }, before = { 0 };
    const struct api_param params[] = { { "from", &from }, { "to", &to }, { "limit", &limit }, { "before", &before } };
    struct history *h;
    if (*rest != '\0')
        return api_refuse(c, 404, "no such path");
    if (r->method != API_GET)
        return api_not_allowed(c, "GET, HEAD");
    if (!api_query_read(c, r->query, params, sizeof params / sizeof params[0]) || (h = own(c, apex)) == NULL)
        return API_REPLY;
    if (!seq_read(c, from, "from", 0, &h->from) || !seq_read(c, to, "to", INT64_MAX, &h->to)
        || !api_before_read(c, before, &h->before))
        return API_REPLY;
    h->limit = LOG_DEFAULT;
    if (limit.ptr != NULL && (text_number(api_text(limit), LOG_MAX, &h->limit) != OK || h->limit == 0))
        return api_refuse(c, 400, "limit is a number from 1 to %d", LOG_MAX);
    c->work = log_work;
    return API_WORK;
}

/* --- diff ------------------------------------------------------------------------------------------------------------ */
static enum api_next diff_reply(struct api_call *c, const struct history *h, const struct difference *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->n; i++)
        (void)json_array_append_new(list, rrjson_change(&d->v[i]));
    return api_object(c, 200, json_pack("{s:I,s:I,s:o,s:I,s:I,s:b}", "from", (json_int_t)h->from, "to", (json_int_t)h->to,
                                        "differences", list, "added", (json_int_t)d->added, "removed", (json_int_t)d->removed,
                                        "cut", (int)d->cut));
}

static enum api_next diff_work(struct api_call *c, const struct api_work *w)
{
    struct history *h = c->own;
    struct fault fault = { "" };
    struct difference d;
    uint64_t last;
    if (!newest(c, w, &last))
        return API_REPLY;
    if (h->to == 0)
        h->to = last;
    if (h->to > last || h->from > h->to)
        return api_refuse(c, 400, "from and to are seqs of changes, from not behind to, to not above %" PRIu64, last);
    difference_init(&d);
    enum err err = journal_difference(w->journal, name_bytes(&h->apex), h->from, h->to, DIFF_MOST, &d, &fault);
    enum api_next next;
    if (err == OK && d.n == 0 && !is_zone(w, &h->apex))     /* of one that was removed it shows what went */
        next = api_refuse(c, 404, "no such zone");
    else
        next = err == OK ? diff_reply(c, h, &d) : failed(c, err, &fault);
    difference_release(&d);
    return next;
}

enum api_next api_zone_diff(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest)
{
    struct bytes from = { 0 }, to = { 0 };
    const struct api_param params[] = { { "from", &from }, { "to", &to } };
    struct history *h;
    if (*rest != '\0')
        return api_refuse(c, 404, "no such path");
    if (r->method != API_GET)
        return api_not_allowed(c, "GET, HEAD");
    if (!api_query_read(c, r->query, params, sizeof params / sizeof params[0]) || (h = own(c, apex)) == NULL)
        return API_REPLY;
    if (from.ptr == NULL)
        return api_refuse(c, 400, "from is missing: the seq whose state is compared with that of to, or with now");
    if (!seq_read(c, from, "from", 0, &h->from) || !seq_read(c, to, "to", 0, &h->to))
        return API_REPLY;
    c->work = diff_work;
    return API_WORK;
}

/* --- roll-back ------------------------------------------------------------------------------------------------------- */
static void rollback_drop(struct api_call *c)
{
    struct history *h = c->own;
    rollback_release(&h->back);
}

/* The zone is not there any more: it is made as it was, with the settings that it had when it was removed. */
static enum api_next revive(struct api_call *c, const struct api_work *w, struct history *h)
{
    struct fault fault = { "" };
    struct source_txn *t = NULL;
    enum err err = source_begin(w->source, SOURCE_READ, &t, &fault);
    rollback_release(&h->back);
    rollback_init(&h->back);
    if (err == OK)
        err = rollback_removed(&h->back, w->journal, t, name_bytes(&h->apex), h->to, w->now_s, &fault);
    source_abort(t);
    if (err == ERR_NOTFOUND)
        return api_refuse(c, 404, "%s", fault_text(&fault, err));
    if (err != OK)
        return failed(c, err, &fault);
    c->change->kind = CHANGE_CREATE;
    c->change->settings = h->back.settings;
    c->change->whole = h->back.zone.n > 0 ? &h->back.zone : NULL;
    return API_CHANGE;
}

static enum api_next rollback_work(struct api_call *c, const struct api_work *w)
{
    struct history *h = c->own;
    struct fault fault = { "" };
    uint64_t last;
    if (!newest(c, w, &last))
        return API_REPLY;
    if (h->to > last)
        return api_refuse(c, 400, "to is the seq of a change, not above %" PRIu64, last);
    rollback_release(&h->back);
    enum err err = rollback_read(&h->back, w->journal, w->view, name_bytes(&h->apex), h->to, &fault);
    if (err == ERR_NOTFOUND)
        return revive(c, w, h);
    if (err != OK)
        return failed(c, err, &fault);
    c->change->kind = CHANGE_EDIT;
    c->change->plan = rollback_plan;
    c->change->arg = &h->back;
    return API_CHANGE;
}

/* The zone moved between the reading and the plan: once more, for a client whose condition does not forbid it. */
static enum api_next rollback_finish(struct api_call *c)
{
    struct history *h = c->own;
    const struct change_result *r = &c->change->result;
    if (r->end != CHANGE_REFUSED || r->err != ERR_STALE || c->change->has_if_serial || ++h->tries >= ROLLBACK_TRIES) {
        (void)api_change_reply(c);
        c->reply.status = c->reply.status == 201 ? 200 : c->reply.status;       /* a change, also where it makes the zone again */
        return API_REPLY;
    }
    change_release(c->change);
    c->change->result = (struct change_result){ .end = CHANGE_DONE };
    difference_init(&c->change->result.difference);
    return API_WORK;
}

enum api_next api_zone_rollback(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest)
{
    struct history *h;
    const json_t *to;
    if (*rest != '\0')
        return api_refuse(c, 404, "no such path");
    if (r->method != API_POST)
        return api_not_allowed(c, "POST");
    if ((h = own(c, apex)) == NULL || !api_change_begin(c, r, CHANGE_EDIT, name_bytes(apex), NULL, 0) || !api_body_read(c, r->body))
        return API_REPLY;
    rollback_init(&h->back);
    c->drop = rollback_drop;
    c->change->author.via = VIA_ROLLBACK;
    to = json_object_get(c->json, "to");
    if (json_object_size(c->json) != 1 || !json_is_integer(to) || json_integer_value(to) < 0)
        return api_refuse(c, 400, "the body is {\"to\": SEQ}: the change behind which the zone was as it is to be again");
    h->to = (uint64_t)json_integer_value(to);
    c->work = rollback_work;
    c->finish = rollback_finish;
    return API_WORK;
}
