/* Golden answers: tests/golden/answers/NAME.txt. Each file has zones, then questions with the answers they must get.
 *
 *     zone ORIGIN              the zone file follows, each line behind "| "
 *     > NAME TYPE [option...]  a question. +edns=SIZE, +do, +nsid, +rd, +tcp, +class=CH|ANY|..., +max=BYTES
 *     RCODE flags [bytes=N]    what comes back: then a line per record, "an", "ns" or "ar" in front; OPT as "opt ..."
 *
 * AZOTH_GOLDEN_UPDATE=1 writes what came back into the file: look at the difference before you keep it. */
#include <ldns/ldns.h>
#include "tests/answer_bed.h"

#include <dirent.h>

#include "base/text.h"
#include "rrset/rrkey.h"
#include "rrset/rrset.h"

struct text { char *at; size_t len, cap; };

static void print(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (t->len + (size_t)n + 1 > t->cap) {
        t->cap = (t->len + (size_t)n + 1) * 2;
        t->at = realloc(t->at, t->cap);
    }
    va_start(args, format);
    (void)vsnprintf(t->at + t->len, t->cap - t->len, format, args);
    va_end(args);
    t->len += (size_t)n;
}

/* --- replies as text -------------------------------------------------------------------------------------------- */
static void render_section(struct text *t, const char *name, const ldns_rr_list *list)
{
    for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
        char *line = ldns_rr2str(ldns_rr_list_rr(list, i));
        for (char *p = line; *p != '\0'; p++)
            *p = *p == '\t' ? ' ' : *p;
        line[strcspn(line, "\n")] = '\0';
        print(t, "%s %s\n", name, line);
        free(line);
    }
}

static void render_opt(struct text *t, ldns_pkt *pkt)
{
    char hex[600];
    ldns_rdf *data = ldns_pkt_edns_data(pkt);
    print(t, "opt size=%u%s", ldns_pkt_edns_udp_size(pkt), ldns_pkt_edns_do(pkt) ? " do" : "");
    if (ldns_pkt_edns_extended_rcode(pkt) > 0)
        print(t, " extended=%u", ldns_pkt_edns_extended_rcode(pkt));
    if (data != NULL)
        print(t, " data=%s", text_hex(hex, sizeof hex, bytes_of(ldns_rdf_data(data), ldns_rdf_size(data))));
    print(t, "\n");
}

static void render(struct text *t, struct bytes query, struct bytes reply, bool sized)
{
    static const char *const rcodes[] = { "NOERROR", "FORMERR",  "SERVFAIL", "NXDOMAIN", "NOTIMP",
                                          "REFUSED", "YXDOMAIN", "7",        "8",        "NOTAUTH" };
    ldns_pkt *pkt = NULL;
    if (reply.len == 0) {
        print(t, "nothing\n");
        return;
    }
    ldns_status status = ldns_wire2pkt(&pkt, reply.ptr, reply.len);
    if (status != LDNS_STATUS_OK) {
        print(t, "unreadable: %s\n", ldns_get_errorstr_by_id(status));
        return;
    }
    unsigned rcode = ldns_pkt_get_rcode(pkt);
    print(t, "%s%s%s%s%s%s", rcode < ROWS(rcodes) ? rcodes[rcode] : "?", ldns_pkt_qr(pkt) ? "" : " noqr",
          ldns_pkt_aa(pkt) ? " aa" : "", ldns_pkt_tc(pkt) ? " tc" : "", ldns_pkt_rd(pkt) ? " rd" : "",
          ldns_pkt_ra(pkt) ? " ra" : "");
    size_t question = query.len < 12 + 5 ? 0 : 12;
    for (; question > 0 && query.ptr[question] != 0; question += query.ptr[question] + 1u)
        ;
    if (question > 0 && (reply.len < question + 5 || memcmp(query.ptr + 12, reply.ptr + 12, question - 12 + 5) != 0))
        print(t, " other-question");
    if (sized)
        print(t, " bytes=%zu", reply.len);
    print(t, "\n");
    render_section(t, "an", ldns_pkt_answer(pkt));
    render_section(t, "ns", ldns_pkt_authority(pkt));
    render_section(t, "ar", ldns_pkt_additional(pkt));
    if (ldns_pkt_edns(pkt))
        render_opt(t, pkt);
    ldns_pkt_free(pkt);
}

/* --- questions as text ------------------------------------------------------------------------------------------ */
static uint16_t type_of(const char *text)
{
    ldns_rr_type type = ldns_get_rr_type_by_name(text);
    if (type == 0 && strcmp(text, "TYPE0") != 0) {
        fprintf(stderr, "no type %s\n", text);
        abort();
    }
    return (uint16_t)type;
}

static void option(struct ask *q, const char *word, bool *sized)
{
    if (strncmp(word, "+edns=", 6) == 0)
        q->udp_size = (uint16_t)strtoul(word + 6, NULL, 10);
    else if (strncmp(word, "+max=", 5) == 0)
        q->max = strtoul(word + 5, NULL, 10);
    else if (strncmp(word, "+class=", 7) == 0)
        q->qclass = (uint16_t)strtoul(word + 7, NULL, 10);
    else if (strcmp(word, "+do") == 0)
        q->dnssec_ok = true;
    else if (strcmp(word, "+nsid") == 0)
        q->nsid = true;
    else if (strcmp(word, "+tcp") == 0)
        q->tcp = true;
    else if (strcmp(word, "+rd") == 0)
        q->rd = true;
    else if (strcmp(word, "+size") == 0)
        *sized = true;
    else {
        fprintf(stderr, "no option %s\n", word);
        abort();
    }
}

static void ask_line(struct bed *b, const char *line, struct text *out)
{
    char copy[4096], *save = NULL;
    uint8_t buf[512];
    struct name name;
    bool sized = false;
    struct ask q = { .qclass = CLASS_IN };
    (void)snprintf(copy, sizeof copy, "%s", line);
    bed_name(strtok_r(copy, " ", &save), &name);
    q.qname = name_bytes(&name);
    q.qtype = type_of(strtok_r(NULL, " ", &save));
    for (char *word = strtok_r(NULL, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        option(&q, word, &sized);
    if (q.dnssec_ok && q.udp_size == 0)
        q.udp_size = 4096;
    struct bytes query = heap_copy(buf, ask_write(&q, buf, sizeof buf)), reply = bed_send(b, query, q.tcp, q.max);
    render(out, query, reply, sized);
    bytes_free(query);
    bytes_free(reply);
}

/* --- files ------------------------------------------------------------------------------------------------------ */
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (f == NULL || fread(text, 1, (1 << 20) - 1, f) == 0) {
        perror(path);
        abort();
    }
    (void)fclose(f);
    return text;
}

/* Runs the file; the same file with the answers that came goes to *out. */
static void run_lines(struct bed *b, char *text, struct text *out)
{
    struct text zone = { 0 };
    char origin[NAME_TEXT_MAX] = "";
    bool answers = false;
    for (char *line = text, *end; *line != '\0'; line = end) {
        end = strchr(line, '\n');
        if (end == NULL)
            end = line + strlen(line);
        else
            *end++ = '\0';
        if (line[0] != '|' && zone.len > 0) {
            bed_load(b, origin, zone.at);
            zone.len = 0;
        }
        if (strncmp(line, "zone ", 5) == 0)
            (void)snprintf(origin, sizeof origin, "%s", line + 5);
        if (line[0] == '|')
            print(&zone, "%s\n", line[1] == ' ' ? line + 2 : line + 1);
        answers = answers && line[0] != '\0' && line[0] != '#' && line[0] != '>';
        if (answers)
            continue;                               /* replaced by what came */
        print(out, "%s\n", line);
        if (line[0] == '>') {
            ask_line(b, line + 2, out);
            answers = true;
        }
    }
    free(zone.at);
}

static void tell_difference(const char *path, const char *want, const char *got)
{
    unsigned line = 1;
    const char *start_want = want, *start_got = got;
    while (*want != '\0' && *want == *got) {
        if (*want == '\n') {
            line++;
            start_want = want + 1;
            start_got = got + 1;
        }
        want++;
        got++;
    }
    fail_msg("%s:%u\nwant %.*s\ngot  %.*s", path, line, (int)strcspn(start_want, "\n"), start_want,
             (int)strcspn(start_got, "\n"), start_got);
}

static void run_file(const char *path)
{
    struct bed bed;
    struct text got = { 0 };
    char *text = read_file(path), *want = strdup(text);
    bed_open(&bed, "site-1", "azoth test");
    run_lines(&bed, text, &got);
    if (getenv("AZOTH_GOLDEN_UPDATE") != NULL) {
        FILE *f = fopen(path, "wb");
        if (f == NULL || fwrite(got.at, 1, got.len, f) != got.len || fclose(f) != 0)
            abort();
    } else if (strcmp(want, got.at) != 0) {
        tell_difference(path, want, got.at);
    }
    assert_int_equal(stat_get(&bed.counts.broken), 0);
    bed_close(&bed);
    free(got.at);
    free(text);
    free(want);
}

static void golden_answers(void **state)
{
    char dir[512], path[1024];
    const char *root = getenv("srcdir");
    struct dirent **list;
    (void)state;
    (void)snprintf(dir, sizeof dir, "%s/tests/golden/answers", root != NULL ? root : ".");
    int n = scandir(dir, &list, NULL, alphasort), ran = 0;
    for (int i = 0; i < n; i++) {
        size_t len = strlen(list[i]->d_name);
        if (len > 4 && strcmp(list[i]->d_name + len - 4, ".txt") == 0) {
            (void)snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
            run_file(path);
            ran++;
        }
        free(list[i]);
    }
    free(list);
    assert_true(ran >= 5);
}

/* --- what text cannot ask --------------------------------------------------------------------------------------- */
static const struct { const char *why, *query, *reply;
} raw_rows[] = {
    { "eleven bytes", "1234 0100 0001 0000 0000 00", "" },
    { "a response", "1234 8100 0001 0000 0000 0000 00 0001 0001", "" },
    { "no question", "1234 0100 0000 0000 0000 0000", "1234 8101 0000 0000 0000 0000" },
    { "two questions", "1234 0100 0002 0000 0000 0000 00 0001 0001 00 0002 0001", "1234 8101 0000 0000 0000 0000" },
    { "name ends early", "1234 0100 0001 0000 0000 0000 03 61", "1234 8101 0000 0000 0000 0000" },
    { "pointer in the question", "1234 0100 0001 0000 0000 0000 c00c 0001 0001", "1234 8101 0000 0000 0000 0000" },
    { "NOTIFY", "1234 2000 0001 0000 0000 0000 00 0006 0001", "1234 a004 0001 0000 0000 0000 00 0006 0001" },
    { "UPDATE", "1234 2800 0001 0000 0000 0000 00 0006 0001", "1234 a804 0001 0000 0000 0000 00 0006 0001" },
    { "CD and RD come back, AD not", "1234 0130 0001 0000 0000 0000 00 0001 0001",
      "1234 8115 0001 0000 0000 0000 00 0001 0001" },
    { "EDNS version 1", "1234 0000 0001 0000 0000 0001 00 0001 0001 00 0029 1000 00 01 8000 0000",
      "1234 8000 0001 0000 0000 0001 00 0001 0001 00 0029 04d0 01 00 8000 0000" },
    { "two OPT", "1234 0000 0001 0000 0000 0002 00 0001 0001 00 0029 1000 00000000 0000 00 0029 1000 00000000 0000",
      "1234 8001 0001 0000 0000 0000 00 0001 0001" },
    { "TSIG without data", "1234 0000 0001 0000 0000 0001 00 0001 0001 00 00fa 00ff 00000000 0000",
      "1234 8001 0001 0000 0000 0000 00 0001 0001" },
};

static void raw_queries(void **state)
{
    struct bed bed, *b = &bed;
    (void)state;
    bed_open(b, NULL, NULL);
    bed_load(b, "a.", "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n");
    for (size_t i = 0; i < ROWS(raw_rows); i++) {
        struct bytes query = heap_from_hex(raw_rows[i].query), want = heap_from_hex(raw_rows[i].reply);
        struct bytes got = bed_send(b, query, false, 0);
        char text[2048];
        if (!bytes_equal(got, want))
            fail_msg("%s: got %s", raw_rows[i].why, text_hex(text, sizeof text, got));
        bytes_free(query);
        bytes_free(want);
        bytes_free(got);
    }
    bed_close(b);
}

static void without_a_store(void **state)
{
    static struct answer_counters counts;
    struct answer_options o = { .counts = &counts };
    struct answer_from from = { .proto = ANSWER_UDP, .max = ANSWER_UDP_MAX };
    struct answerer *a;
    uint8_t out[512];
    struct bytes query = heap_from_hex("1234 0000 0001 0000 0000 0000 00 0001 0001");
    (void)state;
    assert_int_equal(answerer_open(&a, NULL, &o), OK);
    size_t len = answer(a, query, &from, out, sizeof out);
    assert_int_equal(len, query.len);
    assert_int_equal(out[3] & 15, RCODE_SERVFAIL);
    assert_int_equal(answer(a, query, &from, out, 16), 0);      /* no room for the question */
    answerer_close(a);
    bytes_free(query);
}

/* An empty store is not ready; one that has data, but no zone, knows that a name is not its own. */
static void empty_stores(void **state)
{
    struct bed bed, *b = &bed;
    struct name root = { 1, { 0 } };
    struct ask q = { .qname = name_bytes(&root), .qtype = TYPE_A, .qclass = CLASS_IN };
    struct op op = { OP_PUT, bytes_of_text("other"), bytes_of_text("key"), bytes_of_text("value") };
    (void)state;
    bed_open(b, NULL, NULL);
    struct bytes reply = bed_ask(b, &q);
    assert_int_equal(reply.ptr[3] & 15, RCODE_SERVFAIL);
    bytes_free(reply);
    bed_apply(b, &op, 1);
    reply = bed_ask(b, &q);
    assert_int_equal(reply.ptr[3] & 15, RCODE_REFUSED);
    bytes_free(reply);
    bed_close(b);
}

/* A zone whose header says that it is not live: SERVFAIL for all of it; behind an alias it is as if it were not ours. */
static void zones_not_live(void **state)
{
    static const struct { const char *name; uint16_t type; unsigned rcode; unsigned answers;
    } rows[] = {
        { "www.down.", TYPE_A, RCODE_SERVFAIL, 0 }, { "www.down.", TYPE_MX, RCODE_SERVFAIL, 0 },
        { "no.down.", TYPE_A, RCODE_SERVFAIL, 0 },  { "x.cut.down.", TYPE_A, RCODE_SERVFAIL, 0 },
        { "down.", TYPE_SOA, RCODE_SERVFAIL, 0 },   { "a.w.down.", TYPE_A, RCODE_SERVFAIL, 0 },
        { "www.up.", TYPE_A, RCODE_NOERROR, 1 },    { "to.up.", TYPE_A, RCODE_NOERROR, 1 },
    };
    struct bed bed, *b = &bed;
    struct bytes value;
    struct zone_header h;
    struct name apex;
    uint8_t key[RRKEY_MAX], buf[1024];
    struct wr k = wr_over(key, sizeof key), w = wr_over(buf, sizeof buf);
    (void)state;
    bed_open(b, NULL, NULL);
    bed_load(b, "down.",
             "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nwww A 192.0.2.1\ncut NS ns.test.\n*.w A 192.0.2.2\n");
    bed_load(b, "up.", "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nwww A 192.0.2.1\nto CNAME www.down.\n");
    bed_name("down.", &apex);
    assert_int_equal(rrkey_write(name_bytes(&apex), RRSLOT_ZONE, &k), OK);
    for (int live = 1; live >= 0; live--) {
        for (size_t i = 0; i < ROWS(rows); i++) {
            struct name name;
            bed_name(rows[i].name, &name);
            struct ask q = { .qname = name_bytes(&name), .qtype = rows[i].type, .qclass = CLASS_IN };
            struct bytes reply = bed_ask(b, &q);
            unsigned rcode = reply.ptr[3] & 15;
            if (live && rcode == RCODE_SERVFAIL)
                fail_msg("%s fails while live", rows[i].name);
            if (!live && (rcode != rows[i].rcode || reply.ptr[7] != rows[i].answers))
                fail_msg("%s: rcode %u, %u answers", rows[i].name, rcode, reply.ptr[7]);
            bytes_free(reply);
        }
        assert_int_equal(view_begin(b->build_view), OK);
        assert_int_equal(view_get(b->build_view, bytes_of_text("dns"), wr_done(&k), &value), OK);
        assert_int_equal(zone_header_read(value, &h), OK);
        h.state = ZONE_EXPIRED;
        w.len = 0;
        zone_header_write(&w, &h);
        view_end(b->build_view);
        struct op op = { OP_PUT, bytes_of_text("dns"), wr_done(&k), wr_done(&w) };
        bed_apply(b, &op, 1);
    }
    assert_int_equal(stat_get(&b->counts.broken), 0);
    bed_close(b);
}

/* The proof of one descent: positive answers, no-data answers and referrals cost exactly one each, with the zone table warm. */
static void one_descent(void **state)
{
    static const char *const names[] = { "www.a.", "a.", "x.cut.a.", "cut.a.", "ent.a.", "x.y.z.cut.a.", "no.a." };
    struct bed bed, *b = &bed;
    (void)state;
    bed_open(b, NULL, NULL);
    bed_load(b, "a.",
             "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns.test.\nwww A 192.0.2.1\nd.ent A 192.0.2.2\ncut NS ns.cut\nns.cut "
             "A 192.0.2.3\n");
    for (unsigned round = 0; round < 10; round++) {
        for (size_t i = 0; i < ROWS(names); i++) {
            struct name name;
            bed_name(names[i], &name);
            struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_A, .qclass = CLASS_IN };
            bytes_free(bed_ask(b, &q));
        }
    }
    assert_int_equal(stat_get(&b->counts.steps[STEP_EXACT]), 10 * ROWS(names));
    for (unsigned step = 0; step < STEP_N; step++)      /* the zone header once */
        assert_int_equal(stat_get(&b->counts.descents[step]), step == STEP_EXACT  ? 10 * ROWS(names)
                                                              : step == STEP_ZONE ? 1
                                                                                  : 0);
    bed_close(b);
}

/* Zones that stand below another one without its delegation are looked past, for all names of an RRset together no more often
 * than for one question. */
static void nested_zones_cost_little(void **state)
{
    enum { NAMES = 60 };
    struct bed bed, *b = &bed;
    struct text zone = { 0 };
    struct name name;
    (void)state;
    bed_open(b, NULL, NULL);
    print(&zone, "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns.test.\n*.w A 192.0.2.1\n");
    for (unsigned i = 0; i < NAMES; i++) {
        char origin[32];
        print(&zone, "@ MX 1 q%u.t\n", i);
        (void)snprintf(origin, sizeof origin, "z%u.t.a.", i);
        bed_load(b, origin, "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns.test.\n");
    }
    bed_load(b, "a.", zone.at);
    free(zone.at);
    bed_name("a.", &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_MX, .qclass = CLASS_IN, .tcp = true };
    uint64_t before = stat_get(&b->counts.descents[STEP_ZONE]);
    bytes_free(bed_ask(b, &q));
    uint64_t seeks = stat_get(&b->counts.descents[STEP_ZONE]) - before;
    if (seeks > 64 + 8 * NAMES)
        fail_msg("%llu descents of step zone", (unsigned long long)seeks);
    bed_close(b);
}

/* Messages in which names stand where no pointer reaches (behind 16,383): every NS and every address comes back as it
 * went in. */
static void beyond_pointers(void **state)
{
    enum { NAMES = 900 };
    static const char *const asks[] = { "x.cut.a.", "x.sib.a.", "Cut.a.", "b." };
    struct bed bed, *b = &bed;
    struct text zone = { 0 }, other = { 0 };
    (void)state;
    bed_open(b, NULL, NULL);
    print(&zone, "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns.test.\n");
    print(&other, "$TTL 300\n@ SOA ns h 1 2 3 4 5\n");
    for (unsigned i = 0; i < NAMES; i++) {
        print(&zone, "cut NS n%u.name-servers.cut\nsib NS n%u.name-servers.cut\n", i, i);
        print(&zone, "n%u.name-servers.cut A 10.0.%u.%u\n", i, i / 256, i % 256);
        print(&other, "@ NS n%u.name-servers\nn%u.name-servers A 10.0.%u.%u\n", i, i, i / 256, i % 256);
    }
    bed_load(b, "a.", zone.at);
    bed_load(b, "b.", other.at);
    for (size_t k = 0; k < ROWS(asks); k++) {
        struct name name;
        ldns_pkt *pkt = NULL;
        bool seen[NAMES] = { false };
        bed_name(asks[k], &name);
        struct ask q = { .qname = name_bytes(&name), .qtype = TYPE_NS, .qclass = CLASS_IN, .tcp = true };
        struct bytes reply = bed_ask(b, &q);
        assert_int_equal(ldns_wire2pkt(&pkt, reply.ptr, reply.len), LDNS_STATUS_OK);
        assert_true(reply.len > 17000 && !ldns_pkt_tc(pkt));
        ldns_rr_list *ns = ldns_rr_list_rr_count(ldns_pkt_answer(pkt)) > 0 ? ldns_pkt_answer(pkt) : ldns_pkt_authority(pkt);
        assert_int_equal(ldns_rr_list_rr_count(ns), NAMES);
        for (size_t i = 0; i < ldns_rr_list_rr_count(ldns_pkt_additional(pkt)); i++) {
            ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_additional(pkt), i);
            const uint8_t *addr = ldns_rdf_data(ldns_rr_rdf(rr, 0));
            unsigned n = addr[2] * 256u + addr[3];
            char want[32];
            (void)snprintf(want, sizeof want, "n%u", n);
            const uint8_t *label = ldns_rdf_data(ldns_rr_owner(rr));
            assert_true(n < NAMES && !seen[n] && label[0] == strlen(want) && memcmp(label + 1, want, label[0]) == 0);
            seen[n] = true;
        }
        size_t glue = ldns_rr_list_rr_count(ldns_pkt_additional(pkt));
        if (k == 1 || k == 3 ? glue < 32 : glue != NAMES)       /* what is optional is looked up for the first names only */
            fail_msg("%s: %zu addresses", asks[k], glue);
        ldns_pkt_free(pkt);
        bytes_free(reply);
    }
    assert_int_equal(stat_get(&b->counts.broken), 0);
    free(zone.at);
    free(other.at);
    bed_close(b);
}

/* Every byte of every value of a zone changed in turn: SERVFAIL or another answer, but always a well-formed reply. */
static void broken_values(void **state)
{
    static const char zone[] =
        "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nc NS ns.c\nc NS x.d\nns.c A 192.0.2.2\nd NS x.d\n"
        "x.d AAAA 2001:db8::1\nalias CNAME deep.sub\n*.sub MX 1 mail.sub\ndn DNAME sub\n";
    static const struct { const char *name; uint16_t type;
    } asks[] = {
        { "ns.a.", TYPE_A }, { "w.c.a.", TYPE_A },   { "alias.a.", TYPE_MX }, { "x.sub.a.", TYPE_MX },
        { "no.a.", TYPE_A }, { "y.dn.a.", TYPE_MX }, { "a.", TYPE_NS },
    };
    struct bed bed, *b = &bed;
    struct cursor *c;
    struct entry e;
    (void)state;
    bed_open(b, NULL, NULL);
    bed_load(b, "a.", zone);
    struct { struct bytes key, value; } all[64];
    size_t n = 0;
    assert_int_equal(view_begin(b->build_view), OK);
    assert_int_equal(cursor_open(b->build_view, bytes_of_text("dns"), &c), OK);
    for (enum err err = cursor_seek(c, (struct bytes){ 0 }, &e); err == OK && n < ROWS(all); err = cursor_next(c, &e)) {
        all[n].key = heap_copy(e.key.ptr, e.key.len);
        all[n++].value = heap_copy(e.value.ptr, e.value.len);
    }
    cursor_close(c);
    view_end(b->build_view);
    assert_true(n >= 8);
    struct rnd r = rnd_seed(seed_from_env(7));
    for (unsigned round = 0; round < 1500; round++) {
        size_t i = rnd_below(&r, (uint32_t)n);
        struct bytes bad = heap_copy(all[i].value.ptr, all[i].value.len);
        uint8_t *at = (uint8_t *)(uintptr_t)bad.ptr + rnd_below(&r, (uint32_t)bad.len);
        *at = (uint8_t)(*at ^ (1 + rnd_below(&r, 255)));
        struct op op = { OP_PUT, bytes_of_text("dns"), all[i].key,
                         bytes_of(bad.ptr, bad.len - (rnd_below(&r, 8) == 0)) };
        bed_apply(b, &op, 1);
        for (size_t k = 0; k < ROWS(asks); k++) {
            struct name name;
            bed_name(asks[k].name, &name);
            struct ask q = { .qname = name_bytes(&name), .qtype = asks[k].type, .qclass = CLASS_IN, .tcp = k % 2 == 0 };
            struct bytes reply = bed_ask(b, &q);
            assert_true(reply.len >= DNS_HEADER_LEN + name.len + 4u);
            assert_memory_equal(reply.ptr + DNS_HEADER_LEN, name.wire, name.len);
            bytes_free(reply);
        }
        op.value = all[i].value;
        bed_apply(b, &op, 1);
        bytes_free(bad);
    }
    assert_true(stat_get(&b->counts.broken) > 100);
    for (size_t i = 0; i < n; i++) {
        bytes_free(all[i].key);
        bytes_free(all[i].value);
    }
    bed_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_answers), cmocka_unit_test(raw_queries),    cmocka_unit_test(without_a_store),
        cmocka_unit_test(empty_stores), cmocka_unit_test(zones_not_live), cmocka_unit_test(one_descent),
        cmocka_unit_test(beyond_pointers), cmocka_unit_test(nested_zones_cost_little),
        cmocka_unit_test(broken_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
