#include "dnsfront/udp.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

/* Room for one in_pktinfo or in6_pktinfo. */
union control { struct cmsghdr head; uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))]; };
struct udp_socket { struct udp *udp; int fd; bool wildcard; struct event *readable; };

struct udp {
    struct worker *worker;
    struct udp_socket *sockets;
    size_t sockets_n;
    struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
    struct iovec in_iov[UDP_BATCH], out_iov[UDP_BATCH];
    struct sockaddr_in6 from[UDP_BATCH];
    union control control[UDP_BATCH];
    uint8_t query[UDP_BATCH][UDP_QUERY_MAX];
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

/* The reply leaves from the address that the query came to. The kernel's own block goes back to it: only what it says
 * about the interface is dropped where the route decides (link-local IPv6 needs it). */
static void reply_from(struct msghdr *m)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    if (c == NULL || (m->msg_flags & MSG_CTRUNC) != 0) {
        m->msg_control = NULL;
        m->msg_controllen = 0;
        return;
    }
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        info.ipi_ifindex = 0;
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m->msg_controllen = CMSG_SPACE(sizeof info);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
            info.ipi6_ifindex = 0;
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m->msg_controllen = CMSG_SPACE(sizeof info);
    }
}

/* The i-th query's answer, put behind the replies made so far; how many there are then. */
static unsigned answer_one(struct udp *u, struct answerer *a, unsigned i, unsigned made)
{
    static const struct answer_from from = { ANSWER_UDP, ANSWER_UDP_MAX };
    struct msghdr *m = &u->in[i].msg_hdr;
    size_t len = u->in[i].msg_len;
    if ((m->msg_flags & MSG_TRUNC) != 0 || u->from[i].sin6_port == 0)    /* sin_port stands at the same place */
        len = 0;                                /* counted as dropped */
    len = answer(a, bytes_of(u->query[i], len), &from, u->reply[made], sizeof u->reply[made]);
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
        reply_from(out);
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

/* One batch, under one view. false: the socket has no more. */
static bool on_packets(struct udp *u, const struct udp_socket *s)
{
    int n = receive(u, s);
    unsigned made = 0;
    if (n <= 0)
        return false;
    struct answerer *a = worker_view_begin(u->worker);
    for (int i = 0; i < n; i++)
        made = answer_one(u, a, (unsigned)i, made);
    worker_view_end(u->worker);
    send_all(u, s, made);
    return n == UDP_BATCH;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct udp_socket *s = arg;
    (void)fd, (void)what;
    for (int left = UDP_ROUNDS; left > 0 && on_packets(s->udp, s); left--)
        ;
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
    buffers_init(u);
    u->sockets = calloc(n, sizeof *u->sockets);
    enum err err = u->sockets == NULL ? ERR_NOMEM : OK;
    for (size_t i = 0; err == OK && i < n; i++) {
        struct udp_socket *s = &u->sockets[u->sockets_n++];
        *s = (struct udp_socket){ .udp = u, .fd = -1, .wildcard = listens[i].wildcard };
        if ((err = listen_socket(&listens[i], SOCK_DGRAM, &s->fd, fault)) != OK)
            break;
        s->readable = event_new(w->base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
        if (s->readable == NULL || event_add(s->readable, NULL) != 0)
            err = ERR_NOMEM;
    }
    if (err != OK) {
        udp_close(u);
        return err;
    }
    *out = u;
    return OK;
}

void udp_drain(struct udp *u)
{
    for (size_t i = 0; i < u->sockets_n; i++) {
        on_readable(u->sockets[i].fd, 0, &u->sockets[i]);
        (void)event_del(u->sockets[i].readable);
    }
}

void udp_close(struct udp *u)
{
    if (u == NULL)
        return;
    for (size_t i = 0; i < u->sockets_n; i++) {
        if (u->sockets[i].readable != NULL)
            event_free(u->sockets[i].readable);
        if (u->sockets[i].fd >= 0)
            (void)close(u->sockets[i].fd);
    }
    free(u->sockets);
    free(u);
}
