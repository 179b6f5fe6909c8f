/* azoth-core's parts that need no loop: the job queue, the list of zones, the configuration's files. */
#include "tests/util.h"

#include "base/clock.h"
#include "base/file.h"
#include "builder/core_check.h"
#include "builder/core_zones.h"
#include "builder/queue.h"
#include "builder/zonelist.h"
#include "tests/unit/builder_zone.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char dir[] = "/tmp/azoth-core-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    struct dirent *e;
    char path[PATH_MAX];
    DIR *d = opendir(dir);
    (void)state;
    while (d != NULL && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.' && file_path(path, sizeof path, dir, e->d_name) == OK)
            (void)remove(path);
    if (d != NULL)
        (void)closedir(d);
    return rmdir(dir);
}

static const char *put_file(const char *name, const char *text)
{
    static char path[PATH_MAX];
    assert_int_equal(file_path(path, sizeof path, dir, name), OK);
    assert_int_equal(file_replace(path, bytes_of_text(text), 0644, NULL), OK);
    return path;
}

/* --- queue ------------------------------------------------------------------------------------------------------- */
struct seen { pthread_mutex_t lock; char text[64]; atomic_int ended, dropped; };
struct letter { struct seen *seen; char c; unsigned slow_ms; };

static void write_letter(void *arg)
{
    struct letter *l = arg;
    (void)usleep(l->slow_ms * 1000);
    (void)pthread_mutex_lock(&l->seen->lock);
    size_t n = strlen(l->seen->text);
    l->seen->text[n] = l->c;
    l->seen->text[n + 1] = '\0';
    (void)pthread_mutex_unlock(&l->seen->lock);
}

static void drop_letter(void *arg)
{
    struct letter *l = arg;
    l->seen->dropped++;
}

static void on_ended(void *arg)
{
    struct seen *s = arg;
    s->ended = 1;
}

static void wait_for(struct seen *s, size_t letters)
{
    for (int i = 0; i < 2000; i++) {
        (void)pthread_mutex_lock(&s->lock);
        size_t n = strlen(s->text);
        (void)pthread_mutex_unlock(&s->lock);
        if (n >= letters)
            return;
        (void)usleep(1000);
    }
    fail_msg("the queue did only '%s'", s->text);
}

static void queue_keeps_order(void **state)
{
    struct seen s = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct letter l[] = { { &s, 'a', 20 }, { &s, 'b', 0 }, { &s, 'c', 0 }, { &s, 'd', 0 } };
    struct queue *q;
    (void)state;
    assert_int_equal(queue_open(&q, on_ended, &s), OK);
    assert_int_equal(queue_push(q, &(struct job){ write_letter, drop_letter, &l[3] }, 100), OK);    /* later */
    for (int i = 0; i < 3; i++)
        assert_int_equal(queue_push(q, &(struct job){ write_letter, drop_letter, &l[i] }, 0), OK);
    wait_for(&s, 4);
    assert_string_equal(s.text, "abcd");
    assert_int_equal(queue_waiting(q), 0);
    queue_close(q);
    assert_int_equal(s.ended, 1);
    assert_int_equal(s.dropped, 0);
}

static void queue_stop_drops_the_rest(void **state)
{
    struct seen s = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct letter l[] = { { &s, 'a', 100 }, { &s, 'b', 0 }, { &s, 'c', 0 } };
    struct queue *q;
    (void)state;
    assert_int_equal(queue_open(&q, on_ended, &s), OK);
    assert_int_equal(queue_push(q, &(struct job){ write_letter, drop_letter, &l[0] }, 0), OK);
    (void)usleep(30000);        /* the first one runs */
    assert_int_equal(queue_push(q, &(struct job){ write_letter, drop_letter, &l[1] }, 0), OK);
    assert_int_equal(queue_push(q, &(struct job){ write_letter, drop_letter, &l[2] }, 60000), OK);
    queue_stop(q);
    assert_int_equal(queue_push(q, &(struct job){ write_letter, drop_letter, &l[1] }, 0), ERR_NOTNOW);
    queue_close(q);
    assert_string_equal(s.text, "a");
    assert_int_equal(s.dropped, 2);
    assert_int_equal(s.ended, 1);
}

/* --- list of zones ----------------------------------------------------------------------------------------------- */
static void zonelist_sorts_and_checks(void **state)
{
    const struct config_zone lines[] = {
        { "b.example", "f1" }, { "A.Example.", "f2" }, { "a.example", "f3" }, { "bad..name", "f4" },
    };
    struct zonelist l;
    struct name a;
    (void)state;
    zonelist_init(&l);
    assert_int_equal(zonelist_take(&l, lines, ROWS(lines)), OK);
    assert_int_equal(l.n, 2);
    assert_int_equal(name_from_text(bytes_of_text("a.example."), bytes_of(NULL, 0), &a), OK);
    struct zone_want *z = zonelist_find(&l, name_bytes(&a));
    assert_non_null(z);
    assert_string_equal(z->text, "a.example.");
    assert_string_equal(z->file, "f2");         /* the first of two lines counts */
    assert_int_equal(name_from_text(bytes_of_text("c.example."), bytes_of(NULL, 0), &a), OK);
    assert_null(zonelist_find(&l, name_bytes(&a)));
    zonelist_release(&l);
}

static void zonelist_carries_over(void **state)
{
    const struct config_zone before[] = { { "a.", "f1" }, { "b.", "f2" }, { "c.", "f3" } };
    const struct config_zone after[] = { { "b.", "f2" }, { "c.", "moved" }, { "d.", "f4" } };
    struct zonelist x, y;
    (void)state;
    zonelist_init(&x);
    zonelist_init(&y);
    assert_int_equal(zonelist_take(&x, before, ROWS(before)), OK);
    assert_int_equal(zonelist_take(&y, after, ROWS(after)), OK);
    for (size_t i = 0; i < x.n; i++)
        x.zones[i].loaded = true;
    zonelist_carry_over(&y, &x);
    assert_true(y.zones[0].loaded);             /* b.: same file */
    assert_false(y.zones[1].loaded);            /* c.: another file, so it is read */
    assert_false(y.zones[2].loaded);
    zonelist_release(&x);
    zonelist_release(&y);
}

static void zonelist_survives_on_disk(void **state)
{
    const struct config_zone a[] = { { "a.", "f" }, { "sp\\032ace.example.", "f" } },
    b[] = { { "b.", "f" }, { "A.", "f" } };
    struct zonelist x, y, back;
    struct fault fault = { "" };
    (void)state;
    zonelist_init(&back);
    assert_int_equal(zonelist_read(&back, dir, &fault), OK);        /* no file yet */
    assert_int_equal(back.n, 0);
    zonelist_init(&x);
    zonelist_init(&y);
    assert_int_equal(zonelist_take(&x, a, ROWS(a)), OK);
    assert_int_equal(zonelist_take(&y, b, ROWS(b)), OK);
    assert_int_equal(zonelist_write(&x, &y, dir, &fault), OK);
    assert_int_equal(zonelist_read(&back, dir, &fault), OK);
    assert_int_equal(back.n, 3);
    for (size_t i = 0; i < x.n; i++)
        assert_non_null(zonelist_find(&back, name_bytes(&x.zones[i].apex)));
    zonelist_release(&back);
    (void)put_file("zones.list", "a.\nno..name\n");
    assert_int_equal(zonelist_read(&back, dir, &fault), ERR_BAD);
    assert_non_null(strstr(fault.text, "zones.list:2"));
    zonelist_release(&back);
    zonelist_release(&x);
    zonelist_release(&y);
}

static void marks_and_hashes(void **state)
{
    struct file_mark one, two;
    uint8_t h1[FILE_HASH_LEN], h2[FILE_HASH_LEN];
    struct fault fault = { "" };
    (void)state;
    const char *path = put_file("zone", "same");
    assert_int_equal(file_mark_take(path, &one, &fault), OK);
    assert_int_equal(file_hash(path, h1, &fault), OK);
    assert_int_equal(file_mark_take(path, &two, &fault), OK);
    assert_true(file_mark_equal(&one, &two));
    assert_true(one.young);
    assert_int_equal(file_mark_take("/proc/self/exe", &two, &fault), OK);
    assert_false(file_mark_equal(&one, &two));
    assert_int_equal(file_mark_take(path, &two, &fault), OK);
    (void)put_file("zone", "same");             /* another inode, the same contents */
    assert_int_equal(file_mark_take(path, &two, &fault), OK);
    assert_int_equal(file_hash(path, h2, &fault), OK);
    assert_false(file_mark_equal(&one, &two));
    assert_memory_equal(h1, h2, FILE_HASH_LEN);
    (void)put_file("zone", "else");
    assert_int_equal(file_hash(path, h2, &fault), OK);
    assert_memory_not_equal(h1, h2, FILE_HASH_LEN);
    assert_int_equal(file_mark_take(dir, &one, &fault), ERR_IO);
    assert_int_equal(file_mark_take("/nonexistent/zone", &one, &fault), ERR_NOTFOUND);
    char fifo[PATH_MAX];
    assert_int_equal(file_path(fifo, sizeof fifo, dir, "fifo"), OK);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(file_mark_take(fifo, &one, &fault), ERR_IO);
}

/* --- zone files kept in step ------------------------------------------------------------------------------------- */
struct kept { struct place p; struct queue *q; struct zones *z; struct seen s; atomic_bool stop; };

static void kept_open(struct kept *k)
{
    struct fault fault = { "" };
    *k = (struct kept){ .s = { .lock = PTHREAD_MUTEX_INITIALIZER } };
    place_open(&k->p);
    assert_int_equal(queue_open(&k->q, on_ended, &k->s), OK);
    struct zones_options o = { .dir = k->p.dir, .store = k->p.store, .committer = k->p.committer, .queue = k->q,
                               .stop = &k->stop };
    assert_int_equal(zones_open(&k->z, &o, &fault), OK);
}

static void kept_close(struct kept *k)
{
    queue_close(k->q);
    zones_close(k->z);
    place_close(&k->p);
}

/* SIGHUP with this one zone; gives how many loads changed the store so far. */
static uint64_t kept_hup(struct kept *k, char *file)
{
    char name[] = "example.org";
    struct config_zone want = { .name = name, .file = file };
    uint64_t before = stat_get(&zones_stats(k->z)->passes);
    assert_int_equal(zones_want(k->z, &want, 1), OK);
    for (int tries = 0; tries < 20000 && stat_get(&zones_stats(k->z)->passes) == before; tries++)
        (void)usleep(100);
    assert_int_equal(stat_get(&zones_stats(k->z)->refused), 0);
    return stat_get(&zones_stats(k->z)->loads);
}

/* One row: what happens to the files before the next SIGHUP, and how many loads changed the store by then. */
static void zones_follow_their_files(void **state)
{
    static const struct { const char *name, *text; uint64_t loads; } rows[] = {
        { "part", "x A 192.0.2.1\n", 1 },
        { "part", "x A 192.0.2.1\n", 1 },          /* another inode, the same text */
        { "part", "x A 192.0.2.2\n", 2 },          /* the zone file itself did not move */
        { "zone", "@ 60 SOA a b 2 2 3 4 30\n@ 60 NS ns\n$INCLUDE part\n", 3 },
        { "zone", "@ 60 SOA a b 3 2 3 4 30\n@ 60 NS ns\n", 4 },
        { "part", "x A 192.0.2.3\n", 4 },          /* no longer included */
    };
    struct kept k;
    char file[PATH_MAX];
    (void)state;
    kept_open(&k);
    strcpy(file, put_file("zone", "@ 60 SOA a b 1 2 3 4 30\n@ 60 NS ns\n$INCLUDE part\n"));
    for (size_t i = 0; i < ROWS(rows); i++) {
        (void)put_file(rows[i].name, rows[i].text);
        uint64_t loads = kept_hup(&k, file);
        if (loads != rows[i].loads)
            fail_msg("row %zu: %d loads", i, (int)loads);
    }
    kept_close(&k);
}

/* A lack of descriptors says nothing about a zone file: it is not refused, the pass failed and is made again. */
static void zones_without_descriptors(void **state)
{
    struct kept k;
    char file[PATH_MAX];
    struct rlimit was;
    char name[] = "example.org";
    (void)state;
    kept_open(&k);
    strcpy(file, put_file("zone", "@ 60 SOA a b 1 2 3 4 30\n@ 60 NS ns\n"));
    assert_int_equal(kept_hup(&k, file), 1);
    (void)put_file("zone", "@ 60 SOA a b 2 2 3 4 30\n@ 60 NS ns\n");
    int lowest = open("/", O_RDONLY | O_CLOEXEC);
    assert_true(lowest >= 0);
    (void)close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ (rlim_t)lowest, was.rlim_max }), 0);
    struct config_zone want = { .name = name, .file = file };
    const struct zones_stats *s = zones_stats(k.z);
    assert_int_equal(zones_want(k.z, &want, 1), OK);
    for (int tries = 0; tries < 20000 && stat_get(&s->passes) == 1; tries++)
        (void)usleep(100);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(stat_get(&s->failures), 1);
    assert_int_equal(stat_get(&s->refused), 0);
    assert_int_equal(kept_hup(&k, file), 2);
    kept_close(&k);
}

/* --- configuration's files --------------------------------------------------------------------------------------- */
struct problems { unsigned n; char last_key[64]; };

static void on_problem(void *arg, const char *key, const char *text)
{
    struct problems *p = arg;
    assert_true(text[0] != '\0');
    p->n++;
    (void)snprintf(p->last_key, sizeof p->last_key, "%s", key);
}

static void config_files(void **state)
{
    char path[PATH_MAX];
    struct problems p = { 0 };
    (void)state;
    (void)snprintf(path, sizeof path, "%s", put_file("there", "a-key-of-the-api ro\n"));
    struct config_zone good[] = { { "a.", path }, { "b.", path } }, twice[] = { { "a.", path }, { "b.", path },
                                                                                { "A", path } };
    struct config_zone absent[] = { { "a.", "/nonexistent/zone" } }, nameless[] = { { "a..b", path } };
    struct config_core core = { .zones = good, .zones_n = 2, .api_key_file = path, .nodes = dir };
    assert_int_equal(core_check_files(&core, on_problem, &p), 0);
    assert_int_equal(core_check_zones(&core, on_problem, &p), 0);
    core.zones = twice;
    core.zones_n = 3;
    assert_int_equal(core_check_zones(&core, on_problem, &p), 1);
    assert_string_equal(p.last_key, "core.zones.3.name");
    core.zones = absent;
    core.zones_n = 1;
    assert_int_equal(core_check_zones(&core, on_problem, &p), 1);
    assert_string_equal(p.last_key, "core.zones.1.file");
    core.zones = nameless;
    assert_int_equal(core_check_zones(&core, on_problem, &p), 1);
    assert_string_equal(p.last_key, "core.zones.1.name");
    core.api_key_file = "/nonexistent/api.key";
    assert_int_equal(core_check_files(&core, on_problem, &p), 1);
    assert_string_equal(p.last_key, "core.api.key_file");
    core.api_key_file = dir;        /* a folder is no file */
    core.nodes = path;              /* and a file no folder */
    assert_int_equal(core_check_files(&core, on_problem, &p), 2);
    core.nodes = NULL;
    core.api_key_file = put_file("keys", "short\n");
    assert_int_equal(core_check_files(&core, on_problem, &p), 1);
    assert_string_equal(p.last_key, "core.api.key_file");
    core.api_key_file = NULL;
    core.api_cert = core.api_key = path;            /* both are there, and hold no certificate, no key */
    assert_int_equal(core_check_files(&core, on_problem, &p), 1);
    assert_string_equal(p.last_key, "core.api.cert");
    core.api_cert = "/nonexistent/crt";
    assert_int_equal(core_check_files(&core, on_problem, &p), 1);
    assert_int_equal(p.n, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_keeps_order), cmocka_unit_test(queue_stop_drops_the_rest),
        cmocka_unit_test(zonelist_sorts_and_checks), cmocka_unit_test(zonelist_carries_over),
        cmocka_unit_test(zonelist_survives_on_disk), cmocka_unit_test(marks_and_hashes), cmocka_unit_test(config_files),
        cmocka_unit_test(zones_follow_their_files), cmocka_unit_test(zones_without_descriptors),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
