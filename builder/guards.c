/* What a set of records must be to be published as a zone. */
#include "builder/build.h"
#include "builder/rdata.h"

#include <stdio.h>
#include <time.h>

#define TYPE_KEY 25
#define TYPE_NXT 30

static const char *text_of(char *out, const struct owner *o) { return name_text(out, NAME_TEXT_MAX, o->name); }

/* The first record of a type at an owner; NULL: none. */
static const struct zone_rr *first_of(const struct zone *z, const struct owner *o, uint16_t type)
{
    for (size_t i = o->first; i < o->first + o->n; i++)
        if (z->rr[i].type == type)
            return &z->rr[i];
    return NULL;
}

/* A record of this type that is not the same as the first one; NULL: all are. */
static const struct zone_rr *second_of(const struct zone *z, const struct owner *o, uint16_t type)
{
    const struct zone_rr *first = first_of(z, o, type);
    for (size_t i = o->first; i < o->first + o->n && first != NULL; i++)
        if (z->rr[i].type == type && !rdata_same(type, z->rr[i].rdata, first->rdata))
            return &z->rr[i];
    return NULL;
}

static void check_apex(const struct zone *z, const struct owner *o, struct complaints *c)
{
    const struct zone_rr *rr;
    if (o == NULL || (o->has & HAS_SOA) == 0) {
        complain_error(c, 0, "the zone has no SOA at its apex");
        if (o == NULL)
            return;
    }
    if ((rr = second_of(z, o, TYPE_SOA)) != NULL)
        complain_error(c, rr->line, "the zone has more than one SOA");
    if ((o->has & HAS_NS) == 0)
        complain_error(c, 0, "the zone has no NS at its apex");
    if ((o->has & HAS_DS) != 0)
        complain_error(c, first_of(z, o, TYPE_DS)->line, "DS at the apex: it belongs into the parent zone");
}

static const struct zone_rr *beside_cname(const struct zone *z, const struct owner *o)
{
    for (size_t i = o->first; i < o->first + o->n; i++) {
        uint16_t type = z->rr[i].type;
        if (type != TYPE_CNAME && type != TYPE_RRSIG && type != TYPE_NSEC && type != TYPE_KEY && type != TYPE_NXT)
            return &z->rr[i];
    }
    return NULL;
}

static void check_owner(const struct zone *z, const struct owner *o, struct complaints *c)
{
    char text[NAME_TEXT_MAX];
    const struct zone_rr *rr;
    if ((o->has & HAS_CNAME) != 0 && (rr = beside_cname(z, o)) != NULL)
        complain_error(c, rr->line, "CNAME beside other data at %s", text_of(text, o));
    if ((o->has & HAS_CNAME) != 0 && (rr = second_of(z, o, TYPE_CNAME)) != NULL)
        complain_error(c, rr->line, "more than one CNAME at %s", text_of(text, o));
    if ((o->has & HAS_DNAME) != 0 && (rr = second_of(z, o, TYPE_DNAME)) != NULL)
        complain_error(c, rr->line, "more than one DNAME at %s", text_of(text, o));
}

void guards_check(const struct zone *z, const struct owners *o, struct complaints *c)
{
    const struct owner *apex = o->n > 0 && o->v[0].name.len == z->apex.len ? &o->v[0] : NULL;
    char text[NAME_TEXT_MAX];
    check_apex(z, apex, c);
    for (size_t i = 0; i < o->n; i++) {
        if ((o->v[i].has & (HAS_CNAME | HAS_DNAME)) != 0)
            check_owner(z, &o->v[i], c);
        if ((o->v[i].has & HAS_SOA) != 0 && &o->v[i] != apex)
            complain_error(c, first_of(z, &o->v[i], TYPE_SOA)->line, "SOA at %s, which is not the apex",
                           text_of(text, &o->v[i]));
    }
}

/* --- signatures ----------------------------------------------------------------------------------------------- */
/* The apex's SOA is signed, and all of that is over. *expired: the last of it (RFC 4034 section 3.1.5). */
static bool soa_has_expired(const struct zone *z, const struct owner *apex, uint32_t now, uint32_t *expired)
{
    bool any = false;
    for (size_t i = apex->first; i < apex->first + apex->n; i++) {
        struct rd r = rd_over(z->rr[i].rdata);
        if (z->rr[i].type != TYPE_RRSIG || rd_u16(&r) != TYPE_SOA)
            continue;
        (void)rd_take(&r, 6);                                   /* algorithm, labels, TTL */
        uint32_t until = rd_u32(&r);
        if (until - now < UINT32_MAX / 2)
            return false;
        *expired = any && *expired - until < UINT32_MAX / 2 ? *expired : until;
        any = true;
    }
    return any;
}

/* The time nearest to `now` that those 32 bits can mean. */
static const char *time_text(char *out, size_t cap, uint32_t stamp, uint64_t now_s)
{
    time_t at = (time_t)(now_s - (uint32_t)((uint32_t)now_s - stamp));
    struct tm tm;
    if (gmtime_r(&at, &tm) == NULL || strftime(out, cap, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        out[0] = '\0';
    return out;
}

/* NSEC of owner i leads to the name of owner j. */
static bool leads_to(const struct zone *z, const struct owner *o, const struct owner *to)
{
    struct bytes rdata = first_of(z, o, TYPE_NSEC)->rdata;
    return rdata.len >= to->name.len && name_equal(bytes_of(rdata.ptr, to->name.len), to->name);
}

/* The first that is wrong is told. */
static void check_chain(const struct zone *z, const struct owners *o, struct complaints *c)
{
    char text[NAME_TEXT_MAX];
    const struct owner *last = &o->v[0];
    for (size_t i = 1; i <= o->n; i++) {
        const struct owner *next = &o->v[i % o->n];             /* behind the last one the apex again */
        if ((next->has & HAS_NSEC) == 0)
            continue;
        if (!leads_to(z, last, next)) {
            complain_warning(c, first_of(z, last, TYPE_NSEC)->line, "the NSEC at %s does not lead to the next one: validators will "
                             "not believe that a name is not there", text_of(text, last));
            return;
        }
        last = next;
    }
}

void guards_signatures(const struct zone *z, const struct owners *o, uint64_t now_s, struct complaints *c)
{
    char text[64];
    uint32_t expired = 0;
    if (o->n == 0 || o->v[0].name.len != z->apex.len)
        return;
    if (soa_has_expired(z, &o->v[0], (uint32_t)now_s, &expired))
        complain_warning(c, 0, "the signatures of the zone's SOA have expired: the last one on %s",
                         time_text(text, sizeof text, expired, now_s));
    if ((o->v[0].has & HAS_NSEC) != 0)
        check_chain(z, o, c);
}
