/* The three forms of `azoth dump`, each over one open view. */
#ifndef AZOTH_TOOLS_DUMP_H
#define AZOTH_TOOLS_DUMP_H

#include "tools/tool.h"
#include "wire/name.h"

/* ns NULL: all of them */
struct dump_what { const struct tool_store *t; const char *ns; bool one_zone; struct name zone; };

/* Exit codes; have told why when not EXIT_FINE. */
int dump_zone_files(const struct dump_what *d);     /* dns only: zone files, with one comment line between zones */
int dump_json(const struct dump_what *d);           /* dns: one object per RRset; others: per entry */
int dump_keys(const struct dump_what *d);           /* one line per key: namespace, hex, readable form */

#endif
