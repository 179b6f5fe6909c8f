#include "base/stat.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void stat_page_init(struct stat_page *p)
{
    *p = (struct stat_page){ 0 };
}

void stat_page_release(struct stat_page *p)
{
    free(p->text);
    stat_page_init(p);
}

void stat_print(struct stat_page *p, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n >= 0 && !p->failed && p->cap - p->len <= (size_t)n) {
        size_t cap = (p->cap + (size_t)n) * 2 + 256;
        char *more = realloc(p->text, cap);
        if (more == NULL) {
            p->failed = true;
        } else {
            p->text = more;
            p->cap = cap;
        }
    }
    if (n >= 0 && !p->failed) {
        (void)vsnprintf(p->text + p->len, p->cap - p->len, format, again);
        p->len += (size_t)n;
    }
    va_end(again);
}

void stat_head(struct stat_page *p, const char *name, const char *type, const char *help)
{
    stat_print(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void value_name(struct stat_page *p, const char *name, const char *labels)
{
    if (labels != NULL)
        stat_print(p, "%s{%s} ", name, labels);
    else
        stat_print(p, "%s ", name);
}

void stat_value(struct stat_page *p, const char *name, const char *labels, uint64_t value)
{
    value_name(p, name, labels);
    stat_print(p, "%" PRIu64 "\n", value);
}

void stat_ratio(struct stat_page *p, const char *name, const char *labels, double value)
{
    value_name(p, name, labels);
    stat_print(p, "%.6f\n", value);
}
