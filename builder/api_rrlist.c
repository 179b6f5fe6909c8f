/* RRsets of a zone for /v1/zones/NAME/rrsets: from its rows, where it has rows (disabled records and comments are there
 * too), else from the store. */
#include "builder/api_zones.h"

#include "builder/patch.h"
#include "builder/rrjson.h"
#include "builder/zonefile.h"

struct listing {
    struct arena *a;
    struct name apex, owner, after; /* owner, after: len 0: not given */
    uint16_t type;                  /* 0: all */
    bool one;                       /* that RRset, not a list */
    uint64_t limit;
    const atomic_bool *stop;
    json_t *rrsets;
    struct name last;               /* owner of the last that is in the list */
    bool more;
    struct zone_rr at;              /* records of the RRset that is being collected; from the store */
    struct row_rr *rr; size_t n, cap;
    uint16_t covers;
    enum err err;
};

/* false: the page is full. It ends at the end of an owner. */
static bool put(struct listing *l, const struct row *row)
{
    if (atomic_load(l->stop)) {
        l->err = ERR_NOTNOW;
        return false;
    }
    if (l->after.len > 0 && name_compare(row->owner, name_bytes(&l->after)) <= 0)
        return true;
    if (l->type != 0 && row->type != l->type)
        return true;
    if (json_array_size(l->rrsets) >= l->limit && !bytes_equal(row->owner, name_bytes(&l->last))) {
        l->more = true;
        return false;
    }
    l->last.len = (uint8_t)row->owner.len;
    memcpy(l->last.wire, row->owner.ptr, row->owner.len);
    if (json_array_append_new(l->rrsets, rrjson_object(row)) != 0)
        l->err = ERR_NOMEM;
    return l->err == OK;
}

static bool on_row(void *arg, const struct row *row)
{
    return put(arg, row);
}

/* --- from the store ---------------------------------------------------------------------------------------------------- */
static bool put_collected(struct listing *l)
{
    const struct row row = { .owner = l->at.owner, .type = l->at.type, .covers = l->covers, .ttl = l->at.ttl, .rr = l->rr, .n = l->n };
    bool on = l->n == 0 || put(l, &row);
    l->n = 0;
    return on;
}

static uint16_t covers_of(const struct zone_rr *rr)
{
    struct rd r = rd_over(rr->rdata);
    return rr->type == TYPE_RRSIG ? rd_u16(&r) : 0;
}

static bool collect(struct listing *l, const struct zone_rr *rr)
{
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct row_rr *more = arena_take(l->a, cap * sizeof *more);
        if (more == NULL)
            return false;
        if (l->n > 0)
            memcpy(more, l->rr, l->n * sizeof *more);
        l->rr = more;
        l->cap = cap;
    }
    l->rr[l->n].disabled = false;
    l->rr[l->n].rdata = arena_copy(l->a, rr->rdata);
    return l->rr[l->n++].rdata.len == rr->rdata.len;
}

static bool on_rr(void *arg, const struct zone_rr *rr)
{
    struct listing *l = arg;
    if (l->type != 0 && rr->type != l->type)
        return put_collected(l);
    bool same = l->n > 0 && rr->type == l->at.type && covers_of(rr) == l->covers && bytes_equal(rr->owner, l->at.owner);
    if (!same && !put_collected(l))
        return false;
    if (l->after.len > 0 && name_compare(rr->owner, name_bytes(&l->after)) <= 0)
        return !atomic_load(l->stop);
    if (!same) {
        l->at = *rr;
        l->at.owner = arena_copy(l->a, rr->owner);
        l->covers = covers_of(rr);
    }
    if (l->at.owner.ptr == NULL || !collect(l, rr))
        l->err = ERR_NOMEM;
    return l->err == OK;
}

/* All of one owner, at a cost independent of the zone's size. */
static enum err stored_owner(struct listing *l, struct view *v, struct fault *fault)
{
    const struct patch_rrset *sets;
    struct patch *p = NULL;
    size_t n = 0;
    enum err err = patch_open(&p, name_bytes(&l->apex), v, fault);
    if (err == ERR_NOTNOW)
        return OK;                  /* a zone without data */
    if (err == OK)
        err = patch_get_all(p, name_bytes(&l->owner), &sets, &n, fault);
    for (size_t i = 0; i < n && err == OK; i++) {
        struct row_rr *rr = arena_take(l->a, (sets[i].n + 1) * sizeof *rr);
        if (rr == NULL) {
            err = ERR_NOMEM;
            break;
        }
        for (size_t k = 0; k < sets[i].n; k++)
            rr[k] = (struct row_rr){ .rdata = sets[i].rdata[k] };
        const struct row row = { .owner = name_bytes(&l->owner), .type = sets[i].type, .covers = sets[i].covers,
                                 .ttl = sets[i].ttl, .rr = rr, .n = sets[i].n };
        if (row.n > 0 && !put(l, &row))
            break;
    }
    patch_close(p);
    return err;
}

static enum err stored(struct listing *l, struct view *v, struct fault *fault)
{
    if (l->owner.len > 0)
        return stored_owner(l, v, fault);
    enum err err = zone_walk(name_bytes(&l->apex), v, on_rr, l, fault);
    if (err == OK && l->err == OK && !l->more)
        (void)put_collected(l);
    return err;
}

/* --- from the rows ------------------------------------------------------------------------------------------------------- */
static enum err of_rows(struct listing *l, struct source_txn *txn, uint64_t id)
{
    const struct row *rows;
    size_t n = 0;
    if (l->owner.len == 0)
        return source_rows(txn, id, name_bytes(&l->after), on_row, l);
    enum err err = source_owner(txn, id, name_bytes(&l->owner), &rows, &n);
    for (size_t i = 0; i < n && err == OK; i++)
        if (!put(l, &rows[i]))
            break;
    return err;
}

/* --- replies --------------------------------------------------------------------------------------------------------------- */
static enum api_next reply(struct api_call *c, struct listing *l)
{
    char next[NAME_TEXT_MAX];
    if (!l->one)
        return api_object(c, 200, json_pack("{s:o,s:o}", "rrsets", l->rrsets, "next",
                          l->more ? json_string(name_text(next, sizeof next, name_bytes(&l->last))) : json_null()));
    json_t *rrset = json_incref(json_array_get(l->rrsets, 0));
    json_decref(l->rrsets);
    return rrset != NULL ? api_object(c, 200, rrset) : api_refuse(c, 404, "there is no such RRset");
}

static enum api_next work(struct api_call *c, const struct api_work *w)
{
    struct listing *l = c->own;
    struct api_zone_seen seen;
    struct zone_settings s;
    struct fault fault = { "" };
    enum err err = api_zone_look(w, name_bytes(&l->apex), &seen, &fault);
    if (err != OK)
        return api_work_failed(c, err, &fault);
    settings_init(&s, ZONE_FILE);
    if (seen.has_row)
        err = settings_read(seen.row.settings, &c->arena, &s, &fault);
    l->a = &c->arena;
    l->stop = w->stop;
    l->rrsets = json_array();
    if (err == OK && seen.has_row && s.kind == ZONE_NATIVE)
        err = of_rows(l, seen.txn, seen.row.id);
    else if (err == OK && seen.has_header)
        err = stored(l, w->view, &fault);
    settings_release(&s);
    api_zone_seen_end(&seen);
    err = err == OK ? l->err : err;
    if (err == OK)
        return reply(c, l);
    json_decref(l->rrsets);
    return api_work_failed(c, err, &fault);
}

/* --- requests -------------------------------------------------------------------------------------------------------------- */
static struct listing *listing_begin(struct api_call *c, const struct name *apex)
{
    struct listing *l = arena_take(&c->arena, sizeof *l);
    if (l == NULL) {
        (void)api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
        return NULL;
    }
    *l = (struct listing){ .apex = *apex, .limit = UINT64_MAX };
    c->own = l;
    c->work = work;
    return l;
}

static bool owner_read(struct api_call *c, const struct name *apex, struct bytes text, struct name *out)
{
    if (text.ptr == NULL)
        return true;
    if (text.len > 0 && name_from_text(text, name_bytes(apex), out) == OK && name_under(name_bytes(out), name_bytes(apex))) {
        name_lower(out->wire, out->len);
        return true;
    }
    (void)api_refuse(c, 400, "'%.100s' is no name in the zone", api_text(text));
    return false;
}

enum api_next api_rrsets_list(struct api_call *c, const struct api_request *r, const struct name *apex)
{
    struct bytes name = { 0 }, type = { 0 }, after = { 0 }, limit = { 0 };
    const struct api_param params[] = { { "name", &name }, { "type", &type }, { "after", &after }, { "limit", &limit } };
    struct listing *l = listing_begin(c, apex);
    if (l == NULL || !api_query_read(c, r->query, params, sizeof params / sizeof params[0])
        || !api_limit_read(c, limit, &l->limit) || !owner_read(c, apex, name, &l->owner) || !owner_read(c, apex, after, &l->after))
        return API_REPLY;
    if (type.ptr != NULL && rrtype_from_text(type, &l->type) != OK)
        return api_refuse(c, 400, "type '%.40s' is not known, or no zone may hold it", api_text(type));
    c->slow = l->owner.len == 0;        /* in a zone without rows it passes over what stands before the page */
    return API_WORK;
}

enum api_next api_rrsets_one(struct api_call *c, const struct api_request *r, const struct name *apex, struct bytes owner,
                             uint16_t type)
{
    struct listing *l = listing_begin(c, apex);
    if (l == NULL || !api_query_read(c, r->query, NULL, 0))
        return API_REPLY;
    l->owner.len = (uint8_t)owner.len;
    memcpy(l->owner.wire, owner.ptr, owner.len);
    l->type = type;
    l->one = true;
    return API_WORK;
}
