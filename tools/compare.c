#include "tools/compare.h"

#include "wire/rrtype.h"

#include <stdlib.h>

#define FLAGS_STRICT (DNS_AD | DNS_CD | DNS_RA | DNS_RD | DNS_TC)
#define SERIAL_FROM_END 20              /* of a SOA's RDATA: five numbers, the serial first */

const char *difference_text(unsigned bit)
{
    static const char *const texts[DIFF_BITS] = { "unanswered", "malformed", "rcode", "aa", "answer", "ttl", "authority", "glue",
                                                  "flags", "additional", "serial" };
    unsigned i = 0;
    while (i + 1 < DIFF_BITS && bit >> i > 1)
        i++;
    return texts[i];
}

/* --- records side by side ---------------------------------------------------------------------------------------------- */
static int rr_compare(const struct answer_rr *a, const struct answer_rr *b)
{
    int c = (a->type > b->type) - (a->type < b->type);
    if (c == 0)
        c = (a->rrclass > b->rrclass) - (a->rrclass < b->rrclass);
    if (c == 0)
        c = bytes_compare(a->owner, b->owner);
    return c != 0 ? c : bytes_compare(a->rdata, b->rdata);
}

static int rr_order(const void *a, const void *b)
{
    const struct answer_rr *x = a, *y = b;
    int c = rr_compare(x, y);
    return c != 0 ? c : (x->ttl > y->ttl) - (x->ttl < y->ttl);
}

void compare_apart(const struct compare_rules *rules, const struct answer_rrs part[2], compare_visit *visit, void *arg)
{
    size_t i = 0, j = 0;
    while (i < part[0].n || j < part[1].n) {
        const struct answer_rr *a = i < part[0].n ? &part[0].v[i] : NULL, *b = j < part[1].n ? &part[1].v[j] : NULL;
        int c = a == NULL ? 1 : b == NULL ? -1 : rr_compare(a, b);
        bool ttl = c == 0 && a->ttl != b->ttl && !rules->ignore_ttl;
        if (c < 0 || ttl)
            visit(arg, 0, a);
        if (c > 0 || ttl)
            visit(arg, 1, b);
        i += c <= 0;
        j += c >= 0;
    }
}

static unsigned part_bits(const struct compare_rules *rules, const struct answer_rrs part[2], unsigned bit)
{
    unsigned bits = part[0].n != part[1].n ? bit : 0;
    for (size_t i = 0; bits == 0 && i < part[0].n; i++)
        if (rr_compare(&part[0].v[i], &part[1].v[i]) != 0)
            bits = bit;
    for (size_t i = 0; bits != bit && !rules->ignore_ttl && i < part[0].n; i++)
        if (part[0].v[i].ttl != part[1].v[i].ttl)
            bits = DIFF_TTL;
    return bits;
}

/* --- what goes into a part --------------------------------------------------------------------------------------------- */
struct side {
    const struct compare_rules *rules;
    const struct question *q;
    struct answer *answer;
    bool left;                      /* a chain of aliases leads out of the zone */
    bool serials;                   /* the two have different ones */
    struct bytes cut;               /* of a referral */
};

static bool is_denial(uint16_t type) { return type == TYPE_NSEC || type == TYPE_NSEC3; }

static uint16_t covered(const struct answer_rr *rr)
{
    struct rd r = rd_over(rr->rdata);
    return rd_u16(&r);
}

static bool wanted_answer(const struct side *s, const struct answer_rr *rr)
{
    if (rr->type == TYPE_RRSIG && s->serials && covered(rr) == TYPE_SOA)
        return false;
    return s->rules->strict || !s->left || name_under(rr->owner, s->rules->apex);
}

/* Proofs count by their kind alone: which NSEC a server shows beyond those needed is its own affair. */
static bool wanted_authority(const struct side *s, const struct answer_rr *rr)
{
    if (s->rules->strict)
        return wanted_answer(s, rr);
    if (s->left)
        return false;
    switch (s->answer->kind) {
    case KIND_NODATA:
    case KIND_NXDOMAIN: return rr->type == TYPE_SOA;
    case KIND_REFERRAL: return rr->type == TYPE_NS || rr->type == TYPE_DS;
    case KIND_ANSWER:
    case KIND_EMPTY:
    case KIND_ERROR: break;
    }
    return false;
}

static bool wanted_additional(const struct side *s, const struct answer_rr *rr)
{
    if (s->rules->strict)
        return rr->type != TYPE_TSIG;
    return s->cut.len > 0 && (rr->type == TYPE_A || rr->type == TYPE_AAAA) && name_under(rr->owner, s->cut);
}

static bool wanted(const struct side *s, unsigned section, const struct answer_rr *rr)
{
    return section == SECTION_ANSWER ? wanted_answer(s, rr)
           : section == SECTION_AUTHORITY ? wanted_authority(s, rr) : wanted_additional(s, rr);
}

static enum err part_make(const struct side *s, unsigned section, struct arena *a, struct answer_rrs *out)
{
    const struct answer_rrs *from = &s->answer->section[section];
    *out = (struct answer_rrs){ arena_take(a, (from->n + 1) * sizeof *out->v), 0 };
    if (out->v == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < from->n; i++) {
        if (!wanted(s, section, &from->v[i]))
            continue;
        out->v[out->n] = from->v[i];
        if (s->rules->ignore_signatures && from->v[i].type == TYPE_RRSIG && from->v[i].rdata.len > 2)
            out->v[out->n].rdata.len = 2;           /* that there is one for this type */
        out->n++;
    }
    if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, rr_order);
    size_t n = 0;                   /* several signatures of one type are one then */
    for (size_t i = 0; i < out->n; i++)
        if (i == 0 || !s->rules->ignore_signatures || out->v[i].type != TYPE_RRSIG || rr_compare(&out->v[i], &out->v[n - 1]) != 0)
            out->v[n++] = out->v[i];
    out->n = n;
    return OK;
}

/* --- both sides --------------------------------------------------------------------------------------------------------- */
/* Where the alias of this name leads, when the answer has one. */
static bool alias_of(const struct answer_rrs *answer, struct bytes name, struct bytes *out)
{
    for (size_t i = 0; i < answer->n; i++)
        if (answer->v[i].type == TYPE_CNAME && name_equal(answer->v[i].owner, name)) {
            *out = answer->v[i].rdata;
            return true;
        }
    return false;
}

static bool leaves(const struct compare_rules *rules, const struct question *q, const struct answer *a)
{
    struct bytes name = name_bytes(&q->name);
    const struct answer_rrs *answer = &a->section[SECTION_ANSWER];
    if (q->type == TYPE_CNAME)
        return false;
    for (size_t steps = 0; steps < answer->n && alias_of(answer, name, &name); steps++)
        if (!name_under(name, rules->apex))
            return true;
    return false;
}

static struct bytes cut_of(const struct answer *a)
{
    const struct answer_rrs *authority = &a->section[SECTION_AUTHORITY];
    for (size_t i = 0; a->kind == KIND_REFERRAL && i < authority->n; i++)
        if (authority->v[i].type == TYPE_NS)
            return authority->v[i].owner;
    return bytes_of("", 0);
}

/* The serial of the zone's SOA, which is 0 in the records from here on. */
static bool take_serial(const struct compare_rules *rules, struct answer *a, uint32_t *out)
{
    bool found = false;
    for (unsigned s = 0; s < SECTIONS; s++)
        for (size_t i = 0; i < a->section[s].n; i++) {
            struct answer_rr *rr = &a->section[s].v[i];
            if (rr->type != TYPE_SOA || !name_equal(rr->owner, rules->apex) || !answer_soa_serial(rr->rdata, out))
                continue;
            memset((uint8_t *)(uintptr_t)rr->rdata.ptr + rr->rdata.len - SERIAL_FROM_END, 0, 4);      /* our own copy, in the arena */
            found = true;
        }
    return found;
}

/* Which kinds of records an authority section has that make up a proof. */
static unsigned proofs(const struct answer *a)
{
    unsigned kinds = 0;
    const struct answer_rrs *authority = &a->section[SECTION_AUTHORITY];
    for (size_t i = 0; i < authority->n; i++) {
        uint16_t type = authority->v[i].type;
        bool sig = type == TYPE_RRSIG;
        uint16_t of = sig ? covered(&authority->v[i]) : type;
        if (is_denial(of))
            kinds |= (of == TYPE_NSEC ? 1u : 2u) << (sig ? 2 : 0);
        else if (sig && (of == TYPE_SOA || of == TYPE_DS) && a->kind != KIND_ANSWER)
            kinds |= 16;
    }
    return kinds;
}

static unsigned head_bits(const struct compare_rules *rules, const struct answer *a, const struct answer *b, bool left)
{
    unsigned bits = 0;
    if (rules->strict && ((a->flags ^ b->flags) & FLAGS_STRICT) != 0)
        bits |= DIFF_FLAGS;
    if (((a->flags ^ b->flags) & DNS_AA) != 0)
        bits |= DIFF_AA;
    if (left && !rules->strict)
        return bits;
    if (a->rcode != b->rcode)
        bits |= DIFF_RCODE;
    else if (a->kind != b->kind || (a->kind != KIND_ERROR && proofs(a) != proofs(b)))
        bits |= DIFF_AUTHORITY;
    return bits;
}

static enum err compare_read(const struct compare_rules *rules, const struct question *q, struct arena *a, struct compared *out)
{
    static const unsigned part_bit[SECTIONS] = { DIFF_ANSWER, DIFF_AUTHORITY, DIFF_GLUE };
    struct answer *x = &out->of[0], *y = &out->of[1];
    bool left = leaves(rules, q, x) && leaves(rules, q, y);
    bool has = take_serial(rules, x, &out->serial[0]);
    bool serials = take_serial(rules, y, &out->serial[1]) && has && out->serial[0] != out->serial[1];
    out->bits = head_bits(rules, x, y, left) | (serials ? DIFF_SERIAL : 0);
    for (unsigned s = 0; s < SECTIONS; s++) {
        for (unsigned i = 0; i < 2; i++) {
            struct side side = { rules, q, &out->of[i], left, serials, cut_of(&out->of[i]) };
            enum err err = part_make(&side, s, a, &out->part[s][i]);
            if (err != OK)
                return err;
        }
        /* Answers of two kinds differ in their authority by that: records of one kind say nothing of the other. */
        if (x->kind == y->kind || s == SECTION_ANSWER || rules->strict)
            out->bits |= part_bits(rules, out->part[s], s == SECTION_ADDITIONAL && rules->strict ? DIFF_ADDITIONAL : part_bit[s]);
    }
    return OK;
}

MUST_USE enum err compare_answers(const struct compare_rules *rules, const struct question *q, const struct bytes msg[2],
                                  struct arena *a, struct compared *out)
{
    enum { ID = 2 };
    memset(out, 0, sizeof *out);
    bool both = msg[0].ptr != NULL && msg[1].ptr != NULL;
    if (both && msg[0].len == msg[1].len && msg[0].len > DNS_HEADER_LEN
        && memcmp(msg[0].ptr + ID, msg[1].ptr + ID, msg[0].len - ID) == 0)
        return OK;
    for (unsigned i = 0; i < 2; i++) {
        enum err err = msg[i].ptr == NULL ? ERR_AGAIN : answer_read(msg[i], a, &out->of[i]);
        if (err == ERR_NOMEM)
            return err;
        out->read[i] = err == OK;
        out->bits |= err == OK ? 0 : err == ERR_AGAIN ? DIFF_UNANSWERED : DIFF_MALFORMED;
    }
    return out->bits != 0 ? OK : compare_read(rules, q, a, out);
}
