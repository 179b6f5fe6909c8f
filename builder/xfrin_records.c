/* The records of a transfer in their order (RFC 5936 section 2.2, RFC 1995 section 4):
 *
 *     AXFR    SOA  all others ...  SOA
 *     IXFR    SOA  { SOA from  what goes ...  SOA to  what comes ... } ...  SOA       the same SOA at both ends
 *             SOA  all others ...  SOA                                                 answered with all
 *             SOA                                                                      we have it, or (UDP) it does not fit
 */
#include "builder/xfrin_parts.h"

#include "builder/rdata.h"
#include "builder/serial.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TTL_MAX 0x7fffffffu         /* larger ones are 0 (RFC 2181 section 8) */

struct record { struct name owner; uint16_t type, class; uint32_t ttl; struct bytes rdata; };       /* owner: lower case */

static void say(struct fault *fault, const char *format, va_list args)
{
    if (fault != NULL)
        (void)vsnprintf(fault->text, sizeof fault->text, format, args);
}

enum xfrin_verdict xfrin_fail(struct fault *fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(fault, format, args);
    va_end(args);
    return XFRIN_FAILED;
}

enum xfrin_verdict xfrin_bad(const struct xfrin *x, struct fault *fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(fault, format, args);
    va_end(args);
    return x->kind == XFRIN_IXFR && !x->whole ? XFRIN_TRY_AXFR : XFRIN_FAILED;
}

static enum xfrin_verdict no_memory(struct fault *fault) { return xfrin_fail(fault, "%s", err_text(ERR_NOMEM)); }

static bool is_soa(const struct record *rr) { return rr->type == TYPE_SOA; }
/* rdata_check let it pass: it has one. */
static uint32_t serial_of(const struct record *rr)
{
    uint32_t serial = 0;
    return soa_serial(rr->rdata, &serial) == OK ? serial : 0;
}

/* --- keeping -------------------------------------------------------------------------------------------------------- */
static enum xfrin_verdict keep(struct xfrin *x, const struct record *rr, struct fault *fault)
{
    return zone_add(&x->zone, name_bytes(&rr->owner), rr->type, rr->ttl, rr->rdata, 0) == OK ? XFRIN_MORE : no_memory(fault);
}

static struct xfrin_step *last_step(struct xfrin *x) { return &x->steps[x->steps_n - 1]; }

static enum xfrin_verdict begin_step(struct xfrin *x, uint32_t from, struct fault *fault)
{
    if (x->steps_n == x->steps_cap) {
        size_t cap = x->steps_cap == 0 ? 4 : 2 * x->steps_cap;
        struct xfrin_step *more = realloc(x->steps, cap * sizeof *more);
        if (more == NULL)
            return no_memory(fault);
        x->steps = more;
        x->steps_cap = cap;
    }
    x->steps[x->steps_n++] = (struct xfrin_step){ .from = from, .gone = x->zone.n };
    x->at = AT_GONE;
    return XFRIN_MORE;
}

/* --- record by record ------------------------------------------------------------------------------------------------- */
/* A serial that is not later than ours ends all: what follows it, if anything does, is nothing to us. */
static enum xfrin_verdict take_first(struct xfrin *x, const struct record *rr, struct fault *fault)
{
    if (!is_soa(rr))
        return xfrin_bad(x, fault, "the answer does not begin with the zone's SOA");
    x->serial = serial_of(rr);
    if (x->kind != XFRIN_AXFR && x->have && !serial_later(x->serial, x->ours))
        return XFRIN_CURRENT;
    if (x->kind == XFRIN_SOA)
        return XFRIN_DONE;
    x->soa = arena_copy(&x->zone.arena, rr->rdata);
    x->soa_ttl = rr->ttl;
    if (x->soa.ptr == NULL)
        return no_memory(fault);
    x->whole = x->kind == XFRIN_AXFR;
    x->at = x->whole ? AT_WHOLE : AT_SECOND;
    return x->whole ? keep(x, rr, fault) : XFRIN_MORE;
}

static bool ends(const struct xfrin *x, const struct record *rr) { return rdata_same(TYPE_SOA, rr->rdata, x->soa); }

static enum xfrin_verdict take_whole(struct xfrin *x, const struct record *rr, struct fault *fault)
{
    if (!is_soa(rr))
        return keep(x, rr, fault);
    if (ends(x, rr))
        return XFRIN_DONE;
    if (serial_of(rr) != x->serial)
        return xfrin_bad(x, fault, "the serial changed from %" PRIu32 " to %" PRIu32 " while the zone was sent", x->serial, serial_of(rr));
    return xfrin_bad(x, fault, "the last SOA is another than the first");
}

static enum xfrin_verdict take_second(struct xfrin *x, const struct record *rr, struct fault *fault)
{
    if (is_soa(rr) && !ends(x, rr)) {
        if (serial_of(rr) != x->ours)
            return xfrin_bad(x, fault, "the differences begin at serial %" PRIu32 ", but ours is %" PRIu32, serial_of(rr), x->ours);
        return begin_step(x, x->ours, fault);
    }
    struct name apex = x->apex;
    if (zone_add(&x->zone, name_bytes(&apex), TYPE_SOA, x->soa_ttl, x->soa, 0) != OK)
        return no_memory(fault);
    x->whole = true;
    x->at = AT_WHOLE;
    return take_whole(x, rr, fault);
}

/* Each step leads on, and none beyond the serial that the answer begins with. */
static enum xfrin_verdict take_gone(struct xfrin *x, const struct record *rr, struct fault *fault)
{
    struct xfrin_step *s = last_step(x);
    if (!is_soa(rr)) {
        s->gone_n++;
        return keep(x, rr, fault);
    }
    uint32_t to = serial_of(rr);
    if (!serial_later(to, s->from) || (to != x->serial && !serial_later(x->serial, to)))
        return xfrin_bad(x, fault, "a step from serial %" PRIu32 " to %" PRIu32 ", on the way to %" PRIu32, s->from, to, x->serial);
    s->to = to;
    s->come = x->zone.n;
    s->soa_ttl = rr->ttl;
    s->soa = arena_copy(&x->zone.arena, rr->rdata);
    x->at = AT_COME;
    return s->soa.ptr == NULL ? no_memory(fault) : XFRIN_MORE;
}

static enum xfrin_verdict take_come(struct xfrin *x, const struct record *rr, struct fault *fault)
{
    struct xfrin_step *s = last_step(x);
    if (!is_soa(rr)) {
        s->come_n++;
        return keep(x, rr, fault);
    }
    if (s->to == x->serial)
        return ends(x, rr) && rdata_same(TYPE_SOA, s->soa, x->soa) ? XFRIN_DONE
            : xfrin_bad(x, fault, "the last SOA is another than the first");
    if (serial_of(rr) != s->to)
        return xfrin_bad(x, fault, "a step that begins at serial %" PRIu32 " follows one that leads to %" PRIu32, serial_of(rr), s->to);
    return begin_step(x, s->to, fault);
}

static enum xfrin_verdict take_one(struct xfrin *x, const struct record *rr, struct fault *fault)
{
    switch (x->at) {
    case AT_FIRST:  return take_first(x, rr, fault);
    case AT_SECOND: return take_second(x, rr, fault);
    case AT_WHOLE:  return take_whole(x, rr, fault);
    case AT_GONE:   return take_gone(x, rr, fault);
    case AT_COME:   return take_come(x, rr, fault);
    }
    return XFRIN_FAILED;
}

/* --- out of the message ---------------------------------------------------------------------------------------------- */
static enum xfrin_verdict read_record(struct xfrin *x, struct rd *r, struct bytes msg, struct wr *room, struct record *out,
                                      struct fault *fault)
{
    char name[NAME_TEXT_MAX];
    if (name_unpack(r, msg, &out->owner) != OK)
        return xfrin_bad(x, fault, "a name in the message cannot be read");
    name_lower(out->owner.wire, out->owner.len);
    out->type = rd_u16(r);
    out->class = rd_u16(r);
    out->ttl = rd_u32(r);
    out->rdata = rd_take(r, rd_u16(r));
    out->ttl = out->ttl > TTL_MAX ? 0 : out->ttl;
    struct bytes owner = name_bytes(&out->owner);
    if (!name_under(owner, name_bytes(&x->apex)))
        return xfrin_bad(x, fault, "%.300s is not in the zone", name_text(name, sizeof name, owner));
    if (out->class != CLASS_IN || rrtype_is_meta(out->type))
        return xfrin_bad(x, fault, "%.300s: a record of class %u and type %u", name_text(name, sizeof name, owner), out->class, out->type);
    if (is_soa(out) && owner.len != x->apex.len)
        return xfrin_bad(x, fault, "a SOA at %.300s, which is not the apex", name_text(name, sizeof name, owner));
    room->len = 0;
    if (rdata_unpack(out->type, out->rdata, msg, room) != OK || rdata_check(out->type, wr_done(room), NULL) != OK)
        return xfrin_bad(x, fault, "%.300s: the data of a record of type %u cannot be read", name_text(name, sizeof name, owner), out->type);
    out->rdata = wr_done(room);
    return XFRIN_MORE;
}

enum xfrin_verdict xfrin_take_answers(struct xfrin *x, struct bytes msg, const struct xfrin_message *m, struct fault *fault)
{
    uint8_t buf[RDATA_UNPACKED_MAX];
    struct wr room = wr_over(buf, sizeof buf);
    struct rd r = m->records;
    struct record rr;
    enum xfrin_verdict v = XFRIN_MORE;
    if (m->answers == 0)
        return xfrin_bad(x, fault, "a message without records");
    for (unsigned i = 0; i < m->answers && v == XFRIN_MORE; i++) {
        if (++x->records > x->limits.records)
            return xfrin_fail(fault, "more than %" PRIu64 " records", x->limits.records);
        if (x->steps_n > 0 && x->records > x->limits.steps)
            return xfrin_bad(x, fault, "differences of more than %" PRIu64 " records", x->limits.steps);
        v = read_record(x, &r, msg, &room, &rr, fault);
        if (v == XFRIN_MORE)
            v = take_one(x, &rr, fault);
        if (v == XFRIN_DONE && x->kind != XFRIN_SOA && i + 1 < m->answers)
            return xfrin_bad(x, fault, "records behind the last SOA");
    }
    return v;
}
