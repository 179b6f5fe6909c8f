/* Zones taken from other primaries: the I/O around refresh.h (when) and xfrin.h (what), in core.dns's thread.
 *
 *     source: zones of kind secondary ─► refresh_zone          NOTIFY ─► secondary_notified ─► refresh_notified
 *     refresh_next ─┬─► SOA over UDP, or TCP ──────────────────────────────┬─► refresh_told ─► source_secondary_put
 *                   ├─► transfer: UDP, TCP ─► xfrin_change ─► changer ──────┤   (together, once a second, in the writing
 *                   └─► expire, revive ─► CHANGE_STATE ─► changer ─────────┘   thread: what is lost with a crash is asked again)
 *
 *     secondary.c   life, to-dos, ends        secondary_ask.c   one question or transfer      secondary_zones.c   who is asked
 *     secondary_tell.c   what came of it, for the log, the metrics and the board (secondary_board.h), from where any thread reads it
 */
#ifndef AZOTH_BUILDER_SECONDARY_H
#define AZOTH_BUILDER_SECONDARY_H

#include "base/stat.h"
#include "builder/catalogs.h"
#include "builder/change.h"
#include "builder/refresh.h"
#include "builder/xfrin.h"
#include "builder/secondary_board.h"

struct event_base;
struct queue;
/* What transfers may cost; 0: the defaults, but for rate: none. memory: of all that is under way, default an eighth of the machine's; beyond it the largest ends. time_ms: of one,
 * default an hour. rate: least bytes a second, from ten seconds behind the first message on. */
struct secondary_limits { struct xfrin_limits each; uint64_t memory, time_ms, rate; };
struct secondary_options {
    struct event_base *base;
    struct store *store;
    struct source *source;
    struct changer *changer;
    struct queue *queue;
    struct catalogs *catalogs;          /* told of zones that were transferred; NULL is fine */
    struct board *board;
    struct refresh_limits limits;
    struct secondary_limits transfers;
};
struct secondary;
MUST_USE enum err secondary_open(struct secondary **out, const struct secondary_options *o, struct fault *fault);
/* When the base runs no more: all questions end, no change is put. NULL is fine. */
void secondary_stop(struct secondary *s);
/* Behind changer_close and queue_close, when all changes were told. NULL is fine. */
void secondary_close(struct secondary *s);

/* A NOTIFY that came from this address, signed with this key (empty: not at all). true: the zone is a secondary and one of its
 * primaries has the address or that key; it is asked soon: no more is believed of a NOTIFY. In the base's thread. */
bool secondary_notified(struct secondary *s, struct bytes apex, struct bytes client, struct bytes key, bool has_serial, uint32_t serial);
/* Somebody asks for it: the primaries are asked now; all: all of the zone is taken, whatever the serial. ticket: the wish's, for the
 * board. In the base's thread. */
void secondary_wanted(struct secondary *s, struct bytes apex, bool all, uint64_t ticket);
void secondary_metrics(const struct secondary *s, struct stat_page *p);

#endif
