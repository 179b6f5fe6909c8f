/* The zone table: headers of zones, so that a warm look-up needs no descent for them. Direct-mapped by a hash of the
 * apex key; an entry holds a copy of the header and is good until that header changes (changes.h), without a table of
 * changes for one version of the view.
 *
 *     hash(apex key) % ZONES_SLOTS ─► [version, apex key, state, bits, flags, SOA ─► copy of the header blob]
 *
 * Headers or apexes too long for a slot are read anew each time. Of more zones than there are slots, those of names that are
 * not there (zones_by_name) are in the cache too, if there is one: a copy and its reading in place of a descent. */
#ifndef AZOTH_DNSFRONT_ZONES_H
#define AZOTH_DNSFRONT_ZONES_H

#include "rrset/rrkey.h"
#include "rrset/rrset.h"

#define ZONES_SLOTS 4096u
#define ZONES_BARE 256u             /* names without a wildcard below them */
#define ZONES_KEY_MAX 80            /* apex keys up to here are kept: real ones have 10 to 30 bytes */
#define ZONES_DENIALS 64u           /* enclosers whose wildcard is denied */
#define ZONES_DENIAL_MAX 512        /* an NSEC and its signatures */
#define ZONES_HEADER_MAX 384        /* an SOA and one RSA-2048 or two ECDSA signatures */

struct lookup;
struct zone_entry {
    uint64_t version;               /* of the view; 0: empty */
    uint64_t tick;                  /* of the table of changes; 0: good for that version alone */
    uint32_t place;                 /* in it: where a change of this header shows */
    uint32_t flags, bits;
    enum zone_state state;
    bool has_soa, has_nsec3;
    struct rrset soa;               /* points into header, or into the store until view_end */
    struct rr_plan soa_plan, sig_plan;      /* of the SOA and its signatures */
    struct zone_nsec3 nsec3;        /* its salt too */
    uint16_t key_len, name_len;     /* name_len 0: nobody asked by name since it was read */
    uint8_t key[ZONES_KEY_MAX];
    uint8_t name[ZONES_KEY_MAX];    /* of the apex, lower case */
    uint8_t header[ZONES_HEADER_MAX];
};
struct zones;
MUST_USE enum err zone_table_open(struct zones **out);
void zone_table_close(struct zones *z);                          /* NULL is fine */
/* The header of the zone whose apex is the ancestor of k with `depth` labels; borrowed until the next call or view_end.
 * NULL: there is none or it is broken, which the data promised not to be. */
const struct zone_entry *zones_get(struct lookup *l, const struct rrkey *k, unsigned depth);

/* The same for a name in lower case. hash: any that is spread well, always the same for one name. */
const struct zone_entry *zones_by_name(struct lookup *l, struct bytes apex, uint64_t hash);

/* It is known that nothing is at or below the wildcard of the ancestor of k with `encloser` labels: most names that do not
 * exist have the same encloser, and need no descent to learn that again. */
bool zones_bare(const struct lookup *l, const struct rrkey *k, unsigned encloser);
/* Seen just now. wildcard: its key. */
void zones_note_bare(struct lookup *l, const struct rrkey *wildcard, unsigned encloser);

/* The NSEC that says so in a signed zone, which goes into every answer that a name below that encloser does not exist: good
 * until anything in its zone changes. `zone`: labels of the apex. */
struct denial {
    uint64_t version, tick;
    uint32_t place;
    unsigned zone;
    uint16_t encloser_len, labels_len;
    unsigned shared;                /* the owner: some labels, and then the encloser's last `shared` ones */
    uint8_t encloser[ZONES_KEY_MAX], labels[ZONES_KEY_MAX];     /* part of a key; part of a name */
    struct rrset rr;                /* points into wire */
    uint8_t wire[ZONES_DENIAL_MAX];
};
/* NULL: not known. Borrowed until the next note. */
const struct denial *zones_denial(const struct lookup *l, const struct rrkey *k, unsigned zone, unsigned encloser);
void zones_note_denial(struct lookup *l, const struct rrkey *k, unsigned zone, unsigned encloser, struct bytes labels,
                       unsigned shared, const struct rrset *rr);

#endif
