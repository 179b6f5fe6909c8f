/* What GET /v1/zones/NAME tells beside the settings: name servers, how many records, what a secondary is doing. */
#include "builder/api_zones.h"

#include "builder/patch.h"
#include "builder/secondary_board.h"

/* --- name servers --------------------------------------------------------------------------------------------------------- */
/* Of a zone that is not live there are none. */
static json_t *nameservers(struct bytes apex, struct view *v, enum err *err, struct fault *fault)
{
    struct patch *p = NULL;
    struct patch_rrset ns = { .n = 0 };
    char text[NAME_TEXT_MAX];
    json_t *list = json_array();
    *err = patch_open(&p, apex, v, fault);
    if (*err == OK)
        *err = patch_get(p, apex, TYPE_NS, 0, &ns, fault);
    for (size_t i = 0; i < ns.n; i++)
        (void)json_array_append_new(list, json_string(name_text(text, sizeof text, ns.rdata[i])));
    patch_close(p);
    if (*err == ERR_NOTNOW || *err == ERR_NOTFOUND)
        *err = OK;
    return list;
}

/* --- counts ------------------------------------------------------------------------------------------------------------------ */
struct counting { const struct api_work *w; struct name owner; uint16_t type, covers; json_int_t records, rrsets; };

static bool count(void *arg, const struct zone_rr *rr)
{
    struct counting *n = arg;
    struct rd r = rd_over(rr->rdata);
    uint16_t covers = rr->type == TYPE_RRSIG ? rd_u16(&r) : 0;
    bool same = n->records > 0 && rr->type == n->type && covers == n->covers && bytes_equal(rr->owner, name_bytes(&n->owner));
    n->records++;
    if (!same) {
        n->rrsets++;
        n->type = rr->type;
        n->covers = covers;
        n->owner.len = (uint8_t)rr->owner.len;
        memcpy(n->owner.wire, rr->owner.ptr, rr->owner.len);
    }
    return !atomic_load(n->w->stop);
}

static enum err put_counts(const struct api_work *w, struct bytes apex, json_t *o, struct fault *fault)
{
    struct counting n = { .w = w };
    enum err err = zone_walk(apex, w->view, count, &n, fault);
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    (void)json_object_set_new(o, "rrsets", json_integer(n.rrsets));
    (void)json_object_set_new(o, "records", json_integer(n.records));
    return atomic_load(w->stop) ? fault_set(fault, ERR_NOTNOW, "the core is ending") : OK;
}

/* --- secondaries ---------------------------------------------------------------------------------------------------------------- */
static json_t *time_or_null(uint64_t unix_s) { return unix_s > 1 ? json_integer((json_int_t)unix_s) : json_null(); }     /* 1: over */

static json_t *primary_json(const struct board_primary *p)
{
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "address", p->address, "tsig", p->tsig, "serial", p->has_serial ? json_integer(p->serial) : json_null(),
                     "heard", time_or_null(p->heard_s), "failed", time_or_null(p->failed_s), "error", p->why != NULL ? json_string(p->why) : json_null());
}

static json_t *transfer_json(const struct board_report *r)
{
    const struct board_transfer *t = &r->transfer;
    if (!r->has_transfer)
        return json_null();
    return json_pack("{s:s,s:b,s:o,s:I,s:I,s:I}", "primary", r->transfer_address, "whole", t->whole, "from", t->has_from ? json_integer(t->from) : json_null(),
                     "records", (json_int_t)t->records, "bytes", (json_int_t)t->bytes, "ms", (json_int_t)t->took_ms);
}

static json_t *request_json(const struct board_report *r)
{
    static const char *const outcomes[] = { [BOARD_PENDING] = "pending", [BOARD_CURRENT] = "current", [BOARD_TRANSFERRED] = "transferred",
                                            [BOARD_FAILED] = "failed" };
    return r->request == BOARD_NONE ? json_null() : json_pack("{s:I,s:s}", "ticket", (json_int_t)r->ticket, "outcome", outcomes[r->request]);
}

static json_t *report_json(const struct board_report *r, uint64_t now_s)
{
    const struct refresh_status *st = &r->status;
    bool sleeps = st->next_in_ms != UINT64_MAX;
    json_t *primaries = json_array();
    for (size_t i = 0; i < r->primaries_n; i++)
        (void)json_array_append_new(primaries, primary_json(&r->primaries[i]));
    return json_pack("{s:b,s:b,s:b,s:i,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "running", st->running, "waiting", st->waiting, "expired", st->expired,
                     "failures", (int)st->failures, "now", (json_int_t)now_s, "checked", time_or_null(st->kept.checked_s), "transferred",
                     time_or_null(st->kept.transferred_s), "next", time_or_null(sleeps ? now_s + st->next_in_ms / 1000 : 0), "expires",
                     time_or_null(st->kept.expires_s), "transfer", transfer_json(r), "primaries", primaries, "request", request_json(r));
}

enum err api_zone_secondary(struct api_call *c, const struct api_work *w, struct bytes apex, json_t *o)
{
    struct board_report r;
    const char *kind = json_string_value(json_object_get(o, "kind"));
    if (kind == NULL || strcmp(kind, zone_kind_names[ZONE_SECONDARY]) != 0)
        return OK;                                  /* the board may not know yet that it is native */
    enum err err = w->board == NULL ? ERR_NOTFOUND : board_report(w->board, apex, &c->arena, &r);
    if (err != OK)
        return err == ERR_NOTFOUND ? OK : err;      /* too new, or the core ends */
    (void)json_object_set_new(o, "failing", json_boolean(r.status.failing));
    return json_object_set_new(o, "secondary", report_json(&r, w->now_s)) == 0 ? OK : ERR_NOMEM;
}

/* --- all of it ---------------------------------------------------------------------------------------------------------------- */
enum err api_zone_tell(struct api_call *c, const struct api_work *w, struct bytes apex, bool counts, json_t *o, struct fault *fault)
{
    enum err err;
    if (json_object_set_new(o, "nameservers", nameservers(apex, w->view, &err, fault)) != 0)
        return ERR_NOMEM;
    if (err == OK && counts)
        err = put_counts(w, apex, o, fault);
    return err == OK ? api_zone_secondary(c, w, apex, o) : err;
}
