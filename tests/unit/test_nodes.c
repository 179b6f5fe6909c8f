#include "tests/util.h"

#include <sys/stat.h>

#include "base/file.h"
#include "replicator/nodes.h"
#include "tests/unit/replicator_dir.h"
#include "tests/unit/seal_keys.h"

static void put(const char *dir, const char *file, const char *text)
{
    char path[600];
    assert_int_equal(file_path(path, sizeof path, dir, file), OK);
    assert_int_equal(file_replace(path, bytes_of_text(text), 0644, NULL), OK);
}
static void put_key(const char *dir, const char *file, uint8_t fill)
{
    char line[80];
    struct node_key key = key_of(fill);
    put(dir, file, strcat((char *)(uintptr_t)node_pub_text(line, sizeof line, key.pub), "\n"));
}
static void take(const char *dir, const char *file)
{
    char path[600];
    assert_int_equal(file_path(path, sizeof path, dir, file), OK);
    assert_int_equal(unlink(path), 0);
}

static void the_folder_is_the_list(void **state)
{
    static const char *const absent[] = { "", "edge-3", "edge-1.pub", "edge-", "edge-11", "hidden", "note" };
    char dir[256];
    struct nodes *n;
    struct fault fault = { "" };
    (void)state;
    dir_make(dir, sizeof dir, "nodes");
    assert_int_equal(nodes_open(&n, dir, &fault), OK);
    assert_int_equal(nodes_count(n), 0);
    assert_null(nodes_find(n, bytes_of_text("edge-1")));
    nodes_close(n);
    put_key(dir, "edge-2.pub", 2);
    put_key(dir, "edge-1.pub", 1);
    put_key(dir, ".hidden.pub", 3);
    put(dir, "note.txt", "not looked at");
    put(dir, ".pub", "nor this");
    assert_int_equal(nodes_open(&n, dir, &fault), OK);
    assert_int_equal(nodes_count(n), 2);
    assert_string_equal(nodes_at(n, 0)->name, "edge-1");
    assert_string_equal(nodes_at(n, 1)->name, "edge-2");
    struct node_key two = key_of(2);
    struct node_entry *e = nodes_find(n, bytes_of_text("edge-2"));
    assert_non_null(e);
    assert_memory_equal(e->pub, two.pub, 32);
    assert_false(e->has_shared);
    for (size_t i = 0; i < ROWS(absent); i++)
        if (nodes_find(n, bytes_of_text(absent[i])) != NULL)
            fail_msg("'%s' is found", absent[i]);
    assert_null(nodes_find(n, bytes_of("edge-1\0x", 8)));
    static const char longer[NODE_NAME_MAX + 20];
    assert_null(nodes_find(n, bytes_of(longer, sizeof longer)));
    nodes_close(n);
    nodes_close(NULL);
    dir_remove(dir);
}

static void a_bad_file_refuses_the_folder(void **state)
{
    static const struct { const char *file, *text, *want; } rows[] = {
        { "empty.pub", "", "empty.pub:1" },
        { "short.pub", "ed25519:AAAA\n", "short.pub:1" },
        { "words.pub", "no key at all\n", "words.pub:1" },
        { "scheme.pub", "rsa:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "scheme.pub:1" },
        { "two.pub", "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\ned25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "two.pub:1" },
    };
    char dir[256], large[3000];
    struct nodes *n = NULL;
    struct fault fault = { "" };
    (void)state;
    dir_make(dir, sizeof dir, "nodes");
    put_key(dir, "good.pub", 1);
    for (size_t i = 0; i < ROWS(rows); i++) {
        put(dir, rows[i].file, rows[i].text);
        enum err err = nodes_open(&n, dir, &fault);
        if (err != ERR_BAD || strstr(fault.text, rows[i].want) == NULL)
            fail_msg("%s: %d '%s'", rows[i].file, err, fault.text);
        take(dir, rows[i].file);
    }
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    put(dir, "large.pub", large);
    assert_int_equal(nodes_open(&n, dir, &fault), ERR_BAD);
    take(dir, "large.pub");
    put_key(dir, "copy.pub", 1);                /* removing one of the two would not remove the node */
    assert_int_equal(nodes_open(&n, dir, &fault), ERR_BAD);
    assert_non_null(strstr(fault.text, "same key"));
    take(dir, "copy.pub");
    char path[600];
    assert_int_equal(file_path(path, sizeof path, dir, "folder.pub"), OK);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(nodes_open(&n, dir, &fault), ERR_IO);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(nodes_open(&n, dir, &fault), OK);
    nodes_close(n);
    dir_remove(dir);
    assert_int_equal(nodes_open(&n, dir, &fault), ERR_IO);
    assert_non_null(strstr(fault.text, dir));
}

static void who_was_removed(void **state)
{
    char dir[256];
    struct nodes *old, *now;
    (void)state;
    dir_make(dir, sizeof dir, "nodes");
    put_key(dir, "a.pub", 1);
    put_key(dir, "b.pub", 2);
    assert_int_equal(nodes_open(&old, dir, NULL), OK);
    char gone[64];
    assert_true(nodes_keep(old, old));
    assert_int_equal(nodes_gone(old, old, gone, sizeof gone), 0);
    assert_string_equal(gone, "none");
    put_key(dir, "c.pub", 3);
    assert_int_equal(nodes_open(&now, dir, NULL), OK);
    assert_true(nodes_keep(now, old));          /* one more */
    assert_false(nodes_keep(old, now));
    nodes_close(now);
    take(dir, "b.pub");
    assert_int_equal(nodes_open(&now, dir, NULL), OK);
    assert_false(nodes_keep(now, old));         /* one less */
    assert_int_equal(nodes_gone(now, old, gone, sizeof gone), 1);
    assert_string_equal(gone, "b");
    nodes_close(now);
    put_key(dir, "b.pub", 4);
    assert_int_equal(nodes_open(&now, dir, NULL), OK);
    assert_false(nodes_keep(now, old));         /* another key */
    nodes_close(now);
    take(dir, "a.pub");
    take(dir, "b.pub");
    take(dir, "c.pub");
    assert_int_equal(nodes_open(&now, dir, NULL), OK);
    assert_false(nodes_keep(now, old));
    assert_true(nodes_keep(old, now));
    assert_int_equal(nodes_gone(now, old, gone, sizeof gone), 2);
    assert_string_equal(gone, "a,b");
    assert_int_equal(nodes_gone(now, old, gone, 34), 2);
    assert_string_equal(gone, "a and 1 more");
    assert_int_equal(nodes_gone(now, old, gone, 33), 2);
    assert_string_equal(gone, "2");
    nodes_close(now);
    nodes_close(old);
    dir_remove(dir);
}

static void as_one_file(void **state)
{
    static const char *const broken[] = { "x", "a ed25519:AAAA\n", "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        " ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "a ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "a:ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "\n" };
    char dir[256], path[300];
    struct nodes *n, *again = NULL;
    (void)state;
    dir_make(dir, sizeof dir, "nodes");
    snprintf(path, sizeof path, "%s/list", dir);
    assert_int_equal(nodes_load(&again, path, NULL), ERR_NOTFOUND);
    for (uint8_t i = 0; i < 3; i++) {
        char file[32];
        assert_int_equal(nodes_open(&n, dir, NULL), OK);
        assert_int_equal(nodes_save(n, path, NULL), OK);
        assert_int_equal(nodes_load(&again, path, NULL), OK);
        assert_int_equal(nodes_count(again), i);
        assert_true(nodes_keep(again, n) && nodes_keep(n, again));
        nodes_close(again);
        nodes_close(n);
        snprintf(file, sizeof file, "node %d.pub", i);
        put_key(dir, file, (uint8_t)(i + 1));
    }
    for (size_t i = 0; i < ROWS(broken); i++) {
        put(dir, "list", broken[i]);
        if (nodes_load(&again, path, NULL) != ERR_BAD)
            fail_msg("row %zu is taken", i);
    }
    dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_folder_is_the_list), cmocka_unit_test(a_bad_file_refuses_the_folder), cmocka_unit_test(who_was_removed),
        cmocka_unit_test(as_one_file),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
