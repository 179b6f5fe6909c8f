/* /v1/zones: which zones there are, what is set for them, making and removing them. */
#include "builder/api_zones.h"

#include "base/text.h"
#include "builder/build.h"
#include "builder/secondary_board.h"

#include <stdio.h>
#include <stdlib.h>

#define LIST_DEFAULT 1000
#define LIST_MAX 10000

/* --- names ------------------------------------------------------------------------------------------------------------ */
bool api_zone_name_read(struct api_call *c, struct bytes text, struct name *out)
{
    if (!text_is_ascii(text)) {
        (void)api_refuse(c, 400, "'%.100s' is not ASCII: names are wanted as DNS has them (xn--...)", api_text(text));
        return false;
    }
    if (text.len == 0 || name_from_text(text, bytes_of(NULL, 0), out) != OK) {
        (void)api_refuse(c, 400, "'%.100s' is no domain name: labels have 1 to 63 bytes, the whole 255 at most",
                         text.len > 0 ? api_text(text) : "");
        return false;
    }
    name_lower(out->wire, out->len);
    return true;
}

bool api_limit_read(struct api_call *c, struct bytes text, uint64_t *out)
{
    *out = LIST_DEFAULT;
    if (text.ptr == NULL || (text_number(api_text(text), LIST_MAX, out) == OK && *out > 0))
        return true;
    (void)api_refuse(c, 400, "limit is a number from 1 to %d", LIST_MAX);
    return false;
}

/* --- one zone as an object ---------------------------------------------------------------------------------------------- */
static const char *state_text(enum zone_state state)
{
    return state == ZONE_LIVE ? "live" : state == ZONE_EXPIRED ? "expired" : "empty";
}

uint32_t api_serial_of(struct bytes apex, const struct zone_header *h)
{
    uint8_t rdata[NAME_MAX_LEN * 2 + 20];
    struct rr_iter it;
    struct rr rr;
    uint32_t serial = 0;
    if (!h->has_soa)
        return 0;
    rr_iter_init(&it, apex, h->soa.wire, h->soa.count);
    return rr_iter_next(&it, rdata, sizeof rdata, &rr) == OK && soa_serial(rr.rdata, &serial) == OK ? serial : 0;
}

/* settings, header: NULL: the zone has none. NULL: out of memory. */
static json_t *zone_json(struct bytes apex, const struct zone_settings *settings, const struct zone_header *h)
{
    char name[NAME_TEXT_MAX];
    struct zone_settings plain;
    settings_init(&plain, h != NULL ? h->kind : ZONE_FILE);
    json_t *o = settings_object(settings != NULL ? settings : &plain);
    settings_release(&plain);
    if (o == NULL)
        return NULL;
    (void)json_object_set_new(o, "name", json_string(name_text(name, sizeof name, apex)));
    (void)json_object_set_new(o, "state", json_string(state_text(h != NULL ? h->state : ZONE_EMPTY)));
    (void)json_object_set_new(o, "serial", json_integer(h != NULL ? api_serial_of(apex, h) : 0));
    return o;
}

enum err api_zone_look(const struct api_work *w, struct bytes apex, struct api_zone_seen *out, struct fault *fault)
{
    struct rrkey k;
    uint8_t key[RRKEY_MAX];
    struct bytes value;
    *out = (struct api_zone_seen){ .has_row = false };
    enum err err = rrkey_of_name(apex, &k);
    if (err == OK)
        err = view_get(w->view, dns_namespace, bytes_of(key, rrkey_at(&k, k.labels, RRSLOT_ZONE, key)), &value);
    if (err == OK && (err = zone_header_read(value, &out->header)) == OK)
        out->has_header = true;
    if (err != OK && err != ERR_NOTFOUND)
        return fault_set(fault, err, "the zone's header cannot be read: azoth verify tells more");
    if ((err = source_begin(w->source, SOURCE_READ, &out->txn, fault)) != OK)
        return err;
    err = source_zone(out->txn, apex, &out->row);
    out->has_row = err == OK;
    if (err == ERR_NOTFOUND)
        err = out->has_header ? OK : fault_set(fault, ERR_NOTFOUND, "there is no such zone");
    if (err != OK)
        api_zone_seen_end(out);
    return err;
}

void api_zone_seen_end(struct api_zone_seen *s)
{
    source_abort(s->txn);
    s->txn = NULL;
}

/* *out: with its settings, when the zone has a row; a: for what is needed meanwhile. */
static enum err make_json(struct arena *a, struct bytes apex, const struct bytes *settings, const struct zone_header *h,
                          json_t **out, struct fault *fault)
{
    struct zone_settings s;
    enum err err = OK;
    if (settings != NULL && (err = settings_read(*settings, a, &s, fault)) != OK) {
        settings_release(&s);
        return err;
    }
    *out = zone_json(apex, settings != NULL ? &s : NULL, h);
    if (settings != NULL)
        settings_release(&s);
    return *out != NULL ? OK : ERR_NOMEM;
}

/* How a catalog zone stands. */
static void put_catalog(const struct api_work *w, struct bytes apex, json_t *o)
{
    static const char *const states[] = { [CATALOG_WAITING] = "waiting", [CATALOG_GOOD] = "good", [CATALOG_BROKEN] = "broken" };
    struct catalog_report r = { .state = CATALOG_WAITING };
    char clash[NAME_TEXT_MAX];
    if (json_object_get(o, "catalog") == NULL)
        return;
    if (w->catalogs.read != NULL)
        (void)w->catalogs.read(w->catalogs.arg, apex, &r);      /* one of this moment is not known yet */
    json_t *s = json_pack("{s:s,s:I,s:I,s:I,s:I}", "state", states[r.state], "members", (json_int_t)r.members, "clashes",
                          (json_int_t)r.clashes, "held", (json_int_t)r.held, "failed", (json_int_t)r.failed);
    if (r.state == CATALOG_BROKEN)
        (void)json_object_set_new(s, "why", json_string(r.why));
    if (r.clashes > 0)
        (void)json_object_set_new(s, "clash", json_string(name_text(clash, sizeof clash, name_bytes(&r.clash))));
    (void)json_object_set_new(o, "catalog_state", s);
}

static enum api_next show(struct api_call *c, const struct api_work *w)
{
    const struct name *apex = c->own;
    struct api_zone_seen seen;
    struct fault fault = { "" };
    json_t *o = NULL;
    enum err err = api_zone_look(w, name_bytes(apex), &seen, &fault);
    if (err != OK)
        return api_work_failed(c, err, &fault);
    err = make_json(&c->arena, name_bytes(apex), seen.has_row ? &seen.row.settings : NULL, seen.has_header ? &seen.header : NULL, &o, &fault);
    api_zone_seen_end(&seen);
    if (err == OK)
        err = api_zone_tell(c, w, name_bytes(apex), c->slow, o, &fault);
    if (err == OK)
        put_catalog(w, name_bytes(apex), o);
    if (err == OK)
        return api_object(c, 200, o);
    json_decref(o);
    return api_work_failed(c, err, &fault);
}

/* Counts take a look at all records, so they are for the thread of whole zones: who is slow wants them. */
static enum api_next begin_show(struct api_call *c, const struct api_request *r)
{
    struct bytes counts = { 0 };
    if (!api_query_read(c, r->query, (const struct api_param[]){ { "counts", &counts } }, 1))
        return API_REPLY;
    if (!api_flag_read(counts, &c->slow))
        return api_refuse(c, 400, "counts is 1 or 0");
    c->work = show;
    return API_WORK;
}

/* --- the list ----------------------------------------------------------------------------------------------------------- */
/* Two ascending runs, that of the store and that of the records, as one. */
struct listing {
    struct api_call *c;
    struct source_txn *txn;
    struct name after;              /* len 0: from the first on */
    uint64_t limit;
    enum zone_kind kind;            /* 0: all */
    bool failing;                   /* secondaries that fail, alone */
    const struct api_work *w;
    struct arena scratch;           /* of the zone at hand: there may be a million that do not fit */
    struct zone_row row;            /* the next of the records */
    bool has_row, more;
    json_t *zones;
    struct name last;
    enum err err;
    struct fault fault;
};

static void row_step(struct listing *l)
{
    struct name at = l->row.apex;
    enum err err = source_zone_next(l->txn, name_bytes(l->has_row ? &at : &l->after), &l->row);
    l->has_row = err == OK;
    if (err != OK && err != ERR_NOTFOUND)
        l->err = err;
}

static enum zone_kind kind_of(json_t *zone)
{
    const char *kind = json_string_value(json_object_get(zone, "kind"));
    return kind == NULL ? ZONE_FILE : kind[0] == 'n' ? ZONE_NATIVE : kind[0] == 's' ? ZONE_SECONDARY : ZONE_FILE;
}

/* May the zone be in the list? Of a secondary it is told whether it fails. */
static bool fits(struct listing *l, struct bytes apex, json_t *zone)
{
    enum zone_kind kind = kind_of(zone);
    bool known = kind == ZONE_SECONDARY && l->w->board != NULL, failing = known && board_is_failing(l->w->board, apex);
    if (known)
        (void)json_object_set_new(zone, "failing", json_boolean(failing));
    if (l->failing && failing)
        l->err = api_zone_secondary(l->c, l->w, apex, zone);
    return l->err == OK && (l->kind == 0 || kind == l->kind) && (!l->failing || failing);
}

/* false: the page is full, or something failed. */
static bool list_zone(struct listing *l, struct bytes apex, const struct bytes *settings, const struct zone_header *h)
{
    json_t *o = NULL;
    if (l->failing && (l->w->board == NULL || !board_is_failing(l->w->board, apex)))
        return l->err == OK;
    arena_reset(&l->scratch);
    if (l->err == OK)
        l->err = make_json(&l->scratch, apex, settings, h, &o, &l->fault);
    if (l->err == OK && fits(l, apex, o)) {
        if (json_array_size(l->zones) == l->limit) {
            l->more = true;
        } else {
            l->last.len = (uint8_t)apex.len;
            memcpy(l->last.wire, apex.ptr, apex.len);
            (void)json_array_append(l->zones, o);
        }
    }
    json_decref(o);
    return l->err == OK && !l->more;
}

/* Zones of the records that stand before this one in order; apex empty: all that are left. */
static bool list_rows(struct listing *l, struct bytes apex)
{
    while (l->err == OK && l->has_row && (apex.len == 0 || name_compare(name_bytes(&l->row.apex), apex) < 0)) {
        if (!list_zone(l, name_bytes(&l->row.apex), &l->row.settings, NULL))
            return false;
        row_step(l);
    }
    return l->err == OK;
}

static bool list_stored(void *arg, struct bytes apex, const struct zone_header *h)
{
    struct listing *l = arg;
    if (!list_rows(l, apex))
        return false;
    bool both = l->has_row && name_equal(name_bytes(&l->row.apex), apex);
    bool on = list_zone(l, apex, both ? &l->row.settings : NULL, h);
    if (both)
        row_step(l);
    return on && l->err == OK;
}

static enum api_next list(struct api_call *c, const struct api_work *w)
{
    struct listing *l = c->own;
    char next[NAME_TEXT_MAX];
    l->c = c;
    l->w = w;
    l->zones = json_array();
    arena_init(&l->scratch);
    l->err = source_begin(w->source, SOURCE_READ, &l->txn, &l->fault);
    if (l->err == OK) {
        row_step(l);
        enum err err = zone_list_from(name_bytes(&l->after), w->view, list_stored, l, &l->fault);
        l->err = l->err == OK ? err : l->err;
        if (!l->more)
            (void)list_rows(l, bytes_of(NULL, 0));
        source_abort(l->txn);
    }
    arena_release(&l->scratch);
    if (l->err != OK) {
        json_decref(l->zones);
        return api_work_failed(c, l->err, &l->fault);
    }
    return api_object(c, 200, json_pack("{s:o,s:o}", "zones", l->zones, "next",
                                        l->more ? json_string(name_text(next, sizeof next, name_bytes(&l->last))) : json_null()));
}

static bool read_kind(struct api_call *c, struct bytes text, enum zone_kind *out)
{
    static const struct { const char *name; enum zone_kind kind; } kinds[] = {
        { "file", ZONE_FILE }, { "native", ZONE_NATIVE }, { "secondary", ZONE_SECONDARY },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && text.ptr != NULL; i++)
        if (bytes_equal(text, bytes_of_text(kinds[i].name)))
            *out = kinds[i].kind;
    if (text.ptr == NULL || *out != 0)
        return true;
    (void)api_refuse(c, 400, "kind is file, native or secondary");
    return false;
}

static enum api_next begin_list(struct api_call *c, const struct api_request *r)
{
    struct bytes after = { 0 }, limit = { 0 }, kind = { 0 }, failing = { 0 };
    const struct api_param params[] = { { "after", &after }, { "limit", &limit }, { "kind", &kind }, { "failing", &failing } };
    struct listing *l = arena_take(&c->arena, sizeof *l);
    if (l == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    *l = (struct listing){ .err = OK };
    if (!api_query_read(c, r->query, params, sizeof params / sizeof params[0]) || !api_limit_read(c, limit, &l->limit)
        || !read_kind(c, kind, &l->kind) || (after.ptr != NULL && !api_zone_name_read(c, after, &l->after)))
        return API_REPLY;
    if (!api_flag_read(failing, &l->failing))
        return api_refuse(c, 400, "failing is 1 or 0");
    c->own = l;
    c->work = list;
    c->slow = true;             /* it passes over what the zones hold */
    return API_WORK;
}

/* --- settings and removal ----------------------------------------------------------------------------------------------- */
static bool none_other(const char *member)
{
    (void)member;
    return false;
}

static enum err plan_settings(void *arg, struct draft *d, struct fault *fault)
{
    const struct api_call *c = arg;
    struct zone_settings s = *draft_settings(d);
    settings_hold(&s);
    enum err err = settings_merge(&s, c->json, none_other, draft_arena(d), fault);
    s.edited_s = draft_now_s(d);
    if (err == OK)
        err = draft_settings_set(d, &s, fault);
    settings_release(&s);
    return err;
}

/* Of a secondary that becomes native. */
static enum err settle(void *arg, struct zone_settings *s, struct arena *a, struct fault *fault)
{
    const struct api_call *c = arg;
    return settings_merge(s, c->json, none_other, a, fault);
}

/* So that what is malformed is told at once, whatever zone it is. */
bool api_settings_fit(struct api_call *c, const json_t *object, bool (*other)(const char *member), enum zone_kind kind,
                      struct zone_settings *out)
{
    struct fault fault = { "" };
    settings_init(out, kind);
    enum err err = settings_merge(out, object, other, &c->arena, &fault);
    if (err != OK)
        (void)api_refuse(c, err == ERR_NOMEM ? 500 : 400, "%s", fault_text(&fault, err));
    return err == OK;
}

static enum api_next begin_settings(struct api_call *c, const struct api_request *r, const struct name *apex)
{
    struct zone_settings s;
    if (!api_change_begin(c, r, CHANGE_EDIT, name_bytes(apex), NULL, 0) || !api_body_read(c, r->body))
        return API_REPLY;
    bool fits = api_settings_fit(c, c->json, none_other, ZONE_NATIVE, &s);
    settings_release(&s);
    if (!fits)
        return API_REPLY;
    const char *kind = json_string_value(json_object_get(c->json, "kind"));
    if (kind != NULL && strcmp(kind, zone_kind_names[ZONE_NATIVE]) == 0) {
        c->change->kind = CHANGE_NATIVE;
        c->change->settle = settle;
    } else {
        c->change->plan = plan_settings;
    }
    c->change->arg = c;
    return API_CHANGE;
}

/* --- the way in ----------------------------------------------------------------------------------------------------------- */
static enum api_next zone_itself(struct api_call *c, const struct api_request *r, const struct name *apex)
{
    struct name *own = arena_take(&c->arena, sizeof *own);
    if (own == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    *own = *apex;
    c->own = own;
    switch (r->method) {
    case API_GET:
        return begin_show(c, r);
    case API_PATCH:
        return begin_settings(c, r, apex);
    case API_DELETE:
        return api_change_begin(c, r, CHANGE_REMOVE, name_bytes(apex), NULL, 0) ? API_CHANGE : API_REPLY;
    default:
        return api_not_allowed(c, "GET, HEAD, PATCH, DELETE");
    }
}

static const struct { const char *path; api_zone_fn *take; } below[] = {
    { "/rrsets", api_zone_rrsets },
    { "/import", api_zone_import },
    { "/export", api_zone_export },
    { "/rebuild", api_zone_rebuild },
    { "/transfer", api_zone_transfer },
    { "/notify", api_zone_notify },
    { "/log", api_zone_log },
    { "/diff", api_zone_diff },
    { "/rollback", api_zone_rollback },
};

enum api_next api_route_zones(struct api_call *c, const struct api_request *r, const char *rest)
{
    struct bytes text;
    struct name apex;
    if (*rest == '\0')
        return r->method == API_GET ? begin_list(c, r) : r->method == API_POST ? api_zone_create(c, r)
               : api_not_allowed(c, "GET, HEAD, POST");
    if (!api_path_read(c, &rest, &text) || !api_zone_name_read(c, text, &apex))
        return API_REPLY;
    if (*rest == '\0')
        return zone_itself(c, r, &apex);
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        size_t len = strlen(below[i].path);
        if (strncmp(rest, below[i].path, len) == 0 && (rest[len] == '\0' || rest[len] == '/'))
            return below[i].take(c, r, &apex, rest + len);
    }
    return api_refuse(c, 404, "no such path");
}
