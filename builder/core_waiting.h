/* UPDATEs whose change is being made, from their message to their reply.
 *
 *     waiting_new ─► [judged: core_desk.c] ─► waiting_put ─► changer ─► [writing thread] ─┬─► o->reply, of a datagram whose change went well
 *                                                                                         └─► told ─► bell ─► waiting_told ─► waiting_end
 *
 * All but the changer's word is the desk's thread's. */
#ifndef AZOTH_BUILDER_CORE_WAITING_H
#define AZOTH_BUILDER_CORE_WAITING_H

#include "base/arena.h"
#include "builder/core_desk.h"
#include "builder/policies.h"
#include "builder/seal.h"
#include "builder/update.h"

#include <pthread.h>

#define WAITING_BUCKETS 256

struct pending {
    struct waiting *of;
    struct asker from;
    struct change change;
    struct update update;
    struct seal seal;
    struct arena arena;                 /* the message and what was read of it */
    struct bytes msg;
    struct policy_zone zone;            /* apex alone: rights ask for it */
    uint64_t hash;
    struct pending *prev, *next;        /* of its bucket */
    struct pending *told;               /* the next one that was told */
    bool datagram;                      /* it came as one; from.conn is our thread's to look at */
    bool replied;                       /* by who told it */
};

struct waiting {
    const struct desk_options *o;
    stat_count n, bytes;
    struct pending *buckets[WAITING_BUCKETS];
    pthread_mutex_t lock;               /* of what follows */
    struct pending *told, **told_last;
    bool rung;                          /* for some of them, which have no reply yet */
};

void waiting_init(struct waiting *w, const struct desk_options *o);     /* o: borrowed until waiting_release */
void waiting_release(struct waiting *w);
/* *out: NULL behind any error. ERR_EXISTS: the same message, of the same client, over the same socket, waits already. */
MUST_USE enum err waiting_new(struct waiting *w, struct bytes msg, const struct asker *from, struct pending **out);
void pending_free(struct pending *p);
bool waiting_has_room(const struct waiting *w, const struct pending *p);
/* It was judged and read: on to the changer, and kept until waiting_end. */
void waiting_put(struct waiting *w, struct pending *p);
/* Those that were told, a list by p->told. all: also those without a reply, for which the bell rang. */
struct pending *waiting_told(struct waiting *w, bool all);
void waiting_end(struct waiting *w, struct pending *p);
/* The connection is gone. */
void waiting_forget(struct waiting *w, const void *conn);

#endif
