/* What the tests of store/ahead.c share: a core's store, transactions that go ahead of its log, and the folder behind a crash. */
#ifndef AZOTH_TESTS_AHEAD_BED_H
#define AZOTH_TESTS_AHEAD_BED_H

#include "store/internal.h"
#include "tests/util_store.h"

static struct tmp_store t;

static inline struct log_txn *begin(uint64_t seq, const char *text)
{
    struct log_txn *l;
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    assert_ok(log_append(l, seq, bytes_of_text(text), &t.fault), &t.fault);
    assert_ok(lognote_reach_put(l, 1, true, &t.fault), &t.fault);
    assert_ok(lognote_put(l, bytes_of_text("group"), 1, seq, bytes_of_text(text), &t.fault), &t.fault);
    return l;
}
static inline void ahead(struct log_txn *l, const char *extra) { assert_ok(log_ahead(l, bytes_of_text(extra), &t.fault), &t.fault); }
static inline void add(uint64_t seq, const char *text, const char *extra)
{
    struct log_txn *l = begin(seq, text);
    ahead(l, extra);
    assert_ok(log_commit(l, &t.fault), &t.fault);
}

/* "seq text, ..." of records, "+" and the notes' texts. */
static inline const char *listing(struct store *s)
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
static inline enum err take_extra(void *arg, struct bytes extra, struct fault *fault)
{
    char *text = arg;
    (void)fault;
    snprintf(text + strlen(text), 4096 - strlen(text), "%s%.*s", text[0] != '\0' ? " " : "", (int)extra.len, (const char *)extra.ptr);
    return OK;
}
static inline const char *extras(struct store *s)
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
static inline struct store *after_a_crash(char dir[PATH_MAX], const char *older)
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
static inline void gone(struct store *s, const char *dir)
{
    store_close(s);
    remove_tree(dir);
}

#endif
