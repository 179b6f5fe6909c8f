#include "replicator/commit.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "replicator/encode.h"
#include "replicator/replay.h"
#include "replicator/signing.h"
#include "store/kvvalue.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define TIME_AHEAD_MS 30000             /* how far DIR/core.time runs ahead, so that it is written seldom */
#define TOLD_BYTES_MAX ((size_t)4 << 20)    /* records kept to be told at the flush; further ones are told by head only */
#define APPLY_BATCH 65536               /* ops per store_apply */

/* A staged transaction: its head, without signature until its record is signed; the record when it can go with it. */
struct told { struct signed_head head; uint64_t seq; bool alone; uint8_t *record; size_t len; };
struct base { struct head head; struct signed_head signed_head; struct position at; };     /* one state of the data */

struct committer {
    struct store *store;
    struct node_key key;
    commit_told_fn *told;
    void *told_arg;
    struct replay replay;
    struct encoder *encoder;
    struct signing *signing;
    uint64_t epoch;
    struct base base, staged;           /* committed; with what is staged on top */
    struct store_txn *txn;              /* open while something is staged */
    struct log_txn *log;
    bool dirty;                         /* a failure between the two commits: replay first */
    struct told *list;
    size_t list_n, list_cap, list_bytes, staged_bytes;
    size_t signed_n;                    /* of list, those whose record is signed */
    struct arena wrapped;               /* ops and values of commit_stage_kv */
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];     /* namespaces that exist or are staged */
    size_t names_n, names_base;
    pthread_mutex_t lock;               /* of what follows: the heartbeat runs in another thread */
    struct head shown;
    uint64_t time_ms, time_bound_ms;
    char time_path[4096];
};

/* --- core time ------------------------------------------------------------------------------------------------------ */
/* A bound above every time that was told stands in a file: the clock may have been set back while we were down. */
static void time_keep(struct committer *c, uint64_t bound_ms)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64 "\n", bound_ms);
    c->time_bound_ms = bound_ms;
    /* Not fatal: heads say the time too, and a clock that is not set back needs no bound. */
    enum err err = file_replace(c->time_path, bytes_of_text(text), 0644, NULL);
    (void)err;
}

static void time_load(struct committer *c)
{
    struct bytes file;
    uint64_t ms;
    if (file_read(c->time_path, 64, &file, NULL) != OK)
        return;
    char *text = (char *)(uintptr_t)file.ptr;       /* file_read ends it with a 0 */
    text[strcspn(text, "\n")] = '\0';
    if (text_number(text, INT64_MAX, &ms) == OK && ms > c->time_ms)
        c->time_ms = ms;
    free(text);
}

static uint64_t time_next(struct committer *c, uint64_t least)
{
    uint64_t now = clock_wall_ms();
    c->time_ms = now > least ? now : least;
    if (c->time_ms > c->time_bound_ms)
        time_keep(c, c->time_ms + TIME_AHEAD_MS);
    return c->time_ms;
}

uint64_t commit_time_ms(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    uint64_t now = time_next(c, c->time_ms);
    pthread_mutex_unlock(&c->lock);
    return now;
}

enum err commit_heartbeat(struct committer *c, struct signed_head *out)
{
    struct head h;
    pthread_mutex_lock(&c->lock);
    h = c->shown;
    if (h.seq > 0)
        h.time_ms = time_next(c, c->time_ms + 1);   /* later than any before: only such a head counts as news */
    pthread_mutex_unlock(&c->lock);
    if (h.seq == 0)
        return ERR_NOTFOUND;
    head_sign(out, &h, &c->key);
    return OK;
}

static void show(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    c->shown = c->base.head;
    if (c->shown.time_ms > c->time_ms)
        c->time_ms = c->shown.time_ms;
    pthread_mutex_unlock(&c->lock);
}

/* --- start and repair ------------------------------------------------------------------------------------------------ */
static enum err base_load(struct committer *c, struct fault *fault)
{
    struct base b = { .at = { 0 } };
    enum err err = store_head(c->store, &b.head, &b.signed_head);
    if (err == ERR_NOTFOUND) {
        struct digest empty = { .lane = { 0 } };
        memcpy(b.head.cluster, store_cluster(c->store), CLUSTER_LEN);
        digest_final(&empty, b.head.digest);
        b.head.epoch = 1;
    } else if (err != OK) {
        return fault_set(fault, err, "cannot read the store's head: %s", err_text(err));
    } else {
        b.at.epoch = b.head.epoch;
        b.at.seq = b.head.seq;
        memcpy(b.at.chain, b.head.chain, CHAIN_LEN);
    }
    c->epoch = b.head.epoch;
    c->base = c->staged = b;
    return OK;
}

static enum err does_not_join(const struct replay_tail *t, struct fault *fault)
{
    if (t->why == ERR_SIGNATURE)
        return fault_set(fault, ERR_SIGNATURE, "the log was signed by another key than DIR/node.key: put that key back");
    return fault_set(fault, ERR_FORK, "log and data do not join at seq %" PRIu64 " (%s): restore a backup, or load into an "
                     "empty directory and empty those of the edges", t->applied.seq, err_text(t->why));
}

static enum err names_load(struct committer *c, struct fault *fault)
{
    struct view *v = NULL;
    enum err err = view_open(c->store, &v, fault);
    if (err != OK)
        return err;
    if ((err = view_begin(v)) == OK) {
        err = view_namespaces(v, c->names, &c->names_n);
        view_end(v);
    }
    view_close(v);
    c->names_base = c->names_n;
    return err == OK ? OK : fault_set(fault, err, "cannot read the namespaces: %s", err_text(err));
}

/* What the log has complete goes into the data, what it has incomplete goes away. */
static enum err recover(struct committer *c, struct fault *fault)
{
    struct replay_tail t;
    struct replay_done done;
    uint64_t first, last, over;
    enum err err = replay_walk(&c->replay, &t, fault);
    if (err == OK && (err = log_range(c->store, &first, &last)) != OK)
        fault_set(fault, err, "cannot read the log: %s", err_text(err));
    if (err != OK)
        return err;
    if (last == 0 && t.applied.seq > 0 && !store_is_loaded(c->store, &over)) {
        t.broken = true;
        t.why = ERR_GAP;
    }
    if (t.broken)
        return does_not_join(&t, fault);
    if (t.log.seq > t.complete)
        err = replay_cut(&c->replay, t.complete, fault);
    if (err == OK && t.complete > t.applied.seq)
        err = replay_apply(&c->replay, t.complete, &done, fault);
    if (err == OK)
        err = base_load(c, fault);
    if (err == OK)
        err = names_load(c, fault);
    if (err == OK) {
        c->dirty = false;
        show(c);
    }
    return err;
}

static enum err on_signed(void *arg, uint64_t seq, struct bytes record, struct fault *fault);

enum err commit_open(struct committer **out, struct store *s, const struct node_key *key,
                     commit_told_fn *told, void *told_arg, struct fault *fault)
{
    struct committer *c = calloc(1, sizeof *c);
    uint64_t over, seq;
    enum err err = ERR_NOMEM;
    if (c == NULL)
        return fault_set(fault, err, "no memory");
    c->store = s;
    c->key = *key;
    c->told_arg = told_arg;
    pthread_mutex_init(&c->lock, NULL);
    if (sodium_init() < 0 || encoder_open(&c->encoder, store_cluster(s), key) != OK) {
        fault_set(fault, err, "no memory for the encoder");
        goto failed;
    }
    if (signing_open(&c->signing, store_crew(s), key, on_signed, c) != OK) {
        fault_set(fault, err, "no memory for signing");
        goto failed;
    }
    if ((err = file_path(c->time_path, sizeof c->time_path, store_dir(s), "core.time")) != OK
        || (err = replay_open(&c->replay, s, key->pub, fault)) != OK
        || (err = recover(c, fault)) != OK)
        goto failed;
    time_load(c);
    if (store_is_loaded(s, &over) && (err = commit_raise_epoch(c, over, &seq, fault)) != OK)
        goto failed;
    c->told = told;                 /* from here on; a new epoch is told by the first heartbeat */
    *out = c;
    return OK;
failed:
    c->time_bound_ms = 0;
    commit_close(c);
    return err;
}

/* Nothing staged any more, nothing changed. */
static void drop_staged(struct committer *c)
{
    if (c->signing != NULL)
        signing_drop(c->signing);
    store_abort(c->txn);
    log_abort(c->log);
    c->txn = NULL;
    c->log = NULL;
    for (size_t i = 0; i < c->list_n; i++)
        free(c->list[i].record);
    c->list_n = c->list_bytes = c->staged_bytes = c->signed_n = 0;
    c->staged = c->base;
    c->epoch = c->base.head.epoch;
    c->names_n = c->names_base;
}

void commit_close(struct committer *c)
{
    if (c == NULL)
        return;
    drop_staged(c);
    if (c->time_bound_ms > 0)
        time_keep(c, c->time_ms);
    replay_close(&c->replay);
    encoder_close(c->encoder);
    signing_close(c->signing);
    arena_release(&c->wrapped);
    free(c->list);
    pthread_mutex_destroy(&c->lock);
    sodium_memzero(&c->key, sizeof c->key);
    free(c);
}

/* --- one transaction -------------------------------------------------------------------------------------------------- */
static bool name_known(struct committer *c, struct bytes ns)
{
    for (size_t i = 0; i < c->names_n; i++) {
        if (bytes_equal(bytes_of_text(c->names[i]), ns))
            return true;
    }
    return false;
}

/* Before anything is touched, so that a transaction that cannot be does not take the staged ones with it. */
static enum err limits_check(struct committer *c, const struct op *ops, size_t n, struct fault *fault)
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

static enum err stage_begin(struct committer *c, struct fault *fault)
{
    enum err err = c->dirty ? recover(c, fault) : OK;
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

static enum err on_signed(void *arg, uint64_t seq, struct bytes record, struct fault *fault)
{
    struct committer *c = arg;
    enum err err = c->log == NULL ? log_begin(c->store, &c->log, fault) : OK;
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

/* Parts to be signed, and from there into the log's transaction. */
static enum err stage_records(struct committer *c, const struct op *ops, size_t n, const struct store_state *state,
                              struct fault *fault)
{
    uint64_t time_ms = commit_time_ms(c);
    struct position at;
    enum err err;
    encoder_begin(c->encoder, &c->staged.at, c->epoch, time_ms, ops, n);
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

/* Ops that are within their limits, behind stage_begin. */
static enum err stage_ops(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, struct fault *fault)
{
    struct store_state state;
    size_t bytes = 0;
    enum err err = OK;
    for (size_t i = 0; i < n && err == OK; i += APPLY_BATCH)
        err = store_apply(c->txn, ops + i, n - i < APPLY_BATCH ? n - i : APPLY_BATCH, fault);
    if (err == OK) {
        store_state(c->txn, &state);
        if (same_state(c, &state)) {
            if (c->list_n == 0)
                drop_staged(c);
            *seq = c->staged.head.seq;
            return OK;
        }
        err = stage_records(c, ops, n, &state, fault);
    }
    if (err != OK)
        return err;
    for (size_t i = 0; i < n; i++)
        bytes += op_size(&ops[i]);
    c->staged_bytes += bytes;
    *seq = c->staged.head.seq;
    return OK;
}

/* ERR_LIMIT promises that others stay staged, and limits were checked: here it is something else. */
static enum err stage_failed(struct committer *c, enum err err)
{
    drop_staged(c);
    return err == ERR_LIMIT ? ERR_STORE : err;
}

enum err commit_stage(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, struct fault *fault)
{
    enum err err = limits_check(c, ops, n, fault);
    if (err != OK)
        return err;
    if ((err = stage_begin(c, fault)) == OK)
        err = stage_ops(c, ops, n, seq, fault);
    return err == OK ? OK : stage_failed(c, err);
}

enum err commit_stage_epoch(struct committer *c, uint64_t epoch, uint64_t *seq, struct fault *fault)
{
    struct store_state state;
    enum err err = stage_begin(c, fault);
    if (err == OK && (c->list_n > 0 || epoch <= c->epoch))
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

/* --- general namespaces ----------------------------------------------------------------------------------------------- */
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

/* The encoder will cut the wrapped ops into parts by the same rule, so each value can carry the seq of its part. */
static enum err wrap_all(struct committer *c, const struct op *ops, size_t n, struct op **out, uint64_t *seqs,
                         uint64_t *last)
{
    uint64_t seq = c->staged.at.seq + 1;
    size_t filled = 0;
    arena_reset(&c->wrapped);
    struct op *wrapped = arena_take(&c->wrapped, (n + 1) * sizeof *wrapped);
    if (wrapped == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        bool fits = wrap(&c->wrapped, &ops[i], seq, &wrapped[i]);
        if (fits && !part_takes(&filled, &wrapped[i])) {
            seq++;
            filled = 0;
            fits = wrap(&c->wrapped, &ops[i], seq, &wrapped[i]) && part_takes(&filled, &wrapped[i]);
        }
        if (!fits)
            return ERR_NOMEM;
        if (seqs != NULL)
            seqs[i] = seq;
    }
    *out = wrapped;
    *last = seq;
    return OK;
}

enum err commit_stage_kv(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, uint64_t *seqs,
                         struct fault *fault)
{
    struct op *wrapped = NULL;
    uint64_t last = 0;
    size_t before;
    enum err err = kv_limits_check(ops, n, fault);
    if (err == OK)
        err = limits_check(c, ops, n, fault);
    if (err != OK)
        return err;
    if ((err = stage_begin(c, fault)) == OK && (err = wrap_all(c, ops, n, &wrapped, seqs, &last)) == OK) {
        before = c->list_n;
        err = stage_ops(c, wrapped, n, seq, fault);
        assert(err != OK || c->list_n == before || *seq == last);
        for (size_t i = 0; i < n && seqs != NULL && err == OK && c->list_n == before; i++)
            seqs[i] = *seq;         /* nothing changed: there is no such transaction */
    }
    if (err != OK)
        return stage_failed(c, err);
    return OK;
}

enum err commit_peek(struct committer *c, struct bytes ns, struct bytes key, struct bytes *out, struct fault *fault)
{
    enum err err = stage_begin(c, fault);
    if (err == OK && (err = store_peek(c->txn, ns, key, out)) != OK && err != ERR_NOTFOUND)
        fault_set(fault, err, "cannot read the store: %s", err_text(err));
    return err == OK || err == ERR_NOTFOUND ? err : stage_failed(c, err);
}

uint64_t commit_epoch(const struct committer *c)
{
    return c->epoch;
}

size_t commit_staged_bytes(const struct committer *c)
{
    return c->staged_bytes;
}

/* The log is ahead of the data. A full disk is certain to have left the data alone, so the log takes its records back;
 * after anything else replay decides, since it is right whether the data moved or not. */
static void take_back(struct committer *c, enum err why)
{
    if (why != ERR_FULL || replay_cut(&c->replay, c->base.head.seq, NULL) != OK)
        c->dirty = true;
}

enum err commit_flush(struct committer *c, struct fault *fault)
{
    if (c->list_n == 0) {
        drop_staged(c);
        return OK;
    }
    struct store_txn *txn = c->txn;
    enum err err = signing_end(c->signing, fault);
    if (err == OK) {
        struct log_txn *log = c->log;
        c->log = NULL;
        err = log_commit(log, fault);
    }
    if (err == OK) {
        c->txn = NULL;
        if ((err = store_commit(txn, &c->staged.head, &c->staged.signed_head, fault)) != OK)
            take_back(c, err);
    }
    if (err != OK) {
        drop_staged(c);
        return err;
    }
    c->base = c->staged;
    c->names_base = c->names_n;
    show(c);
    for (size_t i = 0; i < c->list_n && c->told != NULL; i++)
        c->told(c->told_arg, &c->list[i].head, bytes_of(c->list[i].record, c->list[i].len));
    drop_staged(c);
    return OK;
}

enum err commit_run(struct committer *c, const struct op *ops, size_t n, uint64_t *seq, struct fault *fault)
{
    uint64_t got;
    enum err err = commit_stage(c, ops, n, &got, fault);
    if (err == OK)
        err = commit_flush(c, fault);
    if (err == OK)
        *seq = got;
    return err;
}
