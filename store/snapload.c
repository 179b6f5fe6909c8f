/* Snapshots into the store: entries in order into a fresh generation, in one transaction; then the flip. */
#include "store/snapshot.h"

#include <stdlib.h>

#define SPILL_BYTES ((uint64_t)16 << 20)        /* of entries; then they leave the memory */

struct snapshot_load {
    struct store *store;
    struct store_txn *txn;
    struct head head;
    uint64_t bytes;                 /* of entries since the last spill */
};

MUST_USE enum err snapshot_load_begin(struct snapshot_load **out, struct store *s, const struct head *head,
                                      struct fault *fault)
{
    struct snapshot_load *l = calloc(1, sizeof *l);
    if (l == NULL)
        return ERR_NOMEM;
    *l = (struct snapshot_load){ .store = s, .head = *head };
    enum err err = store_load_begin(s, fault);
    if (err != OK) {
        free(l);
        return err;
    }
    if ((err = store_begin(s, &l->txn, fault)) != OK) {
        snapshot_load_drop(l);
        return err;
    }
    *out = l;
    return OK;
}

MUST_USE enum err snapshot_load_put(struct snapshot_load *l, const struct op *ops, size_t n, struct fault *fault)
{
    enum err err = store_apply(l->txn, ops, n, fault);
    for (size_t i = 0; i < n; i++)
        l->bytes += ops[i].key.len + ops[i].value.len;
    if (err != OK || l->bytes < SPILL_BYTES)
        return err;
    l->bytes = 0;
    return store_spill(l->txn, fault);
}

MUST_USE enum err snapshot_load_end(struct snapshot_load *l, const struct signed_head *sh, struct fault *fault)
{
    enum err err = store_commit(l->txn, &l->head, sh, fault);
    l->txn = NULL;
    if (err == OK)
        err = store_fresh_flip(l->store, fault);
    snapshot_load_drop(l);
    return err;
}

void snapshot_load_drop(struct snapshot_load *l)
{
    if (l == NULL)
        return;
    store_abort(l->txn);
    store_fresh_drop(l->store);
    free(l);
}

/* --- all of a stream ---------------------------------------------------------------------------------------------- */
static enum err put_all(struct snapshot_reader *r, struct snapshot_load *l, snapshot_go_fn *go, void *arg,
                        struct fault *fault)
{
    const struct op *ops;
    uint64_t entries = 0;
    size_t n;
    enum err err;
    while ((err = snapshot_reader_next(r, &ops, &n, fault)) == OK) {
        if ((err = snapshot_load_put(l, ops, n, fault)) != OK)
            return err;
        entries += n;
        if (go != NULL && !go(arg, entries))
            return fault_set(fault, ERR_NOTNOW, "stopped");
    }
    return err == ERR_NOTFOUND ? OK : err;
}

MUST_USE enum err snapshot_load(struct store *s, struct snapshot_reader *r, const struct signed_head *sh,
                                snapshot_go_fn *go, void *arg, struct fault *fault)
{
    const struct snapshot_about *about = snapshot_reader_about(r);
    struct snapshot_load *l;
    enum err err = snapshot_load_begin(&l, s, &about->head, fault);
    if (err != OK)
        return err;
    if ((err = put_all(r, l, go, arg, fault)) != OK) {
        snapshot_load_drop(l);
        return err;
    }
    return snapshot_load_end(l, sh != NULL ? sh : &about->signed_head, fault);
}
