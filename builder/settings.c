#include "builder/settings.h"

#include "base/net.h"
#include "base/text.h"

#include <string.h>

const char *const zone_kind_names[4] = { "", "file", "native", "secondary" };

#define KEY_PREFIX "key:"
#define PORT_MAX 65535
#define PORT_DIGITS_MAX 5
#define ADDRESS_TEXT_MAX 64
#define GROUP_MAX 255           /* of a TXT record's string */

struct reading {
    struct zone_settings *s;
    struct arena *a;
    struct fault *fault;
    const char *member;
};

void settings_init(struct zone_settings *s, enum zone_kind kind)
{
    *s = (struct zone_settings){ .kind = kind, .serial = SERIAL_INCREMENT, .account = "", .member_catalog = "", .member_id = "" };
}

void settings_release(struct zone_settings *s)
{
    json_decref(s->pdns);
    json_decref(s->unknown);
    json_decref(s->catalog);
    s->pdns = s->unknown = s->catalog = NULL;
}

void settings_hold(const struct zone_settings *s)
{
    (void)json_incref(s->pdns);
    (void)json_incref(s->unknown);
    (void)json_incref(s->catalog);
}

static enum err wrong(const struct reading *r, const char *want)
{
    return fault_set(r->fault, ERR_BAD, "%s: %s", r->member, want);
}

/* --- values --------------------------------------------------------------------------------------------------------- */
/* NULL: it is no text, or one with a zero byte: only what stands before that would count, and would not be read again. */
static const char *text_of(const json_t *v)
{
    const char *text = json_string_value(v);
    return text != NULL && strlen(text) == json_string_length(v) ? text : NULL;
}

/* The place of a word in a list of n; -1: none. */
static int word_of(const json_t *v, const char *const *words, int n)
{
    const char *text = text_of(v);
    for (int i = 0; text != NULL && i < n; i++)
        if (words[i][0] != '\0' && strcmp(text, words[i]) == 0)
            return i;
    return -1;
}

static enum err take_text(struct reading *r, const char *text, const char **out)
{
    *out = arena_text(r->a, text);
    return *out != NULL ? OK : ERR_NOMEM;
}

/* The name of a key in its one form. */
static enum err take_key_name(struct reading *r, const char *prefix, const char *text, const char **out)
{
    char all[NAME_TEXT_MAX + sizeof KEY_PREFIX], name[NAME_TEXT_MAX];
    struct name n;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &n) != OK || n.len <= 1)
        return fault_set(r->fault, ERR_BAD, "%s: \"%.100s\" is no name of a key", r->member, text);
    name_lower(n.wire, n.len);
    (void)snprintf(all, sizeof all, "%s%s", prefix, name_text(name, sizeof name, name_bytes(&n)));
    return take_text(r, all, out);
}

static bool is_network(const char *text)
{
    struct net net;
    return net_parse(text, &net) == OK;
}

/* ADDRESS or ADDRESS@PORT. */
static bool is_address(const char *text)
{
    char address[ADDRESS_TEXT_MAX];
    const char *at = strchr(text, '@');
    size_t len = at != NULL ? (size_t)(at - text) : strlen(text);
    uint64_t port = 1;
    if (len >= sizeof address || (at != NULL && (strlen(at + 1) > PORT_DIGITS_MAX || text_number(at + 1, PORT_MAX, &port) != OK || port == 0)))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    return strchr(address, '/') == NULL && is_network(address);
}

/* One element of a list of texts into *out. */
typedef enum err element_fn(struct reading *r, const char *text, const char **out);

static enum err take_network(struct reading *r, const char *text, const char **out)
{
    if (!is_network(text))
        return fault_set(r->fault, ERR_BAD, "%s: \"%.100s\" is no network (ADDRESS or ADDRESS/BITS, no bits behind them)",
                         r->member, text);
    return take_text(r, text, out);
}

static enum err take_peer(struct reading *r, const char *text, const char **out)
{
    if (strncmp(text, KEY_PREFIX, strlen(KEY_PREFIX)) == 0)
        return take_key_name(r, KEY_PREFIX, text + strlen(KEY_PREFIX), out);
    if (!is_network(text))
        return fault_set(r->fault, ERR_BAD, "%s: \"%.100s\" is neither a network (ADDRESS or ADDRESS/BITS) nor key:NAME",
                         r->member, text);
    return take_text(r, text, out);
}

static enum err take_address(struct reading *r, const char *text, const char **out)
{
    if (!is_address(text))
        return fault_set(r->fault, ERR_BAD, "%s: \"%.100s\" is neither ADDRESS nor ADDRESS@PORT", r->member, text);
    return take_text(r, text, out);
}

/* ADDRESS[@PORT], and the key that signs behind it. */
static enum err take_target(struct reading *r, const char *text, const char **out)
{
    char address[ADDRESS_TEXT_MAX], whole[ADDRESS_TEXT_MAX + sizeof KEY_PREFIX + NAME_TEXT_MAX];
    const char *key = strstr(text, " " KEY_PREFIX);
    size_t len = key == NULL ? strlen(text) : (size_t)(key - text);
    (void)snprintf(address, sizeof address, "%.*s", len < sizeof address ? (int)len : 0, text);
    if (!is_address(address))
        return fault_set(r->fault, ERR_BAD, "%s: \"%.100s\" is neither ADDRESS nor ADDRESS@PORT, alone or with \" key:NAME\" behind it",
                         r->member, text);
    if (key == NULL)
        return take_text(r, text, out);
    const char *name;
    enum err err = take_key_name(r, KEY_PREFIX, key + 1 + strlen(KEY_PREFIX), &name);
    if (err != OK)
        return err;
    (void)snprintf(whole, sizeof whole, "%s %s", address, name);
    return take_text(r, whole, out);
}

static enum err list_check(struct reading *r, const json_t *v)
{
    if (!json_is_array(v))
        return wrong(r, "a list is wanted");
    if (json_array_size(v) > SETTINGS_LIST_MAX)
        return fault_set(r->fault, ERR_BAD, "%s: %zu elements; at most %d are allowed", r->member, json_array_size(v),
                         SETTINGS_LIST_MAX);
    return OK;
}

static enum err take_list(struct reading *r, const json_t *v, element_fn *take, struct text_list *out)
{
    enum err err = list_check(r, v);
    if (err != OK)
        return err;
    size_t n = json_array_size(v);
    const char **list = n > 0 ? arena_take(r->a, n * sizeof *list) : NULL;
    if (n > 0 && list == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *text = text_of(json_array_get(v, i));
        err = text == NULL ? wrong(r, "a list of texts is wanted") : take(r, text, &list[i]);
        if (err != OK)
            return err;
    }
    *out = (struct text_list){ list, n };
    return OK;
}

/* --- members: v is NULL for the default ------------------------------------------------------------------------------ */
static enum err take_kind(struct reading *r, const json_t *v)
{
    int i = v == NULL ? ZONE_NATIVE : word_of(v, zone_kind_names, 4);
    if (i < 0)
        return wrong(r, "native, secondary or file is wanted");
    r->s->kind = (enum zone_kind)i;
    return OK;
}

static enum err take_serial(struct reading *r, const json_t *v)
{
    int i = v == NULL ? SERIAL_INCREMENT : word_of(v, serial_policy_names, 4);
    if (i < 0)
        return wrong(r, "increment, unixtime, date or keep is wanted");
    r->s->serial = (enum serial_policy)i;
    return OK;
}

static const char *const guard_names[] = { "normal", "strict" };
static enum err take_guard(struct reading *r, const json_t *v)
{
    int i = v == NULL ? 0 : word_of(v, guard_names, 2);
    if (i < 0)
        return wrong(r, "normal or strict is wanted");
    r->s->strict = i == 1;
    return OK;
}

static enum err take_account(struct reading *r, const json_t *v)
{
    const char *text = v == NULL ? "" : text_of(v);
    if (text == NULL)
        return wrong(r, "a text is wanted");
    if (strlen(text) > SETTINGS_ACCOUNT_MAX)
        return fault_set(r->fault, ERR_BAD, "%s: %zu bytes; at most %d are allowed", r->member, strlen(text),
                         SETTINGS_ACCOUNT_MAX);
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return wrong(r, "control characters are not allowed");
    return take_text(r, text, &r->s->account);
}

static enum err take_texts(struct reading *r, const json_t *v, element_fn *take, struct text_list *out)
{
    if (v != NULL)
        return take_list(r, v, take, out);
    *out = (struct text_list){ NULL, 0 };
    return OK;
}
static enum err take_update_acl(struct reading *r, const json_t *v) { return take_texts(r, v, take_network, &r->s->update_acl); }
static enum err take_notify(struct reading *r, const json_t *v) { return take_texts(r, v, take_target, &r->s->notify); }
static enum err take_transfer_acl(struct reading *r, const json_t *v) { return take_texts(r, v, take_peer, &r->s->transfer_acl); }

static enum err take_primary(struct reading *r, const json_t *v, struct zone_primary *out)
{
    const char *address = text_of(json_object_get(v, "address"));
    const json_t *tsig = json_object_get(v, "tsig");
    size_t known = 1 + (tsig != NULL);
    if (address == NULL || json_object_size(v) != known || (tsig != NULL && text_of(tsig) == NULL))
        return wrong(r, "a list of {\"address\", \"tsig\"} is wanted");
    enum err err = take_address(r, address, &out->address);
    if (err != OK)
        return err;
    out->tsig = "";
    return tsig == NULL || json_string_length(tsig) == 0 ? OK : take_key_name(r, "", json_string_value(tsig), &out->tsig);
}

static enum err take_primaries(struct reading *r, const json_t *v)
{
    size_t n = v == NULL ? 0 : json_array_size(v);
    enum err err = v == NULL ? OK : list_check(r, v);
    struct zone_primary *list = err == OK && n > 0 ? arena_take(r->a, n * sizeof *list) : NULL;
    if (err == OK && n > 0 && list == NULL)
        err = ERR_NOMEM;
    for (size_t i = 0; i < n && err == OK; i++)
        err = take_primary(r, json_array_get(v, i), &list[i]);
    if (err != OK)
        return err;
    r->s->primaries = list;
    r->s->primaries_n = n;
    return OK;
}

/* --- catalogs --------------------------------------------------------------------------------------------------------- */
typedef enum err take_fn(struct reading *r, const json_t *v);
static const struct { const char *name; take_fn *take; } peers[] = {
    { "primaries", take_primaries }, { "notify", take_notify }, { "transfer_acl", take_transfer_acl },
};

/* Those of the object's members that say who is asked, told, let in. groups: may be among them. */
static enum err take_peers(struct reading *r, const json_t *o, bool groups)
{
    const char *member = r->member;
    size_t known = groups && json_object_get(o, "groups") != NULL;
    enum err err = OK;
    if (!json_is_object(o))
        return wrong(r, "an object is wanted");
    for (size_t i = 0; i < sizeof peers / sizeof peers[0] && err == OK; i++) {
        const json_t *v = json_object_get(o, peers[i].name);
        known += v != NULL;
        r->member = peers[i].name;
        if (v != NULL)
            err = peers[i].take(r, v);
    }
    r->member = member;
    if (err == OK && json_object_size(o) != known)
        err = wrong(r, groups ? "only primaries, notify, transfer_acl and groups are known" : "a group has primaries, notify and transfer_acl only");
    return err;
}

static enum err check_groups(struct reading *r, const json_t *groups)
{
    const char *name;
    json_t *v;
    enum err err = groups == NULL || json_is_object(groups) ? OK : wrong(r, "groups: an object is wanted");
    json_object_foreach((json_t *)(uintptr_t)groups, name, v)
        if (err == OK)
            err = name[0] == '\0' || strlen(name) > GROUP_MAX ? wrong(r, "a group's name has 1 to 255 bytes") : take_peers(r, v, false);
    return err;
}

static enum err take_catalog(struct reading *r, const json_t *v)
{
    struct zone_settings tried;
    struct reading in = { .s = &tried, .a = r->a, .fault = r->fault, .member = r->member };
    json_t *copy = NULL;
    bool none = v == NULL || json_is_false(v);
    settings_init(&tried, ZONE_SECONDARY);
    enum err err = none || json_is_true(v) ? OK : take_peers(&in, v, true);
    if (err == OK && !none && !json_is_true(v))
        err = check_groups(&in, json_object_get(v, "groups"));
    if (err == OK && !none && (copy = json_is_true(v) ? json_object() : json_deep_copy(v)) == NULL)
        err = ERR_NOMEM;
    if (err != OK)
        return err;
    json_decref(r->s->catalog);
    r->s->catalog = copy;
    return OK;
}

static enum err take_member_of(struct reading *r, const json_t *v)
{
    const char *catalog = text_of(json_object_get(v, "catalog")), *id = text_of(json_object_get(v, "id"));
    if (catalog == NULL || id == NULL)
        return wrong(r, "{\"catalog\", \"id\"} is wanted");
    enum err err = take_text(r, catalog, &r->s->member_catalog);
    return err == OK ? take_text(r, id, &r->s->member_id) : err;
}

static enum err take_pdns(struct reading *r, const json_t *v)
{
    if (v != NULL && !json_is_object(v))
        return wrong(r, "an object is wanted");
    json_t *copy = v == NULL || json_object_size(v) == 0 ? NULL : json_deep_copy(v);
    if (v != NULL && json_object_size(v) > 0 && copy == NULL)
        return ERR_NOMEM;
    json_decref(r->s->pdns);
    r->s->pdns = copy;
    return OK;
}

static enum err take_time(struct reading *r, const json_t *v, uint64_t *out)
{
    if (v != NULL && (!json_is_integer(v) || json_integer_value(v) < 0))
        return wrong(r, "seconds since 1970 are wanted");
    *out = v == NULL ? 0 : (uint64_t)json_integer_value(v);
    return OK;
}
static enum err take_created(struct reading *r, const json_t *v) { return take_time(r, v, &r->s->created_s); }
static enum err take_edited(struct reading *r, const json_t *v) { return take_time(r, v, &r->s->edited_s); }

static const struct member {
    const char *name;
    enum err (*take)(struct reading *r, const json_t *v);
    bool ours;                  /* not the API's to set */
} members[] = {
    { "kind", take_kind, false }, { "serial_policy", take_serial, false }, { "guard", take_guard, false },
    { "account", take_account, false }, { "update_acl", take_update_acl, false }, { "primaries", take_primaries, false },
    { "notify", take_notify, false }, { "transfer_acl", take_transfer_acl, false }, { "pdns", take_pdns, false },
    { "catalog", take_catalog, false }, { "member_of", take_member_of, true },
    { "created", take_created, true }, { "edited", take_edited, true },
};

static const struct member *member_of(const char *name)
{
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    return NULL;
}

/* --- objects -------------------------------------------------------------------------------------------------------- */
static enum err keep_unknown(struct zone_settings *s, const char *name, json_t *v)
{
    if (s->unknown == NULL && (s->unknown = json_object()) == NULL)
        return ERR_NOMEM;
    return json_object_set(s->unknown, name, v) == 0 ? OK : ERR_NOMEM;
}

MUST_USE enum err settings_read(struct bytes text, struct arena *a, struct zone_settings *out, struct fault *fault)
{
    struct reading r = { .s = out, .a = a, .fault = fault };
    json_error_t e;
    const char *name;
    json_t *v;
    settings_init(out, ZONE_NATIVE);
    json_t *all = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(all)) {
        json_decref(all);
        return fault_set(fault, ERR_BAD, "settings: %s", all == NULL ? e.text : "an object is wanted");
    }
    enum err err = OK;
    json_object_foreach(all, name, v) {
        const struct member *m = member_of(name);
        r.member = name;
        err = m != NULL ? m->take(&r, v) : keep_unknown(out, name, v);
        if (err != OK)
            break;
    }
    json_decref(all);
    return err;
}

MUST_USE enum err settings_merge(struct zone_settings *s, const json_t *object, bool (*other)(const char *member),
                                 struct arena *a, struct fault *fault)
{
    struct reading r = { .s = s, .a = a, .fault = fault };
    if (!json_is_object(object))
        return fault_set(fault, ERR_BAD, "an object is wanted");
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        const char *name = json_object_iter_key(at);
        const json_t *v = json_object_iter_value(at);
        const struct member *m = member_of(name);
        if (other != NULL && other(name))
            continue;
        if (m == NULL)
            return fault_set(fault, ERR_BAD, "%.100s: no such member", name);
        if (m->ours)
            return fault_set(fault, ERR_BAD, "%s: is not set by hand", name);
        r.member = name;
        enum err err = m->take(&r, json_is_null(v) ? NULL : v);
        if (err != OK)
            return err;
    }
    return OK;
}

static json_t *list_json(const struct text_list *l)
{
    json_t *all = json_array();
    for (size_t i = 0; i < l->n; i++)
        (void)json_array_append_new(all, json_string(l->v[i]));
    return all;
}

static json_t *primaries_json(const struct zone_settings *s)
{
    json_t *all = json_array();
    for (size_t i = 0; i < s->primaries_n; i++) {
        json_t *p = json_pack("{s:s}", "address", s->primaries[i].address);
        if (s->primaries[i].tsig[0] != '\0')
            (void)json_object_set_new(p, "tsig", json_string(s->primaries[i].tsig));
        (void)json_array_append_new(all, p);
    }
    return all;
}

/* Members in the header's order; all: defaults too. What there was no memory for is missing: the caller counts. */
static size_t put_members(json_t *o, const struct zone_settings *s, bool all)
{
    size_t n = 0;
#define PUT(when, name, value) ((all || (when)) ? (void)(n++, json_object_set_new(o, name, value)) : (void)0)
    PUT(true, "kind", json_string(zone_kind_names[s->kind]));
    PUT(s->serial != SERIAL_INCREMENT, "serial_policy", json_string(serial_policy_names[s->serial]));
    PUT(s->strict, "guard", json_string(guard_names[s->strict]));
    PUT(s->account[0] != '\0', "account", json_string(s->account));
    PUT(s->update_acl.n > 0, "update_acl", list_json(&s->update_acl));
    PUT(s->primaries_n > 0, "primaries", primaries_json(s));
    PUT(s->notify.n > 0, "notify", list_json(&s->notify));
    PUT(s->transfer_acl.n > 0, "transfer_acl", list_json(&s->transfer_acl));
    PUT(s->created_s > 0, "created", json_integer((json_int_t)s->created_s));
    PUT(s->edited_s > 0, "edited", json_integer((json_int_t)s->edited_s));
#undef PUT
    if (s->catalog != NULL)
        (void)(n++, json_object_set(o, "catalog", s->catalog));
    if (s->member_catalog[0] != '\0')
        (void)(n++, json_object_set_new(o, "member_of", json_pack("{s:s,s:s}", "catalog", s->member_catalog, "id", s->member_id)));
    if (s->pdns != NULL)
        (void)(n++, json_object_set(o, "pdns", s->pdns));
    return n;
}

json_t *settings_object(const struct zone_settings *s)
{
    json_t *o = json_object();
    size_t n = o != NULL ? put_members(o, s, true) : 0;
    if (o != NULL && json_object_size(o) == n)
        return o;
    json_decref(o);
    return NULL;
}

MUST_USE enum err settings_text(const struct zone_settings *s, struct arena *a, struct bytes *out)
{
    json_t *o = s->unknown != NULL ? json_copy(s->unknown) : json_object();
    size_t n = json_object_size(o), made = o != NULL ? put_members(o, s, false) : 0;
    char *text = o != NULL && json_object_size(o) == n + made ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(o);
    if (text == NULL)
        return ERR_NOMEM;
    enum err err = strlen(text) > SETTINGS_TEXT_MAX ? ERR_LIMIT : OK;
    if (err == OK) {
        *out = arena_copy(a, bytes_of_text(text));
        err = out->ptr != NULL ? OK : ERR_NOMEM;
    }
    free(text);
    return err;
}
