/* PowerDNS's API: zones as they are: lists, one zone with its RRsets, export; and what is asked of a zone as a whole. */
#include "builder/pdns_parts.h"

#include "builder/secondary_board.h"
#include "builder/zonefile.h"

#include <stdio.h>
#include <stdlib.h>

/* --- finding one ------------------------------------------------------------------------------------------------------ */
/* A zone without a row is one of core.zones, or loaded offline. */
static enum err zone_of_store(struct view *v, struct bytes apex, struct pdns_zone *out)
{
    struct zone_header h;
    enum err err = zone_header_get(apex, v, &h);
    if (err == OK) {
        *out = (struct pdns_zone){ .is_file = true };
        memcpy(out->row.apex.wire, apex.ptr, apex.len);
        out->row.apex.len = (uint8_t)apex.len;
        settings_init(&out->settings, ZONE_FILE);
    }
    return err;
}

static enum err zone_of_row(struct pdns *p, const struct zone_row *row, struct pdns_zone *out, struct fault *fault)
{
    *out = (struct pdns_zone){ .row = *row };
    settings_init(&out->settings, ZONE_NATIVE);
    out->row.settings = bytes_of(NULL, 0);
    return settings_read(row->settings, &p->c->arena, &out->settings, fault);
}

bool pdns_zone_find(struct pdns *p, const struct api_work *w)
{
    struct fault fault = { "" };
    struct zone_row row;
    struct name apex;
    const char *text = p->id;
    enum err err = pdns_id_read(&p->c->arena, p->id, &text, &apex);
    if (err == ERR_BAD)
        return (void)pdns_status(p, 400), false;
    if (err == ERR_LIMIT)
        return (void)pdns_refuse(p, "Unable to parse DNS Name '%s'", text), false;
    struct source_txn *t = err == OK ? pdns_txn(p, w, &fault) : NULL;
    if (t == NULL)
        return (void)pdns_failed(p, err != OK ? err : ERR_STORE, &fault), false;
    pdns_zone_release(&p->zone);
    if ((err = source_zone(t, name_bytes(&apex), &row)) == OK)
        err = zone_of_row(p, &row, &p->zone, &fault);
    else if (err == ERR_NOTFOUND)
        err = zone_of_store(w->view, name_bytes(&apex), &p->zone);
    if (err == ERR_NOTFOUND)
        return (void)pdns_status(p, 404), false;
    if (err != OK)
        return (void)pdns_failed(p, err, &fault), false;
    return true;
}

/* --- one as JSON ------------------------------------------------------------------------------------------------------ */
static uint32_t serial_of_store(struct view *v, struct bytes apex)
{
    struct zone_header h;
    uint32_t serial;
    return zone_header_get(apex, v, &h) == OK && zone_header_serial(&h, &serial) == OK ? serial : 0;
}

uint32_t pdns_serial(const struct pdns_zone *z, struct source_txn *t, struct view *v)
{
    struct bytes apex = name_bytes(&z->row.apex);
    struct row soa;
    uint32_t serial = 0;
    if (z->settings.kind != ZONE_NATIVE)
        return serial_of_store(v, apex);
    if (source_row(t, z->row.id, apex, TYPE_SOA, 0, &soa) != OK || soa.n == 0 || soa_serial(soa.rr[0].rdata, &serial) != OK)
        return 0;
    return serial;
}

static json_t *list_or_empty(const struct zone_settings *s, const char *member)
{
    json_t *v = json_object_get(s->pdns, member);
    return json_is_array(v) ? json_deep_copy(v) : json_array();
}

static void put_all(json_t *o, const struct zone_settings *s)
{
    (void)json_object_set_new(o, "api_rectify", json_boolean(pdns_bool_or(s->pdns, "api_rectify", false)));
    (void)json_object_set_new(o, "soa_edit", json_string(pdns_string_or(s->pdns, "soa_edit", "")));
    (void)json_object_set_new(o, "soa_edit_api", json_string(pdns_edit_of(s)));
    (void)json_object_set_new(o, "nsec3param", json_string(""));
    (void)json_object_set_new(o, "nsec3narrow", json_false());
    (void)json_object_set_new(o, "master_tsig_key_ids", list_or_empty(s, "master_tsig_key_ids"));
    (void)json_object_set_new(o, "slave_tsig_key_ids", list_or_empty(s, "slave_tsig_key_ids"));
}

json_t *pdns_zone_object(struct pdns *p, const struct pdns_zone *z, struct source_txn *t, const struct api_work *w, bool all, bool dnssec)
{
    const struct zone_settings *s = &z->settings;
    struct bytes apex = name_bytes(&z->row.apex);
    const char *id = pdns_id_of(&p->c->arena, apex), *name = pdns_text_of(&p->c->arena, apex);
    uint32_t serial = pdns_serial(z, t, w->view);
    uint64_t checked_s = w->board != NULL && s->kind == ZONE_SECONDARY ? board_checked_s(w->board, apex) : 0;
    char url[3 * NAME_TEXT_MAX + 64];
    if (id == NULL || name == NULL)
        return NULL;
    (void)snprintf(url, sizeof url, PDNS_BASE "/zones/%s", id);
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:o}", "id", id, "url", url, "name", name, "kind",
                          pdns_kind_of(s), "account", s->account != NULL ? s->account : "", "catalog",
                          s->member_catalog[0] != '\0' ? s->member_catalog : pdns_string_or(s->pdns, "catalog", ""), "serial", (json_int_t)serial, "notified_serial",
                          (json_int_t)(s->notify.n > 0 ? serial : 0), "last_check", (json_int_t)checked_s, "masters", pdns_masters_of(s));
    if (o != NULL && dnssec) {
        (void)json_object_set_new(o, "dnssec", json_false());
        (void)json_object_set_new(o, "edited_serial", json_integer(serial));
    }
    if (o != NULL && all)
        put_all(o, s);
    return o;
}

/* --- RRsets ------------------------------------------------------------------------------------------------------------ */
/* Records of one RRset as they are walked past in the store. */
struct gather { struct row row; struct row_rr *rr; size_t cap; struct arena a; row_visit_fn *visit; void *arg; struct bytes owner; bool ended; enum err err; };

static bool gather_flush(struct gather *g)
{
    if (g->row.n > 0 && !g->visit(g->arg, &g->row))
        g->ended = true;
    g->row.n = 0;
    arena_reset(&g->a);
    return !g->ended;
}

static uint16_t covers_of(const struct zone_rr *rr)
{
    struct rd r = rd_over(rr->rdata);
    return rr->type == TYPE_RRSIG ? rd_u16(&r) : 0;
}

static bool gather_add(struct gather *g, const struct zone_rr *rr)
{
    if (g->row.n == g->cap) {
        size_t cap = g->cap > 0 ? 2 * g->cap : 16;
        struct row_rr *more = realloc(g->rr, cap * sizeof *more);
        if (more == NULL)
            return g->err = ERR_NOMEM, false;
        g->rr = more;
        g->cap = cap;
    }
    g->rr[g->row.n++] = (struct row_rr){ .rdata = arena_copy(&g->a, rr->rdata) };
    g->row.rr = g->rr;
    return true;
}

static bool on_record(void *arg, const struct zone_rr *rr)
{
    struct gather *g = arg;
    uint16_t covers = covers_of(rr);
    if (g->owner.len > 0 && !name_equal(rr->owner, g->owner))
        return true;
    if (g->row.n > 0 && g->row.type == rr->type && g->row.covers == covers && name_equal(g->row.owner, rr->owner))
        return gather_add(g, rr);
    if (!gather_flush(g))
        return false;
    g->row = (struct row){ .owner = arena_copy(&g->a, rr->owner), .type = rr->type, .covers = covers, .ttl = rr->ttl };
    return gather_add(g, rr);
}

static enum err rows_of_store(struct bytes apex, struct view *v, struct bytes owner, row_visit_fn *visit, void *arg, struct fault *fault)
{
    struct gather g = { .visit = visit, .arg = arg, .owner = owner };
    arena_init(&g.a);
    enum err err = zone_walk(apex, v, on_record, &g, fault);
    if (err == OK && (err = g.err) == OK && !g.ended)
        (void)gather_flush(&g);
    arena_release(&g.a);
    free(g.rr);
    return err == ERR_NOTFOUND ? OK : err;
}

enum err pdns_rows(const struct pdns_zone *z, struct source_txn *t, struct view *v, struct bytes owner, row_visit_fn *visit,
                   void *arg, struct fault *fault)
{
    const struct row *rows;
    size_t n = 0;
    if (z->settings.kind != ZONE_NATIVE)
        return rows_of_store(name_bytes(&z->row.apex), v, owner, visit, arg, fault);
    if (owner.len == 0)
        return source_rows(t, z->row.id, owner, visit, arg);
    enum err err = source_owner(t, z->row.id, owner, &rows, &n);
    for (size_t i = 0; i < n && err == OK; i++)
        if (!visit(arg, &rows[i]))
            break;
    return err;
}

/* Signatures over several types are several rows and, for PowerDNS's clients, one RRset. */
static bool joins(json_t *last, const json_t *o)
{
    const char *type = json_string_value(json_object_get(o, "type"));
    if (last == NULL || type == NULL || strcmp(type, "RRSIG") != 0
        || !json_equal(json_object_get(last, "type"), json_object_get(o, "type"))
        || !json_equal(json_object_get(last, "name"), json_object_get(o, "name")))
        return false;
    return json_array_extend(json_object_get(last, "records"), json_object_get(o, "records")) == 0;
}

/* A million RRsets are a text of some hundred megabytes, and ten times that as objects: each is written as it comes. */
struct filling { const atomic_bool *stop; struct pdns_text *text; json_t *last; uint16_t type; bool failed; };

static bool fill_last(struct filling *f)
{
    if (f->last != NULL && !pdns_text_json(f->text, f->last))
        f->failed = true;
    json_decref(f->last);
    f->last = NULL;
    return !f->failed;
}

static bool on_row(void *arg, const struct row *row)
{
    struct filling *f = arg;
    if (f->type != 0 && row->type != f->type)
        return true;
    json_t *o = rrjson_object(row);
    if (o != NULL && joins(f->last, o)) {
        json_decref(o);
        return true;
    }
    bool on = fill_last(f);
    f->last = o;
    f->failed |= o == NULL;
    return on && o != NULL && !atomic_load(f->stop);
}

/* Those that ?rrset_name= and, with it, ?rrset_type= ask for. false: the reply says why. */
static bool read_filter(struct pdns *p, struct name *owner, uint16_t *type)
{
    const char *name = pdns_param(p, "rrset_name"), *wanted = pdns_param(p, "rrset_type");
    owner->len = 0;
    *type = 0;
    if (name == NULL || name[0] == '\0')
        return true;
    if (name_from_text(bytes_of_text(name), bytes_of(NULL, 0), owner) != OK)
        return (void)pdns_refuse(p, "Unable to parse DNS Name '%s'", name), false;
    name_lower(owner->wire, owner->len);
    if (wanted != NULL && rrtype_from_text(bytes_of_text(wanted), type) != OK)
        *type = TYPE_ANY;               /* one that no row has */
    return true;
}

/* o with the RRsets where its empty list "rrsets" stands, as p->out. */
static enum err fill(struct pdns *p, const struct api_work *w, json_t *o, const struct name *owner, uint16_t type, struct fault *fault)
{
    static const char here[] = "\"rrsets\": [";              /* no text in it can have this: its quotes would be escaped */
    struct filling f = { .stop = w->stop, .text = &p->out, .type = type };
    struct source_txn *t = pdns_txn(p, w, fault);
    char *frame = json_object_set_new(o, "rrsets", json_array()) == 0 ? json_dumps(o, JSON_SORT_KEYS) : NULL;
    const char *at = frame != NULL ? strstr(frame, here) : NULL;
    enum err err = t == NULL ? ERR_STORE : at == NULL ? ERR_NOMEM : OK;
    if (err == OK && !pdns_text_add(&p->out, frame, (size_t)(at - frame) + sizeof here - 1))
        err = ERR_NOMEM;
    if (err == OK)
        err = pdns_rows(&p->zone, t, w->view, name_bytes(owner), on_row, &f, fault);
    if (!fill_last(&f) || (err == OK && !pdns_text_add(&p->out, at + sizeof here - 1, strlen(at + sizeof here - 1))))
        err = err == OK ? ERR_NOMEM : err;
    if (err == OK && atomic_load(w->stop))                  /* it may be cut off */
        err = ERR_NOTNOW;
    free(frame);
    return err;
}

/* true or false; not given: true. */
static bool read_choice(struct pdns *p, const char *name, bool *out)
{
    const char *text = pdns_param(p, name);
    *out = text == NULL || strcmp(text, "true") == 0;
    if (*out || strcmp(text, "false") == 0)
        return true;
    (void)pdns_refuse(p, "'%s' request parameter value '%s' is not supported", name, text);
    return false;
}

enum api_next pdns_zone_get(struct pdns *p, const struct api_work *w)
{
    struct fault fault = { "" };
    struct name owner;
    uint16_t type;
    bool rrsets;
    enum err err = OK;
    if (!pdns_zone_find(p, w) || !read_choice(p, "rrsets", &rrsets) || !read_filter(p, &owner, &type))
        return API_REPLY;
    int status = p->status != 0 ? p->status : 200;
    json_t *o = pdns_zone_object(p, &p->zone, pdns_txn(p, w, &fault), w, true, true);
    if (o == NULL || !rrsets)
        return pdns_reply(p, status, o);
    err = fill(p, w, o, &owner, type, &fault);
    json_decref(o);
    return err == OK ? pdns_reply_text(p, status, "application/json") : pdns_failed(p, err, &fault);
}

/* --- lists ------------------------------------------------------------------------------------------------------------- */
struct each { struct pdns *p; const struct api_work *w; struct source_txn *t; pdns_zone_visit *visit; void *arg; enum err err; struct fault *fault; };

static bool show(struct each *e, struct pdns_zone *z)
{
    bool on = e->visit(e->arg, z, &e->err, e->fault);
    pdns_zone_release(z);
    return on && e->err == OK && !atomic_load(e->w->stop);
}

static bool on_stored(void *arg, struct bytes apex, const struct zone_header *header)
{
    struct each *e = arg;
    struct zone_row row;
    struct pdns_zone z;
    (void)header;
    if (source_zone(e->t, apex, &row) == OK)
        return true;                                    /* shown by its row */
    return zone_of_store(e->w->view, apex, &z) != OK || show(e, &z);
}

enum err pdns_each_zone(struct pdns *p, const struct api_work *w, pdns_zone_visit *visit, void *arg, struct fault *fault)
{
    struct each e = { .p = p, .w = w, .visit = visit, .arg = arg, .fault = fault };
    struct zone_row row;
    struct name after = { 0 };
    enum err err;
    if ((e.t = pdns_txn(p, w, fault)) == NULL)
        return ERR_STORE;
    while ((err = source_zone_next(e.t, name_bytes(&after), &row)) == OK) {
        struct pdns_zone z;
        after = row.apex;
        if ((err = zone_of_row(p, &row, &z, fault)) != OK) {
            pdns_zone_release(&z);
            return err;
        }
        if (!show(&e, &z))
            return e.err;
    }
    if (err == ERR_NOTFOUND)
        err = zone_list(w->view, on_stored, &e, fault);
    return err == OK ? e.err : err;
}

struct listing { struct pdns *p; const struct api_work *w; bool dnssec; };

static bool on_zone(void *arg, const struct pdns_zone *z, enum err *err, struct fault *fault)
{
    struct listing *l = arg;
    struct source_txn *t = pdns_txn(l->p, l->w, fault);
    json_t *o = t != NULL ? pdns_zone_object(l->p, z, t, l->w, false, l->dnssec) : NULL;
    if (o == NULL || !pdns_text_json(&l->p->out, o))
        *err = t != NULL ? ERR_NOMEM : ERR_STORE;
    json_decref(o);
    return *err == OK;
}

/* ?zone=NAME: a list of one, or none. */
static bool find_named(struct pdns *p, const struct api_work *w, const char *text, bool *found)
{
    struct name name;
    if (!pdns_name(p, text, &name))
        return false;
    p->id = pdns_id_of(&p->c->arena, name_bytes(&name));
    *found = p->id != NULL && pdns_zone_find(p, w);
    return *found || p->c->reply.status == 404;
}

enum api_next pdns_zones(struct pdns *p, const struct api_work *w)
{
    struct fault fault = { "" };
    struct listing l = { .p = p, .w = w };
    const char *one = pdns_param(p, "zone");
    bool found = false;
    enum err err = OK;
    if (!read_choice(p, "dnssec", &l.dnssec) || (one != NULL && one[0] != '\0' && !find_named(p, w, one, &found)))
        return API_REPLY;
    if (!pdns_text_add(&p->out, "[", 1))
        return pdns_failed(p, ERR_NOMEM, NULL);
    if (one == NULL || one[0] == '\0')
        err = pdns_each_zone(p, w, on_zone, &l, &fault);
    else if (found)
        (void)on_zone(&l, &p->zone, &err, &fault);
    if (err == OK && !pdns_text_add(&p->out, "]", 1))
        err = ERR_NOMEM;
    return err == OK ? pdns_reply_text(p, 200, "application/json") : pdns_failed(p, err, &fault);
}
