/* Serving snapshots: the queue and the rate alone (pure), then files made from a real store, with a clock of our own. */
#include <limits.h>
#include <stdatomic.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "replicator/seal.h"
#include "replicator/snaplease.h"
#include "replicator/snapmake.h"
#include "replicator/snapserve.h"
#include "tests/util.h"
#define op_put text_put                 /* record.h has another one */
#include "tests/util_store.h"
#undef op_put

/* --- the queue ----------------------------------------------------------------------------------------------------------- */
static bool asks(struct snapleases *l, const char *node, uint64_t now_ms)
{
    uint64_t wait_ms = 0;
    struct snapholder *h = snapleases_ask(l, bytes_of_text(node), now_ms, &wait_ms);
    bool has = h != NULL;
    if (has)
        snapleases_renew(l, h, now_ms);
    if (has != (wait_ms == 0))
        fail_msg("%s at %d: %s, and told to wait %d ms", node, (int)now_ms, has ? "served" : "refused", (int)wait_ms);
    return has;
}

static void leases_in_turn(void **state)
{
    struct snapleases *l = malloc(sizeof *l);
    (void)state;
    snapleases_init(l, 2, 10000);
    assert_true(asks(l, "a", 0) && asks(l, "b", 0));
    assert_false(asks(l, "c", 0) || asks(l, "d", 1) || asks(l, "e", 2));
    assert_true(asks(l, "a", 300));                     /* renews */
    snapleases_end(l, bytes_of_text("b"));
    assert_false(asks(l, "f", 400) || asks(l, "e", 400));       /* a place is free, and c's */
    assert_true(asks(l, "c", 500));
    assert_false(asks(l, "d", 500));
    assert_int_equal(l->n, 2);
    assert_int_equal(l->waiting_n, 3);
    snapleases_end(l, bytes_of_text("a"));
    assert_false(asks(l, "e", 900));
    assert_true(asks(l, "d", 1000));
    snapleases_end(l, bytes_of_text("c"));
    assert_true(asks(l, "e", 1300));                    /* next, though f asked before it once */
    snapleases_end(l, bytes_of_text("never"));
    assert_int_equal(l->n, 2);
    assert_int_equal(l->waiting_n, 1);
    free(l);
}

/* Who is silent loses lease or place, and holds nobody up. */
static void silence(void **state)
{
    struct snapleases *l = malloc(sizeof *l);
    uint64_t wait_ms = 0;
    (void)state;
    snapleases_init(l, 1, 10000);
    assert_true(asks(l, "a", 0));
    assert_null(snapleases_ask(l, bytes_of_text("dead"), 100, &wait_ms));
    assert_int_equal(wait_ms, SNAPLEASE_BACK_MS);
    for (uint64_t now = 200; now <= 10000; now += 400)
        assert_false(asks(l, "c", now));
    assert_true(asks(l, "c", 10001));                   /* a is silent for more than 10 s, the dead one for longer than told */
    assert_false(asks(l, "dead", 10002) || asks(l, "a", 10003));
    assert_true(asks(l, "c", 20001));
    assert_int_equal(l->waiting_n, 0);
    free(l);
}

/* Only who gets on keeps a lease. */
static void getting_on(void **state)
{
    struct snapleases *l = malloc(sizeof *l);
    static const struct { uint64_t file, step; bool given, renewed; } rows[] = {
        { 1, 1, true, true }, { 1, 1, true, false }, { 1, 2, true, true }, { 1, 7, true, true }, { 1, 3, true, false },
        { 1, 7, true, false }, { 1, 8, false, true }, { 1, 8, false, true }, { 1, 8, true, true }, { 1, 8, true, false },
        { 2, 1, true, true }, { 1, 2, true, true }, { 2, 1, true, false }, { 2, 2, true, false }, { 1, 1, false, false },
        { 2, 3, true, true },
    };
    uint64_t now = 0, wait_ms;
    (void)state;
    snapleases_init(l, 1, 10000);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct snapholder *h = snapleases_ask(l, bytes_of_text("a"), ++now, &wait_ms);
        assert_non_null(h);
        snapleases_step(l, h, rows[i].file, rows[i].step, rows[i].given, now);
        if ((h->until_ms == now + 10000) != rows[i].renewed || h->file != rows[i].file)
            fail_msg("row %zu", i);
    }
    struct snapholder *h = snapleases_ask(l, bytes_of_text("a"), now, &wait_ms);
    for (uint64_t until = h->until_ms; now <= until; now += 100) {
        assert_false(asks(l, "b", now));
        h = snapleases_ask(l, bytes_of_text("a"), now, &wait_ms);
        snapleases_step(l, h, 1, 1, true, now);
    }
    assert_true(asks(l, "b", now));
    free(l);
}

static void a_crowd(void **state)
{
    struct snapleases *l = malloc(sizeof *l);
    char name[32];
    uint64_t wait_ms;
    (void)state;
    snapleases_init(l, 4, 10000);
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "node-%u", i);
        struct snapholder *h = snapleases_ask(l, bytes_of_text(name), 1, &wait_ms);
        if ((h != NULL) != (i < 4))
            fail_msg("node %u", i);
        if (i >= 4 && i < 4 + SNAPLEASE_WAITING)
            assert_in_range(wait_ms, SNAPLEASE_BACK_MS, SNAPLEASE_BACK_MAX_MS);
        else if (i >= 4)
            assert_int_equal(wait_ms, SNAPLEASE_AWAY_MS);
    }
    assert_int_equal(l->n, 4);
    assert_int_equal(l->waiting_n, SNAPLEASE_WAITING);
    uint8_t long_name[NODE_NAME_MAX + 1];
    memset(long_name, 'x', sizeof long_name);
    assert_null(snapleases_ask(l, bytes_of(long_name, sizeof long_name), 2, &wait_ms));
    assert_null(snapleases_ask(l, bytes_of(NULL, 0), 2, &wait_ms));
    snapleases_expire(l, 1000000);
    assert_int_equal(l->n + l->waiting_n, 0);
    struct snapholder *h = snapleases_ask(l, bytes_of(long_name, NODE_NAME_MAX), 1000000, &wait_ms);
    assert_true(h != NULL && h->len == NODE_NAME_MAX);
    assert_true(snapleases_ask(l, bytes_of(long_name, NODE_NAME_MAX), 1000001, &wait_ms) == h);
    free(l);
}

/* Nodes that come back when told to: all are served, never more at once than may be, those who waited longest first. */
static void everybody_gets_a_turn(void **state)
{
    enum { NODES = 40, MOST = 3 };
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rnd rnd = rnd_seed(seed);
        struct snapleases *l = malloc(sizeof *l);
        struct { uint64_t next_ms, first_ms, end_ms; bool done; } node[NODES] = { { 0 } };
        uint64_t last_first = 0;
        unsigned left = NODES;
        char name[16];
        snapleases_init(l, MOST, 10000);
        for (unsigned i = 0; i < NODES; i++)
            node[i].next_ms = node[i].first_ms = rnd_below(&rnd, 3000);
        for (uint64_t now = 0; left > 0; now++) {
            if (now > 1000000)
                fail_msg("seed %d: %u never served", (int)seed, left);
            for (unsigned i = 0; i < NODES; i++) {
                uint64_t wait_ms = 0;
                (void)snprintf(name, sizeof name, "n%u", i);
                if (node[i].done || node[i].next_ms > now)
                    continue;
                if (node[i].end_ms > 0 && now >= node[i].end_ms) {
                    snapleases_end(l, bytes_of_text(name));
                    node[i].done = true;
                    left--;
                } else if (snapleases_ask(l, bytes_of_text(name), now, &wait_ms) != NULL) {
                    if (node[i].end_ms == 0 && node[i].first_ms + SNAPLEASE_BACK_MAX_MS + 1 < last_first)
                        fail_msg("seed %d: node %u of %d waited behind one of %d", (int)seed, i, (int)node[i].first_ms,
                                 (int)last_first);
                    if (node[i].end_ms == 0 && node[i].first_ms > last_first)
                        last_first = node[i].first_ms;
                    if (node[i].end_ms == 0)
                        node[i].end_ms = now + 1 + rnd_below(&rnd, 4000);
                    node[i].next_ms = now + 1 + rnd_below(&rnd, 200);
                } else {
                    node[i].next_ms = now + wait_ms + rnd_below(&rnd, 300);
                }
                if (l->n > MOST)
                    fail_msg("seed %d: %u at once", (int)seed, l->n);
            }
        }
        free(l);
    }
}

static void a_rate(void **state)
{
    struct snaprate r;
    uint64_t served = 0, now = 5000;
    (void)state;
    snaprate_init(&r, 1000000, 100000, now);
    for (; now < 15000; now++) {
        while (snaprate_wait_ms(&r, now) == 0) {
            snaprate_take(&r, 70000);
            served += 70000;
        }
    }
    assert_in_range(served, 10000000, 10000000 + 100000 + 70000);
    snaprate_take(&r, 500000);
    uint64_t wait_ms = snaprate_wait_ms(&r, now);
    assert_in_range(wait_ms, 400, 700);
    assert_int_not_equal(snaprate_wait_ms(&r, now + wait_ms - 2), 0);
    assert_int_equal(snaprate_wait_ms(&r, now + wait_ms), 0);
    assert_int_equal(snaprate_wait_ms(&r, now - 1000), 0);      /* a clock that stands still or worse harms nobody */
    assert_int_equal(snaprate_wait_ms(&r, UINT64_MAX), 0);
    snaprate_init(&r, UINT64_MAX / 2, 1, 0);
    snaprate_take(&r, 1 << 20);
    assert_int_equal(snaprate_wait_ms(&r, 1), 0);
    snaprate_init(&r, 1, 1, 0);                         /* so slow a rate is not to be had */
    snaprate_take(&r, 2001);
    assert_in_range(snaprate_wait_ms(&r, 0), 1, 3000);
}

/* --- a file read at any place ------------------------------------------------------------------------------------------------ */
static enum err index_of(struct bytes file, struct snapshot_index *x)
{
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    assert_int_equal(write(fd, file.ptr, file.len), (ssize_t)file.len);
    enum err err = snapshot_index_load(x, fd, NULL);
    (void)close(fd);
    return err;
}

/* Chunks are where it says, with the bytes that hash so; and whatever is wrong with the file's end is found. */
static void an_index(void **state)
{
    struct tmp_store t;
    struct view *v;
    struct snapshot_totals totals;
    struct snapshot_index x;
    uint8_t hash[SNAPSHOT_HASH_LEN];
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    uint8_t *value = malloc(500000);
    for (unsigned i = 0; i < 5; i++) {
        char key[2] = { (char)('a' + i), 0 };
        randombytes_buf(value, 500000);
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(value, 500000) };
        tmp_store_commit(&t, &op, 1);
    }
    free(value);
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_int_equal(view_begin(v), OK);
    assert_ok(snapshot_write(fd, v, STORE_CORE, NULL, 0, NULL, NULL, &totals, &t.fault), &t.fault);
    view_end(v);
    view_close(v);
    assert_ok(snapshot_index_load(&x, fd, &t.fault), &t.fault);
    uint8_t *whole = malloc(totals.bytes);
    assert_int_equal(pread(fd, whole, totals.bytes, 0), (ssize_t)totals.bytes);
    (void)close(fd);
    assert_int_equal(x.manifest.chunks, totals.chunks);
    for (size_t i = 0; i < x.manifest.chunks; i++) {
        struct snapshot_chunk c = snapshot_row(x.manifest.table, i);
        (void)crypto_generichash(hash, sizeof hash, whole + x.offsets[i], c.stored, NULL, 0);
        assert_memory_equal(hash, c.hash, sizeof hash);
    }
    size_t end = snapshot_index_manifest(&x).len + 8 + SNAPSHOT_TRAILER, begin = totals.bytes - end;
    snapshot_index_release(&x);
    for (size_t i = begin + 4; i < totals.bytes; i++) {        /* the 0 before the manifest is not looked at */
        whole[i] ^= 0x10;
        if (index_of(bytes_of(whole, totals.bytes), &x) == OK)
            fail_msg("byte %zu of the last %zu", i - begin, end);
        whole[i] ^= 0x10;
    }
    for (size_t len = 0; len < totals.bytes; len += len < begin ? begin / 5 : 1)
        assert_int_not_equal(index_of(bytes_of(whole, len), &x), OK);
    assert_int_not_equal(index_of(bytes_of(whole + begin, end), &x), OK);      /* no room for the chunks */
    assert_int_equal(index_of(bytes_of(whole, totals.bytes), &x), OK);
    snapshot_index_release(&x);
    free(whole);
    tmp_store_close(&t);
}

/* --- a store that serves --------------------------------------------------------------------------------------------------- */
struct bed {
    struct tmp_store t;
    struct snapserve *s;
    uint64_t now_ms;
    atomic_bool no_room, hold;          /* the making finds no room; it waits */
    atomic_int asked_room, room_for;    /* how often it was asked; > 0: so often there is room, then not */
    uint8_t *out;                       /* exactly what a reply may have */
};

static bool bed_room(void *arg, const char *dir)
{
    struct bed *b = arg;
    assert_string_equal(dir, store_dir(b->t.s));
    while (b->hold)
        usleep(500);
    int n = ++b->asked_room;
    return !b->no_room && (b->room_for == 0 || n <= b->room_for);
}

static void bed_serve(struct bed *b, uint64_t rate, unsigned leases)
{
    struct snapserve_options o = { b->t.s, STORE_CORE, rate, leases, bed_room, b };
    assert_ok(snapserve_open(&b->s, &o, &b->t.fault), &b->t.fault);
}
static void bed_open(struct bed *b, uint64_t rate, unsigned leases)
{
    memset(b, 0, sizeof *b);
    tmp_store_open(&b->t, STORE_CORE);
    b->out = malloc(REPLY_MAX - SEAL_EXTRA);
    b->now_ms = 1000000;
    bed_serve(b, rate, leases);
}
static void bed_close(struct bed *b)
{
    b->hold = false;
    snapserve_close(b->s);
    tmp_store_close(&b->t);
    free(b->out);
}
static uint64_t put(struct bed *b, const char *key, size_t len)
{
    uint8_t *value = malloc(len);
    randombytes_buf(value, len);
    struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(value, len) };
    tmp_store_commit(&b->t, &op, 1);
    free(value);
    return seq_now(b->t.s);
}
static void put_much(struct bed *b, unsigned values)
{
    char key[16];
    for (unsigned i = 0; i < values; i++) {
        (void)snprintf(key, sizeof key, "k%05u", i);
        put(b, key, 200000);
    }
}
/* A new epoch with the same data, as behind a restore. */
static void new_epoch(struct bed *b, uint64_t epoch)
{
    struct store_txn *t;
    struct head h;
    struct signed_head sh;
    assert_ok(store_begin(b->t.s, &t, &b->t.fault), &b->t.fault);
    head_make(b->t.s, t, epoch, seq_now(b->t.s) + 1, &h, &sh);
    assert_ok(store_commit(t, &h, &sh, &b->t.fault), &b->t.fault);
}

static struct reply ask_at(struct bed *b, const char *node, const struct request *q, uint64_t first, uint64_t last)
{
    struct reply r;
    struct wr w = wr_over(b->out, REPLY_MAX - SEAL_EXTRA);
    snapserve_answer(b->s, bytes_of_text(node), q, first, last, b->now_ms, &w);
    assert_false(w.full);
    assert_int_equal(reply_read(wr_done(&w), &r), OK);
    assert_true(r.type != MESSAGE_ERROR || r.code != REPLY_LATER || r.wait_ms > 0);
    return r;
}
static struct reply manifest_at(struct bed *b, const char *node, uint64_t epoch, uint64_t seq, uint64_t offset, uint64_t first,
                                uint64_t last)
{
    struct request q = { .type = MESSAGE_MANIFEST, .epoch = epoch, .seq = seq, .offset = offset };
    return ask_at(b, node, &q, first, last);
}
/* By a server whose log has everything. */
static struct reply manifest(struct bed *b, const char *node, uint64_t epoch, uint64_t seq, uint64_t offset)
{
    return manifest_at(b, node, epoch, seq, offset, 1, seq_now(b->t.s));
}
static struct reply chunk(struct bed *b, const char *node, uint64_t epoch, uint64_t seq, uint64_t index)
{
    struct request q = { .type = MESSAGE_CHUNK, .epoch = epoch, .seq = seq, .offset = index };
    return ask_at(b, node, &q, 1, seq_now(b->t.s));
}
static bool is_error(const struct reply *r, uint64_t code) { return r->type == MESSAGE_ERROR && r->code == code; }

/* What the first reply says that is not about the making. The clock of the test moves only for the rest between two. */
static struct reply made_at(struct bed *b, const char *node, uint64_t epoch, uint64_t seq, uint64_t first, uint64_t last)
{
    static const char making[] = "a snapshot is being made", rests[] = "a snapshot was made a moment ago";
    for (unsigned i = 0; i < 60000; i++) {
        struct reply r = manifest_at(b, node, epoch, seq, 0, first, last);
        if (is_error(&r, REPLY_LATER) && bytes_equal(r.text, bytes_of_text(rests)))
            b->now_ms += r.wait_ms;
        else if (!is_error(&r, REPLY_LATER) || !bytes_equal(r.text, bytes_of_text(making)))
            return r;
        usleep(1000);
    }
    fail_msg("never made");
    return (struct reply){ .type = 0 };
}
static struct reply made(struct bed *b, const char *node, uint64_t epoch, uint64_t seq)
{
    return made_at(b, node, epoch, seq, 1, seq_now(b->t.s));
}

static double metric(struct bed *b, const char *line)
{
    struct stat_page page;
    double v = -1;
    stat_page_init(&page);
    snapserve_metrics(b->s, &page);
    const char *at = strstr(page.text, line);
    if (at == NULL || sscanf(at + strlen(line), " %lf", &v) != 1)
        fail_msg("no metric %s", line);
    stat_page_release(&page);
    return v;
}
#define MADE "azoth_snapshot_made_total{result=\"done\"}"
#define FAILED "azoth_snapshot_made_total{result=\"failed\"}"
#define FILE_BYTES "\nazoth_snapshot_file_bytes"

/* All of one snapshot as a node copies it, and what is in it is what the head says. */
static void copy(struct bed *b, const char *node, uint64_t least)
{
    struct reply r = made(b, node, 1, least);
    if (r.type != MESSAGE_MANIFEST)
        fail_msg("%.*s", (int)r.text.len, (const char *)r.text.ptr);
    uint64_t total = r.total, got = 0;
    uint8_t *whole = malloc(total);
    for (;;) {
        memcpy(whole + got, r.bytes.ptr, r.bytes.len);
        got += r.bytes.len;
        if (got == total)
            break;
        r = manifest(b, node, 1, least, got);
        assert_true(r.type == MESSAGE_MANIFEST && r.total == total && r.offset == got);
    }
    struct snapshot_manifest m;
    struct snapshot_unpack *u;
    const struct op *ops;
    size_t n;
    assert_int_equal(snapshot_manifest_read(bytes_of(whole, total), &m), OK);
    assert_true(m.files_n == 0 && m.about.head.seq >= least);
    assert_memory_equal(m.about.signed_head.body, r.head.body, r.head.len);
    assert_ok(snapshot_unpack_open(&u, &m.about.head), NULL);
    for (size_t i = 0; i < m.chunks; i++) {
        struct snapshot_chunk c = snapshot_row(m.table, i);
        r = chunk(b, node, m.about.head.epoch, m.about.head.seq, i);
        assert_true(r.type == MESSAGE_CHUNK && r.offset == i && r.seq == m.about.head.seq && r.epoch == m.about.head.epoch);
        assert_ok(snapshot_unpack_chunk(u, &c, r.bytes, &ops, &n, &b->t.fault), &b->t.fault);
    }
    assert_ok(snapshot_unpack_end(u, &b->t.fault), &b->t.fault);
    snapshot_unpack_close(u);
    free(whole);
}

static void copies(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0, 0);
    struct reply r = manifest(&b, "e1", 0, 0, 0);
    assert_true(is_error(&r, REPLY_LATER) && r.wait_ms > 0);    /* an empty store */
    r = chunk(&b, "e1", 0, 0, 0);
    assert_true(is_error(&r, REPLY_LATER));
    put_much(&b, 30);
    copy(&b, "e1", 0);
    copy(&b, "e2", 30);
    assert_int_equal((int)metric(&b, MADE), 1);
    assert_int_equal((int)metric(&b, "\nazoth_snapshot_leases"), 0);        /* the last chunk ends a lease */
    assert_true(metric(&b, "\nazoth_snapshot_bytes_total") > 12000000);
    r = chunk(&b, "e2", 1, 30, 5);                      /* lost on its way, say: again, and any chunk in any order */
    assert_true(r.type == MESSAGE_CHUNK && r.offset == 5);
    r = chunk(&b, "e2", 1, 30, 2);
    assert_true(r.type == MESSAGE_CHUNK && r.offset == 2);
    bed_close(&b);
}

/* Entries all gone: a snapshot without a chunk. And values as long as they may be. */
static void extremes(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0, 0);
    struct op gone[] = { text_put("kv", "a", "1"), op_del("kv", "a") };
    tmp_store_commit(&b.t, gone, 1);
    tmp_store_commit(&b.t, gone + 1, 1);
    copy(&b, "e1", 2);
    for (unsigned i = 0; i < 3; i++)
        put(&b, i == 0 ? "x" : i == 1 ? "y" : "z", STORE_VALUE_MAX);
    copy(&b, "e1", 5);
    bed_close(&b);
}

static void odd_requests(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0, 0);
    put_much(&b, 12);
    struct reply r = made(&b, "e1", 1, 12);
    assert_int_equal(r.type, MESSAGE_MANIFEST);
    uint64_t total = r.total;
    struct { const char *why; uint64_t type, epoch, seq, offset, want; } rows[] = {
        { "any position",               MESSAGE_MANIFEST, 0, 0, 0, 0 },
        { "an older epoch, a higher seq", MESSAGE_MANIFEST, 0, 999, 0, 0 },
        { "a seq that is not reached",  MESSAGE_MANIFEST, 1, 13, 0, REPLY_LATER },
        { "all ones",                   MESSAGE_MANIFEST, UINT64_MAX, UINT64_MAX, UINT64_MAX, REPLY_LATER },
        { "an epoch to come",           MESSAGE_MANIFEST, 2, 0, 0, REPLY_LATER },
        { "the manifest's last byte",   MESSAGE_MANIFEST, 1, 12, total - 1, 0 },
        { "behind the manifest",        MESSAGE_MANIFEST, 1, 12, total, REPLY_MALFORMED },
        { "far behind the manifest",    MESSAGE_MANIFEST, 1, 12, UINT64_MAX, REPLY_MALFORMED },
        { "the last chunk",             MESSAGE_CHUNK, 1, 12, 2, 0 },
        { "behind the last chunk",      MESSAGE_CHUNK, 1, 12, 3, REPLY_MALFORMED },
        { "far behind",                 MESSAGE_CHUNK, 1, 12, UINT64_MAX, REPLY_MALFORMED },
        { "of 32 bits the first",       MESSAGE_CHUNK, 1, 12, (uint64_t)1 << 32, REPLY_MALFORMED },
        { "another seq",                MESSAGE_CHUNK, 1, 11, 0, REPLY_GONE },
        { "another epoch",              MESSAGE_CHUNK, 2, 12, 0, REPLY_GONE },
        { "no such place",              MESSAGE_CHUNK, 0, 0, 0, REPLY_GONE },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct request q = { .type = rows[i].type, .epoch = rows[i].epoch, .seq = rows[i].seq, .offset = rows[i].offset };
        r = ask_at(&b, "e1", &q, 1, 12);
        bool right = rows[i].want == 0 ? r.type == rows[i].type : is_error(&r, rows[i].want);
        if (!right)
            fail_msg("%s: type %d, code %d", rows[i].why, (int)r.type, (int)r.code);
    }
    assert_int_equal((int)metric(&b, MADE), 1);
    bed_close(&b);
}

/* When the one that is there does, and when the next one is made. */
static void made_once(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0, 0);
    put(&b, "a", 10);
    struct { const char *why; bool commit; uint64_t least, first, last; int files; } rows[] = {
        { "the first",                          false, 0, 1, 1, 1 },
        { "again",                              false, 1, 1, 1, 1 },
        { "older than the data, new enough",    true,  1, 1, 2, 1 },
        { "the log begins right behind it",     false, 1, 2, 2, 1 },
        { "newer wanted",                       false, 2, 1, 2, 2 },
        { "the log begins too late",            true,  0, 4, 3, 3 },
        { "an empty log, level with it",        false, 0, 0, 3, 3 },
        { "an empty log, beyond it",            true,  0, 0, 4, 4 },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        if (rows[i].commit)
            put(&b, "a", 10);
        struct reply r = made_at(&b, "e1", 1, rows[i].least, rows[i].first, rows[i].last);
        if (r.type != MESSAGE_MANIFEST || (int)metric(&b, MADE) != rows[i].files)
            fail_msg("%s: %d made, type %d", rows[i].why, (int)metric(&b, MADE), (int)r.type);
    }
    struct reply r = made_at(&b, "e1", 1, 0, 9, 12);    /* a log that no data of ours leads to: nothing is made over and over */
    assert_true(is_error(&r, REPLY_LATER));
    assert_int_equal((int)metric(&b, MADE), 4);
    new_epoch(&b, 7);
    r = made(&b, "e1", 1, 3);
    assert_int_equal(r.type, MESSAGE_MANIFEST);
    assert_int_equal((int)metric(&b, MADE), 5);
    uint64_t before, after;
    assert_ok(store_compact(b.t.s, &before, &after, &b.t.fault), &b.t.fault);
    r = made(&b, "e1", 7, 5);                           /* another generation: perhaps the one before had rotted */
    assert_int_equal(r.type, MESSAGE_MANIFEST);
    assert_int_equal((int)metric(&b, MADE), 6);
    bed_close(&b);
}

/* While one is made, whoever asks is told when to come back; and the file before goes on being served. */
static void while_it_is_made(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0, 2);
    put_much(&b, 12);
    assert_int_equal(made(&b, "e1", 1, 12).type, MESSAGE_MANIFEST);
    put(&b, "new", 10);
    b.hold = true;
    struct reply r = manifest(&b, "e2", 1, 13, 0);
    assert_true(is_error(&r, REPLY_LATER) && r.wait_ms <= 1000);
    r = manifest(&b, "e2", 1, 13, 0);
    assert_true(is_error(&r, REPLY_LATER));
    for (unsigned i = 0; i < 2; i++) {
        r = chunk(&b, "e1", 1, 12, i);
        assert_true(r.type == MESSAGE_CHUNK);
    }
    r = manifest(&b, "e3", 1, 13, 0);                   /* the leases are e1's and e2's */
    assert_true(is_error(&r, REPLY_LATER) && r.wait_ms == SNAPLEASE_BACK_MS);
    b.hold = false;
    r = made(&b, "e2", 1, 13);
    assert_int_equal(r.type, MESSAGE_MANIFEST);
    assert_int_equal(chunk(&b, "e1", 1, 12, 1).type, MESSAGE_CHUNK);        /* kept: e1 copies it */
    assert_int_equal(chunk(&b, "e1", 1, 12, 2).type, MESSAGE_CHUNK);        /* the last */
    r = chunk(&b, "e1", 1, 12, 0);
    assert_true(is_error(&r, REPLY_GONE));
    assert_int_equal(manifest(&b, "e3", 1, 0, 0).type, MESSAGE_MANIFEST);   /* its turn */
    bed_close(&b);
}

/* Leases of silent nodes end, and the file that only they wanted goes. */
static void silent_nodes(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0, 2);
    put_much(&b, 12);
    assert_int_equal(made(&b, "e1", 1, 12).type, MESSAGE_MANIFEST);
    put(&b, "new", 10);
    assert_int_equal(made(&b, "e2", 1, 13).type, MESSAGE_MANIFEST);
    struct reply r = chunk(&b, "e1", 1, 12, 0);
    assert_int_equal(r.type, MESSAGE_CHUNK);
    r = manifest(&b, "e3", 1, 13, 0);
    assert_true(is_error(&r, REPLY_LATER));
    double both = metric(&b, FILE_BYTES);
    b.now_ms += SNAPSERVE_LEASE_MS + 1;
    assert_int_equal(manifest(&b, "e3", 1, 13, 0).type, MESSAGE_MANIFEST);
    assert_true(metric(&b, FILE_BYTES) < both);
    r = chunk(&b, "e1", 1, 12, 1);
    assert_true(is_error(&r, REPLY_GONE));
    /* and the newest one, when nobody asks for it for long, or the disk is wanted for other things */
    b.now_ms += SNAPSERVE_LEASE_MS + 1;
    snapserve_tick(b.s, b.now_ms);
    assert_true(metric(&b, FILE_BYTES) > 0);
    b.now_ms += SNAPSERVE_KEEP_MS;
    snapserve_tick(b.s, b.now_ms);
    assert_true(metric(&b, FILE_BYTES) == 0);
    assert_int_equal(made(&b, "e1", 1, 12).type, MESSAGE_MANIFEST);
    b.no_room = true;
    snapserve_tick(b.s, b.now_ms);
    assert_true(metric(&b, FILE_BYTES) > 0);            /* it is being copied */
    b.now_ms += SNAPSERVE_LEASE_MS + 1;
    snapserve_tick(b.s, b.now_ms);
    assert_true(metric(&b, FILE_BYTES) == 0);
    bed_close(&b);
}

/* Two files at most. Who copies the older one slowly does not hold up the others for ever. */
static void a_third_one(void **state)
{
    enum { CHUNKS = SNAPSERVE_OLD_MS / SNAPSERVE_LEASE_MS + 4 };
    static const uint8_t zeros[SNAPSHOT_CHUNK];
    struct bed b;
    struct reply r;
    char key[16];
    uint64_t i = 0;
    (void)state;
    bed_open(&b, 0, 3);
    for (unsigned n = 0; n < CHUNKS; n++) {             /* a chunk each */
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of(key, (size_t)snprintf(key, sizeof key, "k%05u", n)),
                         bytes_of(zeros, sizeof zeros) };
        tmp_store_commit(&b.t, &op, 1);
    }
    assert_int_equal(made(&b, "slow", 1, CHUNKS).type, MESSAGE_MANIFEST);
    put(&b, "new", 10);
    assert_int_equal(made(&b, "e2", 1, CHUNKS + 1).type, MESSAGE_MANIFEST);
    put(&b, "newer", 10);
    for (uint64_t end = b.now_ms + SNAPSERVE_OLD_MS; b.now_ms < end; b.now_ms += SNAPSERVE_LEASE_MS, i++) {
        assert_int_equal(chunk(&b, "slow", 1, CHUNKS, i).type, MESSAGE_CHUNK);
        assert_int_equal(chunk(&b, "e2", 1, CHUNKS + 1, i).type, MESSAGE_CHUNK);
        r = manifest(&b, "e3", 1, CHUNKS + 2, 0);
        assert_true(is_error(&r, REPLY_LATER));
        assert_int_equal((int)metric(&b, MADE), 2);
    }
    assert_int_equal(chunk(&b, "slow", 1, CHUNKS, i).type, MESSAGE_CHUNK);
    assert_int_equal(chunk(&b, "e2", 1, CHUNKS + 1, i).type, MESSAGE_CHUNK);
    assert_int_equal(made(&b, "e3", 1, CHUNKS + 2).type, MESSAGE_MANIFEST);
    r = chunk(&b, "slow", 1, CHUNKS, i);
    assert_true(is_error(&r, REPLY_GONE));
    r = manifest(&b, "slow", 1, CHUNKS, 5);             /* a further piece of what is gone */
    assert_true(is_error(&r, REPLY_GONE));
    assert_int_equal(chunk(&b, "e2", 1, CHUNKS + 1, ++i).type, MESSAGE_CHUNK);
    /* the newest one is wanted by nobody any more: the older one stays, and a newer takes its place */
    put(&b, "newest", 10);
    b.now_ms += SNAPSERVE_LEASE_MS;
    assert_int_equal(chunk(&b, "e2", 1, CHUNKS + 1, ++i).type, MESSAGE_CHUNK);
    b.now_ms += 1;                                      /* e3 is silent, slow too */
    assert_int_equal(made(&b, "e4", 1, CHUNKS + 3).type, MESSAGE_MANIFEST);
    assert_int_equal(chunk(&b, "e2", 1, CHUNKS + 1, i).type, MESSAGE_CHUNK);
    r = chunk(&b, "e3", 1, CHUNKS + 2, 0);
    assert_true(is_error(&r, REPLY_GONE));
    bed_close(&b);
}

/* What nodes that copy will ask for behind it must not be trimmed meanwhile. */
static void log_is_needed(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0, 2);
    put_much(&b, 12);
    assert_int_equal(snapserve_needs(b.s), 0);
    b.hold = true;
    (void)manifest(&b, "e1", 1, 12, 0);
    assert_int_equal(snapserve_needs(b.s), 13);
    b.hold = false;
    assert_int_equal(made(&b, "e1", 1, 12).type, MESSAGE_MANIFEST);
    put(&b, "new", 10);
    assert_int_equal(made(&b, "e2", 1, 13).type, MESSAGE_MANIFEST);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(chunk(&b, "e1", 1, 12, i).type, MESSAGE_CHUNK);
    snapserve_tick(b.s, b.now_ms);                      /* e1 has all, and loads it */
    assert_int_equal(snapserve_needs(b.s), 13);
    b.now_ms += SNAPSERVE_LEASE_MS - 1;
    assert_int_equal(chunk(&b, "e2", 1, 13, 0).type, MESSAGE_CHUNK);
    b.now_ms += SNAPSERVE_LEASE_MS - 1;
    assert_int_equal(chunk(&b, "e2", 1, 13, 1).type, MESSAGE_CHUNK);
    snapserve_tick(b.s, b.now_ms);
    assert_int_equal(snapserve_needs(b.s), 13);
    b.now_ms += 2;
    snapserve_tick(b.s, b.now_ms);
    assert_int_equal(snapserve_needs(b.s), 14);
    b.now_ms += SNAPSERVE_NEED_MS;
    snapserve_tick(b.s, b.now_ms);
    assert_int_equal(snapserve_needs(b.s), 0);
    bed_close(&b);
}

static void rate_is_shared(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 1000000, 4);
    put_much(&b, 12);
    assert_int_equal(made(&b, "e1", 1, 12).type, MESSAGE_MANIFEST);
    assert_int_equal(chunk(&b, "e1", 1, 12, 0).type, MESSAGE_CHUNK);
    struct reply r = chunk(&b, "e2", 1, 12, 0);
    assert_true(is_error(&r, REPLY_LATER));
    assert_in_range(r.wait_ms, 500, 1100);              /* a megabyte, less the burst */
    b.now_ms += r.wait_ms;
    assert_int_equal(chunk(&b, "e1", 1, 12, 1).type, MESSAGE_CHUNK);
    r = manifest(&b, "e3", 1, 12, 0);
    assert_true(is_error(&r, REPLY_LATER));
    bed_close(&b);
    /* so slow that the wait is longer than a lease: told to come back before */
    bed_open(&b, SNAPSERVE_RATE_MIN, 1);
    put_much(&b, 12);
    assert_int_equal(made(&b, "e1", 1, 12).type, MESSAGE_MANIFEST);
    uint64_t start = b.now_ms;
    for (unsigned i = 0; i < 3; i++) {
        while (is_error(&(struct reply[1]){ r = chunk(&b, "e1", 1, 12, i) }[0], REPLY_LATER)) {
            assert_in_range(r.wait_ms, 1, SNAPSERVE_LEASE_MS / 2);
            b.now_ms += r.wait_ms;
        }
        assert_int_equal(r.type, MESSAGE_CHUNK);
    }
    assert_in_range(b.now_ms - start, 20000, 40000);
    bed_close(&b);
}

static unsigned files_of(const char *dir)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += strncmp(e->d_name, ".snapshot-served.", 17) == 0;
    (void)closedir(d);
    return n;
}

/* No room at the start, or not any more in the middle: said, nothing stays, and it is tried again. */
static void no_room(void **state)
{
    struct bed b;
    (void)state;
    for (int room_for = 0; room_for < 4; room_for++) {
        bed_open(&b, 0, 0);
        put_much(&b, 30);
        b.room_for = room_for;
        b.no_room = room_for == 0;
        struct reply r = made(&b, "e1", 1, 30);
        assert_true(is_error(&r, REPLY_STORE));
        assert_in_range(r.wait_ms, 1, SNAPSERVE_RETRY_MS);
        assert_int_equal((int)metric(&b, FAILED), 1);
        int asked = b.asked_room;
        b.now_ms += SNAPSERVE_RETRY_MS - 1;
        r = manifest(&b, "e2", 1, 30, 0);
        assert_true(is_error(&r, REPLY_STORE));
        assert_int_equal(b.asked_room, asked);
        assert_int_equal(files_of(b.t.dir), 0);
        b.room_for = 0;
        b.no_room = false;
        b.now_ms += 1;
        copy(&b, "e1", 30);
        assert_int_equal((int)metric(&b, MADE), 1);
        bed_close(&b);
    }
    char dir[PATH_MAX];
    tmp_folder(dir);
    assert_false(snapmake_has_room(NULL, "/nonexistent"));
    (void)snapmake_has_room(NULL, dir);                 /* true or not: that is the disk's affair */
    remove_tree(dir);
}

/* Ended in the middle of the making, at any chunk. And what a crash left is removed. */
static void ends(void **state)
{
    struct bed b;
    char left[PATH_MAX + 32], kept[PATH_MAX + 32];
    struct stat st;
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        bed_open(&b, 0, 0);
        put_much(&b, 12 + i);
        struct reply r = manifest(&b, "e1", 1, 1, 0);
        assert_true(is_error(&r, REPLY_LATER));
        usleep(i * 1000);
        snapserve_close(b.s);
        (void)snprintf(left, sizeof left, "%s/.snapshot-served.a1B2c3", b.t.dir);
        (void)snprintf(kept, sizeof kept, "%s/.snapshot-served.of-mine", b.t.dir);
        FILE *f = fopen(left, "w"), *g = fopen(kept, "w");
        assert_true(f != NULL && g != NULL);
        (void)fclose(f);
        (void)fclose(g);
        bed_serve(&b, 0, 0);
        assert_int_not_equal(stat(left, &st), 0);
        assert_int_equal(stat(kept, &st), 0);
        (void)unlink(kept);
        bed_close(&b);
    }
    snapserve_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leases_in_turn), cmocka_unit_test(silence), cmocka_unit_test(getting_on), cmocka_unit_test(a_crowd),
        cmocka_unit_test(everybody_gets_a_turn), cmocka_unit_test(a_rate), cmocka_unit_test(an_index), cmocka_unit_test(copies), cmocka_unit_test(extremes),
        cmocka_unit_test(odd_requests), cmocka_unit_test(made_once), cmocka_unit_test(while_it_is_made),
        cmocka_unit_test(silent_nodes), cmocka_unit_test(a_third_one), cmocka_unit_test(log_is_needed), cmocka_unit_test(rate_is_shared),
        cmocka_unit_test(no_room), cmocka_unit_test(ends),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
