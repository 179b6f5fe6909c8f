/* PowerDNS's settings of a zone, and ours: which says what. What only PowerDNS's API knows is kept in settings.pdns. */
#include "builder/pdns_parts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* --- kinds ------------------------------------------------------------------------------------------------------------ */
static const struct { const char *word, *kind; enum zone_kind ours; } kinds[] = {
    { "native", "Native", ZONE_NATIVE }, { "master", "Master", ZONE_NATIVE }, { "primary", "Master", ZONE_NATIVE },
    { "producer", "Producer", ZONE_NATIVE }, { "slave", "Slave", ZONE_SECONDARY }, { "secondary", "Slave", ZONE_SECONDARY },
    { "consumer", "Consumer", ZONE_SECONDARY },
};
#define KINDS_N (sizeof kinds / sizeof kinds[0])

static size_t kind_of(const char *text)
{
    for (size_t i = 0; i < KINDS_N; i++)
        if (strcasecmp(kinds[i].word, text) == 0)
            return i;
    return 0;
}

enum zone_kind pdns_kind_read(const char *text) { return kinds[kind_of(text)].ours; }

const char *pdns_kind_of(const struct zone_settings *s)
{
    size_t said = kind_of(pdns_string_or(s->pdns, "kind", ""));
    if (s->catalog != NULL)
        return "Consumer";
    if (strcmp(kinds[said].kind, "Consumer") == 0)
        return "Slave";
    return kinds[said].ours == s->kind ? kinds[said].kind : s->kind == ZONE_SECONDARY ? "Slave" : "Native";
}

/* --- serials ---------------------------------------------------------------------------------------------------------- */
static enum serial_policy policy_of(const char *edit_api, const char *edit)
{
    static const struct { const char *word; enum serial_policy policy; } words[] = {
        { "DEFAULT", SERIAL_DATE }, { "INCREASE", SERIAL_INCREMENT }, { "SOA-EDIT-INCREASE", SERIAL_INCREMENT },
        { "EPOCH", SERIAL_UNIXTIME }, { "INCEPTION-EPOCH", SERIAL_UNIXTIME }, { "INCEPTION-INCREMENT", SERIAL_DATE },
        { "INCREMENT-WEEKS", SERIAL_INCREMENT },
    };
    enum { OF_API = 4 };
    bool by_edit = strcasecmp(edit_api, "SOA-EDIT") == 0;
    const char *word = by_edit ? edit : edit_api;
    for (size_t i = by_edit ? OF_API - 1 : 0; i < (by_edit ? sizeof words / sizeof words[0] : OF_API); i++)
        if (strcasecmp(words[i].word, word) == 0)
            return words[i].policy;
    return SERIAL_KEEP;
}

const char *pdns_edit_of(const struct zone_settings *s)
{
    static const char *const words[] = { [SERIAL_INCREMENT] = "INCREASE", [SERIAL_UNIXTIME] = "EPOCH", [SERIAL_DATE] = "DEFAULT",
                                         [SERIAL_KEEP] = "" };
    const char *said = json_string_value(json_object_get(s->pdns, "soa_edit_api"));
    if (said != NULL && policy_of(said, pdns_string_or(s->pdns, "soa_edit", "")) == s->serial)
        return said;
    return words[s->serial];
}

/* --- masters ---------------------------------------------------------------------------------------------------------- */
/* ADDR, ADDR:PORT or [ADDR]:PORT as ADDR or ADDR@PORT. */
bool pdns_address_read(const char *text, char *out, size_t cap)
{
    struct in6_addr any;
    char address[64];
    const char *colon = strrchr(text, ':'), *port = "";
    size_t len = strlen(text);
    bool v6 = text[0] == '[';
    if (v6) {
        const char *end = strchr(text, ']');
        if (end == NULL || (end[1] != ':' && end[1] != '\0'))
            return false;
        port = end[1] == ':' ? end + 2 : "";
        len = (size_t)(end - ++text);
    } else if (colon != NULL && strchr(text, ':') == colon) {
        port = colon + 1;
        len = (size_t)(colon - text);
    }
    if (len >= sizeof address || strlen(port) > 5 || strspn(port, "0123456789") != strlen(port))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (inet_pton(v6 || strchr(address, ':') != NULL ? AF_INET6 : AF_INET, address, &any) != 1)
        return false;
    if (strcmp(port, "53") == 0)
        port = "";
    (void)snprintf(out, cap, "%s%s%s", address, port[0] != '\0' ? "@" : "", port);
    return true;
}

json_t *pdns_address_json(const char *text, size_t len)
{
    const char *at = memchr(text, '@', len);
    int host = at != NULL ? (int)(at - text) : (int)len, port = at != NULL ? (int)len - host - 1 : 0;
    bool brackets = at != NULL && memchr(text, ':', len) != NULL;
    return json_sprintf("%s%.*s%s%s%.*s", brackets ? "[" : "", host, text, brackets ? "]" : "", at != NULL ? ":" : "", port,
                        at != NULL ? at + 1 : "");
}

json_t *pdns_masters_of(const struct zone_settings *s)
{
    const json_t *kept = json_object_get(s->pdns, "masters");
    json_t *list = json_array();
    if (s->kind != ZONE_SECONDARY)
        return json_is_array(kept) ? (json_decref(list), json_deep_copy(kept)) : list;
    for (size_t i = 0; i < s->primaries_n; i++)
        (void)json_array_append_new(list, pdns_address_json(s->primaries[i].address, strlen(s->primaries[i].address)));
    return list;
}

static const char *first_key(const struct zone_settings *s)
{
    const char *name = json_string_value(json_array_get(json_object_get(s->pdns, "slave_tsig_key_ids"), 0));
    return name != NULL ? name : "";
}

static enum err apply_masters(struct zone_settings *s, const json_t *list, struct arena *a, struct fault *fault)
{
    size_t n = json_array_size(list);
    struct zone_primary *v = arena_take(a, (n + 1) * sizeof *v);
    if (v == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        char address[80];
        if (text == NULL || !pdns_address_read(text, address, sizeof address))
            return fault_set(fault, ERR_REFUSED, "Master (%.200s) is not an IP address: Unable to convert presentation address '%.200s'",
                             text != NULL ? text : "", text != NULL ? text : "");
        v[i] = (struct zone_primary){ .address = arena_text(a, address), .tsig = "" };
        if (v[i].address == NULL)
            return ERR_NOMEM;
    }
    if (s->kind == ZONE_SECONDARY) {
        s->primaries = v;
        s->primaries_n = n;
        return OK;
    }
    return pdns_keep(s, "masters", json_deep_copy(list));
}

/* --- members ---------------------------------------------------------------------------------------------------------- */
enum err pdns_keep(struct zone_settings *s, const char *member, json_t *value)
{
    if (s->pdns == NULL && (s->pdns = json_object()) == NULL)
        return json_decref(value), ERR_NOMEM;
    return json_object_set_new(s->pdns, member, value) == 0 ? OK : ERR_NOMEM;
}

/* Names of keys with their final dot. */
static json_t *key_names(const json_t *list)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        size_t len = text != NULL ? strlen(text) : 0;
        if (len > 0)
            (void)json_array_append_new(out, json_sprintf("%s%s", text, text[len - 1] == '.' ? "" : "."));
    }
    return out;
}

static enum err apply_kept(struct zone_settings *s, const json_t *o, struct arena *a, struct fault *fault)
{
    static const char *const texts[] = { "soa_edit", "soa_edit_api", "catalog" };
    static const char *const lists[] = { "master_tsig_key_ids", "slave_tsig_key_ids" };
    enum err err = OK;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && err == OK; i++)
        if (json_is_string(json_object_get(o, texts[i])))
            err = pdns_keep(s, texts[i], json_deep_copy(json_object_get(o, texts[i])));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && err == OK; i++)
        if (json_is_array(json_object_get(o, lists[i])))
            err = pdns_keep(s, lists[i], key_names(json_object_get(o, lists[i])));
    if (err == OK && json_is_array(json_object_get(o, lists[0])))
        err = pdns_act(s, "TSIG-ALLOW-AXFR", json_object_get(s->pdns, lists[0]), a, fault);
    if (err == OK && json_is_boolean(json_object_get(o, "api_rectify")))
        err = pdns_keep(s, "api_rectify", json_deep_copy(json_object_get(o, "api_rectify")));
    return err;
}

static enum err apply_kind(struct zone_settings *s, const json_t *o, const char *name, struct fault *fault)
{
    const char *kind = json_string_value(json_object_get(o, "kind"));
    if (kind == NULL)
        return OK;
    if (pdns_kind_read(kind) != s->kind)
        return fault_set(fault, ERR_REFUSED, "Kind of zone '%.255s' cannot change between %s and %s: delete and create it", name,
                         pdns_kind_of(s), kinds[kind_of(kind)].kind);
    bool consumer = strcmp(kinds[kind_of(kind)].kind, "Consumer") == 0;
    if (consumer && s->catalog == NULL && (s->catalog = json_object()) == NULL)
        return ERR_NOMEM;
    if (!consumer) {
        json_decref(s->catalog);
        s->catalog = NULL;
    }
    return pdns_keep(s, "kind", json_string(kinds[kind_of(kind)].kind));
}

/* A secondary asks each primary with the first of its keys. */
static enum err apply_key(struct zone_settings *s, struct arena *a)
{
    struct zone_primary *v = arena_take(a, (s->primaries_n + 1) * sizeof *v);
    const char *key = arena_text(a, first_key(s));
    if (v == NULL || key == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->primaries_n; i++)
        v[i] = (struct zone_primary){ s->primaries[i].address, key };
    s->primaries = v;
    return OK;
}

enum err pdns_settings_apply(struct zone_settings *s, const json_t *o, struct bytes apex, struct arena *a, struct fault *fault)
{
    char name[NAME_TEXT_MAX];
    const char *account = json_string_value(json_object_get(o, "account"));
    enum err err;
    (void)name_text(name, sizeof name, apex);
    if (json_is_true(json_object_get(o, "dnssec")))
        return fault_set(fault, ERR_REFUSED, "This server does not sign zones: load '%.255s' signed", name);
    if (pdns_string_or(o, "nsec3param", "")[0] != '\0')
        return fault_set(fault, ERR_REFUSED, "NSEC3PARAM value provided for zone '%.255s', but zone is not DNSSEC secured.", name);
    if (s->member_catalog[0] != '\0' && json_is_string(json_object_get(o, "catalog"))
        && strcmp(json_string_value(json_object_get(o, "catalog")), s->member_catalog) != 0)
        return fault_set(fault, ERR_REFUSED, "Zone '%.255s' is a member of the catalog zone '%.255s': take it out there", name, s->member_catalog);
    if ((err = apply_kind(s, o, name, fault)) != OK || (err = apply_kept(s, o, a, fault)) != OK)
        return err;
    if (json_is_array(json_object_get(o, "masters")) && (err = apply_masters(s, json_object_get(o, "masters"), a, fault)) != OK)
        return err;
    if (s->kind == ZONE_SECONDARY && json_object_get(s->pdns, "slave_tsig_key_ids") != NULL && (err = apply_key(s, a)) != OK)
        return err;
    if (account != NULL && (s->account = arena_text(a, account)) == NULL)
        return ERR_NOMEM;
    if (json_object_get(o, "soa_edit_api") != NULL || json_object_get(o, "soa_edit") != NULL)
        s->serial = policy_of(pdns_string_or(s->pdns, "soa_edit_api", pdns_edit_of(s)), pdns_string_or(s->pdns, "soa_edit", ""));
    return OK;
}

static bool key_exists(struct pdns *p, struct source_txn *t, const char *text)
{
    struct tsig_key_row row;
    struct name name;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &name) == OK && source_tsig(t, name_bytes(&name), &row) == OK)
        return true;
    size_t len = strlen(text);
    (void)pdns_refuse(p, "A TSIG key with the name '%.*s' does not exist", (int)(len > 0 && text[len - 1] == '.' ? len - 1 : len), text);
    return false;
}

bool pdns_keys_exist(struct pdns *p, const struct api_work *w, const json_t *o)
{
    static const char *const lists[] = { "master_tsig_key_ids", "slave_tsig_key_ids" };
    struct fault fault = { "" };
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < json_array_size(json_object_get(o, lists[i])); k++) {
            const char *text = json_string_value(json_array_get(json_object_get(o, lists[i]), k));
            struct source_txn *t = pdns_txn(p, w, &fault);
            if (t == NULL)
                return (void)pdns_failed(p, ERR_STORE, &fault), false;
            if (!key_exists(p, t, text != NULL ? text : ""))
                return false;
        }
    return true;
}

/* --- PUT --------------------------------------------------------------------------------------------------------------- */
static enum err plan_put(void *arg, struct draft *d, struct fault *fault)
{
    struct pdns *p = arg;
    struct zone_settings s = *draft_settings(d);
    s.pdns = s.pdns != NULL ? json_deep_copy(s.pdns) : NULL;        /* and the others are put back unchanged */
    (void)json_incref(s.catalog);
    enum err err = pdns_settings_apply(&s, p->c->json, draft_apex(d), draft_arena(d), fault);
    if (err == OK)
        err = draft_settings_set(d, &s, fault);
    json_decref(s.pdns);
    json_decref(s.catalog);
    return err;
}

/* A Slave that becomes Native or Master. */
static enum err settle_put(void *arg, struct zone_settings *s, struct arena *a, struct fault *fault)
{
    struct pdns *p = arg;
    json_t *was = s->pdns;
    s->pdns = was != NULL ? json_deep_copy(was) : NULL;
    json_decref(was);
    return pdns_settings_apply(s, p->c->json, name_bytes(&p->zone.row.apex), a, fault);
}

static enum api_next put_done(struct pdns *p, const struct api_work *w)
{
    (void)w;
    return pdns_status(p, 204);
}

enum api_next pdns_zone_put(struct pdns *p, const struct api_work *w)
{
    if (!pdns_zone_find(p, w) || !pdns_body(p) || !pdns_keys_exist(p, w, p->c->json))
        return API_REPLY;
    if (p->zone.is_file)
        return pdns_refuse(p, "Hosting backend does not support editing settings.");
    const char *kind = json_string_value(json_object_get(p->c->json, "kind"));
    bool native = p->zone.settings.kind == ZONE_SECONDARY && kind != NULL && pdns_kind_read(kind) == ZONE_NATIVE;
    enum api_next next = pdns_change(p, native ? CHANGE_NATIVE : CHANGE_EDIT, plan_put, put_done);
    if (native && next == API_CHANGE)
        p->c->change->settle = settle_put;
    return next;
}
