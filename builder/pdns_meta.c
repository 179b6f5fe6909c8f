/* PowerDNS's API: metadata of a zone. It is kept in settings.pdns and shown; some of it follows from settings, some is acted on
 * (pdns_acts.c). */
#include "builder/pdns_parts.h"

/* What a kind may be asked: shown alone, changed. Kinds of users begin with X-. */
enum { SHOWN = 1, CHANGED = 2 };
static const struct { const char *kind; unsigned may; } kinds[] = {
    { "ALLOW-AXFR-FROM", SHOWN | CHANGED }, { "ALLOW-DNSUPDATE-FROM", SHOWN | CHANGED }, { "ALSO-NOTIFY", SHOWN | CHANGED },
    { "AXFR-MASTER-TSIG", SHOWN }, { "AXFR-SOURCE", SHOWN | CHANGED }, { "FORWARD-DNSUPDATE", SHOWN | CHANGED },
    { "GSS-ACCEPTOR-PRINCIPAL", SHOWN | CHANGED }, { "GSS-ALLOW-AXFR-PRINCIPAL", SHOWN | CHANGED }, { "IXFR", SHOWN | CHANGED },
    { "LUA-AXFR-SCRIPT", SHOWN }, { "NOTIFY-DNSUPDATE", SHOWN | CHANGED }, { "NSEC3NARROW", 0 }, { "NSEC3PARAM", 0 },
    { "PRESIGNED", 0 }, { "PUBLISH-CDNSKEY", SHOWN | CHANGED }, { "PUBLISH-CDS", SHOWN | CHANGED }, { "SLAVE-RENOTIFY", SHOWN | CHANGED },
    { "SOA-EDIT", SHOWN | CHANGED }, { "SOA-EDIT-DNSUPDATE", SHOWN | CHANGED }, { "TSIG-ALLOW-AXFR", SHOWN },
    { "TSIG-ALLOW-DNSUPDATE", SHOWN | CHANGED },
};

/* Bytes that no JSON can say are no kind. */
static bool is_text(const char *kind)
{
    json_t *v = json_string(kind);
    json_decref(v);
    return v != NULL;
}

static bool is_kind(const char *kind, unsigned *may)
{
    *may = SHOWN | CHANGED;
    if (strncmp(kind, "X-", 2) == 0)
        return is_text(kind);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].kind, kind) == 0)
            return *may = kinds[i].may, true;
    return false;
}

/* --- what there is --------------------------------------------------------------------------------------------------------- */
/* Kinds that follow from a setting: its text, or its list. */
static const struct { const char *kind, *member; } settings[] = {
    { "API-RECTIFY", "api_rectify" }, { "AXFR-MASTER-TSIG", "slave_tsig_key_ids" }, { "SOA-EDIT", "soa_edit" },
    { "SOA-EDIT-API", "soa_edit_api" }, { "TSIG-ALLOW-AXFR", "master_tsig_key_ids" },
};

/* NULL: there is none. A new reference. */
static json_t *of_setting(const struct zone_settings *s, const char *member)
{
    const json_t *v = json_object_get(s->pdns, member);
    if (json_is_true(v))
        return json_pack("[s]", "1");
    if (json_is_string(v))
        return json_string_length(v) > 0 || strcmp(member, "soa_edit") != 0 ? json_pack("[O]", (json_t *)(uintptr_t)v) : NULL;
    return json_is_array(v) && json_array_size(v) > 0 ? json_deep_copy(v) : NULL;
}

/* All of a zone: {kind: [value]}. A new reference. */
static json_t *all_of(const struct zone_settings *s)
{
    const json_t *kept = json_object_get(s->pdns, "metadata");
    json_t *all = json_is_object(kept) ? json_deep_copy(kept) : json_object();
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        json_t *v = of_setting(s, settings[i].member);
        if (v != NULL)
            (void)json_object_set_new(all, settings[i].kind, v);
    }
    pdns_act_show(s, all);
    return all;
}

static json_t *item(const char *kind, json_t *values)
{
    return json_pack("{s:s,s:s,s:o}", "type", "Metadata", "kind", kind, "metadata", values != NULL ? values : json_array());
}

enum api_next pdns_metadata(struct pdns *p, const struct api_work *w)
{
    if (!pdns_zone_find(p, w))
        return API_REPLY;
    json_t *all = all_of(&p->zone.settings), *list = json_array(), *values;
    const char *kind;
    json_object_foreach(all, kind, values)
        (void)json_array_append_new(list, item(kind, json_incref(values)));
    json_decref(all);
    return pdns_reply(p, 200, list);
}

enum api_next pdns_metadata_one(struct pdns *p, const struct api_work *w)
{
    unsigned may;
    if (!pdns_zone_find(p, w))
        return API_REPLY;
    if (!is_kind(p->arg, &may))
        return pdns_refuse(p, "Unsupported metadata kind '%s'", p->arg);
    if ((may & SHOWN) == 0)
        return pdns_status(p, 404);
    json_t *all = all_of(&p->zone.settings);
    json_t *o = item(p->arg, json_incref(json_object_get(all, p->arg)));
    json_decref(all);
    return pdns_reply(p, 200, o);
}

/* --- changes --------------------------------------------------------------------------------------------------------------- */
/* p->arg has these values now: settings.pdns is changed in place. */
static enum err keep(struct zone_settings *s, const char *kind, const json_t *values)
{
    json_t *all = json_object_get(s->pdns, "metadata");
    all = json_is_object(all) ? json_deep_copy(all) : json_object();
    if (strcmp(kind, "SOA-EDIT") == 0) {
        json_decref(all);
        return pdns_keep(s, "soa_edit", json_string(values != NULL ? json_string_value(json_array_get(values, 0)) : ""));
    }
    if (values != NULL)
        (void)json_object_set_new(all, kind, json_deep_copy(values));
    else
        (void)json_object_del(all, kind);
    return pdns_keep(s, "metadata", all);
}

static enum err plan(void *arg, struct draft *d, struct fault *fault)
{
    struct pdns *p = arg;
    struct zone_settings s = *draft_settings(d);
    json_t *all = all_of(&s), *before = json_object_get(all, p->arg), *now = NULL;
    if (p->method == API_POST && before != NULL) {
        now = json_deep_copy(before);
        (void)json_array_extend(now, p->values);
    } else if (p->values != NULL) {
        now = json_deep_copy(p->values);
    }
    json_decref(all);
    s.pdns = s.pdns != NULL ? json_deep_copy(s.pdns) : NULL;
    enum err err = keep(&s, p->arg, json_array_size(now) > 0 ? now : NULL);
    if (err == OK)
        err = pdns_act(&s, p->arg, now, draft_arena(d), fault);
    if (err == OK)
        err = draft_settings_set(d, &s, fault);
    json_decref(s.pdns);
    json_decref(p->extra);
    p->extra = now;                     /* what the reply shows */
    return err;
}

static enum api_next told(struct pdns *p, const struct api_work *w)
{
    (void)w;
    if (p->method == API_DELETE)
        return pdns_status(p, 200);
    return pdns_reply(p, p->method == API_POST ? 201 : 200, item(p->arg, json_incref(p->extra)));
}

static enum api_next change(struct pdns *p)
{
    unsigned may;
    if (!is_kind(p->arg, &may) || (may & CHANGED) == 0)
        return pdns_refuse(p, "Unsupported metadata kind '%s'", p->arg);
    if (p->zone.is_file)
        return pdns_refuse(p, "Hosting backend does not support editing metadata.");
    return pdns_change(p, CHANGE_EDIT, plan, told);
}

static bool read_values(struct pdns *p)
{
    p->values = json_object_get(p->c->json, "metadata");
    if (!json_is_array(p->values))
        return (void)pdns_refuse(p, "metadata is not specified or not an array"), false;
    for (size_t i = 0; i < json_array_size(p->values); i++)
        if (!json_is_string(json_array_get(p->values, i)))
            return (void)pdns_refuse(p, "metadata must be strings"), false;
    return true;
}

enum api_next pdns_metadata_post(struct pdns *p, const struct api_work *w)
{
    if (!pdns_zone_find(p, w) || !pdns_body(p))
        return API_REPLY;
    if ((p->arg = json_string_value(json_object_get(p->c->json, "kind"))) == NULL)
        return pdns_refuse(p, "kind is not specified or not a string");
    return read_values(p) ? change(p) : API_REPLY;
}

enum api_next pdns_metadata_put(struct pdns *p, const struct api_work *w)
{
    return pdns_zone_find(p, w) && pdns_body(p) && read_values(p) ? change(p) : API_REPLY;
}

enum api_next pdns_metadata_delete(struct pdns *p, const struct api_work *w)
{
    return pdns_zone_find(p, w) ? change(p) : API_REPLY;
}
