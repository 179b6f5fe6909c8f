/* Serves snapshots to nodes that must start over. One file is made from one view at full speed, in a thread of its own, and
 * served to everybody who asks while it is recent enough; then the next one is made when somebody asks.
 *
 *     manifest request ─► recent enough? piece of it : making one (REPLY_LATER, when to come back)
 *     chunk request    ─► lease? rate? ─► pread ─► chunk        else REPLY_LATER; REPLY_GONE when it is not kept any more
 *
 * Recent enough: at or above the position asked for, of our epoch, and our log goes on from it. A node that asks holds one
 * of a few leases until it has all, or has not got on for SNAPSERVE_LEASE_MS; the others are told when to come back, in
 * turn (snaplease.h). All leases share SNAPSERVE_RATE. The file has no name: nothing is left behind by a crash
 * (snapmake.h). A snapshot is not begun, and given up, when the disk is fuller than 85 %.
 * The one before is kept while leases copy it, for SNAPSERVE_OLD_MS at most when a third is wanted.
 * The loop's thread, but for the making. */
#ifndef AZOTH_REPLICATOR_SNAPSERVE_H
#define AZOTH_REPLICATOR_SNAPSERVE_H

#include "base/stat.h"
#include "replicator/message.h"
#include "store/snapshot.h"

#define SNAPSERVE_LEASES 4
#define SNAPSERVE_LEASES_MAX 64
#define SNAPSERVE_LEASE_MS 15000        /* a node asks again after 10 s without a reply */
#define SNAPSERVE_RATE ((uint64_t)200 << 20)            /* bytes a second; 0 in the options: this */
#define SNAPSERVE_RATE_MIN ((uint64_t)64 << 10)
#define SNAPSERVE_RETRY_MS 5000         /* after one could not be made */
#define SNAPSERVE_REST 3                /* between two makings, so many times as long as the last one took */
#define SNAPSERVE_KEEP_MS 600000        /* a file that nobody asked for is dropped */
#define SNAPSERVE_NEED_MS 30000         /* behind its last chunk a node has so long to load it and to ask for the log */
#define SNAPSERVE_OLD_MS 600000

struct snapserve;
struct snapserve_options {
    struct store *store;
    enum store_role role;
    uint64_t rate;
    unsigned leases;                    /* 0: SNAPSERVE_LEASES */
    bool (*room)(void *arg, const char *dir);           /* NULL: that of snapmake.h */
    void *room_arg;
};
MUST_USE enum err snapserve_open(struct snapserve **out, const struct snapserve_options *o, struct fault *fault);
void snapserve_close(struct snapserve *s);              /* ends the making too; NULL is fine */
/* q: of type MESSAGE_MANIFEST or MESSAGE_CHUNK; node: who asks, known to be listed. Writes the whole reply: at most
 * REPLY_MAX - SEAL_EXTRA bytes. first: of the log that is served (0: empty), last: what may be told. */
void snapserve_answer(struct snapserve *s, struct bytes node, const struct request *q, uint64_t first, uint64_t last,
                      uint64_t now_ms, struct wr *reply);
/* Whoever copies now goes on with the log from this seq on; 0: nobody does. Any thread. */
uint64_t snapserve_needs(const struct snapserve *s);
/* Lets go of what nobody asks for any more. Now and then. */
void snapserve_tick(struct snapserve *s, uint64_t now_ms);
void snapserve_metrics(const struct snapserve *s, struct stat_page *page);

#endif
