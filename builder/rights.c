#include "builder/rights.h"

#include "builder/words.h"

#include <string.h>

#define SUB_PREFIX "sub:"
#define BELOW_PREFIX "*."

struct reading { struct arena *a; struct fault *fault; };

static enum err wrong(const struct reading *r, const char *member, const char *want)
{
    return fault_set(r->fault, ERR_BAD, "rights: %s: %s", member, want);
}

/* --- one value ------------------------------------------------------------------------------------------------------ */
static enum err read_name(const struct reading *r, const char *member, const char *text, struct bytes origin, struct name *out)
{
    if (text[0] == '\0' || name_from_text(bytes_of_text(text), origin, out) != OK)
        return fault_set(r->fault, ERR_BAD, "rights: %s: \"%.100s\" is no name", member, text);
    name_lower(out->wire, out->len);
    return OK;
}

static enum err read_zone(const struct reading *r, const char *member, const char *text, bool *any, struct name *out)
{
    *any = strcmp(text, "*") == 0;
    return *any ? OK : read_name(r, member, text, bytes_of(NULL, 0), out);
}

static enum err read_pattern(const struct reading *r, const char *text, const struct rights_update *u,
                             struct rights_pattern *out)
{
    bool sub = strncmp(text, SUB_PREFIX, strlen(SUB_PREFIX)) == 0, below = !sub && strncmp(text, BELOW_PREFIX, 2) == 0;
    const char *name = text + (sub ? strlen(SUB_PREFIX) : below ? 2 : 0);
    size_t len = strlen(name);
    if (strcmp(text, "*") == 0) {           /* of a relative one nothing is left: below the apex */
        below = true;
        name = "@";
        len = 1;
    }
    if (u->any_zone && (len == 0 || name[len - 1] != '.'))
        return fault_set(r->fault, ERR_BAD, "rights: names: \"%.100s\" must be absolute when the zone is \"*\"", text);
    enum err err = read_name(r, "names", name, u->any_zone ? bytes_of(NULL, 0) : name_bytes(&u->zone), &out->name);
    if (err == OK && !u->any_zone && !name_under(name_bytes(&out->name), name_bytes(&u->zone)))
        return fault_set(r->fault, ERR_BAD, "rights: names: \"%.100s\" is not in the zone", text);
    out->self = !below;
    out->below = sub || below;
    return err;
}

static enum err read_type(const struct reading *r, const char *text, uint16_t *out)
{
    const struct token word = { .text = bytes_of_text(text) };
    const char *why = strcmp(text, "ANY") == 0 ? NULL : word_type(&word, out);
    if (strcmp(text, "ANY") == 0)
        *out = TYPE_ANY;
    return why == NULL ? OK : fault_set(r->fault, ERR_BAD, "rights: types: \"%.40s\" is no type of data", text);
}

/* --- lists ---------------------------------------------------------------------------------------------------------- */
/* Room for the elements of a list of texts; absent: none. */
static enum err take_list(const struct reading *r, const char *member, const json_t *v, size_t each, void **out, size_t *n)
{
    *out = NULL;
    *n = 0;
    if (v == NULL)
        return OK;
    if (!json_is_array(v) || json_array_size(v) > RIGHTS_LIST_MAX)
        return wrong(r, member, "a list of at most 256 elements is wanted");
    if ((*n = json_array_size(v)) == 0)
        return OK;
    *out = arena_take(r->a, *n * each);
    return *out != NULL ? OK : ERR_NOMEM;
}

/* NULL: it is no text, or one with a zero byte: what stands before that could mean more than the whole ("*"). */
static const char *text_of(const json_t *v)
{
    const char *text = json_string_value(v);
    return text != NULL && strlen(text) == json_string_length(v) ? text : NULL;
}

static const char *text_at(const json_t *list, size_t i)
{
    return text_of(json_array_get(list, i));
}

/* A list that is there and empty would read as "all": it is a slip. */
static enum err not_empty(const struct reading *r, const char *member, const json_t *v)
{
    return v != NULL && json_array_size(v) == 0 ? wrong(r, member, "an empty list grants nothing; leave the element out") : OK;
}

static enum err read_names(const struct reading *r, const json_t *v, struct rights_update *u)
{
    struct rights_pattern *list;
    enum err err = take_list(r, "names", v, sizeof *list, (void **)&list, &u->names_n);
    if (err == OK)
        err = not_empty(r, "names", v);
    for (size_t i = 0; i < u->names_n && err == OK; i++)
        err = text_at(v, i) == NULL ? wrong(r, "names", "a list of texts is wanted") : read_pattern(r, text_at(v, i), u, &list[i]);
    u->names = list;
    return err;
}

static enum err read_types(const struct reading *r, const json_t *v, struct rights_update *u)
{
    uint16_t *list;
    enum err err = take_list(r, "types", v, sizeof *list, (void **)&list, &u->types_n);
    if (err == OK)
        err = not_empty(r, "types", v);
    bool all = false;
    for (size_t i = 0; i < u->types_n && err == OK; i++) {
        err = text_at(v, i) == NULL ? wrong(r, "types", "a list of texts is wanted") : read_type(r, text_at(v, i), &list[i]);
        all = all || (err == OK && list[i] == TYPE_ANY);
    }
    u->types = list;
    if (all)
        u->types_n = 0;
    return err;
}

static enum err read_update(const struct reading *r, const json_t *v, struct rights_update *u)
{
    const json_t *names = json_object_get(v, "names"), *types = json_object_get(v, "types");
    const char *zone = text_of(json_object_get(v, "zone"));
    *u = (struct rights_update){ .any_zone = false };
    if (zone == NULL || json_object_size(v) != 1u + (names != NULL) + (types != NULL))
        return wrong(r, "update", "a list of {\"zone\", \"names\", \"types\"} is wanted");
    enum err err = read_zone(r, "zone", zone, &u->any_zone, &u->zone);
    if (err == OK)
        err = read_names(r, names, u);
    return err == OK ? read_types(r, types, u) : err;
}

static enum err read_updates(const struct reading *r, const json_t *v, struct rights *out)
{
    struct rights_update *list;
    enum err err = take_list(r, "update", v, sizeof *list, (void **)&list, &out->update_n);
    for (size_t i = 0; i < out->update_n && err == OK; i++)
        err = read_update(r, json_array_get(v, i), &list[i]);
    out->update = list;
    return err;
}

static enum err read_transfers(const struct reading *r, const json_t *v, struct rights *out)
{
    struct rights_zone *list;
    enum err err = take_list(r, "transfer", v, sizeof *list, (void **)&list, &out->transfer_n);
    for (size_t i = 0; i < out->transfer_n && err == OK; i++)
        err = text_at(v, i) == NULL ? wrong(r, "transfer", "a list of texts is wanted")
                                    : read_zone(r, "transfer", text_at(v, i), &list[i].any, &list[i].apex);
    out->transfer = list;
    return err;
}

MUST_USE enum err rights_of_json(const json_t *object, struct arena *a, struct rights *out, struct fault *fault)
{
    const struct reading r = { .a = a, .fault = fault };
    struct rights all = { .update_n = 0 };
    const json_t *update = json_object_get(object, "update"), *transfer = json_object_get(object, "transfer");
    if (!json_is_object(object) || json_object_size(object) != 0u + (update != NULL) + (transfer != NULL))
        return fault_set(fault, ERR_BAD, "rights: an object with \"update\" and \"transfer\" is wanted");
    enum err err = read_updates(&r, update, &all);
    if (err == OK)
        err = read_transfers(&r, transfer, &all);
    if (err == OK)
        *out = all;
    return err;
}

MUST_USE enum err rights_read(struct bytes text, struct arena *a, struct rights *out, struct fault *fault)
{
    json_error_t e;
    *out = (struct rights){ .update_n = 0 };
    if (text.len == 0)
        return OK;
    if (text.len > RIGHTS_TEXT_MAX)
        return fault_set(fault, ERR_LIMIT, "rights: %zu bytes; at most %d are allowed", text.len, RIGHTS_TEXT_MAX);
    json_t *all = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &e);
    enum err err = all == NULL ? fault_set(fault, ERR_BAD, "rights: %s", e.text) : rights_of_json(all, a, out, fault);
    json_decref(all);
    return err;
}

/* --- asked ---------------------------------------------------------------------------------------------------------- */
static bool zone_fits(bool any, const struct name *apex, struct bytes zone)
{
    return any || name_equal(name_bytes(apex), zone);
}

static bool name_fits(const struct rights_update *u, struct bytes owner)
{
    for (size_t i = 0; i < u->names_n; i++) {
        const struct rights_pattern *p = &u->names[i];
        bool self = name_equal(name_bytes(&p->name), owner);
        if (self ? p->self : p->below && name_under(owner, name_bytes(&p->name)))
            return true;
    }
    return u->names_n == 0;
}

static bool type_fits(const struct rights_update *u, uint16_t type)
{
    for (size_t i = 0; i < u->types_n; i++)
        if (u->types[i] == type)
            return true;
    return u->types_n == 0;
}

bool rights_update(const struct rights *r, struct bytes zone, struct bytes owner, uint16_t type)
{
    if (!name_under(owner, zone))
        return false;
    for (size_t i = 0; i < r->update_n; i++) {
        const struct rights_update *u = &r->update[i];
        if (zone_fits(u->any_zone, &u->zone, zone) && name_fits(u, owner) && type_fits(u, type))
            return true;
    }
    return false;
}

bool rights_update_some(const struct rights *r, struct bytes zone)
{
    for (size_t i = 0; i < r->update_n; i++)
        if (zone_fits(r->update[i].any_zone, &r->update[i].zone, zone))
            return true;
    return false;
}

bool rights_transfer(const struct rights *r, struct bytes zone)
{
    for (size_t i = 0; i < r->transfer_n; i++)
        if (zone_fits(r->transfer[i].any, &r->transfer[i].apex, zone))
            return true;
    return false;
}
