#include "builder/core_waiting.h"

#include "base/log.h"
#include "builder/core_reply.h"

#include <stdlib.h>
#include <unistd.h>

void waiting_init(struct waiting *w, const struct desk_options *o)
{
    w->o = o;
    w->told_last = &w->told;
    (void)pthread_mutex_init(&w->lock, NULL);
}

void waiting_release(struct waiting *w) { (void)pthread_mutex_destroy(&w->lock); }

/* --- one of them --------------------------------------------------------------------------------------------------------- */
static uint64_t hash_of(const struct asker *from, struct bytes msg)
{
    uint64_t h = bytes_fnv(BYTES_FNV_START ^ from->port, peer_bytes(&from->client));
    return bytes_fnv(h, msg);
}

static bool asked_twice(const struct waiting *w, const struct asker *from, struct bytes msg, uint64_t hash)
{
    if (from->conn != NULL)
        return false;
    for (const struct pending *p = w->buckets[hash % WAITING_BUCKETS]; p != NULL; p = p->next)
        if (p->hash == hash && p->from.conn == NULL && p->from.port == from->port && p->from.fd == from->fd
            && bytes_equal(peer_bytes(&p->from.client), peer_bytes(&from->client)) && bytes_equal(p->msg, msg))
            return true;
    return false;
}

void pending_free(struct pending *p)
{
    change_release(&p->change);
    seal_release(&p->seal);
    arena_release(&p->arena);
    free(p);
}

static struct pending *pending_new(struct waiting *w, struct bytes msg, const struct asker *from, uint64_t hash)
{
    struct pending *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->of = w;
    p->from = *from;
    p->datagram = from->conn == NULL;
    p->hash = hash;
    arena_init(&p->arena);
    p->msg = arena_copy(&p->arena, msg);
    if (p->msg.ptr == NULL) {
        arena_release(&p->arena);
        free(p);
        return NULL;
    }
    change_init(&p->change, CHANGE_EDIT, bytes_of("", 1));
    return p;
}

MUST_USE enum err waiting_new(struct waiting *w, struct bytes msg, const struct asker *from, struct pending **out)
{
    uint64_t hash = hash_of(from, msg);
    *out = NULL;
    if (asked_twice(w, from, msg, hash))
        return ERR_EXISTS;
    *out = pending_new(w, msg, from, hash);
    return *out != NULL ? OK : ERR_NOMEM;
}

/* --- told ------------------------------------------------------------------------------------------------------------------ */
/* The reply to a datagram whose change went well asks for one send: waking our thread takes longer. 0: it is our thread's. */
static size_t reply_now(struct pending *p, struct asker *to, uint8_t *out)
{
    if (!p->datagram || update_rcode(&p->update, &p->change.result) != RCODE_NOERROR)
        return 0;
    *to = p->from;
    return update_reply_put(&p->update, RCODE_NOERROR, &p->seal, out);
}

/* In the writing thread, or in ours when the changer ends. Sent last: by then the same message, asked again, is a new one. */
static void on_told(void *arg, struct change *c)
{
    struct pending *p = arg;
    struct waiting *w = p->of;
    struct asker to;
    uint8_t out[SHORT_MAX];
    uint64_t one = 1;
    (void)c;
    size_t n = reply_now(p, &to, out);
    p->replied = n > 0;
    (void)pthread_mutex_lock(&w->lock);
    bool ring = n == 0 && !w->rung;
    w->rung |= ring;
    p->told = NULL;
    *w->told_last = p;
    w->told_last = &p->told;
    (void)pthread_mutex_unlock(&w->lock);           /* p may be gone */
    if (n > 0)
        w->o->reply(w->o->arg, &to, bytes_of(out, n));
    if (ring && write(w->o->bell_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_error("core.dns", "err=\"cannot wake the thread\"");
}

struct pending *waiting_told(struct waiting *w, bool all)
{
    struct pending *p = NULL;
    (void)pthread_mutex_lock(&w->lock);
    if (all || !w->rung) {
        p = w->told;
        w->told = NULL;
        w->told_last = &w->told;
        w->rung = false;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return p;
}

/* --- all of them ----------------------------------------------------------------------------------------------------------- */
bool waiting_has_room(const struct waiting *w, const struct pending *p)
{
    return stat_get(&w->n) < DESK_UPDATES_MAX && stat_get(&w->bytes) + p->arena.used <= DESK_BYTES_MAX;
}

static void keep(struct waiting *w, struct pending *p)
{
    struct pending **head = &w->buckets[p->hash % WAITING_BUCKETS];
    p->next = *head;
    if (p->next != NULL)
        p->next->prev = p;
    *head = p;
    stat_set(&w->n, stat_get(&w->n) + 1);
    stat_set(&w->bytes, stat_get(&w->bytes) + p->arena.used + sizeof *p);
}

void waiting_put(struct waiting *w, struct pending *p)
{
    p->change.apex = p->update.zone;
    p->change.plan = update_plan;
    p->change.arg = &p->update;
    p->change.told = on_told;
    p->change.told_arg = p;
    keep(w, p);
    changer_put(w->o->changer, &p->change);
}

void waiting_end(struct waiting *w, struct pending *p)
{
    *(p->prev != NULL ? &p->prev->next : &w->buckets[p->hash % WAITING_BUCKETS]) = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    stat_set(&w->n, stat_get(&w->n) - 1);
    stat_set(&w->bytes, stat_get(&w->bytes) - p->arena.used - sizeof *p);
}

void waiting_forget(struct waiting *w, const void *conn)
{
    for (size_t i = 0; i < WAITING_BUCKETS; i++)
        for (struct pending *p = w->buckets[i]; p != NULL; p = p->next)
            if (p->from.conn == conn)
                p->from.conn = NULL;            /* its fd is -1: nobody gets the reply */
}
