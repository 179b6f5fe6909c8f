/* Words of a zone file as values: names, numbers, times, types, classes. Each gives NULL, or the reason why the word is
 * none (a literal). */
#ifndef AZOTH_BUILDER_WORDS_H
#define AZOTH_BUILDER_WORDS_H

#include "builder/scan.h"
#include "wire/name.h"

/* A name, relative ones under origin; lower: in lower case. */
MUST_USE const char *word_name(const struct token *t, struct bytes origin, bool lower, struct name *out);
MUST_USE const char *word_number(const struct token *t, uint32_t max, uint32_t *out);
/* 3600, 1h, 1W2D3H4M5S; above 2^31-1 is 0 (RFC 2181 section 8). */
MUST_USE const char *word_ttl(const struct token *t, uint32_t *out);
/* The same without the bound of TTLs: the times of an SOA. */
MUST_USE const char *word_period(const struct token *t, uint32_t *out);
/* Mnemonic of any case, or TYPEnnn. */
MUST_USE const char *word_type(const struct token *t, uint16_t *out);
/* false: the word is no class. */
MUST_USE bool word_class(const struct token *t, uint16_t *out);
bool word_is(const struct token *t, const char *upper);             /* an unquoted word, ignoring case */

#endif
