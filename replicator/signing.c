#include "replicator/signing.h"

#include <sodium.h>
#include <stdlib.h>

#define BATCH 64                /* records; or RECORD_MAX bytes */
#define PIECE 4                 /* records that one thread signs at a time */
#define ALONE 4                 /* for so few nobody is woken */

struct item { uint64_t seq; size_t at, len; struct record_blanks blanks; };
struct batch {
    struct task task;
    struct signing *signing;
    bool begun;
    size_t n, used;
    struct item items[BATCH];
    uint8_t *bytes;             /* RECORD_MAX */
};
struct signing {
    struct crew *crew;
    struct node_key key;
    signing_out_fn *fn;
    void *arg;
    struct batch batch[2];      /* one being filled, the one before it being signed */
    unsigned filling;
};

static void sign_piece(void *arg, size_t piece, unsigned who)
{
    struct batch *b = arg;
    (void)who;
    for (size_t i = piece * PIECE; i < (piece + 1) * PIECE && i < b->n; i++)
        record_sign(b->bytes + b->items[i].at, &b->items[i].blanks, &b->signing->key);
}

enum err signing_open(struct signing **out, struct crew *crew, const struct node_key *key, signing_out_fn *fn, void *arg)
{
    struct signing *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    *s = (struct signing){ .crew = crew, .key = *key, .fn = fn, .arg = arg };
    for (unsigned i = 0; i < 2; i++) {
        s->batch[i].signing = s;
        if ((s->batch[i].bytes = malloc(RECORD_MAX)) == NULL) {
            signing_close(s);
            return ERR_NOMEM;
        }
    }
    *out = s;
    return OK;
}

void signing_close(struct signing *s)
{
    if (s == NULL)
        return;
    signing_drop(s);
    free(s->batch[0].bytes);
    free(s->batch[1].bytes);
    sodium_memzero(&s->key, sizeof s->key);
    free(s);
}

static void begin(struct batch *b)
{
    b->task = (struct task){ .run = sign_piece, .arg = b, .pieces = (b->n + PIECE - 1) / PIECE };
    crew_begin(b->signing->crew, &b->task);
    b->begun = true;
}

static enum err give_out(struct batch *b, struct fault *fault)
{
    const struct signing *s = b->signing;
    enum err err = OK;
    if (b->begun)
        crew_end(s->crew, &b->task);
    b->begun = false;
    for (size_t i = 0; i < b->n && err == OK; i++)
        err = s->fn(s->arg, b->items[i].seq, bytes_of(b->bytes + b->items[i].at, b->items[i].len), fault);
    b->n = b->used = 0;
    return err;
}

/* The full batch goes to be signed; the one before it, signed by now or soon, goes out. */
static enum err turn(struct signing *s, struct fault *fault)
{
    begin(&s->batch[s->filling]);
    s->filling ^= 1;
    return give_out(&s->batch[s->filling], fault);
}

enum err signing_add(struct signing *s, uint64_t seq, struct bytes record, const struct record_blanks *blanks,
                     struct fault *fault)
{
    struct batch *b = &s->batch[s->filling];
    if (record.len > RECORD_MAX)
        return ERR_LIMIT;
    if (b->n == BATCH || b->used + record.len > RECORD_MAX) {
        enum err err = turn(s, fault);
        if (err != OK)
            return err;
        b = &s->batch[s->filling];
    }
    b->items[b->n++] = (struct item){ seq, b->used, record.len, *blanks };
    memcpy(b->bytes + b->used, record.ptr, record.len);
    b->used += record.len;
    return OK;
}

enum err signing_end(struct signing *s, struct fault *fault)
{
    struct batch *last = &s->batch[s->filling];
    if (last->n > ALONE) {
        begin(last);
    } else {
        for (size_t i = 0; i * PIECE < last->n; i++)
            sign_piece(last, i, 0);
    }
    enum err err = give_out(&s->batch[s->filling ^ 1], fault);
    return err == OK ? give_out(last, fault) : err;
}

void signing_drop(struct signing *s)
{
    for (unsigned i = 0; i < 2; i++) {
        struct batch *b = &s->batch[i];
        if (b->begun)
            crew_end(s->crew, &b->task);
        b->begun = false;
        b->n = b->used = 0;
    }
}
