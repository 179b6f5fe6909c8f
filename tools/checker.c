#include "tools/checker.h"

#include "base/crew.h"
#include "rrset/rrset.h"
#include "store/kvvalue.h"

#include <pthread.h>
#include <stdlib.h>

#define BATCH 512
#define BATCHES (2 * CREW_MAX)

struct item { struct bytes ns; struct entry entry; };
struct batch { struct checker *checker; struct task task; bool begun; size_t n; struct item items[BATCH]; };
struct checker {
    uint64_t head_seq;
    checker_bad_fn *told;
    void *arg;
    pthread_mutex_t bad_lock;       /* one told at a time */
    struct crew *crew;
    struct checker_result sum[CREW_MAX];
    unsigned filling;
    struct batch *batch;            /* BATCHES, used in turn */
};

MUST_USE enum err entry_check(struct bytes ns, const struct entry *e, uint64_t head_seq, struct fault *fault)
{
    if (bytes_equal(ns, bytes_of_text(KV_NS_DNS)))
        return blob_check(e->key, e->value, fault);
    if (e->key.len == 0 || e->key.len > KV_KEY_MAX)
        return fault_set(fault, ERR_BAD, "key of %zu bytes, 1 to %d are allowed", e->key.len, KV_KEY_MAX);
    struct kvvalue v;
    if (kvvalue_read(e->value, &v) != OK)
        return fault_set(fault, ERR_BAD, "value is not [seq, bytes]");
    if (v.seq == 0 || v.seq > head_seq)
        return fault_set(fault, ERR_BAD, "its seq is %llu, the head's is %llu", (unsigned long long)v.seq,
                         (unsigned long long)head_seq);
    if (v.bytes.len > KV_BYTES_MAX)
        return fault_set(fault, ERR_BAD, "value of %zu bytes, up to %zu are allowed", v.bytes.len, KV_BYTES_MAX);
    return OK;
}

static void check_batch(void *arg, size_t piece, unsigned who)
{
    const struct batch *b = arg;
    struct checker *c = b->checker;
    struct checker_result *sum = &c->sum[who];
    (void)piece;
    for (size_t i = 0; i < b->n; i++) {
        const struct item *it = &b->items[i];
        struct fault fault = { "" };
        digest_add(&sum->lanes, it->ns, it->entry.key, it->entry.value);
        sum->entries++;
        sum->bytes += it->entry.key.len + it->entry.value.len;
        enum err err = entry_check(it->ns, &it->entry, c->head_seq, &fault);
        if (err == OK)
            continue;
        sum->bad++;
        (void)pthread_mutex_lock(&c->bad_lock);
        c->told(c->arg, it->ns, it->entry.key, fault_text(&fault, err));
        (void)pthread_mutex_unlock(&c->bad_lock);
    }
}

static void checker_free(struct checker *c)
{
    crew_close(c->crew);
    (void)pthread_mutex_destroy(&c->bad_lock);
    free(c->batch);
    free(c);
}

MUST_USE enum err checker_open(struct checker **out, unsigned threads, uint64_t head_seq, checker_bad_fn *told, void *arg)
{
    struct checker *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    c->head_seq = head_seq;
    c->told = told;
    c->arg = arg;
    (void)pthread_mutex_init(&c->bad_lock, NULL);
    c->batch = calloc(BATCHES, sizeof *c->batch);
    if (c->batch == NULL || crew_open(&c->crew, threads) != OK) {
        checker_free(c);
        return ERR_NOMEM;
    }
    *out = c;
    return OK;
}

static void batch_end(struct checker *c, struct batch *b)
{
    if (b->begun)
        crew_end(c->crew, &b->task);
    b->begun = false;
    b->n = 0;
}

static void batch_begin(struct checker *c, struct batch *b)
{
    b->checker = c;
    b->task = (struct task){ .run = check_batch, .arg = b, .pieces = 1 };
    b->begun = true;
    crew_begin(c->crew, &b->task);
}

void checker_feed(struct checker *c, struct bytes ns, const struct entry *e)
{
    struct batch *b = &c->batch[c->filling];
    b->items[b->n++] = (struct item){ ns, *e };
    if (b->n < BATCH)
        return;
    batch_begin(c, b);
    c->filling = (c->filling + 1) % BATCHES;
    batch_end(c, &c->batch[c->filling]);        /* the oldest: when nobody has begun it, it is done here */
}

void checker_finish(struct checker *c, struct checker_result *out)
{
    *out = (struct checker_result){ .entries = 0 };
    batch_begin(c, &c->batch[c->filling]);
    for (unsigned i = 0; i < BATCHES; i++)
        batch_end(c, &c->batch[i]);
    for (unsigned i = 0; i < CREW_MAX; i++) {
        digest_merge(&out->lanes, &c->sum[i].lanes);
        out->entries += c->sum[i].entries;
        out->bytes += c->sum[i].bytes;
        out->bad += c->sum[i].bad;
    }
    checker_free(c);
}
