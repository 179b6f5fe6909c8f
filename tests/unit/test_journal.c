/* The journal beside the committer: what is in the log is in it, what is taken back is not, and what differences, roll-back
 * and IXFR ask of it. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "builder/journal_parts.h"
#include "builder/load.h"
#include "builder/patch.h"
#include "builder/rollback.h"
#include "store/snapshot.h"
#include "tests/unit/builder_zone.h"

static struct place p;
static struct complaints complaints;
static const struct author by_key = { .via = VIA_API, .name = "ops", .address = "192.0.2.9" };

#define CHECK(call) check_at(call, &fault, __LINE__)
static struct fault fault;
static void check_at(enum err err, const struct fault *f, int line)
{
    if (err != OK)
        fail_msg("line %d: %s (%s)", line, fault_text(f, err), err_text(err));
}

/* --- zones ---------------------------------------------------------------------------------------------------------- */
#define EXAMPLE "example.com."
#define ZONE(serial, more) "@ 300 SOA ns h " serial " 3600 600 86400 300\n@ 300 NS ns\nns 300 A 192.0.2.1\n" more

/* Builds the zone, stages and notes it; gives its seq. */
static uint64_t stage_kind(const char *origin, const char *text, enum zone_kind kind)
{
    struct name apex = name_of(origin);
    struct op_list ops;
    struct zone z;
    uint64_t seq = 0;
    op_list_init(&ops);
    zone_init(&z, name_bytes(&apex), "test");
    CHECK(zonefile_read_text(bytes_of_text(text), "test", &z, &complaints, &fault));
    CHECK(view_begin(p.view));
    CHECK(zone_build(&z, p.view, &(struct zone_build_options){ .kind = kind, .force = true }, &complaints, &ops, &fault));
    CHECK(commit_stage(p.committer, ops.ops, ops.n, &seq, &fault));
    CHECK(journal_note(p.committer, p.view, name_bytes(&apex), ops.ops, ops.n, seq, &by_key, true, &fault));
    view_end(p.view);
    op_list_release(&ops);
    zone_release(&z);
    return seq;
}
static uint64_t stage(const char *origin, const char *text) { return stage_kind(origin, text, ZONE_FILE); }
static uint64_t load(const char *origin, const char *text)
{
    uint64_t seq = stage(origin, text);
    CHECK(commit_flush(p.committer, &fault));
    return seq;
}

/* --- what the journal has --------------------------------------------------------------------------------------------- */
struct said { char text[4096]; size_t len; };

static bool say(void *arg, const struct journal_entry *e)
{
    struct said *s = arg;
    s->len += (size_t)snprintf(s->text + s->len, sizeof s->text - s->len, "%s%d.%d %u>%u", s->len > 0 ? ", " : "", (int)e->epoch, (int)e->seq,
                               e->serial_before, e->serial_after);
    if (e->whole)
        s->len += (size_t)snprintf(s->text + s->len, sizeof s->text - s->len, " whole");
    return true;
}
static const char *history(const char *origin, bool back)
{
    static struct said s;
    struct name apex = name_of(origin);
    struct journal *j;
    s = (struct said){ .text = "" };
    CHECK(journal_open(&j, p.store, &fault));
    if (back)
        CHECK(journal_walk_back(j, name_bytes(&apex), 0, UINT64_MAX, say, &s, &fault));
    else
        CHECK(journal_walk(j, name_bytes(&apex), 0, UINT64_MAX, say, &s, &fault));
    journal_close(j);
    return s.text;
}
static enum err between(uint64_t from, uint64_t to, struct difference *d)
{
    struct name apex = name_of(EXAMPLE);
    struct journal *j;
    CHECK(journal_open(&j, p.store, &fault));
    difference_init(d);
    enum err err = journal_difference(j, name_bytes(&apex), from, to, 0, d, &fault);
    journal_close(j);
    return err;
}

/* --- tests ------------------------------------------------------------------------------------------------------------ */
static bool look(void *arg, const struct journal_entry *e)
{
    *(unsigned *)arg += 1;
    assert_true(e->forced && !e->whole);
    assert_int_equal(e->author.via, VIA_API);
    assert_string_equal(e->author.name, "ops");
    assert_string_equal(e->author.address, "192.0.2.9");
    assert_true(e->time_ms > 1600000000000 && e->time_ms <= clock_wall_ms());
    return true;
}

static void entries(void **state)
{
    struct name apex = name_of("EXAMPLE.com.");
    struct difference d;
    struct journal *j;
    unsigned n = 0;
    (void)state;
    place_open(&p);
    assert_string_equal(history(EXAMPLE, false), "");
    assert_int_equal(between(0, 0, &d), ERR_GAP);
    assert_int_equal(load(EXAMPLE, ZONE("1", "")), 1);
    for (int i = 0; i < 5000; i++) {    /* core time is some seconds ahead of the clock now, as behind a crash */
        struct signed_head head;
        CHECK(commit_heartbeat(p.committer, &head));
    }
    assert_int_equal(load("example.net.", ZONE("7", "")), 2);
    assert_int_equal(load(EXAMPLE, ZONE("2", "www 300 A 192.0.2.5\n")), 3);
    assert_int_equal(load(EXAMPLE, ZONE("2", "www 300 A 192.0.2.5\n")), 3);      /* nothing changes: nothing is noted */
    assert_int_equal(load(EXAMPLE, ZONE("3", "www 60 A 192.0.2.5\nmail 300 MX 1 www\n")), 4);
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.3 1>2, 1.4 2>3");
    assert_string_equal(history(EXAMPLE, true), "1.4 2>3, 1.3 1>2, 1.1 0>1 whole");
    assert_string_equal(history("example.net.", false), "1.2 0>7 whole");
    assert_string_equal(history("example.org.", true), "");
    CHECK(journal_open(&j, p.store, &fault));
    CHECK(journal_walk(j, name_bytes(&apex), 2, 4, look, &n, &fault));
    assert_int_equal(n, 2);
    CHECK(journal_walk_back(j, name_bytes(&apex), 2, 3, look, &n, &fault));
    assert_int_equal(n, 3);
    journal_close(j);

    CHECK(between(1, 0, &d));           /* SOA, www, mail */
    assert_int_equal(d.n, 3);
    assert_true(d.added == 3 && d.removed == 1);
    assert_true(d.v[0].type == TYPE_SOA && d.v[1].type == TYPE_MX && d.v[2].type == TYPE_A);
    assert_true(d.v[2].before.n == 0 && d.v[2].after.n == 1 && d.v[2].after.ttl == 60);
    difference_release(&d);
    CHECK(between(3, 4, &d));           /* another TTL is another RRset */
    assert_true(d.n == 3 && d.v[2].before.ttl == 300 && d.v[2].after.ttl == 60 && d.added == 3 && d.removed == 2);
    difference_release(&d);
    CHECK(between(4, 0, &d));
    assert_int_equal(d.n, 0);
    difference_release(&d);
    assert_int_equal(between(0, 0, &d), ERR_GAP);       /* it was made in between */
    assert_non_null(strstr(fault.text, "seq 1 "));
    place_close(&p);
}

/* What came back to what it was is no difference; what was told of several steps is one. */
static void net(void **state)
{
    struct difference d;
    (void)state;
    place_open(&p);
    load(EXAMPLE, ZONE("1", "www 300 A 192.0.2.5\n"));
    load(EXAMPLE, ZONE("2", "www 300 A 192.0.2.6\n"));
    load(EXAMPLE, ZONE("3", "www 300 A 192.0.2.7\nmore 300 TXT x\n"));
    load(EXAMPLE, ZONE("4", "www 300 A 192.0.2.5\nmore 300 TXT x\n"));
    CHECK(between(1, 0, &d));
    assert_true(d.n == 2 && d.v[0].type == TYPE_SOA && d.v[1].type == TYPE_TXT);
    difference_release(&d);
    load(EXAMPLE, ZONE("1", "www 300 A 192.0.2.5\n"));
    CHECK(between(1, 0, &d));
    assert_true(d.n == 0 && d.added == 0 && d.removed == 0);
    difference_release(&d);
    place_close(&p);
}

/* A zone that stands below comes between two changes: the record is kept under another key from then on. */
static void moved_keys(void **state)
{
    struct difference d;
    (void)state;
    place_open(&p);
    load(EXAMPLE, ZONE("1", "a.sub 300 TXT one\n"));
    load(EXAMPLE, ZONE("2", "a.sub 300 TXT two\n"));
    uint64_t child = load("sub.example.com.", ZONE("1", ""));
    load(EXAMPLE, ZONE("3", "a.sub 300 TXT three\n"));
    CHECK(between(1, 0, &d));
    assert_true(d.n == 2 && d.v[0].type == TYPE_SOA && d.v[1].type == TYPE_TXT && d.added == 2 && d.removed == 2);
    assert_memory_equal(d.v[1].before.rdata[0].ptr, "\003one", 4);
    assert_memory_equal(d.v[1].after.rdata[0].ptr, "\005three", 6);
    difference_release(&d);
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.2 1>2, 1.4 2>3");
    assert_int_equal(child, 3);
    place_close(&p);
}

static void entry_limits(void **state)
{
    struct key_change key = { bytes_of("k", 1), { 0 }, bytes_of("v", 1) };
    struct journal_entry e = { .seq = 1, .author = by_key, .keys = &key, .n = 1, .serial_before = 1, .serial_after = UINT32_MAX }, back;
    struct name apex = name_of(EXAMPLE);
    struct arena a;
    struct bytes of;
    uint8_t buf[1000];
    struct wr w = wr_over(buf, sizeof buf);
    (void)state;
    arena_init(&a);
    assert_true(entry_room(&e) <= sizeof buf);
    entry_write(&w, name_bytes(&apex), &e);
    for (size_t n = 0; n < w.len; n++) {            /* every proper front of it is short */
        uint8_t *exact = malloc(n > 0 ? n : 1);
        memcpy(exact, buf, n);
        back = (struct journal_entry){ .seq = 1 };
        assert_int_equal(entry_read(bytes_of(exact, n), &a, &of, &back), ERR_SHORT);
        free(exact);
    }
    back = (struct journal_entry){ .seq = 1 };
    assert_int_equal(entry_read(wr_done(&w), &a, &of, &back), OK);
    assert_true(bytes_equal(of, name_bytes(&apex)) && back.n == 1 && back.serial_after == UINT32_MAX && !back.whole);
    assert_true(bytes_equal(back.keys[0].key, key.key) && back.keys[0].before.len == 0 && bytes_equal(back.keys[0].after, key.after));
    wr_u8(&w, 0);
    assert_int_equal(entry_read(wr_done(&w), &a, &of, &back), ERR_BAD);
    arena_release(&a);
}

static void authors(void **state)
{
    static const struct { const char *why, *hex; enum err want; } rows[] = {
        { "an API key at an address",       "93 01 a3 6f7073 a9 3139322e302e322e39",    OK },
        { "nobody in particular",           "93 06 a0 a0",                              OK },
        { "with what a later version adds", "94 06 a0 a0 c0",                           OK },
        { "a way that is none",             "93 00 a0 a0",                              ERR_BAD },
        { "a way of a later version",       "93 0a a0 a0",                              ERR_BAD },
        { "too few members",                "92 01 a0",                                 ERR_BAD },
        { "a 0 in a name",                  "93 01 a1 00 a0",                           ERR_BAD },
        { "more behind it",                 "93 01 a0 a0 a0",                           ERR_BAD },
        { "cut off",                        "93 01 a3 6f",                              ERR_SHORT },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex);
        struct author a;
        enum err got = author_read(in, &a);
        if (got != rows[i].want)
            fail_msg("%s: %s", rows[i].why, err_text(got));
        bytes_free(in);
    }
    struct author longest = { .via = VIA_ROLLBACK }, back;
    uint8_t buf[AUTHOR_BYTES_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    memset(longest.name, 'n', sizeof longest.name - 1);
    memset(longest.address, 'a', sizeof longest.address - 1);
    author_write(&w, &longest);
    assert_false(w.full);
    assert_int_equal(author_read(wr_done(&w), &back), OK);
    assert_memory_equal(&back, &longest, sizeof back);
}

/* --- several in one flush, and those that are taken back -------------------------------------------------------------- */
static void groups(void **state)
{
    (void)state;
    place_open(&p);
    load(EXAMPLE, ZONE("1", ""));
    load("example.net.", ZONE("1", ""));
    stage(EXAMPLE, ZONE("2", "a 300 TXT x\n"));
    size_t alone = commit_staged_bytes(p.committer);
    stage("example.net.", ZONE("2", "a 300 TXT x\n"));
    assert_true(commit_staged_bytes(p.committer) > alone + 100);
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole");         /* nobody sees it yet */
    CHECK(commit_flush(p.committer, &fault));
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.3 1>2");
    assert_string_equal(history("example.net.", false), "1.2 0>1 whole, 1.4 1>2");
    stage(EXAMPLE, ZONE("3", "a 300 TXT y\n"));
    commit_drop(p.committer);
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.3 1>2");
    assert_int_equal(load(EXAMPLE, ZONE("4", "a 300 TXT z\n")), 5);
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.3 1>2, 1.5 2>4");
    place_close(&p);
}

/* A disk that takes the log's commit and not the data's: what is not told is taken back, with its note; what may come true
 * keeps it. */
static void full_between(void **state)
{
    struct rlimit before, tight;
    unsigned back = 0, kept = 0;
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    char *large = malloc(900000);
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    size_t at = (size_t)snprintf(large, 900000, "%s", ZONE("2", ""));
    for (unsigned i = 0; i < 6000; i++)
        at += (size_t)snprintf(large + at, 900000 - at, "h%u 300 TXT same-same-same-same-same-same-same-same-same-same-same-same\n", i);
    for (unsigned pages = 0; pages < 600; pages += 20) {
        struct stat st;
        char path[300];
        place_open(&p);
        load(EXAMPLE, ZONE("1", ""));
        uint64_t seq = stage(EXAMPLE, large);
        snprintf(path, sizeof path, "%s/log/data.mdb", p.dir);
        assert_int_equal(stat(path, &st), 0);
        tight = before;
        tight.rlim_cur = (rlim_t)st.st_size + 4096 * pages;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        enum err err = commit_flush(p.committer, &fault);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        uint64_t first, last;
        CHECK(log_range(p.store, &first, &last));
        bool noted = strcmp(history(EXAMPLE, false), "1.1 0>1 whole") != 0;
        if (noted != (last >= seq))
            fail_msg("%u pages: %s: the log ends at %u, the journal with '%s'", pages, err_text(err), (unsigned)last,
                     history(EXAMPLE, false));
        if (err == ERR_FULL && noted)
            fail_msg("%u pages: \"full\" promises that nothing changed", pages);
        back += err != OK && !noted;
        kept += err == OK;
        place_close(&p);
    }
    (void)signal(SIGXFSZ, old);
    free(large);
    print_message("taken back, or never there: %u times; committed: %u\n", back, kept);
    assert_true(back > 0);
}

/* --- a log that is lost, a state that is restored ----------------------------------------------------------------------- */
static void again(void)
{
    struct node_key key;
    struct store_options o = { .dir = p.dir, .mode = STORE_WRITE, .role = STORE_CORE, .map_size = (uint64_t)64 << 20, .volatile_data = true };
    CHECK(node_key_load(p.dir, &key, &fault));
    CHECK(store_open(&p.store, &o, &fault));
    CHECK(commit_open(&p.committer, p.store, &key, NULL, NULL, &fault));
    CHECK(view_open(p.store, &p.view, &fault));
}
static void down(void)
{
    view_close(p.view);
    commit_close(p.committer);
    store_close(p.store);
}

static void lost_log(void **state)
{
    struct log_txn *l;
    struct difference d;
    (void)state;
    place_open(&p);
    load(EXAMPLE, ZONE("1", ""));
    load(EXAMPLE, ZONE("2", "a 300 TXT x\n"));
    load(EXAMPLE, ZONE("3", "a 300 TXT y\n"));
    down();
    again();                            /* an ordinary start changes nothing */
    CHECK(between(1, 0, &d));
    difference_release(&d);
    CHECK(commit_raise_epoch(p.committer, 0, &(uint64_t){ 0 }, &fault));     /* nor does an epoch that was asked for */
    CHECK(between(1, 0, &d));
    difference_release(&d);
    CHECK(log_begin(p.store, &l, &fault));
    CHECK(log_clear(l, &fault));
    CHECK(log_commit(l, &fault));
    down();
    again();
    assert_int_equal(commit_epoch(p.committer), 3);
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.2 1>2, 1.3 2>3");
    assert_int_equal(between(1, 0, &d), ERR_GAP);           /* it reads well, but who knows whether it is all */
    CHECK(between(4, 0, &d));
    assert_int_equal(d.n, 0);
    difference_release(&d);
    load(EXAMPLE, ZONE("4", "a 300 TXT z\n"));
    CHECK(between(5, 0, &d));
    assert_int_equal(d.n, 2);
    difference_release(&d);
    place_close(&p);
}

static int backup(const char *name)
{
    struct snapshot_totals totals;
    char path[300];
    snprintf(path, sizeof path, "%s/%s", p.dir, name);
    FILE *f = fopen(path, "w+");
    assert_non_null(f);
    CHECK(view_begin(p.view));
    CHECK(snapshot_write(fileno(f), p.view, STORE_CORE, NULL, 0, NULL, NULL, &totals, &fault));
    view_end(p.view);
    int fd = dup(fileno(f));
    fclose(f);
    return fd;
}
static void restore(int fd)
{
    struct snapshot_reader *r;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    CHECK(snapshot_reader_open(&r, fd, &fault));
    CHECK(snapshot_load(p.store, r, NULL, NULL, NULL, &fault));
    snapshot_reader_close(r);
}

static void restored(void **state)
{
    struct difference d;
    (void)state;
    place_open(&p);
    load(EXAMPLE, ZONE("1", ""));
    load(EXAMPLE, ZONE("2", "a 300 TXT x\n"));
    int fd = backup("early");
    load(EXAMPLE, ZONE("3", "a 300 TXT y\n"));
    int late = backup("late");
    restore(fd);
    down();
    again();                            /* epoch 2 begins behind seq 2: what came later in epoch 1 never was */
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.2 1>2");
    assert_int_equal(between(1, 0, &d), ERR_GAP);
    assert_int_equal(load(EXAMPLE, ZONE("9", "a 300 TXT z\n")), 4);
    CHECK(between(3, 0, &d));
    assert_int_equal(d.n, 2);
    difference_release(&d);
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.2 1>2, 2.4 2>9");
    restore(late);                      /* back on the other branch: epoch 2 is no past of epoch 1's seq 3 */
    down();
    again();
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.2 1>2");
    assert_int_equal(between(2, 0, &d), ERR_GAP);
    close(fd);
    close(late);
    place_close(&p);
}

/* --- retention --------------------------------------------------------------------------------------------------------- */
static void trim_all(const struct journal_limits *l, uint64_t now_ms)
{
    enum err err;
    for (unsigned i = 0; (err = journal_trim(p.store, l, now_ms, &fault)) == OK; i++)
        assert_true(i < 1000);
    assert_int_equal(err, ERR_NOTNOW);
}

static void trimmed(void **state)
{
    static char text[200000];
    struct difference d;
    struct journal *j;
    uint64_t entries_n, bytes, reach;
    (void)state;
    place_open(&p);
    load(EXAMPLE, ZONE("1", ""));
    for (unsigned i = 2; i < 40; i++) {
        size_t at = (size_t)snprintf(text, sizeof text, "@ 300 SOA ns h %u 3600 600 86400 300\n@ 300 NS ns\nns 300 A 192.0.2.1\n", i);
        for (unsigned k = 0; k < 500; k++)
            at += (size_t)snprintf(text + at, sizeof text - at, "h%u 300 TXT v%u\n", k, i);
        load(EXAMPLE, text);
    }
    uint64_t now = commit_time_ms(p.committer);
    CHECK(journal_open(&j, p.store, &fault));
    CHECK(journal_figures(j, &entries_n, &bytes));
    assert_int_equal(entries_n, 39);
    trim_all(&(struct journal_limits){ 3600000, (uint64_t)1 << 30 }, now);
    CHECK(journal_figures(j, &entries_n, &bytes));
    assert_int_equal(entries_n, 39);
    uint64_t half = bytes / 2;
    trim_all(&(struct journal_limits){ 3600000, half }, now);
    CHECK(journal_figures(j, &entries_n, &bytes));
    assert_true(entries_n > 10 && entries_n < 25 && bytes <= half);
    CHECK(journal_reach(j, &reach, &fault));
    assert_int_equal(reach, 39 - entries_n + 1);
    assert_int_equal(between(reach - 2, 0, &d), ERR_GAP);
    CHECK(between(reach - 1, 0, &d));
    assert_int_equal(d.n, 501);
    difference_release(&d);
    trim_all(&(struct journal_limits){ 1000, (uint64_t)1 << 30 }, now + 2000);
    CHECK(journal_figures(j, &entries_n, &bytes));
    assert_int_equal(entries_n, 0);
    assert_int_equal(between(38, 0, &d), ERR_GAP);
    CHECK(between(39, 0, &d));
    difference_release(&d);
    journal_close(j);
    place_close(&p);
}

/* --- from serial to serial ---------------------------------------------------------------------------------------------- */
static void since(void **state)
{
    static const struct { const char *why; uint32_t serial; enum err want; const char *steps; } rows[] = {
        { "all steps that are known",                       3, OK,      "1.4 3>4, 1.5 4>7" },
        { "the last one",                                   4, OK,      "1.5 4>7" },
        { "where the zone stands",                          7, OK,      "" },
        { "it was never there",                             5, ERR_GAP, "" },
        { "a step from there did not move the serial",      2, ERR_GAP, "" },
        { "the zone was made from nothing",                 0, ERR_GAP, "" },
    };
    struct name apex = name_of(EXAMPLE);
    struct journal *j;
    (void)state;
    place_open(&p);
    load(EXAMPLE, ZONE("2", ""));
    load(EXAMPLE, ZONE("2", "a 300 TXT x\n"));
    load(EXAMPLE, ZONE("3", "a 300 TXT y\n"));
    load(EXAMPLE, ZONE("4", "a 300 TXT z\n"));
    load(EXAMPLE, ZONE("7", "a 300 TXT w\n"));
    assert_int_equal(stage_kind(EXAMPLE, ZONE("7", "a 300 TXT w\n"), ZONE_NATIVE), 6);       /* its header alone: no step */
    CHECK(commit_flush(p.committer, &fault));
    CHECK(journal_open(&j, p.store, &fault));
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct said s = { .text = "" };
        enum err err = journal_since(j, name_bytes(&apex), rows[i].serial, say, &s, &fault);
        if (err != rows[i].want || strcmp(s.text, rows[i].steps) != 0)
            fail_msg("%s: %s, '%s'", rows[i].why, err_text(err), s.text);
    }
    journal_close(j);
    place_close(&p);
}

/* --- what a load writes -------------------------------------------------------------------------------------------------- */
static void loaded_files(void **state)
{
    char file[300];
    struct load_zone zone = { EXAMPLE, file };
    struct load_options o = { .kind = ZONE_FILE, .via = VIA_OFFLINE };
    (void)state;
    place_open(&p);
    snprintf(file, sizeof file, "%s/zone", p.dir);
    for (unsigned i = 1; i <= 3; i++) {
        FILE *f = fopen(file, "w");
        assert_non_null(f);
        fprintf(f, "@ 300 SOA ns h %u 3600 600 86400 300\n@ 300 NS ns\nns 300 A 192.0.2.%u\n", i, i);
        fclose(f);
        CHECK(load_zones(p.committer, p.store, &zone, 1, &o, NULL, NULL, &fault));
    }
    assert_string_equal(history(EXAMPLE, false), "1.1 0>1 whole, 1.2 1>2, 1.3 2>3");
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries), cmocka_unit_test(net), cmocka_unit_test(moved_keys), cmocka_unit_test(entry_limits),
        cmocka_unit_test(authors), cmocka_unit_test(groups), cmocka_unit_test(full_between), cmocka_unit_test(lost_log),
        cmocka_unit_test(restored), cmocka_unit_test(trimmed), cmocka_unit_test(since), cmocka_unit_test(loaded_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
