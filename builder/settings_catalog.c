/* What a catalog zone's settings are to its members, and what nobody but the catalog changes of them. */
#include "builder/settings.h"

#include <string.h>

static bool is_groups(const char *member) { return strcmp(member, "groups") == 0; }

/* The settings of the first of these groups that is named. */
static const json_t *group_of(const json_t *catalog, const struct bytes *groups, size_t n)
{
    const json_t *all = json_object_get(catalog, "groups"), *found = NULL;
    for (size_t i = 0; i < n && found == NULL; i++)
        found = memchr(groups[i].ptr, 0, groups[i].len) == NULL ? json_object_getn(all, (const char *)groups[i].ptr, groups[i].len) : NULL;
    return found;
}

MUST_USE enum err settings_of_member(const struct zone_settings *catalog, const struct bytes *groups, size_t n, struct arena *a,
                                     struct zone_settings *out, struct fault *fault)
{
    settings_init(out, ZONE_SECONDARY);
    out->primaries = catalog->primaries;
    out->primaries_n = catalog->primaries_n;
    const json_t *group = group_of(catalog->catalog, groups, n);
    enum err err = settings_merge(out, catalog->catalog, is_groups, a, fault);
    return err == OK && group != NULL ? settings_merge(out, group, NULL, a, fault) : err;
}

/* --- edits ------------------------------------------------------------------------------------------------------------- */
static bool same_texts(const struct text_list *a, const struct text_list *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = strcmp(a->v[i], b->v[i]) == 0;
    return same;
}

bool settings_same_peers(const struct zone_settings *a, const struct zone_settings *b)
{
    bool same = a->primaries_n == b->primaries_n;
    for (size_t i = 0; same && i < a->primaries_n; i++)
        same = strcmp(a->primaries[i].address, b->primaries[i].address) == 0 && strcmp(a->primaries[i].tsig, b->primaries[i].tsig) == 0;
    return same && same_texts(&a->notify, &b->notify) && same_texts(&a->transfer_acl, &b->transfer_acl);
}

MUST_USE enum err settings_check(const struct zone_settings *s, struct fault *fault)
{
    return s->catalog == NULL || s->kind == ZONE_SECONDARY ? OK
        : fault_set(fault, ERR_REFUSED, "catalog: only a secondary is a catalog zone whose members are taken from its primaries");
}

MUST_USE enum err settings_check_edit(const struct zone_settings *before, const struct zone_settings *after, bool by_catalog,
                                      struct fault *fault)
{
    bool member = before->member_catalog[0] != '\0';
    if (by_catalog)
        return OK;
    if (strcmp(before->member_catalog, after->member_catalog) != 0 || strcmp(before->member_id, after->member_id) != 0)
        return fault_set(fault, ERR_REFUSED, "member_of: is not set by hand");
    if (member && !settings_same_peers(before, after))
        return fault_set(fault, ERR_REFUSED, "the zone is a member of the catalog zone %s: its primaries, notify and transfer_acl come from "
                         "that zone's setting catalog", before->member_catalog);
    return OK;
}
