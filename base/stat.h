/* Metrics as text, in the Prometheus exposition format (version 0.0.4). The counters themselves are plain struct
 * members of whoever counts; a page is written when somebody asks for it.
 *
 *     stat_head(&page, "azoth_dns_queries_total", "counter", "queries received");
 *     stat_value(&page, "azoth_dns_queries_total", "proto=\"udp\"", n);
 *
 * Counters that another thread reads are `stat_count` and are bumped by their one owner without a lock. */
#ifndef AZOTH_BASE_STAT_H
#define AZOTH_BASE_STAT_H

#include "base/err.h"

#include <stdatomic.h>

typedef _Atomic uint64_t stat_count;

/* One writer thread per counter, so a plain load and store is enough (no locked instruction). */
static inline void stat_add(stat_count *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void stat_set(stat_count *c, uint64_t n) { atomic_store_explicit(c, n, memory_order_relaxed); }
static inline uint64_t stat_get(const stat_count *c)
{
    return atomic_load_explicit((stat_count *)(uintptr_t)c, memory_order_relaxed);
}

struct stat_page { char *text; size_t len, cap; bool failed; };     /* text: owned, terminated; failed: out of memory */

void stat_page_init(struct stat_page *p);
void stat_page_release(struct stat_page *p);
void stat_head(struct stat_page *p, const char *name, const char *type, const char *help);
/* labels: what stands between the braces, or NULL. */
void stat_value(struct stat_page *p, const char *name, const char *labels, uint64_t value);
void stat_ratio(struct stat_page *p, const char *name, const char *labels, double value);
/* Any text, for pages that are not metrics. */
void stat_print(struct stat_page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
