/* A table of text: columns as wide as what stands in them. */
#ifndef AZOTH_TOOLS_TABLE_H
#define AZOTH_TOOLS_TABLE_H

#include "base/err.h"

#define TABLE_COLUMNS_MAX 12

struct table { size_t columns, rows, cap; char **cells; int width[TABLE_COLUMNS_MAX]; };

/* heads: one per column; those that begin with ">" stand to the right. */
MUST_USE enum err table_init(struct table *t, const char *const *heads, size_t columns);
/* Texts are copied; what is no printable ASCII or UTF-8 becomes \xNN when it is printed. */
MUST_USE enum err table_add(struct table *t, const char *const *cells);
void table_print_rows(const struct table *t);       /* without the heads */
void table_print(const struct table *t);            /* to stdout; trailing spaces are left out */
void table_release(struct table *t);

#endif
