/* Domain names in wire form (RFC 1035 section 3.1): labels of 1..63 bytes, each behind its length byte, ended by 0;
 * at most 255 bytes and 127 labels. "Name" in this program means the uncompressed wire form unless said otherwise. */
#ifndef AZOTH_WIRE_NAME_H
#define AZOTH_WIRE_NAME_H

#include "base/err.h"

#define NAME_MAX_LEN 255
#define NAME_LABELS_MAX 127
#define LABEL_MAX_LEN 63
#define NAME_TEXT_MAX 1024          /* every byte as \DDD, plus dots and the final 0 */
#define POINTER_MAX 0x3fff          /* highest offset that a compression pointer can name */

struct name { uint8_t len; uint8_t wire[NAME_MAX_LEN]; };   /* owned; len counts the final 0 */

static inline struct bytes name_bytes(const struct name *n) { return bytes_of(n->wire, n->len); }

/* An uncompressed name at the cursor, borrowed from it. ERR_SHORT, ERR_BAD (pointer, label type, over 255 bytes). */
MUST_USE enum err name_read(struct rd *r, struct bytes *out);
/* A possibly compressed name in a message. r stands inside whole and moves behind the name; pointers may only go
 * backwards, to below the place where the name (or the jump's target) began, so loops end. */
MUST_USE enum err name_unpack(struct rd *r, struct bytes whole, struct name *out);

/* ASCII lower case (RFC 4343), in place or byte by byte. */
void name_lower(uint8_t *wire, size_t len);
static inline uint8_t name_lower_byte(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c; }
bool name_is_lower(struct bytes name);
/* The same for eight bytes at a time: a label's length is at most 63 and no letter. */
static inline uint64_t name_lower8(uint64_t x)
{
    const uint64_t ones = 0x0101010101010101u, low = x & (0x7f * ones);
    uint64_t upper = ((low + (0x80 - 'A') * ones) ^ (low + (0x7f - 'Z') * ones)) & ~x & (0x80 * ones);
    return x | upper >> 2;
}

unsigned name_labels(struct bytes name);                            /* without the root: "." has 0 */
bool name_equal(struct bytes a, struct bytes b);                    /* ignoring case */
bool name_under(struct bytes name, struct bytes ancestor);          /* equal or below, ignoring case */
struct bytes name_parent(struct bytes name);                        /* without its first label; "." stays */
bool name_is_wildcard(struct bytes name);                           /* first label is exactly "*" */
int name_compare(struct bytes a, struct bytes b);                   /* canonical order, RFC 4034 section 6.1 */
/* prefix (labels without the final 0) in front of name. ERR_LIMIT: over 255 bytes. */
MUST_USE enum err name_join(struct bytes prefix, struct bytes name, struct name *out);

/* Text form with a final dot; dots, backslashes, quotes, ; ( ) @ $ in labels escaped, bytes outside 21..7e as \DDD.
 * Gives out. cap >= NAME_TEXT_MAX always fits. */
const char *name_text(char *out, size_t cap, struct bytes name);
/* From text with \X and \DDD escapes; relative names (no final dot) get origin appended; origin.len == 0: a relative
 * name is taken as absolute. "@" alone is the origin. ERR_BAD, ERR_LIMIT. */
MUST_USE enum err name_from_text(struct bytes text, struct bytes origin, struct name *out);

#endif
