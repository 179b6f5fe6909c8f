/* Ahead of the log: what is safe there comes into the log, whole, whatever of log and file the crash of a machine left. */
#include "store/internal.h"
#include "tests/util_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static struct tmp_store t;

static struct log_txn *begin(uint64_t seq, const char *text)
{
    struct log_txn *l;
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, seq, bytes_of_text(text), &t.fault), &t.fault);
    assert_ok(lognote_reach_put(l, 1, true, &t.fault), &t.fault);
    assert_ok(lognote_put(l, bytes_of_text("group"), 1, seq, bytes_of_text(text), &t.fault), &t.fault);
    return l;
}
static void ahead(struct log_txn *l, const char *extra) { assert_ok(log_ahead(l, bytes_of_text(extra), &t.fault), &t.fault); }
static void add(uint64_t seq, const char *text, const char *extra)
{
    struct log_txn *l = begin(seq, text);
    ahead(l, extra);
    assert_ok(log_commit(l, &t.fault), &t.fault);
}

/* "seq text, ..." of records, "+" and the notes' texts. */
static const char *listing(struct store *s)
{
    static char text[4096];
    uint8_t buf[2000];
    struct log_reader *r;
    struct bytes got;
    struct lognote note = { .seq = 0 };
    uint64_t first, last;
    size_t at = 0;
    assert_ok(log_reader_open(s, &r, NULL), NULL);
    assert_ok(log_reader_begin(r), NULL);
    assert_ok(log_reader_range(r, &first, &last), NULL);
    text[0] = '\0';
    for (uint64_t seq = first; seq <= last && seq > 0; seq++) {
        assert_ok(log_reader_get(r, seq, buf, sizeof buf, &got, NULL), NULL);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d %.*s", at > 0 ? ", " : "", (int)seq, (int)got.len, (const char *)got.ptr);
    }
    for (uint64_t seq = 0; lognote_next(r, bytes_of_text("group"), seq, 0, &note) == OK; seq = note.seq + 1)
        at += (size_t)snprintf(text + at, sizeof text - at, " +%.*s", (int)note.front.len, (const char *)note.front.ptr);
    log_reader_end(r);
    log_reader_close(r);
    return text;
}
static enum err take_extra(void *arg, struct bytes extra, struct fault *fault)
{
    char *text = arg;
    (void)fault;
    snprintf(text + strlen(text), 4096 - strlen(text), "%s%.*s", text[0] != '\0' ? " " : "", (int)extra.len, (const char *)extra.ptr);
    return OK;
}
static const char *extras(struct store *s)
{
    static char text[4096];
    text[0] = '\0';
    enum err err = log_extras(s, take_extra, text, NULL);
    if (err == ERR_NOTNOW)
        return "?";
    assert_int_equal(err, OK);
    return text;
}

/* The folder as a crash of the machine right now could leave it, where the log's own file is as it was at `older` (NULL: as it is). */
static struct store *after_a_crash(char dir[PATH_MAX], const char *older)
{
    char from[PATH_MAX + 16], to[PATH_MAX + 16];
    struct store_options o = t.options;
    struct store *s;
    tmp_folder(dir);
    copy_tree(t.dir, dir);
    if (older != NULL) {
        snprintf(from, sizeof from, "%s/log/data.mdb", older);
        snprintf(to, sizeof to, "%s/log/data.mdb", dir);
        copy_file(from, to);
    }
    o.dir = dir;
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    return s;
}
static void gone(struct store *s, const char *dir)
{
    store_close(s);
    remove_tree(dir);
}

static void safe_before_the_log_has_it(void **state)
{
    char dir[PATH_MAX];
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "");
    struct log_txn *l = begin(2, "two");
    ahead(l, "extra");
    struct store *s = after_a_crash(dir, NULL);
    assert_string_equal(listing(s), "1 one, 2 two +one +two");
    assert_string_equal(extras(s), "extra");
    gone(s, dir);
    s = after_a_crash(dir, NULL);           /* the same again: it changes nothing that it comes twice */
    store_close(s);
    struct store_options o = t.options;
    o.dir = dir;
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    assert_string_equal(listing(s), "1 one, 2 two +one +two");
    gone(s, dir);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_string_equal(listing(t.s), "1 one, 2 two +one +two");
    tmp_store_close(&t);
}

/* The log's file may be what it was at any commit before: all that went ahead comes back, and all extras are there, in order. */
static void any_number_of_commits_behind(void **state)
{
    enum { STEPS = 6 };
    char older[STEPS][PATH_MAX], dir[PATH_MAX];
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    for (uint64_t seq = 1; seq <= STEPS; seq++) {
        char text[8], with[8];
        tmp_folder(older[seq - 1]);
        copy_tree(t.dir, older[seq - 1]);
        snprintf(text, sizeof text, "r%d", (int)seq);
        snprintf(with, sizeof with, "x%d", (int)seq);
        add(seq, text, seq % 3 == 0 ? "" : with);
    }
    for (size_t i = 0; i < STEPS; i++) {
        struct store *s = after_a_crash(dir, older[i]);
        assert_string_equal(listing(s), "1 r1, 2 r2, 3 r3, 4 r4, 5 r5, 6 r6 +r1 +r2 +r3 +r4 +r5 +r6");
        assert_string_equal(extras(s), "x1 x2 x4 x5");
        gone(s, dir);
        remove_tree(older[i]);
    }
    tmp_store_close(&t);
}

/* --- rounds of the file ------------------------------------------------------------------------------------------------- */
/* What the log must have: for each seq, who made it; and the extras since the newest checkpoint. */
struct model { uint64_t id[4000], last, next_id; char extras[4096]; };
struct older { char path[PATH_MAX + 32]; } older[300];
static size_t older_n;                  /* states that the log's file may go back to: since the newest synced one */

static void older_add(void)
{
    char from[PATH_MAX + 16];
    assert_true(older_n < ROWS(older));
    snprintf(from, sizeof from, "%s/log/data.mdb", t.dir);
    snprintf(older[older_n].path, sizeof older[0].path, "%s-old.%zu", t.dir, older_n);
    copy_file(from, older[older_n++].path);
}
static void older_drop(void)
{
    for (size_t i = 0; i < older_n; i++)
        assert_int_equal(unlink(older[i].path), 0);
    older_n = 0;
}

static struct log_txn *append(struct model *m, struct rnd *r, size_t most)
{
    static uint8_t record[200000];
    struct log_txn *l;
    size_t len = 8 + rnd_below(r, (uint32_t)most);
    struct wr w = wr_over(record, 8);
    wr_u64(&w, ++m->next_id);
    memset(record + 8, (int)m->next_id, len - 8);
    m->id[++m->last] = m->next_id;
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, m->last, bytes_of(record, len), &t.fault), &t.fault);
    return l;
}
static void checkpoint(struct model *m)
{
    assert_ok(store_settle(t.s, &t.fault), &t.fault);
    log_ahead_anew(t.s);
    m->extras[0] = '\0';
    older_drop();
}
static void step_ahead(struct model *m, struct rnd *r)
{
    char with[24] = "";
    struct log_txn *l = append(m, r, rnd_below(r, 3) == 0 ? 190000 : 9000);
    if (rnd_below(r, 3) > 0)
        snprintf(with, sizeof with, "x%d", (int)m->next_id);
    older_add();
    enum err err = log_ahead(l, bytes_of_text(with), &t.fault);
    assert_true(err == OK || err == ERR_LIMIT);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    if (err == ERR_LIMIT)
        older_drop();
    else
        snprintf(m->extras + strlen(m->extras), sizeof m->extras - strlen(m->extras), "%s%s", m->extras[0] != '\0' && with[0] != '\0' ? " " : "", with);
}
static void step_cut(struct model *m, struct rnd *r)
{
    struct log_txn *l = append(m, r, 5000);
    char with[24];
    snprintf(with, sizeof with, "x%d", (int)m->next_id);
    bool is_ahead = rnd_below(r, 2) == 0 && log_ahead(l, bytes_of_text(with), &t.fault) == OK;
    (void)is_ahead;
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_cut(l, --m->last, &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    older_drop();
}
static void step(struct model *m, struct rnd *r)
{
    switch (rnd_below(r, 16)) {
    case 0: assert_ok(log_commit(append(m, r, 20000), &t.fault), &t.fault); older_drop(); break;
    case 1: step_cut(m, r); break;
    case 2: tmp_store_reopen(&t); break;            /* as behind a kill: the kernel has all */
    case 3: checkpoint(m); break;
    default: step_ahead(m, r);
    }
    if (log_ahead_filled(t.s) && rnd_below(r, 2) == 0)
        checkpoint(m);
}
static void has_all(struct store *s, const struct model *m, uint64_t seed, unsigned at)
{
    static uint8_t buf[200000];
    struct log_reader *r;
    struct bytes got;
    uint64_t first, last;
    size_t want = strlen(m->extras);
    const char *is = extras(s);
    if (strlen(is) < want || strcmp(is + strlen(is) - want, m->extras) != 0)
        fail_msg("seed %d, step %u: extras are '%s', want '%s'", (int)seed, at, is, m->extras);
    assert_ok(log_reader_open(s, &r, NULL), NULL);
    assert_ok(log_reader_begin(r), NULL);
    assert_ok(log_reader_range(r, &first, &last), NULL);
    if (last != m->last)
        fail_msg("seed %d, step %u: the log ends at %d, not at %d", (int)seed, at, (int)last, (int)m->last);
    for (uint64_t seq = 1; seq <= last; seq++) {
        assert_ok(log_reader_get(r, seq, buf, sizeof buf, &got, NULL), NULL);
        struct rd in = rd_over(got);
        if (rd_u64(&in) != m->id[seq])
            fail_msg("seed %d, step %u: %d is another record", (int)seed, at, (int)seq);
    }
    log_reader_end(r);
    log_reader_close(r);
}

static void rounds(void **state)
{
    static struct model m;
    struct older now;
    char dir[PATH_MAX], to[PATH_MAX + 16];
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rnd r = rnd_seed(seed);
        m = (struct model){ .last = 0 };
        tmp_store_open(&t, STORE_CORE);
        for (unsigned at = 0; at < 100; at++) {
            step(&m, &r);
            if (rnd_below(&r, 4) > 0)
                continue;
            older_add();                /* as it is */
            now = older[rnd_below(&r, (uint32_t)older_n)];
            tmp_folder(dir);
            copy_tree(t.dir, dir);
            snprintf(to, sizeof to, "%s/log/data.mdb", dir);
            copy_file(now.path, to);
            struct store_options o = t.options;
            struct store *s;
            o.dir = dir;
            assert_ok(store_open(&s, &o, &t.fault), &t.fault);
            has_all(s, &m, seed, at);
            gone(s, dir);
        }
        older_drop();
        tmp_store_close(&t);
    }
}

/* It is full: one says so in time, all goes on without it, and then with it again. */
static void a_full_file(void **state)
{
    struct rnd r = rnd_seed(7);
    static struct model m;
    struct log_txn *l;
    unsigned told = 0, went = 0;
    (void)state;
    m = (struct model){ .last = 0 };
    tmp_store_open(&t, STORE_CORE);
    assert_false(log_ahead_filled(t.s));
    for (;; went++) {
        told += log_ahead_filled(t.s);
        l = append(&m, &r, 190000);
        enum err err = log_ahead(l, (struct bytes){ 0 }, &t.fault);
        assert_ok(log_commit(l, &t.fault), &t.fault);
        if (err == ERR_LIMIT)
            break;
        assert_int_equal(err, OK);
    }
    assert_true(told > 3 && told < went);
    checkpoint(&m);
    assert_false(log_ahead_filled(t.s));
    l = append(&m, &r, 190000);
    assert_ok(log_ahead(l, bytes_of_text("new"), &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_string_equal(extras(t.s), "new");
    tmp_store_close(&t);
}

/* Any byte of the file: all of the transaction, or nothing of it. */
static void torn_files(void **state)
{
    static const struct { const char *why; long at; long size; } rows[] = {
        { "the magic", 0, -1 }, { "the version", 7, -1 }, { "the number", 15, -1 }, { "the length", 23, -1 }, { "a huge length", 16, -1 },
        { "the hash", 40, -1 }, { "the first record", 70, -1 }, { "the note", 110, -1 }, { "a file that ends here", -1, 0 },
        { "half a head", -1, 30 }, { "half a body", -1, 90 },
    };
    char dir[PATH_MAX], file[PATH_MAX + 16];
    struct store_options o;
    struct store *s;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "");
    struct log_txn *l = begin(2, "two");
    long frame = (long)t.s->ahead.end;
    ahead(l, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tmp_folder(dir);
        copy_tree(t.dir, dir);
        snprintf(file, sizeof file, "%s/log/ahead", dir);
        int fd = open(file, O_RDWR | O_CLOEXEC);
        uint8_t byte;
        assert_true(fd >= 0);
        if (rows[i].size >= 0)
            assert_int_equal(ftruncate(fd, frame + rows[i].size), 0);
        if (rows[i].at >= 0) {
            assert_int_equal(pread(fd, &byte, 1, frame + rows[i].at), 1);
            byte ^= 0x40;
            assert_int_equal(pwrite(fd, &byte, 1, frame + rows[i].at), 1);
        }
        close(fd);
        o = t.options;
        o.dir = dir;
        assert_ok(store_open(&s, &o, &t.fault), &t.fault);
        if (strcmp(listing(s), "1 one +one") != 0)
            fail_msg("%s is damaged: %s", rows[i].why, listing(s));
        gone(s, dir);
    }
    log_abort(l);
    tmp_store_close(&t);
}

/* What the log took back, or what is another log's, does not come again. */
static void what_is_gone_stays_gone(void **state)
{
    char dir[PATH_MAX];
    struct log_txn *l;
    struct store *s;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "x1");
    add(2, "two", "x2");
    add(3, "three", "x3");
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_cut(l, 2, &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    s = after_a_crash(dir, NULL);
    assert_string_equal(listing(s), "1 one, 2 two +one +two");
    assert_string_equal(extras(s), "x1 x2");                /* the cut was not about those */
    gone(s, dir);
    add(3, "other", "x4");
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_clear(l, &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    s = after_a_crash(dir, NULL);
    assert_string_equal(extras(s), "");
    assert_true(strstr(listing(s), "3 other") == NULL);
    gone(s, dir);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, 10, bytes_of_text("ten"), &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    l = begin(11, "eleven");
    ahead(l, "");
    log_abort(l);                                           /* it is true, whatever becomes of the transaction */
    assert_int_equal(log_extras(t.s, take_extra, dir, NULL), ERR_NOTNOW);
    assert_ok(log_settle(t.s, &t.fault), &t.fault);
    assert_non_null(strstr(listing(t.s), "11 eleven"));
    tmp_store_close(&t);
}

/* A frame is taken back, and another stands in its place that ends where it ended: what stood behind it does not come back. */
static void nothing_behind_a_new_frame(void **state)
{
    char dir[PATH_MAX];
    struct log_txn *l;
    (void)state;
    for (unsigned anew = 0; anew < 2; anew++) {
        tmp_store_open(&t, STORE_CORE);
        add(1, "a", "x1");
        add(2, "b", "x2");
        add(3, "c", "x3");
        if (anew == 1) {
            assert_ok(store_settle(t.s, &t.fault), &t.fault);
            log_ahead_anew(t.s);
        } else {
            assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
            assert_ok(log_cut(l, 0, &t.fault), &t.fault);
            assert_ok(log_commit(l, &t.fault), &t.fault);
        }
        add(anew == 1 ? 4 : 1, "a", "x1");                  /* the very same as before, but for its number */
        struct store *s = after_a_crash(dir, NULL);
        assert_string_equal(extras(s), "x1");
        gone(s, dir);
        tmp_store_close(&t);
    }
}

static void what_cannot_go_ahead(void **state)
{
    static uint8_t large[3 << 20];
    struct log_txn *l;
    bool left;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "");
    add(2, "two", "");
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);      /* too large: as ever */
    assert_ok(log_append(l, 3, bytes_of(large, sizeof large), &t.fault), &t.fault);
    assert_int_equal(log_ahead(l, (struct bytes){ 0 }, &t.fault), ERR_LIMIT);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);      /* its extra is */
    assert_ok(log_append(l, 4, bytes_of_text("four"), &t.fault), &t.fault);
    assert_int_equal(log_ahead(l, bytes_of(large, sizeof large), &t.fault), ERR_LIMIT);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);      /* takes something away */
    assert_ok(log_append(l, 5, bytes_of_text("five"), &t.fault), &t.fault);
    assert_ok(log_trim(l, 2, 10, &left, &t.fault), &t.fault);
    assert_int_equal(log_ahead(l, (struct bytes){ 0 }, &t.fault), ERR_LIMIT);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    tmp_store_close(&t);
    tmp_store_open(&t, STORE_EDGE);                         /* an edge's log is not worth it */
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, 1, bytes_of_text("one"), &t.fault), &t.fault);
    assert_int_equal(log_ahead(l, (struct bytes){ 0 }, &t.fault), ERR_LIMIT);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    tmp_store_close(&t);
}

/* The file cannot be written: nothing happened, and it goes on when it can. */
static void a_file_that_fails(void **state)
{
    struct rlimit old, small;
    static char large[200000];
    struct log_txn *l;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){ 100000, old.rlim_max };
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    memset(large, 'a', sizeof large - 1);
    assert_ok(log_append(l, 2, bytes_of_text(large), &t.fault), &t.fault);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err err = log_ahead(l, (struct bytes){ 0 }, &t.fault);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(err != OK && err != ERR_LIMIT);
    assert_non_null(strstr(t.fault.text, "log/ahead"));
    log_abort(l);
    assert_ok(log_settle(t.s, &t.fault), &t.fault);
    add(2, "two", "");
    tmp_store_reopen(&t);
    assert_string_equal(listing(t.s), "1 one, 2 two +one +two");
    tmp_store_close(&t);
}

/* Neither written nor emptied: the disk may have it although it does not read. Nothing goes on before it is emptied; then another of
 * the same seq comes, and the machine stops: nothing of the first may be in the file. */
static void a_file_that_cannot_be_emptied(void **state)
{
    char path[PATH_MAX + 16], dir[PATH_MAX];
    struct log_txn *l;
    (void)state;
    for (unsigned reads = 0; reads < 2; reads++) {          /* reads: the kernel has it, and says that the disk has not */
        tmp_store_open(&t, STORE_CORE);
        add(1, "one", "x1");
        add(2, "two", "x2");
        snprintf(path, sizeof path, "%s/log/ahead", t.dir);
        int good = t.s->ahead.fd, bad = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(bad >= 0);
        if (reads == 1) {
            struct ahead before = t.s->ahead;
            l = begin(3, "lost");
            ahead(l, "x3");
            l->is_ahead = false;
            log_abort(l);
            t.s->ahead.n = before.n;
            t.s->ahead.end = before.end;
            t.s->ahead.number = before.number;
        }
        t.s->ahead.fd = bad;
        l = begin(3, "lost");
        enum err err = log_ahead(l, bytes_of_text("x3"), &t.fault);
        assert_true(err != OK && err != ERR_LIMIT && err != ERR_FULL);
        log_abort(l);
        assert_int_not_equal(log_settle(t.s, &t.fault), OK);        /* not before it is emptied */
        assert_string_equal(extras(t.s), "?");
        l = begin(3, "no");
        assert_int_equal(log_ahead(l, (struct bytes){ 0 }, &t.fault), ERR_STORE);
        log_abort(l);
        log_ahead_anew(t.s);                                /* nor is anything over */
        assert_false(t.s->ahead.done);
        t.s->ahead.fd = good;
        close(bad);
        assert_ok(log_settle(t.s, &t.fault), &t.fault);
        assert_string_equal(extras(t.s), "x1 x2");
        add(3, "three", "");
        struct store *s = after_a_crash(dir, NULL);
        assert_string_equal(listing(s), "1 one, 2 two, 3 three +one +two +three");
        gone(s, dir);
        tmp_store_close(&t);
    }
}

static uint64_t reach(struct store *s)
{
    struct log_reader *r;
    uint64_t seq = 0;
    assert_ok(log_reader_open(s, &r, NULL), NULL);
    assert_ok(log_reader_begin(r), NULL);
    assert_ok(lognote_reach(r, &seq), NULL);
    log_reader_end(r);
    log_reader_close(r);
    return seq;
}

/* The first of all takes the notes' reach with it; one behind a hole is of another log, and the store opens without it. */
static void first_and_foreign(void **state)
{
    char dir[PATH_MAX], log[PATH_MAX];
    struct log_txn *l;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    tmp_folder(log);
    l = begin(1, "one");
    ahead(l, "");
    struct store *s = after_a_crash(dir, NULL);
    assert_string_equal(listing(s), "1 one +one");
    assert_int_equal(reach(s), 1);
    gone(s, dir);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    copy_tree(t.dir, log);                                  /* another log: it ends where files of this one do not begin */
    for (uint64_t seq = 2; seq <= 5; seq++) {
        add(seq, "more", "");
        if (seq == 3) {
            assert_ok(store_settle(t.s, &t.fault), &t.fault);
            log_ahead_anew(t.s);
        }
    }
    s = after_a_crash(dir, log);
    assert_string_equal(listing(s), "1 one +one");
    assert_int_equal(s->ahead.n, 0);
    gone(s, dir);
    remove_tree(log);
    tmp_store_close(&t);
}

/* Somebody who reads beside has the same extras, also while one is being written. */
static void extras_for_a_reader(void **state)
{
    struct store_options o;
    struct store *s;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    add(1, "one", "x1");
    add(2, "two", "");
    add(3, "three", "x3");
    char dir[PATH_MAX], path[PATH_MAX + 16];
    tmp_folder(dir);
    copy_tree(t.dir, dir);
    o = (struct store_options){ .dir = dir, .mode = STORE_READ };
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    assert_string_equal(extras(s), "x1 x3");
    snprintf(path, sizeof path, "%s/log/ahead", dir);       /* the next is on its way there */
    assert_int_equal(truncate(path, 2 * 4096 + 70), 0);
    assert_string_equal(extras(s), "x1");
    gone(s, dir);
    tmp_store_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_before_the_log_has_it), cmocka_unit_test(any_number_of_commits_behind), cmocka_unit_test(rounds),
        cmocka_unit_test(a_full_file), cmocka_unit_test(torn_files), cmocka_unit_test(what_is_gone_stays_gone),
        cmocka_unit_test(nothing_behind_a_new_frame), cmocka_unit_test(what_cannot_go_ahead), cmocka_unit_test(a_file_that_fails),
        cmocka_unit_test(a_file_that_cannot_be_emptied), cmocka_unit_test(extras_for_a_reader), cmocka_unit_test(first_and_foreign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
