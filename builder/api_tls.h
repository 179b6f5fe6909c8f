/* The API's certificate, and connections over TLS. */
#ifndef AZOTH_BUILDER_API_TLS_H
#define AZOTH_BUILDER_API_TLS_H

#include "base/err.h"

#include <openssl/ssl.h>

struct bufferevent;
struct event_base;

/* cert, key: PEM files; cert NULL: no TLS, *out NULL. ERR_CONFIG: the fault names the file. */
MUST_USE enum err api_tls_load(SSL_CTX **out, const char *cert, const char *key, struct fault *fault);
/* Of an http_server, which gives it its socket; NULL: out of memory. */
struct bufferevent *api_tls_connection(struct event_base *base, SSL_CTX *tls);

#endif
