#include "tests/unit/full_bed.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define NATIVE "{\"kind\":\"native\"}"
#define APEX "@ 60 SOA ns h 7 2 3 4 30\n@ 60 NS ns\n"
#define FAR "@ 60 SOA ns h 7 2 3 4 30\n@ 60 NS ns.example.net.\n"      /* nothing is missing in it */
#define WWW APEX "ns 60 A 192.0.2.1\nwww 60 A 192.0.2.2\nwww 60 A 192.0.2.3\nwww 60 TXT x\n"

static void expect_end(const char *why, const struct change_result *r, enum change_end end, enum err err, const char *text)
{
    if (r->end != end || r->err != err || (text != NULL && strstr(r->fault.text, text) == NULL))
        fail_msg("%s: end %d, %s: %s; want end %d, %s: %s", why, r->end, err_text(r->err), r->fault.text, end, err_text(err),
                 text != NULL ? text : "");
}

static void a_zone_is_made_and_removed(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct change_result r = bed_change(b, CHANGE_CREATE, "Example.com.", NATIVE, WWW);
    expect_end("made", &r, CHANGE_DONE, OK, NULL);
    assert_true(r.changed);
    assert_int_equal(r.serial, 7);
    assert_true(r.seq > 0);
    assert_int_equal(bed_rows(b, "example.com.").n, 5);         /* SOA, NS, two A, TXT */
    assert_int_equal(bed_figures(b).events, 0);
    bed_expect(b, "made", "example.com.",
               "example.com. 60 IN SOA ns.example.com. h.example.com. 7 2 3 4 30\nexample.com. 60 IN NS ns.example.com.\n"
               "ns.example.com. 60 IN A 192.0.2.1\nwww.example.com. 60 IN A 192.0.2.2\nwww.example.com. 60 IN A 192.0.2.3\n"
               "www.example.com. 60 IN TXT \"x\"\n");
    r = bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW);
    expect_end("twice", &r, CHANGE_REFUSED, ERR_EXISTS, "there already");
    r = bed_change(b, CHANGE_REMOVE, "example.com.", NULL, NULL);
    expect_end("removed", &r, CHANGE_DONE, OK, NULL);
    assert_true(r.changed);
    bed_expect(b, "removed", "example.com.", NULL);
    assert_int_equal(bed_figures(b).zones, 0);
    assert_int_equal(bed_figures(b).events, 0);
    r = bed_change(b, CHANGE_REMOVE, "example.com.", NULL, NULL);
    expect_end("gone", &r, CHANGE_REFUSED, ERR_NOTFOUND, "no such zone");
    bed_close(b);
}

/* --- what is refused --------------------------------------------------------------------------------------------------- */
static const struct { const char *why; enum change_kind kind; const char *apex, *settings, *text; enum err err; const char *says; } refusals[] = {
    { "records for a zone that is not there",    CHANGE_WHOLE,   "none.example.", NULL, WWW, ERR_NOTFOUND, "no such zone" },
    { "a rebuild of a zone that is not there",   CHANGE_REBUILD, "none.example.", NULL, NULL, ERR_NOTFOUND, "no such zone" },
    { "records for a zone of a file",            CHANGE_WHOLE,   "file.example.", NULL, WWW, ERR_NOTNOW, "kind file" },
    { "records for a secondary",                 CHANGE_WHOLE,   "second.example.", NULL, WWW, ERR_NOTNOW, "from its primaries" },
    { "a new zone where a file's zone is",       CHANGE_CREATE,  "file.example.", NATIVE, WWW, ERR_EXISTS, "from a file" },
    { "a new zone that core.zones names",        CHANGE_CREATE,  "named.example.", NATIVE, WWW, ERR_EXISTS, "core.zones names" },
    { "removing what core.zones names",          CHANGE_REMOVE,  "named.example.", NULL, NULL, ERR_NOTNOW, "SIGHUP" },
    { "a new zone of kind file",                 CHANGE_CREATE,  "new.example.", "{\"kind\":\"file\"}", WWW, ERR_REFUSED, "core.zones and azoth load" },
    { "settings that do not read",               CHANGE_CREATE,  "new.example.", "{\"kind\":3}", WWW, ERR_BAD, NULL },
    { "no SOA",                                  CHANGE_CREATE,  "new.example.", NATIVE, "@ 60 NS ns\n", ERR_REFUSED, "no SOA at its apex" },
    { "two SOA",                                 CHANGE_CREATE,  "new.example.", NATIVE, APEX "@ 60 SOA ns h 8 2 3 4 30\n", ERR_REFUSED, "more than one SOA" },
    { "no NS",                                   CHANGE_CREATE,  "new.example.", NATIVE, "@ 60 SOA ns h 7 2 3 4 30\n", ERR_REFUSED, "no NS at its apex" },
    { "CNAME beside other data",                 CHANGE_CREATE,  "new.example.", NATIVE, APEX "x 60 CNAME y\nx 60 TXT z\n", ERR_REFUSED, "CNAME beside other data" },
    { "a SOA below the apex",                    CHANGE_CREATE,  "new.example.", NATIVE, APEX "x 60 SOA ns h 8 2 3 4 30\n", ERR_REFUSED, "not the apex" },
    { "the same for a zone that is there",       CHANGE_WHOLE,   "here.example.", NULL, APEX "x 60 CNAME y\nx 60 TXT z\n", ERR_REFUSED, "CNAME beside other data" },
};

static void refused_changes_leave_no_trace(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct complaints c;
    size_t n;
    assert_int_equal(place_load(&b->p, "file.example.", WWW, false, &c, &n), OK);
    assert_int_equal(place_load(&b->p, "named.example.", WWW, false, &c, &n), OK);
    assert_int_equal(bed_change(b, CHANGE_CREATE, "here.example.", NATIVE, WWW).end, CHANGE_DONE);
    assert_int_equal(bed_change(b, CHANGE_CREATE, "second.example.", "{\"kind\":\"secondary\"}", WWW).end, CHANGE_DONE);
    b->configured = "named.example.";
    struct dump before = place_dump(&b->p);
    struct source_figures was = bed_figures(b);
    for (int force = 0; force < 2; force++) {                   /* none of these gives way to force */
        for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
            struct asked a;
            asked_init(b, &a, refusals[i].kind, refusals[i].apex, refusals[i].settings, refusals[i].text);
            a.c.force = force == 1;
            expect_end(refusals[i].why, bed_do(b, &a), CHANGE_REFUSED, refusals[i].err, refusals[i].says);
            if (a.c.result.changed)
                fail_msg("%s: refused, and changed", refusals[i].why);
            asked_release(&a);
        }
    }
    struct dump after = place_dump(&b->p);
    assert_int_equal(after.n, before.n);
    for (size_t i = 0; i < before.n; i++)
        assert_true(bytes_equal(before.v[i].key, after.v[i].key) && bytes_equal(before.v[i].value, after.v[i].value));
    struct source_figures is = bed_figures(b);
    assert_int_equal(is.zones, was.zones);
    assert_int_equal(is.rows, was.rows);
    assert_int_equal(is.events, 0);
    dump_release(&before);
    dump_release(&after);
    bed_close(b);
}

static void zone_of(char *out, size_t cap, unsigned serial, unsigned names)
{
    size_t n = (size_t)snprintf(out, cap, "@ 60 SOA ns h %u 2 3 4 30\n@ 60 NS ns.example.net.\n", serial);
    for (unsigned i = 0; i < names; i++)
        n += (size_t)snprintf(out + n, cap - n, "h%u 60 A 192.0.2.%u\n", i, i % 250);
}

static const struct { const char *why, *settings; unsigned names, left; bool force; enum change_end end; unsigned warnings; } shrinks[] = {
    { "a little",                            NATIVE, 200, 150, false, CHANGE_DONE, 0 },
    { "more than half",                      NATIVE, 200, 50, false, CHANGE_REFUSED, 0 },
    { "more than half, forced",              NATIVE, 200, 50, true, CHANGE_DONE, 0 },
    { "more than half of a small zone",      NATIVE, 90, 10, false, CHANGE_DONE, 0 },
    { "more than half of a transfer",        "{\"kind\":\"secondary\"}", 200, 50, false, CHANGE_DONE, 1 },
    { "of a transfer whose zone is strict",  "{\"kind\":\"secondary\",\"guard\":\"strict\"}", 200, 50, false, CHANGE_REFUSED, 0 },
    { "of one that is strict, forced",       "{\"kind\":\"secondary\",\"guard\":\"strict\"}", 200, 50, true, CHANGE_DONE, 0 },
};

static void losing_more_than_half_is_an_accident(void **state)
{
    (void)state;
    static char text[20000];
    for (size_t i = 0; i < sizeof shrinks / sizeof shrinks[0]; i++) {
        struct bed *b = bed_open();
        struct asked a;
        b->via = strstr(shrinks[i].settings, "secondary") != NULL ? VIA_TRANSFER : VIA_API;
        zone_of(text, sizeof text, 1, shrinks[i].names);
        struct change_result r = bed_change(b, CHANGE_CREATE, "example.com.", shrinks[i].settings, text);
        expect_end(shrinks[i].why, &r, CHANGE_DONE, OK, NULL);
        zone_of(text, sizeof text, 2, shrinks[i].left);
        asked_init(b, &a, CHANGE_WHOLE, "example.com.", NULL, text);
        a.c.force = shrinks[i].force;
        struct change_result *got = bed_do(b, &a);
        if (got->end != shrinks[i].end || got->complaints.warnings_n != shrinks[i].warnings)
            fail_msg("%s: end %d, %s, %u warnings", shrinks[i].why, got->end, got->fault.text, got->complaints.warnings_n);
        if (got->end == CHANGE_REFUSED && strstr(got->fault.text, "more than half of the zone: force it") == NULL)
            fail_msg("%s: %s", shrinks[i].why, got->fault.text);
        asked_release(&a);
        bed_close(b);
    }
}

/* --- the serial -------------------------------------------------------------------------------------------------------- */
static const struct { const char *why, *settings; unsigned live, given; bool same; unsigned want; bool changed; unsigned warnings; } serials[] = {
    { "a later one is taken",                     NATIVE, 5, 9, false, 9, true, 0 },
    { "an equal one moves on",                    NATIVE, 5, 5, false, 6, true, 0 },
    { "an earlier one moves on from the live one", NATIVE, 5, 3, false, 6, true, 0 },
    { "the same zone stays as it is",             NATIVE, 5, 5, true, 5, false, 0 },
    { "the same zone with an earlier serial too", NATIVE, 5, 3, true, 5, false, 0 },
    { "the same zone with a later serial moves",  NATIVE, 5, 9, true, 9, true, 0 },
    { "keep: an earlier one is told of, taken",   "{\"kind\":\"native\",\"serial_policy\":\"keep\"}", 5, 3, false, 3, true, 1 },
    { "a transfer says which",                    "{\"kind\":\"secondary\"}", 5, 3, false, 3, true, 1 },
    { "a signature would break",                  "{\"kind\":\"native\",\"account\":\"signed\"}", 5, 3, false, 3, true, 1 },
};

static void a_whole_zone_gets_a_later_serial(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof serials / sizeof serials[0]; i++) {
        struct bed *b = bed_open();
        char text[1000];
        const char *sig = strstr(serials[i].settings, "signed") != NULL
                        ? "@ 60 RRSIG SOA 13 2 60 20400101000000 20200101000000 1 @ AAAA\n" : "";
        b->via = strstr(serials[i].settings, "secondary") != NULL ? VIA_TRANSFER : VIA_API;
        snprintf(text, sizeof text, "@ 60 SOA ns h %u 2 3 4 30\n@ 60 NS ns.example.net.\n%sa 60 TXT b\n", serials[i].live, sig);
        assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", serials[i].settings, text).end, CHANGE_DONE);
        snprintf(text, sizeof text, "@ 60 SOA ns h %u 2 3 4 30\n@ 60 NS ns.example.net.\n%sa 60 TXT %s\n", serials[i].given, sig,
                 serials[i].same ? "b" : "c");
        struct change_result r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, text);
        if (r.end != CHANGE_DONE || r.serial != serials[i].want || r.changed != serials[i].changed
            || r.complaints.warnings_n != serials[i].warnings)
            fail_msg("%s: %s, serial %u, changed %d, %u warnings: %s", serials[i].why, r.fault.text, r.serial, r.changed,
                     r.complaints.warnings_n, r.complaints.warnings[0].text);
        r = bed_change(b, CHANGE_REBUILD, "example.com.", NULL, NULL);      /* rows and store say the same, the serial too */
        if (r.end != CHANGE_DONE || r.changed || r.serial != serials[i].want)
            fail_msg("%s: a rebuild: %s, changed %d, serial %u", serials[i].why, r.fault.text, r.changed, r.serial);
        bed_close(b);
    }
}

static void signatures_stand_by_what_they_cover(void **state)
{
#define SIG_OF(type, tag) "x 60 RRSIG " type " 13 3 60 20400101000000 20200101000000 " tag " @ AAAA\n"
    (void)state;
    struct bed *b = bed_open();
    struct change_result r = bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, FAR "x 60 A 192.0.2.1\n" SIG_OF("TXT", "1") SIG_OF("A", "1")
                                        SIG_OF("TXT", "2") SIG_OF("A", "2") SIG_OF("A", "1"));
    expect_end("made", &r, CHANGE_DONE, OK, NULL);
    assert_int_equal(bed_rows(b, "example.com.").n, 5);         /* SOA, NS, A, and one of each type that is covered */
    r = bed_change(b, CHANGE_REBUILD, "example.com.", NULL, NULL);
    expect_end("the rows say the same as the file", &r, CHANGE_DONE, OK, NULL);
    assert_false(r.changed);
    bed_close(b);
}

/* --- what is told, and published all the same ---------------------------------------------------------------------------- */
#define SIG(until) "@ 60 RRSIG SOA 13 2 60 " until "000000 20200101000000 1 @ AAAA\n"
static const struct { const char *why, *text, *says; } believed[] = {
    { "signatures that hold",         FAR SIG("20400101"), NULL },
    { "one of two that holds",        FAR SIG("20210101") SIG("20400101"), NULL },
    { "one that has expired",         FAR SIG("20210203"), "have expired: the last one on 2021-02-03 00:00:00 UTC" },
    { "two that have",                FAR SIG("20210203") SIG("20210204"), "the last one on 2021-02-04 00:00:00 UTC" },
    { "an NSEC chain",                FAR "@ 60 NSEC a NS\na 60 TXT t\na 60 NSEC c TXT\nc 60 TXT t\nc 60 NSEC @ TXT\n", NULL },
    { "one that leaves a name out",   FAR "@ 60 NSEC a NS\na 60 TXT t\na 60 NSEC @ TXT\nc 60 TXT t\nc 60 NSEC @ TXT\n", "NSEC at a.example.com. does not lead" },
    { "one that does not end",        FAR "@ 60 NSEC a NS\na 60 TXT t\na 60 NSEC c TXT\nc 60 TXT t\nc 60 NSEC a TXT\n", "NSEC at c.example.com. does not lead" },
    { "one of the apex alone",        FAR "@ 60 NSEC @ NS\n", NULL },
};

static void what_validators_would_not_believe_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof believed / sizeof believed[0]; i++) {
        struct bed *b = bed_open();
        struct change_result r = bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, believed[i].text);
        expect_end(believed[i].why, &r, CHANGE_DONE, OK, NULL);
        if (r.complaints.warnings_n != (believed[i].says != NULL)
            || (believed[i].says != NULL && strstr(r.complaints.warnings[0].text, believed[i].says) == NULL))
            fail_msg("%s: %u warnings: %s", believed[i].why, r.complaints.warnings_n, r.complaints.warnings[0].text);
        bed_close(b);
    }
}

/* --- rows -------------------------------------------------------------------------------------------------------------- */
static void make_rows_old(struct bed *b, const char *apex)
{
    struct zone_row z;
    struct name name = name_of(apex), owner = name_of("www.example.com.");
    struct fault fault = { "" };
    struct row row;
    struct source_txn *t = txn_begin(b->s.s, SOURCE_WRITE);
    assert_int_equal(source_zone(t, name_bytes(&name), &z), OK);
    assert_int_equal(source_row(t, z.id, name_bytes(&owner), TYPE_A, 0, &row), OK);
    row.modified_s = 1000;
    assert_ok(source_row_put(t, z.id, &row, &fault), &fault);
    txn_commit(t);
}

static void unchanged_rows_keep_their_time(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
    make_rows_old(b, "example.com.");
    assert_int_equal(bed_change(b, CHANGE_WHOLE, "example.com.", NULL, WWW "more 60 A 192.0.2.9\n").end, CHANGE_DONE);
    assert_int_equal(bed_rows(b, "example.com.").n, 6);
    assert_int_equal(bed_rows(b, "example.com.").least_s, 1000);
    assert_true(bed_rows(b, "example.com.").most_s > 1000000000);
    assert_int_equal(bed_change(b, CHANGE_WHOLE, "example.com.", NULL, APEX "www 60 A 192.0.2.3\n").end, CHANGE_DONE);
    assert_true(bed_rows(b, "example.com.").least_s > 1000000000);
    bed_close(b);
}

static void add_extras(struct bed *b, const char *apex)
{
    struct zone_row z;
    struct name name = name_of(apex), owner = name_of("off.example.com."), with = name_of("www.example.com.");
    struct fault fault = { "" };
    struct row_rr off = { .rdata = bytes_of("\xc0\x00\x02\x09", 4), .disabled = true };
    struct row disabled = { .owner = name_bytes(&owner), .type = TYPE_A, .ttl = 60, .rr = &off, .n = 1 }, row;
    struct comment comment = { .text = bytes_of_text("why"), .account = bytes_of_text("me") };
    struct source_txn *t = txn_begin(b->s.s, SOURCE_WRITE);
    assert_int_equal(source_zone(t, name_bytes(&name), &z), OK);
    assert_ok(source_row_put(t, z.id, &disabled, &fault), &fault);
    assert_int_equal(source_row(t, z.id, name_bytes(&with), TYPE_A, 0, &row), OK);
    row.comments = &comment;
    row.comments_n = 1;
    assert_ok(source_row_put(t, z.id, &row, &fault), &fault);
    txn_commit(t);
}

static void comments_and_disabled_records_go_with_the_old_rows(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
    add_extras(b, "example.com.");
    assert_int_equal(bed_rows(b, "example.com.").disabled, 1);
    struct change_result r = bed_change(b, CHANGE_REBUILD, "example.com.", NULL, NULL);     /* they are not published */
    assert_true(r.end == CHANGE_DONE && !r.changed);
    r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, WWW);
    assert_true(r.end == CHANGE_DONE && r.changed);
    assert_int_equal(r.serial, 7);                                  /* no server sees a difference */
    assert_int_equal(bed_rows(b, "example.com.").n, 5);
    assert_int_equal(bed_rows(b, "example.com.").disabled, 0);
    assert_int_equal(bed_figures(b).events, 0);
    r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, WWW);
    assert_true(r.end == CHANGE_DONE && !r.changed);
    bed_close(b);
}

static void many_rows_are_written_in_pieces(void **state)
{
    (void)state;
    static char text[400000];
    struct bed *b = bed_open();
    zone_of(text, sizeof text, 1, 9000);
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, text).end, CHANGE_DONE);
    assert_int_equal(bed_rows(b, "example.com.").n, 9002);
    zone_of(text, sizeof text, 2, 8999);
    assert_int_equal(bed_change(b, CHANGE_WHOLE, "example.com.", NULL, text).end, CHANGE_DONE);
    assert_int_equal(bed_rows(b, "example.com.").n, 9001);
    struct change_result r = bed_change(b, CHANGE_REBUILD, "example.com.", NULL, NULL);
    assert_true(r.end == CHANGE_DONE && !r.changed);
    bed_close(b);
}

/* As a core does that died between the records and the store. */
static void rows_that_the_store_lacks_are_built_again(void **state)
{
    (void)state;
    struct bed *b = bed_open(), *other = bed_open();
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
    struct name name = name_of("example.com.");
    assert_int_equal(place_withdraw(&b->p, name_bytes(&name)), OK);
    bed_expect(b, "lost", "example.com.", NULL);
    struct change_result r = bed_change(b, CHANGE_REBUILD, "example.com.", NULL, NULL);
    expect_end("built again", &r, CHANGE_DONE, OK, NULL);
    assert_true(r.changed);
    assert_int_equal(bed_change(other, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
    char *want = bed_walk(other, "example.com.");
    bed_expect(b, "built again", "example.com.", want);
    free(want);

    struct source_txn *t = txn_begin(b->s.s, SOURCE_WRITE);         /* the other way round: removed, but in the store still */
    struct fault fault = { "" };
    assert_ok(source_zone_del(t, name_bytes(&name), &fault), &fault);
    txn_commit(t);
    assert_int_equal(bed_change(b, CHANGE_REMOVE, "example.com.", NULL, NULL).end, CHANGE_DONE);
    bed_expect(b, "removed", "example.com.", NULL);
    bed_close(other);
    bed_close(b);
}

/* --- zones without data ------------------------------------------------------------------------------------------------- */
static void a_zone_without_data_stands_there_empty(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct fault fault = { "" };
    struct name apex = name_of("example.com.");
    struct patch *patch;
    struct change_result r = bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, NULL);
    expect_end("empty", &r, CHANGE_DONE, OK, NULL);
    assert_int_equal(bed_state(b, "example.com."), ZONE_EMPTY);
    bed_expect(b, "empty", "example.com.", "");
    assert_int_equal(view_begin(b->p.view), OK);
    assert_int_equal(patch_open(&patch, name_bytes(&apex), b->p.view, &fault), ERR_NOTNOW);
    view_end(b->p.view);
    r = bed_change(b, CHANGE_REBUILD, "example.com.", NULL, NULL);
    assert_true(r.end == CHANGE_DONE && !r.changed);
    r = bed_change(b, CHANGE_CREATE, "sub.example.com.", "{\"kind\":\"secondary\"}", NULL);
    expect_end("empty below empty", &r, CHANGE_DONE, OK, NULL);
    r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, WWW "x.sub 60 A 192.0.2.5\n");
    expect_end("it gets data", &r, CHANGE_DONE, OK, NULL);
    assert_int_equal(bed_state(b, "example.com."), ZONE_LIVE);
    assert_int_equal(bed_state(b, "sub.example.com."), ZONE_EMPTY);
    bed_expect(b, "the one below", "sub.example.com.", "");
    assert_int_equal(bed_change(b, CHANGE_REMOVE, "sub.example.com.", NULL, NULL).end, CHANGE_DONE);
    char *walk = bed_walk(b, "example.com.");
    assert_non_null(strstr(walk, "x.sub.example.com. 60 IN A 192.0.2.5\n"));
    free(walk);
    struct dump d = place_dump(&b->p);                              /* checks every value */
    dump_release(&d);
    bed_close(b);
}

/* --- several at once ---------------------------------------------------------------------------------------------------- */
static void a_burst_of_rebuilds_is_one(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct asked a[7];
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
    struct name name = name_of("example.com.");
    bed_wait(b, &b->idle_n, 1);
    size_t told = b->told_n;
    bed_hold(b);
    for (size_t i = 0; i < 7; i++) {
        asked_init(b, &a[i], i == 5 ? CHANGE_WHOLE : CHANGE_REBUILD, "example.com.", NULL, i == 5 ? WWW "z 60 TXT z\n" : NULL);
        full_put(b->full, &a[i].c);
        if (i == 0)
            bed_wait_jobs(b, 1);                                    /* that one is at work, all others wait */
    }
    assert_true(full_is_busy(b->full, name_bytes(&name)));
    assert_int_equal(b->told_n, told);
    bed_go_on(b);
    bed_wait(b, &b->told_n, told + 7);
    bed_wait(b, &b->idle_n, 2);
    for (size_t i = 0; i < 7; i++) {
        if (b->told[told + i] != &a[i].c)
            fail_msg("told %zu out of order", i);
        expect_end("burst", &a[i].c.result, CHANGE_DONE, OK, NULL);
        assert_int_equal(a[i].c.result.serial, i < 5 ? 7 : 8);
        assert_int_equal(a[i].c.result.changed, i == 5);
        asked_release(&a[i]);
    }
    struct stat_page page;
    stat_page_init(&page);
    full_metrics(b->full, &page);
    assert_non_null(strstr(page.text, "azoth_core_builds_joined_total 3\n"));
    stat_page_release(&page);
    assert_false(full_is_busy(b->full, name_bytes(&name)));
    bed_close(b);
}

/* All are prepared before any is committed: each then finds that a neighbour came. */
static void nested_zones_may_be_built_at_once(void **state)
{
    (void)state;
    static const char *const apex[] = { "example.com.", "a.example.com.", "b.a.example.com.", "c.example.com.", "com." };
    static const char text[] = WWW "a 60 NS ns.a\nns.a 60 A 192.0.2.4\nx.b.a 60 TXT deep\nb.a 60 NS ns\na.example 60 TXT t\nc 60 DNAME d\n"
                               "x.a.example 60 TXT u\n";
    struct bed *b = bed_open(), *other = bed_open();
    struct asked a[5];
    bed_hold(b);
    for (size_t i = 0; i < 5; i++) {
        asked_init(b, &a[i], CHANGE_CREATE, apex[i], NATIVE, text);
        full_put(b->full, &a[i].c);
    }
    bed_wait_jobs(b, 4);                                            /* four are ready, the fifth waits until one is done */
    bed_go_on(b);
    bed_wait(b, &b->told_n, 5);
    for (size_t i = 0; i < 5; i++) {
        expect_end(apex[i], &a[i].c.result, CHANGE_DONE, OK, NULL);
        asked_release(&a[i]);
        struct change_result r = bed_change(other, CHANGE_CREATE, apex[4 - i], NATIVE, text);
        expect_end(apex[4 - i], &r, CHANGE_DONE, OK, NULL);
    }
    struct dump got = place_dump(&b->p), want = place_dump(&other->p);
    assert_int_equal(got.n, want.n);
    for (size_t i = 0; i < want.n; i++)
        if (!bytes_equal(got.v[i].key, want.v[i].key) || !bytes_equal(got.v[i].value, want.v[i].value))
            fail_msg("the order of builds shows in key %zu", i);
    dump_release(&got);
    dump_release(&want);
    struct stat_page page;
    stat_page_init(&page);
    full_metrics(b->full, &page);
    assert_null(strstr(page.text, "azoth_core_builds_again_total 0\n"));
    stat_page_release(&page);
    bed_close(other);
    bed_close(b);
}

/* A secondary that has expired is not answered from until it was transferred: laying it out anew is no transfer. */
static void an_expired_zone_is_not_laid_out(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct name name = name_of("example.com.");
    uint8_t key[RRKEY_MAX], value[1024];
    struct wr k = wr_over(key, sizeof key), w = wr_over(value, sizeof value);
    struct zone_header h;
    struct fault fault = { "" };
    uint64_t seq;
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", "{\"kind\":\"secondary\"}", WWW).end, CHANGE_DONE);
    assert_int_equal(view_begin(b->p.view), OK);
    assert_int_equal(zone_header_get(name_bytes(&name), b->p.view, &h), OK);
    h.state = ZONE_EXPIRED;
    zone_header_write(&w, &h);
    assert_int_equal(rrkey_write(name_bytes(&name), RRSLOT_ZONE, &k), OK);
    struct op op = { OP_PUT, bytes_of_text("dns"), wr_done(&k), wr_done(&w) };
    view_end(b->p.view);
    assert_ok(commit_run(b->p.committer, &op, 1, &seq, &fault), &fault);
    struct change_result r = bed_change(b, CHANGE_REBUILD, "example.com.", NULL, NULL);
    expect_end("expired", &r, CHANGE_REFUSED, ERR_NOTNOW, "expired");
    assert_int_equal(bed_state(b, "example.com."), ZONE_EXPIRED);
    b->via = VIA_TRANSFER;
    assert_int_equal(bed_change(b, CHANGE_WHOLE, "example.com.", NULL, WWW).end, CHANGE_DONE);
    assert_int_equal(bed_state(b, "example.com."), ZONE_LIVE);
    bed_close(b);
}

/* --- ends --------------------------------------------------------------------------------------------------------------- */
static void an_end_in_the_middle_tells_all(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct asked a[4];
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
    char *before = bed_walk(b, "example.com.");
    size_t told = b->told_n;
    bed_hold(b);
    for (size_t i = 0; i < 4; i++) {
        asked_init(b, &a[i], i == 3 ? CHANGE_CREATE : CHANGE_WHOLE, i == 3 ? "other.example." : "example.com.", i == 3 ? NATIVE : NULL,
                   WWW "z 60 TXT z\n");
        full_put(b->full, &a[i].c);
    }
    bed_wait_jobs(b, 2);
    full_stop(b->full);                                             /* those that nobody began are told at once */
    assert_int_equal(b->told_n, told + 2);
    queue_stop(b->queue);
    bed_go_on(b);
    queue_close(b->queue);
    b->queue = NULL;
    assert_int_equal(b->told_n, told + 4);
    for (size_t i = 0; i < 4; i++) {
        expect_end("ending", &a[i].c.result, CHANGE_FAILED, ERR_NOTNOW, "ending");
        asked_release(&a[i]);
    }
    struct asked late;
    asked_init(b, &late, CHANGE_REBUILD, "example.com.", NULL, NULL);
    expect_end("late", bed_do(b, &late), CHANGE_FAILED, ERR_NOTNOW, "ending");
    asked_release(&late);
    bed_expect(b, "as it was", "example.com.", before);
    free(before);
    assert_int_equal(bed_figures(b).zones, 1);
    assert_int_equal(bed_figures(b).events, 0);
    bed_close(b);
}

/* No room in the records, in the middle of the rows: all is as before, and what fits still goes. */
static void a_full_disk_leaves_all_as_it_was(void **state)
{
    (void)state;
    static char text[2000000];
    struct bed *b = bed_open_in((uint64_t)2 << 20, (uint64_t)64 << 20);
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
    char *before = bed_walk(b, "example.com.");
    zone_of(text, sizeof text, 9, 40000);
    struct change_result r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, text);
    expect_end("too much", &r, CHANGE_FAILED, ERR_FULL, NULL);
    r = bed_change(b, CHANGE_CREATE, "other.example.", NATIVE, text);
    expect_end("too much", &r, CHANGE_FAILED, ERR_FULL, NULL);
    bed_expect(b, "as it was", "example.com.", before);
    bed_expect(b, "as it was", "other.example.", NULL);
    assert_int_equal(bed_rows(b, "example.com.").n, 5);
    assert_int_equal(bed_figures(b).events, 0);
    free(before);
    struct source_txn *t = txn_begin(b->s.s, SOURCE_WRITE);
    struct fault fault = { "" };
    bool left = true;
    assert_ok(source_sweep(t, 1000000, &left, &fault), &fault);     /* what was written for nothing */
    assert_false(left);
    txn_commit(t);
    assert_int_equal(bed_figures(b).rows, 5);
    r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, WWW "z 60 TXT z\n");
    expect_end("what fits", &r, CHANGE_DONE, OK, NULL);
    bed_close(b);
}

/* No room in the store: the records say again what they said. */
static void a_full_store_puts_the_records_back(void **state)
{
    (void)state;
    static char text[2000000];
    struct bed *b = bed_open_in(0, (uint64_t)4 << 20);
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
    char *before = bed_walk(b, "example.com.");
    zone_of(text, sizeof text, 9, 60000);
    struct change_result r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, text);
    expect_end("too much", &r, CHANGE_FAILED, ERR_FULL, NULL);
    bed_expect(b, "as it was", "example.com.", before);
    assert_int_equal(bed_rows(b, "example.com.").n, 5);
    assert_int_equal(bed_figures(b).events, 0);
    free(before);
    r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, WWW "z 60 TXT z\n");
    expect_end("what fits", &r, CHANGE_DONE, OK, NULL);
    bed_close(b);
}

/* The same found out only when log and store are written, behind the records: by a limit on the size of files, which cuts a
 * write short (EIO: nobody knows) or refuses it (EFBIG: full). */
static void a_disk_that_fills_behind_the_records(void **state)
{
    (void)state;
    static char text[400000], pad[400000];
    struct rlimit was, tight;
    unsigned back = 0, unknown = 0;
    void (*on_limit)(int) = signal(SIGXFSZ, SIG_IGN);
    struct complaints c;
    struct stat st;
    char path[300];
    size_t n;
    zone_of(pad, sizeof pad, 1, 4000);                              /* of the store alone: its file is the largest */
    zone_of(text, sizeof text, 9, 400);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    for (unsigned i = 0; i < 5; i++) {
        struct bed *b = bed_open();
        assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
        assert_int_equal(place_load(&b->p, "pad.example.", pad, false, &c, &n), OK);
        char *before = bed_walk(b, "example.com.");
        uint64_t version = source_version(b->s.s);
        snprintf(path, sizeof path, "%s/data.1/data.mdb", b->p.dir);
        assert_int_equal(stat(path, &st), 0);
        tight = was;
        tight.rlim_cur = (rlim_t)st.st_size + 4096 * i;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        struct change_result r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, text);
        uint64_t moves = source_version(b->s.s) - version;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        if (r.end == CHANGE_FAILED) {
            assert_int_equal(r.err, ERR_FULL);
            bed_expect(b, "as it was", "example.com.", before);
            assert_int_equal(bed_rows(b, "example.com.").n, 5);
            assert_int_equal(bed_figures(b).events, 0);
            back += moves == 2;                                     /* there, and back again */
        } else if (r.end == CHANGE_UNKNOWN) {
            assert_int_equal(bed_rows(b, "example.com.").n, 402);
            assert_int_equal(bed_figures(b).events, 1);             /* from which the next start knows that it is to be built */
            unknown++;
        }
        free(before);
        r = bed_change(b, CHANGE_REBUILD, "example.com.", NULL, NULL);
        if (r.end != CHANGE_DONE)
            fail_msg("limit %u: %s", i, r.fault.text);
        bed_close(b);
    }
    (void)signal(SIGXFSZ, on_limit);
    assert_true(back > 0);
    assert_true(unknown > 0);
}

/* The log has a zone of which nobody knows, the store comes to it with the next one: which is not built on what was there before. */
static void what_comes_true_is_built_on(void **state)
{
    (void)state;
    static char text[400000], pad[400000];
    struct rlimit was, tight;
    unsigned unknown = 0;
    void (*on_limit)(int) = signal(SIGXFSZ, SIG_IGN);
    struct complaints c;
    struct stat st;
    char path[300];
    size_t n;
    zone_of(pad, sizeof pad, 1, 4000);
    zone_of(text, sizeof text, 9, 400);
    struct bed *other = bed_open();
    assert_int_equal(bed_change(other, CHANGE_CREATE, "example.com.", "{\"kind\":\"secondary\"}", WWW "z 60 TXT z\n").end, CHANGE_DONE);
    char *want = bed_walk(other, "example.com.");
    bed_close(other);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    for (unsigned i = 0; i < 5; i++) {
        struct bed *b = bed_open();
        b->via = VIA_TRANSFER;
        assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", "{\"kind\":\"secondary\"}", WWW).end, CHANGE_DONE);
        assert_int_equal(place_load(&b->p, "pad.example.", pad, false, &c, &n), OK);
        snprintf(path, sizeof path, "%s/data.1/data.mdb", b->p.dir);
        assert_int_equal(stat(path, &st), 0);
        tight = was;
        tight.rlim_cur = (rlim_t)st.st_size + 4096 * i;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        struct change_result r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, text);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        unknown += r.end == CHANGE_UNKNOWN;
        r = bed_change(b, CHANGE_WHOLE, "example.com.", NULL, WWW "z 60 TXT z\n");
        expect_end("the next", &r, CHANGE_DONE, OK, NULL);
        bed_expect(b, "the next", "example.com.", want);
        bed_close(b);
    }
    free(want);
    (void)signal(SIGXFSZ, on_limit);
    assert_true(unknown > 0);
}

static void a_dry_run_only_tells(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct asked a;
    assert_int_equal(bed_change(b, CHANGE_CREATE, "example.com.", NATIVE, WWW).end, CHANGE_DONE);
    char *before = bed_walk(b, "example.com.");
    asked_init(b, &a, CHANGE_WHOLE, "example.com.", NULL, APEX "ns 60 A 192.0.2.1\nwww 60 A 192.0.2.2\nnew 60 TXT n\n");
    a.c.dry_run = true;
    struct change_result *r = bed_do(b, &a);
    expect_end("dry", r, CHANGE_DONE, OK, NULL);
    assert_true(r->changed);
    assert_int_equal(r->serial, 8);
    assert_int_equal(r->difference.n, 4);                           /* SOA, new TXT, www A, www TXT */
    assert_int_equal(r->difference.added, 2);
    assert_int_equal(r->difference.removed, 3);
    asked_release(&a);
    asked_init(b, &a, CHANGE_WHOLE, "example.com.", NULL, WWW);
    a.c.has_if_serial = true;
    a.c.if_serial = 6;
    expect_end("raced", bed_do(b, &a), CHANGE_REFUSED, ERR_STALE, "serial is 7, not 6");
    asked_release(&a);
    bed_expect(b, "as it was", "example.com.", before);
    free(before);
    bed_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zone_is_made_and_removed),
        cmocka_unit_test(refused_changes_leave_no_trace),
        cmocka_unit_test(losing_more_than_half_is_an_accident),
        cmocka_unit_test(signatures_stand_by_what_they_cover), cmocka_unit_test(a_whole_zone_gets_a_later_serial),
        cmocka_unit_test(what_validators_would_not_believe_is_told),
        cmocka_unit_test(unchanged_rows_keep_their_time),
        cmocka_unit_test(comments_and_disabled_records_go_with_the_old_rows),
        cmocka_unit_test(many_rows_are_written_in_pieces),
        cmocka_unit_test(rows_that_the_store_lacks_are_built_again),
        cmocka_unit_test(a_zone_without_data_stands_there_empty),
        cmocka_unit_test(a_burst_of_rebuilds_is_one),
        cmocka_unit_test(nested_zones_may_be_built_at_once), cmocka_unit_test(an_expired_zone_is_not_laid_out),
        cmocka_unit_test(an_end_in_the_middle_tells_all),
        cmocka_unit_test(a_full_disk_leaves_all_as_it_was),
        cmocka_unit_test(a_full_store_puts_the_records_back),
        cmocka_unit_test(a_disk_that_fills_behind_the_records), cmocka_unit_test(what_comes_true_is_built_on),
        cmocka_unit_test(a_dry_run_only_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
