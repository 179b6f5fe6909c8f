/* A secondary that becomes native: its records are rows from then on, and nothing moves in the store but its kind. */
#include "tests/unit/full_bed.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define ZONE "example.com."
#define SECONDARY "{\"kind\":\"secondary\",\"account\":\"ours\",\"primaries\":[{\"address\":\"192.0.2.53\"}],\"transfer_acl\":[\"192.0.2.0/24\"]}"
#define APEX "@ 60 SOA ns h 7 2 3 4 30\n@ 60 NS ns.example.net.\n"
#define WWW APEX "www 60 A 192.0.2.2\nwww 60 A 192.0.2.3\nwww 60 TXT x\nMiXed 60 MX 1 Mail.Example.NET.\n"
#define SIG(type) " 60 RRSIG " type " 13 2 60 20400101000000 20200101000000 1 @ AAAA\n"
#define SIGNED APEX "@" SIG("SOA") "@" SIG("NS") "@ 60 DNSKEY 257 3 13 AAAA\n@" SIG("DNSKEY") "@ 60 NSEC a SOA NS RRSIG NSEC DNSKEY\n@" SIG("NSEC") \
    "a 60 TXT t\na" SIG("TXT") "a 60 NSEC @ TXT RRSIG NSEC\na" SIG("NSEC")
#define ODD APEX "sub 60 NS ns.sub\nns.sub 60 A 192.0.2.9\nunder.sub 60 TXT hidden\nd 60 DNAME example.net.\nx.d 60 TXT hidden\n* 60 TXT w\n" \
    "many.labels.deep 60 TYPE65280 \\# 3 010203\n"

static void expect_end(const char *why, const struct change_result *r, enum change_end end, enum err err, const char *text)
{
    if (r->end != end || r->err != err || (text != NULL && strstr(r->fault.text, text) == NULL))
        fail_msg("%s: end %d, %s: %s; want end %d, %s: %s", why, r->end, err_text(r->err), r->fault.text, end, err_text(err),
                 text != NULL ? text : "");
}

static void make_secondary(struct bed *b, const char *settings, const char *text)
{
    struct asked a;
    struct fault fault = { "" };
    struct name apex = name_of(ZONE);
    asked_init(b, &a, CHANGE_CREATE, ZONE, settings, text);
    a.c.author.via = VIA_CATALOG;
    expect_end("a secondary", bed_do(b, &a), CHANGE_DONE, OK, NULL);
    asked_release(&a);
    struct source_txn *t = txn_begin(b->s.s, SOURCE_WRITE);
    assert_ok(source_secondary_put(t, name_bytes(&apex), &(struct refresh_kept){ .serial = 7 }, &fault), &fault);
    txn_commit(t);
}

/* The zone's settings as the row has them; NULL: no row. In a. */
static struct zone_settings settings_now(struct bed *b, struct arena *a, bool *kept)
{
    struct zone_row row;
    struct zone_settings s;
    struct refresh_kept k;
    struct name apex = name_of(ZONE);
    struct source_txn *t = txn_begin(b->s.s, SOURCE_READ);
    assert_int_equal(source_zone(t, name_bytes(&apex), &row), OK);
    assert_int_equal(settings_read(arena_copy(a, row.settings), a, &s, NULL), OK);
    *kept = source_secondary(t, name_bytes(&apex), &k) == OK;
    source_abort(t);
    return s;
}

static void expect_kind(struct bed *b, const char *why, enum zone_kind want, size_t rows)
{
    struct zone_header h;
    struct name apex = name_of(ZONE);
    struct arena a;
    bool kept;
    arena_init(&a);
    struct zone_settings s = settings_now(b, &a, &kept);
    assert_int_equal(view_begin(b->p.view), OK);
    assert_int_equal(zone_header_get(name_bytes(&apex), b->p.view, &h), OK);
    view_end(b->p.view);
    bool secondary = want == ZONE_SECONDARY;
    if (s.kind != want || h.kind != want || s.primaries_n != secondary || kept != secondary || strcmp(s.account, "ours") != 0
        || s.transfer_acl.n != 1)
        fail_msg("%s: kind %d, in the store %d, %zu primaries, kept %d, account %s", why, s.kind, h.kind, s.primaries_n, kept, s.account);
    if (bed_rows(b, ZONE).n != rows)
        fail_msg("%s: %zu rows, want %zu", why, bed_rows(b, ZONE).n, rows);
    settings_release(&s);
    arena_release(&a);
}

static void set_state(struct bed *b, enum zone_state state)
{
    uint8_t key[RRKEY_MAX], value[1024];
    struct wr k = wr_over(key, sizeof key), w = wr_over(value, sizeof value);
    struct zone_header h;
    struct name apex = name_of(ZONE);
    struct fault fault = { "" };
    uint64_t seq;
    assert_int_equal(view_begin(b->p.view), OK);
    assert_int_equal(zone_header_get(name_bytes(&apex), b->p.view, &h), OK);
    h.state = state;
    zone_header_write(&w, &h);
    assert_int_equal(rrkey_write(name_bytes(&apex), RRSLOT_ZONE, &k), OK);
    struct op op = { OP_PUT, bytes_of_text("dns"), wr_done(&k), wr_done(&w) };
    assert_ok(commit_stage(b->p.committer, &op, 1, &seq, &fault), &fault);
    assert_ok(commit_flush(b->p.committer, &fault), &fault);
    view_end(b->p.view);
}

/* --- what moves ------------------------------------------------------------------------------------------------------------ */
static const struct { const char *why, *text; size_t rows; } zones[] = {
    { "records of all kinds",                                  WWW, 5 },
    { "a signed zone: signatures and NSEC are rows like others", SIGNED, 12 },
    { "what lies below cuts and DNAMEs too",                   ODD, 9 },
};

static void nothing_moves_but_the_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
        struct bed *b = bed_open();
        make_secondary(b, SECONDARY, zones[i].text);
        char *want = bed_walk(b, ZONE);
        struct dump before = place_dump(&b->p);
        expect_kind(b, zones[i].why, ZONE_SECONDARY, 0);
        struct change_result r = bed_change(b, CHANGE_NATIVE, ZONE, NULL, NULL);
        expect_end(zones[i].why, &r, CHANGE_DONE, OK, NULL);
        assert_true(r.changed);
        assert_int_equal(r.serial, 7);
        expect_kind(b, zones[i].why, ZONE_NATIVE, zones[i].rows);
        bed_expect(b, zones[i].why, ZONE, want);
        struct dump after = place_dump(&b->p);
        size_t moved = 0;
        assert_int_equal(after.n, before.n);
        for (size_t k = 0; k < before.n; k++) {
            assert_true(bytes_equal(before.v[k].key, after.v[k].key));
            moved += !bytes_equal(before.v[k].value, after.v[k].value);
        }
        if (moved != 1)
            fail_msg("%s: %zu entries moved", zones[i].why, moved);
        dump_release(&before);
        dump_release(&after);
        assert_int_equal(bed_figures(b).events, 0);
        r = bed_change(b, CHANGE_REBUILD, ZONE, NULL, NULL);            /* the rows say what the store says */
        expect_end(zones[i].why, &r, CHANGE_DONE, OK, NULL);
        assert_false(r.changed);
        r = bed_change(b, CHANGE_NATIVE, ZONE, NULL, NULL);
        expect_end("it is native", &r, CHANGE_DONE, OK, NULL);
        assert_false(r.changed);
        bed_expect(b, zones[i].why, ZONE, want);
        free(want);
        bed_close(b);
    }
}

static bool on_history(void *arg, const struct history_row *h)
{
    char *said = arg;
    snprintf(said, 1000, "%.*s > %.*s", (int)h->before.len, h->before.ptr != NULL ? (const char *)h->before.ptr : "", (int)h->after.len,
             h->after.ptr != NULL ? (const char *)h->after.ptr : "");
    return false;
}

static void the_history_tells_of_it(void **state)
{
    (void)state;
    char said[1000] = "";
    struct name apex = name_of(ZONE);
    struct bed *b = bed_open();
    make_secondary(b, SECONDARY, WWW);
    assert_int_equal(bed_change(b, CHANGE_NATIVE, ZONE, NULL, NULL).end, CHANGE_DONE);
    struct source_txn *t = txn_begin(b->s.s, SOURCE_READ);
    assert_int_equal(source_history(t, HISTORY_ZONE, name_bytes(&apex), UINT64_MAX, on_history, said), OK);
    source_abort(t);
    if (strstr(said, "\"kind\":\"secondary\"") == NULL || strstr(said, "192.0.2.53") == NULL || strstr(said, "> {\"kind\":\"native\"") == NULL)
        fail_msg("%s", said);
    bed_close(b);
}

/* --- what is said with it --------------------------------------------------------------------------------------------------- */
static enum err settle_account(void *arg, struct zone_settings *s, struct arena *a, struct fault *fault)
{
    (void)fault;
    s->account = arena_text(a, arg);
    return s->account != NULL ? OK : ERR_NOMEM;
}
static enum err settle_refused(void *arg, struct zone_settings *s, struct arena *a, struct fault *fault)
{
    (void)s;
    (void)a;
    return fault_set(fault, ERR_REFUSED, "%s", (const char *)arg);
}
static enum err settle_kind(void *arg, struct zone_settings *s, struct arena *a, struct fault *fault)
{
    (void)arg;
    (void)a;
    (void)fault;
    s->kind = ZONE_SECONDARY;
    return OK;
}

static void other_settings_come_with_it(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    make_secondary(b, SECONDARY, WWW);
    for (int i = 0; i < 2; i++) {                               /* of a secondary, and of what is native by now */
        const char *account = i == 0 ? "first" : "second";
        struct arena a;
        struct asked ask;
        bool kept;
        asked_init(b, &ask, CHANGE_NATIVE, ZONE, NULL, NULL);
        ask.c.settle = settle_account;
        ask.c.arg = (void *)(uintptr_t)account;
        expect_end(account, bed_do(b, &ask), CHANGE_DONE, OK, NULL);
        assert_true(ask.c.result.changed);
        asked_release(&ask);
        arena_init(&a);
        struct zone_settings s = settings_now(b, &a, &kept);
        assert_string_equal(s.account, account);
        assert_int_equal(s.kind, ZONE_NATIVE);
        settings_release(&s);
        arena_release(&a);
        assert_int_equal(bed_rows(b, ZONE).n, 5);
        assert_int_equal(bed_figures(b).events, 0);
    }
    bed_close(b);
}

#define MEMBER "{\"kind\":\"secondary\",\"member_of\":{\"catalog\":\"cat.example.\",\"id\":\"m1\"},\"primaries\":[{\"address\":\"192.0.2.53\"}]}"
#define CATALOG "{\"kind\":\"secondary\",\"catalog\":{},\"primaries\":[{\"address\":\"192.0.2.53\"}]}"
static const struct { const char *why, *settings, *text; change_settle_fn *settle; uint32_t if_serial; enum err err; const char *says; } refusals[] = {
    { "a member is its catalog's",              MEMBER, WWW, NULL, 0, ERR_NOTNOW, "member of the catalog zone cat.example." },
    { "a catalog zone has members",             CATALOG, WWW, NULL, 0, ERR_NOTNOW, "is a catalog zone" },
    { "without data there is nothing to edit",  SECONDARY, NULL, NULL, 0, ERR_NOTNOW, "nothing was transferred yet" },
    { "settings that somebody refuses",         SECONDARY, WWW, settle_refused, 0, ERR_REFUSED, "not so" },
    { "settings of another kind",               SECONDARY, WWW, settle_kind, 0, ERR_REFUSED, "of another kind" },
    { "another serial than that which was seen", SECONDARY, WWW, NULL, 6, ERR_STALE, "serial is 7, not 6" },
};

static void refused_ones_leave_no_trace(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        for (int force = 0; force < 2; force++) {
            struct bed *b = bed_open();
            struct asked a;
            make_secondary(b, refusals[i].settings, refusals[i].text);
            struct source_figures was = bed_figures(b);
            uint64_t version = source_version(b->s.s);
            asked_init(b, &a, CHANGE_NATIVE, ZONE, NULL, NULL);
            a.c.settle = refusals[i].settle;
            a.c.arg = (void *)(uintptr_t)"not so";
            a.c.force = force == 1;
            a.c.has_if_serial = refusals[i].if_serial > 0;
            a.c.if_serial = refusals[i].if_serial;
            expect_end(refusals[i].why, bed_do(b, &a), CHANGE_REFUSED, refusals[i].err, refusals[i].says);
            asked_release(&a);
            struct source_figures is = bed_figures(b);
            assert_true(is.rows == was.rows && is.events == 0 && source_version(b->s.s) == version);
            bed_close(b);
        }
    }
}

static void zones_of_files_and_none(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct complaints c;
    size_t n;
    assert_int_equal(place_load(&b->p, "file.example.", WWW, false, &c, &n), OK);
    struct change_result r = bed_change(b, CHANGE_NATIVE, "file.example.", NULL, NULL);
    expect_end("of a file", &r, CHANGE_REFUSED, ERR_NOTNOW, "kind file");
    r = bed_change(b, CHANGE_NATIVE, "none.example.", NULL, NULL);
    expect_end("none", &r, CHANGE_REFUSED, ERR_NOTFOUND, "no such zone");
    make_secondary(b, SECONDARY, WWW);
    r = bed_change(b, CHANGE_CREATE, ZONE, "{\"kind\":\"native\"}", WWW);
    expect_end("made over a secondary", &r, CHANGE_REFUSED, ERR_EXISTS, "azoth zone set NAME kind=native");
    bed_close(b);
}

static void a_dry_run_only_tells(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct asked a;
    make_secondary(b, SECONDARY, WWW);
    uint64_t version = source_version(b->s.s);
    asked_init(b, &a, CHANGE_NATIVE, ZONE, NULL, NULL);
    a.c.dry_run = true;
    struct change_result *r = bed_do(b, &a);
    expect_end("dry", r, CHANGE_DONE, OK, NULL);
    assert_true(r->changed && r->serial == 7);
    assert_int_equal(r->difference.n, 0);
    asked_release(&a);
    expect_kind(b, "dry", ZONE_SECONDARY, 0);
    assert_true(source_version(b->s.s) == version);
    bed_close(b);
}

/* --- around it -------------------------------------------------------------------------------------------------------------- */
static void what_had_expired_is_answered_again(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    make_secondary(b, SECONDARY, WWW);
    char *want = bed_walk(b, ZONE);
    set_state(b, ZONE_EXPIRED);
    struct change_result r = bed_change(b, CHANGE_NATIVE, ZONE, NULL, NULL);
    expect_end("expired", &r, CHANGE_DONE, OK, NULL);
    assert_int_equal(r.complaints.warnings_n, 1);
    assert_non_null(strstr(r.complaints.warnings[0].text, "had expired: it is answered again, as it was last transferred (serial 7)"));
    assert_int_equal(bed_state(b, ZONE), ZONE_LIVE);
    bed_expect(b, "expired", ZONE, want);
    expect_kind(b, "expired", ZONE_NATIVE, 5);
    free(want);
    bed_close(b);
}

/* The transfer began before it: it comes behind it, and is told that it is not wanted. */
static void a_transfer_under_way_is_refused(void **state)
{
    (void)state;
    struct bed *b = bed_open();
    struct asked a[2];
    make_secondary(b, SECONDARY, WWW);
    char *want = bed_walk(b, ZONE);
    bed_hold(b);
    asked_init(b, &a[0], CHANGE_NATIVE, ZONE, NULL, NULL);
    asked_init(b, &a[1], CHANGE_WHOLE, ZONE, NULL, APEX "late 60 TXT late\n");
    a[1].c.author.via = VIA_TRANSFER;
    size_t before = b->told_n;
    full_put(b->full, &a[0].c);
    full_put(b->full, &a[1].c);
    bed_go_on(b);
    bed_wait(b, &b->told_n, before + 2);
    expect_end("native", &a[0].c.result, CHANGE_DONE, OK, NULL);
    expect_end("the transfer", &a[1].c.result, CHANGE_REFUSED, ERR_REFUSED, "no secondary any more");
    bed_expect(b, "native", ZONE, want);
    expect_kind(b, "native", ZONE_NATIVE, 5);
    asked_release(&a[0]);
    asked_release(&a[1]);
    free(want);
    bed_close(b);
}

static void zone_of(char *out, size_t cap, unsigned serial, unsigned names)
{
    size_t n = (size_t)snprintf(out, cap, "@ 60 SOA ns h %u 2 3 4 30\n@ 60 NS ns.example.net.\n", serial);
    for (unsigned i = 0; i < names; i++)
        n += (size_t)snprintf(out + n, cap - n, "h%u 60 A 192.0.2.%u\n", i, i % 250);
}

/* In pieces, and not at all where the records have no room for them. */
static void a_large_zone(void **state)
{
    (void)state;
    static char text[2000000];
    zone_of(text, sizeof text, 7, 30000);
    for (int full = 0; full < 2; full++) {
        struct bed *b = bed_open_in(full == 1 ? (uint64_t)2 << 20 : 0, (uint64_t)64 << 20);
        make_secondary(b, SECONDARY, text);
        char *want = bed_walk(b, ZONE);
        struct change_result r = bed_change(b, CHANGE_NATIVE, ZONE, NULL, NULL);
        expect_end("large", &r, full == 1 ? CHANGE_FAILED : CHANGE_DONE, full == 1 ? ERR_FULL : OK, NULL);
        expect_kind(b, "large", full == 1 ? ZONE_SECONDARY : ZONE_NATIVE, full == 1 ? 0 : 30002);
        bed_expect(b, "large", ZONE, want);
        assert_int_equal(bed_figures(b).events, 0);
        free(want);
        bed_close(b);
    }
}

/* The disk fills when log and store are written, behind the records: then it is a secondary as before, or nobody knows, and the next
 * build from the outbox makes it native, also where it had expired. */
static void a_disk_that_fills_behind_the_records(void **state)
{
    (void)state;
    static char pad[400000];
    struct rlimit was, tight;
    unsigned back = 0, unknown = 0;
    void (*on_limit)(int) = signal(SIGXFSZ, SIG_IGN);
    struct complaints c;
    struct stat st;
    char path[300];
    size_t n;
    zone_of(pad, sizeof pad, 1, 4000);                              /* of the store alone: its file is the largest */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    for (unsigned i = 0; i < 6; i++) {
        struct bed *b = bed_open();
        make_secondary(b, SECONDARY, WWW);
        char *want = bed_walk(b, ZONE);
        assert_int_equal(place_load(&b->p, "pad.example.", pad, false, &c, &n), OK);
        if (i % 2 == 1)
            set_state(b, ZONE_EXPIRED);
        snprintf(path, sizeof path, "%s/data.1/data.mdb", b->p.dir);
        assert_int_equal(stat(path, &st), 0);
        tight = was;
        tight.rlim_cur = (rlim_t)st.st_size + 4096 * (i / 2);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        struct change_result r = bed_change(b, CHANGE_NATIVE, ZONE, NULL, NULL);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        bed_expect(b, "its records", ZONE, want);
        if (r.end == CHANGE_FAILED) {
            expect_kind(b, "put back", ZONE_SECONDARY, 0);
            assert_int_equal(bed_figures(b).events, 0);
            back++;
        } else if (r.end == CHANGE_UNKNOWN) {
            assert_int_equal(bed_figures(b).events, 1);             /* from which the next start knows */
            unknown++;
            r = bed_change(b, CHANGE_REBUILD, ZONE, NULL, NULL);
            expect_end("built from the outbox", &r, CHANGE_DONE, OK, NULL);
            expect_kind(b, "built from the outbox", ZONE_NATIVE, 5);
            assert_int_equal(bed_state(b, ZONE), ZONE_LIVE);
            bed_expect(b, "its records", ZONE, want);
        }
        free(want);
        bed_close(b);
    }
    (void)signal(SIGXFSZ, on_limit);
    assert_true(back > 0 && unknown > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_moves_but_the_kind),
        cmocka_unit_test(the_history_tells_of_it),
        cmocka_unit_test(other_settings_come_with_it),
        cmocka_unit_test(refused_ones_leave_no_trace),
        cmocka_unit_test(zones_of_files_and_none),
        cmocka_unit_test(a_dry_run_only_tells),
        cmocka_unit_test(what_had_expired_is_answered_again),
        cmocka_unit_test(a_transfer_under_way_is_refused),
        cmocka_unit_test(a_large_zone),
        cmocka_unit_test(a_disk_that_fills_behind_the_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
