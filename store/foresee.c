/* Seeks of a batch, done side by side. A descent is mostly waiting for memory: each of its looks needs what the one before
 * gave. So here every key takes one look, asks for the memory of its next one, and lets the other keys have their turn:
 *
 *     key 1   ─ look ─ ask ─ · · · · · · · ─ look ─ ask ─ · · ·
 *     key 2            ─ look ─ ask ─ · · · · · · · ─ look ─ ask
 *
 * LMDB has no call for that, so its pages are read in place, as its 0.9 lays them out (DIR/magic keeps others away). They do
 * not move and do not change while the view reads. Whatever looks odd is left to LMDB, which is asked then. */
#include "store/internal.h"

#define LINE 64                     /* of the processor's cache */
#define ENTRY_LINES 4               /* asked for of an entry: it is mostly no longer */
#define LEVELS_MAX 16

/* number u64 | pad u16 | flags u16 | end of the offsets u16 | u16 | offsets u16 ... of its nodes, in the order of their keys */
enum { PAGE_FLAGS = 10, PAGE_LOWER = 12, PAGE_HEAD = 16, PAGE_BRANCH = 1, PAGE_LEAF = 2 };
/* length of the value u32 | flags u16 | length of the key u16 | key | value, or where it begins; in a branch the first three
 * are the number of the page below, whose keys are not below this one */
enum { NODE_FLAGS = 4, NODE_KEY_LEN = 6, NODE_HEAD = 8, NODE_BIG = 1 };
/* What the list of databases has of one. */
enum { DB_FLAGS = 4, DB_LEAVES = 16, DB_ROOT = 40, DB_LEN = 48 };

static uint16_t u16_at(const uint8_t *p)
{
    uint16_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static uint64_t u64_at(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static void ask(const uint8_t *p, unsigned lines)
{
    for (unsigned i = 0; i < lines; i++)
        __builtin_prefetch(p + (size_t)i * LINE);
}

/* --- the tree ------------------------------------------------------------------------------------------------------- */
static bool layout_known(void)
{
    int major, minor, patch;
    (void)mdb_version(&major, &minor, &patch);
    return major == 0 && minor == 9 && sizeof(size_t) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

/* The record of the database stands in a page of the same map: that page's number tells where the map begins. */
bool tree_find(struct view *v, struct bytes name, struct tree *out)
{
    MDB_val k = val_of(name), record;
    MDB_envinfo info;
    size_t size = (size_t)v->gen->env->page_size;
    if (!layout_known() || mdb_get(v->reader.txn, MAIN_DBI, &k, &record) != 0 || record.mv_size != DB_LEN
        || mdb_env_info(v->gen->env->mdb, &info) != 0)
        return false;
    const uint8_t *db = record.mv_data, *page = db - ((uintptr_t)db & (size - 1));
    *out = (struct tree){ page - u64_at(page) * size, info.me_last_pgno + 1, u64_at(db + DB_ROOT), u64_at(db + DB_LEAVES), size };
    return u16_at(db + DB_FLAGS) == 0 && out->root < out->pages && u64_at(page) < out->pages;
}

unsigned tree_nodes(const struct tree *t, const uint8_t *page)
{
    unsigned lower = u16_at(page + PAGE_LOWER);
    return lower >= PAGE_HEAD && lower <= t->page_size ? (lower - PAGE_HEAD) / 2 : 0;
}

/* The node's offset, or the page's begin, where no node is. */
static const uint8_t *node_of(const struct tree *t, const uint8_t *page, unsigned i)
{
    size_t at = u16_at(page + PAGE_HEAD + 2 * (size_t)i);
    return page + (at <= t->page_size - NODE_HEAD ? at : 0);
}

/* The value of a node that has it in pages of its own. */
static bool big_value(const struct tree *t, const uint8_t *at, size_t len, struct bytes *out)
{
    uint64_t number = u64_at(at);
    if (number >= t->pages || (len + PAGE_HEAD - 1) / t->page_size >= t->pages - number)
        return false;
    *out = bytes_of(t->map + number * t->page_size + PAGE_HEAD, len);
    return true;
}

bool tree_entry(const struct tree *t, const uint8_t *page, unsigned i, struct entry *out)
{
    const uint8_t *node = node_of(t, page, i);
    size_t key = u16_at(node + NODE_KEY_LEN), len = u16_at(node) | (size_t)u16_at(node + 2) << 16;
    size_t left = t->page_size - (size_t)(node - page) - NODE_HEAD;
    unsigned flags = u16_at(node + NODE_FLAGS);
    bool big = flags == NODE_BIG;
    if (node == page || (flags != 0 && !big) || key > left || (big ? sizeof(uint64_t) : len) > left - key)
        return false;
    out->key = bytes_of(node + NODE_HEAD, key);
    out->value = bytes_of(node + NODE_HEAD + key, len);
    return !big || big_value(t, out->value.ptr, len, &out->value);
}

/* --- one look ------------------------------------------------------------------------------------------------------- */
/* As much of a word as there is. */
static uint64_t word_at(const uint8_t *p, size_t left)
{
    uint64_t x = 0;
    if (left >= sizeof x)
        return u64_at(p);
    memcpy(&x, p, left);
    return x;
}

/* Of two keys that are the same up to `from`, which one is first, and how far they are the same. Behind a eight bytes may be
 * read, of b `room` in all. */
static int order_of(struct bytes a, struct bytes b, size_t room, size_t from, size_t *same)
{
    size_t n = a.len < b.len ? a.len : b.len;
    for (size_t i = from; i < n; i += sizeof(uint64_t)) {
        uint64_t x = word_at(a.ptr + i, room - i), y = word_at(b.ptr + i, room - i);
        size_t at = i + (x != y ? (unsigned)__builtin_ctzll(x ^ y) / 8 : 8);
        if (at >= n || x == y)
            continue;
        *same = at;
        return __builtin_bswap64(x) > __builtin_bswap64(y) ? 1 : -1;
    }
    *same = n;
    return (a.len > b.len) - (a.len < b.len);
}

static void page_enter(const struct tree *t, struct foreseen *f, uint64_t number)
{
    f->done = number >= t->pages || f->levels++ == LEVELS_MAX;
    f->page = f->done ? NULL : t->map + number * t->page_size;
    f->high = 0;
    if (!f->done)
        ask(f->page, ENTRY_LINES);
}

static void page_begin(const struct tree *t, struct foreseen *f)
{
    unsigned flags = u16_at(f->page + PAGE_FLAGS);
    f->branch = flags == PAGE_BRANCH;
    f->low = f->branch;                         /* the first key of a branch is no key: it stands for all that is lower */
    f->high = tree_nodes(t, f->page);
    f->done = (flags != PAGE_BRANCH && flags != PAGE_LEAF) || f->high == 0;
    if (f->done)
        f->page = NULL;
}

/* The last node not behind the key leads on; in a leaf the first one that is not before it is what a seek gives. */
static void page_end(const struct tree *t, struct foreseen *f)
{
    if (f->branch) {
        const uint8_t *node = node_of(t, f->page, f->low - 1);
        page_enter(t, f, u64_at(node) & UINT64_C(0xffffffffffff));
        return;
    }
    f->done = true;
    if (f->low > 0)
        ask(node_of(t, f->page, f->low - 1), ENTRY_LINES);
    if (f->low < tree_nodes(t, f->page))
        ask(node_of(t, f->page, f->low), ENTRY_LINES);
}

/* What the key shares with all nodes that are left: it lies between one with so much in common and another one. */
static size_t shared(const struct foreseen *f) { return f->above < f->below ? f->above : f->below; }

/* Its length, and the bytes that will differ. */
static void node_ask(const struct tree *t, const struct foreseen *f)
{
    const uint8_t *node = node_of(t, f->page, (f->low + f->high) / 2);
    __builtin_prefetch(node + NODE_KEY_LEN);
    __builtin_prefetch(node + NODE_HEAD + shared(f) + 7);
}

static void node_compare(const struct tree *t, struct foreseen *f)
{
    unsigned mid = (f->low + f->high) / 2;
    const uint8_t *node = node_of(t, f->page, mid);
    size_t len = u16_at(node + NODE_KEY_LEN), room = t->page_size - (size_t)(node - f->page) - NODE_HEAD, same;
    int order = order_of(f->key, bytes_of(node + NODE_HEAD, len < room ? len : room), room, shared(f), &same);
    bool right = order + f->branch > 0;         /* in a branch the node of the very key leads to it */
    f->low = right ? mid + 1 : f->low;
    f->below = right ? (unsigned)same : f->below;
    f->high = right ? f->high : mid;
    f->above = right ? f->above : (unsigned)same;
}

static void look(const struct tree *t, struct foreseen *f)
{
    if (f->high == 0)
        page_begin(t, f);
    else
        node_compare(t, f);
    if (f->done)
        return;
    if (f->low < f->high)
        node_ask(t, f);
    else
        page_end(t, f);
}

void tree_foresee(const struct tree *t, struct foreseen *of, unsigned n)
{
    bool more = n > 0;
    for (unsigned i = 0; i < n; i++) {
        of[i].levels = 0;
        of[i].above = of[i].below = 0;
        page_enter(t, &of[i], t->root);
    }
    while (more) {
        more = false;
        for (unsigned i = 0; i < n; i++) {
            if (!of[i].done)
                look(t, &of[i]);
            more |= !of[i].done;
        }
    }
}
