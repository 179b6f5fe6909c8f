/* azoth compare: asks two DNS servers the same questions about a zone and tells where their answers differ. */
#include "base/clock.h"
#include "base/text.h"
#include "builder/zonefile.h"
#include "tools/axfr.h"
#include "tools/compare_report.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

#define TIMEOUT_MS 1000
#define TIMEOUT_MAX_MS ((uint64_t)60000)
#define AXFR_TIMEOUT_MS ((uint64_t)30000)       /* a server may take a while before the first message */
#define RETRIES 3
#define RETRIES_MAX 20
#define SHOWN 100
#define SECRET_MAX 1024

const struct option_spec compare_options[] = {
    OPTION("server", "ADDRESS[@PORT]", OPTION_LIST, servers, "a server; twice"),
    OPTION("zone", "[ORIGIN=]FILE", OPTION_TEXT, zone, "names and types of this zone file"),
    OPTION("axfr", "ZONE", OPTION_TEXT, axfr, "names and types of the zone as the first server transfers it"),
    OPTION("key", "NAME:ALGORITHM:SECRET", OPTION_TEXT, key, "TSIG key for the transfer"),
    OPTION("types", "TYPE[,TYPE]...", OPTION_TEXT, types, "ask for these types alone"),
    OPTION("dnssec", NULL, OPTION_FLAG, dnssec, "ask each question twice: without DO, and with it"),
    OPTION("strict", NULL, OPTION_FLAG, strict, "compare all sections and flags"),
    OPTION("ignore-ttl", NULL, OPTION_FLAG, ignore_ttl, "TTLs may differ"),
    OPTION("ignore-signatures", NULL, OPTION_FLAG, ignore_signatures, "of signatures only the type that they cover counts"),
    OPTION("limit-differences", "COUNT", OPTION_NUMBER, limit_differences, "how many to show (default 100); all are counted"),
    OPTION("rate", "COUNT", OPTION_NUMBER, rate, "at most so many questions a second"),
    OPTION("timeout", "TIME", OPTION_TEXT, timeout, "how long to wait for an answer (default 1s)"),
    OPTION("retries", "COUNT", OPTION_TEXT, retries, "how often to ask again (default 3)"),
    OPTION_END,
};

struct compare_run {
    const struct options *o;
    struct asker_options ask;
    struct question_options what;
    struct compare_rules rules;
    struct zone zone;                   /* of a file */
    struct xfrin *transfer;             /* or of a server */
    struct zone *of;                    /* the one of the two */
    struct questions *questions;
    struct asker *asker;
    struct compare_report report;
    struct arena arena;                 /* of one pair of answers */
    uint64_t done;
    bool probing, probed;
    unsigned rcode[2];                  /* of the probe */
    bool heard[2];
};

/* --- arguments --------------------------------------------------------------------------------------------------------- */
static int take_types(struct compare_run *c, const char *text)
{
    while (text != NULL && *text != '\0') {
        char word[TYPE_TEXT_MAX];
        size_t len = strcspn(text, ",");
        uint16_t type;
        (void)snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word), text);
        if (len >= sizeof word || type_from_text(word, &type) != OK)
            return tool_fail(EXIT_USAGE, "compare: --types: '%.*s' is no type", (int)(len < 60 ? len : 60), text);
        if (c->what.types_n == QUESTION_TYPES_MAX)
            return tool_fail(EXIT_USAGE, "compare: --types: at most %d of them", QUESTION_TYPES_MAX);
        c->what.types[c->what.types_n++] = type;
        text += len + (text[len] == ',');
    }
    return EXIT_FINE;
}

static int take_servers(struct compare_run *c)
{
    const struct option_list *l = &c->o->servers;
    if (l->n != 2)
        return tool_fail(EXIT_USAGE, "compare: it takes --server twice, not %zu times (see azoth help compare)", l->n);
    for (unsigned i = 0; i < 2; i++) {
        if (server_parse(l->v[i], &c->ask.server[i]) != OK)
            return tool_fail(EXIT_USAGE, "compare: --server: '%.100s' is no ADDRESS or ADDRESS@PORT", l->v[i]);
        c->report.server[i] = c->ask.server[i].text;
    }
    return EXIT_FINE;
}

static int take_arguments(struct compare_run *c)
{
    const struct options *o = c->o;
    c->ask.timeout_ms = TIMEOUT_MS;
    c->ask.retries = RETRIES;
    c->ask.rate = o->rate;
    c->what.dnssec = o->dnssec;
    c->rules = (struct compare_rules){ .strict = o->strict, .ignore_ttl = o->ignore_ttl, .ignore_signatures = o->ignore_signatures };
    c->report.rules = &c->rules;
    c->report.json = o->json;
    c->report.most = o->limit_differences > 0 ? o->limit_differences : SHOWN;
    if ((o->zone == NULL) == (o->axfr == NULL))
        return tool_fail(EXIT_USAGE, "compare: --zone FILE or --axfr ZONE says what to ask for: one of them");
    if (o->key != NULL && o->axfr == NULL)
        return tool_fail(EXIT_USAGE, "compare: --key is for --axfr");
    if (o->timeout != NULL && (text_duration(o->timeout, &c->ask.timeout_ms) != OK || c->ask.timeout_ms == 0 || c->ask.timeout_ms > TIMEOUT_MAX_MS))
        return tool_fail(EXIT_USAGE, "compare: --timeout: '%s' is not a time such as 500ms or 2s, of at most 60s", o->timeout);
    if (o->retries != NULL && text_number(o->retries, RETRIES_MAX, &c->ask.retries) != OK)
        return tool_fail(EXIT_USAGE, "compare: --retries: '%s' is not a number up to %d", o->retries, RETRIES_MAX);
    int code = take_servers(c);
    return code == EXIT_FINE ? take_types(c, o->types) : code;
}

/* --- the zone ---------------------------------------------------------------------------------------------------------- */
/* A file that names its zone itself: by $ORIGIN, or by the owner of its SOA. */
static int find_apex(struct compare_run *c, const char *file)
{
    for (size_t i = 0; i < c->zone.n; i++) {
        const struct zone_rr *rr = &c->zone.rr[i];
        if (rr->type != TYPE_SOA)
            continue;
        memcpy(c->zone.apex.wire, rr->owner.ptr, rr->owner.len);
        c->zone.apex.len = (uint8_t)rr->owner.len;
        return EXIT_FINE;
    }
    return tool_fail(EXIT_USAGE, "compare: %s: there is no SOA (--zone ORIGIN=FILE says whose file it is)", file);
}

static int read_file(struct compare_run *c, const char *text)
{
    const char *equals = strchr(text, '='), *file = equals != NULL ? equals + 1 : text;
    struct name apex = { 1, { 0 } };
    struct complaints *complaints = calloc(1, sizeof *complaints);
    struct fault fault = { "" };
    if (complaints == NULL)
        return tool_fail(EXIT_USAGE, "compare: out of memory");
    if (equals != NULL && (equals == text || name_from_text(bytes_of(text, (size_t)(equals - text)), bytes_of(NULL, 0), &apex) != OK)) {
        free(complaints);
        return tool_fail(EXIT_USAGE, "compare: --zone: '%.*s' is no domain name", (int)(equals - text < 200 ? equals - text : 200), text);
    }
    name_lower(apex.wire, apex.len);
    memcpy(&c->zone.apex, &apex, sizeof apex);
    c->zone.source = file;
    enum err err = zonefile_read(file, &c->zone, complaints, &fault);
    int code = EXIT_FINE;
    if (err == ERR_REFUSED && complaints->errors_n > 0)
        code = tool_fail(EXIT_USAGE, "compare: %s:%" PRIu32 ": %s", file, complaints->errors[0].line, complaints->errors[0].text);
    else if (err != OK)
        code = tool_fail(EXIT_USAGE, "compare: %s", fault_text(&fault, err));
    free(complaints);
    c->of = &c->zone;
    return code == EXIT_FINE && equals == NULL ? find_apex(c, file) : code;
}

static int transfer(struct compare_run *c, const char *text)
{
    uint8_t secret[SECRET_MAX];
    struct tsig_key key;
    struct name apex;
    struct fault fault = { "" };
    enum err err;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &apex) != OK)
        return tool_fail(EXIT_USAGE, "compare: --axfr: '%.200s' is no domain name", text);
    name_lower(apex.wire, apex.len);
    if (c->o->key != NULL && axfr_key_parse(c->o->key, secret, sizeof secret, &key, &fault) != OK)
        return tool_fail(EXIT_USAGE, "compare: --key: %s", fault.text);
    uint64_t timeout_ms = c->ask.timeout_ms > AXFR_TIMEOUT_MS ? c->ask.timeout_ms : AXFR_TIMEOUT_MS;
    err = axfr_fetch(&c->ask.server[0], name_bytes(&apex), c->o->key != NULL ? &key : NULL, timeout_ms, &c->transfer, &fault);
    sodium_memzero(secret, sizeof secret);
    if (err != OK)
        return tool_fail(EXIT_USAGE, "compare: %s", fault_text(&fault, err));
    c->of = xfrin_zone(c->transfer);
    return EXIT_FINE;
}

static int open_questions(struct compare_run *c)
{
    struct fault fault = { "" };
    int code = c->o->zone != NULL ? read_file(c, c->o->zone) : transfer(c, c->o->axfr);
    if (code != EXIT_FINE)
        return code;
    c->rules.apex = name_bytes(&c->of->apex);
    enum err err = questions_open(&c->questions, c->of, &c->what, &fault);
    return err == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "compare: %s", fault_text(&fault, err));
}

/* --- the probe: are they there, and do they know the zone? ------------------------------------------------------------------ */
static bool probe_next(void *arg, struct question *out)
{
    struct compare_run *c = arg;
    if (c->probed)
        return false;
    c->probed = true;
    *out = (struct question){ .name = c->of->apex, .type = TYPE_SOA };
    return true;
}

static enum err probe_done(void *arg, const struct question *q, const struct bytes msg[2])
{
    struct compare_run *c = arg;
    struct answer a;
    (void)q;
    for (unsigned i = 0; i < 2; i++) {
        enum err err = msg[i].ptr == NULL ? ERR_AGAIN : answer_read(msg[i], &c->arena, &a);
        if (err == ERR_NOMEM)
            return err;
        c->heard[i] = err != ERR_AGAIN;
        c->rcode[i] = err == OK ? a.rcode : RCODE_SERVFAIL;
    }
    return OK;
}

static int probe(struct compare_run *c)
{
    char apex[NAME_TEXT_MAX], rcode[2][RCODE_TEXT_MAX];
    struct fault fault = { "" };
    enum err err = asker_run(c->asker, probe_next, probe_done, c, &fault);
    if (err != OK)
        return tool_fail(EXIT_USAGE, "compare: %s", fault_text(&fault, err));
    for (unsigned i = 0; i < 2; i++) {
        int problem = asker_figures(c->asker, i).problem;
        if (!c->heard[i])
            return tool_fail(EXIT_USAGE, "compare: %s does not answer: asked %" PRIu64 " times, %" PRIu64 " ms each%s%s", c->ask.server[i].text,
                             c->ask.retries + 1, c->ask.timeout_ms, problem != 0 ? ": " : "", problem != 0 ? strerror(problem) : "");
    }
    if (c->rcode[0] != RCODE_NOERROR && c->rcode[1] != RCODE_NOERROR)
        return tool_fail(EXIT_USAGE, "compare: neither server has the zone %s: %s answers %s, %s answers %s",
                         name_text(apex, sizeof apex, c->rules.apex), c->ask.server[0].text, rcode_text(rcode[0], c->rcode[0]),
                         c->ask.server[1].text, rcode_text(rcode[1], c->rcode[1]));
    return EXIT_FINE;
}

/* --- the run ----------------------------------------------------------------------------------------------------------- */
static bool run_next(void *arg, struct question *out)
{
    struct compare_run *c = arg;
    return questions_next(c->questions, out);
}

static enum err run_done(void *arg, const struct question *q, const struct bytes msg[2])
{
    struct compare_run *c = arg;
    struct compared compared;
    arena_reset(&c->arena);
    enum err err = compare_answers(&c->rules, q, msg, &c->arena, &compared);
    if (err == OK)
        err = report_take(&c->report, q, &compared, msg);
    progress_set(c->report.bar, ++c->done);
    return err;
}

static int run(struct compare_run *c)
{
    struct fault fault = { "" };
    uint64_t start_us = clock_mono_us();
    progress_open(&c->report.bar, "compare", "questions", questions_count(c->questions));
    enum err err = asker_run(c->asker, run_next, run_done, c, &fault);
    progress_close(c->report.bar);
    c->report.bar = NULL;
    for (unsigned i = 0; i < 2; i++)
        c->report.retries[i] = asker_figures(c->asker, i).retries;
    if (err == OK || err == ERR_NET) {
        enum err ended = report_end(&c->report, (double)(clock_mono_us() - start_us) / 1e6);
        err = err == OK ? ended : err;
    }
    if (err != OK)
        return tool_fail(EXIT_USAGE, "compare: %s", fault_text(&fault, err));
    return report_differs(&c->report) ? EXIT_DATA : EXIT_FINE;
}

int cmd_compare(const struct options *o)
{
    static const uint8_t root[1] = { 0 };
    struct compare_run *c = calloc(1, sizeof *c);
    struct fault fault = { "" };
    enum err err;
    if (c == NULL)
        return tool_fail(EXIT_USAGE, "compare: out of memory");
    c->o = o;
    zone_init(&c->zone, bytes_of(root, sizeof root), "");
    arena_init(&c->arena);
    int code = take_arguments(c);
    if (code == EXIT_FINE)
        code = open_questions(c);
    if (code == EXIT_FINE && (err = asker_open(&c->asker, &c->ask, &fault)) != OK)
        code = tool_fail(EXIT_USAGE, "compare: %s", fault_text(&fault, err));
    if (code == EXIT_FINE)
        code = probe(c);
    if (code == EXIT_FINE)
        code = run(c);
    asker_close(c->asker);
    questions_close(c->questions);
    report_release(&c->report);
    xfrin_end(c->transfer);
    zone_release(&c->zone);
    arena_release(&c->arena);
    free(c);
    return tool_done(code);
}
