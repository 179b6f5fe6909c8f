/* A change to a zone: the one way in for the API, PowerDNS's API, UPDATE, roll-backs and transfers.
 *
 *     any thread: changer_put ─┬─► EDIT: waiting ─► one job of the queue, a group at a time (changer.c)
 *                              │       source txn ─► each: plan(draft) ─► guards ─► rows, events ─► patch_build, serial
 *                              │       ─► stage, journal ─► commit_ahead ─► commit_flush ─► source_commit_soft ─► told
 *                              └─► whole zones: full.h, a thread beside; the zone's edits wait for it
 *
 * A plan says what the zone is to be, given what it is: it is called in the writing thread, reads through the draft and
 * sets rows in it. It may be called again on another draft (when the group has to be taken apart), so it leaves nothing
 * behind but what it put into its arg, anew each time. Changes of one zone are made in the order in which they were put;
 * a change that is refused leaves no trace. The result is there when the change is durable in records, log and store.
 *
 * In a zone without rows (secondary: transfers) a draft reads and sets what the store holds. */
#ifndef AZOTH_BUILDER_CHANGE_H
#define AZOTH_BUILDER_CHANGE_H

#include "builder/difference.h"
#include "builder/journal.h"
#include "builder/settings.h"
#include "builder/source.h"
#include "builder/zone.h"

/* --- drafts: what a plan sees and says -------------------------------------------------------------------------------- */
struct draft;
struct bytes draft_apex(const struct draft *d);
const struct zone_settings *draft_settings(const struct draft *d);
uint32_t draft_serial(const struct draft *d);               /* of the SOA that is live; 0: none */
uint64_t draft_now_s(const struct draft *d);                /* Unix time */
/* The row behind all that was set, by this plan and by earlier changes; disabled records and comments included. Borrowed until the plan
 * ends. ERR_NOTFOUND. */
MUST_USE enum err draft_row(struct draft *d, struct bytes owner, uint16_t type, uint16_t covers, struct row *out,
                            struct fault *fault);
MUST_USE enum err draft_owner(struct draft *d, struct bytes owner, const struct row **out, size_t *n, struct fault *fault);
/* From now on the row is this one; n and comments_n 0: there is none. modified_s is seen to. Copied. Doubles among the records are
 * dropped. ERR_REFUSED: owner is not in the zone, a type that no zone holds (0, 41, 128 .. 255 but for those that are data). */
MUST_USE enum err draft_set(struct draft *d, const struct row *row, struct fault *fault);
/* The settings are these; their strings are copied. kind cannot change (ERR_REFUSED). */
MUST_USE enum err draft_settings_set(struct draft *d, const struct zone_settings *s, struct fault *fault);
/* Memory that lives as long as the draft. */
struct arena *draft_arena(struct draft *d);

/* --- changes ---------------------------------------------------------------------------------------------------------- */
enum change_kind {
    CHANGE_EDIT,            /* plan, on a zone that is there; cost independent of its size */
    CHANGE_CREATE,          /* settings and whole (may be NULL: a zone without data, SERVFAIL): ERR_EXISTS when there is one */
    CHANGE_WHOLE,           /* the zone's records are `whole` now; comments and disabled records go */
    CHANGE_REBUILD,         /* the store is made to say what the rows say, or a zone without rows is laid out anew */
    CHANGE_NATIVE,          /* a secondary is native from now on, with the records that it has, and settle's settings; what is native has only those */
    CHANGE_STATE,           /* of a secondary that has data: `state`, ZONE_LIVE or ZONE_EXPIRED (SERVFAIL), nothing else */
    CHANGE_REMOVE,          /* zone, rows and settings go; of any kind but those that core.zones names */
};
enum change_end {
    CHANGE_DONE,            /* durable; or there was nothing to do (changed false) */
    CHANGE_REFUSED,         /* the plan, a guard or a condition says no: err, fault, complaints; nothing done */
    CHANGE_FAILED,          /* the machine: err (ERR_FULL, ERR_STORE, ERR_NOMEM, ERR_NOTNOW: ending) and fault; nothing done */
    CHANGE_UNKNOWN,         /* failed between records and store, or log and data: it will be made or not; the next start or
                             * the next change decides */
};
struct change_result {
    enum change_end end;
    enum err err;           /* of CHANGE_REFUSED: ERR_NOTFOUND no such zone; ERR_EXISTS; ERR_REFUSED a guard or plan; ERR_NOTNOW
                             * the zone's kind does not allow it; ERR_STALE: if_serial; what plan gave */
    struct fault fault;
    bool changed;
    uint64_t epoch, seq;    /* of the transaction; unchanged: of the newest one */
    uint32_t serial;        /* of the zone behind it */
    struct complaints complaints;
    struct difference difference;       /* when wanted; dry_run: what would change */
};
struct change;
typedef enum err change_plan_fn(void *arg, struct draft *d, struct fault *fault);
typedef void change_told_fn(void *arg, struct change *c);
/* Edits the settings; strings into a. In any thread; once or more, each time on those that are there. What s refers to is shared: replaced,
 * not written into. */
typedef enum err change_settle_fn(void *arg, struct zone_settings *s, struct arena *a, struct fault *fault);
struct change {
    enum change_kind kind;
    struct name apex;                   /* any case */
    struct author author;
    bool force, dry_run, want_difference;
    bool has_if_serial; uint32_t if_serial;         /* only when the live SOA's serial is this one */
    change_plan_fn *plan; void *arg;    /* CHANGE_EDIT */
    change_settle_fn *settle;           /* CHANGE_NATIVE, with arg; NULL: the others stay. It does not change the kind */
    enum zone_state state;              /* CHANGE_STATE */
    struct zone *whole;                 /* CREATE, WHOLE: borrowed until told; its records' lines are for complaints */
    struct bytes settings;              /* CREATE: text of settings.h; borrowed until told */
    change_told_fn *told; void *told_arg;           /* in the writing thread or that of full builds; exactly once */
    struct change_result result;        /* change_release ends it */
    struct change *next;                /* for lists of whoever holds it */
};
void change_init(struct change *c, enum change_kind kind, struct bytes apex);
void change_release(struct change *c);

#define CHANGE_DIFFERENCE_MOST 10000    /* RRsets of a difference that are kept */

/* --- the changer ------------------------------------------------------------------------------------------------------ */
struct queue;
struct changer_options {
    struct source *source;
    struct store *store;
    struct committer *committer;        /* used in the writing thread only */
    struct queue *queue;
    /* Does core.zones name this zone? Any thread; may be NULL: none. */
    bool (*is_configured)(void *arg, struct bytes apex);
    void *configured_arg;
};
struct changer;
/* Starts by making the store say what pending events ask for, in a job of its own. */
MUST_USE enum err changer_open(struct changer **out, const struct changer_options *o, struct fault *fault);
/* Taken until told, which always comes. Any thread. */
void changer_put(struct changer *ch, struct change *c);
/* Those that wait are told CHANGE_FAILED with ERR_NOTNOW, and so are all that come later. */
void changer_stop(struct changer *ch);
void changer_close(struct changer *ch);             /* after queue_close; NULL is fine */
/* In the writing thread, behind a new generation of the store: lets go of the old one. */
void changer_upkeep(struct changer *ch);
/* In the writing thread, while it commits: edits alone, of zones that notify nobody. NULL is fine. */
bool changer_is_quiet(const struct changer *ch);
/* Events that the store does not have yet; the age of the oldest. Any thread. */
struct changer_lag { uint64_t events, oldest_ms; };
struct changer_lag changer_lag(const struct changer *ch);
struct stat_page;
void changer_metrics(const struct changer *ch, struct stat_page *p);

#endif
