/* Generations, the ring, and readers in other processes: what moves under a view's feet. */
#include "tests/util_store.h"

#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
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

static bool data_there(unsigned n)
{
    char path[PATH_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/data.%u/data.mdb", t.dir, n);
    return access(path, F_OK) == 0;
}
static void put1(const char *key,
                 const char *value) { tmp_store_commit(&t, (struct op[]){ op_put("dns", key, value) }, 1); }

static enum err get(struct view *v, const char *key, char *out)
{
    struct bytes b;
    enum err err = view_get(v, bytes_of_text("dns"), bytes_of_text(key), &b);
    if (err == OK) {
        memcpy(out, b.ptr, b.len);
        out[b.len] = '\0';
    }
    return err;
}

/* --- fresh generations -------------------------------------------------------------------------------------------- */
static void log_fill(uint64_t n)
{
    struct log_txn *l;
    assert_ok(log_begin(t.s, &l, &t.fault), &t.fault);
    for (uint64_t seq = 1; seq <= n; seq++)
        assert_ok(log_append(l, seq, bytes_of_text("record"), &t.fault), &t.fault);
    assert_ok(log_commit(l, &t.fault), &t.fault);
}

static void fresh_at(uint64_t seq, const char *value)
{
    struct store_txn *x;
    struct op op = op_put("dns", "k", value);
    assert_ok(store_fresh_begin(t.s, &t.fault), &t.fault);
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
    assert_ok(commit_at(t.s, x, seq, &t.fault), &t.fault);
}

static void flip(void **state)
{
    struct view *moving, *idle;
    struct head h;
    char text[64];
    uint64_t first, last;
    (void)state;
    put1("k", "old");
    put1("only-old", "1");
    log_fill(2);
    assert_ok(view_open(t.s, &moving, &t.fault), &t.fault);
    assert_ok(view_open(t.s, &idle, &t.fault), &t.fault);
    assert_ok(view_begin(moving), NULL);
    uint64_t version = view_version(moving);
    fresh_at(90, "new");
    assert_true(store_is_fresh(t.s));
    assert_ok(log_range(t.s, &first, &last), NULL);
    assert_int_equal(last, 0);                              /* the log was emptied */
    assert_int_equal(store_fresh_begin(t.s, &t.fault), ERR_NOTNOW);
    assert_ok(store_head(t.s, &h, NULL), NULL);
    assert_int_equal(h.seq, 90);                            /* the head of what is written */
    assert_ok(get(moving, "k", text), NULL);
    assert_string_equal(text, "old");
    assert_ok(store_fresh_flip(t.s, &t.fault), &t.fault);
    assert_false(store_is_fresh(t.s));
    assert_ok(get(moving, "k", text), NULL);                /* inside its batch it stays where it is */
    assert_string_equal(text, "old");
    assert_false(view_superseded(moving));
    view_end(moving);
    assert_true(data_there(1));                             /* the idle view still holds it */
    assert_ok(view_begin(moving), NULL);
    assert_ok(get(moving, "k", text), NULL);
    assert_string_equal(text, "new");
    assert_int_equal(get(moving, "only-old", text), ERR_NOTFOUND);
    assert_int_equal(view_generation(moving), 2);
    assert_true(view_version(moving) != version);
    view_end(moving);
    view_close(idle);
    assert_false(data_there(1));
    put1("k", "newer");                                     /* writing goes on in the new one */
    assert_int_equal(seq_now(t.s), 91);
    view_close(moving);
    tmp_store_reopen(&t);
    assert_int_equal(seq_now(t.s), 91);
}

static void dropped(void **state)
{
    (void)state;
    put1("k", "old");
    fresh_at(90, "new");
    store_fresh_drop(t.s);
    store_fresh_drop(t.s);
    assert_false(data_there(2));
    assert_int_equal(seq_now(t.s), 1);
    fresh_at(91, "again");
    assert_ok(store_fresh_flip(t.s, &t.fault), &t.fault);
    assert_int_equal(seq_now(t.s), 91);
    fresh_at(92, "unfinished");                             /* closing drops it */
    tmp_store_reopen(&t);
    assert_int_equal(seq_now(t.s), 91);
    assert_false(data_there(3));
}

/* A process that dies while it fills leaves data.2 behind; the next writer removes it, a reader does not care. */
static void died_while_filling(void **state)
{
    int status;
    (void)state;
    put1("k", "old");
    store_close(t.s);
    t.s = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        if (store_open(&t.s, &t.options, NULL) != OK)
            _exit(9);
        fresh_at(90, "new");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(data_there(2));
    struct store_options o = t.options;
    o.mode = STORE_READ;
    assert_ok(store_open(&t.s, &o, &t.fault), &t.fault);
    store_close(t.s);
    assert_true(data_there(2));
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    assert_false(data_there(2));
    assert_int_equal(seq_now(t.s), 1);
}

/* --- the ring ----------------------------------------------------------------------------------------------------- */
struct seen { char text[4096]; };
static void seen_touched(void *arg, struct bytes ns, struct bytes key, enum ring_mark mark)
{
    struct seen *s = arg;
    size_t n = strlen(s->text);
    (void)snprintf(s->text + n, sizeof s->text - n, "%c%.*s/%.*s ", " +-~"[mark], (int)ns.len, (const char *)ns.ptr,
                   (int)key.len,
                   (const char *)key.ptr);
}
static void seen_many(void *arg, struct bytes ns)
{
    struct seen *s = arg;
    size_t n = strlen(s->text);
    (void)snprintf(s->text + n, sizeof s->text - n, "*%.*s ", (int)ns.len, (const char *)ns.ptr);
}
static enum err ring(struct view *v, uint64_t seq, struct seen *s)
{
    struct ring_visit visit = { s, seen_touched, seen_many };
    s->text[0] = '\0';
    return view_ring(v, seq, &visit);
}
static void want_ring(uint64_t seq, enum err want, const char *text)
{
    struct seen s;
    struct view *v;
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    enum err got = ring(v, seq, &s);
    view_end(v);
    view_close(v);
    if (got != want || (want == OK && strcmp(s.text, text) != 0))
        fail_msg("after seq %llu: '%s', %s; want '%s'", (unsigned long long)seq, s.text, err_text(got), text);
}

static void ring_marks(void **state)
{
    static const struct { const char *why, *ops, *want; } rows[] = {     /* + or -, namespace, key, value */
        { "a put of something new",   "+db1",           "+d/b " },
        { "changed",                  "+da2",           "~d/a " },
        { "unchanged",                "+da2",           "" },
        { "put, then deleted",        "+dx1 -dx",       "" },
        { "deleted, then put",        "-da +da3",       "~d/a " },
        { "vanished",                 "-da",            "-d/a " },
        { "put, deleted, put",        "+dc1 -dc +dc2",  "+d/c " },
        { "changed, then deleted",    "+db2 -db",       "-d/b " },
        { "two namespaces",           "+ed1 +dd1",      "+d/d +e/d " },
    };
    (void)state;
    tmp_store_commit(&t, (struct op[]){ op_put("d", "a", "1") }, 1);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct op ops[4];
        size_t n = 0;
        for (const char *p = rows[i].ops; *p != '\0'; p += strcspn(p, " "), p += strspn(p, " "))
            ops[n++] = (struct op){ *p == '+' ? OP_PUT : OP_DEL, bytes_of(p + 1, 1), bytes_of(p + 2, 1),
                                   bytes_of(p + 3, *p == '+') };
        tmp_store_commit(&t, ops, n);
        want_ring(seq_now(t.s) - 1, OK, rows[i].want);
    }
    want_ring(seq_now(t.s), OK, "");
    want_ring(seq_now(t.s) + 1, ERR_GAP, "");
    want_ring(8, OK, "-d/b +d/d +e/d ");                    /* two commits, in their order */
    want_ring(0, OK, "+d/a +d/b ~d/a ~d/a -d/a +d/c -d/b +d/d +e/d ");
}

static void ring_many(void **state)
{
    static struct op ops[200];
    static char keys[200][16];
    struct store_txn *x;
    (void)state;
    for (size_t i = 0; i < ROWS(ops); i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key%04zu", i);
        ops[i] = op_put("dns", keys[i], "v");
    }
    tmp_store_commit(&t, ops, 190);                         /* 190 * (3 + 7) = 1,900 bytes: just fits */
    struct seen s;
    struct view *v;
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    assert_ok(ring(v, 0, &s), NULL);
    assert_int_equal(strlen(s.text), 190 * strlen("+dns/key0000 "));
    view_end(v);
    view_close(v);
    for (size_t i = 0; i < 191; i++)
        ops[i] = op_put("dns", keys[i], "w");
    assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
    struct op other = op_put("kv", "k", "v");
    assert_ok(store_apply(x, ops, 191, &t.fault), &t.fault);
    assert_ok(store_apply(x, &other, 1, &t.fault), &t.fault);
    assert_ok(commit_at(t.s, x, 7, &t.fault), &t.fault);    /* several staged: one entry, under the last seq */
    want_ring(1, OK, "*dns +kv/k ");
    want_ring(4, OK, "*dns +kv/k ");                        /* a seq inside the group: what it needs is there */
    want_ring(7, OK, "");
}

/* The newest RING_TXNS are kept, and the oldest before them go RING_SLACK at a time. */
static void ring_length(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RING_TXNS + RING_SLACK - 1; i++)
        tmp_store_commit(&t, (struct op[]){ op_put("dns", i % 2 ? "odd" : "even", i % 4 < 2 ? "1" : "2") }, 1);
    struct seen s;
    struct view *v;
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    assert_int_equal(ring(v, 0, &s), OK);
    view_end(v);
    tmp_store_commit(&t, (struct op[]){ op_put("dns", "one", "more") }, 1);
    assert_ok(view_begin(v), NULL);
    assert_int_equal(ring(v, 0, &s), ERR_GAP);
    assert_int_equal(ring(v, RING_SLACK - 1, &s), ERR_GAP);
    assert_int_equal(ring(v, RING_SLACK, &s), OK);
    view_end(v);
    view_close(v);
    tmp_store_reopen(&t);
    want_ring(0, ERR_GAP, "");
    want_ring(RING_TXNS + RING_SLACK - 1, OK, "+dns/one ");
}

/* Nobody knows what a change of generation touched: the ring never says that it does. */
static void ring_and_generations(void **state)
{
    struct seen s;
    struct view *v;
    (void)state;
    put1("k", "1");
    put1("gone", "1");
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    assert_ok(ring(v, 1, &s), NULL);
    view_end(v);
    fresh_at(2, "1");
    assert_ok(store_fresh_flip(t.s, &t.fault), &t.fault);
    put1("k", "2");
    want_ring(1, ERR_GAP, "");
    want_ring(2, OK, "~dns/k ");
    assert_ok(view_begin(v), NULL);
    assert_int_equal(ring(v, 2, &s), ERR_GAP);              /* this view was in the old one when it looked last */
    assert_int_equal(ring(v, 2, &s), OK);
    view_end(v);
    view_close(v);
}

/* --- other processes ---------------------------------------------------------------------------------------------- */
/* A child opens the store for writing and does what it is told, line by line: a pipe each way. */
struct writer { pid_t pid; int to, from; };

static void writer_obey(int in, int out)
{
    char cmd;
    while (read(in, &cmd, 1) == 1) {
        uint64_t seq = seq_now(t.s);
        if (cmd == 'p')
            put1("k", seq % 2 == 0 ? "even" : "odd");
        else if (cmd == 'n')
            tmp_store_commit(&t, (struct op[]){ op_put("later", "k", "v") }, 1);
        else if (cmd == 'f') {
            fresh_at(seq + 1, "fresh");
            assert_ok(store_fresh_flip(t.s, &t.fault), &t.fault);
        }
        if (write(out, &cmd, 1) != 1)
            _exit(8);
    }
}

static struct writer writer_start(void)
{
    struct writer w;
    int to[2], from[2];
    char ready;
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    w.pid = fork();
    if (w.pid == 0) {
        (void)close(to[1]);
        if (store_open(&t.s, &t.options, &t.fault) != OK || write(from[1], "r", 1) != 1)
            _exit(9);
        writer_obey(to[0], from[1]);
        store_close(t.s);
        _exit(0);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    w.to = to[1];
    w.from = from[0];
    assert_int_equal(read(w.from, &ready, 1), 1);
    return w;
}
static void writer_do(struct writer *w, char cmd)
{
    char done = 0;
    assert_int_equal(write(w->to, &cmd, 1), 1);
    assert_int_equal(read(w->from, &done, 1), 1);
    assert_int_equal(done, cmd);
}
static void writer_stop(struct writer *w)
{
    int status;
    (void)close(w->to);
    (void)close(w->from);
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void reader_beside_writer(void **state)
{
    struct view *v;
    struct cursor *c;
    struct entry e;
    struct bytes b;
    char text[64];
    (void)state;
    put1("k", "first");
    store_close(t.s);
    struct writer w = writer_start();
    struct store_options o = t.options;
    o.mode = STORE_READ;
    o.role = 0;
    assert_ok(store_open(&t.s, &o, &t.fault), &t.fault);
    assert_int_equal(store_role(t.s), STORE_EDGE);
    assert_ok(view_open(t.s, &v, &t.fault), &t.fault);
    assert_ok(cursor_open(v, bytes_of_text("later"), &c), NULL);
    assert_ok(view_begin(v), NULL);
    assert_ok(get(v, "k", text), NULL);
    assert_string_equal(text, "first");
    writer_do(&w, 'p');
    assert_ok(get(v, "k", text), NULL);
    assert_string_equal(text, "first");
    view_end(v);
    assert_ok(view_begin(v), NULL);
    assert_ok(get(v, "k", text), NULL);
    assert_string_equal(text, "odd");
    assert_int_equal(cursor_seek(c, bytes_of_text(""), &e), ERR_NOTFOUND);
    view_end(v);
    writer_do(&w, 'n');                         /* a namespace that this process has never seen */
    assert_ok(view_begin(v), NULL);
    assert_ok(view_get(v, bytes_of_text("later"), bytes_of_text("k"), &b), NULL);
    assert_ok(cursor_seek(c, bytes_of_text(""), &e), NULL);
    view_end(v);
    writer_do(&w, 'f');
    assert_ok(view_begin(v), NULL);
    assert_true(view_superseded(v));            /* still readable, and it says so */
    assert_ok(get(v, "k", text), NULL);
    assert_string_equal(text, "odd");
    view_end(v);
    assert_false(data_there(1));                /* unlinked under our feet */
    assert_ok(store_follow(t.s, &t.fault), &t.fault);
    assert_ok(store_follow(t.s, &t.fault), &t.fault);
    assert_ok(view_begin(v), NULL);
    assert_false(view_superseded(v));
    assert_ok(get(v, "k", text), NULL);
    assert_string_equal(text, "fresh");
    assert_int_equal(cursor_seek(c, bytes_of_text(""), &e), ERR_NOTFOUND);
    view_end(v);
    cursor_close(c);
    view_close(v);
    writer_stop(&w);
}

/* A process without rights to write, but with the group's: it reads, and changes nothing but lock.mdb. */
static void other_user_child(void)
{
    struct store_options o = t.options;
    struct store_figures f;
    struct store *s;
    struct view *v;
    struct bytes b;
    const gid_t group = 0;
    if (setgroups(1, &group) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
        _exit(77);
    o.mode = STORE_WRITE;
    if (store_open(&s, &o, &t.fault) != ERR_IO || strstr(t.fault.text, "ermission") == NULL)
        _exit(1);
    o.mode = STORE_READ;
    if (store_open(&s, &o, &t.fault) != OK || view_open(s, &v, &t.fault) != OK || view_begin(v) != OK)
        _exit(2);
    if (view_get(v, bytes_of_text("dns"), bytes_of_text("k"), &b) != OK || store_figures(s, &f) != OK ||
        f.oldest_reader_lag != 0)
        _exit(3);
    view_end(v);
    view_close(v);
    (void)store_clear_readers(s);
    if (store_follow(s, &t.fault) != OK)
        _exit(4);
    store_close(s);
    _exit(0);
}

static void other_user(void **state)
{
    static const struct { const char *name; mode_t mode; } rows[] = {
        { "data.1", 0750 }, { "data.1/data.mdb", 0640 }, { "data.1/lock.mdb", 0660 }, { "log",
                                                                                       0750 }, { "log/data.mdb", 0640 },
        { "log/lock.mdb", 0660 }, { "magic", 0640 }, { "current", 0640 }, { "writer.lock", 0640 },
    };
    struct stat st, before, after;
    char path[PATH_MAX + 32];
    int status;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", t.dir, rows[i].name);
        assert_int_equal(stat(path, &st), 0);
        if ((st.st_mode & 0777) != rows[i].mode)
            fail_msg("%s has mode %o, want %o", rows[i].name, st.st_mode & 0777, rows[i].mode);
    }
    if (getuid() != 0)
        skip();
    put1("k", "v");
    assert_int_equal(chmod(t.dir, 0750), 0);
    (void)snprintf(path, sizeof path, "%s/data.1/data.mdb", t.dir);
    assert_int_equal(stat(path, &before), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        other_user_child();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with %x", (unsigned)status);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    put1("k", "w");
}

/* A reader dies; its slot is cleared by whoever looks next. */
static void dead_readers(void **state)
{
    struct store_figures f;
    int status;
    (void)state;
    store_close(t.s);
    pid_t pid = fork();
    if (pid == 0) {
        struct store_options o = t.options;
        struct store *s;
        struct view *v;
        o.mode = STORE_READ;
        if (store_open(&s, &o, NULL) != OK || view_open(s, &v, NULL) != OK || view_begin(v) != OK)
            _exit(9);
        (void)raise(SIGSTOP);                   /* holds its slot until it is killed */
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    put1("k", "1");
    assert_ok(store_figures(t.s, &f), NULL);
    assert_int_equal(f.readers, 1);
    assert_int_equal(f.oldest_reader_lag, 1);
    assert_int_equal(store_clear_readers(t.s), 0);          /* it lives */
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(store_clear_readers(t.s), 1);
    assert_ok(store_figures(t.s, &f), NULL);
    assert_int_equal(f.oldest_reader_lag, 0);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */
#define THREADS 3
static atomic_bool stop;
static atomic_uint wrong;

/* Each state that a view shows is whole: keys "a" and "b" always say the same, and the head says how often. */
static void *watch(void *arg)
{
    struct view *v = arg;
    while (!atomic_load(&stop)) {
        struct bytes a, b;
        struct head h;
        if (view_begin(v) != OK) {
            atomic_fetch_add(&wrong, 1);
            return NULL;
        }
        if (view_head(v, &h, NULL) != OK || view_get(v, bytes_of_text("dns"), bytes_of_text("a"), &a) != OK ||
            view_get(v, bytes_of_text("dns"), bytes_of_text("b"), &b) != OK || !bytes_equal(a, b) || h.keys < 2)
            atomic_fetch_add(&wrong, 1);
        if (h.seq % 3 == 0) {
            char ns[16];
            (void)snprintf(ns, sizeof ns, "ns%u", (unsigned)(h.seq / 3 % 40));
            if (view_get(v, bytes_of_text(ns), bytes_of_text("k"),
                         &a) != OK)      /* made by this very commit, or before */
                atomic_fetch_add(&wrong, 1);
        }
        view_end(v);
    }
    return NULL;
}

static void threads_watch(void **state)
{
    pthread_t threads[THREADS];
    struct view *views[THREADS];
    (void)state;
    tmp_store_commit(&t, (struct op[]){ op_put("dns", "a", "0"), op_put("dns", "b", "0") }, 2);
    atomic_store(&stop, false);
    atomic_store(&wrong, 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_ok(view_open(t.s, &views[i], &t.fault), &t.fault);
        assert_int_equal(pthread_create(&threads[i], NULL, watch, views[i]), 0);
    }
    for (unsigned i = 2; i < 400; i++) {
        char n[16], ns[16];
        (void)snprintf(n, sizeof n, "%u", i);
        (void)snprintf(ns, sizeof ns, "ns%u", i / 3 % 40);
        struct op ops[] = { op_put("dns", "a", n), op_put("dns", "b", n), op_put(ns, "k", "v") };
        if (i % 150 == 149) {                       /* a change of generation now and then */
            struct store_txn *x;
            assert_ok(store_fresh_begin(t.s, &t.fault), &t.fault);
            assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
            char all[40][16];
            for (unsigned k = 0; k < 40; k++) {
                (void)snprintf(all[k], sizeof all[k], "ns%u", k);
                struct op op = op_put(all[k], "k", "v");
                assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
            }
            assert_ok(store_apply(x, ops, 2, &t.fault), &t.fault);
            assert_ok(commit_at(t.s, x, i, &t.fault), &t.fault);
            assert_ok(store_fresh_flip(t.s, &t.fault), &t.fault);
        } else {
            tmp_store_commit(&t, ops, i % 3 == 0 ? 3 : 2);
        }
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        view_close(views[i]);
    }
    assert_int_equal(atomic_load(&wrong), 0);
    assert_false(data_there(1));
    assert_true(data_there(3));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(flip), T(dropped), T(died_while_filling), T(ring_marks), T(ring_many), T(ring_length),
        T(ring_and_generations),
        T(reader_beside_writer), T(other_user), T(dead_readers), T(threads_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
