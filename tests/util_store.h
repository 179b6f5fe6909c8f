/* A store of its own for a test: in a new folder below $TMPDIR, without syncs, removed at the end.
 *
 *     struct tmp_store t;
 *     tmp_store_open(&t, STORE_CORE);
 *     tmp_store_commit(&t, ops, n);            a head without a real signature, seq one higher
 *     ...
 *     tmp_store_close(&t);                     closes and removes the folder */
#ifndef AZOTH_TESTS_UTIL_STORE_H
#define AZOTH_TESTS_UTIL_STORE_H

#include "store/store.h"
#include "tests/util_folder.h"

struct tmp_store { char dir[PATH_MAX]; struct store_options options; struct store *s; struct fault fault; };

static inline void tmp_store_open(struct tmp_store *t, enum store_role role)
{
    *t = (struct tmp_store){ .s = NULL };
    tmp_folder(t->dir);
    t->options = (struct store_options){ .dir = t->dir, .mode = STORE_CREATE, .role = role,
                                        .map_size = (uint64_t)1 << 30,
                                         .volatile_data = true };
    assert_ok(store_open(&t->s, &t->options, &t->fault), &t->fault);
}
static inline void tmp_store_reopen(struct tmp_store *t)
{
    store_close(t->s);
    t->s = NULL;
    assert_ok(store_open(&t->s, &t->options, &t->fault), &t->fault);
}
static inline void tmp_store_close(struct tmp_store *t)
{
    store_close(t->s);
    remove_tree(t->dir);
}

/* The head that fits t at this seq; the signature is made of the seq's low byte. */
static inline void head_make(const struct store *s, struct store_txn *t, uint64_t epoch, uint64_t seq,
                             struct head *h, struct signed_head *sh)
{
    struct store_state st;
    store_state(t, &st);
    *h = (struct head){ .epoch = epoch, .seq = seq, .keys = st.keys, .bytes = st.bytes, .time_ms = 1000 * seq,
                        .cohorts_n = 1 };
    memcpy(h->cluster, store_cluster(s), CLUSTER_LEN);
    memcpy(h->digest, st.digest, DIGEST_LEN);
    memset(h->chain, (int)(seq & 0xff), CHAIN_LEN);
    memcpy(h->cohorts[0].name, "all", 4);
    h->cohorts[0].released = seq;
    struct wr w = wr_over(sh->body, sizeof sh->body);
    head_write(&w, h);
    sh->len = w.len;
    memset(sh->sig, (int)(seq & 0xff), HEAD_SIG_LEN);
}
/* As store_commit, with such a head. */
static inline enum err commit_at(struct store *s, struct store_txn *t, uint64_t seq, struct fault *fault)
{
    struct head h;
    struct signed_head sh;
    head_make(s, t, 1, seq, &h, &sh);
    return store_commit(t, &h, &sh, fault);
}
static inline uint64_t seq_now(struct store *s)
{
    struct head h;
    return store_head(s, &h, NULL) == OK ? h.seq : 0;
}
static inline enum err store_run(struct store *s, const struct op *ops, size_t n, struct fault *fault)
{
    struct store_txn *t;
    enum err err = store_begin(s, &t, fault);
    if (err != OK)
        return err;
    if ((err = store_apply(t, ops, n, fault)) != OK) {
        store_abort(t);
        return err;
    }
    return commit_at(s, t, seq_now(s) + 1, fault);
}
static inline void tmp_store_commit(struct tmp_store *t, const struct op *ops, size_t n)
{
    assert_ok(store_run(t->s, ops, n, &t->fault), &t->fault);
}

static inline struct op op_put(const char *ns, const char *key, const char *value)
{
    return (struct op){ OP_PUT, bytes_of_text(ns), bytes_of_text(key), bytes_of_text(value) };
}
static inline struct op op_del(const char *ns, const char *key)
{
    return (struct op){ OP_DEL, bytes_of_text(ns), bytes_of_text(key), { 0 } };
}

/* Its entries are what its digest, lanes and head say. */
static inline void store_check(struct store *s)
{
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    struct digest d = { { 0 } }, lanes;
    uint8_t sum[DIGEST_LEN];
    uint64_t keys = 0, bytes = 0;
    struct view *v;
    struct head h;
    size_t n;
    assert_ok(view_open(s, &v, NULL), NULL);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_namespaces(v, names, &n), NULL);
    for (size_t i = 0; i < n; i++) {
        struct cursor *c;
        struct entry e;
        assert_ok(cursor_open(v, bytes_of_text(names[i]), &c), NULL);
        for (; cursor_next(c, &e) == OK; keys++) {
            digest_add(&d, bytes_of_text(names[i]), e.key, e.value);
            bytes += e.key.len + e.value.len;
        }
        cursor_close(c);
    }
    enum err err = view_head(v, &h, NULL);
    if (err == OK) {
        assert_ok(view_digest(v, &lanes), NULL);
        assert_memory_equal(&lanes, &d, sizeof d);
        digest_final(&d, sum);
        assert_memory_equal(sum, h.digest, DIGEST_LEN);
        assert_int_equal(keys, h.keys);
        assert_int_equal(bytes, h.bytes);
    } else {
        assert_int_equal(err, ERR_NOTFOUND);
        assert_int_equal(keys, 0);
    }
    view_end(v);
    view_close(v);
}

#endif
