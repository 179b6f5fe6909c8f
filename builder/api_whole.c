/* Whole zones of /v1/zones: made, taken from a zone file, given as one. Records are read in a reading thread where they may
 * be many. */
#include "builder/api_zones.h"

#include "base/text.h"
#include "builder/rrjson.h"
#include "builder/zonefile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT_MAX ((size_t)1 << 30)
#define NAMESERVERS_MAX 64
#define DEFAULT_TTL 3600

struct whole {
    struct bytes body;
    struct zone zone;               /* what the zone is to be */
    bool zone_made;
    struct name apex;
    struct complaints complaints;
    uint8_t *text; size_t len, cap;         /* of an export */
    const atomic_bool *stop;
    struct bytes serial_policy;             /* of an import that makes the zone; empty: the usual one */
    enum err err;
    struct fault fault;
};

static void drop(struct api_call *c)
{
    struct whole *w = c->own;
    if (w->zone_made)
        zone_release(&w->zone);
    free(w->text);
}

static struct whole *whole_make(struct api_call *c)
{
    struct whole *w = arena_take(&c->arena, sizeof *w);
    if (w == NULL) {
        (void)api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
        return NULL;
    }
    *w = (struct whole){ .err = OK };
    c->own = w;
    c->drop = drop;
    return w;
}

static void zone_start(struct whole *w, struct bytes apex, const char *source)
{
    zone_init(&w->zone, apex, source);
    w->zone_made = true;
}

/* --- a new zone ----------------------------------------------------------------------------------------------------- */
static bool other_member(const char *member)
{
    return strcmp(member, "name") == 0 || strcmp(member, "nameservers") == 0 || strcmp(member, "rrsets") == 0;
}

static bool none_other(const char *member)
{
    (void)member;
    return false;
}

static bool has_type(const struct zone *z, uint16_t type)
{
    for (size_t i = 0; i < z->n; i++)
        if (z->rr[i].type == type && bytes_equal(z->rr[i].owner, name_bytes(&z->apex)))
            return true;
    return false;
}

static bool wrong(struct api_call *c, enum err err, int status, const char *text)
{
    (void)api_refuse(c, err == ERR_NOMEM ? 500 : status, "%s", err == ERR_NOMEM ? err_text(err) : text);
    return false;
}

/* The records of "rrsets". */
static bool take_rrsets(struct api_call *c, struct whole *w)
{
    const struct rrjson_options how = { .apex = name_bytes(&w->apex), .default_ttl = DEFAULT_TTL };
    const json_t *list = json_object_get(c->json, "rrsets");
    if (list != NULL && !json_is_array(list))
        return wrong(c, OK, 400, "rrsets is a list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct row row;
        struct fault fault = { "" };
        bool records, comments;
        enum err err = rrjson_read(json_array_get(list, i), &how, &c->arena, &row, &records, &comments, &fault);
        if (err != OK)
            return wrong(c, err, 422, fault.text);
        if (row.comments_n > 0)
            return wrong(c, OK, 422, "comments are given to the zone when it is there: PATCH its rrsets");
        for (size_t k = 0; k < row.n; k++) {
            if (row.rr[k].disabled)
                return wrong(c, OK, 422, "disabled records are given to the zone when it is there: PATCH its rrsets");
            if ((err = zone_add(&w->zone, row.owner, row.type, row.ttl, row.rr[k].rdata, 0)) != OK)
                return wrong(c, err, 500, err_text(err));
        }
    }
    return true;
}

/* NS of each of "nameservers", unless the records have some; *first: the first one. */
static bool take_nameservers(struct api_call *c, struct whole *w, struct name *first)
{
    const json_t *list = json_object_get(c->json, "nameservers");
    size_t n = json_array_size(list);
    bool wanted = !has_type(&w->zone, TYPE_NS);
    first->len = 0;
    if (list != NULL && (!json_is_array(list) || n > NAMESERVERS_MAX))
        return wrong(c, OK, 400, "nameservers is a list of up to 64 names");
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        struct name name;
        if (!json_is_string(v)
            || name_from_text(bytes_of(json_string_value(v), json_string_length(v)), name_bytes(&w->apex), &name) != OK)
            return wrong(c, OK, 400, "nameservers: an element is no domain name");
        if (!text_is_ascii(bytes_of(json_string_value(v), json_string_length(v))))
            return wrong(c, OK, 400, "nameservers: an element is not ASCII: names are wanted as DNS has them (xn--...)");
        if (i == 0)
            *first = name;
        enum err err = wanted ? zone_add(&w->zone, name_bytes(&w->apex), TYPE_NS, DEFAULT_TTL, name_bytes(&name), 0) : OK;
        if (err != OK)
            return wrong(c, err, 500, err_text(err));
    }
    return true;
}

/* What a zone begins with: ours to choose where the client does not say. */
static bool make_soa(struct api_call *c, struct whole *w, const struct name *primary, uint32_t serial)
{
    static const uint32_t times[] = { 10800, 3600, 604800, 3600 };
    static const uint8_t hostmaster[] = "\x0ahostmaster";
    uint8_t rdata[2 * NAME_MAX_LEN + 20];
    struct wr out = wr_over(rdata, sizeof rdata);
    struct name mailbox;
    if (has_type(&w->zone, TYPE_SOA))
        return true;
    if (primary->len == 0)
        return wrong(c, OK, 422, "a zone needs a SOA and nameservers: give nameservers, or rrsets that have them");
    if (name_join(bytes_of(hostmaster, sizeof hostmaster - 1), name_bytes(&w->apex), &mailbox) != OK)
        mailbox = *primary;             /* the apex leaves no room for it */
    wr_bytes(&out, name_bytes(primary));
    wr_bytes(&out, name_bytes(&mailbox));
    wr_u32(&out, serial);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        wr_u32(&out, times[i]);
    enum err err = zone_add(&w->zone, name_bytes(&w->apex), TYPE_SOA, DEFAULT_TTL, wr_done(&out), 0);
    return err == OK || wrong(c, err, 500, err_text(err));
}

static bool take_name(struct api_call *c, struct name *out)
{
    const json_t *v = json_object_get(c->json, "name");
    if (!json_is_string(v))
        return wrong(c, OK, 400, "name is missing, or no string");
    return api_zone_name_read(c, bytes_of(json_string_value(v), json_string_length(v)), out);
}

static enum api_next create_with(struct api_call *c, struct whole *w, struct zone_settings *s, uint64_t now_s)
{
    struct name first;
    if (s->kind == ZONE_FILE)
        return api_refuse(c, 409, "zones of kind file come with core.zones or azoth load");
    struct fault fault = { "" };
    if (settings_check(s, &fault) != OK)
        return api_refuse(c, 422, "%s", fault.text);
    s->created_s = s->edited_s = now_s;
    enum err err = settings_text(s, &c->arena, &c->change->settings);
    if (err != OK)
        return api_refuse(c, err == ERR_LIMIT ? 413 : 500, "%s", err == ERR_LIMIT ? "the settings are too long" : err_text(err));
    if (s->kind == ZONE_SECONDARY) {
        if (json_object_get(c->json, "rrsets") != NULL || json_object_get(c->json, "nameservers") != NULL)
            return api_refuse(c, 422, "the records of a secondary come from its primaries");
        return API_CHANGE;
    }
    zone_start(w, name_bytes(&w->apex), "request");
    if (!take_rrsets(c, w) || !take_nameservers(c, w, &first) || !make_soa(c, w, &first, serial_next(s->serial, 0, now_s)))
        return API_REPLY;
    c->change->whole = &w->zone;
    return API_CHANGE;
}

static enum api_next create(struct api_call *c, uint64_t now_s)
{
    struct whole *w = c->own;
    struct zone_settings s;
    if (!api_body_read(c, w->body) || !take_name(c, &w->apex))
        return API_REPLY;
    c->change->apex = w->apex;
    enum api_next next = API_REPLY;
    if (api_settings_fit(c, c->json, other_member, ZONE_NATIVE, &s))
        next = create_with(c, w, &s, now_s);
    settings_release(&s);
    return next;
}

static enum api_next create_work(struct api_call *c, const struct api_work *w)
{
    return create(c, w->now_s);
}

enum api_next api_zone_create(struct api_call *c, const struct api_request *r)
{
    static const uint8_t root[1] = { 0 };
    if (!api_change_begin(c, r, CHANGE_CREATE, bytes_of(root, 1), NULL, 0))
        return API_REPLY;
    struct whole *w = whole_make(c);
    if (w == NULL)
        return API_REPLY;
    w->body = r->body;
    c->work = create_work;
    return API_WORK;
}

/* --- import ----------------------------------------------------------------------------------------------------------- */
/* Of a zone that this import makes. */
static bool import_settings(struct api_call *c, const struct whole *w, uint64_t now_s)
{
    struct zone_settings s;
    json_t *said = w->serial_policy.ptr != NULL ? json_pack("{s:s}", "serial_policy", api_text(w->serial_policy)) : json_object();
    bool fits = said != NULL && api_settings_fit(c, said, none_other, ZONE_NATIVE, &s);
    if (said == NULL)
        return wrong(c, OK, 400, "serial_policy is no text");
    json_decref(said);
    if (fits) {
        s.created_s = s.edited_s = now_s;
        enum err err = settings_text(&s, &c->arena, &c->change->settings);
        fits = err == OK || wrong(c, err, 500, err_text(err));
    }
    settings_release(&s);
    return fits;
}

static enum api_next import_work(struct api_call *c, const struct api_work *work)
{
    struct whole *w = c->own;
    if (c->change->kind == CHANGE_CREATE && !import_settings(c, w, work->now_s))
        return API_REPLY;
    zone_start(w, name_bytes(&w->apex), "request");
    enum err err = zonefile_read_text(w->body, "request", &w->zone, &w->complaints, &w->fault);
    c->change->result.complaints = w->complaints;
    if (err == ERR_REFUSED) {
        c->change->result.end = CHANGE_REFUSED;
        c->change->result.err = err;
        return api_object(c, 422, api_change_error(c->change));
    }
    if (err != OK)
        return api_work_failed(c, err, &w->fault);
    c->change->whole = &w->zone;
    return API_CHANGE;
}

/* What the text itself gave cause to warn of stands before what the build warns of. */
static enum api_next import_finish(struct api_call *c)
{
    struct whole *w = c->own;
    struct complaints all = { .errors_n = 0 };
    all.warnings_n = w->complaints.warnings_n;
    memcpy(all.warnings, w->complaints.warnings, sizeof all.warnings);
    complaints_join(&all, &c->change->result.complaints);
    c->change->result.complaints = all;
    return api_change_reply(c);
}

enum api_next api_zone_import(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest)
{
    struct bytes create = { 0 }, policy = { 0 };
    const struct api_param params[] = { { "create", &create }, { "serial_policy", &policy } };
    struct whole *w;
    bool creates = false;
    if (*rest != '\0')
        return api_refuse(c, 404, "no such path");
    if (r->method != API_POST)
        return api_not_allowed(c, "POST");
    if (!api_change_begin(c, r, CHANGE_WHOLE, name_bytes(apex), params, 2) || (w = whole_make(c)) == NULL)
        return API_REPLY;
    if (!api_flag_read(create, &creates) || (policy.ptr != NULL && !creates))
        return api_refuse(c, 400, "create is 1 or 0, and serial_policy goes with create=1");
    if (creates)
        c->change->kind = CHANGE_CREATE;
    w->serial_policy = policy;
    w->body = r->body;
    w->apex = *apex;
    c->work = import_work;
    c->finish = import_finish;
    c->slow = true;
    return API_WORK;
}

/* --- export ----------------------------------------------------------------------------------------------------------- */
/* Room for n more bytes of text. */
static bool text_room(struct whole *w, size_t n)
{
    size_t cap = w->cap > 0 ? w->cap : 65536;
    while (cap - w->len < n && cap <= EXPORT_MAX)
        cap *= 2;
    if (cap > EXPORT_MAX) {
        w->err = fault_set(&w->fault, ERR_LIMIT, "the zone is too large to be sent at once: azoth dump writes it on the core's host");
        return false;
    }
    uint8_t *more = cap == w->cap ? w->text : realloc(w->text, cap);
    if (more == NULL) {
        w->err = ERR_NOMEM;
        return false;
    }
    w->text = more;
    w->cap = cap;
    return true;
}

static bool export_rr(void *arg, const struct zone_rr *rr)
{
    struct whole *w = arg;
    size_t most = NAME_TEXT_MAX + 128 + 5 * rr->rdata.len + NAME_TEXT_MAX;
    if (atomic_load(w->stop)) {
        w->err = fault_set(&w->fault, ERR_NOTNOW, "the core is ending");
        return false;
    }
    if (!text_room(w, most + 1))
        return false;
    w->err = rr_to_text(rr, (char *)w->text + w->len, most, &w->fault);
    if (w->err != OK)
        return false;
    w->len += strlen((const char *)w->text + w->len);
    w->text[w->len++] = '\n';
    return true;
}

static enum api_next export_work(struct api_call *c, const struct api_work *work)
{
    struct whole *w = c->own;
    w->stop = work->stop;
    enum err err = zone_walk(name_bytes(&w->apex), work->view, export_rr, w, &w->fault);
    if (w->err != OK)
        err = w->err;
    if (err == ERR_LIMIT)
        return api_refuse(c, 413, "%s", w->fault.text);
    if (err != OK)
        return api_work_failed(c, err, &w->fault);
    c->reply.status = 200;
    c->reply.type = "text/dns";
    c->reply.body = bytes_of(w->text, w->len);
    return API_REPLY;
}

enum api_next api_zone_export(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest)
{
    struct whole *w;
    if (*rest != '\0')
        return api_refuse(c, 404, "no such path");
    if (r->method != API_GET)
        return api_not_allowed(c, "GET, HEAD");
    if (!api_query_read(c, r->query, NULL, 0) || (w = whole_make(c)) == NULL)
        return API_REPLY;
    w->apex = *apex;
    c->work = export_work;
    c->slow = true;
    return API_WORK;
}

/* --- rebuild ---------------------------------------------------------------------------------------------------------- */
enum api_next api_zone_rebuild(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest)
{
    if (*rest != '\0')
        return api_refuse(c, 404, "no such path");
    if (r->method != API_POST)
        return api_not_allowed(c, "POST");
    return api_change_begin(c, r, CHANGE_REBUILD, name_bytes(apex), NULL, 0) ? API_CHANGE : API_REPLY;
}
