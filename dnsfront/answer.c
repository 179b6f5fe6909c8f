#include "dnsfront/answer.h"

#include "dnsfront/chaos.h"
#include "dnsfront/section.h"

#include <stdlib.h>

const char *const step_names[STEP_N] = { "exact", "alias", "wildcard", "additional", "proof", "zone" };

struct answerer {
    struct lookup look;
    struct bytes nsid, version;                 /* borrowed from the options' strings */
    struct subject subject;                     /* the name at hand */
    struct name chain[ANSWER_LINKS_MAX + 1];    /* alias targets so far */
    const uint8_t *dnames[ANSWER_LINKS_MAX + 1];        /* DNAME RRsets in the answer: their stored wires */
};

static struct bytes text_bytes(const char *text, size_t most)
{
    struct bytes b = text != NULL ? bytes_of_text(text) : (struct bytes){ 0 };
    b.len = b.len < most ? b.len : most;
    return b;
}

MUST_USE enum err answerer_open(struct answerer **out, struct view *v, const struct answer_options *o)
{
    struct answerer *a = calloc(1, sizeof *a);
    enum err err;
    if (a == NULL)
        return ERR_NOMEM;
    a->look.view = v;
    a->look.counts = o->counts;
    a->nsid = text_bytes(o->nsid, NSID_MAX);
    a->version = text_bytes(o->version, 255);
    if (v != NULL
        && ((err = zones_open(&a->look.zones)) != OK
            || (err = cursor_open(v, bytes_of_text("dns"), &a->look.cursor)) != OK)) {
        answerer_close(a);
        return err;
    }
    *out = a;
    return OK;
}

void answerer_close(struct answerer *a)
{
    if (a == NULL)
        return;
    cursor_close(a->look.cursor);
    zones_close(a->look.zones);
    free(a);
}

/* --- a chain of aliases: one link after the other --------------------------------------------------------------- */
struct chain { unsigned links, dnames; };

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
    if (err == OK)
        err = cname_target(r, start, &target, &at);
    if (err == OK)
        *more = follow(a, r, c, &target, at);
    return err;
}

static enum err answer_dname(struct answerer *a, struct reply *r, struct chain *c, const struct finding *f, bool *more)
{
    struct name target;
    size_t at;
    bool seen = false;
    for (unsigned i = 0; i < c->dnames; i++)
        seen |= a->dnames[i] == f->rr.wire.ptr;
    enum err err = put_dname(r, &a->subject, f, seen, &target, &at);
    if (!seen)
        a->dnames[c->dnames++] = f->rr.wire.ptr;
    if (err == ERR_LIMIT) {
        r->rcode = RCODE_YXDOMAIN;
        return OK;
    }
    if (err == OK && r->q.qtype != TYPE_CNAME)  /* the CNAME just made is what was asked for */
        *more = follow(a, r, c, &target, at);
    return err;
}

static enum err answer_rrset(struct answerer *a, struct reply *r, const struct finding *f)
{
    size_t start;
    enum err err = put_answer(r, &a->subject, f, &start);
    if (err == OK && f->apex && r->q.qtype == TYPE_NS)
        err = put_additional(r, &a->look, &a->subject, f, start, NO_CUT);
    return err;
}

/* One link. AA and refusals come from the first name, rcode and SOA from the last. */
static enum err answer_link(struct answerer *a, struct reply *r, struct chain *c, bool *more)
{
    struct finding f;
    bool first = c->links == 0;
    *more = false;
    find(&a->look, &a->subject, r->q.qtype, first ? STEP_EXACT : STEP_ALIAS, r->q.dnssec_ok, &f);
    if (first)
        r->aa = f.what >= FOUND_RRSET && f.what != FOUND_REFERRAL;
    switch (f.what) {
    case FOUND_BROKEN:
        return ERR_BAD;
    case FOUND_NOZONE:
        if (first)
            reply_reset(r, RCODE_REFUSED);
        return OK;
    case FOUND_EMPTY:
    case FOUND_DOWN:                            /* behind an alias: as if it were not ours, others may know it */
        if (first)
            reply_reset(r, RCODE_SERVFAIL);
        return OK;
    case FOUND_RRSET:
        return answer_rrset(a, r, &f);
    case FOUND_ALIAS:
        return answer_alias(a, r, c, &f, more);
    case FOUND_DNAME:
        return answer_dname(a, r, c, &f, more);
    case FOUND_REFERRAL:
        return put_authority_referral(r, &a->look, &a->subject, &f);
    case FOUND_NODATA:
        return put_authority_soa(r, &a->subject, &f);
    case FOUND_NXDOMAIN:
        r->rcode = RCODE_NXDOMAIN;
        return put_authority_soa(r, &a->subject, &f);
    }
    return ERR_BAD;
}

static void answer_in(struct answerer *a, struct reply *r)
{
    struct chain c = { 0 };
    bool more = true;
    a->subject.name = r->q.qname;
    a->subject.at = DNS_HEADER_LEN;
    if (a->look.view == NULL) {                 /* no store yet */
        r->rcode = RCODE_SERVFAIL;
        return;
    }
    a->look.version = view_version(a->look.view);
    enum err err = rrkey_of_name(a->subject.name, &a->subject.key);
    while (err == OK && more)
        err = answer_link(a, r, &c, &more);
    if (err != OK && err != ERR_NOSPACE) {
        stat_add(&a->look.counts->broken, 1);
        reply_reset(r, RCODE_SERVFAIL);
    }
}

/* --- the question ----------------------------------------------------------------------------------------------- */
static void answer_question(struct answerer *a, struct reply *r)
{
    uint16_t type = r->q.qtype;
    if (r->q.has_tsig)
        r->rcode = RCODE_NOTAUTH;               /* no keys here */
    else if (type == TYPE_OPT || type == TYPE_TSIG)
        r->rcode = RCODE_FORMERR;
    else if (r->q.qclass == CLASS_CH)
        chaos_answer(r, a->nsid, a->version);
    else if (r->q.qclass != CLASS_IN || type == TYPE_AXFR || type == TYPE_IXFR)
        r->rcode = RCODE_REFUSED;
    else if (type == TYPE_MAILA || type == TYPE_MAILB)
        r->rcode = RCODE_NOTIMP;
    else
        answer_in(a, r);
}

static void answer_verdict(struct answerer *a, struct reply *r, enum query_verdict verdict)
{
    switch (verdict) {
    case QUERY_ANSWER:  answer_question(a, r); break;
    case QUERY_EMPTY:   break;
    case QUERY_NOTIMP:  r->rcode = RCODE_NOTIMP; break;
    case QUERY_BADVERS: r->rcode = RCODE_BADVERS; break;
    case QUERY_FORMERR:
    case QUERY_DROP:    r->rcode = RCODE_FORMERR; break;
    }
}

size_t answer(struct answerer *a, struct bytes query, const struct answer_from *from, uint8_t *out, size_t cap)
{
    struct answer_counters *counts = a->look.counts;
    struct reply r = { .rcode = RCODE_NOERROR };
    struct bytes question = { 0 };
    enum query_verdict verdict = query_read(query, &r.q);
    stat_add(&counts->queries[from->proto], 1);
    if (verdict == QUERY_DROP) {
        stat_add(&counts->dropped, 1);
        return 0;
    }
    if (r.q.question_len > 0)
        question = bytes_of(query.ptr + DNS_HEADER_LEN, r.q.question_len);
    if (!reply_begin(&r, from, a->nsid, question, out, cap)) {
        stat_add(&counts->dropped, 1);
        return 0;
    }
    answer_verdict(a, &r, verdict);
    size_t len = reply_end(&r);
    stat_add(&counts->truncated, r.tc);
    stat_add(&counts->responses[r.rcode < ANSWER_RCODES ? r.rcode : RCODE_SERVFAIL], 1);
    return len;
}
