#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct reader_list { struct reader_figures *f; uint64_t pinned; };
/* One line of mdb_reader_list: "pid thread txnid", "-" for a slot that is not reading; first a line of headings. The writer's own pin is
 * no reader: it goes on by itself (env.c). */
static int reader_line(const char *line, void *arg)
{
    struct reader_list *list = arg;
    struct reader_figures *f = list->f;
    char txn[32];
    long pid;
    if (sscanf(line, "%ld %*s %31s", &pid, txn) != 2)
        return 0;
    uint64_t id = txn[0] == '-' ? 0 : strtoull(txn, NULL, 10);
    if (id != 0 && id == list->pinned && pid == (long)getpid()) {
        list->pinned = 0;
        return 0;
    }
    f->slots++;
    if (txn[0] == '-')
        return 0;
    if (!f->any || id < f->oldest) {
        f->oldest = id;
        f->pid = pid;
    }
    f->any = true;
    return 0;
}

void env_readers(struct env *e, struct reader_figures *out)
{
    struct reader_list list = { .f = out, .pinned = atomic_load(&e->pinned) };
    *out = (struct reader_figures){ 0 };
    (void)mdb_reader_list(e->mdb, reader_line, &list);
}

/* The list of free pages: transaction id -> count, page, page ... (words of LMDB). The next write transaction takes
 * those of transactions that no reader can still be looking at. */
int free_pages_in(MDB_txn *txn, uint64_t below, uint64_t *out)
{
    MDB_cursor *c;
    MDB_val k, v;
    size_t id, count;
    int rc = mdb_cursor_open(txn, FREE_DBI, &c);
    if (rc != 0)
        return rc;
    for (MDB_cursor_op op = MDB_FIRST; (rc = mdb_cursor_get(c, &k, &v, op)) == 0; op = MDB_NEXT) {
        if (k.mv_size != sizeof id || v.mv_size < sizeof count) {
            rc = MDB_CORRUPTED;
            break;
        }
        memcpy(&id, k.mv_data, sizeof id);
        memcpy(&count, v.mv_data, sizeof count);
        if (id >= below)
            break;
        *out += count;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

MUST_USE enum err env_free_pages(struct env *e, bool usable, uint64_t *out, struct fault *fault)
{
    struct reader_figures readers;
    MDB_txn *txn;
    uint64_t below = UINT64_MAX, pages = 0;
    if (usable)
        env_readers(e, &readers);       /* before our own read transaction joins them */
    enum err err = env_read_begin(e, &txn, fault);
    if (err != OK)
        return err;
    uint64_t pinned = atomic_load(&e->pinned);
    if (usable)
        below = readers.any && readers.oldest < mdb_txn_id(txn) ? readers.oldest : mdb_txn_id(txn);
    if (usable && pinned != 0 && pinned < below)
        below = pinned;
    int rc = free_pages_in(txn, below, &pages);
    env_read_end(e, txn);
    if (rc != 0)
        return lmdb_err(fault, rc, "read", env_path(e));
    *out = pages;
    return OK;
}

static enum err data_figures(struct gen *g, struct store_figures *f)
{
    struct reader_figures readers;
    MDB_envinfo info;
    uint64_t pages;
    enum err err = env_free_pages(g->env, false, &pages, NULL);
    if (err != OK)
        return err;
    env_readers(g->env, &readers);
    (void)pthread_mutex_lock(&g->env->lock);        /* the map stays where it is */
    (void)mdb_env_info(g->env->mdb, &info);
    (void)pthread_mutex_unlock(&g->env->lock);
    f->generation = g->number;
    f->map_bytes = info.me_mapsize;
    f->used_bytes = (info.me_last_pgno + 1) * g->env->page_size;
    f->free_bytes = pages * g->env->page_size;
    f->readers = readers.slots;
    f->oldest_reader = readers.any ? readers.oldest : 0;
    f->oldest_reader_pid = readers.any ? readers.pid : 0;
    f->oldest_reader_lag = readers.any && readers.oldest < info.me_last_txnid ? info.me_last_txnid - readers.oldest : 0;
    return OK;
}

static enum err log_figures(struct store *s, struct store_figures *f)
{
    MDB_envinfo info;
    uint64_t pages;
    enum err err = env_free_pages(s->log, false, &pages, NULL);
    if (err != OK)
        return err;
    (void)pthread_mutex_lock(&s->log->lock);
    (void)mdb_env_info(s->log->mdb, &info);
    (void)pthread_mutex_unlock(&s->log->lock);
    f->log_map_bytes = info.me_mapsize;
    f->log_used_bytes = (info.me_last_pgno + 1) * s->log->page_size;
    f->log_free_bytes = pages * s->log->page_size;
    return log_range_past(s, &f->log_first, &f->log_last);
}

MUST_USE enum err store_figures(struct store *s, struct store_figures *out)
{
    struct store_figures f = { 0 };
    struct gen *g = store_gen_ref(s);
    enum err err = data_figures(g, &f);
    store_gen_unref(s, g);
    if (err == OK && log_ready(s, NULL) == OK)      /* a reader without rights on the log reports zeros for it */
        err = log_figures(s, &f);
    if (err == OK)
        *out = f;
    return err;
}

bool store_is_broken(struct store *s)
{
    struct gen *g = store_gen_ref(s);
    bool dead = atomic_load(&g->env->dead);
    store_gen_unref(s, g);
    (void)pthread_mutex_lock(&s->mutex);
    dead = dead || (s->log != NULL && atomic_load(&s->log->dead));
    (void)pthread_mutex_unlock(&s->mutex);
    return dead;
}

bool store_is_gone(struct store *s)
{
    struct gen *g = store_gen_ref(s);
    bool gone = env_gone(g->env);
    store_gen_unref(s, g);
    (void)pthread_mutex_lock(&s->mutex);
    gone = gone || (s->log != NULL && env_gone(s->log));
    (void)pthread_mutex_unlock(&s->mutex);
    return gone;
}

unsigned store_clear_readers(struct store *s)
{
    int dead = 0, log_dead = 0;
    struct gen *g = store_gen_ref(s);
    (void)mdb_reader_check(g->env->mdb, &dead);
    store_gen_unref(s, g);
    (void)pthread_mutex_lock(&s->mutex);
    struct env *log = s->log;
    (void)pthread_mutex_unlock(&s->mutex);
    if (log != NULL)
        (void)mdb_reader_check(log->mdb, &log_dead);
    return (unsigned)(dead + log_dead);
}
