/* A small HTTP server inside a daemon's event loop: /metrics, /healthz, /readyz, each a page written on request.
 * An I/O shell over base/http_server.h: only GET and HEAD, bounded headers, no body, short timeouts. */
#ifndef AZOTH_BASE_HTTP_H
#define AZOTH_BASE_HTTP_H

#include "base/stat.h"

struct event_base;
struct http;

/* Writes the page and returns the HTTP status (200, 503, ...). Runs in the loop's thread. */
typedef int http_page_fn(void *arg, struct stat_page *page);

/* listen: "ADDRESS@PORT", IPv6 without brackets. ERR_NET: address in use and the like, *fault names it. */
MUST_USE enum err http_open(struct http **out, struct event_base *base, const char *listen, struct fault *fault);
/* path: exact, borrowed for ever (a literal). type: "text/plain; version=0.0.4" and the like, a literal too. */
MUST_USE enum err http_route(struct http *h, const char *path, const char *type, http_page_fn *page, void *arg);
void http_close(struct http *h);

#endif
