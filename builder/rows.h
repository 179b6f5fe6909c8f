/* Rows, zones, events and keys of the embedded source as bytes: FORMAT.md section 10.
 *
 *     row key     zone id | owner as rrset/rrkey.h writes it, without slot | mark        LMDB's order is the canonical one
 *     row         [ttl, modified, [record ...], [[text, account, modified] ...]]
 *
 * A zone id takes as few bytes as its size asks for (the first one says how many), a mark 2 but for types above 32,511:
 * so the key of every name fits LMDB's 511 bytes, but for such a type at the longest name there can be. */
#ifndef AZOTH_BUILDER_ROWS_H
#define AZOTH_BUILDER_ROWS_H

#include "builder/source.h"
#include "rrset/rrkey.h"

#define ROW_KEY_MAX 511
#define ROW_ID_MAX (((uint64_t)1 << 61) - 1)

/* --- keys ----------------------------------------------------------------------------------------------------------- */
/* What all rows of a zone begin with; of an owner; of one row. ERR_BAD, ERR_SHORT: owner is malformed. ERR_NOSPACE: too long. */
void row_key_zone(struct wr *w, uint64_t zone);
MUST_USE enum err row_key_owner(struct wr *w, uint64_t zone, struct bytes owner);
MUST_USE enum err row_key(struct wr *w, uint64_t zone, struct bytes owner, uint16_t type, uint16_t covers);
/* Taken apart, strictly. ERR_SHORT, ERR_BAD. */
struct row_key_parts { uint64_t zone; struct name owner; uint16_t type, covers; };
MUST_USE enum err row_key_read(struct bytes key, struct row_key_parts *out);
/* A name as key of zones and TSIG keys: its labels and their terminator. */
MUST_USE enum err row_name_key(struct wr *w, struct bytes name);
MUST_USE enum err row_name_read(struct bytes key, struct name *out);

/* --- values --------------------------------------------------------------------------------------------------------- */
/* Bytes that row_write needs at most. */
size_t row_size(const struct row *row);
/* What a row holds, without owner, type and covers. */
void row_write(struct wr *w, const struct row *row);
/* The same back; owner, type and covers of *out are left alone. Records and comments borrow from `in`, their lists are in a.
 * ERR_SHORT, ERR_BAD; ERR_NOMEM. */
MUST_USE enum err row_read(struct bytes in, struct arena *a, struct row *out);

size_t event_size(const struct event *e);
void event_write(struct wr *w, const struct event *e);      /* without its number */
/* Everything borrowed from `in`; number is left alone. */
MUST_USE enum err event_read(struct bytes in, struct event *out);

#define ZONE_VALUE_MAX (SETTINGS_ROW_MAX + 32)
#define SETTINGS_ROW_MAX 16384              /* SETTINGS_TEXT_MAX of settings.h */
void zone_value_write(struct wr *w, const struct zone_row *z);
MUST_USE enum err zone_value_read(struct bytes in, struct zone_row *out);      /* without its apex */

#define TSIG_ALGORITHM_MAX 64
#define TSIG_RIGHTS_MAX 16384
#define TSIG_VALUE_MAX (TSIG_ALGORITHM_MAX + TSIG_SECRET_MAX + TSIG_RIGHTS_MAX + 32)
void tsig_value_write(struct wr *w, const struct tsig_key_row *k);
MUST_USE enum err tsig_value_read(struct bytes in, struct tsig_key_row *out);  /* without its name */

#endif
