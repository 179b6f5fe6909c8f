/* What an owner must not be, looked at before anything is built: so one change is refused, and not all that it would have been
 * built with. guards.c looks at all of it again. */
#include "builder/draft.h"

static size_t enabled(const struct row *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += !r->rr[i].disabled;
    return n;
}

struct owned { size_t soa, ns, ds, cname, dname, beside; };     /* enabled records; beside: that no CNAME bears */

static void count(struct owned *o, const struct row *r)
{
    size_t n = enabled(r);
    o->soa += r->type == TYPE_SOA ? n : 0;
    o->ns += r->type == TYPE_NS ? n : 0;
    o->ds += r->type == TYPE_DS ? n : 0;
    o->cname += r->type == TYPE_CNAME ? n : 0;
    o->dname += r->type == TYPE_DNAME ? n : 0;
    o->beside += r->type != TYPE_CNAME && !rrtype_beside_cname(r->type) ? n : 0;
}

static void judge_apex(const struct owned *o, struct complaints *c)
{
    if (o->soa == 0)
        complain_error(c, 0, "the zone has no SOA at its apex");
    if (o->soa > 1)
        complain_error(c, 0, "the zone has more than one SOA");
    if (o->ns == 0)
        complain_error(c, 0, "the zone has no NS at its apex");
    if (o->ds > 0)
        complain_error(c, 0, "DS at the apex: it belongs into the parent zone");
}

static enum err judge(struct draft *d, struct bytes owner, struct complaints *c, struct fault *fault)
{
    char text[NAME_TEXT_MAX];
    struct owned o = { 0 };
    const struct row *rows;
    size_t n;
    bool apex = owner.len == d->apex.len;
    enum err err = draft_owner(d, owner, &rows, &n, fault);
    if (err != OK)
        return err;
    for (size_t i = 0; i < n; i++)
        count(&o, &rows[i]);
    (void)name_text(text, sizeof text, owner);
    if (apex)
        judge_apex(&o, c);
    else if (o.soa > 0)
        complain_error(c, 0, "SOA at %s, which is not the apex", text);
    if (o.cname > 0 && o.beside > 0)
        complain_error(c, 0, "CNAME beside other data at %s", text);
    if (o.cname > 1)
        complain_error(c, 0, "more than one CNAME at %s", text);
    if (o.dname > 1)
        complain_error(c, 0, "more than one DNAME at %s", text);
    return OK;
}

MUST_USE enum err draft_guard(struct draft *d, struct draft_mark mark, struct complaints *c, struct fault *fault)
{
    unsigned errors = c->errors_n;
    bool apex = false;
    enum err err = OK;
    for (size_t i = mark.n; err == OK && i < d->n; i++) {
        struct bytes owner = d->set[i].after.owner;
        apex |= owner.len == d->apex.len;
        if (draft_is_newest_of_owner(d, i))
            err = judge(d, owner, c, fault);
    }
    if (err == OK && !d->live && !apex && d->n > mark.n)        /* it was not there until now */
        err = judge(d, name_bytes(&d->apex), c, fault);
    if (err == OK && c->errors_n == errors)
        err = draft_warn(d, mark, c, fault);
    if (err != OK || c->errors_n == errors)
        return err;
    return fault_set(fault, ERR_REFUSED, "%s", c->errors[errors < COMPLAINTS_MAX ? errors : 0].text);
}
