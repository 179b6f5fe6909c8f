/* What becomes of a catalog's members: the catalog and the source's zones, both in order, side by side. */
#include "builder/catalog.h"

#include <stdlib.h>

void catalog_look_init(struct catalog_look *l)
{
    *l = (struct catalog_look){ .n = 0 };
    settings_init(&l->plain, ZONE_SECONDARY);
    arena_init(&l->arena);
    arena_init(&l->scratch);
}

void catalog_look_release(struct catalog_look *l)
{
    settings_release(&l->plain);
    arena_release(&l->arena);
    arena_release(&l->scratch);
    free(l->v);
    l->v = NULL;
}

/* --- steps -------------------------------------------------------------------------------------------------------------- */
static enum err step_add(struct catalog_look *l, enum catalog_what what, bool guarded, struct bytes apex, const struct catalog_member *m)
{
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
        struct catalog_step *more = realloc(l->v, cap * sizeof *more);
        if (more == NULL)
            return ERR_NOMEM;
        l->v = more;
        l->cap = cap;
    }
    struct bytes kept = m != NULL ? m->apex : arena_copy(&l->arena, apex);
    if (kept.ptr == NULL)
        return ERR_NOMEM;
    l->v[l->n++] = (struct catalog_step){ what, guarded, kept, m };
    l->going += guarded;
    return OK;
}

static void clash(struct catalog_look *l, struct bytes apex)
{
    if (l->clashes++ > 0)
        return;
    l->clash.len = (uint8_t)apex.len;
    memcpy(l->clash.wire, apex.ptr, apex.len);
}

static enum err make(struct catalog_look *l, const struct catalog_member *m)
{
    if (l->is_there == NULL || !l->is_there(l->arg, m->apex))
        return step_add(l, CATALOG_MAKE, false, m->apex, m);
    clash(l, m->apex);
    return OK;
}

/* Members in front of this zone: they are not there. apex empty: all that are left. */
static enum err pass_members(struct catalog_look *l, struct bytes apex)
{
    enum err err = OK;
    while (err == OK && l->at < l->catalog->n && (apex.len == 0 || name_compare(l->catalog->v[l->at].apex, apex) < 0))
        err = make(l, &l->catalog->v[l->at++]);
    return err;
}

/* --- settings ------------------------------------------------------------------------------------------------------------ */
/* Most members have no group, or the settings know none: all those get the same. */
static enum err plain_make(struct catalog_look *l, struct fault *fault)
{
    if (l->plain_made)
        return OK;
    enum err err = settings_of_member(l->settings, NULL, 0, &l->arena, &l->plain, fault);
    l->plain_made = err == OK;
    return err;
}

MUST_USE enum err catalog_settings(const struct catalog_look *l, const struct catalog_member *m, const struct zone_settings *before,
                                   struct arena *a, struct zone_settings *out, struct fault *fault)
{
    char name[NAME_TEXT_MAX], id[CATALOG_ID_TEXT];
    struct zone_settings of;
    enum err err = settings_of_member(l->settings, m->groups, m->groups_n, a, &of, fault);
    if (before != NULL)
        *out = *before;
    else
        settings_init(out, ZONE_SECONDARY);
    settings_hold(out);
    out->primaries = of.primaries;
    out->primaries_n = of.primaries_n;
    out->notify = of.notify;
    out->transfer_acl = of.transfer_acl;
    out->member_catalog = arena_text(a, name_text(name, sizeof name, name_bytes(&l->catalog->apex)));
    out->member_id = arena_text(a, catalog_id_text(id, m->id));
    settings_release(&of);
    return err != OK ? err : out->member_catalog == NULL || out->member_id == NULL ? ERR_NOMEM : OK;
}

static enum err same_peers(struct catalog_look *l, const struct catalog_member *m, const struct zone_settings *s, bool *same,
                           struct fault *fault)
{
    struct zone_settings own;
    enum err err = plain_make(l, fault);
    if (err != OK)
        return err;
    if (m->groups_n == 0) {
        *same = settings_same_peers(s, &l->plain);
        return OK;
    }
    err = settings_of_member(l->settings, m->groups, m->groups_n, &l->scratch, &own, fault);
    if (err == OK)
        *same = settings_same_peers(s, &own);
    settings_release(&own);
    return err;
}

/* --- zones --------------------------------------------------------------------------------------------------------------- */
static bool is_ours(const struct catalog_look *l, const struct zone_settings *s)
{
    char name[NAME_TEXT_MAX];
    return s->member_catalog[0] != '\0' && strcmp(s->member_catalog, name_text(name, sizeof name, name_bytes(&l->catalog->apex))) == 0;
}

/* Our own coo names the catalog that it went to: that is not a clash. */
static bool went_over(const struct catalog_member *m, const struct zone_settings *s)
{
    char name[NAME_TEXT_MAX];
    return m->coo.len > 0 && strcmp(s->member_catalog, name_text(name, sizeof name, m->coo)) == 0;
}

static enum err member_there(struct catalog_look *l, const struct catalog_member *m, const struct zone_settings *s, struct fault *fault)
{
    char id[CATALOG_ID_TEXT];
    bool ours = is_ours(l, s), same = false;
    if (!ours && (s->member_catalog[0] == '\0' || went_over(m, s) || !l->gives(l->arg, s->member_catalog, m->apex))) {
        if (!went_over(m, s))
            clash(l, m->apex);
        return OK;
    }
    if (strcmp(s->member_id, catalog_id_text(id, m->id)) != 0)
        return step_add(l, CATALOG_RESET, ours, m->apex, m);
    enum err err = same_peers(l, m, s, &same, fault);
    return err != OK || (ours && same) ? err : step_add(l, CATALOG_SET, false, m->apex, m);
}

MUST_USE enum err catalog_look_zone(struct catalog_look *l, struct bytes apex, struct bytes settings, struct fault *fault)
{
    struct zone_settings s;
    enum err err = pass_members(l, apex);
    if (err != OK)
        return err;
    bool listed = l->at < l->catalog->n && name_equal(l->catalog->v[l->at].apex, apex);
    const struct catalog_member *m = listed ? &l->catalog->v[l->at++] : NULL;
    if (m == NULL && memmem(settings.ptr, settings.len, "\"member_of\"", 11) == NULL)
        return OK;                                              /* somebody else's, as most */
    arena_reset(&l->scratch);
    err = settings_read(settings, &l->scratch, &s, fault);
    if (err == ERR_BAD) {
        settings_release(&s);
        if (m != NULL)
            clash(l, apex);
        return OK;
    }
    bool ours = err == OK && is_ours(l, &s);
    l->members += ours;
    if (err == OK && m != NULL)
        err = member_there(l, m, &s, fault);
    else if (ours)
        err = step_add(l, CATALOG_REMOVE, true, apex, NULL);
    settings_release(&s);
    return err;
}

/* --- the end ------------------------------------------------------------------------------------------------------------- */
/* A primary that lost its zones must not take ours along. */
static void guard(struct catalog_look *l)
{
    size_t n = 0;
    if (l->force || l->going <= CATALOG_GUARDED || 2 * l->going <= l->members)
        return;
    for (size_t i = 0; i < l->n; i++)
        if (!l->v[i].guarded)
            l->v[n++] = l->v[i];
    l->held = l->going;
    l->going = 0;
    l->n = n;
}

MUST_USE enum err catalog_look_end(struct catalog_look *l)
{
    enum err err = pass_members(l, bytes_of(NULL, 0));
    if (err == OK)
        guard(l);
    return err;
}
