/* PowerDNS's API: metadata and settings that say who may take a zone and who is told of changes, as what they mean here: entries of
 * the settings transfer_acl and notify.
 *
 *     ALLOW-AXFR-FROM                        networks of transfer_acl; AUTO-NS means nobody here
 *     TSIG-ALLOW-AXFR (master_tsig_key_ids)  its "key:NAME" entries
 *     ALSO-NOTIFY                            notify
 *
 * What does not read as an address is kept and shown, and lets nobody in, as pdns_server has it. */
#include "builder/pdns_parts.h"

#include "base/net.h"

#include <stdio.h>

#define KEY "key:"

struct list { const char **v; size_t n; };

static enum err list_begin(struct list *l, struct arena *a, size_t most)
{
    l->n = 0;
    l->v = arena_take(a, (most + 1) * sizeof *l->v);
    return l->v != NULL ? OK : ERR_NOMEM;
}

static enum err list_add(struct list *l, struct arena *a, const char *text)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], text) == 0)
            return OK;
    if (l->n == SETTINGS_LIST_MAX)
        return ERR_LIMIT;
    const char *copy = arena_text(a, text);
    if (copy == NULL)
        return ERR_NOMEM;
    l->v[l->n++] = copy;
    return OK;
}

static bool is_key(const char *text) { return strncmp(text, KEY, sizeof KEY - 1) == 0; }

/* Entries of the other sort stay. */
static enum err acl_part(struct zone_settings *s, struct arena *a, const json_t *values, bool keys)
{
    struct list l;
    enum err err = list_begin(&l, a, s->transfer_acl.n + json_array_size(values));
    for (size_t i = 0; i < s->transfer_acl.n && err == OK; i++)
        if (is_key(s->transfer_acl.v[i]) != keys)
            err = list_add(&l, a, s->transfer_acl.v[i]);
    for (size_t i = 0; i < json_array_size(values) && err == OK; i++) {
        const char *text = json_string_value(json_array_get(values, i));
        char entry[NAME_TEXT_MAX + sizeof KEY];
        struct net net;
        (void)snprintf(entry, sizeof entry, "%s%s", keys ? KEY : "", text);
        if (keys || net_parse(text, &net) == OK)
            err = list_add(&l, a, entry);
    }
    s->transfer_acl = (struct text_list){ l.v, l.n };
    return err;
}

/* An element of notify: so long is its address, without a port 53, as pdns_address_read has it. */
static size_t address_len(const char *element)
{
    size_t len = strcspn(element, " ");
    return len > 3 && strncmp(element + len - 3, "@53", 3) == 0 ? len - 3 : len;
}

/* The element of that address as it was, with its key; or the address. */
static const char *as_it_was(const struct text_list *before, const char *address)
{
    size_t len = strlen(address);
    for (size_t i = 0; i < before->n; i++)
        if (address_len(before->v[i]) == len && strncmp(before->v[i], address, len) == 0)
            return before->v[i];
    return address;
}

static enum err notify_list(struct zone_settings *s, struct arena *a, const json_t *values)
{
    struct list l;
    enum err err = list_begin(&l, a, json_array_size(values));
    for (size_t i = 0; i < json_array_size(values) && err == OK; i++) {
        char address[80];
        if (pdns_address_read(json_string_value(json_array_get(values, i)), address, sizeof address))
            err = list_add(&l, a, as_it_was(&s->notify, address));
    }
    s->notify = (struct text_list){ l.v, l.n };
    return err;
}

MUST_USE enum err pdns_act(struct zone_settings *s, const char *kind, const json_t *values, struct arena *a, struct fault *fault)
{
    enum err err = OK;
    if (strcmp(kind, "ALLOW-AXFR-FROM") == 0)
        err = acl_part(s, a, values, false);
    else if (strcmp(kind, "TSIG-ALLOW-AXFR") == 0)
        err = acl_part(s, a, values, true);
    else if (strcmp(kind, "ALSO-NOTIFY") == 0)
        err = notify_list(s, a, values);
    return err == ERR_LIMIT ? fault_set(fault, ERR_REFUSED, "%s: more than %d entries", kind, SETTINGS_LIST_MAX) : err;
}

/* --- the other way --------------------------------------------------------------------------------------------------------- */
static bool is_said(const json_t *values, const char *entry, size_t len, bool address)
{
    for (size_t i = 0; i < json_array_size(values); i++) {
        const char *text = json_string_value(json_array_get(values, i));
        char buf[80];
        if (text != NULL && address)
            text = pdns_address_read(text, buf, sizeof buf) ? buf : NULL;
        if (text != NULL && strlen(text) == len && strncmp(text, entry, len) == 0)
            return true;
    }
    return false;
}

/* They stand before those that were given here. */
static void show(const struct text_list *l, json_t *all, const char *kind, bool address)
{
    json_t *values = json_object_get(all, kind), *list = json_is_array(values) ? json_incref(values) : json_array();
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        size_t len = address ? address_len(l->v[i]) : strlen(l->v[i]);
        if ((address || !is_key(l->v[i])) && !is_said(list, l->v[i], len, address))
            (void)json_array_insert_new(list, n++, address ? pdns_address_json(l->v[i], len) : json_string(l->v[i]));
    }
    if (json_array_size(list) > 0)
        (void)json_object_set(all, kind, list);
    json_decref(list);
}

void pdns_act_show(const struct zone_settings *s, json_t *all)
{
    show(&s->notify, all, "ALSO-NOTIFY", true);
    show(&s->transfer_acl, all, "ALLOW-AXFR-FROM", false);
}
