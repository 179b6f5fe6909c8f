/* A book as a stream: what was put comes back in order; cut off at any byte, or with any byte changed, it is refused. */
#include "tests/util_folder.h"

#include "store/bookcopy.h"

#include <fcntl.h>
#include <sodium.h>

#define LARGE ((size_t)3 << 20)

static char path[PATH_MAX];

static int file_new(void)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, sizeof path, "%s/azoth-bookcopy-XXXXXX", base != NULL ? base : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)unlink(path);
    return fd;
}

struct said { unsigned table; const char *key; size_t len; };
static const struct said said[] = { { 0, "a", 3 }, { 0, "ab", 0 }, { 1, "a", 40 }, { 5, "z", 7 } };

static void put(struct bookcopy_writer *w, unsigned table, const char *key, size_t len)
{
    static uint8_t value[LARGE];
    struct fault fault = { "" };
    memset(value, key[0], len);
    assert_ok(bookcopy_put(w, &(struct bookcopy_entry){ table, bytes_of_text(key), bytes_of(value, len) }, &fault), &fault);
}

/* The stream of `said`, with a large entry in between when wanted, into memory owned by the caller. */
static struct bytes stream_make(bool large)
{
    struct bookcopy_writer *w;
    struct bookcopy_totals totals;
    struct fault fault = { "" };
    int fd = file_new();
    assert_ok(bookcopy_writer_open(&w, fd, "records", &fault), &fault);
    for (size_t i = 0; i < ROWS(said); i++) {
        put(w, said[i].table, said[i].key, said[i].len);
        if (large && i == 1)
            put(w, 0, "b", LARGE);
    }
    assert_ok(bookcopy_end(w, &totals, &fault), &fault);
    bookcopy_writer_close(w);
    assert_int_equal(totals.entries, ROWS(said) + large);
    uint8_t *all = malloc(totals.bytes);
    assert_int_equal(pread(fd, all, totals.bytes, 0), (ssize_t)totals.bytes);
    (void)close(fd);
    return bytes_of(all, totals.bytes);
}

/* Reads a stream to its end; gives how that was, and how many entries came. */
static enum err stream_read(struct bytes in, size_t *n, struct fault *fault)
{
    struct bookcopy_reader *r;
    struct bookcopy_entry e;
    int fd = file_new();
    *n = 0;
    assert_int_equal(write(fd, in.ptr, in.len), (ssize_t)in.len);
    assert_int_equal(lseek(fd, BOOKCOPY_MAGIC_LEN, SEEK_SET), BOOKCOPY_MAGIC_LEN);
    enum err err = bookcopy_reader_open(&r, fd, fault);
    if (err == OK) {
        while ((err = bookcopy_next(r, &e, fault)) == OK)
            ++*n;
        bookcopy_reader_close(r);
    }
    (void)close(fd);
    return err;
}

static void comes_back(void **state)
{
    struct bytes all = stream_make(true);
    struct bookcopy_reader *r;
    struct bookcopy_entry e;
    struct fault fault = { "" };
    int fd = file_new();
    (void)state;
    assert_memory_equal(all.ptr, BOOKCOPY_MAGIC, BOOKCOPY_MAGIC_LEN);
    assert_int_equal(write(fd, all.ptr, all.len), (ssize_t)all.len);
    assert_int_equal(lseek(fd, BOOKCOPY_MAGIC_LEN, SEEK_SET), BOOKCOPY_MAGIC_LEN);
    assert_ok(bookcopy_reader_open(&r, fd, &fault), &fault);
    assert_string_equal(bookcopy_name(r), "records");
    for (size_t i = 0, k = 0; i < ROWS(said) + 1; i++) {
        bool large = i == 2;
        assert_ok(bookcopy_next(r, &e, &fault), &fault);
        assert_int_equal(e.table, large ? 0 : said[k].table);
        assert_true(bytes_equal(e.key, bytes_of_text(large ? "b" : said[k].key)));
        assert_int_equal(e.value.len, large ? LARGE : said[k].len);
        assert_true(e.value.len == 0 || e.value.ptr[e.value.len - 1] == e.key.ptr[0]);
        k += !large;
    }
    assert_int_equal(bookcopy_next(r, &e, &fault), ERR_NOTFOUND);
    assert_int_equal(bookcopy_next(r, &e, &fault), ERR_NOTFOUND);
    bookcopy_reader_close(r);
    (void)close(fd);
    bytes_free(all);
}

static void cut_off_or_damaged_is_told(void **state)
{
    struct bytes all = stream_make(false);
    struct fault fault;
    size_t n;
    (void)state;
    for (size_t len = BOOKCOPY_MAGIC_LEN; len < all.len; len++) {
        fault.text[0] = '\0';
        enum err err = stream_read(bytes_of(all.ptr, len), &n, &fault);
        if (err != ERR_SHORT || fault.text[0] == '\0')
            fail_msg("cut off after %zu of %zu bytes: '%s'", len, all.len, err_text(err));
    }
    for (size_t at = BOOKCOPY_MAGIC_LEN; at < all.len; at++) {
        uint8_t *changed = (uint8_t *)(uintptr_t)heap_copy(all.ptr, all.len).ptr;
        changed[at] ^= 0x41;
        fault.text[0] = '\0';
        enum err err = stream_read(bytes_of(changed, all.len), &n, &fault);
        bool in_name = at >= BOOKCOPY_MAGIC_LEN + 3 && at < BOOKCOPY_MAGIC_LEN + 3 + strlen("records");
        if (err == OK || (err == ERR_NOTFOUND && !in_name) || (err != ERR_NOTFOUND && fault.text[0] == '\0'))
            fail_msg("byte %zu of %zu changed: '%s'", at, all.len, err_text(err));
        free(changed);
    }
    uint8_t *longer = malloc(all.len + 1);
    memcpy(longer, all.ptr, all.len);
    longer[all.len] = 0;
    assert_int_equal(stream_read(bytes_of(longer, all.len + 1), &n, &fault), ERR_BAD);
    free(longer);
    bytes_free(all);
}

static void order_is_looked_at(void **state)
{
    static const struct { const char *why; struct said a, b; } rows[] = {
        { "the same key twice", { 1, "a", 1 }, { 1, "a", 1 } },
        { "a smaller key", { 1, "b", 1 }, { 1, "a", 1 } },
        { "a table before", { 1, "a", 1 }, { 0, "b", 1 } },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bookcopy_writer *w;
        struct bookcopy_totals totals;
        struct bookcopy_reader *r;
        struct bookcopy_entry e;
        struct fault fault = { "" };
        int fd = file_new();
        assert_ok(bookcopy_writer_open(&w, fd, "x", &fault), &fault);
        put(w, rows[i].a.table, rows[i].a.key, rows[i].a.len);
        put(w, rows[i].b.table, rows[i].b.key, rows[i].b.len);
        assert_ok(bookcopy_end(w, &totals, &fault), &fault);
        bookcopy_writer_close(w);
        assert_int_equal(lseek(fd, BOOKCOPY_MAGIC_LEN, SEEK_SET), BOOKCOPY_MAGIC_LEN);
        assert_ok(bookcopy_reader_open(&r, fd, &fault), &fault);
        assert_ok(bookcopy_next(r, &e, &fault), &fault);
        if (bookcopy_next(r, &e, &fault) != ERR_BAD)
            fail_msg("%s is not refused", rows[i].why);
        bookcopy_reader_close(r);
        (void)close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back), cmocka_unit_test(cut_off_or_damaged_is_told), cmocka_unit_test(order_is_looked_at),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
