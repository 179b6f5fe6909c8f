/* POST /v1/zones/NAME/transfer and /notify: what core.dns's thread is asked to do soon. */
#include "builder/api_zones.h"
#include "builder/wishes.h"

struct wanted { struct name apex; enum wish_what what; bool force; };

/* The kind of the zone allows it; else the reply says why not. */
static bool allowed(struct api_call *c, const struct wanted *w, const struct zone_settings *s)
{
    if (w->what == WISH_NOTIFY && s->notify.n == 0)
        (void)api_refuse(c, 409, "nobody is told: the zone's setting notify is empty");
    else if (w->what != WISH_NOTIFY && (s->kind != ZONE_SECONDARY || s->primaries_n == 0))
        (void)api_refuse(c, 409, "the zone is not a secondary with primaries to ask");
    else if (w->force && s->catalog == NULL)
        (void)api_refuse(c, 409, "the zone is no catalog zone: force lets members of one go");
    else
        return true;
    return false;
}

static bool look_up(struct api_call *c, const struct api_work *w, const struct wanted *wanted)
{
    struct source_txn *t = NULL;
    struct zone_row row;
    struct zone_settings settings;
    struct fault fault = { "" };
    bool good = false;
    settings_init(&settings, ZONE_NATIVE);
    enum err err = source_begin(w->source, SOURCE_READ_NAMED, &t, &fault);
    if (err == OK)
        err = source_zone(t, name_bytes(&wanted->apex), &row);
    if (err == OK)
        err = settings_read(row.settings, &c->arena, &settings, &fault);
    if (err == OK)
        good = allowed(c, wanted, &settings);
    else
        (void)api_refuse(c, err == ERR_NOTFOUND ? 404 : 500, "%s", err == ERR_NOTFOUND ? "no such zone" : fault_text(&fault, err));
    settings_release(&settings);
    source_abort(t);
    return good;
}

static enum api_next wish_work(struct api_call *c, const struct api_work *w)
{
    const struct wanted *wanted = c->own;
    uint64_t ticket;
    if (!look_up(c, w, wanted))
        return API_REPLY;
    if (w->wishes == NULL || (wanted->force && wishes_put(w->wishes, WISH_CATALOG, name_bytes(&wanted->apex), NULL) != OK)
        || wishes_put(w->wishes, wanted->what, name_bytes(&wanted->apex), &ticket) != OK)
        return api_refuse(c, 503, "too many such requests wait; ask again later");
    if (wanted->what == WISH_NOTIFY)
        return api_object(c, 202, json_pack("{s:b}", "asked", 1));
    return api_object(c, 202, json_pack("{s:b,s:I}", "asked", 1, "ticket", (json_int_t)ticket));
}

static enum api_next begin(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest,
                           enum wish_what what, bool force)
{
    struct wanted *wanted = arena_take(&c->arena, sizeof *wanted);
    if (*rest != '\0')
        return api_refuse(c, 404, "no such path");
    if (r->method != API_POST)
        return api_not_allowed(c, "POST");
    if (wanted == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    *wanted = (struct wanted){ *apex, what, force };
    c->own = wanted;
    c->work = wish_work;
    return API_WORK;
}

enum api_next api_zone_transfer(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest)
{
    struct bytes axfr = { 0 }, forced = { 0 };
    bool all = false, force = false;
    if (!api_query_read(c, r->query, (const struct api_param[]){ { "axfr", &axfr }, { "force", &forced } }, 2))
        return API_REPLY;
    if (!api_flag_read(axfr, &all) || !api_flag_read(forced, &force))
        return api_refuse(c, 400, "axfr and force are 1 or 0");
    return begin(c, r, apex, rest, all ? WISH_TRANSFER_ALL : WISH_TRANSFER, force);
}

enum api_next api_zone_notify(struct api_call *c, const struct api_request *r, const struct name *apex, const char *rest)
{
    return api_query_read(c, r->query, NULL, 0) ? begin(c, r, apex, rest, WISH_NOTIFY, false) : API_REPLY;
}
