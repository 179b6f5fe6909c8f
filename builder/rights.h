/* What a TSIG key may do: an object of JSON in its row (source.h), read once, asked per message. Pure.
 *
 *     {"update":   [{"zone": "example.com.", "names": ["host.example.com.", "*.dyn.example.com."], "types": ["A", "TXT"]}],
 *      "transfer": ["example.com."]}
 *
 * update: each element grants what all its members allow; one that does is enough.
 *     zone     apex of the zone, or "*": any zone
 *     names    absent: all names of the zone. "NAME": that owner; "*.NAME": those below NAME; "sub:NAME": NAME and those below.
 *              A relative NAME is one below the zone, "@" is its apex; with zone "*" names must be absolute.
 *              (An owner that itself begins with an asterisk is within "*.NAME" and "sub:NAME", and has no pattern of its own.)
 *     types    absent: all types. Mnemonics or TYPEnnn; "ANY": the same as absent. For a deletion of all RRsets of a name (RFC
 *              2136 section 2.5.3) the types of all that are there must be allowed (update_plan.c).
 * transfer: apexes, or "*". Names in any case, the final dot may be missing. Nothing is allowed that is not said. */
#ifndef AZOTH_BUILDER_RIGHTS_H
#define AZOTH_BUILDER_RIGHTS_H

#include "base/arena.h"
#include "wire/name.h"
#include "wire/rrtype.h"

#include <jansson.h>

#define RIGHTS_TEXT_MAX 16384
#define RIGHTS_LIST_MAX 256             /* elements of each list */

struct rights_pattern { struct name name; bool self, below; };
struct rights_update {
    bool any_zone;
    struct name zone;
    const struct rights_pattern *names; size_t names_n;         /* 0: all */
    const uint16_t *types; size_t types_n;                      /* 0: all */
};
struct rights_zone { bool any; struct name apex; };
struct rights {
    const struct rights_update *update; size_t update_n;
    const struct rights_zone *transfer; size_t transfer_n;
};
/* An empty text grants nothing. Everything is in a. ERR_BAD: *fault names the member and what is wrong. ERR_LIMIT: too long. */
MUST_USE enum err rights_read(struct bytes text, struct arena *a, struct rights *out, struct fault *fault);
/* The same of an object that is JSON already (the API's). */
MUST_USE enum err rights_of_json(const json_t *object, struct arena *a, struct rights *out, struct fault *fault);
/* May the key change the RRset (owner, type) of the zone? TYPE_ANY: all of the owner's. */
bool rights_update(const struct rights *r, struct bytes zone, struct bytes owner, uint16_t type);
/* Anything at all in the zone. */
bool rights_update_some(const struct rights *r, struct bytes zone);
bool rights_transfer(const struct rights *r, struct bytes zone);

#endif
