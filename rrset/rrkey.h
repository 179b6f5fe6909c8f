/* Keys of the namespace `dns`.
 *
 * Labels from the root down, each ended by 00, then 00, then a slot (u16 big-endian). Labels are lower-cased
 * (RFC 4343); bytes 00 and 01 inside them become 01 01 and 01 02. So plain memcmp gives the order of RFC 4034
 * section 6.1, the slots of an owner are adjacent and its descendants follow directly.
 *
 *     www.Example.com A/AAAA/CNAME  ->  "com" 00 "example" 00 "www" 00 00 0000
 *                                       ├────── labels ─────────────┤ ▲   slot 0: the address group
 *                                       ├───── owner prefix ──────────┘
 *     . SOA                         ->  00 0006
 *
 * Two kinds of keys go on behind the slot: NSEC3 (slot 50 of the apex, then the hash as 20 bytes) and shadow keys
 * (slot RRSLOT_SHADOW of the parent's apex, then a key relative to that apex: labels, 00, slot). FORMAT.md section 2. */
#ifndef AZOTH_RRSET_RRKEY_H
#define AZOTH_RRSET_RRKEY_H

#include "wire/name.h"
#include "wire/rrtype.h"

#define RRKEY_MAX 507           /* 255-byte name with every byte escaped, terminator and slot */
#define RRKEY_SHADOW_MAX 510    /* one terminator and slot more; LMDB allows 511 */
#define NSEC3_HASH_LEN 20
#define NSEC3_LABEL_LEN 33      /* first label of an NSEC3 owner: length byte and 32 digits of base32hex (RFC 4648 section 7) */

enum {
    RRSLOT_ADDRESS = 0,         /* A, AAAA, CNAME of the owner in one blob */
    RRSLOT_ZONE = 0x00c0,       /* zone header, at the apex */
    RRSLOT_PARENT_NS = 0x00c1,  /* at a hosted child's apex: the parent's delegation blob (NS and what is below) */
    RRSLOT_PARENT_NSEC = 0x00c2,/* at a hosted child's apex: the parent's NSEC */
    RRSLOT_SHADOW = 0x00c3,     /* at the parent's apex: the parent's other data at or below hosted children */
    RRSLOT_PRIVATE_LAST = 0x00ef,
};
/* The slot of a type: RRSLOT_ADDRESS for A, AAAA, CNAME, else the type number. */
static inline uint16_t rrslot_of(uint16_t type)
{
    return type == TYPE_A || type == TYPE_AAAA || type == TYPE_CNAME ? RRSLOT_ADDRESS : type;
}

/* A name as key, with the ends of its ancestors: at[i] is the length of the label part for the topmost i labels, so
 * buf[0 .. at[i]) then 00 then a slot is the key of that ancestor. at[0] == 0 (the root). */
struct rrkey { uint8_t buf[RRKEY_SHADOW_MAX + 1]; uint16_t at[NAME_LABELS_MAX + 1]; uint8_t labels; };

/* Fills k from an uncompressed name of any case; no slot yet. ERR_SHORT, ERR_BAD: malformed name. */
MUST_USE enum err rrkey_of_name(struct bytes name, struct rrkey *k);
/* The ancestor with `depth` labels as key, without what lies behind it. */
void rrkey_copy(struct rrkey *to, const struct rrkey *from, unsigned depth);
/* The key of the ancestor with `depth` labels (k->labels: the name itself) and slot, written into out (RRKEY_MAX fits);
 * gives its length. depth <= k->labels. */
size_t rrkey_at(const struct rrkey *k, unsigned depth, uint16_t slot, uint8_t *out);
/* The same in one step for one name. ERR_NOSPACE: out is full. */
MUST_USE enum err rrkey_write(struct bytes name, uint16_t slot, struct wr *out);
/* NSEC3: apex name and the 20-byte hash. ERR_NOSPACE: also when the key would be longer than RRKEY_SHADOW_MAX (apexes of
 * over 240 bytes that need escapes: no such zone can have NSEC3). */
MUST_USE enum err rrkey_write_nsec3(struct bytes apex, const uint8_t hash[NSEC3_HASH_LEN], struct wr *out);
/* Shadow: name (below or at a hosted child) kept under its parent zone's apex. ERR_BAD: name is not below apex. */
MUST_USE enum err rrkey_write_shadow(struct bytes apex, struct bytes name, uint16_t slot, struct wr *out);

/* A key taken apart. owner: labels with terminator, borrowed. rest: what follows the slot (NSEC3 hash, shadow key). */
struct rrkey_parts { struct bytes owner; uint16_t slot; struct bytes rest; unsigned labels; };
/* Strict: ERR_SHORT, ERR_BAD for anything rrkey_write* would not produce (bad escape, upper case, too long, odd rest). */
MUST_USE enum err rrkey_split(struct bytes key, struct rrkey_parts *out);
/* The owner as a name (lower case). For shadow keys: of the relative key under its apex, and *slot is the inner slot. */
MUST_USE enum err rrkey_name(struct bytes key, struct name *out, uint16_t *slot);
/* How many labels, from the root, the key's owner shares with k. Safe on any bytes. */
unsigned rrkey_common(const struct rrkey *k, struct bytes key);
/* The same with the order of both: < 0, 0 or > 0 as k stands before those labels (each with its end), at them or behind. */
int rrkey_compare(const struct rrkey *k, struct bytes labels, unsigned *common);
/* Length of the owner prefix of a key (labels and terminator); 0: malformed. Fast, for the query path. */
size_t rrkey_owner_len(struct bytes key);
/* The same, with the labels of that owner and those that it shares with k; in one look, which skips what is shared. */
size_t rrkey_beside(const struct rrkey *k, struct bytes key, unsigned *labels, unsigned *common);

/* The labels of an owner part (labels and terminator) behind its first `from` bytes, which are whole labels, in the order of a
 * name; how many bytes. For keys of the store, on the query path. 0: there are none, or they make no name. */
size_t rrkey_owner_name(struct bytes owner, size_t from, uint8_t out[NAME_MAX_LEN]);

/* NSEC3's first label, lower case, of a hash (RFC 5155 section 3.3); and back, from its 32 digits. false: they are none. */
void nsec3_label(const uint8_t hash[NSEC3_HASH_LEN], uint8_t out[NSEC3_LABEL_LEN]);
bool nsec3_label_read(struct bytes digits, uint8_t hash[NSEC3_HASH_LEN]);

#endif
