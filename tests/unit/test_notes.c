/* Notes beside the log: found by seq and by group, gone with their records, there after a kill exactly where those are. */
#include "tests/util_store.h"

#include <signal.h>
#include <sys/wait.h>

static struct tmp_store t;

/* --- helpers -------------------------------------------------------------------------------------------------------- */
static void begin(struct log_txn **l) { assert_ok(log_begin(t.s, l, &t.fault), &t.fault); }
static void commit(struct log_txn *l) { assert_ok(log_commit(l, &t.fault), &t.fault); }

static void put(struct log_txn *l, const char *group, uint64_t epoch, uint64_t seq, const void *note, size_t len)
{
    assert_ok(lognote_put(l, bytes_of_text(group), epoch, seq, bytes_of(note, len), &t.fault), &t.fault);
}

/* A record and its note, committed. */
static void add(const char *group, uint64_t epoch, uint64_t seq, const char *note)
{
    struct log_txn *l;
    begin(&l);
    assert_ok(log_append(l, seq, bytes_of_text("record"), &t.fault), &t.fault);
    put(l, group, epoch, seq, note, strlen(note));
    commit(l);
}

static struct log_reader *reader(void)
{
    struct log_reader *r;
    assert_ok(log_reader_open(t.s, &r, &t.fault), &t.fault);
    assert_ok(log_reader_begin(r), NULL);
    return r;
}
static void reader_done(struct log_reader *r)
{
    log_reader_end(r);
    log_reader_close(r);
}

/* "group epoch.seq note, ..." of all notes, or of a group's, in order. */
static const char *listing(const char *group, bool back)
{
    static char text[4096];
    struct log_reader *r = reader();
    struct lognote note;
    uint64_t seq = back ? UINT64_MAX : 0;
    uint16_t n = back ? UINT16_MAX : 0;
    size_t at = 0;
    text[0] = '\0';
    while ((back ? lognote_prev(r, bytes_of_text(group), seq, n, &note) : lognote_next(r, bytes_of_text(group), seq, n, &note)) == OK) {
        uint8_t *buf = malloc(note.whole + 1);
        assert_ok(lognote_read(r, &note, buf), NULL);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s %d.%d %.*s", at > 0 ? ", " : "", (int)note.group.len,
                               (const char *)note.group.ptr, (int)note.epoch, (int)note.seq, (int)(note.whole < 20 ? note.whole : 20),
                               (const char *)buf);
        free(buf);
        seq = note.seq;
        n = (uint16_t)(back ? note.n : note.n + 1);
    }
    reader_done(r);
    return text;
}
static uint64_t reach(void)
{
    struct log_reader *r = reader();
    uint64_t seq;
    assert_ok(lognote_reach(r, &seq), NULL);
    reader_done(r);
    return seq;
}

/* --- finding -------------------------------------------------------------------------------------------------------- */
static void found_by_seq_and_group(void **state)
{
    struct log_txn *l;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    assert_string_equal(listing("", false), "");
    assert_string_equal(listing("a", true), "");
    add("a", 1, 1, "one");
    add("b", 1, 2, "two");
    add("aa", 1, 3, "three");           /* a group whose name begins with another's */
    add("a", 2, 4, "four");
    begin(&l);
    assert_ok(log_append(l, 5, bytes_of_text("record"), &t.fault), &t.fault);
    put(l, "b", 2, 5, "five", 4);
    put(l, "a", 2, 5, "also", 4);
    put(l, "a", 2, 5, "", 0);           /* several of one record, one of them empty */
    commit(l);
    assert_string_equal(listing("", false), "a 1.1 one, b 1.2 two, aa 1.3 three, a 2.4 four, b 2.5 five, a 2.5 also, a 2.5 ");
    assert_string_equal(listing("a", false), "a 1.1 one, a 2.4 four, a 2.5 also, a 2.5 ");
    assert_string_equal(listing("a", true), "a 2.5 , a 2.5 also, a 2.4 four, a 1.1 one");
    assert_string_equal(listing("b", true), "b 2.5 five, b 1.2 two");
    assert_string_equal(listing("c", false), "");
    tmp_store_reopen(&t);
    assert_string_equal(listing("aa", false), "aa 1.3 three");
    tmp_store_close(&t);
}

static void any_length(void **state)
{
    static const size_t lengths[] = { 0, 1, 1885, 1886, 1887, 1900, 3786, 3787, 100000, 5000000 };
    uint8_t *note = malloc(5000000), *back = malloc(5000000);
    struct log_reader *r;
    struct lognote at;
    struct log_txn *l;
    uint64_t notes, bytes;
    (void)state;
    for (size_t i = 0; i < 5000000; i++)
        note[i] = (uint8_t)(i * 7 + i / 1900);
    tmp_store_open(&t, STORE_CORE);
    for (size_t i = 0; i < ROWS(lengths); i++) {
        begin(&l);
        assert_ok(log_append(l, i + 1, bytes_of_text("record"), &t.fault), &t.fault);
        put(l, "a", 1, i + 1, note, lengths[i]);
        commit(l);
    }
    r = reader();
    for (size_t i = 0; i < ROWS(lengths); i++) {
        assert_ok(lognote_next(r, bytes_of_text("a"), i + 1, 0, &at), NULL);
        assert_true(at.seq == i + 1 && at.whole == lengths[i]);
        assert_ok(lognote_read(r, &at, back), NULL);
        assert_memory_equal(back, note, lengths[i]);
    }
    assert_ok(lognote_size(r, &notes, &bytes), NULL);
    assert_int_equal(notes, ROWS(lengths));
    assert_true(bytes > 5000000 && bytes < 6500000);
    reader_done(r);
    free(note);
    free(back);
    tmp_store_close(&t);
}

static void limits(void **state)
{
    char group[NOTE_GROUP_MAX + 2];
    struct log_txn *l;
    (void)state;
    memset(group, 'g', sizeof group);
    tmp_store_open(&t, STORE_CORE);
    begin(&l);
    assert_int_equal(lognote_put(l, bytes_of(group, 0), 1, 1, bytes_of("x", 1), NULL), ERR_LIMIT);
    assert_int_equal(lognote_put(l, bytes_of(group, NOTE_GROUP_MAX + 1), 1, 1, bytes_of("x", 1), NULL), ERR_LIMIT);
    assert_int_equal(lognote_put(l, bytes_of(group, 1), 1, 1, bytes_of("x", NOTE_MAX + 1), NULL), ERR_LIMIT);
    assert_int_equal(lognote_put(l, bytes_of(group, 1), 1, 0, bytes_of("x", 1), NULL), ERR_LIMIT);
    assert_ok(lognote_put(l, bytes_of(group, NOTE_GROUP_MAX), 1, 1, bytes_of("x", 1), &t.fault), &t.fault);
    commit(l);
    tmp_store_close(&t);
}

static void edges_have_none(void **state)
{
    struct log_txn *l;
    (void)state;
    tmp_store_open(&t, STORE_EDGE);
    begin(&l);
    assert_int_equal(lognote_put(l, bytes_of_text("a"), 1, 1, bytes_of_text("x"), NULL), ERR_NOTNOW);
    assert_ok(log_append(l, 1, bytes_of_text("record"), &t.fault), &t.fault);
    assert_ok(log_cut(l, 0, &t.fault), &t.fault);
    commit(l);
    assert_string_equal(listing("", false), "");
    assert_int_equal(reach(), 0);
    tmp_store_close(&t);
}

/* --- going -------------------------------------------------------------------------------------------------------- */
static void fill(void)
{
    add("a", 1, 1, "one");
    add("b", 1, 2, "two");
    add("a", 3, 3, "three");
    add("b", 3, 4, "four");
}

static void cut(void **state)
{
    static const struct { const char *why; bool records; uint64_t epoch, seq; const char *left, *of_b; } rows[] = {
        { "the last record goes with its note",                     true,  0, 3, "a 1.1 one, b 1.2 two, a 3.3 three", "b 1.2 two" },
        { "all of them",                                            true,  0, 0, "", "" },
        { "nothing behind the last",                                true,  0, 4, "a 1.1 one, b 1.2 two, a 3.3 three, b 3.4 four", "b 1.2 two, b 3.4 four" },
        { "a restored state of epoch 1 has no past in epoch 3",     false, 1, 4, "a 1.1 one, b 1.2 two", "b 1.2 two" },
        { "nor behind its own seq",                                 false, 3, 1, "a 1.1 one", "" },
        { "of an epoch above all",                                  false, 9, 9, "a 1.1 one, b 1.2 two, a 3.3 three, b 3.4 four", "b 1.2 two, b 3.4 four" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct log_txn *l;
        tmp_store_open(&t, STORE_CORE);
        fill();
        begin(&l);
        if (rows[i].records)
            assert_ok(log_cut(l, rows[i].seq, &t.fault), &t.fault);
        else
            assert_ok(lognote_cut(l, rows[i].epoch, rows[i].seq, &t.fault), &t.fault);
        commit(l);
        if (strcmp(listing("", false), rows[i].left) != 0 || strcmp(listing("b", false), rows[i].of_b) != 0)
            fail_msg("%s: left is '%s'", rows[i].why, listing("", false));
        tmp_store_close(&t);
    }
}

static void notes_outlive_records(void **state)
{
    struct log_txn *l;
    bool more;
    uint64_t first, last;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    fill();
    begin(&l);
    assert_ok(log_trim(l, 4, 100, &more, &t.fault), &t.fault);
    commit(l);
    assert_string_equal(listing("a", false), "a 1.1 one, a 3.3 three");
    begin(&l);
    assert_ok(log_clear(l, &t.fault), &t.fault);
    commit(l);
    assert_ok(log_range(t.s, &first, &last), NULL);
    assert_int_equal(last, 0);
    assert_string_equal(listing("b", true), "b 3.4 four, b 1.2 two");
    tmp_store_close(&t);
}

static void trimmed(void **state)
{
    uint8_t *large = calloc(1, 100000);
    struct log_txn *l;
    bool more;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    begin(&l);
    assert_ok(lognote_reach_put(l, 1, true, &t.fault), &t.fault);
    commit(l);
    fill();
    begin(&l);
    put(l, "a", 3, 5, large, 100000);
    put(l, "b", 3, 5, "same seq", 8);
    put(l, "a", 3, 6, "six", 3);
    commit(l);
    assert_int_equal(reach(), 1);
    begin(&l);
    assert_ok(lognote_trim(l, 3, 100, &more, &t.fault), &t.fault);
    commit(l);
    assert_false(more);
    assert_int_equal(reach(), 3);
    assert_string_equal(listing("a", true), "a 3.6 six, a 3.5 , a 3.3 three");
    begin(&l);                          /* a few pieces at a time, but all of a seq */
    assert_ok(lognote_trim(l, 6, 2, &more, &t.fault), &t.fault);
    commit(l);
    assert_true(more);
    assert_int_equal(reach(), 5);
    begin(&l);
    assert_ok(lognote_trim(l, 6, 2, &more, &t.fault), &t.fault);
    assert_ok(lognote_reach_put(l, 1, true, &t.fault), &t.fault);       /* it was said before */
    commit(l);
    assert_false(more);
    assert_int_equal(reach(), 6);
    assert_string_equal(listing("", false), "a 3.6 six");
    begin(&l);
    assert_ok(lognote_trim(l, 99, 100, &more, &t.fault), &t.fault);
    commit(l);
    assert_string_equal(listing("", false), "");
    assert_int_equal(reach(), 7);
    free(large);
    tmp_store_close(&t);
}

/* What is reserved of the map for deletes, notes do not take either. */
static void full(void **state)
{
    uint8_t *note = calloc(1, 60000);
    struct store_figures f;
    struct log_txn *l;
    enum err err = OK;
    uint64_t seq = 1;
    bool more;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    store_close(t.s);
    t.options.map_size = 4 << 20;
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    for (; err == OK && seq < 1000; seq++) {
        begin(&l);
        err = lognote_put(l, bytes_of_text("a"), 1, seq, bytes_of(note, 60000), &t.fault);
        if (err == OK)
            commit(l);
        else
            log_abort(l);
    }
    assert_int_equal(err, ERR_FULL);
    assert_ok(store_figures(t.s, &f), NULL);
    assert_true(f.log_used_bytes - f.log_free_bytes > f.log_map_bytes / 2);
    assert_true(f.log_used_bytes - f.log_free_bytes <= f.log_map_bytes / 20 * 19);
    begin(&l);
    assert_ok(lognote_trim(l, seq / 2, 10000, &more, &t.fault), &t.fault);
    commit(l);
    for (uint64_t i = 0; i < 2; i++) {  /* what is free in one commit may be taken in the next but one */
        begin(&l);
        assert_ok(lognote_reach_put(l, seq / 2 + i, false, &t.fault), &t.fault);
        commit(l);
    }
    begin(&l);
    put(l, "a", 1, seq, note, 60000);
    commit(l);
    free(note);
    tmp_store_close(&t);
}

/* --- kill -9 -------------------------------------------------------------------------------------------------------- */
/* Records and notes in one transaction, and now and then the last ones taken back. */
static void work(struct rnd *r)
{
    static uint8_t bytes[9000];
    uint64_t first, last;
    struct log_txn *l;
    assert_ok(log_range(t.s, &first, &last), NULL);
    begin(&l);
    if (last > 3 && rnd_below(r, 5) == 0) {
        last -= 1 + rnd_below(r, 3);
        assert_ok(log_cut(l, last, &t.fault), &t.fault);
    }
    for (uint32_t n = 1 + rnd_below(r, 4); n > 0; n--) {
        last++;
        assert_ok(log_append(l, last, bytes_of(bytes, rnd_below(r, sizeof bytes)), &t.fault), &t.fault);
        put(l, rnd_below(r, 2) == 0 ? "a" : "b", 1, last, bytes, rnd_below(r, sizeof bytes));
    }
    commit(l);
}

/* Each record has its note, in the index too, and no note has lost its record. */
static void check(unsigned round)
{
    struct log_reader *r = reader();
    uint64_t first, last, notes, bytes, found = 0;
    struct lognote note;
    assert_ok(log_reader_range(r, &first, &last), NULL);
    for (uint64_t seq = 1; lognote_next(r, (struct bytes){ 0 }, seq, 0, &note) == OK; seq++, found++)
        if (note.seq != seq)
            fail_msg("round %u: record %u has no note", round, (unsigned)seq);
    assert_ok(lognote_size(r, &notes, &bytes), NULL);
    if (found != last || notes != last)
        fail_msg("round %u: %u records, %u notes, %u in the index", round, (unsigned)last, (unsigned)found, (unsigned)notes);
    reader_done(r);
}

static void killed(void **state)
{
    uint64_t seed = seed_from_env(3);
    struct rnd r = rnd_seed(seed);
    (void)state;
    print_message("seed %lu\n", (unsigned long)seed);
    tmp_store_open(&t, STORE_CORE);
    t.options.volatile_data = false;
    store_close(t.s);
    for (unsigned round = 0; round < 12; round++) {
        int told[2], status;
        char byte;
        uint64_t own = rnd_u64(&r);
        assert_int_equal(pipe(told), 0);
        (void)fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            struct rnd mine = rnd_seed(own);
            if (store_open(&t.s, &t.options, &t.fault) != OK)
                _exit(9);
            for (;;) {
                work(&mine);
                if (write(told[1], "c", 1) != 1)
                    _exit(8);
            }
        }
        assert_int_equal(read(told[0], &byte, 1), 1);
        (void)usleep(rnd_below(&r, 20000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status))
            fail_msg("round %u: the child ended by itself: %x", round, (unsigned)status);
        assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
        check(round);
        work(&r);
        check(round);
        store_close(t.s);
        (void)close(told[0]);
        (void)close(told[1]);
    }
    remove_tree(t.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_seq_and_group), cmocka_unit_test(any_length), cmocka_unit_test(limits), cmocka_unit_test(edges_have_none),
        cmocka_unit_test(cut), cmocka_unit_test(notes_outlive_records), cmocka_unit_test(trimmed), cmocka_unit_test(full),
        cmocka_unit_test(killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
