/* What a core's folder holds beyond its data, for those who read the data and have to say how new it is: records of the log, and
 * transactions that are safe ahead of it (ahead.c). A crash leaves such; the next core takes them in. */
#include "store/internal.h"

/* The head's seq, and the newest that is safe. Log and file first: what a core that starts just now puts there in between, it puts into
 * the data too. */
static enum err look(struct store *s, uint64_t *seq, uint64_t *last, struct fault *fault)
{
    struct head head = { .seq = 0 };
    uint64_t loaded;
    MDB_txn *txn;
    enum err err = ahead_newest(s, last, fault);
    if (err != OK)
        return err;
    struct gen *g = store_gen_ref(s);
    if ((err = env_read_begin(g->env, &txn, fault)) == OK) {
        err = meta_head(txn, g->meta, &head, NULL);
        if (meta_loaded(txn, g->meta, &loaded) == OK)
            *last = 0;                          /* the log is of the data that stood there before */
        env_read_end(g->env, txn);
    }
    store_gen_unref(s, g);
    *seq = head.seq;
    return err == ERR_NOTFOUND ? OK : err;
}

bool store_is_written(const struct store *s) { return writer_there(s->dir); }

/* Asked first: a core at work is always in the middle of something, and what nobody is at work on stays as it is. */
MUST_USE enum err store_waiting(struct store *s, uint64_t *seq, uint64_t *last, struct fault *fault)
{
    *seq = *last = 0;
    if (s->magic.role != STORE_CORE || writer_there(s->dir))
        return OK;
    enum err err = look(s, seq, last, fault);
    if (err != OK || *last < *seq)
        *last = *seq;
    return err;
}
