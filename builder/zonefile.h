/* Zone files (RFC 1035 section 5): text to records. A scanner of ours owns lines, directives, quotes and parentheses;
 * RDATA of a type goes to ldns, with a fast path of our own for the most common types. Unknown types as RFC 3597.
 * Plain text only: a file that begins with gzip's magic is refused with that reason. */
#ifndef AZOTH_BUILDER_ZONEFILE_H
#define AZOTH_BUILDER_ZONEFILE_H

#include "builder/zone.h"

#define ZONEFILE_MAX ((uint64_t)4 << 30)

/* Adds the file's records to z. ERR_REFUSED: complaints filled (file, line, reason). ERR_NOTFOUND, ERR_IO: the file. */
MUST_USE enum err zonefile_read(const char *path, struct zone *z, struct complaints *c, struct fault *fault);
/* The same with a crew that helps with a large file; NULL: none. */
MUST_USE enum err zonefile_read_with(const char *path, struct crew *crew, struct zone *z, struct complaints *c,
                                     struct fault *fault);
/* The same for text in memory; name is for messages. */
MUST_USE enum err zonefile_read_text(struct bytes text, const char *name, struct zone *z, struct complaints *c, struct fault *fault);
/* RDATA text of one record (behind the type) to wire form, names relative to origin. For tests, API, tools.
 * ERR_BAD: *fault says why. */
MUST_USE enum err rdata_from_text(uint16_t type, struct bytes text, struct bytes origin, struct wr *out, struct fault *fault);
/* The name of a type, TYPEnnn for those that have none; and back (any case). Gives out; ERR_BAD: no type, or one that no zone holds. */
#define RRTYPE_TEXT_MAX 24
const char *rrtype_text(char out[RRTYPE_TEXT_MAX], uint16_t type);
MUST_USE enum err rrtype_from_text(struct bytes text, uint16_t *out);
/* One record as a zone-file line without newline: owner TTL IN TYPE RDATA (by ldns; RFC 3597 form for unknown types). */
MUST_USE enum err rr_to_text(const struct zone_rr *rr, char *out, size_t cap, struct fault *fault);

#endif
