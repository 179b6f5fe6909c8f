/* Connections of core.dns (RFC 7766): many messages each, answered as they come; replies to updates when they are durable, so
 * not always in order. */
#include "builder/core_dns_parts.h"

#include "base/clock.h"
#include "builder/transfers.h"
#include "wire/proxy.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

struct stream {
    struct core_dns *dns;
    struct bufferevent *bev;
    struct stream *prev, *next;
    struct peer client;
    uint16_t port;
    uint64_t since_ms;                  /* the last whole message, or bytes taken */
    unsigned updates;                   /* in flight */
    struct transfer *transfer;          /* that is being sent; further messages wait for its end */
    bool broken;                        /* it could not be finished */
    bool proxied, eof, paused;          /* proxied: its PROXY header is still to come */
};

static size_t untaken(const struct stream *s) { return evbuffer_get_length(bufferevent_get_output(s->bev)); }
static size_t unread(const struct stream *s) { return evbuffer_get_length(bufferevent_get_input(s->bev)); }

/* --- the list: by since_ms --------------------------------------------------------------------------------------------------- */
static void leave(struct stream *s)
{
    struct core_dns *d = s->dns;
    *(s->prev != NULL ? &s->prev->next : &d->first) = s->next;
    *(s->next != NULL ? &s->next->prev : &d->last) = s->prev;
    s->prev = s->next = NULL;
}

static void append(struct stream *s)
{
    struct core_dns *d = s->dns;
    s->since_ms = clock_mono_ms();
    s->prev = d->last;
    *(d->last != NULL ? &d->last->next : &d->first) = s;
    d->last = s;
}

static void touch(struct stream *s)
{
    leave(s);
    append(s);
}

static void stream_close(struct stream *s)
{
    struct core_dns *d = s->dns;
    if (s->updates > 0)
        desk_forget(d->desk, s);
    if (s->transfer != NULL)
        transfer_end(s->transfer);
    leave(s);
    d->streams_n--;
    bufferevent_free(s->bev);
    free(s);
}

/* --- messages ---------------------------------------------------------------------------------------------------------------- */
static void put(struct stream *s, struct bytes msg)
{
    uint8_t prefix[TCP_PREFIX];
    tcp_put_prefix(prefix, msg.len);
    if (msg.len > 0 && bufferevent_write(s->bev, prefix, sizeof prefix) == 0)
        (void)bufferevent_write(s->bev, msg.ptr, msg.len);
}

/* As much of the transfer as the client shall have before it takes some. */
static void send_more(struct stream *s)
{
    struct core_dns *d = s->dns;
    enum err err = OK;
    size_t n;
    while (err == OK && untaken(s) < CORE_DNS_AHEAD) {
        if ((err = transfer_next(s->transfer, d->out, &n)) == OK)
            put(s, bytes_of(d->out, n));
    }
    if (err == OK || err == ERR_AGAIN)
        return;
    transfer_end(s->transfer);
    s->transfer = NULL;
    s->broken = err != ERR_NOTFOUND;
}

static unsigned of_client(const struct core_dns *d, const struct peer *p)
{
    unsigned n = 0;
    for (const struct stream *s = d->first; s != NULL; s = s->next)
        n += bytes_equal(peer_bytes(&s->client), peer_bytes(p));
    return n;
}

/* OK: it is behind us. ERR_SHORT: wait for more. ERR_BAD: close. */
static enum err take_proxy(struct stream *s)
{
    struct evbuffer *in = bufferevent_get_input(s->bev);
    size_t n = unread(s) < PROXY_MAX ? unread(s) : PROXY_MAX, need;
    const uint8_t *p = n == 0 ? NULL : evbuffer_pullup(in, (ev_ssize_t)n);
    struct proxy header;
    if (p == NULL)
        return ERR_SHORT;
    enum err err = proxy_read(bytes_of(p, n), &header, &need);
    if (err == ERR_BAD)
        core_dns_unproxied(s->dns, peer_bytes(&s->client));
    if (err != OK)
        return err;
    if (header.source.len > 0) {
        s->client = peer_of_bytes(header.source);
        s->port = header.source_port;
        if (of_client(s->dns, &s->client) > CORE_DNS_CONNS_CLIENT) {
            stat_add(&s->dns->refused, 1);
            return ERR_BAD;
        }
    }
    s->proxied = false;
    return evbuffer_drain(in, header.len) == 0 ? OK : ERR_BAD;
}

/* One message, when a whole one is there. ERR_SHORT: it is not; ERR_BAD: the framing is broken. */
static enum err take_one(struct stream *s)
{
    struct core_dns *d = s->dns;
    struct evbuffer *in = bufferevent_get_input(s->bev);
    uint8_t prefix[TCP_PREFIX];
    struct bytes msg;
    size_t need;
    bool taken;
    ev_ssize_t n = evbuffer_copyout(in, prefix, sizeof prefix);
    enum err err = tcp_next(bytes_of(prefix, n > 0 ? (size_t)n : 0), &msg, &need);
    if (err == ERR_BAD || unread(s) < need || n < TCP_PREFIX)
        return err == ERR_BAD ? ERR_BAD : ERR_SHORT;
    const uint8_t *p = evbuffer_pullup(in, (ev_ssize_t)need);
    if (p == NULL)
        return ERR_BAD;
    struct asker from = { .client = s->client, .port = s->port, .conn = s, .fd = -1 };
    s->updates++;                               /* as long as it may be told at once */
    size_t len = desk_take(d->desk, bytes_of(p + TCP_PREFIX, need - TCP_PREFIX), &from, d->out, &taken);
    s->updates -= !taken;
    put(s, bytes_of(d->out, len));
    return evbuffer_drain(in, need) == 0 ? OK : ERR_BAD;
}

static bool must_wait(const struct stream *s)
{
    return atomic_load(&s->dns->stopping) || s->transfer != NULL || s->broken || untaken(s) > CORE_DNS_PENDING_MAX || s->updates >= CORE_DNS_CONN_UPDATES;
}

/* true: the stream goes on, and may have more to do. */
static enum err take_some(struct stream *s)
{
    enum err err = s->proxied ? take_proxy(s) : OK;
    bool some = false;
    desk_begin(s->dns->desk);
    for (unsigned left = CORE_DNS_PER_WAKE; err == OK && left > 0 && !must_wait(s); left--)
        if ((err = take_one(s)) == OK)
            some = true;
    desk_end(s->dns->desk);
    if (some)
        touch(s);
    return err;
}

static void work(struct stream *s)
{
    if (s->transfer != NULL)
        send_more(s);
    enum err err = take_some(s);
    if (err == ERR_BAD || s->broken || (s->eof && err == ERR_SHORT && s->updates == 0 && untaken(s) == 0)) {
        stream_close(s);
        return;
    }
    bool wait = must_wait(s);
    if (wait != s->paused && !s->eof)
        (void)(wait ? bufferevent_disable(s->bev, EV_READ) : bufferevent_enable(s->bev, EV_READ));
    s->paused = wait;
    if (err == OK && !wait)                     /* more is there; others first */
        bufferevent_trigger(s->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

void stream_reply(struct core_dns *d, const struct asker *to, struct bytes msg)
{
    struct stream *s = to->conn;
    (void)d;
    put(s, msg);
    s->updates--;
    touch(s);
    if (s->paused || (s->eof && s->updates == 0))
        bufferevent_trigger(s->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

void stream_transfer(struct core_dns *d, const struct asker *to, struct transfer *x)
{
    struct stream *s = to->conn;
    (void)d;
    s->transfer = x;
    bufferevent_trigger(s->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

/* --- callbacks --------------------------------------------------------------------------------------------------------------- */
static void on_read(struct bufferevent *bev, void *arg)
{
    (void)bev;
    work(arg);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct stream *s = arg;
    (void)bev;
    touch(s);
    work(s);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct stream *s = arg;
    (void)bev;
    if ((what & BEV_EVENT_EOF) != 0 && !s->eof) {       /* it may still read */
        s->eof = true;
        work(s);
    } else {
        stream_close(s);
    }
}

/* --- places ------------------------------------------------------------------------------------------------------------------ */
static bool make_room(struct core_dns *d)
{
    if (d->streams_n < CORE_DNS_CONNS)
        return true;
    for (struct stream *s = d->first; s != NULL; s = s->next) {
        if (s->updates == 0 && s->transfer == NULL) {
            stream_close(s);
            return true;
        }
    }
    return false;
}

static bool stream_open(struct core_dns *d, int fd, const struct sockaddr_in6 *addr)
{
    struct peer client = peer_of(addr);
    bool proxied = nets_have(d->o.proxies, d->o.proxies_n, peer_bytes(&client));
    if ((!proxied && of_client(d, &client) >= CORE_DNS_CONNS_CLIENT) || !make_room(d))
        return false;
    struct stream *s = calloc(1, sizeof *s);
    struct bufferevent *bev = s == NULL ? NULL : bufferevent_socket_new(d->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL) {
        free(s);
        return false;
    }
    *s = (struct stream){ .dns = d, .bev = bev, .client = client, .port = ntohs(addr->sin6_port), .proxied = proxied };
    append(s);
    d->streams_n++;
    bufferevent_setcb(bev, on_read, on_written, on_event, s);
    bufferevent_setwatermark(bev, EV_READ, 0, (size_t)2 * (TCP_PREFIX + TCP_MESSAGE_MAX));
    if (bufferevent_enable(bev, EV_READ | EV_WRITE) != 0)
        stream_close(s);
    return true;
}

void streams_accept(struct socket *socket)
{
    struct core_dns *d = socket->dns;
    int one = 1;
    for (int left = CORE_DNS_PER_WAKE; left > 0; left--) {
        struct sockaddr_in6 from;
        socklen_t len = sizeof from;
        unsigned held;
        int fd = accept4(socket->tcp_fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
                return;
            if (log_brake_pass(&d->brake, clock_mono_ms(), 1, &held))
                log_warn("core.dns.accept", "err=\"%s\" next=\"again soon\" held=%u", strerror(errno), held);
            (void)event_del(socket->connections);       /* who waits would wake us again at once: the next sweep listens again */
            return;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (stream_open(d, fd, &from)) {
            stat_add(&d->accepted, 1);
        } else {
            stat_add(&d->refused, 1);
            (void)close(fd);
        }
    }
}

void streams_sweep(struct core_dns *d, uint64_t now_ms)
{
    for (size_t i = 0; i < d->sockets_n; i++)
        (void)event_add(d->sockets[i].connections, NULL);
    for (struct stream *s = d->first, *next; s != NULL && now_ms - s->since_ms >= CORE_DNS_IDLE_MS; s = next) {
        next = s->next;
        if (s->updates > 0 || (s->transfer != NULL && untaken(s) == 0))
            continue;                   /* it waits for us */
        stat_add(&d->closed_idle, 1);
        stream_close(s);
    }
}

void streams_late(struct core_dns *d, uint64_t now_ms)
{
    for (struct stream *s = d->first, *next; s != NULL; s = next) {
        next = s->next;
        if (s->transfer == NULL || !transfer_is_late(s->transfer, now_ms))
            continue;
        stat_add(&d->closed_idle, 1);
        stream_close(s);
    }
}

void streams_close(struct core_dns *d)
{
    while (d->first != NULL)
        stream_close(d->first);
}
