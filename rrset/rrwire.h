/* Inside rrset/ only: the pieces of a stored wire form (picture in rrset.h), shared by writing, iterating, placing. */
#ifndef AZOTH_RRSET_RRWIRE_H
#define AZOTH_RRSET_RRWIRE_H

#include "rrset/rrset.h"

#define WIRE_OWNER_AT 12u               /* where the owner name stands in the message that the wire is made for */
#define WIRE_OWNER_POINTER 0xc00cu      /* so each RR begins with this */
#define RR_FIXED 12u                    /* owner pointer, type, class, TTL, rdlength */

/* Where the first RR stands: header, owner name, type and class of the question before it. */
static inline size_t wire_base(size_t owner_len) { return 16 + owner_len; }

struct wire_rr { uint16_t type, rrclass; uint32_t ttl; struct bytes rdata; };  /* rdata as stored, borrowed */

/* One RR at the cursor. false: its owner is no C0 0C, or it is cut off. */
static inline bool wire_rr_read(struct rd *r, struct wire_rr *out)
{
    if (rd_u16(r) != WIRE_OWNER_POINTER)
        return false;
    out->type = rd_u16(r);
    out->rrclass = rd_u16(r);
    out->ttl = rd_u32(r);
    out->rdata = rd_take(r, rd_u16(r));
    return !r->bad;
}

/* Type of the first RR; 0: there is none. */
static inline uint16_t wire_type(struct bytes wire)
{
    struct rd r = rd_over(wire);
    (void)rd_u16(&r);
    return rd_u16(&r);
}

/* A name at the cursor, which stands in the wire, with its pointers followed: into the owner, or backwards in the wire.
 * ERR_BAD: anything else. */
MUST_USE enum err wire_name(struct rd *r, struct bytes owner, struct bytes wire, struct name *out);

#endif
