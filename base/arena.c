#include "base/arena.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Small blocks come from malloc, each larger than the one before, since most arenas hold little; further ones are mapped, so that what
 * a large arena took goes back to the system at its end, whatever malloc thinks of it. */
#define ARENA_FIRST ((size_t)4 * 1024)
#define ARENA_GROWTH 8
#define ARENA_BLOCK ((size_t)256 * 1024)        /* the largest of malloc's, but for a piece that is larger */
#define ARENA_MAPPED ((size_t)1024 * 1024)

struct arena_block { struct arena_block *next; size_t size; bool mapped; uint64_t data[]; };

void arena_init(struct arena *a)
{
    *a = (struct arena){ 0 };
}

static void release_from(struct arena_block *b)
{
    while (b != NULL) {
        struct arena_block *next = b->next;
        if (b->mapped)
            (void)munmap(b, sizeof *b + b->size);
        else
            free(b);
        b = next;
    }
}

void arena_reset(struct arena *a)
{
    if (a->head != NULL) {
        release_from(a->head->next);
        a->head->next = NULL;
        a->at = (uint8_t *)a->head->data;
        a->left = a->head->size;
    }
    a->used = 0;
}

void arena_release(struct arena *a)
{
    release_from(a->head);
    arena_init(a);
}

static struct arena_block *block_malloc(size_t n, size_t least)
{
    size_t size = n > least ? n : least;
    struct arena_block *b = malloc(sizeof *b + size);
    if (b != NULL)
        *b = (struct arena_block){ .size = size };
    return b;
}

static struct arena_block *block_map(size_t n)
{
    size_t whole = n + sizeof(struct arena_block) > ARENA_MAPPED ? n + sizeof(struct arena_block) : ARENA_MAPPED;
    struct arena_block *b = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED)
        return NULL;
    b->size = whole - sizeof *b;
    b->mapped = true;
    return b;
}

/* A block with room for n bytes, to go before newest. */
static struct arena_block *block_after(const struct arena_block *newest, size_t n)
{
    if (newest == NULL)
        return block_malloc(n, ARENA_FIRST);
    if (newest->mapped || newest->size >= ARENA_BLOCK)
        return block_map(n);
    return block_malloc(n, newest->size > ARENA_BLOCK / ARENA_GROWTH ? ARENA_BLOCK : newest->size * ARENA_GROWTH);
}

void *arena_take(struct arena *a, size_t n)
{
    if (n > SIZE_MAX - 8 - sizeof(struct arena_block))
        return NULL;
    n = (n + 7) & ~(size_t)7;
    if (a->left < n || a->at == NULL) {       /* an empty piece has a place, too */
        struct arena_block *b = block_after(a->head, n);
        if (b == NULL)
            return NULL;
        b->next = a->head;
        a->head = b;
        a->at = (uint8_t *)b->data;
        a->left = b->size;
    }
    uint8_t *got = a->at;
    a->at += n;
    a->left -= n;
    a->used += n;
    return got;
}

struct bytes arena_copy(struct arena *a, struct bytes b)
{
    uint8_t *at = arena_take(a, b.len);
    if (at == NULL)
        return (struct bytes){ 0 };
    if (b.len > 0)
        memcpy(at, b.ptr, b.len);
    return bytes_of(at, b.len);
}

/* Behind a's newest block, which is the one that has room. */
void arena_join(struct arena *a, struct arena *b)
{
    if (a->head == NULL) {
        *a = *b;
    } else if (b->head != NULL) {
        struct arena_block *last = b->head;
        while (last->next != NULL)
            last = last->next;
        last->next = a->head->next;
        a->head->next = b->head;
        a->used += b->used;
    }
    arena_init(b);
}

char *arena_text(struct arena *a, const char *text)
{
    struct bytes copy = arena_copy(a, bytes_of(text, strlen(text) + 1));
    return (char *)(uintptr_t)copy.ptr;
}
