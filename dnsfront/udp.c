#include "dnsfront/udp.h"

#include "base/clock.h"
#include "dnsfront/peer.h"
#include "dnsfront/rrl.h"
#include "dnsfront/shared.h"
#include "wire/proxy.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

/* Waited for, or watched: with a socket that stands in an epoll instance each reply that leaves costs a call back (the kernel
 * tells whoever waits that there is room again), a twentieth of all that it costs. So from UDP_MANY queries at once on it is
 * taken out and looked at in every turn of the loop, until there is nothing. */
struct udp_socket {
    struct udp *udp;
    int fd;
    bool wildcard, watched;
    struct event *readable;         /* added unless watched */
    struct event *turn;             /* a timer, added while watched */
};

struct udp {
    struct worker *worker;
    struct rrl *rrl;                /* NULL: answers are not limited */
    uint32_t now_s, now_us;         /* of the batch; now_us only for rrl */
    struct udp_socket *sockets;
    size_t sockets_n;
    struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
    struct iovec in_iov[UDP_BATCH], out_iov[UDP_BATCH];
    struct sockaddr_in6 from[UDP_BATCH];
    union listen_control control[UDP_BATCH];
    uint8_t query[UDP_BATCH][UDP_QUERY_MAX + 64];       /* a line more, or all would begin in the same set of the cache */
    uint8_t reply[UDP_BATCH][ANSWER_UDP_MAX];
};

static int receive(struct udp *u, const struct udp_socket *s)
{
    for (size_t i = 0; i < UDP_BATCH; i++) {
        struct msghdr *m = &u->in[i].msg_hdr;
        m->msg_namelen = sizeof u->from[i];
        m->msg_control = s->wildcard ? &u->control[i] : NULL;
        m->msg_controllen = s->wildcard ? sizeof u->control[i] : 0;
        m->msg_flags = 0;
    }
    int n;
    do
        n = recvmmsg(s->fd, u->in, UDP_BATCH, MSG_DONTWAIT, NULL);
    while (n < 0 && errno == EINTR);
    return n;
}

/* The i-th datagram's query and client. Nothing, which is counted as dropped: cut off, from port 0, which no reply reaches,
 * or from a proxy without its header. */
static struct bytes query_of(struct udp *u, unsigned i, struct peer *client)
{
    const struct config_dns *c = u->worker->config;
    struct bytes none = { 0 }, in = bytes_of(u->query[i], u->in[i].msg_len);
    struct proxy p;
    size_t need;
    *client = peer_of(&u->from[i]);
    if ((u->in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0 || u->from[i].sin6_port == 0)     /* sin_port stands there too */
        return none;
    if (c->proxies_n == 0 || !nets_have(c->proxies, c->proxies_n, peer_bytes(client)))
        return in;
    if (proxy_read(in, &p, &need) != OK) {
        stat_add(&u->worker->counters.proxy_refused, 1);
        return none;
    }
    if (p.source.len > 0)
        *client = peer_of_bytes(p.source);
    return bytes_of(in.ptr + p.len, in.len - p.len);
}

static uint64_t network_word(struct bytes client)
{
    struct net n = rrl_network(client);
    uint64_t word = n.len == 4 ? 0 : 1;
    for (unsigned i = 0; i < n.bits / 8; i++)
        word = word << 8 | n.addr[i];
    return word;
}

/* The answer stands in out: may it leave? What leaves then, 0: nothing. */
static size_t limit(struct udp *u, struct answerer *a, struct bytes query, const struct answer_from *from, uint8_t *out,
                    size_t cap, size_t len)
{
    struct worker_counters *n = &u->worker->counters;
    struct answer_said said = answer_said(a);
    enum rrl_verdict verdict = rrl_check(u->rrl, from->client, &said, u->now_us);
    if (verdict == RRL_SEND)
        return len;
    stat_set(&n->rrl_network, network_word(from->client));
    len = verdict == RRL_SLIP ? answer_limited(a, query, from, out, cap) : 0;
    stat_add(len > 0 ? &n->rrl_slipped : &n->rrl_dropped, 1);
    return len;
}

/* The i-th query's answer, put behind the replies made so far; how many there are then. */
static unsigned answer_one(struct udp *u, struct answerer *a, unsigned i, unsigned made)
{
    struct peer client;
    struct bytes query = query_of(u, i, &client);
    struct answer_from from = { .proto = ANSWER_UDP, .max = ANSWER_UDP_MAX, .client = peer_bytes(&client), .now_s = u->now_s };
    struct msghdr *m = &u->in[i].msg_hdr;
    size_t len = answer(a, query, &from, u->reply[made], sizeof u->reply[made]);
    if (len > 0 && u->rrl != NULL)
        len = limit(u, a, query, &from, u->reply[made], sizeof u->reply[made], len);
    if (len == 0)
        return made;
    struct msghdr *out = &u->out[made].msg_hdr;
    u->out_iov[made].iov_len = len;
    out->msg_name = m->msg_name;
    out->msg_namelen = m->msg_namelen;
    out->msg_control = m->msg_control;
    out->msg_controllen = m->msg_controllen;
    out->msg_flags = m->msg_flags;
    if (out->msg_control != NULL)
        listen_reply_from(out);
    return made + 1;
}

/* One that cannot be sent (no route, refused by a filter) is skipped; a full socket buffer ends the batch: clients
 * ask again. */
static void send_all(struct udp *u, const struct udp_socket *s, unsigned n)
{
    unsigned at = 0;
    while (at < n) {
        int sent = sendmmsg(s->fd, u->out + at, n - at, MSG_DONTWAIT);
        if (sent > 0) {
            at += (unsigned)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
            stat_add(&u->worker->counters.udp_unsent, n - at);
            return;
        } else if (errno != EINTR) {
            stat_add(&u->worker->counters.udp_unsent, 1);
            at++;
        }
    }
}

static void prepare(struct udp *u, struct answerer *a, unsigned n)
{
    struct bytes queries[UDP_BATCH];
    for (unsigned i = 0; i < n; i++)
        queries[i] = bytes_of(u->query[i], u->in[i].msg_len);
    answer_prepare(a, queries, n);
}

/* --- waiting -------------------------------------------------------------------------------------------------------- */
static const struct timeval at_once = { 0, 0 }, in_a_while = { 0, 1000 };

static void watch(struct udp_socket *s)
{
    s->watched = s->watched || (event_add(s->turn, &at_once) == 0 && event_del(s->readable) == 0);
}

/* When the loop cannot wait for it, it is looked at now and then. */
static void await(struct udp_socket *s)
{
    s->watched = s->watched && event_add(s->readable, NULL) != 0;
    if (s->watched)
        (void)event_add(s->turn, &in_a_while);
    else
        (void)event_del(s->turn);
}

/* One batch, under one view; how many there were. */
static int on_packets(struct udp *u, struct udp_socket *s)
{
    int n = receive(u, s);
    unsigned made = 0;
    if (n <= 0)
        return 0;
    if (n >= UDP_MANY)
        watch(s);
    u->now_s = clock_wall_s();
    u->now_us = u->rrl != NULL ? (uint32_t)clock_mono_us() : 0;
    struct answerer *a = worker_view_begin(u->worker);
    prepare(u, a, (unsigned)n);
    for (int i = 0; i < n; i++)
        made = answer_one(u, a, (unsigned)i, made);
    worker_view_end(u->worker);
    send_all(u, s, made);
    return n;
}

/* It is readable, or it is watched and its turn. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct udp_socket *s = arg;
    int n = UDP_BATCH;
    (void)fd, (void)what;
    for (int left = UDP_ROUNDS; left > 0 && n == UDP_BATCH; left--)
        n = on_packets(s->udp, s);
    if (n == 0)
        await(s);
    else if (s->watched)
        (void)event_add(s->turn, &at_once);
}

static void buffers_init(struct udp *u)
{
    for (size_t i = 0; i < UDP_BATCH; i++) {
        u->in_iov[i] = (struct iovec){ u->query[i], UDP_QUERY_MAX };
        u->out_iov[i] = (struct iovec){ u->reply[i], 0 };
        u->in[i].msg_hdr = (struct msghdr){ .msg_name = &u->from[i], .msg_iov = &u->in_iov[i], .msg_iovlen = 1 };
        u->out[i].msg_hdr = (struct msghdr){ .msg_iov = &u->out_iov[i], .msg_iovlen = 1 };
    }
}

MUST_USE enum err udp_open(struct udp **out, struct worker *w, const struct listen_address *listens, size_t n,
                           struct fault *fault)
{
    struct udp *u = calloc(1, sizeof *u);
    if (u == NULL)
        return ERR_NOMEM;
    u->worker = w;
    u->rrl = w->shared->rrl;
    buffers_init(u);
    u->sockets = calloc(n, sizeof *u->sockets);
    enum err err = u->sockets == NULL ? ERR_NOMEM : OK;
    for (size_t i = 0; err == OK && i < n; i++) {
        struct udp_socket *s = &u->sockets[u->sockets_n++];
        *s = (struct udp_socket){ .udp = u, .fd = -1, .wildcard = listens[i].wildcard };
        if ((err = listen_socket(&listens[i], SOCK_DGRAM, &s->fd, fault)) != OK)
            break;
        s->readable = event_new(w->base, s->fd, EV_READ | EV_PERSIST, on_turn, s);
        s->turn = evtimer_new(w->base, on_turn, s);
        if (s->readable == NULL || s->turn == NULL || event_add(s->readable, NULL) != 0)
            err = ERR_NOMEM;
    }
    if (err != OK) {
        udp_close(u);
        return err;
    }
    *out = u;
    return OK;
}

void udp_look(struct udp *u)
{
    for (size_t i = 0; i < u->sockets_n; i++)
        (void)on_packets(u, &u->sockets[i]);
}

void udp_drain(struct udp *u)
{
    for (size_t i = 0; i < u->sockets_n; i++) {
        on_turn(u->sockets[i].fd, 0, &u->sockets[i]);
        (void)event_del(u->sockets[i].readable);
        (void)event_del(u->sockets[i].turn);
    }
}

void udp_close(struct udp *u)
{
    if (u == NULL)
        return;
    for (size_t i = 0; i < u->sockets_n; i++) {
        if (u->sockets[i].readable != NULL)
            event_free(u->sockets[i].readable);
        if (u->sockets[i].turn != NULL)
            event_free(u->sockets[i].turn);
        if (u->sockets[i].fd >= 0)
            (void)close(u->sockets[i].fd);
    }
    free(u->sockets);
    free(u);
}
