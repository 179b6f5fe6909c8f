#include "replicator/committer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define TIME_AHEAD_MS 30000             /* how far DIR/core.time runs ahead, so that it is written seldom */
#define TIME_SPARE_MS 1000              /* likewise where the core's time is ahead of the clock and gains 1 ms with a heartbeat */
#define TOLD_EARLY_MAX ((size_t)256 * 1024)     /* bytes of ops that are told before the data has them */

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
    if (c->time_ms > c->time_bound_ms)          /* from the clock on: else each restart after a crash would lead further from it */
        time_keep(c, now + TIME_AHEAD_MS > c->time_ms + TIME_SPARE_MS ? now + TIME_AHEAD_MS : c->time_ms + TIME_SPARE_MS);
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

static void show(struct committer *c, const struct head *h)
{
    pthread_mutex_lock(&c->lock);
    c->shown = *h;
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

static enum err does_not_join(struct committer *c, const struct replay_tail *t, struct fault *fault)
{
    if (!c->open)
        return epoch_judge(c, t, fault);
    return fault_set(fault, ERR_FORK, "log and data do not join at seq %" PRIu64 " any more (%s): the next start begins a new "
                     "epoch", t->applied.seq, err_text(t->why));
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

/* What the log has complete goes into the data, what it has incomplete goes away (all of it, when it is lost: epoch.c). */
enum err commit_recover(struct committer *c, struct fault *fault)
{
    struct replay_tail t;
    struct replay_done done;
    uint64_t first, last, over;
    enum err err = log_settle(c->store, fault);
    if (err == OK)
        err = replay_walk(&c->replay, &t, fault);
    if (err == OK && (err = log_range(c->store, &first, &last)) != OK)
        fault_set(fault, err, "cannot read the log: %s", err_text(err));
    if (err != OK)
        return err;
    if (last == 0 && t.applied.seq > 0 && !store_is_loaded(c->store, &over)) {
        t.broken = true;
        t.why = ERR_GAP;
    }
    if (t.broken && (err = does_not_join(c, &t, fault)) != OK)
        return err;
    if (t.log.seq > t.complete && !t.broken)
        err = replay_cut(&c->replay, t.complete, fault);
    if (err == OK && t.complete > t.applied.seq)
        err = replay_apply(&c->replay, t.complete, &done, fault);
    if (err == OK)
        err = base_load(c, fault);
    if (err == OK)
        err = names_load(c, fault);
    if (err == OK) {
        c->dirty = false;
        show(c, &c->base.head);
    }
    return err;
}

enum err commit_settle(struct committer *c, struct fault *fault)
{
    c->dirty |= log_is_behind(c->store);
    return c->dirty && c->txn == NULL ? commit_recover(c, fault) : ERR_NOTNOW;
}

/* Notes of a history that is not the data's any more go. Where the log was lost, or the data comes from elsewhere, those of its
 * past stay, but nobody knows whether they are all. */
static enum err notes_join(struct committer *c, struct fault *fault)
{
    const struct head *h = &c->base.head;
    struct log_txn *txn = NULL;
    struct lognote last = { .seq = 0 };
    uint64_t reach = 0, over;
    enum err err = log_reader_begin(c->replay.reader);
    if (err != OK)
        return fault_set(fault, err, "cannot read the log: %s", err_text(err));
    err = lognote_reach(c->replay.reader, &reach);
    if (err == OK && (err = lognote_prev(c->replay.reader, (struct bytes){ 0 }, UINT64_MAX, UINT16_MAX, &last)) == ERR_NOTFOUND)
        err = OK;
    log_reader_end(c->replay.reader);
    bool damaged = err != OK, foreign = last.seq > h->seq || last.epoch > h->epoch;
    bool broken = damaged || foreign || c->lost || store_is_loaded(c->store, &over);
    if (!broken || (!damaged && (reach == 0 || (!foreign && reach > h->seq))))
        return OK;
    if ((err = log_begin(c->store, &txn, fault)) != OK)
        return err;
    if ((err = lognote_cut(txn, h->epoch, h->seq, fault)) == OK)
        err = lognote_reach_put(txn, h->seq + 1, false, fault);
    if (err == OK)
        return log_commit(txn, fault);
    log_abort(txn);
    return err;
}

enum err commit_open(struct committer **out, struct store *s, const struct node_key *key,
                     commit_told_fn *told, void *told_arg, struct fault *fault)
{
    return commit_open_keys(out, s, key, NULL, told, told_arg, fault);
}

void commit_encrypt(struct committer *c, bool on)
{
    c->encrypt = on;
}

void commit_on_data(struct committer *c, void (*fn)(void *arg), void *arg)
{
    c->on_data = fn;
    c->on_data_arg = arg;
}

void commit_on_filled(struct committer *c, void (*fn)(void *arg), void *arg)
{
    c->on_filled = fn;
    c->on_filled_arg = arg;
}

void commit_on_hold(struct committer *c, void (*held)(void *arg), void (*want)(void *arg), void *arg)
{
    c->on_held = held;
    c->on_held_arg = arg;
    log_on_hold(c->store, want, arg);
}

void commit_may_hold(struct committer *c, bool may) { c->holds = may; }

enum err commit_let_go(struct committer *c, struct fault *fault)
{
    enum err err = log_let_go(c->store, fault);
    c->dirty |= err != OK;
    return err;
}

enum err commit_checkpoint(struct committer *c, struct fault *fault)
{
    if (c->dirty || log_is_behind(c->store) || c->txn != NULL || c->log != NULL)
        return fault_set(fault, ERR_NOTNOW, "a change is on its way");
    enum err err = store_settle(c->store, fault);
    if (err == OK)
        log_ahead_anew(c->store);
    return err;
}

enum err commit_open_keys(struct committer **out, struct store *s, const struct node_key *key, struct keyring *keys,
                          commit_told_fn *told, void *told_arg, struct fault *fault)
{
    struct committer *c = calloc(1, sizeof *c);
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
    if (signing_open(&c->signing, store_crew(s), key, stage_signed, c) != OK) {
        fault_set(fault, err, "no memory for signing");
        goto failed;
    }
    if ((err = file_path(c->time_path, sizeof c->time_path, store_dir(s), "core.time")) != OK
        || (err = replay_open(&c->replay, s, key->pub, fault)) != OK)
        goto failed;
    c->replay.keys = keys;
    if ((err = commit_recover(c, fault)) != OK || (err = notes_join(c, fault)) != OK)
        goto failed;
    time_load(c);
    if ((err = epoch_begin(c, fault)) != OK)
        goto failed;
    c->open = true;
    c->told = told;                 /* from here on; a new epoch is told by the first heartbeat */
    *out = c;
    return OK;
failed:
    c->time_bound_ms = 0;
    commit_close(c);
    return err;
}

/* Nothing staged any more, nothing changed. */
void commit_drop_staged(struct committer *c)
{
    if (c->signing != NULL)
        signing_drop(c->signing);
    store_abort(c->txn);
    log_abort(c->log);
    c->dirty |= log_is_behind(c->store);        /* of this one, or of what was held: true, but the log has not got it */
    c->txn = NULL;
    c->log = NULL;
    for (size_t i = 0; i < c->list_n; i++)
        free(c->list[i].record);
    joint_drop(&c->joint);
    c->list_n = c->list_bytes = c->staged_bytes = c->note_bytes = c->signed_n = 0;
    c->ahead = c->was_told = false;
    c->staged = c->base;
    c->epoch = c->base.head.epoch;
    c->names_n = c->names_base;
}

void commit_drop(struct committer *c) { commit_drop_staged(c); }

void commit_close(struct committer *c)
{
    if (c == NULL)
        return;
    commit_drop_staged(c);
    if (c->time_bound_ms > 0)
        time_keep(c, c->time_ms);
    replay_close(&c->replay);
    encoder_close(c->encoder);
    signing_close(c->signing);
    joint_release(&c->joint);
    free(c->list);
    pthread_mutex_destroy(&c->lock);
    sodium_memzero(&c->key, sizeof c->key);
    free(c);
}

uint64_t commit_epoch(const struct committer *c)
{
    return c->epoch;
}

size_t commit_staged_bytes(const struct committer *c)
{
    return c->staged_bytes + c->note_bytes;
}

/* The log is ahead of the data. A full disk is certain to have left the data alone, so the log takes its records back, unless
 * they were told; after anything else replay decides, since it is right whether the data moved or not. Then the change may
 * still come true, and ERR_FULL, which promises that it does not, is not the word for it. */
static enum err take_back(struct committer *c, enum err why, bool told)
{
    if (why == ERR_FULL && !told && replay_cut(&c->replay, c->base.head.seq, NULL) == OK)
        return why;
    c->dirty = true;
    return why == ERR_FULL ? ERR_STORE : why;
}

/* A large one could fill the disk with its data (notes are not part of that: the log has them). A new epoch waits for the data too: whoever
 * restores a backup over it looks there, and not in the log, for the highest epoch that was ever told. */
static bool is_small(const struct committer *c)
{
    return c->staged_bytes <= TOLD_EARLY_MAX && c->staged.head.epoch == c->base.head.epoch;
}

/* From here on it is what heartbeats tell, whatever becomes of the data. */
static void tell(struct committer *c)
{
    show(c, &c->staged.head);
    for (size_t i = 0; i < c->list_n && c->told != NULL; i++)
        c->told(c->told_arg, &c->list[i].head, bytes_of(c->list[i].record, c->list[i].len));
    c->was_told = true;
}

/* Nobody has to fetch it from the log. */
static bool goes_inline(const struct committer *c)
{
    size_t i = 0;
    while (i < c->list_n && c->list[i].record != NULL)
        i++;
    return i == c->list_n;
}

enum err commit_ahead(struct committer *c, struct bytes extra, struct fault *fault)
{
    enum err err = joint_end(c, fault);
    if (err == OK && (c->list_n == 0 || !is_small(c)))
        return ERR_LIMIT;
    if (err == OK && (err = signing_end(c->signing, fault)) == OK) {
        if ((err = log_ahead(c->log, extra, fault)) == ERR_LIMIT)
            return err;
        c->dirty |= err != OK && err != ERR_FULL;
    }
    if (err != OK)
        return stage_failed(c, err);
    c->ahead = true;
    if (c->told != NULL && goes_inline(c))
        tell(c);
    return OK;
}

static enum err log_end(struct committer *c, struct fault *fault)
{
    struct log_txn *log = c->log;
    c->log = NULL;
    enum err err = c->holds ? log_hold(log, fault) : log_commit(log, fault);
    c->dirty |= err != OK && c->ahead;
    return err;
}

/* Where nobody listens there is nothing to be early for, and a full disk may take all of it back. */
static enum err data_end(struct committer *c, struct fault *fault)
{
    struct store_txn *txn = c->txn;
    c->txn = NULL;
    if (!c->was_told && c->told != NULL && is_small(c))
        tell(c);
    enum err err = store_commit(txn, &c->staged.head, &c->staged.signed_head, fault);
    return err == OK ? OK : take_back(c, err, c->was_told);
}

enum err commit_flush(struct committer *c, struct fault *fault)
{
    enum err err = c->ahead ? OK : commit_ahead(c, (struct bytes){ 0 }, fault);
    if (err == ERR_LIMIT)
        err = c->list_n > 0 ? signing_end(c->signing, fault) : OK;
    if (err != OK || c->list_n == 0) {
        commit_drop_staged(c);
        return err;
    }
    if ((err = log_end(c, fault)) != OK || (err = data_end(c, fault)) != OK) {
        commit_drop_staged(c);
        return err;
    }
    c->base = c->staged;
    c->names_base = c->names_n;
    if (!c->was_told)
        tell(c);
    commit_drop_staged(c);
    if (c->on_data != NULL)
        c->on_data(c->on_data_arg);
    if (c->on_held != NULL && log_is_held(c->store))
        c->on_held(c->on_held_arg);
    if (c->on_filled != NULL && log_ahead_filled(c->store))
        c->on_filled(c->on_filled_arg);
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
