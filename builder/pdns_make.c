/* PowerDNS's API: a new zone, from its settings, nameservers, RRsets or the text of a zone file. */
#include "builder/pdns_parts.h"

#include "builder/serial.h"
#include "builder/zonefile.h"

#include <stdio.h>
#include <stdlib.h>

/* What PowerDNS's server puts into a SOA that nobody gave; ours also into the NS, without which no zone is served. */
#define NOBODY "a.misconfigured.dns.server.invalid."

/* --- records ------------------------------------------------------------------------------------------------------------- */
static bool add(struct pdns *p, struct bytes owner, uint16_t type, uint32_t ttl, struct bytes rdata)
{
    enum err err = zone_add(p->whole, owner, type, ttl, rdata, 0);
    if (err != OK)
        (void)pdns_failed(p, err, NULL);
    return err == OK;
}

static bool has_type(const struct pdns *p, uint16_t type)
{
    struct bytes apex = name_bytes(&p->zone.row.apex);
    for (size_t i = 0; i < p->whole->n; i++)
        if (p->whole->rr[i].type == type && name_equal(p->whole->rr[i].owner, apex))
            return true;
    return false;
}

static bool add_soa(struct pdns *p)
{
    static const uint8_t first[] = "\x0ahostmaster";
    uint8_t rdata[2 * NAME_MAX_LEN + 20];
    struct wr w = wr_over(rdata, sizeof rdata);
    struct bytes apex = name_bytes(&p->zone.row.apex);
    struct name mname, rname;
    if (name_from_text(bytes_of_text(NOBODY), bytes_of(NULL, 0), &mname) != OK)
        return (void)pdns_failed(p, ERR_BAD, NULL), false;
    if (name_join(bytes_of(first, sizeof first - 1), apex, &rname) != OK)
        rname = mname;                                  /* a zone's name of over 244 bytes */
    wr_bytes(&w, name_bytes(&mname));
    wr_bytes(&w, name_bytes(&rname));
    wr_u32(&w, 0);
    wr_u32(&w, 10800);
    wr_u32(&w, 3600);
    wr_u32(&w, 604800);
    wr_u32(&w, 3600);
    return add(p, apex, TYPE_SOA, PDNS_TTL, wr_done(&w));
}

static bool add_ns(struct pdns *p, const char *text)
{
    struct name name;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &name) != OK)
        return (void)pdns_refuse(p, "Unable to parse DNS Name '%s'", text), false;
    return add(p, name_bytes(&p->zone.row.apex), TYPE_NS, PDNS_TTL, name_bytes(&name));
}

static bool add_nameservers(struct pdns *p, const json_t *list)
{
    if (list == NULL || json_is_null(list))
        return true;
    if (!json_is_array(list))
        return (void)pdns_refuse(p, "Nameservers is not a list"), false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        size_t len = text != NULL ? strlen(text) : 0;
        if (len == 0)
            return (void)pdns_refuse(p, "Nameservers must be non-empty strings"), false;
        if (text[len - 1] != '.')
            return (void)pdns_refuse(p, "Nameserver is not canonical: '%s'", text), false;
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(list, k), json_array_get(list, i)))
                return (void)pdns_refuse(p, "Duplicate record in RRset %s IN NS with content \"%.*s\"",
                                         pdns_text_of(&p->c->arena, name_bytes(&p->zone.row.apex)), (int)len - 1, text), false;
        if (!add_ns(p, text))
            return false;
    }
    return true;
}

/* The serial moves as if the SOA that was given were an older one. */
static bool set_serial(struct pdns *p, enum serial_policy policy, uint64_t now_s)
{
    for (size_t i = 0; i < p->whole->n; i++) {
        struct zone_rr *rr = &p->whole->rr[i];
        uint8_t rdata[2 * NAME_MAX_LEN + 20];
        uint32_t serial;
        if (rr->type != TYPE_SOA || rr->rdata.len > sizeof rdata || soa_serial(rr->rdata, &serial) != OK || policy == SERIAL_KEEP)
            continue;
        memcpy(rdata, rr->rdata.ptr, rr->rdata.len);
        if (soa_serial_put(rdata, rr->rdata.len, serial_next(policy, serial, now_s)) == OK)
            rr->rdata = arena_copy(&p->whole->arena, bytes_of(rdata, rr->rdata.len));
        if (rr->rdata.ptr == NULL)
            return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    }
    return true;
}

/* --- RRsets and text ------------------------------------------------------------------------------------------------------- */
static bool add_edit(struct pdns *p, const struct pdns_edit *e)
{
    for (size_t i = 0; i < e->row.n; i++)
        if (!e->row.rr[i].disabled && !add(p, e->row.owner, e->row.type, e->row.ttl, e->row.rr[i].rdata))
            return false;
    return true;
}

static int by_owner(const void *a, const void *b)
{
    return bytes_compare((*(const struct pdns_edit *const *)a)->row.owner, (*(const struct pdns_edit *const *)b)->row.owner);
}

static bool stands_beside(const struct pdns_edit *e)
{
    return e->row.type != TYPE_CNAME && !rrtype_beside_cname(e->row.type) && e->row.n > 0;
}

/* No CNAME beside something else. */
static bool no_conflicts(struct pdns *p)
{
    const struct pdns_edit **v = arena_take(&p->c->arena, p->edits_n * sizeof(const struct pdns_edit *)), *cname = NULL;
    bool other = false;
    if (v == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    for (size_t i = 0; i < p->edits_n; i++)
        v[i] = &p->edits[i];
    qsort(v, p->edits_n, sizeof(const struct pdns_edit *), by_owner);
    for (size_t i = 0; i < p->edits_n; i++) {
        if (i > 0 && by_owner(&v[i], &v[i - 1]) != 0) {
            cname = NULL;
            other = false;
        }
        if (v[i]->row.type == TYPE_CNAME && v[i]->row.n > 0)
            cname = v[i];
        other |= stands_beside(v[i]);
        if (cname != NULL && other)
            return (void)pdns_refuse(p, "RRset %s IN %s: Conflicts with another RRset", cname->name, cname->type), false;
    }
    return true;
}

static bool add_rrsets(struct pdns *p, const json_t *list)
{
    size_t n = json_array_size(list);
    if (n == 0)
        return true;
    if ((p->edits = arena_take(&p->c->arena, n * sizeof *p->edits)) == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    for (size_t i = 0; i < n; i++) {
        struct pdns_edit *e = &p->edits[i];
        if (!pdns_rrset_read(p, json_array_get(list, i), true, e) || !pdns_rrset_check(p, e) || !add_edit(p, e))
            return false;
        p->edits_n = i + 1;
    }
    return no_conflicts(p);
}

static bool add_text(struct pdns *p, const char *text)
{
    struct complaints *c = calloc(1, sizeof *c);
    struct fault fault = { "" };
    enum err err = c != NULL ? zonefile_read_text(bytes_of_text(text), "zone", p->whole, c, &fault) : ERR_NOMEM;
    if (err == ERR_REFUSED)
        (void)pdns_refuse(p, "Zone text, line %u: %s", (unsigned)c->errors[0].line, c->errors[0].text);
    else if (err != OK)
        (void)pdns_failed(p, err, &fault);
    free(c);
    return err == OK;
}

static bool fill(struct pdns *p, const json_t *o, enum serial_policy policy, uint64_t now_s)
{
    const char *text = pdns_string_or(o, "zone", "");
    const json_t *rrsets = json_object_get(o, "rrsets"), *nameservers = json_object_get(o, "nameservers");
    if ((p->whole = arena_take(&p->c->arena, sizeof *p->whole)) == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    zone_init(p->whole, name_bytes(&p->zone.row.apex), "zone");
    if (text[0] != '\0' ? !add_text(p, text) : !add_rrsets(p, rrsets))
        return false;
    if (json_array_size(nameservers) > 0 && has_type(p, TYPE_NS))
        return (void)pdns_refuse(p, "Nameservers list MUST NOT be mixed with zone-level NS in rrsets"), false;
    if (!add_nameservers(p, nameservers) || (!has_type(p, TYPE_SOA) && !add_soa(p)) || (!has_type(p, TYPE_NS) && !add_ns(p, NOBODY)))
        return false;
    return set_serial(p, policy, now_s);
}

/* --- what a whole zone cannot say ------------------------------------------------------------------------------------------ */
static bool is_more(const struct pdns_edit *e)
{
    bool disabled = false;
    for (size_t i = 0; i < e->row.n; i++)
        disabled |= e->row.rr[i].disabled;
    return disabled || e->row.comments_n > 0;
}

static enum err plan_more(void *arg, struct draft *d, struct fault *fault)
{
    struct pdns *p = arg;
    enum err err = OK;
    for (size_t i = 0; i < p->edits_n && err == OK; i++) {
        struct row row = p->edits[i].row;
        if (is_more(&p->edits[i]) && row.type != TYPE_SOA)
            err = draft_set(d, &row, fault);
    }
    return err;
}

static enum api_next show(struct pdns *p, const struct api_work *w)
{
    (void)w;
    p->status = 201;
    return pdns_then(p, pdns_zone_get);
}

static enum api_next add_more(struct pdns *p, const struct api_work *w)
{
    (void)w;
    return pdns_change(p, CHANGE_EDIT, plan_more, show);
}

static enum api_next made(struct pdns *p, const struct api_work *w)
{
    for (size_t i = 0; i < p->edits_n; i++)
        if (is_more(&p->edits[i]))
            return pdns_then(p, add_more);
    return show(p, w);
}

/* --- the request ------------------------------------------------------------------------------------------------------------ */
/* The settings as text in p->settings. */
static bool read_settings(struct pdns *p, const json_t *o, const char *kind, uint64_t now_s, enum serial_policy *policy)
{
    struct fault fault = { "" };
    struct zone_settings s;
    enum err err;
    settings_init(&s, pdns_kind_read(kind));
    s.created_s = now_s;
    err = pdns_keep(&s, "soa_edit_api", json_string("DEFAULT"));
    s.serial = SERIAL_DATE;
    if (err == OK)
        err = pdns_settings_apply(&s, o, name_bytes(&p->zone.row.apex), &p->c->arena, &fault);
    if (err == OK)
        err = settings_text(&s, &p->c->arena, &p->settings);
    *policy = s.serial;
    settings_release(&s);
    if (err == OK)
        return true;
    if (err == ERR_REFUSED || err == ERR_LIMIT)
        return (void)pdns_refuse(p, "%s", err == ERR_LIMIT ? "The settings are too long" : fault_text(&fault, err)), false;
    return (void)pdns_failed(p, err, &fault), false;
}

/* There is no such zone yet: p->zone is about the name. false: the reply says why. */
static bool is_new(struct pdns *p, const struct api_work *w, const struct name *name)
{
    p->id = pdns_id_of(&p->c->arena, name_bytes(name));
    if (p->id == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    if (pdns_zone_find(p, w))
        return (void)pdns_status(p, 409), false;
    if (p->c->reply.status != 404)
        return false;
    p->zone.row.apex = *name;
    return true;
}

enum api_next pdns_zones_post(struct pdns *p, const struct api_work *w)
{
    const char *text, *kind;
    enum serial_policy policy;
    struct name name;
    if (!pdns_body(p) || (text = pdns_string(p, p->c->json, "name")) == NULL || !pdns_name(p, text, &name)
        || !pdns_name_letters(p, &name) || !is_new(p, w, &name) || (kind = pdns_string(p, p->c->json, "kind")) == NULL)
        return API_REPLY;
    const json_t *o = p->c->json, *rrsets = json_object_get(o, "rrsets");
    bool zone_text = pdns_string_or(o, "zone", "")[0] != '\0';
    if (zone_text && json_array_size(rrsets) > 0)
        return pdns_refuse(p, "You cannot give rrsets AND zone data as text");
    bool secondary = pdns_kind_read(kind) == ZONE_SECONDARY;
    if (secondary && (zone_text || json_array_size(rrsets) > 0 || json_array_size(json_object_get(o, "nameservers")) > 0))
        return pdns_refuse(p, "Zone '%s' has its records from its masters: none can be given", text);
    if (!pdns_keys_exist(p, w, o) || !read_settings(p, o, kind, w->now_s, &policy))
        return API_REPLY;
    if (!secondary && !fill(p, o, policy, w->now_s))
        return API_REPLY;
    return pdns_change(p, CHANGE_CREATE, NULL, made);
}
