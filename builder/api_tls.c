#include "builder/api_tls.h"

#include "base/openssl.h"

#include <event2/bufferevent_ssl.h>

static enum err failed(const char *what, const char *path, struct fault *fault)
{
    char text[160];
    return fault_set(fault, ERR_CONFIG, "%s %.200s: %s", what, path, openssl_why(text, sizeof text));
}

/* A key behind a passphrase is refused: OpenSSL would ask the terminal, and a server has nobody there. */
static int no_passphrase(char *out, int cap, int writing, void *arg)
{
    (void)out, (void)cap, (void)writing, (void)arg;
    return -1;
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
    SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1)
        err = failed("core.api.cert: certificate", cert, fault);
    else if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        err = failed("core.api.key: private key", key, fault);
    else if (SSL_CTX_check_private_key(tls) != 1)
        err = failed("core.api.key: the certificate does not belong to", key, fault);
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
