/* The log: chunks, holes, cuts, and what happens to it after a crash of the machine. */
#include "store/internal.h"
#include "tests/util_store.h"

#include <sys/wait.h>

static struct tmp_store t;

static int setup(void **state)
{
    (void)state;
    tmp_store_open(&t, STORE_EDGE);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tmp_store_close(&t);
    return 0;
}

/* The record with this seq: len bytes that depend on seq and place; owned by caller. */
static struct bytes record_make(uint64_t seq, size_t len)
{
    uint8_t *p = malloc(len > 0 ? len : 1);
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(seq * 31 + i * 7 + i / 1900);
    return bytes_of(p, len);
}

static struct log_txn *begin(void)
{
    struct log_txn *l;
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    return l;
}
static void append(struct log_txn *l, uint64_t seq, size_t len)
{
    struct bytes r = record_make(seq, len);
    assert_ok(log_append(l, seq, r, &t.fault), &t.fault);
    bytes_free(r);
}
static void fill(uint64_t from, uint64_t to)
{
    struct log_txn *l = begin();
    for (uint64_t seq = from; seq <= to; seq++)
        append(l, seq, 100);
    assert_ok(log_commit(l, &t.fault), &t.fault);
}
static void want_range(uint64_t first, uint64_t last)
{
    uint64_t a, b;
    assert_ok(log_range(t.s, &a, &b), NULL);
    if (a != first || b != last)
        fail_msg("log has %llu..%llu, want %llu..%llu", (unsigned long long)a, (unsigned long long)b,
                 (unsigned long long)first,
                 (unsigned long long)last);
}

static void want_record(struct log_reader *r, uint64_t seq, size_t len)
{
    uint8_t *buf = malloc(len > 0 ? len : 1);
    struct bytes got, want = record_make(seq, len);
    size_t need = 99;
    assert_ok(log_reader_get(r, seq, buf, len, &got, &need), NULL);
    assert_int_equal(need, len);
    if (!bytes_equal(got, want))
        fail_msg("a record of %zu bytes comes back different", len);
    if (len > 0) {
        assert_int_equal(log_reader_get(r, seq, buf, len - 1, &got, &need), ERR_NOSPACE);
        assert_int_equal(need, len);
    }
    bytes_free(want);
    free(buf);
}

static void lengths(void **state)
{
    static const size_t lens[] = { 0, 1, 1895, 1896, 1897, 3795, 3796, 3797, 65536, (1 << 20) + 8192 };
    struct log_reader *r;
    uint64_t first, last;
    (void)state;
    struct log_txn *l = begin();
    for (size_t i = 0; i < ROWS(lens); i++)
        append(l, i + 1, lens[i]);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_ok(log_reader_open(t.s, &r, &t.fault), &t.fault);
    for (int again = 0; again < 2; again++) {       /* the second time with a renewed cursor */
        uint8_t one;
        struct bytes got;
        assert_ok(log_reader_begin(r), NULL);
        assert_ok(log_reader_range(r, &first, &last), NULL);
        assert_int_equal(first, 1);
        assert_int_equal(last, ROWS(lens));
        for (size_t i = ROWS(lens); i-- > 0;)
            want_record(r, i + 1, lens[i]);
        assert_int_equal(log_reader_get(r, 0, &one, 1, &got, NULL), ERR_NOTFOUND);
        assert_int_equal(log_reader_get(r, ROWS(lens) + 1, &one, 1, &got, NULL), ERR_NOTFOUND);
        log_reader_end(r);
    }
    log_reader_close(r);
    log_reader_close(NULL);
}

static void no_holes(void **state)
{
    static const struct { const char *why; uint64_t seq; enum err want; } rows[] = {
        { "an empty log begins anywhere", 1000, OK }, { "the next", 1001, OK }, { "the same again", 1001, ERR_GAP },
        { "one left out", 1003, ERR_GAP }, { "an older one", 1000, ERR_GAP }, { "zero", 0, ERR_GAP },
        { "the next, after refusals", 1002, OK },
    };
    struct bytes r = record_make(1, 10);
    (void)state;
    struct log_txn *l = begin();
    for (size_t i = 0; i < ROWS(rows); i++) {
        enum err got = log_append(l, rows[i].seq, r, &t.fault);
        if (got != rows[i].want)
            fail_msg("%s: got '%s'", rows[i].why, err_text(got));
    }
    assert_ok(log_commit(l, &t.fault), &t.fault);
    want_range(1000, 1002);
    l = begin();
    assert_int_equal(log_append(l, 1004, r, &t.fault), ERR_GAP);      /* the next transaction knows the end too */
    struct bytes large = bytes_of(r.ptr, (size_t)1900 * 65536);       /* refused before it is looked at */
    assert_int_equal(log_append(l, 1003, large, &t.fault), ERR_LIMIT);
    log_abort(l);
    log_abort(NULL);
    bytes_free(r);
}

static void cuts(void **state)
{
    static const struct { const char *why; uint64_t cut, first, last; } rows[] = {
        { "behind the end: nothing", 25, 11, 20 }, { "the end itself", 20, 11, 20 }, { "the last", 19, 11, 19 },
        { "down to the first", 11, 11, 11 }, { "before the first: all", 10, 0, 0 }, { "far before", 3, 0,
                                                                                     0 }, { "emptied", 0, 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct log_txn *l = begin();
        assert_ok(log_cut(l, 0, &t.fault), &t.fault);
        for (uint64_t seq = 11; seq <= 20; seq++)
            append(l, seq, 1 + seq * 400);          /* several chunks */
        assert_ok(log_cut(l, rows[i].cut, &t.fault), &t.fault);
        if (rows[i].last != 0)
            append(l, rows[i].last + 1, 5000);      /* goes on right behind the cut, in the same transaction */
        assert_ok(log_commit(l, &t.fault), &t.fault);
        want_range(rows[i].first, rows[i].last == 0 ? 0 : rows[i].last + 1);
    }
    fill(7, 9);                                     /* an empty log begins anywhere again */
    want_range(7, 9);
}

static void aborted(void **state)
{
    (void)state;
    fill(1, 3);
    struct log_txn *l = begin();
    append(l, 4, 10);
    assert_ok(log_cut(l, 1, &t.fault), &t.fault);
    log_abort(l);
    want_range(1, 3);
}

/* A reader stands still while the log is cut and grows. */
static void readers_stand_still(void **state)
{
    struct log_reader *r;
    uint8_t buf[100];
    struct bytes got;
    uint64_t first, last;
    (void)state;
    fill(1, 5);
    assert_ok(log_reader_open(t.s, &r, &t.fault), &t.fault);
    assert_ok(log_reader_begin(r), NULL);
    struct log_txn *l = begin();
    assert_ok(log_cut(l, 0, &t.fault), &t.fault);
    append(l, 100, 10);
    assert_ok(log_commit(l, &t.fault), &t.fault);
    assert_ok(log_reader_get(r, 5, buf, sizeof buf, &got, NULL), NULL);
    assert_ok(log_reader_range(r, &first, &last), NULL);
    assert_int_equal(last, 5);
    log_reader_end(r);
    assert_ok(log_reader_begin(r), NULL);
    assert_int_equal(log_reader_get(r, 5, buf, sizeof buf, &got, NULL), ERR_NOTFOUND);
    assert_ok(log_reader_get(r, 100, buf, sizeof buf, &got, NULL), NULL);
    log_reader_end(r);
    log_reader_close(r);
}

/* A process that only reads opens the log when it first asks for it. */
static void read_only(void **state)
{
    struct log_reader *r;
    struct log_txn *l;
    (void)state;
    fill(1, 4);
    store_close(t.s);
    t.options.mode = STORE_READ;
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    want_range(1, 4);
    assert_ok(log_reader_open(t.s, &r, &t.fault), &t.fault);
    assert_ok(log_reader_begin(r), NULL);
    want_record(r, 3, 100);
    log_reader_end(r);
    log_reader_close(r);
    assert_int_equal(log_begin(t.s, &l, &t.fault), ERR_NOTNOW);
}

/* Opens the store in a child with this boot id, appends, and ends as told. */
static void child_run(enum store_role role, const char *boot, bool clean)
{
    int status;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct store_options o = t.options;
        o.role = role;
        o.boot_id = boot;
        if (store_open(&t.s, &o, &t.fault) != OK)
            _exit(9);
        fill(1, 3);
        if (clean)
            store_close(t.s);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void after_a_crash(void **state)
{
    static const struct { const char *why; enum store_role role; bool clean, same_boot, kept; } rows[] = {
        { "edge, clean stop, other boot",  STORE_EDGE, true, false, true },
        { "edge, killed, same boot",       STORE_EDGE, false, true, true },
        { "edge, killed, other boot",      STORE_EDGE, false, false, false },
        { "core, killed, other boot",      STORE_CORE, false, false, true },
    };
    (void)state;
    tmp_store_close(&t);
    for (size_t i = 0; i < ROWS(rows); i++) {
        tmp_store_open(&t, rows[i].role);
        store_close(t.s);
        child_run(rows[i].role, "boot-one", rows[i].clean);
        t.options.boot_id = rows[i].same_boot ? "boot-one" : "boot-two";
        t.options.mode = STORE_READ;                /* a reader does not touch what may be torn */
        uint64_t first, last;
        assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
        assert_int_equal(log_range(t.s, &first, &last), rows[i].kept ? OK : ERR_NOTNOW);
        store_close(t.s);
        t.options.mode = STORE_CREATE;
        assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
        assert_ok(log_range(t.s, &first, &last), NULL);
        if (last != (rows[i].kept ? 3 : 0))
            fail_msg("%s: the log ends at %llu", rows[i].why, (unsigned long long)last);
        fill(last + 1, last + 2);                   /* and goes on */
        tmp_store_reopen(&t);
        want_range(1, last + 2);
        tmp_store_close(&t);
    }
    tmp_store_open(&t, STORE_EDGE);
}

/* A torn log is not even opened: garbage in its file does no harm. A mark that is no mark counts as a crash. */
static void torn_log(void **state)
{
    char path[PATH_MAX + 32];
    (void)state;
    fill(1, 50);
    store_close(t.s);
    (void)snprintf(path, sizeof path, "%s/log/mark", t.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs("what is this\n", f) >= 0 && fclose(f) == 0);
    (void)snprintf(path, sizeof path, "%s/log/data.mdb", t.dir);
    f = fopen(path, "r+");
    assert_non_null(f);
    for (int i = 0; i < 20000; i++)
        assert_true(fputc('x', f) != EOF);
    assert_int_equal(fclose(f), 0);
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    want_range(0, 0);
    fill(51, 51);
}

/* A record whose chunks are not what chunk 0 says is never handed out. */
static void damaged(void **state)
{
    static const struct { const char *why, *key, *value; } rows[] = {   /* value: NULL deletes the chunk */
        { "a chunk is missing",        "0000000000000001 0001", NULL },
        { "the last chunk is missing", "0000000000000001 0002", NULL },
        { "an empty chunk",            "0000000000000001 0001", "" },
        { "chunk 0 promises too much", "0000000000000001 0000", "0000ffff 61" },
        { "chunk 0 promises too little", "0000000000000001 0000", "00000002 616263" },
        { "a length beyond all limits", "0000000000000001 0000", "ffffffff 61" },
        { "a length cut short",        "0000000000000001 0000", "000000" },
        { "the last chunk is longer",  "0000000000000001 0002", "61626364 61626364 61626364 61626364 61626364 61626364 "
                                       "61626364 61626364 61626364 61626364 61626364 61626364 61626364 61626364" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct log_reader *r;
        uint8_t *buf = malloc(70000);
        struct bytes got, key = heap_from_hex(rows[i].key), value = heap_from_hex(rows[i].value != NULL ? rows[i].value : "");
        MDB_val k = val_of(key), v = val_of(value);
        MDB_txn *txn;
        struct log_txn *l = begin();
        assert_ok(log_cut(l, 0, &t.fault), &t.fault);
        append(l, 1, 3800);                         /* 1896 + 1900 + 4 bytes */
        append(l, 2, 3800);
        assert_ok(log_commit(l, &t.fault), &t.fault);
        assert_int_equal(mdb_txn_begin(t.s->log->mdb, NULL, 0, &txn), 0);
        assert_int_equal(rows[i].value == NULL ? mdb_del(txn, t.s->log_dbi, &k, NULL) : mdb_put(txn, t.s->log_dbi, &k,
                                                                                                &v, 0), 0);
        assert_int_equal(mdb_txn_commit(txn), 0);
        assert_ok(log_reader_open(t.s, &r, &t.fault), &t.fault);
        assert_ok(log_reader_begin(r), NULL);
        enum err err = log_reader_get(r, 1, buf, 70000, &got, NULL);
        if (err != ERR_BAD)
            fail_msg("%s: got '%s'", rows[i].why, err_text(err));
        want_record(r, 2, 3800);
        log_reader_end(r);
        log_reader_close(r);
        bytes_free(key);
        bytes_free(value);
        free(buf);
    }
}

static void full_log(void **state)
{
    struct log_txn *l;
    struct log_reader *r;
    uint8_t buf[1000];
    struct bytes got;
    uint64_t seq = 1;
    enum err err = OK;
    (void)state;
    store_close(t.s);
    t.options.map_size = STORE_MAP_MIN;
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    while (err == OK && seq < 5000) {
        struct bytes rec = record_make(seq, 1000);
        l = begin();
        if ((err = log_append(l, seq, rec, &t.fault)) == OK)
            err = log_commit(l, &t.fault);
        else
            log_abort(l);
        bytes_free(rec);
        seq += err == OK;
    }
    assert_int_equal(err, ERR_FULL);
    assert_true(seq > 100);
    struct store_figures f;
    assert_ok(store_figures(t.s, &f), NULL);
    assert_true(f.log_map_bytes - f.log_used_bytes + f.log_free_bytes >= RESERVE_PAGES_MIN * 4096);
    want_range(1, seq - 1);
    assert_ok(log_reader_open(t.s, &r, &t.fault), &t.fault);
    assert_ok(log_reader_begin(r), NULL);
    assert_ok(log_reader_get(r, seq - 1, buf, sizeof buf, &got, NULL), NULL);
    log_reader_end(r);
    log_reader_close(r);
    for (int round = 0; round < 3; round++) {       /* what is kept free lets a full log be emptied, again and again */
        l = begin();
        assert_ok(log_cut(l, 0, &t.fault), &t.fault);
        assert_ok(log_commit(l, &t.fault), &t.fault);
        want_range(0, 0);
        fill(1, 1);
        fill(2, 300);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(lengths), T(no_holes), T(cuts), T(aborted), T(readers_stand_still), T(read_only), T(after_a_crash),
        T(torn_log), T(damaged), T(full_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
