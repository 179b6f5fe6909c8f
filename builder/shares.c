/* The layout of a large zone in shares: owners from .. to, each laid out by itself, by whichever thread has time. The
 * lists that come out are put behind each other in order, so the result is that of one walk over all owners. */
#include "builder/build.h"

#include <stdlib.h>

#define SHARE_LEAST 8192        /* owners; below two of these threads gain nothing */
#define SHARES_MAX 64

struct share { struct layout l; struct complaints c; struct arena arena; size_t from, to; enum err err; };
struct shares { const struct layout *whole; struct share *v; size_t n; };

/* --- where to cut --------------------------------------------------------------------------------------------- */
static int by_labels(const void *labels, const void *owner)
{
    return bytes_compare(*(const struct bytes *)labels, ((const struct owner *)owner)->labels);
}

/* Owner i belongs into the value of a cut or DNAME above it. */
static bool is_covered(const struct layout *l, size_t i)
{
    const struct owners *owners = l->owners;
    struct bytes labels = owners->v[i].labels;
    for (size_t at = l->apex.at[l->depth]; at < labels.len; at++) {
        if (labels.ptr[at] != 0)                                /* a label ends with 00, and holds none */
            continue;
        struct bytes above = bytes_of(labels.ptr, at + 1);
        const struct owner *o = bsearch(&above, owners->v, owners->n, sizeof *o, by_labels);
        if (o != NULL && o != &owners->v[i] && (o->has & (HAS_NS | HAS_DNAME)) != 0)
            return true;
    }
    return false;
}

static void cut(struct shares *s)
{
    const struct layout *l = s->whole;
    size_t n = l->owners->n, from = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t to = i + 1 == s->n ? n : n / s->n * (i + 1);
        to = to < from ? from : to;
        while (to < n && is_covered(l, to))
            to++;
        s->v[i].from = from;
        s->v[i].to = from = to;
    }
}

/* --- one share ------------------------------------------------------------------------------------------------ */
static void lay_share(void *arg, size_t piece, unsigned who)
{
    struct shares *all = arg;
    struct share *s = &all->v[piece];
    const struct layout *l = all->whole;
    (void)who;
    arena_init(&s->arena);
    if ((s->err = layout_init(&s->l, l->z, l->owners, &s->arena, &s->c)) != OK)
        return;
    s->l.apex_bits = l->apex_bits;
    s->l.child = l->child;
    s->l.child_n = l->child_n;
    s->err = layout_owners(&s->l, s->from, s->to);
    free(s->l.buf);                                             /* large, and only needed while one is at it */
    s->l.buf = NULL;
}

/* --- all of them ---------------------------------------------------------------------------------------------- */
static enum err take_share(struct layout *l, struct share *s)
{
    enum err err = s->err;
    complaints_join(l->c, &s->c);
    arena_join(l->arena, &s->arena);
    l->bits |= s->l.bits;
    if (err == OK)
        err = blobs_insert(&l->top, l->top.n, &s->l.top);
    if (err == OK)
        err = blobs_insert(&l->main, l->main.n, &s->l.main);
    for (size_t i = 0; i < s->l.stray_n && err == OK; i++)
        err = layout_stray(l, s->l.stray[i], s->l.stray_line[i]);
    layout_release(&s->l);
    return err;
}

enum err layout_shares(struct layout *l, struct crew *crew)
{
    struct shares s = { .whole = l, .n = l->owners->n / SHARE_LEAST };
    enum err err = OK;
    if (crew == NULL || crew_size(crew) < 2 || s.n < 2 || (l->apex_bits & BLOB_DNAME) != 0)
        return layout_owners(l, 0, l->owners->n);
    s.n = s.n < SHARES_MAX ? s.n : SHARES_MAX;
    if ((s.v = calloc(s.n, sizeof *s.v)) == NULL)
        return ERR_NOMEM;
    cut(&s);
    struct task task = { .run = lay_share, .arg = &s, .pieces = s.n };
    crew_run(crew, &task);
    for (size_t i = 0; i < s.n; i++) {
        enum err one = take_share(l, &s.v[i]);
        err = err != OK ? err : one;
    }
    free(s.v);
    return err;
}
