#include "builder/wishes.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct wishes {
    pthread_mutex_t lock;
    int fd;
    uint64_t ticket;            /* of the newest */
    size_t first, n;            /* a ring */
    struct wish v[WISHES_MAX];
};

MUST_USE enum err wishes_open(struct wishes **out)
{
    struct wishes *w = calloc(1, sizeof *w);
    if (w == NULL)
        return ERR_NOMEM;
    if ((w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        free(w);
        return ERR_NOMEM;
    }
    w->ticket = clock_wall_ms();
    (void)pthread_mutex_init(&w->lock, NULL);
    *out = w;
    return OK;
}

void wishes_close(struct wishes *w)
{
    if (w == NULL)
        return;
    (void)close(w->fd);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

int wishes_fd(const struct wishes *w) { return w->fd; }

/* Under the lock. NULL: it does not wait. */
static const struct wish *waiting(const struct wishes *w, enum wish_what what, struct bytes apex)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct wish *at = &w->v[(w->first + i) % WISHES_MAX];
        if (at->what == what && name_equal(name_bytes(&at->apex), apex))
            return at;
    }
    return NULL;
}

MUST_USE enum err wishes_put(struct wishes *w, enum wish_what what, struct bytes apex, uint64_t *ticket)
{
    uint64_t one = 1;
    (void)pthread_mutex_lock(&w->lock);
    const struct wish *there = waiting(w, what, apex);
    bool full = w->n == WISHES_MAX;
    if (there == NULL && !full) {
        struct wish *at = &w->v[(w->first + w->n++) % WISHES_MAX];
        at->what = what;
        at->ticket = ++w->ticket;
        at->apex.len = (uint8_t)apex.len;
        memcpy(at->apex.wire, apex.ptr, apex.len);
        there = at;
    }
    if (ticket != NULL && there != NULL)
        *ticket = there->ticket;
    bool taken = there != NULL;
    (void)pthread_mutex_unlock(&w->lock);
    ssize_t n = write(w->fd, &one, sizeof one);     /* fails only when it is readable anyway */
    (void)n;
    return taken ? OK : ERR_LIMIT;
}

bool wishes_take(struct wishes *w, struct wish *out)
{
    uint64_t rings;
    (void)pthread_mutex_lock(&w->lock);
    bool some = w->n > 0;
    if (some) {
        *out = w->v[w->first];
        w->first = (w->first + 1) % WISHES_MAX;
        w->n--;
    }
    if (w->n == 0) {
        ssize_t n = read(w->fd, &rings, sizeof rings);
        (void)n;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return some;
}
