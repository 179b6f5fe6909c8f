#include "store/pack.h"

#define PAGE_HEADER 16u
#define NODE_HEADER 8u
#define NODE_INDEX 2u
#define OVERFLOW_NUMBER 8u
#define KEYS_LEAST 2u           /* nodes that every page must hold */

static uint32_t even(size_t n) { return (uint32_t)((n + 1) & ~(size_t)1); }
static uint32_t room_of(const struct pack *p) { return p->page_size - PAGE_HEADER; }
/* The longest node whose value stays on the leaf page. */
static uint32_t node_most(const struct pack *p) { return (room_of(p) / KEYS_LEAST & ~1u) - NODE_INDEX; }

void pack_init(struct pack *p, uint64_t page_size)
{
    *p = (struct pack){ .page_size = (uint32_t)page_size };
}

uint64_t pack_page_room(const struct pack *p) { return room_of(p); }

/* A new page behind the last one of the level below, whose least key is key_len long. A branch page that is full keeps
 * all nodes but its last, which goes before the new one into a new page. */
static void branch_add(struct pack *p, size_t key_len)
{
    for (unsigned i = 0; i < PACK_LEVELS; i++) {
        struct pack_level *l = &p->level[i];
        uint32_t first = NODE_HEADER + NODE_INDEX, need = even(NODE_HEADER + key_len) + NODE_INDEX;
        bool fresh = i == p->depth;
        if (!fresh && l->used + need <= room_of(p)) {
            l->used += need;
            l->last_key = (uint32_t)key_len;
            return;
        }
        uint32_t moved = l->last_key;
        p->branch_pages++;
        l->used = first + need;
        l->last_key = (uint32_t)key_len;
        if (fresh) {
            p->depth++;
            return;
        }
        key_len = moved;
    }
}

void pack_add(struct pack *p, size_t key_len, size_t value_len)
{
    size_t node = NODE_HEADER + key_len + value_len;
    if (node > node_most(p)) {
        node = NODE_HEADER + key_len + OVERFLOW_NUMBER;
        p->overflow_pages += (PAGE_HEADER - 1 + value_len) / p->page_size + 1;
    }
    uint32_t need = even(node) + NODE_INDEX;
    p->entries++;
    p->key_bytes += key_len;
    p->value_bytes += value_len;
    p->leaf_bytes += need;
    if (p->leaf_pages == 0 || p->leaf_used + need > room_of(p)) {
        if (p->leaf_pages++ > 0)
            branch_add(p, key_len);
        p->leaf_used = 0;
    }
    p->leaf_used += need;
}
