#include "builder/xfrin_parts.h"

#include "builder/serial.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct xfrin_limits defaults = { .bytes = (uint64_t)4 << 30, .records = 50000000, .messages = 10000000,
                                               .steps = XFRIN_STEPS };

/* --- the question ----------------------------------------------------------------------------------------------------- */
static void put_soa(struct wr *w, struct bytes rdata)
{
    wr_u16(w, 0xc000 | DNS_HEADER_LEN);         /* the question's name */
    wr_u16(w, TYPE_SOA);
    wr_u16(w, CLASS_IN);
    wr_u32(w, 0);
    wr_u16(w, (uint16_t)rdata.len);
    wr_bytes(w, rdata);
}

static void put_opt(struct wr *w)
{
    wr_u8(w, 0);
    wr_u16(w, TYPE_OPT);
    wr_u16(w, XFRIN_UDP_SIZE);
    wr_u32(w, 0);
    wr_u16(w, 0);
}

static enum err make_query(struct xfrin *x, const struct xfrin_ask *ask, uint64_t now_s)
{
    static const uint16_t types[] = { [XFRIN_SOA] = TYPE_SOA, [XFRIN_IXFR] = TYPE_IXFR, [XFRIN_AXFR] = TYPE_AXFR };
    struct wr w = wr_over(x->query, sizeof x->query);
    bool ixfr = x->kind == XFRIN_IXFR, opt = ixfr && x->udp;
    wr_u16(&w, x->id);
    wr_u16(&w, 0);
    wr_u16(&w, 1);
    wr_u16(&w, 0);
    wr_u16(&w, ixfr);
    wr_u16(&w, opt);
    wr_bytes(&w, name_bytes(&x->apex));
    wr_u16(&w, types[x->kind]);
    wr_u16(&w, CLASS_IN);
    if (ixfr)
        put_soa(&w, ask->soa);
    if (opt)
        put_opt(&w);
    enum err err = w.full ? ERR_NOSPACE : x->chain == NULL ? OK : tsig_sign(x->chain, &w, now_s, 0, NULL);
    x->query_len = w.len;
    return err;
}

/* --- life ------------------------------------------------------------------------------------------------------------- */
static uint64_t or_else(uint64_t said, uint64_t otherwise) { return said != 0 ? said : otherwise; }

MUST_USE enum err xfrin_begin(struct xfrin **out, const struct xfrin_ask *ask, uint16_t id, uint64_t now_s)
{
    struct xfrin *x = calloc(1, sizeof *x);
    if (x == NULL)
        return ERR_NOMEM;
    x->apex = ask->apex;
    name_lower(x->apex.wire, x->apex.len);
    x->kind = ask->kind;
    x->udp = ask->udp;
    x->have = ask->have;
    x->id = id;
    x->limits = (struct xfrin_limits){ or_else(ask->limits.bytes, defaults.bytes), or_else(ask->limits.records, defaults.records),
                                       or_else(ask->limits.messages, defaults.messages), or_else(ask->limits.steps, defaults.steps) };
    zone_init(&x->zone, name_bytes(&x->apex), "transfer");
    enum err err = ask->have ? soa_serial(ask->soa, &x->ours) : x->kind == XFRIN_IXFR ? ERR_BAD : OK;
    if (err == OK && ask->key != NULL)
        err = tsig_open(&x->chain, ask->key);
    if (err == OK)
        err = make_query(x, ask, now_s);
    if (err != OK) {
        xfrin_end(x);
        return err;
    }
    *out = x;
    return OK;
}

void xfrin_end(struct xfrin *x)
{
    if (x == NULL)
        return;
    tsig_close(x->chain);
    zone_release(&x->zone);
    free(x->steps);
    free(x);
}

struct bytes xfrin_query(const struct xfrin *x) { return bytes_of(x->query, x->query_len); }

/* --- a message ---------------------------------------------------------------------------------------------------------- */
/* NULL, or why it is no reply to our question. The question may be left out behind the first message, and by an error. */
static const char *not_ours(const struct xfrin *x, const struct xfrin_message *m)
{
    struct rd ours = rd_over(xfrin_query(x));
    (void)rd_take(&ours, (size_t)DNS_HEADER_LEN + x->apex.len);
    if (m->id != x->id)
        return "a message with another id than the question's";
    if ((m->flags & DNS_QR) == 0)
        return "a message that is no response";
    if ((m->flags & DNS_OPCODE) != 0)
        return "a response with another opcode";
    if (m->has_question && (m->qtype != rd_u16(&ours) || m->qclass != CLASS_IN || !name_equal(name_bytes(&m->qname), name_bytes(&x->apex))))
        return "a response to another question";
    return NULL;
}

/* Over UDP what an old server does not know may be our OPT: over TCP there is none. And Knot answers for a catalog zone over TCP only. */
static enum xfrin_verdict refused(const struct xfrin *x, uint16_t rcode, struct fault *fault)
{
    char buf[16];
    bool unknown = rcode == RCODE_NOTIMP || rcode == RCODE_FORMERR;
    bool ixfr = x->kind == XFRIN_IXFR && x->messages == 1;
    (void)xfrin_fail(fault, "the primary answers %s", xfrin_rcode_text(rcode, buf, sizeof buf));
    if (x->udp && ((ixfr && unknown) || (x->kind == XFRIN_SOA && rcode == RCODE_REFUSED)))
        return XFRIN_TRY_TCP;
    return ixfr && (unknown || rcode == RCODE_REFUSED || rcode == RCODE_NOTAUTH) ? XFRIN_TRY_AXFR : XFRIN_FAILED;
}

static enum xfrin_verdict over_limits(const struct xfrin *x, struct fault *fault)
{
    if (x->messages > x->limits.messages)
        return xfrin_fail(fault, "more than %" PRIu64 " messages", x->limits.messages);
    if (x->bytes > x->limits.bytes || xfrin_memory(x) / XFRIN_KEPT_TIMES > x->limits.bytes)
        return xfrin_fail(fault, "more than %" PRIu64 " bytes", x->limits.bytes);
    return XFRIN_MORE;
}

/* A reply in one datagram that is not all of it: a SOA alone, or cut off. */
static enum xfrin_verdict settle(const struct xfrin *x, enum xfrin_verdict v, struct fault *fault)
{
    if (v == XFRIN_MORE && x->udp) {
        (void)xfrin_fail(fault, "the answer does not fit into one datagram");
        return XFRIN_TRY_TCP;
    }
    if ((v == XFRIN_DONE || v == XFRIN_CURRENT) && x->chain != NULL && tsig_skipped(x->chain) > 0)
        return xfrin_fail(fault, "the last message has no TSIG");
    return v;
}

static enum xfrin_verdict take(struct xfrin *x, struct bytes msg, const struct xfrin_message *m, uint64_t now_s, struct fault *fault)
{
    struct fault about = { "" };
    const char *why;
    if ((m->flags & DNS_TC) != 0 && x->udp)
        return xfrin_fail(fault, "the answer is truncated"), XFRIN_TRY_TCP;
    if ((why = xfrin_verify(x, msg, m, now_s, &about)) != NULL)
        return xfrin_fail(fault, "%s", why);
    if (m->rcode != RCODE_NOERROR)
        return refused(x, m->rcode, fault);
    if ((m->flags & DNS_TC) != 0)
        return xfrin_bad(x, fault, "a truncated message over TCP");
    if (x->messages == 1 && !m->has_question)
        return xfrin_bad(x, fault, "the first message has no question");
    if (x->kind == XFRIN_SOA && (m->flags & DNS_AA) == 0)
        return xfrin_fail(fault, "the primary is not authoritative for the zone");
    enum xfrin_verdict v = xfrin_take_answers(x, msg, m, fault);
    return settle(x, v == XFRIN_MORE ? over_limits(x, fault) : v, fault);
}

enum xfrin_verdict xfrin_take(struct xfrin *x, struct bytes msg, uint64_t now_s, struct fault *fault)
{
    struct xfrin_message m;
    if (x->verdict != XFRIN_MORE)
        return xfrin_fail(fault, "a message behind the end of the transfer");
    const char *why = xfrin_message_read(msg, &m), *stranger = not_ours(x, &m);
    if (stranger != NULL && x->udp)             /* anybody can send one: the right one may yet come */
        return XFRIN_MORE;
    x->messages++;
    x->bytes += msg.len;
    x->verdict = over_limits(x, fault);
    if (x->verdict == XFRIN_MORE && stranger != NULL)
        x->verdict = xfrin_fail(fault, "%s", stranger);
    if (x->verdict == XFRIN_MORE && why != NULL)
        x->verdict = xfrin_bad(x, fault, "%s", why);
    if (x->verdict == XFRIN_MORE)
        x->verdict = take(x, msg, &m, now_s, fault);
    return x->verdict;
}

enum xfrin_verdict xfrin_closed(struct xfrin *x, struct fault *fault)
{
    if (x->verdict == XFRIN_MORE && x->at == AT_SECOND)
        x->verdict = xfrin_bad(x, fault, "a later serial, and no differences");
    if (x->verdict == XFRIN_MORE)
        x->verdict = xfrin_fail(fault, "the primary closed the connection behind %" PRIu64 " messages, before the end", x->messages);
    return x->verdict;
}

/* --- what came ------------------------------------------------------------------------------------------------------------ */
uint32_t xfrin_serial(const struct xfrin *x) { return x->serial; }
bool xfrin_is_whole(const struct xfrin *x) { return x->whole; }
struct zone *xfrin_zone(struct xfrin *x) { return &x->zone; }
const struct zone_rr *xfrin_records(const struct xfrin *x) { return x->zone.rr; }
uint64_t xfrin_bytes(const struct xfrin *x) { return x->bytes; }
uint64_t xfrin_memory(const struct xfrin *x)
{
    return x->zone.arena.used + x->zone.cap * sizeof *x->zone.rr + x->steps_cap * sizeof *x->steps;
}
uint64_t xfrin_messages(const struct xfrin *x) { return x->messages; }

const struct xfrin_step *xfrin_steps(const struct xfrin *x, size_t *n)
{
    *n = x->steps_n;
    return x->steps;
}
