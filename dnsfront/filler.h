/* The thread that keeps the filter of known names (known.h) filled: looks once a second whether it still holds, and fills it
 * anew when it does not, at low priority and never more than a tenth of the time. */
#ifndef AZOTH_DNSFRONT_FILLER_H
#define AZOTH_DNSFRONT_FILLER_H

#include "dnsfront/cache.h"

struct filler;
struct filler_stats { stat_count fills, failures, last_us; };   /* written by its thread */
/* c, s: borrowed until filler_close. *out NULL: the cache has no such filter. */
MUST_USE enum err filler_open(struct filler **out, struct cache *c, struct store *s, struct fault *fault);
void filler_close(struct filler *f);                        /* ends a filling at its next slice; NULL is fine */
const struct filler_stats *filler_stats(const struct filler *f);

#endif
