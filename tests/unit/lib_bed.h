/* What the tests of libazoth share: a store that is filled and then left to readers. */
#ifndef AZOTH_TESTS_LIB_BED_H
#define AZOTH_TESTS_LIB_BED_H

#include <sys/wait.h>

#include "lib/azoth.h"
#include "store/kvvalue.h"
#include "tests/util_store.h"

static struct tmp_store t;

static inline int setup(void **state)
{
    (void)state;
    tmp_store_open(&t, STORE_EDGE);
    return 0;
}
static inline int teardown(void **state)
{
    (void)state;
    tmp_store_close(&t);
    return 0;
}

/* --- filling --------------------------------------------------------------------------------------------------- */
static inline void put_raw(const char *ns, struct bytes key, struct bytes value)
{
    struct op op = { OP_PUT, bytes_of_text(ns), key, value };
    tmp_store_commit(&t, &op, 1);
}
/* As the core writes it: wrapped, with the seq of the commit that it becomes. */
static inline void put_bytes(const char *ns, struct bytes key, struct bytes value)
{
    uint8_t *buf = malloc(value.len + KV_WRAP_MAX);
    struct wr w = wr_over(buf, value.len + KV_WRAP_MAX);
    kvvalue_write(&w, &(struct kvvalue){ seq_now(t.s) + 1, value });
    assert_false(w.full);
    put_raw(ns, key, wr_done(&w));
    free(buf);
}
static inline void put(const char *ns, const char *key, const char *value)
{
    put_bytes(ns, bytes_of_text(key), bytes_of_text(value));
}
/* The writer's process ends, so to say: its files are free for readers of this one. */
static inline void written(void)
{
    store_close(t.s);
    t.s = NULL;
}

/* --- reading --------------------------------------------------------------------------------------------------- */
#define assert_err(call, want) assert_err_at(call, want, #call, __LINE__)
static inline void assert_err_at(enum azoth_err got, enum azoth_err want, const char *call, int line)
{
    if (got != want)
        fail_msg("line %d: %s: '%s', want '%s'", line, call, azoth_strerror(got), azoth_strerror(want));
}

static inline struct azoth *reader(void)
{
    struct azoth *a;
    char why[512];
    enum azoth_err err = azoth_open(t.dir, &a, why, sizeof why);
    if (err != AZOTH_OK)
        fail_msg("%s: %s", azoth_strerror(err), why);
    assert_string_equal(why, "");
    return a;
}

/* The value as text, or what azoth_get said; of the open snapshot. */
static inline const char *look(struct azoth *a, const char *ns, const char *key)
{
    static char text[4][64];
    static unsigned at;
    struct azoth_value v;
    char *out = text[at++ % 4];
    enum azoth_err err = azoth_get(a, ns, key, strlen(key), &v);
    (void)snprintf(out, sizeof text[0], "%.*s", err != AZOTH_OK ? 63 : (int)v.len,
                   err != AZOTH_OK ? azoth_strerror(err) : (const char *)v.data);
    return out;
}
static inline const char *look_now(struct azoth *a, const char *ns, const char *key)
{
    enum azoth_err err = azoth_begin(a);
    if (err != AZOTH_OK)
        return azoth_strerror(err);
    const char *text = look(a, ns, key);
    azoth_end(a);
    return text;
}

static inline bool count(void *arg, const void *key, size_t key_len, const struct azoth_value *value)
{
    (void)key, (void)key_len, (void)value;
    return ++*(unsigned *)arg < 100;
}
/* Exit code of a child that runs it; 0 when run returns. */
static inline int in_child(void (*run)(void))
{
    int status;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
