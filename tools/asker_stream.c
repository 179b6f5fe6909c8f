/* The asker's connections: questions whose answers did not fit a datagram. */
#include "tools/asker_parts.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define IN_MAX (TCP_PREFIX + TCP_MESSAGE_MAX)
#define AGAIN_US 50000          /* a connection that broke is made again behind that */

void stream_init(struct stream *t)
{
    *t = (struct stream){ .fd = -1 };
}

void stream_release(struct stream *t)
{
    if (t->fd >= 0)
        (void)close(t->fd);
    free(t->out);
    free(t->in);
    stream_init(t);
}

void stream_close(struct asker *a, unsigned server, uint64_t due_us)
{
    struct stream *t = &a->stream[server];
    if (t->fd >= 0)
        (void)close(t->fd);
    t->fd = -1;
    t->out_at = t->out_len = t->in_len = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        if (a->slots[i].used && a->slots[i].side[server].state == SIDE_TCP)
            a->slots[i].side[server].due_us = due_us;
}

static bool stream_connect(struct asker *a, unsigned server)
{
    const struct server *to = &a->o.server[server];
    struct stream *t = &a->stream[server];
    int on = 1;
    if (t->out == NULL)
        t->out = malloc(STREAM_OUT_MAX);
    if (t->in == NULL)
        t->in = malloc(IN_MAX);
    if (t->out == NULL || t->in == NULL)
        return false;
    t->fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd < 0)
        return false;
    (void)setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(t->fd, (const struct sockaddr *)&to->addr, to->len) == 0 || errno == EINPROGRESS)
        return true;
    a->figures[server].problem = errno;
    (void)close(t->fd);
    t->fd = -1;
    return false;
}

void stream_put(struct asker *a, unsigned server, struct slot *s, uint64_t now_us)
{
    struct stream *t = &a->stream[server];
    struct side_slot *side = &s->side[server];
    side->state = SIDE_TCP;
    side->due_us = now_us + a->o.timeout_ms * 1000;
    if (t->fd < 0 && !stream_connect(a, server)) {
        side->due_us = now_us + AGAIN_US;
        return;
    }
    if (t->out_at > 0) {
        memmove(t->out, t->out + t->out_at, t->out_len - t->out_at);
        t->out_len -= t->out_at;
        t->out_at = 0;
    }
    if (STREAM_OUT_MAX - t->out_len < TCP_PREFIX + (size_t)s->query_len) {
        stream_close(a, server, now_us + AGAIN_US);
        return;
    }
    tcp_put_prefix(t->out + t->out_len, s->query_len);
    memcpy(t->out + t->out_len + TCP_PREFIX, s->query, s->query_len);
    t->out_len += TCP_PREFIX + (size_t)s->query_len;
}

static bool write_some(struct asker *a, unsigned server)
{
    struct stream *t = &a->stream[server];
    while (t->out_at < t->out_len) {
        ssize_t n = send(t->fd, t->out + t->out_at, t->out_len - t->out_at, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN))
            return true;
        if (n < 0) {
            a->figures[server].problem = errno;
            return false;
        }
        t->out_at += (size_t)n;
    }
    return true;
}

static bool take_messages(struct asker *a, unsigned server, uint64_t now_us)
{
    struct stream *t = &a->stream[server];
    size_t at = 0, need = 0;
    struct bytes msg;
    enum err err;
    while ((err = tcp_next(bytes_of(t->in + at, t->in_len - at), &msg, &need)) == OK) {
        a->figures[server].tcp++;
        slot_answer(a, server, msg, SIDE_TCP, now_us);
        at += TCP_PREFIX + msg.len;
    }
    memmove(t->in, t->in + at, t->in_len - at);
    t->in_len -= at;
    return err == ERR_SHORT;
}

static bool read_some(struct asker *a, unsigned server, uint64_t now_us)
{
    struct stream *t = &a->stream[server];
    ssize_t n = recv(t->fd, t->in + t->in_len, IN_MAX - t->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN))
        return true;
    if (n < 0)
        a->figures[server].problem = errno;
    if (n <= 0)
        return false;
    t->in_len += (size_t)n;
    return take_messages(a, server, now_us);
}

void stream_move(struct asker *a, unsigned server, uint64_t now_us)
{
    if (a->stream[server].fd >= 0 && (!write_some(a, server) || !read_some(a, server, now_us)))
        stream_close(a, server, now_us + AGAIN_US);
}
