/* Transfers out: what is in the messages, read back by a reader of its own; which form an answer takes; the stream of signed messages
 * through the threads that make them. */
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "builder/journal.h"
#include "builder/spool.h"
#include "builder/transfers.h"
#include "builder/turns.h"
#include "tests/unit/builder_zone.h"
#include "wire/query.h"

static struct place p;
static struct journal *journal;
static struct complaints complaints;
static struct fault fault;
#define CHECK(call) check_at(call, __LINE__)
static void check_at(enum err err, int line)
{
    if (err != OK)
        fail_msg("line %d: %s (%s)", line, fault_text(&fault, err), err_text(err));
}

#define EXAMPLE "example.com."
#define ZONE(serial, more) "@ 7200 SOA ns h " serial " 3600 600 86400 300\n@ 300 NS ns\nns 300 A 192.0.2.1\n" more

static void begin(void)
{
    place_open(&p);
    CHECK(journal_open(&journal, p.store, &fault));
}
static void end(void)
{
    journal_close(journal);
    place_close(&p);
}

static void load(const char *text)
{
    static const struct author author = { .via = VIA_API };
    struct name apex = name_of(EXAMPLE);
    struct zone_build_options o = { .kind = ZONE_FILE, .force = true };
    struct op_list ops;
    struct zone z;
    uint64_t seq = 0;
    op_list_init(&ops);
    zone_init(&z, name_bytes(&apex), "test");
    CHECK(zonefile_read_text(bytes_of_text(text), "test", &z, &complaints, &fault));
    CHECK(view_begin(p.view));
    CHECK(zone_build(&z, p.view, &o, &complaints, &ops, &fault));
    CHECK(commit_stage(p.committer, ops.ops, ops.n, &seq, &fault));
    CHECK(journal_note(p.committer, p.view, name_bytes(&apex), ops.ops, ops.n, seq, &author, true, &fault));
    view_end(p.view);
    CHECK(commit_flush(p.committer, &fault));
    op_list_release(&ops);
    zone_release(&z);
}

/* --- a reader of messages ------------------------------------------------------------------------------------------------------ */
struct got { struct lines l; unsigned messages, records, soas; size_t longest; uint16_t flags; unsigned opts; };
#define ID 0x1234

static void read_record(struct got *g, struct rd *r, struct bytes msg, bool answer)
{
    struct name owner;
    assert_int_equal(name_unpack(r, msg, &owner), OK);
    uint16_t type = rd_u16(r), rrclass = rd_u16(r);
    uint32_t ttl = rd_u32(r);
    struct bytes rdata = rd_take(r, rd_u16(r));
    assert_false(r->bad);
    if (!answer) {
        g->opts += type == TYPE_OPT;
        return;
    }
    assert_int_equal(rrclass, 1);
    struct zone_rr rr = { .owner = name_bytes(&owner), .rdata = rdata, .ttl = ttl, .type = type };
    g->soas += type == TYPE_SOA;
    g->records++;
    assert_true(lines_add(&g->l, &rr));
}

static enum err read_message(void *arg, struct bytes in)
{
    struct got *g = arg;
    struct bytes msg = heap_copy(in.ptr, in.len);
    struct rd r = rd_over(msg);
    struct name name;
    assert_int_equal(rd_u16(&r), ID);
    g->flags = rd_u16(&r);
    uint16_t questions = rd_u16(&r), answers = rd_u16(&r), authority = rd_u16(&r), additional = rd_u16(&r);
    assert_int_equal(questions, g->messages == 0);      /* RFC 5936 section 2.2.1 */
    assert_int_equal(authority, 0);
    if (questions > 0) {
        assert_int_equal(name_unpack(&r, msg, &name), OK);
        (void)rd_u32(&r);
    }
    for (unsigned i = 0; i < answers; i++)
        read_record(g, &r, msg, true);
    for (unsigned i = 0; i < additional; i++)
        read_record(g, &r, msg, false);
    assert_true(rd_done(&r));
    g->messages++;
    g->longest = msg.len > g->longest ? msg.len : g->longest;
    bytes_free(msg);
    return OK;
}

static uint8_t question[NAME_MAX_LEN + 4];
static struct bytes question_of(const char *zone, uint16_t type)
{
    struct name n = name_of(zone);
    struct wr w = wr_over(question, sizeof question);
    wr_bytes(&w, name_bytes(&n));
    wr_u16(&w, type);
    wr_u16(&w, 1);
    return wr_done(&w);
}

struct asked { bool ixfr, udp, edns; uint32_t serial; size_t max, room; };
static struct xfrout_made take(const struct asked *a, struct got *g)
{
    struct xfrout_ask ask = { .apex = name_of(EXAMPLE), .ixfr = a->ixfr, .udp = a->udp, .serial = a->serial };
    struct xfr_question q = { .id = ID, .flags = DNS_RD, .question = question_of(EXAMPLE, a->ixfr ? TYPE_IXFR : TYPE_AXFR),
                              .has_edns = a->edns, .max = a->max > 0 ? a->max : XFRPACK_MAX, .room = a->room };
    struct xfrout_made made;
    *g = (struct got){ .messages = 0 };
    CHECK(view_begin(p.view));
    CHECK(xfrout_make(&ask, &q, p.view, journal, read_message, g, &made, &fault));
    view_end(p.view);
    assert_int_equal(made.messages, g->messages);
    assert_int_equal(made.records, g->records);
    assert_int_equal(g->flags, DNS_QR | DNS_AA | DNS_RD);
    assert_int_equal(g->opts, a->edns);
    assert_true(g->longest <= q.max - q.room);
    return made;
}

static char *walked(void)
{
    struct name apex = name_of(EXAMPLE);
    struct lines l = { 0 };
    CHECK(view_begin(p.view));
    CHECK(zone_walk(name_bytes(&apex), p.view, lines_add, &l, &fault));
    view_end(p.view);
    return l.text;
}

/* --- AXFR ------------------------------------------------------------------------------------------------------------------------ */
static void check_whole(const struct got *g)
{
    char *want = walked(), *soa_end = strchr(want, '\n') + 1;
    size_t soa = (size_t)(soa_end - want), len = strlen(want);
    assert_int_equal(g->soas, 2);
    assert_int_equal(g->l.len, len + soa);
    assert_memory_equal(g->l.text, want, len);
    assert_memory_equal(g->l.text + len, want, soa);
    free(want);
}

static void axfr(void **state)
{
    struct got g;
    (void)state;
    begin();
    load(ZONE("1", "*.w 300 TXT x\nsub 300 NS ns.sub\nns.sub 300 A 192.0.2.9\nd 300 DNAME other.example.\n\\065\\046b 300 A 192.0.2.7\n"));
    struct xfrout_made made = take(&(struct asked){ .edns = true }, &g);
    assert_int_equal(made.form, XFROUT_AXFR);
    assert_int_equal(made.serial, 1);
    assert_int_equal(g.messages, 1);
    check_whole(&g);
    free(g.l.text);
    end();
}

/* Owners point at one another, across labels that are alike, and messages end where no pointer would reach. */
static void many_messages(void **state)
{
    static char text[1 << 20];
    struct got g;
    size_t n = (size_t)snprintf(text, sizeof text, "%s", ZONE("1", ""));
    (void)state;
    for (unsigned i = 0; i < 4000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "h%u.a.a.a%u 300 A 192.0.2.%u\n", i, i % 7, i % 250);
    n += (size_t)snprintf(text + n, sizeof text - n, "big 300 TXT");
    for (unsigned i = 0; i < 250; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " \"%0250u\"", i);
    (void)snprintf(text + n, sizeof text - n, "\n");
    begin();
    load(text);
    struct xfrout_made made = take(&(struct asked){ .room = 100 }, &g);
    check_whole(&g);
    assert_true(g.messages > 5 && g.messages < 20);
    assert_true(g.longest > 60000);                     /* the TXT alone */
    assert_true(made.bytes < (uint64_t)250 * 250 + 4000 * 32);
    free(g.l.text);
    end();
}

/* --- IXFR ------------------------------------------------------------------------------------------------------------------------- */
static int by_line(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Lines of a text, sorted, the SOA's left out. */
static size_t cut(char *text, char **out, size_t most)
{
    size_t n = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (strstr(line, " SOA ") == NULL) {
            assert_true(n < most);
            out[n++] = line;
        }
    qsort(out, n, sizeof *out, by_line);
    return n;
}

/* The difference applied to the text before gives the text after. */
static void check_difference(char *before, struct got *g)
{
    static char *have[300000], *want[300000];
    char *after = walked();
    size_t n = cut(before, have, ROWS(have)), wanted = cut(after, want, ROWS(want)), soas = 0;
    for (char *line = strtok(g->l.text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strstr(line, " SOA ") != NULL) {
            soas++;
            continue;
        }
        if (soas % 2 == 1) {                            /* behind an SOA after: added; the first SOA is the frame's */
            have[n++] = line;
        } else {
            size_t i = 0;
            while (i < n && strcmp(have[i], line) != 0)
                i++;
            if (i == n)
                fail_msg("it deletes what is not there: %s", line);
            have[i] = have[--n];
        }
    }
    qsort(have, n, sizeof *have, by_line);
    assert_int_equal(n, wanted);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(have[i], want[i]);
    free(before);
    free(after);
    free(g->l.text);
}

static void ixfr(void **state)
{
    static const struct { const char *why; struct asked ask; enum xfrout_form form; unsigned records; } rows[] = {
        { "two steps in one: what came and went does not stand there", { .ixfr = true, .serial = 1 }, XFROUT_IXFR, 9 },
        { "one step", { .ixfr = true, .serial = 2 }, XFROUT_IXFR, 9 },
        { "as new as we are", { .ixfr = true, .serial = 3 }, XFROUT_SOA, 1 },
        { "newer than we are", { .ixfr = true, .serial = 4 }, XFROUT_SOA, 1 },
        { "older than the journal knows", { .ixfr = true, .serial = 0xf0000000u }, XFROUT_AXFR_STYLE, 8 },
        { "never seen", { .ixfr = true, .serial = 0 }, XFROUT_AXFR_STYLE, 8 },
        { "over UDP", { .ixfr = true, .udp = true, .serial = 1, .max = 1232, .edns = true }, XFROUT_IXFR, 9 },
        { "over UDP, and it does not fit", { .ixfr = true, .udp = true, .serial = 1, .max = 200 }, XFROUT_SOA, 1 },
        { "over UDP, and a TSIG takes the room", { .ixfr = true, .udp = true, .serial = 1, .max = 512, .room = 300 }, XFROUT_SOA, 1 },
        { "over UDP there is no AXFR", { .ixfr = true, .udp = true, .serial = 0, .max = 1232 }, XFROUT_SOA, 1 },
    };
    (void)state;
    begin();
    load(ZONE("1", "a 300 A 192.0.2.5\nb 300 A 192.0.2.6\nb 300 A 192.0.2.7\nc 300 TXT stays\n"));
    char *first = walked();
    load(ZONE("2", "a 300 A 192.0.2.5\nb 60 A 192.0.2.7\nc 300 TXT stays\nshort 300 A 192.0.2.8\n"));
    load(ZONE("3", "A 300 A 192.0.2.5\na 300 A 192.0.2.15\nb 300 A 192.0.2.7\nc 300 TXT stays\n"));
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct got g;
        struct xfrout_made made = take(&rows[i].ask, &g);
        if (made.form != rows[i].form || made.serial != 3)
            fail_msg("%s: %s", rows[i].why, xfrout_form_names[made.form]);
        if (made.form == XFROUT_AXFR_STYLE)
            check_whole(&g);
        if (made.form == XFROUT_SOA && g.records != 1)
            fail_msg("%s: %u records", rows[i].why, g.records);
        if (made.form == XFROUT_IXFR && rows[i].ask.serial == 1)
            check_difference(strdup(first), &g);
        else
            free(g.l.text);
    }
    free(first);
    end();
}

/* So much changed that the steps stand there as they were made. */
static void long_steps(void **state)
{
    enum { N = 26000, STAYS = 30000 };
    char *text = malloc(4 << 20), *before = NULL;
    struct got g;
    (void)state;
    begin();
    for (unsigned serial = 1; serial <= 3; serial++) {
        size_t n = (size_t)snprintf(text, 4 << 20, "@ 7200 SOA ns h %u 3600 600 86400 300\n@ 300 NS ns\nns 300 A 192.0.2.1\n", serial);
        for (unsigned i = 0; i < N + STAYS; i++)
            n += (size_t)snprintf(text + n, (4 << 20) - n, "h%u 300 A 192.0.2.%u\n", i, i < N ? serial : 9);
        load(text);
        if (serial == 1)
            before = walked();
    }
    free(text);
    struct xfrout_made made = take(&(struct asked){ .ixfr = true, .serial = 1 }, &g);
    assert_int_equal(made.form, XFROUT_IXFR);
    assert_int_equal(g.soas, 6);                        /* two steps: one is not like the other */
    assert_int_equal(g.records, 6 + 4 * N);
    free(before);
    free(g.l.text);
    end();
}

/* Most of the zone changed: all of it is shorter than what went and what came. One row: the records that stay beside the 200 that change. */
static void more_than_the_zone(void **state)
{
    static const struct { const char *why; unsigned stay; struct asked ask; enum xfrout_form form; } rows[] = {
        { "all of it changed", 0, { .ixfr = true, .serial = 1 }, XFROUT_AXFR_STYLE },
        { "half of it did, and the zone is the longer one", 500, { .ixfr = true, .serial = 1 }, XFROUT_IXFR },
        { "over UDP nothing else is possible", 0, { .ixfr = true, .udp = true, .serial = 1, .max = 1232 }, XFROUT_SOA },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char text[65536];
        struct got g;
        begin();
        for (unsigned serial = 1; serial <= 2; serial++) {
            size_t n = (size_t)snprintf(text, sizeof text, "@ 7200 SOA ns h %u 3600 600 86400 300\n@ 300 NS ns\nns 300 A 192.0.2.1\n", serial);
            for (unsigned k = 0; k < 200 + rows[i].stay; k++)
                n += (size_t)snprintf(text + n, sizeof text - n, "h%u 300 A 192.0.2.%u\n", k, k < 200 ? serial : 9);
            load(text);
        }
        struct xfrout_made made = take(&rows[i].ask, &g);
        if (made.form != rows[i].form)
            fail_msg("%s: %s", rows[i].why, xfrout_form_names[made.form]);
        if (made.form == XFROUT_AXFR_STYLE)
            check_whole(&g);
        free(g.l.text);
        end();
    }
}

/* Everything changed and changed back: one step over TCP, not worth all the reading for a datagram. */
static void far_back(void **state)
{
    static const struct { const char *why; struct asked ask; enum xfrout_form form; } rows[] = {
        { "over TCP the sum is sent, however long the way was", { .ixfr = true, .serial = 1 }, XFROUT_IXFR },
        { "over UDP it is asked for over TCP", { .ixfr = true, .udp = true, .serial = 1, .max = 1232 }, XFROUT_SOA },
        { "what is near is sent", { .ixfr = true, .udp = true, .serial = 4, .max = 1232 }, XFROUT_IXFR },
    };
    static char text[65536];
    (void)state;
    begin();
    for (unsigned serial = 1; serial <= 5; serial++) {
        size_t n = (size_t)snprintf(text, sizeof text, "@ 7200 SOA ns h %u 3600 600 86400 300\n@ 300 NS ns\nns 300 A 192.0.2.1\n", serial);
        for (unsigned k = 0; k < 600; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "h%u 300 A 192.0.2.%u\n", k, serial < 4 ? serial % 2 : 1);
        load(text);
    }
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct got g;
        struct xfrout_made made = take(&rows[i].ask, &g);
        if (made.form != rows[i].form)
            fail_msg("%s: %s", rows[i].why, xfrout_form_names[made.form]);
        free(g.l.text);
    }
    end();
}

/* Who asked for much does not keep others waiting: letters are clients, in the order in which they put and are taken. */
static void turns(void **state)
{
    static const struct { const char *why, *ops, *taken; } rows[] = {
        { "alone: in order", "AAA---", "AAA" },
        { "one each in turn", "AAAABAC-------", "ABCAAAA" },
        { "who comes later is not behind all of the first", "AAAA-B-----", "ABAAA" },
        { "who was served starts no round of his own", "AA--A-BB---", "AAABB" },
        { "two with much: alternately", "AAABBB------", "ABABAB" },
        { "nobody waits", "-", "" },
        { "what is given up leaves its place", "AABx---", "AB" },        /* x: the one that was put last but one goes */
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct turns t = { .first = NULL };
        struct turn all[16];
        char taken[16] = "";
        size_t put = 0, got = 0;
        for (const char *op = rows[i].ops; *op != '\0'; op++) {
            const struct turn *x = *op == '-' ? turns_take(&t) : NULL;
            if (x != NULL) {
                taken[got++] = (char)x->client.addr[3];
            } else if (*op == 'x') {
                assert_true(turns_remove(&t, &all[put - 2]));
                assert_false(turns_remove(&t, &all[put - 2]));
            } else if (*op != '-') {
                all[put] = (struct turn){ .client = { .addr = { 192, 0, 2, (uint8_t)*op }, .len = 4 } };
                turns_put(&t, &all[put++]);
            }
        }
        if (strcmp(taken, rows[i].taken) != 0)
            fail_msg("%s: %s", rows[i].why, taken);
    }
    const struct peer a = { { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 1 }, 16 }, b = { { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 2 }, 16 },
                      c = { { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, 1 }, 16 };
    assert_true(turns_same(&a, &b) && !turns_same(&a, &c));
}

static void allowance(void **state)
{
    static const struct { const char *why; uint64_t spooled, left, most; } rows[] = {
        { "a quarter of what is free", 0, 1000, 250 },
        { "what they have is counted as free: the bound does not shrink while they grow", 200, 800, 250 },
        { "a full disk: nothing", 0, 0, 0 },
        { "never more than the bound of old", 0, UINT64_MAX, TRANSFERS_SPOOL_MAX },
        { "figures that do not add up", 5, UINT64_MAX, TRANSFERS_SPOOL_MAX },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        if (transfers_allowance(rows[i].spooled, rows[i].left) != rows[i].most)
            fail_msg("%s", rows[i].why);
}

static void not_live(void **state)
{
    struct xfrout_ask ask = { .apex = name_of(EXAMPLE) };
    struct xfr_question q = { .id = ID, .question = question_of(EXAMPLE, TYPE_AXFR), .max = XFRPACK_MAX };
    struct xfrout_made made;
    struct op_list ops;
    struct got g = { .messages = 0 };
    (void)state;
    begin();
    CHECK(view_begin(p.view));
    assert_int_equal(xfrout_make(&ask, &q, p.view, journal, read_message, &g, &made, &fault), ERR_NOTFOUND);
    op_list_init(&ops);
    CHECK(zone_build_empty(name_bytes(&ask.apex), ZONE_NATIVE, p.view, &ops, &fault));
    view_end(p.view);
    place_commit(&p, &ops);
    op_list_release(&ops);
    CHECK(view_begin(p.view));
    assert_int_equal(xfrout_make(&ask, &q, p.view, journal, read_message, &g, &made, &fault), ERR_NOTNOW);
    view_end(p.view);
    assert_int_equal(g.messages, 0);
    end();
}

/* --- the question ---------------------------------------------------------------------------------------------------------------- */
#define HEAD "1234 0000 0001 0000 0001 0000 07 6578616d706c65 03 636f6d 00 00fb 0001 "
#define SOA_DATA "0016 00 00 0000002a 00000001 00000001 00000001 00000001"
static void questions(void **state)
{
    static const struct { const char *why, *hex; uint16_t rcode; uint32_t serial; } rows[] = {
        { "as RFC 1995 has it", HEAD "c00c 0006 0001 00000000 " SOA_DATA, RCODE_NOERROR, 42 },
        { "AXFR needs no SOA", "1234 0000 0001 0000 0000 0000 07 6578616d706c65 03 636f6d 00 00fc 0001", RCODE_NOERROR, 0 },
        { "no SOA", "1234 0000 0001 0000 0000 0000 07 6578616d706c65 03 636f6d 00 00fb 0001", RCODE_FORMERR, 0 },
        { "another zone's SOA", HEAD "00 0006 0001 00000000 " SOA_DATA, RCODE_FORMERR, 0 },
        { "not a SOA", HEAD "c00c 0002 0001 00000000 " SOA_DATA, RCODE_FORMERR, 0 },
        { "of another class", HEAD "c00c 0006 0003 00000000 " SOA_DATA, RCODE_FORMERR, 0 },
        { "it is longer than its RDATA", HEAD "c00c 0006 0001 00000000 0015 00 00 0000002a 00000001 00000001 00000001 00000001", RCODE_FORMERR, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes msg = heap_from_hex(rows[i].hex);
        struct xfrout_ask ask;
        struct query q;
        if (query_read(msg, &q) != QUERY_ANSWER)
            fail_msg("%s: no question", rows[i].why);
        uint16_t rcode = xfrout_read(msg, &q, false, &ask);
        if (rcode != rows[i].rcode || (rcode == RCODE_NOERROR && ask.serial != rows[i].serial))
            fail_msg("%s: rcode %u, serial %u", rows[i].why, rcode, ask.serial);
        bytes_free(msg);
    }
}

/* --- the spool -------------------------------------------------------------------------------------------------------------------- */
static void spools(void **state)
{
    static uint8_t in[SPOOL_MESSAGE_MAX], out[SPOOL_MESSAGE_MAX];
    struct spool s;
    size_t n;
    (void)state;
    place_open(&p);
    spool_init(&s);
    assert_int_equal(spool_next(&s, out, &n), ERR_AGAIN);
    for (unsigned i = 0, read = 0; i < 40; i++) {           /* memory first, the file behind it, read while it is written */
        memset(in, (int)i, sizeof in);
        CHECK(spool_put(&s, p.dir, bytes_of(in, 1 + (size_t)i * 1600), &fault));
        for (; read < i / 2; read++) {
            CHECK(spool_next(&s, out, &n));
            assert_true(n == 1 + (size_t)read * 1600 && out[0] == read && out[n - 1] == read);
        }
    }
    assert_true(s.fd >= 0);
    spool_release(&s);
    assert_int_equal(spool_put(&s, p.dir, bytes_of(in, SPOOL_MESSAGE_MAX + 1), &fault), ERR_LIMIT);
    CHECK(spool_put(&s, "/nowhere/at/all", bytes_of(in, SPOOL_MESSAGE_MAX), &fault));           /* memory needs no folder */
    CHECK(spool_put(&s, "/nowhere/at/all", bytes_of(in, 100), &fault));
    assert_int_equal(spool_put(&s, "/nowhere/at/all", bytes_of(in, SPOOL_MESSAGE_MAX), &fault), ERR_IO);
    CHECK(spool_next(&s, out, &n));
    CHECK(spool_next(&s, out, &n));
    assert_int_equal(spool_next(&s, out, &n), ERR_AGAIN);
    spool_release(&s);
    place_close(&p);
}

/* --- at work ------------------------------------------------------------------------------------------------------------------------ */
static struct tsig_key key;
static struct tsig_chain *chain_of(void)
{
    struct tsig_chain *c;
    key = (struct tsig_key){ .name = name_of("key.example."), .hash = TSIG_SHA256, .secret = bytes_of_text("a secret of some length") };
    CHECK(tsig_open(&c, &key));
    return c;
}

/* other: which address it has; udp: it asks so. */
struct client { struct got g; struct tsig_chain *chain; unsigned rcode, ended, other; bool udp; enum err err; };

static void on_signed(struct client *c, struct bytes msg)
{
    struct tsig t;
    size_t at = msg.len - (tsig_room(&key) - 6);            /* the room has a place for a time that says no */
    assert_int_equal(tsig_read(msg, at, &t), OK);
    assert_int_equal(tsig_check(c->chain, msg, at, &t, t.time_s), TSIG_GOOD);
    uint8_t *bare = malloc(at);
    memcpy(bare, msg.ptr, at);
    bare[11] = (uint8_t)(bare[11] - 1);
    assert_int_equal(read_message(&c->g, bytes_of(bare, at)), OK);
    free(bare);
}

static void on_ready(void *arg, struct transfer *x, void *of)
{
    static uint8_t out[XFRPACK_MAX];
    struct client *c = *(struct client **)of;
    size_t n;
    (void)arg;
    while ((c->err = transfer_next(x, out, &n)) == OK) {
        c->rcode = out[3] & 0xf;
        if (c->chain != NULL)
            on_signed(c, bytes_of(out, n));
        else
            (void)read_message(&c->g, bytes_of(out, n));
    }
    if (c->err != ERR_AGAIN) {
        transfer_end(x);
        c->ended++;
    }
}

static enum err start(struct transfers *t, struct client *c, const char *zone)
{
    static uint8_t request[600];
    struct client **of = malloc(sizeof *of);
    struct transfer *x;
    *of = c;
    struct transfer_ask ask = { .ask = { .apex = name_of(zone), .ixfr = c->udp, .udp = c->udp }, .id = ID, .flags = DNS_RD, .question = question_of(zone, TYPE_AXFR),
                                .max = XFRPACK_MAX, .client = { .addr = { 192, 0, 2, (uint8_t)(9 + c->other) }, .len = 4 } };
    struct tsig_chain *server = NULL;
    if (c->chain != NULL) {                                 /* the question, signed by the client and checked by the server */
        struct wr w = wr_over(request, sizeof request);
        struct tsig sig;
        wr_u16(&w, ID), wr_u16(&w, 0), wr_u16(&w, 1), wr_u32(&w, 0), wr_u16(&w, 0);
        wr_bytes(&w, ask.question);
        size_t at = w.len;
        CHECK(tsig_sign(c->chain, &w, 1000, 0, NULL));
        server = chain_of();
        CHECK(tsig_read(wr_done(&w), at, &sig));
        assert_int_equal(tsig_check(server, wr_done(&w), at, &sig, 1000), TSIG_GOOD);
        ask.room = tsig_room(&key);
    }
    enum err err = transfers_put(t, &ask, server, of, &x);
    if (err != OK) {
        tsig_close(server);
        free(of);
    }
    return err;
}

static void run(struct transfers *t, int bell, const struct client *until)
{
    while (until->ended == 0) {
        struct pollfd fd = { .fd = bell, .events = POLLIN };
        uint64_t rings;
        assert_true(poll(&fd, 1, -1) == 1 && read(bell, &rings, sizeof rings) == (ssize_t)sizeof rings);
        transfers_ready(t, on_ready, NULL);
    }
}

static void at_work(void **state)
{
    static char text[1 << 20];
    struct transfers *t;
    int bell = eventfd(0, EFD_CLOEXEC);
    size_t n = (size_t)snprintf(text, sizeof text, "%s", ZONE("1", ""));
    (void)state;
    for (unsigned i = 0; i < 9000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "host%u 300 A 192.0.2.%u\n", i, i % 250);
    begin();
    load(text);
    CHECK(transfers_open(&t, &(struct transfers_options){ .store = p.store, .bell_fd = bell, .threads = 2 }, &fault));

    struct client signed_one = { .chain = chain_of() }, plain = { .chain = NULL }, none = { .chain = NULL };
    CHECK(start(t, &signed_one, EXAMPLE));
    CHECK(start(t, &plain, EXAMPLE));
    run(t, bell, &signed_one);
    run(t, bell, &plain);
    assert_true(signed_one.err == ERR_NOTFOUND && plain.err == ERR_NOTFOUND);
    assert_true(signed_one.g.messages > 8);
    check_whole(&signed_one.g);
    check_whole(&plain.g);
    assert_int_equal(tsig_skipped(signed_one.chain), 0);

    CHECK(start(t, &none, "example.org."));                 /* it went between the look at it and the transfer */
    run(t, bell, &none);
    assert_true(none.err == ERR_NOTFOUND && none.g.messages == 1 && none.g.records == 0);
    assert_int_equal(none.rcode, RCODE_SERVFAIL);

    struct client left = { .chain = NULL };                 /* of one address only so many; what is left is ended with the rest */
    for (unsigned i = 0; i < TRANSFERS_CLIENT_MAX; i++)
        CHECK(start(t, &left, EXAMPLE));
    assert_int_equal(start(t, &left, EXAMPLE), ERR_LIMIT);
    left.udp = true;                                        /* by datagrams in the names of many, only so many either: connections find places */
    for (unsigned i = 0; i < TRANSFERS_UDP_MAX; i++) {
        left.other = 1 + i / TRANSFERS_CLIENT_MAX;
        CHECK(start(t, &left, EXAMPLE));
    }
    left.other++;
    assert_int_equal(start(t, &left, EXAMPLE), ERR_LIMIT);
    left.udp = false;
    CHECK(start(t, &left, EXAMPLE));
    transfers_close(t);
    tsig_close(signed_one.chain);
    free(signed_one.g.l.text);
    free(plain.g.l.text);
    (void)close(bell);
    end();
}

static uint64_t nothing_left(void *arg)
{
    atomic_uint *asked = arg;
    atomic_fetch_add(asked, 1);
    return 0;
}

/* A full disk: what fits into memory is transferred, what does not ends, and never as if it were whole. */
static void no_disk(void **state)
{
    static char text[1 << 20];
    struct transfers *t;
    atomic_uint asked = 0;
    int bell = eventfd(0, EFD_CLOEXEC);
    struct client small = { .chain = NULL }, large = { .chain = NULL };
    (void)state;
    begin();
    load(ZONE("1", "a 300 A 192.0.2.5\n"));
    CHECK(transfers_open(&t, &(struct transfers_options){ .store = p.store, .bell_fd = bell, .threads = 1, .left = nothing_left, .left_arg = &asked }, &fault));
    CHECK(start(t, &small, EXAMPLE));
    run(t, bell, &small);
    check_whole(&small.g);
    assert_int_equal(small.err, ERR_NOTFOUND);
    assert_int_equal(atomic_load(&asked), 0);
    size_t n = (size_t)snprintf(text, sizeof text, "%s", ZONE("2", ""));
    for (unsigned i = 0; i < 9000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "host%u 300 A 192.0.2.%u\n", i, i % 250);
    load(text);
    CHECK(start(t, &large, EXAMPLE));
    run(t, bell, &large);
    assert_int_equal(atomic_load(&asked), 1);
    if (large.rcode == RCODE_SERVFAIL)                      /* nothing had left yet */
        assert_true(large.err == ERR_NOTFOUND && large.g.records == 0);
    else
        assert_int_equal(large.err, ERR_LIMIT);             /* the connection is closed */
    transfers_close(t);
    free(small.g.l.text);
    free(large.g.l.text);
    (void)close(bell);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions), cmocka_unit_test(axfr), cmocka_unit_test(many_messages), cmocka_unit_test(ixfr),
        cmocka_unit_test(long_steps), cmocka_unit_test(not_live), cmocka_unit_test(more_than_the_zone), cmocka_unit_test(far_back), cmocka_unit_test(turns), cmocka_unit_test(allowance), cmocka_unit_test(spools), cmocka_unit_test(at_work), cmocka_unit_test(no_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
