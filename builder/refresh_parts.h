/* Inside refresh*.c only. refresh.c: what happens when; refresh_book.c: zones by name, timers, primaries and their lines;
 * refresh_kept.c: what is remembered, as bytes. */
#ifndef AZOTH_BUILDER_REFRESH_PARTS_H
#define AZOTH_BUILDER_REFRESH_PARTS_H

#include "builder/refresh.h"
#include "builder/secret_hash.h"

#define NEVER UINT64_MAX

struct rzone;
struct links { struct rzone *prev, *next; };
struct line { struct rzone *first, *last; size_t n; };

enum { LINE_SOA, LINE_TRANSFER, LINES };
struct primary {
    uint32_t number;
    unsigned failures;                  /* times in a row that it was silent */
    uint64_t until_ms;                  /* left alone until then */
    unsigned running[LINES];
    struct line line[LINES];
    struct primary *prev, *next;        /* in the ring of those with somebody in line */
};

enum rstate { ASLEEP, IN_LINE, RUNNING };
struct rzone {
    struct rzone *next;                 /* of its bucket */
    struct links lined, stated;         /* in a primary's line; among those whose state is to change */
    struct primary **primaries;
    uint64_t next_ms, expires_ms;       /* the next question, when ASLEEP; NEVER: no data to expire */
    uint64_t not_before_ms;             /* for NOTIFY */
    uint64_t state_after_ms;            /* a change of state failed: not again before */
    uint64_t ticket, state_ticket;
    uint64_t checked_s, transferred_s;
    struct refresh_timers t;            /* within the bounds */
    uint32_t serial, again_serial;
    uint32_t heap_at;
    uint32_t rounds, failures;
    uint8_t n, at, tried;
    uint8_t state, line;
    bool has_data, shown_expired, state_lined, state_running;
    bool late;                          /* overdue when it came here, as all others then */
    bool hinted;                        /* ask primaries[at], whatever is thought of it */
    bool said_no;                       /* some primary of this round did */
    bool axfr, running_axfr;
    bool again, again_has_serial;
    uint8_t apex_len;
    uint8_t apex[];                     /* lower case */
};

struct refresh {
    struct refresh_limits l;
    uint64_t random;
    uint64_t tickets;
    struct rzone **buckets; size_t buckets_n, zones_n;
    struct secret_hash secret;          /* a catalog says which zones there are */
    struct rzone **heap; size_t heap_n, heap_cap;
    struct primary **primaries; size_t primaries_cap, primaries_n;
    struct primary *ring;
    struct line states; unsigned states_running;
    unsigned running[LINES];
    size_t expired, waiting, again, bytes;
};

/* --- zones by name --------------------------------------------------------------------------------------------------- */
struct rzone *book_find(const struct refresh *r, struct bytes apex);
MUST_USE enum err book_add(struct refresh *r, struct bytes apex, struct rzone **out);       /* ASLEEP, due never */
void book_drop(struct refresh *r, struct rzone *z);        /* in no line any more; frees it */
static inline struct bytes rzone_apex(const struct rzone *z) { return bytes_of(z->apex, z->apex_len); }

/* --- timers ---------------------------------------------------------------------------------------------------------- */
uint64_t rzone_due(const struct rzone *z);
void heap_moved(struct refresh *r, struct rzone *z);       /* behind every change to what rzone_due looks at */

/* --- primaries and lines --------------------------------------------------------------------------------------------- */
MUST_USE enum err primary_get(struct refresh *r, uint32_t number, struct primary **out);
void line_join(struct refresh *r, struct rzone *z, unsigned which);         /* behind all others at primaries[at] */
void line_leave(struct refresh *r, struct rzone *z);
void line_first(struct rzone *z);                                           /* before all others in its line */
void states_join(struct refresh *r, struct rzone *z);
void states_leave(struct refresh *r, struct rzone *z);

#endif
