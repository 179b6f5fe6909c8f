/* A zone of rows in memory that plans can be run against: what change.h says of drafts, without source and store. The functions
 * here take the place of draft.c's in programs that include this. */
#ifndef AZOTH_TESTS_DRAFT_MODEL_H
#define AZOTH_TESTS_DRAFT_MODEL_H

#include "builder/change.h"
#include "builder/zonefile.h"
#include "tests/util.h"

#define MODEL_ROWS 512
struct draft {
    struct name apex;
    struct row rows[MODEL_ROWS]; size_t n;
    struct row view[64];                        /* draft_owner's answer */
    struct arena arena;                         /* the rows' */
    struct arena plan;                          /* the plan's */
    unsigned sets;
};

struct bytes draft_apex(const struct draft *d) { return name_bytes(&d->apex); }
struct arena *draft_arena(struct draft *d) { return &d->plan; }

enum err draft_owner(struct draft *d, struct bytes owner, const struct row **out, size_t *n, struct fault *fault)
{
    struct row *found = arena_take(&d->plan, 64 * sizeof *found);
    (void)fault;
    assert_non_null(found);
    *n = 0;
    for (size_t i = 0; i < d->n && *n < 64; i++)
        if (name_equal(d->rows[i].owner, owner))
            found[(*n)++] = d->rows[i];
    *out = found;
    return OK;
}

static bool model_same(const struct row *a, const struct row *b)
{
    return a->type == b->type && a->covers == b->covers && name_equal(a->owner, b->owner);
}

enum err draft_set(struct draft *d, const struct row *row, struct fault *fault)
{
    size_t at = 0;
    (void)fault;
    while (at < d->n && !model_same(&d->rows[at], row))
        at++;
    d->sets++;
    if (row->n == 0 && row->comments_n == 0) {
        if (at < d->n) {
            memmove(&d->rows[at], &d->rows[at + 1], (d->n - at - 1) * sizeof d->rows[0]);
            d->n--;
        }
        return OK;
    }
    if (at == MODEL_ROWS)
        return ERR_LIMIT;
    struct row copy = *row;
    struct row_rr *rr = arena_take(&d->arena, (row->n + 1) * sizeof *rr);
    copy.owner = arena_copy(&d->arena, row->owner);
    for (size_t i = 0; i < row->n; i++)
        rr[i] = (struct row_rr){ arena_copy(&d->arena, row->rr[i].rdata), row->rr[i].disabled };
    copy.rr = rr;
    copy.comments = NULL;                       /* counted only */
    d->rows[at] = copy;
    d->n += at == d->n;
    return OK;
}

static inline struct draft *model_new(const char *apex)
{
    struct draft *d = calloc(1, sizeof *d);
    arena_init(&d->arena);
    arena_init(&d->plan);
    if (d == NULL || name_from_text(bytes_of_text(apex), (struct bytes){ 0 }, &d->apex) != OK)
        abort();
    return d;
}

static inline void model_free(struct draft *d)
{
    arena_release(&d->arena);
    arena_release(&d->plan);
    free(d);
}

#endif
