/* Where the bytes of a store's files go. Every page of a file is one of these, so the parts add up to its used bytes:
 *
 *     header pages (2) | pages of a tree: branch, leaf, overflow | free pages | newer pages
 *
 * LMDB tells a file's end only for its newest commit. A view from before has newer pages: those that the file has grown by
 * since. There are none in an exact answer.
 *
 * Trees of the data: one per namespace, and the bookkeeping: /meta, /ring, LMDB's list of databases and its list of free
 * pages. Trees of the log: the records' and LMDB's two. */
#ifndef AZOTH_STORE_SPACE_H
#define AZOTH_STORE_SPACE_H

#include "store/pack.h"
#include "store/store.h"

#define SPACE_TREES_MAX (STORE_NAMESPACES_MAX + 4)

enum space_kind { SPACE_NAMESPACE, SPACE_META, SPACE_RING, SPACE_LOG, SPACE_DATABASES, SPACE_FREE_LIST };
struct space_tree {
    enum space_kind kind;
    char name[STORE_NS_MAX + 1];                    /* of a namespace; empty for the others */
    uint64_t entries, branch_pages, leaf_pages, overflow_pages;
    struct pack pack;                               /* filled by a walk; not of LMDB's two lists */
};
struct space {
    uint64_t page_size, map_bytes;
    uint64_t file_pages, header_pages, free_pages, newer_pages;     /* file_pages: the sum of all */
    bool exact;
    size_t trees_n;
    struct space_tree trees[SPACE_TREES_MAX];       /* namespaces ascending by name, then the others */
};
static inline uint64_t space_tree_pages(const struct space_tree *t)
{
    return t->branch_pages + t->leaf_pages + t->overflow_pages;
}

/* Of the data as the view sees it. Not exact: begin the view anew for a better one. While a commit's last page is being
 * written, and after a writer died there until the next one begins, even a new view is one commit behind. */
MUST_USE enum err view_space(struct view *v, struct space *out);
/* Looks at each entry of the same view, once, and fills the trees' pack. seen may be NULL; key and value are borrowed for
 * the call. ERR_BAD: keys that do not ascend, or other entries than LMDB counts. */
typedef void space_seen_fn(void *arg, const struct space_tree *t, struct bytes key, struct bytes value);
MUST_USE enum err view_space_walk(struct view *v, struct space *s, space_seen_fn *seen, void *arg);
/* The file's pages after a compaction: what a walk found, appended anew, and none free. A few more in truth, since the copy
 * is committed in pieces. */
uint64_t space_compacted_pages(const struct space *s);

#define SPACE_TRIES 2000        /* a millisecond apart, before what is not exact is taken */

/* Of the log in a view of its own, exact after up to SPACE_TRIES; *first, *last: its records, 0 and 0: none. With `walk` each piece of a record is looked
 * at. The tree's entries are pieces of records: FORMAT.md section 1. */
struct log_space { uint64_t first, last; uint64_t record_bytes; struct space space; };      /* record_bytes: when walked */
MUST_USE enum err store_log_space(struct store *s, bool walk, struct log_space *out, space_seen_fn *seen, void *arg,
                                  struct fault *fault);

#endif
