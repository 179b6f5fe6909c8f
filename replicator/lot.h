/* Several announcements in one message, as they are, one behind the other: one send for each subscriber and one wake-up there.
 * FORMAT.md section 7. Pure. */
#ifndef AZOTH_REPLICATOR_LOT_H
#define AZOTH_REPLICATOR_LOT_H

#include "replicator/message.h"

#define LOT_MOST 64                     /* announcements; nobody takes more in one message */
#define LOT_FRONT 5                     /* bytes before them: at most an array, the type, an array's header */

struct lot {                            /* being written; zeroed: empty */
    size_t n, used;
    uint8_t bytes[ANNOUNCE_MAX - 16];   /* LOT_FRONT, then a bin for each: what nanomsg puts before them fits too */
};
/* Copies it. false: no room, nothing happened; an empty lot has room for all that a core or relay announces. */
bool lot_put(struct lot *l, struct bytes announcement);
/* The message: of one announcement, that as it is. Borrowed until the next lot_put, when the lot is empty again. */
struct bytes lot_done(struct lot *l);

/* Those in a message, read one behind the other. */
struct lot_list { uint32_t left; struct rd rest; };
/* false: it is not a well-formed lot; most messages are not: announce_read has the word for those. */
bool lot_read(struct bytes msg, struct lot_list *out);
bool lot_next(struct lot_list *l, struct bytes *announcement);      /* borrowed; false: none is left */

#endif
