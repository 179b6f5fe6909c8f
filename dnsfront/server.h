/* azoth-dns as a whole: workers, the store once it is there, metrics. Lives in the main thread. */
#ifndef AZOTH_DNSFRONT_SERVER_H
#define AZOTH_DNSFRONT_SERVER_H

#include "base/http.h"
#include "dnsfront/filler.h"
#include "dnsfront/shared.h"
#include "dnsfront/worker.h"

struct server {
    const struct config *config;
    struct event_base *base;
    struct http *http;
    struct store *store;            /* NULL: none yet */
    struct view *view;              /* of the main thread, for metrics and readiness */
    struct shared shared;
    struct cache *cache;            /* of answers */
    struct filler *filler;          /* NULL: no store yet, or the cache is too small */
    struct worker *workers;
    unsigned workers_n;
    uint64_t started_ms;            /* monotonic */
    uint64_t limited;               /* answers that rrl held back when that was last told */
    uint64_t proxy_refused;         /* likewise, what proxies sent without a good header */
    struct log_brake limited_brake, proxy_brake;
};

/* --- metrics.c ---------------------------------------------------------------------------------------------------- */
/* /metrics, /healthz, /readyz on dns.http.listen, when configured. */
MUST_USE enum err metrics_open(struct server *s, struct fault *fault);
/* Every second: says in the log when equal answers are being held back, or proxies not understood. */
void server_tell_limits(struct server *s);
/* The head of the data served now. ERR_NOTFOUND: no store, or nothing committed. */
MUST_USE enum err server_head(struct server *s, struct head *out);

#endif
