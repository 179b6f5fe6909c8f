#include "builder/xfrout.h"

#include "builder/serial.h"

#include <stdlib.h>

const char *const xfrout_form_names[XFROUT_FORMS] = { "none", "soa", "axfr", "ixfr", "axfr-style" };

/* --- the question --------------------------------------------------------------------------------------------------------- */
/* The SOA in the authority section (RFC 1995 section 3). */
static bool serial_asked(struct bytes msg, const struct query *q, const struct name *apex, uint32_t *out)
{
    struct rd r = rd_over(msg);
    struct name owner;
    (void)rd_take(&r, 6);
    uint16_t answers = rd_u16(&r), authority = rd_u16(&r);
    (void)rd_take(&r, (size_t)2 + q->question_len);
    if (answers != 0 || authority != 1 || name_unpack(&r, msg, &owner) != OK)
        return false;
    uint16_t type = rd_u16(&r), rrclass = rd_u16(&r);
    (void)rd_u32(&r);
    uint16_t len = rd_u16(&r);
    const uint8_t *end = r.bad || rd_left(&r) < len ? NULL : r.p + len;
    if (end == NULL || type != TYPE_SOA || rrclass != 1 || !name_equal(name_bytes(&owner), name_bytes(apex))
        || name_unpack(&r, msg, &owner) != OK || name_unpack(&r, msg, &owner) != OK)
        return false;
    *out = rd_u32(&r);
    (void)rd_take(&r, 16);
    return !r.bad && r.p == end;
}

uint16_t xfrout_read(struct bytes msg, const struct query *q, bool udp, struct xfrout_ask *out)
{
    *out = (struct xfrout_ask){ .ixfr = q->qtype == TYPE_IXFR, .udp = udp };
    out->apex.len = (uint8_t)q->qname.len;
    memcpy(out->apex.wire, q->qname.ptr, q->qname.len);
    name_lower(out->apex.wire, out->apex.len);
    return out->ixfr && !serial_asked(msg, q, &out->apex, &out->serial) ? RCODE_FORMERR : RCODE_NOERROR;
}

/* --- making ----------------------------------------------------------------------------------------------------------------- */
struct soa { uint32_t ttl, serial; size_t len; uint8_t rdata[2 * NAME_MAX_LEN + 20]; };
struct making {
    const struct xfrout_ask *ask;
    const struct xfr_question *q;
    struct view *v;
    struct journal *j;
    struct xfrpack *pack;
    struct soa now;                     /* the zone's in the view */
    struct fault *fault;
    enum err err;
    uint64_t first, last, keys;         /* steps: seqs, how much they change */
    size_t key_bytes;
    uint32_t reached;                   /* the serial behind the last step */
    struct soa at;                      /* behind the steps that were written */
};

static struct bytes apex_of(const struct making *m) { return name_bytes(&m->ask->apex); }

static enum err soa_of(uint32_t ttl, struct bytes rdata, struct soa *out)
{
    if (rdata.len > sizeof out->rdata || soa_serial(rdata, &out->serial) != OK)
        return ERR_BAD;
    out->ttl = ttl;
    out->len = rdata.len;
    memcpy(out->rdata, rdata.ptr, rdata.len);
    return OK;
}

static enum err add_soa(struct making *m, const struct soa *s)
{
    return xfrpack_add(m->pack, &(struct zone_rr){ .owner = apex_of(m), .rdata = bytes_of(s->rdata, s->len), .ttl = s->ttl,
                                                   .type = TYPE_SOA });
}

/* The SOA itself; that of the header has the TTL of negative answers. */
static enum err look_soa(struct making *m)
{
    uint8_t key[RRKEY_MAX], rdata[2 * NAME_MAX_LEN + 20];
    struct wr k = wr_over(key, sizeof key);
    struct bytes value;
    struct rr_iter it;
    struct blob b;
    struct rr rr;
    if (rrkey_write(apex_of(m), TYPE_SOA, &k) != OK)
        return ERR_BAD;
    enum err err = view_get(m->v, bytes_of_text("dns"), wr_done(&k), &value);
    if (err != OK || blob_read(value, &b) != OK)
        return ERR_BAD;
    rr_iter_init(&it, apex_of(m), b.rr[0].wire, b.rr[0].count);
    return rr_iter_next(&it, rdata, sizeof rdata, &rr) == OK ? soa_of(rr.ttl, rr.rdata, &m->now) : ERR_BAD;
}

static enum err look(struct making *m)
{
    struct zone_header h;
    enum err err = zone_header_get(apex_of(m), m->v, &h);
    if (err != OK)
        return fault_set(m->fault, err, "no such zone, or its header does not read");
    if (h.state != ZONE_LIVE || !h.has_soa)
        return fault_set(m->fault, ERR_NOTNOW, "the zone is not live");
    return look_soa(m) == OK ? OK : fault_set(m->fault, ERR_BAD, "the zone's SOA does not read");
}

/* --- all of it ---------------------------------------------------------------------------------------------------------------- */
static bool on_record(void *arg, const struct zone_rr *rr)
{
    struct making *m = arg;
    m->err = xfrpack_add(m->pack, rr);
    return m->err == OK;
}

static enum err make_whole(struct making *m)
{
    enum err err = zone_walk(apex_of(m), m->v, on_record, m, m->fault);
    if (err == OK)
        err = m->err;
    return err == OK ? add_soa(m, &m->now) : err;
}

/* --- differences --------------------------------------------------------------------------------------------------------------- */
/* Over UDP, where anybody may ask in another's name, what is far back is not worth a look at all that came since. */
static bool is_too_far(const struct making *m) { return m->ask->udp && m->keys > XFROUT_UDP_KEYS; }

static bool on_step(void *arg, const struct journal_entry *e)
{
    struct making *m = arg;
    if (e->whole || e->serial_before != m->reached || is_too_far(m)) {
        m->err = ERR_GAP;
        return false;
    }
    m->first = m->first == 0 ? e->seq : m->first;
    m->last = e->seq;
    m->keys += e->n;
    for (size_t i = 0; i < e->n; i++)
        m->key_bytes += e->keys[i].key.len + e->keys[i].before.len + e->keys[i].after.len;
    m->reached = e->serial_after;
    return m->reached != m->now.serial;         /* what came behind the view is the next transfer's */
}

/* ERR_GAP: not all of the steps from the client's state to that of the view are known. */
static enum err find_steps(struct making *m)
{
    m->reached = m->ask->serial;
    enum err err = journal_since(m->j, apex_of(m), m->ask->serial, on_step, m, m->fault);
    if (err == OK)
        err = m->err;
    m->err = OK;
    return err == OK && (m->first == 0 || m->reached != m->now.serial) ? ERR_GAP : err;
}

static bool holds(const struct patch_rrset *set, uint32_t ttl, struct bytes rdata)
{
    size_t lo = 0, hi = set->ttl == ttl ? set->n : 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = bytes_compare(set->rdata[mid], rdata);
        if (c == 0)
            return true;
        lo = c < 0 ? mid + 1 : lo;
        hi = c < 0 ? hi : mid;
    }
    return false;
}

/* The records that are in `of` and not in `other`. */
static enum err add_missing(struct making *m, const struct rrset_change *c, const struct patch_rrset *of,
                            const struct patch_rrset *other)
{
    enum err err = OK;
    for (size_t i = 0; i < of->n && err == OK; i++)
        if (!holds(other, of->ttl, of->rdata[i]))
            err = xfrpack_add(m->pack, &(struct zone_rr){ .owner = c->owner, .rdata = of->rdata[i], .ttl = of->ttl,
                                                          .type = c->type });
    return err;
}

/* SOA before, what goes, SOA after, what comes (RFC 1995 section 4). */
static enum err add_difference(struct making *m, const struct difference *d)
{
    struct soa before, after;
    bool found = false;
    enum err err = OK;
    for (size_t i = 0; i < d->n && !found; i++) {
        const struct rrset_change *c = &d->v[i];
        found = c->type == TYPE_SOA && c->before.n == 1 && c->after.n == 1
                && soa_of(c->before.ttl, c->before.rdata[0], &before) == OK && soa_of(c->after.ttl, c->after.rdata[0], &after) == OK;
    }
    if (!found || before.serial != m->at.serial)
        return ERR_GAP;
    err = add_soa(m, &before);
    for (size_t i = 0; i < d->n && err == OK; i++)
        if (d->v[i].type != TYPE_SOA)
            err = add_missing(m, &d->v[i], &d->v[i].before, &d->v[i].after);
    if (err == OK)
        err = add_soa(m, &after);
    for (size_t i = 0; i < d->n && err == OK; i++)
        if (d->v[i].type != TYPE_SOA)
            err = add_missing(m, &d->v[i], &d->v[i].after, &d->v[i].before);
    m->at = after;
    return err;
}

/* --- how much is it? ---------------------------------------------------------------------------------------------------------------- */
struct counting { uint64_t most, n; };

static bool on_counted(void *arg, const struct zone_rr *rr)
{
    struct counting *c = arg;
    (void)rr;
    return ++c->n <= c->most;
}

/* A difference of so many records is more than the zone itself (RFC 1995 section 2): looks at no more of the zone than the difference
 * is long. What fits into a message or two is never worth the question, and over UDP there is no other way. */
static bool is_worse_than_all(struct making *m, uint64_t records)
{
    struct counting c = { .most = records };
    return !m->ask->udp && records > XFROUT_SMALL && zone_walk(apex_of(m), m->v, on_counted, &c, NULL) == OK && c.n < records;
}

static bool is_long(const struct making *m) { return m->keys > XFROUT_JOIN_KEYS || m->key_bytes > XFROUT_JOIN_BYTES; }

static enum err make_joined(struct making *m)
{
    struct difference d;
    difference_init(&d);
    enum err err = journal_difference(m->j, apex_of(m), m->first - 1, m->last, 0, &d, m->fault);
    if (err == OK)
        err = is_worse_than_all(m, d.added + d.removed) ? ERR_GAP : add_difference(m, &d);
    difference_release(&d);
    return err;
}

static bool on_each(void *arg, const struct journal_entry *e)
{
    struct making *m = arg;
    struct difference d;
    difference_init(&d);
    m->err = e->whole ? ERR_GAP : difference_of_keys(apex_of(m), e->keys, e->n, 0, &d, m->fault);
    if (m->err == OK)
        m->err = add_difference(m, &d);
    difference_release(&d);
    return m->err == OK;
}

static enum err make_each(struct making *m)
{
    enum err err = journal_walk(m->j, apex_of(m), m->first, m->last, on_each, m, m->fault);
    return err == OK ? m->err : err;
}

/* ERR_GAP: it cannot be said, or all of the zone is shorter, and nothing was put yet unless the steps were written one by one. */
static enum err make_steps(struct making *m)
{
    m->at.serial = m->ask->serial;
    enum err err = add_soa(m, &m->now);
    if (err == OK)
        err = is_long(m) ? make_each(m) : make_joined(m);
    if (err == OK && m->at.serial != m->now.serial)
        err = ERR_GAP;
    return err == OK ? add_soa(m, &m->now) : err;
}

/* --- which form ------------------------------------------------------------------------------------------------------------------ */
static enum err make_form(struct making *m, enum xfrout_form form)
{
    switch (form) {
    case XFROUT_SOA:        return add_soa(m, &m->now);
    case XFROUT_IXFR:       return make_steps(m);
    default:                return make_whole(m);
    }
}

static enum xfrout_form choose(struct making *m)
{
    if (!m->ask->ixfr)
        return XFROUT_AXFR;
    if (m->ask->serial == m->now.serial || serial_later(m->ask->serial, m->now.serial))
        return XFROUT_SOA;
    if (find_steps(m) == OK && !(is_long(m) && is_worse_than_all(m, m->keys)))       /* one record of each key at least */
        return XFROUT_IXFR;
    return m->ask->udp ? XFROUT_SOA : XFROUT_AXFR_STYLE;        /* whatever is wrong with the journal: the zone is there */
}

static enum err make(struct making *m, enum xfrout_form form, xfrpack_put_fn *put, void *arg)
{
    xfrpack_begin(m->pack, m->q, put, arg);
    enum err err = make_form(m, form);
    return err == OK ? xfrpack_end(m->pack) : err;
}

enum err xfrout_make(const struct xfrout_ask *ask, const struct xfr_question *q, struct view *v, struct journal *j,
                     xfrpack_put_fn *put, void *arg, struct xfrout_made *made, struct fault *fault)
{
    struct making m = { .ask = ask, .q = q, .v = v, .j = j, .fault = fault };
    *made = (struct xfrout_made){ .form = XFROUT_NONE };
    enum err err = look(&m);
    if (err != OK)
        return err;
    if ((m.pack = malloc(sizeof *m.pack)) == NULL)
        return ERR_NOMEM;
    made->serial = m.now.serial;
    made->form = choose(&m);
    err = make(&m, made->form, put, arg);
    if (made->form == XFROUT_IXFR && (err == ERR_GAP || (err == ERR_NOSPACE && ask->udp)) && m.pack->messages == 0) {
        made->form = ask->udp ? XFROUT_SOA : XFROUT_AXFR_STYLE;
        m.err = OK;
        err = make(&m, made->form, put, arg);
    }
    made->messages = m.pack->messages;
    made->records = m.pack->records;
    made->bytes = m.pack->bytes;
    free(m.pack);
    return err;
}
