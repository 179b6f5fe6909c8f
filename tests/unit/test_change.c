/* Changes of zones: what one does, what several do together, what is refused, what a failure leaves. */
#include "tests/unit/change_bed.h"

#include "builder/source_calls.h"

#define ZONE "example.com."
#define SOA "@ 3600 SOA ns hostmaster 10 3600 600 86400 300\n"
#define BASE SOA "@ 3600 NS ns\nns 300 A 192.0.2.1\nwww 300 A 192.0.2.2\nalias 300 CNAME www\nsub 300 NS ns.sub\nns.sub 300 A 192.0.2.3\n"

/* --- one change ---------------------------------------------------------------------------------------------------------- */
static void edit_rows(void **state)
{
    static const struct { const char *why, *set, *del; enum change_end end; enum err err; const char *says; bool changed; } rows[] = {
        { "a new name", "new 300 A 192.0.2.9\n", NULL, CHANGE_DONE, OK, "", true },
        { "the same again", "new 300 A 192.0.2.9\n", NULL, CHANGE_DONE, OK, "", false },
        { "another TTL alone", "new 600 A 192.0.2.9\n", NULL, CHANGE_DONE, OK, "", true },
        { "more records", "new 600 A 192.0.2.9\nnew 600 A 192.0.2.10\n", NULL, CHANGE_DONE, OK, "", true },
        { "gone", NULL, "new.example.com. A", CHANGE_DONE, OK, "", true },
        { "gone twice", NULL, "new.example.com. A", CHANGE_DONE, OK, "", false },
        { "a rename: both at once", "www2 300 A 192.0.2.2\n", "www.example.com. A", CHANGE_DONE, OK, "", true },
        { "and back", "www 300 A 192.0.2.2\n", "www2.example.com. A", CHANGE_DONE, OK, "", true },
        { "CNAME where data is", "www 300 CNAME ns\n", NULL, CHANGE_REFUSED, ERR_REFUSED, "CNAME beside other data at www.example.com.", false },
        { "data where a CNAME is", "alias 300 TXT \"x\"\n", NULL, CHANGE_REFUSED, ERR_REFUSED, "CNAME beside other data at alias.example.com.", false },
        { "two CNAMEs", "alias 300 CNAME ns\nalias 300 CNAME www\n", NULL, CHANGE_REFUSED, ERR_REFUSED, "more than one CNAME at alias", false },
        { "CNAME in place of data, in one change", "www 300 CNAME ns\n", "www.example.com. A", CHANGE_DONE, OK, "", true },
        { "and back again", "www 300 A 192.0.2.2\n", "www.example.com. CNAME", CHANGE_DONE, OK, "", true },
        { "two DNAMEs", "d 300 DNAME a.example.\nd 300 DNAME b.example.\n", NULL, CHANGE_REFUSED, ERR_REFUSED, "more than one DNAME at d", false },
        { "SOA elsewhere", "www 300 SOA ns hostmaster 1 2 3 4 5\n", NULL, CHANGE_REFUSED, ERR_REFUSED, "SOA at www.example.com., which is not the apex", false },
        { "two SOAs", SOA "@ 3600 SOA other hostmaster 10 3600 600 86400 300\n", NULL, CHANGE_REFUSED, ERR_REFUSED, "the zone has more than one SOA", false },
        { "no SOA", NULL, "example.com. SOA", CHANGE_REFUSED, ERR_REFUSED, "the zone has no SOA at its apex", false },
        { "no NS", NULL, "example.com. NS", CHANGE_REFUSED, ERR_REFUSED, "the zone has no NS at its apex", false },
        { "DS at the apex", "@ 300 DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000\n", NULL, CHANGE_REFUSED, ERR_REFUSED, "DS at the apex", false },
        { "a name outside", NULL, "www.example.net. A", CHANGE_REFUSED, ERR_REFUSED, "the name is not in the zone", false },
        { "a type that no zone holds", NULL, "www.example.com. TYPE41", CHANGE_REFUSED, ERR_REFUSED, "no zone holds records of type 41", false },
        { "glue of the delegation", "ns.sub 300 A 192.0.2.33\n", NULL, CHANGE_DONE, OK, "", true },
        { "the delegation goes", NULL, "sub.example.com. NS;ns.sub.example.com. A", CHANGE_DONE, OK, "", true },
        { "a wildcard comes", "*.wild 300 TXT \"w\"\n", NULL, CHANGE_DONE, OK, "", true },
        { "doubles are one", "dup 300 A 192.0.2.4\ndup 300 A 192.0.2.4\n", NULL, CHANGE_DONE, OK, "", true },
    };
    struct bed b;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    uint64_t seq = 0;
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint32_t before = bed_check(&b, ZONE);
        struct edit *e = edit_new(ZONE, rows[i].set, rows[i].del);
        edit_run(&b, e);
        const struct change_result *r = &e->c.result;
        if (r->end != rows[i].end || r->err != rows[i].err || strstr(r->fault.text, rows[i].says) == NULL || r->changed != rows[i].changed)
            fail_msg("%s: end %d, changed %d, '%s'", rows[i].why, r->end, r->changed, fault_text(&r->fault, r->err));
        uint32_t after = bed_check(&b, ZONE);
        if (after != before + rows[i].changed || (r->end == CHANGE_DONE && r->serial != after) || e->seen_serial != before)
            fail_msg("%s: serial %u, then %u, told %u", rows[i].why, before, after, r->serial);
        if (r->end == CHANGE_DONE && (r->changed ? r->seq <= seq : r->seq != seq && seq != 0))
            fail_msg("%s: seq %lu behind %lu", rows[i].why, (unsigned long)r->seq, (unsigned long)seq);
        seq = r->end == CHANGE_DONE ? r->seq : seq;
        edit_free(e);
    }
    bed_close(&b);
}

static void what_is_not_published_moves_nothing(void **state)
{
    struct bed b;
    struct row row;
    struct source_txn *t;
    struct zone_row zr;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    uint64_t seq = bed_edit(&b, ZONE, "www 300 A 192.0.2.77\n", NULL);
    struct edit *e = edit_new(ZONE, "www 300 A 192.0.2.77\n", NULL);
    e->comment = "a comment";
    edit_run(&b, e);
    assert_int_equal(e->c.result.end, CHANGE_DONE);
    assert_true(e->c.result.changed && e->c.result.seq == seq);
    edit_free(e);
    e = edit_new(ZONE, "quiet 300 A 192.0.2.78\n", NULL);
    e->disabled = true;
    edit_run(&b, e);
    assert_true(e->c.result.end == CHANGE_DONE && e->c.result.changed && e->c.result.seq == seq);
    edit_free(e);
    assert_int_equal(bed_check(&b, ZONE), 11);
    struct name apex = name_of(ZONE), www = name_of("www." ZONE), quiet = name_of("quiet." ZONE);
    assert_int_equal(source_begin(b.source, SOURCE_READ, &t, NULL), OK);
    assert_int_equal(source_zone(t, name_bytes(&apex), &zr), OK);
    assert_int_equal(source_row(t, zr.id, name_bytes(&www), TYPE_A, 0, &row), OK);
    assert_true(row.comments_n == 1 && row.modified_s > 1000000000);
    assert_int_equal(source_row(t, zr.id, name_bytes(&quiet), TYPE_A, 0, &row), OK);
    assert_true(row.n == 1 && row.rr[0].disabled);
    source_abort(t);
    assert_false(bed_has(&b, ZONE, "quiet"));
    bed_edit(&b, ZONE, "quiet 300 A 192.0.2.78\n", NULL);           /* enabled */
    assert_true(bed_has(&b, ZONE, "quiet"));
    bed_check(&b, ZONE);
    bed_close(&b);
}

static void serial_rows(void **state)
{
    static const struct { const char *why, *settings, *set; uint32_t least, most; } rows[] = {
        { "one more", "{}", "a 1 A 192.0.2.1\n", 11, 11 },
        { "the time", "{\"serial_policy\":\"unixtime\"}", "a 1 A 192.0.2.1\n", 1700000000, 4294967295u },
        { "the date", "{\"serial_policy\":\"date\"}", "a 1 A 192.0.2.1\n", 2023010100, 4294967295u },
        { "kept", "{\"serial_policy\":\"keep\"}", "a 1 A 192.0.2.1\n", 10, 10 },
        { "a change that says a later one keeps it", "{}", "@ 3600 SOA ns hostmaster 500 3600 600 86400 300\n", 500, 500 },
        { "a change that says an earlier one does not", "{}", "@ 3600 SOA ns hostmaster 9 3600 600 86400 300\n", 11, 11 },
        { "but where it counts itself", "{\"serial_policy\":\"keep\"}", "@ 3600 SOA ns hostmaster 9 3600 600 86400 300\n", 9, 9 },
        { "the same serial and another contact", "{}", "@ 3600 SOA ns other 10 3600 600 86400 300\n", 11, 11 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bed b;
        bed_open(&b);
        bed_whole(&b, CHANGE_CREATE, ZONE, BASE, rows[i].settings);
        bed_edit(&b, ZONE, rows[i].set, NULL);
        uint32_t serial = bed_check(&b, ZONE);
        if (serial < rows[i].least || serial > rows[i].most)
            fail_msg("%s: %u", rows[i].why, serial);
        bed_close(&b);
    }
}

/* --- several ---------------------------------------------------------------------------------------------------------------- */
#define MANY 5
static void run_together(struct bed *b, struct edit **e, size_t n)
{
    bed_stall(b);
    for (size_t i = 0; i < n; i++)
        bed_put(b, &e[i]->c);
    bed_go(b);
    bed_wait(b);
}

static void a_group_is_one_transaction(void **state)
{
    struct bed b;
    struct edit *e[MANY];
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    e[0] = edit_new(ZONE, "one 300 A 192.0.2.1\n", NULL);
    e[1] = edit_new(ZONE, "two 300 A 192.0.2.2\n", NULL);
    e[2] = edit_new(ZONE, "gone 300 A 192.0.2.1\none 300 CNAME x\n", NULL);        /* sees what the first one set */
    e[3] = edit_new(ZONE, "three 300 A 192.0.2.3\n", "one.example.com. A");
    e[4] = edit_new(ZONE, "one 300 CNAME x\n", NULL);
    run_together(&b, e, MANY);
    for (size_t i = 0; i < MANY; i++) {
        const struct change_result *r = &e[i]->c.result;
        assert_int_equal(r->end, i == 2 ? CHANGE_REFUSED : CHANGE_DONE);
        if (i != 2 && (r->seq != e[0]->c.result.seq || r->serial != 11))
            fail_msg("change %zu has seq %lu, serial %u", i, (unsigned long)r->seq, r->serial);
        assert_int_equal(e[i]->planned, 1);
    }
    for (size_t i = 0; i < MANY; i++)
        edit_free(e[i]);
    assert_int_equal(bed_check(&b, ZONE), 11);
    assert_false(bed_has(&b, ZONE, "gone"));
    assert_true(bed_has(&b, ZONE, "one.example.com. 300 IN CNAME x.example.com."));
    bed_close(&b);
}

static void add_text(struct edit *e, size_t records)
{
    char *text = malloc(records * 300 + 1), *at = text;
    struct complaints c = { 0 };
    struct fault fault = { "" };
    for (size_t i = 0; i < records; i++)
        at += sprintf(at, "long 300 TXT \"%0250zu\"\n", i);
    if (zonefile_read_text(bytes_of_text(text), "test", &e->set, &c, &fault) != OK)
        fail_msg("%s", fault.text);
    free(text);
}

static enum err plan_long(void *arg, struct draft *d, struct fault *fault)
{
    struct edit *e = arg;
    struct row_rr *rr = calloc(e->set.n, sizeof *rr);
    struct row row = { .owner = e->set.rr[0].owner, .type = TYPE_TXT, .ttl = 300, .rr = rr, .n = e->set.n };
    for (size_t i = 0; i < e->set.n; i++)
        rr[i].rdata = e->set.rr[i].rdata;
    enum err err = draft_set(d, &row, fault);
    free(rr);
    return err;
}

static void what_only_the_build_refuses_is_found_by_halves(void **state)
{
    struct bed b;
    struct edit *e[MANY];
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    for (size_t i = 0; i < MANY; i++) {
        char set[64];
        snprintf(set, sizeof set, "n%zu 300 A 192.0.2.%zu\n", i, i);
        e[i] = edit_new(ZONE, i == 3 ? NULL : set, NULL);
    }
    add_text(e[3], 300);            /* no message holds it */
    e[3]->c.plan = plan_long;
    run_together(&b, e, MANY);
    for (size_t i = 0; i < MANY; i++) {
        if (e[i]->c.result.end != (i == 3 ? CHANGE_REFUSED : CHANGE_DONE))
            fail_msg("change %zu ended with %d: %s", i, e[i]->c.result.end, e[i]->c.result.fault.text);
        edit_free(e[i]);
    }
    bed_check(&b, ZONE);
    assert_true(bed_has(&b, ZONE, "n4.example.com.") && bed_has(&b, ZONE, "n0.example.com."));
    assert_false(bed_has(&b, ZONE, "long"));
    bed_close(&b);
}

static void who_did_it_is_told_apart(void **state)
{
    struct bed b;
    struct edit *e[3];
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    e[0] = edit_new(ZONE, "one 300 A 192.0.2.1\n", NULL);
    e[1] = edit_new(ZONE, "two 300 A 192.0.2.2\n", NULL);
    e[2] = edit_new(ZONE, "three 300 A 192.0.2.3\n", NULL);
    snprintf(e[1]->c.author.name, sizeof e[1]->c.author.name, "somebody else");
    run_together(&b, e, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(e[i]->c.result.end, CHANGE_DONE);
    assert_true(e[0]->c.result.seq < e[1]->c.result.seq && e[1]->c.result.seq < e[2]->c.result.seq);
    assert_int_equal(bed_check(&b, ZONE), 13);
    for (size_t i = 0; i < 3; i++)
        edit_free(e[i]);
    bed_close(&b);
}

static void two_clients_race(void **state)
{
    struct bed b;
    struct edit *e[3];
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    for (size_t i = 0; i < 3; i++) {
        e[i] = edit_new(ZONE, i == 0 ? "race 300 A 192.0.2.1\n" : "race 300 A 192.0.2.2\n", NULL);
        e[i]->c.has_if_serial = true;
        e[i]->c.if_serial = i < 2 ? 10 : 11;
    }
    run_together(&b, e, 2);
    assert_int_equal(e[0]->c.result.end, CHANGE_DONE);
    assert_int_equal(e[1]->c.result.end, CHANGE_REFUSED);
    assert_int_equal(e[1]->c.result.err, ERR_STALE);
    edit_run(&b, e[2]);
    assert_int_equal(e[2]->c.result.end, CHANGE_DONE);
    assert_int_equal(bed_check(&b, ZONE), 12);
    for (size_t i = 0; i < 3; i++)
        edit_free(e[i]);
    bed_close(&b);
}

static void zones_above_and_below_each_other(void **state)
{
    struct bed b;
    struct edit *e[4];
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    bed_whole(&b, CHANGE_CREATE, "sub.example.com.", SOA "@ 3600 NS ns\nns 300 A 192.0.2.3\n", NULL);
    bed_whole(&b, CHANGE_CREATE, "example.net.", SOA "@ 3600 NS ns.example.com.\n", NULL);
    e[0] = edit_new(ZONE, "sub 300 NS other\n", NULL);
    e[1] = edit_new("sub.example.com.", "@ 300 NS other.example.com.\n", NULL);
    e[2] = edit_new("example.net.", "www 300 A 192.0.2.1\n", NULL);
    e[3] = edit_new(ZONE, "x.sub 300 A 192.0.2.1\n", NULL);
    run_together(&b, e, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(e[i]->c.result.end, CHANGE_DONE);
        edit_free(e[i]);
    }
    bed_check(&b, ZONE);
    bed_check(&b, "sub.example.com.");
    bed_check(&b, "example.net.");
    bed_close(&b);
}

/* --- dry runs, conditions, kinds ------------------------------------------------------------------------------------------------ */
static void a_dry_run_changes_nothing(void **state)
{
    struct bed b;
    struct edit *e[2];
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    e[0] = edit_new(ZONE, "www 300 A 192.0.2.8\nnew 300 A 192.0.2.9\n", "alias.example.com. CNAME");
    e[1] = edit_new(ZONE, "www 300 CNAME ns\n", NULL);
    char *before = bed_text(&b, ZONE);
    for (size_t i = 0; i < 2; i++)
        e[i]->c.dry_run = true;
    run_together(&b, e, 2);
    const struct difference *d = &e[0]->c.result.difference;
    assert_int_equal(e[0]->c.result.end, CHANGE_DONE);
    assert_true(e[0]->c.result.changed);
    assert_int_equal(d->n, 4);                  /* the SOA, alias, new, www */
    assert_int_equal(d->v[0].type, TYPE_SOA);
    assert_true(d->v[1].after.n == 0 && d->v[2].before.n == 0 && d->v[3].before.n == 1 && d->v[3].after.n == 1);
    assert_int_equal(e[0]->c.result.serial, 11);
    assert_int_equal(e[1]->c.result.end, CHANGE_REFUSED);
    char *after = bed_text(&b, ZONE);
    assert_string_equal(before, after);
    assert_int_equal(bed_check(&b, ZONE), 10);
    free(before);
    free(after);
    edit_free(e[0]);
    edit_free(e[1]);
    struct edit *w = edit_new(ZONE, "www 300 A 192.0.2.8\n", NULL);
    w->c.want_difference = true;
    edit_run(&b, w);
    assert_int_equal(w->c.result.difference.n, 2);
    edit_free(w);
    bed_close(&b);
}

static void kinds_of_zones(void **state)
{
    struct bed b;
    struct complaints c;
    size_t n;
    (void)state;
    bed_open(&b);
    bed_quiet(&b);
    struct place p = { .store = b.store, .committer = b.committer, .view = b.view };
    assert_int_equal(place_load(&p, "file.example.", BASE, false, &c, &n), OK);
    bed_whole(&b, CHANGE_CREATE, "second.example.", NULL, "{\"kind\":\"secondary\"}");
    const struct { const char *why, *zone; enum err err; } rows[] = {
        { "no such zone", "nowhere.example.", ERR_NOTFOUND },
        { "a file's", "file.example.", ERR_NOTNOW },
        { "a secondary's", "second.example.", ERR_NOTNOW },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct edit *e = edit_new(rows[i].zone, "www 300 A 192.0.2.8\n", NULL);
        edit_run(&b, e);
        if (e->c.result.end != CHANGE_REFUSED || e->c.result.err != rows[i].err)
            fail_msg("%s: %s", rows[i].why, err_text(e->c.result.err));
        edit_free(e);
    }
    bed_close(&b);
}

static void secondaries_expire(void **state)
{
    static const struct { const char *why, *zone; enum zone_state state; enum change_end end; enum err err; bool changed; } rows[] = {
        { "no such zone", "nowhere.example.", ZONE_EXPIRED, CHANGE_REFUSED, ERR_NOTFOUND, false },
        { "no secondary", ZONE, ZONE_EXPIRED, CHANGE_REFUSED, ERR_NOTNOW, false },
        { "never transferred", "empty.example.", ZONE_EXPIRED, CHANGE_REFUSED, ERR_NOTNOW, false },
        { "it was live", "Second.example.", ZONE_LIVE, CHANGE_DONE, OK, false },
        { "it expires", "second.example.", ZONE_EXPIRED, CHANGE_DONE, OK, true },
        { "again", "second.example.", ZONE_EXPIRED, CHANGE_DONE, OK, false },
        { "it is heard again", "second.example.", ZONE_LIVE, CHANGE_DONE, OK, true },
    };
    struct bed b;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    bed_whole(&b, CHANGE_CREATE, "empty.example.", NULL, "{\"kind\":\"secondary\"}");
    bed_whole(&b, CHANGE_CREATE, "second.example.", NULL, "{\"kind\":\"secondary\"}");
    bed_transfer(&b, "second.example.", BASE);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct name apex = name_of(rows[i].zone);
        struct zone_header h;
        struct change c;
        change_init(&c, CHANGE_STATE, name_bytes(&apex));
        c.state = rows[i].state;
        c.author.via = VIA_TRANSFER;
        bed_put(&b, &c);
        bed_wait(&b);
        if (c.result.end != rows[i].end || c.result.err != rows[i].err || c.result.changed != rows[i].changed)
            fail_msg("%s: end %d, %s", rows[i].why, c.result.end, fault_text(&c.result.fault, c.result.err));
        if (rows[i].end == CHANGE_DONE) {
            assert_int_equal(view_begin(b.view), OK);
            assert_int_equal(zone_header_get(name_bytes(&apex), b.view, &h), OK);
            assert_true(h.state == rows[i].state && h.kind == ZONE_SECONDARY && h.has_soa);
            view_end(b.view);
        }
        change_release(&c);
    }
    assert_true(bed_has(&b, "second.example.", "www.second.example."));
    bed_close(&b);
}

/* An edit says what changes of what is there. Of a zone that expired nothing is seen, so all that it has would be the edit. */
static void an_expired_zone_is_not_edited(void **state)
{
    struct bed b;
    struct name apex = name_of("second.example.");
    struct change c;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, "second.example.", NULL, "{\"kind\":\"secondary\"}");
    bed_transfer(&b, "second.example.", BASE);
    change_init(&c, CHANGE_STATE, name_bytes(&apex));
    c.state = ZONE_EXPIRED;
    c.author.via = VIA_TRANSFER;
    bed_put(&b, &c);
    bed_wait(&b);
    assert_int_equal(c.result.end, CHANGE_DONE);
    change_release(&c);
    struct edit *e = edit_new("second.example.", SOA "@ 3600 NS ns\nnew 300 A 192.0.2.7\n", NULL);
    e->c.author.via = VIA_TRANSFER;
    edit_run(&b, e);
    assert_int_equal(e->c.result.end, CHANGE_REFUSED);
    assert_int_equal(e->c.result.err, ERR_NOTNOW);
    edit_free(e);
    assert_true(bed_has(&b, "second.example.", "www.second.example."));
    bed_transfer(&b, "second.example.", BASE "new 300 A 192.0.2.7\n");
    assert_true(bed_has(&b, "second.example.", "new.second.example."));
    bed_close(&b);
}

/* What transfers will do: a secondary's RRsets set one by one, its serial as the primary says. */
static void a_transfer_edits_the_store(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, "second.example.", NULL, "{\"kind\":\"secondary\",\"serial_policy\":\"keep\"}");
    bed_transfer(&b, "second.example.", BASE);
    struct edit *e = edit_new("second.example.", "@ 3600 SOA ns hostmaster 77 3600 600 86400 300\nnew 300 A 192.0.2.7\n", "www.second.example. A");
    e->c.author.via = VIA_TRANSFER;
    edit_run(&b, e);
    if (e->c.result.end != CHANGE_DONE || e->c.result.serial != 77)
        fail_msg("%s, serial %u", fault_text(&e->c.result.fault, e->c.result.err), e->c.result.serial);
    edit_free(e);
    assert_true(bed_holds(&b, "second.example.", "new.second.example."));
    assert_false(bed_holds(&b, "second.example.", "www.second.example."));
    assert_int_equal(bed_events(&b), 0);
    bed_close(&b);
}

static void a_zone_without_data_gets_some(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, NULL, NULL);
    struct edit *e = edit_new(ZONE, "www 300 A 192.0.2.8\n", NULL);
    edit_run(&b, e);
    assert_int_equal(e->c.result.end, CHANGE_REFUSED);
    assert_string_equal(e->c.result.complaints.errors[0].text, "the zone has no SOA at its apex");
    edit_free(e);
    bed_edit(&b, ZONE, SOA "@ 3600 NS ns\nwww 300 A 192.0.2.8\n", NULL);
    assert_int_equal(bed_check(&b, ZONE), 10);
    bed_edit(&b, ZONE, "www 300 A 192.0.2.9\n", NULL);
    assert_int_equal(bed_check(&b, ZONE), 11);
    bed_close(&b);
}

static void edits_and_whole_zones_in_order(void **state)
{
    struct bed b;
    struct name apex = name_of(ZONE);
    struct complaints c = { 0 };
    struct fault fault = { "" };
    struct change whole;
    struct zone z;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    zone_init(&z, name_bytes(&apex), "test");
    change_init(&whole, CHANGE_WHOLE, name_bytes(&apex));
    assert_int_equal(zonefile_read_text(bytes_of_text(SOA "@ 3600 NS ns\nwhole 300 A 192.0.2.1\nlast 300 A 192.0.2.1\n"), "test", &z, &c, &fault), OK);
    whole.whole = &z;
    struct edit *first = edit_new(ZONE, "first 300 A 192.0.2.1\n", NULL), *last = edit_new(ZONE, "last 300 A 192.0.2.99\n", NULL);
    struct edit *dry = edit_new(ZONE, "last 300 A 192.0.2.99\n", NULL);
    dry->c.dry_run = true;
    bed_stall(&b);
    bed_put(&b, &first->c);
    bed_put(&b, &whole);
    bed_put(&b, &dry->c);
    bed_put(&b, &last->c);
    bed_go(&b);
    bed_wait(&b);
    assert_int_equal(first->c.result.end, CHANGE_DONE);
    if (whole.result.end != CHANGE_DONE)
        fail_msg("whole: %s", fault_text(&whole.result.fault, whole.result.err));
    assert_int_equal(last->c.result.end, CHANGE_DONE);
    assert_true(first->c.result.seq < whole.result.seq && whole.result.seq < last->c.result.seq);
    assert_int_equal(dry->c.result.difference.n, 2);            /* it saw the whole zone */
    assert_false(bed_has(&b, ZONE, "first"));
    assert_true(bed_has(&b, ZONE, "192.0.2.99") && bed_has(&b, ZONE, "whole"));
    bed_check(&b, ZONE);
    edit_free(first);
    edit_free(last);
    edit_free(dry);
    change_release(&whole);
    zone_release(&z);
    bed_close(&b);
}

/* --- settings -------------------------------------------------------------------------------------------------------------------- */
static enum err plan_account(void *arg, struct draft *d, struct fault *fault)
{
    struct zone_settings s = *draft_settings(d);
    s.account = arg;
    return draft_settings_set(d, &s, fault);
}

static void settings_move_alone(void **state)
{
    struct bed b;
    struct source_txn *t;
    struct zone_row zr;
    char account[] = "somebody";
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    uint64_t seq = bed_edit(&b, ZONE, "www 300 A 192.0.2.8\n", NULL);
    for (int again = 0; again < 2; again++) {
        struct edit *e = edit_new(ZONE, NULL, NULL);
        e->c.plan = plan_account;
        e->c.arg = account;
        edit_run(&b, e);
        assert_int_equal(e->c.result.end, CHANGE_DONE);
        assert_int_equal(e->c.result.changed, again == 0);
        assert_true(e->c.result.seq == seq);
        edit_free(e);
    }
    struct name apex = name_of(ZONE);
    assert_int_equal(source_begin(b.source, SOURCE_READ, &t, NULL), OK);
    assert_int_equal(source_zone(t, name_bytes(&apex), &zr), OK);
    assert_non_null(memmem(zr.settings.ptr, zr.settings.len, "somebody", 8));
    source_abort(t);
    bed_close(&b);
}

/* --- what a failure leaves ---------------------------------------------------------------------------------------------------------- */
/* The source as a core left it that died between source_commit and the log: a row and its event, or the zone gone. */
static void leave_event(struct bed *b, enum event_kind kind, const char *address)
{
    struct fault fault = { "" };
    struct source_txn *t;
    struct zone_row zr;
    struct name apex = name_of(ZONE), www = name_of("www." ZONE);
    uint8_t rdata[4] = { 192, 0, 2, (uint8_t)atoi(address) };
    struct row_rr rr = { bytes_of(rdata, 4), false };
    struct row row = { .owner = name_bytes(&www), .type = TYPE_A, .ttl = 300, .rr = &rr, .n = 1 };
    struct event e = { .kind = kind, .apex = apex, .owner = name_bytes(&www), .type = TYPE_A };
    assert_int_equal(source_begin(b->source, SOURCE_WRITE, &t, &fault), OK);
    assert_int_equal(source_zone(t, name_bytes(&apex), &zr), OK);
    assert_int_equal(source_row_put(t, zr.id, &row, &fault), OK);
    if (kind == EVENT_GONE)
        assert_int_equal(source_zone_del(t, name_bytes(&apex), &fault), OK);
    if (kind != EVENT_ROW)
        e.owner = bytes_of("", 0), e.type = 0;
    if (address[0] != '0')          /* 0..: no event at all */
        assert_int_equal(source_event_add(t, &e, &fault), OK);
    assert_int_equal(source_commit(t, &fault), OK);
}

static void start_again(struct bed *b)
{
    bed_end(b);
    bed_start_store(b, NULL);
}

static void the_outbox_is_built_at_the_start(void **state)
{
    static const struct { const char *why; enum event_kind kind; const char *address, *has; } rows[] = {
        { "a row", EVENT_ROW, "71", "192.0.2.71" },
        { "the whole zone", EVENT_WHOLE, "72", "192.0.2.72" },
        { "the zone is gone", EVENT_GONE, "73", NULL },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bed b;
        bed_open(&b);
        bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
        bed_edit(&b, ZONE, "other 300 A 192.0.2.1\n", NULL);
        start_again(&b);
        leave_event(&b, rows[i].kind, rows[i].address);
        bed_start_changer(&b);
        if (rows[i].kind != EVENT_GONE)
            bed_edit(&b, ZONE, "behind 300 A 192.0.2.1\n", NULL);       /* changes wait for what was before them */
        bed_quiet(&b);
        bed_quiet(&b);
        if (rows[i].has != NULL && !bed_has(&b, ZONE, rows[i].has))
            fail_msg("%s: the store does not have it", rows[i].why);
        char *text = bed_text(&b, ZONE);
        if (rows[i].has == NULL && text != NULL)
            fail_msg("%s: it is still there", rows[i].why);
        free(text);
        if (rows[i].has != NULL)
            bed_check(&b, ZONE);
        struct changer_lag lag = changer_lag(b.changer);
        if (lag.events != 0 || lag.oldest_ms != 0)
            fail_msg("%s: %lu events still wait", rows[i].why, (unsigned long)lag.events);
        bed_close(&b);
    }
}

static void a_store_older_than_the_records_is_rebuilt(void **state)
{
    struct bed b;
    struct source_txn *t;
    struct source_mark mark;
    struct fault fault = { "" };
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    bed_edit(&b, ZONE, "other 300 A 192.0.2.1\n", NULL);
    start_again(&b);
    leave_event(&b, EVENT_ROW, "074");              /* without its event: only the mark can tell */
    assert_int_equal(source_begin(b.source, SOURCE_WRITE, &t, &fault), OK);
    assert_int_equal(source_mark_put(t, &(struct source_mark){ 1, 1000 }, &fault), OK);
    assert_int_equal(source_commit(t, &fault), OK);
    bed_start_changer(&b);
    bed_edit(&b, ZONE, "behind 300 A 192.0.2.1\n", NULL);
    assert_true(bed_has(&b, ZONE, "192.0.2.74"));
    bed_check(&b, ZONE);
    bed_quiet(&b);
    assert_int_equal(source_begin(b.source, SOURCE_READ, &t, &fault), OK);
    assert_int_equal(source_mark(t, &mark), OK);
    source_abort(t);
    if (mark.epoch == 1 && mark.seq == 1000)
        fail_msg("the mark is as it was");
    bed_close(&b);
}

/* More of them than stand in lanes at once; two whose rows differ. */
static void all_zones_are_rebuilt(void **state)
{
    enum { N = 150 };
    struct bed b;
    struct source_txn *t;
    struct source_mark mark = { 1, 1000000 };
    struct fault fault = { "" };
    char name[40];
    (void)state;
    bed_open(&b);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "z%d.example.", i);
        bed_whole(&b, CHANGE_CREATE, name, BASE, NULL);
    }
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    start_again(&b);
    leave_event(&b, EVENT_ROW, "074");
    assert_int_equal(source_begin(b.source, SOURCE_WRITE, &t, &fault), OK);
    assert_int_equal(source_mark_put(t, &mark, &fault), OK);
    assert_int_equal(source_commit(t, &fault), OK);
    bed_start_changer(&b);
    while (mark.seq == 0 || mark.seq == 1000000) {          /* written when all are through */
        (void)usleep(20000);
        assert_int_equal(source_begin(b.source, SOURCE_READ, &t, &fault), OK);
        assert_int_equal(source_mark(t, &mark), OK);
        source_abort(t);
    }
    assert_true(bed_has(&b, ZONE, "192.0.2.74"));
    bed_check(&b, ZONE);
    bed_close(&b);
}

static void an_idle_core_has_an_empty_outbox(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    bed_edit(&b, ZONE, "other 300 A 192.0.2.1\n", NULL);
    assert_true(bed_events(&b) > 0);                /* the next group, or a moment of quiet, drops them (builder/changer_tidy.c) */
    while (bed_events(&b) > 0)
        (void)usleep(20000);
    bed_close(&b);
}

/* Random text of as many bytes, which no page of the map can spare for long. */
static char *big_set(unsigned seed, size_t records)
{
    char *text = malloc(records * 300 + 1), *at = text;
    for (size_t i = 0; i < records; i++)
        at += sprintf(at, "big%u 300 TXT \"%0240zu\"\n", seed, (size_t)seed * 1000 + i);
    return text;
}

/* Edits until nothing fits any more; then smaller ones of every kind. Never a lie: what is told done is there, what is told
 * failed is not. */
static void trim_log(struct bed *b)
{
    struct log_txn *t;
    struct head h;
    bool more;
    bed_stall(b);                   /* the log is the writing thread's */
    assert_int_equal(store_head(b->store, &h, NULL), OK);
    assert_int_equal(log_begin(b->store, &t, NULL), OK);
    assert_int_equal(log_trim(t, h.seq, 100000, &more, NULL), OK);
    assert_int_equal(log_commit(t, NULL), OK);
    bed_go(b);
}

static void a_full_disk(void **state)
{
    static const struct { const char *why; uint64_t map, records; } rows[] = {
        { "the store is full", (uint64_t)2 << 20, (uint64_t)64 << 20 },
        { "the records are full", (uint64_t)64 << 20, (uint64_t)2 << 20 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bed b;
        unsigned failed = 0, done = 0;
        bed_open_sized(&b, rows[i].map, rows[i].records, NULL);
        bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
        for (unsigned k = 0; k < 400 && failed < 5; k++) {
            char *set = big_set(k, 60), name[40];
            struct edit *e[2] = { edit_new(ZONE, set, NULL), edit_new(ZONE, "small 300 A 192.0.2.1\n", NULL) };
            run_together(&b, e, 2);
            const struct change_result *r = &e[0]->c.result;
            if (r->end != CHANGE_DONE && (r->end != CHANGE_FAILED || r->err != ERR_FULL))
                fail_msg("%s: end %d, %s", rows[i].why, r->end, fault_text(&r->fault, r->err));
            failed += r->end == CHANGE_FAILED;
            done += r->end == CHANGE_DONE;
            snprintf(name, sizeof name, "big%u.example.com.", k);
            if (bed_holds(&b, ZONE, name) != (r->end == CHANGE_DONE))
                fail_msg("%s: what was told is not so", rows[i].why);
            bed_check(&b, ZONE);
            edit_free(e[0]);
            edit_free(e[1]);
            free(set);
        }
        if (failed == 0 || done == 0)
            fail_msg("%s: it never was, or always (%u done)", rows[i].why, done);
        struct changer_lag lag = changer_lag(b.changer);
        assert_int_equal(lag.events, 0);
        trim_log(&b);                                               /* azoth-core's upkeep does that */
        bed_edit(&b, ZONE, NULL, "big0.example.com. TXT");          /* room is made */
        bed_check(&b, ZONE);
        bed_close(&b);
    }
}

/* --- a source that fails ------------------------------------------------------------------------------------------------------------ */
/* The recordbook with another commit. One transaction writes at a time, so what it did is noted here. */
enum { ALL, ROWS_BACK, ZONES_BACK };        /* commits; back: what a failed flush takes back, rows or a zone without an event */
static struct {
    struct source_calls calls;
    const struct source_calls *true_calls;
    enum err err;               /* of the commits that fail */
    int which;
    int left;                   /* so many fail */
    bool rows, zones, events;
} faulty;

static enum err faulty_begin(struct source *s, enum source_mode mode, struct source_txn **out, struct fault *fault)
{
    enum err err = faulty.true_calls->begin(s, mode, out, fault);
    if (err == OK && mode != SOURCE_READ) {
        (*out)->calls = &faulty.calls;
        faulty.rows = faulty.zones = faulty.events = false;
    }
    return err;
}
/* It keeps nothing as bytes: records are committed before the log. */
static enum err faulty_kept(struct source_txn *t, struct bytes *out)
{
    (void)t, (void)out;
    return ERR_LIMIT;
}
static enum err faulty_row_put(struct source_txn *t, uint64_t zone, const struct row *row, struct fault *fault)
{
    faulty.rows = true;
    return faulty.true_calls->row_put(t, zone, row, fault);
}
static enum err faulty_zone_put(struct source_txn *t, const struct zone_row *z, struct fault *fault)
{
    faulty.zones = true;
    return faulty.true_calls->zone_put(t, z, fault);
}
static enum err faulty_event_add(struct source_txn *t, struct event *e, struct fault *fault)
{
    faulty.events = true;
    return faulty.true_calls->event_add(t, e, fault);
}
static enum err faulty_commit(struct source_txn *t, struct fault *fault)
{
    bool meant = faulty.which == ZONES_BACK ? faulty.zones && !faulty.events
               : faulty.rows && (faulty.which == ALL || !faulty.events);
    if (faulty.left == 0 || !meant)
        return faulty.true_calls->commit(t, fault);
    faulty.left--;
    faulty.true_calls->abort(t);
    return fault_set(fault, faulty.err, "as the test wants it");
}
static void fail_commits(struct bed *b, enum err err, int which, int n)
{
    bed_quiet(b);
    bed_stall(b);                           /* the writing thread looks there, too */
    if (b->source->calls != &faulty.calls) {
        faulty.true_calls = b->source->calls;
        faulty.calls = *faulty.true_calls;
        faulty.calls.begin = faulty_begin;
        faulty.calls.kept = faulty_kept;
        faulty.calls.commit = faulty_commit;
        faulty.calls.row_put = faulty_row_put;
        faulty.calls.zone_put = faulty_zone_put;
        faulty.calls.event_add = faulty_event_add;
        b->source->calls = &faulty.calls;
    }
    faulty.err = err;
    faulty.which = which;
    faulty.left = n;
    bed_go(b);
}

static void commits_of_the_source_that_fail(void **state)
{
    static const struct { const char *why; enum err err; int fail; unsigned done; } rows[] = {
        { "full once: the halves go in", ERR_FULL, 1, 4 },
        { "full again and again: those that fit", ERR_FULL, 3, 3 },         /* all, the first half, the first */
        { "full for all", ERR_FULL, 7, 0 },
        { "broken: nobody tries halves", ERR_STORE, 1, 0 },
    };
    struct bed b;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct edit *e[4];
        unsigned done = 0;
        for (size_t k = 0; k < 4; k++) {
            char set[64];
            snprintf(set, sizeof set, "f%zu-%zu 300 A 192.0.2.1\n", i, k);
            e[k] = edit_new(ZONE, set, NULL);
        }
        fail_commits(&b, rows[i].err, ALL, rows[i].fail);
        run_together(&b, e, 4);
        for (size_t k = 0; k < 4; k++) {
            char name[64];
            snprintf(name, sizeof name, "f%zu-%zu.example.com.", i, k);
            bool good = e[k]->c.result.end == CHANGE_DONE;
            if (!good && (e[k]->c.result.end != CHANGE_FAILED || e[k]->c.result.err != rows[i].err))
                fail_msg("%s: end %d", rows[i].why, e[k]->c.result.end);
            if (bed_holds(&b, ZONE, name) != good)
                fail_msg("%s: what was told is not so", rows[i].why);
            done += good;
            edit_free(e[k]);
        }
        if (done != rows[i].done || faulty.left != 0)
            fail_msg("%s: %u done, %d failures left", rows[i].why, done, faulty.left);
        bed_check(&b, ZONE);
    }
    bed_close(&b);
}

/* The log is full behind the source's commit, and then the rows cannot be put back. */
static void what_nobody_knows_comes_true(void **state)
{
    struct bed b;
    struct edit *e = NULL;
    char name[40] = "";
    (void)state;
    bed_open_sized(&b, (uint64_t)2 << 20, (uint64_t)64 << 20, NULL);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    fail_commits(&b, ERR_STORE, ROWS_BACK, 1);
    for (unsigned k = 0; k < 400 && (e == NULL || e->c.result.end == CHANGE_DONE); k++) {
        char *set = big_set(k, 60);
        if (e != NULL)
            edit_free(e);
        e = edit_new(ZONE, set, NULL);
        edit_run(&b, e);
        snprintf(name, sizeof name, "big%u.example.com.", k);
        free(set);
    }
    assert_int_equal(e->c.result.end, CHANGE_UNKNOWN);
    assert_int_equal(faulty.left, 0);
    assert_true(changer_lag(b.changer).events > 0);
    assert_false(bed_holds(&b, ZONE, name));
    edit_free(e);
    e = edit_new(ZONE, "later 300 A 192.0.2.1\n", NULL);           /* not before the outbox is built, and that is full still */
    edit_run(&b, e);
    assert_int_equal(e->c.result.end, CHANGE_FAILED);
    assert_int_equal(e->c.result.err, ERR_FULL);
    edit_free(e);
    trim_log(&b);
    bed_edit(&b, ZONE, "later 300 A 192.0.2.1\n", NULL);
    assert_true(bed_holds(&b, ZONE, name) && bed_has(&b, ZONE, "later"));
    bed_check(&b, ZONE);
    assert_int_equal(changer_lag(b.changer).events, 0);
    bed_close(&b);
}

/* The same for a whole zone: the next change builds it from the outbox. */
static void a_whole_zone_of_which_nobody_knows(void **state)
{
    struct bed b;
    struct name apex = name_of(ZONE);
    struct complaints c = { 0 };
    struct fault fault = { "" };
    struct change whole = { .kind = CHANGE_EDIT };
    (void)state;
    bed_open_sized(&b, (uint64_t)2 << 20, (uint64_t)64 << 20, NULL);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    fail_commits(&b, ERR_STORE, ZONES_BACK, 1);
    change_init(&whole, CHANGE_WHOLE, name_bytes(&apex));
    for (unsigned k = 0; k < 400 && whole.result.end == CHANGE_DONE; k++) {
        char *set = big_set(k, 60), *text = malloc(strlen(set) + sizeof BASE);
        struct zone z;
        zone_init(&z, name_bytes(&apex), "test");
        (void)sprintf(text, "%s%s", BASE, set);
        assert_int_equal(zonefile_read_text(bytes_of_text(text), "test", &z, &c, &fault), OK);
        change_release(&whole);
        change_init(&whole, CHANGE_WHOLE, name_bytes(&apex));
        whole.whole = &z;
        bed_put(&b, &whole);
        bed_wait(&b);
        zone_release(&z);
        free(text);
        free(set);
    }
    assert_int_equal(whole.result.end, CHANGE_UNKNOWN);
    change_release(&whole);
    trim_log(&b);
    bed_edit(&b, ZONE, "later 300 A 192.0.2.1\n", NULL);
    assert_true(bed_holds(&b, ZONE, "later.example.com."));
    bed_check(&b, ZONE);
    bed_close(&b);
}

static void who_waits_at_the_end_is_told(void **state)
{
    struct bed b;
    struct edit *e[2];
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    e[0] = edit_new(ZONE, "one 300 A 192.0.2.1\n", NULL);
    e[1] = edit_new(ZONE, "two 300 A 192.0.2.1\n", NULL);
    bed_stall(&b);
    bed_put(&b, &e[0]->c);
    queue_stop(b.queue);
    bed_go(&b);
    queue_close(b.queue);
    changer_stop(b.changer);
    bed_put(&b, &e[1]->c);
    bed_wait(&b);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(e[i]->c.result.end, CHANGE_FAILED);
        assert_int_equal(e[i]->c.result.err, ERR_NOTNOW);
        edit_free(e[i]);
    }
    b.queue = NULL;
    bed_close(&b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(edit_rows), cmocka_unit_test(what_is_not_published_moves_nothing), cmocka_unit_test(serial_rows),
        cmocka_unit_test(a_group_is_one_transaction), cmocka_unit_test(what_only_the_build_refuses_is_found_by_halves),
        cmocka_unit_test(who_did_it_is_told_apart), cmocka_unit_test(two_clients_race), cmocka_unit_test(zones_above_and_below_each_other),
        cmocka_unit_test(a_dry_run_changes_nothing), cmocka_unit_test(kinds_of_zones), cmocka_unit_test(secondaries_expire), cmocka_unit_test(an_expired_zone_is_not_edited), cmocka_unit_test(a_transfer_edits_the_store), cmocka_unit_test(a_zone_without_data_gets_some),
        cmocka_unit_test(edits_and_whole_zones_in_order), cmocka_unit_test(settings_move_alone),
        cmocka_unit_test(the_outbox_is_built_at_the_start), cmocka_unit_test(a_store_older_than_the_records_is_rebuilt), cmocka_unit_test(all_zones_are_rebuilt),
        cmocka_unit_test(an_idle_core_has_an_empty_outbox), cmocka_unit_test(a_full_disk), cmocka_unit_test(commits_of_the_source_that_fail), cmocka_unit_test(what_nobody_knows_comes_true),
        cmocka_unit_test(a_whole_zone_of_which_nobody_knows), cmocka_unit_test(who_waits_at_the_end_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
