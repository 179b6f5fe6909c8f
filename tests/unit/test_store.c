/* One process and its store: opening, applying, reading. */
#include "tests/util_store.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "base/file.h"

static struct tmp_store t;

static int setup(void **state)
{
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tmp_store_close(&t);
    return 0;
}

static void want_err(enum err got, enum err want, const char *why)
{
    if (got != want)
        fail_msg("%s: got '%s' (%s), want '%s'", why, err_text(got), t.fault.text, err_text(want));
}

static void write_text(const char *name, const char *text)
{
    char path[PATH_MAX];
    assert_int_equal(file_path(path, sizeof path, t.dir, name), OK);
    assert_ok(file_replace(path, bytes_of_text(text), 0640, &t.fault), &t.fault);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */
static void magic_rows(void **state)
{
#define HEX "00112233445566778899aabbccddeeff"
    static const struct { const char *why, *text; enum err want; } rows[] = {
        { "as written",              "azoth-store 2\nlmdb 0.9\ncluster " HEX "\nrole core\n", OK },
        { "an edge's",               "azoth-store 2\nlmdb 0.9\ncluster " HEX "\nrole edge\n", ERR_ROLE },
        { "an older format",         "azoth-store 1\nlmdb 0.9\ncluster " HEX "\nrole core\n", ERR_FORMAT },
        { "a newer format",          "azoth-store 3\nlmdb 0.9\ncluster " HEX "\nrole core\n", ERR_FORMAT },
        { "another LMDB",            "azoth-store 2\nlmdb 1.0\ncluster " HEX "\nrole core\n", ERR_FORMAT },
        { "a line more",             "azoth-store 2\nlmdb 0.9\ncluster " HEX "\nrole core\nshard 3\n", ERR_FORMAT },
        { "a line less",             "azoth-store 2\nlmdb 0.9\ncluster " HEX "\n", ERR_FORMAT },
        { "another role",            "azoth-store 2\nlmdb 0.9\ncluster " HEX "\nrole relay\n", ERR_FORMAT },
        { "a cluster id too short",  "azoth-store 2\nlmdb 0.9\ncluster 0011\nrole core\n", ERR_FORMAT },
        { "the last line not ended", "azoth-store 2\nlmdb 0.9\ncluster " HEX "\nrole core", ERR_FORMAT },
        { "lines in another order",  "lmdb 0.9\nazoth-store 2\ncluster " HEX "\nrole core\n", ERR_FORMAT },
        { "an empty file",           "", ERR_FORMAT },
        { "something else",          "#!/bin/sh\n", ERR_FORMAT },
    };
    (void)state;
    store_close(t.s);
    for (size_t i = 0; i < ROWS(rows); i++) {
        t.s = NULL;
        write_text("magic", rows[i].text);
        t.fault.text[0] = '\0';
        want_err(store_open(&t.s, &t.options, &t.fault), rows[i].want, rows[i].why);
        if (rows[i].want != OK && strstr(t.fault.text, t.dir) == NULL)
            fail_msg("%s: the fault does not name the folder: %s", rows[i].why, t.fault.text);
        store_close(t.s);
    }
    t.s = NULL;
}

static void current_rows(void **state)
{
    static const struct { const char *why, *text; enum err want; } rows[] = {
        { "names what is there",     "1\n", OK },
        { "names nothing",           "7\n", ERR_FORMAT },
        { "no number",               "one\n", ERR_FORMAT },
        { "zero",                    "0\n", ERR_FORMAT },
        { "with a sign",             "+1\n", ERR_FORMAT },
        { "a leading zero",          "01\n", ERR_FORMAT },
        { "two lines",               "1\n1\n", ERR_FORMAT },
        { "line not ended",          "1", ERR_FORMAT },
        { "far too large",           "99999999999999999999\n", ERR_FORMAT },
        { "empty",                   "", ERR_FORMAT },
    };
    (void)state;
    store_close(t.s);
    for (size_t i = 0; i < ROWS(rows); i++) {
        t.s = NULL;
        write_text("current", rows[i].text);
        want_err(store_open(&t.s, &t.options, &t.fault), rows[i].want, rows[i].why);
        store_close(t.s);
    }
    t.s = NULL;
}

/* A crash between magic and current is finished; a lost `current` beside later generations is not guessed. */
static void current_missing(void **state)
{
    char path[PATH_MAX + 16];
    (void)state;
    tmp_store_commit(&t, (struct op[]){ op_put("dns", "k", "v") }, 1);
    store_close(t.s);
    t.s = NULL;
    (void)snprintf(path, sizeof path, "%s/current", t.dir);
    assert_int_equal(unlink(path), 0);
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    assert_int_equal(seq_now(t.s), 1);
    store_close(t.s);
    t.s = NULL;
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/data.2", t.dir);
    assert_int_equal(mkdir(path, 0750), 0);
    want_err(store_open(&t.s, &t.options, &t.fault), ERR_NOTFOUND, "current lost beside two generations");
    assert_non_null(strstr(t.fault.text, "current"));
}

static void where_nothing_is(void **state)
{
    struct store *s;
    char dir[PATH_MAX + 16];
    struct store_options o = t.options;
    (void)state;
    (void)snprintf(dir, sizeof dir, "%s/x", t.dir);
    o.dir = dir;
    o.mode = STORE_READ;
    want_err(store_open(&s, &o, &t.fault), ERR_NOTFOUND, "read, absent");
    o.mode = STORE_WRITE;
    want_err(store_open(&s, &o, &t.fault), ERR_NOTFOUND, "write, absent");
    assert_int_equal(access(dir, F_OK), -1);                /* and nothing was made */
    assert_int_equal(mkdir(dir, 0750), 0);
    want_err(store_open(&s, &o, &t.fault), ERR_NOTFOUND, "write, empty");
    assert_int_equal(rmdir(dir), 0);
    o.mode = STORE_CREATE;
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    store_close(s);
    o.mode = STORE_WRITE;
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);
    store_close(s);
}

static void strange_folders(void **state)
{
    struct store *s;
    char dir[PATH_MAX + 16], path[PATH_MAX + 32];
    struct store_options o = t.options;
    (void)state;
    (void)snprintf(dir, sizeof dir, "%s/x", t.dir);
    o.dir = dir;
    assert_int_equal(mkdir(dir, 0750), 0);
    (void)snprintf(path, sizeof path, "%s/letters.txt", dir);
    assert_ok(file_replace(path, bytes_of_text("dear"), 0644, &t.fault), &t.fault);
    want_err(store_open(&s, &o, &t.fault), ERR_FORMAT, "somebody's folder");
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/node.key", dir);
    assert_ok(file_replace(path, bytes_of_text("k"), 0600, &t.fault), &t.fault);
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);      /* keys are made before the store */
    store_close(s);
    (void)snprintf(path, sizeof path, "%s/magic", dir);
    assert_int_equal(unlink(path), 0);
    want_err(store_open(&s, &o, &t.fault), ERR_FORMAT, "magic was lost: nothing is overwritten");
    (void)snprintf(path, sizeof path, "%s/data.1/data.mdb", dir);
    assert_int_equal(access(path, F_OK), 0);
    o.dir = path;
    want_err(store_open(&s, &o, &t.fault), ERR_IO, "a file where the folder should be");
}

static void data_that_is_none(void **state)
{
    char path[PATH_MAX + 32];
    uint8_t junk[8192];
    (void)state;
    store_close(t.s);
    t.s = NULL;
    memset(junk, 0x5a, sizeof junk);
    (void)snprintf(path, sizeof path, "%s/data.1/data.mdb", t.dir);
    assert_ok(file_replace(path, bytes_of(junk, sizeof junk), 0640, &t.fault), &t.fault);
    want_err(store_open(&t.s, &t.options, &t.fault), ERR_FORMAT, "no LMDB file");
    assert_non_null(strstr(t.fault.text, "data.1"));
}

static void one_writer(void **state)
{
    struct store *s;
    struct store_options o = t.options;
    int status;
    (void)state;
    o.mode = STORE_WRITE;
    want_err(store_open(&s, &o, &t.fault), ERR_LOCKED, "second writer, same process");
    o.mode = STORE_READ;
    want_err(store_open(&s, &o, &t.fault), ERR_LOCKED, "second opening, same process");
    store_close(t.s);
    pid_t pid = fork();
    if (pid == 0) {                 /* a fresh process: opens first, holds it until told */
        struct store *mine;
        if (store_open(&mine, &t.options, NULL) != OK)
            _exit(9);
        (void)kill(getpid(), SIGSTOP);
        store_close(mine);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    o.mode = STORE_WRITE;
    want_err(store_open(&s, &o, &t.fault), ERR_LOCKED, "second writer, another process");
    char text[32];
    (void)snprintf(text, sizeof text, "pid %d", (int)pid);
    assert_non_null(strstr(t.fault.text, text));
    o.mode = STORE_READ;
    assert_ok(store_open(&s, &o, &t.fault), &t.fault);      /* readers come and go */
    store_close(s);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
}

static void cluster_and_role(void **state)
{
    static const uint8_t open[CLUSTER_LEN], a[CLUSTER_LEN] = { 1 }, b[CLUSTER_LEN] = { 2 };
    uint8_t drawn[CLUSTER_LEN];
    struct tmp_store e;
    (void)state;
    assert_int_equal(store_role(t.s), STORE_CORE);
    memcpy(drawn, store_cluster(t.s), CLUSTER_LEN);
    assert_memory_not_equal(drawn, open, CLUSTER_LEN);
    tmp_store_reopen(&t);
    assert_memory_equal(store_cluster(t.s), drawn, CLUSTER_LEN);
    want_err(store_join(t.s, a, &t.fault), ERR_CLUSTER, "a core has a cluster");
    tmp_store_open(&e, STORE_EDGE);
    assert_memory_equal(store_cluster(e.s), open, CLUSTER_LEN);
    assert_ok(store_join(e.s, a, &e.fault), &e.fault);
    assert_ok(store_join(e.s, a, &e.fault), &e.fault);
    want_err(store_join(e.s, b, &e.fault), ERR_CLUSTER, "joined another before");
    tmp_store_reopen(&e);
    assert_memory_equal(store_cluster(e.s), a, CLUSTER_LEN);
    tmp_store_close(&e);
}

/* --- applying ----------------------------------------------------------------------------------------------------- */
static struct store_txn *begin(void)
{
    struct store_txn *x;
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    return x;
}

static void limits(void **state)
{
    static const struct { const char *why; int kind; size_t ns, key, value; enum err want; } rows[] = {
        { "smallest",               OP_PUT, 1, 1, 0, OK },
        { "largest",                OP_PUT, 32, 510, STORE_VALUE_MAX, OK },
        { "no namespace",           OP_PUT, 0, 1, 0, ERR_LIMIT },
        { "namespace of 33",        OP_PUT, 33, 1, 0, ERR_LIMIT },
        { "no key",                 OP_PUT, 1, 0, 0, ERR_LIMIT },
        { "key of 511",             OP_PUT, 1, 511, 0, ERR_LIMIT },
        { "value over its limit",   OP_PUT, 1, 1, STORE_VALUE_MAX + 1, ERR_LIMIT },
        { "delete",                 OP_DEL, 1, 1, 0, OK },
        { "delete with a value",    OP_DEL, 1, 1, 1, ERR_LIMIT },
        { "delete without a key",   OP_DEL, 1, 0, 0, ERR_LIMIT },
        { "neither",                7, 1, 1, 0, ERR_LIMIT },
    };
    uint8_t *many = malloc(STORE_VALUE_MAX + 1);
    (void)state;
    memset(many, 'n', STORE_VALUE_MAX + 1);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct store_txn *x = begin();
        struct store_state before, after;
        struct bytes key = heap_copy(many, rows[i].key), ns = heap_copy(many, rows[i].ns);
        struct op ops[] = { op_put("dns", "first", "1"),
                           { (enum op_kind)rows[i].kind, ns, key, bytes_of(many, rows[i].value) } };
        store_state(x, &before);
        want_err(store_apply(x, ops, 2, &t.fault), rows[i].want, rows[i].why);
        store_state(x, &after);
        if (rows[i].want != OK)
            assert_memory_equal(&before, &after, sizeof before);    /* the op before it was not applied either */
        store_abort(x);
        bytes_free(key);
        bytes_free(ns);
    }
    static const char *const names[] = { "Upper", "sp ace", "a/b", "/meta", "d\xc3\xb6t" };
    for (size_t i = 0; i < ROWS(names); i++) {
        struct store_txn *x = begin();
        struct op op = op_put(names[i], "k", "v");
        want_err(store_apply(x, &op, 1, &t.fault), ERR_LIMIT, names[i]);
        store_abort(x);
    }
    free(many);
}

static void namespaces_at_most(void **state)
{
    char names[STORE_NAMESPACES_MAX + 1][8], got[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    struct op ops[STORE_NAMESPACES_MAX + 1];
    struct store_txn *x = begin();
    struct view *v;
    size_t n;
    (void)state;
    for (size_t i = 0; i < ROWS(ops); i++) {
        (void)snprintf(names[i], sizeof names[i], "ns%02zu", i);
        ops[i] = op_put(names[i], "k", "v");
    }
    want_err(store_apply(x, ops, 64, &t.fault), ERR_LIMIT, "dns and 64 more");
    want_err(store_apply(x, ops, 40, &t.fault), OK, "40 of them");
    want_err(store_apply(x, ops + 40, 24, &t.fault), ERR_LIMIT, "24 more");
    want_err(store_apply(x, ops + 40, 23, &t.fault), OK, "23 more");
    struct op del = op_del("another", "k");
    want_err(store_apply(x, &del, 1, &t.fault), OK, "a delete makes no namespace");
    assert_ok(commit_at(t.s, x, 1, &t.fault), &t.fault);
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    for (int again = 0; again < 2; again++) {
        assert_ok(view_begin(v), NULL);
        assert_ok(view_namespaces(v, got, &n), NULL);
        assert_int_equal(n, 64);
        assert_string_equal(got[0], "dns");
        assert_string_equal(got[63], "ns62");
        struct bytes value;
        assert_ok(view_get(v, bytes_of_text("ns62"), bytes_of_text("k"), &value), NULL);
        want_err(view_get(v, bytes_of_text("ns63"), bytes_of_text("k"), &value), ERR_NOTFOUND, "never made");
        view_end(v);
        if (again == 0) {
            view_close(v);
            tmp_store_reopen(&t);
            assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
        }
    }
    view_close(v);
}

/* What is there already changes nothing; an aborted namespace leaves no trace; a new one is seen by the next batch. */
static void same_again(void **state)
{
    struct op ops[] = { op_put("dns", "b", "2"), op_put("dns", "a", "1"), op_put("dns", "c", ""), op_del("dns", "z") };
    struct store_state one, two, empty;
    struct store_txn *x = begin();
    struct bytes value;
    (void)state;
    store_state(x, &empty);
    assert_ok(store_apply(x, ops, 4, &t.fault), &t.fault);
    store_state(x, &one);
    assert_int_equal(one.keys, 3);
    assert_int_equal(one.bytes, 5);
    assert_ok(store_apply(x, ops, 4, &t.fault), &t.fault);
    store_state(x, &two);
    assert_memory_equal(&one, &two, sizeof one);
    assert_ok(store_peek(x, bytes_of_text("dns"), bytes_of_text("c"), &value), NULL);
    assert_int_equal(value.len, 0);
    want_err(store_peek(x, bytes_of_text("dns"), bytes_of_text("z"), &value), ERR_NOTFOUND, "peek");
    want_err(store_peek(x, bytes_of_text("kv"), bytes_of_text("z"), &value), ERR_NOTFOUND, "peek elsewhere");
    struct op dels[] = { op_del("dns", "a"), op_del("dns", "b"), op_del("dns", "c") };
    assert_ok(store_apply(x, dels, 3, &t.fault), &t.fault);
    store_state(x, &two);
    assert_memory_equal(&empty, &two, sizeof empty);
    struct op other = op_put("kv", "k", "v");
    assert_ok(store_apply(x, &other, 1, &t.fault), &t.fault);
    store_abort(x);
    x = begin();
    want_err(store_peek(x, bytes_of_text("kv"), bytes_of_text("k"), &value), ERR_NOTFOUND, "aborted");
    assert_ok(store_apply(x, &other, 1, &t.fault), &t.fault);
    assert_ok(commit_at(t.s, x, 1, &t.fault), &t.fault);
}

static void head_must_fit(void **state)
{
    struct op op = op_put("dns", "k", "v");
    struct head h;
    struct signed_head sh;
    (void)state;
    for (int what = 0; what < 6; what++) {
        static const enum err want[] = { ERR_DIGEST, ERR_DIGEST, ERR_DIGEST, ERR_BAD, ERR_CLUSTER, ERR_BAD };
        struct store_txn *x = begin();
        assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
        head_make(t.s, x, 1, 1, &h, &sh);
        h.digest[31] ^= what == 0;
        h.keys += what == 1;
        h.bytes -= what == 2;
        h.seq += what == 3;
        if (what == 4) {
            struct wr w = wr_over(sh.body, sizeof sh.body);
            h.cluster[0] ^= 1;
            head_write(&w, &h);
        }
        sh.len -= what == 5;
        want_err(store_commit(x, &h, &sh, &t.fault), want[what], "a head that does not fit");
        want_err(store_head(t.s, &h, NULL), ERR_NOTFOUND, "nothing was committed");
    }
    tmp_store_commit(&t, &op, 1);
    struct op other = op_put("dns", "k", "w");
    struct store_txn *x = begin();
    assert_ok(store_apply(x, &other, 1, &t.fault), &t.fault);
    want_err(commit_at(t.s, x, 1, &t.fault), ERR_NOTNOW, "the seq of the head before");
    x = begin();
    head_make(t.s, x, 1, 1, &h, &sh);           /* the same state with a newer time */
    h.time_ms += 5;
    struct wr w = wr_over(sh.body, sizeof sh.body);
    head_write(&w, &h);
    sh.len = w.len;
    assert_ok(store_commit(x, &h, &sh, &t.fault), &t.fault);
    struct signed_head stored = sh;
    x = begin();
    head_make(t.s, x, 0, 2, &h, &sh);
    want_err(store_commit(x, &h, &sh, &t.fault), ERR_NOTNOW, "an older epoch");
    tmp_store_reopen(&t);
    struct signed_head back;
    assert_ok(store_head(t.s, &h, &back), NULL);
    assert_int_equal(h.seq, 1);
    assert_int_equal(h.time_ms, 1005);
    assert_int_equal(back.len, stored.len);
    assert_memory_equal(back.body, stored.body, stored.len);
    assert_int_equal(back.sig[63], 1);
}

static void wrong_states(void **state)
{
    struct store_txn *x = begin(), *y;
    struct log_txn *l, *m;
    (void)state;
    want_err(store_begin(t.s, &y, &t.fault), ERR_NOTNOW, "two transactions at once");
    want_err(store_fresh_begin(t.s, &t.fault), ERR_NOTNOW, "fresh inside a transaction");
    want_err(store_spill(x, &t.fault), ERR_NOTNOW, "writing out half a transaction that readers would see");
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);          /* data and log are open together */
    want_err(log_begin(t.s, &m, &t.fault), ERR_NOTNOW, "two log transactions");
    log_abort(l);
    store_abort(x);
    store_abort(NULL);
    want_err(store_fresh_flip(t.s, &t.fault), ERR_NOTNOW, "nothing to flip");
    store_close(t.s);
    t.options.mode = STORE_READ;
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    want_err(store_begin(t.s, &x, &t.fault), ERR_NOTNOW, "writing as a reader");
    want_err(log_begin(t.s, &l, &t.fault), ERR_NOTNOW, "writing the log as a reader");
    want_err(store_fresh_begin(t.s, &t.fault), ERR_NOTNOW, "fresh as a reader");
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
static void cursors(void **state)
{
    struct op ops[] = { op_put("dns", "b", "2"), op_put("dns", "d", "4"), op_put("dns", "f", "6") };
    static const struct { const char *seek, *next, *prev; } rows[] = {      /* NULL: nothing there */
        { "b", "d", NULL }, { "d", "f", "b" }, { "f", NULL, "d" },
    };
    static const struct { const char *key, *found; } seeks[] = {
        { "", "b" }, { "a", "b" }, { "b", "b" }, { "b0", "d" }, { "f", "f" }, { "g", NULL },
    };
    struct view *v;
    struct cursor *c, *none;
    struct entry e;
    (void)state;
    tmp_store_commit(&t, ops, 3);
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(cursor_open(v, bytes_of_text("dns"), &c), NULL);
    assert_ok(cursor_open(v, bytes_of_text("later"), &none), NULL);
    assert_ok(view_begin(v), NULL);
    for (size_t i = 0; i < ROWS(seeks); i++) {
        enum err err = cursor_seek(c, bytes_of_text(seeks[i].key), &e);
        assert_int_equal(err, seeks[i].found == NULL ? ERR_NOTFOUND : OK);
        if (seeks[i].found != NULL)
            assert_memory_equal(e.key.ptr, seeks[i].found, e.key.len);
        if (seeks[i].found == NULL) {       /* behind the last: nothing further, the last one back */
            want_err(cursor_next(c, &e), ERR_NOTFOUND, "next behind the end");
            assert_ok(cursor_prev(c, &e), NULL);
            assert_memory_equal(e.key.ptr, "f", 1);
        }
    }
    for (size_t i = 0; i < ROWS(rows); i++) {
        const char *want[] = { rows[i].next, rows[i].prev };
        for (int back = 0; back < 2; back++) {
            assert_ok(cursor_seek(c, bytes_of_text(rows[i].seek), &e), NULL);
            enum err err = back ? cursor_prev(c, &e) : cursor_next(c, &e);
            assert_int_equal(err, want[back] == NULL ? ERR_NOTFOUND : OK);
            if (want[back] != NULL)
                assert_memory_equal(e.key.ptr, want[back], 1);
        }
    }
    /* from f: next failed, prev gave d; now b */
    want_err(cursor_prev(c, &e), OK, "and on after the end was seen");
    assert_memory_equal(e.key.ptr, "b", 1);
    want_err(cursor_prev(c, &e), ERR_NOTFOUND, "before the first");
    assert_ok(cursor_next(c, &e), NULL);
    assert_memory_equal(e.key.ptr, "b", 1);
    want_err(cursor_seek(none, bytes_of_text("a"), &e), ERR_NOTFOUND, "no namespace yet");
    view_end(v);
    tmp_store_commit(&t, (struct op[]){ op_put("later", "x", "y") }, 1);
    assert_ok(view_begin(v), NULL);
    assert_ok(cursor_seek(none, bytes_of_text("a"), &e), NULL);
    assert_memory_equal(e.value.ptr, "y", 1);
    assert_ok(cursor_next(c, &e), NULL);            /* a new batch: from the first */
    assert_memory_equal(e.key.ptr, "b", 1);
    view_end(v);
    cursor_close(c);
    cursor_close(none);
    want_err(cursor_open(v, bytes_of_text("NO"), &c), ERR_LIMIT, "no namespace name");
    view_close(v);
}

/* A view shows one state from begin to end, whatever is committed meanwhile. */
static void views_stand_still(void **state)
{
    struct view *v;
    struct head h;
    struct digest d;
    struct bytes value;
    (void)state;
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    want_err(view_head(v, &h, NULL), ERR_NOTFOUND, "an empty store");
    assert_ok(view_digest(v, &d), NULL);
    assert_memory_equal(&d, &(struct digest){ { 0 } }, sizeof d);
    uint64_t version = view_version(v);
    assert_int_equal(view_generation(v), 1);
    tmp_store_commit(&t, (struct op[]){ op_put("dns", "k", "1"), op_put("new", "k", "1") }, 2);
    want_err(view_get(v, bytes_of_text("dns"), bytes_of_text("k"), &value), ERR_NOTFOUND, "still the old state");
    want_err(view_get(v, bytes_of_text("new"), bytes_of_text("k"), &value), ERR_NOTFOUND, "still the old namespaces");
    assert_int_equal(view_version(v), version);
    view_end(v);
    assert_ok(view_begin(v), NULL);
    assert_true(view_version(v) != version);
    assert_ok(view_get(v, bytes_of_text("new"), bytes_of_text("k"), &value), NULL);
    assert_ok(view_head(v, &h, NULL), NULL);
    assert_int_equal(h.seq, 1);
    assert_ok(view_digest(v, &d), NULL);
    digest_sub(&d, bytes_of_text("dns"), bytes_of_text("k"), bytes_of_text("1"));
    digest_sub(&d, bytes_of_text("new"), bytes_of_text("k"), bytes_of_text("1"));
    assert_memory_equal(&d, &(struct digest){ { 0 } }, sizeof d);
    want_err(view_get(v, bytes_of_text("dns"), bytes_of_text(""), &value), ERR_NOTFOUND, "an empty key");
    assert_false(view_superseded(v));
    version = view_version(v);
    view_end(v);
    assert_ok(view_begin(v), NULL);
    assert_int_equal(view_version(v), version);
    view_end(v);
    view_close(v);
    view_close(NULL);
}

static void figures(void **state)
{
    struct store_figures f;
    struct ns_figures n;
    struct view *v;
    uint8_t big[10000] = { 1 };
    struct op ops[] = { op_put("dns", "a", "1"),
                       { OP_PUT, bytes_of_text("dns"), bytes_of_text("b"), bytes_of(big, sizeof big) } };
    (void)state;
    tmp_store_commit(&t, ops, 2);
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_ns_figures(v, bytes_of_text("dns"), &n), NULL);
    assert_int_equal(n.entries, 2);
    assert_int_equal(n.leaf_pages, 1);
    assert_true(n.overflow_pages * n.page_size >= sizeof big);
    want_err(view_ns_figures(v, bytes_of_text("kv"), &n), ERR_NOTFOUND, "figures of nothing");
    for (int i = 0; i < 3; i++)
        tmp_store_commit(&t, (struct op[]){ op_put("dns", "a", i % 2 ? "2" : "3") }, 1);
    assert_ok(store_figures(t.s, &f), NULL);
    assert_int_equal(f.generation, 1);
    assert_int_equal(f.map_bytes, t.options.map_size);
    assert_true(f.used_bytes > sizeof big && f.used_bytes < 1 << 20);
    assert_true(f.free_bytes > 0 && f.free_bytes < f.used_bytes);
    assert_int_equal(f.oldest_reader_lag, 3);
    assert_int_equal(f.readers, 1);
    assert_int_equal(f.log_map_bytes, t.options.map_size);
    assert_int_equal(f.log_last, 0);
    view_end(v);
    assert_ok(store_figures(t.s, &f), NULL);
    assert_int_equal(f.oldest_reader_lag, 0);
    view_close(v);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(magic_rows), T(current_rows), T(current_missing), T(where_nothing_is), T(strange_folders),
        T(data_that_is_none), T(one_writer), T(cluster_and_role), T(limits), T(namespaces_at_most), T(same_again),
        T(head_must_fit), T(wrong_states),
        T(cursors), T(views_stand_still), T(figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
