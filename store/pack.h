/* How LMDB lays entries into pages, reckoned from their lengths alone: what they take where they are, and the pages of
 * the tree that they make when appended in ascending order, which is what store_compact does.
 *
 *     page    header (16) | index (2 per node) | room | nodes
 *     leaf    node: header (8), key, value; a value that does not fit on half a page stands on overflow pages of its own,
 *             with a header (16), and the node holds their number (8)
 *     branch  node: header (8), the least key of the page below; none in a page's first node */
#ifndef AZOTH_STORE_PACK_H
#define AZOTH_STORE_PACK_H

#include "base/err.h"

#define PACK_LEVELS 32          /* LMDB's own limit of a tree's depth */

struct pack_level { uint32_t used, last_key; };     /* of the last page: bytes behind the header, length of its last key */
struct pack {
    uint32_t page_size;
    uint64_t entries, key_bytes, value_bytes;
    uint64_t leaf_bytes;        /* that the entries take of leaf pages, index and node headers included */
    uint64_t branch_pages, leaf_pages, overflow_pages;      /* of the appended tree; overflow: of any tree */
    uint32_t leaf_used;
    unsigned depth;             /* levels of branch pages, the lowest first */
    struct pack_level level[PACK_LEVELS];
};

void pack_init(struct pack *p, uint64_t page_size);
/* The next entry in ascending order. */
void pack_add(struct pack *p, size_t key_len, size_t value_len);
/* Bytes behind the header of one leaf page. */
uint64_t pack_page_room(const struct pack *p);

#endif
