/* libazoth while its store changes. What writes is a child process, as on a host; LMDB allows a process one
 * environment. */
#include "tests/unit/lib_bed.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"

/* --- the writer's process -------------------------------------------------------------------------------------- */
struct writer { pid_t pid; int to, from; };

/* p KEY: put "kv" KEY = the seq; n NS: a new namespace; f KEY: a fresh generation with that key alone; w: after 30 ms
 * put. */
static void obey(char cmd, const char *word)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)seq_now(t.s) + 1);
    if (cmd == 'w')
        (void)usleep(30000);
    if (cmd == 'f')
        assert_ok(store_fresh_begin(t.s, &t.fault), &t.fault);
    if (cmd == 'f') {
        uint8_t buf[64];
        struct store_txn *x;
        struct wr w = wr_over(buf, sizeof buf);
        kvvalue_write(&w, &(struct kvvalue){ 90, bytes_of_text("fresh") });
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(word), wr_done(&w) };
        assert_ok(store_begin(t.s, &x, &t.fault), &t.fault);
        assert_ok(store_apply(x, &op, 1, &t.fault), &t.fault);
        assert_ok(commit_at(t.s, x, 90, &t.fault), &t.fault);
        assert_ok(store_fresh_flip(t.s, &t.fault), &t.fault);
    } else {
        put(cmd == 'n' ? word : "kv", cmd == 'n' ? "k" : word, text);
    }
}

static void writer_run(int in, int out)
{
    char line[32];
    for (ssize_t n; (n = read(in, line, sizeof line)) == (ssize_t)sizeof line;) {
        if (line[0] == 'w' && write(out, line, 1) != 1)       /* answers first, then works */
            _exit(8);
        obey(line[0], line + 1);
        if (line[0] != 'w' && write(out, line, 1) != 1)
            _exit(8);
    }
    store_close(t.s);
    _exit(0);
}

static struct writer writer_start(void)
{
    struct writer w;
    int to[2], from[2];
    char ready;
    assert_null(t.s);
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    (void)fflush(NULL);
    w.pid = fork();
    if (w.pid == 0) {
        (void)close(to[1]);
        if (store_open(&t.s, &t.options, &t.fault) != OK || write(from[1], "r", 1) != 1)
            _exit(9);
        writer_run(to[0], from[1]);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    w.to = to[1];
    w.from = from[0];
    assert_int_equal(read(w.from, &ready, 1), 1);
    return w;
}
static void writer_do(struct writer *w, char cmd, const char *word)
{
    char line[32] = { cmd }, done = 0;
    (void)snprintf(line + 1, sizeof line - 1, "%s", word);
    assert_int_equal(write(w->to, line, sizeof line), sizeof line);
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

/* --- beside a writer ------------------------------------------------------------------------------------------- */
static void snapshots(void **state)
{
    struct azoth_position at, then;
    unsigned n = 0;
    (void)state;
    put("kv", "k", "1");
    written();
    struct writer w = writer_start();
    struct azoth *a = reader(), *b = reader();
    assert_err(azoth_begin(a), AZOTH_OK);
    assert_err(azoth_position(a, &at), AZOTH_OK);
    assert_true(at.epoch == 1 && at.seq == 1 && at.time_ms == 1000 && at.keys == 1);
    writer_do(&w, 'p', "k");
    writer_do(&w, 'p', "l");
    writer_do(&w, 'n', "later");
    assert_string_equal(look(a, "kv", "k"), "1");                   /* one state, whatever happens */
    assert_string_equal(look(a, "kv", "l"), "no such key or namespace");
    assert_err(azoth_scan(a, "kv", NULL, count, &n), AZOTH_OK);
    assert_int_equal(n, 1);
    assert_err(azoth_scan(a, "later", NULL, count, &n), AZOTH_NOTFOUND);
    assert_err(azoth_position(a, &then), AZOTH_OK);
    assert_memory_equal(&then, &at, sizeof at);
    assert_string_equal(look_now(b, "kv", "k"), "2");               /* while another one of this process goes on */
    azoth_end(a);
    assert_err(azoth_begin(a), AZOTH_OK);
    assert_string_equal(look(a, "kv", "k"), "2");
    assert_string_equal(look(a, "kv", "l"), "3");
    assert_string_equal(look(a, "later", "k"), "4");
    assert_err(azoth_position(a, &then), AZOTH_OK);
    assert_true(then.seq == 4 && memcmp(then.digest, at.digest, sizeof at.digest) != 0);
    azoth_end(a);
    azoth_close(a);
    assert_string_equal(look_now(b, "kv", "k"), "2");               /* the shared store stays for the other */
    azoth_close(b);
    writer_stop(&w);
}

/* A fresh generation under readers: the next snapshot shows it, and nobody had to do anything. */
static void generations(void **state)
{
    struct azoth_position at;
    (void)state;
    put("kv", "old", "1");
    written();
    struct writer w = writer_start();
    struct azoth *a = reader(), *b = reader();
    assert_err(azoth_begin(a), AZOTH_OK);
    writer_do(&w, 'f', "new");
    assert_string_equal(look(a, "kv", "old"), "1");
    assert_string_equal(look(a, "kv", "new"), "no such key or namespace");
    assert_string_equal(look_now(b, "kv", "new"), "fresh");
    azoth_end(a);
    assert_err(azoth_begin(a), AZOTH_OK);
    assert_string_equal(look(a, "kv", "old"), "no such key or namespace");
    assert_string_equal(look(a, "kv", "new"), "fresh");
    assert_err(azoth_position(a, &at), AZOTH_OK);
    assert_int_equal(at.seq, 90);
    azoth_end(a);
    for (char key[] = "a"; key[0] < 'g'; key[0]++) {                /* several behind each other, and writes in them */
        writer_do(&w, 'f', key);
        writer_do(&w, 'p', "k");
        assert_string_equal(look_now(key[0] % 2 ? a : b, "kv", key), "fresh");
        assert_string_equal(look_now(key[0] % 2 ? a : b, "kv", "k"), "91");
    }
    azoth_close(a);
    azoth_close(b);
    writer_stop(&w);
}

static void waits(void **state)
{
    struct azoth_position at;
    (void)state;
    written();                                                      /* a store without any commit */
    struct writer w = writer_start();
    struct azoth *a = reader();
    assert_err(azoth_position(a, &at), AZOTH_OK);
    assert_true(at.epoch == 0 && at.seq == 0 && at.keys == 0);
    assert_err(azoth_wait(a, 0, 0, 0), AZOTH_OK);
    assert_err(azoth_wait(a, 1, 1, 0), AZOTH_TIMEOUT);
    uint64_t start = clock_mono_ms();
    assert_err(azoth_wait(a, 1, 1, 40), AZOTH_TIMEOUT);
    assert_true(clock_mono_ms() - start >= 40);
    writer_do(&w, 'w', "k");                                        /* commits 30 ms from now */
    assert_err(azoth_wait(a, 1, 1, 20000), AZOTH_OK);
    assert_string_equal(look_now(a, "kv", "k"), "1");
    writer_do(&w, 'w', "k");
    assert_err(azoth_wait(a, 1, 2, -1), AZOTH_OK);
    assert_string_equal(look_now(a, "kv", "k"), "2");
    assert_err(azoth_wait(a, 1, 1, 0), AZOTH_OK);                   /* later than asked for */
    assert_err(azoth_wait(a, 0, 1000, 0), AZOTH_OK);                /* an older epoch, whatever its seq */
    assert_err(azoth_wait(a, 2, 1, 0), AZOTH_TIMEOUT);
    assert_string_equal(azoth_words(a), azoth_strerror(AZOTH_TIMEOUT));
    azoth_close(a);
    writer_stop(&w);
}

static void alarm_rang(int sig) { (void)sig; }
static void signals_do_not_end_it(void **state)
{
    struct sigaction act = { .sa_handler = alarm_rang }, old;
    (void)state;
    written();
    struct azoth *a = reader();
    assert_int_equal(sigaction(SIGALRM, &act, &old), 0);
    (void)ualarm(5000, 5000);
    uint64_t start = clock_mono_ms();
    assert_err(azoth_wait(a, 1, 1, 100), AZOTH_TIMEOUT);
    assert_true(clock_mono_ms() - start >= 100);
    (void)ualarm(0, 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    azoth_close(a);
}

/* --- a store that is replaced ---------------------------------------------------------------------------------- */
static const char *until(struct azoth *a, const char *key, const char *want)
{
    const char *got = "";
    for (unsigned i = 0; i < 300 && strcmp(got = look_now(a, "kv", key), want) != 0; i++)
        (void)usleep(10000);
    return got;
}
static void fill_anew(const char *value)
{
    remove_tree(t.dir);
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    put("kv", "k", value);
    written();
}
static void replaced(void **state)
{
    char aside[PATH_MAX + 8];
    (void)state;
    put("kv", "k", "1");
    written();
    struct azoth *a = reader(), *b = reader();
    assert_string_equal(look_now(a, "kv", "k"), "1");
    fill_anew("2");                                     /* a new folder, and data.1 as before */
    assert_string_equal(until(a, "k", "2"), "2");
    struct azoth *c = reader();                         /* not what b still has */
    assert_string_equal(look_now(c, "kv", "k"), "2");
    assert_string_equal(until(b, "k", "2"), "2");
    azoth_close(b);
    (void)snprintf(aside, sizeof aside, "%s.aside", t.dir);
    assert_int_equal(rename(t.dir, aside), 0);
    assert_string_equal(until(a, "k", "no azoth store there"), "no azoth store there");
    assert_non_null(strstr(azoth_words(a), t.dir));
    assert_string_equal(look_now(a, "kv", "k"), "no azoth store there");    /* and not by turns */
    assert_int_equal(rename(aside, t.dir), 0);
    assert_string_equal(until(a, "k", "2"), "2");
    azoth_close(a);
    azoth_close(c);
}
/* The folder stays, its contents are others: as after a restore. */
static void emptied_and_filled(void **state)
{
    static const char *const names_[] = { "data.1", "log", "magic", "current", "writer.lock" };
    char path[PATH_MAX + 32];
    (void)state;
    put("kv", "k", "1");
    written();
    struct azoth *a = reader();
    for (size_t i = 0; i < ROWS(names_); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", t.dir, names_[i]);
        remove_tree(path);
    }
    assert_string_equal(until(a, "k", "no azoth store there"), "no azoth store there");
    assert_string_equal(look_now(a, "kv", "k"), "no azoth store there");
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    put("kv", "k", "other");
    written();
    assert_string_equal(until(a, "k", "other"), "other");
    azoth_close(a);
}

/* --- threads and processes ------------------------------------------------------------------------------------- */
#define THREADS 4
static atomic_bool stop;
static atomic_int wrong;
static void is_wrong(const char *what, enum azoth_err err, const char *words)
{
    print_error("%s: '%s' (%s)\n", what, azoth_strerror(err), words);
    atomic_fetch_add(&wrong, 1);
}
/* One snapshot: whole, and not older than the one before. */
static void watch_once(struct azoth *a, uint64_t *last)
{
    struct azoth_position at = { .seq = 0 };
    struct azoth_value v = { .seq = 0 };
    enum azoth_err err = azoth_begin(a);
    if (err != AZOTH_OK) {
        is_wrong("begin", err, azoth_words(a));
        return;
    }
    if ((err = azoth_position(a, &at)) != AZOTH_OK || (at.seq < *last && at.seq < 90))     /* fresh ones begin at 90 */
        is_wrong("position", err, azoth_words(a));
    if ((err = azoth_get(a, "kv", "k", 1, &v)) != AZOTH_OK || v.seq != at.seq)
        is_wrong("get", err, azoth_words(a));
    azoth_end(a);
    *last = at.seq;
}
static void *watch(void *arg)
{
    struct azoth *a = NULL;
    char why[512];
    (void)arg;
    for (uint64_t last = 0; !atomic_load(&stop) && atomic_load(&wrong) == 0;) {
        enum azoth_err err = a != NULL ? AZOTH_OK : azoth_open(t.dir, &a, why, sizeof why);
        if (err != AZOTH_OK) {
            is_wrong("open", err, why);
            break;
        }
        watch_once(a, &last);
        if (last % 7 == 0) {                            /* they come and go */
            azoth_close(a);
            a = NULL;
        }
    }
    azoth_close(a);
    return NULL;
}
static void threads(void **state)
{
    pthread_t ids[THREADS];
    (void)state;
    put("kv", "k", "1");
    written();
    struct writer w = writer_start();
    atomic_store(&stop, false);
    atomic_store(&wrong, 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, watch, NULL), 0);
    for (unsigned i = 0; i < 150; i++) {
        writer_do(&w, i % 50 == 49 ? 'f' : 'p', "k");
        (void)usleep(500);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    assert_int_equal(atomic_load(&wrong), 0);
    writer_stop(&w);
}

static struct azoth *parents;
static void child_of_reader(void)
{
    struct azoth_position at;
    struct azoth_value v;
    struct azoth *a;
    if (azoth_get(parents, "kv", "k", 1, &v) != AZOTH_FORKED || azoth_begin(parents) != AZOTH_FORKED)
        _exit(1);
    if (azoth_wait(parents, 0, 0, 0) != AZOTH_FORKED || azoth_position(parents, &at) != AZOTH_FORKED)
        _exit(2);
    azoth_end(parents);
    azoth_close(parents);
    if (azoth_open(t.dir, &a, NULL, 0) != AZOTH_OK)
        _exit(3);
    if (strcmp(look_now(a, "kv", "k"), "1") == 0)       /* the newest, not the parent's snapshot */
        _exit(4);
    azoth_close(a);
}
static void forks(void **state)
{
    (void)state;
    put("kv", "k", "1");
    written();
    struct writer w = writer_start();
    parents = reader();
    assert_err(azoth_begin(parents), AZOTH_OK);
    writer_do(&w, 'p', "k");
    assert_int_equal(in_child(child_of_reader), 0);
    for (unsigned i = 0; i < 50; i++)                   /* would use the pages again, had the child given up our slot */
        writer_do(&w, 'p', "k");
    assert_string_equal(look(parents, "kv", "k"), "1");
    assert_err(azoth_scan(parents, "kv", NULL, count, &(unsigned){ 0 }), AZOTH_OK);
    azoth_end(parents);
    assert_string_equal(look_now(parents, "kv", "k"), "52");
    azoth_close(parents);
    writer_stop(&w);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(snapshots), T(generations), T(waits), T(signals_do_not_end_it), T(replaced), T(emptied_and_filled),
        T(threads), T(forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
