/* Signed updates that were made, remembered as long as their TSIG is in time: who caught one on its way must not have it
 * made again (RFC 8945 section 5.2.3 asks for care; no clock alone can give it, since one key may sign in many places). And
 * who sends the same bytes again because the reply was lost hears what the first ones brought.
 *
 *     replays_look ─► REPLAY_NEW: it is being made now ─► replays_end: its rcode, or forgotten
 *
 * As many as there are places; beyond that the one whose time is over first gives way. Pure; one thread's. */
#ifndef AZOTH_BUILDER_REPLAYS_H
#define AZOTH_BUILDER_REPLAYS_H

#include "wire/tsig.h"

#define REPLAYS_PLACES 65536        /* 1.5 MiB */

struct replays;
enum replay { REPLAY_NEW, REPLAY_BEING_MADE, REPLAY_MADE };
/* places: a power of two, 4 or more. */
MUST_USE enum err replays_open(struct replays **out, size_t places);
void replays_close(struct replays *r);          /* NULL is fine */
/* t: good. Of REPLAY_MADE *rcode is what it brought. Whatever is not in the MAC (the message's id, what stands behind the TSIG,
 * how much of the MAC was sent) makes no other message of it. */
enum replay replays_look(struct replays *r, const struct tsig *t, uint64_t now_s, uint16_t *rcode);
/* RCODE_SERVFAIL: it was not made, and may be sent again. */
void replays_end(struct replays *r, const struct tsig *t, uint16_t rcode);

#endif
