/* A zone back to what it was, through the changer: what comes back, what stays, and when it is refused. */
#include "tests/unit/change_bed.h"

#include "builder/rollback.h"
#include "builder/serial.h"

#define ZONE "example.com."
#define BASE "@ 3600 SOA ns hostmaster 10 3600 600 86400 300\n@ 3600 NS ns\nns 300 A 192.0.2.1\nwww 300 A 192.0.2.2\n" \
             "sub 300 NS ns.sub\nns.sub 300 A 192.0.2.3\n"

static struct bed b;
static struct fault fault;

/* --- helpers -------------------------------------------------------------------------------------------------------- */
static enum err read_back(struct rollback *r, uint64_t to)
{
    struct name apex = name_of(ZONE);
    struct journal *j;
    assert_int_equal(journal_open(&j, b.store, &fault), OK);
    assert_int_equal(view_begin(b.view), OK);
    enum err err = rollback_read(r, j, b.view, name_bytes(&apex), to, &fault);
    view_end(b.view);
    journal_close(j);
    return err;
}

/* r as a change; its result stays in *c. */
static void run_back(struct rollback *r, struct change *c)
{
    struct name apex = name_of(ZONE);
    change_init(c, CHANGE_EDIT, name_bytes(&apex));
    c->author = (struct author){ .via = VIA_ROLLBACK, .name = "test" };
    c->plan = rollback_plan;
    c->arg = r;
    bed_put(&b, c);
    bed_wait(&b);
}

static uint64_t back_to(uint64_t to)
{
    struct rollback r;
    struct change c;
    if (read_back(&r, to) != OK)
        fail_msg("to %lu: %s", (unsigned long)to, fault.text);
    run_back(&r, &c);
    if (c.result.end != CHANGE_DONE)
        fail_msg("to %lu: %s", (unsigned long)to, fault_text(&c.result.fault, c.result.err));
    uint64_t seq = c.result.seq;
    change_release(&c);
    rollback_release(&r);
    return seq;
}

/* The zone's records in text, the SOA's serial apart. */
static char *zone_text(void)
{
    char *text = bed_text(&b, ZONE), *at = text != NULL ? strstr(text, " SOA ") : NULL;
    assert_non_null(at);
    for (int words = 0; words < 3; words++)
        at = strchr(at + 1, ' ');
    at++;
    size_t n = strspn(at, "0123456789");
    assert_true(n > 0);
    *at = '#';
    memmove(at + 1, at + n, strlen(at + n) + 1);
    return text;
}

static struct row row_of(const char *owner, uint16_t type, struct source_txn **t)
{
    struct name apex = name_of(ZONE), name = name_of(owner);
    struct zone_row zr;
    struct row row = { .n = 0 };
    assert_int_equal(source_begin(b.source, SOURCE_READ, t, NULL), OK);
    assert_int_equal(source_zone(*t, name_bytes(&apex), &zr), OK);
    enum err err = source_row(*t, zr.id, name_bytes(&name), type, 0, &row);
    assert_true(err == OK || err == ERR_NOTFOUND);
    return row;
}

/* --- tests ------------------------------------------------------------------------------------------------------------ */
/* Whatever was done: back at each of the states that it went through, one after the other. */
static void each_state(void **state)
{
    static const struct { const char *why, *set, *del; } steps[] = {
        { "a name comes",               "new 300 A 192.0.2.9\nnew 300 TXT \"x\"\n", NULL },
        { "another address",            "www 300 A 192.0.2.77\nwww 300 A 192.0.2.78\n", NULL },
        { "another TTL",                "www 60 A 192.0.2.77\nwww 60 A 192.0.2.78\n", NULL },
        { "an alias in its place",      "www 300 CNAME new\n", "www.example.com. A" },
        { "glue",                       "ns.sub 300 A 192.0.2.33\nns.sub 300 AAAA 2001:db8::1\n", NULL },
        { "the delegation goes",        NULL, "sub.example.com. NS" },
        { "a DNAME comes above names",  "sub 300 DNAME example.net.\n", "ns.sub.example.com. A;ns.sub.example.com. AAAA" },
        { "another contact",            "@ 3600 SOA ns other 10 3600 600 86400 60\n", NULL },
        { "a wildcard",                 "*.wild 300 TXT \"w\"\n", NULL },
    };
    char *text[ROWS(steps) + 1];
    uint64_t seq[ROWS(steps) + 1];
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    seq[0] = bed_edit(&b, ZONE, "first 300 TXT \"y\"\n", NULL);
    text[0] = zone_text();
    for (size_t i = 0; i < ROWS(steps); i++) {
        seq[i + 1] = bed_edit(&b, ZONE, steps[i].set, steps[i].del);
        text[i + 1] = zone_text();
    }
    for (size_t round = 0; round < 2; round++) {
        for (size_t k = 0; k <= ROWS(steps); k++) {
            size_t i = round == 0 ? ROWS(steps) - k : k * 7 % (ROWS(steps) + 1);
            uint32_t before = bed_check(&b, ZONE);
            uint64_t now = back_to(seq[i]);
            char *is = zone_text();
            if (strcmp(is, text[i]) != 0)
                fail_msg("back behind '%s': is\n%swas\n%s", i > 0 ? steps[i - 1].why : "the first", is, text[i]);
            uint32_t after = bed_check(&b, ZONE);
            assert_true(after == before || (serial_later(after, before) && now > seq[ROWS(steps)]));
            free(is);
        }
    }
    for (size_t i = 0; i <= ROWS(steps); i++)
        free(text[i]);
    bed_close(&b);
}

static void what_was_not_published_stays(void **state)
{
    struct source_txn *t;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    uint64_t then = bed_edit(&b, ZONE, "www 300 A 192.0.2.3\nwww 300 A 192.0.2.4\n", NULL);
    struct edit *e = edit_new(ZONE, "www 300 A 192.0.2.4\nwww 300 A 192.0.2.5\n", NULL);
    e->disabled = true;
    e->comment = "why";
    edit_run(&b, e);
    assert_int_equal(e->c.result.end, CHANGE_DONE);
    assert_true(e->c.result.changed);
    edit_free(e);
    assert_false(bed_has(&b, ZONE, "www"));
    (void)back_to(then);
    struct row row = row_of("www." ZONE, TYPE_A, &t);
    unsigned on = 0, off = 0;
    for (size_t i = 0; i < row.n; i++) {
        on += !row.rr[i].disabled;
        off += row.rr[i].disabled;
    }
    assert_true(on == 2 && off == 1 && row.comments_n == 1);        /* .3 and .4 are published again, .5 is still disabled */
    source_abort(t);
    bed_check(&b, ZONE);
    bed_close(&b);
}

static void nothing_to_do(void **state)
{
    struct rollback r;
    struct change c;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    uint64_t seq = bed_edit(&b, ZONE, "a 300 TXT \"x\"\n", NULL);
    uint32_t serial = bed_check(&b, ZONE);
    assert_int_equal(read_back(&r, seq), OK);
    run_back(&r, &c);
    assert_true(c.result.end == CHANGE_DONE && !c.result.changed && c.result.serial == serial);
    change_release(&c);
    rollback_release(&r);
    bed_close(&b);
}

/* Between reading and plan somebody else changes the zone. */
static void moved_meanwhile(void **state)
{
    struct rollback r;
    struct change c;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    uint64_t seq = bed_edit(&b, ZONE, "a 300 TXT \"x\"\n", NULL);
    bed_edit(&b, ZONE, "a 300 TXT \"y\"\n", NULL);
    assert_int_equal(read_back(&r, seq), OK);
    bed_edit(&b, ZONE, "other 300 TXT \"z\"\n", NULL);
    run_back(&r, &c);
    assert_true(c.result.end == CHANGE_REFUSED && c.result.err == ERR_STALE);
    assert_non_null(strstr(c.result.fault.text, "while the roll-back was being made"));
    change_release(&c);
    rollback_release(&r);
    bed_close(&b);

    bed_open(&b);                       /* where the serial says nothing, the RRset does */
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, "{\"serial_policy\":\"keep\"}");
    seq = bed_edit(&b, ZONE, "a 300 TXT \"x\"\n", NULL);
    bed_edit(&b, ZONE, "a 300 TXT \"y\"\n", NULL);
    assert_int_equal(read_back(&r, seq), OK);
    bed_edit(&b, ZONE, "a 300 TXT \"z\"\n", NULL);
    run_back(&r, &c);
    assert_true(c.result.end == CHANGE_REFUSED && c.result.err == ERR_STALE);
    assert_non_null(strstr(c.result.fault.text, "a.example.com."));
    change_release(&c);
    rollback_release(&r);
    bed_close(&b);
}

static void refused(void **state)
{
    static char many[1 << 20];
    struct rollback r;
    (void)state;
    bed_open(&b);
    assert_int_equal(read_back(&r, 0), ERR_NOTFOUND);
    rollback_release(&r);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    assert_int_equal(read_back(&r, 0), ERR_GAP);                    /* it was made since */
    rollback_release(&r);
    uint64_t seq = bed_edit(&b, ZONE, "a 300 TXT \"x\"\n", NULL);
    size_t at = (size_t)snprintf(many, sizeof many, "%s", BASE);
    for (unsigned i = 0; i <= ROLLBACK_MOST; i++)
        at += (size_t)snprintf(many + at, sizeof many - at, "h%u 300 TXT \"x\"\n", i);
    bed_whole(&b, CHANGE_WHOLE, ZONE, many, NULL);
    assert_int_equal(read_back(&r, seq), ERR_LIMIT);
    rollback_release(&r);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state), cmocka_unit_test(what_was_not_published_stays), cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(moved_meanwhile), cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
