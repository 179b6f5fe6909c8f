/* A core's store with a committer, for tests of general namespaces. */
#ifndef AZOTH_TESTS_UNIT_KV_BED_H
#define AZOTH_TESTS_UNIT_KV_BED_H

#include "tests/util.h"

#include "builder/kv.h"
#include "tests/unit/replicator_dir.h"

struct kv_bed {
    char dir[256];
    struct node_key key;
    struct store *store;
    struct committer *committer;
    struct view *view;
    unsigned told, inlined;         /* transactions of the log; those announced with their record */
};

static inline void kv_bed_told(void *arg, const struct signed_head *sh, struct bytes record)
{
    struct kv_bed *b = arg;
    (void)sh;
    b->told++;
    b->inlined += record.len > 0;
}
static inline void kv_bed_open(struct kv_bed *b, uint64_t map)
{
    struct fault fault = { .text = "" };
    *b = (struct kv_bed){ .told = 0 };
    dir_make(b->dir, sizeof b->dir, "kv");
    struct store_options o = { .dir = b->dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = map,
                               .boot_id = "boot", .volatile_data = true };
    if (store_open(&b->store, &o, &fault) != OK || node_key_make(b->dir, false, &b->key, &fault) != OK
        || commit_open(&b->committer, b->store, &b->key, kv_bed_told, b, &fault) != OK
        || view_open(b->store, &b->view, &fault) != OK)
        fail_msg("%s", fault.text);
}
static inline void kv_bed_close(struct kv_bed *b)
{
    view_close(b->view);
    commit_close(b->committer);
    store_close(b->store);
    dir_remove(b->dir);
}
/* The entry as stored; false: not there. value: owned by the caller (free). */
static inline bool kv_bed_get(struct kv_bed *b, const char *ns, struct bytes key, uint64_t *seq, struct bytes *value)
{
    struct bytes stored;
    struct kvvalue v = { 0 };
    *value = (struct bytes){ 0 };
    assert_int_equal(view_begin(b->view), OK);
    enum err err = view_get(b->view, bytes_of_text(ns), key, &stored);
    if (err == OK) {
        assert_int_equal(kvvalue_read(stored, &v), OK);
        *seq = v.seq;
        *value = heap_copy(v.bytes.ptr, v.bytes.len);
    }
    view_end(b->view);
    assert_true(err == OK || err == ERR_NOTFOUND);
    return err == OK;
}
static inline struct op kv_put(const char *ns, const char *key, const char *value)
{
    return (struct op){ OP_PUT, bytes_of_text(ns), bytes_of_text(key), bytes_of_text(value) };
}
static inline struct op kv_del(const char *ns, const char *key)
{
    return (struct op){ OP_DEL, bytes_of_text(ns), bytes_of_text(key), { 0 } };
}
/* One transaction of n ops. */
static inline struct kv_result kv_bed_run(struct kv_bed *b, const struct op *ops, const struct kv_cond *conds, size_t n)
{
    struct kv_txn t = { .ops = ops, .conds = conds, .n = n }, *list[] = { &t };
    (void)kv_commit(b->committer, list, 1);
    return t.result;
}

#endif
