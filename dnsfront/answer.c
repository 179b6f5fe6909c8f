#include "dnsfront/answer.h"

#include "dnsfront/answer_parts.h"
#include "dnsfront/chaos.h"

#include "dnsfront/known.h"

#include <stdlib.h>

#define FORESEE_MIN 4               /* queries: fewer have nobody to wait together with */
#define FORESEE_LEAVES 4096         /* 16 MiB as a rule: the processor's caches hold less than that */

const char *const step_names[STEP_N] = { "exact", "alias", "wildcard", "additional", "proof", "zone" };

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
    a->values = (struct option_values){ text_bytes(o->nsid, NSID_MAX), o->cookies };
    a->version = text_bytes(o->version, 255);
    a->foresee_leaves = FORESEE_LEAVES;
    if (v != NULL
        && ((err = zone_table_open(&a->look.zones)) != OK
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
    zone_table_close(a->look.zones);
    free(a);
}

void answerer_share(struct answerer *a, struct cache *c, unsigned worker)
{
    if (c == NULL || a->look.view == NULL)
        return;
    a->cache = c;
    a->worker = worker;
    a->gaps = cache_gaps(c, worker);
    a->look.headers = cache_keeps(c) ? c : NULL;
    a->look.worker = worker;
    a->look.watch = (struct watch){ .changes = cache_changes(c), .drops = &a->look.counts->cache_drops };
}

/* --- the cache -------------------------------------------------------------------------------------------------- */
/* The question of a query that may be an ordinary one; what it is in truth, answer() finds out. */
static bool glance(struct bytes query, struct bytes *qname, uint16_t *type, bool *dnssec_ok)
{
    size_t at = DNS_HEADER_LEN, end, opt;
    while (at < query.len && query.ptr[at] != 0 && query.ptr[at] <= LABEL_MAX_LEN)
        at += (size_t)query.ptr[at] + 1;
    end = at + 1;
    opt = end + 4;                              /* where an OPT mostly is, with its flags seven bytes behind its name */
    if (opt > query.len || query.ptr[at] != 0 || end - DNS_HEADER_LEN > NAME_MAX_LEN)
        return false;
    *qname = bytes_of(query.ptr + DNS_HEADER_LEN, end - DNS_HEADER_LEN);
    *type = (uint16_t)(query.ptr[end] << 8 | query.ptr[end + 1]);
    *dnssec_ok = opt + 9 < query.len && query.ptr[opt + 2] == TYPE_OPT && (query.ptr[opt + 7] & 0x80) != 0;
    return true;
}

/* Will the answer take a descent? Where a name is not there that hangs on its zone: it is taken to be as the last one's was.
 * names: NULL, when it is not known which ones are there. */
static bool descends(const struct answerer *a, const struct prepared *p, const struct known *names)
{
    return !p->key.there && (names == NULL || (p->key.dnssec_ok && a->denies) || known_may(names, p->key.hash, KNOWN_NAME));
}

/* Are these trees so large that it pays? They are as they were while the data is. */
static bool foresees(struct answerer *a)
{
    uint64_t version = view_version(a->look.view);
    if (a->leaves_version != version) {
        a->leaves_version = version;
        a->foresees = cursor_leaves(a->look.cursor) >= a->foresee_leaves;
    }
    return a->foresees;
}

/* The descents of those prepared, as far as it can be told that there will be one. */
static void foresee(struct answerer *a)
{
    unsigned n = 0;
    uint64_t round;
    watch_follow(&a->look.watch, a->look.view);
    const struct known *names = find_names(&a->look, &round);
    for (unsigned i = 0; i < a->prepared_n; i++) {
        struct prepared *p = &a->prepared[i];
        struct foretold *f = &a->foretold[n];
        if (!descends(a, p, names) || rrkey_of_name(bytes_of(p->key.name, p->key.name_len + 1u), &f->owner) != OK)
            continue;
        a->foreseen[n++].key = bytes_of(f->key, find_key(&f->owner, p->key.type, f->key));
        p->foretold = f;
    }
    cursor_foresee(a->look.cursor, a->foreseen, n);
}

void answer_prepare(struct answerer *a, const struct bytes *queries, unsigned n)
{
    a->prepared_n = a->prepared_at = 0;
    if (a->cache == NULL || n == 0)
        return;
    bool keeps = cache_keeps(a->cache), ahead = n >= FORESEE_MIN && foresees(a);
    for (unsigned i = 0; i < n && i < ANSWER_BATCH && (keeps || ahead); i++) {
        struct cache_key *k = &a->prepared[a->prepared_n].key;
        struct bytes qname;
        uint16_t type;
        bool dnssec_ok;
        if (!glance(queries[i], &qname, &type, &dnssec_ok))
            continue;
        a->prepared[a->prepared_n].foretold = NULL;
        a->prepared[a->prepared_n++].query = queries[i].ptr;
        cache_key(a->cache, qname, type, k);
        k->dnssec_ok = dnssec_ok;
        if (keeps)
            cache_prefetch_bucket(a->cache, k);
    }
    for (unsigned i = 0; i < a->prepared_n && keeps; i++)
        cache_prefetch_entry(a->cache, &a->prepared[i].key);
    if (ahead)
        foresee(a);
}

/* NULL: it was not prepared. */
static struct prepared *prepared_of(struct answerer *a, const struct reply *r)
{
    const uint8_t *query = r->q.qname.ptr - DNS_HEADER_LEN;
    for (unsigned i = a->prepared_at; i < a->prepared_n; i++) {         /* some were dropped, or answered without */
        if (a->prepared[i].query == query) {
            a->prepared_at = i + 1;
            return &a->prepared[i];
        }
    }
    return NULL;
}

static struct cache_key *key_of(struct answerer *a, const struct reply *r, struct prepared *p)
{
    if (p != NULL)
        return &p->key;
    cache_key(a->cache, r->q.qname, r->q.qtype, &a->key);
    return &a->key;
}

/* The answer for a name that is certainly not there. false: that takes a proof, or something is odd. */
static bool answer_absent(struct answerer *a, struct reply *r, const struct absence *n)
{
    struct bytes qname = r->q.qname;
    if (!n->ours) {
        reply_reset(r, RCODE_REFUSED);
        return true;
    }
    if (r->q.dnssec_ok && n->header->soa.sigs > 0)
        return false;
    struct rr_place apex = { bytes_of(qname.ptr + n->apex_at, qname.len - n->apex_at), (uint16_t)(DNS_HEADER_LEN + n->apex_at), 0 };
    enum err err = put_soa(r, n->header, &apex);
    if (err != OK && err != ERR_NOSPACE)        /* which made TC */
        return false;
    r->aa = true;
    r->rcode = RCODE_NXDOMAIN;
    a->said.kind = ANSWER_NXDOMAIN;
    a->said.name = apex.owner_name;
    return true;
}

/* The name is not there, but a wildcard may be: its own name becomes the key, which all such names share. */
static bool find_plain(struct answerer *a, struct reply *r, const struct cache_key *key, const struct absence *n)
{
    uint8_t name[NAME_MAX_LEN + 2] = "\1*";     /* it stands for one label at least: no longer than the question's name */
    size_t len = key->name_len + 1u - n->encloser_at;
    memcpy(name + 2, (const uint8_t *)key->name + n->encloser_at, len);
    cache_key(a->cache, bytes_of(name, len + 2), key->type, &a->star);
    a->star.dnssec_ok = key->dnssec_ok;
    a->star.plain = true;
    if (!cache_find(a->cache, &a->look.watch, &a->star, r, &a->said))
        return false;
    a->said.kind = ANSWER_POSITIVE;
    a->said.name = bytes_of(r->q.qname.ptr + n->encloser_at, len);
    return true;
}

/* Looked up, and kept if it may be. star: the wildcard that may answer, or NULL. */
static void answer_anew(struct answerer *a, struct reply *r, const struct cache_key *key, const struct cache_key *star)
{
    struct answer_said said = { ANSWER_POSITIVE, r->q.qname, false };       /* what who asks for the wildcard itself is told */
    bool wanted = cache_wants(a->cache, a->worker, key) || (star != NULL && cache_wants(a->cache, a->worker, star));
    a->look.trace = (struct trace){ .changes = wanted ? a->look.watch.changes : NULL, .again = key->seen != 0 };
    answer_in(a, r);
    if (star != NULL && a->look.trace.plain)
        key = star;
    else
        said = a->said;
    if (wanted && cache_keep(a->cache, a->worker, &a->look.watch, key, &a->look.trace, r, &said))
        stat_add(&a->look.counts->cache_stores, 1);
    a->look.trace.changes = NULL;
}

/* The question's name as a key, which answer_in takes as well. NULL: it makes none. */
static const struct rrkey *key_of_question(struct answerer *a, const struct reply *r)
{
    if (a->asked == NULL && rrkey_of_name(r->q.qname, &a->spare.owner) == OK)
        a->asked = &a->spare;
    return a->asked != NULL ? &a->asked->owner : NULL;
}

/* The name is not there, in a zone that proves it by NSEC. k: its key. */
static bool answer_gap(struct answerer *a, struct reply *r, const struct rrkey *k, const struct absence *n)
{
    if (!gaps_find(a->gaps, &a->look.watch, k, n->zone, r))
        return false;
    a->said.kind = ANSWER_NXDOMAIN;
    a->said.name = bytes_of(r->q.qname.ptr + n->apex_at, r->q.qname.len - n->apex_at);
    return true;
}

/* A question that the cache has no answer to under its name. */
static void answer_missed(struct answerer *a, struct reply *r, const struct cache_key *key)
{
    struct answer_counters *counts = a->look.counts;
    const struct cache_key *star = NULL;
    struct absence n;
    bool absent = find_absence(&a->look, bytes_of(key->name, key->name_len + 1u), key->hash, &n);
    bool proves = absent && n.ours && r->q.dnssec_ok && n.header->soa.sigs > 0;
    bool gap = proves && !n.starred && !n.header->has_nsec3 && a->gaps != NULL;
    const struct rrkey *k = gap ? key_of_question(a, r) : NULL;
    a->denies = absent && r->q.dnssec_ok ? proves : a->denies;
    if (absent && n.starred && !proves) {
        if (find_plain(a, r, key, &n)) {
            stat_add(&counts->cache_hits, 1);
            return;
        }
        star = &a->star;
    }
    stat_add(&counts->cache_misses, 1);
    if (absent && !n.starred && answer_absent(a, r, &n)) {
        stat_add(&counts->absent, 1);
        return;
    }
    if (k != NULL && answer_gap(a, r, k, &n)) {
        stat_add(&counts->gaps, 1);
        a->denies = false;                      /* no descent so far */
        return;
    }
    a->look.absence = absent && n.starred != proves ? &n : NULL;
    a->look.edges = (struct gap_edges){ 0 };
    answer_anew(a, r, key, star);
    a->look.absence = NULL;
    if (k != NULL && a->look.edges.low.len > 0)
        gaps_keep(a->gaps, &a->look.watch, k, n.zone, a->look.edges, r);
}

/* A question of class IN, from the cache or into it. */
static void answer_cached(struct answerer *a, struct reply *r)
{
    if (a->look.view == NULL) {                 /* no store yet */
        reply_reset(r, RCODE_SERVFAIL);
        reply_explain(r, EDE_NOT_READY);
        return;
    }
    struct prepared *p = prepared_of(a, r);
    a->look.version = view_version(a->look.view);
    a->asked = p != NULL ? p->foretold : NULL;
    a->look.foreseen = a->asked != NULL ? &a->foreseen[a->asked - a->foretold] : NULL;
    if (a->cache != NULL)
        watch_follow(&a->look.watch, a->look.view);
    if (a->cache == NULL || !cache_keeps(a->cache) || query_asks(&r->q, EDNS_OPTION_ZONEVERSION)) {
        answer_in(a, r);                        /* what that option says is not kept */
        return;
    }
    struct cache_key *key = key_of(a, r, p);
    key->dnssec_ok = r->q.dnssec_ok;
    if (cache_find(a->cache, &a->look.watch, key, r, &a->said)) {
        stat_add(&a->look.counts->cache_hits, 1);
        return;
    }
    answer_missed(a, r, key);
}

/* --- the question ----------------------------------------------------------------------------------------------- */
static void refuse(struct reply *r, uint16_t rcode, uint16_t why)
{
    r->rcode = rcode;
    reply_explain(r, why);
}

static void answer_ours(struct answerer *a, struct reply *r)
{
    answer_cached(a, r);
    if (r->rcode == RCODE_REFUSED)
        reply_explain(r, EDE_NOT_AUTHORITATIVE);
}

static void answer_question(struct answerer *a, struct reply *r)
{
    uint16_t type = r->q.qtype;
    if (type == TYPE_OPT || type == TYPE_TSIG || type == TYPE_NXNAME)
        refuse(r, RCODE_FORMERR, EDE_INVALID_QUERY_TYPE);
    else if (r->q.qclass == CLASS_CH)
        chaos_answer(r, a->values.nsid, a->version);
    else if (r->q.qclass != CLASS_IN || type == TYPE_AXFR || type == TYPE_IXFR)
        refuse(r, RCODE_REFUSED, EDE_NOT_SUPPORTED);
    else if (type == TYPE_MAILA || type == TYPE_MAILB || type == TYPE_TKEY)
        refuse(r, RCODE_NOTIMP, EDE_NOT_SUPPORTED);
    else
        answer_ours(a, r);
}

static void answer_verdict(struct answerer *a, struct reply *r, enum query_verdict verdict)
{
    switch (verdict) {
    case QUERY_ANSWER:  answer_question(a, r); break;
    case QUERY_EMPTY:   break;                  /* the cookie is the answer */
    case QUERY_NOTIMP:  r->rcode = RCODE_NOTIMP; break;
    case QUERY_BADVERS: r->rcode = RCODE_BADVERS; break;
    case QUERY_FORMERR:
    case QUERY_DROP:    r->rcode = RCODE_FORMERR; break;
    }
}

/* Keepalive is for clients to ask for, not to say how long (RFC 7828 section 3.2.1). */
static bool keepalive_good(const struct query *q, const struct answer_from *from)
{
    struct bytes timeout;
    return from->proto == ANSWER_UDP || !query_asks(q, EDNS_OPTION_KEEPALIVE)
        || (query_option(q, EDNS_OPTION_KEEPALIVE, &timeout) && timeout.len == 0);
}

/* What query_read found, and what only shows with the transport at hand. */
static enum query_verdict read_query(struct bytes query, const struct answer_from *from, struct query *q)
{
    enum query_verdict verdict = query_read(query, q);
    if ((verdict != QUERY_ANSWER && verdict != QUERY_EMPTY) || keepalive_good(q, from))
        return verdict;
    q->asks = 0;
    return QUERY_FORMERR;
}

static struct bytes question_of(struct bytes query, const struct query *q)
{
    return q->question_len > 0 ? bytes_of(query.ptr + DNS_HEADER_LEN, q->question_len) : (struct bytes){ 0 };
}

/* No keys are held here: a signed question gets told that its key is not known. */
static size_t answer_signed(struct reply *r, struct bytes query)
{
    struct tsig tsig;
    bool good = tsig_read(query, r->q.tsig_at, &tsig) == OK;
    r->rcode = good ? RCODE_NOTAUTH : RCODE_FORMERR;
    return reply_end(r, good ? &tsig : NULL);
}

static void count_reply(struct answer_counters *counts, const struct reply *r)
{
    stat_add(&counts->truncated, r->tc);
    stat_add(&counts->responses[r->rcode < ANSWER_RCODES ? r->rcode : RCODE_SERVFAIL], 1);
}

size_t answer(struct answerer *a, struct bytes query, const struct answer_from *from, uint8_t *out, size_t cap)
{
    struct answer_counters *counts = a->look.counts;
    struct reply r = { .options = wr_over(a->options, sizeof a->options) };
    enum query_verdict verdict = read_query(query, from, &r.q);
    bool known = options_begin(&r, &a->values, from);
    size_t len;
    stat_add(&counts->queries[from->proto], 1);
    a->said = (struct answer_said){ .kind = ANSWER_ERROR };
    if (verdict == QUERY_DROP || !reply_begin(&r, from, question_of(query, &r.q), out, cap)) {
        stat_add(&counts->dropped, 1);
        return 0;
    }
    a->said = (struct answer_said){ ANSWER_POSITIVE, r.q.qname, known };
    if (r.q.has_tsig && (verdict == QUERY_ANSWER || verdict == QUERY_EMPTY)) {
        len = answer_signed(&r, query);
    } else {
        answer_verdict(a, &r, verdict);
        len = reply_end(&r, NULL);
    }
    if (r.rcode != RCODE_NOERROR && r.rcode != RCODE_NXDOMAIN) {
        a->said.kind = ANSWER_ERROR;
        a->said.name = (struct bytes){ 0 };
    }
    count_reply(counts, &r);
    return len;
}

struct answer_said answer_said(const struct answerer *a) { return a->said; }

size_t answer_limited(struct answerer *a, struct bytes query, const struct answer_from *from, uint8_t *out, size_t cap)
{
    struct reply r = { .options = wr_over(a->options, sizeof a->options) };
    if (read_query(query, from, &r.q) != QUERY_ANSWER)          /* an honest client does not need these answers */
        return 0;
    bool known = options_cookie(&r, &a->values, from);
    bool cookie = r.options.len > 0;
    if (!reply_begin(&r, from, question_of(query, &r.q), out, cap))
        return 0;
    if (cookie && !known)
        r.rcode = RCODE_BADCOOKIE;
    else
        r.tc = true;
    stat_add(&a->look.counts->responses[RCODE_BADCOOKIE], r.rcode == RCODE_BADCOOKIE);
    return reply_end(&r, NULL);
}
