#include "builder/withdraw.h"

#include "builder/journal.h"
#include "builder/near.h"

#include <stdlib.h>

#define FLUSH_ZONES 512
#define FLUSH_BYTES ((size_t)4 << 20)

/* The ops for one zone. ERR_NOTFOUND: there is nothing to do. */
typedef enum err leave_fn(struct bytes apex, struct view *v, struct op_list *out, struct fault *fault);

struct leaving {
    leave_fn *ops_of;
    struct committer *c;
    struct view *v;
    withdraw_told_fn *told;
    void *arg;
    struct near near;               /* names at, above and below which something is staged: views do not see that yet */
    struct { size_t i; uint64_t seq; } staged[FLUSH_ZONES];
    size_t staged_n;
    struct op_list ops;
};

static enum err flush(struct leaving *l, struct fault *fault)
{
    enum err err = l->staged_n > 0 ? commit_flush(l->c, fault) : OK;
    for (size_t k = 0; k < l->staged_n && err == OK; k++)
        l->told(l->arg, l->staged[k].i, true, l->staged[k].seq);
    l->staged_n = 0;
    near_clear(&l->near);
    return err;
}

static enum err stage(struct leaving *l, struct bytes apex, uint64_t *seq, struct fault *fault)
{
    static const struct author by = { .via = VIA_FILE };
    enum err err = l->ops_of(apex, l->v, &l->ops, fault);
    if (err != OK)
        return err;
    if ((err = commit_stage(l->c, l->ops.ops, l->ops.n, seq, fault)) == OK)
        err = journal_note(l->c, l->v, apex, l->ops.ops, l->ops.n, *seq, &by, false, fault);
    if (err != OK && err != ERR_LIMIT)
        l->staged_n = 0;            /* all of it is gone */
    return err;
}

/* The view is open for the ops, and as long as the journal asks what stood there before. */
static enum err build(struct leaving *l, struct bytes apex, uint64_t *seq, struct fault *fault)
{
    op_list_release(&l->ops);
    op_list_init(&l->ops);
    enum err err = view_begin(l->v);
    if (err != OK)
        return fault_set(fault, err, "cannot read the store");
    err = stage(l, apex, seq, fault);
    view_end(l->v);
    return err;
}

static enum err withdraw_one(struct leaving *l, struct bytes apex, size_t i, struct fault *fault)
{
    uint64_t seq = 0;
    enum err err;
    if (near_has(&l->near, apex) && (err = flush(l, fault)) != OK)
        return err;
    if ((err = build(l, apex, &seq, fault)) == ERR_NOTFOUND) {
        l->told(l->arg, i, false, 0);
        return OK;
    }
    if (err != OK)
        return err;
    near_add(&l->near, apex);
    l->staged[l->staged_n].i = i;
    l->staged[l->staged_n++].seq = seq;
    return l->staged_n == FLUSH_ZONES || commit_staged_bytes(l->c) >= FLUSH_BYTES ? flush(l, fault) : OK;
}

static enum err run(leave_fn *ops_of, struct committer *c, struct view *v, const struct name *apexes, size_t n,
                    const atomic_bool *stop, withdraw_told_fn *told, void *arg, struct fault *fault)
{
    struct fault second = { "" };
    enum err err = OK;
    struct leaving *l = calloc(1, sizeof *l);
    if (l == NULL)
        return ERR_NOMEM;
    l->ops_of = ops_of;
    l->c = c;
    l->v = v;
    l->told = told;
    l->arg = arg;
    op_list_init(&l->ops);
    if ((err = commit_settle(c, fault)) == ERR_NOTNOW)      /* else it came with commit_stage, behind the view */
        err = OK;
    for (size_t i = 0; i < n && err == OK && (stop == NULL || !*stop); i++)
        err = withdraw_one(l, name_bytes(&apexes[i]), i, fault);
    enum err last = flush(l, &second);          /* what is staged is sound, also after an error of a later zone */
    if (err == OK && last != OK)
        err = fault_set(fault, last, "%s", fault_text(&second, last));
    op_list_release(&l->ops);
    free(l);
    return err;
}

MUST_USE enum err withdraw_zones(struct committer *c, struct view *v, const struct name *apexes, size_t n,
                                 const atomic_bool *stop, withdraw_told_fn *told, void *arg, struct fault *fault)
{
    return run(zone_withdraw, c, v, apexes, n, stop, told, arg, fault);
}

static enum err empty_of(struct bytes apex, struct view *v, struct op_list *out, struct fault *fault)
{
    enum err err = zone_build_empty(apex, ZONE_FILE, v, out, fault);
    return err == OK && out->n == 0 ? ERR_NOTFOUND : err;
}

MUST_USE enum err empty_zones(struct committer *c, struct view *v, const struct name *apexes, size_t n,
                              const atomic_bool *stop, withdraw_told_fn *told, void *arg, struct fault *fault)
{
    return run(empty_of, c, v, apexes, n, stop, told, arg, fault);
}
