#include "builder/core_dns_parts.h"

#include "base/clock.h"
#include "base/thread.h"
#include "wire/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SWEEP_S 1

/* --- datagrams ---------------------------------------------------------------------------------------------------------- */
/* What the next datagram is, and of whom. 1: there is one, 0: one to drop, -1: none waits. */
static int receive(struct socket *s, struct asker *from, struct bytes *msg)
{
    struct core_dns *d = s->dns;
    struct iovec iov = { d->in, sizeof d->in };
    struct msghdr m = { .msg_name = &from->addr, .msg_namelen = sizeof from->addr, .msg_iov = &iov, .msg_iovlen = 1 };
    if (s->address.wildcard) {
        m.msg_control = &from->control;
        m.msg_controllen = sizeof from->control;
    }
    ssize_t n = recvmsg(s->udp_fd, &m, MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR ? 0 : -1;
    if ((m.msg_flags & MSG_TRUNC) != 0 || from->addr.sin6_port == 0)
        return 0;
    from->addr_len = m.msg_namelen;
    from->control_len = (socklen_t)m.msg_controllen;
    from->flags = m.msg_flags;
    from->client = peer_of(&from->addr);
    from->port = ntohs(from->addr.sin6_port);           /* sin_port stands there too */
    *msg = bytes_of(d->in, (size_t)n);
    return 1;
}

void core_dns_unproxied(struct core_dns *d, struct bytes address)
{
    struct net n = { .len = (uint8_t)address.len, .bits = (uint8_t)(8 * address.len) };
    char text[NET_TEXT_MAX] = "unknown";
    unsigned held;
    memcpy(n.addr, address.ptr, address.len);
    stat_add(&d->proxy_refused, 1);
    if (log_brake_pass(&d->proxy_brake, clock_mono_ms(), 1, &held))
        log_warn("core.dns.proxy", "from=%s err=\"a PROXY header (version 2) that is missing, malformed, or of nobody in core.dns.proxies\" "
                 "held=%u next=drop", address.len > 0 ? net_text(&n, text, sizeof text) : text, held);
}

/* Behind its PROXY header, which those in core.dns.proxies must send, and nobody else may. */
static bool unproxy(struct core_dns *d, struct asker *from, struct bytes *msg)
{
    struct proxy p;
    size_t need;
    bool listed = nets_have(d->o.proxies, d->o.proxies_n, peer_bytes(&from->client));
    if ((proxy_read(*msg, &p, &need) == OK) != listed) {
        core_dns_unproxied(d, peer_bytes(&from->client));
        return false;
    }
    if (!listed)
        return true;
    if (p.source.len > 0) {
        from->client = peer_of_bytes(p.source);
        from->port = p.source_port;
    }
    *msg = bytes_of(msg->ptr + p.len, msg->len - p.len);
    return true;
}

static void send_datagram(struct core_dns *d, const struct asker *to, struct bytes msg)
{
    struct asker copy = *to;
    struct iovec iov = { (void *)(uintptr_t)msg.ptr, msg.len };
    struct msghdr m = { .msg_name = &copy.addr, .msg_namelen = copy.addr_len, .msg_iov = &iov, .msg_iovlen = 1,
                        .msg_control = copy.control_len > 0 ? &copy.control : NULL, .msg_controllen = copy.control_len,
                        .msg_flags = copy.flags };
    if (m.msg_control != NULL)
        listen_reply_from(&m);
    if (sendmsg(to->fd, &m, MSG_DONTWAIT) < 0)
        (void)atomic_fetch_add(&d->unsent, 1);  /* the client asks again; two threads send */
}

/* Behind everything that may have made a NOTIFY due. */
static void notify_arm(struct core_dns *d)
{
    uint64_t ms = core_notify_wait_ms(d->notify);
    struct timeval wait = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
    if (ms == UINT64_MAX)
        (void)event_del(d->notifying);
    else
        (void)event_add(d->notifying, &wait);
}

static void on_datagrams(evutil_socket_t fd, short what, void *arg)
{
    struct socket *s = arg;
    struct core_dns *d = s->dns;
    (void)what;
    bool answers = false;
    desk_begin(d->desk);
    for (int left = CORE_DNS_PER_WAKE; left > 0; left--) {
        struct asker from = { .fd = fd };
        struct bytes msg;
        bool taken;
        int got = receive(s, &from, &msg);
        if (got < 0)
            break;
        if (got == 0)
            continue;
        /* Secondaries answer us, and not through a proxy, also where they are one themselves. */
        if (core_notify_answer(d->notify, peer_bytes(&from.client), from.port, msg)) {
            answers = true;
            continue;
        }
        if (!unproxy(d, &from, &msg))
            continue;
        size_t n = desk_take(d->desk, msg, &from, d->out, &taken);
        if (n > 0)
            send_datagram(d, &from, bytes_of(d->out, n));
    }
    desk_end(d->desk);
    if (answers)
        notify_arm(d);
}

/* --- callbacks ------------------------------------------------------------------------------------------------------------ */
static void on_connections(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    streams_accept(arg);
}

static void on_reply(void *arg, const struct asker *to, struct bytes msg)
{
    struct core_dns *d = arg;
    if (to->conn != NULL)
        stream_reply(d, to, msg);
    else if (msg.len > 0)
        send_datagram(d, to, msg);
}

static void on_transfer(void *arg, const struct asker *to, struct transfer *x) { stream_transfer(arg, to, x); }

/* From whichever socket reaches it: secondaries know us by that address. */
static void send_notify(void *arg, const struct notify_target *to, struct bytes msg)
{
    struct core_dns *d = arg;
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(to->port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(to->port) };
    bool is4 = to->address.len == 4;
    memcpy(is4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr, to->address.addr, to->address.len);
    for (size_t i = 0; i < d->sockets_n; i++)
        if (sendto(d->sockets[i].udp_fd, msg.ptr, msg.len, MSG_DONTWAIT, is4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
                   is4 ? sizeof v4 : sizeof v6) >= 0)
            return;
    (void)atomic_fetch_add(&d->unsent, 1);
}

static void notify_look(struct core_dns *d)
{
    core_notify_look(d->notify);
    notify_arm(d);
}

static void on_notify_due(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    notify_look(arg);
}

void core_dns_changed(struct core_dns *d)
{
    uint64_t one = 1;
    if (d != NULL && !atomic_exchange(&d->changed, true) && write(d->bell_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_error("core.dns", "err=\"cannot wake the thread\"");
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    struct core_dns *d = arg;
    uint64_t rings;
    ssize_t n = read(fd, &rings, sizeof rings);
    (void)n, (void)what;
    desk_done(d->desk);
    if (atomic_exchange(&d->changed, false))
        notify_look(d);
    if (atomic_load(&d->stopping))
        (void)event_base_loopbreak(d->base);
}

static void on_wishes(evutil_socket_t fd, short what, void *arg)
{
    struct core_dns *d = arg;
    struct wish w;
    (void)fd, (void)what;
    while (wishes_take(d->o.wishes, &w)) {
        if (w.what == WISH_CATALOG)
            catalogs_wanted(d->o.catalogs, name_bytes(&w.apex));
        else if (w.what == WISH_NOTIFY)
            core_notify_wanted(d->notify, name_bytes(&w.apex));
        else
            secondary_wanted(d->secondary, name_bytes(&w.apex), w.what == WISH_TRANSFER_ALL, w.ticket);
    }
    notify_arm(d);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct core_dns *d = arg;
    (void)fd, (void)what;
    streams_sweep(d, clock_mono_ms());
    streams_late(d, clock_mono_ms());
    notify_look(d);
    desk_begin(d->desk);                        /* lets go of a generation that was compacted away */
    desk_end(d->desk);
}

static void *run(void *arg)
{
    struct core_dns *d = arg;
    if (event_base_dispatch(d->base) < 0)
        log_error("core.dns", "err=\"the event loop failed\" next=\"core.dns is not served\"");
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */
static enum err socket_open(struct core_dns *d, const char *text, struct fault *fault)
{
    struct socket *s = &d->sockets[d->sockets_n];
    *s = (struct socket){ .dns = d, .udp_fd = -1, .tcp_fd = -1 };
    enum err err = listen_parse("core.dns.listen", text, &s->address, fault);
    if (err == OK)
        err = listen_probe(&s->address, LISTEN_BOTH, fault);
    if (err != OK)
        return err;
    d->sockets_n++;
    if ((err = listen_socket(&s->address, SOCK_DGRAM, &s->udp_fd, fault)) != OK
        || (err = listen_socket(&s->address, SOCK_STREAM, &s->tcp_fd, fault)) != OK)
        return err;
    s->datagrams = event_new(d->base, s->udp_fd, EV_READ | EV_PERSIST, on_datagrams, s);
    s->connections = event_new(d->base, s->tcp_fd, EV_READ | EV_PERSIST, on_connections, s);
    return s->datagrams == NULL || s->connections == NULL || event_add(s->datagrams, NULL) != 0
        || event_add(s->connections, NULL) != 0 ? ERR_NOMEM : OK;
}

static enum err parts_open(struct core_dns *d, struct fault *fault)
{
    static const struct timeval every = { SWEEP_S, 0 };
    d->base = event_base_new();
    d->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    d->sockets = calloc(d->o.listens + 1, sizeof *d->sockets);         /* there may be none: a core that only takes zones */
    if (d->base == NULL || d->bell_fd < 0 || d->sockets == NULL)
        return ERR_NOMEM;
    d->bell = event_new(d->base, d->bell_fd, EV_READ | EV_PERSIST, on_bell, d);
    d->sweep = event_new(d->base, -1, EV_PERSIST, on_sweep, d);
    d->notifying = event_new(d->base, -1, 0, on_notify_due, d);
    if (d->bell == NULL || d->sweep == NULL || d->notifying == NULL || event_add(d->bell, NULL) != 0 || event_add(d->sweep, &every) != 0)
        return ERR_NOMEM;
    struct secondary_options so = { .base = d->base, .store = d->o.store, .source = d->o.source, .changer = d->o.changer,
                                    .queue = d->o.queue, .board = d->o.board, .catalogs = d->o.catalogs, .limits = d->o.refresh, .transfers = d->o.transfers };
    enum err err = secondary_open(&d->secondary, &so, fault);
    if (err != OK)
        return err;
    struct desk_options o = { .store = d->o.store, .source = d->o.source, .changer = d->o.changer, .bell_fd = d->bell_fd,
                              .secondary = d->secondary, .limit = d->o.limit,
                              .reply = on_reply, .transfer = on_transfer, .arg = d };
    const struct core_notify_options no = { .store = d->o.store, .source = d->o.source, .send = send_notify, .arg = d };
    err = desk_open(&d->desk, &o, fault);
    if (err == OK)
        err = core_notify_open(&d->notify, &no, fault);
    for (size_t i = 0; err == OK && i < d->o.listens; i++)
        err = socket_open(d, d->o.listen[i], fault);
    if (err == OK && d->o.wishes != NULL
        && ((d->wishes = event_new(d->base, wishes_fd(d->o.wishes), EV_READ | EV_PERSIST, on_wishes, d)) == NULL
            || event_add(d->wishes, NULL) != 0))
        err = ERR_NOMEM;
    return err;
}

static enum err start(struct core_dns *d)
{
    d->started = thread_start(&d->thread, run, d);
    return d->started ? OK : ERR_NOMEM;
}

MUST_USE enum err core_dns_open(struct core_dns **out, const struct core_dns_options *o, struct fault *fault)
{
    struct core_dns *d = calloc(1, sizeof *d);
    if (d == NULL)
        return ERR_NOMEM;
    d->o = *o;
    d->bell_fd = -1;
    enum err err = parts_open(d, fault);
    if (err == OK)
        err = start(d);
    if (err != OK) {
        core_dns_close(d);
        return err;
    }
    *out = d;
    return OK;
}

static void event_drop(struct event *e)
{
    if (e != NULL)
        event_free(e);
}

void core_dns_stop(struct core_dns *d)
{
    uint64_t one = 1;
    if (d == NULL || !d->started)
        return;
    atomic_store(&d->stopping, true);
    if (write(d->bell_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_error("core.dns", "err=\"cannot wake the thread\"");
    (void)pthread_join(d->thread, NULL);
    d->started = false;
    secondary_stop(d->secondary);
}

/* What was told since the thread looked last, as far as the kernel takes it at once. */
static void last_replies(struct core_dns *d)
{
    if (d->wishes != NULL)
        (void)event_del(d->wishes);
    for (size_t i = 0; i < d->sockets_n; i++) {
        struct socket *s = &d->sockets[i];
        if (s->datagrams != NULL)
            (void)event_del(s->datagrams);
        if (s->connections != NULL)
            (void)event_del(s->connections);
    }
    desk_done(d->desk);
    (void)event_base_loop(d->base, EVLOOP_NONBLOCK);
}

void core_dns_close(struct core_dns *d)
{
    if (d == NULL)
        return;
    core_dns_stop(d);
    if (d->desk != NULL)
        last_replies(d);
    streams_close(d);
    for (size_t i = 0; i < d->sockets_n; i++) {
        struct socket *s = &d->sockets[i];
        event_drop(s->datagrams);
        event_drop(s->connections);
        if (s->udp_fd >= 0)
            (void)close(s->udp_fd);
        if (s->tcp_fd >= 0)
            (void)close(s->tcp_fd);
    }
    desk_close(d->desk);
    core_notify_close(d->notify);
    secondary_close(d->secondary);
    event_drop(d->bell);
    event_drop(d->sweep);
    event_drop(d->notifying);
    event_drop(d->wishes);
    if (d->base != NULL)
        event_base_free(d->base);
    if (d->bell_fd >= 0)
        (void)close(d->bell_fd);
    free(d->sockets);
    free(d);
}

void core_dns_metrics(const struct core_dns *d, struct stat_page *p)
{
    const struct { const char *name, *kind, *help; const stat_count *v; } rows[] = {
        { "azoth_core_dns_connections_total", "counter", "TCP connections accepted on core.dns", &d->accepted },
        { "azoth_core_dns_connections_refused_total", "counter", "TCP connections refused: too many", &d->refused },
        { "azoth_core_dns_timeouts_total", "counter", "TCP connections closed for a time limit", &d->closed_idle },
        { "azoth_core_dns_unsent_total", "counter", "UDP replies that could not be sent", &d->unsent },
        { "azoth_core_dns_proxy_refused_total", "counter", "messages and connections without a good PROXY header of a listed proxy", &d->proxy_refused },
    };
    desk_metrics(d->desk, p);
    core_notify_metrics(d->notify, p);
    secondary_metrics(d->secondary, p);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        stat_head(p, rows[i].name, rows[i].kind, rows[i].help);
        stat_value(p, rows[i].name, NULL, stat_get(rows[i].v));
    }
}
