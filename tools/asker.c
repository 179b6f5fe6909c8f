#include "tools/asker_parts.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH 64
#define DATAGRAM_MAX 4096       /* more than we say that we take */
#define ROUNDS_MAX 8            /* batches from one server in a row */
#define SOCKET_BYTES (4 << 20)
#define SWEEP_US 10000
#define VAIN_MAX 64             /* questions in a row without any answer: the server is gone */
#define WINDOW_FIRST 64

struct batch {
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_iov[BATCH], out_iov[BATCH];
    uint8_t buf[BATCH][DATAGRAM_MAX];
};

/* --- servers ---------------------------------------------------------------------------------------------------------- */
MUST_USE enum err server_parse(const char *text, struct server *out)
{
    char host[SERVER_TEXT_MAX - 8], port[8];
    const char *at = strrchr(text, '@');
    size_t len = at != NULL ? (size_t)(at - text) : strlen(text);
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM }, *found = NULL;
    uint64_t number = 53;
    if (len == 0 || len >= sizeof host || (at != NULL && (text_number(at + 1, 65535, &number) != OK || number == 0)))
        return ERR_BAD;
    memcpy(host, text, len);
    host[len] = '\0';
    (void)snprintf(port, sizeof port, "%u", (unsigned)number);
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return ERR_BAD;
    memset(out, 0, sizeof *out);
    memcpy(&out->addr, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    (void)snprintf(out->text, sizeof out->text, "%s@%s", host, port);
    freeaddrinfo(found);
    return OK;
}

/* --- opening ---------------------------------------------------------------------------------------------------------- */
static enum err open_socket(const struct server *to, int *out, struct fault *fault)
{
    int bytes = SOCKET_BYTES, fd = socket(to->addr.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to->addr, to->len) != 0) {
        int problem = errno;
        if (fd >= 0)
            (void)close(fd);
        return fault_set(fault, ERR_NET, "%s: %s", to->text, strerror(problem));
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    *out = fd;
    return OK;
}

static void batch_init(struct batch *b)
{
    for (unsigned i = 0; i < BATCH; i++) {
        b->in_iov[i] = (struct iovec){ b->buf[i], DATAGRAM_MAX };
        b->in[i].msg_hdr.msg_iov = &b->in_iov[i];
        b->out[i].msg_hdr.msg_iov = &b->out_iov[i];
        b->in[i].msg_hdr.msg_iovlen = b->out[i].msg_hdr.msg_iovlen = 1;
    }
}

MUST_USE enum err asker_open(struct asker **out, const struct asker_options *o, struct fault *fault)
{
    struct asker *a = calloc(1, sizeof *a);
    enum err err = OK;
    if (a == NULL)
        return ERR_NOMEM;
    a->o = *o;
    a->fd[0] = a->fd[1] = -1;
    stream_init(&a->stream[0]);
    stream_init(&a->stream[1]);
    a->window = WINDOW_FIRST;
    a->best_us = UINT64_MAX / 1000;
    a->generation = (uint16_t)randombytes_random();
    a->slots = calloc(SLOTS, sizeof *a->slots);
    a->batch = calloc(1, sizeof *a->batch);
    if (a->slots == NULL || a->batch == NULL)
        err = ERR_NOMEM;
    else
        batch_init(a->batch);
    for (unsigned i = SLOTS; i-- > 0;)
        a->free[a->free_n++] = (uint16_t)i;
    for (unsigned i = 0; i < 2 && err == OK; i++)
        err = open_socket(&o->server[i], &a->fd[i], fault);
    if (err != OK)
        asker_close(a);
    else
        *out = a;
    return err;
}

void asker_close(struct asker *a)
{
    if (a == NULL)
        return;
    for (unsigned i = 0; i < 2; i++) {
        if (a->fd[i] >= 0)
            (void)close(a->fd[i]);
        stream_release(&a->stream[i]);
    }
    for (unsigned i = 0; a->slots != NULL && i < SLOTS; i++) {
        free(a->slots[i].side[0].msg);
        free(a->slots[i].side[1].msg);
    }
    free(a->slots);
    free(a->batch);
    free(a);
}

struct asker_figures asker_figures(const struct asker *a, unsigned server)
{
    return a->figures[server];
}

/* --- questions go out -------------------------------------------------------------------------------------------------- */
static void slot_take(struct asker *a, const struct question *q)
{
    uint16_t at = a->free[--a->free_n];
    struct slot *s = &a->slots[at];
    struct wr w = wr_over(s->query, sizeof s->query);
    s->used = true;
    s->id = (uint16_t)(a->generation++ << SLOT_BITS | at);
    s->q = *q;
    question_write(&w, q, s->id);
    s->query_len = (uint16_t)w.len;
    for (unsigned i = 0; i < 2; i++) {
        s->side[i].state = SIDE_SEND;
        s->side[i].tries = 0;
        s->side[i].again = false;
        s->side[i].len = 0;
        a->queue[i][a->queue_n[i]++] = at;
    }
}

static bool rate_allows(const struct asker *a, uint64_t now_us)
{
    return a->o.rate == 0 || (double)a->given < (double)(now_us - a->start_us) * (double)a->o.rate / 1e6 + 1;
}

/* false: there are no more questions. */
static bool fill(struct asker *a, asker_next *next, void *arg, uint64_t now_us)
{
    struct question q;
    while (SLOTS - a->free_n < a->window && rate_allows(a, now_us)) {
        if (!next(arg, &q))
            return false;
        slot_take(a, &q);
        a->given++;
    }
    return true;
}

static void send_queue(struct asker *a, unsigned server, uint64_t now_us)
{
    unsigned at = 0;
    while (at < a->queue_n[server]) {
        unsigned n = 0;
        for (; n < BATCH && at + n < a->queue_n[server]; n++) {
            struct slot *s = &a->slots[a->queue[server][at + n]];
            a->batch->out_iov[n] = (struct iovec){ s->query, s->query_len };
        }
        int sent = sendmmsg(a->fd[server], a->batch->out, n, 0);
        if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EINTR) {
            a->figures[server].problem = errno;     /* refused: sent all the same, as far as anybody can tell */
            sent = 1;
        }
        if (sent <= 0)
            break;
        for (unsigned i = 0; i < (unsigned)sent; i++) {
            struct side_slot *side = &a->slots[a->queue[server][at + i]].side[server];
            side->state = SIDE_UDP;
            side->sent_us = now_us;
            side->due_us = now_us + a->o.timeout_ms * 1000;
        }
        at += (unsigned)sent;
    }
    a->queue_n[server] -= at;
    memmove(a->queue[server], a->queue[server] + at, a->queue_n[server] * sizeof a->queue[server][0]);
}

/* --- answers come in --------------------------------------------------------------------------------------------------- */
static void receive(struct asker *a, unsigned server)
{
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        int n = recvmmsg(a->fd[server], a->batch->in, BATCH, 0, NULL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            a->figures[server].problem = errno;
        if (n <= 0)
            return;
        uint64_t now_us = clock_mono_us();
        for (unsigned i = 0; i < (unsigned)n; i++)
            slot_answer(a, server, bytes_of(a->batch->buf[i], a->batch->in[i].msg_len), SIDE_UDP, now_us);
        if (n < BATCH)
            return;
    }
}

static void wait_for_any(const struct asker *a)
{
    struct pollfd p[4];
    for (unsigned i = 0; i < 2; i++) {
        const struct stream *t = &a->stream[i];
        p[i] = (struct pollfd){ .fd = a->fd[i], .events = (short)(POLLIN | (a->queue_n[i] > 0 ? POLLOUT : 0)) };
        p[2 + i] = (struct pollfd){ .fd = t->fd, .events = (short)(POLLIN | (t->out_at < t->out_len ? POLLOUT : 0)) };
    }
    (void)poll(p, 4, a->o.rate > 0 ? 1 : SWEEP_US / 1000);
}

/* --- the run ----------------------------------------------------------------------------------------------------------- */
static enum err gone(const struct asker *a, struct fault *fault)
{
    for (unsigned i = 0; i < 2; i++)
        if (a->vain[i] >= VAIN_MAX) {
            int problem = a->figures[i].problem;
            return fault_set(fault, ERR_NET, "%s does not answer any more: %u questions in a row without an answer, %llu answers before%s%s",
                             a->o.server[i].text, a->vain[i], (unsigned long long)a->figures[i].answers,
                             problem != 0 ? "; " : "", problem != 0 ? strerror(problem) : "");
        }
    return OK;
}

MUST_USE enum err asker_run(struct asker *a, asker_next *next, asker_done *done, void *arg, struct fault *fault)
{
    bool more = true;
    a->done = done;
    a->arg = arg;
    a->start_us = clock_mono_us();
    a->given = 0;
    while (more || a->free_n < SLOTS) {
        uint64_t now_us = clock_mono_us();
        enum err err;
        if (more)
            more = fill(a, next, arg, now_us);
        for (unsigned i = 0; i < 2; i++) {
            send_queue(a, i, now_us);
            stream_move(a, i, now_us);
        }
        if (a->free_n < SLOTS || more)
            wait_for_any(a);
        for (unsigned i = 0; i < 2; i++)
            receive(a, i);
        now_us = clock_mono_us();
        if (now_us - a->swept_us >= SWEEP_US) {
            a->swept_us = now_us;
            slots_sweep(a, now_us);
        }
        if (a->failed)
            return a->err;
        if ((err = gone(a, fault)) != OK)
            return err;
    }
    return OK;
}
