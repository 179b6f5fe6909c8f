/* RRsets as JSON, the same in our API and in PowerDNS's:
 *
 *     {"name": "www.example.com.", "type": "A", "ttl": 300, "records": [{"content": "192.0.2.1", "disabled": false}],
 *      "comments": [{"content": "...", "account": "...", "modified_at": 1700000000}]}
 */
#ifndef AZOTH_BUILDER_RRJSON_H
#define AZOTH_BUILDER_RRJSON_H

#include "builder/difference.h"
#include "builder/source.h"

#include <jansson.h>

/* How strict: PowerDNS takes absolute names only (in owners and in contents), we take names relative to the zone too. */
struct rrjson_options { struct bytes apex; bool absolute; uint32_t default_ttl; };
/* Members name, type, ttl, records and comments of o; others are the caller's. Everything goes into a. records missing: n 0, and
 * *has_records false. ERR_BAD: *fault says which member of which RRset is wrong, and how ("www.example.com. A: content
 * \"300.0.0.1\": not an IPv4 address"). */
MUST_USE enum err rrjson_read(const json_t *o, const struct rrjson_options *how, struct arena *a, struct row *out,
                              bool *has_records, bool *has_comments, struct fault *fault);
/* A row as such an object; NULL: out of memory. */
json_t *rrjson_object(const struct row *row);
/* {"name", "type", "before": {"ttl", "records": [text]} or null, "after": ...} ; the type of signatures is "RRSIG". */
json_t *rrjson_change(const struct rrset_change *c);
/* Content text of one record (no owner, no type), in room for cap. ERR_BAD. */
MUST_USE enum err rrjson_content(uint16_t type, struct bytes rdata, char *out, size_t cap);

#endif
