#include "dnsfront/tls.h"

#include "base/openssl.h"

#include <pthread.h>
#include <stdlib.h>

struct tls { pthread_mutex_t lock; SSL_CTX *context; };     /* lock: tls_reload changes context under it */

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
    SSL_CTX *c;
    enum err err = openssl_server(&c, "dns.tls", cert, key, fault);
    if (err != OK)
        return err;
    (void)SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);        /* idle connections are many */
    (void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(c, on_alpn, NULL);
    *out = c;
    return OK;
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
