/* A replica's store in memory: log, data, a fresh generation beside it; and what is left of each when the process or the
 * machine dies between two steps. What edge.c promises is kept here, with the same order of steps. */
#include "tests/sim/sim.h"

#define SETTLE_PERCENT 10               /* of commits, behind which what there is is on the disk */

/* --- the log ------------------------------------------------------------------------------------------------------------ */
static void log_empty(struct disk *d)
{
    for (uint64_t i = d->first; i <= d->last && i > 0; i++) {
        bytes_free(d->log[i]);
        d->log[i] = (struct bytes){ 0 };
    }
    d->first = d->last = 0;
    d->log_end = d->data.applied;
    d->complete = d->log_end.seq;
}

static enum err records_append(struct sim *s, int i)
{
    struct disk *d = &s->node[i].disk;
    const struct job *job = &s->node[i].job;
    for (size_t k = 0; k < job->n; k++) {
        struct record rec;
        if (record_read(job->records[k], &rec) != OK || record_joins(&d->log_end, &rec) != OK)
            wrong(s, i, "is told to store a record that does not join");
        const struct made *m = made_find(s, rec.chain);
        if (m == NULL || !bytes_equal(m->record, job->records[k]))
            wrong(s, i, "is told to store a record that the core never made");
        d->log[rec.seq] = heap_copy(job->records[k].ptr, job->records[k].len);
        if (d->first == 0)
            d->first = rec.seq;
        d->last = rec.seq;
        position_move(&d->log_end, &rec);
        if (!rec.more)
            d->complete = rec.seq;
    }
    return OK;
}

/* Retention: whole transactions, never the newest that is applied. */
void disk_trim(struct sim *s, int i)
{
    struct disk *d = &s->node[i].disk;
    struct record rec;
    uint64_t keep = d->data.applied.seq, to = d->first;
    if (s->node[i].job.kind != JOB_NONE || d->first == 0 || keep < d->first)
        return;
    to += rnd_below(&s->rnd, (uint32_t)(keep - d->first + 1));
    for (; to > d->first; to--) {
        if (record_read(d->log[to - 1], &rec) == OK && !rec.more)
            break;
    }
    if (to > d->first)
        count(s, N_TRIMS);
    for (; d->first < to; d->first++) {
        bytes_free(d->log[d->first]);
        d->log[d->first] = (struct bytes){ 0 };
    }
}

/* --- data ------------------------------------------------------------------------------------------------------------------ */
/* Applies the next complete transaction. ERR_NOTFOUND: there is none up to apply_to. */
static enum err apply_next(struct sim *s, int i, uint64_t apply_to)
{
    struct disk *d = &s->node[i].disk;
    struct generation next = d->data;
    uint64_t to = d->complete < apply_to ? d->complete : apply_to;
    struct arena a;
    enum err err = ERR_NOTFOUND;
    bool rotten = false;
    arena_init(&a);
    for (uint64_t seq = next.applied.seq + 1; seq <= to && err == ERR_NOTFOUND; seq++) {
        struct record rec;
        struct op *ops;
        size_t n;
        if (record_read(d->log[seq], &rec) != OK || record_ops(&rec, NULL, &a, &ops, &n) != OK || !model_apply(&next.data, ops, n))
            wrong(s, i, "has a log that no core made");
        for (size_t k = 0; k < n; k++)                 /* what is overwritten is taken out of the digest as it is found */
            rotten = rotten || (d->rot >> atoi((const char *)ops[k].key.ptr + 4) & 1) != 0;
        position_move(&next.applied, &rec);
        if (rec.more)
            continue;
        next.head = rec.signed_head;
        const struct made *m = made_find(s, rec.chain);
        err = rotten || m == NULL || memcmp(&m->state, &next.data, sizeof next.data) != 0 ? ERR_DIGEST : OK;
    }
    arena_release(&a);
    if (err == OK && d->keyless) {
        count(s, N_KEYLESS);
        return ERR_KEY;
    }
    if (err == ERR_DIGEST)
        count(s, N_MISMATCH);
    if (err != OK)
        return err;
    d->data = next;
    d->loaded = false;
    if (chance(s, SETTLE_PERCENT))
        d->settled = d->data;
    count(s, N_APPLIED);
    check_shown(s, i);
    return OK;
}

/* --- the fresh generation ----------------------------------------------------------------------------------------------------- */
static void fresh_drop(struct disk *d)
{
    snapshot_unpack_close(d->unpack);
    free(d->manifest_bytes);
    d->unpack = NULL;
    d->manifest_bytes = NULL;
}

static enum err fresh_begin(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    struct disk *d = &n->disk;
    struct bytes in = n->job.bytes;
    fresh_drop(d);
    d->manifest_bytes = malloc(in.len > 0 ? in.len : 1);
    memcpy(d->manifest_bytes, in.ptr, in.len);
    enum err err = snapshot_manifest_read(bytes_of(d->manifest_bytes, in.len), &d->manifest);
    if (err == OK)
        err = snapshot_unpack_open(&d->unpack, &d->manifest.about.head);
    if (err != OK) {
        fresh_drop(d);
        return err;
    }
    const struct head *h = &d->manifest.about.head;
    d->fresh = (struct generation){ .applied = { .epoch = h->epoch, .seq = h->seq }, .head = d->manifest.about.signed_head };
    memcpy(d->fresh.applied.chain, h->chain, CHAIN_LEN);
    d->next = 0;
    n->load_from = -1;
    count(s, N_COPIES);
    say(s, i, "copies %llu/%llu, %zu chunks", (unsigned long long)h->epoch, (unsigned long long)h->seq, d->manifest.chunks);
    return OK;
}

static enum err fresh_load(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    struct disk *d = &n->disk;
    const struct op *ops;
    size_t ops_n;
    struct fault fault;
    if (d->unpack == NULL || n->job.index != d->next || d->next >= d->manifest.chunks)
        wrong(s, i, "loads a chunk out of order");
    struct snapshot_chunk c = snapshot_row(d->manifest.table, d->next);
    enum err err = snapshot_unpack_chunk(d->unpack, &c, n->job.bytes, &ops, &ops_n, &fault);
    if (err != OK) {
        count(s, N_FALSE_COPY);
        return err;
    }
    if (!model_apply(&d->fresh.data, ops, ops_n))       /* keys that no core has: the digest will tell */
        d->fresh.data.value[0] = UINT32_MAX;
    d->next++;
    count(s, N_CHUNKS);
    if (n->load_from >= 0 && n->load_from != n->job_from)
        count(s, N_RESUMED);
    n->load_from = n->job_from;
    return OK;
}

static enum err fresh_check(struct sim *s, int i)
{
    struct disk *d = &s->node[i].disk;
    struct fault fault;
    if (d->unpack == NULL || d->next != d->manifest.chunks)
        wrong(s, i, "flips before all chunks are in");
    const struct made *m = made_find(s, d->fresh.applied.chain);
    enum err err = snapshot_unpack_end(d->unpack, &fault);
    if (err == OK && (m == NULL || !m->ends || memcmp(&m->state, &d->fresh.data, sizeof m->state) != 0))
        err = ERR_DIGEST;
    if (err != OK)
        count(s, N_FALSE_COPY);
    return err;
}

static void fresh_flip(struct sim *s, int i)
{
    struct disk *d = &s->node[i].disk;
    d->data = d->settled = d->fresh;                     /* synced before it is named */
    d->loaded = true;
    d->rot = 0;
    fresh_drop(d);
    snapshot_free(&s->node[i].kept);                    /* what was made of data that may have been rotten is served no more */
    count(s, N_FLIPS);
    say(s, i, "flips to %llu/%llu", (unsigned long long)d->data.applied.epoch, (unsigned long long)d->data.applied.seq);
    check_shown(s, i);
}

/* --- steps ------------------------------------------------------------------------------------------------------------------------ */
enum step disk_first(enum job_kind kind)
{
    switch (kind) {
    case JOB_NONE:  return STEP_IDLE;
    case JOB_STORE: return STEP_APPEND;
    case JOB_COPY:  return STEP_COPY;
    case JOB_LOAD:  return STEP_LOAD;
    case JOB_FLIP:  return STEP_CHECK;
    case JOB_DROP:  return STEP_DROP;
    }
    return STEP_IDLE;
}

static enum err step_refused(struct sim *s, const struct node *n)
{
    if (n->step == STEP_EMPTY || n->step == STEP_DROP)
        return OK;
    if (n->disk.full) {
        count(s, N_FULL);
        if (n->job.kind != JOB_STORE)
            count(s, N_FULL_COPY);
        return ERR_FULL;
    }
    if (n->disk.failing && chance(s, 30)) {
        count(s, N_FAILED);
        return chance(s, 50) ? ERR_IO : ERR_STORE;
    }
    return OK;
}

static enum err step_do(struct sim *s, int i, enum step *step)
{
    struct node *n = &s->node[i];
    struct disk *d = &n->disk;
    enum err err;
    switch (n->step) {
    case STEP_APPEND:
        *step = STEP_APPLY;
        return records_append(s, i);
    case STEP_APPLY:
    case STEP_APPLY_ON:
        err = apply_next(s, i, n->job.apply_to);
        *step = err == OK ? STEP_APPLY_ON : STEP_TELL;
        return err == ERR_NOTFOUND ? OK : err;
    case STEP_COPY: return fresh_begin(s, i);
    case STEP_LOAD: return fresh_load(s, i);
    case STEP_CHECK:
        *step = STEP_RENAME;
        return fresh_check(s, i);
    case STEP_RENAME:
        *step = STEP_EMPTY;
        fresh_flip(s, i);
        return OK;
    case STEP_EMPTY: log_empty(d); return OK;
    case STEP_DROP:
        fresh_drop(d);
        count(s, N_DROPS);
        return OK;
    case STEP_IDLE: case STEP_COPYING: case STEP_TELL: case STEPS_N: break;
    }
    return OK;
}

enum err disk_step(struct sim *s, int i, enum step *step)
{
    struct node *n = &s->node[i];
    enum err err = step_refused(s, n);
    *step = STEP_TELL;
    if (err == OK)
        err = step_do(s, i, step);
    if (err != OK && n->job.kind != JOB_STORE)
        fresh_drop(&n->disk);               /* a load or flip that fails gives the fresh generation up by itself */
    return err;
}

/* --- life ---------------------------------------------------------------------------------------------------------------------------- */
/* As edge_open: a log that does not join the data is emptied, what is complete is applied. */
void disk_start(struct sim *s, int i)
{
    struct disk *d = &s->node[i].disk;
    const struct position *at = &d->data.applied;
    struct record rec;
    enum err err = OK;
    bool joins = !d->loaded && d->last > 0 && d->last >= at->seq && d->first <= at->seq + 1;
    if (joins && d->first <= at->seq)
        joins = record_read(d->log[at->seq], &rec) == OK && memcmp(rec.chain, at->chain, CHAIN_LEN) == 0;
    else if (joins)
        joins = record_read(d->log[d->first], &rec) == OK && memcmp(rec.prev, at->chain, CHAIN_LEN) == 0;
    if (!joins)
        log_empty(d);
    while (err == OK && d->complete > d->data.applied.seq)
        err = apply_next(s, i, d->complete);
    if (err != OK && err != ERR_KEY)
        log_empty(d);
    d->loaded = false;
}

void disk_close(struct disk *d)
{
    fresh_drop(d);
    log_empty(d);
}

static void disk_wipe(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    disk_close(&n->disk);
    n->disk = (struct disk){ .full = false };
    n->shown = (struct position){ 0 };
    n->joined = false;
    count(s, N_WIPED);
    say(s, i, "gets an empty disk");
}

/* power: what was not synced is gone too: the log, and the commits since the store was settled. */
void disk_crash(struct sim *s, int i, bool power)
{
    struct disk *d = &s->node[i].disk;
    fresh_drop(d);
    if (!power)
        return;
    count(s, N_POWER);
    if (chance(s, s->wipe)) {
        disk_wipe(s, i);
        return;
    }
    if (position_compare(&d->settled.applied, &d->data.applied) != 0) {
        d->data = d->settled;
        s->node[i].shown = d->data.applied;
        count(s, N_UNSYNCED);
    }
    log_empty(d);
}
