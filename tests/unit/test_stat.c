/* Where the bytes of a store go: the parts add up, the reckoned tree is the one that LMDB makes, and azoth stat says it. */
#include "tests/util_store.h"

#include "rrset/rrkey.h"
#include "store/space.h"
#include "tools/tool.h"

#include <jansson.h>
#include <signal.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* --- the store ---------------------------------------------------------------------------------------------------- */
static void want_sum(const struct space *s, const char *when)
{
    uint64_t sum = s->header_pages + s->free_pages + s->newer_pages;
    for (size_t i = 0; i < s->trees_n; i++)
        sum += space_tree_pages(&s->trees[i]);
    if (sum != s->file_pages || s->newer_pages != 0 || !s->exact || s->header_pages != 2)
        fail_msg("%s: parts %llu, file %llu, newer %llu", when, (unsigned long long)sum, (unsigned long long)s->file_pages,
                 (unsigned long long)s->newer_pages);
}

/* The whole data, walked; checked against the store's other figures. */
static void look(struct store *st, struct space *out, const char *when)
{
    struct view *v = NULL;
    struct store_figures f;
    assert_ok(view_open(st, &v, NULL), NULL);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_space(v, out), NULL);
    want_sum(out, when);
    assert_ok(view_space_walk(v, out, NULL, NULL), NULL);
    assert_ok(store_figures(st, &f), NULL);
    assert_int_equal(f.used_bytes, out->file_pages * out->page_size);
    assert_int_equal(f.free_bytes, out->free_pages * out->page_size);
    assert_int_equal(f.map_bytes, out->map_bytes);
    view_end(v);
    view_close(v);
}

static struct space_tree *tree(struct space *s, const char *ns)
{
    for (size_t i = 0; i < s->trees_n; i++)
        if (s->trees[i].kind == SPACE_NAMESPACE && strcmp(s->trees[i].name, ns) == 0)
            return &s->trees[i];
    fail_msg("no namespace %s", ns);
    return NULL;
}

static uint8_t filler[STORE_VALUE_MAX];

/* What LMDB makes of ascending keys is what pack reckons, page for page. */
static void appended_tree_is_reckoned(void **state)
{
    static const struct { const char *why; unsigned n; uint32_t key_least, key_most, value_most; } rows[] = {
        { "no entry",                   0,     8,   8,   0 },
        { "one entry",                  1,     8,   8,   3 },
        { "small",                      20000, 8,   20,  40 },
        { "no values",                  9000,  8,   9,   0 },
        { "long keys, deep tree",       6000,  400, 510, 30 },
        { "about half a page",          3000,  8,   60,  2100 },
        { "overflow of many pages",     200,   8,   40,  60000 },
        { "keys and values of any length", 3000, 8, 510, 9000 },
    };
    static struct space s;
    uint64_t seed = seed_from_env(11);
    struct rnd rnd = rnd_seed(seed);
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct tmp_store t;
        tmp_store_open(&t, STORE_CORE);
        struct op *ops = calloc(rows[i].n + 1, sizeof *ops);
        uint8_t *keys = calloc(rows[i].n + 1, STORE_KEY_MAX);
        uint64_t key_bytes = 0, value_bytes = 0;
        for (unsigned k = 0; k < rows[i].n; k++) {
            struct wr w = wr_over(keys + (size_t)k * STORE_KEY_MAX, STORE_KEY_MAX);
            wr_u64(&w, k);
            size_t key = rows[i].key_least + rnd_below(&rnd, rows[i].key_most - rows[i].key_least + 1);
            size_t value = rnd_below(&rnd, rows[i].value_most + 1);
            ops[k] = (struct op){ OP_PUT, bytes_of_text("kv"), bytes_of(w.buf, key), bytes_of(filler, value) };
            key_bytes += key;
            value_bytes += value;
        }
        if (rows[i].n > 0)
            tmp_store_commit(&t, ops, rows[i].n);
        look(t.s, &s, rows[i].why);
        if (rows[i].n > 0) {
            const struct space_tree *kv = tree(&s, "kv");
            const struct pack *p = &kv->pack;
            if (p->branch_pages != kv->branch_pages || p->leaf_pages != kv->leaf_pages ||
                p->overflow_pages != kv->overflow_pages)
                fail_msg("%s, seed %llu: reckoned %llu branch %llu leaf %llu overflow pages, LMDB has %llu %llu %llu",
                         rows[i].why, (unsigned long long)seed, (unsigned long long)p->branch_pages,
                         (unsigned long long)p->leaf_pages, (unsigned long long)p->overflow_pages,
                         (unsigned long long)kv->branch_pages, (unsigned long long)kv->leaf_pages,
                         (unsigned long long)kv->overflow_pages);
            assert_int_equal(kv->entries, rows[i].n);
            assert_int_equal(p->key_bytes, key_bytes);
            assert_int_equal(p->value_bytes, value_bytes);
            assert_true(p->leaf_bytes <= kv->leaf_pages * pack_page_room(p));
        }
        free(keys);
        free(ops);
        tmp_store_close(&t);
    }
}

static MUST_USE enum err try_fill(struct tmp_store *t, const char *ns, unsigned first, unsigned n, unsigned step, size_t value)
{
    struct op *ops = calloc(n, sizeof *ops);
    char (*keys)[16] = calloc(n, sizeof *keys);
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key-%08u", first + i * step);
        ops[i] = (struct op){ OP_PUT, bytes_of_text(ns), bytes_of_text(keys[i]), bytes_of(filler, value) };
    }
    enum err err = store_run(t->s, ops, n, &t->fault);
    free(keys);
    free(ops);
    return err;
}

static void fill(struct tmp_store *t, const char *ns, unsigned first, unsigned n, unsigned step, size_t value)
{
    assert_ok(try_fill(t, ns, first, n, step, value), &t->fault);
}

static void thin(struct tmp_store *t, const char *ns, unsigned n, unsigned keep_each)
{
    struct op *ops = calloc(n, sizeof *ops);
    char (*keys)[16] = calloc(n, sizeof *keys);
    size_t m = 0;
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key-%08u", i);
        if (i % keep_each != 0)
            ops[m++] = op_del(ns, keys[i]);
    }
    tmp_store_commit(t, ops, m);
    free(keys);
    free(ops);
}

/* Any history: the parts are the file; and the same of the log. */
static void parts_are_the_file(void **state)
{
    static const char *const names[] = { "dns", "kv", "a", "zz.9" };
    static struct space s;
    static struct log_space l;
    uint64_t seed = seed_from_env(3);
    struct rnd rnd = rnd_seed(seed);
    struct tmp_store t;
    struct view *held = NULL;
    char when[64];
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    look(t.s, &s, "empty store");
    assert_int_equal(s.trees_n, 5);
    assert_ok(view_open(t.s, &held, NULL), NULL);
    for (unsigned round = 0; round < 60; round++) {
        const char *ns = names[rnd_below(&rnd, ROWS(names))];
        static const size_t values[] = { 0, 10, 300, 2033, 5000, 100000 };
        if (rnd_below(&rnd, 3) == 0)
            thin(&t, ns, 800, 2 + rnd_below(&rnd, 40));
        else
            fill(&t, ns, rnd_below(&rnd, 800), 1 + rnd_below(&rnd, 60), 1 + rnd_below(&rnd, 9),
                 values[rnd_below(&rnd, ROWS(values))]);
        struct log_txn *log = NULL;
        assert_ok(log_begin(t.s, &log, NULL), NULL);
        assert_ok(log_append(log, round + 1, bytes_of(filler, rnd_below(&rnd, 9000)), NULL), NULL);
        assert_ok(log_commit(log, NULL), NULL);
        if (round % 20 == 5)
            assert_ok(view_begin(held), NULL);      /* keeps pages from being taken again */
        if (round % 20 == 15)
            view_end(held);
        (void)snprintf(when, sizeof when, "seed %llu round %u", (unsigned long long)seed, round);
        look(t.s, &s, when);
        assert_ok(store_log_space(t.s, true, &l, NULL, NULL, NULL), NULL);
        want_sum(&l.space, when);
        assert_int_equal(l.first, 1);
        assert_int_equal(l.last, round + 1);
    }
    assert_true(s.free_pages > 0);
    view_close(held);
    tmp_store_close(&t);
}

/* A view from before a commit knows only that the file has grown. */
static void views_behind_are_told(void **state)
{
    static struct space s;
    struct tmp_store t;
    struct view *v = NULL;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    fill(&t, "kv", 0, 10, 1, 10);
    assert_ok(view_open(t.s, &v, NULL), NULL);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_space(v, &s), NULL);
    assert_true(s.exact);
    uint64_t before = s.file_pages;
    fill(&t, "new", 0, 10, 1, 10000);
    assert_ok(view_space(v, &s), NULL);
    assert_false(s.exact);
    assert_int_equal(s.file_pages - s.newer_pages, before);
    assert_true(s.newer_pages >= 10000 / s.page_size * 10);
    view_end(v);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_space(v, &s), NULL);
    want_sum(&s, "a new view");
    assert_int_equal(tree(&s, "new")->entries, 10);
    view_end(v);
    view_close(v);
    tmp_store_close(&t);
}

/* What compact will give back is what it gives back. */
static void compaction_is_foretold(void **state)
{
    static struct space s;
    struct tmp_store t;
    uint64_t before = 0, after = 0;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    fill(&t, "kv", 0, 20000, 1, 60);
    fill(&t, "big", 0, 300, 1, 9000);
    thin(&t, "kv", 20000, 3);
    thin(&t, "big", 300, 4);
    look(t.s, &s, "thinned");
    uint64_t want = space_compacted_pages(&s);
    assert_true(want < s.file_pages / 2);
    assert_ok(store_compact(t.s, &before, &after, &t.fault), &t.fault);
    assert_int_equal(before, s.file_pages * s.page_size);
    assert_in_range(after / s.page_size, want, want + 16);
    look(t.s, &s, "compacted");
    assert_in_range(s.file_pages - space_compacted_pages(&s), 0, 16);
    tmp_store_close(&t);
}

/* --- the command -------------------------------------------------------------------------------------------------- */
static char printed[65536];

/* What azoth stat prints of a store that this process has not open. */
static const char *stat_run(const struct tmp_store *t, bool json, bool deep, int want)
{
    struct options o = { .dir = t->dir, .json = json, .deep = deep };
    FILE *to = tmpfile();
    (void)fflush(stdout);
    int out = dup(STDOUT_FILENO);
    if (to == NULL || out < 0 || dup2(fileno(to), STDOUT_FILENO) < 0)
        fail_msg("cannot redirect the output");
    int code = cmd_stat(&o);
    (void)fflush(stdout);
    (void)dup2(out, STDOUT_FILENO);
    (void)close(out);
    rewind(to);
    size_t n = fread(printed, 1, sizeof printed - 1, to);
    printed[n] = '\0';
    (void)fclose(to);
    assert_int_equal(code, want);
    return printed;
}

static const char *stat_of(struct tmp_store *t, bool json, bool deep, int want)
{
    store_close(t->s);
    t->s = NULL;
    (void)stat_run(t, json, deep, want);
    assert_ok(store_open(&t->s, &t->options, &t->fault), &t->fault);
    return printed;
}

static json_t *parsed(struct tmp_store *t, bool deep, int want)
{
    json_error_t error;
    json_t *v = json_loads(stat_of(t, true, deep, want), JSON_REJECT_DUPLICATES, &error);
    if (v == NULL)
        fail_msg("no JSON: %s in %s", error.text, printed);
    return v;
}

/* The number at "a.b.c"; it must be there. */
static int64_t at(json_t *v, const char *path)
{
    char part[64];
    const char *all = path;
    while (*path != '\0') {
        size_t n = strcspn(path, ".");
        (void)snprintf(part, sizeof part, "%.*s", (int)n, path);
        v = json_object_get(v, part);
        path += n + (path[n] == '.');
    }
    if (!json_is_number(v))
        fail_msg("%s is no number", all);
    return (int64_t)json_number_value(v);
}

static int64_t sum_of(json_t *trees, bool deep)
{
    const char *name;
    json_t *t;
    int64_t sum = 0;
    json_object_foreach(trees, name, t) {
        sum += at(t, "page_bytes");
        assert_int_equal(at(t, "page_bytes"),
                         at(t, "page_size") * (at(t, "branch_pages") + at(t, "leaf_pages") + at(t, "overflow_pages")));
        if (deep && json_object_get(t, "key_bytes") != NULL) {
            assert_int_equal(at(t, "page_bytes"), at(t, "key_bytes") + at(t, "value_bytes") + at(t, "overhead_bytes"));
            assert_in_range(at(t, "leaf_fill_percent"), 0, 100);
        }
    }
    return sum;
}

static void want_json_sums(json_t *v, bool deep)
{
    json_t *data = json_object_get(v, "data"), *log = json_object_get(v, "log");
    assert_int_equal(at(data, "used_bytes"), at(data, "free_bytes") + at(data, "header_bytes") + at(data, "newer_bytes") +
                     sum_of(json_object_get(data, "bookkeeping"), deep) + sum_of(json_object_get(v, "namespaces"), deep));
    assert_int_equal(at(log, "used_bytes"), at(log, "free_bytes") + at(log, "header_bytes") + at(log, "newer_bytes") +
                     sum_of(json_object_get(log, "bookkeeping"), deep) + at(log, "pieces.page_bytes"));
    assert_int_equal(at(data, "newer_bytes"), 0);
    assert_int_equal(at(log, "newer_bytes"), 0);
    for (size_t i = 0; i < 4; i++) {
        static const char *const books[] = { "meta", "ring", "databases", "free_list" };
        assert_non_null(json_object_get(json_object_get(data, "bookkeeping"), books[i]));
    }
}

static void command_of_an_empty_store(void **state)
{
    struct tmp_store t;
    (void)state;
    tmp_store_open(&t, STORE_EDGE);
    for (int deep = 0; deep < 2; deep++) {
        json_t *v = parsed(&t, deep, EXIT_FINE);
        want_json_sums(v, deep);
        static const char *const zeros[] = { "epoch", "applied", "head", "entries", "bytes", "zones", "namespaces.dns.entries",
                                             "namespaces.dns.page_bytes", "data.bytes_per_entry", "log.records", "log.first",
                                             "data.free_bytes", "namespaces.dns.bytes_per_entry" };
        for (size_t i = 0; i < ROWS(zeros); i++)
            if (at(v, zeros[i]) != 0)
                fail_msg("%s is %lld", zeros[i], (long long)at(v, zeros[i]));
        assert_int_equal(json_object_get(json_object_get(v, "data"), "compacted_bytes") != NULL, deep);
        json_decref(v);
        assert_non_null(strstr(stat_of(&t, false, deep, EXIT_FINE), "\ndata file "));
    }
    tmp_store_close(&t);
}

static void command_of_known_contents(void **state)
{
    struct tmp_store t;
    struct log_txn *log = NULL;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    fill(&t, "small", 0, 500, 1, 20);           /* 12-byte keys */
    fill(&t, "big", 0, 7, 1, 10000);            /* each three pages: 10,000 and a header of 16 */
    fill(&t, "gone", 0, 2000, 1, 100);
    thin(&t, "gone", 2000, 2000);
    assert_ok(log_begin(t.s, &log, NULL), NULL);
    for (uint64_t seq = 5; seq < 9; seq++)
        assert_ok(log_append(log, seq, bytes_of(filler, 4000), NULL), NULL);
    assert_ok(log_commit(log, NULL), NULL);

    static const struct { const char *path; int64_t want; } rows[] = {
        { "entries", 508 }, { "applied", 4 }, { "namespaces.dns.entries", 0 },
        { "namespaces.small.entries", 500 }, { "namespaces.small.key_bytes", 6000 }, { "namespaces.small.value_bytes", 10000 },
        { "namespaces.small.overflow_pages", 0 },
        { "namespaces.big.entries", 7 }, { "namespaces.big.key_bytes", 84 }, { "namespaces.big.value_bytes", 70000 },
        { "namespaces.big.leaf_pages", 1 }, { "namespaces.big.branch_pages", 0 },
        { "namespaces.gone.entries", 1 }, { "namespaces.gone.key_bytes", 12 }, { "namespaces.gone.value_bytes", 100 },
        { "namespaces.gone.leaf_pages", 1 }, { "namespaces.dns.records", 0 },
        { "log.first", 5 }, { "log.last", 8 }, { "log.records", 4 }, { "log.record_bytes", 16000 }, { "log.pieces.entries", 12 },
        { "bytes", 6000 + 10000 + 84 + 70000 + 112 }, { "generation", 1 },
    };
    json_t *v = parsed(&t, true, EXIT_FINE);
    want_json_sums(v, true);
    for (size_t i = 0; i < ROWS(rows); i++)
        if (at(v, rows[i].path) != rows[i].want)
            fail_msg("%s is %lld, not %lld", rows[i].path, (long long)at(v, rows[i].path), (long long)rows[i].want);
    int64_t page = at(v, "namespaces.big.page_size");
    assert_int_equal(at(v, "namespaces.big.overflow_pages"), 7 * ((10000 + 16 + page - 1) / page));
    assert_true(at(v, "data.free_bytes") > 2000 * 100 / 2);
    assert_int_equal(at(v, "data.used_bytes") - at(v, "data.compacted_bytes"), at(v, "data.reclaimable_bytes"));
    assert_true(at(v, "data.reclaimable_bytes") >= at(v, "data.free_bytes"));
    assert_int_equal(at(v, "data.bytes_per_entry"), at(v, "data.used_bytes") / 508);
    assert_int_equal(at(v, "namespaces.small.bytes_per_entry"), at(v, "namespaces.small.page_bytes") / 500);
    json_decref(v);

    v = parsed(&t, false, EXIT_FINE);           /* the same without a walk, and nothing that needs one */
    want_json_sums(v, false);
    assert_int_equal(at(v, "namespaces.big.entries"), 7);
    assert_null(json_object_get(json_object_get(json_object_get(v, "namespaces"), "big"), "key_bytes"));
    assert_null(json_object_get(json_object_get(v, "log"), "record_bytes"));
    static const char *const kept[] = { "cluster", "digest", "dir", "role", "readers", "oldest_reader_lag" };
    for (size_t i = 0; i < ROWS(kept); i++)
        assert_non_null(json_object_get(v, kept[i]));
    json_decref(v);
    tmp_store_close(&t);
}

/* In the process of the writer: commits until it is killed, each of another size. */
static void write_forever(struct tmp_store *t)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);     /* a test that fails leaves nothing running */
    (void)alarm(60);
    if (store_open(&t->s, &t->options, &t->fault) != OK)
        _exit(1);
    for (unsigned i = 0;; i++) {
        enum err err = try_fill(t, i % 2 == 0 ? "kv" : "zz", i % 500, 1 + i % 7, 3, i % 11 == 0 ? 9000 : i % 300);
        if (err == ERR_FULL)
            (void)usleep(1000);                 /* the reader stood still with a view, while a gigabyte went by */
        else if (err != OK)
            _exit(1);
    }
}

/* Beside a writer that commits all the time, everything printed is still one state. */
static void command_beside_a_writer(void **state)
{
    struct tmp_store t;
    int64_t before = 0, after = 0;
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    fill(&t, "kv", 0, 500, 1, 50);
    store_close(t.s);
    t.s = NULL;
    pid_t writer = fork();
    if (writer == 0)
        write_forever(&t);
    assert_true(writer > 0);
    for (unsigned i = 0; i < 60 || (after - before < 100 && i < 5000); i++) {
        json_t *v = json_loads(stat_run(&t, true, i % 2 == 0, EXIT_FINE), 0, NULL);
        assert_non_null(v);
        want_json_sums(v, i % 2 == 0);
        int64_t entries = 0;
        const char *name;
        json_t *ns;
        json_object_foreach(json_object_get(v, "namespaces"), name, ns)
            entries += at(ns, "entries");
        assert_int_equal(entries, at(v, "entries"));
        after = at(v, "applied");
        before = i == 0 ? after : before;
        json_decref(v);
    }
    (void)kill(writer, SIGKILL);
    (void)waitpid(writer, NULL, 0);
    assert_true(after - before >= 100);
    assert_ok(store_open(&t.s, &t.options, &t.fault), &t.fault);
    tmp_store_close(&t);
}

/* As many namespaces as there may be, with the longest names. */
static void text_stays_one_screen(void **state)
{
    struct tmp_store t;
    char name[STORE_NS_MAX + 1];
    (void)state;
    tmp_store_open(&t, STORE_CORE);
    for (unsigned i = 0; i < STORE_NAMESPACES_MAX - 1; i++) {
        (void)snprintf(name, sizeof name, "namespace-with-a-name-of-32-b-%02u", i);
        fill(&t, name, 0, 3, 1, 5);
    }
    for (int deep = 0; deep < 2; deep++) {
        unsigned lines = 0;
        const char *text = stat_of(&t, false, deep, EXIT_FINE);
        assert_non_null(strstr(text, "\n51 more, see --json "));
        for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1, lines++)
            if (strcspn(line, "\n") > 132)
                fail_msg("%zu columns: %.140s", strcspn(line, "\n"), line);
        assert_in_range(lines, 20, 45);
    }
    json_t *v = parsed(&t, true, EXIT_FINE);
    want_json_sums(v, true);
    assert_int_equal(json_object_size(json_object_get(v, "namespaces")), STORE_NAMESPACES_MAX);
    json_decref(v);
    tmp_store_close(&t);
}

/* A value of dns that is no blob: the rest is told, and the exit code says it. */
static void bad_values_are_told(void **state)
{
    static const uint8_t name[] = { 1, 'a', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0 };
    struct tmp_store t;
    uint8_t key[RRKEY_MAX];
    struct wr w = wr_over(key, sizeof key);
    (void)state;
    assert_int_equal(rrkey_write(bytes_of(name, sizeof name), TYPE_MX, &w), OK);
    struct op bad = { OP_PUT, bytes_of_text("dns"), wr_done(&w), bytes_of_text("x") };
    tmp_store_open(&t, STORE_CORE);
    fill(&t, "kv", 0, 10, 1, 10);
    tmp_store_commit(&t, &bad, 1);
    json_t *v = parsed(&t, true, EXIT_DATA);
    want_json_sums(v, true);
    assert_int_equal(at(v, "namespaces.dns.entries"), 1);
    assert_int_equal(at(v, "namespaces.dns.records"), 0);
    json_decref(v);
    tmp_store_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_tree_is_reckoned),
        cmocka_unit_test(parts_are_the_file),
        cmocka_unit_test(views_behind_are_told),
        cmocka_unit_test(compaction_is_foretold),
        cmocka_unit_test(command_of_an_empty_store),
        cmocka_unit_test(command_of_known_contents),
        cmocka_unit_test(command_beside_a_writer),
        cmocka_unit_test(text_stays_one_screen),
        cmocka_unit_test(bad_values_are_told),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
