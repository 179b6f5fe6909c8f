/* From a question to its records: the look-up, and one link after the other where aliases lead on. */
#include "dnsfront/answer_parts.h"

struct seen_dname { const uint8_t *wire; size_t at; };          /* its stored wire; where its target stands in the answer */
struct chain { unsigned links, dnames; struct seen_dname dname[ANSWER_LINKS_MAX + 1]; };

/* The name that the CNAME at `start` leads to becomes the subject. false: the chain ends here. */
static bool follow(struct answerer *a, struct reply *r, struct chain *c, const struct name *target, size_t at)
{
    struct bytes name = name_bytes(target);
    if (c->links == ANSWER_LINKS_MAX || name_equal(name, r->q.qname))
        return false;
    for (unsigned i = 0; i < c->links; i++)
        if (name_equal(name, name_bytes(&a->chain[i])))
            return false;
    struct name *kept = &a->chain[c->links++];
    *kept = *target;
    a->subject.name = name_bytes(kept);
    a->subject.at = at;
    return rrkey_of_name(a->subject.name, &a->subject.key) == OK;
}

static enum err cname_target(const struct reply *r, size_t start, struct name *out, size_t *at)
{
    struct rd msg = rd_over(wr_done(&r->w));
    struct name owner;
    (void)rd_take(&msg, start);
    enum err err = name_unpack(&msg, wr_done(&r->w), &owner);
    (void)rd_take(&msg, 10);                    /* type, class, TTL, length */
    if (err != OK || msg.bad)
        return ERR_BAD;
    *at = (size_t)(msg.p - r->w.buf);
    return name_unpack(&msg, wr_done(&r->w), out);
}

static enum err answer_alias(struct answerer *a, struct reply *r, struct chain *c, const struct finding *f, bool *more)
{
    struct name target;
    size_t start, at;
    enum err err = put_answer(r, &a->subject, f, &start);
    proof_note(r, &a->subject, f);
    if (err == OK)
        err = cname_target(r, start, &target, &at);
    if (err == OK)
        *more = follow(a, r, c, &target, at);
    return err;
}

static unsigned dname_seen(const struct chain *c, const struct finding *f) /* its place in c->dname; c->dnames: none */
{
    unsigned i = 0;
    while (i < c->dnames && c->dname[i].wire != f->rr.wire.ptr)
        i++;
    return i;
}

/* A DNAME whose target lies below its own owner is applied once: each time the name would grow, for ever. */
static enum err answer_dname(struct answerer *a, struct reply *r, struct chain *c, const struct finding *f, bool *more)
{
    struct name target;
    size_t at;
    bool inward;
    a->look.trace.cased = true;                 /* the name made from it has the case of the question */
    unsigned i = dname_seen(c, f);
    if (i == c->dnames)
        c->dname[c->dnames++] = (struct seen_dname){ f->rr.wire.ptr, 0 };
    enum err err = put_dname(r, &a->subject, f, &c->dname[i].at, &target, &at, &inward);
    if (err == ERR_LIMIT) {
        r->rcode = RCODE_YXDOMAIN;
        return OK;
    }
    if (err == OK && r->q.qtype != TYPE_CNAME && !inward)       /* CNAME: the one just made is what was asked for */
        *more = follow(a, r, c, &target, at);
    return err;
}

static enum err answer_rrset(struct answerer *a, struct reply *r, const struct chain *c, const struct finding *f)
{
    size_t start;
    if (dname_seen(c, f) < c->dnames)           /* asked for by its own type, behind an alias to its owner */
        return OK;
    unsigned skip, names;
    enum err err = put_answer(r, &a->subject, f, &start);
    proof_note(r, &a->subject, f);
    a->look.trace.plain = c->links == 0 && f->starred && !rrtype_compresses(f->rr.type, &skip, &names) && !additional_wanted(f->rr.type);
    if (err == OK)
        err = proof_put_noted(r, &a->look);
    if (err == OK && f->rr.type == r->q.qtype && additional_wanted(f->rr.type))
        err = put_additional(r, &a->look, &a->subject, f, start, NO_CUT);
    return err;
}

/* What the answer is to a limit of equal answers: the first name decides, not where its aliases lead. Names that one
 * record answers (wildcard, DNAME, cut, SOA) count as that record's. */
static void say(struct answerer *a, const struct subject *s, const struct finding *f)
{
    static const enum answer_kind kinds[] = {
        [FOUND_BROKEN] = ANSWER_ERROR, [FOUND_NOZONE] = ANSWER_ERROR, [FOUND_EMPTY] = ANSWER_ERROR, [FOUND_DOWN] = ANSWER_ERROR,
        [FOUND_RRSET] = ANSWER_POSITIVE, [FOUND_ALIAS] = ANSWER_POSITIVE, [FOUND_DNAME] = ANSWER_POSITIVE,
        [FOUND_REFERRAL] = ANSWER_REFERRAL, [FOUND_NODATA] = ANSWER_NODATA, [FOUND_NXDOMAIN] = ANSWER_NXDOMAIN,
    };
    unsigned depth = s->key.labels;
    a->said.kind = kinds[f->what];
    if (f->what == FOUND_NXDOMAIN)              /* of all the zone, also where a wildcard was looked for */
        depth = f->zone;
    else if (f->wildcard || f->what == FOUND_DNAME || f->what == FOUND_REFERRAL)
        depth = f->owner;
    a->said.name = s->name;
    for (unsigned i = s->key.labels; i > depth; i--)
        a->said.name = name_parent(a->said.name);
}

/* No data or no such name. */
static enum err answer_negative(struct answerer *a, struct reply *r, const struct finding *f)
{
    enum err err = put_authority_soa(r, &a->subject, f);
    return err != OK ? err : proof_put(r, &a->look, &a->subject, f);
}

/* The version of the zone that the question's name is in, wherever aliases lead (RFC 9660 section 3.2). */
static void tell_version(struct reply *r, const struct finding *f)
{
    enum { SERIAL_FROM_END = 20 };              /* of an SOA's RDATA */
    if (!query_asks(&r->q, EDNS_OPTION_ZONEVERSION) || f->header == NULL || !f->header->has_soa)
        return;
    struct bytes soa = f->header->soa.wire;
    struct rd serial = rd_over(soa);
    (void)rd_take(&serial, soa.len < SERIAL_FROM_END ? soa.len : soa.len - SERIAL_FROM_END);
    r->version.labels = (uint8_t)f->zone;
    r->version.serial = rd_u32(&serial);
    r->has_version = !serial.bad;
}

/* What the link hangs on (cache.h). An owner that is there answers for itself while none of its keys change and its zone
 * stays live: what would stand above it (a cut, a DNAME, another zone's apex) takes its keys away or marks them anew. The
 * same goes for a cut, a DNAME, a wildcard's encloser with all that is below it, and everything else hangs on its whole zone. */
static void trace_link(struct answerer *a, const struct reply *r, const struct finding *f)
{
    struct trace *t = &a->look.trace;
    const struct rrkey *k = &a->subject.key;
    if (t->changes == NULL)
        return;
    if (f->what == FOUND_NOZONE) {
        trace_world(t);
        return;
    }
    bool once = f->what == FOUND_NXDOMAIN && !t->again;         /* not kept until it is asked for again */
    if (f->header == NULL || f->what < FOUND_RRSET || once) {
        t->off = true;
        return;
    }
    bool own = f->what != FOUND_NODATA && f->what != FOUND_NXDOMAIN && !(f->wildcard && r->q.dnssec_ok);
    if ((f->what == FOUND_RRSET || f->what == FOUND_ALIAS) && !f->wildcard)
        trace_owner(t, a->subject.name);
    else
        trace_subtree(t, k, own ? f->owner : f->zone);
    if (r->q.qtype == TYPE_DS && f->what != FOUND_RRSET)
        trace_world(t);                         /* a zone that comes above an apex has the say there */
    if (f->what == FOUND_REFERRAL && r->q.dnssec_ok && f->header->soa.sigs == 0)
        trace_signed(t, k, f->zone);            /* whether the zone is signed decides what is sent beside the NS */
    else if (f->what == FOUND_REFERRAL && r->q.dnssec_ok && !(f->has_ds && f->ds.sigs > 0))
        trace_header(t, k, f->zone);
    trace_shape(t, k, f->zone);
    a->zone_place = place_of_subtree(t->changes, hash_of_ancestor(t->changes, k, f->zone));
}

/* A question's name that is certainly not there. false: it may be, or find has to look. */
static bool find_absent_one(struct answerer *a, const struct reply *r, struct finding *f)
{
    const struct absence *n = a->look.absence;
    if (n == NULL)
        return false;
    return n->starred ? find_starred(&a->look, &a->subject, r->q.qtype, f) : find_denied(&a->look, &a->subject, r->q.qtype, f);
}

/* One link. AA and refusals come from the first name, rcode and SOA from the last. */
static enum err answer_link(struct answerer *a, struct reply *r, struct chain *c, bool *more)
{
    struct finding f;
    bool first = c->links == 0;
    *more = false;
    if (!first || !find_absent_one(a, r, &f))
        find(&a->look, &a->subject, r->q.qtype, first ? STEP_EXACT : STEP_ALIAS, r->q.dnssec_ok, &f);
    trace_link(a, r, &f);
    if (first) {
        r->aa = f.what >= FOUND_RRSET && f.what != FOUND_REFERRAL;
        say(a, &a->subject, &f);
        tell_version(r, &f);
    }
    switch (f.what) {
    case FOUND_BROKEN:
        return ERR_BAD;
    case FOUND_NOZONE:
        if (first)
            reply_reset(r, RCODE_REFUSED);
        return OK;
    case FOUND_EMPTY:
    case FOUND_DOWN:                            /* behind an alias: as if it were not ours, others may know it */
        if (first) {
            reply_reset(r, RCODE_SERVFAIL);
            reply_explain(r, f.header != NULL && f.header->state == ZONE_EXPIRED ? EDE_INVALID_DATA : EDE_NOT_READY);
        }
        return OK;
    case FOUND_RRSET:
        return answer_rrset(a, r, c, &f);
    case FOUND_ALIAS:
        return answer_alias(a, r, c, &f, more);
    case FOUND_DNAME:
        return answer_dname(a, r, c, &f, more);
    case FOUND_REFERRAL:
        return put_authority_referral(r, &a->look, &a->subject, &f);
    case FOUND_NODATA:
        return answer_negative(a, r, &f);
    case FOUND_NXDOMAIN:
        r->rcode = RCODE_NXDOMAIN;
        return answer_negative(a, r, &f);
    }
    return ERR_BAD;
}

void answer_in(struct answerer *a, struct reply *r)
{
    struct chain c;                             /* of its arrays only what was put in is read */
    bool more = true;
    c.links = c.dnames = 0;
    a->subject.name = r->q.qname;
    a->subject.at = DNS_HEADER_LEN;
    enum err err = OK;
    if (a->asked != NULL)
        rrkey_copy(&a->subject.key, &a->asked->owner, a->asked->owner.labels);
    else
        err = rrkey_of_name(a->subject.name, &a->subject.key);
    proof_begin(&a->proofs, r);
    while (err == OK && more) {
        uint64_t proofs = stat_get(&a->look.counts->descents[STEP_PROOF]);
        err = answer_link(a, r, &c, &more);
        if (stat_get(&a->look.counts->descents[STEP_PROOF]) != proofs && a->look.trace.changes != NULL)
            trace_place(&a->look.trace, a->zone_place);         /* a proof speaks of names beside its own */
    }
    if (err == OK)
        err = proof_put_noted(r, &a->look);
    if (err != OK && err != ERR_NOSPACE) {
        stat_add(&a->look.counts->broken, err != ERR_LIMIT);    /* too dear a proof is no broken value */
        reply_reset(r, RCODE_SERVFAIL);
        reply_explain(r, EDE_OTHER);
    }
}
