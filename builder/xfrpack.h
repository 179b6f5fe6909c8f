/* Messages of a transfer out, packed (RFC 5936 section 2.2): the question in the first one, records behind one another, names of
 * owners compressed. Pure.
 *
 *     xfrpack_begin ─► xfrpack_add (record) ... ─► xfrpack_end        put: each message as it is full
 *
 * A message is closed at XFRPACK_FULL bytes, because no pointer reaches behind 16 KiB (RFC 1035 section 4.1.4): so every name
 * that was written can be pointed at. A record that is larger than that has a message of its own, up to 65,535 bytes. */
#ifndef AZOTH_BUILDER_XFRPACK_H
#define AZOTH_BUILDER_XFRPACK_H

#include "builder/zone.h"

#define XFRPACK_FULL 16384
#define XFRPACK_MAX 65535
#define XFRPACK_SLOTS 4096              /* of the table of names; twice what a message can hold */

/* What the messages answer. */
struct xfr_question {
    uint16_t id, flags;                 /* of the query's header */
    struct bytes question;              /* name, type, class: as they stand in the query */
    bool has_edns;                      /* the first message gets an OPT */
    size_t max;                         /* of a message: XFRPACK_MAX, less over UDP */
    size_t room;                        /* of it kept free for a TSIG */
};
/* A whole message, to be signed; borrowed for the call. Anything but OK ends the packing. */
typedef enum err xfrpack_put_fn(void *arg, struct bytes msg);

struct xfrpack {
    const struct xfr_question *q;
    xfrpack_put_fn *put;
    void *arg;
    struct wr w;
    uint64_t messages, records, bytes;  /* put so far; records: with those of the message at hand */
    unsigned answers, names;            /* records in the message at hand; names that can be pointed at */
    uint32_t turn;                      /* slots with another one are empty */
    struct { uint32_t turn; uint16_t at; } slots[XFRPACK_SLOTS];
    uint8_t buf[XFRPACK_MAX];
};
void xfrpack_begin(struct xfrpack *p, const struct xfr_question *q, xfrpack_put_fn *put, void *arg);
/* ERR_NOSPACE: the record fits into no message (over UDP: not behind those that stand there). Else what put gave. */
MUST_USE enum err xfrpack_add(struct xfrpack *p, const struct zone_rr *rr);
/* The last message. */
MUST_USE enum err xfrpack_end(struct xfrpack *p);

#endif
