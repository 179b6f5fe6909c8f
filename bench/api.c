#include "bench/api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REPLY_MAX (512 * 1024)          /* each op of a large request is answered with its seq */

struct connection {
    bool busy;
    char *in;
    size_t in_n, tag;
    uint64_t sent_ns;
};
struct api {
    int port;
    const char *key;
    api_reply_fn *fn;
    void *arg;
    size_t n, busy;
    struct connection c[API_CONNECTIONS_MAX];
    struct pollfd fds[API_CONNECTIONS_MAX];
    char out[API_REQUEST_MAX + 1024];
};

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void die(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

static int connect_to(int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("connect to the API", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

struct api *api_open(int port, const char *key, size_t connections, api_reply_fn *fn, void *arg)
{
    struct api *a = calloc(1, sizeof *a);
    if (a == NULL)
        die("memory", strerror(errno));
    *a = (struct api){ .port = port, .key = key, .fn = fn, .arg = arg };
    a->n = connections < API_CONNECTIONS_MAX ? connections : API_CONNECTIONS_MAX;
    for (size_t i = 0; i < a->n; i++) {
        a->fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
        if ((a->c[i].in = malloc(REPLY_MAX + 1)) == NULL)
            die("memory", strerror(errno));
    }
    return a;
}

void api_close(struct api *a)
{
    for (size_t i = 0; i < a->n; i++) {
        if (a->fds[i].fd >= 0)
            (void)close(a->fds[i].fd);
        free(a->c[i].in);
    }
    free(a);
}

bool api_idle(const struct api *a) { return a->busy < a->n; }
size_t api_under_way(const struct api *a) { return a->busy; }

void api_send(struct api *a, const char *method, const char *path, const char *body, size_t len, size_t tag)
{
    size_t i = 0;
    while (a->c[i].busy)
        i++;
    if (a->fds[i].fd < 0)           /* not before: one that never asks anything is not kept long */
        a->fds[i].fd = connect_to(a->port);
    int head = snprintf(a->out, sizeof a->out, "%s %s HTTP/1.1\r\nHost: bench\r\nX-API-Key: %s\r\nContent-Length: %zu\r\n\r\n",
                        method, path, a->key, len);
    if (head < 0 || (size_t)head + len > sizeof a->out)
        die("request", "too long");
    memcpy(a->out + head, body, len);
    a->c[i].busy = true;
    a->c[i].in_n = 0;
    a->c[i].tag = tag;
    a->c[i].sent_ns = now_ns();
    a->busy++;
    for (size_t at = 0, all = (size_t)head + len; at < all; ) {
        ssize_t put = send(a->fds[i].fd, a->out + at, all - at, MSG_NOSIGNAL);
        if (put <= 0)
            die("send to the API", strerror(errno));
        at += (size_t)put;
    }
}

static uint64_t header_number(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* Is the reply whole? Then it is told. */
static void take(struct api *a, struct connection *c)
{
    c->in[c->in_n] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (end == NULL)
        return;
    size_t body = header_number(c->in, "\r\nContent-Length:"), front = (size_t)(end + 4 - c->in);
    if (c->in_n < front + body)
        return;
    struct api_reply r = { .status = atoi(c->in + 9), .epoch = header_number(c->in, "\r\nX-Azoth-Epoch:"),
                           .seq = header_number(c->in, "\r\nX-Azoth-Seq:"), .sent_ns = c->sent_ns, .got_ns = now_ns(), .tag = c->tag };
    if (strcasestr(c->in, "\r\nConnection: close\r\n") != NULL) {      /* PowerDNS keeps none */
        struct pollfd *p = &a->fds[c - a->c];
        (void)close(p->fd);
        p->fd = connect_to(a->port);
    }
    c->busy = false;
    a->busy--;
    a->fn(a->arg, &r);
}

void api_wait(struct api *a, uint64_t wait_us)
{
    struct timespec t = { (time_t)(wait_us / 1000000), (long)(wait_us % 1000000) * 1000 };
    if (ppoll(a->fds, (nfds_t)a->n, &t, NULL) <= 0)
        return;
    for (size_t i = 0; i < a->n; i++) {
        struct connection *c = &a->c[i];
        if (a->fds[i].revents == 0)
            continue;
        ssize_t got = recv(a->fds[i].fd, c->in + c->in_n, REPLY_MAX - c->in_n, MSG_DONTWAIT);
        if (got == 0 && !c->busy) {
            (void)close(a->fds[i].fd);
            a->fds[i].fd = -1;
            continue;
        }
        if (got <= 0 || !c->busy)
            die("reply of the API", got == 0 ? "connection closed" : strerror(errno));
        c->in_n += (size_t)got;
        take(a, c);
    }
}
