/* The scanner of zone files: bytes to words (RFC 1035 section 5.1). Knows quotes, escapes, comments, parentheses and
 * line ends, and nothing of names, types or directives.
 *
 *     foo ( MX 10 ; comment        ─►  "foo" "MX" "10" "bar" END
 *           bar )
 *
 * An entry is what stands up to a line end outside parentheses. A word keeps its escapes, which are known to be well
 * formed (\DDD up to 255, or \X); a quoted string comes without its quotes. */
#ifndef AZOTH_BUILDER_SCAN_H
#define AZOTH_BUILDER_SCAN_H

#include "base/err.h"

#define SCAN_ENTRY_MAX ((size_t)1 << 20)    /* text of one entry: 64 KiB of RDATA as \DDD, with room for comments */

struct token { struct bytes text; bool quoted, escaped; };     /* text: borrowed from the scanned bytes */
enum scan_got { SCAN_WORD, SCAN_END, SCAN_ERROR };
struct scan {
    const uint8_t *p, *end, *entry;     /* entry: where the entry at hand begins */
    uint32_t line;                      /* of p */
    unsigned depth;
    bool ended;                         /* the entry's end was read */
    bool blank;                         /* the entry begins with a space or tab: its owner is inherited */
    bool hopeless;                      /* entries cannot be told apart any more: stop reading this text */
    const char *problem;                /* of the last SCAN_ERROR */
};

void scan_init(struct scan *s, struct bytes text, uint32_t first_line);
/* Begins the next entry; false: the text is at its end. */
bool scan_entry(struct scan *s);
/* The next word of the entry. SCAN_ERROR: s->problem says why; the byte is skipped, so one may go on.
 * pairs: in a word, ="..." belongs to it (SVCB parameters), quotes kept; else a quote begins a word of its own. */
enum scan_got scan_word(struct scan *s, bool pairs, struct token *out);
/* Leaves the rest of the entry unread. */
void scan_skip(struct scan *s);

/* One character of a word, escapes resolved; *p moves on. *literal: it was escaped. */
uint8_t scan_char(const uint8_t **p, bool *literal);

#endif
