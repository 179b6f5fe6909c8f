/* Stored things as text for people: records as zone-file lines, keys, types, times, bytes as hex. */
#ifndef AZOTH_TOOLS_RRTEXT_H
#define AZOTH_TOOLS_RRTEXT_H

#include "builder/zone.h"

#include <jansson.h>
#include <stdio.h>

#define RR_TEXT_MAX ((size_t)4 * 65536 + 2 * NAME_TEXT_MAX + 64)   /* each RDATA byte as \DDD is the longest form */

/* Turns records into zone-file lines; keeps the owner of the record before, since a zone's records come owner by
 * owner. */
struct rr_text {
    uint8_t owner[NAME_MAX_LEN];
    char owner_text[NAME_TEXT_MAX];
    size_t owner_len, owner_text_len;
};

/* "owner TTL IN TYPE RDATA" without newline into out, terminated; *len without the 0. A path of our own for the types
 * that zones consist of, ldns for the rest. cap RR_TEXT_MAX always fits. ERR_NOSPACE, ERR_BAD: as rr_to_text. */
MUST_USE enum err rr_text_line(struct rr_text *t, const struct zone_rr *rr, char *out, size_t cap, size_t *len,
                               struct fault *fault);
/* RDATA alone: what stands behind the type in that line. */
MUST_USE enum err rr_text_rdata(struct rr_text *t, const struct zone_rr *rr, char *out, size_t cap, const char **rdata,
                                struct fault *fault);

/* "A", "TYPE65280"; private slots of keys: "zone-header", "parent-ns", ... Gives out. */
#define TYPE_TEXT_MAX 24
const char *type_text(char out[TYPE_TEXT_MAX], uint16_t type);
/* As type_text, but slot 0 is "address". */
const char *slot_text(char out[TYPE_TEXT_MAX], uint16_t slot);
MUST_USE enum err type_from_text(const char *text, uint16_t *out);

/* A key of namespace ns: "www.example.com./address"; "example.com./shadow/www.sub.example.com./MX"; keys of other
 * namespaces as text in quotes when printable, else hex. Never fails: a malformed key is shown as hex. Gives out. */
#define KEY_TEXT_MAX (NAME_TEXT_MAX * 2 + 2 * TYPE_TEXT_MAX + 64)
const char *key_text(char *out, size_t cap, struct bytes ns, struct bytes key);

/* "2026-11-20T18:00:00.123Z" */
#define TIME_TEXT_MAX 40
const char *time_text(char out[TIME_TEXT_MAX], uint64_t wall_ms);

/* The same for JSON: without quotes; null for a key of another namespace that is not printable. */
json_t *json_key(struct bytes ns, struct bytes key);

void print_hex(FILE *to, struct bytes b);
/* A JSON string of the bytes in hex; NULL when out of memory. */
json_t *json_hex(struct bytes b);
/* A JSON string of any C string: bytes that are no UTF-8 become '?'. */
json_t *json_words(const char *text);
/* One object on one line on stdout; takes the reference. ERR_NOMEM: v is NULL or cannot be printed. */
MUST_USE enum err json_line(json_t *v);

#endif
