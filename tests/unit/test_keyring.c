#include "tests/util.h"

#include <sodium.h>
#include <sys/stat.h>

#include "base/file.h"
#include "replicator/keyring.h"
#include "tests/unit/replicator_dir.h"

static void keys_outlive_a_restart(void **state)
{
    char dir[256], path[300];
    struct keyring *k;
    struct fault fault = { "" };
    uint8_t key[CLUSTER_KEY_LEN], all[REPLY_KEYS_MAX * CLUSTER_KEY_LEN];
    uint64_t one, two, id;
    struct stat st;
    (void)state;
    dir_make(dir, sizeof dir, "keys");
    snprintf(path, sizeof path, "%s/cluster.keys", dir);
    assert_int_equal(keyring_open(&k, dir, &fault), OK);
    assert_int_equal(keyring_find(k, 0, key, &id), ERR_NOTFOUND);
    assert_int_equal(keyring_all(k, all), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(keyring_rotate(k, &one, &fault), OK);
    assert_int_equal(keyring_rotate(k, &two, &fault), OK);
    assert_true(one != two && one != 0 && two != 0 && one <= INT64_MAX);
    keyring_close(k);
    keyring_close(NULL);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(keyring_open(&k, dir, &fault), OK);
    assert_int_equal(keyring_find(k, 0, key, &id), OK);
    assert_true(id == two && keyring_id(key) == two);
    assert_int_equal(keyring_find(k, one, key, &id), OK);
    assert_true(id == one && keyring_id(key) == one);
    assert_int_equal(keyring_find(k, one ^ two, key, &id), ERR_NOTFOUND);
    assert_int_equal(keyring_all(k, all), 2);
    assert_true(keyring_id(all) == two && keyring_id(all + CLUSTER_KEY_LEN) == one);
    keyring_close(k);
    dir_remove(dir);
}

static void the_oldest_are_forgotten(void **state)
{
    char dir[256];
    struct keyring *k;
    uint64_t ids[REPLY_KEYS_MAX + 3], id;
    uint8_t key[CLUSTER_KEY_LEN], all[REPLY_KEYS_MAX * CLUSTER_KEY_LEN];
    (void)state;
    dir_make(dir, sizeof dir, "keys");
    assert_int_equal(keyring_open(&k, dir, NULL), OK);
    for (size_t i = 0; i < ROWS(ids); i++)
        assert_int_equal(keyring_rotate(k, &ids[i], NULL), OK);
    assert_int_equal(keyring_all(k, all), REPLY_KEYS_MAX);
    for (size_t i = 0; i < ROWS(ids); i++)
        assert_int_equal(keyring_find(k, ids[i], key, &id), i < 3 ? ERR_NOTFOUND : OK);
    keyring_close(k);
    assert_int_equal(keyring_open(&k, dir, NULL), OK);
    assert_int_equal(keyring_all(k, all), REPLY_KEYS_MAX);
    keyring_close(k);
    dir_remove(dir);
}

static void what_an_upstream_hands_out(void **state)
{
    char dir[256];
    struct keyring *k;
    uint8_t keys[3 * CLUSTER_KEY_LEN], all[REPLY_KEYS_MAX * CLUSTER_KEY_LEN];
    bool news = false;
    (void)state;
    for (size_t i = 0; i < sizeof keys; i++)
        keys[i] = (uint8_t)(i / CLUSTER_KEY_LEN + 1);
    dir_make(dir, sizeof dir, "keys");
    assert_int_equal(keyring_open(&k, dir, NULL), OK);
    assert_int_equal(keyring_take(k, keys + 2 * CLUSTER_KEY_LEN, 1, &news, NULL), OK);
    assert_true(news);
    assert_int_equal(keyring_take(k, keys, 3, &news, NULL), OK);
    assert_true(news);
    assert_int_equal(keyring_all(k, all), 3);
    assert_memory_equal(all, keys, 2 * CLUSTER_KEY_LEN);       /* the newest first */
    assert_int_equal(keyring_take(k, keys, 3, &news, NULL), OK);
    assert_false(news);
    assert_int_equal(keyring_all(k, all), 3);
    keyring_close(k);
    dir_remove(dir);
}

static void a_broken_file_is_refused(void **state)
{
    static const char line[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    static const struct { const char *why, *text; } rows[] = {
        { "words", "these are no keys at all, but a line of some length\n" }, { "no line's end", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" },
        { "half a key", "AAAAAAAAAAAAAAAA\n" }, { "letters that are none", "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!=\n" },
    };
    char dir[256], path[300], many[sizeof line * (REPLY_KEYS_MAX + 1)] = "";
    struct keyring *k = NULL;
    struct fault fault = { "" };
    (void)state;
    dir_make(dir, sizeof dir, "keys");
    snprintf(path, sizeof path, "%s/cluster.keys", dir);
    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_int_equal(file_replace(path, bytes_of_text(rows[i].text), 0600, NULL), OK);
        enum err err = keyring_open(&k, dir, &fault);
        if (err != ERR_BAD || strstr(fault.text, "cluster.keys") == NULL)
            fail_msg("%s: %d '%s'", rows[i].why, err, fault.text);
    }
    for (size_t i = 0; i <= REPLY_KEYS_MAX; i++)
        memcpy(many + i * (sizeof line - 1), line, sizeof line);
    assert_int_equal(file_replace(path, bytes_of_text(many), 0600, NULL), OK);
    assert_int_equal(keyring_open(&k, dir, &fault), ERR_BAD);
    dir_remove(dir);
}

/* A key that cannot be kept is not used: what it encrypted would be lost with the process. */
static void a_key_is_kept_before_it_is_used(void **state)
{
    char dir[256];
    struct keyring *k;
    uint64_t id;
    uint8_t key[CLUSTER_KEY_LEN];
    struct fault fault = { "" };
    bool news = false;
    (void)state;
    dir_make(dir, sizeof dir, "keys");
    assert_int_equal(keyring_open(&k, dir, NULL), OK);
    dir_remove(dir);
    assert_int_not_equal(keyring_rotate(k, &id, &fault), OK);
    assert_non_null(strstr(fault.text, "cluster.keys"));
    memset(key, 5, sizeof key);
    assert_int_not_equal(keyring_take(k, key, 1, &news, &fault), OK);
    assert_int_equal(keyring_find(k, 0, key, &id), ERR_NOTFOUND);
    keyring_close(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_outlive_a_restart), cmocka_unit_test(the_oldest_are_forgotten), cmocka_unit_test(what_an_upstream_hands_out),
        cmocka_unit_test(a_broken_file_is_refused), cmocka_unit_test(a_key_is_kept_before_it_is_used),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
