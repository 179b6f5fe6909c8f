#include "builder/api_tls.h"

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>

static enum err failed(const char *what, const char *path, struct fault *fault)
{
    char text[160] = "";
    ERR_error_string_n(ERR_peek_last_error(), text, sizeof text);
    ERR_clear_error();
    return fault_set(fault, ERR_CONFIG, "%s %.200s: %s", what, path, text);
}

MUST_USE enum err api_tls_load(SSL_CTX **out, const char *cert, const char *key, struct fault *fault)
{
    enum err err = OK;
    *out = NULL;
    if (cert == NULL)
        return OK;
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL)
        return ERR_NOMEM;
    (void)SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1)
        err = failed("certificate", cert, fault);
    else if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        err = failed("private key", key, fault);
    else if (SSL_CTX_check_private_key(tls) != 1)
        err = failed("the certificate does not belong to", key, fault);
    if (err != OK)
        SSL_CTX_free(tls);
    else
        *out = tls;
    return err;
}

struct bufferevent *api_tls_connection(struct event_base *base, SSL_CTX *tls)
{
    SSL *ssl = SSL_new(tls);
    if (ssl == NULL)
        return NULL;
    struct bufferevent *bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                             BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL)
        SSL_free(ssl);
    else
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}
