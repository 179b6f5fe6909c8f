/* Values of the namespace `dns`: RRset blobs. One MessagePack array each (FORMAT.md section 3):
 *
 *     RRset blob     [flags, rrset]                      one RRset; slot 0 with two: [flags, rrset A, rrset AAAA]
 *     delegation,    [flags, rrset, nil, below]          NS or DNAME, and what the zone holds below it
 *     DNAME
 *     zone header    [flags, kind, state, bits, soa rrset or nil, nsec3 or nil]
 *     rrset          [count, wire]  or  [count, wire, signatures, signature wire]
 *     below          [ [relative name, ns offset, rrset, ...], ... ]     in canonical order
 *     flags          depth of the zone's apex in labels * 16 + APEX 1 | CUT 2 | DNAME 4 | ALIAS 8
 *
 * Elements behind those named are skipped by readers. Every blob of an owner carries the same low four bits, so any
 * key of an owner tells what the owner is; the depth tells its zone (for parent's blobs at a child's apex: the parent's).
 *
 * `wire` is the RRset as it is sent, for a message whose question is the owner and in which it comes first:
 *
 *     offset 0       12               12+L      16+L          L: length of the owner name
 *     │ header (12)  │ owner name (L) │ type,   │ wire: RR RR RR ...
 *                                       class     each  C0 0C | type | class | TTL | rdlength | RDATA
 *
 * Names in the RDATA of RFC 1035 types are compressed against the owner name (targets 12 .. 12+L) and against earlier
 * RDATA of the same wire (targets from 16+L); only where the bytes pointed at are exactly those replaced (in the owner:
 * lower case), never to an offset over 16,383 and, for a wildcard owner, never to the owner's first byte (its "*" is
 * replaced in answers). */
#ifndef AZOTH_RRSET_RRSET_H
#define AZOTH_RRSET_RRSET_H

#include "base/arena.h"
#include "base/msg.h"
#include "wire/name.h"
#include "wire/rrtype.h"

#define RRSET_WIRE_MAX 65523u       /* 65,535 less the header: no message holds more. Header+question are checked at build */
#define BLOB_MAX ((size_t)1 << 20)  /* a delegation blob may hold much below it; store value limit */

enum { BLOB_APEX = 1, BLOB_CUT = 2, BLOB_DNAME = 4, BLOB_ALIAS = 8 };
static inline uint32_t blob_flags(unsigned depth, unsigned bits) { return (uint32_t)depth << 4 | bits; }
static inline unsigned blob_depth(uint32_t flags) { return flags >> 4; }

struct rrset { uint16_t type, count, sigs; struct bytes wire, sig_wire; };  /* borrowed; sigs 0: no signatures */
struct blob {
    uint32_t flags;
    unsigned n;                     /* 1 or 2 RRsets */
    struct rrset rr[2];
    unsigned below_n;
    struct bytes below;             /* the elements of `below`, for below_read; empty when below_n is 0 */
};
struct below { struct bytes relname; uint16_t ns_offset; unsigned n; struct rrset rr[2]; uint32_t more; struct bytes rest; };

/* Framing only (the query path), and of `below` not even that: below_read looks into it. ERR_SHORT, ERR_BAD. Everything in
 * out is borrowed from value. */
MUST_USE enum err blob_read(struct bytes value, struct blob *out);
/* One rrset element at the cursor; type is that of its first RR. ERR_SHORT, ERR_BAD. */
MUST_USE enum err rrset_read(struct rd *r, struct rrset *out);
/* Flags alone, of any blob incl. zone headers. ERR_SHORT, ERR_BAD. */
MUST_USE enum err blob_read_flags(struct bytes value, uint32_t *flags);
/* One entry of below at the cursor. An entry of more than two RRsets keeps the others in rest, see below_rrset. */
MUST_USE enum err below_read(struct rd *r, struct below *out);
/* The i-th RRset of an entry (i < n + more). */
MUST_USE enum err below_rrset(const struct below *b, unsigned i, struct rrset *out);
/* Everything: framing, one encoding, wire forms, counts, order, pointers, types that belong to the slot, flags against the
 * key. What `azoth verify` runs on each value and the fuzz target compares. fault may be NULL. */
MUST_USE enum err blob_check(struct bytes key, struct bytes value, struct fault *fault);

/* --- zone header ------------------------------------------------------------------------------------------------- */
enum zone_kind { ZONE_FILE = 1, ZONE_NATIVE = 2, ZONE_SECONDARY = 3 };
enum zone_state { ZONE_LIVE = 1, ZONE_EXPIRED = 2, ZONE_EMPTY = 3 };
enum { ZONE_HAS_WILDCARD = 1, ZONE_HAS_NSEC = 2, ZONE_HAS_DNAME = 4 };
struct zone_nsec3 { uint8_t algorithm, flags; uint16_t iterations; struct bytes salt; };
struct zone_header {
    uint32_t flags;
    enum zone_kind kind;
    enum zone_state state;
    uint32_t bits;
    bool has_soa, has_nsec3;
    struct rrset soa;               /* for negative answers: TTL is min(SOA TTL, MINIMUM), RFC 2308 section 3 */
    struct zone_nsec3 nsec3;
};
void zone_header_write(struct wr *w, const struct zone_header *h);
MUST_USE enum err zone_header_read(struct bytes value, struct zone_header *out);

/* --- building ---------------------------------------------------------------------------------------------------- */
/* A blob is written as its picture reads; each rrset by rrset_write:
 *     msg_put_array(w, 2), msg_put_uint(w, flags), rrset_write(w, owner, &in, true, scratch)
 *     msg_put_array(w, 4), flags, rrset_write(NS or DNAME), msg_put_nil(w), msg_put_array(w, entries), then per entry
 *         msg_put_array(w, 2 + its RRsets), msg_put_bin(w, relname), msg_put_uint(w, ns offset),
 *         rrset_write(w, name of the entry, &in, false, scratch) ascending by type
 * relname: the entry's name without the owner's and without a final 0, lower case; empty: the owner itself.
 * ns offset: rrset_ns_offset(wire of the NS, owner, name of the entry); 0 in a DNAME's blob. To get that wire, read what
 * rrset_write wrote with rrset_read. */
/* RDATA in, uncompressed wire form, in the order of rrset_sort without duplicates. */
struct rrset_in { uint16_t type; uint32_t ttl; const struct bytes *rdata; size_t n; const struct bytes *sigs; size_t sigs_n; uint32_t sig_ttl; };

/* Sorts RDATA byte by byte (RFC 4034 section 6.3 for lower-case names) and drops duplicates in place; the new count. */
size_t rrset_sort(struct bytes *rdata, size_t n);
/* The same, and of RDATA that differ only in the case of names only the first in order stays: they are the same RR. */
size_t rrset_sort_names(uint16_t type, struct bytes *rdata, size_t n);
/* An rrset element for this owner (uncompressed, lower case). compress false: for RRsets inside `below`. scratch: memory for
 * the call, not given back. ERR_LIMIT: no 65,535-byte message holds it. ERR_BAD: RDATA breaks its type's form, or n is 0.
 * ERR_NOSPACE, ERR_NOMEM. After an error what was written is undefined. */
MUST_USE enum err rrset_write(struct wr *w, struct bytes owner, const struct rrset_in *in, bool compress, struct arena *scratch);
/* Offset inside the wire of an NS rrset at which the target name equal to `name` stands; 0: none. */
uint16_t rrset_ns_offset(struct bytes wire, struct bytes owner, struct bytes name);

/* --- taking apart: for dump, differences, tests (not the query path) ---------------------------------------------- */
struct rr { uint16_t type, rrclass; uint32_t ttl; struct bytes rdata; };    /* rdata uncompressed, inside the buffer given */
struct rr_iter { struct rd r; struct bytes owner, wire; unsigned left; };
void rr_iter_init(struct rr_iter *it, struct bytes owner, struct bytes wire, unsigned count);
/* The next RR, RDATA expanded into buf (cap 65,535 always fits). ERR_NOTFOUND at the end, ERR_BAD. */
MUST_USE enum err rr_iter_next(struct rr_iter *it, uint8_t *buf, size_t cap, struct rr *out);

/* --- placing into a message: the query path ------------------------------------------------------------------------
 * Writes the RRs of `wire` into out, which holds a message from its byte 0 on.
 *   owner_name the blob's owner, uncompressed: names that no pointer can express (target over 16,383) are written out
 *   owner_at   where that name stands in the message, in the question, as its suffix, or in RDATA written before (there it
 *              may itself end in a pointer: suffixes of it are found by walking the message)
 *   skew       0; for an answer made from a wildcard: owner_at is the question's 12, the RRs' owner is the whole question
 *              name, and a target s bytes into the blob's owner stands s + skew bytes into the question name, skew being
 *              the question name's length less the blob owner's
 * Fast path: owner_at 12, skew 0 and out->len == 16 + owner_name.len: one memcpy.
 * ERR_NOSPACE: does not fit. ERR_BAD: broken wire. In both cases out->len is as before and out is not full. */
struct rr_place { struct bytes owner_name; uint16_t owner_at, skew; };
MUST_USE enum err rrset_place(struct wr *out, struct bytes wire, unsigned count, const struct rr_place *where);

/* The same for an RRset that goes into many messages, whose pointers were looked up once: a copy and a few patches. */
#define RR_PLAN_MAX 6
struct rr_plan { unsigned n; uint16_t base, at[RR_PLAN_MAX], target[RR_PLAN_MAX]; };    /* n 0: it has no plan */
void rrset_plan(struct bytes wire, unsigned count, size_t owner_len, struct rr_plan *out);
/* where: skew 0, and its owner_name stands at owner_at in one piece. Does what rrset_place does. */
MUST_USE enum err rrset_place_planned(struct wr *out, struct bytes wire, unsigned count, const struct rr_plan *plan,
                                      const struct rr_place *where);

#endif
