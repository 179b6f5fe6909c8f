#include "lib/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct place { dev_t dev; ino_t ino; };         /* what a path led to; ino 0: not known */
struct shared {
    struct store *store;
    int fd;                         /* the folder, held so that no other gets its inode number */
    struct place place;
    unsigned forks;                 /* of the process that opened it */
    unsigned refs;                  /* under table_lock */
    atomic_bool replaced;           /* its folder holds other data now: nobody joins any more */
    pthread_mutex_t look;           /* guards what follows */
    unsigned generation;
    struct place data;
    struct shared *next;
};

/* Process-wide on purpose: so is LMDB's rule. Held over opening and closing, and by whoever forks. */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared *table;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_uint forks;

static void fork_before(void) { (void)pthread_mutex_lock(&table_lock); }
static void fork_parent(void) { (void)pthread_mutex_unlock(&table_lock); }
static void fork_child(void)
{
    atomic_fetch_add(&forks, 1);
    (void)pthread_mutex_unlock(&table_lock);
}
/* Called when a store is open, so behind the store's own: what is registered last locks first, and table_lock comes
 * first. */
static void fork_watch(void) { (void)pthread_atfork(fork_before, fork_parent, fork_child); }

unsigned shared_forks(void) { return atomic_load_explicit(&forks, memory_order_relaxed); }
struct store *shared_store(const struct shared *s) { return s->store; }

static bool same_place(struct place a, struct place b) { return a.dev == b.dev && a.ino == b.ino; }

static struct place place_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (struct place){ st.st_dev, st.st_ino } : (struct place){ 0, 0 };
}

/* --- the table ------------------------------------------------------------------------------------------------- */
static enum err make(const char *dir, int fd, struct place place, struct shared **out, struct fault *fault)
{
    struct store_options o = { .dir = dir, .mode = STORE_READ };
    struct shared *s = calloc(1, sizeof *s);
    if (s == NULL)
        return fault_set(fault, ERR_NOMEM, "out of memory");
    enum err err = store_open(&s->store, &o, fault);
    if (err != OK) {
        free(s);
        return err;
    }
    s->fd = fd;
    s->place = place;
    s->forks = shared_forks();
    (void)pthread_mutex_init(&s->look, NULL);
    *out = s;
    return OK;
}

/* table_lock is held; fd is taken when a new one is made, *used says so. */
static enum err find_or_make(const char *dir, int fd, bool *used, struct shared **out, struct fault *fault)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fault_set(fault, ERR_IO, "cannot look at %s: %s", dir, strerror(errno));
    struct place place = { st.st_dev, st.st_ino };
    for (struct shared *s = table; s != NULL; s = s->next) {
        if (same_place(s->place, place) && s->forks == shared_forks() && !atomic_load(&s->replaced)) {
            s->refs++;
            *out = s;
            return OK;
        }
    }
    enum err err = make(dir, fd, place, out, fault);
    if (err != OK)
        return err;
    (void)pthread_once(&once, fork_watch);
    *used = true;
    (*out)->refs = 1;
    (*out)->next = table;
    table = *out;
    return OK;
}

MUST_USE enum err shared_open(const char *dir, struct shared **out, struct fault *fault)
{
    bool used = false;
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        enum err err = errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND : errno == ENAMETOOLONG ? ERR_LIMIT : ERR_IO;
        return fault_set(fault, err, "cannot open %.200s: %s", dir, strerror(errno));
    }
    (void)pthread_mutex_lock(&table_lock);
    enum err err = find_or_make(dir, fd, &used, out, fault);
    (void)pthread_mutex_unlock(&table_lock);
    if (!used)
        (void)close(fd);
    return err;
}

void shared_close(struct shared *s)
{
    (void)pthread_mutex_lock(&table_lock);
    bool last = --s->refs == 0;
    if (last) {
        for (struct shared **at = &table; *at != NULL; at = &(*at)->next) {
            if (*at == s) {
                *at = s->next;
                break;
            }
        }
        store_close(s->store);      /* under the lock: the next to open the folder must not find LMDB still in it */
    }
    (void)pthread_mutex_unlock(&table_lock);
    if (!last)
        return;
    (void)close(s->fd);
    (void)pthread_mutex_destroy(&s->look);
    free(s);
}

/* --- looking whether things moved ------------------------------------------------------------------------------ */
/* The same generation's file is another file: somebody emptied the folder and filled it anew. Ours is open, which keeps
 * its inode number from being given to another. */
static bool refilled(struct shared *s, const char *dir, unsigned generation)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/data.%u/data.mdb", dir, generation);
    struct place now = n > 0 && (size_t)n < sizeof path ? place_of(path) : (struct place){ 0, 0 };
    if (now.ino == 0)
        return false;               /* just flipped; or gone, which store_follow tells */
    bool known = s->generation == generation && s->data.ino != 0;
    bool other = known && !same_place(s->data, now);
    s->generation = generation;
    if (!known)
        s->data = now;
    return other;
}

MUST_USE enum err shared_look(struct shared *s, const char *dir, unsigned generation, bool *replaced,
                              struct fault *fault)
{
    *replaced = true;
    if (!same_place(place_of(dir), s->place))
        return OK;
    (void)pthread_mutex_lock(&s->look);
    if (refilled(s, dir, generation))
        atomic_store(&s->replaced, true);
    (void)pthread_mutex_unlock(&s->look);
    *replaced = atomic_load(&s->replaced);
    return *replaced ? OK : store_follow(s->store, fault);
}
