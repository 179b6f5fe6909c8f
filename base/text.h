/* Bytes as text and back: hex and base64 (both by libsodium), and the small numbers of options and configuration. */
#ifndef AZOTH_BASE_TEXT_H
#define AZOTH_BASE_TEXT_H

#include "base/err.h"

/* Lower-case hex of b into out, terminated; cap >= 2 * b.len + 1. Gives out. */
const char *text_hex(char *out, size_t cap, struct bytes b);
/* Exactly `want` bytes from 2 * want hex digits. ERR_BAD: anything else. */
MUST_USE enum err text_from_hex(const char *text, uint8_t *out, size_t want);
/* Standard base64 with padding; cap >= 4 * ((len + 2) / 3) + 1. Gives out. */
const char *text_base64(char *out, size_t cap, struct bytes b);
MUST_USE enum err text_from_base64(const char *text, uint8_t *out, size_t want);

/* A whole decimal number up to max. ERR_BAD: sign, space, other letters, empty, above max. */
MUST_USE enum err text_number(const char *text, uint64_t max, uint64_t *out);
/* "64G", "512M", "4k", "100": powers of 1024. ERR_BAD as above, also on overflow. */
MUST_USE enum err text_size(const char *text, uint64_t *out_bytes);
/* "50ms", "5s", "10m", "2h", "7d": a number and its unit, no unit means seconds. */
MUST_USE enum err text_duration(const char *text, uint64_t *out_ms);
/* 1536 -> "1.5 KiB"; for tables that people read. Gives out. */
const char *text_of_size(char *out, size_t cap, uint64_t bytes);
/* No byte above 0x7f: in a domain name such a one is seldom meant as it is, but as a letter of an internationalised name. */
bool text_is_ascii(struct bytes b);

#endif
