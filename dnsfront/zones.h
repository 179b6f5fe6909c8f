/* The zone table: headers of zones, so that a warm look-up needs no descent for them. Direct-mapped by a hash of the
 * apex key; an entry holds a copy of the header and is good until that header changes (changes.h), without a table of
 * changes for one version of the view.
 *
 *     hash(apex key) % ZONES_SLOTS ─► [version, apex key, state, bits, flags, SOA ─► copy of the header blob]
 *
 * Headers or apexes too long for a slot are read anew each time. */
#ifndef AZOTH_DNSFRONT_ZONES_H
#define AZOTH_DNSFRONT_ZONES_H

#include "rrset/rrkey.h"
#include "rrset/rrset.h"

#define ZONES_SLOTS 4096u
#define ZONES_BARE 256u             /* names without a wildcard below them */
#define ZONES_KEY_MAX 80            /* apex keys up to here are kept: real ones have 10 to 30 bytes */
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
    struct zone_nsec3 nsec3;        /* its salt too */
    uint16_t key_len;
    uint8_t key[ZONES_KEY_MAX];
    uint8_t header[ZONES_HEADER_MAX];
};
struct zones;
MUST_USE enum err zone_table_open(struct zones **out);
void zone_table_close(struct zones *z);                          /* NULL is fine */
/* The header of the zone whose apex is the ancestor of k with `depth` labels; borrowed until the next call or view_end.
 * NULL: there is none or it is broken, which the data promised not to be. */
const struct zone_entry *zones_get(struct lookup *l, const struct rrkey *k, unsigned depth);

/* It is known that nothing is at or below the wildcard of the ancestor of k with `encloser` labels: most names that do not
 * exist have the same encloser, and need no descent to learn that again. */
bool zones_bare(const struct lookup *l, const struct rrkey *k, unsigned encloser);
/* Seen just now. wildcard: its key. */
void zones_note_bare(struct lookup *l, const struct rrkey *wildcard, unsigned encloser);

#endif
