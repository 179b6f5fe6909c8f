#include "dnsfront/tls.h"

#include "base/openssl.h"

#include <pthread.h>
#include <stdlib.h>

struct tls { pthread_mutex_t lock; SSL_CTX *context; };     /* lock: tls_reload changes context under it */

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

/* Who offers "dot" hears it back; who offers other things only is served all the same: RFC 7858 is older than the word. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
                   void *arg)
{
    static const unsigned char dot[] = "\3dot";
    unsigned char *chosen;
    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, dot, sizeof dot - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static enum err load(SSL_CTX **out, const char *cert, const char *key, struct fault *fault)
{
    enum err err = OK;
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    if (c == NULL)
        return ERR_NOMEM;
    (void)SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);        /* idle connections are many */
    (void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(c, on_alpn, NULL);
    SSL_CTX_set_default_passwd_cb(c, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(c, cert) != 1)
        err = failed("dns.tls.cert: certificate", cert, fault);
    else if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
        err = failed("dns.tls.key: private key", key, fault);
    else if (SSL_CTX_check_private_key(c) != 1)
        err = failed("dns.tls.key: the certificate does not belong to", key, fault);
    if (err != OK)
        SSL_CTX_free(c);
    else
        *out = c;
    return err;
}

MUST_USE enum err tls_open(struct tls **out, const char *cert, const char *key, struct fault *fault)
{
    struct tls *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    enum err err = load(&t->context, cert, key, fault);
    if (err != OK) {
        free(t);
        return err;
    }
    (void)pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return OK;
}

MUST_USE enum err tls_reload(struct tls *t, const char *cert, const char *key, struct fault *fault)
{
    SSL_CTX *fresh, *old;
    enum err err = load(&fresh, cert, key, fault);
    if (err != OK)
        return err;
    pthread_mutex_lock(&t->lock);
    old = t->context;
    t->context = fresh;
    pthread_mutex_unlock(&t->lock);
    SSL_CTX_free(old);              /* connections that use it hold it */
    return OK;
}

SSL *tls_accept(struct tls *t, int fd)
{
    pthread_mutex_lock(&t->lock);
    SSL *ssl = SSL_new(t->context);
    pthread_mutex_unlock(&t->lock);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

void tls_close(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_CTX_free(t->context);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}
