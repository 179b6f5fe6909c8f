#include "dnsfront/proof.h"

/* Where the name at `at` begins behind its first `skip` labels, pointers followed. That name was read already. */
static size_t suffix_at(const struct wr *w, size_t at, unsigned skip)
{
    for (;;) {
        while (at + 1 < w->len && w->buf[at] >= 0xc0) {
            size_t target = (size_t)(w->buf[at] & 0x3f) << 8 | w->buf[at + 1];
            if (target >= at)
                return at;
            at = target;
        }
        if (skip == 0 || at >= w->len)
            return at;
        at += (size_t)w->buf[at] + 1;
        skip--;
    }
}

struct rr_place section_place(const struct reply *r, const struct subject *s, unsigned depth)
{
    struct bytes name = s->name;
    unsigned skip = s->key.labels > depth ? s->key.labels - depth : 0;
    for (unsigned i = 0; i < skip; i++)
        name = name_parent(name);
    if (s->at == DNS_HEADER_LEN)                /* the question's, which is in one piece */
        return (struct rr_place){ name, (uint16_t)(s->at + s->name.len - name.len), 0 };
    return (struct rr_place){ name, (uint16_t)suffix_at(&r->w, s->at, skip), 0 };
}

static uint16_t *section_count(struct reply *r, enum section section)
{
    return section == SECTION_ANSWER ? &r->an : section == SECTION_AUTHORITY ? &r->ns : &r->ar;
}

MUST_USE enum err section_put(struct reply *r, enum section section, const struct rrset *rr,
                              const struct rr_place *place)
{
    size_t start = r->w.len;
    uint16_t *count = section_count(r, section);
    bool sign = r->q.dnssec_ok && rr->sigs > 0;
    enum err err = rrset_place(&r->w, rr->wire, rr->count, place);
    if (err == OK && sign)
        err = rrset_place(&r->w, rr->sig_wire, rr->sigs, place);
    if (err != OK) {
        r->w.len = start;
        r->bound |= err == ERR_NOSPACE;
        return err;
    }
    *count = (uint16_t)(*count + rr->count + (sign ? rr->sigs : 0));
    return OK;
}

/* The same, where the RRset belongs to the answer: what does not fit makes TC. */
static enum err put_needed(struct reply *r, enum section section, const struct rrset *rr, const struct rr_place *place)
{
    enum err err = section_put(r, section, rr, place);
    if (err == ERR_NOSPACE)
        r->tc = true;
    return err;
}

MUST_USE enum err put_answer(struct reply *r, const struct subject *s, const struct finding *f, size_t *start)
{
    *start = r->w.len;
    if (!f->wildcard) {
        struct rr_place place = { s->name, (uint16_t)s->at, 0 };
        return put_needed(r, SECTION_ANSWER, &f->rr, &place);
    }
    uint8_t buf[NAME_MAX_LEN];
    struct wr w = wr_over(buf, sizeof buf);
    struct rr_place encloser = section_place(r, s, f->owner);
    wr_put(&w, "\1*", 2);
    wr_bytes(&w, encloser.owner_name);
    struct rr_place place = { wr_done(&w), (uint16_t)s->at, (uint16_t)(s->name.len - w.len) };
    return w.full ? ERR_BAD : put_needed(r, SECTION_ANSWER, &f->rr, &place);
}

/* TTL and target of the DNAME. */
static enum err read_dname(const struct rrset *rr, uint32_t *ttl, struct bytes *target)
{
    struct rd r = rd_over(rr->wire);
    (void)rd_take(&r, 6);                       /* owner pointer, type, class */
    *ttl = rd_u32(&r);
    struct rd rdata = rd_over(rd_take(&r, rd_u16(&r)));
    return r.bad ? ERR_BAD : name_read(&rdata, target);
}

/* The CNAME made from a DNAME: its target is what stood before the DNAME's owner, then the DNAME's own target, which stands
 * in the message at suffix_stands. Gives where the new target stands. */
static size_t put_cname(struct reply *r, const struct subject *s, uint32_t ttl, struct bytes prefix, struct bytes suffix,
                        size_t suffix_stands)
{
    size_t at = suffix_at(&r->w, s->at, 0);
    if (at <= POINTER_MAX)
        wr_u16(&r->w, (uint16_t)(0xc000 | at));
    else
        wr_bytes(&r->w, s->name);
    wr_u16(&r->w, TYPE_CNAME);
    wr_u16(&r->w, CLASS_IN);
    wr_u32(&r->w, ttl);
    bool whole = suffix_stands > POINTER_MAX || suffix.len <= 2;
    wr_u16(&r->w, (uint16_t)(prefix.len + (whole ? suffix.len : 2)));
    size_t target_at = r->w.len;
    wr_bytes(&r->w, prefix);
    if (whole)
        wr_bytes(&r->w, suffix);
    else
        wr_u16(&r->w, (uint16_t)(0xc000 | suffix_stands));
    return target_at;
}

MUST_USE enum err put_dname(struct reply *r, const struct subject *s, const struct finding *f, size_t *stands,
                            struct name *target, size_t *target_at, bool *inward)
{
    struct rr_place owner = section_place(r, s, f->owner);
    struct bytes suffix, prefix = { s->name.ptr, s->name.len - owner.owner_name.len };
    size_t start = r->w.len;
    uint32_t ttl;
    enum err err;
    if (*stands == 0) {
        if ((err = put_needed(r, SECTION_ANSWER, &f->rr, &owner)) != OK)
            return err;
        *stands = start + (r->w.buf[start] >= 0xc0 ? 2 : owner.owner_name.len) + 10;
        start = r->w.len;
    }
    if ((err = read_dname(&f->rr, &ttl, &suffix)) != OK || (err = name_join(prefix, suffix, target)) != OK)
        return err;
    *inward = name_under(suffix, owner.owner_name);
    *target_at = put_cname(r, s, ttl, prefix, suffix, *stands);
    if (r->w.full) {
        r->w.len = start;
        r->w.full = false;
        r->tc = r->bound = true;
        return ERR_NOSPACE;
    }
    r->an++;
    return OK;
}

MUST_USE enum err put_authority_soa(struct reply *r, const struct subject *s, const struct finding *f)
{
    struct rr_place apex = section_place(r, s, f->zone);
    return put_soa(r, f->header, &apex);
}

MUST_USE enum err put_soa(struct reply *r, const struct zone_entry *zone, const struct rr_place *apex)
{
    const struct rrset *soa = &zone->soa;
    size_t start = r->w.len;
    if (!zone->has_soa)
        return ERR_BAD;
    if (apex->owner_at + apex->owner_name.len > DNS_HEADER_LEN + (size_t)r->q.question_len)     /* it may be in pieces */
        return put_needed(r, SECTION_AUTHORITY, soa, apex);
    bool sign = r->q.dnssec_ok && soa->sigs > 0;
    enum err err = rrset_place_planned(&r->w, soa->wire, soa->count, &zone->soa_plan, apex);
    if (err == OK && sign)
        err = rrset_place_planned(&r->w, soa->sig_wire, soa->sigs, &zone->sig_plan, apex);
    if (err == OK)
        r->ns = (uint16_t)(r->ns + soa->count + (sign ? soa->sigs : 0));
    else
        r->w.len = start;
    if (err == ERR_NOSPACE)
        r->bound = r->tc = true;
    return err;
}

MUST_USE enum err put_authority_referral(struct reply *r, struct lookup *l, const struct subject *s,
                                         const struct finding *f)
{
    struct rr_place cut = section_place(r, s, f->owner);
    size_t start = r->w.len;
    unsigned names = 0;
    enum err err = put_needed(r, SECTION_AUTHORITY, &f->blob.rr[0], &cut);
    if (err == OK && f->has_ds && r->q.dnssec_ok && (f->ds.sigs > 0 || f->header->soa.sigs > 0)) /* else it tells nothing */
        err = put_needed(r, SECTION_AUTHORITY, &f->ds, &cut);
    if (err == OK && !f->has_ds)
        err = proof_put(r, l, s, f);
    if (err == OK)
        err = proof_put_noted(r, l);
    if (err == OK)
        err = put_glue(r, s, f, start, &names);
    if (err != OK || names == f->blob.rr[0].count)      /* each of them has its glue */
        return err;
    return put_additional(r, l, s, f, start, f->owner);
}
