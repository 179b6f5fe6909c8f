/* The message itself: sections, and what can be said of them without the zone. */
#include "builder/update.h"

#include "builder/rdata.h"
#include "builder/zonefile.h"
#include "wire/query.h"

#include <stdio.h>

#define TTL_MAX 0x7fffffffu         /* larger ones are 0 (RFC 2181 section 8) */

/* --- sections ---------------------------------------------------------------------------------------------------------- */
struct reading { struct rd r; struct bytes msg; struct arena *a; struct bytes last_owner; bool no_memory; };

/* Records of one owner follow each other as a rule, by pointers: kept once. */
static bool read_owner(struct reading *g, struct bytes *out)
{
    struct name n;
    if (name_unpack(&g->r, g->msg, &n) != OK)
        return false;
    if (!bytes_equal(name_bytes(&n), g->last_owner)) {
        g->last_owner = arena_copy(g->a, name_bytes(&n));
        if (g->last_owner.ptr == NULL) {
            g->no_memory = true;
            return false;
        }
    }
    *out = g->last_owner;
    return true;
}

static bool read_rr(struct reading *g, struct update_rr *out)
{
    if (!read_owner(g, &out->owner))
        return false;
    out->type = rd_u16(&g->r);
    out->class = rd_u16(&g->r);
    out->ttl = rd_u32(&g->r);
    out->rdata = rd_take(&g->r, rd_u16(&g->r));
    return !g->r.bad;
}

/* n records of which none is OPT or TSIG, these two stand in the additional section only. */
static bool read_section(struct reading *g, size_t n, struct update_rr **out, size_t *out_n)
{
    enum { RR_MIN = 11 };                       /* a name of one byte, and no RDATA */
    if (n > rd_left(&g->r) / RR_MIN)
        return false;
    struct update_rr *rr = n == 0 ? NULL : arena_take(g->a, n * sizeof *rr);
    g->no_memory = n > 0 && rr == NULL;
    for (size_t i = 0; i < n; i++)
        if (g->no_memory || !read_rr(g, &rr[i]) || rr[i].type == TYPE_OPT || rr[i].type == TYPE_TSIG)
            return false;
    *out = rr;
    *out_n = n;
    return true;
}

static bool take_opt(const struct update_rr *rr, struct update *u)
{
    struct rd options = rd_over(rr->rdata);
    if (u->has_edns || rr->owner.len != 1)
        return false;
    u->edns_version = (uint8_t)(rr->ttl >> 16);
    u->udp_size = rr->class < DNS_UDP_MIN ? DNS_UDP_MIN : rr->class;
    u->has_edns = true;
    while (u->edns_version <= EDNS_VERSION && rd_left(&options) > 0) {
        (void)rd_u16(&options);
        (void)rd_take(&options, rd_u16(&options));
    }
    return !options.bad;
}

/* Records that are neither mean nothing to us (section 2.5: glue for a name server's own use). */
static bool read_additional(struct reading *g, size_t n, struct update *u)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)(g->r.p - g->msg.ptr);
        struct update_rr rr;
        if (!read_rr(g, &rr) || (rr.type == TYPE_OPT && !take_opt(&rr, u)) || (rr.type == TYPE_TSIG && i + 1 != n))
            return false;
        if (rr.type == TYPE_TSIG) {
            u->has_tsig = true;
            u->tsig_at = (uint16_t)at;
        }
    }
    return true;
}

/* Of what breaks off nothing but header and question counts. */
static uint16_t broken(const struct reading *g, struct update *u)
{
    u->has_edns = u->has_tsig = false;
    return g->no_memory ? RCODE_SERVFAIL : RCODE_FORMERR;
}

uint16_t update_read(struct bytes msg, struct arena *a, struct update *out)
{
    struct reading g = { .r = rd_over(msg), .msg = msg, .a = a };
    *out = (struct update){ .udp_size = DNS_UDP_MIN, .msg = msg };
    out->id = rd_u16(&g.r);
    out->flags = rd_u16(&g.r);
    uint16_t zones = rd_u16(&g.r), needs = rd_u16(&g.r), edits = rd_u16(&g.r), additional = rd_u16(&g.r);
    const uint8_t *start = g.r.p;
    if (g.r.bad || zones != 1 || name_unpack(&g.r, msg, &out->zone) != OK)
        return RCODE_FORMERR;
    uint16_t type = rd_u16(&g.r), class = rd_u16(&g.r);
    if (g.r.bad || (size_t)(g.r.p - start) != out->zone.len + 4u)       /* a pointer in the first name leads nowhere good */
        return RCODE_FORMERR;
    out->question = bytes_of(start, (size_t)(g.r.p - start));
    if (!read_section(&g, needs, &out->needs, &out->needs_n) || !read_section(&g, edits, &out->edits, &out->edits_n)
        || !read_additional(&g, additional, out))
        return broken(&g, out);
    if (out->has_edns && out->edns_version > EDNS_VERSION)
        return RCODE_BADVERS;
    if (type != TYPE_SOA)
        return RCODE_FORMERR;
    return class == CLASS_IN ? RCODE_NOERROR : RCODE_NOTAUTH;
}

/* --- RDATA -------------------------------------------------------------------------------------------------------------- */
/* An empty one names no record in a delete, but for types that may be empty. */
static uint16_t whole_rdata(const struct update *u, struct update_rr *rr, struct arena *a)
{
    struct rdata_shape shape;
    uint8_t buf[RDATA_UNPACKED_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    if (rr->rdata.len == 0 && rr->class == CLASS_NONE)
        return RCODE_NOERROR;
    if (rrtype_shape(rr->type, &shape)) {               /* with names */
        if (rdata_unpack(rr->type, rr->rdata, u->msg, &w) != OK)
            return RCODE_FORMERR;
        if (!bytes_equal(rr->rdata, wr_done(&w)))
            rr->rdata = arena_copy(a, wr_done(&w));
        if (rr->rdata.ptr == NULL)
            return RCODE_SERVFAIL;
    }
    return rdata_check(rr->type, rr->rdata, NULL) == OK ? RCODE_NOERROR : RCODE_FORMERR;
}

/* --- section 3.4.1 ------------------------------------------------------------------------------------------------------- */
static uint16_t blame(struct update *u, const struct update_rr *rr, uint16_t rcode, const char *why)
{
    u->blamed = rcode == RCODE_NOERROR ? NULL : rr;
    u->why = rcode == RCODE_SERVFAIL ? "out of memory" : why;
    return rcode;
}

static uint16_t prescan_rdata(struct update *u, struct update_rr *rr, struct arena *a)
{
    return blame(u, rr, whole_rdata(u, rr, a), "its data do not read as that type's");
}

static uint16_t prescan_edit(struct update *u, struct update_rr *rr, struct arena *a)
{
    bool meta = rrtype_is_meta(rr->type);
    if (!name_under(rr->owner, name_bytes(&u->zone)))
        return blame(u, rr, RCODE_NOTZONE, "the name is not in the zone");
    if (rr->class != CLASS_IN && rr->class != CLASS_ANY && rr->class != CLASS_NONE)
        return blame(u, rr, RCODE_FORMERR, "an edit's class is IN, ANY or NONE");
    if (meta && (rr->type != TYPE_ANY || rr->class != CLASS_ANY))
        return blame(u, rr, RCODE_FORMERR, "no zone holds such a type");
    if (rr->class != CLASS_IN && rr->ttl != 0)
        return blame(u, rr, RCODE_FORMERR, "a deletion's TTL is 0");
    if (rr->class == CLASS_ANY)
        return blame(u, rr, rr->rdata.len != 0 ? RCODE_FORMERR : RCODE_NOERROR, "the deletion of an RRset has no data");
    if (rr->class == CLASS_IN)
        rr->ttl = rr->ttl > TTL_MAX ? 0 : rr->ttl;
    return prescan_rdata(u, rr, a);
}

uint16_t update_prescan(struct update *u, struct arena *a)
{
    uint16_t rcode;
    for (size_t i = 0; i < u->needs_n; i++) {
        struct update_rr *rr = &u->needs[i];
        if (rr->class == CLASS_IN && !rrtype_is_meta(rr->type) && (rcode = prescan_rdata(u, rr, a)) != RCODE_NOERROR)
            return rcode;
    }
    for (size_t i = 0; i < u->edits_n; i++) {
        struct update_rr *rr = &u->edits[i];
        if ((rcode = prescan_edit(u, rr, a)) != RCODE_NOERROR)
            return rcode;
        if (u->may != NULL && rr->type != TYPE_ANY && !u->may(u->may_arg, rr->owner, rr->type))
            return blame(u, rr, RCODE_REFUSED, "the key's rights do not allow it");        /* of TYPE_ANY the plan asks for each type that is there */
    }
    return RCODE_NOERROR;
}

const char *update_text(const struct update *u, char *out, size_t cap)
{
    char name[NAME_TEXT_MAX], type[RRTYPE_TEXT_MAX];
    if (u->blamed == NULL)
        (void)snprintf(out, cap, "%s", u->why != NULL ? u->why : "");
    else
        (void)snprintf(out, cap, "%s %s: %s", name_text(name, sizeof name, u->blamed->owner),
                       u->blamed->type == TYPE_ANY ? "ANY" : rrtype_text(type, u->blamed->type), u->why);
    return out;
}

/* --- the end ------------------------------------------------------------------------------------------------------------- */
uint16_t update_rcode(const struct update *u, const struct change_result *r)
{
    if (r->end == CHANGE_DONE)
        return RCODE_NOERROR;
    if (r->end != CHANGE_REFUSED || r->err == ERR_NOMEM)
        return RCODE_SERVFAIL;
    if (u->rcode != RCODE_NOERROR)
        return u->rcode;
    return r->err == ERR_NOTFOUND ? RCODE_NOTAUTH : RCODE_REFUSED;
}

const char *update_rcode_text(uint16_t rcode)
{
    static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
                                         "NXRRSET", "NOTAUTH", "NOTZONE" };
    return rcode < sizeof names / sizeof names[0] ? names[rcode] : rcode == RCODE_BADVERS ? "BADVERS" : "OTHER";
}
