/* Drafts from inside (change.h is what plans see): one zone as the changes of a group leave it, in memory until all of them
 * are known to be good.
 *
 *     draft_open ─► { plan ─► draft_guard ─► keep, or draft_undo } ... ─► draft_build ─► ops      (serial moved once)
 *                                                                        draft_store ─► rows, settings, events
 *
 * Sets are a list; an RRset's newest one counts, so that taking a plan back is cutting the list. */
#ifndef AZOTH_BUILDER_DRAFT_H
#define AZOTH_BUILDER_DRAFT_H

#include "builder/change.h"
#include "builder/patch.h"
#include "builder/secret_hash.h"
#include "builder/settings_kept.h"

#define DRAFT_NONE SIZE_MAX

struct draft_set {
    struct row before, after;       /* in the draft's arena, or borrowed from the source's transaction */
    uint32_t hash, set_hash;        /* of the owner; of the RRset */
    size_t next, next_set;          /* the set before it in the same bucket */
    size_t hides, first;            /* of the same RRset: the set before it (or DRAFT_NONE), and the oldest */
};
struct draft_with {                 /* all borrowed until draft_close */
    struct source_txn *txn;
    struct view *view;              /* begun */
    uint64_t now_s;
    enum author_via via;
    struct settings_kept *kept;     /* NULL: none */
};
struct draft {
    struct draft_with with;
    struct name apex;               /* lower case */
    struct zone_row row;
    struct zone_settings settings;  /* as they are now */
    bool borrows;                   /* from with.kept */
    struct bytes settings_text;     /* to be stored; ptr NULL: as they were */
    bool has_rows;                  /* native */
    bool live;                      /* the store has data of it */
    bool expired;                   /* it has data that nothing is to be read from */
    bool gone;                      /* not in the store at all */
    uint32_t serial;                /* live */
    uint32_t serial_after;          /* behind draft_build */
    struct patch *patch;            /* NULL until it is needed */
    struct draft_set *set;
    size_t n, cap, bytes;           /* bytes: of what was set, about */
    size_t *bucket, buckets;        /* by owner: the newest set */
    size_t *set_bucket;             /* by RRset, as many */
    uint64_t trace;                 /* number in the history of settings, behind draft_store; 0: they did not move */
    struct secret_hash secret;
    uint64_t *event; size_t events; /* numbers, behind draft_store; in the arena */
    struct arena arena;
};

/* ERR_NOTFOUND: no such zone. ERR_NOTNOW: of kind file. */
MUST_USE enum err draft_open(struct draft **out, struct bytes apex, const struct draft_with *with, struct fault *fault);
void draft_close(struct draft *d);                          /* NULL is fine */

/* Where the next plan begins, and back to there. */
struct draft_mark { size_t n; struct bytes settings_text; };
struct draft_mark draft_mark(const struct draft *d);
MUST_USE enum err draft_undo(struct draft *d, struct draft_mark mark);
static inline bool draft_moved(const struct draft *d, struct draft_mark mark)
{
    return d->n > mark.n || d->settings_text.ptr != mark.settings_text.ptr;
}
/* What the owners touched since the mark must not be: errors to c. */
MUST_USE enum err draft_guard(struct draft *d, struct draft_mark mark, struct complaints *c, struct fault *fault);

/* The same for what is no fault but seldom meant (targets.h): warnings (draft_warn.c). */
MUST_USE enum err draft_warn(struct draft *d, struct draft_mark mark, struct complaints *c, struct fault *fault);

/* The newest set of an RRset; NULL: none. */
const struct draft_set *draft_find(const struct draft *d, struct bytes owner, uint16_t type, uint16_t covers);
static inline bool draft_is_newest(const struct draft *d, const struct draft_set *s)
{
    return draft_find(d, s->after.owner, s->after.type, s->after.covers) == s;
}
bool draft_is_newest_of_owner(const struct draft *d, size_t i);
/* draft_set, whatever may be set in such a zone. */
MUST_USE enum err draft_put(struct draft *d, const struct row *row, struct fault *fault);
/* What of a row is published: enabled records. n 0: nothing. In the draft's arena. */
MUST_USE enum err draft_published(struct draft *d, const struct row *row, struct patch_rrset *out);

/* --- draft_build.c ------------------------------------------------------------------------------------------------ */
/* Moves the serial when something that is published changes, and gives the difference to the store. n 0: none. Errors as
 * patch_build. */
struct draft_build { bool force; struct crew *crew; };
MUST_USE enum err draft_build(struct draft *d, const struct draft_build *how, struct complaints *c, struct op_list *out,
                              struct fault *fault);
/* Rows, settings and one event for each RRset that changes, into the transaction. */
MUST_USE enum err draft_store(struct draft *d, const struct author *author, bool force, struct fault *fault);
/* In another transaction: rows and settings as they were, without the events. */
MUST_USE enum err draft_put_back(struct draft *d, struct source_txn *txn, struct fault *fault);
/* The same RRset: TTL and records, in any order. Both as of draft_published. */
bool patch_rrset_same(const struct patch_rrset *a, const struct patch_rrset *b);

#endif
