#include "tools/table.h"

#include "tools/terminal.h"

#include <stdlib.h>
#include <string.h>

/* Columns that a text takes: of UTF-8 the bytes that begin a character. */
static int width_of(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

MUST_USE enum err table_add(struct table *t, const char *const *cells)
{
    if (t->rows == t->cap) {
        size_t cap = t->cap == 0 ? 64 : t->cap * 2;
        char **more = realloc(t->cells, cap * t->columns * sizeof *more);
        if (more == NULL)
            return ERR_NOMEM;
        t->cells = more;
        t->cap = cap;
    }
    char **row = &t->cells[t->rows * t->columns];
    for (size_t i = 0; i < t->columns; i++) {
        if ((row[i] = strdup(cells[i])) == NULL) {
            while (i > 0)
                free(row[--i]);
            return ERR_NOMEM;
        }
        int width = width_of(cells[i]) - (t->rows == 0 && cells[i][0] == '>');
        t->width[i] = width > t->width[i] ? width : t->width[i];
    }
    t->rows++;
    return OK;
}

MUST_USE enum err table_init(struct table *t, const char *const *heads, size_t columns)
{
    *t = (struct table){ .columns = columns };
    return table_add(t, heads);
}

static void spaces(int n)
{
    for (; n > 0; n--)
        (void)fputc(' ', stdout);
}

static void print_from(const struct table *t, size_t first)
{
    for (size_t r = first; r < t->rows; r++) {
        int owed = 0;                   /* spaces that are printed only when something follows */
        for (size_t i = 0; i < t->columns; i++) {
            const char *text = t->cells[r * t->columns + i];
            bool right = t->cells[i][0] == '>';
            text += r == 0 && right;
            int room = t->width[i] - width_of(text);
            if (text[0] != '\0') {
                spaces(owed + (right ? room : 0));
                terminal_text(stdout, text);
                owed = right ? 0 : room;
            } else {
                owed += room;
            }
            owed += 2;
        }
        (void)fputc('\n', stdout);
    }
}

void table_print(const struct table *t) { print_from(t, 0); }
void table_print_rows(const struct table *t) { print_from(t, 1); }

void table_release(struct table *t)
{
    for (size_t i = 0; i < t->rows * t->columns; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){ 0 };
}
