#include "builder/api_tls.h"

#include "base/openssl.h"

#include <event2/bufferevent_ssl.h>

MUST_USE enum err api_tls_load(SSL_CTX **out, const char *cert, const char *key, struct fault *fault)
{
    *out = NULL;
    return cert == NULL ? OK : openssl_server(out, "core.api", cert, key, fault);
}

struct bufferevent *api_tls_connection(struct event_base *base, SSL_CTX *tls)
{
    SSL *ssl = SSL_new(tls);
    if (ssl == NULL)
        return NULL;
    struct bufferevent *bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                             BEV_OPT_CLOSE_ON_FREE);
    if (bev != NULL)                            /* else the SSL is freed already */
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}
