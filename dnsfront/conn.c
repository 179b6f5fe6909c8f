#include "dnsfront/conn.h"

#include "base/clock.h"
#include "dnsfront/clients.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

/* --- stages ----------------------------------------------------------------------------------------------------- */
static void leave(struct conn *c)
{
    struct conn_list *l = &c->tcp->stages[c->stage];
    *(c->prev != NULL ? &c->prev->next : &l->first) = c->next;
    *(c->next != NULL ? &c->next->prev : &l->last) = c->prev;
    c->prev = c->next = NULL;
}

static void append(struct conn *c, enum stage stage)
{
    struct conn_list *l = &c->tcp->stages[stage];
    c->stage = (uint8_t)stage;
    c->prev = l->last;
    *(l->last != NULL ? &l->last->next : &l->first) = c;
    l->last = c;
    c->since_ms = clock_mono_ms();
    c->taken_then = c->queued - conn_pending(c);
}

void conn_enter(struct conn *c, enum stage stage)
{
    leave(c);
    append(c, stage);
}

size_t conn_pending(const struct conn *c)
{
    return c->bev == NULL ? 0 : evbuffer_get_length(bufferevent_get_output(c->bev));
}

static size_t waiting(const struct conn *c)
{
    return evbuffer_get_length(bufferevent_get_input(c->bev));
}

bool conn_gets_on(struct conn *c)
{
    return c->queued - conn_pending(c) - c->taken_then >= TCP_TAKE_MIN;
}

/* --- memory ----------------------------------------------------------------------------------------------------- */
static void hold(struct conn *c)
{
    size_t now = c->bev == NULL ? 0 : conn_pending(c) + waiting(c);
    c->tcp->held = c->tcp->held - c->held + now;
    c->held = now;
}

static struct conn *slowest(const struct tcp *t, const struct conn *but)
{
    struct conn *w = t->stages[STAGE_WRITING].first, *p = t->stages[STAGE_PARTIAL].first;
    w = w == but ? w->next : w;
    p = p == but ? p->next : p;
    return w == NULL ? p : p == NULL ? w : w->since_ms < p->since_ms ? w : p;
}

/* What clients took meanwhile was not noticed: count anew before anybody has to go. */
static void bound_memory(struct tcp *t, const struct conn *but)
{
    if (t->held <= TCP_HELD_MAX)
        return;
    for (struct conn *c = t->stages[STAGE_WRITING].first; c != NULL; c = c->next)
        hold(c);
    for (struct conn *c; t->held > TCP_HELD_MAX && (c = slowest(t, but)) != NULL; ) {
        stat_add(&t->worker->counters.tcp_timeouts, 1);
        conn_close(c);
    }
}

/* --- messages --------------------------------------------------------------------------------------------------- */
struct batch { size_t used, len; bool broken, more; };     /* bytes of input done with and of t->out filled; more is there */

static struct batch answer_batch(struct conn *c, struct bytes in)
{
    struct tcp *t = c->tcp;
    struct answer_from from = {
        .proto = c->proto, .max = ANSWER_MAX, .client = peer_bytes(&c->client), .now_s = clock_wall_s(),
        .idle_100ms = (uint16_t)(t->config->tcp.idle_ms / 100 < UINT16_MAX ? t->config->tcp.idle_ms / 100 : UINT16_MAX),
    };
    struct batch b = { .used = 0 };
    struct answerer *a = worker_view_begin(t->worker);
    for (unsigned left = CONN_PER_WAKE; ; left--) {
        struct bytes msg;
        size_t need;
        enum err err = tcp_next(bytes_of(in.ptr + b.used, in.len - b.used), &msg, &need);
        b.broken = err == ERR_BAD;
        if (err != OK)
            break;
        if (left == 0 || OUT_MAX - b.len < MESSAGE_MAX) {
            b.more = true;
            break;
        }
        b.used += need;
        size_t n = answer(a, msg, &from, t->out + b.len + TCP_PREFIX, TCP_MESSAGE_MAX);
        if (n == 0)
            continue;
        tcp_put_prefix(t->out + b.len, n);
        b.len += TCP_PREFIX + n;
    }
    worker_view_end(t->worker);
    return b;
}

/* Is there anything to do? Asked before the input is made one piece, which copies: not for each byte of a dribble. */
static bool worth_a_look(const struct conn *c)
{
    uint8_t prefix[TCP_PREFIX];
    struct bytes msg;
    size_t need;
    ev_ssize_t n = evbuffer_copyout(bufferevent_get_input(c->bev), prefix, sizeof prefix);
    return n == TCP_PREFIX && (tcp_next(bytes_of(prefix, sizeof prefix), &msg, &need) != ERR_SHORT || waiting(c) >= need);
}

/* Straight to the socket when nothing is before it: answers and their lengths leave in one write. false: it is gone. */
static bool reply(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->proto == ANSWER_TCP && conn_pending(c) == 0) {
        ssize_t sent = send(bufferevent_getfd(c->bev), p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return false;
        p += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
    }
    c->queued += n;
    return n == 0 || bufferevent_write(c->bev, p, n) == 0;
}

/* Where it belongs after some work; progress: a whole message was used. */
static void settle(struct conn *c, bool progress)
{
    enum stage stage = conn_pending(c) > 0 ? STAGE_WRITING : waiting(c) > 0 ? STAGE_PARTIAL : STAGE_IDLE;
    if (stage != c->stage || (progress && stage != STAGE_WRITING))
        conn_enter(c, stage);
    hold(c);
    bound_memory(c->tcp, c);
}

/* By hand, for a watermark would do the same too early: libevent then stops in the middle of a TLS record and leaves the
 * rest of it inside the SSL, of which no event tells. */
static void pause_reading(struct conn *c, bool wait)
{
    if (wait != c->paused && !c->eof)
        (void)(wait ? bufferevent_disable(c->bev, EV_READ) : bufferevent_enable(c->bev, EV_READ));
    c->paused = wait;
}

/* Answers what has come, as far as the client takes it; the rest in a later turn. */
static void work(struct conn *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    struct batch b = { .used = 0 };
    bool wait = conn_pending(c) > TCP_PENDING_MAX, gone = false;
    if (!wait && worth_a_look(c)) {
        size_t n = waiting(c);
        const uint8_t *in = evbuffer_pullup(input, (ev_ssize_t)n);
        if (in == NULL) {
            conn_close(c);
            return;
        }
        b = answer_batch(c, bytes_of(in, n));
        gone = evbuffer_drain(input, b.used) != 0 || (b.len > 0 && !reply(c, c->tcp->out, b.len));
        wait = conn_pending(c) > TCP_PENDING_MAX;
    }
    if (b.broken)
        stat_add(&c->tcp->worker->counters.tcp_broken, 1);
    if (gone || b.broken || (c->eof && !b.more && conn_pending(c) == 0)) {
        conn_close(c);
        return;
    }
    pause_reading(c, wait || waiting(c) >= MESSAGE_MAX);
    if (b.more && !wait)
        bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
    settle(c, b.used > 0);
}

/* --- callbacks -------------------------------------------------------------------------------------------------- */
static void on_read(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    struct worker *w = c->tcp->worker;
    (void)bev;
    work(c);
    worker_slice(w);
}

/* All output is taken: a paused client may go on, a finished one is done. */
static void on_written(struct bufferevent *bev, void *arg)
{
    on_read(bev, arg);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *c = arg;
    struct worker *w = c->tcp->worker;
    (void)bev;
    /* With TLS libevent says EOF of a client that is gone as well, and again with every try to write. */
    if ((what & BEV_EVENT_EOF) != 0 && (what & BEV_EVENT_WRITING) == 0 && !c->eof) {        /* it may still read */
        c->eof = true;
        (void)bufferevent_enable(bev, EV_WRITE);        /* with TLS libevent has stopped both ways */
        work(c);
    } else {
        conn_close(c);
    }
    worker_slice(w);
}

/* --- life ------------------------------------------------------------------------------------------------------- */
MUST_USE bool conn_open(struct conn *c, int fd, SSL *ssl)
{
    struct event_base *base = c->tcp->worker->base;
    c->bev = ssl != NULL ? bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_OPEN, BEV_OPT_CLOSE_ON_FREE)
                         : bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (c->bev == NULL) {                       /* with ssl freed, for BEV_OPT_CLOSE_ON_FREE */
        (void)close(fd);
        return false;
    }
    if (ssl != NULL)
        bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
    conn_enter(c, STAGE_IDLE);
    return bufferevent_enable(c->bev, EV_READ | EV_WRITE) == 0;
}

struct conn *conn_new(struct tcp *t, int fd, const struct peer *p, bool tls, bool proxied)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        (void)close(fd);
        if (!proxied)
            clients_give(t->shared->clients, p);
        clients_leave(t->shared->clients);
        return NULL;
    }
    c->tcp = t;
    c->client = *p;
    c->proto = tls ? ANSWER_TLS : ANSWER_TCP;
    c->counted = !proxied;
    t->open++;
    stat_add(&t->worker->counters.tcp_accepted, 1);
    append(c, STAGE_OPENING);
    if (tls || proxied ? opening_begin(c, fd, tls, proxied) : conn_open(c, fd, NULL))
        return c;
    conn_close(c);
    return NULL;
}

void conn_close(struct conn *c)
{
    struct tcp *t = c->tcp;
    leave(c);
    t->held -= c->held;
    opening_end(c->opening);
    if (c->bev != NULL)
        bufferevent_free(c->bev);
    if (c->counted)
        clients_give(t->shared->clients, &c->client);
    clients_leave(t->shared->clients);
    free(c);
    t->open--;
    stat_add(&t->worker->counters.tcp_closed, 1);
    if (t->draining && t->open == 0)
        (void)event_base_loopbreak(t->worker->base);
}
