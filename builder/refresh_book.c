/* Where the scheduler's zones and primaries stand: found by name, by time, and in line. */
#include "builder/refresh_parts.h"

#include <stdlib.h>

#define BUCKETS_MIN 64
#define HEAP_MIN 64

/* --- zones by name --------------------------------------------------------------------------------------------------- */
static struct name lower_of(struct bytes apex)
{
    struct name n = { .len = (uint8_t)apex.len };
    memcpy(n.wire, apex.ptr, apex.len);
    name_lower(n.wire, n.len);
    return n;
}

static struct rzone **bucket_of(const struct refresh *r, struct bytes lower)
{
    return &r->buckets[secret_hash(&r->secret, lower) & (r->buckets_n - 1)];
}

struct rzone *book_find(const struct refresh *r, struct bytes apex)
{
    if (r->buckets_n == 0 || apex.len > NAME_MAX_LEN)
        return NULL;
    struct name lower = lower_of(apex);
    struct rzone *z = *bucket_of(r, name_bytes(&lower));
    while (z != NULL && !bytes_equal(rzone_apex(z), name_bytes(&lower)))
        z = z->next;
    return z;
}

static enum err buckets_grow(struct refresh *r)
{
    struct refresh grown = { .secret = r->secret, .buckets_n = r->buckets_n == 0 ? BUCKETS_MIN : r->buckets_n * 2 };
    if (r->zones_n < r->buckets_n)
        return OK;
    if ((grown.buckets = calloc(grown.buckets_n, sizeof(struct rzone *))) == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < r->buckets_n; i++)
        for (struct rzone *z = r->buckets[i], *next; z != NULL; z = next) {
            struct rzone **head = bucket_of(&grown, rzone_apex(z));
            next = z->next;
            z->next = *head;
            *head = z;
        }
    free(r->buckets);
    r->bytes += (grown.buckets_n - r->buckets_n) * sizeof(struct rzone *);
    r->buckets = grown.buckets;
    r->buckets_n = grown.buckets_n;
    return OK;
}

static enum err heap_grow(struct refresh *r)
{
    size_t cap = r->heap_cap == 0 ? HEAP_MIN : r->heap_cap * 2;
    if (r->heap_n < r->heap_cap)
        return OK;
    struct rzone **grown = realloc(r->heap, cap * sizeof(struct rzone *));
    if (grown == NULL)
        return ERR_NOMEM;
    r->bytes += (cap - r->heap_cap) * sizeof(struct rzone *);
    r->heap = grown;
    r->heap_cap = cap;
    return OK;
}

MUST_USE enum err book_add(struct refresh *r, struct bytes apex, struct rzone **out)
{
    if (apex.len == 0 || apex.len > NAME_MAX_LEN)
        return ERR_BAD;
    enum err err = buckets_grow(r);
    if (err == OK)
        err = heap_grow(r);
    struct rzone *z = err == OK ? calloc(1, sizeof *z + apex.len) : NULL;
    if (z == NULL)
        return ERR_NOMEM;
    struct name lower = lower_of(apex);
    memcpy(z->apex, lower.wire, lower.len);
    z->apex_len = lower.len;
    z->next_ms = z->expires_ms = NEVER;
    struct rzone **head = bucket_of(r, rzone_apex(z));
    z->next = *head;
    *head = z;
    z->heap_at = (uint32_t)r->heap_n;
    r->heap[r->heap_n++] = z;
    r->zones_n++;
    r->bytes += sizeof *z + apex.len;
    *out = z;
    return OK;
}

void book_drop(struct refresh *r, struct rzone *z)
{
    struct rzone **at = bucket_of(r, rzone_apex(z)), *last = r->heap[--r->heap_n];
    while (*at != z)
        at = &(*at)->next;
    *at = z->next;
    if (last != z) {
        last->heap_at = z->heap_at;
        r->heap[last->heap_at] = last;
        heap_moved(r, last);
    }
    r->zones_n--;
    r->bytes -= sizeof *z + z->apex_len + z->n * sizeof *z->primaries;
    free(z->primaries);
    free(z);
}

/* --- timers ---------------------------------------------------------------------------------------------------------- */
static uint64_t later_of(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* When the store is to be told that the zone expired, or that it is good again. */
static uint64_t state_due(const struct rzone *z)
{
    if (!z->has_data || z->state_lined || z->state_running)
        return NEVER;
    if (!z->shown_expired)
        return z->expires_ms == NEVER ? NEVER : later_of(z->expires_ms, z->state_after_ms);
    return z->expires_ms == 0 ? NEVER : z->state_after_ms;
}

uint64_t rzone_due(const struct rzone *z)
{
    uint64_t state = state_due(z), next = z->state == ASLEEP ? z->next_ms : NEVER;
    return state < next ? state : next;
}

static void heap_set(struct refresh *r, size_t at, struct rzone *z)
{
    r->heap[at] = z;
    z->heap_at = (uint32_t)at;
}

void heap_moved(struct refresh *r, struct rzone *z)
{
    size_t at = z->heap_at;
    uint64_t due = rzone_due(z);
    for (; at > 0 && due < rzone_due(r->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_set(r, at, r->heap[(at - 1) / 2]);
    for (size_t child; (child = 2 * at + 1) < r->heap_n; at = child) {
        if (child + 1 < r->heap_n && rzone_due(r->heap[child + 1]) < rzone_due(r->heap[child]))
            child++;
        if (rzone_due(r->heap[child]) >= due)
            break;
        heap_set(r, at, r->heap[child]);
    }
    heap_set(r, at, z);
}

/* --- primaries and lines --------------------------------------------------------------------------------------------- */
MUST_USE enum err primary_get(struct refresh *r, uint32_t number, struct primary **out)
{
    if (number >= REFRESH_PRIMARIES)
        return ERR_LIMIT;
    if (number >= r->primaries_cap) {
        size_t cap = (size_t)number + 16;
        struct primary **grown = realloc(r->primaries, cap * sizeof(struct primary *));
        if (grown == NULL)
            return ERR_NOMEM;
        for (size_t i = r->primaries_cap; i < cap; i++)
            grown[i] = NULL;
        r->bytes += (cap - r->primaries_cap) * sizeof(struct primary *);
        r->primaries = grown;
        r->primaries_cap = cap;
    }
    struct primary *p = r->primaries[number];
    if (p == NULL) {
        if ((p = calloc(1, sizeof *p)) == NULL)
            return ERR_NOMEM;
        p->number = number;
        r->primaries[number] = p;
        r->bytes += sizeof *p;
    }
    *out = p;
    return OK;
}

static void ring_join(struct refresh *r, struct primary *p)
{
    if (r->ring == NULL) {
        r->ring = p->prev = p->next = p;
        return;
    }
    p->next = r->ring;
    p->prev = r->ring->prev;
    p->prev->next = p;
    r->ring->prev = p;
}

static void ring_leave(struct refresh *r, struct primary *p)
{
    if (r->ring == p)
        r->ring = p->next == p ? NULL : p->next;
    p->prev->next = p->next;
    p->next->prev = p->prev;
    p->prev = p->next = NULL;
}

void line_join(struct refresh *r, struct rzone *z, unsigned which)
{
    struct primary *p = z->primaries[z->at];
    struct line *l = &p->line[which];
    if (p->line[LINE_SOA].n + p->line[LINE_TRANSFER].n == 0)
        ring_join(r, p);
    z->state = IN_LINE;
    z->line = (uint8_t)which;
    z->lined = (struct links){ .prev = l->last };
    if (l->last != NULL)
        l->last->lined.next = z;
    else
        l->first = z;
    l->last = z;
    l->n++;
    r->waiting++;
    heap_moved(r, z);
}

void line_leave(struct refresh *r, struct rzone *z)
{
    struct primary *p = z->primaries[z->at];
    struct line *l = &p->line[z->line];
    *(z->lined.prev != NULL ? &z->lined.prev->lined.next : &l->first) = z->lined.next;
    *(z->lined.next != NULL ? &z->lined.next->lined.prev : &l->last) = z->lined.prev;
    l->n--;
    r->waiting--;
    if (p->line[LINE_SOA].n + p->line[LINE_TRANSFER].n == 0)
        ring_leave(r, p);
    z->state = ASLEEP;
    z->next_ms = NEVER;
    heap_moved(r, z);
}

void line_first(struct rzone *z)
{
    struct line *l = &z->primaries[z->at]->line[z->line];
    if (l->first == z)
        return;
    z->lined.prev->lined.next = z->lined.next;
    *(z->lined.next != NULL ? &z->lined.next->lined.prev : &l->last) = z->lined.prev;
    z->lined = (struct links){ .next = l->first };
    l->first->lined.prev = z;
    l->first = z;
}

void states_join(struct refresh *r, struct rzone *z)
{
    z->state_lined = true;
    z->stated = (struct links){ .prev = r->states.last };
    if (r->states.last != NULL)
        r->states.last->stated.next = z;
    else
        r->states.first = z;
    r->states.last = z;
    heap_moved(r, z);
}

void states_leave(struct refresh *r, struct rzone *z)
{
    *(z->stated.prev != NULL ? &z->stated.prev->stated.next : &r->states.first) = z->stated.next;
    *(z->stated.next != NULL ? &z->stated.next->stated.prev : &r->states.last) = z->stated.prev;
    z->state_lined = false;
    heap_moved(r, z);
}
