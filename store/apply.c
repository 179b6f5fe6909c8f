#include "store/internal.h"

#include <stdlib.h>

#define HASH_PIECE 256
#define HASH_AHEAD_LEAST 1024           /* ops; with fewer, waking a thread gains nothing */

/* What a transaction knows of a namespace that it writes to. */
struct txn_ns {
    struct ns_slot slot;
    bool is_new;                        /* made by this transaction */
    MDB_cursor *cursor;
    bool appending;                     /* the cursor's last job was an append */
    bool tail_known;
    size_t tail_len;                    /* no key of the namespace is above the tail; 0: no keys */
    uint8_t tail[STORE_KEY_MAX];
    struct touched touched;
};

struct store_txn {
    struct store *s;
    struct gen *gen;
    MDB_txn *txn;
    struct digest lanes;
    uint8_t digest[DIGEST_LEN]; bool digest_known;      /* of lanes */
    uint64_t keys, bytes;
    bool touched_any;
    bool hashed_ahead;                  /* the values of the puts at hand are hashed by the crew */
    struct scrub *watch;                /* wants to know what changes; NULL: nobody does */
    struct room room;
    unsigned n, made;                   /* namespaces in use; of these, new ones */
    struct txn_ns *ns[STORE_NAMESPACES_MAX];
};

/* --- begin, abort ------------------------------------------------------------------------------------------------- */
static void txn_free(struct store_txn *t)
{
    for (unsigned i = 0; i < t->n; i++)
        free(t->ns[i]);
    t->s->writing = false;
    free(t);
}

static void cursors_close(struct store_txn *t)
{
    for (unsigned i = 0; i < t->n; i++)
        if (t->ns[i]->cursor != NULL)
            mdb_cursor_close(t->ns[i]->cursor);
}

void store_abort(struct store_txn *t)
{
    if (t == NULL)
        return;
    cursors_close(t);
    mdb_txn_abort(t->txn);
    if (t->watch != NULL)
        scrub_txn_end(t->watch, false);
    txn_free(t);
}

MUST_USE enum err store_begin(struct store *s, struct store_txn **out, struct fault *fault)
{
    if (!store_writable(s) || s->writing)
        return fault_set(fault, ERR_NOTNOW, "%s: %s", s->dir,
                         s->writing ? "a transaction is open already" : "opened for reading");
    struct store_txn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->s = s;
    t->gen = store_target(s);
    t->watch = scrub_watching(s, t->gen);
    t->lanes = t->gen->lanes;
    t->keys = t->gen->keys;
    t->bytes = t->gen->bytes;
    /* a reader that was killed keeps what commits free until it is noticed */
    if (++t->gen->begins % READERS_EVERY == 0)
        (void)mdb_reader_check(t->gen->env->mdb, NULL);
    enum err err = room_begin(&t->room, t->gen->env, fault);
    if (err == OK)
        err = lmdb_err(fault, env_write_begin(t->gen->env, &t->txn), "write", env_path(t->gen->env));
    if (err != OK) {
        free(t);
        return err;
    }
    s->writing = true;
    *out = t;
    return OK;
}

/* --- limits ------------------------------------------------------------------------------------------------------- */
static struct txn_ns *txn_ns_find(struct store_txn *t, struct bytes ns)
{
    for (unsigned i = 0; i < t->n; i++)
        if (t->ns[i]->slot.len == ns.len && memcmp(t->ns[i]->slot.name, ns.ptr, ns.len) == 0)
            return t->ns[i];
    return NULL;
}

static bool ns_is_there(struct store_txn *t, struct bytes ns)
{
    return txn_ns_find(t, ns) != NULL || gen_ns(t->gen, ns) != NULL;
}

/* Counts the namespaces that the ops would make. fresh: those counted before. */
static enum err count_new(struct store_txn *t, const struct op *op, struct bytes fresh[], unsigned *n,
                          struct fault *fault)
{
    if (op->kind != OP_PUT || ns_is_there(t, op->ns))
        return OK;
    for (unsigned i = 0; i < *n; i++)
        if (bytes_equal(fresh[i], op->ns))
            return OK;
    if (atomic_load(&t->gen->names_n) + t->made + *n == STORE_NAMESPACES_MAX)
        return fault_set(fault, ERR_LIMIT, "namespace %.*s would be one too many: at most %d", (int)op->ns.len,
                         (const char *)op->ns.ptr, STORE_NAMESPACES_MAX);
    fresh[(*n)++] = op->ns;
    return OK;
}

static enum err check_op(const struct op *op, struct fault *fault)
{
    if (op->kind != OP_PUT && op->kind != OP_DEL)
        return fault_set(fault, ERR_LIMIT, "neither a put nor a delete (%d)", (int)op->kind);
    if (!ns_name_fits(op->ns))
        return fault_set(fault, ERR_LIMIT, "a namespace name is 1 to %d of a-z 0-9 _ . -", STORE_NS_MAX);
    if (op->key.len == 0 || op->key.len > STORE_KEY_MAX)
        return fault_set(fault, ERR_LIMIT, "a key of %zu bytes: 1 to %d are allowed", op->key.len, STORE_KEY_MAX);
    if (op->value.len > STORE_VALUE_MAX || (op->kind == OP_DEL && op->value.len > 0))
        return fault_set(fault, ERR_LIMIT, "a value of %zu bytes: up to %zu are allowed, none for a delete",
                         op->value.len, STORE_VALUE_MAX);
    return OK;
}

/* All of them before the first is applied. Runs of one namespace, as they come, are looked up once. */
static enum err check_ops(struct store_txn *t, const struct op *ops, size_t n, struct fault *fault)
{
    struct bytes fresh[STORE_NAMESPACES_MAX];
    unsigned fresh_n = 0;
    for (size_t i = 0; i < n; i++) {
        enum err err = check_op(&ops[i], fault);
        bool same = i > 0 && ops[i - 1].kind == ops[i].kind && bytes_equal(ops[i - 1].ns, ops[i].ns);
        if (err == OK && !same)
            err = count_new(t, &ops[i], fresh, &fresh_n, fault);
        if (err != OK)
            return err;
    }
    return OK;
}

/* --- namespaces --------------------------------------------------------------------------------------------------- */
/* NULL with OK: no such namespace, and `make` is false. */
static enum err txn_ns_get(struct store_txn *t, struct bytes ns, bool make, struct txn_ns **out, struct fault *fault)
{
    const struct ns_slot *slot = gen_ns(t->gen, ns);
    if ((*out = txn_ns_find(t, ns)) != NULL || (slot == NULL && !make))
        return OK;
    struct txn_ns *made = calloc(1, sizeof *made);
    if (made == NULL)
        return ERR_NOMEM;
    memcpy(made->slot.name, ns.ptr, ns.len);
    made->slot.len = ns.len;
    made->is_new = slot == NULL;
    int rc = 0;
    if (slot != NULL)
        made->slot.dbi = slot->dbi;
    else
        rc = mdb_dbi_open(t->txn, made->slot.name, MDB_CREATE, &made->slot.dbi);
    if (rc != 0) {
        free(made);
        return lmdb_err(fault, rc, "make a namespace in", env_path(t->gen->env));
    }
    t->made += made->is_new;
    t->ns[t->n++] = *out = made;
    return OK;
}

static int cursor_ready(struct store_txn *t, struct txn_ns *n)
{
    return n->cursor != NULL ? 0 : mdb_cursor_open(t->txn, n->slot.dbi, &n->cursor);
}

/* A new cursor, unless the last job was an append too: one that deleted or split pages is not asked for the end. */
static int append_ready(struct store_txn *t, struct txn_ns *n)
{
    if (n->appending)
        return 0;
    if (n->cursor != NULL)
        mdb_cursor_close(n->cursor);
    n->cursor = NULL;
    n->appending = true;
    return cursor_ready(t, n);
}

static int tail_load(struct store_txn *t, struct txn_ns *n)
{
    MDB_val k, v;
    if (n->tail_known)
        return 0;
    int rc = append_ready(t, n);
    if (rc == 0 && (rc = mdb_cursor_get(n->cursor, &k, &v, MDB_LAST)) == 0) {
        if (k.mv_size > sizeof n->tail)
            return MDB_CORRUPTED;
        memcpy(n->tail, k.mv_data, k.mv_size);
        n->tail_len = k.mv_size;
    }
    n->tail_known = rc == 0 || rc == MDB_NOTFOUND;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* --- applying ----------------------------------------------------------------------------------------------------- */
static uint64_t pages_touched(void *arg)
{
    struct store_txn *t = arg;
    uint64_t pages = 0;
    for (unsigned i = 0; i < t->n; i++) {
        MDB_stat st;
        if (mdb_stat(t->txn, t->ns[i]->slot.dbi, &st) == 0)
            pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
    }
    return pages;
}

static void taken_out(struct store_txn *t, struct txn_ns *n, struct bytes key, struct bytes old)
{
    digest_sub(&t->lanes, bytes_of(n->slot.name, n->slot.len), key, old);
    if (t->watch != NULL)
        scrub_note_out(t->watch, bytes_of(n->slot.name, n->slot.len), key, old);
    t->keys--;
    t->bytes -= key.len + old.len;
}

static void put_in(struct store_txn *t, struct txn_ns *n, const struct op *op)
{
    if (!t->hashed_ahead)
        digest_add(&t->lanes, bytes_of(n->slot.name, n->slot.len), op->key, op->value);
    if (t->watch != NULL)
        scrub_note_in(t->watch, bytes_of(n->slot.name, n->slot.len), op->key, op->value);
    t->keys++;
    t->bytes += op->key.len + op->value.len;
}

/* Above every key there is: not there, and it goes to the end, which fills pages to their brim. */
static int put_behind(struct txn_ns *n, const struct op *op)
{
    MDB_val k = val_of(op->key), v = val_of(op->value);
    memcpy(n->tail, op->key.ptr, op->key.len);
    n->tail_len = op->key.len;
    return mdb_cursor_put(n->cursor, &k, &v, MDB_APPEND);
}

static enum err put(struct store_txn *t, struct txn_ns *n, const struct op *op, struct fault *fault)
{
    MDB_val k = val_of(op->key), v = val_of(op->value), old;
    bool was = false, behind = false;
    int rc = tail_load(t, n);
    if (rc == 0 && bytes_compare(op->key, bytes_of(n->tail, n->tail_len)) > 0) {
        behind = true;
        rc = append_ready(t, n);
    } else if (rc == 0 && (rc = cursor_ready(t, n)) == 0) {
        rc = mdb_cursor_get(n->cursor, &k, &old, MDB_SET);
        was = rc == 0;
        if (was && bytes_equal(bytes_of_val(old), op->value)) {
            if (t->hashed_ahead)
                digest_sub(&t->lanes, op->ns, op->key, op->value);
            return OK;
        }
        rc = rc == MDB_NOTFOUND ? 0 : rc;
        n->appending = false;
    }
    enum err err = rc != 0 ? OK : room_for_put(&t->room, op->value.len, pages_touched, t, fault);
    if (err != OK)
        return err;
    if (rc == 0 && was)
        taken_out(t, n, op->key, bytes_of_val(old));
    if (rc == 0)
        rc = behind ? put_behind(n, op) : mdb_cursor_put(n->cursor, &k, &v, 0);
    if (rc != 0)
        return lmdb_err(fault, rc, "write", env_path(t->gen->env));
    put_in(t, n, op);
    t->touched_any = true;
    t->gen->changed++;
    touched_mark(&n->touched, op->key, was, true);
    return OK;
}

static enum err del(struct store_txn *t, struct txn_ns *n, const struct op *op, struct fault *fault)
{
    MDB_val k = val_of(op->key), old;
    int rc = cursor_ready(t, n);
    n->appending = false;
    if (rc == 0)
        rc = mdb_cursor_get(n->cursor, &k, &old, MDB_SET);
    if (rc == MDB_NOTFOUND)
        return OK;
    if (rc == 0) {
        taken_out(t, n, op->key, bytes_of_val(old));
        rc = mdb_cursor_del(n->cursor, 0);
    }
    if (rc != 0)
        return lmdb_err(fault, rc, "delete from", env_path(t->gen->env));
    t->touched_any = true;
    t->gen->changed++;
    touched_mark(&n->touched, op->key, true, false);
    return OK;
}

static enum err apply_all(struct store_txn *t, const struct op *ops, size_t n, struct fault *fault)
{
    struct txn_ns *ns = NULL;
    enum err err = OK;
    for (size_t i = 0; i < n && err == OK; i++) {
        if (ns == NULL || !bytes_equal(bytes_of(ns->slot.name, ns->slot.len), ops[i].ns))
            err = txn_ns_get(t, ops[i].ns, ops[i].kind == OP_PUT, &ns, fault);
        if (err == OK && ns != NULL)
            err = ops[i].kind == OP_PUT ? put(t, ns, &ops[i], fault) : del(t, ns, &ops[i], fault);
    }
    return err;
}

/* Values being put are hashed beside the writing: what the digest says does not depend on the order. All of them count
 * as put; those that turn out to be there already are taken off again by put(). */
struct hashing { const struct op *ops; size_t n; struct digest sum[CREW_MAX]; };

static void hash_piece(void *arg, size_t piece, unsigned who)
{
    struct hashing *h = arg;
    size_t from = piece * HASH_PIECE, to = h->n - from < HASH_PIECE ? h->n : from + HASH_PIECE;
    for (size_t i = from; i < to; i++)
        if (h->ops[i].kind == OP_PUT)
            digest_add(&h->sum[who], h->ops[i].ns, h->ops[i].key, h->ops[i].value);
}

static enum err apply_beside(struct store_txn *t, const struct op *ops, size_t n, struct fault *fault)
{
    struct hashing h = { .ops = ops, .n = n };
    struct task task = { .run = hash_piece, .arg = &h, .pieces = (n + HASH_PIECE - 1) / HASH_PIECE };
    t->hashed_ahead = true;
    crew_begin(t->s->crew, &task);
    enum err err = apply_all(t, ops, n, fault);
    crew_end(t->s->crew, &task);
    t->hashed_ahead = false;
    for (unsigned i = 0; i < crew_size(t->s->crew); i++)
        digest_merge(&t->lanes, &h.sum[i]);
    return err;
}

MUST_USE enum err store_apply(struct store_txn *t, const struct op *ops, size_t n, struct fault *fault)
{
    enum err err = check_ops(t, ops, n, fault);
    if (err != OK)
        return err;
    t->digest_known = false;
    return n < HASH_AHEAD_LEAST || crew_size(t->s->crew) < 2 ? apply_all(t, ops, n, fault)
                                                             : apply_beside(t, ops, n, fault);
}

void store_state(struct store_txn *t, struct store_state *out)
{
    if (!t->digest_known)
        digest_final(&t->lanes, t->digest);
    t->digest_known = true;
    memcpy(out->digest, t->digest, DIGEST_LEN);
    out->keys = t->keys;
    out->bytes = t->bytes;
}

MUST_USE enum err store_peek(struct store_txn *t, struct bytes ns, struct bytes key, struct bytes *out)
{
    const struct txn_ns *mine = txn_ns_find(t, ns);
    const struct ns_slot *slot = mine != NULL ? &mine->slot : gen_ns(t->gen, ns);
    MDB_val k = val_of(key), v;
    if (slot == NULL || key.len == 0)
        return ERR_NOTFOUND;
    int rc = mdb_get(t->txn, slot->dbi, &k, &v);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", slot->name);
    *out = bytes_of_val(v);
    return OK;
}

/* --- commit ------------------------------------------------------------------------------------------------------- */
/* The head says what the data is, stands behind the one before, and is what the signed bytes say. */
static enum err check_head(struct store_txn *t, const struct head *head, const struct signed_head *sh,
                           struct fault *fault)
{
    struct store_state st;
    struct head stored;
    struct rd r = rd_over(bytes_of(sh->body, sh->len <= HEAD_MAX ? sh->len : 0));
    store_state(t, &st);
    if (memcmp(st.digest, head->digest, DIGEST_LEN) != 0 || st.keys != head->keys || st.bytes != head->bytes)
        return fault_set(fault, ERR_DIGEST, "digest, keys or bytes of head %llu are not those of the data",
                         (unsigned long long)head->seq);
    if (head_read(&r, &stored) != OK || !rd_done(&r) || head_compare(&stored, head) != 0 ||
        memcmp(stored.digest, head->digest, DIGEST_LEN) != 0)
        return fault_set(fault, ERR_BAD, "the signed head is not head %llu", (unsigned long long)head->seq);
    static const uint8_t open[CLUSTER_LEN];
    const uint8_t *cluster = t->s->magic.cluster;
    if (memcmp(cluster, open, CLUSTER_LEN) != 0 && memcmp(cluster, head->cluster, CLUSTER_LEN) != 0)
        return fault_set(fault, ERR_CLUSTER, "head %llu is another cluster's", (unsigned long long)head->seq);
    if (!t->gen->has_head)
        return OK;
    bool same = head->seq == t->gen->head.seq && head->epoch == t->gen->head.epoch;
    if (head->epoch < t->gen->head.epoch || head->seq < t->gen->head.seq || (head->seq == t->gen->head.seq && !same) ||
        (same && t->touched_any))
        return fault_set(fault, ERR_NOTNOW, "head %llu does not stand behind head %llu", (unsigned long long)head->seq,
                         (unsigned long long)t->gen->head.seq);
    return OK;
}

static enum err ring_write(struct store_txn *t, const struct head *head, struct fault *fault)
{
    uint8_t buf[1 + RING_BYTES];
    uint64_t before = t->gen->has_head ? t->gen->head.seq : 0;
    if (t->gen->has_head && head->seq == before)
        return OK;              /* the same state with a newer time: touched nothing */
    /* what a fresh generation's first commit changes against the generation before, nobody knows */
    uint64_t reach = t->gen->filled_fresh && !t->gen->has_head ? head->seq : before;
    enum err err = ring_put_txn(t->txn, t->gen->ring, head->seq, reach, fault);
    for (unsigned i = 0; i < t->n && err == OK; i++) {
        const struct txn_ns *n = t->ns[i];
        struct wr w = wr_over(buf, sizeof buf);
        if (touched_write(&n->touched, &w))
            err = ring_put_ns(t->txn, t->gen->ring, head->seq, bytes_of(n->slot.name, n->slot.len), wr_done(&w), fault);
    }
    return err;
}

/* Views of this process learn of new namespaces under the lock: LMDB shows the data before it shows the handle. */
static int commit(struct store_txn *t, bool soft)
{
    struct gen *g = t->gen;
    if (t->made == 0)
        return soft ? env_write_commit_soft(g->env, t->txn) : env_write_commit(g->env, t->txn);
    (void)pthread_mutex_lock(&g->env->lock);
    int rc = env_write_commit(g->env, t->txn);
    for (unsigned i = 0; i < t->n && rc == 0; i++)
        if (t->ns[i]->is_new)
            gen_names_add(g, bytes_of(t->ns[i]->slot.name, t->ns[i]->slot.len), t->ns[i]->slot.dbi);
    if (rc == 0)
        atomic_store(&g->names_seen, atomic_load(&g->names_seen) + t->made);
    (void)pthread_mutex_unlock(&g->env->lock);
    return rc;
}

/* LMDB keeps the pages that a transaction touched in memory, and the memory for the next one. */
MUST_USE enum err store_spill(struct store_txn *t, struct fault *fault)
{
    struct env *e = t->gen->env;
    if (t->gen != t->s->fresh)
        return fault_set(fault, ERR_NOTNOW, "%s: only a fresh generation is written out before its end", t->s->dir);
    cursors_close(t);
    enum err err = commit_err(fault, commit(t, false), e);
    t->txn = NULL;
    for (unsigned i = 0; i < t->n; i++) {
        t->ns[i]->cursor = NULL;
        t->ns[i]->is_new = t->ns[i]->appending = t->ns[i]->tail_known = false;
    }
    t->made = 0;
    if (err == OK && (err = room_begin(&t->room, e, fault)) == OK)
        err = lmdb_err(fault, env_write_begin(e, &t->txn), "write", env_path(e));
    return err;
}

MUST_USE enum err store_commit(struct store_txn *t, const struct head *head, const struct signed_head *sh,
                               struct fault *fault)
{
    struct gen *g = t->gen;
    enum err err = check_head(t, head, sh, fault);
    if (err == OK)
        err = ring_write(t, head, fault);
    if (err == OK)
        err = meta_put(t->txn, g->meta, sh, &t->lanes, fault);
    if (err == OK && (g->loading || g->loaded))
        err = meta_loaded_put(t->txn, g->meta, g->loading, g->loaded_over, fault);
    if (err != OK) {
        store_abort(t);
        return err;
    }
    cursors_close(t);
    err = commit_err(fault, commit(t, t->s->soft && g->has_head && head->epoch == g->head.epoch), g->env);
    if (err == OK) {
        g->lanes = t->lanes;
        g->keys = t->keys;
        g->bytes = t->bytes;
        g->has_head = true;
        g->loaded = g->loading;
        g->head = *head;
        g->signed_head = *sh;
    }
    if (t->watch != NULL)
        scrub_txn_end(t->watch, err == OK);
    txn_free(t);
    return err;
}

MUST_USE enum err store_head(struct store *s, struct head *out, struct signed_head *out_signed)
{
    const struct gen *g = store_target(s);
    if (!store_writable(s))
        return ERR_NOTNOW;
    if (!g->has_head)
        return ERR_NOTFOUND;
    *out = g->head;
    if (out_signed != NULL)
        *out_signed = g->signed_head;
    return OK;
}
