#include "replicator/snapmake.h"

#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NAME ".snapshot-served."
#define NAME_RANDOM "XXXXXX"
#define WAIT_FIRST_MS 50                /* nothing is known of its pace yet */
#define WAIT_MOST_MS 1000

struct snapmaker {
    struct snapmaker_options o;
    pthread_t thread;
    bool begun;                         /* the thread is there, or its result */
    uint64_t start_ms;
    atomic_bool stop, done;
    _Atomic uint64_t entries, of;       /* written so far; all */
    struct snapmade made;               /* the thread's until done */
    enum err err;
    struct fault fault;
};

void snapmade_release(struct snapmade *f)
{
    snapshot_index_release(&f->index);
    (void)close(f->fd);
    f->fd = -1;
}

/* As df counts: what others than root may still use. */
bool snapmake_has_room(void *arg, const char *dir)
{
    struct statvfs v;
    (void)arg;
    if (statvfs(dir, &v) != 0)
        return false;
    uint64_t used = (uint64_t)v.f_blocks - v.f_bfree, all = used + v.f_bavail;
    return all == 0 || used / SNAPMAKE_FULL_PERCENT <= all / 100;
}

/* --- the file ------------------------------------------------------------------------------------------------------------ */
static enum err file_make(const char *dir, int *fd, struct fault *fault)
{
    char path[PATH_MAX];
    *fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0)
        return OK;
    if (file_path(path, sizeof path, dir, NAME NAME_RANDOM) == OK && (*fd = mkostemp(path, O_CLOEXEC)) >= 0) {
        (void)unlink(path);
        return OK;
    }
    return fault_set(fault, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot make a file in %s: %s", dir,
                     strerror(errno));
}

static void leftovers_remove(const char *dir)
{
    char path[PATH_MAX];
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strncmp(e->d_name, NAME, sizeof NAME - 1) == 0 && strlen(e->d_name) == sizeof NAME NAME_RANDOM - 1
            && file_path(path, sizeof path, dir, e->d_name) == OK)
            (void)unlink(path);
    }
    if (d != NULL)
        (void)closedir(d);
}

/* --- the thread ---------------------------------------------------------------------------------------------------------- */
static bool room(const struct snapmaker *m)
{
    return m->o.room(m->o.arg, store_dir(m->o.store));
}

static bool go(void *arg, uint64_t entries)
{
    struct snapmaker *m = arg;
    atomic_store(&m->entries, entries);
    return !atomic_load(&m->stop) && room(m);
}

static enum err write_all(struct snapmaker *m, struct fault *fault)
{
    struct view *v = NULL;
    struct snapshot_totals totals = { .bytes = 0 };
    enum err err = view_open(m->o.store, &v, fault);
    if (err != OK)
        return err;
    if ((err = view_begin(v)) == OK) {
        m->made.generation = view_generation(v);
        if ((err = view_head(v, &m->made.head, NULL)) == OK) {
            atomic_store(&m->of, m->made.head.keys);
            err = snapshot_write(m->made.fd, v, m->o.role, NULL, 0, go, m, &totals, fault);
        }
        view_end(v);
    }
    view_close(v);
    m->made.bytes = totals.bytes;
    return err;
}

static enum err full(struct fault *fault, const char *dir)
{
    return fault_set(fault, ERR_FULL, "the file system of %s is fuller than %d %%", dir, SNAPMAKE_FULL_PERCENT);
}

static enum err make(struct snapmaker *m, struct fault *fault)
{
    const char *dir = store_dir(m->o.store);
    enum err err = room(m) ? file_make(dir, &m->made.fd, fault) : full(fault, dir);
    if (err != OK)
        return err;
    if ((err = write_all(m, fault)) == OK)
        err = snapshot_index_load(&m->made.index, m->made.fd, fault);
    if (err == ERR_NOTNOW && !atomic_load(&m->stop))
        err = full(fault, dir);
    if (err != OK)
        (void)close(m->made.fd);
    return err;
}

static void *work(void *arg)
{
    struct snapmaker *m = arg;
    m->err = make(m, &m->fault);
    m->made.ms = clock_mono_ms() - m->start_ms;
    atomic_store(&m->done, true);
    return NULL;
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */
enum err snapmaker_open(struct snapmaker **out, const struct snapmaker_options *o)
{
    struct snapmaker *m = calloc(1, sizeof *m);
    if (m == NULL)
        return ERR_NOMEM;
    m->o = *o;
    if (m->o.room == NULL)
        m->o.room = snapmake_has_room;
    leftovers_remove(store_dir(o->store));
    *out = m;
    return OK;
}

void snapmaker_close(struct snapmaker *m)
{
    if (m == NULL)
        return;
    if (m->begun) {
        atomic_store(&m->stop, true);
        pthread_join(m->thread, NULL);
        if (m->err == OK)
            snapmade_release(&m->made);
    }
    free(m);
}

enum err snapmaker_begin(struct snapmaker *m)
{
    sigset_t all, before;
    if (m->begun)
        return ERR_NOTNOW;
    m->made = (struct snapmade){ .fd = -1 };
    m->err = OK;
    m->fault.text[0] = '\0';
    m->start_ms = clock_mono_ms();
    atomic_store(&m->done, false);
    atomic_store(&m->entries, 0);
    atomic_store(&m->of, 0);
    sigfillset(&all);                   /* signals are the loop's */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    m->begun = pthread_create(&m->thread, NULL, work, m) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return m->begun ? OK : ERR_NOMEM;
}

bool snapmaker_is_busy(const struct snapmaker *m)
{
    return m->begun;
}

uint64_t snapmaker_wait_ms(const struct snapmaker *m)
{
    uint64_t entries = atomic_load(&m->entries), of = atomic_load(&m->of), ms = clock_mono_ms() - m->start_ms;
    if (entries == 0 || of < entries)
        return WAIT_FIRST_MS;
    double left = (double)ms * (double)(of - entries) / (double)entries;
    return left < WAIT_MOST_MS ? (uint64_t)left + 10 : WAIT_MOST_MS;
}

enum err snapmaker_take(struct snapmaker *m, struct snapmade *out, struct fault *fault)
{
    if (!m->begun || !atomic_load(&m->done))
        return ERR_AGAIN;
    pthread_join(m->thread, NULL);
    m->begun = false;
    *out = m->made;
    *fault = m->fault;
    return m->err;
}
