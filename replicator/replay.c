#include "replicator/replay.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <zstd.h>

enum err replay_open(struct replay *r, struct store *s, const uint8_t pub[32], struct fault *fault)
{
    *r = (struct replay){ .store = s };
    memcpy(r->pub, pub, sizeof r->pub);
    arena_init(&r->arena);
    r->zstd = ZSTD_createDCtx();        /* NULL: slower */
    if ((r->buf = malloc(RECORD_MAX)) == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for a record");
    enum err err = log_reader_open(s, &r->reader, fault);
    if (err != OK)
        replay_close(r);
    return err;
}

void replay_close(struct replay *r)
{
    if (r->reader != NULL)
        log_reader_close(r->reader);
    free(r->buf);
    arena_release(&r->arena);
    (void)ZSTD_freeDCtx(r->zstd);
    *r = (struct replay){ 0 };
}

enum err replay_applied(struct replay *r, struct position *out, struct signed_head *out_head)
{
    struct head head;
    struct signed_head sh = { .len = 0 };
    enum err err = store_head(r->store, &head, &sh);
    *out = (struct position){ 0 };
    if (err == OK) {
        out->epoch = head.epoch;
        out->seq = head.seq;
        memcpy(out->chain, head.chain, CHAIN_LEN);
    }
    if (out_head != NULL)
        *out_head = sh;
    return err == ERR_NOTFOUND ? OK : err;
}

enum err replay_record(struct replay *r, uint64_t seq, struct record *out)
{
    struct bytes bytes;
    size_t need;
    enum err err = log_reader_begin(r->reader);
    if (err != OK)
        return err;
    err = log_reader_get(r->reader, seq, r->buf, RECORD_MAX, &bytes, &need);
    log_reader_end(r->reader);
    if (err == OK)
        err = record_read(bytes, out);
    if (err == OK && out->seq != seq)
        err = ERR_BAD;
    return err == ERR_SHORT || err == ERR_NOSPACE ? ERR_BAD : err;
}

/* Does the log hold what the data says it has applied? OK, or why not. */
static enum err joins_data(struct replay *r, const struct replay_tail *t, uint64_t first, uint64_t last)
{
    struct record rec;
    if (last < t->applied.seq || first > t->applied.seq + 1)
        return ERR_GAP;
    if (first > t->applied.seq)
        return OK;                  /* the walk checks its prev */
    enum err err = replay_record(r, t->applied.seq, &rec);
    if (err == OK && (rec.epoch != t->applied.epoch || memcmp(rec.chain, t->applied.chain, CHAIN_LEN) != 0))
        err = ERR_FORK;
    if (err == OK)
        err = record_verify(&rec, r->pub);
    return err;
}

enum err replay_walk(struct replay *r, struct replay_tail *out, struct fault *fault)
{
    uint64_t first, last;
    struct record rec;
    struct replay_tail t = { .broken = false };
    enum err err = replay_applied(r, &t.applied, NULL);
    if (err == OK)
        err = log_range(r->store, &first, &last);
    if (err != OK)
        return fault_set(fault, err, "cannot read head or log: %s", err_text(err));
    t.log = t.applied;
    t.complete = t.applied.seq;
    if (last != 0)
        t.why = joins_data(r, &t, first, last);
    t.broken = t.why != OK;
    for (uint64_t seq = t.applied.seq + 1; !t.broken && seq <= last; seq++) {
        if ((err = replay_record(r, seq, &rec)) == OK && (err = record_joins(&t.log, &rec)) == OK)
            err = record_verify(&rec, r->pub);
        if (err == OK) {
            position_move(&t.log, &rec);
            if (!rec.more)
                t.complete = seq;
        } else {
            t.broken = true;
            t.why = err;
            t.cut_after = seq == first ? 0 : seq - 1;
        }
    }
    *out = t;
    return OK;
}

enum err replay_end_before(struct replay *r, uint64_t from, uint64_t to, uint64_t *out)
{
    struct record rec;
    for (; to > from; to--) {
        enum err err = replay_record(r, to, &rec);
        if (err != OK)
            return err;
        if (!rec.more)
            break;
    }
    *out = to;
    return OK;
}

static enum err decrypt(struct replay *r, struct record *rec)
{
    uint8_t key[CLUSTER_KEY_LEN];
    uint64_t id;
    if (rec->key_id == 0)
        return OK;
    if (r->keys == NULL || keyring_find(r->keys, rec->key_id, key, &id) != OK) {
        r->key_wanted = rec->key_id;
        return ERR_KEY;
    }
    enum err err = record_decrypt(rec, key, &r->arena);
    sodium_memzero(key, sizeof key);
    return err;
}

/* The record at seq and its ops, in the arena. */
static enum err ops_at(struct replay *r, uint64_t seq, struct record *rec, struct op **ops, size_t *n, struct fault *fault)
{
    arena_reset(&r->arena);
    enum err err = replay_record(r, seq, rec);
    if (err == OK)
        err = decrypt(r, rec);
    if (err == OK)
        err = record_ops(rec, r->zstd, &r->arena, ops, n);
    return err == OK ? OK : fault_set(fault, err == ERR_LIMIT ? ERR_BAD : err, "log record %" PRIu64 ": %s", seq, err_text(err));
}

/* One commit of the store: whole transactions behind the data, until `to` or until they are many bytes. */
static enum err apply_group(struct replay *r, uint64_t to, struct replay_done *done, struct fault *fault)
{
    struct store_txn *txn = NULL;
    struct record rec = { .more = true }, next;
    uint64_t seq = done->applied.seq, transactions = 0, ops_n = 0;
    size_t bytes = 0, n;
    struct op *ops;
    enum err err = store_begin(r->store, &txn, fault);
    while (err == OK && seq < to && (rec.more || bytes < REPLAY_GROUP_BYTES)) {
        err = ops_at(r, seq + 1, &next, &ops, &n, fault);
        if (err == ERR_KEY && !rec.more) {
            err = OK;                   /* those before it are whole */
            break;
        }
        if (err != OK)
            break;
        rec = next;
        err = store_apply(txn, ops, n, fault);
        seq++;
        bytes += rec.body.len;
        ops_n += n;
        transactions += !rec.more;
    }
    if (err == OK && rec.more)
        err = fault_set(fault, ERR_BAD, "log record %" PRIu64 " does not end a transaction", seq);
    if (err != OK) {
        store_abort(txn);
        return err == ERR_LIMIT ? ERR_BAD : err;
    }
    if ((err = store_commit(txn, &rec.head, &rec.signed_head, fault)) != OK)
        return err;
    position_move(&done->applied, &rec);
    done->head = rec.signed_head;
    done->transactions += transactions;
    done->ops += ops_n;
    return OK;
}

enum err replay_apply(struct replay *r, uint64_t to, struct replay_done *done, struct fault *fault)
{
    *done = (struct replay_done){ .transactions = 0 };
    enum err err = replay_applied(r, &done->applied, &done->head);
    while (err == OK && done->applied.seq < to)
        err = apply_group(r, to, done, fault);
    arena_reset(&r->arena);
    return err;
}

enum err replay_cut(struct replay *r, uint64_t seq, struct fault *fault)
{
    struct log_txn *txn = NULL;
    enum err err = log_begin(r->store, &txn, fault);
    if (err == OK && (err = log_cut(txn, seq, fault)) != OK)
        log_abort(txn);
    else if (err == OK)
        err = log_commit(txn, fault);
    return err;
}
