/* The digest of a set of entries: LtHash-16 with 1024 lanes. Each entry becomes 1024 numbers of 16 bits (BLAKE2b-256
 * over its length-prefixed parts, expanded with ChaCha20), which are added on put and subtracted on delete, modulo
 * 2^16, so the order of changes does not matter and one change costs about a microsecond whatever the size of the
 * store. "The digest" shown and compared is BLAKE2b-256 of the lanes. FORMAT.md section 5 has the bytes.
 * Bellare, Micciancio 1997; Lewi et al. 2019 (LtHash). */
#ifndef AZOTH_STORE_DIGEST_H
#define AZOTH_STORE_DIGEST_H

#include "base/bytes.h"

#define DIGEST_LANES 1024
#define DIGEST_LEN 32

struct digest { uint16_t lane[DIGEST_LANES]; };     /* zeroed = the empty set */

void digest_add(struct digest *d, struct bytes ns, struct bytes key, struct bytes value);
void digest_sub(struct digest *d, struct bytes ns, struct bytes key, struct bytes value);
/* The sum of two sets of entries, for work cut into parts. */
void digest_merge(struct digest *d, const struct digest *other);
void digest_final(const struct digest *d, uint8_t out[DIGEST_LEN]);
/* Lanes as stored: 2048 bytes, little-endian lanes. */
void digest_write(const struct digest *d, uint8_t out[2 * DIGEST_LANES]);
void digest_read(struct digest *d, const uint8_t in[2 * DIGEST_LANES]);

#endif
