/* Warnings about what a change sets, as targets.c has them about a whole zone; at a cost that does not depend on its size. */
#include "builder/draft.h"
#include "builder/targets.h"

/* Published records of a type at an owner, TYPE_ANY: of any. */
static enum err has(struct draft *d, struct bytes owner, uint16_t type, bool *out, struct fault *fault)
{
    const struct row *rows;
    size_t n = 0;
    enum err err = draft_owner(d, owner, &rows, &n, fault);
    if (err != OK)
        return err == ERR_NOTFOUND ? OK : err;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < rows[i].n && (type == TYPE_ANY || rows[i].type == type); k++)
            *out = *out || !rows[i].rr[k].disabled;
    return OK;
}

static bool is_hosted(struct draft *d, struct bytes name)
{
    struct zone_header h;
    return zone_header_get(name, d->with.view, &h) != ERR_NOTFOUND;
}

/* A wildcard, a delegation, a DNAME or a zone of its own answers for the name. cut: the owner whose delegation does not count. */
static enum err is_elsewhere(struct draft *d, struct bytes name, struct bytes cut, bool *out, struct fault *fault)
{
    uint8_t wild[NAME_MAX_LEN + 2] = { 1, '*' };
    enum err err = OK;
    for (struct bytes up = name; err == OK && !*out && up.len > d->apex.len; up = name_parent(up)) {
        struct bytes above = name_parent(up);
        *out = is_hosted(d, up);
        if (!*out && !name_equal(up, cut))
            err = has(d, up, TYPE_NS, out, fault);
        if (err == OK && !*out && up.len < name.len)
            err = has(d, up, TYPE_DNAME, out, fault);
        memcpy(wild + 2, above.ptr, above.len);
        if (err == OK && !*out && above.len + 2 <= NAME_MAX_LEN)
            err = has(d, bytes_of(wild, above.len + 2), TYPE_ANY, out, fault);
    }
    return err;
}

static enum err look_at(struct draft *d, const struct row *row, struct bytes rdata, struct complaints *c, struct fault *fault)
{
    struct target t = { .owner = row->owner, .type = row->type };
    struct bytes apex = name_bytes(&d->apex);
    bool fine = false;
    enum err err = OK;
    if (!target_of(row->type, rdata, &t.name) || !name_under(t.name, apex))
        return OK;
    if (row->type != TYPE_NS)
        err = has(d, t.name, TYPE_ANY, &fine, fault);
    else if ((err = has(d, t.name, TYPE_A, &fine, fault)) == OK && !fine && (err = has(d, t.name, TYPE_AAAA, &fine, fault)) == OK && !fine)
        err = has(d, t.name, TYPE_CNAME, &fine, fault);
    if (err == OK && !fine)
        err = is_elsewhere(d, t.name, row->type == TYPE_NS ? row->owner : apex, &fine, fault);
    if (err == OK && !fine)
        target_warn(&t, apex, c);
    return err;
}

/* The address of a name server that the delegation at `cut` names. */
static enum err is_glue(struct draft *d, const struct row *row, struct bytes cut, bool *out, struct fault *fault)
{
    struct row ns = { .n = 0 };
    if (row->type != TYPE_A && row->type != TYPE_AAAA)
        return OK;
    enum err err = draft_row(d, cut, TYPE_NS, 0, &ns, fault);
    for (size_t i = 0; err == OK && i < ns.n; i++)
        *out |= !ns.rr[i].disabled && name_equal(ns.rr[i].rdata, row->owner);
    return err == ERR_NOTFOUND ? OK : err;
}

/* Below another zone that is hosted here; glue stands there. */
static enum err look_above(struct draft *d, const struct row *row, struct complaints *c, struct fault *fault)
{
    char text[NAME_TEXT_MAX];
    bool below = false, glue = false;
    enum err err = OK;
    for (struct bytes up = name_parent(row->owner); !below && row->owner.len > d->apex.len && up.len > d->apex.len; up = name_parent(up))
        if ((below = is_hosted(d, up)))
            err = is_glue(d, row, up, &glue, fault);
    if (err == OK && below && !glue)
        complain_warning(c, 0, OCCLUDED, name_text(text, sizeof text, row->owner));
    return err;
}

MUST_USE enum err draft_warn(struct draft *d, struct draft_mark mark, struct complaints *c, struct fault *fault)
{
    enum err err = OK;
    if (!d->live || !d->has_rows)           /* of a whole zone the build tells; a primary's zone is not ours to judge */
        return OK;
    for (size_t i = mark.n; err == OK && i < d->n; i++) {
        const struct row *row = &d->set[i].after;
        if (!draft_is_newest(d, &d->set[i]) || row->n == 0)
            continue;
        err = look_above(d, row, c, fault);
        for (size_t k = 0; err == OK && k < row->n; k++)
            if (!row->rr[k].disabled)
                err = look_at(d, row, row->rr[k].rdata, c, fault);
    }
    return err;
}
