/* What `azoth stat` found, for its two ways of printing. */
#ifndef AZOTH_TOOLS_STAT_PARTS_H
#define AZOTH_TOOLS_STAT_PARTS_H

#include "builder/source.h"
#include "store/space.h"
#include "tools/tool.h"

struct stat {
    const struct tool_store *t;
    bool deep;                  /* every entry was looked at */
    uint64_t head;              /* newest signed head known; above `applied` on an edge that lags */
    uint8_t digest[DIGEST_LEN];
    uint64_t zones;
    struct store_figures store; /* readers, generation */
    struct space data;
    struct log_space log;       /* all zero for a reader without rights on it */
    bool has_book, book_closed;     /* a core has records beside its store; they may not be read by this user */
    struct source_figures book;
    uint64_t records;           /* deep: DNS records in the namespace dns, signatures included */
    uint64_t unread;            /* deep: values there that are no blob */
};

/* Of the pages of one tree, deep. LMDB's own share: all that is neither key nor value. */
struct stat_tree { uint64_t bytes, keys, values, own; double fill; };
struct stat_tree stat_tree_of(const struct space *s, const struct space_tree *t);
bool stat_tree_walked(const struct space_tree *t);      /* a walk looks at its entries */
const char *stat_tree_name(const struct space_tree *t);
double stat_bytes_per(uint64_t bytes, uint64_t n);      /* 0 for n 0 */
double stat_percent(uint64_t part, uint64_t whole);
uint64_t stat_reclaimable(const struct space *s);       /* bytes that `azoth compact` gives back, deep */

int stat_print_json(const struct stat *s);

#endif
