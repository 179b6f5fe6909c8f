#include "tools/compare_report.h"

#include "tools/rrtext.h"
#include "tools/terminal.h"

#include <inttypes.h>
#include <stdlib.h>

#define RED "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"
#define SERIAL_FROM_END 20

/* --- one record -------------------------------------------------------------------------------------------------------- */
struct printing {
    struct compare_report *report;
    const struct compared *compared;
    char *line;                     /* RR_TEXT_MAX bytes */
    struct rr_text text;
    bool colours;
    json_t *only[2];                /* JSON: records that one side alone has */
    bool failed;                    /* out of memory */
};

/* Records are compared without the zone's serial: it is put back. */
static struct bytes with_serial(const struct printing *p, int side, const struct answer_rr *rr, uint8_t *room, size_t cap)
{
    if (rr->type != TYPE_SOA || rr->rdata.len > cap || rr->rdata.len < SERIAL_FROM_END || !name_equal(rr->owner, p->report->rules->apex))
        return rr->rdata;
    struct wr w = wr_over(room, cap), serial;
    wr_bytes(&w, rr->rdata);
    serial = wr_over(room + w.len - SERIAL_FROM_END, 4);
    wr_u32(&serial, p->compared->serial[side]);
    return wr_done(&w);
}

static void generic_line(struct printing *p, const struct answer_rr *rr)
{
    char owner[NAME_TEXT_MAX], type[TYPE_TEXT_MAX], covered[TYPE_TEXT_MAX];
    struct rd r = rd_over(rr->rdata);
    (void)snprintf(p->line, RR_TEXT_MAX, "%s %" PRIu32 " IN %s %s", name_text(owner, sizeof owner, rr->owner), rr->ttl,
                   type_text(type, rr->type),
                   rr->type == TYPE_RRSIG && rr->rdata.len == 2 ? type_text(covered, rd_u16(&r)) : "(its data does not read)");
}

static const char *rr_line(struct printing *p, int side, const struct answer_rr *rr)
{
    uint8_t room[2 * NAME_MAX_LEN + SERIAL_FROM_END];
    struct zone_rr z = { .owner = rr->owner, .rdata = with_serial(p, side, rr, room, sizeof room), .ttl = rr->ttl, .type = rr->type };
    size_t len;
    if (rr_text_line(&p->text, &z, p->line, RR_TEXT_MAX, &len, NULL) != OK)
        generic_line(p, rr);
    return p->line;
}

/* --- one difference ---------------------------------------------------------------------------------------------------- */
/* "rcode, ttl" */
static const char *bits_text(char *out, size_t cap, unsigned bits)
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < DIFF_BITS; i++)
        if ((bits & 1u << i) != 0 && n < cap)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n > 0 ? ", " : "", difference_text(1u << i));
    return out;
}

static void side_line(const struct printing *p, int side, const char *text)
{
    bool colours = p->colours;
    (void)fputs(!colours ? "" : side == 0 ? RED : GREEN, stdout);
    (void)printf("%c ", side == 0 ? '-' : '+');
    terminal_text(stdout, text);
    (void)puts(colours ? PLAIN : "");
}

static void visit_text(void *arg, int side, const struct answer_rr *rr)
{
    struct printing *p = arg;
    side_line(p, side, rr_line(p, side, rr));
}

static void visit_json(void *arg, int side, const struct answer_rr *rr)
{
    struct printing *p = arg;
    if (json_array_append_new(p->only[side], json_words(rr_line(p, side, rr))) != 0)
        p->failed = true;
}

static void visit_parts(struct printing *p, compare_visit *visit)
{
    const struct compared *c = p->compared;
    bool same_kind = c->of[0].kind == c->of[1].kind || p->report->rules->strict;
    for (unsigned s = 0; s < SECTIONS; s++)
        if (c->read[0] && c->read[1] && (s == SECTION_ANSWER || same_kind))
            compare_apart(p->report->rules, c->part[s], visit, p);
}

/* "NOERROR aa, referral"; what there is of a side. */
static const char *head_text(char *out, size_t cap, const struct compared *c, unsigned side, struct bytes msg)
{
    char rcode[RCODE_TEXT_MAX];
    const struct answer *a = &c->of[side];
    uint16_t f = a->flags;
    if (msg.ptr == NULL)
        (void)snprintf(out, cap, "no answer");
    else if (!c->read[side])
        (void)snprintf(out, cap, "%zu bytes that are no DNS answer", msg.len);
    else
        (void)snprintf(out, cap, "%s%s%s%s%s, %s", rcode_text(rcode, a->rcode), (f & DNS_AA) != 0 ? " aa" : "", (f & DNS_TC) != 0 ? " tc" : "",
                       (f & DNS_RA) != 0 ? " ra" : "", (f & DNS_AD) != 0 ? " ad" : "", answer_kind_text(a->kind));
    return out;
}

static void show_text(struct printing *p, const struct question *q, unsigned bits, const struct bytes msg[2])
{
    enum { HEADS = DIFF_UNANSWERED | DIFF_MALFORMED | DIFF_RCODE | DIFF_AA | DIFF_AUTHORITY | DIFF_FLAGS };
    char name[NAME_TEXT_MAX], type[TYPE_TEXT_MAX], text[200];
    struct compare_report *r = p->report;
    p->colours = terminal_colours(stdout);
    progress_hide(r->bar);
    if (r->shown == 0)
        (void)printf("--- %s\n+++ %s\n", r->server[0], r->server[1]);
    (void)printf("%s %s%s: %s\n", name_text(name, sizeof name, name_bytes(&q->name)), type_text(type, q->type), q->dnssec ? " (DO)" : "",
                 bits_text(text, sizeof text, bits));
    for (int i = 0; (bits & HEADS) != 0 && i < 2; i++)
        side_line(p, i, head_text(text, sizeof text, p->compared, (unsigned)i, msg[i]));
    visit_parts(p, visit_text);
    (void)fflush(stdout);
    progress_show(r->bar);
}

static json_t *side_json(const struct printing *p, unsigned side, struct bytes msg)
{
    char rcode[RCODE_TEXT_MAX];
    const struct answer *a = &p->compared->of[side];
    if (msg.ptr == NULL || !p->compared->read[side])
        return json_pack("{s:b}", "answered", msg.ptr != NULL);
    return json_pack("{s:b,s:s,s:b,s:s,s:O}", "answered", 1, "rcode", rcode_text(rcode, a->rcode), "aa", (a->flags & DNS_AA) != 0,
                     "kind", answer_kind_text(a->kind), "only", p->only[side]);
}

static json_t *bits_json(unsigned bits)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < DIFF_BITS; i++)
        if ((bits & 1u << i) != 0)
            (void)json_array_append_new(list, json_string(difference_text(1u << i)));
    return list;
}

static enum err show_json(struct printing *p, const struct question *q, unsigned bits, const struct bytes msg[2])
{
    char name[NAME_TEXT_MAX], type[TYPE_TEXT_MAX];
    struct compare_report *r = p->report;
    p->only[0] = json_array();
    p->only[1] = json_array();
    visit_parts(p, visit_json);
    if (r->list == NULL)
        r->list = json_array();
    json_t *one = json_pack("{s:s,s:s,s:b,s:s,s:o,s:[o,o]}", "name", name_text(name, sizeof name, name_bytes(&q->name)), "type",
                            type_text(type, q->type), "dnssec", q->dnssec, "why", question_why_text(q->why), "differs", bits_json(bits),
                            "answers", side_json(p, 0, msg[0]), side_json(p, 1, msg[1]));
    json_decref(p->only[0]);
    json_decref(p->only[1]);
    return json_array_append_new(r->list, one) == 0 && !p->failed ? OK : ERR_NOMEM;
}

static enum err show(struct compare_report *r, const struct question *q, const struct compared *c, unsigned bits, const struct bytes msg[2])
{
    struct printing p = { .report = r, .compared = c, .line = malloc(RR_TEXT_MAX) };
    enum err err = OK;
    if (p.line == NULL)
        return ERR_NOMEM;
    if (r->json)
        err = show_json(&p, q, bits, msg);
    else
        show_text(&p, q, bits, msg);
    free(p.line);
    r->shown++;
    return err;
}

MUST_USE enum err report_take(struct compare_report *r, const struct question *q, const struct compared *c, const struct bytes msg[2])
{
    unsigned bits = c->bits & ~(unsigned)DIFF_SERIAL;
    r->asked++;
    for (unsigned i = 0; i < 2; i++)
        r->unanswered[i] += msg[i].ptr == NULL;
    if ((c->bits & DIFF_SERIAL) != 0 && !r->serials) {
        r->serials = true;
        memcpy(r->serial, c->serial, sizeof r->serial);
    }
    if (bits == 0)
        return OK;
    r->different++;
    for (unsigned i = 0; i < DIFF_BITS; i++)
        r->of_kind[i] += (bits >> i & 1) != 0;
    return r->shown < r->most ? show(r, q, c, bits, msg) : OK;
}

/* --- the sum ----------------------------------------------------------------------------------------------------------- */
bool report_differs(const struct compare_report *r)
{
    return r->different > 0 || r->serials;
}

static void end_text(const struct compare_report *r, double seconds)
{
    char apex[NAME_TEXT_MAX];
    const char *before = " (";
    if (r->shown < r->different)
        (void)printf("... and %" PRIu64 " more (--limit-differences shows them)\n", r->different - r->shown);
    if (r->serials)
        (void)printf("serial: %" PRIu32 " at %s, %" PRIu32 " at %s\n", r->serial[0], r->server[0], r->serial[1], r->server[1]);
    for (unsigned i = 0; i < 2; i++)
        if (r->unanswered[i] > 0)
            (void)printf("%s did not answer %" PRIu64 " questions\n", r->server[i], r->unanswered[i]);
    for (unsigned i = 0; i < 2; i++)
        if (r->retries[i] > 0)
            (void)printf("%s was asked again %" PRIu64 " times\n", r->server[i], r->retries[i]);
    (void)printf("%s: %" PRIu64 " questions to %s and %s in %.1f s: %" PRIu64 " answered alike, %" PRIu64 " not",
                 name_text(apex, sizeof apex, r->rules->apex), r->asked, r->server[0], r->server[1], seconds, r->asked - r->different,
                 r->different);
    for (unsigned i = 0; i < DIFF_BITS; i++)
        if (r->of_kind[i] > 0) {
            (void)printf("%s%" PRIu64 " %s", before, r->of_kind[i], difference_text(1u << i));
            before = ", ";
        }
    (void)puts(r->different > 0 ? ")" : "");
}

static enum err end_json(struct compare_report *r, double seconds)
{
    char apex[NAME_TEXT_MAX];
    json_t *kinds = json_object();
    for (unsigned i = 0; i < DIFF_BITS; i++)
        if (r->of_kind[i] > 0)
            (void)json_object_set_new(kinds, difference_text(1u << i), json_integer((json_int_t)r->of_kind[i]));
    json_t *v = json_pack("{s:s,s:[s,s],s:I,s:I,s:f,s:[I,I],s:[I,I],s:o,s:b,s:o}", "zone", name_text(apex, sizeof apex, r->rules->apex), "servers",
                          r->server[0], r->server[1], "questions", (json_int_t)r->asked, "different", (json_int_t)r->different,
                          "seconds", seconds, "unanswered", (json_int_t)r->unanswered[0], (json_int_t)r->unanswered[1], "retries",
                          (json_int_t)r->retries[0], (json_int_t)r->retries[1], "kinds", kinds, "cut", r->shown < r->different, "differences", r->list != NULL ? r->list : json_array());
    r->list = NULL;
    if (v != NULL && r->serials)
        (void)json_object_set_new(v, "serials", json_pack("[I,I]", (json_int_t)r->serial[0], (json_int_t)r->serial[1]));
    return json_line(v);
}

MUST_USE enum err report_end(struct compare_report *r, double seconds)
{
    if (r->json)
        return end_json(r, seconds);
    end_text(r, seconds);
    return OK;
}

void report_release(struct compare_report *r)
{
    json_decref(r->list);
    r->list = NULL;
}
