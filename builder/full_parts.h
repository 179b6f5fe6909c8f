/* What the files of full.h share. */
#ifndef AZOTH_BUILDER_FULL_PARTS_H
#define AZOTH_BUILDER_FULL_PARTS_H

#include "base/stat.h"
#include "builder/around.h"
#include "builder/full.h"

#include <pthread.h>
#include <stdatomic.h>

#define FULL_THREADS 2              /* so that a small zone does not wait for a large one */
#define FULL_AT_WORK 4              /* builds that are prepared or wait for their last job: each holds a zone in memory */
#define FULL_TRIES 3                /* that zones above or below may spoil, before the writing thread builds by itself */
#define FULL_PLACES 1024u           /* slots of the table of zones */

/* One build: a change, and those that joined it. */
struct build {
    struct build *next;
    struct full *full;
    struct change *first, **last;   /* all are told its result */
    struct name apex;               /* lower case */
    unsigned tries;
    bool prepared, rows_written;
    /* what it is about */
    struct arena arena;
    bool has_row;                   /* a zone row, as it was at the start: */
    uint64_t old_id;
    struct bytes old_settings;
    struct zone_settings settings;  /* as they are to be */
    bool promotes;                  /* CHANGE_NATIVE of a secondary */
    struct bytes new_settings;      /* CHANGE_NATIVE: of its row; ptr NULL: those of before */
    bool has_kept; struct refresh_kept kept;    /* what was known of it as a secondary, should it have to be put back */
    enum zone_kind kind;
    struct zone_header header;      /* before; its bytes are not kept. state 0: there was none */
    bool has_serial; uint32_t serial_before, serial;
    struct zone *zone;              /* what it is to hold: the change's, or `own`; NULL: nothing (empty, removed) */
    struct zone own;
    struct op_list ops;
    struct around around;
    uint8_t header_hash[32];        /* of the zone's header, as it was for the ops */
    struct view *view;
    /* what is done about rows */
    uint64_t trace;                 /* number in the history of settings; 0: none */
    uint64_t fresh_id;              /* 0: none yet */
    size_t rows_at;                 /* records of zone that have their rows */
};

struct full_place {                 /* of a zone that has builds */
    struct full_place *next, *ready_next;
    struct name apex;
    struct build *first, **last;
    bool at_work;                   /* first is */
};

struct full_stats { stat_count done, refused, failed, joined, again, in_writer, last_ms; };     /* written under lock, or by the writing thread */
struct full {
    const struct changer_options *with;
    void (*idle)(void *arg, struct bytes apex);
    void *arg;
    pthread_mutex_t lock;           /* of what follows */
    pthread_cond_t wake;
    struct full_place *slot[FULL_PLACES];
    struct full_place *ready, **ready_last;     /* with a build that nobody has begun */
    size_t waiting, at_work;        /* builds */
    struct full_stats stats;
    bool stopped;
    atomic_bool stop;               /* the same, for those at work */
    /* of the writing thread */
    uint64_t *done; size_t done_n, done_cap;    /* events whose zones are in the store: dropped with the next transaction */
    unsigned threads;
    pthread_t thread[FULL_THREADS];
};

/* --- full.c ------------------------------------------------------------------------------------------------------- */
/* In the writing thread: back to the builders, because a neighbour moved. */
void full_again(struct full *f, struct build *b);
/* In the writing thread: all are told, the zone's next build begins. */
void full_end(struct full *f, struct build *b);
static inline struct change *build_change(const struct build *b) { return b->first; }
static inline struct change_result *build_result(const struct build *b) { return &b->first->result; }
/* How it ended; gives err. */
enum err build_refuse(struct build *b, enum err err, const char *format, ...) __attribute__((format(printf, 3, 4)));
enum err build_fail(struct build *b, enum err err, const struct fault *fault);

/* --- full_prepare.c: in a thread of its own, or again in the writing one -------------------------------------------- */
/* What is asked for can be done, and how: the result says no otherwise. */
MUST_USE enum err build_prepare(struct build *b);
/* The zone itself moves only when what nobody knew of comes true. view: begun. */
MUST_USE enum err build_header_hash(const struct build *b, uint8_t out[32], struct fault *fault);
/* The ops on the view's newest state. view: begun. */
MUST_USE enum err build_ops(struct build *b);
/* Nothing is to be committed: a dry run, or there is nothing to do. */
bool build_is_idle(const struct build *b);

/* --- full_rows.c ---------------------------------------------------------------------------------------------------- */
/* Does it write rows under a fresh id? */
bool build_has_rows(const struct build *b);
/* The zone's rows that are published, as records. */
MUST_USE enum err rows_read(struct source_txn *t, uint64_t id, struct zone *out, struct fault *fault);
/* Some rows have comments or disabled records. */
MUST_USE enum err rows_have_extras(struct build *b, bool *out, struct fault *fault);
/* A piece of the rows under the fresh id, which it takes; until `until_us` on the monotonic clock. */
MUST_USE enum err rows_write(struct build *b, struct source_txn *t, uint64_t until_us, struct fault *fault);
/* All of them, in transactions of their own, unless they are so few that the last job may write them. */
MUST_USE enum err rows_write_ahead(struct build *b, struct fault *fault);

/* --- full_commit.c: in the writing thread --------------------------------------------------------------------------- */
void build_commit(struct build *b);
/* What was written under a fresh id for nothing may be swept. */
void build_drop_rows(struct build *b);
/* Events that are done leave the outbox. */
MUST_USE enum err full_drop_events(struct full *f, struct source_txn *t, struct fault *fault);

#endif
