/* What a secondary zone is doing, for any thread that asks: what each primary said last and why it would not do, how the last
 * transfer went, whether what a user asked for has ended. When it is asked next the scheduler knows (refresh.h).
 *
 *     core.dns's thread (secondary*.c):  board_hold ─► refresh_told, board_heard, board_failed, board_ended ... ─► board_let
 *     any thread:                        board_report ─► the scheduler's status and what is here, under the same lock
 *
 * So whoever changes the scheduler holds the board. A zone that is well costs some 130 bytes here; a reason takes memory only
 * while its primary fails. */
#ifndef AZOTH_BUILDER_SECONDARY_BOARD_H
#define AZOTH_BUILDER_SECONDARY_BOARD_H

#include "base/arena.h"
#include "builder/refresh.h"

#define BOARD_WHY_MAX 160               /* bytes of a reason, with the final 0; longer ones are cut */

struct board;
MUST_USE enum err board_open(struct board **out);
void board_close(struct board *b);                      /* NULL is fine */

/* --- any thread --------------------------------------------------------------------------------------------------------------- */
enum board_request { BOARD_NONE, BOARD_PENDING, BOARD_CURRENT, BOARD_TRANSFERRED, BOARD_FAILED };
/* has_serial: it was heard at heard_s (Unix time), also when it would not do. why: NULL, or what was wrong at failed_s (0: with other zones). */
struct board_primary { const char *address, *tsig; bool has_serial; uint32_t serial; uint64_t heard_s, failed_s; const char *why; };
/* whole: AXFR, or an IXFR answered with all; else steps from that serial to the zone's. */
struct board_transfer { uint64_t bytes, records; uint32_t primary, from, took_ms; bool whole, has_from; };
struct board_report {
    struct refresh_status status;
    bool has_transfer;                  /* since this start; before it: status.kept.transferred_s alone */
    struct board_transfer transfer;
    const char *transfer_address;
    struct board_primary *primaries; size_t primaries_n;
    uint64_t ticket; enum board_request request;        /* of the newest wish (wishes.h) */
};
/* Everything in *out is a's or copied. ERR_NOTFOUND: no secondary that is being looked after. ERR_NOMEM. */
MUST_USE enum err board_report(struct board *b, struct bytes apex, struct arena *a, struct board_report *out);
bool board_is_failing(struct board *b, struct bytes apex);
uint64_t board_checked_s(struct board *b, struct bytes apex);           /* when a primary was heard and did; 0: never */

/* --- who looks after them: between board_hold and board_let ----------------------------------------------------------------- */
void board_hold(struct board *b);
void board_let(struct board *b);
/* The scheduler that the zones below are in; NULL: it ends, there are no reports any more. */
void board_scheduler(struct board *b, struct refresh *r);
/* The scheduler's number of a primary is this one. tsig: "": none. */
MUST_USE enum err board_primary(struct board *b, uint32_t number, const char *address, const char *tsig);
/* A zone is there, or has other primaries; of those it still has everything stays. */
MUST_USE enum err board_zone(struct board *b, struct bytes apex, const uint32_t *primaries, size_t n);
void board_zone_gone(struct board *b, struct bytes apex);

/* The wish of this ticket was given to the scheduler. It ends with the first round that asks somebody from now on. */
void board_wanted(struct board *b, struct bytes apex, uint64_t ticket);
void board_begins(struct board *b, struct bytes apex);                  /* a primary is being asked */
void board_heard(struct board *b, struct bytes apex, uint32_t primary, uint32_t serial, uint64_t now_s);
/* true: it is news, the primary did not fail before or did so for another reason. */
bool board_failed(struct board *b, struct bytes apex, uint32_t primary, const char *why, uint64_t now_s);
void board_good(struct board *b, struct bytes apex, uint32_t primary);
void board_transferred(struct board *b, struct bytes apex, const struct board_transfer *t);
/* Behind refresh_told of a question or transfer. */
enum board_turn { BOARD_SAME, BOARD_FAILS, BOARD_RECOVERED };
enum board_turn board_ended(struct board *b, struct bytes apex, uint64_t now_ms, uint64_t now_s);

struct board_figures { size_t zones, bytes; };
void board_figures(const struct board *b, struct board_figures *out);

#endif
