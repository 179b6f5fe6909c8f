/* When which secondary zone asks which primary (RFC 1034 section 4.3.5, RFC 1996, RFC 1982): a clock in, to-dos out. Pure.
 *
 *     refresh_next ─► { zone, primary, SOA or transfer } ─► the shell asks ─► refresh_told (current | newer | done | failed | silent)
 *     NOTIFY ─► refresh_notified ─► soon          time ─► refresh_next ─► expire, and revive when a primary was heard again
 *
 *     asleep (its timer in the heap) ─► waiting (in its primary's line) ─► under way ─► asleep
 *
 * Per zone at most one question or transfer is under way, and what arrives meanwhile makes one more wait. SOA first, always;
 * a transfer only when the primary's serial is later. Waits come from the SOA (refresh, retry, expire) within bounds, those for
 * refresh and retry shortened by a random 0 to 10 %; zones that are overdue at a start are spread over a tenth of their refresh
 * time, those that have nothing to answer with are asked for at once. The first wait behind that, or behind failures, is shortened
 * by up to a half: what came together does not stay together. Limits on transfers at once, over all and to one primary.
 *
 * Primaries in turn: one that says no to a zone (refused, malformed, a bad signature) costs that zone its turn there; one that
 * is silent is left alone by all zones for a while that doubles, and then tried with one question, the others waiting in line.
 * When no primary would do, a zone waits for its retry time; when they said no, for one that doubles. */
#ifndef AZOTH_BUILDER_REFRESH_H
#define AZOTH_BUILDER_REFRESH_H

#include "base/err.h"
#include "wire/name.h"

struct refresh_limits {
    uint32_t refresh_min_s, refresh_max_s, retry_min_s, retry_max_s, expire_max_s;      /* 30, 86400, 15, 3600, 2419200 */
    unsigned at_once, at_once_each;     /* transfers; SOA questions are eight times as many */
    uint32_t backoff_max_s;             /* of a primary that is silent: 1, 2, 4 ... */
};
extern const struct refresh_limits refresh_defaults;
struct refresh_timers { uint32_t refresh_s, retry_s, expire_s; };   /* as the SOA says */
/* What is kept over restarts (source.h, source_secondary): Unix times; 0: never. expired: the store was told that the zone is. */
struct refresh_kept { uint64_t checked_s, transferred_s, next_s, expires_s; uint32_t serial; bool expired; };

#define REFRESH_KEPT_BYTES 37
void refresh_kept_write(struct wr *w, const struct refresh_kept *k);
MUST_USE enum err refresh_kept_read(struct rd *r, struct refresh_kept *out);

enum refresh_what { REFRESH_SOA, REFRESH_TRANSFER, REFRESH_EXPIRE, REFRESH_REVIVE };
/* primary: its number, of REFRESH_SOA and REFRESH_TRANSFER. axfr: all of the zone, whatever the serial. */
struct refresh_todo { enum refresh_what what; struct name apex; uint32_t primary; bool axfr; uint64_t ticket; };
enum refresh_outcome {
    REFRESH_CURRENT,        /* the primary has our serial or an older one */
    REFRESH_NEWER,          /* of REFRESH_SOA */
    REFRESH_DONE,           /* of the others */
    REFRESH_FAILED,         /* an answer that will not do; REFRESH_EXPIRE and _REVIVE come again soon */
    REFRESH_SILENT,         /* no connection, no answer in time */
};

struct refresh;
/* l: NULL the defaults; members that are 0 are the defaults too. */
MUST_USE enum err refresh_open(struct refresh **out, const struct refresh_limits *l, uint64_t seed);
void refresh_close(struct refresh *r);
/* A zone that is there, or what changed about it (kept counts for a new one only). primaries: addresses (and keys) as numbers of
 * the caller's below REFRESH_PRIMARIES, small ones, each once, for limits and back-off. t: of its SOA; NULL: not known. kept: NULL
 * never. ERR_LIMIT: a number beyond, or more than REFRESH_PRIMARIES_MAX of them. */
#define REFRESH_PRIMARIES (1u << 20)
#define REFRESH_PRIMARIES_MAX 64
MUST_USE enum err refresh_zone(struct refresh *r, struct bytes apex, const uint32_t *primaries, size_t n, bool has_data,
                               const struct refresh_timers *t, const struct refresh_kept *kept, uint64_t now_ms, uint64_t now_s);
void refresh_zone_gone(struct refresh *r, struct bytes apex);
/* NOTIFY (serial: as it says, has_serial) of this primary, or somebody asked for it (REFRESH_ANYBODY: silent primaries are tried too).
 * axfr: all of it, whatever the serial. Somebody goes before all who wait. What says a serial that the zone has already is passed over; what a primary that says no to a zone notifies waits
 * a second, then two, four ... */
#define REFRESH_ANYBODY UINT32_MAX
void refresh_notified(struct refresh *r, struct bytes apex, uint32_t primary, bool has_serial, uint32_t serial, bool axfr,
                      uint64_t now_ms);
/* The next thing to do now; each is told exactly once. false: nothing; *wait_ms: until there may be, when nothing is told or
 * notified before (UINT64_MAX: never). now_ms: monotonic. */
bool refresh_next(struct refresh *r, uint64_t now_ms, struct refresh_todo *out, uint64_t *wait_ms);
/* How a to-do ended. serial, t: of the zone as it is behind REFRESH_DONE of a transfer; serial: the primary's behind
 * REFRESH_NEWER and REFRESH_CURRENT. kept: what is to be remembered now. ERR_NOTFOUND: the zone went meanwhile. */
MUST_USE enum err refresh_told(struct refresh *r, const struct refresh_todo *todo, enum refresh_outcome outcome, uint32_t serial,
                               const struct refresh_timers *t, uint64_t now_ms, uint64_t now_s, struct refresh_kept *kept);
/* primary: that of now or the next time; failures: in a row; next_in_ms: UINT64_MAX when running or waiting in line. failing: no primary would
 * do the last time, or it waits in line for one that has been silent more than once (left_alone: at the moment nobody asks that one). */
struct refresh_status { bool running, waiting, expired, failing, left_alone; uint64_t next_in_ms; uint32_t primary; unsigned failures; struct refresh_kept kept; };
MUST_USE enum err refresh_status(const struct refresh *r, struct bytes apex, uint64_t now_ms, uint64_t now_s,
                                 struct refresh_status *out);
/* waiting: in line, or once more behind what is under way. questions, transfers: under way. bytes: of all memory. */
struct refresh_figures { size_t zones, waiting, questions, transfers, expired, bytes; };
void refresh_figures(const struct refresh *r, struct refresh_figures *out);
/* What takes a look at every zone. oldest_s: when the one that was not checked for the longest was (Unix time), those never checked apart; 0: none. */
struct refresh_far { uint64_t oldest_s; size_t failing; };
void refresh_far(const struct refresh *r, struct refresh_far *out);

#endif
