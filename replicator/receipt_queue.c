#include "replicator/receipt_queue.h"

#include <sodium.h>
#include <stdlib.h>

#define SLOTS (2 * RECEIPT_QUEUE_NODES)     /* of the table of names; a power of 2 */
#define NONE UINT32_MAX
#define REST_US ((uint64_t)RECEIPT_QUEUE_REST_MS * 1000)

/* A node, since one of its starts, that we heard of. msg NULL: nothing waits. next: in the order of waiting, or of free
 * places (node NULL). */
struct place {
    uint8_t *node;
    size_t node_len;
    uint64_t boot, counter, heard_us, due_us;
    uint8_t *msg;
    size_t len;
    uint32_t next;
};
struct receipt_queue {
    struct place *places;
    uint32_t places_n, places_cap, free;
    uint32_t *slots;                        /* place + 1; 0: empty */
    uint8_t seed[crypto_shorthash_KEYBYTES];        /* names from the network do not pile up in one slot */
    uint32_t first, last;
    size_t waiting;
    uint64_t forgot_us;
    uint64_t due_us, new_due_us;
};

static uint32_t slot_of(const struct receipt_queue *q, struct bytes node, uint64_t boot)
{
    uint8_t text[NODE_NAME_MAX + 8], hash[crypto_shorthash_BYTES];
    struct wr w = wr_over(text, sizeof text);
    wr_u64(&w, boot);
    wr_bytes(&w, node);
    crypto_shorthash(hash, text, w.len, q->seed);
    struct rd r = rd_over(bytes_of(hash, sizeof hash));
    return rd_u32(&r) & (SLOTS - 1);
}

static struct place *find(struct receipt_queue *q, struct bytes node, uint64_t boot)
{
    for (uint32_t i = slot_of(q, node, boot); q->slots[i] != 0; i = (i + 1) & (SLOTS - 1)) {
        struct place *p = &q->places[q->slots[i] - 1];
        if (p->boot == boot && bytes_equal(bytes_of(p->node, p->node_len), node))
            return p;
    }
    return NULL;
}

static void slot_put(struct receipt_queue *q, uint32_t place)
{
    const struct place *p = &q->places[place];
    uint32_t i = slot_of(q, bytes_of(p->node, p->node_len), p->boot);
    while (q->slots[i] != 0)
        i = (i + 1) & (SLOTS - 1);
    q->slots[i] = place + 1;
}

/* Frees the places of those that were silent for long. A walk over everything, so only now and then. */
static void forget(struct receipt_queue *q, uint64_t now_us)
{
    if (q->forgot_us != 0 && now_us - q->forgot_us < REST_US / 10)
        return;
    q->forgot_us = now_us;
    memset(q->slots, 0, SLOTS * sizeof *q->slots);
    for (uint32_t i = 0; i < q->places_n; i++) {
        struct place *p = &q->places[i];
        if (p->node != NULL && p->msg == NULL && now_us - p->heard_us >= REST_US) {
            free(p->node);
            *p = (struct place){ .next = q->free };
            q->free = i;
        } else if (p->node != NULL) {
            slot_put(q, i);
        }
    }
}

static enum err grow(struct receipt_queue *q)
{
    uint32_t cap = q->places_cap == 0 ? 16 : 2 * q->places_cap;
    struct place *more = realloc(q->places, cap * sizeof *more);
    if (more == NULL)
        return ERR_NOMEM;
    q->places = more;
    q->places_cap = cap;
    return OK;
}

/* A place that nobody has. */
static enum err place_take(struct receipt_queue *q, uint64_t now_us, uint32_t *out)
{
    if (q->free == NONE && q->places_n == RECEIPT_QUEUE_NODES)
        forget(q, now_us);
    if (q->free != NONE) {
        *out = q->free;
        q->free = q->places[q->free].next;
        return OK;
    }
    if (q->places_n == RECEIPT_QUEUE_NODES)
        return ERR_LIMIT;
    if (q->places_n == q->places_cap && grow(q) != OK)
        return ERR_NOMEM;
    *out = q->places_n++;
    return OK;
}

static enum err add(struct receipt_queue *q, const struct receipt *r, uint64_t now_us, struct place **out)
{
    uint32_t at;
    uint8_t *node = malloc(r->node.len);
    enum err err = node == NULL ? ERR_NOMEM : place_take(q, now_us, &at);
    if (err != OK) {
        free(node);
        return err;
    }
    memcpy(node, r->node.ptr, r->node.len);
    q->places[at] = (struct place){ .node = node, .node_len = r->node.len, .boot = r->boot, .next = NONE };
    slot_put(q, at);
    *out = &q->places[at];
    return OK;
}

static enum err keep(struct receipt_queue *q, struct place *p, struct bytes msg)
{
    uint8_t *copy = malloc(msg.len);
    uint32_t at = (uint32_t)(p - q->places);
    if (copy == NULL)
        return ERR_NOMEM;
    memcpy(copy, msg.ptr, msg.len);
    bool waits = p->msg != NULL;                /* the newer one goes in its place */
    free(p->msg);
    p->msg = copy;
    p->len = msg.len;
    if (waits)
        return OK;
    p->next = NONE;
    if (q->first == NONE)
        q->first = at;
    else
        q->places[q->last].next = at;
    q->last = at;
    q->waiting++;
    return OK;
}

enum err receipt_queue_take(struct receipt_queue *q, struct bytes msg, bool ours, uint64_t now_us)
{
    struct receipt r;
    struct bytes body;
    uint8_t sig[64];
    enum err err = receipt_read(msg, &r, &body, sig);
    if (err != OK)
        return err;
    struct place *p = find(q, r.node, r.boot);
    if (p != NULL && !ours && r.counter <= p->counter && now_us - p->heard_us < REST_US)
        return ERR_EXISTS;
    if (!ours && ((p == NULL && !receipt_rate_pass(&q->new_due_us, RECEIPT_QUEUE_NEW, now_us))
                  || (p != NULL && !receipt_rate_pass(&p->due_us, RECEIPT_RATE, now_us))
                  || !receipt_rate_pass(&q->due_us, RECEIPT_QUEUE_RATE, now_us)))
        return ERR_LIMIT;
    if (p == NULL && (err = add(q, &r, now_us, &p)) != OK)
        return err;
    if ((err = keep(q, p, msg)) != OK)
        return err;
    p->counter = r.counter;
    p->heard_us = now_us;
    return OK;
}

bool receipt_queue_first(const struct receipt_queue *q, struct bytes *msg)
{
    if (q->first == NONE)
        return false;
    *msg = bytes_of(q->places[q->first].msg, q->places[q->first].len);
    return true;
}

void receipt_queue_drop(struct receipt_queue *q)
{
    if (q->first == NONE)
        return;
    struct place *p = &q->places[q->first];
    free(p->msg);
    p->msg = NULL;
    q->first = p->next;
    q->waiting--;
}

size_t receipt_queue_waiting(const struct receipt_queue *q)
{
    return q->waiting;
}

enum err receipt_queue_open(struct receipt_queue **out)
{
    struct receipt_queue *q = calloc(1, sizeof *q);
    if (q == NULL || (q->slots = calloc(SLOTS, sizeof *q->slots)) == NULL) {
        free(q);
        return ERR_NOMEM;
    }
    q->first = q->last = q->free = NONE;
    randombytes_buf(q->seed, sizeof q->seed);
    *out = q;
    return OK;
}

void receipt_queue_close(struct receipt_queue *q)
{
    if (q == NULL)
        return;
    for (uint32_t i = 0; i < q->places_n; i++) {
        free(q->places[i].node);
        free(q->places[i].msg);
    }
    free(q->places);
    free(q->slots);
    free(q);
}
