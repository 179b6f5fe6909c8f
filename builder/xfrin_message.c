/* One message of a primary: its sections, and its signature. */
#include "builder/xfrin_parts.h"

#include <stdio.h>

/* --- sections ------------------------------------------------------------------------------------------------------ */
static bool skip_name(struct rd *r)
{
    for (;;) {
        uint8_t len = rd_u8(r);
        if (r->bad || len == 0)
            return !r->bad;
        if (len >= 0xc0) {
            (void)rd_u8(r);
            return !r->bad;
        }
        if (len > LABEL_MAX_LEN)
            return false;
        (void)rd_take(r, len);
    }
}

struct skipped { uint16_t type; uint32_t ttl; };
static bool skip_record(struct rd *r, struct skipped *out)
{
    if (!skip_name(r))
        return false;
    out->type = rd_u16(r);
    (void)rd_u16(r);
    out->ttl = rd_u32(r);
    (void)rd_take(r, rd_u16(r));
    return !r->bad;
}

/* Answer and authority: all that counts here is where they end. */
static const char *skip_section(struct rd *r, unsigned n)
{
    struct skipped rr;
    for (unsigned i = 0; i < n; i++) {
        if (!skip_record(r, &rr))
            return "the message ends inside a record";
        if (rr.type == TYPE_OPT || rr.type == TYPE_TSIG)
            return "OPT or TSIG outside the additional section";
    }
    return NULL;
}

/* OPT says nothing but the upper bits of the rcode, TSIG is the last record of all; whatever else there is is ignored
 * (RFC 5936 section 2.2.5). */
static const char *read_additional(struct rd *r, struct bytes msg, unsigned n, struct xfrin_message *m)
{
    struct skipped rr;
    for (unsigned i = 0; i < n; i++) {
        size_t at = (size_t)(r->p - msg.ptr);
        if (!skip_record(r, &rr))
            return "the message ends inside a record";
        if (rr.type == TYPE_OPT)
            m->rcode = (uint16_t)((m->rcode & DNS_RCODE) | (rr.ttl >> 24) << 4);
        if (rr.type != TYPE_TSIG)
            continue;
        if (i + 1 != n)
            return "TSIG is not the last record";
        m->has_tsig = true;
        m->tsig_at = at;
    }
    return NULL;
}

static const char *read_question(struct rd *r, struct bytes msg, unsigned n, struct xfrin_message *m)
{
    if (n > 1)
        return "more than one question";
    if (n == 0)
        return NULL;
    if (name_unpack(r, msg, &m->qname) != OK)
        return "the question cannot be read";
    m->qtype = rd_u16(r);
    m->qclass = rd_u16(r);
    m->has_question = !r->bad;
    return r->bad ? "the message ends inside its question" : NULL;
}

MUST_USE const char *xfrin_message_read(struct bytes msg, struct xfrin_message *out)
{
    struct rd r = rd_over(msg);
    *out = (struct xfrin_message){ .id = rd_u16(&r), .flags = 0 };
    out->flags = rd_u16(&r);
    out->rcode = out->flags & DNS_RCODE;
    unsigned questions = rd_u16(&r), answers = rd_u16(&r), authority = rd_u16(&r), additional = rd_u16(&r);
    if (r.bad)
        return "the message is shorter than a header";
    const char *why = read_question(&r, msg, questions, out);
    if (why != NULL)
        return why;
    out->answers = answers;
    out->records = r;
    if ((why = skip_section(&r, answers)) == NULL && (why = skip_section(&r, authority)) == NULL)
        why = read_additional(&r, msg, additional, out);
    if (why == NULL && !rd_done(&r))
        why = "bytes behind the last record";
    return why;
}

const char *xfrin_rcode_text(uint16_t rcode, char *buf, size_t cap)
{
    static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
                                         "NXRRSET", "NOTAUTH", "NOTZONE" };
    if (rcode < sizeof names / sizeof names[0])
        return names[rcode];
    (void)snprintf(buf, cap, "rcode %u", rcode);
    return buf;
}

/* --- signatures ------------------------------------------------------------------------------------------------------ */
/* What a primary says of our question's signature. */
static const char *told(const struct tsig *t, uint64_t now_s, struct fault *why)
{
    struct rd other = rd_over(t->other);
    switch (t->error) {
    case TSIG_BADKEY:
        return "the primary says BADKEY: it has no TSIG key of this name and algorithm for us";
    case TSIG_BADSIG:
        return "the primary says BADSIG: its TSIG key has another secret than ours";
    case TSIG_BADTRUNC:
        return "the primary says BADTRUNC: our MAC is too short for it";
    case TSIG_BADTIME: {
        uint64_t theirs = rd_be(&other, 6);
        if (!rd_done(&other))
            return "the primary says BADTIME: its clock and ours are too far apart";
        uint64_t apart = theirs > now_s ? theirs - now_s : now_s - theirs;
        (void)fault_set(why, ERR_SIGNATURE, "the primary says BADTIME: its clock is %llu s %s ours", (unsigned long long)apart,
                        theirs > now_s ? "ahead of" : "behind");
        return why->text;
    }
    default:
        (void)fault_set(why, ERR_SIGNATURE, "the primary says TSIG error %u", t->error);
        return why->text;
    }
}

static const char *judge(struct tsig_chain *chain, struct bytes msg, size_t at, const struct tsig *t, uint64_t now_s, struct fault *why)
{
    switch (tsig_check(chain, msg, at, t, now_s)) {
    case TSIG_GOOD:
        return t->error != 0 ? told(t, now_s, why) : NULL;
    case TSIG_MALFORMED:
        return "the TSIG's MAC has a length that is not allowed";
    case TSIG_UNKNOWN:
        return "signed with another TSIG key or algorithm than the question";
    case TSIG_FORGED:
        return "the TSIG does not verify: another secret, or the message was changed on its way";
    case TSIG_LATE:
        if (t->error != 0)
            return told(t, now_s, why);
        (void)fault_set(why, ERR_SIGNATURE, "the TSIG is good, but its time is %lld s from ours",
                        (long long)t->time_s - (long long)now_s);
        return why->text;
    case TSIG_SHORT_MAC:
        return "the TSIG's MAC is shorter than our key allows";
    }
    return "the TSIG cannot be checked";
}

static const char *unsigned_one(struct xfrin *x, struct bytes msg, const struct xfrin_message *m, struct fault *why)
{
    char buf[16];
    if (x->messages == 1 || m->rcode != RCODE_NOERROR) {
        (void)fault_set(why, ERR_SIGNATURE, "an unsigned answer (%s) to a signed question", xfrin_rcode_text(m->rcode, buf, sizeof buf));
        return why->text;
    }
    switch (tsig_skip(x->chain, msg)) {
    case OK:
        return NULL;
    case ERR_LIMIT:
        return "more than 99 messages in a row without a TSIG";
    default:
        return "out of memory";
    }
}

MUST_USE const char *xfrin_verify(struct xfrin *x, struct bytes msg, const struct xfrin_message *m, uint64_t now_s, struct fault *why)
{
    struct tsig t;
    if (x->chain == NULL)
        return m->has_tsig ? "a signed answer to an unsigned question" : NULL;
    if (!m->has_tsig)
        return unsigned_one(x, msg, m, why);
    if (tsig_read(msg, m->tsig_at, &t) != OK)
        return "the TSIG cannot be read";
    if (m->rcode == RCODE_NOTAUTH && t.error != 0 && t.mac.len == 0)
        return told(&t, now_s, why);            /* that is why it is not signed (RFC 8945 section 5.3.2) */
    return judge(x->chain, msg, m->tsig_at, &t, now_s, why);
}
