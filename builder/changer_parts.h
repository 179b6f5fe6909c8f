/* What the files of the changer share. Everything here belongs to the writing thread, which holds `work` while it is in here (so
 * that who stops the changer knows whether it is), but what stands under the lock.
 *
 *     changer.c        waiting changes, lanes, rounds; start and end
 *     changer_group.c  a group: plans, builds, commits, results
 *     changer_state.c  secondaries that expire
 *     changer_stats.c  metrics
 *     changer_start.c  what the outbox still has: at the start, and behind a failure between source and store
 *     changer_ahead.c  the records' share in what goes ahead of the log
 *     changer_tidy.c   events that are done and old rows, dropped
 *     changer_hold.c   what stays open behind a group, in the records and in the log, and when it ends
 *
 *     waiting ─► lanes, one per zone, in order of arrival ─► a group: the next of many lanes ─► group_run
 *                     └► a whole zone's turn: full_put; the lane is held until full.h says that the zone is idle */
#ifndef AZOTH_BUILDER_CHANGER_PARTS_H
#define AZOTH_BUILDER_CHANGER_PARTS_H

#include "base/stat.h"
#include "builder/draft.h"
#include "builder/full.h"
#include "builder/near.h"
#include "builder/queue.h"
#include "replicator/commit.h"

#include <pthread.h>
#include <stdatomic.h>

#define GROUP_CHANGES 1024                      /* in one sync; the rest goes with the next */
#define GROUP_BYTES ((size_t)8 << 20)           /* of rows that are set, about; one change may be larger */
#define GROUP_SIZES 11                          /* groups of 1, 2, 3-4, 5-8 ... 513-1024 changes */
#define BUILD_STEPS 12                          /* groups by time: 0.25, 0.5, 1 ... 256 ms, more */
#define LANES 1024                              /* buckets of the table; the lists in them are short */

struct lane {
    struct lane *next;                          /* in its bucket */
    struct lane *ready_next;
    struct name apex;                           /* lower case */
    struct change *first, **last;
    bool ready;                                 /* in the list of those whose turn comes */
    bool held;                                  /* full.h is at work on the zone */
    enum err failed;                            /* its rebuild did, so the store is not what the rows say: no edit is built on it */
};

struct changer_stats {
    stat_count done, unchanged, refused, failed, unknown;       /* changes, by how they ended */
    stat_count dry;                                             /* of those, dry runs */
    stat_count groups[GROUP_SIZES], grouped;
    stat_count builds[BUILD_STEPS], builds_us;                  /* groups, by what they took without their syncs */
    stat_count replays, rebuilds;                               /* events built again; zones rebuilt at the start */
    stat_count events, oldest_ms;                               /* not in the store; since (monotonic), 0: none */
};

struct changer {
    struct changer_options o;
    struct full_options full_options;
    struct full *full;
    struct view *view;
    struct near near;
    struct lane *lane[LANES];
    struct lane *ready, **ready_last;
    size_t held;                                /* lanes */
    uint64_t *done; size_t done_n, done_cap;    /* events that the store has, not dropped from the outbox yet */
    struct settings_kept settings;              /* of the zone that was changed last */
    struct source_mark mark;                    /* what the newest done change led to */
    bool unsettled;                             /* the outbox may hold what the store does not have */
    atomic_bool whole_unknown;                  /* so does a whole zone: any thread says so */
    bool started;
    bool quiet;                                 /* what is being committed: changer_is_quiet */
    bool mark_due;                              /* it is not in the source yet */
    struct { size_t waiting; struct name last; bool more, failed; } rebuild;   /* of all zones, some at a time; last: of those that stand in their lanes */
    struct change *again;                       /* rebuilds that the machine failed: tried anew now and then, and before an edit */
    bool again_waits;                           /* a job */
    bool sweep;                                 /* there may be rows of zones that are gone */
    bool tidy_waits;                            /* a job */
    bool checkpoint_waits, checkpoint_failed;   /* a job; the newest one did */
    bool hold_waits;                            /* a job */
    struct changer_stats stats;
    pthread_mutex_t work;                       /* recursive: full.h may call back at once */
    pthread_mutex_t lock;                       /* of what follows */
    struct change *first, **last;               /* waiting, in order of arrival */
    bool queued;                                /* a job of ours is in the queue, or running */
    bool stopped;
};

/* --- changer.c ------------------------------------------------------------------------------------------------------ */
void changer_tell(struct changer *ch, struct change *c);
void changer_end(struct change *c, enum change_end end, enum err err, const struct fault *fault);
/* Into its lane, behind all others or before them. */
void changer_line_up(struct changer *ch, struct change *c, bool first);
/* --- changer_tidy.c --------------------------------------------------------------------------------------------------- */
/* These events are in the store, up to that transaction. ERR_NOMEM: they stay, and are built again at the next start. */
MUST_USE enum err changer_done(struct changer *ch, const uint64_t *events, size_t n);
/* Drops them in t, and puts the mark there. Behind its commit: changer_dropped. */
MUST_USE enum err changer_drop(struct changer *ch, struct source_txn *t, struct fault *fault);
void changer_dropped(struct changer *ch, size_t n);
/* The same now, in a transaction of its own, with some rows of zones that are gone. */
MUST_USE enum err changer_tidy(struct changer *ch, bool *left, struct fault *fault);
/* A job that does it, soon. */
void changer_tidy_soon(struct changer *ch, uint64_t delay_ms);
/* --- changer.c, again ------------------------------------------------------------------------------------------------ */
/* A job that tries again what could not be built. */
void changer_again_soon(struct changer *ch);
struct source_mark changer_place(struct changer *ch);       /* of the newest transaction */

/* All zones are rebuilt that the start found behind: until then the source's mark stays as it is. */
static inline bool changer_is_level(const struct changer *ch)
{
    return ch->rebuild.waiting == 0 && !ch->rebuild.more && !ch->rebuild.failed && ch->again == NULL;
}
/* There is something to do, unless a job of ours waits already. Any thread. */
void changer_wake(struct changer *ch);

/* --- changer_group.c -------------------------------------------------------------------------------------------------- */
/* Runs and tells them. Changes of one zone stand side by side. Zones are not nested in one another. */
void group_run(struct changer *ch, struct change **v, size_t n);
void group_dry(struct changer *ch, struct change *c);
/* May b be built together with a, of the same zone? */
bool group_shares(const struct change *a, const struct change *b);

/* --- changer_state.c ------------------------------------------------------------------------------------------------- */
/* A CHANGE_STATE, in a flush of its own. */
void changer_state(struct changer *ch, struct change *c);

/* --- changer_ahead.c -------------------------------------------------------------------------------------------------- */
/* The source gets what the log holds of changes and it lacks (source_again): at the start, before anybody writes to it, and behind a
 * failure. */
MUST_USE enum err changer_catch_up(const struct changer_options *o, struct fault *fault);
/* In the writing thread, behind a commit: a job that settles source, log and data, so that the room of what went ahead of the log is
 * free again. */
void changer_checkpoint_soon(void *changer);

/* --- changer_hold.c --------------------------------------------------------------------------------------------------- */
void changer_hold_open(struct changer *ch);
void changer_hold_stop(struct changer *ch);         /* nothing more is held, and the queue is not asked for the end of what is; any thread */
void changer_hold_close(struct changer *ch);        /* the queue is closed: nothing is held */
/* In the writing thread: something may be held now. */
void changer_held(void *changer);
/* Behind a group: had it to be aborted, what was held may have gone with it, and comes back. */
void changer_hold_lost(struct changer *ch);

/* --- changer_start.c -------------------------------------------------------------------------------------------------- */
/* Rebuilds that failed stand in their lanes anew, before all else; of one zone only (empty: of all). */
void changer_again(struct changer *ch, struct bytes apex);
/* None of them is tried any more. */
void changer_again_drop(struct changer *ch);
/* Makes the store say what the outbox asks for. OK: it does, or whole zones stand in their lanes that will. */
MUST_USE enum err changer_settle(struct changer *ch, struct fault *fault);
/* The same for all zones with rows, where the store is not behind the source's newest change. */
MUST_USE enum err changer_start(struct changer *ch, struct fault *fault);

#endif
