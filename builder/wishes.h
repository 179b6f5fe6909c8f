/* What users ask core.dns's thread to do soon: a mailbox between threads.
 *
 *     API: wishes_put ─► [transfer example.com., ...] ─► fd is readable ─► core.dns's thread: wishes_take ... */
#ifndef AZOTH_BUILDER_WISHES_H
#define AZOTH_BUILDER_WISHES_H

#include "wire/name.h"

#define WISHES_MAX 4096

enum wish_what {
    WISH_TRANSFER,              /* ask the zone's primaries now */
    WISH_TRANSFER_ALL,          /* and take all of it, whatever the serial */
    WISH_CATALOG,               /* members of this catalog zone may go, however many, as it says now */
    WISH_NOTIFY,                /* tell the secondaries that settings.notify names */
};
struct wish { enum wish_what what; struct name apex; uint64_t ticket; };

struct wishes;
MUST_USE enum err wishes_open(struct wishes **out);
void wishes_close(struct wishes *w);            /* behind all who use it; NULL is fine */
int wishes_fd(const struct wishes *w);          /* readable while some wait */
/* Any thread. The same wish that waits already is kept once. *ticket (NULL: nobody asks) is its number, later wishes have higher ones, also
 * behind a restart, as far as the clock is right. ERR_LIMIT: too many wait. */
MUST_USE enum err wishes_put(struct wishes *w, enum wish_what what, struct bytes apex, uint64_t *ticket);
/* false: none waits. */
bool wishes_take(struct wishes *w, struct wish *out);

#endif
