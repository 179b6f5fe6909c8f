/* Prerequisites and edits against a draft (RFC 2136 sections 3.2 and 3.4.2): owners are taken into memory when they are first
 * touched, edited there in the message's order, and what differs at the end is set in the draft.
 *
 * Only what is published counts: disabled records are invisible to prerequisites and stay where they are, unless an edit adds
 * that very record, which enables it. */
#include "builder/update.h"

#include "builder/rdata.h"
#include "builder/serial.h"
#include "builder/zonefile.h"

enum { TYPE_WKS = 11 };

struct set {                            /* an RRset at hand */
    uint16_t type, covers;
    uint32_t ttl;
    struct row_rr *rr; size_t n, cap;
    const struct comment *comments; size_t comments_n;
    bool dirty, asked;                  /* asked: its prerequisite holds, all records of it were looked at */
};
struct owner {                          /* all of an owner's */
    struct bytes name;
    struct set *set; size_t n, cap;
    struct owner *next;
};
#define BUCKETS 256
struct plan {
    struct update *u;
    struct draft *d;
    struct arena *a;
    struct bytes apex;
    struct owner *buckets[BUCKETS];
    struct owner *at;                   /* the last one asked for */
};

static enum err no(struct plan *p, uint16_t rcode, struct fault *fault, const struct update_rr *rr, const char *why)
{
    char name[NAME_TEXT_MAX], type[RRTYPE_TEXT_MAX];
    p->u->rcode = rcode;
    return fault_set(fault, ERR_REFUSED, "%s: %s %s: %s", update_rcode_text(rcode), name_text(name, sizeof name, rr->owner),
                     rr->type == TYPE_ANY ? "ANY" : rrtype_text(type, rr->type), why);
}

/* --- owners at hand -------------------------------------------------------------------------------------------------------- */
/* The array with room for one more; NULL: out of memory. */
static void *grow(struct arena *a, void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    size_t more = *cap == 0 ? 4 : 2 * *cap;
    void *v = arena_take(a, more * size);
    if (v == NULL)
        return NULL;
    if (n > 0)
        memcpy(v, array, n * size);
    *cap = more;
    return v;
}

static struct set *new_set(struct plan *p, struct owner *o, uint16_t type, uint16_t covers)
{
    struct set *more = grow(p->a, o->set, o->n, &o->cap, sizeof *o->set);
    if (more == NULL)
        return NULL;
    o->set = more;
    struct set *s = &o->set[o->n++];
    *s = (struct set){ .type = type, .covers = covers };
    return s;
}

static bool set_push(struct plan *p, struct set *s, struct row_rr rr)
{
    struct row_rr *more = grow(p->a, s->rr, s->n, &s->cap, sizeof *s->rr);
    if (more == NULL)
        return false;
    s->rr = more;
    s->rr[s->n++] = rr;
    return true;
}

static enum err fill(struct plan *p, struct owner *o, struct fault *fault)
{
    const struct row *rows = NULL;
    size_t n = 0;
    enum err err = draft_owner(p->d, o->name, &rows, &n, fault);
    if (err == ERR_NOTFOUND)
        return OK;
    for (size_t i = 0; err == OK && i < n; i++) {
        struct set *s = new_set(p, o, rows[i].type, rows[i].covers);
        if (s == NULL)
            return ERR_NOMEM;
        s->ttl = rows[i].ttl;
        s->comments = rows[i].comments;
        s->comments_n = rows[i].comments_n;
        for (size_t k = 0; k < rows[i].n; k++)
            if (!set_push(p, s, rows[i].rr[k]))
                return ERR_NOMEM;
    }
    return err;
}

static enum err owner_of(struct plan *p, struct bytes name, struct owner **out, struct fault *fault)
{
    struct name lower = { .len = (uint8_t)name.len };
    memcpy(lower.wire, name.ptr, name.len);
    name_lower(lower.wire, lower.len);
    struct owner **head = &p->buckets[bytes_fnv(BYTES_FNV_START, name_bytes(&lower)) % BUCKETS], *o = p->at;
    if (o == NULL || !bytes_equal(o->name, name_bytes(&lower)))
        for (o = *head; o != NULL && !bytes_equal(o->name, name_bytes(&lower)); o = o->next)
            ;
    if (o == NULL) {
        if ((o = arena_take(p->a, sizeof *o)) == NULL)
            return ERR_NOMEM;
        *o = (struct owner){ .name = arena_copy(p->a, name_bytes(&lower)) };
        enum err err = o->name.ptr == NULL ? ERR_NOMEM : fill(p, o, fault);
        if (err != OK)
            return err;
        o->next = *head;
        *head = o;
    }
    *out = p->at = o;
    return OK;
}

/* --- what is published ------------------------------------------------------------------------------------------------------ */
static size_t live(const struct set *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += !s->rr[i].disabled;
    return n;
}

static bool has_type(const struct owner *o, uint16_t type)
{
    for (size_t i = 0; i < o->n; i++)
        if ((type == TYPE_ANY || o->set[i].type == type) && live(&o->set[i]) > 0)
            return true;
    return false;
}

static struct set *find_set(struct owner *o, uint16_t type, uint16_t covers)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->set[i].type == type && o->set[i].covers == covers)
            return &o->set[i];
    return NULL;
}

static uint16_t covers_of(const struct update_rr *rr)
{
    struct rd r = rd_over(rr->rdata);
    return rr->type == TYPE_RRSIG ? rd_u16(&r) : 0;
}

/* --- prerequisites ---------------------------------------------------------------------------------------------------------- */
/* Of one record: what its form asks; value-dependent ones are asked for together at the end (section 3.2.3). */
static enum err need(struct plan *p, const struct update_rr *rr, struct fault *fault)
{
    struct owner *o;
    enum err err;
    if (rr->ttl != 0)
        return no(p, RCODE_FORMERR, fault, rr, "a prerequisite's TTL is not 0");
    if (!name_under(rr->owner, p->apex))
        return no(p, RCODE_NOTZONE, fault, rr, "a prerequisite is not in the zone");
    if (rr->class == CLASS_IN)
        return rrtype_is_meta(rr->type) ? no(p, RCODE_FORMERR, fault, rr, "no zone holds such a type") : OK;
    if ((rr->class != CLASS_ANY && rr->class != CLASS_NONE) || rr->rdata.len != 0)
        return no(p, RCODE_FORMERR, fault, rr, "a prerequisite of another class, or one with data that should have none");
    if ((err = owner_of(p, rr->owner, &o, fault)) != OK)
        return err;
    bool there = has_type(o, rr->type);
    if (there == (rr->class == CLASS_ANY))
        return OK;
    if (rr->type == TYPE_ANY)
        return there ? no(p, RCODE_YXDOMAIN, fault, rr, "the name is in use") : no(p, RCODE_NXDOMAIN, fault, rr, "the name is not in use");
    return there ? no(p, RCODE_YXRRSET, fault, rr, "the RRset exists") : no(p, RCODE_NXRRSET, fault, rr, "the RRset does not exist");
}

static bool same_set(const struct update_rr *a, const struct update_rr *b)
{
    return a->class == CLASS_IN && b->class == CLASS_IN && a->type == b->type && covers_of(a) == covers_of(b)
        && name_equal(a->owner, b->owner);
}

/* The published records and those that the message lists, from number i on, are the same set; TTLs do not count. */
static bool equal_sets(const struct update *u, size_t i, const struct set *s)
{
    size_t listed = 0;
    for (size_t k = i; k < u->needs_n; k++) {
        if (!same_set(&u->needs[k], &u->needs[i]))
            continue;
        bool found = false, twice = false;
        for (size_t j = i; j < k && !twice; j++)
            twice = same_set(&u->needs[j], &u->needs[i]) && rdata_same(s->type, u->needs[j].rdata, u->needs[k].rdata);
        for (size_t j = 0; j < s->n && !found; j++)
            found = !s->rr[j].disabled && rdata_same(s->type, s->rr[j].rdata, u->needs[k].rdata);
        if (!found)
            return false;
        listed += !twice;
    }
    return listed == live(s);
}

static enum err needs(struct plan *p, struct fault *fault)
{
    const struct update *u = p->u;
    enum err err = OK;
    for (size_t i = 0; err == OK && i < u->needs_n; i++)
        err = need(p, &u->needs[i], fault);
    for (size_t i = 0; err == OK && i < u->needs_n; i++) {
        const struct update_rr *rr = &u->needs[i];
        struct owner *o;
        if (rr->class != CLASS_IN || (err = owner_of(p, rr->owner, &o, fault)) != OK)
            continue;
        struct set *s = find_set(o, rr->type, covers_of(rr));
        if (s == NULL || (!s->asked && !equal_sets(u, i, s)))
            err = no(p, RCODE_NXRRSET, fault, rr, "the RRset is not the one that the prerequisite lists");
        else
            s->asked = true;
    }
    return err;
}

/* --- adding ------------------------------------------------------------------------------------------------------------------ */
/* CNAME stands alone but for a few types: what would stand beside it is ignored, either way (section 3.4.2.2). */
static bool beside_cname(const struct owner *o, uint16_t type)
{
    if (type != TYPE_CNAME)
        return !rrtype_beside_cname(type) && has_type(o, TYPE_CNAME);
    for (size_t i = 0; i < o->n; i++)
        if (o->set[i].type != TYPE_CNAME && !rrtype_beside_cname(o->set[i].type) && live(&o->set[i]) > 0)
            return true;
    return false;
}

/* A SOA takes the place of one with an earlier serial, and is never the first. */
static bool soa_follows(const struct set *s, struct bytes rdata)
{
    uint32_t old, new;
    for (size_t i = 0; s != NULL && i < s->n; i++)
        if (!s->rr[i].disabled)
            return soa_serial(s->rr[i].rdata, &old) == OK && soa_serial(rdata, &new) == OK && serial_later(new, old);
    return false;
}

/* A new record of these takes the old one's place: CNAME and SOA (section 3.4.2.2), DNAME (RFC 6672 section 5.2), and WKS of the
 * same address and protocol. */
static bool replaces(uint16_t type, struct bytes old, struct bytes new)
{
    if (type == TYPE_WKS)
        return old.len >= 5 && new.len >= 5 && memcmp(old.ptr, new.ptr, 5) == 0;
    return type == TYPE_CNAME || type == TYPE_SOA || type == TYPE_DNAME;
}

static void put_rr(struct set *s, struct row_rr *at, struct bytes rdata)
{
    *at = (struct row_rr){ rdata, false };
    s->dirty = true;
}

/* The RRset has one TTL, that of the newest record (RFC 2181 section 5.2). A record that is there, in whatever case, stays as it
 * is (section 2.5.1). */
static enum err add_to(struct plan *p, struct set *s, const struct update_rr *rr)
{
    if (s->ttl != rr->ttl) {
        s->ttl = rr->ttl;
        s->dirty = true;
    }
    for (size_t i = 0; i < s->n; i++) {
        bool same = rdata_same(s->type, s->rr[i].rdata, rr->rdata);
        if (!same && (s->rr[i].disabled || !replaces(s->type, s->rr[i].rdata, rr->rdata)))
            continue;
        if (!same || s->rr[i].disabled)
            put_rr(s, &s->rr[i], rr->rdata);
        return OK;
    }
    s->dirty = true;
    return set_push(p, s, (struct row_rr){ rr->rdata, false }) ? OK : ERR_NOMEM;
}

static enum err add(struct plan *p, struct owner *o, const struct update_rr *rr)
{
    struct set *s = find_set(o, rr->type, covers_of(rr));
    bool at_apex = name_equal(o->name, p->apex);
    if (beside_cname(o, rr->type) || (rr->type == TYPE_SOA && (!at_apex || !soa_follows(s, rr->rdata)))) {
        p->u->edits_ignored++;
        return OK;
    }
    if (s == NULL && (s = new_set(p, o, rr->type, covers_of(rr))) == NULL)
        return ERR_NOMEM;
    return add_to(p, s, rr);
}

/* --- taking away -------------------------------------------------------------------------------------------------------------- */
static void drop_all(struct set *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->rr[i].disabled)
            s->rr[kept++] = s->rr[i];
    s->dirty = s->dirty || kept != s->n;
    s->n = kept;
}

static void drop_one(struct set *s, struct bytes rdata)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!s->rr[i].disabled && rdata_same(s->type, s->rr[i].rdata, rdata)) {
            memmove(&s->rr[i], &s->rr[i + 1], (s->n - i - 1) * sizeof *s->rr);
            s->n--;
            s->dirty = true;
            return;
        }
    }
}

/* An RRset, or all of the name; the apex keeps SOA and NS (section 3.4.2.3). */
static enum err drop_sets(struct plan *p, struct owner *o, const struct update_rr *rr, struct fault *fault)
{
    const struct update *u = p->u;
    bool at_apex = name_equal(o->name, p->apex);
    for (size_t i = 0; i < o->n; i++) {
        struct set *s = &o->set[i];
        if ((rr->type != TYPE_ANY && rr->type != s->type) || live(s) == 0)
            continue;
        if (at_apex && (s->type == TYPE_SOA || s->type == TYPE_NS)) {
            p->u->edits_ignored++;
            continue;
        }
        if (u->may != NULL && !u->may(u->may_arg, rr->owner, s->type))
            return no(p, RCODE_REFUSED, fault, rr, "the key's rights do not allow all types that are there");
        drop_all(s);
    }
    return OK;
}

/* One record; never the SOA, and of the apex never the last NS (section 3.4.2.4). */
static void drop_record(struct plan *p, struct owner *o, const struct update_rr *rr)
{
    struct set *s = find_set(o, rr->type, covers_of(rr));
    if (s == NULL)
        return;
    if (rr->type == TYPE_SOA || (rr->type == TYPE_NS && name_equal(o->name, p->apex) && live(s) == 1))
        p->u->edits_ignored++;
    else
        drop_one(s, rr->rdata);
}

/* --- the plan ------------------------------------------------------------------------------------------------------------------ */
static enum err edit(struct plan *p, const struct update_rr *rr, struct fault *fault)
{
    struct owner *o;
    enum err err = owner_of(p, rr->owner, &o, fault);
    if (err != OK)
        return err;
    if (rr->class == CLASS_IN)
        return add(p, o, rr);
    if (rr->class == CLASS_ANY)
        return drop_sets(p, o, rr, fault);
    drop_record(p, o, rr);
    return OK;
}

/* Comments go with the last record. */
static enum err flush_set(struct plan *p, const struct owner *o, const struct set *s, struct fault *fault)
{
    struct row row = { .owner = o->name, .type = s->type, .covers = s->covers, .ttl = s->ttl, .rr = s->rr, .n = s->n,
                       .comments = s->comments, .comments_n = s->n > 0 ? s->comments_n : 0 };
    return draft_set(p->d, &row, fault);
}

static enum err flush(struct plan *p, struct fault *fault)
{
    enum err err = OK;
    for (size_t b = 0; b < BUCKETS; b++)
        for (const struct owner *o = p->buckets[b]; o != NULL; o = o->next)
            for (size_t i = 0; err == OK && i < o->n; i++)
                if (o->set[i].dirty)
                    err = flush_set(p, o, &o->set[i], fault);
    return err;
}

MUST_USE enum err update_plan(void *arg, struct draft *d, struct fault *fault)
{
    struct update *u = arg;
    struct plan p = { .u = u, .d = d, .a = draft_arena(d), .apex = draft_apex(d) };
    u->rcode = RCODE_NOERROR;
    u->edits_ignored = 0;
    enum err err = needs(&p, fault);
    for (size_t i = 0; err == OK && i < u->edits_n; i++)
        err = edit(&p, &u->edits[i], fault);
    return err == OK ? flush(&p, fault) : err;
}
