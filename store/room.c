#include "store/internal.h"

#define WORN_STEPS 8192         /* LMDB keeps up to 131,072 changed pages in memory */
#define STEPS_PER_PUT 6         /* pages from root to leaf, and a split, of a tree of any size that fits a map */

MUST_USE enum err room_begin(struct room *r, struct env *e, struct fault *fault)
{
    MDB_envinfo info;
    int rc = mdb_env_info(e->mdb, &info);
    if (rc != 0)
        return lmdb_err(fault, rc, "look at", env_path(e));
    *r = (struct room){ .env = e, .total = info.me_mapsize / e->page_size, .used = info.me_last_pgno + 1 };
    return OK;
}

static uint64_t reserve(const struct room *r)
{
    uint64_t r5 = r->total / 20;
    return r5 > RESERVE_PAGES_MIN ? r5 : RESERVE_PAGES_MIN;
}

static uint64_t left(const struct room *r)
{
    uint64_t have = (r->total > r->used ? r->total - r->used : 0) + r->free;
    return have > reserve(r) ? have - reserve(r) : 0;
}

bool room_is_worn(const struct room *r) { return r->steps > WORN_STEPS || r->steps > left(r) / 16; }

/* A transaction cannot take more pages than its trees have, and not more than every step of every put; both are far
 * above the truth when it changes few entries of a large tree, or appends to one page again and again. */
MUST_USE enum err room_for_put(struct room *r, size_t len, uint64_t (*touched)(void *arg), void *arg,
                               struct fault *fault)
{
    uint64_t steps = STEPS_PER_PUT + len / r->env->page_size;
    r->steps += steps;
    r->env->steps += steps;
    if (r->steps <= left(r))
        return OK;
    uint64_t pages = touched(arg);
    uint64_t need = r->steps < pages ? r->steps : pages;
    if (need >= left(r) && !r->counted) {
        r->counted = true;
        enum err err = env_free_pages(r->env, true, &r->free, fault);
        if (err != OK)
            return err;
    }
    if (need < left(r))
        return OK;
    return fault_set(fault, ERR_FULL,
                     "%s: map_size is used up (%llu of %llu pages; the last %llu are kept for deletes)",
                     env_path(r->env), (unsigned long long)(r->used - r->free), (unsigned long long)r->total,
                     (unsigned long long)reserve(r));
}
