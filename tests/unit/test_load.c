#include "builder/load.h"
#include "builder/near.h"
#include "tests/unit/builder_zone.h"

#define APEX "@ 60 SOA a b 1 2 3 4 30\n@ 60 NS ns\n"

struct run { struct place p; char text[20000]; size_t told; atomic_bool stop; size_t stop_after; };

static void told(void *arg, const struct load_report *r)
{
    struct run *run = arg;
    size_t at = strlen(run->text);
    snprintf(run->text + at, sizeof run->text - at, "%s %s%s%s\n", r->zone->origin,
             r->err == OK ? r->changed ? "changed" : "unchanged" : err_text(r->err), r->fault[0] != '\0' ? ": " : "", r->fault);
    if ((r->err == OK) != (r->fault[0] == '\0') || (r->changed && r->puts + r->deletes == 0) || (r->err == OK && r->seq == 0))
        fail_msg("%s: a report that contradicts itself", r->zone->origin);
    run->stop = ++run->told == run->stop_after;
}

static void write_zone(const struct run *run, const char *name, const char *text, char *path, size_t cap)
{
    snprintf(path, cap, "%s/%s", run->p.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static enum err load(struct run *run, const struct load_zone *zones, size_t n, bool strict)
{
    struct fault fault = { .text = "" };
    struct load_options o = { .strict = strict, .kind = ZONE_FILE, .stop = &run->stop };
    run->text[0] = '\0';
    run->told = 0;
    run->stop = false;
    enum err err = load_zones(run->p.committer, run->p.store, zones, n, &o, told, run, &fault);
    if ((err == OK) != (fault.text[0] == '\0'))
        fail_msg("outcome and fault do not fit: %s", fault.text);
    return err;
}

static void expect(const struct run *run, const char *want)
{
    if (strstr(run->text, want) == NULL)
        fail_msg("told:\n%swant:\n%s", run->text, want);
}

static struct run *run_open(void)
{
    struct run *run = calloc(1, sizeof *run);
    place_open(&run->p);
    return run;
}

static void run_close(struct run *run)
{
    place_close(&run->p);
    free(run);
}

static void bad_ones_do_not_hinder_good_ones(void **state)
{
    (void)state;
    struct run *run = run_open();
    char good[300], bad[300], guard[300], none[300];
    write_zone(run, "good", APEX "x A 192.0.2.1\n", good, sizeof good);
    write_zone(run, "bad", APEX "x A 192.0.2\n", bad, sizeof bad);
    write_zone(run, "guard", APEX "x CNAME y\nx CNAME z\n", guard, sizeof guard);
    snprintf(none, sizeof none, "%s/none", run->p.dir);
    const struct load_zone zones[] = { { "a.", good }, { "b.", bad }, { "c.", guard }, { "d.", none }, { "e..", good }, { "A", good }, { "f", good } };
    assert_int_equal(load(run, zones, 7, false), ERR_REFUSED);
    expect(run, "a. changed\nb. refused by a guard: 1 error, the first in line 3: not an IPv4 address\n"
                "c. refused by a guard: 1 error: more than one CNAME at x.c.\nd. no such key: cannot open ");
    expect(run, "/none: No such file or directory\ne.. refused by a guard: 'e..' is not a name\nA refused by a guard: the zone stands in the list twice\nf changed\n");
    assert_int_equal(run->told, 7);
    assert_int_equal(load(run, zones, 1, false), OK);
    assert_string_equal(run->text, "a. unchanged\n");
    run_close(run);
}

static void strict_is_all_or_none(void **state)
{
    (void)state;
    struct run *run = run_open();
    char good[300], bad[300];
    write_zone(run, "good", APEX, good, sizeof good);
    write_zone(run, "bad", APEX "x A 192.0.2\n", bad, sizeof bad);
    const struct load_zone zones[] = { { "a.", good }, { "x.a.", good }, { "b.", bad } };
    assert_int_equal(load(run, zones, 3, true), ERR_REFUSED);
    assert_string_equal(run->text, "a. refused by a guard: not loaded: another zone was refused\n"
                                   "x.a. refused by a guard: not loaded: another zone was refused\n"
                                   "b. refused by a guard: 1 error, the first in line 3: not an IPv4 address\n");
    struct dump d = place_dump(&run->p);
    assert_int_equal(d.n, 0);
    dump_release(&d);
    assert_int_equal(load(run, zones, 2, true), OK);
    assert_string_equal(run->text, "a. changed\nx.a. changed\n");
    run_close(run);
}

/* Parent and child in one list, in either order, with others staged in between: as if loaded one by one. */
static void nested_zones_in_one_list(void **state)
{
    (void)state;
    static const char *const orders[][4] = { { "a.", "b.a.", "c.", "c.b.a." }, { "c.b.a.", "c.", "b.a.", "a." }, { "b.a.", "c.b.a.", "a.", "c." } };
    struct dump first = { 0 };
    for (size_t i = 0; i < ROWS(orders); i++) {
        struct run *run = run_open();
        struct load_zone zones[4];
        char file[300];
        write_zone(run, "zone", APEX "b NS ns.b\nns.b A 192.0.2.1\nc.b TXT x\n*.c.b TXT y\n", file, sizeof file);
        for (size_t k = 0; k < 4; k++)
            zones[k] = (struct load_zone){ orders[i][k], file };
        assert_int_equal(load(run, zones, 4, false), OK);
        struct dump d = place_dump(&run->p);
        if (i == 0) {
            first = d;
        } else {
            assert_int_equal(d.n, first.n);
            for (size_t k = 0; k < d.n; k++)
                assert_true(bytes_equal(d.v[k].key, first.v[k].key) && bytes_equal(d.v[k].value, first.v[k].value));
            dump_release(&d);
        }
        assert_int_equal(load(run, zones, 4, false), OK);
        assert_null(strstr(run->text, " changed"));
        run_close(run);
    }
    dump_release(&first);
}

#define ZONES 1500
static void many_small_zones(void **state)
{
    (void)state;
    struct run *run = run_open();
    struct load_zone *zones = calloc(ZONES, sizeof *zones);
    char file[300];
    uint64_t before, after;
    struct head head;
    write_zone(run, "zone", APEX "www A 192.0.2.1\n", file, sizeof file);
    for (size_t i = 0; i < ZONES; i++) {
        char *origin = malloc(20);
        snprintf(origin, 20, "z%zu.%s", i, i % 2 == 0 ? "a." : "b.");
        zones[i] = (struct load_zone){ origin, file };
    }
    before = 0;
    assert_int_equal(load(run, zones, ZONES, false), OK);
    assert_int_equal(run->told, ZONES);
    assert_int_equal(store_head(run->p.store, &head, NULL), OK);
    after = head.seq;
    assert_int_equal(after - before, ZONES);    /* one transaction each */
    assert_int_equal(head.keys, ZONES * 4);
    assert_int_equal(load(run, zones, ZONES, false), OK);
    assert_int_equal(store_head(run->p.store, &head, NULL), OK);
    assert_int_equal(head.seq, after);
    run->stop_after = 7;
    assert_int_equal(load(run, zones, ZONES, false), ERR_NOTNOW);
    assert_int_equal(run->told, 7);
    for (size_t i = 0; i < ZONES; i++)
        free((char *)(uintptr_t)zones[i].origin);
    free(zones);
    run_close(run);
}

static void nearness(void **state)
{
    (void)state;
    static const struct { const char *name; bool near; } rows[] = {
        { "b.a.", true }, { "B.A.", true }, { "a.", true }, { ".", true }, { "c.b.a.", true }, { "d.c.b.a.", true },
        { "c.a.", false }, { "xb.a.", false }, { "b.", false }, { "b.a.x.", false },
    };
    struct near *s = calloc(1, sizeof *s);
    struct name added = name_of("b.a.");
    for (int round = 0; round < 3; round++) {
        struct name any = name_of("b.a.");
        assert_false(near_has(s, name_bytes(&any)));
        near_add(s, name_bytes(&added));
        for (size_t i = 0; i < ROWS(rows); i++) {
            struct name name = name_of(rows[i].name);
            if (near_has(s, name_bytes(&name)) != rows[i].near)
                fail_msg("%s", rows[i].name);
        }
        near_clear(s);
    }
    for (unsigned i = 0; i < NEAR_SLOTS; i++) {         /* overfull: says yes to everything rather than forget one */
        char text[20];
        snprintf(text, sizeof text, "n%u.", i);
        struct name name = name_of(text);
        near_add(s, name_bytes(&name));
        assert_true(near_has(s, name_bytes(&name)));
    }
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_ones_do_not_hinder_good_ones), cmocka_unit_test(strict_is_all_or_none),
        cmocka_unit_test(nested_zones_in_one_list), cmocka_unit_test(many_small_zones), cmocka_unit_test(nearness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
