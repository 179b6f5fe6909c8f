/* The embedded source: what is committed is there in order, what is aborted never was; ids, sweeping, outbox, limits. */
#include "tests/unit/source_bed.h"

#include "base/text.h"
#include "builder/rows.h"

#include <sys/stat.h>

static struct source_bed bed;

static int setup(void **state)
{
    (void)state;
    bed = (struct source_bed){ .dir = "" };
    source_bed_open(&bed);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    source_bed_close(&bed);
    return 0;
}

static void put(struct source_txn *t, uint64_t zone, const char *owner, uint16_t type, const char *rdata)
{
    struct fault fault = { "" };
    assert_ok(row_make(t, zone, owner, type, rdata, &fault), &fault);
}

static enum err get(struct source_txn *t, uint64_t zone, const char *owner, uint16_t type, struct row *out)
{
    struct name n = name_of_text(owner);
    return source_row(t, zone, name_bytes(&n), type, 0, out);
}

/* --- zones ---------------------------------------------------------------------------------------------------------- */
static void zones_in_canonical_order(void **state)
{
    static const char *const made[] = { "example.com.", "org.", "b.example.com.", "A.Example.com.", ".", "z.com.", "example.a." };
    static const char *const order[] = { ".", "example.a.", "example.com.", "a.example.com.", "b.example.com.", "z.com.", "org." };
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    struct zone_row z = { .id = 0 };
    struct bytes after = { NULL, 0 };
    struct name last;
    char text[NAME_TEXT_MAX];
    uint64_t n;
    (void)state;
    for (size_t i = 0; i < ROWS(made); i++)
        (void)zone_make(t, made[i], "{}");
    txn_commit(t);
    t = txn_begin(bed.s, SOURCE_READ);
    for (size_t i = 0; i < ROWS(order); i++) {
        assert_int_equal(source_zone_next(t, after, &z), OK);
        assert_string_equal(name_text(text, sizeof text, name_bytes(&z.apex)), order[i]);
        last = z.apex;
        after = name_bytes(&last);
    }
    assert_int_equal(source_zone_next(t, after, &z), ERR_NOTFOUND);
    assert_int_equal(source_zone_count(t, &n), OK);
    assert_int_equal(n, ROWS(order));
    last = name_of_text("aa.example.com.");          /* not a zone: the next one is behind it */
    assert_int_equal(source_zone_next(t, name_bytes(&last), &z), OK);
    assert_string_equal(name_text(text, sizeof text, name_bytes(&z.apex)), "b.example.com.");
    source_abort(t);
}

static void a_zone_points_to_its_id(void **state)
{
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    struct fault fault = { "" };
    struct zone_row z, got;
    uint64_t first = zone_make(t, "example.com.", "{\"a\":1}"), second;
    (void)state;
    txn_commit(t);
    t = txn_begin(bed.s, SOURCE_WRITE);
    z = (struct zone_row){ .apex = name_of_text("EXAMPLE.com."), .id = first, .settings = bytes_of_text("{}") };
    assert_ok(source_zone_put(t, &z, &fault), &fault);          /* the id it has */
    z.id = first + 5;
    assert_int_equal(source_zone_put(t, &z, &fault), ERR_NOTNOW);
    assert_ok(source_fresh_id(t, &second, &fault), &fault);
    assert_true(second > first);
    z.id = second;
    assert_ok(source_zone_put(t, &z, &fault), &fault);
    assert_int_equal(source_zone(t, name_bytes(&z.apex), &got), OK);
    assert_int_equal(got.id, second);
    assert_true(bytes_equal(got.settings, bytes_of_text("{}")));
    z.id = first;                                               /* never twice */
    assert_ok(source_zone_del(t, name_bytes(&z.apex), &fault), &fault);
    assert_int_equal(source_zone_del(t, name_bytes(&z.apex), &fault), ERR_NOTFOUND);
    assert_int_equal(source_zone(t, name_bytes(&z.apex), &got), ERR_NOTFOUND);
    txn_commit(t);
}

static void version_moves_with_zones_and_keys(void **state)
{
    uint64_t v = source_version(bed.s), id;
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    struct tsig_key_row k = { .name = name_of_text("key.example."), .algorithm = bytes_of_text("hmac-sha256"),
                              .secret = bytes_of_text("secret"), .rights = bytes_of_text("{}") };
    (void)state;
    id = zone_make(t, "example.com.", "{}");
    assert_int_equal(source_version(bed.s), v);
    txn_commit(t);
    assert_true(source_version(bed.s) > v);
    v = source_version(bed.s);
    t = txn_begin(bed.s, SOURCE_WRITE);
    put(t, id, "www.example.com.", TYPE_A, "\1\2\3\4");
    txn_commit(t);
    assert_int_equal(source_version(bed.s), v);                 /* rows are no zone */
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_int_equal(source_tsig_put(t, &k, NULL), OK);
    source_abort(t);
    assert_int_equal(source_version(bed.s), v);
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_int_equal(source_tsig_put(t, &k, NULL), OK);
    txn_commit(t);
    assert_true(source_version(bed.s) > v);
}

/* --- rows ----------------------------------------------------------------------------------------------------------- */
static void a_row_comes_back_whole(void **state)
{
    struct row_rr rr[] = { { bytes_of_text("\1\2\3\4"), false }, { bytes_of_text("\5\6\7\10"), true } };
    struct comment c[] = { { bytes_of_text("why it is so"), bytes_of_text("ops"), 1700000001 }, { { NULL, 0 }, { NULL, 0 }, 0 } };
    struct name owner = name_of_text("WWW.Example.com.");
    struct row in = { .owner = name_bytes(&owner), .type = TYPE_A, .ttl = 86400, .modified_s = 1800000000, .rr = rr, .n = 2,
                      .comments = c, .comments_n = 2 }, out;
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    uint64_t id = zone_make(t, "example.com.", "{}");
    struct fault fault = { "" };
    (void)state;
    assert_ok(source_row_put(t, id, &in, &fault), &fault);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(get(t, id, "www.example.com.", TYPE_A, &out), OK);
        assert_true(name_is_lower(out.owner) && name_equal(out.owner, in.owner));
        assert_int_equal(out.ttl, 86400);
        assert_int_equal(out.modified_s, 1800000000);
        assert_int_equal(out.n, 2);
        assert_true(bytes_equal(out.rr[1].rdata, rr[1].rdata) && out.rr[1].disabled && !out.rr[0].disabled);
        assert_int_equal(out.comments_n, 2);
        assert_true(bytes_equal(out.comments[0].text, c[0].text) && bytes_equal(out.comments[0].account, c[0].account));
        assert_int_equal(out.comments[0].modified_s, 1700000001);
        assert_int_equal(get(t, id, "www.example.com.", TYPE_AAAA, &out), ERR_NOTFOUND);
        assert_int_equal(get(t, id + 1, "www.example.com.", TYPE_A, &out), ERR_NOTFOUND);
        if (round == 0) {
            txn_commit(t);
            t = txn_begin(bed.s, SOURCE_READ);
        }
    }
    assert_int_equal(source_row_put(t, id, &in, &fault), ERR_NOTNOW);       /* it only reads */
    source_abort(t);
    t = txn_begin(bed.s, SOURCE_WRITE);
    in.n = 0;
    assert_ok(source_row_put(t, id, &in, &fault), &fault);      /* comments alone */
    assert_int_equal(get(t, id, "www.example.com.", TYPE_A, &out), OK);
    assert_int_equal(out.n, 0);
    in.comments_n = 0;
    assert_ok(source_row_put(t, id, &in, &fault), &fault);
    assert_int_equal(get(t, id, "www.example.com.", TYPE_A, &out), ERR_NOTFOUND);
    assert_ok(source_row_put(t, id, &in, &fault), &fault);      /* it is gone already */
    txn_commit(t);
}

struct seen { char text[1024]; unsigned stop; };
static bool see(void *arg, const struct row *row)
{
    struct seen *s = arg;
    char owner[NAME_TEXT_MAX];
    size_t len = strlen(s->text);
    (void)snprintf(s->text + len, sizeof s->text - len, "%s%s/%u", len > 0 ? " " : "", name_text(owner, sizeof owner, row->owner),
                   row->type == TYPE_RRSIG ? 46000 + row->covers : row->type);
    return s->stop == 0 || --s->stop > 0;
}

static void rows_in_canonical_order(void **state)
{
    static const struct { const char *owner; uint16_t type; } rows[] = {
        { "b.x.", 1 }, { "x.", 6 }, { "x.", 2 }, { "a.b.x.", 1 }, { "B.x.", 65535 }, { "\\001.x.", 1 }, { "\\000.x.", 1 },
        { "*.x.", 16 }, { "b.x.", 0x7f00 }, { "b.x.", 0x7eff }, { "b.x.", 47 }, { "\\255.x.", 1 }, { "ab.x.", 1 },
    };
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    uint64_t before = zone_make(t, "before.", "{}"), id = zone_make(t, "x.", "{}"), behind = zone_make(t, "behind.", "{}");
    struct name owner = name_of_text("b.x."), from = name_of_text("aa.x.");
    struct row_rr rr = { .rdata = bytes_of_text("sig") };
    struct row sig = { .owner = name_bytes(&owner), .type = TYPE_RRSIG, .covers = 1, .ttl = 1, .rr = &rr, .n = 1 };
    const struct row *all;
    struct seen s = { "", 0 }, some = { "", 2 }, later = { "", 0 };
    size_t n;
    (void)state;
    put(t, before, "before.", 6, "a");
    put(t, behind, "behind.", 6, "a");
    for (size_t i = 0; i < ROWS(rows); i++)
        put(t, id, rows[i].owner, rows[i].type, "x");
    assert_int_equal(source_row_put(t, id, &sig, NULL), OK);
    sig.covers = 0xff00;
    assert_int_equal(source_row_put(t, id, &sig, NULL), OK);
    txn_commit(t);
    t = txn_begin(bed.s, SOURCE_READ);
    assert_int_equal(source_rows(t, id, bytes_of(NULL, 0), see, &s), OK);
    assert_string_equal(s.text, "x./2 x./6 \\000.x./1 \\001.x./1 *.x./16 ab.x./1 b.x./1 b.x./47 b.x./32511 b.x./46001 b.x./32512 "
                                "b.x./65535 b.x./111280 a.b.x./1 \\255.x./1");
    assert_int_equal(source_rows(t, id, bytes_of(NULL, 0), see, &some), OK);
    assert_string_equal(some.text, "x./2 x./6");
    assert_int_equal(source_rows(t, id, name_bytes(&from), see, &later), OK);
    assert_ptr_equal(strstr(later.text, "ab.x./1 b.x./1"), later.text);
    assert_int_equal(source_owner(t, id, name_bytes(&owner), &all, &n), OK);
    assert_int_equal(n, 7);
    for (size_t i = 1; i < n; i++)
        assert_true(all[i - 1].type < all[i].type || (all[i - 1].type == TYPE_RRSIG && all[i - 1].covers < all[i].covers));
    owner = name_of_text("nothing.x.");
    assert_int_equal(source_owner(t, id, name_bytes(&owner), &all, &n), OK);
    assert_int_equal(n, 0);
    source_abort(t);
}

/* Names of 255 bytes, plain and with every byte escaped, under small and large zone ids. */
static void the_longest_names_fit(void **state)
{
    static const uint8_t fill[] = { 'a', 0, 1 };
    static const uint64_t ids[] = { 1, 31, 32, 8191, 8192, ((uint64_t)1 << 29) - 1 };
    (void)state;
    for (size_t f = 0; f < ROWS(fill); f++) {
        for (size_t i = 0; i < ROWS(ids); i++) {
            uint8_t wire[NAME_MAX_LEN], key[ROW_KEY_MAX];
            size_t at = 0;
            for (size_t left = NAME_MAX_LEN - 1; left > 0;) {
                size_t n = left > LABEL_MAX_LEN + 1 ? LABEL_MAX_LEN : left - 1;
                wire[at] = (uint8_t)n;
                memset(wire + at + 1, fill[f], n);
                at += n + 1;
                left -= n + 1;
            }
            wire[at++] = 0;
            struct wr w = wr_over(key, sizeof key), far = wr_over(key, sizeof key);
            struct row_key_parts p;
            assert_int_equal(row_key(&w, ids[i], bytes_of(wire, at), TYPE_RRSIG, 0x7eff), OK);
            assert_int_equal(row_key_read(wr_done(&w), &p), OK);
            assert_int_equal(p.zone, ids[i]);
            assert_true(name_equal(name_bytes(&p.owner), bytes_of(wire, at)));
            assert_true(p.type == TYPE_RRSIG && p.covers == 0x7eff);
            bool fits = fill[f] == 'a' || ids[i] < (1 << 21);
            assert_int_equal(row_key(&far, ids[i], bytes_of(wire, at), 65280, 0), fits ? OK : ERR_NOSPACE);
        }
    }
}

static void too_large_is_told(void **state)
{
    static uint8_t large[60000];
    static struct row_rr rr[150];
    struct name owner = name_of_text("x.");
    struct row row = { .owner = name_bytes(&owner), .type = TYPE_TXT, .rr = rr, .n = ROWS(rr) };
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    uint64_t id = zone_make(t, "x.", "{}");
    struct fault fault = { "" };
    (void)state;
    for (size_t i = 0; i < ROWS(rr); i++)
        rr[i].rdata = bytes_of(large, sizeof large);
    assert_int_equal(source_row_put(t, id, &row, &fault), ERR_LIMIT);
    row.n = 100;
    assert_ok(source_row_put(t, id, &row, &fault), &fault);
    txn_commit(t);
    t = txn_begin(bed.s, SOURCE_READ);
    assert_int_equal(get(t, id, "x.", TYPE_TXT, &row), OK);
    assert_int_equal(row.n, 100);
    assert_int_equal(row.rr[99].rdata.len, sizeof large);
    source_abort(t);
    struct zone_row z = { .apex = owner, .id = id, .settings = bytes_of(large, SETTINGS_ROW_MAX + 1) };
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_int_equal(source_zone_put(t, &z, &fault), ERR_LIMIT);
    source_abort(t);
}

/* --- whole zones under a fresh id -------------------------------------------------------------------------------------- */
static uint64_t rows_n(void)
{
    struct source_figures f;
    assert_int_equal(source_figures(bed.s, &f), OK);
    return f.rows;
}

static void sweep_all(unsigned most, unsigned rounds)
{
    for (bool left = true; left; rounds--) {
        struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
        assert_true(rounds > 0);
        assert_int_equal(source_sweep(t, most, &left, NULL), OK);
        txn_commit(t);
    }
    assert_int_equal(rounds, 0);
}

static void rows_without_a_zone_go(void **state)
{
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    struct zone_row z = { .apex = name_of_text("x."), .settings = bytes_of_text("{}") };
    uint64_t old = zone_make(t, "x.", "{}"), cut_off, given_up;
    struct row row;
    (void)state;
    put(t, old, "x.", 6, "old");
    put(t, old, "a.x.", 1, "old");
    txn_commit(t);
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_int_equal(source_fresh_id(t, &z.id, NULL), OK);
    put(t, z.id, "x.", 6, "new");
    assert_int_equal(source_fresh_id(t, &cut_off, NULL), OK);
    put(t, cut_off, "x.", 6, "cut");
    assert_int_equal(source_fresh_id(t, &given_up, NULL), OK);
    put(t, given_up, "x.", 6, "no");
    txn_commit(t);
    sweep_all(100, 1);
    assert_int_equal(rows_n(), 5);                              /* being filled: left alone */
    t = txn_begin(bed.s, SOURCE_WRITE);
    put(t, z.id, "b.x.", 1, "new");
    assert_int_equal(source_zone_put(t, &z, NULL), OK);
    assert_int_equal(source_drop_id(t, given_up, NULL), OK);
    assert_int_equal(source_drop_id(t, z.id, NULL), ERR_NOTFOUND);
    txn_commit(t);
    sweep_all(1, 3);            /* three rows, one at a time */
    assert_int_equal(rows_n(), 3);
    source_bed_again(&bed);
    sweep_all(100, 1);
    assert_int_equal(rows_n(), 2);                              /* what was cut off by the end of the run */
    t = txn_begin(bed.s, SOURCE_READ);
    assert_int_equal(get(t, z.id, "b.x.", 1, &row), OK);
    assert_true(bytes_equal(row.rr[0].rdata, bytes_of_text("new")));
    source_abort(t);
}

/* --- outbox --------------------------------------------------------------------------------------------------------- */
struct events { struct event e[8]; char text[8][256]; unsigned n, stop; };
static bool note_event(void *arg, const struct event *e)
{
    struct events *all = arg;
    char apex[NAME_TEXT_MAX], owner[NAME_TEXT_MAX] = "-";
    if (e->owner.len > 0)
        (void)name_text(owner, sizeof owner, e->owner);
    (void)snprintf(all->text[all->n], sizeof all->text[0], "%d %s %s %u/%u %d [%.*s] [%.*s] [%.*s]", (int)e->kind,
                   name_text(apex, sizeof apex, name_bytes(&e->apex)), owner, e->type, e->covers, e->force, (int)e->author.len,
                   (const char *)e->author.ptr, (int)e->before.len, (const char *)e->before.ptr, (int)e->after.len,
                   (const char *)e->after.ptr);
    all->e[all->n++] = *e;
    return all->stop == 0 || all->n < all->stop;
}

static void events_stay_until_done(void **state)
{
    struct name owner = name_of_text("www.x.");
    struct event row = { .kind = EVENT_ROW, .apex = name_of_text("x."), .author = bytes_of_text("me"), .owner = name_bytes(&owner),
                         .type = 46, .covers = 1, .before = bytes_of_text("old"), .after = bytes_of_text("new") };
    struct event whole = { .kind = EVENT_WHOLE, .apex = name_of_text("x."), .force = true, .author = bytes_of_text("it") };
    struct event gone = { .kind = EVENT_GONE, .apex = name_of_text("y.") };
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    struct events all = { .n = 0 }, one = { .stop = 1 };
    (void)state;
    assert_int_equal(source_event_add(t, &row, NULL), OK);
    assert_int_equal(source_event_add(t, &whole, NULL), OK);
    assert_int_equal(source_event_add(t, &gone, NULL), OK);
    assert_true(row.number < whole.number && whole.number < gone.number);
    txn_commit(t);
    source_bed_again(&bed);
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_int_equal(source_events(t, 0, note_event, &all), OK);
    assert_int_equal(all.n, 3);
    assert_string_equal(all.text[0], "1 x. www.x. 46/1 0 [me] [old] [new]");
    assert_string_equal(all.text[1], "2 x. - 0/0 1 [it] [] []");
    assert_string_equal(all.text[2], "3 y. - 0/0 0 [] [] []");
    assert_int_equal(all.e[1].number, whole.number);
    assert_int_equal(source_event_done(t, row.number, NULL), OK);
    assert_int_equal(source_event_done(t, row.number, NULL), ERR_NOTFOUND);
    assert_int_equal(source_events(t, 0, note_event, &one), OK);
    assert_int_equal(one.n, 1);
    assert_int_equal(one.e[0].number, whole.number);
    assert_int_equal(source_event_done(t, whole.number, NULL), OK);
    assert_int_equal(source_event_done(t, gone.number, NULL), OK);
    txn_commit(t);
    t = txn_begin(bed.s, SOURCE_WRITE);
    uint64_t before = gone.number;
    assert_int_equal(source_event_add(t, &gone, NULL), OK);
    assert_true(gone.number > before);                          /* a number is not used twice */
    source_abort(t);
}

static void the_mark_is_kept(void **state)
{
    struct source_mark m = { 3, 41 }, got;
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    (void)state;
    assert_int_equal(source_mark(t, &got), ERR_NOTFOUND);
    assert_int_equal(source_mark_put(t, &m, NULL), OK);
    txn_commit(t);
    source_bed_again(&bed);
    t = txn_begin(bed.s, SOURCE_READ);
    assert_int_equal(source_mark(t, &got), OK);
    assert_true(got.epoch == 3 && got.seq == 41);
    assert_int_equal(source_mark_put(t, &m, NULL), ERR_NOTNOW);
    source_abort(t);
}

/* --- keys ----------------------------------------------------------------------------------------------------------- */
static void keys_come_back(void **state)
{
    struct tsig_key_row k = { .name = name_of_text("Key.Example."), .algorithm = bytes_of_text("hmac-sha512"),
                              .secret = bytes_of_text("\1\2\3"), .rights = bytes_of_text("{\"update\":[]}") }, got;
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    struct name other = name_of_text("key2.example.");
    uint8_t long_secret[TSIG_SECRET_MAX + 1] = { 0 };
    (void)state;
    assert_int_equal(source_tsig_put(t, &k, NULL), OK);
    assert_int_equal(source_tsig(t, name_bytes(&k.name), &got), OK);
    assert_true(name_is_lower(name_bytes(&got.name)) && bytes_equal(got.secret, k.secret) && bytes_equal(got.rights, k.rights)
                && bytes_equal(got.algorithm, k.algorithm));
    assert_int_equal(source_tsig(t, name_bytes(&other), &got), ERR_NOTFOUND);
    assert_int_equal(source_tsig_next(t, bytes_of(NULL, 0), &got), OK);
    assert_int_equal(source_tsig_next(t, name_bytes(&got.name), &got), ERR_NOTFOUND);
    assert_int_equal(source_tsig_del(t, name_bytes(&k.name), NULL), OK);
    assert_int_equal(source_tsig_del(t, name_bytes(&k.name), NULL), ERR_NOTFOUND);
    k.secret = bytes_of(long_secret, sizeof long_secret);
    assert_int_equal(source_tsig_put(t, &k, NULL), ERR_LIMIT);
    source_abort(t);
}

/* --- the bytes: FORMAT.md section 10 has them as its example -------------------------------------------------------------- */
static const char *const format_lines[] = {
    "zones 7465737400610000 9201c4117b226b696e64223a226e6174697665227d",
    "rows 017465737400610077777700000001 94cd012cce6553f10092c404c000020192c404c0000202019193a3776879a36f7073ce6553f100",
    "rows 017465737400610077777700007f01 93cd012cce6553f10091c404c0000201",
    "loose 0000000000000002 00",
    "outbox 0000000000000001 9901c408016104746573740000c401c0c40c0377777701610474657374000100c400c401c0",
    "keys 6b0000 93ab686d61632d736861323536c4020102c4027b7d",
    "counters 6576656e74 0000000000000002",
    "counters 666f726d6174 0000000000000001",
    "counters 686973746f7279 0000000000000002",
    "counters 6d61726b 00000000000000010000000000000007",
    "counters 7a6f6e65 0000000000000003",
    "secondaries 7465737400610000 000000006553f100000000006553f000000000006553f48400000000656666000000000701",
    "history 0000000000000001 9801c40801610474657374000a0107c401c0c0c4027b7d",
    "history.of 44f6c930d71c68e66c01e55a60135a5dfffffffffffffffe 00",
};

static bool compare_line(void *arg, unsigned table, struct bytes key, struct bytes value)
{
    size_t *line = arg;
    char k[2 * ROW_KEY_MAX + 1], v[512], got[2048];
    assert_true(*line < ROWS(format_lines) && value.len < 200);
    (void)snprintf(got, sizeof got, "%s %s %s", recordbook_tables[table], text_hex(k, sizeof k, key), text_hex(v, sizeof v, value));
    assert_string_equal(got, format_lines[*line]);
    ++*line;
    return true;
}

static void secondaries_stay_with_their_zone(void **state)
{
    struct refresh_kept k = { 1, 2, 3, 4, 5, true }, got;
    struct name apex = name_of_text("s.test.");
    struct bytes a = name_bytes(&apex);
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    uint64_t version = source_version(bed.s);
    (void)state;
    assert_int_equal(source_secondary_put(t, a, &k, NULL), ERR_NOTFOUND);
    (void)zone_make(t, "s.test.", "{\"kind\":\"secondary\"}");
    assert_int_equal(source_secondary(t, a, &got), ERR_NOTFOUND);
    txn_commit(t);
    assert_true(source_version(bed.s) != version);
    version = source_version(bed.s);
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_int_equal(source_secondary_put(t, a, &k, NULL), OK);
    txn_commit(t);
    assert_true(source_version(bed.s) == version);              /* nobody need read zones and keys again */
    source_bed_again(&bed);
    t = txn_begin(bed.s, SOURCE_WRITE);
    (void)zone_make(t, "s.test.", "{\"kind\":\"secondary\"}");     /* all of it came anew, under another id */
    assert_int_equal(source_secondary(t, a, &got), OK);
    assert_true(got.checked_s == 1 && got.transferred_s == 2 && got.next_s == 3 && got.expires_s == 4 && got.serial == 5 && got.expired);
    assert_int_equal(source_zone_del(t, a, NULL), OK);
    (void)zone_make(t, "s.test.", "{\"kind\":\"secondary\"}");
    assert_int_equal(source_secondary(t, a, &got), ERR_NOTFOUND);
    assert_int_equal(source_secondary_del(t, a, NULL), ERR_NOTFOUND);
    assert_int_equal(source_secondary_put(t, a, &k, NULL), OK);
    assert_int_equal(source_secondary_del(t, a, NULL), OK);         /* it became native, the zone stays */
    assert_int_equal(source_secondary(t, a, &got), ERR_NOTFOUND);
    source_abort(t);
}

static void the_bytes_of_the_format(void **state)
{
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    struct name owner = name_of_text("www.a.test.");
    struct row_rr rr[] = { { bytes_of("\300\0\2\1", 4), false }, { bytes_of("\300\0\2\2", 4), true } };
    struct comment c = { bytes_of_text("why"), bytes_of_text("ops"), 1700000000 };
    struct row row = { .owner = name_bytes(&owner), .type = TYPE_A, .ttl = 300, .modified_s = 1700000000, .rr = rr, .n = 2,
                       .comments = &c, .comments_n = 1 };
    struct row sig = { .owner = row.owner, .type = TYPE_RRSIG, .covers = TYPE_A, .ttl = 300, .modified_s = 1700000000, .rr = rr, .n = 1 };
    struct event e = { .kind = EVENT_ROW, .apex = name_of_text("a.test."), .author = bytes_of("\300", 1), .owner = row.owner,
                       .type = TYPE_A, .after = bytes_of("\300", 1) };
    struct tsig_key_row k = { .name = name_of_text("k."), .algorithm = bytes_of_text("hmac-sha256"), .secret = bytes_of("\1\2", 2),
                              .rights = bytes_of_text("{}") };
    struct source_mark m = { 1, 7 };
    struct history_row h = { .subject = HISTORY_ZONE, .name = name_of_text("a.test."), .time_ms = 10, .epoch = 1, .seq = 7,
                             .author = bytes_of("\300", 1), .after = bytes_of_text("{}") };
    struct refresh_kept kept = { 1700000000, 1699999744, 1700000900, 1701209600, 7, true };
    uint64_t id = zone_make(t, "a.test.", "{\"kind\":\"native\"}"), fresh;
    size_t line = 0;
    (void)state;
    assert_int_equal(source_row_put(t, id, &row, NULL), OK);
    assert_int_equal(source_row_put(t, id, &sig, NULL), OK);
    assert_int_equal(source_event_add(t, &e, NULL), OK);
    assert_int_equal(source_tsig_put(t, &k, NULL), OK);
    assert_int_equal(source_mark_put(t, &m, NULL), OK);
    assert_int_equal(source_secondary_put(t, bytes_of("\1A\4test", 8), &kept, NULL), OK);
    assert_int_equal(source_history_add(t, &h, NULL), OK);
    assert_int_equal(source_fresh_id(t, &fresh, NULL), OK);
    for (unsigned i = 0; i < RECORDBOOK_TABLES; i++)
        assert_int_equal(recordbook_entries(t, i, compare_line, &line), OK);
    assert_int_equal(line, ROWS(format_lines));
    source_abort(t);
}

/* --- history -------------------------------------------------------------------------------------------------------- */
static uint64_t tell(struct source_txn *t, enum history_subject subject, const char *name)
{
    struct history_row h = { .subject = subject, .name = name_of_text(name), .time_ms = 1, .author = bytes_of("\300", 1),
                             .before = bytes_of_text("{}") };
    assert_int_equal(source_history_add(t, &h, NULL), OK);
    return h.number;
}

struct told { uint64_t number[8]; size_t n, most; };

static bool on_told(void *arg, const struct history_row *h)
{
    struct told *told = arg;
    assert_true(told->n < ROWS(told->number) && h->after.ptr == NULL && bytes_equal(h->before, bytes_of_text("{}")));
    told->number[told->n++] = h->number;
    return told->n < told->most;
}

static void history_is_that_of_its_subject_newest_first(void **state)
{
    static const struct { const char *why; enum history_subject subject; const char *name; uint64_t before; size_t most; uint64_t want[8]; } rows[] = {
        { "of a zone", HISTORY_ZONE, "a.test.", UINT64_MAX, 8, { 5, 1 } },
        { "case does not matter", HISTORY_ZONE, "A.Test.", UINT64_MAX, 8, { 5, 1 } },
        { "a key of the zone's name is another thing", HISTORY_KEY, "a.test.", UINT64_MAX, 8, { 3 } },
        { "all keys", HISTORY_KEY, "", UINT64_MAX, 8, { 4, 3 } },
        { "a page", HISTORY_KEY, "", UINT64_MAX, 1, { 4 } },
        { "the next one", HISTORY_KEY, "", 4, 8, { 3 } },
        { "behind the last", HISTORY_ZONE, "a.test.", 1, 8, { 0 } },
        { "below all numbers", HISTORY_ZONE, "a.test.", 0, 8, { 0 } },
        { "nothing was told of it", HISTORY_ZONE, "c.test.", UINT64_MAX, 8, { 0 } },
        { "one that was taken back", HISTORY_ZONE, "b.test.", UINT64_MAX, 8, { 2 } },
    };
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    (void)state;
    (void)tell(t, HISTORY_ZONE, "a.test.");
    (void)tell(t, HISTORY_ZONE, "b.test.");
    (void)tell(t, HISTORY_KEY, "a.test.");
    (void)tell(t, HISTORY_KEY, "k.");
    (void)tell(t, HISTORY_ZONE, "a.test.");
    uint64_t back = tell(t, HISTORY_ZONE, "b.test.");
    txn_commit(t);
    t = txn_begin(bed.s, SOURCE_WRITE);
    assert_int_equal(source_history_del(t, back, NULL), OK);
    assert_int_equal(source_history_del(t, back, NULL), ERR_NOTFOUND);
    txn_commit(t);
    source_bed_again(&bed);
    t = txn_begin(bed.s, SOURCE_READ);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct name n = name_of_text(rows[i].name[0] != '\0' ? rows[i].name : ".");
        struct told told = { .most = rows[i].most };
        struct bytes of = rows[i].name[0] != '\0' ? name_bytes(&n) : (struct bytes){ 0 };
        assert_int_equal(source_history(t, rows[i].subject, of, rows[i].before, on_told, &told), OK);
        if (memcmp(told.number, rows[i].want, sizeof told.number) != 0)
            fail_msg("%s: %zu entries, the first is %llu", rows[i].why, told.n, (unsigned long long)told.number[0]);
    }
    source_abort(t);
}

static bool count_entries(void *arg, unsigned table, struct bytes key, struct bytes value)
{
    (void)table, (void)key, (void)value;
    ++*(size_t *)arg;
    return true;
}

static void only_the_newest_of_the_history_are_kept(void **state)
{
    struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
    struct told told = { .most = 8 };
    struct name first = name_of_text("first.test.");
    size_t n = 0, of = 0;
    (void)state;
    (void)tell(t, HISTORY_ZONE, "first.test.");
    for (size_t i = 0; i < HISTORY_MOST + 5; i++)
        (void)tell(t, HISTORY_ZONE, i % 2 ? "a.test." : "b.test.");
    assert_int_equal(recordbook_entries(t, 7, count_entries, &n), OK);
    assert_int_equal(recordbook_entries(t, 8, count_entries, &of), OK);
    assert_int_equal(n, HISTORY_MOST);
    assert_int_equal(of, HISTORY_MOST);
    assert_int_equal(source_history(t, HISTORY_ZONE, name_bytes(&first), UINT64_MAX, on_told, &told), OK);
    assert_int_equal(told.n, 0);
    source_abort(t);
}

/* --- the file ------------------------------------------------------------------------------------------------------- */
static void nobody_else_reads_the_folder(void **state)
{
    static const struct { const char *below; unsigned mode; } rows[] = {
        { "records", 0700 }, { "records/data.mdb", 0600 }, { "records/lock.mdb", 0600 },
    };
    char path[PATH_MAX + 32];
    struct stat st;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", bed.dir, rows[i].below);
        assert_int_equal(stat(path, &st), 0);
        if ((st.st_mode & 0777) != rows[i].mode)
            fail_msg("%s has mode %o", rows[i].below, (unsigned)(st.st_mode & 0777));
    }
}

static void small_rows_take_little_room(void **state)
{
    enum { N = 50000 };
    struct source_figures f;
    (void)state;
    for (int random = 0; random < 2; random++) {
        source_bed_close(&bed);
        bed = (struct source_bed){ .dir = "" };
        source_bed_open(&bed);
        struct source_txn *t = txn_begin(bed.s, SOURCE_WRITE);
        uint64_t id = zone_make(t, "example.com.", "{}");
        for (unsigned i = 0; i < N; i++) {
            char owner[64];
            unsigned k = random ? (i * 2654435761u) : i;        /* odd factor: every number once, in no order */
            (void)snprintf(owner, sizeof owner, "host-%08x.example.com.", k);
            put(t, id, owner, TYPE_A, "\1\2\3\4");
            if (i % 500 == 499) {
                txn_commit(t);
                t = txn_begin(bed.s, SOURCE_WRITE);
            }
        }
        txn_commit(t);
        assert_int_equal(source_figures(bed.s, &f), OK);
        print_message("%d rows of one A record, %s: %.1f bytes each\n", (int)N, random ? "in no order" : "in order",
                      (double)f.used_bytes / N);
        assert_true(f.used_bytes / N <= 200);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(zones_in_canonical_order), T(a_zone_points_to_its_id), T(version_moves_with_zones_and_keys), T(a_row_comes_back_whole),
        T(rows_in_canonical_order), T(the_longest_names_fit), T(too_large_is_told), T(rows_without_a_zone_go),
        T(events_stay_until_done), T(the_mark_is_kept), T(keys_come_back), T(secondaries_stay_with_their_zone), T(the_bytes_of_the_format), T(history_is_that_of_its_subject_newest_first),
        T(only_the_newest_of_the_history_are_kept), T(nobody_else_reads_the_folder), T(small_rows_take_little_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
