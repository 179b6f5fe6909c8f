/* How many questions a second azoth-dns on the same host gets: its metrics page is asked for now and then. What it does not
 * say is 0; nothing here ever waits for it. In the loop's thread. */
#ifndef AZOTH_REPLICATOR_EDGE_QPS_H
#define AZOTH_REPLICATOR_EDGE_QPS_H

#include "base/err.h"

#define EDGE_QPS_EVERY_MS 2000

struct event_base;
struct edge_qps;
/* listen: where azoth-dns listens for HTTP, ADDRESS@PORT; NULL, or no address but a name: always 0. */
MUST_USE enum err edge_qps_open(struct edge_qps **out, struct event_base *base, const char *listen);
void edge_qps_close(struct edge_qps *q);                /* NULL is fine */
uint64_t edge_qps_now(const struct edge_qps *q);

/* The sum of azoth_dns_queries_total over its labels. ERR_NOTFOUND: the page has none. */
MUST_USE enum err edge_qps_sum(struct bytes page, uint64_t *out);

#endif
