#include "replicator/committer.h"

#include <sodium.h>
#include <stdlib.h>

#define TOLD_BYTES_MAX ((size_t)4 << 20)    /* records kept to be told at the flush; further ones are told by head only */
#define APPLY_BATCH 65536               /* ops per store_apply */
#define IN_TURN_MAX 64                  /* transactions of a flush that are signed before the next one is made */

static bool name_known(struct committer *c, struct bytes ns)
{
    for (size_t i = 0; i < c->names_n; i++) {
        if (bytes_equal(bytes_of_text(c->names[i]), ns))
            return true;
    }
    return false;
}

/* Before anything is touched, so that a transaction that cannot be does not take the staged ones with it. */
enum err stage_limits(struct committer *c, const struct op *ops, size_t n, struct fault *fault)
{
    struct bytes last = { 0 };
    size_t names_n = c->names_n;
    enum err err = OK;
    for (size_t i = 0; i < n && err == OK; i++) {
        const struct op *op = &ops[i];
        if (op->key.len == 0 || op->key.len > STORE_KEY_MAX || op->value.len > STORE_VALUE_MAX) {
            err = fault_set(fault, ERR_LIMIT, "key of %zu bytes with a value of %zu bytes", op->key.len, op->value.len);
        } else if (i == 0 || !bytes_equal(op->ns, last)) {
            last = op->ns;
            if (!ns_name_fits(last))
                err = fault_set(fault, ERR_LIMIT, "a namespace is named by 1 to %d of a-z 0-9 _ . -", STORE_NS_MAX);
            else if (op->kind == OP_PUT && !name_known(c, last) && c->names_n == STORE_NAMESPACES_MAX)
                err = fault_set(fault, ERR_LIMIT, "more than %d namespaces", STORE_NAMESPACES_MAX);
            else if (op->kind == OP_PUT && !name_known(c, last)) {
                memcpy(c->names[c->names_n], last.ptr, last.len);
                c->names[c->names_n++][last.len] = '\0';
            }
        }
    }
    if (err != OK)
        c->names_n = names_n;
    return err;
}

enum err stage_begin(struct committer *c, struct fault *fault)
{
    enum err err = c->dirty || (c->log == NULL && log_is_behind(c->store)) ? commit_recover(c, fault) : OK;
    if (err == OK && c->txn == NULL)
        err = store_begin(c->store, &c->txn, fault);
    return err;
}

static enum err tell_later(struct committer *c, bool alone)
{
    if (c->list_n == c->list_cap) {
        size_t cap = c->list_cap == 0 ? 16 : 2 * c->list_cap;
        struct told *more = realloc(c->list, cap * sizeof *more);
        if (more == NULL)
            return ERR_NOMEM;
        c->list = more;
        c->list_cap = cap;
    }
    c->list[c->list_n++] = (struct told){ .head = c->staged.signed_head, .seq = c->staged.head.seq, .alone = alone };
    return OK;
}

/* The head's signature stands at the end of its record. */
static void keep_record(struct committer *c, struct told *t, struct bytes record)
{
    memcpy(t->head.sig, record.ptr + record.len - HEAD_SIG_LEN, HEAD_SIG_LEN);
    if (t->seq == c->staged.head.seq)
        memcpy(c->staged.signed_head.sig, t->head.sig, HEAD_SIG_LEN);
    if (c->told == NULL || !t->alone || record.len > RECORD_INLINE_MAX || c->list_bytes + record.len > TOLD_BYTES_MAX ||
        (t->record = malloc(record.len)) == NULL)
        return;
    memcpy(t->record, record.ptr, record.len);
    t->len = record.len;
    c->list_bytes += record.len;
}

enum err stage_signed(void *committer, uint64_t seq, struct bytes record, struct fault *fault)
{
    struct committer *c = committer;
    enum err err = c->log == NULL ? log_join(c->store, &c->log, fault) : OK;
    if (err == OK)
        err = log_append(c->log, seq, record, fault);
    if (err == OK && c->signed_n < c->list_n && c->list[c->signed_n].seq == seq)
        keep_record(c, &c->list[c->signed_n++], record);
    return err;
}

/* The head behind the last part. */
static void next_head(struct committer *c, const struct position *at, const struct store_state *state, uint64_t time_ms)
{
    struct head *h = &c->staged.head;
    h->epoch = at->epoch;
    h->seq = at->seq;
    memcpy(h->chain, at->chain, CHAIN_LEN);
    memcpy(h->digest, state->digest, DIGEST_LEN);
    h->keys = state->keys;
    h->bytes = state->bytes;
    h->time_ms = time_ms;
    h->cohorts_n = 1;
    h->cohorts[0] = (struct head_cohort){ .name = "all", .released = at->seq };
    head_put(&c->staged.signed_head, h);
}

static enum err take_secret(struct committer *c, struct fault *fault)
{
    uint8_t key[CLUSTER_KEY_LEN];
    uint64_t id = 0;
    enum err err = !c->encrypt ? OK : c->replay.keys == NULL ? ERR_KEY : keyring_find(c->replay.keys, 0, key, &id);
    if (err != OK)
        return fault_set(fault, ERR_KEY, "no cluster key to encrypt with");
    encoder_secret(c->encoder, id, key);
    sodium_memzero(key, sizeof key);
    return OK;
}

/* Whoever verifies what comes next has verified the record before with it. That one must be signed then: those that are announced with
 * their heads are, since each signature spares every edge one; large ones, and the rest of a large group, are left to the crew. */
static enum err bear_witness(struct committer *c, struct fault *fault)
{
    uint8_t witness[CHAIN_LEN];
    enum err err = OK;
    if (c->signed_n + 1 == c->list_n && c->list[c->signed_n].alone && c->list_n <= IN_TURN_MAX)
        err = signing_end(c->signing, fault);
    if (err != OK || c->staged.at.seq == 0 || c->signed_n < c->list_n)
        return err;
    record_witness(c->staged.at.chain, &c->staged.signed_head, witness);
    encoder_witness(c->encoder, witness);
    return OK;
}

/* Parts to be signed, and from there into the log's transaction. */
enum err stage_records(struct committer *c, const struct op *ops, size_t n, const struct store_state *state,
                       struct fault *fault)
{
    uint64_t time_ms = commit_time_ms(c);
    struct position at;
    enum err err = take_secret(c, fault);
    if (err != OK)
        return err;
    encoder_begin(c->encoder, &c->staged.at, c->epoch, time_ms, ops, n);
    if ((err = bear_witness(c, fault)) != OK)
        return err;
    do {
        struct bytes record = { 0 };
        struct record_blanks blanks;
        if ((err = encoder_part(c->encoder, &at)) != OK)
            return fault_set(fault, err, "cannot encode a log record");
        if (!at.more) {
            next_head(c, &at, state, time_ms);
            if ((err = tell_later(c, at.part == 0)) != OK)
                return err;
        }
        if ((err = encoder_record(c->encoder, at.more ? NULL : &c->staged.signed_head, &record, &blanks)) != OK)
            return fault_set(fault, err, "cannot encode a log record");
        if ((err = signing_add(c->signing, at.seq, record, &blanks, fault)) != OK)
            return err;
    } while (at.more);
    c->staged.at = at;
    return OK;
}

static bool same_state(const struct committer *c, const struct store_state *s)
{
    return memcmp(s->digest, c->staged.head.digest, DIGEST_LEN) == 0 && s->keys == c->staged.head.keys
        && s->bytes == c->staged.head.bytes;
}

enum err stage_data(struct committer *c, const struct op *ops, size_t n, struct fault *fault)
{
    enum err err = OK;
    for (size_t i = 0; i < n && err == OK; i += APPLY_BATCH)
        err = store_apply(c->txn, ops + i, n - i < APPLY_BATCH ? n - i : APPLY_BATCH, fault);
    for (size_t i = 0; i < n && err == OK; i++)
        c->staged_bytes += op_size(&ops[i]);
    return err;
}

/* One transaction of ops that are within their limits. */
static enum err stage_ops(struct committer *c, const struct op *ops, size_t n, struct fault *fault)
{
    struct store_state state;
    enum err err = stage_data(c, ops, n, fault);
    if (err != OK)
        return err;
    store_state(c->txn, &state);
    if (!same_state(c, &state))
        return stage_records(c, ops, n, &state, fault);
    if (c->list_n == 0)
        commit_drop_staged(c);
    return OK;
}

enum err stage_failed(struct committer *c, enum err err)
{
    commit_drop_staged(c);
    return err == ERR_LIMIT ? ERR_STORE : err;
}

enum err commit_stage(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, struct fault *fault)
{
    enum err err = stage_limits(c, ops, n, fault);
    if (err != OK)
        return err;
    if ((err = stage_begin(c, fault)) == OK && (err = joint_end(c, fault)) == OK)
        err = stage_ops(c, ops, n, fault);
    if (err != OK)
        return stage_failed(c, err);
    *seq = c->staged.head.seq;
    return OK;
}

enum err commit_note(struct committer *c, struct bytes group, uint64_t seq, struct bytes note, struct fault *fault)
{
    enum err err = OK;
    if (seq <= c->base.head.seq || c->list_n == 0)
        return OK;
    if (c->log == NULL)
        err = log_join(c->store, &c->log, fault);
    if (err == OK)
        err = lognote_reach_put(c->log, c->base.head.seq + 1, true, fault);
    if (err == OK)
        err = lognote_put(c->log, group, c->staged.head.epoch, seq, note, fault);
    if (err != OK)
        return stage_failed(c, err);
    c->note_bytes += group.len + note.len;
    return OK;
}

enum err commit_stage_epoch(struct committer *c, uint64_t epoch, uint64_t *seq, struct fault *fault)
{
    struct store_state state;
    enum err err = stage_begin(c, fault);
    if (err == OK && (c->list_n > 0 || c->joint.n > 0 || epoch <= c->epoch))
        return fault_set(fault, ERR_NOTNOW, "an epoch begins above the last, with nothing staged before it");
    if (err == OK) {
        c->epoch = epoch;
        store_state(c->txn, &state);
        err = stage_records(c, NULL, 0, &state, fault);
    }
    if (err != OK)
        return stage_failed(c, err);
    *seq = c->staged.head.seq;
    return OK;
}
