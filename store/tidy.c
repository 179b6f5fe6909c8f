#include "store/tidy.h"

#include <errno.h>
#include <stdlib.h>

#include "base/arena.h"
#include "store/internal.h"

#define RUNS_MAX 16
#define RUNS_OF 1024            /* leaves: in a store of so many, not more than a run in one transaction */
#define PASS_PART 40            /* one pass whenever a fortieth of the entries changed, */
#define PASS_PART_SMALL 8       /* or an eighth, */
#define SMALL_BYTES ((uint64_t)16 << 20)    /* of up to so many bytes: there is not much space to be won */
#define LEAVES_LEAST 64         /* a smaller store is not worth it */
#define ROOM_EVERY 12           /* the room that is left: of every so many entries the size of one */
#define LEAF_FRONT 16           /* LMDB's, of a page, a node, its index */
#define NODE_FRONT 10
#define OVERFLOW_MOST 4         /* values on pages of their own in one run: moving them costs more than it brings */

struct run { size_t ns; uint8_t first[STORE_KEY_MAX], last[STORE_KEY_MAX]; size_t first_len, last_len; unsigned leaves; };
struct tidy {
    struct store *s;
    struct view *view;
    struct cursor *cursor;
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    size_t names_n, ns;         /* of the pass; the one at hand */
    unsigned generation;
    bool passing;
    uint64_t changed_at;        /* gen.changed when the pass began */
    uint8_t key[STORE_KEY_MAX]; /* looked at up to here, in names[ns] */
    size_t key_len;
    struct run runs[RUNS_MAX];
    struct arena arena;
};
struct moved { struct bytes key, value; };

/* --- looking: in a view, where keys stand on the pages of the map ----------------------------------------------------- */
struct look { struct run run; uint64_t bytes; unsigned big; uintptr_t page; };

static size_t node_size(const struct gen *g, const struct entry *e, bool *big)
{
    *big = NODE_FRONT - 2 + e->key.len + e->value.len > (g->env->page_size - LEAF_FRONT) / 2;      /* me_nodemax */
    return NODE_FRONT + e->key.len + (*big ? 8 : e->value.len + (e->value.len & 1));
}

static void look_begin(struct look *l, size_t ns, const struct entry *e)
{
    *l = (struct look){ .run.ns = ns };
    memcpy(l->run.first, e->key.ptr, e->key.len);
    l->run.first_len = e->key.len;
}

static bool sparse(const struct tidy *t, const struct look *l)
{
    uint64_t room = (t->view->gen->env->page_size - LEAF_FRONT) * l->run.leaves;
    return l->big <= OVERFLOW_MOST && l->bytes * 100 < room * TIDY_BELOW;
}

/* One namespace from t->key on. ERR_NOTFOUND: to its end. */
static enum err look_on(struct tidy *t, unsigned *left, unsigned most, unsigned *runs_n)
{
    struct bytes at = bytes_of(t->key, t->key_len);
    struct look l = { .page = 0 };
    struct entry e;
    bool big;
    enum err err = cursor_seek(t->cursor, at, &e);
    if (err == OK && at.len > 0 && bytes_equal(e.key, at))
        err = cursor_next(t->cursor, &e);
    for (; err == OK; err = cursor_next(t->cursor, &e)) {
        uintptr_t page = (uintptr_t)e.key.ptr / t->view->gen->env->page_size;
        if (e.key.len == 0 || e.key.len > STORE_KEY_MAX)
            return ERR_BAD;
        if (page != l.page && (l.run.leaves == TIDY_RUN || *left == 0)) {
            if (l.run.leaves == TIDY_RUN && sparse(t, &l))
                t->runs[(*runs_n)++] = l.run;
            memcpy(t->key, l.run.last, l.run.last_len);
            t->key_len = l.run.last_len;
            l.run.leaves = 0;
            if (*left == 0 || *runs_n == most)
                return OK;
        }
        if (l.run.leaves == 0)
            look_begin(&l, t->ns, &e);
        if (page != l.page) {
            l.page = page;
            l.run.leaves++;
            *left -= *left > 0;
        }
        l.bytes += node_size(t->view->gen, &e, &big);
        l.big += big;
        memcpy(l.run.last, e.key.ptr, e.key.len);
        l.run.last_len = e.key.len;
    }
    return err;
}

static enum err pass_begin(struct tidy *t)
{
    enum err err = view_namespaces(t->view, t->names, &t->names_n);
    if (err != OK)
        return err;
    cursor_close(t->cursor);
    t->cursor = NULL;
    t->generation = view_generation(t->view);
    t->changed_at = t->view->gen->changed;
    t->ns = t->key_len = 0;
    t->passing = true;
    return OK;
}

/* Sparse runs of the next leaves into t->runs. */
static enum err look(struct tidy *t, unsigned leaves, unsigned most, unsigned *runs_n, struct tidy_news *news)
{
    unsigned left = leaves;
    enum err err = OK;
    while (err == OK && t->ns < t->names_n && left > 0 && *runs_n < most) {
        if (t->cursor == NULL && (err = cursor_open(t->view, bytes_of_text(t->names[t->ns]), &t->cursor)) != OK)
            break;
        if ((err = look_on(t, &left, most, runs_n)) == ERR_NOTFOUND) {
            cursor_close(t->cursor);
            t->cursor = NULL;
            t->ns++;
            t->key_len = 0;
            err = OK;
        }
    }
    t->passing = err == OK && t->ns < t->names_n;
    news->more = t->passing;
    news->looked = leaves - left;
    return err;
}

/* Is it time for a pass? */
static bool due(const struct tidy *t)
{
    const struct gen *g = t->view->gen;
    uint64_t since = g->changed - (g->number == t->generation ? t->changed_at : 0);
    unsigned part = g->bytes > SMALL_BYTES ? PASS_PART : PASS_PART_SMALL;
    return since > 0 && since >= g->keys / part && g->keys / LEAVES_LEAST > 0
        && g->bytes > LEAVES_LEAST * g->env->page_size;
}

/* What a transaction rewrites, the next one cannot use yet: in a small store that must not be much. */
static unsigned runs_most(const struct tidy *t, unsigned runs)
{
    uint64_t fit = t->view->gen->bytes / t->view->gen->env->page_size / RUNS_OF;
    runs = runs < RUNS_MAX ? runs : RUNS_MAX;
    return fit < runs ? (unsigned)fit + 1 : runs;
}

/* --- rewriting ------------------------------------------------------------------------------------------------------------ */
static struct bytes keep(struct tidy *t, MDB_val v, size_t room)
{
    uint8_t *at = arena_take(&t->arena, v.mv_size + room + 1);
    if (at == NULL)
        return (struct bytes){ 0 };
    memcpy(at, v.mv_data, v.mv_size);
    memset(at + v.mv_size, 0, room);
    return bytes_of(at, v.mv_size);
}

/* The entries of the run, copied; room behind those values that put_back pads. */
static int gather(struct tidy *t, MDB_cursor *c, const struct run *r, struct moved **out, size_t *n)
{
    MDB_val k = { r->first_len, (void *)(uintptr_t)r->first }, v;
    struct bytes last = bytes_of(r->last, r->last_len);
    size_t cap = 0, page = t->view->gen->env->page_size;
    int rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    *n = 0;
    for (; rc == 0 && bytes_compare(bytes_of_val(k), last) <= 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        if (*n == cap) {
            struct moved *more = realloc(*out, (cap = cap == 0 ? 1024 : 2 * cap) * sizeof *more);
            if (more == NULL)
                return ENOMEM;
            *out = more;
        }
        struct moved *m = &(*out)[(*n)++];
        m->key = keep(t, k, 0);
        m->value = keep(t, v, *n % ROOM_EVERY == 0 ? page / 3 : 0);
        if (m->key.ptr == NULL || m->value.ptr == NULL)
            return ENOMEM;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* In ascending order behind one another, which fills leaves to the brim; every ROOM_EVERY-th entry is put with as much
 * more as the others take on average, and then as it is. */
static int put_back(MDB_txn *txn, MDB_dbi dbi, size_t page, const struct moved *m, size_t n)
{
    size_t sum = 0;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        MDB_val k = val_of(m[i].key), v = val_of(m[i].value);
        sum += NODE_FRONT + m[i].key.len + m[i].value.len;
        bool room = i % ROOM_EVERY == ROOM_EVERY - 1 && m[i].key.len + m[i].value.len + sum / ROOM_EVERY < page / 3;
        v.mv_size += room ? sum / ROOM_EVERY : 0;
        rc = mdb_put(txn, dbi, &k, &v, 0);
        if (i % ROOM_EVERY == ROOM_EVERY - 1)
            sum = 0;
    }
    for (size_t i = ROOM_EVERY - 1; i < n && rc == 0; i += ROOM_EVERY) {
        MDB_val k = val_of(m[i].key), v = val_of(m[i].value);
        rc = mdb_put(txn, dbi, &k, &v, 0);
    }
    return rc;
}

static int rewrite(struct tidy *t, MDB_txn *txn, const struct run *r, struct moved **list, size_t *n)
{
    const struct ns_slot *slot = gen_ns(t->view->gen, bytes_of_text(t->names[r->ns]));
    MDB_cursor *c;
    int rc = slot == NULL ? MDB_BAD_DBI : mdb_cursor_open(txn, slot->dbi, &c);
    if (rc != 0)
        return rc;
    arena_reset(&t->arena);
    rc = gather(t, c, r, list, n);
    mdb_cursor_close(c);
    for (size_t i = 0; i < *n && rc == 0; i++) {
        MDB_val k = val_of((*list)[i].key);
        rc = mdb_del(txn, slot->dbi, &k, NULL);
    }
    return rc != 0 ? rc : put_back(txn, slot->dbi, t->view->gen->env->page_size, *list, *n);
}

/* Is there space for what this writes besides what stands there? */
static enum err room_check(struct env *e, unsigned runs_n, struct fault *fault)
{
    struct room room;
    uint64_t free_pages = 0;
    enum err err = room_begin(&room, e, fault);
    if (err != OK || room.used + 4 * (uint64_t)runs_n * TIDY_RUN < room.total - room.total / 10)
        return err;
    if ((err = env_free_pages(e, true, &free_pages, fault)) != OK)
        return err;
    return free_pages > room.total / 10 ? OK : fault_set(fault, ERR_FULL, "%s: no room for tidying", env_path(e));
}

static enum err rewrite_all(struct tidy *t, unsigned runs_n, struct tidy_news *news, struct fault *fault)
{
    struct env *e = t->view->gen->env;
    struct moved *list = NULL;
    MDB_txn *txn;
    enum err err = room_check(e, runs_n, fault);
    if (err != OK)
        return err;
    int rc = env_write_begin(e, &txn);
    if (rc != 0)
        return lmdb_err(fault, rc, "write", env_path(e));
    for (unsigned i = 0; i < runs_n && rc == 0; i++) {
        size_t n = 0;
        rc = rewrite(t, txn, &t->runs[i], &list, &n);
        news->rewritten += t->runs[i].leaves;
        news->moved += n;
    }
    free(list);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return lmdb_err(fault, rc, "tidy", env_path(e));
    }
    return commit_err(fault, env_write_commit_soft(e, txn), e);
}

MUST_USE enum err tidy_slice(struct tidy *t, unsigned leaves, unsigned runs, struct tidy_news *news, struct fault *fault)
{
    unsigned runs_n = 0;
    *news = (struct tidy_news){ .more = false };
    if (t->s->writing || t->s->fresh != NULL)
        return fault_set(fault, ERR_NOTNOW, "a transaction is open, or a generation is being filled");
    enum err err = view_begin(t->view);
    if (err != OK)
        return fault_set(fault, err, "cannot read: %s", err_text(err));
    if (t->passing && view_generation(t->view) != t->generation)
        t->passing = false;
    if (!t->passing && due(t))
        err = pass_begin(t);
    if (err == OK && t->passing)
        err = look(t, leaves, runs_most(t, runs), &runs_n, news);
    view_end(t->view);
    if (err != OK)
        return fault_set(fault, err, "cannot look at the leaves: %s", err_text(err));
    return runs_n > 0 ? rewrite_all(t, runs_n, news, fault) : OK;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */
MUST_USE enum err tidy_open(struct tidy **out, struct store *s, struct fault *fault)
{
    if (!store_writable(s))
        return fault_set(fault, ERR_NOTNOW, "%s: opened for reading", store_dir(s));
    struct tidy *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->s = s;
    arena_init(&t->arena);
    enum err err = view_open(s, &t->view, fault);
    if (err != OK) {
        tidy_close(t);
        return err;
    }
    *out = t;
    return OK;
}

void tidy_close(struct tidy *t)
{
    if (t == NULL)
        return;
    cursor_close(t->cursor);
    view_close(t->view);
    arena_release(&t->arena);
    free(t);
}
