#include "dnsfront/conn.h"

#include "dnsfront/clients.h"
#include "dnsfront/tls.h"
#include "wire/proxy.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <unistd.h>

/* Both steps are ours and not libevent's: of a PROXY header not a byte more may be read than it has, since TLS begins
 * behind it; and a step of a handshake takes a millisecond of arithmetic, after each of which UDP is looked at. */
struct opening {
    int fd;                         /* -1: handed on */
    bool tls, proxied;              /* still to come */
    struct event *readable, *writable;
    SSL *ssl;
    size_t got;
    uint8_t header[PROXY_MAX];
};
enum progress { OPENING_WAITS, OPENING_DONE, OPENING_FAILED };

/* --- PROXY ------------------------------------------------------------------------------------------------------ */
static bool believe(struct conn *c, const struct proxy *p)
{
    if (p->source.len == 0)
        return true;                /* the proxy asks for itself: a health check, which is not counted */
    c->client = peer_of_bytes(p->source);
    c->counted = clients_take(c->tcp->shared->clients, &c->client);
    if (!c->counted)
        stat_add(&c->tcp->worker->counters.tcp_refused_client, 1);
    return c->counted;
}

static enum progress header_step(struct conn *c, struct opening *o)
{
    struct proxy p;
    size_t need;
    enum err err;
    while ((err = proxy_read(bytes_of(o->header, o->got), &p, &need)) == ERR_SHORT) {
        ssize_t n = recv(o->fd, o->header + o->got, need - o->got, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return OPENING_WAITS;
        if (n <= 0)
            return OPENING_FAILED;
        o->got += (size_t)n;
    }
    if (err != OK) {
        stat_add(&c->tcp->worker->counters.proxy_refused, 1);
        return OPENING_FAILED;
    }
    o->proxied = false;
    return believe(c, &p) ? OPENING_DONE : OPENING_FAILED;
}

/* --- TLS -------------------------------------------------------------------------------------------------------- */
static enum progress handshake_step(struct conn *c, struct opening *o)
{
    if (o->ssl == NULL && (o->ssl = tls_accept(c->tcp->shared->tls, o->fd)) == NULL)
        return OPENING_FAILED;
    ERR_clear_error();
    int rc = SSL_do_handshake(o->ssl), why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(o->ssl, rc);
    if (why == SSL_ERROR_WANT_WRITE)
        return event_add(o->writable, NULL) == 0 ? OPENING_WAITS : OPENING_FAILED;
    if (why == SSL_ERROR_WANT_READ)
        return OPENING_WAITS;
    ERR_clear_error();
    if (rc != 1) {
        stat_add(&c->tcp->worker->counters.tls_failed, 1);
        return OPENING_FAILED;
    }
    o->tls = false;
    return OPENING_DONE;
}

/* --- life ------------------------------------------------------------------------------------------------------- */
static void hand_on(struct conn *c, struct opening *o)
{
    int fd = o->fd;
    SSL *ssl = o->ssl;
    o->fd = -1;
    o->ssl = NULL;
    opening_end(o);
    c->opening = NULL;
    if (!conn_open(c, fd, ssl))
        conn_close(c);
}

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    struct opening *o = c->opening;
    struct worker *w = c->tcp->worker;
    enum progress got = OPENING_DONE;
    (void)fd, (void)what;
    if (o->proxied)
        got = header_step(c, o);
    if (got == OPENING_DONE && o->tls)
        got = handshake_step(c, o);
    if (got == OPENING_DONE)
        hand_on(c, o);
    else if (got == OPENING_FAILED)
        conn_close(c);
    worker_slice(w);
}

MUST_USE bool opening_begin(struct conn *c, int fd, bool tls, bool proxied)
{
    struct event_base *base = c->tcp->worker->base;
    struct opening *o = calloc(1, sizeof *o);
    if (o == NULL) {
        (void)close(fd);
        return false;
    }
    *o = (struct opening){ .fd = fd, .tls = tls, .proxied = proxied };
    o->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_step, c);
    o->writable = event_new(base, fd, EV_WRITE, on_step, c);
    c->opening = o;                 /* ended with c, also when the following fails */
    return o->readable != NULL && o->writable != NULL && event_add(o->readable, NULL) == 0;
}

void opening_end(struct opening *o)
{
    if (o == NULL)
        return;
    if (o->readable != NULL)
        event_free(o->readable);
    if (o->writable != NULL)
        event_free(o->writable);
    SSL_free(o->ssl);
    if (o->fd >= 0)
        (void)close(o->fd);
    free(o);
}
