/* What the files of /v1/zones share; for them, /v1/tsig and PowerDNS's API only. */
#ifndef AZOTH_BUILDER_API_ZONES_H
#define AZOTH_BUILDER_API_ZONES_H

#include "builder/api_parts.h"

#define API_INLINE_MAX ((size_t)16 << 10)       /* bodies up to this are read in the loop; larger ones in a reading thread */

/* ?limit=; not given: 1000. false: the reply says why. */
bool api_limit_read(struct api_call *c, struct bytes text, uint64_t *out);
/* The serial of a zone header's SOA; 0: it has none. */
uint32_t api_serial_of(struct bytes apex, const struct zone_header *h);

/* A zone as records and store have it; api_zone_seen_end ends it. ERR_NOTFOUND: neither knows it. */
struct api_zone_seen {
    struct source_txn *txn;         /* reading */
    struct zone_row row;            /* its settings are borrowed until the end */
    struct zone_header header;      /* borrowed from the view */
    bool has_row, has_header;
};
MUST_USE enum err api_zone_look(const struct api_work *w, struct bytes apex, struct api_zone_seen *out, struct fault *fault);
void api_zone_seen_end(struct api_zone_seen *s);
/* Into the zone's object what is no setting of it: name servers, what a secondary is doing; counts: of its records, which looks at
 * all of them (api_show.c). */
MUST_USE enum err api_zone_tell(struct api_call *c, const struct api_work *w, struct bytes apex, bool counts, json_t *o, struct fault *fault);
/* What a secondary is doing, alone; nothing for any other zone. */
MUST_USE enum err api_zone_secondary(struct api_call *c, const struct api_work *w, struct bytes apex, json_t *o);

/* An object's members that are settings, over the defaults of a kind; out must be released in any case. false: the reply
 * says why. other: settings_merge. */
bool api_settings_fit(struct api_call *c, const json_t *object, bool (*other)(const char *member), enum zone_kind kind,
                      struct zone_settings *out);
/* GET of a zone's RRsets, and of one (api_rrlist.c). */
enum api_next api_rrsets_list(struct api_call *c, const struct api_request *r, const struct name *apex);
enum api_next api_rrsets_one(struct api_call *c, const struct api_request *r, const struct name *apex, struct bytes owner,
                             uint16_t type);
/* POST /v1/zones (api_whole.c). */
enum api_next api_zone_create(struct api_call *c, const struct api_request *r);

#endif
