/* What is set for a zone beside its records; stored as a JSON object in its row (source.h), each member only where it is
 * not the default, unknown members kept. The API's names for them are these.
 *
 *     kind            native | secondary | file       file: named by core.zones or loaded offline, edited nowhere else; a secondary may
 *                                                     become native (CHANGE_NATIVE), nothing else moves
 *     serial_policy   increment | unixtime | date | keep      how the SOA serial moves with a change (serial.h)
 *     guard           normal | strict                 strict: transfers too are refused when over half would go
 *     account         free text of the users (PowerDNS's `account`)
 *     update_acl      [NETWORK, ...]                  who may send UPDATE without a key; none: nobody
 *     primaries       [{address, tsig}, ...]          of a secondary; address: ADDRESS or ADDRESS@PORT
 *     notify          [ADDRESS or ADDRESS@PORT, ...]  told of changes; "ADDRESS key:NAME": with the TSIG of that key
 *     transfer_acl    [NETWORK or "key:NAME", ...]    who may take the zone
 *     catalog         {primaries, notify, transfer_acl, groups}    a secondary that is a catalog zone (RFC 9432): what its members
 *                                                     get; true: {}. Without primaries: the catalog's own. groups: NAME to an
 *                                                     object of the same members, over these, for members of that group
 *     member_of       {catalog, id}                   made by that catalog zone, under that unique label; not the API's to set
 *     pdns            {...}                           what PowerDNS's API keeps and nobody here acts on: soa_edit, soa_edit_api,
 *                                                     api_rectify, dnssec, nsec3param, catalog, kind as it was said ...
 *     created, edited                                 Unix seconds; not the API's to set
 *
 * NETWORK: ADDRESS or ADDRESS/BITS (base/net.h). Names of keys are kept lower case, with their final dot. */
#ifndef AZOTH_BUILDER_SETTINGS_H
#define AZOTH_BUILDER_SETTINGS_H

#include "base/arena.h"
#include "builder/serial.h"
#include "rrset/rrset.h"

#include <jansson.h>

#define SETTINGS_TEXT_MAX 16384         /* of the JSON text */
#define SETTINGS_LIST_MAX 64            /* elements of each list */
#define SETTINGS_ACCOUNT_MAX 255        /* bytes; no control characters */

extern const char *const zone_kind_names[4];    /* "", file, native, secondary: by enum zone_kind */

struct zone_primary { const char *address, *tsig; };        /* ADDR or ADDR@PORT; key's name, "" none */
struct text_list { const char *const *v; size_t n; };
struct zone_settings {                  /* strings and lists: in the arena they were read into */
    enum zone_kind kind;
    enum serial_policy serial;
    bool strict;
    const char *account;                /* "" none */
    struct text_list update_acl, notify, transfer_acl;
    const struct zone_primary *primaries; size_t primaries_n;
    json_t *catalog;                    /* NULL: no catalog zone; a new reference, settings_release ends it */
    const char *member_catalog, *member_id;         /* "" none; the name with its final dot, the label as text */
    json_t *pdns;                       /* NULL: none; the same */
    json_t *unknown;                    /* members of a later version; the same */
    uint64_t created_s, edited_s;
};
void settings_init(struct zone_settings *s, enum zone_kind kind);       /* the defaults */
void settings_release(struct zone_settings *s);
/* One more reference to what settings_release ends: of a copy. */
void settings_hold(const struct zone_settings *s);
/* The JSON text of a row. ERR_BAD: *fault says what is wrong and where. out must be released in any case. */
MUST_USE enum err settings_read(struct bytes text, struct arena *a, struct zone_settings *out, struct fault *fault);
/* Members of an API's object that are settings, over what *s says already (strings into a); null puts the default back. Members
 * for which `other` says true are left alone; an unknown one is ERR_BAD, as is a wrong type or value: *fault names the member. */
MUST_USE enum err settings_merge(struct zone_settings *s, const json_t *object, bool (*other)(const char *member),
                                 struct arena *a, struct fault *fault);
/* As an object for the API (defaults too; NULL: out of memory), or as text for the row (without them; in a; ERR_LIMIT: over
 * SETTINGS_TEXT_MAX). */
json_t *settings_object(const struct zone_settings *s);
MUST_USE enum err settings_text(const struct zone_settings *s, struct arena *a, struct bytes *out);

/* What goes together, and what an edit by anybody but the catalog (by_catalog) must leave alone. ERR_REFUSED: *fault says why. */
MUST_USE enum err settings_check(const struct zone_settings *s, struct fault *fault);
MUST_USE enum err settings_check_edit(const struct zone_settings *before, const struct zone_settings *after, bool by_catalog,
                                      struct fault *fault);
/* What a member of the catalog zone with these settings gets: kind, primaries, notify, transfer_acl; of its groups the first that
 * the settings name counts. Strings: in a, or of those settings. out must be released in any case. */
MUST_USE enum err settings_of_member(const struct zone_settings *catalog, const struct bytes *groups, size_t n, struct arena *a,
                                     struct zone_settings *out, struct fault *fault);
/* The same primaries, notify and transfer_acl. */
bool settings_same_peers(const struct zone_settings *a, const struct zone_settings *b);

#endif
