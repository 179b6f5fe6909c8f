/* PowerDNS's API: PATCH of a zone: some RRsets, all or nothing. */
#include "builder/pdns_parts.h"

#include "builder/rdata.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* --- what the zone has --------------------------------------------------------------------------------------------------- */
static size_t enabled(const struct row *row)
{
    size_t n = 0;
    for (size_t i = 0; i < row->n; i++)
        n += !row->rr[i].disabled;
    return n;
}

static enum err find_beside(struct draft *d, struct bytes owner, bool *found, struct fault *fault)
{
    const struct row *rows;
    size_t n = 0;
    enum err err = draft_owner(d, owner, &rows, &n, fault);
    for (size_t i = 0; i < n && err == OK; i++)
        *found |= rows[i].type != TYPE_CNAME && !rrtype_beside_cname(rows[i].type) && enabled(&rows[i]) > 0;
    return err;
}

static enum err find_cname(struct draft *d, struct bytes owner, bool *found, struct fault *fault)
{
    struct row row = { .n = 0 };
    enum err err = draft_row(d, owner, TYPE_CNAME, 0, &row, fault);
    *found = err == OK && enabled(&row) > 0;
    return err == ERR_NOTFOUND ? OK : err;
}

/* A CNAME stands alone. Only for one is all of the owner read: there may be thousands of other types, each with its edit. */
static enum err check_alone(struct draft *d, const struct pdns_edit *e, struct fault *fault)
{
    bool found = false;
    if (rrtype_beside_cname(e->row.type))
        return OK;
    enum err err = e->row.type == TYPE_CNAME ? find_beside(d, e->row.owner, &found, fault) : find_cname(d, e->row.owner, &found, fault);
    return err != OK || !found ? err
           : fault_set(fault, ERR_REFUSED, "RRset %.255s IN %s: Conflicts with pre-existing RRset", e->name, e->type);
}

/* --- the edits ---------------------------------------------------------------------------------------------------------- */
static enum err replace(struct draft *d, const struct pdns_edit *e, const struct row *before, struct fault *fault)
{
    struct row row = e->row;
    enum err err;
    if (!e->records) {                                  /* comments only */
        row.ttl = before->ttl;
        row.rr = before->rr;
        row.n = before->n;
    } else if (row.n > 0 && (err = check_alone(d, e, fault)) != OK) {
        return err;
    }
    if (!e->comments && row.n > 0) {
        row.comments = before->comments;
        row.comments_n = before->comments_n;
    }
    return draft_set(d, &row, fault);
}

static bool has(const struct row *row, const struct row_rr *rr)
{
    for (size_t i = 0; i < row->n; i++)
        if (rdata_same(row->type, row->rr[i].rdata, rr->rdata))
            return true;
    return false;
}

/* EXTEND: those that are missing are added; PRUNE: those that are there are taken away. */
static enum err alter(struct draft *d, const struct pdns_edit *e, const struct row *before, struct fault *fault)
{
    bool extend = e->what == PDNS_EXTEND;
    struct row_rr *rr = arena_take(draft_arena(d), (before->n + e->row.n + 1) * sizeof *rr);
    struct row row = e->row;
    enum err err;
    if (rr == NULL)
        return ERR_NOMEM;
    if (extend && e->row.n > 0 && (err = check_alone(d, e, fault)) != OK)
        return err;
    row.n = 0;
    for (size_t i = 0; i < before->n; i++)
        if (extend || !has(&e->row, &before->rr[i]))
            rr[row.n++] = before->rr[i];
    for (size_t i = 0; i < e->row.n && extend; i++)
        if (!has(before, &e->row.rr[i]))
            rr[row.n++] = e->row.rr[i];
    row.rr = rr;
    row.comments = e->comments ? row.comments : before->comments;
    row.comments_n = e->comments ? row.comments_n : before->comments_n;
    row.ttl = extend || before->n == 0 ? row.ttl : before->ttl;
    return draft_set(d, &row, fault);
}

/* All rows of owner and type: signatures have one per type that they cover. */
static enum err delete(struct draft *d, const struct pdns_edit *e, struct fault *fault)
{
    const struct row *rows;
    size_t n = 0;
    if (e->row.type != TYPE_RRSIG)
        return draft_set(d, &(struct row){ .owner = e->row.owner, .type = e->row.type }, fault);
    enum err err = draft_owner(d, e->row.owner, &rows, &n, fault);
    for (size_t i = 0; i < n && err == OK; i++)
        if (rows[i].type == TYPE_RRSIG)
            err = draft_set(d, &(struct row){ .owner = e->row.owner, .type = TYPE_RRSIG, .covers = rows[i].covers }, fault);
    return err;
}

static enum err plan(void *arg, struct draft *d, struct fault *fault)
{
    struct pdns *p = arg;
    enum err err = OK;
    p->old_serial = draft_serial(d);
    for (size_t i = 0; i < p->edits_n && err == OK; i++) {
        const struct pdns_edit *e = &p->edits[i];
        struct row before = { .n = 0 };
        if (e->what == PDNS_DELETE) {
            err = delete(d, e, fault);
            continue;
        }
        err = draft_row(d, e->row.owner, e->row.type, e->row.covers, &before, fault);
        if (err == OK || err == ERR_NOTFOUND)
            err = e->what == PDNS_REPLACE ? replace(d, e, &before, fault) : alter(d, e, &before, fault);
    }
    return err;
}

/* --- the request --------------------------------------------------------------------------------------------------------- */
static int by_key(const void *a, const void *b)
{
    const struct pdns_edit *x = *(const struct pdns_edit *const *)a, *y = *(const struct pdns_edit *const *)b;
    int order = bytes_compare(x->row.owner, y->row.owner);
    if (order == 0)
        order = (int)x->row.type - (int)y->row.type;
    if (order == 0)
        order = (int)x->row.covers - (int)y->row.covers;
    return order != 0 ? order : (int)x->what - (int)y->what;
}

static bool no_doubles(struct pdns *p)
{
    static const char *const words[] = { [PDNS_REPLACE] = "REPLACE", [PDNS_DELETE] = "DELETE", [PDNS_EXTEND] = "EXTEND",
                                         [PDNS_PRUNE] = "PRUNE" };
    const struct pdns_edit **v = arena_take(&p->c->arena, (p->edits_n + 1) * sizeof(const struct pdns_edit *));
    if (v == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    for (size_t i = 0; i < p->edits_n; i++)
        v[i] = &p->edits[i];
    qsort(v, p->edits_n, sizeof(const struct pdns_edit *), by_key);
    for (size_t i = 1; i < p->edits_n; i++)
        if (by_key(&v[i - 1], &v[i]) == 0) {
            (void)pdns_refuse(p, "Duplicate RRset %s IN %s with changetype: %s", v[i]->name, v[i]->type, words[v[i]->what]);
            return false;
        }
    return true;
}

static bool read_edits(struct pdns *p)
{
    const json_t *list = json_object_get(p->c->json, "rrsets");
    size_t n = json_array_size(list);
    if (!json_is_array(list))
        return (void)pdns_refuse(p, "No rrsets given in update request"), false;
    if ((p->edits = arena_take(&p->c->arena, (n + 1) * sizeof *p->edits)) == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    for (size_t i = 0; i < n; i++)
        if (!pdns_rrset_read(p, json_array_get(list, i), false, &p->edits[i]) || !pdns_rrset_check(p, &p->edits[i]))
            return false;
    p->edits_n = n;
    return no_doubles(p);
}

static const char *number(struct pdns *p, uint32_t n)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%" PRIu32, n);
    return arena_text(&p->c->arena, text);
}

static enum api_next told(struct pdns *p, const struct api_work *w)
{
    (void)w;
    pdns_header(p, "X-PDNS-Old-Serial", number(p, p->old_serial));
    pdns_header(p, "X-PDNS-New-Serial", number(p, p->c->change->result.serial));
    return pdns_status(p, 204);
}

enum api_next pdns_zone_patch(struct pdns *p, const struct api_work *w)
{
    if (!pdns_zone_find(p, w) || !pdns_body(p) || !read_edits(p))
        return API_REPLY;
    if (p->zone.settings.kind != ZONE_NATIVE)
        return pdns_refuse(p, "Hosting backend does not support editing records.");
    return pdns_change(p, CHANGE_EDIT, plan, told);
}

/* --- DELETE of the zone ---------------------------------------------------------------------------------------------------- */
static enum api_next gone(struct pdns *p, const struct api_work *w)
{
    (void)w;
    return pdns_status(p, 204);
}

enum api_next pdns_zone_delete(struct pdns *p, const struct api_work *w)
{
    return pdns_zone_find(p, w) ? pdns_change(p, CHANGE_REMOVE, NULL, gone) : API_REPLY;
}
