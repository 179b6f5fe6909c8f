#include "store/internal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

/* --- the folder --------------------------------------------------------------------------------------------------- */
/* N of "data.N"; 0: another name. */
static unsigned data_number(const char *name)
{
    uint64_t n;
    return strncmp(name, "data.", 5) == 0 && text_number(name + 5, UINT32_MAX >> 8, &n) == OK ? (unsigned)n : 0;
}

/* What may stand in a folder that becomes a store: keys made before, and what a crash during the making left. */
static bool may_be_there(const char *name)
{
    static const char *const names[] = { ".", "..", "node.key", "node.pub", "node.key.new", "node.pub.new", "records",
                                         "writer.lock", "log", "magic.new", "current.new", "lost+found", "data.1" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static enum err check_empty(const char *dir, struct fault *fault)
{
    enum err err = OK;
    const struct dirent *e;
    DIR *d = opendir(dir);
    if (d == NULL)
        return fault_set(fault, ERR_IO, "cannot open %s: %s", dir, strerror(errno));
    while (err == OK && (e = readdir(d)) != NULL)
        if (!may_be_there(e->d_name))
            err = fault_set(fault, ERR_FORMAT, "%s: not empty (%.64s) and no azoth store (no file magic)", dir,
                            e->d_name);
    (void)closedir(d);
    return err;
}

/* Generations that `current` does not name: unfinished ones, or old ones that a crash kept from being unlinked. */
static void remove_others(const char *dir, unsigned keep)
{
    char path[STORE_PATH_MAX];
    const struct dirent *e;
    DIR *d = opendir(dir);
    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL) {
        unsigned n = data_number(e->d_name);
        if (n != 0 && n != keep && data_path(path, dir, n) == OK)
            env_files_remove(path, true);
    }
    (void)closedir(d);
}

/* The only generation there is, when there is exactly data.1: then only `current` is missing, which is written last. */
static bool only_first(const char *dir)
{
    bool first = false, others = false;
    const struct dirent *e;
    DIR *d = opendir(dir);
    if (d == NULL)
        return false;
    while ((e = readdir(d)) != NULL) {
        unsigned n = data_number(e->d_name);
        first = first || n == 1;
        others = others || n > 1;
    }
    (void)closedir(d);
    return first && !others;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */
/* Order: data.1 and its sync, magic, current. A crash before magic leaves nothing that counts; one between magic and
 * current is finished by the next open for writing. */
static enum err create(struct store *s, const struct store_options *o, struct fault *fault)
{
    char path[STORE_PATH_MAX];
    struct gen *g = NULL;
    enum err err = check_empty(s->dir, fault);
    if (err != OK || (err = data_path(path, s->dir, 1)) != OK)
        return err;
    if ((err = gen_create(&g, path, 1, s, fault)) != OK)
        return err;
    int rc = s->volatile_data ? 0 : mdb_env_sync(g->env->mdb, 1);
    gen_close(g);
    if (rc != 0)
        return lmdb_err(fault, rc, "sync", path);
    s->magic.role = o->role;
    if (o->cluster != NULL)
        memcpy(s->magic.cluster, o->cluster, CLUSTER_LEN);
    else if (o->role == STORE_CORE)
        randombytes_buf(s->magic.cluster, CLUSTER_LEN);
    if ((err = magic_write(s->dir, &s->magic, s->volatile_data, fault)) != OK)
        return err;
    return current_write(s->dir, 1, s->volatile_data, fault);
}

/* The generation that `current` names. While we look a writer may flip and unlink it: then current names another. */
static enum err open_current(struct store *s, struct gen **out, struct fault *fault)
{
    char path[STORE_PATH_MAX];
    unsigned number = 0, before;
    enum err err = ERR_NOTFOUND;
    for (int round = 0; round < 5; round++) {
        before = number;
        if ((err = current_read(s->dir, &number, fault)) != OK || (err = data_path(path, s->dir, number)) != OK)
            return err;
        if ((err = gen_open(out, path, number, s, fault)) == OK || number == before)
            break;
    }
    if (err == ERR_NOTFOUND)
        return fault_set(fault, ERR_FORMAT, "%s/current names data.%u, which is not there", s->dir, number);
    return err;
}

static enum err empty_log(struct store *s, struct fault *fault);

/* A sync of the data failed in this boot: only its anchored state is sure. Others may be reading what is behind that, so it becomes a
 * generation of its own. */
static enum err leave_doubtful(struct store *s, struct fault *fault)
{
    char from[STORE_PATH_MAX], to[STORE_PATH_MAX];
    enum anchor_state state;
    unsigned number;
    enum err err = current_read(s->dir, &number, fault);
    if (err != OK || (err = data_path(from, s->dir, number)) != OK || (err = data_path(to, s->dir, number + 1)) != OK)
        return err;
    if ((err = anchor_look(from, s->boot, &state, fault)) != OK || state != ANCHOR_DOUBT)
        return err;
    env_files_remove(to, false);
    if ((err = folder_make(to, fault)) != OK || (err = anchor_copy(from, to, fault)) != OK)
        return err;
    return current_write(s->dir, number + 1, s->volatile_data, fault);
}

static enum err open_existing(struct store *s, struct fault *fault)
{
    struct gen *g;
    unsigned number;
    enum err err;
    if (store_writable(s) && current_read(s->dir, &number, fault) == ERR_NOTFOUND && only_first(s->dir) &&
        (err = current_write(s->dir, 1, s->volatile_data, fault)) != OK)
        return err;
    if (store_writable(s) && !s->volatile_data && (err = leave_doubtful(s, fault)) != OK)
        return err;
    if ((err = open_current(s, &g, fault)) != OK)
        return err;
    g->opened = 1;
    atomic_store(&s->gen, g);
    if (!store_writable(s))
        return OK;
    remove_others(s->dir, g->number);
    (void)store_clear_readers(s);
    if ((err = log_open(s, fault)) == OK && (err = ahead_open(s, fault)) == OK && g->loaded)
        err = empty_log(s, fault);      /* what a crash between flip and emptying left is another state's */
    return err;
}

static enum err open_write(struct store *s, const struct store_options *o, struct fault *fault)
{
    struct magic m;
    enum err err;
    if (o->mode == STORE_CREATE && (err = folder_make(s->dir, fault)) != OK)
        return err;
    err = magic_read(s->dir, &m, fault);
    if (err != OK && !(err == ERR_NOTFOUND && o->mode == STORE_CREATE))
        return err;
    bool fresh = err == ERR_NOTFOUND;
    if (fresh && (err = check_empty(s->dir, fault)) != OK)
        return err;
    if ((err = writer_lock(s->dir, &s->lock_fd, fault)) != OK)
        return err;
    if (fresh && (err = magic_read(s->dir, &m, fault)) == ERR_NOTFOUND)     /* nobody was quicker */
        err = create(s, o, fault);
    if (err != OK || (err = magic_read(s->dir, &s->magic, fault)) != OK)
        return err;
    if (s->magic.role != o->role)
        return fault_set(fault, ERR_ROLE, "%s: belongs to %s", s->dir,
                         s->magic.role == STORE_CORE ? "a core" : "an edge");
    return open_existing(s, fault);
}

static enum err options_take(struct store *s, const struct store_options *o, struct fault *fault)
{
    size_t n = strlen(o->dir);
    if (n == 0 || n >= sizeof s->dir)
        return fault_set(fault, ERR_LIMIT, "the store's folder has no name, or one that is too long");
    memcpy(s->dir, o->dir, n + 1);
    s->mode = o->mode;
    s->map = o->map_size == 0 ? MAP_DEFAULT : o->map_size;
    s->volatile_data = o->volatile_data;
    s->forward_only = o->forward_only;
    s->needs_slot = o->needs_slot;
    s->soft = o->soft;
    if (s->map < STORE_MAP_MIN)
        return fault_set(fault, ERR_LIMIT, "map_size %llu is below 1M", (unsigned long long)s->map);
    if (!store_writable(s))
        s->map = s->map < MAP_DEFAULT ? MAP_DEFAULT : s->map;
    else if (o->role != STORE_CORE && o->role != STORE_EDGE)
        return fault_set(fault, ERR_ROLE, "%s: a store is opened as a core's or an edge's", s->dir);
    if (o->boot_id == NULL) {
        if (boot_id_read(s->boot, NULL) != OK)
            s->boot[0] = '\0';          /* who needs it says that it is not there */
        return OK;
    }
    if (strlen(o->boot_id) >= sizeof s->boot || strpbrk(o->boot_id, "\n") != NULL)
        return fault_set(fault, ERR_LIMIT, "boot id is too long");
    memcpy(s->boot, o->boot_id, strlen(o->boot_id) + 1);
    return OK;
}

static void release(struct store *s)
{
    enum err err = log_let_go(s, NULL);
    (void)err;                          /* not written: the next open has it from log/ahead */
    crew_close(s->crew);
    ahead_close(s);
    log_close(s);
    gen_close(atomic_load(&s->gen));
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    hold_close(&s->hold);
    (void)pthread_mutex_destroy(&s->follow);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
}

MUST_USE enum err store_open(struct store **out, const struct store_options *o, struct fault *fault)
{
    enum err err;
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    if (fault != NULL)
        fault->text[0] = '\0';
    s->lock_fd = -1;
    (void)pthread_mutex_init(&s->mutex, NULL);
    (void)pthread_mutex_init(&s->follow, NULL);
    hold_open(&s->hold);
    if (sodium_init() < 0)
        err = fault_set(fault, ERR_STORE, "libsodium does not start");
    else if ((err = options_take(s, o, fault)) != OK)
        ;
    else if (store_writable(s))
        err = open_write(s, o, fault);
    else if ((err = magic_read(s->dir, &s->magic, fault)) == OK)
        err = open_existing(s, fault);
    if (err == OK && store_writable(s))
        err = crew_open(&s->crew, o->threads);
    if (err != OK) {
        release(s);
        return err;
    }
    *out = s;
    return OK;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    store_fresh_drop(s);
    if (store_writable(s))
        (void)env_settle(atomic_load(&s->gen)->env);
    release(s);
}

void store_discard(struct store *s)
{
    static const char *const names[] = { "magic", "current", "log/data.mdb", "log/lock.mdb", "log/mark", "log/anchor", "log/ahead", "log",
                                         "writer.lock" };
    char dir[STORE_PATH_MAX], path[STORE_PATH_MAX];
    int lock = s->lock_fd;
    s->lock_fd = -1;                    /* held until all is gone */
    memcpy(dir, s->dir, sizeof s->dir);
    store_close(s);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (file_path(path, sizeof path, dir, names[i]) == OK)
            (void)remove(path);
    remove_others(dir, 0);
    if (lock >= 0)
        (void)close(lock);
}

enum store_role store_role(const struct store *s) { return s->magic.role; }
const uint8_t *store_cluster(const struct store *s) { return s->magic.cluster; }
const char *store_dir(const struct store *s) { return s->dir; }
struct crew *store_crew(struct store *s) { return s->crew; }

MUST_USE enum err store_join(struct store *s, const uint8_t cluster[CLUSTER_LEN], struct fault *fault)
{
    struct magic m = s->magic;
    if (memcmp(m.cluster, cluster, CLUSTER_LEN) == 0)
        return OK;
    if (!store_writable(s))
        return fault_set(fault, ERR_NOTNOW, "%s: opened for reading", s->dir);
    if (!sodium_is_zero(m.cluster, CLUSTER_LEN))
        return fault_set(fault, ERR_CLUSTER, "%s: holds the data of another cluster; empty the folder to change",
                         s->dir);
    memcpy(m.cluster, cluster, CLUSTER_LEN);
    enum err err = magic_write(s->dir, &m, s->volatile_data, fault);
    if (err == OK)
        s->magic = m;
    return err;
}

/* --- generations -------------------------------------------------------------------------------------------------- */
struct gen *store_gen_ref(struct store *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    struct gen *g = atomic_load(&s->gen);
    g->refs++;
    (void)pthread_mutex_unlock(&s->mutex);
    return g;
}

void store_gen_unref(struct store *s, struct gen *g)
{
    (void)pthread_mutex_lock(&s->mutex);
    if (--g->refs == 0)
        gen_close(g);
    (void)pthread_mutex_unlock(&s->mutex);
}

/* g becomes current for the views of this process; the old one goes with its last view. */
static void swap(struct store *s, struct gen *g, bool doom)
{
    (void)pthread_mutex_lock(&s->mutex);
    g->opened = atomic_load(&s->gen)->opened + 1;
    struct gen *old = atomic_exchange(&s->gen, g);
    old->doomed = doom;
    if (--old->refs == 0)
        gen_close(old);
    (void)pthread_mutex_unlock(&s->mutex);
}

/* The log is emptied only after the data that it may be ahead of is safe: a crash right behind that finds a store whose
 * log is empty, and the fresh generation is removed as one that `current` does not name. */
static enum err empty_log(struct store *s, struct fault *fault)
{
    struct log_txn *t = NULL;
    int rc = env_settle(atomic_load(&s->gen)->env);
    if (rc != 0)
        return lmdb_err(fault, rc, "sync", s->dir);
    enum err err = log_begin(s, &t, fault);
    if (err != OK)
        return err;
    if ((err = log_clear(t, fault)) != OK) {
        log_abort(t);
        return err;
    }
    return log_commit(t, fault);
}

MUST_USE enum err fresh_make(struct store *s, struct fault *fault)
{
    char path[STORE_PATH_MAX];
    struct gen *g;
    if (!store_writable(s) || s->fresh != NULL || s->writing || log_let_go(s, fault) != OK || s->log_writing)
        return fault_set(fault, ERR_NOTNOW, "%s: a fresh generation cannot be begun now", s->dir);
    unsigned number = atomic_load(&s->gen)->number + 1;
    enum err err = data_path(path, s->dir, number);
    if (err == OK && (err = gen_create(&g, path, number, s, fault)) == OK)
        s->fresh = g;
    return err;
}

MUST_USE enum err store_fresh_begin(struct store *s, struct fault *fault)
{
    enum err err = fresh_make(s, fault);
    if (err != OK)
        return err;
    s->fresh->filled_fresh = true;
    if ((err = empty_log(s, fault)) != OK)
        store_fresh_drop(s);
    return err;
}

MUST_USE enum err store_load_begin(struct store *s, struct fault *fault)
{
    const struct gen *old = atomic_load(&s->gen);
    enum err err = fresh_make(s, fault);
    if (err != OK)
        return err;
    s->fresh->filled_fresh = s->fresh->loading = true;
    s->fresh->loaded_over = old->has_head ? old->head.epoch : 0;
    if (old->loaded && old->loaded_over > s->fresh->loaded_over)
        s->fresh->loaded_over = old->loaded_over;
    return OK;
}

bool store_is_loaded(struct store *s, uint64_t *epoch)
{
    const struct gen *g = atomic_load(&s->gen);
    *epoch = g->loaded_over;
    return g->loaded;
}

void store_fresh_drop(struct store *s)
{
    if (s->fresh == NULL)
        return;
    assert(!s->writing);
    s->fresh->doomed = true;
    gen_close(s->fresh);
    s->fresh = NULL;
}

bool store_is_fresh(const struct store *s) { return s->fresh != NULL; }

MUST_USE enum err store_fresh_flip(struct store *s, struct fault *fault)
{
    struct gen *g = s->fresh, *old = atomic_load(&s->gen);
    if (g == NULL || s->writing)
        return fault_set(fault, ERR_NOTNOW, "%s: no fresh generation is ready", s->dir);
    int rc = 0;
    if (!s->volatile_data && (rc = mdb_env_sync(g->env->mdb, 1)) == 0 &&
        (rc = mdb_env_set_flags(g->env->mdb, MDB_NOMETASYNC, 1)) == 0)
        rc = mdb_env_set_flags(g->env->mdb, MDB_NOSYNC, 0);
    if (rc != 0)
        return lmdb_err(fault, rc, "sync", env_path(g->env));
    if (!s->volatile_data)
        g->env->flags = MDB_NOMETASYNC;
    unsigned named;
    enum err err = current_write(s->dir, g->number, s->volatile_data, fault);
    if (err != OK && (current_read(s->dir, &named, NULL) != OK || named != g->number))
        return err;     /* (renamed, but the folder did not sync: it has happened as far as anybody can see) */
    /* From here on the change has happened. A mark that does not fit any more only lets readers learn of it from
     * `current`, a second later. */
    meta_supersede(old);
    s->fresh = NULL;
    swap(s, g, true);
    if (!g->loading)
        return OK;
    g->loading = false;
    if ((err = empty_log(s, fault)) != OK)
        return fault_set(fault, err, "%s holds the loaded data, but the log of the old could not be emptied (%s); the next "
                         "start does it", s->dir, err_text(err));
    return OK;
}

/* Under a number we know another store may stand: its folder was emptied and filled again. */
static bool moved_on(const struct store *s, unsigned number)
{
    const struct gen *g = atomic_load(&s->gen);
    return number != g->number || env_replaced(g->env);
}

/* ERR_NOTFOUND: nothing was committed to it yet. */
static enum err gen_head(struct gen *g, struct head *out)
{
    MDB_txn *txn;
    enum err err = env_read_begin(g->env, &txn, NULL);
    if (err != OK)
        return err;
    err = meta_head(txn, g->meta, out, NULL);
    env_read_end(g->env, txn);
    return err;
}

/* Is g, which took the place of the data at hand, empty or an earlier state of it? It is being filled, then. */
static enum err check_forward(const struct store *s, struct gen *g, struct fault *fault)
{
    struct head at_hand, next;
    if (gen_head(atomic_load(&s->gen), &at_hand) != OK)
        return OK;
    enum err err = gen_head(g, &next);
    if (err == ERR_NOTFOUND)
        return fault_set(fault, ERR_NOTNOW, "%s: a new store stands there, in which nothing was committed yet", s->dir);
    if (err != OK || memcmp(at_hand.cluster, next.cluster, CLUSTER_LEN) != 0)
        return err;
    if (next.epoch > at_hand.epoch || (next.epoch == at_hand.epoch && next.seq >= at_hand.seq))
        return OK;
    return fault_set(fault, ERR_NOTNOW, "%s: holds older data now (epoch %llu, seq %llu)", s->dir,
                     (unsigned long long)next.epoch, (unsigned long long)next.seq);
}

static enum err move_on(struct store *s, struct fault *fault)
{
    struct gen *g;
    enum err err = open_current(s, &g, fault);
    if (err != OK)
        return err;
    if (s->forward_only && (err = check_forward(s, g, fault)) != OK)
        gen_close(g);
    else
        swap(s, g, false);
    return err;
}

MUST_USE enum err store_follow(struct store *s, struct fault *fault)
{
    struct magic now;
    unsigned number;
    if (store_writable(s))
        return OK;          /* the only writer knows where it is */
    (void)pthread_mutex_lock(&s->follow);
    enum err err = current_read(s->dir, &number, fault);
    if (err == OK && moved_on(s, number) && (err = magic_read(s->dir, &now, fault)) == OK)
        err = move_on(s, fault);
    (void)pthread_mutex_unlock(&s->follow);
    return err;
}

MUST_USE enum err store_settle(struct store *s, struct fault *fault)
{
    struct env *data = atomic_load(&s->gen)->env;
    enum err err = log_let_go(s, fault);
    if (err != OK)
        return err;
    if (!store_writable(s) || s->writing || s->log_writing)
        return fault_set(fault, ERR_NOTNOW, "%s: cannot be settled now", s->dir);
    int rc = s->log != NULL ? env_settle(s->log) : 0;
    if (rc != 0)
        return lmdb_err(fault, rc, "sync", env_path(s->log));
    return (rc = env_settle(data)) == 0 ? OK : lmdb_err(fault, rc, "sync", env_path(data));
}

bool store_is_settled(const struct store *s)
{
    return atomic_load(&s->gen)->env->softs == 0 && (s->log == NULL || s->log->softs == 0);
}
