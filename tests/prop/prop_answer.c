/* answer() against a naive model: random zones, some hosted inside others, and random questions around them. The model
 * scans the records of the zones one by one, as RFC 1034 section 4.3.2, RFC 4592 and RFC 6672 say, and knows nothing of keys,
 * neighbours or blobs. Answers are taken apart by ldns.
 *
 * What a parent zone holds at or below the apex of a zone hosted on the same server is not served; it makes names exist in the
 * parent, and DS at a child's apex is the parent's to answer. */
#include <ldns/ldns.h>
#include "tests/answer_bed.h"

#define ROUNDS 300
#define QUESTIONS 200
#define RRS_MAX 64
#define ZONES_MAX 6
#define SET_MAX 256

struct mrr { struct name owner; uint16_t type; uint8_t rdata[300]; size_t len; };
struct mzone { struct name apex; unsigned depth; struct mrr rr[RRS_MAX]; size_t n; };
struct world { struct mzone zone[ZONES_MAX]; size_t n; };
struct set { struct mrr rr[SET_MAX]; size_t n; };
struct reply {
    unsigned rcode;
    bool aa, referral;
    bool any;                               /* the last answer is any one of the RRsets in `choice` */
    struct set answer, authority, choice, glue;     /* glue: must be in the additional section */
    const struct mzone *zone;               /* the one that spoke last */
};

/* --- names ------------------------------------------------------------------------------------------------------ */
static struct bytes nb(const struct name *n) { return name_bytes(n); }
static bool same(const struct name *a, const struct name *b) { return name_equal(nb(a), nb(b)); }
static bool under(const struct name *a, const struct name *b) { return name_under(nb(a), nb(b)); }
static bool strictly_under(const struct name *a, const struct name *b) { return under(a, b) && !same(a, b); }
static unsigned labels(const struct name *n) { return name_labels(nb(n)); }
static struct name ancestor(const struct name *n, unsigned depth)
{
    struct bytes b = nb(n);
    while (name_labels(b) > depth)
        b = name_parent(b);
    struct name out = { .len = (uint8_t)b.len };
    memcpy(out.wire, b.ptr, b.len);
    return out;
}
static bool joined(const char *prefix, size_t len, const struct name *to, struct name *out)
{
    return name_join(bytes_of(prefix, len), nb(to), out) == OK;
}

/* --- the world -------------------------------------------------------------------------------------------------- */
static const struct { const char *wire; size_t len; } alphabet[] = {
    { "\1a", 2 }, { "\1b", 2 }, { "\1c", 2 }, { "\1*", 2 }, { "\1\0", 2 }, { "\2a\1", 3 }, { "\2ab", 3 }, { "\1\1", 2 },
};

static struct name random_under(struct rnd *r, const struct name *top, unsigned most)
{
    struct name n = *top;
    for (unsigned left = rnd_below(r, most + 1); left > 0; left--) {
        size_t i = rnd_below(r, rnd_below(r, 3) == 0 ? ROWS(alphabet) : 4);
        struct name longer;
        if (joined(alphabet[i].wire, alphabet[i].len, &n, &longer))
            n = longer;
    }
    return n;
}

static struct name random_target(struct rnd *r, const struct world *w)
{
    static const struct name root = { 1, { 0 } };
    return random_under(r, rnd_below(r, 4) == 0 ? &root : &w->zone[rnd_below(r, (uint32_t)w->n)].apex, 3);
}

static const struct mrr *find_type(const struct mzone *z, const struct name *owner, uint16_t type)
{
    for (size_t i = 0; i < z->n; i++)
        if (z->rr[i].type == type && same(&z->rr[i].owner, owner))
            return &z->rr[i];
    return NULL;
}

static const struct mrr *find_any(const struct mzone *z, const struct name *owner)
{
    for (size_t i = 0; i < z->n; i++)
        if (same(&z->rr[i].owner, owner))
            return &z->rr[i];
    return NULL;
}

static void add(struct mzone *z, const struct name *owner, uint16_t type, const void *rdata, size_t len)
{
    if (z->n == RRS_MAX)
        return;
    for (size_t i = 0; i < z->n; i++)
        if (z->rr[i].type == type && same(&z->rr[i].owner, owner) && z->rr[i].len == len
            && memcmp(z->rr[i].rdata, rdata, len) == 0)
            return;
    struct mrr *rr = &z->rr[z->n++];
    rr->owner = *owner;
    rr->type = type;
    rr->len = len;
    memcpy(rr->rdata, rdata, len);
}

static void add_soa(struct mzone *z)
{
    uint8_t buf[300];
    struct wr w = wr_over(buf, sizeof buf);
    wr_put(&w, "\2ns", 3);
    wr_u8(&w, 0);
    wr_bytes(&w, nb(&z->apex));
    for (uint32_t i = 1; i <= 5; i++)
        wr_u32(&w, i);
    add(z, &z->apex, TYPE_SOA, buf, w.len);
}

/* Types that may stand together at one owner: a CNAME alone, cuts and DNAMEs not at wildcards, no DS at an apex. */
static bool fits(const struct mzone *z, const struct name *owner, uint16_t type)
{
    bool apex = same(owner, &z->apex), wild = name_is_wildcard(nb(owner));
    if (find_type(z, owner, TYPE_CNAME) != NULL || (type == TYPE_CNAME && (apex || find_any(z, owner) != NULL)))
        return false;
    if ((type == TYPE_NS || type == TYPE_DNAME) && wild)
        return false;
    if (type == TYPE_DNAME
        && (find_type(z, owner, TYPE_DNAME) != NULL || (!apex && find_type(z, owner, TYPE_NS) != NULL)))
        return false;
    if (type == TYPE_NS && !apex && find_type(z, owner, TYPE_DNAME) != NULL)
        return false;
    return !(type == TYPE_DS && apex);
}

static void add_random(struct rnd *r, const struct world *w, struct mzone *z)
{
    static const uint16_t types[] = { TYPE_A,  TYPE_A,     TYPE_AAAA,  TYPE_TXT,   TYPE_MX, TYPE_NS,
                                      TYPE_NS, TYPE_CNAME, TYPE_CNAME, TYPE_DNAME, TYPE_DS, 65280 };
    uint16_t type = types[rnd_below(r, ROWS(types))];
    struct name owner = random_under(r, &z->apex, 4), target = random_target(r, w);
    uint8_t buf[300];
    struct wr out = wr_over(buf, sizeof buf);
    if (type == TYPE_NS && find_type(z, &owner, TYPE_NS) == NULL && rnd_below(r, 2) == 0)
        target = random_under(r, &owner, 2);        /* glue that matters */
    if (type == TYPE_DNAME && rnd_below(r, 2) == 0)
        type = TYPE_TXT;
    if (!fits(z, &owner, type))
        return;
    switch (type) {
    case TYPE_A: wr_u32(&out, 0xc0000200 | rnd_below(r, 256)); break;
    case TYPE_AAAA: wr_u64(&out, 0x20010db800000000); wr_u64(&out, rnd_below(r, 256)); break;
    case TYPE_TXT: wr_u8(&out, 1); wr_u8(&out, (uint8_t)('a' + rnd_below(r, 3))); break;
    case TYPE_MX: wr_u16(&out, 10); wr_bytes(&out, nb(&target)); break;
    case TYPE_DS:
        wr_u32(&out, 0x12340d02);
        wr_u64(&out, rnd_u64(r));
        wr_u64(&out, 1);
        wr_u64(&out, 2);
        wr_u64(&out, 3);
        break;
    case 65280: wr_u8(&out, 7); break;
    default: wr_bytes(&out, nb(&target)); break;
    }
    add(z, &owner, type, buf, out.len);
    if (type == TYPE_NS && rnd_below(r, 3) > 0 && under(&target, &z->apex) && fits(z, &target, TYPE_A)) {
        out = wr_over(buf, sizeof buf);
        wr_u32(&out, 0xc6336400 | rnd_below(r, 256));
        add(z, &target, TYPE_A, buf, out.len);
    }
}

static void make_world(struct rnd *r, struct world *w)
{
    static const char *const apexes[] = { ".", "a.", "b.a.", "a.b.a.", "c.b.a.", "c.", "b.c.", "a.a.a.", "a.a.b.a." };
    w->n = 0;
    while (w->n == 0 || (w->n < ZONES_MAX && rnd_below(r, 4) > 0)) {
        struct mzone *z = &w->zone[w->n];
        bool twice = false;
        bed_name(apexes[rnd_below(r, ROWS(apexes))], &z->apex);
        for (size_t i = 0; i < w->n; i++)
            twice |= same(&z->apex, &w->zone[i].apex);
        if (!twice)
            w->n++;
    }
    for (size_t i = 0; i < w->n; i++) {
        struct mzone *z = &w->zone[i];
        struct name ns = random_target(r, w);
        z->n = 0;
        z->depth = labels(&z->apex);
        add_soa(z);
        add(z, &z->apex, TYPE_NS, ns.wire, ns.len);
        for (unsigned left = rnd_below(r, 40); left > 0; left--)
            add_random(r, w, z);
    }
}

/* --- the model -------------------------------------------------------------------------------------------------- */
static void set_add(struct set *s, const struct mrr *rr, const struct name *owner)
{
    if (s->n == SET_MAX)
        abort();
    s->rr[s->n] = *rr;
    s->rr[s->n++].owner = *owner;
}

static void set_add_type(struct set *s, const struct mzone *z, const struct name *at, uint16_t type,
                         const struct name *owner)
{
    for (size_t i = 0; i < z->n; i++)
        if (z->rr[i].type == type && same(&z->rr[i].owner, at))
            set_add(s, &z->rr[i], owner);
}

static const struct mzone *zone_of(const struct world *w, const struct name *n)
{
    const struct mzone *best = NULL;
    for (size_t i = 0; i < w->n; i++)
        if (under(n, &w->zone[i].apex) && (best == NULL || w->zone[i].depth > best->depth))
            best = &w->zone[i];
    return best;
}

/* The topmost zone hosted below z that contains n. */
static const struct mzone *child_of(const struct world *w, const struct mzone *z, const struct name *n)
{
    const struct mzone *top = NULL;
    for (size_t i = 0; i < w->n; i++)
        if (strictly_under(&w->zone[i].apex, &z->apex) && under(n, &w->zone[i].apex)
            && (top == NULL || w->zone[i].depth < top->depth))
            top = &w->zone[i];
    return top;
}

static bool visible(const struct mzone *z, const struct mrr *rr)
{
    for (unsigned d = z->depth; d < labels(&rr->owner); d++) {
        struct name above = ancestor(&rr->owner, d);
        if (find_type(z, &above, TYPE_DNAME) != NULL || (d > z->depth && find_type(z, &above, TYPE_NS) != NULL))
            return false;
    }
    return true;
}

static bool exists(const struct mzone *z, const struct name *n)
{
    for (size_t i = 0; i < z->n; i++)
        if (under(&z->rr[i].owner, n) && visible(z, &z->rr[i]))
            return true;
    return false;
}

static void say_soa(struct reply *r, const struct mzone *z)
{
    r->authority.n = 0;
    set_add_type(&r->authority, z, &z->apex, TYPE_SOA, &z->apex);
}

static void say_referral(const struct world *w, struct reply *r, const struct mzone *z, const struct name *cut,
                         bool first)
{
    r->aa = r->aa && !first;
    r->referral = true;
    set_add_type(&r->authority, z, cut, TYPE_NS, cut);
    for (size_t i = 0; i < r->authority.n; i++) {
        struct name target = { .len = (uint8_t)r->authority.rr[i].len };
        memcpy(target.wire, r->authority.rr[i].rdata, target.len);
        if (under(&target, cut) && child_of(w, z, &target) == NULL) {
            set_add_type(&r->glue, z, &target, TYPE_A, &target);
            set_add_type(&r->glue, z, &target, TYPE_AAAA, &target);
        }
    }
}

/* What stands at `at` answers for `n`. true: an alias, *next is its target. */
static bool say_data(struct reply *r, const struct mzone *z, const struct name *at, const struct name *n,
                     uint16_t qtype, struct name *next)
{
    const struct mrr *alias = find_type(z, at, TYPE_CNAME);
    if (qtype == TYPE_ANY) {
        r->any = true;
        for (size_t i = 0; i < z->n; i++)
            if (same(&z->rr[i].owner, at))
                set_add(&r->choice, &z->rr[i], n);
        return false;
    }
    if (alias != NULL && qtype != TYPE_CNAME) {
        set_add(&r->answer, alias, n);
        next->len = (uint8_t)alias->len;
        memcpy(next->wire, alias->rdata, alias->len);
        return true;
    }
    if (find_type(z, at, qtype) == NULL)
        say_soa(r, z);
    for (size_t i = 0; i < r->answer.n; i++)
        if (qtype == TYPE_DNAME && r->answer.rr[i].type == TYPE_DNAME && same(&r->answer.rr[i].owner, at))
            return false;                       /* an alias led to the owner of a DNAME that was applied before */
    set_add_type(&r->answer, z, at, qtype, n);
    return false;
}

static bool say_dname(struct reply *r, const struct mzone *z, const struct name *d, const struct name *n,
                      struct name *next)
{
    const struct mrr *rr = find_type(z, d, TYPE_DNAME);
    struct mrr cname = { .type = TYPE_CNAME };
    bool seen = false;
    for (size_t i = 0; i < r->answer.n; i++)
        seen |= r->answer.rr[i].type == TYPE_DNAME && same(&r->answer.rr[i].owner, d);
    if (!seen)
        set_add(&r->answer, rr, d);
    if (name_join(bytes_of(n->wire, (size_t)n->len - d->len), bytes_of(rr->rdata, rr->len), next) != OK) {
        r->rcode = RCODE_YXDOMAIN;
        return false;
    }
    cname.len = next->len;
    memcpy(cname.rdata, next->wire, next->len);
    set_add(&r->answer, &cname, n);
    struct name target = { .len = (uint8_t)rr->len };
    memcpy(target.wire, rr->rdata, rr->len);
    return !under(&target, d);                  /* else the name would grow for ever */
}

/* The zone above that answers a DS question at the apex of z; NULL: none is ours. */
static const struct mzone *ds_zone(const struct world *w, const struct mzone *z, const struct name *n)
{
    if (z->depth == 0 || !same(n, &z->apex))
        return NULL;
    struct name above = ancestor(n, z->depth - 1);
    return zone_of(w, &above);
}

static bool model_link(const struct world *w, struct reply *r, const struct name *n, uint16_t qtype, bool first,
                       struct name *next)
{
    const struct mzone *z = zone_of(w, n), *p = NULL;
    if (z == NULL) {
        if (first) {
            r->rcode = RCODE_REFUSED;
            r->aa = false;
        }
        return false;
    }
    if (qtype == TYPE_DS && (p = ds_zone(w, z, n)) != NULL)
        z = p;
    r->zone = z;
    for (unsigned d = z->depth; d <= labels(n); d++) {
        struct name at = ancestor(n, d);
        if (d > z->depth && find_type(z, &at, TYPE_NS) != NULL && !(qtype == TYPE_DS && d == labels(n))) {
            say_referral(w, r, z, &at, first);
            return false;
        }
        if (d < labels(n) && find_type(z, &at, TYPE_DNAME) != NULL)
            return say_dname(r, z, &at, n, next) && qtype != TYPE_CNAME;
    }
    if (find_any(z, n) != NULL && (p == NULL || find_type(z, n, TYPE_NS) != NULL || find_type(z, n, TYPE_DS) != NULL))
        return say_data(r, z, n, n, qtype, next);
    say_soa(r, z);
    if (exists(z, n))
        return false;
    unsigned d = labels(n);
    struct name encloser, wild;
    do
        encloser = ancestor(n, --d);
    while (!exists(z, &encloser));
    if (!joined("\1*", 2, &encloser, &wild) || !exists(z, &wild)) {
        r->rcode = RCODE_NXDOMAIN;
        return false;
    }
    if (find_any(z, &wild) == NULL || child_of(w, z, &wild) != NULL)
        return false;
    r->authority.n = 0;
    return say_data(r, z, &wild, n, qtype, next);
}

static void model(const struct world *w, const struct name *qname, uint16_t qtype, struct reply *r)
{
    struct name chain[ANSWER_LINKS_MAX + 1], next;
    memset(r, 0, sizeof *r);
    r->aa = true;
    chain[0] = *qname;
    for (unsigned links = 0;; links++) {
        if (!model_link(w, r, &chain[links], qtype, links == 0, &next) || links == ANSWER_LINKS_MAX)
            return;
        for (unsigned i = 0; i <= links; i++)
            if (same(&next, &chain[i]))
                return;
        chain[links + 1] = next;
    }
}

/* --- comparison ------------------------------------------------------------------------------------------------- */
static void set_of(struct set *s, const ldns_rr_list *list)
{
    s->n = 0;
    for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
        ldns_rr *rr = ldns_rr_list_rr(list, i);
        struct mrr *to = &s->rr[s->n++];
        ldns_buffer *b = ldns_buffer_new(600);
        to->owner.len = (uint8_t)ldns_rdf_size(ldns_rr_owner(rr));
        memcpy(to->owner.wire, ldns_rdf_data(ldns_rr_owner(rr)), to->owner.len);
        to->type = (uint16_t)ldns_rr_get_type(rr);
        for (size_t k = 0; k < ldns_rr_rd_count(rr); k++)
            (void)ldns_rdf2buffer_wire_canonical(b, ldns_rr_rdf(rr, k));
        to->len = ldns_buffer_position(b);
        memcpy(to->rdata, ldns_buffer_begin(b), to->len < sizeof to->rdata ? to->len : sizeof to->rdata);
        ldns_buffer_free(b);
    }
}

static bool holds(const struct set *s, const struct mrr *rr)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->rr[i].type == rr->type && same(&s->rr[i].owner, &rr->owner) && s->rr[i].len == rr->len
            && memcmp(s->rr[i].rdata, rr->rdata, rr->len) == 0)
            return true;
    return false;
}

static bool covers(const struct set *big, const struct set *small)
{
    for (size_t i = 0; i < small->n; i++)
        if (!holds(big, &small->rr[i]))
            return false;
    return true;
}

/* The same records, none twice. */
static bool equal(const struct set *a, const struct set *b) { return a->n == b->n && covers(a, b) && covers(b, a); }

/* The answer section: what the aliases gave, and for ANY one whole RRset of the owner behind it. */
static bool answer_fits(const struct reply *want, const struct set *got)
{
    struct set all = want->answer;
    if (!want->any)
        return equal(&all, got);
    if (got->n <= all.n)
        return false;
    for (size_t i = 0; i < want->choice.n; i++)
        if (want->choice.rr[i].type == got->rr[got->n - 1].type)
            set_add(&all, &want->choice.rr[i], &want->choice.rr[i].owner);
    return equal(&all, got);
}

static bool zone_has(const struct mzone *z, const struct name *at, const struct mrr *rr)
{
    for (size_t i = 0; i < z->n; i++)
        if (z->rr[i].type == rr->type && same(&z->rr[i].owner, at) && z->rr[i].len == rr->len
            && memcmp(z->rr[i].rdata, rr->rdata, rr->len) == 0)
            return true;
    return false;
}

/* An address that the zone has for the name, itself or by a wildcard. */
static bool known_address(const struct mzone *z, const struct mrr *rr)
{
    struct name encloser = rr->owner, wild;
    if (z == NULL || zone_has(z, &rr->owner, rr))
        return z != NULL;
    if (!under(&rr->owner, &z->apex) || exists(z, &rr->owner))
        return false;
    while (!exists(z, &encloser))
        encloser = ancestor(&encloser, labels(&encloser) - 1);
    return joined("\1*", 2, &encloser, &wild) && zone_has(z, &wild, rr);
}

/* Addresses of the zone for names in the NS and MX records said, nothing else, none twice. */
static bool additional_fits(const struct reply *want, const struct set *got, const struct set *answer,
                            const struct set *authority)
{
    for (size_t i = 0; i < got->n; i++) {
        const struct mrr *rr = &got->rr[i];
        bool named = false, known = known_address(want->zone, rr);
        for (size_t k = 0; k < answer->n + authority->n; k++) {
            const struct mrr *by = k < answer->n ? &answer->rr[k] : &authority->rr[k - answer->n];
            size_t skip = by->type == TYPE_MX ? 2 : 0;
            named |= (by->type == TYPE_NS || by->type == TYPE_MX)
                  && name_equal(bytes_of(by->rdata + skip, by->len - skip), nb(&rr->owner));
        }
        for (size_t k = 0; k < i; k++)
            known &= !(got->rr[k].type == rr->type && same(&got->rr[k].owner, &rr->owner)
                       && memcmp(got->rr[k].rdata, rr->rdata, rr->len) == 0);
        if (!named || !known)
            return false;
    }
    return covers(got, &want->glue);
}

static const char *compare(const struct reply *want, struct bytes reply)
{
    static struct set answer, authority, additional;
    ldns_pkt *pkt = NULL;
    if (ldns_wire2pkt(&pkt, reply.ptr, reply.len) != LDNS_STATUS_OK)
        return "message";
    set_of(&answer, ldns_pkt_answer(pkt));
    set_of(&authority, ldns_pkt_authority(pkt));
    set_of(&additional, ldns_pkt_additional(pkt));
    const char *wrong = ldns_pkt_get_rcode(pkt) != want->rcode ? "rcode"
                      : ldns_pkt_aa(pkt) != want->aa ? "aa"
                      : ldns_pkt_tc(pkt) ? "tc"
                      : !answer_fits(want, &answer) ? "answer"
                      : !equal(&want->authority, &authority) ? "authority"
                      : !additional_fits(want, &additional, &answer, &authority) ? "additional" : NULL;
    ldns_pkt_free(pkt);
    return wrong;
}

/* --- telling a failure ------------------------------------------------------------------------------------------ */
static void print_set(const char *title, const struct set *s)
{
    char text[NAME_TEXT_MAX];
    for (size_t i = 0; i < s->n; i++)
        fprintf(stderr, "    %s %s TYPE%u (%zu bytes)\n", title, name_text(text, sizeof text, nb(&s->rr[i].owner)),
                s->rr[i].type, s->rr[i].len);
}

static void print_world(const struct world *w)
{
    char text[NAME_TEXT_MAX], line[2048];
    for (size_t i = 0; i < w->n; i++) {
        fprintf(stderr, "zone %s\n", name_text(text, sizeof text, nb(&w->zone[i].apex)));
        for (size_t k = 0; k < w->zone[i].n; k++) {
            const struct mrr *rr = &w->zone[i].rr[k];
            struct zone_rr out = { nb(&rr->owner), bytes_of(rr->rdata, rr->len), 300, rr->type, 0 };
            if (rr_to_text(&out, line, sizeof line, NULL) == OK)
                fprintf(stderr, "    %s\n", line);
        }
    }
}

static void failed(const struct world *w, uint64_t seed, const struct name *qname, uint16_t qtype, const char *wrong,
                   const struct reply *want, struct bytes reply)
{
    char text[NAME_TEXT_MAX];
    ldns_pkt *pkt = NULL;
    print_world(w);
    fprintf(stderr, "%s TYPE%u: %s differs (AZOTH_SEED=%llu)\nwant rcode %u aa %d\n",
            name_text(text, sizeof text, nb(qname)), qtype, wrong, (unsigned long long)seed, want->rcode, want->aa);
    print_set("answer", &want->answer);
    print_set("one of", &want->choice);
    print_set("authority", &want->authority);
    print_set("glue", &want->glue);
    fprintf(stderr, "got\n");
    if (ldns_wire2pkt(&pkt, reply.ptr, reply.len) == LDNS_STATUS_OK)
        ldns_pkt_print(stderr, pkt);
    ldns_pkt_free(pkt);
    fail_msg("%s differs", wrong);
}

/* --- the property ----------------------------------------------------------------------------------------------- */
static struct name random_question(struct rnd *r, const struct world *w)
{
    const struct mzone *z = &w->zone[rnd_below(r, (uint32_t)w->n)];
    struct name n = random_target(r, w);
    switch (rnd_below(r, 4)) {
    case 0: n = z->rr[rnd_below(r, (uint32_t)z->n)].owner; break;
    case 1: n = random_under(r, &z->rr[rnd_below(r, (uint32_t)z->n)].owner, 2); break;
    case 2: n = random_under(r, &z->apex, 5); break;
    }
    for (size_t i = 0; i < n.len && rnd_below(r, 4) == 0; i++)      /* any case; label lengths are below 'A' */
        if (n.wire[i] >= 'a' && n.wire[i] <= 'z')
            n.wire[i] = (uint8_t)(n.wire[i] - 32);
    return n;
}

static void load_world(struct rnd *r, struct bed *b, const struct world *w)
{
    size_t start = rnd_below(r, (uint32_t)w->n); /* parents before children and the other way round */
    for (size_t i = 0; i < w->n; i++) {
        const struct mzone *m = &w->zone[(start + i) % w->n];
        struct zone z;
        zone_init(&z, nb(&m->apex), "model");
        for (size_t k = 0; k < m->n; k++)
            BED(zone_add(&z, nb(&m->rr[k].owner), m->rr[k].type, 300, bytes_of(m->rr[k].rdata, m->rr[k].len), 0));
        BED(bed_zone(b, &z));
        zone_release(&z);
    }
}

static void one_round(uint64_t seed, unsigned questions)
{
    static const uint16_t types[] = { TYPE_A,  TYPE_A,   TYPE_AAAA, TYPE_CNAME, TYPE_TXT, TYPE_NS,
                                      TYPE_MX, TYPE_SOA, TYPE_DS,   TYPE_ANY,   65280,    TYPE_DNAME,
                                      0xc0,    0xc1,     0xc3,      0,          129 };
    static struct world w;
    static struct reply want;
    struct rnd r = rnd_seed(seed);
    struct bed bed, *b = &bed;
    bed_open(b, NULL, NULL);
    make_world(&r, &w);
    load_world(&r, b, &w);
    for (unsigned i = 0; i < questions; i++) {
        struct name qname = random_question(&r, &w), lower = qname;
        uint16_t qtype = types[rnd_below(&r, ROWS(types))];
        struct ask q = { .qname = nb(&qname), .qtype = qtype, .qclass = CLASS_IN, .tcp = true };
        name_lower(lower.wire, lower.len);
        model(&w, &lower, qtype, &want);
        struct bytes reply = bed_ask(b, &q);
        const char *wrong = compare(&want, reply);
        if (wrong == NULL && memcmp(reply.ptr + DNS_HEADER_LEN, qname.wire, qname.len) != 0)
            wrong = "echoed question";
        if (wrong != NULL)
            failed(&w, seed, &qname, qtype, wrong, &want, reply);
        bytes_free(reply);
    }
    assert_int_equal(stat_get(&b->counts.steps[STEP_EXACT]), questions);
    assert_int_equal(stat_get(&b->counts.descents[STEP_EXACT]), questions);
    assert_int_equal(stat_get(&b->counts.broken), 0);
    bed_close(b);
}

static void answers_as_the_model(void **state)
{
    (void)state;
    const char *one = getenv("AZOTH_SEED"), *rounds = getenv("AZOTH_ROUNDS");
    unsigned n = one != NULL ? 1 : rounds != NULL ? (unsigned)strtoul(rounds, NULL, 10) : ROUNDS;
    for (unsigned i = 0; i < n; i++)
        one_round(seed_from_env(1000 + i), QUESTIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(answers_as_the_model) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
