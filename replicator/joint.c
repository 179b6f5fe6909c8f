/* Transactions of general namespaces. Those staged one behind the other become one of the log, as long as it stays small
 * enough to be announced with its head: one record, one signature, one seq for all. A version must name one
 * state of an entry, so what writes a key that the joint transaction has written begins the next one. */
#include "replicator/committer.h"
#include "store/kvvalue.h"

#include <assert.h>
#include <stdlib.h>

void joint_drop(struct joint *j)
{
    if (j->n > 0)
        memset(j->written, 0, sizeof j->written);
    arena_reset(&j->values);
    j->n = j->bytes = 0;
}

void joint_release(struct joint *j)
{
    arena_release(&j->values);
    free(j->ops);
    *j = (struct joint){ .n = 0 };
}

/* --- the keys that were written ---------------------------------------------------------------------------------------- */
/* Two keys with the same hash count as one: then a transaction begins earlier than it must. */
static uint64_t key_hash(const struct op *op)
{
    uint64_t h = bytes_fnv(bytes_fnv(BYTES_FNV_START, op->ns), bytes_of("/", 1));
    h = bytes_fnv(h, op->key);
    h ^= h >> 32;
    return h == 0 ? 1 : h;
}

/* The slot that has h, or the free one where it would stand. */
static uint64_t *slot_of(struct joint *j, uint64_t h)
{
    size_t at = h % JOINT_SLOTS;
    while (j->written[at] != 0 && j->written[at] != h)
        at = (at + 1) % JOINT_SLOTS;
    return &j->written[at];
}

static size_t bytes_of_ops(const struct op *ops, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += op_size(&ops[i]) + KV_WRAP_MAX;
    return bytes;
}

static bool takes(struct joint *j, const struct op *ops, size_t n)
{
    if (j->n == 0)
        return true;
    if (j->n + n > JOINT_OPS || j->bytes + bytes_of_ops(ops, n) > JOINT_BYTES)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (*slot_of(j, key_hash(&ops[i])) != 0)
            return false;
    }
    return true;
}

/* The last n ops are in. Where they are too many for another transaction beside them, nobody will ask for their keys. */
static void count(struct joint *j, size_t n)
{
    j->bytes += bytes_of_ops(j->ops + j->n - n, n);
    for (size_t i = j->n - n; i < j->n && j->n < JOINT_OPS; i++) {
        uint64_t h = key_hash(&j->ops[i]);
        *slot_of(j, h) = h;
    }
}

/* --- staging ---------------------------------------------------------------------------------------------------------- */
static enum err kv_limits_check(const struct op *ops, size_t n, struct fault *fault)
{
    for (size_t i = 0; i < n; i++) {
        const struct op *op = &ops[i];
        if (bytes_equal(op->ns, bytes_of_text(KV_NS_DNS)))
            return fault_set(fault, ERR_LIMIT, "namespace " KV_NS_DNS " holds zones, no general entries");
        if (op->key.len == 0 || op->key.len > KV_KEY_MAX)
            return fault_set(fault, ERR_LIMIT, "a key of %zu bytes: 1 to %d are allowed", op->key.len, KV_KEY_MAX);
        if (op->value.len > KV_BYTES_MAX)
            return fault_set(fault, ERR_LIMIT, "a value of %zu bytes: up to %zu are allowed", op->value.len,
                             KV_BYTES_MAX);
    }
    return OK;
}

static bool wrap(struct arena *a, const struct op *op, uint64_t seq, struct op *out)
{
    *out = *op;
    if (op->kind != OP_PUT)
        return true;
    size_t cap = op->value.len + KV_WRAP_MAX;
    struct wr w = wr_over(arena_take(a, cap), cap);
    if (w.buf == NULL)
        return false;
    kvvalue_write(&w, &(struct kvvalue){ seq, op->value });
    assert(!w.full);
    out->value = wr_done(&w);
    return true;
}

static bool room(struct joint *j, size_t n)
{
    if (j->cap - j->n >= n)
        return true;
    size_t cap = j->n + n + JOINT_OPS;
    struct op *more = realloc(j->ops, cap * sizeof *more);
    if (more == NULL)
        return false;
    j->ops = more;
    j->cap = cap;
    return true;
}

/* The encoder will cut the wrapped ops into parts by the same rule, so each value can carry the seq of its part. Where
 * several transactions are joined there is one part, which begins with the first of them. */
static enum err wrap_all(struct committer *c, const struct op *ops, size_t n, uint64_t *seqs, uint64_t *last)
{
    struct joint *j = &c->joint;
    uint64_t seq = c->staged.at.seq + 1;
    size_t filled = 0;
    if (!room(j, n))
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct op *to = &j->ops[j->n + i];
        bool fits = wrap(&j->values, &ops[i], seq, to);
        if (fits && !part_takes(&filled, to)) {
            seq++;
            filled = 0;
            fits = wrap(&j->values, &ops[i], seq, to) && part_takes(&filled, to);
        }
        if (!fits)
            return ERR_NOMEM;
        if (seqs != NULL)
            seqs[i] = seq;
    }
    *last = seq;
    return OK;
}

/* Is the data as it was? A put always makes a new version, but a delete behind it may take it away again. */
static bool nothing_changed(struct committer *c, const struct op *ops, size_t n, const struct store_state *before)
{
    struct store_state now;
    if (n > 0 && ops[n - 1].kind == OP_PUT)
        return false;
    store_state(c->txn, &now);
    return memcmp(&now, before, sizeof now) == 0;
}

static enum err add(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, uint64_t *seqs,
                    struct fault *fault)
{
    struct joint *j = &c->joint;
    struct store_state before = { .keys = 0 };
    enum err err = wrap_all(c, ops, n, seqs, seq);
    if (err != OK)
        return err;
    if (n == 0 || ops[n - 1].kind == OP_DEL)
        store_state(c->txn, &before);
    if ((err = stage_data(c, j->ops + j->n, n, fault)) != OK)
        return err;
    if (nothing_changed(c, ops, n, &before)) {      /* there is no such transaction */
        *seq = c->staged.head.seq + (j->n > 0);
        for (size_t i = 0; i < n && seqs != NULL; i++)
            seqs[i] = *seq;
        return OK;
    }
    j->n += n;
    count(j, n);
    return OK;
}

enum err joint_end(struct committer *c, struct fault *fault)
{
    struct joint *j = &c->joint;
    struct store_state state;
    if (j->n == 0)
        return OK;
    store_state(c->txn, &state);
    enum err err = stage_records(c, j->ops, j->n, &state, fault);
    joint_drop(j);
    return err;
}

enum err commit_stage_kv(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, uint64_t *seqs,
                         struct fault *fault)
{
    uint64_t got;
    enum err err = kv_limits_check(ops, n, fault);
    if (err == OK)
        err = stage_limits(c, ops, n, fault);
    if (err != OK)
        return err;
    if ((err = stage_begin(c, fault)) == OK && !takes(&c->joint, ops, n))
        err = joint_end(c, fault);
    if (err == OK)
        err = add(c, ops, n, &got, seqs, fault);
    if (err != OK)
        return stage_failed(c, err);
    *seq = got;
    return OK;
}

enum err commit_peek(struct committer *c, struct bytes ns, struct bytes key, struct bytes *out, struct fault *fault)
{
    enum err err = stage_begin(c, fault);
    if (err == OK && (err = store_peek(c->txn, ns, key, out)) != OK && err != ERR_NOTFOUND)
        fault_set(fault, err, "cannot read the store: %s", err_text(err));
    return err == OK || err == ERR_NOTFOUND ? err : stage_failed(c, err);
}
