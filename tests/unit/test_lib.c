/* libazoth against a store at rest: what it reads, what it refuses, and who may read. */
#include "tests/unit/lib_bed.h"

#include <grp.h>

/* --- get ------------------------------------------------------------------------------------------------------- */
static void values(void **state)
{
    struct azoth_value v;
    uint8_t *big = malloc(KV_BYTES_MAX);
    uint8_t long_key[STORE_KEY_MAX];
    (void)state;
    memset(big, 0x5a, KV_BYTES_MAX);
    memset(long_key, 0xff, sizeof long_key);
    put("kv", "text", "hello");                                     /* seq 1 */
    put("kv", "empty", "");
    put_bytes("kv", bytes_of_text("big"), bytes_of(big, KV_BYTES_MAX));
    put_bytes("kv", bytes_of("\0\xff", 2), bytes_of("\0\1", 2));
    put_bytes("kv", bytes_of(long_key, sizeof long_key), bytes_of_text("long"));
    put_raw("dns", bytes_of_text("blob"), bytes_of("\x92\x07\xc4\x01x", 5));    /* would unwrap; must not */
    put_raw("dns", bytes_of_text("none"), bytes_of("", 0));
    put("kv", "text", "hello again");                               /* seq 8 */
    written();
    const struct { const char *why, *ns; struct bytes key, want; uint64_t seq; } rows[] = {
        { "changed",        "kv",  bytes_of_text("text"),            bytes_of_text("hello again"),      8 },
        { "empty",          "kv",  bytes_of_text("empty"),           bytes_of("", 0),                   2 },
        { "1 MiB",          "kv",  bytes_of_text("big"),             bytes_of(big, KV_BYTES_MAX),       3 },
        { "binary",         "kv",  bytes_of("\0\xff", 2),            bytes_of("\0\1", 2),               4 },
        { "longest key",    "kv",  bytes_of(long_key, sizeof long_key), bytes_of_text("long"),          5 },
        { "dns: as stored", "dns", bytes_of_text("blob"),            bytes_of("\x92\x07\xc4\x01x", 5),  0 },
        { "dns: empty",     "dns", bytes_of_text("none"),            bytes_of("", 0),                   0 },
    };
    struct azoth *a = reader();
    assert_err(azoth_begin(a), AZOTH_OK);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes key = heap_copy(rows[i].key.ptr, rows[i].key.len);
        enum azoth_err err = azoth_get(a, rows[i].ns, key.ptr, key.len, &v);
        if (err != AZOTH_OK || v.data == NULL || !bytes_equal(bytes_of(v.data, v.len), rows[i].want))
            fail_msg("%s: %s, %zu bytes", rows[i].why, azoth_strerror(err), err == AZOTH_OK ? v.len : 0);
        if (v.epoch != 1 || v.seq != rows[i].seq)
            fail_msg("%s: version %llu.%llu", rows[i].why, (unsigned long long)v.epoch, (unsigned long long)v.seq);
        bytes_free(key);
    }
    azoth_end(a);
    azoth_close(a);
    free(big);
}

static void refused(void **state)
{
    static const uint8_t key[STORE_KEY_MAX + 1] = { 1 };
    static const struct { const char *why, *ns; size_t len; enum azoth_err want; } rows[] = {
        { "no such key",            "kv",                                STORE_KEY_MAX,     AZOTH_NOTFOUND },
        { "no such namespace",      "vk",                                1,                 AZOTH_NOTFOUND },
        { "longest name",           "01234567890123456789012345678901",  1,                 AZOTH_NOTFOUND },
        { "name too long",          "012345678901234567890123456789012", 1,                 AZOTH_LIMIT },
        { "no name",                "",                                  1,                 AZOTH_LIMIT },
        { "name is NULL",           NULL,                                1,                 AZOTH_LIMIT },
        { "upper case",             "KV",                                1,                 AZOTH_LIMIT },
        { "a database of ours",     "/meta",                             1,                 AZOTH_LIMIT },
        { "empty key",              "kv",                                0,                 AZOTH_LIMIT },
        { "key too long",           "kv",                                STORE_KEY_MAX + 1, AZOTH_LIMIT },
    };
    struct azoth_value v = { .len = 77 };
    (void)state;
    put("kv", "k", "v");
    written();
    struct azoth *a = reader();
    assert_err(azoth_begin(a), AZOTH_OK);
    for (size_t i = 0; i < ROWS(rows); i++) {
        enum azoth_err err = azoth_get(a, rows[i].ns, key, rows[i].len, &v);
        if (err != rows[i].want || v.len != 77)
            fail_msg("%s: '%s'", rows[i].why, azoth_strerror(err));
        if ((azoth_words(a)[0] != '\0') != (err != AZOTH_NOTFOUND))
            fail_msg("%s: words '%s'", rows[i].why, azoth_words(a));
    }
    azoth_close(a);                                 /* with its snapshot open */
}

/* What is stored in a general namespace and is not [seq, bytes]. */
static void damaged(void **state)
{
    struct azoth_value v;
    unsigned n = 0;
    (void)state;
    put("kv", "a", "1");
    put_raw("kv", bytes_of_text("b"), bytes_of_text("bare"));
    put("kv", "c", "3");
    written();
    struct azoth *a = reader();
    assert_err(azoth_begin(a), AZOTH_OK);
    assert_err(azoth_get(a, "kv", "b", 1, &v), AZOTH_DAMAGED);
    assert_non_null(strstr(azoth_words(a), "namespace kv"));
    assert_err(azoth_get(a, "kv", "c", 1, &v), AZOTH_OK);
    assert_err(azoth_scan(a, "kv", NULL, count, &n), AZOTH_DAMAGED);
    assert_int_equal(n, 1);
    azoth_end(a);
    azoth_close(a);
}

/* --- scan ------------------------------------------------------------------------------------------------------ */
struct list { char text[512]; unsigned stop_after, n; };
static bool list(void *arg, const void *key, size_t key_len, const struct azoth_value *value)
{
    struct list *l = arg;
    for (size_t i = 0; i < key_len; i++) {
        uint8_t c = ((const uint8_t *)key)[i];
        size_t at = strlen(l->text);
        (void)snprintf(l->text + at, sizeof l->text - at, c == 0xff ? "^" : c == 0 ? "0" : "%c", c);
    }
    size_t at = strlen(l->text);
    (void)snprintf(l->text + at, sizeof l->text - at, "=%.*s ", (int)value->len, (const char *)value->data);
    return ++l->n != l->stop_after;
}

static void scans(void **state)
{
#define B(text) bytes_of(text, sizeof (text) - 1)
    const struct bytes keys[] = { B("\0"), B("a"), B("a\0"), B("ab"), B("b"), B("b\xff"), B("b\xff\xff"),
                                  B("b\xff\xffz"), B("c"), B("\xff"), B("\xff\xff") };
    const struct {
        const char *why; struct bytes prefix, from; bool after; uint64_t limit; const char *want;
    } rows[] = {
        { "all", B(""), B(""), false, 0, "0=0 a=1 a0=2 ab=3 b=4 b^=5 b^^=6 b^^z=7 c=8 ^=9 ^^=10 " },
        { "prefix", B("a"), B(""), false, 0, "a=1 a0=2 ab=3 " },
        { "prefix that ends in ff", B("b\xff"), B(""), false, 0, "b^=5 b^^=6 b^^z=7 " },
        { "prefix of ff only", B("\xff"), B(""), false, 0, "^=9 ^^=10 " },
        { "more ff than any", B("\xff\xff\xff"), B(""), false, 0, "" },
        { "prefix of a zero", B("\0"), B(""), false, 0, "0=0 " },
        { "no key has it", B("bb"), B(""), false, 0, "" },
        { "behind all", B("\xff\xff"), B(""), false, 0, "^^=10 " },
        { "from a key", B(""), B("c"), false, 0, "c=8 ^=9 ^^=10 " },
        { "from between keys", B(""), B("b\xff\x01"), false, 2, "b^^=6 b^^z=7 " },
        { "behind a key", B(""), B("c"), true, 0, "^=9 ^^=10 " },
        { "behind what is not there", B(""), B("bb"), true, 1, "b^=5 " },
        { "behind the last", B(""), B("\xff\xff"), true, 0, "" },
        { "behind the empty key", B(""), B(""), true, 1, "0=0 " },
        { "from inside the prefix", B("b"), B("b\xff"), false, 0, "b^=5 b^^=6 b^^z=7 " },
        { "behind one in the prefix", B("b"), B("b\xff"), true, 0, "b^^=6 b^^z=7 " },
        { "behind the prefix's last", B("b"), B("b\xff\xffz"), true, 0, "" },
        { "from before the prefix", B("b"), B("a"), false, 0, "b=4 b^=5 b^^=6 b^^z=7 " },
        { "behind one before it", B("b"), B("a"), true, 1, "b=4 " },
        { "from after the prefix", B("a"), B("b"), false, 0, "" },
        { "limit 1", B(""), B(""), false, 1, "0=0 " },
        { "limit as many as there are", B("a"), B(""), false, 3, "a=1 a0=2 ab=3 " },
        { "limit beyond", B("a"), B(""), false, 4, "a=1 a0=2 ab=3 " },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(keys); i++) {
        char text[8];
        (void)snprintf(text, sizeof text, "%zu", i);
        put_bytes("kv", keys[i], bytes_of_text(text));
    }
    written();
    struct azoth *a = reader();
    assert_err(azoth_begin(a), AZOTH_OK);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes prefix = heap_copy(rows[i].prefix.ptr, rows[i].prefix.len);
        struct bytes from = heap_copy(rows[i].from.ptr, rows[i].from.len);
        struct azoth_range range = { prefix.ptr, prefix.len, from.ptr, from.len, rows[i].after, rows[i].limit };
        struct list got = { .n = 0 };
        enum azoth_err err = azoth_scan(a, "kv", &range, list, &got);
        if (err != AZOTH_OK || strcmp(got.text, rows[i].want) != 0)
            fail_msg("%s: %s, '%s', want '%s'", rows[i].why, azoth_strerror(err), got.text, rows[i].want);
        bytes_free(prefix);
        bytes_free(from);
    }
    struct list got = { .stop_after = 2 };
    assert_err(azoth_scan(a, "kv", NULL, list, &got), AZOTH_OK);
    assert_string_equal(got.text, "0=0 a=1 ");
    azoth_end(a);
    azoth_close(a);
}

static void scan_refused(void **state)
{
    static const uint8_t key[STORE_KEY_MAX + 1];
    const struct { const char *why, *ns; struct azoth_range range; enum azoth_err want; } rows[] = {
        { "no such namespace",  "vk",  { .limit = 0 },                                         AZOTH_NOTFOUND },
        { "not a name",         "k v", { .limit = 0 },                                         AZOTH_LIMIT },
        { "longest prefix",     "kv",  { .prefix = key, .prefix_len = STORE_KEY_MAX },         AZOTH_OK },
        { "prefix too long",    "kv",  { .prefix = key, .prefix_len = STORE_KEY_MAX + 1 },     AZOTH_LIMIT },
        { "longest from",       "kv",  { .from = key, .from_len = STORE_KEY_MAX, .limit = 1 }, AZOTH_OK },
        { "from too long",      "kv",  { .from = key, .from_len = STORE_KEY_MAX + 1 },         AZOTH_LIMIT },
        { "prefix is NULL",     "kv",  { .prefix_len = 1 },                                    AZOTH_MISUSE },
        { "from is NULL",       "kv",  { .from_len = 1 },                                      AZOTH_MISUSE },
    };
    unsigned n = 0;
    (void)state;
    put("kv", "k", "v");
    tmp_store_commit(&t, (struct op[]){ op_put("gone", "k", "v") }, 1);
    tmp_store_commit(&t, (struct op[]){ op_del("gone", "k") }, 1);
    written();
    struct azoth *a = reader();
    assert_err(azoth_begin(a), AZOTH_OK);
    for (size_t i = 0; i < ROWS(rows); i++) {
        enum azoth_err err = azoth_scan(a, rows[i].ns, &rows[i].range, count, &n);
        if (err != rows[i].want)
            fail_msg("%s: '%s'", rows[i].why, azoth_strerror(err));
    }
    assert_err(azoth_scan(a, "kv", NULL, NULL, NULL), AZOTH_MISUSE);
    n = 0;
    assert_err(azoth_scan(a, "gone", NULL, count, &n), AZOTH_OK);       /* there, and empty */
    assert_err(azoth_scan(a, "dns", NULL, count, &n), AZOTH_OK);
    assert_int_equal(n, 0);
    azoth_end(a);
    azoth_close(a);
}

/* Inside a visit: get and scan work, what would pull the snapshot away does nothing. */
static bool inner(void *arg, const void *key, size_t key_len, const struct azoth_value *value)
{
    struct azoth *a = arg;
    struct azoth_value v;
    struct azoth_position at;
    unsigned n = 0;
    azoth_end(a);
    azoth_close(a);
    assert_err(azoth_begin(a), AZOTH_MISUSE);
    assert_err(azoth_wait(a, 0, 0, 0), AZOTH_MISUSE);
    assert_err(azoth_position(a, &at), AZOTH_OK);
    assert_err(azoth_get(a, "kv", key, key_len, &v), AZOTH_OK);
    assert_true(v.data == value->data && v.seq == value->seq);
    assert_err(azoth_scan(a, "kv", NULL, count, &n), AZOTH_OK);
    assert_int_equal(n, 3);
    return true;
}
static bool names(void *arg, const char *name)
{
    struct list *l = arg;
    size_t at = strlen(l->text);
    (void)snprintf(l->text + at, sizeof l->text - at, "%s ", name);
    return ++l->n != l->stop_after;
}
static void visits(void **state)
{
    (void)state;
    put("kv", "a", "1");
    put("kv", "b", "2");
    put("kv", "c", "3");
    put("a.ns", "k", "v");
    written();
    struct azoth *a = reader();
    assert_err(azoth_begin(a), AZOTH_OK);
    assert_err(azoth_scan(a, "kv", NULL, inner, a), AZOTH_OK);
    struct list all = { .n = 0 }, two = { .stop_after = 2 };
    assert_err(azoth_namespaces(a, names, &all), AZOTH_OK);
    assert_string_equal(all.text, "a.ns dns kv ");
    assert_err(azoth_namespaces(a, names, &two), AZOTH_OK);
    assert_string_equal(two.text, "a.ns dns ");
    assert_err(azoth_namespaces(a, NULL, NULL), AZOTH_MISUSE);
    azoth_end(a);
    azoth_close(a);
}

/* --- misuse ---------------------------------------------------------------------------------------------------- */
static void misuse(void **state)
{
    struct azoth_position at;
    struct azoth_value v;
    char why[64] = "x", tiny[8];
    unsigned n = 0;
    (void)state;
    put("kv", "k", "v");
    written();
    struct azoth *a = (void *)1;
    assert_err(azoth_open(NULL, &a, why, sizeof why), AZOTH_MISUSE);
    assert_null(a);
    assert_true(why[0] != '\0');
    assert_err(azoth_open(t.dir, NULL, NULL, 0), AZOTH_MISUSE);
    assert_err(azoth_open("/nowhere/at/all", &a, NULL, 0), AZOTH_NOSTORE);
    assert_err(azoth_open("/nowhere/at/all", &a, tiny, sizeof tiny), AZOTH_NOSTORE);
    assert_int_equal(strlen(tiny), sizeof tiny - 1);
    a = reader();
    assert_err(azoth_get(a, "kv", "k", 1, &v), AZOTH_MISUSE);
    assert_non_null(strstr(azoth_words(a), "azoth_begin"));
    assert_err(azoth_scan(a, "kv", NULL, count, &n), AZOTH_MISUSE);
    assert_err(azoth_namespaces(a, names, &n), AZOTH_MISUSE);
    azoth_end(a);
    assert_err(azoth_begin(a), AZOTH_OK);
    assert_string_equal(azoth_words(a), "");
    assert_err(azoth_begin(a), AZOTH_MISUSE);
    assert_err(azoth_wait(a, 1, 1, 0), AZOTH_MISUSE);
    assert_non_null(strstr(azoth_words(a), "azoth_end"));
    assert_err(azoth_get(a, "kv", NULL, 1, &v), AZOTH_MISUSE);
    assert_err(azoth_get(a, "kv", "k", 1, NULL), AZOTH_MISUSE);
    assert_err(azoth_position(a, NULL), AZOTH_MISUSE);
    assert_err(azoth_position(a, &at), AZOTH_OK);
    azoth_end(a);
    azoth_end(a);
    assert_err(azoth_position(a, &at), AZOTH_OK);
    assert_string_equal(look_now(a, "kv", "k"), "v");
    azoth_close(a);
    assert_err(azoth_begin(NULL), AZOTH_MISUSE);
    assert_err(azoth_get(NULL, "kv", "k", 1, &v), AZOTH_MISUSE);
    assert_err(azoth_wait(NULL, 1, 1, 0), AZOTH_MISUSE);
    assert_err(azoth_position(NULL, &at), AZOTH_MISUSE);
    azoth_end(NULL);
    azoth_close(NULL);
    assert_non_null(azoth_words(NULL));
    assert_string_equal(azoth_strerror((enum azoth_err)99), "unknown error");
    for (int e = 0; e <= AZOTH_STORE; e++)
        assert_string_not_equal(azoth_strerror((enum azoth_err)e), "unknown error");
    assert_true(strchr(azoth_version(), '.') != NULL);
}

/* --- opening --------------------------------------------------------------------------------------------------- */
static void write_file(const char *name, const char *text)
{
    char path[PATH_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/%s", t.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
}
static void wont_open(const char *dir, enum azoth_err want, const char *words)
{
    struct azoth *a = (void *)1;
    char why[1024];
    enum azoth_err err = azoth_open(dir, &a, why, sizeof why);
    if (err != want || strstr(why, words) == NULL || a != NULL || strchr(why, '\n') != NULL)
        fail_msg("%s: '%s' (%s), want '%s' and '%s'", dir, azoth_strerror(err), why, azoth_strerror(want), words);
}

static void wrong_folders(void **state)
{
    static const struct { const char *why, *file, *text; enum azoth_err want; const char *words; } rows[] = {
        { "newer format",    "magic", "azoth-store 3\nlmdb 0.9\n",          AZOTH_FORMAT,  "store format 3" },
        { "other LMDB",      "magic", "azoth-store 2\nlmdb 1.0\n",          AZOTH_FORMAT,  "LMDB 1.0" },
        { "not a magic",     "magic", "hello",                              AZOTH_FORMAT,  "magic" },
        { "names nothing",   "current", "7\n",                              AZOTH_FORMAT,  "data.7" },
        { "not a number",    "current", "one\n",                            AZOTH_FORMAT,  "current" },
    };
    char path[PATH_MAX + 32], empty[PATH_MAX], magic[512] = "", current[32] = "", longest[8000];
    (void)state;
    put("kv", "k", "v");
    written();
    (void)snprintf(path, sizeof path, "%s/magic", t.dir);
    FILE *f = fopen(path, "r");
    assert_true(f != NULL && fread(magic, 1, sizeof magic - 1, f) > 0 && fclose(f) == 0);
    (void)snprintf(current, sizeof current, "1\n");
    for (size_t i = 0; i < ROWS(rows); i++) {
        write_file(rows[i].file, rows[i].text);
        wont_open(t.dir, rows[i].want, rows[i].words);
        write_file("magic", magic);
        write_file("current", current);
    }
    wont_open(path, AZOTH_NOSTORE, "magic");            /* a file */
    wont_open("", AZOTH_LIMIT, "no name");
    wont_open("/nowhere/at/all", AZOTH_NOSTORE, "/nowhere/at/all");
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    wont_open(longest, AZOTH_LIMIT, "too long");
    tmp_folder(empty);
    wont_open(empty, AZOTH_NOSTORE, "no azoth store there");
    remove_tree(empty);
    /* all well again, and through a relative path that stays good when the process moves on */
    char *here = getcwd(NULL, 0);
    struct azoth *a;
    assert_int_equal(chdir(t.dir), 0);
    assert_err(azoth_open(".", &a, path, sizeof path), AZOTH_OK);
    assert_int_equal(chdir(here), 0);
    free(here);
    assert_string_equal(look_now(a, "kv", "k"), "v");
    azoth_close(a);
}

/* --- other users ----------------------------------------------------------------------------------------------- */
static void become_nobody(gid_t group)
{
    if (setgroups(1, &group) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
        _exit(77);
}
static void as_member(void)
{
    struct azoth *a;
    char why[512];
    struct azoth_position at;
    become_nobody(0);
    if (azoth_open(t.dir, &a, why, sizeof why) != AZOTH_OK)
        _exit(1);
    if (strcmp(look_now(a, "kv", "k"), "v") != 0)
        _exit(2);
    if (azoth_wait(a, 1, 1, 0) != AZOTH_OK || azoth_position(a, &at) != AZOTH_OK || at.seq != 1)
        _exit(3);
    azoth_close(a);
}
static void as_stranger(void)
{
    struct azoth *a;
    char why[512];
    become_nobody(65534);
    if (azoth_open(t.dir, &a, why, sizeof why) != AZOTH_IO)
        _exit(1);
    if (strstr(why, "ermission") == NULL)
        _exit(2);
}
static void other_users(void **state)
{
    struct stat before, after;
    char path[PATH_MAX + 32];
    (void)state;
    if (getuid() != 0)
        skip();
    put("kv", "k", "v");
    written();
    (void)snprintf(path, sizeof path, "%s/data.1/data.mdb", t.dir);
    assert_int_equal(chmod(t.dir, 0750), 0);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(in_child(as_member), 0);
    assert_int_equal(in_child(as_stranger), 0);         /* not even into the folder */
    assert_int_equal(chmod(t.dir, 0755), 0);
    assert_int_equal(in_child(as_stranger), 0);         /* into the folder, but not its files */
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_size == after.st_size && before.st_mtime == after.st_mtime);
    assert_int_equal(before.st_mode, after.st_mode);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(values), T(refused), T(damaged), T(scans), T(scan_refused), T(visits), T(misuse), T(wrong_folders),
        T(other_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
