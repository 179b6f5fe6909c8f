#include "store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"

#define GROW_WAIT_US 1000000        /* a batch is over in far less */
#define GROW_STEP_US 100
#define RENEW_ROUNDS 16
#define RENEW_MOST 1000
#define DISK_FULL_BELOW ((uint64_t)1 << 20)

/* Which folders this process has open: opening one a second time would drop LMDB's locks at the first close. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct env *open_list;
static pthread_once_t open_once = PTHREAD_ONCE_INIT;

/* A fork while another thread is at the list must not leave the child with a lock that nobody will release. */
static void list_lock(void) { (void)pthread_mutex_lock(&open_lock); }
static void list_unlock(void) { (void)pthread_mutex_unlock(&open_lock); }
static void list_watch_forks(void) { (void)pthread_atfork(list_lock, list_unlock, list_unlock); }

enum err lmdb_err(struct fault *fault, int rc, const char *what, const char *path)
{
    enum err err;
    switch (rc) {
    case MDB_SUCCESS: return OK;
    case MDB_NOTFOUND: case ENOENT: err = ERR_NOTFOUND; break;
    case MDB_MAP_FULL: case ENOSPC: case EDQUOT: case EFBIG: err = ERR_FULL; break;
    case ENOMEM: err = ERR_NOMEM; break;
    case MDB_VERSION_MISMATCH: case MDB_INVALID: err = ERR_FORMAT; break;
    case EACCES: case EPERM: case EROFS: err = ERR_IO; break;
    default: err = ERR_STORE; break;
    }
    return fault_set(fault, err, "cannot %s %s: %s", what, path, mdb_strerror(rc));
}

enum err commit_err(struct fault *fault, int rc, const struct env *e)
{
    struct statvfs vfs;
    enum err err = lmdb_err(fault, rc, "commit to", env_path(e));
    /* a write that a full disk cut short comes from LMDB as EIO */
    if (rc == EIO && statvfs(env_path(e), &vfs) == 0 && (uint64_t)vfs.f_bavail * vfs.f_frsize < DISK_FULL_BELOW)
        err = fault_set(fault, ERR_FULL, "cannot commit to %s: the disk is full", env_path(e));
    return err == ERR_IO ? ERR_STORE : err;     /* a disk that became read-only: the store's fault, not a caller's file */
}

/* ERR_LOCKED: an environment of this process has path's data.mdb open. Asked of the file, which whoever has it open
 * keeps from being another: the inode number of a removed folder is given out again while its files are still read. */
static enum err list_check(const char *path, struct fault *fault)
{
    char file[STORE_PATH_MAX + 16];
    struct stat st;
    if (file_path(file, sizeof file, path, "data.mdb") != OK || stat(file, &st) != 0)
        return OK;      /* LMDB makes it, or says what is wrong */
    for (const struct env *o = open_list; o != NULL; o = o->next_open)
        if (o->dev == st.st_dev && o->ino == st.st_ino && o->pid == getpid())  /* not a parent's, before a fork */
            return fault_set(fault, ERR_LOCKED, "%s: this process has it open already", path);
    return OK;
}

/* Takes e, which is open, into the list. */
static int list_join(struct env *e)
{
    struct stat st;
    int fd, rc = mdb_env_get_fd(e->mdb, &fd);
    if (rc != 0 || fstat(fd, &st) != 0)
        return rc != 0 ? rc : errno;
    e->dev = st.st_dev;
    e->ino = st.st_ino;
    e->pid = getpid();
    e->next_open = open_list;
    open_list = e;
    return 0;
}

static void list_leave(struct env *e)
{
    (void)pthread_mutex_lock(&open_lock);
    for (struct env **at = &open_list; *at != NULL; at = &(*at)->next_open) {
        if (*at == e) {
            *at = e->next_open;
            break;
        }
    }
    (void)pthread_mutex_unlock(&open_lock);
}

/* Readers run as another user of the same group: they read data.mdb and write lock.mdb. Who is not the owner cannot
 * change the rights and leaves them as they are. */
static void grant_readers(const char *path)
{
    char file[STORE_PATH_MAX + 16];
    if (file_path(file, sizeof file, path, "lock.mdb") == OK)
        (void)chmod(file, 0660);
    if (file_path(file, sizeof file, path, "data.mdb") == OK)
        (void)chmod(file, 0640);
}

static int mdb_setup(struct env *e, const char *path, unsigned flags, uint64_t map)
{
    MDB_envinfo info;
    MDB_stat st;
    MDB_txn *txn;
    MDB_dbi main_dbi;
    int rc;
    if ((rc = mdb_env_create(&e->mdb)) != 0)
        return rc;
    if ((rc = mdb_env_set_mapsize(e->mdb, map)) != 0 || (rc = mdb_env_set_maxdbs(e->mdb, DBS_MAX)) != 0 ||
        (rc = mdb_env_set_maxreaders(e->mdb, READERS_MAX)) != 0)
        return rc;
    if ((rc = mdb_env_open(e->mdb, path, flags | MDB_NOTLS, 0640)) != 0)
        return rc;
    if ((rc = mdb_env_info(e->mdb, &info)) != 0 || (rc = mdb_env_stat(e->mdb, &st)) != 0)
        return rc;
    e->page_size = st.ms_psize;
    if ((rc = mdb_txn_begin(e->mdb, NULL, MDB_RDONLY, &txn)) != 0)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &main_dbi);         /* sets its comparison, so that cursors may walk it */
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

MUST_USE enum err env_open(struct env **out, const char *path, unsigned flags, uint64_t map, struct fault *fault)
{
    struct env *e = calloc(1, sizeof *e);
    if (e == NULL)
        return ERR_NOMEM;
    e->read_only = (flags & MDB_RDONLY) != 0;
    e->flags = flags;
    e->anchor.fd = -1;
    (void)pthread_mutex_init(&e->lock, NULL);
    (void)pthread_once(&open_once, list_watch_forks);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    int rc = 0;
    list_lock();
    enum err err = list_check(path, fault);
    if (err == OK && (rc = mdb_setup(e, path, flags, (map + page - 1) / page * page)) == 0)
        rc = list_join(e);
    list_unlock();
    if (rc != 0)
        err = lmdb_err(fault, rc, "open", path);
    if (err != OK) {
        env_close(e);
        return err;
    }
    if (!e->read_only)
        grant_readers(path);
    *out = e;
    return OK;
}

void env_close(struct env *e)
{
    if (e == NULL)
        return;
    if (e->mdb != NULL) {
        env_soft_end(e);
        mdb_env_close(e->mdb);
    }
    list_leave(e);
    (void)pthread_mutex_destroy(&e->lock);
    free(e);
}

const char *env_path(const struct env *e)
{
    const char *path = "?";
    (void)mdb_env_get_path(e->mdb, &path);
    return path;
}

bool env_has_slots(const struct env *e)
{
    MDB_envinfo info;
    return mdb_env_info(e->mdb, &info) == 0 && info.me_numreaders > 0;     /* mdb_setup has taken one */
}

bool env_gone(const struct env *e)
{
    struct stat st;
    int fd;
    return mdb_env_get_fd(e->mdb, &fd) == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0;
}

bool env_replaced(const struct env *e)
{
    char file[STORE_PATH_MAX + 16];
    struct stat st;
    return file_path(file, sizeof file, env_path(e), "data.mdb") == OK && stat(file, &st) == 0
        && (st.st_dev != e->dev || st.st_ino != e->ino);
}

/* Maps what the file needs now. env.lock is held, so only readers can be at work: those at one are waited for, those
 * that come wait for us. */
static enum err grow(struct env *e)
{
    enum err err = OK;
    atomic_store(&e->paused, true);
    for (const struct reader *r = e->readers; r != NULL && err == OK; r = r->next) {
        for (unsigned waited = 0; atomic_load(&r->active) && err == OK; waited += GROW_STEP_US) {
            if (waited >= GROW_WAIT_US)
                err = ERR_NOTNOW;
            (void)usleep(GROW_STEP_US);
        }
    }
    if (err == OK && mdb_env_set_mapsize(e->mdb, 0) != 0) {
        e->broken = true;
        err = ERR_STORE;
    }
    if (err == OK)
        atomic_fetch_add(&e->grown, 1);
    if (!e->broken)
        atomic_store(&e->paused, false);
    return err;
}

MUST_USE enum err env_read_begin(struct env *e, MDB_txn **out, struct fault *fault)
{
    (void)pthread_mutex_lock(&e->lock);
    int rc = e->broken ? MDB_PANIC : mdb_txn_begin(e->mdb, NULL, MDB_RDONLY, out);
    if (rc == MDB_MAP_RESIZED && grow(e) == OK)
        rc = mdb_txn_begin(e->mdb, NULL, MDB_RDONLY, out);
    if (rc == 0)
        return OK;
    (void)pthread_mutex_unlock(&e->lock);
    return lmdb_err(fault, rc, "read", env_path(e));
}

void env_read_end(struct env *e, MDB_txn *txn)
{
    (void)mdb_txn_commit(txn);      /* of a read transaction: only keeps the databases that it opened */
    (void)pthread_mutex_unlock(&e->lock);
}

MUST_USE enum err reader_open(struct reader *r, struct env *e, struct fault *fault)
{
    *r = (struct reader){ .env = NULL };
    (void)pthread_mutex_lock(&e->lock);
    int rc = e->broken ? MDB_PANIC : mdb_txn_begin(e->mdb, NULL, MDB_RDONLY, &r->txn);
    if (rc == MDB_MAP_RESIZED && grow(e) == OK)
        rc = mdb_txn_begin(e->mdb, NULL, MDB_RDONLY, &r->txn);
    if (rc == 0) {
        mdb_txn_reset(r->txn);
        r->env = e;
        r->next = e->readers;
        e->readers = r;
    }
    (void)pthread_mutex_unlock(&e->lock);
    return lmdb_err(fault, rc, "read", env_path(e));
}

void reader_close(struct reader *r)
{
    struct env *e = r->env;
    if (e == NULL)
        return;
    (void)pthread_mutex_lock(&e->lock);
    for (struct reader **at = &e->readers; *at != NULL; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            break;
        }
    }
    mdb_txn_abort(r->txn);
    (void)pthread_mutex_unlock(&e->lock);
    *r = (struct reader){ .env = NULL };
}

/* The map is being grown, or has to be. ERR_NOTNOW: another reader of this process does not end. */
static enum err wait_or_grow(struct env *e, bool outgrown, unsigned seen)
{
    enum err err = OK;
    (void)pthread_mutex_lock(&e->lock);
    if (e->broken)
        err = ERR_STORE;
    else if (outgrown && atomic_load(&e->grown) == seen)
        err = grow(e);
    (void)pthread_mutex_unlock(&e->lock);
    return err;
}

/* false also where there is no slot for another reader. */
static bool is_given_now(const struct reader *r)
{
    MDB_txn *probe;
    if (mdb_txn_begin(r->env->mdb, NULL, MDB_RDONLY, &probe) != 0)
        return false;
    bool same = mdb_txn_id(probe) == mdb_txn_id(r->txn);
    mdb_txn_abort(probe);
    return same;
}

/* LMDB takes the number of the newest commit, then copies the meta page that this number stands in. When two commits pass
 * in between, the page is the later one's: its data under the number of the one before it, and whoever kept something by
 * that number would mix the two. A number that is still the newest after the copy proves that it did not happen. While a writer
 * stands, or died, between its meta page and the number of it, that is not so: then a second transaction that gets the same
 * number proves it, since nobody commits above that before. */
static int renew(struct reader *r)
{
    MDB_envinfo info;
    for (unsigned round = 0;; round++) {
        int rc = mdb_txn_renew(r->txn);
        if (rc != 0)
            return rc;
        atomic_thread_fence(memory_order_acquire);
        if (mdb_env_info(r->env->mdb, &info) != 0 || info.me_last_txnid == mdb_txn_id(r->txn))
            return 0;
        if (round >= RENEW_ROUNDS && (is_given_now(r) || round == RENEW_MOST))
            return 0;
        mdb_txn_reset(r->txn);
    }
}

/* active is raised before paused is looked at, and grow looks at active after it has raised paused: one of the two
 * sees the other (both sequentially consistent). */
MUST_USE enum err reader_begin(struct reader *r)
{
    struct env *e = r->env;
    for (unsigned round = 0; round < 8; round++) {
        unsigned seen = atomic_load_explicit(&e->grown, memory_order_relaxed);
        int rc = 0;
        atomic_store(&r->active, true);
        bool paused = atomic_load(&e->paused);
        if (!paused && (rc = renew(r)) == 0)
            return OK;
        atomic_store(&r->active, false);
        if (!paused && rc != MDB_MAP_RESIZED)
            return lmdb_err(NULL, rc, "read", "");
        enum err err = wait_or_grow(e, !paused, seen);
        if (err != OK)
            return err;
    }
    return ERR_STORE;
}

void reader_end(struct reader *r)
{
    mdb_txn_reset(r->txn);
    atomic_store_explicit(&r->active, false, memory_order_release);
}
