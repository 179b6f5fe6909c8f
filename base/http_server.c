#include "base/http_server.h"

#include "base/clock.h"
#include "base/log.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#define SHORT_MS 1000                   /* for strangers, while places are short or too many come from one address */
#define SHORT_OF 8                      /* places that are free at most, then */
#define LINGER_MS 2000                  /* for a client that goes on sending what was refused, */
#define LINGER_BYTES ((size_t)16 << 20) /* and how much of it; of a stranger's */
#define LINGER_STRANGER ((size_t)1 << 20)

struct connection {
    struct bufferevent *bev;            /* one reference of ours */
    uint64_t since_ms;
    bool held;
    uint64_t opened_ms;
    bool trusted;                       /* somebody vouched for it */
    char peer[64];                      /* its address; "" not known yet */
    long refused;                       /* what its room was, when the body is larger, or HTTP_ROOM_BUSY; 0: it is taken */
    long told;                          /* the same of the request that came whole last: the head behind it may be there already */
    long coming;                        /* its body may grow to that */
    uint64_t lingers_ms;                /* since then it is all but closed; 0: it is not */
    size_t thrown;                      /* away, since then */
    bool has_head;                      /* of the request that is coming; what follows is its body */
    uint8_t *head; size_t head_len;     /* with limits.room: HTTP_HEAD_MAX bytes, freed with the place */
};
struct http_server {
    struct event_base *base;
    struct http_limits limits;
    struct evhttp *server;
    struct evconnlistener *listener;    /* evhttp's own; rests while all places below are taken */
    struct event *sweep, *again;        /* again: once a second, for a listener that found no descriptor */
    http_request_fn *on_request;
    void *arg;
    bool paused;
    struct connection open[HTTP_CONNECTIONS_MAX];
    unsigned open_n;
};

/* --- heads ----------------------------------------------------------------------------------------------------------- */
/* The length of a head that is whole, with the empty line that ends it; 0: it is not. */
static size_t head_end(const uint8_t *text, size_t len)
{
    for (size_t i = 1; i < len; i++)
        if (text[i] == '\n' && (text[i - 1] == '\n' || (i > 1 && text[i - 1] == '\r' && text[i - 2] == '\n')))
            return i + 1;
    return 0;
}

/* Where the digits of the head's Content-Length stand, and their value; *len 0: there is none. As evhttp the first one counts. */
static unsigned long long content_length(const uint8_t *head, size_t end, size_t *at, size_t *len)
{
    static const char name[] = "content-length:";
    unsigned long long v = 0;
    *len = 0;
    for (size_t i = 0; i + sizeof name - 1 < end; i++) {
        if ((i > 0 && head[i - 1] != '\n') || strncasecmp((const char *)head + i, name, sizeof name - 1) != 0)
            continue;
        for (i += sizeof name - 1; i < end && (head[i] == ' ' || head[i] == '\t'); i++)
            ;
        for (*at = i; i < end && head[i] >= '0' && head[i] <= '9'; i++)
            v = v > ULLONG_MAX / 10 - 1 ? v : 10 * v + (unsigned)(head[i] - '0');
        *len = i - *at;
        return v;
    }
    return 0;
}

/* The head says then that there is no body, so that the request comes to us and has a reply of ours. false: evhttp has read that
 * line already. */
static bool forget_body(struct evbuffer *buffer, size_t at, size_t len)
{
    struct evbuffer_iovec v[8];
    struct evbuffer_ptr from;
    if (evbuffer_ptr_set(buffer, &from, at, EVBUFFER_PTR_SET) != 0)
        return false;
    int n = evbuffer_peek(buffer, (ev_ssize_t)len, &from, v, 8);
    if (n < 1 || n > 8)
        return false;
    for (int i = 0; i < n && len > 0; i++) {
        size_t here = v[i].iov_len < len ? v[i].iov_len : len;
        memset(v[i].iov_base, '0', here);
        len -= here;
    }
    return true;
}

static size_t coming(const struct http_server *s, const struct connection *but)
{
    size_t sum = 0;
    for (unsigned i = 0; i < s->open_n; i++)
        sum += &s->open[i] != but ? (size_t)s->open[i].coming : 0;
    return sum;
}

/* evhttp waits until a body, or a chunk of one, is whole in the buffer; and while a reply is being sent it reads on, whatever
 * comes. So no more is read than a head and that body. */
static void limit_input(struct bufferevent *bev, long body)
{
    bufferevent_setwatermark(bev, EV_READ, 0, 2 * HTTP_HEAD_MAX + (size_t)body);
}

/* The head is whole, `total` bytes of the request came so far, the last of them are in the buffer. */
static void judge_head(struct http_server *s, struct connection *c, struct evbuffer *buffer, size_t end, size_t total, void *evcon)
{
    size_t at = 0, len = 0, gone = total - evbuffer_get_length(buffer);
    unsigned long long body = content_length(c->head, end, &at, &len);
    long room = s->limits.room(s->limits.room_arg, bytes_of(c->head, end), coming(s, c));
    long most = room > 0 ? room : s->limits.stranger;
    if (len > 0 && body > (unsigned long long)most && at >= gone && forget_body(buffer, at - gone, len))
        c->refused = room > 0 ? most : HTTP_ROOM_BUSY;
    c->trusted |= room == HTTP_ROOM_BUSY || room > s->limits.stranger;
    c->coming = c->refused != 0 || most <= s->limits.stranger ? 0 : len > 0 && body < (unsigned long long)most ? (long)body : most;
    evhttp_connection_set_max_body_size(evcon, most);
    limit_input(c->bev, most);
}

/* evhttp looks at a request's length between head and body, but asks nobody: so the head is read here as well, as it comes in,
 * and the limit of its connection is set before evhttp sees it. The argument of evhttp's own callbacks is that connection. */
static void look_at_head(struct http_server *s, struct connection *c, const struct evbuffer *input, size_t from)
{
    struct evbuffer *buffer = (struct evbuffer *)(uintptr_t)input;
    struct evbuffer_ptr at;
    void *evcon = NULL;
    bufferevent_event_cb on_event = NULL;
    if (c->has_head || c->head == NULL || evbuffer_ptr_set(buffer, &at, from, EVBUFFER_PTR_SET) != 0)
        return;
    size_t total = c->head_len + (evbuffer_get_length(buffer) - from);
    ev_ssize_t n = evbuffer_copyout_from(buffer, &at, c->head + c->head_len, HTTP_HEAD_MAX - c->head_len);
    c->head_len += n > 0 ? (size_t)n : 0;
    size_t end = head_end(c->head, c->head_len);
    bufferevent_getcb(c->bev, NULL, NULL, &on_event, &evcon);
    if (end == 0 || on_event == NULL || evcon == NULL)
        return;
    c->has_head = true;
    judge_head(s, c, buffer, end, total, evcon);
}

static struct connection *place_at(struct http_server *s, const struct bufferevent *bev)
{
    for (unsigned i = 0; i < s->open_n && bev != NULL; i++)
        if (s->open[i].bev == bev)
            return &s->open[i];
    return NULL;
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct http_server *s = arg;
    for (unsigned i = 0; i < s->open_n && info->n_added > 0; i++)
        if (bufferevent_get_input(s->open[i].bev) == input)
            look_at_head(s, &s->open[i], input, evbuffer_get_length(input) - info->n_added);
}

/* The request is whole; what is there already belongs to the next one. */
static void next_head(struct http_server *s, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    struct connection *c = evcon != NULL ? place_at(s, evhttp_connection_get_bufferevent(evcon)) : NULL;
    if (c == NULL || s->limits.room == NULL) {
        if (c != NULL)
            c->trusted = true;
        return;
    }
    c->coming = 0;
    c->told = c->refused;
    if (c->refused != 0) {              /* what follows is the body that nobody wants */
        (void)evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
        return;
    }
    evhttp_connection_set_max_body_size(evcon, s->limits.stranger);
    limit_input(c->bev, s->limits.stranger);
    c->has_head = false;
    c->head_len = 0;
    look_at_head(s, c, bufferevent_get_input(c->bev), 0);
}

/* --- places ---------------------------------------------------------------------------------------------------------- */
static void place_free(struct connection *c)
{
    (void)bufferevent_decref(c->bev);
    free(c->head);
}

/* evhttp knows it behind our callback only. */
static void look_at_peer(struct connection *c, void *evcon)
{
    char *address = NULL;
    uint16_t port = 0;
    if (c->peer[0] != '\0' || evcon == NULL)
        return;
    evhttp_connection_get_peer(evcon, &address, &port);
    (void)snprintf(c->peer, sizeof c->peer, "%s", address != NULL ? address : "");
}

/* So many of c's address, that nobody vouched for, are older. */
static unsigned older_strangers(const struct http_server *s, const struct connection *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->open_n; i++) {
        const struct connection *o = &s->open[i];
        n += o != c && !o->trusted && o->lingers_ms == 0 && strcmp(o->peer, c->peer) == 0
             && (o->opened_ms < c->opened_ms || (o->opened_ms == c->opened_ms && o < c));
    }
    return n;
}

static bool is_too_old(const struct http_server *s, const struct connection *c, uint64_t now)
{
    uint64_t age = now - c->opened_ms;
    if (c->held)
        return false;
    if (now - c->since_ms > s->limits.life_ms)
        return true;
    if (c->trusted || age <= SHORT_MS)
        return false;
    return age > HTTP_STRANGER_MS || s->open_n + SHORT_OF > HTTP_CONNECTIONS_MAX
           || (c->peer[0] != '\0' && older_strangers(s, c) >= HTTP_STRANGERS_MAX);
}

/* --- the end of a refused one ---------------------------------------------------------------------------------------- */
static void throw_input(struct connection *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    c->thrown += evbuffer_get_length(input);
    (void)evbuffer_drain(input, evbuffer_get_length(input));
    if (c->thrown > (c->trusted ? LINGER_BYTES : LINGER_STRANGER))
        (void)bufferevent_disable(c->bev, EV_READ);
}

static void on_thrown(struct bufferevent *bev, void *arg)
{
    struct connection *c = place_at(arg, bev);
    if (c != NULL)
        throw_input(c);
}

static void on_left(struct bufferevent *bev, short what, void *arg)
{
    (void)what, (void)arg;
    (void)bufferevent_disable(bev, EV_READ);
}

/* evhttp has sent the reply and let go of it. Were it closed while its client sends the body that nobody wants, the kernel would
 * tell the client so before it has read the reply; so what comes is thrown away for a moment (RFC 9112 section 9.6). false: it may
 * be closed; nobody lingers while places are short. */
static bool lingers(struct http_server *s, struct connection *c, uint64_t now)
{
    if (c->refused == 0 || s->open_n + SHORT_OF > HTTP_CONNECTIONS_MAX)
        return false;
    if (c->lingers_ms == 0) {
        c->lingers_ms = now;
        (void)evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, s);
        bufferevent_setcb(c->bev, on_thrown, NULL, on_left, s);
        limit_input(c->bev, 0);
        (void)shutdown(bufferevent_getfd(c->bev), SHUT_WR);
        (void)bufferevent_enable(c->bev, EV_READ);
        throw_input(c);
    }
    return now - c->lingers_ms < LINGER_MS && (bufferevent_get_enabled(c->bev) & EV_READ) != 0;
}

/* evhttp limits neither the number of its connections nor the time that a slow one takes. So we hold a reference to each:
 * one whose callbacks are gone was freed by evhttp and gives up its place, one that is too old is told that its peer left. */
static void sweep(struct http_server *s)
{
    uint64_t now = clock_mono_ms();
    for (unsigned i = s->open_n; i-- > 0; ) {
        struct connection *c = &s->open[i];
        bufferevent_event_cb on_event = NULL;
        void *evcon = NULL;
        if (c->lingers_ms == 0)
            bufferevent_getcb(c->bev, NULL, NULL, &on_event, &evcon);
        look_at_peer(c, on_event != NULL ? evcon : NULL);
        if (on_event != NULL && is_too_old(s, c, now)) {
            bufferevent_trigger_event(c->bev, BEV_EVENT_READING | BEV_EVENT_EOF, 0);
        } else if (on_event == NULL && !lingers(s, c, now)) {
            place_free(c);
            *c = s->open[--s->open_n];
        }
    }
    if (s->open_n < HTTP_CONNECTIONS_MAX && !s->paused)
        (void)evconnlistener_enable(s->listener);
    if (s->open_n == 0)
        (void)event_del(s->sweep);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    sweep(arg);
}

/* Without a descriptor for it a connection keeps waiting, and would wake the loop again at once, for ever. The argument is evhttp's, not
 * ours: who rests here is enabled again by on_again, whatever the reason. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    int error = EVUTIL_SOCKET_ERROR();
    (void)arg;
    (void)evconnlistener_disable(listener);
    log_warn("http.accept", "err=\"%s\" next=\"again in a second\"", strerror(error));
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    (void)fd, (void)what;
    if (s->open_n < HTTP_CONNECTIONS_MAX && !s->paused && s->listener != NULL)
        (void)evconnlistener_enable(s->listener);
}

static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    static const struct timeval every = { 0, 250000 };
    struct http_server *s = arg;
    struct bufferevent *bev = s->limits.make != NULL ? s->limits.make(base, s->limits.arg)
                                                     : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (s->open_n > 0)
        sweep(s);           /* those that ended since the last one leave their places at once */
    if (bev != NULL)
        limit_input(bev, s->limits.room != NULL ? s->limits.stranger : s->limits.body);
    if (bev == NULL || s->open_n == HTTP_CONNECTIONS_MAX)
        return bev;
    bufferevent_incref(bev);
    s->open[s->open_n++] = (struct connection){ .bev = bev, .since_ms = clock_mono_ms(), .opened_ms = clock_mono_ms(),
                                                .head = s->limits.room != NULL ? malloc(HTTP_HEAD_MAX) : NULL };
    if (s->limits.room != NULL)
        (void)evbuffer_add_cb(bufferevent_get_input(bev), on_input, s);
    if (s->open_n == HTTP_CONNECTIONS_MAX)
        (void)evconnlistener_disable(s->listener);
    if (s->open_n == 1)
        (void)event_add(s->sweep, &every);
    return bev;
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct http_server *s = arg;
    next_head(s, req);
    s->on_request(s->arg, req);
}

/* "ADDRESS@PORT" apart. */
static enum err split_listen(const char *listen, char *address, size_t cap, uint16_t *port)
{
    const char *at = strrchr(listen, '@');
    char *end = NULL;
    if (at == NULL || (size_t)(at - listen) >= cap || at[1] < '0' || at[1] > '9')
        return ERR_BAD;
    memcpy(address, listen, (size_t)(at - listen));
    address[at - listen] = '\0';
    unsigned long n = strtoul(at + 1, &end, 10);
    if (*end != '\0' || n > 65535)
        return ERR_BAD;
    *port = (uint16_t)n;
    return OK;
}

MUST_USE enum err http_server_open(struct http_server **out, struct event_base *base, const char *listen,
                                   const struct http_limits *limits, http_request_fn *fn, void *arg,
                                   struct fault *fault)
{
    static const struct timeval second = { 1, 0 };
    char address[128];
    uint16_t port;
    if (split_listen(listen, address, sizeof address, &port) != OK)
        return fault_set(fault, ERR_CONFIG, "'%s' is not ADDRESS@PORT", listen);
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    s->base = base;
    s->limits = *limits;
    s->on_request = fn;
    s->arg = arg;
    s->server = evhttp_new(base);
    s->sweep = event_new(base, -1, EV_PERSIST, on_sweep, s);
    s->again = event_new(base, -1, EV_PERSIST, on_again, s);
    if (s->server == NULL || s->sweep == NULL || s->again == NULL || event_add(s->again, &second) != 0) {
        http_server_close(s);
        return ERR_NOMEM;
    }
    evhttp_set_allowed_methods(s->server, (uint16_t)limits->methods);
    evhttp_set_max_headers_size(s->server, limits->headers);
    evhttp_set_max_body_size(s->server, limits->room != NULL ? limits->stranger : limits->body);
    evhttp_set_timeout(s->server, limits->timeout_s);
    evhttp_set_bevcb(s->server, on_connection, s);
    evhttp_set_gencb(s->server, on_request, s);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(s->server, address, port);
    if (bound == NULL) {
        enum err err = fault_set(fault, ERR_NET, "cannot listen on %s: %s", listen, strerror(errno));
        http_server_close(s);
        return err;
    }
    s->listener = evhttp_bound_socket_get_listener(bound);
    evconnlistener_set_error_cb(s->listener, on_accept_error);
    *out = s;
    return OK;
}

void http_server_pause(struct http_server *s)
{
    s->paused = true;
    (void)evconnlistener_disable(s->listener);
}

/* NULL: the peer is gone. */
static struct connection *place_of(struct http_server *s, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    struct bufferevent *bev = evcon != NULL ? evhttp_connection_get_bufferevent(evcon) : NULL;
    return place_at(s, bev);
}

static void set_held(struct http_server *s, struct evhttp_request *req, bool held)
{
    struct connection *c = place_of(s, req);
    if (c == NULL)
        return;
    c->held = held;
    c->since_ms = clock_mono_ms();
}

void http_server_hold(struct http_server *s, struct evhttp_request *req) { set_held(s, req, true); }
void http_server_release(struct http_server *s, struct evhttp_request *req) { set_held(s, req, false); }

bool http_server_refused(struct http_server *s, struct evhttp_request *req, long *room)
{
    const struct connection *c = place_of(s, req);
    *room = c != NULL ? c->told : 0;
    return *room != 0;
}

void http_server_trust(struct http_server *s, struct evhttp_request *req)
{
    struct connection *c = place_of(s, req);
    if (c != NULL)
        c->trusted = true;
}

void http_server_close(struct http_server *s)
{
    if (s == NULL)
        return;
    if (s->server != NULL)
        evhttp_free(s->server);         /* frees its connections, which leaves our references */
    while (s->open_n > 0)
        place_free(&s->open[--s->open_n]);
    if (s->sweep != NULL)
        event_free(s->sweep);
    if (s->again != NULL)
        event_free(s->again);
    free(s);
}
