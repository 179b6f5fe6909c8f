#include "dnsfront/tcp.h"

#include "base/clock.h"
#include "wire/tcp.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGE_MAX (TCP_PREFIX + TCP_MESSAGE_MAX)
#define OUT_MAX ((size_t)4 * MESSAGE_MAX)       /* answers made under one view */
#define SWEEP_MS 250                            /* idle connections, listeners that ran out of descriptors */

struct conn {
    struct tcp *tcp;
    struct bufferevent *bev;
    struct conn *prev, *next;                   /* by since_ms, the longest idle first */
    uint64_t since_ms;                          /* the last whole message, or the start */
    bool eof, paused;
};
struct tcp_listener { struct tcp *tcp; struct evconnlistener *listener; };
struct tcp {
    struct worker *worker;
    struct tcp_listener *listeners;
    size_t listeners_n;
    struct conn *first, *last;
    unsigned open, most;
    uint64_t idle_ms;
    bool draining;
    struct event *sweep;                        /* closes idle connections, wakes listeners */
    uint8_t out[OUT_MAX];
};

/* --- the list of connections ------------------------------------------------------------------------------------ */
static void unlink_conn(struct conn *c)
{
    struct tcp *t = c->tcp;
    *(c->prev != NULL ? &c->prev->next : &t->first) = c->next;
    *(c->next != NULL ? &c->next->prev : &t->last) = c->prev;
    c->prev = c->next = NULL;
}

static void link_last(struct conn *c)
{
    struct tcp *t = c->tcp;
    c->prev = t->last;
    *(t->last != NULL ? &t->last->next : &t->first) = c;
    t->last = c;
    c->since_ms = clock_mono_ms();
}

static void conn_close(struct conn *c)
{
    struct tcp *t = c->tcp;
    unlink_conn(c);
    bufferevent_free(c->bev);
    free(c);
    t->open--;
    stat_add(&t->worker->counters.tcp_closed, 1);
    if (t->draining && t->open == 0)
        (void)event_base_loopbreak(t->worker->base);
}

static size_t pending(const struct conn *c) { return evbuffer_get_length(bufferevent_get_output(c->bev)); }

/* --- messages --------------------------------------------------------------------------------------------------- */
/* Answers whole messages of `in` into t->out under one view. *used: bytes of `in` done with; *len: of t->out filled.
 * false: the framing is broken. */
static bool answer_batch(struct tcp *t, struct bytes in, size_t *used, size_t *len)
{
    static const struct answer_from from = { ANSWER_TCP, ANSWER_MAX };
    struct answerer *a = worker_view_begin(t->worker);
    enum err err = OK;
    *used = *len = 0;
    while (OUT_MAX - *len >= MESSAGE_MAX) {
        struct bytes msg;
        size_t need;
        if ((err = tcp_next(bytes_of(in.ptr + *used, in.len - *used), &msg, &need)) != OK)
            break;
        *used += need;
        size_t n = answer(a, msg, &from, t->out + *len + TCP_PREFIX, TCP_MESSAGE_MAX);
        if (n == 0)
            continue;
        tcp_put_prefix(t->out + *len, n);
        *len += TCP_PREFIX + n;
    }
    worker_view_end(t->worker);
    return err != ERR_BAD;
}

/* Answers what has come, as far as the client takes it. false: the connection is closed. */
static bool conn_work(struct conn *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    bool good = true, more = true;
    size_t used = 0, len = 0;
    while (good && more && pending(c) <= TCP_PENDING_MAX && evbuffer_get_length(input) >= TCP_PREFIX) {
        size_t n = evbuffer_get_length(input);
        const uint8_t *in = evbuffer_pullup(input, (ev_ssize_t)n);
        if (in == NULL)
            break;
        good = answer_batch(c->tcp, bytes_of(in, n), &used, &len);
        more = used > 0;
        if (evbuffer_drain(input, used) != 0 || (len > 0 && bufferevent_write(c->bev, c->tcp->out, len) != 0))
            good = false;
        if (more) {
            unlink_conn(c);
            link_last(c);
        }
    }
    bool wait = pending(c) > TCP_PENDING_MAX;
    if (wait != c->paused && !c->eof)
        (void)(wait ? bufferevent_disable(c->bev, EV_READ) : bufferevent_enable(c->bev, EV_READ));
    c->paused = wait;
    if (!good)
        stat_add(&c->tcp->worker->counters.tcp_broken, 1);
    if (!good || (c->eof && pending(c) == 0)) {
        conn_close(c);
        return false;
    }
    return true;
}

/* --- callbacks -------------------------------------------------------------------------------------------------- */
static void on_read(struct bufferevent *bev, void *arg)
{
    (void)bev;
    (void)conn_work(arg);
}

/* Output fell to the low mark: a paused client may go on, a finished one is done when all is out. */
static void on_written(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    (void)bev;
    if (c->paused || c->eof)
        (void)conn_work(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *c = arg;
    (void)bev;
    if ((what & BEV_EVENT_EOF) != 0) {          /* it may still read */
        c->eof = true;
        (void)conn_work(c);
    } else {
        if ((what & BEV_EVENT_TIMEOUT) != 0)
            stat_add(&c->tcp->worker->counters.tcp_timeouts, 1);
        conn_close(c);
    }
}

/* Room for one more, if need be that of the longest idle connection. */
static bool make_room(struct tcp *t)
{
    if (t->open < t->most)
        return true;
    for (struct conn *c = t->first; c != NULL; c = c->next)
        if (pending(c) == 0 && evbuffer_get_length(bufferevent_get_input(c->bev)) == 0) {
            conn_close(c);
            return true;
        }
    return false;
}

static struct conn *conn_open(struct tcp *t, evutil_socket_t fd)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->tcp = t;
    c->bev = bufferevent_socket_new(t->worker->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (c->bev == NULL) {
        free(c);
        return NULL;
    }
    return c;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
    struct tcp *t = ((struct tcp_listener *)arg)->tcp;
    struct timeval idle = { (time_t)(t->idle_ms / 1000), (suseconds_t)(t->idle_ms % 1000 * 1000) };
    struct conn *c = NULL;
    int one = 1;
    (void)listener, (void)addr, (void)len;
    if (!make_room(t) || (c = conn_open(t, fd)) == NULL) {
        stat_add(&t->worker->counters.tcp_refused, 1);
        (void)close(fd);
        return;
    }
    stat_add(&t->worker->counters.tcp_accepted, 1);
    t->open++;
    link_last(c);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, MESSAGE_MAX);
    bufferevent_set_timeouts(c->bev, NULL, &idle);      /* of a write without progress; idleness is swept */
    if (bufferevent_enable(c->bev, EV_READ | EV_WRITE) != 0)
        conn_close(c);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct tcp *t = ((struct tcp_listener *)arg)->tcp;
    stat_add(&t->worker->counters.tcp_refused, 1);
    (void)evconnlistener_disable(listener);     /* until the next sweep */
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct tcp *t = arg;
    uint64_t now = clock_mono_ms();
    (void)fd, (void)what;
    for (struct conn *c = t->first, *next; c != NULL && (t->draining || now - c->since_ms >= t->idle_ms); c = next) {
        next = c->next;
        if (pending(c) > 0)                     /* it is still taking answers: the write timeout watches that */
            continue;
        stat_add(&t->worker->counters.tcp_timeouts, !t->draining);
        conn_close(c);
    }
    for (size_t i = 0; i < t->listeners_n && !t->draining; i++)
        (void)evconnlistener_enable(t->listeners[i].listener);
}

/* --- life ------------------------------------------------------------------------------------------------------- */
static enum err listener_open(struct tcp *t, struct tcp_listener *l, const struct listen_address *a,
                              struct fault *fault)
{
    int fd;
    enum err err = listen_socket(a, SOCK_STREAM, &fd, fault);
    if (err != OK)
        return err;
    l->tcp = t;
    l->listener =
        evconnlistener_new(t->worker->base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (l->listener == NULL) {
        (void)close(fd);
        return ERR_NOMEM;
    }
    evconnlistener_set_error_cb(l->listener, on_accept_error);
    return OK;
}

static enum err sweep_open(struct tcp *t)
{
    static const struct timeval every = { SWEEP_MS / 1000, SWEEP_MS % 1000 * 1000 };
    t->sweep = event_new(t->worker->base, -1, EV_PERSIST, on_sweep, t);
    return t->sweep == NULL || event_add(t->sweep, &every) != 0 ? ERR_NOMEM : OK;
}

MUST_USE enum err tcp_open(struct tcp **out, struct worker *w, const struct listen_address *listens, size_t n,
                           struct fault *fault)
{
    struct tcp *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->worker = w;
    t->idle_ms = w->config->tcp.idle_ms;
    t->most = (unsigned)(w->config->tcp.connections / w->workers);
    t->most = t->most > 0 ? t->most : 1;
    t->listeners = calloc(n, sizeof *t->listeners);
    enum err err = t->listeners == NULL ? ERR_NOMEM : sweep_open(t);
    for (size_t i = 0; err == OK && i < n; i++)
        if ((err = listener_open(t, &t->listeners[i], &listens[i], fault)) == OK)
            t->listeners_n++;
    if (err != OK) {
        tcp_close(t);
        return err;
    }
    *out = t;
    return OK;
}

/* Queries that are in the kernel's buffers already are read and answered until the next sweep. */
unsigned tcp_drain(struct tcp *t)
{
    for (size_t i = 0; i < t->listeners_n; i++)
        (void)evconnlistener_disable(t->listeners[i].listener);
    t->draining = true;
    return t->open;
}

void tcp_close(struct tcp *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->listeners_n; i++)
        evconnlistener_free(t->listeners[i].listener);
    while (t->first != NULL)
        conn_close(t->first);
    if (t->sweep != NULL)
        event_free(t->sweep);
    free(t->listeners);
    free(t);
}
