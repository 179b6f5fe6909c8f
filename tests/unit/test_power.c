/* The machine loses its power while records, log and data are on their way to the disk: a change that subscribers heard of is there at
 * the next start, in all three, and none of them says what the others do not. */
#include "tests/unit/change_bed.h"
#include "tests/util_folder.h"

#include "builder/source_calls.h"
#include "store/internal.h"
#include "tests/util.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ZONE "example.com."
#define BASE "@ SOA ns hostmaster 1 3600 900 1209600 300\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\n"

/* From the how many-th flush on, how many of them fail; 0: none. */
static struct { unsigned calls, from, n; } flushes;
int fdatasync(int fd)
{
    unsigned call = flushes.from > 0 ? ++flushes.calls : 0;
    if (call > 0 && call >= flushes.from && call < flushes.from + flushes.n) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
static void fail_flushes(unsigned from, unsigned n)
{
    flushes.calls = 0;
    flushes.from = from;
    flushes.n = n;
}

/* The folder as it was when subscribers heard of the newest change, and of the one before. */
static struct { char now[PATH_MAX], before[PATH_MAX]; uint64_t told; bool off; } cut;

static void on_told(void *arg, const struct signed_head *head, struct bytes record)
{
    struct bed *b = arg;
    (void)head, (void)record;
    if (cut.off)
        return;
    remove_tree(cut.before);
    assert_true(rename(cut.now, cut.before) == 0 || cut.told == 0);
    copy_tree(b->dir, cut.now);
    cut.told++;
}
static void cut_begin(void)
{
    memset(&cut, 0, sizeof cut);
    tmp_folder(cut.now);
    tmp_folder(cut.before);
    remove_tree(cut.now);
}
static void cut_end(void)
{
    remove_tree(cut.now);
    remove_tree(cut.before);
}

static void take_old(const char *name)
{
    char from[PATH_MAX + 64], to[PATH_MAX + 64];
    snprintf(from, sizeof from, "%s/%s", cut.before, name);
    snprintf(to, sizeof to, "%s/%s", cut.now, name);
    copy_file(from, to);
}

/* What a reader beside, or one that finds the folder like that, is told (a backup must not take it then). */
static bool lags(const char *dir)
{
    const struct store_options so = { .dir = dir, .mode = STORE_READ };
    const struct recordbook_options ro = { .dir = dir, .read_only = true };
    struct fault fault = { "" };
    struct store *s;
    struct source *source;
    struct source_txn *t;
    bool is = false;
    assert_ok(store_open(&s, &so, &fault), &fault);
    assert_ok(recordbook_open(&source, &ro, &fault), &fault);
    assert_int_equal(source_begin(source, SOURCE_READ, &t, NULL), OK);
    assert_ok(recordbook_lags(t, s, &is, &fault), &fault);
    source_abort(t);
    source_close(source);
    store_close(s);
    return is;
}

/* A core that starts in the folder as it was. */
static void start_there(struct bed *there, const struct bed *b, const char *boot)
{
    *there = (struct bed){ .map = b->map, .records_map = b->records_map, .key = b->key, .boot = boot };
    assert_true(strlen(cut.now) < sizeof there->dir);
    memcpy(there->dir, cut.now, strlen(cut.now) + 1);
    (void)pthread_mutex_init(&there->lock, NULL);
    (void)pthread_cond_init(&there->moved, NULL);
    bed_start_store(there, NULL);
    bed_start_changer(there);
    bed_quiet(there);
    bed_quiet(there);
}

static bool row_has(struct bed *b, const char *owner, uint16_t type, bool disabled, const char *comment)
{
    struct name apex = name_of(ZONE), name = name_of(owner);
    struct source_txn *t;
    struct zone_row zone;
    struct row row;
    assert_int_equal(source_begin(b->source, SOURCE_READ, &t, NULL), OK);
    assert_int_equal(source_zone(t, name_bytes(&apex), &zone), OK);
    bool there = source_row(t, zone.id, name_bytes(&name), type, 0, &row) == OK && row.rr[0].disabled == disabled
              && row.comments_n == (comment != NULL) && (comment == NULL || bytes_equal(row.comments[0].text, bytes_of_text(comment)));
    source_abort(t);
    return there;
}

static uint64_t log_last(struct bed *b)
{
    uint64_t first, last;
    assert_int_equal(log_range(b->store, &first, &last), OK);
    return last;
}

struct state { char line[80]; uint64_t seq; uint32_t serial; };
static void is_there(struct bed *b, const struct state *s, unsigned step, const char *what)
{
    struct bed there;
    if (!lags(cut.now))
        fail_msg("step %u, %s: nobody says that the records lack what the log has", step, what);
    start_there(&there, b, NULL);
    if (!bed_has(&there, ZONE, s->line))
        fail_msg("step %u, %s: %s is not in the zone", step, what, s->line);
    assert_int_equal(log_last(&there), s->seq);
    assert_int_equal(bed_check(&there, ZONE), s->serial);
    if (!row_has(&there, "off.example.com.", TYPE_A, true, "why"))
        fail_msg("step %u, %s: what the zone does not show is gone from the records", step, what);
    assert_int_equal(changer_lag(there.changer).events, 0);
    bed_edit(&there, ZONE, "later 300 A 192.0.2.99\n", NULL);       /* it goes on */
    assert_int_equal(bed_check(&there, ZONE), s->serial + 1);
    bed_end(&there);
    assert_false(lags(cut.now));
}

/* Each file may be what it was when the change before was told: its own commit was on the disk but for the page that points to it. */
static void any_of_them_may_be_behind(void **state)
{
    static const struct { const char *what, *old[3]; } rows[] = {
        { "none has it", { NULL } }, { "records two behind", { "records/data.mdb" } }, { "log two behind", { "log/data.mdb" } },
        { "data two behind", { "data.1/data.mdb" } }, { "all two behind", { "records/data.mdb", "log/data.mdb", "data.1/data.mdb" } },
    };
    struct bed b;
    (void)state;
    cut_begin();
    cut.off = true;
    bed_open_sized(&b, (uint64_t)64 << 20, (uint64_t)64 << 20, on_told);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    struct edit *off = edit_new(ZONE, "off 300 A 192.0.2.7\n", NULL);
    off->disabled = true;
    off->comment = "why";
    edit_run(&b, off);
    assert_int_equal(off->c.result.end, CHANGE_DONE);
    edit_free(off);
    bed_edit(&b, ZONE, "first 300 A 192.0.2.3\n", NULL);
    cut.off = false;
    for (unsigned step = 0; step < 8; step++) {
        struct state s;
        char set[100];
        snprintf(set, sizeof set, "h%u 300 A 192.0.2.%u\n", step % 3, 100 + step);      /* new ones and such that move */
        snprintf(s.line, sizeof s.line, "192.0.2.%u", 100 + step);
        s.seq = bed_edit(&b, ZONE, set, step % 4 == 3 ? "www.example.com. A" : NULL);
        s.serial = bed_check(&b, ZONE);
        for (size_t i = 0; i < ROWS(rows) && step > 0; i++) {
            char keep[PATH_MAX];
            tmp_folder(keep);
            copy_tree(cut.now, keep);
            for (size_t k = 0; k < 3 && rows[i].old[k] != NULL; k++)
                take_old(rows[i].old[k]);
            is_there(&b, &s, step, rows[i].what);
            remove_tree(cut.now);
            copy_tree(keep, cut.now);
            remove_tree(keep);
        }
    }
    assert_int_equal(cut.told, 8);
    cut.off = true;
    bed_close(&b);
    cut_end();
}

/* --- records that cannot be committed behind the log ------------------------------------------------------------------- */
static struct { struct source_calls calls; const struct source_calls *true_calls; unsigned left; } failing;

static enum err failing_begin(struct source *s, enum source_mode mode, struct source_txn **out, struct fault *fault)
{
    enum err err = failing.true_calls->begin(s, mode, out, fault);
    if (err == OK && mode == SOURCE_WRITE_KEPT)
        (*out)->calls = &failing.calls;
    return err;
}
static enum err failing_commit(struct source_txn *t, struct fault *fault)
{
    if (failing.left == 0)
        return failing.true_calls->commit_soft(t, fault);
    failing.left--;
    failing.true_calls->abort(t);
    return fault_set(fault, ERR_STORE, "as the test wants it");
}
static enum err failing_again(struct source *s, struct bytes kept, struct fault *fault)
{
    if (failing.left == 0)
        return failing.true_calls->again(s, kept, fault);
    failing.left--;
    return fault_set(fault, ERR_FULL, "as the test wants it");
}
static void fail_commits(struct bed *b, unsigned n)
{
    bed_quiet(b);
    bed_stall(b);                           /* the writing thread looks there, too */
    failing.true_calls = b->source->calls;
    failing.calls = *failing.true_calls;
    failing.calls.begin = failing_begin;
    failing.calls.commit_soft = failing_commit;
    failing.calls.commit_later = failing_commit;
    failing.calls.again = failing_again;
    failing.left = n;
    b->source->calls = &failing.calls;
    bed_go(b);
}

static void copied_lags(struct bed *b, bool want)
{
    char dir[PATH_MAX];
    tmp_folder(dir);
    copy_tree(b->dir, dir);
    assert_int_equal(lags(dir), want);
    remove_tree(dir);
}

/* The zone has it, the records follow before anything else is written there, once or after some tries. */
static void records_follow_the_log(void **state)
{
    (void)state;
    for (unsigned tries = 1; tries <= 3; tries++) {
        struct bed b;
        struct source_txn *t;
        bed_open(&b);
        bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
        bed_edit(&b, ZONE, "a 300 A 192.0.2.3\n", NULL);
        fail_commits(&b, UINT_MAX);         /* until it was looked at */
        struct edit *e = edit_new(ZONE, "b 300 A 192.0.2.4\n", NULL);
        e->comment = "mine";
        edit_run(&b, e);
        assert_int_equal(e->c.result.end, CHANGE_UNKNOWN);
        edit_free(e);
        assert_true(bed_has(&b, ZONE, "192.0.2.4"));
        assert_int_equal(source_begin(b.source, SOURCE_WRITE, &t, NULL), ERR_STORE);
        copied_lags(&b, true);
        failing.left = tries - 1;
        for (unsigned i = 1; i < tries; i++) {              /* each edit tries it once, and cannot be while that fails */
            struct edit *no = edit_new(ZONE, "c 300 A 192.0.2.5\n", NULL);
            edit_run(&b, no);
            assert_int_equal(no->c.result.end, CHANGE_FAILED);
            assert_int_equal(source_begin(b.source, SOURCE_WRITE, &t, NULL), ERR_STORE);
            edit_free(no);
        }
        bed_edit(&b, ZONE, "d 300 A 192.0.2.6\n", NULL);
        assert_true(row_has(&b, "b.example.com.", TYPE_A, false, "mine"));
        assert_true(!bed_has(&b, ZONE, "192.0.2.5") && bed_has(&b, ZONE, "192.0.2.6"));
        bed_check(&b, ZONE);
        bed_quiet(&b);
        assert_int_equal(changer_lag(b.changer).events, 0);
        copied_lags(&b, false);
        bed_close(&b);
    }
}

/* A group that fails behind its first row goes on in the transaction of one that was told: that one is there, at once and in all three
 * (builder/changer_hold.c). */
static enum err failing_row_put(struct source_txn *t, uint64_t zone, const struct row *row, struct fault *fault)
{
    bool is_meant = name_equal(row->owner, bytes_of("\6broken\7example\3com", 20));
    enum err err = failing.true_calls->row_put(t, zone, row, fault);
    if (is_meant)
        failing.left--;
    return is_meant ? fault_set(fault, ERR_STORE, "as the test wants it") : err;
}

static void held_and_lost(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    bed_quiet(&b);
    bed_stall(&b);
    failing.true_calls = b.source->calls;
    failing.calls = *failing.true_calls;
    failing.calls.begin = failing_begin;
    failing.calls.row_put = failing_row_put;
    failing.left = 1;
    b.source->calls = &failing.calls;
    struct edit *good = edit_new(ZONE, "good 300 A 192.0.2.3\n", NULL), *bad = edit_new(ZONE, "broken 300 A 192.0.2.4\n", NULL);
    bad->c.author.via = VIA_UPDATE;         /* two groups, one right behind the other */
    bed_put(&b, &good->c);
    bed_put(&b, &bad->c);
    bed_go(&b);
    bed_wait(&b);
    assert_int_equal(good->c.result.end, CHANGE_DONE);
    assert_int_equal(bad->c.result.end, CHANGE_FAILED);
    assert_int_equal(failing.left, 0);
    edit_free(good);
    edit_free(bad);
    assert_true(bed_holds(&b, ZONE, "good.example.com.") && !bed_holds(&b, ZONE, "broken.example.com."));
    assert_true(bed_has(&b, ZONE, "192.0.2.3") && !bed_has(&b, ZONE, "192.0.2.4"));
    bed_check(&b, ZONE);
    copied_lags(&b, false);
    bed_edit(&b, ZONE, "later 300 A 192.0.2.5\n", NULL);
    bed_check(&b, ZONE);
    bed_close(&b);
}

/* Bytes of another past, or none at all, are no change of these records. */
static void bytes_that_do_not_follow(void **state)
{
    struct bed b;
    struct source_txn *t;
    struct bytes kept;
    uint8_t copy[4096], far[64] = { 0, 0, 0, 0, 0, 0, 0, 99 };
    (void)state;
    bed_open(&b);
    bed_whole(&b, CHANGE_CREATE, ZONE, BASE, NULL);
    bed_quiet(&b);
    assert_int_equal(source_begin(b.source, SOURCE_WRITE_KEPT, &t, NULL), OK);
    assert_int_equal(source_mark_put(t, &(struct source_mark){ 7, 7 }, NULL), OK);
    assert_int_equal(source_kept(t, &kept), OK);
    assert_true(kept.len < sizeof copy);
    memcpy(copy, kept.ptr, kept.len);
    size_t len = kept.len;
    source_abort(t);
    assert_int_equal(source_again(b.source, bytes_of(far, sizeof far), NULL), ERR_GAP);
    assert_int_equal(source_again(b.source, bytes_of(far, 3), NULL), ERR_BAD);
    for (size_t cutoff = 9; cutoff < len; cutoff++) {
        struct source_mark mark;
        enum err err = source_again(b.source, bytes_of(copy, cutoff), NULL);
        assert_true(err == ERR_BAD || err == OK);           /* OK: between two puts */
        if (err == OK) {
            assert_int_equal(source_begin(b.source, SOURCE_READ, &t, NULL), OK);
            assert_int_equal(source_mark(t, &mark), OK);
            source_abort(t);
            break;
        }
    }
    assert_int_equal(source_begin(b.source, SOURCE_WRITE_KEPT, &t, NULL), OK);         /* it went in, and something newer too */
    struct bytes own;
    assert_int_equal(source_mark_put(t, &(struct source_mark){ 7, 7 }, NULL), OK);
    assert_int_equal(source_kept(t, &own), OK);
    assert_int_equal(source_commit_soft(t, NULL), OK);
    assert_int_equal(source_begin(b.source, SOURCE_WRITE, &t, NULL), OK);
    assert_int_equal(source_mark_put(t, &(struct source_mark){ 8, 8 }, NULL), OK);
    assert_int_equal(source_commit(t, NULL), OK);
    assert_int_equal(source_again(b.source, bytes_of(copy, len), NULL), OK);
    struct source_mark newer;
    assert_int_equal(source_begin(b.source, SOURCE_READ, &t, NULL), OK);
    assert_int_equal(source_mark(t, &newer), OK);
    assert_int_equal(newer.seq, 8);
    source_abort(t);
    bed_close(&b);
}


/* --- the machine stops, and takes back what was not synced ---------------------------------------------------------------- */
#define LARGE "large.example."
#define HOSTS 10
/* What was told to be done, and what a start has to find. */
struct world { struct bed b; struct rnd r; char line[HOSTS][40], comment[40]; unsigned n, large, keys; int last; };

/* A change that goes ahead of the log; some with so much that the file's end is reached soon. */
static void small_edit(struct world *w)
{
    static char set[40000];
    int h = (int)rnd_below(&w->r, HOSTS);
    size_t at = (size_t)snprintf(set, sizeof set, "h%d 300 A 192.0.2.%u\n", h, 1 + ++w->n % 250);
    snprintf(w->line[h], sizeof w->line[h], "h%d.%s 300 IN A 192.0.2.%u", h, ZONE, 1 + w->n % 250);
    for (unsigned k = rnd_below(&w->r, 2) == 0 ? 150 : 0; k > 0; k--)
        at += (size_t)snprintf(set + at, sizeof set - at, "big%u 300 TXT \"%u%0200d\"\n", k % 4, k, (int)w->n);
    struct edit *e = edit_new(ZONE, set, NULL);
    snprintf(w->comment, sizeof w->comment, "n%u", w->n);
    e->comment = w->comment;
    edit_run(&w->b, e);
    if (e->c.result.end != CHANGE_DONE)
        fail_msg("%s", fault_text(&e->c.result.fault, e->c.result.err));
    edit_free(e);
    w->last = h;
}
/* One that cannot: records first, then log and data, each synced. */
static void large_change(struct world *w)
{
    static char text[900000];
    size_t at = (size_t)snprintf(text, sizeof text, BASE "mark%u 300 A 192.0.2.9\n", ++w->large);
    for (unsigned k = 0; k < 2500; k++)
        at += (size_t)snprintf(text + at, sizeof text - at, "t%u 300 TXT \"%0150d\"\n", k, (int)w->large);
    bed_whole(&w->b, w->large == 1 ? CHANGE_CREATE : CHANGE_WHOLE, LARGE, text, NULL);
}
static void key_put(struct world *w)
{
    struct source_txn *t;
    char name[24];
    snprintf(name, sizeof name, "k%u.", ++w->keys);
    struct tsig_key_row k = { .name = name_of(name), .algorithm = bytes_of_text("hmac-sha256"), .secret = bytes_of_text("secret") };
    assert_int_equal(source_begin(w->b.source, SOURCE_WRITE, &t, NULL), OK);
    assert_int_equal(source_tsig_put(t, &k, NULL), OK);
    assert_int_equal(source_commit(t, NULL), OK);
}
/* Any of the three may have reached the disk without the others; what went ahead is needed until all have. */
static void settle_some(struct world *w)
{
    struct fault fault = { "" };
    uint64_t seq;
    bed_stall(&w->b);
    switch (rnd_below(&w->r, 6)) {
    case 0: case 1: assert_ok(source_settle(w->b.source, &fault), &fault); break;
    case 2: assert_int_equal(env_settle(w->b.store->log), 0); break;
    case 3: assert_int_equal(env_settle(atomic_load(&w->b.store->gen)->env), 0); break;
    case 4: assert_ok(commit_raise_epoch(w->b.committer, 0, &seq, &fault), &fault); break;
    default:
        assert_ok(source_settle(w->b.source, &fault), &fault);
        assert_ok(commit_checkpoint(w->b.committer, &fault), &fault);
    }
    bed_go(&w->b);
}

static void all_is_there(struct world *w, struct bed *there, uint64_t last, const char *what)
{
    struct source_figures f;
    for (int h = 0; h < HOSTS; h++)
        if (w->line[h][0] != '\0' && !bed_has(there, ZONE, w->line[h]))
            fail_msg("%s: '%s' is not in the zone:\n%s", what, w->line[h], bed_text(there, ZONE));
    if (log_last(there) != last)
        fail_msg("%s: the log ends at %d, not at %d", what, (int)log_last(there), (int)last);
    (void)bed_check(there, ZONE);
    if (w->large > 0) {
        char name[40];
        snprintf(name, sizeof name, "mark%u." LARGE, w->large);
        (void)bed_check(there, LARGE);
        assert_true(bed_holds(there, LARGE, name));
    }
    assert_int_equal(source_figures(there->source, &f), OK);
    assert_int_equal(f.keys, w->keys);
    if (w->last >= 0) {
        char owner[40];
        snprintf(owner, sizeof owner, "h%d." ZONE, w->last);
        if (!row_has(there, owner, TYPE_A, false, w->comment))
            fail_msg("%s: the records lack the comment '%s'", what, w->comment);
    }
}

/* Whole zones of the outbox are built in a thread of their own. */
static void level(struct bed *there)
{
    while (changer_lag(there->changer).events > 0) {
        bed_quiet(there);
        (void)usleep(1000);
    }
}

static void starts_again(struct world *w, bool killed, const char *what)
{
    struct bed there;
    uint64_t last = log_last(&w->b);
    char copy[PATH_MAX];
    tmp_folder(copy);
    copy_tree(cut.now, copy);
    start_there(&there, &w->b, killed ? "one" : "two");
    level(&there);
    all_is_there(w, &there, last, what);
    last = bed_edit(&there, ZONE, "later 300 A 192.0.2.99\n", NULL);        /* it goes on, and the machine stops again */
    bed_quiet(&there);
    remove_tree(copy);
    tmp_folder(copy);
    copy_tree(cut.now, copy);
    bed_end(&there);
    remove_tree(cut.now);
    assert_int_equal(rename(copy, cut.now), 0);
    start_there(&there, &w->b, "three");
    level(&there);
    all_is_there(w, &there, last, what);
    assert_true(bed_has(&there, ZONE, "192.0.2.99"));
    bed_end(&there);
}

static void nothing_told_is_lost(void **state)
{
    struct world w;
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        w = (struct world){ .r = rnd_seed(seed), .last = -1 };
        cut_begin();
        cut.off = true;
        bed_open_on(&w.b, "one", (uint64_t)256 << 20, (uint64_t)256 << 20, on_told);
        bed_whole(&w.b, CHANGE_CREATE, ZONE, BASE, NULL);
        for (unsigned step = 0; step < 50; step++) {
            char what[80];
            bool look = rnd_below(&w.r, 4) == 0, early = rnd_below(&w.r, 2) == 0, killed = rnd_below(&w.r, 4) == 0;
            unsigned kind = rnd_below(&w.r, 16);
            snprintf(what, sizeof what, "seed %d, step %u, kind %u, %s, %s", (int)seed, step, kind, early ? "when told" : "when answered",
                     killed ? "killed" : "the machine stops");
            bed_quiet(&w.b);
            cut.told = 0;
            cut.off = !look || !early;
            if (kind == 0)
                large_change(&w);
            else if (kind == 1)
                key_put(&w);
            else if (kind < 5)
                settle_some(&w);
            else
                small_edit(&w);
            if (rnd_below(&w.r, 2) == 0)
                bed_quiet(&w.b);        /* with the jobs behind it */
            if (!look)
                continue;
            if (cut.told == 0) {
                bed_stall(&w.b);        /* nobody writes while it is copied */
                remove_tree(cut.now);
                copy_tree(w.b.dir, cut.now);
                bed_go(&w.b);
            }
            cut.off = true;
            starts_again(&w, killed, what);
        }
        bed_close(&w.b);
        cut_end();
    }
}

/* --- flushes that fail ----------------------------------------------------------------------------------------------------- */
static void copy_now(struct world *w)
{
    bed_stall(&w->b);
    remove_tree(cut.now);
    copy_tree(w->b.dir, cut.now);
    bed_go(&w->b);
}
static void world_open(struct world *w, uint64_t seed)
{
    *w = (struct world){ .r = rnd_seed(seed), .last = -1 };
    cut_begin();
    cut.off = true;
    bed_open_on(&w->b, "one", (uint64_t)256 << 20, (uint64_t)256 << 20, on_told);
    bed_whole(&w->b, CHANGE_CREATE, ZONE, BASE, NULL);
    for (unsigned i = 0; i < 5; i++)
        small_edit(w);
    bed_quiet(&w->b);
}
static void world_close(struct world *w)
{
    bed_close(&w->b);
    cut_end();
}

/* Nobody asks for a checkpoint, but it comes before the file is full; then what the frames do not have any more is on the disk. */
static void a_checkpoint_comes_in_time(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 1);
    assert_false(w.b.store->ahead.done);
    for (unsigned i = 0; i < 200 && !w.b.store->ahead.done; i++) {
        small_edit(&w);
        bed_quiet(&w.b);
    }
    assert_true(w.b.store->ahead.done);
    small_edit(&w);
    assert_int_equal(w.b.store->ahead.n, 1);
    copy_now(&w);
    starts_again(&w, false, "behind a checkpoint");
    world_close(&w);
}

/* Whichever of a checkpoint's flushes it is: the next start has all, in this boot of the machine and in another. */
static void a_checkpoint_that_fails(void **state)
{
    bool failed = true;
    (void)state;
    for (unsigned call = 1; failed; call++) {
        struct world w;
        char what[40];
        world_open(&w, call);
        bed_stall(&w.b);
        fail_flushes(call, 1);
        failed = source_settle(w.b.source, NULL) != OK || commit_checkpoint(w.b.committer, NULL) != OK;
        fail_flushes(0, 0);
        bed_go(&w.b);
        assert_true(failed || call > 6);            /* two flushes each */
        for (unsigned killed = 0; killed < 2; killed++) {
            snprintf(what, sizeof what, "flush %u, %s", call, killed == 1 ? "killed" : "the machine stops");
            copy_now(&w);
            starts_again(&w, killed == 1, what);
        }
        world_close(&w);
    }
}

/* The frame is taken back, or it is not known: then it comes true everywhere, or nowhere. */
static void a_frame_that_fails(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 4; n++) {
        struct world w;
        world_open(&w, n);
        struct edit *e = edit_new(ZONE, "lost 300 A 192.0.2.77\n", NULL);
        fail_flushes(1, n);
        edit_run(&w.b, e);
        enum change_end end = e->c.result.end;
        edit_free(e);
        assert_int_equal(end, CHANGE_UNKNOWN);
        fail_flushes(0, 0);
        copy_now(&w);
        small_edit(&w);                             /* it goes on, without it */
        assert_false(bed_has(&w.b, ZONE, "192.0.2.77"));
        copy_now(&w);
        starts_again(&w, n % 2 == 0, "behind a frame that failed");
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_of_them_may_be_behind), cmocka_unit_test(nothing_told_is_lost), cmocka_unit_test(a_checkpoint_comes_in_time),
        cmocka_unit_test(a_checkpoint_that_fails),
        cmocka_unit_test(a_frame_that_fails), cmocka_unit_test(records_follow_the_log), cmocka_unit_test(held_and_lost), cmocka_unit_test(bytes_that_do_not_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
